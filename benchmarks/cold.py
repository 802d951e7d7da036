"""How long a process waits for its compiled bank: compiled anew, or from the cache?

Twice the same in fresh processes that share one folder of compiled functions, empty at
first. Counted is what such a process waits for: tracing, lowering, and compiling or
loading. A child gets its configuration on standard input.
"""

import os
import subprocess
import sys
import tempfile
import time

import msgspec

from benchmarks.result import Row
from benchmarks.timing import one
from bot4jax.config import validate
from bot4jax.environment import prepare
from bot4jax.errors import Bot4JaxError
from bot4jax.schema import Config

STAGES = ("compile cold", "compile cached")


def rows(config: Config) -> list[Row]:
    """Seconds without a cache and with one."""
    with tempfile.TemporaryDirectory(prefix="bot4jax-cold-") as folder:
        return [one(stage, seconds(config, folder), "s") for stage in STAGES]


def seconds(config: Config, folder: str) -> float:
    """Of one fresh process that keeps what it compiles in the folder."""
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=msgspec.json.encode(config),
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": folder},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip()
        raise Bot4JaxError(f"{__name__} ended with {done.returncode}: {told}")
    return float(done.stdout)


def main() -> int:
    """Print how long it took to have the bank compiled."""
    config = validate(msgspec.json.decode(sys.stdin.buffer.read()))
    prepare(config.hardware)
    print(compiled_s(config))
    return 0


def compiled_s(config: Config) -> float:
    """From the plan to the executable, in a process that has compiled nothing yet."""
    from benchmarks.members import chosen
    from benchmarks.walker import layout_of, lowered
    from bot4jax.kernels import planning

    plan = planning.plan(layout_of(config), chosen(config))
    began = time.perf_counter()
    lowered(plan).compile()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
