"""Gradients that are not numbers, explode or vanish: planted, seen, named, survived."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bot4jax.errors import TrainingError
from bot4jax.learn import health
from bot4jax.learn.schedule import pace
from bot4jax.learn.update import Form, begin, gradients, update
from bot4jax.nets import zoo
from tests.learn.small_fit import (
    FEATURES,
    SIZES,
    SYMBOLS,
    assert_same_bits,
    fitted,
    samples,
    settings,
    undisturbed,
)

LAYERS = zoo.layers(SIZES)


@pytest.fixture(scope="module")
def sound():
    return undisturbed()


def planted(bars, value):
    """Samples with a value in place of one feature of one symbol."""
    data = samples()
    features = data.features.copy()
    features[bars, 4, 2] = value
    return data._replace(features=features)


def heavy(bar):
    """Samples of which one bar weighs a billion times as much as the others."""
    data = samples()
    weights = data.weights.copy()
    weights[bar] *= 1e9
    return data._replace(weights=weights)


def parameters(told):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(told[0])]


def test_every_layer_has_a_name_and_a_column(sound):
    assert LAYERS == (
        "stem",
        "lstm layers 0",
        "lstm layers 1",
        "cnn layers 0",
        "heads lstm",
        "heads cnn",
    )
    assert sound[1].layer_gradient.shape == (30, len(LAYERS))


def test_layers_add_up_to_the_whole_gradient(sound):
    """Root mean squares and sizes give the norm that the update is clipped by."""
    told = sound[1]
    params = zoo.init(SIZES, FEATURES, 0)
    layers = zoo.by_layer(SIZES, FEATURES, params).values()
    sizes = np.array([sum(p.size for p in pieces) for pieces in layers])
    whole = np.sqrt((told.layer_gradient.astype(float) ** 2 * sizes).sum(1))
    np.testing.assert_allclose(whole, told.norm, rtol=1e-5)
    assert (told.gradient_norm < told.norm[:, None]).all()


def test_a_sound_fit_has_nothing_to_tell(sound):
    told = health.in_words(sound[1])
    assert told["skipped"] == {"not_finite": 0, "exploded": 0}
    assert told["vanished"] == {}
    assert told["updates"] == 30


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_teaches_nothing_and_is_counted(sound, value):
    found = fitted(data=planted(slice(8, 9), value))
    told = health.in_words(found[1])
    assert told["skipped"] == {"not_finite": 2, "exploded": 0}  # once an epoch
    rows = found[1].skipped > 0
    assert found[1].not_finite[rows].max() == 1
    assert not found[1].not_finite[~rows].any()
    assert not found[1].update_ratio[rows].any()
    assert all(np.isfinite(leaf).all() for leaf in parameters(found))
    pairs = zip(*map(parameters, (found, sound)), strict=True)
    assert any((one != other).any() for one, other in pairs)


def test_a_gradient_that_is_far_too_long_teaches_nothing_and_is_counted():
    found = fitted(data=heavy(8), own=settings(clip_norm=1e-3, explosion=1.0))
    told = health.in_words(found[1])
    assert told["skipped"] == {"not_finite": 0, "exploded": 6}  # all groups see the bar
    rows = found[1].skipped > 0
    assert (found[1].norm[rows] > 1e-3).all()
    assert (found[1].norm[~rows] <= 1e-3).all()
    assert not found[1].update_ratio[rows].any()


def test_a_long_gradient_is_clipped_and_counted(sound):
    found = fitted(data=samples(), own=settings(clip_norm=1e-3))[1]
    assert health.in_words(found)["clipped"] == 1
    assert 0 <= health.in_words(sound[1])["clipped"] < 1


@pytest.mark.parametrize(
    ("data", "own", "sentence"),
    [
        (planted(slice(6, None), np.nan), {}, r"\d+ % are not finite in stem"),
        (samples(), {"clip_norm": 1e-9}, r"the norm is \d\S*, most of it in \w+"),
    ],
    ids=["nan", "exploding"],
)
def test_too_many_in_a_row_stop_the_fit_and_name_a_layer(data, own, sentence):
    """Whichever symbols a group has, each of the later chunks is spoilt."""
    data.features[6:, :, 2] = data.features[6:, 4:5, 2]
    done, own = [], settings(most_skipped=5, **own)
    with pytest.raises(TrainingError, match=f"5 updates in a row.*{sentence}"):
        fitted(data=data, own=own, report=lambda stage, now, total: done.append(now))
    sound = 0 if own.clip_norm < 1 else 3
    assert done[-1] == sound + 5  # seen while one more is under way


def small_update(params, own):
    batch = jax.tree.map(lambda column: jnp.asarray(column[:6]), samples())
    grade = partial(gradients, Form(SIZES, 1, "float32"))
    carry = zoo.init_carry(SIZES, SYMBOLS)
    return update(SIZES, grade, begin(params), carry, batch, jnp.float32(60), own)


@pytest.fixture(scope="module")
def once():
    return jax.jit(small_update)


def test_the_rate_is_cut_after_a_bad_update_and_recovers(once):
    own = pace(settings(), 1e-3, 0)
    params = zoo.init(SIZES, FEATURES, 0)
    worse, _, row = once(params, own._replace(explosion=np.float32(0)))
    assert bool(row.is_skipped)
    assert float(worse.ease) == own.cut
    assert_same_bits(worse.params, params)
    assert_same_bits(worse.optimiser, begin(params).optimiser)
    better, _, row = once(params, own)
    assert not bool(row.is_skipped)
    assert float(better.ease) == 1


def with_deaf_layers(params, factor):
    """The LSTM's last norm passes hardly anything back to what lies before it."""
    module: Any = zoo.modules_of(SIZES, FEATURES, params).nets[0]
    norm = module.layers[-1].norm
    norm.scale[...] = norm.scale[...] * factor
    return params._replace(nets=(zoo.packed(module), *params.nets[1:]))


def loud(params, factor):
    """Heads that listen, and pass so much more back."""
    noise = jax.random.normal(jax.random.key(0), params.heads.rest.shape)
    return params._replace(heads=params.heads._replace(rest=factor * noise))


def unlooked(row):
    """An update whose gates nobody has looked at."""
    return health.Row(jax.device_get(row), np.full(2, np.nan, np.float32))


def test_heads_that_shout_explode_the_gradient(once):
    params = loud(zoo.init(SIZES, FEATURES, 0), 1e6)
    after, _, row = once(params, pace(settings(), 1e-3, 0))
    assert bool(row.is_skipped)
    assert not np.asarray(row.not_finite).any()
    assert 1e3 < float(row.norm) < np.inf
    assert_same_bits(after.params, params)


def test_layers_behind_a_vanishing_gradient_are_named(once):
    params, own = loud(zoo.init(SIZES, FEATURES, 0), 1.0), pace(settings(), 1e-3, 0)
    rows = [once(p, own)[2] for p in (params, with_deaf_layers(params, 1e-6))]
    told = health.history(SIZES, [unlooked(row) for row in (rows[0], *rows)])
    seen = health.vanished(told)
    assert not seen[:2].any()
    assert {LAYERS[i] for i in np.flatnonzero(seen[2])} == {"lstm layers 0"}
    assert health.in_words(told)["vanished"] == {"lstm layers 0": pytest.approx(1 / 3)}


def test_the_ratio_is_of_the_gradients_of_the_modules_themselves(once):
    """Taken from the net's own arrays, as Flax has them, not from the packed vector."""
    params, own = loud(zoo.init(SIZES, FEATURES, 0), 1.0), pace(settings(), 1e-3, 0)
    batch = jax.tree.map(lambda column: jnp.asarray(column[:6]), samples())
    carry, form = zoo.init_carry(SIZES, SYMBOLS), Form(SIZES, 1, "float32")
    found, _, _ = gradients(form, params, carry, batch, jnp.float32(60))
    net: Any = zoo.modules_of(SIZES, FEATURES, found).nets[0]
    first, last = (
        np.concatenate([np.ravel(x) for x in jax.tree.leaves(nnx.state(layer))])
        for layer in net.layers
    )
    expected = np.linalg.norm(first.astype(float)) / np.linalg.norm(last.astype(float))
    told = health.history(SIZES, [unlooked(once(params, own)[2])])
    ratios = health.first_to_last(told, told.layer_gradient)
    assert list(ratios) == ["lstm"]  # the other net has one layer
    np.testing.assert_allclose(ratios["lstm"], expected, rtol=1e-4)
    assert expected > 0.1


def test_heads_that_are_still_zero_are_no_vanishing(once):
    _, _, row = once(zoo.init(SIZES, FEATURES, 0), pace(settings(), 1e-3, 0))
    told = health.history(SIZES, [unlooked(row)])
    assert told.layer_gradient[0, LAYERS.index("lstm layers 0")] == 0
    assert not health.vanished(told).any()
    assert np.isnan(health.first_to_last(told, told.layer_gradient)["lstm"]).all()
    assert health.in_words(told)["first_to_last"] == {}
