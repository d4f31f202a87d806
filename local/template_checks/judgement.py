"""What CloudFormation, or the service behind a resource, would refuse in a combination of parameters.

`faults` gives one sentence for each; it is empty where the template deploys.
"""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from .expansion import PSEUDO, Combination, Expansion, Resource
from .policy import as_list
from .template import references, refuse

# Quotas of IAM, EventBridge, SNS, SQS and Lambda: characters, without the white space that IAM does not count.
MAX_INLINE_POLICIES = 10_240
MAX_EVENT_PATTERN = 2_048
MAX_TOPIC_POLICY = 30_720
MAX_QUEUE_POLICY = 8_192
MAX_VARIABLES = 4_096
# Longer than the ARN of any resource of ours: names are made of the names of stack and resource, of 64 characters each.
LONGEST_ARN = "a" * 200

SEND = {
    "AWS::SQS::Queue": "sqs:SendMessage",
    "AWS::SNS::Topic": "sns:Publish",
    "AWS::Lambda::Function": "lambda:InvokeFunction",
    "AWS::Events::EventBus": "events:PutEvents",
}


def of_template(expansion: Expansion) -> Iterator[str]:
    """What is wrong in every combination: names that are declared nowhere, and values that a pattern refuses."""
    document = expansion.document
    declared = expansion.resources.keys() | expansion.parameters.keys() | PSEUDO
    for section in ("Resources", "Outputs"):
        for name, part in document.get(section, {}).items():
            used = references(part) | set(as_list(part.get("DependsOn", [])))
            for missing in sorted({it.partition(".")[0] for it in used} - declared):
                yield f"{name} refers to {missing}, which is not declared"
    for name, spec in expansion.parameters.items():
        for value in [spec["Default"]] if "Default" in spec else []:
            yield from _refused(name, spec, str(value), "its own default")
        for value in documented(spec):
            yield from _refused(name, spec, value, "the example in its description")


def documented(spec: dict[str, Any]) -> list[str]:
    """The examples that the description of a parameter gives: "such as 80,443,8000-8010."."""
    text = f"{spec.get('Description', '')} {spec.get('ConstraintDescription', '')}"
    found = re.findall(r"\bsuch as (\{.*\}|\w+\([^)]*\)|\S+?)[.;:,)]*(?=\s|$)", text)
    return [value for value in found if "AllowedPattern" in spec or "AllowedValues" in spec]


def _refused(name: str, spec: dict[str, Any], value: str, what: str) -> Iterator[str]:
    try:
        refuse(spec, name, value)
    except ValueError as error:
        yield f"{what} is refused: {error}"


def of_combination(it: Combination) -> Iterator[str]:
    """What is wrong with these parameters."""
    yield from absent(it)
    if cycle := it.cycle():
        yield f"these wait for each other: {' → '.join(cycle)}"
        return
    for name, resource in it.resources.items():
        yield from early(it, name, resource)
        yield from texts(name, resource)
    yield from roles(it)


def absent(it: Combination) -> Iterator[str]:
    """References to what these parameters leave away."""
    for where, parts in (("", it.resources), ("the output ", it.outputs)):
        for name, part in parts.items():
            for missing in sorted(part.refers_to - it.resources.keys()):
                yield f"{where}{name} refers to {missing}, which is not there"


# Rights that a service checks when a resource is made ----------------------------------------------


def early(it: Combination, name: str, resource: Resource) -> Iterator[str]:
    """What must be made before this resource, and is not."""
    properties = resource.properties
    match resource.kind:
        case "AWS::Lambda::Function":
            role = _name(properties["Role"])
            if properties.get("TracingConfig", {}).get("Mode") == "Active":
                yield from _rights(it, name, role, ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*")
            if target := properties.get("DeadLetterConfig", {}).get("TargetArn"):
                yield from _rights(it, name, role, [SEND[_kind(it, target)]], target)
            if group := properties.get("LoggingConfig", {}).get("LogGroup"):
                arn = f"<{_name(group)}.Arn>"
                yield from _rights(it, name, role, ["logs:CreateLogStream", "logs:PutLogEvents"], arn)
        case "AWS::Lambda::EventInvokeConfig":
            role = _role_of(it, properties["FunctionName"])
            for way in properties.get("DestinationConfig", {}).values():
                target = way["Destination"]
                yield from _rights(it, name, role, [SEND[_kind(it, target)]], target)
                yield from _key(it, name, role, target, ["kms:Decrypt", "kms:GenerateDataKey"])
        case "AWS::Lambda::EventSourceMapping":
            role, source = _role_of(it, properties["FunctionName"]), properties["EventSourceArn"]
            if _kind(it, source) != "AWS::SQS::Queue":
                raise NotImplementedError(f"{name}: the rights that Lambda needs on {source}")
            needed = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
            yield from _rights(it, name, role, needed, source)
            yield from _key(it, name, role, source, ["kms:Decrypt"])
        case "AWS::CloudTrail::Trail":
            yield from _policy(it, name, "AWS::S3::BucketPolicy", properties["S3BucketName"])
        case "AWS::CodePipeline::Pipeline":
            # It starts when it is made, with its role.
            of_role = {p for p in it.of_type("AWS::IAM::Policy") if _name(properties["RoleArn"]) in _roles(it, p)}
            for late in sorted(of_role - it.before(name)):
                yield f"{name} does not wait for {late}, the rights of its role"


def _rights(it: Combination, name: str, role: str, actions: list[str], target: str) -> Iterator[str]:
    if role not in it.resources:
        return  # a role of another stack, given by a parameter
    anywhere = [p for p in it.of_type("AWS::IAM::Policy") if role in _roles(it, p)]
    there = [p for p in anywhere if p in it.before(name)]
    for action in actions:
        if _allowed(it, role, there, action, target):
            continue
        if _allowed(it, role, anywhere, action, target):
            yield f"{name} may be made before {role} has {action} on {target}: the service checks it when it is made"
        else:
            yield f"{name} needs {action} on {target}, and {role} lacks it"


def _key(it: Combination, name: str, role: str, target: str, actions: list[str]) -> Iterator[str]:
    """What the role lacks on the customer-managed key of a queue or topic."""
    key = it.resources[_name(target)].properties.get("KmsMasterKeyId", "")
    if ":key/" in key or key.startswith("<"):
        policies = [p for p in it.of_type("AWS::IAM::Policy") if role in _roles(it, p)]
        for action in actions:
            if not _allowed(it, role, policies, action, key):
                yield f"{name} needs {action} on the key of {target}, and {role} lacks it"


def _allowed(it: Combination, role: str, policies: list[str], action: str, target: str) -> bool:
    return _allow(it.resources[role], tuple(it.resources[policy] for policy in policies), action, target)


@cache
def _allow(role: Resource, policies: tuple[Resource, ...], action: str, target: str) -> bool:
    documents = [policy["PolicyDocument"] for policy in role.properties.get("Policies", [])]
    documents += [policy.properties["PolicyDocument"] for policy in policies]
    return any(
        statement["Effect"] == "Allow"
        and any(fnmatchcase(action, pattern) for pattern in as_list(statement["Action"]))
        and {target, "*"} & set(as_list(statement["Resource"]))
        for document in documents
        for statement in as_list(document["Statement"])
    )


def _policy(it: Combination, name: str, kind: str, of: str) -> Iterator[str]:
    """The policy of a bucket or topic is made before the resource that uses it."""
    for policy, resource in it.of_type(kind).items():
        holders = as_list(resource.properties.get("Bucket") or resource.properties["Topics"])
        if of in holders and policy in it.before(name):
            return
    yield f"{name} does not wait for the {kind} of {of.strip('<>')}, which admits the service"


def _name(text: str) -> str:
    """`<Role.Arn>` → Role."""
    return str(text).strip("<>").partition(".")[0]


def _kind(it: Combination, text: str) -> str:
    return it.resources[_name(text)].kind


def _role_of(it: Combination, function: str) -> str:
    return _name(it.resources[_name(function)].properties["Role"])


def _roles(it: Combination, policy: str) -> set[str]:
    return set(map(_name, it.resources[policy].properties.get("Roles", [])))


# Quotas, names, empty texts ------------------------------------------------------------------------


def roles(it: Combination) -> Iterator[str]:
    """Inline policies of one name, and more of them than IAM keeps."""
    for role, resource in it.of_type("AWS::IAM::Role").items():
        made = [other for policy, other in it.of_type("AWS::IAM::Policy").items() if role in _roles(it, policy)]
        names = [policy["PolicyName"] for policy in resource.properties.get("Policies", [])]
        names += [other.properties["PolicyName"] for other in made]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"{role} has several inline policies of the name {name}: the last one made replaces the others"
        if (size := sum(map(_inline, [resource, *made]))) > MAX_INLINE_POLICIES:
            yield f"the inline policies of {role} have {size} characters, and IAM takes {MAX_INLINE_POLICIES}"


@cache
def _inline(resource: Resource) -> int:
    """The characters of the inline policies that a role or a policy has."""
    own = [policy["PolicyDocument"] for policy in resource.properties.get("Policies", [])]
    return sum(map(_size, own or [resource.properties.get("PolicyDocument", {})]))


@cache
def texts(name: str, resource: Resource) -> list[str]:
    """Empty texts, and texts that are longer than the service takes."""
    return list(_texts(name, resource))


def _texts(name: str, resource: Resource) -> Iterator[str]:
    properties = resource.properties
    if resource.kind != "AWS::CloudFormation::Stack":  # an empty parameter of a nested template is one
        for path in _empty(properties):
            yield f"{name} has an empty text in {path}: a condition is missing"
    limits = {
        "AWS::Events::Rule": ("EventPattern", MAX_EVENT_PATTERN),
        "AWS::SNS::TopicPolicy": ("PolicyDocument", MAX_TOPIC_POLICY),
        "AWS::SQS::QueuePolicy": ("PolicyDocument", MAX_QUEUE_POLICY),
        "AWS::Lambda::Function": ("Environment", MAX_VARIABLES),
    }
    if resource.kind in limits:
        what, most = limits[resource.kind]
        if (size := _size(properties.get(what, {}))) > most:
            yield f"{what} of {name} has {size} characters, and the service takes {most}"


def _size(value: Any) -> int:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return len(re.sub(r"<\w+(\.\w+)*>", LONGEST_ARN, text))


def _empty(value: Any, path: str = "") -> Iterator[str]:
    if value == "":
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _empty(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _empty(item, f"{path}[{number}]")
