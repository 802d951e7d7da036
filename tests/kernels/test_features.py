"""Every registered feature keeps every promise, and agrees with an outside truth."""

import numpy as np
import pytest

from bot4jax.kernels import CATALOGUE
from bot4jax.registry import arguments
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
    """What is no number is masked, concerns nobody else, and leaves with its window."""
    first, last, clean = 20, 23, 340
    told = np.array(getattr(evidence.bars, column))
    told[first : last + 1, recorded.NORMAL] = value
    ill = evidence.replay(evidence.bars._replace(**{column: told}))
    assert np.isfinite(ill.values[ill.usable]).all()
    for spec in SPECS:
        values, usable = evidence.of(spec, ill)
        truth, sure = evidence.of(spec, evidence.whole)
        own = (slice(clean, None), recorded.NORMAL)
        others = np.arange(usable.shape[1]) != recorded.NORMAL
        np.testing.assert_array_equal(usable[:, others], sure[:, others], spec.name)
        np.testing.assert_array_equal(usable[own], sure[own], spec.name)
        if not spec.carried:
            np.testing.assert_allclose(
                values[own],
                truth[own],
                spec.tolerance,
                spec.tolerance,
                err_msg=spec.name,
            )
        if column != "anchor":
            continue
        if spec.form == "incremental" and "standardised_return" in spec.columns:
            until = last + evidence.reach(spec)
            assert not usable[first:until, recorded.NORMAL].any()
            assert usable[max(until, evidence.reach(spec)), recorded.NORMAL]


def test_every_feature_has_an_oracle():
    assert set(ORACLES) == set(CATALOGUE)
