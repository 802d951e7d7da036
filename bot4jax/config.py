"""From the command line's words to a `Config`: compose, then check everything at once.

Hydra composes the groups of `conf/` untyped, since it would stop at the first unknown
key; `validation` then names every problem. Importing and using this file takes well
under a second: neither it nor what it imports knows JAX.
"""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from bot4jax.errors import CheckpointError, ConfigError
from bot4jax.schema import Config
from bot4jax.validation import Problems, checked
from bot4jax.words import conf_folder, rewritten

HYDRA_VERSION_BASE = "1.3"

ADOPTING = ("demo", "backtest", "live")
"""modes that begin with what `run.model` was fitted with"""

IRRELEVANT = (
    ("run", "name"),
    ("run", "root"),
    ("run", "fresh"),
    ("run", "sweep"),
    ("run", "jobs"),
    ("runtime", "endpoints"),
    ("runtime", "foreign"),
    ("catalogue", "write"),
    ("train", "checkpoint_every"),
    ("train", "samples"),
    ("hardware", "process"),
    ("hardware", "coordinator"),
    ("keys", "folder"),
    ("keys", "names"),
    *(("control", key) for key in ("do", "reason", "seconds")),
    *(("journal", key) for key in ("run", "rows", "export")),
)
"""Keys that say where and under which name, not what comes out.

`runtime.foreign` is among them since a run that it halted goes on with the other word.
"""


def load(overrides: Sequence[str] = ()) -> Config:
    """The configuration that these words compose to, or all its problems."""
    words, problems = rewritten(overrides)
    tree, failed = _composed(words)
    config, found = checked(tree) if tree is not None else (None, [])
    anew = [one for one in found if not _is_told(one, problems)]
    return _sound(config, [*problems, *failed, *anew])


def validate(tree: Mapping[str, Any]) -> Config:
    """The configuration in a plain tree, for one that Hydra has composed already."""
    return _sound(*checked(tree))


def said(config: Config, words: Sequence[str]) -> set[str]:
    """Keys that a command said: named by a word, or with another value than the
    program's own, by whatever word that came."""
    own, usual = (leaves(msgspec.to_builtins(one)) for one in (config, load()))
    named = tuple(word.lstrip("+~").partition("=")[0] for word in words)
    return {
        key
        for key, value in own.items()
        if key not in usual
        or value != usual[key]
        or any(f"{key}.".startswith(f"{name}.") for name in named)
    }


def leaves(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Values by their whole key."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{above}{name}"
        found |= leaves(value, f"{key}.") if isinstance(value, dict) else {key: value}
    return found


def config_hash(config: Config) -> str:
    """16 hex digits that are equal when, and only when, results should be."""
    canonical = msgspec.json.encode(_relevant(config), order="sorted")
    return hashlib.sha256(canonical).hexdigest()[:16]


def differing(former: Config, own: Config) -> list[str]:
    """Keys by which results may differ, with both values."""
    before, after = (leaves(_relevant(one)) for one in (former, own))
    return [
        f"{key} was {before.get(key)} and is {after.get(key)}"
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]


def _relevant(config: Config) -> dict[str, Any]:
    """What results depend on."""
    tree = msgspec.to_builtins(config)
    for section, key in IRRELEVANT:
        del tree[section][key]
    return tree


def agreed_hash(config: Config) -> int:
    """What engine and venue must have read alike: the market, how the venue trades it,
    and which ticks are of the future. Where files lie is each one's own; what is in
    them, of measured latencies, is not compared."""
    data, venue = (msgspec.to_builtins(own) for own in (config.data, config.venue))
    del data["path"]
    venue = {key: value for key, value in venue.items() if not key.endswith("_file")}
    agreed = data, venue, config.runtime.skew_limit_ms
    return zlib.crc32(msgspec.json.encode(agreed, order="sorted"))


def run_folder(config: Config) -> Path:
    """Where this run keeps its record: `<root>/<name>`."""
    name = config.run.name or f"{config.mode}-{config.data.source}"
    return Path(config.run.root) / name


def expect_runs(config: Config) -> None:
    """The runs that the mode begins by reading are there: for before all that takes
    seconds."""
    mode, model = config.mode, config.run.model
    if mode in ADOPTING and model is not None:
        expect_configuration(Path(model) / "config.yaml")
    if mode == "replay" and config.replay.run is not None:
        expect_configuration(Path(config.replay.run) / "config.yaml")
    read = {"journal": config.journal, "explain": config.explain}
    read |= {"replay": config.replay}
    if mode in read and (journaled := read[mode].run) is not None:
        expect_journal(Path(journaled))


def expect_journal(folder: Path) -> Path:
    """The journal of a run; raises `CheckpointError` where there is none."""
    path = folder / "journal.sqlite"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} holds no journal.sqlite: name the folder of a run that traded; "
            "a replay has no journal of its own."
        )
    return path


def expect_configuration(path: Path) -> None:
    """Raises `ConfigError` where a run has written none."""
    if not path.is_file():
        wanted = "name the folder of a run, such as runs/demo-simulator"
        raise ConfigError([f"{path.parent}: holds no {path.name}; {wanted}"])


def to_yaml(config: Config) -> str:
    """The whole configuration as it is written into a run's folder."""
    return OmegaConf.to_yaml(OmegaConf.create(msgspec.to_builtins(config)))


def from_yaml(path: Path) -> Config:
    """The configuration that a run has written into its folder."""
    expect_configuration(path)
    try:
        tree = plain(OmegaConf.load(path))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(
            [f"{path}: cannot be read as a configuration: {error}"]
        ) from None
    if not isinstance(tree, dict):
        raise ConfigError([f"{path}: expected sections with keys, found {tree!r}"])
    return validate(tree)


def plain(node: Any) -> Any:
    """Dictionaries and lists of what Hydra composed, references resolved.

    A reference that leads nowhere stays as its text, for `validation` to name.
    """
    if isinstance(node, DictConfig):
        return {str(key): _resolved(node, key) for key in node}
    if isinstance(node, ListConfig):
        return [_resolved(node, index) for index in range(len(node))]
    return node


def _sound(config: Config | None, problems: Problems) -> Config:
    if config is None or problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return config


def _composed(words: Sequence[str]) -> tuple[Any, Problems]:
    try:
        with initialize_config_dir(str(conf_folder()), version_base=HYDRA_VERSION_BASE):
            return plain(compose("config", list(words))), []
    except (HydraException, OmegaConfBaseException) as error:
        return None, [str(error).strip().splitlines()[0]]


def _resolved(node: DictConfig | ListConfig, key: Any) -> Any:
    try:
        return plain(node[key])
    except OmegaConfBaseException:
        raw: Any = OmegaConf.to_container(node, resolve=False)
        return raw[key]


def _is_told(problem: str, before: Problems) -> bool:
    """Whether it is about a key whose word is refused already: what was meant by that
    is not known."""
    key = problem.partition(":")[0]
    known = (f"{key}:", f"{key}=")
    return any(one.lstrip("+").startswith(known) for one in before)
