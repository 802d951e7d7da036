"""The bank: columns, sums that do not drift, absent features, and checks that bite."""

import re
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax.certify.columns import Columns
from bot4jax.errors import ConfigError
from bot4jax.kernels import CATALOGUE, bank, history, planning
from bot4jax.kernels.history import COLUMNS, PATHS, Scales
from bot4jax.registry import Additive, Incremental, Tolerance, feature, select
from bot4jax.types import Bar, Layout
from tests import recorded
from tests.checks import (
    BARS,
    CHUNK,
    SYMBOLS,
    WINDOW,
    Evidence,
    check_ignores_the_future,
    check_is_finite,
    check_matches_reference,
    check_warms_up,
)

LONG = 84 * CHUNK
FLOOD = 4_200
"""Bar of a long recording in which a billion times the usual volume is traded."""

WITHOUT_QUOTES = (
    "mid_open mid_high mid_low mid_close trade_close base_turnover live anchor"
)
"""Bar columns of a source of daily bars."""

planted = partial(
    feature, category="statistical", unit="1", low=-np.inf, high=np.inf, source="a test"
)


@pytest.fixture(autouse=True)
def same_catalogue():
    """What a test registers is gone after it."""
    before = dict(CATALOGUE)
    yield
    CATALOGUE.clear()
    CATALOGUE.update(before)


@pytest.fixture(scope="module")
def long_bars():
    """Volumes of 60,000 give or take one, and a flood in one bar."""
    bars = recorded.recorded_bars(11, LONG)
    rng = np.random.default_rng(12)
    volume = rng.normal(60_000, 0.83, (LONG, SYMBOLS)) * recorded.LOT
    volume[FLOOD] *= 1e9
    return bars._replace(base_turnover=volume.astype(np.float32))


def scales():
    return Scales(*map(jnp.asarray, recorded.units()))


ROUNDED = 1e-5
"""Of a column: a few float32 operations, one of them a logarithm."""

CANCELLED = 1e-6
"""Of how much a column varies: what operations leave that cancel to almost nothing."""


def test_every_column_is_what_it_says():
    bars = recorded.recorded_bars(5, 120)
    columns = Columns(bars, *recorded.units())

    def step(past, bar):
        return history.next_past(past, bar), history.bar_columns(bar, past, scales())

    _, streamed = jax.jit(partial(jax.lax.scan, step))(history.init_past(SYMBOLS), bars)
    assert set(streamed) | set(PATHS) == set(COLUMNS)
    for name, own in streamed.items():
        truth = columns.by_name[name]
        error = np.abs(np.asarray(own) - truth)
        allowed = ROUNDED * np.abs(truth) + CANCELLED * truth.std()
        assert (error <= allowed).all(), name


def test_sums_do_not_drift(long_bars):
    @planted(tolerance=Tolerance(1e-6, "planted"))
    class MeanSquareVolume(Additive):
        """Two-level sums of numbers whose squares float32 cannot add exactly."""

        @staticmethod
        def terms(volume):
            return volume, volume**2

        @staticmethod
        def finish(volume, square, count):
            return square / count

        @staticmethod
        def reference(volume):
            return (volume**2).mean()

    names = "mean excess_kurtosis autocorrelation_10 order_flow_imbalance roll_spread"
    specs = select(["mean_square_volume", *names.split()])
    evidence = Evidence(specs, long_bars)
    for spec in specs:
        check_matches_reference(spec, evidence)


@pytest.fixture(scope="module")
def long_evidence(evidence):
    """All features after 20,040 bars, through the bank that is compiled already."""
    found = Evidence(evidence.plan.specs, recorded.recorded_bars(13, 334 * CHUNK))
    found.chunk = evidence.chunk
    return found


def test_what_is_carried_does_not_drift(long_evidence):
    """After 20,040 bars, against the definition over all of them."""
    last = len(long_evidence.bars.live) - 1
    specs = [spec for spec in long_evidence.plan.specs if spec.carried]
    assert len(specs) == 6
    for spec in specs:
        values, _ = long_evidence.of(spec, long_evidence.whole)
        for symbol in (recorded.LATE, recorded.WILD):
            truth = spec.reference(long_evidence.asked(spec, symbol, last))
            error = abs(values[last, symbol] - truth) / max(1, abs(truth))
            assert error <= spec.tolerance, f"{spec.name}: {error} off, slot {symbol}"


def test_no_form_drifts(long_evidence):
    """After 20,040 steps the last window is still what its definition says."""
    bar, drifted = len(long_evidence.bars.live) - 1, {}
    for spec in long_evidence.plan.specs:
        values, _ = long_evidence.of(spec, long_evidence.whole)
        for symbol in range(SYMBOLS):
            truth = spec.reference(long_evidence.asked(spec, symbol, bar))
            error = abs(values[bar, symbol] - truth) / max(1, abs(truth))
            if not error <= spec.tolerance:
                drifted[spec.name, symbol] = (values[bar, symbol], truth)
    assert not drifted


def test_a_running_sum_is_caught(long_bars):
    @planted(tolerance=Tolerance(1e-6, "planted"))
    class RunningVolume(Incremental):
        """A sum that adds the newest bar and subtracts the oldest."""

        @staticmethod
        def init():
            return jnp.zeros(WINDOW), jnp.float32(0)

        @staticmethod
        def update(state, volume):
            ring, total = state
            total = total + volume - ring[0]
            return (jnp.append(ring[1:], volume), total), total / WINDOW

        @staticmethod
        def reference(volume):
            return volume.mean()

    spec = CATALOGUE["running_volume"]
    with pytest.raises(AssertionError, match="running_volume at"):
        check_matches_reference(spec, Evidence([spec], long_bars))


class Foresight(Evidence):
    """Hands the feature the whole recording before it is replayed."""

    def replay(self, bars, fresh=None):
        (spec,) = self.plan.specs
        spec.implementation.recording = np.asarray(bars.mid_close[:, 0], np.float32)
        self.__dict__.pop("chunk", None)
        return super().replay(bars, fresh)


def test_a_look_ahead_is_caught():
    class NextClose(Incremental):
        """The close of the bar after this one."""

        recording = np.zeros(BARS)

        def init(self):
            return jnp.float32(0)

        def update(self, state, live):
            following = jnp.minimum(state + 1, BARS - 1).astype(jnp.int32)
            return state + 1, jnp.asarray(self.recording)[following] * live

        def reference(self, live):
            return 0.0

    planted(name="next_close", window=1)(NextClose())
    spec = CATALOGUE["next_close"]
    evidence = Foresight([spec])
    check_is_finite(spec, evidence)
    with pytest.raises(AssertionError, match="check='future'"):
        check_ignores_the_future(spec, evidence)


def test_absent_features_are_named_and_never_faked():
    names = "mean rsi_14 vwap_deviation effective_spread order_flow_imbalance"
    specs = select(names.split())
    poor = Evidence(specs, columns=tuple(WITHOUT_QUOTES.split()))
    missing = poor.plan.absent
    assert missing == {
        "effective_spread": ("buy_count", "effective_spread", "sell_count"),
        "order_flow_imbalance": ("ask_size", "bid_size", "flow"),
        "vwap_deviation": ("vwap_offset",),
    }
    for spec in specs:
        run = poor.of(spec, poor.whole)
        if spec.name in missing:
            assert not run.usable.any()
            assert not run.values.any()
        else:
            assert run.usable.any()
            check_matches_reference(spec, poor)


def test_a_shorter_bank_cuts_the_windows():
    """A bank of 64 bars keeps the definitions on as many as it has."""
    names = (
        "skewness relative_power_3 spectral_roll_off wavelet_entropy_4 roll_spread "
        "detrended_fluctuation katz_dimension rsi_14 macd_histogram "
        "volatility_of_volatility donchian_position"
    )
    specs = select(names.split())
    evidence = Evidence(specs, window=64)
    for spec in specs:
        check_matches_reference(spec, evidence)
        check_warms_up(spec, evidence)


def test_what_a_bank_is_too_short_for_is_masked():
    """In 16 bars there is one size of box, and one coefficient of the last level."""
    names = "detrended_fluctuation fluctuation_crossover hurst_exponent"
    specs = select([*names.split(), "wavelet_entropy_4", "mean"])
    evidence = Evidence(specs, window=16)
    for spec in specs:
        usable = evidence.of(spec, evidence.whole).usable[:, recorded.NORMAL]
        defined = spec.reference(evidence.asked(spec, recorded.NORMAL, BARS - 1))
        assert usable.any() == np.isfinite(defined) == (spec.name == "mean")


def test_unknown_features_are_named():
    with pytest.raises(ConfigError, match=r"names: unknown feature 'meen'.*'mean'"):
        select(["mean", "meen"])


def test_no_copy_of_the_state_is_made():
    """The donated state is written in place: a copy would cost more than the work."""
    symbols = 32
    names = (
        "mean donchian_position range_over_deviation sample_entropy "
        "approximate_entropy permutation_entropy_5"
    )
    layout = Layout(symbols, WINDOW, 0, 5, 0, Bar._fields)
    plan = planning.plan(layout, select(names.split()))
    state = jax.eval_shape(lambda: bank.init(plan))
    bar = recorded.of_columns(
        jax.ShapeDtypeStruct((symbols,), column.dtype)
        for column in recorded.recorded_bars(1, 1)
    )
    units = Scales(jnp.ones(symbols), jnp.ones(symbols), jnp.ones(5))
    step = jax.jit(partial(bank.update, plan, units), donate_argnums=0)
    text = str(step.lower(state, bar).compile().as_text())
    sizes = {leaf.size for leaf in jax.tree.leaves(state) if leaf.size > symbols}
    copied = re.findall(r"= \w+\[([\d,]+)\]\S* copy\(", text)
    counts = {int(np.prod([int(n) for n in shape.split(",")])) for shape in copied}
    assert sizes
    assert not sizes & counts


THREE = ["mean", "order_flow_imbalance", "volume_imbalance"]


@pytest.fixture(scope="module")
def scanned() -> Callable[[Bar], np.ndarray]:
    """Which of three features are usable at every bar."""
    layout = Layout(SYMBOLS, WINDOW, 64, 1, 0, Bar._fields)
    plan = planning.plan(layout, select(THREE))
    scan = jax.jit(partial(jax.lax.scan, partial(bank.update, plan, scales())))
    return lambda bars: np.asarray(scan(bank.init(plan), bars)[1].usable)


@pytest.mark.parametrize("is_masked", [False, True], ids=["conflated", "masked"])
def test_a_bar_that_is_not_whole_masks_what_it_concerns_as_long_as_it_counts(
    scanned, is_masked
):
    """Quotes of a conflated bar are missing; of a masked one trades as well."""
    specs, at, symbol = select(THREE), 40, 1
    bars = recorded.recorded_bars(3, at + 2 * WINDOW)
    conflated, live = bars.conflated.copy(), bars.live.copy()
    assert live[:, symbol].all()
    conflated[at, symbol] = 3
    live[at, symbol] = 0 if is_masked else 1
    before = scanned(bars)
    after = scanned(bars._replace(conflated=conflated, live=live))
    concerned = [False, True, is_masked]
    for i, (spec, is_concerned) in enumerate(zip(specs, concerned, strict=True)):
        expected = before[:, symbol, i].copy()
        if is_concerned:
            expected[at : at + min(spec.window, WINDOW) + spec.lag] = False
        np.testing.assert_array_equal(after[:, symbol, i], expected, spec.name)
        others = np.arange(SYMBOLS) != symbol
        np.testing.assert_array_equal(after[:, others, i], before[:, others, i])
