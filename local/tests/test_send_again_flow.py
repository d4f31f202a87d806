"""What a failure queue keeps goes to its function again, by the commands of the README, in each form that lies there.

The commands are those of the AWS CLI: the calls that it would make are made here, against the local AWS and the real
binary of the function.
"""

import json
import re
import shlex

import boto3
import jmespath
import pytest

from gatehouse_local import ROOT, ranges, runtime_api
from gatehouse_local.events import environment
from gatehouse_local.functions import functions
from template_checks.policy import as_list
from template_checks.template import ACCOUNT, Deployed, load, with_every_resource

# As they are called here: each flow names the functions that it runs.
WITH_A_QUEUE = [
    function for function in functions() if "DestinationConfig" in function.properties.get("EventInvokeConfig", {})
]
# What a sample event shows: fields that AWS sets anew for each delivery are not compared.
ARN = re.compile(r"<(\w+)(?:\.Arn)?>")


def commands(function) -> list[list[str]]:
    """The commands of "Send it again" in the README of the capability."""
    text = (ROOT / "functions" / function.capability / "README.md").read_text()
    [block] = re.findall(r"\*\*Send it again\.\*\*.*?```sh\n(.*?)```", text, re.DOTALL)
    return [
        shlex.split(line.replace("<output ", "<").replace(">event.json", "> event.json")) for line in block.splitlines()
    ]


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_every_readme_has_the_same_commands_and_names_outputs_that_exist():
    capabilities = {function.capability: function for function in WITH_A_QUEUE}
    forms = set()
    for capability, function in capabilities.items():
        outputs = load(f"functions/{capability}/template.yaml")["Outputs"]
        text = json.dumps(commands(function))
        named = re.findall(r"<(\w+)>", text)
        assert set(named) <= outputs.keys(), capability
        assert outputs["FailureQueueUrl"]["Value"] == {"Ref": "FailureQueue"}
        forms.add(re.sub(r"<(?!FailureQueueUrl)\w+>", "<function>", text))
    assert len(forms) == 1, "one way for all capabilities"


@pytest.mark.parametrize("function", WITH_A_QUEUE, ids=str)
def test_every_queue_and_function_has_an_output(function):
    document = load(function.template)
    values = json.dumps([output["Value"] for output in document["Outputs"].values()])
    queue, _ = function.properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"]
    assert f'{{"Ref": "{queue}"}}' in values
    assert f'{{"Ref": "{function.logical_id}"}}' in values or f'{{"Fn::GetAtt": ["{function.logical_id}"' in values


def test_the_role_that_may_take_messages_is_made_by_the_commands_of_its_page(aws):
    page = (ROOT / "docs" / "send-again.md").read_text()
    [block] = re.findall(r"^```sh\n(aws iam .*?)```", page, re.DOTALL | re.MULTILINE)
    create, allow, assume = (shlex.split(it) for it in re.split(r"\n(?=aws )", block.strip()))
    iam = aws.client("iam")
    name = option(create, "--role-name")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=option(create, "--assume-role-policy-document"))
    iam.put_role_policy(
        RoleName=option(allow, "--role-name"),
        PolicyName=option(allow, "--policy-name"),
        PolicyDocument=option(allow, "--policy-document"),
    )
    # The name is the default of every template, and of the account of the policy.
    assert {load(it.template)["Parameters"]["SendAgainRole"]["Default"] for it in WITH_A_QUEUE} == {name}
    assert option(assume, "--role-arn") == f"arn:aws:iam::{ACCOUNT}:role/{name}"
    policy = iam.get_role_policy(RoleName=name, PolicyName="send-again")["PolicyDocument"]
    allowed = {(action, it["Resource"]) for it in policy["Statement"] for action in as_list(it["Action"])}
    for function in WITH_A_QUEUE:
        for _, service, operation, *_ in commands(function):
            call = {"invoke": "InvokeFunction"}.get(operation, operation.title().replace("-", ""))
            kind = {"sqs": "gatehouse*", "lambda": "function:gatehouse*"}[service]
            assert (f"{service}:{call}", f"arn:aws:{service}:*:{ACCOUNT}:{kind}") in allowed


def kept(event) -> dict[str, object]:
    """The forms in which an event can lie in the queue, by who put it there."""
    found = {
        "Lambda": {
            "version": "1.0",
            "timestamp": "2026-11-30T06:00:00.000Z",
            "requestContext": {
                "requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e",
                "functionArn": "arn:aws:lambda:us-east-1:111122223333:function:example:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            },
            "requestPayload": event,
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "responsePayload": {"errorType": "Partial", "errorMessage": "once"},
        }
    }
    records = event.get("Records", []) if isinstance(event, dict) else []
    if len(records) == 1 and "Sns" in records[0]:
        # SNS writes these names differently for Lambda than for a queue.
        names = {"SigningCertUrl": "SigningCertURL", "UnsubscribeUrl": "UnsubscribeURL"}
        found["SNS"] = {names.get(name, name): value for name, value in records[0]["Sns"].items()}
    if isinstance(event, dict) and "detail-type" in event:
        found["EventBridge"] = event
    return found


def settings(function) -> dict[str, str]:
    deployed = Deployed(with_every_resource(load(function.template)))
    variables = deployed.properties(function.logical_id)["Environment"]["Variables"]
    samples = {name: value for name, value in environment()[function.logical_id].items() if value}
    given = variables | {name: value for name, value in samples.items() if "<" in variables.get(name, "<")}
    given = {name: ARN.sub(r"arn:aws:sns:us-east-1:111122223333:\1", value) for name, value in given.items()}
    # The samples of SNS are not signed by anybody; the flows of the capabilities verify.
    return given | {name: "off" for name in ("SNS_VERIFY",) if name in given} | {"DRY_RUN": "true"}


# One sample of each form for each function.
CASES = {
    (str(function), form): (function, path.stem, form)
    for function in WITH_A_QUEUE
    for path in function.events()
    if "signed" not in path.stem
    for form in kept(json.loads(path.read_text()))
}.values()


def test_each_form_lies_in_some_queue():
    assert {form for *_, form in CASES} == {"Lambda", "SNS", "EventBridge"}
    assert {str(function) for function, *_ in CASES} == set(map(str, WITH_A_QUEUE))


@pytest.mark.parametrize(("function", "sample", "form"), CASES)
def test_what_lies_in_the_queue_has_the_same_effect_as_the_event(aws, web, binary, tmp_path, function, sample, form):
    event = json.loads((ROOT / "events" / function.capability / f"{sample}.json").read_text())
    env = runtime_api.environment(settings(function) | {"AWS_ENDPOINT_URL": aws.url} | web.environment)
    web.serve(ranges.URL, b"{}")  # the updater fetches it once, and says that it is no document
    as_sent = runtime_api.invoke_once(binary(function.binary), env, event)
    aws.reset()

    sqs = boto3.client(
        "sqs", endpoint_url=aws.url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    queue = sqs.create_queue(QueueName="failures")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(kept(event)[form]))
    receive, invoke, purge = commands(function)
    assert receive[:3] == ["aws", "sqs", "receive-message"] and receive[-2:] == [">", "event.json"]
    answer = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=int(option(receive, "--visibility-timeout")))
    (tmp_path / "event.json").write_text(jmespath.search(option(receive, "--query"), answer))
    assert option(invoke, "--payload") == "file://event.json"

    again = runtime_api.invoke_once(binary(function.binary), env, json.loads((tmp_path / "event.json").read_text()))
    assert (again.failed, again.error_type) == (as_sent.failed, as_sent.error_type)
    if not as_sent.failed:
        assert again.error_type != "InvalidEvent"
        assert comparable(again.payload) == comparable(as_sent.payload)
    assert purge[:3] == ["aws", "sqs", "purge-queue"]
    assert sqs.receive_message(QueueUrl=queue).get("Messages", []) == [], "hidden, so that the next one comes"


def comparable(payload) -> str:
    """The answer without what differs between two runs."""
    return re.sub(r'"(seconds|millis|elapsed|time)\w*": [\d.]+', "", json.dumps(payload, sort_keys=True))
