"""The Makefile: it deletes nothing that is not ours, takes the functions from their templates, asks for what it needs
before anything slow, and shows that it lives."""

import contextlib
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gatehouse_local import ROOT, functions, sam

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
    shutil.copy(ROOT / "Cargo.toml", root)
    for name in ("needs.sh", "progress.py"):
        (root / "local").mkdir(exist_ok=True)
        shutil.copy(ROOT / "local" / name, root / "local")
    for path in ROOT.glob("local/gatehouse_local/*.py"):
        _put(root / path.relative_to(ROOT), path.read_text())
    for path in [*ROOT.glob("functions/*/template.yaml"), *ROOT.glob("functions/*/*/Cargo.toml")]:
        _put(root / path.relative_to(ROOT), path.read_text())
    for main in ROOT.glob("functions/*/*/src/main.rs"):
        _put(root / main.relative_to(ROOT), "")
    for name in ("locked", "locked-demo"):
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
    env = kept | {"GATEHOUSE_DISK_MB": "1"} | env
    done = subprocess.run(["make", *arguments], cwd=root, env=env, text=True, capture_output=True, timeout=60)
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


# What a target needs --------------------------------------------------------------------------

TOOLS = "awk bash cat cut date df dirname env head mkdir mktemp rm sed sh sort touch uname".split()
RUSTUP = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
COMPILES = "demo demo-pipelines test test-rust test-flows lint doc bench bootstraps build rehearse release".split()
INSTALLS = ["local-aws", "packages", "checkov", "lint-python"]


def _machine(tmp_path: Path, repository: Path, **programs: str | None) -> tuple[Path, Path]:
    """A folder for PATH: what every machine has, and programs that note that something slow was begun."""
    folder, begun = tmp_path / "machine", tmp_path / "begun"
    shutil.rmtree(repository / ".venv")
    for name in TOOLS:
        _put(folder / name, "").unlink()
        (folder / name).symlink_to(shutil.which(name))
    slow = f'#!{shutil.which("bash")}\necho "${{0##*/}} $*" >>"{begun}"\n'
    compiles = f"#!{shutil.which('bash')}\nexit 0\n"
    python = f"#!{shutil.which('bash')}\n[[ $1 == -c ]] && exit 0\n{slow.partition(chr(10))[2]}"
    usual = {
        "cargo": slow,
        "rustc": f"#!{shutil.which('bash')}\necho 'rustc 1.999.0 (0123456789 2026-01-01)'\n",
        "cc": compiles,
        "c++": compiles,
        "python3": python,
    }
    for name, text in (usual | programs).items():
        if text is not None:
            _put(folder / name, text).chmod(0o755)
    return folder, begun


def _refused(tmp_path, repository, target, env=None, **programs):
    """What make says where it ends at once, without having begun anything."""
    folder, begun = _machine(tmp_path, repository, **programs)
    started = time.monotonic()
    ended = subprocess.run(
        [shutil.which("make"), *target.split()],
        cwd=repository,
        env={"PATH": str(folder), "GATEHOUSE_DISK_MB": "1"} | (env or {}),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert not begun.exists(), begun.read_text()
    assert time.monotonic() - started < 10, "it is a second where nothing else runs"
    assert "Then run make again." in ended.stderr
    return ended.stderr


SHELL = "#!/bin/sh\n"
MISSING = [
    ("python3", None, "Python 3.11 or newer is missing", "sudo apt-get install python3 python3-venv"),
    ("python3", SHELL + "exit 1", "Python 3.11 or newer is missing", "brew install python"),
    ("python3", SHELL + "exit 3", "cannot make virtual environments", "sudo apt-get install python3-venv"),
    ("cc", None, "A C compiler named cc that can link is missing", "sudo apt-get install gcc libc6-dev"),
    ("cc", SHELL + "exit 1", "A C compiler named cc that can link is missing", "sudo dnf install gcc"),
    ("cargo", None, "Rust is missing: 1.", RUSTUP),
    ("rustc", None, "Rust is missing: 1.", RUSTUP),
    ("rustc", SHELL + "echo 'rustc 1.85.0 (x)'", "Rust 1.85.0 is too old: 1.", "rustup update stable"),
    ("rustc", SHELL + "echo no default toolchain >&2; exit 1", "no default toolchain", "rustup default stable"),
]


@pytest.mark.parametrize(("name", "text", "said", "cure"), MISSING)
def test_what_is_missing_is_said_before_anything_slow(repository, tmp_path, name, text, said, cure):
    told = _refused(tmp_path, repository, "demo", **{name: text})
    assert said in told and cure in told


@pytest.mark.parametrize("target", COMPILES)
def test_each_target_that_compiles_says_everything_that_is_missing_at_once(repository, tmp_path, target):
    told = _refused(tmp_path, repository, target, cc=None, python3=None, cargo=None)
    assert told.count(" is missing") == 3, told


@pytest.mark.parametrize("target", INSTALLS)
def test_each_target_that_installs_needs_python_alone(repository, tmp_path, target):
    told = _refused(tmp_path, repository, target, cc=None, python3=None, cargo=None)
    assert told.count(" is missing") == 1 and "Python 3.11 or newer" in told


def test_what_runs_below_the_progress_finds_the_programs_of_venv_first(repository, tmp_path):
    """A `python3` such as pyenv's wrapper puts its own folder first into PATH, and Cargo Lambda then found no Zig."""
    folder, _ = _machine(tmp_path, repository)
    asked = tmp_path / "asked"
    wrapped = f'PATH={tmp_path / "versions"}:$PATH exec {sys.executable} "$@"\n'
    _put(folder / "python3", f"#!{shutil.which('bash')}\n{wrapped}").chmod(0o755)
    _put(folder / "cargo", f'#!{shutil.which("bash")}\necho "${{PATH%%:*}}" >{asked}\n').chmod(0o755)
    for name in (".ready", ".ready-demo"):
        _put(repository / ".venv" / name, "")
    (repository / ".venv" / "bin").mkdir()
    (repository / ".venv" / "bin" / "python").symlink_to(sys.executable)
    subprocess.run(
        [shutil.which("make"), "lambda-binaries"],
        cwd=repository,
        env={"PATH": str(folder), "GATEHOUSE_DISK_MB": "1"},
        check=True,
        timeout=60,
    )
    assert asked.read_text() == f"{repository / '.venv' / 'bin'}\n"


def test_a_disk_that_is_too_small_is_said_before_the_first_build(repository, tmp_path):
    told = _refused(tmp_path, repository, "demo", env={"GATEHOUSE_DISK_MB": "999999999"})
    assert "MB free, and the first build needs about 999999999 MB" in told


def test_the_disk_is_that_of_the_folder_that_cargo_writes_to(repository, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = str(elsewhere / "not" / "yet")
    told = _refused(tmp_path, repository, "demo", env={"GATEHOUSE_DISK_MB": "999999999", "CARGO_TARGET_DIR": folder})
    assert f"The disk of {elsewhere} has " in told


def test_a_processor_that_rust_cannot_build_for_is_said_before_the_packages_are_installed(repository, tmp_path):
    folder, begun = _machine(tmp_path, repository)
    command = [shutil.which("make"), "release", "PROCESSORS=arm64"]
    env = {"PATH": str(folder), "GATEHOUSE_DISK_MB": "1"}
    ended = subprocess.run(command, cwd=repository, env=env, text=True, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "Rust cannot build for arm64 yet" in ended.stderr
    assert not begun.exists()


def test_a_port_that_is_taken_is_said_before_the_packages_are_installed(repository, tmp_path):
    port = sam.free_ports(2)
    with socket.create_server(("127.0.0.1", port + 1)):
        told = _refused(tmp_path, repository, f"local-aws PORT={port}")
    assert f"Port {port + 1} of 127.0.0.1 is in use by another program" in told


# It shows that it lives -----------------------------------------------------------------------

CARGO_THAT_COMPILES = """
import sys, time
def say(text): print(text, end="", file=sys.stderr, flush=True)
say("   Compiling one v1.0.0\\n")
say("    Building [=====>      ] 212/391: aws-sdk-ec2, two(build)      \\r")
time.sleep(1)
say("\\x1b[1m\\x1b[91merror\\x1b[0m: of \\N{GREEK SMALL LETTER ALPHA}\\n")
print("to stdout")
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("code", [0, 101])
def test_progress_is_shown_and_what_cargo_says_is_passed_on(code):
    ended = subprocess.run(
        [sys.executable, ROOT / "local/progress.py", "Building", sys.executable, "-c", CARGO_THAT_COMPILES, str(code)],
        env=os.environ | {"PROGRESS_SECONDS": "0.6", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (code, "to stdout\n")
    form = r"Building: 212 of 391 crates, \d s \(aws-sdk-ec2, two\(build\)\)"
    lines = ended.stderr.splitlines()
    passed_on = [line for line in lines if not re.fullmatch(form, line)]
    assert passed_on == ["   Compiling one v1.0.0", "\x1b[1m\x1b[91merror\x1b[0m: of \u03b1"]
    assert len(lines) > 2


def test_progress_keeps_one_line_on_a_terminal():
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, ROOT / "local/progress.py", "Building", sys.executable, "-c", CARGO_THAT_COMPILES, "101"],
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # Linux: the other end is closed
        while read := os.read(ours, 65536):
            seen += read
    os.close(ours)
    assert child.wait(timeout=30) == 101
    assert b"\r\x1b[KBuilding: 212 of 391 crates, 0 s (aws-sdk-ec2, two(build))" in seen
    assert b"\r\x1b[K\x1b[1m\x1b[91merror\x1b[0m: of " in seen
    assert seen.count(b"\n") == 3 and seen.endswith(b"\r\x1b[K")


def test_progress_ends_with_the_command_even_where_something_that_it_started_lives_on():
    started = time.monotonic()
    command = [sys.executable, ROOT / "local/progress.py", "Building", "sh", "-c", "sleep 30 & exit 3"]
    ended = subprocess.run(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60, check=False)
    assert ended.returncode == 3
    assert time.monotonic() - started < 20


def test_progress_reads_the_bar_of_cargo_itself(tmp_path):
    if shutil.which("cargo") is None:
        pytest.skip("Rust is not installed here: https://rustup.rs")
    _put(tmp_path / "Cargo.toml", '[package]\nname = "tiny"\nversion = "0.1.0"\nedition = "2024"\n[workspace]\n')
    _put(tmp_path / "build.rs", "fn main() { std::thread::sleep(std::time::Duration::from_secs(2)) }\n")
    _put(tmp_path / "src" / "main.rs", "fn main() {}\n")
    command = [sys.executable, ROOT / "local/progress.py", "Building", "cargo", "build", "--offline"]
    env = os.environ | {"PROGRESS_SECONDS": "0.5", "CARGO_TARGET_DIR": str(tmp_path / "target")}
    built = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=True)
    assert re.search(r"^Building: \d of \d crates, \d+ s \(.*tiny", built.stderr, re.MULTILINE), built.stderr
    assert "[=" not in built.stderr
