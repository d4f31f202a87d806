"""What each function may do: what its code calls and nothing else, on what it needs and nothing else."""

import copy
from fnmatch import fnmatchcase

import pytest

from gatehouse_local import ROOT
from gatehouse_local.functions import capabilities, functions
from template_checks.policy import IMPLIED, OF_THE_PLATFORM, actions, as_list, differences, rights, statements
from template_checks.sources import Crate
from template_checks.template import ACCOUNT, Deployed, load, with_every_resource

IP_RANGES = "functions/ip-ranges/template.yaml"
UPDATER = "IpRangesUpdaterFunction"
TARGETS = ["security-groups", "prefix-lists", "waf-ip-sets"]

each_function = pytest.mark.parametrize("function", functions(), ids=str)


@each_function
def test_the_role_allows_exactly_what_the_code_calls(function):
    allowed = actions(rights(load(function.template)["Resources"], function.logical_id))
    assert differences(allowed, Crate.at(function.crate).calls()) == []


@each_function
def test_one_action_more_or_less_is_found(function):
    resources = load(function.template)["Resources"]
    called = Crate.at(function.crate).calls()
    allowed = actions(rights(resources, function.logical_id))

    wider = copy.deepcopy(resources)
    for statement in rights(wider, function.logical_id)[:1]:
        statement["Action"] = [*as_list(statement["Action"]), "ec2:TerminateInstances"]
    found = differences(actions(rights(wider, function.logical_id)), called)
    assert found == ["allowed and never called: ec2:TerminateInstances"]
    for action in called:
        assert f"called and not allowed: {action}" in differences(allowed - {action}, called)
        assert f"allowed and never called: {action}" in differences(allowed, called - {action} | {"x:Y"})


def test_a_role_without_statements_is_an_error_and_not_an_agreement():
    resources = {
        "Function": {
            "Type": "AWS::Serverless::Function",
            "Properties": {"Role": {"Fn::GetAtt": ["Role", "Arn"]}},
        },
        "Role": {"Type": "AWS::IAM::Role", "Properties": {}},
    }
    with pytest.raises(ValueError, match="no statement"):
        rights(resources, "Function")
    resources["Role"]["Properties"]["ManagedPolicyArns"] = ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
    with pytest.raises(ValueError, match="managed policies"):
        rights(resources, "Function")


def test_the_tables_of_exceptions_hold_nothing_that_is_not_used():
    allowed = set()
    for function in functions():
        allowed |= actions(rights(load(function.template)["Resources"], function.logical_id))
    assert allowed >= OF_THE_PLATFORM.keys() | IMPLIED.keys()


# Condition keys that narrow a write, besides aws:RequestedRegion. A statement uses at least one of them. From the table
# of actions in each Service Authorization Reference, with aws:ResourceTag and aws:RequestTag where there are tags.
CONDITION_KEYS = {
    "ec2:AttachImageWatermark": {"aws:ResourceTag", "ec2:Owner"},
    "ec2:AuthorizeSecurityGroupIngress": {"aws:ResourceTag", "ec2:Vpc"},
    "ec2:CreateManagedPrefixList": {"aws:RequestTag"},
    "ec2:CreateTags": {"ec2:CreateAction", "aws:TagKeys"},
    "ec2:DeleteTags": {"aws:TagKeys"},
    "ec2:DetachImageWatermark": {"aws:ResourceTag", "ec2:Owner"},
    "ec2:EnableImageDeprecation": {"aws:ResourceTag", "ec2:Owner"},
    "ec2:ModifyImageAttribute": {"aws:ResourceTag", "ec2:Owner"},
    "ec2:ModifyManagedPrefixList": {"aws:ResourceTag"},
    "ec2:ModifyNetworkInterfaceAttribute": {"ec2:Vpc", "aws:ResourceTag"},
    "ec2:ModifySnapshotAttribute": {"ec2:Add/userId"},
    "ec2:RevokeSecurityGroupEgress": {"aws:ResourceTag", "ec2:Vpc"},
    "ec2:RevokeSecurityGroupIngress": {"aws:ResourceTag", "ec2:Vpc"},
    "iam:PassRole": {"iam:PassedToService"},
    "kms:Decrypt": {"kms:ViaService"},
    "kms:GenerateDataKey": {"kms:ViaService"},
    "ssm:AddTagsToResource": {"aws:RequestTag"},
    "ssm:PutParameter": {"ssm:Overwrite"},
    "ssm:SendAutomationSignal": {"aws:ResourceTag"},
    "wafv2:CreateIPSet": {"aws:RequestTag"},
    "wafv2:TagResource": {"aws:RequestTag"},
    "wafv2:UpdateIPSet": {"aws:ResourceTag"},
}
# Writes without such a key, and why that is right.
WITHOUT_A_KEY = {
    "codepipeline:PutJobFailureResult": "no resources, no keys",
    "codepipeline:PutJobSuccessResult": "no resources, no keys",
    "codepipeline:RetryStageExecution": "names the pipelines, or all of the Region",
    "ec2:CreateSecurityGroup": "of the two resources, the VPC has no tag of ours",
    "elasticloadbalancing:SetSecurityGroups": "load balancers have tags of their owners alone",
    "kms:GenerateMac": "names the key",
    "kms:VerifyMac": "names the key",
    "logs:CreateLogStream": "names the group",
    "logs:PutLogEvents": "names the group",
    "sns:ConfirmSubscription": "names the topics",
    "sns:Publish": "names the topic",
    "sqs:DeleteMessage": "names the queue",
    "sqs:SendMessage": "names the queue",
    "ssm:StartAutomationExecution": "names the runbook; its executions are made with our tag",
    "xray:PutTelemetryRecords": "no resources, no keys",
    "xray:PutTraceSegments": "no resources, no keys",
}
# A statement without such a key, though AWS offers one for its action.
WITHOUT_ITS_KEY = {
    "PublishIds": "a parameter is made without Overwrite, which admits no tags, and overwritten later",
    "TagPublishedIds": "PutParameter tags only what it creates, and the keys of the parameter Tags are the user's",
}
READS = ("Describe", "Get", "List", "ReceiveMessage")


@each_function
def test_a_write_uses_a_condition_key_that_aws_offers_or_says_why_not(function):
    for statement in rights(load(function.template)["Resources"], function.logical_id):
        used = {key.partition("/gatehouse")[0].partition("/CreatedBy")[0] for key in keys_of(statement)}
        for action in as_list(statement["Action"]):
            if action.partition(":")[2].startswith(READS):
                continue
            offered = CONDITION_KEYS.get(action)
            assert offered or action in WITHOUT_A_KEY, f"{action}: which condition keys does AWS offer for it?"
            told = statement["Sid"] in WITHOUT_ITS_KEY
            assert told or not offered or offered & used, (
                f"{statement['Sid']}: {action} without any of {sorted(offered)}"
            )


def keys_of(statement) -> set[str]:
    return {key for operator in statement.get("Condition", {}).values() for key in operator}


def test_a_statement_without_its_condition_is_found():
    document = copy.deepcopy(load("functions/amis/template.yaml"))
    [_, share] = statements(document["Resources"]["SnapshotPolicy"])
    assert CONDITION_KEYS["ec2:ModifySnapshotAttribute"] <= keys_of(share)
    del share["Condition"]["ForAllValues:StringEquals"], share["Condition"]["Null"]
    assert not CONDITION_KEYS["ec2:ModifySnapshotAttribute"] & keys_of(share)


# The updater ----------------------------------------------------------------------------------


def granted(**parameters: str) -> list[dict]:
    deployed = Deployed(load(IP_RANGES), **parameters)
    role = "UpdaterRole"
    found = list(statements(deployed.properties(role)["Policies"]))
    for policy in deployed.of_type("AWS::IAM::Policy").values():
        assert policy["Properties"]["Roles"] == [f"<{role}>"]
        found += statements(policy["Properties"]["PolicyDocument"])
    return found


def while_creating(found: list[dict]) -> dict:
    """The statement that lets something be tagged while it is made."""
    [statement] = [
        it
        for it in found
        if "ec2:CreateTags" in as_list(it["Action"]) and "ec2:CreateAction" in it["Condition"]["StringEquals"]
    ]
    return statement


def only(found: list[dict], action: str) -> dict:
    [statement] = [it for it in found if action in as_list(it["Action"])]
    return statement


def test_only_the_half_that_the_target_needs_is_granted():
    groups, lists, sets = (actions(granted(Target=target)) for target in TARGETS)
    platform = set(list(OF_THE_PLATFORM)[:3])
    assert "ec2:RevokeSecurityGroupIngress" in groups and "elasticloadbalancing:SetSecurityGroups" in groups
    assert "ec2:ModifyManagedPrefixList" in lists
    assert groups & lists == {"ec2:CreateTags", "ec2:DeleteTags"} | platform
    assert "wafv2:UpdateIPSet" in sets and {it for it in sets if not it.startswith("wafv2:")} == platform


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_can_be_created_where_only_code_creates(target):
    refused = actions(granted(Target=target)) - actions(granted(Target=target, Create="never"))
    created = {
        "security-groups": {"ec2:CreateSecurityGroup"},
        "prefix-lists": {"ec2:CreateManagedPrefixList"},
        "waf-ip-sets": {"wafv2:CreateIPSet", "wafv2:TagResource"},
    }
    assert refused == created[target]
    for statement in granted(Target=target, Create="never"):
        assert not any("RequestTag" in key for key in statement.get("Condition", {}).get("StringEquals", {}))


def test_ids_are_written_below_the_path_given_and_nowhere_else():
    assert not any(it.startswith("ssm:") for it in actions(granted()))
    for target in TARGETS:
        found = granted(Target=target, ParameterPrefix="/gatehouse/ip-ranges", Region="eu-west-1,us-east-1")
        path = f"arn:aws:ssm:*:{ACCOUNT}:parameter/gatehouse/ip-ranges"
        for action, resources in (
            ("ssm:PutParameter", [f"{path}/*"]),
            ("ssm:GetParametersByPath", [path, f"{path}/*"]),
        ):
            statement = only(found, action)
            assert as_list(statement["Resource"]) == resources
            assert statement["Condition"] == {"StringEquals": {"aws:RequestedRegion": ["eu-west-1", "us-east-1"]}}
        assert {it for it in actions(found) if it.startswith("ssm:")} == {"ssm:GetParametersByPath", "ssm:PutParameter"}


@pytest.mark.parametrize(("scope", "path"), [("REGIONAL", "regional"), ("CLOUDFRONT", "global")])
def test_ip_sets_are_reached_in_their_scope_and_made_with_the_name_and_the_tag(scope, path):
    found = granted(Target="waf-ip-sets", WafScope=scope, PrefixName="OURS")
    of_waf = [it for it in found if any(action.startswith("wafv2:") for action in as_list(it["Action"]))]
    # A set that is made has no id yet, and no document says which ARN WAF checks.
    without_id = {"wafv2:ListIPSets", "wafv2:CreateIPSet", "wafv2:TagResource"}
    for statement in of_waf:
        every = set(as_list(statement["Action"])) <= without_id
        assert statement["Resource"] == ("*" if every else f"arn:aws:wafv2:*:{ACCOUNT}:{path}/ipset/OURS_*/*")
    # WAF lets a set be made with tags only to whom may tag; this one may give no set the tag of somebody else.
    tagging = [it for it in of_waf if "wafv2:TagResource" in as_list(it["Action"])]
    creating = [it for it in of_waf if "wafv2:CreateIPSet" in as_list(it["Action"])]
    for [statement] in (tagging, creating):
        assert statement["Condition"]["StringEquals"]["aws:RequestTag/gatehouse:prefix-name"] == "OURS"


def test_parameters_are_tagged_where_tags_are_given():
    given = {"ParameterPrefix": "/gatehouse/ip-ranges", "Tags": "team=edge"}
    statement = only(granted(**given), "ssm:AddTagsToResource")
    assert statement["Resource"] == f"arn:aws:ssm:*:{ACCOUNT}:parameter/gatehouse/ip-ranges/*"
    for missing in given:
        rest = {key: value for key, value in given.items() if key != missing}
        assert "ssm:AddTagsToResource" not in actions(granted(**rest))


# Condition keys that the Service Authorization Reference offers for a write, and the roles use; or why not.
KEYS_OF_WRITES = {
    "ec2:AuthorizeSecurityGroupIngress": {"aws:ResourceTag/gatehouse:prefix-name", "aws:RequestedRegion"},
    "ec2:RevokeSecurityGroupIngress": {"aws:ResourceTag/gatehouse:prefix-name", "aws:RequestedRegion"},
    "ec2:RevokeSecurityGroupEgress": {"aws:ResourceTag/gatehouse:prefix-name", "aws:RequestedRegion"},
    "ec2:ModifyNetworkInterfaceAttribute": {"ec2:Vpc", "aws:RequestedRegion"},
    "elasticloadbalancing:SetSecurityGroups": {"aws:RequestedRegion"},
    "ec2:ModifyManagedPrefixList": {"aws:ResourceTag/gatehouse:prefix-name", "aws:RequestedRegion"},
    "ec2:CreateManagedPrefixList": {"aws:RequestTag/gatehouse:prefix-name", "aws:RequestedRegion"},
    "wafv2:UpdateIPSet": {"aws:ResourceTag/gatehouse:prefix-name", "aws:RequestedRegion"},
    "wafv2:CreateIPSet": {"aws:RequestTag/gatehouse:prefix-name", "aws:RequestedRegion"},
}
# Keys that are offered and not used: the reason has to be written beside the statement.
NOT_USED = {"WriteRulesOfTaggedGroups": "10,240 characters", "AttachGroups": "ec2:Attribute holds"}


@pytest.mark.parametrize("action", KEYS_OF_WRITES)
def test_a_write_uses_the_condition_keys_that_there_are(action):
    every = [it for target in TARGETS for it in granted(Target=target, VpcId="vpc-aaaaaaaa")]
    for statement in (it for it in every if action in as_list(it["Action"])):
        used = {key for keys in statement["Condition"].values() for key in keys}
        assert used >= KEYS_OF_WRITES[action], statement["Sid"]


def test_a_key_that_is_not_used_has_its_reason_beside_the_statement():
    text = (ROOT / IP_RANGES).read_text()
    for sid, reason in NOT_USED.items():
        comment = text[: text.index(f"- Sid: {sid}")][-900:]
        assert reason in comment, sid


def test_publishing_and_tracing_are_granted_when_asked_for():
    topic, key = "arn:aws:sns:eu-west-1:111122223333:t", "arn:aws:kms:eu-west-1:111122223333:key/k"
    assert not {"sns:Publish", "kms:Decrypt", "xray:PutTraceSegments"} & actions(granted())
    found = granted(NotifyTopicArn=topic, NotifyTopicKeyArn=key, Tracing="on")
    assert only(found, "sns:Publish")["Resource"] == topic
    assert only(found, "kms:Decrypt")["Resource"] == key
    assert "xray:PutTraceSegments" in actions(found)


# Calls that know no resource, so that their statements must say "*".
WITHOUT_RESOURCE = {
    "codepipeline:GetJobDetails",
    "codepipeline:PutJobFailureResult",
    "codepipeline:PutJobSuccessResult",
    "ec2:DescribeImages",
    "ec2:DescribeManagedPrefixLists",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSnapshots",
    "ec2:DescribeVpcs",
    "elasticloadbalancing:DescribeLoadBalancers",
    "health:DescribeEventTypes",
    "health:DescribeEvents",
    # Which ARN a set has before it has an id is not documented: the tag in the request bounds these two.
    "wafv2:CreateIPSet",
    "wafv2:ListIPSets",
    "wafv2:TagResource",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}


@each_function
def test_all_resources_are_granted_only_where_a_call_knows_none(function):
    for statement in rights(load(function.template)["Resources"], function.logical_id):
        if "*" in as_list(statement["Resource"]):
            assert set(as_list(statement["Action"])) <= WITHOUT_RESOURCE, statement["Sid"]


@pytest.mark.parametrize("target", TARGETS)
def test_every_call_is_bound_to_the_regions_and_to_our_tag_where_there_is_one(target):
    of_aws = ("ec2:", "elasticloadbalancing:", "ssm:", "wafv2:")
    for statement in granted(Target=target, PrefixName="OURS", Region="eu-west-1,us-east-1", ParameterPrefix="/ours"):
        if not any(it.startswith(of_aws) for it in as_list(statement["Action"])):
            continue
        conditions = statement["Condition"]["StringEquals"]
        # Describe calls and attaching know no tag of ours; every one knows a Region.
        assert conditions["aws:RequestedRegion"] == ["eu-west-1", "us-east-1"], statement["Sid"]
        tag = {value for key, value in conditions.items() if key.endswith("Tag/gatehouse:prefix-name")}
        assert tag <= {"OURS"}, statement["Sid"]


@pytest.mark.parametrize(
    ("action", "key"),
    [
        ("ec2:AuthorizeSecurityGroupIngress", "aws:ResourceTag"),
        ("ec2:RevokeSecurityGroupEgress", "aws:ResourceTag"),
        ("ec2:RevokeSecurityGroupIngress", "aws:ResourceTag"),
        ("ec2:DeleteTags", "aws:ResourceTag"),
        ("ec2:ModifyManagedPrefixList", "aws:ResourceTag"),
        ("ec2:GetManagedPrefixListEntries", "aws:ResourceTag"),
        ("ec2:CreateManagedPrefixList", "aws:RequestTag"),
        ("wafv2:GetIPSet", "aws:ResourceTag"),
        ("wafv2:UpdateIPSet", "aws:ResourceTag"),
        ("wafv2:CreateIPSet", "aws:RequestTag"),
    ],
)
def test_a_write_reaches_only_what_carries_our_tag(action, key):
    found = [
        statement
        for target in TARGETS
        for statement in granted(Target=target, PrefixName="OURS")
        if action in as_list(statement["Action"])
    ]
    assert found
    for statement in found:
        assert statement["Condition"]["StringEquals"][f"{key}/gatehouse:prefix-name"] == "OURS"
        assert "*" not in as_list(statement["Resource"]) or action == "wafv2:CreateIPSet"


def test_a_group_is_made_with_our_tag_and_tagged_at_no_other_time():
    found = granted(PrefixName="OURS")
    of_group, of_vpc = [it for it in found if it["Action"] == "ec2:CreateSecurityGroup"]
    assert of_group["Resource"] == f"arn:aws:ec2:*:{ACCOUNT}:security-group/*"
    assert of_group["Condition"]["StringEquals"]["aws:RequestTag/gatehouse:prefix-name"] == "OURS"
    assert of_vpc["Resource"] == "arn:aws:ec2:*:*:vpc/*"
    for target, action in (
        ("security-groups", "CreateSecurityGroup"),
        ("prefix-lists", "CreateManagedPrefixList"),
    ):
        conditions = while_creating(granted(Target=target, PrefixName="OURS"))["Condition"]["StringEquals"]
        assert conditions["ec2:CreateAction"] == action
        assert conditions["aws:RequestTag/gatehouse:prefix-name"] == "OURS"


@pytest.mark.parametrize("target", ["security-groups", "prefix-lists"])
def test_of_what_exists_only_marks_and_sync_tokens_can_be_tagged(target):
    found = granted(Target=target, PrefixName="OURS")
    creating = while_creating(found)
    checked = set()
    for statement in found:
        tagging = {"ec2:CreateTags", "ec2:DeleteTags"} & set(as_list(statement["Action"]))
        if not tagging or statement is creating:
            continue
        checked |= tagging
        conditions = statement["Condition"]
        assert conditions["StringEquals"]["aws:ResourceTag/gatehouse:prefix-name"] == "OURS"
        keys = set(conditions["ForAllValues:StringLike"]["aws:TagKeys"])
        assert "gatehouse:sync-token/*" in keys
        mark = {"gatehouse:attach"} if tagging == {"ec2:DeleteTags"} else set()
        assert keys == {"gatehouse:sync-token/*"} | mark
        assert conditions["Null"] == {"aws:TagKeys": "false"}
    assert checked == {"ec2:CreateTags", "ec2:DeleteTags"}


@pytest.mark.parametrize(
    ("vpc_id", "allowed", "refused"),
    [
        ("", ["eu-west-1:1:vpc/vpc-1"], []),
        (
            "vpc-aaaaaaaa,vpc-bbbbbbbb",
            ["eu-west-1:1:vpc/vpc-aaaaaaaa", "eu-west-1:2:vpc/vpc-bbbbbbbb"],
            ["eu-west-1:1:vpc/vpc-cccccccc", "eu-west-1:1:vpc/vpc-aaaaaaaab"],
        ),
        # Regions that are not listed keep their default VPC, whose id nobody knows here.
        ("us-east-1/vpc-aaaaaaaa", ["us-east-1:1:vpc/vpc-aaaaaaaa", "eu-west-1:1:vpc/vpc-cccccccc"], []),
    ],
)
def test_groups_are_attached_and_made_only_in_the_vpcs_given(vpc_id, allowed, refused):
    [of_vpc] = [it for it in granted(VpcId=vpc_id) if it["Sid"] == "CreateGroupsInVpcs"]
    ids = as_list(of_vpc["Condition"]["StringLike"]["ec2:VpcID"])
    assert all(any(fnmatchcase(vpc.split("/")[1], pattern) for pattern in ids) for vpc in allowed)
    assert not any(vpc.split("/")[1] in ids for vpc in refused)
    statement = only(granted(VpcId=vpc_id), "ec2:ModifyNetworkInterfaceAttribute")
    patterns = as_list(statement["Condition"]["ArnLikeIfExists"]["ec2:Vpc"])

    def admitted(vpc: str) -> bool:
        return any(fnmatchcase(f"arn:aws:ec2:{vpc}", pattern) for pattern in patterns)

    assert all(map(admitted, allowed))
    assert not any(map(admitted, refused))


@pytest.mark.parametrize(
    ("region", "partition", "principal"),
    [
        ("eu-west-1", "aws", "sns.amazonaws.com"),
        ("us-east-1", "aws", "sns.amazonaws.com"),
        ("ap-northeast-3", "aws", "sns.amazonaws.com"),
        ("af-south-1", "aws", "sns.af-south-1.amazonaws.com"),
        ("ca-west-1", "aws", "sns.ca-west-1.amazonaws.com"),
        ("cn-north-1", "aws-cn", None),
    ],
)
def test_the_notice_comes_from_awss_topic_and_no_other(region, partition, principal):
    deployed = Deployed(load(IP_RANGES), region=region, partition=partition)
    subscriptions = deployed.of_type("AWS::SNS::Subscription")
    permissions = [
        it["Properties"]
        for it in deployed.of_type("AWS::Lambda::Permission").values()
        if it["Properties"]["Principal"].startswith("sns")
    ]
    if principal is None:
        assert not subscriptions and not permissions
        return
    [subscription] = [it["Properties"] for it in subscriptions.values()]
    [permission] = permissions
    assert permission["Principal"] == principal
    assert subscription["Region"] == "us-east-1"
    assert subscription["TopicArn"] == permission["SourceArn"]
    accepted = deployed.properties(UPDATER)["Environment"]["Variables"]["TOPIC_ARNS"]
    assert accepted == subscription["TopicArn"] == "arn:aws:sns:us-east-1:806199016981:AmazonIpSpaceChanged"


@pytest.mark.parametrize("capability", capabilities())
def test_a_service_may_invoke_or_send_only_for_one_source(capability):
    document = load(f"functions/{capability}/template.yaml")
    # Once more with what is made only where it is asked for.
    for deployed in (Deployed(document), Deployed(with_every_resource(document))):
        urls = {it["Properties"]["TargetFunctionArn"] for it in deployed.of_type("AWS::Lambda::Url").values()}
        for name, permission in deployed.of_type("AWS::Lambda::Permission").items():
            granted = permission["Properties"]
            if granted["Principal"] == "*":  # everybody, through a public URL alone
                assert granted["FunctionName"].replace(">", ".Arn>") in urls, name
                assert granted.get("FunctionUrlAuthType") == "NONE" or granted.get("InvokedViaFunctionUrl") is True, (
                    name
                )
            else:
                assert granted["SourceArn"], name
        for name, policy in deployed.of_type("AWS::SQS::QueuePolicy").items():
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                if statement["Effect"] == "Allow":
                    source = statement["Condition"]["ArnEquals"]["aws:SourceArn"]
                    assert source.strip("<>").split(".")[0] in deployed.resources, name


@pytest.mark.parametrize("reserve", [("Yes", 1), ("No", None)])
def test_two_runs_meet_only_where_the_account_cannot_reserve(reserve):
    answer, expected = reserve
    properties = Deployed(load(IP_RANGES), ReserveConcurrency=answer).properties(UPDATER)
    assert properties.get("ReservedConcurrentExecutions") == expected


def test_the_daily_run_is_a_schedule_with_the_function_as_its_target():
    deployed = Deployed(load(IP_RANGES), ScheduleExpression="rate(12 hours)")
    rule = deployed.properties("UpdaterSchedule")
    assert rule["ScheduleExpression"] == "rate(12 hours)"
    [target] = rule["Targets"]
    assert target["Arn"] == f"<{UPDATER}.Arn>"
    assert deployed.properties("UpdaterSchedulePermission")["SourceArn"] == "<UpdaterSchedule.Arn>"
