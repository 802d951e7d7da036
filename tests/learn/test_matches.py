"""Beside the best baseline in order and direction: planted leads, and none."""

import numpy as np
import pytest
from scipy import stats

from bot4jax.learn import bootstrap, matches, metrics
from bot4jax.learn.evaluate import Outcome
from bot4jax.learn.pairs import LEAST_CHANCE, Contest, Match

BARS, SYMBOLS, HORIZON = 160, 16, 5
MARKETS = 80
SIGNAL = 0.2

ORDER, HITS = matches.MEASURES
BOTH = pytest.mark.parametrize("figure", matches.MEASURES)


def probabilities(lean):
    """Of down, flat and up, for who leans so far."""
    up = 0.25 * (1 + np.tanh(0.5 * lean))
    return np.stack([0.5 - up, np.full_like(up, 0.5), up], -1)


def market(seed, symbols=SYMBOLS, bars=BARS):
    """What is foretold and what came: returns of overlapping bars with a factor.

    A signal foretells a share of what moves each symbol beyond the factor.
    """
    random = np.random.default_rng(seed)
    steps = bars + HORIZON - 1
    signal, own = random.normal(size=(2, steps, symbols))
    moved = SIGNAL * signal + own + 0.7 * random.normal(size=(steps, 1))
    known, came = (rolled(one) for one in (signal, moved))
    classes = np.digitize(came, (-0.7, 0.7))
    weights = np.full(came.shape, 1 / HORIZON)
    outcome = Outcome(came, classes, weights, HORIZON, np.zeros(bars, int))
    return known, outcome, random


def cut(outcome, rows, columns=slice(None)):
    """The same of some bars, and of some symbols."""
    returns, classes, weights, horizon, folds = outcome
    own = (one[rows][:, columns] for one in (returns, classes, weights))
    moved, came, worth = own
    return Outcome(moved, came, worth, horizon, folds[rows])


def rolled(steps):
    """Sums over the horizon, of variance 1 for steps of variance 1."""
    sums = np.lib.stride_tricks.sliding_window_view(steps, HORIZON, 0).sum(-1)
    return sums / np.sqrt(HORIZON)


def speaker(known, random, share):
    """Knows so much of the signal; the rest is noise that lasts as long."""
    noise = rolled(random.normal(size=(len(known) + HORIZON - 1, known.shape[1])))
    return probabilities(share * known + np.sqrt(1 - share**2) * noise)


def beside(figure, own, rival, outcome):
    return matches.match(matches.MEASURES[figure], own, rival, outcome)


def held(found, truth):
    """Whether the interval holds the true lead."""
    side = stats.t.ppf(0.975, found.degrees) * found.error
    return abs(found.lead - truth) <= side


def pairs_of(figure, shares, symbols=SYMBOLS):
    """Of many markets: somebody of one share beside somebody of another."""
    for seed in range(MARKETS):
        known, outcome, random = market(seed, symbols)
        one, other = (speaker(known, random, share) for share in shares)
        yield beside(figure, one, other, outcome)


@BOTH
@pytest.mark.parametrize("symbols", [SYMBOLS, 2])
def test_of_two_that_are_as_good_one_is_called_better_as_rarely_as_p_says(
    figure, symbols
):
    """Both know half of the signal, each with a noise of its own."""
    found = list(pairs_of(figure, (0.5, 0.5), symbols))
    sure = 3 * np.sqrt(0.05 * 0.95 / MARKETS)
    p = np.array([one.p_value for one in found])
    assert np.mean(p <= 0.05) <= 0.05 + sure
    assert np.mean(p <= 0.5) == pytest.approx(0.5, abs=3 * 0.5 / np.sqrt(MARKETS))
    assert np.mean([held(one, 0.0) for one in found]) >= 0.95 - sure
    assert np.mean([one.lead > 0 for one in found]) == pytest.approx(
        0.5, abs=3 * 0.5 / np.sqrt(MARKETS)
    )


@BOTH
def test_the_interval_holds_a_known_lead_and_finds_it(figure):
    """Who knows all of the signal beside who knows nothing of it.

    Its correlation beyond the factor is ρ = s/√(s² + 1); the way is right with
    probability ½ + asin(ρ′)/π, ρ′ that with the factor in it.
    """
    found = list(pairs_of(figure, (1.0, 0.0)))
    rho = SIGNAL / np.sqrt(SIGNAL**2 + 1 + (0.7**2 if figure == HITS else 0.0))
    truth = rho if figure == ORDER else np.arcsin(rho) / np.pi
    assert np.mean([one.lead for one in found]) == pytest.approx(truth, rel=0.1)
    sure = 3 * np.sqrt(0.05 * 0.95 / MARKETS)
    assert np.mean([held(one, truth) for one in found]) >= 0.95 - sure
    least = 0.6 if figure == ORDER else 0.2
    assert np.mean([one.p_value <= 0.05 for one in found]) > least


def unpaired(figure, own, rival, outcome):
    """The same lead, as if the two had met different markets."""
    measure, counted = matches.MEASURES[figure], outcome.weights > 0
    each = [measure(said, outcome, counted) for said in (own, rival)]
    one, other = (bootstrap.mean(x.values, x.weights, HORIZON) for x in each)
    lead, error = one.value - other.value, float(np.hypot(one.error, other.error))
    return Match(one.value, other.value, lead, error, one.degrees)


@BOTH
def test_a_lead_that_only_pairing_shows(figure):
    """Two that say nearly the same: apart, the market's noise hides it."""
    paired, apart = [], []
    for seed in range(40):
        known, outcome, random = market(seed)
        noise = 0.2 * random.normal(size=known.shape)
        one, other = probabilities(known), probabilities(known + 3 * noise)
        paired.append(beside(figure, one, other, outcome))
        apart.append(unpaired(figure, one, other, outcome))
    for one, other in zip(paired, apart, strict=True):
        assert one.lead == pytest.approx(other.lead, abs=1e-12)
    errors = [np.median([one.error for one in own]) for own in (paired, apart)]
    assert errors[0] < 0.6 * errors[1]


def test_the_best_of_the_test_is_the_luckiest_and_the_one_chosen_before_is_not():
    """Six that know as much as the member: chosen by the test, they seem ahead."""
    chosen, luckiest = ({figure: [] for figure in matches.MEASURES} for _ in range(2))
    for seed in range(40):
        known, outcome, random = market(seed, bars=2 * BARS)
        own, *said = (speaker(known, random, 0.3) for _ in range(7))
        early, late = cut(outcome, slice(BARS)), cut(outcome, slice(BARS, None))
        first = {str(n): one for n, one in enumerate(said)}
        later = {name: one[BARS:] for name, one in first.items()}
        for found, spoken, span in ((chosen, first, early), (luckiest, later, late)):
            for figure, best in matches.best_by_figure(spoken, span).items():
                one = beside(figure, own[BARS:], later[best], late)
                found[figure].append(one.lead / one.error)
    for figure in matches.MEASURES:
        assert abs(np.mean(chosen[figure])) < 3 / np.sqrt(40)
        assert np.mean(luckiest[figure]) < -0.5


def test_a_constant_that_leant_the_right_way_before_the_test_has_no_luck_left_in_it():
    """Always up and always down, of a market without a drift whose symbols move
    together, beside who knows nothing: the better of the test would seem ahead."""
    chosen, luckiest = list[Match](), list[Match]()
    for seed in range(MARKETS):
        known, outcome, random = market(seed, bars=2 * BARS)
        ways = {"up": np.ones_like(known), "down": -np.ones_like(known)}
        said = {name: probabilities(way) for name, way in ways.items()}
        own = speaker(known, random, 0.0)[BARS:]
        early, late = cut(outcome, slice(BARS)), cut(outcome, slice(BARS, None))
        for found, span in ((chosen, early), (luckiest, late)):
            best = matches.best_by_figure(said, span)[HITS]
            found.append(beside(HITS, own, said[best][BARS:], late))
    sure = 3 * np.sqrt(0.05 * 0.95 / MARKETS)
    assert np.mean([one.p_value <= 0.05 for one in chosen]) <= 0.05 + sure
    leads = [np.array([x.lead / x.error for x in one]) for one in (chosen, luckiest)]
    assert abs(leads[0].mean()) < 3 * leads[0].std() / np.sqrt(MARKETS)
    assert leads[1].mean() < -0.5


def test_the_coefficient_is_that_which_is_told_of_everyone():
    """Of many symbols and of few, beside who says nothing."""
    for symbols in (SYMBOLS, 2):
        known, outcome, random = market(3, symbols)
        said = speaker(known, random, 0.8)
        flat = np.broadcast_to([0.3, 0.5, 0.2], said.shape)
        terms = metrics.direction(said), outcome.returns, outcome.weights, HORIZON
        alone = metrics.information_coefficient(*terms)
        found = beside(ORDER, said, flat, outcome)
        assert found.own == found.lead == pytest.approx(alone.mean, abs=1e-12)
        assert found.rival == 0


def test_hits_are_the_hit_rate_and_who_leans_nowhere_has_half():
    known, outcome, random = market(4)
    said = speaker(known, random, 0.8)
    still = np.broadcast_to([0.25, 0.5, 0.25], said.shape)
    returns = np.where(random.random(known.shape) < 0.2, 0.0, outcome.returns)
    outcome = outcome._replace(returns=returns)
    found = beside(HITS, said, still, outcome)
    terms = metrics.direction(said), returns, outcome.weights
    assert found.own == pytest.approx(metrics.hit_rate(*terms), abs=1e-12)
    assert found.rival == 0.5


@BOTH
def test_both_are_asked_on_the_labels_that_both_speak_of(figure):
    """The rival leaves symbols out; a member was ill for some bars."""
    known, outcome, random = market(5)
    own, rival = (speaker(known, random, share) for share in (0.9, 0.4))
    own[20:30], rival[:, 12:] = np.nan, np.nan
    found = beside(figure, own, rival, outcome)
    kept = np.r_[:20, 30:BARS]
    part = cut(outcome, kept, slice(12))
    expected = beside(figure, own[kept, :12], rival[kept, :12], part)
    assert found[:3] == pytest.approx(expected[:3], abs=1e-12)


def test_of_few_symbols_each_fold_is_a_forecaster_of_its_own():
    """Another fit speaks twice as loud: it is no surer of itself for that."""
    known, outcome, _ = market(6, symbols=2)
    lean = 0.3 * known
    loud = np.where(np.arange(BARS)[:, None] < BARS // 2, 0.01 * lean, lean)
    folds = (np.arange(BARS) >= BARS // 2).astype(int)
    outcome = outcome._replace(folds=folds)
    soft = matches.order(probabilities(loud), outcome, outcome.weights > 0).mean
    halves = [
        matches.order(
            probabilities(lean[part]),
            cut(outcome, part),
            np.ones((BARS // 2, 2), bool),
        ).mean
        for part in (slice(BARS // 2), slice(BARS // 2, None))
    ]
    assert soft == pytest.approx(np.mean(halves), abs=2e-3)


def test_verdicts_are_plain_and_of_all_questions_together():
    """A lead and a lag that are sure, one that is not, and the rival itself."""
    known, outcome, random = market(7, bars=600)
    rival = speaker(known, random, 0.5)
    said = {
        "sure": probabilities(known + 6 * outcome.returns),
        "wrong": probabilities(-6 * outcome.returns),
        "alike": probabilities(known * 0 + random.normal(size=known.shape)),
        "rival": rival,
    }
    said["alike"] = 0.9 * rival + 0.1 * said["alike"]
    rivals = {name: matches.Rival(("x",), rival) for name in matches.MEASURES}
    found = matches.contests(said, rivals, outcome)
    for one in found.values():
        told = [one.verdict(name, matches.LEVEL) for name in said]
        assert told == ["better", "worse", "not told apart", "the same"]
        assert one.p_values["sure"] == 6 * LEAST_CHANCE  # of six that have a p at all
        assert np.isnan(one.p_values["rival"])


def test_a_p_value_has_two_sides_and_none_is_below_what_is_told():
    for lead in (0.02, -0.02):
        one = Match(0.5, 0.5, lead, 0.01, 9.0)
        assert one.p_value == pytest.approx(2 * stats.t.sf(2.0, 9))
    assert Match(0.5, 0.5, 1.0, 0.01, 99.0).p_value == LEAST_CHANCE
    nobody = Match(np.nan, np.nan, np.nan, np.nan, np.nan)
    alone = Contest(("x",), {"a": nobody}, {"a": nobody.p_value})
    assert alone.verdict("a", 0.05) == "not told apart"


def test_the_best_in_a_figure_is_asked_of_the_first_bars_alone():
    """Who orders best and who leans best are two; the later bars say nothing."""
    known, outcome, _ = market(8)
    early = cut(outcome, slice(120))
    up = np.sign(np.median(outcome.returns[:120], axis=1, keepdims=True))
    orders = outcome.returns[:120] - outcome.returns[:120].mean(1, keepdims=True)
    orderly = np.concatenate([orders - 9 * up, -9 * outcome.returns[120:]])
    leaning = np.concatenate([up + 0 * orders, -9 * outcome.returns[120:]])
    late = np.concatenate([-outcome.returns[:120], 9 * outcome.returns[120:]])
    silent = np.full((*known.shape, 3), np.nan)
    said = {
        "flat": np.broadcast_to([0.25, 0.5, 0.25], silent.shape),
        "orderly": probabilities(orderly),
        "leaning": probabilities(leaning),
        "late": probabilities(late),
        "silent": silent,
    }
    best = matches.best_by_figure(said, early)
    assert best == {ORDER: "orderly", HITS: "leaning"}
