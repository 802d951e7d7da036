"""One process a run folder, and nothing is left where nobody works."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bot4jax.errors import ConfigError, Halted
from bot4jax.runtime.lease import lease
from tests.small_disk import no_room

PATIENCE_S = 60

DIES = """
import os, signal, sys
from pathlib import Path
from bot4jax.runtime.lease import lease
with lease(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""

WORKS = """
import os, sys
from pathlib import Path
from bot4jax.errors import ConfigError, Halted
from bot4jax.runtime.lease import lease
folder, mark, done = Path(sys.argv[1]), sys.argv[2], 0
while done < 200:
    try:
        with lease(folder):
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            os.unlink(mark)
            done += 1
    except Halted:
        continue
"""


def file_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lease")


def is_refused(folder: Path) -> bool:
    try:
        with lease(folder):
            return False
    except Halted:
        return True


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_of_a_lease(tmp_path, fails):
    """Of a command that fails before its folder is made, nothing else would be."""
    folder = tmp_path / "mine"
    try:
        with lease(folder):
            assert file_of(folder).read_text() == f"{os.getpid()}\n"
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert list(tmp_path.iterdir()) == []


def test_who_is_refused_takes_nothing_away(tmp_path):
    folder = tmp_path / "mine"
    with lease(folder):
        with pytest.raises(Halted, match=rf"\(process {os.getpid()}\)"), lease(folder):
            pass
        assert file_of(folder).exists()
        assert is_refused(folder)


def test_what_a_killed_process_leaves_holds_nobody_up(tmp_path):
    folder = tmp_path / "mine"
    holder = subprocess.Popen([sys.executable, "-c", DIES, str(folder)])
    assert holder.wait(PATIENCE_S) == -signal.SIGKILL
    assert file_of(folder).exists()
    assert not is_refused(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_on_a_file_that_its_holder_has_removed_is_none(tmp_path, monkeypatch):
    """It is opened, then its holder ends, then it is locked: a third would find no
    file, make one, and hold the same folder."""
    folder, lock = tmp_path / "mine", fcntl.flock

    def ended_before(handle: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        file_of(folder).unlink()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", ended_before)
    with lease(folder):
        assert fcntl.flock is lock
        assert is_refused(folder)


def test_the_lease_of_another_is_left_alone(tmp_path):
    """A person has removed ours, and somebody took the folder since."""
    folder = tmp_path / "mine"
    with lease(folder):
        file_of(folder).unlink()
        other = lease(folder)
        other.__enter__()
    assert is_refused(folder)
    other.__exit__(None, None, None)


def test_never_do_two_hold_one_folder(tmp_path):
    """Four processes take it and give it back as fast as they can; whoever has it
    makes a file that nobody else may have made."""
    words = str(tmp_path / "mine"), str(tmp_path / "held")
    command = [sys.executable, "-c", WORKS, *words]
    workers = [subprocess.Popen(command) for _ in range(4)]
    assert [one.wait(PATIENCE_S) for one in workers] == [0] * 4
    assert list(tmp_path.iterdir()) == []


def test_a_lease_without_room_is_told_by_its_path_and_left_to_nobody(tmp_path):
    with (
        no_room(),
        pytest.raises(ConfigError, match=f"{tmp_path}/.run.lease cannot be written"),
        lease(tmp_path / "run"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    with lease(tmp_path / "run"):
        pass
