"""A user's own features: found, computed by the bank, hashed; what is wrong is told."""

import pytest

from bot4jax import plugins
from bot4jax.config import load
from bot4jax.errors import ConfigError
from bot4jax.kernels import CATALOGUE, catalogue_hash
from bot4jax.modes.setting import set_stage
from bot4jax.registry import select
from tests.checks import CHECKS, Evidence

FEATURE = """
from bot4jax.kernels.moments import mean
from bot4jax.registry import Additive, feature


@feature(
    name="{name}",
    category="statistical",
    window=64,
    unit="share",
    low=0.0,
    high=1.0,
    source="a test",
)
class ShareOfRises(Additive):
    \"\"\"Share of bars that closed above the bar before.\"\"\"

    @staticmethod
    def terms(log_return):
        return ((log_return > 0).astype(log_return.dtype),)

    @staticmethod
    def finish(rises, count):
        return mean(rises, count)

    @staticmethod
    def reference(log_return):
        return float((log_return > 0).mean())
"""


def test_a_plugin_joins_the_catalogue_and_its_hash(module):
    before, count = catalogue_hash(), len(CATALOGUE)
    name = module("rises", FEATURE.format(name="share_of_rises"))
    plugins.load([name])
    specs = select("all")
    assert len(specs) == count + 1
    assert "share_of_rises" in [spec.name for spec in specs]
    assert catalogue_hash() != before
    plugins.load([name])
    assert select("all") == specs, "loading twice changes nothing"


def test_a_plugin_keeps_every_promise(module):
    name = module("rises", FEATURE.format(name="share_of_rises"))
    plugins.load([name])
    (spec,) = select(["share_of_rises"])
    evidence = Evidence([spec])
    for check in CHECKS:
        check(spec, evidence)


def test_the_stage_is_set_with_plugins(module):
    name = module("rises", FEATURE.format(name="share_of_rises"))
    setting = set_stage(load(["debug=tiny", "data.symbols=2", f"plugins=[{name}]"]))
    assert "share_of_rises" in [spec.name for spec in setting.settings.plan.present]


def test_all_that_nobody_brings_is_told_at_once(module):
    name = module("rises", FEATURE.format(name="share_of_rises"))
    words = [f"plugins=[{name}]", "ensemble.members=[gro,trees]"]
    words += ["features.names=[share_of_rises,meen]", "features.fallback=[rsi_41]"]
    with pytest.raises(ConfigError) as told:
        set_stage(load(["debug=tiny", "data.symbols=2", *words]))
    members, read, names = sorted(told.value.problems)
    assert members.startswith("ensemble.members: no plugin registers 'gro'")
    assert names.startswith("features.names: unknown feature 'meen'")
    assert read.startswith("features.fallback: unknown feature 'rsi_41'")


def test_an_unknown_module_is_named():
    with pytest.raises(ConfigError, match=r"no module 'not_there' \(of"):
        plugins.load(["not_there.mine"])


def test_a_module_without_features_is_named(module):
    with pytest.raises(
        ConfigError, match="'empty' registers no feature, member or source"
    ):
        plugins.load([module("empty", "x = 1\n")])


def test_a_name_that_is_taken_is_named(module):
    name = module("taken", FEATURE.format(name="mean"))
    with pytest.raises(
        ConfigError, match="'taken': Feature 'mean' is registered twice"
    ):
        plugins.load([name])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "log_return",
            "logreturn",
            "'wrong': feature 'rises' reads 'logreturn', which is no column. Did you "
            "mean 'log_return'?",
        ),
        ("def terms(log_return", "def terms(flaw", "feature 'rises' reads 'flaw'"),
        (
            "def reference(",
            "def definition(",
            "Feature 'ShareOfRises' lacks reference: one that is additive is written "
            "by terms, finish, reference",
        ),
        ("def terms(", "def term(", "Feature 'ShareOfRises' lacks terms"),
        ("(Additive)", "", "Feature 'ShareOfRises' has no form: derive it from"),
    ],
    ids=["column", "streamed", "definition", "formula", "form"],
)
def test_what_is_wrong_with_a_feature_is_told(module, old, new, told):
    """Regression: each was a traceback from inside, as of a defect of the program."""
    text = FEATURE.format(name="rises").replace(old, new)
    with pytest.raises(ConfigError) as error:
        plugins.load([module("wrong", text)])
    (problem,) = error.value.problems
    assert problem.startswith("plugins: 'wrong': ")
    assert told in problem


MARKET = """
from bot4jax.registry import source


@source("mine")
def mine(config, bars):
    return None
"""


def test_a_market_that_is_none_is_told(module):
    """Regression: as above."""
    words = ["data=plugin", "data.name=mine", f"plugins=[{module('market', MARKET)}]"]
    with pytest.raises(ConfigError) as error:
        set_stage(load(["debug=tiny", *words]))
    (problem,) = error.value.problems
    start = "data.name: the plugin's 'mine' opened a NoneType without universe, columns"
    assert problem.startswith(start)
    assert "bar_count, anchors, bars; a source has" in problem


def test_what_a_plugin_lacks_itself_is_its_own_defect(module):
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        plugins.load([module("lacking", "import no_such_library\n")])


def test_nothing_is_imported_while_the_configuration_is_read(module):
    name = module("loud", "raise RuntimeError('imported')\n")
    assert load([f"plugins=[{name}]"]).plugins == (name,)
