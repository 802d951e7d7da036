"""Binance raw captures: gzipped lines `<local receive ns> <json>` of several streams.

`bookTicker` gives quotes, `trade` trades, `depth` differences around one REST snapshot
give the book levels below the best. Event time is the message's `E`, the moment the
exchange sent it, since that is the one stamp nearly every stream has and the one in
whose order messages arrive; matching times (`T`) of a spot trade run up to .17 s
behind it. The local clock may stand anywhere: it only orders messages.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bot4jax.data.book import Book, Difference, Level
from bot4jax.data.capture import (
    Depth,
    Message,
    Pair,
    Snapshot,
    Ticker,
    Trade,
    malformed,
    messages,
)
from bot4jax.data.grid import UNITS, grid, units
from bot4jax.data.recording import RecordedSource, Recording, in_order
from bot4jax.data.source import DataError
from bot4jax.data.universe import universe
from bot4jax.types import (
    BOOK,
    BUY,
    LEVELS,
    QUOTE,
    SELL,
    TICK,
    TRADE,
    UNKNOWN_SIDE,
    Instrument,
)


class Terms(NamedTuple):
    """Contract terms of one of the exchange's markets; fees of the public base tier."""

    kind: str
    maker_fee: float
    taker_fee: float
    margin: float
    minimum_notional: float


MARKETS = {
    "spot": Terms("spot", 10e-4, 10e-4, 1.0, 5.0),
    "usdm": Terms("linear", 2e-4, 5e-4, 0.05, 100.0),
    "coinm": Terms("inverse", 1e-4, 5e-4, 0.05, 0.0),
}

QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "BTC", "ETH", "BNB", "EUR")

OFFSETS = 101
"""Messages over which the running median of event − receive time is taken."""


class Binance(RecordedSource):
    """All symbols of one folder of captures, played as one publisher.

    A folder is one market, `…/spot`, `…/usdm` or `…/coinm`, with files named
    `<symbol>_<day>.gz`; the days of a symbol are joined. `symbols` keeps the first so
    many by name, 0 all. Files are read once a process.
    """

    def __init__(
        self, path: str | Path, bar_seconds: float = 0.1, symbols: int = 0
    ) -> None:
        market, captures = _captures(Path(path))
        chosen = sorted(captures)[: symbols or None]
        read = [_capture(symbol, captures[symbol]) for symbol in chosen]
        recordings = [_in_slot(one.recording, slot) for slot, one in enumerate(read)]
        instruments = [
            instrument(symbol, market, one.price_step, one.size_step)
            for symbol, one in zip(chosen, read, strict=True)
        ]
        bar_ns = round(bar_seconds * 1e9)
        super().__init__(universe(instruments), in_order(*recordings), bar_ns)
        self.breaks = dict(zip(chosen, (one.breaks for one in read), strict=True))
        """broken chains of book updates by symbol"""
        self.ignored = dict(zip(chosen, (one.ignored for one in read), strict=True))
        """messages that are no quote, trade or book update, by symbol"""


def instrument(symbol: str, market: str, price_step: int, size_step: int) -> Instrument:
    """The instrument of a market; steps are in units of 1e-8."""
    terms = MARKETS[market]
    base, quote = currencies(symbol)
    is_inverse = terms.kind == "inverse"
    return Instrument(
        symbol=symbol,
        kind=terms.kind,
        increment=price_step / UNITS,
        lot=size_step / UNITS,
        minimum_notional=terms.minimum_notional,
        multiplier=(100.0 if base == "BTC" else 10.0) if is_inverse else 1.0,
        base=base,
        quote=quote,
        settlement=base if is_inverse else quote,
        maker_fee=terms.maker_fee,
        taker_fee=terms.taker_fee,
        margin=terms.margin,
    )


def currencies(symbol: str) -> tuple[str, str]:
    """Base and quote currency: BTCUSDT, BTCUSD_PERP → BTC and USDT, USD."""
    pair = symbol.partition("_")[0]
    for quote in QUOTES:
        if pair.endswith(quote) and pair != quote:
            return pair.removesuffix(quote), quote
    raise DataError(
        f"Symbol '{symbol}' ends in none of the known quote currencies: "
        + ", ".join(QUOTES)
    )


class Capture(NamedTuple):
    """What the files of one symbol hold, on the grid of its prices and sizes."""

    recording: Recording
    price_step: int
    """units of 1e-8"""
    size_step: int
    breaks: int
    ignored: int


class RunningMedian:
    """The median of the last `OFFSETS` values, sorted only when it is asked for."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=OFFSETS)
        self._value: int | None = None

    def push(self, value: int) -> None:
        self._recent.append(value)
        self._value = None

    def value(self) -> int | None:
        """None before the first value."""
        if self._value is None and self._recent:
            self._value = sorted(self._recent)[len(self._recent) // 2]
        return self._value


class Recorder:
    """Turns the messages of one symbol into tick rows, prices and sizes in 1e-8."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.book = Book()
        self.rows: list[tuple[int, ...]] = []
        self.received: list[int] = []
        self.ignored = 0
        self._offsets = RunningMedian()
        self._top: tuple[list[Level], list[Level]] = ([], [])

    def take(self, received: int, message: Message | None) -> None:
        """Append what the message says; messages of another symbol are an error."""
        if message is None:
            self.ignored += 1
            return
        if not isinstance(message, Snapshot) and message.s != self.symbol:
            raise ValueError(f"symbol '{message.s}' found, '{self.symbol}' expected")
        event = self._event_ns(received, message)
        if event is None:
            self.ignored += 1
        elif isinstance(message, Ticker):
            prices = units(message.b), units(message.a)
            sizes = units(message.B), units(message.A)
            self._add(received, (QUOTE, UNKNOWN_SIDE, 0, 0, event, *prices, *sizes))
        elif isinstance(message, Trade):
            self._trade(received, event, message)
        else:
            self._update(message)
            self._levels(received, event)

    def _event_ns(self, received: int, message: Message) -> int | None:
        """Exchange time; where it is missing, receive time plus the usual offset."""
        if message.E:
            event = message.E * 1_000_000
            self._offsets.push(event - received)
            return event
        offset = self._offsets.value()
        return None if offset is None else received + offset

    def _add(self, received: int, row: tuple[int, ...]) -> None:
        self.rows.append(row)
        self.received.append(received)

    def _trade(self, received: int, event: int, trade: Trade) -> None:
        if trade.X != "MARKET":
            self.ignored += 1
            return
        side = SELL if trade.m else BUY
        price, size = units(trade.p), units(trade.q)
        self._add(received, (TRADE, side, 0, 0, event, price, size, trade.t, 0))

    def _update(self, message: Depth | Snapshot) -> None:
        if isinstance(message, Snapshot):
            bids, asks = _levels(message.bids), _levels(message.asks)
            self.book.restore(message.lastUpdateId, bids, asks)
            return
        previous = message.U - 1 if message.pu is None else message.pu
        bids, asks = _levels(message.b), _levels(message.a)
        self.book.apply(Difference(previous, message.u, bids, asks))

    def _levels(self, received: int, event: int) -> None:
        """Levels 1 … 9 that changed; a level that vanished is sent with size 0.

        Level 0 travels as the quote only: `bookTicker` is ahead of the differences.
        """
        top = self.book.bids.top(LEVELS), self.book.asks.top(LEVELS)
        for side, before, after in zip((BUY, SELL), self._top, top, strict=True):
            if before != after:
                for level, price, size in changed(before, after):
                    row = (BOOK, side, 0, 0, event, price, size, level, 0)
                    self._add(received, row)
        self._top = top


def _levels(pairs: Iterable[Pair]) -> list[Level]:
    return [(units(price), units(size)) for price, size in pairs]


def changed(before: list[Level], after: list[Level]) -> Iterator[tuple[int, int, int]]:
    """Level, price and size of every level below the best that is no longer as it was.

    A level beyond the end of the book keeps its last price, with size 0.
    """
    for level in range(1, max(len(before), len(after))):
        price, size = after[level] if level < len(after) else (before[level][0], 0)
        if level >= len(before) or before[level] != (price, size):
            yield level, price, size


def _captures(folder: Path) -> tuple[str, dict[str, tuple[Path, ...]]]:
    """The market's name and the files of each symbol in the order of their days."""
    market = folder.name
    if not folder.is_dir() or market not in MARKETS:
        raise DataError(
            f"'{folder}' was given, a folder named for its market was expected: one of "
            + ", ".join(MARKETS)
        )
    symbols: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*_*.gz")):
        symbols.setdefault(path.stem.rpartition("_")[0].upper(), []).append(path)
    if not symbols:
        raise DataError(f"{folder} holds no capture: expected '<symbol>_<day>.gz'.")
    return market, {symbol: tuple(paths) for symbol, paths in symbols.items()}


def _capture(symbol: str, paths: tuple[Path, ...]) -> Capture:
    stamps = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
    return _read(symbol, paths, stamps)


@lru_cache(maxsize=16)
def _read(symbol: str, paths: tuple[Path, ...], _stamps: tuple) -> Capture:
    recorder = Recorder(symbol)
    for path in paths:
        for number, (received, message) in enumerate(messages(path), 1):
            try:
                recorder.take(received, message)
            except ValueError as error:
                raise malformed(path, number, error) from error
    try:
        records = np.array(recorder.rows, TICK)
    except OverflowError as error:
        raise DataError(f"{paths[0]}: a price or size above 9e10 was found.") from error
    recording = Recording(records, np.array(recorder.received, np.int64))
    steps = _onto_grid(records)
    return Capture(recording, *steps, recorder.book.breaks, recorder.ignored)


def _onto_grid(records: np.ndarray) -> tuple[int, int]:
    """Divide prices and sizes by their grid, in place; returns the two steps."""
    is_quote = records["kind"] == QUOTE
    second = np.where(is_quote, records["b"], 0)
    price_step = grid(np.concatenate([records["a"], second]))
    sizes = np.where(is_quote, records["c"], records["b"])
    size_step = grid(np.concatenate([sizes, np.where(is_quote, records["d"], 0)]))
    records["a"] //= price_step
    records["b"] //= np.where(is_quote, price_step, size_step)
    for name in ("c", "d"):
        records[name] //= np.where(is_quote, size_step, 1)
    return price_step, size_step


def _in_slot(recording: Recording, slot: int) -> Recording:
    records = recording.records.copy()
    records["symbol"] = slot
    return Recording(records, recording.received_ns)
