"""What a figure depends on, told without the paths of the machine it came from."""

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from benchmarks.result import Manifest
from bot4jax.schema import Config

PROJECT = Path(__file__).resolve().parent.parent
UNCOUNTED = "benchmarks/results"
"""Changes in there leave a checkout clean: results are written one by one."""

PACKAGES = (
    "jax",
    "jaxlib",
    "jax-cuda12-plugin",
    "jax-cuda13-plugin",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "flax",
    "numpy",
    "xgboost",
    "xgboost-cpu",
    "pyzmq",
    "msgspec",
    "apsw",
    "hydra-core",
    # peers
    "scipy",
    "statsmodels",
    "PyWavelets",
    "antropy",
    "TA-Lib",
    "tsfresh",
    "torch",
    "treelite",
    "tl2cgen",
)
"""Whose versions matter, where they are installed."""

PREFIXES = ("JAX_", "XLA_", "OMP_", "OPENBLAS_", "MKL_")
"""Of the environment variables that change how fast things are."""

PATH_KEYS = ("data.path", "run.root", "run.model", "replay.run", "results")

A_PATH = re.compile(r"""[^\s=,:;'"\[\]{}]*/[^\s,:;'"\[\]{}]*""")


def describe(config: Config, words: Sequence[str]) -> Manifest:
    """The manifest of a prepared process, before it has run or compiled anything."""
    allowed = len(os.sched_getaffinity(0))
    return Manifest(
        command=told(words),
        commit=commit(),
        dirty=is_dirty(),
        seed=config.run.seed,
        cpu=cpu(),
        cores=os.cpu_count() or allowed,
        threads=allowed,
        device=config.hardware.platform,
        python=platform.python_version(),
        packages=versions(),
        env=environment(os.environ),
        load1=round(os.getloadavg()[0], 2),
        compile_s={},
    )


def device(fallback: str) -> str:
    """What JAX computes on; `fallback` where it was never asked to."""
    jax = sys.modules.get("jax")
    return fallback if jax is None else jax.devices()[0].device_kind


def told(words: Sequence[str]) -> str:
    """The command with PATH in the place of every path."""
    return shlex.join(["python", "-m", "benchmarks.run", *map(_word, words)])


def _word(word: str) -> str:
    key, equals, value = word.partition("=")
    if not equals:
        return without_paths(word)
    hidden = "PATH" if key.lstrip("+") in PATH_KEYS else without_paths(value)
    return f"{key}={hidden}"


def without_paths(text: str) -> str:
    """The text with PATH in the place of whatever holds a slash."""
    return A_PATH.sub("PATH", text)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that change how fast things are, without paths."""
    return {
        name: without_paths(value)
        for name, value in sorted(variables.items())
        if name.startswith(PREFIXES)
    }


def commit() -> str:
    """The commit that is checked out; 'unknown' outside a checkout."""
    return _git("rev-parse", "HEAD").strip() or "unknown"


def is_dirty() -> bool:
    """Whether anything but results differs from the commit; so outside a checkout."""
    exclude = f":(exclude){UNCOUNTED}"
    changed = _git("status", "--porcelain", "--", ".", exclude)
    return bool(changed.strip()) or commit() == "unknown"


def cpu() -> str:
    """The processor's own name."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of the packages that matter."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git(*words: str) -> str:
    """What git says of this checkout; nothing where there is none."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=PROJECT, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
