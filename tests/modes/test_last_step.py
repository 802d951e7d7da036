"""A run that dies at its last step is brought to the same end by the next process."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import zmq

from bot4jax.modes import trading
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.sockets import dealer
from bot4jax.runtime.venue_link import SocketVenue
from tests.runtime.scene import BAR_NS, RUN, Scene
from tests.runtime.street import PATIENCE_S, SIZE, Street, street

STEPS = 4


def growing(step: int) -> tuple[float, float, float]:
    return 0.002 * step, 0.002 * step, -0.002 * step


class Died(KeyboardInterrupt):
    """As if the process had been killed: nothing is done on the way out."""


SETTING = SimpleNamespace(
    config=SimpleNamespace(runtime=SimpleNamespace(durability="process_crash")),
    settings=SimpleNamespace(members=["one"]),
    split=SimpleNamespace(test=range(STEPS)),
    source=SimpleNamespace(bar_ns=BAR_NS),
)
TAPE = SimpleNamespace(rehearsed=lambda: None)


def life(folder: Path, line: zmq.Socket, monkeypatch, point: str = "") -> None:
    """`trade` itself, up to where it collects what is told; it dies at a `point` of
    the last step, or once that is told and the market has not come so far."""
    scenes = list[Scene]()

    def made(setting, kept, venue, journal, publish) -> trading.Trader:
        def dies(name: str) -> None:
            if (name, scenes[0].trader.step_number) == (point, STEPS):
                raise Died

        scenes.append(
            Scene(
                folder,
                growing,
                "limit",
                venue=venue,
                journal=journal,
                size=SIZE,
                on_point=dies,
            )
        )
        scenes[0].trader.decider.rehearse = lambda bars: None
        return scenes[0].trader

    def bars(trader: trading.Trader, journal: Journal) -> Iterator[Closed]:
        for bar in range(STEPS + 3):
            yield scenes[0].closed(bar)

    def told(name: str, step: int, total: int) -> None:
        if (point, step) == ("waiting", total):
            raise Died

    def collect(left, *more) -> SimpleNamespace:
        found = SimpleNamespace(stages={}, left=left)
        found._replace = lambda **_: found
        return found

    monkeypatch.setattr(trading, "make_trader", made)
    monkeypatch.setattr(trading, "collect", collect)
    trading.trade(
        SETTING,
        None,
        TAPE,
        bars,
        SocketVenue(line, PATIENCE_S),
        folder,
        told,
        run=RUN,
        resumes=True,
    )


def lived(folder: Path, market: Street, monkeypatch, point: str) -> list[StepRecord]:
    """The records of a run that dies there and is started again."""
    for bar in range(STEPS + 2):
        market.show(bar)
    if point:
        with pytest.raises(Died):
            life(folder, market.line, monkeypatch, point)
    with dealer(market.line.getsockopt_string(zmq.LAST_ENDPOINT)) as line:
        life(folder, line, monkeypatch)
    with closing(Journal.open(folder / "journal.sqlite", RUN)) as journal:
        assert journal.end is not None
        return [*journal.read(), journal.end]


@pytest.mark.parametrize(
    "point", ["after_decide", "after_journal", "after_send", "waiting"]
)
def test_who_dies_at_the_last_step_is_brought_to_the_end_of_who_does_not(
    tmp_path, monkeypatch, point
):
    found = {}
    for name in ("", point):
        folder = tmp_path / (name or "calm")
        folder.mkdir()
        with street(0) as market:
            records = lived(folder, market, monkeypatch, name)
            sent = {one.id for step in records for one in step.orders}
            assert sent == {one.id for one in market.sent}
            assert market.venue.open_orders == []
            owned = market.venue.position.tolist()
        answers = [list(one.answers) for one in records]
        found[name] = [one.orders for one in records], answers, owned
    assert found[point] == found[""]
    assert found[""][1][-1], "the last step's answers, and what was taken back"
