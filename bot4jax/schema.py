"""The typed configuration: every key with its unit, its bounds and its reason.

Values stand in `conf/`, once; here stands what they may be. No defaults here, so that
there is one place to look and one to change. A key is `section.field`, as in
`features.window=128`. This file imports neither JAX nor anything that does.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Text = Annotated[str, Meta(min_length=1)]
FolderName = Annotated[str, Meta(pattern=r"^\w[\w.,=+-]*$")]
Count = Annotated[int, Meta(ge=1)]
CountOrNone = Annotated[int, Meta(ge=0)]
"""0 has a meaning of its own, which the field tells"""
Seed = Annotated[int, Meta(ge=0, lt=2**31)]
Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
PositiveShare = Annotated[float, Meta(gt=0, le=1)]
ProperShare = Annotated[float, Meta(gt=0, lt=1)]
BarSeconds = Annotated[float, Meta(ge=0.01, le=86_400)]

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
Member = Literal["lstm", "gru", "cnn", "transformer", "trees"]
"""Of ours; `plugins` bring others."""


class Section(Struct, frozen=True, kw_only=True):
    """A part of the configuration; unknown keys are refused by `validation`."""


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
    seconds: NonNegative
    """s that a pause or news lasts; 0: until a reset"""


class Backtest(Section, frozen=True):
    """How `mode=backtest` looks at the test span."""

    refit: bool
    """true: everything fitted anew for each fold; false: `run.model`"""
    split: Literal["walk_forward", "k_fold", "combinatorial"]
    """how folds part time when refitting; walk_forward: the test span, each fold fitted
    on what came before; k_fold: all bars, each part left out once; combinatorial: all
    bars, each choice of `tests` parts left out once. Only the first is causal"""
    folds: Annotated[int, Meta(ge=2)]
    """equal parts of the test span, or of all bars, when refitting"""
    tests: Count
    """parts that each combinatorial fold leaves out"""
    fidelity: Literal["exact", "research"]
    """exact: gate, journal and venue; research: a scan, holdings are the own targets"""
    latencies_ms: tuple[NonNegative, ...]
    """ms to the venue at which an exact backtest trades again; longer than one bar is
    allowed; empty: only `venue.latency_ms`"""
    traps: bool
    """true: also lay the traps for leaks that fit everything once more: shuffled bars,
    changed futures"""


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

    values: Annotated[int, Meta(ge=10_000)]
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
    """of each symbol and day, at most, the first ones; 0: all"""
    train_share: ProperShare
    """of all events, by time, that are trained on"""
    calibrate_share: ProperShare
    """of all events, behind those, by which the best member is chosen; the rest is the
    test"""
    lane: Annotated[int, Meta(ge=2)]
    """events in a stretch that nets walk through at once"""
    warm: Count
    """first events of a stretch, which only let nets remember; less than `lane`"""


class Data(Section, frozen=True):
    """Common to all sources of market data."""

    path: Text | None
    """folder with the source's own files; null only for the simulator"""
    bar_seconds: BarSeconds
    """s of event time in one bar"""
    symbols: CountOrNone
    """at most this many, in the source's own order; 0: all it holds"""


class SimulatorData(Data, frozen=True):
    """A market made from a seed; it knows its own best possible forecast."""

    source: Literal["simulator"]
    ticks_per_bar: Annotated[float, Meta(ge=1)]
    """mean events a symbol and bar; none has fewer than five sixths of it"""
    volatility_bps: Positive
    """bps of one bar's return, one standard deviation"""
    predictive_r2: Annotated[float, Meta(ge=0, le=0.05)]
    """share of the next bar's variance that order flow foretells; real BTCUSDT at 1 s
    has about .007; 0 is the market in which any skill proves a leak"""
    contemporaneous_r2: Annotated[float, Meta(ge=0, lt=1)]
    """share of the same bar's variance that order flow explains"""
    spread_bps: Positive
    """bps between the best bid and ask, mean"""
    halts: bool
    """trading halts of single symbols occur"""
    jumps: bool
    """prices jump now and then"""


class BinanceData(Data, frozen=True):
    """Raw Binance websocket captures: book differences, best quotes, trades."""

    source: Literal["binance"]


class LeanData(Data, frozen=True):
    """LEAN's tick archives of US equities: consolidated quotes, trades, no book."""

    source: Literal["lean"]


class ForexData(Data, frozen=True):
    """LEAN's tick archives of currency pairs: quotes without sizes, no trades."""

    source: Literal["forex"]


class LobsterData(Data, frozen=True):
    """LOBSTER's messages and books of US shares: quotes, trades with sides, levels."""

    source: Literal["lobster"]


class Fi2010Data(Data, frozen=True):
    """FI-2010: books of five Finnish shares by event, without times, for `mode=lob`."""

    source: Literal["fi2010"]


class DailyData(Data, frozen=True):
    """US equities, one bar a day: has bars, no ticks and no quotes."""

    source: Literal["daily"]
    least_price: NonNegative
    """US dollars, at the end of the training span; cheaper shares are left out"""
    least_dollars: NonNegative
    """US dollars, median volume of a day up to then; less traded shares are left out"""
    delisting_return: Annotated[float, Meta(gt=-1, le=0)]
    """of a share that ends before the panel does, on the day after; 0: none is charged;
    what holders got is not in the panel, so charge one beside the plain result"""


class CandleData(Data, frozen=True):
    """Files of candles, one per market: has bars, no ticks and no quotes."""

    source: Literal["candles"]


class ColumnData(Data, frozen=True):
    """Anyone's Parquet or CSV file, its columns named by a mapping."""

    source: Literal["columns"]
    file: Text
    """name of the file within `data.path`; .parquet, or else CSV"""
    mapping: dict[str, str]
    """our name → the file's column"""
    times_unit: Literal["s", "ms", "us", "ns"]
    """unit of the file's integer times, since 1970 UTC"""


class PluginData(Data, frozen=True):
    """A market that a plugin opens, by the name that it registers."""

    source: Literal["plugin"]
    name: Text
    """as in the plugin's `@source(name)`"""
    options: dict[str, str]
    """for the plugin to read"""


AnyData = (
    SimulatorData
    | BinanceData
    | LeanData
    | ForexData
    | LobsterData
    | Fi2010Data
    | DailyData
    | CandleData
    | ColumnData
    | PluginData
)


class Spans(Section, frozen=True):
    """Consecutive stretches of the data, in bars; warm-up and gaps come on top."""

    train: Count
    """bars that fit parameters, scalers and trees"""
    calibrate: Count
    """bars that fit calibration and the members' weights"""
    test: Count
    """bars that nothing was fitted on"""


class Features(Section, frozen=True):
    """What the nets and trees see."""

    window: Annotated[int, Meta(ge=16, le=4096, multiple_of=16)]
    """bars of history; window sums keep blocks of 16"""
    clip: Positive
    """robust standard deviations beyond which a value is clamped and counted"""
    names: Literal["all"] | Annotated[tuple[Text, ...], Meta(min_length=1)]
    """features of the catalogue to use"""


class Lstm(Section, frozen=True):
    widths: Annotated[tuple[Count, ...], Meta(min_length=1)]
    """units of each layer, first to last"""


class Gru(Section, frozen=True):
    widths: Annotated[tuple[Count, ...], Meta(min_length=1)]
    """units of each layer, first to last"""


class Cnn(Section, frozen=True):
    channels: Annotated[tuple[Count, ...], Meta(min_length=1)]
    """of each layer, first to last"""
    dilations: Annotated[tuple[Count, ...], Meta(min_length=1)]
    """bars between the taps of each layer"""
    kernel: Annotated[int, Meta(ge=2)]
    """taps of each layer"""


class Transformer(Section, frozen=True):
    width: Count
    """of the residual stream; a multiple of `heads`"""
    blocks: Count
    """attention and feed-forward, one after the other"""
    heads: Count
    """of the attention"""
    feed_forward: Count
    """width of the hidden layer of each block"""
    context: Count
    """bars that attention looks back"""


class Nets(Section, frozen=True):
    """Sizes of the streaming nets, shared by all symbols."""

    stem: Count
    """width of the projection of the features that all nets share"""
    lstm: Lstm
    gru: Gru
    cnn: Cnn
    transformer: Transformer


class Trees(Section, frozen=True):
    """Sizes and penalties of the gradient boosting."""

    rounds: Count
    """trees a class"""
    depth: Annotated[int, Meta(ge=1, le=8)]
    """splits from root to leaf"""
    learning_rate: PositiveShare
    """η: share of each tree's step that is taken"""
    min_child_weight: NonNegative
    """least sum of second derivatives in a leaf"""
    gamma: NonNegative
    """least gain of a split"""
    subsample: PositiveShare
    """share of the samples each tree sees"""
    colsample: PositiveShare
    """share of the features each tree sees"""
    reg_lambda: NonNegative
    """L2 penalty of the leaves"""
    patience: CountOrNone
    """rounds without a better loss on `watched` bars, after which no more are boosted;
    0: all `rounds`"""
    watched: ProperShare
    """share of the training bars, the last ones behind a purged gap, that tell how many
    rounds are enough; the forest is then fitted on all of them"""
    predictor: Literal["fused", "xgboost"]
    """fused: compiled into the step, the choice on a CPU; xgboost: its own, beside the
    nets on the host or, the choice of `hardware=gpu`, on the device; both say the same,
    so that a fitted run may be traded with either"""


class Labels(Section, frozen=True):
    """What is forecast: down, flat or up."""

    horizon: Count
    """bars the forward return spans"""
    latency_ms: NonNegative
    """ms from decision to the first executable price; less than one bar"""
    threshold: Literal["quantile", "cost"]
    """± k·σ·√horizon; quantile: k fitted so that `flat_share` comes out in training;
    cost: k so that it is a round trip's cost, refused where a class has under 2 %"""
    flat_share: ProperShare
    """share of training labels that are flat; of an order book, of each symbol's"""
    ends: Literal["horizon", "barriers"]
    """where the return is taken that decides the class; horizon: at its end; barriers:
    at the first close beyond ± k·σ·√horizon within it, if there is one"""
    class_weights: tuple[Positive, Positive, Positive]
    """of down, flat and up in the fit of the members, times a sample's uniqueness;
    nothing is judged by them: others than 1 make forecasts lean to what weighs more,
    which a temperature does not mend, so take `ensemble.calibration=isotonic` then"""


class Ensemble(Section, frozen=True):
    """How the members vote."""

    members: Annotated[tuple[Text, ...], Meta(min_length=1)]
    """who votes, ours or a plugin's; the order is the order of every report"""
    floor: Share
    """least weight of a healthy member, so that it can recover"""
    cap: PositiveShare
    """most weight of one member, so that none rules alone"""
    decay: PositiveShare
    """α: what an old score keeps after each matured bar"""
    learning_rate: Positive
    """exponent of a score in its weight; 1 is Bayes' rule"""
    calibration: Literal["temperature", "isotonic"]
    """of each member and of the vote, on the calibration span; isotonic: after the
    temperature, a rising curve for each class, where 2,000 labels do not overlap"""


class Strategy(Section, frozen=True):
    """From forecast to target position."""

    kelly: Annotated[float, Meta(gt=0, le=0.25)]
    """λ, share of the growth-optimal position; above ¼ estimation error ruins"""
    capital: Positive
    """settlement currency"""
    confidence_floor: Share
    """confidence below which no position is opened"""
    volatility_cap: Positive
    """standard deviation of the whole book's return over one horizon"""


class Execution(Section, frozen=True):
    """How what is wanted becomes orders; what has only bars trades at market."""

    kind: Literal["ioc", "fok", "market", "limit", "post_only"]
    """ioc, fok and limit name the opposite best as their worst price, market the worst
    that the collars of risk let pass; fok trades whole or not at all, a limit's rest
    stays; post_only waits at the own best"""
    rest_bars: Count
    """bars after which a resting limit or post_only order expires"""
    slices: Count
    """steps over which an opening order is spread (TWAP); 1: at once"""
    stop_bps: Annotated[float, Meta(ge=0, lt=10_000)]
    """bps from the fill-weighted entry at which a stop closes a position; 0: none"""
    profit_bps: Annotated[float, Meta(ge=0, lt=10_000)]
    """the same for a take-profit; one cancels the other"""
    stop_limit_bps: Annotated[float, Meta(ge=0, lt=10_000)]
    """bps beyond its trigger at which a woken stop trades no more, and waits; 0: it
    trades at any price"""


class Risk(Section, frozen=True):
    """Limits of the gate. A model cannot change them; `conf/risk` gives the reasons."""

    max_order_lots: Count
    """lots an order, whatever a lot is worth"""
    max_order_notional: Positive
    """settlement currency an order"""
    max_position_share: Positive
    """of the capital, one symbol, long or short"""
    max_volume_share: Positive
    """of what is traded in a day, one symbol, long or short; at the pace seen so far"""
    max_gross: Positive
    """× capital, sum of absolute positions"""
    max_net: Positive
    """× capital, absolute sum of positions"""
    max_margin: Positive
    """of the capital, bound as margin by positions and open orders: each instrument's
    own share of its notional"""
    price_collar_bps: Positive
    """bps an order's price may lie from the mid"""
    period_collar_bps: Positive
    """bps an opening order's price may lie from every mid of `period_seconds`"""
    period_seconds: Positive
    """s of event time that prices are looked back on"""
    orders_per_step: Count
    """messages one decision may send: orders, cancels, replacements; openings beyond
    are deferred and counted, all others pass"""
    messages_per_second: Count
    """the same within a second of event time"""
    max_participation: Positive
    """× the size at the best quote that an order would take"""
    stale_seconds: Positive
    """s without a tick after which a symbol takes no new risk"""
    repeats: Count
    """orders of one symbol, side, size and price within `repeat_seconds`; one more
    stops the engine until a person resets it"""
    repeat_seconds: Positive
    """s of event time that an order counts among the repeated ones"""
    daily_loss_share: PositiveShare
    """of the capital lost in a market's day, fees included; then only reductions"""
    drawdown_share: PositiveShare
    """of the highest net worth lost; then only reductions"""
    losses_in_a_row: Count
    """boundaries at which the round trips that ended came to a loss, one after the
    other within a day; then only reductions"""


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
    allowed_lateness_ms: NonNegative
    """ms of receive time a bar waits for stragglers past its boundary"""
    backlog_ticks: Count
    """ticks that may wait at speed 1; beyond, of a symbol's quotes within a bar only
    the last is absorbed: who is behind sees less, not later"""
    oldest_s: Positive
    """s that the newest tick may be old at speed 1; beyond, only reductions pass"""
    deadline_ms: Positive
    """ms that a decision may take at speed 1; then the fallback's counts, or, without
    the bar's features, what is held is kept"""
    skew_limit_ms: Positive
    """ms that a tick may be ahead of its publisher's clock, and, at speed 1, that clock
    ahead of where it was against ours; beyond, it is refused as from the future"""
    speed: NonNegative
    """× real time at which recorded or simulated ticks are sent; 0: unpaced"""
    subscribers: CountOrNone
    """engines the feed waits for before it sends its first tick"""
    venue_timeout_s: Positive
    """s to wait for the venue at the start and at each step; then halted"""
    snapshot_bars: Annotated[int, Meta(ge=0)]
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
    feed_quiet_s: Positive
    """s without a frame of a publisher after which only reductions pass, until a bar
    came without"""
    feed_timeout_s: Positive
    """s without a frame after which the engine halts and ends; a publisher that is
    silent for as long while others speak is waited for no longer"""


class Borrow(Section, frozen=True):
    """What lenders ask: bps a year of a short position's worth, paid for every day that
    it is held over; derivatives are not borrowed."""

    equity_bps: NonNegative
    """large US shares, of which there are many to borrow, cost 25 to 50; small ones
    hundreds"""
    spot_bps: NonNegative
    """coins and currencies, where the account is on margin"""


class Venue(Section, frozen=True):
    """The paper venue: what trading costs and how long it takes."""

    tier: Text
    """name of the fee tier, printed with every result"""
    taker_fee_bps: NonNegative
    """bps of notional"""
    maker_fee_bps: Annotated[float, Meta(ge=-10)]
    """bps of notional; negative is a rebate"""
    borrow: Borrow
    latency_ms: NonNegative
    """ms from the order's sending to its arrival in the book"""
    latency_spread: Annotated[float, Meta(ge=0, le=3)]
    """σ of the logarithm of each request's latency about `latency_ms`; 0: all alike"""
    latency_file: Text | None
    """measured ones, ms, one a line; each as likely, instead of the two above"""
    feed_ms: NonNegative
    """ms from the market to the engine: what is decided at a boundary is late by it"""
    feed_spread: Annotated[float, Meta(ge=0, le=3)]
    """as `latency_spread`, of each boundary"""
    feed_file: Text | None
    """as `latency_file`"""
    compute_ms: NonNegative
    """ms that a decision takes in the venue's reckoning; it is never measured there"""
    compute_spread: Annotated[float, Meta(ge=0, le=3)]
    """as `latency_spread`, of each boundary"""
    compute_file: Text | None
    """as `latency_file`"""
    queue_power: Annotated[float, Meta(ge=0, le=10)]
    """how a queue before us shrinks without trades: who stands behind takes behind^p /
    (ahead^p + behind^p) of it; 0: all of it, which is the careful side"""
    orders_per_second: CountOrNone
    """of event time; what comes beyond is rejected; 0: any number"""
    lockstep: bool
    """true: decisions and fills alternate, so that a run repeats exactly"""
    seed: Seed
    """of queue positions and rejects"""
    half_spread_bps: NonNegative
    """bps from the mid to either quote, where the source shows none"""
    participation: PositiveShare
    """of the last bar's volume that stands on each side, where no sizes are shown"""
    dedupes: bool
    """an order id that comes twice is traded once; false: as venues that do not"""
    reject_share: Annotated[float, Meta(ge=0, lt=1)]
    """share of orders the venue refuses at random, to exercise the paths"""


class Train(Section, frozen=True):
    """How nets are fitted."""

    epochs: Count
    """passes over the training span"""
    symbols_per_batch: Count
    """symbols whose bars one update sees; at most all there are"""
    chunk: Count
    """bars of one truncated back-propagation"""
    learning_rate: Positive
    """peak, AdamW"""
    warmup: Share
    """share of all updates that raise the learning rate from 0"""
    weight_decay: NonNegative
    """share of a weight that an update at the peak rate 1 takes away"""
    clip_norm: Positive
    """global norm that gradients are clipped to"""
    explosion: Annotated[float, Meta(ge=1)]
    """× `clip_norm`: nothing is learnt from a longer gradient, it points anywhere"""
    cut: ProperShare
    """× the learning rate after such an update; it recovers by a tenth an update"""
    most_skipped: Count
    """updates in a row that teach nothing, after which training stops"""
    parts: Count
    """that a batch is cut into, one after the other, where all at once need too much
    memory: gradients add up to those of the whole batch"""
    checkpoint_every: CountOrNone
    """updates between two checkpoints, from which a killed fit goes on; 0: none"""
    samples: Literal["memory", "disk"]
    """where bars and features wait until they are read; disk: in files of the run that
    are mapped, for spans larger than memory"""


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


class Config(Section, frozen=True):
    """Everything that a run depends on."""

    mode: Mode
    """what to do"""
    preset: Literal["cpu", "full"]
    """sizes of nets and trees: for two processor cores, for an accelerator"""
    plugins: tuple[Text, ...]
    """modules of your own that register features, imported in this order"""
    run: Run
    replay: Replay
    journal: Journal
    explain: Explain
    control: Control
    backtest: Backtest
    catalogue: Catalogue
    keys: Keys
    certify: Certify
    lob: Lob
    data: AnyData
    spans: Spans
    features: Features
    nets: Nets
    trees: Trees
    labels: Labels
    ensemble: Ensemble
    strategy: Strategy
    execution: Execution
    risk: Risk
    runtime: Runtime
    venue: Venue
    train: Train
    hardware: Hardware
