"""Orders are counted only if all of them have passed and are in the journal."""

import msgspec
import pytest

from benchmarks import orders, reaction
from benchmarks.orders import NotMeasured
from bot4jax.config import load
from bot4jax.modes.setting import set_stage


@pytest.fixture(scope="module")
def config():
    return load(["debug=tiny", "data.symbols=8"])


def test_every_order_of_a_step_passes_and_is_measured(config, monkeypatch):
    monkeypatch.setattr(reaction, "ROUNDS", 1)
    monkeypatch.setattr(reaction, "KILLS", 2)
    # a machine that stalls for half a second would look like an engine that has died
    monkeypatch.setattr(reaction, "WITHIN_S", 3.0)
    found = orders.measure(config, 3, 1, lambda *told: None)
    assert [(row.stage, row.unit) for row in found.rows] == [
        ("gate", "ms"),
        ("gate", "orders/s"),
        ("journaled", "ms"),
        ("journaled", "orders/s"),
        ("kill_switch_heard", "ms"),
        ("kill_switch", "ms"),
        ("dead_man_killed", "ms"),
        ("dead_man_stopped", "ms"),
    ]
    by_stage = {row.stage: row for row in found.rows if row.unit == "orders/s"}
    assert by_stage["gate"].n == by_stage["journaled"].n == 3
    assert by_stage["journaled"].floor is not None
    heard, done = (row for row in found.rows if row.stage.startswith("kill_switch"))
    assert heard.n == done.n == 2
    assert 0 < heard.p50 < done.p50
    for row in found.rows[-2:]:
        assert row.floor is not None
        assert row.p50 > 0


def test_a_gate_that_refuses_is_not_measured(config, tmp_path):
    risk = msgspec.structs.replace(orders.unlimited(config).risk, orders_per_step=7)
    setting = set_stage(msgspec.structs.replace(config, risk=risk))
    with pytest.raises(NotMeasured, match="Of 8 orders 7 have passed"):
        orders.walk(setting, tmp_path, 2, lambda *told: None)
