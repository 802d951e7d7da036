"""Indicators by TA-Lib, on prices made from the relative path."""

from typing import Any

import numpy as np
import talib
from scipy import stats

from tests.oracles.oracle import Oracle

library: Any = talib  # its stubs know no defaults

PRICE = 1000.0
FLAT = "a range of zero: the middle by definition, where TA-Lib has 0 or NaN"
STILL = "a price that never moved: 0 by definition"
IDLE = "no volume: 0 by definition"
RELATIVE = "divided by the close, since TA-Lib's value is in units of price"


def _price(path):
    return PRICE * (1 + path)


def _still(path):
    return not path.any()


def _rsi(close_price):
    if np.ptp(close_price) == 0:
        return np.nan
    return library.RSI(close_price, 14)[-1]


def _macd(part):
    def value(close_path):
        return library.MACD(_price(close_path), 12, 26, 9)[part][-1] / PRICE

    return value


def _ema_ratio(close_path):
    price = _price(close_path)
    return library.EMA(price, 12)[-1] / library.EMA(price, 26)[-1] - 1


def _sma(close_path):
    return PRICE / library.SMA(_price(close_path), 50)[-1] - 1


def _bands(close_path):
    return [band[-1] for band in library.BBANDS(_price(close_path), 20, 2, 2)]


def _bollinger_position(close_path):
    if _still(close_path):
        return np.nan
    upper, _, lower = _bands(close_path)
    return (PRICE - lower) / (upper - lower)


def _bollinger_width(close_path):
    upper, middle, lower = _bands(close_path)
    return (upper - lower) / middle


def _atr(high_path, low_path, close_path):
    prices = [_price(path) for path in (high_path, low_path, close_path)]
    return library.ATR(*prices, 14)[-1] / PRICE


def _fast_stochastic(bars, part):
    def value(high_path, low_path, close_path):
        for end in range(bars, len(high_path) + 1):
            own = slice(end - bars, end)
            if high_path[own].max() == low_path[own].min():
                return np.nan
        prices = [_price(path) for path in (high_path, low_path, close_path)]
        return library.STOCHF(*prices, bars, 3)[part][-1]

    return value


def _stochastic_k(high_path, low_path, close_path):
    """TA-Lib wants enough bars for %D too; two more in front leave %K alone."""
    pad = [np.concatenate([path[:1]] * 2 + [path]) for path in (high_path, low_path)]
    close = np.concatenate([close_path[:1]] * 2 + [close_path])
    return _fast_stochastic(14, 0)(pad[0], pad[1], close)


def _donchian(high_path, low_path, close_path):
    top = library.MAX(_price(high_path), 55)[-1]
    bottom = library.MIN(_price(low_path), 55)[-1]
    return (PRICE - bottom) / (top - bottom) if top > bottom else np.nan


def _williams(high_path, low_path, close_path):
    if high_path.max() == low_path.min():
        return np.nan
    prices = [_price(path) for path in (high_path, low_path, close_path)]
    return library.WILLR(*prices, 28)[-1]


def _directional(high_price, low_price, close_price):
    prices = high_price, low_price, close_price
    if np.ptp(high_price) == 0:
        return np.nan
    return library.PLUS_DI(*prices, 14)[-1] - library.MINUS_DI(*prices, 14)[-1]


def _adx(high_price, low_price, close_price):
    if np.ptp(high_price) == 0:
        return np.nan
    return library.ADX(high_price, low_price, close_price, 14)[-1]


def _aroon(high_price, low_price):
    return library.AROONOSC(high_price, low_price, 25)[-1]


def _kama(close_price):
    """Ten still bars before the first, as the feature takes it, then TA-Lib's own."""
    padded = np.append(np.full(11, close_price[0]), close_price)
    return close_price[-1] / library.KAMA(padded, 10)[-1] - 1


def _cci(high_price, low_price, close_price):
    return library.CCI(high_price, low_price, close_price, 20)[-1]


def _mfi(high_price, low_price, close_price, volume):
    """Volumes a million times as large: TA-Lib takes a turnover below 1 for none."""
    value = library.MFI(high_price, low_price, close_price, 1e6 * volume, 14)[-1]
    moved = np.diff(high_price + low_price + close_price) * volume[1:]
    return value if moved.any() else np.nan


def _balance_slope(close_price, volume):
    if not volume[1:].any():
        return np.nan
    balance = library.OBV(close_price, volume)
    return stats.linregress(np.arange(20), balance)[0] / volume[1:].mean()


def _chaikin(high_price, low_price, close_price, volume):
    if not volume.any():
        return np.nan
    line = library.AD(high_price, low_price, close_price, volume)
    return line[-1] / volume.sum()


ORACLES = {
    "rsi_14": Oracle(_rsi, "TA-Lib", FLAT),
    "macd": Oracle(_macd(0), f"TA-Lib, {RELATIVE}"),
    "macd_histogram": Oracle(_macd(2), f"TA-Lib, {RELATIVE}"),
    "ema_ratio": Oracle(_ema_ratio, "TA-Lib"),
    "sma_distance_50": Oracle(_sma, "TA-Lib"),
    "bollinger_position": Oracle(_bollinger_position, "TA-Lib", FLAT),
    "bollinger_width": Oracle(_bollinger_width, "TA-Lib"),
    "average_true_range_14": Oracle(_atr, f"TA-Lib, {RELATIVE}"),
    "stochastic_k_14": Oracle(_stochastic_k, "TA-Lib", FLAT),
    "stochastic_d_14": Oracle(_fast_stochastic(14, 1), "TA-Lib", FLAT),
    "williams_r_28": Oracle(_williams, "TA-Lib", FLAT),
    "donchian_position": Oracle(_donchian, "TA-Lib", FLAT),
    "directional_difference_14": Oracle(_directional, "TA-Lib", STILL),
    "average_directional_index_14": Oracle(_adx, "TA-Lib", STILL),
    "aroon_oscillator_25": Oracle(_aroon, "TA-Lib"),
    "adaptive_average_distance": Oracle(_kama, "TA-Lib"),
    "commodity_channel_index_20": Oracle(_cci, "TA-Lib"),
    "money_flow_index_14": Oracle(_mfi, "TA-Lib", "no turnover: 50 by definition"),
    "on_balance_volume_slope_20": Oracle(
        _balance_slope, "TA-Lib's balance, SciPy's slope", IDLE
    ),
    "chaikin_money_flow_20": Oracle(_chaikin, "TA-Lib's line over the volume", IDLE),
}
