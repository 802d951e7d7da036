"""What a venue has heard and said, in one order, and what stands at it by that alone.

It knows orders by the requests and answers that name them. Nothing here is the
engine's: what its own books say is to be judged by it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from bot4jax.runtime.orders import (
    Ack,
    Answer,
    Fill,
    Foreign,
    Order,
    Reject,
    Replaced,
    Request,
)
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_record import Record
from bot4jax.types import BUY

ALL_BACK = 0
"""In place of a step's number: whatever rests is taken back."""


class Heard(NamedTuple):
    """A step has come to the venue, or a withdrawal; its requests follow."""

    step: int
    boundary_ns: int


Event = Heard | Request | Answer


class Story(Record):
    """A record that knows in which order requests and answers came."""

    def __init__(self, received: list[Request], answers: list[Answer]) -> None:
        self.events: list[Event] = []

    def hear(self, request: Request) -> None:
        super().hear(request)
        self.events.append(request)

    def tell(self, answer: Answer) -> None:
        super().tell(answer)
        self.events.append(answer)

    @property
    def decided(self) -> list[Request]:
        """Requests of steps, those of withdrawals left out."""
        found, step = list[Request](), ALL_BACK
        for one in self.events:
            if isinstance(one, Heard):
                step = one.step
            elif step != ALL_BACK and isinstance(one, Request):
                found.append(one)
        return found


class StoryVenue(PaperVenue):
    """The paper venue; its record is a story."""

    def __init__(self, *how: Any, **rules: Any) -> None:
        self.story = Story([], [])
        super().__init__(*how, record=self.story, **rules)

    def submit(
        self,
        requests: Sequence[Request],
        now_ns: int,
        *,
        step: int = ALL_BACK,
        is_decided: bool = True,
    ) -> None:
        self.story.events.append(Heard(step, now_ns))
        super().submit(requests, now_ns, step=step, is_decided=is_decided)


@dataclass
class Standing:
    """Orders by their id, what is left of each, and what is owned."""

    orders: dict[str, Order] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    """lots; of those that may still trade"""
    lots: dict[int, int] = field(default_factory=dict)
    """by slot"""
    unheard: set[str] = field(default_factory=set)
    """asked for or taken back before they came, and refused for ever"""

    def live(self, slot: int) -> list[tuple[Order, int]]:
        """What may still trade of an instrument, and how many lots of each."""
        own = ((self.orders[name], left) for name, left in self.left.items())
        return [(order, left) for order, left in own if order.symbol == slot]

    def held(self, slot: int) -> int:
        return self.lots.get(slot, 0)

    def follow(self, event: Event) -> None:
        """Take in one more event."""
        match event:
            case Order() if event.id not in self.unheard:
                self.orders[event.id], self.left[event.id] = event, event.lots
            case Fill():
                self.left[event.order] -= event.lots
                if not self.left[event.order]:
                    del self.left[event.order]
                signed = event.lots if event.side == BUY else -event.lots
                self.lots[event.symbol] = self.held(event.symbol) + signed
            case Replaced() if event.order in self.left:
                self.left[event.order] += event.lots - self.orders[event.order].lots
                self.orders[event.order] = _renewed(self.orders[event.order], event)
            case Ack() | Replaced() | Foreign() | Heard():
                pass
            case Reject() if event.order not in self.orders:
                self.unheard.add(event.order)
            case _ if not isinstance(event, Request):
                del self.left[event.order]


class Moment(NamedTuple):
    """A step has just come: what stands without its requests, and what came since the
    step before."""

    step: int
    standing: Standing
    since: Sequence[Event]
    requests: Sequence[Request]
    """the step's own"""


def moments(story: Story) -> Iterator[Moment]:
    """Every step of a story; `standing` is the same object, and goes on."""
    standing, since = Standing(), list[Event]()
    events = story.events
    for n, one in enumerate(events):
        if isinstance(one, Heard) and one.step != ALL_BACK:
            yield Moment(one.step, standing, since, list(_requests(events[n + 1 :])))
            since = []
        since.append(one)
        standing.follow(one)


def end(story: Story) -> Standing:
    """What stands after the last event."""
    standing = Standing()
    for one in story.events:
        standing.follow(one)
    return standing


def _requests(events: Sequence[Event]) -> Iterator[Request]:
    """Those that begin it."""
    for one in events:
        if not isinstance(one, Request):
            return
        yield one


def _renewed(order: Order, said: Replaced) -> Order:
    terms = {"lots": said.lots, "limit": said.limit, "trigger": said.trigger}
    return msgspec.structs.replace(order, **terms)
