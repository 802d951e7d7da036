"""What every feature must keep, its definition in float64 being the judge."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.certify.columns import Columns
from bot4jax.certify.rows import (
    Check,
    Row,
    Subject,
    broken,
    moved,
    relative_error,
    same_bits,
    within,
)
from bot4jax.kernels.history import STALE_BARS
from bot4jax.registry import FeatureSpec

MASKS_JUDGED = 200
"""Masked values of a feature whose definition is asked whether the mask is right."""


class Said(NamedTuple):
    """What the bank said of one feature at every bar."""

    values: Float[np.ndarray, "T S"]
    usable: Bool[np.ndarray, "T S"]

    def of(self, slots: Bool[np.ndarray, " S"]) -> "Said":
        """The same of some symbols."""
        return Said(self.values[:, slots], self.usable[:, slots])


class Cells(NamedTuple):
    """Bars and symbols at which something is compared."""

    bars: Int[np.ndarray, " N"]
    symbols: Int[np.ndarray, " N"]


def subject(spec: FeatureSpec, check: Check) -> Subject:
    return Subject(spec.name, "feature", check)


def parity(
    spec: FeatureSpec,
    said: Said,
    columns: Columns,
    length: int,
    values: int,
    random: np.random.Generator,
) -> Row:
    """Streaming against the definition, at `values` warm cells or at all there are.

    A masked cell is not compared; that the mask is right is judged at some of them.
    Where all are masked nothing is shown, and the row fails.
    """
    warm = (columns.age >= length) & (columns.silent <= STALE_BARS)
    compared = drawn(warm & said.usable, values, random)
    judged = drawn(warm & ~said.usable, MASKS_JUDGED, random)
    truth = defined(spec, columns, length, compared)
    errors = relative_error(said.values[compared], truth)
    wrong = is_inside(spec, defined(spec, columns, length, judged))
    errors = np.concatenate([errors, np.full(np.count_nonzero(wrong), np.inf)])
    masked = int((warm & ~said.usable).sum())
    sound = errors.size > 0
    return within(subject(spec, "parity"), errors, spec.tolerance, masked, sound)


def agrees(
    spec: FeatureSpec,
    streamed: Float[np.ndarray, " N"],
    truth: Float[np.ndarray, " N"],
) -> Row:
    """Streamed values against the definition's."""
    error = relative_error(streamed, truth)
    return within(subject(spec, "parity"), error, spec.tolerance)


def defined(
    spec: FeatureSpec, columns: Columns, length: int, cells: Cells
) -> Float[np.ndarray, " N"]:
    """The feature by its definition at each cell."""
    if spec.carried:
        return carried(spec, columns, length, cells)
    return np.array(
        [
            spec.reference(asked(spec, columns, length, symbol, bar, spec.columns))
            for bar, symbol in zip(*cells, strict=True)
        ],
        np.float64,
    )


def carried(
    spec: FeatureSpec, columns: Columns, length: int, cells: Cells
) -> Float[np.ndarray, " N"]:
    """The same of a feature that reads all bars: once along each symbol's path."""
    truth = np.zeros(len(cells.bars))
    for symbol in np.unique(cells.symbols):
        own = cells.symbols == symbol
        last = int(cells.bars[own].max())
        path = spec.path(asked(spec, columns, length, symbol, last, spec.columns))
        truth[own] = path[cells.bars[own] - last - 1]
    return truth


def asked(
    spec: FeatureSpec,
    columns: Columns,
    length: int,
    symbol: int,
    bar: int,
    names: Sequence[str],
) -> dict[str, np.ndarray]:
    """The columns of one window; of a carried feature all bars since it began."""
    bars = int(columns.age[bar, symbol]) if spec.carried else length
    return {name: columns.window(name, symbol, bar + 1, bars) for name in names}


def future(spec: FeatureSpec, first: Said, other: Said, boundary: int) -> Row:
    """Another future leaves every earlier bit as it was, and changes later ones.

    A feature that never varies cannot change; one that is never usable shows nothing.
    """
    pairs = [(a[:boundary], b[:boundary]) for a, b in zip(first, other, strict=True)]
    later = [Said(*(part[boundary:] for part in one)) for one in (first, other)]
    heard = np.concatenate([one.values[one.usable] for one in later])
    bites = moved(later[0].values, later[1].values)
    masked = int((~first.usable[:boundary]).sum())
    sound = heard.size > 0 and (bites or not np.ptp(heard))
    return same_bits(subject(spec, "future"), pairs, masked, sound)


def warmup(spec: FeatureSpec, said: Said, columns: Columns, length: int) -> Row:
    """Unusable until `length` bars of a symbol are in, usable from that very bar.

    A first value that the definition itself puts out of range counts as masked.
    """
    early = said.usable & (columns.age < length)
    due = (columns.age == length) & (columns.silent <= STALE_BARS)
    missing = Cells(*np.nonzero(due & ~said.usable))
    wrong = is_inside(spec, defined(spec, columns, length, missing))
    counted = int(((columns.age < length) | due).sum()) - len(wrong)
    breaks = np.zeros(counted + np.count_nonzero(wrong), bool)
    breaks[: np.count_nonzero(early) + np.count_nonzero(wrong)] = True
    return broken(subject(spec, "warmup"), breaks, len(wrong) - int(wrong.sum()))


def slot(spec: FeatureSpec, reset: Said, fresh: Said, start: int) -> Row:
    """A slot handed on at bar `start` says, bit for bit, what a new one says.

    It must say something before the record ends.
    """
    is_used = reset.usable[start:]
    masks = (reset.usable[start:], fresh.usable[start:])
    values = (reset.values[start:][is_used], fresh.values[start:][is_used])
    masked = int((~is_used).sum())
    sound = bool(is_used.any())
    return same_bits(subject(spec, "slot"), [masks, values], masked, sound)


def absent(spec: FeatureSpec, said: Said, check: Check) -> Row:
    """A feature that the source cannot feed is silent: nothing usable, nothing said."""
    breaks = np.count_nonzero(said.usable) + np.count_nonzero(said.values)
    row = broken(subject(spec, check), np.ones(breaks, bool), said.values.size)
    return row._replace(compared=0)


def is_inside(
    spec: FeatureSpec, truth: Float[np.ndarray, " N"]
) -> Bool[np.ndarray, " N"]:
    """Clearly finite and within the feature's range, rounding at its ends apart."""
    margin = spec.tolerance * np.maximum(1, np.abs(truth))
    return (
        np.isfinite(truth)
        & (truth >= spec.low + margin)
        & (truth <= spec.high - margin)
    )


def drawn(
    chosen: Bool[np.ndarray, "T S"], values: int, random: np.random.Generator
) -> Cells:
    """Cells of the mask, at most `values` of them, spread by chance."""
    found: Sequence[np.ndarray] = np.nonzero(chosen)
    if len(found[0]) > values:
        kept = np.sort(random.choice(len(found[0]), values, replace=False))
        found = [axis[kept] for axis in found]
    return Cells(*found)
