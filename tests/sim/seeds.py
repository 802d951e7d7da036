"""One seed's story: an engine that is cut off again and again, whatever befalls it.

The line to the venue loses, delays and repeats; the disk refuses writes, and forgets
what was not synced when the power goes; the wall clock, by which everything is stamped
and received, jumps; frames of the market come twice, too late, cut, broken, together,
in another order or never. Journal, inputs, recovery, feed, gate, portfolio, venue link
and the venue's desk are the real ones. The venue's own record is the judge: it must be
that of a run nothing has befallen.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import apsw
import msgspec
import numpy as np

from bot4jax.errors import Halted
from bot4jax.modes.trading import ended, stepping
from bot4jax.runtime.account import Account
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.inputs import FILE, MARK, Inputs
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.limits import Limits
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.states import Cause
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_record import Record
from tests.runtime.scene import (
    BAR_NS,
    LIMITS,
    RUN,
    START_NS,
    UNIVERSE,
    Scene,
    Targets,
    quotes,
)
from tests.sim.disk import FaultyDisk, lose_end
from tests.sim.engine import RESTING, hesitant, mids, targets
from tests.sim.invariants import BINDING, Found, Ledger, examine
from tests.sim.kill import FILLS, SIZE, Verdict, judged
from tests.sim.line import Exchange, Faults, Line
from tests.sim.market import (
    Death,
    befallen,
    closed_bars,
    frames,
    new_feed,
    taken_up,
)
from tests.sim.story import Story, StoryVenue

BARS = 25
STARTS = 200
"""An engine that needs more than these has not gone on."""

STOPPED_FILLS = 25
"""That prove something of a run that people stopped: it trades less meanwhile."""

SILENCE_S = 0.01
"""After which a venue has not answered; on this line answers take no time."""


class Stuck(AssertionError):
    """No engine goes on with a run."""


class Family(NamedTuple):
    """What the engines of a seed want and by which means, and their venue's latency."""

    targets: Targets
    limits: Limits
    means: Mapping[str, Any]
    latencies: tuple[int, ...]
    """ns, of requests on their way; each is as likely as the others"""
    bars: int
    size: int
    """displayed on each side, in lots"""
    mids: Callable[[int], Sequence[int]] = mids
    """by bar, in increments"""
    reset: int = 0
    """step after which a person looks, and lets an engine go on that repeats itself"""
    least: int = FILLS
    """fills without which a run proves little"""


AT_ONCE = Family(targets, LIMITS, {}, (), bars=BARS, size=SIZE)
"""Orders trade when they arrive, or never."""

LATE = tuple(BAR_NS * tenths // 10 for tenths in (3, 7, 11, 16))
AT_REST = Family(hesitant, BINDING, RESTING, LATE, bars=45, size=350)
"""Orders rest, in slices, under stops and take-profits; cancels and replacements are
on their way too, some longer than a bar: they overtake each other."""

REPEATS, REPEAT_S = 3, 10
"""So many orders alike, in so many bars of a second, are the most."""


def looping(step: int) -> tuple[float, float, float]:
    """Wishes that differ, and then as much more in every step: the same order over and
    over."""
    n = min(step, 12)
    return 0.0015 * n * (n + 1) + 0.02 * (step - n), 0.0, 0.0


FEW_ALIKE = msgspec.structs.replace(
    LIMITS, repeats=REPEATS, repeat_seconds=float(REPEAT_S)
)
REPEATING = Family(
    *(looping, FEW_ALIKE, {}, ()),
    bars=40,
    size=100_000,
    mids=lambda bar: (200, 200, 200),
    reset=27,
    least=15,
)
"""Its last wishes are all the same order: it is stopped after three, is let go on when
those are long gone, and is stopped again."""


class Calm(NamedTuple):
    """What an undisturbed run of orders that rest is like."""

    story: Story
    found: Found

    @property
    def until(self) -> int:
        return self.found.until


class Told(NamedTuple):
    """What came of one seed."""

    verdict: Verdict
    starts: int
    befallen: Counter[str]
    """faults by name, how often"""
    is_disturbed: bool = False
    """something was taken back between two steps, or a person has stopped it"""
    quiet: int = 0
    """moments at which stops were compared with what they protect"""


def told(folder: Path, seed: int, calm: Record, family: Family = AT_ONCE) -> Told:
    """Trade all bars under the seed's faults, and judge the venue's record."""
    faults, venue = Faults(seed), PaperVenue(UNIVERSE, latency_ns=0)
    desk = listening(venue, family)
    starts = sum(1 for _ in lives(folder, desk, faults, family))
    record = venue.record
    verdict = judged(record, calm, len(record.fills))._replace(least=family.least)
    return Told(verdict, starts, faults.befallen)


def told_at_rest(folder: Path, seed: int, calm: Calm) -> Told:
    """The same of orders that rest.

    As long as nothing is taken back between two steps, and no person stops the engine,
    the venue's story must be that of an undisturbed run. From then on it is another, by
    right; what `invariants` say must hold of all of it.
    """
    faults, venue = Faults(seed), StoryVenue(UNIVERSE, latencies=LATE)
    found, starts = rested(folder, venue, faults)
    story, cut = venue.story, found.until
    is_disturbed = cut < calm.until
    beside = judged(story, story if is_disturbed else calm.story, len(story.fills))
    verdict = Verdict(
        beside.fills_before,
        lost=found.lost + beside.lost,
        doubled=found.doubled + beside.doubled,
        is_same=beside.is_same and story.events[:cut] == calm.story.events[:cut],
        broken=tuple(found.broken),
        least=STOPPED_FILLS if is_disturbed else FILLS,
    )
    return Told(verdict, starts, faults.befallen, is_disturbed, found.quiet)


def rested(folder: Path, venue: StoryVenue, faults: Faults) -> tuple[Found, int]:
    """What is found of a run whose orders rest, and how often it was started."""
    own = lives(folder, listening(venue, AT_REST), faults, AT_REST)
    *_, (starts, last) = enumerate(own, 1)
    told = last.journaled(), last.ledger(), venue.open_orders
    return examine(venue.story, *told, AT_REST.bars, market(AT_REST)), starts


def without_dedupe(folder: Path, seed: int) -> tuple[Record, bool]:
    """The record of a venue that trades twice what comes twice, and says so; whether
    the run came to its end. The line does not repeat by itself, as none of TCP does."""
    faults = Faults(seed, never=("request twice",))
    venue = PaperVenue(UNIVERSE, latency_ns=0, dedupes=False)
    try:
        for _ in lives(folder, listening(venue), faults):
            pass
    except Stuck:
        return venue.record, False
    return venue.record, True


def undisturbed(folder: Path, family: Family = AT_ONCE) -> Record:
    """The record of a run that nothing befalls."""
    venue, nothing = PaperVenue(UNIVERSE, latency_ns=0), Faults(0, share=0.0)
    desk = listening(venue, family)
    assert sum(1 for _ in lives(folder, desk, nothing, family)) == 1
    return venue.record


def undisturbed_at_rest(folder: Path) -> Calm:
    """The same of orders that rest, and what is found of it."""
    venue = StoryVenue(UNIVERSE, latencies=LATE)
    found, starts = rested(folder, venue, Faults(0, share=0.0))
    assert starts == 1
    return Calm(venue.story, found)


def lives(
    folder: Path, desk: Desk, faults: Faults, family: Family = AT_ONCE
) -> Iterator["Life"]:
    """One engine after the other, each before it begins, until one has traded all bars.

    What a dead one had sent may arrive while the next ones trade.
    """
    folder.mkdir(parents=True, exist_ok=True)
    exchange = Exchange(desk, faults)
    working_disk = working(FaultyDisk(f"disk-{folder}", faults))
    with jumping(faults) as clock_ns, working_disk as disk:
        for number in range(STARTS):
            line = Line(exchange, faults, str(number).encode())
            life = Life(folder, disk, faults, clock_ns, family)
            yield life
            try:
                life.trade(exchange, line)
            except (Halted, Death, apsw.Error):
                life.end()
                continue
            return
    raise Stuck(f"The run did not come to its end in {STARTS} starts.")


class Life:
    """One engine's, from wherever journal and inputs end."""

    _account: Account
    """once it trades"""

    def __init__(
        self,
        folder: Path,
        disk: FaultyDisk,
        faults: Faults,
        clock_ns: Callable[[], int],
        family: Family,
    ) -> None:
        self._family = family
        self._folder, self._disk, self._faults = folder, disk, faults
        self._clock_ns = clock_ns
        self._durable = 0
        """bytes of what came in that are synced"""
        self._synced: dict[str, bytes] = {}
        """of the journal, as the process ended"""

    def trade(self, exchange: Exchange, line: Line) -> None:
        with closing(self._opened()) as journal, Inputs(self._folder) as inputs:
            try:
                self._trade(journal, inputs, exchange, line)
            finally:
                self._synced = dict(self._disk.synced)
                self._disk.is_sound = True

    def journaled(self) -> list[StepRecord]:
        """Every step, and the end."""
        path = self._folder / "journal.sqlite"
        with closing(Journal.open(path, RUN)) as journal:
            assert journal.end is not None
            return [*journal.read(), journal.end]

    def ledger(self) -> Ledger:
        """What this engine believes."""
        portfolio = self._account.portfolio
        worth = portfolio.curve[-1]
        return Ledger(portfolio.lots.tolist(), worth.cash, portfolio.working.ids())

    def end(self) -> None:
        """The machine may have lost its power as well."""
        if self._faults.befalls("power lost", 10.0):
            self._disk.lose_power(self._folder, self._synced)
            lose_end(self._folder / FILE, self._durable, self._faults)

    def _opened(self) -> Journal:
        self._disk.is_sound = True
        path = self._folder / "journal.sqlite"
        journal = Journal.open(path, RUN, "power_loss", self._disk.name)
        marks = journal.marks()
        self._durable = MARK.unpack(marks[-1])[0] if marks else 0
        self._disk.is_sound = False
        return journal

    def _trade(
        self, journal: Journal, inputs: Inputs, exchange: Exchange, line: Line
    ) -> None:
        scene = Scene(
            self._folder,
            self._family.targets,
            limits=self._family.limits,
            venue=SocketVenue(line, timeout_s=SILENCE_S),  # pyright: ignore[reportArgumentType]
            journal=journal,
            on_point=self._at_point,
        )
        for name, value in self._family.means.items():
            setattr(scene.account, name, value)
        self._account = scene.account
        scene.trader.mark = self._noted(inputs)
        family = self._family
        whole = frames(family.bars, family.size, family.mids)
        sent = whole[max(0, journal.last_step - 1) :]
        feed = new_feed()

        def heard() -> Iterator[Arrival]:
            yield from inputs.again(journal.marks())
            came = befallen(sent, self._faults, lambda: feed.is_stale)
            yield from inputs.heard(taken_up(came, self._faults, self._clock_ns))

        for _ in stepping(scene.trader, journal, closed_bars(heard(), feed)):
            exchange.deliver_late()
            if family is AT_REST:
                self._attend(scene)
            self._reset(scene)
        ended(scene.trader, journal, START_NS + family.bars * BAR_NS)

    def _attend(self, scene: Scene) -> None:
        """A person may stop the engine between two steps, and lets it go on after the
        next one, in whichever process."""
        states = scene.states
        if states.is_held(Cause.STARTING):
            return
        if states.is_held(Cause.KILLED):
            states.lift(Cause.KILLED, "enough")
        elif self._faults.befalls("person stops", 0.5):
            scene.trader.halt(Cause.KILLED, "drill")

    def _reset(self, scene: Scene) -> None:
        states, step = scene.states, scene.trader.step_number
        if step == self._family.reset and not states.is_held(Cause.STARTING):
            states.lift(Cause.REPEATING, "looked into it")

    def _at_point(self, name: str) -> None:
        if self._faults.befalls(f"death {name}"):
            raise Death(name)

    def _noted(self, inputs: Inputs) -> Callable[[], Future[bytes]]:
        """Marks, remembered: what they promise outlives the power."""

        def mark() -> Future[bytes]:
            given = inputs.mark()
            self._durable = MARK.unpack(given.result())[0]
            return given

        return mark


@contextmanager
def working(disk: FaultyDisk) -> Iterator[FaultyDisk]:
    """A disk that SQLite knows."""
    try:
        yield disk
    finally:
        disk.unregister()


@contextmanager
def jumping(faults: Faults) -> Iterator[Callable[[], int]]:
    """The wall clock jumps by up to a day, back and forth: that of people, and that by
    which frames are received."""
    day_ns = 86_400_000_000_000
    now_ns = [day_ns * 20_000]

    def time_ns() -> int:
        if faults.befalls("clock jumps"):
            now_ns[0] += faults.pick(2 * day_ns) - day_ns
        return now_ns[0]

    with patch("bot4jax.runtime.states.steady_clock", lambda: time_ns):
        yield time_ns


def listening(venue: PaperVenue, family: Family = AT_ONCE) -> Desk:
    """A venue's desk that has heard the whole market."""
    desk = Desk(venue, UNIVERSE.hash)
    desk.hear(market(family))
    desk.end()
    return desk


def market(family: Family) -> np.ndarray:
    """All of its quotes."""
    bars = range(family.bars)
    return np.concatenate([quotes(bar, family.mids(bar), family.size) for bar in bars])
