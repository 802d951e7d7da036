"""Traps for leaks go off for planted leaks, and say which."""

import numpy as np
import pytest

from bot4jax.data import bound
from bot4jax.data.bound import Excess
from bot4jax.learn.folds import Fold
from bot4jax.learn.labels import forward_returns
from bot4jax.modes.report_traps import trapped
from bot4jax.modes.traps import UNLAID, Best, Caught, alarms, caught

HONEST = Caught((), None, {"ensemble": Excess(1e-3, 1e-3)}, 0.5, 0)


@pytest.mark.parametrize(
    ("leak", "said"),
    [
        ({"overlaps": ("fold 1: train and test",)}, "share a bar: fold 1"),
        (
            {"excess": {"last_return": Excess(-4e-3, 1e-3)}},
            "last return beats the best",
        ),
        ({"shuffled_t": 3.1}, "Shuffled bars are forecast with t = 3.1"),
        ({"moved": 12}, "12 values of training change"),
        ({"strayed": ("mine",)}, "mine is not what it defines"),
    ],
)
def test_each_leak_raises_its_alarm(leak, said):
    assert alarms(HONEST) == []
    (one,) = alarms(HONEST._replace(**leak))
    assert said in one
    assert said in trapped(HONEST._replace(**leak))


def test_the_bound_is_of_the_labels_that_the_engine_makes(setting, here):
    """Entries as the device absorbed them, against the simulator's own."""
    market, span = setting.source, setting.split.test
    share = setting.settings.layout.latency / 2**20
    recorded = 2 * here.record.price("mid_entry")
    for bar, row in zip(span, recorded, strict=True):
        mids, trades = market.entry_mids(bar, share)
        np.testing.assert_array_equal(row[trades], mids[trades])
    edge = 1e-4 * np.ones((len(span) - 5, len(market.anchors)))
    classes, known = bound.outcomes(market, span.start, span.stop - 5, 5, share, edge)
    moved = forward_returns(recorded, 2 * here.record.price("mid_close"), 5)[:-5]
    own = 1 + (moved > edge).astype(int) - (moved < -edge).astype(int)
    np.testing.assert_array_equal(own[known], classes[known])


def test_a_forecast_that_knows_the_labels_beats_the_bound(setting):
    rng = np.random.default_rng(0)
    shape = (120, 16)
    chances = np.broadcast_to(np.array([0.25, 0.5, 0.25]), (*shape, 3))
    classes = rng.choice(3, shape, p=[0.25, 0.5, 0.25])
    told = np.where(np.arange(3) == classes[..., None], 0.4, 0.3)
    best, weights = Best(chances, np.ones(shape, bool)), np.ones(shape)
    said = {"oracle": told, "prior": chances}
    fold = Fold((range(10, 50),), (range(60, 80),), (range(90, 120),))
    found = caught(setting, [fold], best, classes, weights, said, UNLAID)
    (one,) = alarms(found)
    assert one.startswith("oracle beats the best possible forecast")
    assert found.excess["prior"].log_loss == pytest.approx(0)


def test_spans_without_a_gap_are_caught(setting):
    """A label of five bars at the end of training lives in the next span."""
    fold = Fold((range(10, 50),), (range(50, 80),), (range(86, 120),))
    nothing = np.ones((0, 1))
    found = caught(setting, [fold], None, nothing, nothing, {}, UNLAID)
    assert found.overlaps == ("fold 1: train and calibrate",)
