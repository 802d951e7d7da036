"""`python -m benchmarks.run bench=NAME`: compose, validate, measure, write the result.

    bench=step symbols=1024 preset=cpu      one benchmark; the last line names the file
    -m bench=step,decide symbols=256,1024   one after the other, each in a fresh process

Keys of its own: `bench`, `symbols` (short for `data.symbols`), `steps`, `warmup`,
`results`. All others are those of `bot4jax.run`, and all problems are told at once.
Nothing here imports JAX: the environment comes first.
"""

import importlib
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from benchmarks import manifest
from benchmarks.result import RESULTS, Result, write
from bot4jax.config import load
from bot4jax.environment import prepare
from bot4jax.errors import Bot4JaxError, ConfigError
from bot4jax.run import INTERRUPTED
from bot4jax.schema import Config
from bot4jax.schema.bounds import Count, CountOrNone, Text
from bot4jax.schema.data import SimulatorData
from bot4jax.validation import described


class Bench(NamedTuple):
    """A benchmark that can be asked for."""

    target: str
    """module and function, `config, steps, warmup, report -> Measured`"""
    question: str
    steps: int
    warmup: int


BENCHES = {
    "step": Bench(
        "benchmarks.step:measure", "what each stage of a step costs", 1000, 20
    ),
    "decide": Bench(
        "benchmarks.decide:measure", "how many decisions a second", 1000, 20
    ),
    "features": Bench(
        "benchmarks.features:measure", "what each feature costs, and others", 200, 3
    ),
    "nets": Bench("benchmarks.nets:measure", "how fast nets are, and others", 200, 3),
    "trees": Bench("benchmarks.trees:measure", "how fast forests are", 200, 3),
    "train": Bench("benchmarks.train:measure", "how fast nets learn", 50, 2),
    "backtest": Bench("benchmarks.backtest:measure", "how fast a backtest is", 5, 1),
    "ingest": Bench("benchmarks.ingest:measure", "how many ticks come in", 5, 1),
    "orders": Bench(
        "benchmarks.orders:measure", "how many orders pass and are kept", 300, 20
    ),
    "latency": Bench(
        "benchmarks.latency:measure", "how late decisions are in a stream", 1000, 20
    ),
    "soak": Bench("benchmarks.soak:measure", "what a long stream leaves", 3600, 100),
    "peers": Bench(
        "benchmarks.whole:measure", "how fast the whole is, and libraries'", 100, 3
    ),
    "start": Bench("benchmarks.start:measure", "how soon the program answers", 20, 1),
}

OWN: dict[str, Any] = {"steps": Count, "warmup": CountOrNone, "results": Text}
"""Keys of ours beside `bench` and `symbols`, with what they may be."""

TUNED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables that tell NumPy's library another processor than there is: peers run as
they come."""

MULTIRUN = {"-m", "--multirun"}


class Job(NamedTuple):
    """One benchmark, ready to run."""

    name: str
    config: Config
    steps: int
    warmup: int
    results: Path


def main(words: Sequence[str] | None = None) -> int:
    """Serve the command line and return the exit code."""
    words = list(sys.argv[1:] if words is None else words)
    try:
        return _serve(words)
    except Bot4JaxError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("benchmarks: interrupted", file=sys.stderr)
        return INTERRUPTED


def usage() -> str:
    """What `--help` prints."""
    lines = [f"  bench={name:<8}{one.question}" for name, one in BENCHES.items()]
    return "\n\n".join([__doc__ or "", "\n".join(lines)])


def job_of(words: Sequence[str]) -> Job:
    """The job that these words ask for, or all that is wrong with them."""
    own, rest = _parted(words)
    problems = [*_bench_problems(own.get("bench")), *_span_problems(rest)]
    values = {key: _own_value(key, own[key], problems) for key in OWN if key in own}
    config = _config(rest, problems)
    if config is None or problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    bench = BENCHES[own["bench"]]
    return Job(
        own["bench"],
        config,
        values.get("steps", bench.steps),
        values.get("warmup", bench.warmup),
        Path(values.get("results", RESULTS)),
    )


def expanded(words: Sequence[str]) -> list[list[str]]:
    """The words of every job of a sweep: `a=1,2 b=3` is two."""
    parser, choices, problems = OverridesParser.create(), [], []
    for word in words:
        try:
            override = parser.parse_override(word)
        except HydraException:
            problems.append(f"{word}: cannot be read; expected key=value")
            continue
        key = word.partition("=")[0]
        swept = override.is_discrete_sweep()
        values = override.sweep_string_iterator() if swept else ()
        choices.append([f"{key}={value}" for value in values] if swept else [word])
    if problems:
        raise ConfigError(problems)
    return [list(job) for job in itertools.product(*choices)]


def measured(job: Job, words: Sequence[str]) -> Path:
    """Run the job in this process; the file with its result."""
    for name in TUNED:
        os.environ.pop(name, None)
    prepare(job.config.hardware)
    begun = manifest.describe(job.config, words)
    bench = BENCHES[job.name]
    module, function = bench.target.split(":")
    measure = getattr(importlib.import_module(module), function)
    with importlib.import_module("bot4jax.runtime.progress").progress() as report:
        found = measure(job.config, job.steps, job.warmup, report)
    result = Result(
        bench=job.name,
        preset=job.config.preset,
        symbols=job.config.data.symbols,
        window=job.config.features.window,
        rows=tuple(found.rows),
        ratios=found.ratios,
        manifest=msgspec.structs.replace(
            begun, device=manifest.device(begun.device), compile_s=found.compile_s
        ),
    )
    return write(result, job.results)


def _serve(words: list[str]) -> int:
    if {"-h", "--help"} & set(words):
        print(usage())
        return 0
    flags = {word for word in words if word.startswith("-")}
    if flags - MULTIRUN:
        raise ConfigError([f"{flag}: unknown flag" for flag in sorted(flags)])
    words = [word for word in words if word not in MULTIRUN]
    if flags:
        return _one_by_one(expanded(words))
    path = measured(job_of(words), words)
    print(f"result {_from_here(path)}")
    return 0


def _one_by_one(jobs: list[list[str]]) -> int:
    """Each in a process of its own, once all are found sound; the worst exit code."""
    problems: list[str] = []
    for words in jobs:
        try:
            job_of(words)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    command = [sys.executable, "-m", "benchmarks.run"]
    return max(subprocess.run([*command, *words]).returncode for words in jobs)


def _parted(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Our own keys with their values, and the words for `bot4jax.config`."""
    own, rest = {}, []
    for word in words:
        key, _, value = word.partition("=")
        if key == "bench" or key in OWN:
            own[key] = value
        else:
            rest.append(f"data.symbols={value}" if key == "symbols" else word)
    return own, rest


def _bench_problems(name: str | None) -> list[str]:
    if name in BENCHES:
        return []
    known = ", ".join(BENCHES)
    if name is None:
        return [f"bench: missing. Use one of: {known}."]
    close = get_close_matches(name, BENCHES, n=1)
    advice = f" Did you mean '{close[0]}'?" if close else ""
    return [f"bench: unknown benchmark '{name}'. Use one of: {known}.{advice}"]


def _span_problems(words: Sequence[str]) -> list[str]:
    keys = [word.partition("=")[0].lstrip("+") for word in words]
    return [
        f"{key}: benchmarks set their spans; say steps=N and warmup=N"
        for key in keys
        if key.startswith("spans.")
    ]


def _own_value(key: str, text: str, problems: list[str]) -> Any:
    try:
        return msgspec.convert(text, OWN[key], strict=False)
    except msgspec.ValidationError:
        problems.append(f"{key}: expected {described(OWN[key])}, found '{text}'")
        return None


def _config(words: Sequence[str], problems: list[str]) -> Config | None:
    try:
        config = load(words)
    except ConfigError as error:
        problems += error.problems
        return None
    if not isinstance(config.data, SimulatorData):
        found = config.data.source
        problems.append(f"data: benchmarks need data=simulator, found data={found}")
    return config


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


if __name__ == "__main__":
    sys.exit(main())
