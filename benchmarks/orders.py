"""How many orders a second pass the gate, and how many are journaled as well?

Every second step opens a position in every symbol, the next one closes it. `gate` is
the gate alone: limits in whole lots, then a verdict on every proposal. `journaled` is
all that the host does with a step's orders: targets to proposals, gate, orders with ids
and throttle, one committed transaction with the answers to the step before, and the
message that leaves. Its floor is what the disk needs for the bytes of that message. How
soon the switches act is measured beside it, see `reaction`.
"""

import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from jaxtyping import Float

from benchmarks import reaction
from benchmarks.floors import sync_ms
from benchmarks.planned import closing_of
from benchmarks.result import Measured
from benchmarks.timing import Laps, quantiles, rate
from bot4jax.errors import Bot4JaxError
from bot4jax.modes.making import make_account
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.runtime import context, garbage, gate
from bot4jax.runtime.account import Account
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.garbage import settled
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_rows import Closing, StepRecord
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.messages import pack
from bot4jax.runtime.orders import Ack, Answer, Fill, Order
from bot4jax.runtime.progress import Report
from bot4jax.runtime.states import States
from bot4jax.runtime.targets import proposals_from_targets
from bot4jax.runtime.venue_messages import Step
from bot4jax.schema import Config

SHARE = 1e-2
"""Largest position, of the capital: every change is many lots."""

ROWS = 22
"""Numbers of a symbol in the decisions of five members, as they are journaled."""


class NotMeasured(Bot4JaxError):
    """The gate has refused what it was to pass."""

    exit_code = 3


class Wish(NamedTuple):
    """What one step starts from."""

    closed: Closed
    step: int
    targets: Float[np.ndarray, " S"]
    """shares of the capital"""
    equity: EquityRow


class Timed(NamedTuple):
    """What a walk through all steps found."""

    laps: Laps
    orders: int
    """a step"""
    message: bytes
    """of the last step"""


def measure(config: Config, steps: int, warmup: int, report: Report) -> Measured:
    """`steps` steps of one order a symbol each."""
    setting = set_stage(unlimited(config))
    with tempfile.TemporaryDirectory(prefix="b4", dir=Path.cwd()) as folder:
        found = walk(setting, Path(folder), warmup + steps, report)
        floor = sync_ms(Path(folder), len(found.message))
    rows = []
    for stage, least in (("gate", None), ("journaled", floor)):
        ms = found.laps.values[stage, "ms"][warmup:]
        times = quantiles(ms, stage, "ms", warmup, least)
        rows += [times, rate(times, found.orders, "orders/s")]
    return Measured(rows + reaction.rows(unlimited(config), report), {}, {})


def unlimited(config: Config) -> Config:
    """The limits are looked at, but let an order a symbol pass in every step."""
    risk = msgspec.structs.replace(
        config.risk,
        max_gross=1e6,
        max_net=1e6,
        max_margin=1e6,
        orders_per_step=1 << 16,
        orders_per_second=1 << 20,
        messages_per_second=1 << 20,
        daily_loss_share=1.0,
        drawdown_share=1.0,
        losses_in_a_row=1_000_000,
        repeats=1_000_000,
    )
    return msgspec.structs.replace(config, risk=risk)


def walk(setting: Setting, folder: Path, steps: int, report: Report) -> Timed:
    """Step after step, each filled whole before the next."""
    account = make_account(setting, "bench", States(lambda transition: None))
    anchors, laps = np.asarray(setting.source.anchors, np.int64), Laps()
    slots = len(anchors)
    rng = np.random.default_rng(setting.config.run.seed)
    signs = np.where(np.arange(slots) % 2, 1, -1)
    answers: list[Answer] = []
    message = b""
    path = folder / "journal.sqlite"
    with closing(Journal.open(path, "bench")) as journal, settled():
        for step in range(1, steps + 1):
            closed = closing_of(anchors, setting.source.bar_ns, step)
            for one in answers:
                account.portfolio.apply(one)
            wish = Wish(
                closed,
                step,
                step % 2 * signs * rng.uniform(SHARE / 2, SHARE, slots),
                account.value(closed, step),
            )
            laps.add("gate", gate_ms(account, wish))
            orders, message, ms = journaled(account, journal, wish, answers)
            laps.add("journaled", ms)
            journal.fold()
            garbage.collect(step)
            if len(orders) < slots:
                raise NotMeasured(f"Of {slots} orders {len(orders)} have passed.")
            answers = [answer for one in orders for answer in filled(one)]
            report("orders through gate and journal", step, steps)
    return Timed(laps, slots, message)


def gate_ms(account: Account, wish: Wish) -> float:
    """Milliseconds from proposals to verdicts, limits in whole lots included."""
    owned = context.account(account.portfolio, wish.equity)
    sized = (account.portfolio.units, account.limits, wish.closed.market, owned)
    held = account.portfolio.held()
    fresh = context.Context(*sized, wish.closed.boundary_ns)
    proposals, _, _ = proposals_from_targets(wish.targets, held, fresh)
    began = time.perf_counter()
    gate.admit(proposals, context.Context(*sized, wish.closed.boundary_ns))
    return (time.perf_counter() - began) * 1e3


def journaled(
    account: Account, journal: Journal, wish: Wish, answers: Sequence[Answer]
) -> tuple[list[Order], bytes, float]:
    """The step's orders, the message that they leave with, and the milliseconds."""
    closed, step, held = wish.closed, wish.step, account.portfolio.held()
    began = time.perf_counter()
    limits = account.within(closed, wish.equity)
    orders, denied, changes = account.gated(
        closed, wish.targets, held, limits, step, TradingState.ACTIVE
    )
    record = StepRecord(
        step=step,
        boundary_ns=closed.boundary_ns,
        bar=step,
        closing=Closing(closed.watermark_ns, 0, 0),
        decisions=np.zeros(len(held) * ROWS, "<f4").tobytes(),
        state=TradingState.ACTIVE,
        orders=orders,
        denied=denied,
        answers=answers,
        requests=changes,
    )
    journal.commit(record)
    account.expect(closed, orders)
    message = pack(
        Step(
            run=account.run,
            step=step,
            universe_hash=account.universe.hash,
            boundary_ns=closed.boundary_ns,
            through_ns=closed.boundary_ns,
            orders=list(orders),
        )
    )
    return orders, message, (time.perf_counter() - began) * 1e3


def filled(order: Order) -> tuple[Answer, Answer]:
    """What a venue says of an order that trades whole, at once."""
    fill = Fill(
        order=order.id,
        symbol=order.symbol,
        side=order.side,
        lots=order.lots,
        price=order.limit,
        fee=0.0,
        is_maker=False,
        event_ns=order.sent_ns,
    )
    return Ack(order.id, order.sent_ns), fill
