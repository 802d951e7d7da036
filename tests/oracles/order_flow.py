"""Queues and their lives, bar by bar from the papers."""

import math

from tests.oracles.oracle import Oracle


def _imbalance(bids, asks):
    each = [
        (b - a) / (b + a) if b + a else 0.0 for b, a in zip(bids, asks, strict=True)
    ]
    return math.fsum(each) / len(each)


def _integrated(integrated_flow, bid_depth_5, ask_depth_5):
    depths = [(b + a) / 10 for b, a in zip(bid_depth_5, ask_depth_5, strict=True)]
    total = math.fsum(depths)
    return len(depths) * math.fsum(integrated_flow) / total if total else 0.0


def _depth_5(bid_depth_5, ask_depth_5):
    return _imbalance(bid_depth_5, ask_depth_5)


def _depth_10(bid_depth_10, ask_depth_10):
    return _imbalance(bid_depth_10, ask_depth_10)


def _burst(inferred_cancels, bid_size, ask_size):
    depth = math.fsum(bid_size) + math.fsum(ask_size)
    return math.fsum(inferred_cancels) / depth if depth else 0.0


def _orders_to_trades(quote_updates, trade_count):
    return math.log((math.fsum(quote_updates) + 1) / (math.fsum(trade_count) + 1))


def _momentum(log_return, microprice_offset):
    """The microprice now and sixteen bars ago, both as prices."""
    mid, prices = 1.0, []
    for move, offset in zip(log_return, microprice_offset, strict=True):
        mid *= math.exp(move)
        prices.append(mid * (1 + offset))
    return math.log(prices[-1] / prices[-17])


def _lifetime(best_changes):
    return math.log((2 * len(best_changes) + 1) / (math.fsum(best_changes) + 1))


def _narrow(time_at_minimum_spread):
    return math.fsum(time_at_minimum_spread) / len(time_at_minimum_spread)


ORACLES = {
    "multi_level_order_flow_imbalance": Oracle(
        _integrated, "Cont, Cucuringu & Zhang (2023)"
    ),
    "depth_imbalance_5": Oracle(_depth_5, "Cao, Hansch & Wang (2009)"),
    "depth_imbalance_10": Oracle(_depth_10, "Cao, Hansch & Wang (2009)"),
    "inferred_cancel_burst": Oracle(_burst, "Hasbrouck & Saar (2009)"),
    "inferred_order_to_trade_ratio": Oracle(
        _orders_to_trades, "Hendershott, Jones & Menkveld (2011)"
    ),
    "microprice_momentum": Oracle(_momentum, "Stoikov (2018)"),
    "top_of_book_lifetime": Oracle(_lifetime, "Hasbrouck & Saar (2009)"),
    "time_at_minimum_spread": Oracle(_narrow, "Foucault, Kadan & Kandel (2005)"),
    "queue_age": Oracle(
        lambda best_lifetime: math.log(1 + best_lifetime[-1]), "Gould et al. (2013)"
    ),
}
