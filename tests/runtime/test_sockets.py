"""Sockets stay on this machine, have bounds, and are closed by their opener."""

import gc
import subprocess
import sys
import warnings

import pytest
import zmq

from bot4jax.runtime.sockets import (
    EndpointError,
    Limits,
    bound_endpoint,
    check_endpoint,
    dealer,
    publisher,
    router,
    subscriber,
)

ANY_PORT = "tcp://127.0.0.1:*"
PATIENCE_MS = 20_000


def received(socket: zmq.Socket) -> list[bytes]:
    assert socket.poll(PATIENCE_MS), "nothing arrived"
    return socket.recv_multipart()


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://127.0.0.1:5555",
        "tcp://127.255.3.4:*",
        "tcp://[::1]:5555",
        "ipc:///run/ticks",
        "inproc://ticks",
    ],
)
def test_loopback_passes(endpoint):
    assert check_endpoint(endpoint) == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://0.0.0.0:5555",
        "tcp://*:5555",
        "tcp://10.0.0.1:5555",
        "tcp://128.0.0.1:5555",
        "tcp://[::]:5555",
        "tcp://[::ffff:10.0.0.1]:5555",
        "tcp://localhost:5555",
        "tcp://eth0:5555",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0;10.0.0.1:5555",
        "tcp://127.0.0.1.example.org:5555",
        "udp://127.0.0.1:5555",
        "ws://127.0.0.1:5555",
        "ipc://",
        "127.0.0.1:5555",
        "",
    ],
)
@pytest.mark.parametrize("maker", [subscriber, publisher, dealer, router])
def test_everything_else_is_refused(maker, endpoint):
    with (
        pytest.raises(EndpointError, match="stay on the"),
        maker(endpoint),
    ):
        pass


@pytest.mark.parametrize("maker", [subscriber, publisher, dealer, router])
def test_every_limit_is_set(maker):
    limits = Limits(7, 8, 90, 0, 1_000)
    with maker("inproc://limits", limits=limits) as socket:
        found = [
            socket.getsockopt(option)
            for option in (
                zmq.SNDHWM,
                zmq.RCVHWM,
                zmq.SNDTIMEO,
                zmq.LINGER,
                zmq.MAXMSGSIZE,
            )
        ]
    assert found == list(limits)


def test_a_publisher_hears_every_subscriber_come_and_go():
    with publisher(ANY_PORT) as source:
        endpoint = bound_endpoint(source)
        with subscriber(endpoint, (b"a",)) as first:
            assert received(source) == [b"\x01a"]
            with subscriber(endpoint, (b"a",)):
                assert received(source) == [b"\x01a"]
            assert received(source) == [b"\x00a"]
            source.send_multipart([b"b", b"not for you"])
            source.send_multipart([b"a", b"for you"])
            assert received(first) == [b"a", b"for you"]
        assert received(source) == [b"\x00a"]


def test_orders_go_to_the_router_and_answers_come_back():
    with (
        router(ANY_PORT) as venue,
        dealer(bound_endpoint(venue), b"engine") as engine,
    ):
        engine.send(b"order")
        assert received(venue) == [b"engine", b"order"]
        venue.send_multipart([b"engine", b"ack"])
        assert received(engine) == [b"ack"]
        with pytest.raises(zmq.ZMQError, match="Host unreachable"):
            venue.send_multipart([b"stranger", b"ack"])


def test_ipv6_loopback_works():
    try:
        with publisher("tcp://[::1]:*") as source:
            assert bound_endpoint(source).startswith("tcp://[::1]:")
    except EndpointError as error:
        pytest.skip(f"this machine has no IPv6: {error}")


def test_a_giant_message_never_arrives():
    limits = Limits(largest_message=1_000)
    with (
        router(ANY_PORT, limits=limits) as venue,
        dealer(bound_endpoint(venue)) as engine,
    ):
        engine.send(bytes(1_001))
        assert not venue.poll(200)
        engine.send(bytes(1_000))
        assert len(received(venue)[1]) == 1_000


def test_a_full_queue_is_an_error_not_a_loss():
    limits = Limits(send_high_water=1, receive_high_water=1, send_timeout_ms=1)
    with zmq.Context() as context:
        endpoint = "inproc://full"
        with (
            publisher(endpoint, limits, context) as source,
            subscriber(endpoint, (b"",), limits, context) as slow,
        ):
            received(source)
            for frame in (b"sent", b"queued"):
                source.send(frame)
            with pytest.raises(zmq.Again):
                source.send(b"too many")
            assert [slow.recv(), slow.recv()] == [b"sent", b"queued"]


def test_a_taken_port_is_named():
    with publisher(ANY_PORT) as source:
        taken = bound_endpoint(source)
        with pytest.raises(EndpointError, match=taken), router(taken):
            pass


@pytest.mark.parametrize("maker", [publisher, router])
def test_a_file_that_somebody_listens_at_is_nobody_else_s(tmp_path, maker):
    """The library would remove it, and the first would never be heard again."""
    endpoint = f"ipc://{tmp_path}/orders"
    with router(endpoint) as first:
        with pytest.raises(EndpointError, match="another process"), maker(endpoint):
            pass
        with dealer(endpoint, b"engine") as engine:
            engine.send(b"order")
            assert received(first) == [b"engine", b"order"]


def test_a_socket_s_file_that_was_left_behind_is_taken_over(tmp_path):
    endpoint = f"ipc://{tmp_path}/orders"
    dies = "import os,sys,zmq; zmq.Context().socket(zmq.ROUTER).bind(sys.argv[1])"
    command = [sys.executable, "-c", f"{dies}; os._exit(0)", endpoint]
    subprocess.run(command, check=True)
    assert (tmp_path / "orders").is_socket()
    with router(endpoint) as venue, dealer(endpoint, b"engine") as engine:
        engine.send(b"order")
        assert received(venue) == [b"engine", b"order"]


@pytest.mark.parametrize("is_link", [True, False])
def test_no_other_file_is_removed_to_listen_in_its_place(tmp_path, is_link):
    other, place = tmp_path / "journal.sqlite", tmp_path / "place"
    other.write_text("precious")
    if is_link:
        place.symlink_to(other)
    else:
        place = other
    with (
        pytest.raises(EndpointError, match="another file"),
        router(f"ipc://{place}"),
    ):
        pass
    assert (place.is_symlink(), other.read_text()) == (is_link, "precious")


@pytest.mark.parametrize("maker", [subscriber, publisher, dealer, router])
def test_nothing_stays_open_after_an_error(maker):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError), maker("inproc://leak") as socket:
            raise RuntimeError
        assert socket.closed
        gc.collect()
