"""`python -m tests.sim kill=N seeds=N`: N kills a crash point, N seeds of faults.

`first=SEED` begins with another seed than 0, to repeat one that failed.
"""

import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.sim import kill, seeds
from tests.sim.kill import BARS, FIRST_KILL, POINTS, Verdict
from tests.sim.strangers import admitted

USAGE = "usage: python -m tests.sim kill=N seeds=N [first=SEED]"


def main(words: Sequence[str]) -> int:
    """Run both halves, tell of what failed and how to repeat it, and sum up."""
    asked = {"kill": 0, "seeds": 0, "first": 0}
    for word in words:
        name, _, value = word.partition("=")
        if name not in asked or not value.isdecimal():
            print(f"{USAGE}; found '{word}'", file=sys.stderr)
            return 2
        asked[name] = int(value)
    logging.disable(logging.WARNING)  # each stranger is told of
    with tempfile.TemporaryDirectory(prefix="sim") as folder:
        return summed(Path(folder), **asked)


def summed(folder: Path, kill: int, seeds: int, first: int) -> int:
    """The exit code; the last line counts what was really run."""
    found = list(by_kills(folder / "kill", kill))
    kills = len(found)
    found += by_seeds(folder / "seeds", range(first, first + seeds))
    let_in = admitted(folder / "keys", seeds)
    lost = sum(one.lost for one in found)
    doubled = sum(one.doubled for one in found)
    counts = f"kills={kills} seeds={len(found) - kills}"
    print(f"sim {counts} lost={lost} doubled={doubled} admitted={let_in}")
    is_sound = all(one.is_sound for one in found)
    return 0 if is_sound and not let_in else 1


def by_kills(folder: Path, count: int) -> Iterator[Verdict]:
    """`count` kills at each crash point, at one step after the other."""
    calm = kill.undisturbed(folder / "calm") if count else None
    for point in POINTS if calm else ():
        for k in range(count):
            at = FIRST_KILL + k % (BARS - FIRST_KILL)
            verdict = kill.killed(folder / f"{point}-{k}", point, at, calm)
            told(verdict, f"{point} of step {at}", f"kill={k + 1} seeds=0")
            yield verdict


def by_seeds(folder: Path, drawn: range) -> Iterator[Verdict]:
    """Each seed's own faults."""
    calm = seeds.undisturbed(folder / "calm") if drawn else None
    for seed in drawn if calm else ():
        words = f"kill=0 seeds=1 first={seed}"
        try:
            verdict = seeds.told(folder / str(seed), seed, calm).verdict
        except AssertionError:
            print(f"seed {seed} never ended; repeat: python -m tests.sim {words}")
            raise
        told(verdict, f"seed {seed}", words)
        yield verdict


def told(verdict: Verdict, where: str, words: str) -> None:
    if not verdict.is_sound:
        print(f"{where}: {verdict}; repeat: python -m tests.sim {words}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
