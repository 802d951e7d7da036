"""What a benchmark leaves behind: rows of quantiles, and how they came about.

One file a benchmark, preset and number of symbols:
`results/<bench>/<preset>-<symbols>.json`.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from bot4jax.errors import DataError

RESULTS = Path(__file__).parent / "results"


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Quantiles of one quantity of one stage.

    Of a rate they are taken over the times: p99 is the rate that 99 % reach.
    """

    stage: str
    impl: str = "bot4jax"
    """whose code was measured"""
    unit: str
    """ms · s · bars/s · decisions/s · orders/s · ticks/s · windows/s · GB/s ·
    GFLOP/s · faults (page faults a call) · MiB (temporary memory of one compiled
    function) · ticks, orders (a step) · decisions (of n) · ms of 100 samples · ms of
    the bank (a feature's share of one call for all) · features, features without a peer
    · symbols (that parts and peers were measured on)"""
    n: int
    """measurements"""
    warmup: int
    """steps before them that were left out"""
    p50: float
    p99: float
    p999: float
    floor: float | None = None
    """what the same machine needs at least, measured in the same run; same unit"""

    @property
    def key(self) -> tuple[str, str, str]:
        """What a row is found by."""
        return self.stage, self.impl, self.unit

    @property
    def is_rate(self) -> bool:
        """Whether more is better."""
        return self.unit.endswith("/s")


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a figure depends on; paths of the machine are left out."""

    command: str
    commit: str
    dirty: bool
    """something beside results was not committed"""
    seed: int
    cpu: str
    cores: int
    """that the machine has"""
    threads: int
    """that the run could use"""
    device: str
    python: str
    packages: dict[str, str]
    env: dict[str, str]
    load1: float
    """processes that wanted to run, mean of the minute before"""
    compile_s: dict[str, float]
    """seconds of each executable, lowered and compiled without a cache"""


class Result(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One benchmark of one preset and number of symbols."""

    schema: Literal["bot4jax.bench/1"] = "bot4jax.bench/1"
    bench: str
    preset: str
    symbols: int
    window: int
    """bars"""
    rows: tuple[Row, ...]
    ratios: dict[str, float]
    """our speed over that of others; 1 is equal, more is better"""
    manifest: Manifest

    def row(self, stage: str, unit: str, impl: str = "bot4jax") -> Row | None:
        """The row of this key, if it was measured."""
        key = (stage, impl, unit)
        return next((row for row in self.rows if row.key == key), None)


class Measured(NamedTuple):
    """What a benchmark found out."""

    rows: list[Row]
    ratios: dict[str, float]
    compile_s: dict[str, float]


def write(result: Result, folder: Path) -> Path:
    """The file that now holds the result; it replaces an earlier one whole."""
    path = folder / result.bench / f"{result.preset}-{result.symbols}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = msgspec.json.format(msgspec.json.encode(result), indent=2)
    fresh = path.with_suffix(".part")
    fresh.write_bytes(content + b"\n")
    fresh.replace(path)
    return path


def read(path: Path) -> Result:
    """The result in a file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except msgspec.MsgspecError as error:
        raise DataError(f"{path} is no result of a benchmark: {error}.") from None
