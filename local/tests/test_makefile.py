"""The Makefile: it deletes nothing that is not ours, and takes the functions from their templates."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gatehouse_local import ROOT, functions

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

CARGO = """#!/bin/sh
echo "$@" >>"{calls}"
"""
PYTHON = """#!/bin/sh
case "$2" in
    gatehouse_local.functions) exec {python} "$@" ;;
    *) echo "$@" >>"{calls}" ;;
esac
"""


@pytest.fixture
def repository(tmp_path):
    """A copy of the Makefile and of what it asks, with a build and a source file in it."""
    root = tmp_path / "repository"
    root.mkdir()
    shutil.copy(ROOT / "Makefile", root)
    for path in ROOT.glob("local/gatehouse_local/*.py"):
        _put(root / path.relative_to(ROOT), path.read_text())
    for path in [*ROOT.glob("functions/*/template.yaml"), *ROOT.glob("functions/*/*/Cargo.toml")]:
        _put(root / path.relative_to(ROOT), path.read_text())
    for main in ROOT.glob("functions/*/*/src/main.rs"):
        _put(root / main.relative_to(ROOT), "")
    for name in ("requirements", "requirements-demo", "constraints"):
        _put(root / "local" / f"{name}.txt", "")
    for name in (".ready", ".ready-demo"):
        _put(root / ".venv" / name, "")
    _put(root / "shared" / "src" / "lib.rs", "")
    return root


def _put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _make(root: Path, *arguments: str, **env: str) -> str:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(["make", *arguments], cwd=root, env=kept | env, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("target", ["clean", "demo-clean"])
@pytest.mark.parametrize("how", ["TARGET_DIR", "CARGO_TARGET_DIR", "relative", "link"])
def test_a_target_folder_outside_the_repository_is_kept(repository, tmp_path, target, how):
    shared = tmp_path / "shared-target"
    built = _put(shared / "debug" / "another-project", "")
    match how:
        case "TARGET_DIR":
            said = _make(repository, target, f"TARGET_DIR={shared}")
        case "CARGO_TARGET_DIR":
            said = _make(repository, target, CARGO_TARGET_DIR=str(shared))
        case "relative":
            said = _make(repository, target, "TARGET_DIR=../shared-target")
        case "link":
            (repository / "target").symlink_to(shared)
            said = _make(repository, target)
    assert built.exists()
    assert f"Not deleted: {shared.resolve()}" in said


@pytest.mark.parametrize("inside", [".", "shared", "functions/../shared"])
def test_sources_are_kept_whatever_the_target_folder_is(repository, inside):
    said = _make(repository, "clean", f"TARGET_DIR={inside}")
    assert (repository / "shared" / "src" / "lib.rs").exists()
    assert "Not deleted: " in said


def test_what_was_built_here_is_removed(repository):
    debug = _put(repository / "target" / "debug" / "demo", "")
    release = _put(repository / "target" / "release" / "function", "")
    sam = _put(repository / ".aws-sam" / "build" / "template.yaml", "")
    said = _make(repository, "demo-clean")
    assert not debug.exists() and not (repository / ".venv").exists()
    assert release.exists() and sam.exists()
    assert "Not deleted" not in said
    said = _make(repository, "clean")
    assert not (repository / "target").exists() and not (repository / ".aws-sam").exists()
    assert "Not deleted" not in said
    _make(repository, "clean")  # nothing is there: no fault


def _recorded(repository: Path, tmp_path: Path, *arguments: str) -> list[str]:
    """What make ran of cargo and of Python, the list of functions excepted."""
    calls = tmp_path / "calls"
    for name, script in (("cargo", CARGO), ("python", PYTHON)):
        path = _put(tmp_path / "bin" / name, script.format(calls=calls, python=sys.executable))
        path.chmod(0o755)
    programs = [f"CARGO={tmp_path}/bin/cargo", f"PYTHON={tmp_path}/bin/python"]
    _make(repository, *arguments, *programs)
    return calls.read_text().splitlines()


@pytest.mark.parametrize("demo", sorted(path.stem for path in ROOT.glob("local/gatehouse_local/demo_*.py")))
def test_a_demo_builds_only_what_it_runs(repository, tmp_path, demo):
    capability = demo.removeprefix("demo_").replace("_", "-")
    build, run = _recorded(repository, tmp_path, f"demo-{capability}")
    of_capability = [it.binary for it in functions.functions() if it.capability == capability]
    bins = [f"--bin {binary}" for binary in dict.fromkeys(of_capability)]
    assert bins and build == f"build --workspace --example features {' '.join(bins)}"
    assert run == f"-m gatehouse_local.{demo} --bin-dir target/debug"


def test_the_first_demo_takes_settings(repository, tmp_path):
    _, run = _recorded(repository, tmp_path, "demo", "SERVICE=S3", "PORTS=80,443")
    assert run.endswith(" --service S3 --ports 80,443")


def test_lambda_binaries_are_compiled_in_one_pass(repository, tmp_path):
    (build,) = _recorded(repository, tmp_path, "lambda-binaries")
    option = " --arm64" if platform.machine() in ("arm64", "aarch64") else ""
    bins = " ".join(f"--bin {binary}" for binary in dict.fromkeys(it.binary for it in functions.functions()))
    assert build == f"lambda build --release{option} {bins}"


def test_linting_the_templates_performs_the_transform(repository):
    template = repository / "functions/amis/template.yaml"
    for tool, script in (
        ("cfn-lint", "exit 0"),
        ("python", "exit 0"),
        ("sam", f'exec {sys.executable} -m samcli "$@"'),
    ):
        _put(repository / ".venv" / "bin" / tool, f"#!/bin/sh\n{script}\n").chmod(0o755)
    environment = {"AWS_CONFIG_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
    _make(repository, "lint-templates", "TEMPLATES=functions/amis/template.yaml", **environment)

    properties = r"(    Type: AWS::Serverless::HttpApi\n(?:.*\n)*?    Properties:\n)"
    template.write_text(re.sub(properties, r"\1      Name: approval\n", template.read_text(), count=1))
    with pytest.raises(AssertionError, match="ApprovalApi"):
        _make(repository, "lint-templates", "TEMPLATES=functions/amis/template.yaml", **environment)


def test_every_function_is_named_by_its_template_alone():
    names = {name for function in functions.functions() for name in (function.binary, function.logical_id)}
    for path in (ROOT / "Makefile", ROOT / ".ci" / "run", ROOT / "local" / "gatehouse_local" / "bench.py"):
        assert [name for name in names if name in path.read_text()] == [], path
