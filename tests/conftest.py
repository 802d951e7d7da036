"""What holds in every test: one CPU device, strict promotion, repeatable examples."""

import os
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = " ".join(
    flag
    for flag in os.environ.get("XLA_FLAGS", "").split()
    if "host_platform_device_count" not in flag
)

import hypothesis
import jax
import pytest

from bot4jax.kernels import CATALOGUE

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# no deadline: machines that share cores stall; derandomised: a failure repeats
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")

PROJECT = Path(__file__).resolve().parent.parent


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
    """Writes a module that plugins can name; catalogue and modules are as before."""
    features, modules = dict(CATALOGUE), set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def written(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield written
    CATALOGUE.clear()
    CATALOGUE.update(features)
    for name in set(sys.modules) - modules:
        del sys.modules[name]
