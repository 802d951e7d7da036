"""No label of a span lives in a later one, whatever the spans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot4jax.errors import DataError
from bot4jax.learn.splits import purge_gap, purged_split

lengths = st.integers(20, 400)


@given(
    spans=st.tuples(lengths, lengths, lengths),
    horizon=st.integers(1, 15),
    latency_bars=st.integers(0, 4),
    warmup=st.integers(0, 300),
)
def test_no_label_reaches_a_later_span(spans, horizon, latency_bars, warmup):
    train, calibrate, test = spans
    split = purged_split(train, calibrate, test, horizon, latency_bars, warmup)
    assert tuple(len(span) for span in split) == spans
    assert split.train.start == warmup
    for earlier, later in (split[:2], split[1:]):
        lived_in = {t + k for t in earlier for k in range(1, horizon + 1)}
        assert lived_in.isdisjoint(later)
        assert later.start - earlier.stop >= horizon + 1
        assert later.start - earlier.stop >= horizon + latency_bars
    assert split.bars == sum(spans) + warmup + 2 * purge_gap(horizon, latency_bars)


def test_counts_by_hand():
    split = purged_split(1200, 200, 300, horizon=5, latency_bars=1, warmup=256)
    assert split.train == range(256, 1456)
    assert split.calibrate == range(1462, 1662)
    assert split.test == range(1668, 1968)
    assert split.bars == 1968


def test_spans_without_a_complete_label_are_refused_with_counts():
    with pytest.raises(DataError, match=r"train 6, test 0 bars; .* needs at least 7"):
        purged_split(6, 7, 0, horizon=5, latency_bars=1, warmup=0)


def test_a_source_that_is_too_short_is_refused_with_counts():
    spans = {"horizon": 5, "latency_bars": 1, "warmup": 64}
    assert purged_split(100, 50, 50, **spans, available=276).bars == 276
    with pytest.raises(DataError, match=r"holds 275 bars.*two gaps of 6 need 276"):
        purged_split(100, 50, 50, **spans, available=275)
