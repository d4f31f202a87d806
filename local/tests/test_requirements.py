"""Every Python package that make installs has one version, so that every machine has the same."""

import re
import subprocess
import sys
from importlib.metadata import distributions, packages_distributions

import pytest

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


def _pinned(suffix: str) -> set[str]:
    lines = [*_lines(f"requirements{suffix}.txt"), *_lines(f"constraints{suffix}.txt")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", line)] == []
    names = [_name(line) for line in lines]
    assert sorted(set(names)) == sorted(names), "a package is named twice"
    return set(names)


def test_what_the_tests_run_with_is_pinned():
    installed = {_name(found.name) for found in distributions()} - {"pip", "setuptools", "wheel"}
    assert installed - _pinned("") == set()


def test_the_demos_import_only_what_is_installed_for_them():
    names, of_demos = ({_name(line) for line in _lines(f"requirements{which}.txt")} for which in ("", "-demo"))
    assert of_demos < names
    found = packages_distributions().items()
    missing = [module for module, packages in found if {_name(package) for package in packages} & (names - of_demos)]
    modules = [path.stem for path in sorted((LOCAL / "gatehouse_local").glob("demo_*.py"))]
    assert "pytest" in missing and "demo_ip_ranges" in modules
    imports = "".join(f"\nimport gatehouse_local.{module}" for module in (*modules, "local_aws"))
    program = f"import sys\nsys.modules.update(dict.fromkeys({missing}))" + imports
    subprocess.run([sys.executable, "-c", program], check=True, cwd=LOCAL, timeout=60)


def test_what_checkov_runs_with_is_pinned():
    pinned = _pinned("-checkov")
    python = ROOT / ".venv-checkov" / "bin" / "python"
    if not python.exists():
        pytest.skip("make checkov has not been run here")
    command = [python, "-m", "pip", "freeze", "--disable-pip-version-check"]
    frozen = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert {_name(line) for line in frozen} - pinned == set()
