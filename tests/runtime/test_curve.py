"""Who has no right key gets nothing and is told of; who has, speaks as ever."""

import errno
import logging
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from zmq.auth import load_certificate

from bot4jax import durable, run
from bot4jax.errors import Bot4JaxError
from bot4jax.runtime import curve
from bot4jax.runtime.client import send_signals, subscribe
from bot4jax.runtime.curve import (
    LARGEST_FILE,
    Calling,
    Keyring,
    KeysError,
    key_files,
    make_keys,
    own_keys,
)
from bot4jax.runtime.messages import Signals
from bot4jax.runtime.publish import receive, serve
from bot4jax.runtime.sockets import (
    EndpointError,
    Limits,
    bound_endpoint,
    dealer,
    publisher,
    router,
    subscriber,
)
from bot4jax.runtime.subscribers import Subscribers
from bot4jax.runtime.wire import MAGIC
from bot4jax.schema.process import Endpoints
from tests.runtime.small_market import BAR_NS, MARKET, stream
from tests.small_disk import is_told, no_room

ANY_PORT = "tcp://127.0.0.1:*"
PATIENCE_MS = 20_000
NOTHING_MS = 300
"""Ten times what an allowed peer needs to be heard."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Keys of four who may connect, and of one who may not."""
    made = tmp_path_factory.mktemp("keys") / "keys"
    make_keys(made, ("feed", "engine", "venue", "client", "stranger"))
    (made / "allowed" / "stranger.key").unlink()
    return made


def ring(folder: Path, own: str) -> Keyring:
    return Keyring(str(folder), own)


@pytest.fixture
def venue(folder) -> Iterator[zmq.Socket]:
    """A router that lets in who is allowed."""
    with router(ANY_PORT, curve=ring(folder, "venue").serving) as socket:
        yield socket


def said(caplog, words: str) -> bool:
    """Whether a warning holds these words, within a while."""
    give_up_s = time.monotonic() + PATIENCE_MS / 1e3
    while time.monotonic() < give_up_s:
        warnings = [one for one in caplog.records if one.levelno == logging.WARNING]
        if any(words in one.getMessage() for one in warnings):
            return True
        time.sleep(0.005)
    return False


def test_an_allowed_key_speaks_and_is_answered(folder, venue):
    calling = ring(folder, "engine").calling("venue")
    with dealer(bound_endpoint(venue), b"engine", curve=calling) as engine:
        engine.send(b"order")
        assert venue.poll(PATIENCE_MS)
        assert venue.recv_multipart() == [b"engine", b"order"]
        venue.send_multipart([b"engine", b"ack"])
        assert engine.poll(PATIENCE_MS)
        assert engine.recv() == b"ack"
        assert venue.mechanism == engine.mechanism == zmq.CURVE


def test_an_allowed_key_hears_a_publisher(folder):
    with publisher(ANY_PORT, curve=ring(folder, "engine").serving) as source:
        batches = subscribe(
            bound_endpoint(source), timeout_s=20, keys=ring(folder, "client")
        )
        answers: list[Signals] = []
        listener = threading.Thread(target=lambda: answers.append(next(batches)))
        listener.start()
        Subscribers(source).await_present(1, 20)
        sent = Signals(run="r", step=1, boundary_ns=1, regime=0)
        send_signals(source, sent)
        listener.join(20)
        batches.close()
    assert answers == [sent]


def strangers(folder: Path) -> dict[str, tuple[Calling | None, str]]:
    """Peers with something wrong, and what is said of them."""
    known = ring(folder, "engine").calling("venue")
    assert known is not None
    unknown = ring(folder, "stranger").calling("venue")
    other = ring(folder, "engine").calling("feed")
    return {
        "unknown key": (unknown, "not in the allow-list"),
        "another server's key": (other, "does not speak CURVE with our key"),
        # Both ends see that they differ; which says so first is chance.
        "no key": (None, "Refused a peer"),
    }


@pytest.mark.parametrize("who", ["unknown key", "another server's key", "no key"])
def test_a_wrong_peer_is_not_heard_and_is_logged(folder, venue, caplog, who):
    curve, words = strangers(folder)[who]
    with dealer(bound_endpoint(venue), b"engine", curve=curve) as peer:
        peer.send(b"order")
        assert said(caplog, words)
        assert not venue.poll(NOTHING_MS)
        with pytest.raises(zmq.ZMQError, match="Host unreachable"):
            venue.send_multipart([b"engine", b"ack"])
        assert not peer.poll(0)


@pytest.mark.parametrize("who", ["unknown key", "another server's key", "no key"])
def test_a_wrong_peer_hears_nothing(folder, caplog, who):
    curve, words = strangers(folder)[who]
    with publisher(ANY_PORT, curve=ring(folder, "venue").serving) as source:
        endpoint = bound_endpoint(source)
        right = ring(folder, "engine").calling("venue")
        with (
            subscriber(endpoint, curve=curve) as wrong,
            subscriber(endpoint, curve=right) as heard,
        ):
            assert said(caplog, words)
            Subscribers(source).await_present(1, 20)
            source.send(b"ticks")
            assert heard.poll(PATIENCE_MS)
            assert not wrong.poll(NOTHING_MS)


def test_a_key_that_is_no_longer_allowed_is_refused(tmp_path, caplog):
    make_keys(tmp_path / "keys", ("venue", "engine"))
    keys = tmp_path / "keys"
    (keys / "allowed" / "engine.key").unlink()
    with router(ANY_PORT, curve=ring(keys, "venue").serving) as venue:
        calling = ring(keys, "engine").calling("venue")
        with dealer(bound_endpoint(venue), curve=calling) as engine:
            engine.send(b"order")
            assert said(caplog, "not in the allow-list")
            assert not venue.poll(NOTHING_MS)


# An allow-list with something else in it.

WHOLE = 40
"""Characters of a key."""


def key_text(key: str) -> bytes:
    return f'metadata\ncurve\n    public-key = "{key}"\n'.encode()


def public(folder: Path, name: str) -> str:
    """Somebody's public key."""
    return (folder / f"{name}.key").read_text().split('public-key = "')[1][:WHOLE]


GARBAGE = {
    "empty": (b"", "it has no line 'public-key"),
    "noise": (bytes(range(256)) * 4, "it has no line 'public-key"),
    "prose": (b"the key is under the mat\n", "it has no line 'public-key"),
    "no sign of equality": (b"public-key\n", "it has no line 'public-key"),
    "short": (key_text("rq:rM"), "its public-key has 5 characters"),
    "cut by one": (key_text("a" * 39), "its public-key has 39 characters"),
    "no Z85": (key_text("~" * WHOLE), "its public-key is no Z85"),
    "beyond 32 bits": (key_text("#" * WHOLE), "its public-key is no Z85"),
    "huge": (b"#" * (LARGEST_FILE + 1), f"it has {LARGEST_FILE + 1} bytes"),
}


@pytest.fixture
def own(tmp_path) -> Path:
    """Keys of some who may connect, which a test may spoil."""
    made = tmp_path / "keys"
    make_keys(made, ("venue", "engine", "client", "stranger"))
    (made / "allowed" / "stranger.key").unlink()
    return made


@pytest.mark.parametrize("name", GARBAGE)
def test_a_file_that_holds_no_key_stops_the_start_by_its_name(own, name):
    content, found = GARBAGE[name]
    path = own / "allowed" / "odd.key"
    path.write_bytes(content)
    with pytest.raises(KeysError) as refused:
        router(ANY_PORT, curve=ring(own, "venue").serving).__enter__()
    text = str(refused.value)
    assert f"{path} holds no key: {found}" in text
    assert f"{WHOLE} characters of Z85 were expected" in text
    assert refused.value.exit_code == 2
    told = content.decode("latin-1").replace("public-key", "").split()
    assert not any(word in text for word in told if len(word) > 4)


def test_what_is_no_file_stops_the_start_and_is_not_waited_for(own):
    os.mkfifo(own / "allowed" / "pipe.key")
    with pytest.raises(KeysError, match=r"pipe\.key holds no key: it is no file"):
        assert ring(own, "venue").serving
    (own / "allowed" / "pipe.key").unlink()
    (own / "allowed" / "gone.key").symlink_to(own / "nowhere")
    with pytest.raises(KeysError, match=r"gone\.key holds no key: it cannot be reach"):
        assert ring(own, "venue").serving


def test_hidden_files_and_other_names_are_not_looked_at(own):
    for name in (".engine.key", "engine.key~", "notes.txt"):
        (own / "allowed" / name).write_bytes(b"\0")
    names = [one.name for one in key_files(own / "allowed")]
    assert names == ["client.key", "engine.key", "venue.key"]


def answers(venue: zmq.Socket, peer: zmq.Socket, name: bytes) -> None:
    """What the peer says is heard, and it hears the answer."""
    peer.send(b"order")
    assert venue.poll(PATIENCE_MS)
    assert venue.recv_multipart() == [name, b"order"]
    venue.send_multipart([name, b"ack"])
    assert peer.poll(PATIENCE_MS)
    assert peer.recv() == b"ack"


@pytest.mark.parametrize("name", GARBAGE)
def test_a_file_without_a_key_that_comes_later_locks_nobody_out(own, caplog, name):
    """Who is connected stays so, who is allowed may come, and it is told of."""
    content, found = GARBAGE[name]
    with router(ANY_PORT, curve=ring(own, "venue").serving) as venue:
        endpoint = bound_endpoint(venue)
        known, other = (ring(own, one).calling("venue") for one in ("engine", "client"))
        with dealer(endpoint, b"engine", curve=known) as engine:
            answers(venue, engine, b"engine")
            (own / "allowed" / "a bad one.key").write_bytes(content)
            with dealer(endpoint, b"client", curve=other) as client:
                answers(venue, client, b"client")
                answers(venue, engine, b"engine")
            with dealer(endpoint, b"client", curve=other) as again:
                answers(venue, again, b"client")
    told = [one.getMessage() for one in caplog.records]
    wrong = [one for one in told if "a bad one.key" in one]
    assert len(wrong) == 1, "once, however many knock"
    assert found in wrong[0]


def test_a_key_that_is_cut_lets_in_nobody_until_it_is_whole(own, caplog):
    """A file that is being copied, for instance; who may not come yet comes then."""
    theirs, path = public(own, "stranger"), own / "allowed" / "stranger.key"
    calling = ring(own, "stranger").calling("venue")
    with router(ANY_PORT, curve=ring(own, "venue").serving) as venue:
        endpoint = bound_endpoint(venue)
        path.write_bytes(key_text(theirs[:-1]))
        with dealer(endpoint, b"stranger", curve=calling) as stranger:
            stranger.send(b"order")
            assert said(caplog, "not in the allow-list")
            assert not venue.poll(NOTHING_MS)
        path.write_bytes(key_text(theirs))
        with dealer(endpoint, b"stranger", curve=calling) as stranger:
            answers(venue, stranger, b"stranger")
        path.unlink()
        caplog.clear()
        with dealer(endpoint, b"stranger", curve=calling) as stranger:
            stranger.send(b"order")
            assert said(caplog, "not in the allow-list")
            assert not venue.poll(NOTHING_MS)


def test_a_list_that_is_gone_lets_in_nobody_and_comes_back(own, caplog):
    calling = ring(own, "engine").calling("venue")
    with router(ANY_PORT, curve=ring(own, "venue").serving) as venue:
        endpoint = bound_endpoint(venue)
        (own / "allowed").rename(own / "elsewhere")
        with dealer(endpoint, b"engine", curve=calling) as engine:
            engine.send(b"order")
            assert said(caplog, "not in the allow-list")
            assert not venue.poll(NOTHING_MS)
        (own / "elsewhere").rename(own / "allowed")
        with dealer(endpoint, b"engine", curve=calling) as engine:
            answers(venue, engine, b"engine")


def test_a_list_that_cannot_be_opened_for_a_moment_ends_nothing(
    own, caplog, monkeypatch
):
    """As when a flood of peers has used up all that may be open at once."""

    def exhausted(folder: Path) -> list[Path]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    calling = ring(own, "engine").calling("venue")
    with router(ANY_PORT, curve=ring(own, "venue").serving) as venue:
        endpoint = bound_endpoint(venue)
        with monkeypatch.context() as moment:
            moment.setattr(curve, "key_files", exhausted)
            with dealer(endpoint, b"engine", curve=calling) as engine:
                engine.send(b"order")
                assert said(caplog, "cannot be read (Too many open files)")
                assert said(caplog, "not in the allow-list")
        with dealer(endpoint, b"engine", curve=calling) as engine:
            answers(venue, engine, b"engine")


@pytest.mark.parametrize("name", GARBAGE)
def test_a_server_whose_key_is_none_is_not_called(own, name):
    content, found = GARBAGE[name]
    (own / "venue.key").write_bytes(content)
    with pytest.raises(KeysError) as refused:
        ring(own, "engine").calling("venue")
    assert f"venue.key holds no key: {found}" in str(refused.value)


# Beyond loopback.


@pytest.mark.parametrize("maker", [publisher, router])
def test_all_interfaces_are_bound_only_with_keys(folder, maker):
    with pytest.raises(EndpointError, match="without CURVE keys"):
        maker("tcp://0.0.0.0:*").__enter__()
    with maker("tcp://0.0.0.0:*", curve=ring(folder, "feed").serving) as socket:
        port = bound_endpoint(socket).rsplit(":", 1)[1]
        assert int(port) > 0


@pytest.mark.parametrize("maker", [subscriber, dealer])
def test_other_machines_are_called_only_with_keys(folder, maker):
    away = "tcp://192.0.2.1:5555"
    with pytest.raises(EndpointError, match="without CURVE keys"):
        maker(away).__enter__()
    with maker(away, curve=ring(folder, "engine").calling("feed")) as socket:
        assert bound_endpoint(socket) == away


def test_names_stay_refused_with_keys(folder):
    with pytest.raises(EndpointError):
        dealer(
            "tcp://localhost:5555", curve=ring(folder, "engine").calling("feed")
        ).__enter__()


def test_limits_hold_behind_keys(folder):
    limits = Limits(largest_message=1_000)
    serving, calling = (
        ring(folder, "venue").serving,
        ring(folder, "engine").calling("venue"),
    )
    with (
        router(ANY_PORT, limits=limits, curve=serving) as venue,
        dealer(bound_endpoint(venue), curve=calling) as engine,
    ):
        engine.send(bytes(2_000))
        assert not venue.poll(NOTHING_MS)
        engine.send(bytes(500))
        assert venue.poll(PATIENCE_MS)
        assert len(venue.recv_multipart()[1]) == 500


def test_a_feed_serves_a_whole_stream_behind_keys(folder, tmp_path):
    names = Endpoints.__struct_fields__
    ends = Endpoints(**{name: f"ipc://{tmp_path}/{name}" for name in names})
    frames = stream()
    market: Any = SimpleNamespace(
        universe=MARKET,
        has_ticks=True,
        bar_ns=BAR_NS,
        start_ns=0,
        frames=lambda first, stop: iter(frames),
    )
    feed = ring(folder, "feed")
    thread = threading.Thread(target=serve, args=(market, 0, 8, ends, 1, 0.0, feed))
    thread.start()
    calling = ring(folder, "engine").calling("feed")
    with subscriber(ends.ticks, (MAGIC,), curve=calling) as sink:
        got = [one.frame for one in receive(sink, MARKET.hash, 20)]
    thread.join(20)
    assert [one.sequence for one in got[:-1] if one] == [one.sequence for one in frames]


# Keys on disk.


def test_secrets_are_private_from_the_first_moment(folder):
    for path in folder.iterdir():
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_keys_that_are_there_stay(tmp_path):
    keys = tmp_path / "keys"
    assert len(make_keys(keys, ("feed",))) == 2
    before = (keys / "feed.key_secret").read_bytes()
    made = make_keys(keys, ("feed", "venue"))
    assert [one.name for one in made] == ["venue.key", "venue.key_secret"]
    assert (keys / "feed.key_secret").read_bytes() == before


@pytest.mark.parametrize("place", ["feed.key", "allowed/feed.key"])
def test_the_public_key_of_another_machine_stays(tmp_path, capsys, place):
    """As where a venue's machine makes its own keys after the feed's were copied there:
    another public key in that place, and nobody would hear the feed any more."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    make_keys(theirs, ("feed",))
    (ours / "allowed").mkdir(parents=True)
    (ours / place).write_bytes((theirs / "feed.key").read_bytes())
    words = ["mode=keys", f"keys.folder={ours}", "keys.names=[feed,venue]"]
    assert run.main(words) == 0
    printed = capsys.readouterr().out.splitlines()
    assert (ours / place).read_bytes() == (theirs / "feed.key").read_bytes()
    assert [one for one in ours.rglob("feed*")] == [ours / place]
    assert (ours / "venue.key_secret").exists()
    assert printed[-2].startswith(f"left {ours}/feed.key: its secret is elsewhere")


def test_a_pair_that_was_cut_off_is_made_anew(tmp_path, monkeypatch):
    """Half of it would be left alone run after run, as another machine's."""
    write = durable.write

    def full(path: Path, content: bytes) -> Path:
        with no_room(0 if path.name == "feed.key_secret" else 1_000):
            return write(path, content)

    for stage in (no_room(100), monkeypatch.context()):
        with stage as patch:
            if patch is not None:
                patch.setattr(durable, "write", full)
            with pytest.raises(OSError, match="large") as told:
                make_keys(tmp_path, ("feed",))
        assert is_told(told.value, tmp_path)
        assert [one.name for one in tmp_path.rglob("*")] == ["allowed"]
    assert len(make_keys(tmp_path, ("feed",))) == 2
    (allowed,) = (tmp_path / "allowed").iterdir()
    assert own_keys(tmp_path, "feed")[0] == load_certificate(allowed)[0]


@pytest.mark.parametrize(("place", "mode"), [("feed.key_secret", 0o640), (".", 0o711)])
def test_a_secret_that_others_can_reach_is_refused(tmp_path, place, mode):
    keys = tmp_path / "keys"
    make_keys(keys, ("feed",))
    (keys / place).chmod(mode)
    with pytest.raises(KeysError, match=rf"has mode {mode:04o}, expected 0\d00"):
        ring(keys, "feed")


def test_two_keys_that_are_no_pair_are_refused(tmp_path):
    """CURVE would be silent, and the feed or the venue seem so."""
    make_keys(tmp_path, ["engine", "venue"])
    path = tmp_path / "engine.key_secret"
    theirs = load_certificate(tmp_path / "venue.key")[0]
    ours = load_certificate(path)[0]
    path.write_bytes(path.read_bytes().replace(ours, theirs))
    with pytest.raises(KeysError, match="no pair"):
        ring(tmp_path, "engine")


def test_what_is_missing_is_named(tmp_path):
    keys = tmp_path / "keys"
    make_keys(keys, ("feed",))
    with pytest.raises(KeysError, match=r"engine\.key_secret holds no key"):
        ring(keys, "engine")
    with pytest.raises(KeysError, match=r"venue\.key holds no key"):
        ring(keys, "feed").calling("venue")
    (keys / "feed.key_secret").write_bytes((keys / "feed.key").read_bytes())
    with pytest.raises(KeysError, match="holds no secret key"):
        ring(keys, "feed")
    assert issubclass(KeysError, Bot4JaxError)


def test_the_command_makes_keys_and_prints_no_secret(tmp_path, capsys):
    keys = tmp_path / "keys"
    words = ["mode=keys", f"keys.folder={keys}", "keys.names=[feed,engine]"]
    assert run.main(words) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == f"keys {keys}"
    for path in keys.glob("*.key_secret"):
        secret = path.read_text().split('secret-key = "')[1].split('"')[0]
        assert len(secret) == 40
        assert secret not in printed
    assert run.main(["mode=keys"]) == 2
    assert "keys.folder" in capsys.readouterr().err
