"""What a market traded, in money, of every kind of bars."""

import numpy as np
import pytest

from bot4jax.data.bars import COLUMNS, Panel, bar_block
from bot4jax.data.forex import Forex
from bot4jax.learn.dataset import BarRecord, record_bars
from bot4jax.modes.evaluation import money_in
from bot4jax.types import BAR_FLOATS

INCREMENTS = np.array([0.5, 0.01])
CLOSES = np.array([[100.0, 7.01], [101.5, 7.25]])
VOLUMES = np.array([[30.0, 0.0], [4.0, 1_000.0]])


@pytest.fixture
def record() -> BarRecord:
    """Bars that come ready-made, of two symbols."""
    anchors = np.array([200, 700])
    rows = []
    for t, close in enumerate(CLOSES):
        live, one = np.ones(2, bool), np.ones(2)
        row = Panel(close, close, close, close, VOLUMES[t], live, one)
        rows.append(bar_block(t, row, CLOSES[0], anchors, INCREMENTS))
    return record_bars(0, [(one.ints, one.floats) for one in rows])


def test_ready_made_bars_are_worth_their_volume_at_the_close(record):
    """Capacity was a dash wherever bars were ready-made, of shares by the day too."""
    found = money_in(record, COLUMNS) * INCREMENTS
    np.testing.assert_allclose(found, VOLUMES * CLOSES, rtol=1e-6)


def test_what_ticks_add_up_is_taken_as_it_is(record):
    row = BAR_FLOATS.index("quote_turnover")
    record.floats[:, row] = [[1.0, 2.0], [3.0, 4.0]]
    found = money_in(record, ("quote_turnover", "base_turnover"))
    assert found.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_quotes_alone_tell_of_no_trade(record):
    assert np.isnan(money_in(record, Forex.columns)).all()
