"""What a phase has shown, and where its strategy goes from there."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot4jax.config import load
from bot4jax.learn.bootstrap import Interval
from bot4jax.modes import phases
from bot4jax.modes.phases import Evidence, Finding, Phase, Verdict, Wanting

RULES = load(["mode=live", "run.model=.", "runtime.speed=1"]).rollout
NOTHING = Evidence()


def shown(rules, phase, values, count, on_paper=NOTHING):
    """Evidence of so many equal values, and its findings."""
    found = NOTHING
    for _ in range(count):
        found = phases.seen(rules, found, values)
    return found, {
        one.name: one for one in phases.findings(rules, phase, found, on_paper)
    }


def test_each_phase_judges_what_it_can_see():
    seen = {phase: set(phase.gates) for phase in Phase}
    assert seen[Phase.SHADOW] == {"log_loss", "calibration", "slow"}
    assert seen[Phase.PAPER] == {*seen[Phase.SHADOW], "rejected"}
    assert seen[Phase.CANARY] == seen[Phase.FULL] == set(phases.RANGES)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Interval(0.0, -0.1, 0.1), Verdict.HOLDS),
        (Interval(0.0, -0.3, 0.1), Verdict.OPEN),
        (Interval(0.2, 0.1, 0.3), Verdict.OPEN),
        (Interval(0.4, 0.3, 0.5), Verdict.BROKEN),
        (Interval(-0.4, -0.5, -0.3), Verdict.BROKEN),
        (Interval(math.nan, math.nan, math.nan), Verdict.OPEN),
        (Interval(0.0, -math.inf, math.inf), Verdict.OPEN),
    ],
)
def test_an_interval_within_holds_and_one_beyond_is_broken(found, verdict):
    assert phases.verdict(found, -0.2, 0.2) is verdict


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("log_loss", -2.0, 2.0),
        ("calibration", 0.0, 0.9),
        ("calibration", 0.0, -0.9),
        ("slow", 0.0, 1.0),
        ("rejected", 0.0, 1.0),
        ("unfilled", 0.0, 0.9),
        ("slippage_bps", 0.0, 50.0),
    ],
)
def test_every_gate_can_hold_and_break(name, good, bad):
    on_paper, _ = shown(RULES, Phase.PAPER, dict.fromkeys(phases.RANGES, 0.0), 20_000)
    for value, verdict in ((good, Verdict.HOLDS), (bad, Verdict.BROKEN)):
        values = {name: value}
        _, found = shown(RULES, Phase.CANARY, values, 20_000, on_paper=on_paper)
        assert found[name].verdict is verdict
    _, found = shown(RULES, Phase.CANARY, {name: good}, 3, on_paper=on_paper)
    assert found[name].verdict is Verdict.OPEN


def test_what_was_never_seen_is_open():
    _, found = shown(RULES, Phase.FULL, {}, 0)
    assert {one.verdict for one in found.values()} == {Verdict.OPEN}


def test_real_fills_are_compared_with_those_on_paper():
    """Five bps are no matter where they cost five on paper too."""
    dear, _ = shown(RULES, Phase.PAPER, {"slippage_bps": 5.0}, 20_000)
    cheap, _ = shown(RULES, Phase.PAPER, {"slippage_bps": 0.0}, 20_000)
    for on_paper, verdict in ((dear, Verdict.HOLDS), (cheap, Verdict.BROKEN)):
        values = {"slippage_bps": 5.0}
        _, found = shown(RULES, Phase.CANARY, values, 20_000, on_paper=on_paper)
        assert found["slippage_bps"].verdict is verdict


findings = st.lists(
    st.builds(
        Finding,
        st.sampled_from(list(phases.RANGES)),
        st.just(Interval(0.0, 0.0, 0.0)),
        st.just(0.0),
        st.sampled_from(list(Verdict)),
    )
)
wanting = st.lists(
    st.builds(Wanting, st.just("days"), st.integers(0, 3), st.integers(0, 3))
)


@given(st.sampled_from(list(Phase)), findings, wanting)
def test_it_goes_on_only_once_all_is_shown_and_back_once_anything_is_broken(
    phase, found, left
):
    order = list(Phase)
    after, why = phases.next_phase(phase, found, left)
    moved = order.index(after) - order.index(phase)
    verdicts = {one.verdict for one in found}
    is_whole = verdicts <= {Verdict.HOLDS} and all(x.seen >= x.wanted for x in left)
    if Verdict.BROKEN in verdicts:
        assert moved == (0 if phase is Phase.SHADOW else -1)
        assert why
    else:
        assert moved == (is_whole and phase is not Phase.FULL)


def test_time_and_trips_are_waited_for():
    evidence = Evidence(bars=100, days=3, trips=7)
    (hours,) = phases.wanting(RULES, Phase.SHADOW, evidence, 60.0)
    assert hours == ("hours", 100 / 60, 24.0)
    for phase in (Phase.PAPER, Phase.CANARY):
        found = phases.wanting(RULES, phase, evidence, 60.0)
        assert found == [("days", 3, 14), ("round trips", 7, 200)]
    assert phases.wanting(RULES, Phase.FULL, evidence, 60.0) == []


def test_a_day_counts_once():
    evidence = Evidence()
    for day in (5, 5, 6, 9, 9):
        evidence = phases.lived(evidence, bars=2, day=day, trips=1)
    assert (evidence.days, evidence.bars, evidence.trips) == (3, 10, 5)


def test_who_knows_nothing_hardly_ever_passes_however_often_one_looks():
    """Forecasts as good as the prior's, looked at after each of 400 windows; a usual
    interval of the same chance would let many of them pass or fail."""
    rules = msgspec.structs.replace(RULES, alpha=0.5)
    rng, passed, usual, series = np.random.default_rng(11), 0, 0, 100
    count = np.arange(1, 401)
    for _ in range(series):
        evidence, values = Evidence(), rng.normal(0.0, 2.0, 400)
        radius = 1.86 * 2.0 / np.sqrt(count)
        usual += (np.abs(np.cumsum(values) / count) > radius)[30:].any()
        for value in values:
            evidence = phases.seen(rules, evidence, {"log_loss": float(value)})
            own = phases.of(rules, evidence, "log_loss")
            if phases.verdict(own, -math.inf, 0.0) is not Verdict.OPEN:
                passed += 1
                break
    most = series * rules.alpha / phases.INTERVALS
    assert passed <= most < usual
