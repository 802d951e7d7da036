"""What speaks against trading outlives the journal that it was noted in.

A live run that is begun anew is another run on the same account: a drawdown, a pause or
an order over and over is no less true because the journal was thrown away.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import apsw
import msgspec

from bot4jax.errors import Halted
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_file import JournalError
from bot4jax.runtime.states import (
    OF_THE_DAY,
    OF_THE_PROCESS,
    OF_THE_ROLLOUT,
    Cause,
    Transition,
)

JOURNAL = "journal.sqlite"

CARRIED = "carried.sqlite"
"""A journal with what is still held, while the run before it is removed."""


def held_causes(folder: Path) -> list[Transition]:
    """What the folder's journal still holds; one that cannot be read is not lost.

    A day's losses come with the market's time instead of the wall clock's, since the
    market's day ends them.
    """
    if not (folder / JOURNAL).is_file():
        return []
    try:
        with closing(Journal.open(folder / JOURNAL, folder.name)) as journal:
            last = {one.cause: one for one in journal.transitions()}
            held = [one for one in last.values() if _lasts(one)]
            return [_for_people(_dated(journal, one)) for one in held]
    except (JournalError, apsw.Error) as error:
        raise Halted(
            "run.fresh=true would forget what kept the run before from trading, and "
            f"its journal cannot be read: {error} Nothing was removed. Look at it, "
            f"then use another run.name, or remove {folder} yourself."
        ) from error


def carry(folder: Path, held: Sequence[Transition]) -> None:
    """Write what is still held into a journal that is there whole or not at all."""
    part = folder / f"{CARRIED}.part"
    for left in folder.glob(f"{part.name}*"):
        left.unlink()
    if not held:
        return
    with closing(Journal.open(part, folder.name)) as journal:
        for one in held:
            journal.note(msgspec.structs.replace(one, step=0))
    part.rename(folder / CARRIED)


def _lasts(one: Transition) -> bool:
    return one.is_held and Cause[one.cause] not in OF_THE_PROCESS | OF_THE_ROLLOUT


def _for_people(one: Transition) -> Transition:
    """A new run does not know what the one before had missed: no snapshot lifts it."""
    if Cause[one.cause] is not Cause.UNTOLD:
        return one
    return msgspec.structs.replace(one, cause=Cause.UNHEARD.name)


def _dated(journal: Journal, one: Transition) -> Transition:
    """A day's losses at the boundary they were found at; one carried before has it."""
    if Cause[one.cause] not in OF_THE_DAY or one.step == 0:
        return one
    times = [step.boundary_ns for step in journal.read(one.step - 1, one.step + 1)]
    return msgspec.structs.replace(one, at_ns=times[-1]) if times else one
