"""The mails that EventBridge rules make of the events of a pipeline."""

import json
from typing import Any

from .policy import as_list
from .template import Deployed


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether an event passes a pattern of exact values and `anything-but`, as EventBridge and SNS read it."""

    def admits(wanted: list[Any], value: object) -> bool:
        excluded = [as_list(it["anything-but"]) for it in wanted if isinstance(it, dict)]
        return value in wanted or any(value is not None and value not in it for it in excluded)

    def admits_any(wanted: list[Any], value: object) -> bool:
        return any(admits(wanted, it) for it in value) if isinstance(value, list) else admits(wanted, value)

    return all(
        matches(wanted, event.get(key, {})) if isinstance(wanted, dict) else admits_any(wanted, event.get(key))
        for key, wanted in pattern.items()
    )


def change(level: str, state: str, pipeline: str = "web") -> dict[str, Any]:
    """A change of state of a pipeline, a stage, or an action of some category.

    Source: CodePipeline User Guide, "Monitoring CodePipeline events".
    """
    detail: dict[str, Any] = {"pipeline": pipeline, "execution-id": "e-1", "state": state}
    kind = level if level in ("Pipeline", "Stage") else "Action"
    if kind != "Pipeline":
        detail["stage"] = "Production"
    if kind == "Action":
        result = {"external-execution-summary": "why"}
        detail |= {"action": "Act", "type": {"category": level, "owner": "AWS"}, "execution-result": result}
    return {
        "source": "aws.codepipeline",
        "detail-type": f"CodePipeline {kind} Execution State Change",
        "region": "eu-west-1",
        "time": "2026-08-13T07:47:06Z",
        "detail": detail,
    }


def mails(deployed: Deployed, event: dict[str, Any]) -> list[tuple[str, str]]:
    """The topic and the text of each mail that the rules of a stack make of an event."""
    made = []
    for name, rule in deployed.of_type("AWS::Events::Rule").items():
        for target in rule["Properties"]["Targets"]:
            if "InputTransformer" in target and matches(rule["Properties"]["EventPattern"], event):
                text = target["InputTransformer"]["InputTemplate"]
                for variable, path in target["InputTransformer"]["InputPathsMap"].items():
                    value: Any = event
                    for part in path.removeprefix("$.").split("."):
                        value = value.get(part, {})
                    assert f"<{variable}>" in text, f"{name} reads {path} and does not use it"
                    text = text.replace(f"<{variable}>", value or "")
                assert "<" not in text, f"{name} has a variable that it does not read: {text}"
                made.append((target["Arn"], json.loads(text)))
    return made
