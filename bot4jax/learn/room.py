"""How much can be traded at the best price when targets are met; the rest waits.

Where quotes show sizes it is what stood on the other side at the close that decided:
the last that is known of what an order meets. Of bars alone it is a share of what the
market traded in the bar that meets the target. Nobody knew that when it was decided: it
bounds what is filled, and no decision reads it. A source that tells neither bounds
nothing.

So no trade walks the book. Bars keep how much stands at the nearest levels, not at
which prices: what lies behind the best price has none.
"""

from collections.abc import Collection
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Array, Float

from bot4jax.data.source import Source
from bot4jax.data.universe import Universe
from bot4jax.learn.dataset import BarRecord

Told = Literal["sizes", "volume", "nothing"]
"""What a source tells of how much stands at the best price."""


class Room(NamedTuple):
    """What may be traded of each symbol when a bar's targets are met; shares of the
    capital, infinite where nothing bounds it."""

    buy: Float[np.ndarray | Array, "*T S"]
    sell: Float[np.ndarray | Array, "*T S"]


def told(columns: Collection[str]) -> Told:
    """By the bar columns that a source fills."""
    if {"bid_size", "ask_size"} <= set(columns):
        return "sizes"
    return "volume" if "base_turnover" in columns else "nothing"


def room_of(
    record: BarRecord, source: Source, participation: float, capital: float
) -> Room:
    """Of every recorded bar; `participation` of a bar's volume where no sizes are
    shown, `capital` in the currency that all settle in."""
    known = told(source.columns)
    if known == "nothing":
        return boundless(record.ints[:, 0].shape)
    names = ("ask_size", "bid_size") if known == "sizes" else ("base_turnover",) * 2
    both = (worth(record, source.universe, name) for name in names)
    if known == "volume":
        both = (participation * of_the_next(one) for one in both)
    return Room(*(share(one, capital) for one in both))


def boundless(shape: tuple[int, ...]) -> Room:
    """Room for everything."""
    return Room(*np.full((2, *shape), np.inf, np.float32))


def worth(record: BarRecord, universe: Universe, name: str) -> Float[np.ndarray, "T S"]:
    """A column of base volume at each bar's closing mid, settlement currency: of
    inverse contracts that is the coin, the base itself."""
    is_inverse = [one.kind == "inverse" for one in universe.instruments]
    price = record.price("mid_close") * universe.column("increment")
    return record.column(name) * np.where(is_inverse, 1.0, price)


def of_the_next(bars: Float[np.ndarray, "T S"]) -> Float[np.ndarray, "T S"]:
    """Of the bar that meets each bar's targets: what is left after the last is sold at
    its own close."""
    return np.concatenate([bars[1:], bars[-1:]])


def share(money: Float[np.ndarray, "T S"], capital: float) -> Float[np.ndarray, "T S"]:
    """Of the capital; what is not known is none."""
    return np.where(money > 0, money / capital, 0.0).astype(np.float32)
