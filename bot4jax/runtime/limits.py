"""What no order may exceed, and the reasons that an order can be denied for."""

import enum
from typing import Any, Self

import msgspec

WIDER_COLLAR = 2
"""Reductions may trade this many times further from the reference."""


class TradingState(enum.IntEnum):
    """What may be sent; of several states the largest counts. Cancels always pass."""

    ACTIVE = 0
    REDUCING = 1
    HALTED = 2


class Reason(enum.IntEnum):
    """Why an order was denied or made smaller, in the order of looking at it."""

    sentence: str

    def __new__(cls, value: int, sentence: str) -> Self:
        reason = int.__new__(cls, value)
        reason._value_ = value
        reason.sentence = sentence
        return reason

    HALTED = 1, "The engine is halted: nothing but cancels leaves."
    INSTRUMENT_HALTED = 5, "The instrument is not trading."
    MISSING_REFERENCE = 6, "There is no valid bid and ask to compare the price with."
    EXPIRED = 30, "The instrument has expired: only reductions pass."
    STALE_REFERENCE = 7, "The quote is too old: only reductions pass."
    MISSED_TICKS = 8, "Ticks were missed and no snapshot has come: only reductions."
    NEWS = 29, "News of the instrument last: only reductions pass."
    NON_FINITE_TARGET = 9, "The wanted position is not a number."
    BELOW_MINIMUM = 10, "The change is under one lot or under the least notional."
    PARTICIPATION = 11, "Made smaller: too much of the size at the best quote."
    PRICE_COLLAR = 12, "The price is too far from the mid."
    PERIOD_COLLAR = 24, "The price is too far from a mid of the last minutes."
    NO_CAPITAL = 13, "The net asset value is unknown or not positive."
    DAILY_LOSS = 14, "Only reductions pass: the day's loss is over its limit."
    DRAWDOWN = 15, "Only reductions pass: the drawdown is over its limit."
    LOSING = 25, "Only reductions pass: too many losses in a row."
    REDUCING = 16, "Only reductions pass: the engine is in the state REDUCING."
    ORDER_LOTS = 26, "The order has more lots than one order may have."
    ORDER_NOTIONAL = 17, "The order is worth more than one order may be."
    POSITION = 18, "The position would be a larger share of the capital than allowed."
    VOLUME = 27, "The position would be too much of what is traded in a day."
    GROSS = 19, "The gross exposure would be larger than allowed."
    NET = 20, "The net exposure would be larger than allowed."
    MARGIN = 28, "More margin would be bound than allowed."
    ORDER_BUDGET = 21, "All messages that may leave now are spent on more urgent ones."
    REPEATED = 22, "The same order, over and over: the engine stops, but for a leg."
    SELF_TRADE = 23, "It could trade with an order of ours, which is taken back first."


def codes_table() -> str:
    """The first part of `docs/codes.md`: every reason with number and sentence."""
    rows = [f"| {one.value} | `{one.name}` | {one.sentence} |" for one in Reason]
    return "\n".join(
        [
            "# Reason codes of the risk gate",
            "",
            "Looked at in this order; the first that applies is counted.",
            "",
            "| code | name | meaning |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What no order may exceed; shares are of the net asset value."""

    max_order_lots: int
    max_order_notional: float
    """base currency"""
    max_position_share: float
    max_volume_share: float
    """of a day's volume, at the pace seen so far"""
    max_gross: float
    """leverage: it is × net asset value"""
    max_net: float
    max_margin: float
    """bound by positions and open orders, by each instrument's own share"""
    price_collar_bps: float
    """basis points of the mid; `WIDER_COLLAR` times as much for reductions"""
    period_collar_bps: float
    """of every mid of the last `period_seconds`; opening orders"""
    period_seconds: float
    orders_per_step: int
    """with cancels and replacements; cancels and reductions count, and always pass"""
    orders_per_second: int
    """of event time, orders alone; reductions count, and always pass"""
    messages_per_second: int
    """of event time, counted as those of a step"""
    max_participation: float
    """opening orders: times the size at the opposite best quote"""
    stale_seconds: float
    """oldest quote that an opening order may rest on"""
    repeats: int
    """orders alike within `repeat_seconds`"""
    repeat_seconds: float
    """of event time"""
    daily_loss_share: float
    drawdown_share: float
    losses_in_a_row: int
    """boundaries at which ended round trips came to a loss, within a day"""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(
                    f"risk.{name} is {value}: expected a finite number, 0 or larger."
                )

    @classmethod
    def from_config(cls, risk: Any) -> "Limits":
        """The limits of `config.risk`; its other fields are not for the gate."""
        missing = [name for name in cls.__struct_fields__ if not hasattr(risk, name)]
        if missing:
            raise ValueError(f"risk lacks {', '.join(missing)}.")
        return cls(**{name: getattr(risk, name) for name in cls.__struct_fields__})
