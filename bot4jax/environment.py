"""What must be so before JAX is imported: it reads its environment once."""

import ctypes
import glob
import logging
import multiprocessing
import os
import re
import signal
import warnings
from pathlib import Path
from typing import Any

from bot4jax import heap
from bot4jax.errors import ConfigError
from bot4jax.schema.process import Hardware

CPU_FLAGS = ("--xla_cpu_prefer_vector_width=512",)
"""What XLA is told on a CPU: to fill AVX-512's vectors, where its own choice is half of
them. Processors that have none compile the same code as without."""

CACHE = "JAX_COMPILATION_CACHE_DIR"

OF_THE_CACHE = re.compile(
    r"Error (?P<act>reading|writing) persistent compilation cache entry for "
    r"'(?P<name>.*?)': (?P<why>.*)"
)
"""What JAX warns of, in its own words."""

PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)"""

GPU_FLAGS = (
    "--xla_gpu_deterministic_ops=true",
    "--xla_gpu_enable_triton_gemm=false",
    "--xla_backend_extra_options=-nvptx-prec-divf32=2",
)
"""What XLA is told on a GPU: sums in one order and products always by the same
algorithm of cuBLAS, or no replay could be equal to the bit; quotients as exact as
IEEE 754 has them, or a volume over its equal would not always be 1, and scores would
not be those that the host trains on."""

logger = logging.getLogger(__name__)


NO_DEVICE = RuntimeError, AssertionError
"""What JAX raises where a platform has no device: the latter, without a word, where it
sees no driver either."""


def prepare(hardware: Hardware) -> None:
    """Everything that must be so before JAX is imported."""
    os.environ["JAX_PLATFORMS"] = hardware.platform
    own = GPU_FLAGS if hardware.platform == "cuda" else CPU_FLAGS
    given = os.environ.get("XLA_FLAGS", "").split()
    new = (one for one in own if one not in given)
    os.environ["XLA_FLAGS"] = " ".join([*new, *given])  # the last one counts
    if hardware.platform == "cuda":
        share = str(hardware.memory_fraction)
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", share)
        # or float32 products would keep ten bits of what they multiply
        os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    elif hardware.devices > 1:
        os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(hardware.devices))
    _limit_threads(hardware.threads)
    _keep_compiled()
    heap.keep_pages()


def expect_device(hardware: Hardware) -> None:
    """Refuse a platform of which JAX finds no device here, before a run is begun.

    Several processes must have met before one may ask for a device.
    """
    if hardware.platform == "cpu" or hardware.processes > 1:
        return
    import jax

    try:
        jax.devices()
    except NO_DEVICE as error:
        raise ConfigError([without_device(hardware.platform, error)]) from error


def without_device(platform: str, error: Exception) -> str:
    """What is missing, as JAX says it where it does, and what to do."""
    reason = str(error).partition("\n")[0]
    told = f": {reason}" if reason else ""
    return (
        f"hardware.platform: '{platform}' was asked for, and JAX finds no such device "
        f"on this machine{told}. Choose hardware=cpu, or install what is missing: a "
        'driver, or the extra by pip install -e ".[cuda]"; mode=doctor looks again'
    )


def join(hardware: Hardware) -> None:
    """Meet the other processes of a training, before anything asks for a device."""
    if hardware.processes == 1:
        return
    os.environ.setdefault("JAX_CPU_COLLECTIVES_IMPLEMENTATION", "gloo")
    import jax

    jax.distributed.initialize(
        hardware.coordinator, hardware.processes, hardware.process
    )


def end_with_parent() -> None:
    """A worker of a sweep is killed with the process that began it.

    It would go on in its run's folder, and with what else it had been given, while the
    sweep is started again. Linux alone knows how; elsewhere the folder's lease keeps
    them apart.
    """
    parent = multiprocessing.parent_process()
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if parent is None or prctl is None:
        return
    prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent.pid:  # it was over before that
        os._exit(1)


def cache_folder() -> Path:
    """Where compiled functions are kept between runs."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "bot4jax"


def mend_cache() -> None:
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
    folder = Path(os.environ.get(CACHE, cache_folder()))
    for one in folder.glob(f"{glob.escape(name)}-*"):
        one.unlink(missing_ok=True)
    logger.warning(
        "%s: %s the compiled %s failed (%s). It was removed and is compiled anew: make "
        "room there, if there is none.",
        *(folder, act, name, why),
    )


def _limit_threads(threads: int) -> None:
    """Use the first `threads` of the cores this process may use; 0 leaves all."""
    allowed = sorted(os.sched_getaffinity(0))
    if 0 < threads < len(allowed):
        os.sched_setaffinity(0, allowed[:threads])
    count = str(threads or len(allowed))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, count)


def _keep_compiled() -> None:
    """Cache compiled functions for this user alone: who may write there runs code."""
    folder = cache_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError:  # it only saves time; `mode=doctor` tells
        return
    os.environ.setdefault(CACHE, str(folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
