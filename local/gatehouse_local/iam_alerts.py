"""The iam-alerts capability on this machine: what its rule matches, and what people are mailed."""

import json
import re
from pathlib import Path
from typing import Any

from moto.events.models import EventPattern

from gatehouse_local import runtime_api
from gatehouse_local.aws import LocalAws
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


class Mailer:
    """The real function behind the runtime API, with the local SNS. Use as a context manager."""

    def __init__(self, aws: LocalAws, binary: Path, **settings: str):
        self._aws = aws
        self.topic_arn = aws.client("sns").create_topic(Name="iam-alerts")["TopicArn"]
        given = {"AWS_ENDPOINT_URL": aws.url, "NOTIFY_TOPIC_ARN": self.topic_arn} | settings
        self._function = RuntimeApi([str(binary)], runtime_api.environment(given))

    def __enter__(self) -> "Mailer":
        self._function.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._function.__exit__(*error)

    def invoke(self, event: Any) -> tuple[Outcome, list[dict[str, Any]]]:
        """How the invocation ended, and what it published."""
        with self._aws.recording() as calls:
            outcome = self._function.invoke(event)
        return outcome, [call.params for call in calls if call.operation == "Publish" and call.error is None]
