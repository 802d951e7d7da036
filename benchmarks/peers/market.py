"""Spreads, flows, queues and the market model: sums over windows by NumPy."""

import numpy as np

from benchmarks.peers.peer import Peer, one_by_one, peer


def _mean_of(name: str) -> Peer:
    """Features that are the mean of a column of their own name."""

    def values(column):
        return column.mean(1)

    return Peer("numpy", (name,), values, (COLUMN_OF.get(name, name),))


COLUMN_OF = {"rank_of_return": "return_rank", "rank_of_volume": "volume_rank"}
MEANS = (
    "relative_spread",
    "time_at_minimum_spread",
    "rank_of_return",
    "rank_of_volume",
    "dispersion",
)


def _per_trade(name: str, trades: str) -> Peer:
    def values(total, number):
        return total.sum(1) / number.sum(1)

    return Peer("numpy", (name,), values, (name, trades))


def _slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x = x - x.mean(1, keepdims=True)
    return (x * y).sum(1) / (x * x).sum(1)


def _imbalance(bid: np.ndarray, ask: np.ndarray) -> np.ndarray:
    both = bid + ask
    return ((bid - ask) / np.where(both > 0, both, np.inf)).mean(1)


@peer("numpy", "kyle_lambda")
def kyle(standardised_return, signed_volume):
    return _slope(signed_volume, standardised_return)


@peer("numpy", "hasbrouck_lambda")
def hasbrouck(standardised_return, signed_root_notional):
    return _slope(signed_root_notional, standardised_return)


@peer("numpy", "amihud")
def amihud(standardised_return, notional):
    traded = notional > 0
    each = np.abs(standardised_return) / np.where(traded, notional, np.inf)
    return each.sum(1) / traded.sum(1)


@peer("numpy", "log_liquidity_ratio")
def liquidity(standardised_return, notional):
    return np.log((1 + notional.sum(1)) / (1 + np.abs(standardised_return).sum(1)))


@peer("numpy", "roll_spread")
def roll(trade_return, earlier_trade_return, trade_pair):
    pairs, now = trade_pair.sum(1), trade_return * trade_pair
    means = now.sum(1) / pairs, earlier_trade_return.sum(1) / pairs
    shared = (now * earlier_trade_return).sum(1) / pairs - means[0] * means[1]
    return 2 * np.sqrt(np.maximum(-shared, 0))


@peer("numpy", "log_quote_slope")
def quote_slope(relative_spread, bid_size, ask_size):
    half = relative_spread / 2
    size = np.log1p(bid_size) + np.log1p(ask_size)
    return (2 * np.arctanh(half)).sum(1) / size.sum(1)


@peer("numpy", "multi_level_order_flow_imbalance")
def integrated_flow(integrated_flow, bid_depth_5, ask_depth_5):
    return integrated_flow.sum(1) * 10 / (bid_depth_5 + ask_depth_5).mean(1)


@peer("numpy", "log_depth")
def depth(bid_size, ask_size):
    return np.log((bid_size + ask_size).mean(1) / 2)


@peer("numpy", "order_flow_imbalance")
def flow_imbalance(flow, bid_size, ask_size):
    return flow.sum(1) / ((bid_size + ask_size) / 2).mean(1)


@peer("numpy", "volume_imbalance")
def volume_imbalance(buy_volume, sell_volume):
    return (buy_volume - sell_volume).sum(1) / (buy_volume + sell_volume).sum(1)


@peer("numpy", "trade_count_imbalance")
def count_imbalance(signed_count, sided_count):
    return signed_count.sum(1) / sided_count.sum(1)


@peer("numpy", "top_size_imbalance")
def size_imbalance(bid_size, ask_size):
    return _imbalance(bid_size, ask_size)


@peer("numpy", "depth_imbalance_5")
def depth_imbalance_5(bid_depth_5, ask_depth_5):
    return _imbalance(bid_depth_5, ask_depth_5)


@peer("numpy", "depth_imbalance_10")
def depth_imbalance_10(bid_depth_10, ask_depth_10):
    return _imbalance(bid_depth_10, ask_depth_10)


@peer("numpy", "noise_variance")
def noise(squared_return_fast, trade_count):
    return squared_return_fast.sum(1) / (2 * trade_count.sum(1))


@peer("numpy", "signal_to_noise")
def signal_to_noise(squared_return_fast, squared_return_slow, trade_count):
    fast, slow = squared_return_fast.sum(1), squared_return_slow.sum(1)
    efficient = (slow - fast / 5) / (1 - 1 / 5)  # five interleaved grids
    return efficient / trade_count.shape[1] / (fast / (2 * trade_count.sum(1)))


@peer("numpy", "queue_age")
def queue_age(best_lifetime):
    return np.log1p(best_lifetime[:, -1])


@peer("numpy", "inferred_cancel_burst")
def cancels(inferred_cancels, bid_size, ask_size):
    return inferred_cancels.mean(1) / (bid_size + ask_size).mean(1)


@peer("numpy", "inferred_order_to_trade_ratio")
def orders_to_trades(quote_updates, trade_count):
    return np.log((1 + quote_updates.sum(1)) / (1 + trade_count.sum(1)))


@peer("numpy", "microprice_momentum")
def momentum(log_return, microprice_offset):
    moved = log_return[:, 1:].sum(1)
    return (
        moved + np.log1p(microprice_offset[:, -1]) - np.log1p(microprice_offset[:, 0])
    )


@peer("numpy", "top_of_book_lifetime")
def lifetime(best_changes):
    return np.log((1 + 2 * best_changes.shape[1]) / (1 + best_changes.sum(1)))


@peer("numpy", "parkinson")
def parkinson(standardised_range):
    return np.sqrt((standardised_range**2).mean(1) / (4 * np.log(2)))


@peer("numpy", "garman_klass")
def garman_klass(standardised_range, standardised_body):
    drift = 2 * np.log(2) - 1
    squares = 0.5 * standardised_range**2 - drift * standardised_body**2
    return np.sqrt(np.maximum(squares.mean(1), 0))


@peer("numpy", "market_beta", "market_correlation", "residual_return")
def market_model(log_return, market_return):
    beta = _slope(market_return, log_return)
    own, market = log_return.std(1), market_return.std(1)
    unexplained = log_return.mean(1) - beta * market_return.mean(1)
    return beta, beta * market / own, unexplained / own


@one_by_one("numpy", "vpin")
def vpin(classified_volume, volume):
    buckets = np.minimum(volume / 4, 50)
    leaning = np.divide(
        classified_volume, volume, out=np.zeros_like(volume), where=volume > 0
    )
    filled = np.append(0.0, np.cumsum(buckets))
    net = np.append(0.0, np.cumsum(leaning * buckets))
    edges = np.arange(np.floor(filled[-1] + 2**-13) + 1)[-51:]
    return np.abs(np.diff(np.interp(edges, filled, net))).mean()


PEERS = [
    *map(_mean_of, MEANS),
    _per_trade("effective_spread", "sided_count"),
    _per_trade("realised_spread", "earlier_sided_count"),
    _per_trade("price_impact", "earlier_sided_count"),
    kyle,
    hasbrouck,
    amihud,
    liquidity,
    roll,
    quote_slope,
    integrated_flow,
    depth,
    flow_imbalance,
    volume_imbalance,
    count_imbalance,
    size_imbalance,
    depth_imbalance_5,
    depth_imbalance_10,
    noise,
    signal_to_noise,
    queue_age,
    cancels,
    orders_to_trades,
    momentum,
    lifetime,
    parkinson,
    garman_klass,
    market_model,
    vpin,
]
