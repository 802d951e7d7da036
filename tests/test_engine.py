"""What the engine adds to its rooms: who votes, what opens nothing, what is packed."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest

from bot4jax import engine
from bot4jax.decisions import Decided, pack_decisions, unpack_decisions
from bot4jax.kernels import planning
from bot4jax.kernels.calibration import identity
from bot4jax.kernels.clean import init_scaler
from bot4jax.kernels.history import BOOK_LEVELS, Scales
from bot4jax.kernels.sizing import Clamp, Risk, SizingParams
from bot4jax.kernels.vote import Vote, VoteParams
from bot4jax.learn.isotonic import stacked
from bot4jax.nets import zoo
from bot4jax.nets.fallback import FallbackParams
from bot4jax.registry import select
from bot4jax.runtime.compiles import Compilations
from bot4jax.state import (
    Params,
    Seen,
    Settings,
    Units,
    copied,
    init_deciding,
    init_observing,
)
from bot4jax.trees import forest
from bot4jax.types import BAR_FLOATS, BAR_INTS, Bar, Decisions, Layout
from tests.small_nets import SMALL

SYMBOLS, HORIZON = 4, 3
NAMES = ("mean", "relative_spread", "log_depth")
MEMBERS = ("lstm", "gru", "trees")
LSTM, GRU, TREES = range(3)
FLAT = np.zeros(SYMBOLS)
FLOOR, CAP, SYMBOL_CAP, GROSS_CAP = 0.05, 0.5, 0.04, 0.1


@pytest.fixture(scope="module")
def settings() -> Settings:
    layout = Layout(SYMBOLS, 16, 64, HORIZON, 0, Bar._fields)
    sizes = msgspec.structs.replace(SMALL, members=MEMBERS[:2])
    return Settings(
        planning.plan(layout, select(NAMES)), sizes, MEMBERS, fallback=NAMES[:2]
    )


@pytest.fixture(scope="module")
def conclude(settings):
    compiled = jax.jit(engine.conclude, static_argnums=0)

    def concluded(params, state, seen, bar, held=FLAT):
        floats = jnp.asarray(held, jnp.float32)
        state, packed = compiled(settings, params, state, seen, *bar, floats)
        found = unpack_decisions(np.asarray(packed), len(MEMBERS), SYMBOLS)
        return state, found

    return concluded


@pytest.fixture(scope="module")
def params(settings) -> Params:
    """Nets that know nothing, trees that say up, and a fallback that says down."""
    grown = forest.blank(3, 1, 3)
    up = jnp.asarray([0.0, 0.0, 2.0], jnp.float32)
    each, number = jnp.ones(SYMBOLS), jnp.float32
    return Params(
        units=Units(
            Scales(each, each, jnp.ones(5)),
            init_scaler(len(NAMES)),
            number(6),
            jnp.int32(0),
        ),
        nets=zoo.init(settings.sizes, len(NAMES), 0),
        forest=grown._replace(base=up),
        fallback=FallbackParams(jnp.zeros((2, 3)), jnp.asarray([2.0, 0.0, 0.0])),
        regime_edges=jnp.zeros((SYMBOLS, 0)),
        temperature=jnp.ones((len(MEMBERS), 1)),
        vote_temperature=jnp.ones(1),
        curves=stacked([identity(len(MEMBERS) + 1, 3)]),
        threshold=number(0.5),
        vote=VoteParams(number(0.99), number(1), number(FLOOR), number(CAP)),
        sizing=SizingParams(
            class_mean=jnp.asarray([-1.0, 0.0, 1.0]),
            class_square=jnp.asarray([1.2, 0.1, 1.2]),
            kelly=number(0.25),
            fee=jnp.zeros(SYMBOLS),
            symbol_cap=number(SYMBOL_CAP),
            gross_cap=number(GROSS_CAP),
            net_cap=number(1),
            volatility_cap=number(1),
        ),
        confidence_floor=number(0),
    )


def poisoned(params: Params, *members: int) -> Params:
    """The parameters with NaN in place of those members' own."""
    nets = list(params.nets.nets)
    for member in set(members) & {LSTM, GRU}:
        nets[member] = jax.tree.map(lambda w: jnp.full_like(w, np.nan), nets[member])
    trees = params.forest
    if TREES in members:
        trees = trees._replace(base=jnp.full_like(trees.base, np.nan))
    return params._replace(nets=params.nets._replace(nets=tuple(nets)), forest=trees)


def market(price: int = 0, live=(1, 1, 1, 1)):
    """A closed bar: every symbol's mid stands at 1,000 + `price` increments."""
    ints = np.zeros((len(BAR_INTS), SYMBOLS), np.int32)
    ints[BAR_INTS.index("live")] = live
    for name in ("mid_open", "mid_high", "mid_low", "mid_close", "mid_entry"):
        ints[BAR_INTS.index(name)] = 2 * price
    floats = np.zeros((len(BAR_FLOATS), SYMBOLS), np.float32)
    floats[BAR_FLOATS.index("anchor")] = 1_000
    return jnp.asarray(ints), jnp.asarray(floats)


@pytest.fixture
def seen() -> Seen:
    values = np.random.default_rng(3).normal(size=(SYMBOLS, len(NAMES)))
    return Seen(
        values=jnp.asarray(values, jnp.float32),
        usable=jnp.ones((SYMBOLS, len(NAMES)), bool),
        risk=Risk(jnp.full(SYMBOLS, 1e-3), jnp.full(SYMBOLS, 0.5), jnp.float32(5e-4)),
        half_spread=jnp.full(SYMBOLS, 1e-6),
    )


@pytest.fixture
def fresh(settings):
    return init_deciding(settings)


@pytest.mark.parametrize(
    ("probability", "disagreement", "expected"),
    [
        ((1 / 3, 1 / 3, 1 / 3), 0.0, 0.0),
        ((0.0, 0.0, 1.0), 0.0, 1.0),
        ((0.0, 0.0, 1.0), 0.25, 0.75),
        ((0.0, 0.0, 1.0), 1.0, 0.0),
        ((0.5, 0.0, 0.5), 0.5, 0.5 * (1 - math.log(2) / math.log(3))),
    ],
)
def test_confidence_is_certainty_without_disagreement(
    probability, disagreement, expected
):
    voted = Vote(
        jnp.asarray([probability], jnp.float32),
        jnp.ones(1),
        jnp.float32(0),
        jnp.asarray([disagreement], jnp.float32),
    )
    found = engine._confidence(voted)
    # the entropy of three float32 thirds misses log 3 by a rounding
    np.testing.assert_allclose(np.asarray(found), [expected], atol=1e-6)


def test_packed_decisions_come_back_whole():
    rng, members, symbols = np.random.default_rng(1), 5, 7
    every_flag = sum(flag.value for flag in Clamp)
    sent = Decisions(
        probability=rng.random((symbols, 3), np.float32),
        member_probability=rng.random((members, symbols, 3), np.float32),
        confidence=rng.random(symbols, np.float32),
        disagreement=rng.random(symbols, np.float32),
        regime=np.int32(2),
        intent=rng.normal(size=symbols).astype(np.float32),
        flags=np.array([0, every_flag, *range(1, symbols - 1)], np.int32),
    )
    weight = rng.random(members + 1, np.float32)
    voted = Vote(sent.probability, weight[:-1], weight[-1], sent.disagreement)
    packed = pack_decisions(*jax.tree.map(jnp.asarray, (sent, voted)))
    found = unpack_decisions(np.asarray(packed), members, symbols)
    assert isinstance(found, Decided)
    for name, value in (sent._asdict() | {"weight": weight}).items():
        np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)


def test_the_scene_opens_positions(conclude, params, fresh, seen):
    """The precondition of every test below that expects none."""
    _, found = conclude(params, fresh, seen, market())
    assert (found.intent > 0).all()
    np.testing.assert_allclose(found.weight, [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-6)


@pytest.mark.parametrize("member", [LSTM, GRU, TREES])
def test_a_member_of_nan_is_not_heard(conclude, params, fresh, seen, member):
    _, found = conclude(poisoned(params, member), fresh, seen, market())
    others = [i for i in range(len(MEMBERS)) if i != member]
    assert np.isnan(found.member_probability[member]).all()
    assert found.weight[member] == 0
    np.testing.assert_allclose(found.weight[others], 0.5, atol=1e-6)
    np.testing.assert_allclose(found.weight.sum(), 1, atol=1e-6)
    expected = found.member_probability[others].mean(0)
    np.testing.assert_allclose(found.probability, expected, atol=1e-6)


def test_the_fallback_takes_what_one_member_may_not_have(conclude, params, fresh, seen):
    _, found = conclude(poisoned(params, LSTM, GRU), fresh, seen, market())
    np.testing.assert_allclose(found.weight, [0, 0, CAP, 1 - CAP], atol=1e-6)
    said = np.exp([2.0, 0, 0]) / np.exp([2.0, 0, 0]).sum()
    expected = CAP * found.member_probability[TREES] + (1 - CAP) * said
    np.testing.assert_allclose(found.probability, expected, atol=1e-6)


def test_without_a_sound_member_nothing_is_opened(conclude, params, fresh, seen):
    held = np.array([0.0, 0.02, -0.02, 0.0])
    nobody = poisoned(params, LSTM, GRU, TREES)
    _, found = conclude(nobody, fresh, seen, market(), held)
    np.testing.assert_array_equal(found.weight, [0, 0, 0, 1])
    assert (found.flags & Clamp.NO_MEMBER > 0).all()
    assert (found.probability[:, 0] > 0.5).all(), "the fallback still forecasts"
    assert (found.intent * np.sign(held) >= 0).all()
    assert (np.abs(found.intent) <= np.abs(held.astype(np.float32))).all()


def test_without_confidence_nothing_is_opened(conclude, params, fresh, seen):
    strict = params._replace(confidence_floor=jnp.float32(0.99))
    held = np.array([0.0, 0.01, -0.01, 0.0])
    _, found = conclude(strict, fresh, seen, market(), held)
    assert (np.abs(found.intent) <= np.abs(held.astype(np.float32))).all()


def test_what_is_not_live_keeps_its_position(conclude, params, fresh, seen):
    held = np.array([0.0, 0.01, 0.02, -0.03])
    _, found = conclude(params, fresh, seen, market(live=(1, 0, 1, 0)), held)
    silent = np.array([False, True, False, True])
    np.testing.assert_array_equal(found.intent[silent], held[silent].astype("f4"))
    np.testing.assert_array_equal(found.flags & Clamp.NOT_LIVE > 0, silent)
    assert (found.intent[~silent] != held[~silent]).all()


def test_nonsense_about_a_silent_symbol_loosens_no_cap(conclude, params, fresh, seen):
    """NaN in one symbol's column must not make the sums over all symbols NaN."""
    values = np.asarray(seen.values).copy()
    values[1] = np.nan
    seen = seen._replace(values=jnp.asarray(values))
    _, found = conclude(params, fresh, seen, market(live=(1, 0, 1, 1)))
    assert np.isnan(found.member_probability[:2, 1]).all()
    assert (found.weight[:3] > 0).all(), "members are judged by live symbols"
    assert found.intent[1] == 0
    assert np.abs(found.intent).sum() <= GROSS_CAP * (1 + 1e-5)


def test_gross_exposure_is_capped(conclude, params, fresh, seen):
    assert SYMBOLS * SYMBOL_CAP > GROSS_CAP
    _, found = conclude(params, fresh, seen, market())
    np.testing.assert_allclose(np.abs(found.intent).sum(), GROSS_CAP, rtol=1e-5)
    assert (found.flags & Clamp.GROSS > 0).all()


def test_who_foretold_the_rise_is_heard_more(conclude, params, fresh, seen):
    """Weights move when the first labels mature, `HORIZON` bars on, and no sooner."""
    state, weights = fresh, []
    for t in range(HORIZON + 2):
        state, found = conclude(params, state, seen, market(price=20 * t))
        weights.append(found.weight)
    for before in weights[:HORIZON]:
        np.testing.assert_array_equal(before, weights[0])
    assert weights[HORIZON][TREES] > weights[0][TREES] + 0.05
    np.testing.assert_allclose(weights[HORIZON].sum(), 1, atol=1e-6)


def test_who_foretold_a_rise_before_a_fall_is_heard_less(conclude, params, fresh, seen):
    state = fresh
    for t in range(HORIZON + 1):
        state, found = conclude(params, state, seen, market(price=-20 * t))
    assert found.weight[TREES] < found.weight[LSTM]


def test_each_symbol_is_calibrated_as_in_its_regime(
    conclude, settings, params, fresh, seen
):
    """Members and vote; symbol by symbol as where all were in that one regime."""
    edges = jnp.tile(jnp.asarray([1e-3, 2e-3]), (SYMBOLS, 1))
    cold, hot = jnp.asarray([0.7, 1.0, 3.0]), jnp.asarray([0.5, 1.0, 2.0])
    apart = params._replace(
        regime_edges=edges,
        temperature=jnp.stack([cold, hot, cold]),
        vote_temperature=hot,
        curves=stacked([identity(len(MEMBERS) + 1, 3)] * 3),
    )
    volatility = jnp.asarray([2.5e-3, 5e-4, 1.5e-3, 2.5e-3])
    seen = seen._replace(risk=seen.risk._replace(volatility=volatility))
    before = copied(fresh)
    _, found = conclude(apart, fresh, seen, market())
    for regime in range(3):
        one = apart._replace(
            regime_edges=params.regime_edges,
            temperature=apart.temperature[:, regime][:, None],
            vote_temperature=hot[regime][None],
            curves=params.curves,
        )
        _, alone = conclude(one, copied(before), seen, market())
        own = np.array([2, 0, 1, 2]) == regime
        for name in ("probability", "confidence"):
            ours, theirs = getattr(found, name), getattr(alone, name)
            np.testing.assert_allclose(ours[own], theirs[own], atol=1e-6)
            assert (np.abs(ours[~own] - theirs[~own]) > 1e-4).any()
        np.testing.assert_allclose(
            found.member_probability[:, own],
            alone.member_probability[:, own],
            atol=1e-6,
        )


def test_a_decision_that_is_late_is_calibrated_as_in_its_regime(settings, params, seen):
    """The fallback's alone, by the vote's temperature: log odds, divided by it."""
    hot = jnp.asarray([0.5, 1.0, 2.0])
    rules = params._replace(
        regime_edges=jnp.tile(jnp.asarray([1e-3, 2e-3]), (SYMBOLS, 1)),
        vote_temperature=hot,
    ).rules
    volatility = jnp.asarray([2.5e-3, 5e-4, 1.5e-3, 1e-3])
    risk = seen.risk._replace(volatility=volatility)
    glanced = seen._replace(values=seen.values[:, settings.reads], risk=risk)
    fall_back = jax.jit(engine.fall_back, static_argnums=0)
    packed = fall_back(settings, rules, glanced, *market(), jnp.asarray(FLAT))
    found = unpack_decisions(np.asarray(packed), len(MEMBERS), SYMBOLS).probability
    odds = np.log(found[:, 0] / found[:, 1])
    np.testing.assert_allclose(odds, 2.0 / np.array([2.0, 0.5, 1.0, 0.5]), rtol=1e-5)


def test_equal_settings_have_the_same_engine(settings):
    """A backtest's folds, or a run and what judges it, trace and load nothing anew."""
    own = engine.compile_engine(settings)
    assert engine.compile_engine(replace(settings)) is own
    assert engine.compile_engine(replace(settings, regimes=2)) is not own


def test_remembering_nothing_yet_is_one_program(settings):
    """One for each shape of its arrays takes a start longer."""
    layout = settings.layout._replace(symbols=SYMBOLS + 3)  # as nobody else has
    fresh = replace(settings, plan=planning.plan(layout, select(NAMES)))
    each, levels = np.ones(layout.symbols, np.float32), np.ones(BOOK_LEVELS, np.float32)
    scales = jax.device_put(Scales(each, each, levels))
    with Compilations() as compiled:
        init_observing(fresh, scales)
    assert compiled.late == 1
