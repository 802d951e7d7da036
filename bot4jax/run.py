"""`python -m bot4jax.run`: environment, compose, validate, dispatch on the mode.

Nothing here imports JAX, and nothing may before `prepare` has set the environment: JAX
reads it once. So `--help` and a mistyped key answer in about a second.
"""

import importlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from importlib import metadata
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode

from bot4jax.config import (
    HYDRA_VERSION_BASE,
    expect_runs,
    load,
    plain,
    run_folder,
    validate,
)
from bot4jax.durable import explained
from bot4jax.early import heard_early
from bot4jax.environment import (
    end_with_parent,
    expect_device,
    mend_cache,
    prepare,
)
from bot4jax.errors import Bot4JaxError, ConfigError, Halted, SweepError
from bot4jax.schema import Config
from bot4jax.usage import usage
from bot4jax.words import announced, conf_folder, rewritten

MODES = {
    "demo": (
        "bot4jax.modes.demo:demo",
        "train, then paper-trade unseen bars; default",
    ),
    "train": ("bot4jax.modes.demo:train", "fit the members and write a checkpoint"),
    "backtest": (
        "bot4jax.modes.backtest:backtest",
        "judge unseen bars: skill, costs, baselines, luck",
    ),
    "live": ("bot4jax.modes.live:live", "decide on ticks from sockets, send orders"),
    "replay": ("bot4jax.modes.replay:replay", "run a recorded journal again"),
    "journal": ("bot4jax.modes.journal:journal", "show what a run did, as tables"),
    "explain": (
        "bot4jax.modes.explain:explain",
        "say why a symbol was traded at a step, or why not",
    ),
    "feed": ("bot4jax.modes.feed:feed", "publish a source's ticks"),
    "venue": ("bot4jax.modes.venue:venue", "answer orders as a paper venue"),
    "doctor": ("bot4jax.runtime.doctor:doctor", "check this machine and installation"),
    "catalogue": ("bot4jax.runtime.catalogue:catalogue", "list the features"),
    "keys": ("bot4jax.modes.keys:keys", "make keys for sockets beyond this machine"),
    "certify": ("bot4jax.modes.certify:certify", "prove: serving is training, no leak"),
    "control": ("bot4jax.runtime.control_line:control", "speak to a running engine"),
    "lob": ("bot4jax.modes.lob:lob", "forecast labels of the order book, by event"),
}
"""Mode → the function that serves it, `Config -> exit code`, and what it does."""

LISTENING = ("demo", "live")
"""Modes whose runs SIGUSR1 stops."""

COMPUTING = ("demo", "train", "backtest", "live", "replay", "explain", "certify", "lob")
"""Modes that need a device."""

DEFECT, INTERRUPTED = 1, 130

ANNOUNCED = ("run.sweep=", "run.jobs=")
"""Words of every job of a sweep that nobody has typed."""


def main(words: Sequence[str] | None = None) -> int:
    """Serve the command line and return the exit code."""
    words = sys.argv[1:] if words is None else list(words)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # what a terminal has no letter for
    if {"-h", "--help"} & set(words):
        print(usage({mode: meaning for mode, (_, meaning) in MODES.items()}))
        return 0
    if "--version" in words:
        print(f"bot4jax {metadata.version('bot4jax')}")
        return 0
    if any(word.startswith("-") for word in words):
        return _guarded(lambda: through_hydra(words))
    return _guarded(lambda: dispatch(load(words)))


def dispatch(config: Config) -> int:
    """Set the environment, import what the mode needs, and serve it."""
    expect_runs(config)  # before all that takes seconds
    prepare(config.hardware)
    if config.mode in COMPUTING:
        expect_device(config.hardware)
    speak_plainly()
    if config.mode not in LISTENING:
        return _served(config)
    is_known = config.run.name or config.run.model is None
    with heard_early(run_folder(config) if is_known else None):
        return _served(config)


class Plain(logging.Formatter):
    """A warning as all else is told: who speaks, and the sentence."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.name.partition('.')[0]}: {super().format(record)}"


def speak_plainly() -> None:
    """Tell warnings on stderr so, unless somebody has said already how to."""
    told = logging.StreamHandler()
    told.setLevel(logging.WARNING)
    told.setFormatter(Plain())
    logging.basicConfig(handlers=[told])
    mend_cache()


def _served(config: Config) -> int:
    target, _ = MODES[config.mode]
    module, function = target.split(":")
    return getattr(importlib.import_module(module), function)(config)


def through_hydra(words: Sequence[str]) -> int:
    """Hydra's own flags: `-m` sweeps, `--cfg job` prints, `--config-dir` adds."""
    is_sweep = bool({"-m", "--multirun"} & set(words))
    flags = [word for word in words if not _is_override(word)]
    overrides, problems = rewritten(list(filter(_is_override, words)), sweep=is_sweep)
    if problems:
        raise ConfigError(problems)
    if is_sweep:
        overrides = [*announced(overrides), *overrides]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    before, sys.argv = sys.argv, [sys.argv[0], *flags, *overrides]
    try:
        hydra.main(
            version_base=HYDRA_VERSION_BASE,
            config_path=str(conf_folder()),
            config_name="config",
        )(job)()
    except HydraException as error:  # a folder or a name of configurations
        raise ConfigError([str(error)]) from None
    except BrokenProcessPool as error:
        raise Halted(
            "A worker of the sweep was killed, for want of memory perhaps, and the "
            "jobs beside it with it. The same command goes on with what is missing; "
            "hydra.launcher.n_jobs=1 has one job at a time."
        ) from error
    finally:
        sys.argv = before
    return 0


def job(tree: Any) -> None:
    """One run of those that Hydra starts; a failed one is raised once all have run.

    Ctrl-C is meant for all of them.
    """
    end_with_parent()
    code = _with_traceback(lambda: dispatch(validate(_numbered(plain(tree)))))
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        _blame(code)
        raise SweepError(code)


def _guarded(serve: Callable[[], int]) -> int:
    """The exit code; what can be told in a sentence is told on stderr."""
    try:
        with explained():
            return serve()
    except SweepError as error:
        return error.exit_code
    except Bot4JaxError as error:
        if os.environ.get("BOT4JAX_TRACEBACK") == "1":
            traceback.print_exc()
        print(f"bot4jax: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("bot4jax: interrupted", file=sys.stderr)
        return INTERRUPTED


def _with_traceback(serve: Callable[[], int]) -> int:
    """The exit code; a defect is told here, for a sweep tells one of several."""
    try:
        return _guarded(serve)
    except Exception:
        traceback.print_exc()
        return DEFECT


def _blame(code: int) -> None:
    """Say on stderr which job of a sweep has failed, and what was asked of it."""
    own = HydraConfig.get()
    if own.mode != RunMode.MULTIRUN:
        return
    words = [one.lstrip("+") for one in own.overrides.task]
    asked = " ".join(one for one in words if not one.startswith(ANNOUNCED))
    told = f"bot4jax: job {own.job.num} of the sweep failed with exit code {code}"
    print(f"{told}: {asked}", file=sys.stderr)


def _is_override(word: str) -> bool:
    return not word.startswith("-") and ("=" in word or word.startswith("~"))


def _numbered(tree: dict[str, Any]) -> dict[str, Any]:
    """Jobs of a sweep get a folder each: the number follows the name.

    The last number bounds how many there are, should a sweeper have made up more.
    """
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        return tree
    run = tree["run"]
    name = run["name"] or f"{tree['mode']}-{tree['data']['source']}"
    number = HydraConfig.get().job.num
    jobs = max(run["jobs"], number + 1)
    return {**tree, "run": {**run, "name": f"{name}-{number}", "jobs": jobs}}


if __name__ == "__main__":
    sys.exit(main())
