"""Files that are there whole or not at all, and outlive a loss of power."""

import os
import re
from pathlib import Path

UNFINISHED = re.compile(r"(\.\d+)?\.part$")
"""Behind the name of a file that is being written, with the writer's process number."""


def write(path: Path, content: str | bytes) -> Path:
    """Replace a file in one move, once its bytes are on the disk; the path.

    A reader sees the old file or all of the new one. A text is written as UTF-8.
    """
    raw = content.encode() if isinstance(content, str) else content
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync(path.parent)
    return path


def intended(name: str) -> str:
    """Of which file one is the unfinished beginning, by their names; else its own."""
    return UNFINISHED.sub("", name)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
