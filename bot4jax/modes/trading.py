"""Paper trading of one span: decisions and fills are kept to be judged."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.decisions import Decided
from bot4jax.errors import DataError, Halted
from bot4jax.learn import dataset
from bot4jax.learn.dataset import BarRecord
from bot4jax.modes import tapes
from bot4jax.modes.keeping import Kept
from bot4jax.modes.leavings import Leavings, Totals
from bot4jax.modes.making import make_trader, paper_venue
from bot4jax.modes.setting import Setting
from bot4jax.runtime.account import Account
from bot4jax.runtime.closings import BarTape, Closed, Tape
from bot4jax.runtime.compiles import Compilations
from bot4jax.runtime.decider import Decider
from bot4jax.runtime.engine_snapshots import FOLDER
from bot4jax.runtime.folder import CLOCK
from bot4jax.runtime.garbage import settled
from bot4jax.runtime.inputs import FILE
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_file import Durability, JournalError
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.orders import Answer
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.publishers import Counters
from bot4jax.runtime.stages import Ages
from bot4jax.runtime.states import Transition
from bot4jax.runtime.stepped import Stepped
from bot4jax.runtime.stopping import Ending, stoppable
from bot4jax.runtime.venue_link import VenueLink

Report = Callable[..., None]

COLD_STEPS = 3
"""First steps of a run, left out of its latencies: the first ticks compile `absorb`."""


class Traded(NamedTuple):
    """Everything that a traded span leaves behind."""

    record: BarRecord
    features: Float[np.ndarray, "T S F"]
    volatility: Float[np.ndarray, "T S"]
    decided: list[Decided]
    totals: Totals
    """of all steps; what is above, of the newest"""
    steps: int
    """how many there were; fewer than the span has bars if it was ended early"""
    portfolio: Portfolio
    counters: Counters
    stages: dict[str, dict[str, float]]
    ages: dict[str, float | None]
    """p50 and p99 of the information age, ms"""
    counts: Int[np.ndarray, "2 F"]
    """symbols masked and clamped, by feature"""
    silent: Int[np.ndarray, " S"]
    """bars at which a symbol had been silent too long"""
    recompiles: int
    """compilations since the first step began"""
    state: TradingState
    """at the end"""
    transitions: list[Transition]
    """how it came to that"""

    @property
    def probability(self) -> Float[np.ndarray, "T S C"]:
        return np.stack([one.probability for one in self.decided])

    @property
    def member_probability(self) -> Float[np.ndarray, "M T S C"]:
        rows = [one.member_probability for one in self.decided]
        return np.stack(rows, axis=1)

    @property
    def weight(self) -> Float[np.ndarray, "T W"]:
        """Of every member, then of the fallback."""
        return np.stack([one.weight for one in self.decided])


def trade_here(
    setting: Setting,
    kept: Kept,
    folder: Path,
    report: Report,
    run: str | None = None,
    ending: Ending | None = None,
) -> Traded:
    """Trade the test span in this process: source, engine and venue in turns."""
    venue, span = LocalVenue(paper_venue(setting)), setting.split.test
    tape, bars = tapes.closed_bars(
        setting, kept.state.bars, span.start, span.stop, venue.hear
    )
    own = kept, tape, lambda *_: bars, venue, folder, report
    return trade(setting, *own, run=run, ending=ending)


def trade(
    setting: Setting,
    kept: Kept,
    tape: Tape | BarTape,
    bars: Callable[[Trader, Journal], Iterable[Closed]],
    venue: VenueLink,
    folder: Path,
    report: Report,
    publish: Callable[[Stepped], None] = lambda stepped: None,
    run: str | None = None,
    resumes: bool = False,
    newest: int | None = None,
    ending: Ending | None = None,
) -> Traded:
    """Every closed bar of the test span through the trading loop.

    `run` names the orders; without it the folder does. With `resumes` a journal that
    is not finished is gone through first, from `bars` that begin where it began; start
    and recovery are the same way. Of steps, so many of the `newest` are kept whole;
    None: all. Whoever trades more than this span hears an `ending` of all of them.
    """
    named, durability = run or folder.name, setting.config.runtime.durability
    with (
        closing(opened_journal(folder, named, resumes, durability)) as journal,
        Compilations() as compiled,
        settled(),
    ):
        trader = make_trader(setting, kept, venue, journal, publish)
        left = Leavings(len(setting.settings.members), newest)
        total = len(setting.split.test)
        with stoppable(trader) if ending is None else ending.of(trader):
            with heard_to_the_end(trader):
                closed = bars(trader, journal)  # people are heard from now on
                closed = settling(closed, lambda: trader.is_asleep, compiled)
                trader.decider.rehearse(tape.rehearsed())
                known = left.pass_over
                steps = stepping(trader, journal, closed, known)
                for stepped in steps:
                    left.add(stepped)
                    report("paper trading", trader.step_number, total)
                    if trader.step_number == total or trader.is_leaving:
                        break
            if not left.steps:
                trader.take_back()
                raise nothing_to_tell(trader)
            through_ns = left.steps[-1].closed.boundary_ns + setting.source.bar_ns
            left.totals.hear(ended(trader, journal, through_ns))
        trader.catch_up()
        if not resumes:
            journal.shed()
    traded = collect(left, trader.decider, trader.account, tape, compiled.late)
    return traded._replace(
        stages=trader.stages.quantiles(COLD_STEPS) | traded.stages,
        ages=trader.ages.quantiles(COLD_STEPS),
    )


def settling(
    bars: Iterable[Closed], is_asleep: Callable[[], bool], compiled: Compilations
) -> Iterator[Closed]:
    """The same bars; with the first that the device hears, all has been compiled."""
    is_settled = False
    for closed in bars:
        if not is_settled and not is_asleep():
            compiled.settle()
            is_settled = True
        yield closed


def nothing_to_tell(trader: Trader) -> BaseException:
    """Why there was not a single bar."""
    if trader.is_leaving:
        return KeyboardInterrupt()
    return DataError("The feed ended before a single bar of the test span.")


def ended(trader: Trader, journal: Journal, through_ns: int) -> Sequence[Answer]:
    """The last answers: the venue's, made durable before it may leave, or journaled."""
    if (end := journal.end) is not None:
        return trader.end(end)
    answers = trader.finish(through_ns)
    journal.finish(through_ns, answers)
    trader.leave()
    return answers


def shed(folder: Path) -> None:
    """What only a restart needs goes, once the run has been told."""
    with closing(Journal.open(folder / "journal.sqlite", folder.name)) as journal:
        journal.shed()
    for name in (FILE, CLOCK):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


@contextmanager
def heard_to_the_end(trader: Trader) -> Iterator[None]:
    """People are heard once more however the block ends; what ended it is told.

    Whatever goes wrong, nothing is left resting; only who interrupts twice waits for
    nothing, and leaves that to the dead-man's switch.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        try:
            with suppress(Halted):
                trader.attend()
        finally:
            with suppress(Halted):
                trader.take_back()
        raise
    trader.attend()


def stepping(
    trader: Trader,
    journal: Journal,
    bars: Iterable[Closed],
    passed: Callable[[StepRecord], None] = lambda record: None,
) -> Iterator[Stepped]:
    """Journaled steps once more, then agreement with the venue, then new steps.

    `passed` is told of those that the device need not hear. The venue has agreed before
    the last journaled step is told: whoever takes no step after it has been there too.
    A finished run has no new steps: what it did is told again, and no venue is asked.
    """
    is_over, past = journal.is_finished, journal.read()
    known = max(journal.last_step - is_over, 0)
    if not known:
        trader.start()
    for closed in bars:
        if trader.step_number >= known:
            yield trader.step(closed)
            continue
        record, told = next(past), None
        if trader.is_asleep:
            trader.pass_over(closed, record)
            passed(record)
        else:
            told = trader.repeat(closed, record)
        if trader.step_number == known:
            past.close()  # an open read keeps the write-ahead log from being folded
            if not is_over:
                trader.start()
        if told is not None:
            yield told
        if is_over and trader.step_number == known:
            return
    if trader.step_number < known:
        raise JournalError(
            f"The journal holds {known} steps, but its inputs end after step "
            f"{trader.step_number}: begin anew with run.fresh=true."
        )


def opened_journal(
    folder: Path, run: str, resumes: bool, durability: Durability = "power_loss"
) -> Journal:
    """The folder's journal, where there is one to go on with; else an empty one.

    A finished one is gone through again, to be told, and not traded on.
    """
    path = folder / "journal.sqlite"
    if resumes and path.is_file():
        return Journal.open(path, run, durability)
    for left in folder.glob("journal.sqlite*"):
        left.unlink()
    return Journal.open(path, run, durability)


def collect(
    left: Leavings,
    decider: Decider,
    account: Account,
    tape: Tape | BarTape,
    recompiles: int,
) -> Traded:
    """What the steps left behind, brought to the host in one go; times are the tape's
    alone."""
    steps = left.steps
    record = dataset.record_bars(
        steps[0].closed.bar, ((one.closed.ints, one.closed.floats) for one in steps)
    )
    changes = [one.closed.terms for one in steps]
    factor = dataset.price_factors(changes, record.ints.shape[-1])
    record = record._replace(price_factor=factor)
    observing = decider.memory.members.observing
    has_ticks = isinstance(tape, Tape)
    return Traded(
        record=record,
        features=np.stack([np.asarray(one.values) for one in steps]),
        volatility=np.stack([np.asarray(one.volatility) for one in steps]),
        decided=[one.decided for one in steps],
        totals=left.totals,
        steps=account.states.step,
        portfolio=account.portfolio,
        counters=tape.feed.counters if has_ticks else Counters(),
        stages=tape.stages.quantiles(COLD_STEPS) if has_ticks else {},
        ages=Ages().quantiles(),
        counts=np.asarray(observing.counts),
        silent=np.asarray(observing.silent),
        recompiles=recompiles,
        state=account.states.state,
        transitions=list(account.states.transitions),
    )
