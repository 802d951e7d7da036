"""One line of a certificate: what was compared with what, and how far apart they were.

Every check ends here, those of the tests too, so that there is one idea of "equal".
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

Kind = Literal["feature", "net", "label", "scaler", "split", "vote"]
Check = Literal["parity", "future", "warmup", "slot"]


class Subject(NamedTuple):
    """What a row speaks about."""

    name: str
    kind: Kind
    check: Check


class Row(NamedTuple):
    """The fields that scripts read."""

    name: str
    kind: Kind
    check: Check
    worst: float | None
    """largest difference; of a rule, the values that break it; null: not a number"""
    tolerance: float
    compared: int
    """values"""
    masked: int
    """values that were not compared, since the engine itself does not use them"""
    passed: bool


def within(
    subject: Subject,
    error: Float[np.ndarray, " N"],
    tolerance: float,
    masked: int = 0,
    sound: bool = True,
) -> Row:
    """A row of differences; NaN is beyond every tolerance.

    `sound` is False where the comparison itself has shown nothing.
    """
    error = np.asarray(error, np.float64).ravel()
    worst = float(error.max(initial=0.0))
    passed = bool((error <= tolerance).all()) and sound
    return Row(
        *subject,
        worst=worst if np.isfinite(worst) else None,
        tolerance=tolerance,
        compared=error.size,
        masked=masked,
        passed=passed,
    )


def relative_error(
    found: Float[np.ndarray, "*N"], truth: Float[np.ndarray, "*N"]
) -> Float[np.ndarray, "*N"]:
    """Differences relative to max(1, |truth|)."""
    return np.abs(found - truth) / np.maximum(1, np.abs(truth))


def same_bits(
    subject: Subject,
    pairs: Iterable[Sequence[Any]],
    masked: int = 0,
    sound: bool = True,
) -> Row:
    """A row of pairs of arrays that must not differ in a single bit."""
    errors = [bit_error(np.asarray(a), np.asarray(b)) for a, b in pairs]
    return within(subject, np.concatenate([*errors, np.empty(0)]), 0.0, masked, sound)


def bit_error(a: np.ndarray, b: np.ndarray) -> Float[np.ndarray, " N"]:
    """0 where two arrays are the same bits, else how far apart, and never 0."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.full(max(a.size, 1), np.inf)
    bytes_a, bytes_b = (
        np.ascontiguousarray(one).reshape(-1, 1).view(np.uint8) for one in (a, b)
    )
    differs = (bytes_a != bytes_b).any(1)
    if not differs.any():
        return np.zeros(a.size)
    with np.errstate(invalid="ignore"):
        apart = np.abs(a.astype(np.float64) - b.astype(np.float64)).ravel()
    tiniest = np.finfo(np.float32).tiny
    return np.where(differs, np.maximum(apart, tiniest), 0.0)


def broken(subject: Subject, breaks: Bool[np.ndarray, "*N"], masked: int = 0) -> Row:
    """A row of a rule that each value keeps or breaks; `worst` counts the breaks."""
    row = within(subject, np.asarray(breaks, np.float64), 0.0, masked)
    return row._replace(worst=float(np.count_nonzero(breaks)))


def moved(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays differ anywhere: without it a proof of rest shows nothing."""
    return bool((bit_error(np.asarray(a), np.asarray(b)) != 0).any())
