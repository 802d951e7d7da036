"""The catalogue of features: what each one means, needs and promises.

Registering a feature is enough to have it computed, documented, tested and hashed
into the checkpoint. A feature has one of four forms, and the bank evaluates each form
in its cheapest way:

- `Additive`: `terms` of one bar, summed over the window, then `finish`;
- `Incremental`: `init`, `update` with little work a bar, then `finish`;
- `Shared`: `value` of a named intermediate that is computed once for all;
- `Windowed`: `value` of the window itself, recomputed every bar; the last resort.

The parameters' names are the columns a feature reads (`kernels.history.COLUMNS`): one
number a bar in `terms` and `update`, the window with the oldest bar first in `value`.
In `terms`, `<column>_<k>_ago` is the column `k` bars earlier. In `update`,
`<column>_window` is the ordered window, `<column>_ring` the same bars as they lie in
memory, twice over, `<column>_dropped` the bar that has just left them and `bar` the
number of the newest, which lies at `bar % W` and `W` further.
"""

import difflib
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float

from bot4jax.errors import ConfigError
from bot4jax.types import MEMBERS

CATEGORIES = (
    "statistical",
    "frequency",
    "wavelet",
    "microstructure",
    "order flow",
    "fractal",
    "information",
    "technical",
    "volatility regime",
    "cross-sectional",
)

Scalar = Float[Array, ""]
Terms = tuple[Scalar, ...]


class Additive:
    """A function of sums over the window; subclasses give `terms` and `finish`.

    `finish` takes the sums in the order of `terms`, then `count`, the bars summed.
    Classes that inherit the same `terms` share its sums.
    """

    form = "additive"


class Incremental:
    """A recursion: `init -> state`, `update(state, columns…) -> (state, found)`.

    `init` may ask for `window`, the bars of the bank's rings. The state is any tree of
    arrays; short float32 ones are packed with all others' into one. Classes that
    inherit the same `update` share its state, and `finish(found)` is the value.
    """

    form = "incremental"

    @staticmethod
    def finish(found: Any) -> Scalar:
        return found


class Shared:
    """A function of named intermediates and windows: `value(names…) -> value`."""

    form = "shared"


class Windowed:
    """A function of the window alone: `value(columns…) -> value`."""

    form = "windowed"


class Tolerance(NamedTuple):
    """How far a streaming form may be from its definition in float64."""

    value: float
    """relative to max(1, |definition|)"""
    reason: str
    """why it is not smaller, or may not be as large as others"""


ROUNDED = Tolerance(
    1e-5,
    "sums of a window in float32 are right to some 1e-6 of what was added; a quotient, "
    "a root or a logarithm of them loses up to a digit",
)
"""Of features that have no reason of their own."""


@dataclass(frozen=True)
class FeatureSpec:
    """What the catalogue knows of one feature."""

    name: str
    category: str
    form: str
    window: int
    """bars; cut to the engine's window where that is shorter"""
    lag: int
    """bars before the window that the terms reach back to"""
    unit: str
    low: float
    high: float
    """valid range of the value, bounds included"""
    source: str
    """author (year), title"""
    columns: tuple[str, ...]
    """columns that `reference` reads, the same that the streaming form needs"""
    tolerance: float
    """largest difference to `reference`, relative to max(1, |reference|)"""
    reason: str
    """of the tolerance"""
    carried: bool
    """a recursion that forgets slowly: its definition reads all bars since the first"""
    standard_error: float | None
    """of one value on independent normal returns, where it is an estimate"""
    summary: str
    details: str
    """what else there is to know, in one paragraph"""
    implementation: Any

    def span(self, window: int) -> int:
        """Bars of its own window where rings hold `window`."""
        return min(self.window, window)

    def reach(self, window: int) -> int:
        """The same with those before them that its terms reach back to."""
        return self.span(window) + self.lag

    def reference(self, columns: dict[str, np.ndarray]) -> float:
        """The value by its definition, in float64 NumPy.

        `columns[name]` holds `window + lag` bars, the oldest first; of a carried
        feature every bar since the symbol's first.
        """
        if self.carried:
            return float(self.path(columns)[-1])
        return float(self.implementation.reference(**self._exact(columns)))

    def path(self, columns: dict[str, np.ndarray]) -> Float[np.ndarray, " T"]:
        """A carried feature by its definition at every bar since the symbol's first."""
        return np.asarray(self.implementation.path(**self._exact(columns)))

    def _exact(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: np.asarray(columns[name], np.float64) for name in self.columns}


CATALOGUE: dict[str, FeatureSpec] = {}
"""Every registered feature, categories in order, then by definition."""


def snake(name: str) -> str:
    boundary = r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])"
    return re.sub(boundary, "_", name).lower()


def feature(
    *,
    category: str,
    unit: str,
    low: float,
    high: float,
    source: str,
    window: int = 256,
    lag: int = 0,
    name: str | None = None,
    tolerance: Tolerance = ROUNDED,
    carried: bool = False,
    standard_error: float | None = None,
) -> Callable[[Any], Any]:
    """Register a class, or an instance where one formula has several parameters.

    `window` of a `carried` feature is its warm-up alone, and its definition is `path`,
    the values at all bars since the first, in place of `reference`, the last one.
    """
    if category not in CATEGORIES:
        raise ValueError(f"Unknown category '{category}'. Use one of: {CATEGORIES}.")

    def register(implementation: Any) -> Any:
        is_class = inspect.isclass(implementation)
        owner = implementation if is_class else type(implementation)
        summary, _, rest = (inspect.getdoc(implementation) or "").partition("\n")
        details = " ".join(rest.split())
        expect_whole(owner.__name__, implementation, carried)
        definition = implementation.path if carried else implementation.reference
        spec = FeatureSpec(
            name=name or snake(owner.__name__),
            category=category,
            form=implementation.form,
            window=window,
            lag=lag,
            unit=unit,
            low=low,
            high=high,
            source=source,
            columns=arguments(definition),
            tolerance=tolerance.value,
            reason=tolerance.reason,
            carried=carried,
            standard_error=standard_error,
            summary=summary,
            details=details,
            implementation=implementation,
        )
        if spec.name in CATALOGUE:
            raise ValueError(f"Feature '{spec.name}' is registered twice.")
        CATALOGUE[spec.name] = spec
        _sort()
        return implementation

    return register


NEEDED = {
    "additive": ("terms", "finish"),
    "incremental": ("init", "update", "finish"),
    "shared": ("value",),
    "windowed": ("value",),
}
"""What a feature of each form is written by, beside its definition."""


def expect_whole(name: str, implementation: Any, carried: bool) -> None:
    """Refuse what has no form, or lacks one of its two formulas."""
    form = getattr(implementation, "form", None)
    if form not in NEEDED:
        raise ValueError(
            f"Feature '{name}' has no form: derive it from Additive, Incremental, "
            "Shared or Windowed."
        )
    needed = *NEEDED[form], "path" if carried else "reference"
    if missing := [one for one in needed if not hasattr(implementation, one)]:
        raise ValueError(
            f"Feature '{name}' lacks {', '.join(missing)}: one that is {form} is "
            f"written by {', '.join(needed)}; the last is its definition in float64."
        )


NETS: dict[str, Callable[[int, np.random.Generator], Any]] = {}
"""Nets of plugins by name: how to make one that reads so many inputs."""

SOURCES: dict[str, Callable[[Any, int], Any]] = {}
"""Markets of plugins by name: how to open one for a configuration and so many bars."""


TAKEN = (
    "ensemble",
    "fallback",
    "class_prior",
    "recent_prior",
    "last_return",
    "logistic_regression",
    "gradient_boosting",
    "alpha158_boosting",
    "per_symbol_boosting",
    *("stem", "heads", "total"),
)
"""What stands beside the members in every table, and parts that all nets share."""


def member(name: str) -> Callable[[Any], Any]:
    """Register what makes a net (`nets.carry.Net`): a member by this name."""
    if name in (*MEMBERS, *TAKEN):
        raise ValueError(f"Member '{name}' is the name of one of ours; take another.")
    return _named(NETS, "Member", name)


def source(name: str) -> Callable[[Any], Any]:
    """Register what opens a market (`data.source.Source`) by this name."""
    return _named(SOURCES, "Source", name)


def _named(owner: dict[str, Any], kind: str, name: str) -> Callable[[Any], Any]:
    def register(maker: Any) -> Any:
        if name in owner:
            raise ValueError(f"{kind} '{name}' is registered twice.")
        owner[name] = maker
        return maker

    return register


def arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of a function's parameters."""
    return tuple(inspect.signature(function).parameters)


VIEW = re.compile(r"_(\d+_ago|window|ring|dropped)$")


def column_of(name: str) -> str:
    """The column that a parameter of `terms`, `update` or `value` reads."""
    return VIEW.sub("", name)


def select(names: str | Iterable[str]) -> tuple[FeatureSpec, ...]:
    """The named features in the catalogue's order, or all for `all`."""
    if problems := strangers(names, "features.names"):
        raise ConfigError(problems)
    wanted = _listed(names)
    if wanted == ["all"]:
        return tuple(CATALOGUE.values())
    return tuple(spec for spec in CATALOGUE.values() if spec.name in wanted)


def strangers(names: str | Iterable[str], key: str) -> list[str]:
    """What is to be told of each name under a key that is not in the catalogue."""
    wanted = _listed(names)
    unknown = sorted(set(wanted) - set(CATALOGUE)) if wanted != ["all"] else []
    return [f"{key}: {_unknown(name)}" for name in unknown]


def _listed(names: str | Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, CATALOGUE, n=1)
    advice = f" Did you mean '{close[0]}'?" if close else ""
    return f"unknown feature '{name}'.{advice} mode=catalogue lists what there is"


def catalogue_hash(specs: Iterable[FeatureSpec] | None = None) -> str:
    """Identity of the feature list: names, forms, windows and columns, in order."""
    chosen = CATALOGUE.values() if specs is None else specs
    rows = [
        (one.name, one.category, one.form, one.window, one.lag, one.columns)
        for one in chosen
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def _sort() -> None:
    ordered = sorted(
        CATALOGUE.items(), key=lambda item: CATEGORIES.index(item[1].category)
    )
    CATALOGUE.clear()
    CATALOGUE.update(ordered)
