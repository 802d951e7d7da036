"""Ticks are counted by the device, and a stream that lost some is not measured."""

from contextlib import ExitStack

import pytest

from benchmarks import ingest, ticker
from benchmarks.ingest import LostTicks
from bot4jax.config import load
from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.sockets import publisher, subscriber
from bot4jax.runtime.subscribers import Subscribers

STAGES = {"recorded": (500, 256), "batch": (5_000, 256), "single": (300, 1)}


@pytest.fixture(scope="module")
def config():
    return load(["debug=tiny", "data.symbols=4", "runtime.capacity=1024"])


def test_two_processes_count_every_tick(config):
    found = ingest.measure(config, 1, 1, lambda *told: None, STAGES)
    keys = [(row.stage, row.impl, row.unit) for row in found.rows]
    assert keys == [
        ("recorded", "bot4jax", "ticks/s"),
        ("recorded", "libzmq", "ticks/s"),
        ("batch", "bot4jax", "ticks/s"),
        ("batch", "libzmq", "ticks/s"),
        ("single", "bot4jax", "ticks/s"),
        ("single", "libzmq", "ticks/s"),
    ]
    assert all(row.p50 > 0 and row.n == 1 for row in found.rows)
    assert found.ratios["libzmq"] == found.rows[4].p50 / found.rows[5].p50


def test_ticks_that_do_not_arrive_are_not_measured(config):
    with (
        pytest.raises(LostTicks, match=r"700 ticks were sent, .* counted 600"),
        ingest.ticker(config, 600, 50, 1) as endpoint,
    ):
        ingest.ingested(ingest.set_stage(config), endpoint, 700)


def test_who_comes_before_the_last_one_is_gone_gets_a_round(tmp_path, monkeypatch):
    """Both once waited for ever, the publisher for the newcomer to leave."""
    endpoint = f"ipc://{tmp_path}/ticks"
    with publisher(endpoint) as socket, subscriber(endpoint), ExitStack() as first:
        seen = Subscribers(socket)
        first.enter_context(subscriber(endpoint))
        seen.await_present(2, 10.0)
        first.close()
        ticker.await_end(seen, 1)
        assert (seen.came, seen.left, seen.present) == (2, 1, 1)
        monkeypatch.setattr(ticker, "PATIENCE_S", 0.01)
        with pytest.raises(Bot4JaxError, match="2 subscribers came and 1 left"):
            ticker.await_end(seen, 2)
