"""A stream is traded alike, whichever way it takes through the engine."""

from bot4jax.modes.summary import partial_fills
from bot4jax.runtime.orders import Fill
from bot4jax.types import BUY, SELL
from tests.modes.ways import journal_of


def test_the_market_gives_enough_to_compare(run, here):
    fills = [one for one in here.answers if isinstance(one, Fill)]
    assert run.code == 0
    assert len(here.orders) >= 100
    assert partial_fills(here.orders, here.answers) > 0
    assert {one.side for one in fills} == {BUY, SELL}
    assert len({one.reason for one in here.denied}) >= 3


def test_sockets_change_no_bit(run, here, setting):
    steps = journal_of(run.folder, run.folder.name)
    assert len(steps) == len(here.decided) == len(setting.split.test)
    assert [o for one in steps for o in one.orders] == here.orders
    answers = [a for one in steps for a in one.answers]
    assert answers == here.answers[: len(answers)]
