"""A person's word stops the engine, is kept, and can be taken back."""

import os
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot4jax.config import load
from bot4jax.errors import Halted
from bot4jax.runtime.control import MOST_WAITING, Controls, KillFile, listening
from bot4jax.runtime.control_line import Ask, control, line, settled
from bot4jax.runtime.folder import RunFolder
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.messages import Control, ControlAnswer, pack, unpack
from bot4jax.runtime.orders import Order
from bot4jax.runtime.sockets import LIMITS, dealer, router
from bot4jax.runtime.states import Cause
from tests.runtime.scene import Scene, resting

PATIENCE_S = 20.0


def growing(step: int) -> tuple[float, float, float]:
    """A little more of each, every step."""
    return 0.002 * step, 0.002 * step, -0.002 * step


class Engine:
    """A scene that people can speak to, trading as fast as it can."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.endpoint = folder, f"ipc://{folder}/control"
        self.scene = Scene(folder, growing, "limit", size=1)
        self.controls = Controls(self.scene.trader, KillFile(folder))
        self.bar = 0

    def trade_until(self, is_over: Callable[[], bool], least: int = 5) -> None:
        """Bar after bar; people are heard before each, as before each frame."""
        give_up_s, stop = time.monotonic() + PATIENCE_S, self.bar + least
        while not is_over() or self.bar < stop:
            assert time.monotonic() < give_up_s
            self.controls.attend()
            self.scene.step(self.bar)
            self.bar += 1

    @property
    def orders(self) -> list[Order]:
        received = self.scene.venue.record.received
        return [one for one in received if isinstance(one, Order)]


@contextmanager
def said(engine: Engine, talk: Callable[[Ask], None]) -> Iterator[threading.Thread]:
    """A person who talks to the engine from elsewhere."""

    def run() -> None:
        with line(engine.endpoint, PATIENCE_S) as ask:
            talk(ask)

    thread = threading.Thread(target=run)
    thread.start()
    yield thread
    thread.join(PATIENCE_S)


def hear(engine: Engine, talk: Callable[[Ask], None]) -> None:
    """Trade while somebody talks, and a little longer."""
    with (
        listening(engine.controls, engine.endpoint),
        said(engine, talk) as person,
    ):
        engine.trade_until(lambda: not person.is_alive())


@pytest.fixture
def engine(tmp_path) -> Engine:
    engine = Engine(tmp_path)
    engine.scene.trader.start()
    return engine


def test_a_kill_lets_nothing_new_pass_after_one_step_and_takes_back_what_rests(engine):
    at: dict[str, ControlAnswer] = {}

    def talk(ask: Ask) -> None:
        while ask(Control(do="status")).open_orders < 9:
            time.sleep(0.001)
        at["killed"] = ask(Control(do="kill", reason="drill"))
        at["settled"] = settled(ask, PATIENCE_S)

    hear(engine, talk)
    engine.trade_until(lambda: True, least=5)
    killed, last = at["killed"], at["settled"]
    assert (killed.accepted, killed.state, killed.text) == (True, "halted", "drill")
    assert max(one.step for one in engine.orders) <= killed.step + 1
    assert engine.scene.trader.step_number >= killed.step + 5
    assert (last.causes, last.open_orders) == (["KILLED"], 0)
    assert resting(engine.scene.venue.record.received) <= filled(engine)
    assert engine.scene.venue.open_orders == []
    noted = engine.scene.journal.transitions()[-1]
    assert (noted.cause, noted.is_held, noted.text) == ("KILLED", True, "drill")


def filled(engine: Engine) -> set[str]:
    """Orders that were over before anybody could take them back."""
    tracked = engine.scene.account.portfolio.working.by_id
    return {name for name, one in tracked.items() if one.left == 0}


def by_file(engine: Engine) -> None:
    (engine.folder / "KILL").write_text("by hand\n")


def by_signal(engine: Engine) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.parametrize(
    ("pull", "text"), [(by_file, "by hand"), (by_signal, "the signal SIGUSR1")]
)
def test_file_and_signal_do_the_same(engine, pull, text):
    with listening(engine.controls, engine.endpoint):
        engine.trade_until(lambda: len(engine.orders) > 6)
        pull(engine)
        engine.trade_until(lambda: engine.scene.states.is_held(Cause.KILLED))
    assert KillFile(engine.folder).text() == text
    before = len(engine.orders)
    engine.trade_until(lambda: True)
    assert len(engine.orders) == before
    assert engine.scene.account.portfolio.working.ids() == []


def test_a_long_word_in_the_file_is_told_as_far_as_an_answer_can_hold_it(engine):
    KillFile(engine.folder).write("why " * 1_000)
    with listening(engine.controls, engine.endpoint):
        engine.trade_until(lambda: engine.scene.states.is_held(Cause.KILLED))
    said = engine.controls.answer(Control(do="status"))
    assert unpack(pack(said), ControlAnswer) == said
    assert engine.scene.states.transitions[-1].text == ("why " * 50).strip()


def test_the_switch_stays_pulled_over_a_restart_even_with_a_new_journal(engine):
    hear(engine, lambda ask: settled_kill(ask))
    engine.scene.journal.close()
    for name in ("journal.sqlite", "journal.sqlite-wal"):
        (engine.folder / name).unlink(missing_ok=True)
    again = Engine(engine.folder)
    again.scene.trader.start()
    again.trade_until(lambda: True)
    assert again.orders == []
    assert again.scene.states.causes == (Cause.KILLED,)
    assert again.scene.states.transitions[-1].text == "drill"


def settled_kill(ask: Ask) -> None:
    ask(Control(do="kill", reason="drill"))
    settled(ask, PATIENCE_S)


def test_the_switch_is_reset_without_a_restart(engine):
    def talk(ask: Ask) -> None:
        settled_kill(ask)
        said = ask(Control(do="reset", reason="all clear"))
        assert (said.accepted, said.state, said.causes) == (True, "active", [])

    hear(engine, talk)
    before = len(engine.orders)
    engine.trade_until(lambda: True)
    assert len(engine.orders) > before
    assert not (engine.folder / "KILL").exists()
    assert engine.scene.states.transitions[-1].text == "all clear"


def test_a_pause_lets_only_reductions_pass_and_ends_by_itself(engine):
    at: list[ControlAnswer] = []

    def talk(ask: Ask) -> None:
        at.append(ask(Control(do="pause", lasts_ns=200_000_000)))
        while (now := ask(Control(do="status"))).state != "active":
            at.append(now)

    hear(engine, talk)
    assert {one.state for one in at} == {"reducing"}
    paused = range(at[0].step + 2, at[-1].step)
    assert not [one for one in engine.orders if one.step in paused]
    assert engine.scene.states.state == TradingState.ACTIVE


def test_a_short_pause_ends_no_longer_one(engine):
    """Nor does one that has an end give one to a pause that has none."""
    for long_ns in (10**15, 0):
        for lasts_ns in (long_ns, 1):
            pause = Control(do="pause", lasts_ns=lasts_ns)
            asked = threading.Thread(target=engine.controls.answer, args=(pause,))
            asked.start()
            while engine.controls.waiting == 0:
                time.sleep(0.001)
            engine.controls.attend()
            asked.join(PATIENCE_S)
        engine.controls.attend()
        assert engine.scene.states.causes == (Cause.PAUSED,)


@pytest.mark.parametrize("set_ns", [10**15, -(10**15)])
def test_a_wall_clock_that_is_set_ends_no_pause(engine, monkeypatch, set_ns):
    def talk(ask: Ask) -> None:
        ask(Control(do="pause", lasts_ns=10**12))
        monkeypatch.setattr(time, "time_ns", lambda: now_ns + set_ns)
        for _ in range(2):  # the loop has looked whether it is over before each
            assert ask(Control(do="pause", lasts_ns=1)).causes == ["PAUSED"]

    now_ns = time.time_ns()
    hear(engine, talk)
    told = [one for one in engine.scene.states.transitions if one.cause == "PAUSED"]
    assert [one.is_held for one in told] == [True]


def test_news_let_only_reductions_pass_until_they_are_over_or_reset(engine):
    def talk(ask: Ask) -> None:
        answer = ask(Control(do="news", reason="rates"))
        assert (answer.accepted, answer.state) == (True, "reducing")
        assert answer.causes == ["NEWS"]
        assert ask(Control(do="reset")).causes == []

    hear(engine, talk)
    assert engine.scene.states.causes == ()


def test_nonsense_is_answered_and_changes_nothing(engine):
    answers: list[ControlAnswer] = []

    def talk(ask: Ask) -> None:
        with dealer(engine.endpoint) as socket:
            for words in ([b""], [b"kill"], [b"\x81\xa2do", b"\xa3die"], [bytes(500)]):
                socket.send_multipart([b"", *words])
                assert socket.poll(round(PATIENCE_S * 1e3))
                answers.append(unpack(socket.recv_multipart()[-1], ControlAnswer))

    hear(engine, talk)
    assert [one.accepted for one in answers] == [False] * 4
    assert engine.scene.states.causes == ()


@pytest.mark.parametrize("do", ["pause", "news", "reset"])
def test_a_kill_waits_for_nobody_who_waits_for_the_loop(engine, do):
    """The loop is busy: nobody attends before the kill has been answered."""
    answers: list[ControlAnswer] = []

    def first(ask: Ask) -> None:
        answers.append(ask(Control(do=do)))

    with listening(engine.controls, engine.endpoint), said(engine, first) as person:
        wait_until(lambda: engine.controls.waiting == 1)
        with line(engine.endpoint, PATIENCE_S) as ask:
            killed = ask(Control(do="kill", reason="drill"))
            told = ask(Control(do="status"))
        assert (killed.accepted, killed.state, told.state) == (True, "halted", "halted")
        assert KillFile(engine.folder).text() == "drill"
        assert (answers, engine.controls.waiting) == ([], 1)
        engine.trade_until(lambda: not person.is_alive())
    assert [one.accepted for one in answers] == [do != "reset"]
    assert {Cause.KILLED} <= set(engine.scene.states.causes)


def test_a_kill_waits_for_nobody_who_asks_and_never_reads(engine, monkeypatch):
    """Every answer to such a one would hold the next word up."""
    patient = LIMITS._replace(send_high_water=1, send_timeout_ms=60_000)
    monkeypatch.setattr("bot4jax.runtime.control.LIMITS", patient)
    deaf = LIMITS._replace(receive_high_water=1, send_high_water=0)
    word = [b"", pack(Control(do="status"))]
    with (
        listening(engine.controls, engine.endpoint),
        dealer(engine.endpoint, limits=deaf) as asker,
    ):
        for _ in range(20_000):
            asker.send_multipart(word)
        with line(engine.endpoint, PATIENCE_S) as ask:
            assert ask(Control(do="kill", reason="drill")).state == "halted"


def test_a_word_that_waits_when_the_run_ends_is_not_done(engine):
    with said(engine, lambda ask: ask(Control(do="pause"))) as person:
        with listening(engine.controls, engine.endpoint):
            wait_until(lambda: engine.controls.waiting == 1)
        person.join(PATIENCE_S)
        assert not person.is_alive(), "it was answered"
    engine.controls.attend()
    assert engine.scene.states.causes == ()


def test_of_too_many_words_at_once_the_last_are_to_be_said_again(engine):
    for _ in range(MOST_WAITING):
        assert not engine.controls.ask(Control(do="pause")).answer.done()
    late = engine.controls.ask(Control(do="pause")).answer.result(0)
    assert (late.accepted, late.text[:16]) == (False, "the loop is busy")
    assert engine.controls.ask(Control(do="kill")).answer.result(0).accepted


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < give_up_s
        time.sleep(0.001)


def test_a_reset_whose_asker_gave_up_is_not_done_later(engine):
    controls = Controls(engine.scene.trader, KillFile(engine.folder), patience_s=0)
    given_up = controls.answer(Control(do="reset"))
    controls.answer(Control(do="kill", reason="drill"))
    controls.attend()
    assert (given_up.accepted, given_up.text[:16]) == (False, "the loop is busy")
    assert engine.scene.states.causes == (Cause.KILLED,)
    assert KillFile(engine.folder).text() == "drill"


def test_a_reset_lifts_no_kill_that_came_after_it(engine):
    answers, asked = reset_in_another_thread(engine)
    engine.controls.answer(Control(do="kill", reason="drill"))
    engine.controls.attend()
    asked.join(PATIENCE_S)
    assert [one.accepted for one in answers] == [False]
    assert engine.scene.states.causes == (Cause.KILLED,)
    assert KillFile(engine.folder).text() == "drill"


def test_a_reset_removes_no_file_that_came_after_it(engine):
    """Not pulled yet, or pulled and written anew by somebody else meanwhile."""
    path = KillFile(engine.folder).path
    for before in (None, "first\n"):
        if before is not None:
            path.write_text(before)
            engine.controls.attend()
        answers, asked = reset_in_another_thread(engine)
        path.write_text("second\n")
        engine.controls.attend()
        asked.join(PATIENCE_S)
        assert [(one.accepted, one.state) for one in answers] == [(False, "halted")]
        assert path.read_text() == "second\n"
        answers, asked = reset_in_another_thread(engine)
        engine.controls.attend()
        asked.join(PATIENCE_S)
        assert [one.accepted for one in answers] == [True]
        assert not path.exists()


def reset_in_another_thread(
    engine: Engine,
) -> tuple[list[ControlAnswer], threading.Thread]:
    """A reset that waits for the loop, and where its answer will be."""
    answers: list[ControlAnswer] = []
    reset = Control(do="reset")
    asked = threading.Thread(
        target=lambda: answers.append(engine.controls.answer(reset))
    )
    asked.start()
    while engine.controls.waiting == 0:
        time.sleep(0.001)
    return answers, asked


def a_folder(path: Path) -> None:
    path.mkdir()


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to(path.parent / "gone" / "KILL")


@pytest.mark.parametrize("has_writer", [False, True])
def test_a_pipe_in_the_file_s_place_counts_as_pulled_and_is_not_waited_for(
    tmp_path, has_writer
):
    """The loop would stand still in it, and so would whoever says it by the socket."""
    kill = KillFile(tmp_path)
    os.mkfifo(kill.path)
    writer = os.open(kill.path, os.O_RDWR) if has_writer else None
    found: list[str | None] = []
    reader = threading.Thread(target=lambda: found.append(kill.text()), daemon=True)
    reader.start()
    reader.join(5)
    if writer is not None:
        os.close(writer)
    assert found == ["the file KILL"]
    kill.remove()
    assert kill.text() is None


def test_no_more_of_the_file_is_read_than_a_message_can_say(tmp_path):
    kill, mebibyte = KillFile(tmp_path), 1 << 20
    kill.path.write_bytes(b"drill" + bytes(32 * mebibyte))
    tracemalloc.start()
    text = kill.text()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert text is not None
    assert text.rstrip("\0") == "drill"
    assert most < mebibyte


@pytest.mark.parametrize("make", [a_folder, a_link_to_itself, a_link_to_nothing])
def test_what_cannot_be_read_counts_as_pulled(engine, make):
    path = KillFile(engine.folder).path
    with listening(engine.controls, engine.endpoint):
        engine.trade_until(lambda: len(engine.orders) > 6)
        make(path)
        engine.trade_until(lambda: engine.scene.states.is_held(Cause.KILLED))
    text = engine.scene.journal.transitions()[-1].text
    assert text.startswith("KILL cannot be read (")
    assert engine.scene.account.portfolio.working.ids() == []
    assert resting(engine.scene.venue.record.received) <= filled(engine)
    answers, asked = reset_in_another_thread(engine)
    engine.controls.attend()
    asked.join(PATIENCE_S)
    assert [one.accepted for one in answers] == [make is not a_folder]


def test_a_kill_takes_a_link_s_place_and_leaves_what_it_shows_to(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("of somebody else")
    kill = KillFile(tmp_path)
    for target in (precious, tmp_path / "gone" / "KILL"):
        kill.path.unlink(missing_ok=True)
        kill.path.symlink_to(target)
        kill.write("drill")
        assert not kill.path.is_symlink()
        assert kill.text() == "drill"
    assert precious.read_text() == "of somebody else"


def test_a_signal_is_kept_even_if_the_loop_never_hears_of_it(engine):
    """As when the very next thing the loop does is to fail."""
    with listening(engine.controls, engine.endpoint):
        by_signal(engine)
    assert KillFile(engine.folder).text() == "the signal SIGUSR1"


def test_a_kill_whose_file_cannot_be_written_halts_and_is_answered(engine):
    controls = Controls(engine.scene.trader, KillFile(engine.folder / "gone"))
    answers: list[ControlAnswer] = []

    def talk(ask: Ask) -> None:
        answers.extend(ask(Control(do=word)) for word in ("kill", "status"))

    with listening(controls, engine.endpoint), said(engine, talk):
        pass
    assert [(one.accepted, one.state) for one in answers] == [
        (False, "halted"),
        (True, "halted"),
    ]
    assert "cannot be written" in answers[0].text


def test_the_command_prints_how_long_it_took(engine, capsys):
    endpoint = f"runtime.endpoints.control={engine.endpoint}"
    words = ["mode=control", "control.do=kill", "control.reason=drill", endpoint]
    codes: list[int] = []
    with listening(engine.controls, engine.endpoint):
        command = threading.Thread(target=lambda: codes.append(control(load(words))))
        command.start()
        engine.trade_until(lambda: not command.is_alive())
    assert codes == [0]
    printed = capsys.readouterr().out
    assert "halted" in printed
    assert " ms after the word, at step " in printed


def test_without_an_engine_the_command_says_what_else_there_is(tmp_path):
    with (
        line(f"ipc://{tmp_path}/nobody", timeout_s=0.05) as ask,
        pytest.raises(Halted, match=r"No engine listens at .*KILL"),
    ):
        ask(Control(do="kill"))


def test_an_engine_that_listens_and_says_nothing_is_waited_for(tmp_path):
    endpoint = f"ipc://{tmp_path}/silent"
    with (
        router(endpoint),
        line(endpoint, timeout_s=0.05) as ask,
        pytest.raises(Halted, match=r"No engine answered .* within 0.05 s"),
    ):
        ask(Control(do="kill"))


def test_a_fresh_start_does_not_forget_the_switch(tmp_path):
    config = load([f"run.root={tmp_path}", "run.name=killed", "run.fresh=true"])
    (tmp_path / "killed").mkdir()
    KillFile(tmp_path / "killed").write("drill")
    with pytest.raises(Halted, match="kill switch"):
        RunFolder(config).open()
