"""The loop over bars against the same loop as JAX derives it by itself."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from bot4jax.nets import gru, lstm
from bot4jax.nets.recurrence import recur

BARS, SYMBOLS, WIDTH = 13, 5, 4
"""Bars are no multiple of those that a GPU takes in one turn."""


def each(run):
    """Symbol by symbol."""

    def vmapped(cell, *given):
        return jax.vmap(partial(run, cell), (None, 1, 0), (0, 1))(*given)

    return vmapped


@each
def written_out(cell, weights, drive, memory):
    """One symbol, bar after bar; JAX derives it."""
    kernel, bias = weights

    def turn(memory, drive):
        past = jnp.matmul(memory[0].astype(kernel.dtype), kernel)
        past = past.astype(jnp.float32) + (0 if bias is None else bias)
        memory = cell(drive, past, memory)
        return memory, memory[0]

    return lax.scan(turn, memory, drive)


def case(gates, vectors, has_bias, dtype=jnp.float32):
    random = np.random.default_rng(gates)

    def drawn(*shape):
        return jnp.asarray(random.normal(size=shape) * 0.7, jnp.float32)

    width = gates * WIDTH
    weights = drawn(WIDTH, width).astype(dtype), drawn(width) if has_bias else None
    memory = tuple(drawn(SYMBOLS, WIDTH) for _ in range(vectors))
    return weights, drawn(BARS, SYMBOLS, width), memory


CASES = {
    "lstm": (lstm._cell, partial(case, 4, 2, False)),
    "gru": (gru._cell, partial(case, 3, 1, True)),
}


def score(run, cell, weights, drive, memory):
    """A number that every bar of every symbol moves, and the last memory too."""
    after, hidden = run(cell, weights, drive, memory)
    worth = jnp.cos(jnp.arange(hidden.size, dtype=jnp.float32)).reshape(hidden.shape)
    ends = [(jnp.sin(1 + one) * (k + 1)).sum() for k, one in enumerate(after)]
    return (hidden * worth).sum() + sum(ends)


def gradients(run, cell, *asked):
    return jax.jit(jax.value_and_grad(partial(score, run, cell), (0, 1, 2)))(*asked)


@pytest.mark.parametrize("form", [recur, each(recur)], ids=["together", "each"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_loop_itself(name, form):
    cell, made = CASES[name]
    asked = made()
    truth = gradients(written_out, cell, *asked)
    for own, other in zip(
        jax.tree.leaves(gradients(form, cell, *asked)),
        jax.tree.leaves(truth),
        strict=True,
    ):
        assert np.abs(other).max() > 0.1
        np.testing.assert_allclose(own, other, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_products_in_bfloat16_have_the_gradients_of_their_float32(name):
    cell, made = CASES[name]
    rough, exact = made(jnp.bfloat16), made()
    exact = (
        (exact[0][0].astype(jnp.bfloat16).astype(jnp.float32), exact[0][1]),
        *exact[1:],
    )
    found, truth = gradients(recur, cell, *rough), gradients(written_out, cell, *exact)
    assert found[1][0][0].dtype == jnp.bfloat16
    for own, other in zip(jax.tree.leaves(found), jax.tree.leaves(truth), strict=True):
        apart = np.linalg.norm(own.astype(np.float32) - other)
        assert apart < 0.02 * np.linalg.norm(other)


@pytest.mark.parametrize("name", CASES)
def test_one_symbol_alone_says_what_it_says_among_others(name):
    cell, made = CASES[name]
    weights, drive, memory = made()
    _, many = recur(cell, weights, drive, memory)
    _, one = recur(cell, weights, drive[:, 2], tuple(part[2] for part in memory))
    np.testing.assert_allclose(one, many[:, 2], rtol=1e-6, atol=1e-6)
