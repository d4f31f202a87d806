"""Each demo as make runs it, in an environment that has nothing but its packages: it ends well, or says what to build.

What `make demo` prints is in test_ip_ranges_demo.py, the story of `make demo-pipelines` in test_pipelines_demo.py.
"""

import os
import re
import subprocess

import pytest

from gatehouse_local import ROOT
from gatehouse_local.functions import functions

BINARIES = {
    demo: list(dict.fromkeys(it.binary for it in functions() if it.capability == demo.replace("_", "-")))
    for demo in sorted(path.stem.removeprefix("demo_") for path in ROOT.glob("local/gatehouse_local/demo_*.py"))
}
# What each shows. That of ip-ranges is looked at step by step.
SAID = {
    "amis": [
        "Gatehouse amis: approve golden-al2023",
        "ami-0123456789abcdef0 in us-east-1 may be launched by 111122223333",
        "ami-0fedcba9876543210 in eu-west-1 may be launched by 111122223333",
        "page: Approved",
        "page: Rejected",
    ],
    "iam_alerts": [
        "Rule: all matches, changes no match, authorization no match",
        "Rule: all matches, changes matches, authorization no match",
        "Gatehouse iam-alerts: CreateAccessKey by ROOT in 123456789012",
        "5 calls of IAM, 4 mails with Scope=changes.",
    ],
    "messages": [
        f"│ card │ 4539894458086459 │ 4539894458086459 │ {'#' * 16} │",
        # Published, relayed, relayed once more, and relayed after the 503.
        "payment received 4 messages, 4 of them with the card number.",
        "reporting received 4 messages, 0 of them with the card number.",
    ],
    "pipelines": [
        "a notification is sent to the topic: Gatehouse pipelines: an AWS issue closed, 1 stage retried",
        "The gate was asked 3 times: Failed, Failed, Succeeded.",
        "The stage was retried 2 times of at most 3; it is Succeeded now.",
    ],
}


def run(python, name, folder):
    env = {name: os.environ[name] for name in ("CHROMIUM",) if name in os.environ}
    return subprocess.run(
        [python, "-m", f"gatehouse_local.demo_{name}", "--bin-dir", folder],
        cwd=ROOT,
        env=env | {"PYTHONPATH": str(ROOT / "local"), "PATH": os.defpath, "HOME": "/nonexistent", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_every_demo_is_run():
    assert {*SAID, "ip_ranges"} == BINARIES.keys()


@pytest.mark.parametrize("name", SAID)
def test_the_demo_ends_well(binary, demo_python, name):
    folders = {binary(it).parent for it in BINARIES[name]}
    if len(folders) != 1:
        pytest.skip("the binaries are in several folders")
    ended = run(demo_python, name, folders.pop())
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    said = re.sub(r"\s+", " ", ended.stdout)
    assert [it for it in [*SAID[name], "All of it was on this machine, and is stopped now."] if it not in said] == []
    if name == "amis":
        assert said.count("To: target accounts") == 1


@pytest.mark.parametrize("name", BINARIES)
def test_the_demo_says_what_to_build(tmp_path, demo_python, name):
    ended = run(demo_python, name, tmp_path)
    assert ended.returncode == 1
    assert re.search(rf"/({'|'.join(BINARIES[name])}) does not exist: run `cargo build -p \1`\.", ended.stdout)
