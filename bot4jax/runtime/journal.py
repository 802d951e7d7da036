"""The memory that survives a crash: one SQLite transaction a step, chained by hash.

A step is committed before its orders are sent. Its hash covers its whole content and
the hash before it, so that no earlier step can be changed, removed or put in between
without `verify` naming it, nor a change of state that was noted before the last step; a
journal cut at its end is shorter, but whole.

A commit only adds to the end of files. So the write-ahead log is folded in when the
loop says that nothing is urgent, and order ids, which are as good as random, have no
index: each is named for its step, and looked at before it is written.
"""

import hashlib
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import apsw
import msgspec

from bot4jax.errors import Bot4JaxError, Halted
from bot4jax.runtime import journal_rows as rows
from bot4jax.runtime.journal_rows import NO_BAR, TABLES, Closing, StepRecord
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.messages import Place
from bot4jax.runtime.orders import Answer, Change
from bot4jax.runtime.states import Transition

SCHEMA = "bot4jax.journal/9"
Durability = Literal["process_crash", "power_loss"]
SYNCHRONOUS = {"process_crash": "NORMAL", "power_loss": "FULL"}
WAL_PAGES = 1_000
"""Pages of the write-ahead log that are worth folding in."""


class JournalError(Bot4JaxError):
    """The journal cannot be trusted, or belongs to something else."""

    exit_code = 3


class Unwritten(Halted):
    """The journal cannot be written: nothing may be sent any more but cancels."""


class Journal:
    """One run's steps in one file; made by `Journal.open`."""

    def __init__(self, connection: apsw.Connection, run: str) -> None:
        self._connection, self.run = connection, run
        self._is_broken = False
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
            raise JournalError(
                f"The journal {path} cannot be read whole: {error}. Restore it from a "
                "copy, or use another run.name."
            ) from error

    @classmethod
    def _checked(
        cls, path: Path, run: str, durability: Durability, vfs: str | None
    ) -> Self:
        """Every page of it is sound, every row was committed as it stands."""
        connection = _connected(path, durability, vfs)
        try:
            if (found := connection.pragma("quick_check")) != "ok":
                raise apsw.CorruptError(found)
            _identify(connection, path, run)
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
            connection.close()
            raise
        return journal

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
        with self._durable(f"Step {record.step}"):
            for table, values in rows.of_step(record, *hashes).items():
                self._insert(table, values)
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
        return [rows.transition(row[1:-1]) for row in self._transitions()]

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end; there is nothing to go on with."""
        return self.end is not None

    def finish(
        self,
        through_ns: int,
        answers: Sequence[Answer],
        heard: Sequence[Place] | None = None,
    ) -> None:
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
                heard=heard,
            )
        )

    def shed(self) -> None:
        """The run is told: what came in was of use to a restart only."""
        with self._durable("The end"):
            self._connection.execute("DELETE FROM inputs")
        self._connection.execute("VACUUM")

    def read(self, first: int = 0, stop: int | None = None) -> Generator[StepRecord]:
        """Steps `first … stop − 1` as they were committed, the end not among them."""
        for row in self._heads(first, stop):
            if row[2] != NO_BAR:
                yield self._record(row)

    @property
    def end(self) -> StepRecord | None:
        """What a finished run ended with."""
        heads = self._heads(self.last_step, None)
        return next((self._record(row) for row in heads if row[2] == NO_BAR), None)

    def marks(self) -> list[bytes]:
        """How far what came in had been recorded, step by step."""
        query = "SELECT packed FROM inputs ORDER BY step"
        return [row[0] for row in self._connection.execute(query)]

    def verify(self) -> int | None:
        """The first step that is not what was committed; None if all are.

        Or that lacks a transition which had been noted before it.
        """
        before, links = self._genesis, self._links()
        link = next(links)
        for row in self._heads(0, None):
            try:
                record = self._record(row)
                before = rows.chained(before, record, row[4])
            except (ValueError, TypeError, msgspec.MsgspecError):
                return row[0]
            has_other_inputs = record.inputs and rows.digest(record.inputs) != row[4]
            if before != row[5] or has_other_inputs:
                return row[0]
            while link is not None and rows.sealed(before, link) != row[6]:
                link = next(links, None)
            if link is None:
                return row[0]
        return self._stray()

    def verify_transitions(self) -> int | None:
        """The first transition that is not what was noted; None if all are."""
        before = self._genesis
        for number, row in enumerate(self._transitions(), 1):
            try:
                before = rows.linked(before, rows.transition(row[1:-1]))
            except (ValueError, TypeError, msgspec.MsgspecError):
                return row[0]
            if before != row[-1] or number != row[0]:
                return row[0]
        return None

    def fold(self) -> None:
        """Move a log that has grown into the file: for when nothing is urgent."""
        if self._logged < WAL_PAGES or self._is_broken:
            return
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except apsw.Error as error:
            self._is_broken = True
            raise Unwritten(
                f"The journal's log could not be folded into its file ({error}). "
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
    def _durable(self, what: str) -> Iterator[None]:
        """One transaction; after one that failed, there is none any more."""
        if self._is_broken:
            raise Unwritten("The journal failed before: nothing may be sent any more.")
        try:
            with self._transaction():
                yield
        except apsw.Error as error:
            self._is_broken = True
            raise Unwritten(
                f"{what} could not be written to the journal ({error}). "
                "Nothing of it was sent. Check the disk and start again."
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _insert(self, table: str, values: Sequence[tuple]) -> None:
        if values:
            marks = ",".join("?" * len(values[0]))
            insert = f"INSERT INTO {table} VALUES ({marks})"
            self._connection.executemany(insert, values)

    def _transitions(self) -> Iterable[tuple[Any, ...]]:
        return self._connection.execute("SELECT * FROM transitions ORDER BY number")

    def _links(self) -> Iterator[bytes]:
        """What a step's seal may be tied to: nothing noted yet, or a transition."""
        yield self._genesis
        for row in self._transitions():
            yield row[-1]

    def _last_link(self) -> bytes:
        query = "SELECT hash FROM transitions ORDER BY number DESC LIMIT 1"
        return next(iter(self._connection.execute(query)), (self._genesis,))[0]

    def _heads(self, first: int, stop: int | None) -> Iterable[tuple[Any, ...]]:
        query = (
            "SELECT * FROM steps LEFT JOIN closings USING (step) "
            "LEFT JOIN decisions USING (step) LEFT JOIN inputs USING (step) "
            "LEFT JOIN heard USING (step) "
            "WHERE step >= ? AND step < ? ORDER BY step"
        )
        return self._connection.execute(query, (first, 2**62 if stop is None else stop))

    def _record(self, head: tuple[Any, ...]) -> StepRecord:
        step, boundary_ns, bar, state = head[:4]
        watermark_ns, ticks, late, packed, inputs, heard = head[7:]
        return StepRecord(
            step=step,
            boundary_ns=boundary_ns,
            bar=bar,
            closing=Closing(watermark_ns, ticks, late),
            decisions=packed or b"",
            state=TradingState(state),
            orders=[rows.order(row) for row in self._rows("orders", step)],
            denied=[rows.denied(row) for row in self._rows("denials", step)],
            answers=self._answers(step),
            requests=list(self._requests(step)),
            schedules=[rows.schedule(row) for row in self._rows("schedules", step)],
            ended=[row[2] for row in self._rows("schedule_ends", step)],
            inputs=inputs or b"",
            heard=None if heard is None else rows.PLACES.decode(heard),
        )

    def _rows(self, table: str, step: int) -> Iterable[tuple[Any, ...]]:
        query = f"SELECT * FROM {table} WHERE step = ? ORDER BY place"
        return self._connection.execute(query, (step,))

    def _answers(self, step: int) -> list[Answer]:
        """Fills and other answers in the order they came in."""
        found: list[tuple[int, Answer]] = [
            (row[1], rows.fill(row)) for row in self._rows("fills", step)
        ]
        for _, place, order, content in self._rows("answers", step):
            answer = rows.DECODER.decode(content)
            if answer.order != order:
                raise ValueError(f"step {step}: an answer to {answer.order} as {order}")
            found.append((place, answer))
        return [answer for _, answer in sorted(found, key=lambda one: one[0])]

    def _requests(self, step: int) -> Iterator[Change]:
        for _, _, order, content in self._rows("requests", step):
            request = rows.REQUESTS.decode(content)
            if request.order != order:
                raise ValueError(f"step {step}: asked about {request.order} as {order}")
            yield request

    def _stray(self) -> int | None:
        """The first step that has rows but was never committed."""
        tables = (
            *("closings", "decisions", "orders", "denials"),
            *("fills", "answers", "requests", "schedules", "schedule_ends", "inputs"),
            "heard",
        )
        union = " UNION ".join(f"SELECT step FROM {table}" for table in tables)
        query = f"SELECT min(step) FROM ({union} EXCEPT SELECT step FROM steps)"
        return next(iter(self._connection.execute(query)))[0]


def _connected(path: Path, durability: Durability, vfs: str | None) -> apsw.Connection:
    """A private file (0600), write-ahead logged, and held by one process only."""
    if durability not in SYNCHRONOUS:
        raise ValueError(
            f"Unknown durability '{durability}'. Use one of: {', '.join(SYNCHRONOUS)}."
        )
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = apsw.Connection(str(path), vfs=vfs)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Going over to WAL leaves a rollback journal that is deleted. Should it come
        # back after a power loss, it would undo everything: sync its deletion too.
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")
        connection.execute("BEGIN IMMEDIATE; COMMIT")
    except apsw.BusyError as error:
        connection.close()
        raise JournalError(f"Another process is using the journal {path}.") from error
    except apsw.NotADBError as error:
        connection.close()
        raise JournalError(f"{path} is not a journal: {error}.") from error
    return connection


def _identify(connection: apsw.Connection, path: Path, run: str) -> None:
    """Write who this journal belongs to, or check that it belongs to this run."""
    if not connection.table_exists(None, "about"):
        with connection:
            connection.execute(TABLES)
            about = [("schema", SCHEMA), ("run", run)]
            connection.executemany("INSERT INTO about VALUES (?, ?)", about)
    about = dict(connection.execute("SELECT name, value FROM about"))
    for name, (expected, advice) in {
        "schema": (SCHEMA, "Another release has written it: read it with that one."),
        "run": (run, "A run's folder keeps its name: use another run.name."),
    }.items():
        if about.get(name) != expected:
            raise JournalError(
                f"The journal {path} has {name} '{about.get(name)}', expected "
                f"'{expected}'. {advice}"
            )
