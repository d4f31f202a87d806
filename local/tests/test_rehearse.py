"""`make rehearse`, as far as it goes without LocalStack: what is deployed, what is compared, how a function is run."""

import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
import tomllib
import types
from pathlib import Path

import pytest
from rich.console import Console
from samcli.cli.types import CfnParameterOverridesType

from gatehouse_local import ROOT, events, runtime_api
from gatehouse_local.functions import functions
from gatehouse_local.runtime_api import RuntimeApi
from rehearse import built, faults, readback, recording
from rehearse.__main__ import report
from rehearse.deployments import DEPLOYMENTS, SUITE, chosen, filled, overrides
from rehearse.expected import Expected, expect
from rehearse.story import Row
from rehearse.world import HUB, Stack
from template_checks.expansion import Refused

THERE = {
    "@topic": f"arn:aws:sns:us-east-1:{HUB}:rehearsal-alarms",
    "@key": f"arn:aws:kms:us-east-1:{HUB}:key/5a1e6b1c-0000-4000-8000-000000000000",
}
IDS = {"HubBus": "hub", "ApprovalTopic": f"arn:aws:sns:us-east-1:{HUB}:reports"}
ON_TOP = [it.on_top(Stack(None, it.stack, HUB, Expected({}, {}), IDS)) for it in DEPLOYMENTS if it.on_top]

PYTHON = ROOT / ".venv-rehearse" / "bin" / "python"

# What is deployed -----------------------------------------------------------------------------


@pytest.mark.parametrize("deployment", [*DEPLOYMENTS, *ON_TOP], ids=lambda it: it.stack)
def test_its_template_admits_the_parameters_of_each_deployment(deployment):
    given = deployment.given(THERE)
    assert expect(deployment.template, deployment.stack, given, deployment.account).count >= 5
    expect(deployment.template, deployment.stack, given | filled(deployment.update, THERE), deployment.account)


@pytest.mark.parametrize("deployment", [*DEPLOYMENTS, *ON_TOP], ids=lambda it: it.stack)
def test_sam_understands_the_parameters_as_they_are_meant(deployment):
    for given in filter(None, (deployment.given(THERE), filled(deployment.update, THERE))):
        assert CfnParameterOverridesType().convert(tuple(overrides(given)), None, None) == given


def test_what_the_transform_or_a_rule_refuses_is_not_deployed(tmp_path):
    source = (ROOT / "functions/amis/template.yaml").read_text()
    with pytest.raises(Refused, match="Nobody would receive an approved image"):
        expect(ROOT / "functions/amis/template.yaml", "made", {})
    (tmp_path / "template.yaml").write_text(
        source.replace("      DefinitionBody:", "      Name: it\n      DefinitionBody:")
    )
    with pytest.raises(Refused, match="Unable to set Name because it is already defined"):
        expect(tmp_path / "template.yaml", "made", {"TargetAccountIds": HUB})


def test_every_config_env_is_rehearsed_with_default_and_with_rich_parameters():
    known = tomllib.loads((ROOT / "samconfig.toml").read_text()).keys() - {"version"}
    assert known == {it.config_env for it in DEPLOYMENTS} and SUITE in known
    for config_env in known:
        rehearsed = {it.which: it for it in DEPLOYMENTS if it.config_env == config_env}
        assert {"default", "rich"} <= rehearsed.keys() and rehearsed["rich"].flows
        needed = {"TargetAccountIds"} if config_env == "amis" else set()
        assert rehearsed["default"].parameters.keys() == needed


def test_every_template_is_rehearsed_or_named_as_not():
    page = (ROOT / "local/rehearse/README.md").read_text()
    rehearsed = {it.template for it in (*DEPLOYMENTS, *ON_TOP)}
    others = {path for path in ROOT.glob("functions/*/*.yaml")} - rehearsed
    named = re.search(r"^Not rehearsed: (.*?)\n\n", page, re.MULTILINE | re.DOTALL)[1]
    assert {path.name for path in others} == set(re.findall(r"`([\w-]+\.yaml)`", named))


def test_stacks_are_chosen_by_name_or_by_config_env():
    assert [it.stack for it in chosen(["gatehouse-amis", "messages"])] == [
        "gatehouse-amis",
        *(it.stack for it in DEPLOYMENTS if it.config_env == "messages"),
    ]
    assert chosen([]) == DEPLOYMENTS
    with pytest.raises(ValueError, match="no such stack: amsi; known: amis, "):
        chosen(["amsi"])


def test_each_function_is_a_script_that_starts_its_binary(tmp_path):
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for function in functions():
        (binaries / function.binary).write_text(f"#!/bin/sh\necho {function.binary}\n")
        (binaries / function.binary).chmod(0o755)
    built.write(tmp_path / "work", binaries)
    for function in functions():
        for folder in (function.capability, f"build/{_nested(function.capability)}"):
            bootstrap = tmp_path / "work" / ".aws-sam" / folder / function.logical_id / "bootstrap"
            said = subprocess.run([bootstrap], check=True, capture_output=True, text=True, timeout=10).stdout
            assert said == f"{function.binary}\n"


def _nested(capability: str) -> str:
    return "".join(word.capitalize() for word in capability.split("-"))


# What is compared -----------------------------------------------------------------------------

QUEUE_URL = f"http://localhost:4810/{HUB}/made-Queue-0f1e2d3c"
EXPECTED = Expected(
    {
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"MessageRetentionPeriod": 1209600}},
        "Policy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": ["<Queue>"],
                "PolicyDocument": {"Statement": [{"Sid": "Keep", "Resource": "<Queue.Arn>"}]},
            },
        },
        "Trail": {"Type": "AWS::CloudTrail::Trail"},
    },
    {},
)


class Service:
    """CloudFormation and SQS, which answer what the test says."""

    def __init__(self):
        kinds = {name: resource["Type"] for name, resource in EXPECTED.resources.items()}
        self.resources = {
            name: {
                "LogicalResourceId": name,
                "PhysicalResourceId": QUEUE_URL if name == "Queue" else f"made-{name}",
                "ResourceType": kind,
                "ResourceStatus": "CREATE_COMPLETE",
            }
            for name, kind in kinds.items()
        }
        statement = {"Sid": "Keep", "Resource": f"arn:aws:sqs:us-east-1:{HUB}:made-Queue-0f1e2d3c", "Effect": "Allow"}
        self.attributes = {"MessageRetentionPeriod": "1209600", "Policy": json.dumps({"Statement": [statement]})}

    def __call__(self, service):
        return self

    def describe_stack_resources(self, StackName):
        return {"StackResources": list(self.resources.values())}

    def get_queue_attributes(self, QueueUrl, AttributeNames):
        assert QueueUrl == QUEUE_URL
        return {"Attributes": self.attributes}


@pytest.fixture
def service():
    return Service()


def wrong(service):
    return readback.compare(service, "made", EXPECTED).wrong


def test_a_stack_that_is_as_its_template_says_passes(service):
    found = readback.compare(service, "made", EXPECTED)
    assert (found.made, found.wrong) == (3, [])
    assert found.excused == {("AWS::CloudTrail::Trail", "")}


# What is changed in the stack, and what is said of it.
WRONG = {
    "missing": (
        lambda it: it.resources.pop("Policy"),
        ["made: Policy (AWS::SQS::QueuePolicy) is missing"],
    ),
    "failed": (
        lambda it: it.resources["Trail"].update(ResourceStatus="CREATE_FAILED"),
        ["made: Trail (AWS::CloudTrail::Trail) is CREATE_FAILED"],
    ),
    "another type": (
        lambda it: it.resources["Trail"].update(ResourceType="AWS::S3::Bucket"),
        ["made: Trail is a AWS::S3::Bucket, the template says AWS::CloudTrail::Trail"],
    ),
    "not expected": (
        lambda it: it.resources.update(Extra=it.resources["Queue"] | {"LogicalResourceId": "Extra"}),
        ["made: Extra (AWS::SQS::Queue) is not expected"],
    ),
    "another value": (
        lambda it: it.attributes.update(MessageRetentionPeriod="60"),
        ["made: Queue (AWS::SQS::Queue) has MessageRetentionPeriod '60', the template says 1209600"],
    ),
    "a reference that leads elsewhere": (
        lambda it: it.attributes.update(Policy=it.attributes["Policy"].replace("made-Queue", "other-Queue")),
        ["made: Policy (AWS::SQS::QueuePolicy) has PolicyDocument "],
    ),
    "not known to its service": (
        lambda it: delattr(it, "attributes"),
        ["made: Queue (AWS::SQS::Queue) cannot", "made: Policy (AWS::SQS::QueuePolicy) cannot"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_as_the_template_says_is_found(service, name):
    change, said = WRONG[name]
    change(service)
    found = wrong(service)
    assert len(found) == len(said) and all(map(str.startswith, found, said)), found


def test_only_a_fault_that_is_named_is_excused(service, monkeypatch):
    service.attributes |= {"MessageRetentionPeriod": "60"}
    monkeypatch.setitem(faults.FAULTS, ("AWS::SQS::Queue", "DelaySeconds"), "another one")
    assert len(wrong(service)) == 1
    monkeypatch.setitem(faults.FAULTS, ("AWS::SQS::Queue", "MessageRetentionPeriod"), "this one")
    found = readback.compare(service, "made", EXPECTED)
    assert found.wrong == [] and ("AWS::SQS::Queue", "MessageRetentionPeriod") in found.excused


def test_every_type_of_the_templates_is_read_back_or_named_as_a_fault():
    kinds = set()
    for deployment in (*DEPLOYMENTS, *ON_TOP):
        expected = [expect(deployment.template, deployment.stack, deployment.given(THERE), deployment.account)]
        while expected:
            one = expected.pop()
            kinds |= {resource["Type"] for resource in one.resources.values()}
            expected += one.nested.values()
    assert len(kinds) > 15
    assert kinds - readback.READERS.keys() - faults.PLACEHOLDERS.keys() == {"AWS::CloudFormation::Stack"}


@pytest.mark.parametrize(("faulty", "code"), [([], 0), (["made: Queue (AWS::SQS::Queue) is missing"], 1)])
def test_the_exit_code_and_the_table_say_whether_anything_failed(faulty, code):
    said = Console(file=io.StringIO(), width=120)
    excused = {("AWS::CloudTrail::Trail", ""), ("AWS::Logs::LogGroup", "RetentionInDays")}
    rows = [Row("made", "rich", 3, 3, ["tried"], 1.2, [], excused), Row("other", "default", 2, 3, [], 1.0, faulty)]
    assert report(said, rows, 2.2) == code
    text = said.file.getvalue()
    assert ("FAILED made: Queue (AWS::SQS::Queue) is missing" in text) == bool(faulty)
    assert "│ 3/3 " in text.replace("       ", " ") and "Logs::LogGroup, RetentionInDays: is not set" in text
    for what in faults.NOT_SHOWN:
        assert what in text


# How a function is run ------------------------------------------------------------------------

ARN = f"arn:aws:lambda:us-east-1:{HUB}:function:gatehouse-iam-alerts-IamAlertMailFunction-0f1e2d3c"
ECHO = """
    import http.client, json, os, sys
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        connection.request("GET", "/2018-06-01/runtime/invocation/next")
        event = connection.getresponse()
        body = json.loads(event.read())
        if body == "die":
            print("I cannot go on")
            sys.exit(3)
        answer = json.dumps({"headers": dict(event.headers), "event": body, "setting": os.environ.get("SETTING")})
        chunks = iter([answer[:7].encode(), answer[7:].encode()])
        path = f"/2018-06-01/runtime/invocation/{event.headers['Lambda-Runtime-Aws-Request-Id']}/response"
        connection.request("POST", path, chunks, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        connection.getresponse().read()
"""


@pytest.fixture
def echo(tmp_path):
    """A function in Python that answers what it was given, in chunks."""
    script = tmp_path / "bootstrap"
    script.write_text(f"#!{sys.executable}\n" + textwrap.dedent(ECHO))
    script.chmod(0o755)
    return script


def test_the_runtime_api_says_what_lambda_says_and_takes_chunks(echo):
    with RuntimeApi([str(echo)], runtime_api.environment({}), ARN, limit=30) as function:
        began = time.time()
        function.trace_id = "Root=1-5759e988"
        outcome = function.invoke({"a": 1})
    assert outcome.payload["event"] == {"a": 1} and not outcome.failed
    headers = outcome.payload["headers"]
    assert len(headers["Lambda-Runtime-Aws-Request-Id"]) == 36
    assert headers["Lambda-Runtime-Invoked-Function-Arn"] == ARN
    assert headers["Lambda-Runtime-Trace-Id"] == "Root=1-5759e988"
    assert 29 <= int(headers["Lambda-Runtime-Deadline-Ms"]) / 1000 - began <= 35


@pytest.fixture
def executor(monkeypatch, tmp_path):
    """The module that runs inside LocalStack, with what it takes from there in a small form."""

    class RuntimeExecutor:
        def __init__(self, id, function_version):
            self.id, self.function_version = id, function_version

    class InvocationResult(types.SimpleNamespace):
        def __init__(self, request_id, payload, is_error, logs):
            super().__init__(request_id=request_id, payload=payload, is_error=is_error, logs=logs)

    config = types.SimpleNamespace(GATEWAY_LISTEN=[types.SimpleNamespace(port=4810)])
    inside = "localstack.services.lambda_.invocation"
    for name, has in (
        ("localstack", {"config": config}),
        (f"{inside}.lambda_models", {"FunctionVersion": object, "InvocationResult": InvocationResult}),
        (f"{inside}.plugins", {"RuntimeExecutorPlugin": object}),
        (f"{inside}.runtime_executor", {"RuntimeExecutor": RuntimeExecutor}),
    ):
        module = types.ModuleType(name)
        module.__dict__.update(has)
        monkeypatch.setitem(sys.modules, name, module)
    for name in (inside, "localstack.services", "localstack.services.lambda_"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.delitem(sys.modules, "rehearse.executor", raising=False)
    monkeypatch.setenv(recording.INVOCATIONS, str(tmp_path / "invocations.jsonl"))
    monkeypatch.setenv(recording.ENVIRONMENT, json.dumps({"DRY_RUN": "true"}))
    yield importlib.import_module("rehearse.executor")
    sys.modules.pop("rehearse.executor", None)


def version(code: Path, timeout: int = 30):
    unpacked = types.SimpleNamespace(get_unzipped_code_location=lambda: code)
    return types.SimpleNamespace(
        id=types.SimpleNamespace(account=HUB, function_name=ARN.rpartition(":")[2]),
        config=types.SimpleNamespace(code=unpacked, timeout=timeout),
    )


def payload(event, number=1):
    return {
        "invoke-id": f"00000000-0000-4000-8000-{number:012}",
        "invoked-function-arn": ARN,
        "payload": json.dumps(event),
        "trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
    }


def test_the_executor_runs_a_real_binary_and_records_its_answer(executor, binary, tmp_path):
    (tmp_path / "bootstrap").write_text(f"#!/bin/sh\nexec '{binary('iam-alert-mail')}'\n")
    (tmp_path / "bootstrap").chmod(0o755)
    event = events.load("iam-alerts/put-role-policy.json")
    given = {"NOTIFY_TOPIC_ARN": f"arn:aws:sns:us-east-1:{HUB}:alerts", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": 128}
    instance = executor.ProcessExecutor("0f1e", version(tmp_path))
    instance.start(runtime_api.environment({}) | given)
    try:
        result = instance.invoke(payload(event))
    finally:
        instance.stop()
    assert not result.is_error, result.payload
    assert result.request_id == "00000000-0000-4000-8000-000000000001" and "PutRolePolicy" in result.logs
    [kept] = recording.read(tmp_path / "invocations.jsonl")
    assert (kept.account, kept.function) == (HUB, ARN.rpartition(":")[2])
    assert (kept.event, kept.answer, kept.failed) == (event, json.loads(result.payload), False)
    assert recording.read(tmp_path / "invocations.jsonl", since=1) == []


def test_a_process_that_ends_is_an_error_and_the_next_event_gets_a_new_one(executor, echo, tmp_path):
    instance = executor.ProcessExecutor("0f1e", version(tmp_path))
    instance.start(runtime_api.environment({"SETTING": "of the template"}))
    try:
        died = instance.invoke(payload("die"))
        after = instance.invoke(payload("again", number=2))
    finally:
        instance.stop()
    assert died.is_error and json.loads(died.payload)["errorType"] == "Runtime.ExitError"
    assert "I cannot go on" in died.logs
    assert not after.is_error
    assert json.loads(after.payload)["event"] == "again" and json.loads(after.payload)["setting"] == "of the template"


def test_the_end_of_an_instance_ends_its_process(executor, echo, tmp_path):
    instance = executor.ProcessExecutor("0f1e", version(tmp_path))
    instance.start(runtime_api.environment({}))
    instance.invoke(payload({}))
    process = instance._api._process.popen
    assert process.poll() is None
    instance.stop()
    assert process.poll() is not None


# make -----------------------------------------------------------------------------------------


def make(folder: Path, *arguments: str):
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "local").mkdir(exist_ok=True)
    for name in ("locked-rehearse.txt", "needs.sh"):
        shutil.copy(ROOT / "local" / name, folder / "local")
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(["make", *arguments], cwd=folder, env=env, text=True, capture_output=True, timeout=60)


@pytest.mark.skipif(not PYTHON.exists(), reason="LocalStack is not installed here: make rehearse")
def test_what_it_runs_with_is_pinned():
    command = [PYTHON, "-m", "pip", "freeze", "--disable-pip-version-check"]
    frozen = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert set(map(normal, frozen)) - pinned() == set()


def pinned() -> set[str]:
    locked = (ROOT / "local" / "locked-rehearse.txt").read_text()
    return {normal(line) for line in re.findall(r"^[\w.-]+(?:\[[\w, -]+\])?==", locked, re.MULTILINE)}


def normal(line: str) -> str:
    """The name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[=\[ ]", line)[0]).lower()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_without_python_3_13_make_says_what_to_install(tmp_path):
    asked = make(tmp_path, "rehearse", "PYTHON_3_13=")
    assert asked.returncode != 0
    assert "make rehearse needs Python 3.13" in asked.stderr and "pyenv install 3.13" in asked.stderr
    optional = make(tmp_path, "rehearse-if-possible", "PYTHON_3_13=")
    assert optional.returncode == 0
    assert optional.stdout == "skipped: make rehearse needs Python 3.13, and this machine has none\n"
