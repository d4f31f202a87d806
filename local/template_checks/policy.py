"""The statements that give a function its rights."""

from collections.abc import Iterator
from typing import Any

from .template import references

# What Lambda itself needs on the function's behalf; no line of the function's code calls it.
OF_THE_PLATFORM = {
    "logs:CreateLogStream": "Lambda writes the log",
    "logs:PutLogEvents": "Lambda writes the log",
    "sqs:SendMessage": "Lambda sends a failed event to its destination",
    "sqs:ReceiveMessage": "Lambda polls the event source",
    "sqs:DeleteMessage": "Lambda polls the event source",
    "sqs:GetQueueAttributes": "Lambda polls the event source",
    "kms:Decrypt": "SNS and SQS encrypt with the rights of who sends, where a key of one's own is given",
    "kms:GenerateDataKey": "SNS and SQS encrypt with the rights of who sends, where a key of one's own is given",
    "xray:PutTelemetryRecords": "Lambda writes the trace",
    "xray:PutTraceSegments": "Lambda writes the trace",
}

# What AWS asks for beside the action that the code calls.
IMPLIED = {
    "iam:PassRole": {"ssm:StartAutomationExecution"},  # the document names the role that it runs with
    "ssm:AddTagsToResource": {"ssm:PutParameter", "ssm:StartAutomationExecution"},  # made, or started, with tags
    "kms:Decrypt": {"sns:Publish"},  # to a topic that a key of one's own encrypts
    "kms:GenerateDataKey": {"sns:Publish"},
    "wafv2:TagResource": {"wafv2:CreateIPSet"},  # created with tags
}


def as_list(value: Any) -> list[Any]:
    """IAM lets a list of one be written without its brackets."""
    return value if isinstance(value, list) else [value]


def statements(value: Any) -> Iterator[dict[str, Any]]:
    """Every IAM statement in `value`, in every branch of every Fn::If."""
    if isinstance(value, list):
        for item in value:
            yield from statements(item)
    elif isinstance(value, dict):
        if "Effect" in value and ("Action" in value or "NotAction" in value):
            yield value
        else:
            for item in value.values():
                yield from statements(item)


def rights(resources: dict[str, Any], function: str) -> list[dict[str, Any]]:
    """The statements of the role of `function`, and of the policies that name the role."""
    role, _ = resources[function]["Properties"]["Role"]["Fn::GetAtt"]
    properties = resources[role]["Properties"]
    if properties.get("ManagedPolicyArns"):
        raise ValueError(f"{role} takes managed policies, whose actions nobody here has chosen")
    found = list(statements(properties.get("Policies", [])))
    for resource in resources.values():
        if resource["Type"] == "AWS::IAM::Policy" and role in references(resource["Properties"]["Roles"]):
            found += statements(resource["Properties"]["PolicyDocument"])
    if not found:
        raise ValueError(f"{role} has no statement: either it has no rights or this check looks past them")
    return found


def actions(granted: list[dict[str, Any]]) -> set[str]:
    """What the statements allow."""
    if any("NotAction" in statement for statement in granted):
        raise ValueError("NotAction allows more than anybody can list")
    return {
        action for statement in granted if statement["Effect"] == "Allow" for action in as_list(statement["Action"])
    }


def differences(allowed: set[str], called: set[str]) -> list[str]:
    """Where what a role allows and what the code calls are not the same; empty where they are."""
    implied = {action for action, by in IMPLIED.items() if by & called}
    too_much = allowed - called - implied - OF_THE_PLATFORM.keys()
    return sorted(
        [f"allowed and never called: {action}" for action in too_much]
        + [f"called and not allowed: {action}" for action in called - allowed]
    )
