"""How much there is to know of the next return, from counts of symbols.

Returns and volumes become symbols when they arrive, by edges that never change: only
the newest and the oldest bar of a window change its counts. Entropies from n counts
are too low by about (cells − 1) / 2n and mutual information is too high by as much
(Miller 1955); the biases at 256 bars stand with each feature and are not removed.
"""

from functools import partial
from itertools import pairwise, permutations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bot4jax.kernels.moments import entropy, shannon
from bot4jax.kernels.tolerances import SINGULAR
from bot4jax.numerics import pairwise_sum, safe_divide, safe_log
from bot4jax.registry import Additive, Scalar, Terms, feature

information = partial(feature, category="information")

Window = Float[np.ndarray, " W"]

OCTILES = (-1.1503494, -0.6744898, -0.3186394, 0.0, 0.3186394, 0.6744898, 1.1503494)
"""Edges that cut the standard normal distribution into eight equal parts."""
TERCILES = (-0.4307273, 0.4307273)
"""Edges that cut the standard normal distribution into three equal parts."""
VOLUMES = (0.5, 2.0)
"""Edges of little, ordinary and much volume, in median bar volumes."""

SHANNON = "Shannon (1948), A Mathematical Theory of Communication"


def symbol(value: Scalar, edges: tuple[float, ...]) -> Scalar:
    """Number of edges at or below the value."""
    return pairwise_sum([(value >= edge).astype(jnp.int32) for edge in edges])


def one_hot(code: Scalar, cells: int) -> Terms:
    """1 for the symbol's cell, 0 for the others; sums over a window are counts."""
    return tuple((code == cell).astype(jnp.float32) for cell in range(cells))


def symbols(values: Window, edges: tuple[float, ...]) -> np.ndarray:
    return np.digitize(values, edges)


def table(first: np.ndarray, second: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Counts of pairs of symbols."""
    counts = np.zeros((rows, columns))
    np.add.at(counts, (first, second), 1)
    return counts


def shared(counts: np.ndarray) -> float:
    """Mutual information in nats of two symbols given by a table of counts."""
    whole = shannon(counts.ravel())
    return shannon(counts.sum(0)) + shannon(counts.sum(1)) - whole


@information(unit="1", low=0.0, high=1.0 + 1e-5, source=SHANNON)
class ShannonEntropy(Additive):
    """Entropy of returns in eight bins, equally likely for training's σ; 1 if even.

    Bias about −.007.
    """

    @staticmethod
    def terms(standardised_return: Scalar) -> Terms:
        return one_hot(symbol(standardised_return, OCTILES), 8)

    @staticmethod
    def finish(*sums: Scalar) -> Scalar:
        return entropy(sums[:-1], sums[-1]) / float(np.log(8))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        edges = [-np.inf, *OCTILES, np.inf]
        z = standardised_return
        counts = [((z >= a) & (z < b)).sum() for a, b in pairwise(edges)]
        return shannon(np.array(counts)) / np.log(8)


@information(
    lag=2,
    unit="1",
    low=0.0,
    high=1.0 + 1e-5,
    source="Bandt & Pompe (2002), Permutation Entropy",
)
class PermutationEntropy3(Additive):
    """Entropy of the order of three consecutive returns; 1 if all six are even.

    Equal returns rank by age, the older first. Bias about −.005.
    """

    @staticmethod
    def terms(
        standardised_return: Scalar,
        standardised_return_1_ago: Scalar,
        standardised_return_2_ago: Scalar,
    ) -> Terms:
        c, b, a = (
            standardised_return,
            standardised_return_1_ago,
            standardised_return_2_ago,
        )
        rises = [(x <= y).astype(jnp.int32) for x, y in ((a, b), (b, c), (a, c))]
        code = rises[0] * 4 + rises[1] * 2 + rises[2]
        # Of eight answers two contradict themselves: a ≤ b ≤ c < a and its reverse.
        return tuple((code == k).astype(jnp.float32) for k in (0, 2, 3, 4, 5, 7))

    @staticmethod
    def finish(*sums: Scalar) -> Scalar:
        return entropy(sums[:-1], sums[-1]) / float(np.log(6))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        triples = np.lib.stride_tricks.sliding_window_view(standardised_return, 3)
        orders = np.argsort(triples, axis=1, kind="stable")
        counts = [(orders == order).all(1).sum() for order in permutations(range(3))]
        return shannon(np.array(counts)) / np.log(6)


def mutual_information(counts: tuple[Scalar, ...], count: Scalar) -> Scalar:
    """Mutual information in nats from the counts of a square table, row by row."""
    side = int(len(counts) ** 0.5)
    rows = [pairwise_sum(counts[i * side : (i + 1) * side]) for i in range(side)]
    columns = [pairwise_sum(counts[i::side]) for i in range(side)]
    joint = entropy(counts, count)
    return jnp.maximum(entropy(rows, count) + entropy(columns, count) - joint, 0.0)


@information(lag=1, unit="nats", low=0.0, high=1.1, source=SHANNON)
class MutualInformationReturns(Additive):
    """What the bar before tells of a return: down, flat or up by thirds of training.

    Bias about +.008.
    """

    @staticmethod
    def terms(standardised_return: Scalar, standardised_return_1_ago: Scalar) -> Terms:
        now = symbol(standardised_return, TERCILES)
        earlier = symbol(standardised_return_1_ago, TERCILES)
        return one_hot(now * 3 + earlier, 9)

    @staticmethod
    def finish(*sums: Scalar) -> Scalar:
        return mutual_information(sums[:-1], sums[-1])

    @staticmethod
    def reference(standardised_return: Window) -> float:
        found = symbols(standardised_return, TERCILES)
        return max(shared(table(found[1:], found[:-1], 3, 3)), 0.0)


@information(lag=1, unit="nats", low=0.0, high=1.1, source=SHANNON)
class MutualInformationVolume(Additive):
    """What the volume of the bar before tells of a return; three symbols each.

    Bias about +.008.
    """

    @staticmethod
    def terms(standardised_return: Scalar, volume_1_ago: Scalar) -> Terms:
        now = symbol(standardised_return, TERCILES)
        return one_hot(now * 3 + symbol(volume_1_ago, VOLUMES), 9)

    @staticmethod
    def finish(*sums: Scalar) -> Scalar:
        return mutual_information(sums[:-1], sums[-1])

    @staticmethod
    def reference(standardised_return: Window, volume: Window) -> float:
        now = symbols(standardised_return, TERCILES)[1:]
        return max(shared(table(now, symbols(volume, VOLUMES)[:-1], 3, 3)), 0.0)


@information(
    lag=1,
    unit="nats",
    low=0.0,
    high=0.7,
    source="Schreiber (2000), Measuring Information Transfer",
)
class TransferEntropyVolume(Additive):
    """What volume tells of the next return beyond what the last return tells.

    Two symbols each: up or not, more than the median volume or not. Bias about +.004.
    """

    @staticmethod
    def terms(
        standardised_return: Scalar,
        standardised_return_1_ago: Scalar,
        volume_1_ago: Scalar,
    ) -> Terms:
        tests = (
            standardised_return > 0,
            standardised_return_1_ago > 0,
            volume_1_ago > 1,
        )
        now, earlier, busy = (test.astype(jnp.int32) for test in tests)
        return one_hot(now * 4 + earlier * 2 + busy, 8)

    @staticmethod
    def finish(*sums: Scalar) -> Scalar:
        cells, count = sums[:-1], sums[-1]
        past = [cells[i] + cells[i + 4] for i in range(4)]
        moves = [cells[i] + cells[i + 1] for i in range(0, 8, 2)]
        earlier = [past[i] + past[i + 1] for i in (0, 2)]
        known = entropy(cells, count) - entropy(past, count)
        return jnp.maximum(entropy(moves, count) - entropy(earlier, count) - known, 0.0)

    @staticmethod
    def reference(standardised_return: Window, volume: Window) -> float:
        up, busy = (standardised_return > 0).astype(int), (volume > 1).astype(int)
        counts = np.zeros((2, 2, 2))
        np.add.at(counts, (up[1:], up[:-1], busy[:-1]), 1)
        joint = counts / counts.sum()
        total = 0.0
        for (now, earlier, loud), p in np.ndenumerate(joint):
            if p > 0:
                given_both = p / joint[:, earlier, loud].sum()
                given_own = joint[now, earlier].sum() / joint[:, earlier].sum()
                total += p * np.log(given_both / given_own)
        return max(float(total), 0.0)


@information(
    lag=2,
    unit="1",
    low=0.0,
    high=1.0 + 1e-5,
    source="Roberts, Penny & Rezek (1999), Temporal and Spatial Complexity Measures "
    "for EEG",
    tolerance=SINGULAR,
)
class SvdEntropy(Additive):
    """Evenness of the singular values of three consecutive returns; 0 if all flat.

    The squares of the singular values are eigenvalues of a 3 × 3 matrix of sums of
    products, in closed form (Smith 1961).
    """

    @staticmethod
    def terms(
        standardised_return: Scalar,
        standardised_return_1_ago: Scalar,
        standardised_return_2_ago: Scalar,
    ) -> Terms:
        c, b, a = (
            standardised_return,
            standardised_return_1_ago,
            standardised_return_2_ago,
        )
        return a * a, b * b, c * c, a * b, a * c, b * c

    @staticmethod
    def finish(*sums: Scalar) -> Scalar:
        roots = [jnp.sqrt(jnp.maximum(one, 0.0)) for one in eigenvalues(*sums[:6])]
        total = pairwise_sum(roots)
        shares = [safe_divide(root, total) for root in roots]
        found = pairwise_sum([share * safe_log(share) for share in shares])
        return -found / float(np.log(3))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        triples = np.lib.stride_tricks.sliding_window_view(standardised_return, 3)
        values = np.linalg.svd(triples, compute_uv=False)
        if values.sum() == 0:
            return 0.0
        shares = values[values > 0] / values.sum()
        return float(-(shares * np.log(shares)).sum() / np.log(3))


def eigenvalues(
    aa: Scalar, bb: Scalar, cc: Scalar, ab: Scalar, ac: Scalar, bc: Scalar
) -> tuple[Scalar, Scalar, Scalar]:
    """Eigenvalues of a symmetric 3 × 3 matrix without negative ones.

    The largest comes from the cosine of a third of an angle. The other two follow
    from the sum of minors and the determinant: subtracting the largest from the trace
    would leave nothing of them after one huge return.
    """
    middle = (aa + bb + cc) / 3
    x, y, z = aa - middle, bb - middle, cc - middle
    squares = x * x + y * y + z * z + 2 * (ab * ab + ac * ac + bc * bc)
    radius = jnp.sqrt(squares / 6)
    centred = determinant(x, y, z, ab, ac, bc)
    cosine = jnp.clip(safe_divide(centred, 2 * radius**3), -1.0, 1.0)
    largest = middle + 2 * radius * jnp.cos(jnp.arccos(cosine) / 3)
    minors = aa * bb - ab * ab + aa * cc - ac * ac + bb * cc - bc * bc
    product = safe_divide(determinant(aa, bb, cc, ab, ac, bc), largest)
    half = safe_divide(minors - product, largest) / 2
    apart = jnp.sqrt(jnp.maximum(half * half - product, 0.0))
    return largest, half + apart, half - apart


def determinant(
    aa: Scalar, bb: Scalar, cc: Scalar, ab: Scalar, ac: Scalar, bc: Scalar
) -> Scalar:
    """Determinant of a symmetric 3 × 3 matrix."""
    first = aa * (bb * cc - bc * bc) - ab * (ab * cc - bc * ac)
    return first + ac * (ab * bc - bb * ac)
