"""The hidden market behind the simulator: regimes, volatility, order flow, prices.

One bar's log return of one symbol, with σ the bar's volatility, z the imbalance at its
opening and u the news in its order flow, is

    r = σ · (κ·z + a·u/√v + b·ε) + jump,      κ² + a² + b² = 1,
    z' = φ·z + √(1 − φ²)·η,                   flow = c·z' + √(1 − c²)·ν = c·φ·z + u.

κ² is the predictive R² of one bar; `a` is set so that the squared correlation of return
and flow is the contemporaneous R². κ = 0 leaves a martingale with the same volatility,
the same flow and the same jumps. φ is the regime's: flow lasts longest in a trend.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

REGIMES = ("trending", "ranging", "volatile", "crisis")
"""Names of the numbers in `Latent.regimes`."""

DWELL = np.array([60.0, 80.0, 40.0, 20.0])
"""Mean stay in a regime, bars."""
LEAVE = np.array(
    [
        [0, 0.60, 0.35, 0.05],
        [0.55, 0, 0.40, 0.05],
        [0.35, 0.35, 0, 0.30],
        [0.1, 0.1, 0.8, 0],
    ]
)
"""Where the market goes when it leaves a regime."""
FLOW_PERSISTENCE = np.array([0.97, 0.80, 0.92, 0.90])
LOG_VOLATILITY = np.array([0.0, -0.35, 0.45, 1.0])
CROWDING = np.array([0.0, 0.0, 0.1, 0.4])
"""Share of the own risk that turns into market risk."""

COMMON_FLOW = 0.1
"""Share of the imbalance's variance that all symbols have in common."""
FLOW_LOADING = 0.4**0.5
"""Correlation of a bar's flow with the imbalance at its end."""
COMMON_PERSISTENCE, COMMON_DEVIATION = 0.97, 0.15
OWN_PERSISTENCE, OWN_DEVIATION = 0.98, 0.25
"""Log volatility around its regime's level: first-order autoregressions."""
ACTIVITY_PERSISTENCE = 0.95
JUMP_RATE, JUMP_SCALE = 5e-4, 6.0
"""Jumps a bar and symbol; their deviation in units of the bar's volatility."""
HALT_RATE, HALT_BARS = 1e-4, (5, 30)


class Dynamics(NamedTuple):
    """The law of motion: what the simulator follows and its Bayes bound integrates."""

    link: float
    """κ: expected return of the next bar over its volatility, per unit of imbalance"""
    impact: Float[np.ndarray, " R"]
    """a, by regime"""
    news: Float[np.ndarray, " R"]
    """v, by regime: variance of the flow that the imbalance does not explain"""
    noise: Float[np.ndarray, " R"]
    """b, by regime"""
    transition: Float[np.ndarray, "R R"]
    reference: float
    """log of the volatility at which level and deviations are zero, per bar"""
    levels: Float[np.ndarray, " R"]
    common_deviation: float
    own_deviation: float
    jump_rate: float
    halt_rate: float


class Latent(NamedTuple):
    """The hidden path; bar `t` lies between the boundaries `t` and `t + 1`."""

    regimes: Int[np.ndarray, " T"]
    volatility: Float[np.ndarray, "T S"]
    """standard deviation of the bar's log return, jumps aside"""
    common: Float[np.ndarray, " T"]
    """deviation of log volatility that all symbols share"""
    own: Float[np.ndarray, "T S"]
    imbalance: Float[np.ndarray, "T+1 S"]
    """z at the boundaries, unit variance"""
    flow: Float[np.ndarray, "T S"]
    """what the bar's orders show of it, unit variance"""
    jump: Float[np.ndarray, "T S"]
    """log return, mostly zero"""
    path: Float[np.ndarray, "T+1 S"]
    """log price at the boundaries, relative to the start"""
    activity: Float[np.ndarray, "T S"]
    """log of the trading intensity"""
    halted: Bool[np.ndarray, "T S"]


def dynamics(
    predictive_r2: float,
    contemporaneous_r2: float,
    volatility: float,
    stochastic_volatility: bool,
    jumps: bool,
    halts: bool,
) -> Dynamics:
    """The law of motion for the knobs; `volatility` is the root mean square a bar."""
    link = max(predictive_r2, 0.0) ** 0.5
    news = 1 - (FLOW_LOADING * FLOW_PERSISTENCE) ** 2
    explained = link * FLOW_LOADING * FLOW_PERSISTENCE
    impact = (max(contemporaneous_r2, 0.0) ** 0.5 - explained) / np.sqrt(news)
    rest = 1 - link**2 - impact**2
    if not (predictive_r2 >= 0 and contemporaneous_r2 >= 0 and rest.min() >= 0):
        raise ValueError(
            f"predictive_r2 {predictive_r2} and contemporaneous_r2 {contemporaneous_r2}"
            " leave no room for noise: both must be at least 0; lower the larger."
        )
    moving = 1.0 if stochastic_volatility else 0.0
    chain = transition_matrix()
    levels = moving * LOG_VOLATILITY
    common, own = moving * COMMON_DEVIATION, moving * OWN_DEVIATION
    share = np.linalg.matrix_power(chain, 1 << 14)[0]
    mean_square = share @ np.exp(2 * levels) * np.exp(2 * (common**2 + own**2))
    return Dynamics(
        link=link,
        impact=impact,
        news=news,
        noise=np.sqrt(rest),
        transition=chain,
        reference=float(np.log(volatility) - np.log(mean_square) / 2),
        levels=levels,
        common_deviation=common,
        own_deviation=own,
        jump_rate=JUMP_RATE if jumps else 0.0,
        halt_rate=HALT_RATE if halts else 0.0,
    )


def transition_matrix() -> Float[np.ndarray, "R R"]:
    """Probabilities of the next bar's regime, one row a present regime."""
    return np.diag(1 - 1 / DWELL) + LEAVE / DWELL[:, None]


def draw_latent(law: Dynamics, seed: int, bars: int, symbols: int) -> Latent:
    """A hidden path. Each part has its own stream, so a knob moves only its part."""
    shape = (bars, symbols)
    regimes = draw_regimes(law, generator(seed, 1), bars)
    common, own = draw_deviations(law, generator(seed, 2), shape)
    levels = law.reference + law.levels[regimes] + common
    volatility = np.exp(levels.astype(np.float32)[:, None] + own)
    imbalance, news, flow = draw_flow(law, generator(seed, 3), regimes, shape)
    noise = draw_noise(generator(seed, 4), regimes, shape)
    impact = (law.impact / np.sqrt(law.news))[regimes, None].astype(np.float32)
    standard = np.float32(law.link) * imbalance[:-1] + impact * news
    standard += law.noise[regimes, None].astype(np.float32) * noise
    jump = draw_jumps(law, generator(seed, 5), volatility)
    path = np.zeros((bars + 1, symbols))
    np.cumsum(volatility * standard + jump, axis=0, dtype=np.float64, out=path[1:])
    excited = own + (levels - law.reference)[:, None]
    return Latent(
        regimes=regimes,
        volatility=volatility,
        common=common,
        own=own,
        imbalance=imbalance,
        flow=flow,
        jump=jump,
        path=path,
        activity=draw_activity(generator(seed, 6), excited),
        halted=draw_halts(law, generator(seed, 7), shape),
    )


def generator(seed: int, part: int, bar: int | None = None) -> np.random.Generator:
    """The random stream of one part of the market, of one bar if named."""
    # Entropy lists are padded with zeros: the length of the list tells nothing.
    return np.random.default_rng([seed, part, 0 if bar is None else bar + 1])


def normals(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normals, float32."""
    return rng.standard_normal(shape, dtype=np.float32)


def autoregression(
    shocks: Float[np.ndarray, "T S"], persistence: Float[np.ndarray, " T"]
) -> Float[np.ndarray, "T S"]:
    """Unit variance: x[0] = shock[0], x[t] = φ[t]·x[t−1] + √(1 − φ[t]²)·shock[t]."""
    fresh = np.sqrt(1 - persistence**2)
    out = np.empty_like(shocks)
    out[0] = shocks[0]
    for t in range(1, len(shocks)):
        np.multiply(shocks[t], fresh[t], out=out[t], casting="same_kind")
        out[t] += persistence[t] * out[t - 1]
    return out


def draw_regimes(
    law: Dynamics, rng: np.random.Generator, bars: int
) -> Int[np.ndarray, " T"]:
    """A path of the regime chain; it starts in the chain's own distribution."""
    cumulative = law.transition.cumsum(axis=1)
    share = np.linalg.matrix_power(law.transition, 1 << 14)[0].cumsum()
    draws = rng.random(bars)
    regimes = np.empty(bars, np.int64)
    for t in range(bars):
        chances = share if t == 0 else cumulative[regimes[t - 1]]
        regimes[t] = min(np.searchsorted(chances, draws[t]), len(REGIMES) - 1)
    return regimes


def draw_deviations(
    law: Dynamics, rng: np.random.Generator, shape: tuple[int, int]
) -> tuple[Float[np.ndarray, " T"], Float[np.ndarray, "T S"]]:
    """Log volatility around its level: the common part and each symbol's own."""
    bars = shape[0]
    common = autoregression(
        rng.standard_normal((bars, 1)), np.full(bars, COMMON_PERSISTENCE)
    )
    own = autoregression(normals(rng, shape), np.full(bars, OWN_PERSISTENCE))
    return law.common_deviation * common[:, 0], np.float32(law.own_deviation) * own


def draw_flow(
    law: Dynamics,
    rng: np.random.Generator,
    regimes: Int[np.ndarray, " T"],
    shape: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Imbalance at the boundaries, the flow's news u and the flow itself, by bar."""
    bars, symbols = shape
    persistence = np.concatenate([[0.0], FLOW_PERSISTENCE[regimes]])
    shocks = normals(rng, (bars + 1, symbols)) * np.float32((1 - COMMON_FLOW) ** 0.5)
    shocks += normals(rng, (bars + 1, 1)) * np.float32(COMMON_FLOW**0.5)
    imbalance = autoregression(shocks, persistence)
    flow = np.float32((1 - FLOW_LOADING**2) ** 0.5) * normals(rng, shape)
    flow += np.float32(FLOW_LOADING) * imbalance[1:]
    known = (FLOW_LOADING * persistence[1:, None]).astype(np.float32)
    return imbalance, flow - known * imbalance[:-1], flow


def draw_noise(
    rng: np.random.Generator, regimes: Int[np.ndarray, " T"], shape: tuple[int, int]
) -> Float[np.ndarray, "T S"]:
    """Return shocks beside the flow: the market's and each symbol's, unit variance."""
    loading = rng.uniform(0.25, 0.65, shape[1]).astype(np.float32)
    crowding = CROWDING[regimes, None].astype(np.float32)
    loading = loading + crowding * (1 - loading)
    market = normals(rng, (shape[0], 1))
    return loading * market + np.sqrt(1 - loading**2) * normals(rng, shape)


def draw_jumps(
    law: Dynamics, rng: np.random.Generator, volatility: Float[np.ndarray, "T S"]
) -> Float[np.ndarray, "T S"]:
    """Rare normal jumps, scaled with the bar's volatility (Merton, 1976)."""
    struck = rng.random(volatility.shape, np.float32) < law.jump_rate
    jump = np.zeros_like(volatility)
    jump[struck] = JUMP_SCALE * volatility[struck] * normals(rng, (struck.sum(),))
    return jump


def draw_activity(
    rng: np.random.Generator, excited: Float[np.ndarray, "T S"]
) -> Float[np.ndarray, "T S"]:
    """Trading intensity: persistent, and higher when the market moves."""
    shocks = normals(rng, excited.shape)
    calm = autoregression(shocks, np.full(len(excited), ACTIVITY_PERSISTENCE))
    return (0.3 * calm + 0.3 * excited).astype(np.float32)


def draw_halts(
    law: Dynamics, rng: np.random.Generator, shape: tuple[int, int]
) -> Bool[np.ndarray, "T S"]:
    """Bars in which a symbol does not trade at all; never the first."""
    starts = np.argwhere(rng.random(shape, np.float32) < law.halt_rate)
    starts = starts[starts[:, 0] > 0]
    length = rng.integers(*HALT_BARS, len(starts), endpoint=True)
    change = np.zeros((shape[0] + 1, shape[1]), np.int32)
    np.add.at(change, (starts[:, 0], starts[:, 1]), 1)
    ends = np.minimum(starts[:, 0] + length, shape[0])
    np.add.at(change, (ends, starts[:, 1]), -1)
    return change[:-1].cumsum(axis=0) > 0
