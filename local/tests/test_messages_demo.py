"""`make demo-messages`: what it shows, and what it says where something is missing."""

import subprocess

import pytest

from gatehouse_local import ROOT
from gatehouse_local.demo_messages import BINARIES


def run(python, folder):
    return subprocess.run(
        [python, "-m", "gatehouse_local.demo_messages", "--bin-dir", folder],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "local"), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_the_demo_shows_it(binary, demo_python):
    folders = {binary(name).parent for name in BINARIES}
    if len(folders) != 1:
        pytest.skip("the binaries are in several folders")
    ended = run(demo_python, folders.pop())
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    lines = [line.split("│") for line in ended.stdout.splitlines() if line.startswith("│")]
    [first, *_] = [[cell.strip() for cell in cells[1:-1]] for cells in lines if cells[1].strip() == "card"]
    assert first == ["card", "4539894458086459", "4539894458086459", "#" * 16]
    # Published, relayed, relayed once more, and relayed after the 503.
    assert "payment   received 4 messages, 4 of them with the card number." in ended.stdout
    assert "reporting received 4 messages, 0 of them with the card number." in ended.stdout
    assert "All of it was on this machine, and is stopped now." in ended.stdout


def test_the_demo_says_what_to_build(tmp_path, demo_python):
    ended = run(demo_python, tmp_path)
    assert ended.returncode == 1
    assert "message-redactor does not exist: run `cargo build -p message-redactor`." in ended.stdout
