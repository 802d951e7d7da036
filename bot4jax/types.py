"""The words every room shares: instruments, ticks, bars, features, decisions.

Axes: `S` symbols · `T` time · `W` window · `F` features · `H` hidden · `M` members ·
`L` book levels · `C` classes · `N` ticks of a batch · `K` columns.

Units: prices on the host are int64 *increments*; on the device they are int32
offsets from a per-symbol anchor, trades and quotes in increments, mids in *half*
increments (bid + ask), so that no mid is ever rounded. Sizes on the host are int64
*lots*; on the device float32 base volume. Times on the host are int64 ns of event
time; on the device int32 fractions, `FRACTION` to the bar.

Shapes of the device's arrays are for readers alone: a feed and a venue use these words
too, and start without JAX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

FRACTION = 1 << 20
"""Device time units in one bar."""

LEVELS = 10
"""Book levels kept per side; the best is level 0."""

CLASSES = ("down", "flat", "up")

MEMBERS = ("lstm", "gru", "cnn", "transformer", "trees")

QUOTE, TRADE, BOOK, STATUS = 0, 1, 2, 3
"""Kinds of tick record. `STATUS` carries a trading status in `a`."""

UNKNOWN_SIDE, BUY, SELL = 0, 1, 2
"""A trade's aggressor, or the side of a book level (buy is the bid)."""

TRADING, HALTED, AUCTION, CLOSED = 0, 1, 2, 3
"""Trading status of an instrument."""

NEVER = -(2**62)
"""Event time of what has not been seen."""

LATE, CONFLATED = 1, 2
"""Flags of a tick record: arrived after its bar closed; stands for several ticks."""

TICKS, SNAPSHOT, REFERENCE = 1, 2, 3
"""Kinds of frame: what happened next, what stands after all that came before, and
events that are no ticks: changes of instruments, funding, news."""

AWAKE = 4
"""Kind of a frame that a receiver records and nobody sends: here it has begun anew, and
its clock may be another. `sent_ns` is when something was received last before."""

END, BEGIN = 1, 2
"""Flags of a frame: a publisher's last one in this epoch, and its very first."""

LEDGER = 8
"""Flag of a snapshot: before its records stand reference events that still count."""

EVENTS = 1 << 16
"""What a frame's count of reference events goes up to, before it begins again at 0."""

BEHIND = 4
"""Flag of a frame that its reader sets: too much waited, so its quotes are conflated.
It is recorded with the frame and never on the wire."""

TICK = np.dtype(
    [
        ("kind", "u1"),
        ("side", "u1"),
        ("flags", "<u2"),
        ("symbol", "<u4"),
        ("event_ns", "<i8"),
        ("a", "<i8"),
        ("b", "<i8"),
        ("c", "<i8"),
        ("d", "<i8"),
    ]
)
"""One tick, 48 bytes, on the host and on the wire.

quote: bid, ask (increments), bid size, ask size (lots) · trade: price, size, id, 0 ·
book: price, size, level (1 … 9; the best level travels as a quote), 0 ·
status: status, 0, 0, 0.
"""


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """What is traded and in which units; money is in the settlement currency."""

    symbol: str
    kind: str = "spot"
    """spot · equity · linear · inverse · future"""
    increment: float = 0.01
    """price of one increment, quote currency"""
    lot: float = 1.0
    """size of one lot: base units, or contracts for derivatives"""
    minimum_notional: float = 0.0
    """quote currency"""
    multiplier: float = 1.0
    """value of one contract: base units (linear), quote units (inverse)"""
    base: str = "BASE"
    quote: str = "USD"
    settlement: str = "USD"
    maker_fee: float = 0.0
    """share of notional; negative is a rebate"""
    taker_fee: float = 0.0
    margin: float = 1.0
    """share of notional that a position binds"""
    calendar: str = "always"
    """always · xnys"""
    expiry_ns: int = 0
    """event time from which nothing is opened in it; 0: never"""


class Frame(NamedTuple):
    """Ticks of one publisher in the order it sent them."""

    publisher: int
    epoch: int
    sequence: int
    """of the first record; the next frame's is sequence + len(records)"""
    sent_ns: int
    records: np.ndarray
    """`TICK`, any length; empty is a heartbeat whose event time is `sent_ns`"""
    kind: int = TICKS
    flags: int = 0
    events: int = 0
    """frames of the kind `REFERENCE` in this epoch up to this one, itself included,
    modulo `EVENTS`: who has heard of fewer has missed some; always 0: not counted"""

    @property
    def is_end(self) -> bool:
        """Nothing follows it in this epoch."""
        return bool(self.flags & END)

    @property
    def is_begin(self) -> bool:
        """Nothing came before it in this epoch: who hears it has missed nothing."""
        return bool(self.flags & BEGIN)


class Ticks(NamedTuple):
    """A batch on its way to the device: fixed capacity, one packed row a tick.

    Rows past the last tick have `slot == S`, which every scatter drops. Floats travel
    as their bits. `previous*` are rows of this batch, or −1 where the predecessor is
    in the open bar. See `PACKED` for the columns.
    """

    packed: Int[Array, "N K"]


PACKED = (
    "slot",
    "kind",
    "side",
    "bid",  # or the price of a trade or level, increments from the anchor
    "ask",  # or the mid before a trade by the exchange's time, half increments
    "bid_size",  # or the volume of a trade or level, float32 bits, base volume
    "ask_size",  # float32 bits
    "time",  # event time since the bar opened, FRACTION to the bar
    "level",  # or 1 for a trade whose mid before it is known
    "flags",
    "previous",  # row of the symbol's previous quote, or of the same book level
    "previous_trade",  # row of the symbol's previous trade
    "fifth_trade",  # row of the symbol's fifth trade before this one
    "trade_rank",  # how many trades of the symbol came before it in this batch
    "is_last",  # nothing later in this batch overwrites what this row writes
)


class Bar(NamedTuple):
    """What every symbol did between two boundaries of event time; all `[S]`.

    Built from events by `kernels.absorb`, or filled by a source that has only bars.
    A column that its source cannot know is named absent by the source, never guessed.
    """

    # int32: mids in half increments from the anchor
    mid_open: Int[Array, " S"]
    mid_high: Int[Array, " S"]
    mid_low: Int[Array, " S"]
    mid_close: Int[Array, " S"]
    mid_entry: Int[Array, " S"]
    """the mid that stands at opening + latency: what an order decided on the previous
    bar meets"""
    # int32: increments from the anchor
    bid: Int[Array, " S"]
    ask: Int[Array, " S"]
    trade_open: Int[Array, " S"]
    trade_high: Int[Array, " S"]
    trade_low: Int[Array, " S"]
    trade_close: Int[Array, " S"]
    # int32: counts
    buy_count: Int[Array, " S"]
    sell_count: Int[Array, " S"]
    trade_count: Int[Array, " S"]
    """all trades, those without an aggressor included"""
    quote_updates: Int[Array, " S"]
    best_changes: Int[Array, " S"]
    """changes of the best bid or best ask price"""
    late: Int[Array, " S"]
    conflated: Int[Array, " S"]
    """records that stand for several; 1 where something of the bar is not known"""
    live: Int[Array, " S"]
    """1 if anything was received in the bar and the symbol trades; `ENDED` where it has
    ended for good, and who held it was paid the close; else 0"""
    # float32
    anchor: Float[Array, " S"]
    """increments; price in increments = anchor + offset"""
    bid_size: Float[Array, " S"]
    ask_size: Float[Array, " S"]
    buy_volume: Float[Array, " S"]
    sell_volume: Float[Array, " S"]
    base_turnover: Float[Array, " S"]
    quote_turnover: Float[Array, " S"]
    """increments × base volume"""
    vwap_offset: Float[Array, " S"]
    """Σ (price − mid at the last closing) × volume, increments × base volume"""
    flow: Float[Array, " S"]
    """order-flow imbalance of the best quotes, Σ over quote events, base volume"""
    flow_2: Float[Array, " S"]
    flow_3: Float[Array, " S"]
    flow_4: Float[Array, " S"]
    flow_5: Float[Array, " S"]
    """the same of the second … fifth level"""
    signed_root_notional: Float[Array, " S"]
    """Σ side × √(price × volume), increments × base volume under the root"""
    effective_spread: Float[Array, " S"]
    """Σ over trades of 2 × side × (price − mid) / mid, the mid that stood before the
    trade by the exchange's time"""
    realised_spread: Float[Array, " S"]
    """Σ over the *previous* bar's trades of 2 × side × (price − mid now) / mid"""
    price_impact: Float[Array, " S"]
    """the previous bar's effective spread less its realised spread"""
    squared_return_fast: Float[Array, " S"]
    """Σ of squared log returns of consecutive trades"""
    squared_return_slow: Float[Array, " S"]
    """Σ of squared five-trade log returns over five: mean over the five subgrids"""
    bid_added: Float[Array, " S"]
    bid_removed: Float[Array, " S"]
    ask_added: Float[Array, " S"]
    ask_removed: Float[Array, " S"]
    """size that joined and left the best queue, base volume"""
    inferred_cancels: Float[Array, " S"]
    """size that left the best queues beyond what was traded"""
    best_lifetime: Float[Array, " S"]
    """age of the older best price at closing, bars"""
    time_at_minimum_spread: Float[Array, " S"]
    """share of the bar with ask − bid of one increment"""
    bid_depth_5: Float[Array, " S"]
    ask_depth_5: Float[Array, " S"]
    bid_depth_10: Float[Array, " S"]
    ask_depth_10: Float[Array, " S"]
    adjustment: Float[Array, " S"]
    """what corporate actions at its opening made of a share, 1 where there was none:
    its holder's return since the bar before over that of the quoted price. 7 where a
    share became seven, in that bar alone. Bars from ticks know of splits, and their
    prices are the quoted ones; prices of ready-made bars may have it in them"""


ENDED = -1
"""Of `Bar.live`, from the bar on after the one that paid what a symbol was worth in the
end. It is not live, but what became of who held it is known."""

BAR_INTS = Bar._fields[: Bar._fields.index("anchor")]
BAR_FLOATS = Bar._fields[Bar._fields.index("anchor") :]


class Layout(NamedTuple):
    """The static shapes: whatever here changes, recompiles."""

    symbols: int
    window: int
    capacity: int
    """ticks of a batch"""
    horizon: int
    """bars a label looks ahead"""
    latency: int
    """FRACTION units between a boundary and the first executable price"""
    columns: tuple[str, ...]
    """the bar columns that the source fills; features that need others are absent"""


class Decisions(NamedTuple):
    """What the engine concludes at the end of a bar."""

    probability: Float[Array, "S C"]
    member_probability: Float[Array, "M S C"]
    confidence: Float[Array, " S"]
    disagreement: Float[Array, " S"]
    regime: Int[Array, ""]
    intent: Float[Array, " S"]
    """target position as a share of the capital"""
    flags: Int[Array, " S"]
    """reasons why the intent is smaller than the forecast asked; bits of `Reason`"""
