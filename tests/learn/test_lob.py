"""Labels, rows and stretches of the order-book benchmark against slow walks."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from bot4jax.data.depth import BookStates
from bot4jax.data.source import DataError
from bot4jax.learn import lob
from bot4jax.learn.lob_contest import (
    ENSEMBLE,
    LINEAR,
    balanced,
    best_of,
    confusions,
    scored,
)

HORIZONS = (3, 7)


def states(symbol="A", day=0, events=120, seed=0, at=None) -> BookStates:
    """Two levels around a wandering mid."""
    rng = np.random.default_rng(seed)
    mid = 1_000 + np.cumsum(rng.integers(-1, 2, events))
    steps = np.array([1, 2])
    price = np.stack([mid[:, None] + steps, mid[:, None] - steps], axis=1).astype(float)
    size = rng.integers(1, 9, price.shape).astype(float)
    times = day + np.arange(events) / events if at is None else at
    return BookStates(symbol, day, times, price, size)


def sides(cut: lob.Cut) -> list[list[lob.Piece]]:
    """Training, calibration and test."""
    return [cut.train, cut.calibrate, cut.test]


@pytest.mark.parametrize("k", HORIZONS)
def test_moves_are_those_of_a_slow_walk(k):
    mid = states().mid
    smoothed, honest = (lob.move(mid, k, kind) for kind in (True, False))
    for t in range(len(mid)):
        ahead = mid[t + 1 : t + 1 + k]
        behind = mid[t + 1 - k : t + 1] if t >= k - 1 else mid[:0]
        is_whole = len(ahead) == k
        assert np.isfinite(honest[t]) == is_whole
        assert np.isfinite(smoothed[t]) == (is_whole and len(behind) == k)
        if is_whole:
            assert honest[t] == pytest.approx(ahead.mean() / mid[t] - 1)
        if np.isfinite(smoothed[t]):
            assert smoothed[t] == pytest.approx(ahead.mean() / behind.mean() - 1)


def test_events_are_counted_in_blocks_where_rows_are_blocks():
    """FI-2010 shows every tenth event: labels of 30 and 70 look 3 and 7 rows ahead."""
    one, later = states(), states(day=1)
    plain = lob.pieces([one, later], HORIZONS, 0.5, 0.2)
    tenths = [own._replace(block=10) for own in (one, later)]
    found = lob.pieces(tenths, tuple(10 * k for k in HORIZONS), 0.5, 0.2)
    assert found.dropped == plain.dropped
    for own, same in zip(found.test, plain.test, strict=True):
        np.testing.assert_array_equal(own.features, same.features)
        for (kind, k), moved in same.moves.items():
            np.testing.assert_array_equal(own.moves[kind, 10 * k], moved)


def test_half_of_the_smoothed_label_of_a_random_walk_has_happened():
    """How far the mid lies from its mean tells it; nothing tells the honest one."""
    mid = 1e4 + np.cumsum(np.random.default_rng(0).normal(size=200_000))
    past = mid / lob.mean_behind(mid, 20) - 1
    told = {}
    for is_smoothed in (True, False):
        moved = lob.move(mid, 20, is_smoothed)
        known = np.isfinite(moved) & np.isfinite(past)
        told[is_smoothed] = np.corrcoef(past[known], moved[known])[0, 1]
    assert told[True] > 0.6
    assert abs(told[False]) < 0.02


def test_the_flow_of_the_best_quotes_is_that_of_a_slow_walk():
    own = states()
    found = lob.best_flow(own) * own.size[:, :, 0].sum(1)
    for t in range(1, len(found)):
        (ask, bid), (ask_size, bid_size) = own.price[t, :, 0], own.size[t, :, 0]
        (ask_was, bid_was) = own.price[t - 1, :, 0]
        (ask_had, bid_had) = own.size[t - 1, :, 0]
        flow = (bid >= bid_was) * bid_size - (bid <= bid_was) * bid_had
        flow += (ask >= ask_was) * ask_had - (ask <= ask_was) * ask_size
        assert found[t] == pytest.approx(flow)
    assert (found[1:] != 0).any()


def test_features_do_not_see_the_future():
    own, cut = states(), 60
    turned = own._replace(
        price=np.concatenate([own.price[:cut], own.price[cut:][::-1] + 50])
    )
    before, after = (lob.raw_features(one, HORIZONS)[:cut] for one in (own, turned))
    np.testing.assert_array_equal(before, after)
    assert np.isfinite(before[max(HORIZONS) - 1 :]).all()


def test_nothing_reaches_over_the_cut_or_a_day():
    """Change the other pieces: this one's rows and labels stay as they are."""
    own = [states("A", 0), states("A", 1, seed=1), states("A", 2, seed=2)]
    other = [own[0], states("A", 1, seed=9), states("A", 2, seed=8)]
    one, same = (lob.pieces(x, HORIZONS, 0.5, 0.2) for x in (own, other))
    first, again = one[0][0], same[0][0]
    for label, moved in first.moves.items():
        np.testing.assert_array_equal(moved, again.moves[label])
        assert np.isnan(moved[-label[1] :]).all()
    lengths = [[len(x.features) for x in side] for side in sides(one)]
    assert lengths == [[120, 60], [60], [108]]


def test_what_is_too_short_for_a_label_is_told():
    """Twice the longest horizon holds no smoothed label; one event more does."""
    own = [states("A", 0), states("A", 1, seed=1), states("B", 0, seed=2)]
    for events, dropped in ((14, [lob.Dropped("B", 1, "test", 14)]), (15, [])):
        late = 1.9 + np.arange(events) / 1_000
        cut = lob.pieces([*own, states("B", 1, events, 3, late)], HORIZONS, 0.5, 0.2)
        assert cut.dropped == dropped
        assert ("B" in {one.symbol for one in cut.test}) == (not dropped)


def test_units_are_of_training_alone():
    own = [states("A", 0), states("A", 1, seed=1)]
    wild = [own[0], own[1]._replace(size=own[1].size * 1e6)]
    plain, moved = (sides(lob.pieces(x, HORIZONS, 0.5, 0.2)) for x in (own, wild))
    np.testing.assert_array_equal(plain[0][0].features, moved[0][0].features)
    for side in (1, 2):
        assert (plain[side][0].features != moved[side][0].features).any()


def test_edges_leave_the_asked_share_flat():
    own = [states("A", events=4_000), states("B", 1, 4_000, 1)]
    train, *_ = lob.pieces(own, HORIZONS, 0.9, 0.05)
    label = ("honest", 7)
    edge = lob.edges(train, label, 0.4)
    for one, named in zip(train, lob.classes(train, label, edge), strict=True):
        assert (named[-7:] == -1).all()
        flat = (named[:-7] == 1).mean()
        assert 0.4 <= flat < 0.6  # moves of a lattice are often equal
        up = one.moves[label] > edge[one.symbol]
        np.testing.assert_array_equal(named == 2, up)


def test_every_row_counts_once_and_stays_in_its_piece():
    own = [states("A", 0, 230), states("B", 0, 101, 1), states("C", 0, 40, 2)]
    later = [states(name, day) for day in (5, 6) for name in "AB"]
    train, *_ = lob.pieces([*own, *later], HORIZONS, 371 / 851, 240 / 851)
    found = lob.lanes(train, length=50, warm=10)
    assert found.features.shape[:2] == found.counted.shape
    seen = [np.zeros(len(one.features), int) for one in train]
    for lane, (number, rows) in enumerate(found.rows):
        counted = found.counted[:, lane]
        seen[number][rows[counted]] += 1
        held = rows >= 0
        np.testing.assert_array_equal(
            found.features[held, lane], train[number].features[rows[held]]
        )
        assert not found.features[~held, lane].any()
        assert not counted[:10].any()
    for one in seen:
        assert (one[:10] == 0).all()
        assert (one[10:] == 1).all()
    laid = lob.laid(found, [np.arange(len(one.features)) for one in train])
    assert ((laid == -1) == ~found.counted).all()


def test_a_side_of_a_symbol_that_nobody_trained_on_is_refused():
    own = [states("A", 0), states("B", 1), states("A", 2)]
    with pytest.raises(DataError, match=r"the calibration, from .* has B, of which"):
        lob.pieces(own, HORIZONS, 1 / 3, 1 / 3)
    with pytest.raises(DataError, match=r"the test, from .* has B, of which"):
        lob.pieces([own[0], own[2], states("B", 3)], HORIZONS, 1 / 3, 1 / 3)


def test_a_side_without_a_stretch_is_refused_in_words_that_are_so():
    """Regression: of an empty side it was told that its symbols (none) lie only behind
    training."""
    with pytest.raises(DataError) as told:
        lob.pieces([states(events=100)], HORIZONS, 0.6, 0.1)
    assert str(told.value).startswith(
        "the calibration, from 60 to 70 % of the events, holds no stretch that is long "
        "enough for labels of 7 events: "
    )


def test_slots_are_of_time_and_of_all_symbols_together():
    """Two symbols at the same moment are in one slot, and slots hold as much."""
    own = [states("A", 0, 900), states("B", 0, 300)]
    one, other = lob.pieces(own, HORIZONS, 0.9, 0.05)[0]
    slots = lob.slots([one, other])
    by_time = dict(zip(one.at.tolist(), slots[0].tolist(), strict=True))
    met = [(by_time.get(t), slot) for t, slot in zip(other.at, slots[1], strict=True)]
    shared = [pair for pair in met if pair[0] is not None]
    assert len(shared) > 100
    assert all(first == second for first, second in shared)
    held = np.bincount(np.concatenate(slots))
    assert len(held) == lob.SLOTS
    assert np.ptp(held) <= 4


def test_classes_weigh_alike():
    labels = np.array([[0, 1, 1, 1, 1, -1, 2, 2]])
    weights = balanced(labels)
    assert weights[0, 5] == 0
    for c in range(3):
        assert weights[labels == c].sum() == pytest.approx(7 / 3)
    only = balanced(np.array([[1, 1, -1]]))
    np.testing.assert_array_equal(only, [[1, 1, 0]])


def test_macro_f1_is_scikit_learns_and_a_copy_has_no_lead():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 3, (50, 8))
    line = rng.integers(0, 3, labels.shape)
    better = np.where(rng.random(labels.shape) < 0.5, np.maximum(labels, 0), line)
    known = labels >= 0
    times = np.broadcast_to(np.arange(50)[:, None], labels.shape)
    said = {LINEAR: line, "copy": line, ENSEMBLE: better}
    found = scored({n: confusions(labels, x, times) for n, x in said.items()}, 0)
    for name, one in said.items():
        truth = f1_score(labels[known], one[known], average="macro")
        assert found[name].macro_f1 == pytest.approx(truth)
    assert found["copy"].above_linear == found["copy"].above_linear_error == 0
    lead = found[ENSEMBLE]
    assert lead.above_linear > 3 * lead.above_linear_error > 0


def test_contracts_that_move_together_are_worth_one():
    """Ten copies of a market say no more than it: drawn apart, they would seem to."""
    rng = np.random.default_rng(1)
    labels, line = rng.integers(0, 3, (2, 400, 1))
    better = np.where(rng.random(labels.shape) < 0.1, labels, line)
    errors = []
    for copies in (1, 10):
        truth, times = (
            np.repeat(x, copies, axis=1) for x in (labels, np.arange(400)[:, None])
        )
        counts = {
            name: confusions(truth, np.repeat(one, copies, axis=1), times)
            for name, one in ((LINEAR, line), (ENSEMBLE, better))
        }
        errors.append(scored(counts, 0)[ENSEMBLE].above_linear_error)
    assert errors[1] == pytest.approx(errors[0])
    assert errors[0] > 0


def test_the_best_member_is_the_one_of_known_labels():
    labels = np.array([[0, 1, 2, -1], [2, 1, 0, -1]])
    right = np.eye(3)[np.maximum(labels, 0)]
    said = {"wrong": np.roll(right, 1, -1), "right": right, "too": right}
    assert best_of(labels, said) == "right"


def test_published_classes_end_with_their_piece():
    """The last ones are made of mids beyond the cut, or of another day."""
    given = np.ones((120, len(HORIZONS)), np.int64)
    own = [states("A", 0)._replace(published=given)]
    for one in (x for side in sides(lob.pieces(own, HORIZONS, 0.5, 0.2)) for x in side):
        for (_, k), named in one.published.items():
            assert (named[-k:] == -1).all()
            assert (named[k:-k] == 1).all()
