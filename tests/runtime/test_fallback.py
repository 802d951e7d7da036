"""The fallback by itself says what it would say of all features' scores.

Its own bank, scaler, units and memory are compared with those of `observe`: over a
split, after its memory was kept and taken up again, and taken out of that of all.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax.kernels.clean import Scaler
from bot4jax.modes.keeping import blank
from bot4jax.modes.setting import Setting
from bot4jax.nets.fallback import FallbackParams, fallback
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.deadline import Voice, voice_of
from bot4jax.runtime.decider import Decider, Memory, Remembered
from bot4jax.runtime.fallback import Glanced
from bot4jax.state import Params, copied, init_deciding, init_observing
from tests.runtime.test_splits import (
    SPLIT_BAR,
    arrivals,
    events,
    staged,
    tape_of,
    units,
)

READ = ("rsi_14", "order_flow_imbalance", "donchian_position", "mean")
"""Sums, a recursion, and windows that a split must rebase."""

KEPT = SPLIT_BAR - 3
"""Bar before which the memory is kept."""

HELD = np.array([0.1, -0.2, 0.0], np.float32)


class Told(NamedTuple):
    """What was decided of a bar, and what all features said of it."""

    probability: np.ndarray
    values: np.ndarray


@pytest.fixture(scope="module")
def setting() -> Setting:
    names = ("kyle_lambda", "parkinson", "hurst_exponent", *READ)
    return staged(names, f"features.fallback=[{','.join(READ)}]")


@pytest.fixture(scope="module")
def params(setting) -> Params:
    """A fallback with a view on each of its features, and scales of their own."""
    rng, own = np.random.default_rng(3), blank(setting).params
    features = len(setting.settings.plan.specs)
    scaler = Scaler(
        jnp.asarray(rng.normal(size=features), jnp.float32),
        jnp.asarray(rng.uniform(0.5, 2, features), jnp.float32),
    )
    weight = jnp.asarray(rng.normal(size=(len(READ), 3)), jnp.float32)
    return own._replace(
        units=units(setting)._replace(scaler=scaler, clip=jnp.float32(6)),
        fallback=FallbackParams(weight, jnp.asarray([0.1, 0.0, -0.2])),
        temperature=jnp.ones_like(own.temperature),
        vote_temperature=jnp.ones_like(own.vote_temperature),
    )


@pytest.fixture(scope="module")
def bars(setting) -> list[Closed]:
    """Closed, with a split on their way."""
    event = events(setting.source)["split"]
    return list(tape_of(setting, event).closed(arrivals(setting, event)))


def decider_of(setting: Setting, params: Params) -> Decider:
    """One whose members are never asked for their decision."""
    observing = init_observing(setting.settings, params.units.scales)
    memory = Memory(
        Remembered(params.units, observing, init_deciding(setting.settings)),
        Glanced(params.units, setting.engine.apart(observing)),
    )
    return Decider(setting.engine, params, memory, len(setting.settings.members))


def walked(decider: Decider, bars: Iterable[Closed]) -> Iterator[Told]:
    for closed in bars:
        looked = decider.observe(closed)
        raw = decider.repeat(closed, looked, HELD, Voice.FALLBACK)
        decider.follow_up(closed)
        decided = decider.unpacked(raw, HELD)
        assert voice_of(decided.flags) is Voice.FALLBACK
        yield Told(decided.probability, np.asarray(looked.seen.result().values))


def assert_same_bits(one: Glanced, other: Glanced) -> None:
    for found, expected in zip(
        jax.tree.leaves(one), jax.tree.leaves(other), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def told(setting, params, bars) -> tuple[list[Told], Memory, Memory]:
    """All bars, and what was remembered before one of them and after the last."""
    decider = decider_of(setting, params)
    before = list(walked(decider, bars[:KEPT]))
    memory = copied(decider.memory)
    found = before + list(walked(decider, bars[KEPT:]))
    return found, memory, decider.memory


def test_over_a_split_it_says_what_all_features_would_have_it_say(
    setting, params, told
):
    found, *_ = told
    reads = setting.settings.reads
    read = (jnp.asarray(one.values[:, reads]) for one in found)
    views = [fallback(params.fallback, values) for values in read]
    assert np.std(views, axis=0).max() > 0.05
    for one, expected in zip(found, views, strict=True):
        np.testing.assert_allclose(one.probability, expected, atol=1e-5)


def test_what_is_remembered_is_enough_to_go_on(setting, params, bars, told):
    found, memory, _ = told
    again = decider_of(setting, params)
    again.restore(copied(memory))
    for one, other in zip(found[KEPT:], walked(again, bars[KEPT:]), strict=True):
        np.testing.assert_array_equal(one.probability, other.probability)


def test_a_memory_taken_out_of_that_of_all_features_is_enough_too(
    setting, params, bars, told
):
    found, memory, _ = told
    again = decider_of(setting, params)
    members = copied(memory.members)
    own = setting.engine.apart(members.observing)
    again.restore(Memory(members, Glanced(members.units, own)))
    for one, other in zip(found[KEPT:], walked(again, bars[KEPT:]), strict=True):
        np.testing.assert_allclose(one.probability, other.probability, atol=1e-5)


@pytest.mark.parametrize("patience_s", [None, 60.0], ids=["never", "deadline"])
def test_it_looks_first_where_a_deadline_can_be_missed_and_else_last(
    setting, params, bars, told, monkeypatch, patience_s
):
    """And remembers the same bits, over the split too."""
    *_, last = told
    monkeypatch.setattr("bot4jax.runtime.decider.HAND_OVER_S", 60.0)
    asked, given = [], setting.engine

    def noted(name):
        def call(*arguments):
            asked.append(name)
            return getattr(given, name)(*arguments)

        return call

    names = ("glance", "observe", "conclude")
    engine = given._replace(**{name: noted(name) for name in names})
    decider = decider_of(setting._replace(engine=engine), params)
    decider.patience = lambda step: patience_s
    for step, closed in enumerate(bars):
        decider.decide(step, closed, decider.observe(closed, step), HELD)
        decider.follow_up(closed)
    assert_same_bits(decider.memory.fallback, last.fallback)
    turn = ("observe", "conclude", "glance") if patience_s is None else names
    assert asked == [*turn] * len(bars)


def test_a_bar_that_nobody_has_followed_up_is_looked_at_all_the_same(
    setting, params, bars, told
):
    _, memory, _ = told
    decider = decider_of(setting, params)
    for step, closed in enumerate(bars[:KEPT]):
        decider.decide(step, closed, decider.observe(closed), HELD)
    assert_same_bits(decider.memory.fallback, memory.fallback)


def test_where_it_fails_nothing_goes_on(setting, params, bars):
    """Though the members answer: who would speak for them?"""
    given, calls = setting.engine.glance, iter(range(3))

    def glance(*arguments):
        if next(calls) == 2:
            raise FloatingPointError("no glance")
        return given(*arguments)

    failing = setting._replace(engine=setting.engine._replace(glance=glance))
    decider = decider_of(failing, params)
    for step, closed in enumerate(bars[:3]):
        decider.decide(step, closed, decider.observe(closed), HELD)
    with pytest.raises(FloatingPointError, match="no glance"):
        decider.observe(bars[3])
