"""The story of `make demo-amis`, step by step, and the command itself."""

import subprocess

import pytest

from gatehouse_local import ROOT
from gatehouse_local.amis import Stack
from gatehouse_local.demo_amis import IMAGES, PARAMETERS, Story, by_http


def test_the_story(aws, web, binary):
    said = []
    with Stack(aws, web, binary, **PARAMETERS) as stack:
        story = Story(stack, by_http, lambda who, what: said.append(f"{who}: {what}"))
        assert list(story.play()) == [
            "approval waits",
            "link is prefetched",
            "image is shared",
            "read back",
            "image is rejected",
            "build failed",
        ]
        assert [execution.status for execution in stack.executions] == ["Success", "Rejected"]
        told = [mail.to for mail in stack.mails]
    assert told.count("target accounts") == 1
    for region, image in IMAGES.items():
        assert any(f"EC2: {image} in {region} may be launched by 111122223333" in line for line in said)
    assert "page: Approved" in said and "page: Rejected" in said


def run(python, folder):
    return subprocess.run(
        [python, "-m", "gatehouse_local.demo_amis", "--bin-dir", folder],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "local"), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_the_demo_shows_it(binary, demo_python):
    folders = {binary(name).parent for name in ("ami-approval-request", "ami-approval-page", "ami-share")}
    if len(folders) != 1:
        pytest.skip("the binaries are in several folders")
    ended = run(demo_python, folders.pop())
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert "Gatehouse amis: approve golden-al2023" in ended.stdout
    assert "may be launched by 111122223333" in ended.stdout
    assert "All of it was on this machine, and is stopped now." in ended.stdout


def test_the_demo_says_what_to_build(tmp_path, demo_python):
    ended = run(demo_python, tmp_path)
    assert ended.returncode == 1
    assert "ami-approval-request does not exist: run `cargo build -p ami-approval-request`." in ended.stdout
