"""What a run reads besides its market is a part of what its results rest on."""

import pytest

from bot4jax.config import load
from bot4jax.runtime.sources_digest import sources_digest


@pytest.mark.parametrize("key", ["latency_file", "feed_file", "compute_file"])
def test_other_measured_latencies_are_another_source(tmp_path, key):
    """Regression: a run was gone on with after its file of latencies had changed."""
    path = tmp_path / "measured"
    path.write_text("20\n")
    config = load([f"venue.{key}={path}"])
    before = sources_digest(config)
    path.write_text("900\n")
    assert before != sources_digest(config) is not None
    assert sources_digest(load([])) is None
