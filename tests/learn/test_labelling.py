"""Labels as the configuration asks for them."""

import msgspec
import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.errors import DataError
from bot4jax.learn.baselines import logistic_regression
from bot4jax.learn.dataset import Dataset
from bot4jax.learn.labelling import label_as_configured
from bot4jax.learn.params import samples_of

BARS, SYMBOLS, HORIZON = 1100, 6, 5
TRAIN = range(20, 1020)


def market(half_spread: float) -> Dataset:
    """Returns of ten basis points a bar, and a spread to pay."""
    rng = np.random.default_rng(0)
    shape = BARS, SYMBOLS
    close = 1000 * np.exp(np.cumsum(rng.normal(0, 1e-3, shape), axis=0))
    return Dataset(
        first=0,
        features=np.zeros((*shape, 1), np.float32),
        usable=np.ones((*shape, 1), bool),
        volatility=np.full(shape, 1e-3, np.float32),
        beta=np.ones(shape, np.float32),
        market_volatility=np.full(BARS, 1e-3, np.float32),
        half_spread=np.full(shape, half_spread, np.float32),
        close=close,
        entry=np.vstack([close[:1], close[:-1]]),
        live=np.ones(shape, bool),
        settled=np.ones(shape, bool),
    )


@pytest.fixture(scope="module")
def config():
    return load(["debug=tiny", "labels.threshold=cost", "venue.taker_fee_bps=0"])


def labelled(config, half_spread: float):
    return label_as_configured(config, market(half_spread), TRAIN, HORIZON)


def test_the_edge_is_a_round_trip(config):
    found = labelled(config, 5e-4)
    assert found.threshold * 1e-3 * np.sqrt(HORIZON) == pytest.approx(2 * 5e-4)
    counted = found.weights > 0
    beyond = np.abs(found.returns[counted]) > 2 * 5e-4
    np.testing.assert_array_equal(found.classes[counted] != 1, beyond)


def test_labels_that_a_barrier_ends_share_no_later_bar(config):
    """At an edge that the first bar already passes, each is nearly alone."""
    labels = msgspec.structs.replace(
        config.labels, threshold="quantile", flat_share=0.001
    )
    found = {}
    for ends in ("horizon", "barriers"):
        own = msgspec.structs.replace(labels, ends=ends)
        one = msgspec.structs.replace(config, labels=own)
        found[ends] = label_as_configured(one, market(0.0), TRAIN, HORIZON).weights
    rows = slice(TRAIN.start, TRAIN.stop - HORIZON)
    assert found["horizon"][rows].mean() == pytest.approx(1 / HORIZON, rel=0.01)
    assert found["barriers"][rows].mean() > 0.5


def test_fees_are_part_of_it(config):
    venue = msgspec.structs.replace(config.venue, taker_fee_bps=5.0)
    dear = msgspec.structs.replace(config, venue=venue)
    assert labelled(dear, 5e-4).threshold == pytest.approx(
        2 * labelled(config, 5e-4).threshold, rel=1e-5
    )


def test_a_class_that_weighs_more_is_forecast_more_often(config):
    """Features tell nothing, so that a fit says what the classes weigh together."""
    own = msgspec.structs.replace(config.labels, class_weights=(3.0, 1.0, 2.0))
    heavy = msgspec.structs.replace(config, labels=own)
    data, labels = market(5e-4), labelled(config, 5e-4)
    plain, weighed = (samples_of(one, data, labels, TRAIN) for one in (config, heavy))
    for one in (plain, weighed):
        said = logistic_regression(*one, one.features[:1])
        shares = [one.weights[one.labels == c].sum() for c in range(3)]
        np.testing.assert_allclose(said[0, 0], shares / np.sum(shares), atol=1e-4)
    rows = slice(TRAIN.start, TRAIN.stop)
    np.testing.assert_array_equal(plain.weights, labels.weights[rows])
    factor = np.array([3, 1, 2], np.float32)[labels.classes[rows]]
    np.testing.assert_array_equal(weighed.weights, plain.weights * factor)


def test_a_class_that_hardly_occurs_is_refused_with_a_horizon_that_pays(config):
    """√h·10·.8 bps is twice a round trip of 48 bps at 144 bars, of 80 bps at 400."""
    with pytest.raises(DataError, match=r" 48\.00 bps: .*horizon=1\d\d, where"):
        labelled(config, 24e-4)
    with pytest.raises(DataError, match="no horizon up to 250 bars moves twice that"):
        labelled(config, 40e-4)


def test_quantiles_need_no_cost(config):
    own = msgspec.structs.replace(config.labels, threshold="quantile")
    plain = msgspec.structs.replace(config, labels=own)
    shares = labelled(plain, 30e-4).shares
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=0.06)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"close": np.nan, "entry": np.nan}, "none of 5970 training rows has a return"),
        ({"volatility": np.float32(np.nan)}, "none of 5970 training rows has a return"),
        ({"live": False}, "none of 5970 training rows has a return"),
        ({"close": 1000.0, "entry": 1000.0}, "down and up never occurs in the 1,000"),
    ],
)
def test_labels_that_teach_nothing_are_refused(config, change, found):
    plain = msgspec.structs.replace(config.labels, threshold="quantile")
    data = market(0.0)
    blank = {name: np.full_like(getattr(data, name), x) for name, x in change.items()}
    with pytest.raises(DataError, match=found):
        label_as_configured(
            msgspec.structs.replace(config, labels=plain),
            data._replace(**blank),
            TRAIN,
            HORIZON,
        )


def test_prices_that_are_none_weigh_nothing_and_move_nothing_else(config):
    """Every label that begins, is met or ends in them, and no other symbol's."""
    own = msgspec.structs.replace(config.labels, threshold="quantile")
    plain, data = msgspec.structs.replace(config, labels=own), market(0.0)
    close, entry = data.close.copy(), data.entry.copy()
    close[300:310, 2], entry[301:311, 2] = np.nan, np.nan
    found, whole = (
        label_as_configured(plain, one, TRAIN, HORIZON)
        for one in (data._replace(close=close, entry=entry), data)
    )
    gone = found.weights[:, 2] == 0
    ends, met = range(300 - HORIZON, 310 - HORIZON), range(300, 310)
    lost = [t for t in range(TRAIN.start, TRAIN.stop - HORIZON) if gone[t]]
    assert lost == sorted({*ends, *met})
    assert (found.classes[lost, 2] == 1).all()
    assert np.isfinite(found.threshold)
    assert np.isfinite(np.stack([found.class_mean, found.class_square])).all()
    others = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(found.weights[:, others], whole.weights[:, others])


def test_a_market_that_only_rises_has_no_falls(config):
    plain = msgspec.structs.replace(config.labels, threshold="quantile")
    data = market(0.0)
    steps = 1e-4 * (1 + np.arange(BARS) % 7)  # by more and less, but always up
    close = 1000 * np.exp(np.cumsum(steps))[:, None] * np.ones(SYMBOLS)
    data = data._replace(close=close, entry=np.vstack([close[:1], close[:-1]]))
    with pytest.raises(DataError, match="down never occurs"):
        label_as_configured(
            msgspec.structs.replace(config, labels=plain), data, TRAIN, HORIZON
        )


def test_decisions_without_a_label_are_told(config, caplog):
    """Of weekdays on a clock that counts weekends: Mondays, Tuesdays and Fridays."""
    own = msgspec.structs.replace(config.labels, threshold="quantile")
    plain, data = msgspec.structs.replace(config, labels=own), market(0.0)
    weekday = np.arange(BARS) % 7 < 5
    sparse = np.broadcast_to(weekday[:, None], data.live.shape)
    sparse = data._replace(live=sparse, settled=sparse)
    label_as_configured(plain, data, TRAIN, HORIZON)
    assert not caplog.records
    label_as_configured(plain, sparse, TRAIN, HORIZON)
    (told,) = caplog.messages
    assert told.startswith("60 % of the ")
    assert "not live in the next bar, or not 5 bars on" in told
