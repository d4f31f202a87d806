"""The messages capability: who receives what, who may publish, and what is deployed when."""

import json

import pytest

from gatehouse_local import events
from template_checks.policy import actions, as_list, rights, statements
from template_checks.template import ACCOUNT, Deployed, load, with_every_resource

MESSAGES = "functions/messages/template.yaml"
AUDIENCE = "functions/messages/audience.yaml"
NATIVE_SUBSCRIPTION = "functions/messages/native-subscription.yaml"
ORIGIN = "arn:aws:sns:eu-west-1:444455556666:orders"
OTHER = "arn:aws:sns:us-east-1:444455556666:invoices"
RELAY = {"RelayTopicArns": f"{ORIGIN},{OTHER}"}
SOURCE = {"SourceTopicArn": f"arn:aws:sns:eu-west-1:{ACCOUNT}:existing"}
NATIVE = {"NativeDataProtection": "true"}
OWN = {"SubscriberPrincipalArn": "arn:aws:iam::111122223333:role/own"}
PUBLISHER = "arn:aws:iam::111122223333:role/publisher"


def deployed(**parameters):
    return Deployed(load(MESSAGES), **parameters)


def functions_of(stack):
    return {name.removesuffix("Function") for name in stack.of_type("AWS::Serverless::Function")}


# What is deployed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"MessageRedactor", "PaymentSubscriber", "ReportingSubscriber"}),
        (NATIVE, {"PaymentSubscriber", "ReportingSubscriber"}),
        (OWN, {"MessageRedactor"}),
        (RELAY, {"MessageRedactor", "MessageRelay", "PaymentSubscriber", "ReportingSubscriber"}),
        (NATIVE | OWN | RELAY, {"MessageRelay"}),
        (SOURCE, {"MessageRedactor", "PaymentSubscriber", "ReportingSubscriber"}),
        (SOURCE | OWN | RELAY, {"MessageRedactor", "MessageRelay"}),
    ],
)
def test_only_what_is_asked_for_is_deployed(given, expected):
    stack = deployed(**given)
    assert stack.refusals() == []
    assert functions_of(stack) == expected
    # Whatever refers to a resource refers to one that is there.
    for name, resource in stack.resources.items():
        for other in load(MESSAGES)["Resources"].keys() - stack.resources.keys():
            assert f"<{other}>" not in json.dumps(resource) and f"<{other}." not in json.dumps(resource), name


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (NATIVE | {"DataProtectionPolicy": "{}"}, "DataProtectionPolicy is the policy of the redactor"),
        (RELAY | {"SnsVerify": "off"}, "SnsVerify=off would let anybody publish"),
        ({"RelayTargetTopicArn": ORIGIN}, "without RelayTopicArns there is none"),
        (SOURCE | NATIVE, "it cannot give it SNS's own data protection"),
        (SOURCE | {"PublisherArns": PUBLISHER}, "with SourceTopicArn there is none"),
        ({"RelayTopicArns": ORIGIN, "RelayTargetTopicArn": ORIGIN}, "relayed again without an end"),
    ],
)
def test_settings_that_exclude_one_another_are_refused(given, said):
    [refusal] = deployed(**given).refusals()
    assert said in refusal


@pytest.mark.parametrize(
    ("policy", "taken"),
    [
        ("", True),
        ('{"Name": "x",\n "Statement": []}', True),
        ("ssm:/gatehouse/messages/policy", True),
        ("ssm:policy", False),
        ("policy.json", False),
        ("{" + " " * 3000 + "}", False),
    ],
)
def test_a_policy_is_json_or_a_parameter_and_fits_into_the_variables(policy, taken):
    if taken:
        deployed(DataProtectionPolicy=policy)
    else:
        with pytest.raises(ValueError, match="DataProtectionPolicy"):
            deployed(DataProtectionPolicy=policy)


def test_the_largest_inline_policy_leaves_room_for_the_other_variables():
    policy = "{" + "x" * 2998 + "}"
    variables = deployed(DataProtectionPolicy=policy).properties("MessageRedactorFunction")["Environment"]["Variables"]
    assert sum(len(name) + len(value) for name, value in variables.items()) < 3500, "ARNs are longer than here; 4 KB"


# A topic that exists, and its audiences --------------------------------------------------------


def test_a_topic_that_exists_is_read_and_not_changed():
    arn = SOURCE["SourceTopicArn"]
    stack = deployed(**SOURCE, **RELAY)
    assert not {"ApprovalTopic", "ApprovalTopicPolicy"} & stack.resources.keys()
    assert stack.outputs["ApprovalTopicArn"]["Value"] == arn
    for name in ("Redactor", "Payment"):
        assert stack.properties(f"{name}Subscription")["TopicArn"] == arn
        assert stack.properties(f"{name}Permission")["SourceArn"] == arn
    for name in ("FailureQueuePolicy", "PaymentFailureQueuePolicy"):
        [kept, *_] = statements(stack.properties(name))
        assert kept["Condition"] == {"ArnEquals": {"aws:SourceArn": arn}}
    for name in ("MessageRedactorFunction", "PaymentSubscriberFunction"):
        assert stack.properties(name)["Environment"]["Variables"]["TOPIC_ARNS"] == arn
    relay = stack.properties("MessageRelayFunction")["Environment"]["Variables"]
    assert relay["TARGET_TOPIC_ARN"] == arn
    assert arn in json.dumps(stack.properties("RelayRole"))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"DataProtectionPolicy": "ssm:/gatehouse/messages/policy"},
        {"TopicKeyArn": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd", "NotifyEmail": "you@example.com"},
        {"AllowUnprotected": "true", "RequireKeywords": "false", "Debug": "true", "Tracing": "on", "DryRun": "true"},
    ],
)
def test_an_audience_has_what_the_redactor_of_the_stack_has(more):
    given = SOURCE | OWN | {"DataProtectionPolicy": json.dumps(events.MESSAGES_POLICY)} | more
    ours, audience = deployed(**given), Deployed(load(AUDIENCE), **given)
    assert audience.refusals() == []
    renamed = json.loads(json.dumps(ours.resources).replace("ReportingTopic", "AudienceTopic"))
    said = "on the topic of this audience"
    renamed["RedactorErrorsAlarm"] = json.loads(
        json.dumps(renamed["RedactorErrorsAlarm"]).replace("on the reporting topic", said)
    )
    for resource in [*renamed.values(), *audience.resources.values()]:
        resource.pop("Condition", None)
    assert audience.resources == renamed
    parameters = load(MESSAGES)["Parameters"].keys() - {"Dashboard", "NativeDataProtection", "PublisherArns"}
    assert load(AUDIENCE)["Parameters"].keys() == {name for name in parameters if not name.startswith("Relay")}


@pytest.mark.parametrize("missing", ["SourceTopicArn", "DataProtectionPolicy", "SubscriberPrincipalArn"])
def test_an_audience_says_what_it_masks_for_whom(missing):
    """Nothing is a default: an audience without a rule of its own would be one by mistake."""
    assert "Default" not in load(AUDIENCE)["Parameters"][missing]
    with pytest.raises(ValueError, match=missing):
        Deployed(load(AUDIENCE), **{missing: ""})


# The policy -----------------------------------------------------------------------------------


def test_what_is_published_unprotected_is_asked_for_and_raises_an_alarm():
    variables = deployed().properties("MessageRedactorFunction")["Environment"]["Variables"]
    assert (variables["ALLOW_UNPROTECTED"], variables["REQUIRE_KEYWORDS"]) == ("false", "true")
    stack = deployed(AllowUnprotected="true", RequireKeywords="false")
    variables = stack.properties("MessageRedactorFunction")["Environment"]["Variables"]
    assert (variables["ALLOW_UNPROTECTED"], variables["REQUIRE_KEYWORDS"]) == ("true", "false")
    alarm = stack.properties("RedactorUnprotectedAlarm")
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Threshold"]) == ("Gatehouse", "Unprotected", 0)
    assert "RedactorUnprotectedAlarm" not in deployed(**NATIVE).resources


@pytest.mark.parametrize(
    ("given", "native", "redactor"),
    [
        ({}, "<ReportingSubscriptionRole.Arn>", "<ReportingRole.Arn>"),
        (OWN, OWN["SubscriberPrincipalArn"], OWN["SubscriberPrincipalArn"]),
    ],
)
def test_sns_and_the_redactor_get_the_same_policy_for_the_subscriber(given, native, redactor):
    of_sns = deployed(**NATIVE, **given).properties("ApprovalTopic")["DataProtectionPolicy"]
    variables = deployed(**given).properties("MessageRedactorFunction")["Environment"]["Variables"]
    ours = json.loads(variables["DATA_PROTECTION_POLICY"])
    assert of_sns["Statement"][0].pop("Principal") == [native]
    assert ours["Statement"][0].pop("Principal") == [redactor] == [variables["SUBSCRIBER_PRINCIPAL"]]
    assert of_sns == ours
    assert ours["Configuration"] == events.MESSAGES_POLICY["Configuration"]
    assert "DataProtectionPolicy" not in deployed(**given).properties("ApprovalTopic")


def test_with_sns_own_policy_the_stack_subscribes_reporting_to_nothing():
    """SNS masks for who made the subscription: CloudFormation would be another principal."""
    stack = deployed(**NATIVE)
    endpoints = [it["Properties"]["Endpoint"] for it in stack.of_type("AWS::SNS::Subscription").values()]
    assert endpoints == ["<PaymentSubscriberFunction.Arn>"]
    [trust] = stack.properties("ReportingSubscriptionRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "cloudformation.amazonaws.com"}
    granted, without_resource = statements(stack.properties("ReportingSubscriptionPolicy"))
    # What CloudFormation's handlers of the type call, by its registry schema (aws-sns-subscription.json,
    # handlers.*.permissions). The reference gives the last three no resource.
    assert granted["Resource"] == "<ApprovalTopic>"
    assert set(granted["Action"]) == {
        "sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic", "sns:Subscribe", *without_resource["Action"]
    }  # fmt: skip
    assert set(without_resource["Action"]) == {
        "sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:Unsubscribe"
    }  # fmt: skip
    assert without_resource["Resource"] == "*"
    parameters = load(NATIVE_SUBSCRIPTION)["Parameters"].keys()
    assert parameters == {"ApprovalTopicArn", "ReportingFunctionArn", "FailureQueueArn"}
    assert stack.properties("ReportingFailureQueuePolicy")["PolicyDocument"]["Statement"][0]["Condition"] == {
        "ArnEquals": {"aws:SourceArn": "<ApprovalTopic>"}
    }
    needed = {"ApprovalTopicArn", "ReportingFunctionArn", "ReportingFailureQueueArn", "ReportingSubscriptionRoleArn"}
    assert needed <= stack.outputs.keys()
    assert stack.properties("ReportingPermission")["SourceArn"] == "<ApprovalTopic>"


def test_each_function_is_subscribed_once():
    subscriptions = deployed(**RELAY).of_type("AWS::SNS::Subscription").values()
    ways = {(it["Properties"]["TopicArn"], it["Properties"]["Endpoint"]) for it in subscriptions}
    assert ways == {
        ("<ApprovalTopic>", "<MessageRedactorFunction.Arn>"),
        ("<ApprovalTopic>", "<PaymentSubscriberFunction.Arn>"),
        ("<ReportingTopic>", "<ReportingSubscriberFunction.Arn>"),
    }
    assert len(subscriptions) == len(ways)
    assert all("deadLetterTargetArn" in it["Properties"]["RedrivePolicy"] for it in subscriptions)


# Topics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", ["ReportingTopic", "DeniedTopic"])
def test_only_the_redactor_publishes_what_is_masked_and_what_is_refused(topic):
    refused, tls = deployed().properties(f"{topic}Policy")["PolicyDocument"]["Statement"]
    assert (refused["Effect"], refused["Principal"], refused["Action"]) == ("Deny", "*", "sns:Publish")
    assert refused["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": "<RedactorRole.Arn>"}}
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize(
    ("given", "condition"),
    [
        ({}, {"StringNotEquals": {"aws:PrincipalAccount": ACCOUNT}}),
        ({"PublisherArns": PUBLISHER}, {"ArnNotEquals": {"aws:PrincipalArn": [PUBLISHER]}}),
        (
            {"PublisherArns": PUBLISHER} | RELAY,
            {"ArnNotEquals": {"aws:PrincipalArn": [PUBLISHER, "<RelayRole.Arn>"]}},
        ),
        (
            {"PublisherArns": PUBLISHER, "RelayTargetTopicArn": OTHER, "RelayTopicArns": ORIGIN},
            {"ArnNotEquals": {"aws:PrincipalArn": [PUBLISHER]}},
        ),
    ],
)
def test_the_approval_topic_takes_only_what_its_publishers_and_the_relay_publish(given, condition):
    *accepted, refused, tls = deployed(**given).properties("ApprovalTopicPolicy")["PolicyDocument"]["Statement"]
    assert (refused["Effect"], refused["Condition"]) == ("Deny", condition)
    assert [it["Principal"] for it in accepted] == ([{"AWS": [PUBLISHER]}] if "PublisherArns" in given else [])
    assert tls["Sid"] == "RequireTls"


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({}, "alias/aws/sns"),
        *[({"TopicKeyArn": it}, it) for it in ["arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-0"]],
    ],
)
def test_every_topic_signs_as_today_and_is_encrypted(given, key):
    topics = deployed(**given).of_type("AWS::SNS::Topic")
    assert len(topics) == 3
    assert {(it["Properties"]["SignatureVersion"], it["Properties"]["KmsMasterKeyId"]) for it in topics.values()} == {
        ("2", key)
    }


def test_raw_and_masked_messages_are_never_in_one_queue():
    stack = deployed()
    kept = {
        name: it["Properties"]["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"]
        for name, it in stack.of_type("AWS::Serverless::Function").items()
    }
    assert kept["ReportingSubscriberFunction"] == "<ReportingFailureQueue.Arn>"
    assert kept["MessageRedactorFunction"] == "<FailureQueue.Arn>"
    assert kept["PaymentSubscriberFunction"] == "<PaymentFailureQueue.Arn>"
    assert len(set(kept.values())) == len(kept), "a message of SNS in a queue does not say whose it is"
    redrive = stack.properties("ReportingSubscription")["RedrivePolicy"]["deadLetterTargetArn"]
    assert redrive == "<ReportingFailureQueue.Arn>"


# The relay ------------------------------------------------------------------------------------


def test_the_url_is_public_by_both_permissions_and_exists_only_with_a_relay():
    assert not deployed().of_type("AWS::Lambda::Url")
    stack = deployed(**RELAY)
    [url] = stack.of_type("AWS::Lambda::Url").values()
    assert url["Properties"] == {"AuthType": "NONE", "TargetFunctionArn": "<MessageRelayFunction.Arn>"}
    public = [it["Properties"] for it in stack.of_type("AWS::Lambda::Permission").values()]
    public = {it["Action"]: it for it in public if it["Principal"] == "*"}
    assert public.keys() == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    assert public["lambda:InvokeFunctionUrl"]["FunctionUrlAuthType"] == "NONE"
    assert public["lambda:InvokeFunction"]["InvokedViaFunctionUrl"] is True
    assert all(it["FunctionName"] == "<MessageRelayFunction>" for it in public.values())


@pytest.mark.parametrize(("given", "reserved"), [({}, None), ({"RelayConcurrency": "20"}, "20")])
def test_a_flood_is_bounded_where_the_account_has_executions_to_reserve(given, reserved):
    properties = deployed(**RELAY, **given).properties("MessageRelayFunction")
    assert properties.get("ReservedConcurrentExecutions") == reserved
    assert 10 < properties["Timeout"] <= 15, "SNS waits 15 s"


def test_the_relay_confirms_only_topics_given_and_publishes_to_its_target():
    for given, target in (({}, "<ApprovalTopic>"), ({"RelayTargetTopicArn": f"{OTHER}-2"}, f"{OTHER}-2")):
        stack = deployed(**RELAY, **given)
        granted = {it["Sid"]: it for it in statements(stack.properties("RelayRole")["Policies"])}
        assert granted["ConfirmSubscription"]["Resource"] == [ORIGIN, OTHER]
        assert granted["Publish"]["Resource"] == target
        variables = stack.properties("MessageRelayFunction")["Environment"]["Variables"]
        assert (variables["TOPIC_ARNS"], variables["TARGET_TOPIC_ARN"]) == (f"{ORIGIN},{OTHER}", target)


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({}, None),
        ({"DataProtectionPolicy": '{"Name": "ssm:/other"}'}, None),
        (
            {"DataProtectionPolicy": "ssm:/gatehouse/messages/policy"},
            f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/gatehouse/messages/policy",
        ),
    ],
)
def test_the_redactor_reads_its_parameter_and_no_other(given, allowed):
    policy = deployed(**given).resources.get("RedactorPolicyParameter")
    found = [it["Resource"] for it in statements(policy)] if policy else [None]
    assert found == [allowed]


def test_the_example_subscribers_may_only_log_and_keep_what_failed():
    resources = load(MESSAGES)["Resources"]
    for name in ("PaymentSubscriberFunction", "ReportingSubscriberFunction"):
        assert {it for it in actions(rights(resources, name)) if not it.startswith(("xray:", "kms:"))} == {
            "logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage"
        }  # fmt: skip


def test_whoever_publishes_may_use_the_key():
    stack = Deployed(with_every_resource(load(MESSAGES)))
    users = {
        role
        for policy in stack.of_type("AWS::IAM::Policy").values()
        if "kms:Decrypt" in {action for it in statements(policy) for action in as_list(it["Action"])}
        for role in policy["Properties"]["Roles"]
    }
    # The subscribers publish nothing: theirs is for the queues alone, where Lambda puts what failed.
    assert users == {"<RedactorRole>", "<RelayRole>", "<PaymentRole>", "<ReportingRole>"}
    [subscribers] = statements(stack.properties("SubscriberKeyPolicy"))
    assert subscribers["Condition"] == {"StringLike": {"kms:ViaService": "sqs.*.amazonaws.com*"}}


def test_what_holds_messages_is_under_the_key_of_the_topics():
    key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    document = load(MESSAGES)
    with_key, without = Deployed(document, TopicKeyArn=key), Deployed(document)
    queues = with_key.of_type("AWS::SQS::Queue")
    assert queues.keys() == {"FailureQueue", "PaymentFailureQueue", "ReportingFailureQueue"}
    for name in queues:
        assert with_key.properties(name)["KmsMasterKeyId"] == key
        assert "SqsManagedSseEnabled" not in with_key.properties(name)
        assert "KmsMasterKeyId" not in without.properties(name)
        assert without.properties(name)["SqsManagedSseEnabled"] is True
    # The other logs have no messages.
    assert with_key.properties("PaymentLogGroup")["KmsKeyId"] == key
    assert "KmsKeyId" not in without.properties("PaymentLogGroup")


@pytest.mark.parametrize("capability", ["amis", "iam-alerts"])
def test_the_failure_queue_of_other_capabilities_is_under_the_key_of_their_topics(capability):
    key = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    document = load(f"functions/{capability}/template.yaml")
    queue = Deployed(document, region="us-east-1", NotificationKeyArn=key).properties("FailureQueue")
    assert queue["KmsMasterKeyId"] == key and "SqsManagedSseEnabled" not in queue
    queue = Deployed(document, region="us-east-1").properties("FailureQueue")
    assert "KmsMasterKeyId" not in queue and queue["SqsManagedSseEnabled"] is True
