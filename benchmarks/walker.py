"""A compiled bank by itself, without ticks and scores, called bar after bar."""

import time
from collections.abc import Sequence
from functools import partial
from itertools import cycle
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.bars import unit_scales
from bot4jax.kernels import bank
from bot4jax.kernels.bank import BankState
from bot4jax.kernels.bars import unpack_bar
from bot4jax.kernels.history import Scales
from bot4jax.kernels.planning import Plan
from bot4jax.kernels.usable import RawFeatures
from bot4jax.schema import Config
from bot4jax.types import BAR_FLOATS, BAR_INTS, Bar, Layout


class Walker:
    """A bank and its state."""

    def __init__(self, plan: Plan, scales: Scales, given: Sequence[tuple]) -> None:
        self.scales, self.given = scales, cycle(given)
        self.state = bank.init(plan)
        began = time.perf_counter()
        self.push = lowered(plan).compile()
        self.compile_s = round(time.perf_counter() - began, 4)

    def __call__(self) -> RawFeatures:
        self.state, raw = self.push(self.scales, self.state, *next(self.given))
        return raw


def layout_of(config: Config) -> Layout:
    """Every column of a bar is there."""
    return Layout(
        symbols=config.data.symbols,
        window=config.features.window,
        capacity=config.runtime.capacity,
        horizon=config.labels.horizon,
        latency=0,
        columns=Bar._fields,
    )


def lowered(plan: Plan) -> Any:
    """One bar of the bank, ready to be compiled as the engine compiles it."""
    symbols = plan.layout.symbols
    scales = jax.eval_shape(partial(unit_scales, symbols))
    state = jax.eval_shape(partial(bank.init, plan))
    ints = jax.ShapeDtypeStruct((len(BAR_INTS), symbols), jnp.int32)
    floats = jax.ShapeDtypeStruct((len(BAR_FLOATS), symbols), jnp.float32)
    push = jax.jit(partial(_push, plan), donate_argnums=1)
    return push.lower(scales, state, ints, floats)


def _push(
    plan: Plan, scales: Scales, state: BankState, ints: Any, floats: Any
) -> tuple[BankState, RawFeatures]:
    return bank.update(plan, scales, state, unpack_bar(ints, floats))
