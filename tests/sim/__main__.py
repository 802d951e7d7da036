"""`python -m tests.sim kill=N live=N seeds=N`: kills a crash point, seeds of faults.

`kill` is of a loop whose forecasts are planned, once with orders that trade at once and
once with such that rest, `live` of whole runs with their nets.
`first=SEED` begins with another seed than 0, to repeat one that failed. `out=FILE`
writes what came of it as JSON, with the commit and the count of every fault.
"""

import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.manifest import commit, cpu, is_dirty
from tests.sim import kill, seeds, whole
from tests.sim.kill import BARS, FIRST_KILL, POINTS, Verdict
from tests.sim.strangers import admitted

USAGE = "usage: python -m tests.sim kill=N live=N seeds=N [first=SEED] [out=FILE]"
SCHEMA = "bot4jax.sim/1"

WHOLE_STEPS = 40
"""At which whole runs are killed, from the first with fills enough."""


class Outcome(NamedTuple):
    """One killed run, or one seed's."""

    kind: str
    """the crash point, or `seed`"""
    verdict: Verdict
    befallen: Counter[str]
    starts: int


def main(words: Sequence[str]) -> int:
    """Run both halves, tell of what failed and how to repeat it, and sum up."""
    asked, out = {"kill": 0, "seeds": 0, "live": 0, "first": 0}, None
    for word in words:
        name, _, value = word.partition("=")
        if name == "out" and value:
            out = Path(value)
        elif name in asked and value.isdecimal():
            asked[name] = int(value)
        else:
            print(f"{USAGE}; found '{word}'", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory(prefix="sim") as folder:
        return summed(Path(folder), words, out, **asked)


def summed(
    folder: Path,
    words: Sequence[str],
    out: Path | None,
    kill: int,
    seeds: int,
    live: int,
    first: int,
) -> int:
    """The exit code; the last line counts what was really run."""
    began_s = time.perf_counter()
    found = list(by_kills(folder / "kill", kill))
    found += by_whole_runs(folder / "live", live)
    found += by_seeds(folder / "seeds", range(first, first + seeds))
    let_in = admitted(folder / "keys", seeds)
    if out is not None:
        spent_s = round(time.perf_counter() - began_s, 1)
        told = {"command": f"python -m tests.sim {' '.join(shown(words))}"}
        told |= {"commit": commit(), "dirty": is_dirty(), "cpu": cpu()}
        told |= {"cores": os.cpu_count(), "python": platform.python_version()}
        told |= {"seconds": spent_s}
        write(out, {"schema": SCHEMA, **told, **table(found), "admitted": let_in})
    lost = sum(one.verdict.lost for one in found)
    doubled = sum(one.verdict.doubled for one in found)
    drawn = sum(one.kind == "seed" for one in found)
    counts = f"kills={len(found) - drawn} seeds={drawn}"
    print(f"sim {counts} lost={lost} doubled={doubled} admitted={let_in}")
    is_sound = all(one.verdict.is_sound for one in found)
    return 0 if is_sound and not let_in else 1


def table(found: Sequence[Outcome]) -> dict[str, Any]:
    """By crash point and for the seeds: runs, and what was lost and doubled."""
    rows, befallen = {}, Counter[str]()
    for one in found:
        row = rows.setdefault(one.kind, dict.fromkeys(COLUMNS, 0))
        row["runs"] += 1
        row["starts"] += one.starts
        row["lost"] += one.verdict.lost
        row["doubled"] += one.verdict.doubled
        row["differ"] += not one.verdict.is_same
        befallen += one.befallen
    return {"rows": rows, "faults": dict(sorted(befallen.items()))}


COLUMNS = ("runs", "starts", "lost", "doubled", "differ")


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def shown(words: Sequence[str]) -> list[str]:
    """Without the paths of this machine."""
    return ["out=PATH" if word.startswith("out=") else word for word in words]


def by_kills(folder: Path, count: int) -> Iterator[Outcome]:
    """`count` kills at each crash point, at one step after the other: of orders that
    trade at once, and of such that rest."""
    for rests in (False, True) if count else ():
        own = folder / str(rests)
        calm = kill.undisturbed(own / "calm", rests=rests)
        for point in POINTS:
            kind = f"resting {point}" if rests else point
            for k in range(count):
                at, where = FIRST_KILL + k % (BARS - FIRST_KILL), own / f"{point}-{k}"
                verdict = kill.killed(where, point, at, calm, rests=rests)
                told(verdict, f"{kind} of step {at}", f"kill={k + 1} seeds=0")
                yield Outcome(kind, verdict, Counter(), 2)


def by_whole_runs(folder: Path, count: int) -> Iterator[Outcome]:
    """The same of whole runs, each at one step after the other."""
    if not count:
        return
    folder.mkdir()
    calm = whole.demo(folder)
    first = whole.fatal_step(calm)
    for point in whole.WHOLE_POINTS:
        for k in range(count):
            at, root = first + k % WHOLE_STEPS, folder / f"{point}-{k}"
            root.mkdir()
            config = whole.repeating(calm, root, whole.endpoints(folder))
            verdict = whole.killed(config, calm, root, [(point, at)])
            told(verdict, f"{point} of step {at}", f"live={k + 1}")
            yield Outcome(f"live {point}", verdict, Counter(), 2)


def by_seeds(folder: Path, drawn: range) -> Iterator[Outcome]:
    """Each seed's own faults."""
    calm = seeds.undisturbed(folder / "calm") if drawn else None
    for seed in drawn if calm else ():
        words = f"kill=0 seeds=1 first={seed}"
        try:
            found = seeds.told(folder / str(seed), seed, calm)
        except BaseException:
            print(f"seed {seed} never ended; repeat: python -m tests.sim {words}")
            raise
        told(found.verdict, f"seed {seed}", words)
        yield Outcome("seed", found.verdict, found.befallen, found.starts)


def told(verdict: Verdict, where: str, words: str) -> None:
    if not verdict.is_sound:
        print(f"{where}: {verdict}; repeat: python -m tests.sim {words}")


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # each stranger is told of
    sys.exit(main(sys.argv[1:]))
