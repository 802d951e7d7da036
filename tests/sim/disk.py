"""A disk under SQLite that can refuse a write, and that knows what was synced."""

import errno
import os
from pathlib import Path

import apsw

from tests.sim.line import Faults


class Disk(apsw.VFS):
    """A file system whose every write and sync may be refused by `write`."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name
        self.error = errno.EIO
        self.synced: dict[str, bytes] = {}
        """by file, what a loss of power leaves"""

    def xOpen(self, name, flags):
        return _File(self, name, flags)

    def xDelete(self, filename, syncdir) -> None:
        """Final only once the folder is synced too."""
        super().xDelete(filename, syncdir)
        if syncdir:
            self.synced.pop(filename, None)

    def write(self) -> None:
        """Something is about to be written or synced."""

    def refuse(self) -> None:
        raise apsw.FullError if self.error == errno.ENOSPC else apsw.IOError


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name, flags) -> None:
        super().__init__("", name, flags)
        self.disk = disk
        self.path = name.filename() if isinstance(name, apsw.URIFilename) else name

    def xWrite(self, data, offset) -> None:
        self.disk.write()
        super().xWrite(data, offset)

    def xSync(self, flags) -> None:
        self.disk.write()
        super().xSync(flags)
        self.disk.synced[self.path] = Path(self.path).read_bytes()


class FaultyDisk(Disk):
    """Refuses now and then, as the seed says; after a loss of power only what was
    synced is there."""

    RARELY = 0.05
    """of the other faults' share: a step writes dozens of times"""

    def __init__(self, name: str, faults: Faults) -> None:
        super().__init__(name)
        self._faults = faults
        self.is_sound = False
        """nothing befalls it: while it is opened and closed"""

    def write(self) -> None:
        if not self.is_sound and self._faults.befalls("disk refuses", self.RARELY):
            self.error = (errno.EIO, errno.ENOSPC)[self._faults.pick(2)]
            self.refuse()

    def lose_power(self, folder: Path, synced: dict[str, bytes]) -> None:
        """Leave of the journal what had been synced at that moment."""
        for path in folder.glob("journal.sqlite*"):
            path.unlink()
        for name, content in synced.items():
            Path(name).write_bytes(content)


def lose_end(path: Path, least: int, faults: Faults) -> None:
    """Of a file that grows, what was not synced may be there in part."""
    size = path.stat().st_size
    os.truncate(path, least + faults.pick(size - least + 1))
