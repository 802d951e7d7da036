"""Bad input from its file to the report: features are finite or masked, and named."""

import json
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

from bot4jax.config import load
from bot4jax.kernels import CATALOGUE
from bot4jax.kernels.history import STALE_BARS
from bot4jax.modes.learning import train
from bot4jax.modes.setting import set_stage
from bot4jax.modes.telling import Played, tell
from bot4jax.modes.trading import Traded, trade_here
from bot4jax.notebook import Bank
from bot4jax.runtime.folder import RunFolder
from tests.modes.ways import silent

WINDOW, TRAIN, CALIBRATE, TEST = 16, 70, 30, 40
START = 1 + (WINDOW + 16) + TRAIN + 6 + CALIBRATE + 6
"""Second of the file at which the test span begins; its first and last are no bars."""
SECONDS = START + TEST + 1
SECOND = 10**9

PLAIN, CROSSED, LOCKED, EMPTY, IDLE, PAUSED, GONE = range(7)
"""Slots: ordinary · ten bids above their ask · ten quotes without a spread · ten quotes
without a size · no trade in the whole test span · no trade in three bars of it · no
word after the first two bars of it."""

HEARD = 2
"""Bars of the test span before `GONE` is."""

UNTRADED = {IDLE: range(TEST), PAUSED: range(3)}
"""Bars of the test span without a trade."""

PLANTED = """
import jax.numpy as jnp

from bot4jax.kernels.moments import mean
from bot4jax.registry import Additive, feature


@feature(
    category="statistical", window=16, unit="1", low=-99.0, high=99.0, source="a test"
)
class CarelessLogarithm(Additive):
    \"\"\"Minus infinity where nothing was traded.\"\"\"

    @staticmethod
    def terms(volume):
        return (jnp.log(volume),)

    @staticmethod
    def finish(total, count):
        return mean(total, count)

    @staticmethod
    def reference(volume):
        return 0.0


@feature(
    category="statistical", window=16, unit="1", low=-99.0, high=99.0, source="a test"
)
class CarelessQuotient(Additive):
    \"\"\"Not a number where nothing was traded.\"\"\"

    @staticmethod
    def terms(volume):
        return (volume / volume,)

    @staticmethod
    def finish(total, count):
        return mean(total, count)

    @staticmethod
    def reference(volume):
        return 0.0
"""
NAMES = (
    "careless_logarithm,careless_quotient,mean,skewness,relative_spread,"
    "effective_spread,kyle_lambda,volume_imbalance,top_size_imbalance,amihud"
)


SCHEMA = {
    "time": pl.Int64,
    "symbol": pl.String,
    "bid": pl.Float64,
    "ask": pl.Float64,
    "bid_size": pl.Float64,
    "ask_size": pl.Float64,
    "price": pl.Float64,
    "size": pl.Float64,
    "side": pl.String,
}


def ticks() -> pl.DataFrame:
    """A quote and a trade a bar and symbol, and what is planted in the test span."""
    random = np.random.default_rng(6)
    rows = [row for slot in range(7) for row in of_slot(random, slot)]
    return pl.DataFrame(rows, schema=SCHEMA).sort("time", maintain_order=True)


def of_slot(random, slot):
    bids = 10_000 + np.cumsum(random.integers(-3, 4, SECONDS))
    end = START + HEARD if slot == GONE else SECONDS
    for second, bid in enumerate(bids[:end].tolist()):
        head = {"time": second * SECOND, "symbol": f"S{slot}"}
        yield head | quote_of(slot, second - START, bid)
        if second - START in UNTRADED.get(slot, ()):
            continue
        head["time"] += SECOND // 2
        size, side = int(random.integers(1, 9)), ("sell", "buy")[second % 2]
        yield head | {"price": bid + 2 * (second % 2), "size": size, "side": side}


def quote_of(slot, late, bid):
    quote = {"bid": bid, "ask": bid + 2, "bid_size": 5, "ask_size": 4}
    if late in range(10, 20):
        quote |= {
            CROSSED: {"bid": bid + 3},
            LOCKED: {"ask": bid},
            EMPTY: {"bid_size": 0},
        }.get(slot, {})
    return quote


class Told(NamedTuple):
    traded: Traded
    summary: dict
    page: str


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Told:
    """The file through feed, engine, gate and venue, to its summary and report."""
    place = tmp_path_factory.mktemp("bad")
    ticks().write_parquet(place / "ticks.parquet")
    (place / "careless.py").write_text(PLANTED)
    features = dict(CATALOGUE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(place)
        setting = set_stage(load(words(place)))
        with RunFolder(setting.config) as folder:
            folder.open()
            learned, kept = train(setting, silent, folder.path)
            traded = trade_here(setting, kept, folder.path, silent)
            tell(folder, setting, Played(learned, kept, traded, None, {}))
    CATALOGUE.clear()
    CATALOGUE.update(features)
    summary = json.loads((folder.path / "summary.json").read_text())
    return Told(traded, summary, (folder.path / "report.html").read_text())


def words(place):
    mapping = ", ".join(f"{name}: {name}" for name in SCHEMA)
    return [
        "debug=tiny",
        "data=columns",
        f"data.path={place}",
        "data.file=ticks.parquet",
        f"data.mapping={{{mapping}}}",
        "data.symbols=0",
        "plugins=[careless]",
        f"features.names=[{NAMES}]",
        f"features.window={WINDOW}",
        f"spans.train={TRAIN}",
        f"spans.calibrate={CALIBRATE}",
        f"spans.test={TEST}",
        "ensemble.members=[gru,trees]",
        "run.name=bad",
        f"run.root={place}",
    ]


def test_what_members_see_is_finite(told):
    assert np.isfinite(told.traded.features).all()
    assert np.isfinite(told.traded.probability).all()


def test_report_and_summary_name_what_was_masked_how_often(told):
    """Every bar of the idle symbol, and the pause for as long as windows hold it."""
    count = TEST + 3 + WINDOW - 1
    assert told.summary["masked"] == {
        "careless_logarithm": count,
        "careless_quotient": count,
    }
    values = TEST * 6 + HEARD
    for name in told.summary["masked"]:
        row = f"<td>{name}</td><td>{count}</td><td>{100 * count / values:.2f} %</td>"
        assert row in told.page
    assert "some of 2 features were masked" in told.page


def test_report_and_summary_name_who_was_silent_how_long(told):
    """They once told of nobody: what was counted were masks of live symbols."""
    bars = TEST - HEARD - STALE_BARS
    assert told.summary["silent"] == {f"S{GONE}": bars}
    assert f"<td>S{GONE}</td><td>{bars}</td>" in told.page
    assert not told.traded.features[TEST - bars :, GONE].any()
    assert told.traded.features[TEST - bars - 1, GONE].any()


def test_ticks_that_cannot_be_are_refused_by_reason(told):
    assert told.summary["ticks"]["dropped"] == 20
    assert "10 crossed ticks" in told.page
    assert "10 size ticks" in told.page


def test_a_quote_without_a_spread_is_a_spread_of_zero():
    names = "features.names=[mean,relative_spread]"
    found = Bank(load([f"features.window={WINDOW}", names, "spans.train=70"]))
    spread = found.transform(ticks()).filter(pl.col("symbol") == f"S{LOCKED}")
    later = spread["relative_spread"][-TEST:].to_numpy()
    assert np.isfinite(later).all()
    assert 0 < later.min() < 0.5 * later[0]


def test_a_day_without_trades_and_returns_that_are_none(tmp_path):
    """Daily bars: not finite, impossible, untraded; such days are silent."""
    days = pl.date_range(
        pl.date(2020, 1, 1), pl.date(2020, 4, 29), "1d", eager=True
    ).to_list()
    random = np.random.default_rng(7)
    closed = 100 * np.exp(np.cumsum(random.normal(0, 0.01, (3, len(days))), 1))
    returns = np.diff(closed, axis=1, prepend=closed[:, :1]) / closed
    volume = np.full(closed.shape, 1_000)
    returns[0, 100:103] = np.nan, np.inf, -np.inf
    volume[:, 110] = 0
    rows = pl.DataFrame(
        {
            "symbol": np.repeat(["A", "B", "C"], len(days)),
            "date": days * 3,
            **dict.fromkeys(("open", "high", "low", "close"), closed.ravel()),
            "volume": volume.ravel(),
            "ret_adj": returns.ravel(),
            "lag_days": np.zeros(closed.size, np.int8),
        }
    )
    floats = ("open", "high", "low", "close", "ret_adj")
    rows.with_columns(pl.col(floats).cast(pl.Float32)).write_parquet(
        tmp_path / "panel.parquet"
    )
    names = "features.names=[mean,skewness,rank_of_volume,amihud]"
    words = ["data=daily", f"data.path={tmp_path}", "features.window=16", names]
    found = Bank(load([*words, "spans.train=60"])).transform()
    values = found.drop("time", "symbol").to_numpy()
    assert not np.isinf(values).any()
    late = values.reshape(len(days), 3, -1)[40:]
    assert np.isfinite(late).all()
    assert np.abs(late).max() < 20
