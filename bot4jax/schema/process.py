"""The program while it runs: sockets, how long it waits, what it is compiled for."""

from typing import Annotated, Literal

from msgspec import Meta

from bot4jax.schema.bounds import (
    Count,
    CountOrNone,
    Milliseconds,
    MillisecondsOrNone,
    NonNegative,
    PositiveShare,
    Seconds,
    Section,
    Text,
    Wait,
)


class Endpoints(Section, frozen=True):
    """Where the sockets are, on this machine only."""

    ticks: Text
    """PUB of the feed"""
    snapshots: Text
    """ROUTER of the feed: greetings, and what stands for who came late"""
    signals: Text
    """XPUB of the engine"""
    orders: Text
    """ROUTER of the venue"""
    control: Text
    """REP of the engine: a person's word"""


class Runtime(Section, frozen=True):
    """The shell around the engine."""

    endpoints: Endpoints
    capacity: Annotated[int, Meta(ge=16, le=65_536)]
    """ticks a batch; a static shape of the compiled step"""
    allowed_lateness_ms: MillisecondsOrNone
    """ms of receive time a bar waits for stragglers past its boundary"""
    backlog_ticks: Count
    """ticks that may wait at speed 1; beyond, of a symbol's quotes within a bar only
    the last is absorbed: who is behind sees less, not later"""
    oldest_s: Seconds
    """s that the newest tick may be old at speed 1; beyond, only reductions pass"""
    deadline_ms: Milliseconds
    """ms that a decision may take at speed 1; then the fallback's counts, or, where
    that is late too, what is held is kept"""
    skew_limit_ms: Milliseconds
    """ms that a tick may be ahead of its publisher's clock, and, at speed 1, that clock
    ahead of where it was against ours; beyond, it is refused as from the future"""
    speed: NonNegative
    """× real time at which recorded or simulated ticks are sent; 0: unpaced"""
    subscribers: CountOrNone
    """engines the feed waits for before it sends its first tick"""
    venue_timeout_s: Wait
    """s to wait for the venue at the start and at each step; then halted"""
    reorder_ticks: CountOrNone
    """ticks of a bar that are kept until it closes, 48 bytes each, to absorb those of a
    symbol again where they came out of order; of bars with more the order of arrival
    stands, which is told"""
    snapshot_bars: CountOrNone
    """bars between two snapshots of the engine's state: as many may have to be computed
    again after a crash; 0: none is taken"""
    durability: Literal["process_crash", "power_loss"]
    """what a journaled step survives: a killed process, or a lost machine too; a step
    waits for the disk only with the latter"""
    dead_man_s: Annotated[float, Meta(gt=0, le=3_600)]
    """s without a word from the engine after which the venue takes back what rests; the
    engine speaks three times as often; never is no choice: a dead engine's orders would
    stay"""
    judged_bars: Count
    """newest bars of a live run that its report judges one by one, and that it has to
    hold in memory; all others count in its totals"""
    foreign: Literal["halt", "adopt"]
    """what others traded on the account, as in a liquidation: stop, or book it"""
    feed_quiet_s: Wait
    """s without a frame of a publisher after which only reductions pass, until a bar
    came without"""
    feed_timeout_s: Wait
    """s without a frame after which the engine halts and ends; a publisher that is
    silent for as long while others speak is waited for no longer"""


class Hardware(Section, frozen=True):
    """What it is compiled for."""

    platform: Literal["cpu", "cuda"]
    """what JAX runs on"""
    threads: CountOrNone
    """processor cores to use, XGBoost's threads too; 0: all that are allowed. Sums in
    another order may give another forest"""
    memory_fraction: PositiveShare
    """share of a GPU's memory that JAX takes, the rest is for XGBoost"""
    products: Literal["float32", "bfloat16"]
    """type that matrices of nets are multiplied in while training; sums, states and
    weights stay float32"""
    devices: CountOrNone
    """that training spreads symbols over, those of all processes; 0: all there are; on
    a CPU, whose cores are one device, so many are made of it"""
    processes: Count
    """that train together, one started for each; only `mode=train` shares work"""
    process: CountOrNone
    """number of this one among them, from 0"""
    coordinator: Text | None
    """host:port at which process 0 brings them together; null only for one process"""
