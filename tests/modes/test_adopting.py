"""What a fitted run brings, and what is told of it."""

import sys

from bot4jax.config import load, to_yaml
from bot4jax.modes.keeping import adopt


def fitted(folder, *words):
    """As much of a run's folder as is read of it."""
    (folder / "checkpoints" / "1").mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(load(words)))
    return folder


def adopted(folder, monkeypatch, *words):
    own = ["mode=backtest", f"run.model={folder}", *words]
    monkeypatch.setattr(sys, "argv", ["bot4jax", *own])
    return adopt(load(own), folder)


def test_of_what_the_command_did_not_say_nothing_is_told(tmp_path, monkeypatch, caplog):
    folder = fitted(tmp_path, "debug=tiny")
    found = adopted(folder, monkeypatch, "risk=conservative")
    assert found.data.symbols == load(["debug=tiny"]).data.symbols
    assert not caplog.records


def test_what_the_command_says_otherwise_is_told_with_both_values(
    tmp_path, monkeypatch, caplog
):
    """Also where it names the program's own value, which the run had not."""
    usual = load().data.symbols
    folder = fitted(tmp_path, "debug=tiny", "data.symbols=12", "labels.horizon=4")
    words = f"data.symbols={usual}", "labels.horizon=7"
    adopted(folder, monkeypatch, *words)
    (record,) = caplog.records
    said = f"this command's data.symbols={usual} (12), labels.horizon=7 (4). To use"
    assert said in record.getMessage()
