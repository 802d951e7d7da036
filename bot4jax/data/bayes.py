"""Chances of the simulator's labels, given everything that is hidden at the decision.

Given the path of volatility, what remains is Gaussian: the imbalance's effect on the
later bars sums in closed form. Volatility paths, the entry's price and the spreads at
both ends are drawn, a few dozen times, with the same draws for all symbols; rounding
mids to the price grid is exact.
"""

from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.data import latent
from bot4jax.data.latent import FLOW_LOADING, FLOW_PERSISTENCE, Dynamics
from bot4jax.data.quotes import mid_at, spread_drawn, wide_chance
from bot4jax.data.simulator import Simulator
from bot4jax.data.tape import FLICKER, QUOTE_SHARE

PATHS = 32
"""Volatility paths a decision bar."""

TAIL = (
    np.array([0.0, 0.319381530, -0.356563782, 1.781477937, -1.821255978, 1.330274429])
    / (2 * np.pi) ** 0.5
)
"""Coefficients of the normal tail over its density."""


class Draws(NamedTuple):
    """One decision's random inputs, alike for all symbols; `P` paths, `h` bars."""

    regimes: Int[np.ndarray, "P h"]
    common: Float[np.ndarray, "P h"]
    """deviation of log volatility"""
    own: Float[np.ndarray, "P h"]
    """innovations of a symbol's own deviation, summed"""
    flow: Float[np.ndarray, " P"]
    other: Float[np.ndarray, " P"]
    """shocks before the entry"""
    flicker: Float[np.ndarray, " P"]
    """of the quote met at the entry"""
    spreads: Float[np.ndarray, "P 2"]
    """uniform, for the spread at entry and closing"""


class Normal(NamedTuple):
    """A distribution of log returns, a path and symbol."""

    mean: Float[np.ndarray, "P S"]
    variance: Float[np.ndarray, "P S"]


def bayes_probabilities(
    simulator: Simulator,
    first: int,
    stop: int,
    horizon: int,
    latency_fraction: float,
    threshold: Float[np.ndarray, "T S"],
    paths: int = PATHS,
) -> Float[np.ndarray, "T S C"]:
    """Chances of down, flat, up at bars `first … stop − 1`, given the hidden state."""
    check(simulator, first, stop, horizon, latency_fraction, threshold)
    return np.stack(
        [
            class_chances(
                simulator, t + 1, horizon, latency_fraction, threshold[t - first], paths
            )
            for t in range(first, stop)
        ]
    )


def check(
    simulator: Simulator,
    first: int,
    stop: int,
    horizon: int,
    latency_fraction: float,
    threshold: Float[np.ndarray, "T S"],
) -> None:
    """Raise if the labels asked for do not exist."""
    if not 0 <= first < stop <= simulator.bar_count - horizon or horizon < 1:
        raise ValueError(
            f"Decision bars {first} … {stop} with horizon {horizon} do not fit into"
            f" {simulator.bar_count} bars."
        )
    if not 0 <= latency_fraction < 1:
        raise ValueError(
            f"latency_fraction {latency_fraction} must be in [0, 1): later, an order"
            " meets the next bar."
        )
    expected = (stop - first, len(simulator.anchors))
    if threshold.shape != expected:
        raise ValueError(f"threshold has shape {threshold.shape}, not {expected}.")


def class_chances(
    simulator: Simulator,
    bar: int,
    horizon: int,
    latency_fraction: float,
    threshold: Float[np.ndarray, " S"],
    paths: int,
) -> Float[np.ndarray, "S C"]:
    """Chances of the classes for entries in `bar`, averaged over the paths."""
    law, hidden = simulator.law, simulator.latent
    rng = latent.generator(simulator.seed, 12, bar)
    draws = draw(law, rng, hidden, bar, horizon, paths)
    volatility = volatility_paths(hidden, bar, draws, law)
    behind = entry_shares(rng, simulator.counts[bar], latency_fraction, paths)
    entry, later = entry_and_rest(law, hidden, bar, draws, volatility, behind)
    price = simulator.edges.price[bar] * (1 + entry)
    quoted = price + np.where(behind < 1, FLICKER * draws.flicker[:, None], 0.0)
    spreads = [
        spread_drawn(
            wide_chance(volatility[i], law.reference), draws.spreads[:, i, None]
        )
        for i in (0, -1)
    ]
    met = np.where(behind > 0, mid_at(quoted, spreads[0]), simulator.mids[bar])
    above, below = (
        chance_above(law, volatility, behind, later, np.log(edge / price))
        for edge in class_edges(met, spreads[1], threshold)
    )
    return np.stack([1 - below, below - above, above], axis=-1)


def draw(
    law: Dynamics,
    rng: np.random.Generator,
    hidden: latent.Latent,
    bar: int,
    horizon: int,
    paths: int,
) -> Draws:
    """Futures that begin in the hidden state of `bar`, one a path."""
    cumulative = law.transition.cumsum(axis=1)
    regimes = np.full((paths, horizon), hidden.regimes[bar])
    common = np.full((paths, horizon), hidden.common[bar])
    own = np.zeros((paths, horizon))
    for j in range(1, horizon):
        chances = cumulative[regimes[:, j - 1], :-1]
        regimes[:, j] = (stratified(rng, paths)[:, None] >= chances).sum(axis=1)
        common[:, j] = next_deviation(
            rng, common[:, j - 1], latent.COMMON_PERSISTENCE, law.common_deviation
        )
        own[:, j] = next_deviation(
            rng, own[:, j - 1], latent.OWN_PERSISTENCE, law.own_deviation
        )
    spreads = np.stack([stratified(rng, paths), stratified(rng, paths)], axis=1)
    return Draws(
        regimes,
        common,
        own,
        rng.permutation(normal_strata(paths)),
        rng.permutation(normal_strata(paths)),
        rng.permutation(normal_strata(paths)),
        spreads,
    )


def next_deviation(
    rng: np.random.Generator,
    now: Float[np.ndarray, " P"],
    persistence: float,
    deviation: float,
) -> Float[np.ndarray, " P"]:
    """One step of the autoregression that log volatility follows."""
    shock = rng.permutation(normal_strata(len(now)))
    return persistence * now + deviation * (1 - persistence**2) ** 0.5 * shock


def stratified(rng: np.random.Generator, count: int) -> Float[np.ndarray, " P"]:
    """Uniform draws, one in each of `count` equal parts, in random order."""
    return (rng.permutation(count) + rng.random(count)) / count


@lru_cache
def normal_strata(count: int) -> Float[np.ndarray, " P"]:
    """Standard normal quantiles amid `count` equal parts, scaled to unit variance."""
    normal = NormalDist()
    strata = np.array([normal.inv_cdf((k + 0.5) / count) for k in range(count)])
    return strata / max(strata.std(), 1e-9)


def volatility_paths(
    hidden: latent.Latent, bar: int, draws: Draws, law: Dynamics
) -> list[Float[np.ndarray, "P S"]]:
    """Volatility of `bar`, known, and of the bars after it, `[P, S]` each."""
    paths, horizon = draws.regimes.shape
    known = np.broadcast_to(
        hidden.volatility[bar].astype(float), (paths, hidden.own.shape[1])
    )
    logs = law.reference + law.levels[draws.regimes] + draws.common + draws.own
    fading = latent.OWN_PERSISTENCE ** np.arange(horizon)
    own = np.exp(fading[:, None] * hidden.own[bar])
    return [known] + [np.exp(logs[:, j, None]) * own[j] for j in range(1, horizon)]


def entry_shares(
    rng: np.random.Generator,
    counts: Int[np.ndarray, " S"],
    latency_fraction: float,
    paths: int,
) -> Float[np.ndarray, "P S"]:
    """Share of the bar that lies behind the quote that stands at the latency.

    0: that of the opening still stands, which is known when the decision is made.
    """
    most = int(counts.max())
    moment = rng.random((paths, most))
    is_quote = rng.random((paths, most)) < QUOTE_SHARE
    shares = np.zeros((paths, most + 1))
    for count in np.unique(counts):
        number = np.arange(count)
        time = (number + moment[:, :count]) / count
        shown = is_quote[:, :count] | (number == count - 1)  # the closing one is
        stood = np.where(shown & (time <= latency_fraction), number + 1, 0)
        shares[:, count] = stood.max(axis=1) / count
    return shares[:, counts]


def entry_and_rest(
    law: Dynamics,
    hidden: latent.Latent,
    bar: int,
    draws: Draws,
    volatility: list[Float[np.ndarray, "P S"]],
    behind: Float[np.ndarray, "P S"],
) -> tuple[Float[np.ndarray, "P S"], Normal]:
    """The return up to the entry, drawn, and the law of the one after it.

    Backwards in time, `carried` is what one unit of imbalance at a bar's opening adds
    to the return from there on: κσ + φ times that of the next bar.
    """
    persistence = FLOW_PERSISTENCE[draws.regimes][..., None]
    fresh = np.sqrt(1 - persistence**2)
    scale = (law.impact / np.sqrt(law.news))[draws.regimes][..., None]
    flow = scale * FLOW_LOADING * fresh
    other = scale**2 * (1 - FLOW_LOADING**2) + law.noise[draws.regimes][..., None] ** 2
    carried = np.zeros_like(volatility[0])
    variance = np.zeros_like(carried)
    for j in range(len(volatility) - 1, 0, -1):
        shock = volatility[j] * flow[:, j] + fresh[:, j] * carried
        variance += shock**2 + volatility[j] ** 2 * other[:, j]
        carried = law.link * volatility[j] + persistence[:, j] * carried
    now, imbalance = volatility[0], hidden.imbalance[bar]
    shock = now * flow[:, 0] + fresh[:, 0] * carried
    variance += (1 - behind) * (shock**2 + now**2 * other[:, 0])
    early = np.sqrt(behind) * draws.flow[:, None]
    mean = law.link * now * imbalance * (1 - behind)
    mean += carried * (persistence[:, 0] * imbalance + fresh[:, 0] * early)
    entry = law.link * imbalance * behind + flow[:, 0] * early
    entry += np.sqrt(other[:, 0] * behind) * draws.other[:, None]
    return now * entry, Normal(mean, variance)


def class_edges(
    entry: Int[np.ndarray, "P S"],
    close_spread: Int[np.ndarray, "P S"],
    threshold: Float[np.ndarray, " S"],
) -> tuple[Float[np.ndarray, "P S"], Float[np.ndarray, "P S"]]:
    """Closing prices above which the class is up, and below which it is down.

    Exact on the grid: an entry at half increments m is up if the closing mid exceeds
    m·exp(threshold), and a mid is the nearest with the parity of its spread.
    """
    half = close_spread / 2
    above = np.floor(entry * np.exp(threshold) / 2 - half) + 0.5 + half
    below = np.ceil(entry * np.exp(-threshold) / 2 - half) - 0.5 + half
    return above, below


def chance_above(
    law: Dynamics,
    volatility: list[Float[np.ndarray, "P S"]],
    behind: Float[np.ndarray, "P S"],
    later: Normal,
    edge: Float[np.ndarray, "P S"],
) -> Float[np.ndarray, " S"]:
    """Chance of a return above the edge: a normal, wider if there is a jump.

    A jump is so rare that its part is taken at the mean over the paths, and two jumps
    within a horizon are left out.
    """
    distance = later.mean - edge
    calm = normal_cdf(distance / np.sqrt(later.variance)).mean(axis=0)
    if not law.jump_rate:
        return calm
    jump = latent.JUMP_SCALE**2 * sum(one**2 for one in volatility) / len(volatility)
    wider = np.sqrt((later.variance + jump).mean(axis=0))
    jumped = normal_cdf(distance.mean(axis=0) / wider)
    chance = 1 - (1 - law.jump_rate) ** (len(volatility) - behind.mean(axis=0))
    return calm + chance * (jumped - calm)


def normal_cdf(x: Float[np.ndarray, "*B"]) -> Float[np.ndarray, "*B"]:
    """Standard normal distribution, absolute error below 1e-7.

    Source: Abramowitz & Stegun (1964), Handbook of Mathematical Functions, 26.2.17.
    """
    t = 1 / (1 + 0.2316419 * np.abs(x))
    series = np.polynomial.polynomial.polyval(t, TAIL)
    tail = np.exp(-(x**2) / 2) * series
    return np.where(x > 0, 1 - tail, tail)
