"""What a stack should hold: its template after SAM's transform, with the parameters of one deployment."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatehouse_local import cloudformation
from template_checks.expansion import Refused, expand
from template_checks.template import ACCOUNT, Deployed

REGION = "us-east-1"
APPLICATION = "AWS::Serverless::Application"
STACK = "AWS::CloudFormation::Stack"


@dataclass(frozen=True)
class Expected:
    """One stack: its resources by logical id, each with `Type` and `Properties`, and the stacks nested in it.

    What only AWS could know stays readable in the properties: `<Queue.Arn>`. `handed` are values that stand for a
    resource of the parent, by which that one is found.
    """

    resources: dict[str, dict[str, Any]]
    nested: dict[str, "Expected"]
    handed: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The resources of this stack and of those nested in it."""
        return len(self.resources) + sum(it.count for it in self.nested.values())


def expect(template: Path, stack: str, parameters: dict[str, str], account: str = ACCOUNT) -> Expected:
    """What a deployment of `template` as `stack` makes.

    LocalStack looks neither at Rules nor at the patterns of parameters. Here a Rule raises Refused, and a pattern
    another ValueError.
    """
    handed = {_topic(value): value.strip("<>") for value in parameters.values() if value.startswith("<")}
    given = {name: _topic(value) if value.startswith("<") else value for name, value in parameters.items()}
    source = cloudformation.load(template)
    deployed = Deployed(_named(expand(source), stack, account), region=REGION, **given)
    if refusals := deployed.refusals():
        raise Refused(" ".join(refusals))
    nested = {}
    for name, resource in deployed.of_type(STACK).items():
        inner = {key: str(value) for key, value in resource["Properties"].get("Parameters", {}).items()}
        location = template.parent / source["Resources"][name]["Properties"]["Location"]
        nested[name] = expect(location, f"<{name}>", inner, account)
    return Expected(deployed.resources, nested, handed)


def _named(document: dict[str, Any], stack: str, account: str) -> dict[str, Any]:
    """The template with the names of its stack and its account filled in."""
    text = json.dumps(document)
    for name, value in (("AWS::StackName", stack), ("AWS::AccountId", account)):
        text = text.replace(json.dumps({"Ref": name}), json.dumps(value)).replace(f"${{{name}}}", value)
    return json.loads(text)


def _topic(reference: str) -> str:
    """A value that a template admits for a reference of its parent: each of them is the ARN of a topic."""
    return f"arn:aws:sns:{REGION}:{ACCOUNT}:{reference.strip('<>')}"
