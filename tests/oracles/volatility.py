"""Volatility and its states by pandas and from the papers."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd

from tests.oracles.oracle import Oracle

FLAT = "no volatility: neutral by definition"


def _ratio(standardised_return):
    squares = pd.Series(standardised_return).pow(2)
    long = squares.rolling(len(squares)).mean().iloc[-1]
    short = squares.rolling(16).mean().iloc[-1]
    return math.sqrt(short / long) if long else np.nan


def _of_volatility(standardised_return):
    squares = pd.Series(standardised_return).pow(2)
    blocks = squares.groupby(np.arange(len(squares)) // 16).sum().pow(0.5)
    return blocks.std(ddof=0) / blocks.mean() if blocks.any() else np.nan


def _parkinson(standardised_range):
    squares = [x * x for x in standardised_range]
    return math.sqrt(math.fsum(squares) / (4 * len(squares) * math.log(2)))


def _garman_klass(standardised_range, standardised_body):
    bars = zip(standardised_range, standardised_body, strict=True)
    each = [u * u / 2 - (2 * math.log(2) - 1) * c * c for u, c in bars]
    return math.sqrt(max(math.fsum(each) / len(each), 0))


def _jumps(standardised_return):
    squares = math.fsum(z * z for z in standardised_return[1:])
    pairs = pairwise(np.abs(standardised_return))
    # The mean absolute value of a standard normal variable is √(2/π).
    bipower = math.fsum(a * b for a, b in pairs) / math.sqrt(2 / math.pi) ** 2
    return max(1 - bipower / squares, 0) if squares else np.nan


ORACLES = {
    "volatility_ratio": Oracle(_ratio, "pandas", FLAT),
    "volatility_of_volatility": Oracle(_of_volatility, "pandas", FLAT),
    "parkinson": Oracle(_parkinson, "Parkinson (1980)"),
    "garman_klass": Oracle(_garman_klass, "Garman & Klass (1980)"),
    "jump_share": Oracle(_jumps, "Barndorff-Nielsen & Shephard (2004)", FLAT),
}
