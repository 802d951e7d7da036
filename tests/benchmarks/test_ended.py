"""Decisions without a label are counted by how they end, and each once."""

import numpy as np

from benchmarks.ended import met

HORIZON = 5


def test_each_decision_ends_in_one_way():
    """One share is gone after day 20, one stands still from day 10 to 11."""
    live = np.ones((40, 3), bool)
    live[21:, 0] = False
    live[10:12, 1] = False
    found = met(live, HORIZON)
    days = [np.flatnonzero(column).tolist() for column in found.ended.T]
    assert days == [[16, 17, 18, 19], [], []]
    days = [np.flatnonzero(column).tolist() for column in found.halted.T]
    assert days == [[], [5, 6], []]
    assert found.live[:, 2].sum() == 40 - HORIZON
    assert not (np.sum(found, axis=0) > 1).any()
