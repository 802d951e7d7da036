"""A run whose symbols are calibrated by regime: learnt, kept, taken up and traded."""

import jax
import numpy as np
import pytest

from bot4jax.certify import vote
from bot4jax.config import load
from bot4jax.learn.regimes import regimes_of
from bot4jax.modes import fit_file
from bot4jax.modes.keeping import keep, take_up
from bot4jax.modes.learning import train
from bot4jax.modes.setting import set_stage
from bot4jax.modes.trading import trade_here
from bot4jax.state import copied
from tests.modes.ways import journal_of, silent

WORDS = (
    "debug=tiny",
    "features.window=16",
    "features.names=[kyle_lambda,rsi_14,queue_age,volatility_ratio]",
    "features.fallback=[rsi_14,queue_age]",
    "ensemble.members=[gru,trees]",
    "ensemble.regimes=volatility",
    "spans.test=40",
)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Traded with what was learnt, and with its checkpoint."""
    root = tmp_path_factory.mktemp("regimes")
    setting = set_stage(load([*WORDS, f"run.root={root}"]))
    learned, kept = train(setting, silent, root)
    keep(root, setting, kept, learned)
    for name in ("at_once", "taken_up"):
        (root / name).mkdir()
    fitted = copied(kept.params)
    own = kept._replace(state=copied(kept.state))
    traded = trade_here(setting, own, root / "at_once", silent, "one")
    again = take_up(root, setting)
    trade_here(setting, again, root / "taken_up", silent, "one")
    return root, setting, learned, fitted, traded


def test_a_checkpoint_brings_edges_and_temperatures(played):
    root, setting, _, fitted, _ = played
    assert fitted.temperature.shape == (2, 3)
    assert fitted.vote_temperature.shape == (3,)
    assert fitted.regime_edges.shape == (16, 2)
    assert (np.ptp(fitted.temperature, axis=1) > 1e-3).all()
    again = take_up(root, setting).params
    for one, other in zip(*map(jax.tree.leaves, (fitted, again)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_kept_of_the_fit_is_what_it_found(played):
    root, _, learned, *_ = played
    found = fit_file.read(root)
    assert len(found.calibration["gru"].by_regime) == 3
    ours, theirs = (
        jax.tree.flatten((one.calibration, one.alarms)) for one in (found, learned)
    )
    assert ours == theirs


def test_what_is_taken_up_decides_the_same(played):
    root, setting, *_ = played
    one, other = (journal_of(root / name, "one") for name in ("at_once", "taken_up"))
    assert len(one) == len(setting.split.test)
    for step, again in zip(one, other, strict=True):
        assert step.decisions == again.decisions
        assert step.orders == again.orders


def test_every_regime_is_met_and_the_vote_is_what_its_own_temperature_makes(played):
    """In float64, from volatility and edges; another regime's temperature is not it."""
    _, setting, _, fitted, traded = played
    regime = regimes_of(np.asarray(fitted.regime_edges), traded.volatility)
    assert set(np.unique(regime)) == {0, 1, 2}
    said = traded.member_probability.swapaxes(0, 1).astype(float)
    scores = traded.features[:, :, setting.settings.reads]
    given = said, traded.weight[:, :-1].astype(float), scores, fitted
    own, other = (vote.pooled(*given, x) for x in (regime, 2 - regime))
    assert np.abs(own - traded.probability).max() < vote.TOLERANCE
    assert np.abs(other - traded.probability).max() > 100 * vote.TOLERANCE


def test_what_is_told_of_each_regime_is_what_serves(played):
    _, setting, learned, fitted, _ = played
    names = (*setting.settings.members, "ensemble")
    told = [
        [one.temperature for one in learned.calibration[name].by_regime]
        for name in names
    ]
    served = [*np.asarray(fitted.temperature), np.asarray(fitted.vote_temperature)]
    np.testing.assert_allclose(told, served, rtol=1e-6)
    trusts = [one.trust for one in learned.calibration["gru"].by_regime]
    assert 0 < max(trusts) < 0.5, "64 bars of 16 symbols are few"
