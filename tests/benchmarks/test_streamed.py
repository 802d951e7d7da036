"""A steady stream is decided upon bar by bar, and a long one leaves nothing behind."""

import jax
import msgspec
import numpy as np
import pytest

from benchmarks import latency, soak
from benchmarks.ingest import LostTicks
from benchmarks.steady import PERIOD, paced, stream
from benchmarks.streamed import Streamed
from bot4jax.config import load
from bot4jax.data.sources import open_source
from tests.small_stage import SMALL_STAGE

WORDS = (*SMALL_STAGE, "data.bar_seconds=0.1")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return load([*WORDS, f"run.root={tmp_path_factory.mktemp('runs')}"])


def test_a_steady_stream_is_decided_upon_in_all_its_stages(config):
    found = latency.measure(config, 8, 4, lambda *told: None, 20_000.0)
    rows = {row.stage: row for row in found.rows}
    assert list(rows)[:3] == ["decision", "age", "late"]
    assert {"absorb", "close", "decide", "gate", "inputs", "journal", "send"} <= set(
        rows
    )
    assert rows["decision"].n == rows["late"].n == 8
    assert 0 <= rows["late"].p50 <= 8
    # A piece of what waits may hold the last ticks of one bar and the next one's first.
    assert rows["age"].n == pytest.approx(8 * 2_000, abs=2 * 512)
    assert 0 < rows["decision"].p50 <= rows["decision"].p99
    assert rows["age"].p99 >= rows["decision"].p50


def test_a_long_stream_is_looked_at_while_it_lasts(config):
    found = soak.measure(config, 300, 20, lambda *told: None)
    rows = {row.stage: row for row in found.rows}
    assert rows["recompiles"].p50 == 0
    assert rows["memory"].n == rows["device"].n == 300
    assert abs(rows["growth"].p50) < 8
    assert rows["device"].p50 > 0
    assert abs(rows["device growth"].p50) < 0.1
    apart = rows["device at last"].p50 - rows["device at first"].p50
    assert abs(apart) < 0.1
    assert rows["ticks"].p50 > 300 * 8
    assert rows["orders"].p50 > 0


def test_a_long_stream_that_nobody_trades_any_more_ends_a_soak(config):
    sure = msgspec.structs.replace(config.strategy, confidence_floor=0.99)
    timid = msgspec.structs.replace(config, strategy=sure)
    with pytest.raises(soak.Idle, match="none left in the last quarter"):
        soak.measure(timid, 40, 4, lambda *told: None)


def test_growth_is_the_slope_of_a_line():
    held = [(bar, 100.0 + 0.5 * bar) for bar in range(40)]
    assert soak.growth(held) == pytest.approx(0.5)


def test_memory_that_does_not_stay_flat_ends_a_soak():
    held = [(bar, 100.0 + 0.5 * bar) for bar in range(40)]
    assert soak.flat(held, steps=8) == pytest.approx(4.0)
    with pytest.raises(soak.Grown, match="20 MiB over 40 bars; expected at most 5"):
        soak.flat(held, steps=40)


def test_what_stays_on_the_device_ends_a_soak(config, monkeypatch):
    """64 KiB a bar, which nobody sees in what the system says of the process."""
    kept, steps = [], Streamed.steps

    def keeping(stream, count):
        for one in steps(stream, count):
            kept.append(jax.device_put(np.zeros(1 << 14, np.float32)))
            yield one

    monkeypatch.setattr(Streamed, "steps", keeping)
    with pytest.raises(soak.Grown, match="The device grew by"):
        soak.measure(config, 60, 4, lambda *told: None)


def test_what_is_given_away_counts_no_more_on_the_device():
    before, mib = soak.device_mib(), soak.MIB // 4
    one = jax.device_put(np.zeros(3 * mib, np.float32))
    assert soak.device_mib() - before == pytest.approx(3.0, abs=0.01)
    one.delete()
    assert soak.device_mib() == pytest.approx(before, abs=0.01)


def test_a_stream_is_as_long_and_as_dense_as_asked(config):
    source = open_source(config, PERIOD)
    frames = list(stream(source, 0, 2 * PERIOD + 1, per_bar=300))
    records = np.concatenate([one.records for one in frames])
    bar = (records["event_ns"] - source.start_ns) // source.bar_ns
    assert np.bincount(bar).tolist() == [300] * (2 * PERIOD + 1)
    assert (np.diff(records["event_ns"]) >= 0).all()
    numbers = np.cumsum([0, *(len(one.records) for one in frames)])
    assert [one.sequence for one in frames] == numbers[:-1].tolist()
    assert frames[-1].is_end


def test_each_tick_comes_as_often_as_the_next_or_once_more():
    records = np.arange(7)
    found = np.bincount(paced(records, 24))
    assert set(found.tolist()) == {3, 4}


def test_bars_that_do_not_come_are_not_measured():
    class Nobody:
        step_number = 0

    class Heard:
        class feed:
            class counters:
                gaps = dropped = 0

    stream = Streamed(Nobody(), Heard(), iter(()))  # pyright: ignore[reportArgumentType]
    with pytest.raises(LostTicks, match="3 bars were sent, 0 have closed"):
        list(stream.steps(3))
