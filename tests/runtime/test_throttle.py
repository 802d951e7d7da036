"""One order over and over stops the engine until a person says otherwise."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bot4jax.runtime.journal import Journal
from bot4jax.runtime.limits import Reason, TradingState
from bot4jax.runtime.orders import Order, order_id
from bot4jax.runtime.states import OF_PEOPLE, Cause
from bot4jax.runtime.throttle import Throttle
from bot4jax.types import BUY, SELL
from tests.runtime.scene import LIMITS, RUN, Scene

TIGHT = msgspec.structs.replace(LIMITS, repeats=3, repeat_seconds=10.0)
SECOND = 1_000_000_000


def steady(step: int) -> tuple[float, float, float]:
    """As much more of the first symbol in every step: the same order every time."""
    return 0.02 * step, 0.0, 0.0


def sent(scene: Scene, bars: range) -> list[int]:
    """How many orders leave in each step."""
    return [len(scene.step(bar).orders) for bar in bars]


def test_the_one_too_many_is_denied_and_stops_the_engine(tmp_path):
    scene = Scene(tmp_path, steady, "limit", TIGHT, size=1)
    scene.trader.start()
    assert sent(scene, range(3)) == [1, 1, 1]
    denied = scene.step(3).denied
    assert [(one.reason, one.lots.tolist()) for one in denied] == [
        (Reason.REPEATED, [200])
    ]
    assert scene.states.state == TradingState.HALTED
    assert sent(scene, range(4, 7)) == [0, 0, 0]
    noted = scene.journal.transitions()[-1]
    assert (noted.cause, noted.is_held) == ("REPEATING", True)
    assert noted.text.startswith("3 orders alike within 10 s")


def test_it_outlives_a_restart_and_ends_when_a_person_says_so(tmp_path):
    scene = Scene(tmp_path, steady, "limit", TIGHT, size=1)
    scene.trader.start()
    sent(scene, range(4))
    scene.journal.close()
    journal = Journal.open(tmp_path / "journal.sqlite", RUN)
    again = Scene(tmp_path, steady, "limit", TIGHT, size=1, journal=journal)
    again.trader.start()
    assert again.states.is_held(Cause.REPEATING)
    assert again.states.state == TradingState.HALTED
    assert Cause.REPEATING in OF_PEOPLE
    again.states.lift(Cause.REPEATING, "looked into it")
    assert again.states.state == TradingState.ACTIVE


def test_what_left_before_a_restart_still_counts(tmp_path):
    """The loop repeats journaled steps, and with them what they sent."""
    scene = Scene(tmp_path, steady, "limit", TIGHT, size=1)
    scene.trader.start()
    sent(scene, range(2))
    records = list(scene.journal.read())
    scene.journal.close()
    journal = Journal.open(tmp_path / "journal.sqlite", RUN)
    venue = {"journal": journal, "venue": scene.link}
    again = Scene(tmp_path, steady, "limit", TIGHT, size=1, **venue)
    for bar, record in enumerate(records):
        again.trader.repeat(again.closed(bar), record)
    again.states.lift(Cause.STARTING, "recovered")
    assert sent(again, range(2, 5)) == [1, 0, 0]
    assert again.states.is_held(Cause.REPEATING)


orders = st.tuples(
    st.integers(0, 1), st.sampled_from([BUY, SELL]), st.integers(1, 2), st.just(100)
)
schedules = st.sampled_from(["", "", "a" * 16, "b" * 16])


@given(asked=st.lists(st.tuples(orders, st.integers(0, 4), schedules), max_size=60))
def test_no_span_of_time_ever_holds_more_than_so_many_alike(asked):
    throttle, now_ns, left = Throttle(TIGHT), 0, []
    for number, (alike, wait, parent) in enumerate(asked):
        now_ns += wait * SECOND
        name = order_id("t", number, 0, 0)
        symbol, side, lots, limit = alike
        terms = {"sent_ns": now_ns, "parent": parent}
        one = Order(name, symbol, side, lots, "ioc", limit, **terms)
        kept, denied = throttle.admitted([one], now_ns)
        left = [kept for kept in left if now_ns - kept[0] <= 10 * SECOND]
        alive = {own for _, a, own in left if a == alike}  # slices of one count as one
        is_over = len(alive - {parent}) >= 3 and parent not in alive
        assert (kept == [], bool(denied)) == (is_over, is_over)
        for order in kept:
            throttle.note(order)
            left.append((now_ns, alike, parent or name))


def test_the_slices_of_one_schedule_are_no_loop_gone_wild(tmp_path):
    scene = Scene(tmp_path, lambda step: (0.2, 0.0, 0.0), "ioc", TIGHT)
    scene.account.slices = 8
    scene.trader.start()
    assert sent(scene, range(8)) == [1] * 8
    assert scene.states.state == TradingState.ACTIVE


def test_what_leaves_together_counts_together():
    """A position that turns is sold in two orders, which may be alike."""
    throttle = Throttle(TIGHT)
    batch = [Order(order_id("t", 0, 0, leg), 0, SELL, 5, "market") for leg in range(5)]
    for one in batch[:2]:
        throttle.note(one)
    kept, denied = throttle.admitted(batch[2:], 0)
    assert kept == batch[2:3]
    assert [one.lots.tolist() for one in denied] == [[-5, -5]]
