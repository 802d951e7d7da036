"""`mode=keys`: pairs of keys by which processes prove who they are."""

from pathlib import Path

from bot4jax.errors import ConfigError
from bot4jax.runtime.curve import make_keys
from bot4jax.schema import Config


def keys(config: Config) -> int:
    """Make what is missing, and say where it lies; what is there stays."""
    if config.keys.folder is None:
        raise ConfigError(["keys.folder: mode=keys needs keys.folder=FOLDER"])
    for path in make_keys(Path(config.keys.folder), config.keys.names):
        print(f"made {path}")
    print(f"keys {config.keys.folder}")
    return 0
