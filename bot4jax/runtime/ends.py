"""Which publishers have sent their last frame, each in its newest life.

One that said END and comes back in a newer epoch is waited for again; what is left of a
former life, its END included, says nothing of the new one.
"""

from bot4jax.types import Frame


class Ends:
    """Of the publishers that were heard."""

    def __init__(self) -> None:
        self._lives: dict[int, tuple[int, bool]] = {}
        """newest epoch, and whether it has ended, by publisher"""

    def hear(self, frame: Frame) -> None:
        """A frame of the stream."""
        epoch, is_ended = self._lives.get(frame.publisher, (frame.epoch, False))
        if frame.epoch >= epoch:
            goes_on = is_ended and frame.epoch == epoch
            self._lives[frame.publisher] = frame.epoch, goes_on or frame.is_end

    @property
    def are_all(self) -> bool:
        """Somebody was heard, and nobody sends anything more."""
        return bool(self._lives) and all(ended for _, ended in self._lives.values())
