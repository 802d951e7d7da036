"""What is explained is what the journal holds, and the same decision made again."""

from contextlib import closing

import msgspec
import numpy as np
import pytest

from bot4jax.errors import ConfigError
from bot4jax.kernels.sizing import Clamp
from bot4jax.modes import families
from bot4jax.modes.explain import CLAMPED, chosen, explain, lots_before, why
from bot4jax.modes.families import WHOLE, shifts
from bot4jax.modes.journal import reading
from bot4jax.runtime.journal_tables import unpacked
from bot4jax.runtime.orders import Fill
from bot4jax.types import BUY
from tests.runtime.scene import MEMBERS, Scene


@pytest.fixture
def asked(run, capsys):
    """Explains a step of the run, and gives the lines by table."""

    def asked(**keys) -> dict[str, list[list[str]]]:
        own = msgspec.structs.replace(
            run.config.explain, run=str(run.folder), families=False, **keys
        )
        config = msgspec.structs.replace(run.config, mode="explain", explain=own)
        assert explain(config) == 0
        tables: dict[str, list[list[str]]] = {}
        for line in capsys.readouterr().out.splitlines():
            name, *cells = line.split("\t")
            if name != "table":
                tables.setdefault(name, []).append(cells)
        return tables

    return asked


def test_a_traded_symbol_is_explained_from_vote_to_fill(run, setting, asked):
    with reading(run.folder) as journal:
        record = next(one for one in journal.read() if one.orders)
    order = record.orders[0]
    symbol = setting.source.universe.symbols[order.symbol]
    found = asked(symbol=symbol, step=record.step)
    told = {}
    for stage, text in found["why"]:
        told.setdefault(stage, []).append(text)
    side = "buy" if order.side == BUY else "sell"
    assert f"{side} {order.lots} lots {order.kind}" in told["order"][0]
    assert order.id in told["order"][0]
    assert told["state"] == ["ACTIVE"]
    members = run.config.ensemble.members
    decided = unpacked(record, len(members))
    assert f"up {decided.probability[order.symbol, 2]:.4f}" in told["vote"][0]
    assert [row[0] for row in found["members"]] == [*members, "fallback"]
    weights = [float(row[-1]) for row in found["members"]]
    np.testing.assert_allclose(weights, decided.weight, atol=5e-5)
    assert len(told["venue"]) >= 1


def test_every_clamp_has_its_sentence():
    assert set(CLAMPED) == set(Clamp)


def test_without_a_step_the_last_that_concerns_the_symbol_is_taken(tmp_path):
    wishes = {2: (0.02, 0.0, 0.0), 4: (0.02, float("nan"), 0.0)}
    scene = Scene(tmp_path, lambda step: wishes.get(step, (0.02, 0.0, 0.0)))
    scene.trader.start()
    for bar in range(5):
        scene.step(bar)
    with closing(scene.journal) as journal:
        steps, transitions = list(journal.read()), journal.transitions()
    assert chosen(steps, 0, 0).step == 1
    assert chosen(steps, 0, 1).step == 4
    assert chosen(steps, 0, 2).step == 5
    told = dict(why(steps, steps[3], transitions, unpacked(steps[3], MEMBERS), 1))
    assert told["gate"].startswith("NON_FINITE_TARGET, +0 lots: The wanted position")
    told = dict(why(steps, steps[2], transitions, unpacked(steps[2], MEMBERS), 2))
    assert told["gate"].startswith("nothing was asked for")
    told = dict(why(steps, steps[2], transitions, unpacked(steps[2], MEMBERS), 0))
    fills = [one for one in scene.venue.record.fills if one.symbol == 0]
    assert isinstance(fills[0], Fill)
    assert lots_before(steps, 1, 0) == 0
    assert lots_before(steps, 2, 0) == fills[0].lots == 200
    assert told["held"] == "+200 lots"


def test_the_families_move_the_very_vote_that_was_journaled(run, setting, monkeypatch):
    copies, copied = [], families.copied

    def counted(state):
        copies.append(1)
        return copied(state)

    monkeypatch.setattr(families, "copied", counted)
    with reading(run.folder) as journal:
        record = next(one for one in journal.read(first=3))
    (whole, lean), *found = shifts(run.config, run.folder, record.step, 0)
    down, _, up = unpacked(record, len(run.config.ensemble.members)).probability[0]
    assert (whole, lean) == (WHOLE, float(up - down)), "the same decision, to the bit"
    plan = setting.settings.plan
    assert {name for name, _ in found} == {spec.category for spec in plan.specs}
    assert len(copies) == 2 + len(found), "one is kept, each question takes another"
    sizes = [abs(shift) for _, shift in found]
    assert sizes == sorted(sizes, reverse=True)
    assert 0 < max(sizes) <= 2


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"symbol": None}, "needs explain.run=FOLDER"),
        ({"symbol": "NONE"}, "is none of the run's"),
        ({"symbol": "S000", "step": 10**6}, "the journal has steps 1"),
    ],
)
def test_what_cannot_be_explained_is_refused_by_name(setting, asked, keys, sentence):
    if keys["symbol"] == "S000":
        keys = keys | {"symbol": setting.source.universe.symbols[0]}
    with pytest.raises(ConfigError, match=sentence):
        asked(**keys)
