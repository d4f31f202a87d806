"""What the README promises can be looked up."""

import re

import pytest

from gatehouse_local import sns

README = (sns.ROOT / "README.md").read_text()
SOURCES = "\n".join(
    path.read_text()
    for folder, form in (("functions", "*.rs"), ("shared", "*.rs"), ("local/tests", "*.py"))
    for path in (sns.ROOT / folder).rglob(form)
)


def guarantees():
    """The rows of the tables "it never … shown by": what is promised, and the names of the tests."""
    for table in re.findall(r"^\| (?:it|they) never \| shown by \|\n\|.*\n((?:\|.*\n)+)", README, re.MULTILINE):
        for row in table.splitlines():
            promise, _, tests = row.strip("| ").rpartition(" | ")
            yield promise, re.findall(r"`(\w+)`", tests)


@pytest.mark.parametrize(("promise", "tests"), list(guarantees()))
def test_each_guarantee_is_shown_by_tests_that_exist(promise, tests):
    assert tests, promise
    missing = [name for name in tests if not re.search(rf"\b(?:fn|def) {name}\(", SOURCES)]
    assert missing == []


def test_the_tables_of_guarantees_are_found():
    assert len(list(guarantees())) > 15


def test_files_that_are_linked_exist():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 10
    assert [link for link in links if not (sns.ROOT / link).exists()] == []
