"""A whole `mode=live` is killed and started again; the venue is the judge."""

import json
import re
from pathlib import Path

from tests.sim.whole import fatal_step, journaled, killed, repeating


def test_a_killed_run_ends_as_one_that_was_not(run, endpoints, tmp_path):
    """It dies twice: its intent journaled and not sent, and in the middle of writing
    a snapshot, which is passed over for the one before."""
    config, at = repeating(run.folder, tmp_path, endpoints), fatal_step(run.folder)
    deaths = [("after_journal", at), ("mid_checkpoint", at + 10)]
    verdict = killed(config, run.folder, tmp_path, deaths)
    assert verdict.is_sound, verdict
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
    assert len(wakings) == 2
    assert 0 < wakings[0] <= wakings[1]
