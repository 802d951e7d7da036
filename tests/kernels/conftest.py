"""One compiled bank of the whole catalogue for every test that wants it."""

import pytest

from bot4jax.kernels import CATALOGUE
from tests.checks import Evidence


@pytest.fixture(scope="session")
def evidence():
    """Random bars with planted edges, through every feature."""
    return Evidence(list(CATALOGUE.values()))
