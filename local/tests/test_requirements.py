"""Every Python package that make installs has one version, so that every machine has the same."""

import re
import subprocess
from importlib.metadata import distributions

import pytest

from gatehouse_local import ROOT

LOCAL = ROOT / "local"


def _name(text: str) -> str:
    """The name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[=\[ ]", text)[0]).lower()


def _lines(name: str) -> list[str]:
    lines = [line.split("#")[0].strip() for line in (LOCAL / name).read_text().splitlines()]
    return [line for line in lines if line]


def _pinned(suffix: str) -> set[str]:
    lines = [*_lines(f"requirements{suffix}.txt"), *_lines(f"constraints{suffix}.txt")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", line)] == []
    names = [_name(line) for line in lines]
    assert sorted(set(names)) == sorted(names), "a package is named twice"
    return set(names)


def test_what_the_tests_run_with_is_pinned():
    installed = {_name(found.name) for found in distributions()} - {"pip", "setuptools", "wheel"}
    assert installed - _pinned("") == set()


def test_what_checkov_runs_with_is_pinned():
    pinned = _pinned("-checkov")
    python = ROOT / ".venv-checkov" / "bin" / "python"
    if not python.exists():
        pytest.skip("make checkov has not been run here")
    command = [python, "-m", "pip", "freeze", "--disable-pip-version-check"]
    frozen = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert {_name(line) for line in frozen} - pinned == set()
