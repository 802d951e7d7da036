"""Contradictions: what every key allows alone, but not together."""

import ipaddress
import os
import re
import typing
from collections.abc import Iterator

import msgspec

from bot4jax.schema import Config
from bot4jax.schema.learning import Member

BAR_SOURCES = ("daily", "candles")
"""sources without ticks"""

WITHOUT_DATA = ("replay", "journal", "doctor", "catalogue", "keys", "control")
"""modes that open no source"""

FITTING = ("train", "certify", "lob")
"""modes that fit members, whatever lies elsewhere"""

LONGEST_SOCKET = 107
"""bytes of a socket's path: `sun_path` of unix(7) holds 108, the last of them zero"""

LOCAL_SOCKETS = ("control",)
"""sockets that stay on this machine, keys or not: who may stop the engine sits here"""


def contradictions(config: Config) -> Iterator[str]:
    """Sentences that begin with the key to change; none for a sound configuration."""
    yield from _endpoint_problems(config)
    yield from _data_problems(config)
    yield from _span_problems(config)
    yield from _model_problems(config)
    yield from _limit_problems(config)
    yield from _mode_problems(config)
    yield from _split_problems(config)
    yield from _hardware_problems(config)
    yield from _lob_problems(config)


def _endpoint_problems(config: Config) -> Iterator[str]:
    endpoints = msgspec.structs.asdict(config.runtime.endpoints)
    seen: dict[str, str] = {}
    for name, address in endpoints.items():
        key = f"runtime.endpoints.{name}"
        has_keys = config.keys.folder is not None and name not in LOCAL_SOCKETS
        if problem := _unreachable(address, has_keys):
            yield f"{key}: {problem}"
        if address in seen:
            yield f"{key}: {address} is already that of '{seen[address]}'"
        seen[address] = name


def _too_long(path: str) -> str | None:
    """Why a socket cannot lie at a path; None where it can."""
    length = len(os.fsencode(path))
    if length <= LONGEST_SOCKET:
        return None
    return (
        f"expected at most {LONGEST_SOCKET} bytes behind ipc://, all that the system "
        f"has for the path of a socket, found {length}"
    )


def _unreachable(address: str, is_proven: bool) -> str | None:
    """Why an address is refused; None for a local file, or a number with a port that
    is of this machine or behind keys.

    Names are refused too: what `localhost` stands for is decided elsewhere.
    """
    if re.fullmatch(r"ipc://.+", address):
        return _too_long(address.removeprefix("ipc://"))
    parts = re.fullmatch(r"tcp://\[?([^\]]*?)\]?:(\d{1,5})", address)
    if not parts or not 1 <= int(parts[2]) <= 65_535:
        return f"expected tcp://127.0.0.1:PORT or ipc://FILE, found '{address}'"
    try:
        ip = ipaddress.ip_address(parts[1])
    except ValueError:
        ip = None
    if ip is not None and (is_proven or ip.is_loopback):
        return None
    return (
        f"'{address}' is not on this machine's loopback (tcp://127.0.0.1:PORT); others "
        "need keys (mode=keys, then keys.folder=FOLDER) and a numeric address"
    )


def _data_problems(config: Config) -> Iterator[str]:
    data = config.data
    if data.source == "simulator":
        if data.path is not None:
            yield "data.path: the simulator reads no files; choose data=binance|daily|…"
        if data.symbols == 0:
            yield "data.symbols: expected at least 1; a simulator has no end of them"
    elif data.source == "plugin":
        if not config.plugins:
            yield "plugins: data=plugin needs the module that opens it, plugins=[…]"
    elif data.path is None and config.mode not in WITHOUT_DATA:
        yield f"data.path: data={data.source} needs data.path=PATH, where its files lie"


def _span_problems(config: Config) -> Iterator[str]:
    spans, horizon = config.spans, config.labels.horizon
    for name in ("train", "calibrate", "test"):
        bars = getattr(spans, name)
        if bars <= horizon + 1:
            yield (
                f"spans.{name}: {bars} bars hold no label of labels.horizon={horizon} "
                f"after purging; expected more than {horizon + 1}"
            )
    halves = 2 * (horizon + 2)
    if horizon + 1 < spans.calibrate < halves:
        yield (
            f"spans.calibrate: {spans.calibrate} bars; the vote learns from each half "
            f"with members calibrated on the other, and labels.horizon={horizon} lies "
            f"between them: expected at least {halves}"
        )
    if config.train.chunk > spans.train:
        yield f"train.chunk: longer than spans.train={spans.train}"
    if config.labels.latency_ms >= 1000 * config.data.bar_seconds:
        yield (
            f"labels.latency_ms: expected less than one bar "
            f"(data.bar_seconds={config.data.bar_seconds:g}), "
            f"found {config.labels.latency_ms:g}"
        )


def _model_problems(config: Config) -> Iterator[str]:
    cnn, transformer, ensemble = (
        config.nets.cnn,
        config.nets.transformer,
        config.ensemble,
    )
    if len(cnn.channels) != len(cnn.dilations):
        yield (
            f"nets.cnn.dilations: expected one a layer, as in nets.cnn.channels "
            f"({len(cnn.channels)}), found {len(cnn.dilations)}"
        )
    if transformer.width % transformer.heads:
        yield (
            f"nets.transformer.width: expected a multiple of "
            f"nets.transformer.heads={transformer.heads}, found {transformer.width}"
        )
    if transformer.heads % transformer.key_heads:
        yield (
            f"nets.transformer.key_heads: expected a divisor of "
            f"nets.transformer.heads={transformer.heads}, "
            f"found {transformer.key_heads}"
        )
    ours = typing.get_args(Member)
    strangers = set(ensemble.members) - set(ours)
    if strangers and not config.plugins:
        yield (
            f"ensemble.members: expected each one of {', '.join(ours)}, or a member of "
            f"plugins=[…], found {list(ensemble.members)}"
        )
    nets = {*type(config.nets).__struct_fields__, *strangers}
    if not nets & set(ensemble.members):
        yield (
            f"ensemble.members: name at least one net, found {list(ensemble.members)}; "
            "a forest alone is among the baselines of every backtest"
        )
    count = len(ensemble.members)
    if len(set(ensemble.members)) < count:
        yield f"ensemble.members: a member stands twice in {list(ensemble.members)}"
    if ensemble.floor * count > 1:
        yield f"ensemble.floor: {count} members × {ensemble.floor:g} is more than 1"
    if ensemble.floor > ensemble.cap:
        yield f"ensemble.floor: above ensemble.cap={ensemble.cap:g}"


def _lob_problems(config: Config) -> Iterator[str]:
    own = config.lob
    if own.warm >= own.lane:
        yield f"lob.warm: {own.warm} events of a stretch of lob.lane={own.lane}: fewer"
    if own.train_share + own.calibrate_share >= 1:
        yield (
            f"lob.calibrate_share: {own.calibrate_share:g} behind lob.train_share="
            f"{own.train_share:g} leaves no test"
        )
    if config.mode == "lob":
        yield from _meaningless_by_event(config)
    if config.data.source == "fi2010" and config.mode == "lob":
        given = (10, 20, 30, 50, 100)
        if own.horizons != given or own.levels != 10:
            yield f"lob: data=fi2010 gives 10 levels and the horizons {given} only"


def _meaningless_by_event(config: Config) -> Iterator[str]:
    """Choices that labels by event know nothing of: nobody shall believe they count."""
    labels, asked = config.labels, {}
    if config.trees.patience:
        asked["trees.patience"] = "all trees.rounds are boosted; use 0"
    if len(set(labels.class_weights)) > 1:
        asked["labels.class_weights"] = (
            "classes weigh alike, as macro-F1 counts them; use [1,1,1]"
        )
    if labels.threshold != "quantile":
        asked["labels.threshold"] = "no cost is charged; use quantile"
    if labels.ends != "horizon":
        asked["labels.ends"] = "labels are means of k mids; use horizon"
    for key, reason in asked.items():
        yield f"{key}: mode=lob does not use it: {reason}"


def _limit_problems(config: Config) -> Iterator[str]:
    risk, own = config.risk, config.execution
    if own.stop_limit_bps and not own.stop_bps:
        yield (
            f"execution.stop_limit_bps: {own.stop_limit_bps:g} limits no stop, "
            "execution.stop_bps is 0"
        )
    pairs = (
        ("max_position_share", "max_gross"),
        ("max_net", "max_gross"),
        ("daily_loss_share", "drawdown_share"),
        ("orders_per_step", "messages_per_second"),
        ("orders_per_second", "messages_per_second"),
    )
    for inner, outer in pairs:
        if getattr(risk, inner) > getattr(risk, outer):
            yield (
                f"risk.{inner}: {getattr(risk, inner):g} can never bind, it is above "
                f"risk.{outer}={getattr(risk, outer):g}"
            )


def _hardware_problems(config: Config) -> Iterator[str]:
    own, group = config.hardware, config.train.symbols_per_batch
    if own.process >= own.processes:
        yield (
            f"hardware.process: {own.process} is not one of "
            f"hardware.processes={own.processes}; they count from 0"
        )
    if own.processes > 1 and own.coordinator is None:
        yield "hardware.coordinator: several processes meet at host:port, found null"
    if own.processes > 1 and config.mode != "train":
        yield (
            f"hardware.processes: only mode=train shares work among "
            f"{own.processes}; mode={config.mode} takes hardware.processes=1"
        )
    if 0 < own.devices < own.processes:
        yield (
            f"hardware.devices: {own.devices} do not reach "
            f"hardware.processes={own.processes}; 0 takes all there are"
        )
    if config.train.parts > group:
        yield f"train.parts: more than train.symbols_per_batch={group}"


def _split_problems(config: Config) -> Iterator[str]:
    own = config.backtest
    if own.split == "walk_forward":
        return
    if config.mode == "backtest" and not own.refit:
        yield f"backtest.split: {own.split} fits every fold; add backtest.refit=true"
    if own.traps:
        yield (
            f"backtest.traps: they fit spans in the order of time; backtest.split="
            f"{own.split} has none, use walk_forward"
        )
    if own.split == "combinatorial" and own.tests >= own.folds:
        yield (
            f"backtest.tests: {own.tests} of backtest.folds={own.folds} parts leave "
            "nothing to fit on; expected fewer"
        )
    if own.split == "combinatorial" and own.fidelity == "exact":
        yield (
            "backtest.fidelity: combinatorial folds test the same bars several times, "
            "which no account does; use research"
        )


def _mode_problems(config: Config) -> Iterator[str]:
    mode = config.mode
    refits = mode == "backtest" and config.backtest.refit
    if mode in ("backtest", "live") and config.run.model is None and not refits:
        yield f"run.model: mode={mode} needs run.model=FOLDER of a trained run"
    if mode == "keys" and config.keys.folder is None:
        yield "keys.folder: mode=keys needs keys.folder=FOLDER to put them in"
    if mode in FITTING and config.run.model is not None:
        yield f"run.model: mode={mode} fits its own members; leave it out"
    if refits and config.run.model is not None:
        yield "run.model: backtest.refit=true fits its own members; leave it out"
    if mode == "replay" and config.replay.run is None:
        yield "replay.run: mode=replay needs replay.run=FOLDER of a recorded run"
    if mode == "journal" and config.journal.run is None:
        yield "journal.run: mode=journal needs journal.run=FOLDER of a run"
    if mode == "explain" and None in (config.explain.run, config.explain.symbol):
        wanted = "explain.run=FOLDER of a run and explain.symbol=NAME"
        yield f"explain: mode=explain needs {wanted}"
    if mode == "live" and config.rollout.file and config.runtime.speed != 1:
        yield (
            f"runtime.speed: {config.runtime.speed:g}, but what a rollout rests on is "
            "shown at the market's own pace: runtime.speed=1, or no rollout.file"
        )
    if mode in ("feed", "live") and config.data.source in BAR_SOURCES:
        yield f"data: mode={mode} needs ticks; data={config.data.source} has only bars"
