"""What the READMEs promise can be looked up."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gatehouse_local import ROOT
from gatehouse_local.functions import capabilities

README = ROOT / "README.md"
READMES = [
    README,
    *(
        path
        for folder in ("functions", "shared", "local")
        for path in (ROOT / folder).rglob("README.md")
        if ".work" not in path.parts  # what a rehearsal unpacked
    ),
]
DOCS = [*(ROOT / "functions").rglob("*.md"), *(ROOT / "docs").rglob("*.md")]
PAGES = [*sorted({*READMES, *DOCS}), ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md"]
EXAMPLES = [
    (page, template)
    for page in PAGES
    for template in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    if "Resources:" in template
]
SOURCES = "\n".join(
    path.read_text()
    for folder, form in (("functions", "*.rs"), ("shared", "*.rs"), ("local/tests", "*.py"))
    for path in (ROOT / folder).rglob(form)
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def guarantees(page: Path):
    """The rows of the tables "it never … shown by": what is promised, and the names of the tests."""
    tables = re.findall(r"^\| (?:it|they) never \| shown by \|\n\|.*\n((?:\|.*\n)+)", page.read_text(), re.MULTILINE)
    for table in tables:
        for row in table.splitlines():
            promise, _, tests = row.strip("| ").rpartition(" | ")
            yield promise, re.findall(r"`(\w+)`", tests)


GUARANTEES = [(name_of(page), *row) for page in READMES for row in guarantees(page)]


@pytest.mark.parametrize(("page", "promise", "tests"), GUARANTEES)
def test_each_guarantee_is_shown_by_tests_that_exist(page, promise, tests):
    assert tests, promise
    missing = [name for name in tests if not re.search(rf"\b(?:fn|def) {name}\(", SOURCES)]
    assert missing == []


@pytest.mark.parametrize("capability", capabilities())
def test_each_capability_has_a_readme_with_guarantees_that_the_first_one_links_to(capability):
    page = f"functions/{capability}/README.md"
    assert len([row for row in GUARANTEES if row[0] == page]) >= 5
    assert f"]({page})" in README.read_text()


@pytest.mark.parametrize(("page", "template"), EXAMPLES, ids=[name_of(page) for page, _ in EXAMPLES])
def test_an_example_for_cloudformation_is_a_valid_template(page, template, tmp_path):
    (tmp_path / "template.yaml").write_text(template)
    linted = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", tmp_path / "template.yaml"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_examples_are_found():
    assert len(EXAMPLES) >= 3


def test_the_first_readme_is_short():
    assert len(README.read_text().splitlines()) <= 150


def test_the_picture_of_the_suite_is_on_the_first_screen_and_the_demo_below_it():
    lines = README.read_text().splitlines()
    picture = next(number for number, line in enumerate(lines) if "](docs/suite.svg)" in line)
    assert picture < 10
    assert 0 < lines.index("```") - picture < 6
