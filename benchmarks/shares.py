"""Who pays how much of one fused call, and how that compares with peers.

A call for all features cannot be timed feature by feature. So every family is called
alone and every feature is called alone, and the whole is shared out: each feature pays
an even part of what any call costs, families pay what is left in proportion to what
they cost alone beyond that, and a family's features pay theirs in the same way. What
features of a family share is so paid once, and all charges add up to the whole.
"""

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.result import Row
from benchmarks.timing import rounded
from bot4jax.registry import FeatureSpec

WHOLE = "bank"
"""The stage of one call for all features."""

ENTROPIES = ("sample_entropy", "approximate_entropy")
"""Features that libraries take longest for."""

Ms = Mapping[str, float]


def charges(
    specs: Sequence[FeatureSpec], alone: Ms, families: Ms, whole: float
) -> dict[str, float]:
    """What each feature pays of the whole call, ms."""
    base = min(*alone.values(), whole)
    by_family = _shared_out(whole - base, _beyond(families, base))
    paid = {}
    for family, amount in by_family.items():
        own = {spec.name: alone[spec.name] for spec in specs if spec.category == family}
        paid |= _shared_out(amount, _beyond(own, base))
    return {spec.name: base / len(specs) + paid[spec.name] for spec in specs}


def fastest(rows: Sequence[Row]) -> dict[str, Row]:
    """By feature, the row of the peer that needs the least."""
    found: dict[str, Row] = {}
    for row in rows:
        if row.stage not in found or row.p50 < found[row.stage].p50:
            found[row.stage] = row
    return found


def ratios(peers: Ms, charged: Ms, whole: float) -> dict[str, float]:
    """What the peers need over what we need; all of our call stands against theirs.

    Features without a peer are paid for by us alone; only the median leaves them out.
    """
    if not peers:
        return {}
    total, largest = sum(peers.values()), max(peers.values())
    entropies = sum(peers.get(name, 0.0) for name in ENTROPIES)
    each = [ms / charged[name] for name, ms in peers.items()]
    return {
        "total": rounded(total / whole),
        "median": rounded(median(each)),
        "without_entropies": rounded((total - entropies) / whole),
        "without_largest": rounded((total - largest) / whole),
    }


def _beyond(costs: Ms, base: float) -> dict[str, float]:
    return {name: max(ms - base, 0.0) for name, ms in costs.items()}


def _shared_out(amount: float, weights: Ms) -> dict[str, float]:
    """The amount in proportion to the weights; evenly where there are none."""
    total = sum(weights.values())
    if total == 0:
        return dict.fromkeys(weights, amount / len(weights))
    return {name: amount * weight / total for name, weight in weights.items()}
