"""Indicators by TA-Lib, one series at a time, and by NumPy for whole arrays.

Prices are the relative path plus one: every indicator here is unchanged when all prices
are multiplied, and the newest close then is 1.
"""

from typing import Any

import numpy as np
import talib

from benchmarks.peers.peer import one_by_one, peer

library: Any = talib  # its stubs know no defaults


@one_by_one("talib", "rsi_14")
def rsi(close_path):
    return library.RSI(1 + close_path, 14)[-1]


@one_by_one("talib", "macd", "macd_histogram")
def macd(close_path):
    line, _, histogram = library.MACD(1 + close_path, 12, 26, 9)
    return line[-1], histogram[-1]


@one_by_one("talib", "ema_ratio")
def ema_ratio(close_path):
    price = 1 + close_path
    return library.EMA(price, 12)[-1] / library.EMA(price, 26)[-1] - 1


@one_by_one("talib", "sma_distance_50")
def sma_distance(close_path):
    return 1 / library.SMA(1 + close_path, 50)[-1] - 1


@one_by_one("talib", "bollinger_position", "bollinger_width")
def bollinger(close_path):
    upper, middle, lower = (
        band[-1] for band in library.BBANDS(1 + close_path, 20, 2, 2)
    )
    return (1 - lower) / (upper - lower), (upper - lower) / middle


@one_by_one("talib", "average_true_range_14")
def true_range(high_path, low_path, close_path):
    return library.ATR(1 + high_path, 1 + low_path, 1 + close_path, 14)[-1]


@one_by_one("talib", "stochastic_d_14")
def stochastic_d(high_path, low_path, close_path):
    prices = 1 + high_path, 1 + low_path, 1 + close_path
    return library.STOCHF(*prices, 14, 3)[1][-1]


@one_by_one("talib", "williams_r_28")
def williams(high_path, low_path, close_path):
    return library.WILLR(1 + high_path, 1 + low_path, 1 + close_path, 28)[-1]


@one_by_one("talib", "commodity_channel_index_20")
def channel_index(high_price, low_price, close_price):
    return library.CCI(high_price, low_price, close_price, 20)[-1]


@one_by_one("talib", "money_flow_index_14")
def money_flow(high_price, low_price, close_price, volume):
    # TA-Lib takes a turnover below 1 for none
    return library.MFI(high_price, low_price, close_price, 1e6 * volume, 14)[-1]


@one_by_one("talib", "chaikin_money_flow_20")
def chaikin(high_price, low_price, close_price, volume):
    return library.AD(high_price, low_price, close_price, volume)[-1] / volume.sum()


@one_by_one("talib", "aroon_oscillator_25")
def aroon(high_path, low_path):
    return library.AROONOSC(high_path, low_path, 25)[-1]


@one_by_one("talib", "average_directional_index_14")
def directional_index(high_price, low_price, close_price):
    return library.ADX(high_price, low_price, close_price, 14)[-1]


@one_by_one("talib", "directional_difference_14")
def directional_difference(high_price, low_price, close_price):
    prices = high_price, low_price, close_price
    return library.PLUS_DI(*prices, 14)[-1] - library.MINUS_DI(*prices, 14)[-1]


@one_by_one("talib", "adaptive_average_distance")
def adaptive_average(close_price):
    return close_price[-1] / library.KAMA(close_price, 10)[-1] - 1


@peer("numpy", "chaikin_money_flow_20")
def chaikin_of_arrays(close_location, volume):
    return (close_location * volume).sum(1) / volume.sum(1)


@peer("numpy", "commodity_channel_index_20")
def channel_index_of_arrays(high_path, low_path, close_path):
    typical = (high_path + low_path + close_path) / 3
    apart = typical - typical.mean(1, keepdims=True)
    return apart[:, -1] / (0.015 * np.abs(apart).mean(1))


@peer("numpy", "money_flow_index_14")
def money_flow_of_arrays(money_flow):
    last = money_flow[:, -14:]
    return 100 * np.maximum(last, 0).sum(1) / np.abs(last).sum(1)


@peer("numpy", "on_balance_volume_slope_20")
def balance_slope(log_return, volume):
    signed = np.sign(log_return[:, 1:]) * volume[:, 1:]
    balance = np.cumsum(np.pad(signed, ((0, 0), (1, 0))), axis=1)
    time = np.arange(balance.shape[1]) - (balance.shape[1] - 1) / 2
    return balance @ time / (time @ time) / volume[:, 1:].mean(1)


@peer("numpy", "aroon_oscillator_25")
def aroon_of_arrays(high_path, low_path):
    since_high = high_path[:, ::-1].argmax(1)
    since_low = low_path[:, ::-1].argmin(1)
    return 100 * (since_low - since_high) / (high_path.shape[1] - 1)


@peer("numpy", "sma_distance_50")
def mean_distance(close_path):
    return 1 / (1 + close_path.mean(1)) - 1


@peer("numpy", "twap_deviation")
def twap(close_path):
    return 1 / (1 + close_path.mean(1)) - 1


@peer("numpy", "vwap_deviation")
def vwap(close_path, vwap_deviation, volume):
    price = (1 + close_path) * (1 + vwap_deviation)
    return volume.sum(1) / (price * volume).sum(1) - 1


@peer("numpy", "bollinger_position", "bollinger_width")
def bands(close_path):
    middle, reach = close_path.mean(1), 2 * close_path.std(1)
    return (close_path[:, -1] - middle + reach) / (2 * reach), 2 * reach / (1 + middle)


def _place(high_path, low_path, close_path):
    low = low_path.min(1)
    return (close_path[:, -1] - low) / (high_path.max(1) - low)


@peer("numpy", "stochastic_k_14")
def stochastic_k(high_path, low_path, close_path):
    return 100 * _place(high_path, low_path, close_path)


@peer("numpy", "williams_r_28")
def williams_of_arrays(high_path, low_path, close_path):
    return 100 * _place(high_path, low_path, close_path) - 100


@peer("numpy", "donchian_position")
def donchian(high_path, low_path, close_path):
    return _place(high_path, low_path, close_path)


PEERS = [
    rsi,
    macd,
    ema_ratio,
    sma_distance,
    bollinger,
    true_range,
    stochastic_d,
    williams,
    mean_distance,
    twap,
    vwap,
    bands,
    stochastic_k,
    williams_of_arrays,
    donchian,
    channel_index,
    money_flow,
    chaikin,
    aroon,
    directional_index,
    directional_difference,
    adaptive_average,
    chaikin_of_arrays,
    channel_index_of_arrays,
    money_flow_of_arrays,
    balance_slope,
    aroon_of_arrays,
]
