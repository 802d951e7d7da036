"""What a feature reads: its columns, the windows kept in order, the bars behind them.

Its streaming form tells, through intermediates, lags and views; what of `Bar` it needs
is told by the columns of its definition, which tests hold to be the same.
"""

from bot4jax.kernels import history, recursions, shared
from bot4jax.kernels.history import COLUMNS
from bot4jax.registry import FeatureSpec, arguments, column_of
from bot4jax.types import Layout


def columns(spec: FeatureSpec) -> frozenset[str]:
    """Columns that a feature reads; a path is as good as the returns along it."""
    names = map(column_of, _streamed(spec))
    return frozenset("log_return" if name in history.PATHS else name for name in names)


def strangers(spec: FeatureSpec) -> tuple[str, ...]:
    """What a feature reads by definition or in its streaming form, and is no column."""
    read = {*spec.columns, *columns(spec)}
    return tuple(sorted(read - COLUMNS.keys() - set(history.PATHS)))


def windows(spec: FeatureSpec) -> set[str]:
    """Ordered windows that a feature reads, through intermediates and lags too."""
    is_whole = spec.form in ("shared", "windowed")
    names = _streamed(spec)
    return {column_of(name) for name in names if is_whole or column_of(name) != name}


def missing(spec: FeatureSpec, layout: Layout) -> tuple[str, ...]:
    """Columns of `Bar` that the feature needs and the source does not fill."""
    return tuple(sorted(_bar_columns(spec) - set(layout.columns)))


def needs_quotes(spec: FeatureSpec) -> bool:
    """Whether a quote that was never seen may have changed the feature."""
    return bool(_bar_columns(spec) - history.STANDING - history.TRADED)


def needs_trades(spec: FeatureSpec) -> bool:
    """Whether a trade, or a quote, that was never seen may have."""
    return bool(_bar_columns(spec) - history.STANDING)


def _streamed(spec: FeatureSpec) -> set[str]:
    """What a feature's streaming form reads, as it names it."""
    if spec.form == "additive":
        return set(arguments(spec.implementation.terms))
    if spec.form == "incremental":
        return set(recursions.inputs(spec))
    return shared.expanded(arguments(spec.implementation.value))


def _bar_columns(spec: FeatureSpec) -> set[str]:
    return {bar for name in spec.columns for bar in COLUMNS[name]}
