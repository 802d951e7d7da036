"""`mode=keys`: pairs of keys by which processes prove who they are."""

from functools import partial
from pathlib import Path

from bot4jax.errors import ConfigError
from bot4jax.runtime.curve import is_elsewhere, make_keys
from bot4jax.schema import Config


def keys(config: Config) -> int:
    """Make what is missing, and say where it lies; what is there stays."""
    own = config.keys
    if own.folder is None:
        raise ConfigError(["keys.folder: mode=keys needs keys.folder=FOLDER"])
    folder = Path(own.folder)
    for path in make_keys(folder, own.names):
        print(f"made {path}")
    for name in filter(partial(is_elsewhere, folder), own.names):
        print(
            f"left {folder / name}.key: its secret is elsewhere; for a new pair remove "
            "it, in allowed/ too"
        )
    print(f"keys {own.folder}")
    return 0
