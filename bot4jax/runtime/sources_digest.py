"""The files that a run reads: a digest of their names and all their bytes.

Two runs of one configuration have the same results only where these are the same too.
"""

import hashlib
from pathlib import Path

from bot4jax.schema import Config

PATTERNS = {
    "binance": "*_*.gz",
    "candles": "*.feather",
    "daily": "*.parquet",
    "fi2010": "*.txt",
    "forex": "*/*.zip",
    "lean": "*/*_*.zip",
    "lobster": "*.csv",
}
"""Files of a source within `data.path`; all others are left alone there."""

SEALS = "checkpoints/*/manifest.sha256"
"""Files of a fitted run that change with what was fitted."""


def sources_digest(config: Config) -> str | None:
    """16 hexadecimal digits of the files behind a run; None where it reads none.

    None also of a live run: it hears a feed, and goes on with what it has heard. Names
    count within their folder, so a folder may be moved.
    """
    if config.mode == "live":
        return None
    files = [*market_files(config), *model_files(config), *venue_files(config)]
    if not files:
        return None
    found = hashlib.sha256()
    for name, path in files:
        with path.open("rb") as file:
            own = hashlib.file_digest(file, "sha256").hexdigest()
        found.update(f"{own}  {name}\n".encode())
    return found.hexdigest()[:16]


def market_files(config: Config) -> list[tuple[str, Path]]:
    """Of `data.path`, by name; a plugin alone knows its own."""
    data = config.data
    if data.path is None or data.source in ("simulator", "plugin"):
        return []
    if data.source == "columns":
        return within(Path(data.path), data.file)
    if Path(data.path).is_file():
        return [(Path(data.path).name, Path(data.path))]
    return within(Path(data.path), PATTERNS[data.source])


def model_files(config: Config) -> list[tuple[str, Path]]:
    """The seals of the checkpoints that `run.model` holds."""
    model = config.run.model
    return [] if model is None else within(Path(model), SEALS)


def venue_files(config: Config) -> list[tuple[str, Path]]:
    """Measured latencies, by the key that names each: a file may be renamed.

    One that is missing is told by whoever reads it.
    """
    own = config.venue
    named = {
        "latency_file": own.latency_file,
        "feed_file": own.feed_file,
        "compute_file": own.compute_file,
    }
    found = [(key, Path(path)) for key, path in named.items() if path is not None]
    return [(key, path) for key, path in found if path.is_file()]


def within(folder: Path, pattern: str) -> list[tuple[str, Path]]:
    """Files of a folder by their name in it, in order."""
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    return [(path.relative_to(folder).as_posix(), path) for path in found]
