"""Another machine: a process that lacks what this one's processor, libraries and user
have. It serves a command line, and tells in its last line what it really ran with.
"""

import json
import locale
import math
import random
import sys
import time
import zlib
import zoneinfo
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from bot4jax.run import main

OLDER_XLA = (
    "--xla_cpu_max_isa=SSE4_2",
    # less to compile, and other code: it takes half the time
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
)
NO_FUSED = "-AVX2,-AVX512F,-AVX512VL,-FMA,-FMA4"


def lacking(features: Sequence[str], cache: str) -> Mapping[str, str]:
    """An environment without these features of the processor, of another user in
    another country. Nothing that was compiled here is found there: `cache` is empty."""
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(features),
        "OPENBLAS_CORETYPE": "Nehalem",
        "OPENBLAS_NUM_THREADS": "1",
        "POLARS_MAX_THREADS": "1",
        "GLIBC_TUNABLES": f"glibc.cpu.hwcaps={NO_FUSED}",
        "XLA_FLAGS": " ".join(OLDER_XLA),
        "JAX_COMPILATION_CACHE_DIR": cache,
        "PYTHONHASHSEED": "7",
        "TZ": "ELSE-5:45",
        "PYTHONTZPATH": "",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }


def place() -> dict[str, Any]:
    """What this process runs with, asked of whoever uses it."""
    pools = [one for one in threadpool_info() if one["internal_api"] == "openblas"]
    return {
        "numpy": dispatched(),
        "blas": sorted({one["architecture"] for one in pools}),
        "blas_threads": sorted({one["num_threads"] for one in pools}),
        "exponentials": exponentials(),
        "sums": sums(),
        "is_fused": is_fused(),
        "hash": hash("orders"),
        "zone_s": -time.timezone,
        "zones": list(zoneinfo.TZPATH),
        "encoding": locale.getpreferredencoding(False),
    }


def dispatched() -> list[str]:
    """Features of the processor that NumPy has code of its own for, and uses."""
    return np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])


def exponentials() -> str:
    """Of the C library, to the bit; all of them as one sum of whole numbers."""
    drawn = random.Random(0)
    values = (math.exp(drawn.uniform(-3.0, 3.0)) for _ in range(20_000))
    return hex(sum(int(value * 2**60) for value in values))


def sums() -> int:
    """A checksum of NumPy's sums of 1 … 1,024 numbers of any size: how the account and
    the gate add up all symbols."""
    drawn = random.Random(0)
    numbers = [drawn.random() * 2.0 ** drawn.randrange(-20, 20) for _ in range(1_024)]
    each = [np.array(numbers[:count]).sum() for count in range(1, 1_025)]
    return zlib.crc32(np.array(each).tobytes())


def is_fused() -> bool:
    """Whether XLA's code multiplies and adds with one rounding."""
    import jax  # its environment is set by now

    a, b, c = np.random.default_rng(0).normal(size=(3, 1_000)).astype(np.float32)
    found = jax.jit(lambda a, b, c: a * b + c)(a, b, c)
    return bool((np.asarray(found) != a * b + c).any())


if __name__ == "__main__":
    code = main(sys.argv[1:])
    print(json.dumps(place()))
    sys.exit(code)
