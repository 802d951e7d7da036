"""A publisher's process beside a measurement."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from bot4jax.schema import Config


@contextmanager
def publishing(
    module: str, config: Config, *words: float | str, last_s: float = 0.0
) -> Iterator[str]:
    """`python -m module ENDPOINT words…`, told the configuration; yields the endpoint.

    A block that ends well waits up to `last_s` seconds for the process to end too.
    """
    with tempfile.TemporaryDirectory(prefix="b4") as folder:
        endpoint = f"ipc://{folder}/ticks"
        command = [sys.executable, "-m", module, endpoint, *map(str, words)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            with process.stdin as pipe:
                pipe.write(msgspec.json.encode(config))
            try:
                yield endpoint
                if last_s:
                    process.wait(last_s)
            finally:
                process.kill()
