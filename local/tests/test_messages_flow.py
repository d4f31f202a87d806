"""The messages capability as a whole, with the real binaries: masking for one subscriber, and the relay over HTTPS.

AWS is the local AWS, whose SNS signs and delivers. The stack is read from the template.
"""

import copy
import json
import re
import shlex
import time

import pytest

from gatehouse_local import events, runtime_api, sns
from gatehouse_local.messages import (
    AUDIENCE,
    CARD,
    EMPLOYEE,
    EXPENSE_REPORT,
    PAYMENT,
    REDACTOR,
    RELAY,
    RELAY_URL,
    REPORT,
    REPORTING,
    Stack,
    certificate,
    origin_arn,
)
from gatehouse_local.web import Page

# As they are called here: each flow names the functions that it runs.
FUNCTIONS = ("message-redactor", "message-relay", "expense-subscriber")

ORIGIN = origin_arn()
DENY = {
    "Name": "no-keys",
    "Version": "2021-06-01",
    "Statement": [
        {
            "DataDirection": "Outbound",
            "Principal": ["*"],
            "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/AwsSecretKey"],
            "Operation": {"Deny": {}},
        }
    ],
}
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def make(aws, web, binary, request):
    """Makes a stack with these parameters; it is stopped after the test."""

    def stack(**parameters):
        made = Stack(aws, web, binary, **parameters)
        request.addfinalizer(lambda: made.__exit__())
        return made

    return stack


@pytest.fixture
def relay(make):
    """A stack whose relay is subscribed to the topic of another Region and confirmed."""
    stack = make(RelayTopicArns=ORIGIN)
    stack.subscribe_relay(stack.origin())
    return stack


def messages(stack, name):
    return [json.loads(item["message"]) for item in stack.received(name)]


def logs(stack):
    return "\n".join(line for name, outcome in stack.outcomes if name in (REDACTOR, RELAY) for line in outcome.log)


def records(stack, name):
    """The JSON lines that a function logged, its metrics among them."""
    return [record for who, outcome in stack.outcomes if who == name for record in outcome.records]


def statuses(stack):
    return [answer["statusCode"] for answer in stack.answers]


# Masking --------------------------------------------------------------------------------------


def test_payment_receives_the_report_and_reporting_receives_it_masked(make):
    stack = make()
    attributes = {"office": {"DataType": "String", "StringValue": "Sydney"}}
    stack.publish(EXPENSE_REPORT, Subject="Expense report", MessageAttributes=attributes)
    assert messages(stack, PAYMENT) == [EXPENSE_REPORT]
    assert messages(stack, REPORTING) == [EXPENSE_REPORT | {"card": "#" * len(CARD), "employee": "#" * len(EMPLOYEE)}]
    assert messages(stack, REPORTING)[0]["report"] == REPORT == "CID-000012348-CA"
    for name in (PAYMENT, REPORTING):
        [received] = stack.received(name)
        assert received["subject"] == "Expense report"
        assert received["attributes"]["office"] == {"Type": "String", "Value": "Sydney"}
    assert stack.denied == []
    assert stack.failed == {}


def test_no_log_of_redactor_or_relay_has_a_sensitive_value(relay):
    relay.publish(EXPENSE_REPORT)
    relay.publish_at(ORIGIN, EXPENSE_REPORT)
    assert len(relay.received(REPORTING)) == 2
    assert not [value for value in (CARD, EMPLOYEE, "Conference in Sydney") if value in logs(relay)]
    assert all(CARD not in it.message for it in relay.aws.sns.published[relay.topics["ReportingTopic"]])


def test_a_denied_message_is_not_published_and_the_topic_hears_why_without_the_value(make):
    stack = make(DataProtectionPolicy=json.dumps(DENY))
    stack.publish(EXPENSE_REPORT | {"purpose": f"key {SECRET}"})
    assert len(stack.received(PAYMENT)) == 1
    assert stack.received(REPORTING) == []
    [told] = stack.denied
    assert "AwsSecretKey" in told.message
    assert SECRET not in told.message + (told.subject or "") + json.dumps(told.attributes)
    assert SECRET not in logs(stack)


def role(name):
    return f"arn:aws:iam::111122223333:role/{name}"


def mask(principal, identifier, character):
    """A statement that masks an identifier for a principal."""
    return {
        "DataDirection": "Outbound",
        "Principal": [principal],
        "DataIdentifier": [f"arn:aws:dataprotection::aws:data-identifier/{identifier}"],
        "Operation": {"Deidentify": {"MaskConfig": {"MaskWithCharacter": character}}},
    }


def test_two_audiences_of_one_topic_that_exists_get_what_each_may_read(make, aws):
    """One policy for both, as SNS applies it: each subscribing principal in isolation."""
    existing = aws.client("sns", "us-east-1").create_topic(Name="existing", Attributes={"SignatureVersion": "2"})
    policy = {
        "Name": "both",
        "Version": "2021-06-01",
        "Statement": [
            mask(role("billing"), "EmailAddress", "e"),
            mask("role/support", "CreditCardNumber", "c"),
            {**mask("role/support", "AwsSecretKey", "-"), "Operation": {"Deny": {}}},
        ],
    }
    given = {"SourceTopicArn": existing["TopicArn"], "DataProtectionPolicy": json.dumps(policy)}
    billing, support = (
        make(template=AUDIENCE, name=name, SubscriberPrincipalArn=role(name), **given)
        for name in ("billing", "support")
    )
    sns_client = aws.client("sns", "us-east-1")
    for text in (f"jane@example.com pays with {CARD}", f"key {SECRET} of jane@example.com"):
        sns_client.publish(TopicArn=existing["TopicArn"], Message=text)
    aws.sns.deliver()

    def published(stack, topic):
        return [it.message for it in aws.sns.published.get(stack.topics[topic], [])]

    assert published(billing, "AudienceTopic") == [f"{'e' * 16} pays with {CARD}", f"key {SECRET} of {'e' * 16}"]
    assert published(support, "AudienceTopic") == [f"jane@example.com pays with {'c' * 16}"]
    assert published(billing, "DeniedTopic") == []
    [told] = published(support, "DeniedTopic")
    assert "AwsSecretKey" in told and SECRET not in told
    assert billing.failed == support.failed == {}


def test_a_stack_that_is_made_again_applies_the_policy_that_stayed(make, aws):
    """The role of a new stack has another suffix: a policy that names it without suffix outlives the stack."""
    policy = {
        "Name": "stays",
        "Version": "2021-06-01",
        "Statement": [mask("role/gatehouse-messages-ReportingRole", "CreditCardNumber", "#")],
    }
    aws.client("ssm").put_parameter(Name="/gatehouse/stays", Type="String", Value=json.dumps(policy))
    for suffix in ("1ABCDEFGHIJKL", "2MNOPQRSTUVWX"):
        made = make(
            name=suffix,
            DataProtectionPolicy="ssm:/gatehouse/stays",
            SubscriberPrincipalArn=role(f"gatehouse-messages-ReportingRole-{suffix}"),
        )
        made.publish(f"card {CARD}")
        [message] = aws.sns.published[made.topics["ReportingTopic"]]
        assert message.message == f"card {'#' * len(CARD)}"
        made.__exit__()
    # A policy that names the role of the first stack protects nothing in the second: nothing is published.
    policy["Statement"][0]["Principal"] = [role("gatehouse-messages-ReportingRole-1ABCDEFGHIJKL")]
    orphaned = make(
        name="third",
        DataProtectionPolicy=json.dumps(policy),
        SubscriberPrincipalArn=role("gatehouse-messages-ReportingRole-3YZABCDEFGHIJ"),
    )
    orphaned.publish(f"card {CARD}")
    assert orphaned.topics["ReportingTopic"] not in aws.sns.published
    assert [outcome.error_type for _, outcome in orphaned.outcomes] == ["InvalidSettings"] * 3


def test_a_stack_on_a_topic_that_exists_masks_what_is_published_there(make, aws):
    client = aws.client("sns", "us-east-1")
    existing = client.create_topic(Name="existing", Attributes={"SignatureVersion": "2"})["TopicArn"]
    stack = make(SourceTopicArn=existing)
    client.publish(TopicArn=existing, Message=json.dumps(EXPENSE_REPORT))
    aws.sns.deliver()
    assert messages(stack, PAYMENT) == [EXPENSE_REPORT]
    assert messages(stack, REPORTING) == [EXPENSE_REPORT | {"card": "#" * len(CARD), "employee": "#" * len(EMPLOYEE)}]


def test_the_policy_is_read_from_a_parameter(make, aws):
    aws.client("ssm").put_parameter(Name="/gatehouse/messages/policy", Type="String", Value=json.dumps(DENY))
    stack = make(DataProtectionPolicy="ssm:/gatehouse/messages/policy")
    stack.publish(EXPENSE_REPORT)
    stack.publish(f"key {SECRET}")
    assert messages(stack, REPORTING) == [EXPENSE_REPORT]
    assert len(stack.denied) == 1


def test_a_message_that_is_not_signed_by_sns_reaches_nobody(make):
    stack = make()
    message = events.messages()["redactor-expense-signed.json"]["Records"][0]["Sns"]
    forged = message | {"TopicArn": stack.topics["ApprovalTopic"], "Timestamp": "2026-01-17T06:30:00.000Z"}
    for name in (REDACTOR, PAYMENT):
        outcome = stack.invoke(name, sns.lambda_event(forged))
        assert (outcome.failed, outcome.error_type) == (True, "Refused")
    assert stack.received(REPORTING) == []


def test_a_target_that_takes_nothing_keeps_the_message_in_the_failure_queue(make, aws):
    stack = make()
    aws.disturb("refuse", service="sns", operation="Publish", code="AuthorizationError", times=None)
    stack.publish(EXPENSE_REPORT)
    aws.calm()
    assert stack.received(REPORTING) == []
    [kept] = stack.failed["FailureQueue"]
    assert json.loads(kept["requestPayload"]["Records"][0]["Sns"]["Message"]) == EXPENSE_REPORT
    assert stack.invoke_later(REDACTOR, kept), "the alarm says to send it again, as it is"
    aws.sns.deliver()
    assert len(stack.received(REPORTING)) == 1


def test_subject_and_attributes_are_masked_and_left_out_where_nothing_is_left(make):
    redact = copy.deepcopy(DENY)
    redact["Statement"][0]["Operation"] = {"Deidentify": {"RedactConfig": {}}}
    stack = make(DataProtectionPolicy=json.dumps(redact))
    key = {"DataType": "String", "StringValue": SECRET}
    stack.publish("hello", Subject=SECRET, MessageAttributes={"key": key, "note": key | {"StringValue": f"a {SECRET}"}})
    [received] = stack.received(REPORTING)
    assert received["message"] == "hello" and "subject" not in received
    assert received["attributes"] == {"note": {"Type": "String", "Value": "a "}}
    assert SECRET not in logs(stack)


def test_an_audit_counts_findings_in_metrics_without_the_value(make):
    audit = copy.deepcopy(DENY)
    audit["Statement"][0]["Operation"] = {
        "Audit": {"SampleRate": "99", "FindingsDestination": {"S3": {"Bucket": "findings"}}}
    }
    stack = make(DataProtectionPolicy=json.dumps(audit))
    for _ in range(5):  # one in a hundred is not counted
        stack.publish(f"key {SECRET}")
    counts = [record for record in records(stack, REDACTOR) if "MessagesWithFindings" in record]
    assert len(counts) >= 1
    for record in counts:
        assert (record["MessagesWithFindings"], record["MessagesWithNoFindings"]) == (1, 0)
        assert record["FoundAwsSecretKey"] == 1
    assert len(stack.received(REPORTING)) == 5
    assert SECRET not in logs(stack)


def test_a_message_that_gets_too_large_is_in_the_failure_queue(make):
    stack = make()
    message = "[" + ",".join([CARD] * (262_144 // (len(CARD) + 1) - 1)) + "]"
    stack.publish(message)
    assert stack.received(REPORTING) == []
    [kept] = stack.failed["FailureQueue"]
    assert kept["requestPayload"]["Records"][0]["Sns"]["Message"] == message
    error = kept["responsePayload"]
    assert error["errorType"] == "Publish"
    assert "raise the topic's MaximumMessageSize" in error["errorMessage"]


def test_a_message_of_sns_in_the_failure_queue_can_be_sent_again_as_the_readme_says(make, aws):
    stack = make()
    stack.publish("first")
    [delivery] = [it for it in aws.sns.deliveries if REDACTOR in it.subscription.endpoint]
    text = sns.http_body(sns.sign(delivery.message | {"MessageId": "kept-1", "Message": CARD}, "2"))
    outcome = stack.invoke(REDACTOR, {"Records": [{"Sns": json.loads(text)}]})
    assert not outcome.failed, outcome.payload
    aws.sns.deliver()
    assert [it["message"] for it in stack.received(REPORTING)] == ["first", "#" * len(CARD)]


# Relay ----------------------------------------------------------------------------------------


def test_a_signed_delivery_is_relayed_and_then_masked(relay, aws):
    [delivery] = [it for it in relay.publish_at(ORIGIN, EXPENSE_REPORT, Subject="From afar") if it.statuses]
    assert (delivery.message["SignatureVersion"], delivery.statuses) == ("2", [200])
    [published] = aws.sns.published[relay.topics["ApprovalTopic"]]
    assert (json.loads(published.message), published.subject) == (EXPENSE_REPORT, "From afar")
    values = {name: value["Value"] for name, value in published.attributes.items()}
    assert values["gatehouse.origin-topic-arn"] == ORIGIN
    assert values["gatehouse.origin-message-id"] == delivery.message["MessageId"]
    assert messages(relay, PAYMENT) == [EXPENSE_REPORT]
    assert CARD not in relay.received(REPORTING)[0]["message"]


def test_a_subscription_is_confirmed_so_that_no_link_ends_it(relay, aws):
    [subscription] = [it for it in aws.sns.subscriptions.values() if it.endpoint == RELAY_URL]
    assert subscription.confirmed and subscription.authenticate_on_unsubscribe
    [call] = [it for it in aws.calls if it.operation == "ConfirmSubscription"]
    assert (call.region, call.params["TopicArn"]) == ("eu-west-1", ORIGIN)
    assert not aws.sns.follow_unsubscribe_link(subscription.arn), "a mail scanner opens links"
    assert subscription.token not in logs(relay)


def test_a_topic_that_is_not_named_is_neither_confirmed_nor_relayed(relay, aws):
    other = relay.origin("others")
    arn = relay.subscribe_relay(other)
    assert statuses(relay)[-1] == 403
    assert not aws.sns.subscriptions[arn].confirmed
    message = sns.sign(events.notification(other, "hello", Timestamp=now()), "2")
    assert send(relay, message)["statusCode"] == 403
    assert relay.received(PAYMENT) == []


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())


def send(stack, message, **headers):
    """Posts a message as SNS does."""
    request = events.delivery_over_https(message)
    return stack.request(request["headers"] | headers, request["body"])


def a_message(text="hello", topic=ORIGIN, **more):
    return events.notification(topic, text, Timestamp=now(), MessageAttributes={}) | more


def test_forged_and_replayed_messages_get_one_answer_and_reach_nobody(relay):
    genuine = sns.sign(a_message(), "2")
    old = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 2 * 3600))
    refused = {
        "changed": genuine | {"Message": "hello, and pay me"},
        "another topic": genuine | {"TopicArn": origin_arn("others")},
        "replayed after two hours": sns.sign(a_message() | {"Timestamp": old}, "2"),
        "a bucket called like SNS": genuine
        | {"SigningCertUrl": f"https://sns.s3-us-west-2.amazonaws.com{sns.CERTIFICATE_PATH}"},
        "a certificate of another Region": genuine | {"SigningCertUrl": sns.certificate_url("us-east-1")},
        "the word EXAMPLE": genuine | {"Signature": "EXAMPLE"},
    }
    answers = {name: send(relay, message) for name, message in refused.items()}
    assert {name: answer["statusCode"] for name, answer in answers.items()} == dict.fromkeys(refused, 403)
    assert len({answer["body"] for answer in answers.values()}) == 1, "nobody learns the reason"
    assert relay.received(PAYMENT) == []
    assert all(url.startswith("https://sns.") and "s3-" not in url for url in relay.web.requests)


def test_raw_delivery_is_refused_with_the_reason_in_the_log(make):
    stack = make(RelayTopicArns=ORIGIN)
    stack.subscribe_relay(stack.origin(), RawMessageDelivery="true")
    deliveries = stack.publish_at(ORIGIN, EXPENSE_REPORT)
    assert deliveries[-1].statuses == [403]
    assert any(record.get("errorType") == "RawDelivery" for record in stack.outcomes[-1][1].records)


def test_a_certificate_that_cannot_be_fetched_for_now_is_503_and_delivered_later(make, aws, web):
    stack = make(RelayTopicArns=ORIGIN)
    url = sns.certificate_url("eu-west-1")
    topic = stack.origin()
    web.serve(url, Page(b"", 503))
    stack.subscribe_relay(topic)
    assert statuses(stack) == [503]
    web.serve(url, certificate())
    time.sleep(10.5)  # a URL is fetched once in 10 s, and SNS tries again after 20
    aws.sns.retry()
    assert statuses(stack) == [503, 200]
    stack.publish_at(topic, EXPENSE_REPORT)
    assert messages(stack, PAYMENT) == [EXPENSE_REPORT]


def test_whatever_the_host_of_certificates_answers_no_genuine_message_is_lost(make, aws, web):
    url, message = sns.certificate_url("eu-west-1"), sns.sign(a_message(), "2")
    bad = [Page(b"", status) for status in (204, 302, 400, 403, 404, 408, 410, 429, 500, 503)]
    bad += [Page(b"<html>a proxy</html>"), Page(sns.certificate()[:600]), Page(b"x" * 70_000)]
    stacks = [make(RelayTopicArns=ORIGIN) for _ in bad]
    for stack, page in zip(stacks, bad, strict=True):
        web.serve(url, page)
        assert send(stack, message)["statusCode"] == 503, page
    web.serve(url, certificate())
    time.sleep(10.5)  # SNS tries again after 20 s
    for stack, page in zip(stacks, bad, strict=True):
        assert send(stack, message)["statusCode"] == 200, page
    assert len(aws.sns.published[stacks[0].topics["ApprovalTopic"]]) == len(bad)


def test_sha1_is_refused_where_the_stack_says_so(make):
    stack = make(RelayTopicArns=ORIGIN, SnsSignatureVersions="2")
    assert send(stack, sns.sign(a_message(), "1"))["statusCode"] == 403
    assert any("set-topic-attributes" in json.dumps(record) for record in stack.outcomes[-1][1].records)
    assert stack.web.requests == [], "nothing is fetched for it"
    assert send(stack, sns.sign(a_message(), "2"))["statusCode"] == 200


@pytest.mark.parametrize("kind", ["throttle", "server-error", "refuse"])
def test_a_target_that_does_not_take_it_is_503_and_delivered_later(relay, aws, kind):
    aws.disturb(kind, service="sns", operation="Publish", times=None, code="AuthorizationError")
    [delivery] = [it for it in relay.publish_at(ORIGIN, EXPENSE_REPORT) if it.statuses]
    assert delivery.statuses == [503]
    assert relay.received(PAYMENT) == []
    aws.calm()
    aws.sns.retry()
    assert delivery.statuses == [503, 200]
    assert messages(relay, PAYMENT) == [EXPENSE_REPORT]


def test_what_sns_gives_up_on_is_in_the_redrive_queue(make, aws):
    stack = make(RelayTopicArns=ORIGIN)
    sqs = aws.client("sqs", "eu-west-1")
    queue = sqs.create_queue(QueueName="undelivered")["QueueUrl"]
    redrive = json.dumps({"deadLetterTargetArn": f"arn:aws:sqs:eu-west-1:{ORIGIN.split(':')[4]}:undelivered"})
    stack.subscribe_relay(stack.origin(), RedrivePolicy=redrive)
    aws.disturb("throttle", service="sns", operation="Publish", times=None)
    stack.publish_at(ORIGIN, EXPENSE_REPORT)
    for _ in range(3):
        aws.sns.retry()
    aws.calm()
    [kept] = sqs.receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(json.loads(kept["Body"])["Message"]) == EXPENSE_REPORT


def test_what_sns_gave_up_on_a_day_ago_comes_in_as_the_readme_says(make):
    """The queue of the subscription keeps a message; a day later the URL refuses it until the age limit is raised."""
    page = (events.EVENTS.parent / "functions/messages/README.md").read_text()
    [command] = re.findall(r"^curl .*@message\.json .*$", page, re.MULTILINE)
    words = shlex.split(command.replace("<output RelayUrl>", RELAY_URL))
    assert words[-1] == RELAY_URL and words[1:3] == ["--data-binary", "@message.json"]
    headers = dict(words[i + 1].split(": ") for i, word in enumerate(words) if word == "-H")
    [raised, lowered] = re.findall(r"^sam deploy .*RelaySnsMaxAgeSeconds=(\d+)$", page, re.MULTILINE)
    day_ago = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 24 * 3600))
    kept = sns.http_body(sns.sign(a_message(json.dumps(EXPENSE_REPORT)) | {"Timestamp": day_ago}, "2"))
    for limit, status, received in [({}, 403, []), (raised, 200, [EXPENSE_REPORT]), (lowered, 403, [])]:
        given = {"RelaySnsMaxAgeSeconds": limit} if limit else {}
        stack = make(name=f"limit{limit or 0}", RelayTopicArns=ORIGIN, **given)
        assert stack.request(headers, kept)["statusCode"] == status, limit
        stack.aws.sns.deliver()
        assert messages(stack, PAYMENT) == received


def test_a_confirmation_that_sns_denies_is_made_by_the_url_of_the_message(make, aws, web):
    stack = make(RelayTopicArns=ORIGIN)
    opened = []

    def follow(url, status):
        if "Action=ConfirmSubscription" in url and status == 200:
            opened.append(url)
            aws.sns.follow_subscribe_link(url)

    web.after = follow
    aws.disturb("refuse", service="sns", operation="ConfirmSubscription", code="AuthorizationError", times=None)
    client = aws.client("sns", "eu-west-1")
    arn = client.subscribe(TopicArn=stack.origin(), Protocol="https", Endpoint=RELAY_URL, ReturnSubscriptionArn=True)[
        "SubscriptionArn"
    ]
    subscription = aws.sns.subscriptions[arn]
    url = (
        f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={ORIGIN}&Token={subscription.token}"
    )
    web.serve(url, Page(b"<ConfirmSubscriptionResponse/>", content_type="text/xml"))
    aws.sns.deliver()
    assert (statuses(stack), opened, subscription.confirmed) == ([200], [url], True)
    assert not subscription.authenticate_on_unsubscribe
    [warning] = [it for it in records(stack, RELAY) if "by its URL" in it.get("message", "")]
    assert warning["level"] == "WARN" and warning["topic_arn"] == ORIGIN
    assert [it["ConfirmedByUrl"] for it in records(stack, RELAY) if "ConfirmedByUrl" in it] == [1]
    assert subscription.token not in logs(stack)
    stack.publish_at(ORIGIN, EXPENSE_REPORT)
    assert messages(stack, PAYMENT) == [EXPENSE_REPORT]


def test_relays_that_publish_to_each_others_topics_relay_a_message_once(make, aws):
    there = make(RelayTopicArns=ORIGIN, name="there")
    approval = there.topics["ApprovalTopic"]
    back = make(RelayTopicArns=approval, RelayTargetTopicArn=ORIGIN, name="back")
    there.subscribe_relay(there.origin())
    back.subscribe_relay(approval)
    deliveries = there.publish_at(ORIGIN, EXPENSE_REPORT)
    assert len(deliveries) < 10, "it ends"
    assert (statuses(there)[1:], statuses(back)[1:]) == ([200], [403])
    assert messages(there, PAYMENT) == [EXPENSE_REPORT]
    [refused] = [it for it in records(back, RELAY) if it.get("errorType") == "Loop"]
    assert ORIGIN in refused["error"]


def test_a_flood_of_invented_certificates_is_bounded_and_shuts_nobody_out(relay, web):
    relay.publish_at(ORIGIN, EXPENSE_REPORT)
    before = len(web.requests)
    answered = []
    for number in range(60):
        url = sns.certificate_url("eu-west-1").replace("0" * 32, f"{number:032x}f")
        message = sns.sign(a_message(f"flood {number}"), "2") | {"SigningCertUrl": url}
        answered.append(send(relay, message)["statusCode"])
        if number % 20 == 0:
            relay.publish_at(ORIGIN, EXPENSE_REPORT)
    assert len(web.requests) - before <= 6, "SECURITY.md: fetches are bounded in each Region"
    assert set(answered) == {503}
    assert len(relay.received(PAYMENT)) == 4
    assert all("flood" not in item["message"] for item in relay.received(PAYMENT))


def test_the_relay_without_topics_answers_that_its_settings_are_wrong(binary):
    env = runtime_api.environment({"TARGET_TOPIC_ARN": origin_arn("target")})
    outcome = runtime_api.invoke_once(binary("message-relay"), env, events.messages()["relay-get.json"])
    assert (outcome.error_type, "TOPIC_ARNS" in outcome.error_message) == ("InvalidSettings", True)


# The local SNS itself -------------------------------------------------------------------------


def test_the_local_sns_asks_for_confirmation_and_delivers_nothing_before(aws):
    client, seen = aws.client("sns"), []
    topic = client.create_topic(Name="t", Attributes={"SignatureVersion": "2"})["TopicArn"]
    aws.sns.endpoints["https://example.com/"] = lambda headers, body: seen.append((headers, json.loads(body))) or 200
    asked = client.subscribe(TopicArn=topic, Protocol="https", Endpoint="https://example.com/")
    assert asked["SubscriptionArn"] == "pending confirmation"
    client.publish(TopicArn=topic, Message="early")
    aws.sns.deliver()
    [(headers, body)] = seen
    assert (headers["x-amz-sns-message-type"], body["Type"]) == ("SubscriptionConfirmation",) * 2
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.confirm_subscription(TopicArn=topic, Token="wrong")
    arn = client.confirm_subscription(TopicArn=topic, Token=body["Token"])["SubscriptionArn"]
    assert client.confirm_subscription(TopicArn=topic, Token=body["Token"])["SubscriptionArn"] == arn
    attributes = {"n": {"DataType": "Number", "StringValue": "7"}}
    client.publish(TopicArn=topic, Message="now", MessageAttributes=attributes)
    aws.sns.deliver()
    assert seen[-1][1]["MessageAttributes"] == {"n": {"Type": "Number", "Value": "7"}}
    assert "Subject" not in seen[-1][1]


def test_the_local_sns_refuses_what_sns_refuses(aws):
    client = aws.client("sns")
    topic = client.create_topic(Name="t")["TopicArn"]
    text = {"DataType": "String", "StringValue": "x"}
    for wrong in (
        {"Message": "x" * 262_145},
        {"Message": "x", "Subject": "two\nlines"},
        {"Message": "x", "Subject": "s" * 101},
        {"Message": "x", "MessageAttributes": {"AWS.x": text}},
        {"Message": "x", "MessageAttributes": {"a": {"DataType": "String", "StringValue": ""}}},
        {"Message": "x" * 262_140, "MessageAttributes": {"a": text}},
    ):
        with pytest.raises(client.exceptions.ClientError) as refused:
            client.publish(TopicArn=topic, **copy.deepcopy(wrong))
        assert refused.value.response["Error"]["Code"] in ("InvalidParameter", "InvalidParameterValue")
