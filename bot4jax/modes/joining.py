"""Several processes that train together: where each keeps its own run."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import msgspec

from bot4jax.config import run_folder
from bot4jax.environment import join
from bot4jax.schema import Config


@contextmanager
def joined(config: Config) -> Iterator[Config]:
    """The configuration of this process's run, beside those of the others.

    All of them end with the same engine; the first one's folder has the run's name.
    """
    join(config.hardware)
    try:
        yield own_run(config)
    finally:
        if config.hardware.processes > 1:
            jax.distributed.shutdown()


def own_run(config: Config) -> Config:
    """The run, under a name of its own for every process but the first."""
    number = config.hardware.process
    if number == 0:
        return config
    name = f"{run_folder(config).name}-process-{number}"
    return msgspec.structs.replace(
        config, run=msgspec.structs.replace(config.run, name=name)
    )
