"""Of which commit and catalogue the figures of experiments are.

The catalogue's hash is that of names, forms, windows and columns: a formula that reads
what it read before keeps it. So every figure names its commit too.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from bot4jax.errors import ConfigError
from bot4jax.kernels import catalogue_hash
from bot4jax.registry import select

Runs = Mapping[str, dict[str, Any]]
"""What is kept of each run, by its name."""

MANIFEST = (
    "command",
    "commit",
    "dirty",
    "config_hash",
    "processor",
    "cores",
    "python",
    "packages",
)
"""What a manifest says of where figures come from."""

FEES = ("tier", "taker_fee_bps", "maker_fee_bps")
"""What a configuration says of the fees that were charged."""

HEAD = ("experiment", "seeds", "commit", "catalogue", "features", "fees, bps")


def origin(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Where a finished run's figures come from, down to the features that it read."""
    manifest = json.loads((folder / "manifest.json").read_text())
    own = {name: manifest[name] for name in MANIFEST}
    if summary["mode"] == "lob":  # whose features are the book's own
        return own | {"features": None, "catalogue_hash": None}
    # not validated: a run of an earlier version may have had other keys
    config = yaml.safe_load((folder / "config.yaml").read_text())
    names, fees = config["features"]["names"], config["venue"]
    asked = [names] if isinstance(names, str) else names
    own |= {"features": asked, "catalogue_hash": summary["catalogue_hash"]}
    return own | {"fees": {name: fees[name] for name in FEES}}


def rows(runs: Runs) -> Iterable[tuple[str, ...]]:
    """One for each experiment, commit and catalogue, with its seeds."""
    found: dict[tuple[str, ...], list[int]] = {}
    for name, run in runs.items():
        changed = ", with uncommitted changes" if run["dirty"] else ""
        commit = f"`{run['commit'][:12]}`{changed}"
        key = experiment(name, run), commit, *catalogue(run), charged(run)
        found.setdefault(key, []).append(run["seed"])
    for (which, *rest), seeds in found.items():
        yield which, ", ".join(map(str, sorted(seeds))), *rest


def charged(run: Mapping[str, Any]) -> str:
    """The fee tier of a run, with what it takes from takers and makers.

    Of an order book nothing is traded.
    """
    if "events" in run:
        return "none"
    if "fees" not in run:
        return "not kept"
    tier, taker, maker = (run["fees"][name] for name in FEES)
    return f"{tier}: {taker:g}, {maker:g} of makers"


def experiment(name: str, run: Mapping[str, Any]) -> str:
    """A run's name without its seed."""
    return name.replace(f"-{run['seed']}", "", 1)


def catalogue(run: Mapping[str, Any]) -> tuple[str, str]:
    """The hash of a run's features, and whether they would be the same today.

    What was kept before hashes were is of an earlier catalogue. Of an order book there
    is none.
    """
    if "events" in run:
        return "none", "the book's own"
    if "catalogue_hash" not in run:
        return "not kept", "**of an earlier catalogue**"
    same = run["catalogue_hash"] == todays(run["features"])
    return f"`{run['catalogue_hash']}`", (
        "as today" if same else "**of an earlier catalogue**"
    )


def todays(names: Iterable[str]) -> str | None:
    """The hash that a run of these features would have now; None if one is gone."""
    try:
        return catalogue_hash(select(names))
    except ConfigError:
        return None
