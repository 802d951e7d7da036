"""What the steps of a live run show of its strategy, value by value.

Forecasts are judged every horizon bars, so that no two labels share a bar: by the class
that came, as in every report. What the venue said is judged step by step.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from bot4jax.learn.dataset import record_bars
from bot4jax.learn.labels import is_measurable, is_tradable, outcomes
from bot4jax.learn.metrics import sample_log_loss
from bot4jax.modes.phases import LEAST_PROBABILITY
from bot4jax.modes.setting import Setting
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.orders import Answer
from bot4jax.runtime.stepped import Stepped
from bot4jax.runtime.tracking import OrderState, Tracked
from bot4jax.types import CLASSES


class Window:
    """The bars from a decision to the end of its horizon, one window after the other.

    Neither a gap nor new terms of an instrument lie within one.
    """

    def __init__(self, horizon: int) -> None:
        self._steps = deque[Stepped](maxlen=horizon + 1)

    def add(self, stepped: Stepped) -> Sequence[Stepped]:
        """One bar more; the whole window once it ends, else nothing."""
        steps, closed = self._steps, stepped.closed
        if steps and closed.bar != steps[-1].closed.bar + 1:
            steps.clear()
        steps.append(stepped)
        full = tuple(steps) if len(steps) == steps.maxlen else ()
        if full or closed.terms is not None:
            steps.clear()
        if full and closed.terms is None:
            steps.append(stepped)
        return full


def of_forecasts(
    setting: Setting,
    threshold: float,
    window: Sequence[Stepped],
    before: Int[np.ndarray, " C"],
) -> tuple[Mapping[str, float], Int[np.ndarray, " C"]]:
    """The decision that a window begins with against its labels, and their classes.

    `before`: how often each class has come so far; who always says that is who the
    ensemble is compared with. Nothing where no symbol could be judged.
    """
    labels, counted = labelled(setting, threshold, window)
    came = np.bincount(labels[counted], minlength=len(CLASSES))
    if not counted.any():
        return {}, came
    said = window[0].decided.probability[counted].astype(np.float64)
    said = np.where(np.isfinite(said), said, 0.0)  # what is no number was no help
    prior = np.broadcast_to((before + 1) / (before + 1).sum(), said.shape)
    happened = labels[counted]
    is_right = said.argmax(-1) == happened
    values = {
        "log_loss": loss(said, happened) - loss(prior, happened),
        "calibration": float((said.max(-1) - is_right).mean()),
    }
    return values, came


def labelled(
    setting: Setting, threshold: float, window: Sequence[Stepped]
) -> tuple[Int[np.ndarray, " S"], np.ndarray]:
    """The classes of a window's first decision, and which of them count."""
    horizon = setting.settings.layout.horizon
    bars = ((one.closed.ints, one.closed.floats) for one in window)
    record = record_bars(window[0].closed.bar, bars)
    entry, close = record.price("mid_entry"), record.price("mid_close")
    scale = np.broadcast_to(np.asarray(window[0].volatility), close.shape)
    returns, classes = outcomes(
        entry, close, scale, threshold, horizon, setting.settings.has_barriers
    )
    counted = is_measurable(returns, scale)
    counted &= is_tradable(record.live(), horizon, record.settled())
    return classes[0], counted[0]


def loss(said: Float[np.ndarray, "N C"], happened: Int[np.ndarray, " N"]) -> float:
    """Mean log loss, of probabilities that are never less than the least one."""
    return float(sample_log_loss(np.maximum(said, LEAST_PROBABILITY), happened).mean())


def of_orders(
    answers: Iterable[Answer], orders: Mapping[str, Tracked]
) -> Mapping[str, float]:
    """Shares of the orders that a step's answers ended: how many were rejected, and
    how much of the others' lots did not trade."""
    names = dict.fromkeys(one.order for one in answers)
    ended = [orders[name] for name in names if name in orders]
    ended = [one for one in ended if not one.is_open]
    taken = [one for one in ended if one.state is not OrderState.REJECTED]
    found = {}
    if ended:
        found["rejected"] = 1 - len(taken) / len(ended)
    if taken:
        asked = sum(one.order.lots for one in taken)
        found["unfilled"] = 1 - sum(one.filled for one in taken) / asked
    return found


def of_fills(before: EquityRow, now: EquityRow) -> Mapping[str, float]:
    """How far what traded between two boundaries lay from the mids at decision."""
    turnover = now.turnover - before.turnover
    if not turnover > 0:
        return {}
    bps = (now.slippage - before.slippage) / turnover * 1e4
    return {"slippage_bps": bps} if np.isfinite(bps) else {}
