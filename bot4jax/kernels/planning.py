"""Decided once for every bar: which features are fed, and what is kept for them."""

from collections.abc import Iterable
from dataclasses import dataclass

from bot4jax.kernels import additive, history, reading, recursions
from bot4jax.kernels.additive import Term
from bot4jax.registry import FeatureSpec
from bot4jax.types import Layout


@dataclass(frozen=True)
class Plan:
    """Static: which features are computed and how."""

    layout: Layout
    specs: tuple[FeatureSpec, ...]
    present: tuple[FeatureSpec, ...]
    floats: tuple[str, ...]
    """float windows that are kept"""
    mids: tuple[str, ...]
    """mid windows that are kept"""
    terms: tuple[Term, ...]
    """sums that are kept"""

    @property
    def incremental(self) -> tuple[FeatureSpec, ...]:
        return tuple(spec for spec in self.present if spec.form == "incremental")

    @property
    def watched(self) -> list[str]:
        """The columns that present features read."""
        return sorted({name for spec in self.present for name in reading.columns(spec)})

    @property
    def absent(self) -> dict[str, tuple[str, ...]]:
        """Features that the source cannot feed, and the columns they miss."""
        return {
            spec.name: reading.missing(spec, self.layout)
            for spec in self.specs
            if spec not in self.present
        }


def plan(layout: Layout, specs: Iterable[FeatureSpec]) -> Plan:
    """The plan of the chosen features for what the source fills."""
    chosen = tuple(specs)
    return _planned(_cut(layout, chosen), chosen)


def part(whole: Plan, names: Iterable[str]) -> Plan:
    """The plan of some of its features alone, kept for as long as there."""
    asked = set(names)
    own = tuple(spec for spec in whole.specs if spec.name in asked)
    return _planned(whole.layout, own)


def _planned(layout: Layout, chosen: tuple[FeatureSpec, ...]) -> Plan:
    """What is fed and kept of these."""
    present = tuple(one for one in chosen if not reading.missing(one, layout))
    kept = {name for spec in present for name in reading.windows(spec)}
    mids = (mid for path, mid in history.PATHS.items() if path in kept)
    return Plan(
        layout=layout,
        specs=chosen,
        present=present,
        floats=tuple(name for name in history.FLOAT_WINDOWS if name in kept),
        mids=tuple(dict.fromkeys(mids)),
        terms=additive.plan_terms(present, layout.window),
    )


def _cut(layout: Layout, specs: tuple[FeatureSpec, ...]) -> Layout:
    """The layout with rings no longer than any feature looks back."""
    longest = max((spec.window for spec in specs), default=layout.window)
    window = min(layout.window, longest)
    for spec in specs:
        fills_ring = spec.form == "incremental" and recursions.fills_ring(spec)
        if fills_ring and spec.window < window:
            raise ValueError(
                f"Feature '{spec.name}' counts over whole rings, which are {window} "
                f"bars long here, but its window is {spec.window}. Make both equal."
            )
    return layout._replace(window=window)
