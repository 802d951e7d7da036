"""What may leave now, and everything that speaks against it.

    ACTIVE ──a cause that shrinks──▶ REDUCING ──a cause that stops──▶ HALTED
      ▲                                 │                              │
      └───────────── every cause is lifted by what it names ───────────┘

Causes stand beside each other and the gravest rules, so that lifting one never
overrules another. Each coming and going is journaled before it acts.
"""

import enum
from collections import deque
from collections.abc import Callable, Iterable
from typing import Annotated, NamedTuple, Self

import msgspec
from msgspec import Meta

from bot4jax.runtime.equity import Lost
from bot4jax.runtime.limits import Limits, TradingState
from bot4jax.runtime.sessions import utc_day
from bot4jax.runtime.steady import steady_clock

TOLD = 1_024
"""Newest transitions that summary and report tell of; the journal has all."""


class Cause(enum.IntEnum):
    """Why less than everything may leave, the state it asks for, and what ends it."""

    state: TradingState
    sentence: str

    def __new__(cls, value: int, state: TradingState, sentence: str) -> Self:
        cause = int.__new__(cls, value)
        cause._value_ = value
        cause.state, cause.sentence = state, sentence
        return cause

    STARTING = 1, TradingState.HALTED, "Until all is recovered and the venue agrees."
    KILLED = 2, TradingState.HALTED, "The kill switch: until a person resets it."
    JOURNAL = 3, TradingState.HALTED, "The journal cannot be written: until a restart."
    VENUE = 4, TradingState.HALTED, "The venue is silent or disagrees: until a restart."
    FEED_SILENT = 5, TradingState.HALTED, "No tick came for too long: until a restart."
    FEED_QUIET = 6, TradingState.REDUCING, "Ticks paused: until a bar came without."
    PAUSED = 7, TradingState.REDUCING, "A person asked: until the time or a reset."
    DAILY_LOSS = (
        8,
        TradingState.REDUCING,
        "A day's loss: until the market's next day.",
    )
    DRAWDOWN = 9, TradingState.REDUCING, "The drawdown: until a reset within its limit."
    REPEATING = 10, TradingState.HALTED, "One order over and over: until a reset."
    TOO_LATE = 11, TradingState.REDUCING, "The newest tick is old: until one is not."
    NEWS = 12, TradingState.REDUCING, "News of the market: until its time or a reset."
    LOSING = 13, TradingState.REDUCING, "Losses in a row: until the market's next day."
    UNHEARD = 14, TradingState.REDUCING, "Unknown events: until a person resets it."
    DEVICE = 15, TradingState.HALTED, "The device stalls: until a restart."
    UNTOLD = 16, TradingState.REDUCING, "Missed events: until a snapshot tells them."
    SHADOW = 17, TradingState.HALTED, "The rollout's shadow phase: for all of the run."
    DEMOTED = 18, TradingState.REDUCING, "The rollout went back: for the run's rest."


OF_THE_PROCESS = frozenset(
    {
        *(Cause.STARTING, Cause.JOURNAL, Cause.VENUE, Cause.DEVICE),
        *(Cause.FEED_SILENT, Cause.FEED_QUIET, Cause.TOO_LATE),
    }
)
"""End with the process; the others come back with the journal."""

OF_THE_ROLLOUT = frozenset({Cause.SHADOW, Cause.DEMOTED})
"""Held or lifted as a run begins, by what is known of its strategy."""

OF_THE_DAY = (Cause.DAILY_LOSS, Cause.LOSING)
"""End with the market's day; no person lifts them."""

OF_PEOPLE = (
    *(Cause.KILLED, Cause.PAUSED, Cause.DRAWDOWN),
    *(Cause.REPEATING, Cause.NEWS, Cause.UNHEARD, Cause.UNTOLD),
)
"""What `reset` lifts."""


class Transition(msgspec.Struct, frozen=True):
    """A cause came or went."""

    step: int
    """the last one before it"""
    at_ns: int
    """steady clock, for people; of a day's losses of a run before, the market's time"""
    cause: str
    is_held: bool
    state: Annotated[int, Meta(ge=0, le=2)]
    """from now on"""
    text: str
    """what was found"""
    until_ns: int = 0
    """steady clock at which it is lifted by itself; 0: only by what the cause names"""
    is_reset: bool = False
    """a person has ended all news that had acted by then, of single instruments too"""

    @property
    def sentence(self) -> str:
        verb = "holds" if self.is_held else "is lifted"
        state = TradingState(self.state).name
        return f"step {self.step}: {self.cause} {verb}, {state}: {self.text}"


def on_one_line(text: str) -> str:
    """A text of whoever, as it may be printed: no line of its own, no control of a
    terminal."""
    shown = (one if one.isprintable() else " " for one in text)
    return " ".join("".join(shown).split())


class _Held(NamedTuple):
    text: str
    step: int
    until_ns: int = 0


class States:
    """The causes that hold; `note` makes each transition durable before it counts."""

    def __init__(
        self,
        note: Callable[[Transition], None],
        past: Iterable[Transition] = (),
        step: int = 0,
        day_of: Callable[[int], int] = utc_day,
    ) -> None:
        """`past`: what a former process noted, whose last step was `step`; `day_of`:
        the number of the market's day at a boundary."""
        self._note, self._day_of = note, day_of
        self.known = step
        """the last one of a former process"""
        self._held: dict[Cause, _Held] = {}
        past = tuple(past)
        self.transitions = deque(past, TOLD)
        self.step = step
        self.resets = {one.step for one in past if one.is_reset}
        """steps after which a person has ended all news, in whichever process"""
        self._pulls: list[str] = []
        """why the kill switch was pulled, each time; whichever thread appends to it"""
        self._released = 0
        self._loss_day = 0
        self._restore(past)

    @property
    def state(self) -> TradingState:
        """The gravest that any cause asks for."""
        return self.besides(None)

    def besides(self, left_out: Cause | None) -> TradingState:
        """The gravest that any other cause asks for."""
        if self.pulled is not None:
            return TradingState.HALTED
        held = tuple(self._held)  # other threads ask too
        states = (cause.state for cause in held if cause is not left_out)
        return max(states, default=TradingState.ACTIVE)

    @property
    def causes(self) -> tuple[Cause, ...]:
        return tuple(sorted(self._held))

    @property
    def pulled(self) -> str | None:
        """Why the kill switch was pulled; counts before anybody has journaled it."""
        return next(iter(self._pulls[self._released :]), None)

    @property
    def pulls(self) -> int:
        """How often the kill switch was pulled so far."""
        return len(self._pulls)

    def is_held(self, cause: Cause) -> bool:
        return cause in self._held

    def ends(self, cause: Cause) -> bool:
        """Whether a cause holds that is lifted by a time on the wall."""
        held = self._held.get(cause)
        return held is not None and held.until_ns > 0

    def pull(self, text: str) -> None:
        """The kill switch, in whichever thread: nothing passes the gate from now on."""
        self._pulls.append(text)

    def release(self, pulls: int) -> None:
        """Forget the first so many pulls; a later one still counts."""
        self._released = max(self._released, pulls)

    def hold(self, cause: Cause, text: str, until_ns: int = 0) -> None:
        """Let a cause count from now on; once it does, only a later end is news, but it
        is known to have held in this step too.

        An end of 0 is none, and the latest of all.
        """
        held = self._held.get(cause)
        if held is not None and not _is_later(until_ns, held.until_ns):
            self._held[cause] = held._replace(step=self.step)
            return
        self._held[cause] = _Held(text, self.step, until_ns)
        self._tell(cause, text, is_held=True, until_ns=until_ns)

    def lapse(self, now_ns: int) -> None:
        """Lift what has come to its own end."""
        for cause, held in tuple(self._held.items()):
            if 0 < held.until_ns <= now_ns:
                self.lift(cause, "its time is over")

    def lift(self, cause: Cause, text: str) -> None:
        """Let a cause count no more, if it did."""
        if self._held.pop(cause, None) is not None:
            self._tell(cause, text, is_held=False)

    def reset_news(self, step: int, text: str) -> None:
        """A person ends all news that has acted up to a step, or up to the last one of
        a former process, where this one has not gone through that yet."""
        step = max(step, self.known)
        self._held.pop(Cause.NEWS, None)
        self._tell(Cause.NEWS, text, is_held=False, reset_step=step)
        self.resets.add(step)

    def recall(self, boundary_ns: int) -> None:
        """The day of losses that a former process held."""
        self._loss_day = max(self._loss_day, self._day_of(boundary_ns))

    def weigh(self, boundary_ns: int, lost: Lost, limits: Limits) -> None:
        """Hold what the losses ask for. A loss that is not known is the gate's."""
        day = self._day_of(boundary_ns)
        for cause in OF_THE_DAY if day > self._loss_day else ():
            self.lift(cause, "a new day of the market")
        for cause, loss, limit in (
            (Cause.DAILY_LOSS, lost.of_day, limits.daily_loss_share),
            (Cause.DRAWDOWN, lost.of_peak, limits.drawdown_share),
        ):
            if loss.is_known and not loss.within(limit):
                self.hold(cause, f"{loss.share:.2%} are lost, {limit:.2%} is the limit")
        if lost.in_a_row > limits.losses_in_a_row:
            self.hold(
                Cause.LOSING, f"{lost.in_a_row} boundaries in a row came to a loss"
            )
        self._loss_day = max(self._loss_day, day)

    def begin(self, step: int) -> None:
        """A step begins; ticks that paused before the last one are no news."""
        self.step = step
        quiet = self._held.get(Cause.FEED_QUIET)
        if quiet is not None and step > quiet.step + 1:
            self.lift(Cause.FEED_QUIET, "a whole bar came without a pause")

    def _restore(self, past: Iterable[Transition]) -> None:
        """Hold again what held when the process before this one ended."""
        last = {Cause[one.cause]: one for one in past}
        for cause, one in last.items():
            if one.is_held and cause not in OF_THE_PROCESS:
                self._held[cause] = _Held(one.text, one.step, one.until_ns)
                if cause in OF_THE_DAY and one.step == 0:  # no step recalls it
                    self.recall(one.at_ns)

    def _tell(
        self,
        cause: Cause,
        text: str,
        *,
        is_held: bool,
        until_ns: int = 0,
        reset_step: int | None = None,
    ) -> None:
        step = self.step if reset_step is None else reset_step
        told = Transition(
            step,
            steady_clock()(),
            cause.name,
            is_held,
            int(self.state),
            on_one_line(text),
            until_ns,
            is_reset=reset_step is not None,
        )
        self.transitions.append(told)
        if cause is not Cause.JOURNAL:
            self._note(told)


def _is_later(until_ns: int, than_ns: int) -> bool:
    """Of two ends; 0 is none at all."""
    return than_ns > 0 and not 0 < until_ns <= than_ns


def causes_table() -> str:
    """The second part of `docs/codes.md`: causes and the state each asks for."""
    rows = [f"| `{one.name}` | {one.state.name} | {one.sentence} |" for one in Cause]
    return "\n".join(
        [
            "# What keeps the engine from being ACTIVE",
            "",
            "Several may hold at once, and the gravest state rules. REDUCING lets "
            "reductions pass, HALTED",
            "nothing but cancels. Each coming and going is in the journal, the summary "
            "and the report.",
            "",
            "| cause | state | lasts |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )
