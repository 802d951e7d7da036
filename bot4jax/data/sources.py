"""The source that a configuration names.

Its module alone is imported: a feed and a venue of the simulator start without Polars,
and without JAX.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bot4jax.data.source import DataError, Source
from bot4jax.errors import ConfigError
from bot4jax.schema import Config
from bot4jax.schema.data import (
    BinanceData,
    CandleData,
    ColumnData,
    DailyData,
    Fi2010Data,
    ForexData,
    LeanData,
    LobsterData,
    PluginData,
    SimulatorData,
)

EXPECTED = {
    "daily": (
        "one Parquet file of daily bars, or its folder, with the columns symbol, date, "
        "open, high, low, close, volume, ret_adj and lag_days"
    ),
    "candles": "feather files <BASE>_<QUOTE>-5m.feather, one a pair",
}
"""What lies in `data.path`, where that is told in a sentence."""


def open_source(config: Config, bars: int) -> Source:
    """The configured market; the simulator makes `bars` of it, others hold theirs."""
    opened = OPENERS[type(config.data)](config.data, config, bars)
    if opened.bar_count < bars:
        raise DataError(
            f"{config.data.source} holds {opened.bar_count} bars of "
            f"{config.data.bar_seconds:g} s, but the spans and their gaps need {bars}: "
            "shorten spans.train, spans.calibrate or spans.test."
        )
    return opened


def folder(path: str | None, source: str) -> Path:
    """The folder that holds a source's files."""
    if path is None:
        raise DataError(
            f"data={source} needs data.path=PATH, the folder that holds its files."
        )
    found = Path(path)
    if not found.exists():
        expected = EXPECTED.get(source, "the folder that holds its files")
        raise DataError(
            f"data.path={path}: there is no such place; data={source} expects "
            f"{expected} there (README.md, Your own data)."
        )
    return found


def within(data: ColumnData) -> Path:
    """The file of `data=columns`."""
    found = folder(data.path, data.source) / data.file
    if not found.is_file():
        raise DataError(
            f"data.file={data.file}: there is no such file in data.path={data.path}; "
            "data=columns expects a Parquet or CSV file there."
        )
    return found


def _simulator(data: SimulatorData, config: Config, bars: int) -> Source:
    from bot4jax.data.simulator import Simulator

    return Simulator(
        symbols=data.symbols,
        bars=bars,
        seed=config.run.seed,
        bar_seconds=data.bar_seconds,
        ticks_per_bar=data.ticks_per_bar,
        volatility_bps=data.volatility_bps,
        predictive_r2=data.predictive_r2,
        contemporaneous_r2=data.contemporaneous_r2,
        spread_bps=data.spread_bps,
        halts=data.halts,
        jumps=data.jumps,
        taker_fee_bps=config.venue.taker_fee_bps,
    )


def _binance(data: BinanceData, config: Config, bars: int) -> Source:
    from bot4jax.data.binance import Binance

    return Binance(folder(data.path, data.source), data.bar_seconds, data.symbols)


def _lean(data: LeanData, config: Config, bars: int) -> Source:
    from bot4jax.data.lean import Lean

    return Lean(folder(data.path, data.source), data.bar_seconds, data.symbols)


def _forex(data: ForexData, config: Config, bars: int) -> Source:
    from bot4jax.data.forex import Forex

    return Forex(folder(data.path, data.source), data.bar_seconds, data.symbols)


def _lobster(data: LobsterData, config: Config, bars: int) -> Source:
    from bot4jax.data.lobster import Lobster

    return Lobster(folder(data.path, data.source), data.bar_seconds, data.symbols)


def _fi2010(data: Fi2010Data, config: Config, bars: int) -> Source:
    raise DataError(
        "data=fi2010 tells no times, so there are no bars to trade on: use mode=lob "
        "(experiment=lob)."
    )


def _daily(data: DailyData, config: Config, bars: int) -> Source:
    from bot4jax.data.daily import Daily
    from bot4jax.data.listing import Listing

    train = config.features.window + config.spans.train
    terms = Listing(
        data.symbols,
        train,
        data.least_price,
        data.least_dollars,
        data.delisting_return,
    )
    return Daily(folder(data.path, data.source), terms)


def _candles(data: CandleData, config: Config, bars: int) -> Source:
    from bot4jax.data.candles import Candles

    return Candles(folder(data.path, data.source), data.bar_seconds, data.symbols)


def _columns(data: ColumnData, config: Config, bars: int) -> Source:
    from bot4jax.data.columns import Columns

    return Columns(
        within(data),
        data.mapping,
        data.times_unit,
        data.bar_seconds,
        data.symbols,
    )


def _plugin(data: PluginData, config: Config, bars: int) -> Source:
    from bot4jax import plugins
    from bot4jax.registry import SOURCES

    plugins.load(config.plugins)
    if data.name not in SOURCES:
        raise ConfigError(
            [
                f"data.name: no plugin registers a source '{data.name}'; there are "
                f"{', '.join(SOURCES) or 'none'}"
            ]
        )
    opened = SOURCES[data.name](config, bars)
    expect_source(data.name, opened)
    return opened


def expect_source(name: str, opened: Any) -> None:
    """Refuse what a plugin opened and is no market."""
    read = "frames" if getattr(opened, "has_ticks", False) else "bars"
    needed = (*Source.__annotations__, read)
    if missing := [one for one in needed if not hasattr(opened, one)]:
        raise ConfigError(
            [
                f"data.name: the plugin's '{name}' opened a {type(opened).__name__} "
                f"without {', '.join(missing)}; a source has all of Source of "
                "bot4jax/data/source.py, and BarSource of bot4jax/data/bars.py makes "
                "one of ready-made bars"
            ]
        )


OPENERS: dict[type, Callable[[Any, Config, int], Source]] = {
    SimulatorData: _simulator,
    BinanceData: _binance,
    LeanData: _lean,
    ForexData: _forex,
    LobsterData: _lobster,
    Fi2010Data: _fi2010,
    DailyData: _daily,
    CandleData: _candles,
    ColumnData: _columns,
    PluginData: _plugin,
}
