"""A rollout in the way of `mode=live`: over sockets, with the venue's own record."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from bot4jax.config import run_folder
from bot4jax.errors import Bot4JaxError, ConfigError, Halted
from bot4jax.modes.keeping import take_up
from bot4jax.modes.live import live, traded_whole
from bot4jax.modes.rollout import Rollout, rolled_out
from bot4jax.modes.setting import Setting
from bot4jax.modes.trading import Traded
from bot4jax.runtime import venue_process
from bot4jax.runtime.folder import KILL
from bot4jax.runtime.limits import Reason, TradingState
from bot4jax.runtime.orders import Order
from bot4jax.runtime.publish import serve
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_record import Record
from bot4jax.schema import Config
from tests.modes.ways import journal_of, silent

STEPS = 32
"""Bars of the test span that are traded."""

ALL_TOO_SLOW = "rollout.slowest_ms=0.000001"


class Lived(NamedTuple):
    """A live run that is over, and what the venue says of it."""

    rollout: Rollout
    traded: Traded
    folder: Path
    served: venue_process.Served
    record: Record


@pytest.fixture
def lived(run, setting, configured, tmp_path, monkeypatch) -> Callable[..., Lived]:
    """Trades the first bars of the test span as `mode=live` does; the market does not
    keep to the clock, but waits for whoever hears it."""
    venues: list[PaperVenue] = []
    made = venue_process.configured

    def recording(*how) -> PaperVenue:
        venues.append(made(*how))
        venues[-1].record = Record([], [])
        return venues[-1]

    monkeypatch.setattr(venue_process, "configured", recording)

    def lives(file: Path, name: str, *rules: str) -> Lived:
        folder = tmp_path / name
        folder.mkdir()
        with rolled_out(configured(file, name, *rules), run.folder) as rollout:
            staged = unpaced(setting, rollout.config)
            kept, way = take_up(run.folder, staged), (folder, silent, rollout)
            with beside(staged) as ended:
                traded = traded_whole(staged, run.folder, kept, *way)
        return Lived(rollout, traded, folder, ended(), venues[-1].record)

    return lives


def unpaced(setting: Setting, config: Config) -> Setting:
    """The stage of a live run for some bars of a market that waits."""
    runtime = msgspec.structs.replace(config.runtime, speed=0.0)
    test = setting.split.test[:STEPS]
    return setting._replace(
        config=msgspec.structs.replace(config, runtime=runtime),
        split=setting.split._replace(test=test),
    )


@contextmanager
def beside(staged: Setting) -> Iterator[Callable[[], venue_process.Served]]:
    """A feed and a venue, which end by themselves once the engine has."""
    source, span = staged.source, staged.split.test
    ends = staged.config.runtime.endpoints
    with ThreadPoolExecutor(2) as pool:
        pool.submit(serve, source, span.start, span.stop, ends, 2)
        venue = pool.submit(venue_process.run_venue, staged.config, source)
        yield venue.result


def test_in_shadow_the_venue_hears_of_every_step_and_receives_nothing(
    lived, here, tmp_path
):
    own = lived(tmp_path / "rollout.json", "shadow")
    assert own.served.steps == STEPS
    assert own.served.ticks > 0
    assert own.served.orders == 0
    assert own.record == Record([], [])
    first = here.decided[0]  # before anything could be owned
    assert own.traded.decided[0].intent.tolist() == first.intent.tolist()
    assert first.intent.any()
    assert sum(own.traded.totals.denials.values()) > 0
    assert own.traded.state == TradingState.HALTED
    told = json.loads((tmp_path / "rollout.json").read_text())
    assert told["runs"] == {own.rollout._run: "shadow"}
    assert told["evidence"]["shadow"]["means"]["slow"]["count"] == STEPS


def test_a_strategy_that_is_demoted_in_a_run_ends_it_reducing(lived, on_paper):
    """Every decision is called too slow: from then on the venue receives nothing that
    opens."""
    file = on_paper(ALL_TOO_SLOW)
    own = lived(file, "slow", ALL_TOO_SLOW, "rollout.slow_share=0.001")
    (move,) = json.loads(file.read_text())["moves"]
    assert (move["before"], move["after"]) == ("paper", "shadow")
    assert 0 < move["step"] < STEPS / 2
    orders = [one for one in own.record.received if isinstance(one, Order)]
    after = [one for one in orders if one.step > move["step"]]
    before = [one for one in orders if one.step <= move["step"]]
    assert any(not one.reduce_only for one in before)
    assert all(one.reduce_only for one in after)
    assert own.traded.state == TradingState.REDUCING
    steps = journal_of(own.folder, "slow")
    asked = [one.reason for step in steps[move["step"] :] for one in step.denied]
    assert asked.count(Reason.REDUCING) > 0, "it would have opened something"
    states = [one.state for one in steps]
    reducing = [TradingState.REDUCING] * (STEPS - move["step"])
    assert states == [TradingState.ACTIVE] * move["step"] + reducing


# A start that is refused.


def of_another_configuration(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"config_hash": "another"}')
    (folder / "journal.sqlite").touch()


def killed(folder: Path) -> None:
    (folder / KILL).touch()


REFUSED = {
    "another configuration": (of_another_configuration, ConfigError, ()),
    "kill switch": (killed, Halted, ("run.fresh=true",)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_start_that_is_refused_leaves_the_file_as_it_was(
    configured, on_paper, tmp_path, what
):
    """Neither the run nor its phase is noted before its folder has agreed; where there
    is no file, none is made."""
    prepared, error, words = REFUSED[what]
    file, words = on_paper(), (f"run.root={tmp_path}", *words)
    for own in (file, tmp_path / "new.json"):
        config = configured(own, "refused", *words)
        folder = run_folder(config)
        folder.mkdir(exist_ok=True)
        prepared(folder)
        assert issubclass(error, Bot4JaxError)
        before = own.read_bytes() if own.exists() else None
        with pytest.raises(error, match=what):
            live(config)
        assert (own.read_bytes() if own.exists() else None) == before
