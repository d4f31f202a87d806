"""The stack of the messages capability, as its template deploys it, with the real binaries.

Topics, queues, subscriptions, the settings of the functions and the URL of the relay are read from the template. AWS is
the local AWS, whose SNS delivers to the binaries (`sns_delivery`). The stack is that of the redactor: what SNS's own
message data protection finds is SNS's own, so `NativeDataProtection=true` is not emulated.
"""

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID

from gatehouse_local import events, runtime_api, sns
from gatehouse_local.aws import LocalAws
from gatehouse_local.runtime_api import Outcome, RuntimeApi
from gatehouse_local.sns_delivery import Delivery
from gatehouse_local.web import Page, Web
from template_checks.template import Deployed, load

TEMPLATE = "functions/messages/template.yaml"
AUDIENCE = "functions/messages/audience.yaml"
REGION = "us-east-1"
ORIGIN_REGION = "eu-west-1"  # of the topic that is relayed: another one, as it may be
RELAY_URL = "https://abcdefghijklmnopqrstuvwxyz123456.lambda-url.us-east-1.on.aws/"
PAYMENT, REPORTING = "PaymentSubscriberFunction", "ReportingSubscriberFunction"
REDACTOR, RELAY = "MessageRedactorFunction", "MessageRelayFunction"
ATTEMPTS = 3  # of Lambda, for an event that fails

EXPENSE_REPORT = events.EXPENSE_REPORT
CARD, EMPLOYEE, REPORT = (EXPENSE_REPORT[name] for name in ("card", "employee", "report"))


def certificate() -> Page:
    """What SNS answers at the URL of its certificate."""
    return Page(sns.certificate(), content_type="application/x-pem-file")


class Stack:
    """The deployed stack. Use as a context manager. `parameters` are those of the template.

    `name` tells the resources of stacks apart. `topics` maps the logical ids of topics to their ARNs, `outcomes`
    has each invocation with the logical id of the function.
    """

    def __init__(
        self,
        aws: LocalAws,
        web: Web,
        binary: Callable[[str], Path],
        template: str = TEMPLATE,
        name: str = "",
        **parameters: str,
    ):
        self.aws, self.web = aws, web
        self.outcomes: list[tuple[str, Outcome]] = []
        self.requests: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self.failed: dict[str, list[dict[str, Any]]] = {}  # by the logical id of the queue
        self._name = name
        self._deployed = Deployed(load(template), region=REGION, **parameters)
        if refusals := self._deployed.refusals():
            raise ValueError("; ".join(refusals))
        if parameters.get("NativeDataProtection") == "true":
            raise ValueError("what SNS's own data protection does is not emulated")
        self._stop = contextlib.ExitStack()
        self._sns, self._sqs = aws.client("sns", REGION), aws.client("sqs", REGION)
        self._names = {"AWS::Region": REGION}
        self.topics = {name: self._topic(name) for name in self._deployed.of_type("AWS::SNS::Topic")}
        for name in self._deployed.of_type("AWS::SQS::Queue"):
            self._sqs.create_queue(QueueName=self._physical(name))
            self._names[f"{name}.Arn"] = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{self._physical(name)}"
        for name in self._deployed.of_type("AWS::IAM::Role"):
            self._names[f"{name}.Arn"] = f"arn:aws:iam::{ACCOUNT_ID}:role/{self._physical(name)}"
        self._running: dict[str, RuntimeApi] = {}
        for logical_id, function in self._deployed.of_type("AWS::Serverless::Function").items():
            self._function(logical_id, binary(function["Metadata"]["BuildProperties"]["Binary"]))
        for region in (REGION, ORIGIN_REGION):
            web.serve(sns.certificate_url(region), certificate())
        for subscription in self._deployed.of_type("AWS::SNS::Subscription").values():
            self._subscribe(self.resolved(subscription["Properties"]))
        self.relay_url = RELAY_URL.replace("abcdef", self._name) if self._name else RELAY_URL
        if self._deployed.of_type("AWS::Lambda::Url"):
            aws.sns.endpoints[self.relay_url] = self._post

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.close()

    def _physical(self, logical_id: str) -> str:
        return f"{self._name}{logical_id}"

    def resolved(self, value: Any) -> Any:
        """The value with the local names of the resources it refers to."""
        if isinstance(value, list):
            return [self.resolved(item) for item in value]
        if isinstance(value, dict):
            return {key: self.resolved(item) for key, item in value.items()}
        if not isinstance(value, str):
            return value
        return re.sub(r"<([\w.]+)>", lambda found: self._names.get(found[1], found[1]), value)

    def _topic(self, name: str) -> str:
        version = self._deployed.properties(name)["SignatureVersion"]
        made = self._sns.create_topic(Name=self._physical(name), Attributes={"SignatureVersion": version})
        self._names[name] = made["TopicArn"]
        return made["TopicArn"]

    def settings(self, name: str) -> dict[str, str]:
        """The environment of a function, as the template gives it."""
        variables = self.resolved(self._deployed.properties(name)["Environment"]["Variables"])
        return {key: str(value) for key, value in variables.items()}

    def _function(self, name: str, path: Path) -> None:
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self._physical(name)}"
        self._names[f"{name}.Arn"] = arn
        here = {"AWS_ENDPOINT_URL": self.aws.url, "AWS_LAMBDA_FUNCTION_NAME": name} | self.web.environment
        env = runtime_api.environment(self.settings(name) | here, REGION)
        self._running[name] = self._stop.enter_context(RuntimeApi([str(path)], env))
        self.aws.sns.functions[arn] = lambda event: self.invoke_later(name, event)

    def _subscribe(self, given: dict[str, Any]) -> None:
        if given["Protocol"] == "email":  # what it would say is in `published`
            return
        attributes = {"RedrivePolicy": json.dumps(given["RedrivePolicy"])} if "RedrivePolicy" in given else {}
        self._sns.subscribe(
            TopicArn=given["TopicArn"], Protocol=given["Protocol"], Endpoint=given["Endpoint"], Attributes=attributes
        )

    # What happens ------------------------------------------------------------------------------

    def invoke(self, name: str, event: Any) -> Outcome:
        """Invokes a function once."""
        outcome = self._running[name].invoke(event)
        self.outcomes.append((name, outcome))
        return outcome

    def invoke_later(self, name: str, event: Any) -> bool:
        """An asynchronous invocation: Lambda tries three times, and then keeps the event in the on-failure queue."""
        for _ in range(ATTEMPTS):
            outcome = self.invoke(name, event)
            if not outcome.failed:
                return True
        config = self.resolved(self._deployed.properties(name)["EventInvokeConfig"]["DestinationConfig"])
        queue = config["OnFailure"]["Destination"].rpartition(":")[2]
        record = {
            "version": "1.0",
            "requestContext": {
                "functionArn": name,
                "condition": "RetriesExhausted",
                "approximateInvokeCount": ATTEMPTS,
            },
            "requestPayload": event,
            "responsePayload": outcome.payload,
        }
        self.failed.setdefault(queue, []).append(record)
        return False

    def publish(self, message: Any, topic: str = "ApprovalTopic", **more: Any) -> str:
        """Somebody publishes, and SNS delivers; the message's id. What is no text is written as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        published = self._sns.publish(TopicArn=self.topics[topic], Message=text, **more)
        self.aws.sns.deliver()
        return published["MessageId"]

    def received(self, name: str) -> list[dict[str, Any]]:
        """What a subscriber received, oldest first."""
        return [item for who, it in self.outcomes if who == name and not it.failed for item in it.payload]

    @property
    def denied(self) -> list[Any]:
        """What the topic of refused messages was told."""
        return self.aws.sns.published.get(self.topics["DeniedTopic"], [])

    # Over HTTPS --------------------------------------------------------------------------------

    def request(self, headers: dict[str, str], body: str, method: str = "POST") -> dict[str, Any]:
        """Somebody calls the URL of the relay; its response."""
        outcome = self.invoke(RELAY, events.function_url(headers, body, method))
        if outcome.failed:
            return {"statusCode": 502, "headers": {}, "body": "Internal Server Error"}
        self.answers.append(outcome.payload)
        return outcome.payload

    def _post(self, headers: dict[str, str], body: str) -> int:
        self.requests.append({"headers": headers, "body": body})
        return self.request(headers, body)["statusCode"]

    def origin(self, name: str = "orders", version: str = "2") -> str:
        """A topic elsewhere; its ARN."""
        client = self.aws.client("sns", ORIGIN_REGION)
        return client.create_topic(Name=name, Attributes={"SignatureVersion": version})["TopicArn"]

    def subscribe_relay(self, topic_arn: str, **attributes: str) -> str:
        """The owner of a topic subscribes the relay, and SNS asks it to confirm; the ARN of the subscription."""
        client = self.aws.client("sns", topic_arn.split(":")[3])
        made = client.subscribe(
            TopicArn=topic_arn,
            Protocol="https",
            Endpoint=self.relay_url,
            Attributes=attributes,
            ReturnSubscriptionArn=True,
        )
        self.aws.sns.deliver()
        return made["SubscriptionArn"]

    def publish_at(self, topic_arn: str, message: Any, **more: Any) -> list[Delivery]:
        """Somebody publishes to a topic elsewhere; what SNS delivered because of it."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.aws.client("sns", ORIGIN_REGION).publish(TopicArn=topic_arn, Message=text, **more)
        return self.aws.sns.deliver()


def origin_arn(name: str = "orders") -> str:
    """The ARN of a topic elsewhere."""
    return f"arn:aws:sns:{ORIGIN_REGION}:{ACCOUNT_ID}:{name}"
