"""A whole `mode=live` is killed and started again; the venue is the judge."""

import json
import re
import time
from contextlib import closing
from pathlib import Path

import msgspec

from bot4jax.runtime.folder import CLOCK
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.lasting import Look, machine
from bot4jax.runtime.steady import Steady
from tests.sim.whole import SNAPSHOT, fatal_step, journaled, killed, repeating


def test_a_killed_run_ends_as_one_that_was_not(run, endpoints, tmp_path):
    """It dies three times: its intent journaled and not sent, and twice in the middle
    of writing a snapshot, which is passed over for the one before."""
    config, at = repeating(run.folder, tmp_path, endpoints), fatal_step(run.folder)
    looked_a_day_ago(Path(config.run.root) / run.folder.name)
    within = [(SNAPSHOT, at + 10), (SNAPSHOT, at + 16)]
    deaths = [("after_journal", at), *within]
    verdict, died = killed(config, run.folder, tmp_path, deaths)
    assert verdict.is_sound, verdict
    assert died == len(deaths)
    folder = Path(config.run.root) / run.folder.name
    (ours, _), (theirs, _) = journaled(folder), journaled(run.folder)
    assert [one.decisions for one in ours] == [one.decisions for one in theirs]
    found, expected = (
        json.loads((one / "summary.json").read_text()) for one in (folder, run.folder)
    )
    for name in ("pnl", "orders", "fills", "denials", "decisions", "masked"):
        assert found[name] == expected[name], name
    assert found["recompiles"] == 0
    texts = [one["text"] for one in found["transitions"] if one["cause"] == "STARTING"]
    wakings = [int(n) for n in re.findall(r"its snapshot of step (\d+)", str(texts))]
    assert len(wakings) == len(deaths)
    assert 0 < wakings[0] <= wakings[1] <= wakings[2]
    assert by_that_clock(folder)


DAY_NS = 86_400 * 10**9


def looked_a_day_ago(folder: Path) -> None:
    """As if the wall clock had been set forward by a day since the run looked at it."""
    folder.mkdir(parents=True)
    look = Look(machine(), Steady().offset_ns - DAY_NS)
    (folder / CLOCK).write_bytes(msgspec.json.encode(look))


def by_that_clock(folder: Path) -> bool:
    """Whether all three processes have counted on from there, and it went with them."""
    with closing(Journal.open(folder / "journal.sqlite", folder.name)) as journal:
        times = [one.at_ns for one in journal.transitions()]
    ago_ns = [time.time_ns() - at_ns for at_ns in times]
    is_gone = not (folder / CLOCK).exists()
    return is_gone and len(times) >= 8 and min(ago_ns) > DAY_NS
