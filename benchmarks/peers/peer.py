"""What a peer is: a function of another library that computes features of ours.

Its parameters are named like the columns it reads, windows `[S, W]` in float64 with the
oldest bar first, and it returns one array `[S]` for each of its features. It stands
here only because `tests/benchmarks/test_peers.py` finds its values equal to the
definition.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from bot4jax.registry import FeatureSpec, arguments

Values = Callable[..., Any]

CLOSE = 5e-7
"""How far a peer may be from the definition, over the largest value: libraries begin
Wilder's averages otherwise, and an average of averages forgets its beginning over 256
bars to 256 / 14 × (13/14)²⁵⁶ = 1e-7."""


class Peer(NamedTuple):
    """One function; what it shares among its features is computed once."""

    library: str
    """that does the work"""
    features: tuple[str, ...]
    values: Values
    columns: tuple[str, ...]


def peer(library: str, *features: str) -> Callable[[Values], Peer]:
    """A function of whole arrays."""
    return lambda values: Peer(library, features, values, arguments(values))


def one_by_one(library: str, *features: str) -> Callable[[Values], Peer]:
    """A function of one series, called for every symbol in turn."""

    def made(function: Values) -> Peer:
        def values(*columns: np.ndarray) -> np.ndarray:
            return np.array([function(*rows) for rows in zip(*columns, strict=True)]).T

        return Peer(library, features, values, arguments(function))

    return made


def called(one: Peer, windows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The values of every feature, `[S]` each."""
    found = one.values(*(windows[name] for name in one.columns))
    rows = np.reshape(found, (len(one.features), -1))
    return dict(zip(one.features, rows, strict=True))


def reach(one: Peer, specs: Mapping[str, FeatureSpec], window: int) -> int:
    """Bars that the peer reads; its features must agree on them."""
    lengths = {specs[f].reach(window) for f in one.features}
    (length,) = lengths
    return length


def known(peers: list[Peer], specs: Mapping[str, FeatureSpec]) -> Iterator[Peer]:
    """Those whose features are all among the chosen ones."""
    return (one for one in peers if set(one.features) <= set(specs))
