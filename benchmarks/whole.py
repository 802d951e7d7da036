"""From a closed bar to what every member says: our step, or well-kept libraries?

Ours is the compiled step, `observe` and `conclude`, its decisions awaited on the host.
Theirs is what would be put together instead: of every feature the fastest function of a
library that a test finds to compute the same, scores by NumPy, the same nets in PyTorch
and the same forest in XGBoost's own predictor, each in its fastest way. Features,
scores, nets and forest must say what ours say before anyone's time counts. Features
have all cores too: a process on each, with a part of the symbols.

Where the work cannot be parted, it counts against us: `conclude` votes, sizes and
learns from labels as well, `observe` keeps the windows, masks and measures risk, and
both pay for features without a peer. Theirs find their windows made. Nobody's time is
scaled.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
import numpy as np

from benchmarks import bars, least, links, trees
from benchmarks.by_cores import Spread, spread
from benchmarks.chain import Chain, Features
from benchmarks.contest import Entry, contest, expect_equal, fastest
from benchmarks.features import LONGEST_LAG
from benchmarks.links import Theirs
from benchmarks.own_step import OwnStep
from benchmarks.result import Measured, Row
from benchmarks.shares import ENTROPIES
from benchmarks.stage import Stage, set_up
from benchmarks.timing import one, rounded
from bot4jax.learn.boosting import tree_settings
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config
from bot4jax.trees import forest

PATIENCE_S = 6.0
"""Of whoever takes longer for all its calls, fewer are enough."""

TOLERANCE = 1e-6
"""Of values of features: a product of fewer rows may be summed in another order."""

LIBRARIES, BY_CORES, ADDED_UP = "libraries", "libraries_by_cores", "libraries_added_up"
"""Whose time it is where several work together: in one process; features in a process a
core; the fastest of each part alone, added up."""
OURS = "bot4jax"
LEAVING_OUT = " without entropies"
COMPILED = "observe", "conclude", "nets", "forest"

FLOORS = {"whole": "decide", "features": "observe", "nets": "nets"}
"""Stages with the names of their floors."""

COMPARED = {
    "whole": ("whole", "whole"),
    "without_entropies": ("whole", f"whole{LEAVING_OUT}"),
    "features": ("features", "features"),
    "features_without_entropies": ("features", f"features{LEAVING_OUT}"),
    "nets": ("nets", "nets"),
    "trees": ("forest", "forest"),
}
"""Ratios with our stage and theirs."""


def measure(config: Config, steps: int, warmup: int, report: Report) -> Measured:
    """Parts in turns, then the whole in turns, theirs of the fastest parts."""
    links.expect_twins(config)
    stage = set_up(config, 1, report)
    ours, theirs = prepared(stage, report)
    links.expect_same(ours, theirs)
    known = least.on_device(stage)
    spent = {"steps": steps, "warmup": warmup, "patience_s": PATIENCE_S}
    held = partial(contest, report=report, **spent)
    rows = contests(ours, theirs, held, tree_settings(config).threads)
    with_floors = partial(floored, known.ms)
    seconds = stage.compiled.seconds
    return Measured(
        [*map(with_floors, rows), *counted(ours, theirs), *known.machine],
        ratios(rows),
        {name: seconds[name] for name in COMPILED},
    )


def prepared(stage: Stage, report: Report) -> tuple[OwnStep, Theirs]:
    """Our step and their parts over the same bars, weights and trees."""
    settings, config = stage.setting.settings, stage.setting.config
    layout, own, seed = settings.layout, tree_settings(config), config.run.seed
    record = bars.random_bars(layout.symbols, layout.window + LONGEST_LAG + 1, seed)
    booster = trees.fitted(*trees.samples(len(settings.plan.specs), seed), own)
    capacity = own.rounds * own.classes
    packed = forest.pack(booster, capacity, own.depth, own.classes)
    ours = OwnStep(stage, record, packed, report)
    return ours, links.made(ours, record, booster, own, report)


def contests(
    ours: OwnStep, theirs: Theirs, held: Callable[..., list[Row]], cores: int
) -> list[Row]:
    """The whole, then the parts; those come first, the whole is of the fastest."""
    with spread(theirs.features, cores) as by_cores:
        ways = {LIBRARIES: theirs.features, BY_CORES: by_cores}
        alone, together = map(np.nan_to_num, (theirs.features(), by_cores()))
        expect_equal(BY_CORES, alone, together, TOLERANCE)
        parts = held([*own_parts(ours), *their_parts(ours, theirs, ways)])
        if not theirs.nets:
            return parts
        members = quickest(theirs, parts)
        entries = [Entry("whole", OURS, ours.whole)]
        for impl, way in ways.items():
            few = Chain(way.without(ENTROPIES), theirs.scores, members)
            entries += [
                Entry("whole", impl, Chain(way, theirs.scores, members)),
                Entry(f"whole{LEAVING_OUT}", impl, few),
            ]
        return [*held(entries), *added_up(parts), *parts]


def own_parts(ours: OwnStep) -> list[Entry]:
    """The parts of our step that have one of theirs beside them."""
    return [
        Entry("features", OURS, ours.features),
        Entry("nets", OURS, ours.nets),
        Entry("forest", OURS, ours.forest),
    ]


def their_parts(
    ours: OwnStep, theirs: Theirs, by_all: Mapping[str, Features | Spread]
) -> list[Entry]:
    """Features of all libraries and of each; scores, nets and forest."""
    features, scores = theirs.features, ours.met.scores
    entries = [Entry("scores", "numpy", partial(theirs.scores, theirs.compared))]
    for impl, way in by_all.items():
        few = way.without(ENTROPIES)
        entries.append(Entry("features", impl, way))
        entries.append(Entry(f"features{LEAVING_OUT}", impl, few))
    for name in features.libraries:
        entries.append(Entry(f"features by {name}", name, features.by(name)))
    for stage, ways in {"nets": theirs.nets, "forest": theirs.forest}.items():
        entries += [
            Entry(stage, way, partial(say, scores)) for way, say in ways.items()
        ]
    return entries


def quickest(theirs: Theirs, parts: Sequence[Row]) -> list:
    """Nets and forest in their fastest ways."""
    ways = {"nets": theirs.nets, "forest": theirs.forest}
    return [own[fastest(parts, stage, *own).impl] for stage, own in ways.items()]


def added_up(parts: Sequence[Row]) -> list[Row]:
    """What the fastest ways take alone: together, their threads are in the way."""
    rest = sum(least_of(parts, stage) for stage in ("scores", "nets", "forest"))
    return [
        one(f"whole{left}", least_of(parts, f"features{left}") + rest, "ms", ADDED_UP)
        for left in ("", LEAVING_OUT)
    ]


def least_of(rows: Sequence[Row], stage: str) -> float:
    """The median of their fastest way."""
    return min(row.p50 for row in rows if row.stage == stage and row.impl != OURS)


def floored(known: Mapping[str, float], row: Row) -> Row:
    """Our row with what the machine needs at least."""
    if row.impl != OURS or row.stage not in FLOORS:
        return row
    return msgspec.structs.replace(row, floor=rounded(known[FLOORS[row.stage]]))


def counted(ours: OwnStep, theirs: Theirs) -> list[Row]:
    """How many features there are, how many nobody yields, and who yields the rest."""
    names = {spec.name for spec in ours.settings.plan.specs}
    yielded = {
        library: {name for own in functions for name in own.peer.features}
        for library, functions in theirs.features.libraries.items()
    }
    left = names.difference(*yielded.values())
    return [
        one("features", len(names), "features"),
        one("features", len(left), "features without a peer"),
        *(one("features", len(own), "features", by) for by, own in yielded.items()),
    ]


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """The time of their fastest way over ours; all of ours stands against a part."""
    found = {}
    for name, (ours, theirs) in COMPARED.items():
        if any(row.stage == theirs and row.impl != OURS for row in rows):
            own = fastest(rows, ours, OURS).p50
            found[name] = rounded(least_of(rows, theirs) / own)
    return found
