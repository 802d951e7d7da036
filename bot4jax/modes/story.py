"""What a report tells: gathered once, drawn by `modes.report`."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from bot4jax.data.bound import Bound
from bot4jax.learn.bootstrap import Interval
from bot4jax.learn.calibrate import Calibration
from bot4jax.learn.evaluate import Judged
from bot4jax.learn.metrics import Reliability
from bot4jax.learn.novelty import Segment
from bot4jax.learn.pairs import Ahead
from bot4jax.learn.redundancy import Pair
from bot4jax.modes.ratios import Ratios
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.states import Transition


class MarketFacts(NamedTuple):
    """What was read: shown first, so that no figure is taken for more than it is."""

    source: str
    simulated: bool
    symbols: int
    bar_seconds: float
    spans: dict[str, int]
    """bars of train, calibrate and test"""
    class_shares: dict[str, Float[np.ndarray, " C"]]
    """by span: down, flat, up"""
    labels: int
    """test labels that count"""
    effective_labels: int
    """of them, labels that share no bar"""
    rejected: dict[str, int]
    """rows of the source that were not used, by reason"""
    refused: dict[str, int]
    """ticks of the traded span that the feed did not let in, by reason"""


class FeatureFacts(NamedTuple):
    """What the validation did to each feature on the test span."""

    names: tuple[str, ...]
    absent: dict[str, tuple[str, ...]]
    """features that the source cannot feed, and the columns they miss"""
    masked: dict[str, int]
    clamped: dict[str, int]
    silent: dict[str, int]
    """by symbol: bars at which all its features were masked, since it was not heard"""
    values: int
    """values of each feature, all bars and live symbols"""
    gain: dict[str, float]
    """share of the loss that the forest's splits on a feature saved"""
    contribution: dict[str, float]
    """share of what moves the forest's log odds: mean absolute SHAP values"""
    family: dict[str, str]
    """category of each feature"""
    importance: dict[str, dict[str, Interval]]
    """by family, then by forecaster: log loss that permuting the family adds, nats"""
    novelty: list[Segment]
    """share of rows that are farther from the training bars than those themselves"""
    twins: list[Pair] | None
    """pairs whose scores on the test span move together; None: nobody has looked"""


class TradeFacts(NamedTuple):
    """What trading came to."""

    tier: str
    """fee tier, with its rates"""
    currency: str
    curve: list[EquityRow]
    pnl: dict[str, Any]
    """as in `summary.json`"""
    orders: int
    fills: int
    partial_fills: int
    buys: int
    sells: int
    denials: dict[str, int]
    """by reason"""
    sentences: dict[str, str]
    """what each reason means"""
    horizon: int
    """bars after which adverse selection is looked at"""
    ratios: Ratios | None
    """of the curve; None without a bar"""
    transitions: list[Transition]
    """how the state of the engine changed, and why"""


class Story(NamedTuple):
    """One run."""

    title: str
    manifest: dict[str, Any]
    summary: dict[str, Any]
    market: MarketFacts
    members: dict[str, Judged]
    """on the test span, in the order of the ensemble"""
    ensemble: Judged | None
    """None where nothing was traded"""
    baselines: dict[str, Judged]
    """`evaluate.PRIOR` first"""
    ahead: Ahead | None
    """members and ensemble beside the best baseline; None where there is none"""
    bound: Bound | None
    """simulated markets only"""
    calibration: dict[str, Calibration]
    """of each member and the ensemble, on the calibration span, before and after"""
    reliability: dict[str, Reliability]
    """of the ensemble's probability of each class, on the test span"""
    weights: Float[np.ndarray, "T W"]
    """over the test span: every member, then the fallback"""
    training: dict[str, Float[np.ndarray, " U"]]
    """loss of each net by update"""
    gradients: dict[str, Float[np.ndarray, " U"]]
    """gradient norm of each net by update"""
    ratios: dict[str, Float[np.ndarray, " U"]]
    """by net of more than one layer: its first layer's gradient over its last one's"""
    saturated: dict[str, Float[np.ndarray, " U"]]
    """by layer that has gates: share of them nearly shut or open; NaN: not looked at"""
    features: FeatureFacts
    trade: TradeFacts | None
    latency_ms: dict[str, dict[str, float]]
    """p50, p99, p999 and n of each stage"""
    information_age_ms: dict[str, float | None]
    """p50 and p99 from any tick to the first decision that used it"""
    seconds: dict[str, float]
    """what each part of the run took"""
