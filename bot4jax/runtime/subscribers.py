"""Who subscribes to a publisher's socket: how many have come, and how many have left.

The next one may come before the last one is gone, so both are counted, whichever of
them is waited for.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import zmq

from bot4jax.errors import Halted
from bot4jax.runtime.snapshots import SnapshotDesk
from bot4jax.runtime.sockets import bound_endpoint

SUBSCRIBE, UNSUBSCRIBE = b"\x01", b"\x00"
"""First byte of what an XPUB socket receives."""

LOOK_EVERY_S = 0.1
"""How often the desk is looked at meanwhile."""


@dataclass
class Subscribers:
    """Those of one socket, as far as anybody has waited for them."""

    socket: zmq.Socket
    came: int = 0
    left: int = 0

    @property
    def present(self) -> int:
        """Subscriptions that stand."""
        return self.came - self.left

    def await_present(self, count: int, patience_s: float = math.inf) -> None:
        """Return once `count` subscriptions stand; without patience, wait for ever."""
        if not self._waited(lambda: self.present >= count, patience_s):
            raise Halted(
                f"{self.present} of {count} subscribers reached "
                f"{bound_endpoint(self.socket)} within {patience_s:g} s: start the "
                "engine, or lower runtime.subscribers."
            )

    def await_left(
        self,
        patience_s: float,
        count: int | None = None,
        desk: SnapshotDesk | None = None,
    ) -> bool:
        """Whether all have left in time, or `count` of them; what is queued is lost on
        closing.

        The desk is served meanwhile: they may still be reading.
        """

        def is_done() -> bool:
            return self.left >= (self.came if count is None else count)

        return self._waited(is_done, patience_s, desk)

    def _waited(
        self,
        is_done: Callable[[], bool],
        patience_s: float,
        desk: SnapshotDesk | None = None,
    ) -> bool:
        """Whether it is done in time, by all that subscribers have said."""
        give_up_s = time.monotonic() + patience_s
        self._hear_all(0)
        while not is_done():
            left_s = give_up_s - time.monotonic()
            if left_s <= 0:
                return False
            if desk is not None:
                desk.wait(0)
            self._hear_all(math.ceil(min(left_s, LOOK_EVERY_S) * 1e3))
        return True

    def _hear_all(self, wait_ms: int) -> None:
        """What waits: who left may have come again, and that lies behind it."""
        while self.socket.poll(wait_ms):
            self._hear(self.socket.recv())
            wait_ms = 0

    def _hear(self, message: bytes) -> None:
        """One has come or left; anything else is no word of a subscriber."""
        self.came += message[:1] == SUBSCRIBE
        self.left += message[:1] == UNSUBSCRIBE
