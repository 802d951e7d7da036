"""`mode=feed`: the unseen bars of a source, sent to whoever trades them."""

from bot4jax.data.sources import open_source
from bot4jax.modes.spans import spans
from bot4jax.runtime.curve import Keyring
from bot4jax.runtime.publish import serve
from bot4jax.schema import Config


def feed(config: Config) -> int:
    """Publish the ticks of the test span, and leave after the subscribers have."""
    split, runtime = spans(config), config.runtime
    source = open_source(config, split.bars)
    serve(
        source,
        split.test.start,
        split.test.stop,
        runtime.endpoints,
        runtime.subscribers,
        runtime.speed,
        Keyring(config.keys.folder, "feed"),
    )
    return 0
