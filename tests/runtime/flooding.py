"""Peers that nobody has asked: a process that floods an endpoint and reads no answer.

    python flooding.py ENDPOINT PEERS EACH < messages

Every peer sends its messages in turn, `EACH` of them. `begun N` is said once each has
got rid of one, `full N` once none has got rid of another for a while, `done N` when all
have left.
"""

import sys
import threading

import msgspec
import zmq

PATIENCE_MS = 1_500
"""A peer that waits longer is full."""


def main(endpoint: str, peers: int, each: int) -> None:
    """Send until all is sent, or this process is ended."""
    messages = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[list[bytes]])
    with zmq.Context() as context:
        sockets = [calling(context, endpoint) for _ in range(peers)]
        left, told = dict.fromkeys(sockets, each), set()
        poller = zmq.Poller()
        for one in sockets:
            poller.register(one, zmq.POLLOUT)

        def tell(word: str) -> None:
            if word not in told:
                print(f"{word} {peers * each - sum(left.values())}", flush=True)
                told.add(word)

        while any(left.values()):
            ready = poller.poll(PATIENCE_MS)
            if not ready:
                tell("full")
            for socket, _ in ready:
                socket.send_multipart(messages[left[socket] % len(messages)])
                left[socket] -= 1
                if not left[socket]:
                    poller.unregister(socket)
            if max(left.values()) < each:
                tell("begun")
        tell("done")
        threading.Event().wait()  # whoever leaves takes its queue along


def calling(context: zmq.Context, endpoint: str) -> zmq.Socket:
    """A DEALER whose own queues hold next to nothing."""
    socket = context.socket(zmq.DEALER)
    for option in (zmq.SNDHWM, zmq.RCVHWM):
        socket.setsockopt(option, 1)
    for option in (zmq.SNDBUF, zmq.RCVBUF):
        socket.setsockopt(option, 1 << 14)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(endpoint)
    return socket


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
