"""Whenever a signal comes, no child is left behind."""

import os
import signal
import subprocess
from collections.abc import Iterator

import msgspec
import pytest

from bot4jax.config import load
from bot4jax.errors import Halted
from bot4jax.modes import children

PATIENCE_S = 20.0


@pytest.fixture
def sleeping(monkeypatch, tmp_path) -> Iterator[list[subprocess.Popen]]:
    """Every child that is begun; none of them ends by itself or hears what it is told.

    What a test leaves behind ends with it all the same.
    """
    begun: list[subprocess.Popen] = []
    program = tmp_path / "sleeps"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o700)

    class Remembered(subprocess.Popen):
        def __init__(self, *args, **how) -> None:
            super().__init__(*args, **how)
            begun.append(self)

    monkeypatch.setattr("sys.executable", str(program))
    monkeypatch.setattr(subprocess, "Popen", Remembered)
    yield begun
    for one in begun:
        one.kill()
        one.wait()


def signalled(function, times: int, spared: int = 0):
    """The function, asked to end in its first calls behind the spared ones."""
    asked = iter([False] * spared + [True] * times)

    def called(*args, **how):
        if next(asked, False):
            os.kill(os.getpid(), signal.SIGTERM)
        return function(*args, **how)

    return called


def begin_both() -> None:
    """Their block has nothing to do: they are awaited at once."""
    with children.children(load(["debug=tiny"]), ("venue", "feed")) as beside:
        assert [one.poll() for one in beside] == [None, None]


def assert_killed(begun: list[subprocess.Popen]) -> None:
    """One that was killed while nobody could wait for it may still be dying."""
    assert [one.wait(PATIENCE_S) for one in begun] == [-signal.SIGKILL] * 2


@pytest.mark.parametrize("times", [1, 2])
def test_who_is_asked_while_children_are_awaited_kills_every_one(
    sleeping, monkeypatch, times
):
    """Twice: once more while the first one that was killed is awaited."""
    waiting = signalled(subprocess.Popen.wait, times)
    monkeypatch.setattr(subprocess.Popen, "wait", waiting)
    with pytest.raises(KeyboardInterrupt):
        begin_both()
    monkeypatch.undo()
    assert_killed(sleeping)


def test_who_is_asked_while_the_second_begins_kills_both(sleeping, monkeypatch):
    """It lives already, and nobody who would kill it knows of it."""
    beginning = signalled(lambda: None, times=1, spared=1)

    class Interrupted(subprocess.Popen):
        def __init__(self, *args, **how) -> None:
            super().__init__(*args, **how)
            beginning()

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        begin_both()
    assert_killed(sleeping)


def test_who_is_asked_while_the_second_is_told_its_task_kills_both(
    sleeping, monkeypatch
):
    telling = signalled(msgspec.json.encode, times=1, spared=1)
    monkeypatch.setattr(msgspec.json, "encode", telling)
    with pytest.raises(KeyboardInterrupt):
        begin_both()
    assert_killed(sleeping)


def test_who_does_not_end_is_killed_and_so_is_the_other(sleeping, monkeypatch):
    monkeypatch.setattr(children, "PATIENCE_S", 0.1)
    with pytest.raises(Halted, match="mode=feed did not end within"):
        begin_both()
    assert_killed(sleeping)
