"""Limit-order-book benchmark: from book states to rows, labels and lanes.

The clock is the event; where a data set shows every tenth one only, `k` events are
`k`/10 rows. Labels look `k` events ahead, and there are two of them. The *smoothed* one
compares the mean mid behind with the mean mid ahead (Ntakaris et al. 2018; Zhang,
Zohren & Roberts 2019, DeepLOB): half of it has happened already, so that whoever knows
the past mean knows much of the label. The *honest* one compares the mean ahead with the
mid that stands now.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.data.depth import ASK, BID, BookStates
from bot4jax.data.source import DataError
from bot4jax.learn.labels import FLAT

KINDS = ("smoothed", "honest")

SIDES = ("train", "calibrate", "test")

CLIP = 5.0
"""Standard deviations at which a feature is clamped."""


SLOTS = 200
"""Stretches of the test's time, of all symbols together, that errors are drawn from."""


class Piece(NamedTuple):
    """Rows of one symbol and day on one side: training, calibration or test."""

    symbol: str
    at: Float[np.ndarray, " N"]
    """days, common to all symbols"""
    features: Float[np.ndarray, "N F"]
    """in the units of the symbol's training rows"""
    moves: dict[tuple[str, int], Float[np.ndarray, " N"]]
    """relative, by label and horizon; NaN where the piece does not hold it whole"""
    published: dict[tuple[str, int], Int[np.ndarray, " N"]]
    """classes that the data set gives, with their names and horizons"""


class Lanes(NamedTuple):
    """Pieces cut into stretches of one length, side by side as if they were symbols."""

    features: Float[np.ndarray, "T S F"]
    counted: Bool[np.ndarray, "T S"]
    """rows behind the stretch's first, which nets walk through to remember something"""
    rows: list[tuple[int, Int[np.ndarray, " T"]]]
    """of each lane: its piece, and the rows in it; −1 beyond its end"""


class Side(NamedTuple):
    """Training, calibration or test."""

    pieces: tuple[Piece, ...]
    lanes: Lanes


class Dropped(NamedTuple):
    """Rows of a symbol and day on one side: too few for the longest label."""

    symbol: str
    day: int
    side: str
    events: int
    """rows, which are events but where a data set shows some of them only"""


class Cut(NamedTuple):
    """What a data set is parted into."""

    train: list[Piece]
    calibrate: list[Piece]
    test: list[Piece]
    dropped: list[Dropped]


class Book(NamedTuple):
    """What was read, and how it was cut."""

    shares: dict[int, tuple[str, ...]]
    """symbols of each day"""
    simulated: bool
    train: Side
    calibrate: Side
    test: Side
    dropped: tuple[Dropped, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(x for own in self.shares.values() for x in own))

    @property
    def sides(self) -> dict[str, Side]:
        return dict(zip(SIDES, (self.train, self.calibrate, self.test), strict=True))

    @property
    def untested(self) -> tuple[str, ...]:
        """Symbols that were trained on and never asked for."""
        tested = {one.symbol for one in self.test.pieces}
        trained = dict.fromkeys(one.symbol for one in self.train.pieces)
        return tuple(one for one in trained if one not in tested)


def pieces(
    states: Sequence[BookStates],
    horizons: tuple[int, ...],
    train_share: float,
    calibrate_share: float,
) -> Cut:
    """Training, calibration and test, cut at two moments that all symbols share.

    Each piece is by itself: no feature and no label looks beyond its first or last row.
    What is too short to hold the longest label is left out, and told.
    """
    shares = (train_share, train_share + calibrate_share)
    cuts = np.quantile(np.concatenate([one.at for one in states]), shares)
    sides, dropped = ([], [], []), []
    for one in states:
        which = np.searchsorted(cuts, one.at, side="right")
        for number, side in enumerate(sides):
            part = one.part(which == number)
            count, least = len(part.at), 2 * rows_ahead(one, max(horizons))
            if count > least:
                side.append(part)
            elif count:
                dropped.append(Dropped(one.symbol, one.day, SIDES[number], count))
    units = {one.symbol: _units(sides[0], one.symbol, horizons) for one in sides[0]}
    _require_all(sides[1:], set(units), shares, max(horizons))
    train, calibrate, test = (_pieces(horizons, units, side) for side in sides)
    return Cut(train, calibrate, test, dropped)


def _require_all(
    later: Sequence[Sequence[BookStates]],
    known: set[str],
    shares: tuple[float, float],
    horizon: int,
) -> None:
    """Refuse a calibration or a test that is empty, or of symbols never trained on."""
    first, last = (f"{100 * share:g}" for share in shares)
    spans = {"calibration": (first, last), "test": (last, "100")}
    for (name, span), side in zip(spans.items(), later, strict=True):
        where = f"the {name}, from {span[0]} to {span[1]} % of the events,"
        if not side:
            raise DataError(
                f"{where} holds no stretch that is long enough for labels of {horizon} "
                "events: name more data, shorter lob.horizons, or another "
                "lob.train_share or lob.calibrate_share."
            )
        if unknown := sorted({one.symbol for one in side} - known):
            raise DataError(
                f"{where} has {', '.join(unknown)}, of which training has no stretch "
                "that is long enough: name more data, or another lob.train_share or "
                "lob.calibrate_share."
            )


def _pieces(
    horizons: tuple[int, ...],
    units: dict[str, tuple[np.ndarray, np.ndarray]],
    side: Sequence[BookStates],
) -> list[Piece]:
    return [_piece(one, horizons, *units[one.symbol]) for one in side]


def _units(
    train: Sequence[BookStates], symbol: str, horizons: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    own = [raw_features(one, horizons) for one in train if one.symbol == symbol]
    rows = np.concatenate(own)
    rows = rows[np.isfinite(rows).all(1)]
    width = rows.std(0)
    return rows.mean(0), np.where(width > 0, width, 1.0)


def _piece(
    states: BookStates,
    horizons: tuple[int, ...],
    centre: Float[np.ndarray, " F"],
    width: Float[np.ndarray, " F"],
) -> Piece:
    score = (raw_features(states, horizons) - centre) / width
    score = np.clip(np.nan_to_num(score), -CLIP, CLIP).astype(np.float32)
    mid, given = states.mid, {}
    moves = {
        (kind, k): move(mid, rows_ahead(states, k), kind == "smoothed")
        for kind in KINDS
        for k in horizons
    }
    if states.published is not None:
        columns = states.published.T
        # What the data set says of a piece's last events reaches beyond the piece.
        given = {
            ("published", k): np.where(np.isfinite(moves["smoothed", k]), own, -1)
            for k, own in zip(horizons, columns, strict=True)
        }
    return Piece(states.symbol, states.at, score, moves, given)


def raw_features(
    states: BookStates, horizons: tuple[int, ...]
) -> Float[np.ndarray, "N F"]:
    """What everyone sees, the linear baseline included.

    Each level's distance from the mid and log size; the mid's last move; the order flow
    of the best quotes (Cont, Kukanov & Stoikov 2014) and their imbalance; and how far
    the mid lies from its own mean over the last so many events, NaN before there are.
    """
    mid = states.mid
    apart = states.price / mid[:, None, None] - 1
    queues = np.log1p(states.size)
    best = states.size[:, :, 0]
    imbalance = (best[:, BID] - best[:, ASK]) / best.sum(1)
    moved = np.diff(np.log(mid), prepend=np.log(mid[:1]))
    means = [mid / mean_behind(mid, rows_ahead(states, k)) - 1 for k in horizons]
    columns = [moved, best_flow(states), imbalance, *means]
    levels = [one.reshape(len(mid), -1) for one in (apart, queues)]
    return np.concatenate([*levels, np.stack(columns, axis=1)], axis=1)


def rows_ahead(states: BookStates, k: int) -> int:
    """Rows that so many events come to."""
    return k // states.block


def best_flow(states: BookStates) -> Float[np.ndarray, " N"]:
    """Size added at the best bid less that at the best ask, over the size of both."""
    price, size = states.price[:, :, 0], states.size[:, :, 0]
    flow = np.zeros(len(price))
    for side, sign in ((BID, 1), (ASK, -1)):
        better = sign * np.diff(price[:, side])
        came = np.where(better >= 0, size[1:, side], 0)
        left = np.where(better <= 0, size[:-1, side], 0)
        flow[1:] += sign * (came - left)
    return flow / size.sum(1)


def mean_behind(mid: Float[np.ndarray, " N"], k: int) -> Float[np.ndarray, " N"]:
    """Mean over the last `k` events, this one included; NaN before there are."""
    means = np.full(len(mid), np.nan)
    if len(mid) >= k:
        windows = np.lib.stride_tricks.sliding_window_view(mid, k)
        means[k - 1 :] = windows.mean(1)
    return means


def move(
    mid: Float[np.ndarray, " N"], k: int, is_smoothed: bool
) -> Float[np.ndarray, " N"]:
    """Mean of the next `k` mids over that of the last `k`, or over this one, less 1."""
    behind = mean_behind(mid, k)
    ahead = np.full(len(mid), np.nan)
    ahead[: len(mid) - k] = behind[k:]
    return ahead / (behind if is_smoothed else mid) - 1


def edges(
    train: Sequence[Piece], label: tuple[str, int], flat_share: float
) -> dict[str, float]:
    """By symbol, the move up to which `flat_share` of its training rows are flat."""
    moved: dict[str, list[np.ndarray]] = {}
    for one in train:
        moved.setdefault(one.symbol, []).append(np.abs(one.moves[label]))
    return {
        symbol: float(np.nanquantile(np.concatenate(parts), flat_share))
        for symbol, parts in moved.items()
    }


def classes(
    pieces: Sequence[Piece], label: tuple[str, int], edge: dict[str, float]
) -> list[Int[np.ndarray, " N"]]:
    """Classes of every row of every piece; −1 where a label is not known."""
    found = []
    for one in pieces:
        moved = one.moves[label]
        band = edge[one.symbol]
        named = FLAT + (moved > band).astype(int) - (moved < -band)
        found.append(np.where(np.isfinite(moved), named, -1))
    return found


def lanes(pieces: Sequence[Piece], length: int, warm: int) -> Lanes:
    """Stretches of `length` rows; each repeats the last `warm` rows of the one before.

    Those are not counted, so that every row counts once but a piece's first ones. No
    stretch holds rows of two pieces.
    """
    rows = []
    for number, one in enumerate(pieces):
        count = len(one.features)
        for start in range(0, max(count - warm, 1), length - warm):
            own = np.arange(start, start + length)
            rows.append((number, np.where(own < count, own, -1)))
    width = pieces[0].features.shape[1]
    features = np.zeros((length, len(rows), width), np.float32)
    counted = np.zeros((length, len(rows)), bool)
    for lane, (number, own) in enumerate(rows):
        held = own[own >= 0]
        features[: len(held), lane] = pieces[number].features[held]
        counted[warm : len(held), lane] = True
    return Lanes(features, counted, rows)


def slots(pieces: Sequence[Piece]) -> list[Int[np.ndarray, " N"]]:
    """The stretch of time of every row, of all symbols together.

    Each holds as many events; what one market does at a moment, the others do too.
    """
    times = np.concatenate([one.at for one in pieces])
    edges = np.quantile(times, np.arange(1, SLOTS) / SLOTS)
    return [np.searchsorted(edges, one.at, side="right") for one in pieces]


def laid(
    lanes: Lanes, values: Sequence[Int[np.ndarray, " N"]]
) -> Int[np.ndarray, "T S"]:
    """A column of the pieces, by lane; −1 where a lane holds no row that counts."""
    found = np.full(lanes.counted.shape, -1)
    for lane, (number, own) in enumerate(lanes.rows):
        held = own[own >= 0]
        found[: len(held), lane] = values[number][held]
    return np.where(lanes.counted, found, -1)
