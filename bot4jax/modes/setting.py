"""The stage for every mode: the market, its spans, and the engine compiled for it."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from bot4jax import plugins, registry
from bot4jax.data.source import Source
from bot4jax.data.sources import open_source
from bot4jax.data.universe import Universe
from bot4jax.engine import Engine, compile_engine
from bot4jax.errors import ConfigError, DataError
from bot4jax.kernels import planning
from bot4jax.learn.splits import Split
from bot4jax.modes.spans import spans
from bot4jax.nets.sizes import NETS, NetSizes
from bot4jax.schema import Config
from bot4jax.state import Settings
from bot4jax.types import FRACTION, Layout

BESIDE = ("trees",)
"""Members that are no nets."""

NAMED = 5
"""Symbols that a refusal tells by name."""

REGIMES = {"none": 1, "volatility": 3}
"""How many a calibration tells apart."""

logger = logging.getLogger(__name__)


class Setting(NamedTuple):
    """What a run plays on."""

    config: Config
    source: Source
    split: Split
    settings: Settings
    engine: Engine


def set_stage(config: Config) -> Setting:
    """Open the source and decide everything static."""
    split = spans(config)
    return stage_on(config, open_source(config, split.bars), split)


def trading_stage(config: Config) -> Setting:
    """The same for a mode that trades: all of it in the currency of the account."""
    setting = set_stage(config)
    expect_one_currency(setting.source.universe)
    return setting


def account_currency(universe: Universe) -> str:
    """That of the first instrument's settlement."""
    return universe.instruments[0].settlement


def expect_one_currency(universe: Universe) -> None:
    """Refuse what settles in another currency than the account is kept in.

    No rate between them is known, so that nothing of it could be sized, limited or
    valued.
    """
    own, first = account_currency(universe), universe.symbols[0]
    others = defaultdict[str, list[str]](list)
    for one in universe.instruments:
        if one.settlement != own:
            others[one.settlement].append(one.symbol)
    if not others:
        return
    found = "; ".join(
        f"{_shortened(symbols)} in {name}" for name, symbols in sorted(others.items())
    )
    raise DataError(
        f"The account is kept in {own}, in which {first}, the first symbol, settles, "
        f"and others settle elsewhere: {found}. No rate between these currencies is "
        "known, so nothing of them could be sized, limited or valued. Trade each "
        "currency in a run of its own: put its files into a folder of their own and "
        "name that by data.path, or keep to the first symbols by data.symbols."
    )


def _shortened(symbols: Sequence[str]) -> str:
    """The first few by name, and how many more there are."""
    more = len(symbols) - NAMED
    return ", ".join(symbols[:NAMED]) + (f" and {more} more" if more > 0 else "")


def stage_on(config: Config, source: Source, split: Split) -> Setting:
    """The same on a source that is open already."""
    sizes = net_sizes(config)  # first: plugins bring features and members
    layout = Layout(
        symbols=len(source.universe.instruments),
        window=config.features.window,
        capacity=config.runtime.capacity,
        horizon=config.labels.horizon,
        latency=round(
            config.labels.latency_ms / 1e3 / config.data.bar_seconds * FRACTION
        ),
        columns=tuple(source.columns),
    )
    read = registry.select(config.features.fallback)
    settings = Settings(
        planning.plan(layout, registry.select(config.features.names)),
        sizes,
        config.ensemble.members,
        config.labels.ends == "barriers",
        config.ensemble.calibration == "isotonic",
        fallback=tuple(spec.name for spec in read),
        regimes=REGIMES[config.ensemble.regimes],
        half_spread=None if source.has_ticks else config.venue.half_spread_bps * 1e-4,
    )
    if settings.fallback and not settings.glancing.present:
        logger.warning(
            "features.fallback: none of %s is among features.names and fed by this "
            "source, so the fallback says the classes' shares, whatever happens.",
            ", ".join(settings.fallback),
        )
    return Setting(config, source, split, settings, compile_engine(settings))


def expect_known(config: Config) -> None:
    """Tell of every feature and member that neither we nor plugins bring.

    Before a run's folder is opened: with such a name it would be of another
    configuration, and the advice to remove the run that lies there.
    """
    plugins.load(config.plugins)
    known = *NETS, *registry.NETS, *BESIDE
    problems = [
        *registry.strangers(config.features.names, "features.names"),
        *registry.strangers(config.features.fallback, "features.fallback"),
        *(
            f"ensemble.members: no plugin registers '{name}'; there are "
            f"{', '.join(known)}"
            for name in sorted(set(config.ensemble.members) - set(known))
        ),
    ]
    if problems:
        raise ConfigError(problems)


def net_sizes(config: Config) -> NetSizes:
    """The configured nets that are members of the ensemble, those of plugins too; all
    that is configured is known."""
    expect_known(config)
    tree = msgspec.to_builtins(config.nets)
    chosen = [name for name in config.ensemble.members if name not in BESIDE]
    return msgspec.convert(tree | {"members": chosen}, NetSizes)
