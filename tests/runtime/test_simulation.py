"""Seeds of faults between engine and venue: nothing lost, nothing doubled."""

import json
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from bot4jax.runtime import brackets, local_venue, states, working_orders
from bot4jax.runtime.account import Account
from bot4jax.runtime.inputs import FILE, came_in
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.orders import (
    Cancel,
    Cancelled,
    Expired,
    Fill,
    Order,
    Reject,
    Replace,
    Replaced,
)
from bot4jax.runtime.remembering import Remembering
from bot4jax.runtime.self_trades import SelfTrades
from bot4jax.runtime.states import OF_THE_PROCESS, Cause, Transition
from bot4jax.runtime.throttle import Throttle, likeness
from bot4jax.runtime.tracking import OrderState, follow
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_record import Record
from bot4jax.runtime.working_orders import WorkingOrders
from tests.modes.ways import journal_of
from tests.runtime.scene import BAR_NS, RUN, compared, repeating
from tests.sim import __main__ as sim
from tests.sim import kill, seeds
from tests.sim.kill import FILLS, FIRST_KILL, Verdict, judged
from tests.sim.market import closed_bars, new_feed
from tests.sim.strangers import admitted

SEEDS = {"at once": range(5, 25), "at rest": range(5, 15)}
"""A few of those at rest are stopped by nobody."""


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> Record:
    return seeds.undisturbed(tmp_path_factory.mktemp("calm"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("seeds")


@pytest.fixture(scope="module")
def found(folder, calm) -> list[seeds.Told]:
    return [seeds.told(folder / str(seed), seed, calm) for seed in SEEDS["at once"]]


@pytest.fixture(scope="module")
def calm_at_rest(tmp_path_factory) -> seeds.Calm:
    """Of an engine whose orders rest; what its seeds are judged by is true of it."""
    calm = seeds.undisturbed_at_rest(tmp_path_factory.mktemp("resting"))
    found, story = calm.found, calm.story
    assert (found.lost, found.doubled, found.broken) == (0, 0, [])
    assert found.quiet > 20
    kinds = {type(one) for one in story.received}
    assert kinds == {Order, Cancel, Replace}
    assert {type(one) for one in story.answers} > {Expired, Cancelled, Replaced, Reject}
    return calm


@pytest.fixture(scope="module")
def found_at_rest(folder, calm_at_rest) -> list[seeds.Told]:
    return [
        seeds.told_at_rest(folder / f"resting {seed}", seed, calm_at_rest)
        for seed in SEEDS["at rest"]
    ]


def test_no_seed_loses_or_doubles_anything(found):
    assert [one.verdict.is_sound for one in found] == [True] * len(SEEDS["at once"])
    assert all(one.verdict.fills_before >= 50 for one in found)
    befallen = {name for one in found for name in +one.befallen}
    assert befallen >= {"fenced", "venue silent", "request late", "answer lost"}
    assert befallen >= {"disk refuses", "power lost", "clock jumps"}
    assert befallen >= {"frame waits", "frame cut", "old frame again"}
    assert befallen >= {"frame lost", "frames change places"}
    assert len(befallen) == 23


def test_no_seed_loses_or_doubles_orders_that_rest(found_at_rest):
    """As long as nothing is taken back between two steps the venue's record is that of
    an undisturbed run; the record itself shows what must hold in any case."""
    assert [one.verdict for one in found_at_rest if not one.verdict.is_sound] == []
    assert {one.is_disturbed for one in found_at_rest} == {False, True}
    assert min(one.quiet for one in found_at_rest) >= 10
    befallen = {name for one in found_at_rest for name in +one.befallen}
    assert befallen >= {"fenced", "venue silent", "request late", "answer lost"}
    assert befallen >= {"disk refuses", "power lost", "person stops"}


FAMILIES = {"at once": seeds.AT_ONCE, "at rest": seeds.AT_REST}


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_seed_is_repeated_by_its_journal_and_what_came_in(
    folder, found, found_at_rest, kind
):
    """Whatever has befallen the line, the disk, the clock and the engines."""
    family, prefix = FAMILIES[kind], "resting " if kind == "at rest" else ""
    for seed in SEEDS[kind]:
        own = folder / f"{prefix}{seed}"
        bars = closed_bars(came_in(own / FILE), new_feed())
        means = family.means
        again = repeating(family.targets, family.limits, transitions(own), **means)
        repeated = compared(again, bars, journal_of(own, RUN))
        assert (repeated.steps, repeated.is_equal) == (family.bars, True), seed
        assert repeated.orders > 2 * family.bars


def transitions(folder: Path) -> list[Transition]:
    with closing(Journal.open(folder / "journal.sqlite", RUN)) as journal:
        return journal.transitions()


def test_what_fails_is_told_with_the_command_that_repeats_it(capsys):
    sim.told(Verdict(60, 1, 0, False), "seed 5", "seeds=1 first=5")
    printed = capsys.readouterr().out
    assert "repeat: python -m tests.sim seeds=1 first=5" in printed


def test_one_kill_is_repeated_by_its_number_and_point(tmp_path, capsys, monkeypatch):
    """One of 50 that failed, and no other: what it told is a command that finds it."""
    kept = kill.killed

    def lossy(where, point, at, calm, *, rests):
        verdict = kept(where, point, at, calm, rests=rests)
        is_it = (point, at, rests) == ("after_send", FIRST_KILL + 2, False)
        return verdict._replace(lost=1) if is_it else verdict

    monkeypatch.setattr(kill, "killed", lossy)
    found = list(sim.by_kills(tmp_path / "all", ["after_send"], range(1, 3)))
    assert sum(one.verdict.lost for one in found) == 1
    command = capsys.readouterr().out.split("repeat: python -m tests.sim ")[1]
    assert sim.main(command.split()) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "sim kills=2 seeds=0 lost=1 doubled=0 admitted=0"


def test_the_judge_sees_a_fill_that_is_missing(calm):
    last = calm.fills[-1]
    short = calm._replace(answers=[one for one in calm.answers if one != last])
    assert (judged(short, calm, 0).lost, judged(calm, short, 0).doubled) == (1, 1)
    unsent = calm._replace(received=calm.received[1:])
    assert (judged(unsent, calm, 0).lost, judged(calm, unsent, 0).doubled) == (1, 1)
    asked_back = calm._replace(received=[*calm.received, Cancel(calm.fills[0].order)])
    assert judged(calm, asked_back, 0).lost == judged(asked_back, calm, 0).doubled == 1


def test_a_kill_before_much_was_traded_proves_nothing():
    assert Verdict(FILLS, 0, 0, True).is_sound
    assert not Verdict(FILLS - 1, 0, 0, True).is_sound


def test_a_venue_that_trades_twice_is_not_followed(tmp_path, calm, monkeypatch):
    """It says that it dedupes and does not: once it has traded a step twice, positions
    differ and no engine starts. A seed that comes to its end has sent none twice."""
    honest = local_venue.statement

    def boasting(*said):
        return msgspec.structs.replace(honest(*said), dedupes=True)

    def forgetful(*said, **more):
        return PaperVenue(*said, **more, dedupes=False)

    monkeypatch.setattr("bot4jax.runtime.desk.statement", boasting)
    monkeypatch.setattr(seeds, "PaperVenue", forgetful)
    monkeypatch.setattr(seeds, "STARTS", 30)

    def ends(seed: int) -> bool:
        try:
            found = seeds.told(tmp_path / str(seed), seed, calm)
        except AssertionError as error:
            if "did not come to its end in 30" not in str(error):
                raise
            return False
        assert found.verdict.doubled == 0
        return True

    assert not all(ends(seed) for seed in range(6))


def test_a_venue_that_knows_no_ids_is_sent_nothing_twice(tmp_path, calm, monkeypatch):
    """Where an order may have got lost the run ends, and what was traded until then is
    what an undisturbed run has traded first."""
    monkeypatch.setattr(seeds, "STARTS", 40)
    ended = []
    for seed in range(4):
        folder = tmp_path / str(seed)
        record, is_over = seeds.without_dedupe(folder, seed)
        assert record.answers == calm.answers[: len(record.answers)]
        assert record.received == calm.received[: len(record.received)]
        with closing(Journal.open(folder / "journal.sqlite", RUN)) as journal:
            texts = [one.text for one in journal.transitions()]
        assert is_over or any("are UNKNOWN" in text for text in texts)
        ended.append(is_over)
    assert not all(ended), "no seed has lost an order: the test shows nothing"


def test_an_engine_that_sends_before_it_commits_is_seen(
    tmp_path, calm, found, monkeypatch
):
    """What has left is not in the journal when the disk refuses the step: whatever came
    of it, no engine can go on."""
    commit, send, waiting = Journal.commit, SocketVenue.send, []

    def later(journal, record):
        waiting[:] = [(journal, record)]
        return b""

    def hasty(venue, step):
        send(venue, step)
        while waiting:
            commit(*waiting.pop())

    monkeypatch.setattr(Journal, "commit", later)
    monkeypatch.setattr(SocketVenue, "send", hasty)
    monkeypatch.setattr(seeds, "STARTS", 40)
    assert max(one.starts for one in found[:4]) < seeds.STARTS, "others do end"
    with pytest.raises(seeds.Stuck):
        [seeds.told(tmp_path / str(seed), seed, calm) for seed in range(4)]


def an_expiry_is_not_heard(monkeypatch):
    def deaf(tracked, answer):
        return tracked if isinstance(answer, Expired) else follow(tracked, answer)

    monkeypatch.setattr(working_orders, "follow", deaf)


def a_cancel_counts_once_it_is_sent(monkeypatch):
    """What trades until the venue has it is booked, and was not reckoned with."""
    expect = Account.expect

    def hasty(account, closed, requests):
        expect(account, closed, requests)
        working = account.portfolio.working
        for name in {one.order for one in requests if isinstance(one, Cancel)}:
            if (one := working.by_id[name]).is_open:
                over = msgspec.structs.replace(one, state=OrderState.CANCELLED)
                working._follow(one, over)

    def lenient(tracked, answer):
        if tracked.state != OrderState.CANCELLED:
            return follow(tracked, answer)
        if not isinstance(answer, Fill) or answer.number < tracked.fills:
            return tracked
        news = {"filled": tracked.filled + answer.lots, "fills": tracked.fills + 1}
        return msgspec.structs.replace(tracked, **news)

    monkeypatch.setattr(Account, "expect", hasty)
    monkeypatch.setattr(working_orders, "follow", lenient)


def stops_keep_their_size(monkeypatch):
    monkeypatch.setattr(brackets, "_replacements", lambda *how: ())


def rejected_orders_count_as_open(monkeypatch):
    def deaf(tracked, answer):
        return tracked if isinstance(answer, Reject) else follow(tracked, answer)

    monkeypatch.setattr(working_orders, "follow", deaf)


UNENDING = [an_expiry_is_not_heard, rejected_orders_count_as_open]


@pytest.mark.parametrize("plant", UNENDING, ids=lambda plant: plant.__name__)
def test_a_run_that_takes_for_open_what_is_over_never_ends(
    tmp_path, monkeypatch, plant
):
    """Undisturbed, and however often it is started."""
    monkeypatch.setattr(seeds, "STARTS", 3)
    plant(monkeypatch)
    with pytest.raises(seeds.Stuck):
        seeds.undisturbed_at_rest(tmp_path)


def test_a_cancel_that_counts_once_it_is_sent_is_seen(
    tmp_path, calm_at_rest, monkeypatch
):
    """By what the venue's record shows alone: the undisturbed run has the fault too."""
    a_cancel_counts_once_it_is_sent(monkeypatch)
    found = seeds.undisturbed_at_rest(tmp_path).found
    assert (found.lost, found.doubled) == (0, 0)
    assert found.broken


def test_a_venue_that_lets_our_orders_meet_is_seen(tmp_path, monkeypatch):
    """A stop-limit of a calm run wakes between two boundaries, below a bid of ours."""
    monkeypatch.setattr(SelfTrades, "met", lambda *how: [])
    calm = seeds.undisturbed_at_rest(tmp_path)
    (crossing,) = calm.found.broken
    assert "stood across" in crossing
    assert "stop_limit" in crossing


def test_stops_that_keep_their_size_are_seen(tmp_path, calm_at_rest, monkeypatch):
    """By a seed that leaves positions alone for long enough; the undisturbed run turns
    them too soon."""
    stops_keep_their_size(monkeypatch)
    assert seeds.told_at_rest(tmp_path, 5, calm_at_rest).verdict.broken


def what_a_withdrawal_was_told_is_forgotten(monkeypatch):
    take_back = Trader.take_back

    def forgetful(trader):
        written = len(trader._unwritten)
        take_back(trader)
        del trader._unwritten[written:]

    monkeypatch.setattr(Trader, "take_back", forgetful)


def a_step_is_sent_again_without_its_requests(monkeypatch):
    resume = SocketVenue.resume

    def partly(venue, last, plan):
        own = [one for one in last.orders if isinstance(one, Order)]
        resume(venue, msgspec.structs.replace(last, orders=own), plan)

    monkeypatch.setattr(SocketVenue, "resume", partly)


PLANTED_BETWEEN = [
    (what_a_withdrawal_was_told_is_forgotten, 4),
    (a_step_is_sent_again_without_its_requests, 6),
]
"""Faults, and a seed that befalls a run where they matter."""


@pytest.mark.parametrize(("plant", "seed"), PLANTED_BETWEEN)
def test_faults_between_two_lives_are_seen(
    tmp_path, calm_at_rest, monkeypatch, plant, seed
):
    """No engine goes on with a run whose journal and venue know different ends."""
    monkeypatch.setattr(seeds, "STARTS", 40)
    plant(monkeypatch)
    with pytest.raises(seeds.Stuck):
        seeds.told_at_rest(tmp_path, seed, calm_at_rest)


@pytest.mark.parametrize(
    ("asks", "many"),
    [(WorkingOrders.ask, (3, 18)), (WorkingOrders.take_back, (6,))],
    ids=["replacement", "cancel"],
)
def test_what_a_restart_forgets_of_what_is_under_way_is_seen(
    tmp_path, calm_at_rest, monkeypatch, asks, many
):
    """A step that is remembered asks for nothing: by the judge of what was asked for
    too soon, in runs that were disturbed, so that their record is another by right."""
    remember = Remembering._remember

    def forgetful(trader, closed, record):
        with pytest.MonkeyPatch.context() as moment:
            moment.setattr(WorkingOrders, asks.__name__, lambda orders, request: None)
            remember(trader, closed, record)

    monkeypatch.setattr(Remembering, "_remember", forgetful)
    for seed in many:
        found = seeds.told_at_rest(tmp_path / str(seed), seed, calm_at_rest).verdict
        assert any("asks too soon" in one for one in found.broken), seed


@pytest.fixture(scope="module")
def calm_repeating(tmp_path_factory) -> Record:
    """Of an engine that wants the same over and over; a person lets it go on once."""
    calm = seeds.undisturbed(tmp_path_factory.mktemp("repeating"), seeds.REPEATING)
    sent = [one for one in calm.received if isinstance(one, Order)]
    for one in sent:
        alike = [other for other in sent if likeness(other) == likeness(one)]
        ago = [(one.sent_ns - other.sent_ns) / BAR_NS for other in alike]
        assert sum(0 <= bars <= seeds.REPEAT_S for bars in ago) <= seeds.REPEATS
    assert [one.step for one in sent] == [*range(1, 18), *range(28, 34)]
    return calm


def test_no_seed_lets_an_engine_go_on_that_repeats_itself(tmp_path, calm_repeating):
    """Until a person looks, however often it is started anew meanwhile, and again when
    it goes on as before: the venue hears what it hears of an undisturbed run."""
    for seed in SEEDS["at once"][:5]:
        told = seeds.told(tmp_path / str(seed), seed, calm_repeating, seeds.REPEATING)
        assert (told.verdict.is_sound, told.starts > 5) == (True, True), seed
    with closing(Journal.open(tmp_path / str(seed) / "journal.sqlite", RUN)) as journal:
        own = [one for one in journal.transitions() if one.cause == "REPEATING"]
    assert [one.is_held for one in own] == [True, False, True]
    assert own[1].step == seeds.REPEATING.reset


def a_restart_forgets_what_repeats(monkeypatch):
    monkeypatch.setattr(states, "OF_THE_PROCESS", OF_THE_PROCESS | {Cause.REPEATING})


def a_restart_forgets_what_left(monkeypatch):
    remember = Remembering._remember

    def forgetful(trader, closed, record):
        with pytest.MonkeyPatch.context() as moment:
            moment.setattr(Throttle, "note", lambda throttle, order: None)
            remember(trader, closed, record)

    monkeypatch.setattr(Remembering, "_remember", forgetful)


FORGETFUL = [a_restart_forgets_what_repeats, a_restart_forgets_what_left]


@pytest.mark.parametrize("plant", FORGETFUL, ids=lambda plant: plant.__name__)
def test_a_restart_that_forgets_what_repeats_is_seen(
    tmp_path, calm_repeating, monkeypatch, plant
):
    plant(monkeypatch)
    own = tmp_path, SEEDS["at once"][0], calm_repeating, seeds.REPEATING
    assert seeds.told(*own).verdict.doubled > 0


def test_strangers_are_not_heard(tmp_path):
    assert admitted(tmp_path, 3) == 0


def test_the_command_counts_what_it_ran(capsys, tmp_path):
    out = tmp_path / "table.json"
    assert sim.main(["kill=0", "seeds=1", "first=7", f"out={out}"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "sim kills=0 seeds=1 lost=0 doubled=0 admitted=0"
    found = json.loads(out.read_text())
    none = dict.fromkeys(sim.COLUMNS, 0) | {"runs": 1}
    assert found["rows"]["seed"] | {"starts": 0} == none
    at_rest = found["rows"]["resting seed"]
    assert at_rest["starts"] > 1
    assert at_rest["quiet"] > 10
    of_faults = {"starts": 0, "quiet": 0, "disturbed": 0}
    assert at_rest | of_faults == none
    assert sum(found["faults"].values()) > 0
    assert found["command"] == "python -m tests.sim kill=0 seeds=1 first=7 out=PATH"
    assert sim.main(["kills=3"]) == 2
    assert "found 'kills=3'" in capsys.readouterr().err


def test_runs_that_end_before_their_last_death_are_followed_by_others(
    tmp_path, monkeypatch
):
    """As many kills as were asked for, whatever each run had time for."""
    begun, early = [], iter([2, 1, 5])

    def submitted(pool, root, calm, deaths):
        begun.append((root.name, deaths[0]))
        died = min(next(early, len(deaths)), len(deaths))
        return pool.submit(lambda: (Verdict(FILLS, 0, 0, is_same=True), died))

    monkeypatch.setattr(sim, "submitted", submitted)
    monkeypatch.setattr(sim.whole, "demo", lambda folder: folder)
    monkeypatch.setattr(sim.whole, "fatal_step", lambda calm: 7)
    counts = {"mid_checkpoint": 9, "after_send": 3}
    found = list(sim.by_whole_runs(tmp_path / "live", counts))
    kills = dict.fromkeys(counts, 0)
    for one in found:
        kills[one.kind.removeprefix("live ")] += one.kills
    assert kills == counts
    assert [one.kills for one in found] == [2, 1, 3, 6]
    assert [root for root, _ in begun] == ["0", "1", "2", "3"]
    assert all(at >= 7 for _, (_, at) in begun)
