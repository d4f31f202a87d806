"""messages: reporting gets an expense report masked, payment gets it whole."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from gatehouse_local import events
from rehearse.world import FlowFailed, Stack, expect

HIDDEN = ("employee", "card")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # past any proxy of the machine


def masks_for_reporting(stack: Stack) -> str:
    """Somebody publishes an expense report."""
    since = _publish(stack)
    payment = _received(stack, "PaymentSubscriberFunction", since)
    reporting = _received(stack, "ReportingSubscriberFunction", since)
    expect("what payment received", payment, events.EXPENSE_REPORT)
    for name, value in events.EXPENSE_REPORT.items():
        if (reporting.get(name) == value) == (name in HIDDEN):
            raise FlowFailed(f"reporting received {reporting}")
    return "payment has the report whole, reporting masked"


def masks_for_another_audience(source: Stack) -> Callable[[Stack], str]:
    """The flow of one more audience: `source` has the topic that it reads."""

    def masks_for_this_audience(stack: Stack) -> str:
        """Somebody publishes an expense report, which the policy of this audience masks otherwise."""
        with stack.world.listen(stack.ids["AudienceTopic"], stack.account) as received:
            _publish(source)
            [message] = received.wait(1, stack.world)
        report = json.loads(message["Message"])
        masked = {"card": "#" * len(events.EXPENSE_REPORT["card"])}
        expect("what the audience received", report, events.EXPENSE_REPORT | masked)
        return "another audience has the card masked, and the employee as published"

    return masks_for_this_audience


def refuses_another_signature(stack: Stack) -> str:
    """LocalStack signs with a key of its own, so with SnsVerify=enforce nothing may go on."""
    since = _publish(stack)
    redactor = stack.ids["MessageRedactorFunction"]
    [refusal, *_] = stack.world.wait("the redactor's answer", lambda: stack.world.invocations(redactor, since))
    if not refusal.failed:
        raise FlowFailed(f"the redactor took a message that SNS did not sign: {refusal.answer}")
    expect("what reporting received", stack.world.invocations(stack.ids["ReportingSubscriberFunction"], since), [])
    return f"a message that SNS did not sign is refused: {refusal.answer['errorType']}"


def _publish(stack: Stack) -> int:
    since = stack.world.now
    sns = stack.world.client("sns", stack.account)
    sns.publish(TopicArn=stack.ids["ApprovalTopic"], Message=json.dumps(events.EXPENSE_REPORT))
    return since


def _received(stack: Stack, function: str, since: int) -> dict[str, Any]:
    """What a subscriber answers: the messages that it received."""
    found = stack.world.wait(function, lambda: stack.world.invocations(stack.ids[function], since))
    [invocation] = found
    if invocation.failed:
        raise FlowFailed(f"{function} failed: {invocation.answer}")
    [received] = invocation.answer
    return json.loads(received["message"])


def refuses_a_forged_request(stack: Stack) -> str:
    """Somebody posts a message that SNS did not sign to the public URL of the relay."""
    function = stack.ids["MessageRelayFunction"]
    config = stack.world.client("lambda", stack.account).get_function_url_config(FunctionName=function)
    sample = events.load("messages/relay-notification.json")
    topic = stack.expected.resources["MessageRelayFunction"]["Properties"]["Environment"]["Variables"]["TOPIC_ARNS"]
    body = sample["body"].replace(json.loads(sample["body"])["TopicArn"], topic)
    headers = {name: value for name, value in sample["headers"].items() if name.startswith(("x-amz-sns", "content"))}
    # The name of the URL does not resolve here: LocalStack finds the function by the header Host.
    headers |= {"Host": urlsplit(config["FunctionUrl"]).netloc, "x-amz-sns-topic-arn": topic}
    since = stack.world.now
    request = urllib.request.Request(f"{stack.world.server.url}/", body.encode(), headers, method="POST")
    try:
        with DIRECT.open(request, timeout=60) as answer:
            status = answer.status
    except urllib.error.HTTPError as refused:
        status = refused.code
        refused.close()
    expect("the relay's invocations", len(stack.world.invocations(function, since)), 1)
    expect("the answer to a forged message", status, 403)
    return "the public URL answers 403 to a forged message"
