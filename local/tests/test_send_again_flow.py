"""What a failure queue keeps goes to its function again, by the commands of the README, in each form that lies there.

The commands run in a shell. In place of the AWS CLI is a script that asks this process, which makes the calls: against
the local AWS, and the real binary of the function.
"""

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from multiprocessing.connection import Listener
from pathlib import Path

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


def loop(function) -> str:
    """The loop of "Send it again" in the README of the capability."""
    text = (ROOT / "functions" / function.capability / "README.md").read_text()
    [block] = re.findall(r"\*\*Send it again\.\*\*.*?```sh\n(.*?)```", text, re.DOTALL)
    return block


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_every_readme_has_the_same_commands_and_names_outputs_that_exist():
    capabilities = {function.capability: function for function in WITH_A_QUEUE}
    forms = set()
    for capability, function in capabilities.items():
        outputs = load(f"functions/{capability}/template.yaml")["Outputs"]
        named = re.findall(r"<output (\w+)>", loop(function))
        assert set(named) <= outputs.keys(), capability
        assert named[0] == "FailureQueueUrl" and outputs[named[0]]["Value"] == {"Ref": "FailureQueue"}
        forms.add(loop(function).replace(f"<output {named[1]}>", "<function>"))
    assert len(forms) == 1, "one way for all capabilities"


def test_a_message_is_hidden_and_an_answer_awaited_for_longer_than_the_function_takes():
    # Without an answer in time the AWS CLI would invoke the function once more, beside the first time.
    slowest = max(int(function.properties["Timeout"]) for function in WITH_A_QUEUE)
    awaited, hidden = (
        int(option(shlex.split(loop(WITH_A_QUEUE[0])), name)) for name in ("--cli-read-timeout", "--visibility-timeout")
    )
    assert slowest < awaited < hidden


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
        used = re.findall(r"\baws (\w+) ([a-z-]+)", loop(function))
        assert len(used) == 3
        for service, operation in used:
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
    given = {name: named(value) for name, value in given.items()}
    # The samples of SNS are not signed by anybody; the flows of the capabilities verify.
    return given | {name: "off" for name in ("SNS_VERIFY",) if name in given} | {"DRY_RUN": "true"}


def named(value: str) -> str:
    """What stands for a resource is the name of a function, or else an ARN."""
    value = re.sub(r"<(\w+Function)>", r"\1", value)
    return ARN.sub(r"arn:aws:sns:us-east-1:111122223333:\1", value)


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


class Cli:
    """What the commands call: the AWS CLI as far as they use it, with one queue and one function.

    `shell` runs a text; `outcomes` has what each invocation ended with.
    """

    def __init__(self, aws, folder: Path, binary: Path):
        self._sqs = boto3.client(
            "sqs", endpoint_url=aws.url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        self._folder, self._binary = folder, binary
        self.queue = self._sqs.create_queue(QueueName="failures")["QueueUrl"]
        self.env: dict[str, str] = {}
        self.outcomes: list[runtime_api.Outcome] = []
        self._listener = Listener(str(folder / "cli.sock"), "AF_UNIX")
        # Without `site` a start takes a fiftieth of a second.
        (folder / "aws").write_text(
            f"#!{sys.executable} -IS\n"
            "import sys\n"
            "from multiprocessing.connection import Client\n"
            f"with Client({str(folder / 'cli.sock')!r}, 'AF_UNIX') as process:\n"
            "    process.send(sys.argv[1:])\n"
            "    code, text = process.recv()\n"
            "print(text)\n"
            "sys.exit(code)\n"
        )
        (folder / "aws").chmod(0o755)
        threading.Thread(target=self._serve, daemon=True).start()

    def shell(self, text: str, name: str = "sh") -> list[runtime_api.Outcome]:
        """Runs the commands; gives how the invocations ended that they made."""
        before = len(self.outcomes)
        text = text.replace("<output FailureQueueUrl>", self.queue)
        subprocess.run(
            [name, "-c", text],
            cwd=self._folder,
            env={"PATH": f"{self._folder}:{os.defpath}"},
            check=False,
            timeout=60,
            stdout=subprocess.DEVNULL,
        )
        return self.outcomes[before:]

    def put(self, *bodies: object) -> None:
        for body in bodies:
            self._sqs.send_message(QueueUrl=self.queue, MessageBody=body if isinstance(body, str) else json.dumps(body))

    def count(self) -> int:
        """The messages of the queue, with those that are hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                with self._listener.accept() as command:
                    command.send(self._call(command.recv()))

    def _call(self, words: list[str]) -> tuple[int, str]:
        service, operation, *rest = words
        parser = argparse.ArgumentParser(exit_on_error=False)
        for it in re.findall(r"--[a-z-]+", " ".join(rest)):
            parser.add_argument(it)
        if (service, operation) == ("lambda", "invoke"):
            parser.add_argument("outfile")
        given = vars(parser.parse_args(rest))
        match service, operation:
            case "sqs", "receive-message":
                answer = self._sqs.receive_message(
                    QueueUrl=given["queue_url"], VisibilityTimeout=int(given["visibility_timeout"])
                )
            case "sqs", "delete-message":
                self._sqs.delete_message(QueueUrl=given["queue_url"], ReceiptHandle=given["receipt_handle"])
                return 0, ""
            case "lambda", "invoke":
                event = (self._folder / given["payload"].removeprefix("file://")).read_bytes()
                outcome = runtime_api.invoke_once(self._binary, self.env, event)
                self.outcomes.append(outcome)
                (self._folder / given["outfile"]).write_text(json.dumps(outcome.payload))
                # AWS answers a function that failed with the status 200, and the CLI ends with 0.
                answer = {"StatusCode": 200} | ({"FunctionError": "Unhandled"} if outcome.failed else {})
            case _:
                return 252, ""
        assert given["output"] == "text"
        found = jmespath.search(given["query"], answer)
        return 0, "\t".join(found) if isinstance(found, list) else str(found)


@pytest.fixture
def cli(aws, tmp_path, binary):
    """Gives the commands a queue of failures, and the binary of a function."""
    with contextlib.ExitStack() as stack:

        def make(function) -> Cli:
            made = Cli(aws, tmp_path, binary(function.binary))
            stack.callback(made.close)
            return made

        yield make


def variables(function, aws, web, **changed):
    return runtime_api.environment(settings(function) | changed | {"AWS_ENDPOINT_URL": aws.url} | web.environment)


@pytest.mark.parametrize(("function", "sample", "form"), CASES)
def test_what_lies_in_the_queue_has_the_same_effect_as_the_event(aws, web, binary, cli, function, sample, form):
    event = json.loads((ROOT / "events" / function.capability / f"{sample}.json").read_text())
    env = variables(function, aws, web)
    web.serve(ranges.URL, b"{}")  # the updater fetches it once, and says that it is no document
    as_sent = runtime_api.invoke_once(binary(function.binary), env, event)
    assert as_sent.error_type != "InvalidSettings", as_sent.error_message
    aws.reset()

    commands = cli(function)
    commands.env = env
    commands.put(kept(event)[form])
    [again] = commands.shell(loop(function))
    assert (again.failed, again.error_type) == (as_sent.failed, as_sent.error_type)
    if as_sent.failed:
        assert commands.count() == 1, "what fails again is still there"
    else:
        assert comparable(again.payload) == comparable(as_sent.payload)
        assert commands.count() == 0


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_the_loop_deletes_what_was_handled_and_stops_at_what_fails(aws, web, cli, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here: apt-get install {shell}")
    [function] = [it for it in WITH_A_QUEUE if it.binary == "iam-alert-mail"]
    event = json.loads((ROOT / "events" / "iam-alerts" / "put-role-policy.json").read_text())
    commands = cli(function)
    commands.env = variables(function, aws, web)
    assert commands.shell(loop(function), shell) == [], "of an empty queue it ends at once"

    # As SNS writes it, in lines, and with what a shell could take for its own.
    odd = event | {"id": "a\tb é $HOME `id` \\ % *"}
    commands.put(event, json.dumps(odd, indent=2), {"no": "event"}, event)
    outcomes = commands.shell(loop(function), shell)
    assert [outcome.failed for outcome in outcomes] == [False, False, True]
    assert commands.count() == 2, "the one that failed, and the one after it"
    assert [outcome.failed for outcome in commands.shell(loop(function), shell)] == [False]
    assert commands.count() == 1, "the failed one alone, hidden"


@pytest.mark.parametrize("function", WITH_A_QUEUE, ids=str)
def test_what_fails_again_is_still_there(aws, web, cli, function):
    sample = next(sample for of, sample, _ in CASES if of is function)
    event = json.loads((ROOT / "events" / function.capability / f"{sample}.json").read_text())
    commands = cli(function)
    commands.env = variables(function, aws, web, DEBUG="perhaps")
    commands.put(kept(event)["Lambda"], kept(event)["Lambda"])
    [outcome] = commands.shell(loop(function))
    assert outcome.failed
    assert commands.count() == 2


def test_a_function_refuses_what_the_queue_keeps_for_the_other_one(aws, web, cli):
    """Two functions of amis have one queue: nothing is deleted because the wrong one took it."""
    of_amis = [it for it in WITH_A_QUEUE if it.capability == "amis"]
    assert len(of_amis) == 2
    for function in of_amis:
        commands = cli(function)
        commands.env = variables(function, aws, web)
        others = {(of, sample) for of, sample, _ in CASES if of in of_amis and of is not function}
        for _, sample in others:
            event = json.loads((ROOT / "events" / "amis" / f"{sample}.json").read_text())
            before = commands.count()
            commands.put(kept(event)["Lambda"])
            assert [it.error_type for it in commands.shell(loop(function))] == ["InvalidEvent"], sample
            assert commands.count() == before + 1
        commands.close()
        (Path(commands._folder) / "cli.sock").unlink(missing_ok=True)


def test_a_redrive_by_the_commands_of_the_readme_starts_at_the_dead_letter_queue():
    text = (ROOT / "functions" / "pipelines" / "README.md").read_text()
    [block] = re.findall(r"\*\*A redrive\*\*.*?```sh\n(.*?)```", text, re.DOTALL)
    document = load("functions/pipelines/template.yaml")
    [name] = re.findall(r"<output (\w+)>", block)
    dead = document["Outputs"][name]["Value"]["Ref"]
    # Without a destination SQS moves the messages to the queue that they came from.
    policy = document["Resources"]["RetryQueue"]["Properties"]["RedrivePolicy"]
    assert policy["deadLetterTargetArn"] == {"Fn::GetAtt": [dead, "Arn"]}
    used = {(service, call.title().replace("-", "")) for service, call in re.findall(r"\baws (\w+) ([a-z-]+)", block)}
    page = (ROOT / "docs" / "send-again.md").read_text()
    assert {f"{service}:{call}" for service, call in used} <= set(re.findall(r"sqs:\w+", page))


def comparable(payload) -> str:
    """The answer without what differs between two runs."""
    return re.sub(r'"(seconds|millis|elapsed|time)\w*": [\d.]+', "", json.dumps(payload, sort_keys=True))
