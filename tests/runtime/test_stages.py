"""Quantiles of what was measured, against those of lists that keep everything."""

import numpy as np
import pytest

from bot4jax.runtime import stages
from bot4jax.runtime.stages import Ages, Clock, Stages

SHARES = (0.5, 0.99, 0.999)
SINGLE = 1e-6
"""Relative: two roundings to single precision, and the quantile's own."""


@pytest.fixture
def seconds():
    return np.random.default_rng(4).lognormal(-6, 2, 300).tolist()


@pytest.mark.parametrize(("skip", "begin"), [(0, 0), (7, 7), (299, 299), (300, 0)])
def test_quantiles_of_a_stage_are_those_of_all_its_times(seconds, skip, begin):
    """Who has measured less than is left out tells of all that there is."""
    found = Stages()
    for one in seconds:
        found.add("decide", one)
    told, kept = found.quantiles(skip)["decide"], seconds[begin:]
    expected = np.quantile(np.multiply(kept, 1e3), SHARES)
    np.testing.assert_allclose(
        [told["p50"], told["p99"], told["p999"]], expected, SINGLE
    )
    assert told["n"] == len(kept)


def test_the_newest_times_are_kept_and_none_is_left_out_twice(seconds, monkeypatch):
    monkeypatch.setattr(stages, "NEWEST", 64)
    found = Stages()
    for one in seconds:
        found.add("decide", one)
    told = found.quantiles(skip=3)["decide"]
    assert told["n"] == 64
    assert told["p50"] == pytest.approx(np.median(seconds[-64:]) * 1e3, SINGLE)


def test_laps_come_to_the_time_between_them():
    found = Stages()
    clock = Clock(found)
    began = clock.now
    lapped = [clock.lap(name) for name in ("gate", "send", "gate")]
    assert sum(lapped) == pytest.approx(clock.now - began)
    noted = [found.ms["gate"].since()[0], found.ms["send"].since()[0]]
    assert noted == pytest.approx([1e3 * one for one in lapped[:2]], SINGLE)


def frames(rng: np.random.Generator, count: int) -> np.ndarray:
    """When frames of a decision came, s, and how many ticks each had."""
    return np.stack([rng.uniform(0, 9, count), rng.integers(1, 50, count)], axis=1)


@pytest.mark.parametrize(("newest", "first"), [(1_000, 0), (40, 14)])
@pytest.mark.parametrize("skip", [0, 16])
def test_ages_are_those_of_every_tick_by_itself(newest, first, skip):
    """Twenty decisions of 0 to 11 frames; room for 40 is room for the newest."""
    rng, ages, every = np.random.default_rng(8), Ages(newest), []
    for decision, count in enumerate([0, 1, *rng.integers(0, 12, 18)]):
        came = frames(rng, count)
        ages.add(10.0, came)
        every += [(decision, *row) for row in came.tolist()]
    kept = [row for row in every[-newest:] if row[0] >= skip]
    ticks = np.sort(
        np.repeat([10e3 - 1e3 * at for _, at, _ in kept], [int(n) for *_, n in kept])
    )
    told, found = ages.at(SHARES, skip)
    assert told == len(ticks)
    expected = ticks[np.ceil(np.multiply(SHARES, len(ticks))).astype(int) - 1]
    np.testing.assert_allclose(found, expected, SINGLE)


def test_without_ticks_there_is_no_age():
    ages = Ages()
    ages.add(1.0, np.empty((0, 2)))
    assert ages.at(SHARES) == (0, [])
    assert ages.quantiles() == {"p50": None, "p99": None}
    ages.add(1.0, np.array([[0.5, 3.0]]))
    assert ages.quantiles(skip=2) == {"p50": None, "p99": None}
