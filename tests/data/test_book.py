"""The rebuilt book against a plain dictionary and the exchange's own quotes."""

import bisect

import numpy as np
import pytest

from bot4jax.data.book import Book, Difference
from bot4jax.data.capture import Depth, Snapshot, Ticker, messages
from bot4jax.data.grid import units


class PlainBook:
    """The truth: one dictionary a side, sorted anew at every look."""

    def __init__(self):
        self.bids, self.asks = {}, {}

    def change(self, bids, asks):
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, size in levels:
                side[price] = size

    def top(self, depth):
        bids = sorted((p, s) for p, s in self.bids.items() if s)[::-1]
        asks = sorted((p, s) for p, s in self.asks.items() if s)
        return bids[:depth], asks[:depth]

    def levels(self):
        return (
            [(p, s) for p, s in self.bids.items() if s],
            [(p, s) for p, s in self.asks.items() if s],
        )


def random_differences(seed, count, holes):
    """Updates around 1,000; with `holes`, ids skip numbers, as derivatives' do."""
    random = np.random.default_rng(seed)
    last = 100
    for _ in range(count):
        first = last + (int(random.integers(1, 9)) if holes else 1)
        end = first + int(random.integers(0, 5))
        bids = _levels(random, 900, 1000)
        asks = _levels(random, 1000, 1100)
        yield Difference(last if holes else first - 1, end, bids, asks)
        last = end


def _levels(random, low, high):
    prices = random.integers(low, high, size=random.integers(0, 12))
    sizes = random.integers(0, 4, size=len(prices))
    return list(zip(prices.tolist(), sizes.tolist(), strict=True))


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("snapshot_after", [0, 17])
def test_book_equals_a_plain_dictionary(holes, snapshot_after):
    plain, book = PlainBook(), Book()
    stream = list(random_differences(5, 300, holes))
    for difference in stream[:10]:
        plain.change(difference.bids, difference.asks)
    true_at = stream[9].last
    snapshot = plain.levels()
    for difference in stream[:snapshot_after]:
        book.apply(difference)
    assert not book.is_synced
    book.restore(true_at, *snapshot)
    for difference in stream[10:snapshot_after]:
        plain.change(difference.bids, difference.asks)
    for difference in stream[max(snapshot_after, 10) :]:
        book.apply(difference)
        plain.change(difference.bids, difference.asks)
        assert (book.bids.top(10), book.asks.top(10)) == plain.top(10)
    assert book.breaks == 0
    assert book.is_synced
    assert len(book.bids) == len(plain.levels()[0])


def straddled():
    """A difference of updates 11 … 14 arrives first, then a snapshot true at 12."""
    straddling = Difference(10, 14, [(99, 0), (98, 5)], [(100, 7)])
    return straddling, (12, [(99, 1), (97, 4)], [(101, 3)])


def test_straddling_difference_is_kept_and_applied_after_the_snapshot():
    straddling, snapshot = straddled()
    book = Book()
    book.apply(straddling)
    book.restore(*snapshot)
    assert book.bids.top(3) == [(98, 5), (97, 4)]
    assert book.asks.top(3) == [(100, 7), (101, 3)]
    book.apply(Difference(14, 15, [], [(100, 0)]))
    assert book.asks.top(1) == [(101, 3)]
    assert book.breaks == 0


def test_dropping_the_straddling_difference_is_seen_as_a_break():
    _, snapshot = straddled()
    book = Book()
    book.restore(*snapshot)
    book.apply(Difference(14, 15, [], [(100, 0)]))
    assert book.breaks == 1
    assert not book.is_synced


def test_known_differences_are_dropped():
    book = Book()
    book.apply(Difference(3, 8, [(99, 1000)], []))
    book.restore(9, [(99, 1)], [(101, 1)])
    book.apply(Difference(8, 9, [(99, 2000)], []))
    assert book.bids.top(2) == [(99, 1)]
    assert book.breaks == 0


def test_broken_chain_empties_the_book_until_the_next_snapshot():
    book = Book()
    book.restore(10, [(99, 1)], [(101, 1)])
    book.apply(Difference(10, 12, [(98, 2)], []))
    book.apply(Difference(13, 14, [(98, 3)], []))
    assert (book.breaks, book.is_synced) == (1, False)
    assert book.bids.top(5) == book.asks.top(5) == []
    book.apply(Difference(14, 16, [(97, 4)], []))
    assert book.bids.top(5) == []
    book.restore(14, [(99, 9)], [(101, 9)])
    assert book.is_synced
    assert book.bids.top(5) == [(99, 9), (97, 4)]


def test_snapshot_older_than_what_was_kept_leaves_the_book_unsynced():
    book = Book()
    book.apply(Difference(20, 25, [(98, 2)], []))
    book.restore(10, [(99, 1)], [(101, 1)])
    assert (book.breaks, book.is_synced) == (1, False)
    book.restore(22, [(99, 1)], [(101, 1)])
    assert book.bids.top(5) == [(99, 1), (98, 2)]


def test_removing_an_absent_level_changes_nothing():
    book = Book()
    book.restore(10, [(99, 1)], [(101, 1)])
    book.apply(Difference(10, 11, [(50, 0)], [(101, 0), (101, 0)]))
    assert (book.bids.top(5), book.asks.top(5)) == ([(99, 1)], [])


def replayed(files):
    """Best prices after each difference, and of each `bookTicker`, by update id."""
    book, rebuilt, quoted, crossed = Book(), {}, {}, 0
    for file in files:
        for _, message in messages(file):
            if isinstance(message, Ticker):
                quoted[message.u] = units(message.b), units(message.a)
            elif isinstance(message, Snapshot | Depth):
                absorb(book, message)
                if book.is_synced:
                    bid, ask = book.bids.top(1)[0][0], book.asks.top(1)[0][0]
                    rebuilt[book.last] = bid, ask
                    crossed += bid >= ask
    assert book.breaks == 0
    assert crossed == 0
    return rebuilt, quoted


def absorb(book, message):
    if isinstance(message, Snapshot):
        book.restore(message.lastUpdateId, sized(message.bids), sized(message.asks))
        return
    previous = message.U - 1 if message.pu is None else message.pu
    bids, asks = sized(message.b), sized(message.a)
    book.apply(Difference(previous, message.u, bids, asks))


def sized(pairs):
    return [(units(price), units(size)) for price, size in pairs]


@pytest.mark.parametrize(
    ("market", "files", "share", "compared"),
    [
        ("coinm", "btcusd_perp_20240808.gz", 1.0, 25_000),
        ("spot", "btcusdt_*.gz", 0.9997, 6_000),
        ("usdm", "btcusdt_*.gz", 0.9956, 6_000),
    ],
)
def test_rebuilt_best_equals_book_ticker(data_root, market, files, share, compared):
    """The exchange's own best quote is the oracle.

    At the same id without exception; and for every difference with the last quote up to
    its id, to the published shares of agreement (four digits): an id of a difference
    may lie between the ids of two quotes.
    """
    rebuilt, quoted = replayed(sorted((data_root / "binance" / market).glob(files)))
    common = rebuilt.keys() & quoted.keys()
    assert len(common) > 500
    assert all(rebuilt[update] == quoted[update] for update in common)
    ids = sorted(quoted)
    last = {u: bisect.bisect_right(ids, u) - 1 for u in rebuilt}
    equal = [rebuilt[u] == quoted[ids[i]] for u, i in last.items() if i >= 0]
    assert len(equal) > compared
    assert round(float(np.mean(equal)), 4) >= share
