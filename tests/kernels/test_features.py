"""Every registered feature keeps every promise, and agrees with an outside truth."""

import numpy as np
import pytest

from bot4jax.certify.columns import Columns
from bot4jax.kernels import CATALOGUE
from bot4jax.registry import arguments
from bot4jax.types import BAR_FLOATS, Bar
from tests import recorded
from tests.checks import CHECKS
from tests.oracles.features import ORACLES

SPECS = list(CATALOGUE.values())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_feature(spec, check, evidence):
    check(spec, evidence)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_oracle(spec, evidence):
    oracle = ORACLES[spec.name]
    values, _ = evidence.of(spec, evidence.whole)
    names, compared = arguments(oracle.value), 0
    for symbol, bar in evidence.windows(spec):
        truth = oracle.value(**evidence.asked(spec, symbol, bar, names))
        if np.isnan(truth):
            assert oracle.undefined, f"{spec.name} is undefined at {symbol}, {bar}"
            continue
        assert abs(values[bar, symbol] - truth) <= spec.tolerance * max(1, abs(truth))
        compared += 1
    assert compared >= 10


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("anchor", np.nan),
        ("base_turnover", np.nan),
        ("base_turnover", np.inf),
        ("buy_volume", np.nan),
        ("bid_size", np.inf),
        ("flow", -np.inf),
        ("squared_return_fast", np.nan),
    ],
)
def test_nothing_is_left_of_bars_that_were_no_numbers(evidence, column, value):
    """What is no number is masked, concerns nobody else, and leaves with its window.

    What is said all the same is what numbers would have said. Carried features forget
    too slowly for that: it has entered them as 0.
    """
    first, last, clean = 20, 23, 340
    told = np.array(getattr(evidence.bars, column))
    told[first : last + 1, recorded.NORMAL] = value
    bars = evidence.bars._replace(**{column: told})
    ill, others = evidence.replay(bars), np.arange(told.shape[1]) != recorded.NORMAL
    with np.errstate(all="ignore"):
        columns = Columns(bars, *evidence.units)
    assert np.isfinite(ill.values[ill.usable]).all()
    for spec in SPECS:
        values, usable = evidence.of(spec, ill)
        truth, sure = evidence.of(spec, evidence.whole)
        np.testing.assert_array_equal(usable[:, others], sure[:, others], spec.name)
        np.testing.assert_array_equal(usable[clean:], sure[clean:], spec.name)
        own = truth[:, recorded.NORMAL]
        if spec.carried:
            own = path_of_numbers(spec, columns)
        # Dispersion is of the market, which has one symbol less meanwhile.
        since = clean if spec.name == "dispersion" else first
        said = np.flatnonzero(usable[:, recorded.NORMAL])
        said = said[said >= since]
        np.testing.assert_allclose(
            values[said, recorded.NORMAL],
            own[said],
            spec.tolerance,
            spec.tolerance,
            err_msg=spec.name,
        )


def path_of_numbers(spec, columns):
    """A carried feature by its definition at every bar, what is no number being 0."""
    bars = len(columns.age)
    with np.errstate(all="ignore"):
        asked = {
            name: columns.window(name, recorded.NORMAL, bars, bars)
            for name in spec.columns
        }
    whole = {name: np.where(np.isfinite(x), x, 0.0) for name, x in asked.items()}
    return spec.path(whole)


def test_a_slot_without_any_number_says_nothing(evidence):
    """Flat, it once said, and had values: a comparison with NaN is false.

    Usable is only what reads counts, and what is of the market. To others the slot is
    as one that is not there.
    """
    slot = recorded.NORMAL
    columns = evidence.bars._asdict()
    ill, gone = ({k: np.array(x) for k, x in columns.items()} for _ in range(2))
    for name in BAR_FLOATS:
        ill[name][:, slot] = np.nan
    for name in set(Bar._fields) - {"anchor", "adjustment"}:
        gone[name][:, slot] = 0
    run, without = (evidence.replay(Bar(**one)) for one in (ill, gone))
    others = np.arange(run.usable.shape[1]) != slot
    np.testing.assert_array_equal(run.usable[:, others], without.usable[:, others])
    for i, spec in enumerate(SPECS):
        allowed = spec.tolerance * np.maximum(1, np.abs(without.values[:, others, i]))
        apart = np.abs(run.values - without.values)[:, others, i]
        assert (apart <= allowed).all(), spec.name
    said = {
        one.name for one, x in zip(SPECS, run.usable[:, slot].T, strict=True) if x.any()
    }
    assert said == {
        *("trade_count_imbalance", "inferred_order_to_trade_ratio"),
        *("top_of_book_lifetime", "dispersion"),
    }


def test_every_feature_has_an_oracle():
    assert set(ORACLES) == set(CATALOGUE)
