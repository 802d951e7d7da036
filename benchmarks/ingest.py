"""How many ticks a second come from the socket into the state on the device?

A publisher and the engine's end are two processes; a thread reads, another one takes
up, as in a live run. `batch` sends 256 ticks a message, `single` one; `recorded` is
`batch` with everything written and hashed for a restart, as `mode=live` does. Beside
each stands how fast libzmq alone hands over the very same messages, read and thrown
away, in the same run. A round counts only if every tick that was sent has been counted
by the device: nothing dropped, nothing twice.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import zmq

from benchmarks.publishing import publishing
from benchmarks.result import Measured, Row
from benchmarks.ticker import BAR
from benchmarks.timing import Laps, quantiles, rate
from bot4jax.errors import Bot4JaxError
from bot4jax.kernels.bars import INTS, init_bars
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.tapes import tick_tape
from bot4jax.runtime.closings import Tape
from bot4jax.runtime.inputs import Inputs
from bot4jax.runtime.progress import Report
from bot4jax.runtime.publish import receive
from bot4jax.runtime.reception import received
from bot4jax.runtime.sockets import subscriber
from bot4jax.runtime.wire import HEADER, MAGIC
from bot4jax.schema import Config

STAGES = {"recorded": (1 << 20, 256), "batch": (1 << 20, 256), "single": (1 << 17, 1)}
"""Ticks a round, and ticks a message."""

RECORDED = "recorded"

IDLE_S = 0.02
"""How long the reading thread waits before it looks whether it is still wanted."""

PATIENCE_S = 300.0
"""How long the publisher may take to make its market."""


class LostTicks(Bot4JaxError):
    """Ticks that were sent have not reached the device, or have more than once."""

    exit_code = 3


def measure(
    config: Config,
    steps: int,
    warmup: int,
    report: Report,
    stages: dict[str, tuple[int, int]] = STAGES,
) -> Measured:
    """`steps` rounds of each stage, ours and libzmq's in turns."""
    setting, laps = set_stage(config), Laps()
    for name, (ticks, per_message) in stages.items():
        with ticker(config, ticks, per_message, 2 * (warmup + steps)) as endpoint:
            for done in range(1, warmup + steps + 1):
                laps.add(name, ingested(setting, endpoint, ticks, name == RECORDED))
                laps.add(f"{name} libzmq", handed_over(endpoint, ticks, per_message))
                report(f"ticks, {name}", done, warmup + steps)
    rows = [
        row
        for name, (ticks, _) in stages.items()
        for row in stage_rows(laps, name, ticks, warmup)
    ]
    ours, theirs = (rows[-2].p50, rows[-1].p50)
    return Measured(rows, {"libzmq": ours / theirs}, {})


def stage_rows(laps: Laps, name: str, ticks: int, warmup: int) -> list[Row]:
    """Ticks a second of one stage: ours, then libzmq's."""

    def row(stage: str, impl: str) -> Row:
        kept = laps.values[stage, "ms"][warmup:]
        found = rate(quantiles(kept, name, "ms", warmup), ticks, "ticks/s")
        return msgspec.structs.replace(found, impl=impl)

    return [row(name, "bot4jax"), row(f"{name} libzmq", "libzmq")]


def ingested(
    setting: Setting, endpoint: str, ticks: int, is_recorded: bool = False
) -> float:
    """Milliseconds from the first message to all ticks in the state on the device."""
    source, capacity = setting.source, setting.config.runtime.capacity
    tape = tick_tape(setting, init_bars(jnp.asarray(source.anchors, jnp.float32)), BAR)
    with (
        subscriber(endpoint, (MAGIC,)) as socket,
        received(
            receive(socket, source.universe.hash, PATIENCE_S, IDLE_S), capacity
        ) as reception,
        recording(is_recorded) as inputs,
    ):
        came = (one for one in reception.arrivals() if one.frame is not None)
        first = next(came)
        arrivals = (one for some in ([first], came) for one in some)
        if inputs is not None:
            arrivals = inputs.heard(arrivals)
        for closed in tape.closed(arrivals):
            raise LostTicks(f"Bar {closed.bar} has closed, but only one was sent.")
        absorb_rest(tape)
        if inputs is not None:
            inputs.mark().result()
        jax.block_until_ready(tape.open_bars)
        spent_ms = (time.perf_counter() - first.timer_s) * 1e3
    check_counted(tape, ticks)
    return spent_ms


@contextmanager
def recording(is_recorded: bool) -> Iterator[Inputs | None]:
    """A file for what comes in, where it is wanted."""
    with (
        tempfile.TemporaryDirectory(prefix="b4") as folder,
        Inputs(Path(folder)) if is_recorded else nullcontext() as inputs,
    ):
        yield inputs


def absorb_rest(tape: Tape) -> None:
    """What waits for a full batch goes on: the stream is over."""
    for batch in tape.feed.flush():
        tape.absorb(batch)


def check_counted(tape: Tape, ticks: int) -> None:
    """Every tick was counted by the device, once."""
    counted = int(np.asarray(tape.open_bars.ints)[:, INTS["received"]].sum())
    counters = tape.feed.counters
    if counted != ticks or counters.dropped or counters.gaps or counters.duplicates:
        raise LostTicks(
            f"{ticks} ticks were sent, the device has counted {counted}: {counters}."
        )


def handed_over(endpoint: str, ticks: int, per_message: int) -> float:
    """Milliseconds in which libzmq hands over the same messages; they go unread."""
    messages = -(-ticks // per_message)
    with subscriber(endpoint, (MAGIC,)) as socket:
        received = all_messages(socket)
        next(received)
        began = time.perf_counter()
        count = 1 + sum(1 for _ in received)
        spent_ms = (time.perf_counter() - began) * 1e3
    if count != messages:
        raise LostTicks(f"{messages} messages were sent, libzmq handed over {count}.")
    return spent_ms


def all_messages(socket: zmq.Socket) -> Iterator[bytes]:
    """Messages until the stream's end, which has no records."""
    while socket.poll(round(PATIENCE_S * 1e3)):
        try:
            while len(message := socket.recv(zmq.NOBLOCK)) > HEADER.size:
                yield message
            return
        except zmq.Again:
            continue
    raise LostTicks(f"No message came for {PATIENCE_S:g} s.")


def ticker(
    config: Config, ticks: int, per_message: int, rounds: int
) -> AbstractContextManager[str]:
    """A publisher of rounds beside the block; its endpoint."""
    words = ticks, per_message, rounds
    return publishing("benchmarks.ticker", config, *words, last_s=PATIENCE_S)
