"""The signal client receives what an engine's socket sends."""

import threading

import pytest
import zmq

from bot4jax.runtime.client import SignalSilence, send_signals, subscribe
from bot4jax.runtime.messages import SIGNALS_TOPIC, Signal, Signals
from bot4jax.runtime.sockets import (
    EndpointError,
    Limits,
    bound_endpoint,
    publisher,
    subscriber,
)

ANY_PORT = "tcp://127.0.0.1:*"
PATIENCE_S = 10.0


def batch(step: int, *symbols: str) -> Signals:
    signals = [
        Signal(
            symbol=symbol,
            probability=(0.2, 0.5, 0.3),
            confidence=0.5,
            target=0.01,
            price=100.5,
        )
        for symbol in symbols
    ]
    return Signals(run="demo", step=step, boundary_ns=step, regime=1, signals=signals)


@pytest.fixture
def engine():
    with publisher(ANY_PORT, drops=True) as socket:
        yield socket


def sending(socket: zmq.Socket, *messages: list[bytes] | Signals) -> threading.Thread:
    """Send from a thread once the client has subscribed."""

    def send() -> None:
        assert socket.poll(round(PATIENCE_S * 1e3))
        assert socket.recv() == b"\x01" + SIGNALS_TOPIC
        for message in messages:
            if isinstance(message, Signals):
                send_signals(socket, message)
            else:
                socket.send_multipart(message)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_batches_arrive_as_they_were_sent(engine):
    sent = [batch(n, "BTCUSDT", "ETHUSDT") for n in range(3)]
    thread = sending(engine, *sent)
    stream = subscribe(bound_endpoint(engine), timeout_s=PATIENCE_S)
    assert [next(stream) for _ in sent] == sent
    stream.close()
    thread.join()


def test_only_the_chosen_symbols_are_kept(engine):
    thread = sending(engine, batch(1, "A", "B", "C"), batch(2, "B"), batch(3, "C"))
    endpoint = bound_endpoint(engine)
    stream = subscribe(endpoint, symbols=["A", "C"], timeout_s=PATIENCE_S)
    kept = [[one.symbol for one in next(stream).signals] for _ in range(3)]
    assert kept == [["A", "C"], [], ["C"]]
    stream.close()
    thread.join()


def test_other_topics_and_garbage_are_passed_over(engine, caplog):
    garbage = [[b"ticks", b"x"], [SIGNALS_TOPIC, b"\xc1"], [SIGNALS_TOPIC]]
    thread = sending(engine, *garbage, batch(7, "A"))
    stream = subscribe(bound_endpoint(engine), timeout_s=PATIENCE_S)
    assert next(stream).step == 7
    assert len(caplog.records) == 2
    stream.close()
    thread.join()


def test_silence_is_told_with_the_address(engine):
    endpoint = bound_endpoint(engine)
    with pytest.raises(SignalSilence, match=endpoint):
        next(subscribe(endpoint, timeout_s=0.01))


def test_an_address_outside_is_refused():
    with pytest.raises(EndpointError, match="loopback"):
        next(subscribe("tcp://192.0.2.1:5557", timeout_s=1))


def test_leaving_the_loop_closes_the_socket(engine):
    thread = sending(engine, batch(1, "A"))
    for _ in subscribe(bound_endpoint(engine), timeout_s=PATIENCE_S):
        break
    thread.join()
    assert engine.poll(round(PATIENCE_S * 1e3))
    assert engine.recv() == b"\x00" + SIGNALS_TOPIC


def test_a_slow_subscriber_never_stops_the_engine():
    """Waiting even once for it would raise `zmq.Again` after a millisecond."""
    limits = Limits(send_high_water=1, receive_high_water=1, send_timeout_ms=1)
    with zmq.Context() as context:
        endpoint = "inproc://signals"
        with (
            publisher(endpoint, limits, context, drops=True) as socket,
            subscriber(endpoint, (SIGNALS_TOPIC,), limits, context) as slow,
        ):
            assert socket.recv() == b"\x01" + SIGNALS_TOPIC
            for step in range(100):
                send_signals(socket, batch(step, "A"))
            kept = 0
            while slow.poll(10):
                slow.recv_multipart()
                kept += 1
            assert 0 < kept < 100
