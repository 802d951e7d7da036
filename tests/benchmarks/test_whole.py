"""`bench=peers`: what is measured, and that libraries must say what ours says."""

import os
import warnings

import msgspec
import numpy as np
import pytest

from benchmarks import by_cores, chain, floors, links, trees, whole
from benchmarks.contest import contest
from benchmarks.peers import is_here
from benchmarks.peers.cheapest import cheapest, groups
from benchmarks.peers.registry import PEERS
from benchmarks.result import Row
from benchmarks.stage import set_up
from bot4jax.config import load
from bot4jax.errors import Bot4JaxError, ConfigError
from bot4jax.kernels import CATALOGUE

CHOSEN = "mean", "skewness", "rsi_14", "sample_entropy", "vpin", "macd"
CHOSEN += ("macd_histogram",)
WORDS = ("debug=tiny", f"features.names=[{','.join(CHOSEN)}]", "features.window=256")
WORDS += ("hardware.threads=1", "data.symbols=15")
"""A process of libraries takes long to start; `TestByCores` has several."""
SAMPLES = 300


def quiet(*told):
    """Reports to nobody."""


@pytest.fixture(scope="module")
def stage():
    return set_up(load(WORDS), 1, quiet)


@pytest.fixture(scope="module")
def few():
    """Forests of few samples, and small products."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "SAMPLES", SAMPLES)
        patch.setattr(floors, "SQUARES", ((64, 64, 64),))
        yield


@pytest.fixture(scope="module")
def pair(stage, few):
    """Our step and their parts; PyTorch's are compiled for `measured` alone."""
    ours, theirs = whole.prepared(stage, quiet)
    nets = {way: say for way, say in theirs.nets.items() if "compiled" not in way}
    return ours, theirs._replace(nets=nets)


@pytest.fixture(scope="module")
def measured(stage, few):
    """Everyone measured a few times, on a stage that is compiled already."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # PyTorch's compiler warns of PyTorch's own past
        warnings.filterwarnings("ignore", module="torch")
        patch.setattr(whole, "PATIENCE_S", 0.1)
        patch.setattr(whole, "set_up", lambda *asked: stage)
        return whole.measure(stage.setting.config, 3, 1, quiet)


@pytest.fixture(scope="module")
def rows(measured):
    return [row for row in measured.rows if row.unit == "ms"]


class TestRows:
    def test_our_parts_stand_beside_theirs(self, rows):
        by_stage = {}
        for row in rows:
            by_stage.setdefault(row.stage, set()).add(row.impl)
        spread = {whole.LIBRARIES, whole.BY_CORES}
        assert by_stage["features"] == {whole.OURS, *spread}
        assert by_stage["features without entropies"] == spread
        assert by_stage["forest"] == {whole.OURS, "xgboost", "xgboost_dmatrix"}
        if is_here("torch"):
            ways = {"pytorch", "pytorch_own", "pytorch_compiled"}
            assert by_stage["nets"] == {whole.OURS, *ways}
            assert by_stage["whole"] == {whole.OURS, *spread, whole.ADDED_UP}
        keys = [row.key for row in rows]
        assert len(set(keys)) == len(keys)

    def test_ratios_are_those_of_the_rows(self, measured, rows):
        assert set(measured.compile_s) == {*whole.COMPILED}
        expected = set(whole.COMPARED)
        if not is_here("torch"):
            expected -= {"whole", "without_entropies", "nets"}
        assert set(measured.ratios) == expected
        assert measured.ratios == whole.ratios(rows)
        floored = {row.stage for row in rows if row.floor}
        assert floored == {row.stage for row in rows} & set(whole.FLOORS)

    def test_who_yields_what_is_told(self, pair):
        told = {(row.impl, row.unit): row.p50 for row in whole.counted(*pair)}
        assert told[whole.OURS, "features"] == len(CHOSEN)
        assert told[whole.OURS, "features without a peer"] == 0
        assert sum(told.values()) == 2 * len(CHOSEN)
        assert told["antropy", "features"] == 1

    def test_without_pytorch_nothing_is_said_of_the_whole(self, pair):
        ours, theirs = pair
        ways = {whole.LIBRARIES: theirs.features}
        entries = whole.own_parts(ours)
        entries += whole.their_parts(ours, theirs._replace(nets={}), ways)
        found = contest(entries, 1, 0, quiet, 0.1)
        expected = {"features", "features_without_entropies", "trees"}
        assert set(whole.ratios(found)) == expected


def row(stage, impl, ms):
    return Row(stage=stage, impl=impl, unit="ms", n=1, warmup=0, p50=ms, p99=ms, p999=1)


class TestRatios:
    def parts(self):
        return [
            row("features", whole.LIBRARIES, 40.0),
            row("features", whole.BY_CORES, 30.0),
            row("features without entropies", whole.LIBRARIES, 8.0),
            row("scores", "numpy", 1.0),
            row("nets", whole.OURS, 4.0),
            row("nets", "pytorch", 6.0),
            row("nets", "pytorch_compiled", 5.0),
            row("forest", whole.OURS, 1.0),
            row("forest", "xgboost", 2.0),
        ]

    def test_the_fastest_ways_are_added_up(self):
        added = whole.added_up(self.parts())
        assert {one.stage: one.p50 for one in added} == {
            "whole": 30 + 1 + 5 + 2,
            "whole without entropies": 8 + 1 + 5 + 2,
        }

    def test_their_fastest_way_counts_against_all_of_ours(self):
        rows = [
            *self.parts(),
            row("features", whole.OURS, 10.0),
            row("whole", whole.OURS, 19.0),
            row("whole", whole.LIBRARIES, 60.0),
            row("whole", whole.BY_CORES, 57.0),
            row("whole", whole.ADDED_UP, 38.0),
            row("whole without entropies", whole.LIBRARIES, 9.5),
        ]
        assert whole.ratios(rows) == {
            "whole": 2,
            "without_entropies": 0.5,
            "features": 3,
            "features_without_entropies": 0.8,
            "nets": 1.25,
            "trees": 2,
        }

    def test_our_floors_stand_beside_our_rows(self):
        known = {"decide": 3.0, "observe": 1.0, "nets": 2.0}
        floors = [
            whole.floored(known, row(stage, impl, 9.0)).floor
            for stage, impl in (("whole", whole.OURS), ("whole", "x"), ("x", "x"))
        ]
        assert floors == [3, None, None]


class TestSame:
    """Every link of the chain is refused as soon as it says something else."""

    def test_everyone_says_the_same(self, pair):
        ours, _ = pair
        links.expect_same(*pair)
        assert ours.met.usable.all()
        said = ours.said(ours.met.scores)
        assert set(said) == set(ours.settings.members)
        for own in said.values():
            np.testing.assert_allclose(own.sum(1), 1, atol=1e-5)
            assert np.ptp(own) > 0.01, "members that agree would hide a difference"

    def test_another_feature(self, pair):
        ours, theirs = pair
        place = [spec.name for spec in ours.settings.plan.specs].index("rsi_14")
        shifted = theirs.compared.copy()
        shifted[3, place] *= 1 + 1e-4
        self.refused(ours, theirs._replace(compared=shifted), "rsi_14")

    def test_a_feature_of_another_name(self, pair, monkeypatch):
        """A mean over one bar less than there are."""

        def of_fewer(standardised_return):
            return standardised_return[:, 1:].mean(1)

        spoilt = [
            one._replace(values=of_fewer) if one.features == ("mean",) else one
            for one in PEERS
        ]
        ours, _ = pair
        monkeypatch.setattr(links, "PEERS", spoilt)
        record = self.record(ours)
        _, compared = links.their_features(ours.settings.plan, record, quiet)
        with pytest.raises(Bot4JaxError, match="mean differs from ours"):
            links.expect_features(ours.met, compared, ours.settings.plan.specs, CHOSEN)

    def test_other_scores(self, pair):
        ours, theirs = pair
        scaler = ours.params.units.scaler
        other = scaler._replace(width=np.array(scaler.width) * 1.001)
        clip = float(ours.params.units.clip)
        scores = chain.Scores(other, clip, ours.settings.plan.specs)
        self.refused(ours, theirs._replace(scores=scores), "scores")

    def test_another_forest(self, pair):
        ours, theirs = pair
        own = whole.tree_settings(load(WORDS))
        x, y = trees.samples(len(CHOSEN), seed=5)
        booster = trees.fitted(x, 2 - y, own)
        other = chain.predictors(booster, own.threads, own.device)
        assert set(other) == set(theirs.forest)
        self.refused(ours, theirs._replace(forest=other), "xgboost")

    def test_other_nets(self, pair):
        pytest.importorskip("torch", reason="the peers of .[bench] are missing")
        from benchmarks import pytorch_zoo

        ours, theirs = pair
        sizes, params = ours.settings.sizes, ours.params.nets
        net = pytorch_zoo.copied(sizes, len(CHOSEN), params).eval()
        net.heads[1].bias.data[0] += 0.01
        symbols = len(ours.met.scores)
        walk = pytorch_zoo.Walker(net.step, lambda: net.fresh(symbols))
        self.refused(ours, theirs._replace(nets={"pytorch": walk}), "pytorch")

    def refused(self, ours, theirs, name):
        with pytest.raises(Bot4JaxError, match=f"{name} differs from ours"):
            links.expect_same(ours, theirs)

    def record(self, ours):
        layout = ours.settings.layout
        count = layout.window + whole.LONGEST_LAG + 1
        return whole.bars.random_bars(layout.symbols, count, 0)


class TestMembers:
    def test_nets_alone_are_refused(self):
        config = load(["debug=tiny", "ensemble.members=[lstm,gru]"])
        with pytest.raises(ConfigError, match="bench=peers compares trees"):
            links.expect_twins(config)

    def test_a_plugin_s_net_has_no_twin(self):
        config = load(["debug=tiny"])
        members = (*config.ensemble.members, "mine")
        ensemble = msgspec.structs.replace(config.ensemble, members=members)
        with pytest.raises(ConfigError, match="mine"):
            links.expect_twins(msgspec.structs.replace(config, ensemble=ensemble))
        links.expect_twins(config)


class TestByCores:
    def test_parts_together_are_the_whole(self, pair):
        features = pair[1].features
        kept = dict(os.environ)
        with by_cores.spread(features, 2) as spread:  # seven symbols, and eight
            assert dict(os.environ) == kept
            np.testing.assert_allclose(spread(), features(), rtol=1e-12, atol=1e-15)
            left = spread.without(["sample_entropy"])()
        place = [*features.names].index("sample_entropy")
        assert not left[:, place].any()
        np.testing.assert_array_equal(np.delete(left, place, 1).any(0), True)


class TestCheapest:
    def test_a_function_of_several_features_may_be_dearer_than_many(self):
        names = [frozenset(one) for one in ("ab", "a", "b", "c", "c")]
        assert cheapest(names, [10.0, 6.0, 3.0, 2.0, 1.0]) == [1, 2, 4]
        assert cheapest(names, [8.0, 6.0, 3.0, 1.0, 2.0]) == [0, 3]

    def test_what_shares_a_feature_is_weighed_together(self):
        names = [frozenset(one) for one in ("ab", "c", "bd", "dc", "e")]
        assert sorted(map(sorted, groups(names))) == [[0, 1, 2, 3], [4]]

    def test_every_feature_is_yielded_once_or_more(self):
        names = [frozenset(one.features) for one in PEERS]
        costs = np.random.default_rng(0).random(len(names))
        found = cheapest(names, costs)
        assert frozenset().union(*(names[n] for n in found)) == set(CATALOGUE)
