"""Who pushes the price, how far it follows, and how much of its motion is noise.

Sums over trades and quotes come from the bars, where every event was counted when it
arrived. Volumes are in median bar volumes, returns in the training data's standard
deviations.
"""

from functools import partial

import numpy as np
from jaxtyping import Array, Float

from bot4jax.kernels.bars import GRID
from bot4jax.kernels.liquidity import ratio
from bot4jax.kernels.moments import least_squares, mean, slope
from bot4jax.kernels.tolerances import NOISE, PRICE_AND_MORE
from bot4jax.numerics import safe_divide
from bot4jax.registry import Additive, Scalar, Terms, Windowed, feature

microstructure = partial(feature, category="microstructure")

Window = Float[np.ndarray, " W"]

ZHANG = "Zhang, Mykland & Aït-Sahalia (2005), A Tale of Two Time Scales"


@microstructure(
    window=64,
    unit="σ of training per median bar volume",
    low=-1000.0,
    high=1000.0,
    source="Kyle (1985), Continuous Auctions and Insider Trading",
)
class KyleLambda(Additive):
    """Slope of returns on the signed volume of the same bar; 0 without any.

    A variance of at most 10⁻⁵ of the mean square counts as none.
    """

    @staticmethod
    def terms(standardised_return: Scalar, signed_volume: Scalar) -> Terms:
        z, v = standardised_return, signed_volume
        return v, v**2, z, z * v

    @staticmethod
    def finish(v: Scalar, vv: Scalar, z: Scalar, zv: Scalar, count: Scalar) -> Scalar:
        return slope(v, vv, z, zv, count)

    @staticmethod
    def reference(standardised_return: Window, signed_volume: Window) -> float:
        return least_squares(signed_volume, standardised_return)


@microstructure(
    window=64,
    unit="σ of training per root of a median bar volume's notional at the anchor",
    low=-1000.0,
    high=1000.0,
    source="Hasbrouck (2009), Trading Costs and Returns for U.S. Equities",
)
class HasbrouckLambda(Additive):
    """Slope of returns on the signed root notional of the same bar; 0 without any.

    A variance of at most 10⁻⁵ of the mean square counts as none.
    """

    @staticmethod
    def terms(standardised_return: Scalar, signed_root_notional: Scalar) -> Terms:
        z, q = standardised_return, signed_root_notional
        return q, q**2, z, z * q

    @staticmethod
    def finish(q: Scalar, qq: Scalar, z: Scalar, zq: Scalar, count: Scalar) -> Scalar:
        return slope(q, qq, z, zq, count)

    @staticmethod
    def reference(standardised_return: Window, signed_root_notional: Window) -> float:
        return least_squares(signed_root_notional, standardised_return)


@microstructure(
    window=64,
    unit="1 (flow over depth)",
    low=-1e4,
    high=1e4,
    source="Cont, Kukanov & Stoikov (2014), The Price Impact of Order Book Events",
)
class OrderFlowImbalance(Additive):
    """Net size added at the best bid minus at the best ask, over the mean best depth.

    `flow` is accumulated per quote event while the bar is open: differencing the
    bars' closing quotes instead loses what came and went in between.
    """

    @staticmethod
    def terms(flow: Scalar, bid_size: Scalar, ask_size: Scalar) -> Terms:
        return flow, (bid_size + ask_size) / 2

    @staticmethod
    def finish(flow: Scalar, depth: Scalar, count: Scalar) -> Scalar:
        return safe_divide(flow, mean(depth, count))

    @staticmethod
    def reference(flow: Window, bid_size: Window, ask_size: Window) -> float:
        return ratio(flow.sum(), ((bid_size + ask_size) / 2).mean())


@microstructure(
    window=64,
    unit="1",
    low=-1.0,
    high=1.0,
    source="Chordia, Roll & Subrahmanyam (2002), Order Imbalance, Liquidity, and "
    "Market Returns",
)
class VolumeImbalance(Additive):
    """Buyers' less sellers' volume over the sum of both; 0 without any."""

    @staticmethod
    def terms(buy_volume: Scalar, sell_volume: Scalar) -> Terms:
        return buy_volume, sell_volume

    @staticmethod
    def finish(buys: Scalar, sells: Scalar, count: Scalar) -> Scalar:
        return safe_divide(buys - sells, buys + sells)

    @staticmethod
    def reference(buy_volume: Window, sell_volume: Window) -> float:
        net = (buy_volume - sell_volume).sum()
        return ratio(net, (buy_volume + sell_volume).sum())


@microstructure(
    window=64,
    unit="1",
    low=-1.0,
    high=1.0,
    source="Chordia & Subrahmanyam (2004), Order Imbalance and Individual Stock "
    "Returns",
)
class TradeCountImbalance(Additive):
    """Buyers' less sellers' trades over the sum of both; 0 without any."""

    @staticmethod
    def terms(signed_count: Scalar, sided_count: Scalar) -> Terms:
        return signed_count, sided_count

    @staticmethod
    def finish(net: Scalar, trades: Scalar, count: Scalar) -> Scalar:
        return safe_divide(net, trades)

    @staticmethod
    def reference(signed_count: Window, sided_count: Window) -> float:
        return ratio(signed_count.sum(), sided_count.sum())


@microstructure(
    window=16,
    unit="1",
    low=-1.0,
    high=1.0,
    source="Cartea, Donnelly & Jaimungal (2018), Enhancing Trading Strategies with "
    "Order Book Signals",
)
class TopSizeImbalance(Additive):
    """Mean of (bid − ask) / (bid + ask) of the sizes at the best prices."""

    @staticmethod
    def terms(bid_size: Scalar, ask_size: Scalar) -> Terms:
        return (safe_divide(bid_size - ask_size, bid_size + ask_size),)

    @staticmethod
    def finish(total: Scalar, count: Scalar) -> Scalar:
        return mean(total, count)

    @staticmethod
    def reference(bid_size: Window, ask_size: Window) -> float:
        both = bid_size + ask_size
        each = (bid_size - ask_size) / np.where(both > 0, both, np.inf)
        return float(each.mean())


@microstructure(
    window=64,
    unit="relative price",
    low=-1.0,
    high=1.0,
    source="Perold (1988), The Implementation Shortfall: Paper versus Reality",
    tolerance=PRICE_AND_MORE,
)
class TwapDeviation(Windowed):
    """Newest close over the mean close of the window, less one."""

    @staticmethod
    def value(close_path: Float[Array, " W"]) -> Scalar:
        average = close_path.mean()
        return -average / (1 + average)

    @staticmethod
    def reference(close_path: Window) -> float:
        return float(1 / (1 + close_path).mean() - 1)


@microstructure(
    window=64,
    unit="relative price",
    low=-1.0,
    high=1.0,
    source="Berkowitz, Logue & Noser (1988), The Total Cost of Transactions on the "
    "NYSE",
    tolerance=PRICE_AND_MORE,
)
class VwapDeviation(Windowed):
    """Newest close over the mean price of all that was traded, less one; 0 without.

    Every trade counts with its own price and size. Where a source has only bars, a
    bar's volume counts at its typical price, as trading platforms do.
    """

    @staticmethod
    def value(
        close_path: Float[Array, " W"],
        vwap_deviation: Float[Array, " W"],
        volume: Float[Array, " W"],
    ) -> Scalar:
        price = close_path + (1 + close_path) * vwap_deviation
        average = safe_divide((price * volume).sum(), volume.sum())
        return -average / (1 + average)

    @staticmethod
    def reference(close_path: Window, vwap_deviation: Window, volume: Window) -> float:
        price = (1 + close_path) * (1 + vwap_deviation)
        average = np.average(price, weights=volume) if volume.any() else 1.0
        return float(1 / average - 1)


@microstructure(unit="σ² of training", low=0.0, high=1e6, source=ZHANG, tolerance=NOISE)
class NoiseVariance(Additive):
    """Variance of what separates trade prices from the efficient price.

    Half the mean squared return from trade to trade; 0 where nothing was traded.
    """

    @staticmethod
    def terms(squared_return_fast: Scalar, trade_count: Scalar) -> Terms:
        return squared_return_fast, trade_count

    @staticmethod
    def finish(fast: Scalar, trades: Scalar, count: Scalar) -> Scalar:
        return safe_divide(fast, 2 * trades)

    @staticmethod
    def reference(squared_return_fast: Window, trade_count: Window) -> float:
        return ratio(squared_return_fast.sum(), 2 * trade_count.sum())


@microstructure(unit="1", low=-1e6, high=1e6, source=ZHANG)
class SignalToNoise(Additive):
    """Two-scales realised variance of a bar over the variance of the noise.

    The slow scale's variance less the fast one's times n̄ / n corrects for the noise,
    division by 1 − n̄ / n for small samples. n̄ / n is one over `GRID`: the slow returns
    reach back before the window, so every trade ends one of each scale. 0 where trade
    prices never moved.
    """

    @staticmethod
    def terms(
        squared_return_fast: Scalar, squared_return_slow: Scalar, trade_count: Scalar
    ) -> Terms:
        return squared_return_fast, squared_return_slow, trade_count

    @staticmethod
    def finish(fast: Scalar, slow: Scalar, trades: Scalar, count: Scalar) -> Scalar:
        efficient = mean((slow - fast / GRID) / (1 - 1 / GRID), count)
        return safe_divide(efficient, safe_divide(fast, 2 * trades))

    @staticmethod
    def reference(
        squared_return_fast: Window, squared_return_slow: Window, trade_count: Window
    ) -> float:
        fast, slow = squared_return_fast.sum(), squared_return_slow.sum()
        efficient = (slow - fast / GRID) / (1 - 1 / GRID) / len(trade_count)
        return ratio(efficient, ratio(fast, 2 * trade_count.sum()))
