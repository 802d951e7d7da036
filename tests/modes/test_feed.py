"""`mode=feed` sends exactly the bars of the test span."""

import subprocess
import sys
import threading

from bot4jax.config import load
from bot4jax.data.sources import open_source
from bot4jax.modes.feed import feed
from bot4jax.modes.spans import spans
from bot4jax.runtime.publish import receive
from bot4jax.runtime.sockets import subscriber
from bot4jax.runtime.wire import MAGIC


def test_the_test_span_arrives_whole(tmp_path):
    endpoint = f"ipc://{tmp_path}/ticks"
    config = load(
        [
            *("mode=feed", "debug=tiny", "data.symbols=3", "spans.test=20"),
            *("runtime.speed=0", "runtime.subscribers=1"),
            f"runtime.endpoints.ticks={endpoint}",
            f"runtime.endpoints.snapshots=ipc://{tmp_path}/snapshots",
        ]
    )
    split = spans(config)
    source = open_source(config, split.bars)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(feed(config)))
    thread.start()
    with subscriber(endpoint, (MAGIC,)) as socket:
        arrived = list(receive(socket, source.universe.hash, timeout_s=60))
    thread.join(60)
    expected = list(source.frames(split.test.start, split.test.stop))
    got = [one.frame for one in arrived if one.frame is not None]
    assert codes == [0]
    assert [one[:4] for one in got[:-1]] == [one[:4] for one in expected]
    assert [one.records.tobytes() for one in got[:-1]] == [
        one.records.tobytes() for one in expected
    ]
    assert got[-1].sent_ns == source.start_ns + split.test.stop * source.bar_ns


STARTED = """
import sys
from bot4jax.config import load
from bot4jax.data.sources import open_source
from bot4jax.modes import children, feed, venue
from bot4jax.modes.spans import spans

split = spans(config := load(["debug=tiny"]))
source = open_source(config, split.bars)
assert sum(1 for _ in source.frames(split.test.start, split.test.start + 2))
print(sorted({"flax", "jax", "polars"} & set(sys.modules)))
"""


def test_a_feed_and_a_venue_start_without_jax():
    """Nor Polars, where no file is read; what they import is most of their start."""
    done = subprocess.run(
        [sys.executable, "-c", STARTED], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
