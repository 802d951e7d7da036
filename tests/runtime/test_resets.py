"""A person who ends news says so once: a restart and a replay know of it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from bot4jax.modes.trading import stepping
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.control import Controls, KillFile
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.limits import Reason
from bot4jax.runtime.messages import Control, ControlAnswer, News
from bot4jax.runtime.states import Cause, Transition
from bot4jax.runtime.venue_link import VenueLink
from tests.runtime.scene import (
    BAR_NS,
    RUN,
    START_NS,
    Scene,
    calm_bars,
    compared,
    repeating,
)

PATIENCE_S = 20.0
UNTIL_NS = START_NS + 50 * BAR_NS
OF_TWO = News(event_ns=9, available_ns=1, until_ns=UNTIL_NS, symbols=[1, 2])
OF_ALL = News(event_ns=9, available_ns=1, until_ns=UNTIL_NS, text="rates")
TOLD, RESET, DIES, BARS = 1, 5, 7, 10
"""Bars: at whose end news act, before or in whose step they are reset, that a killed
process has not seen any more, that there are."""
SIZE = 100_000

Word = Callable[[], None]


def growing(step: int) -> tuple[float, float, float]:
    """A little more of each, every step."""
    return 0.01 * step, 0.01 * step, -0.01 * step


def said(controls: Controls) -> ControlAnswer:
    """A reset that the loop hears here."""
    answers: list[ControlAnswer] = []
    reset = Control(do="reset", reason="looked into it")
    asked = threading.Thread(
        target=lambda: answers.append(controls.answer(reset)), daemon=True
    )
    asked.start()
    give_up_s = time.monotonic() + PATIENCE_S
    while controls.waiting == 0:
        assert time.monotonic() < give_up_s
        time.sleep(0.001)
    controls.attend()
    asked.join(PATIENCE_S)
    return answers[0]


class Life(NamedTuple):
    """What a process leaves behind."""

    steps: list[StepRecord]
    noted: list[Transition]
    causes: tuple[Cause, ...]
    link: VenueLink

    @property
    def orders(self) -> list[list]:
        return [list(one.orders) for one in self.steps]


def lived(
    folder: Path,
    news: News,
    place: str = "",
    link: VenueLink | None = None,
    stop: int = BARS,
) -> Life:
    """A run begun, or gone on with, in which a person resets news at a `place`."""
    folder.mkdir(exist_ok=True)
    scene = Scene(folder, growing, venue=link, size=SIZE)
    controls, settle = Controls(scene.trader, KillFile(folder)), scene.link.settle
    if place == "at the start":
        assert said(controls).accepted

    def is_live(bar: int) -> bool:
        return bar == RESET and not scene.states.is_held(Cause.STARTING)

    def settled(through_ns: int):
        if place == "within" and is_live(scene.trader.step_number - 1):
            assert said(controls).accepted
        return settle(through_ns)

    def bars() -> Iterator[Closed]:
        for bar in range(stop):
            if place == "between" and is_live(bar):
                assert said(controls).accepted
            yield scene.after(scene.closed(bar), [news] if bar == TOLD else [])

    scene.link.settle = settled
    with closing(scene.journal) as journal:
        for _ in stepping(scene.trader, journal, bars()):
            pass
        scene.link.settle = settle
        noted = journal.transitions()
        return Life(list(journal.read()), noted, scene.states.causes, scene.link)


def opens(one: StepRecord) -> set[int]:
    return {order.symbol for order in one.orders}


@pytest.mark.parametrize("place", ["between", "within"])
def test_a_reset_lets_instruments_open_again_and_its_row_says_in_which_step(
    tmp_path, place
):
    found = lived(tmp_path, OF_TWO, place)
    during, after = found.steps[TOLD:RESET], found.steps[RESET:]
    assert [opens(one) for one in during] == [{0}] * (RESET - TOLD)
    assert {one.reason for step in during for one in step.denied} == {Reason.NEWS}
    assert [opens(one) for one in after] == [{0, 1, 2}] * (BARS - RESET)
    (row,) = [one for one in found.noted if one.is_reset]
    assert (row.step, row.cause, row.is_held) == (RESET, "NEWS", False)
    assert row.text == "looked into it; news of B, C are over"


@pytest.mark.parametrize("news", [OF_TWO, OF_ALL], ids=["of two", "of all"])
@pytest.mark.parametrize("place", ["between", "within"])
def test_a_restart_after_a_reset_opens_in_the_same_instruments(tmp_path, news, place):
    """As a process that was never killed; one whose journal has lost the word of it
    does not."""
    calm = lived(tmp_path / "calm", news, place)
    first = lived(tmp_path / "killed", news, place, stop=DIES)
    again = lived(tmp_path / "killed", news, link=first.link)
    assert again.orders == calm.orders
    assert again.causes == ()
    assert opens(again.steps[DIES]) == {0, 1, 2}
    deaf = lived(tmp_path / "deaf", news, place, stop=DIES)
    without_resets(tmp_path / "deaf")
    assert not opens(lived(tmp_path / "deaf", news, link=deaf.link).steps[DIES]) & {2}


def without_resets(folder: Path) -> None:
    """The journal written anew, and chained as it should be, by who knows of none."""
    path = folder / "journal.sqlite"
    with closing(Journal.open(path, RUN)) as journal:
        steps, noted = list(journal.read()), journal.transitions()
    path.unlink()
    with closing(Journal.open(path, RUN)) as journal:
        for one in noted:
            journal.note(msgspec.structs.replace(one, is_reset=False))
        for one in steps:
            journal.commit(one)


@pytest.mark.parametrize("news", [OF_TWO, OF_ALL], ids=["of two", "of all"])
def test_a_reset_before_anything_is_gone_through_ends_all_that_was_heard(
    tmp_path, news
):
    """The process that hears it does not know of any news yet; nor does the next."""
    first = lived(tmp_path, news, stop=RESET)
    assert not opens(first.steps[-1]) & {2}
    second = lived(tmp_path, news, "at the start", first.link, stop=DIES)
    assert [opens(one) for one in second.steps[RESET:]] == [{0, 1, 2}] * (DIES - RESET)
    third = lived(tmp_path, news, link=second.link)
    assert opens(third.steps[DIES]) == {0, 1, 2}
    assert again_differs(third, third.noted, news) == 0


@pytest.mark.parametrize("place", ["between", "within"])
def test_a_replay_of_a_run_with_a_reset_gives_the_same_orders(tmp_path, place):
    """One that is not told of the reset holds back what has left."""
    found = lived(tmp_path, OF_TWO, place)
    assert again_differs(found, found.noted) == 0
    assert again_differs(found, []) == BARS - RESET


def again_differs(found: Life, noted: list[Transition], news: News = OF_TWO) -> int:
    """Steps that who goes through the journal makes otherwise."""
    events = {TOLD: (news,)}
    bars = (one._replace(events=events.get(one.bar, ())) for one in calm_bars(SIZE))
    seen = compared(repeating(growing, past=noted), bars, found.steps)
    assert seen.steps == len(found.steps)
    assert seen.orders_differ == seen.gated_again_differ
    return seen.gated_again_differ


def test_news_after_a_reset_hold_as_ever(tmp_path):
    """A reset ends what was told, and nothing that is told later."""
    scene = Scene(tmp_path, growing, size=SIZE)
    controls = Controls(scene.trader, KillFile(tmp_path))
    scene.trader.start()
    told = {0: OF_TWO, 3: msgspec.structs.replace(OF_TWO, symbols=[0])}
    found = []
    for bar in range(5):
        if bar == 2:
            assert said(controls).causes == []
        events = [told[bar]] if bar in told else []
        found.append(scene.trader.step(scene.after(scene.closed(bar), events)))
    opened = [{order.symbol for order in one.orders} for one in found]
    assert opened == [{0}, {0}, {0, 1, 2}, {1, 2}, {1, 2}]
    scene.journal.close()


def test_a_reset_that_ends_no_news_leaves_no_row_of_it(tmp_path):
    scene = Scene(tmp_path, growing, size=SIZE)
    scene.trader.start()
    scene.step(0)
    assert said(Controls(scene.trader, KillFile(tmp_path))).accepted
    assert [one.cause for one in scene.journal.transitions()] == ["STARTING"] * 2
    scene.journal.close()
