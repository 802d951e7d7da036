"""Several tests of one method: walk-forward, k-fold and combinatorial splits, purged.

All symbols are split at the same bars. A fold's three spans may lie in pieces, and a
test may lie before its training; what keeps them apart is then two-sided: a gap before
a span that was taken, so that no label reaches into it, and an embargo behind it, so
that no feature window reaches back to its labels. Whatever carries memory over time
starts anew at every piece.

Source: López de Prado (2018), Advances in Financial Machine Learning, 7 and 12.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, pairwise
from math import ceil
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from bot4jax.errors import DataError
from bot4jax.learn.splits import Split, purge_gap

LEAST_LABELS = 200
"""Labels without overlap, summed over symbols, below which a fold's figures of skill
say nothing."""

EMBARGO_SHARE = 0.01
"""Of the whole span; the least that is left out behind a test."""

Pieces = tuple[range, ...]


class Fold(NamedTuple):
    """Bars at whose close decisions are made; each span in pieces, in order."""

    train: Pieces
    calibrate: Pieces
    test: Pieces


class Purge(NamedTuple):
    """What is left out around a span that another one must not know."""

    gap: int
    """bars before it: labels of decisions there reach into it"""
    embargo: int
    """bars behind it: windows of decisions there reach back to its labels"""


def purge_of(span: int, horizon: int, latency_bars: int, window: int) -> Purge:
    """The gap is h + latency, the embargo max(1 % of the span, W + h), all in bars."""
    embargo = max(ceil(EMBARGO_SHARE * span), window + horizon)
    return Purge(purge_gap(horizon, latency_bars), embargo)


def walk_forward(split: Split, folds: int, gap: int) -> tuple[Split, ...]:
    """Expanding folds: the test span in equal parts, each after all that came before.

    Every fold calibrates on as many bars as `split` does, right before its test, and
    trains on all before those.
    """
    own, before = len(split.calibrate), split.train.start
    found = []
    for test in parts(split.test, folds):
        calibrate = range(test.start - gap - own, test.start - gap)
        train = range(before, calibrate.start - gap)
        found.append(Split(train, calibrate, test))
    return tuple(found)


def k_fold(span: range, folds: int, calibrate: int, purge: Purge) -> tuple[Fold, ...]:
    """Each of `folds` equal parts is the test once."""
    return combinatorial(span, folds, 1, calibrate, purge)


def combinatorial(
    span: range, groups: int, tests: int, calibrate: int, purge: Purge
) -> tuple[Fold, ...]:
    """Every choice of `tests` out of `groups` equal parts is the test once.

    `calibrate` bars come from the end of the longest piece that the test leaves, and
    are purged from training in turn.
    """
    if not 1 <= tests < groups:
        raise ValueError(f"{tests} test groups of {groups}: expected 1 … groups − 1")
    chosen = combinations(parts(span, groups), tests)
    return tuple(_fold(span, test, calibrate, purge) for test in chosen)


def parts(span: range, count: int) -> Pieces:
    """The span in consecutive parts whose lengths differ by at most one bar."""
    if not 1 <= count <= len(span):
        raise DataError(
            f"{len(span)} bars cannot be split into {count} parts: lengthen the span "
            "or ask for fewer"
        )
    edges = [len(span) * i // count for i in range(count + 1)]
    return tuple(span[a:b] for a, b in pairwise(edges))


def purged(span: Pieces, taken: Pieces, purge: Purge) -> Pieces:
    """What is left of the span when others have been taken, with what lies around."""
    left = span
    for one in taken:
        first, stop = one.start - purge.gap, one.stop + purge.embargo
        left = tuple(_without(left, first, stop))
    return left


def lived_bars(pieces: Pieces, horizon: int, bars: int) -> Bool[np.ndarray, " T"]:
    """Bars that labels of decisions in these pieces live in: t + 1 … t + h of each t.

    `bars` is the number of bars to answer for, counted from bar 0.
    """
    lived = np.zeros(bars + horizon, bool)
    for piece in pieces:
        lived[piece.start + 1 : piece.stop + horizon] = len(piece) > 0
    return lived[:bars]


def overlaps(fold: Fold, horizon: int, bars: int) -> tuple[str, ...]:
    """Pairs of a fold's spans whose labels share a bar; empty for an honest fold."""
    lived = {name: lived_bars(p, horizon, bars) for name, p in fold._asdict().items()}
    pairs = combinations(lived, 2)
    return tuple(f"{a} and {b}" for a, b in pairs if (lived[a] & lived[b]).any())


def pieces_of(split: Split) -> Fold:
    """A split as a fold of one piece each."""
    return Fold((split.train,), (split.calibrate,), (split.test,))


def most_labels(test: range, symbols: int, horizon: int) -> int:
    """Labels without overlap that a span holds if every symbol is always live."""
    return symbols * (len(test) // horizon)


def require_labels(counts: Sequence[int], advice: str) -> None:
    """Refuse folds that are too short to say anything, with all counts."""
    if all(count >= LEAST_LABELS for count in counts):
        return
    listed = ", ".join(f"{i}: {count:,}" for i, count in enumerate(counts, 1))
    raise DataError(
        f"labels without overlap, by fold: {listed}. A backtest needs at least "
        f"{LEAST_LABELS} in each, summed over symbols: {advice}"
    )


def _fold(span: range, test: Pieces, calibrate: int, purge: Purge) -> Fold:
    left = purged((span,), test, purge)
    longest = max(left, key=len, default=range(0))
    own = longest[len(longest) - calibrate :] if calibrate < len(longest) else None
    train = () if own is None else purged(left, (own,), purge)
    if own is None or not train:
        raise DataError(
            f"a test of {sum(map(len, test))} of {len(span)} bars leaves at most "
            f"{len(longest)} together for training and {calibrate} of calibration, "
            f"with gaps of {purge.gap} and embargoes of {purge.embargo}: lengthen the "
            "span or shorten the window"
        )
    return Fold(train, (own,), test)


def _without(pieces: Iterable[range], first: int, stop: int) -> Iterator[range]:
    """The pieces less the bars `first … stop − 1`; empty ones are dropped."""
    for piece in pieces:
        before = range(piece.start, min(piece.stop, max(first, piece.start)))
        after = range(max(piece.start, min(stop, piece.stop)), piece.stop)
        yield from (one for one in (before, after) if len(one))
