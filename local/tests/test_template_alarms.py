"""Whom the alarms reach, and which topics take them."""

import re

import pytest

from gatehouse_local import ROOT
from gatehouse_local.functions import capabilities
from template_checks.policy import as_list
from template_checks.template import Deployed, load, with_every_resource

EMAIL = "on-call@example.com"
TOPIC = "arn:aws:sns:us-east-1:111122223333:alarms"
each_capability = pytest.mark.parametrize("capability", capabilities())


def deployed(capability: str, **given: str) -> Deployed:
    """The capability by itself, with what is made on request but by an address."""
    document = load(f"functions/{capability}/template.yaml")
    [address] = {"NotifyEmail", "ApproverEmail"} & document["Parameters"].keys()
    if "address" in given:
        given[address] = given.pop("address")
    return Deployed(document, region="us-east-1", **given)


def alarms(stack: Deployed) -> dict[str, list[str]]:
    return {
        name: alarm["Properties"].get("AlarmActions", [])
        for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items()
        if alarm["Properties"].get("OKActions", []) == alarm["Properties"].get("AlarmActions", [])
    }


def takes_alarms(stack: Deployed, topic: str) -> bool:
    """Whether CloudWatch may publish to a topic of the stack: its policy and its key let it."""
    if str(stack.properties(topic).get("KmsMasterKeyId", "")).startswith("alias/aws"):
        return False
    found = [
        statement
        for policy in stack.of_type("AWS::SNS::TopicPolicy").values()
        if f"<{topic}>" in policy["Properties"]["Topics"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    allowed = any(
        it["Effect"] == "Allow"
        and it["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        and "sns:Publish" in as_list(it["Action"])
        and it["Condition"]["StringEquals"] == {"aws:SourceAccount": "111122223333"}
        for it in found
    )
    only_without_tls = {"Bool": {"aws:SecureTransport": "false"}}
    return allowed and all(it["Condition"] == only_without_tls for it in found if it["Effect"] == "Deny")


@each_capability
def test_with_an_address_alone_every_alarm_reaches_it(capability):
    stack = deployed(capability, address=EMAIL)
    found = alarms(stack)
    assert found.keys() == stack.of_type("AWS::CloudWatch::Alarm").keys()
    mails = {
        it["Properties"]["TopicArn"]
        for it in stack.of_type("AWS::SNS::Subscription").values()
        if (it["Properties"]["Protocol"], it["Properties"]["Endpoint"]) == ("email", EMAIL)
    }
    for name, actions in found.items():
        assert len(actions) == 1 and set(actions) <= mails, name
        assert takes_alarms(stack, actions[0].strip("<>")), name


@each_capability
def test_a_topic_that_is_given_gets_the_alarms_and_no_second_topic_is_made(capability):
    for address in ("", EMAIL):
        stack = deployed(capability, AlarmTopicArn=TOPIC, address=address)
        assert set(map(tuple, alarms(stack).values())) == {(TOPIC,)}
        assert "AlarmTopic" not in stack.resources
    assert set(map(tuple, alarms(deployed(capability)).values())) == {()}


def test_the_alarms_on_silence_do_not_go_where_the_silence_is():
    stack = deployed("iam-alerts", address=EMAIL)
    watched = str(stack.properties("NobodyMailedAlarm")["Metrics"])
    assert "<AlertTopic.TopicName>" in watched
    assert "<AlertTopic>" not in {topic for actions in alarms(stack).values() for topic in actions}


@each_capability
def test_a_topic_of_an_output_takes_alarms_or_the_readme_says_that_it_does_not(capability):
    readme = re.sub(r"\s+", " ", (ROOT / "functions" / capability / "README.md").read_text())
    stack = Deployed(with_every_resource(load(f"functions/{capability}/template.yaml")))
    for name, output in stack.outputs.items():
        topic = str(output["Value"]).strip("<>")
        if stack.resources.get(topic, {}).get("Type") == "AWS::SNS::Topic" and not takes_alarms(stack, topic):
            # in one sentence, or the one after: "... `X` ... take no alarms"
            assert re.search(rf"`{name}`[^|]{{0,160}} takes? no alarms", readme), name
