"""A recorded market: every record in the order of its arrival, cut into frames.

Bars are numbered by *event* time, records come in *receive* order, and the two clocks
may disagree by any constant, in any direction: nothing here compares one with the
other. A bar is over with the first record whose event time reaches its end; that
record is the last of the bar's frames, and whatever arrives after it belongs to the
next bar's frames, even if its event is older. So the frames of `[a, b)` and `[b, c)`
joined are the frames of `[a, c)`, cut for cut.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from bot4jax.data.origin import digest_of
from bot4jax.data.source import BarBlock, DataError
from bot4jax.data.universe import Universe
from bot4jax.types import BOOK, QUOTE, TICK, Bar, Frame

FRAME_RECORDS = 256
"""Records of a frame at most."""

PUBLISHER, EPOCH = 1, 1


class Recording(NamedTuple):
    """Records in the order of arrival and the local time at which each was received."""

    records: np.ndarray
    """`TICK`"""
    received_ns: Int[np.ndarray, " N"]


class RecordedSource:
    """A `Source` that plays a recording from the first boundary with quotes of all.

    Bar 0 begins with a snapshot: the last quote and book levels of every symbol,
    restated at `start_ns`, since a level that does not move is never sent again.
    """

    columns: tuple[str, ...] = Bar._fields
    simulated = False
    has_ticks = True

    def __init__(self, universe: Universe, recording: Recording, bar_ns: int) -> None:
        recording = in_order(recording)
        self.universe = universe
        self.bar_ns = bar_ns
        self.start_ns = opening(recording, universe.symbols, bar_ns)
        self.played = played_from(recording, self.start_ns)
        self.anchors = opening_mids(self.played.records, len(universe.instruments))
        self._edges = bar_edges(self.played, self.start_ns, bar_ns)
        self._cuts = frame_cuts(self.played, self._edges, bar_ns)
        self.bar_count = len(self._edges) - 1

    def frames(self, first: int, stop: int) -> Iterator[Frame]:
        """Frames of the bars `first … stop − 1`; the last record ends bar `stop − 1`.

        `sent_ns` is the local time at which the frame's last record was received.
        """
        check_span(first, stop, self.bar_count)
        low, high = self._edges[first], self._edges[stop]
        cuts = self._cuts[(self._cuts >= low) & (self._cuts < high)]
        records, received = self.played
        for a, b in pairwise([*cuts.tolist(), int(high)]):
            yield Frame(PUBLISHER, EPOCH, a, int(received[b - 1]), records[a:b])

    def bars(self, first: int, stop: int) -> Iterator[BarBlock]:
        """Nothing: the bars of this source are built from its ticks."""
        return iter(())

    def digest(self, stop: int) -> str:
        """Of the records of the first `stop` bars, see `origin.py`."""
        return digest_of([self.played.records[: self._edges[stop]]])


def check_span(first: int, stop: int, bar_count: int) -> None:
    """Bars that the source does not hold are an error, never an empty answer."""
    if not 0 <= first <= stop <= bar_count:
        raise ValueError(
            f"Bars {first} … {stop} asked, the source holds 0 … {bar_count}: "
            "ask for a part of those."
        )


def in_order(*recordings: Recording) -> Recording:
    """All records by receive time; equal times keep the order of the recordings."""
    records = np.concatenate([one.records for one in recordings])
    received = np.concatenate([one.received_ns for one in recordings])
    order = np.argsort(received, kind="stable")
    return Recording(records[order], received[order])


def opening(recording: Recording, symbols: Sequence[str], bar_ns: int) -> int:
    """First boundary of event time at which every symbol has been quoted, in ns."""
    records = recording.records
    quote_rows = np.flatnonzero(records["kind"] == QUOTE)
    quoted, first = np.unique(records["symbol"][quote_rows], return_index=True)
    missing = sorted(set(range(len(symbols))) - set(quoted.tolist()))
    if missing:
        names = ", ".join(symbols[slot] for slot in missing)
        raise DataError(f"No quote of {names} was found; one is needed to begin.")
    latest = int(records["event_ns"][: quote_rows[first.max()] + 1].max())
    return (latest // bar_ns + 1) * bar_ns


def played_from(recording: Recording, start_ns: int) -> Recording:
    """The snapshot at `start_ns`, then every record from the first one at or past it.

    The snapshot is received with that record: its latency is never lower than real.
    """
    records, received = recording
    is_played = records["event_ns"] >= start_ns
    if not is_played.any():
        raise DataError(
            "The recording ends before its first bar begins: every symbol must be "
            "quoted and a full bar must follow. Use shorter bars or a longer recording."
        )
    begin = int(np.argmax(is_played))
    state = standing(records[:begin])
    state["event_ns"] = start_ns
    arrival = np.full(len(state), received[begin])
    played = Recording(
        np.concatenate([state, records[begin:]]),
        np.concatenate([arrival, received[begin:]]),
    )
    for column in played:
        column.flags.writeable = False
    return played


def standing(records: np.ndarray) -> np.ndarray:
    """A copy of the last quote of each symbol and the last record of each book level.

    By symbol, its quote before its levels; levels that were removed stay out.
    """
    stands = (records["kind"] == QUOTE) | (records["kind"] == BOOK)
    newest_first = records[stands][::-1]
    is_level = newest_first["kind"] == BOOK
    level = np.where(is_level, 1 + newest_first["side"] * 16 + newest_first["c"], 0)
    key = newest_first["symbol"].astype(np.int64) * 64 + level
    _, newest = np.unique(key, return_index=True)
    kept = newest_first[newest]
    return kept[(kept["kind"] == QUOTE) | (kept["b"] > 0)].astype(TICK, copy=True)


def opening_mids(records: np.ndarray, symbols: int) -> Int[np.ndarray, " S"]:
    """The first mid of each symbol in increments, rounded down: where offsets start."""
    quotes = records[records["kind"] == QUOTE]
    _, first = np.unique(quotes["symbol"], return_index=True)
    if len(first) != symbols:
        raise ValueError(f"{len(first)} symbols are quoted, {symbols} were expected.")
    return (quotes["a"][first] + quotes["b"][first]) // 2


def bar_edges(played: Recording, start_ns: int, bar_ns: int) -> Int[np.ndarray, " B1"]:
    """Row at which each bar's frames begin; one more entry than there are bars.

    Bar `b > 0` begins after the first record whose event time reaches its opening: that
    record is what tells a reader that the bar before is over.
    """
    newest = np.maximum.accumulate(played.records["event_ns"])
    count = int(newest[-1] - start_ns) // bar_ns
    if count < 1:
        raise DataError(
            f"The recording holds no full bar of {bar_ns / 1e9} s after all symbols "
            "are quoted. Use shorter bars or a longer recording."
        )
    boundaries = start_ns + bar_ns * np.arange(1, count + 1, dtype=np.int64)
    return np.concatenate([[0], np.searchsorted(newest, boundaries) + 1])


def frame_cuts(
    played: Recording, edges: Int[np.ndarray, " B1"], bar_ns: int
) -> Int[np.ndarray, " C"]:
    """Rows at which frames begin: at bars, at boundaries of receive time, every 256.

    Without the second a frame could wait for its last record long after its first.
    """
    end = int(edges[-1])
    turns = np.flatnonzero(np.diff(played.received_ns[:end] // bar_ns)) + 1
    stretches = np.union1d(edges, turns).tolist()
    pieces = [np.arange(a, b, FRAME_RECORDS) for a, b in pairwise(stretches)]
    return np.concatenate(pieces)
