"""`make demo-iam-alerts` tells its story and ends well."""

import subprocess

from gatehouse_local.sns import ROOT


def tell(python, folder):
    command = [python, "-m", "gatehouse_local.demo_iam_alerts", "--bin-dir", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT / "local", check=False)


def test_the_demo_shows_verdicts_and_mails_and_ends_with_a_summary(binary, demo_python):
    ended = tell(demo_python, binary("iam-alert-mail").parent)
    assert (ended.returncode, ended.stderr) == (0, "")
    said = " ".join(ended.stdout.split())
    assert "Rule: all matches, changes no match, authorization no match" in said
    assert "Rule: all matches, changes matches, authorization no match" in said
    assert "Gatehouse iam-alerts: CreateAccessKey by ROOT in 123456789012" in said
    assert "5 calls of IAM, 4 mails with Scope=changes." in said


def test_the_demo_says_what_to_build(tmp_path, demo_python):
    ended = tell(demo_python, tmp_path)
    assert ended.returncode == 1
    assert "run `cargo build -p iam-alert-mail`." in " ".join(ended.stdout.split())
