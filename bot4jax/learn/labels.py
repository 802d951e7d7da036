"""What forecasts are trained and judged on. The only file that looks ahead.

A decision at the close of bar `t` meets the first executable price of bar `t + 1` and
is judged by the close of bar `t + h`: a label of `t` lives in the bars t + 1 … t + h.
"""

from math import sqrt

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.errors import DataError

DOWN, FLAT, UP = 0, 1, 2


def forward_returns(
    entry: Float[np.ndarray, "T S"], close: Float[np.ndarray, "T S"], horizon: int
) -> Float[np.ndarray, "T S"]:
    """log(close[t + h]) − log(entry[t + 1]); NaN where that is past the end.

    `entry[t]` is the mid that stands at the opening of bar `t` plus latency. Prices
    of one symbol are in one unit and free of splits; a price that is not positive and
    finite makes its return NaN.
    """
    if horizon < 1:
        raise ValueError(f"horizon {horizon}: a label looks at least one bar ahead")
    returns = np.full(close.shape, np.nan)
    if len(close) > horizon:
        ends, starts = _log_price(close[horizon:]), _log_price(entry[1:])
        returns[:-horizon] = ends - starts[: len(ends)]
    return returns


def barrier_returns(
    entry: Float[np.ndarray, "T S"],
    close: Float[np.ndarray, "T S"],
    scale: Float[np.ndarray, "T S"],
    k: float,
    horizon: int,
) -> Float[np.ndarray, "T S"]:
    """Log return from the entry to the first close beyond ±k·σ·√h, else to bar t + h.

    The barriers above, below and at the end of the horizon. Source: López de Prado
    (2018), Advances in Financial Machine Learning, 3.4. What the return's class is then
    is the barrier that was touched first. Touches within a bar are not looked for:
    which of two came first, a bar does not tell.
    """
    found = forward_returns(entry, close, horizon)
    is_known, band = np.isfinite(found), k * _spread(scale, horizon)
    is_open = is_known.copy()
    for bars in range(1, horizon):
        moved = forward_returns(entry, close, bars)
        touched = is_open & (np.abs(moved) > band)
        found = np.where(touched, moved, found)
        is_open &= ~touched
    return found


def bars_lived(
    entry: Float[np.ndarray, "T S"],
    close: Float[np.ndarray, "T S"],
    scale: Float[np.ndarray, "T S"],
    k: float,
    horizon: int,
    has_barriers: bool,
) -> Int[np.ndarray, "T S"]:
    """Bars up to the one that decides a label: the first beyond a barrier, or all."""
    lived = np.full(close.shape, horizon)
    band = k * _spread(scale, horizon)
    for bars in reversed(range(1, horizon if has_barriers else 1)):
        moved = forward_returns(entry, close, bars)
        lived = np.where(np.abs(moved) > band, bars, lived)
    return lived


def farthest_returns(
    entry: Float[np.ndarray, "T S"], close: Float[np.ndarray, "T S"], horizon: int
) -> Float[np.ndarray, "T S"]:
    """The largest absolute return from the entry to any close within the horizon."""
    found = np.abs(forward_returns(entry, close, horizon))
    for bars in range(1, horizon):
        moved = np.abs(forward_returns(entry, close, bars))
        found = np.where(np.isfinite(moved) & (moved > found), moved, found)
    return found


def outcomes(
    entry: Float[np.ndarray, "T S"],
    close: Float[np.ndarray, "T S"],
    scale: Float[np.ndarray, "T S"],
    k: float,
    horizon: int,
    has_barriers: bool,
) -> tuple[Float[np.ndarray, "T S"], Int[np.ndarray, "T S"]]:
    """Returns of all decisions, and their classes."""
    if has_barriers:
        returns = barrier_returns(entry, close, scale, k, horizon)
    else:
        returns = forward_returns(entry, close, horizon)
    return returns, classify(returns, scale, k, horizon)


def fit_threshold(
    returns: Float[np.ndarray, "T S"],
    scale: Float[np.ndarray, "T S"],
    horizon: int,
    flat_share: float = 0.5,
    weights: Float[np.ndarray, "T S"] | None = None,
) -> float:
    """k for which a share `flat_share` of the returns lies within ±k·σ·√h.

    Give it the training span only. `scale` is the causal σ of one bar's log return,
    known at the decision. Rows of weight 0 do not count.
    """
    counted = is_measurable(returns, scale)
    weight = np.ones(returns.shape) if weights is None else weights
    counted &= weight > 0
    if not counted.any():
        raise DataError(
            f"none of {returns.size} training rows has a return and a scale: "
            "lengthen spans.train or check the source's live bars"
        )
    moved = np.abs(returns[counted]) / _spread(scale[counted], horizon)
    return _weighted_quantile(moved, weight[counted], flat_share)


def cost_threshold(
    cost: Float[np.ndarray, "T S"],
    scale: Float[np.ndarray, "T S"],
    horizon: int,
    weights: Float[np.ndarray, "T S"],
) -> float:
    """k for which ±k·σ·√h is what a round trip costs, at the median training row.

    One k for all, as everywhere: the edge then moves with the volatility and not with
    each symbol's own spread.
    """
    counted = (weights > 0) & np.isfinite(cost) & np.isfinite(scale) & (scale > 0)
    if not counted.any():
        raise DataError(
            f"none of {cost.size} training rows has a cost and a scale: lengthen "
            "spans.train or check the source's live bars"
        )
    ratio = cost[counted] / _spread(scale[counted], horizon)
    return _weighted_quantile(ratio, weights[counted], 0.5)


def paying_horizon(
    entry: Float[np.ndarray, "T S"],
    close: Float[np.ndarray, "T S"],
    live: Bool[np.ndarray, "T S"],
    cost: float,
    most: int,
) -> int | None:
    """The shortest horizon whose mean absolute return is twice the cost; None: none.

    Horizons up to `most` bars are tried, each about a quarter longer than the last.
    """
    horizon = 1
    while horizon <= most:
        moved = np.abs(forward_returns(entry, close, horizon))
        counted = np.isfinite(moved) & is_tradable(live, horizon)
        if counted.any() and moved[counted].mean() >= 2 * cost:
            return horizon
        horizon += max(1, horizon // 4)
    return None


def classify(
    returns: Float[np.ndarray, "T S"],
    scale: Float[np.ndarray, "T S"],
    k: float,
    horizon: int,
) -> Int[np.ndarray, "T S"]:
    """0 down, 1 flat, 2 up, int8. Unknown returns are called flat and weigh nothing."""
    band = k * _spread(scale, horizon)
    return (FLAT + (returns > band) - (returns < -band)).astype(np.int8)


def is_measurable(
    returns: Float[np.ndarray, "T S"], scale: Float[np.ndarray, "T S"]
) -> Bool[np.ndarray, "T S"]:
    """Where a return is known and there is a scale to judge it by."""
    return np.isfinite(returns) & np.isfinite(scale) & (scale > 0)


def is_tradable(
    live: Bool[np.ndarray, "T S"],
    horizon: int,
    settled: Bool[np.ndarray, "T S"] | None = None,
) -> Bool[np.ndarray, "T S"]:
    """Live at the decision and at the entry, settled at the end of the label.

    `settled` is where one knows what is held to be worth the close: where a symbol is
    live, and where it has ended for good. Without it that is where it is live.
    """
    tradable = np.zeros(live.shape, bool)
    reach, ends = len(live) - horizon, live if settled is None else settled
    if reach > 0:
        tradable[:reach] = live[:reach] & live[1 : 1 + reach] & ends[horizon:]
    return tradable


def sample_weights(
    returns: Float[np.ndarray, "T S"],
    scale: Float[np.ndarray, "T S"],
    live: Bool[np.ndarray, "T S"],
    horizon: int,
    lived: Int[np.ndarray, "T S"] | None = None,
    settled: Bool[np.ndarray, "T S"] | None = None,
) -> Float[np.ndarray, "T S"]:
    """How much each sample is worth: its average uniqueness over the bars it `lived`.

    Those are the horizon's where nothing else is said. 0 where the symbol was stale or
    halted at the decision, the entry or the end, and where the return or its scale is
    unknown. Who is known to have ended by then counts (`settled`, see `is_tradable`).
    """
    counted = is_measurable(returns, scale) & is_tradable(live, horizon, settled)
    return average_uniqueness(counted, horizon, lived).astype(np.float32)


def by_class(
    weights: Float[np.ndarray, "T S"],
    labels: Int[np.ndarray, "T S"],
    class_weights: tuple[float, float, float],
) -> Float[np.ndarray, "T S"]:
    """What each sample is worth in a fit: times the weight of its class."""
    return weights * np.asarray(class_weights, np.float32)[labels]


def average_uniqueness(
    counted: Bool[np.ndarray, "T S"],
    horizon: int,
    lived: Int[np.ndarray, "T S"] | None = None,
) -> Float[np.ndarray, "T S"]:
    """Mean over a label's bars of one over how many labels of the symbol share the bar.

    Source: López de Prado (2018), Advances in Financial Machine Learning, 4.3–4.4: a
    label lives until the bar that decides it, the horizon's last where `lived` does not
    say another. One that does not count shares nothing and gets 0.
    """
    own = np.full(counted.shape, horizon) if lived is None else lived
    sharing, shared = np.zeros(counted.shape), np.zeros(counted.shape)
    for k in range(1, min(horizon, len(counted) - 1) + 1):
        sharing[k:] += (counted & (own >= k))[:-k]
    alone = np.divide(1.0, sharing, out=np.zeros_like(sharing), where=sharing > 0)
    for k in range(1, min(horizon, len(counted) - 1) + 1):
        shared[:-k] += np.where(own[:-k] >= k, alone[k:], 0.0)
    return np.where(counted, shared / own, 0.0)


def class_shares(
    labels: Int[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    classes: int = 3,
) -> Float[np.ndarray, " C"]:
    """Share of the weight that each class has; NaN where nothing weighs."""
    total = np.bincount(labels.ravel(), weights.ravel().astype(np.float64), classes)
    return total / (total.sum() or np.nan)


def _log_price(price: np.ndarray) -> np.ndarray:
    exact = price.astype(np.float64)
    is_price = np.isfinite(exact) & (exact > 0)
    return np.where(is_price, np.log(np.where(is_price, exact, 1.0)), np.nan)


def _spread(scale: np.ndarray, horizon: int) -> np.ndarray:
    """σ·√h: a standard deviation of the return over the horizon."""
    return scale.astype(np.float64) * sqrt(horizon)


def _weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The smallest value up to which a share of the weight lies."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order], dtype=np.float64)
    at = np.searchsorted(reached, share * reached[-1])
    return float(values[order][min(at, len(order) - 1)])
