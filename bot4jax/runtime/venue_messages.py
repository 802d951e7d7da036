"""What engine and venue say to each other: steps, reports, and who may send them.

`docs/protocol.md` shows each.
"""

from typing import Annotated

from msgspec import Meta, field

from bot4jax.runtime.messages import (
    MOST_SYMBOLS,
    Hash,
    Message,
    Refused,
    Run,
    Version,
    decoded,
)
from bot4jax.runtime.orders import (
    Answer,
    Cancel,
    Count,
    Nanoseconds,
    OrderId,
    Request,
    Signed,
    SomeId,
)

MOST_ORDERS = 1 << 16

History = SomeId
"""Of all that a run has asked for, see `recovery.continued`; empty: not told."""


class Step(Message, frozen=True, kw_only=True):
    """Engine to venue, after each decision: the orders, and how far to go on.

    In lock-step the venue answers once its own feed has reached `through_ns`, and
    waits for the next step before it looks beyond that and its order latency.
    """

    run: Run
    step: Count
    universe_hash: Hash
    boundary_ns: Nanoseconds
    """event time of the boundary that was decided at"""
    through_ns: Nanoseconds
    """event time up to which the venue is to report"""
    orders: Annotated[list[Request], Meta(max_length=MOST_ORDERS)] = field(
        default_factory=list
    )
    epoch: Count = 0
    """as the venue stated it; 0: it was never asked"""
    history: History = ""
    """of all steps up to this one, as they were decided"""


class Inquiry(Message, frozen=True, kw_only=True):
    """Engine to venue, before its first step: what happened since that step?"""

    run: Run
    step: Count
    """the last one that the engine knows of; 0: none"""
    version: Version
    """of the protocol"""
    universe_hash: Hash
    bar_ns: Nanoseconds
    """length of a bar"""
    boundary_ns: Nanoseconds = 0
    """of that step: what acts by then has changed what the engine owns"""
    within_ns: Annotated[int, Meta(ge=0, le=3_600 * 10**9)] = 0
    """as in `Alive`, from now on; 0: nobody is watched"""
    agreed_hash: Hash = 0
    """of what both must have read alike, see `config.agreed_hash`; 0: not told"""
    history: History = ""
    """of all steps up to that one"""
    history_before: History = ""
    """of all steps but that one, which may not have left"""

    def history_of(self, step: int) -> str:
        """Up to that step or the one before it; empty for any other."""
        known = {self.step: self.history, self.step - 1: self.history_before}
        return known.get(step, "")


class Statement(Message, frozen=True, kw_only=True):
    """Venue to engine: the end of its record. Whoever asked last may send steps, if
    its own record fits this one."""

    version: Version
    """of the protocol"""
    run: Annotated[str, Meta(max_length=100)]
    """whose steps it has taken; empty: nobody's"""
    step: Count
    """the last one taken"""
    is_reported: bool
    """whether it has been answered"""
    dedupes: bool
    """an order id that comes twice is traded once"""
    is_paper: bool
    """no real money is traded"""
    epoch: Count
    """to be sent with every step from now on; those of former epochs are refused. 0:
    no step of who asks is taken, and who was at work goes on"""
    positions: Annotated[list[Signed], Meta(max_length=MOST_SYMBOLS)]
    """lots by slot, once all that is told here counts"""
    orders: Annotated[list[OrderId], Meta(max_length=MOST_ORDERS)] = field(
        default_factory=list
    )
    """that the last step sent or was about, in the order they came"""
    answers: Annotated[list[Answer], Meta(max_length=4 * MOST_ORDERS)] = field(
        default_factory=list
    )
    """of the last report, if `is_reported`; then all that has happened since"""
    prevents_self_trades: bool = False
    """of two orders that would trade with each other it ends one"""
    history: History = ""
    """of all steps up to the last one taken, as whoever sent it told it"""


class Fenced(Message, frozen=True, kw_only=True):
    """Venue to an engine whose epoch is over: another one has taken its place."""

    epoch: Count
    """the one that counts"""


class Report(Message, frozen=True, kw_only=True):
    """Venue to engine: everything that happened up to `through_ns`, in its order."""

    step: Count
    through_ns: Nanoseconds
    answers: Annotated[list[Answer], Meta(max_length=4 * MOST_ORDERS)] = field(
        default_factory=list
    )
    positions: Annotated[list[Signed], Meta(max_length=MOST_SYMBOLS)] = field(
        default_factory=list
    )
    """lots by slot, once all answers count; empty: not told"""
    is_early: bool = False
    """the answer to a withdrawal: all that happened since the last report. The step's
    own report, where it is still to come, begins with it"""


class Withdraw(Message, frozen=True, kw_only=True):
    """Engine to venue, between two steps: take these orders back, whatever happens.

    With `is_last` it is answered at once, by one more report.
    """

    run: Run
    cancels: Annotated[list[Cancel], Meta(max_length=MOST_ORDERS)]
    is_last: bool = False
    """nothing else of this run may rest any longer either"""


class Alive(Message, frozen=True, kw_only=True):
    """Engine to venue, again and again: should no word follow, take back what rests."""

    run: Run
    within_ns: Annotated[int, Meta(gt=0, le=3_600 * 10**9)]
    """silence, by the venue's clock, after which this engine counts as gone"""


class Passed(Message, frozen=True, kw_only=True):
    """Engine to venue, while it waits for a report: the clock has closed the bar.

    A market that pauses shows no tick beyond the boundary; the venue is to report as if
    one had come.
    """

    run: Run
    boundary_ns: Nanoseconds
    """event time that counts as reached"""


class Goodbye(Message, frozen=True, kw_only=True):
    """Engine to venue: no step follows, and nobody waits for a report."""

    run: Run
    step: Count
    """the last one sent"""


FromEngine = Inquiry | Step | Passed | Withdraw | Alive | Goodbye
FromVenue = Statement | Report | Fenced | Refused


def unpack_from_engine(buffer: bytes | memoryview) -> FromEngine:
    """What an engine says to its venue, of whichever type."""
    return decoded(buffer, FromEngine)


def unpack_from_venue(buffer: bytes | memoryview) -> FromVenue:
    """What a venue says, of whichever type."""
    return decoded(buffer, FromVenue)
