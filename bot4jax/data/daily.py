"""The panel of US equities: daily bars with point-in-time, total-return prices.

The panel holds raw prices and, beside them, the return of each day, correct for splits
and dividends. Prices here are the first raw close compounded by those returns, so that
a split moves nothing; open, high and low keep their ratio to the close of their day,
and volume is in adjusted shares, so that price × volume is still the dollars traded.

A row that cannot be used is not live: the price is repeated, the volume is zero, and
`Daily.rejected` counts it under the first reason that applies, in this order:

- `late`: it arrived after its own close (`lag_days > 0`), too late to decide on. Its
  return is null in the panel and never learned: the path bridges the day with 0.
- `no_return`: a null return of a symbol that was there before; bridged in the same way.
- `nan_return`, `infinite_return`, `return_at_most_-1`, `return_above_1`: a wrong
  return, or one too large to tell from a wrong one; bridged by 0.
- `return_below_-7/8`: in this panel always a misplaced decimal point or a reverse split
  on the wrong day; the deepest true fall in it is −83 %; bridged by 0.
- `price_not_positive`: open, high, low or close at or below 0; bridged by 0.
- `no_trades`: volume 0. Its return is right and shows in the next live bar.
- `open_misplaced`: the open is over eight times above or below both its own close and
  the close before: nobody could have bought there. Its return is right, too.
- `price_vanished`: under 100 increments are left of a price that began with 10⁵.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from bot4jax.data.bars import BarSource, Panel, last_live
from bot4jax.data.listing import EVERYBODY, Listing, delisted, listed
from bot4jax.data.source import DataError
from bot4jax.data.universe import universe
from bot4jax.types import Instrument

DAY_NS = 86_400_000_000_000

SCHEMA = {
    "symbol": pl.String,
    "date": pl.Date,
    "open": pl.Float32,
    "high": pl.Float32,
    "low": pl.Float32,
    "close": pl.Float32,
    "volume": pl.Int64,
    "ret_adj": pl.Float32,
    "lag_days": pl.Int8,
}
"""`ret_adj` is the total return since the symbol's row before, `lag_days` how many days
after its own date the row arrived."""

INCREMENT = 1e-4
"""US dollars, at most; finer where it must be for a price to begin with 10⁵ of them."""

NOISE = 1e-5
"""Below it, a difference between adjusted and raw return is the rounding of float32:
1.1 % of the panel's rows lie above, and hardly one between 1e-6 and 5e-4."""

FEWEST = 100
"""Increments of a live price: half of one is then at most .5 % of it."""

COMMISSION = 1e-4
"""Share of notional: .005 dollars a share, the usual public tier, at 50 dollars."""

MARGIN = 0.5
"""Regulation T: half of an equity position must be paid."""


Mask = Bool[np.ndarray, "T S"]


class Rows(NamedTuple):
    """The panel as it stands in the file, with zeros where a row is missing."""

    open: Float[np.ndarray, "T S"]
    high: Float[np.ndarray, "T S"]
    low: Float[np.ndarray, "T S"]
    close: Float[np.ndarray, "T S"]
    volume: Float[np.ndarray, "T S"]
    ret_adj: Float[np.ndarray, "T S"]
    """0 where it is null"""
    lag_days: Float[np.ndarray, "T S"]
    is_null: Mask
    """the row is there and its return is null"""
    is_there: Mask


class Daily(BarSource):
    """All symbols of the panel, one bar a trading day; bars count no weekends.

    `path` is the folder that holds the Parquet file, or the file; `terms` say who is in
    the universe. Symbols that end early are not live afterwards; those that are never
    live are left out and named in `never_live`.
    """

    def __init__(self, path: str | Path, terms: Listing = EVERYBODY) -> None:
        table = read_table(Path(path))
        days = table["date"].unique().sort()
        chosen = listed(table, days, terms)
        if chosen is not None:
            table = table.filter(pl.col("symbol").is_in(chosen))
        names = table["symbol"].unique().sort().to_list()
        rows = on_calendar(table, days, names)
        panel, reasons = adjusted(rows)
        panel, ended = delisted(panel, rows.is_there, terms.delisting_return)
        is_kept = np.any(panel.live, axis=0)
        kept = [names[slot] for slot in np.flatnonzero(is_kept)]
        panel = Panel(*(column[:, is_kept] for column in panel))
        steps = increments(first_where(panel.live, panel.close))
        instruments = [share(*pair) for pair in zip(kept, steps.tolist(), strict=True)]
        start_ns = int(days.dt.timestamp("ns")[0])
        super().__init__(universe(instruments), panel, DAY_NS, start_ns, ended[is_kept])
        self.dates = days.to_list()
        """trading day of each bar"""
        self.opens_ns = days.dt.timestamp("ns").to_numpy()
        """midnight UTC of each"""
        self.listed_bars = 0 if chosen is None else min(terms.days, len(days))
        """first bars, which chose who is in the universe; 0 where nothing chose"""
        self.rejected = {name: int(mask.sum()) for name, mask in reasons.items()}
        """rows that are not live, by reason"""
        self.never_live = sorted(set(names) - set(kept))


def share(symbol: str, increment: float) -> Instrument:
    """The instrument of a US equity."""
    return Instrument(
        symbol=symbol,
        kind="equity",
        increment=increment,
        lot=1.0,
        base=symbol,
        quote="USD",
        settlement="USD",
        maker_fee=COMMISSION,
        taker_fee=COMMISSION,
        margin=MARGIN,
        calendar="xnys",
    )


def increments(price: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
    """US dollars: `INCREMENT`, or the power of ten that a price holds 10⁵ times."""
    return np.minimum(INCREMENT, 10.0 ** np.floor(np.log10(price) - 5))


def read_table(path: Path) -> pl.DataFrame:
    """The file's table, its columns checked."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if len(files) != 1:
        raise DataError(f"{path} holds {len(files)} Parquet files, one was expected.")
    try:
        table = pl.read_parquet(files[0])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{files[0]} is no readable Parquet file: {error}") from error
    for name, kind in SCHEMA.items():
        found = table.schema.get(name)
        if found != kind:
            raise DataError(
                f"{files[0]}: column '{name}' is {found or 'missing'}, {kind} was "
                "expected."
            )
    table = table.select(list(SCHEMA)).drop_nulls(("symbol", "date"))
    if not table.height:
        raise DataError(f"{files[0]} holds no rows.")
    twice = table.filter(pl.struct("symbol", "date").is_duplicated())
    if twice.height:
        symbol, day = twice.row(0)[:2]
        raise DataError(f"{files[0]}: {symbol} stands twice on {day}, once expected.")
    return table


def on_calendar(table: pl.DataFrame, days: pl.Series, names: list[str]) -> Rows:
    """The table's columns as matrices of trading day and symbol."""
    day = days.search_sorted(table["date"]).to_numpy()
    slot = pl.Series(names).search_sorted(table["symbol"]).to_numpy()

    def matrix(values: pl.Series) -> np.ndarray:
        filled = np.zeros((len(days), len(names)))
        filled[day, slot] = values.to_numpy()
        return filled

    numbers = [table[name].fill_null(0).cast(pl.Float64) for name in list(SCHEMA)[2:]]
    is_null = table["ret_adj"].is_null().cast(pl.Float64)
    is_there = pl.repeat(1.0, table.height, eager=True)
    return Rows(
        *(matrix(values) for values in numbers),
        is_null=matrix(is_null) > 0,
        is_there=matrix(is_there) > 0,
    )


def adjusted(rows: Rows) -> tuple[Panel, dict[str, Mask]]:
    """Total-return prices compounded from the first raw close; what is not live."""
    wrong = exclusive(rows.is_there, wrong_rows(rows))
    is_usable = rows.is_there & ~np.any(list(wrong.values()), axis=0)
    is_priced = np.isfinite(rows.close) & (rows.close > 0)
    base = first_where(is_priced, rows.close)
    close = base * np.cumprod(1 + np.where(is_usable, rows.ret_adj, 0.0), axis=0)
    ratio = np.divide(close, rows.close, where=is_priced, out=np.zeros_like(close))
    panel = Panel(
        open=rows.open * ratio,
        high=rows.high * ratio,
        low=rows.low * ratio,
        close=close,
        volume=np.divide(rows.volume, ratio, where=ratio > 0, out=np.zeros_like(close)),
        live=is_usable,
        adjustment=corporate_actions(rows, is_usable & is_priced),
    )
    idle = exclusive(is_usable, idle_rows(panel))
    live = is_usable & ~np.any(list(idle.values()), axis=0)
    return panel._replace(live=live), wrong | idle


def exclusive(is_there: Mask, found: dict[str, Mask]) -> dict[str, Mask]:
    """Each row under the first reason that applies to it."""
    left = is_there.copy()
    first = {}
    for reason, mask in found.items():
        first[reason] = mask & left
        left &= ~mask
    return first


def wrong_rows(rows: Rows) -> dict[str, Mask]:
    """Rows whose return is unknown or not to be believed."""
    returns = rows.ret_adj
    came_before = np.cumsum(rows.is_there, axis=0) > 1
    prices = np.stack([rows.open, rows.high, rows.low, rows.close])
    return {
        "late": rows.lag_days > 0,
        "no_return": rows.is_null & came_before,
        "nan_return": np.isnan(returns),
        "infinite_return": np.isinf(returns),
        "return_at_most_-1": returns <= -1,
        "return_below_-7/8": returns < -7 / 8,
        "return_above_1": returns > 1,
        "price_not_positive": np.any(~(prices > 0), axis=0),
    }


def idle_rows(panel: Panel) -> dict[str, Mask]:
    """Rows with a right return, in which nobody could have traded."""
    before = np.vstack([panel.open[:1], panel.close[:-1]])
    highest, lowest = np.maximum(before, panel.close), np.minimum(before, panel.close)
    fewest = FEWEST * increments(first_where(panel.live, panel.close))
    return {
        "no_trades": panel.volume <= 0,
        "open_misplaced": (panel.open > 8 * highest) | (8 * panel.open < lowest),
        "price_vanished": panel.close < fewest,
    }


def corporate_actions(rows: Rows, is_usable: Mask) -> Float[np.ndarray, "T S"]:
    """Total return over raw return: 7 on a 7:1 split, 1.005 on a dividend of .5 %."""
    slots = np.arange(rows.close.shape[1])
    before = np.vstack([np.full(len(slots), -1), last_live(rows.is_there)[:-1]])
    previous = rows.close[before, slots]
    is_known = is_usable & (before >= 0) & (previous > 0) & ~rows.is_null
    raw = np.divide(rows.close, previous, where=is_known, out=np.ones_like(previous))
    factor = np.where(is_known, (1 + rows.ret_adj) / raw, 1.0)
    return np.where(np.abs(factor - 1) > NOISE, factor, 1.0)


def first_where(
    mask: Mask, values: Float[np.ndarray, "T S"]
) -> Float[np.ndarray, " S"]:
    """Each symbol's first value where the mask holds; its first of all if nowhere."""
    return values[np.argmax(mask, axis=0), np.arange(mask.shape[1])]
