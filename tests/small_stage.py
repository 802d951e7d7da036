"""One stage for whoever does not ask which: what one test compiled, the next one finds.

Both have the sixteen symbols of `debug=tiny`, a net and a forest.
"""

SMALL_STAGE = (
    "debug=tiny",
    "features.window=16",
    "features.names=[kyle_lambda,rsi_14,queue_age]",
    "features.fallback=[rsi_14,queue_age]",
    "ensemble.members=[gru,trees]",
)
"""To be walked through, by members that know nothing."""

FEW = (
    "ensemble.members=[gru,trees]",
    "features.names=[mean,standard_deviation,autocorrelation_1,relative_spread]",
)
"""To be learnt: all features and members would compile for minutes."""
