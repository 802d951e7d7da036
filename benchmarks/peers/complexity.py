"""Entropies and fractal dimensions by antropy, and by NumPy for whole arrays."""

import antropy
import numpy as np
from scipy import special, stats

from benchmarks.peers.peer import Values, one_by_one, peer

TERCILES = stats.norm.ppf([1 / 3, 2 / 3])
OCTILES = stats.norm.ppf(np.arange(1, 8) / 8)


@one_by_one("antropy", "permutation_entropy_3")
def permutation(standardised_return):
    return antropy.perm_entropy(standardised_return, order=3, normalize=True)


@one_by_one("antropy", "permutation_entropy_5")
def permutation_of_five(standardised_return):
    return antropy.perm_entropy(standardised_return, order=5, normalize=True)


def _steps(standardised_return):
    """Returns on the frozen grid; antropy's bound is one that matches stay under."""
    return np.rint(42.5 * standardised_return)


@one_by_one("antropy", "sample_entropy")
def sample_entropy(standardised_return):
    return antropy.sample_entropy(_steps(standardised_return), order=2, tolerance=8.5)


@one_by_one("antropy", "approximate_entropy")
def approximate_entropy(standardised_return):
    return antropy.app_entropy(_steps(standardised_return), order=2, tolerance=8.5)


@one_by_one("antropy", "svd_entropy")
def svd(standardised_return):
    return antropy.svd_entropy(standardised_return, order=3, normalize=True)


@one_by_one("antropy", "katz_dimension")
def katz(close_path):
    return antropy.katz_fd(close_path)


@one_by_one("antropy", "petrosian_dimension")
def petrosian(standardised_return):
    return antropy.petrosian_fd(np.cumsum(np.append(0.0, standardised_return)))


@one_by_one("antropy", "lempel_ziv_complexity")
def lempel_ziv(standardised_return):
    bars = len(standardised_return)
    words = antropy.lziv_complexity((standardised_return < 0).astype(int))
    return words * np.log2(bars) / bars


@peer("numpy", "katz_dimension")
def katz_of_arrays(close_path):
    length = np.abs(np.diff(close_path, axis=1)).sum(1)
    reach = np.abs(close_path - close_path[:, :1]).max(1)
    steps = np.log(close_path.shape[1] - 1)
    return steps / (steps + np.log(reach / length))


@peer("numpy", "petrosian_dimension")
def petrosian_of_arrays(standardised_return):
    falls = standardised_return < 0
    turns = (falls[:, 1:] != falls[:, :-1]).sum(1)
    n = standardised_return.shape[1] + 1
    return np.log(n) / (np.log(n) + np.log(n / (n + 0.4 * turns)))


@peer("numpy", "shannon_entropy")
def shannon(standardised_return):
    bins = np.searchsorted(OCTILES, standardised_return, side="right")
    shares = np.stack([(bins == k).mean(1) for k in range(8)])
    return stats.entropy(shares, base=8)


@peer("numpy", "svd_entropy")
def svd_of_arrays(standardised_return):
    triples = np.lib.stride_tricks.sliding_window_view(standardised_return, 3, axis=1)
    values = np.linalg.svd(triples, compute_uv=False)
    return stats.entropy(values, base=3, axis=1)


def _counts(number: np.ndarray, kinds: int) -> np.ndarray:
    """How often each number stands in each row, `[S, kinds]`."""
    rows = np.arange(len(number))[:, None] * kinds
    found = np.bincount((rows + number).ravel(), minlength=len(number) * kinds)
    return found.reshape(-1, kinds)


def _shared(now: np.ndarray, earlier: np.ndarray, kinds: int) -> np.ndarray:
    """Mutual information in nats of two rows of symbols."""
    joint = _counts(now * kinds + earlier, kinds * kinds)
    parts = joint.reshape(-1, kinds, kinds)
    whole = stats.entropy(joint, axis=1)
    own = stats.entropy(parts.sum(2), axis=1) + stats.entropy(parts.sum(1), axis=1)
    return own - whole


@peer("numpy", "mutual_information_returns")
def mutual_information(standardised_return):
    third = np.searchsorted(TERCILES, standardised_return, side="right")
    return _shared(third[:, 1:], third[:, :-1], 3)


@peer("numpy", "mutual_information_volume")
def mutual_information_of_volume(standardised_return, volume):
    third = np.searchsorted(TERCILES, standardised_return, side="right")
    busy = np.searchsorted([0.5, 2.0], volume, side="right")
    return _shared(third[:, 1:], busy[:, :-1], 3)


@peer("numpy", "transfer_entropy_volume")
def transfer_entropy(standardised_return, volume):
    up, busy = (standardised_return > 0) * 1, (volume > 1) * 1
    counts = _counts(up[:, 1:] * 4 + up[:, :-1] * 2 + busy[:, :-1], 8)
    joint = counts.reshape(-1, 2, 2, 2)
    parts = (joint.sum(3), joint.sum(1), joint, joint.sum((1, 3)))
    found = [stats.entropy(part.reshape(len(up), -1), axis=1) for part in parts]
    return found[0] + found[1] - found[2] - found[3]


@peer("numpy", "generalised_hurst")
def hurst(close_path):
    level, spans = np.log1p(close_path), np.array([1, 2, 4, 8, 16])
    squares = [((level[:, 16:] - level[:, 16 - k : -k]) ** 2).mean(1) for k in spans]
    x = np.log(spans) - np.log(spans).mean()
    return x @ (np.log(squares) / 2) / (x * x).sum()


@peer("numpy", "higuchi_dimension")
def higuchi(close_path):
    level, steps = np.log1p(close_path), np.array([1, 2, 4, 8])
    lengths = [np.abs(level[:, 8:] - level[:, 8 - k : -k]).sum(1) / k**2 for k in steps]
    x = np.log(steps) - np.log(steps).mean()
    return -x @ np.log(lengths) / (x * x).sum()


def _fluctuation(profile: np.ndarray, scale: int) -> np.ndarray:
    """Root mean square about straight lines in boxes of one length."""
    boxes = profile.reshape(len(profile), -1, scale)
    time = np.arange(scale) - (scale - 1) / 2
    centred = boxes - boxes.mean(2, keepdims=True)
    slope = centred @ time / (time @ time)
    return np.sqrt(((centred - slope[:, :, None] * time) ** 2).mean((1, 2)))


@peer("numpy", "detrended_fluctuation", "fluctuation_crossover")
def fluctuation(log_return):
    scales = np.array([4, 8, 16, 32, 64])
    profile = np.cumsum(log_return - log_return.mean(1, keepdims=True), axis=1)
    found = np.log([_fluctuation(profile, scale) for scale in scales])
    # What independent returns have about a line, but for their growth with scale.
    found -= np.log((scales**2 - 4) / scales**2)[:, None] / 2

    def slope(part):
        x = np.log(scales[part]) - np.log(scales[part]).mean()
        return x @ found[part] / (x * x).sum()

    return slope(slice(None)), slope(slice(3)) / slope(slice(2, None))


def _in_blocks(values: Values, windows: np.ndarray) -> np.ndarray:
    """32 symbols at once, which stay in the cache: twice as fast as all of them."""
    blocks = np.array_split(windows, max(len(windows) // 32, 1))
    return np.concatenate([values(block) for block in blocks])


def _rescaled_range(standardised_return: np.ndarray, size: int) -> np.ndarray:
    """Mean over boxes of one length."""
    boxes = standardised_return.reshape(len(standardised_return), -1, size)
    sums = np.cumsum(boxes - boxes.mean(2, keepdims=True), axis=2)
    # Before the first return and after the last the sum is zero.
    ranges = np.maximum(sums.max(2), 0) - np.minimum(sums.min(2), 0)
    return (ranges / boxes.std(2)).mean(1)


def _range_of_chance(size: int) -> float:
    """Of independent normal returns."""
    lags = np.arange(1, size)
    halves = special.gammaln((size - 1) / 2) - special.gammaln(size / 2)
    return np.exp(halves) / np.sqrt(np.pi) * np.sqrt((size - lags) / lags).sum()


def _hurst(standardised_return: np.ndarray) -> np.ndarray:
    """Slope of the log rescaled range beyond that of chance, plus a half."""
    scales = np.array([8, 16, 32, 64])
    found = np.array([_rescaled_range(standardised_return, size) for size in scales])
    excess = np.log(found.T / [_range_of_chance(size) for size in scales])
    x = np.log(scales) - np.log(scales).mean()
    return excess @ x / (x * x).sum() + 0.5


@peer("numpy", "hurst_exponent")
def rescaled_range(standardised_return):
    return _in_blocks(_hurst, standardised_return)


def _squares_to_earlier(steps: np.ndarray, bars: int, lags: np.ndarray) -> np.ndarray:
    """Squared distance of the last three-step states to earlier ones, `[S, N, L]`."""
    now = np.arange(steps.shape[1] - bars, steps.shape[1])[:, None]
    apart = [steps[:, now - k] - steps[:, now - k - lags] for k in range(3)]
    return apart[0] ** 2 + apart[1] ** 2 + apart[2] ** 2


def _divergence(standardised_return: np.ndarray) -> np.ndarray:
    """Slope of the mean log distance of what was alike."""
    steps = np.clip(_steps(standardised_return), -1000, 1000)
    squares = _squares_to_earlier(steps, 68, np.arange(1, 65))
    with np.errstate(divide="ignore"):
        logs = np.log(squares) / 2
    alike = np.where(squares == 0, np.inf, squares)[:, :, 2:].argmin(2) + 2
    curve = []
    for after in range(5):
        begun = alike[:, 4 - after : 68 - after, None]
        found = np.take_along_axis(logs[:, 4:], begun, axis=2)
        curve.append(np.ma.masked_invalid(found[..., 0]).mean(1))
    return (np.arange(5) - 2) @ np.array(curve) / 10


@peer("numpy", "lyapunov_exponent")
def lyapunov(standardised_return):
    return _in_blocks(_divergence, standardised_return)


PEERS = [
    permutation,
    permutation_of_five,
    sample_entropy,
    approximate_entropy,
    svd,
    katz,
    petrosian,
    lempel_ziv,
    katz_of_arrays,
    petrosian_of_arrays,
    shannon,
    svd_of_arrays,
    mutual_information,
    mutual_information_of_volume,
    transfer_entropy,
    hurst,
    higuchi,
    fluctuation,
    rescaled_range,
    lyapunov,
]
