"""The iam-alerts capability on this machine: what its rule matches, and what people are mailed."""

import json
import re
from pathlib import Path
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.events.models import EventPattern
from moto.sqs.models import SQSBackend

from gatehouse_local import runtime_api
from gatehouse_local.aws import LocalAws
from gatehouse_local.event_source import REGION, EventSource
from gatehouse_local.runtime_api import Outcome, RuntimeApi

MAIL = "iam-alert-mail"


class TransformerRefused(ValueError):
    """PutTargets would refuse the input transformer, or nothing would be delivered."""


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether an event matches a pattern, as moto judges it; a test judges moto."""
    return EventPattern.load(json.dumps(pattern)).matches_event(event)


def transformed(
    paths: dict[str, str], template: str, event: dict[str, Any], variables: dict[str, str] | None = None
) -> str:
    """What an input transformer makes of an event: text where the template is text, else JSON.

    Source: EventBridge User Guide, "Amazon EventBridge input transformation", and what AWS delivered
    (`transformers.json`).
    """
    values = {name: _at(event, path) for name, path in paths.items()} | (variables or {})
    for name in re.findall(r"<([A-Za-z0-9._-]+)>", template):
        if name not in values:
            raise TransformerRefused(f"InputTemplate contains invalid placeholder {name}.")
    as_text = all(line.startswith('"') for line in template.splitlines())

    def put(found: re.Match[str]) -> str:
        value = values[found[1]]
        before = template[: found.start()]
        quoted = before.count('"') % 2 == 1
        if as_text or quoted:
            if isinstance(value, dict | list) and not as_text:
                raise TransformerRefused("nothing is delivered: an object or a list in a quoted text")
            return _bare(value)
        return json.dumps(value)

    made = re.sub(r"<([A-Za-z0-9._-]+)>", put, template)
    return made if as_text else json.dumps(json.loads(made))


def _at(event: dict[str, Any], path: str) -> Any:
    """A missing path is an empty text."""
    value: Any = event
    for key in path.removeprefix("$.").split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None else value


def _bare(value: Any) -> str:
    """A value within text: objects and lists lose their quotes."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace('"', "")


# moto counts the whole queue for each message that it looks at, to see whether it is older than four days. With many
# of messages that takes minutes; nothing here gets that old.
SQSBackend.is_message_valid_based_on_retention_period = lambda *_: True

TIME_OUT = 300.0  # of the function, as in the template


class AlertQueue:
    """The rule and the queue behind it, as the template makes them. Pollers take batches of `batch_size` messages."""

    def __init__(self, aws: LocalAws, pattern: dict[str, Any], batch_size: int = 500):
        self._pattern, self._sqs = pattern, aws.client("sqs", REGION)
        self._url = self._sqs.create_queue(QueueName="iam-alerts", Attributes={"VisibilityTimeout": "1805"})["QueueUrl"]
        self.source = EventSource(
            self._sqs, self._url, f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:iam-alerts", batch_size=batch_size, window=0.2
        )

    def put(self, *given: dict[str, Any]) -> int:
        """What EventBridge does with events: those that the rule matches are in the queue as they are. How many are."""
        matched = [event for event in given if matches(self._pattern, event)]
        for start in range(0, len(matched), 10):
            entries = [
                {"Id": str(number), "MessageBody": json.dumps(event)}
                for number, event in enumerate(matched[start : start + 10])
            ]
            answer = self._sqs.send_message_batch(QueueUrl=self._url, Entries=entries)
            assert not answer.get("Failed"), answer
        return len(matched)

    @property
    def kept(self) -> int:
        """How many messages the queue still has, those that a poller took and did not delete included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
        return sum(map(int, found.values()))


class Mailer:
    """The real function behind the runtime API, with the local SNS. Use as a context manager."""

    def __init__(self, aws: LocalAws, binary: Path, **settings: str):
        self._aws = aws
        self.topic_arn = aws.client("sns").create_topic(Name="iam-alerts")["TopicArn"]
        given = {"AWS_ENDPOINT_URL": aws.url, "NOTIFY_TOPIC_ARN": self.topic_arn} | settings
        self._function = RuntimeApi([str(binary)], runtime_api.environment(given), limit=TIME_OUT)

    def __enter__(self) -> "Mailer":
        self._function.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._function.__exit__(*error)

    def invoke(self, event: Any) -> tuple[Outcome, list[dict[str, Any]]]:
        """How the invocation ended, and what it published."""
        with self._aws.recording() as calls:
            outcome = self.answer(event)
        return outcome, [call.params for call in calls if call.operation == "Publish" and call.error is None]

    def answer(self, event: Any) -> Outcome:
        """How the invocation ended."""
        return self._function.invoke(event, timeout=TIME_OUT)

    def deliver(self, queue: AlertQueue) -> tuple[Outcome | None, list[dict[str, Any]]]:
        """The next batch of the queue: how the invocation ended, None without one, and what it published."""
        with self._aws.recording() as calls:
            outcome = queue.source.deliver(self.answer)
        return outcome, [call.params for call in calls if call.operation == "Publish" and call.error is None]
