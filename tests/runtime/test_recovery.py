"""A killed engine goes on as if nothing had happened; the venue is the judge."""

import os
import shutil
import signal
import time
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bot4jax.errors import Halted
from bot4jax.runtime.inputs import FILE, MARK, Inputs, InputsError, packed
from bot4jax.runtime.journal import Journal, Unwritten
from bot4jax.runtime.lease import lease
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.orders import Cancel, Fill, Order, Replace, order_id
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.recovery import Plan, plan
from bot4jax.runtime.states import Cause
from bot4jax.runtime.targets import Tactic
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_messages import Statement, Step
from bot4jax.runtime.venue_record import Record
from bot4jax.runtime.wire import VERSION
from bot4jax.types import BUY, TICK, Frame
from tests.runtime.scene import RUN, UNIVERSE, RealVenue, Scene, quotes
from tests.sim.engine import targets
from tests.sim.kill import (
    KILLED,
    PATIENCE_S,
    POINTS,
    begun,
    judged,
    killed,
    served,
    started,
    undisturbed,
)


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> Record:
    return undisturbed(tmp_path_factory.mktemp("calm"))


@pytest.mark.parametrize("at", [25, 36])
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_loses_and_doubles_nothing(tmp_path, calm, point, at):
    verdict = killed(tmp_path, point, at, calm)
    assert verdict.fills_before >= 50
    assert (verdict.lost, verdict.doubled, verdict.is_same) == (0, 0, True)


@pytest.fixture(scope="module")
def calm_at_rest(tmp_path_factory) -> Record:
    found = undisturbed(tmp_path_factory.mktemp("resting"), rests=True)
    kinds = {type(one) for one in found.received}
    assert kinds == {Order, Cancel, Replace}
    assert {one.kind for one in found.received if isinstance(one, Order)} == {
        *("limit", "stop_limit", "take_profit")
    }
    assert any(one.is_maker for one in found.fills)
    return found


@pytest.mark.parametrize("at", [30, 41])
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_while_orders_rest_loses_and_doubles_nothing(
    tmp_path, calm_at_rest, point, at
):
    """Slices, stops, take-profits and cancels, half a bar on their way."""
    verdict = killed(tmp_path, point, at, calm_at_rest, rests=True)
    assert verdict.fills_before >= 50
    assert (verdict.lost, verdict.doubled, verdict.is_same) == (0, 0, True)


def test_a_silent_venue_ends_the_start(tmp_path):
    code = started(tmp_path, f"ipc://{tmp_path}/nobody", "", 0, signal.SIGKILL, 0.2)
    assert code == Halted.exit_code
    assert "has not answered" in (tmp_path / "ended").read_text()
    with closing(Journal.open(tmp_path / "journal.sqlite", RUN)) as journal:
        last = journal.transitions()[-1]
        assert (last.cause, last.state) == ("VENUE", TradingState.HALTED)
        assert journal.last_step < 1


def test_a_stopped_engine_keeps_its_folder_and_wakes_up_fenced(tmp_path, calm):
    """It stops between journal and sending; another takes over and sends its step."""
    venue = PaperVenue(UNIVERSE, latency_ns=0)
    thread, endpoint = served(tmp_path / "venue", venue)
    first, second = tmp_path / "first", tmp_path / "second"
    asleep = begun(first, endpoint, "after_journal", 30, signal.SIGSTOP)
    try:
        until_stopped(asleep.pid)
        with pytest.raises(Halted, match="may only be asleep"), lease(first):
            pass
        shutil.copytree(first, second)
        assert started(second, endpoint, "after_send", 33) == KILLED
        os.kill(asleep.pid, signal.SIGCONT)
        asleep.join(PATIENCE_S)
        assert asleep.exitcode == Halted.exit_code
        assert "Another engine trades" in (first / "ended").read_text()
    finally:
        asleep.kill()
    assert started(second, endpoint) == 0
    thread.join(30)
    assert judged(venue.record, calm, len(venue.record.fills)).is_sound


def test_an_engine_that_is_refused_harms_not_the_one_at_work(tmp_path, calm):
    """Of the same name, in another folder, whose lease nobody at work can see."""
    venue = PaperVenue(UNIVERSE, latency_ns=0)
    thread, endpoint = served(tmp_path / "venue", venue)
    first, second = tmp_path / "first", tmp_path / "second"
    at_work = begun(first, endpoint, "after_journal", 30, signal.SIGSTOP)
    try:
        until_stopped(at_work.pid)
        assert started(second, endpoint) == Halted.exit_code
        assert "The journal ends with step 0" in (second / "ended").read_text()
        os.kill(at_work.pid, signal.SIGCONT)
        at_work.join(PATIENCE_S)
        assert at_work.exitcode == 0
    finally:
        at_work.kill()
    thread.join(30)
    assert judged(venue.record, calm, len(venue.record.fills)).is_sound


@pytest.mark.parametrize(("wish", "is_known"), [(0.02, True), (0.01, False)])
def test_a_journal_of_other_orders_of_the_same_names_is_not_gone_on_with(
    tmp_path, wish, is_known
):
    """A run of the same name that went another way: it has come as far, its order has
    the same id, and nothing has traded yet."""
    venue = LocalVenue(PaperVenue(UNIVERSE, latency_ns=0))
    passive(tmp_path / "at work", 0.02, venue).step(0)
    other = passive(tmp_path / "other", wish)
    (sent,) = other.step(0).orders
    (record,) = other.journal.read()
    other.journal.close()
    again = passive(tmp_path / "other", wish, venue, is_new=False)
    again.trader.repeat(again.closed(0), record)
    if is_known:
        again.trader.start()
        assert again.account.portfolio.working.ids() == [sent.id]
        return
    with pytest.raises(Halted, match="another run of its name"):
        again.trader.start()


def passive(
    folder: Path, wish: float, venue: LocalVenue | None = None, *, is_new: bool = True
) -> Scene:
    """One whose orders rest at the bid."""
    folder.mkdir(exist_ok=True)
    scene = Scene(folder, lambda step: (wish, 0.0, 0.0), venue=venue)
    scene.account.tactic = Tactic("limit", is_passive=True)
    if is_new:
        scene.trader.start()
    return scene


def until_stopped(pid: int) -> None:
    """Wait for the state T that the system gives to a stopped process."""
    give_up_s = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < give_up_s, "it did not stop"
        time.sleep(0.01)


ORDER = Order(order_id(RUN, 3, 0, 0), 0, BUY, 5, "ioc", 200, step=3)
FILL = Fill(ORDER.id, 0, BUY, 5, 200, 0.0, False, 7)
LAST = Step(
    run=RUN, step=3, universe_hash=1, boundary_ns=1, through_ns=2, orders=[ORDER]
)


def said(**changes) -> Statement:
    usual = {
        "version": VERSION,
        "run": RUN,
        "step": 3,
        "is_reported": True,
        "dedupes": True,
        "is_paper": True,
        "epoch": 1,
        "positions": [15, 0],
        "orders": [ORDER.id],
        "answers": [FILL],
    }
    return Statement(**(usual | changes))


LOTS = np.array([10, 0])
UNBOOKED = {"positions": [10, 0], "answers": []}


@pytest.mark.parametrize(
    ("statement", "last", "expected"),
    [
        (said(), LAST, Plan.BOOK),
        (said(is_reported=False, **UNBOOKED), LAST, Plan.AWAIT),
        (said(step=2, orders=[], **UNBOOKED), LAST, Plan.SEND),
        (said(run="", step=0, orders=[], **UNBOOKED), None, Plan.NOTHING),
    ],
)
def test_there_are_four_ways_to_go_on(statement, last, expected):
    assert plan(statement, RUN, last, LOTS, lambda fill: False) == expected


def test_fills_that_the_venue_repeats_count_once():
    """A cancel that came too late is answered with the fill, once more: it may be
    booked already, or stand twice in the last report."""
    other = msgspec.structs.replace(FILL, number=1, lots=2)
    found = said(answers=[other, FILL, FILL])
    assert plan(found, RUN, LAST, LOTS, lambda fill: fill == other) == Plan.BOOK


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (said(run="other"), "serves the run 'other'"),
        (said(step=4), "the venue's record with step 4"),
        (said(step=1), "the venue's record with step 1"),
        (said(orders=["0" * 16]), "somebody else trades"),
        (said(positions=[16, 0]), "comes to 15 lots"),
        (said(positions=[15]), "1 instruments"),
        (said(step=2, orders=[], dedupes=False, **UNBOOKED), "UNKNOWN"),
    ],
)
def test_what_cannot_be_brought_together_halts(statement, sentence):
    with pytest.raises(Halted, match=sentence):
        plan(statement, RUN, LAST, LOTS, lambda fill: False)


def test_a_real_venue_is_refused_where_no_rollout_admits_it(tmp_path):
    venue = PaperVenue(UNIVERSE, latency_ns=0)
    scene = Scene(tmp_path, lambda step: [0.5, 0.0, 0.0], venue=RealVenue(venue))
    with pytest.raises(Halted, match=r"real money.*rollout\.file"):
        scene.trader.start()
    assert scene.trader.account.states.is_held(Cause.VENUE)
    assert venue.record.received == []


CAME = [
    Arrival(one, 1.0, 100 + k)
    for k, one in enumerate(
        [
            Frame(1, 2, 3, 4, quotes(0, (200, 300, 400), 7), flags=1),
            None,
            Frame(2, 1, 9, 8, np.empty(0, TICK)),
            Frame(1, 2, 6, 9, quotes(1, (201, 301, 401), 7)),
        ]
    )
]


def heard(folder: Path) -> list[bytes]:
    """Two steps' marks; one more arrival has come after the last."""
    with Inputs(folder) as inputs:
        came = inputs.heard(CAME)
        marks = []
        for _ in range(2):
            next(came)
            marks.append(inputs.mark().result())
        assert len(list(came)) == 2
    return marks


def plain(arrivals) -> list:
    """What can be compared: receive times, heads, bytes."""
    return [
        (one.receive_ns, f and (*f[:4], *f[5:], f.records.tobytes()))
        for one in arrivals
        for f in [one.frame]
    ]


def test_what_came_in_is_heard_again_to_the_byte(tmp_path):
    marks = heard(tmp_path)
    with Inputs(tmp_path) as inputs:
        assert plain(inputs.again(marks)) == plain(CAME)
        assert list(inputs.heard(CAME[:1])) == CAME[:1]
        marks.append(inputs.mark().result())
    with Inputs(tmp_path) as inputs:
        assert plain(inputs.again(marks)) == plain([*CAME, CAME[0]])


def test_a_torn_end_is_cut_off_and_what_comes_next_stands_behind_the_last_whole(
    tmp_path,
):
    marks = heard(tmp_path)
    path = tmp_path / FILE
    whole = path.read_bytes()
    lengths = [len(b"".join(packed(one))) for one in CAME]
    for kept in range(sum(lengths[:3]), len(whole)):
        path.write_bytes(whole[:kept])
        with Inputs(tmp_path) as inputs:
            assert plain(inputs.again(marks)) == plain(CAME[:3])
            list(inputs.heard(CAME[3:]))
        assert path.read_bytes() == whole


def test_a_changed_byte_of_what_steps_were_decided_on_stops_the_start(tmp_path):
    marks = heard(tmp_path)
    path = tmp_path / FILE
    whole, marked = path.read_bytes(), MARK.unpack(marks[-1])[0]
    for at in range(marked):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with Inputs(tmp_path) as inputs, pytest.raises(InputsError, match="not what"):
            list(inputs.again(marks))


def test_a_shorter_file_than_its_journal_stops_the_start(tmp_path):
    marks = heard(tmp_path)
    os.truncate(tmp_path / FILE, MARK.unpack(marks[-1])[0] - 1)
    with Inputs(tmp_path) as inputs, pytest.raises(InputsError, match="journal says"):
        list(inputs.again(marks))


def test_the_highest_number_of_a_frame_is_heard_again(tmp_path):
    last = Arrival(Frame(1, 2, 2**64 - 1, 9, np.empty(0, TICK)), 0.0, 5)
    with Inputs(tmp_path) as inputs:
        list(inputs.heard([last]))
        marks = [inputs.mark().result()]
    with Inputs(tmp_path) as inputs:
        assert plain(inputs.again(marks)) == plain([last])


def test_what_cannot_be_packed_gives_no_mark(tmp_path):
    wrong = Arrival(Frame(1, 2, 2**64, 9, np.empty(0, TICK)), 0.0, 5)
    with Inputs(tmp_path) as inputs:
        list(inputs.heard([wrong, *CAME]))
        for _ in range(2):
            with pytest.raises(Unwritten, match="could not be written"):
                inputs.mark().result()


def test_a_full_disk_gives_no_mark(tmp_path):
    """The device /dev/full takes nothing, as a disk without room."""
    with Inputs(tmp_path) as inputs:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, inputs._file)
        os.close(full)
        list(inputs.heard(CAME))
        with pytest.raises(Unwritten, match="No space left"):
            inputs.mark().result()


def test_a_step_whose_inputs_are_not_durable_sends_nothing(tmp_path):
    scene = Scene(tmp_path, targets)
    scene.trader.start()
    failed: Future[bytes] = Future()
    failed.set_exception(Unwritten("no room"))
    scene.trader.mark = lambda: failed
    with pytest.raises(Unwritten):
        scene.step(0)
    assert scene.venue.record.received == []
    assert scene.journal.last_step < 1
    assert scene.states.state == TradingState.HALTED
    scene.journal.close()
