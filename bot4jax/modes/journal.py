"""`mode=journal`: what a run has ordered, filled, denied, decided, and been."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from bot4jax.config import expect_journal, from_yaml
from bot4jax.data.sources import open_source
from bot4jax.data.universe import Universe
from bot4jax.errors import Bot4JaxError, ConfigError, DataError
from bot4jax.modes.spans import spans
from bot4jax.runtime.folder import read_manifest
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.journal_tables import (
    export,
    instruments,
    named,
    show,
    tables,
    unpacked,
    whole,
)
from bot4jax.runtime.sources_digest import sources_digest
from bot4jax.schema import Config

logger = logging.getLogger(__name__)


def journal(config: Config) -> int:
    """Print the tables of `journal.run`, and write them where that is asked."""
    own = config.journal
    if own.run is None:
        raise ConfigError(["journal.run: mode=journal needs journal.run=FOLDER"])
    folder = Path(own.run)
    with reading(folder) as found:
        before = from_yaml(folder / "config.yaml")
        members = len(before.ensemble.members)
        traded = universe_of(before, folder, slots(found, members))
        told = tables(partial(steps, found), found.transitions, members)
        told = named(told, traded.symbols if traded else None)
        show(told, own.rows)
        if traded:
            told = {**told, "instruments": whole(instruments(traded))}
        for path in export(told, folder, own.export) if own.export else ():
            print(f"table {path}")
    return 0


def steps(found: Journal) -> Iterator[StepRecord]:
    """All steps, and what a finished run ended with."""
    yield from found.read()
    if end := found.end:
        yield end


def slots(found: Journal, members: int) -> int | None:
    """How many symbols were decided on; None where no step was."""
    first = next(found.read(), None)
    return None if first is None else len(unpacked(first, members).intent)


def universe_of(before: Config, folder: Path, slots: int | None) -> Universe | None:
    """What a run's slots stand for, by its market; None where that is there no more.

    The journal is told all the same: a wrong name would be worse than none.
    """
    try:
        return _traded(before, folder, slots)
    except (Bot4JaxError, OSError) as error:
        logger.warning(
            "Slots of %s have no symbols here, and no table of instruments is "
            "written: the run's market is needed for them. %s",
            folder,
            error,
        )
        return None


def _traded(before: Config, folder: Path, slots: int | None) -> Universe:
    if read_manifest(folder).get("sources_digest") != sources_digest(before):
        raise DataError("Its files have changed since, or are not there.")
    found = open_source(before, spans(before).bars).universe
    if slots not in (None, len(found.symbols)):
        raise DataError(
            f"It has {len(found.symbols)} symbols now, and {slots} were traded."
        )
    return found


@contextmanager
def reading(folder: Path) -> Iterator[Journal]:
    """A run's journal, whole and unchanged; a running engine keeps its own closed."""
    path = expect_journal(folder)
    with closing(Journal.open(path, folder.name)) as found:
        yield found
