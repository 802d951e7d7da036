"""How long a decision may take."""

import time

import jax

GLANCE_S = 0.0001
"""Between two looks whether it is there."""


def is_in_time(array: jax.Array, until_s: float) -> bool:
    """Whether the device has computed it by then, by `time.perf_counter`.

    Late is late, even if it is there by the time somebody looks: on a CPU the call
    itself may have waited for the device.
    """
    while not _is_there(array) and time.perf_counter() <= until_s:
        time.sleep(GLANCE_S)
    return time.perf_counter() <= until_s


def _is_there(array: jax.Array) -> bool:
    return array.is_ready()  # pyright: ignore[reportAttributeAccessIssue]
