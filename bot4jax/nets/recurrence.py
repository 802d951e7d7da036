"""A loop over bars whose only matrix product is that with the hidden state.

All symbols go through it side by side, and so does the chain rule on its way back
(Werbos 1990): a turn hands the gradient of the hidden state to the bar before. That of
the weights is one product behind the loop, where the loop's own derivative would add up
as many as there are bars, each as large as the weights.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from bot4jax.nets.carry import Memory
from bot4jax.nets.layers import product

BARS_A_TURN = 5
"""Of a GPU, which launches fewer kernels then: training in bfloat16 takes a quarter
less than with 1. A CPU takes one bar a turn."""

Weights = tuple[Float[Array, "H G"], Float[Array, " G"] | None]
"""Of the product with the hidden state, and what is added to it, if anything."""

Cell = Callable[[Array, Array, Memory], Memory]
"""`cell(drive, past, memory)`: what is remembered next, entry by entry. `past` is the
product of the hidden state, which comes first in the memory; a function of a module, so
that it means the same in every call."""


def recur(
    cell: Cell, weights: Weights, drive: Float[Array, "T *S G"], memory: Memory
) -> tuple[Memory, Float[Array, "T *S H"]]:
    """The memory behind the last bar, and the hidden state behind every bar.

    `drive` is what each bar adds to the gates. Symbols share the weights and lie side
    by side: under `jax.vmap` each would have a gradient of the weights of its own.
    """
    return _recur(cell, weights, drive, memory)


def _walked(
    cell: Cell,
    weights: Weights,
    drive: Float[Array, "T *S G"],
    memory: Memory,
) -> tuple[Memory, Float[Array, "T *S H"]]:
    def turn(memory: Memory, drive: Array) -> tuple[Memory, Array]:
        memory = cell(drive, _past(memory, weights), memory)
        return memory, memory[0]

    return _loop(turn, memory, drive)


def _forth(
    cell: Cell, weights: Weights, drive: Array, memory: Memory
) -> tuple[tuple[Memory, Array], tuple]:
    """The same, and each bar's way back."""

    def turn(memory: Memory, drive: Array) -> tuple[Memory, tuple]:
        before, past = memory[0], _past(memory, weights)
        memory, back = jax.vjp(cell, drive, past, memory)
        return memory, (memory[0], before, back)

    last, (hidden, before, backs) = _loop(turn, memory, drive)
    return (last, hidden), (weights, before, backs)


def _back(cell: Cell, kept: tuple, gradient: tuple[Memory, Array]) -> tuple:
    """Gradients of the weights, of what each bar adds, and of the first memory."""
    (kernel, bias), before, backs = kept
    last, hidden = gradient

    def turn(after: Memory, bar: tuple) -> tuple[Memory, tuple]:
        said, back = bar
        on_drive, on_past, memory = back((after[0] + said, *after[1:]))
        first = memory[0] + product(on_past, kernel.T)
        # a cell that adds them up has one gradient for both: it is kept once
        own = None if on_drive is on_past else on_drive
        return (first, *memory[1:]), (on_past, own)

    on_memory, (on_pasts, on_drives) = _loop(turn, last, (hidden, backs), reverse=True)
    on_drives = on_pasts if on_drives is None else on_drives
    typed = (one.astype(kernel.dtype) for one in (before, on_pasts))
    rows = map(_rows, typed)
    on_kernel = jnp.einsum("nh,ng->hg", *rows, preferred_element_type=jnp.float32)
    on_bias = None if bias is None else _rows(on_pasts).sum(0)
    return (on_kernel.astype(kernel.dtype), on_bias), on_drives, on_memory


_recur: Any = jax.custom_vjp(_walked, nondiff_argnums=(0,))
_recur.defvjp(_forth, _back)


def _past(memory: Memory, weights: Weights) -> Float[Array, "*S G"]:
    kernel, bias = weights
    past = product(memory[0], kernel)
    return past if bias is None else past + jnp.broadcast_to(bias, past.shape)


def _rows(one: Float[Array, "*T H"]) -> Float[Array, "N H"]:
    """Bars and symbols as one axis."""
    return one.reshape(-1, one.shape[-1])


def _loop(turn: Callable, first: Any, rows: Any, reverse: bool = False) -> Any:
    """Bar after bar, or from the last to the first."""
    scan = partial(lax.scan, turn, reverse=reverse)
    return lax.platform_dependent(
        first, rows, cuda=partial(scan, unroll=BARS_A_TURN), default=scan
    )
