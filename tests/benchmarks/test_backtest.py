"""A backtest's passes are timed once both ways through the engine say the same."""

import pytest

from benchmarks import backtest
from bot4jax.config import load
from bot4jax.errors import Bot4JaxError
from tests.small_stage import SMALL_STAGE

BARS, DECISIONS = 20, 20 * 16


@pytest.fixture(scope="module")
def config():
    """On a stage that is set up once."""
    with pytest.MonkeyPatch.context() as patch:
        own = load(SMALL_STAGE)
        built = backtest.set_up(own, BARS, backtest.silent)
        patch.setattr(backtest, "BARS", BARS)
        patch.setattr(backtest, "set_up", lambda *told: built)
        yield own


def test_both_ways_are_timed(config):
    found = backtest.measure(config, 2, 1, backtest.silent)
    by_key = {(row.stage, row.unit): row for row in found.rows}
    ways, units = ("exact", "research"), ("ms", "bars/s", "decisions/s")
    assert set(by_key) == {(way, unit) for way in ways for unit in units}
    for way in ways:
        times, bars, decisions = (by_key[way, unit] for unit in units)
        assert (times.n, times.warmup) == (2, 1)
        assert bars.p50 == pytest.approx(1e3 * BARS / times.p50, rel=1e-4)
        assert decisions.p50 == pytest.approx(1e3 * DECISIONS / times.p50, rel=1e-4)


def test_a_way_that_says_otherwise_is_not_timed(config, monkeypatch):
    scanned = backtest.scanned
    monkeypatch.setattr(backtest, "scanned", lambda *told: 1 - scanned(*told))
    with pytest.raises(Bot4JaxError, match="research differs from ours"):
        backtest.measure(config, 1, 0, backtest.silent)
