"""What a fit says of itself, update by update, in files that TensorBoard reads.

Their writer is imported with the first update: it imports PyTorch wherever that is
installed, for which whoever only starts the program would wait. It is the one that
writes at once: tensorboardX's other one has a thread, which a full disk ends, and who
tells it more waits for ever.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot4jax.durable import named
from bot4jax.runtime.steady import steady_clock

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

Log = Callable[[int, Mapping[str, float]], None]


@contextmanager
def events(folder: Path) -> Iterator[Log]:
    """`log(update, values)` for as long as the block lasts.

    Nothing is written before the first update is told. A fit that goes on begins
    another file and takes back what the one before told of the same updates.
    """
    with ExitStack() as stack:
        writers: list[EventsWriter] = []

        def log(update: int, values: Mapping[str, float]) -> None:
            with named(folder):
                if not writers:
                    writers.append(_begun(folder, update))
                    stack.callback(_end, writers[0], folder)
                for name, value in values.items():
                    writers[0].write_event(_scalar(update, name, value))
                writers[0].flush()

        yield log


def _begun(folder: Path, update: int) -> "EventsWriter":
    """A new file by its first update, for files of one second would have one name. It
    takes back whatever was told of this update and of later ones."""
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import SessionLog  # pyright: ignore

    folder.mkdir(parents=True, exist_ok=True)
    writer = EventsWriter(str(folder / "events"), f".{update:09}")
    begins = SessionLog(status=SessionLog.START)
    writer.write_event(_event(step=update, session_log=begins))
    return writer


def _end(writer: "EventsWriter", folder: Path) -> None:
    with named(folder):
        writer.close()


def _scalar(update: int, name: str, value: float) -> Any:
    from tensorboardX.summary import scalar

    return _event(step=update, summary=scalar(name, value))


def _event(**told: Any) -> Any:
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore

    return Event(wall_time=steady_clock()() / 1e9, **told)
