"""What speaks against trading outlives the journal that it was noted in.

A live run that is begun anew is another run on the same account: a drawdown, a pause or
an order over and over is no less true because the journal was thrown away.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from bot4jax.runtime.journal import Journal, JournalError
from bot4jax.runtime.states import OF_THE_PROCESS, Cause, Transition

JOURNAL = "journal.sqlite"


def held_causes(folder: Path) -> list[Transition]:
    """What the folder's journal still holds; a journal that cannot be read, nothing."""
    if not (folder / JOURNAL).is_file():
        return []
    try:
        with closing(Journal.open(folder / JOURNAL, folder.name)) as journal:
            last = {one.cause: one for one in journal.transitions()}
    except JournalError:
        return []
    lasting = {cause.name for cause in Cause} - {one.name for one in OF_THE_PROCESS}
    return [one for one in last.values() if one.is_held and one.cause in lasting]


def carry(folder: Path, held: Sequence[Transition]) -> None:
    """Begin the folder's new journal with what is still held."""
    if not held:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with closing(Journal.open(folder / JOURNAL, folder.name)) as journal:
        for one in held:
            journal.note(msgspec.structs.replace(one, step=0))
