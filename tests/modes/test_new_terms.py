"""A split, or finer increments, within a run: what it tells of itself afterwards.

All markets are the same ticks, over real sockets from a feed to an engine and to a
venue. In one the first instrument stays what it is; in the others it becomes four
shares for one, or counts in quarters of its increments, in the middle of the test.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import stage
from bot4jax.config import load
from bot4jax.data.source import Source
from bot4jax.data.universe import Universe
from bot4jax.modes import judging
from bot4jax.modes.keeping import Kept
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.sockets import trade_over_sockets
from bot4jax.modes.trading import Traded
from bot4jax.runtime.client import subscribe
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.messages import InstrumentChange, Reference, Signals
from bot4jax.runtime.orders import Fill
from bot4jax.runtime.publish import serve
from bot4jax.runtime.reference import carried
from bot4jax.runtime.terms import universe_after
from bot4jax.runtime.venue_process import run_venue
from bot4jax.types import BUY, QUOTE, REFERENCE, TICKS, Frame
from tests.modes.ways import silent
from tests.runtime import test_splits as market
from tests.runtime.test_splits import FACTOR

STEPS, CHANGE = 48, 20
"""Bars that are traded, and those of them before the terms change."""

NAMES = ("calm", "split", "increment")
PATIENCE_S = 120.0

WORDS = ["debug=tiny", "data.symbols=3", "data.halts=false", "features.window=16"]
WORDS += ["features.names=[mean,order_flow_imbalance,relative_spread]"]
WORDS += ["ensemble.members=[gru,lstm]", "labels.horizon=4", "runtime.speed=0"]


class Renewed:
    """The source's market; where there is an event, its ticks are in new terms then."""

    def __init__(self, source: Source, event: Reference | None, bar: int) -> None:
        """`bar`: the first in the new terms."""
        self._source, self._event, self._bar = source, event, bar
        first = np.arange(len(source.anchors)) == 0
        times = 1 if isinstance(event, InstrumentChange) else FACTOR
        self.anchors = source.anchors * np.where(first, times, 1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def frames(self, first: int, stop: int) -> Iterator[Frame]:
        number = 0
        for bar in range(first, stop):
            parts = [one.records for one in self._source.frames(bar, bar + 1)]
            records = np.concatenate(parts).copy()
            records = records[records["event_ns"].argsort(kind="stable")]
            sent_ns = int(records["event_ns"].max())
            told = market.in_terms(records, bar, self._event, self._bar)
            yield Frame(1, 1, number, sent_ns, told)
            number += len(told)
            if self._event is not None and bar == self._bar - 1:
                said = carried([self._event])
                yield Frame(1, 1, number, sent_ns, said, REFERENCE)
                number += len(said)


class Told(NamedTuple):
    """A run that is over."""

    setting: Setting
    traded: Traded
    signals: list[Signals]
    folder: Path
    universes: tuple[Universe, Universe]
    """before the terms have changed, and since"""
    change_ns: int
    shares: int
    """that one of before is since then"""

    def universe(self, at_ns: int) -> Universe:
        return self.universes[at_ns >= self.change_ns]


@pytest.fixture(scope="module")
def runs(endpoints, tmp_path_factory) -> dict[str, Told]:
    """The three, one after the other."""
    config = stage.for_bench(load([*WORDS, *endpoints]), STEPS)
    plain = set_stage(config)
    bar = plain.split.test.start + CHANGE
    events = market.events(plain.source, bar)
    found = {}
    for name in ("calm", *events):
        source = Renewed(plain.source, events.get(name), bar)
        setting = plain._replace(source=source)
        folder = tmp_path_factory.mktemp(name)
        after = universe_after(
            source.universe, [events[name]] if name in events else []
        )
        change_ns = source.start_ns + bar * source.bar_ns
        shares = FACTOR if name == "split" else 1
        terms = (source.universe, after), change_ns, shares
        found[name] = Told(setting, *traded(setting, folder), folder, *terms)
    return found


def traded(setting: Setting, folder: Path) -> tuple[Traded, list[Signals]]:
    """The whole test span, and what subscribers have heard of it."""
    config, span, source = setting.config, setting.split.test, setting.source
    ends = config.runtime.endpoints
    kept = eager(stage.warmed(setting, silent))
    with ThreadPoolExecutor(3) as beside:
        beside.submit(serve, source, span.start, span.stop, ends, 2)
        beside.submit(run_venue, config, source)
        signals = beside.submit(heard, ends.signals, len(span))
        done = trade_over_sockets(setting, kept, folder, silent)
        return done, signals.result()


def eager(kept: Kept) -> Kept:
    """One for whom every move is worth its cost, so that it trades."""
    sizing = kept.params.sizing._replace(class_mean=jnp.array([-50.0, 0.0, 50.0]))
    return kept._replace(params=kept.params._replace(sizing=sizing))


def heard(endpoint: str, last: int) -> list[Signals]:
    """Every batch, up to that of this step."""
    found = []
    for one in subscribe(endpoint, timeout_s=PATIENCE_S):
        found.append(one)
        if one.step == last:
            break
    return found


def quoted(told: Told, boundary_ns: int) -> tuple[int, int]:
    """Bid and ask of the first instrument, as the market has shown them last."""
    span, last = told.setting.split.test, (0, 0)
    for one in told.setting.source.frames(span.start, span.stop):
        if one.kind == TICKS:
            own = one.records[one.records["event_ns"] < boundary_ns]
            own = own[(own["symbol"] == 0) & (own["kind"] == QUOTE)]
            last = (int(own["a"][-1]), int(own["b"][-1])) if len(own) else last
    return last


@pytest.mark.parametrize("name", NAMES)
def test_signals_bear_the_numbers_of_the_journal_s_decisions(runs, name):
    told = runs[name]
    with closing(Journal.open(told.folder / "journal.sqlite", told.folder.name)) as own:
        decided = {one.step: one.boundary_ns for one in own.read()}
    assert {
        one.step: one.boundary_ns for one in told.signals
    }.items() <= decided.items()
    assert told.signals[-1].step == max(decided)


@pytest.mark.parametrize("name", NAMES)
def test_signals_are_priced_in_the_terms_of_their_moment(runs, name):
    told = runs[name]
    symbol, known = told.universes[0].symbols[0], set()
    for batch in told.signals:
        of = {one.symbol: one.price for one in batch.signals}
        if symbol not in of:
            continue
        at_ns = batch.boundary_ns
        increment = told.universe(at_ns).instruments[0].increment
        assert of[symbol] == sum(quoted(told, at_ns)) * increment / 2
        known.add(at_ns >= told.change_ns)
    assert known == {False, True}


@pytest.mark.parametrize("name", NAMES)
def test_what_was_earned_is_what_the_fills_come_to(runs, name):
    """Counted anew from the venue's answers, in fractions that are never rounded."""
    told = runs[name]
    path = told.folder / "journal.sqlite"
    with closing(Journal.open(path, told.folder.name)) as journal:
        records = [*journal.read(), journal.end]
    answers = [one for record in records if record for one in record.answers]
    fills = [one for one in answers if isinstance(one, Fill)]
    first = {one.event_ns >= told.change_ns for one in fills if one.symbol == 0}
    assert first == {False, True}, "it is traded in both terms"
    expected = earned(told, fills)
    pnl = judging.trade_facts(told.setting, told.traded).pnl
    # sums of some hundred float64 of up to a million
    assert pnl["net"] == pytest.approx(float(expected), rel=0, abs=1e-6)


def earned(told: Told, fills: Sequence[Fill]) -> Fraction:
    """What came in less what went out, and what is held at the end at its last mid."""
    held, money = [Fraction(0)] * len(told.universes[0].symbols), Fraction(0)
    for one in sorted(fills, key=lambda one: one.event_ns):
        own = told.universe(one.event_ns).instruments[one.symbol]
        signed = one.lots if one.side == BUY else -one.lots
        size = signed * Fraction(own.lot) * Fraction(own.multiplier)
        is_split_since = one.event_ns < told.change_ns and one.symbol == 0
        held[one.symbol] += size * (told.shares if is_split_since else 1)
        money -= size * one.price * Fraction(own.increment) + Fraction(one.fee)
    last = told.traded.portfolio.marks.tolist()
    return money + sum(n * Fraction(price) for n, price in zip(held, last, strict=True))


@pytest.mark.parametrize("name", ["split", "increment"])
def test_labels_are_those_of_a_market_whose_terms_stay(runs, name):
    """A return across the boundary is that of the price, not of what it is counted in;
    so labels and baselines judge the same market."""
    calm, own = (
        judging.outcome_of(runs[one].setting, 0.5, runs[one].traded)
        for one in ("calm", name)
    )
    # quarters and quadruples are exact: what differs is the rounding of logarithms
    np.testing.assert_allclose(own.returns, calm.returns, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(own.weights, calm.weights)
    np.testing.assert_array_equal(own.classes, calm.classes)
    across = slice(CHANGE - 4, CHANGE)
    assert (own.weights[across, 0] > 0).any(), "nothing was judged across the boundary"
