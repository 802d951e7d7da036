"""The user's own features, members and sources: modules that `plugins` names.

A plugin registers with `@feature` as our own modules do, and its features are computed,
listed, hashed and certified as ours are; so are its nets, registered with `@member`. A
market that it opens is registered with `@source`. It is code and runs with the user's
rights; nothing is imported before the whole configuration has been found sound.
"""

import difflib
import importlib
from collections.abc import Sequence
from typing import Any

from bot4jax.errors import ConfigError
from bot4jax.kernels import CATALOGUE, reading
from bot4jax.kernels.history import COLUMNS
from bot4jax.registry import NETS, SOURCES, FeatureSpec


def load(plugins: Sequence[str]) -> None:
    """Import the modules in their order; each must bring something."""
    for name in plugins:
        _import(name)
        told = [one for spec in _features_of(name) for one in _strange(name, spec)]
        if told:
            raise ConfigError(told)
        brought = (*CATALOGUE.values(), *NETS.values(), *SOURCES.values())
        if not any(is_from(one, name) for one in brought):
            raise ConfigError(
                [
                    f"plugins: '{name}' registers no feature, member or source; "
                    "decorate one with @feature, @member or @source of "
                    "bot4jax.registry, or import the module that does"
                ]
            )


def is_from(one: Any, module: str) -> bool:
    """Whether something is defined in a module, or in a package of that name."""
    own = one.implementation if isinstance(one, FeatureSpec) else one
    return f"{own.__module__}.".startswith(f"{module}.")


def _features_of(module: str) -> list[FeatureSpec]:
    return [spec for spec in CATALOGUE.values() if is_from(spec, module)]


def _strange(module: str, spec: FeatureSpec) -> list[str]:
    """A problem for each name that a feature reads and is no column."""
    found = []
    for name in reading.strangers(spec):
        close = difflib.get_close_matches(name, COLUMNS, n=1)
        advice = f" Did you mean '{close[0]}'?" if close else ""
        found.append(
            f"plugins: '{module}': feature '{spec.name}' reads '{name}', which is no "
            f"column.{advice} COLUMNS of bot4jax/kernels/history.py lists them"
        )
    return found


def _import(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(
            [
                f"plugins: no module '{error.name}' (of '{name}'); install it, or put "
                "the folder above it on PYTHONPATH"
            ]
        ) from None
    except ValueError as error:
        raise ConfigError([f"plugins: '{name}': {error}"]) from error
