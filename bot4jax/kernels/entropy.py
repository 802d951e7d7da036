"""How seldom what looked alike goes on alike: sample and approximate entropy.

Both count how often pieces of two and of three returns come again within r = .2 of the
training data's σ. That scale is frozen, so a pair that matched once matches for ever:
a bar adds the matches of one piece and takes away those of another, in whole numbers.
Returns are rounded when they arrive, r being eight and a half of these steps: two are
alike within eight. Whether they match is then a comparison of whole numbers, which no
rounding of float32 can turn. One value moves by .04 nats of a deviation of .15, either
way; the mean over many does not.
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from bot4jax.numerics import safe_divide, safe_log
from bot4jax.registry import Incremental, Scalar, feature

information = partial(feature, category="information")

Window = Float[np.ndarray, " W"]
Ring = Float[Array, " R"]
Counts = Float[Array, " W"]

STEPS = 42.5
"""Steps of the grid that make up the training data's σ."""
TOLERANCE = 8
"""Steps within which two returns are alike: what was nearer than r = .2 σ, 8½ steps, is
so on average after rounding."""
FARTHEST = 1e6
"""Steps at which returns are cut, so that float32 holds their differences exactly."""


class Matches(NamedTuple):
    """How many pieces are like the one that begins at each place of the ring.

    A piece is like itself. Where none begins yet, the count is 0.
    """

    pairs: Counts
    triples: Counts


class Found(NamedTuple):
    """What both entropies are made of."""

    counts: Matches
    newest: Scalar
    """pieces like the newest two returns, which none follows yet"""


def on_grid(standardised_return: Array) -> Array:
    """Returns in whole steps; 0 for what is no number, in the ring and as it leaves."""
    known = jnp.where(jnp.isfinite(standardised_return), standardised_return, 0.0)
    return jnp.clip(jnp.round(known * STEPS), -FARTHEST, FARTHEST)


def piece_from(ring: Ring, first: Int[Array, ""]) -> Float[Array, " 3"]:
    """Three consecutive returns in whole steps."""
    return on_grid(lax.dynamic_slice_in_dim(ring, first, 3))


def alike(ring: Ring, piece: Float[Array, " M"], window: int) -> Bool[Array, " W"]:
    """Whether the returns from each place of the ring on are like the piece's.

    The ring lies twice in memory, so that pieces run over its end.
    """
    is_alike = jnp.ones(window, bool)
    for k in range(piece.size):
        apart = on_grid(ring[k : k + window]) - piece[k]
        is_alike &= jnp.abs(apart) <= TOLERANCE
    return is_alike


def counted(
    counts: Counts,
    coming: Bool[Array, " W"],
    going: Bool[Array, " W"],
    place: Int[Array, ""],
    begins: int,
) -> tuple[Counts, Scalar]:
    """Counts with the newest piece in and the oldest out, and the newest one's own.

    The newest piece begins `begins` bars before the newest bar, which lies at `place`.
    """
    window = counts.size
    age = (place - jnp.arange(window, dtype=place.dtype)) % window
    added = (coming & (age >= begins)).astype(counts.dtype)
    taken = going.astype(counts.dtype)
    own = added.sum()
    moved = jnp.where(age > begins, counts + added - taken, 0.0)
    at = (place - begins) % window
    return lax.dynamic_update_index_in_dim(moved, own, at, 0), own


class TemplateMatches(Incremental):
    """Matches of all pieces within the window, shared by both entropies."""

    @staticmethod
    def init(window: int) -> Matches:
        return Matches(jnp.zeros(window), jnp.zeros(window))

    @staticmethod
    def update(
        state: Matches,
        standardised_return_ring: Ring,
        standardised_return_dropped: Scalar,
        bar: Int[Array, ""],
    ) -> tuple[Matches, Found]:
        ring, window = standardised_return_ring, state.pairs.size
        place = bar % window
        newest = piece_from(ring, place + window - 2)
        # The place of the oldest return holds the newest already.
        oldest = piece_from(ring, place).at[0].set(on_grid(standardised_return_dropped))
        pairs, like_newest = counted(
            state.pairs,
            alike(ring, newest[1:], window),
            alike(ring, oldest[:2], window),
            place,
            begins=1,
        )
        triples, _ = counted(
            state.triples,
            alike(ring, newest, window),
            alike(ring, oldest, window),
            place,
            begins=2,
        )
        counts = Matches(pairs, triples)
        return counts, Found(counts, like_newest)


def log_sum(counts: Counts) -> Scalar:
    """Sum of the logarithms of counts up to 2¹⁵; eight of them need one logarithm."""
    return safe_log(jnp.maximum(counts, 1.0).reshape(8, -1).prod(0)).sum()


def own_counts(standardised_return: Window, length: int) -> Window:
    """How many pieces of a length are like each one, itself included."""
    grid = np.clip(np.round(standardised_return * STEPS), -FARTHEST, FARTHEST)
    pieces = np.lib.stride_tricks.sliding_window_view(grid, length)
    apart = np.abs(pieces[:, None] - pieces[None]).max(2)
    return (apart <= TOLERANCE).sum(1)


@information(
    unit="nats",
    low=0.0,
    high=20.0,
    source="Richman & Moorman (2000), Physiological Time-Series Analysis Using "
    "Approximate and Sample Entropy",
)
class SampleEntropy(TemplateMatches):
    """Minus the log share of pairs of returns alike whose next return is alike too.

    Alike within .2 of training's σ, on returns rounded to 2/85 of it. Where none is, it
    is the authors' upper bound, as if one pair of all were.
    """

    @staticmethod
    def finish(found: Found) -> Scalar:
        counts, window = found.counts, found.counts.pairs.size
        triples = counts.triples.sum() - (window - 2)
        # The newest pair has no next return, so it cannot count.
        pairs = counts.pairs.sum() - (window - 1) - 2 * (found.newest - 1)
        known = safe_log(safe_divide(pairs, triples, 1.0))
        return jnp.where(triples > 0, known, upper_bound(window))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        pieces = len(standardised_return) - 2
        pairs = own_counts(standardised_return[:-1], 2).sum() - pieces
        triples = own_counts(standardised_return, 3).sum() - pieces
        if triples == 0:
            return upper_bound(len(standardised_return))
        return float(np.log(pairs / triples))


def upper_bound(window: int) -> float:
    """Sample entropy as if of all pairs of pieces one matched, and none of triples."""
    return float(np.log((window - 2) * (window - 3) / 2))


@information(
    unit="nats",
    low=0.0,
    high=10.0,
    source="Pincus (1991), Approximate Entropy as a Measure of System Complexity",
)
class ApproximateEntropy(TemplateMatches):
    """How much more seldom three returns come again than two, in mean logarithms.

    Again within .2 of training's σ, on returns rounded to 2/85 of it. There is one pair
    more than there are triples, which leads to −10⁻⁴ where returns repeat themselves:
    what is below 0 counts as 0.
    """

    @staticmethod
    def finish(found: Found) -> Scalar:
        (pairs, triples), window = found.counts, found.counts.pairs.size
        two = log_sum(pairs) / (window - 1) - float(np.log(window - 1))
        three = log_sum(triples) / (window - 2) - float(np.log(window - 2))
        return jnp.maximum(two - three, 0.0)

    @staticmethod
    def reference(standardised_return: Window) -> float:
        two, three = (
            np.log(counts / len(counts)).mean()
            for counts in (own_counts(standardised_return, m) for m in (2, 3))
        )
        return max(float(two - three), 0.0)
