"""What is shipped: `conf/` is found from a checkout, editable install and wheel."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bot4jax.runtime import doctor

FIND = (
    "import json, sys\n"
    "from bot4jax import config, words\n"
    "from bot4jax.run import main\n"
    "code = main(['--help'])\n"
    "found = [str(words.conf_folder()), config.__file__, config.load().mode, code]\n"
    "print(json.dumps(found))"
)


@pytest.fixture(scope="module")
def pyproject(project):
    return tomllib.loads((project / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def tested(project):
    return doctor.tested_versions((project / "constraints.txt").read_text())


def requirements(*groups):
    return [Requirement(line) for group in groups for line in group]


def found_from(folder, *, site=None):
    """Where a process started in `folder` finds conf and code, and what it loads."""
    code = f"import site; site.addsitedir({str(site)!r})\n{FIND}" if site else FIND
    known = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env=known if site else known | {"PYTHONPATH": str(folder)},
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def built(project, folder, hook):
    """What the build backend makes: the call that `pip` makes without isolation."""
    code = f"import hatchling.build as b; print(b.{hook}({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=project,
        check=True,
    )
    return folder / done.stdout.splitlines()[-1]


def unpacked(wheel, folder):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_checkout_finds_conf_at_its_top(project):
    conf, code, mode, exit_code = found_from(project)
    assert conf == str(project / "conf")
    assert code == str(project / "bot4jax" / "config.py")
    assert (mode, exit_code) == ("demo", 0)


def test_editable_install_finds_conf_in_the_checkout(project, tmp_path):
    wheel = built(project, tmp_path, "build_editable")
    site = unpacked(wheel, tmp_path / "site")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    conf, code, mode, exit_code = found_from(elsewhere, site=site)
    assert conf == str(project / "conf")
    assert code == str(project / "bot4jax" / "config.py")
    assert (mode, exit_code) == ("demo", 0)


def test_wheel_finds_conf_within_the_package(project, tmp_path):
    wheel = built(project, tmp_path, "build_wheel")
    site = unpacked(wheel, tmp_path / "site")
    conf, code, mode, exit_code = found_from(site)
    assert conf == str(site / "bot4jax" / "conf")
    assert code == str(site / "bot4jax" / "config.py")
    assert (mode, exit_code) == ("demo", 0)
    shipped = {
        path.relative_to(conf) for path in (site / "bot4jax/conf").rglob("*.yaml")
    }
    assert shipped == {path.relative_to(project / "conf") for path in yamls(project)}
    assert (site / "bot4jax" / "constraints.txt").is_file()
    assert not (site / "tests").exists()


def yamls(project):
    return list((project / "conf").rglob("*.yaml"))


def test_every_conf_file_says_each_key_once(project):
    """YAML takes the last of two equal keys in silence."""
    for path in yamls(project):
        assert repeated(yaml.compose(path.read_text())) == [], path


def repeated(node):
    if not isinstance(node, yaml.MappingNode):
        return []
    names = [key.value for key, _ in node.value]
    inner = [name for _, value in node.value for name in repeated(value)]
    return [name for name in set(names) if names.count(name) > 1] + inner


def test_repeated_key_is_seen():
    assert repeated(yaml.compose("a: {b: 1, b: 2}")) == ["b"]


def test_no_conf_file_names_code_to_run(project):
    """Hydra's `_target_` executes what it names: configuration stays data."""
    assert [path for path in yamls(project) if "_target_" in path.read_text()] == []


def test_tested_versions_fit_what_is_asked_for(pyproject, tested):
    asked = requirements(
        pyproject["project"]["dependencies"],
        pyproject["project"]["optional-dependencies"]["dev"],
        pyproject["project"]["optional-dependencies"]["sweep"],
        pyproject["project"]["optional-dependencies"]["bench"],
    )
    known = {canonicalize_name(name): version for name, version in tested.items()}
    misfits = [
        str(one)
        for one in asked
        if not one.specifier.contains(known.get(canonicalize_name(one.name), "0"))
    ]
    assert misfits == []


def test_constraints_name_no_index(project):
    lines = (project / "constraints.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line) for line in pinned)
    assert len(pinned) > len(doctor.REQUIRED)


def test_doctor_knows_every_dependency(pyproject):
    asked = {one.name for one in requirements(pyproject["project"]["dependencies"])}
    assert asked | {"jaxlib"} == set(doctor.REQUIRED)


def test_readme_opens_with_the_two_commands(project):
    blocks = re.findall(
        r"```sh\n(.*?)```", (project / "README.md").read_text(), re.DOTALL
    )
    assert blocks[0].startswith("python3.11 -m venv .venv && ")
    assert blocks[0].endswith(".venv/bin/python -m bot4jax.run\n")
    assert '-e ".[dev]"' in blocks[1]
    assert blocks[1].endswith(".venv/bin/python -m pytest\n")
    assert all("-c constraints.txt" in block for block in blocks[:2])
