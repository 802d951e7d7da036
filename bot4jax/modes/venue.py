"""`mode=venue`: a paper venue that answers whoever trades the source."""

from bot4jax.data.sources import open_source
from bot4jax.modes.spans import spans
from bot4jax.runtime.venue_process import run_venue
from bot4jax.schema import Config


def venue(config: Config) -> int:
    """Answer steps until the engine says goodbye."""
    run_venue(config, open_source(config, spans(config).bars))
    return 0
