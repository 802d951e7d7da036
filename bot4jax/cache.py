"""Functions that JAX has compiled, kept on disk: no start compiles them again."""

import glob
import logging
import os
import re
import warnings
from pathlib import Path
from typing import Any

CACHE = "JAX_COMPILATION_CACHE_DIR"

OF_THE_CACHE = re.compile(
    r"Error (?P<act>reading|writing) persistent compilation cache entry for "
    r"'(?P<name>.*?)': (?P<why>.*)"
)
"""What JAX warns of, in its own words."""

logger = logging.getLogger(__name__)


def folder() -> Path:
    """Where compiled functions are kept between runs."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "bot4jax"


def keep() -> None:
    """Cache compiled functions for this user alone: who may write there runs code."""
    place = folder()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.chmod(0o700)
    except OSError:  # it only saves time; `mode=doctor` tells
        return
    os.environ.setdefault(CACHE, str(place))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


def mend() -> None:
    """Remove what a full disk has left of a compiled function, as soon as JAX warns.

    It replaces no entry, so that a torn one would be warned of at every start, and what
    it stands for compiled each time. All else that is warned of is shown as before.
    """
    show = warnings.showwarning

    def shown(message: Warning | str, *rest: Any, **more: Any) -> None:
        found = OF_THE_CACHE.match(str(message))
        if found is None:
            show(message, *rest, **more)
        else:
            _remove_entry(**found.groupdict())

    warnings.showwarning = shown


def _remove_entry(act: str, name: str, why: str) -> None:
    """All that is kept under a function's name: which one is torn nobody has said."""
    place = Path(os.environ.get(CACHE, folder()))
    for one in place.glob(f"{glob.escape(name)}-*"):
        one.unlink(missing_ok=True)
    logger.warning(
        "%s: %s the compiled %s failed (%s). It was removed and is compiled anew: make "
        "room there, if there is none.",
        *(place, act, name, why),
    )
