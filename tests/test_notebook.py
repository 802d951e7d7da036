"""A researcher's columns are those that the engine serves, to the bit."""

import datetime

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from bot4jax import notebook
from bot4jax.certify.records import raw_units
from bot4jax.config import load
from bot4jax.data.source import DataError
from bot4jax.kernels import CATALOGUE
from bot4jax.learn.dataset import fit_scales, observe_bars
from bot4jax.notebook import Bank
from bot4jax.state import init_observing

BARS, SYMBOLS = 200, ("AAA", "BBB", "CCC")
NAMES = [
    "mean",  # additive
    "sample_entropy",  # incremental
    "relative_power_3",  # shared
    "donchian_position",  # windowed
    "rank_of_return",  # across symbols
    "effective_spread",  # absent: bars show no trades' sides
]
WORDS = (
    "features.window=32",
    f"features.names=[{','.join(NAMES)}]",
    "spans.train=100",
    "data.bar_seconds=60",
)
HOLE = slice(120, 123)
"""Bars that the second symbol misses."""
STEP = datetime.timedelta(minutes=1)


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """Bars of three symbols, the third flat; the second has a hole."""
    random = np.random.default_rng(3)
    parts = [bars_of(random, name) for name in SYMBOLS]
    kept = np.setdiff1d(np.arange(BARS), np.arange(BARS)[HOLE])
    return pl.concat([parts[0], parts[1][kept], parts[2]])


def bars_of(random, name):
    moves = 0 if name == "CCC" else random.integers(-5, 6, (BARS, 4))
    path = 10_000 + np.cumsum(np.broadcast_to(moves, (BARS, 4)).ravel()).reshape(-1, 4)
    start = datetime.datetime(2024, 8, 9)
    return pl.DataFrame(
        {
            "time": [start + i * STEP for i in range(BARS)],
            "symbol": name,
            "open": path[:, 0] / 100,
            "high": path.max(1) / 100,
            "low": path.min(1) / 100,
            "close": path[:, 3] / 100,
            "volume": random.integers(0, 50, BARS),
        }
    )


@pytest.fixture(scope="module")
def found(frame) -> pl.DataFrame:
    return Bank(load(WORDS)).transform(frame)


def served(config, frame):
    """The same bars through the executable that serves, one call a bar."""
    setting = notebook.staged(config, frame)
    record = notebook.recorded(setting)
    scales = fit_scales(record, setting.split.train)
    units = raw_units(setting.settings, scales, jnp.int32(0))
    state = init_observing(setting.settings, scales)
    _, data = observe_bars(
        setting.engine.observe, units, state, record, lambda done: None
    )
    return data


def test_a_row_is_a_bar_and_a_symbol(found, frame):
    assert found.columns == ["time", "symbol", *[s for s in CATALOGUE if s in NAMES]]
    assert found.height == BARS * len(SYMBOLS)
    assert found["symbol"][:3].to_list() == list(SYMBOLS)
    joined = frame.with_columns(pl.col("time").cast(pl.Datetime("ns"))).join(
        found, on=["time", "symbol"], how="left"
    )
    assert joined["mean"].null_count() == joined.height - found["mean"].count() + 3


def test_a_scan_is_the_stream_to_the_bit(found, frame):
    data = served(load(WORDS), frame)
    names = [spec for spec in CATALOGUE if spec in NAMES]
    for i, name in enumerate(names):
        own = found[name].to_numpy().reshape(BARS, -1)
        usable = data.usable[:, :, i]
        np.testing.assert_array_equal(~np.isnan(own), usable)
        np.testing.assert_array_equal(own[usable], data.features[:, :, i][usable])
        assert usable.any() == (name != "effective_spread")


def test_a_file_is_its_frame(found, frame, tmp_path):
    renamed = frame.rename({"close": "last", "time": "ts"})
    renamed.write_parquet(tmp_path / "bars.parquet")
    mapping = "symbol: symbol, time: ts, close: last, open: open, high: high, low: low"
    words = (
        "data=columns",
        "data.file=bars.parquet",
        f"data.path={tmp_path}",
        f"data.mapping={{{mapping}, volume: volume}}",
    )
    for market in (tmp_path / "bars.parquet", None):
        again = Bank(load([*words, *WORDS])).transform(market)
        assert again.equals(found)


def test_bars_behind_training_know_nothing_of_what_follows(found, frame):
    """Units come from the training span; a value, from its own past."""
    turn = 32 + 16 + 100 + 20
    other = frame.with_columns(
        pl.when(pl.col("time") < frame["time"][turn])
        .then(pl.col("close"))
        .otherwise(pl.col("low"))
        .alias("close")
    )
    changed = Bank(load(WORDS)).transform(other)
    rows = turn * len(SYMBOLS)
    assert changed[:rows].equals(found[:rows])
    assert not changed[rows:].equals(found[rows:])


def test_ticks_show_what_bars_do_not():
    random = np.random.default_rng(4)
    bid = 100 + np.cumsum(random.integers(-1, 2, 400)) / 100
    ticks = pl.DataFrame(
        {
            "time": np.arange(400) * 500_000_000,
            "bid": bid.round(2),
            "ask": (bid + 0.02).round(2),
            "bid_size": random.integers(1, 9, 400),
            "ask_size": random.integers(1, 9, 400),
        }
    )
    words = ("features.window=16", "features.names=[mean,relative_spread]")
    found = Bank(load([*words, "spans.train=100"])).transform(ticks)
    spread = found["relative_spread"].drop_nulls()
    assert len(spread) == found.height - 15
    assert found.height > 190
    np.testing.assert_allclose(spread, 0.02 / 100, rtol=0.05)


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (lambda f: f.drop("close"), "lacks close.*Found: time, symbol, open"),
        (lambda f: f.rename({"time": "date"}), "lacks time.*Found: date"),
        (
            lambda f: f.with_columns(close=pl.lit("dear")),
            "frame, row 0, close .*'dear' was found, a finite price",
        ),
        (lambda f: f.reverse(), "a time later than the row before was expected"),
        (
            lambda f: f.with_columns(high=pl.col("low") / 2),
            "AAA, row 0.*low ≤ open, close ≤ high was expected",
        ),
        (lambda f: f[:100], "100 bars of 60 s were found, 148 are needed"),
        (lambda f: f[:0], "holds no rows"),
    ],
)
def test_what_is_wrong_with_a_frame_is_named(frame, spoilt, message):
    with pytest.raises(DataError, match=message):
        Bank(load(WORDS)).transform(spoilt(frame))
