"""Fractal dimensions by antropy; fluctuations box by box from the papers."""

import antropy
import numpy as np

from tests.oracles.oracle import Oracle

FLAT = "a price that stands still: the value of a straight line by definition"
SCALES = (4, 8, 16, 32, 64)


def _slope(x, y):
    return np.polynomial.Polynomial.fit(x, y, 1).convert().coef[1]


def _fluctuation(log_return, scale):
    """Root mean square of the profile about lines by least squares, box by box."""
    profile = np.cumsum(log_return - log_return.mean())
    design = np.stack([np.ones(scale), np.arange(scale)], 1)
    squares = 0.0
    for start in range(0, len(profile), scale):
        squares += np.linalg.lstsq(design, profile[start : start + scale])[1].item()
    return np.sqrt(squares / len(profile))


def _dfa(log_return):
    if not log_return.any():
        return np.nan
    found = [_fluctuation(log_return, scale) for scale in SCALES]
    return _slope(np.log(SCALES), np.log(found))


def _crossover(log_return):
    if not log_return.any():
        return np.nan
    found = np.log([_fluctuation(log_return, scale) for scale in SCALES])
    sizes = np.log(SCALES)
    return _slope(sizes[:3], found[:3]) / _slope(sizes[2:], found[2:])


def _hurst(close_path):
    level, spans = np.log1p(close_path), np.array([1, 2, 4, 8, 16])
    if not level.any():
        return np.nan
    ends = range(16, len(level))
    moments = [np.mean([(level[t] - level[t - k]) ** 2 for t in ends]) for k in spans]
    return _slope(np.log2(spans), np.log2(moments)) / 2


def _higuchi(close_path):
    level = np.log1p(close_path)
    return antropy.higuchi_fd(level[8:], kmax=8) if level[7:].any() else np.nan


def _katz(close_path):
    return antropy.katz_fd(close_path) if close_path.any() else np.nan


def _petrosian(standardised_return):
    return antropy.petrosian_fd(np.cumsum([0.0, *standardised_return]))


ORACLES = {
    "detrended_fluctuation": Oracle(_dfa, "NumPy's least squares", FLAT),
    "fluctuation_crossover": Oracle(_crossover, "NumPy's least squares", FLAT),
    "generalised_hurst": Oracle(_hurst, "Di Matteo et al. (2005)", FLAT),
    "higuchi_dimension": Oracle(
        _higuchi,
        "antropy, whose steps of each phase start within the window: up to k fewer",
        FLAT,
        0.03,
    ),
    "katz_dimension": Oracle(_katz, "antropy", FLAT),
    "petrosian_dimension": Oracle(_petrosian, "antropy"),
}
