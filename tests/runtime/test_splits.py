"""A split, or finer increments, in the middle of a stream: features do not notice.

All markets are the same ticks. In one the first symbol costs four times as many
increments from the beginning; in another until the split, four shares for one; in the
third since the increments are a quarter of what they were. Prices are such that nothing
needs to be rounded, so what differs is the arithmetic of float32 alone.
"""

from collections.abc import Iterable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import stage
from bot4jax.config import load
from bot4jax.data.source import Source
from bot4jax.kernels.bars import init_bars
from bot4jax.kernels.clean import init_scaler
from bot4jax.kernels.history import Scales
from bot4jax.kernels.outcome import init_pending
from bot4jax.kernels.rebase import Terms, rebase_pending
from bot4jax.modes import tapes
from bot4jax.modes.keeping import blank
from bot4jax.modes.making import paper_venue
from bot4jax.modes.setting import Setting, set_stage, stage_on
from bot4jax.modes.trading import trade
from bot4jax.runtime.closings import Bars, BarTape, Closed, Tape
from bot4jax.runtime.decider import Decider
from bot4jax.runtime.device_terms import terms_after
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.messages import CorporateAction, InstrumentChange, Reference
from bot4jax.runtime.publish import Arrival, begun
from bot4jax.runtime.reference import carried
from bot4jax.runtime.terms import CHANGING
from bot4jax.state import Seen, Units, init_deciding, init_observing
from bot4jax.types import BOOK, QUOTE, REFERENCE, TICKS, TRADE, Frame
from tests.data.test_bars import panel
from tests.data.test_bars import source as bar_source
from tests.modes.ways import silent
from tests.runtime.small_market import MARKET

FACTOR, WINDOW = 4, 16
BARS, SPLIT_BAR = 3 * WINDOW, 2 * WINDOW
NAMES = (
    *(
        "mean",
        "roll_spread",
        "kyle_lambda",
        "amihud",
        "vwap_deviation",
        "noise_variance",
    ),
    *("order_flow_imbalance", "log_depth", "relative_spread", "realised_spread"),
    *("multi_level_order_flow_imbalance", "money_flow_index_14", "rsi_14"),
    *("average_true_range_14", "donchian_position", "stochastic_k_14", "parkinson"),
    *("adaptive_average_distance", "market_beta", "hurst_exponent", "vpin"),
)


def staged(names: Sequence[str], *more: str) -> Setting:
    words = ["debug=tiny", "data.symbols=3", f"features.window={WINDOW}"]
    words += [f"features.names=[{','.join(names)}]", "ensemble.members=[gru]"]
    return set_stage(stage.for_bench(load([*words, "data.halts=false", *more]), BARS))


@pytest.fixture(scope="module")
def setting() -> Setting:
    return staged(NAMES)


def units(setting: Setting) -> Units:
    """Plain ones; scores are the values themselves."""
    symbols = setting.settings.layout.symbols
    scales = Scales(jnp.full(symbols, 4e-4), jnp.full(symbols, 50.0), jnp.full(5, 0.2))
    features = init_scaler(len(setting.settings.plan.specs))
    return Units(scales, features, jnp.float32(1e9), jnp.int32(0))


def frames(
    setting: Setting, event: Reference | None, quiet: int = 0
) -> Iterator[Frame]:
    """Every bar's ticks in order, and the event where there is one; so many of the
    first bars have no tick."""
    source, number = setting.source, 0
    for bar in range(BARS + 1):
        parts = [one.records for one in source.frames(bar, bar + 1)]
        records = np.concatenate(parts).copy()
        records = records[records["event_ns"].argsort(kind="stable")]
        sent_ns = int(records["event_ns"].max())
        records = records[: 0 if bar < quiet else None]
        if event is not None and bar == SPLIT_BAR - 1:
            told = carried([event])
            yield Frame(1, 1, number, sent_ns, told, REFERENCE)
            number += len(told)
        yield Frame(1, 1, number, sent_ns, in_terms(records, bar, event))
        number += len(records)


def in_terms(
    records: np.ndarray, bar: int, event: Reference | None, since: int = SPLIT_BAR
) -> np.ndarray:
    """The first symbol's ticks in its increments and shares of that bar; `since`: the
    first bar behind the event."""
    prices = {QUOTE: ("a", "b"), TRADE: ("a",), BOOK: ("a",)}
    sizes = {QUOTE: ("c", "d"), TRADE: ("b",), BOOK: ("b",)}
    is_after = bar >= since
    scaled = [] if isinstance(event, InstrumentChange) and not is_after else [prices]
    if isinstance(event, CorporateAction) and is_after:
        scaled = [sizes]
    for fields in scaled:
        for kind, names in fields.items():
            own = (records["symbol"] == 0) & (records["kind"] == kind)
            for name in names:
                records[name][own] *= FACTOR
    return records


def events(source: Source, since: int = SPLIT_BAR) -> dict[str, Reference]:
    """What happens at the opening of that bar, by name."""
    at = {"symbol": 0, "event_ns": source.start_ns + since * source.bar_ns}
    own = source.universe.instruments[0]
    same = {name: getattr(own, name) for name in CHANGING}
    finer = same | {"increment": own.increment / FACTOR}
    return {
        "split": CorporateAction(**at, action="split", factor=FACTOR),
        "increment": InstrumentChange(**at, **finer),
    }


def tape_of(setting: Setting, event: Reference | None) -> Tape:
    source, times = setting.source, 1 if isinstance(event, InstrumentChange) else FACTOR
    anchors = source.anchors * np.where(np.arange(len(source.anchors)) == 0, times, 1)
    feed = Feed(source.universe, anchors, source.bar_ns, source.start_ns, 512)
    opened = init_bars(jnp.asarray(anchors, jnp.float32))
    return Tape(setting.engine, feed, opened, jnp.int32(0), source.universe)


def arrivals(
    setting: Setting, event: Reference | None, quiet: int = 0
) -> Iterator[Arrival]:
    for one in begun(frames(setting, event, quiet)):
        yield Arrival(one, 0.0, one.sent_ns)


def walked(
    setting: Setting, event: Reference | None
) -> tuple[list[Closed], list[Seen]]:
    """Closed bars, and what was seen in each."""
    engine, own, tape = setting.engine, units(setting), tape_of(setting, event)
    observing = init_observing(setting.settings, own.scales)
    deciding = init_deciding(setting.settings)
    bars, seen = [], []
    for closed in tape.closed(arrivals(setting, event)):
        observing, found = engine.observe(own, observing, closed.ints, closed.floats)
        bars.append(closed)
        seen.append(found)
        if closed.terms is not None:
            own, observing, deciding = engine.rebase(
                own, observing, deciding, closed.terms
            )
    return bars, seen


@pytest.fixture(scope="module")
def undisturbed(setting: Setting) -> tuple[list[Closed], list[Seen]]:
    return walked(setting, None)


@pytest.mark.parametrize("name", ["split", "increment"])
def test_features_do_not_know_of_it(setting, undisturbed, name):
    names = [spec.name for spec in setting.settings.plan.specs]
    whole_bars, whole = undisturbed
    bars, seen = walked(setting, events(setting.source)[name])
    assert len(bars) == len(whole_bars) == BARS
    assert [one.terms is not None for one in bars].index(True) == SPLIT_BAR - 1
    assert bars[SPLIT_BAR - 1].market.bid[0] == 0  # no order at what is no price
    quoted = bars[SPLIT_BAR].market.bid[0] * (FACTOR if name == "split" else 1)
    assert quoted == whole_bars[SPLIT_BAR].market.bid[0]
    usable = 0
    for one, other in zip(whole, seen, strict=True):
        np.testing.assert_array_equal(one.usable, other.usable)
        usable += int(np.asarray(one.usable)[0].sum())
        for i, name in enumerate(names):
            np.testing.assert_allclose(
                np.asarray(one.values)[:, i],
                np.asarray(other.values)[:, i],
                rtol=1e-4,  # float32 sums of windows of the same numbers, other units
                atol=1e-5,
                err_msg=name,
            )
    assert usable > BARS * len(NAMES) / 4


def test_without_the_event_they_would_jump(setting, undisturbed, monkeypatch):
    """This also shows that the test above could fail."""
    monkeypatch.setattr(
        "bot4jax.runtime.open_bar.terms_after",
        lambda events, anchors, universe: (None, anchors),
    )
    _, whole = undisturbed
    _, seen = walked(setting, events(setting.source)["split"])
    at = [spec.name for spec in setting.settings.plan.specs].index("mean")
    one, other = (np.asarray(x[SPLIT_BAR].values)[0, at] for x in (whole, seen))
    assert abs(one - other) > 0.01


@pytest.mark.parametrize("is_rehearsed", [True, False])
@pytest.mark.parametrize("has_ticks", [True, False])
def test_what_was_rehearsed_is_not_compiled_in_a_step(
    has_ticks, is_rehearsed, tmp_path, monkeypatch
):
    """The first bar has no tick, later ones come out of order and are split on their
    way; ready-made bars never are."""
    jax.clear_caches()  # whatever other tests have compiled
    setting = staged(NAMES[:2]) if has_ticks else staged_on_bars(NAMES[:2])
    tape, closed = split_tape(setting) if has_ticks else bar_tape(setting)
    kept, rehearse = blank(setting), Decider.rehearse

    def remembered(decider: Decider):
        return decider.memory, tape.open_bars if isinstance(tape, Tape) else ()

    def rehearsed(decider: Decider, bars: Bars) -> None:
        before = jax.tree.map(np.array, remembered(decider))
        if is_rehearsed:
            rehearse(decider, bars)
        jax.tree.map(np.testing.assert_array_equal, before, remembered(decider))

    monkeypatch.setattr(Decider, "rehearse", rehearsed)
    venue = LocalVenue(paper_venue(setting))
    traded = trade(setting, kept, tape, lambda *_: closed, venue, tmp_path, silent)
    assert traded.steps > SPLIT_BAR
    assert (traded.recompiles == 0) == is_rehearsed
    assert (traded.counters.reordered > 0) == has_ticks


def split_tape(setting: Setting) -> tuple[Tape, Iterator[Closed]]:
    event = events(setting.source)["split"]
    tape = tape_of(setting, event)
    return tape, tape.closed(turned_round(arrivals(setting, event, quiet=1)))


def turned_round(came: Iterable[Arrival]) -> Iterator[Arrival]:
    """The last tick of each bar comes second."""
    for one in came:
        frame = one.frame
        if frame is not None and frame.kind == TICKS:
            rows = frame.records
            turned = np.concatenate([rows[:1], rows[:0:-1]])
            one = one._replace(frame=frame._replace(records=turned))
        yield one


def staged_on_bars(names: Sequence[str]) -> Setting:
    """The same stage on a market without ticks."""
    own, walk = staged(names), np.random.default_rng(0).normal(size=(BARS, 3))
    market = bar_source(panel(100.0 + walk.cumsum(axis=0).round(2)), increment=0.01)
    return stage_on(own.config, market, own.split)


def bar_tape(setting: Setting) -> tuple[BarTape, Iterator[Closed]]:
    tape = BarTape(setting.source, tapes.terms(setting), lambda records: None)
    return tape, tape.closed(0, BARS)


@pytest.mark.parametrize("factor", [7.0, 1.5, 0.1, 1 / 3])
def test_offsets_stay_prices(factor):
    """An anchor that does not divide leaves a shift; prices are right to a half."""
    anchors, prices = np.array([1_003, 500]), np.array([997, 523])
    event = CorporateAction(symbol=0, event_ns=1, action="split", factor=factor)
    terms, moved = terms_after([event], anchors, MARKET)
    assert terms is not None
    on_device = Terms(*(jnp.asarray(one) for one in terms))
    whole = on_device.whole(jnp.asarray(prices - anchors, jnp.int32)) + moved
    half = on_device.half(jnp.asarray(2 * (prices - anchors), jnp.int32)) + 2 * moved
    assert abs(int(whole[0]) - prices[0] / factor) <= 0.5 + 1e-3
    assert abs(int(half[0]) - 2 * prices[0] / factor) <= 0.5 + 1e-3
    assert (int(whole[1]), int(half[1])) == (523, 2 * 523)


def test_two_splits_of_one_instrument_are_one_of_their_product():
    events: Sequence[CorporateAction] = [
        CorporateAction(symbol=1, event_ns=1, action="split", factor=2.0),
        CorporateAction(symbol=1, event_ns=1, action="split", factor=3.0),
    ]
    terms, moved = terms_after(events, np.array([10, 600]), MARKET)
    assert terms is not None
    assert moved.tolist() == [10, 100]
    assert terms.volume.tolist() == [1.0, 6.0]
    assert terms_after([], np.array([10, 600]), MARKET)[0] is None


def test_entries_and_closes_of_unknown_labels_move_along():
    """Else the first close behind a split would lie far beyond any barrier."""
    event = CorporateAction(symbol=0, event_ns=1, action="split", factor=4.0)
    terms, _ = terms_after([event], np.array([1_000, 500]), MARKET)
    assert terms is not None
    offsets = jnp.full((3, 2), 40, jnp.int32)
    pending = init_pending(2, 1, 2)._replace(entry=offsets, close=offsets)
    moved = rebase_pending(pending, Terms(*(jnp.asarray(one) for one in terms)))
    assert moved.entry.tolist() == moved.close.tolist() == [[10, 40]] * 3
