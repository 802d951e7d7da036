"""The daily panel: known corporate actions, every reason for a row not to be live."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from bot4jax.data.daily import SCHEMA, Daily
from bot4jax.data.listing import EVERYBODY, Listing
from bot4jax.data.source import DataError
from bot4jax.types import BAR_FLOATS, BAR_INTS, ENDED

MONDAY = date(2015, 4, 6)


def terms(**changes) -> Listing:
    return EVERYBODY._replace(**changes)


def row(symbol, day, ret_adj: float | None = 0.0, lag_days=0, close=10.0, **changed):
    when = MONDAY + timedelta(days=day)
    prices = {"open": close, "high": 1.05 * close, "low": 0.95 * close, "close": close}
    rest = {"volume": 1_000, "ret_adj": ret_adj, "lag_days": lag_days}
    return {"symbol": symbol, "date": when, **prices, **rest, **changed}


def write(path, rows):
    path.mkdir(exist_ok=True)
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(path / "panel.parquet")
    return path


def planted(tmp_path, *days, symbol="X", first=None):
    """A steady symbol, and one that begins with a plain row and goes on with `days`."""
    steady = [row("STEADY", day, 0.0 if day else None) for day in range(8)]
    begin = first or row(symbol, 0, None)
    mine = [row(symbol, day, **one) for day, one in enumerate(days, 1)]
    return Daily(write(tmp_path / "panel", [*steady, begin, *mine]))


def column(market, symbol, name):
    slot = market.universe.symbols.index(symbol)
    blocks = market.bars(0, market.bar_count)
    if name in BAR_INTS:
        return [int(block.ints[BAR_INTS.index(name), slot]) for block in blocks]
    return [float(block.floats[BAR_FLOATS.index(name), slot]) for block in blocks]


def closes(market, symbol="X"):
    """Closing prices in dollars, as the device will see them."""
    slot = market.universe.symbols.index(symbol)
    step = market.universe.instruments[slot].increment
    mids = np.array(column(market, symbol, "mid_close")) + 2 * market.anchors[slot]
    return mids / 2 * step


def test_returns_compound_from_the_first_close(tmp_path):
    days = [
        {"ret_adj": 0.02, "close": 10.2},
        {"ret_adj": -0.01, "close": 10.098},
    ]
    market = planted(tmp_path, *days)
    np.testing.assert_allclose(closes(market)[:3], [10, 10.2, 10.098], atol=6e-5)
    assert column(market, "X", "live") == [1, 1, 1, 0, 0, 0, 0, 0]
    assert column(market, "X", "adjustment") == [1] * 8
    np.testing.assert_allclose(closes(market)[3:], 10.098, atol=6e-5)
    assert set(market.rejected.values()) == {0}


def test_split_moves_nothing_but_the_raw_price(tmp_path):
    split = {"open": 2.06, "high": 2.12, "low": 1.98, "close": 2.02, "volume": 5_000}
    market = planted(tmp_path, {"ret_adj": 0.01, **split}, {"ret_adj": 0.0, **split})
    np.testing.assert_allclose(closes(market)[:3], [10, 10.1, 10.1], atol=6e-5)
    np.testing.assert_allclose(
        column(market, "X", "adjustment")[:3], [1, 5, 1], rtol=1e-6
    )
    # 5,000 new shares are 1,000 old ones; open and high keep their ratio to the close
    np.testing.assert_allclose(
        column(market, "X", "base_turnover")[:3], [1_000, 1_000, 1_000], rtol=1e-6
    )
    opened = np.array(column(market, "X", "mid_open"))[1:3] + 2 * market.anchors[1]
    np.testing.assert_allclose(opened / 2e4, 10.1 * 2.06 / 2.02, atol=6e-5)
    high = np.array(column(market, "X", "trade_high"))[1] + market.anchors[1]
    assert high / 1e4 == pytest.approx(10.1 * 2.12 / 2.02, abs=1e-4)


def test_orders_meet_the_open(tmp_path):
    market = planted(tmp_path, {"ret_adj": 0.02, "close": 10.2})
    assert column(market, "X", "mid_entry") == column(market, "X", "mid_open")


NAN, INF = float("nan"), float("inf")
BRIDGED = {
    "late": {"ret_adj": None, "lag_days": 1, "close": 12.0},
    "no_return": {"ret_adj": None, "close": 12.0},
    "nan_return": {"ret_adj": NAN, "close": 12.0},
    "infinite_return": {"ret_adj": INF, "close": 12.0},
    "return_at_most_-1": {"ret_adj": -1.0, "close": 12.0},
    "return_below_-7/8": {"ret_adj": -0.9, "close": 1.0},
    "return_above_1": {"ret_adj": 9546.0, "close": 12.0},
    "price_not_positive": {"ret_adj": 0.1, "low": 0.0},
}


@pytest.mark.parametrize("reason", BRIDGED)
def test_wrong_row_is_not_live_and_its_return_is_bridged(tmp_path, reason):
    market = planted(
        tmp_path,
        {"ret_adj": 0.01, "close": 10.1},
        BRIDGED[reason],
        {"ret_adj": 0.02, "close": 12.24, "volume": 500},
    )
    assert {name for name, count in market.rejected.items() if count} == {reason}
    assert market.rejected[reason] == 1
    assert column(market, "X", "live")[:4] == [1, 1, 0, 1]
    np.testing.assert_allclose(
        closes(market)[:4], [10, 10.1, 10.1, 10.1 * 1.02], atol=6e-5
    )
    assert column(market, "X", "base_turnover")[2] == 0
    assert column(market, "X", "mid_high")[2] == column(market, "X", "mid_close")[1]
    # dollars traded stay what they were: 500 raw shares at 12.24
    dollars = column(market, "X", "base_turnover")[3] * closes(market)[3]
    assert dollars == pytest.approx(500 * 12.24, rel=1e-4)


def test_first_reason_counts(tmp_path):
    both = {"ret_adj": NAN, "lag_days": 2, "open": 0.0, "volume": 0}
    market = planted(tmp_path, both)
    assert {name: n for name, n in market.rejected.items() if n} == {"late": 1}


@pytest.mark.parametrize(
    ("reason", "idle"),
    [
        ("no_trades", {"volume": 0}),
        ("open_misplaced", {"open": 1.0, "low": 1.0}),
        ("open_misplaced", {"open": 90.0, "high": 90.0}),
    ],
)
def test_idle_row_keeps_its_return_for_the_next_live_bar(tmp_path, reason, idle):
    market = planted(
        tmp_path,
        {"ret_adj": 0.01, "close": 10.1, **idle},
        {"ret_adj": 0.02, "close": 10.302},
    )
    assert market.rejected[reason] == 1
    assert column(market, "X", "live")[:3] == [1, 0, 1]
    np.testing.assert_allclose(
        closes(market)[:3], [10, 10, 10 * 1.01 * 1.02], atol=6e-5
    )


def test_price_that_all_but_vanished_is_not_live(tmp_path):
    falls = [{"ret_adj": -0.8, "close": 10 * 0.2**k} for k in range(1, 5)]
    market = planted(tmp_path, *falls, {"ret_adj": -0.8, "close": 0.0032})
    # .0032 dollars are 32 increments of 1e-4
    assert market.rejected["price_vanished"] == 1
    assert column(market, "X", "live")[:6] == [1, 1, 1, 1, 1, 0]


def test_late_first_day_still_sets_the_level(tmp_path):
    late = row("X", 0, None, lag_days=3, close=40.0)
    market = planted(tmp_path, {"ret_adj": 0.1, "close": 44.0}, first=late)
    assert column(market, "X", "live")[:2] == [0, 1]
    assert closes(market)[1] == pytest.approx(44.0, abs=6e-5)


def test_symbol_that_is_never_live_is_left_out(tmp_path):
    market = planted(tmp_path, first=row("X", 0, None, lag_days=3))
    assert market.universe.symbols == ("STEADY",)
    assert market.never_live == ["X"]


def test_cheap_share_gets_a_finer_increment(tmp_path):
    first = row("X", 0, None, close=0.012)
    market = planted(tmp_path, {"ret_adj": 0.5, "close": 0.018}, first=first)
    one = market.universe.instruments[market.universe.symbols.index("X")]
    assert one.increment == pytest.approx(1e-7)
    np.testing.assert_allclose(closes(market)[:2], [0.012, 0.018], rtol=1e-5)


def test_share_beyond_the_device_s_integers_is_named(tmp_path):
    first = row("RICH", 0, None, close=300_000.0)
    day = {"ret_adj": 0.5, "close": 450_000.0}
    with pytest.raises(DataError, match=r"RICH moves 3\.45e\+09 half increments"):
        planted(tmp_path, day, symbol="RICH", first=first)


def test_symbols_are_chosen_on_training_days_alone(tmp_path):
    rows = [
        row(name, day, 0.0 if day else None, volume=volume[day >= 5])
        for name, volume in {"A": (10, 10**6), "B": (90, 0), "C": (50, 1)}.items()
        for day in range(10)
    ]
    short = [row("D", day, 0.0 if day else None, volume=10**6) for day in range(2)]
    path = write(tmp_path / "panel", [*rows, *short])
    assert Daily(path, terms(symbols=2, days=5)).universe.symbols == ("B", "C")
    assert Daily(path, terms(symbols=1, days=10)).universe.symbols == ("A",)
    assert len(Daily(path).universe.symbols) == 4


def test_cheap_quiet_and_vanished_shares_are_left_out_as_one_could_have_known(
    tmp_path,
):
    """Judged on the tenth day: what a share costs afterwards does not matter."""
    prices = {"CHEAP": (4.0, 40.0), "QUIET": (20.0, 20.0), "RISEN": (4.0, 6.0)}
    rows = [
        row(name, day, 0.0 if day else None, close=price[day >= 9], volume=volume)
        for (name, price), volume in zip(prices.items(), (900, 1, 900), strict=True)
        for day in range(20 if name != "RISEN" else 12)
    ]
    rows = [
        one | {"close": 4.0, "open": 4.0} if one["symbol"] == "CHEAP" and late else one
        for one in rows
        for late in [one["date"] < MONDAY + timedelta(days=10)]
    ]
    gone = [row("GONE", day, 0.0 if day else None, close=9.0) for day in range(3)]
    path = write(tmp_path / "panel", [*rows, *gone])
    chosen = terms(days=10, least_price=5.0, least_dollars=100.0)
    assert Daily(path, chosen).universe.symbols == ("RISEN",)


def test_a_share_that_ends_can_be_charged_a_loss(tmp_path):
    """On the day after its last, in open and close alike, and on that day alone."""
    steady = [row("STEADY", day, 0.0 if day else None) for day in range(12)]
    ends = [row("ENDS", day, 0.02 if day else None, close=10.0) for day in range(4)]
    path = write(tmp_path / "panel", [*steady, *ends])
    plain, charged = (Daily(path, terms(delisting_return=r)) for r in (0.0, -0.3))
    before = closes(plain, "ENDS")
    np.testing.assert_allclose(before[4:], before[3])
    after = closes(charged, "ENDS")
    np.testing.assert_allclose(after[:4], before[:4])
    np.testing.assert_allclose(after[4:], 0.7 * before[3], rtol=1e-4)
    assert column(plain, "ENDS", "live") == [1] * 4 + [0] * 8
    assert column(charged, "ENDS", "live") == [1] * 5 + [ENDED] * 7
    assert not charged.panel.live[5:, charged.universe.symbols.index("ENDS")].any()
    np.testing.assert_array_equal(
        column(charged, "ENDS", "mid_open")[4], column(charged, "ENDS", "mid_close")[4]
    )
    assert closes(charged, "STEADY") == pytest.approx(closes(plain, "STEADY"))


def test_bars_up_to_a_day_do_not_know_what_follows(tmp_path):
    random = np.random.default_rng(8)
    rows = []
    for name in "ABC":
        close = 20.0
        for day in range(40):
            moved = float(random.normal(0, 0.03))
            close *= 1 + moved
            split = 4 if day == 30 else 1
            close /= split
            rows.append(row(name, day, moved if day else None, close=close))
    whole = Daily(write(tmp_path / "whole", rows))
    last = MONDAY + timedelta(days=25)
    cut = Daily(write(tmp_path / "cut", [one for one in rows if one["date"] < last]))
    assert cut.bar_count == 25
    for one, other in zip(cut.bars(0, 25), whole.bars(0, 25), strict=True):
        np.testing.assert_array_equal(one.ints, other.ints)
        np.testing.assert_array_equal(one.floats, other.floats)


def test_malformed_files_are_named(tmp_path):
    with pytest.raises(DataError, match="holds 0 Parquet files"):
        Daily(tmp_path)
    with pytest.raises(DataError, match="no readable Parquet"):
        Daily(tmp_path / "absent.parquet")
    path = tmp_path / "panel.parquet"
    path.write_bytes(b"garbage")
    with pytest.raises(DataError, match="no readable Parquet"):
        Daily(path)
    good = pl.DataFrame([row("X", 0)], schema=SCHEMA)
    good.drop("ret_adj").write_parquet(path)
    with pytest.raises(DataError, match="'ret_adj' is missing, Float32 was expected"):
        Daily(path)
    good.with_columns(pl.col("volume").cast(pl.String)).write_parquet(path)
    with pytest.raises(DataError, match="'volume' is String, Int64 was expected"):
        Daily(path)
    pl.concat([good, good]).write_parquet(path)
    with pytest.raises(DataError, match="X stands twice on 2015-04-06"):
        Daily(path)
    good.clear().write_parquet(path)
    with pytest.raises(DataError, match="holds no rows"):
        Daily(path)


@pytest.fixture(scope="module")
def panel(data_root):
    return Daily(data_root / "us_daily")


def return_on(market, symbol, day):
    slot, bar = market.universe.symbols.index(symbol), market.dates.index(day)
    mids = [
        block.ints[BAR_INTS.index("mid_close"), slot] + 2 * market.anchors[slot]
        for block in market.bars(bar - 1, bar + 1)
    ]
    return mids[1] / mids[0] - 1


def adjustment_on(market, symbol, day):
    slot, bar = market.universe.symbols.index(symbol), market.dates.index(day)
    (block,) = market.bars(bar, bar + 1)
    return float(block.floats[BAR_FLOATS.index("adjustment"), slot])


def test_known_split_and_dividend(panel):
    """NFLX split 7:1: −2.2 %, raw −86 %; AAPL paid: +.80 %, raw +.26 %."""
    split, dividend = date(2015, 7, 15), date(2016, 2, 4)
    netflix = return_on(panel, "NFLX", split)
    assert round(netflix, 3) == -0.022
    assert adjustment_on(panel, "NFLX", split) == pytest.approx(7, rel=1e-5)
    assert round((1 + netflix) / 7 - 1, 2) == -0.86
    apple = return_on(panel, "AAPL", dividend)
    assert round(apple, 4) == 0.0080
    raw = (1 + apple) / adjustment_on(panel, "AAPL", dividend) - 1
    assert round(raw, 4) == 0.0026


def test_days_that_arrived_late_are_not_live(panel):
    live = panel.panel.live.sum(axis=1)
    for day in (date(2015, 3, 20), date(2015, 6, 10), date(2015, 11, 17)):
        assert live[panel.dates.index(day)] <= 1
    assert np.median(live) > 4_300


def test_bad_values_of_the_panel_are_counted(panel):
    counts = panel.rejected
    assert counts["nan_return"] == 9
    assert counts["infinite_return"] == 1
    assert counts["return_at_most_-1"] == 2
    # 56 with |return| > 1, as a comparison counts them that puts NaN above all numbers
    assert counts["return_above_1"] + 10 == 56
    assert panel.bar_count == 324
    assert len(panel.universe.instruments) == 4_667
    is_live = panel.panel.live
    assert is_live.sum() + sum(counts.values()) == 1_437_474


def test_prices_of_the_panel_are_usable(panel):
    close, live = panel.panel.close, panel.panel.live
    assert np.isfinite(close).all()
    assert (close > 0).all()
    moves = np.abs(np.diff(np.log(close), axis=0))
    assert np.exp(moves[live[1:] & live[:-1]].max()) < 8
    ends_early = ~live[-1]
    assert 307 <= ends_early.sum() <= 330
