"""Spans that are given an interval hold the truth; shorter ones do not."""

import numpy as np
import pytest

from benchmarks import coverage
from bot4jax.learn.evaluate import LEAST_BARS

MARKETS = ((21, 3), (22, 5))
"""Others than the threshold was chosen by or judged on."""


@pytest.fixture(scope="module")
def markets():
    return [(coverage.saved(seed, horizon), horizon) for seed, horizon in MARKETS]


def held(markets, bars):
    each = [coverage.held(loss, own, horizon, bars) for (loss, own), horizon in markets]
    return coverage.Held(*map(np.concatenate, zip(*each, strict=True)))


def test_long_spans_hold_the_truth_as_often_as_they_say(markets):
    found = held(markets, LEAST_BARS).is_held
    spans = len(found) / 2  # each shares a half with the next
    assert found.mean() >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / spans)


def test_short_ones_do_not_and_those_that_seem_long_the_least(markets):
    """So nothing that a span shows may say whether it is told an interval."""
    short = [held(markets, bars) for bars in (250, 600, 1_200)]
    is_held = np.concatenate([one.is_held for one in short])
    seems_long = np.concatenate([one.seems_long for one in short])
    assert is_held.mean() < 0.85
    assert seems_long.any()
    assert is_held[seems_long].mean() < 0.5


def test_whom_storms_cost_seems_better_in_a_short_span(markets):
    found = held(markets, 600)
    assert found.is_better.mean() < 0.05
    assert found.is_worse.mean() > 0.15
