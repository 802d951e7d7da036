"""What journal and venue say of the last step, compared before anything may leave.

The journal ends with a step that was decided; whether its orders have left nobody knows
but the venue. It is asked for its record, and there are four honest ways to go on. What
cannot be brought together halts the engine: nothing is guessed.
"""

import enum
import hashlib
from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
from jaxtyping import Int

from bot4jax.errors import Halted
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.orders import (
    Cancel,
    Fill,
    Foreign,
    Order,
    Query,
    Replace,
    Request,
    named,
)
from bot4jax.runtime.tracking import check_fill
from bot4jax.runtime.venue_messages import Inquiry, Statement, Step
from bot4jax.types import BUY

ENCODER = msgspec.msgpack.Encoder(order="deterministic")


class Plan(enum.Enum):
    """What is left to do about the last step."""

    NOTHING = "there was no step before"
    SEND = "the venue has not seen it: send it, under the same order ids"
    AWAIT = "the venue has it and has not answered yet"
    BOOK = "the venue has answered: book its answers"


def plan(
    statement: Statement,
    run: str,
    last: Step | None,
    lots: Int[np.ndarray, " S"],
    is_booked: Callable[[Fill | Foreign], bool],
) -> Plan:
    """How to go on from the last step; what is owned must be what the venue says.

    Its answers may repeat what is booked, as when a cancel came too late, and tell
    whoever has decided the next step what happened after it had heard of the last one:
    they are all to be booked.
    """
    number = 0 if last is None else last.step
    if statement.run not in ("", run):
        raise Halted(
            f"The venue serves the run '{statement.run}', not '{run}'. Go on with that "
            "run, or start the venue anew too."
        )
    if not number - 1 <= statement.step <= number:
        raise Halted(
            f"The journal ends with step {number}, the venue's record with step "
            f"{statement.step}. A venue that forgets, or a journal that is a copy, "
            "cannot be followed: look at what is owned, then start the venue anew "
            "and use another run.name."
        )
    found = _plan(statement, last)
    trades = [one for one in statement.answers if isinstance(one, Fill | Foreign)]
    booked = _booked([one for one in trades if not is_booked(one)], lots)
    if booked.tolist() != statement.positions:
        raise Halted(_difference(booked, np.array(statement.positions)))
    return found


def on_paper(found: Statement) -> None:
    """Admit a venue on paper alone; raises `Halted` for any other."""
    if not found.is_paper:
        raise Halted(
            "This venue trades real money, and no rollout lets this strategy do so. "
            "Name its file by rollout.file=FILE: it begins in shadow; or start a venue "
            "on paper (mode=venue)."
        )


def continued(before: str, boundary_ns: int, requests: Sequence[Request]) -> str:
    """16 hexadecimal digits of all that a run has asked for, one more step included.

    What was decided counts, whether it left or was held back. Order ids do not tell two
    runs of one name apart: the same step gives the same ids.
    """
    content = ENCODER.encode((before, boundary_ns, requests))
    return hashlib.sha256(content).hexdigest()[:16]


def differ(ours: str, theirs: str) -> bool:
    """Whether two histories are both told, and are not the same."""
    return bool(ours and theirs) and ours != theirs


def follows(found: Statement, asked: Inquiry) -> None:
    """The venue's record is of the very steps that this engine remembers: raises
    `Halted` where another run of the same name has come as far."""
    if differ(asked.history_of(found.step), found.history):
        raise Halted(
            f"Step {found.step} of the venue's record, or one before it, asked for "
            "something else than the journal's: a copy of it, or another run of its "
            "name, trades here. Look at what is owned, then start the venue anew and "
            "use another run.name."
        )


def kept_apart(found: Statement, is_relied_on: bool) -> None:
    """Somebody keeps orders of ours from trading with each other: raises `Halted` where
    the venue is relied on, and does not."""
    if is_relied_on and not found.prevents_self_trades:
        raise Halted(
            "This venue lets orders of one account trade with each other, and the "
            "engine relies on it not to. Say venue.prevents_self_trades=false: then "
            "nothing that opens rests beside a stop or a take-profit."
        )


def _plan(statement: Statement, last: Step | None) -> Plan:
    if last is None:
        return Plan.NOTHING
    ours = [one.id for one in last.orders if isinstance(one, Order)]
    if statement.step < last.step:
        if ours and not statement.dedupes:
            raise Halted(
                f"Orders {', '.join(ours)} of step {last.step} are UNKNOWN: the venue "
                "has not seen them, may still, and would trade them twice. They are "
                "not sent again. Look at its record, then start the venue anew and "
                "use another run.name."
            )
        return Plan.SEND
    about = [named(one) for one in last.orders]
    if about != statement.orders:
        raise Halted(
            f"Step {last.step} of the journal is about {len(about)} orders, the "
            f"venue's about {len(statement.orders)} or others: somebody else trades in "
            "this name."
        )
    return Plan.BOOK if statement.is_reported else Plan.AWAIT


def permitted(requests: Iterable[Request], state: TradingState) -> list[Request]:
    """What may leave of a step that was decided in another state, or long ago.

    The venue is asked about the others: it knows none of them, and refuses them now and
    for ever, so that they end as orders do, and a next restart finds the same ids.
    """
    return [
        one if _passes(one, state) else Query(named(one), one.sent_ns)
        for one in requests
    ]


def held_back(decided: Step, sent: Step) -> str:
    """How much of a step does not leave, for people."""
    pairs = zip(decided.orders, sent.orders, strict=True)
    count = sum(one is not other for one, other in pairs)
    return f"; {count} of its orders are held back" if count else ""


def _passes(request: Request, state: TradingState) -> bool:
    """As the gate has it: reductions pass while REDUCING, cancels always."""
    if isinstance(request, Cancel | Query) or state == TradingState.ACTIVE:
        return True
    is_smaller = isinstance(request, Replace) or request.reduce_only
    return is_smaller and state == TradingState.REDUCING


def _booked(
    trades: Iterable[Fill | Foreign], lots: Int[np.ndarray, " S"]
) -> Int[np.ndarray, " S"]:
    """What is owned once each of these counts, once."""
    after = lots.copy()
    for one in dict.fromkeys(trades):
        check_fill(one, len(after))
        after[one.symbol] += one.lots if one.side == BUY else -one.lots
    return after


def reconcile(
    ours: Int[np.ndarray, " S"], theirs: Int[np.ndarray, " S"] | None
) -> None:
    """After every report: what is owned must be what the venue says, if it says so."""
    if theirs is not None and ours.tolist() != theirs.tolist():
        raise Halted(_difference(ours, theirs))


def _difference(ours: Int[np.ndarray, " S"], theirs: Int[np.ndarray, " S"]) -> str:
    if len(ours) != len(theirs):
        return f"The venue knows {len(theirs)} instruments, this engine {len(ours)}."
    slot = int(np.flatnonzero(ours != theirs)[0])
    return (
        f"In slot {slot} the journal comes to {ours[slot]} lots, the venue's record "
        f"to {theirs[slot]}: fills that are not ours. Look at the account first."
    )
