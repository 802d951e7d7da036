"""Words of the command line: which Hydra can compose, what is wrong with the others.

Hydra tells of one bad word at a time, and not how to mend it. Here each is parsed by
itself, before anything is composed.
"""

import difflib
import hashlib
import math
import os
import shlex
import typing
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Transformer
from hydra.errors import HydraException

from bot4jax.errors import ConfigError
from bot4jax.schema.modes import Mode
from bot4jax.validation import Problems, is_known, unknown_key

LAUNCHERS = {
    "joblib": "hydra-joblib-launcher",
    "slurm": "hydra-submitit-launcher",
    "ray": "hydra-ray-launcher",
}
"""Options of `conf/sweep` and the package that starts jobs so."""

APART = ("sweep=slurm", "hydra/launcher=submitit")
"""Words of launchers that start a process for each job."""


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


def _is_of_the_process(key: str) -> bool:
    """Whether it counts once in a process, before JAX is imported."""
    return key.partition(".")[0] == "hardware" and key != "hardware.products"


def _forced(key: str, text: str, known: Mapping[str, Sequence[str]]) -> str:
    """The word as Hydra must read it so that it neither objects nor appends twice."""
    if key in known or key.startswith("hydra"):
        return text.removeprefix("+") if key in known else text
    return "++" + text.lstrip("+")


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
