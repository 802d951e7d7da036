"""The door to one process of a whole run; JAX is imported behind it.

    python -m tests.sim.live market | venue RECORD | engine [POINT STEP] < configuration

Before that the environment is prepared, as `bot4jax.run` does: whoever imports JAX
first finds nothing that was compiled before, and compiles for a minute.
"""

import json
import sys

from bot4jax.config import validate
from bot4jax.environment import prepare


def main(role: str, *words: str) -> int | None:
    """Play one role of the three."""
    config = validate(json.loads(sys.stdin.buffer.read()))
    prepare(config.hardware)
    from tests.sim.roles import play

    return play(config, role, *words)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
