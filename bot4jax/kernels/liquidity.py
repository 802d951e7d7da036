"""What it costs to trade: spreads, depth, and how little volume moves a price.

Spreads are relative to the price, volumes in median bar volumes, notionals in those of
a median bar volume at the anchor, returns in the training data's standard deviations.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bot4jax.kernels.moments import covariance, mean
from bot4jax.kernels.tolerances import SPREAD
from bot4jax.numerics import safe_divide, safe_log, safe_root
from bot4jax.registry import Additive, Scalar, Terms, feature

microstructure = partial(feature, category="microstructure")

Window = Float[np.ndarray, " W"]

SMALLEST_DEPTH = 1e-6
"""Median bar volumes that an empty book counts for in `log_depth`."""

WIDEST = 0.999
"""Half a spread over the mid at most: a bid is worth something."""

HUANG_STOLL = "Huang & Stoll (1996), Dealer versus Auction Markets"
DEMSETZ = "Demsetz (1968), The Cost of Transacting"


def ratio(numerator: float, denominator: float) -> float:
    """A quotient of sums, 0 where there is nothing to divide by."""
    return float(numerator / denominator) if denominator else 0.0


def per_trade(total: Window, trades: Window) -> float:
    """A sum over trades divided by their number, 0 where there were none."""
    return ratio(total.sum(), trades.sum())


class Illiquidity(Additive):
    """Absolute returns and what was paid, shared by the ratios of the two."""

    @staticmethod
    def terms(standardised_return: Scalar, notional: Scalar) -> Terms:
        size = jnp.abs(standardised_return)
        traded = (notional > 0).astype(notional.dtype)
        return size, notional, safe_divide(size, notional), traded


@microstructure(
    window=64,
    unit="σ of training per notional of a median bar volume at the anchor",
    low=0.0,
    high=1e4,
    source="Amihud (2002), Illiquidity and Stock Returns",
)
class Amihud(Illiquidity):
    """Mean absolute return over notional, of the bars that traded; 0 if none did."""

    @staticmethod
    def finish(
        size: Scalar, notional: Scalar, each: Scalar, traded: Scalar, count: Scalar
    ) -> Scalar:
        return safe_divide(each, traded)

    @staticmethod
    def reference(standardised_return: Window, notional: Window) -> float:
        size, traded = np.abs(standardised_return), notional > 0
        return float((size[traded] / notional[traded]).mean()) if traded.any() else 0.0


@microstructure(
    window=64,
    unit="log (notionals of a median bar volume at the anchor per σ of training)",
    low=-20.0,
    high=20.0,
    source="Cooper, Groth & Avera (1985), Liquidity, Exchange Listing, and Common "
    "Stock Performance",
)
class LogLiquidityRatio(Illiquidity):
    """Log of the notional traded per absolute return; 1 is added to both sums.

    The one keeps still and untraded windows finite: their ratio is neutral.
    """

    @staticmethod
    def finish(
        size: Scalar, notional: Scalar, each: Scalar, traded: Scalar, count: Scalar
    ) -> Scalar:
        return jnp.log1p(notional) - jnp.log1p(size)

    @staticmethod
    def reference(standardised_return: Window, notional: Window) -> float:
        size = np.abs(standardised_return).sum()
        return float(np.log((1 + notional.sum()) / (1 + size)))


@microstructure(
    unit="relative price",
    low=0.0,
    high=1.0,
    source="Roll (1984), A Simple Implicit Measure of the Effective Bid-Ask Spread",
    tolerance=SPREAD,
)
class RollSpread(Additive):
    """Spread that bouncing trade prices imply; 0 where they do not bounce.

    Twice the root of minus the covariance of consecutive returns of trade prices,
    about their means. Bars without a trade are passed over: zeros in their place would
    make the spread of a thinly traded symbol vanish.
    """

    @staticmethod
    def terms(
        trade_return: Scalar, earlier_trade_return: Scalar, trade_pair: Scalar
    ) -> Terms:
        now, earlier = trade_return * trade_pair, earlier_trade_return
        return now, earlier, now * earlier, trade_pair

    @staticmethod
    def finish(
        x: Scalar, y: Scalar, xy: Scalar, pairs: Scalar, count: Scalar
    ) -> Scalar:
        return 2 * safe_root(-covariance(x, y, xy, pairs))

    @staticmethod
    def reference(
        trade_return: Window, earlier_trade_return: Window, trade_pair: Window
    ) -> float:
        pairs = trade_pair > 0
        if not pairs.any():
            return 0.0
        x, y = trade_return[pairs], earlier_trade_return[pairs]
        shared = ((x - x.mean()) * (y - y.mean())).mean()
        return float(2 * np.sqrt(max(-shared, 0.0)))


@microstructure(
    window=64,
    unit="relative price",
    low=-1.0,
    high=1.0,
    source=HUANG_STOLL,
    tolerance=SPREAD,
)
class EffectiveSpread(Additive):
    """Mean of twice the signed distance of a trade from the mid that stood before it.

    Before it by the exchange's time, of all that arrived in its bar: in many feeds
    trades lag behind the quotes that they caused. The mean is over trades whose
    aggressor is known; 0 where there were none.
    """

    @staticmethod
    def terms(effective_spread: Scalar, sided_count: Scalar) -> Terms:
        return effective_spread, sided_count

    @staticmethod
    def finish(spread: Scalar, trades: Scalar, count: Scalar) -> Scalar:
        return safe_divide(spread, trades)

    @staticmethod
    def reference(effective_spread: Window, sided_count: Window) -> float:
        return per_trade(effective_spread, sided_count)


@microstructure(
    window=64,
    unit="relative price",
    low=-1.0,
    high=1.0,
    source=HUANG_STOLL,
    tolerance=SPREAD,
)
class RealisedSpread(Additive):
    """Mean of twice the signed distance of a trade from the mid a bar later.

    The mean is over the trades of the bars before; 0 where there were none.
    """

    @staticmethod
    def terms(realised_spread: Scalar, earlier_sided_count: Scalar) -> Terms:
        return realised_spread, earlier_sided_count

    @staticmethod
    def finish(spread: Scalar, trades: Scalar, count: Scalar) -> Scalar:
        return safe_divide(spread, trades)

    @staticmethod
    def reference(realised_spread: Window, earlier_sided_count: Window) -> float:
        return per_trade(realised_spread, earlier_sided_count)


@microstructure(
    window=64,
    unit="relative price",
    low=-1.0,
    high=1.0,
    source=HUANG_STOLL,
    tolerance=SPREAD,
)
class PriceImpact(Additive):
    """Effective less realised spread: how far the mid followed the trades."""

    @staticmethod
    def terms(price_impact: Scalar, earlier_sided_count: Scalar) -> Terms:
        return price_impact, earlier_sided_count

    @staticmethod
    def finish(impact: Scalar, trades: Scalar, count: Scalar) -> Scalar:
        return safe_divide(impact, trades)

    @staticmethod
    def reference(price_impact: Window, earlier_sided_count: Window) -> float:
        return per_trade(price_impact, earlier_sided_count)


@microstructure(
    window=64,
    unit="relative price",
    low=0.0,
    high=1.0,
    source=DEMSETZ,
    tolerance=SPREAD,
)
class RelativeSpread(Additive):
    """Mean of the quoted spread at the bars' closes, over the mid."""

    @staticmethod
    def terms(relative_spread: Scalar) -> Terms:
        return (relative_spread,)

    @staticmethod
    def finish(spread: Scalar, count: Scalar) -> Scalar:
        return mean(spread, count)

    @staticmethod
    def reference(relative_spread: Window) -> float:
        return float(relative_spread.mean())


@microstructure(
    window=64,
    unit="log price per log size",
    low=-1.0,
    high=1e3,
    source="Hasbrouck & Seppi (2001), Common Factors in Prices, Order Flows, and "
    "Liquidity",
    tolerance=SPREAD,
)
class LogQuoteSlope(Additive):
    """Mean log of ask over bid, over the mean summed log sizes at both.

    The paper takes the mean of each moment's ratio; this ratio of means is not ruled by
    moments at which hardly anything is offered. Sizes are in median bar volumes, plus
    1, so that a thin queue does not turn the sign; 0 where all queues are empty, since
    then nothing is offered at any price.
    """

    @staticmethod
    def terms(relative_spread: Scalar, bid_size: Scalar, ask_size: Scalar) -> Terms:
        half = jnp.clip(relative_spread / 2, -WIDEST, WIDEST)
        width = jnp.log1p(half) - jnp.log1p(-half)
        return width, jnp.log1p(bid_size) + jnp.log1p(ask_size)

    @staticmethod
    def finish(width: Scalar, size: Scalar, count: Scalar) -> Scalar:
        return safe_divide(width, size)

    @staticmethod
    def reference(relative_spread: Window, bid_size: Window, ask_size: Window) -> float:
        half = np.clip(relative_spread / 2, -WIDEST, WIDEST)
        size = np.log1p(bid_size) + np.log1p(ask_size)
        return ratio(np.log((1 + half) / (1 - half)).sum(), size.sum())


@microstructure(
    window=64,
    unit="log median bar volumes",
    low=-14.0,
    high=20.0,
    source="Goyenko, Holden & Trzcinka (2009), Do Liquidity Measures Measure "
    "Liquidity?",
)
class LogDepth(Additive):
    """Log of the mean size at the best bid and ask; an empty book counts as 10⁻⁶."""

    @staticmethod
    def terms(bid_size: Scalar, ask_size: Scalar) -> Terms:
        return ((bid_size + ask_size) / 2,)

    @staticmethod
    def finish(depth: Scalar, count: Scalar) -> Scalar:
        return safe_log(mean(depth, count), SMALLEST_DEPTH)

    @staticmethod
    def reference(bid_size: Window, ask_size: Window) -> float:
        return float(np.log(max((bid_size + ask_size).mean() / 2, SMALLEST_DEPTH)))
