"""Every look at a market that the page of experiments has shown, whatever became of it.

A run's own ledger begins with its root and so forgets what earlier publications tried.
`docs/experiments/looks.jsonl` forgets nothing: one line a look, of the files that lie
there, of all that ever lay there by the history of git, and of what it held before.
"""

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

NAME = "looks.jsonl"


class Look(NamedTuple):
    """One published result of one configuration.

    As in the ledger of a root, to repeat it is no new look; what comes out otherwise,
    or of another configuration, is.
    """

    market: str
    config_hash: str | None
    """None of runs that kept none"""
    outcome: tuple[float, ...]
    """of the ensemble: log loss and the scan's net, share of the capital; of an order
    book the macro-F1 of every label"""
    sharpe: float | None
    """of one period, not annual; None where it was not kept or not defined"""
    periods: int | None


def look(run: Mapping[str, Any]) -> Look:
    """That of a kept run."""
    market, config = market_of(run), run.get("config_hash")
    if "forecasters" not in run:
        scores = (one["scores"]["ensemble"]["macro_f1"] for one in run["labels"])
        return Look(market, config, tuple(scores), None, None)
    own = run["forecasters"]["ensemble"]
    outcome = own["log_loss"], own["net"][0]
    deflated = run["luck"]["deflated_sharpe"] if "luck" in run else {}
    ratio, periods = deflated.get("sharpe"), deflated.get("periods")
    return Look(market, config, outcome, ratio, periods)


def market_of(run: Mapping[str, Any]) -> str:
    """Its source, and of the simulator the seed that drew it.

    Other symbols, bars or horizons of a source are looks at the same market, as they
    are in the ledger of a root.
    """
    own = run["data"]
    return f"{own} {run['seed']}" if own == "simulator" else own


def gathered(folder: Path) -> list[Look]:
    """All that were ever there, in a fixed order, each once."""
    kept = {path: path.read_bytes() for path in sorted(folder.glob("*.json"))}
    runs = [json.loads(text) for text in (*kept.values(), *history(folder))]
    found = {*read(folder), *map(look, runs)}
    return sorted(found, key=repr)


def history(folder: Path) -> Iterator[bytes]:
    """Every version of every summary there that a commit holds; none without git."""
    asked = ("log", "-m", "--raw", "--no-abbrev", "--full-history", "--format=")
    blobs = dict[str, None]()
    for line in git(folder, *asked, "--", ".").decode().splitlines():
        change, *_, path = line.split("\t")
        blob = change.split()[3]
        if path.endswith(".json") and blob.strip("0"):
            blobs[blob] = None
    for blob in blobs:
        yield git(folder, "cat-file", "blob", blob)


def git(folder: Path, *words: str) -> bytes:
    """What git answers there; nothing where there is no git or no history."""
    try:
        asked = ["git", "-C", str(folder), *words]
        return subprocess.run(asked, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return b""


def read(folder: Path) -> list[Look]:
    """What was written down; no file is no look."""
    path = folder / NAME
    lines = path.read_text().splitlines() if path.is_file() else []
    found = (json.loads(line) for line in lines)
    return [Look(**one | {"outcome": tuple(one["outcome"])}) for one in found]


def write(folder: Path, looks: Iterable[Look]) -> None:
    """One line a look."""
    text = "".join(json.dumps(one._asdict()) + "\n" for one in looks)
    (folder / NAME).write_text(text)


def ratios(looks: Sequence[Look], market: str, periods: int | None) -> list[float]:
    """The known Sharpe ratios of a market, of spans of as many periods."""
    return [
        one.sharpe
        for one in looks
        if one.sharpe is not None and (one.market, one.periods) == (market, periods)
    ]
