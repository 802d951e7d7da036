"""A run that Ctrl-C or SIGTERM ends early has its report, which says so."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from bot4jax.run import INTERRUPTED
from bot4jax.runtime.client import subscribe
from bot4jax.runtime.journal import Journal
from tests.small_stage import FEW

BARS = 12
"""After which it is ended: some labels are known by then."""
PATIENCE_S = 180.0


def signals_of(words: list[str]) -> str:
    """Where the engine tells what it concludes."""
    name = "runtime.endpoints.signals="
    return next(one.removeprefix(name) for one in words if one.startswith(name))


ASKED = {
    "Ctrl-C": lambda process: os.killpg(process.pid, signal.SIGINT),
    "SIGTERM": lambda process: process.terminate(),
}
"""The keys of a terminal reach the process and its children; a supervisor it alone."""


@pytest.fixture
def begun(few, words, tmp_path) -> Iterator[subprocess.Popen[str]]:
    """A real process, and soon its children; how it ends no member has a say in."""
    own = [f"run.model={few}", f"run.root={tmp_path}", "run.name=stopped"]
    command = [sys.executable, "-m", "bot4jax.run", "mode=demo", *words, *FEW, *own]
    with subprocess.Popen(
        [*command, "runtime.speed=5"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def assert_alone(process: subprocess.Popen[str]) -> None:
    """It has ended, and neither feed nor venue is left."""
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@pytest.mark.parametrize("asked", ASKED)
def test_a_run_that_is_asked_to_end_has_its_report(begun, words, tmp_path, asked):
    heard = subscribe(signals_of(words), timeout_s=PATIENCE_S)
    for _ in range(BARS):
        next(heard)
    ASKED[asked](begun)
    printed, _ = begun.communicate(timeout=PATIENCE_S)
    assert begun.returncode == 0
    assert_alone(begun)
    folder = tmp_path / "stopped"
    said = [f"{name} {folder / file}" for name, file in TOLD]
    assert printed.splitlines()[-2:] == said
    assert_told(folder)


def test_who_is_asked_before_a_bar_has_closed_leaves_no_process(begun):
    """Asked twice: the first word may find it trading, the second on its way out."""
    children = Path(f"/proc/{begun.pid}/task/{begun.pid}/children")
    while len(children.read_text().split()) < 2:
        assert begun.poll() is None
        time.sleep(0.01)
    begun.terminate()
    with suppress(subprocess.TimeoutExpired):
        begun.wait(timeout=2.0)
    begun.terminate()
    begun.wait(timeout=PATIENCE_S)
    assert begun.returncode in (INTERRUPTED, -signal.SIGTERM)
    assert_alone(begun)


TOLD = (("summary", "summary.json"), ("report", "report.html"))


def assert_told(folder: Path) -> None:
    """Journal, summary and report tell of the same bars."""
    with closing(Journal.open(folder / "journal.sqlite", folder.name)) as journal:
        assert journal.is_finished
        steps = list(journal.read())
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["ended_early"]
    assert BARS <= summary["traded_bars"] == len(steps) < summary["bars"]["test"]
    assert summary["orders"] == sum(len(one.orders) for one in steps)
    page = (folder / "report.html").read_text()
    of_all = f"{len(steps)} of {summary['bars']['test']} bars"
    assert f"The run was ended after {of_all}" in page
