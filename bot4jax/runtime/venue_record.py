"""What a venue has received and answered: the judge in tests, or nothing."""

from typing import NamedTuple

from bot4jax.runtime.orders import Answer, Fill, Request


class Record(NamedTuple):
    """Everything the venue received and answered, in order: the judge in tests."""

    received: list[Request]
    answers: list[Answer]

    def hear(self, request: Request) -> None:
        self.received.append(request)

    def tell(self, answer: Answer) -> None:
        self.answers.append(answer)

    @property
    def fills(self) -> list[Fill]:
        return [one for one in self.answers if isinstance(one, Fill)]


class NoRecord(Record):
    """Of a venue that may run for days."""

    def hear(self, request: Request) -> None:
        """Nothing is kept."""

    def tell(self, answer: Answer) -> None:
        """Nothing is kept."""
