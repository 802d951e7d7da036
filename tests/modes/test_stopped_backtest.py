"""A backtest that Ctrl-C or SIGTERM ends tells what it has traded, or says why not."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bot4jax.config import load
from bot4jax.modes import backtest as mode
from bot4jax.modes.telling import Unlabelled
from bot4jax.runtime.journal import Journal
from tests.contract import check_summary

PATIENCE_S = 300.0
LATENCIES = [0.0, 100.0, 500.0]
BARS = 80

SPOKEN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from bot4jax.runtime import progress; progress.PLAIN_EVERY_S = 0.0; "
    "from bot4jax.run import main; raise SystemExit(main())"
)
"""The command line, of which a stage says how far it is after every bar, and which
hears Ctrl-C even if the tests run in a shell's background."""


def traded_again(words, run, root, *more) -> list[str]:
    """The words of an exact backtest of the run's members."""
    own = [word for word in words if not word.startswith("run.root")]
    model = f"run.model={run.folder}"
    return [*own, "mode=backtest", model, f"run.root={root}", "run.name=b", *more]


def told(root: Path) -> tuple[dict, str]:
    summary = json.loads((root / "b" / "summary.json").read_text())
    check_summary(summary)
    return summary, (root / "b" / "report.html").read_text()


def journaled(folder: Path) -> int:
    """Steps of a journal that has its end."""
    with closing(Journal.open(folder / "journal.sqlite", folder.name)) as journal:
        assert journal.is_finished
        return len(list(journal.read()))


def ended_at(line: str, asked: int, words: list[str]) -> tuple[int, list[str]]:
    """The exit code of a process that is sent a signal at a line, and all its lines."""
    command = [sys.executable, "-c", SPOKEN, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        for one in process.stderr:
            said.append(one.strip())
            if one.startswith(line):
                process.send_signal(asked)
        return process.wait(PATIENCE_S), said


def stages(said: list[str]) -> list[str]:
    """What was done, in order, each stage once."""
    return list(dict.fromkeys(one.split(": ")[0] for one in said if "/" in one))


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_backtest_ended_while_it_trades_tells_what_it_traded(
    run, words, tmp_path, asked
):
    own = traded_again(words, run, tmp_path)
    code, said = ended_at("paper trading: 12/", asked, own)
    assert code == 0, said
    assert not [one for one in stages(said) if one.startswith("latency")]
    summary, page = told(tmp_path)
    bars = summary["traded_bars"]
    assert summary["ended_early"]
    assert 12 <= bars == journaled(tmp_path / "b") < summary["bars"]["test"] == BARS
    assert summary["backtest"]["latency"] == []
    assert f"ended after {bars} of {BARS} bars: all that follows is of those" in page
    assert "The run was ended before 0, 100, 500 ms: they are left out" in page


def test_a_backtest_ended_in_a_replay_leaves_that_and_the_later_ones_out(
    run, words, tmp_path
):
    own = traded_again(words, run, tmp_path)
    code, said = ended_at("latency 100 ms: 1/", signal.SIGTERM, own)
    assert code == 0, said
    assert "latency 500 ms" not in stages(said)
    summary, page = told(tmp_path)
    assert summary["ended_early"]
    assert summary["traded_bars"] == BARS == journaled(tmp_path / "b")
    assert [one["latency_ms"] for one in summary["backtest"]["latency"]] == [0.0]
    assert f"The run was ended after all of its {BARS} bars, while they were" in page
    assert "The run was ended before 100, 500 ms: they are left out" in page


def test_a_scan_promises_no_report_and_is_interrupted_at_once(run, words, tmp_path):
    own = traded_again(words, run, tmp_path, "backtest.fidelity=research")
    code, said = ended_at("vote: 12/", signal.SIGINT, own)
    assert code == 130, said
    assert said[-1] == "bot4jax: interrupted"
    assert not [one for one in said if "with a report" in one]
    assert not (tmp_path / "b" / "report.html").exists()


@pytest.fixture
def asking(monkeypatch):
    """A real signal to this process, as a stage has come so far."""

    def at(stage: str, bar: int) -> list[str]:
        seen = []

        def report(name: str, done: int, total: int, text: str = "") -> None:
            seen.append(name)
            if (name, done) == (stage, bar):
                os.kill(os.getpid(), signal.SIGTERM)

        @contextmanager
        def progress():
            yield report

        monkeypatch.setattr(mode, "progress", progress)
        return seen

    return at


@pytest.mark.parametrize("bars", [1, 6])
def test_one_ended_before_two_bars_have_a_label_says_why_it_has_no_report(
    run, words, tmp_path, asking, bars
):
    asking("paper trading", bars)
    config = load(traded_again(words, run, tmp_path))
    with pytest.raises(Unlabelled, match=f"b ended after {bars} bars, before labels"):
        mode.backtest(config)
    assert not (tmp_path / "b" / "report.html").exists()
    assert journaled(tmp_path / "b") == bars


@pytest.mark.parametrize("bars", [7, 40, BARS])
def test_one_ended_after_any_bar_is_told_as_far(run, words, tmp_path, asking, bars):
    """The first that can be judged, one in the middle, and the last."""
    seen = asking("paper trading", bars)
    assert mode.backtest(load(traded_again(words, run, tmp_path))) == 0
    summary, page = told(tmp_path)
    assert summary["traded_bars"] == bars == journaled(tmp_path / "b")
    assert 0 < summary["labels"]["effective"] <= 16 * (bars - 5)
    assert summary["bars"]["test"] == BARS
    assert len(summary["backtest"]["effective_labels"]) == 1
    assert "not laid: backtest.traps=true" in page
    assert not [one for one in seen if one.startswith("latency")]


FOLDS = ["backtest.refit=true", "backtest.folds=2", "spans.test=140"]
FOLDS += [
    "ensemble.members=[gru]",
    "backtest.latencies_ms=[100]",
    "backtest.traps=true",
]


@pytest.mark.parametrize(
    ("bar", "traded", "late"), [(3, 70, [100.0]), (30, 100, [])], ids=str
)
def test_of_folds_those_are_told_that_were_traded(
    words, tmp_path, asking, bar, traded, late
):
    """The fold that was ended as well, once it has a label."""
    seen = asking("fold 2: paper trading", bar)
    own = [word for word in words if not word.startswith("run.root")]
    own += ["mode=backtest", f"run.root={tmp_path}", "run.name=b", *FOLDS]
    assert mode.backtest(load(own)) == 0
    summary, page = told(tmp_path)
    assert (summary["traded_bars"], summary["ended_early"]) == (traded, True)
    assert summary["bars"]["test"] == 140
    assert [one["latency_ms"] for one in summary["backtest"]["latency"]] == late
    assert f"ended after {traded} of 140 bars" in page
    assert "not laid: the run was ended before" in page
    assert not [one for one in seen if one.startswith("trap")]
