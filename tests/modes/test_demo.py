"""What the main job leaves behind: files, figures, two lines, and a way to go on."""

import contextlib
import io
import json
import math
import shutil
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from bot4jax.modes import demo, judging, report_skill
from bot4jax.modes.story import Story
from bot4jax.runtime.orders import Fill
from bot4jax.types import MEMBERS
from tests.contract import check_summary
from tests.modes.ways import journal_of
from tests.runtime.test_events import scalars

FILES = {"config.yaml", "manifest.json", "summary.json", "journal.sqlite", "ticks"}
FILES |= {"checkpoints", "trees", "fit.bin", "report.html", "events"}


@pytest.fixture(scope="module")
def summary(run) -> dict:
    return json.loads((run.folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def page(run) -> str:
    return (run.folder / "report.html").read_text()


def serve(config) -> list[str]:
    """What the mode prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert demo.demo(config) == 0
    return printed.getvalue().splitlines()


def test_the_folder_holds_what_is_promised_and_nothing_unfinished(run):
    found = {path.name for path in run.folder.iterdir()}
    assert found == FILES
    assert not list(run.folder.rglob("*.part"))


def test_the_last_two_lines_name_summary_and_report(run):
    assert run.printed.splitlines()[-2:] == [
        f"summary {run.folder / 'summary.json'}",
        f"report {run.folder / 'report.html'}",
    ]


def test_the_summary_has_the_fields_that_scripts_read(summary):
    check_summary(summary)
    assert summary["schema"] == "bot4jax.summary/1"
    assert list(summary["members"]) == list(MEMBERS)
    for one in summary["members"].values():
        assert {"log_loss", "brier", "ece", "weight"} <= set(one)
    assert math.isclose(sum(summary["classes"]), 1, abs_tol=1e-9)
    assert summary["simulated"] is True
    assert summary["recompiles"] == 0


def test_counts_are_those_of_the_journal(run, summary):
    steps_done = journal_of(run.folder, run.folder.name)
    assert len(steps_done) == summary["bars"]["test"] == 80
    assert sum(len(one.orders) for one in steps_done) == summary["orders"]
    ticks = summary["ticks"]
    assert (
        ticks["sent"] == ticks["absorbed"] == sum(s.closing.ticks for s in steps_done)
    )
    assert ticks["sent"] >= 10 * summary["symbols"] * summary["bars"]["test"]
    fills = sum(isinstance(a, Fill) for one in steps_done for a in one.answers)
    last_step_s = summary["fills"] - fills
    assert 0 <= last_step_s <= len(steps_done[-1].orders) * 10


def test_no_member_beats_the_best_possible_forecast(summary):
    bound = summary["bayes_bound"]
    least = bound["log_loss"] - 3 * bound["standard_error"]
    for one in summary["members"].values():
        assert one["log_loss"] >= least


class Reader(HTMLParser):
    """Collects what a browser would fetch from elsewhere, and the headings."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched, self.headings, self._is_heading = [], [], False

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self._is_heading = tag in ("h1", "h2")
        if tag in ("script", "img", "link", "iframe"):
            self.fetched.append(found.get("src") or found.get("href") or tag)

    def handle_data(self, data):
        if self._is_heading:
            self.headings.append(data)
        self._is_heading = False


def test_the_report_needs_nothing_else_and_says_simulated(page):
    reader = Reader()
    reader.feed(page)
    assert [one for one in reader.fetched if not one.startswith("data:")] == []
    assert {"Forecasts", "Calibration", "Vote", "Money", "Denials", "Latency"} <= set(
        reader.headings
    )
    assert "SIMULATED" in page


def test_how_the_nets_learnt_is_told_in_summary_report_and_events(run, summary, page):
    """A small sound fit: no warning, and the same figures in all three."""
    told = summary["gradients"]
    assert told["warnings"] == []
    assert set(told["first_to_last"]) == {"lstm", "cnn", "transformer"}
    assert set(told["saturated"]) == {
        "lstm layers 0",
        "lstm layers 1",
        "gru layers 0",
    }
    for head in ("first over last layer's gradient", "saturated gates"):
        assert f"<th>{head}</th>" in page
    found, _ = scalars(run.folder / "events")
    last = told["updates"]
    for name, one in told["saturated"].items():
        assert 0 <= one["last"] < 0.5
        tag = f"saturated/{name}".replace(" ", "_")  # TensorBoard knows no blanks
        assert math.isclose(found[last, tag], one["last"], abs_tol=1e-6)
    for name in told["first_to_last"]:
        assert 0.01 < found[last, f"first_to_last/{name}"] < 100


def test_nets_that_learn_badly_are_warned_of_in_the_report(setting):
    facts = judging.market_facts(setting, None, None)
    told = {
        "updates": 1,
        "clipped": 0.0,
        "skipped": {"not_finite": 0, "exploded": 0},
        "vanished": {},
        "first_to_last": {},
        "saturated": {"lstm layers 0": {"first": 0.1, "last": 0.75}},
        "warnings": ["lstm layers 0 ended ill"],
    }
    blank = Story(**dict.fromkeys(Story._fields))
    story = blank._replace(
        summary={"gradients": told},
        market=facts,
        training={"lstm": np.ones(9)},
        gradients={"lstm": np.ones(9)},
        saturated={"lstm layers 0": np.linspace(0.1, 0.75, 9)},
    )
    page = report_skill.training(story)
    assert '<p class="warn">lstm layers 0 ended ill.</p>' in page
    assert "<td>lstm layers 0</td><td>10.0 %</td><td>75.0 %</td>" in page
    calm = report_skill.training(
        story._replace(summary={"gradients": told | {"warnings": []}})
    )
    assert "warn" not in calm


def test_prose_of_the_report_is_aligned_to_its_head(page):
    assert '<th>times</th><th class="text">meaning</th>' in page
    assert "<th>reason</th>" in page


def test_the_report_tells_the_tier_and_the_result_at_other_costs(page, run):
    assert run.config.venue.tier in page
    for multiple in ("0 × cost", "1 × cost", "2 × cost"):
        assert multiple in page


def test_a_finished_run_is_found_again(run):
    before = (run.folder / "summary.json").stat().st_mtime_ns
    assert serve(run.config) == run.printed.splitlines()[-2:]
    assert (run.folder / "summary.json").stat().st_mtime_ns == before


def test_a_run_that_was_cut_off_goes_on_from_its_checkpoint(run, copied):
    """As after the learning: it trades the same bars and says where it came from."""
    for name in ("summary.json", "report.html", "journal.sqlite"):
        (copied / name).unlink()
    shutil.rmtree(copied / "ticks")
    place = msgspec.structs.replace(run.config.run, root=str(copied.parent))
    serve(msgspec.structs.replace(run.config, run=place))
    again = json.loads((copied / "summary.json").read_text())
    assert again["resumed_from"] == copied.name
    ours, theirs = (journal_of(at, run.folder.name) for at in (copied, run.folder))
    assert [one.decisions for one in ours] == [one.decisions for one in theirs]
    assert [one.orders for one in ours] == [one.orders for one in theirs]
