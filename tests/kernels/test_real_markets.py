"""Every feature on recorded markets: the bank beside definition and outside truth.

A stretch of each: Binance ticks with books, US ticks that tell no aggressors, daily
bars of shares. Planted edges are in `test_features`; here is what nobody planted:
prices on a grid, lots, bursts, silence, ties.
"""

from typing import NamedTuple

import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.kernels import CATALOGUE, bars, reading
from bot4jax.learn.dataset import BarRecord, fit_scales, record_bars
from bot4jax.modes.keeping import anchors_of
from bot4jax.modes.setting import set_stage
from bot4jax.modes.tapes import closed_bars
from bot4jax.registry import arguments
from bot4jax.types import BAR_FLOATS, BAR_INTS
from tests import recorded
from tests.checks import CHUNK, SYMBOLS, Evidence, check_is_finite
from tests.oracles.features import ORACLES

SPECS = list(CATALOGUE.values())

SLOTS = SYMBOLS
"""Of every market, so that all run through one compiled bank; empty ones are dead."""

PAIRS = 12
"""Symbols and bars at which a feature is compared."""


class Market(NamedTuple):
    """What is read, and how many of its bars."""

    data: str
    folder: str
    """below `BOT4JAX_DATA`"""
    bars: int


MARKETS = {
    "binance": Market("binance", "binance/usdm", 10 * CHUNK),
    "us_ticks": Market("lean", "us_ticks", 15 * CHUNK),
    "us_daily": Market("daily", "us_daily", 5 * CHUNK),
}


class Replayed(Evidence):
    """A recorded market in the bank; units are fitted on all of its bars."""

    def __init__(
        self, record: BarRecord, filled: tuple[str, ...], compiled: Evidence
    ) -> None:
        columns = [record.column(name) for name in (*BAR_INTS, *BAR_FLOATS)]
        super().__init__(SPECS, recorded.of_columns(columns))
        scales = fit_scales(record, range(len(record.ints)))
        self.units = recorded.Units(*(np.asarray(one) for one in scales))
        self.chunk, self.filled = compiled.chunk, filled
        self.rng = np.random.default_rng(5)

    def is_fed(self, spec) -> bool:
        layout = self.plan.layout._replace(columns=self.filled)
        return not reading.missing(spec, layout)

    def windows(self, spec):
        """Live and warm ones, drawn; the last bar of the first symbol is among them."""
        warm = (self.columns.age >= self.reach(spec)) & (self.bars.live > 0)
        found = np.argwhere(warm)
        assert len(found) >= PAIRS
        drawn = self.rng.choice(len(found), PAIRS - 1, replace=False)
        return [(int(s), int(bar)) for bar, s in (*found[drawn], found[-1])]


def recorded_market(market: Market, folder, compiled: Evidence) -> Replayed:
    """Its first bars, as any run would build them."""
    options = f"data={market.data}", f"data.path={folder}", f"data.symbols={SLOTS}"
    setting = set_stage(load(options))
    open_bars = bars.init_bars(anchors_of(setting))
    _, closed = closed_bars(setting, open_bars, 0, market.bars)
    record = record_bars(0, ((one.ints, one.floats) for one in closed))
    return Replayed(padded(record), tuple(setting.source.columns), compiled)


def padded(record: BarRecord) -> BarRecord:
    """The record with slots behind its own that never speak, at a price of 1."""
    empty = SLOTS - record.ints.shape[2]
    ints, floats = (
        np.pad(x, ((0, 0), (0, 0), (0, empty))) for x in (record.ints, record.floats)
    )
    floats[:, BAR_FLOATS.index("anchor"), SLOTS - empty :] = 1
    return BarRecord(record.first, ints, floats)


@pytest.fixture(scope="module", params=MARKETS)
def market(request, data_root, tmp_path_factory, evidence):
    own = MARKETS[request.param]
    folder = data_root / own.folder
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: it holds the recorded market")
    if own.data == "lean":
        folder = recorded.one_day(folder, tmp_path_factory.mktemp("us_ticks"))
    return recorded_market(own, folder, evidence)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_feature_on_a_recorded_market(spec, market):
    if not market.is_fed(spec):
        pytest.skip("this market does not fill what the feature reads")
    check_is_finite(spec, market)
    oracle, (values, _) = ORACLES[spec.name], market.of(spec, market.whole)
    for symbol, bar in market.windows(spec):
        said = values[bar, symbol]
        defined = spec.reference(market.asked(spec, symbol, bar))
        assert close(said, defined, spec.tolerance), f"defined {defined} {symbol} {bar}"
        names = arguments(oracle.value)
        truth = oracle.value(**market.asked(spec, symbol, bar, names))
        if np.isnan(truth):
            assert oracle.undefined, f"{spec.name} is undefined at {symbol}, {bar}"
        else:
            assert close(said, truth, spec.tolerance), f"truth {truth} {symbol} {bar}"


def close(said, truth, tolerance):
    return abs(said - truth) <= tolerance * max(1, abs(truth))
