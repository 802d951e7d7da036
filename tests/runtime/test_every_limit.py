"""Each limit of risk by itself: without it the venue's record goes beyond it, with it
never, and its reason is given.

All other limits are loose, the model asks for anything, and what was reached is worked
out from the venue's record and the market alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from jaxtyping import Float, Int

from bot4jax.data.universe import Universe, universe
from bot4jax.runtime.contracts import contracts
from bot4jax.runtime.equity import DAY_NS
from bot4jax.runtime.limits import Limits, Reason
from bot4jax.runtime.orders import Order
from bot4jax.runtime.targets import Tactic
from bot4jax.schema.trading import Risk
from bot4jax.types import BUY
from tests.runtime.scene import CAPITAL, SYMBOLS, Scene
from tests.runtime.test_gate_machine import INCREMENT, Sides, grow, losses, sides
from tests.runtime.test_gate_machine import signed as signed_lots

STEPS = 30
VOLUME = 10_000
"""Lots of each instrument in the day before."""
MARGINS = np.array([0.1, 0.5, 1.0])
ROUNDING = 1e-9
"""Relative: the judge adds floats in another order."""

NEVER, ALWAYS = 1e-3, 1e9
LOOSE: dict[str, Any] = {
    "max_order_lots": 10**9,
    "max_order_notional": 1e9,
    "max_position_share": 1e9,
    "max_volume_share": 1e9,
    "max_gross": 1e9,
    "max_net": 1e9,
    "max_margin": 1e9,
    "price_collar_bps": 1e9,
    "period_collar_bps": 1e9,
    "period_seconds": NEVER,
    "orders_per_step": 10**6,
    "orders_per_second": 10**6,
    "messages_per_second": 10**6,
    "max_participation": 1e9,
    "stale_seconds": 1e9,
    "repeats": 10**6,
    "repeat_seconds": ALWAYS,
    "daily_loss_share": 1e9,
    "drawdown_share": 1e9,
    "losses_in_a_row": 10**6,
}


class Moment(NamedTuple):
    """One step in which something was opened, as record and market tell of it."""

    opening: list[Order]
    messages: int
    """all of the step"""
    orders: int
    """of the second before it, which is the step's"""
    sent: list[Order]
    """in this run so far"""
    mids: list[Int[np.ndarray, " S"]]
    """increments, the newest last, one a second"""
    after: Sides
    """lots, once all that has left counts on its own side"""
    navs: list[float]
    ages_s: Float[np.ndarray, " S"]
    """of the quotes"""
    losses: int

    @property
    def unit(self) -> Float[np.ndarray, " S"]:
        """What a lot is worth."""
        return self.mids[-1] * INCREMENT

    @property
    def reached(self) -> list[tuple[int, int]]:
        """Slot and lots, on its side, of each opening order."""
        high, low = self.after.high, self.after.low
        return [
            (n, int(high[n] if one.side == BUY else -low[n]))
            for one in self.opening
            for n in [one.symbol]
        ]

    @property
    def worst(self) -> Float[np.ndarray, " S"]:
        """Money by slot, of the larger side."""
        return np.maximum(abs(self.after.high), abs(self.after.low)) * self.unit


class Model(NamedTuple):
    """What it asks for, and of which market."""

    tactic: Tactic
    size: int
    """displayed, lots"""
    is_wild: bool
    refused: float = 0.0
    """share of its orders that the venue rejects"""


WILD = Model(Tactic("ioc"), size=5_000, is_wild=True)
STUBBORN = Model(Tactic("ioc"), size=5_000, is_wild=False, refused=1.0)
"""The same order over and over, since the venue takes none."""


def traded(
    folder: Path, limits: dict[str, Any], model: Model
) -> tuple[list[Moment], set[Reason]]:
    """The moments at which something was opened, and all reasons that were given."""
    folder.mkdir()
    rng, wish, reasons = np.random.default_rng(1), np.full(SYMBOLS, 0.1), set()
    scene = Scene(folder, lambda step: wish, limits=Limits(**limits), size=model.size)
    own, venue = scene.account, scene.venue
    own.portfolio.units = contracts(with_margins(own.universe))
    own.tactic = model.tactic
    venue.rules = venue.rules._replace(reject_share=model.refused)
    scene.trader.start()
    moments, mids, navs, answered = list[Moment](), [], [CAPITAL], []
    for bar in range(STEPS):
        ages_s = np.zeros(SYMBOLS)
        mids.append(np.full(SYMBOLS, 200))
        if model.is_wild:
            wish = rng.uniform(-0.1, 0.1, SYMBOLS)
            mids[-1], ages_s = rng.integers(180, 260, SYMBOLS), rng.uniform(0, 8, 3)
        closed = scene.closed(bar, mids[-1].tolist())
        market = closed.market._replace(
            volume=np.full(SYMBOLS, VOLUME),
            since_ns=closed.boundary_ns - DAY_NS,
            quote_ns=closed.boundary_ns - (ages_s * 1e9).astype(np.int64),
        )
        seen = len(venue.record.received)
        stepped = scene.trader.step(closed._replace(market=market))
        reasons |= {one.reason for one in stepped.denied}
        new = venue.record.received[seen:]
        sent = [one for one in venue.record.received if isinstance(one, Order)]
        before = sides(venue.record, {one.id for one in new if isinstance(one, Order)})
        paid = sum(signed_lots(one) * one.price for one in venue.record.fills)
        navs.append(CAPITAL + float(before.held @ mids[-1] - paid) * INCREMENT)
        answered.append(len(venue.record.answers))
        for one in (one for one in new if isinstance(one, Order)):
            grow(before.high, before.low, one, one.lots)
        opening = [one for one in new if isinstance(one, Order) and not one.reduce_only]
        lost = losses(venue.record, answered)
        asked = len(new), sum(isinstance(one, Order) for one in new)
        told = (opening, *asked, sent, list(mids), before, list(navs), ages_s, lost)
        moments += [Moment(*told)] * bool(opening)
    scene.journal.close()
    return moments, reasons


def with_margins(whole: Universe) -> Universe:
    pairs = zip(whole.instruments, MARGINS.tolist(), strict=True)
    return universe([msgspec.structs.replace(one, margin=own) for one, own in pairs])


def off_mids(seconds: int) -> Callable[[Moment], float]:
    """Basis points between a price that opens and the mids of so many seconds."""

    def worst(now: Moment) -> float:
        mids = np.array(now.mids[-1 - seconds :])
        return max(
            float((abs(one.limit / mids[:, one.symbol] - 1)).max()) * 1e4
            for one in now.opening
        )

    return worst


def alike(now: Moment) -> int:
    """How often the newest order has left in the run so far."""
    last = now.sent[-1]
    told = last.symbol, last.side, last.lots, last.limit
    return sum(told == (one.symbol, one.side, one.lots, one.limit) for one in now.sent)


def net(now: Moment) -> float:
    sold = any(one.side != BUY for one in now.opening)
    bought = any(one.side == BUY for one in now.opening)
    high, low = now.after.high @ now.unit, -now.after.low @ now.unit
    return float(max(high * bought, low * sold)) / now.navs[-1]


class Case(NamedTuple):
    """One limit: its value, its reason, and what it bounds in one moment."""

    tight: float
    reason: Reason
    reached: Callable[[Moment], float]
    beside: tuple[tuple[str, float], ...] = ()
    """other limits that it needs, where they are not as loose as they may be"""
    bound: float | None = None
    """where it is another number than the limit's own"""
    model: Model = WILD


CASES: dict[str, Case] = {
    "max_order_lots": Case(
        300, Reason.ORDER_LOTS, lambda now: max(one.lots for one in now.opening)
    ),
    "max_order_notional": Case(
        30_000.0,
        Reason.ORDER_NOTIONAL,
        lambda now: max(one.lots * now.unit[one.symbol] for one in now.opening),
    ),
    "max_position_share": Case(
        0.04,
        Reason.POSITION,
        lambda now: max(lots * now.unit[n] for n, lots in now.reached) / now.navs[-1],
    ),
    "max_volume_share": Case(
        0.05, Reason.VOLUME, lambda now: max(lots for _, lots in now.reached) / VOLUME
    ),
    "max_gross": Case(0.1, Reason.GROSS, lambda now: now.worst.sum() / now.navs[-1]),
    "max_net": Case(0.05, Reason.NET, net),
    "max_margin": Case(
        0.05, Reason.MARGIN, lambda now: now.worst @ MARGINS / now.navs[-1]
    ),
    "price_collar_bps": Case(45.0, Reason.PRICE_COLLAR, off_mids(0)),
    "period_collar_bps": Case(
        1_500.0, Reason.PERIOD_COLLAR, off_mids(4), (("period_seconds", 4.0),)
    ),
    "period_seconds": Case(
        4.0,
        Reason.PERIOD_COLLAR,
        off_mids(4),
        (("period_collar_bps", 1_500.0),),
        bound=1_500.0,
    ),
    "orders_per_step": Case(2, Reason.ORDER_BUDGET, lambda now: now.messages),
    "orders_per_second": Case(2, Reason.ORDER_BUDGET, lambda now: now.orders),
    "messages_per_second": Case(2, Reason.ORDER_BUDGET, lambda now: now.messages),
    "max_participation": Case(
        0.1,
        Reason.PARTICIPATION,
        lambda now: max(one.lots for one in now.opening) / WILD.size,
    ),
    "stale_seconds": Case(
        3.0,
        Reason.STALE_REFERENCE,
        lambda now: max(now.ages_s[one.symbol] for one in now.opening),
    ),
    "repeats": Case(3, Reason.REPEATED, alike, model=STUBBORN),
    "repeat_seconds": Case(
        ALWAYS,
        Reason.REPEATED,
        alike,
        (("repeats", 3), ("repeat_seconds", NEVER)),
        bound=3,
        model=STUBBORN,
    ),
    "daily_loss_share": Case(
        0.01, Reason.DAILY_LOSS, lambda now: 1 - now.navs[-1] / CAPITAL
    ),
    "drawdown_share": Case(
        0.02, Reason.DRAWDOWN, lambda now: 1 - now.navs[-1] / max(now.navs)
    ),
    "losses_in_a_row": Case(1, Reason.LOSING, lambda now: now.losses),
}


def test_every_key_of_risk_is_attacked():
    assert set(CASES) == set(Risk.__struct_fields__)
    assert set(CASES) == set(Limits.__struct_fields__)


@pytest.mark.parametrize("name", CASES)
def test_each_limit_is_broken_without_it_and_never_with_it(tmp_path, name):
    case = CASES[name]
    bound = case.tight if case.bound is None else case.bound
    limits = LOOSE | dict(case.beside)
    without, loose = traded(tmp_path / "without", limits, case.model)
    limits |= {name: case.tight}
    with_it, given = traded(tmp_path / "with", limits, case.model)
    assert max(map(case.reached, without)) > bound * (1 + ROUNDING)
    assert case.reason not in loose
    assert with_it, "something was opened"
    assert max(map(case.reached, with_it)) <= bound * (1 + ROUNDING)
    assert case.reason in given
