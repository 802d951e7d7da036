"""Which shares are in the universe, as one could have known, and what ends them.

A universe that is chosen with what came later holds no failures. Here only the days
before a decision choose it; and since the panel does not say what the holders of a
share that ended got for it, a stated return is charged beside the plain result.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from bot4jax.data.bars import Panel, last_live

ABSENT = 5
"""Days before the panel's last without a row: then a share has ended, and does not just
lack a row."""


class Listing(NamedTuple):
    """Terms of the universe, judged at the end of the first `days`."""

    symbols: int
    """those of the largest median dollar volume, at most so many; 0: all"""
    days: int
    """trading days that may be looked at"""
    least_price: float
    """US dollars, raw, at the last of those days"""
    least_dollars: float
    """US dollars, median volume of a day"""
    delisting_return: float
    """of a share that ends, on the day after its last; 0: its price just stands"""


EVERYBODY = Listing(0, 160, 0.0, 0.0, 0.0)


def listed(table: pl.DataFrame, days: pl.Series, terms: Listing) -> list[str] | None:
    """The symbols that fulfil the terms, by dollar volume; None where there are none.

    Absence counts as a volume of 0, and who is gone by then is not listed.
    """
    if not (terms.symbols or terms.least_price or terms.least_dollars):
        return None
    known = days[: max(terms.days, 1)]
    recent = known[-ABSENT:]
    by_symbol = (
        table.filter(pl.col("date").is_in(known.implode()))
        .sort("date")
        .group_by("symbol")
        .agg(
            dollars=pl.col("close").cast(pl.Float64) * pl.col("volume"),
            price=pl.col("close").last(),
            last=pl.col("date").last(),
        )
    )
    ranks = []
    for symbol, traded, price, last in by_symbol.iter_rows():
        padded = np.zeros(len(known))
        padded[: len(traded)] = traded
        dollars = float(np.median(padded))
        is_there = last >= recent[0] or not terms.least_price
        if is_there and price >= terms.least_price and dollars >= terms.least_dollars:
            ranks.append((-dollars, symbol))
    return [symbol for _, symbol in sorted(ranks)[: terms.symbols or None]]


def delisted(
    panel: Panel, is_there: Bool[np.ndarray, "T S"], returned: float
) -> tuple[Panel, Int[np.ndarray, " S"]]:
    """The panel with one more live bar of every share that ends, at the stated return.

    Who holds it then has lost that much, and can sell at that price on that day alone.
    From the day after, known with the second value, it has ended for good. Of a share
    whose price just stands nobody knows that it does not come back, nor of one that
    goes on: that day never comes.
    """
    ended = np.full(is_there.shape[1], len(is_there))
    if returned == 0:
        return panel, ended
    last = last_live(is_there)[-1]
    ends = np.flatnonzero((last >= 0) & (last < len(is_there) - ABSENT))
    own, before = (last[ends] + 1, ends), (last[ends], ends)
    ended[ends] = last[ends] + 2
    columns = {name: column.copy() for name, column in panel._asdict().items()}
    for name in ("open", "high", "low", "close"):
        columns[name][own] = panel.close[before] * (1 + returned)
    columns["volume"][own] = panel.volume[before]
    columns["live"][own] = panel.live[:, ends].any(0)
    columns["adjustment"][own] = 1.0
    return Panel(**columns), ended
