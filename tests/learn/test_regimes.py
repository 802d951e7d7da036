"""Each regime's calibration: found where regimes differ, cheap where they do not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from bot4jax.kernels import planning
from bot4jax.kernels.calibration import KNOTS, Curves, straighten
from bot4jax.kernels.regime import by_volatility
from bot4jax.learn import crossfit, isotonic, metrics, regimes
from bot4jax.learn.calibrate import Calibration, calibrate
from bot4jax.learn.dataset import Dataset
from bot4jax.learn.labelling import Labels
from bot4jax.learn.regimes import SHRINKAGE, Labelled
from bot4jax.state import Settings
from bot4jax.types import Layout
from tests.small_nets import SMALL

COUNT, HORIZON = 3, 1
ALIKE, APART = (1.3, 1.3, 1.3), (0.6, 1.0, 2.0)
"""True temperatures, by regime."""


def drawn(true: tuple[float, ...], bars: int, seed: int = 0, symbols: int = 20):
    """Labels that share nothing, each as likely as its regime's temperature says."""
    rng = np.random.default_rng(seed)
    said = log_softmax(rng.normal(0, 1.5, (bars, symbols, 3)), axis=2)
    regime = rng.integers(0, COUNT, (bars, symbols)).astype(np.int32)
    log = log_softmax(said / np.array(true)[regime][..., None], axis=2)
    classes = (log + rng.gumbel(size=log.shape)).argmax(2)
    return Labelled(said.astype(np.float32), classes, np.ones(classes.shape), regime)


def whole(own: Labelled) -> Calibration:
    """One calibration of all regimes together."""
    flat = own.log_probability.reshape(-1, 3)
    return calibrate(flat, own.classes.ravel(), own.weights.ravel())


def fitted(own: Labelled) -> Calibration:
    return regimes.by_regime(whole(own), own, COUNT, HORIZON)


def temperatures(found: Calibration) -> list[float]:
    return [one.temperature for one in found.by_regime]


def loss(found: Calibration, own: Labelled) -> float:
    """With the regimes' temperatures, or with the one of all where there are none."""
    if not found.by_regime:
        found = found._replace(by_regime=(found,) * COUNT)
    return metrics.log_loss(regimes.tempered(found, own), own.classes)


def test_temperatures_that_differ_are_found_and_pay():
    """Of 10,000 labels a regime; a temperature's error is about 2 % there, and what is
    believed of all regimes pulls by a twentieth of the way at most."""
    own, later = drawn(APART, 1_500), drawn(APART, 1_500, seed=1)
    one, found = whole(own), fitted(own)
    for told, true in zip(found.by_regime, APART, strict=True):
        pull = (1 - told.trust) * abs(np.log(one.temperature / true))
        assert told.trust > 0.93
        assert abs(np.log(told.temperature / true)) < pull + 3 * 0.025
    assert loss(found, later) < loss(one, later) - 0.02
    assert found.log_loss == (one.log_loss[0], pytest.approx(loss(found, own)))


def test_where_regimes_are_alike_next_to_nothing_is_lost():
    """Of some 330 labels a regime, over 40 markets, in the mean: 1.8 · 10⁻⁴ nats as
    they are shrunk, and 9 · 10⁻⁴ were each regime left to itself."""
    lost = []
    for seed in range(40):
        own, later = drawn(ALIKE, 50, seed), drawn(ALIKE, 500, 1_000 + seed)
        one, found = whole(own), fitted(own)
        alone = found._replace(
            by_regime=tuple(
                told._replace(
                    temperature=one.temperature
                    * (told.temperature / one.temperature) ** (1 / told.trust)
                )
                for told in found.by_regime
            )
        )
        lost.append([loss(x, later) - loss(one, later) for x in (found, alone)])
    shrunk, free = np.mean(lost, axis=0)
    assert shrunk < 3e-4
    assert free > 2.5 * shrunk


def test_a_regime_counts_by_labels_that_share_nothing():
    """Twenty symbols that move as one are worth one, and trust falls by as much."""
    apart = drawn(APART, 600)
    as_one = apart._replace(
        classes=np.repeat(apart.classes[:, :1], 20, axis=1),
        regime=np.repeat(apart.regime[:, :1], 20, axis=1),
    )
    for regime in range(COUNT):
        many, few = (
            regimes.credibility(own, regime, HORIZON) for own in (apart, as_one)
        )
        assert many == pytest.approx(4_000 / (4_000 + SHRINKAGE), rel=0.05)
        assert few == pytest.approx(200 / (200 + SHRINKAGE), rel=0.3)


def test_a_regime_that_a_class_is_missing_from_is_left_to_all():
    own = drawn(APART, 300)
    classes = np.where((own.regime == 2) & (own.classes == 0), 1, own.classes)
    own = own._replace(classes=classes)
    found = fitted(own)
    assert found.by_regime[2].trust == 0
    assert found.by_regime[2].temperature == whole(own).temperature
    assert found.by_regime[0].temperature != whole(own).temperature
    empty = own._replace(regime=np.minimum(own.regime, 1))
    assert fitted(empty).by_regime[2] == found.by_regime[2]._replace(
        temperature=whole(empty).temperature
    )


def bent(own: Labelled, least=(2_000.0,) * 4) -> Calibration:
    return regimes.bent(fitted(own), own, least, HORIZON)


def test_only_a_regime_of_many_labels_has_curves_of_its_own():
    """The others take those of all; where even all are few, there are none."""
    own = drawn(APART, 600)  # 4,000 a regime
    few = own._replace(weights=np.where(own.regime == 1, 0.4, 1.0))
    found = bent(few)
    assert [one.curves is None for one in found.by_regime] == [False, True, False]
    told = crossfit.curves(found)
    assert told[1] is found.curves
    assert told[0] is found.by_regime[0].curves
    fewer = own._replace(weights=np.full(own.weights.shape, 0.1))
    assert bent(fewer) == fitted(fewer)


def test_curves_lie_between_the_own_and_those_of_all():
    line = np.linspace(0, 1, KNOTS, dtype=np.float32)
    tiled: Any = np.tile(line, (1, 3, 1))
    one = Curves(tiled, tiled**2, jnp.full(1, 0.01))
    other = Curves(tiled, np.sqrt(tiled), jnp.full(1, 0.002))
    found = isotonic.shrunk(one, other, 0.25)
    given, meant = np.asarray(found.given)[0, 0], np.asarray(found.meant)[0, 0]
    expected = 0.25 * np.interp(given, line, line**2)
    expected += 0.75 * np.interp(given, line, np.sqrt(line))
    np.testing.assert_allclose(meant, expected, atol=1e-6)
    assert (given[0], given[-1]) == (0, 1)
    assert (np.diff(meant) >= 0).all()
    assert found.least[0] == pytest.approx(0.004)


def test_curves_of_regimes_mend_what_one_temperature_each_cannot():
    """In one regime the last class is overstated, in another the first."""
    own = drawn((1.0, 1.0, 1.0), 1_500)
    lean = np.log(np.array([[1.0, 1, 6], [1, 1, 1], [6, 1, 1]]))[own.regime]
    said = log_softmax(own.log_probability + lean, axis=2).astype(np.float32)
    own = own._replace(log_probability=said)
    found, before = bent(own), fitted(own)
    assert found.log_loss[1] < before.log_loss[1] - 0.05
    rows = regimes.tempered(before, own).astype(np.float32).reshape(1, -1, 3)
    curves = isotonic.fit_curves(rows[0], own.classes.ravel(), own.weights.ravel())
    assert curves is not None
    (alike,) = np.asarray(straighten(curves, jnp.asarray(rows)))
    assert found.log_loss[1] < metrics.log_loss(alike, own.classes.ravel()) - 0.05


BARS, TRAIN, FIRST, SYMBOLS = 400, range(0, 200), 210, 6
ROWS = range(220, 360)


def data_of(volatility, live=None) -> Dataset:
    even = np.ones(volatility.shape, np.float32)
    columns: dict[str, Any] = dict.fromkeys(Dataset._fields[1:], even)
    columns |= {"volatility": volatility, "first": 0}
    columns |= {"live": even > 0 if live is None else live}
    return Dataset(**columns)


@pytest.fixture
def volatility():
    moved = np.random.default_rng(5).normal(0, 0.2, (BARS, SYMBOLS)).cumsum(0)
    return np.exp(moved - 7).astype(np.float32)


def test_edges_part_each_symbols_own_training_bars_evenly(volatility):
    live = np.ones(volatility.shape, bool)
    live[:, 1], live[:50, 2] = False, False
    edges = regimes.fit_edges(data_of(volatility, live), TRAIN, COUNT)
    assert edges.shape == (SYMBOLS, 2)
    assert edges.dtype == np.float32
    found = regimes.regimes_of(edges, volatility)
    own = slice(TRAIN.start, TRAIN.stop)
    for symbol in (0, 2, 3, 4, 5):
        seen = found[own, symbol][live[own, symbol]]
        shares = np.bincount(seen, minlength=COUNT) / len(seen)
        np.testing.assert_allclose(shares, 1 / COUNT, atol=0.01)
    assert (found[:, 1] == 0).all(), "never live in training: no edge"
    assert regimes.fit_edges(data_of(volatility), TRAIN, 1).shape == (SYMBOLS, 0)


def test_edges_and_regimes_know_nothing_of_later_bars(volatility):
    """Bit-equal, whatever comes behind; and the bars they are of do move them."""
    edges = regimes.fit_edges(data_of(volatility), TRAIN, COUNT)
    later = volatility.copy()
    later[TRAIN.stop :] *= 3
    again = regimes.fit_edges(data_of(later), TRAIN, COUNT)
    np.testing.assert_array_equal(edges, again)
    bar = 300
    cut = volatility.copy()
    cut[bar:] *= 3
    before, after = (regimes.regimes_of(edges, x) for x in (volatility, cut))
    np.testing.assert_array_equal(before[:bar], after[:bar])
    assert (before[bar:] != after[bar:]).any()
    own = volatility.copy()
    own[TRAIN.stop - 60 : TRAIN.stop] *= 3
    assert (regimes.fit_edges(data_of(own), TRAIN, COUNT) != edges).any()


def test_the_device_and_the_host_find_the_same_regimes(volatility):
    edges = regimes.fit_edges(data_of(volatility), TRAIN, COUNT)
    volatility[7] = edges[:, 1]  # on an edge
    volatility[8, 0] = np.nan
    device = jax.jit(jax.vmap(by_volatility, (None, 0)))(edges, volatility)
    np.testing.assert_array_equal(device, regimes.regimes_of(edges, volatility))


def settings(is_isotonic: bool = False) -> Settings:
    layout = Layout(SYMBOLS, 64, 512, 2, 0, ())
    plan = planning.plan(layout, ())
    return Settings(plan, SMALL, ("a", "b"), False, is_isotonic, regimes=COUNT)


def known(classes) -> Labels:
    even, third = np.ones(classes.shape), np.full(3, 1 / 3)
    return Labels(even, classes, even, 1.0, third, third, third)


def said_and_classes():
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(2, BARS - FIRST, SYMBOLS, 3))
    classes = rng.integers(0, 3, (BARS, SYMBOLS))
    regime = rng.integers(0, COUNT, (BARS, SYMBOLS)).astype(np.int32)
    return log_softmax(scores, axis=3).astype(np.float32), classes, regime


@pytest.mark.parametrize("part", ["labels", "regime", "forecasts"])
def test_what_lies_outside_the_calibration_span_moves_no_temperature(part):
    said, classes, regime = said_and_classes()
    own = settings()
    given = own, said, known(classes), FIRST, ROWS, regime
    found = crossfit.calibrations(*given)
    outside = np.ones(BARS, bool)
    outside[ROWS.start : ROWS.stop] = False
    other = {
        "labels": classes.copy(),
        "regime": regime.copy(),
        "forecasts": said.copy(),
    }
    moved = other[part]
    if part == "forecasts":
        moved[:, outside[FIRST:]] = moved[:, outside[FIRST:], :, ::-1]
    else:
        moved[outside] = 2 - moved[outside]
    again = crossfit.calibrations(
        own, other["forecasts"], known(other["labels"]), FIRST, ROWS, other["regime"]
    )
    assert again == found
    row = ROWS.start + 3
    if part == "forecasts":
        moved[:, row - FIRST] = moved[:, row - FIRST, :, ::-1]
    else:
        moved[row] = (moved[row] + 1) % 3
    inside = crossfit.calibrations(
        own, other["forecasts"], known(other["labels"]), FIRST, ROWS, other["regime"]
    )
    assert inside != found


def test_labels_of_a_half_do_not_move_its_regimes_either():
    """What the vote walks through a half with was fitted on the other one."""
    said, classes, regime = said_and_classes()
    own = settings()

    def crossed(truth):
        whole = crossfit.calibrations(own, said, known(truth), FIRST, ROWS, regime)
        return crossfit.crossed(own, said, known(truth), FIRST, ROWS, whole, regime)

    turned = classes.copy()
    middle = (ROWS.start + ROWS.stop) // 2
    turned[:middle] = (turned[:middle] + 1) % 3
    (first, second), (again, moved) = crossed(classes), crossed(turned)
    assert temperatures(first["a"]) == temperatures(again["a"])
    assert temperatures(second["a"]) != temperatures(moved["a"])
