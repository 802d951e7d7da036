"""What was committed comes back; what was torn ends earlier; what was changed shows."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import msgspec
import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.errors import Halted
from bot4jax.modes.trading import ended, opened_journal, stepping
from bot4jax.runtime.gate import Denied
from bot4jax.runtime.inputs import Inputs
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_file import Durability, JournalError
from bot4jax.runtime.journal_rows import Closing, StepRecord
from bot4jax.runtime.limits import Reason, TradingState
from bot4jax.runtime.orders import (
    Ack,
    Cancel,
    Cancelled,
    Expired,
    Fill,
    Order,
    Query,
    Reject,
    Replace,
    order_id,
)
from bot4jax.runtime.schedule import Schedule
from bot4jax.runtime.states import Transition
from bot4jax.types import BUY, SELL
from tests.runtime.scene import BAR_NS, START_NS, Scene
from tests.runtime.scene import RUN as RUN_OF_SCENE
from tests.sim.disk import Disk
from tests.small_disk import no_room

RUN = "demo-simulator"
PAGE = 4096
WAL_HEADER, FRAME_HEADER = 32, 24
"""Bytes, as the SQLite file format states them."""


def record(step: int) -> StepRecord:
    """A step with something in every table."""
    names = [order_id(RUN, step, slot, 0) for slot in range(3)]
    orders = [
        Order(names[0], 0, BUY, 5, "ioc", 100, step=step, sent_ns=step * 10),
        Order(names[1], 1, SELL, 2**53, "market", reduce_only=True, step=step),
        Order(names[2], 2, BUY, 1, "limit", 99, post_only=True, step=step),
    ]
    return StepRecord(
        step=step,
        boundary_ns=1_700_000_000_000_000_000 + step,
        bar=step + 7,
        closing=Closing(watermark_ns=step, ticks=12_288, late=step % 2),
        decisions=np.array([step, np.nan, -0.0, 1e-45], np.float32).tobytes(),
        state=TradingState(step % 3),
        orders=orders,
        denied=[
            Denied(Reason.GROSS, np.array([3, 4]), np.array([-5, 2**53])),
            Denied(Reason.BELOW_MINIMUM, np.arange(50), np.zeros(50, np.int64)),
        ],
        answers=[
            Ack(names[0], step),
            Fill(names[0], 0, BUY, 5, 100, 0.1 + step, is_maker=False, event_ns=3),
            Reject(names[1], "no \N{EURO SIGN}", 4),
            Expired(names[0], 2, 5),
            Fill(names[2], 2, BUY, 1, 99, -1e-9, True, 6, number=1),
            Cancelled(names[2], 1, 7),
        ],
        requests=[
            Cancel(names[2], 8),
            Replace(names[0], 9, limit=101, trigger=7),
            Query(names[1], 8),
        ],
        schedules=[Schedule(names[1], 1, BUY, 10, 3, step)],
        ended=[names[2]],
        inputs=b"frames" * step,
    )


def written(
    path: Path, steps: int, durability: Durability = "process_crash"
) -> Journal:
    journal = Journal.open(path, RUN, durability)
    for step in range(steps):
        journal.commit(record(step))
    return journal


def same(one: StepRecord, other: StepRecord) -> bool:
    """Equal in everything; denials hold arrays, which do not compare as one."""

    def plain(record: StepRecord):
        denied = [
            (d.reason, d.symbols.tolist(), d.lots.tolist()) for d in record.denied
        ]
        names = [name for name in record.__struct_fields__ if name != "denied"]
        rest = [getattr(record, name) for name in names]
        return denied, [list(v) if isinstance(v, list | tuple) else v for v in rest]

    return plain(one) == plain(other)


@pytest.mark.parametrize("durability", ["process_crash", "power_loss"])
def test_steps_come_back_as_they_were_committed(tmp_path, durability):
    path = tmp_path / "journal.sqlite"
    journal = written(path, 4, durability)
    journal.close()
    journal = Journal.open(path, RUN, durability)
    found = list(journal.read())
    assert len(found) == 4
    assert all(same(one, record(k)) for k, one in enumerate(found))
    assert [one.step for one in journal.read(1, 3)] == [1, 2]
    journal.close()


def test_reopening_goes_on_with_the_same_chain(tmp_path):
    whole = written(tmp_path / "whole.sqlite", 3)
    written(tmp_path / "parts.sqlite", 2).close()
    parts = Journal.open(tmp_path / "parts.sqlite", RUN)
    assert parts.last_step == 1
    expected = whole.commit(record(3))
    parts.commit(record(2))
    assert parts.commit(record(3)) == expected
    assert parts.verify() is None
    whole.close()
    parts.close()


def test_an_empty_journal_is_sound_and_steps_may_have_gaps(tmp_path):
    journal = written(tmp_path / "journal.sqlite", 0)
    assert (journal.last_step, list(journal.read()), journal.verify()) == (-1, [], None)
    journal.commit(record(5))
    journal.commit(record(9))
    assert journal.verify() is None
    journal.close()


def test_steps_only_grow(tmp_path):
    journal = written(tmp_path / "journal.sqlite", 2)
    for step in (0, 1):
        with pytest.raises(JournalError, match="step 1"):
            journal.commit(record(step))
    assert [one.step for one in journal.read()] == [0, 1]
    journal.close()


def test_an_order_id_cannot_be_journaled_twice(tmp_path):
    """Not within its step, nor as another step's, another slot's or another run's."""
    journal, step = written(tmp_path / "journal.sqlite", 1), record(1)
    first, second, third = step.orders
    for orders in (
        (first, msgspec.structs.replace(first, lots=1)),
        (msgspec.structs.replace(first, id=order_id(RUN, 0, 0, 0)),),
        (record(0).orders[0],),
        (msgspec.structs.replace(second, symbol=2),),
        (msgspec.structs.replace(third, id=order_id("other", 1, 2, 0)),),
    ):
        with pytest.raises(Halted, match="twice, or one of another step"):
            journal.commit(msgspec.structs.replace(step, orders=orders))
    assert (journal.verify(), journal.last_step) == (None, 0)
    journal.commit(step)
    journal.close()


def test_a_commit_leaves_folding_to_whoever_has_time(tmp_path):
    """The file grows by what is folded, and by nothing else."""
    path = tmp_path / "journal.sqlite"
    journal, sizes = written(path, 0), []
    for step in range(8):
        journal.commit(msgspec.structs.replace(record(step), inputs=bytes(1 << 20)))
        sizes.append(path.stat().st_size)
    assert len(set(sizes)) == 1
    journal.fold()
    assert path.stat().st_size > 8 << 20
    journal.fold()
    journal.commit(record(8))
    assert log_of(path).stat().st_size < 10 << 20, "the log begins anew"
    journal.close()
    with closing(Journal.open(path, RUN)) as journal:
        assert len(list(journal.read())) == 9


def test_a_log_that_cannot_be_folded_halts(tmp_path, seam):
    """What was committed is there all the same."""
    journal = Journal.open(tmp_path / "journal.sqlite", RUN, "power_loss", seam.name)
    for step in range(8):
        journal.commit(msgspec.structs.replace(record(step), inputs=bytes(1 << 20)))
    seam.error, seam.writes_left = errno.EIO, 3
    with pytest.raises(Halted, match="could not be folded"):
        journal.fold()
    seam.writes_left = None
    with pytest.raises(Halted, match="failed before"):
        journal.commit(record(8))
    journal.close()
    with closing(Journal.open(tmp_path / "journal.sqlite", RUN)) as journal:
        assert [one.step for one in journal.read()] == list(range(8))


def test_the_wrong_run_and_the_wrong_file_are_refused(tmp_path):
    path = tmp_path / "journal.sqlite"
    written(path, 1).close()
    with pytest.raises(JournalError, match="run 'demo-simulator', expected 'other'"):
        Journal.open(path, "other")
    garbage = tmp_path / "garbage.sqlite"
    garbage.write_bytes(b"not a database, but long enough to look at" * 200)
    with pytest.raises(JournalError, match="not a journal"):
        Journal.open(garbage, RUN)
    with pytest.raises(ValueError, match="Unknown durability"):
        Journal.open(path, RUN, "perhaps")  # pyright: ignore[reportArgumentType]


def test_two_processes_cannot_write_one_journal(tmp_path):
    path = tmp_path / "journal.sqlite"
    journal = written(path, 1)
    with pytest.raises(JournalError, match="Another process"):
        Journal.open(path, RUN)
    journal.close()
    Journal.open(path, RUN).close()


def test_the_file_is_private(tmp_path):
    written(tmp_path / "journal.sqlite", 1).close()
    assert (tmp_path / "journal.sqlite").stat().st_mode & 0o077 == 0


@pytest.fixture(scope="module")
def torn(tmp_path_factory) -> tuple[Path, list[int]]:
    """A crashed journal of 4 steps, and how long its log was after each commit."""
    folder = tmp_path_factory.mktemp("torn")
    path = folder / "journal.sqlite"
    journal = written(path, 0)
    lengths = []
    for step in range(4):
        journal.commit(record(step))
        lengths.append(log_of(path).stat().st_size)
    crashed = folder / "crashed"
    crashed.mkdir()
    for one in (path, log_of(path)):
        shutil.copy(one, crashed / one.name)
    journal.close()
    return crashed / path.name, lengths


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def reopened(path: Path, log: bytes, folder: Path) -> tuple[int, list[StepRecord]]:
    """What a journal says whose write-ahead log is cut to `log`."""
    copy = folder / path.name
    shutil.copy(path, copy)
    log_of(copy).write_bytes(log)
    journal = Journal.open(copy, RUN)
    steps = list(journal.read())
    last = journal.last_step
    journal.commit(record(last + 1))
    journal.close()
    return last, steps


def cuts(length: int) -> Iterator[int]:
    """Every page boundary of a log, and odd bytes around it."""
    frames = range(0, length - WAL_HEADER + 1, PAGE + FRAME_HEADER)
    for start in frames:
        yield from (WAL_HEADER + start, WAL_HEADER + start + 17)
    yield from (0, 1, WAL_HEADER - 1, length - 1)


def test_a_log_torn_anywhere_recovers_to_the_last_whole_step(torn, tmp_path):
    path, lengths = torn
    log = log_of(path).read_bytes()
    assert len(log) == lengths[-1]
    expected_seen = set()
    for number, cut in enumerate(cuts(len(log))):
        folder = tmp_path / str(number)
        folder.mkdir()
        last, steps = reopened(path, log[:cut], folder)
        expected = sum(length <= cut for length in lengths) - 1
        assert last == expected, f"cut at byte {cut}"
        assert all(same(one, record(k)) for k, one in enumerate(steps))
        expected_seen.add(expected)
    assert expected_seen == {-1, 0, 1, 2, 3}


def test_a_flipped_bit_in_the_logs_last_step_ends_the_journal_before_it(torn, tmp_path):
    """As a crash would have it that left the step unfinished."""
    path, lengths = torn
    log = bytearray(log_of(path).read_bytes())
    log[lengths[2] + FRAME_HEADER + 100] ^= 4
    assert reopened(path, bytes(log), tmp_path)[0] == 2


def test_a_bit_flipped_before_the_logs_last_step_is_refused_by_name(torn, tmp_path):
    """SQLite would pass over all that lies behind, and forget it as it is closed."""
    path, lengths = torn
    whole, copy = log_of(path).read_bytes(), tmp_path / path.name
    shutil.copy(path, copy)
    for at in range(0, lengths[2], 211):
        log = bytearray(whole)
        log[at] ^= 1 << at % 8
        log_of(copy).write_bytes(log)
        with pytest.raises(JournalError, match="lie behind a page that is damaged"):
            Journal.open(copy, RUN)
        assert log_of(copy).read_bytes() == log, "nothing is left to be mended"
    log_of(copy).write_bytes(whole)
    journal = Journal.open(copy, RUN)
    assert journal.last_step == 3
    journal.close()


def test_what_an_older_log_has_left_behind_is_no_damage(tmp_path):
    """A log that was folded in is written anew from its beginning."""
    path = tmp_path / "journal.sqlite"
    journal = written(path, 4)
    folder = tmp_path / "crashed"
    folder.mkdir()
    before = log_of(path).stat().st_size
    journal._connection.execute("PRAGMA wal_checkpoint(RESTART)")
    journal.commit(record(4))
    assert log_of(path).stat().st_size == before
    for one in (path, log_of(path)):
        shutil.copy(one, folder / one.name)
    journal.close()
    again = Journal.open(folder / path.name, RUN)
    assert (again.last_step, again.verify()) == (4, None)
    again.close()


CHANGES = [
    ("steps", "boundary_ns = boundary_ns + 1"),
    ("steps", "bar = 0"),
    ("steps", "hash = zeroblob(32)"),
    ("closings", "late = 9"),
    ("closings", "watermark_ns = 9"),
    ("decisions", "packed = zeroblob(16)"),
    ("orders", "lots = lots + 1"),
    ("orders", "id = '00000000000000a' || place"),
    ("orders", "place = 7 - place"),
    ("orders", '"limit" = 1'),
    ("orders", "side = 3 - side"),
    ("orders", "side = 7"),
    ("orders", "kind = 'stop'"),
    ("orders", "reduce_only = 1 - reduce_only"),
    ("denials", "reason = 19"),
    ("denials", "reason = 999"),
    ("denials", "symbols = zeroblob(3)"),
    ("denials", "lots = zeroblob(8)"),
    ("fills", "price = price + 1"),
    ("fills", "fee = fee * 1.0000000000000002"),
    ("fills", "is_maker = 1 - is_maker"),
    ("fills", "number = number + 1"),
    ("answers", "content = x'00'"),
    ("requests", "\"order\" = 'ffffffffffffffff'"),
    ("requests", "content = x'00'"),
    ("schedules", "slices = slices + 1"),
    ("schedule_ends", "id = 'ffffffffffffffff'"),
    ("inputs", "packed = x'00'"),
    ("steps", "inputs_hash = zeroblob(32)"),
    ("steps", "state = 0"),
    ("steps", "state = 7"),
    ("answers", "\"order\" = 'ffffffffffffffff'"),
]


@pytest.mark.parametrize(("table", "change"), CHANGES)
def test_a_changed_earlier_row_stops_the_start_and_is_named(tmp_path, table, change):
    path = tmp_path / "journal.sqlite"
    written(path, 4).close()
    meddle(path, f"UPDATE {table} SET {change} WHERE step = 2")
    with pytest.raises(JournalError, match="step 2"):
        Journal.open(path, RUN)


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("DELETE FROM steps WHERE step = 1", 2),
        ("DELETE FROM orders WHERE step = 1", 1),
        ("DELETE FROM closings WHERE step = 1", 1),
        ("DELETE FROM decisions WHERE step = 1", 1),
        ("DELETE FROM denials WHERE step = 1 AND place = 0", 1),
        ("DELETE FROM answers WHERE step = 3", 3),
        ("DELETE FROM requests WHERE step = 1", 1),
        ("INSERT INTO inputs VALUES (0, x'00')", 0),
        ("INSERT INTO decisions VALUES (9, x'00')", 9),
        ("UPDATE orders SET step = 8 WHERE step = 3", 3),
        ("UPDATE steps SET step = 8 WHERE step = 3", 8),
    ],
)
def test_removed_and_added_rows_are_named(tmp_path, statement, broken):
    path = tmp_path / "journal.sqlite"
    written(path, 4).close()
    meddle(path, statement)
    with pytest.raises(JournalError, match=f"step {broken} "):
        Journal.open(path, RUN)


def transition(step: int) -> Transition:
    return Transition(step, 5 + step, "PAUSED", step % 2 == 0, 1, "lunch \N{EURO SIGN}")


def noted(path: Path) -> None:
    """Three changes of state between three steps."""
    with closing(Journal.open(path, RUN)) as journal:
        for step in range(3):
            journal.commit(record(step))
            journal.note(transition(step))


def test_transitions_come_back_and_leave_the_chain_of_steps_alone(tmp_path):
    path = tmp_path / "journal.sqlite"
    noted(path)
    with closing(Journal.open(path, RUN)) as journal:
        assert journal.transitions() == [transition(step) for step in range(3)]
        journal.note(transition(7))
    with closing(written(tmp_path / "plain.sqlite", 3)) as plain:
        expected = plain.commit(record(3))
    with closing(Journal.open(path, RUN)) as journal:
        assert journal.commit(record(3)) == expected
        assert len(journal.transitions()) == 4


def content(path: Path) -> list[str]:
    """Every row of a journal, and how its tables are made."""
    with closing(apsw.Connection(str(path))) as connection:
        names = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name")
        tables = [(name, sql) for name, sql in names if sql]
        return [
            repr((name, sql, list(connection.execute(f"SELECT * FROM {name}"))))
            for name, sql in tables
        ]


@pytest.mark.parametrize("between", ["nothing", "a transition", "other answers"])
def test_answers_that_were_written_before_their_step_are_its_own_once(
    tmp_path, between
):
    one, changed = record(1), between == "a transition"
    assert one.answers
    for name in ("early", "plain"):
        path = tmp_path / f"{name}.sqlite"
        with closing(written(path, 1)) as journal:
            if name == "early":
                heard = one.answers[:1] if between == "other answers" else one.answers
                journal.receive(1, heard)
            if changed:
                journal.note(transition(1))
            journal.commit(one)
            journal.receive(1, one.answers)  # late: it has been committed
            journal.commit(record(2))
        with closing(Journal.open(path, RUN)) as journal:
            assert [found.step for found in journal.read()] == [0, 1, 2]
            assert len(journal.transitions()) == changed
    assert content(tmp_path / "early.sqlite") == content(tmp_path / "plain.sqlite")


def test_answers_whose_step_was_not_committed_were_never_written(tmp_path):
    path = tmp_path / "journal.sqlite"
    before = content_of_one(path)
    with closing(Journal.open(path, RUN)) as journal:
        journal.receive(1, record(1).answers)
    assert content(path) == before
    with closing(Journal.open(path, RUN)) as journal:
        wrong = msgspec.structs.replace(record(1).answers[0], event_ns=1 << 70)
        with pytest.raises(OverflowError):
            journal.receive(1, [*record(1).answers, *[wrong] * 2])
        journal.note(transition(1))
        journal.commit(record(1))


def content_of_one(path: Path) -> list[str]:
    written(path, 1).close()
    return content(path)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transitions SET is_held = 1 - is_held WHERE number = 2",
        "UPDATE transitions SET state = 0 WHERE number = 2",
        "UPDATE transitions SET is_reset = 1 WHERE number = 2",
        "UPDATE transitions SET text = 'none' WHERE number = 2",
        "UPDATE transitions SET number = 9 WHERE number = 3",
        "DELETE FROM transitions WHERE number = 2",
    ],
)
def test_a_changed_transition_stops_the_start_and_is_named(tmp_path, change):
    path = tmp_path / "journal.sqlite"
    noted(path)
    meddle(path, change)
    with pytest.raises(JournalError, match=r"transition [239] does not match"):
        Journal.open(path, RUN)


@pytest.mark.parametrize("first", [2, 1])
def test_a_transition_cut_off_the_end_is_missed_by_the_step_after_it(tmp_path, first):
    path = tmp_path / "journal.sqlite"
    noted(path)
    meddle(path, "DELETE FROM transitions WHERE number = 3")  # after the last step
    Journal.open(path, RUN).close()
    meddle(path, f"DELETE FROM transitions WHERE number >= {first}")
    with pytest.raises(JournalError, match=f"step {first} does not match"):
        Journal.open(path, RUN)


def test_inputs_can_be_let_go_without_breaking_the_chain(tmp_path):
    path = tmp_path / "journal.sqlite"
    with closing(written(path, 0)) as journal:
        journal.commit(msgspec.structs.replace(record(1), inputs=bytes(1 << 20)))
        assert not journal.is_finished
        journal.finish(9, record(1).answers)
        journal.shed()
    assert path.stat().st_size < 1 << 19
    with closing(Journal.open(path, RUN)) as journal:
        assert journal.is_finished
        (found,) = journal.read()
        assert same(found, msgspec.structs.replace(record(1), inputs=b""))
        assert journal.end is not None
        assert (journal.end.step, journal.end.boundary_ns) == (2, 9)
        assert list(journal.end.answers) == list(record(1).answers)


def meddle(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    assert connection.changes() > 0
    connection.close()


class Seam(Disk):
    """A disk that fails from the n-th write on."""

    writes_left: int | None = None

    def write(self) -> None:
        if self.writes_left is None:
            return
        if self.writes_left == 0:
            self.refuse()
        self.writes_left -= 1


@pytest.fixture
def seam(request) -> Iterator[Seam]:
    made = Seam(f"seam-{request.node.name}")
    yield made
    made.unregister()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("writes", [0, 1, 3, 6])
def test_a_failing_disk_halts_and_nothing_is_half_written(
    tmp_path, seam, error, writes
):
    path = tmp_path / "journal.sqlite"
    journal = Journal.open(path, RUN, "power_loss", seam.name)
    journal.commit(record(0))
    seam.error, seam.writes_left = error, writes
    with pytest.raises(Halted, match="Nothing of it was sent"):
        journal.commit(record(1))
    seam.writes_left = None
    with pytest.raises(Halted, match="failed before"):
        journal.commit(record(1))
    journal.close()
    journal = Journal.open(path, RUN)
    assert [one.step for one in journal.read()] == [0]
    journal.commit(record(1))
    journal.close()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_a_failing_disk_is_told_with_the_journals_path(tmp_path, seam, error):
    path = tmp_path / "journal.sqlite"
    journal = Journal.open(path, RUN, "power_loss", seam.name)
    seam.error, seam.writes_left = error, 0
    with pytest.raises(Halted, match=f"Step 0 could not be written to .* {path} "):
        journal.commit(record(0))
    seam.writes_left = None
    journal.close()


@pytest.mark.parametrize("room", [0, 1, 4096, 8192])
def test_a_journal_that_finds_no_room_is_not_told_to_be_damaged(tmp_path, room):
    """By the kernel's own limit; once there is room it is opened as if it were new."""
    path = tmp_path / "journal.sqlite"
    with no_room(room), pytest.raises(JournalError) as told:
        Journal.open(path, RUN)
    assert str(told.value).startswith(f"The journal {path} cannot be written: ")
    assert "copy" not in str(told.value)
    with closing(Journal.open(path, RUN)) as journal:
        journal.commit(record(0))
        assert [one.step for one in journal.read()] == [0]


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_a_disk_without_room_for_a_smaller_journal_leaves_it_large_and_whole(
    tmp_path, seam, error
):
    """To make it smaller takes as much room again; the run has ended, and is told."""
    seam.error, sizes = error, set[int]()
    for writes in (0, 5, *range(20, 140, 10)):
        path = tmp_path / f"{writes}.sqlite"
        with closing(Journal.open(path, RUN, "power_loss", seam.name)) as journal:
            journal.commit(msgspec.structs.replace(record(1), inputs=bytes(1 << 18)))
            journal.finish(9, record(1).answers)
            seam.writes_left = writes
            is_shed = True
            try:
                journal.shed()
            except Halted:
                is_shed = False
            seam.writes_left = None
        with closing(Journal.open(path, RUN)) as journal:
            assert journal.is_finished
            assert (journal.marks() == []) == is_shed
        sizes |= {path.stat().st_size >> 18} if is_shed else set()
    assert sizes == {0, 1}, "with the room, and without"


def after_power_loss(folder: Path, seam: Seam, steps: int, durability) -> int:
    """The last step that is there when only synced bytes are."""
    journal = Journal.open(folder / "journal.sqlite", RUN, durability, seam.name)
    for step in range(steps):
        journal.commit(record(step))
    lost = folder / "lost"
    lost.mkdir()
    for name, content in dict(seam.synced).items():
        (lost / Path(name).name).write_bytes(content)
    journal.close()
    survivor = Journal.open(lost / "journal.sqlite", RUN)
    last = survivor.last_step
    survivor.close()
    return last


def test_what_was_committed_survives_power_loss(tmp_path, seam):
    assert after_power_loss(tmp_path, seam, 5, "power_loss") == 4


def test_without_that_durability_the_end_is_lost_but_nothing_is_torn(tmp_path, seam):
    """This also shows that the test above could fail."""
    assert after_power_loss(tmp_path, seam, 5, "process_crash") < 4


@pytest.mark.parametrize(
    ("durability", "synchronous", "waits"),
    [("process_crash", 1, False), ("power_loss", 2, True)],
)
def test_the_disk_is_waited_for_as_the_configuration_says(
    tmp_path, monkeypatch, durability, synchronous, waits
):
    """Of journal and inputs alike; SQLite's 1 is NORMAL, 2 FULL."""
    chosen = load([f"runtime.durability={durability}"]).runtime.durability
    for resumes in (False, True):
        with closing(opened_journal(tmp_path, RUN, resumes, chosen)) as journal:
            assert journal._connection.pragma("synchronous") == synchronous
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    with Inputs(tmp_path, chosen) as inputs:
        inputs.mark().result()
    assert bool(synced) == waits


def test_a_finished_run_is_gone_through_again_and_asks_no_venue(tmp_path):
    """As after a crash between the last step and the report."""

    def targets(step: int) -> tuple[float, float, float]:
        return 0.1 * step, -0.1 * step, 0.0

    with closing(opened_journal(tmp_path, RUN_OF_SCENE, resumes=True)) as journal:
        scene = Scene(tmp_path, targets, "limit", size=10, journal=journal)
        closed = (scene.closed(bar) for bar in range(3))
        before = list(stepping(scene.trader, journal, closed))
        last = ended(scene.trader, journal, START_NS + 4 * BAR_NS)
        assert last, "the venue has answered the last step"
    with closing(opened_journal(tmp_path, RUN_OF_SCENE, resumes=True)) as journal:
        again = Scene(tmp_path, targets, "limit", size=10, journal=journal)
        closed = (again.closed(bar) for bar in range(9))
        found = list(stepping(again.trader, journal, closed))
        assert ended(again.trader, journal, 0) == list(last)
    assert [one.orders for one in found] == [one.orders for one in before]
    assert again.venue.record.received == []
    assert again.states.state == scene.states.state == TradingState.ACTIVE
    ours, theirs = again.account.portfolio, scene.account.portfolio
    assert ours.lots.tolist() == theirs.lots.tolist()
    assert ours.curve[-1] == theirs.curve[-1]


def test_the_log_is_folded_again_after_a_resume(tmp_path):
    """The journaled steps are read to where the new ones begin, and let go of."""
    with closing(Journal.open(tmp_path / "journal.sqlite", "scene")) as journal:
        former = Scene(tmp_path, lambda step: [0.0] * 3, journal=journal)
        former.trader.start()
        for bar in range(3):
            former.step(bar)
        again = {"journal": journal, "venue": former.link}
        scene = Scene(tmp_path, lambda step: [0.0] * 3, **again)
        closed = (scene.closed(bar) for bar in range(6))
        steps = stepping(scene.trader, journal, closed)
        for _ in range(6):
            next(steps)
        fold = "PRAGMA wal_checkpoint(PASSIVE)"
        _, logged, folded = next(iter(journal._connection.execute(fold)))
        assert logged == folded > 0
