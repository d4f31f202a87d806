"""What the READMEs promise can be looked up."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from gatehouse_local import ROOT, cloudformation
from gatehouse_local.functions import capabilities

SESSION = botocore.session.get_session()
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
TERRAFORM = [
    (page, block) for page in PAGES for block in re.findall(r"^```hcl\n(.*?)^```", page.read_text(), re.M | re.S)
]


def names_of_tests(text: str) -> list[str]:
    """The names of the tests in a file of Rust or Python: no other function shows anything."""
    attribute = r"#\[(?:tokio::)?test(?:\([^)]*\))?\]"
    rust = rf"{attribute}\s+(?:(?:#\[[^\n]*\]|//[^\n]*)\s+)*(?:async )?fn (\w+)\("
    return re.findall(rust, text) + re.findall(r"^ *def (test_\w+)\(", text, re.MULTILINE)


TESTS = {
    name
    for folder, form in (("functions", "*.rs"), ("shared", "*.rs"), ("local/tests", "*.py"))
    for path in (ROOT / folder).rglob(form)
    for name in names_of_tests(path.read_text())
}


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
    assert set(tests) - TESTS == set()


def test_a_function_that_is_no_test_shows_nothing():
    text = """
        fn plain() {}
        #[test]
        fn one() {}
        #[tokio::test(start_paused = true)]
        // Why.
        #[expect(clippy::unwrap_used)]
        async fn two() {}
        proptest! {
            #[test]
            fn three(it in 0..9) {}
        }
    """
    assert names_of_tests(text) == ["one", "two", "three"]
    assert names_of_tests("def test_four():\n    pass\ndef five():\n    pass\n") == ["test_four"]


@pytest.mark.parametrize("capability", capabilities())
def test_each_capability_has_a_readme_with_guarantees_that_the_first_one_links_to(capability):
    page = f"functions/{capability}/README.md"
    assert len([row for row in GUARANTEES if row[0] == page]) >= 5
    assert f"]({page})" in README.read_text()


@pytest.mark.lint
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
    assert len(EXAMPLES) >= 3 and len(TERRAFORM) >= 4


@pytest.mark.parametrize(("page", "block"), TERRAFORM, ids=[name_of(page) for page, _ in TERRAFORM])
def test_a_block_of_terraform_is_one(page, block):
    """By a parser, and as Terraform itself writes it, where it is installed. What is in it only its provider knows."""
    hcl2 = pytest.importorskip("hcl2", reason="python-hcl2 is not installed here: make packages")
    assert hcl2.loads(block).keys() - {"__comments__"} <= {"data", "resource", "provider"}
    if shutil.which("terraform"):
        written = subprocess.run(
            ["terraform", "fmt", "-"], input=block, capture_output=True, text=True, timeout=60, check=False
        )
        assert (written.returncode, written.stdout) == (0, block), written.stderr


# What the AWS CLI adds to the calls of a service: options of its own, commands of its own, and one other name.
CLI_OPTIONS = {"--cli-binary-format", "--cli-read-timeout", "--output", "--query", "--region"}
CLI_COMMANDS = {("cloudformation", "deploy"), ("configure", "export-credentials"), ("logs", "tail")}
CLI_NAMES = {"--notification-endpoint": "Endpoint"}


def commands_of_aws(page: Path):
    """Each command of the AWS CLI on a page, as words, and whether it is whole: one in a line may be only named."""
    text = re.sub(r"<(?:output )?[^<>\n]*>", "X", page.read_text())
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        block = block.replace("\\\n", "")
        for command in re.findall(r"\$\((aws [^()]*)\)|^ +(aws .*?)(?: \|\| break)?$", block, re.MULTILINE):
            yield shlex.split("".join(command)), True  # within a loop
        for command in re.split(r"\n(?=[a-z])", block.strip()):
            if command.startswith("aws "):
                yield shlex.split(command.partition(" >")[0]), True
    for command in re.findall(r"`(aws [a-z0-9]+ [a-z-]+[^`]*)`", text):
        yield shlex.split(command), False


COMMANDS_OF_AWS = {
    (name_of(page), " ".join(words)): (words, is_whole) for page in PAGES for words, is_whole in commands_of_aws(page)
}


@pytest.mark.parametrize(("page", "command"), COMMANDS_OF_AWS)
def test_a_command_of_the_aws_cli_is_a_call_that_takes_its_options(page, command):
    (_, service, operation, *rest), is_whole = COMMANDS_OF_AWS[page, command]
    if (service, operation) in CLI_COMMANDS:
        return
    model = SESSION.get_service_model(service)
    [call] = [model.operation_model(it) for it in model.operation_names if xform_name(it, "-") == operation]
    members = {f"--{xform_name(it, '-')}": it for it in call.input_shape.members} | CLI_NAMES
    options = [it.replace("--no-", "--") for it in rest if it.startswith("--")]
    assert set(options) - CLI_OPTIONS <= members.keys()
    given = {members[it]: following for it, following in zip(rest, [*rest, ""][1:], strict=True) if it in members}
    for name, value in given.items():
        if name in call.input_shape.members and (values := call.input_shape.members[name].metadata.get("enum")):
            assert value in values, name
    assert not is_whole or given.keys() >= set(call.input_shape.required_members)


def test_the_first_readme_says_what_the_suite_deploys():
    parameters = cloudformation.load(ROOT / "template.yaml")["Parameters"]
    chosen = {name: it["Default"] for name, it in parameters.items() if name.startswith("Deploy")}
    [said] = re.findall(r"The suite is ([^;]+); add ([^.]+)\.", README.read_text())
    assert set(re.findall(r"`(Deploy\w+)=Yes", said[1])) == {
        name for name, default in chosen.items() if default == "No"
    }
    assert {f"Deploy{it.title().replace('-', '')}" for it in re.split(r"\s+and\s+", said[0])} == {
        name for name, default in chosen.items() if default == "Yes"
    }


def test_the_first_readme_is_short():
    assert len(README.read_text().splitlines()) <= 150


def test_the_picture_of_the_suite_is_on_the_first_screen_and_the_demo_below_it():
    lines = README.read_text().splitlines()
    picture = next(number for number, line in enumerate(lines) if "](docs/suite.svg)" in line)
    assert picture < 10
    assert 0 < lines.index("```") - picture < 6
