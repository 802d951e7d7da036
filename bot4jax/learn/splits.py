"""Spans of time for training, calibration and testing, with purged gaps between them.

All symbols are split at the same bars, since they move together. A gap is wide enough
that no label of a span lives in bars of a later one.
"""

from typing import NamedTuple

from bot4jax.errors import DataError


class Split(NamedTuple):
    """Bars at whose close decisions are made, counted from the source's first bar."""

    train: range
    calibrate: range
    test: range

    @property
    def bars(self) -> int:
        """Bars that the source must hold: those before training and in gaps too."""
        return self.test.stop


def purged_split(
    train: int,
    calibrate: int,
    test: int,
    horizon: int,
    latency_bars: int,
    warmup: int,
    available: int | None = None,
) -> Split:
    """Three spans of the given numbers of bars, in this order, after the warm-up.

    The gaps come on top. Raises `DataError`, with all counts, when a span holds no
    complete label or the source holds fewer than `available` bars.
    """
    gap = purge_gap(horizon, latency_bars)
    lengths = {"train": train, "calibrate": calibrate, "test": test}
    short = [f"{name} {n}" for name, n in lengths.items() if n <= gap]
    if short:
        raise DataError(
            f"spans too short: {', '.join(short)} bars; with a horizon of {horizon} "
            f"each needs at least {gap + 1} to hold a complete label"
        )
    spans, start = [], warmup
    for length in lengths.values():
        spans.append(range(start, start + length))
        start += length + gap
    split = Split(*spans)
    if available is not None and split.bars > available:
        raise DataError(
            f"the source holds {available} bars; warm-up {warmup} + train {train} + "
            f"calibrate {calibrate} + test {test} + two gaps of {gap} need {split.bars}"
            ": shorten spans.train, spans.calibrate or spans.test"
        )
    return split


def purge_gap(horizon: int, latency_bars: int) -> int:
    """Bars to leave out between two spans: the horizon and the wait for an entry."""
    return horizon + max(1, latency_bars)
