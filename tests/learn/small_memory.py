"""Training on more than the process may allocate; the limit is the kernel's own.

`RLIMIT_DATA` counts private memory, what the C library maps included, and not the pages
of mapped files, which the kernel takes back whenever it needs them. It counts too what
the C library keeps of freed blocks, for every thread anew: so whoever starts this gives
it `KEEPS_NOTHING`, by which freed blocks go back to the kernel.
"""

import resource
import tempfile
from pathlib import Path

import numpy as np

from bot4jax.learn import fit
from bot4jax.learn.schedule import Samples
from bot4jax.learn.shelf import Shelf, gathered
from bot4jax.nets.sizes import GRUSizes, NetSizes
from tests.learn.small_fit import hardware, settings

MIB = 1 << 20
KEEPS_NOTHING = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(MIB // 4)}
BARS, SYMBOLS, FEATURES = 2048, 640, 64
LIMIT = 128 * MIB
SIZES = NetSizes(stem=4, gru=GRUSizes(widths=(4,)), members=("gru",))


def main() -> None:
    own = settings(symbols_per_batch=160, chunk=128, epochs=1, checkpoint_every=0)
    with tempfile.TemporaryDirectory() as folder:
        data = on_disk(Path(folder))
        fit.fit_nets(SIZES, first_chunk(data), own, hardware(), 0, silent)  # compiles
        limit(LIMIT)
        print(f"data {data.features.nbytes // MIB} MiB, limit {LIMIT // MIB} MiB")
        _, history = fit.fit_nets(SIZES, data, own, hardware(), 0, silent)
        print(f"updates {len(history.loss)}")
        try:
            np.array(data.features)
        except MemoryError:
            print("a copy of the data: MemoryError")


def silent(*told) -> None:
    pass


def first_chunk(data: Samples) -> Samples:
    return Samples(*(column[:128, :160] for column in data))


def on_disk(folder: Path) -> Samples:
    """Random scores, never in memory all at once."""
    random = np.random.default_rng(0)
    rows = (
        (
            random.normal(size=(SYMBOLS, FEATURES)).astype(np.float32),
            random.integers(0, 3, SYMBOLS).astype(np.int32),
            np.ones(SYMBOLS, np.float32),
        )
        for _ in range(BARS)
    )
    return Samples(*gathered(Shelf(folder), Samples._fields, rows))


def limit(more: int) -> None:
    """What this process may allocate beyond what it has."""
    lines = Path("/proc/self/status").read_text().splitlines()
    now = next(int(line.split()[1]) for line in lines if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (now * 1024 + more,) * 2)


if __name__ == "__main__":
    main()
