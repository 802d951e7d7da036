"""`mode=doctor`: whether this machine and this installation can do the job.

Every line is measured now: JAX compiles and runs something, ports are bound, folders
are written to. What is merely unusual is a note; what stops a run is a problem.
"""

import errno
import os
import platform
import socket
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import jax
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from bot4jax.environment import NO_DEVICE, cache_folder
from bot4jax.schema import Config
from bot4jax.words import conf_folder

OK, NOTE, PROBLEM = "ok", "note", "problem"

REQUIRED = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "scipy",
    "xgboost",
    "PyWavelets",
    "pyzmq",
    "hydra-core",
    "msgspec",
    "polars",
    "matplotlib",
    "rich",
    "apsw",
    "jaxtyping",
    "tensorboardX",
    "tzdata",
)

STAND_INS = {"xgboost": "xgboost-cpu"}
"""the same code in another wheel"""

ENOUGH_MEMORY_GIB = 4.0
"""six copies of 1,024 symbols × 1,200 bars × 130 features in float32"""


class Finding(NamedTuple):
    """One thing looked at."""

    what: str
    found: str
    status: str = OK
    advice: str = ""


def doctor(config: Config) -> int:
    """Print all findings; 3 when one of them stops a run."""
    findings = list(examine(config))
    show(findings)
    return 3 if any(one.status == PROBLEM for one in findings) else 0


def examine(config: Config) -> Iterator[Finding]:
    """Every finding, in the order they are told."""
    yield _python()
    yield _cores(config)
    yield _memory()
    yield from _versions()
    yield _devices(config)
    yield Finding("conf", str(conf_folder()))
    yield _cache()
    yield _folder("run folders", Path(config.run.root).resolve())
    yield from _ports(config)
    yield _data(config)


def show(findings: list[Finding], console: Console | None = None) -> None:
    """A table on a terminal, plain lines elsewhere."""
    console = console or Console()
    if not console.is_terminal:
        for one in findings:
            advice = f"  {one.advice}" if one.advice else ""
            console.file.write(f"{one.status:<8}{one.what}: {one.found}{advice}\n")
        return
    table = Table("", "", "found", "what to do", header_style="bold")
    colours = {OK: "green", NOTE: "yellow", PROBLEM: "red"}
    for one in findings:
        status = f"[{colours[one.status]}]{one.status}[/]"
        table.add_row(status, one.what, one.found, one.advice)
    console.print(table)


def tested_versions(text: str) -> dict[str, str]:
    """`name==version` lines of a constraints file, names in lower case."""
    pairs = (line.split("==") for line in text.splitlines() if "==" in line)
    return {name.strip().lower(): version.strip() for name, version in pairs}


def constraints() -> dict[str, str]:
    """Versions the tests passed with: beside `conf/`, in a checkout and in a wheel."""
    path = conf_folder().parent / "constraints.txt"
    return tested_versions(path.read_text("utf-8")) if path.is_file() else {}


def _python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("python", found)


def _cores(config: Config) -> Finding:
    allowed = len(os.sched_getaffinity(0))
    found = f"{allowed} of {os.cpu_count()}"
    if config.hardware.threads > allowed:
        advice = f"hardware.threads={config.hardware.threads} is more than there are."
        return Finding("cores", found, NOTE, advice)
    return Finding("cores", found)


def _memory() -> Finding:
    page = os.sysconf("SC_PAGE_SIZE") / 2**30
    total, free = (
        page * os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES")
    )
    found = f"{total:.1f} GiB, {free:.1f} GiB unused"
    if total < ENOUGH_MEMORY_GIB:
        return Finding("memory", found, NOTE, "Try data.symbols=256 or debug=tiny.")
    return Finding("memory", found)


def _versions() -> Iterator[Finding]:
    tested = constraints()
    for name in REQUIRED:
        yield _version(name, tested.get(name.lower()))


def _version(name: str, tested: str | None) -> Finding:
    """What is installed under a name or its stand-in, against what was tested."""
    found = _installed(name) or _installed(STAND_INS.get(name, name))
    if found is None:
        advice = "Run `pip install -c constraints.txt -e .` in the checkout."
        return Finding(name, "not installed", PROBLEM, advice)
    if tested is None:
        return Finding(name, found, NOTE, "No tested version is known.")
    if found != tested:
        return Finding(name, found, NOTE, f"Tested with {tested}.")
    return Finding(name, found)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _devices(config: Config) -> Finding:
    """Compile and run a matrix product, and compare it with NumPy's."""
    platform_name = config.hardware.platform
    try:
        devices = jax.devices()
        side = np.arange(64, dtype=np.float32).reshape(8, 8)
        product = np.asarray(jax.jit(lambda a: a @ a)(side))
    except NO_DEVICE as error:
        reason = str(error).partition("\n")[0] or "no device was found"
        advice = 'Choose hardware=cpu, or install the extra: pip install -e ".[cuda]".'
        return Finding("device", f"{platform_name}: {reason}", PROBLEM, advice)
    found = ", ".join(f"{one.platform}:{one.id} {one.device_kind}" for one in devices)
    if not np.array_equal(product, side @ side):
        return Finding("device", found, PROBLEM, "A matrix product came out wrong.")
    return Finding("device", found)


def _cache() -> Finding:
    """Slow to start without it; open to others it would let them run code as us."""
    folder = cache_folder()
    finding = _folder("compilation cache", folder)
    if finding.status == PROBLEM:
        return finding._replace(status=NOTE, advice="Every start will compile anew.")
    if folder.stat().st_mode & 0o077:
        advice = f"Others may enter it: chmod 700 {folder}"
        return finding._replace(status=PROBLEM, advice=advice)
    return finding


def _folder(what: str, folder: Path) -> Finding:
    """Whether a file can be made in it, or in the nearest parent that exists."""
    existing = next(one for one in (folder, *folder.parents) if one.is_dir())
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        return Finding(what, str(folder), PROBLEM, f"Not writable: {error.strerror}.")
    return Finding(what, str(folder))


def _ports(config: Config) -> Iterator[Finding]:
    for name, address in msgspec.structs.asdict(config.runtime.endpoints).items():
        if address.startswith("tcp://"):
            yield _port(name, address)
        else:
            yield _folder(f"{name} socket", Path(address.removeprefix("ipc://")).parent)


def _port(name: str, address: str) -> Finding:
    """Whether it can be bound; somebody who holds it may be a run of our own."""
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            advice = (
                f"Stop that run, or set runtime.endpoints.{name}=tcp://127.0.0.1:PORT."
            )
            in_use = error.errno == errno.EADDRINUSE
            found = f"{address} {'is in use' if in_use else error.strerror}"
            return Finding(f"{name} socket", found, NOTE if in_use else PROBLEM, advice)
    return Finding(f"{name} socket", f"{address} is free")


def _data(config: Config) -> Finding:
    """The folder that the chosen source reads; the simulator needs none."""
    path = config.data.path
    if path is not None:
        if os.access(path, os.R_OK):
            return Finding("data", path)
        return Finding("data", path, PROBLEM, "No such readable path; mend data.path.")
    root = os.environ.get("BOT4JAX_DATA")
    if root is None:
        advice = "Tests on recorded markets skip; set it to the folder above them."
        return Finding("data", "simulator; BOT4JAX_DATA is not set", NOTE, advice)
    if not Path(root).is_dir():
        return Finding("data", f"BOT4JAX_DATA={root}", PROBLEM, "No such folder.")
    return Finding("data", f"simulator; BOT4JAX_DATA={root}")
