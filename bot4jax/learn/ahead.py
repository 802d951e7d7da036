"""Compiling what a fit will call, in a thread, while what comes before it goes on.

XLA compiles without Python's lock, and whoever calls a function with arguments of the
types and shapes that it was compiled for finds it compiled. A program that is never
called costs its compilation, one that is called with other shapes is compiled then: no
number depends on any of this.

Source: JAX documentation, Ahead-of-time lowering and compilation.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bot4jax import heap
from bot4jax.engine import compile_engine
from bot4jax.learn import fit, mesh, resume
from bot4jax.learn.blanks import blank_params, blank_units
from bot4jax.learn.boosting import is_asked
from bot4jax.learn.schedule import blank_batch, pace
from bot4jax.nets import zoo
from bot4jax.schema import Config
from bot4jax.state import Deciding, Params, Settings, init_deciding, init_observing
from bot4jax.trees import forest
from bot4jax.types import BAR_FLOATS, BAR_INTS, CLASSES


class Program(NamedTuple):
    """A function that `jax.jit` gave, and arguments like those of its calls."""

    function: Any
    arguments: tuple[Any, ...]


@contextmanager
def compiled(programs: Iterable[Program]) -> Iterator[None]:
    """While the block goes on, and before what follows it, these are compiled in turn.

    A block that fails waits for the one that is being compiled, and for no other.
    """
    is_over = Event()
    with ThreadPoolExecutor(1) as pool:
        compiling = pool.submit(_compile, programs, is_over)
        try:
            yield
        except BaseException:
            is_over.set()
            raise
        compiling.result()
    heap.close_holes()


def _compile(programs: Iterable[Program], is_over: Event) -> None:
    for function, arguments in programs:
        if is_over.is_set():
            return
        function.lower(*arguments).compile()


def for_features(settings: Settings) -> Iterator[Program]:
    """What every recorded bar goes through."""
    yield Program(compile_engine(settings).observe, _observed(settings))


def for_members(config: Config, settings: Settings) -> Iterator[Program]:
    """What nets are fitted with, members asked and the vote walked with, in turn."""
    params, deciding = jax.eval_shape(
        lambda: (blank_params(settings, config.trees), init_deciding(settings))
    )
    yield from _for_fit(config, settings)
    yield from _for_forecasts(settings, params, deciding.carry)
    yield from _for_vote(config, settings, params, deciding)


def _for_fit(config: Config, settings: Settings) -> Iterator[Program]:
    """The glance, which comes first, and the update."""
    symbols, features = settings.layout.symbols, len(settings.plan.specs)
    form, devices, lanes = fit.laid_out(
        settings.sizes, symbols, config.train, config.hardware
    )
    before = resume.blank(form, features, lanes, groups=1, updates=1)
    fitting = mesh.on_all(devices, before.fitting)
    carry = mesh.carry_by_symbol(devices, before.carries[0])
    batch = mesh.batch_by_symbol(devices, blank_batch(config.train, lanes, features))
    yield Program(fit.glance(devices, form), (fitting.params, carry, batch))
    rest = np.float32(0), pace(config.train, 0.0, 0.0)
    yield Program(fit.compiled_update(devices, form), (fitting, carry, batch, *rest))


def _for_forecasts(
    settings: Settings, params: Params, carry: zoo.NetCarry
) -> Iterator[Program]:
    """Many bars through the nets, one bar, and one through the forest."""
    bar = _floats(settings.layout.symbols, len(settings.plan.specs))
    for form, given in (
        (zoo.unroll, _floats(fit.PASS_BARS, *bar.shape)),
        (zoo.step, bar),
    ):
        walk = fit.compiled_form(form, settings.sizes)
        yield Program(walk, (params.nets, carry, given))
    if "trees" in settings.members:
        yield Program(jax.jit(forest.log_probability), (params.forest, bar))


def _for_vote(
    config: Config, settings: Settings, params: Params, deciding: Deciding
) -> Iterator[Program]:
    """`conclude`, or the two that it is where the forest is asked by itself."""
    engine, symbols = compile_engine(settings), settings.layout.symbols
    observed = _observed(settings)
    _, seen = jax.eval_shape(engine.observe, *observed)
    heard = seen, *observed[2:], _floats(symbols)
    if not is_asked(config, settings):
        yield Program(engine.conclude, (params, deciding, *heard))
        return
    asked = params.nets, deciding.carry, seen.values
    _, by_nets = jax.eval_shape(engine.foresee, *asked)
    by_trees = _floats(symbols, len(CLASSES))
    yield Program(engine.foresee, asked)
    yield Program(engine.decide, (params, deciding, by_nets, by_trees, *heard))


def _observed(settings: Settings) -> tuple[Any, ...]:
    """Units, the state, and a closed bar."""
    symbols = settings.layout.symbols
    units = jax.eval_shape(lambda: blank_units(settings))
    state = jax.eval_shape(partial(init_observing, settings), units.scales)
    ints = jax.ShapeDtypeStruct((len(BAR_INTS), symbols), jnp.int32)
    return units, state, ints, _floats(len(BAR_FLOATS), symbols)


def _floats(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)
