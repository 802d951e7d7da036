"""The Transformer against attention written out in NumPy, pair by pair."""

import numpy as np
import pytest

from bot4jax.nets.sizes import TransformerSizes
from bot4jax.nets.transformer import Block, Transformer
from tests.small_nets import inputs, module_unroll

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


@pytest.mark.parametrize(("heads", "key_heads"), [(4, 1), (4, 2), (2, 2)])
def test_unroll_is_attention_to_the_last_bars(heads, key_heads):
    block, xs = block_of(heads, key_heads), inputs(bars=BARS, features=WIDTH)[:, 0]
    ring = np.zeros((1, key_heads, WIDTH // heads, CONTEXT), np.float32)
    clock = (
        Transformer(
            TransformerSizes(width=WIDTH, context=CONTEXT), 3, np.random.default_rng(0)
        )
        .init_state()
        .clock
    )
    _, _, found = module_unroll(block, ring, ring, clock, xs)
    expected = by_hand(block, xs, heads, key_heads)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_past_reaches_exactly_as_far_as_the_context():
    sizes = TransformerSizes(width=WIDTH, context=CONTEXT, feed_forward=5)
    net = Transformer(sizes, 3, np.random.default_rng(1))
    xs = inputs(bars=BARS, features=3)[:, 0]
    _, one = module_unroll(net, net.init_state(), xs)
    _, other = module_unroll(net, net.init_state(), xs.at[0].add(5.0))
    changed = np.flatnonzero(np.abs(np.asarray(one - other)).max(1) > 0)
    assert changed.max() == CONTEXT - 1


def test_shared_key_heads_divide_the_rings():
    full = TransformerSizes(width=128, blocks=4, heads=8, context=64)
    net = Transformer(full, 3, np.random.default_rng(1))
    assert net.ring == (4, 1, 16, 64)
