"""The spans of a run: all that a feed and a venue need of what is learnt."""

from bot4jax.learn.splits import Split, purged_split
from bot4jax.schema import Config

LONGEST_LAG = 16
"""Bars before the window that features may reach back to."""


def spans(config: Config) -> Split:
    """Warm-up, training, calibration and test, in bars since the source's first."""
    return purged_split(
        config.spans.train,
        config.spans.calibrate,
        config.spans.test,
        config.labels.horizon,
        latency_bars=1,
        warmup=reach(config),
    )


def reach(config: Config) -> int:
    """Bars that a feature looks back to."""
    return config.features.window + LONGEST_LAG
