"""A file is the old one or the new one, whenever its writer stops."""

import os

import pytest

from bot4jax import durable


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_a_writer_that_stops_leaves_the_old_file(tmp_path, monkeypatch, stage):
    path = durable.write(tmp_path / "one.json", "old")

    def refused(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, stage, refused)
        with pytest.raises(OSError, match=f"No space.*{path}"):
            durable.write(path, "new")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["one.json"]
    durable.write(path, "grüß".encode())
    assert path.read_text(encoding="utf-8") == "grüß"


@pytest.mark.parametrize("room", [0, 3])
def test_of_a_line_that_has_no_room_nothing_is_left(tmp_path, monkeypatch, room):
    """A disk that fills up takes what it has room for, and says so with the next."""
    path, write = tmp_path / "lines", os.write
    path.write_bytes(b"one\n")

    def filling(handle: int, content: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        taken, room = write(handle, bytes(content)[:room]), 0
        return taken

    handle = os.open(path, os.O_RDWR | os.O_APPEND)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", filling)
        with pytest.raises(OSError, match=f"No space.*{path}"):
            durable.append(path, handle, b"another\n")
    assert path.read_bytes() == b"one\n"
    durable.append(path, handle, b"another\n")
    os.close(handle)
    assert path.read_bytes() == b"one\nanother\n"


def test_what_a_library_says_of_the_disk_is_understood():
    """As TensorStore and Polars word it; what else they say is no fault of a disk."""
    full = durable.of_the_disk(ValueError("OUT_OF_RANGE: file 26: File too large [os"))
    assert full is not None
    assert full.errno == 27
    assert durable.of_the_disk(ValueError("OUT_OF_RANGE: index 3")) is None


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("manifest.json.4711.part", "manifest.json"),
        ("carried.sqlite.part", "carried.sqlite"),
        ("partial", "partial"),
        ("report.2026.html", "report.2026.html"),
    ],
)
def test_what_a_file_was_to_become(name, whole):
    assert durable.intended(name) == whole
