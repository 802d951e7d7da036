"""Fractal dimensions by antropy; fluctuations box by box from the papers."""

import itertools
import math

import antropy
import numpy as np
from scipy import special

from tests.oracles.oracle import Oracle

FLAT = "a price that stands still: the value of a straight line by definition"
SCALES = (4, 8, 16, 32, 64)


def _slope(x, y):
    return np.polynomial.Polynomial.fit(x, y, 1).deriv()(0.0)


def _fluctuation(log_return, scale):
    """Root mean square of the profile about lines by least squares, box by box."""
    profile = np.cumsum(log_return - log_return.mean())
    design = np.stack([np.ones(scale), np.arange(scale)], 1)
    squares = 0.0
    for start in range(0, len(profile), scale):
        squares += np.linalg.lstsq(design, profile[start : start + scale])[1].item()
    return np.sqrt(squares / len(profile))


def _walk(scale):
    """Root mean square that independent returns have about a line, matrix by matrix."""
    design = np.stack([np.ones(scale), np.arange(scale)], 1)
    missed = np.eye(scale) - design @ np.linalg.pinv(design)
    return np.sqrt(((missed @ np.tril(np.ones((scale, scale)))) ** 2).sum() / scale)


def _excess(log_return):
    """Kantelhardt's modified fluctuation of each scale, but for a constant; logs."""
    over = [_fluctuation(log_return, s) / _walk(s) * np.sqrt(s) for s in SCALES]
    return np.log(over)


def _dfa(log_return):
    if not log_return.any():
        return np.nan
    return _slope(np.log(SCALES), _excess(log_return))


def _crossover(log_return):
    if not log_return.any():
        return np.nan
    found, sizes = _excess(log_return), np.log(SCALES)
    return _slope(sizes[:3], found[:3]) / _slope(sizes[2:], found[2:])


def _hurst(close_path):
    level, spans = np.log1p(close_path), np.array([1, 2, 4, 8, 16])
    if not level.any():
        return np.nan
    ends = range(16, len(level))
    moments = [np.mean([(level[t] - level[t - k]) ** 2 for t in ends]) for k in spans]
    return _slope(np.log2(spans), np.log2(moments)) / 2


def _rescaled_range(returns):
    """Hurst's range over deviation, from running sums about the mean."""
    total, sums = 0.0, [0.0]
    for move in returns:
        total += move - np.mean(returns)
        sums.append(total)
    return (max(sums) - min(sums)) / np.std(returns)


def _by_chance(n):
    """Anis and Lloyd's expectation for n independent normal values."""
    total = sum(np.sqrt((n - i) / i) for i in range(1, n))
    return special.gamma((n - 1) / 2) / special.gamma(n / 2) / np.sqrt(np.pi) * total


def _persistence(standardised_return):
    if not standardised_return.any():
        return np.nan
    lengths, logs = [], []
    for size in (8, 16, 32, 64):
        starts = range(0, len(standardised_return), size)
        boxes = [standardised_return[start : start + size] for start in starts]
        ranges = [_rescaled_range(box) for box in boxes if np.ptp(box) > 0]
        lengths.append(np.log10(size))
        logs.append(np.log10(np.mean(ranges) / _by_chance(size)))
    return 0.5 + _slope(lengths, logs)


def _lyapunov(standardised_return):
    """Rosenstein's method; pairs are sought in 64 bars before and followed for four."""
    steps = [max(-1000, min(1000, round(42.5 * z))) for z in standardised_return]
    states = {t: steps[t - 2 : t + 1] for t in range(2, len(steps))}
    logs = {k: [] for k in range(5)}
    for t in range(len(steps) - 68, len(steps)):
        apart = {j: math.dist(states[t], states[j]) for j in range(t - 3, t - 65, -1)}
        others = {j: distance for j, distance in apart.items() if distance > 0}
        if not others:
            continue
        twin = min(others, key=others.__getitem__)
        for k in range(5):
            if len(steps) - 64 <= t + k < len(steps):
                distance = math.dist(states[t + k], states[twin + k])
                logs[k] += [math.log(distance)] if distance else []
    if not all(logs.values()):
        return np.nan
    return _slope(range(5), [np.mean(logs[k]) for k in range(5)])


def higuchi_length(x, k):
    """L(k) of Higuchi's equation 2: his L_m(k), meant over the phases m = 1 … k."""
    n, found = len(x), []
    for m in range(1, k + 1):
        steps = (n - m) // k
        ends = [x[m - 1 + i * k] for i in range(steps + 1)]
        walked = math.fsum(abs(b - a) for a, b in itertools.pairwise(ends))
        found.append(walked * (n - 1) / (steps * k) / k)
    return math.fsum(found) / k


def _higuchi(close_path):
    """Each length from 256 + k closes, so all are scaled to a curve of 256 steps."""
    level = np.log1p(close_path)
    if not level[7:].any():
        return np.nan
    steps, bars = (1, 2, 4, 8), len(level) - 8
    scaled = [higuchi_length(level[8 - k :], k) * bars / (bars + k - 1) for k in steps]
    return -_slope(np.log(steps), np.log(scaled))


def _katz(close_path):
    return antropy.katz_fd(close_path) if close_path.any() else np.nan


def _petrosian(standardised_return):
    return antropy.petrosian_fd(np.cumsum([0.0, *standardised_return]))


ORACLES = {
    "detrended_fluctuation": Oracle(_dfa, "NumPy's least squares", FLAT),
    "fluctuation_crossover": Oracle(_crossover, "NumPy's least squares", FLAT),
    "generalised_hurst": Oracle(_hurst, "Di Matteo et al. (2005)", FLAT),
    "hurst_exponent": Oracle(_persistence, "Anis & Lloyd (1976)", FLAT),
    "lyapunov_exponent": Oracle(
        _lyapunov, "Rosenstein et al. (1993)", "all states are equal: 0 by definition"
    ),
    "higuchi_dimension": Oracle(
        _higuchi, "Higuchi (1988), phase by phase; his lengths are antropy's", FLAT
    ),
    "katz_dimension": Oracle(_katz, "antropy", FLAT),
    "petrosian_dimension": Oracle(_petrosian, "antropy"),
}
