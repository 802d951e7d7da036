"""How far float32 streams may be from float64 definitions, and why no nearer.

A tolerance is relative to max(1, |value|): of features that are small by nature it must
be far below 1e-5, or it would pass anything.
"""

from bot4jax.registry import Tolerance

PRICE = Tolerance(
    1e-7,
    "a distance from the newest close: one rounding of a price is 6e-8 of it",
)
PRICE_AND_MORE = Tolerance(
    2e-7,
    "a distance from the newest close, and a root, a quotient or a logarithm that "
    "rounds once more, by 6e-8 … 1.2e-7 where prices are far apart",
)
SPREAD = Tolerance(
    1e-8,
    "a spread is 1e-5 … 1e-3 of a price: 1e-5 of the price would pass any",
)
NOISE = Tolerance(
    1e-6,
    "a small share of training's variance: 1e-5 would be a part of it",
)
CENTRED = Tolerance(
    1e-6,
    "changes that take each other back to nearly nothing; 1e-5 would pass 0",
)
COUNTED = Tolerance(
    1e-6,
    "counts are exact: what rounds is one logarithm of them, of a value near 1",
)
SINGULAR = Tolerance(
    2e-5,
    "the smallest of three eigenvalues is what is left of the others, and its root "
    "doubles the digits that are lost",
)
QUOTIENT_OF_SLOPES = Tolerance(
    5e-5,
    "a quotient of two slopes, of which the lower may come near nothing",
)
CANCELLING = Tolerance(
    5e-5,
    "flows of hundreds of depths may cancel, and each is a float32, right to 6e-8 of "
    "itself: 1.8e-5 was found on Binance, and no better sum would bring it back",
)
REGRESSION = Tolerance(
    1e-4,
    "a slope over a market that hardly moves: sums of products that nearly cancel, "
    "above and below",
)
PER_CENT = Tolerance(
    1e-4,
    "per cent of a range that may be a thousandth of the price: 6e-8 of the price is "
    "6e-5 of the range",
)
SPLIT_VOLUME = Tolerance(
    1e-4,
    "what fills a bucket is rounded in every bar, and a bar on the edge of one of 50 "
    "buckets leans either way",
)
NEARLY_EMPTY = Tolerance(
    1e-4,
    "a quantile: what an error of 1e-7 comes to in a bin, of 1/64 cycles per bar or "
    "less, that holds 2e-5 of the power",
)
