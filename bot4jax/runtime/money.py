"""Money, and shares of something, as whole numbers: rounded against us, never wrapped.

What is used up is rounded up, what may be used is rounded down. Doubles end here: a
limit is the decimal that a person wrote, so are an instrument's terms, and the capital
is the very double that it is. What comes of them is exact, whatever the sizes. Only
where no quote stands, or a rate of another currency comes in, what a lot is worth is a
product of doubles, true to their last digits, before it is rounded.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

UNITS = 10**8
"""To one of the account's currency. A lot of a coin that is worth a hundred-thousandth
of it is still counted to a thousandth, and a satoshi is whole."""

PARTS = 10**7
"""To one: shares in whole ten-millionths, basis points in thousandths."""

MOST = 2**62
"""Largest number of units that is counted in 64 bits: 46 thousand millions of the
currency for one lot, one order, one position. Sums of them have no bound."""

MOST_PARTS = MOST // PARTS
"""Larger shares, of 46 thousand times and more, count as this one."""


class Bracket(NamedTuple):
    """Units at or below some money, and at or above it."""

    low: Int[np.ndarray, " S"]
    high: Int[np.ndarray, " S"]
    """0: not known, not positive, or more than `MOST`"""


class Ratio(NamedTuple):
    """Exact numbers in lowest terms; Python's own where 64 bits will not do."""

    over: Shaped[np.ndarray, " S"]
    under: Shaped[np.ndarray, " S"]


@lru_cache
def written(number: float) -> Fraction:
    """The shortest decimal that is this double: what a person has written."""
    return Fraction(repr(float(number)))


def capital(money: float) -> int:
    """Units, rounded down; −1, of which every share is less than nothing, where it is
    not known."""
    if not math.isfinite(money):
        return -1
    over, under = float(money).as_integer_ratio()
    return over * UNITS // under


def capital_up(money: float) -> int:
    """Units, rounded up; −1 where it is not known."""
    return -capital(-money) if math.isfinite(money) else -1


def share(number: float, whole: int) -> int:
    """A share of so many units, rounded down."""
    exact = written(number)
    return exact.numerator * whole // exact.denominator


def parts(number: float | Fraction) -> int:
    """A share that is not negative in whole `PARTS`, rounded down."""
    exact = number if isinstance(number, Fraction) else written(number)
    return min(math.floor(exact * PARTS), MOST_PARTS)


def part(
    whole: Int[np.ndarray, " n"], share: Int[np.ndarray, " n"] | int
) -> Int[np.ndarray, " n"]:
    """So many `PARTS` of whole numbers, rounded down; `MOST` where it comes near that.

    No product wraps: the rest is under `PARTS` and the share at most `MOST_PARTS`, and
    where the other product could come to more than `MOST`, it is not taken.
    """
    times, rest = np.divmod(whole, PARTS)
    most = (MOST - share) // np.maximum(share, 1)
    return np.where(times <= most, times * share + rest * share // PARTS, MOST)


def bracketed(money: Float[np.ndarray, " S"]) -> Bracket:
    """Money in units, rounded either way; the product with `UNITS` is one of doubles.

    So a decimal stays what it was, where no double can be: .1 is ten million units, and
    its double is a little more than that.
    """
    is_known = (money > 0) & (money <= MOST // UNITS)
    exact = np.where(is_known, money, 0.0) * UNITS
    return Bracket(*(to(exact).astype(np.int64) for to in (np.floor, np.ceil)))


def counted(numbers: Sequence[int]) -> Shaped[np.ndarray, " n"]:
    """Whole numbers of 64 bits, or Python's own where one is larger than `MOST`."""
    return np.array(numbers, np.int64 if max(numbers, default=0) <= MOST else object)


def ratios(numbers: Sequence[Fraction]) -> Ratio:
    """The same numbers by their terms."""
    terms = (one.as_integer_ratio() for one in numbers)
    over, under = zip(*terms, strict=True)
    return Ratio(counted(over), counted(under))


def rounded(exact: Ratio) -> Bracket:
    """To whole units either way."""
    low, high = exact.over // exact.under, -(-exact.over // exact.under)
    is_known = (high > 0) & (high <= MOST)
    known = (np.where(is_known, one, 0) for one in (low, high))
    return Bracket(*(one.astype(np.int64) for one in known))


def times(
    one: Shaped[np.ndarray, " S"], other: Shaped[np.ndarray, " S"]
) -> Shaped[np.ndarray, " S"]:
    """Whole numbers, none below 0, multiplied exactly; doubles tell whether 64 bits
    will do, as in `products`."""
    size = one.astype(np.float64) * other.astype(np.float64)
    if size.max(initial=0.0) < MOST:
        return (one * other).astype(np.int64)
    return one.astype(object) * other.astype(object)


def products(
    lots: Int[np.ndarray, " n"], values: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Lots times what one is worth; exact, and any sum of them too.

    Doubles tell whether 64 bits will do: they add up the sizes true to a millionth, and
    under 2⁶² that is far from where whole numbers wrap. Else Python's own are taken.
    """
    size = np.abs(lots.astype(np.float64)) @ values.astype(np.float64)
    if size < MOST:
        return lots * values
    return lots.astype(object) * values.astype(object)
