"""Costs, pressure and noise of trading, bar by bar from the papers, slopes by SciPy."""

import math

import numpy as np
from scipy import stats

from tests.oracles.oracle import Oracle

STILL = "a regressor that never varies: 0 by definition"


def _slope(x, y):
    return stats.linregress(x, y)[0] if np.ptp(x) > 0 else np.nan


def _kyle(standardised_return, signed_volume):
    return _slope(signed_volume, standardised_return)


def _hasbrouck(standardised_return, signed_root_notional):
    return _slope(signed_root_notional, standardised_return)


def _dollars(close_price, vwap_deviation, volume):
    """Volume at what it cost, bar by bar: increments times median bar volumes."""
    columns = zip(close_price, vwap_deviation, volume, strict=True)
    return [price * (1 + over) * lots for price, over, lots in columns]


def _amihud(standardised_return, close_price, vwap_deviation, volume, anchor):
    """Absolute returns over dollars, of the days with a trade."""
    dollars = _dollars(close_price, vwap_deviation, volume)
    pairs = zip(standardised_return, dollars, anchor, strict=True)
    each = [abs(z) * unit / paid for z, paid, unit in pairs if paid > 0]
    return math.fsum(each) / len(each) if each else 0.0


def _liquidity(standardised_return, close_price, vwap_deviation, volume, anchor):
    """Dollars over absolute returns, the Amivest ratio."""
    dollars = _dollars(close_price, vwap_deviation, volume)
    paid = math.fsum(d / unit for d, unit in zip(dollars, anchor, strict=True))
    moved = math.fsum(abs(z) for z in standardised_return)
    return math.log(1 + paid) - math.log(1 + moved)


def _roll(trade_return, earlier_trade_return, trade_pair):
    if not trade_pair.any():
        return 0.0
    columns = np.stack([trade_return, earlier_trade_return])
    covariance = np.cov(columns, aweights=trade_pair, ddof=0)[0, 1]
    return 2 * math.sqrt(-covariance) if covariance < 0 else 0.0


def _effective(effective_spread, sided_count):
    trades = math.fsum(sided_count)
    return math.fsum(effective_spread) / trades if trades else 0.0


def _realised(realised_spread, earlier_sided_count):
    trades = math.fsum(earlier_sided_count)
    return math.fsum(realised_spread) / trades if trades else 0.0


def _impact(price_impact, earlier_sided_count):
    trades = math.fsum(earlier_sided_count)
    return math.fsum(price_impact) / trades if trades else 0.0


def _flow(flow, bid_size, ask_size):
    depth = [(b + a) / 2 for b, a in zip(bid_size, ask_size, strict=True)]
    total = math.fsum(depth)
    return len(depth) * math.fsum(flow) / total if total else 0.0


def _volume_imbalance(buy_volume, sell_volume):
    buys, sells = math.fsum(buy_volume), math.fsum(sell_volume)
    return (buys - sells) / (buys + sells) if buys + sells else 0.0


def _count_imbalance(signed_count, sided_count):
    trades = math.fsum(sided_count)
    return math.fsum(signed_count) / trades if trades else 0.0


def _size_imbalance(bid_size, ask_size):
    each = [
        (b - a) / (b + a) if b + a else 0.0
        for b, a in zip(bid_size, ask_size, strict=True)
    ]
    return math.fsum(each) / len(each)


def _depth(bid_size, ask_size):
    mean = (math.fsum(bid_size) + math.fsum(ask_size)) / 2 / len(bid_size)
    return math.log(mean) if mean else math.log(1e-6)


def _twap(close_path):
    prices = [1 + x for x in close_path]
    average = math.fsum(prices) / len(prices)
    return (prices[-1] - average) / average


def _vwap(close_price, vwap_deviation, volume):
    """From what was paid in all: increments of price times volume."""
    paid = math.fsum(close_price * (1 + vwap_deviation) * volume)
    return close_price[-1] * math.fsum(volume) / paid - 1 if paid else 0.0


def _noise(squared_return_fast, trade_count):
    trades = math.fsum(trade_count)
    return math.fsum(squared_return_fast) / 2 / trades if trades else 0.0


def _signal(squared_return_fast, squared_return_slow, trade_count):
    """Both scales know one return a trade, so n̄ is n / 5."""
    fast, slow = math.fsum(squared_return_fast), math.fsum(squared_return_slow)
    n, grids = math.fsum(trade_count), 5
    if fast == 0:
        return 0.0
    small = n / grids
    variance = (slow - small / n * fast) * n / (n - small) / len(trade_count)
    return variance / _noise(squared_return_fast, trade_count)


def _quote_slope(relative_spread, bid_size, ask_size):
    """From prices: a mid of 1, the bid half a spread below, the ask half above.

    A ratio of means, where the paper takes the mean of each moment's ratio.
    """
    bids, asks = 1 - relative_spread / 2, 1 + relative_spread / 2
    width = math.fsum(math.log(a / b) for a, b in zip(asks, bids, strict=True))
    sizes = zip(bid_size, ask_size, strict=True)
    size = math.fsum(math.log(1 + b) + math.log(1 + a) for b, a in sizes)
    return width / size if size else 0.0


def _vpin(classified_volume, volume):
    """By running totals: flow up to each multiple of a bucket, and what lies between.

    Both totals run on straight lines within a bar, which is what splitting it means.
    """
    held = np.minimum(volume, 4.0 * 50)
    share = np.divide(classified_volume, volume, out=0 * volume, where=volume > 0)
    total = np.append(0, np.cumsum(held))
    flow = np.append(0, np.cumsum(share * held))
    edges = np.arange(0, total[-1] + 4.0 * 2.0**-13, 4.0)
    between = np.abs(np.diff(np.interp(edges, total, flow))) / 4.0
    return between[-50:].mean() if between.size else 0.0


ORACLES = {
    "kyle_lambda": Oracle(_kyle, "SciPy", STILL),
    "hasbrouck_lambda": Oracle(_hasbrouck, "SciPy", STILL),
    "amihud": Oracle(_amihud, "Amihud (2002)"),
    "log_liquidity_ratio": Oracle(_liquidity, "Cooper, Groth & Avera (1985)"),
    "roll_spread": Oracle(_roll, "NumPy's covariance, Roll (1984)"),
    "effective_spread": Oracle(_effective, "Huang & Stoll (1996)"),
    "realised_spread": Oracle(_realised, "Huang & Stoll (1996)"),
    "price_impact": Oracle(_impact, "Huang & Stoll (1996)"),
    "relative_spread": Oracle(
        lambda relative_spread: math.fsum(relative_spread) / len(relative_spread),
        "Demsetz (1968)",
    ),
    "log_quote_slope": Oracle(
        _quote_slope, "Hasbrouck & Seppi (2001), as a ratio of means"
    ),
    "vpin": Oracle(_vpin, "Easley, López de Prado & O'Hara (2012), by interpolation"),
    "log_depth": Oracle(_depth, "Goyenko, Holden & Trzcinka (2009)"),
    "order_flow_imbalance": Oracle(_flow, "Cont, Kukanov & Stoikov (2014)"),
    "volume_imbalance": Oracle(
        _volume_imbalance, "Chordia, Roll & Subrahmanyam (2002)"
    ),
    "trade_count_imbalance": Oracle(_count_imbalance, "Chordia & Subrahmanyam (2004)"),
    "top_size_imbalance": Oracle(
        _size_imbalance, "Cartea, Donnelly & Jaimungal (2018)"
    ),
    "twap_deviation": Oracle(_twap, "Perold (1988)"),
    "vwap_deviation": Oracle(_vwap, "Berkowitz, Logue & Noser (1988)"),
    "noise_variance": Oracle(_noise, "Zhang, Mykland & Aït-Sahalia (2005)"),
    "signal_to_noise": Oracle(_signal, "Zhang, Mykland & Aït-Sahalia (2005)"),
}
