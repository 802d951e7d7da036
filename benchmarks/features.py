"""What does every feature cost, beside the fastest library that computes the same?

The bank alone, without ticks and scores: all features in one call, each family in one,
each feature in one. Peers get the same windows, made beforehand, and run as they come;
a function that yields several features counts for each with an even part of its time.
"""

import time
from collections.abc import Sequence
from functools import partial
from itertools import cycle
from typing import Any

import jax
import msgspec

from benchmarks import bars, shares
from benchmarks.contest import Entry, contest
from benchmarks.members import chosen
from benchmarks.peers import peer as peers
from benchmarks.peers.registry import PEERS
from benchmarks.result import Measured, Row
from benchmarks.timing import one, rounded
from bot4jax.kernels import bank
from bot4jax.kernels.bank import BankState, Plan, RawFeatures
from bot4jax.kernels.bars import unpack_bar
from bot4jax.kernels.history import Scales
from bot4jax.learn.dataset import BarRecord
from bot4jax.registry import FeatureSpec
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config
from bot4jax.types import Bar, Layout

LONGEST_LAG = 16
PATIENCE_S = 2.0
"""Of the slowest peers, whose single call takes longer, a few calls are enough."""

WHOLE = "bank"


class Walker:
    """A compiled bank and its state, called bar after bar."""

    def __init__(self, plan: Plan, scales: Scales, given: Sequence[tuple]) -> None:
        self.scales, self.given = scales, cycle(given)
        self.state = bank.init(plan)
        began = time.perf_counter()
        push = jax.jit(partial(_push, plan), donate_argnums=1)
        self.push = push.lower(scales, self.state, *given[0]).compile()
        self.compile_s = round(time.perf_counter() - began, 4)

    def __call__(self) -> RawFeatures:
        self.state, raw = self.push(self.scales, self.state, *next(self.given))
        return raw


def measure(config: Config, steps: int, warmup: int, report: Report) -> Measured:
    """The bank and its parts in turns, then the peers in turns."""
    jax.config.update("jax_enable_compilation_cache", False)
    layout, specs = layout_of(config), chosen(config)
    count = layout.window + LONGEST_LAG + 1
    record = bars.random_bars(layout.symbols, count, config.run.seed)
    scales = bars.unit_scales(layout.symbols)
    walkers = compiled(layout, specs, scales, record, report)
    entries = [Entry(name, "bot4jax", walker) for name, walker in walkers.items()]
    ours = contest(entries, steps, warmup, report, PATIENCE_S)
    theirs = peer_rows(specs, layout.window, record, scales, steps, report)
    cost = {row.stage: row.p50 for row in ours}
    families = list(dict.fromkeys(spec.category for spec in specs))
    charged = shares.charges(
        specs,
        {spec.name: cost[spec.name] for spec in specs},
        {name: cost[family(name)] for name in families},
        cost[WHOLE],
    )
    best = {name: row.p50 for name, row in shares.fastest(theirs).items()}
    paid = [one(name, ms, "ms of the bank") for name, ms in charged.items()]
    known = [
        one("features", len(specs), "features"),
        one("features", len(specs) - len(best), "features without a peer"),
    ]
    return Measured(
        [*ours, *known, *paid, *theirs],
        shares.ratios(best, charged, cost[WHOLE]),
        {name: walker.compile_s for name, walker in walkers.items()},
    )


def layout_of(config: Config) -> Layout:
    """Every column of a bar is there."""
    return Layout(
        symbols=config.data.symbols,
        window=config.features.window,
        capacity=config.runtime.capacity,
        horizon=config.labels.horizon,
        latency=0,
        columns=Bar._fields,
    )


def family(category: str) -> str:
    """The stage of a whole category."""
    return f"family {category}"


def compiled(
    layout: Layout,
    specs: Sequence[FeatureSpec],
    scales: Scales,
    record: BarRecord,
    report: Report,
) -> dict[str, Walker]:
    """The whole bank, warm, and one bank a family and a feature."""
    pairs = zip(record.ints, record.floats, strict=True)
    given = [jax.device_put(pair) for pair in pairs]
    parts: dict[str, Sequence[FeatureSpec]] = {WHOLE: specs}
    for category in dict.fromkeys(spec.category for spec in specs):
        parts[family(category)] = [s for s in specs if s.category == category]
    parts |= {spec.name: [spec] for spec in specs}
    walkers = {}
    for done, (name, own) in enumerate(parts.items()):
        report("compiling", done, len(parts), name)
        walkers[name] = Walker(bank.plan(layout, own), scales, given)
    for _ in given:
        jax.block_until_ready(walkers[WHOLE]())
    return walkers


def peer_rows(
    specs: Sequence[FeatureSpec],
    window: int,
    record: BarRecord,
    scales: Scales,
    steps: int,
    report: Report,
) -> list[Row]:
    """A row for every feature of every peer."""
    by_name = {spec.name: spec for spec in specs}
    columns, entries, present = bars.Columns(record, scales), [], []
    for own in peers.known(PEERS, by_name):
        length = peers.reach(own, by_name, window)
        windows = [columns.window(name, length) for name in own.columns]
        present.append(own)
        entries.append(Entry("peer", own.library, partial(own.values, *windows)))
    rows = contest(entries, steps, 1, report, PATIENCE_S)
    pairs = zip(present, rows, strict=True)
    return [row for own, whole in pairs for row in _parts(own, whole)]


def _parts(own: peers.Peer, whole: Row) -> list[Row]:
    """The time of one call, evenly among its features."""
    share = len(own.features)
    times = {q: rounded(getattr(whole, q) / share) for q in ("p50", "p99", "p999")}
    return [
        msgspec.structs.replace(whole, stage=name, **times) for name in own.features
    ]


def _push(
    plan: Plan, scales: Scales, state: BankState, ints: Any, floats: Any
) -> tuple[BankState, RawFeatures]:
    return bank.update(plan, scales, state, unpack_bar(ints, floats))
