"""A fold's pieces laid end to end, so that learning reads them as it reads one span.

In front of every piece lie bars that warm up what remembers: windows, averages, nets.
No decision counts there, nothing remembered reaches across the seam in front of them,
and an embargo is wide enough to hold them: they touch no bar of a test's labels.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from bot4jax.learn.alpha158 import WINDOWS
from bot4jax.learn.dataset import BarRecord, Dataset
from bot4jax.learn.folds import Fold
from bot4jax.learn.splits import Split
from bot4jax.types import BAR_INTS

LIVE = BAR_INTS.index("live")


class Laid(NamedTuple):
    """Bars one after the other, and the spans as numbers of such bars."""

    record: BarRecord
    split: Split


def warm_bars(window: int, horizon: int) -> int:
    """Bars in front of a piece: the longest window of anyone, no less than a label.

    `window` is that of the features, with the lags that they reach back to.
    """
    return max(window, max(WINDOWS) + 1, horizon + 1)


def lay(record: BarRecord, fold: Fold, warm: int) -> Laid:
    """The pieces of training, then that of calibration; there is no test yet.

    The first bar behind a seam is not live: the move to it is nobody's return.
    """
    (own,) = fold.calibrate
    pieces = [range(one.start - warm, one.stop) for one in (*fold.train, own)]
    starts = tuple(accumulate(map(len, pieces), initial=0))
    laid = joined([record.part(one) for one in pieces], first=0)
    laid = laid._replace(seams=starts[1:-1], warm=warm)
    laid.ints[list(laid.seams), LIVE] = 0
    calibrate = range(starts[-1] - len(own), starts[-1])
    train = range(warm, calibrate.start - warm)
    return Laid(laid, Split(train, calibrate, range(starts[-1], starts[-1])))


def ahead_of(laid: Laid, test: range, warm: int) -> Laid:
    """The same numbered so that a test follows, its own warm-up between them."""
    shift = test.start - warm - len(laid.record.ints) - laid.record.first
    train, calibrate = (
        range(span.start + shift, span.stop + shift) for span in laid.split[:2]
    )
    record = laid.record._replace(first=laid.record.first + shift)
    return Laid(record, Split(train, calibrate, test))


def joined(records: Sequence[BarRecord], first: int) -> BarRecord:
    """Records end to end, numbered from `first` on; seams of the first one stay."""
    ints, floats = (
        np.concatenate([getattr(one, name) for one in records])
        for name in ("ints", "floats")
    )
    return records[0]._replace(first=first, ints=ints, floats=floats)


def followed(data: Dataset, later: Dataset) -> Dataset:
    """What was seen of some bars, and then of others."""
    pairs = zip(data[1:], later[1:], strict=True)
    return Dataset(data.first, *(np.concatenate(pair) for pair in pairs))
