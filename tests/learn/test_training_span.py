"""What is learnt of the training span knows nothing of the bars around it.

All bars outside are changed: prices, features, who is live. Nothing that is fitted, and
no sample that members are given, may move by a bit. `mode=certify` shows the same of a
whole run.
"""

import msgspec
import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.learn import dataset, novelty, params, regimes
from bot4jax.learn.dataset import BarRecord, Dataset
from bot4jax.learn.labelling import label_as_configured
from bot4jax.types import BAR_FLOATS, BAR_INTS, ENDED

BARS, SYMBOLS, FEATURES, HORIZON = 500, 6, 4, 5
FIRST, TRAIN = 1_000, range(1_060, 1_400)
"""Number of the first bar · of those of training."""


def data_of(record: BarRecord, seed: int) -> Dataset:
    """Features that tell nothing, and what the record says."""
    rng = np.random.default_rng(seed)
    shape = BARS, SYMBOLS
    return Dataset(
        first=FIRST,
        features=rng.normal(0, 1, (*shape, FEATURES)).astype(np.float32),
        usable=rng.random((*shape, FEATURES)) < 0.9,
        volatility=rng.uniform(1e-3, 3e-3, shape).astype(np.float32),
        beta=rng.normal(1, 0.2, shape).astype(np.float32),
        market_volatility=rng.uniform(1e-3, 2e-3, BARS).astype(np.float32),
        half_spread=rng.uniform(5e-4, 2e-3, shape).astype(np.float32),
        close=record.price("mid_close"),
        entry=record.price("mid_entry"),
        live=record.live(),
        settled=record.settled(),
    )


def record_of(seed: int) -> BarRecord:
    """A market of its own; now and then a symbol is not live, or has ended."""
    rng = np.random.default_rng(seed)
    ints = np.zeros((BARS, len(BAR_INTS), SYMBOLS), np.int32)
    floats = rng.lognormal(0, 1, (BARS, len(BAR_FLOATS), SYMBOLS)).astype(np.float32)
    floats[:, BAR_FLOATS.index("anchor")] = 100_000
    walk = rng.normal(0, 400, (BARS, SYMBOLS)).cumsum(0)
    for name in ("mid_open", "mid_high", "mid_low", "mid_close", "mid_entry"):
        ints[:, BAR_INTS.index(name)] = walk + rng.normal(0, 50, walk.shape)
    states = rng.choice([1, 0, ENDED], walk.shape, p=[0.9, 0.06, 0.04])
    ints[:, BAR_INTS.index("live")] = states
    return BarRecord(FIRST, ints, floats)


def mixed(own, other):
    """The training span's rows of the one, all others of the other."""
    inside = np.zeros(BARS, bool)
    inside[TRAIN.start - FIRST : TRAIN.stop - FIRST] = True
    shaped = inside.reshape(-1, *[1] * (own.ndim - 1))
    return np.where(shaped, own, other)


@pytest.fixture(scope="module")
def records():
    own, other = record_of(1), record_of(2)
    columns = (mixed(*pair) for pair in zip(own[1:3], other[1:3], strict=True))
    return own, BarRecord(FIRST, *columns)


@pytest.fixture(scope="module")
def markets(records):
    own, other = data_of(records[0], 3), data_of(records[1], 4)
    columns = (mixed(*pair) for pair in zip(own[1:], other[1:], strict=True))
    return own, Dataset(FIRST, *columns)


def assert_same(pair, names):
    """These fields of the two, to the bit."""
    own, other = pair
    for name in names:
        np.testing.assert_array_equal(getattr(own, name), getattr(other, name), name)


def test_the_markets_differ_outside_of_training(markets):
    """Else what follows would show nothing."""
    own, other = markets
    for name in set(Dataset._fields) - {"first"}:
        differs = (getattr(own, name) != getattr(other, name)).reshape(BARS, -1)
        rows = np.flatnonzero(differs.any(1)) + FIRST
        assert not set(rows) & set(TRAIN)
        assert rows[0] < TRAIN.start
        assert rows[-1] >= TRAIN.stop


def test_units(records):
    scales = [dataset.fit_scales(one, TRAIN) for one in records]
    assert_same(scales, scales[0]._fields)


def test_scaler(markets, monkeypatch):
    """Of all rows, and of a sample of them."""
    for most in (dataset.SCALER_SAMPLES, 300):
        monkeypatch.setattr(dataset, "SCALER_SAMPLES", most)
        scalers = [dataset.fit_scores(one, TRAIN, seed=5) for one in markets]
        assert_same(scalers, scalers[0]._fields)


def test_novelty(markets):
    fitted = [novelty.fit_novelty(one, TRAIN, seed=5) for one in markets]
    assert_same(fitted, fitted[0]._fields)


def test_edges_of_regimes(markets):
    edges = [regimes.fit_edges(one, TRAIN, 3) for one in markets]
    np.testing.assert_array_equal(*edges)


@pytest.mark.parametrize("ends", ["horizon", "barriers"])
@pytest.mark.parametrize("threshold", ["quantile", "cost"])
def test_labels_their_edge_and_worth_and_every_sample(markets, threshold, ends):
    config = load(["debug=tiny"])
    own = msgspec.structs.replace(config.labels, threshold=threshold, ends=ends)
    own = msgspec.structs.replace(own, class_weights=(3.0, 1.0, 2.0))
    config = msgspec.structs.replace(config, labels=own)
    labels = [label_as_configured(config, one, TRAIN, HORIZON) for one in markets]
    assert_same(labels, ["threshold", "shares", "class_mean", "class_square"])
    assert np.all(labels[0].class_square > 0)
    samples = [
        params.samples_of(config, *pair, TRAIN)
        for pair in zip(markets, labels, strict=True)
    ]
    assert_same(samples, ["features", "weights"])
    known = samples[0].weights > 0
    assert known[:-HORIZON].any(1).all()
    assert not known[-HORIZON:].any(), "their labels would end behind the span"
    np.testing.assert_array_equal(*(one.labels[known] for one in samples))
