"""LOBSTER's files: a small day that is written here, message by message."""

import numpy as np
import pytest

from bot4jax.data.depth import ASK, BID, book_states
from bot4jax.data.lean import midnight_ns
from bot4jax.data.lobster import EMPTY, Lobster
from bot4jax.data.source import DataError
from bot4jax.types import BOOK, BUY, HALTED, QUOTE, SELL, STATUS, TRADE, TRADING

OPEN = 34_200
"""9:30 in New York, s of the day."""

MESSAGES = [  # seconds, type, order, size, price, direction
    f"{OPEN}.004241176,1,1,200,1000000,1",
    f"{OPEN}.004260640,1,2,100,1000300,-1",
    f"{OPEN + 1}.5,4,2,40,1000300,-1",  # a sell order rests: the buyer took it
    f"{OPEN + 2}.25,5,0,10,1000100,1",  # hidden: the book does not change
    f"{OPEN + 3},3,9,60,1000300,-1",  # the best ask is gone, the second one is best
    f"{OPEN + 4},7,0,0,-1,-1",  # a halt
    f"{OPEN + 5},7,0,0,1,-1",
    f"{OPEN + 6}.000000001,2,1,50,1000000,1",
    f"{OPEN + 8},1,7,10,900000,1",  # below the levels that are shown: nothing moves
]
DEEP = f"{-EMPTY},0"
BOOKS = [  # ask, size, bid, size; then the second level
    f"1000200,100,1000000,200,1000400,300,{DEEP}",
    f"1000200,100,1000000,200,1000400,300,{DEEP}",
    f"1000200,60,1000000,200,1000400,300,{DEEP}",
    f"1000200,60,1000000,200,1000400,300,{DEEP}",
    f"1000400,300,1000000,200,{EMPTY},0,999900,500",
    f"1000400,300,1000000,200,{EMPTY},0,999900,500",
    f"1000400,300,1000000,200,{EMPTY},0,999900,500",
    f"1000400,300,1000000,150,{EMPTY},0,999900,500",
    f"1000400,300,1000000,150,{EMPTY},0,999900,500",
]


def write(folder, messages=MESSAGES, books=BOOKS, symbol="ABC", day="2012-06-21"):
    for kind, lines in (("message", messages), ("orderbook", books)):
        name = f"{symbol}_{day}_34200000_57600000_{kind}_2.csv"
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def rows(source):
    records = [one.records for one in source.frames(0, source.bar_count)]
    return np.concatenate(records).tolist()


def test_messages_and_books_become_records(tmp_path):
    source = Lobster(write(tmp_path))
    (one,) = source.universe.instruments
    assert (one.symbol, one.increment, one.lot) == ("ABC", 0.01, 10)
    zero = midnight_ns("20120621") + OPEN * 10**9
    assert source.start_ns == zero + 10**9
    at = {s: zero + round(s * 1e9) for s in (1.5, 2.25, 3, 4, 5)}
    assert rows(source) == [
        (QUOTE, 0, 0, 0, source.start_ns, 10000, 10002, 20, 10),
        (BOOK, SELL, 0, 0, source.start_ns, 10004, 30, 1, 0),
        # the buyer took from a resting sell order, before the quote that this left
        (TRADE, BUY, 0, 0, at[1.5], 10003, 4, 2, 0),
        (QUOTE, 0, 0, 0, at[1.5], 10000, 10002, 20, 6),
        (TRADE, SELL, 0, 0, at[2.25], 10001, 1, 0, 0),
        (QUOTE, 0, 0, 0, at[3], 10000, 10004, 20, 30),
        (BOOK, SELL, 0, 0, at[3], 10004, 0, 1, 0),  # empty: its last price, no size
        (BOOK, BUY, 0, 0, at[3], 9999, 50, 1, 0),
        (STATUS, 0, 0, 0, at[4], HALTED, 0, 0, 0),
        (STATUS, 0, 0, 0, at[5], TRADING, 0, 0, 0),
        (QUOTE, 0, 0, 0, zero + 6 * 10**9 + 1, 10000, 10004, 15, 30),
    ]


def test_two_levels_fill_no_column_of_a_deeper_book(tmp_path):
    columns = set(Lobster(write(tmp_path)).columns)
    assert {"effective_spread", "buy_volume", "trade_count"} <= columns
    assert not columns & {"flow_2", "bid_depth_5", "ask_depth_10"}


def test_deep_books_fold_into_the_states_that_the_file_states(tmp_path):
    """Five levels, moved at random: what was written comes back, change by change."""
    rng = np.random.default_rng(0)
    mid = 1_000_000 + 200 * np.cumsum(rng.integers(-1, 2, 400))
    steps = 100 + 200 * np.arange(5)
    prices = np.stack([mid[:, None] + steps, mid[:, None] - steps], axis=2)
    sizes = rng.integers(1, 9, (400, 5, 2)) * 10
    books = np.stack([prices, sizes], axis=3).reshape(400, -1)
    messages = [f"{OPEN + 0.1 * i:.1f},1,{i},10,1000000,1" for i in range(400)]
    lines = [",".join(map(str, row)) for row in books.tolist()]
    for kind, text in (("message", messages), ("orderbook", lines)):
        name = f"ABC_2012-06-21_34200000_57600000_{kind}_5.csv"
        (tmp_path / name).write_text("\n".join(text) + "\n")
    source = Lobster(tmp_path)
    (found,) = book_states(source, levels=5)
    shown, unit = len(found.at), 100
    kept = slice(10, 10 + shown)  # bars begin a second after the first message
    np.testing.assert_array_equal(found.price[:, ASK], prices[kept, :, 0] // unit)
    np.testing.assert_array_equal(found.price[:, BID], prices[kept, :, 1] // unit)
    np.testing.assert_array_equal(found.size[:, BID], sizes[kept, :, 1] // 10)
    assert shown == 380  # the last moment is cut by the end of the last bar


def test_days_and_shares_come_in_order(tmp_path):
    write(tmp_path)
    write(tmp_path, day="2012-06-22")
    write(tmp_path, symbol="AAA")
    source = Lobster(tmp_path)
    assert source.universe.symbols == ("AAA", "ABC")
    times = [row[4] for row in rows(source)]
    assert times == sorted(times)
    assert times[-1] - times[0] > 86_400 * 10**9
    assert Lobster(tmp_path, symbols=1).universe.symbols == ("AAA",)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"books": BOOKS[:-1]}, "8 lines were found, 9 were expected"),
        ({"messages": ["1,2,3", *MESSAGES[1:]]}, "line 1: a number is missing"),
        (
            {"messages": [*MESSAGES[:-1], "1,1,1,1,1,1"]},
            r"backwards, 1 s was found behind \d+",
        ),
        (
            {"messages": [*MESSAGES[:-1], "x,1,1,1,1,1"]},
            r"message_2\.csv is damaged: could not parse `x` .*\. Numbers without a "
            r"header were expected, 6 a line: fetch it again\.$",
        ),
        ({"messages": [*MESSAGES[:-1], ",1,1,1,1,1"]}, "line 9: a number is missing"),
        (
            {"messages": ["-1,1,1,1,1,1", *MESSAGES[1:]]},
            "line 1: a time within the day",
        ),
        ({"messages": [*MESSAGES[:-1], "nan,1,1,1,1,1"]}, "line 9: a time within"),
        ({"messages": [*MESSAGES[:-1], "86400,1,1,1,1,1"]}, "line 9: a time within"),
        ({"messages": [*MESSAGES[:-1], f"{OPEN + 8},4,7,nan,9,1"]}, "whole numbers"),
        ({"messages": [*MESSAGES[:-1], f"{OPEN + 8},4,7,1,9.5,1"]}, "whole numbers"),
        ({"messages": [*MESSAGES[:-1], f"{OPEN + 8},4,7,1,0,1"]}, "price above 0 was"),
        (
            {"messages": [*MESSAGES[:-1], f"{OPEN + 8},5,7,0,9,1"]},
            "an execution of a size",
        ),
        ({"books": [*BOOKS[:-1], BOOKS[-1].replace(",300", ",nan")]}, "line 9: whole"),
        (
            {"books": [*BOOKS[:-1], BOOKS[-1].replace("1000400", "inf")]},
            "9: whole numbers",
        ),
        ({"books": [*BOOKS[:-1], BOOKS[-1].replace("1000400", "1e20")]}, "9: whole"),
        (
            {"books": [*BOOKS[:-1], BOOKS[-1].replace("1000400", "0")]},
            "9: prices above 0",
        ),
        (
            {"books": [*BOOKS[:-1], BOOKS[-1].replace(",300", ",-3")]},
            "9: sizes from 0 on",
        ),
    ],
)
def test_damage_is_named(tmp_path, change, found):
    with pytest.raises(DataError, match=found):
        Lobster(write(tmp_path, **change))


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(DataError, match="holds no messages of LOBSTER"):
        Lobster(tmp_path)
    write(tmp_path)
    next(tmp_path.glob("*orderbook*")).unlink()
    with pytest.raises(DataError, match=r"orderbook_2\.csv beside it"):
        Lobster(tmp_path)
