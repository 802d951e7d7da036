"""A share that ends at a stated return is labelled by what its holder got."""

from math import log
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax.certify.columns import Columns
from bot4jax.certify.records import bars_of
from bot4jax.data.bars import BarSource, Panel
from bot4jax.data.daily import DAY_NS
from bot4jax.data.listing import delisted
from bot4jax.data.universe import universe
from bot4jax.kernels import history, outcome, usable
from bot4jax.learn import research
from bot4jax.learn.dataset import BarRecord, Dataset, record_bars
from bot4jax.learn.labelling import label_bars, labels_at
from bot4jax.types import BAR_INTS, ENDED, Bar, Instrument

BARS, LAST, HORIZON, LOSS = 60, 40, 5, -0.3
"""Days of the panel · the last one on which ENDS is traded, from 0 · of labels · what
its holders lose on the day after."""
ENDS, HALTED, STEADY = range(3)
HALT = range(20, 24)
TRAIN = range(0, BARS)
SCALE = 0.02


def shares() -> Panel:
    """ENDS is gone after its last day, HALTED for some days, STEADY never."""
    rng = np.random.default_rng(3)
    close = 50 * np.exp(np.cumsum(rng.normal(0, SCALE, (BARS, 3)), axis=0))
    opened = close * np.exp(rng.normal(0, 0.005, close.shape))
    live = np.ones(close.shape, bool)
    live[LAST + 1 :, ENDS] = False
    live[HALT, HALTED] = False
    even = np.ones(close.shape)
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    return Panel(opened, high, low, close, 1000 * even, live, even)


def record_of(panel: Panel, ended) -> BarRecord:
    one = {"kind": "equity", "increment": 1e-6, "lot": 1.0, "margin": 0.5}
    one |= {"quote": "USD", "settlement": "USD", "calendar": "xnys"}
    one |= {"maker_fee": 0.0, "taker_fee": 0.0}
    names = [Instrument(symbol=name, base=name, **one) for name in ("E", "H", "S")]
    source = BarSource(universe(names), panel, DAY_NS, 0, ended)
    return record_bars(0, ((one.ints, one.floats) for one in source.bars(0, BARS)))


def data_of(record: BarRecord) -> Dataset:
    """What labels read of the record; of the rest, anything."""
    shape = BARS, 3
    rest: dict[str, Any] = dict.fromkeys(Dataset._fields[1:], np.zeros(shape))
    rest |= {
        "first": 0,
        "volatility": np.full(shape, SCALE, np.float32),
        "close": record.price("mid_close"),
        "entry": record.price("mid_entry"),
        "live": record.live(),
        "settled": record.settled(),
    }
    return Dataset(**rest)


def charged(loss: float = LOSS) -> BarRecord:
    panel = shares()
    return record_of(*delisted(panel, panel.live, loss))


@pytest.fixture(scope="module")
def record():
    return charged()


@pytest.fixture(scope="module")
def labels(record):
    return label_bars(data_of(record), TRAIN, HORIZON, 0.5)


def walked(symbol: int) -> dict[int, float]:
    """Log return of whoever buys at the next opening, by the day of the decision.

    Day by day, from the panel itself: who still holds ENDS the day after its last is
    paid the last price less the loss; who would sell HALTED in its halt cannot.
    """
    panel, found = shares(), {}
    paid = panel.close[LAST, ENDS] * (1 + LOSS)
    for day in range(BARS - HORIZON):
        is_over = symbol == ENDS and day + HORIZON > LAST
        may_decide = panel.live[day, symbol]
        if symbol == ENDS and day == LAST:
            bought = paid  # it opens at what is paid for it
        else:
            may_decide &= panel.live[day + 1, symbol]
            bought = panel.open[day + 1, symbol]
        sold = paid if is_over else panel.close[day + HORIZON, symbol]
        if may_decide and (is_over or panel.live[day + HORIZON, symbol]):
            found[day] = log(sold / bought)
    return found


@pytest.mark.parametrize("symbol", [ENDS, HALTED, STEADY])
def test_labels_are_what_a_walk_by_hand_earns(labels, symbol):
    """Every decision that can be met has one, but those that end in the halt."""
    expected = walked(symbol)
    counted = np.flatnonzero(labels.weights[:, symbol] > 0)
    assert counted.tolist() == list(expected)
    # prices are whole increments of a fifty-millionth
    np.testing.assert_allclose(
        labels.returns[counted, symbol], list(expected.values()), atol=1e-7
    )
    if symbol == ENDS:
        assert counted[-1] == LAST
        held = range(LAST - HORIZON + 2, LAST)
        assert (labels.classes[held, ENDS] == 0).all(), "they lost 30 %"
        assert labels.classes[LAST, ENDS] == 1, "who comes last has lost nothing"


def test_money_of_the_scan_is_that_of_the_labels(record, labels):
    """One unit bought at each decision's entry and held to the close of its horizon."""
    data = data_of(record)
    for day in (LAST - HORIZON, LAST - 2, LAST - 1, LAST):
        held = data.part(range(day, day + HORIZON + 1))
        grown = np.prod(1 + research.moves(held)[:, ENDS])
        assert log(grown) == pytest.approx(labels.returns[day, ENDS], abs=1e-6)


def test_labels_mature_as_hindsight_has_them(record, labels):
    pending = outcome.init_pending(HORIZON, 1, 3)
    said, scale = jnp.zeros((1, 3, 3)), jnp.full(3, SCALE, jnp.float32)
    for t, (ints, floats) in enumerate(zip(record.ints, record.floats, strict=True)):
        bar = Bar(*(jnp.asarray(row) for row in (*ints, *floats)))
        found = outcome.mature(pending, bar, jnp.float32(labels.threshold))
        if t >= HORIZON:
            known = labels.weights[t - HORIZON] > 0
            np.testing.assert_array_equal(found.counts, known)
            classes = labels.classes[t - HORIZON]
            np.testing.assert_array_equal(found.label[known], classes[known])
        pending = outcome.push_pending(pending, said, scale, bar)


def test_no_label_tells_of_the_end_before_it_is_known():
    """A share that goes on has the same labels up to the day on which the other ends,
    and the same weights but where they overlap with later labels."""
    panel = shares()
    goes_on = panel.live.copy()
    goes_on[:, ENDS] = True
    other = record_of(panel._replace(live=goes_on), None)
    own, still = (
        labels_at(data_of(one), TRAIN, HORIZON, 0.7) for one in (charged(), other)
    )
    sure = LAST + 1 - HORIZON  # their horizon ends before the day after the last
    for name in ("returns", "classes", "weights"):
        pair = [getattr(one, name)[:sure, ENDS] for one in (own, still)]
        np.testing.assert_array_equal(*pair)
    assert own.returns[sure, ENDS] != still.returns[sure, ENDS]


def test_of_a_share_whose_price_just_stands_nobody_knows_that_it_ended():
    """It is one more halt: no decision that would end in it has a label."""
    plain = charged(0.0)
    assert not (plain.column("live") == ENDED).any()
    found = label_bars(data_of(plain), TRAIN, HORIZON, 0.5)
    counted = np.flatnonzero(found.weights[:, ENDS] > 0)
    assert counted[-1] == LAST - HORIZON


def test_who_has_ended_is_not_live(record):
    state = record.column("live")[:, ENDS]
    assert (state[: LAST + 2] == 1).all()
    assert (state[LAST + 2 :] == ENDED).all()
    assert not record.live()[LAST + 2 :, ENDS].any()
    volumes = record.column("base_turnover")[LAST + 2 :, ENDS]
    assert not volumes.any()


def test_features_do_not_tell_ended_from_silent(record):
    """Neither the device's columns nor those of the certificate."""
    scales = history.Scales(*(jnp.ones(3), jnp.ones(3), jnp.ones(5) / 5))
    past = history.init_past(3)._replace(age=jnp.full(3, 9, jnp.int32))
    live = BAR_INTS.index("live")
    silent = record.ints.copy()
    silent[:, live] = np.maximum(silent[:, live], 0)
    assert (record.ints[LAST + 2, live] != silent[LAST + 2, live]).any()
    found = []
    for ints in (record.ints, silent):
        rows = (*ints[LAST + 2], *record.floats[LAST + 2])
        bar = Bar(*(jnp.asarray(row) for row in rows))._replace(
            conflated=jnp.ones(3, jnp.int32)
        )
        whole = usable.count_whole(jnp.full((2, 3), 7, jnp.int32), bar)
        bars = bars_of(record._replace(ints=ints))
        columns = Columns(bars, *(np.asarray(one) for one in scales))
        found.append(
            history.bar_columns(bar, past, scales)
            | history.next_past(past, bar)._asdict()
            | {"whole": whole, "ages": columns.age}
            | {f"certified {name}": x for name, x in columns.by_name.items()}
        )
    assert found[0].keys() == found[1].keys()
    for name, one in found[0].items():
        np.testing.assert_array_equal(one, found[1][name], name)
