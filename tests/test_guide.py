"""What the guide shows is run: its notebook, and the features it adds."""

import datetime
import re

import numpy as np
import polars as pl
import pytest

from bot4jax import plugins
from tests.checks import CHECKS, Evidence


@pytest.fixture(scope="module")
def guide(project) -> str:
    return (project / "docs" / "guide.md").read_text()


def examples(guide: str, heading: str) -> list[str]:
    """The Python blocks below a heading, down to the next one."""
    below = guide.split(f"{heading}\n", 1)[1]
    part = re.split(r"^##", below, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```python\n(.*?)^```", part, re.MULTILINE | re.DOTALL)


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
    specs = plugins.chosen([module("guide_features", text)], names)
    evidence = Evidence(specs, window=64)
    for spec in specs:
        for check in CHECKS:
            check(spec, evidence)
