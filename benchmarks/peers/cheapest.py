"""Which functions yield all features in the least time: some yield several at once."""

from collections.abc import Iterator, Sequence
from itertools import combinations


def cheapest(features: Sequence[frozenset[str]], costs: Sequence[float]) -> list[int]:
    """The functions, by number, that together yield every feature and cost the least.

    Functions that share no feature do not depend on each other, so every subset of
    those that do is looked at.
    """
    chosen = (_best(group, features, costs) for group in groups(features))
    return sorted(number for own in chosen for number in own)


def groups(features: Sequence[frozenset[str]]) -> list[list[int]]:
    """The functions, by number, parted so that no feature is yielded by two parts."""
    parts: list[tuple[set[str], list[int]]] = []
    for number, own in enumerate(features):
        met = [part for part in parts if part[0] & own]
        parts = [part for part in parts if part not in met]
        names = own.union(*(part[0] for part in met))
        parts.append((set(names), [n for part in met for n in part[1]] + [number]))
    return [numbers for _, numbers in parts]


def _best(
    group: Sequence[int], features: Sequence[frozenset[str]], costs: Sequence[float]
) -> tuple[int, ...]:
    wanted = frozenset().union(*(features[n] for n in group))
    covers = (
        some
        for some in _subsets(group)
        if frozenset().union(*(features[n] for n in some)) == wanted
    )
    return min(covers, key=lambda some: sum(costs[n] for n in some))


def _subsets(group: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for size in range(1, len(group) + 1):
        yield from combinations(group, size)
