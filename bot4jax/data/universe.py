"""What is traded: the instruments and the slots they hold on the device."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np

from bot4jax.types import Instrument


@dataclass(frozen=True)
class Universe:
    """Instruments in slot order; a symbol's number on the wire is its slot."""

    instruments: tuple[Instrument, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(one.symbol for one in self.instruments)

    @cached_property
    def hash(self) -> int:
        """Identity of the list, 32 bits: publisher and engine must agree on it."""
        return zlib.crc32(msgspec.json.encode(self.instruments))

    def column(self, field: str) -> np.ndarray:
        """One field of every instrument, in slot order."""
        return np.array([getattr(one, field) for one in self.instruments])


def universe(instruments: Sequence[Instrument]) -> Universe:
    """The universe of these instruments; symbols must be unique."""
    seen: set[str] = set()
    for one in instruments:
        if one.symbol in seen:
            raise ValueError(f"Symbol '{one.symbol}' stands twice in the universe.")
        seen.add(one.symbol)
    return Universe(tuple(instruments))


def notional(instrument: Instrument, lots: float, price: float) -> float:
    """Value of `lots` at `price` (quote currency a base unit), in the settlement.

    Inverse contracts are worth a fixed number of quote units, paid in the coin.
    """
    contracts = lots * instrument.lot
    if instrument.kind == "inverse":
        return contracts * instrument.multiplier / price
    return contracts * instrument.multiplier * price


def profit(instrument: Instrument, lots: float, entry: float, now: float) -> float:
    """Profit of `lots` (negative: short) from `entry` to `now`, in the settlement.

    Inverse: contracts × multiplier × (1/entry − 1/exit), in the coin.
    """
    contracts = lots * instrument.lot
    if instrument.kind == "inverse":
        return contracts * instrument.multiplier * (1.0 / entry - 1.0 / now)
    return contracts * instrument.multiplier * (now - entry)
