"""How long after its last tick has come is a bar decided upon and sent, in a stream?

100,000 ticks a second come from another process, whatever the number of symbols.
`decision` lasts from reading the message that closes a bar until `send` returns: the
orders are with the socket of a venue in another process, which reads and fills them.
The other rows are its parts, and what absorbing costs in between; signals are published
behind it. `age` is how old ticks were when the first decision that used them left, over
all ticks. `late` is how many decisions were not the members', who missed the deadline.
"""

import time
from math import ceil

import msgspec

from benchmarks.result import Measured, Row
from benchmarks.stage import set_up
from benchmarks.steady import PER_MESSAGE
from benchmarks.step import journal_folder
from benchmarks.streamed import Streamed, streamed
from benchmarks.timing import QUANTILES, one, quantiles, rounded
from bot4jax.runtime.deadline import Voice, voice_of
from bot4jax.runtime.progress import Report
from bot4jax.runtime.ring import Ring
from bot4jax.runtime.stages import Ages
from bot4jax.schema import Config

TICKS_PER_S = 100_000.0


def measure(
    config: Config,
    steps: int,
    warmup: int,
    report: Report,
    ticks_per_s: float = TICKS_PER_S,
) -> Measured:
    """`steps` bars of a steady market, after those that warm up."""
    stage = set_up(config, warmup + steps, report)
    with (
        journal_folder(stage.setting.config) as folder,
        streamed(stage, ticks_per_s, folder, warmup + steps, True) as stream,
    ):
        per_bar = round(ticks_per_s * stage.setting.source.bar_ns / 1e9)
        stream.trader.ages = Ages(
            (warmup + steps) * max(1, ceil(per_bar / PER_MESSAGE))
        )
        skipped: dict[str, int] = {}
        began_s, before, late = time.perf_counter(), 0, 0
        for done, stepped in enumerate(stream.steps(warmup + steps), 1):
            is_late = voice_of(stepped.decided.flags) is not Voice.MEMBERS
            late += is_late and done > warmup
            if done == warmup:
                skipped = {name: ring.count for name, ring in rings(stream).items()}
                before = stream.tape.feed.counters.absorbed
                began_s = time.perf_counter()
            report("bars of a stream", done, warmup + steps)
        spent_s = time.perf_counter() - began_s
        came = (stream.tape.feed.counters.absorbed - before) / spent_s
        found = {
            name: ring.since(skipped.get(name, 0)).tolist()
            for name, ring in rings(stream).items()
        }
    rows = [quantiles(found.pop("decision"), "decision", "ms", warmup)]
    rows += [quantiles(ms, name, "ms", warmup) for name, ms in found.items() if ms]
    rows.insert(1, age_row(stream.trader.ages, warmup))
    rows.insert(2, counted(late, steps, warmup))
    rows.append(one("stream", came, "ticks/s"))
    return Measured(rows, {}, stage.compiled.seconds)


def rings(stream: Streamed) -> dict[str, Ring]:
    """Milliseconds by stage, of the tape and of the loop."""
    return stream.tape.stages.ms | stream.trader.stages.ms


def counted(late: int, steps: int, warmup: int) -> Row:
    """How many of so many decisions were not the members'."""
    found = one("late", late, "decisions")
    return msgspec.structs.replace(found, n=steps, warmup=warmup)


def age_row(ages: Ages, warmup: int) -> Row:
    """Quantiles over all ticks."""
    ticks, found = ages.at(QUANTILES, warmup)
    p50, p99, p999 = map(rounded, found)
    return Row(
        stage="age",
        unit="ms",
        n=ticks,
        warmup=warmup,
        p50=p50,
        p99=p99,
        p999=p999,
    )
