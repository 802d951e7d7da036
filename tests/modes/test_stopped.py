"""Ctrl-C, once, ends a run after its step; what it has seen by then is told."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from bot4jax.errors import DataError
from bot4jax.modes.keeping import Kept
from bot4jax.modes.setting import Setting
from bot4jax.modes.telling import Played, tell
from bot4jax.modes.trading import Traded, trade_here
from bot4jax.runtime.folder import RunFolder
from bot4jax.runtime.journal import Journal


def interrupted(at: int) -> Callable[..., None]:
    """A report of progress that a person hears up to a step."""

    def report(_: str, step: int, total: int) -> None:
        if step == at:
            os.kill(os.getpid(), signal.SIGINT)

    return report


def stopped(setting: Setting, kept: Kept, root: Path, at: int) -> tuple[Path, Traded]:
    """A run that is ended after a step, and told."""
    own = msgspec.structs.replace(setting.config.run, root=str(root), name="stopped")
    config = msgspec.structs.replace(setting.config, run=own)
    with RunFolder(config) as folder:
        folder.open()
        traded = trade_here(setting, kept, folder.path, interrupted(at))
        tell(folder, setting, Played(None, kept, traded, None, {}))
    return folder.path, traded


def test_a_run_that_is_stopped_is_told_as_far_as_it_went(setting, kept, tmp_path):
    folder, traded = stopped(setting, kept, tmp_path, 8)
    assert len(traded.decided) == 8
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["pnl"]["net"] == pytest.approx(
        traded.portfolio.nav() - setting.config.strategy.capital
    )
    assert (folder / "report.html").is_file()
    assert traded.portfolio.open_orders() == []
    with closing(Journal.open(folder / "journal.sqlite", folder.name)) as journal:
        assert journal.is_finished
        assert len(list(journal.read())) == 8


def test_one_that_is_stopped_before_anything_came_true_says_so(setting, kept, tmp_path):
    with pytest.raises(DataError, match="ended after 2 bars, before the first label"):
        stopped(setting, kept, tmp_path, 2)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
