"""One promise for all nets: serving bar by bar is training on whole chunks."""

from functools import partial

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest

from bot4jax.nets import packing, zoo
from bot4jax.nets.sizes import NETS, CNNSizes, NetSizes
from tests.small_nets import (
    BARS,
    FEATURES,
    SMALL,
    SYMBOLS,
    by_steps,
    exact,
    inputs,
    noisy,
    quick,
    unroll,
    warmed,
)

FORMS = pytest.mark.parametrize("form", [unroll, by_steps], ids=["unroll", "steps"])


@pytest.fixture(scope="module")
def params():
    return noisy(SMALL)


@pytest.fixture(scope="module")
def fresh():
    return zoo.init_carry(SMALL, SYMBOLS)


@pytest.fixture(scope="module")
def used(params):
    return warmed(SMALL, params)


def assert_same_forecast(found, expected):
    """Other shapes are other executables: probabilities agree to 1e-6, not in bits."""
    np.testing.assert_allclose(np.exp(found), np.exp(expected), atol=1e-6)


def assert_rounded(carry, truth):
    """Each vector and ring within a few roundings of its largest entry."""
    pairs = zip(jax.tree.leaves(carry), jax.tree.leaves(truth), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * np.abs(other).max())


@pytest.mark.parametrize("start", ["fresh", "used"])
def test_unroll_says_what_steps_say(params, start, request):
    carry, xs = request.getfixturevalue(start), inputs()
    end, found = unroll(SMALL, params, carry, xs)
    expected_end, expected = by_steps(SMALL, params, carry, xs)
    assert np.ptp(expected, axis=(0, 2, 3)).min() > 0.1  # every net says something
    true_end, true = exact(SMALL, params, carry, xs)
    for one in (found, expected):
        assert_same_forecast(one, true)
    for own in (end, expected_end):
        assert_rounded(own, true_end)


def test_unroll_has_the_gradients_of_steps(params, used):
    xs, pull = inputs(), inputs(5, BARS, len(NETS) * SYMBOLS, 3)
    pull = pull.reshape(BARS, len(NETS), SYMBOLS, 3) / 10

    def gradient(form):
        def loss(params, memory, rings, xs):
            carry = used._replace(memory=memory, rings=rings)
            return (form.__wrapped__(SMALL, params, carry, xs)[1] * pull).sum()

        grade = quick(jax.grad(loss, argnums=(0, 1, 2, 3)))
        return jax.tree.leaves(grade(params, used.memory, used.rings, xs))

    for found, expected in zip(gradient(unroll), gradient(by_steps), strict=True):
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk", [1, 6])
def test_any_split_into_chunks_says_the_same(params, fresh, chunk):
    xs, carry, said = inputs(), fresh, []
    _, expected = unroll(SMALL, params, fresh, xs)
    for start in range(0, BARS, chunk):
        carry, part = unroll(SMALL, params, carry, xs[start : start + chunk])
        said.append(part)
    assert_same_forecast(np.concatenate(said), expected)


@FORMS
def test_the_future_changes_nothing_earlier(params, used, form):
    xs, half = inputs(), BARS // 2
    _, one = form(SMALL, params, used, xs)
    _, other = form(SMALL, params, used, xs.at[half:].multiply(-50.0))
    np.testing.assert_array_equal(one[:half], other[:half])
    assert np.abs(one - other)[half].max(axis=(1, 2)).min() > 1e-3


@FORMS
def test_symbols_do_not_hear_each_other(params, fresh, form):
    xs = inputs()
    _, one = form(SMALL, params, fresh, xs)
    _, other = form(SMALL, params, fresh, xs.at[:, 1].add(3.0))
    np.testing.assert_array_equal(one[:, :, [0, 2]], other[:, :, [0, 2]])
    assert np.abs(one - other)[:, :, 1].max(axis=2).min() > 0


@FORMS
def test_a_reset_slot_equals_a_fresh_one(params, fresh, used, form):
    """Even where the former owner's states were not numbers."""
    xs = inputs()
    spoilt = used._replace(
        memory=tuple(one.at[1].set(jnp.nan) for one in used.memory),
        rings=tuple(ring.at[1].set(jnp.nan) for ring in used.rings),
    )
    again = zoo.reset(spoilt, jnp.array([False, True, False]))
    _, found = form(SMALL, params, again, xs)
    _, expected = form(SMALL, params, fresh._replace(index=used.index), xs)
    _, kept = form(SMALL, params, used, xs)
    np.testing.assert_array_equal(found[:, :, 1], expected[:, :, 1])
    np.testing.assert_array_equal(found[:, :, [0, 2]], kept[:, :, [0, 2]])
    assert np.abs(kept - expected)[0].max(axis=(1, 2)).min() > 1e-3


def test_the_index_of_the_rings_never_outgrows_its_type(params, fresh):
    """Modulo the least common multiple of 3, 7 and 6 slots."""
    late = fresh._replace(index=jnp.int32(41))
    end, _ = by_steps(SMALL, params, late, inputs())
    assert int(end.index) == (41 + BARS) % 42


def test_nets_say_the_same_in_other_company(params, fresh):
    """A choice of members, in another order."""
    chosen = msgspec.structs.replace(SMALL, members=("cnn", "lstm"))
    lstm, _, cnn, _ = np.split(params.heads.rest, np.cumsum([3 * 6, 3 * 5, 3 * 7]))
    heads = params.heads._replace(rest=jnp.concatenate([cnn, lstm]))
    own = zoo.NetParams(params.stem, (params.nets[2], params.nets[0]), heads)
    _, found = unroll(chosen, own, zoo.init_carry(chosen, SYMBOLS), inputs())
    _, expected = unroll(SMALL, params, fresh, inputs())
    assert_same_forecast(found, expected[:, [2, 0]])


def test_large_matrices_stand_alone_and_change_nothing(params, fresh, monkeypatch):
    modules = zoo.modules_of(SMALL, FEATURES, params)
    _, expected = unroll(SMALL, params, fresh, inputs())
    monkeypatch.setattr(packing, "LARGE", 40)
    nets = tuple(map(packing.packed, modules.nets))
    heads = packing.packed(modules.heads)
    own = zoo.NetParams(packing.packed(modules.stem), nets, heads)
    assert [len(net.large) for net in nets] == [5, 2, 3, 9]
    _, found = unroll(SMALL, own, fresh, inputs())
    assert_same_forecast(found, expected)
    counts = (zoo.parameter_counts(SMALL, one) for one in (own, params))
    assert next(counts) == next(counts)
    mask = zoo.decay_mask(SMALL, FEATURES)
    assert jax.tree.map(jnp.shape, mask) == jax.tree.map(jnp.shape, own)


def test_a_step_writes_in_place():
    """Donated: the compiled step copies neither the memory nor a ring."""
    sizes, symbols, features = NetSizes(), 1024, 20
    params = jax.eval_shape(lambda: zoo.init(sizes, features, 0))
    carry = jax.eval_shape(lambda: zoo.init_carry(sizes, symbols))
    x = jax.ShapeDtypeStruct((symbols, features), np.float32)
    step = jax.jit(partial(zoo.step, sizes), donate_argnums=1)
    text = step.lower(params, carry, x).compile().as_text() or ""
    for leaf in (*carry.memory, *carry.rings):
        shape = "f32[" + ",".join(map(str, leaf.shape)) + "]{"
        lines = [line for line in text.splitlines() if f"= {shape}" in line]
        assert lines
        assert not [line for line in lines if " copy(" in line]


def test_wild_inputs_still_give_probabilities(params, fresh):
    _, said = by_steps(SMALL, params, fresh, inputs() * 1e4)
    np.testing.assert_allclose(np.exp(said).sum(-1), 1, atol=1e-6)


def test_fresh_nets_say_the_prior(fresh):
    prior = (0.2, 0.5, 0.3)
    _, said = unroll(SMALL, zoo.init(SMALL, FEATURES, 3, prior), fresh, inputs())
    expected = np.broadcast_to(prior, said.shape)
    np.testing.assert_allclose(np.exp(said), expected, atol=1e-6)


def test_weights_come_from_the_seed_alone():
    one, same, other = (zoo.init(SMALL, FEATURES, seed) for seed in (4, 4, 5))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(one.nets, other.nets, strict=True):
        assert not np.array_equal(a.rest, b.rest)


def test_parameters_are_counted_by_part():
    sizes, features = NetSizes(), 130
    params = jax.eval_shape(lambda: zoo.init(sizes, features, 0))
    counts = zoo.parameter_counts(sizes, params)
    stem = features * 48 + 48 + 2 * 48
    lstm = sum(4 * h * (x + h + 1) + x * h + 2 * h for x, h in [(48, 64), (64, 32)])
    gru = 3 * 48 * (48 + 48 + 2) + 2 * 48
    cnn = (3 * 48 + 1) * 32 + 48 * 32 + 2 * (3 * 32 + 1) * 32 + 3 * 2 * 32
    attention = 32 * (32 + 2 * 8) + 4 * 32 + 32 * 32
    transformer = 49 * 32 + attention + 33 * 64 + 65 * 32 + 3 * 2 * 32
    heads = 3 * (33 + 49 + 33 + 33)
    assert counts == {
        "stem": stem,
        "lstm": lstm,
        "gru": gru,
        "cnn": cnn,
        "transformer": transformer,
        "heads": heads,
        "total": stem + lstm + gru + cnn + transformer + heads,
    }


def test_only_matrices_decay():
    mask, params = zoo.decay_mask(SMALL, FEATURES), zoo.init(SMALL, FEATURES, 0)
    assert [m.shape for m in jax.tree.leaves(mask)] == [
        p.shape for p in jax.tree.leaves(params)
    ]
    assert float(mask.stem.rest.sum()) == FEATURES * SMALL.stem
    assert float(mask.heads.rest.sum()) == 3 * (5 + 4 + 6 + 8)


def test_impossible_sizes_are_refused_with_every_reason():
    with pytest.raises(ValueError, match=r"names.*cnn\.dilations: 3 dilations"):
        zoo.init(NetSizes(members=("names",), cnn=CNNSizes(channels=(2,))), FEATURES, 0)
