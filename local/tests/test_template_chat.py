"""The topic of Amazon Q Developer in chat applications: who may publish, and what goes there without a function."""

import json
import re

import pytest

from gatehouse_local import ROOT
from gatehouse_local.functions import capabilities, functions
from template_checks.policy import actions, as_list, statements
from template_checks.template import Deployed, load, references

CHAT = "arn:aws:sns:us-east-1:111122223333:chat"
ELSEWHERE = "arn:aws:sns:eu-west-1:444455556666:chat"
OTHER = "arn:aws:sns:us-east-1:111122223333:alarms"
EMAIL = "on-call@example.com"
TEMPLATES = [
    *(f"functions/{capability}/template.yaml" for capability in capabilities()),
    "functions/messages/audience.yaml",
]
# What else must be given so that all that can tell people something is there.
GIVEN = {
    "functions/amis/template.yaml": {"ApproverEmail": EMAIL},
    "functions/messages/audience.yaml": {
        "SourceTopicArn": "arn:aws:sns:us-east-1:111122223333:source",
        "DataProtectionPolicy": "ssm:/policy",
        "SubscriberPrincipalArn": "arn:aws:iam::111122223333:role/reader",
        "NotifyEmail": EMAIL,
    },
    "functions/pipelines/template.yaml": {"NotifyEmail": EMAIL, "NotifiedPipeline": "web"},
}

each_template = pytest.mark.parametrize("template", TEMPLATES)


def deployed(template: str, **given: str) -> Deployed:
    return Deployed(load(template), region="us-east-1", **GIVEN.get(template, {"NotifyEmail": EMAIL}) | given)


def of_chat(stack: Deployed) -> list[dict]:
    """The statements about chat, of every role and policy."""
    found = list(statements([it for it in stack.resources.values() if it["Type"].startswith("AWS::IAM::")]))
    return [it for it in found if it.get("Sid", "").endswith("Chat")]


def test_each_function_that_notifies_people_knows_the_topic():
    notifying = {it.binary for it in functions() if "Notifier" in (ROOT / it.crate / "src/main.rs").read_text()}
    notifying |= {it.binary for it in functions() if "Notifier" in (ROOT / it.crate / "src/lib.rs").read_text()}
    variables = {it.binary: it.properties["Environment"]["Variables"] for it in functions()}
    with_chat = {binary for binary, names in variables.items() if "CHAT_TOPIC_ARN" in names}
    assert with_chat == notifying
    assert len(with_chat) == 7


@each_template
def test_without_the_topic_nothing_is_granted_and_nothing_goes_there(template):
    stack = deployed(template)
    assert of_chat(stack) == []
    assert "CHAT_TOPIC_ARN" not in json.dumps(stack.resources)
    assert "ChatFailed" not in {
        it["Properties"].get("MetricName") for it in stack.of_type("AWS::CloudWatch::Alarm").values()
    }


@each_template
@pytest.mark.parametrize("topic", [CHAT, ELSEWHERE])
def test_publishing_is_granted_for_that_topic_alone_wherever_it_is(template, topic):
    found = of_chat(deployed(template, ChatTopicArn=topic))
    assert actions(found) == {"sns:Publish", "kms:Decrypt", "kms:GenerateDataKey"}
    for statement in found:
        if "sns:Publish" in as_list(statement["Action"]):
            assert statement["Resource"] == topic
        else:
            assert statement["Resource"] == "arn:aws:kms:*:*:key/*"
            assert statement["Condition"] == {
                "StringLike": {"kms:ViaService": "sns.*.amazonaws.com*"},
                "StringEquals": {"kms:EncryptionContext:aws:sns:topicArn": topic},
            }


@each_template
def test_each_function_with_the_topic_may_publish_there_and_has_an_alarm_on_its_failures(template):
    stack = deployed(template, ChatTopicArn=CHAT)
    with_chat = {
        name: it["Properties"]
        for name, it in stack.of_type("AWS::Serverless::Function").items()
        if it["Properties"]["Environment"]["Variables"].get("CHAT_TOPIC_ARN") == CHAT
    }
    assert with_chat
    roles = {
        role
        for it in stack.of_type("AWS::IAM::Policy").values()
        if of_chat_policy(it)
        for role in it["Properties"]["Roles"]
    }
    watched = {
        dimension["Value"]
        for alarm in stack.of_type("AWS::CloudWatch::Alarm").values()
        if alarm["Properties"].get("MetricName") == "ChatFailed"
        for dimension in alarm["Properties"]["Dimensions"]
    }
    for name, properties in with_chat.items():
        assert f"<{properties['Role'].strip('<>').removesuffix('.Arn')}>" in roles, name
        assert f"<{name}>" in watched, name


def of_chat_policy(policy: dict) -> bool:
    return policy["Properties"]["PolicyName"] == "publish-to-chat"


@each_template
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"ChatTopicArn": CHAT}, [CHAT]),
        ({"ChatTopicArn": CHAT, "AlarmTopicArn": OTHER}, [OTHER, CHAT]),
        ({"ChatTopicArn": CHAT, "AlarmTopicArn": CHAT}, [CHAT]),
        # CloudWatch notifies topics of its own Region only.
        ({"ChatTopicArn": ELSEWHERE, "AlarmTopicArn": OTHER}, [OTHER]),
    ],
)
def test_alarms_go_to_chat_too_once_and_only_in_their_region(template, given, expected):
    alarms = deployed(template, **given).of_type("AWS::CloudWatch::Alarm")
    assert alarms
    for name, alarm in alarms.items():
        actions = alarm["Properties"]["AlarmActions"]
        assert actions == alarm["Properties"]["OKActions"]
        if "AlarmTopicArn" not in given:
            assert len(actions) == 2 and actions[0].startswith("<"), name
            actions = actions[1:]
        assert actions == expected, name


@pytest.mark.parametrize(
    ("template", "given", "rules"),
    [
        ("functions/pipelines/template.yaml", {}, 5),
        ("functions/iam-alerts/template.yaml", {"Mail": "plain", "HubAccountIds": "444455556666"}, 2),
        ("functions/iam-alerts/template.yaml", {"HubAccountIds": "444455556666"}, 0),
    ],
)
def test_what_eventbridge_mails_goes_to_chat_as_it_is(template, given, rules):
    """Chat shows an event of EventBridge only where no transformer has changed it."""
    for topic, expected in ((CHAT, rules), (ELSEWHERE, 0), ("", 0)):
        stack = deployed(template, ChatTopicArn=topic, **given)
        found = [
            (rule["Properties"]["Targets"], target)
            for rule in stack.of_type("AWS::Events::Rule").values()
            for target in rule["Properties"]["Targets"]
            if target["Id"] == "chat"
        ]
        assert len(found) == expected
        for targets, target in found:
            assert target["Arn"] == topic and not {"InputTransformer", "Input", "InputPath"} & target.keys()
            assert "InputTransformer" in next(it for it in targets if it["Id"] == "topic")
            role = re.fullmatch(r"<(\w+)\.Arn>", target["RoleArn"])[1]
            granted = list(statements(stack.properties(role))) + list(
                statements(
                    [
                        it
                        for it in stack.of_type("AWS::IAM::Policy").values()
                        if f"<{role}>" in it["Properties"]["Roles"]
                    ]
                )
            )
            assert topic in {it["Resource"] for it in granted if it["Action"] == "sns:Publish"}


def test_the_suite_hands_the_topic_to_each_capability():
    suite = load("template.yaml")
    for name, resource in suite["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Application":
            assert references(resource["Properties"]["Parameters"]["ChatTopicArn"]) == {"ChatTopicArn"}, name


def test_the_gate_may_ask_which_execution_a_job_belongs_to_where_there_is_chat():
    for topic, expected in ((CHAT, {"JobDetailsPolicy"}), ("", set())):
        policies = deployed("functions/pipelines/template.yaml", ChatTopicArn=topic).of_type("AWS::IAM::Policy")
        assert {name for name, it in policies.items() if "codepipeline:GetJobDetails" in str(it)} == expected
