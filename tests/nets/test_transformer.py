"""The Transformer against attention written out in NumPy, pair by pair."""

import numpy as np
import pytest

from bot4jax.nets.carry import advance, fresh
from bot4jax.nets.sizes import TransformerSizes
from bot4jax.nets.transformer import Block, Transformer
from tests.small_nets import inputs, module_unroll, quick

BARS, WIDTH, CONTEXT = 17, 8, 6


def block_of(heads, key_heads):
    sizes = TransformerSizes(
        width=WIDTH,
        blocks=1,
        heads=heads,
        key_heads=key_heads,
        feed_forward=5,
        context=CONTEXT,
    )
    rng = np.random.default_rng(7)
    block = Block(sizes, 0, rng)
    block.bias[...] = rng.normal(size=block.bias[...].shape).astype(np.float32)
    block.widen.bias[...] = rng.normal(size=5).astype(np.float32)
    return block


def normalised(x):
    x = x - x.mean(1, keepdims=True)
    return x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-6)


def by_hand(block, xs, heads, key_heads):
    """Every query with every key, float64, masks as if-clauses."""
    x, depth = np.asarray(xs, np.float64), WIDTH // heads
    inner = normalised(x) @ np.asarray(block.project.kernel[...], np.float64)
    query = inner[:, :WIDTH].reshape(BARS, heads, depth)
    key, value = np.split(inner[:, WIDTH:].reshape(BARS, 2, key_heads, depth), 2, 1)
    bias = np.asarray(block.bias[...]).reshape(heads, CONTEXT)
    mixed = np.zeros((BARS, heads, depth))
    for t in range(BARS):
        for h in range(heads):
            group, seen = h * key_heads // heads, range(max(0, t - CONTEXT + 1), t + 1)
            scores = [
                query[t, h] @ key[s, 0, group] / np.sqrt(depth)
                + bias[h, (s - t) % CONTEXT]
                for s in seen
            ]
            weight = np.exp(scores) / np.exp(scores).sum()
            mixed[t, h] = sum(
                w * value[s, 0, group] for w, s in zip(weight, seen, strict=True)
            )
    x = x + mixed.reshape(BARS, WIDTH) @ np.asarray(block.out.kernel[...])
    wide = normalised(x) @ block.widen.kernel[...] + block.widen.bias[...]
    return x + np.maximum(wide, 0) @ block.narrow.kernel[...] + block.narrow.bias[...]


SHARED = pytest.mark.parametrize(
    ("heads", "key_heads"), [(4, 1), (4, 2), (4, 4), (2, 2), (1, 1)]
)
"""One pair of keys and values for all heads, one for every two, one for each."""


def rings(heads, key_heads):
    """Keys or values of no bar yet."""
    return np.zeros((1, key_heads, WIDTH // heads, CONTEXT), np.float32)


@SHARED
def test_unroll_is_attention_to_the_last_bars(heads, key_heads):
    block, xs = block_of(heads, key_heads), inputs(bars=BARS, features=WIDTH)[:, 0]
    ring = rings(heads, key_heads)
    _, _, found = module_unroll(block, ring, ring, fresh().clock, xs)
    expected = by_hand(block, xs, heads, key_heads)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@SHARED
def test_steps_are_attention_to_the_last_bars(heads, key_heads):
    """Bar by bar, over rings that wrap twice."""
    block, xs = block_of(heads, key_heads), inputs(bars=BARS, features=WIDTH)[:, 0]
    keys = values = rings(heads, key_heads)
    clock, step, found = fresh().clock, quick(Block.step), []
    for x in xs:
        keys, values, said = step(block, keys, values, clock, x)
        found.append(said)
        clock = advance(clock, 1, CONTEXT)
    expected = by_hand(block, xs, heads, key_heads)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_blocks_in_a_row_stream_what_they_unroll(key_heads):
    sizes = TransformerSizes(
        width=WIDTH, blocks=2, key_heads=key_heads, context=CONTEXT, feed_forward=5
    )
    net = Transformer(sizes, 3, np.random.default_rng(4))
    xs, carry = inputs(bars=BARS, features=3)[:, 0], net.init_state()
    whole, expected = module_unroll(net, carry, xs)
    step, found = quick(Transformer.step), []
    for x in xs:
        carry, said = step(net, carry, x)
        found.append(said)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    pairs = zip(carry.rings, whole.rings, strict=True)
    for one, other in pairs:
        assert one.shape == (2, key_heads, WIDTH // 4, CONTEXT)
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_heads_that_share_keys_are_heads_with_the_same_keys():
    """Each group's key and value, repeated for every head, change nothing."""
    shared, own = block_of(4, 2), block_of(4, 4)
    projected = np.asarray(shared.project.kernel[...])
    query, rest = projected[:, :WIDTH], projected[:, WIDTH:].reshape(WIDTH, 2, 2, -1)
    repeated = np.repeat(rest, 2, axis=2).reshape(WIDTH, -1)
    own.project.kernel[...] = np.concatenate([query, repeated], axis=1)
    own.bias[...] = np.asarray(shared.bias[...]).reshape(own.bias[...].shape)
    for layer in ("out", "widen", "narrow"):
        kernel = getattr(shared, layer).kernel[...]
        getattr(own, layer).kernel[...] = kernel
    own.widen.bias[...] = shared.widen.bias[...]
    xs = inputs(bars=BARS, features=WIDTH)[:, 0]
    said = [
        module_unroll(block, rings(4, groups), rings(4, groups), fresh().clock, xs)[2]
        for block, groups in ((shared, 2), (own, 4))
    ]
    np.testing.assert_allclose(*said, atol=1e-5)


def test_the_past_reaches_exactly_as_far_as_the_context():
    sizes = TransformerSizes(width=WIDTH, context=CONTEXT, feed_forward=5)
    net = Transformer(sizes, 3, np.random.default_rng(1))
    xs = inputs(bars=BARS, features=3)[:, 0]
    _, one = module_unroll(net, net.init_state(), xs)
    _, other = module_unroll(net, net.init_state(), xs.at[0].add(5.0))
    changed = np.flatnonzero(np.abs(np.asarray(one - other)).max(1) > 0)
    assert changed.max() == CONTEXT - 1


@pytest.mark.parametrize("key_heads", [1, 2, 8])
def test_shared_key_heads_divide_the_rings(key_heads):
    full = TransformerSizes(
        width=128, blocks=4, heads=8, key_heads=key_heads, context=64
    )
    net = Transformer(full, 3, np.random.default_rng(1))
    assert net.ring == (4, key_heads, 16, 64)
