"""Stylised facts: right on planted tapes, sane on the simulator and on captures."""

import numpy as np
import pytest
from scipy.stats import kurtosis
from statsmodels.tsa.stattools import acf

from bot4jax.data import stylised
from bot4jax.data.binance import Binance
from bot4jax.data.simulator import Simulator
from bot4jax.data.source import DataError
from bot4jax.data.universe import universe
from bot4jax.types import BUY, QUOTE, SELL, TICK, TRADE, UNKNOWN_SIDE, Frame, Instrument

BAR_NS = 1_000


class Planted:
    """A source of given records, two symbols, bars of a microsecond."""

    universe = universe([Instrument(symbol="A"), Instrument(symbol="B")])
    columns = ()
    simulated = has_ticks = True
    start_ns, bar_ns = 5_000, BAR_NS
    anchors = np.zeros(2, np.int64)

    def __init__(self, records, bars):
        self.records, self.bar_count = records, bars

    def frames(self, first, stop):
        order = np.argsort(self.records["event_ns"], kind="stable")
        yield Frame(1, 1, 0, 0, self.records[order])

    def bars(self, first, stop):
        return iter(())


def ticks(kind, symbol, times, **columns):
    """Records of one kind and symbol; times since the start of bar 0."""
    records = np.zeros(len(times), TICK)
    records["kind"], records["symbol"] = kind, symbol
    records["event_ns"] = Planted.start_ns + np.asarray(times)
    for name, values in columns.items():
        records[name] = values
    return records


def collected(*parts, bars):
    quote = ticks(QUOTE, 0, [0], a=100, b=102)
    trade = ticks(TRADE, 0, [0], a=100, side=UNKNOWN_SIDE)
    records = np.concatenate([*parts, quote, trade])
    return stylised.collect(Planted(records, bars), 0, bars)


class TestPlanted:
    def test_sign_autocorrelation_of_one_symbol(self):
        rng = np.random.default_rng(0)
        signs = np.sign(np.convolve(rng.normal(size=3000), np.ones(4), "same"))
        sides = np.where(signs > 0, BUY, SELL)
        tape = collected(ticks(TRADE, 1, np.arange(3000), side=sides, a=5), bars=3)
        expected = np.asarray(acf(signs, nlags=6), float)[1:]
        own = stylised.sign_autocorrelation(tape, 6)
        # the oracle divides by n, we by the number of pairs
        np.testing.assert_allclose(own, expected, atol=0.003)

    def test_sign_autocorrelation_keeps_symbols_apart(self):
        """Interleaved in time: one symbol alternates, the other comes in pairs."""
        sides = np.array([BUY, SELL] * 50), np.array([BUY, BUY, SELL, SELL] * 25)
        tape = collected(
            ticks(TRADE, 0, np.arange(1, 200, 2), side=sides[0], a=5),
            ticks(TRADE, 1, np.arange(2, 201, 2), side=sides[1], a=5),
            bars=1,
        )
        own = stylised.sign_autocorrelation(tape, 2)
        np.testing.assert_allclose(own, [-0.5 + 0.5 / 99, 0.0], atol=1e-9)

    def test_excess_kurtosis_of_bar_returns(self):
        rng = np.random.default_rng(1)
        mids = 2 * np.round(1e6 * np.exp(np.cumsum(1e-3 * rng.standard_t(4, 400))))
        mids = mids.astype(int)
        times = np.arange(400) * BAR_NS + 500
        tape = collected(
            ticks(QUOTE, 1, times, a=mids // 2 - 1, b=mids // 2 + 1), bars=400
        )
        expected = kurtosis(np.diff(np.log(mids)))
        own = stylised.excess_kurtosis(tape)
        assert own == pytest.approx(expected)  # the other symbol never moves

    def test_mean_spread(self):
        tape = collected(ticks(QUOTE, 1, [3], a=995, b=1005), bars=1)
        first = 2e4 * 2 / 202
        assert stylised.mean_spread_bps(tape) == pytest.approx((100 + first) / 2)

    def test_signature_of_a_bounce_falls_as_the_interval_grows(self):
        """Of a walk of variance 9 a bar, with a bounce of ±1: 9 + 2 / interval."""
        rng = np.random.default_rng(2)
        steps = 200_000
        walk = np.cumsum(rng.normal(size=steps) * 8**-0.5) * 3
        price = 1e6 + walk + rng.choice([-1, 1], steps)
        times = np.arange(steps) * (BAR_NS // 8)
        tape = collected(
            ticks(TRADE, 1, times, a=np.rint(price * 1e3), side=BUY), bars=steps // 8
        )
        own = stylised.signature(tape, (0.125, 0.5, 1.0, 4.0)) * 1e12
        # mean of two symbols, of which one stands still
        expected = (9 + 2 / np.array([0.125, 0.5, 1.0, 4.0])) / 2
        np.testing.assert_allclose(own, expected, rtol=0.05)

    def test_trade_counts(self):
        tape = collected(ticks(TRADE, 1, [0, 999, 1000, 2999], a=5), bars=3)
        np.testing.assert_array_equal(
            stylised.trade_counts(tape), [[1, 2], [0, 1], [0, 1]]
        )
        # deviations 2/3 −1/3 −1/3 in both columns; lag products −2/9 + 1/9
        assert stylised.count_autocorrelation(tape) == pytest.approx(-1 / 6)
        dispersion = (2 / 9) / (1 / 3), (2 / 9) / (4 / 3)
        assert stylised.count_dispersion(tape) == pytest.approx(np.mean(dispersion))

    def test_ticks_of_other_bars_do_not_count(self):
        records = ticks(QUOTE, 0, [0, 1000, 2000], a=1, b=3)
        trades = ticks(TRADE, 0, [0, 1000, 2000], a=1)
        tape = stylised.collect(Planted(np.concatenate([records, trades]), 3), 1, 2)
        assert tape.records["event_ns"].tolist() == [6_000, 6_000]

    def test_bars_without_trades_are_refused(self):
        quotes = ticks(QUOTE, 0, [0], a=1, b=3)
        with pytest.raises(DataError, match=r"No trades in bars 0 … 0: ask for more"):
            stylised.collect(Planted(quotes, 1), 0, 1)


class TestMarkets:
    def test_simulator_lies_in_the_sane_region(self):
        seeds = [
            stylised.facts(Simulator(symbols=64, bars=300, seed=seed), 0, 300)
            for seed in range(3)
        ]
        for seen in seeds:
            check(seen)
        # the common factor of one short market leaves an error of two percent
        signature = np.mean([seen.signature for seen in seeds], axis=0)
        assert (np.diff(signature[: stylised.INTERVALS.index(1.0) + 1]) < 0).all()
        assert signature[0] > 1.02

    def test_default_knobs_show_in_the_facts(self):
        seen = stylised.facts(Simulator(symbols=32, bars=200, spread_bps=3.0), 0, 200)
        assert seen.mean_spread_bps == pytest.approx(3.3, rel=0.2)

    def test_normal_returns_without_their_causes(self):
        calm = Simulator(
            symbols=64, bars=300, stochastic_volatility=False, jumps=False, halts=False
        )
        seen = stylised.facts(calm, 0, 300)
        assert seen.excess_kurtosis == pytest.approx(0, abs=0.1)

    @pytest.mark.parametrize("market", ["usdm", "spot", "coinm"])
    def test_captures_lie_in_the_sane_region_too(self, market, data_root):
        source = Binance(data_root / "binance" / market, bar_seconds=1.0)
        seen = stylised.facts(source, 0, source.bar_count)
        assert seen.sign_autocorrelation[0] > 0.5
        assert decays(seen.sign_autocorrelation)
        assert seen.excess_kurtosis > 1
        assert 0.01 < seen.mean_spread_bps < 0.2
        assert seen.count_autocorrelation > 0
        assert seen.count_dispersion > 1


def check(seen):
    assert seen.sign_autocorrelation.min() > 0
    assert decays(seen.sign_autocorrelation)
    assert seen.sign_autocorrelation[0] > 0.3
    assert 0.5 < seen.excess_kurtosis < 50
    assert 0.9 < seen.mean_spread_bps < 1.5
    assert seen.count_autocorrelation > 0.1
    assert seen.count_dispersion > 1


def decays(autocorrelation):
    """Falls over each five lags: neighbours may differ by noise."""
    return (np.diff(autocorrelation[::5]) < 0).all()
