"""hftbacktest's answer to probe orders, for an interpreter that has it.

`python hftbacktest_peer.py IN.npz OUT.npz`: market events and probes come in, each
probe's traded lots and their time go out. Newer ones than 2.4.2 need an older
NumPy than bot4jax, hence a process of its own; nothing of bot4jax is imported here.

Orders fill whole here: they have one lot, and the exchange model with partial fills of
version 2.4.4 gives up on this stream with its code 14, an invalid order status.
"""

import sys
from typing import Any

import numpy as np
from hftbacktest import (  # pyright: ignore[reportMissingImports]
    GTX,
    LIMIT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.types import event_dtype  # pyright: ignore[reportMissingImports]
from numba import njit  # pyright: ignore[reportMissingImports]


@njit
def probed(hbt, at_ns, is_buy, price, life_ns, filled, filled_ns):
    """One probe after the other: each rests for its life, then is taken back."""
    for k in range(len(at_ns)):
        if hbt.elapse(at_ns[k] - hbt.current_timestamp) != 0:
            return
        name = k + 1
        if is_buy[k]:
            hbt.submit_buy_order(0, name, price[k], 1.0, GTX, LIMIT, False)
        else:
            hbt.submit_sell_order(0, name, price[k], 1.0, GTX, LIMIT, False)
        if hbt.elapse(life_ns) != 0:
            return
        order = hbt.orders(0).get(name)
        if order is None:
            continue
        filled[k] = order.qty - order.leaves_qty
        filled_ns[k] = order.exch_timestamp
        if order.cancellable:
            hbt.cancel(0, name, False)
        hbt.elapse(1)
        hbt.clear_inactive_orders(0)


def main(source, target):
    given = np.load(source)
    events: Any = np.zeros(len(given["ev"]), event_dtype)
    for name in ("ev", "px", "qty"):
        events[name] = given[name]
    events["exch_ts"] = events["local_ts"] = given["ns"]
    asset = (
        BacktestAsset()
        .data(events)
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(1.0)
        .lot_size(1.0)
    )
    power = float(given["power"])
    asset = (
        asset.power_prob_queue_model(power)
        if power
        else asset.risk_adverse_queue_model()
    )
    hbt = HashMapMarketDepthBacktest([asset])
    count = len(given["at_ns"])
    filled, filled_ns = np.zeros(count), np.zeros(count, np.int64)
    probed(
        hbt,
        given["at_ns"],
        given["is_buy"],
        given["price"].astype(np.float64),
        int(given["life_ns"]),
        filled,
        filled_ns,
    )
    np.savez(target, filled=filled, filled_ns=filled_ns)


if __name__ == "__main__":
    main(*sys.argv[1:])
