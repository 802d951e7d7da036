"""Features of a recorded market in one call, for notebooks.

`Bank(load(["features.window=64"])).transform(frame)` is all there is to it. The bank
that serves goes through the bars in a scan, so that a researcher's columns are those
that an engine trained on the same bars has, to the bit.
"""

from functools import partial
from pathlib import Path

import jax
import numpy as np
import polars as pl
from jaxtyping import Array, Float, Int

from bot4jax.data.columns import Columns, check_mapping
from bot4jax.data.daily import Daily
from bot4jax.data.source import DataError, Source
from bot4jax.data.sources import open_source
from bot4jax.data.table import NAMES, read_table
from bot4jax.kernels import bank, bars
from bot4jax.kernels.history import Scales
from bot4jax.kernels.planning import Plan
from bot4jax.kernels.usable import RawFeatures
from bot4jax.learn.dataset import BarRecord, fit_scales, record_bars
from bot4jax.modes.keeping import anchors_of
from bot4jax.modes.setting import Setting, stage_on
from bot4jax.modes.spans import spans
from bot4jax.modes.tapes import closed_bars
from bot4jax.schema import Config
from bot4jax.schema.data import ColumnData


class Bank:
    """Every configured feature of every symbol and bar, as its definition says.

    Units are frozen on `spans.train` bars behind the warm-up, as before members are
    fitted; the bars behind those know nothing of what comes after them.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def transform(
        self, market: pl.DataFrame | str | Path | None = None
    ) -> pl.DataFrame:
        """One row a bar and symbol: `time`, `symbol`, then the features.

        `market` is a frame or a file of bars or ticks, one row each, whose columns have
        our names or those of `data.mapping`; without it the configured source is read.
        `time` is when the bar opened: its features are known `data.bar_seconds` later.
        What is absent or masked is null.
        """
        setting = staged(self.config, market)
        record = recorded(setting)
        scales = fit_scales(record, setting.split.train)
        raw = through(setting.settings.plan, scales, record)
        return framed(setting, raw)


def staged(config: Config, market: pl.DataFrame | str | Path | None) -> Setting:
    """The market opened, and long enough for its units to be frozen."""
    split = spans(config)
    needed = split.train.stop
    source = (
        open_source(config, needed) if market is None else columns_of(config, market)
    )
    if source.bar_count < needed:
        raise DataError(
            f"{source.bar_count} bars of {config.data.bar_seconds:g} s were found, "
            f"{needed} are needed to warm up and to freeze units on: shorten "
            "spans.train or features.window."
        )
    return stage_on(config, source, split)


def columns_of(config: Config, market: pl.DataFrame | str | Path) -> Columns:
    """A frame or a file as a source."""
    is_frame = isinstance(market, pl.DataFrame)
    table = market if is_frame else read_table(Path(market))
    own = config.data
    mapping, unit = {name: name for name in NAMES if name in table.columns}, "ns"
    if isinstance(own, ColumnData):
        mapping, unit = own.mapping or mapping, own.times_unit
    try:
        check_mapping(mapping, unit)
    except DataError as error:
        raise DataError(f"{error} Found: {', '.join(table.columns)}.") from None
    return Columns(table, mapping, unit, own.bar_seconds)


def recorded(setting: Setting) -> BarRecord:
    """Every bar of the source."""
    first = bars.init_bars(anchors_of(setting))
    _, closed = closed_bars(setting, first, 0, setting.source.bar_count)
    return record_bars(0, ((one.ints, one.floats) for one in closed))


def through(plan: Plan, scales: Scales, record: BarRecord) -> RawFeatures:
    """All bars through the bank, from its very first state on; `[T, S, F]` each."""
    return jax.device_get(
        _scan(plan, scales, bank.init(plan), record.ints, record.floats)
    )


@partial(jax.jit, static_argnums=0)
def _scan(
    plan: Plan,
    scales: Scales,
    state: bank.BankState,
    ints: Int[Array, "T B S"],
    floats: Float[Array, "T D S"],
) -> RawFeatures:
    def step(state, bar):
        return bank.update(plan, scales, state, bars.unpack_bar(*bar))

    return jax.lax.scan(step, state, (ints, floats))[1]


def framed(setting: Setting, raw: RawFeatures) -> pl.DataFrame:
    """The features as columns, bars first, then symbols."""
    times, names = opened_at(setting.source), setting.source.universe.symbols
    features = [spec.name for spec in setting.settings.plan.specs]
    keys = pl.DataFrame(
        {
            "time": np.repeat(times, len(names)),
            "symbol": np.tile(np.array(names), len(times)),
        }
    )
    shown = np.where(raw.usable, raw.values, np.float32(np.nan))
    values = shown.reshape(-1, len(features))
    table = pl.DataFrame(values, schema=features).fill_nan(None)
    return keys.hstack(table)


def opened_at(source: Source) -> np.ndarray:
    """When each bar opened; trading days, where bars count no weekends."""
    if isinstance(source, Daily):
        return np.array(source.dates, "datetime64[ns]")
    opened = source.start_ns + np.arange(source.bar_count) * source.bar_ns
    return opened.astype("datetime64[ns]")
