"""What a flow works with: the stacks, the services, the topics' mail, and what the functions answered."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from gatehouse_local.aws import LocalAws
from rehearse import recording
from rehearse.expected import Expected
from rehearse.readback import Meaning
from rehearse.recording import Invocation
from rehearse.server import REGION, Server

HUB, SPOKE = "111122223333", "444455556666"
AWS_OWN = "806199016981"  # the account of AWS that has the topic AmazonIpSpaceChanged
Found = TypeVar("Found")


class FlowFailed(Exception):
    """A flow did not end as it should; the text says what was expected and what was seen."""


@dataclass
class World:
    """LocalStack, and the local AWS for what it lacks: AWS Health, CodePipeline at work, Systems Manager Automation."""

    server: Server
    aws: LocalAws

    def client(self, service: str, account: str = HUB) -> Any:
        """A client of LocalStack."""
        return self.server.client(service, account)

    def invocations(self, function: str, since: int = 0) -> list[Invocation]:
        """Those of a function, oldest first."""
        return [it for it in recording.read(self.server.invocations, since) if it.function == function]

    @property
    def now(self) -> int:
        """How many invocations there were so far, for `since`."""
        return len(recording.read(self.server.invocations))

    def invoke(self, function: str, event: Any) -> Any:
        """Invokes a deployed function and waits for its answer. Raises FlowFailed where it failed."""
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise FlowFailed(f"{function} failed: {payload}")
        return payload

    def listen(self, topic: str, account: str = HUB) -> "Mailbox":
        """Subscribes a queue to a topic, which then has what people would be mailed."""
        return Mailbox(self.client("sns", account), self.client("sqs", account), topic)

    def wait(self, what: str, look: Callable[[], Found], seconds: float = 60) -> Found:
        """Looks until something is found. Raises FlowFailed after `seconds`."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > deadline:
                raise FlowFailed(f"{what}: not within {seconds:g} s")
            time.sleep(0.2)
        return found


@dataclass
class Stack:
    """A stack that was deployed, or one nested in it: `ids` maps logical to physical ids."""

    world: World
    name: str
    account: str
    expected: Expected
    ids: dict[str, str]

    @classmethod
    def read(cls, world: World, name: str, account: str, expected: Expected) -> "Stack":
        """The stack of that name."""
        found = world.client("cloudformation", account).describe_stack_resources(StackName=name)["StackResources"]
        return cls(world, name, account, expected, {it["LogicalResourceId"]: it["PhysicalResourceId"] for it in found})

    def nested(self, logical_id: str) -> "Stack":
        """A stack nested in it."""
        name = self.ids[logical_id].split("/")[1]
        return Stack.read(self.world, name, self.account, self.expected.nested[logical_id])

    def role(self, logical_id: str) -> str:
        """The ARN of one of its roles."""
        return f"arn:aws:iam::{self.account}:role/{self.ids[logical_id]}"

    def content(self, logical_id: str) -> Any:
        """The content of one of its documents, with the references to roles and others filled in."""
        text = json.dumps(Meaning(self.ids).given(self.expected.resources[logical_id]["Properties"]["Content"]))
        for name, resource in self.expected.resources.items():
            if resource["Type"] == "AWS::IAM::Role":
                text = text.replace(f"<{name}.Arn>", self.role(name))
        return json.loads(text)


class Mailbox:
    """A queue behind a topic. Use as a context manager: it goes with its subscription."""

    def __init__(self, sns: Any, sqs: Any, topic: str):
        self._sns, self._sqs = sns, sqs
        self._queue = sqs.create_queue(QueueName=f"rehearsal-{uuid.uuid4().hex[:12]}")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self._subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)[
            "SubscriptionArn"
        ]
        self._read: list[dict[str, Any]] = []

    def __enter__(self) -> "Mailbox":
        return self

    def __exit__(self, *_: object) -> None:
        self._sns.unsubscribe(SubscriptionArn=self._subscription)
        self._sqs.delete_queue(QueueUrl=self._queue)

    def messages(self) -> list[dict[str, Any]]:
        """Every message so far, as SNS wraps it."""
        while found := self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
                self._read.append(json.loads(message["Body"]))
        return self._read

    def wait(self, count: int, world: World, seconds: float = 60) -> list[dict[str, Any]]:
        """Waits until there are `count` messages. Raises FlowFailed where there are more, a second later too."""
        world.wait(f"{count} messages in a topic", lambda: len(self.messages()) >= count, seconds)
        time.sleep(1)
        if len(self.messages()) != count:
            raise FlowFailed(f"{len(self._read)} messages in a topic, expected {count}: {self._read}")
        return self._read


def expect(what: str, seen: Any, wanted: Any) -> None:
    """Raises FlowFailed where `seen` is not what is wanted."""
    if seen != wanted:
        raise FlowFailed(f"{what}: {seen!r}, expected {wanted!r}")


__all__ = ["AWS_OWN", "HUB", "REGION", "SPOKE", "FlowFailed", "Mailbox", "Stack", "World", "expect"]
