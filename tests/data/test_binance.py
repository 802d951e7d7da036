"""Binance captures: small planted files, and the recorded markets."""

import gzip
import json
import statistics
from types import SimpleNamespace

import numpy as np
import pytest

from bot4jax.data import binance
from bot4jax.data.binance import Binance, RunningMedian, changed, currencies
from bot4jax.data.source import DataError
from bot4jax.data.universe import profit
from bot4jax.types import BOOK, BUY, QUOTE, SELL, TRADE, Bar

MS = 1_000_000
START = 1_723_161_600_000
"""Exchange time of the first message, ms; on a boundary of .1 s."""
BEHIND = -1_300
"""Local clock less exchange clock, ms."""


class Capture:
    """Writes lines as the exchange would send them, prices on a grid of .10."""

    def __init__(self, symbol, market="usdm", behind=BEHIND, decimals=2):
        self.symbol, self.market, self.behind = symbol, market, behind
        self.decimals = decimals
        self.lines, self.last = [], 100

    def number(self, value):
        return f"{value:.{self.decimals}f}"

    def line(self, ms, body):
        received = (START + ms + self.behind) * MS + len(self.lines)
        self.lines.append(f"{received} {json.dumps(body)}\n")

    def stream(self, ms, name, **data):
        stream = f"{self.symbol.lower()}@{name}"
        self.line(ms, {"stream": stream, "data": {"s": self.symbol, **data}})

    def quote(self, ms, bid, ask, bid_size=1.0, ask_size=2.0, delay=0):
        stamp = {} if self.market == "spot" else {"e": "bookTicker", "E": START + ms}
        number = self.number
        sides = {
            "b": number(bid),
            "B": number(bid_size),
            "a": number(ask),
            "A": number(ask_size),
        }
        self.stream(ms + delay, "bookTicker", u=self.last, **sides, **stamp)

    def trade(self, ms, price, size, maker_is_buyer, delay=0, **more):
        values = {"p": self.number(price), "q": self.number(size), "m": maker_is_buyer}
        self.stream(ms + delay, "trade", E=START + ms, T=0, t=7, **values, **more)

    def diff(self, ms, bids=(), asks=(), gap=0):
        is_spot = self.market == "spot"
        first = self.last + (1 if is_spot else 4) + gap  # derivatives skip ids
        previous = {} if is_spot else {"pu": self.last + gap}
        ids = {"U": first, "u": first + 2, **previous}
        self.last = first + 2
        sides = {"b": self.levels(bids), "a": self.levels(asks)}
        self.stream(ms, "depth@0ms", E=START + ms, **ids, **sides)

    def snapshot(self, ms, bids, asks):
        sides = {"bids": self.levels(bids), "asks": self.levels(asks)}
        self.line(ms, {"lastUpdateId": self.last, "E": START + ms, **sides})

    def levels(self, pairs):
        return [[self.number(price), self.number(size)] for price, size in pairs]

    def write(self, folder, day="20240808"):
        folder.mkdir(exist_ok=True)
        path = folder / f"{self.symbol.lower()}_{day}.gz"
        path.write_bytes(gzip.compress("".join(self.lines).encode()))
        return path


def small(symbol="BTCUSDT", market="usdm"):
    """300 ms of one symbol: book, quotes, a trade of each side."""
    capture = Capture(symbol, market)
    capture.snapshot(
        1, [(99.9, 5), (99.8, 6), (99.7, 7)], [(100.1, 5), (100.2, 6), (100.5, 8)]
    )
    capture.quote(2, 99.9, 100.1, 5, 5)
    capture.quote(105, 99.9, 100.1, 4, 5)
    capture.trade(110, 100.1, 0.5, maker_is_buyer=False)
    capture.diff(120, bids=[(99.8, 0), (99.6, 3)], asks=[(100.2, 9)])
    capture.trade(130, 99.9, 0.25, maker_is_buyer=True)
    capture.quote(230, 99.9, 100.2)
    capture.quote(310, 99.8, 100.2)
    return capture


def random_capture(symbol, seed, count=600, market="usdm"):
    """A longer one: everything mixed, stamps up to 30 ms older than their arrival."""
    random = np.random.default_rng(seed)
    capture = Capture(symbol, market)
    near = [(100 - k / 10, 1 + k) for k in range(1, 15)]
    capture.snapshot(0, near, [(200 - price, size) for price, size in near])
    capture.diff(0)
    for ms in np.sort(random.integers(1, 3_000, count)).tolist():
        kind, tick = random.integers(0, 3), float(random.integers(1, 15)) / 10
        delay = int(random.integers(0, 30))
        if kind == 0:
            capture.quote(ms - delay, 100 - tick, 100 + tick, delay=delay)
        elif kind == 1:
            capture.trade(ms - delay, 100 + tick, 1, bool(ms % 2), delay=delay)
        else:
            size = float(random.integers(0, 3))
            capture.diff(ms, [(100 - tick, size)], [(100 + tick, size)])
    return capture


def played(folder, **options):
    source = Binance(folder, **options)
    frames = list(source.frames(0, source.bar_count))
    return source, np.concatenate([frame.records for frame in frames])


def test_streams_become_records(tmp_path):
    small().write(tmp_path / "usdm")
    source, records = played(tmp_path / "usdm")
    start = (START + 100) * MS
    at = [(START + ms) * MS for ms in (105, 110, 120, 120, 120, 130, 230, 310)]
    assert source.start_ns == start
    assert source.bar_count == 2
    # prices in .10, sizes in .25; the first five restate what stands at the start
    assert records.tolist() == [
        (QUOTE, 0, 0, 0, start, 999, 1001, 20, 20),
        (BOOK, BUY, 0, 0, start, 998, 24, 1, 0),
        (BOOK, BUY, 0, 0, start, 997, 28, 2, 0),
        (BOOK, SELL, 0, 0, start, 1002, 24, 1, 0),
        (BOOK, SELL, 0, 0, start, 1005, 32, 2, 0),
        (QUOTE, 0, 0, 0, at[0], 999, 1001, 16, 20),
        (TRADE, BUY, 0, 0, at[1], 1001, 2, 7, 0),
        (BOOK, BUY, 0, 0, at[2], 997, 28, 1, 0),
        (BOOK, BUY, 0, 0, at[3], 996, 12, 2, 0),
        (BOOK, SELL, 0, 0, at[4], 1002, 36, 1, 0),
        (TRADE, SELL, 0, 0, at[5], 999, 1, 7, 0),
        (QUOTE, 0, 0, 0, at[6], 999, 1002, 4, 8),
        (QUOTE, 0, 0, 0, at[7], 998, 1002, 4, 8),
    ]


def test_local_clock_behind_the_exchange_breaks_nothing(tmp_path):
    for behind in (BEHIND, 0, 40):
        capture = small()
        ahead = behind - capture.behind
        lines = [line.split(" ", 1) for line in capture.lines]
        capture.lines = [f"{int(ns) + ahead * MS} {body}" for ns, body in lines]
        capture.write(tmp_path / "usdm")
        source, records = played(tmp_path / "usdm")
        latency = source.played.received_ns - source.played.records["event_ns"]
        assert np.abs(latency[5:] - behind * MS).max() < 100
        events = records["event_ns"].copy() if behind == BEHIND else events
        np.testing.assert_array_equal(records["event_ns"], events)


def test_vanished_levels_are_sent_with_size_zero():
    before, after = [(99, 1), (98, 2), (97, 3)], [(99, 1), (97, 3)]
    assert list(changed(before, after)) == [(1, 97, 3), (2, 97, 0)]
    assert list(changed(after, before)) == [(1, 98, 2), (2, 97, 3)]
    assert list(changed(before, [])) == [(1, 98, 0), (2, 97, 0)]
    assert list(changed(before, [(99, 7), *before[1:]])) == []


def test_broken_chain_is_counted_and_takes_the_levels_away(tmp_path):
    capture = small()
    capture.diff(320, bids=[(99.5, 1)], gap=4)
    capture.quote(450, 99.9, 100.1)
    capture.write(tmp_path / "usdm")
    source, records = played(tmp_path / "usdm")
    assert source.breaks == {"BTCUSDT": 1}
    removed = records[records["event_ns"] == (START + 320) * MS]
    assert removed["b"].tolist() == [0, 0, 0, 0]
    assert sorted(removed["c"].tolist()) == [1, 1, 2, 2]


def test_two_symbols_are_merged_by_receive_time(tmp_path):
    random_capture("BTCUSDT", 1).write(tmp_path / "usdm")
    random_capture("ETHUSDT", 2).write(tmp_path / "usdm")
    source, records = played(tmp_path / "usdm")
    assert source.universe.symbols == ("BTCUSDT", "ETHUSDT")
    assert (np.diff(source.played.received_ns) >= 0).all()
    assert set(records["symbol"]) == {0, 1}
    for slot, symbol in enumerate(source.universe.symbols):
        alone = Binance(_only(tmp_path, symbol))
        mine = records[records["symbol"] == slot][100:-100]
        theirs = alone.played.records.copy()
        theirs["symbol"] = slot
        text = theirs[theirs["event_ns"] > source.start_ns].tobytes()
        assert mine.tobytes() in text


def _only(folder, symbol):
    """A folder that holds this symbol alone."""
    alone = folder / symbol / "usdm"
    alone.mkdir(parents=True)
    (file,) = (folder / "usdm").glob(f"{symbol.lower()}_*.gz")
    (alone / file.name).write_bytes(file.read_bytes())
    return alone


def test_days_of_a_symbol_are_joined(tmp_path):
    whole = random_capture("BTCUSDT", 3)
    lines = whole.lines
    whole.write(tmp_path / "usdm")
    _, expected = played(tmp_path / "usdm")
    whole.lines = lines[:300]
    whole.write(tmp_path / "usdm", "20240808")
    whole.lines = lines[300:]
    whole.write(tmp_path / "usdm", "20240809")
    _, records = played(tmp_path / "usdm")
    np.testing.assert_array_equal(records, expected)


@pytest.mark.parametrize("market", ["usdm", "spot"])
def test_bars_up_to_a_moment_do_not_know_what_follows(tmp_path, market):
    capture = random_capture("BTCUSDT", 4, market=market)
    capture.write(tmp_path / market)
    whole = Binance(tmp_path / market)
    capture.lines = capture.lines[:350]
    capture.write(tmp_path / market)
    cut = Binance(tmp_path / market)
    assert 5 < cut.bar_count < whole.bar_count
    frames = zip(
        cut.frames(0, cut.bar_count), whole.frames(0, cut.bar_count), strict=True
    )
    for one, other in frames:
        assert one[:4] == other[:4]
        np.testing.assert_array_equal(one.records, other.records)


def test_spot_quotes_get_receive_time_plus_the_median_offset(tmp_path):
    capture = Capture("BTCUSDT", "spot")
    capture.quote(1, 99.9, 100.1)  # nothing is known of the clocks yet: left out
    offsets = [0, 3, 4, 90, 2]
    for ms, delay in enumerate(offsets):
        capture.trade(10 + ms, 100.0, 1, True, delay=delay)
        capture.quote(20 + ms, 99.9, 100.1)
    capture.trade(300, 100.0, 1, True)
    capture.write(tmp_path / "spot")
    records = binance._capture("BTCUSDT", (tmp_path / "spot/btcusdt_20240808.gz",))
    assert records.ignored == 1
    quotes = records.recording.records["kind"] == QUOTE
    events = records.recording.records["event_ns"][quotes]
    received = records.recording.received_ns[quotes]
    medians = [sorted(-d for d in offsets[:n])[n // 2] for n in range(1, 6)]
    expected = [(median - BEHIND) * MS for median in medians]
    assert np.abs(events - received - expected).max() < 100  # lines are numbered in ns


def test_running_median_forgets():
    values = np.random.default_rng(6).integers(-50, 50, 400).tolist()
    running = RunningMedian()
    assert running.value() is None
    for count, value in enumerate(values, 1):
        running.push(value)
        recent = values[max(0, count - binance.OFFSETS) : count]
        assert running.value() == statistics.median_high(recent)


def test_transfers_and_unknown_streams_are_ignored_and_counted(tmp_path):
    capture = small()
    capture.trade(320, 100.0, 1, True, X="INSURANCE_FUND")
    capture.stream(330, "markPrice", E=START, p="1")
    capture.quote(440, 99.9, 100.1)
    capture.write(tmp_path / "usdm")
    source, records = played(tmp_path / "usdm")
    assert source.ignored == {"BTCUSDT": 2}
    assert (records["kind"] == TRADE).sum() == 2


def planted(body, received="1723161258700000000"):
    return f"{received} {json.dumps(body)}\n"


TICKER = {"s": "BTCUSDT", "u": 1, "b": "99.90", "B": "1", "a": "100.10", "A": "1"}
MALFORMED = {
    "no number": planted({}, received="soon"),
    "no json": "1723161258700000000 {nonsense\n",
    "no message": "1723161258700000000\n",
    "empty line": "\n",
    "a field is missing": planted({"stream": "x@trade", "data": {"s": "BTCUSDT"}}),
    "a wrong type": planted({"stream": "x@bookTicker", "data": {**TICKER, "u": "1"}}),
    "no price": planted({"stream": "x@bookTicker", "data": {**TICKER, "b": "nan"}}),
    "another symbol": planted({"stream": "x@bookTicker", "data": {**TICKER, "s": "X"}}),
    "no snapshot": planted({"lastUpdateId": 3, "bids": []}),
    "not text": "1723161258700000000 \udcff\n",
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_line_is_named(tmp_path, line):
    capture = small()
    path = capture.write(tmp_path / "usdm")
    lines = "".join([*capture.lines[:4], line, *capture.lines[4:]])
    path.write_bytes(gzip.compress(lines.encode(errors="surrogateescape")))
    expected = r"btcusdt_20240808\.gz, line 5: .+ Expected '<local receive ns> <json>'"
    with pytest.raises(DataError, match=expected):
        Binance(tmp_path / "usdm")


def test_truncated_file_is_named(tmp_path):
    path = random_capture("BTCUSDT", 5).write(tmp_path / "usdm")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match=r"\.gz is damaged after line \d+ .*Fetch it"):
        Binance(tmp_path / "usdm")


def test_file_that_is_not_gzip_is_named(tmp_path):
    path = small().write(tmp_path / "usdm")
    path.write_text("1 {}\n")
    with pytest.raises(DataError, match=r"damaged after line 0"):
        Binance(tmp_path / "usdm")


def test_sizes_beyond_64_bits_are_refused(tmp_path):
    capture = small()
    capture.trade(320, 100.0, 10**12, True)
    capture.write(tmp_path / "usdm")
    with pytest.raises(DataError, match="above 9e10"):
        Binance(tmp_path / "usdm")


def test_folder_must_be_a_market_with_captures(tmp_path):
    with pytest.raises(DataError, match="one of spot, usdm, coinm"):
        Binance(tmp_path)
    with pytest.raises(DataError, match="named for its market"):
        Binance(tmp_path / "usdm")
    (tmp_path / "usdm").mkdir()
    with pytest.raises(DataError, match="holds no capture"):
        Binance(tmp_path / "usdm")


def test_files_are_read_once_and_again_when_they_change(tmp_path):
    capture = small()
    capture.write(tmp_path / "usdm")
    before = binance._read.cache_info()
    Binance(tmp_path / "usdm")
    Binance(tmp_path / "usdm", bar_seconds=0.05)
    after = binance._read.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 1)
    capture.quote(450, 99.9, 100.1)
    capture.write(tmp_path / "usdm")
    assert Binance(tmp_path / "usdm").bar_count == 3


def test_the_first_symbols_by_name_are_kept(tmp_path):
    for symbol in ("ETHUSDT", "BTCUSDT", "ADAUSDT"):
        small(symbol).write(tmp_path / "usdm")
    two = Binance(tmp_path / "usdm", symbols=2)
    assert two.universe.symbols == ("ADAUSDT", "BTCUSDT")


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("BTCUSD_PERP", ("BTC", "USD")),
        ("ETHUSD_250627", ("ETH", "USD")),
        ("ETHBTC", ("ETH", "BTC")),
        ("BTCFDUSD", ("BTC", "FDUSD")),
    ],
)
def test_currencies(symbol, expected):
    assert currencies(symbol) == expected


def test_unknown_quote_currency_is_named():
    with pytest.raises(DataError, match="'BTCXYZ' ends in none"):
        currencies("BTCXYZ")


def test_inverse_contracts_are_paid_in_the_coin(tmp_path):
    capture = small("BTCUSD_PERP", "coinm")
    capture.write(tmp_path / "coinm")
    (coin,) = Binance(tmp_path / "coinm").universe.instruments
    assert (coin.kind, coin.multiplier, coin.settlement) == ("inverse", 100.0, "BTC")
    lots = round(30 / coin.lot)
    # long 30 contracts of 100 USD from 60,000 to 61,000: .05 BTC become .0492 BTC
    gained = 3_000 / 60_000 - 3_000 / 61_000
    assert profit(coin, lots, 60_000.0, 61_000.0) == pytest.approx(gained, rel=1e-12)
    assert profit(coin, -lots, 60_000.0, 61_000.0) == pytest.approx(-gained, rel=1e-12)
    assert gained * 61_000 == pytest.approx(50.0)


@pytest.fixture(scope="module")
def usdm(data_root):
    source = Binance(data_root / "binance" / "usdm")
    frames = list(source.frames(0, source.bar_count))
    records = np.concatenate([frame.records for frame in frames])
    return SimpleNamespace(source=source, frames=frames, records=records)


def test_recorded_instruments(usdm):
    bitcoin, ether = usdm.source.universe.instruments
    assert (bitcoin.increment, bitcoin.lot) == (0.1, 0.001)
    assert (ether.increment, ether.lot) == (0.01, 0.001)
    assert (bitcoin.kind, bitcoin.settlement) == ("linear", "USDT")
    assert usdm.source.columns == Bar._fields


def test_recorded_market_is_whole(usdm):
    """345 s were captured; the clock is 1.25 s behind, give or take the network."""
    assert usdm.source.breaks == {"BTCUSDT": 0, "ETHUSDT": 0}
    assert 3_300 < usdm.source.bar_count < 3_450
    latency = usdm.source.played.received_ns - usdm.source.played.records["event_ns"]
    assert latency.min() > -1.52e9
    assert latency.max() < -1.1e9
    first = usdm.frames[0]
    assert (first.publisher, first.epoch, first.sequence) == (1, 1, 0)
    assert sum(len(frame.records) for frame in usdm.frames) > 220_000


def test_recorded_book_levels_are_in_order(usdm):
    """Replaying the level records alone keeps every side sorted and uncrossed."""
    levels = usdm.records[
        (usdm.records["kind"] == BOOK) & (usdm.records["symbol"] == 0)
    ]
    assert set(levels["c"]) == set(range(1, 10))
    sides = {BUY: {}, SELL: {}}
    moments = levels["event_ns"].tolist()
    rows = levels[["side", "a", "b", "c"]].tolist()
    for row, (side, price, _, level) in enumerate(rows):
        sides[side][level] = price
        if row + 1 == len(rows) or moments[row + 1] != moments[row]:
            bids = [sides[BUY][k] for k in sorted(sides[BUY])]
            asks = [sides[SELL][k] for k in sorted(sides[SELL])]
            assert bids == sorted(bids, reverse=True)
            assert asks == sorted(asks)
            assert not bids or not asks or bids[0] < asks[0]


def test_recorded_trades_meet_the_quotes(usdm):
    """The streams race: 55 to 80 % of trades lie within the quote known at receipt."""
    bid, ask, inside = {}, {}, []
    fields = ["kind", "symbol", "a", "b"]
    for kind, symbol, a, b in usdm.records[fields].tolist():
        if kind == QUOTE:
            bid[symbol], ask[symbol] = a, b
        elif kind == TRADE:
            inside.append(bid[symbol] <= a <= ask[symbol])
    assert len(inside) > 30_000
    assert 0.55 < np.mean(inside) < 0.8
