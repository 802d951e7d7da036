"""SIGUSR1 before a run listens: it ends nothing, and it sticks."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot4jax.early import EARLY, SAID, heard_early
from bot4jax.errors import Halted
from bot4jax.runtime.control import KillFile

PATIENCE_S = 180.0


def hears(process: int) -> bool:
    """Whether the process has a handler for the signal, by the kernel's word."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"SigCgt:\s*([0-9a-f]+)", status)
    return found is not None and bool(int(found[1], 16) >> (signal.SIGUSR1 - 1) & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="it is asked of /proc")
def test_a_process_that_has_begun_nothing_keeps_the_signal(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.yaml").write_text("mode: nothing\n")  # read once JAX is there
    words = ["mode=live", "runtime.speed=1", f"run.model={model}"]
    words += [f"run.root={tmp_path}", "run.name=one"]
    command = [sys.executable, "-m", "bot4jax.run", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        give_up_s = time.monotonic() + PATIENCE_S
        while not hears(process.pid):
            assert time.monotonic() < give_up_s
            time.sleep(0.001)
        process.send_signal(signal.SIGUSR1)
        _, said = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 2, said
    assert KillFile(tmp_path / "one").text() == SAID


def test_what_was_said_before_the_folder_was_known_is_written_there(tmp_path):
    before = signal.getsignal(signal.SIGUSR1)
    with heard_early(None):
        os.kill(os.getpid(), signal.SIGUSR1)
        assert not list(tmp_path.iterdir())
        EARLY.aim(tmp_path / "run")
        assert KillFile(tmp_path / "run").text() == SAID
    assert signal.getsignal(signal.SIGUSR1) == before


def test_a_folder_that_takes_no_file_lets_nothing_begin(tmp_path):
    (tmp_path / "run").write_text("in its place")
    with heard_early(None):
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(Halted, match="nothing is begun"):
            EARLY.aim(tmp_path / "run")


def test_nothing_is_written_where_nothing_was_said(tmp_path):
    with heard_early(tmp_path):
        EARLY.aim(tmp_path)
    assert not list(tmp_path.iterdir())
