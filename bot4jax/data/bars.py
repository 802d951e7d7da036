"""Bars that come ready-made, as open, high, low, close and volume, onto the device's
columns.

Such bars hold trade prices; no quotes, trade sides or book. Their prices stand for
the mid as well, since there is no other; every column that would have to be guessed is
absent.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.data.recording import check_span
from bot4jax.data.source import BarBlock, DataError
from bot4jax.data.universe import Universe
from bot4jax.types import BAR_FLOATS, BAR_INTS, Frame

COLUMNS = (
    "mid_open",
    "mid_high",
    "mid_low",
    "mid_close",
    "mid_entry",
    "trade_open",
    "trade_high",
    "trade_low",
    "trade_close",
    "live",
    "anchor",
    "base_turnover",
    "adjustment",
)
"""What such bars can fill. Quote turnover is not among them: it needs the price of
every trade."""

LIMIT = 1 << 30
"""Device offsets stay below this many half increments from the anchor."""

_INTS = {name: row for row, name in enumerate(BAR_INTS)}
_FLOATS = {name: row for row, name in enumerate(BAR_FLOATS)}


class Panel(NamedTuple):
    """Bars of all symbols on one clock; prices in quote currency a base unit.

    Where `live` is false the other values do not count and may be NaN.
    """

    open: Float[np.ndarray, "T S"]
    high: Float[np.ndarray, "T S"]
    low: Float[np.ndarray, "T S"]
    close: Float[np.ndarray, "T S"]
    volume: Float[np.ndarray, "T S"]
    """base units"""
    live: Bool[np.ndarray, "T S"]
    adjustment: Float[np.ndarray, "T S"]
    """factor of corporate actions, 1 where there was none"""


class BarSource:
    """A `Source` of ready-made bars.

    A bar that is not live repeats the last close with zero volume; before its first
    live bar a symbol stands at its anchor, its first price. An order decided on one bar
    meets the open of the next, which is therefore the entry price.
    """

    columns: tuple[str, ...] = COLUMNS
    simulated = False
    has_ticks = False

    def __init__(
        self, universe: Universe, panel: Panel, bar_ns: int, start_ns: int
    ) -> None:
        increments = universe.column("increment").astype(np.float64)
        self.universe = universe
        self.bar_ns = bar_ns
        self.start_ns = start_ns
        self.bar_count = len(panel.close)
        self.panel = repeated(panel)
        self.anchors = np.rint(self.panel.close[0] / increments).astype(np.int64)
        self._increments = increments
        check_range(self.panel, self.anchors, universe)

    def frames(self, first: int, stop: int) -> Iterator[Frame]:
        """Nothing: this source has no ticks."""
        return iter(())

    def bars(self, first: int, stop: int) -> Iterator[BarBlock]:
        """The bars `first … stop − 1`."""
        check_span(first, stop, self.bar_count)
        for index in range(first, stop):
            row = Panel(*(column[index] for column in self.panel))
            yield bar_block(index, row, self.anchors, self._increments)


def bar_block(
    index: int,
    row: Panel,
    anchors: Int[np.ndarray, " S"],
    increments: Float[np.ndarray, " S"],
) -> BarBlock:
    """One row of a panel as device columns; mids in half increments from the anchor."""
    ints = np.zeros((len(BAR_INTS), len(anchors)), np.int32)
    floats = np.zeros((len(BAR_FLOATS), len(anchors)), np.float32)
    for name in ("open", "high", "low", "close"):
        price = getattr(row, name) / increments
        ints[_INTS[f"mid_{name}"]] = np.rint(2 * price) - 2 * anchors
        ints[_INTS[f"trade_{name}"]] = np.rint(price) - anchors
    ints[_INTS["mid_entry"]] = ints[_INTS["mid_open"]]
    ints[_INTS["live"]] = row.live
    floats[_FLOATS["anchor"]] = anchors
    floats[_FLOATS["base_turnover"]] = row.volume
    floats[_FLOATS["adjustment"]] = row.adjustment
    return BarBlock(index, ints, floats)


def repeated(panel: Panel) -> Panel:
    """The panel without holes: the last close, no volume, no adjustment in them."""
    last = last_live(panel.live)
    first = np.argmax(panel.live, axis=0)
    slots = np.arange(panel.live.shape[1])
    close = np.where(
        last >= 0, panel.close[last, slots], panel.open[first, slots]
    ).astype(np.float64)
    return Panel(
        open=np.where(panel.live, panel.open, close),
        high=np.where(panel.live, panel.high, close),
        low=np.where(panel.live, panel.low, close),
        close=close,
        volume=np.where(panel.live, panel.volume, 0.0),
        live=panel.live,
        adjustment=np.where(panel.live, panel.adjustment, 1.0),
    )


def last_live(live: Bool[np.ndarray, "T S"]) -> Int[np.ndarray, "T S"]:
    """Index of the newest live bar up to and including each; −1 before the first."""
    index = np.where(live, np.arange(len(live))[:, None], -1)
    return np.maximum.accumulate(index, axis=0)


def check_range(
    panel: Panel, anchors: Int[np.ndarray, " S"], universe: Universe
) -> None:
    """Every offset must fit the device's integers; names the symbol that does not."""
    increments = universe.column("increment").astype(np.float64)
    highest = np.max(panel.high, axis=0) / increments - anchors
    lowest = np.min(panel.low, axis=0) / increments - anchors
    farthest = 2 * np.maximum(np.abs(highest), np.abs(lowest))
    fits = farthest < LIMIT
    if not fits.all():
        slot = int(np.argmin(fits))
        one = universe.instruments[slot]
        raise DataError(
            f"{one.symbol} moves {farthest[slot]:.3g} half increments of "
            f"{one.increment:g} from its first price, fewer than "
            f"{LIMIT} were expected: "
            "give it a coarser increment or leave it out."
        )
