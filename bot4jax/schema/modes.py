"""What a run is asked to do: mode, folder, and what single modes want to know."""

from typing import Annotated, Literal

from msgspec import Meta

from bot4jax.schema.bounds import (
    MOST,
    Count,
    CountOrNone,
    FolderName,
    MillisecondsOrNone,
    ProperShare,
    Section,
    Seed,
    Text,
)

Mode = Literal[
    "demo",
    "train",
    "backtest",
    "live",
    "replay",
    "journal",
    "explain",
    "feed",
    "venue",
    "doctor",
    "catalogue",
    "keys",
    "certify",
    "control",
    "lob",
]


class Run(Section, frozen=True):
    """What this run is called and where it is kept."""

    name: FolderName | None
    """folder under `root`; null: <mode>-<data.source>"""
    root: Text
    """where run folders lie"""
    fresh: bool
    """true: start anew instead of resuming a run of the same configuration"""
    seed: Seed
    """of everything random: parameters, order of samples, simulated market"""
    model: Text | None
    """folder of the run whose checkpoint backtest, live and replay use"""
    sweep: Text | None
    """name of the sweep that this run is a job of; null: of none; -m says it"""
    jobs: Count
    """jobs of that sweep: each is charged for the luck of all; -m counts them"""


class Replay(Section, frozen=True):
    """What `mode=replay` runs again."""

    run: Text | None
    """folder of the run whose journal is replayed"""


class Journal(Section, frozen=True):
    """What `mode=journal` tells of a run."""

    run: Text | None
    """folder of the run whose journal is read"""
    rows: CountOrNone
    """of each table, the last that are printed; 0: all of them"""
    export: Literal["parquet", "csv"] | None
    """also written into the run folder, whole, one file a table; null: printed only"""


class Explain(Section, frozen=True):
    """Which decision `mode=explain` explains."""

    run: Text | None
    """folder of the run whose journal is read"""
    symbol: Text | None
    """name of the instrument"""
    step: CountOrNone
    """number of the decision; 0: the last that asked for an order of the symbol"""
    families: bool
    """true: decide the step again without each family of features; takes as long as
    the run took to come there"""


class Control(Section, frozen=True):
    """What `mode=control` tells a running engine."""

    do: Literal["status", "kill", "reset", "pause", "news"]
    """status asks; kill lets nothing but cancels leave, pause only reductions; reset
    ends both, a drawdown and news; news lets only reductions pass while it lasts"""
    reason: Annotated[str, Meta(min_length=1, max_length=200)] | None
    """for the journal"""
    seconds: Annotated[float, Meta(ge=0, le=1e9)]
    """s that a pause or news lasts, at most 31 years; 0: until a reset"""


class Backtest(Section, frozen=True):
    """How `mode=backtest` looks at the test span."""

    refit: bool
    """true: everything fitted anew for each fold; false: `run.model`"""
    split: Literal["walk_forward", "k_fold", "combinatorial"]
    """how folds part time when refitting; walk_forward: the test span, each fold fitted
    on what came before; k_fold: all bars, each part left out once; combinatorial: all
    bars, each choice of `tests` parts left out once. Only the first is causal"""
    folds: Annotated[int, Meta(ge=2, le=MOST)]
    """equal parts of the test span, or of all bars, when refitting"""
    tests: Count
    """parts that each combinatorial fold leaves out"""
    fidelity: Literal["exact", "research"]
    """exact: gate, journal and venue; research: a scan, holdings are the own
    targets as far as there is room"""
    latencies_ms: tuple[MillisecondsOrNone, ...]
    """ms to the venue at which an exact backtest trades again; longer than one bar is
    allowed; empty: only `venue.latency_ms`"""
    traps: bool
    """true: also lay the traps for leaks that fit everything once more: shuffled bars,
    another future behind the whole training span"""


class Catalogue(Section, frozen=True):
    """What `mode=catalogue` does beyond printing."""

    write: bool
    """true: write docs/features.md under the current folder"""


class Keys(Section, frozen=True):
    """CURVE keys, by which processes prove to each other who they are."""

    folder: Text | None
    """where they lie, 0700; null: nobody proves anything, sockets stay on loopback"""
    names: Annotated[tuple[FolderName, ...], Meta(min_length=1)]
    """for whom `mode=keys` makes a pair; feed, engine and venue are our processes"""


class Certify(Section, frozen=True):
    """How much `mode=certify` looks at."""

    values: Annotated[int, Meta(ge=10_000, le=MOST)]
    """values of each feature that are compared with their definition in float64; all
    there are, where the data holds fewer"""
    symbols: Count
    """symbols it looks at, at most, in the source's own order: definitions are slow"""


class Lob(Section, frozen=True):
    """The benchmark of `mode=lob`: labels of the limit-order book, by event."""

    levels: Annotated[int, Meta(ge=1, le=10)]
    """of each side of the book that are seen"""
    horizons: Annotated[tuple[Count, ...], Meta(min_length=1)]
    """events ahead that labels look"""
    events: CountOrNone
    """of each symbol and day, at most, the first ones; 0: all; FI-2010 shows every
    tenth event, and its rows are counted here and below"""
    train_share: ProperShare
    """of all events, by time, that are trained on"""
    calibrate_share: ProperShare
    """of all events, behind those, by which the best member is chosen; the rest is the
    test"""
    lane: Annotated[int, Meta(ge=2, le=MOST)]
    """events in a stretch that nets walk through at once"""
    warm: Count
    """first events of a stretch, which only let nets remember; less than `lane`"""
