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
        with pytest.raises(OSError, match="No space"):
            durable.write(path, "new")
    assert path.read_text() == "old"
    left = {one.name for one in tmp_path.iterdir()}
    assert {durable.intended(name) for name in left} == {"one.json"}
    durable.write(path, "grüß".encode())
    assert path.read_text(encoding="utf-8") == "grüß"


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
