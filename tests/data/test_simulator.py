"""The simulated market: repeatable, well formed, as true as its knobs promise."""

from itertools import pairwise

import numpy as np
import pytest

from bot4jax.data import bound, latent, tape
from bot4jax.data.quotes import Edge
from bot4jax.data.simulator import TRANSIT_NS, Simulator
from bot4jax.data.source import DataError
from bot4jax.types import (
    BOOK,
    BUY,
    HALTED,
    LEVELS,
    QUOTE,
    STATUS,
    TICK,
    TRADE,
    TRADING,
    Bar,
)


@pytest.fixture(scope="module")
def market():
    """Small, with enough halts and jumps to meet them."""
    simulator = Simulator(symbols=64, bars=240, seed=3)
    assert simulator.halted.any()
    assert simulator.latent.jump.any()
    return simulator


@pytest.fixture(scope="module")
def records(market):
    """All ticks of it, a bar an entry."""
    return [market.ticks(bar) for bar in range(market.bar_count)]


@pytest.fixture(scope="module")
def wide_market():
    """Large enough to measure its knobs; only the hidden path is used."""
    return Simulator(symbols=512, bars=600, seed=5)


def sent(simulator, first, stop, **options):
    return np.concatenate(
        [frame.records for frame in simulator.frames(first, stop, **options)]
    ).tobytes()


class TestRepeatability:
    def test_one_seed_is_one_market(self, market, records):
        again = Simulator(symbols=64, bars=240, seed=3)
        assert sent(again, 0, 240) == np.concatenate(records).tobytes()
        np.testing.assert_array_equal(again.mids, market.mids)
        assert again.universe.hash == market.universe.hash

    def test_any_split_and_any_order_give_the_same_bytes(self, market, records):
        whole = np.concatenate(records).tobytes()
        for cuts in ([0, 1, 2, 100, 240], [0, 239, 240]):
            parts = [
                sent(market, first, stop, frame_records=77)
                for first, stop in reversed(list(pairwise(cuts)))
            ]
            assert b"".join(reversed(parts)) == whole

    def test_two_seeds_differ(self, records):
        other = Simulator(symbols=64, bars=240, seed=4)
        assert other.ticks(7).tobytes() != records[7].tobytes()
        assert other.universe.hash != Simulator(symbols=64, bars=1).universe.hash

    def test_bar_streams_differ_from_each_other_and_from_the_path(self):
        draws = [
            latent.generator(0, part, bar).random()
            for part in range(1, 13)
            for bar in (None, 0, 1, 2)
        ]
        assert len(set(draws)) == len(draws)


class TestFrames:
    def test_count_their_records_without_a_gap(self, market):
        expected = 0
        for frame in market.frames(0, 240):
            assert frame.sequence == expected
            assert len(frame.records) <= 256
            expected += len(frame.records)
        assert expected == market.sequence[-1]

    def test_begin_in_the_middle_with_the_right_sequence(self, market, records):
        first = next(market.frames(100, 101))
        assert first.sequence == sum(len(one) for one in records[:100])

    def test_are_sorted_by_event_time_and_stay_inside_their_bar(self, market):
        for bar in (0, 1, 120, 239):
            (frame, _) = market.frames(bar, bar + 1, frame_records=10**6)
            opens = market.start_ns + bar * market.bar_ns
            assert (np.diff(frame.records["event_ns"]) >= 0).all()
            assert frame.records["event_ns"][0] >= opens
            assert frame.records["event_ns"][-1] < opens + market.bar_ns
            assert frame.sent_ns == frame.records["event_ns"][-1] + TRANSIT_NS

    def test_end_with_a_heartbeat_at_the_boundary(self, market):
        last = list(market.frames(10, 12))[-1]
        assert len(last.records) == 0
        assert last.records.dtype == TICK
        assert last.sent_ns == market.start_ns + 12 * market.bar_ns
        assert last.sequence == market.sequence[12]

    def test_outside_the_market_are_refused(self, market):
        with pytest.raises(ValueError, match="the simulator holds 0 … 240"):
            next(market.frames(239, 241))
        with pytest.raises(ValueError, match="the simulator holds 0 … 240"):
            market.ticks(-1)
        with pytest.raises(DataError, match="read frames"):
            market.bars(0, 1)


class TestTicks:
    def test_every_live_symbol_has_at_least_ten(self, market, records):
        for bar, one in enumerate(records):
            ticks = one[one["kind"] != STATUS]
            counts = np.bincount(ticks["symbol"], minlength=64)
            assert (counts[~market.halted[bar]] >= 10).all()
            assert (counts[market.halted[bar]] == 0).all()

    def test_kinds_are_mixed_as_stated(self, records):
        kinds = np.concatenate(records)["kind"]
        shares = np.bincount(kinds, minlength=4) / len(kinds)
        assert shares[QUOTE] == pytest.approx(0.6, abs=0.03)
        assert shares[TRADE] == pytest.approx(0.3, abs=0.04)
        assert shares[BOOK] == pytest.approx(0.1, abs=0.04)

    def test_bar_0_begins_with_a_quote_of_every_symbol(self, market, records):
        head = records[0][:64]
        assert (head["kind"] == QUOTE).all()
        assert sorted(head["symbol"]) == list(range(64))
        assert (head["event_ns"] == market.start_ns).all()

    def test_quotes_never_cross_and_sizes_are_positive(self, records):
        ticks = np.concatenate(records)
        quotes = ticks[ticks["kind"] == QUOTE]
        assert (quotes["a"] < quotes["b"]).all()
        assert (quotes["a"] > 0).all()
        assert (quotes["c"] > 0).all()
        assert (quotes["d"] > 0).all()
        others = ticks[(ticks["kind"] == TRADE) | (ticks["kind"] == BOOK)]
        assert (others["b"] > 0).all()
        assert set(np.unique(quotes["b"] - quotes["a"])) == {1, 2, 3}

    def test_trades_meet_the_standing_quote_and_levels_lie_behind_it(self, records):
        bid, ask, halted = {}, {}, set()
        for tick in np.concatenate(records[:60]):
            symbol, side = int(tick["symbol"]), tick["side"]
            if tick["kind"] == STATUS:
                (halted.discard, halted.add)[tick["a"] == HALTED](symbol)
                continue
            assert symbol not in halted
            if tick["kind"] == QUOTE:
                bid[symbol] = tick["a"], tick["c"]
                ask[symbol] = tick["b"], tick["d"]
            elif tick["kind"] == TRADE:
                price, size = ask[symbol] if side == BUY else bid[symbol]
                assert tick["a"] == price
                assert tick["b"] <= size
            else:
                level = tick["c"]
                assert 1 <= level < LEVELS
                price = (
                    bid[symbol][0] - level if side == BUY else ask[symbol][0] + level
                )
                assert tick["a"] == price

    def test_trade_ids_are_unique_and_rise(self, records):
        ticks = np.concatenate(records)
        ids = ticks["c"][ticks["kind"] == TRADE]
        assert (np.diff(ids) > 0).all()

    def test_the_last_quote_shows_the_boundary(self, market, records):
        shown = np.zeros(64, np.int64)
        assert (market.anchors == market.mids[0] // 2).all()
        for bar, one in enumerate(records):
            for tick in one[one["kind"] == QUOTE]:
                shown[tick["symbol"]] = tick["a"] + tick["b"]
            np.testing.assert_array_equal(shown, market.mids[bar + 1])

    @pytest.mark.parametrize("fraction", [0.0, 0.1, 0.55, 0.9])
    def test_entry_is_the_quote_that_stands_at_the_latency(
        self, market, records, fraction
    ):
        bar = int(np.flatnonzero(market.halted.any(axis=1))[0])
        mids, trades = market.entry_mids(bar, fraction)
        expected = market.mids[bar].tolist()
        until = market.start_ns + (bar + fraction) * market.bar_ns
        for tick in records[bar]:
            if tick["kind"] == QUOTE and tick["event_ns"] <= until:
                expected[tick["symbol"]] = tick["a"] + tick["b"]
        assert mids.tolist() == expected
        assert (mids != market.mids[bar]).any() == (fraction > 0)
        np.testing.assert_array_equal(trades, ~market.halted[bar])


class TestHalts:
    def test_are_announced_and_lifted(self, market, records):
        ticks = np.concatenate(records)
        status = ticks[ticks["kind"] == STATUS]
        stops = np.argwhere(np.diff(market.halted.astype(int), axis=0) == 1)
        assert (status["a"] == HALTED).sum() == len(stops) > 0
        for bar, symbol in stops:
            own = status[status["symbol"] == symbol]
            assert own[0]["a"] == HALTED
            assert (own["a"][1::2] == TRADING).all()
            assert own[0]["event_ns"] <= market.start_ns + (bar + 1) * market.bar_ns

    def test_end_with_a_quote_at_the_path(self, market, records):
        resumes = np.argwhere(np.diff(market.halted.astype(int), axis=0) == -1)
        assert len(resumes)
        for before, symbol in resumes:
            own = records[before + 1][records[before + 1]["symbol"] == symbol]
            assert own["kind"][0] == STATUS
            assert own["kind"][1] == QUOTE
            price = market.edges.price[before + 1, symbol]
            deviation = price * market.latent.volatility[before + 1, symbol]
            assert abs((own["a"][1] + own["b"][1]) / 2 - price) < 6 * deviation + 2

    def test_freeze_the_mid(self, market):
        frozen = market.halted & (market.mids[1:] == market.mids[:-1])
        np.testing.assert_array_equal(frozen, market.halted)

    def test_can_be_switched_off(self):
        assert not Simulator(symbols=64, bars=240, seed=3, halts=False).halted.any()


class TestKnobs:
    def test_predictive_r2_is_as_asked(self, wide_market):
        hidden = wide_market.latent
        standard = standard_returns(hidden)
        slope, error = clustered_slope(hidden.imbalance[:-1], standard)
        assert slope == pytest.approx(0.1, abs=3 * error)
        assert error < 0.02

    def test_link_off_leaves_no_forecast_and_everything_else(self, wide_market):
        off = Simulator(symbols=512, bars=600, seed=5, predictive_r2=0.0)
        slope, error = clustered_slope(
            off.latent.imbalance[:-1], standard_returns(off.latent)
        )
        assert abs(slope) < 3 * error
        for name in ("regimes", "volatility", "imbalance", "flow", "jump", "halted"):
            np.testing.assert_array_equal(
                getattr(off.latent, name), getattr(wide_market.latent, name)
            )
        np.testing.assert_array_equal(off.counts, wide_market.counts)
        on, without = standard_returns(wide_market.latent), standard_returns(off.latent)
        assert without.std() == pytest.approx(on.std(), rel=0.01)
        assert not np.array_equal(on, without)

    @pytest.mark.parametrize("predictive", [0.0, 0.01])
    def test_contemporaneous_r2_is_as_asked(self, predictive):
        market = Simulator(symbols=256, bars=400, seed=1, predictive_r2=predictive)
        flow, standard = (
            market.latent.flow.ravel(),
            standard_returns(market.latent).ravel(),
        )
        assert np.corrcoef(flow, standard)[0, 1] ** 2 == pytest.approx(0.4, abs=0.02)

    def test_event_flow_explains_the_bar_and_carries_the_imbalance(
        self, market, records
    ):
        flow = order_flow_imbalance(records, 64) / market.listings.depth
        change = np.diff(market.mids, axis=0) / market.mids[:-1]
        live = ~market.halted
        live[1:] &= ~market.halted[:-1]
        r2 = np.corrcoef(flow[live], change[live])[0, 1] ** 2
        assert 0.3 < r2 < 0.55
        known = np.corrcoef(flow[live], market.latent.imbalance[1:][live])[0, 1]
        assert known > 0.15

    def test_volatility_has_the_root_mean_square_asked_for(self):
        squares = [
            np.mean(Simulator(symbols=32, bars=1500, seed=seed).latent.volatility ** 2)
            for seed in range(6)
        ]
        assert np.sqrt(np.mean(squares)) == pytest.approx(4e-4, rel=0.15)

    def test_constant_volatility(self):
        still = Simulator(symbols=8, bars=50, stochastic_volatility=False)
        np.testing.assert_allclose(still.latent.volatility, 4e-4, rtol=1e-5)

    def test_jumps_are_rare_and_large(self, wide_market):
        jump, volatility = wide_market.latent.jump, wide_market.latent.volatility
        struck = jump != 0
        assert struck.mean() == pytest.approx(latent.JUMP_RATE, rel=0.3)
        scaled = jump[struck] / volatility[struck]
        assert scaled.std() == pytest.approx(latent.JUMP_SCALE, rel=0.3)
        assert not Simulator(symbols=64, bars=240, jumps=False).latent.jump.any()

    def test_bad_knobs_are_refused(self):
        with pytest.raises(ValueError, match="leave no room for noise"):
            Simulator(symbols=4, bars=4, predictive_r2=0.01, contemporaneous_r2=0.9)
        with pytest.raises(ValueError, match="leave no room for noise"):
            Simulator(symbols=4, bars=4, predictive_r2=-0.01)
        with pytest.raises(ValueError, match="symbols=0, volatility_bps=nan"):
            Simulator(symbols=0, bars=4, volatility_bps=float("nan"))


class TestGrid:
    """Quotes turn back where the price does not: both returns share a rounding."""

    def test_neighbouring_returns_are_tied_by_the_rounding_between_them(self):
        market = Simulator(
            symbols=256, bars=800, seed=6, predictive_r2=0.0, halts=False, jumps=False
        )
        own = market.latent.volatility
        price = np.log(market.edges.price)
        rounded = np.log(market.mids / 2) - price
        expected = -(rounded[1:-1] ** 2 / own[:-1] / own[1:]).mean()
        for path, truth in ((price, 0.0), (price + rounded, expected)):
            moved = np.diff(path, axis=0) / own
            moved -= moved.mean(1, keepdims=True)  # most of the market's own noise
            products = moved[:-1] * moved[1:]
            error = bound.clustered_error(
                products - products.mean(), np.ones(products.shape, bool), 1
            )
            assert products.mean() == pytest.approx(truth, abs=4 * error)
        assert expected < -5 * error


class TestRegimes:
    def test_follow_their_chain(self):
        law = latent.dynamics(0.01, 0.4, 4e-4, True, True, True)
        regimes = latent.draw_regimes(law, latent.generator(0, 1), 100_000)
        moves = np.zeros((4, 4))
        np.add.at(moves, (regimes[:-1], regimes[1:]), 1)
        measured = moves / moves.sum(axis=1, keepdims=True)
        error = np.sqrt(law.transition * (1 - law.transition) / moves.sum(1)[:, None])
        assert (abs(measured - law.transition) <= 4 * error + 1e-12).all()
        np.testing.assert_allclose(law.transition.sum(axis=1), 1)

    def test_main_market_meets_all_four_and_crisis_is_the_wildest(self):
        hidden = Simulator(symbols=16, bars=1700).latent
        assert set(hidden.regimes) == {0, 1, 2, 3}
        level = [hidden.volatility[hidden.regimes == one].mean() for one in range(4)]
        assert level[1] < level[0] < level[2] < level[3]


class TestCosts:
    """Default knobs: the strongest forecasts clear the cost, no signal loses it."""

    HORIZON = 5

    def test_strong_signal_clears_the_cost(self, wide_market):
        half_spread_and_fee, earned, imbalance = self.trades(wide_market)
        strong = np.abs(imbalance) > 2
        gain = np.where(imbalance > 0, earned, -earned)[strong]
        assert gain.mean() > half_spread_and_fee.mean()

    def test_taker_without_signal_loses(self, wide_market):
        cost, earned, _ = self.trades(wide_market)
        side = np.where(np.random.default_rng(0).random(earned.shape) < 0.5, 1, -1)
        per_bar = (side * earned - 2 * cost).mean(axis=1)
        assert per_bar.mean() < -3 * per_bar.std() / np.sqrt(len(per_bar))

    def trades(self, market):
        mids, h = np.log(market.mids), self.HORIZON
        earned = mids[h + 1 :] - mids[1:-h]
        spread = market.edges.spread[1:-h] / market.edges.price[1:-h]
        fee = market.universe.instruments[0].taker_fee
        return spread / 2 + fee, earned, market.latent.imbalance[1:-h]


class TestListings:
    def test_are_priced_and_sized_like_stocks(self, wide_market):
        listed = wide_market.listings
        instruments = wide_market.universe.instruments
        assert instruments[7].symbol == "SIM0007"
        assert 5 <= listed.price.min() < 10 < 250 < listed.price.max() <= 500
        bps = listed.increment / listed.price * 1e4
        assert 0.6 < bps.min() < bps.max() < 1.6
        worth = listed.depth * listed.lot * listed.price
        assert 2e3 <= worth.min() < worth.max() <= 2e4
        mantissa = listed.increment / 10.0 ** np.floor(
            np.log10(listed.increment) + 1e-9
        )
        assert set(np.round(mantissa, 9)) <= {1.0, 2.0, 5.0}
        assert instruments[0].taker_fee == pytest.approx(5e-6)

    def test_say_what_the_source_offers(self, market):
        assert market.columns == Bar._fields
        assert market.simulated
        assert market.has_ticks
        assert market.bar_ns == 1_000_000_000


class TestTape:
    def test_price_between_the_boundaries_is_a_bridge(self):
        size, count = 20_000, 10
        zeros, ones = np.zeros(size), np.ones(size)
        start, end = (
            Edge(price, zeros, ones, ones, zeros) for price in (zeros, 3 * ones)
        )
        span = tape.Span(
            symbol=np.arange(size),
            count=np.full(size, count),
            deviation=2 * ones,
            jump=zeros,
            flow=zeros,
            activity=zeros,
            wide=zeros,
            depth=100 * ones,
            reopens=np.zeros(size, bool),
        )
        rng = np.random.default_rng(0)
        events = tape.draw_events(rng, span)
        price = tape.efficient_price(rng, events, start, end, span)
        price = price.reshape(size, count + 1)
        share = np.arange(count + 1) / count
        error = 5 * 2 / np.sqrt(size)
        np.testing.assert_allclose(price.mean(axis=0), 3 * share, atol=error)
        np.testing.assert_allclose(
            price.var(axis=0), 4 * share * (1 - share), atol=0.05
        )

    def test_jump_is_one_step(self, market, records):
        bars, symbols = np.nonzero((market.latent.jump != 0) & ~market.halted)
        jump = (
            market.latent.jump[bars, symbols] / market.latent.volatility[bars, symbols]
        )
        largest = np.argmax(np.abs(jump))
        bar, symbol = bars[largest], symbols[largest]
        own = records[bar][records[bar]["symbol"] == symbol]
        quotes = own[own["kind"] == QUOTE]
        mids = (quotes["a"] + quotes["b"]) / 2
        steps = np.diff(np.concatenate([[market.mids[bar, symbol] / 2], mids]))
        size = market.latent.jump[bar, symbol] * market.edges.price[bar, symbol]
        usual = market.latent.volatility[bar, symbol] * market.edges.price[bar, symbol]
        assert np.abs(steps - size).min() < 3 * usual + 2

    @pytest.mark.parametrize("scale", [1, 1 << 52])
    def test_order_is_stable(self, scale):
        times = np.random.default_rng(0).integers(0, 50, 1000) * scale
        np.testing.assert_array_equal(
            tape.order_of(times), np.argsort(times, kind="stable")
        )

    @pytest.mark.parametrize(
        "size", [{"symbols": 1, "bars": 3}, {"symbols": 3, "bars": 1}]
    )
    def test_smallest_markets(self, size):
        tiny = Simulator(**size, ticks_per_bar=1)
        ticks = np.concatenate([tiny.ticks(bar) for bar in range(size["bars"])])
        assert len(ticks) == tiny.sequence[-1]

    def test_a_bar_in_which_all_are_halted_is_silent(self):
        market = Simulator(symbols=2, bars=6)
        market.halted[2:4] = True
        assert len(market.ticks(2)) == 2
        assert len(market.ticks(3)) == 0
        assert (market.ticks(4)["a"][:2] == TRADING).all()


def standard_returns(hidden):
    """The path's returns, jumps aside, over the volatility."""
    return (np.diff(hidden.path, axis=0) - hidden.jump) / hidden.volatility


def clustered_slope(x, y):
    """Slope of y on x through the origin; errors clustered by bar."""
    slope = (x * y).sum() / (x * x).sum()
    scores = (x * (y - slope * x)).sum(axis=1)
    return slope, np.sqrt((scores**2).sum()) / (x * x).sum()


def order_flow_imbalance(records, symbols):
    """Per bar and symbol by its definition, one quote after the other."""
    flow, last = np.zeros((len(records), symbols)), {}
    for bar, one in enumerate(records):
        for tick in one[one["kind"] == QUOTE][["symbol", "a", "b", "c", "d"]].tolist():
            symbol, bid, ask, bid_size, ask_size = tick
            if symbol in last:
                was_bid, was_ask, was_bid_size, was_ask_size = last[symbol]
                flow[bar, symbol] += (
                    (bid >= was_bid) * bid_size
                    - (bid <= was_bid) * was_bid_size
                    - (ask <= was_ask) * ask_size
                    + (ask >= was_ask) * was_ask_size
                )
            last[symbol] = bid, ask, bid_size, ask_size
    return flow
