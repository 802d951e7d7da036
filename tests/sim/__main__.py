"""`python -m tests.sim kill=N live=N seeds=N`: kills a crash point, seeds of faults.

`kill` is of a loop whose forecasts are planned, once with orders that trade at once and
once with such that rest; `seeds` likewise, each seed once with both. Within a snapshot,
which only a run with its nets writes, `kill` is of whole runs; `live` is of such at
every crash point. Each of those dies up to eight times, and as many run at a time as
there are cores. To repeat what failed, `first=N` begins with that seed, or that kill,
and `point=NAME` kills there alone. `out=FILE` writes what came of it as JSON, with the
commit and the count of every fault.

The judge is the venue's record, which must be that of an undisturbed run. Where what
rests is taken back between two steps, or a person stops the engine, it is another by
right: until then it must be the same, and for all of it what `invariants.py` says.
"""

import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.manifest import commit, cpu, is_dirty
from tests.sim import kill, seeds, whole
from tests.sim.kill import BARS, FIRST_KILL, POINTS, Verdict
from tests.sim.strangers import admitted
from tests.sim.whole import SNAPSHOT

USAGE = (
    "usage: python -m tests.sim kill=N live=N seeds=N [first=N] [point=NAME] [out=FILE]"
)
SCHEMA = "bot4jax.sim/1"

HELP = ("help", "-h", "--help")


class Outcome(NamedTuple):
    """One killed run, or one seed's."""

    kind: str
    """the crash point, or the family of a seed"""
    verdict: Verdict
    befallen: Counter[str]
    starts: int
    kills: int = 0
    is_disturbed: bool = False
    """what rests had a right to be another than in an undisturbed run"""
    quiet: int = 0
    """moments at which stops were compared with what they protect"""


def main(words: Sequence[str]) -> int:
    """Run both halves, tell of what failed and how to repeat it, and sum up."""
    asked = {"kill": 0, "seeds": 0, "live": 0, "first": 0}
    out, points = None, (*POINTS, SNAPSHOT)
    if any(word in HELP for word in words):
        print(f"{USAGE}\n\n{__doc__}")
        return 0
    for word in words:
        name, _, value = word.partition("=")
        if name == "out" and value:
            out = Path(value)
        elif name == "point" and value in points:
            points = (value,)
        elif name in asked and value.isdecimal():
            asked[name] = int(value)
        else:
            print(f"{USAGE}; found '{word}'", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory(prefix="sim") as folder:
        return summed(Path(folder), words, out, points, **asked)


def summed(
    folder: Path,
    words: Sequence[str],
    out: Path | None,
    points: Sequence[str],
    kill: int,
    seeds: int,
    live: int,
    first: int,
) -> int:
    """The exit code; the last line counts the kills of every kind, and the seeds."""
    began_s = time.perf_counter()
    planned = [point for point in POINTS if point in points]
    found = list(by_kills(folder / "kill", planned, range(first, first + kill)))
    counts = dict.fromkeys(points, live)
    if SNAPSHOT in counts:
        counts[SNAPSHOT] = max(kill, live)
    found += by_whole_runs(folder / "live", counts)
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
    kills = sum(one.kills for one in found)
    ended = f"lost={lost} doubled={doubled} admitted={let_in}"
    print(f"sim kills={kills} seeds={seeds} {ended}")
    is_sound = all(one.verdict.is_sound for one in found)
    return 0 if is_sound and not let_in else 1


def table(found: Sequence[Outcome]) -> dict[str, Any]:
    """By crash point and for the seeds: runs, and what was lost and doubled."""
    rows, befallen = {}, Counter[str]()
    for one in found:
        row = rows.setdefault(one.kind, dict.fromkeys(COLUMNS, 0))
        row["runs"] += 1
        row["kills"] += one.kills
        row["starts"] += one.starts
        row["lost"] += one.verdict.lost
        row["doubled"] += one.verdict.doubled
        row["differ"] += not one.verdict.is_same
        row["disturbed"] += one.is_disturbed
        row["broken"] += len(one.verdict.broken)
        row["quiet"] += one.quiet
        befallen += one.befallen
    return {"rows": rows, "faults": dict(sorted(befallen.items()))}


COLUMNS = ("runs", "kills", "starts", "lost", "doubled", "differ")
COLUMNS += ("disturbed", "broken", "quiet")
SEEDS = ("seed", "resting seed")


def write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def shown(words: Sequence[str]) -> list[str]:
    """Without the paths of this machine."""
    return ["out=PATH" if word.startswith("out=") else word for word in words]


def by_kills(folder: Path, points: Sequence[str], drawn: range) -> Iterator[Outcome]:
    """Kills at each crash point, at one step after the other: of orders that trade at
    once, and of such that rest."""
    for rests in (False, True) if drawn and points else ():
        own = folder / str(rests)
        calm = kill.undisturbed(own / "calm", rests=rests)
        for point, k in product(points, drawn):
            kind = f"resting {point}" if rests else point
            at, where = FIRST_KILL + k % (BARS - FIRST_KILL), own / f"{point}-{k}"
            verdict = kill.killed(where, point, at, calm, rests=rests)
            words = f"kill=1 first={k} point={point}"
            told(verdict, f"{kind} of step {at}", words)
            yield Outcome(kind, verdict, Counter(), 2, kills=1)


def by_whole_runs(folder: Path, counts: Mapping[str, int]) -> Iterator[Outcome]:
    """So many kills a point of whole runs, and as many runs at a time as cores."""
    if not any(counts.values()):
        return
    folder.mkdir()
    calm = whole.demo(folder)
    missing, drawn = dict(counts), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while any(missing.values()):
            first = whole.fatal_step(calm) + drawn % whole.APART
            runs = []
            for point, count in missing.items():
                for deaths in whole.deadly(point, count, first):
                    root, drawn = folder / str(drawn), drawn + 1
                    runs.append((deaths, submitted(pool, root, calm, deaths)))
            for deaths, run in runs:
                point, at = deaths[0]
                verdict, died = run.result()
                missing[point] -= died
                words = f"live={counts[point]} point={point}"
                told(verdict, f"{died} × {point} from step {at} on", words)
                kind = f"live {point}"
                yield Outcome(kind, verdict, Counter(), died + 1, kills=died)


def submitted(
    pool: Executor, root: Path, calm: Path, deaths: Sequence[tuple[str, int]]
) -> Future[tuple[Verdict, int]]:
    """One that dies so often, between sockets of its own.

    Its configuration is composed here: Hydra composes one at a time.
    """
    root.mkdir()
    config = whole.repeating(calm, root, whole.endpoints(root))
    return pool.submit(whole.killed, config, calm, root, deaths)


def by_seeds(folder: Path, drawn: range) -> Iterator[Outcome]:
    """Each seed's own faults, of both families."""
    if not drawn:
        return
    at_once = partial(seeds.told, calm=seeds.undisturbed(folder / "calm"))
    calm = seeds.undisturbed_at_rest(folder / "calm at rest")
    at_rest = partial(seeds.told_at_rest, calm=calm)
    families = zip(SEEDS, (at_once, at_rest), strict=True)
    for (kind, trade), seed in product(families, drawn):
        words = f"seeds=1 first={seed}"
        try:
            found = trade(folder / f"{kind} {seed}", seed)
        except BaseException:
            print(f"{kind} {seed} never ended; repeat: python -m tests.sim {words}")
            raise
        told(found.verdict, f"{kind} {seed}", words)
        shown = found.verdict, found.befallen, found.starts
        own = {"is_disturbed": found.is_disturbed, "quiet": found.quiet}
        yield Outcome(kind, *shown, **own)


def told(verdict: Verdict, where: str, words: str) -> None:
    if not verdict.is_sound:
        print(f"{where}: {verdict}; repeat: python -m tests.sim {words}")


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # each stranger is told of
    sys.exit(main(sys.argv[1:]))
