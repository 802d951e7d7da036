"""What a fit says of itself, update by update, in files that TensorBoard reads.

What they are made of is imported with the first update: it imports PyTorch wherever
that is installed, for which whoever only starts the program would wait. tensorboardX's
own writer is not used: a full disk ends its thread, and who tells it more waits for
ever.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from socket import gethostname
from typing import Any

from bot4jax.durable import named
from bot4jax.runtime.steady import steady_clock

Log = Callable[[int, Mapping[str, float]], None]


@contextmanager
def events(folder: Path) -> Iterator[Log]:
    """`log(update, values)` for as long as the block lasts.

    Nothing is written before the first update is told. A fit that goes on begins
    another file and takes back what the one before told of the same updates.
    """
    with ExitStack() as stack:
        files: list[FileIO] = []

        def log(update: int, values: Mapping[str, float]) -> None:
            told = [_scalar(update, *one) for one in values.items()]
            with named(folder):
                if not files:
                    files.append(stack.enter_context(_opened(folder, update)))
                    told = [*_beginning(update), *told]
                _put(files[0], b"".join(map(_record, told)))

        yield log


def _opened(folder: Path, update: int) -> FileIO:
    """A new file by its first update, for files of one second would have one name."""
    folder.mkdir(parents=True, exist_ok=True)
    seconds = steady_clock()() // 10**9
    name = f"events.out.tfevents.{seconds}.{gethostname()}.{update:09}"
    return FileIO(folder / name, "w")


def _beginning(update: int) -> tuple[Any, Any]:
    """What a file begins with: its version, and that whatever was told of this update
    and of later ones is taken back."""
    from tensorboardX.proto.event_pb2 import SessionLog  # pyright: ignore

    begins = SessionLog(status=SessionLog.START)
    return _event(file_version="brain.Event:2"), _event(step=update, session_log=begins)


def _scalar(update: int, name: str, value: float) -> Any:
    from tensorboardX.summary import scalar

    return _event(step=update, summary=scalar(name, value))


def _event(**told: Any) -> Any:
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore

    return Event(wall_time=steady_clock()() / 1e9, **told)


def _record(event: Any) -> bytes:
    """An event as TFRecord: length, its masked checksum, content, its own."""
    from tensorboardX.record_writer import masked_crc32c

    body = event.SerializeToString()
    head = struct.pack("<Q", len(body))
    sums = (struct.pack("<I", masked_crc32c(one)) for one in (head, body))
    return b"".join((head, next(sums), body, next(sums)))


def _put(file: FileIO, content: bytes) -> None:
    """All of it: a disk that fills up takes the first bytes without a word."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
