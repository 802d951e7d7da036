"""What the queues do: how deep they are, how they age, and how they empty."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bot4jax.kernels.history import BOOK_LEVELS
from bot4jax.kernels.moments import mean
from bot4jax.kernels.tolerances import CANCELLING, PRICE_AND_MORE
from bot4jax.numerics import log_growth, safe_divide
from bot4jax.registry import Additive, Incremental, Scalar, Terms, feature

order_flow = partial(feature, category="order flow")

Window = Float[np.ndarray, " W"]

CAO = "Cao, Hansch & Wang (2009), The Information Content of an Open Limit-Order Book"
HASBROUCK_SAAR = "Hasbrouck & Saar (2009), Technology and Liquidity Provision"

MOMENTUM = 16
"""Bars over which the microprice's return is taken."""


def imbalance(bid: Scalar, ask: Scalar) -> Scalar:
    """Bid less ask over the sum of both; 0 where both are empty."""
    return safe_divide(bid - ask, bid + ask)


def mean_imbalance(bid: Window, ask: Window) -> float:
    both = bid + ask
    return float(
        np.where(both > 0, (bid - ask) / np.where(both > 0, both, 1), 0).mean()
    )


@order_flow(
    window=64,
    unit="1 (flow over depth)",
    low=-1e4,
    high=1e4,
    source="Cont, Cucuringu & Zhang (2023), Cross-Impact of Order Flow Imbalance in "
    "Equity Markets",
    tolerance=CANCELLING,
)
class MultiLevelOrderFlowImbalance(Additive):
    """Order flow of five book levels in one, over the mean depth of a level.

    The levels are weighted by their first principal component in the training data,
    frozen with the units (column `integrated_flow`).
    """

    @staticmethod
    def terms(
        integrated_flow: Scalar, bid_depth_5: Scalar, ask_depth_5: Scalar
    ) -> Terms:
        return integrated_flow, (bid_depth_5 + ask_depth_5) / (2 * BOOK_LEVELS)

    @staticmethod
    def finish(flow: Scalar, depth: Scalar, count: Scalar) -> Scalar:
        return safe_divide(flow, mean(depth, count))

    @staticmethod
    def reference(
        integrated_flow: Window, bid_depth_5: Window, ask_depth_5: Window
    ) -> float:
        depth = (bid_depth_5 + ask_depth_5).mean() / (2 * BOOK_LEVELS)
        return float(integrated_flow.sum() / depth) if depth else 0.0


@order_flow(window=16, unit="1", low=-1.0, high=1.0, source=CAO)
class DepthImbalance5(Additive):
    """Mean of (bid − ask) / (bid + ask) of the depth on five levels."""

    @staticmethod
    def terms(bid_depth_5: Scalar, ask_depth_5: Scalar) -> Terms:
        return (imbalance(bid_depth_5, ask_depth_5),)

    @staticmethod
    def finish(total: Scalar, count: Scalar) -> Scalar:
        return mean(total, count)

    @staticmethod
    def reference(bid_depth_5: Window, ask_depth_5: Window) -> float:
        return mean_imbalance(bid_depth_5, ask_depth_5)


@order_flow(window=16, unit="1", low=-1.0, high=1.0, source=CAO)
class DepthImbalance10(Additive):
    """Mean of (bid − ask) / (bid + ask) of the depth on ten levels."""

    @staticmethod
    def terms(bid_depth_10: Scalar, ask_depth_10: Scalar) -> Terms:
        return (imbalance(bid_depth_10, ask_depth_10),)

    @staticmethod
    def finish(total: Scalar, count: Scalar) -> Scalar:
        return mean(total, count)

    @staticmethod
    def reference(bid_depth_10: Window, ask_depth_10: Window) -> float:
        return mean_imbalance(bid_depth_10, ask_depth_10)


@order_flow(
    window=16, unit="best depths per bar", low=0.0, high=1e4, source=HASBROUCK_SAAR
)
class InferredCancelBurst(Additive):
    """Size that left the best queues untraded, per bar, over the mean best depth.

    Inferred: what left the queues less what was traded, since feeds of quotes do not
    tell a cancel from a fill. Sixteen bars, so that a burst stands out.
    """

    @staticmethod
    def terms(inferred_cancels: Scalar, bid_size: Scalar, ask_size: Scalar) -> Terms:
        return inferred_cancels, bid_size + ask_size

    @staticmethod
    def finish(cancels: Scalar, depth: Scalar, count: Scalar) -> Scalar:
        return safe_divide(cancels, depth)

    @staticmethod
    def reference(
        inferred_cancels: Window, bid_size: Window, ask_size: Window
    ) -> float:
        depth = (bid_size + ask_size).mean()
        return float(inferred_cancels.mean() / depth) if depth else 0.0


@order_flow(
    window=64,
    unit="log (quote updates per trade)",
    low=-20.0,
    high=20.0,
    source="Hendershott, Jones & Menkveld (2011), Does Algorithmic Trading Improve "
    "Liquidity?",
)
class InferredOrderToTradeRatio(Additive):
    """Log of the changes of the best quotes per trade; 1 is added to both counts."""

    @staticmethod
    def terms(quote_updates: Scalar, trade_count: Scalar) -> Terms:
        return quote_updates, trade_count

    @staticmethod
    def finish(quotes: Scalar, trades: Scalar, count: Scalar) -> Scalar:
        return jnp.log1p(quotes) - jnp.log1p(trades)

    @staticmethod
    def reference(quote_updates: Window, trade_count: Window) -> float:
        return float(np.log((1 + quote_updates.sum()) / (1 + trade_count.sum())))


@order_flow(
    window=MOMENTUM + 1,
    unit="relative price",
    low=-1.0,
    high=1.0,
    source="Stoikov (2018), The Micro-Price: A High-Frequency Estimator of Future "
    "Prices",
    tolerance=PRICE_AND_MORE,
)
class MicropriceMomentum(Incremental):
    """Return over sixteen bars of the microprice, the size-weighted mid.

    The state holds the last microprices relative to the newest mid: small numbers,
    which move along with every return.
    """

    @staticmethod
    def init() -> Float[Array, " K"]:
        return jnp.zeros(MOMENTUM + 1, jnp.float32)

    @staticmethod
    def update(
        state: Float[Array, " K"], log_return: Scalar, microprice_offset: Scalar
    ) -> tuple[Float[Array, " K"], Scalar]:
        newest = log_growth(microprice_offset)
        state = jnp.concatenate([state[1:] - log_return, newest[None]])
        return state, state[-1] - state[0]

    @staticmethod
    def reference(log_return: Window, microprice_offset: Window) -> float:
        level = np.cumsum(log_return) + np.log1p(microprice_offset)
        return float(level[-1] - level[0])


@order_flow(window=64, unit="log bars", low=-20.0, high=20.0, source=HASBROUCK_SAAR)
class TopOfBookLifetime(Additive):
    """Log of the bars that a best price lasts: bars over changes, 1 added to both.

    Two sides have a best price each, so that there are twice as many lives as bars.
    """

    @staticmethod
    def terms(best_changes: Scalar) -> Terms:
        return (best_changes,)

    @staticmethod
    def finish(changes: Scalar, count: Scalar) -> Scalar:
        return jnp.log1p(2 * count) - jnp.log1p(changes)

    @staticmethod
    def reference(best_changes: Window) -> float:
        return float(np.log((1 + 2 * len(best_changes)) / (1 + best_changes.sum())))


@order_flow(
    window=64,
    unit="share of time",
    low=0.0,
    high=1.0,
    source="Foucault, Kadan & Kandel (2005), Limit Order Book as a Market for "
    "Liquidity",
)
class TimeAtMinimumSpread(Additive):
    """Share of the time with the best prices one increment apart."""

    @staticmethod
    def terms(time_at_minimum_spread: Scalar) -> Terms:
        return (time_at_minimum_spread,)

    @staticmethod
    def finish(share: Scalar, count: Scalar) -> Scalar:
        return mean(share, count)

    @staticmethod
    def reference(time_at_minimum_spread: Window) -> float:
        return float(time_at_minimum_spread.mean())


@order_flow(
    window=1,
    unit="log bars",
    low=0.0,
    high=20.0,
    source="Gould et al. (2013), Limit Order Books",
)
class QueueAge(Incremental):
    """Log of one plus the age of the older best price, at the bar's close."""

    @staticmethod
    def init() -> tuple[()]:
        return ()

    @staticmethod
    def update(state: tuple[()], best_lifetime: Scalar) -> tuple[tuple[()], Scalar]:
        return state, jnp.log1p(best_lifetime)

    @staticmethod
    def reference(best_lifetime: Window) -> float:
        return float(np.log1p(best_lifetime[-1]))
