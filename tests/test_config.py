"""The configuration: one valid default, and every way to spoil it told by key."""

import shlex
import subprocess
import sys
import tempfile
import typing

import msgspec
import pytest
import zmq

from bot4jax import config, run, types, usage, words
from bot4jax.config import (
    agreed_hash,
    config_hash,
    load,
    run_folder,
    to_yaml,
    validate,
)
from bot4jax.errors import ConfigError
from bot4jax.runtime.messages import Control, pack, unpack
from bot4jax.schema import Config
from bot4jax.schema.bounds import Section
from bot4jax.schema.data import AnyData, SimulatorData
from bot4jax.schema.learning import Member
from bot4jax.schema.modes import Mode
from bot4jax.validation import known_keys

NAN, INF = float("nan"), float("inf")
CONF = words.conf_folder()


@pytest.fixture(scope="module")
def default():
    return load()


@pytest.fixture
def tree(default):
    """The default as a plain tree that a test may spoil."""
    return msgspec.to_builtins(default)


def problems(tree):
    with pytest.raises(ConfigError) as caught:
        validate(tree)
    return caught.value.problems


def refused(*overrides):
    with pytest.raises(ConfigError) as caught:
        load(overrides)
    return caught.value.problems


def put(tree, key, value):
    *sections, leaf = key.split(".")
    for section in sections:
        tree = tree[section]
    tree[leaf] = value


def hints(kind: type = Config, prefix=""):
    """Dotted key → type, for the default data source."""
    for field in msgspec.structs.fields(kind):
        hint = field.type
        if hint == AnyData:
            hint = SimulatorData
        if isinstance(hint, type) and issubclass(hint, Section):
            yield from hints(hint, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", hint


LEAVES = dict(hints())
NUMBERS = [
    key
    for key, hint in LEAVES.items()
    if typing.get_origin(hint) is typing.Annotated
    and typing.get_args(hint)[0] in (int, float)
]
FLOATS = [key for key in NUMBERS if typing.get_args(LEAVES[key])[0] is float]


def test_default_is_the_documented_one(default):
    assert default.mode == "demo"
    assert default.data.source == "simulator"
    assert (default.data.symbols, default.data.bar_seconds) == (1024, 1.0)
    assert msgspec.structs.astuple(default.spans) == (1200, 200, 300)
    assert default.features.window == 256
    assert default.trees.rounds * len(types.CLASSES) == 102


def test_members_and_modes_are_those_that_exist():
    assert typing.get_args(Member) == types.MEMBERS
    assert typing.get_args(Mode) == tuple(run.MODES)


@pytest.mark.parametrize("key", LEAVES)
def test_wrong_type_is_told_by_key(tree, key):
    put(tree, key, {"neither": "number nor text"})
    assert [line.split(":")[0] for line in problems(tree)] == [key]


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("key", NUMBERS)
def test_non_finite_is_refused(tree, key, value):
    put(tree, key, value)
    (problem,) = problems(tree)
    assert problem.startswith(f"{key}: ")
    assert "finite" in problem


@pytest.mark.parametrize(
    "key",
    [key for key in NUMBERS if key not in ("venue.maker_fee_bps", "rollout.log_loss")],
)
def test_negative_is_refused(tree, key):
    put(tree, key, -1)
    (problem,) = problems(tree)
    assert problem.startswith(f"{key}: ")
    assert problem.endswith("found -1")


@pytest.mark.parametrize("key", LEAVES)
def test_missing_is_told_by_key(tree, key):
    *sections, leaf = key.split(".")
    parent = tree
    for section in sections:
        parent = parent[section]
    del parent[leaf]
    assert [line.split(":")[0] for line in problems(tree)] == [key]


def test_non_finite_inside_a_list_is_refused(tree):
    tree["nets"]["gru"]["widths"] = [48, INF]
    assert problems(tree) == (
        "nets.gru.widths: expected a list, each a whole number >= 1 and <= 1e+09, "
        "not empty, finite, found [48, inf]",
    )


def test_all_problems_come_at_once():
    found = refused(
        "data=binanc",
        "run.sed=1",
        "seed=3",
        "mode=dmo",
        "risk.max_gross=nan",
        "risk.max_net=-1",
        "run.fresh=maybe",
        "trees.rounds=1.5",
        "=",
        "run.seed.deeper=1",
        "strategy.capital=${oc.env:NO_SUCH_VARIABLE}",
        "~spans.train",
        "datta=binance",
        "wat=1",
        "run.name='../elsewhere'",
        "labels.horizon=1,2",
    )
    expected = {
        "data: unknown option 'binanc'. Use one of: binance, candles",
        "run.sed: unknown key. Did you mean 'run.seed'?",
        "seed: unknown key. Did you mean 'run.seed'?",
        "mode: expected one of demo, train",
        "risk.max_gross: expected a number > 0 and <= 1e+15, finite, found nan",
        "risk.max_net: expected a number > 0 and <= 1e+15, found -1",
        "run.fresh: expected true or false, found 'maybe'",
        "trees.rounds: expected a whole number >= 1 and <= 1e+09, found 1.5",
        "=: cannot be read",
        "run.seed.deeper: unknown key",
        "strategy.capital: ${oc.env:NO_SUCH_VARIABLE} leads nowhere",
        "spans.train: cannot be deleted",
        "datta: unknown key. Did you mean 'data'?",
        "wat: unknown key. --cfg job lists all keys",
        "run.name: expected a name of letters, digits",
        "labels.horizon: several values; write a list as [a,b]",
    }
    assert {start for start in expected if not any(map(starts(start), found))} == set()
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("words", "is_same"),
    [
        (("data.path=/elsewhere", "run.name=other", "risk.max_gross=0.9"), True),
        (("venue.latency_file=/measured/here",), True),
        (("venue.seed=8",), False),
        (("data.symbols=3",), False),
        (("runtime.skew_limit_ms=1",), False),
    ],
)
def test_engine_and_venue_must_have_read_the_same_market_and_fees(words, is_same):
    here = "data=binance", "data.path=/here"
    found = agreed_hash(load([*here, *words]))
    assert (found == agreed_hash(load(here))) == is_same


def test_no_engine_may_go_unwatched():
    """Should it die, nobody would take back what rests."""
    (found,) = refused("runtime.dead_man_s=0")
    assert found.startswith("runtime.dead_man_s: expected a number > 0")


def starts(start):
    return lambda line: line.startswith(start)


def test_key_of_another_source_is_told_apart():
    assert refused("data=daily", "data.path=x", "data.halts=true") == (
        "data.halts: data=daily has no such key; data=simulator has",
    )


def test_section_in_place_of_a_leaf_and_the_reverse():
    assert refused("nets.cnn=3") == ("nets.cnn: expected a section with keys, found 3",)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"features.window": 100}, "features.window"),
        ({"features.names": []}, "features.names"),
        ({"data.path": "x"}, "data.path"),
        ({"data.symbols": 0}, "data.symbols"),
        ({"data.predictive_r2": 0.06}, "data.predictive_r2"),
        ({"mode": "live"}, "run.model"),
        ({"mode": "backtest"}, "run.model"),
        ({"mode": "backtest", "backtest.refit": True, "run.model": "x"}, "run.model"),
        (
            {"mode": "backtest", "backtest.split": "k_fold", "run.model": "x"},
            "backtest.split",
        ),
        ({"backtest.split": "k_fold", "backtest.traps": True}, "backtest.traps"),
        ({"backtest.split": "combinatorial"}, "backtest.fidelity"),
        (
            {
                "backtest.split": "combinatorial",
                "backtest.fidelity": "research",
                "backtest.tests": 5,
            },
            "backtest.tests",
        ),
        ({"mode": "replay"}, "replay.run"),
        ({"mode": "journal"}, "journal.run"),
        ({"labels.latency_ms": 1000}, "labels.latency_ms"),
        ({"spans.calibrate": 6}, "spans.calibrate"),
        ({"spans.calibrate": 13}, "spans.calibrate"),
        ({"labels.class_weights": [1, 0, 1]}, "labels.class_weights"),
        ({"spans.test": 6}, "spans.test"),
        ({"train.chunk": 1201}, "train.chunk"),
        ({"nets.cnn.dilations": [1, 2]}, "nets.cnn.dilations"),
        ({"nets.transformer.width": 30}, "nets.transformer.width"),
        ({"nets.transformer.key_heads": 3}, "nets.transformer.key_heads"),
        ({"nets.transformer.key_heads": 8}, "nets.transformer.key_heads"),
        ({"nets.transformer.key_heads": 0}, "nets.transformer.key_heads"),
        ({"ensemble.members": ["gru", "gru"]}, "ensemble.members"),
        ({"ensemble.members": ["gru", "gro"]}, "ensemble.members"),
        ({"ensemble.members": ["trees"]}, "ensemble.members"),
        ({"ensemble.floor": 0.21}, "ensemble.floor"),
        ({"ensemble.floor": 0.1, "ensemble.cap": 0.09}, "ensemble.floor"),
        ({"risk.max_position_share": 2}, "risk.max_position_share"),
        ({"risk.max_net": 2}, "risk.max_net"),
        ({"execution.stop_limit_bps": 10.0}, "execution.stop_limit_bps"),
        ({"risk.daily_loss_share": 0.2}, "risk.daily_loss_share"),
        ({"strategy.kelly": 0.26}, "strategy.kelly"),
        ({"hardware.process": 1}, "hardware.process"),
        ({"hardware.products": "float16"}, "hardware.products"),
        ({"train.parts": 129}, "train.parts"),
        (
            {"mode": "train", "hardware.devices": 0, "hardware.processes": 2},
            "hardware.coordinator",
        ),
        (
            {
                "hardware.devices": 2,
                "hardware.processes": 2,
                "hardware.coordinator": "first:7733",
            },
            "hardware.processes",
        ),
        (
            {
                "mode": "train",
                "hardware.processes": 2,
                "hardware.coordinator": "first:7733",
            },
            "hardware.devices",
        ),
    ],
)
def test_bound_or_contradiction_is_told_by_key(tree, changes, key):
    for changed, value in changes.items():
        put(tree, changed, value)
    assert [line.split(":")[0] for line in problems(tree)] == [key]


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["data=columns", "data.path=x"], "data.file"),
        (["data=binance"], "data.path"),
        (["mode=feed", "data=daily", "data.path=x"], "data"),
    ],
)
def test_need_of_a_source_is_told_by_key(overrides, key):
    assert [line.split(":")[0] for line in refused(*overrides)] == [key]


@pytest.mark.parametrize(
    "address",
    [
        "tcp://0.0.0.0:5555",
        "tcp://*:5555",
        "tcp://192.168.1.2:5555",
        "tcp://localhost:5555",
        "tcp://127.0.0.1.example.org:5555",
        "tcp://[::]:5555",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:70000",
        "udp://127.0.0.1:5555",
        "ipc://",
        "127.0.0.1:5555",
    ],
)
def test_socket_beyond_this_machine_is_refused(tree, address):
    tree["runtime"]["endpoints"]["ticks"] = address
    (problem,) = problems(tree)
    assert problem.startswith("runtime.endpoints.ticks: ")


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:6000", "tcp://[::1]:6000", "ipc:///run/ticks"]
)
def test_local_socket_is_accepted(tree, address):
    tree["runtime"]["endpoints"]["ticks"] = address
    assert validate(tree).runtime.endpoints.ticks == address


@pytest.mark.parametrize("letter", ["x", "ü"])
def test_a_socket_s_path_may_be_as_long_as_the_system_has_room_for(tree, letter):
    """ZeroMQ is asked where that ends, in bytes."""
    with tempfile.TemporaryDirectory(prefix="b4") as folder, zmq.Context() as context:
        room = 107 - len(f"{folder}/")
        longest = letter * (room // len(letter.encode()))
        longest = f"ipc://{folder}/{longest}" + "x" * (room % len(letter.encode()))
        with context.socket(zmq.PULL) as socket:
            socket.bind(longest)
            with pytest.raises(zmq.ZMQError):
                socket.bind(f"{longest}x")
    endpoints = tree["runtime"]["endpoints"]
    endpoints["ticks"] = longest
    assert validate(tree).runtime.endpoints.ticks == longest
    endpoints["ticks"] = f"{longest}x"
    (problem,) = problems(tree)
    assert problem.startswith("runtime.endpoints.ticks: expected at most 107 bytes")


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:6000", "tcp://[2001:db8::1]:6000"])
def test_with_keys_a_numeric_address_is_accepted(tree, address):
    tree["keys"]["folder"] = "keys"
    tree["runtime"]["endpoints"]["ticks"] = address
    assert validate(tree).runtime.endpoints.ticks == address


@pytest.mark.parametrize("seconds", [1e10, 1e12, 1e300])
def test_a_pause_is_no_longer_than_a_message_can_say(tree, seconds):
    tree["control"]["seconds"] = seconds
    (problem,) = problems(tree)
    assert problem.startswith("control.seconds: expected a number >= 0 and <= ")
    tree["control"]["seconds"] = 1e9
    longest = Control(do="pause", lasts_ns=round(validate(tree).control.seconds * 1e9))
    assert unpack(pack(longest), Control) == longest


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:6000", "tcp://[2001:db8::1]:6000"])
def test_the_control_socket_stays_on_this_machine_with_keys_too(tree, address):
    """Who may stop the engine, or let it go on, sits here."""
    tree["keys"]["folder"] = "keys"
    tree["runtime"]["endpoints"]["control"] = address
    (problem,) = problems(tree)
    assert problem.startswith("runtime.endpoints.control: ")


@pytest.mark.parametrize("address", ["tcp://localhost:5555", "tcp://*:5555"])
def test_names_are_refused_with_keys_too(tree, address):
    tree["keys"]["folder"] = "keys"
    tree["runtime"]["endpoints"]["ticks"] = address
    (problem,) = problems(tree)
    assert "numeric address" in problem


def test_one_address_for_two_sockets_is_refused(tree):
    tree["runtime"]["endpoints"]["orders"] = tree["runtime"]["endpoints"]["ticks"]
    (problem,) = problems(tree)
    assert problem.endswith("is already that of 'ticks'")


@pytest.mark.parametrize(
    ("group", "option"),
    [
        (group, option)
        for group, options in words.groups().items()
        for option in options
        if group != "sweep"  # how jobs start, and nothing of what they do
        if f"- {group}: {option}\n" not in (CONF / "config.yaml").read_text()
    ],
)
def test_every_option_composes_and_differs(default, group, option):
    recorded = group == "data" or option in ("us_daily", "eurusd", "bac", "binance")
    needs = ["data.path=PATH"] if recorded else []
    needs += ["data.file=ticks.parquet"] if option == "columns" else []
    needs += ["data.name=mine", "plugins=[mine]"] if option == "plugin" else []
    assert load([f"{group}={option}", *needs]) != default


def test_preset_has_the_published_sizes_and_a_group_overrules_it():
    full = load(["preset=full", "nets=cpu"])
    assert full.trees.rounds * len(types.CLASSES) == 501
    assert full.nets.lstm.widths == (64, 32)


def test_the_hardware_chooses_who_is_asked_for_the_forest():
    """Fused on a CPU, whatever the preset; on a GPU XGBoost beside the nets."""
    for preset in ("cpu", "full"):
        words = [f"preset={preset}"]
        assert load(words).trees.predictor == "fused"
        gpu = load([*words, "hardware=gpu"])
        assert gpu.trees.predictor == "xgboost"
        assert gpu.hardware.platform == "cuda"
        own = load([*words, "hardware=gpu", "trees.predictor=fused"])
        assert own.trees.predictor == "fused"


def test_slurm_tells_a_process_its_number(monkeypatch):
    alone = load(["mode=train", "hardware=multi_gpu"]).hardware
    assert (alone.processes, alone.process, alone.coordinator) == (1, 0, None)
    told = {"SLURM_NTASKS": "4", "SLURM_PROCID": "3", "BOT4JAX_COORDINATOR": "a:7733"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    one = load(["mode=train", "hardware=multi_gpu"]).hardware
    assert (one.processes, one.process, one.coordinator) == (4, 3, "a:7733")


def test_debug_shrinks_whatever_was_chosen():
    daily = load(["+debug=tiny", "data=daily", "data.path=x", "preset=full"])
    assert (daily.data.symbols, daily.spans.train, daily.trees.rounds) == (16, 200, 2)


def test_canary_never_exceeds_conservative_never_exceeds_standard(default):
    standard = msgspec.structs.astuple(default.risk)
    conservative = msgspec.structs.astuple(load(["risk=conservative"]).risk)
    canary = msgspec.structs.astuple(load(["risk=canary"]).risk)
    ladder = zip(canary, conservative, standard, strict=True)
    assert all(low <= middle <= high for low, middle, high in ladder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("run.name", "other"),
        ("run.root", "elsewhere"),
        ("run.fresh", True),
        ("runtime.endpoints.ticks", "tcp://127.0.0.1:7000"),
        ("runtime.foreign", "adopt"),
        ("train.checkpoint_every", 7),
        ("train.samples", "disk"),
        ("hardware.coordinator", "first:7733"),
    ],
)
def test_hash_ignores_names_and_places(default, tree, key, value):
    put(tree, key, value)
    assert config_hash(validate(tree)) == config_hash(default)


def test_hash_sees_every_other_key(default, tree):
    digests = {config_hash(default)}
    changed = {
        "run.seed": 1,
        "features.clip": 6.5,
        "data.halts": False,
        "venue.seed": 2,
    }
    for key, value in changed.items():
        put(tree, key, value)
        digests.add(config_hash(validate(tree)))
    assert len(digests) == 5
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest in digests)


@pytest.mark.parametrize(
    "path", ["~/bars", "/a=b", "/a/(b)", "/it's", "/a;b", '/say "a"', "/a b(c)"]
)
def test_a_value_that_needs_quotes_is_told_with_them_and_told_once(path, monkeypatch):
    """What the sentence says is given to a shell, whose word is read as was meant."""
    monkeypatch.setenv("HOME", "/home/me")
    with pytest.raises(ConfigError) as told:
        load(["data=binance", f"data.path={path}"])
    (problem,) = told.value.problems
    advice = problem.rpartition("in quotes twice: ")[2]
    (word,) = shlex.split(advice)
    assert load(["data=binance", word]).data.path == path.replace("~", "/home/me")


def test_a_value_cut_at_its_space_is_told_to_stand_in_quotes():
    with pytest.raises(ConfigError, match=r"  b: cannot be read.*a space, put quotes"):
        load(["data=binance", "data.path=/a", "b"])


def test_a_path_with_a_comma_is_told_with_quotes():
    with pytest.raises(ConfigError) as told:
        load(["data=binance", "data.path=/a,b"])
    (problem,) = told.value.problems
    assert """a text with a comma as 'data.path="a,b"'""" in problem
    assert load(["data=binance", 'data.path="/a,b"']).data.path == "/a,b"


@pytest.mark.parametrize(
    ("words", "told", "untold"),
    [
        ([], set(), {"data.symbols", "run.seed"}),
        (["data.symbols=1024"], {"data.symbols"}, {"data.bar_seconds", "run.seed"}),
        (["+run.seed=0"], {"run.seed"}, {"run.root", "data.symbols"}),
        (["data=simulator"], {"data.symbols", "data.source"}, {"run.seed"}),
        (["debug=tiny"], {"data.symbols", "spans.train"}, {"run.seed", "labels.ends"}),
        (["nets.lstm.widths=[64,16]"], {"nets.lstm.widths"}, {"nets.gru.widths"}),
    ],
)
def test_a_command_has_said_what_it_names_and_what_it_changes(words, told, untold):
    found = config.said(load(words), words)
    assert told <= found
    assert not untold & found


def test_written_configuration_reads_back_equal(tmp_path, default):
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(default))
    assert config.from_yaml(path) == default
    path.write_text("run: [")
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read"):
        config.from_yaml(path)


def test_a_folder_without_a_run_is_told_by_name(tmp_path):
    with pytest.raises(ConfigError, match=f"{tmp_path}: holds no config.yaml; name"):
        config.from_yaml(tmp_path / "config.yaml")


def test_run_folder_is_named_for_mode_and_source(default, tree):
    assert run_folder(default).as_posix() == "runs/demo-simulator"
    tree["run"]["name"] = "mine"
    assert run_folder(validate(tree)).as_posix() == "runs/mine"


def sections(kind: type = Section):
    """Every kind of section in the schema."""
    for own in kind.__subclasses__():
        if own.__module__.startswith("bot4jax.schema"):
            yield own
            yield from sections(own)


def test_every_key_has_its_meaning_below_it():
    bare = [
        f"{kind.__name__}.{name}"
        for kind in sections()
        for name, hint in kind.__annotations__.items()
        if not (isinstance(hint, type) and issubclass(hint, Section))
        and f"{kind.__name__}.{name}" not in usage.notes()
    ]
    assert set(bare) <= {
        f"{kind.__name__}.source" for kind in typing.get_args(AnyData)
    } | {"Config.data"}


def test_main_keys_of_the_help_exist():
    assert set(usage.MAIN_KEYS) <= set(known_keys())


def test_configuration_does_not_import_jax():
    code = "import sys, bot4jax.run as run; run.load(); print('jax' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
