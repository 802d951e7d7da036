"""The market: one section for each source, and how its bars are shared out."""

from typing import Annotated, Literal

from msgspec import Meta

from bot4jax.schema.bounds import (
    LARGEST,
    BarSeconds,
    Count,
    CountOrNone,
    NonNegative,
    Positive,
    Section,
    Text,
)


class Data(Section, frozen=True):
    """Common to all sources of market data."""

    path: Text | None
    """folder with the source's own files; null only for the simulator"""
    bar_seconds: BarSeconds
    """s of event time in one bar"""
    symbols: CountOrNone
    """at most this many, in the source's own order; 0: all it holds"""


class SimulatorData(Data, frozen=True):
    """A market made from a seed; it knows its own best possible forecast."""

    source: Literal["simulator"]
    ticks_per_bar: Annotated[float, Meta(ge=1, le=LARGEST)]
    """mean events a symbol and bar; none has fewer than five sixths of it"""
    volatility_bps: Positive
    """bps of one bar's return, one standard deviation"""
    predictive_r2: Annotated[float, Meta(ge=0, le=0.05)]
    """share of the next bar's variance that order flow foretells; real BTCUSDT at 1 s
    has about .007; 0 is the market in which any skill proves a leak"""
    contemporaneous_r2: Annotated[float, Meta(ge=0, lt=1)]
    """share of the same bar's variance that order flow explains"""
    spread_bps: Positive
    """bps between the best bid and ask, mean"""
    halts: bool
    """trading halts of single symbols occur"""
    jumps: bool
    """prices jump now and then"""


class BinanceData(Data, frozen=True):
    """Raw Binance websocket captures: book differences, best quotes, trades."""

    source: Literal["binance"]


class LeanData(Data, frozen=True):
    """LEAN's tick archives of US equities: consolidated quotes, trades, no book."""

    source: Literal["lean"]


class ForexData(Data, frozen=True):
    """LEAN's tick archives of currency pairs: quotes without sizes, no trades."""

    source: Literal["forex"]


class LobsterData(Data, frozen=True):
    """LOBSTER's messages and books of US shares: quotes, trades with sides, levels."""

    source: Literal["lobster"]


class Fi2010Data(Data, frozen=True):
    """FI-2010: books of five Finnish shares by event, without times, for `mode=lob`."""

    source: Literal["fi2010"]


class DailyData(Data, frozen=True):
    """US equities, one bar a day: has bars, no ticks and no quotes."""

    source: Literal["daily"]
    least_price: NonNegative
    """US dollars, at the end of the training span; cheaper shares are left out"""
    least_dollars: NonNegative
    """US dollars, median volume of a day up to then; less traded shares are left out"""
    delisting_return: Annotated[float, Meta(gt=-1, le=0)]
    """of a share that ends before the panel does, on the day after; 0: none is charged;
    what holders got is not in the panel, so charge one beside the plain result"""


class CandleData(Data, frozen=True):
    """Files of candles, one per market: has bars, no ticks and no quotes."""

    source: Literal["candles"]


class ColumnData(Data, frozen=True):
    """Anyone's Parquet or CSV file, its columns named by a mapping."""

    source: Literal["columns"]
    file: Text
    """name of the file within `data.path`; .parquet, or else CSV"""
    mapping: dict[str, str]
    """our name → the file's column"""
    times_unit: Literal["s", "ms", "us", "ns"]
    """unit of the file's integer times, since 1970 UTC"""


class PluginData(Data, frozen=True):
    """A market that a plugin opens, by the name that it registers."""

    source: Literal["plugin"]
    name: Text
    """as in the plugin's `@source(name)`"""
    options: dict[str, str]
    """for the plugin to read"""


AnyData = (
    SimulatorData
    | BinanceData
    | LeanData
    | ForexData
    | LobsterData
    | Fi2010Data
    | DailyData
    | CandleData
    | ColumnData
    | PluginData
)


class Spans(Section, frozen=True):
    """Consecutive stretches of the data, in bars; warm-up and gaps come on top."""

    train: Count
    """bars that fit parameters, scalers and trees"""
    calibrate: Count
    """bars that fit calibration and the members' weights"""
    test: Count
    """bars that nothing was fitted on"""
