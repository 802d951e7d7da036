"""No training label meets a test label, whatever the folds: sets, bar by bar."""

from itertools import combinations, pairwise
from math import comb

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bot4jax.errors import DataError
from bot4jax.learn.folds import (
    Fold,
    Purge,
    combinatorial,
    k_fold,
    lived_bars,
    most_labels,
    overlaps,
    parts,
    pieces_of,
    purge_of,
    require_labels,
    walk_forward,
)
from bot4jax.learn.splits import Split, purge_gap, purged_split

horizons, windows = st.integers(1, 12), st.integers(4, 64)


def bars_of(pieces):
    return {bar for piece in pieces for bar in piece}


def lives(pieces, horizon):
    """Every bar that some label of these decisions lives in, one by one."""
    return {t + k for t in bars_of(pieces) for k in range(1, horizon + 1)}


def knows(pieces, horizon, window):
    """Every bar that a sample of these decisions reads: its window and its label."""
    reads = {t - k for t in bars_of(pieces) for k in range(window)}
    return reads | lives(pieces, horizon)


def is_apart(fold, horizon, window):
    """No label in another span's labels; no window behind a test reaches its labels."""
    for one, other in combinations(fold, 2):
        assert lives(one, horizon).isdisjoint(lives(other, horizon))
    for test in fold.test:
        behind = [p for p in fold.train + fold.calibrate if p.start >= test.stop]
        assert knows(behind, horizon, window).isdisjoint(lives((test,), horizon))


@given(
    lengths=st.tuples(*[st.integers(40, 300)] * 3),
    folds=st.integers(2, 6),
    horizon=horizons,
    latency_bars=st.integers(0, 4),
)
def test_walking_forward_expands_and_never_meets_its_test(
    lengths, folds, horizon, latency_bars
):
    train, calibrate, test = lengths
    split = purged_split(train, calibrate, test, horizon, latency_bars, warmup=30)
    gap = purge_gap(horizon, latency_bars)
    found = walk_forward(split, folds, gap)
    assert found[0][:2] == split[:2]
    assert [t for fold in found for t in fold.test] == list(split.test)
    for fold, later in pairwise(found):
        assert fold.train.start == later.train.start
        assert fold.train.stop < later.train.stop
    for fold in found:
        assert len(fold.calibrate) == len(split.calibrate)
        assert fold.calibrate.start - fold.train.stop >= horizon + latency_bars
        assert fold.test.start - fold.calibrate.stop >= horizon + latency_bars
        is_apart(pieces_of(fold), horizon, window=1)


@settings(max_examples=60)
@given(
    bars=st.integers(300, 900),
    folds=st.integers(2, 6),
    horizon=horizons,
    latency_bars=st.integers(0, 3),
    window=windows,
)
def test_k_fold_tests_every_bar_once_and_keeps_its_embargo(
    bars, folds, horizon, latency_bars, window
):
    span = range(window, window + bars)
    purge = purge_of(bars, horizon, latency_bars, window)
    assert purge.embargo >= max(bars / 100, window + horizon)
    try:
        found = k_fold(span, folds, 30, purge)
    except DataError:
        assume(False)
        return
    assert sorted(t for fold in found for p in fold.test for t in p) == list(span)
    for fold in found:
        (test,), (calibrate,) = fold.test, fold.calibrate
        assert len(calibrate) == 30
        is_apart(fold, horizon, window)
        for own in fold.train:
            for other in (test, calibrate):
                is_before = other.start - own.stop >= purge.gap
                assert is_before or own.start - other.stop >= purge.embargo
        assert overlaps(fold, horizon, span.stop + horizon) == ()


@settings(max_examples=30)
@given(
    groups=st.integers(4, 7),
    tests=st.integers(1, 3),
    horizon=horizons,
    window=st.integers(4, 24),
)
def test_combinatorial_folds_test_every_choice_of_groups(
    groups, tests, horizon, window
):
    span = range(100, 1300)
    purge = purge_of(len(span), horizon, 1, window)
    found = combinatorial(span, groups, tests, 40, purge)
    assert len(found) == len({fold.test for fold in found}) == comb(groups, tests)
    times = [t for fold in found for piece in fold.test for t in piece]
    assert len(times) == len(span) * comb(groups - 1, tests - 1)
    for fold in found:
        assert bars_of(fold.train) < set(span)
        is_apart(fold, horizon, window)


def test_counts_by_hand():
    purge = purge_of(1000, horizon=5, latency_bars=1, window=20)
    assert purge == Purge(gap=6, embargo=25)
    assert purge_of(10_000, 5, 1, 20).embargo == 100
    first, second = k_fold(range(1000), 2, 100, purge)
    assert first.test == (range(500),)
    assert first.calibrate == (range(900, 1000),)
    assert first.train == (range(525, 894),)
    assert second.test == (range(500, 1000),)
    assert second.calibrate == (range(394, 494),)
    assert second.train == (range(388),)


def test_parts_differ_by_at_most_one_bar():
    assert parts(range(10, 20), 3) == (range(10, 13), range(13, 16), range(16, 20))
    with pytest.raises(DataError, match="2 bars cannot be split into 3"):
        parts(range(2), 3)


def test_lived_bars_by_hand():
    lived = lived_bars((range(2, 4), range(8, 9)), horizon=2, bars=12)
    assert lived.nonzero()[0].tolist() == [3, 4, 5, 9, 10]


def test_a_planted_overlap_is_named():
    split = Split(range(100), range(100, 150), range(160, 200))
    fold = pieces_of(split)
    assert overlaps(fold, horizon=1, bars=300) == ()
    assert overlaps(fold, horizon=2, bars=300) == ("train and calibrate",)
    mixed = Fold((range(0, 100, 1),), (range(110, 150),), (range(50, 60),))
    assert overlaps(mixed, horizon=2, bars=300) == ("train and test",)


def test_a_span_without_room_is_refused_with_counts():
    with pytest.raises(DataError, match=r"leaves at most 25 .* gaps of 6 .* of 25"):
        k_fold(range(100), 2, 44, Purge(6, 25))
    with pytest.raises(ValueError, match="2 test groups of 2"):
        combinatorial(range(100), 2, 2, 10, Purge(1, 1))


def test_too_few_labels_are_refused_fold_by_fold():
    assert most_labels(range(5, 69), symbols=16, horizon=5) == 16 * 12
    require_labels([200, 4000], "lengthen spans.test")
    with pytest.raises(DataError, match=r"1: 200, 2: 199\. .* at least 200 .*: add"):
        require_labels([200, 199], "add symbols")
