"""Stylised facts of a market's ticks, alike for a simulated and a recorded one.

Which facts, and what is normal: Cont (2001), Empirical Properties of Asset Returns.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.data.source import DataError, Source
from bot4jax.types import BUY, QUOTE, SELL, TICK, TRADE

INTERVALS = (0.125, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Sampling intervals of the signature plot, bars."""


class Tape(NamedTuple):
    """The ticks of some bars, symbol after symbol, each in order of event time."""

    records: np.ndarray
    symbols: int
    start_ns: int
    bar_ns: int
    bars: int


class Facts(NamedTuple):
    """What a market looks like at a glance."""

    sign_autocorrelation: Float[np.ndarray, " K"]
    """of consecutive trades' aggressors, lags 1 … K: positive, slowly decaying"""
    excess_kurtosis: float
    """of the bars' log returns of the mid: positive, tails are fat"""
    mean_spread_bps: float
    signature: Float[np.ndarray, " I"]
    """realised variance a bar of trade prices, by `INTERVALS`, over that of one bar:
    it falls while the bid-ask bounce dies out"""
    count_autocorrelation: float
    """lag 1, of the number of trades a bar: positive, activity clusters"""
    count_dispersion: float
    """variance over mean of that number; 1 for independent arrivals"""


def facts(source: Source, first: int, stop: int, lags: int = 20) -> Facts:
    """The stylised facts of a source's bars `first … stop − 1`."""
    tape = collect(source, first, stop)
    variances = signature(tape, INTERVALS)
    return Facts(
        sign_autocorrelation(tape, lags),
        excess_kurtosis(tape),
        mean_spread_bps(tape),
        variances / variances[INTERVALS.index(1.0)],
        count_autocorrelation(tape),
        count_dispersion(tape),
    )


def collect(source: Source, first: int, stop: int) -> Tape:
    """The ticks of the bars `first … stop − 1`, sorted by symbol and event time."""
    parts = [frame.records for frame in source.frames(first, stop)]
    records = np.concatenate(parts) if parts else np.zeros(0, TICK)
    start = source.start_ns + first * source.bar_ns
    span = (stop - first) * source.bar_ns
    since = records["event_ns"] - start
    records = records[(since >= 0) & (since < span)]
    for kind, name in ((QUOTE, "quotes"), (TRADE, "trades")):
        if not np.any(records["kind"] == kind):
            raise DataError(f"No {name} in bars {first} … {stop - 1}: ask for more.")
    order = np.lexsort((records["event_ns"], records["symbol"]))
    symbols = len(source.universe.instruments)
    return Tape(records[order], symbols, start, source.bar_ns, stop - first)


def sign_autocorrelation(tape: Tape, lags: int) -> Float[np.ndarray, " K"]:
    """Autocorrelation of trade signs, in trades (Lillo & Farmer, 2004)."""
    trades = tape.records[tape.records["kind"] == TRADE]
    trades = trades[(trades["side"] == BUY) | (trades["side"] == SELL)]
    symbol = trades["symbol"].astype(int)
    sign = np.where(trades["side"] == BUY, 1.0, -1.0)
    mean = np.bincount(symbol, sign, tape.symbols) / np.maximum(
        np.bincount(symbol, minlength=tape.symbols), 1
    )
    centred = sign - mean[symbol]
    products = [
        np.mean((centred[lag:] * centred[:-lag])[symbol[lag:] == symbol[:-lag]])
        for lag in range(1, lags + 1)
    ]
    return np.array(products) / np.mean(centred**2)


def excess_kurtosis(tape: Tape) -> float:
    """Fourth moment of the bars' mid returns over the normal's, mean over symbols."""
    quotes = tape.records[tape.records["kind"] == QUOTE]
    returns = grid_returns(tape, quotes, quotes["a"] + quotes["b"], 1.0)
    centred = returns - np.nanmean(returns, axis=0)
    variance = np.nanmean(centred**2, axis=0)
    moves = variance > 0
    fourth = np.nanmean(centred[:, moves] ** 4, axis=0)
    return float(np.mean(fourth / variance[moves] ** 2) - 3)


def mean_spread_bps(tape: Tape) -> float:
    """Quoted spread over the mid, mean over quotes, basis points."""
    quotes = tape.records[tape.records["kind"] == QUOTE]
    return float(
        np.mean(2e4 * (quotes["b"] - quotes["a"]) / (quotes["b"] + quotes["a"]))
    )


def signature(tape: Tape, intervals: Sequence[float]) -> Float[np.ndarray, " I"]:
    """Realised variance a bar of trade prices, by sampling interval in bars.

    Source: Andersen, Bollerslev, Diebold & Labys (2000), Great Realizations.
    """
    trades = tape.records[tape.records["kind"] == TRADE]
    returns = [grid_returns(tape, trades, trades["a"], one) for one in intervals]
    return np.array([np.nanmean(part**2) for part in returns]) / np.array(intervals)


def count_autocorrelation(tape: Tape) -> float:
    """Autocorrelation at lag 1 of the trades a bar."""
    counts = trade_counts(tape)
    centred = counts - counts.mean(axis=0)
    return float(np.sum(centred[1:] * centred[:-1]) / np.sum(centred**2))


def count_dispersion(tape: Tape) -> float:
    """Variance over mean of the trades a bar, mean over symbols that trade."""
    counts = trade_counts(tape)
    traded = counts.sum(axis=0) > 0
    return float(np.mean(counts.var(axis=0)[traded] / counts.mean(axis=0)[traded]))


def trade_counts(tape: Tape) -> Int[np.ndarray, "T S"]:
    """Trades of every bar and symbol."""
    trades = tape.records[tape.records["kind"] == TRADE]
    bar = (trades["event_ns"] - tape.start_ns) // tape.bar_ns
    cell = bar * tape.symbols + trades["symbol"]
    counts = np.bincount(cell, minlength=tape.bars * tape.symbols)
    return counts.reshape(tape.bars, tape.symbols)


def grid_returns(
    tape: Tape, records: np.ndarray, prices: Int[np.ndarray, " N"], interval: float
) -> Float[np.ndarray, "T S"]:
    """Log returns of the last price on a grid in time; NaN before the first price.

    Args:
      records: of one kind, as sorted in the tape; `prices` are theirs.
      interval: of the grid, bars.
    """
    span = tape.bars * tape.bar_ns
    steps = int(tape.bars / interval)
    times = (np.arange(1, steps + 1) * interval * tape.bar_ns).astype(np.int64)
    starts = np.arange(tape.symbols) * (span + 1)
    moments = records["symbol"].astype(np.int64) * (span + 1)
    moments += records["event_ns"] - tape.start_ns
    at = np.searchsorted(moments, starts + times[:, None]) - 1
    is_own = (at >= 0) & (records["symbol"][at] == np.arange(tape.symbols))
    logs = np.where(is_own, np.log(prices[at]), np.nan)
    return np.diff(logs, axis=0)
