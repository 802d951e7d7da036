"""Tables as the pages of `docs/` hold them."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A head and rows below it."""
    return "\n".join(map(cells, [head, ["---"] * len(head), *rows]))


def cells(own: Iterable[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(own)} |"


def told(value: float | None, unit: str) -> str:
    """A value with its unit; a dash where there is none."""
    return "–" if value is None else f"{value:,.6g} {unit}"
