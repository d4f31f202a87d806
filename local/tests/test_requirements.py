"""Every Python package that make installs has one version, so that every machine has the same."""

import os
import re
import subprocess
import sys
from importlib.metadata import distributions

import pytest
from packaging.requirements import Requirement

from gatehouse_local import ROOT

LOCAL = ROOT / "local"


def _name(text: str) -> str:
    """The name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[=\[ ]", text)[0]).lower()


def _lines(name: str) -> list[str]:
    """What the file names, and each file that it includes."""
    lines = [line.split("#")[0].strip() for line in (LOCAL / name).read_text().splitlines()]
    included = [line for other in lines if other.startswith("-r ") for line in _lines(other.removeprefix("-r "))]
    return [line for line in lines if line and not line.startswith("-r ")] + included


SUFFIXES = ("", "-demo", "-checkov", "-cdk", "-rehearse")


def _locked(suffix: str) -> dict[str, str]:
    """The packages that pip installs, and their versions."""
    blocks = re.split(r"\n(?=\S)", (LOCAL / f"locked{suffix}.txt").read_text().partition("\n")[2].strip())
    entry = re.compile(r"([\w.-]+)==([\w.]+)(?: ; [^\\]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+")
    assert [block for block in blocks if not entry.fullmatch(block)] == []
    found = [entry.fullmatch(block).groups() for block in blocks]
    locked = {_name(name): version for name, version in found}
    assert len(locked) == len(found) > 10, "a package is named twice"
    return locked


def _pinned(suffix: str) -> set[str]:
    return set(_locked(suffix))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_requirement_is_locked_in_its_version_with_the_sums_of_its_files(suffix):
    locked = _locked(suffix)
    requirements = "../functions/pipelines/cdk/requirements.txt" if suffix == "-cdk" else f"requirements{suffix}.txt"
    for line in _lines(requirements):
        name, _, version = line.partition("==")
        assert locked.get(_name(name)) == version, f"{line} is not in locked{suffix}.txt: make locks"


def test_a_lock_is_complete():
    """pip installs what it names and looks for nothing else. Extras require more: `boto3[crt]`."""
    installed = {_name(found.name): found for found in distributions()}
    locked, wanted = _locked(""), {(name, "") for name in _locked("")}
    asked: set[tuple[str, str]] = set()
    while wanted - asked:
        name, extra = it = (wanted - asked).pop()
        asked.add(it)
        for requirement in map(Requirement, (installed[name].requires if name in installed else None) or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                assert _name(requirement.name) in locked, f"{name}[{extra}] requires {requirement}: make locks"
                wanted |= {(_name(requirement.name), more) for more in requirement.extras}
    assert ("boto3", "crt") in asked


def test_the_demos_have_the_versions_of_everything_else():
    assert _locked("-demo").items() <= _locked("").items()


def test_make_installs_nothing_without_a_sum():
    makefile = (ROOT / "Makefile").read_text()
    installed = re.findall(r"^.*pip install.*$|^.*\$\(PIP\).*$", makefile, re.MULTILINE)
    assert [line for line in installed if "--require-hashes" not in line and "$(PIP) -r local/locked" not in line] == []
    assert {f"local/locked{suffix}.txt" for suffix in SUFFIXES} == set(re.findall(r"-r (local/\S+)", makefile))


def test_what_the_tests_run_with_is_pinned():
    installed = {_name(found.name) for found in distributions()} - {"pip", "setuptools", "wheel"}
    assert installed - _pinned("") == set()


def test_the_demos_environment_has_only_what_is_installed_for_them(demo_python):
    """The tests of the demos and of `make local-aws` run in it."""
    names, of_demos = ({_name(line) for line in _lines(f"requirements{which}.txt")} for which in ("", "-demo"))
    program = "import importlib.metadata as it; print(*(found.name for found in it.distributions()), sep='\\n')"
    listed = subprocess.run([demo_python, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    there = {_name(line) for line in listed.stdout.splitlines()}
    assert of_demos <= there and len(there) < 40
    assert there & (names - of_demos) == set() and "pytest" in names


@pytest.mark.parametrize(("which", "target"), [("checkov", "packages-checkov"), ("cdk", "check-cdk")])
def test_what_checkov_and_the_cdk_run_with_is_pinned(which, target):
    pinned = _pinned(f"-{which}")
    python = ROOT / f".venv-{which}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{which} is not installed here: make {target}")
    command = [python, "-m", "pip", "freeze", "--disable-pip-version-check"]
    frozen = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert {_name(line) for line in frozen} - pinned == set()


def test_what_is_skipped_says_at_the_end_how_to_install_it():
    here = "local/tests/test_amis_page.py::test_the_page_shows_what_is_decided[phone]"
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", here, "-q"],
        cwd=ROOT,
        env=os.environ | {"CHROMIUM": "/no/such/browser", "GATEHOUSE_REQUIRE_BROWSER": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    listed = ended.stdout.partition(" skipped here, and what to install ")[2]
    assert "1 test: no Chromium on this machine: sudo apt-get install chromium (Debian), " in listed
