"""A decision that comes too late does not count, then or after a restart."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from benchmarks import stage
from benchmarks.filling import FillingVenue
from bot4jax.config import load
from bot4jax.engine import Engine
from bot4jax.kernels.sizing import Clamp
from bot4jax.modes import tapes
from bot4jax.modes.keeping import Kept
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.trading import make_trader, opened_journal, stepping
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.stepped import Stepped
from tests.modes.ways import silent

STEPS, STALLED = 12, 8
RUN = "late"
DEADLINE_S = 0.02
"""A fraction of what the stalled step takes on any machine."""

WORDS = (
    "debug=tiny",
    "features.window=16",
    "features.names=[kyle_lambda,rsi_14,queue_age]",
    "ensemble.members=[gru,trees]",
)


@pytest.fixture(scope="module")
def scene() -> tuple[Setting, Kept]:
    setting = set_stage(stage.for_bench(load([*WORDS]), STEPS))
    return setting, stage.warmed(setting, silent)


@jax.jit
def late(packed):
    """The same numbers, after a hundred million multiplications one by one."""
    grown = lax.fori_loop(
        0, 100_000_000, lambda _, x: x * jnp.float32(1.0000001), packed[0]
    )
    return packed + jnp.where(grown == jnp.inf, 1.0, 0.0).astype(jnp.float32)


def stalling(engine: Engine) -> Engine:
    """An engine whose device takes long over one step's decision."""
    calls = iter(range(1, 1 << 30))

    def conclude(*arguments):
        state, packed = engine.conclude(*arguments)
        return state, late(packed) if next(calls) == STALLED else packed

    return engine._replace(conclude=conclude)


def trader_in(
    scene: tuple[Setting, Kept], folder: Path, engine: Engine
) -> Iterator[tuple[Trader, Iterator[Stepped]]]:
    setting, kept = scene
    setting = setting._replace(engine=engine)
    kept = kept._replace(state=stage.copied(kept.state))
    span = setting.split.test
    _, bars = tapes.closed_bars(setting, kept.state.bars, span.start, span.stop)
    folder.mkdir(parents=True, exist_ok=True)
    with closing(opened_journal(folder, RUN, resumes=True)) as journal:
        venue = FillingVenue(setting.settings.layout.symbols)
        trader = make_trader(setting, kept, venue, journal, lambda stepped: None)
        yield trader, stepping(trader, journal, bars)


def walked(scene, folder: Path, is_stalled: bool, stop: int = STEPS) -> list[Stepped]:
    engine = scene[0].engine
    chosen = stalling(engine) if is_stalled else engine
    found = []
    for trader, steps in trader_in(scene, folder, chosen):
        if is_stalled:
            trader.decider.patience = {STALLED: DEADLINE_S}.get
        for stepped in steps:
            found.append(stepped)
            if len(found) == stop:
                break
    return found


def slow(stepped: Stepped) -> np.ndarray:
    return stepped.decided.flags & Clamp.TOO_SLOW > 0


def test_a_stalled_step_is_decided_by_the_fallback_and_opens_nothing(scene, tmp_path):
    calm = walked(scene, tmp_path / "calm", is_stalled=False)
    found = walked(scene, tmp_path / "stalled", is_stalled=True)
    assert [slow(one).all() for one in found] == [
        step == STALLED for step in range(1, STEPS + 1)
    ]
    assert not any(slow(one).any() for one in calm)
    assert sum(len(one.orders) for one in found) > 0
    stalled = found[STALLED - 1]
    assert all(one.reduce_only for one in stalled.orders)
    assert stalled.decided.weight[-1] == 1
    # Nobody has read the late decision, but the members remember the bar.
    for one, other in zip(calm[STALLED:], found[STALLED:], strict=True):
        np.testing.assert_array_equal(
            one.decided.member_probability, other.decided.member_probability
        )


def test_a_restart_repeats_the_fallbacks_decision_to_the_bit(scene, tmp_path):
    first = walked(scene, tmp_path, is_stalled=True, stop=STALLED + 1)
    again = walked(scene, tmp_path, is_stalled=False, stop=STALLED)
    for one, other in zip(first, again, strict=False):
        for name in ("probability", "intent", "flags"):
            np.testing.assert_array_equal(
                getattr(one.decided, name), getattr(other.decided, name)
            )
    assert slow(again[STALLED - 1]).all()
