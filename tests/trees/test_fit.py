"""Fitting a forest, and files of forests that are whole, damaged or foreign."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import xgboost
from xgboost import Booster

from bot4jax.trees import fit
from bot4jax.trees.fit import (
    DIGEST,
    ForestError,
    Rows,
    Settings,
    best_rounds,
    fit_forest,
    intact,
    revived,
    save,
)


def load(path: Path, features: int, classes: int) -> Booster:
    return revived(path, intact(path, features, classes))


def settings(**changes) -> Settings:
    chosen = Settings(
        rounds=6,
        depth=3,
        learning_rate=0.3,
        min_child_weight=1.0,
        gamma=0.0,
        subsample=1.0,
        colsample=1.0,
        reg_lambda=1.0,
        seed=0,
        threads=1,
    )
    return chosen._replace(**changes)


def rows(count: int = 600):
    """The first feature tells the class, the second nothing, the third is missing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 3)).astype(np.float32)
    x[:, 2] = np.nan
    y = np.digitize(x[:, 0] + 0.1 * rng.normal(size=count), (-0.6, 0.6))
    return x, y, np.ones(count, np.float32)


@pytest.fixture(scope="module")
def booster() -> Booster:
    return fit_forest(*rows(), settings())


def test_learns_what_the_first_feature_tells(booster):
    x, y, _ = rows()
    assert (booster.inplace_predict(x).argmax(1) == y).mean() > 0.85


def noisy(seed: int, told: float):
    """The class follows the first feature in a share of the rows."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(800, 3)).astype(np.float32)
    y = np.digitize(x[:, 0], (-0.6, 0.6))
    y = np.where(rng.random(800) < told, y, rng.integers(0, 3, 800))
    return Rows(x, y, np.ones(800, np.float32))


def test_boosting_stops_where_unseen_rows_are_forecast_best():
    fitted, watched, own = noisy(1, 0.5), noisy(2, 0.5), settings(rounds=40)
    found = best_rounds(fitted, watched, own, patience=40)

    def loss(rounds: int) -> float:
        booster = fit_forest(*fitted, own._replace(rounds=rounds))
        said = booster.inplace_predict(watched.features)
        return -np.log(said[np.arange(800), watched.labels]).mean()

    losses = [loss(rounds) for rounds in range(1, 41)]
    assert found == 1 + int(np.argmin(losses)) < 40


def test_impatience_ends_boosting_at_the_first_best_so_far():
    """Rows that contradict what was learnt are forecast worse by every round."""
    told, own = noisy(1, 1.0), settings(rounds=40)
    turned = told._replace(labels=2 - told.labels)
    assert best_rounds(told, turned, own, patience=2) == 1


def test_a_class_that_never_occurs_gets_almost_no_probability():
    x, y, weights = rows()
    booster = fit_forest(x, np.where(y == 2, 1, y), weights, settings())
    probability = booster.inplace_predict(x)
    assert probability.shape == (len(x), 3)
    assert np.isfinite(probability).all()
    assert probability[:, 2].max() < 0.01


def test_rows_of_no_weight_are_as_if_they_were_not_there(booster):
    x, y, weights = rows()
    poison = np.full((50, 3), np.inf, np.float32)
    more = fit_forest(
        np.concatenate([x, poison]),
        np.concatenate([y, np.full(50, 9)]),
        np.concatenate([weights, np.zeros(50, np.float32)]),
        settings(),
    )
    assert more.save_raw("json") == booster.save_raw("json")


def test_the_scale_of_the_weights_does_not_matter(booster):
    x, y, weights = rows()
    scaled = fit_forest(x, y, weights / 8, settings())
    assert scaled.save_raw("json") == booster.save_raw("json")


def test_a_seed_gives_the_same_forest_and_another_seed_another():
    x, y, weights = rows()
    forests = [
        fit_forest(x, y, weights, settings(subsample=0.5, seed=seed)).save_raw("json")
        for seed in (1, 1, 2)
    ]
    assert forests[0] == forests[1] != forests[2]


def test_progress_is_told_after_every_round():
    told = []
    fit_forest(
        *rows(100), settings(rounds=3), lambda done, due: told.append((done, due))
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_missing_gpu_is_refused_instead_of_falling_back(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ForestError, match="run on cuda:0, but XGBoost has only cpu"):
        fit_forest(*rows(100), settings(device="cuda:0"))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"x": np.inf}, r"infinite values in feature columns \[1\]"),
        ({"y": 3}, "labels from 0 to 3; expected 0 to 2"),
        ({"y": -1}, "labels from -1 to 2; expected 0 to 2"),
        ({"w": np.nan}, "weights must be finite"),
        ({"w": -1.0}, "weights must be finite and not negative"),
    ],
)
def test_numbers_without_meaning_are_refused(change, found):
    x, y, weights = rows(100)
    x[5, 1] = change.get("x", 0)
    y[5] = change.get("y", 0)
    weights[5] = change.get("w", 1)
    with pytest.raises(ForestError, match=found):
        fit_forest(x, y, weights, settings())


def test_nothing_to_learn_from_is_refused():
    x, y, weights = rows(100)
    with pytest.raises(ForestError, match="none of the 100 rows has a weight"):
        fit_forest(x, y, 0 * weights, settings())
    with pytest.raises(ForestError, match=r"labels \(99,\)"):
        fit_forest(x, y[1:], weights, settings())


def test_a_saved_forest_comes_back_bit_equal(booster, tmp_path):
    path = tmp_path / "trees" / "forest.json"
    save(booster, path)
    again = load(path, features=3, classes=3)
    assert again.save_raw("json") == booster.save_raw("json")
    assert [file.name for file in path.parent.iterdir()] == ["forest.json"]


def test_a_deep_forest_comes_back_bit_equal(tmp_path):
    own, path = settings(depth=40, min_child_weight=0, reg_lambda=0), tmp_path / "it"
    x, _, weights = rows()
    noise = np.random.default_rng(1).integers(0, 3, len(x))
    deep = fit_forest(x, noise, weights, own)
    assert max(text.count("\t" * 15) for text in deep.get_dump()) > 0
    save(deep, path)
    again = load(path, features=3, classes=3)
    assert again.save_raw("json") == deep.save_raw("json")


def test_leaves_are_as_few_as_tables_hold(monkeypatch):
    own = settings(depth=20)
    free = fit_forest(*rows(), own)
    assert max(text.count("leaf") for text in free.get_dump()) > 8
    monkeypatch.setattr(fit, "MAX_LEAVES", 8)
    bound = fit_forest(*rows(), own)
    assert max(text.count("leaf") for text in bound.get_dump()) == 8


@pytest.mark.parametrize("depth", [3, 12])
def test_a_bound_of_leaves_that_nothing_reaches_changes_nothing(monkeypatch, depth):
    bound = fit_forest(*rows(), settings(depth=depth))
    monkeypatch.setattr(fit, "MAX_LEAVES", 0)  # none, to XGBoost
    free = fit_forest(*rows(), settings(depth=depth))
    assert bound.save_raw("json") == free.save_raw("json")


@contextmanager
def rewritten(path: Path) -> Iterator[dict]:
    """The file's document, to be changed; its digest is right again afterwards."""
    document = json.loads(path.read_bytes())
    attributes = document["learner"]["attributes"]
    del attributes[DIGEST]
    yield document
    text = json.dumps(document, sort_keys=True).encode()
    attributes[DIGEST] = hashlib.sha256(text).hexdigest()
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("read", [load, intact])
def test_a_file_whose_trees_mean_nothing_is_refused(booster, tmp_path, read):
    """Its digest is right: whoever wrote the file wrote it so."""
    path = tmp_path / "forest.json"
    save(booster, path)
    with rewritten(path) as document:
        tree = document["learner"]["gradient_booster"]["model"]["trees"][4]
        tree["left_children"][0] = 99
    found = r"forest\.json: not a .* tree 4, node 0: its left child is 99"
    with pytest.raises(ForestError, match=found):
        read(path, features=3, classes=3)


@pytest.mark.parametrize("read", [load, intact])
def test_a_file_whose_base_score_is_none_is_refused(booster, tmp_path, read):
    """XGBoost took it, and said NaN of everything."""
    path = tmp_path / "forest.json"
    save(booster, path)
    with rewritten(path) as document:
        document["learner"]["learner_model_param"]["base_score"] = "[NaN,NaN,NaN]"
    found = r"forest\.json: not a .*base score is \[NaN,NaN,NaN\]"
    with pytest.raises(ForestError, match=found):
        read(path, features=3, classes=3)


@pytest.mark.parametrize("read", [load, intact])
def test_a_file_of_a_newer_xgboost_is_refused_with_both_versions(
    booster, tmp_path, read
):
    path, own = tmp_path / "forest.json", xgboost.__version__
    save(booster, path)
    major, minor, patch = map(int, own.split(".")[:3])
    for known in ([major, minor, patch + 1], [major - 1, minor + 9, 0]):
        with rewritten(path) as document:
            document["version"] = known
        read(path, features=3, classes=3)
    for newer in ([major, minor + 1, 0], [major + 1, 0, 0]):
        with rewritten(path) as document:
            document["version"] = newer
        told = rf"forest\.json: written by XGBoost {newer[0]}\.{newer[1]}\.0, and {own}"
        with pytest.raises(ForestError, match=told):
            read(path, features=3, classes=3)


def damaged(text: bytes) -> dict[str, bytes]:
    middle = len(text) // 2
    return {
        "empty": b"",
        "truncated": text[:middle],
        "garbage": bytes(np.random.default_rng(0).bytes(400)),
        "garbage that begins well": b'{"learner' + bytes(range(256)),
        "torn in the middle": text[:middle] + b"\0" * 64 + text[middle + 64 :],
        "another document": b'{"learner": {}}',
        "a list": b"[]",
        "not ours": text.replace(b"bot4jax.sha256", b"someone.sha256"),
        "a number changed": text.replace(b'"id": 1', b'"id": 7'),
    }


@pytest.mark.parametrize("read", [load, intact])
@pytest.mark.parametrize("damage", damaged(b"").keys())
def test_a_damaged_file_is_refused_by_name(booster, tmp_path, damage, read):
    path = tmp_path / "forest.json"
    save(booster, path)
    path.write_bytes(damaged(path.read_bytes())[damage])
    with pytest.raises(ForestError, match=r"forest\.json: not a forest that was"):
        read(path, features=3, classes=3)


@pytest.mark.parametrize("read", [load, intact])
def test_a_missing_file_is_refused_by_name(tmp_path, read):
    with pytest.raises(ForestError, match=r"absent\.json: no such file"):
        read(tmp_path / "absent.json", features=3, classes=3)


@pytest.mark.parametrize("read", [load, intact])
@pytest.mark.parametrize(
    ("features", "classes", "found"),
    [
        (4, 3, "expected 4 and 3"),
        (3, 2, "expected 3 and 2"),
    ],
)
def test_a_forest_of_another_shape_is_refused(
    booster, tmp_path, features, classes, found, read
):
    path = tmp_path / "forest.json"
    save(booster, path)
    of = r"forest\.json: a forest of 3 features and 3 classes; "
    with pytest.raises(ForestError, match=of + found):
        read(path, features, classes)


def test_no_changed_byte_goes_unseen(booster, tmp_path):
    """XGBoost itself reads many such files and crashes when it predicts."""
    path = tmp_path / "forest.json"
    save(booster, path)
    whole, raw = path.read_bytes(), booster.save_raw("json")
    for at in range(0, len(whole), 37):
        changed = bytearray(whole)
        changed[at] ^= 1 << (at % 8)
        path.write_bytes(changed)
        with suppress(ForestError):  # an `e` for an `E` in a number changes nothing
            assert load(path, features=3, classes=3).save_raw("json") == raw
