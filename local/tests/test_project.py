"""What a project has besides its code: workflows, forms, owners; each is checked for what would make it useless."""

import re
import tomllib

import pytest
import yaml

from gatehouse_local import ROOT, cloudformation
from gatehouse_local.functions import capabilities

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def workflow(path):
    """The document; YAML takes the key `on` for true."""
    document = yaml.safe_load(path.read_text())
    return {("on" if key is True else key): value for key, value in document.items()}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_say_their_version(path):
    used = re.findall(r"uses: *(.*)", path.read_text())
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*", line)] == []


def test_an_action_has_one_commit_in_all_workflows():
    used = {line for path in WORKFLOWS for line in re.findall(r"uses: *(\S+@\S+ # \S+)", path.read_text())}
    repositories = ["/".join(line.split("@")[0].split("/")[:2]) for line in used]
    commits = {(repository, line.partition("@")[2]) for repository, line in zip(repositories, used, strict=True)}
    assert len(commits) == len(set(repositories)), sorted(commits)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_only_and_ends(path):
    document = workflow(path)
    assert document["permissions"] == {"contents": "read"}
    for name, job in document["jobs"].items():
        assert job["timeout-minutes"] <= 120, name


def test_codeql_reads_rust_and_python_weekly_and_at_each_change():
    document = workflow(ROOT / ".github/workflows/codeql.yml")
    assert {"push", "pull_request", "schedule"} <= document["on"].keys()
    job = document["jobs"]["analyze"]
    assert {"rust", "python"} <= set(job["strategy"]["matrix"]["language"])
    assert job["permissions"]["security-events"] == "write"
    assert [step["uses"].split("@")[0] for step in job["steps"]] == [
        "actions/checkout",
        "github/codeql-action/init",
        "github/codeql-action/analyze",
    ]


def test_the_fuzz_targets_run_each_week_for_as_long_as_the_job_lives():
    document = workflow(ROOT / ".github/workflows/fuzz.yml")
    [schedule] = document["on"]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", schedule["cron"])
    job = document["jobs"]["fuzz"]
    [seconds] = [
        int(found) for step in job["steps"] for found in re.findall(r"FUZZ_SECONDS=(\d+)", step.get("run", ""))
    ]
    manifests = [*ROOT.glob("shared/*/fuzz/Cargo.toml"), *ROOT.glob("functions/*/*/fuzz/Cargo.toml")]
    targets = sum(len(tomllib.loads(path.read_text())["bin"]) for path in manifests)
    assert targets >= 4
    # A quarter of an hour to build each.
    assert targets * (seconds + 15 * 60) <= job["timeout-minutes"] * 60


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_is_one_that_github_shows(path):
    form = yaml.safe_load(path.read_text())
    assert form.keys() == {"name", "description", "labels", "body"}
    asked = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in asked}) == len(asked)
    for field in asked:
        assert field["type"] in {"input", "textarea", "dropdown", "checkboxes"}, field
        assert field["attributes"]["label"], field
    assert any(field.get("validations", {}).get("required") for field in asked)


def test_there_is_a_form_for_a_fault_an_idea_and_a_question():
    assert {path.stem for path in FORMS} == {"bug", "idea", "question"}
    [asked] = [field for field in yaml.safe_load(FORMS[0].read_text())["body"] if field.get("id") == "capability"]
    assert asked["attributes"]["options"][:-1] == capabilities()


def test_every_file_has_an_owner():
    lines = [line for line in (ROOT / ".github/CODEOWNERS").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0].startswith("* @")


def test_what_is_supported_is_what_the_code_needs():
    support = (ROOT / "SUPPORT.md").read_text()
    assert "rust-version" in tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    needed = re.search(r"PYTHON_AT_LEAST=([\d.]+)", (ROOT / "local/needs.sh").read_text())[1]
    assert f"| {needed} and later |" in support


def test_it_is_tested_where_support_says_so():
    workflows = [yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").glob("*.y*ml")]
    jobs = [job for it in workflows for job in it["jobs"].values() if "make release" not in str(job)]
    assert {job["runs-on"] for job in jobs} == {"ubuntu-24.04"}, "of x86_64: say in SUPPORT.md what else is tested"
    assert "| where it is tested | Linux on x86_64. " in (ROOT / "SUPPORT.md").read_text()


SECURITY = dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE))


@pytest.mark.parametrize("capability", capabilities())
def test_security_names_the_topics_and_the_job_that_a_role_may_use(capability):
    resources = cloudformation.load(ROOT / "functions" / capability / "template.yaml")["Resources"]
    for it in resources.values():
        if it["Type"] != "AWS::Serverless::Function":
            continue
        row = SECURITY[it["Metadata"]["BuildProperties"]["Binary"]]
        role = it["Properties"]["Role"]["Fn::GetAtt"][0]
        policies = {
            name: other
            for name, other in resources.items()
            if f"'Ref': '{role}'" in str(other.get("Properties", {}).get("Roles"))
        }
        rights = str([resources[role], *policies.values()])
        assert "topic" in row or "sns:Publish" not in rights, row
        assert "topics" in row or "ChatPolicy" not in policies, row
        assert "`codepipeline:GetJobDetails`" in row or "codepipeline:GetJobDetails" not in rights, row


def test_the_first_readme_says_how_to_ask_and_how_to_behave():
    readme = (ROOT / "README.md").read_text()
    assert "(SUPPORT.md)" in readme and "(CODE_OF_CONDUCT.md)" in readme
