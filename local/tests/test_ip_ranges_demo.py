"""`make demo`, run as make runs it: what it prints is what happened."""

import os
import re
import subprocess

import pytest

from gatehouse_local import ROOT, ranges

NUMBERS = re.compile(r"│ (AUTOUPDATE_\S+) +│ +(none|\d+ \+ +\d+) │ +(\d+) \+ +(\d+) │ +(\+\d+)? +│ +(-\d+)? +│")


def demo(python, folder, *options):
    """Runs the demo as `make demo` does."""
    command = [python, "-m", "gatehouse_local.demo_ip_ranges", "--bin-dir", str(folder), *options]
    wide = os.environ | {"COLUMNS": "100", "PYTHONPATH": str(ROOT / "local")}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=wide, check=False)


@pytest.fixture(scope="module")
def printed(binary, demo_python):
    """What the demo prints."""
    ended = demo(demo_python, binary("ip-ranges-updater").parent)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def steps(printed):
    """What the demo prints, by the heading of each step."""
    start, *rest = re.split(r"^(\S.*?) ─+\n", printed, flags=re.MULTILINE)
    return {"start": start} | dict(zip(rest[::2], rest[1::2], strict=True))


def table(text):
    """The rows of the table of groups: name, what it held before, IPv4 and IPv6 after, added, removed."""
    return [
        (name, before, int(ipv4), int(ipv6), int(added or 0), int(removed or 0))
        for name, before, ipv4, ipv6, added, removed in NUMBERS.findall(text)
    ]


def families(document):
    """How many rules of each family CLOUDFRONT needs."""
    rules = document.rules("CLOUDFRONT")
    ipv6 = sum(":" in rule for rule in rules)
    return len(rules) - ipv6, ipv6


def test_the_first_run_fills_new_groups(steps):
    rows = table(steps["1. AWS announces its ranges"])
    assert [name for name, *_ in rows] == [f"AUTOUPDATE_CLOUDFRONT_443_{number}" for number in (1, 2, 3)]
    assert {before for _, before, *_ in rows} == {"none"}
    assert (sum(row[2] for row in rows), sum(row[3] for row in rows)) == families(ranges.first())
    assert "carries 3." in steps["1. AWS announces its ranges"]


def test_the_second_run_writes_the_difference(steps):
    text, old, new = steps["2. A day later: another edition"], ranges.first(), ranges.second()
    rows = table(text)
    assert (sum(row[2] for row in rows), sum(row[3] for row in rows)) == families(new)
    wanted, stale = (len(a.rules("CLOUDFRONT") - b.rules("CLOUDFRONT")) for a, b in ((new, old), (old, new)))
    assert (sum(row[4] for row in rows), sum(row[5] for row in rows)) == (wanted, -stale)
    assert f"carries {len(rows)} now" in text


def test_the_third_run_changes_nothing(steps):
    ipv4, ipv6 = families(ranges.second())
    held = f"4 groups hold {ipv4} IPv4 and {ipv6} IPv6 ranges."
    assert f"No group changed: {held}" in steps["3. The daily schedule: nothing to do"]
    assert held in steps["Summary"]


def test_a_forged_notice_is_refused_and_changes_nothing(steps):
    text = steps["4. Somebody forges a notice"]
    assert re.search(r"^Refused: .*Signature", text, re.MULTILINE)
    assert "AWS calls that changed anything: 0." in text


def test_the_summary_counts_each_run(steps):
    rows = re.findall(r"│ (\d)\. [^│]+ │ +[\d,]+ ms │ +(\d+) │ +(\d+) │", steps["Summary"])
    assert [number for number, *_ in rows] == ["1", "2", "3"]
    writes = [int(count) for _, _, count in rows]
    assert writes[0] > 0 and writes[1] > 0 and writes[2] == 0
    assert re.search(r"^Done in \d+ s\. All of it was on this machine, and is stopped now\.$", steps["Summary"], re.M)


def test_a_service_that_does_not_exist_ends_the_demo_with_the_functions_error(binary, demo_python):
    ended = demo(demo_python, binary("ip-ranges-updater").parent, "--service", "CLOUDFRNT")
    assert ended.returncode == 1
    assert re.search(r"^UnknownService: .*CLOUDFRONT", ended.stdout, re.MULTILINE)
    assert "Everything is stopped." in ended.stdout


def without_chance(lines):
    """What the demo prints, without what differs from run to run: a port, and how long it took."""
    text = "\n".join(line.rstrip() for line in lines)
    return re.sub(r"(?<=127\.0\.0\.1:)\d+|(?<=Took )[\d,]+", "…", text).splitlines()


def test_the_excerpt_in_the_readme_is_how_it_begins(printed):
    readme = (ROOT / "README.md").read_text()
    excerpt = re.search(r"^```\n(.+?)^```$", readme, re.MULTILINE | re.DOTALL)[1].splitlines()
    assert len(excerpt) == 20
    assert without_chance(excerpt) == without_chance(printed.splitlines()[:20])
