"""The rows of nets: what a slot's former symbol left in the rings says nothing."""

import jax.numpy as jnp
import msgspec
import numpy as np

from bot4jax.certify import nets
from bot4jax.learn.fit import PASS_BARS
from tests.small_nets import SMALL, inputs, noisy

SIZES = msgspec.structs.replace(SMALL, members=("gru", "cnn", "transformer"))
HAVE_RINGS = {"cnn", "transformer"}


def test_a_net_that_reads_what_was_before_its_first_bar_is_caught():
    """One whose rings are taken for its own, as if it had been there."""
    params = noisy(SIZES)
    own = nets.Nets(SIZES, params, params, np.asarray(inputs(bars=PASS_BARS)))
    stepped, start = nets.by_steps(own, own.scores), nets.littered(own)
    assert all(row.passed for row in nets.warmup(own, stepped, start))
    seen = start._replace(age=jnp.full_like(start.age, 100.0))
    failed = {row.name for row in nets.warmup(own, stepped, seen) if not row.passed}
    assert failed == HAVE_RINGS
