"""The stage for a benchmark: a simulated market and the engine, warm and at work.

Everything is built as a run builds it, except that members are random: nothing is
learnt but units and scalers, from the first bars.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import msgspec

from benchmarks.members import random_members
from bot4jax import heap
from bot4jax.kernels import bars
from bot4jax.learn import labelling, novelty, params, regimes
from bot4jax.learn.calibrate import Calibration, OfRegime
from bot4jax.learn.dataset import record_bars
from bot4jax.modes.keeping import Kept, anchors_of, blank
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.tapes import closed_bars
from bot4jax.nets import zoo
from bot4jax.runtime.closings import Tape
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config
from bot4jax.schema.data import Spans
from bot4jax.state import State, init_deciding
from bot4jax.trees import forest
from bot4jax.types import PACKED

TRAIN, CALIBRATE = 64, 16
"""Bars: enough for units and scalers; nothing is calibrated."""

MIB = 1 << 20


class Alone(NamedTuple):
    """Parts of the engine's functions, compiled by themselves."""

    nets: Callable[..., Any]
    forest: Callable[..., Any]


class Compiled(NamedTuple):
    """What compiling cost, and what the compiled functions need."""

    seconds: dict[str, float]
    temporaries: dict[str, float]
    """MiB, by executable"""


class Stage(NamedTuple):
    """What a benchmark plays on."""

    setting: Setting
    alone: Alone
    compiled: Compiled
    kept: Kept
    """the engine before the first bar to be measured"""
    span: range
    """bars to walk through, warm-up and measured"""


def set_up(config: Config, steps: int, report: Report) -> Stage:
    """Compile everything anew, record the first bars and take units from them.

    The cache is turned off before anything is compiled: later it would be too late.
    """
    jax.config.update("jax_enable_compilation_cache", False)
    setting = set_stage(for_bench(config, steps))
    alone = compile_alone(setting)
    compiled = compile_cold(setting, alone, report)
    first = setting.split.test.start
    span = range(first, first + steps)
    kept = warmed(setting, report)
    heap.close_holes()
    return Stage(setting, alone, compiled, kept, span)


def for_bench(config: Config, steps: int) -> Config:
    """Short spans, no limit of losses or repeats: chance loses, but must go on trading.

    A span must be long enough for a label, even if fewer steps are walked.
    """
    risk = msgspec.structs.replace(
        config.risk,
        daily_loss_share=1.0,
        drawdown_share=1.0,
        losses_in_a_row=1_000_000,
        repeats=1_000_000,
    )
    spans = Spans(train=TRAIN, calibrate=CALIBRATE, test=max(steps, CALIBRATE))
    return msgspec.structs.replace(config, risk=risk, spans=spans)


def as_it_is(count: int) -> Calibration:
    """What changes nothing, in each of so many regimes."""
    each = (OfRegime(1.0, 0.0),) * count if count > 1 else ()
    return Calibration(1.0, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), None, each)


def compile_alone(setting: Setting) -> Alone:
    """The nets and the forest as the engine calls them."""
    step = partial(zoo.step, setting.settings.sizes)
    return Alone(jax.jit(step, donate_argnums=1), jax.jit(forest.log_probability))


def compile_cold(setting: Setting, alone: Alone, report: Report) -> Compiled:
    """Compile every executable; calls of the same shapes then use what was compiled.

    What this process compiled before is dropped first, or nothing would be measured.
    """
    jax.clear_caches()
    calls, seconds, temporaries = shapes_of_calls(setting, alone), {}, {}
    for done, (name, (function, shapes)) in enumerate(calls.items()):
        report("compiling", done, len(calls), name)
        began = time.perf_counter()
        executable = function.lower(*shapes).compile()
        seconds[name] = round(time.perf_counter() - began, 4)
        needs = executable.memory_analysis()
        temporaries[name] = getattr(needs, "temp_size_in_bytes", 0) / MIB
    report("compiling", len(calls), len(calls))
    return Compiled(seconds, temporaries)


def shapes_of_calls(setting: Setting, alone: Alone) -> dict[str, tuple[Any, tuple]]:
    """Every function with the shapes of its arguments."""
    engine, layout = setting.engine, setting.settings.layout
    fitted, state, *_ = jax.eval_shape(lambda: blank(setting))
    packed = jax.ShapeDtypeStruct((layout.capacity, len(PACKED)), jnp.int32)
    latency = jax.ShapeDtypeStruct((), jnp.int32)
    slots = jax.ShapeDtypeStruct((layout.symbols,), jnp.bool_)
    held = jax.ShapeDtypeStruct((layout.symbols,), jnp.float32)
    _, *closed = jax.eval_shape(engine.close, state.bars)
    observing = (fitted.units, state.observing, *closed)
    _, seen = jax.eval_shape(engine.observe, *observing)
    glancing = fitted.units, jax.eval_shape(engine.apart, state.observing), *closed
    _, glanced = jax.eval_shape(engine.glance, *glancing)
    concluding = (fitted, state.deciding, seen, *closed, held)
    return {
        "absorb": (engine.absorb, (state.bars, packed, latency)),
        "reopen": (engine.reopen, (state.bars, slots)),
        "close": (engine.close, (state.bars,)),
        "glance": (engine.glance, glancing),
        "fall_back": (engine.fall_back, (fitted.rules, glanced, *closed, held)),
        "observe": (engine.observe, observing),
        "conclude": (engine.conclude, concluding),
        "nets": (alone.nets, (fitted.nets, state.deciding.carry, seen.values)),
        "forest": (alone.forest, (fitted.forest, seen.values)),
    }


def warmed(setting: Setting, report: Report) -> Kept:
    """The engine after the bars before the test span, with random members."""
    config, split, settings = setting.config, setting.split, setting.settings
    opened = bars.init_bars(anchors_of(setting))
    tape, closed = closed_bars(setting, opened, 0, split.test.start)
    record = record_bars(0, ((one.ints, one.floats) for one in closed))
    units, observing, data = params.prepare(
        config, settings, setting.engine, record, split, report
    )
    labels = labelling.label_bars(
        data, split.train, settings.layout.horizon, config.labels.flat_share
    )
    fitted = params.assemble(
        config,
        settings,
        setting.source.universe,
        units,
        random_members(settings, config.trees, config.run.seed),
        labels,
        dict.fromkeys(settings.members, as_it_is(settings.regimes)),
        regimes.fit_edges(data, split.train, settings.regimes),
    )
    open_bars = tape.open_bars if isinstance(tape, Tape) else opened
    state = State(open_bars, observing, init_deciding(settings))
    nothing_new = novelty.blank(len(settings.plan.specs))
    return Kept(fitted, state, jnp.int32(split.test.start), nothing_new)
