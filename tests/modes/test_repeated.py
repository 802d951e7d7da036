"""Runs that a replay repeats though their market, or their venue, is another kind: bars
that came ready-made, and a venue that was started anew while the engine went on.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from benchmarks import stage
from benchmarks.members import random_members
from bot4jax.config import load
from bot4jax.data.sources import open_source
from bot4jax.errors import Halted
from bot4jax.kernels.vote import VoteParams
from bot4jax.learn.params import sizing_params
from bot4jax.modes import tapes
from bot4jax.modes.journal import reading
from bot4jax.modes.keeping import Kept, blank, take_up
from bot4jax.modes.making import paper_venue
from bot4jax.modes.repeating import Comparison
from bot4jax.modes.replay import repeated
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.spans import spans
from bot4jax.modes.trading import trade, trade_here
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.inputs import Inputs
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.orders import Fill, Order
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.ticks_record import TickRecord
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_record import Record
from bot4jax.types import BUY, SELL
from tests.modes.test_replay import Beside, Died
from tests.modes.ways import journal_of, silent
from tests.runtime.test_splits import units


def compared(setting: Setting, kept: Kept, folder: Path) -> Comparison:
    """The run of a folder and its repetition, as `mode=replay` has it."""
    with reading(folder) as journal:
        return repeated(setting, kept, folder, journal, silent)[1]


# Ready-made bars.

COLUMNS = ("symbol", "time", "open", "high", "low", "close", "volume")
TESTED = 48

BARS = ["debug=tiny", "data=columns", "data.file=bars.parquet"]
BARS += [f"data.mapping={{{', '.join(f'{name}: {name}' for name in COLUMNS)}}}"]
BARS += ["data.symbols=0", "features.window=16", "features.names=[mean,rsi_14]"]
BARS += ["features.fallback=[rsi_14]", "ensemble.members=[gru,trees]"]


class OnBars(NamedTuple):
    """A run that is over, and the setting that it was traded in."""

    setting: Setting
    folder: Path
    file: Path


@pytest.fixture(scope="module")
def on_bars(tmp_path_factory) -> OnBars:
    """Bars of a file, traded in one process."""
    root = tmp_path_factory.mktemp("root")
    config = stage.for_bench(load([*BARS, f"data.path={root}"]), TESTED)
    file, folder = root / "bars.parquet", root / "bars"
    walk(spans(config).bars).write_parquet(file)
    folder.mkdir()
    setting = set_stage(config)
    trade_here(setting, of_chance(setting), folder, silent)
    return OnBars(setting, folder, file)


def walk(bars: int) -> pl.DataFrame:
    """Three symbols that wander, a bar a second."""
    rng = np.random.default_rng(0)
    close = 100 + (0.1 * rng.normal(size=(bars, 3)).cumsum(axis=0)).round(2)
    before = np.vstack([close[:1], close[:-1]])
    columns = {
        "symbol": np.tile(["A", "B", "C"], bars),
        "time": (1_700_006_400 + np.arange(bars)).repeat(3) * 10**9,
        "open": before.ravel(),
        "high": np.maximum(close, before).ravel() + 0.02,
        "low": np.minimum(close, before).ravel() - 0.02,
        "close": close.ravel(),
        "volume": rng.integers(1_000, 9_000, 3 * bars).astype(float),
    }
    return pl.DataFrame({name: columns[name] for name in COLUMNS})


def of_chance(setting: Setting) -> Kept:
    """Members that nothing was fitted for, sure of what they say, and for whom every
    move is worth its cost; the same ones whenever they are asked for."""
    config, settings, plain = setting.config, setting.settings, blank(setting)
    drawn, one = random_members(settings, config.trees, seed=0), jnp.float32(1)
    universe, moves = setting.source.universe, ([-50.0, 0.0, 50.0], np.ones(3))
    fitted = plain.params._replace(
        units=units(setting),
        nets=drawn.nets,
        forest=drawn.forest,
        temperature=jnp.ones((len(settings.members), 1), jnp.float32),
        vote_temperature=jnp.ones(1, jnp.float32),
        threshold=one / 2,
        vote=VoteParams(one, one, one / 20, one / 2),
        sizing=sizing_params(config, universe, *moves),
    )
    return plain._replace(params=fitted)


def repetition(on_bars: OnBars) -> Comparison:
    """The run once more, from its source as it is now."""
    setting = on_bars.setting
    source = open_source(setting.config, spans(setting.config).bars)
    setting = setting._replace(source=source)
    return compared(setting, of_chance(setting), on_bars.folder)


def test_a_run_on_ready_made_bars_is_repeated_from_its_source(on_bars):
    steps = journal_of(on_bars.folder, "bars")
    fills = [one for step in steps for one in step.answers if isinstance(one, Fill)]
    assert {one.side for one in fills} == {BUY, SELL}
    assert {path.name for path in on_bars.folder.iterdir()} == {"journal.sqlite"}
    found = repetition(on_bars)
    assert (found.steps, found.is_equal) == (len(steps), True)
    assert found.steps == TESTED
    assert found.orders == sum(len(one.orders) for one in steps) >= TESTED / 2


def test_a_source_that_tells_another_bar_now_is_found_out(on_bars):
    """One close of one symbol, two increments off, in the middle of what was traded."""
    table = pl.read_parquet(on_bars.file)
    at = on_bars.setting.split.test.start + TESTED // 2
    is_it = pl.int_range(pl.len()) == 3 * at
    off = pl.when(is_it).then(pl.col("close") - 0.02).otherwise("close")
    low = pl.min_horizontal("low", off)
    table.with_columns(close=off, low=low).write_parquet(on_bars.file)
    try:
        found = repetition(on_bars)
    finally:
        table.write_parquet(on_bars.file)
    assert found.steps == TESTED
    assert 0 < found.decisions_differ <= TESTED - TESTED // 2
    assert not found.is_equal


# A venue that was started anew.

LAST = 14
"""Step whose orders come to a venue that has not heard of this engine."""


class Endpoint:
    """Where one venue stands after the other; each hears the market while it does."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self.records: list[Record] = []
        """what each has received"""
        self.begin()

    def begin(self) -> None:
        """A venue begins, and knows nothing of the one before it."""
        source, venue = self._setting.source, paper_venue(self._setting)
        venue.record = Record([], [])
        self.records.append(venue.record)
        self._intake = Intake(source.universe.hash, source.anchors, 0)
        self.desk = Desk(venue, source.universe.hash)

    def shown(self, came: Iterable[Arrival]) -> Iterator[Arrival]:
        """The same arrivals, which whoever stands here hears first."""
        for one in came:
            assert one.frame is not None
            self.desk.hear(*self._intake.take(one.frame))
            yield one


class ToTheEndpoint(Beside):
    """A line to whichever venue stands there."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint.desk)
        self._endpoint = endpoint

    def send(self, message: bytes) -> None:
        if self._desk is not self._endpoint.desk:
            self.turn_to(self._endpoint.desk)
        super().send(message)


class Renewed(NamedTuple):
    """A run whose venue was started anew twice, once too often."""

    folder: Path
    records: list[Record]
    refusals: list[str]


@pytest.fixture(scope="module")
def renewed(run, setting, tmp_path_factory) -> Renewed:
    """Its engine dies once its first orders have left, and its venue is started anew:
    they are sent again. Later the venue is started anew beside the engine at work."""
    folder = tmp_path_factory.mktemp("root") / "renewed"
    folder.mkdir()
    endpoint, span = Endpoint(setting), setting.split.test
    came = endpoint.shown(tapes.taken_up(setting.source, span.start, span.stop))

    def die(name: str, step: int) -> None:
        if (name, step) == ("after_send", 1):
            raise Died

    def begin(name: str, step: int) -> None:
        if (name, step) == ("after_journal", LAST):
            endpoint.begin()

    with pytest.raises(Died):
        lived(setting, run.folder, folder, endpoint, came, die)
    endpoint.begin()
    refusals = []
    for on_point in (begin, begin):
        with pytest.raises(Halted) as refused:
            lived(setting, run.folder, folder, endpoint, came, on_point)
        refusals.append(str(refused.value))
    return Renewed(folder, endpoint.records, refusals)


def lived(
    setting: Setting,
    model: Path,
    folder: Path,
    endpoint: Endpoint,
    came: Iterator[Arrival],
    on_point: Callable[[str, int], None],
) -> None:
    """One process of the run: what a former one has heard, then what comes."""
    kept, span = take_up(model, setting), setting.split.test
    tape = tapes.tick_tape(setting, kept.state.bars, span.start)
    with TickRecord(folder / "ticks") as record, Inputs(folder) as inputs:

        def bars(trader: Trader, journal: Journal) -> Iterator[Closed]:
            trader.mark = inputs.mark
            trader.on_point = lambda name: on_point(name, trader.step_number)
            heard = chain(inputs.again(journal.marks()), inputs.heard(came))
            return tape.closed(record.heard(heard))

        venue = SocketVenue(ToTheEndpoint(endpoint), 9.0)
        trade(setting, kept, tape, bars, venue, folder, silent, resumes=True)


def test_a_venue_that_was_started_anew_is_followed_only_from_the_first_step(renewed):
    """What it has never heard of it is sent again; later its engine leaves it alone."""
    first, second, third = renewed.records
    assert first.received == second.received[: len(first.received)] != []
    assert max(one.step for one in second.received if isinstance(one, Order)) < LAST
    assert third.received == []
    at_work, at_the_start = renewed.refusals
    assert "was started anew" in at_work
    assert "A venue that forgets" in at_the_start


def test_a_run_whose_venue_was_started_anew_is_repeated_as_far_as_it_came(
    run, renewed, setting
):
    found = compared(setting, take_up(run.folder, setting), renewed.folder)
    assert (found.steps, found.is_equal) == (LAST, True)
    assert found.orders >= LAST
    steps = journal_of(renewed.folder, "renewed")
    assert sum(isinstance(a, Fill) for one in steps for a in one.answers) >= LAST
