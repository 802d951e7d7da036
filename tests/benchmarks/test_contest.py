"""Measuring in turns, and refusing what says something else."""

import pytest

from benchmarks import contest, products
from benchmarks.contest import Entry
from bot4jax.errors import Bot4JaxError


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when an entry works."""
    now = [0.0]
    monkeypatch.setattr(contest.time, "perf_counter", lambda: now[0])
    return now


def worker(clock, seconds, calls):
    def work():
        clock[0] += seconds
        calls.append(seconds)

    return work


def measured(entries, steps, patience_s=20.0):
    return contest.contest(entries, steps, 2, lambda *told: None, patience_s)


def test_everyone_s_calls_are_counted(clock):
    quick, slow = [], []
    entries = [
        Entry("x", "a", worker(clock, 0.001, quick), floor=0.5),
        Entry("x", "b", worker(clock, 0.004, slow)),
    ]
    ours, theirs = measured(entries, steps=12)
    assert (ours.p50, ours.n, ours.floor, ours.impl) == (1, 12, 0.5, "a")
    assert (theirs.p999, theirs.n, theirs.warmup) == (4, 12, 2)
    turns = 3
    assert len(quick) == len(slow) == 2 + turns + 12
    assert contest.fastest([theirs, ours], "x", "a", "b") == ours


def test_the_slowest_is_measured_a_few_times(clock):
    calls = []
    (row,) = measured([Entry("x", "a", worker(clock, 9.0, calls))], 100, patience_s=2)
    assert row.n == contest.LEAST
    assert len(calls) == 2 + 1 + contest.LEAST


def test_what_says_something_else_is_not_measured():
    contest.expect_equal("x", [1.0, 2.0], [1.0, 2.0 + 1e-7], 1e-6)
    for other in ([1.0, 2.1], [1.0, float("nan")]):
        with pytest.raises(Bot4JaxError, match="x differs from ours"):
            contest.expect_equal("x", [1.0, 2.0], other, 1e-6)


def test_the_best_rate_is_that_of_the_quickest_product(clock):
    clock_rate = {"jax": 0.002, "numpy": 0.001}
    shapes = ((10, 20, 30), (40, 50, 60))
    entries = [
        Entry(f"product_{m}x{k}x{n}", impl, worker(clock, seconds, []))
        for m, k, n in shapes
        for impl, seconds in clock_rate.items()
    ]
    found = products.best_gflops(measured(entries, 3), shapes)
    assert found == pytest.approx(2 * 40 * 50 * 60 / 1e9 / 0.001)


def test_products_are_those_of_every_library():
    entries = products.entries(((8, 4, 2), (8, 4, 2)))
    assert {entry.stage for entry in entries} == {"product_8x4x2"}
    results = [entry.call() for entry in entries]
    assert len(results) >= 2
    for other in results[1:]:
        contest.expect_equal("product", results[0], other, 1e-5)
