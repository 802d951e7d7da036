"""What the tests of all ways through the engine share."""

from contextlib import closing
from pathlib import Path

from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_rows import StepRecord


def silent(*progress) -> None:
    """Hears of progress and says nothing."""


def journal_of(folder: Path, run: str) -> list[StepRecord]:
    """Every step that a folder's journal holds."""
    with closing(Journal.open(folder / "journal.sqlite", run)) as journal:
        return list(journal.read())
