"""Who may read a queue, and under which key it is, in every template that makes one."""

from fnmatch import fnmatchcase

import pytest

from template_checks.forms import FORMS, KEY, TEMPLATES
from template_checks.policy import as_list
from template_checks.template import ACCOUNT, Deployed, load, with_every_resource

WITH_A_QUEUE = [
    template
    for template in TEMPLATES
    if any(it["Type"] == "AWS::SQS::Queue" for it in load(template)["Resources"].values())
]
QUEUES = [
    (template, name)
    for template in WITH_A_QUEUE
    for name, it in load(template)["Resources"].items()
    if it["Type"] == "AWS::SQS::Queue"
]
# Parameters that name a key of something else than the content of the queues.
OTHER_KEYS = {
    "NotifyTopicKeyArn": "the key of a topic of yours; the queue keeps AWS's public notification, never a summary",
}
ON_CALL = f"arn:aws:iam::{ACCOUNT}:role/gatehouse-send-again"
IDENTITY_CENTER = "aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_OnCall_0123456789abcdef"
# Each has a policy like AWS's ReadOnlyAccess, or AdministratorAccess. A service has no ARN of a principal.
OTHERS = [
    f"arn:aws:iam::{ACCOUNT}:role/reader",
    f"arn:aws:iam::{ACCOUNT}:role/gatehouse-send-again-2",
    f"arn:aws:iam::{ACCOUNT}:role/team/gatehouse-send-again",
    f"arn:aws:iam::{ACCOUNT}:user/gatehouse-send-again",
    f"arn:aws:iam::{ACCOUNT}:root",
    "arn:aws:iam::999999999999:role/gatehouse-send-again",
    None,
]


def deployed(template: str, **given: str) -> Deployed:
    document = with_every_resource(load(template))
    required = {
        name: next(filter(None, FORMS[name])) for name, spec in document["Parameters"].items() if "Default" not in spec
    }
    return Deployed(document, **required | given)


def test_every_queue_is_looked_at():
    assert {template.split("/")[1] for template in WITH_A_QUEUE} == {
        "amis", "iam-alerts", "ip-ranges", "messages", "pipelines"
    }  # fmt: skip
    assert len(QUEUES) >= 13


def statements_on(stack: Deployed, queue: str) -> list[dict]:
    """The statements of the queue's policy. A queue has one policy: the last one that is set replaces the others."""
    [policy] = [
        it["Properties"]
        for it in stack.of_type("AWS::SQS::QueuePolicy").values()
        if f"<{queue}>" in it["Properties"]["Queues"]
    ]
    statements = policy["PolicyDocument"]["Statement"]
    assert {it["Resource"] for it in statements} == {f"<{queue}.Arn>"}
    return statements


def denied(stack: Deployed, queue: str, principal: str | None, action: str = "sqs:ReceiveMessage") -> bool:
    """Whether the policy of the queue denies a call over TLS, as IAM evaluates it."""
    return any(
        fnmatchcase(action, pattern)
        for statement in statements_on(stack, queue)
        if statement["Effect"] == "Deny"
        and statement["Principal"] == "*"
        and applies(statement["Condition"], principal)
        for pattern in as_list(statement["Action"])
    )


def applies(condition: dict, principal: str | None) -> bool:
    """Whether a condition holds. A negated operator holds where the request lacks the key, as for a service."""
    match condition:
        case {"Bool": {"aws:SecureTransport": "false"}}:
            return False
        case {"ArnNotLike": {"aws:PrincipalArn": patterns}}:
            return principal is None or not any(fnmatchcase(principal, it) for it in as_list(patterns))
        case _:
            raise NotImplementedError(condition)


def pollers(stack: Deployed, queue: str) -> set[str]:
    """The roles with which Lambda takes messages from the queue."""
    return {
        resource["Properties"]["Role"]
        for resource in stack.of_type("AWS::Serverless::Function").values()
        for event in resource["Properties"].get("Events", {}).values()
        if event["Type"] == "SQS" and event["Properties"]["Queue"] == f"<{queue}.Arn>"
    }


@pytest.mark.parametrize(("template", "queue"), QUEUES)
def test_only_lambda_and_the_role_that_sends_again_read_a_queue(template, queue):
    stack = deployed(template)
    assert [it for it in OTHERS if not denied(stack, queue, it)] == []
    assert not denied(stack, queue, ON_CALL)
    roles = {f"<{name}.Arn>" for name in stack.of_type("AWS::IAM::Role")}
    assert {it for it in roles if not denied(stack, queue, it)} == pollers(stack, queue)


def test_a_queue_that_a_function_works_off_is_among_them():
    read = {(template, queue) for template, queue in QUEUES if pollers(deployed(template), queue)}
    assert {queue for _, queue in read} == {"AlertQueue", "RetryQueue"}


@pytest.mark.parametrize(("template", "queue"), QUEUES)
def test_nobody_is_kept_from_anything_else(template, queue):
    # Whoever may deploy can change the policy, so nobody is locked out. Services put messages there.
    stack = deployed(template)
    for action in ("SendMessage", "PurgeQueue", "DeleteMessage", "GetQueueAttributes", "SetQueueAttributes"):
        assert [it for it in OTHERS if denied(stack, queue, it, f"sqs:{action}")] == [], action


@pytest.mark.parametrize(("template", "queue"), QUEUES)
@pytest.mark.parametrize(
    ("named", "role"),
    [
        ("on-call", "on-call"),
        ("team/on-call", "team/on-call"),
        (IDENTITY_CENTER, IDENTITY_CENTER),
        ("aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_OnCall_*", IDENTITY_CENTER),
        ("aws-reserved/sso.amazonaws.com/*AWSReservedSSO_OnCall_*", IDENTITY_CENTER),
        ("*", "any"),
    ],
)
def test_another_role_can_be_named(template, queue, named, role):
    stack = deployed(template, SendAgainRole=named)
    assert not denied(stack, queue, f"arn:aws:iam::{ACCOUNT}:role/{role}")
    assert denied(stack, queue, f"arn:aws:iam::999999999999:role/{role}")
    if named != "*":
        assert denied(stack, queue, f"arn:aws:iam::{ACCOUNT}:role/reader")


def test_the_role_is_named_in_one_way_everywhere():
    forms = [load(template)["Parameters"]["SendAgainRole"] for template in WITH_A_QUEUE]
    for form in forms:
        assert {**form, "Description": ""} == {**forms[0], "Description": ""}
    for wrong in ("", "/on-call", "team//on-call", "team/", ON_CALL, "on call", "a" * 513):
        with pytest.raises(ValueError, match="SendAgainRole"):
            deployed(WITH_A_QUEUE[0], SendAgainRole=wrong)


# The key --------------------------------------------------------------------------------------------


def keys(template: str) -> list[str]:
    return [name for name in load(template)["Parameters"] if name.endswith("KeyArn") and name not in OTHER_KEYS]


@pytest.mark.parametrize(("template", "queue"), QUEUES)
def test_a_queue_is_under_the_key_that_the_template_is_given(template, queue):
    without = deployed(template).properties(queue)
    assert without["SqsManagedSseEnabled"] is True and "KmsMasterKeyId" not in without
    for name in keys(template):
        given = deployed(template, **{name: KEY}).properties(queue)
        assert given["KmsMasterKeyId"] == KEY and "SqsManagedSseEnabled" not in given, name


def test_which_templates_take_a_key():
    assert {template.removeprefix("functions/"): keys(template) for template in WITH_A_QUEUE} == {
        "amis/template.yaml": ["NotificationKeyArn"],
        "iam-alerts/spoke.yaml": ["QueueKeyArn"],
        "iam-alerts/template.yaml": ["NotificationKeyArn"],
        "ip-ranges/template.yaml": [],
        "messages/audience.yaml": ["TopicKeyArn"],
        "messages/template.yaml": ["TopicKeyArn"],
        "pipelines/health-forwarder.yaml": [],
        "pipelines/template.yaml": ["NotificationKeyArn"],
    }
    everywhere = {name for template in WITH_A_QUEUE for name in load(template)["Parameters"]}
    assert OTHER_KEYS.keys() <= everywhere
