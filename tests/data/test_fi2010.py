"""FI-2010's layout, written here in small, and the states of any source's book."""

import numpy as np
import pytest

from bot4jax.data.binance import Binance
from bot4jax.data.daily import Daily
from bot4jax.data.depth import ASK, BID, book_states, by_day
from bot4jax.data.fi2010 import fi2010_states
from bot4jax.data.source import DataError
from bot4jax.types import BOOK, BUY, QUOTE, SELL, TICK


def matrix(mids=(0.26, 0.26, 0.2601, 0.39, 0.3901), seed=0):
    """Events of a share or two: ask price, size, bid price, size, level by level."""
    rng = np.random.default_rng(seed)
    found = np.zeros((149, len(mids)))
    for level in range(10):
        found[4 * level] = np.array(mids) + 1e-4 * (1 + level)
        found[4 * level + 2] = np.array(mids) - 1e-4 * (1 + level)
        found[4 * level + 1] = 0.001 * (1 + level)
        found[4 * level + 3] = 0.002 * (1 + level)
    found[40:144] = rng.normal(size=(104, len(mids)))
    found[144:] = rng.integers(1, 4, (5, len(mids)))
    return found


def write(folder, name, values):
    np.savetxt(folder / f"{name}.txt", values, fmt="%.7e")


def test_shares_are_parted_where_the_price_jumps(tmp_path):
    first, later = matrix(), matrix((0.27, 0.2702, 0.4, 0.4, 0.4), seed=1)
    write(tmp_path, "Train_Dst_NoAuction_DecPre_CF_1", first)
    write(tmp_path, "Train_Dst_NoAuction_DecPre_CF_2", np.hstack([first, later]))
    write(tmp_path, "Test_Dst_NoAuction_DecPre_CF_1", later)
    found = fi2010_states(tmp_path)
    assert [(one.symbol, one.day, len(one.at)) for one in found] == [
        ("share 1", 0, 3),
        ("share 2", 0, 2),
        ("share 1", 1, 2),
        ("share 2", 1, 3),
    ]
    one = found[1]
    assert one.block == 10  # events from one row to the next
    np.testing.assert_allclose(one.mid, [0.39, 0.3901], atol=1e-7)
    np.testing.assert_allclose(one.price[0, ASK], 0.39 + 1e-4 * np.arange(1, 11))
    np.testing.assert_allclose(one.price[0, BID], 0.39 - 1e-4 * np.arange(1, 11))
    np.testing.assert_allclose(one.size[0, ASK], 0.001 * np.arange(1, 11))
    np.testing.assert_allclose(one.size[0, BID], 0.002 * np.arange(1, 11))
    # 1 is up and 3 is down there; here 2 is up and 0 is down
    np.testing.assert_array_equal(one.published, 3 - first[144:, 3:].T)
    np.testing.assert_allclose(found[3].at, 1 + np.arange(3) / 3)


def test_as_many_shares_and_events_as_are_asked_for(tmp_path):
    write(tmp_path, "Train_Dst_NoAuction_DecPre_CF_1", matrix())
    whole, first = fi2010_states(tmp_path), fi2010_states(tmp_path, symbols=1)
    assert [one.symbol for one in first] == ["share 1"]
    cut = fi2010_states(tmp_path, most=1)
    assert [len(one.at) for one in cut] == [1, 1]
    for one, same in zip(cut, whole, strict=True):
        np.testing.assert_array_equal(one.price, same.price[:1])
        np.testing.assert_array_equal(one.published, same.published[:1])


def wrong(change):
    values = matrix()
    change(values)
    return values


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (matrix()[:148], "148 rows were found, 149 were expected"),
        (wrong(lambda m: m[144].fill(0)), "other labels than 1, 2 and 3"),
        (wrong(lambda m: m[:40].__imul__(-1)), "decimal precision"),
        (wrong(lambda m: m[0].fill(0.1)), "best asks do not lie above best bids"),
        (wrong(lambda m: m[9].fill(np.nan)), "hold what is no finite number"),
        (wrong(lambda m: m[4].fill(np.inf)), "hold what is no finite number"),
        (wrong(lambda m: m[39].fill(-1)), "hold a size below 0"),
    ],
)
def test_another_layout_is_refused(tmp_path, values, found):
    write(tmp_path, "Train_Dst_NoAuction_DecPre_CF_1", values)
    with pytest.raises(DataError, match=found):
        fi2010_states(tmp_path)


def test_files_of_several_days_are_not_days(tmp_path):
    write(tmp_path, "Train_Dst_NoAuction_DecPre_CF_2", matrix())
    with pytest.raises(DataError, match="no file of one day"):
        fi2010_states(tmp_path)


def record(kind, ns, a, b, c=0, d=0, side=0):
    return np.array([(kind, side, 0, 0, ns, a, b, c, d)], TICK)


def test_records_of_a_moment_change_the_book_together():
    day = 86_400_000_000_000
    records = np.concatenate(
        [
            record(QUOTE, 1, 10, 12, 5, 6),  # one level is not told yet
            record(BOOK, 2, 13, 7, 1, side=SELL),
            record(BOOK, 3, 9, 8, 1, side=BUY),  # now all are
            record(QUOTE, 4, 11, 12, 5, 6),
            record(BOOK, 4, 10, 3, 1, side=BUY),
            record(QUOTE, 5, 11, 12, 5, 6),  # nothing changes
            record(QUOTE, 6, 12, 12, 5, 6),  # crossed
            record(QUOTE, day + 1, 11, 13, 5, 6),  # the next day
        ]
    )
    first, second = by_day("ABC", records, levels=2)
    assert (first.day, second.day) == (0, 1)
    np.testing.assert_array_equal(first.price[:, BID], [[10, 9], [11, 10]])
    np.testing.assert_array_equal(first.size[:, BID], [[5, 8], [5, 3]])
    np.testing.assert_array_equal(first.price[:, ASK], [[12, 13], [12, 13]])
    np.testing.assert_array_equal(second.price[:, ASK], [[13, 13]])


def test_recorded_books_are_in_order(data_root):
    """Of Binance's book: levels go away from the mid, all but for the quote's lead."""
    path = data_root / "binance" / "coinm"
    if not path.is_dir():
        pytest.skip(f"{path} is absent: it holds captures of a contract")
    found = book_states(Binance(path), levels=10, most=3_000)
    assert [one.symbol for one in found] == ["BTCUSD_PERP"] * 2
    for one in found:
        assert len(one.at) == 3_000
        assert (np.diff(one.price[:, ASK, 1:]) > 0).mean() > 0.999
        assert (np.diff(one.price[:, BID, 1:]) < 0).mean() > 0.999
        assert np.ptp(one.at) < 0.01  # minutes, of one day
        assert set(np.floor(one.at)) == {one.day}


def test_a_source_without_a_book_is_refused(data_root):
    path = data_root / "us_daily"
    if not path.is_dir():
        pytest.skip(f"{path} is absent: it holds daily bars")
    with pytest.raises(DataError, match="shows no book"):
        book_states(Daily(path), levels=10)
