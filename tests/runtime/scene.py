"""A market, an account and a planned engine, small enough to see through.

The loop, gate, journal, portfolio and venue are the real ones; only the forecast is
given: targets by step, so that a test knows what the engine wants. A target of None
keeps what is held, as the engine does with a symbol that it has no word on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import msgspec
import numpy as np

from bot4jax.data.universe import universe
from bot4jax.decisions import unmoved
from bot4jax.engine import Engine
from bot4jax.modes.repeating import Comparison, Repeating, only_resets
from bot4jax.runtime.account import Account
from bot4jax.runtime.closings import NO_ARRIVALS, Closed
from bot4jax.runtime.decider import Decider, Memory, Remembered
from bot4jax.runtime.fallback import Glanced
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.limits import Limits
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.loop import StepLog, Trader
from bot4jax.runtime.market import Quotes
from bot4jax.runtime.messages import Reference
from bot4jax.runtime.orders import Cancel, Kind, Order
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.states import States, Transition
from bot4jax.runtime.stepped import Stepped
from bot4jax.runtime.targets import Tactic
from bot4jax.runtime.terms import changes_terms
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import VenueLink
from bot4jax.runtime.venue_messages import Inquiry, Statement
from bot4jax.types import QUOTE, TICK, Instrument

UNIVERSE = universe([Instrument(symbol=name, increment=0.5) for name in "ABC"])
SYMBOLS, MEMBERS = 3, 1
CAPITAL = 1_000_000.0
BAR_NS = 1_000_000_000
START_NS = 1_700_006_400_000_000_000  # a UTC midnight, and one bar to each step
RUN = "scene"
LIMITS = Limits(
    max_order_lots=10**9,
    max_order_notional=1e6,
    max_position_share=1.0,
    max_volume_share=1e9,
    max_gross=3.0,
    max_net=3.0,
    max_margin=3.0,
    price_collar_bps=100.0,
    period_collar_bps=1e9,
    period_seconds=60.0,
    orders_per_step=10,
    orders_per_second=1_000_000,
    messages_per_second=1_000_000,
    max_participation=1e6,
    stale_seconds=5.0,
    repeats=1_000_000,
    repeat_seconds=60.0,
    daily_loss_share=0.02,
    drawdown_share=0.1,
    losses_in_a_row=1_000_000,
)


Targets = Callable[[int], Sequence[float | None]]


class Seen(NamedTuple):
    """As much of the engine's `Seen` as the loop reads."""

    values: np.ndarray
    risk: Any


class _Risk(NamedTuple):
    volatility: np.ndarray


class _Params(NamedTuple):
    units: None = None
    rules: None = None


def planned(targets: Targets) -> Engine:
    """An engine that wants the targets of its step; its state is the step number."""

    def observe(units, state, ints, floats):
        zeros = np.zeros(SYMBOLS, np.float32)
        return state, Seen(zeros[:, None], _Risk(zeros))

    def conclude(params, state, seen, ints, floats, held):
        rows = np.zeros((3 + 3 * MEMBERS + 4, SYMBOLS), np.float32)
        rows[:3] = 1 / 3
        wished = zip(targets(state + 1), held, strict=True)
        rows[-2] = [own if target is None else target for target, own in wished]
        return state + 1, np.concatenate([rows.ravel(), np.zeros(3, np.float32)])

    def fall_back(rules, seen, ints, floats, held):
        return jnp.asarray(unmoved(held, MEMBERS))

    def unused(*arguments):
        raise AssertionError("the loop does not absorb")

    parts: dict[str, Any] = dict.fromkeys(Engine._fields, unused)
    parts |= {"glance": observe, "observe": observe, "fall_back": fall_back}
    parts["conclude"] = conclude
    return Engine(**parts)


def planning(targets: Targets) -> Decider:
    """The device of such an engine, before its first step."""
    return Decider(
        planned(targets),
        _Params(),  # pyright: ignore[reportArgumentType]
        Memory(Remembered(None, 0, 0), Glanced(None, 0)),  # pyright: ignore[reportArgumentType]
        MEMBERS,
    )


def repeating(
    targets: Targets,
    limits: Limits = LIMITS,
    past: Iterable[Transition] = (),
    **means: Any,
) -> Repeating:
    """Who goes through a scene's journal once more, which has noted `past`; `means` are
    the account's."""
    states, portfolio = only_resets(past), Portfolio(UNIVERSE, CAPITAL)
    account = Account(UNIVERSE, portfolio, limits, RUN, states, **means)
    return Repeating(planning(targets), account, MEMBERS)


def compared(
    again: Repeating, bars: Iterable[Closed], steps: Iterable[StepRecord]
) -> Comparison:
    """What all of these steps come to once more."""
    for _ in again.through(bars, steps):
        pass
    return again.found


def quotes(bar: int, mids: Sequence[int], size: int) -> np.ndarray:
    """A quote a symbol, two increments wide, in the middle of a bar."""
    records = np.zeros(SYMBOLS, TICK)
    records["kind"], records["symbol"] = QUOTE, np.arange(SYMBOLS)
    records["event_ns"] = START_NS + bar * BAR_NS + BAR_NS // 2
    records["a"], records["b"] = np.array(mids) - 1, np.array(mids) + 1
    records["c"] = records["d"] = size
    return records


def resting(received: Sequence[Order | Cancel]) -> set[str]:
    """Orders that were sent and never asked back."""
    sent = {one.id for one in received if isinstance(one, Order)}
    return sent - {one.order for one in received if isinstance(one, Cancel)}


class RealVenue(LocalVenue):
    """States that it trades real money."""

    def ask(self, inquiry: Inquiry) -> Statement:
        return msgspec.structs.replace(super().ask(inquiry), is_paper=False)


class Scene:
    """A trader and its venue, driven bar by bar."""

    def __init__(
        self,
        folder: Path,
        targets: Targets,
        kind: Kind = "ioc",
        limits: Limits = LIMITS,
        log: Callable[[Journal], StepLog] = lambda journal: journal,
        journal: Journal | None = None,
        on_point: Callable[[str], None] = lambda name: None,
        venue: VenueLink | None = None,
        size: int = 100_000,
    ) -> None:
        """`log` stands before the journal. `size` is displayed on each side, in lots;
        less than is wanted lets orders rest."""
        self.venue = PaperVenue(UNIVERSE, latency_ns=0, taker_fee=0.0, maker_fee=0.0)
        self.journal = journal or Journal.open(folder / "journal.sqlite", RUN)
        steps, past = log(self.journal), self.journal.transitions()
        self.states = States(steps.note, past, max(self.journal.last_step, 0))
        self.account = Account(
            UNIVERSE,
            Portfolio(UNIVERSE, CAPITAL),
            limits,
            RUN,
            self.states,
            Tactic(kind),
        )
        self.link = venue or LocalVenue(self.venue)
        self.trader = Trader(
            planning(targets),
            self.account,
            self.link,
            steps,
            lambda stepped: None,
            BAR_NS,
            on_point,
        )
        self._quotes, self._size = Quotes(UNIVERSE), size

    def step(self, bar: int, mids: Sequence[int] = (200, 200, 200)) -> Stepped:
        """The quotes of a bar arrive, the bar closes, the engine decides."""
        return self.trader.step(self.closed(bar, mids))

    def after(self, closed: Closed, events: Sequence[Reference]) -> Closed:
        """The same closing with events that act at it, as a tape would tell it."""
        for one in filter(changes_terms, events):
            self._quotes.hear(one)
        return closed._replace(events=tuple(events), market=self._quotes.market())

    def closed(self, bar: int, mids: Sequence[int] = (200, 200, 200)) -> Closed:
        records = quotes(bar, mids, self._size)
        self.link.hear(records)
        return closed_on(self._quotes, bar, records)


def closed_on(shown: Quotes, bar: int, records: np.ndarray) -> Closed:
    """A bar with these quotes alone."""
    shown.absorb(records)
    boundary_ns = START_NS + (bar + 1) * BAR_NS
    nothing = np.zeros((1, SYMBOLS))
    return Closed(
        bar,
        boundary_ns,
        nothing,  # pyright: ignore[reportArgumentType]
        nothing,  # pyright: ignore[reportArgumentType]
        shown.market(),
        0.0,
        boundary_ns,
        SYMBOLS,
        0,
        NO_ARRIVALS,
        stale=np.zeros(SYMBOLS, bool),
        newest_ns=boundary_ns,
        mids=shown.mids(),
    )


def calm_bars(size: int) -> Iterator[Closed]:
    """Bar after bar at the same prices, as a scene closes them."""
    shown = Quotes(UNIVERSE)
    for bar in count():
        yield closed_on(shown, bar, quotes(bar, (200, 200, 200), size))
