"""Features of the user's own: modules that `plugins` names, imported in one place.

A plugin registers with `@feature` as our own modules do, and its features are computed,
listed, hashed and certified as ours are. It is code and runs with the user's rights;
nothing is imported before the whole configuration has been found sound.
"""

import importlib
import inspect
from collections.abc import Sequence

from bot4jax.errors import ConfigError
from bot4jax.kernels import CATALOGUE
from bot4jax.registry import FeatureSpec, select


def chosen(
    plugins: Sequence[str], names: str | Sequence[str]
) -> tuple[FeatureSpec, ...]:
    """The configured features, those of the plugins among them."""
    load(plugins)
    return select([names] if isinstance(names, str) else names)


def load(plugins: Sequence[str]) -> None:
    """Import the modules in their order; each must bring at least one feature."""
    for name in plugins:
        _import(name)
        if not any(is_from(spec, name) for spec in CATALOGUE.values()):
            raise ConfigError(
                [
                    f"plugins: '{name}' registers no feature; decorate a class with "
                    "@feature of bot4jax.registry, or import the module that does"
                ]
            )


def is_from(spec: FeatureSpec, module: str) -> bool:
    """Whether a feature is defined in a module, or in a package of that name."""
    own = spec.implementation
    owner = own if inspect.isclass(own) else type(own)
    return f"{owner.__module__}.".startswith(f"{module}.")


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
