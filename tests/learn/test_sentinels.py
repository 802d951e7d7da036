"""Three planted leaks are caught, each by the trap that is meant for it; honest passes.

The market has a real link: the last return foretells the next ones, so a trap that only
looks for skill would cry wolf.
"""

import numpy as np
import pytest

from bot4jax.data.bound import Excess
from bot4jax.learn import sentinels
from bot4jax.learn.baselines import logistic_regression
from bot4jax.learn.dataset import BarRecord
from bot4jax.learn.folds import overlaps, pieces_of
from bot4jax.learn.labels import classify, fit_threshold, forward_returns
from bot4jax.learn.metrics import direction, information_coefficient
from bot4jax.learn.splits import Split, purged_split
from bot4jax.types import BAR_FLOATS, BAR_INTS

BARS, SYMBOLS, HORIZON = 900, 12, 3
SPLIT = purged_split(500, 60, 300, HORIZON, 1, 10)
ANCHOR = 100_000


def market(seed: int = 0, link: float = 0.3) -> BarRecord:
    """Returns with memory: what moved goes on moving."""
    rng = np.random.default_rng(seed)
    moved = rng.normal(0, 60, (BARS, SYMBOLS))
    for t in range(1, BARS):
        moved[t] += link * moved[t - 1]
    mids = 2 * np.cumsum(np.round(moved), axis=0).astype(np.int32)
    ints = np.zeros((BARS, len(BAR_INTS), SYMBOLS), np.int32)
    before = np.vstack([mids[:1], mids[:-1]])
    for name in ("mid_open", "mid_entry"):
        ints[:, BAR_INTS.index(name)] = before
    for name in ("mid_high", "mid_low", "mid_close"):
        ints[:, BAR_INTS.index(name)] = mids
    for name in ("bid", "ask"):
        ints[:, BAR_INTS.index(name)] = mids // 2
    ints[:, BAR_INTS.index("live")] = 1
    floats = np.zeros((BARS, len(BAR_FLOATS), SYMBOLS), np.float32)
    floats[:, BAR_FLOATS.index("anchor")] = ANCHOR
    return BarRecord(0, ints, floats)


def features(record: BarRecord, scaled_on=SPLIT.train, peek: int = 0):
    """The last three returns, in units of the span `scaled_on`; `peek` looks ahead."""
    moved = np.diff(np.log(record.price("mid_close")), axis=0, prepend=np.nan)
    x = np.zeros((*moved.shape, 4))
    for lag in range(3):
        x[1 + lag :, :, lag] = moved[1 : len(moved) - lag]
    if peek:
        x[:-peek, :, 3] = moved[peek:]
    width = x[scaled_on.start : scaled_on.stop].std((0, 1))
    return x / np.where(width > 0, width, 1.0)


def labels(record: BarRecord, train: range):
    entry, close = record.price("mid_entry"), record.price("mid_close")
    returns = forward_returns(entry, close, HORIZON)
    own = slice(train.start, train.stop)
    scale = np.full(returns.shape, np.nanstd(returns[own]))
    edge = fit_threshold(returns[own], scale[own], HORIZON)
    return returns, classify(returns, scale, edge, HORIZON)


def pipeline(record: BarRecord, split: Split = SPLIT, **leak):
    """Forecasts of the test span, and the returns that followed."""
    x = features(record, **leak)
    returns, classes = labels(record, split.train)
    train, test = (slice(s.start, s.stop) for s in (split.train, split.test))
    ones = np.ones(classes[train].shape)
    p = logistic_regression(x[train], classes[train], ones, x[test], penalty=1.0)
    return direction(p), returns[test], test


def found_in_shuffled(split: Split = SPLIT, **leak) -> float:
    record = sentinels.shuffled(market(), HORIZON, seed=1)
    forecast, returns, test = pipeline(record, split, **leak)
    weights = np.isfinite(returns).astype(float)
    is_end = sentinels.ends_of_blocks(BARS, HORIZON)[test]
    return sentinels.shuffled_skill(forecast, np.nan_to_num(returns), weights, is_end)


def test_honest_features_find_the_link_and_nothing_in_shuffled_bars():
    forecast, returns, _ = pipeline(market())
    weights = np.isfinite(returns).astype(float)
    real = information_coefficient(forecast, np.nan_to_num(returns), weights, HORIZON)
    assert real.t > 5
    assert abs(found_in_shuffled()) < sentinels.ERRORS


def test_a_feature_that_looks_ahead_is_caught_in_shuffled_bars():
    assert found_in_shuffled(peek=1) > 2 * sentinels.ERRORS


def test_a_feature_that_looks_ahead_is_caught_by_the_future():
    honest = sentinels.moved_by_the_future(features, market(), cut=600)
    assert honest == 0
    leaking = sentinels.moved_by_the_future(
        lambda record: features(record, peek=1), market(), cut=600
    )
    assert leaking > 0


def test_a_feature_that_remembers_a_former_pass_is_caught_by_the_future():
    """What a run has gone through before says the same as the first of two passes."""
    seen = {}

    def remembered(record: BarRecord) -> np.ndarray:
        moved = features(record)[:, :, 0]
        known = [seen.get(t + 1, now) for t, now in enumerate(moved)]
        seen.update(enumerate(moved))
        return np.stack(known)

    remembered(market())
    assert sentinels.moved_by_the_future(remembered, market(), cut=600) > 0


def test_a_scaler_fitted_on_everything_is_caught_by_the_future():
    everything = sentinels.moved_by_the_future(
        lambda record: features(record, range(610)), market(), cut=600
    )
    assert everything > 1000  # it moves every value, not the last few


def test_an_overlapping_split_is_caught_by_its_labels():
    assert overlaps(pieces_of(SPLIT), HORIZON, BARS) == ()
    mixed = Split(range(10, 700), SPLIT.calibrate, SPLIT.test)
    assert "train and test" in overlaps(pieces_of(mixed), HORIZON, BARS)
    touching = Split(range(10, 510), range(510, 570), range(574, 880))
    assert overlaps(pieces_of(touching), HORIZON, BARS) == ("train and calibrate",)


def faded(record: BarRecord, forecast, test: slice):
    entry, close = (record.price(m)[test] for m in ("mid_entry", "mid_close"))
    weights = np.ones(entry.shape)
    scored = sentinels.products(forecast, entry, close, HORIZON)
    return sentinels.fading(scored, weights, HORIZON)


def test_honest_skill_fades():
    record = market(link=0.8)  # a move of which .8 goes on, bar by bar
    forecast, _, test = pipeline(record)
    found = faded(record, forecast, test)
    first, second, third = found.by_delay
    assert first > second > third > 0
    assert not found.is_abrupt


def test_a_look_at_the_next_bar_vanishes_when_the_entry_is_late():
    record, test = market(link=0.0), slice(SPLIT.test.start, SPLIT.test.stop)
    found = faded(record, features(record, peek=1)[test, :, -1], test)
    assert found.by_delay[0] > 0
    assert found.is_abrupt


@pytest.mark.parametrize("link", [0.2, 0.3])
def test_a_brief_honest_signal_is_gone_as_soon_as_a_leak(link):
    """A late entry cannot tell them apart; bars to come can."""
    record, known = market(link=link), slice(10, BARS)
    found = faded(record, features(record)[known, :, 0], known)
    assert found.by_delay[0] > 0
    assert found.is_abrupt
    assert sentinels.moved_by_the_future(features, record, cut=600) == 0


def test_a_label_of_one_bar_has_nothing_to_be_late_in():
    one = np.random.default_rng(0).normal(size=(50, 3))
    found = sentinels.fading([one], np.ones(one.shape), horizon=1)
    assert (len(found.by_delay), found.is_abrupt) == (1, None)


def test_shuffling_keeps_every_move_and_joins_prices():
    record = market()
    other = sentinels.shuffled(record, 4, seed=2)
    rows = sentinels.shuffled_rows(BARS, 4, seed=2)
    assert sorted(rows) == list(range(BARS))
    before, after = (r.column("mid_close") for r in (record, other))
    own = np.diff(before, axis=0, prepend=before[:1])
    np.testing.assert_array_equal(np.diff(after, axis=0), own[rows][1:])
    spread = other.column("mid_close") - 2 * other.column("bid")
    assert (np.abs(spread) <= 1).all()


def test_the_bound_is_beaten_only_beyond_its_errors():
    assert sentinels.beats_the_bound(Excess(-0.004, 0.001))
    assert not sentinels.beats_the_bound(Excess(-0.002, 0.001))
    assert not sentinels.beats_the_bound(Excess(0.5, 0.001))
