"""What must be so before JAX is imported, and which device it must find then.

It reads its environment once.
"""

import ctypes
import multiprocessing
import os
import signal

from bot4jax import cache, heap
from bot4jax.errors import ConfigError
from bot4jax.schema.process import Hardware

CPU_FLAGS = ("--xla_cpu_prefer_vector_width=512",)
"""What XLA is told on a CPU: to fill AVX-512's vectors, where its own choice is half of
them. Processors that have none compile the same code as without."""

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
    cache.keep()
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


def _limit_threads(threads: int) -> None:
    """Use the first `threads` of the cores this process may use; 0 leaves all."""
    allowed = sorted(os.sched_getaffinity(0))
    if 0 < threads < len(allowed):
        os.sched_setaffinity(0, allowed[:threads])
    count = str(threads or len(allowed))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, count)
