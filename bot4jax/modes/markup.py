"""The pieces that every section of a report is made of."""

from collections.abc import Iterable, Sequence
from typing import Any

from bot4jax.learn import student
from bot4jax.learn.bootstrap import Interval
from bot4jax.learn.evaluate import PRIOR, RECENT
from bot4jax.learn.pairs import LEAST_CHANCE
from bot4jax.modes import plots
from bot4jax.modes.story import Story


def interval(one: Interval, times: float, form: str, is_known: bool = True) -> str:
    """A figure and its interval, where that is known, in another unit."""
    value, low, high = (f"{times * x:{form}}" for x in one)
    return f"{value} [{low}, {high}]" if is_known else value


def section(title: str) -> str:
    return f"<h2>{title}</h2>"


def subsection(title: str) -> str:
    return f"<h3>{title}</h3>"


def paragraph(text: str) -> str:
    return f"<p>{text}</p>"


def figure(story: Story, draw: Any, *arguments: Any, caption: str = "") -> str:
    """A picture with a caption."""
    drawn = plots.drawn(story.market.simulated, draw, *arguments)
    return f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>"


def folded(title: str, content: str) -> str:
    """Content that opens on a click; nothing where there is none."""
    if not content:
        return ""
    return f"<details><summary>{title}</summary>{content}</details>"


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Any]], text_from: int = 99
) -> str:
    """A table, or nothing without rows; columns from `text_from` on are prose."""
    body = "".join(_row("td", row, text_from) for row in rows)
    head = _row("th", heads, text_from) if any(heads) else ""
    return f'<div class="wide"><table>{head}{body}</table></div>' if body else ""


def _row(kind: str, cells: Sequence[Any], text_from: int) -> str:
    prose = f'{kind} class="text"'
    told = (
        f"<{prose if i >= text_from else kind}>{cell}</{kind}>"
        for i, cell in enumerate(cells)
    )
    return f"<tr>{''.join(told)}</tr>"


def with_error(
    value: float, error: float, degrees: float, is_known: bool = True
) -> str:
    """A difference and its 95 % interval, where that is known; – where there is nothing
    to differ from."""
    if value != value:
        return "–"
    side = student.reach(degrees) * error
    is_known &= side == side  # of a bar or two nobody knows an error
    return f"{value:+.1f} ± {side:.1f}" if is_known else f"{value:+.1f}"


def with_t(value: float, t: float, p: float) -> str:
    """A coefficient, its t and p values; a forecaster that never varies has none, and
    a bar or two have no error."""
    if t != t:
        return number(value)
    return f"{value:.3f} ({t:.1f}; {chance(p)})" if value == value else "–"


def chance(p: float) -> str:
    """A p value, no smaller than any that is told."""
    return f"≤ {LEAST_CHANCE:g}" if p <= LEAST_CHANCE else f"{p:.2g}"


def percent(share: float) -> str:
    """A share in hundredths."""
    return f"{100 * share:.3f}"


def ratio(value: float | None) -> str:
    """A ratio, or a dash where there is none."""
    return "–" if value is None else f"{value:.2f}"


def even(multiple: float | None) -> str:
    """How many times the cost could have been paid; none where all was lost before."""
    return "none" if multiple is not None and multiple <= 0 else ratio(multiple)


def number(value: float, digits: int = 3) -> str:
    """A figure, or a dash where it is not defined."""
    return f"{value:.{digits}f}" if value == value else "–"


def shown(name: str) -> str:
    """A forecaster's name as its reader sees it."""
    own = {PRIOR: " (always flat)", RECENT: " (always flat, of late)"}
    return name.replace("_", " ") + own.get(name, "")
