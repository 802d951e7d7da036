"""The folder of a run: what it was asked, what it found, and where it can go on."""

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from bot4jax import durable
from bot4jax.config import config_hash, differing, from_yaml, run_folder, to_yaml
from bot4jax.errors import ConfigError, Halted
from bot4jax.runtime.carrying import CARRIED, JOURNAL, carry, held_causes
from bot4jax.runtime.lease import lease, out_of_reach
from bot4jax.runtime.sources_digest import sources_digest
from bot4jax.schema import Config

CLOCK = "clock.json"
"""When a live run has looked at the wall clock, see `lasting.py`."""

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "xgboost", "pyzmq", "apsw")

KILL = "KILL"
"""File in a run's folder that stops its engine; only a reset removes it."""

MANIFEST = "manifest.json"

MOST_NAMED = 4
"""Keys that are told of another configuration."""

OPENING = frozenset({"config.yaml", MANIFEST, CLOCK, KILL, CARRIED})
"""What is written before there is any result, or while the run before is removed."""


class RunFolder:
    """`runs/<name>/`; the files in it are part of the interface.

    Whoever may write or remove something in it holds it, as the block of a `with`.
    """

    def __init__(self, config: Config) -> None:
        self.path = run_folder(config)
        self.name = self.path.name
        self.hash = config_hash(config)
        self.manifest: dict[str, Any] = {}
        self._config = config
        self._lease = lease(self.path)

    def __enter__(self) -> Self:
        self._lease.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._lease.__exit__(None, None, None)

    def open(self, is_anew: bool = False) -> str | None:
        """Make the folder; the name of the run it resumes, or None if it is new.

        A folder never mixes two configurations, nor results of files that have changed
        since, and nothing is removed unasked. What kept a live engine from trading is
        not forgotten with its journal. A finished run keeps the manifest that its
        figures came with, unless all is done anew.
        """
        try:
            return self._open(is_anew)
        except OSError as error:
            raise out_of_reach(self.path, error) from error

    def _open(self, is_anew: bool) -> str | None:
        if (self.path / CARRIED).exists():
            self._clear()
        if self._config.run.fresh:
            if os.path.lexists(self.path / KILL):
                raise Halted(
                    f"The kill switch of {self.path} is pulled: run.fresh=true would "
                    "forget it. Reset it first (mode=control control.do=reset), or "
                    f"remove {self.path / KILL} yourself."
                )
            carry(self.path, held_causes(self.path) if self._is_live else [])
            self._clear()
        before = self._former_hash()
        if before not in (None, self.hash):
            raise ConfigError(
                [
                    f"run.name: {self.path} holds a run of another configuration"
                    f"{self._changed()}; "
                    "choose another run.name, or run.fresh=true to remove that run"
                ]
            )
        sources = sources_digest(self._config)
        if before is not None:
            self._expect_sources(sources)
            if self.is_finished and not is_anew:
                self.manifest = self._former()
                return self.name
        self.path.mkdir(parents=True, exist_ok=True)
        durable.write(self.path / "config.yaml", to_yaml(self._config))
        self.manifest = manifest(self._config, self.hash)
        self.manifest["sources_digest"] = sources
        if before is not None and (commits := self._earlier_commits()):
            self.manifest["earlier_commits"] = commits
        self.write_json(MANIFEST, self.manifest)
        self._hand_over()
        return self.name if before else None

    @property
    def is_finished(self) -> bool:
        """Whether the run has told its story already."""
        return (self.path / "report.html").is_file()

    def write_json(self, name: str, content: Any) -> Path:
        """Write a file of the run, whole or not at all."""
        text = json.dumps(content, indent=1, allow_nan=False, default=str)
        return durable.write(self.path / name, text + "\n")

    @property
    def _is_live(self) -> bool:
        """Whether the run to come is live, or the one that lies here may have been."""
        return "live" in (self._config.mode, self._former().get("mode", "live"))

    def _clear(self) -> None:
        """Remove the run before, but for what it still holds.

        Whenever that is cut off, the next process goes on with it.
        """
        if (self.path / CARRIED).exists():
            durable.sync(self.path)
        there = sorted(self.path.glob("*"), key=lambda one: one.name != MANIFEST)
        for one in there:  # what is left over once it is gone is nobody's run
            if one.name not in (CARRIED, KILL):
                remove(one)

    def _earlier_commits(self) -> list[str]:
        """Of the program that has done a part of this run already, where another."""
        former, own = self._former(), self.manifest["commit"]
        known = [*former.get("earlier_commits", ()), former.get("commit")]
        return [one for one in dict.fromkeys(known) if one not in (None, own)]

    def _hand_over(self) -> None:
        """What the run before still holds takes its journal's place, once the manifest
        says whose that is."""
        if (carried := self.path / CARRIED).exists():
            carried.rename(self.path / JOURNAL)
            durable.sync(self.path)

    def _former_hash(self) -> str | None:
        """Of the run that lies here; one that ended before its first result is none."""
        found = set(os.listdir(self.path) if self.path.is_dir() else ())
        if all(durable.intended(name) in OPENING for name in found):
            return None
        if not isinstance(former := self._former().get("config_hash"), str):
            raise ConfigError(
                [
                    f"run.name: {self.path} holds a run whose {MANIFEST} cannot be "
                    "read, so that nobody knows its configuration. Restore that file "
                    "from a copy, choose another run.name, or run.fresh=true to remove "
                    "that run"
                ]
            )
        return former

    def _changed(self) -> str:
        """The first keys that the run which lies here had otherwise, where it is known
        whole."""
        try:
            former = from_yaml(self.path / "config.yaml")
        except ConfigError:
            return ""
        keys = differing(former, self._config)
        more = f", and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
        return f" ({', '.join(keys[:MOST_NAMED])}{more})" if keys else ""

    def _expect_sources(self, sources: str | None) -> None:
        """Refuse to go on with, or tell again, what was made of other files."""
        former = self._former().get("sources_digest")
        if former != sources:
            raise ConfigError(
                [
                    f"run.name: {self.path} holds a run of other files: those of "
                    "data.path, run.model or the venue's latencies have changed since "
                    f"(digest {former}; now {sources}), and what it tells is of the "
                    "files before. Choose another run.name, or run.fresh=true to "
                    "remove that run"
                ]
            )

    def _former(self) -> dict[str, Any]:
        """The manifest of the run that lies here."""
        return read_manifest(self.path)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run; nothing where none can be read."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remove(path: Path) -> None:
    """A file, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def manifest(config: Config, hash_: str) -> dict[str, Any]:
    """Where the figures of a run come from: command, machine, versions, seed."""
    return {
        "schema": "bot4jax.run/1",
        "mode": config.mode,
        "command": " ".join(["python -m bot4jax.run", *map(_shown, sys.argv[1:])]),
        "config_hash": hash_,
        "seed": config.run.seed,
        "commit": _git("rev-parse", "HEAD"),
        "dirty": _is_dirty(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    """None where another distribution provides the package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _shown(word: str) -> str:
    """An argument without the paths of this machine."""
    key, found, value = word.partition("=")
    return f"{key}=PATH" if found and "/" in value else word


def _is_dirty() -> bool | None:
    """Whether files differ from the commit; None where there is none."""
    changed = _git("status", "--porcelain")
    return None if changed is None else bool(changed)


def _git(*words: str) -> str | None:
    """What Git says of the program's own checkout; None where there is none."""
    asked = ("git", "-C", str(Path(__file__).parent), *words)
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor()
