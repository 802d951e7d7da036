"""A market without quotes: what is believed of its spread is what its venue charges."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from bot4jax.config import load
from bot4jax.kernels import bars
from bot4jax.kernels.sizing import SizingParams
from bot4jax.learn import params, research
from bot4jax.learn.borrowing import Lending
from bot4jax.learn.dataset import BarRecord, Dataset, record_bars
from bot4jax.learn.labelling import label_as_configured
from bot4jax.learn.room import boundless
from bot4jax.modes.keeping import anchors_of
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.tapes import closed_bars
from bot4jax.state import init_observing
from bot4jax.types import QUOTE

SYMBOLS, BARS, HORIZON = 3, 240, 5
HALF_BPS, FEE_BPS = 5.0, 1.0
PENNY = 2
"""Slot of a share of half a dollar in whole cents: no spread of it is below two."""

WORDS = [
    "debug=tiny",
    "data=columns",
    "data.file=bars.csv",
    "data.bar_seconds=60",
    "data.symbols=0",
    "data.mapping={symbol: s, time: t, open: o, high: h, low: l, close: c, volume: v}",
    "features.names=[mean,standard_deviation]",
    "features.fallback=[mean]",
    "features.window=16",
    "spans.train=120",
    "spans.calibrate=20",
    "spans.test=30",
    "ensemble.members=[gru]",
    f"labels.horizon={HORIZON}",
    "labels.threshold=cost",
    f"venue.half_spread_bps={HALF_BPS}",
    f"venue.taker_fee_bps={FEE_BPS}",
]


class Seen(NamedTuple):
    """A market that was read once, and the quotes that its venue made of it."""

    setting: Setting
    data: Dataset
    record: BarRecord
    quotes: np.ndarray


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> Seen:
    folder = tmp_path_factory.mktemp("quoteless")
    rng = np.random.default_rng(1)
    moved = np.exp(np.cumsum(rng.normal(0, 0.004, (BARS, SYMBOLS)), axis=0))
    close = np.round(moved * [40.0, 250.0, 0.5], 2)
    rows = {
        "s": np.tile(["A", "B", "C"], BARS),
        "t": np.repeat(60 * 10**9 * np.arange(1, BARS + 1), SYMBOLS),
        **{name: close.ravel() for name in "ohlc"},
        "v": rng.integers(100_000, 900_000, BARS * SYMBOLS),
    }
    pl.DataFrame(rows).write_csv(folder / "bars.csv")
    setting = set_stage(load([*WORDS, f"data.path={folder}"]))
    quotes = []
    _, closed = closed_bars(
        setting,
        bars.init_bars(anchors_of(setting)),
        *(0, setting.split.test.stop),
        hear=lambda records, events=(): quotes.append(records),
    )
    kept = ((np.asarray(one.ints), np.asarray(one.floats)) for one in closed)
    record = record_bars(0, kept)
    _, _, data = params.prepare(
        *(setting.config, setting.settings, setting.engine, record, setting.split),
        lambda *told: None,
    )
    return Seen(setting, data, record, np.concatenate(quotes))


def test_every_bar_shows_the_venue_s_own_half_spread(seen):
    """Of the quotes around each closing, in whole increments, of dear and cheap."""
    bar_ns, start_ns = seen.setting.source.bar_ns, seen.setting.source.start_ns
    quotes = seen.quotes[seen.quotes["kind"] == QUOTE]
    closing = quotes[(quotes["event_ns"] - start_ns) % bar_ns == bar_ns - 1]
    assert len(closing) == seen.data.live.sum()
    t = (closing["event_ns"] - start_ns) // bar_ns
    charged = (closing["b"] - closing["a"]) / (closing["b"] + closing["a"])
    believed = seen.data.half_spread[t, closing["symbol"]]
    # one float32 quotient
    np.testing.assert_allclose(believed, charged, rtol=1e-6)
    dear = believed[closing["symbol"] != PENNY]
    # the spread of 40 dollars is 2 cents, to a cent; that of 250 is 12.5
    np.testing.assert_allclose(dear, HALF_BPS * 1e-4, rtol=0.3)
    assert (believed[closing["symbol"] == PENNY] > 100e-4).all()


def test_the_fallback_s_glance_believes_the_same(seen):
    setting = seen.setting
    scales = params.dataset.fit_scales(seen.record, setting.split.train)
    scaler = params.init_scaler(len(setting.settings.plan.specs))
    units = params.Units(scales, scaler, jnp.float32(6), jnp.int32(0))
    state = setting.engine.apart(init_observing(setting.settings, scales))
    _, found = setting.engine.glance(
        units, state, seen.record.ints[0], seen.record.floats[0]
    )
    np.testing.assert_array_equal(found.half_spread, seen.data.half_spread[0])


def test_the_edge_of_classes_is_what_a_round_trip_is_charged(seen):
    setting, data = seen.setting, seen.data
    found = label_as_configured(setting.config, data, setting.split.train, HORIZON)
    rows = slice(setting.split.train.start, setting.split.train.stop - HORIZON)
    counted = found.weights[rows] > 0
    paid = 2 * (data.half_spread[rows] + FEE_BPS * 1e-4)
    spread = data.volatility[rows] * np.sqrt(HORIZON)
    # k is a weighted median, and its weights are all but equal here
    expected = np.median((paid / spread)[counted])
    assert found.threshold == pytest.approx(expected, rel=0.02)
    assert found.threshold * np.median(spread[counted]) > 10e-4


def sizing_params(mean: float) -> SizingParams:
    """Who is sure of up, which is worth `mean` volatilities, and nothing bounds him."""
    number, each = jnp.float32, jnp.full(SYMBOLS, FEE_BPS * 1e-4, jnp.float32)
    return SizingParams(
        class_mean=jnp.asarray([-mean, 0, mean], jnp.float32),
        class_square=jnp.ones(3, jnp.float32),
        kelly=number(0.25),
        fee=each,
        symbol_cap=number(1),
        gross_cap=number(10),
        net_cap=number(10),
        volatility_cap=number(10),
    )


def held(data: Dataset, gain: float) -> np.ndarray:
    """What is held of a forecast that is worth `gain` of the price in every bar."""
    scale = np.float32(2e-3)
    flat = data._replace(
        volatility=np.full_like(data.volatility, scale),
        market_volatility=np.full_like(data.market_volatility, scale),
    )
    up = np.broadcast_to(np.float32([0, 0, 1]), (*data.volatility.shape, 3))
    own = sizing_params(gain / (scale * HORIZON**0.5))
    sure = np.ones(data.volatility.shape, np.float32)
    room = boundless(data.live.shape)
    return research.holdings(own, HORIZON, 0.0, flat, up, sure, room)


def test_a_gain_below_the_whole_cost_opens_nothing(seen):
    """Three basis points cover the fee, not the spread; what covers both trades."""
    dear = [slot for slot in range(SYMBOLS) if slot != PENNY]
    assert not held(seen.data, 3e-4).any()
    assert held(seen.data, 20e-4)[:, dear].any(0).all()
    assert not held(seen.data, 20e-4)[:, PENNY].any()


def test_a_scan_pays_what_the_venue_charges(seen):
    """A share of one bought in the first bar and kept: in and out, at each price."""
    targets = np.zeros(seen.data.live.shape)
    targets[:, 0] = 1.0
    fee, nobody = np.full(SYMBOLS, FEE_BPS * 1e-4), np.zeros(SYMBOLS)
    lending = Lending(nobody, np.zeros(len(targets), bool))
    room = boundless(targets.shape)
    book = research.book(targets, seen.data, fee, lending, room)
    paid = seen.data.half_spread[[0, -1], 0].sum() + 2 * FEE_BPS * 1e-4
    assert book.cost.sum() == pytest.approx(paid)
    assert book.cost.sum() == pytest.approx(2 * (HALF_BPS + FEE_BPS) * 1e-4, rel=0.3)
