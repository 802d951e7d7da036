"""A venue behind sockets answers as one in the engine's own process does."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import pytest
import zmq

from bot4jax.data.universe import universe
from bot4jax.errors import Halted
from bot4jax.runtime.dead_man import DeadMan
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.local_venue import LocalVenue, statement
from bot4jax.runtime.messages import CorporateAction, Refused, pack, unpack
from bot4jax.runtime.orders import Ack, Answer, Cancel, Fill, Order, order_id
from bot4jax.runtime.publish import publish
from bot4jax.runtime.recovery import follows
from bot4jax.runtime.screen import Drop
from bot4jax.runtime.sockets import (
    LIMITS,
    bound_endpoint,
    dealer,
    publisher,
    router,
    subscriber,
)
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_messages import (
    Alive,
    Fenced,
    Goodbye,
    Inquiry,
    Report,
    Statement,
    Step,
    Withdraw,
    unpack_from_engine,
    unpack_from_venue,
)
from bot4jax.runtime.venue_process import Sockets, serve, take
from bot4jax.runtime.wire import VERSION, encode
from bot4jax.types import (
    BEGIN,
    BOOK,
    BUY,
    END,
    QUOTE,
    SELL,
    TICK,
    TRADE,
    Frame,
    Instrument,
)

UNIVERSE = universe([Instrument(symbol=name, increment=0.5) for name in "ABC"])
ANCHORS = np.full(3, 1_000)
BAR_NS, BARS, LATENCY_NS = 1_000, 12, 150
START_NS = 5_000_000
RUN = "process"
ANY_PORT = "tcp://127.0.0.1:*"


def boundary(bar: int) -> int:
    """Event time at which a bar closes."""
    return START_NS + (bar + 1) * BAR_NS


def stream(seed: int = 0, per_bar: int = 40) -> np.ndarray:
    """Quotes and trades of all bars, a little out of order, some at boundaries."""
    rng = np.random.default_rng(seed)
    count = BARS * per_bar
    records = np.zeros(count, TICK)
    events = np.sort(rng.integers(0, BARS * BAR_NS, count)) + START_NS
    events[rng.random(count) < 0.05] -= 30
    records["event_ns"] = np.maximum(events, START_NS)
    records["event_ns"][::per_bar] = START_NS + np.arange(BARS) * BAR_NS
    records["kind"] = rng.choice([QUOTE, TRADE], count, p=[0.7, 0.3])
    records["symbol"] = rng.integers(0, 3, count)
    is_trade = records["kind"] == TRADE
    price = rng.integers(990, 1_010, count)
    records["a"] = price
    records["b"] = np.where(is_trade, rng.integers(1, 9, count), price + 2)
    records["c"] = rng.integers(1, 9, count)
    records["d"] = np.where(is_trade, 0, rng.integers(1, 9, count))
    records["side"] = np.where(is_trade, rng.integers(0, 3, count), 0)
    return records


def frames(records: np.ndarray, cuts: list[int]) -> Iterator[Frame]:
    """The stream cut into frames, the END not among them."""
    places = [0, *sorted(cuts), len(records)]
    for first, stop in itertools.pairwise(places):
        part = records[first:stop]
        sent_ns = int(part["event_ns"].max(initial=START_NS)) + 5
        if len(part):
            yield Frame(1, 1, first, sent_ns, part)


def step_after(bar: int, answers: list[Answer]) -> Step:
    """What an engine could ask for: it depends on everything answered so far."""
    fills = [one for one in answers if isinstance(one, Fill)]
    held = [
        sum(f.lots if f.side == BUY else -f.lots for f in fills if f.symbol == slot)
        for slot in range(3)
    ]
    orders = [
        Order(
            id=order_id(RUN, bar, slot, 0),
            symbol=slot,
            side=SELL if (held[slot] + len(answers)) % 2 else BUY,
            lots=1 + (abs(held[slot]) + bar) % 7,
            kind=("ioc", "limit", "market")[(bar + slot) % 3],
            limit=0 if (bar + slot) % 3 == 2 else 1_000 + bar % 3,
            step=bar,
        )
        for slot in range(3)
    ]
    return Step(
        run=RUN,
        step=bar,
        universe_hash=UNIVERSE.hash,
        boundary_ns=boundary(bar),
        through_ns=boundary(bar + 1),
        orders=list(orders),
    )


def new_venue() -> PaperVenue:
    return PaperVenue(UNIVERSE, LATENCY_NS, seed=1, reject_share=0.1)


def here() -> list[Answer]:
    """All answers when engine and venue take turns in one process."""
    venue, answers = LocalVenue(new_venue()), []
    venue.hear(stream())
    for bar in range(1, BARS - 1):
        venue.send(step_after(bar, answers))
        answers += venue.settle(boundary(bar + 1))
    return answers


def desk(**changes) -> Desk:
    return Desk(new_venue(), UNIVERSE.hash, **changes)


def test_a_goodbye_takes_back_what_rests_of_the_run_that_is_served():
    venue = new_venue()
    own = Desk(venue, UNIVERSE.hash)
    own.hear(stream())
    own.end()
    answers, bar = [], 0
    while not venue.open_orders:
        bar += 1
        own.take(step_after(bar, answers))
        report = own.report()
        assert report is not None
        answers += report.answers
    left = venue.open_orders
    own.take(Goodbye(run="another", step=bar))
    assert (own.is_over, venue.open_orders) == (False, left)
    own.take(Goodbye(run=RUN, step=bar))
    assert (own.is_over, venue.open_orders) == (True, [])


def test_the_scene_is_rich_enough_to_prove_something():
    kinds = {type(one).__name__ for one in here()}
    assert kinds == {"Ack", "Fill", "Reject", "Expired"}
    fills = [one for one in here() if isinstance(one, Fill)]
    assert len(fills) > 20
    assert {one.is_maker for one in fills} == {True, False}


@pytest.mark.parametrize("ahead", [0, 1, 7, 10_000])
@pytest.mark.parametrize("cut", [1, 7, 200])
def test_lockstep_depends_neither_on_frames_nor_on_who_is_faster(ahead, cut):
    """The ticks run `ahead` frames in front of the engine."""
    records = stream()
    waiting = list(frames(records, list(range(cut, len(records), cut))))
    own, answers = desk(), []
    for bar in range(1, BARS - 1):
        own.take(step_after(bar, answers))
        for _ in range(ahead):
            if waiting:
                own.hear(waiting.pop(0).records)
        while (report := own.report()) is None:
            if waiting:
                own.hear(waiting.pop(0).records)
            else:
                own.end()
        assert (report.step, report.through_ns) == (bar, boundary(bar + 1))
        answers += report.answers
    assert answers == here()


def test_a_step_is_answered_when_the_ticks_have_reached_its_end():
    own = desk()
    own.take(step_after(0, []))
    last = stream()[:1].copy()
    for event_ns, is_answered in ((boundary(1) - 1, False), (boundary(1), True)):
        last["event_ns"] = event_ns
        own.hear(last)
        assert (own.report() is not None) == is_answered
    assert own.report() is None, "one report a step"


def test_a_heartbeat_and_the_end_reach_too():
    nothing = np.empty(0, TICK)
    own = desk()
    own.take(step_after(0, []))
    own.hear(nothing, boundary(1))
    assert own.report() is not None
    own.take(step_after(1, []))
    assert own.report() is None
    own.end()
    assert own.report() is not None


def test_a_repeated_step_is_answered_again_and_not_traded():
    own = desk()
    own.hear(stream())
    step = step_after(1, [])
    own.take(step)
    first = own.report()
    own.take(step)
    assert own.report() == first
    assert first is not None
    assert any(isinstance(one, Fill) for one in first.answers)
    assert (own.steps, own.orders) == (1, 3)


def test_without_lockstep_the_market_goes_on_and_nothing_is_lost():
    own, answers = desk(lockstep=False), []
    for frame in frames(stream(), list(range(9, 480, 9))):
        own.hear(frame.records)
    own.end()
    for bar in range(1, 4):
        own.take(step_after(bar, []))
        report = own.report()
        assert report is not None
        answers += report.answers
    assert len({one.order for one in answers}) == 9
    assert min(one.event_ns for one in answers) >= boundary(BARS - 1) - BAR_NS


def test_another_universe_is_refused_by_name():
    own = desk()
    step = step_after(1, [])
    other = Step(
        run=RUN,
        step=1,
        universe_hash=UNIVERSE.hash ^ 1,
        boundary_ns=step.boundary_ns,
        through_ns=step.through_ns,
    )
    answer = own.take(other)
    assert isinstance(answer, Refused)
    assert f"{UNIVERSE.hash:08x}" in answer.reason
    assert (own.steps, own.report()) == (0, None)


def inquiry(**changes) -> Inquiry:
    said = {"version": VERSION, "universe_hash": UNIVERSE.hash, "bar_ns": BAR_NS}
    return Inquiry(run=RUN, **({"step": 0} | said | changes))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"version": VERSION + 1}, f"speaks version {VERSION + 1} of the protocol"),
        ({"bar_ns": 2 * BAR_NS}, f"bars last {2 * BAR_NS} ns, this venue's {BAR_NS}"),
        ({"agreed_hash": 5}, "it has read 00000005, this venue 00000007"),
    ],
)
def test_another_release_length_of_bars_or_configuration_is_refused_by_name(
    changed, sentence
):
    own = desk(bar_ns=BAR_NS, agreed_hash=7)
    refused = own.take(inquiry(**changed))
    assert isinstance(refused, Refused)
    assert sentence in refused.reason
    assert own.epoch == 0
    stated = own.take(inquiry(agreed_hash=7))
    assert isinstance(stated, Statement)
    assert (stated.version, own.epoch) == (VERSION, 1)


def test_an_engine_goes_on_with_no_venue_of_another_release():
    with router(ANY_PORT) as end, dealer(bound_endpoint(end)) as socket:
        socket.send(b"")  # makes this peer known, so that it can be answered first
        peer, _ = end.recv_multipart()
        found = desk().take(inquiry())
        assert isinstance(found, Statement)
        later = msgspec.structs.replace(found, version=VERSION + 1)
        end.send_multipart([peer, pack(later)])
        with pytest.raises(Halted, match=f"version {VERSION + 1} of the protocol"):
            SocketVenue(socket, timeout_s=10.0).ask(inquiry())


@pytest.mark.parametrize(
    ("run", "step", "takes_over"),
    [
        (RUN, 0, False),
        (RUN, 1, False),
        (RUN, 2, True),
        (RUN, 3, True),
        (RUN, 4, False),
        ("other", 2, False),
    ],
)
def test_only_an_engine_whose_record_fits_takes_the_place_of_the_one_at_work(
    run, step, takes_over
):
    """What `recovery.plan` refuses fences nobody, and lets nothing act too early."""
    own = desk()
    split = CorporateAction(symbol=0, event_ns=boundary(4), action="split", factor=2.0)
    own.hear(stream()[:0], events=[split])
    at_work = own.take(inquiry())
    assert isinstance(at_work, Statement)

    def sent(number: int) -> Step:
        return msgspec.structs.replace(step_after(number, []), epoch=at_work.epoch)

    for number in (1, 2):
        assert own.take(sent(number)) is None
        own.hear(stream())
        report = own.report()
        assert report is not None
    held = report.positions
    assert isinstance(own.take(inquiry()), Statement)
    asked = inquiry(boundary_ns=boundary(5))
    stated = own.take(msgspec.structs.replace(asked, run=run, step=step))
    assert isinstance(stated, Statement)
    assert stated.epoch == (2 if takes_over else 0)
    assert (stated.positions == held) == (not takes_over)
    fenced = Fenced(epoch=2) if takes_over else None
    assert own.take(sent(3)) == fenced
    assert isinstance(
        own.take(msgspec.structs.replace(sent(4), epoch=stated.epoch)),
        type(None) if takes_over else Fenced,
    )


@pytest.mark.parametrize("told", ["history", "history_before"])
@pytest.mark.parametrize(
    ("theirs", "ours", "takes_over"),
    [
        ("a" * 16, "a" * 16, True),
        ("a" * 16, "b" * 16, False),
        ("a" * 16, "", True),
        ("", "b" * 16, True),
    ],
)
def test_an_engine_of_the_same_step_with_another_history_takes_nobodys_place(
    theirs, ours, takes_over, told
):
    """Whether it knows the venue's last step, or has decided the next one."""
    own = desk()
    own.hear(stream())
    at_work = own.take(inquiry())
    assert isinstance(at_work, Statement)
    step = msgspec.structs.replace(step_after(1, []), epoch=1, history=theirs)
    assert own.take(step) is None
    assert own.report() is not None
    number = 1 if told == "history" else 2
    asked = msgspec.structs.replace(inquiry(step=number), **{told: ours})
    stated = own.take(asked)
    assert isinstance(stated, Statement)
    assert stated.history == theirs
    assert stated.epoch == (2 if takes_over else 0)
    following = msgspec.structs.replace(step_after(2, []), epoch=1)
    assert own.take(following) == (Fenced(epoch=2) if takes_over else None)
    if takes_over:
        follows(stated, asked)
    else:
        with pytest.raises(Halted, match="another run of its name"):
            follows(stated, asked)


@pytest.mark.parametrize("decided", [0, 1])
def test_whoever_goes_on_is_told_what_has_happened_since_and_told_again(decided):
    """Who was told may die before it is written, or may have asked long ago."""
    venue = new_venue()
    own, records = Desk(venue, UNIVERSE.hash, lockstep=False), stream()
    cut = np.searchsorted(records["event_ns"], boundary(2))
    own.hear(records[:cut])
    bids = [order(number, BUY, 2_000, 1_000 - number) for number in range(3)]
    step = msgspec.structs.replace(step_after(1, []), orders=bids)
    own.take(step)
    own.hear(records[cut : cut + 40])
    report = own.report()
    assert report is not None
    own.hear(records[cut + 40 :])
    assert own.take_back() > 0
    since = venue.record.answers[len(report.answers) :]
    assert {type(one).__name__ for one in since} >= {"Cancelled", "Fill"}
    for asked in (1, 1 + decided, 1 + decided):
        stated = own.take(inquiry(step=asked))
        assert isinstance(stated, Statement)
        assert told(stated.answers) == told([*report.answers, *since])
        assert stated.positions == venue.position.tolist()
    after = msgspec.structs.replace(step_after(2, []), orders=[], epoch=stated.epoch)
    own.take(after)
    waiting = own.take(inquiry(step=2))
    assert isinstance(waiting, Statement)
    assert (waiting.is_reported, told(waiting.answers)) == (False, told(since))
    following = own.report()
    assert following is not None
    assert told(following.answers) == told(since)
    assert following.positions == venue.position.tolist()


def told(answers) -> set[str]:
    return {str(one) for one in answers}


def order(number: int, side: int, lots: int, limit: int) -> Order:
    return Order(order_id(RUN, 1, number, 0), 0, side, lots, "limit", limit, step=1)


def intake() -> Intake:
    return Intake(UNIVERSE.hash, ANCHORS, skew_limit_ns=10)


def test_damaged_repeated_and_unfit_ticks_are_counted_and_dropped():
    records, taken = stream()[:20].copy(), intake()
    sent_ns = int(records["event_ns"].max())
    good = encode(Frame(1, 2, 100, sent_ns, records), UNIVERSE.hash)
    for place in range(0, len(good), 37):
        bad = bytearray(good)
        bad[place] ^= 0x10
        assert taken.read(bytes(bad)) is None
    assert taken.frames == 0
    heard = taken.read(good)
    assert heard is not None
    np.testing.assert_array_equal(heard.records, records)
    again = taken.read(encode(Frame(1, 2, 110, sent_ns, records), UNIVERSE.hash))
    assert again is not None
    np.testing.assert_array_equal(again.records, records[10:])
    former = taken.read(encode(Frame(1, 1, 130, sent_ns, records), UNIVERSE.hash))
    assert former is not None
    assert len(former.records) == 0
    unfit = records[:4].copy()
    unfit["symbol"][0], unfit["a"][1] = 3, -1
    unfit["event_ns"][2] = sent_ns + 11
    last = taken.read(encode(Frame(1, 2, 130, sent_ns, unfit), UNIVERSE.hash))
    assert last is not None
    np.testing.assert_array_equal(last.records, unfit[3:])
    assert taken.counters.dropped == {
        Drop.EPOCH: 20,
        Drop.SYMBOL: 1,
        Drop.PRICE: 1,
        Drop.FUTURE: 1,
    }
    assert taken.counters.duplicates == taken.dropped["duplicate"] == 10
    assert taken.ticks == 20 + 10 + 1


def test_a_venue_that_missed_something_trades_only_where_quotes_were_told_anew():
    """Quotes and levels of the publisher that has lost a frame are no prices; one that
    another publisher has told of still is."""

    def quoting(symbol: int, event_ns: int) -> np.ndarray:
        level = (BOOK, SELL, 0, symbol, event_ns, 1_003, 50, 1, 0)
        rows = [(QUOTE, 0, 0, symbol, event_ns, 1_000, 1_002, 5, 5), level]
        return np.array(rows, TICK)

    def bought(symbol: int) -> int:
        name = order_id(RUN, 1, symbol, len(venue.record.received))
        order = Order(name, symbol, BUY, 20, "ioc", 1_010)
        venue.submit([order], venue.clock_ns, is_decided=False)
        answers = venue.advance(np.empty(0, TICK), venue.clock_ns + 1)
        return sum(one.lots for one in answers if isinstance(one, Fill))

    taken, venue, at_ns = intake(), PaperVenue(UNIVERSE), START_NS
    sent = [Frame(1, 1, 0, at_ns, quoting(0, at_ns), flags=BEGIN)]
    sent += [Frame(1, 1, 2, at_ns, quoting(1, at_ns))]
    sent += [Frame(2, 1, 0, at_ns, quoting(2, at_ns), flags=BEGIN)]
    for one in sent:
        venue.advance(taken.take(one).records)
    venue.submit([Order("f" * 16, 1, BUY, 3, "limit", 999)], at_ns)
    assert [bought(slot) for slot in range(3)] == [20, 20, 20]
    later = Frame(1, 1, 5, at_ns + 9, quoting(1, at_ns + 9))
    venue.advance(taken.take(later).records)
    assert taken.counters.gaps == 1
    assert [bought(slot) for slot in range(3)] == [0, 20, 20]
    assert venue.open_orders == ["f" * 16], "what rests goes on resting"
    venue.advance(taken.take(later).records, at_ns + 10)
    assert bought(0) == 0
    venue.advance(
        taken.take(
            later._replace(
                sequence=7, records=quoting(0, at_ns + 20), sent_ns=at_ns + 20
            )
        ).records
    )
    assert bought(0) == 20


def test_an_order_behind_a_queue_that_nobody_knows_waits_for_a_trade_beyond():
    venue = PaperVenue(UNIVERSE)
    venue.submit([Order("f" * 16, 0, BUY, 3, "limit", 999)], 0)
    venue.advance(np.empty(0, TICK), 1)
    at, beyond = ((TRADE, SELL, 0, 0, 2, price, 9, 0, 0) for price in (999, 998))
    assert not venue.advance(np.array([at], TICK))
    (fill,) = venue.advance(np.array([beyond], TICK))
    assert isinstance(fill, Fill)


def test_the_end_is_over_when_every_publisher_has_ended():
    taken, nothing = intake(), np.empty(0, TICK)
    assert not taken.is_over
    taken.read(encode(Frame(1, 1, 0, 10, nothing), UNIVERSE.hash))
    taken.read(encode(Frame(2, 1, 0, 10, nothing, flags=END), UNIVERSE.hash))
    assert not taken.is_over
    taken.read(encode(Frame(1, 1, 0, 10, nothing, flags=END), UNIVERSE.hash))
    assert taken.is_over


def life(name: int, epoch: int, sequence: int, flags: int = 0) -> bytes:
    nothing = np.empty(0, TICK)
    frame = Frame(name, epoch, sequence, 10 + sequence, nothing, flags=flags)
    return encode(frame, UNIVERSE.hash)


def test_a_publisher_that_ended_and_came_back_is_waited_for():
    taken = intake()
    for buffer in (
        life(1, 1, 0, BEGIN),
        life(2, 1, 0, BEGIN),
        life(1, 1, 0, END),
        life(1, 2, 0),
        life(2, 1, 0, END),
        life(1, 1, 0, END),
    ):
        taken.read(buffer)
        assert not taken.is_over
    taken.read(life(1, 2, 0, END))
    assert taken.is_over


class Wires:
    """A venue in a thread, with a feed and an engine at its sockets."""

    def __init__(self, context: zmq.Context, *how) -> None:
        """`how`: what `serve` takes beyond its ends."""
        self.desk, self.intake = desk(), intake()
        self.error: BaseException | None = None
        self.market = publisher(ANY_PORT, context=context)
        self.feed = self.market.__enter__()
        self.orders = router(ANY_PORT, context=context)
        self.ticks = subscriber(bound_endpoint(self.feed), context=context)
        ends = Sockets(self.ticks.__enter__(), self.orders.__enter__())
        self.endpoint = bound_endpoint(ends.orders)
        self.line = dealer(self.endpoint, context=context)
        self.engine = self.line.__enter__()
        self.thread = threading.Thread(target=self._serve, args=(ends, *how))

    def _serve(self, *how) -> None:
        try:
            serve(self.desk, self.intake, *how)
        except BaseException as error:
            self.error = error

    def ask(self, step: Step) -> Report:
        self.engine.send(pack(step))
        assert self.engine.poll(20_000), "the venue does not answer"
        return unpack(self.engine.recv(), Report)

    def close(self) -> None:
        self.thread.join(10)
        assert not self.thread.is_alive()
        for one in (self.line, self.ticks, self.orders, self.market):
            one.__exit__(None, None, None)


@pytest.fixture
def wires() -> Iterator[Callable[..., Wires]]:
    made: list[Wires] = []
    with zmq.Context() as context:

        def open_wires(patience_s: float = 10.0, clock_s=time.monotonic) -> Wires:
            made.append(Wires(context, patience_s, clock_s))
            made[-1].thread.start()
            return made[-1]

        yield open_wires
        for one in made:
            one.close()


def test_over_real_sockets_the_answers_are_the_same(wires):
    line = wires()
    assert line.feed.poll(20_000), "no subscription"
    line.feed.recv()
    with dealer(line.endpoint) as stranger:
        stranger.send(b"not a message")
        assert stranger.poll(20_000), "nobody says what was wrong"
        refused = unpack(stranger.recv(), Refused)
    assert "expected a Inquiry" in refused.reason
    line.feed.send(b"not a frame")
    records = stream()
    parts = frames(records, list(range(50, len(records), 50)))
    publish(parts, line.feed, UNIVERSE.hash, boundary(BARS - 1))
    answers: list[Answer] = []
    for bar in range(1, BARS - 1):
        answers += line.ask(step_after(bar, answers)).answers
    repeated = line.ask(step_after(BARS - 2, []))
    line.engine.send(pack(Goodbye(run=RUN, step=BARS - 2)))
    line.thread.join(10)
    assert line.error is None
    assert answers == here()
    assert answers[-len(repeated.answers) :] == repeated.answers
    assert line.intake.ticks == len(records)
    assert dict(line.intake.refused) == {"message": 1, "short": 1}


def test_a_stranger_neither_gets_the_reports_nor_ends_the_venue(wires):
    """Neither its goodbye nor its withdrawal nor its question for other data counts."""
    line = wires()
    assert line.feed.poll(20_000), "no subscription"
    line.feed.recv()
    line.engine.send(pack(step_after(1, [])))
    with dealer(line.endpoint) as stranger:
        stranger.send(pack(Withdraw(run=RUN, cancels=[])))
        stranger.send(pack(Goodbye(run=RUN, step=1)))
        other = inquiry(universe_hash=UNIVERSE.hash ^ 1)
        stranger.send(pack(other))
        assert stranger.poll(20_000), "the question is not answered"
        assert isinstance(unpack_from_venue(stranger.recv()), Refused)
    records = stream()
    publish(frames(records, []), line.feed, UNIVERSE.hash, boundary(BARS - 1))
    assert line.engine.poll(20_000), "the report went elsewhere"
    assert unpack(line.engine.recv(), Report).step == 1
    line.engine.send(pack(Goodbye(run=RUN, step=1)))
    line.thread.join(10)
    assert line.error is None
    assert line.intake.refused["peer"] == 2


def test_a_stranger_that_never_reads_holds_nobody_up(tmp_path):
    """Each refusal would be waited for, and whoever comes behind it with it."""
    endpoint, count, mine = f"ipc://{tmp_path}/orders", 20_000, intake()
    patient = LIMITS._replace(send_high_water=1, send_timeout_ms=60_000)
    deaf = LIMITS._replace(receive_high_water=1, send_high_water=0)

    def hear(orders: zmq.Socket) -> None:
        own, switch = desk(), DeadMan()
        for _ in range(count):
            take(own, mine, orders, b"", switch)

    with (
        router(endpoint, patient) as orders,
        dealer(endpoint, limits=deaf) as stranger,
    ):
        for _ in range(count):
            stranger.send(b"not a message")
        thread = threading.Thread(target=hear, args=(orders,), daemon=True)
        thread.start()
        thread.join(20)
        heard = mine.refused["message"]
        thread.join(120)
    assert heard == count


@pytest.fixture
def called() -> Iterator[tuple[SocketVenue, zmq.Socket]]:
    """An engine that has sent a step, and the other end, which has read it."""
    with router(ANY_PORT) as end, dealer(bound_endpoint(end)) as socket:
        venue = SocketVenue(socket, timeout_s=10.0)
        venue.send(step_after(1, []))
        yield venue, end


def test_a_venue_that_speaks_otherwise_halts_with_its_address(called):
    venue, end = called
    peer = heard_by(end)[0]
    end.send_multipart([peer, b"\x81\xa4type\xa5later"])
    with pytest.raises(Halted, match=rf"{bound_endpoint(end)} says"):
        venue.settle(boundary(2))


def test_a_report_that_came_while_the_engine_stood_still_counts(called):
    """Its process was stopped for longer than it waits for a venue."""
    _, end = called
    peer = heard_by(end)[0]
    with dealer(bound_endpoint(end)) as socket:
        venue = SocketVenue(socket, timeout_s=0.1)
        venue.send(step_after(1, []))
        peer = heard_by(end)[0]
        order = order_id(RUN, 1, 0, 0)
        report = Report(step=1, through_ns=boundary(2), answers=[Ack(order, 5)])

        def stands_still() -> None:
            end.send_multipart([peer, pack(report)])
            assert socket.poll(20_000)
            time.sleep(0.2)

        venue.attend = stands_still
        assert venue.settle(boundary(2)) == report.answers


def test_an_engine_that_was_fenced_takes_nothing_back(called):
    venue, end = called
    peer = heard_by(end)[0]
    stated = statement(new_venue(), 6, None, (), False)
    for message in (stated, Fenced(epoch=7)):
        end.send_multipart([peer, pack(message)])
    said = {"universe_hash": UNIVERSE.hash, "version": VERSION, "bar_ns": BAR_NS}
    venue.ask(Inquiry(run=RUN, step=1, **said))
    with pytest.raises(Halted, match="epoch 7"):
        venue.settle(boundary(2))
    assert isinstance(unpack_from_engine(heard_by(end)[1]), Inquiry)
    assert venue.take_back([Cancel(order_id(RUN, 1, 0, 0))]) == ()
    venue.close()
    assert isinstance(unpack_from_engine(heard_by(end)[1]), Goodbye)


def heard_by(end: zmq.Socket) -> list[bytes]:
    assert end.poll(20_000), "nothing was sent"
    return end.recv_multipart()


def test_silence_on_both_sides_ends_the_venue_with_a_sentence(wires):
    line = wires(patience_s=0.05)
    line.thread.join(10)
    assert isinstance(line.error, Halted)
    assert "Neither ticks nor steps" in str(line.error)


def test_a_wait_that_ends_early_for_the_dead_man_is_not_taken_for_silence(wires):
    """After each wait this clock says that a tenth of it is still to come."""
    line = wires(clock_s=lambda: 0.9 * time.monotonic())
    line.engine.send(pack(inquiry()))
    line.engine.send(pack(Alive(run=RUN, within_ns=100_000_000)))
    line.thread.join(1.0)
    line.engine.send(pack(Goodbye(run=RUN, step=0)))
    line.thread.join(10)
    assert line.error is None
