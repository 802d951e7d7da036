"""Ticks as the rows that the device absorbs: offsets, volumes and predecessors.

The device cannot look back within a batch without a scan, so the host names each
tick's predecessors in it: one stable sort by symbol finds those of quotes and trades,
one by symbol, side and level those of book levels. It also gives trades the mid that
stood before them by the exchange's time (`earlier.py`). NumPy calls of a microsecond
each are what this costs at a few hundred ticks, so the code spares calls, not
arithmetic.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.data.universe import Universe
from bot4jax.runtime.disorder import CHAINS, Disorder, in_order_of
from bot4jax.runtime.earlier import EarlierMids, Quoted, Traded
from bot4jax.types import BOOK, BUY, FRACTION, LEVELS, PACKED, QUOTE, STATUS, TRADE

GRID = 5
"""Trades that one slow return spans; a bar keeps the last `GRID` of each symbol."""

COLUMN = {name: i for i, name in enumerate(PACKED)}

HEAD, EVENT, A, B, C, D = range(6)
"""Words of a tick record; the symbol is the upper half of its head."""


class Terms(NamedTuple):
    """What turns prices and lots into device numbers; all `[S]`."""

    anchor: Int[np.ndarray, " S"]
    """increments"""
    volume: Float[np.ndarray, " S"]
    """base units of one lot; of inverse contracts its quote units over an increment"""
    is_inverse: Bool[np.ndarray, " S"]
    has_inverse: bool


def instrument_terms(universe: Universe, anchors: Int[np.ndarray, " S"]) -> Terms:
    """The terms of all instruments, in slot order."""
    kinds = np.array([one.kind for one in universe.instruments])
    is_inverse = kinds == "inverse"
    is_share = np.isin(kinds, ("spot", "equity"))
    multiplier = np.where(is_share, 1.0, universe.column("multiplier"))
    increment = np.where(is_inverse, universe.column("increment"), 1.0)
    volume = universe.column("lot") * multiplier / increment
    return Terms(
        np.array(anchors, np.int64), volume, is_inverse, bool(is_inverse.any())
    )


def pack(
    records: np.ndarray,
    terms: Terms,
    earlier: EarlierMids,
    disorder: Disorder,
    open_ns: int,
    bar_ns: int,
    packed: Int[np.ndarray, "N K"],
) -> None:
    """Write the records as the first rows of `packed`; rows behind them stay.

    The records must have been screened: slots below S, prices near their anchors.
    `earlier` holds the quotes of the batches before, and takes in these; `disorder`
    finds what is behind what came before it.
    """
    if not len(records):
        return
    rows = packed[: len(records)]
    words = np.ascontiguousarray(records.view(np.int64).reshape(-1, 6).T)
    kind, symbol = records["kind"].copy(), words[HEAD] >> 32
    chain = symbol * CHAINS + kind
    rows[:, COLUMN["level"]] = 0
    write_terms(records, words, kind, symbol, terms, rows)
    write_time(words[EVENT], open_ns, bar_ns, rows)
    lane = chain
    if kind.max() >= BOOK:
        lane = chain.copy()
        write_rare_kinds(records, words, kind, chain, lane, rows)
    disorder.watch(words[EVENT], kind, lane)
    order = in_order_of(chain)
    rows[:, COLUMN["previous"] :] = predecessors(kind, order, chain).T
    disorder.mark(write_mids(words, kind, order, terms.anchor, earlier, rows))


def write_terms(
    records: np.ndarray,
    words: Int[np.ndarray, "6 N"],
    kind: Int[np.ndarray, " N"],
    symbol: Int[np.ndarray, " N"],
    terms: Terms,
    rows: Int[np.ndarray, "N K"],
) -> None:
    """Prices from the anchor, sizes in base volume, and what needs no conversion."""
    _, _, a, b, c, d = words
    is_quote = kind == QUOTE
    anchor, volume = terms.anchor.take(symbol), terms.volume.take(symbol)
    bid_volume = np.where(is_quote, c, b) * volume
    ask_volume = d * volume
    if terms.has_inverse:
        is_inverse = terms.is_inverse.take(symbol)
        np.divide(bid_volume, a, out=bid_volume, where=is_inverse & (a > 0))
        np.divide(ask_volume, b, out=ask_volume, where=is_inverse & is_quote)
    rows[:, COLUMN["slot"]] = symbol
    rows[:, COLUMN["kind"]] = kind
    rows[:, COLUMN["side"]] = records["side"]
    rows[:, COLUMN["flags"]] = records["flags"]
    rows[:, COLUMN["bid"]] = a - anchor
    rows[:, COLUMN["ask"]] = (b - anchor) * is_quote
    sizes = rows.view(np.float32)
    sizes[:, COLUMN["bid_size"]] = bid_volume
    sizes[:, COLUMN["ask_size"]] = ask_volume


def write_time(
    event_ns: Int[np.ndarray, " N"],
    open_ns: int,
    bar_ns: int,
    rows: Int[np.ndarray, "N K"],
) -> None:
    """Whole fractions of the bar gone by; what is late stands at the opening.

    A product with a power of two and one division, both in float64: exact where the
    quotient is whole, and below `FRACTION` for bars of up to a day.
    """
    elapsed = event_ns - open_ns
    np.maximum(elapsed, 0, out=elapsed)
    rows[:, COLUMN["time"]] = elapsed * float(FRACTION) / bar_ns


def write_rare_kinds(
    records: np.ndarray,
    words: Int[np.ndarray, "6 N"],
    kind: Int[np.ndarray, " N"],
    chain: Int[np.ndarray, " N"],
    lane: Int[np.ndarray, " N"],
    rows: Int[np.ndarray, "N K"],
) -> None:
    """Book records get their level and a chain of their own, statuses their status.

    A lane is a chain in which both sides of a level are one.
    """
    books = (kind == BOOK).nonzero()[0]
    level = words[C].take(books)
    rows[:, COLUMN["level"]][books] = level
    lane[books] += LEVELS + level - BOOK
    chain[books] = lane.take(books) + (records["side"].take(books) - BUY) * LEVELS
    statuses = (kind == STATUS).nonzero()[0]
    rows[:, COLUMN["bid"]][statuses] = words[A].take(statuses)


def predecessors(
    kind: Int[np.ndarray, " N"],
    order: Int[np.ndarray, " N"],
    chain: Int[np.ndarray, " N"],
) -> Int[np.ndarray, "5 N"]:
    """The last five columns of `PACKED`: who came before in the same chain.

    In order of (chain, row) a row's predecessor is its neighbour, if that is of the
    same chain; −1 in front and behind ends the first and the last chain.
    """
    chain = chain.take(order)
    chains, rows = padded(chain), padded(order)
    is_follower = chains[GRID - 1 : -GRID - 1] == chain
    previous = np.where(is_follower, rows[GRID - 1 : -GRID - 1], -1)
    links = np.empty((5, len(order)), np.int64)
    links[:] = UNLINKED
    links[0][order] = previous
    links[4][order] = chains[GRID + 1 : 1 - GRID] != chain
    trades = (kind.take(order) == TRADE).nonzero()[0]
    if len(trades):
        row = order.take(trades)
        fifth = np.where(chains[: -2 * GRID] == chain, rows[: -2 * GRID], -1)
        at = np.arange(len(order))
        begin = np.maximum.accumulate(np.where(is_follower, 0, at))
        links[0][row] = -1
        links[1][row] = previous.take(trades)
        links[2][row] = fifth.take(trades)
        links[3][row] = (at - begin).take(trades)
        links[4][row] = (chains[2 * GRID :] != chain).take(trades)
    return links


UNLINKED = np.array([-1, -1, -1, 0, 1])[:, None]
"""Previous, previous trade, fifth trade, trade rank, is last: of a row on its own."""


def write_mids(
    words: Int[np.ndarray, "6 N"],
    kind: Int[np.ndarray, " N"],
    order: Int[np.ndarray, " N"],
    anchor: Int[np.ndarray, " S"],
    earlier: EarlierMids,
    rows: Int[np.ndarray, "N K"],
) -> Int[np.ndarray, " L"]:
    """Each trade's mid before it, and a 1 where there is one; quotes are remembered.

    Returns the symbols of trades that are older than all remembered quotes.
    """
    symbol, event_ns = words[HEAD] >> 32, words[EVENT]
    kind = kind.take(order)
    quotes, trades = (order.take((kind == one).nonzero()[0]) for one in (QUOTE, TRADE))
    traded = symbol.take(trades)
    mids = words[A].take(quotes) + words[B].take(quotes)
    mid, is_known, is_lost = earlier.take(
        Quoted(symbol.take(quotes), quotes, event_ns.take(quotes), mids),
        Traded(traded, trades, event_ns.take(trades)),
    )
    rows[trades, COLUMN["ask"]] = (mid - 2 * anchor.take(traded)) * is_known
    rows[trades, COLUMN["level"]] = is_known
    return traded[is_lost]


def padded(values: Int[np.ndarray, " N"]) -> Int[np.ndarray, " P"]:
    """The values with `GRID` times −1 before and after them."""
    wide = np.full(len(values) + 2 * GRID, -1)
    wide[GRID:-GRID] = values
    return wide
