"""What a split or new terms make of prices, of lots and of what is held.

Engine and venue count by the same rule: whole lots, towards zero. What it makes of the
device's numbers, which the engine alone has, `device_terms` says.
"""

from collections.abc import Iterable
from typing import NamedTuple, TypeGuard

import msgspec

from bot4jax.data.universe import Universe
from bot4jax.errors import Halted
from bot4jax.runtime.messages import CorporateAction, InstrumentChange, Reference
from bot4jax.runtime.orders import LARGEST
from bot4jax.types import Instrument

ChangedTerms = CorporateAction | InstrumentChange

CHANGING = tuple(
    name
    for name in InstrumentChange.__struct_fields__
    if name not in ("symbol", "event_ns")
)
"""What may change of an instrument; its name and kind do not."""

ROUNDING = 1e-9
"""Lots, relative: how far a quotient of two sizes may miss a whole number."""


class Ratio(NamedTuple):
    """What one lot, one increment and one base unit of before are now."""

    lots: float
    increments: float
    price: float
    """of a base unit, quote currency"""


def is_split(event: Reference) -> TypeGuard[CorporateAction]:
    """Whether there are other shares from now on."""
    return isinstance(event, CorporateAction) and event.action == "split"


def changes_terms(event: Reference) -> TypeGuard[ChangedTerms]:
    """Whether prices or lots of its instrument mean something else from now on."""
    return is_split(event) or isinstance(event, InstrumentChange)


def ratio(instrument: Instrument, event: ChangedTerms) -> Ratio:
    """The terms of before in those of now.

    Lots are counted so that they are worth what they were: by all that one is of,
    lot × multiplier.
    """
    if isinstance(event, CorporateAction):
        return Ratio(event.factor, 1.0 / event.factor, 1.0 / event.factor)
    lots = instrument.lot * instrument.multiplier / (event.lot * event.multiplier)
    return Ratio(lots, instrument.increment / event.increment, 1.0)


def universe_after(universe: Universe, events: Iterable[Reference]) -> Universe:
    """The instruments with their new terms; slots stay."""
    instruments = list(universe.instruments)
    for one in events:
        if isinstance(one, InstrumentChange):
            terms = {name: getattr(one, name) for name in CHANGING}
            changed = msgspec.structs.replace(instruments[one.symbol], **terms)
            instruments[one.symbol] = changed
    return Universe(tuple(instruments))


def converted(lots: int, factor: float) -> tuple[int, float]:
    """So many old lots in new ones: whole ones, and what is broken off.

    More than can be counted raise `Halted`: terms so much finer are a mistake.
    """
    exact = lots * factor
    if not abs(exact) <= LARGEST:
        raise Halted(
            f"{lots} lots are {exact:.6g} of those that an event has made of them, but "
            f"{LARGEST} at most can be counted. Look at what its publisher has told, "
            "and at the account; then go on under another run.name."
        )
    nearest = round(exact)
    if abs(exact - nearest) <= ROUNDING * max(abs(exact), 1.0):
        return nearest, 0.0
    return int(exact), exact - int(exact)


def held_after(
    instrument: Instrument, event: ChangedTerms, lots: int
) -> tuple[int, float]:
    """What is held in the new terms, as `converted` has it.

    Contracts of another multiplier are no others of the same: what does not come out
    whole nobody has a price for, and `Halted` says so.
    """
    whole, broken = converted(lots, ratio(instrument, event).lots)
    if broken and isinstance(event, InstrumentChange):
        was, is_now = instrument.multiplier, event.multiplier
        if was != is_now:
            raise Halted(
                f"{instrument.symbol} has the multiplier {is_now:g} from now on, not "
                f"{was:g}, and {lots} lots are held: {whole + broken:g} of the new "
                "ones. Only a whole number can be converted: look at the account, "
                "close the position, and go on under another run.name."
            )
    return whole, broken
