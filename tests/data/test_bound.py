"""The Bayes bound: calibrated, below the prior, beaten only by who looks ahead."""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import ndtr, softmax
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression
from statsmodels.api import OLS

from bot4jax.data import bayes, bound, latent, tape
from bot4jax.data.quotes import WIDE_SHARE
from bot4jax.data.simulator import Simulator

HORIZON, LATENCY = 5, 0.1
FIRST, STOP = 20, 170
WIDTH = 0.67
"""Class boundary over the horizon's volatility: about 25/50/25."""


class Case(NamedTuple):
    """A market, its labels and the best forecast of them."""

    market: Simulator
    threshold: np.ndarray
    labels: bound.Truth

    @property
    def prior(self):
        classes = self.labels.classes[self.labels.known]
        shares = np.bincount(classes, minlength=3) / len(classes)
        return -(shares * np.log(shares)).sum()

    def loss(self, forecast):
        losses = bound.log_loss(forecast, self.labels.classes)
        return losses[self.labels.known].mean()


@cache
def case(**knobs):
    market = Simulator(symbols=256, bars=STOP + HORIZON, **knobs)
    threshold = WIDTH * market.latent.volatility[FIRST:STOP] * HORIZON**0.5
    labels = bound.truth(market, FIRST, STOP, HORIZON, LATENCY, threshold, paths=16)
    return Case(market, threshold, labels)


@pytest.fixture(params=[0, 1, 2])
def linked(request):
    return case(seed=request.param)


class TestProbabilities:
    def test_are_probabilities(self, linked):
        assert linked.labels.chances.min() > 0
        np.testing.assert_allclose(linked.labels.chances.sum(axis=-1), 1)

    def test_are_calibrated(self, linked):
        """Shares of what came true, by bin of the forecast, within 4 errors.

        Symbols of a bar share the market's shock and labels overlap: the error is
        clustered, a binomial one would be several times too small.
        """
        for one in range(3):
            chance, happened = (
                linked.labels.chances[..., one],
                linked.labels.classes == one,
            )
            cuts = np.quantile(chance[linked.labels.known], [0.2, 0.4, 0.6, 0.8])
            bins = np.searchsorted(cuts, chance)
            for number in range(5):
                rows = linked.labels.known & (bins == number)
                miss = np.where(rows, happened - chance, 0)
                error = bound.clustered_error(miss, rows, HORIZON)
                assert abs(miss[rows].mean()) < 4 * error
                assert error < 0.05

    def test_spread_far_enough_to_be_worth_a_test(self, linked):
        low, high = np.quantile(linked.labels.chances[..., 2], [0.05, 0.95])
        assert high - low > 0.15

    @pytest.mark.parametrize("symbol", [0, 1])
    def test_equal_brute_force(self, symbol):
        """Futures drawn one step after the other, prices rounded, labels counted."""
        market = Simulator(symbols=2, bars=60, seed=8)
        bar, futures = 31, 40_000
        threshold = np.full(2, 6e-4)
        chances = bayes.class_chances(market, bar, HORIZON, LATENCY, threshold, 256)
        counted = brute_force(market, bar, symbol, threshold[symbol], futures)
        # 4 binomial errors
        np.testing.assert_allclose(chances[symbol], counted, atol=0.01)

    def test_entry_shares_follow_the_tape(self):
        """The share of the bar behind the entry, as measured on a market's events."""
        market = Simulator(symbols=512, bars=4, halts=False)
        rng = np.random.default_rng(0)
        expected = bayes.entry_shares(rng, market.counts[1], 0.3, 400)
        open_ns = market.start_ns + market.bar_ns
        ticks = market.ticks(1)
        stood = (ticks["kind"] == 0) & (ticks["event_ns"] - open_ns <= 0.3 * 1e9)
        time = np.zeros(512)
        time[ticks["symbol"][stood]] = (ticks["event_ns"][stood] - open_ns) / 1e9
        counts = market.counts[1]
        share = np.ceil(time * counts) / counts
        assert (share == 0).mean() == pytest.approx((expected == 0).mean(), abs=0.08)
        assert share.mean() == pytest.approx(
            expected.mean(), abs=4 * share.std() / len(share) ** 0.5
        )


class TestBound:
    def test_is_below_the_prior_and_near_what_came_true(self, linked):
        loss, error = bound.bound_of(linked.labels)
        assert loss < linked.prior
        assert abs(linked.loss(linked.labels.chances) - loss) < 4 * error
        assert 0 < error < 0.015

    def test_is_found_in_one_call(self):
        market = Simulator(symbols=32, bars=40, seed=2)
        threshold = np.full((20, 32), 6e-4)
        arguments = market, 10, 30, HORIZON, LATENCY, threshold
        labels = bound.truth(*arguments)
        assert bound.bayes_log_loss(*arguments) == bound.bound_of(labels)
        rows = np.zeros_like(labels.known)
        rows[3:, :7] = True
        loss, _ = bound.bayes_log_loss(*arguments, rows=rows)
        counted = rows & labels.known
        expected = entropy(labels.chances[counted], axis=-1).mean()
        assert loss == pytest.approx(expected)

    def test_without_link_and_with_constant_volatility_is_the_prior(self):
        """On a fine price grid, where rounding tells the symbols' classes nothing."""
        plain = case(
            seed=1,
            predictive_r2=0.0,
            stochastic_volatility=False,
            spread_bps=0.05,
            jumps=False,
        )
        loss, error = bound.bound_of(plain.labels)
        shares = plain.labels.chances[plain.labels.known].mean(axis=0)
        assert loss == pytest.approx(entropy(shares), abs=2e-4)
        assert loss == pytest.approx(plain.prior, abs=4 * error)

    def test_detects_an_oracle_that_peeks_one_bar_ahead(self, linked):
        forecast = peeking(linked)
        loss, error = bound.bound_of(linked.labels)
        assert linked.loss(forecast) < loss - 3 * error
        excess = bound.excess_log_loss(linked.labels, forecast)
        assert excess.log_loss < -10 * excess.standard_error

    def test_is_never_beaten_by_an_honest_forecast(self, linked):
        forecast = multinomial_on_the_imbalance(linked)
        loss, error = bound.bound_of(linked.labels)
        assert linked.loss(forecast) > loss - 3 * error
        excess = bound.excess_log_loss(linked.labels, forecast)
        assert excess.log_loss > -3 * excess.standard_error
        assert excess.standard_error < error

    def test_excess_of_the_best_forecast_is_zero(self, linked):
        assert bound.excess_log_loss(linked.labels, linked.labels.chances) == (0, 0)


class TestArguments:
    market = Simulator(symbols=3, bars=30)

    @pytest.mark.parametrize(
        ("first", "stop", "horizon"), [(5, 26, 5), (5, 5, 5), (0, 9, 0)]
    )
    def test_labels_that_do_not_exist_are_refused(self, first, stop, horizon):
        threshold = np.zeros((stop - first, 3))
        with pytest.raises(ValueError, match="do not fit into 30 bars"):
            bayes.bayes_probabilities(self.market, first, stop, horizon, 0.1, threshold)

    def test_latencies_of_a_bar_are_refused(self):
        with pytest.raises(ValueError, match=r"latency_fraction 1.0 must be in"):
            bayes.bayes_probabilities(self.market, 5, 9, 5, 1.0, np.zeros((4, 3)))

    def test_misshapen_thresholds_are_refused(self):
        with pytest.raises(ValueError, match=r"shape \(3, 4\), not \(4, 3\)"):
            bayes.bayes_probabilities(self.market, 5, 9, 5, 0.1, np.zeros((3, 4)))

    def test_halted_rows_are_not_known(self):
        market = Simulator(symbols=3, bars=30, halts=False)
        market.halted[12, 1] = True
        threshold = np.full((20, 3), 1e-4)
        _, known = bound.outcomes(market, 0, 20, 4, 0.1, threshold)
        silent = np.argwhere(~known).tolist()
        # halted at the decision, at the entry or at the closing
        assert silent == [[8, 1], [11, 1], [12, 1]]


class TestStatistics:
    def test_normal_cdf(self):
        x = np.linspace(-9, 9, 2001)
        np.testing.assert_allclose(bayes.normal_cdf(x), ndtr(x), atol=1e-7)

    def test_strata_are_standard(self):
        strata = bayes.normal_strata(32)
        assert strata.mean() == pytest.approx(0, abs=1e-12)
        assert strata.var() == pytest.approx(1)

    def test_clustered_error_is_newey_west(self):
        noise = np.random.default_rng(0).normal(size=(400, 1))
        series = np.convolve(noise[:, 0], np.ones(5), "same")
        series -= series.mean()
        fit = OLS(series, np.ones(400)).fit(
            cov_type="HAC", cov_kwds={"maxlags": 10, "use_correction": False}
        )
        own = bound.clustered_error(series[:, None], np.ones((400, 1), bool), 5)
        assert own == pytest.approx(fit.bse[0])


def peeking(one):
    """The forecast of who knows the return of the bar after the decision."""
    hidden, at = one.market.latent, slice(FIRST + 1, STOP + 1)
    volatility = hidden.volatility[at].astype(float)
    change = np.diff(hidden.path, axis=0)[at]
    rest = volatility * (HORIZON - 1) ** 0.5
    up = ndtr((change - one.threshold) / rest)
    down = ndtr((-change - one.threshold) / rest)
    return np.stack([down, 1 - up - down, up], axis=-1)


def multinomial_on_the_imbalance(one):
    """A forecast from the imbalance alone, fitted on another market."""
    other = case(seed=77)
    state, known = (
        other.market.latent.imbalance[FIRST + 1 : STOP + 1],
        other.labels.known,
    )
    model = LogisticRegression().fit(state[known][:, None], other.labels.classes[known])
    now = one.market.latent.imbalance[FIRST + 1 : STOP + 1]
    return softmax(now[..., None] * model.coef_[:, 0] + model.intercept_, axis=-1)


COMMON_FRESH = (1 - latent.COMMON_PERSISTENCE**2) ** 0.5
OWN_FRESH = (1 - latent.OWN_PERSISTENCE**2) ** 0.5


class Futures:
    """Many futures of one symbol, drawn step by step by the law of motion."""

    def __init__(self, market, bar, symbol, number):
        hidden = market.latent
        self.law, self.number = market.law, number
        self.rng = np.random.default_rng(1)
        self.regime = np.full(number, hidden.regimes[bar])
        self.common = np.full(number, hidden.common[bar])
        self.own = np.full(number, float(hidden.own[bar, symbol]))
        self.imbalance = np.full(number, float(hidden.imbalance[bar, symbol]))
        self.price = np.full(number, market.edges.price[bar, symbol])

    def advance(self, parts):
        """One bar in equal parts: prices after each, and the chance of wide quotes."""
        law, rng = self.law, self.rng
        level = law.reference + law.levels[self.regime]
        sigma = np.exp(level + self.common + self.own)
        fresh = np.sqrt(1 - latent.FLOW_PERSISTENCE[self.regime] ** 2)
        eta, nu, noise = rng.normal(size=(3, parts, self.number)) / parts**0.5
        news = latent.FLOW_LOADING * fresh * eta
        news += np.sqrt(1 - latent.FLOW_LOADING**2) * nu
        steps = law.link * self.imbalance / parts + law.noise[self.regime] * noise
        steps += (law.impact / np.sqrt(law.news))[self.regime] * news
        prices = self.price * np.exp(np.cumsum(sigma * steps, axis=0))
        jumps = rng.random(self.number) < law.jump_rate
        size = latent.JUMP_SCALE * sigma * rng.normal(size=self.number)
        prices[-1] *= np.exp(jumps * size)
        self.price = prices[-1]
        self.imbalance = np.sqrt(1 - fresh**2) * self.imbalance
        self.imbalance += fresh * eta.sum(axis=0)
        self.move_volatility()
        return prices, np.minimum(WIDE_SHARE * sigma / np.exp(law.reference), 0.5)

    def move_volatility(self):
        law, rng = self.law, self.rng
        cumulative = law.transition.cumsum(axis=1)[self.regime, :3]
        self.regime = (rng.random((self.number, 1)) >= cumulative).sum(axis=1)
        shocks = rng.normal(size=(2, self.number))
        self.common = law.common_deviation * shocks[0] * COMMON_FRESH + (
            latent.COMMON_PERSISTENCE * self.common
        )
        self.own = law.own_deviation * shocks[1] * OWN_FRESH + (
            latent.OWN_PERSISTENCE * self.own
        )

    def rounded(self, price, wide):
        """Mids in half increments around the price."""
        draw = self.rng.random(price.shape)
        spread = 1 + (draw < wide).astype(int) + (draw < wide**2)
        return 2 * np.rint(price - spread / 2) + spread


def brute_force(market, bar, symbol, threshold, number):
    """Class shares of futures that start in the hidden state at the bar's opening."""
    futures, parts = (
        Futures(market, bar, symbol, number),
        int(market.counts[bar, symbol]),
    )
    prices, wide = futures.advance(parts)
    prices[:-1] += tape.FLICKER * futures.rng.normal(size=(parts - 1, number))
    mids = futures.rounded(prices, wide)
    moments = (np.arange(parts)[:, None] + futures.rng.random(mids.shape)) / parts
    shown = futures.rng.random(mids.shape) < tape.QUOTE_SHARE
    shown[-1] = True
    opening = np.full((1, number), market.mids[bar, symbol])
    stood = np.where(shown & (moments <= LATENCY), np.arange(1, parts + 1)[:, None], 0)
    entry = np.concatenate([opening, mids])[stood.max(axis=0), np.arange(number)]
    for _ in range(HORIZON - 1):
        prices, wide = futures.advance(1)
    change = np.log(futures.rounded(prices[-1], wide) / entry)
    up, down = (change > threshold).mean(), (change < -threshold).mean()
    return np.array([down, 1 - up - down, up])
