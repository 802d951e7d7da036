"""What is refused before the run's folder is opened, and leaves nothing behind."""

import json
from contextlib import closing

import pytest

from bot4jax.config import load, to_yaml
from bot4jax.errors import ConfigError
from bot4jax.modes import backtest, certify, demo, lob
from bot4jax.modes.replay import replay
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_file import JournalError

MODES = {
    "demo": demo.demo,
    "train": demo.train,
    "backtest": backtest.backtest,
    "certify": certify.certify,
    "lob": lob.lob,
}
WORDS = {
    "features.names=[meen]": "features.names: unknown feature 'meen'",
    "features.fallback=[meen]": "features.fallback: unknown feature 'meen'",
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("mode", MODES)
def test_a_mistyped_name_is_told_before_a_run_of_another_configuration(
    tmp_path, mode, word
):
    """With it the configuration is another, and the advice would be to remove the run
    that lies there; nothing is made or changed."""
    words = [f"mode={mode}", "debug=tiny", f"run.root={tmp_path}", "run.name=mine"]
    words += ["backtest.refit=true"] if mode == "backtest" else []
    run = tmp_path / "mine"
    run.mkdir()
    (run / "manifest.json").write_text(json.dumps({"config_hash": "another"}))
    (run / "report.html").write_text("")
    with pytest.raises(ConfigError, match="another configuration"):
        MODES[mode](load(words))
    with pytest.raises(ConfigError) as found:
        MODES[mode](load([*words, word]))
    assert WORDS[word] in str(found.value)
    assert "another configuration" not in str(found.value)
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]


def test_a_replay_of_a_run_at_work_leaves_nothing_behind(tmp_path):
    """Its engine keeps the journal closed; a lease would lie there for no folder."""
    former, root = tmp_path / "former", tmp_path / "runs"
    former.mkdir()
    words = ["debug=tiny", f"run.root={root}"]
    (former / "config.yaml").write_text(to_yaml(load(words)))
    asked = load([*words, "mode=replay", f"replay.run={former}"])
    with (
        closing(Journal.open(former / "journal.sqlite", former.name)),
        pytest.raises(JournalError, match="Another process is using"),
    ):
        replay(asked)
    assert not root.exists()
