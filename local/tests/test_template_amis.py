"""The amis capability and its example: who may ask, approve and publish, and what is deployed when."""

import json
from fnmatch import fnmatchcase

import pytest

from gatehouse_local import ROOT, sam
from gatehouse_local.functions import functions
from template_checks.policy import actions, as_list, rights, statements
from template_checks.template import ACCOUNT, Deployed, load

AMIS = "functions/amis/template.yaml"
EXAMPLE = "functions/amis/example-image-pipeline.yaml"
TARGET = {"TargetAccountIds": "111122223333"}
LINK = {"ApprovalLink": "true"}
SECOND = {"SecondApproverArn": "arn:aws:iam::111122223333:role/second"}
APPROVER = {"ApproverPrincipalArn": "arn:aws:iam::111122223333:role/approvers"}
TAGGED = {"StringEquals": {"aws:ResourceTag/gatehouse:capability": "amis"}}
EXECUTIONS = f"arn:aws:ssm:eu-west-1:{ACCOUNT}:automation-execution/*"


def deployed(**parameters):
    return Deployed(load(AMIS), **(TARGET | parameters))


def document(**parameters):
    return deployed(**parameters).properties("ApprovalDocument")["Content"]


# Approvals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "approvers"),
    [
        ({}, ["<ApproverRole.Arn>"]),
        (LINK, ["<ApproverRole.Arn>", "<ApprovalPageRole.Arn>"]),
        (SECOND, ["<ApproverRole.Arn>", SECOND["SecondApproverArn"]]),
        (LINK | SECOND, ["<ApproverRole.Arn>", "<ApprovalPageRole.Arn>", SECOND["SecondApproverArn"]]),
    ],
)
def test_the_runbook_asks_the_approvers_and_then_shares(given, approvers):
    approve, share = document(**given, ApprovalTimeout="3600")["mainSteps"]
    assert (approve["action"], approve["inputs"]["Approvers"]) == ("aws:approve", approvers)
    assert (approve["timeoutSeconds"], approve["onFailure"]) == ("3600", "Abort")
    assert (share["action"], share["inputs"]["FunctionName"]) == ("aws:invokeLambdaFunction", "<AmiShareFunction>")
    assert share["timeoutSeconds"] == 300 > deployed(**given).properties("AmiShareFunction")["Timeout"]
    assert share["inputs"]["InputPayload"]["images"] == "{{ images }}"
    assert share["isEnd"] is True


def test_every_parameter_that_the_runbook_uses_is_declared():
    content = document()
    used = {name for name in json.dumps(content["mainSteps"]).split("{{ ")[1:] if not name.startswith("automation:")}
    # Receivers and effects are for the share function, which reads the execution.
    assert {name.partition(" ")[0] for name in used} == content["parameters"].keys() - {"receivers", "effects"}
    lists = {name for name, spec in content["parameters"].items() if spec["type"] == "StringList"}
    assert lists == {"images", "receivers", "effects"}
    for text in (it for it in json.dumps(content["mainSteps"]).split('"') if "{{ " in it):
        assert all(text == f"{{{{ {name} }}}}" or f"{{{{ {name} }}}}" not in text for name in lists), text


def test_the_share_function_knows_the_name_of_the_runbook_and_of_no_other():
    stack = deployed()
    name = stack.properties("ApprovalDocument")["Name"]
    assert stack.properties("AmiShareFunction")["Environment"]["Variables"]["AUTOMATION_DOCUMENT"] == name
    assert not name.lower().startswith(("aws", "amazon", "amzn")), "Systems Manager refuses these"


@pytest.mark.parametrize("needed", ["2", "3"])
def test_several_approvals_need_a_named_approver(needed):
    both = LINK | SECOND | {"MinimumApprovals": needed}
    [refusal] = deployed(**both).refusals()
    assert "set ApproverPrincipalArn" in refusal
    assert deployed(**both, **APPROVER).refusals() == []


@pytest.mark.parametrize(
    ("arn", "accepted"),
    [
        ("arn:aws:iam::111122223333:role/second", True),
        ("arn:aws:iam::111122223333:user/team/second", True),
        ("arn:aws:iam::111122223333:role/team/second", False),
        ("arn:aws:sts::111122223333:assumed-role/second/session", False),
    ],
)
def test_a_second_approver_has_an_arn_that_systems_manager_can_compare(arn, accepted):
    if accepted:
        deployed(SecondApproverArn=arn)
    else:
        with pytest.raises(ValueError, match="SecondApproverArn"):
            deployed(SecondApproverArn=arn)


@pytest.mark.parametrize("needed", [1, 2, 3])
@pytest.mark.parametrize("given", [{}, LINK, SECOND, LINK | SECOND])
def test_more_approvals_than_approvers_are_refused(needed, given):
    approvers = document(**given)["mainSteps"][0]["inputs"]["Approvers"]
    refusals = deployed(**given, **APPROVER, MinimumApprovals=str(needed)).refusals()
    assert (refusals == []) is (needed <= len(approvers))
    assert all(f"MinimumApprovals is {needed}" in refusal for refusal in refusals)


@pytest.mark.parametrize(
    "target",
    [
        TARGET,
        {"TargetOrganizationArns": "arn:aws:organizations::111122223333:organization/o-abcdefghij"},
        {"TargetOuArns": "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-cdefghij"},
    ],
)
def test_somebody_must_receive_the_images(target):
    assert Deployed(load(AMIS), **target).refusals() == []
    [refusal] = Deployed(load(AMIS)).refusals()
    assert refusal.startswith("Nobody would receive an approved image")


def test_a_deprecation_needs_the_parameter_that_names_the_image_before():
    assert len(deployed(DeprecatePreviousAfterDays="30").refusals()) == 1
    assert deployed(DeprecatePreviousAfterDays="30", LatestParameter="/golden").refusals() == []


def test_an_approver_sees_and_answers_our_executions_and_nothing_else():
    statement, listing = statements(deployed().properties("ApproverRole")["Policies"])
    assert (listing["Action"], listing["Resource"]) == ("ssm:DescribeAutomationExecutions", "*")
    assert set(statement["Action"]) == {
        "ssm:DescribeAutomationStepExecutions", "ssm:GetAutomationExecution", "ssm:SendAutomationSignal"
    }  # fmt: skip
    assert (statement["Resource"], statement["Condition"]) == (EXECUTIONS, TAGGED)


@pytest.mark.parametrize(
    ("principal", "trusted"),
    [
        ("", f"arn:aws:iam::{ACCOUNT}:root"),
        ("arn:aws:iam::444455556666:role/approvers", "arn:aws:iam::444455556666:role/approvers"),
    ],
)
def test_only_the_principal_given_may_become_the_approver(principal, trusted):
    [statement] = deployed(ApproverPrincipalArn=principal).properties("ApproverRole")["AssumeRolePolicyDocument"][
        "Statement"
    ]
    assert statement["Principal"] == {"AWS": trusted}


# Rights ---------------------------------------------------------------------------------------


def only(found, action):
    return [it for it in found if action in as_list(it["Action"])]


def test_an_execution_starts_with_our_tag_and_from_our_runbook():
    found = rights(load(AMIS)["Resources"], "AmiApprovalRequestFunction")
    runbook, execution = only(found, "ssm:StartAutomationExecution")
    assert [
        it["Fn::Sub"].rpartition(":ssm:")[2].partition("}:")[2].partition("}:")[2] for it in runbook["Resource"]
    ] == [
        "document/${ApprovalDocument}",
        "automation-definition/${ApprovalDocument}:*",
    ]
    assert execution["Condition"] == {
        "StringEquals": {"aws:RequestTag/gatehouse:capability": "amis"},
        "ForAllValues:StringLike": {"aws:TagKeys": "gatehouse:*"},
    }
    [passed] = only(found, "iam:PassRole")
    assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "ssm.amazonaws.com"}}


@pytest.mark.parametrize("action", ["ssm:SendAutomationSignal", "ssm:GetAutomationExecution"])
def test_the_page_reaches_executions_with_our_tag_alone(action):
    [statement] = only(rights(load(AMIS)["Resources"], "AmiApprovalPageFunction"), action)
    assert statement["Condition"] == TAGGED


@pytest.mark.parametrize(
    ("function", "action"),
    [
        ("AmiShareFunction", "ec2:ModifyImageAttribute"),
        ("AmiShareFunction", "ec2:AttachImageWatermark"),
        ("AmiShareFunction", "ec2:DetachImageWatermark"),
        ("AmiShareFunction", "ec2:EnableImageDeprecation"),
        ("AmiApprovalRequestFunction", "ec2:DetachImageWatermark"),
    ],
)
def test_only_own_images_of_image_builder_can_be_changed(function, action):
    [statement] = only(rights(load(AMIS)["Resources"], function), action)
    assert statement["Condition"] == {
        "StringEquals": {"aws:ResourceTag/CreatedBy": "EC2 Image Builder", "ec2:Owner": {"Ref": "AWS::AccountId"}}
    }


EFFECTS = {
    "ShareSnapshots": "true",
    "ApprovedWatermark": "approved",
    "LatestParameter": "/golden/{name}",
    "DeprecatePreviousAfterDays": "30",
}


@pytest.mark.parametrize("given", [{}, EFFECTS, TARGET | {"TargetAccountIds": "111122223333,444455556666"}])
def test_what_is_recorded_at_the_request_is_what_the_share_function_is_set_to(given):
    """The two functions compare receivers and effects by their own settings."""
    stack = deployed(**given)
    request, share = (
        stack.properties(name)["Environment"]["Variables"]
        for name in ("AmiApprovalRequestFunction", "AmiShareFunction")
    )
    names = {name for name in share if name.startswith("TARGET_") and not name.endswith("_TOPIC_ARN")}
    names |= {"SHARE_SNAPSHOTS", "APPROVED_WATERMARK", "LATEST_PARAMETER", "DEPRECATE_PREVIOUS_AFTER_DAYS"}
    assert {name: request.get(name) for name in names} == {name: share.get(name) for name in names}
    assert share["SHARE_SNAPSHOTS"] == given.get("ShareSnapshots", "false")


def test_snapshots_of_image_builder_are_shared_with_the_accounts_given_and_never_with_everybody():
    accounts = {"TargetAccountIds": "111122223333,444455556666"}
    [statement] = only(granted("AmiShareFunction", ShareSnapshots="true", **accounts), "ec2:ModifySnapshotAttribute")
    assert statement["Condition"] == {
        "StringEquals": {"aws:ResourceTag/CreatedBy": "EC2 Image Builder", "ec2:Owner": ACCOUNT},
        "ForAllValues:StringEquals": {"ec2:Add/userId": ["111122223333", "444455556666"]},
        "Null": {"ec2:Add/userId": "false", "ec2:Add/group": "true"},
    }


@pytest.mark.parametrize("template", sorted({function.template for function in functions()}))
def test_no_role_both_makes_and_checks_links(template):
    """Whoever can do both, or read the key, can approve for others."""
    resources = load(template)["Resources"]
    made, checked = (
        {it.logical_id for it in functions() if it.template == template and action in rights_of(resources, it)}
        for action in ("kms:GenerateMac", "kms:VerifyMac")
    )
    if template != AMIS:
        assert (made, checked) == (set(), set())
        return
    assert (made, checked) == ({"AmiApprovalRequestFunction"}, {"AmiApprovalPageFunction"})
    for role in (it["Properties"] for it in resources.values() if it["Type"] == "AWS::IAM::Role"):
        assert not {"kms:*", "*"} & actions(list(statements(role.get("Policies", []))))


def rights_of(resources, function):
    return actions(rights(resources, function.logical_id))


def test_the_key_of_the_links_can_be_read_by_nobody_and_used_by_two_roles():
    stack = deployed(**LINK)
    key = stack.properties("LinkKey")
    assert (key["KeySpec"], key["KeyUsage"]) == ("HMAC_256", "GENERATE_VERIFY_MAC")
    manage, make, check = key["KeyPolicy"]["Statement"]
    assert not {"kms:*", "kms:GenerateMac", "kms:VerifyMac", "kms:CreateGrant", "kms:ReplicateKey"} & set(
        manage["Action"]
    )
    assert (make["Principal"], make["Action"]) == ({"AWS": "<ApprovalRequestRole.Arn>"}, "kms:GenerateMac")
    assert (check["Principal"], check["Action"]) == ({"AWS": "<ApprovalPageRole.Arn>"}, "kms:VerifyMac")
    assert not deployed().of_type("AWS::KMS::Key")
    variables = [
        stack.properties(name)["Environment"]["Variables"]["LINK_KEY_ARN"]
        for name in ("AmiApprovalRequestFunction", "AmiApprovalPageFunction")
    ]
    assert variables == ["<LinkKey.Arn>"] * 2


def granted(function, **parameters):
    """The actions that the role of a function has with these parameters."""
    stack = deployed(**parameters)
    role = stack.properties(function)["Role"].strip("<>").split(".")[0]
    found = list(statements(stack.properties(role)["Policies"]))
    for policy in stack.of_type("AWS::IAM::Policy").values():
        if f"<{role}>" in policy["Properties"]["Roles"]:
            found += statements(policy["Properties"]["PolicyDocument"])
    return found


@pytest.mark.parametrize(
    ("function", "given", "added"),
    [
        (
            "AmiShareFunction",
            {"ShareSnapshots": "true"},
            {"ec2:DescribeSnapshotAttribute", "ec2:ModifySnapshotAttribute"},
        ),
        (
            "AmiShareFunction",
            {"ApprovedWatermark": "approved"},
            {"ec2:AttachImageWatermark", "ec2:DetachImageWatermark"},
        ),
        (
            "AmiApprovalRequestFunction",
            {"ApprovedWatermark": "approved"},
            {"ec2:DescribeImages", "ec2:DetachImageWatermark"},
        ),
        ("AmiApprovalRequestFunction", {"BuildEvents": "on"}, {"imagebuilder:GetImage"}),
        ("AmiShareFunction", {"LatestParameter": "/golden/{name}"}, {"ssm:GetParameter", "ssm:PutParameter"}),
        ("AmiShareFunction", {"DeprecatePreviousAfterDays": "30"}, {"ec2:EnableImageDeprecation"}),
        (
            "AmiApprovalRequestFunction",
            LINK,
            {"kms:GenerateMac"},
        ),
        (
            "AmiApprovalPageFunction",
            LINK,
            {"ssm:GetAutomationExecution", "kms:VerifyMac", "ssm:SendAutomationSignal", "ec2:DescribeImages"},
        ),
    ],
)
def test_a_right_is_granted_where_its_setting_asks_for_it(function, given, added):
    before, after = actions(granted(function)), actions(granted(function, **given))
    assert after - before == added


@pytest.mark.parametrize(
    ("latest", "name", "allowed"),
    [
        ("/golden-ami/{name}/latest", "/golden-ami/web/latest", True),
        ("/golden-ami/{name}/latest", "/golden-ami/web/oldest", False),
        ("/golden-ami/{name}/latest", "/other", False),
        ("/golden", "/golden", True),
        ("/golden", "/golden/web", False),
    ],
)
def test_only_the_parameter_given_can_be_written(latest, name, allowed):
    [statement] = only(granted("AmiShareFunction", LatestParameter=latest), "ssm:PutParameter")
    assert fnmatchcase(f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter{name}", statement["Resource"]) is allowed
    assert statement["Condition"] == {"StringEqualsIfExists": {"ssm:Overwrite": "true"}}


# Topics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "publishers"),
    [
        (
            "ApproverTopic",
            ["ApprovalRequestRole", "ShareRole", "AutomationRole"],
        ),
        ("TargetTopic", ["ShareRole"]),
    ],
)
def test_only_the_right_roles_publish(topic, publishers):
    stack = deployed()
    policy = stack.properties(f"{topic}Policy")["PolicyDocument"]["Statement"]
    [refusal] = [it for it in policy if it["Sid"] == "RefuseOthers"]
    assert (refusal["Effect"], refusal["Principal"], refusal["Resource"]) == ("Deny", "*", f"<{topic}>")
    assert as_list(refusal["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]) == [f"<{name}.Arn>" for name in publishers]
    allowed = {
        name
        for name, role in stack.of_type("AWS::IAM::Role").items()
        for statement in statements(role["Properties"]["Policies"])
        if "sns:Publish" in as_list(statement["Action"]) and f"<{topic}>" in as_list(statement["Resource"])
    }
    assert allowed == set(publishers)


def test_image_builder_alone_publishes_builds():
    allowed, refused, tls = deployed().properties("BuildTopicPolicy")["PolicyDocument"]["Statement"]
    role = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/imagebuilder.amazonaws.com/AWSServiceRoleForImageBuilder"
    assert allowed["Condition"] == {"ArnEquals": {"aws:PrincipalArn": role}}
    assert (refused["Effect"], refused["Condition"]) == ("Deny", {"ArnNotEquals": {"aws:PrincipalArn": role}})
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_topics_are_signed_as_today_and_named_as_automation_asks():
    key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    for topic in deployed().of_type("AWS::SNS::Topic").values():
        assert topic["Properties"]["SignatureVersion"] == "2"
        assert "KmsMasterKeyId" not in topic["Properties"]
    for topic in deployed(NotificationKeyArn=key).of_type("AWS::SNS::Topic").values():
        assert topic["Properties"]["KmsMasterKeyId"] == key
    assert deployed().properties("ApproverTopic")["TopicName"].startswith("Automation")


def test_whoever_publishes_may_use_the_key():
    key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    policy = deployed(NotificationKeyArn=key).properties("KeyPolicy")
    assert set(policy["Roles"]) == {"<ApprovalRequestRole>", "<ShareRole>", "<AutomationRole>"}


@pytest.mark.parametrize(
    ("given", "endpoints"),
    [
        ({}, None),  # nobody may subscribe
        ({"ApproverEmail": "a@example.com"}, ["a@example.com"]),
        ({"FurtherApproverEndpoints": "b@example.com"}, ["b@example.com"]),
        (
            {"ApproverEmail": "a@example.com", "FurtherApproverEndpoints": "b@example.com,https://example.com/hook"},
            ["a@example.com", "b@example.com", "https://example.com/hook"],
        ),
    ],
)
def test_only_the_endpoints_given_may_subscribe_to_what_holds_links(given, endpoints):
    policy = deployed(**given).properties("ApproverTopicPolicy")["PolicyDocument"]["Statement"]
    [refusal] = [it for it in policy if it["Sid"] == "RefuseOtherSubscribers"]
    assert (refusal["Effect"], refusal["Principal"], refusal["Action"]) == ("Deny", "*", "sns:Subscribe")
    assert refusal.get("Condition") == (endpoints and {"StringNotEquals": {"sns:Endpoint": endpoints}})


def test_the_function_accepts_the_builds_of_the_stack_and_of_topics_given():
    def accepted(**given):
        return deployed(**given).properties("AmiApprovalRequestFunction")["Environment"]["Variables"]["TOPIC_ARNS"]

    other = "arn:aws:sns:eu-west-1:111122223333:other"
    assert accepted() == "<BuildTopic>"
    assert accepted(TopicArns=other) == f"<BuildTopic>,{other}"


# How an approval ended ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("Rejected", True),
        ("TimedOut", True),
        ("Failed", True),
        ("Cancelled", True),
        ("Success", False),
        ("Waiting", False),
        ("InProgress", False),
    ],
)
def test_the_approvers_hear_how_an_approval_ended(status, told):
    pattern = deployed().properties("ApprovalEndedRule")["EventPattern"]
    assert (status in pattern["detail"]["Status"]) is told
    assert pattern["detail"]["Definition"] == ["<ApprovalDocument>"]
    assert pattern["detail-type"] == ["EC2 Automation Execution Status-change Notification"]


@pytest.mark.parametrize(
    ("rule", "given", "name"),
    [
        ("ApprovalEndedRule", {}, "eventbridge-ssm-automation-execution"),
        ("BuildEventsRule", {"BuildEvents": "on"}, "eventbridge-imagebuilder-image-state-change"),
    ],
)
def test_a_rule_hands_the_whole_event_to_the_approval_request(real, rule, given, name):
    stack = deployed(**given)
    event = json.loads((real / f"lambda-events/{name}.json").read_text())
    pattern, [target] = stack.properties(rule)["EventPattern"], stack.properties(rule)["Targets"]
    assert (pattern["source"], pattern["detail-type"]) == ([event["source"]], [event["detail-type"]])
    assert target["Arn"] == "<AmiApprovalRequestFunction.Arn>"
    assert target["DeadLetterConfig"] == {"Arn": "<FailureQueue.Arn>"}
    allowed = [
        it["Properties"]["SourceArn"]
        for it in stack.of_type("AWS::Lambda::Permission").values()
        if it["Properties"]["Principal"] == "events.amazonaws.com"
    ]
    assert f"<{rule}.Arn>" in allowed
    queue = stack.properties("FailureQueuePolicy")["PolicyDocument"]["Statement"]
    kept = [it["Condition"]["ArnEquals"]["aws:SourceArn"] for it in queue if it["Effect"] == "Allow"]
    assert f"<{rule}.Arn>" in kept


def test_the_page_is_watched_by_what_it_counts():
    """It answers its failures: `Errors` of Lambda stays 0."""
    alarm = deployed().properties("ApprovalPageFailuresAlarm")
    assert (alarm["Namespace"], alarm["MetricName"]) == ("Gatehouse", "Failed")
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": "<AmiApprovalPageFunction>"}]


# The page -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("published", "delivered", "is_alarm"), [(None, None, False), (2, 2, False), (2, None, True), (1, 0, True)]
)
def test_an_approval_that_reaches_nobody_raises_an_alarm(published, delivered, is_alarm):
    alarm = deployed().properties("NobodyAskedAlarm")
    parts = {it["Id"]: it["MetricStat"]["Metric"] for it in alarm["Metrics"] if "MetricStat" in it}
    dimensions = [{"Name": "TopicName", "Value": "<ApproverTopic.TopicName>"}]
    assert {(name, it["MetricName"]) for name, it in parts.items()} == {
        ("published", "NumberOfMessagesPublished"),
        ("delivered", "NumberOfNotificationsDelivered"),
    }
    assert all(it["Dimensions"] == dimensions and it["Namespace"] == "AWS/SNS" for it in parts.values())
    [watched] = [it["Expression"] for it in alarm["Metrics"] if it["ReturnData"]]
    seen = {
        "published": published,
        "delivered": delivered,
        "FILL": lambda value, other: other if value is None else value,
        "IF": lambda condition, then, otherwise: then if condition else otherwise,
    }
    # CloudWatch's operators, in Python's words.
    value = eval(watched.replace("AND", "and"), {"__builtins__": {}}, seen)
    assert (value > alarm["Threshold"]) is is_alarm


@pytest.mark.parametrize(("given", "kept"), [({}, False), ({"KeepLogs": "Yes"}, True)])
def test_the_logs_of_the_functions_stay_where_it_is_asked_for(given, kept):
    stack = deployed(**given, **LINK)
    for function in ("AmiApprovalRequestFunction", "AmiApprovalPageFunction", "AmiShareFunction"):
        name = stack.properties(function)["LoggingConfig"]["LogGroup"].strip("<>")
        group = stack.resources[name]
        assert group["DeletionPolicy"] == ("RetainExceptOnCreate" if kept else "Delete")
        assert group["UpdateReplacePolicy"] == ("Retain" if kept else "Delete")
        # A name of its own would be in the way of the next stack.
        assert ("LogGroupName" in group["Properties"]) is not kept
        [write] = only(granted(function, **given), "logs:PutLogEvents")
        assert write["Resource"] == f"<{name}.Arn>"
    [api] = stack.of_type("AWS::Serverless::HttpApi").values()
    access = stack.resources[api["Properties"]["AccessLogSettings"]["DestinationArn"].strip("<>").removesuffix(".Arn")]
    assert access["DeletionPolicy"] == ("RetainExceptOnCreate" if kept else "Delete")
    assert access["UpdateReplacePolicy"] == ("Retain" if kept else "Delete")
    assert access["Properties"]["LogGroupName"].startswith("/aws/vendedlogs/")
    assert len(stack.of_type("AWS::Logs::LogGroup")) == 4


def test_an_access_log_that_stayed_is_in_the_way_of_no_other():
    """CloudFormation names the page's log anew with each stack; and it stays the same while the page comes and goes."""
    [with_page, without] = (deployed(KeepLogs="Yes", ApprovalLink=link) for link in ("true", "false"))
    for stack in (with_page, without):
        name = stack.properties("KeptApprovalAccessLogGroup")["LogGroupName"]
        assert name == "/aws/vendedlogs/apis/<KeptApprovalPageLogGroup>"
        assert "LogGroupName" not in stack.properties("KeptApprovalPageLogGroup")


def test_a_stack_that_asks_nobody_says_so():
    assert deployed().outputs["ApproversReach"]["Value"].startswith("Nobody: ")
    for given in ({"ApproverEmail": "a@example.com"}, {"FurtherApproverEndpoints": "b@example.com"}):
        assert "Nobody" not in deployed(**given).outputs["ApproversReach"]["Value"]


def test_without_a_link_there_is_no_api_and_the_page_has_no_rights():
    stack = deployed()
    assert not stack.of_type("AWS::Serverless::HttpApi")
    assert actions(granted("AmiApprovalPageFunction")) == {"logs:CreateLogStream", "logs:PutLogEvents"}
    variables = stack.properties("AmiApprovalRequestFunction")["Environment"]["Variables"]
    assert variables["APPROVAL_LINK"] == "false"
    assert "APPROVAL_PAGE_URL" not in variables
    assert "ApprovalPageUrl" not in stack.outputs


def test_the_api_has_three_routes_is_throttled_and_never_logs_the_token():
    stack = deployed(**LINK)
    api = stack.properties("ApprovalApi")
    [(path, methods)] = api["DefinitionBody"]["paths"].items()
    assert (path, sorted(methods)) == ("/approval", ["get", "head", "post"])
    for method in methods.values():
        integration = method["x-amazon-apigateway-integration"]
        assert (integration["type"], integration["payloadFormatVersion"]) == ("aws_proxy", "2.0")
        assert "functions/<AmiApprovalPageFunction.Arn>/invocations" in integration["uri"]
    assert api["DefaultRouteSettings"]["ThrottlingRateLimit"] <= 10
    logged = json.loads(api["AccessLogSettings"]["Format"])
    assert set(logged.values()) == {
        "$context.requestId", "$context.requestTime", "$context.identity.sourceIp", "$context.routeKey",
        "$context.status", "$context.responseLength", "$context.integrationErrorMessage"
    }  # fmt: skip
    [permission] = [
        it for name, it in stack.of_type("AWS::Lambda::Permission").items() if name == "ApprovalApiPermission"
    ]
    assert permission["Properties"]["SourceArn"].endswith("<ApprovalApi>/$default/*/approval")


def test_the_link_leads_to_the_page():
    variables = deployed(**LINK).properties("AmiApprovalRequestFunction")["Environment"]["Variables"]
    assert variables["APPROVAL_PAGE_URL"] == "https://<ApprovalApi>.execute-api.eu-west-1.amazonaws.com/approval"


def test_no_resource_holds_the_key_of_the_links():
    text = json.dumps(load(AMIS))
    assert "AWS::SSM::Parameter" not in text
    assert "Custom::" not in text


def test_sam_local_start_api_finds_the_page():
    assert sam.routes(ROOT / AMIS, ApprovalLink="true", Architecture="x86_64") == [
        (method, "/approval", "AmiApprovalPageFunction") for method in ("GET", "HEAD", "POST")
    ]


# The example ----------------------------------------------------------------------------------

TOPIC = {"BuildTopicArn": "arn:aws:sns:eu-west-1:111122223333:builds"}


def test_the_example_publishes_its_builds_and_shares_with_nobody():
    example = Deployed(load(EXAMPLE), **TOPIC)
    assert example.properties("Infrastructure")["SnsTopicArn"] == TOPIC["BuildTopicArn"]
    for distribution in example.properties("Distribution")["Distributions"]:
        assert "LaunchPermissionConfiguration" not in distribution["AmiDistributionConfiguration"]
        assert "TargetAccountIds" not in distribution["AmiDistributionConfiguration"]
    components = [it["ComponentArn"] for it in example.properties("Recipe")["Components"]]
    assert any("amazon-cloudwatch-agent-linux" in component for component in components)
    assert "amazon-linux-2023" in example.properties("Recipe")["ParentImage"]


@pytest.mark.parametrize(
    ("region", "given", "zone", "zone_id"),
    [
        ("us-east-1", {}, None, "use1-az1"),
        ("eu-west-1", {}, None, None),
        ("us-east-1", {"AvailabilityZone": "us-east-1c"}, "us-east-1c", None),
    ],
)
def test_the_example_builds_in_a_zone_that_has_its_instance_type(region, given, zone, zone_id):
    example = Deployed(load(EXAMPLE), region=region, **TOPIC, **given)
    subnet = example.properties("Subnet")
    assert (subnet.get("AvailabilityZone"), subnet.get("AvailabilityZoneId")) == (zone, zone_id)
    assert example.properties("Infrastructure")["InstanceTypes"] == ["t3.small"]
    several = Deployed(load(EXAMPLE), **TOPIC, InstanceType="t3.small,m7i.large")
    assert several.properties("Infrastructure")["InstanceTypes"] == ["t3.small", "m7i.large"]


def test_the_example_builds_in_a_network_of_its_own_or_in_the_subnet_given():
    own = Deployed(load(EXAMPLE), **TOPIC)
    assert own.properties("Infrastructure")["SubnetId"] == "<Subnet>"
    assert own.properties("Infrastructure")["SecurityGroupIds"] == ["<SecurityGroup.GroupId>"]
    assert "SecurityGroupIngress" not in own.properties("SecurityGroup")
    given = Deployed(load(EXAMPLE), **TOPIC, SubnetId="subnet-1a2b3c4d", SecurityGroupId="sg-1a2b3c4d")
    assert given.properties("Infrastructure")["SubnetId"] == "subnet-1a2b3c4d"
    assert given.properties("Infrastructure")["SecurityGroupIds"] == ["sg-1a2b3c4d"]
    assert not [name for name, it in given.resources.items() if it["Type"].startswith("AWS::EC2")]
    assert given.refusals() == []
    assert len(Deployed(load(EXAMPLE), **TOPIC, SubnetId="subnet-1a2b3c4d").refusals()) == 1
    assert len(Deployed(load(EXAMPLE), **TOPIC, SecurityGroupId="sg-1a2b3c4d").refusals()) == 1
