"""A whole run in which members fall ill on the way: without any, nothing is opened."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import stage
from bot4jax.config import load
from bot4jax.engine import Engine
from bot4jax.kernels.sizing import Clamp
from bot4jax.modes import tapes
from bot4jax.modes.keeping import Kept
from bot4jax.modes.making import make_trader, paper_venue
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.trading import opened_journal, stepping
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.stepped import Stepped
from bot4jax.state import Params, copied
from tests.modes.ways import silent
from tests.small_stage import SMALL_STAGE

STEPS, ILL = 16, 8
MEMBERS = ("gru", "trees")
"""Of the small stage."""


@pytest.fixture(scope="module")
def scene() -> tuple[Setting, Kept]:
    setting = set_stage(stage.for_bench(load(SMALL_STAGE), STEPS))
    return setting, stage.warmed(setting, silent)


def poisoned(params: Params, member: str) -> Params:
    """NaN in place of what a member says."""
    if member == "trees":
        base = jnp.full_like(params.forest.base, jnp.nan)
        return params._replace(forest=params.forest._replace(base=base))
    nets = jax.tree.map(lambda one: jnp.full_like(one, jnp.nan), params.nets.nets)
    return params._replace(nets=params.nets._replace(nets=nets))


def falling_ill(engine: Engine, members: tuple[str, ...]) -> Engine:
    """From the step `ILL` on, counted from 0, these members have learnt nothing."""
    steps = iter(range(STEPS))

    def conclude(params: Params, *rest):
        for member in members if next(steps) >= ILL else ():
            params = poisoned(params, member)
        return engine.conclude(params, *rest)

    return engine._replace(conclude=conclude)


def walked(
    scene: tuple[Setting, Kept], folder: Path, members: tuple[str, ...]
) -> Iterator[Stepped]:
    setting, kept = scene
    setting = setting._replace(engine=falling_ill(setting.engine, members))
    kept = kept._replace(state=copied(kept.state))
    span, venue = setting.split.test, LocalVenue(paper_venue(setting))
    _, bars = tapes.closed_bars(
        setting, kept.state.bars, span.start, span.stop, venue.hear
    )
    with closing(opened_journal(folder, "ill", resumes=True)) as journal:
        trader = make_trader(setting, kept, venue, journal, silent)
        yield from stepping(trader, journal, bars)


def opened(steps: list[Stepped]) -> int:
    """Orders that may open a position."""
    return sum(not order.reduce_only for one in steps for order in one.orders)


LEFT = {(): 0.0, MEMBERS[:1]: 0.5, MEMBERS: 1.0}
"""The fallback's weight, by who is ill."""


@pytest.mark.parametrize("members", LEFT, ids=len)
def test_nothing_is_opened_once_all_are_ill(scene, tmp_path, members):
    steps = list(walked(scene, tmp_path, members))
    before, after = steps[:ILL], steps[ILL:]
    assert len(steps) == STEPS
    assert opened(before) > 0
    is_nobody_well = members == MEMBERS
    for one in after:
        flagged = (one.decided.flags & Clamp.NO_MEMBER) > 0
        assert flagged.all() == flagged.any() == is_nobody_well
        assert np.isfinite(one.decided.probability).all()
        assert one.decided.weight[-1] == pytest.approx(LEFT[members], abs=1e-6)
    if not members:
        assert opened(after) > 0
    if is_nobody_well:
        assert opened(after) == 0
        assert any(order.reduce_only for one in after for order in one.orders)
