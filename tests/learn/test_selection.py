"""Deflation against its authors' own example, overfitting against a plain walk."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from bot4jax.data.simulator import Simulator
from bot4jax.learn import ledger
from bot4jax.learn.ledger import Trial
from bot4jax.learn.returns import sharpe
from bot4jax.learn.selection import (
    deflated_sharpe,
    expected_best,
    overfitting,
    period_profits,
    period_sharpe,
    probabilistic_sharpe,
)


@pytest.mark.parametrize(("trials", "expected"), [(100, 0.9004), (46, 0.9505)])
def test_equals_the_example_of_its_authors(trials, expected):
    """Annual Sharpe ratio 2.5 over 1,250 days, √V = √½ a year, skewed and heavy."""
    best = expected_best(trials, np.sqrt(0.5 / 250))
    found = probabilistic_sharpe(2.5 / np.sqrt(250), best, 1250, -3.0, 10.0)
    assert found == pytest.approx(expected, abs=6e-5)
    if trials == 100:
        assert best == pytest.approx(0.1132, abs=5e-5)


def test_the_best_of_worthless_trials_is_about_as_good_as_expected():
    draws = np.random.default_rng(0).normal(0, 0.3, (4000, 50)).max(1)
    # the formula is an approximation for large N: 2 % at 50
    assert expected_best(50, 0.3) == pytest.approx(draws.mean(), rel=0.02)
    assert expected_best(1, 0.3) == 0


def test_deflation_uses_the_moments_of_the_series():
    profits = np.random.default_rng(1).standard_t(4, 300) + 0.1
    others = (0.2, -0.5, 0.8, float("nan"))
    found = deflated_sharpe(profits, 3, others)
    ratio = profits.mean() / profits.std(ddof=1)
    best = expected_best(3, np.std(others[:3], ddof=1))
    expected = probabilistic_sharpe(
        ratio,
        best,
        300,
        float(stats.skew(profits)),
        float(stats.kurtosis(profits, fisher=False)),
    )
    assert found.probability == pytest.approx(expected)
    assert found[:4] == pytest.approx((ratio, 300, 3, best))


def test_a_first_trial_is_not_deflated_and_few_are_by_their_own_error():
    profits = np.random.default_rng(1).normal(0.1, 1, 200)
    assert deflated_sharpe(profits, 1).expected_best == 0
    found = deflated_sharpe(profits, 20, [0.1]).expected_best
    assert found == pytest.approx(expected_best(20, 1 / np.sqrt(199)))


def test_equal_trials_do_not_do_away_with_luck():
    noise = np.random.default_rng(1).normal(0, 1, 200)
    profits = noise - noise.mean() + 0.15
    ratio = period_sharpe(profits)
    found = deflated_sharpe(profits, 50, [ratio] * 50)
    assert found.expected_best == pytest.approx(expected_best(50, 1 / np.sqrt(199)))
    assert deflated_sharpe(profits, 1).probability > 0.95 > found.probability


def test_what_never_moves_has_no_ratio():
    assert np.isnan(period_sharpe(np.ones(9)))
    assert np.isnan(deflated_sharpe(np.zeros(9), 5).probability)


def test_what_earns_the_same_in_every_period_has_no_ratio():
    """Its deviation was the rounding of its mean: a ratio of 10¹⁵, sure as can be."""
    same = np.full(20, 0.1)
    assert same.std(ddof=1) > 0
    assert np.isnan(period_sharpe(same))
    assert np.isnan(deflated_sharpe(same, 5).probability)
    assert sharpe(np.full(45, 0.1), 365.0) is None
    assert period_sharpe(same + 1e-6 * np.arange(20)) > 0


def test_periods_are_whole():
    found = period_profits(np.arange(8.0), 3)
    np.testing.assert_array_equal(found, [0 + 1 + 2, 3 + 4 + 5])


def plain_overfitting(profits, blocks):
    """The definition: every half, its best, and that one's rank in the other half."""
    length = len(profits) // blocks
    parts = profits[: length * blocks].reshape(blocks, length, -1)
    below = []
    for inside in combinations(range(blocks), blocks // 2):
        outside = [b for b in range(blocks) if b not in inside]
        first, second = (np.concatenate(parts[list(h)]) for h in (inside, outside))
        best = (first.mean(0) / first.std(0)).argmax()
        ranks = stats.rankdata(second.mean(0) / second.std(0))
        share = ranks[best] / (profits.shape[1] + 1)
        below.append(np.log(share / (1 - share)) <= 0)
    return np.mean(below), len(below)


def test_overfitting_equals_its_definition():
    profits = np.random.default_rng(3).normal(size=(121, 7))
    profits[:, 2] += 0.1
    found = overfitting(profits, blocks=6)
    assert found is not None
    assert (found.probability, found.ways) == plain_overfitting(profits, 6)
    assert found.candidates == 7


def test_overfitting_tells_luck_from_skill():
    rng = np.random.default_rng(4)
    # each half's winner is a draw: the mean over many tables is a half
    luck = [overfitting(rng.normal(size=(100, 20))) for _ in range(30)]
    assert np.mean([one.probability for one in luck if one]) == pytest.approx(
        0.5, abs=0.12
    )
    skilled = rng.normal(size=(100, 20))
    skilled[:, 5] += 1
    found = overfitting(skilled)
    assert found is not None
    assert found.probability == 0
    assert overfitting(skilled[:, :1]) is None
    assert overfitting(skilled[:20]) is None


def test_who_never_trades_or_repeats_another_is_no_candidate():
    """Always flat beats every loser, and would be chosen in both halves."""
    losers = np.random.default_rng(5).normal(-0.2, 1, (100, 3))
    flat = np.zeros((100, 1))
    found = overfitting(np.hstack([flat, losers, losers[:, :1]]))
    assert found == overfitting(losers)
    assert found is not None
    assert (found.candidates, found.probability > 0) == (3, True)
    assert overfitting(np.hstack([flat, losers[:, :1], losers[:, :1]])) is None
    assert overfitting(np.zeros((100, 4))) is None


def test_of_multiples_of_each_other_one_is_a_candidate():
    """They have the same Sharpe ratio in every half, and would take ranks from others.

    Profits are whole numbers, so that the truth needs no tolerance: two columns are
    multiples if all their cross products are equal.
    """
    rng = np.random.default_rng(6)
    drawn = rng.integers(-9, 10, (60, 4))
    drawn[:, 1] += 2
    times = np.array([3, 7, 1, -1, 5])
    table = np.hstack([drawn, drawn[:, [1, 1, 2, 0, 3]] * times])
    kept = first_of_multiples(table)
    assert kept == [0, 1, 2, 3, 7], "what loses where another earns is another"
    found = overfitting(table.astype(float), blocks=6)
    assert found is not None
    own = plain_overfitting(table[:, kept].astype(float), 6)
    assert (found.probability, found.ways, found.candidates) == (*own, 5)
    assert own != plain_overfitting(table.astype(float), 6), "it matters here"


def first_of_multiples(table):
    """Columns that are no positive multiple of an earlier one, by exact products."""

    def is_multiple(a, b):
        return (np.outer(a, b) == np.outer(b, a)).all() and a @ b > 0

    kept = []
    for one, own in enumerate(table.T):
        if not any(is_multiple(own, table[:, other]) for other in kept):
            kept.append(one)
    return kept


def test_holdings_that_are_multiples_but_for_rounding_are_one_candidate():
    """float32 holdings of one way in three sizes; who adds 10⁻⁴ of another is new."""
    rng = np.random.default_rng(7)
    moves, sides = rng.normal(size=(200, 8)), rng.choice([-1.0, 1.0], (200, 8))
    sizes = np.array([0.1, 0.3, 0.7], np.float32)
    alike = [(np.float32(sides) * one * moves).sum(1) for one in sizes]
    other = rng.normal(size=200)
    found = overfitting(np.stack([*alike, other], axis=1))
    assert found == overfitting(np.stack([alike[0], other], axis=1))
    assert found is not None
    nearly = alike[0] + 1e-4 * other
    told = overfitting(np.stack([alike[0], nearly, other], axis=1))
    assert (found.candidates, told and told.candidates) == (2, 3)


def test_who_differs_in_no_whole_block_is_no_candidate_of_its_own():
    """103 periods are ten blocks of ten; what was earned in the last three is not
    ranked."""
    profits = np.random.default_rng(8).normal(size=(103, 3))
    late = profits[:, :1].copy()
    late[100:] = 5.0
    assert overfitting(np.hstack([profits, late])) == overfitting(profits)


def test_of_a_hundred_random_strategies_without_a_link_few_pass(tmp_path):
    """A market that cannot be foretold; each strategy is a trial in the ledger."""
    profits = random_strategies(trials=100)
    path = tmp_path / ledger.NAME
    for number, one in enumerate(profits.T):
        ratio = period_sharpe(one)
        name = f"strategy-{number}"
        trial = Trial(name, "backtest", "simulator", name, 0, ratio, 5.0, 100, None)
        ledger.append(path, trial)
    tried = ledger.read(path).on("simulator")
    assert tried.count == 100
    chances = [
        deflated_sharpe(one, tried.count, tried.sharpes(5.0)).probability
        for one in profits.T
    ]
    assert np.mean(np.array(chances) > 0.95) <= 0.05
    naive = np.array([deflated_sharpe(one, 1).probability for one in profits.T])
    assert naive.max() > 0.95  # chosen alone, the luckiest would have passed
    assert 0.005 <= (naive > 0.95).mean() <= 0.12


def random_strategies(trials: int, bars: int = 500, symbols: int = 8):
    """Profits before cost, by bar: positions drawn anew every five bars."""
    market = Simulator(symbols=symbols, bars=bars, predictive_r2=0.0, halts=False)
    moved = np.diff(np.log(market.mids[: bars + 1].astype(float)), axis=0)
    rng = np.random.default_rng(7)
    blocks = -(-len(moved) // 5)
    side = rng.choice([-1.0, 1.0], (blocks, symbols, trials)).repeat(5, axis=0)
    return (moved[:, :, None] * side[: len(moved)]).sum(1)
