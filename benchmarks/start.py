"""How long until the program answers: help, a mistyped key, importing, the doctor?

Each in a fresh process, from its start to its end, with the user's own environment: so
with what earlier starts have compiled, which the warm-up sees to. The floor is a Python
that does nothing.
"""

import subprocess
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from benchmarks.result import Measured
from benchmarks.timing import quantiles
from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config


class Command(NamedTuple):
    """Words for the interpreter, and how it must end."""

    words: tuple[str, ...]
    exit_code: int = 0


NOTHING = Command(("-c", "pass"))

COMMANDS = {
    "help": Command(("-m", "bot4jax.run", "--help")),
    "mistyped_key": Command(("-m", "bot4jax.run", "data.symbls=16"), 2),
    "import": Command(("-c", "import bot4jax.modes.demo")),
    "doctor": Command(("-m", "bot4jax.run", "mode=doctor")),
}


def measure(
    config: Config,
    steps: int,
    warmup: int,
    report: Report,
    commands: Mapping[str, Command] = COMMANDS,
) -> Measured:
    """Every command so many times, the commands in turn."""
    every = {"nothing": NOTHING, **commands}
    spent: dict[str, list[float]] = {name: [] for name in every}
    for done in range(1, warmup + steps + 1):
        for name, command in every.items():
            spent[name].append(seconds(command))
        report("starts", done, warmup + steps)
    floor = min(spent["nothing"])
    rows = [
        quantiles(values[warmup:], name, "s", warmup, floor)
        for name, values in spent.items()
        if name != "nothing"
    ]
    idle = quantiles(spent["nothing"][warmup:], "nothing", "s", warmup)
    python = msgspec.structs.replace(idle, impl="python")
    return Measured([*rows, python], {}, {})


def seconds(command: Command) -> float:
    """From starting the process to its end; refused if it ends unlike expected."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command.words], capture_output=True, text=True, check=False
    )
    spent = time.perf_counter() - began
    if done.returncode != command.exit_code:
        raise Bot4JaxError(
            f"python {' '.join(command.words)} ended with {done.returncode}, expected "
            f"{command.exit_code}: {done.stderr.strip() or done.stdout.strip()}"
        )
    return spent
