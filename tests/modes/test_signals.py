"""What subscribers are told of a step, symbol by symbol."""

import numpy as np
import pytest

from bot4jax.modes.sockets import batch
from bot4jax.runtime.messages import Signal, Signals, pack, unpack
from tests.runtime.scene import UNIVERSE, Scene

BIDS, ASKS = (0, 10, 20), (5, 14, 21)
SHARES = np.array([[1, 0, 0], [0.25, 0.5, 0.25], [0, 0.375, 0.625]], np.float32)


@pytest.mark.parametrize("missing", [None, 1, 2])
def test_each_symbol_with_a_quote_and_a_target_is_told_its_own(tmp_path, missing):
    scene = Scene(tmp_path, lambda step: (0, 0, 0))
    scene.trader.start()
    done = scene.step(0, (200, 200, 200))
    market = done.closed.market._replace(bid=np.array(BIDS), ask=np.array(ASKS))
    intent = np.array([0.5, -0.25, 0.125], np.float32)
    if missing is not None:
        intent[missing] = np.nan
    decided = done.decided._replace(
        probability=SHARES, confidence=SHARES[:, 1], intent=intent
    )
    closed = done.closed._replace(market=market)
    told = batch(UNIVERSE, "run", done._replace(closed=closed, decided=decided))
    expected = [
        Signal(
            symbol=UNIVERSE.symbols[slot],
            probability=tuple(SHARES[slot].tolist()),
            confidence=float(SHARES[slot, 1]),
            target=float(intent[slot]),
            price=(BIDS[slot] + ASKS[slot]) / 2 * UNIVERSE.instruments[slot].increment,
        )
        for slot in (1, 2)
        if slot != missing
    ]
    assert told.signals == expected
    assert (told.run, told.step) == ("run", done.step)
    assert unpack(pack(told), Signals) == told
