"""How a strategy comes to real money: phase by phase, each with what it must show."""

from typing import Annotated, Literal

from msgspec import Meta

from bot4jax.schema.bounds import (
    CountOrNone,
    NonNegative,
    Positive,
    PositiveShare,
    ProperShare,
    Section,
    Share,
    Text,
)


class Rollout(Section, frozen=True):
    """Shadow, paper, canary, full: what lets a live run's strategy go on, and what
    sends it back."""

    file: Text | None
    """where the phase of a strategy and its evidence are kept, over all its runs; null:
    no phases, and no venue but one on paper is traded at"""
    most: Literal["shadow", "paper", "canary", "full"]
    """phase beyond which no new run goes, whatever has been shown"""
    shadow_hours: NonNegative
    """h of judged bars in which nothing leaves"""
    paper_days: CountOrNone
    """days with bars on paper, and again as canary; in full the evidence begins anew
    after as many"""
    round_trips: CountOrNone
    """that end on paper, and again as canary"""
    canary_share: PositiveShare
    """of the capital, in the canary phase"""
    alpha: ProperShare
    """chance that any interval of a phase ever misses what it is about"""
    log_loss: Annotated[float, Meta(ge=-7, le=7)]
    """nats that the ensemble's log loss may lie above that of always saying how often
    each class has come so far"""
    calibration: Share
    """by which the likeliest class's probability may lie off how often it comes"""
    slowest_ms: Positive
    """ms that a decision may take, but for `slow_share` of them"""
    slow_share: Share
    """.001: the 99.9th percentile is what `slowest_ms` limits"""
    rejects: Share
    """of the orders that ended"""
    unfilled_gap: Share
    """share of the asked lots that may remain unfilled beyond that on paper"""
    slippage_gap_bps: NonNegative
    """bps that fills may lie farther from the mids at decision than those on paper"""
