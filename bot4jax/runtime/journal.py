"""The memory that survives a crash: one SQLite transaction a step, chained by hash.

A step is committed before its orders are sent. Its hash covers its whole content and
the hash before it, so that no earlier step can be changed, removed or put in between
without `verify` naming it, nor a change of state that was noted before the last step; a
journal cut at its end is shorter, but whole.

What the venue has said is written into the transaction while the step is still decided.
A commit only adds to the end of files. So the write-ahead log is folded in when the
loop says that nothing is urgent, and order ids, which are as good as random, have no
index: each is named for its step, and looked at before it is written.
"""

import hashlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import apsw
import msgspec

from bot4jax.errors import Halted
from bot4jax.runtime import journal_reading as reading
from bot4jax.runtime import journal_rows as rows
from bot4jax.runtime.journal_file import (
    SCHEMA,
    Durability,
    JournalError,
    connected,
    expect_whole_log,
    identify,
    is_unwritable,
    leave,
    unwritten,
)
from bot4jax.runtime.journal_rows import NO_BAR, Closing, StepRecord
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.orders import Answer
from bot4jax.runtime.states import Transition

WAL_PAGES = 1_000
"""Pages of the write-ahead log that are worth folding in."""


class Unwritten(Halted):
    """The journal cannot be written: nothing may be sent any more but cancels."""


class Journal:
    """One run's steps in one file; made by `Journal.open`."""

    def __init__(self, connection: apsw.Connection, run: str) -> None:
        self._connection, self.run = connection, run
        self._path = connection.filename
        self._is_broken = False
        self._received: tuple[int, Sequence[Answer]] | None = None
        """a step whose answers stand in a transaction that it will end"""
        self._genesis = hashlib.sha256(f"{SCHEMA}|{run}".encode()).digest()
        self.last_step, self._hash = self._end()
        self._link = self._last_link()
        self._logged = 0
        connection.set_wal_hook(self._hear)  # instead of folding within a commit

    @classmethod
    def open(
        cls,
        path: Path,
        run: str,
        durability: Durability = "power_loss",
        vfs: str | None = None,
    ) -> Self:
        """The journal at `path`, made if absent, read and checked if present.

        `process_crash` survives a killed process, `power_loss` a lost machine too.
        """
        try:
            return cls._checked(path, run, durability, vfs)
        except apsw.Error as error:
            if is_unwritable(error):
                raise unwritten(path, error) from error
            raise JournalError(
                f"The journal {path} cannot be read whole: {error}. Restore it from a "
                "copy, or use another run.name."
            ) from error

    @classmethod
    def _checked(
        cls, path: Path, run: str, durability: Durability, vfs: str | None
    ) -> Self:
        """Every page of it is sound, every row was committed as it stands."""
        connection = connected(path, durability, vfs)
        try:
            expect_whole_log(connection, path)
            if (found := connection.pragma("quick_check")) != "ok":
                raise apsw.CorruptError(found)
            identify(connection, path, run)
            journal = cls(connection, run)
            broken, unlinked = journal.verify(), journal.verify_transitions()
            if broken is not None or unlinked is not None:
                what = (
                    f"step {broken}" if unlinked is None else f"transition {unlinked}"
                )
                raise JournalError(
                    f"The journal {path} was changed: {what} does not match its hash. "
                    "Restore it from a copy, or use another run.name."
                )
        except BaseException:
            leave(connection)
            raise
        return journal

    def receive(self, step: int, answers: Sequence[Answer]) -> None:
        """Write down what the venue has said before a step, while that is decided.

        It lasts once `commit` has been given the same answers. Whatever is written
        before takes it back, and the step then brings it along.
        """
        self._take_back()
        if not answers or step <= self.last_step:
            return
        with self._written(f"What was heard before step {step}"), self._whole():
            self._connection.execute("BEGIN IMMEDIATE")
            self._insert_all(rows.of_answers(step, answers))
        self._received = step, answers

    def commit(self, record: StepRecord) -> bytes:
        """Make the step durable and return its hash; only then may its orders leave."""
        if record.step <= self.last_step and not self._is_broken:
            raise JournalError(
                f"Step {record.step} comes after step {self.last_step}; steps grow."
            )
        if stray := rows.misnamed(record, self.run):
            raise Unwritten(
                f"Step {record.step} would send an order twice, or one of another "
                f"step: {stray}. Nothing of it was sent."
            )
        inputs_hash = rows.digest(record.inputs)
        chained = rows.chained(self._hash, record, inputs_hash)
        hashes = inputs_hash, chained, rows.sealed(chained, self._link)
        step, answers = self._received or (None, None)
        is_received = step == record.step and answers is record.answers
        with self._durable(f"Step {record.step}", goes_on=is_received):
            if not is_received:
                self._insert_all(rows.of_answers(record.step, record.answers))
            self._insert_all(rows.of_step(record, *hashes))
        self.last_step, self._hash = record.step, chained
        return chained

    def note(self, transition: Transition) -> None:
        """Make a change of state durable; only then may it let anything pass."""
        link = rows.linked(self._link, transition)
        content = msgspec.structs.astuple(transition)
        with self._durable(f"The transition of {transition.cause}"):
            self._insert("transitions", [(None, *content, link)])
        self._link = link

    def transitions(self) -> list[Transition]:
        """Every change of state that was noted, in order."""
        noted = reading.transitions(self._connection)
        return [rows.transition(row[1:-1]) for row in noted]

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end; there is nothing to go on with."""
        return self.end is not None

    def finish(self, through_ns: int, answers: Sequence[Answer]) -> None:
        """The run is over; what the venue has said since the last step is its end."""
        self.commit(
            StepRecord(
                step=self.last_step + 1,
                boundary_ns=through_ns,
                bar=NO_BAR,
                closing=Closing(through_ns, 0, 0),
                decisions=b"",
                state=TradingState.HALTED,
                answers=answers,
            )
        )

    def shed(self) -> None:
        """The run is told: what came in was of use to a restart only.

        The file is written anew without it where there is room to; else it stays large.
        """
        with self._durable("The end"):
            self._connection.execute("DELETE FROM inputs")
        with suppress(apsw.FullError, apsw.IOError):
            self._connection.execute("VACUUM")

    def read(self, first: int = 0, stop: int | None = None) -> Generator[StepRecord]:
        """Steps `first … stop − 1` as they were committed, the end not among them."""
        for row in reading.heads(self._connection, first, stop):
            if row[2] != NO_BAR:
                yield reading.record(self._connection, row)

    @property
    def end(self) -> StepRecord | None:
        """What a finished run ended with."""
        for row in reading.heads(self._connection, self.last_step):
            if row[2] == NO_BAR:
                return reading.record(self._connection, row)
        return None

    def marks(self) -> list[bytes]:
        """How far what came in had been recorded, step by step."""
        query = "SELECT packed FROM inputs ORDER BY step"
        return [row[0] for row in self._connection.execute(query)]

    def verify(self) -> int | None:
        """The first step that is not what was committed; None if all are."""
        return reading.first_changed(self._connection, self._genesis)

    def verify_transitions(self) -> int | None:
        """The first transition that is not what was noted; None if all are."""
        return reading.first_changed_transition(self._connection, self._genesis)

    def fold(self) -> None:
        """Move a log that has grown into the file: for when nothing is urgent."""
        if self._logged < WAL_PAGES or self._is_broken:
            return
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except apsw.Error as error:
            self._is_broken = True
            raise Unwritten(
                f"The journal's log could not be folded into {self._path} ({error}). "
                "Check the disk and start again."
            ) from error

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        self._connection.close()

    def _hear(self, connection: apsw.Connection, name: str, pages: int) -> int:
        """How long the write-ahead log is after a commit."""
        self._logged = pages
        return apsw.SQLITE_OK

    def _end(self) -> tuple[int, bytes]:
        query = "SELECT step, hash FROM steps ORDER BY step DESC LIMIT 1"
        return next(iter(self._connection.execute(query)), (-1, self._genesis))

    @contextmanager
    def _durable(self, what: str, goes_on: bool = False) -> Iterator[None]:
        """One transaction, or the end of the one that `receive` has begun."""
        if not goes_on:
            self._take_back()
        self._received = None
        with self._written(what), self._transaction(goes_on):
            yield

    @contextmanager
    def _written(self, what: str) -> Iterator[None]:
        """After a failure nothing is written any more."""
        if self._is_broken:
            raise Unwritten("The journal failed before: nothing may be sent any more.")
        try:
            yield
        except apsw.Error as error:
            self._is_broken = True
            raise Unwritten(
                f"{what} could not be written to the journal {self._path} ({error}). "
                "Nothing of it was sent. Check the disk and start again."
            ) from error

    @contextmanager
    def _transaction(self, goes_on: bool) -> Iterator[None]:
        with self._whole():
            if not goes_on:
                self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """All of a transaction, or nothing."""
        try:
            yield
        except BaseException:
            self._roll_back()
            raise

    def _take_back(self) -> None:
        """Undo what `receive` has begun."""
        if self._received is not None:
            self._received = None
            with self._written("What is taken back"):
                self._roll_back()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _insert_all(self, by_table: Mapping[str, Sequence[tuple]]) -> None:
        for table, values in by_table.items():
            self._insert(table, values)

    def _insert(self, table: str, values: Sequence[tuple]) -> None:
        if values:
            marks = ",".join("?" * len(values[0]))
            insert = f"INSERT INTO {table} VALUES ({marks})"
            self._connection.executemany(insert, values)

    def _last_link(self) -> bytes:
        query = "SELECT hash FROM transitions ORDER BY number DESC LIMIT 1"
        return next(iter(self._connection.execute(query)), (self._genesis,))[0]
