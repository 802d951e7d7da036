"""What a fit says of itself, update by update, in files that TensorBoard reads.

Their writer is imported with the first update: it imports PyTorch wherever that is
installed, for which whoever only starts the program would wait.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

Log = Callable[[int, Mapping[str, float]], None]


@contextmanager
def events(folder: Path) -> Iterator[Log]:
    """`log(update, values)` for as long as the block lasts.

    Nothing is written before the first update is told. A fit that goes on begins
    another file and takes back what the one before told of the same updates.
    """
    with ExitStack() as stack:
        writers: list[SummaryWriter] = []

        def log(update: int, values: Mapping[str, float]) -> None:
            if not writers:
                from tensorboardX import SummaryWriter

                # files of one second would have one name
                own = {"purge_step": update, "filename_suffix": f".{update:09}"}
                writer = SummaryWriter(str(folder), **own)
                writers.append(stack.enter_context(writer))
            for name, value in values.items():
                writers[0].add_scalar(name, value, update)

        yield log
