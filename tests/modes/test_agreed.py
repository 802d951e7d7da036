"""An engine and a venue that have read other words find that out over their socket."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec
import pytest

from bot4jax.config import agreed_hash
from bot4jax.errors import Halted
from bot4jax.modes.keeping import Kept
from bot4jax.modes.setting import Setting
from bot4jax.modes.sockets import trade_over_sockets
from bot4jax.runtime.decider import Decider
from bot4jax.runtime.sockets import dealer
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_messages import Inquiry
from bot4jax.runtime.venue_process import Served, run_venue
from bot4jax.runtime.wire import VERSION
from bot4jax.schema import Config
from tests.modes.ways import silent

PATIENCE_S = 30.0


def other_fees(config: Config) -> Config:
    dearer = config.venue.taker_fee_bps + 1
    venue = msgspec.structs.replace(config.venue, taker_fee_bps=dearer)
    return msgspec.structs.replace(config, venue=venue)


def other_market(config: Config) -> Config:
    symbols = (config.data.symbols or 0) + 1
    data = msgspec.structs.replace(config.data, symbols=symbols)
    return msgspec.structs.replace(config, data=data)


def other_skew(config: Config) -> Config:
    own = config.runtime
    runtime = msgspec.structs.replace(own, skew_limit_ms=own.skew_limit_ms + 1)
    return msgspec.structs.replace(config, runtime=runtime)


@contextmanager
def venue_of(setting: Setting, config: Config) -> Iterator[Callable[[], Served]]:
    """A venue that has read this configuration; it ends once `Served` is asked for.

    Its market is the engine's: only the words differ.
    """
    with ThreadPoolExecutor(1) as pool:
        venue = pool.submit(run_venue, config, setting.source)

        def ended() -> Served:
            said = asked(setting)
            with dealer(config.runtime.endpoints.orders) as line:
                last = SocketVenue(line, PATIENCE_S, agreed_hash=agreed_hash(config))
                assert last.ask(said).step == 0
                last.close()
            return venue.result(PATIENCE_S)

        yield ended


def asked(setting: Setting) -> Inquiry:
    """What an engine says first."""
    own = {"universe_hash": setting.source.universe.hash, "version": VERSION}
    return Inquiry(run="agreed", step=0, bar_ns=setting.source.bar_ns, **own)


@pytest.mark.parametrize("changed", [other_fees, other_market, other_skew])
def test_a_venue_of_other_words_takes_no_order(
    setting: Setting, kept: Kept, tmp_path, monkeypatch, changed
):
    """The engine's start ends with what differs, and the venue has served nobody."""
    monkeypatch.setattr(Decider, "rehearse", lambda decider, bars: None)
    with venue_of(setting, changed(setting.config)) as ended:
        with pytest.raises(Halted, match="Start both with the same words"):
            trade_over_sockets(setting, kept, tmp_path, silent)
        served = ended()
    assert (served.steps, served.orders) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": VERSION + 1}, f"it speaks version {VERSION + 1} of the protocol"),
        ({"universe_hash": 5}, "its universe is 00000005"),
        ({"bar_ns": 1}, "its bars last 1 ns"),
    ],
)
def test_a_venue_of_another_schema_serves_nobody(setting: Setting, changes, sentence):
    config = setting.config
    with venue_of(setting, config) as ended:
        with dealer(config.runtime.endpoints.orders) as line:
            engine = SocketVenue(line, PATIENCE_S, agreed_hash=agreed_hash(config))
            with pytest.raises(Halted, match=sentence):
                engine.ask(msgspec.structs.replace(asked(setting), **changes))
        assert ended().steps == 0
