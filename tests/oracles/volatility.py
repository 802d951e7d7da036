"""Volatility and its states, bar by bar from the papers."""

import math
import statistics
from itertools import pairwise

import numpy as np

from tests.oracles.oracle import Oracle

FLAT = "no volatility: neutral by definition"


def _blocks(z, bars):
    """Root mean squares of consecutive blocks of bars, the newest last."""
    ends = range(len(z), 0, -bars)
    return [math.hypot(*z[end - bars : end]) / math.sqrt(bars) for end in ends][::-1]


def _ratio(standardised_return):
    long = _blocks(standardised_return, len(standardised_return))[0]
    return _blocks(standardised_return, 16)[-1] / long if long else np.nan


def _of_volatility(standardised_return):
    blocks = _blocks(standardised_return, 16)
    middle = statistics.fmean(blocks)
    return statistics.pstdev(blocks) / middle if middle else np.nan


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
    "volatility_ratio": Oracle(_ratio, "Müller et al. (1997)", FLAT),
    "volatility_of_volatility": Oracle(_of_volatility, "Corsi et al. (2008)", FLAT),
    "parkinson": Oracle(_parkinson, "Parkinson (1980)"),
    "garman_klass": Oracle(_garman_klass, "Garman & Klass (1980)"),
    "jump_share": Oracle(_jumps, "Barndorff-Nielsen & Shephard (2004)", FLAT),
}
