"""What does every feature cost, beside the fastest library that computes the same?

The bank alone, without ticks and scores: all features in one call, each family in one,
each feature in one. Peers get the same windows, made beforehand, and run as they come;
a function that yields several features counts for each with an even part of its time.

Families, features and peers are measured on `PARTS` symbols at most. They tell who pays
how much of the one call, and libraries take symbols one by one: their times are scaled
to all symbols, and a row says on how many they were measured.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import msgspec

from benchmarks import bars, cold, shares
from benchmarks.contest import Entry, contest
from benchmarks.members import chosen
from benchmarks.peers import peer as peers
from benchmarks.peers.registry import PEERS
from benchmarks.result import Measured, Row
from benchmarks.shares import WHOLE
from benchmarks.timing import one, rounded
from benchmarks.walker import Walker, layout_of
from bot4jax.kernels import planning
from bot4jax.learn.dataset import BarRecord
from bot4jax.registry import FeatureSpec
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config
from bot4jax.types import Layout

LONGEST_LAG = 16
PATIENCE_S = 1.0
"""Of the slowest, whose calls add up to more, three calls are enough."""
PARTS = 1024
"""Symbols on which parts of the bank, and peers, are measured at most."""

CYCLE = 32
"""Bars that a larger bank meets again and again: what is in them costs nothing."""

Specs = Sequence[FeatureSpec]


def measure(config: Config, steps: int, warmup: int, report: Report) -> Measured:
    """How soon the bank is compiled; its parts in turns; the whole; peers in turns."""
    waiting = cold.rows(config)
    jax.config.update("jax_enable_compilation_cache", False)
    layout, specs = layout_of(config), chosen(config)
    few = layout._replace(symbols=min(layout.symbols, PARTS))
    count = layout.window + LONGEST_LAG + 1
    record = bars.random_bars(few.symbols, count, config.run.seed)
    ours, compile_s = part_rows(few, specs, record, steps, warmup, report)
    cost = {row.stage: row.p50 for row in ours}
    theirs = peer_rows(specs, few, record, steps, report)
    if layout != few:
        whole, compile_s[WHOLE] = whole_row(layout, config, steps, warmup, report)
        ours, times = [whole], layout.symbols / few.symbols
        theirs = [scaled(row, times) for row in theirs]
    paid = paid_by(specs, cost, ours[0].p50)
    best = {name: row.p50 for name, row in shares.fastest(theirs).items()}
    return Measured(
        [*ours, *waiting, *known(specs, best, few), *paid_rows(paid), *theirs],
        shares.ratios(best, paid, ours[0].p50),
        compile_s,
    )


def part_rows(
    layout: Layout,
    specs: Specs,
    record: BarRecord,
    steps: int,
    warmup: int,
    report: Report,
) -> tuple[list[Row], dict[str, float]]:
    """The whole bank, then each family and feature; what compiling them took."""
    walkers = compiled(layout, specs, record, report)
    entries = [Entry(name, "bot4jax", walker) for name, walker in walkers.items()]
    rows = contest(entries, steps, warmup, report)
    return rows, {name: walker.compile_s for name, walker in walkers.items()}


def whole_row(
    layout: Layout, config: Config, steps: int, warmup: int, report: Report
) -> tuple[Row, float]:
    """The whole bank of all symbols alone; what compiling it took."""
    record = bars.random_bars(layout.symbols, CYCLE, config.run.seed)
    walkers = compiled(layout, chosen(config), record, report, parts=False)
    entry = Entry(WHOLE, "bot4jax", walkers[WHOLE])
    (row,) = contest([entry], steps, warmup, report)
    return row, walkers[WHOLE].compile_s


def compiled(
    layout: Layout,
    specs: Specs,
    record: BarRecord,
    report: Report,
    parts: bool = True,
) -> dict[str, Walker]:
    """The whole bank, warm, and one bank a family and a feature."""
    pairs = zip(record.ints, record.floats, strict=True)
    given, scales = [jax.device_put(p) for p in pairs], bars.unit_scales(layout.symbols)
    named = {WHOLE: specs} | (divided(specs) if parts else {})
    walkers = {}
    for done, (name, own) in enumerate(named.items()):
        report("compiling", done, len(named), name)
        walkers[name] = Walker(planning.plan(layout, own), scales, given)
    for _ in given:
        jax.block_until_ready(walkers[WHOLE]())
    return walkers


def divided(specs: Specs) -> dict[str, Specs]:
    """Families and single features, by stage."""
    families: dict[str, Specs] = {}
    for spec in specs:
        stage = family(spec.category)
        families[stage] = [*families.get(stage, ()), spec]
    return families | {spec.name: [spec] for spec in specs}


def family(category: str) -> str:
    """The stage of a whole category."""
    return f"family {category}"


def paid_by(specs: Specs, cost: Mapping[str, float], whole: float) -> dict[str, float]:
    """What each feature pays of the whole call, ms; `cost` may be of fewer symbols."""
    names = list(dict.fromkeys(spec.category for spec in specs))
    charged = shares.charges(
        specs,
        {spec.name: cost[spec.name] for spec in specs},
        {name: cost[family(name)] for name in names},
        cost[WHOLE],
    )
    return {name: ms * whole / cost[WHOLE] for name, ms in charged.items()}


def paid_rows(paid: Mapping[str, float]) -> list[Row]:
    return [one(name, ms, "ms of the bank") for name, ms in paid.items()]


def known(specs: Specs, best: Mapping[str, float], few: Layout) -> list[Row]:
    """How many features there are and have no peer; symbols that parts were run on."""
    return [
        one("features", len(specs), "features"),
        one("features", len(specs) - len(best), "features without a peer"),
        one("parts and peers", few.symbols, "symbols"),
    ]


def peer_rows(
    specs: Specs, layout: Layout, record: BarRecord, steps: int, report: Report
) -> list[Row]:
    """A row for every feature of every peer."""
    by_name = {spec.name: spec for spec in specs}
    columns = bars.Columns(record, bars.unit_scales(layout.symbols))
    entries, present = [], []
    for own in peers.known(PEERS, by_name):
        length = peers.reach(own, by_name, layout.window)
        windows = [columns.window(name, length) for name in own.columns]
        present.append(own)
        entries.append(Entry("peer", own.library, partial(own.values, *windows)))
    rows = contest(entries, steps, 1, report, PATIENCE_S)
    pairs = zip(present, rows, strict=True)
    return [row for own, whole in pairs for row in _parts(own, whole)]


def scaled(row: Row, times: float) -> Row:
    """The row of a call that is so many times as long."""
    quantiles = {q: rounded(getattr(row, q) * times) for q in ("p50", "p99", "p999")}
    return msgspec.structs.replace(row, **quantiles)


def _parts(own: peers.Peer, whole: Row) -> list[Row]:
    """The time of one call, evenly among its features."""
    even = scaled(whole, 1 / len(own.features))
    return [msgspec.structs.replace(even, stage=name) for name in own.features]
