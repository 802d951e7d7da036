"""A run that a full disk has cut off ends as one that was never cut off.

Wherever it happens: what the run finds out is compared with all that an undisturbed one
has told, but for what a clock has a part in.
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from bot4jax import durable
from bot4jax.config import load
from bot4jax.durable import explained
from bot4jax.errors import StorageError
from bot4jax.kernels.calibration import Curves
from bot4jax.learn import checkpoint, earnings, fit, ledger
from bot4jax.learn.calibrate import Calibration, OfRegime
from bot4jax.learn.health import History
from bot4jax.learn.params import Learned, Members
from bot4jax.modes import backtest, demo, fit_file
from bot4jax.modes.telling_backtest import tell_backtest
from bot4jax.nets.zoo import Ends
from bot4jax.runtime.journal import Journal, Unwritten
from bot4jax.schema import Config
from tests import small_disk
from tests.small_stage import FEW

OF_A_CLOCK = ("seconds", "latency_ms", "information_age_ms", "resumed_from")
CLOCKED = ("Latency", "Provenance")
AFTER = 40
"""Steps that have been journaled when the disk is full."""


def told(folder: Path) -> dict[str, Any]:
    """What a run has found out."""
    found = json.loads((folder / "summary.json").read_text())
    for one in found.get("transitions", ()):
        del one["at_ns"]
    return {name: one for name, one in found.items() if name not in OF_A_CLOCK}


def shown(folder: Path) -> dict[str, str]:
    """The report's sections by their headings."""
    parts = (folder / "report.html").read_text().split("<h2>")
    pairs = (one.split("</h2>", 1) for one in parts[1:])
    return {head: text for head, text in pairs if head not in CLOCKED}


def no_room(*_) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def in_the_fit(patch: pytest.MonkeyPatch) -> None:
    """Two checkpoints of the fit are there, and no room for the next."""
    allocate, seen = os.posix_fallocate, []

    def third(*asked) -> None:
        seen.append(asked)
        no_room() if len(seen) == 3 else allocate(*asked)

    patch.setattr(fit, "is_due", lambda done, updates, settings: done % 2 == 0)
    patch.setattr(os, "posix_fallocate", third)


def in_trading(patch: pytest.MonkeyPatch) -> None:
    commit = Journal.commit

    def until(journal: Journal, record) -> bytes:
        if record.step > AFTER:
            raise Unwritten("no room")
        return commit(journal, record)

    patch.setattr(Journal, "commit", until)


def before(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    """There is no room for a file of this name."""
    write = durable.write

    def cut(patch: pytest.MonkeyPatch) -> None:
        def all_but(path: Path, content: str | bytes) -> Path:
            if path.name == name:
                no_room()
            return write(path, content)

        patch.setattr(durable, "write", all_but)

    return cut


CUTS = {
    "fit": in_the_fit,
    "forest": before("forest.json"),
    "found": before(fit_file.FILE),
    "trading": in_trading,
    "report": before("report.html"),
}


def configured(words, root: Path, *more: str) -> Config:
    return load([*words, f"run.root={root}", "run.name=few", *FEW, *more])


@pytest.mark.parametrize("cut", CUTS)
def test_a_demo_that_was_cut_off_ends_as_one_that_was_not(
    few, words, tmp_path, monkeypatch, cut
):
    """Its members are compared with every baseline, and what their fit said is told."""
    config = configured(words, tmp_path, "mode=demo")
    with monkeypatch.context() as patch:
        CUTS[cut](patch)
        with pytest.raises((OSError, Unwritten), match=r"room|No space"):
            demo.demo(config)
    assert demo.demo(config) == 0
    assert told(tmp_path / "few") == told(few)
    assert shown(tmp_path / "few") == shown(few)


def as_after_the_fit(few: Path, root: Path) -> Path:
    """A copy of a run, cut off before it traded."""
    folder = Path(shutil.copytree(few, root / "few"))
    for name in ("summary.json", "report.html", "journal.sqlite"):
        (folder / name).unlink()
    return folder


def test_what_a_fit_has_found_is_said_to_be_lost_where_it_is(few, words, tmp_path):
    """All else is told as ever."""
    folder = as_after_the_fit(few, tmp_path)
    whole = bytearray((folder / fit_file.FILE).read_bytes())
    whole[len(whole) // 2] ^= 1
    (folder / fit_file.FILE).write_bytes(whole)
    assert demo.demo(configured(words, tmp_path, "mode=demo")) == 0
    ours, theirs = told(folder), told(few)
    assert ours.pop("alarms") == [fit_file.LOST]
    assert ours.pop("gradients") is None
    assert ours == {name: theirs[name] for name in ours}
    assert set(shown(few)) - set(shown(folder)) == {"Training"}
    assert f'<p class="warn">{fit_file.LOST}' in (folder / "report.html").read_text()


def fitted() -> Learned:
    """A fit that has found something, of every kind."""
    rng = np.random.default_rng(0)

    def rows(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    history = History(
        members=("gru", "cnn"),
        layers=("gru layers 0", "cnn head"),
        gated=("gru layers 0",),
        ends={"gru": Ends("a", "b", 1.5)},
        loss=rows(3, 2),
        gradient_norm=rows(3, 2),
        update_ratio=rows(3, 2),
        layer_gradient=rows(3, 2),
        not_finite=rows(3, 2),
        norm=rows(3),
        clipped=rows(3),
        skipped=rows(3),
        saturated=np.full((3, 1), np.nan, np.float32),
    )
    line = jax.numpy.linspace(0.0, 1.0, 12).reshape(1, 3, 4)
    curves = Curves(line, line + 1, line[0, 0, :1])
    regimes = OfRegime(0.9, 0.5, curves), OfRegime(1.1, 0.25)
    pairs = (np.float64(1.0), float("nan")), (0.5, 0.25), (0.1, 0.2)
    calibration = {
        "gru": Calibration(1.2, *pairs, curves, regimes),
        "ensemble": Calibration(1.0, *pairs),
    }
    blank = Learned(*[None] * 9)  # pyright: ignore
    return blank._replace(
        members=Members(*[None] * 4, history),  # pyright: ignore
        calibration=calibration,
        alarms=("a trap has caught something",),
    )


def test_what_a_fit_has_found_is_read_back_to_the_bit(tmp_path):
    learned = fitted()
    fit_file.write(tmp_path, learned)
    found = fit_file.read(tmp_path)
    expected = learned.members.history, learned.calibration, learned.alarms
    ours, theirs = (jax.tree.flatten(one) for one in (tuple(found), expected))
    assert ours[1] == theirs[1]
    for one, other in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_array_equal(one, other, strict=not isinstance(one, float))
        assert isinstance(one, jax.Array) == isinstance(other, jax.Array)


@pytest.mark.parametrize("damage", ["gone", "empty", "torn", "flipped", "of another"])
def test_no_damage_of_what_a_fit_has_found_goes_unseen(tmp_path, caplog, damage):
    path = fit_file.write(tmp_path, fitted())
    whole = path.read_bytes()
    for place in range(len(whole)) if damage == "flipped" else (0,):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(
            {
                "gone": b"",
                "empty": b"",
                "torn": whole[:-1],
                "flipped": bytes(flipped),
                "of another": hashlib.sha256(b"\x90").digest() + b"\x90",
            }[damage]
        )
        if damage == "gone":
            path.unlink()
        assert fit_file.read(tmp_path) == fit_file.Told(None, {}, (fit_file.LOST,))
    assert str(path) in caplog.text


def test_a_training_without_room_for_its_report_is_told_and_not_fitted_again(
    words, tmp_path, monkeypatch
):
    config, folder = configured(words, tmp_path, "mode=train"), tmp_path / "few"
    with monkeypatch.context() as patch:
        before("report.html")(patch)
        with pytest.raises(OSError, match="No space"):
            demo.train(config)
    ours = told(folder)
    monkeypatch.setattr(fit, "fit_nets", lambda *_: pytest.fail("it is fitted again"))
    assert demo.train(config) == 0
    assert told(folder) == ours
    assert {"Training", "Calibration"} < set(shown(folder))


LAST_FILES = ["earned.parquet", "trials.jsonl", "summary.json", "report.html"]

SYNCS, SIZES = 9, (0, 1, 1_000, 10_000, 100_000)
"""One more than a story takes, and bytes that each file has room for."""


@contextmanager
def refused_after(allowed: int) -> Iterator[None]:
    """So many syncs come through, and none after them."""
    sync, left = os.fsync, iter(range(allowed))

    def some(handle: int) -> None:
        no_room() if next(left, None) is None else sync(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", some)
        yield


def refused(folder: Path, tell: Callable[[], None], disk: Any) -> list[str]:
    """The file that a disk refuses, by the one line that tells of it; or none."""
    try:
        with disk, explained():
            tell()
    except StorageError as error:
        path, _, why = str(error).partition(": ")
        assert why.endswith("make room there, then start again")
        assert "\n" not in why
        assert Path(path).is_relative_to(folder.parent)
        return [re.sub(r"[0-9a-f]{64}", "earned", Path(path).name)]
    finally:
        expect_whole(folder)
    return []


def expect_whole(folder: Path) -> None:
    """Whatever stands there can be read, and nothing half-written is left."""
    root, trials = folder.parent, folder.parent / ledger.NAME
    assert not list(root.rglob("*.part"))
    for fold in (folder / "folds").iterdir():
        assert checkpoint.newest_intact(fold / "checkpoints") is not None
        assert fit_file.read(fold).history is not None
    assert ledger.read(trials).damaged == ()
    for one in root.glob("trials/*.parquet"):
        assert earnings.read(root, one.stem) is not None
    if (folder / "summary.json").exists():
        told(folder)
    if (folder / "report.html").exists():
        assert (folder / "report.html").read_text().endswith("</html>\n")


def test_a_backtest_s_last_files_are_whole_or_not_there_wherever_the_disk_is_full(
    words, tmp_path, monkeypatch
):
    """Its syncs are refused one after the other, and what is beyond a size; once there
    is room, the run comes to what it would have."""
    more = "mode=backtest", "backtest.refit=true", "backtest.folds=2"
    more += "backtest.fidelity=research", "spans.test=140"
    whole = configured(words, tmp_path / "whole", *more)
    assert backtest.backtest(whole) == 0
    config, folder = (
        configured(words, tmp_path / "cut", *more),
        tmp_path / "cut" / "few",
    )
    given: list[tuple] = []
    with monkeypatch.context() as patch:
        patch.setattr(backtest, "tell_backtest", lambda *own: given.append(own))
        assert backtest.backtest(config) == 0
    tell = partial(tell_backtest, *given[0])
    by_size = [refused(folder, tell, small_disk.no_room(size)) for size in SIZES]
    assert [one for (one,) in by_size] == [LAST_FILES[i] for i in (0, 0, 0, 2, 3)]
    by_sync = [refused(folder, tell, refused_after(n)) for n in range(SYNCS)]
    assert not by_sync[-1]
    assert sorted(set(chain(*by_sync)), key=LAST_FILES.index) == LAST_FILES
    (folder / "report.html").unlink()
    assert backtest.backtest(config) == 0
    assert told(folder) == told(tmp_path / "whole" / "few")
    assert shown(folder) == shown(tmp_path / "whole" / "few")
