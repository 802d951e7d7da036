"""Training's scalars as TensorBoard would read them: records with checksums."""

import struct
import subprocess
import sys

from tensorboardX.crc32c import crc32c
from tensorboardX.proto import event_pb2

from bot4jax.runtime.events import events


def records(path):
    """TFRecord: length, its masked checksum, content, its masked checksum."""
    content, at = path.read_bytes(), 0
    while at < len(content):
        head = content[at : at + 8]
        (size,) = struct.unpack("<Q", head)
        body = content[at + 12 : at + 12 + size]
        for part, place in ((head, at + 8), (body, at + 12 + size)):
            (stated,) = struct.unpack("<I", content[place : place + 4])
            crc = crc32c(part)
            assert stated == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32
        yield body
        at += 16 + size


def scalars(folder):
    """`(update, name) → value`, and where each file says that earlier ones end."""
    found, purged = {}, []
    for path in sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns):
        for body in records(path):
            event = event_pb2.Event.FromString(body)  # pyright: ignore
            if event.HasField("session_log"):
                purged.append(event.step)
            for value in event.summary.value:
                found[event.step, value.tag] = value.simple_value
    return found, purged


def test_every_value_is_read_back(tmp_path):
    with events(tmp_path / "events") as log:
        log(1, {"loss/lstm": 1.5, "norm": 0.25})
        log(2, {"loss/lstm": 1.25, "norm": float("nan")})
    found, _ = scalars(tmp_path / "events")
    assert found[1, "loss/lstm"] == 1.5
    assert found[2, "loss/lstm"] == 1.25
    assert found[2, "norm"] != found[2, "norm"]
    assert len(found) == 4


def test_nothing_is_written_before_the_first_update(tmp_path):
    with events(tmp_path / "events"):
        pass
    assert not (tmp_path / "events").exists()


def test_a_fit_that_goes_on_takes_back_what_it_tells_again(tmp_path):
    with events(tmp_path) as log:
        for update in (1, 2, 3):
            log(update, {"norm": 1.0})
    with events(tmp_path) as log:
        log(3, {"norm": 2.0})
    found, purged = scalars(tmp_path)
    assert purged[-1] == 3
    assert found == {(1, "norm"): 1.0, (2, "norm"): 1.0, (3, "norm"): 2.0}


def test_a_full_disk_is_told_and_holds_nobody_up(tmp_path):
    """A thread that has died of it would be waited for without an end. In a process of
    its own, for tensorboardX leaves a file open that it cannot close."""
    code = (
        "import pathlib, sys\n"
        "from bot4jax.runtime.events import events\n"
        "from tests.small_disk import is_told, no_room\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "try:\n"
        "    with no_room(5_000), events(folder) as log:\n"
        "        for update in range(1_000):\n"
        "            log(update, {'norm': 1.0})\n"
        "except OSError as error:\n"
        "    print(update, is_told(error, folder))"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    update, told = done.stdout.split()
    assert 10 < int(update) < 999, done.stderr
    assert told == "True", done.stderr


def test_whoever_starts_does_not_wait_for_the_writer():
    """It imports PyTorch wherever that is installed."""
    code = "import sys, bot4jax.modes.demo; print('tensorboardX' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False"], done.stderr
