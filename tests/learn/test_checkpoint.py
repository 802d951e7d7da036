"""Checkpoints come back bit-equal or not at all."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax import durable
from bot4jax.errors import CheckpointError
from bot4jax.learn import checkpoint
from bot4jax.learn.checkpoint import (
    MANIFEST,
    SCHEMA,
    DamagedCheckpoint,
    Identity,
    restore,
    save,
    steps,
    verify,
)
from tests.small_disk import is_told, no_room

IDENTITY = Identity("c0ffee", "fe11", ("return", "spread"))


class State(NamedTuple):
    history: jax.Array
    nested: dict
    counts: np.ndarray


def state(seed: int = 0) -> State:
    """Every kind of leaf: NaN payloads, −0, subnormals, whole numbers, truth, none."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**32, (5, 7), dtype=np.uint32)
    return State(
        history=jax.device_put(bits.view(np.float32)),
        nested={
            "index": jnp.int32(2**31 - 1 - seed),
            "live": jnp.asarray(rng.random(9) < 0.5),
            "half": jnp.asarray(rng.normal(size=3), jnp.bfloat16),
            "pair": (jnp.float32(-0.0), jnp.zeros((0, 3))),
        },
        counts=rng.integers(-(2**62), 2**62, 4),
    )


def bits(tree) -> list[bytes]:
    leaves = jax.tree.leaves(tree)
    return [f"{x.dtype}{x.shape}".encode() + np.asarray(x).tobytes() for x in leaves]


def test_what_is_restored_needs_no_other_compilation(tmp_path):
    """The very program that took what was saved takes what came back."""
    before = state(1)._replace(counts=np.zeros(4, np.int32))
    save(tmp_path, 1, before, IDENTITY)
    after, _ = restore(tmp_path, before, IDENTITY)

    @jax.jit
    def doubled(tree: State) -> State:
        return jax.tree.map(lambda leaf: leaf + leaf, tree)

    assert doubled.lower(after).as_text() == doubled.lower(before).as_text()


def test_arrays_come_back_bit_equal(tmp_path):
    path = save(tmp_path, 7, state(1), IDENTITY)
    assert path == tmp_path / "7"
    tree, manifest = restore(tmp_path, like=state(2), identity=IDENTITY)
    assert isinstance(tree, State)
    assert bits(tree) == bits(state(1)) != bits(state(2))
    assert isinstance(tree.history, jax.Array)
    assert isinstance(tree.counts, np.ndarray)
    assert manifest == verify(path)
    assert (manifest.step, manifest.previous) == (7, None)


def test_shapes_alone_will_do(tmp_path):
    save(tmp_path, 7, state(1), IDENTITY)
    like = jax.eval_shape(
        lambda: jax.tree.map(jnp.asarray, state(2)._replace(counts=()))
    )
    with pytest.raises(CheckpointError, match=r"counts is int64\[4\]; expected absent"):
        restore(tmp_path, like, IDENTITY)
    tree = state(1)._replace(counts=())
    save(tmp_path, 8, tree, IDENTITY)
    found, _ = restore(tmp_path, like, IDENTITY)
    assert bits(found) == bits(tree)
    assert isinstance(found.history, jax.Array)


def test_a_relative_folder_will_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = (tmp_path / "run").relative_to(tmp_path)
    save(folder, 1, state(1), IDENTITY)
    assert bits(restore(folder, state(), IDENTITY)[0]) == bits(state(1))


def test_a_snapshot_can_be_written_in_the_background(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(save, tmp_path, 1, state(1), IDENTITY).result()
    assert bits(restore(tmp_path, state(), IDENTITY)[0]) == bits(state(1))


def test_the_manifest_says_what_is_agreed(tmp_path):
    save(tmp_path, 5, state(), IDENTITY)
    fields = json.loads((save(tmp_path, 9, state(), IDENTITY) / MANIFEST).read_text())
    files = fields.pop("files")
    assert fields == {
        "schema": SCHEMA,
        "step": 9,
        "previous": 5,
        "config_hash": "c0ffee",
        "catalogue_hash": "fe11",
        "features": ["return", "spread"],
        "origin": None,
    }
    assert files
    assert all(len(digest) == 64 for digest in files.values())


def test_the_newest_stay_and_the_others_go(tmp_path):
    for step in (1, 2, 30, 4):
        save(tmp_path, step, state(step), IDENTITY, keep=2)
    assert steps(tmp_path) == [4, 30]
    assert bits(restore(tmp_path, state(), IDENTITY)[0]) == bits(state(30))
    assert sorted(at.name for at in tmp_path.iterdir()) == ["30", "4"]


def test_a_step_saved_again_is_replaced(tmp_path):
    save(tmp_path, 3, state(1), IDENTITY)
    save(tmp_path, 3, state(2), IDENTITY)
    assert bits(restore(tmp_path, state(), IDENTITY)[0]) == bits(state(2))
    assert [at.name for at in tmp_path.iterdir()] == ["3"]


def test_without_a_second_checkpoint_damage_could_not_be_survived(tmp_path):
    with pytest.raises(ValueError, match="keep=1"):
        save(tmp_path, 1, state(), IDENTITY, keep=1)


@pytest.mark.parametrize(
    ("room", "stage"),
    [
        (checkpoint, "_write_arrays"),
        (checkpoint, "_write_manifest"),
        (durable, "sync"),
    ],
)
def test_an_interrupted_save_leaves_nothing(tmp_path, monkeypatch, room, stage):
    save(tmp_path, 1, state(1), IDENTITY)
    whole = getattr(room, stage)

    def interrupted(*arguments):
        whole(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(room, stage, interrupted)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 2, state(2), IDENTITY)
    assert [at.name for at in tmp_path.iterdir()] == ["1"]
    assert bits(restore(tmp_path, state(), IDENTITY)[0]) == bits(state(1))


@pytest.mark.parametrize("room", [0, 100, 700])
def test_a_full_disk_is_told_by_its_path_and_the_one_before_stays(tmp_path, room):
    save(tmp_path, 1, state(1), IDENTITY)
    for step in (1, 2):
        with no_room(room), pytest.raises(OSError, match=" ") as told:
            save(tmp_path, step, state(2), IDENTITY)
        assert is_told(told.value, tmp_path / str(step))
        assert [at.name for at in tmp_path.iterdir()] == ["1"]
    assert bits(restore(tmp_path, state(), IDENTITY)[0]) == bits(state(1))


def test_one_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    save(tmp_path, 1, state(1), IDENTITY)
    rename = Path.rename

    def refused(path: Path, to: Path) -> Path:
        if path.name.endswith(f"{checkpoint.UNFINISHED}1") and to.name == "1":
            raise OSError(28, "No space left on device", str(to))
        return rename(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refused)
        with pytest.raises(OSError, match="No space"):
            save(tmp_path, 1, state(2), IDENTITY)
    assert bits(restore(tmp_path, state(), IDENTITY)[0]) == bits(state(1))


def test_what_a_killed_save_left_is_removed_by_the_next(tmp_path):
    left = tmp_path / f"{checkpoint.UNFINISHED}8" / "arrays"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"written")
    with pytest.raises(CheckpointError, match="none was found"):
        restore(tmp_path, state(), IDENTITY)
    save(tmp_path, 9, state(), IDENTITY)
    assert [at.name for at in tmp_path.iterdir()] == ["9"]


def test_no_flipped_bit_goes_unseen(tmp_path):
    at = save(tmp_path, 1, state(), IDENTITY)
    files = [path for path in at.rglob("*") if path.is_file()]
    assert {MANIFEST, checkpoint.SEAL} < {path.name for path in files}
    for path in files:
        whole = path.read_bytes()
        for place in {*range(0, len(whole), 97), len(whole) - 1}:
            changed = bytearray(whole)
            changed[place] ^= 1 << place % 8
            path.write_bytes(changed)
            with pytest.raises(DamagedCheckpoint, match=str(at)):
                verify(at)
        path.write_bytes(whole)
    verify(at)


@pytest.mark.parametrize("damage", ["removed", "truncated", "added", "no manifest"])
def test_torn_checkpoints_are_passed_over_by_name(tmp_path, caplog, damage):
    save(tmp_path, 1, state(1), IDENTITY)
    at = save(tmp_path, 2, state(2), IDENTITY)
    files = (path for path in at.rglob("*") if path.is_file())
    largest = max(files, key=lambda path: path.stat().st_size)
    if damage == "removed":
        largest.unlink()
    elif damage == "truncated":
        largest.write_bytes(largest.read_bytes()[:-1])
    elif damage == "added":
        (at / "arrays" / "more").write_bytes(b"?")
    else:
        (at / MANIFEST).unlink()
    with caplog.at_level(logging.WARNING):
        tree, manifest = restore(tmp_path, state(), IDENTITY)
    assert bits(tree) == bits(state(1))
    assert manifest.step == 1
    assert str(at) in caplog.text


def test_when_all_are_damaged_each_is_named(tmp_path):
    for step in (1, 2):
        (save(tmp_path, step, state(), IDENTITY) / checkpoint.SEAL).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"/2: manifest.*/1: manifest"):
        restore(tmp_path, state(), IDENTITY)


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (
            IDENTITY._replace(features=("return", "depth")),
            "added since: depth; removed: spread",
        ),
        (
            IDENTITY._replace(features=("return", "spread", *"abcdefg")),
            "added since: a, b, c, d, e and 2 more; removed: none: train again",
        ),
        (
            IDENTITY._replace(features=("spread", "return")),
            "the same names in another order",
        ),
        (
            IDENTITY._replace(catalogue_hash="beef"),
            "catalogue_hash fe11; expected beef",
        ),
        (IDENTITY._replace(config_hash="dead"), "config_hash c0ffee; expected dead"),
    ],
)
def test_what_was_made_with_something_else_stops_the_start(tmp_path, other, found):
    save(tmp_path, 1, state(), other)
    save(tmp_path, 2, state(), IDENTITY)
    with pytest.raises(CheckpointError, match=found) as refusal:
        restore(tmp_path, state(), other)
    assert not isinstance(refusal.value, DamagedCheckpoint)


def test_another_schema_is_refused_by_name(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "SCHEMA", "bot4jax.checkpoint/9")
        save(tmp_path, 1, state(), IDENTITY)
    found = (
        r"/1: schema 'bot4jax.checkpoint/9'; this version reads 'bot4jax.checkpoint/5'"
    )
    with pytest.raises(CheckpointError, match=found):
        restore(tmp_path, state(), IDENTITY)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"history": jnp.zeros((5, 8))}, r"history is float32\[5, 7\]; .* \[?.*5, 8"),
        ({"history": jnp.zeros((5, 7), int)}, r"history is float32.*; expected int32"),
        ({"nested": {}}, r"nested/half is bfloat16\[3\]; expected absent"),
        ({"counts": {"more": jnp.ones(1)}}, r"counts is int64\[4\]; expected absent"),
    ],
)
def test_a_state_of_another_shape_is_refused_by_its_path(tmp_path, change, found):
    save(tmp_path, 1, state(), IDENTITY)
    with pytest.raises(CheckpointError, match=found):
        restore(tmp_path, state()._replace(**change), IDENTITY)
