"""What the guide shows is run: its notebook, and the features it adds."""

import datetime
import json
import re

import jax
import numpy as np
import polars as pl
import pytest

from bot4jax import plugins
from bot4jax.config import load
from bot4jax.errors import ConfigError
from bot4jax.kernels import CATALOGUE
from bot4jax.modes import certify
from bot4jax.modes.setting import net_sizes, set_stage
from bot4jax.nets import zoo
from bot4jax.registry import select
from bot4jax.types import CLASSES
from tests.checks import CHECKS, Evidence


@pytest.fixture(scope="module")
def guide(project) -> str:
    return (project / "docs" / "guide.md").read_text()


def examples(guide: str, heading: str) -> list[str]:
    """The Python blocks below a heading, down to the next one."""
    below = guide.split(f"{heading}\n", 1)[1]
    part = re.split(r"^##", below, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```python\n(.*?)^```", part, re.MULTILINE | re.DOTALL)


def test_the_members_are_as_large_as_the_table_says(guide):
    """Both presets, from the code, with all features."""
    columns = []
    for preset in ("cpu", "full"):
        config = load([f"preset={preset}"])
        sizes = net_sizes(config)
        shapes = jax.eval_shape(lambda own=sizes: zoo.init(own, len(CATALOGUE), 0))
        counts = zoo.parameter_counts(sizes, shapes)
        trees = config.trees.rounds * len(CLASSES), config.trees.depth
        columns.append(
            [*(f"{n:,}" for n in counts.values()), "{} of {}".format(*trees)]
        )
        assert config.features.names == "all"
    assert f"with all {len(CATALOGUE)} features" in guide
    names = "stem, which all nets share", "lstm", "gru", "cnn", "transformer"
    names += "heads, one a net", "all nets", "trees, at most"
    for name, small, large in zip(names, *columns, strict=True):
        row = f"| {name} | {small} | {large} |"
        assert row in guide.replace(" levels |", " |"), row


def test_the_notebook_runs(guide, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    path = 100 + np.cumsum(random.integers(-3, 4, 220)) / 100
    start, minute = datetime.datetime(2024, 8, 9), datetime.timedelta(minutes=1)
    pl.DataFrame(
        {
            "time": [start + i * minute for i in range(len(path))],
            "symbol": "BTCUSDT",
            "open": path,
            "high": path + 0.01,
            "low": path - 0.01,
            "close": path,
            "volume": random.integers(1, 9, len(path)),
        }
    ).write_parquet("bars.parquet")
    (example,) = examples(guide, "## Features in a notebook")
    told: dict = {}
    exec(example, told)
    last = told["features"].tail(1)
    assert last.columns == ["time", "symbol", "mean", "sample_entropy", "rsi_14"]
    assert 0 <= last["rsi_14"].item() <= 100
    assert not last.null_count().sum_horizontal().item()


def test_the_features_keep_every_promise(guide, module):
    text = "\n".join(examples(guide, "### Without touching ours"))
    names = ["share_of_rises", "share_of_calm"]
    plugins.load([module("guide_features", text)])
    specs = select(names)
    evidence = Evidence(specs, window=64)
    for spec in specs:
        for check in CHECKS:
            check(spec, evidence)


def test_a_member_and_a_source_are_certified(guide, module, tmp_path, capsys):
    """The net and the market of the guide, together, by the command that it shows."""
    names = [
        module(name, "\n".join(examples(guide, heading)))
        for name, heading in (
            ("guide_member", "## Adding a member"),
            ("guide_market", "### A source of a plugin"),
        )
    ]
    words = [f"plugins=[{','.join(names)}]", "data=plugin", "data.name=coins"]
    words += ["ensemble.members=[fading,trees]", "features.names=[mean,rsi_14]"]
    words += ["mode=certify", "debug=tiny", f"run.root={tmp_path}"]
    assert certify.certify(load(words)) == 0, capsys.readouterr().out
    path = tmp_path / "certify-plugin" / "certificate.json"
    rows = json.loads(path.read_text())["rows"]
    own = {row["check"] for row in rows if row["name"] == "fading"}
    assert {"parity", "future", "slot"} <= own


def test_a_name_that_no_plugin_registers_is_told(guide, module):
    text = "\n".join(examples(guide, "## Adding a member"))
    plugin = f"plugins=[{module('guide_net', text)}]"
    with pytest.raises(ConfigError, match="no plugin registers 'fadin'"):
        net_sizes(load([plugin, "ensemble.members=[fadin]"]))
    words = [plugin, "data=plugin", "data.name=coin"]
    with pytest.raises(ConfigError, match="no plugin registers a source 'coin'"):
        set_stage(load(words))
