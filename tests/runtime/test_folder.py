"""A run folder never mixes two configurations, and holds nothing half-written."""

import json

import pytest

from bot4jax.config import from_yaml, load
from bot4jax.errors import ConfigError, Halted
from bot4jax.runtime.folder import RunFolder


@pytest.fixture
def config(tmp_path):
    return lambda *words: load(["run.name=one", f"run.root={tmp_path}", *words])


@pytest.fixture
def kept(config) -> RunFolder:
    """A run that left a result."""
    folder = RunFolder(config())
    assert folder.open() is None
    folder.write_json("summary.json", {"seconds": 1})
    return folder


def test_a_new_folder_tells_what_was_asked(config, kept):
    assert from_yaml(kept.path / "config.yaml") == config()
    told = json.loads((kept.path / "manifest.json").read_text())
    assert told["config_hash"] == kept.hash
    assert not list(kept.path.glob("*.part"))


def test_the_same_configuration_is_resumed(config, kept):
    again = RunFolder(config())
    assert again.open() == "one"
    assert (kept.path / "summary.json").is_file()


def test_another_configuration_is_refused_and_changes_nothing(config, kept):
    before = (kept.path / "config.yaml").read_bytes()
    with pytest.raises(ConfigError, match=r"run\.fresh=true"):
        RunFolder(config("run.seed=1")).open()
    assert (kept.path / "config.yaml").read_bytes() == before


def test_fresh_removes_the_former_run(config, kept):
    assert RunFolder(config("run.seed=1", "run.fresh=true")).open() is None
    assert not (kept.path / "summary.json").exists()


def test_a_run_that_is_at_work_is_not_removed_by_a_second_one(config, kept):
    """Neither by run.fresh=true nor by going on with it."""
    with kept:
        for words in (["run.fresh=true"], []):
            with (
                pytest.raises(Halted, match="may only be asleep"),
                RunFolder(config(*words)) as other,
            ):
                other.open()
    assert (kept.path / "summary.json").is_file()
    with RunFolder(config("run.fresh=true")) as other:
        assert other.open() is None


def test_a_run_that_ended_before_its_first_result_is_in_nobody_s_way(config):
    """As after a mistyped `data.path`."""
    RunFolder(config("run.seed=1")).open()
    folder = RunFolder(config())
    assert folder.open() is None
    assert from_yaml(folder.path / "config.yaml").run.seed == 0


def test_a_file_is_replaced_whole_or_not_at_all(kept):
    with pytest.raises(ValueError, match="JSON"):
        kept.write_json("summary.json", {"seconds": float("nan")})
    assert json.loads((kept.path / "summary.json").read_text()) == {"seconds": 1}
