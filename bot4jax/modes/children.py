"""Feed and venue as processes of their own, as a user would start them by hand.

A child gets its configuration on standard input, the same that this process runs, and
reads it as carefully as the command line is read.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from bot4jax.config import validate
from bot4jax.errors import Halted
from bot4jax.run import dispatch
from bot4jax.runtime.interrupts import put_off, unwound
from bot4jax.schema import Config
from bot4jax.schema.modes import Mode

PATIENCE_S = 10.0
"""How long a child may take to end by itself once the work is done."""


@contextmanager
def children(
    config: Config, modes: tuple[Mode, ...]
) -> Iterator[list[subprocess.Popen]]:
    """The modes run beside the block and have ended after it, one way or another.

    One that has more to do than is wanted of it may be terminated. SIGTERM ends the
    block as Ctrl-C does, or they would be left alone.
    """
    with unwound(), ExitStack() as stack:
        yield [stack.enter_context(_child(config, mode)) for mode in modes]


@contextmanager
def _child(config: Config, mode: Mode) -> Iterator[subprocess.Popen]:
    own = msgspec.structs.replace(config, mode=mode)
    process = None
    try:
        with put_off():
            process = _begun()
        _tell(process, own)
        yield process
        _await_end(process, mode)
    except BaseException:
        if process is not None:
            with process:  # its pipe is closed, and its end awaited
                process.kill()
        raise


def _begun() -> subprocess.Popen:
    command = [sys.executable, "-m", __name__]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.stderr)


def _tell(process: subprocess.Popen, config: Config) -> None:
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(msgspec.json.encode(config))


def _await_end(process: subprocess.Popen, mode: str) -> None:
    try:
        code = process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise Halted(
            f"mode={mode} did not end within {PATIENCE_S:g} s of the last bar and was "
            "killed. Its last lines on stderr say what it waited for."
        ) from None
    if code not in (0, -signal.SIGTERM):
        raise Halted(f"mode={mode} ended with code {code}; stderr says why.")


def main() -> int:
    """Serve the mode of the configuration on standard input.

    Ctrl-C in a terminal reaches the children too: who began them ends them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return dispatch(validate(msgspec.json.decode(sys.stdin.buffer.read())))


if __name__ == "__main__":
    sys.exit(main())
