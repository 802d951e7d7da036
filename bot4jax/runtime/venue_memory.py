"""What a venue remembers of the orders that came, so that none is traded twice.

Engines number their steps, and each order names its own. Who goes on after a crash
asks about its last step, or sends it again; nobody asks for what was over `REMEMBERED`
steps ago. So that is forgotten, and an order that is not known but names so old a step
is refused: it may be one of those.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from bot4jax.runtime.orders import Answer, Order

REMEMBERED = 64
"""Steps after its end. An engine asks for an order long before (`patience`)."""


class Said(NamedTuple):
    """One answer, and the newest step by then."""

    step: int
    answer: Answer


@dataclass
class Known:
    """One order, or an id that was only asked for."""

    said: list[Said] = field(default_factory=list)
    """so far; nothing yet while it is on its way"""
    group: str = ""
    coming: int = 0
    """how many of it are on their way to the book"""
    may_rest: bool = True
    is_unheard: bool = False
    """it was asked for before it came, and is refused should it come"""
    is_outdated: bool = False
    """it was on its way when its instrument changed"""

    @property
    def answers(self) -> list[Answer]:
        return [one.answer for one in self.said]

    def is_over(self, horizon: int) -> bool:
        """Nothing was said of it since that step, and none is on its way."""
        return not self.coming and bool(self.said) and self.said[-1].step <= horizon

    def shorten(self, horizon: int) -> None:
        """Only what may be asked for yet, and the last word."""
        recent = [one for one in self.said[:-1] if one.step > horizon]
        self.said = recent + self.said[-1:]


class Memory:
    """By order id; bounded by the orders that live and those of the last steps."""

    def __init__(self) -> None:
        self.step = 0
        """the newest"""
        self.known: dict[str, Known] = {}
        self._due: deque[tuple[int, str]] = deque()
        """every id, and the step at which it was last looked at; oldest first"""

    def learn(self, name: str) -> Known:
        """What is known of an id, of which there may have been nothing yet."""
        if name not in self.known:
            self.known[name] = Known()
            self._due.append((self.step, name))
        return self.known[name]

    def note(self, answer: Answer) -> None:
        """An order that is known is answered."""
        self.known[answer.order].said.append(Said(self.step, answer))

    def is_forgotten(self, order: Order) -> bool:
        """Whether it may have come before, so long ago that nobody could tell."""
        return order.id not in self.known and order.step <= self.step - REMEMBERED

    def reach(self, step: int, is_live: Callable[[str], bool]) -> dict[str, Known]:
        """What is forgotten at this step: it was over long ago."""
        self.step = max(self.step, step)
        horizon, dropped = self.step - REMEMBERED, {}
        while self._due and self._due[0][0] <= horizon:
            _, name = self._due.popleft()
            if self.known[name].is_over(horizon) and not is_live(name):
                dropped[name] = self.known.pop(name)
                continue
            self.known[name].shorten(horizon)
            self._due.append((self.step, name))
        return dropped
