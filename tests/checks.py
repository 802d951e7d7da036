"""What every registered feature must keep; a new one is tested by being registered.

`Evidence` replays a recording through the bank; each check reads it for one feature.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bot4jax.certify import features
from bot4jax.certify.columns import Columns
from bot4jax.certify.features import Said
from bot4jax.certify.rows import relative_error
from bot4jax.kernels import bank, planning, recursions, shared
from bot4jax.kernels.history import COLUMNS, STALE_BARS, Scales
from bot4jax.registry import FeatureSpec, arguments, column_of
from bot4jax.types import Bar, Layout
from tests import recorded

WINDOW = 256
CHUNK = 60
BARS = 6 * CHUNK
DISTURBED = 4 * CHUNK + 30
"""Bar from which another future is played."""
RESET = 60
"""Bar at which slots are handed to a new symbol."""
HANDED = (recorded.NORMAL, recorded.WILD)
SYMBOLS = len(recorded.ANCHORS)


class Run(NamedTuple):
    """What the bank said at every bar, `[T, S, F]`."""

    values: np.ndarray
    usable: np.ndarray


class Evidence:
    """Replays of one recording, compiled once for all of them."""

    def __init__(
        self,
        specs: Iterable[FeatureSpec],
        bars: Bar | None = None,
        columns: tuple[str, ...] = Bar._fields,
        window: int = WINDOW,
    ) -> None:
        self.units = recorded.units()
        self.plan = planning.plan(Layout(SYMBOLS, window, 0, 5, 0, columns), specs)
        self.bars = recorded.recorded_bars(7, BARS) if bars is None else bars

    @cached_property
    def chunk(self):
        """`CHUNK` bars through the bank; slots marked fresh are reset before each."""

        def bars_through(scales, state, given):
            def step(state, given):
                bar, fresh = given
                state = bank.reset(self.plan, state, fresh)
                return bank.update(self.plan, scales, state, bar)

            return jax.lax.scan(step, state, given)

        return jax.jit(bars_through)

    def replay(self, bars: Bar, fresh: np.ndarray | None = None) -> Run:
        """The bank's values for whole chunks of bars."""
        total = len(bars.live)
        fresh = np.zeros(bars.live.shape, bool) if fresh is None else fresh
        parts, scales = [], Scales(*map(jnp.asarray, self.units))
        with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
            state = bank.init(self.plan)
            for start in range(0, total, CHUNK):
                given = recorded.cut(bars, start, start + CHUNK)
                own = fresh[start : start + CHUNK]
                state, raw = self.chunk(scales, state, (given, own))
                parts.append([np.asarray(part) for part in raw])
        return Run(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    @cached_property
    def columns(self) -> Columns:
        return Columns(self.bars, *self.units)

    @cached_property
    def whole(self) -> Run:
        return self.replay(self.bars)

    @cached_property
    def disturbed(self) -> Run:
        """The same past, another future."""
        other = recorded.cut(recorded.recorded_bars(8, BARS), DISTURBED, BARS)
        return self.replay(
            recorded.joined(recorded.cut(self.bars, 0, DISTURBED), other)
        )

    @cached_property
    def handed(self) -> tuple[Run, Run]:
        """Slots reset at a bar, and the same slots silent until then."""
        fresh = np.zeros((BARS, SYMBOLS), bool)
        fresh[RESET, list(HANDED)] = True
        silent = [np.array(column) for column in self.bars]
        for name, column in zip(Bar._fields, silent, strict=True):
            if name not in ("anchor", "adjustment"):
                column[:RESET, list(HANDED)] = 0
        return self.replay(self.bars, fresh), self.replay(recorded.of_columns(silent))

    def of(self, spec: FeatureSpec, run: Run) -> Said:
        """One feature's values and masks, `[T, S]`."""
        at = self.plan.specs.index(spec)
        return Said(run.values[:, :, at], run.usable[:, :, at])

    def reach(self, spec: FeatureSpec) -> int:
        """Bars that the feature looks back, cut to the bank's window."""
        return spec.reach(self.plan.layout.window)

    def asked(
        self,
        spec: FeatureSpec,
        symbol: int,
        bar: int,
        names: tuple[str, ...] | None = None,
    ) -> dict[str, np.ndarray]:
        """The columns of one window, as `FeatureSpec.reference` wants them."""
        return features.asked(
            spec, self.columns, self.reach(spec), symbol, bar, names or spec.columns
        )

    def windows(self, spec: FeatureSpec) -> list[tuple[int, int]]:
        """Symbols and bars to compare at, the last ones: around every planted edge."""
        count, first = len(self.bars.live), self.reach(spec) - 1
        start = max(first, count - BARS)
        edges = (recorded.SPIKE, recorded.SPIKE + 1, count - recorded.SILENCE)
        edges += (count - recorded.RETURN,)
        bars = {*range(start, count, 29), *edges, count - 1}
        return [
            (symbol, bar)
            for bar in sorted(bars)
            for symbol in range(SYMBOLS)
            if self.columns.age[bar, symbol] > first
        ]


def check_matches_reference(spec: FeatureSpec, evidence: Evidence) -> None:
    """Streaming gives what the definition gives, wherever it is defined."""
    values, _ = evidence.of(spec, evidence.whole)
    pairs = evidence.windows(spec)
    streamed = np.array([values[bar, symbol] for symbol, bar in pairs])
    defined = np.array([spec.reference(evidence.asked(spec, *pair)) for pair in pairs])
    row = features.agrees(spec, streamed, defined)
    error = relative_error(streamed, defined)
    worst = int(np.nan_to_num(error, nan=np.inf).argmax())
    assert row.passed, (
        f"{spec.name} at (symbol, bar) {pairs[worst]}: streamed {streamed[worst]}, "
        f"defined {defined[worst]}; {row}"
    )


def check_tolerance_bites(spec: FeatureSpec, evidence: Evidence) -> None:
    """The tolerance is small beside how much the feature varies without any edge."""
    values, usable = evidence.of(spec, evidence.whole)
    plain = [recorded.NORMAL, recorded.DEAR, recorded.LATE, recorded.WILD]
    varies = values[:, plain][usable[:, plain]].std()
    assert 0 < spec.tolerance <= 0.05 * varies


def check_ignores_the_future(spec: FeatureSpec, evidence: Evidence) -> None:
    """Another future leaves every earlier bit as it was, and only the earlier ones."""
    runs = (evidence.of(spec, one) for one in (evidence.whole, evidence.disturbed))
    row = features.future(spec, *runs, boundary=DISTURBED)
    assert row.passed, row


def check_warms_up(spec: FeatureSpec, evidence: Evidence) -> None:
    """Unusable until `window + lag` bars are in, usable from that very bar."""
    said = evidence.of(spec, evidence.whole)
    row = features.warmup(spec, said, evidence.columns, evidence.reach(spec))
    assert row.passed, row
    first = evidence.reach(spec) - 1
    assert said.usable[first, recorded.WILD]
    assert said.usable[recorded.BEGINS + first, recorded.LATE]


def check_goes_stale(spec: FeatureSpec, evidence: Evidence) -> None:
    """Masked once a symbol has been silent too long, and not before."""
    _, usable = evidence.of(spec, evidence.whole)
    gone = BARS - recorded.SILENCE + STALE_BARS
    assert usable[gone - 1, recorded.LOST]
    assert not usable[gone:, recorded.LOST].any()
    back = BARS - recorded.RETURN
    assert not usable[gone:back, recorded.BACK].any()
    assert usable[back:, recorded.BACK].all()


def check_is_finite(spec: FeatureSpec, evidence: Evidence) -> None:
    """A number on every planted edge, warm or not, and in range wherever usable."""
    values, usable = evidence.of(spec, evidence.whole)
    assert np.isfinite(values).all()
    assert (values[usable] >= np.float32(spec.low)).all()
    assert (values[usable] <= np.float32(spec.high)).all()


def check_slot_reset_is_fresh(spec: FeatureSpec, evidence: Evidence) -> None:
    """A slot handed on says, bit for bit, what a new one says."""
    slots = np.isin(np.arange(SYMBOLS), HANDED)
    reset, new = (evidence.of(spec, run).of(slots) for run in evidence.handed)
    row = features.slot(spec, reset, new, RESET)
    assert row.passed, row
    assert reset.usable[RESET:].any()


def check_names_what_it_misses(spec: FeatureSpec, evidence: Evidence) -> None:
    """Without any one bar column that it needs, the feature is absent by name."""
    needed = {bar for name in spec.columns for bar in COLUMNS[name]}
    layout = evidence.plan.layout
    for missed in needed:
        columns = tuple(name for name in Bar._fields if name != missed)
        poor = planning.plan(layout._replace(columns=columns), [spec])
        assert poor.absent == {spec.name: (missed,)}
        assert not poor.present


def check_reads_what_it_declares(spec: FeatureSpec, evidence: Evidence) -> None:
    """The streaming form needs no bar column that `reference` does not name."""
    needed = {bar for name in spec.columns for bar in COLUMNS[name]}
    read = {bar for name in streamed_columns(spec) for bar in COLUMNS[name]}
    assert read <= needed


def streamed_columns(spec: FeatureSpec) -> set[str]:
    """Columns of a feature's streaming form, through intermediates and lags."""
    if spec.form in ("shared", "windowed"):
        return shared.expanded(arguments(spec.implementation.value))
    if spec.form == "incremental":
        return {column_of(name) for name in recursions.inputs(spec)}
    return {column_of(name) for name in arguments(spec.implementation.terms)}


CHECKS = (
    check_matches_reference,
    check_tolerance_bites,
    check_ignores_the_future,
    check_warms_up,
    check_goes_stale,
    check_is_finite,
    check_slot_reset_is_fresh,
    check_names_what_it_misses,
    check_reads_what_it_declares,
)
