"""What trials earned is kept whole, or known to be lost."""

import numpy as np
import pytest

from bot4jax.learn import earnings
from bot4jax.learn.earnings import Earned

BAR_NS = 10**9


def earned(seed: int = 0, bars: int = 50) -> Earned:
    ends = (1 + np.arange(bars)) * BAR_NS
    return Earned(ends, np.random.default_rng(seed).normal(size=bars))


def test_what_is_kept_is_read_back(tmp_path):
    digest = earnings.keep(tmp_path, earned())
    found = earnings.read(tmp_path, digest)
    assert found is not None
    for column, own in zip(found, earned(), strict=True):
        np.testing.assert_array_equal(column, own)
        assert column.dtype == own.dtype
    assert [one.name for one in (tmp_path / earnings.FOLDER).iterdir()] == [
        f"{digest}.parquet"
    ]


def test_what_comes_out_alike_is_kept_once(tmp_path):
    digests = [earnings.keep(tmp_path, earned(seed)) for seed in (0, 0, 1)]
    assert len(set(digests)) == len(list((tmp_path / earnings.FOLDER).iterdir())) == 2


def test_the_digest_is_of_every_value(tmp_path):
    one = earned()
    later = one._replace(ends_ns=one.ends_ns + 1)
    richer = one._replace(profits=one.profits + np.eye(1, 50, 49)[0] * 1e-12)
    assert len({earnings.keep(tmp_path, x) for x in (one, later, richer)}) == 3


def test_nothing_can_be_kept(tmp_path):
    nothing = Earned(np.empty(0, np.int64), np.empty(0))
    found = earnings.read(tmp_path, earnings.keep(tmp_path, nothing))
    assert found is not None
    assert (len(found.profits), found.span) == (0, ())


def test_no_flipped_bit_goes_unseen(tmp_path):
    """Nor does one end the process, as some do that Polars is handed."""
    digest = earnings.keep(tmp_path, earned(bars=8))
    path = earnings.place(tmp_path, digest)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert earnings.read(tmp_path, digest) is None


@pytest.mark.parametrize("spoilt", ["gone", "torn", "another"])
def test_what_is_not_what_was_written_is_none(tmp_path, spoilt):
    digest = earnings.keep(tmp_path, earned())
    path = earnings.place(tmp_path, digest)
    if spoilt == "gone":
        path.unlink()
    elif spoilt == "torn":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        other = earnings.place(tmp_path, earnings.keep(tmp_path, earned(1)))
        other.replace(path)
    assert earnings.read(tmp_path, digest) is None


def test_side_by_side_a_bar_without_a_known_worth_earned_nothing():
    whole = earned(0, 4)
    holed = Earned(whole.ends_ns[[0, 2, 3]], np.array([1.0, 2.0, 3.0]))
    found = earnings.side_by_side([whole, holed])
    np.testing.assert_array_equal(found[:, 0], whole.profits)
    np.testing.assert_array_equal(found[:, 1], [1.0, 0.0, 2.0, 3.0])
