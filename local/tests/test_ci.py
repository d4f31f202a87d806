"""`.ci/run` does what a person does who has nothing but the README: its commands are run, in turn, where nothing is
installed. Here with a `make` that only notes what it is asked for."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from gatehouse_local import ROOT, sam
from gatehouse_local.functions import capabilities

MAKE = """#!/usr/bin/env bash
echo "make $*, $([[ -e .venv ]] && echo with || echo without) .venv" >>calls
case "$*" in
    *VENV=* | packages-checkov | check-fuzz | rehearse-if-possible) ;;
    demo-clean) rm -rf .venv target/debug ;;
    {fails}) exit 3 ;;
    *) mkdir -p .venv/bin target/debug && ln -sf "$(type -P true)" .venv/bin/python ;;
esac
"""
LOCAL_AWS = """import subprocess, sys
subprocess.run(sys.argv[1:], check=True)
"""
DEMOS = sorted(path.stem.replace("_", "-") for path in (ROOT / "local/gatehouse_local").glob("demo_*.py"))


def commands(readme):
    """The commands of the block below "Try"."""
    [block] = re.findall(r"^## Try\n\n```sh\n(.+?)^```$", readme, re.MULTILINE | re.DOTALL)
    return [line.partition("#")[0].strip() for line in block.splitlines()]


@pytest.fixture
def ci(tmp_path):
    """Runs .ci/run in a copy of the repository; its end, and the calls of make in their order."""

    def run(readme=None, fails="nothing"):
        root = tmp_path / "repository"
        shutil.copytree(ROOT / ".ci", root / ".ci")
        (root / "README.md").write_text(readme or (ROOT / "README.md").read_text())
        (root / "local").mkdir()
        shutil.copy(ROOT / "local" / "needs.sh", root / "local")
        (root / ".ci" / "local-aws").write_text(LOCAL_AWS)
        (root / ".ci" / "deny").write_text("#!/bin/sh\n")
        (root / ".venv").mkdir()  # of an earlier run
        programs = tmp_path / "bin"
        programs.mkdir()
        for name, text in (("make", MAKE.format(fails=fails)), ("chromium", "#!/bin/sh\n")):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        env = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
        ended = subprocess.run(
            [root / ".ci" / "run"], cwd=root, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        calls = (root / "calls").read_text().splitlines()
        beside = [call for call in calls if re.search(r"lambda-binaries|packages-checkov|rehearse-if-possible", call)]
        assert len(beside) == 2 + any(call.startswith("make test,") for call in calls)
        calls.remove(next(call for call in calls if call.startswith("make check-fuzz")))
        return ended, [call for call in calls if call not in beside]

    return run


def test_it_reads_the_commands_from_the_readme():
    listed = subprocess.run([ROOT / ".ci" / "try"], check=True, capture_output=True, text=True, timeout=30)
    assert listed.stdout.splitlines() == commands((ROOT / "README.md").read_text())


def test_the_readme_names_every_demo_the_local_aws_and_the_tests():
    named = commands((ROOT / "README.md").read_text())
    assert len(DEMOS) == len(capabilities())
    assert {"make demo" if demo == "demo-ip-ranges" else f"make {demo}" for demo in DEMOS} < set(named)
    assert {"make local-aws", "make test", "make demo-clean"} < set(named)


@pytest.mark.parametrize("more", ["", "make demo-new SERVICE=S3   # another one\n"])
def test_it_runs_each_command_of_the_readme_where_nothing_is_installed(ci, more):
    readme = (ROOT / "README.md").read_text().replace("make local-aws  ", f"{more}make local-aws  ")
    ended, calls = ci(readme)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    before, after = "\n".join(commands(readme)).split("\nmake test\n")
    first = [*before.splitlines(), "make test"]
    assert ("make demo-new SERVICE=S3" in first) == bool(more)
    assert calls[: len(first)] == [f"{command}, without .venv" for command in first]
    rest = [
        f"make {target}, with .venv"
        for target in (
            "lint",
            "doc",
            "check-fuzz",
            "reproducible",
            "checkov",
            "check-cdk",
            "bootstraps VENV=target/ci/venv",
        )
    ]
    assert calls[len(first) :] == rest + [f"{command}, with .venv" for command in after.splitlines()]
    assert re.search(r"^\d+ passed, 0 failed$", ended.stdout.splitlines()[-1])


def test_what_fails_is_named_and_the_rest_is_run(ci):
    ended, calls = ci(fails="demo-amis")
    assert ended.returncode == 1
    assert "FAILED: make demo-amis\n" in ended.stdout
    assert ended.stdout.splitlines()[-1].endswith(" passed, 1 failed")
    assert [call.split(",")[0] for call in calls][-2:] == ["make bootstraps VENV=target/ci/venv", "make demo-clean"]


def test_without_make_test_in_the_readme_nothing_passes(ci):
    ended, _ = ci(re.sub("^make test .*\n", "", (ROOT / "README.md").read_text(), flags=re.MULTILINE))
    assert ended.returncode == 1
    assert "The README's \"Try\" has no line 'make test'" in ended.stdout


def test_make_local_aws_is_given_an_event_of_each_capability(binary, tmp_path):
    folder = binary("ip-ranges-updater").parent
    if folder.name != "debug":
        pytest.skip("the binaries are not of a debug build: make test builds them")
    command = [sys.executable, "-m", "gatehouse_local.local_aws", "--built", tmp_path, "--port", str(sam.free_ports(2))]
    ended = subprocess.run(
        [sys.executable, ROOT / ".ci" / "local-aws", *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "local"), "CARGO_TARGET_DIR": str(folder.parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    for capability in capabilities():
        assert re.search(rf"^{capability}: events/{capability}/\S+\.json: ok$", ended.stdout, re.MULTILINE)
    assert re.search(r"^Stopped\. Calls of AWS: \w+ \d", ended.stdout, re.MULTILINE)


def test_make_local_aws_that_does_not_start_fails(tmp_path):
    ended = subprocess.run(
        [sys.executable, ROOT / ".ci" / "local-aws", sys.executable, "-c", "print('Port 4600 is in use')"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "ended before it said 'Ready.'" in ended.stderr
