"""The file a journal lies in: private, held by one process, and of one run."""

import os
from pathlib import Path
from typing import Literal

import apsw

from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.journal_log import is_changed
from bot4jax.runtime.journal_rows import TABLES

SCHEMA = "bot4jax.journal/11"
Durability = Literal["process_crash", "power_loss"]
SYNCHRONOUS = {"process_crash": "NORMAL", "power_loss": "FULL"}


UNWRITTEN = (
    apsw.SQLITE_IOERR_WRITE,
    apsw.SQLITE_IOERR_FSYNC,
    apsw.SQLITE_IOERR_DIR_FSYNC,
    apsw.SQLITE_IOERR_TRUNCATE,
)
"""Errors of input and output that are none of what lies in the file."""


class JournalError(Bot4JaxError):
    """The journal cannot be trusted, or belongs to something else."""

    exit_code = 3


def connected(path: Path, durability: Durability, vfs: str | None) -> apsw.Connection:
    """A private file (0600), write-ahead logged, and held by one process only."""
    if durability not in SYNCHRONOUS:
        raise ValueError(
            f"Unknown durability '{durability}'. Use one of: {', '.join(SYNCHRONOUS)}."
        )
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = apsw.Connection(str(path), vfs=vfs)
    try:
        _prepare(connection, durability)
    except apsw.Error as error:
        connection.close()
        if isinstance(error, apsw.BusyError):
            text = f"Another process is using the journal {path}."
            raise JournalError(text) from error
        if isinstance(error, apsw.NotADBError):
            raise JournalError(f"{path} is not a journal: {error}.") from error
        raise
    return connection


def _prepare(connection: apsw.Connection, durability: Durability) -> None:
    """Hold the file, and have what is written to it last."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    # Going over to WAL leaves a rollback journal that is deleted. Should it come
    # back after a power loss, it would undo everything: sync its deletion too.
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")
    connection.execute("BEGIN IMMEDIATE; COMMIT")


def expect_whole_log(connection: apsw.Connection, path: Path) -> None:
    """Refuse a journal of whose log SQLite would pass over what was committed."""
    log = path.with_name(f"{path.name}-wal")
    if is_changed(log, int(connection.pragma("page_size"))):
        raise JournalError(
            f"The journal {path} was changed: in {log.name} steps lie behind a page "
            "that is damaged. Restore both from a copy, or use another run.name."
        )


def is_unwritable(error: apsw.Error) -> bool:
    """Whether the disk refuses what is written, and what was read is sound."""
    return (
        isinstance(error, apsw.FullError)
        or getattr(error, "extendedresult", None) in UNWRITTEN
    )


def unwritten(path: Path, error: apsw.Error) -> JournalError:
    """What to do about a journal that the disk has no room for."""
    return JournalError(
        f"The journal {path} cannot be written: {error}. Make room there, or look at "
        "the disk, then start again."
    )


def leave(connection: apsw.Connection) -> None:
    """Let go of a journal that is refused, as it is: its log may be what mends it."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.close()


def identify(connection: apsw.Connection, path: Path, run: str) -> None:
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
