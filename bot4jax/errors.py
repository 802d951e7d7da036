"""What can go wrong and be told in one sentence, with the exit code that says so.

Bot4JaxError
├── ConfigError      2   the configuration has problems; all of them are listed
├── DataError        3   market data are missing or malformed
├── CheckpointError  3   a checkpoint or a run folder cannot be trusted or is missing
├── TrainingError    3   the nets learn nothing from these data
├── StorageError     3   a file cannot be written or read: of the disk, not of us
├── Halted           5   trading stopped and a person must look
└── SweepError       …   one of several runs failed; its exit code

Messages say what was found, what was expected and what to do. Anything else that
escapes is a defect of the program and keeps its traceback.
"""

from collections.abc import Sequence


class Bot4JaxError(Exception):
    """Told to the user as one message, without a traceback."""

    exit_code = 1


class ConfigError(Bot4JaxError):
    """Every problem of a configuration, each beginning with its dotted key."""

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        title = "1 problem" if count == 1 else f"{count} problems"
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{title} in the configuration:{lines}")

    def __reduce__(self) -> tuple[type, tuple[Sequence[str]]]:
        """Problems, not the message: the error crosses process boundaries whole."""
        return type(self), (self.problems,)


class DataError(Bot4JaxError):
    """Missing or malformed market data: names file, place and what was expected."""

    exit_code = 3


class CheckpointError(Bot4JaxError):
    """A checkpoint that is missing, torn, altered, or of another schema."""

    exit_code = 3


class TrainingError(Bot4JaxError):
    """Nets that learn nothing: names the layer and what to change."""

    exit_code = 3


class StorageError(Bot4JaxError):
    """What the system refuses of a file: a full disk, one that may only be read."""

    exit_code = 3


class Halted(Bot4JaxError):
    """Trading stopped itself; nothing new leaves until a person has looked."""

    exit_code = 5


class SweepError(Bot4JaxError):
    """One of several runs failed and has told why."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(exit_code)
