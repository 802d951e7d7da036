"""Spectra whose peaks no float32 can tell apart."""

import jax
import numpy as np

from bot4jax.kernels import CATALOGUE, frequency


def peaks(moves: np.ndarray) -> tuple[float, float]:
    """The peak frequency of one window: compiled in float32, and by its definition."""
    spec = CATALOGUE["peak_frequency"]
    asked = jax.numpy.asarray(moves[None], "float32")
    shares = frequency.power_shares(frequency.power(asked))
    return float(frequency.PeakFrequency.value(shares[0])), spec.reference(
        {"standardised_return": moves}
    )


def test_of_peaks_that_are_equal_the_slowest_counts():
    """Three moves of a calm share: cycles of 40 and 88 a window differ by 5e-8."""
    moves = np.zeros(256)
    moves[[51, 83, 141]] = 7.47760787, 7.47222054, 7.46684097
    shares = frequency.shares(moves)
    assert 0 < abs(shares[39] - shares[87]) < 1e-7 * shares.max()
    assert peaks(moves) == (40 / 256, 40 / 256)


def test_a_peak_that_is_higher_by_more_counts_wherever_it_is():
    time = np.arange(256)
    slow, fast = (np.sin(2 * np.pi * k * time / 256) for k in (20, 90))
    assert peaks(slow + 1.001 * fast) == (90 / 256, 90 / 256)
    assert peaks(1.001 * slow + fast) == (20 / 256, 20 / 256)
