"""The pages that name tests name such as there are, and no promise is left out."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

PAGES = ("promises.md", "security.md", "findings.md")
PROMISED = 32
NAMED = re.compile(r"`(?P<file>tests/[\w/]+\.py|…)(?:::(?P<test>\w+))?`")
NUMBERED = re.compile(r"^\| (?P<number>\d+) \|")
SECTION = "## The promises, one by one"


@cache
def functions_of(path: Path) -> frozenset[str]:
    """Functions and classes of a file, and what its machines are called."""
    found: set[str] = set()
    for one in ast.walk(ast.parse(path.read_text())):
        if isinstance(one, ast.FunctionDef | ast.ClassDef):
            found.add(one.name)
        elif isinstance(one, ast.Assign):
            found |= {name.id for name in one.targets if isinstance(name, ast.Name)}
    return frozenset(found)


def missing(project: Path, text: str) -> list[str]:
    """Tests that are named and are not there; `…` is the file named before."""
    found, file = [], ""
    for one in NAMED.finditer(text):
        file = file if one["file"] == "…" else one["file"]
        path, test = project / file, one["test"]
        if not file or not path.is_file() or (test and test not in functions_of(path)):
            found.append(one[0])
    return found


def section(text: str, heading: str) -> str:
    """What stands below a heading, down to the next one of its rank."""
    return text.split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_is_there(project, page):
    text = (project / "docs" / page).read_text()
    assert NAMED.search(text)
    assert missing(project, text) == []


def test_every_promise_is_told_of_with_its_tests(project):
    text = (project / "docs" / "promises.md").read_text()
    rows = section(text, SECTION).splitlines()
    numbered = [one for one in rows if NUMBERED.match(one)]
    numbers = [int(one.split("|")[1]) for one in numbered]
    assert numbers == list(range(1, PROMISED + 1))
    for one in numbered:
        assert NAMED.search(one.split("|")[3]), one


@pytest.mark.parametrize(
    "named",
    [
        "`tests/test_promises.py::test_that_nobody_wrote`",
        "`tests/test_of_nothing.py`",
        "`tests/test_promises.py`, `…::test_from`",
        "`…::test_whose_file_is_not_named`",
    ],
)
def test_what_is_not_there_is_seen(project, named):
    assert missing(project, named) == [named.split(", ")[-1]]
