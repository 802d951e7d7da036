"""Names that nobody knows are told before anything is said of the run's folder."""

import json

import pytest

from bot4jax.config import load
from bot4jax.errors import ConfigError
from bot4jax.modes import backtest, certify, demo, lob

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
    (tmp_path / ".mine.lease").unlink(missing_ok=True)
    with pytest.raises(ConfigError) as found:
        MODES[mode](load([*words, word]))
    assert WORDS[word] in str(found.value)
    assert "another configuration" not in str(found.value)
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]
