"""Amazon Q Developer in chat applications, as a subscriber of a topic: what a channel shows of its messages.

It knows custom notifications, alarms of CloudWatch and events of EventBridge, and drops everything else in silence,
such as the text of a mail. AWS gives no lengths: those of Slack's blocks count.

Source: Administrator Guide, "Custom notifications".
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LONGEST_TEXT, LONGEST_TITLE, LONGEST_STEP, MOST_STEPS = 3_000, 150, 500, 5
LINK = re.compile(r"<(https://[^<>|\s]+)\|([^<>|]+)>")
MENTION = re.compile(r"<[!@#]|(?<![\w.+\[-])@\w")
OF_CONTENT = {"textType", "title", "description", "nextSteps", "keywords"}
OF_METADATA = {"threadId", "summary", "eventType", "relatedResources", "additionalContext"}


@dataclass(frozen=True)
class Shown:
    """A custom notification in the channel; `links` are its next steps, by their labels."""

    title: str
    text: str
    thread: str | None
    links: dict[str, str]
    context: dict[str, str]


def shown(message: str) -> Shown | None:
    """What the channel shows of a message; None where the service drops it.

    Raises ValueError for a custom notification that is not as documented, which the service drops as well.
    """
    try:
        parsed = json.loads(message)
    except ValueError:
        return None
    if not isinstance(parsed, dict) or parsed.get("source") != "custom":
        return None
    content, metadata = parsed.get("content", {}), parsed.get("metadata", {})
    unknown = {*parsed} - {"version", "source", "id", "content", "metadata"}
    unknown |= ({*content} - OF_CONTENT) | ({*metadata} - OF_METADATA)
    steps = content.get("nextSteps", [])
    faults = {
        f"unknown fields {sorted(unknown)}": bool(unknown),
        "version": parsed.get("version") != "1.0",
        "textType": content.get("textType") != "client-markdown",
        "description": not 0 < len(content.get("description", "")) <= LONGEST_TEXT,
        "title": len(content.get("title", "")) > LONGEST_TITLE,
        "nextSteps": len(steps) > MOST_STEPS or any(len(step) > LONGEST_STEP for step in steps),
        "keywords, relatedResources": not all(
            isinstance(item, str) for item in content.get("keywords", []) + metadata.get("relatedResources", [])
        ),
        "additionalContext": not all(isinstance(it, str) for it in metadata.get("additionalContext", {}).values()),
        "a mention or a link": any(_is_marked(content.get(name, "")) for name in ("title", "description")),
    }
    if found := [name for name, is_wrong in faults.items() if is_wrong]:
        raise ValueError(f"not as documented: {', '.join(found)} in {message}")
    links = {label: url for step in steps for url, label in LINK.findall(step)}
    return Shown(
        content.get("title", ""),
        content["description"],
        metadata.get("threadId"),
        links,
        metadata.get("additionalContext", {}),
    )


def threads(messages: Iterable[str]) -> dict[str | None, list[Shown]]:
    """What the channel shows of these messages, by thread."""
    found: dict[str | None, list[Shown]] = {}
    for message in messages:
        if told := shown(message):
            found.setdefault(told.thread, []).append(told)
    return found


def _is_marked(text: Any) -> bool:
    return bool(MENTION.search(text) or "<" in text or re.search(r"https?://", text, re.IGNORECASE))
