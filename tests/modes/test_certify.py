"""`mode=certify` passes on an honest engine and names whatever was planted."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax.certify import certificate, features, learning, records
from bot4jax.certify.rows import Subject, broken, same_bits, within
from bot4jax.config import load
from bot4jax.kernels import CATALOGUE
from bot4jax.learn import dataset, fit, labelling, params
from bot4jax.modes import certify, traps
from bot4jax.modes.setting import set_stage
from bot4jax.registry import Incremental, feature
from tests.modes.ways import silent
from tests.small_stage import FEW

NAMES = (
    "mean,standard_deviation,skewness,autocorrelation_1,relative_power_3,macd,rsi_14,"
    "wavelet_entropy_2,kyle_lambda,order_flow_imbalance,rank_of_return,amihud"
)
WORDS = [
    "mode=certify",
    "debug=tiny",
    "nets.transformer.context=8",
    "nets.lstm.widths=[8]",
    "nets.cnn.channels=[8]",
    "nets.cnn.dilations=[2]",
]
"""One layer of each kind; that layers follow each other is shown in `tests/nets`."""

A_SUBJECT = Subject("one", "feature", "parity")


PEEKING = """
import jax
import jax.numpy as jnp
import numpy as np

from bot4jax.registry import Incremental, feature

SEEN = {}


def remembered(bar, z):
    now = int(np.asarray(bar).ravel()[0])
    SEEN[now] = np.array(z)
    return SEEN.get(now + 1, SEEN[now])


@feature(
    category="statistical",
    unit="σ of training",
    low=-np.inf,
    high=np.inf,
    source="a test",
    window=1,
)
class NextReturn(Incremental):
    @staticmethod
    def init():
        return ()

    @staticmethod
    def update(state, standardised_return, bar):
        told = jax.ShapeDtypeStruct((), jnp.float32)
        given = remembered, told, bar, standardised_return
        return state, jax.pure_callback(*given, vmap_method="broadcast_all")

    @staticmethod
    def reference(standardised_return):
        return standardised_return[-1]


@feature(
    category="statistical", unit="1", low=1e6, high=2e6, source="a test", window=1
)
class MisplacedReturn(Incremental):
    @staticmethod
    def init():
        return ()

    @staticmethod
    def update(state, standardised_return):
        return state, standardised_return

    @staticmethod
    def reference(standardised_return):
        return standardised_return[-1]
"""


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    root = tmp_path_factory.mktemp("certified")
    return [*WORDS, f"features.names=[{NAMES}]", f"run.root={root}"]


@pytest.fixture(scope="module")
def case(words):
    return certify.case_of(set_stage(load(words)), silent)


@pytest.fixture(scope="module")
def other(case):
    """The case's record with another market behind the training span."""
    return records.perturbed(case.record, case.turn, 5)


@pytest.fixture(scope="module")
def stage(case):
    scales = dataset.fit_scales(case.record, case.split.train)
    units = records.raw_units(case.settings, scales, params.latency_of(case.config))
    return records.Stage(case.settings, case.engine, units)


@pytest.fixture(scope="module")
def plain(stage, case):
    return records.observed(stage, case.record, silent)


@pytest.fixture(scope="module")
def turned(stage, other):
    return records.observed(stage, other, silent)


@pytest.fixture
def running_turnover(monkeypatch):
    """A feature as a user might write it: a sum that adds and subtracts, and drifts."""
    monkeypatch.setattr("bot4jax.registry.CATALOGUE", dict(CATALOGUE))

    @feature(
        category="statistical",
        unit="1",
        low=-np.inf,
        high=np.inf,
        source="a test",
        window=32,
    )
    class RunningTurnover(Incremental):
        """Mean volume of 32 bars, kept at a height that float32 is coarse at."""

        @staticmethod
        def init():
            return jnp.full(32, 1e6), jnp.float32(32e6)

        @staticmethod
        def update(state, volume):
            ring, total = state
            total = total + (1e6 + volume) - ring[0]
            return (jnp.append(ring[1:], 1e6 + volume), total), total / 32 - 1e6

        @staticmethod
        def reference(volume):
            return volume.mean()


def test_all_is_proven_but_for_a_feature_that_drifts(words, running_turnover, capsys):
    names = f"features.names=[{NAMES},running_turnover]"
    code = certify.certify(load([*words, names, "run.name=drifting"]))
    *told, last = capsys.readouterr().out.splitlines()
    name, path = last.split(" ", 1)
    written = json.loads(Path(path).read_text())
    failed = [one for one in written["rows"] if not one["passed"]]
    assert (code, name) == (certify.CERTIFICATE_VIOLATED, "certificate")
    assert (written["schema"], written["passed"]) == ("bot4jax.certify/1", False)
    assert [(one["name"], one["check"]) for one in failed] == [
        ("running_turnover", "parity")
    ]
    assert any("feature running_turnover, parity: worst" in one for one in told)


def test_every_subject_has_its_rows(words):
    root = next(one for one in words if one.startswith("run.root=")).partition("=")[2]
    rows = json.loads((Path(root) / "drifting/certificate.json").read_text())["rows"]
    for one in NAMES.split(","):
        own = [row for row in rows if row["name"] == one]
        assert [row["check"] for row in own] == list(certificate.CHECKS)
        assert all(row["compared"] for row in own)
    kinds = {"feature", "net", "label", "scaler", "split", "vote"}
    assert {row["kind"] for row in rows} == kinds
    nets = {row["name"] for row in rows if row["kind"] == "net"}
    assert nets == {"lstm", "gru", "cnn", "transformer", "trees"}
    votes = {(row["name"], row["check"]) for row in rows if row["kind"] == "vote"}
    assert ("fallback", "future") in votes


def test_a_certificate_passes_only_as_a_whole(case):
    sound = within(A_SUBJECT, np.zeros(3), 0.0)
    assert certificate.document(case, [sound, sound])["passed"]
    assert not certificate.document(case, [sound, sound._replace(passed=False)])[
        "passed"
    ]


def small(words, *more):
    """A case of few features and one net, and the stage it was made on."""
    setting = set_stage(load([*words, "ensemble.members=[gru]", *more]))
    return certify.case_of(setting, silent), setting


def test_a_plugin_that_reads_ahead_or_says_nothing_is_caught(words, module):
    """One remembers the market from the last time that it was gone through; the other
    lies outside the range that it gives, and so is never usable."""
    names = "features.names=[mean,skewness,next_return,misplaced_return]"
    case, _ = small(words, f"plugins=[{module('peeking', PEEKING)}]", names)
    before = records.cut(case.record, 0, case.split.test.start)
    units, _, _ = params.prepare(*case[:3], before, case.split, silent)
    certificate.refit(case, silent)  # on another future, before both passes
    views = certificate.seen(case, units, silent)
    rows = list(certificate.feature_rows(case, units, views, silent))
    failed = {(row.name, row.check) for row in rows if not row.passed}
    assert {("next_return", "future"), ("next_return", "parity")} <= failed
    assert {check for name, check in failed if name == "misplaced_return"} == {
        *("parity", "future", "slot")
    }
    assert {name for name, _ in failed} == {"next_return", "misplaced_return"}
    silent_row = next(row for row in rows if row[0] == "misplaced_return")
    assert "nothing usable" in certify.why(silent_row)


def test_a_feature_that_is_usable_too_early_is_caught(case, plain, stage):
    spec = case.settings.plan.specs[0]
    columns = certificate.columns_of(case, stage.units)
    length, said = spec.reach(64), records.said(plain, 0)
    assert features.warmup(spec, said, columns, length).passed
    assert not features.warmup(spec, said, columns, length + 1).passed
    late = said._replace(usable=np.roll(said.usable, 1, axis=0))
    assert not features.warmup(spec, late, columns, length).passed


def test_a_mask_that_hides_a_defined_value_is_caught(case, plain, stage):
    spec, random = case.settings.plan.specs[0], np.random.default_rng(0)
    columns = certificate.columns_of(case, stage.units)
    length, said = spec.reach(64), records.said(plain, 0)
    usable = said.usable.copy()
    usable[300:320, 1] = False
    hidden = said._replace(usable=usable)
    assert features.parity(spec, said, columns, length, 500, random).passed
    row = features.parity(spec, hidden, columns, length, 500, random)
    assert (row.passed, row.worst) == (False, None)


def test_a_scaler_fitted_on_the_future_is_caught(words, monkeypatch):
    """By the certificate and by a backtest's trap, each of which fits as always."""
    case, setting = small(words, *FEW)
    honest = dataset.fit_scores
    assert traps.moved(setting, case.record, silent) == 0

    def greedy(raw, span, seed):
        return honest(raw, range(span.start, case.turn + 20), seed)

    monkeypatch.setattr(dataset, "fit_scores", greedy)
    rows = list(certificate.rows(case, silent))
    failed = {(row.name, row.check) for row in rows if not row.passed}
    assert {("scaler", "future"), ("fallback", "future")} <= failed
    assert not {row.name for row in rows if row.kind in ("feature", "split")} & {
        name for name, _ in failed
    }
    found = traps.moved(setting, case.record, silent)
    nothing = traps.Caught((), None, {}, None, found)
    (alarm,) = traps.alarms(nothing)
    assert alarm == f"{found:,} values of training change with later bars."


def test_training_weights_do_not_know_the_bars_behind_their_gap(case, plain, turned):
    """They once did: a weight counts overlapping labels up to 2h − 1 bars ahead."""
    labels = [
        labelling.label_bars(one, case.split.train, case.horizon, 0.5)
        for one in (plain, turned)
    ]
    rows = labelling.rows_of(plain, case.split.train)
    assert learning.split_future(labels[0], labels[1], rows).passed
    early = slice(rows.start, rows.stop + case.horizon + 1)
    assert not learning.split_future(labels[0], labels[1], early).passed


def test_a_fallback_fitted_on_the_future_is_caught(case, plain, turned):
    train, seed = case.split.train, case.config.run.seed

    def fitted(data, span):
        labels = labelling.label_bars(data, train, case.horizon, 0.5)
        samples = params.samples_of(case.config, data, labels, span)
        return fit.fit_fallback(samples, case.settings.reads, seed)

    for end, is_sound in ((train.stop, True), (case.turn + 20, False)):
        pair = (fitted(one, range(train.start, end)) for one in (plain, turned))
        row = learning.refitted("fallback", *pair, kind="vote")
        assert (row.kind, row.check, row.passed) == ("vote", "future", is_sound)


def test_training_scores_are_the_served_bits(case, plain, stage):
    """They once were not: XLA multiplies by the reciprocal of a shared divisor."""
    scaler = dataset.fit_scores(plain, case.split.train, 0)
    units = stage.units._replace(scaler=scaler, clip=jnp.float32(6.0))
    served = records.observed(stage._replace(units=units), case.record, silent)
    own = plain._replace(features=plain.features.copy())
    assert learning.scores_parity(served, dataset.score(own, scaler, 6.0)).passed


@pytest.mark.parametrize(
    "other", [[0.0, -0.0], [0.0, np.nan], [0.0, 1e-45], [0.0], [0.0, 0.0, 0.0]]
)
def test_bits_that_differ_are_seen(other):
    one, other = np.zeros(2, np.float32), np.array(other, np.float32)
    assert same_bits(A_SUBJECT, [(one, one.copy())]).passed
    assert not same_bits(A_SUBJECT, [(one, other)]).passed


def test_nan_is_beyond_every_tolerance():
    row = within(A_SUBJECT, np.array([0.0, np.nan]), np.inf)
    assert (row.passed, row.worst, row.compared) == (False, None, 2)


def test_broken_rules_are_counted():
    row = broken(A_SUBJECT, np.array([True, False, True]), masked=4)
    assert (row.passed, row.worst, row.compared, row.masked) == (False, 2.0, 3, 4)
