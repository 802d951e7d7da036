"""How often JAX compiled something: a running engine never does."""

from types import TracebackType
from typing import Any, Self

from jax import monitoring

EVENT = "/jax/core/compile/backend_compile_duration"


class Compilations:
    """Counts compilations while its block runs; `settle` begins the count anew."""

    def __init__(self) -> None:
        self._total = self._early = 0

    def __enter__(self) -> Self:
        monitoring.register_event_duration_secs_listener(self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        monitoring.unregister_event_duration_listener(self._hear)

    def settle(self) -> None:
        """Everything that runs from now on has been compiled."""
        self._early = self._total

    @property
    def late(self) -> int:
        """Compilations since `settle`."""
        return self._total - self._early

    def _hear(self, event: str, duration_secs: float, **kwargs: Any) -> None:
        self._total += event == EVENT
