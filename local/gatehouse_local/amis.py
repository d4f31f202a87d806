"""The stack of the amis capability, as its template deploys it, with the real binaries.

The runbook, the settings of the functions, the routes of the API and the EventBridge rule are read from the template.
AWS is the local AWS. Topics deliver to queues here, so that what people would get by email can be read, and SNS's
signature is moto's, so the checks meet a signer that is not Gatehouse's.
"""

import base64
import contextlib
import http.server
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.events.models import EventPattern
from moto.sns.models import sns_backends

from gatehouse_local import events, runtime_api, sns
from gatehouse_local.aws import LocalAws
from gatehouse_local.runtime_api import Outcome, RuntimeApi
from gatehouse_local.ssm_automation import Execution
from gatehouse_local.web import Page, Web
from template_checks.template import Deployed, load

TEMPLATE = "functions/amis/template.yaml"
REGION = "us-east-1"
TAG = ("gatehouse:capability", "amis")
REQUEST, PAGE, SHARE = "ami-approval-request", "ami-approval-page", "ami-share"
LOGICAL_IDS = {REQUEST: "AmiApprovalRequestFunction", PAGE: "AmiApprovalPageFunction", SHARE: "AmiShareFunction"}
PERSON = "person"  # access key of who assumed the approver role
LONGEST_BODY = 1 << 20


@dataclass
class Mail:
    """What a subscriber of a topic gets: `to` is `approvers` or `target accounts`."""

    to: str
    subject: str | None
    text: str

    @property
    def link(self) -> str | None:
        """The link to the approval page, which has a line of its own."""
        found = re.search(r"^(https?://\S+\?token=\S+)$", self.text, re.MULTILINE)
        return found and found[1]


class Stack:
    """The deployed stack. Use as a context manager. `parameters` are those of the template; `name` is its name."""

    def __init__(
        self, aws: LocalAws, web: Web, binary: Callable[[str], Path], name: str = "gatehouse", **parameters: str
    ):
        self.aws, self.outcomes, self.mails = aws, [], []
        self._web, self._told = web, len(aws.ssm_automation.events)
        self._deployed = Deployed(load(TEMPLATE), region=REGION, **parameters)
        self._sns, self._sqs = aws.client("sns", REGION), aws.client("sqs", REGION)
        self.ssm = aws.client("ssm", REGION)
        self._queues: dict[str, str] = {}
        self.key = aws.kms_macs.create(REGION)
        self._names = {
            "BuildTopic": self._topic("builds", f"{name}-builds"),
            "ApproverTopic": self._topic("approvers", f"Automation-{name}-approvers"),
            "TargetTopic": self._topic("target accounts", f"{name}-targets"),
            "LinkKey.Arn": self.key.arn,
            "AmiShareFunction": f"{name}-share",
            "ApprovalDocument": f"gatehouse-{name}-approval",
        }
        self._stop = contextlib.ExitStack()
        self._invoking = threading.Lock()
        self.gateway = Gateway(self._deployed, lambda event: self.invoke(PAGE, event))
        self.functions = {it: self._function(binary(it), it) for it in LOGICAL_IDS}
        for key, it in ((PAGE, "ApprovalPageRole"), (PERSON, "ApproverRole")):
            aws.ssm_automation.assume(key, role(it))
        for key in (*LOGICAL_IDS, PERSON):
            aws.ssm_automation.bind(key, *TAG)
        document = self.resolved(self._deployed.properties("ApprovalDocument"))
        aws.ssm_automation.create(document["Name"], document["Content"], REGION)
        aws.ssm_automation.lambda_function(self._names["AmiShareFunction"], self._share)

    @property
    def link_key(self) -> dict[str, Any] | None:
        """The properties of the key of the links; None where the stack has no page."""
        return self._deployed.properties("LinkKey") if "LinkKey" in self._deployed.resources else None

    def __enter__(self) -> Self:
        for resource in (self.gateway, *self.functions.values()):
            self._stop.enter_context(resource)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()

    def resolved(self, value: Any) -> Any:
        """The value with the local names of the resources it refers to."""
        return resolved(value, self._names)

    def _topic(self, reader: str, name: str) -> str:
        arn = self._sns.create_topic(Name=name)["TopicArn"]
        queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        self._sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}")
        self._queues[reader] = queue
        return arn

    def settings(self, name: str) -> dict[str, str]:
        """The environment of a function, as the template gives it."""
        variables = self.resolved(self._deployed.properties(LOGICAL_IDS[name])["Environment"]["Variables"])
        if "APPROVAL_PAGE_URL" in variables:
            variables["APPROVAL_PAGE_URL"] = self.gateway.url
        return {key: str(value) for key, value in variables.items()}

    def _function(self, path: Path, name: str) -> RuntimeApi:
        here = {"AWS_ENDPOINT_URL": self.aws.url, "AWS_ACCESS_KEY_ID": name} | self._web.environment
        return RuntimeApi([str(path)], runtime_api.environment(self.settings(name) | here, REGION))

    # What happens ------------------------------------------------------------------------------

    def invoke(self, name: str, event: Any) -> Outcome:
        """Invokes a function."""
        with self._invoking if name == PAGE else contextlib.nullcontext():
            outcome = self.functions[name].invoke(event)
        self.outcomes.append((name, outcome))
        return outcome

    def _share(self, payload: dict[str, Any]) -> tuple[Any, bool]:
        outcome = self.invoke(SHARE, payload)
        return outcome.payload, outcome.failed

    def publish(
        self, notice: dict[str, Any], deliveries: int = 1, form: Callable[[dict[str, Any]], Any] = lambda event: event
    ) -> Outcome:
        """Image Builder publishes a notice, and SNS invokes the function with it, perhaps more than once.

        `form` makes of the event what the function is given, such as what is in the failure queue.
        """
        self._tag_images(notice)
        self._sns.publish(TopicArn=self._names["BuildTopic"], Message=json.dumps(notice))
        [body] = self._received("builds")
        self._serve_certificate(body["SigningCertURL"])
        body |= {"SigningCertUrl": body.pop("SigningCertURL"), "UnsubscribeUrl": body.pop("UnsubscribeURL")}
        body.setdefault("MessageAttributes", {})
        for _ in range(deliveries):
            outcome = self.invoke(REQUEST, form(sns.lambda_event(body)))
        self.settle()
        return outcome

    def build_event(self, notice: dict[str, Any]) -> None:
        """EventBridge sees that a build ended, whose notice this is."""
        self._tag_images(notice)
        self._rules(self.aws.image_builder.event(notice))
        self.settle()

    def _tag_images(self, notice: dict[str, Any]) -> None:
        """Image Builder writes the ARN of the build on what it made."""
        for ami in notice.get("outputResources", {}).get("amis") or []:
            image = self.aws.images.images.get((ami["region"], ami["image"]))
            if image and "Ec2ImageBuilderArn" in image.tags:
                image.tags["Ec2ImageBuilderArn"] = notice["arn"]

    def settle(self) -> None:
        """Waits for what Automation does, lets EventBridge see its events, and reads the mail."""
        self.aws.ssm_automation.wait()
        new = self.aws.ssm_automation.events[self._told :]
        self._told += len(new)
        for event in new:
            self._rules(event)
        for reader in ("approvers", "target accounts"):
            for body in self._received(reader):
                self.mails.append(Mail(reader, body.get("Subject"), body["Message"]))

    def pass_time(self, seconds: float) -> None:
        """Time passes for Automation, not for the functions."""
        self.aws.ssm_automation.pass_time(seconds)
        self.settle()

    def signal(self, execution: str, signal: str = "Approve", who: str = PERSON, comment: str = "") -> None:
        """An approver answers in the console."""
        client = self.aws.client("ssm", REGION, key=who)
        payload = {"Comment": [comment]} if comment else {}
        client.send_automation_signal(AutomationExecutionId=execution, SignalType=signal, Payload=payload)
        self.settle()

    @property
    def executions(self) -> list[Execution]:
        """Every execution, oldest first."""
        return list(self.aws.ssm_automation.executions.values())

    def _received(self, reader: str) -> list[dict[str, Any]]:
        """What waits in a queue."""
        bodies, queue = [], self._queues[reader]
        while found := self._sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                self._sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                bodies.append(json.loads(message["Body"]))
        return bodies

    def _serve_certificate(self, url: str) -> None:
        certificate = sns_backends[ACCOUNT_ID][REGION]._message_public_keys[urlsplit(url).path.strip("/")]
        self._web.serve(url, Page(certificate, content_type="application/x-pem-file"))

    def _rules(self, event: dict[str, Any]) -> None:
        """What the rules of the template make of an event: they hand it to the approval request as it is."""
        for name in self._deployed.of_type("AWS::Events::Rule"):
            rule = self.resolved(self._deployed.properties(name))
            if EventPattern.load(json.dumps(rule["EventPattern"])).matches_event(event):
                [target] = rule["Targets"]
                assert (
                    target.keys() == {"Id", "Arn", "DeadLetterConfig"} and "AmiApprovalRequestFunction" in target["Arn"]
                )
                self.invoke(REQUEST, event)


class Gateway:
    """The HTTP API of the template in front of the page, on loopback. Use as a context manager.

    It answers on the routes of the template, and makes of each request the event of payload format 2.0. `log` has the
    lines of the access log.
    """

    def __init__(self, deployed: Deployed, invoke: Callable[[dict[str, Any]], Outcome]):
        apis = [it["Properties"] for it in deployed.of_type("AWS::Serverless::HttpApi").values()]
        self.routes = [
            f"{method.upper()} {path}"
            for api in apis
            for path, methods in api["DefinitionBody"]["paths"].items()
            for method in methods
        ]
        self.log: list[str] = []
        self._format = apis[0]["AccessLogSettings"]["Format"] if apis else ""
        self._invoke = invoke
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="gateway", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(timeout=5)
        self._server.server_close()

    @property
    def url(self) -> str:
        """The page."""
        return f"http://127.0.0.1:{self._server.server_port}/approval"

    def event(self, method: str, target: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        """Source: API Gateway Developer Guide, "Create AWS Lambda proxy integrations for HTTP APIs", format 2.0."""
        url = urlsplit(target)
        event = {
            "version": "2.0",
            "routeKey": f"{method} {url.path}",
            "rawPath": url.path,
            "rawQueryString": url.query,
            "headers": {name.lower(): value for name, value in headers.items()},
            "requestContext": {
                "accountId": ACCOUNT_ID,
                "apiId": "gateway",
                "domainName": "127.0.0.1",
                "domainPrefix": "127",
                "http": {
                    "method": method,
                    "path": url.path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1",
                    "userAgent": headers.get("User-Agent", ""),
                },
                "requestId": "JTHoQgr2oAMEPMg=",
                "routeKey": f"{method} {url.path}",
                "stage": "$default",
                "time": "17/Jan/2026:06:00:00 +0000",
                "timeEpoch": 1768629600000,
            },
            "isBase64Encoded": bool(body),
        }
        if query := parse_qs(url.query, keep_blank_values=True):
            event["queryStringParameters"] = {name: ",".join(values) for name, values in query.items()}
        if body:
            event["body"] = base64.b64encode(body).decode()
        return event

    def _note(self, route: str, status: int, length: int) -> None:
        known = {"routeKey": route, "status": status, "responseLength": length, "identity.sourceIp": "127.0.0.1"}
        line = re.sub(r"\$context\.([\w.]+\w)", lambda found: str(known.get(found[1], "-")), self._format)
        self.log.append(line)

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def answer(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), LONGEST_BODY))
                route = f"{self.command} {urlsplit(self.path).path}"
                if route not in gateway.routes:
                    return self.send("$default", 404, {"content-type": "application/json"}, b'{"message":"Not Found"}')
                outcome = gateway._invoke(gateway.event(self.command, self.path, dict(self.headers), body))
                if outcome.failed:
                    text = b'{"message":"Internal Server Error"}'
                    return self.send(route, 500, {"content-type": "application/json"}, text)
                answer = outcome.payload
                text = answer.get("body") or ""
                sent = base64.b64decode(text) if answer.get("isBase64Encoded") else text.encode()
                return self.send(route, answer["statusCode"], answer.get("headers") or {}, sent)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer

            def send(self, route: str, status: int, headers: dict[str, str], body: bytes) -> None:
                gateway._note(route, status, len(body))
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() != "content-length":
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                self.wfile.flush()

            def log_message(self, *_: object) -> None:
                """Nothing: `log` has the access log."""

        return Handler


def role(name: str) -> str:
    """The ARN of a role of the stack."""
    return f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"


def resolved(value: Any, names: dict[str, str]) -> Any:
    """The value with the names of the resources that it refers to; `names` maps a reference to what AWS puts there.

    `Deployed` calls each stack `test`.
    """
    if isinstance(value, list):
        return [resolved(item, names) for item in value]
    if isinstance(value, dict):
        return {key: resolved(item, names) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    if document := names.get("ApprovalDocument"):
        value = value.replace("gatehouse-test-approval", document)
    value = re.sub(r"<(\w+Role)\.Arn>", lambda found: role(found[1]), value)
    return re.sub(r"<([\w.]+)>", lambda found: names.get(found[1], found[1]), value)


def runbook(names: dict[str, str], **parameters: str) -> dict[str, Any]:
    """The content of the template's runbook."""
    deployed = Deployed(load(TEMPLATE), **parameters)
    return resolved(deployed.properties("ApprovalDocument")["Content"], names)


def sample_approval(aws: LocalAws, region: str) -> dict[str, str]:
    """What the sample events are about: images, the topics, the key of the links, and an approval that waits.

    The approval has the id that the samples name. It gives the ARNs of the topics by their logical ids.
    """
    build = events.load("amis/share-images.json")["buildArn"]
    for at, image in events.AMIS_IMAGES.items():
        aws.images.create(image, at).tags["Ec2ImageBuilderArn"] = build
    names = {"ApproverTopic": "Automation-gatehouse-amis-approvers", "TargetTopic": "gatehouse-amis-targets"}
    sample_sns = sns_backends[runtime_api.ACCOUNT_ID][region]
    topics = {key: sample_sns.create_topic(name).arn for key, name in names.items()}
    aws.kms_macs.create(region, events.LINK_KEY_ARN.rpartition("/")[2], events.LINK_KEY)
    aws.ssm_automation.assume("test", role("ApprovalPageRole"))
    document = events.environment()["AmiApprovalRequestFunction"]["AUTOMATION_DOCUMENT"]
    aws.ssm_automation.create(document, runbook(topics, ApprovalLink="true"), region)
    # Automation does not reach the function of the sample: the samples share-… are its input.
    aws.ssm_automation.lambda_function("AmiShareFunction", lambda payload: (payload, False))
    wait_for_sample_approval(aws, region)
    return topics


def wait_for_sample_approval(aws: LocalAws, region: str) -> None:
    """Starts the approval that the samples name, in the place of an earlier one."""
    sample = events.load("amis/share-images.json")
    started = aws.client("ssm", region).start_automation_execution(
        DocumentName=events.environment()["AmiApprovalRequestFunction"]["AUTOMATION_DOCUMENT"],
        Parameters={
            "images": sample["images"],
            "imageName": [sample["imageName"]],
            "buildArn": [sample["buildArn"]],
            "receivers": [events.AMIS_TARGET],
            "effects": ["snapshots=false"],
        },
        Tags=[{"Key": TAG[0], "Value": TAG[1]}],
    )
    aws.ssm_automation.rename(started["AutomationExecutionId"], events.AMIS_EXECUTION)
    # The links of the samples have a fixed end, and a link does not outlive its approval: that begins a day before it.
    execution = aws.ssm_automation.executions[events.AMIS_EXECUTION]
    execution.started = execution.steps[0].started = events.LINK_EXPIRES - timedelta(days=1)
