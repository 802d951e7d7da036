"""Pieces laid end to end: every row is a real bar, and none knows beyond its seam."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot4jax.kernels.sizing import Risk
from bot4jax.learn import dataset, laying
from bot4jax.learn.dataset import BarRecord
from bot4jax.learn.folds import Fold, combinatorial, purge_of
from bot4jax.learn.labels import forward_returns, sample_weights
from bot4jax.learn.params import first_asked, seams_in
from bot4jax.learn.schedule import chunks
from bot4jax.learn.splits import Split
from bot4jax.state import Observing, Seen
from bot4jax.types import BAR_FLOATS, BAR_INTS

FOLD = Fold((range(100, 130), range(200, 220)), (range(60, 80),), (range(150, 170),))
WARM, HORIZON = 15, 4


@pytest.fixture
def market() -> BarRecord:
    """Live bars whose close is 2 · (1000 + bar), so that a row tells which bar it is"""
    bars, symbols = 260, 3
    ints = np.zeros((bars, len(BAR_INTS), symbols), np.int32)
    ints[:, BAR_INTS.index("live")] = 1
    for mid in ("mid_close", "mid_entry"):
        ints[:, BAR_INTS.index(mid)] = 2 * (1000 + np.arange(bars))[:, None]
    return BarRecord(0, ints, np.zeros((bars, len(BAR_FLOATS), symbols), np.float32))


def bars_of(record):
    return (record.price("mid_close")[:, 0] - 1000).astype(int).tolist()


def test_rows_by_hand(market):
    laid = laying.lay(market, FOLD, WARM)
    pieces = [range(85, 130), range(185, 220), range(45, 80)]
    assert bars_of(laid.record) == [bar for piece in pieces for bar in piece]
    assert laid.record.seams == (45, 80)
    assert laid.split[:2] == (range(15, 80), range(95, 115))
    live = laid.record.live()[:, 0]
    decided = [i for i, is_live in enumerate(live) if is_live]
    assert decided == [*range(45), *range(60, 80), *range(95, 115)]
    assert laid.record.column("live")[[45, 80], 0].tolist() == [0, 0]
    assert market.column("live").all()  # the market's own bars stay as they were


def test_a_test_follows_with_its_own_numbers(market):
    laid, (test,) = laying.lay(market, FOLD, WARM), FOLD.test
    ahead = laying.ahead_of(laid, test, WARM)
    assert ahead.split.test == test
    assert ahead.split.calibrate.stop == test.start - WARM
    whole = laying.joined(
        [ahead.record, market.part(range(test.start - WARM, test.stop))],
        ahead.record.first,
    )
    assert bars_of(whole.part(test)) == list(test)
    assert bars_of(whole.part(ahead.split.calibrate)) == list(range(60, 80))
    assert seams_in(ahead.record, ahead.split.train) == (30,)
    assert first_asked(ahead.record, ahead.split) == 95  # warmed up again
    plain = Split(range(15, 80), range(86, 115), test)
    assert first_asked(market, plain) == 80  # nothing to warm up


def test_labels_are_those_of_the_pieces_alone(market):
    """Returns and weights, against each piece labelled by itself."""
    random = np.random.default_rng(0)
    moved = random.integers(-40, 40, (260, 3)).cumsum(0)
    for mid in ("mid_close", "mid_entry"):
        market.ints[:, BAR_INTS.index(mid)] += moved.astype(np.int32)
    laid = laying.lay(market, FOLD, WARM).record
    scale = np.ones(laid.column("live").shape)
    close, entry = (laid.price(one) for one in ("mid_close", "mid_entry"))
    returns = forward_returns(entry, close, HORIZON)
    weights = sample_weights(returns, scale, laid.live(), HORIZON)
    pieces = (*FOLD.train, *FOLD.calibrate)
    for piece, begins in zip(pieces, (WARM, 60, 95), strict=True):
        own = market.part(piece)
        alone = forward_returns(own.price("mid_entry"), own.price("mid_close"), HORIZON)
        expected = sample_weights(alone, scale[: len(piece)], own.live(), HORIZON)
        rows = slice(begins, begins + len(piece))
        counted = expected > 0
        assert counted.sum() == 3 * (len(piece) - HORIZON)
        assert ((weights[rows] > 0) == counted).all()
        np.testing.assert_array_equal(returns[rows][counted], alone[counted])


def test_what_remembers_begins_anew_at_every_seam(market):
    """A bank that counts the bars it has seen."""

    def observe(units, state, ints, floats):
        seen = state + 1
        values = jnp.broadcast_to(seen.astype(jnp.float32), (3, 1))
        each = jnp.zeros(3)
        return seen, Seen(values, values > 0, Risk(each, each, jnp.float32(0)), each)

    laid = laying.lay(market, FOLD, WARM).record
    start: Observing = jnp.int32(0)  # type: ignore[assignment]
    _, data = dataset.observe_bars(observe, None, start, laid, lambda done: None)
    counted = data.features[:, 0, 0].tolist()
    assert counted == [*range(1, 46), *range(1, 36), *range(1, 36)]
    np.testing.assert_array_equal(data.live, laid.live())


@given(
    bars=st.integers(1, 200),
    length=st.integers(1, 60),
    seams=st.sets(st.integers(1, 199), max_size=4),
)
def test_no_chunk_reaches_across_a_seam(bars, length, seams):
    inside = tuple(sorted(seam for seam in seams if seam < bars))
    found = chunks(bars, length, inside)
    rows = [row for one in found for row in range(one.start, one.stop)]
    assert rows == list(range(bars))
    for one in found:
        assert one.stop - one.start <= length
        assert not any(one.start < seam < one.stop for seam in inside)
    assert {0, *inside} <= {one.start for one in found}


@given(
    groups=st.integers(3, 6),
    tests=st.integers(1, 2),
    horizon=st.integers(1, 20),
    window=st.integers(4, 90),
)
def test_no_laid_bar_knows_a_tests_label(groups, tests, horizon, window):
    """Every bar that is read at all, warm-ups too, against the bars of test labels.

    A piece ends before a test, and what warms up the one behind it begins after the
    last bar that the test's labels live in.
    """
    warm = laying.warm_bars(window, horizon)
    span = range(warm, warm + 2000)
    purge = purge_of(len(span), horizon, 1, window=warm)
    for fold in combinatorial(span, groups, tests, 60, purge):
        tested = {t + k for test in fold.test for t in test for k in range(horizon + 1)}
        read = {
            bar
            for piece in (*fold.train, *fold.calibrate)
            for bar in range(piece.start - warm, piece.stop)
        }
        assert read.isdisjoint(tested)
