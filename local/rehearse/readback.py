"""Reads a stack back and compares it with what it should hold.

Each resource must be in the stack, and its service must say of it what the template says. What the template leaves to
AWS, such as the ARN of a queue, is known by then: a reference to another resource must lead to it.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rehearse.expected import STACK, Expected
from rehearse.faults import FAULTS, PLACEHOLDERS

AwsClient = Callable[[str], Any]
Pairs = Iterator[tuple[str, Any, Any]]  # what is compared, as the template has it, as the service says it
REFERENCE = re.compile(r"<([\w.]+)>")


@dataclass
class Found:
    """What was read back: how many resources are there, what is wrong, and which faults of LocalStack were met."""

    made: int = 0
    wrong: list[str] = field(default_factory=list)
    excused: set[tuple[str, str]] = field(default_factory=set)


def compare(aws: AwsClient, stack: str, expected: Expected, known: dict[str, str] | None = None) -> Found:
    """Compares the stack of that name with `expected`, and the stacks nested in it."""
    found = Found()
    there = {it["LogicalResourceId"]: it for it in _resources(aws, stack)}
    _presence(found, stack, {name: it["Type"] for name, it in expected.resources.items()}, there)
    ids = {name: it["PhysicalResourceId"] for name, it in there.items() if it.get("PhysicalResourceId")}
    meaning = Meaning(ids | (known or {}))
    for name, resource in expected.resources.items():
        kind = resource["Type"]
        if kind in PLACEHOLDERS:
            found.excused.add((kind, ""))
        if name not in ids or kind == STACK or kind in PLACEHOLDERS or kind not in READERS:
            continue
        try:
            pairs = list(READERS[kind](aws, ids[name], meaning.given(resource.get("Properties", {})), meaning))
        except Exception as error:  # whatever it is, the others are still read
            if (kind, type(error).__name__) in FAULTS:
                found.excused.add((kind, type(error).__name__))
            else:
                found.wrong.append(f"{stack}: {name} ({kind}) cannot be read back: {type(error).__name__}: {error}")
            continue
        for what, wanted, seen in pairs:
            if meaning.fits(wanted, seen):
                continue
            if (kind, what) in FAULTS:
                found.excused.add((kind, what))
            else:
                found.wrong.append(f"{stack}: {name} ({kind}) has {what} {seen!r}, the template says {wanted!r}")
    for name, inner in expected.nested.items():
        if name in ids:
            nested = ids[name].split("/")[1]  # of its ARN
            below = compare(aws, nested, inner, {name: nested} | _handed(inner, meaning))
            found.made += below.made
            found.wrong += below.wrong
            found.excused |= below.excused
    return found


def _presence(found: Found, stack: str, wanted: dict[str, str], there: dict[str, dict[str, Any]]) -> None:
    for name, kind in wanted.items():
        resource = there.get(name)
        if resource is None:
            found.wrong.append(f"{stack}: {name} ({kind}) is missing")
        elif resource["ResourceType"] != kind:
            found.wrong.append(f"{stack}: {name} is a {resource['ResourceType']}, the template says {kind}")
        elif not resource["ResourceStatus"].endswith(("CREATE_COMPLETE", "UPDATE_COMPLETE")):
            found.wrong.append(f"{stack}: {name} ({kind}) is {resource['ResourceStatus']}")
        else:
            found.made += 1
    for name in there.keys() - wanted.keys():
        if there[name]["ResourceStatus"] != "DELETE_COMPLETE":
            found.wrong.append(f"{stack}: {name} ({there[name]['ResourceType']}) is not expected")


def _resources(aws: AwsClient, stack: str) -> list[dict[str, Any]]:
    return aws("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]


def _handed(inner: Expected, meaning: "Meaning") -> dict[str, str]:
    """What stands in a nested stack for a resource of its parent."""
    return {value: meaning.ids[name] for value, name in inner.handed.items() if name in meaning.ids}


class Meaning:
    """What the references of a template lead to. `ids` maps logical ids, and values handed down, to physical ids."""

    def __init__(self, ids: dict[str, str]):
        self.ids = ids

    def given(self, value: Any) -> Any:
        """The value with each `<Name>` that is known filled in, and what the parent handed down."""
        if isinstance(value, list):
            return [self.given(it) for it in value]
        if isinstance(value, dict):
            return {key: self.given(it) for key, it in value.items()}
        if not isinstance(value, str):
            return value
        for handed, real in self.ids.items():
            if ":" in handed:
                value = value.replace(handed, real)
        return REFERENCE.sub(lambda it: self.ids.get(it[1], it[0]), value)

    def own(self, reference: str) -> str:
        """The physical id of the resource that a property names: by its id, or by an attribute of it."""
        name = reference.strip("<>").partition(".")[0]
        return self.ids.get(name, reference)

    def fits(self, wanted: Any, seen: Any) -> bool:
        """Whether a service says what the template does. Numbers may come back as text, lists in any order."""
        if isinstance(wanted, dict):
            return isinstance(seen, dict) and all(self.fits(it, seen.get(key)) for key, it in wanted.items())
        if isinstance(wanted, list):
            if not isinstance(seen, list):
                return len(wanted) == 1 and self.fits(wanted[0], seen)
            return len(wanted) == len(seen) and all(any(self.fits(it, other) for other in seen) for it in wanted)
        if isinstance(wanted, bool) or isinstance(seen, bool):
            return str(wanted).lower() == str(seen).lower()
        if isinstance(wanted, int | float):
            return _number(seen) == float(wanted)
        if wanted is None or seen is None:
            return wanted is seen
        return re.fullmatch(self._pattern(str(wanted)), str(seen), re.DOTALL) is not None or (
            _number(seen) is not None and _number(seen) == _number(wanted)
        )

    def _pattern(self, wanted: str) -> str:
        """A reference to an attribute leads to a text with the resource's own id in it."""
        parts = REFERENCE.split(wanted)
        for at in range(1, len(parts), 2):
            name = parts[at].partition(".")[0]
            own = re.split(r"[/:|]", self.ids[name])[-1] if name in self.ids else ""
            parts[at] = f".*{re.escape(own)}.*" if own else ".+"
        parts[::2] = map(re.escape, parts[::2])
        return "".join(parts)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


# One reader for each type. `p` are the properties that the template gives, `id` is the physical id. -----------------


def _function(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    seen = aws("lambda").get_function_configuration(FunctionName=id)
    for name in (
        "MemorySize",
        "Timeout",
        "Runtime",
        "Handler",
        "Role",
        "Architectures",
        "TracingConfig",
        "LoggingConfig",
    ):
        if name in p:
            yield name, p[name], seen.get(name)
    wanted = p.get("Environment", {}).get("Variables", {})
    variables = seen.get("Environment", {}).get("Variables", {})
    for name in sorted(wanted.keys() | variables.keys()):
        yield f"variable {name}", wanted.get(name), variables.get(name)
    if "ReservedConcurrentExecutions" in p:
        reserved = aws("lambda").get_function_concurrency(FunctionName=id).get("ReservedConcurrentExecutions")
        yield "ReservedConcurrentExecutions", p["ReservedConcurrentExecutions"], reserved


def _invoke_config(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    seen = aws("lambda").get_function_event_invoke_config(FunctionName=p["FunctionName"], Qualifier=p["Qualifier"])
    yield "MaximumRetryAttempts", p["MaximumRetryAttempts"], seen.get("MaximumRetryAttempts")
    yield "MaximumEventAgeInSeconds", p["MaximumEventAgeInSeconds"], seen.get("MaximumEventAgeInSeconds")
    yield "DestinationConfig", p["DestinationConfig"], seen.get("DestinationConfig")


def _event_source(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    seen = aws("lambda").get_event_source_mapping(UUID=id)
    for name in (
        "EventSourceArn",
        "BatchSize",
        "FunctionResponseTypes",
        "MaximumBatchingWindowInSeconds",
        "ScalingConfig",
    ):
        if name in p:
            yield name, p[name], seen.get(name)


def _permission(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    policy = json.loads(aws("lambda").get_policy(FunctionName=p["FunctionName"])["Policy"])
    principals = [it["Principal"].get("Service") for it in policy["Statement"] if isinstance(it["Principal"], dict)]
    sources = [it.get("Condition", {}).get("ArnLike", {}).get("AWS:SourceArn", "") for it in policy["Statement"]]
    if p["Principal"] != "*":
        yield "Principal", True, p["Principal"] in principals
    if "SourceArn" in p:
        yield (
            "SourceArn",
            p["SourceArn"],
            next((it for it in sources if meaning.fits(p["SourceArn"], it)), str(sources)),
        )


def _url(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    seen = aws("lambda").get_function_url_config(FunctionName=meaning.own(p["TargetFunctionArn"]))
    yield "AuthType", p["AuthType"], seen["AuthType"]


def _topic(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    seen = aws("sns").get_topic_attributes(TopicArn=id)["Attributes"]
    for name in ("DisplayName", "SignatureVersion", "KmsMasterKeyId"):
        if name in p:
            yield name, p[name], seen.get(name)
    if "TopicName" in p:
        yield "TopicName", p["TopicName"], id.rpartition(":")[2]


def _topic_policy(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    for topic in p["Topics"]:
        seen = json.loads(aws("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
        yield "PolicyDocument", p["PolicyDocument"], seen


def _subscription(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    for page in aws("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=p["TopicArn"]):
        for seen in page["Subscriptions"]:
            if seen["Protocol"] == p["Protocol"] and meaning.fits(p["Endpoint"], seen["Endpoint"]):
                if "RedrivePolicy" in p:
                    attributes = aws("sns").get_subscription_attributes(SubscriptionArn=seen["SubscriptionArn"])
                    redrive = json.loads(attributes["Attributes"].get("RedrivePolicy", "{}"))
                    yield "RedrivePolicy", p["RedrivePolicy"], redrive
                return
    yield "Endpoint", p["Endpoint"], None


def _queue(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    seen = aws("sqs").get_queue_attributes(QueueUrl=id, AttributeNames=["All"])["Attributes"]
    for name in (
        "MessageRetentionPeriod",
        "VisibilityTimeout",
        "DelaySeconds",
        "SqsManagedSseEnabled",
        "KmsMasterKeyId",
    ):
        if name in p:
            yield name, p[name], seen.get(name)
    if "RedrivePolicy" in p:
        yield "RedrivePolicy", p["RedrivePolicy"], json.loads(seen.get("RedrivePolicy", "{}"))


def _queue_policy(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    for queue in p["Queues"]:
        seen = aws("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["Policy"])["Attributes"]
        yield "PolicyDocument", p["PolicyDocument"], json.loads(seen.get("Policy", "{}"))


def _alarm(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    [seen] = aws("cloudwatch").describe_alarms(AlarmNames=[id.rpartition(":")[2]])["MetricAlarms"] or [{}]
    for name, wanted in p.items():
        yield name, wanted, seen.get(name)


def _rule(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    bus, _, name = id.rpartition("|")
    where = {"EventBusName": bus} if bus else {}
    seen = aws("events").describe_rule(Name=name.rpartition("/")[2], **where)
    if "EventPattern" in p:
        yield "EventPattern", p["EventPattern"], json.loads(seen.get("EventPattern", "{}"))
    for key in ("ScheduleExpression", "State"):
        if key in p:
            yield key, p[key], seen.get(key)
    targets = aws("events").list_targets_by_rule(Rule=name.rpartition("/")[2], **where)["Targets"]
    yield "Targets", p["Targets"], targets


def _bus(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    yield "Name", p["Name"], aws("events").describe_event_bus(Name=id)["Name"]


def _bus_policy(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    policy = json.loads(aws("events").describe_event_bus(Name=p["EventBusName"]).get("Policy", '{"Statement": []}'))
    yield "StatementId", True, p["StatementId"] in [it.get("Sid") for it in policy["Statement"]]


def _role(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    iam = aws("iam")
    seen = iam.get_role(RoleName=id)["Role"]
    yield "AssumeRolePolicyDocument", p["AssumeRolePolicyDocument"], seen["AssumeRolePolicyDocument"]
    for policy in p.get("Policies", []):
        document = iam.get_role_policy(RoleName=id, PolicyName=policy["PolicyName"])["PolicyDocument"]
        yield f"policy {policy['PolicyName']}", policy["PolicyDocument"], document


def _role_policy(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    for role in p["Roles"]:
        seen = aws("iam").get_role_policy(RoleName=role, PolicyName=p["PolicyName"])["PolicyDocument"]
        yield "PolicyDocument", p["PolicyDocument"], seen


def _key(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    kms = aws("kms")
    seen = kms.describe_key(KeyId=id)["KeyMetadata"]
    for name in ("Description", "KeySpec", "KeyUsage"):
        if name in p:
            yield name, p[name], seen.get(name)
    yield "KeyPolicy", p["KeyPolicy"], json.loads(kms.get_key_policy(KeyId=id, PolicyName="default")["Policy"])


def _log_group(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    name = p.get("LogGroupName", id)
    [seen] = aws("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"][:1] or [{}]
    yield "LogGroupName", name, seen.get("logGroupName")
    yield "RetentionInDays", p["RetentionInDays"], seen.get("retentionInDays")


def _document(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    seen = aws("ssm").get_document(Name=id)
    yield "DocumentType", p["DocumentType"], seen["DocumentType"]
    yield "Content", p["Content"], json.loads(seen["Content"])


def _bucket(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    rules = p.get("LifecycleConfiguration", {}).get("Rules", [])
    if rules:
        seen = aws("s3").get_bucket_lifecycle_configuration(Bucket=id)["Rules"]
        wanted = [it["ExpirationInDays"] for it in rules]
        yield "LifecycleConfiguration", wanted, [it["Expiration"]["Days"] for it in seen]


def _bucket_policy(aws: AwsClient, id: str, p: dict[str, Any], meaning: Meaning) -> Pairs:
    yield "PolicyDocument", p["PolicyDocument"], json.loads(aws("s3").get_bucket_policy(Bucket=p["Bucket"])["Policy"])


READERS: dict[str, Callable[[AwsClient, str, dict[str, Any], Meaning], Pairs]] = {
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::Events::EventBus": _bus,
    "AWS::Events::EventBusPolicy": _bus_policy,
    "AWS::Events::Rule": _rule,
    "AWS::IAM::Policy": _role_policy,
    "AWS::IAM::Role": _role,
    "AWS::KMS::Key": _key,
    "AWS::Lambda::EventInvokeConfig": _invoke_config,
    "AWS::Lambda::EventSourceMapping": _event_source,
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::Permission": _permission,
    "AWS::Lambda::Url": _url,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::S3::Bucket": _bucket,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::SNS::Subscription": _subscription,
    "AWS::SNS::Topic": _topic,
    "AWS::SNS::TopicPolicy": _topic_policy,
    "AWS::SQS::Queue": _queue,
    "AWS::SQS::QueuePolicy": _queue_policy,
    "AWS::SSM::Document": _document,
}
