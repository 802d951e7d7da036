"""Who may import whom, and what stays out of the numeric rooms: rules held by reading.

`runtime → engine → {kernels, nets, trees} → registry, numerics → types`; kernels, nets
and trees are strangers; learn and data may use the engine, not the reverse; modes put
the rooms together.
"""

import ast
from pathlib import Path

import pytest

from bot4jax import run

PACKAGE = Path(run.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# the words everyone shares; none of them knows JAX's arrays but through annotations
WORDS = {"types", "errors", "schema", "durable"}
BASE = WORDS | {"numerics", "registry"}
NUMERIC = BASE | {"engine", "state", "decisions", "kernels", "nets", "trees"}

MAY_IMPORT = {
    "types": set(),
    "errors": set(),
    # the C library's, which no other room talks to
    "heap": set(),
    "durable": {"errors"},
    "schema": {"schema"},
    "numerics": {"types"},
    "registry": {"types", "numerics", "errors"},
    "kernels": BASE | {"kernels"},
    "nets": BASE | {"nets"},
    "trees": BASE | {"trees"},
    "decisions": BASE | {"kernels"},
    "state": NUMERIC - {"engine", "state", "decisions"},
    "engine": NUMERIC - {"engine"},
    "data": NUMERIC | {"data", "plugins"},
    "learn": NUMERIC | {"data", "learn", "heap"},
    # judges what learning and serving do; nothing but a mode asks it
    "certify": NUMERIC | {"data", "learn", "certify"},
    "runtime": NUMERIC
    | {"runtime", "config", "words", "environment", "plugins"}
    | {"learn.checkpoint", "learn.evaluate", "data.universe", "data.source"},
    # what a mode does: puts the rooms together, so it may know all of them
    "modes": NUMERIC
    | {
        "modes",
        "certify",
        "runtime",
        "learn",
        "data",
        "config",
        "environment",
        "plugins",
        "run",
        "early",
    },
    # what a mode does, without a run around it
    "notebook": NUMERIC | {"modes", "learn", "data"},
    # the command line
    "consistency": {"schema"},
    "validation": {"schema", "consistency"},
    "words": {"schema", "errors", "validation"},
    "config": WORDS | {"validation", "words"},
    "usage": {"schema", "words"},
    "environment": {"schema", "heap", "errors"},
    # features of the user's own: whoever asks for the catalogue asks here
    "plugins": {"errors", "registry", "kernels"},
    # the kill switch before a run listens; before JAX is imported
    "early": {"errors", "durable"},
    "run": WORDS | {"config", "words", "usage", "environment", "early"},
}

ONLY_IN = {
    "zmq": {"runtime"},
    "apsw": {"runtime"},
    "xgboost": {"trees"},
    "orbax": {"learn.checkpoint"},
    "hydra": {"run", "config", "words"},
    "omegaconf": {"run", "config"},
    "rich": {"runtime"},
    "tensorboardX": {"runtime.events"},
    "matplotlib": {"modes.plots"},
}

CLOCKS = {
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
}
UNKEYED = {"uuid.uuid1", "uuid.uuid4", "os.urandom", "os.getrandom"}
KEYED = {"Generator", "SeedSequence", "Philox", "PCG64", "PCG64DXSM", "SFC64"}
"""of `numpy.random`: types that are made from a seed"""


BY_PICKLE = {
    *("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib"),
    *("marshal", "shelve", "jsonpickle", "pandas.read_pickle", "torch.load"),
}
"""What runs whatever somebody has written into a file or a message."""


def room(module):
    return module.split(".")[0]


def imports(tree):
    """Dotted names of everything imported, wherever the statement stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def module_of(name):
    """The module or room that a name below `bot4jax.` comes from."""
    return next(
        (m for m in (name, name.rpartition(".")[0]) if m in MODULES), room(name)
    )


def is_allowed(imported, allowed):
    """Whether a module, or a room around it, stands in the list."""
    return any(f"{imported}.".startswith(f"{one}.") for one in allowed)


def layer_violations(module, source):
    """Imports of rooms and libraries that this module may not know."""
    tree = ast.parse(source)
    inside = MAY_IMPORT.get(module, MAY_IMPORT.get(room(module), set()))
    inner = {
        module_of(name.removeprefix("bot4jax."))
        for name in imports(tree)
        if name.startswith(("bot4jax.", "."))
    }
    for name in sorted(inner):
        if not is_allowed(name, inside):
            yield f"{module} imports bot4jax.{name}"
    for name in {room(name) for name in imports(tree)} & set(ONLY_IN):
        if not is_allowed(module, ONLY_IN[name]):
            yield f"{module} imports {name}"


def aliases(tree):
    """Local name → the dotted name it stands for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or room(alias.name)] = (
                    alias.name if alias.asname else room(alias.name)
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def dotted(node, names):
    """The full name of `a.b.c` where `a` was imported, or None."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value, names)
        return owner and f"{owner}.{node.attr}"
    return None


def is_unkeyed(name, call):
    if name in UNKEYED or name.startswith(("random.", "secrets.")):
        return True
    if name == "numpy.random.default_rng":
        return not call.args and not call.keywords
    return name.startswith("numpy.random.") and name.rsplit(".", 1)[1] not in KEYED


def impure_calls(source):
    """Calls whose answer differs from run to run: clocks and unkeyed randomness."""
    tree = ast.parse(source)
    names = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func, names)
            if name and (name in CLOCKS or is_unkeyed(name, node)):
                yield f"line {node.lineno}: {name}"


def unsafe_reads(source):
    """Imports and calls by which a file or a message could run code of its own."""
    tree = ast.parse(source)
    names = aliases(tree)
    found = set(imports(tree)) | {dotted(node, names) for node in ast.walk(tree)}
    for name in sorted(one for one in found if one):
        if is_allowed(name, BY_PICKLE):
            yield name
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                yield f"line {node.value.lineno}: allow_pickle"
        elif isinstance(node, ast.Call) and _names_pickle(node):
            yield f"line {node.lineno}: import by name"


def _names_pickle(call):
    """Whether a call is given the name of such a module, to import it by."""
    texts = [one.value for one in call.args if isinstance(one, ast.Constant)]
    return any(one in BY_PICKLE for one in texts if isinstance(one, str))


def calls_at_import(source):
    """Array functions of JAX that run when the module is imported."""
    tree = ast.parse(source)
    names = aliases(tree)
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += [
                one for one in (*node.args.defaults, *node.args.kw_defaults) if one
            ]
            continue
        if isinstance(node, ast.Call):
            name = dotted(node.func, names) or ""
            if name.startswith(("jax.numpy.", "jax.random.", "jax.lax.")):
                yield f"line {node.lineno}: {name}"
        waiting += ast.iter_child_nodes(node)


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_what_lies_below(module):
    assert list(layer_violations(module, MODULES[module].read_text())) == []


@pytest.mark.parametrize("module", [one for one in MODULES if room(one) != "runtime"])
def test_knows_neither_clock_nor_unkeyed_chance(module):
    assert list(impure_calls(MODULES[module].read_text())) == []


def test_the_wall_clock_is_read_in_one_place():
    calls = {module: impure_calls(path.read_text()) for module, path in MODULES.items()}
    reads = [one for one, found in calls.items() if any(map(reads_a_clock, found))]
    assert reads == ["runtime.steady"]


def reads_a_clock(call):
    return call.rpartition(" ")[2] in CLOCKS


@pytest.mark.parametrize("module", MODULES)
def test_computes_nothing_when_imported(module):
    assert list(calls_at_import(MODULES[module].read_text())) == []


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_unpickled(module):
    assert list(unsafe_reads(MODULES[module].read_text())) == []


def test_every_module_has_a_rule():
    ruled = {one for one in MODULES if {one, room(one)} & set(MAY_IMPORT)}
    assert set(MODULES) - ruled == {"__init__"}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kernels.bars", "from bot4jax.nets import gru"),
        ("nets.gru", "import bot4jax.trees.fit"),
        ("trees.fit", "from bot4jax import kernels"),
        ("engine", "from bot4jax.runtime import gate"),
        ("engine", "from bot4jax.data.source import Source"),
        ("numerics", "from bot4jax.registry import feature"),
        ("runtime.gate", "from bot4jax.learn.fit import fit"),
        ("runtime.gate", "def late():\n    from bot4jax.learn import fit"),
        ("data.binance", "import zmq"),
        ("kernels.bars", "from xgboost import Booster"),
        ("learn.fit", "import orbax.checkpoint as ocp"),
        ("runtime.gate", "from hydra import compose"),
        ("types", "from . import numerics"),
    ],
)
def test_planted_import_is_seen(module, source):
    assert len(list(layer_violations(module, source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "from time import time_ns as now\nnow()",
        "from datetime import datetime\ndatetime.now()",
        "import datetime as d\nd.datetime.utcnow()",
        "import uuid\nuuid.uuid4()",
        "import random\nrandom.random()",
        "from random import shuffle\nshuffle([])",
        "import numpy as np\nnp.random.seed(0)",
        "import numpy as np\nnp.random.rand(3)",
        "import numpy as np\nnp.random.default_rng()",
        "from numpy.random import default_rng\ndefault_rng()",
        "import secrets\nsecrets.token_hex()",
    ],
)
def test_planted_clock_or_chance_is_seen(source):
    assert len(list(impure_calls(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.perf_counter()",
        "import numpy as np\nnp.random.default_rng(seed)",
        "import numpy as np\nnp.random.Generator(np.random.Philox(key=1))",
        "import jax\njax.random.normal(key)",
        "import numpy as np\nrandom = np.random.default_rng(1)\nrandom.choice(3)",
    ],
)
def test_timers_and_keyed_chance_pass(source):
    assert list(impure_calls(source)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import jax.numpy as jnp\nZERO = jnp.zeros(3)",
        "import jax.numpy as jnp\nclass A:\n    zero = jnp.float32(0)",
        "import jax.numpy as jnp\ndef f(x=jnp.zeros(3)): return x",
        "import jax\nKEY = jax.random.key(0)",
    ],
)
def test_planted_computation_at_import_is_seen(source):
    assert len(list(calls_at_import(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "def late():\n    import marshal",
        "import shelve",
        "from dill import load",
        "import cloudpickle",
        "import importlib\nimportlib.import_module('pickle')",
        "__import__('marshal')",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import numpy as np\nnp.load(path, allow_pickle=is_trusted)",
        "from torch import load\nload(path)",
    ],
)
def test_planted_pickle_is_seen(source):
    assert list(unsafe_reads(source)) != []


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nnp.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=False)",
        "import json\njson.load(file)",
        "import pickleball",
    ],
)
def test_what_reads_numbers_and_text_passes(source):
    assert list(unsafe_reads(source)) == []


def test_computation_inside_a_function_passes():
    source = "import jax.numpy as jnp\ndef f(): return jnp.zeros(3)"
    assert list(calls_at_import(source)) == []
