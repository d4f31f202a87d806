"""What a person types after `--parameter-overrides`: each command of each page, through the SAM CLI's own parser."""

import json
import random
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
from samcli.cli.types import CfnParameterOverridesType
from samcli.commands.build.command import cli as build
from samcli.commands.deploy.command import cli as deploy
from samcli.commands.local.invoke.cli import cli as invoke

from gatehouse_local import ROOT, cloudformation
from template_checks.forms import FORMS, TEMPLATES
from template_checks.template import load, refuse
from template_checks.values import admitted

PAGES = [page for form in ("functions/**/*.md", "docs/*.md", "*.md") for page in sorted(ROOT.glob(form))]
COMMANDS = {"deploy": deploy, "build": build, "local invoke": invoke}
# What the shell puts in place of $(cat policy.json).
POLICY = '{\n  "Name": "expense-reports",\n  "Regex": "EID-\\\\d{9}-US"\n}'
# What sam would change: a quote in a text, an apostrophe, a regular expression with an escaped blank.
CHANGED = [
    json.dumps({"Description": 'Mask the "id" of HR'}),
    json.dumps({"Description": "Mask the employee's id"}),
    json.dumps({"Regex": "EID\\ [0-9]{9}"}),
    json.dumps({"Regex": "EID\\\\"}),
]


def written(page: Path) -> list[str]:
    """The commands of a page, in blocks and in a line, and what is said of `--parameter-overrides` alone."""
    text = page.read_text()
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))
    found = [command for line in [*lines, *inline] for command in re.split(r" && ", line)]
    return [command.strip() for command in found if "--parameter-overrides " in command]


WRITTEN = [(str(page.relative_to(ROOT)), command) for page in PAGES for command in written(page)]
OF_SAM = [(page, command) for page, command in WRITTEN if not command.startswith("aws ")]


def words_of(command: str) -> list[str]:
    """The arguments that the shell hands over."""
    words = [word.replace("$(cat policy.json)", POLICY) for word in shlex.split(command)]
    return words if words[0] == "sam" else ["sam", "deploy", *words]


def template_of(page: str, words: list[str]) -> str:
    environment = words[words.index("--config-env") + 1] if "--config-env" in words else None
    if environment is None and page.startswith("functions/"):
        environment = page.split("/")[1]
    return f"functions/{environment}/template.yaml" if environment else "template.yaml"


def parsed(words: list[str]) -> dict[str, str]:
    """What sam makes of the command. Raises click.BadParameter where it refuses it."""
    name = "local invoke" if words[1] == "local" else words[1]
    context = COMMANDS[name].make_context(name, words[1 + len(name.split()) :])
    return context.params["parameter_overrides"]


def meant(words: list[str]) -> dict[str, str]:
    """Name and value of each override, the inner quotes apart."""
    after = words[words.index("--parameter-overrides") + 1 :]
    overrides = [word for word in after[: next((i for i, it in enumerate(after) if it[0] == "-"), None)]]
    pairs = (override.partition("=")[::2] for override in overrides)
    return {name: value[1:-1] if value[:1] in ("'", '"') else value for name, value in pairs}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The repository as `sam build` leaves it: sam reads the built template before it parses anything."""
    root = tmp_path_factory.mktemp("built")
    for name in ("samconfig.toml", "template.yaml", "functions", "events"):
        (root / name).symlink_to(ROOT / name)
    for capability in [path.name for path in (ROOT / "functions").iterdir()]:
        (root / ".aws-sam").mkdir(exist_ok=True)
        (root / ".aws-sam" / capability).symlink_to(ROOT / "functions" / capability)
    (root / ".aws-sam" / "audience").symlink_to(ROOT / "functions" / "messages")
    return root


@pytest.mark.parametrize(("page", "command"), OF_SAM)
def test_a_command_of_a_page_arrives_as_it_is_meant(page, command, monkeypatch, built):
    monkeypatch.chdir(built)
    words = words_of(command)
    found = parsed(words)
    assert found == meant(words)
    declared = {}
    for template in [template_of(page, words), *(t for t in TEMPLATES if "--config-env" not in words)]:
        declared = {**load(template)["Parameters"], **declared}
    assert found.keys() <= declared.keys()
    for name, value in found.items():
        if "<" not in value:
            refuse(declared[name], name, value)


@pytest.mark.parametrize(("page", "command"), [it for it in WRITTEN if it not in OF_SAM])
def test_a_command_of_the_aws_cli_names_parameters_of_its_template(page, command):
    words = shlex.split(command.replace("<output ", "<"))
    template = cloudformation.load(ROOT / words[words.index("--template-file") + 1])
    assert meant(words).keys() <= template["Parameters"].keys()


def test_commands_are_found_in_blocks_and_in_lines():
    assert len(OF_SAM) > 30 and len(WRITTEN) > len(OF_SAM)
    assert any("$(cat policy.json)" in command for _, command in OF_SAM)
    assert any(not command.startswith("sam ") for _, command in OF_SAM), "in a line"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_setting_in_a_line_is_one_that_can_be_typed(page):
    """`Name=value` without a command: a reader types it after --parameter-overrides."""
    templates = [t for t in TEMPLATES if page.parent == ROOT or t.startswith(str(page.relative_to(ROOT))[:13])]
    declared = {name: spec for template in templates for name, spec in load(template)["Parameters"].items()}
    for name, value in re.findall(r"`([A-Z][A-Za-z]+)=([^`\n]*)`", page.read_text()):
        if name in declared and not re.search(r"[<…]|\.\.\.", value):
            assert value, f"`{name}=` is refused by sam: write '{name}=\"\"'"
            assert " " not in value.split(" --")[0], f"sam cuts {name}={value} at the blank: put quotes inside"


@pytest.mark.parametrize(
    "typed", ["Name=", "Name=rate(12 hours)", 'Name={"a": 1}', "ParameterKey=Name,ParameterValue="]
)
def test_sam_refuses_or_cuts_what_has_no_inner_quotes(typed):
    try:
        found = CfnParameterOverridesType().convert((typed,), None, None)
    except click.BadParameter:
        return
    assert found != {"Name": typed.partition("=")[2]} and "" not in found.values()


def has_what_sam_changes(policy: str) -> bool:
    """Whether the command of the README prints anything about the policy."""
    text = (ROOT / "functions" / "messages" / "README.md").read_text()
    [line] = re.findall(r"^grep .* policy\.json$", text, re.MULTILINE)
    *command, _ = shlex.split(line)
    return bool(subprocess.run(command, input=policy, capture_output=True, text=True, check=False).stdout)


def as_sam_reads(policy: str) -> str | None:
    try:
        typed = (f"DataProtectionPolicy='{policy}'",)
        return CfnParameterOverridesType().convert(typed, None, None).get("DataProtectionPolicy")
    except click.BadParameter:
        return None


@pytest.mark.parametrize("policy", CHANGED)
def test_a_policy_that_sam_would_change_is_found_by_the_command_before(policy):
    assert as_sam_reads(policy) != policy
    assert has_what_sam_changes(policy)


def test_a_policy_of_which_the_command_before_prints_nothing_arrives_whole():
    assert not has_what_sam_changes(POLICY)
    chance = random.Random(1)
    texts = ["".join(chance.choices("ab\\\"' \n\t{}[],=.é", k=chance.randint(0, 6))) for _ in range(300)]
    policies = [json.dumps({"Name": text, "Regex": "x"}, indent=chance.choice([None, 2])) for text in texts]
    kept = [policy for policy in policies if not has_what_sam_changes(policy)]
    assert 50 < len(kept) < 250
    assert [policy for policy in kept if as_sam_reads(policy) != policy] == []


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_value_that_a_parameter_takes_can_be_typed(template):
    for name, spec in load(template).get("Parameters", {}).items():
        values = [str(spec["Default"])] if "Default" in spec else []
        values += FORMS.get(name, []) + (admitted(spec, 5) if "AllowedPattern" in spec else [])
        for value in values:
            quote = "'" if '"' in value else '"'
            typed = f"{name}={quote}{value}{quote}"
            assert CfnParameterOverridesType().convert((typed,), None, None) == {name: value}, typed
