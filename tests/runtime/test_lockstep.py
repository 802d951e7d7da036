"""A venue that hears a record for itself answers as the one that was there, whenever
frames, steps and the word that a bar has passed came to that."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from bot4jax.runtime.intake import Intake
from bot4jax.runtime.lockstep import LockstepVenue, Stream
from bot4jax.runtime.orders import Answer
from bot4jax.runtime.publish import heartbeat
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_messages import Passed, Place
from bot4jax.types import BEGIN, TICK, Frame
from tests.runtime.scene import SYMBOLS, Scene
from tests.runtime.street import street
from tests.runtime.test_taken_back import Died, engine, killed, traded
from tests.runtime.test_venue_process import (
    ANCHORS,
    BARS,
    RUN,
    UNIVERSE,
    boundary,
    desk,
    frames,
    new_venue,
    step_after,
    stream,
)

SEEDS, LIMIT_NS = 40, 100_000
STEPS = range(1, BARS - 2)


def sent(rng: np.random.Generator) -> Iterator[Frame]:
    """The stream in frames of any length; heartbeats say a little too much."""
    cuts = rng.integers(0, BARS * 40, 60).tolist()
    for number, one in enumerate(frames(stream(), cuts)):
        yield one._replace(flags=0 if number else BEGIN)
        if rng.random() < 0.3:
            event_ns = int(one.records["event_ns"].max()) + 20
            yield heartbeat(one, event_ns)


def intake() -> Intake:
    return Intake(UNIVERSE.hash, ANCHORS, LIMIT_NS)


def there(
    came: Sequence[Frame], rng: np.random.Generator
) -> tuple[list[list[Answer]], dict[int, Sequence[Place]]]:
    """What a venue's process answers, and how far it had heard where a clock was ahead:
    frames and words come when they come."""
    own, ears, waiting = desk(), intake(), iter(came)
    answers, told, heard = [], [], {}
    for bar in STEPS:
        step = step_after(bar, answers)
        own.take(step)
        while (report := own.report()) is None:
            if rng.random() < 0.1:
                own.take(Passed(run=RUN, boundary_ns=step.through_ns))
                continue
            for frame in islice(waiting, rng.integers(1, 4)):
                own.hear(*ears.take(frame))
        answers += report.answers
        told.append(list(report.answers))
        if report.heard is not None:
            heard[report.through_ns] = report.heard
    return told, heard


def again(
    came: Sequence[Frame], heard: Mapping[int, Sequence[Place]]
) -> list[list[Answer]]:
    venue, answers, told = LockstepVenue(new_venue(), intake(), came, heard), [], []
    for bar in STEPS:
        venue.send(step_after(bar, answers))
        told.append(list(venue.settle(boundary(bar + 1))))
        answers += told[-1]
    return told


def test_it_answers_as_the_one_that_was_there():
    passed = otherwise = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        came = list(sent(rng))
        told, heard = there(came, rng)
        assert again(came, heard) == told, f"seed {seed}"
        passed += len(heard)
        otherwise += again(came, {}) != told
    assert passed > SEEDS
    assert otherwise > SEEDS / 4, "what it had heard by then changes what it answers"


@pytest.mark.parametrize("takes_back", ["nobody", "who died", "who goes on"])
def test_whoever_goes_on_journals_how_far_was_heard(tmp_path, takes_back):
    """Over sockets: the engine dies with the answers to a bar that its clock closed,
    which only its next step would have kept. What rests may be taken back before."""
    heard = Place(1, 1, 3 * SYMBOLS)
    with street(latency_ns=0) as market:
        for bar in range(3):
            market.show(bar)
        with engine(tmp_path, market) as (scene, journal):
            traded(scene, journal)
            die_by_the_clock(scene)
            assert scene.link.heard == [heard]
            if takes_back == "who died":
                take_back(scene, tmp_path)
        with engine(tmp_path, market) as (scene, journal):
            traded(scene, journal)
            if takes_back == "who goes on":
                take_back(scene, tmp_path)
            scene.step(2)
            assert [one.heard for one in journal.read()] == [None, None, [heard]]


def die_by_the_clock(scene: Scene) -> None:
    """No tick beyond the bar has come; what the venue said is booked, and no more."""

    def dies(name: str) -> None:
        if name == "after_ack":
            raise Died

    closed, scene.trader.on_point = scene.closed(2), dies
    assert isinstance(scene.link, SocketVenue)
    scene.link.passed_ns = closed.boundary_ns
    with pytest.raises(Died):
        scene.trader.step(closed)


def take_back(scene: Scene, folder: Path) -> None:
    """The kill switch; there is something that rests."""
    assert scene.account.portfolio.working.ids()
    killed(scene, folder)
    assert not scene.account.portfolio.working.ids()


def test_every_publisher_is_heard_as_far_as_it_was_and_then_on():
    """Whatever the frames: against the numbers of the records alone."""
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        following = Stream(of_two_publishers(rng))
        numbers: dict[int, list[int]] = {1: [], 2: []}
        for _ in range(4):
            places = [
                Place(name, 1, int(rng.integers(len(own), 101)))
                for name, own in numbers.items()
            ][: rng.integers(1, 3)]
            while (frame := following.next(places)) is not None:
                numbers[frame.publisher] += frame.records["a"].tolist()
            for one in places:
                assert numbers[one.publisher] == list(range(one.sequence))
        while (frame := following.next(None)) is not None:
            numbers[frame.publisher] += frame.records["a"].tolist()
        assert numbers == {1: [*range(100)], 2: [*range(100)]}


def test_what_is_repeated_neither_takes_a_publisher_back_nor_overtakes():
    """The record is read no further than to the places, all of which it has reached."""
    came, read = (
        [of_one(1, 0, 4), of_one(1, 0, 2), of_one(2, 0, 1), of_one(1, 4, 6)],
        [],
    )
    following = Stream(read.append(one) or one for one in came)
    places, heard = [Place(1, 1, 3), Place(2, 1, 1)], []
    while (frame := following.next(places)) is not None:
        heard.append((frame.publisher, *frame.records["a"].tolist()))
    assert heard == [(1, 0, 1, 2), (2, 0)]
    assert read == came[:3]
    left = iter(lambda: following.next(None), None)
    assert [one.records["a"].tolist() for one in left] == [[3], [0, 1], [4, 5]]


def test_a_place_that_the_record_ends_before_is_named_once(caplog):
    following = Stream([of_one(1, 0, 4)])
    places = [Place(1, 1, 4), Place(2, 7, 5)]
    assert following.next(places) is not None
    assert following.next(places) is None
    assert following.next(places) is None
    (said,) = caplog.messages
    assert "publisher 2 as far as record 5 of epoch 7" in said


def of_one(name: int, first: int, stop: int) -> Frame:
    """Its records of these numbers."""
    records = np.zeros(stop - first, TICK)
    records["a"] = range(first, stop)
    return Frame(name, 1, first, 0, records)


def of_two_publishers(rng: np.random.Generator) -> Iterator[Frame]:
    """A hundred numbered records of each, by turns, in frames of any length."""
    left = {1: 0, 2: 0}
    while open_ones := [name for name, at in left.items() if at < 100]:
        name, count = int(rng.choice(open_ones)), int(rng.integers(0, 9))
        records = np.zeros(min(count, 100 - left[name]), TICK)
        records["a"] = left[name] + np.arange(len(records))
        yield Frame(name, 1, left[name], 0, records)
        left[name] += len(records)
