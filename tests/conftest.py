"""What holds in every test: one CPU device, strict promotion, repeatable examples.

Compiling takes most of the time: what one test compiled, the next one finds, and the
processes that it starts. Two processes share the tests, and what was compiled.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from bot4jax.environment import CPU_FLAGS

os.environ["JAX_PLATFORMS"] = "cpu"
# as every process that is started: who compiles alike decides alike
os.environ["XLA_FLAGS"] = " ".join(
    flag
    for flag in (*CPU_FLAGS, *os.environ.get("XLA_FLAGS", "").split())
    if "host_platform_device_count" not in flag
)
# processes share the cores: what waits for its other threads keeps none of them busy
os.environ["OMP_WAIT_POLICY"] = "passive"
# antropy compiles what it has each time that it is imported; nobody asks how fast it is
os.environ["NUMBA_OPT"] = "0"
os.environ["JAX_COMPILATION_CACHE_DIR"] = (
    os.environ["JAX_COMPILATION_CACHE_DIR"]
    if "PYTEST_XDIST_WORKER" in os.environ
    else tempfile.mkdtemp(prefix="compiled")
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import hypothesis
import jax
import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

from bot4jax.kernels import CATALOGUE
from bot4jax.registry import NETS, SOURCES

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# whether there is a cache is looked up once; benchmarks would turn it off for all
jax.block_until_ready(jax.numpy.zeros(1))

# no deadline: machines that share cores stall; derandomised: a failure repeats
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")


def pytest_unconfigure():
    """Nothing is left of what was compiled."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


PROJECT = Path(__file__).resolve().parent.parent

SHARING = {f"tests/{one.parent.name}" for one in PROJECT.glob("tests/*/conftest.py")}
"""Folders whose files share fixtures."""


LONG = (
    "tests/modes",
    "tests/benchmarks",
    "tests/kernels",
    "tests/test_sweep.py",
    "tests/nets/test_zoo.py",
    "tests/runtime/test_disorder.py",
    "tests/runtime/test_cut_connections.py",
    "tests/runtime/test_fallback.py",
    "tests/learn/test_mesh.py",
    "tests/test_guide.py",
    "tests/learn/test_resume.py",
    "tests/runtime/test_earlier.py",
    "tests/certify/test_nets.py",
    "tests/learn/test_importance.py",
)
"""What is begun first: at the end one process would be at it, and the other wait."""


class ByFixtures(LoadFileScheduling):
    """A file's tests stay in one process, and those of files that share fixtures."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        for one in reversed(LONG):
            if one in self.workqueue:
                self.workqueue.move_to_end(one, last=False)
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        folder = file.rpartition("/")[0]
        return folder if folder in SHARING else file


def pytest_xdist_make_scheduler(config, log):
    return ByFixtures(config, log)


@pytest.fixture(scope="session")
def project():
    """Root of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def data_root():
    """Folder above the recorded markets."""
    path = os.environ.get("BOT4JAX_DATA")
    if path is None:
        pytest.skip("BOT4JAX_DATA is unset; point it at the folder of recorded markets")
    if not Path(path).is_dir():
        pytest.fail(f"BOT4JAX_DATA={path} is no folder")
    return Path(path)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that plugins can name; afterwards all is as before."""
    owners: list[Any] = [CATALOGUE, NETS, SOURCES]
    kept = [(one, dict(one)) for one in owners]
    modules = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def written(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield written
    for registered, before in kept:
        registered.clear()
        registered.update(before)
    for name in set(sys.modules) - modules:
        del sys.modules[name]
