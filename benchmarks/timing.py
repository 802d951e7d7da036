"""Measuring: completion is awaited, page faults are counted, quantiles are taken."""

import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from benchmarks.result import Row

T = TypeVar("T")

QUANTILES = (0.5, 0.99, 0.999)


class Laps:
    """What was measured of each stage, in the order of measuring."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], list[float]] = {}
        """by stage and unit"""

    def add(self, stage: str, value: float, unit: str = "ms") -> None:
        self.values.setdefault((stage, unit), []).append(value)

    def call(self, stage: str, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns once it is complete; its time and page faults."""
        faults, began = page_faults(), time.perf_counter()
        result = jax.block_until_ready(function(*arguments))
        self.add(stage, (time.perf_counter() - began) * 1e3)
        self.add(stage, page_faults() - faults, "faults")
        return result

    def each(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """The items; what making all of them took, without what came between."""
        iterator, spent = iter(items), 0.0
        while True:
            began = time.perf_counter()
            item = next(iterator, self)
            spent += time.perf_counter() - began
            if item is self:
                break
            yield item  # pyright: ignore[reportReturnType]
        self.add(stage, spent * 1e3)

    def last(self, stage: str, unit: str = "ms") -> float:
        """The newest value."""
        return self.values[stage, unit][-1]

    def since(self, warmup: int) -> "Laps":
        """Without the first values of every stage; for stages met once a step."""
        later = Laps()
        later.values = {key: found[warmup:] for key, found in self.values.items()}
        return later

    def rows(self, warmup: int, floors: Mapping[str, float]) -> list[Row]:
        """A row a stage and unit; `floors` by stage, ms. Times come first."""
        keys = sorted(self.values, key=lambda key: key[1] != "ms")
        return [
            quantiles(
                self.values[stage, unit],
                stage,
                unit,
                warmup,
                floors.get(stage) if unit == "ms" else None,
            )
            for stage, unit in keys
        ]


def quantiles(
    values: Iterable[float],
    stage: str,
    unit: str,
    warmup: int,
    floor: float | None = None,
) -> Row:
    """Median, 99 % and 99.9 % of the measured values."""
    found = np.array(list(values))
    p50, p99, p999 = map(rounded, np.quantile(found, QUANTILES).tolist())
    return Row(
        stage=stage,
        unit=unit,
        n=len(found),
        warmup=warmup,
        p50=p50,
        p99=p99,
        p999=p999,
        floor=None if floor is None else rounded(floor),
    )


def rate(times: Row, amount: float, unit: str) -> Row:
    """How much a second, from the milliseconds that an amount takes."""

    def by_second(ms: float) -> float:
        return rounded(amount / ms * 1e3)

    return Row(
        stage=times.stage,
        impl=times.impl,
        unit=unit,
        n=times.n,
        warmup=times.warmup,
        p50=by_second(times.p50),
        p99=by_second(times.p99),
        p999=by_second(times.p999),
        floor=None if times.floor is None else by_second(times.floor),
    )


def one(stage: str, value: float, unit: str, impl: str = "bot4jax") -> Row:
    """A quantity that was found once, or a best of several."""
    value = rounded(value)
    return Row(
        stage=stage,
        impl=impl,
        unit=unit,
        n=1,
        warmup=0,
        p50=value,
        p99=value,
        p999=value,
    )


def least_ms(function: Callable[[], object], repetitions: int) -> float:
    """The shortest of several runs: what the machine can do when nothing disturbs."""
    shortest = float("inf")
    for _ in range(repetitions):
        began = time.perf_counter()
        jax.block_until_ready(function())
        shortest = min(shortest, time.perf_counter() - began)
    return shortest * 1e3


def page_faults() -> int:
    """Pages that the kernel had to provide to this process since its start."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt + usage.ru_majflt


def rounded(value: float) -> float:
    """Six digits: more than any clock is good for."""
    return float(f"{value:.6g}")
