"""From shadow to full, and back: what a phase has shown, and what follows from it.

    shadow ──▶ paper ──▶ canary ──▶ full      once all is shown, with the next run
       ◀──────────◀─────────◀────────         at once, where one thing is broken

What is shown are means of bounded values (`learn/anytime.py`), so that they may be
judged after every step: an interval wholly on the right side holds, one wholly on the
wrong side is broken, and any other is open.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from bot4jax.learn.anytime import Mean, interval, observe
from bot4jax.learn.bootstrap import Interval
from bot4jax.schema.rollout import Rollout

LEAST_PROBABILITY = 0.001
"""What a class that was called less likely counts as, or one of them would outweigh all
others."""

LOG_LOSS, BPS = 7.0, 100.0
"""Bounds of a difference of log losses, nats (−log .001 is 6.9), and of slippage."""

RANGES: Mapping[str, tuple[float, float]] = {
    "log_loss": (-LOG_LOSS, LOG_LOSS),
    "calibration": (-1.0, 1.0),
    "slow": (0.0, 1.0),
    "rejected": (0.0, 1.0),
    "unfilled": (0.0, 1.0),
    "slippage_bps": (-BPS, BPS),
}
"""What is seen, and between what; less of it is better, of `calibration` less either
way."""

BESIDE_PAPER = ("unfilled", "slippage_bps")
"""Seen with real money, these are compared with what was seen on paper."""

INTERVALS = len(RANGES) + len(BESIDE_PAPER)
"""That one phase rests on, at most; they share its `alpha`."""


class Phase(enum.StrEnum):
    """How far a strategy has come."""

    SHADOW = "shadow"
    """it decides, and nothing leaves"""
    PAPER = "paper"
    """it trades at a venue on paper"""
    CANARY = "canary"
    """it trades a small share of the capital at a real venue"""
    FULL = "full"
    """it trades all of it there"""

    @property
    def rank(self) -> int:
        """How many phases lie before it."""
        return list(Phase).index(self)

    @property
    def is_real(self) -> bool:
        """Whether real money is traded."""
        return self in (Phase.CANARY, Phase.FULL)

    @property
    def gates(self) -> tuple[str, ...]:
        """What is judged in it."""
        forecasts = ("log_loss", "calibration", "slow")
        if self is Phase.SHADOW:
            return forecasts
        paper = (*forecasts, "rejected")
        return (*paper, *BESIDE_PAPER) if self.is_real else paper


class Verdict(enum.StrEnum):
    """What an interval says of its limit."""

    HOLDS = "holds"
    OPEN = "open"
    BROKEN = "broken"


class Evidence(msgspec.Struct, frozen=True):
    """What has been seen of a strategy in one phase."""

    bars: int = 0
    """of which forecasts were judged"""
    days: int = 0
    last_day: int = -1
    trips: int = 0
    """round trips that ended"""
    means: dict[str, Mean] = {}


class Finding(NamedTuple):
    """One gate of a phase."""

    name: str
    found: Interval
    limit: float
    verdict: Verdict

    @property
    def sentence(self) -> str:
        value, low, high = self.found
        return (
            f"{self.name} {value:.4g} [{low:.4g}, {high:.4g}] {self.verdict}, "
            f"limit {self.limit:.4g}"
        )


class Wanting(NamedTuple):
    """Time and trades that a phase must have seen."""

    name: str
    seen: float
    wanted: float

    @property
    def sentence(self) -> str:
        return f"{self.seen:.4g} of {self.wanted:.4g} {self.name}"


def seen(rules: Rollout, evidence: Evidence, values: Mapping[str, float]) -> Evidence:
    """The evidence with one value more of each of these; beyond its range, the end of
    it counts."""
    means = dict(evidence.means)
    for name, value in values.items():
        low, high = RANGES[name]
        share = (min(max(value, low), high) - low) / (high - low)
        means[name] = observe(means.get(name, Mean()), share, rules.alpha / INTERVALS)
    return msgspec.structs.replace(evidence, means=means)


def lived(evidence: Evidence, bars: int, day: int, trips: int) -> Evidence:
    """The evidence some judged bars and round trips later, on this day."""
    return msgspec.structs.replace(
        evidence,
        bars=evidence.bars + bars,
        days=evidence.days + (day > evidence.last_day),
        last_day=max(day, evidence.last_day),
        trips=evidence.trips + trips,
    )


def findings(
    rules: Rollout, phase: Phase, evidence: Evidence, on_paper: Evidence
) -> list[Finding]:
    """Every gate of the phase."""
    limits = {
        "log_loss": rules.log_loss,
        "calibration": rules.calibration,
        "slow": rules.slow_share,
        "rejected": rules.rejects,
        "unfilled": rules.unfilled_gap,
        "slippage_bps": rules.slippage_gap_bps,
    }
    found = []
    for name in phase.gates:
        own, limit = of(rules, evidence, name), limits[name]
        if name in BESIDE_PAPER:
            own = beyond(own, of(rules, on_paper, name))
        least = -limit if name == "calibration" else -float("inf")
        found.append(Finding(name, own, limit, verdict(own, least, limit)))
    return found


def of(rules: Rollout, evidence: Evidence, name: str) -> Interval:
    """One thing seen, in its own unit."""
    low, high = RANGES[name]
    mean = evidence.means.get(name, Mean())
    found = interval(mean, rules.alpha / INTERVALS)
    return Interval(*(low + (high - low) * share for share in found))


def beyond(own: Interval, other: Interval) -> Interval:
    """How much larger one mean is than another."""
    return Interval(own.value - other.value, own.low - other.high, own.high - other.low)


def verdict(found: Interval, least: float, most: float) -> Verdict:
    """Whether a mean is known to lie within its limits, or without."""
    if found.low > most or found.high < least:
        return Verdict.BROKEN
    is_within = found.low >= least and found.high <= most
    return Verdict.HOLDS if is_within else Verdict.OPEN


def wanting(
    rules: Rollout, phase: Phase, evidence: Evidence, bar_seconds: float
) -> list[Wanting]:
    """The time and the trades that a phase asks for before the next."""
    if phase is Phase.SHADOW:
        hours = evidence.bars * bar_seconds / 3_600
        return [Wanting("hours", hours, rules.shadow_hours)]
    if phase is Phase.FULL:
        return []
    return [
        Wanting("days", evidence.days, rules.paper_days),
        Wanting("round trips", evidence.trips, rules.round_trips),
    ]


def next_phase(
    phase: Phase, found: Sequence[Finding], left: Sequence[Wanting]
) -> tuple[Phase, str]:
    """Where it goes from here, and why; the same phase where it stays."""
    order = list(Phase)
    broken = [one.sentence for one in found if one.verdict is Verdict.BROKEN]
    if broken:
        return order[max(phase.rank - 1, 0)], "; ".join(broken)
    holds = all(one.verdict is Verdict.HOLDS for one in found)
    if not holds or any(one.seen < one.wanted for one in left):
        return phase, ""
    why = "; ".join(one.sentence for one in (*left, *found))
    return order[min(phase.rank + 1, len(order) - 1)], why
