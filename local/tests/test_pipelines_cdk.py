"""The CDK app of pipelines: synthesised, and its templates judged as ours are."""

import json
import os
import shutil
import subprocess

import pytest

from gatehouse_local import ROOT
from template_checks.expansion import partition
from template_checks.pipeline_mails import change, mails
from template_checks.policy import as_list, statements
from template_checks.template import Deployed

APP = ROOT / "functions" / "pipelines" / "cdk"
PYTHON = ROOT / ".venv-cdk" / "bin" / "python"
SETTINGS = json.loads((APP / "cdk.json").read_text())["context"]
# W3005, E3703: how CDK writes every template, not what ours is about.
STYLE_OF_CDK = ["W3005", "E3703"]


@pytest.fixture(scope="module")
def synthesised(tmp_path_factory):
    """Every template of the app, by its file."""
    missing = "Node.js" if not shutil.which("node") else "aws-cdk-lib" if not PYTHON.exists() else None
    if missing:
        if os.environ.get("GATEHOUSE_REQUIRE_CDK") == "1":
            pytest.fail(f"{missing} is missing, and GATEHOUSE_REQUIRE_CDK=1 asks for it")
        pytest.skip(f"{missing} is not installed here: make check-cdk, which needs Node.js")
    folder = tmp_path_factory.mktemp("cdk")
    env = os.environ | {"CDK_OUTDIR": str(folder), "CDK_CONTEXT_JSON": json.dumps(SETTINGS)}
    env |= {"JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [PYTHON, APP / "app.py"], cwd=APP, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return {path.name: json.loads(path.read_text()) for path in folder.rglob("*.template.json")}


def pipeline(synthesised, name):
    """The stages of the pipeline of a stack: the names of their actions in the order in which they run."""
    [found] = [
        it for it in synthesised[f"{name}.template.json"]["Resources"].values() if it["Type"].endswith("::Pipeline")
    ]
    assert found["Properties"]["PipelineType"] == "V2"
    stages = {stage["Name"]: stage["Actions"] for stage in found["Properties"]["Stages"]}
    return {name: sorted(actions, key=lambda it: it["RunOrder"]) for name, actions in stages.items()}


def names(stages):
    return {name: [action["Name"] for action in actions] for name, actions in stages.items()}


def test_cfn_lint_has_nothing_to_say(synthesised):
    import cfnlint.api  # takes seconds, which each process of a run side by side would spend
    from cfnlint.config import ManualArgs

    settings = ManualArgs(regions=["eu-west-1"], ignore_checks=STYLE_OF_CDK)
    found = {name: cfnlint.api.lint(json.dumps(it), config=settings) for name, it in synthesised.items()}
    assert {name: [str(it) for it in faults] for name, faults in found.items() if faults} == {}
    assert len(synthesised) == 6


def test_the_gate_is_a_step_of_cdk_pipelines(synthesised):
    stages = names(pipeline(synthesised, "CdkPipeline"))
    assert stages["PreProduction"] == ["Endpoint.Prepare", "Endpoint.Deploy", "TestAnswers", "TestHealthy"]
    gated = ["HealthGate", "Approve", "HealthGateAgain"]
    deployed = ["Endpoint.Prepare", "Endpoint.Deploy", "TestAnswers", "TestHealthy"]
    assert stages["Production"] == gated + deployed


def test_the_gate_is_an_action_of_aws_codepipeline(synthesised):
    stages = names(pipeline(synthesised, "Pipeline"))
    assert list(stages) == ["Source", "Build", "PreProduction", "HealthGate", "Approval", "Production"]
    assert stages["PreProduction"] == ["Deploy", "TestAnswers", "TestHealthy"]
    assert stages["Production"] == ["HealthGate", "Deploy", "TestAnswers", "TestHealthy"]


@pytest.mark.parametrize("stack", ["CdkPipeline", "Pipeline"])
def test_the_pipeline_may_invoke_the_gate_with_parameters_that_it_takes(synthesised, stack):
    gates = [it for actions in pipeline(synthesised, stack).values() for it in actions if "HealthGate" in it["Name"]]
    assert len(gates) == 2
    for gate in gates:
        assert gate["ActionTypeId"] == {"Category": "Invoke", "Owner": "AWS", "Provider": "Lambda", "Version": "1"}
        # CDK takes the name out of the ARN that it makes of it.
        name = json.dumps(gate["Configuration"]["FunctionName"])
        assert f':function:{SETTINGS["gatehouse:health-gate-function-name"]}"' in name
        parameters = json.loads(gate["Configuration"]["UserParameters"])
        label = "#{codepipeline.PipelineExecutionId}"
        assert parameters == {"regions": ["eu-west-1"], "wait_minutes": 30, "label": label}
        # The role of the action, which CDK makes.
        role = gate["RoleArn"]["Fn::GetAtt"][0]
        policies = synthesised[f"{stack}.template.json"]["Resources"].values()
        rights = [
            action
            for it in policies
            if it["Type"] == "AWS::IAM::Policy" and {"Ref": role} in it["Properties"]["Roles"]
            for statement in statements(it["Properties"]["PolicyDocument"])
            for action in as_list(statement["Action"])
        ]
        assert {"lambda:InvokeFunction", "lambda:ListFunctions"} <= set(rights)


def mailed(synthesised, stack, level, state, region="eu-west-1"):
    """The topic and the text of each mail of an event; the text is empty where the action itself sends it."""
    template = synthesised[f"{stack}.template.json"]
    rules = {name: it for name, it in template["Resources"].items() if it["Type"] == "AWS::Events::Rule"}
    assert rules
    deployed = Deployed({**template, "Resources": rules}, region=region, partition=partition(region))
    # Each rule names the pipeline of the stack.
    [watched] = {it for name in rules for it in deployed.properties(name)["EventPattern"]["resources"]}
    own = [
        (action["Configuration"]["NotificationArn"], "")
        for actions in pipeline(synthesised, stack).values()
        for action in actions
        if action["ActionTypeId"]["Category"] == level == "Approval" and state == "STARTED"
        if "NotificationArn" in action.get("Configuration", {})
    ]
    return own + mails(deployed, change(level, state) | {"region": region, "resources": [watched]})


@pytest.mark.parametrize("stack", ["CdkPipeline", "Pipeline"])
def test_people_are_notified_of_what_happens_and_of_approvals(synthesised, stack):
    """One mail for one event."""
    at = "in stage Production, action Act"
    for level, state, said in [
        ("Pipeline", "STARTED", "STARTED"),
        ("Pipeline", "SUCCEEDED", "SUCCEEDED"),
        ("Pipeline", "RESUMED", "RESUMED"),
        ("Pipeline", "STOPPED", "STOPPED"),
        ("Invoke", "FAILED", f"FAILED {at}: why"),
        ("Deploy", "FAILED", f"FAILED {at}: why"),
        ("Approval", "STARTED", f"APPROVAL NEEDED {at}"),
        ("Approval", "SUCCEEDED", f"APPROVED {at}: why"),
        ("Approval", "FAILED", f"APPROVAL REFUSED OR TIMED OUT {at}: why"),
    ]:
        [(topic, text)] = mailed(synthesised, stack, level, state)
        assert topic == SETTINGS["gatehouse:notification-topic-arn"], (level, state)
        if (stack, level, state) == ("Pipeline", "Approval", "STARTED"):
            assert text == "", "the action itself asks for the approval, with the link to answer it"
            continue
        page = "https://eu-west-1.console.aws.amazon.com/codesuite/codepipeline/pipelines/web/view?region=eu-west-1"
        assert text == f"Pipeline web in eu-west-1: {said} (execution e-1, 2026-08-13T07:47:06Z) {page}"
    # The event of the action has said it.
    for level in ("Stage", "Pipeline"):
        assert mailed(synthesised, stack, level, "FAILED") == [], level


@pytest.mark.parametrize("stack", ["CdkPipeline", "Pipeline"])
def test_a_mail_links_to_the_console_of_its_partition(synthesised, stack):
    for region, domain in [
        ("cn-north-1", "amazonaws.cn"),
        ("us-gov-west-1", "amazonaws-us-gov.com"),
        ("eusc-de-east-1", "amazonaws-eusc.eu"),
    ]:
        [(_, text)] = mailed(synthesised, stack, "Deploy", "FAILED", region)
        assert f" https://{region}.console.{domain}/codesuite/" in text
