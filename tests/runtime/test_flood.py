"""Peers that nobody has asked flood the sockets of a venue and of people.

They are another process and read no answer. What they send is all that a socket lets
in: noise, large and small, half messages, and words that would be understood from
somebody else. Memory may grow by what the queues hold, and the loops go on.
"""

import resource
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq

from bot4jax.runtime.control import MOST_WAITING
from bot4jax.runtime.control_line import Ask, settled
from bot4jax.runtime.messages import Control, pack
from bot4jax.runtime.publish import publish
from bot4jax.runtime.sockets import LIMITS, Limits, bound_endpoint, router
from bot4jax.runtime.venue_messages import Alive, Goodbye, Withdraw
from tests.runtime import flooding
from tests.runtime import test_venue_process as market
from tests.runtime.test_control import Engine, hear
from tests.runtime.test_venue_process import BARS, RUN, UNIVERSE, Wires

PEERS, SIZE = 3, 16 << 10
HELD = PEERS * LIMITS.receive_high_water * SIZE
"""Bytes that full queues hold of messages of this size."""

SLACK = 24 << 20
"""What else this process may need meanwhile."""

FLOOD = 4 * LIMITS.receive_high_water
"""Messages of each peer: without a bound they would be 192 MiB."""

PATIENCE_S = 60.0


def resident() -> int:
    """Bytes that this process holds."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


class Flood:
    """The process at work."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def until(self, *words: str) -> tuple[str, int]:
        """The first of these words, and how many messages have left by then."""
        lines = self._process.stdout
        assert lines is not None
        while True:
            ready, _, _ = select.select([lines], [], [], PATIENCE_S)
            assert ready, f"the flood stands still before it is {' or '.join(words)}"
            word, count = lines.readline().decode().split()
            if word in words:
                return word, int(count)


@contextmanager
def flooded(
    endpoint: str, messages: Sequence[Sequence[bytes]], each: int = FLOOD
) -> Iterator[Flood]:
    """Flooded from now on, until the block ends."""
    command = [sys.executable, flooding.__file__, endpoint, str(PEERS), str(each)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        with process.stdin as words:
            words.write(msgspec.msgpack.encode(messages))
        try:
            yield Flood(process)
        finally:
            process.kill()


NOISE = [[np.random.default_rng(seed).bytes(SIZE)] for seed in range(8)]
"""As large as the queues are counted in."""


def small(words: Sequence[bytes]) -> list[list[bytes]]:
    """These, and what no protocol knows."""
    random = np.random.default_rng(1)
    odd = [[b""], [b"", b"", b"\x00"], [b"a"] * 20, [b"", random.bytes(40)]]
    return [*odd, *([one] for one in words)]


STRANGERS = small(
    [
        pack(market.inquiry(universe_hash=UNIVERSE.hash ^ 1)),  # is answered: refused
        pack(Alive(run=RUN, within_ns=1)),
        pack(Withdraw(run=RUN, cancels=[], is_last=True)),
        pack(Goodbye(run=RUN, step=1)),
    ]
)


def full(limits: Limits) -> int:
    """Bytes that a process grows by which reads nothing, once nobody can send more."""
    with router(market.ANY_PORT, limits) as socket:
        before = resident()
        with flooded(bound_endpoint(socket), NOISE) as flood:
            flood.until("full", "done")
            return resident() - before


def test_a_queue_that_nobody_reads_holds_no_more_than_it_may():
    assert full(LIMITS) < HELD + SLACK


def test_a_queue_without_a_bound_is_found_out():
    assert full(LIMITS._replace(receive_high_water=0)) > HELD + SLACK


def test_a_venue_that_is_flooded_holds_what_its_queues_do_and_answers_as_ever():
    """Its queues are full before it reads the first word."""
    with zmq.Context() as context:
        line = Wires(context, PATIENCE_S)
        assert line.feed.poll(20_000), "no subscription"
        line.feed.recv()
        before = resident()
        with flooded(line.endpoint, NOISE) as flood:
            assert flood.until("full", "done")[0] == "full"
            line.thread.start()
            answers = traded(line)
            assert resident() - before < HELD + SLACK
            assert flood.until("done") == ("done", PEERS * FLOOD)
            line.engine.send(LEAVING)
        line.close()
    assert line.error is None
    assert answers == market.here()


def test_strangers_that_read_no_answer_are_not_waited_for():
    """Else each of their questions would cost a venue a second, once they are full."""
    with zmq.Context() as context:
        line = Wires(context, PATIENCE_S)
        assert line.feed.poll(20_000), "no subscription"
        line.feed.recv()
        line.thread.start()
        with flooded(line.endpoint, STRANGERS, each=40_000) as flood:
            flood.until("begun")
            answers = traded(line)
            flood.until("done")
            line.engine.send(LEAVING)
        line.close()
    assert line.error is None
    assert answers == market.here()
    assert line.desk.epoch == 0  # nobody has taken the line over


LEAVING = pack(Goodbye(run=RUN, step=BARS - 2))


def traded(line: Wires) -> list:
    """What all steps are answered, while the market goes on."""
    records = market.stream()
    parts = market.frames(records, list(range(50, len(records), 50)))
    publish(parts, line.feed, UNIVERSE.hash, market.boundary(BARS - 1))
    answers = []
    for bar in range(1, BARS - 1):
        answers += line.ask(market.step_after(bar, answers)).answers
    return answers


@pytest.fixture
def engine(tmp_path) -> Engine:
    engine = Engine(tmp_path)
    engine.scene.trader.start()
    return engine


PEOPLE = small(
    [
        pack(Control(do="status")),
        pack(Control(do="pause", reason="flood", lasts_ns=1)),
        b"\x81\xa2do\xa4kill",  # cut, and of no person
    ]
)
PEOPLE += [[b"", *one] for one in PEOPLE]


@pytest.mark.parametrize(
    ("messages", "each"), [(NOISE, FLOOD), (PEOPLE, 2 * FLOOD)], ids=["noise", "people"]
)
def test_people_who_are_flooded_are_heard_and_the_loop_goes_on(engine, messages, each):
    """They are not waited for either, though they read no answer."""
    before, at = resident(), {}

    def talk(ask: Ask) -> None:
        flood.until("begun")
        at["killed"] = ask(Control(do="kill", reason="drill"))
        at["settled"] = settled(ask, PATIENCE_S)
        flood.until("done")

    with flooded(engine.endpoint, messages, each) as flood:
        hear(engine, talk)
    assert at, "the person was not heard, or the flood stands still"
    assert (at["killed"].accepted, at["killed"].state) == (True, "halted")
    assert at["settled"].open_orders == 0
    assert engine.controls.waiting <= MOST_WAITING
    assert resident() - before < HELD + SLACK
