"""What is kept of an earlier call with the same sizes, for the very same nets.

Sizes name their members. What a plugin's member is, its function alone says: by
its name, another's net would be served by what was compiled for the first.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

from bot4jax import registry

P = ParamSpec("P")
Found = TypeVar("Found")


def kept_for_nets(most: int) -> Callable[[Callable[P, Found]], Callable[P, Found]]:
    """`lru_cache` by the arguments and by the nets that plugins have registered."""

    def keeping(function: Callable[P, Found]) -> Callable[P, Found]:
        @lru_cache(maxsize=most)
        def of(_: Any, *own: P.args, **named: P.kwargs) -> Found:
            return function(*own, **named)

        @wraps(function)
        def asked(*own: P.args, **named: P.kwargs) -> Found:
            return of(tuple(registry.NETS.items()), *own, **named)

        return asked

    return keeping
