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
from bot4jax.data.daily import Rows, corporate_actions
from bot4jax.data.source import Source
from bot4jax.kernels import CATALOGUE
from bot4jax.kernels.bars import init_bars
from bot4jax.kernels.clean import init_scaler
from bot4jax.kernels.history import Scales
from bot4jax.kernels.outcome import init_pending
from bot4jax.kernels.rebase import Terms, rebase_pending
from bot4jax.learn.dataset import price_factors, record_bars
from bot4jax.modes import tapes
from bot4jax.modes.keeping import blank
from bot4jax.modes.making import paper_venue
from bot4jax.modes.setting import Setting, set_stage, stage_on
from bot4jax.modes.trading import trade
from bot4jax.runtime.closings import Bars, BarTape, Closed, Tape
from bot4jax.runtime.decider import Decider
from bot4jax.runtime.device_terms import terms_after
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.inputs import FILE, Inputs, came_in
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.messages import CorporateAction, InstrumentChange, Reference
from bot4jax.runtime.publish import Arrival, begun
from bot4jax.runtime.reference import carried
from bot4jax.runtime.terms import CHANGING
from bot4jax.state import Seen, Units, init_deciding, init_observing
from bot4jax.types import (
    BAR_FLOATS,
    BAR_INTS,
    BOOK,
    QUOTE,
    REFERENCE,
    TICKS,
    TRADE,
    Frame,
)
from tests.data.test_bars import panel
from tests.data.test_bars import source as bar_source
from tests.modes.ways import silent
from tests.runtime import test_retelling as told
from tests.runtime.device_bars import ENGINE, rows_of
from tests.runtime.device_bars import arrivals as arriving
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


def columns_of(bars: Iterable[Closed], name: str) -> np.ndarray:
    """One column of every bar, `[T, S]`, float64."""
    rows = rows_of(bars)
    if name in BAR_INTS:
        return np.stack([ints[BAR_INTS.index(name)] for ints, _ in rows]) / 1.0
    found = [floats[BAR_FLOATS.index(name)] for _, floats in rows]
    return np.stack(found).astype(np.float64)


def mids_of(bars: Iterable[Closed]) -> np.ndarray:
    """At closing, in the increments of then."""
    return columns_of(bars, "anchor") + columns_of(bars, "mid_close") / 2


@pytest.mark.parametrize("name", ["split", "increment"])
def test_the_first_bar_in_new_shares_carries_the_factor_as_the_daily_panel_has_it(
    setting, undisturbed, name
):
    """The panel tells it from quoted closes and the returns of who holds the share;
    finer increments make no other share of it."""
    calm, own = undisturbed[0], walked(setting, events(setting.source)[name])[0]
    owned, quoted = mids_of(calm), mids_of(own)
    if name == "increment":
        quoted[SPLIT_BAR:, 0] /= FACTOR  # their prices say the same in quarters
        quoted[:, 0] *= FACTOR
    nothing, there = np.zeros_like(owned), np.ones(owned.shape, bool)
    returns = np.vstack([nothing[:1], owned[1:] / owned[:-1] - 1])
    prices = (quoted, quoted, quoted, quoted)
    rows = Rows(*prices, nothing, returns, nothing, ~there, there)
    expected = corporate_actions(rows, there)
    assert expected[SPLIT_BAR, 0] == pytest.approx(FACTOR if name == "split" else 1)
    found = columns_of(own, "adjustment")
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (found != 1).sum() == (name == "split")


def test_nothing_takes_the_factor_into_account_twice(setting):
    """Prices of a record are brought to one term by what the events made of them; the
    factor beside them says the same once more, and nobody multiplies by it."""
    own = walked(setting, events(setting.source)["split"])[0]
    record = record_bars(own[0].bar, ((one.ints, one.floats) for one in own))
    factor = price_factors([one.terms for one in own], record.ints.shape[-1])
    assert factor is not None
    adjusted = np.cumprod(columns_of(own, "adjustment"), axis=0)
    np.testing.assert_allclose(factor * adjusted, 1.0)
    assert not [one.name for one in CATALOGUE.values() if "adjustment" in one.columns]


def told_tape() -> Tape:
    """Before a market of three symbols, of which some are split."""
    anchors = jnp.asarray(told.ANCHORS, jnp.float32)
    return Tape(ENGINE, told.new_feed(), init_bars(anchors), jnp.int32(0), MARKET)


FACTORS = {1: 4.0, 4: 0.5}
"""Of the first symbol, behind those bars."""


def told_frames() -> list[Frame]:
    return told.market([(bar, told.split(bar, 0, f)) for bar, f in FACTORS.items()])


def test_two_splits_carry_their_factors_once_each():
    bars = told_tape().closed(arriving(told_frames()))
    found = columns_of(bars, "adjustment")
    assert found[:, 0].tolist() == [FACTORS.get(t - 1, 1.0) for t in range(len(found))]
    assert (found[:, 1:] == 1).all()


def test_ticks_that_begin_a_bar_anew_leave_it_its_factor(setting):
    tape, closed = split_tape(setting)
    found = columns_of(closed, "adjustment")
    assert tape.feed.counters.reordered > 0
    expected = [FACTOR if t == SPLIT_BAR else 1 for t in range(BARS)]
    assert found[:, 0].tolist() == expected


def test_a_restart_and_a_replay_carry_the_same_factors(tmp_path):
    """Woken at any frame with the open bars of then; and all heard again."""
    tape, saved, bars = told_tape(), [], []
    with Inputs(tmp_path) as inputs:
        for one in inputs.heard(arriving(told_frames())):
            saved.append((jax.tree.map(np.array, tape.open_bars), len(bars)))
            bars += rows_of(tape.closed([one]))
    factor = BAR_FLOATS.index("adjustment")
    assert {float(floats[factor, 0]) for _, floats in bars} == {1.0, *FACTORS.values()}
    heard = list(came_in(tmp_path / FILE))
    assert len(heard) == len(saved)
    again = rows_of(told_tape().closed(heard))
    jax.tree.map(np.testing.assert_array_equal, again, bars)
    for cut, (open_bars, closed) in enumerate(saved):
        woken = told_tape()
        woken.is_asleep = True
        list(woken.closed(heard[:cut]))
        woken.is_asleep = False
        woken.open_bars = jax.tree.map(jnp.array, open_bars)
        rest = rows_of(woken.closed(heard[cut:]))
        jax.tree.map(np.testing.assert_array_equal, rest, bars[closed:])


@pytest.mark.parametrize("lost", [1, 3])
def test_who_is_told_of_a_split_by_a_snapshot_carries_its_factor_once(lost):
    """The frame of the split alone, and a snapshot within its bar: in the bar of an
    undisturbed run; so many bars as well: in the first one in the new terms."""
    frames = told.market([(1, told.SPLIT)])  # quotes of two bars, it, those of others
    again = told.heartbeat_at(frames[2], told.BAR + 300)
    if lost == 1:
        came = [*frames[:2], again, told.snapshot_of(frames[:3]), *frames[3:]]
        at = 2
    else:
        came = [frames[5], told.snapshot_of(frames[:6]), *frames[6:]]
        at = 5
    found = columns_of(told_tape().closed(arriving(came)), "adjustment")
    assert found[:, 0].tolist() == [4.0 if t == at else 1.0 for t in range(len(found))]
    assert (found[:, 1:] == 1).all()
