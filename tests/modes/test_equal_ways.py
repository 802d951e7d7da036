"""A stream is traded alike, whichever way it takes through the engine."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks import stage
from bot4jax.config import load
from bot4jax.errors import CheckpointError
from bot4jax.kernels import CATALOGUE
from bot4jax.kernels.history import COLUMNS
from bot4jax.learn.boosting import tree_settings
from bot4jax.modes.keeping import (
    adopt,
    identity,
    market_seed,
    on_the_market,
    seat,
    take_up,
)
from bot4jax.modes.setting import net_sizes, set_stage
from bot4jax.modes.sockets import trade_with_children
from bot4jax.modes.trading import trade_here
from bot4jax.registry import FeatureSpec
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.state import copied
from bot4jax.trees.fit import fit_forest, save
from bot4jax.trees.model import ForestError
from bot4jax.types import BUY, SELL
from tests.modes.ways import journal_of, silent

EAGER = ("venue.taker_fee_bps=0", "strategy.capital=100000000")
EAGER += ("risk.max_order_notional=5000000", "risk.max_participation=100")

READERS = (
    "multi_level_order_flow_imbalance,microprice_momentum,effective_spread,amihud,"
    "signal_to_noise,money_flow_index_14,kyle_lambda,depth_imbalance_10,roll_spread,"
    "realised_spread,price_impact,hasbrouck_lambda,inferred_cancel_burst,queue_age,"
    "inferred_order_to_trade_ratio,top_of_book_lifetime,time_at_minimum_spread,"
    "average_directional_index_14,garman_klass"
)
"""Features that together read all that any feature reads of a bar."""


def compare(by_sockets: Sequence[StepRecord], here: Sequence[StepRecord]) -> None:
    """Decisions to the bit, orders, denials and answers, step by step."""
    assert len(by_sockets) == len(here)
    for one, other in zip(by_sockets, here, strict=True):
        assert one.decisions == other.decisions
        assert one.orders == other.orders
        assert refusals(one) == refusals(other)
        assert one.answers == other.answers


def refusals(step: StepRecord) -> list[tuple[str, list[int]]]:
    return [(one.reason.name, one.symbols.tolist()) for one in step.denied]


def test_the_market_gives_enough_to_compare(run, here):
    found = here.totals
    assert run.code == 0
    assert found.orders >= 100
    assert found.partial_fills > 0
    assert set(found.fills) == {BUY, SELL}
    assert len(found.denials) >= 3


def test_sockets_change_no_bit(run, here, here_folder, setting):
    steps = journal_of(run.folder, run.folder.name)
    assert len(steps) == len(setting.split.test)
    compare(steps, journal_of(here_folder, run.folder.name))


def test_the_predictor_of_the_forest_changes_no_decision(
    run, here, setting, kept, tmp_path
):
    """XGBoost's own, asked of the saved forest beside the nets, in the whole loop."""
    own = msgspec.structs.replace(run.config.trees, predictor="xgboost")
    config = msgspec.structs.replace(run.config, trees=own)
    other = setting._replace(config=config)
    assert identity(other) == identity(setting)  # the checkpoint serves both
    traded = trade_here(seat(run.folder, other, kept), kept, tmp_path, silent)
    assert traded.recompiles == 0
    for one, same in zip(traded.decided, here.decided, strict=True):
        for found, expected in zip(one, same, strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert traded.totals.orders == here.totals.orders
    trees = run.config.ensemble.members.index("trees")
    assert np.ptp(here.member_probability[trees]) > 0.1  # the forest is heard


@pytest.mark.parametrize("predictor", ["fused", "xgboost"])
@pytest.mark.parametrize("damage", ["cut", "edited"])
def test_a_forest_that_is_not_whole_keeps_everyone_from_starting(
    copied, run, setting, kept, predictor, damage
):
    """Whoever is asked: the fused one does not need the file, and reads its hash."""
    path = copied / "trees" / "forest.json"
    document = json.loads(path.read_text())
    document["learner"]["gradient_booster"]["model"]["trees"][0]["base_weights"][0] += 1
    text = json.dumps(document) if damage == "edited" else path.read_text()[:-100]
    path.write_text(text)
    own = msgspec.structs.replace(run.config.trees, predictor=predictor)
    other = setting._replace(config=msgspec.structs.replace(run.config, trees=own))
    with pytest.raises(ForestError, match=r"forest\.json: not a forest that was"):
        seat(copied, other, kept)


@pytest.mark.parametrize("predictor", ["fused", "xgboost"])
@pytest.mark.parametrize("change", [{}, {"rounds": 50}, {"depth": 9}])
def test_another_forest_beside_the_checkpoint_keeps_everyone_from_starting(
    copied, run, setting, kept, predictor, change
):
    """Whole, of as many features and classes: XGBoost's own predictor asked it, and the
    fused one the one that was fitted."""
    rng, features = np.random.default_rng(0), len(setting.settings.plan.specs)
    x, y = rng.normal(size=(500, features)), rng.integers(0, 3, 500)
    other = tree_settings(run.config)._replace(min_child_weight=0, **change)
    foreign = fit_forest(x.astype(np.float32), y, np.ones(500, np.float32), other)
    save(foreign, copied / "trees" / "forest.json")
    own = msgspec.structs.replace(run.config.trees, predictor=predictor)
    setting = setting._replace(config=msgspec.structs.replace(run.config, trees=own))
    with pytest.raises(ForestError, match=r"forest\.json: another forest than the one"):
        seat(copied, setting, kept)


def test_a_forest_that_is_not_there_is_a_member_that_is_off(
    copied, run, setting, kept, tmp_path, caplog
):
    """Where it is configured so: it is told, and the others go on without it."""
    (copied / "trees" / "forest.json").unlink()
    own = msgspec.structs.replace(run.config.trees, damaged="off")
    other = setting._replace(config=msgspec.structs.replace(run.config, trees=own))
    assert identity(other) == identity(setting)
    traded = trade_here(seat(copied, other, kept), kept, tmp_path, silent)
    assert "forest.json: no such file" in caplog.text
    trees = run.config.ensemble.members.index("trees")
    for one in traded.decided:
        assert np.isnan(one.member_probability[trees]).all()
        assert one.weight[trees] == 0
        assert np.isfinite(one.probability).all()
    assert traded.totals.orders > 0


def test_what_a_model_brings_in_place_of_the_command_is_told(run, words, caplog):
    plain = [f"run.model={run.folder}", "mode=backtest", *words]
    adopt(load(plain), run.folder)
    assert caplog.messages == []
    other = ["features.names=[mean,skewness,rsi_14]", "features.window=32"]
    config = adopt(load([*plain, *other]), run.folder)
    assert config.features == run.config.features
    (said,) = caplog.messages
    assert "features.window=32 (64)" in said
    assert 'features.names=["mean", "skewness", "rsi_14"] ("all")' in said
    assert "data." not in said


def test_a_market_made_of_another_seed_is_another_market(run, words, setting, caplog):
    """What was fitted brings its seed, and its checkpoint serves no other."""
    plain = [f"run.model={run.folder}", "mode=backtest", *words]
    config = adopt(load([*plain, "run.seed=1"]), run.folder)
    assert config.run.seed == run.config.run.seed == 0
    (said,) = caplog.messages
    assert "run.seed=1 (0)" in said
    own = msgspec.structs.replace(run.config.run, seed=1)
    other = setting._replace(config=msgspec.structs.replace(run.config, run=own))
    with pytest.raises(CheckpointError, match=r"config_hash .* expected"):
        take_up(run.folder, other)


def test_a_transformer_with_other_key_heads_is_another_engine(run, setting):
    """Its rings and its matrices have other sizes, of which the first is told."""
    former = run.config.nets.transformer
    assert former.key_heads == 1
    own = msgspec.structs.replace(former, key_heads=former.heads)
    nets = msgspec.structs.replace(run.config.nets, transformer=own)
    config = msgspec.structs.replace(run.config, nets=nets)
    settings = dataclasses.replace(setting.settings, sizes=net_sizes(config))
    other = setting._replace(config=config, settings=settings)
    assert identity(other) != identity(setting)
    told = (
        r"config_hash .* expected .*; array params/nets/.* is float32\[\d+\]; expected"
    )
    with pytest.raises(CheckpointError, match=told):
        take_up(run.folder, other)


def test_a_recorded_market_is_the_same_with_any_seed():
    own = [load(["data=binance", "data.path=PATH", f"run.seed={x}"]) for x in (0, 1)]
    assert [market_seed(one) for one in own] == [None, None]
    assert on_the_market(own[1].run, own[0]).seed == 1


def columns_of(specs: Iterable[FeatureSpec]) -> set[str]:
    """Of a bar, what the features read."""
    return {bar for one in specs for name in one.columns for bar in COLUMNS[name]}


@pytest.fixture(scope="module")
def captured(data_root, endpoints, tmp_path_factory) -> tuple[Path, Path]:
    """Recorded ticks traded twice, over sockets and here, by members of chance.

    What was learnt from minutes hardly ever trades. These do: without a fee, and with
    so much capital that a lot is little.
    """
    path = data_root / "binance" / "usdm"
    if not path.is_dir():
        pytest.skip(f"{path} is missing: it holds the captures of two contracts")
    root = tmp_path_factory.mktemp("captured")
    spans = ["spans.train=64", "spans.calibrate=16", "spans.test=160"]
    setting = set_stage(
        load(
            [
                *("debug=tiny", "data=binance", "runtime.speed=0", *EAGER, *spans),
                *(f"data.path={path}", f"run.root={root}", *endpoints),
                *(f"features.names=[{READERS}]", "ensemble.members=[gru,trees]"),
            ]
        )
    )
    assert columns_of(setting.settings.plan.specs) == columns_of(CATALOGUE.values())
    kept = stage.warmed(setting, silent)
    own = kept._replace(state=copied(kept.state))
    for name in ("sockets", "here"):
        (root / name).mkdir()
    trade_with_children(setting, kept, root / "sockets", silent)
    trade_here(setting, own, root / "here", silent, "sockets")
    return root / "sockets", root / "here"


def test_sockets_change_no_bit_of_recorded_markets(captured):
    by_sockets, here = (journal_of(folder, "sockets") for folder in captured)
    assert sum(len(one.orders) for one in by_sockets) >= 100
    compare(by_sockets, here)
