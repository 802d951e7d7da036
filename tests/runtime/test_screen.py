"""Every tick is judged as by a list of rules written out one by one."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot4jax.runtime.screen import FARTHEST, LARGEST_SIZE, Drop, screen
from bot4jax.types import BOOK, BUY, QUOTE, SELL, STATUS, TICK, TRADE

ANCHORS = np.array([1_000, 600_000_000, 40_000_000_000])

edges = st.sampled_from(
    [
        *(-(2**63), -1, 0, 1, 2, 3, 4, 9, 10, 2**63 - 1, 2**62, 2**53, 2**53 + 1),
        *(LARGEST_SIZE, LARGEST_SIZE + 1, 1_000, 600_000_000, 40_000_000_000),
        *(1_000 + FARTHEST - 1, 1_000 + FARTHEST, 40_000_000_000 - FARTHEST),
    ]
)
ticks = st.tuples(
    st.integers(0, 4) | st.just(255),
    st.integers(0, 3) | st.just(255),
    st.integers(0, 2**16 - 1),
    st.integers(0, 4) | st.sampled_from([2**31 - 1, 2**31, 2**32 - 1]),
    st.sampled_from([0, 1, 10**18, 2**62 - 1, 2**62, 2**63 - 1, -1, -(2**63)]),
    *[edges] * 4,
)


def is_size(value: int, least: int = 1) -> bool:
    return least <= value <= LARGEST_SIZE


def wrong_field(tick) -> int:
    """The first field of a, b, c, d outside the protocol's bounds."""
    kind, (a, b, c, d) = int(tick["kind"]), (int(tick[name]) for name in "abcd")
    is_price = {"a": 1 <= a <= 2**53, "b": 1 <= b <= 2**53}
    rules = {
        QUOTE: (
            (is_price["a"], Drop.PRICE),
            (is_price["b"], Drop.PRICE),
            (is_size(c), Drop.SIZE),
            (is_size(d), Drop.SIZE),
        ),
        TRADE: (
            (is_price["a"], Drop.PRICE),
            (is_size(b), Drop.SIZE),
            (d == 0, Drop.FIELD),
        ),
        BOOK: (
            (is_price["a"], Drop.PRICE),
            (is_size(b, 0), Drop.SIZE),
            (1 <= c <= 9, Drop.LEVEL),
            (d == 0, Drop.FIELD),
        ),
        STATUS: ((0 <= a <= 3, Drop.STATUS), (b == c == d == 0, Drop.FIELD)),
    }
    return next((reason for is_fine, reason in rules[kind] if not is_fine), 0)


def expected(tick) -> int:
    kind, side, symbol = (int(tick[name]) for name in ("kind", "side", "symbol"))
    a, b = int(tick["a"]), int(tick["b"])
    if kind > STATUS:
        return Drop.KIND
    if (kind == TRADE and side > SELL) or (kind == BOOK and side not in (BUY, SELL)):
        return Drop.SIDE
    if symbol >= len(ANCHORS):
        return Drop.SYMBOL
    if wrong_field(tick):
        return wrong_field(tick)
    priced = {QUOTE: (a, b), TRADE: (a,), BOOK: (a,), STATUS: ()}[kind]
    if any(abs(price - int(ANCHORS[symbol])) >= FARTHEST for price in priced):
        return Drop.PRICE
    if kind == QUOTE and a > b:
        return Drop.CROSSED
    return 0 if 0 <= int(tick["event_ns"]) < 2**62 else Drop.TIME


def reasons(records: np.ndarray) -> list[int]:
    found = screen(records, ANCHORS)
    return [0] * len(records) if found is None else found.tolist()


@given(st.lists(ticks, max_size=20))
@example([])
@example([(QUOTE, 0, 0, 0, 0, 1_000, 1_000, 1, LARGEST_SIZE)])
@example([(TRADE, BUY, 0, 0, 0, 1_000, 1, -(2**63), 0)])
@example([(BOOK, SELL, 0, 2, 0, 40_000_000_000, 0, 9, 0)])
@example([(STATUS, 7, 0, 0, 0, 3, 0, 0, 0)])
def test_reasons_equal_the_rules(rows):
    records = np.array(rows, TICK)
    assert reasons(records) == [expected(tick) for tick in records]


@pytest.mark.parametrize(
    ("tick", "reason"),
    [
        ((QUOTE, 0, 0, 0, 5, 1_000, 1_001, 1, 1), 0),
        ((TRADE, 0, 0, 0, 5, 1_000, 1, 7, 0), 0),
        ((BOOK, BUY, 0, 0, 5, 999, 0, 9, 0), 0),
        ((STATUS, 0, 0, 0, 5, 0, 0, 0, 0), 0),
        ((4, 0, 0, 0, 5, 1_000, 1_001, 1, 1), Drop.KIND),
        ((TRADE, 3, 0, 0, 5, 1_000, 1, 7, 0), Drop.SIDE),
        ((BOOK, 0, 0, 0, 5, 999, 1, 1, 0), Drop.SIDE),
        ((QUOTE, 0, 0, 3, 5, 1_000, 1_001, 1, 1), Drop.SYMBOL),
        ((QUOTE, 0, 0, 2**32 - 1, 5, 1_000, 1_001, 1, 1), Drop.SYMBOL),
        ((QUOTE, 0, 0, 0, 5, 0, 1_001, 1, 1), Drop.PRICE),
        ((QUOTE, 0, 0, 0, 5, 1_000, 1_000 + FARTHEST, 1, 1), Drop.PRICE),
        ((TRADE, 0, 0, 2, 5, 1_000, 1, 7, 0), Drop.PRICE),
        ((QUOTE, 0, 0, 0, 5, 1_000, 1_001, 0, 1), Drop.SIZE),
        ((TRADE, 0, 0, 0, 5, 1_000, LARGEST_SIZE + 1, 7, 0), Drop.SIZE),
        ((BOOK, BUY, 0, 0, 5, 999, 1, 0, 0), Drop.LEVEL),
        ((BOOK, BUY, 0, 0, 5, 999, 1, 10, 0), Drop.LEVEL),
        ((STATUS, 0, 0, 0, 5, 4, 0, 0, 0), Drop.STATUS),
        ((TRADE, 0, 0, 0, 5, 1_000, 1, 7, 1), Drop.FIELD),
        ((QUOTE, 0, 0, 0, 5, 1_001, 1_000, 1, 1), Drop.CROSSED),
        ((QUOTE, 0, 0, 0, -1, 1_000, 1_001, 1, 1), Drop.TIME),
    ],
)
def test_each_reason_is_reachable(tick, reason):
    assert reasons(np.array([tick], TICK)) == [reason]


def test_a_locked_quote_passes():
    assert reasons(np.array([(QUOTE, 0, 0, 0, 5, 1_000, 1_000, 1, 1)], TICK)) == [0]
