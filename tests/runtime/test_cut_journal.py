"""A journal that lost its end is a whole shorter one, or refused by name; and what it
lacks, the venue's record has."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot4jax.errors import Halted
from bot4jax.modes.trading import opened_journal, stepping
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_file import JournalError
from bot4jax.runtime.local_venue import LocalVenue
from tests.runtime.scene import RUN as RUN_OF_SCENE
from tests.runtime.scene import Scene
from tests.runtime.test_journal import (
    PAGE,
    RUN,
    cuts,
    log_of,
    record,
    same,
    written,
)

STEPS = 6


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """The file of a journal that was closed in peace."""
    path = tmp_path_factory.mktemp("whole") / "journal.sqlite"
    written(path, STEPS).close()
    assert not log_of(path).exists()
    return path.read_bytes()


def found(path: Path, content: bytes) -> int | str:
    """The last step of a journal with this content, all of it as it was; or why not."""
    path.write_bytes(content)
    try:
        journal = Journal.open(path, RUN)
    except JournalError as error:
        return str(error)
    last, steps = journal.last_step, list(journal.read())
    journal.close()
    assert [one.step for one in steps] == list(range(last + 1))
    assert all(same(one, record(one.step)) for one in steps)
    return last


def test_a_file_cut_anywhere_is_refused_by_name(whole, tmp_path):
    """Cut to nothing it is an empty one, which the venue's record contradicts; within
    its last page, which holds no row, it is whole."""
    path, unharmed = tmp_path / "journal.sqlite", []
    assert (found(path, whole), found(path, b"")) == (STEPS - 1, -1)
    for start in range(0, len(whole), PAGE):
        for length in (start, start + 17, start + PAGE // 2):
            said = found(path, whole[:length]) if length else path.name
            if path.name not in str(said):
                assert said == STEPS - 1
                unharmed.append(length)
    assert all(length > len(whole) - PAGE for length in unharmed)


@pytest.mark.parametrize("torn", [bytes(PAGE), b"\xa5" * PAGE])
def test_a_torn_page_is_refused_by_name_wherever_it_lies(whole, tmp_path, torn):
    path = tmp_path / "journal.sqlite"
    for start in range(0, len(whole), PAGE):
        said = found(path, whole[:start] + torn + whole[start + PAGE :])
        assert path.name in str(said), f"page {start // PAGE}"


def wish(step: int) -> tuple[float, float, float]:
    return 0.02 * step, -0.01 * step, 0.01 * (step % 3)


def begun(folder: Path, venue: LocalVenue) -> Scene:
    journal = opened_journal(folder, RUN_OF_SCENE, resumes=True)
    return Scene(folder, wish, venue=venue, journal=journal)


def ends(log: bytes, folder: Path, crashed: Path) -> Iterator[tuple[int, Path]]:
    """Each last step that some cut of the log leaves, and a folder of that journal."""
    seen = set[int]()
    for number, cut in enumerate(cuts(len(log))):
        own = folder / str(number)
        own.mkdir()
        path = Path(shutil.copy(crashed, own / crashed.name))
        log_of(path).write_bytes(log[:cut])
        journal = Journal.open(path, RUN_OF_SCENE)
        last = max(journal.last_step, 0)
        journal.close()
        if last not in seen:
            seen.add(last)
            yield last, own


def test_the_venues_record_tells_what_a_cut_journal_lacks(tmp_path):
    """Real files, cut at every frame of the log and within: only the whole one goes on,
    and nothing is sent from any other."""
    first = tmp_path / "first"
    first.mkdir()
    scene = begun(first, LocalVenue(Scene(tmp_path, wish).venue))
    street, venue = scene.link, scene.link.venue  # pyright: ignore
    list(stepping(scene.trader, scene.journal, map(scene.closed, range(STEPS))))
    log = log_of(first / "journal.sqlite").read_bytes()
    crashed = Path(shutil.copy(first / "journal.sqlite", tmp_path / "journal.sqlite"))
    scene.journal.close()
    sent, lacking = len(venue.record.received), []
    for last, folder in ends(log, tmp_path, crashed):
        again = begun(folder, street)
        bars = map(again.closed, range(last + 1))
        if last == STEPS:
            assert len(list(stepping(again.trader, again.journal, bars))) == STEPS + 1
            assert len(venue.record.received) > sent
        else:
            says = f"ends with step {last}, the venue's record with step {STEPS}"
            with pytest.raises(Halted, match=says):
                list(stepping(again.trader, again.journal, bars))
            assert len(venue.record.received) == sent
            lacking.append(last)
        again.journal.close()
    assert sorted(lacking) == list(range(STEPS))
