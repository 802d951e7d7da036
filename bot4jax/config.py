"""From the command line's words to a `Config`: compose, then check everything at once.

Hydra composes the groups of `conf/` untyped, since it would stop at the first unknown
key; `validation` then names every problem. Importing and using this file takes well
under a second: neither it nor what it imports knows JAX.
"""

import difflib
import hashlib
import math
import os
import shlex
import typing
import zlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Transformer
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from bot4jax.errors import CheckpointError, ConfigError
from bot4jax.schema import Config
from bot4jax.schema.modes import Mode
from bot4jax.validation import Problems, checked, is_known, unknown_key

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


LAUNCHERS = {
    "joblib": "hydra-joblib-launcher",
    "slurm": "hydra-submitit-launcher",
    "ray": "hydra-ray-launcher",
}
"""Options of `conf/sweep` and the package that starts jobs so."""

APART = ("sweep=slurm", "hydra/launcher=submitit")
"""Words of launchers that start a process for each job."""


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


def conf_folder() -> Path:
    """`conf/` beside the package in a checkout, inside it in a built wheel."""
    package = Path(__file__).resolve().parent
    for folder in (package.parent / "conf", package / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise ConfigError(
        [f"conf: not found beside or inside {package}; reinstall bot4jax"]
    )


def groups() -> dict[str, tuple[str, ...]]:
    """Groups of `conf/` with their options."""
    folders = sorted(path for path in conf_folder().iterdir() if path.is_dir())
    return {
        folder.name: tuple(sorted(path.stem for path in folder.glob("*.yaml")))
        for folder in folders
    }


def rewritten(
    overrides: Sequence[str], *, sweep: bool = False
) -> tuple[list[str], Problems]:
    """Words that Hydra can compose, and what is wrong with the others.

    `key=value` becomes `++key=value`: Hydra's own refusal would hide later problems.
    `sweep` allows several values, as in `run.seed=1,2`.
    """
    parser, known = OverridesParser.create(), groups()
    words, problems = [], []
    is_apart = any(text.startswith(APART) for text in overrides)
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException:
            problems.append(_unreadable(text))
            continue
        if problem := _problem_of(override, known, sweep, is_apart):
            problems.append(problem)
        else:
            words.append(_forced(override.key_or_group, text, known))
    return words, problems


def announced(words: Sequence[str]) -> list[str]:
    """Words that tell every job of a sweep which one it is of, and of how many jobs.

    What is to be tried is known before the first result: whoever is lucky early is
    charged for all the same. A sweep that goes on after a kill is the same one, whoever
    starts its jobs.
    """
    own = [word for word in words if not word.startswith(("hydra", "sweep="))]
    name = hashlib.sha256("\0".join(sorted(own)).encode()).hexdigest()[:16]
    return [f"++run.sweep='{name}'", f"++run.jobs={_jobs(words)}"]


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


def _problem_of(
    override: Override, known: Mapping[str, Sequence[str]], sweep: bool, is_apart: bool
) -> str | None:
    """Why an override cannot be composed, or None."""
    key = override.key_or_group
    if not key:
        return _unreadable(override.input_line or "")
    if key.startswith(("hydra.", "hydra/")):
        return None
    if override.is_sweep_override() and not sweep:
        return (
            f"{key}: several values; write a list as [a,b], a text with a comma as "
            f"""'{key}="a,b"', or sweep with -m"""
        )
    if override.is_sweep_override() and not is_apart and _is_of_the_process(key):
        return (
            f"{key}: jobs of a sweep share processes, and JAX looks at the hardware "
            "once in each; start one sweep for each value, or use sweep=slurm"
        )
    if key in known:
        return _option_problem(override, key, known[key])
    if not is_known(key):
        return unknown_key(key)
    if override.is_delete():
        return f"{key}: cannot be deleted; set it to another value"
    return None


def _is_of_the_process(key: str) -> bool:
    """Whether it counts once in a process, before JAX is imported."""
    return key.partition(".")[0] == "hardware" and key != "hardware.products"


def _jobs(words: Sequence[str]) -> int:
    """Combinations of the values that words give."""
    parsed, known = OverridesParser.create().parse_overrides(list(words)), groups()
    return math.prod(len(_values(one, known)) for one in parsed)


def _values(override: Override, known: Mapping[str, Sequence[str]]) -> Sequence[Any]:
    """What a word says, one for each job that it asks for."""
    value = override.value()
    if isinstance(value, Glob):
        return value.filter(list(known.get(override.key_or_group, ())))
    if not override.is_discrete_sweep():
        return [value]
    return list(override.sweep_iterator(transformer=Transformer.str))


def _is_told(problem: str, before: Problems) -> bool:
    """Whether it is about a key whose word is refused already: what was meant by that
    is not known."""
    key = problem.partition(":")[0]
    known = (f"{key}:", f"{key}=")
    return any(one.lstrip("+").startswith(known) for one in before)


def _unreadable(text: str) -> str:
    key, has_value, value = text.partition("=")
    if text in typing.get_args(Mode):
        advice = f". Did you mean 'mode={text}'?"
    elif not has_value:
        advice = ". If it is part of a value with a space, put quotes around the word"
    else:
        advice = _quoted(key, value)
    return f"{text}: cannot be read; expected key=value or group=option{advice}"


def _quoted(key: str, value: str) -> str:
    """How a shell must be given a value that is no bare word, if quotes mend it."""
    meant = os.path.expanduser(value)
    for mark in '"', "'":
        word = f"{key}={mark}{meant}{mark}"
        try:
            found = OverridesParser.create().parse_override(word)
        except HydraException:
            continue
        if key and "${" not in meant and found.value() == meant:
            return f". Such a value stands in quotes twice: {shlex.quote(word)}"
    return ""


def _option_problem(override: Override, group: str, known: Sequence[str]) -> str | None:
    asked = _values(override, {group: known})
    if asked == [None] or (
        override.is_sweep_override() and not override.is_choice_sweep()
    ):
        return None
    strangers = [str(one) for one in asked if one not in known]
    if not strangers:
        return _launcher_problem(asked[0]) if group == "sweep" else None
    close = difflib.get_close_matches(strangers[0], known, n=1)
    advice = f" Did you mean '{close[0]}'?" if close else ""
    return (
        f"{group}: unknown option '{strangers[0]}'. "
        f"Use one of: {', '.join(known)}.{advice}"
    )


def _launcher_problem(option: Any) -> str | None:
    """Why Hydra cannot start jobs that way, or None."""
    package = LAUNCHERS[str(option)]
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return f"sweep: {option} needs a package: pip install {package}"
    return None


def _forced(key: str, text: str, known: Mapping[str, Sequence[str]]) -> str:
    """The word as Hydra must read it so that it neither objects nor appends twice."""
    if key in known or key.startswith("hydra"):
        return text.removeprefix("+") if key in known else text
    return "++" + text.lstrip("+")
