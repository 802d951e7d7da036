"""`mode=journal`: what a run has ordered, filled, denied, decided, and been."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bot4jax.config import from_yaml
from bot4jax.errors import CheckpointError, ConfigError
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_tables import export, show, tables
from bot4jax.schema import Config


def journal(config: Config) -> int:
    """Print the tables of `journal.run`, and write them where that is asked."""
    own = config.journal
    if own.run is None:
        raise ConfigError(["journal.run: mode=journal needs journal.run=FOLDER"])
    folder = Path(own.run)
    with reading(folder) as found:
        members = len(from_yaml(folder / "config.yaml").ensemble.members)
        steps = [*found.read(), *([found.end] if found.end else [])]
        told = tables(steps, found.transitions(), members)
    show(told, own.rows)
    for path in export(told, folder, own.export) if own.export else ():
        print(f"table {path}")
    return 0


@contextmanager
def reading(folder: Path) -> Iterator[Journal]:
    """A run's journal, whole and unchanged; a running engine keeps its own closed."""
    path = folder / "journal.sqlite"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} holds no journal.sqlite: name the folder of a run that traded; "
            "a replay has no journal of its own."
        )
    with closing(Journal.open(path, folder.name)) as found:
        yield found
