"""Every template: its parameters, how they reach the code, how the whole suite passes them on."""

import re
import tomllib

import pytest

from gatehouse_local import ROOT
from gatehouse_local.functions import capabilities, functions
from template_checks.sources import Crate, operations, production
from template_checks.template import Deployed, load, refuse, with_every_resource

SUITE = "template.yaml"
IP_RANGES = "functions/ip-ranges/template.yaml"
PIPELINES = "functions/pipelines/template.yaml"
AMIS = "functions/amis/template.yaml"
IAM_ALERTS = "functions/iam-alerts/template.yaml"

each_function = pytest.mark.parametrize("function", functions(), ids=str)
each_capability = pytest.mark.parametrize("capability", capabilities())
each_template = pytest.mark.parametrize(
    "template", [SUITE, *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("functions/*/*.yaml"))]
)


def everything_of(function):
    """The template of a function, with what is made on request."""
    return with_every_resource(load(function.template))


def template_of(capability: str) -> str:
    return f"functions/{capability}/template.yaml"


@each_template
def test_every_parameter_is_described_checked_and_shown_in_one_group(template):
    document = load(template)
    parameters = document["Parameters"]
    interface = document["Metadata"]["AWS::CloudFormation::Interface"]
    shown = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(shown) == sorted(parameters)
    assert interface["ParameterLabels"].keys() == parameters.keys()
    for name, spec in parameters.items():
        assert spec["Description"].strip(), name
        checks = {"AllowedValues", "AllowedPattern"} & spec.keys() or {"MinValue", "MaxValue"} <= spec.keys()
        assert checks, f"{name} takes anything"
        assert "AllowedPattern" not in spec or "ConstraintDescription" in spec, name
        if "Default" in spec:
            refuse(spec, name, str(spec["Default"]))


@each_function
def test_an_empty_parameter_sets_no_variable(function):
    variables = Deployed(everything_of(function)).properties(function.logical_id)["Environment"]["Variables"]
    assert variables
    assert "" not in variables.values()


def test_the_settings_of_the_updater_have_the_documented_defaults():
    deployed = Deployed(load(IP_RANGES)).properties("IpRangesUpdaterFunction")
    assert deployed["Environment"]["Variables"] == {
        "SERVICE": "CLOUDFRONT",
        "PORTS": "80",
        "PREFIX_NAME": "AUTOUPDATE",
        "DEBUG": "false",
        "ADDRESS_FAMILIES": "ipv4,ipv6",
        "AGGREGATE": "true",
        "TARGET": "security-groups",
        "WAF_SCOPE": "REGIONAL",
        "CREATE": "always",
        "EGRESS": "all",
        "ATTACH": "follow",
        "LIST_HEADROOM": "0",
        "MAX_ENTRIES_PER_LIST": "60",
        "MAX_RULES_PER_GROUP": "60",
        "MAX_GROUPS_PER_INTERFACE": "5",
        "MAX_SHRINK_PERCENT": "50",
        "IP_RANGES_URL": "https://ip-ranges.amazonaws.com/ip-ranges.json",
        "DRY_RUN": "false",
        "SNS_SIGNATURE_VERSIONS": "1,2",
        "SNS_VERIFY": "enforce",
        "TOPIC_ARNS": "arn:aws:sns:us-east-1:806199016981:AmazonIpSpaceChanged",
    }


@pytest.mark.parametrize(
    ("region", "given", "refused"),
    [
        ("us-east-1", {}, False),
        ("eu-west-1", {}, True),
        ("eu-west-1", {"Region": "us-east-1"}, False),
        ("us-east-1", {"Region": "us-east-1,eu-west-1"}, True),
        ("us-east-1", {"Region": "eu-west-1"}, True),
        ("eu-west-1", {"WafScope": "REGIONAL"}, False),
    ],
)
def test_ip_sets_of_the_scope_cloudfront_are_kept_in_us_east_1_only(region, given, refused):
    settings = {"Target": "waf-ip-sets", "WafScope": "CLOUDFRONT"} | given
    said = Deployed(load(IP_RANGES), region=region, **settings).refusals()
    assert bool(said) is refused
    assert all("us-east-1" in text and "Region" in text for text in said)


def test_the_settings_of_the_pipelines_capability_have_the_documented_defaults():
    deployed = Deployed(load(PIPELINES))
    gate = deployed.properties("PipelineHealthGateFunction")["Environment"]["Variables"]
    retry = deployed.properties("PipelineRetryFunction")["Environment"]["Variables"]
    assert gate == {
        "CATEGORIES": "issue",
        "STATUSES": "open",
        "WAIT_MINUTES": "0",
        "ON_UNKNOWN": "block",
        "ON_UNFAMILIAR": "fail",
        "NOTIFY_TOPIC_ARN": "<NotificationTopic>",
        "DEBUG": "false",
    }
    assert retry == {
        "MAX_RETRIES": "5",
        "RETRY_DELAY_SECONDS": "900",
        "HEALTH_GATE_FUNCTION_NAME": "<PipelineHealthGateFunction>",
        "RETRY_MODE": "FAILED_ACTIONS",
        "RETRY_ANY_FAILURE": "false",
        "NOTIFY_TOPIC_ARN": "<NotificationTopic>",
        "DRY_RUN": "false",
        "SNS_SIGNATURE_VERSIONS": "1,2",
        "SNS_VERIFY": "enforce",
        "TOPIC_ARNS": "<NotificationTopic>",
        "DEBUG": "false",
    }


@each_function
def test_a_function_is_built_by_cargo_lambda_for_the_chosen_processor(function):
    document = everything_of(function)
    assert document["Resources"][function.logical_id]["Metadata"]["BuildMethod"] == "rust-cargolambda"
    for architecture in ("arm64", "x86_64"):
        properties = Deployed(document, Architecture=architecture).properties(function.logical_id)
        assert properties["Architectures"] == [architecture]
        assert (properties["Runtime"], properties["Handler"]) == ("provided.al2023", "bootstrap")


@each_function
def test_a_function_keeps_its_log_as_long_and_is_traced_as_asked(function):
    document = everything_of(function)
    properties = Deployed(document).properties(function.logical_id)
    assert properties["Tracing"] == "PassThrough"
    assert Deployed(document, Tracing="on").properties(function.logical_id)["Tracing"] == "Active"
    group = properties["LoggingConfig"]["LogGroup"].strip("<>")
    assert Deployed(document, LogRetentionDays="7").properties(group)["RetentionInDays"] == "7"


def test_a_failed_job_is_not_kept_since_its_event_holds_credentials():
    config = Deployed(load(PIPELINES)).properties("PipelineHealthGateFunction")["EventInvokeConfig"]
    # CodePipeline gives an action up when it was not answered for 20 minutes.
    assert config == {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 20 * 60}


# Functions whose failed events are kept nowhere: they hold secrets, or whoever called waits and sends them again.
NOT_KEPT = {"pipeline-health-gate", "ami-approval-page", "message-relay"}


@pytest.mark.parametrize("function", [it for it in functions() if it.binary not in NOT_KEPT], ids=str)
def test_a_failed_event_is_kept_for_two_weeks_and_raises_an_alarm(function):
    deployed = Deployed(everything_of(function))
    target = deployed.properties(function.logical_id)["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
    queue = re.fullmatch(r"<(\w+)\.Arn>", target["Destination"])[1]
    assert target["Type"] == "SQS"
    assert deployed.properties(queue)["SqsManagedSseEnabled"] is True
    assert deployed.properties(queue)["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert ("ApproximateNumberOfMessagesVisible", f"<{queue}.QueueName>") in watched(deployed)


def watched(deployed):
    return {
        (alarm["Properties"].get("MetricName"), dimension["Value"])
        for alarm in deployed.of_type("AWS::CloudWatch::Alarm").values()
        for dimension in alarm["Properties"].get("Dimensions", [])
    }


@each_capability
def test_every_alarm_tells_what_to_do_and_goes_to_the_topic(capability):
    topic = "arn:aws:sns:eu-west-1:111122223333:alarms"
    document = with_every_resource(load(template_of(capability)))
    silent = Deployed(document).of_type("AWS::CloudWatch::Alarm")
    loud = Deployed(document, AlarmTopicArn=topic).of_type("AWS::CloudWatch::Alarm")
    assert loud
    for name, alarm in loud.items():
        assert alarm["Properties"]["AlarmActions"] == alarm["Properties"]["OKActions"] == [topic], name
        assert len(alarm["Properties"]["AlarmDescription"].split()) >= 12, name
        assert not silent[name]["Properties"].get("AlarmActions"), name


def test_every_alarm_on_a_metric_of_ours_names_one_that_the_code_emits():
    checked = 0
    for function in functions():
        for alarm in Deployed(everything_of(function)).of_type("AWS::CloudWatch::Alarm").values():
            properties = alarm["Properties"]
            own = f"<{function.logical_id}>" in str(properties.get("Dimensions"))
            if properties.get("Namespace") == "Gatehouse" and own:
                assert properties["MetricName"] in Crate.at(function.crate).metrics()
                assert [it["Name"] for it in properties["Dimensions"]] == ["FunctionName"]
                checked += 1
    assert checked >= 2


# The whole suite ------------------------------------------------------------------------------

# A capability's folder → its template.
CAPABILITIES = {name: template_of(name) for name in capabilities()}


def nested(suite) -> dict[str, str]:
    """The nested stacks of the suite: logical id → the template it deploys."""
    return {
        name: it["Properties"]["Location"]
        for name, it in suite["Resources"].items()
        if it["Type"] == "AWS::Serverless::Application"
    }


def outputs_passed_through(suite) -> dict[str, tuple[str, str]]:
    """The outputs of the suite: name → the nested stack and its output."""
    found = {}
    for name, output in suite["Outputs"].items():
        stack, path = output["Value"]["Fn::GetAtt"]
        found[name] = (stack, path.removeprefix("Outputs."))
    return found


def everything(**given: str) -> Deployed:
    """The suite with every capability."""
    suite = load(SUITE)
    deployed = Deployed(
        suite,
        region="us-east-1",
        **{f"Deploy{stack}": "Yes" for stack in nested(suite)},
        AmisTargetAccountIds="111122223333",
        **given,
    )
    assert deployed.refusals() == []
    return deployed


# Capabilities that need a setting without a useful default, or a Region, or start with an example.
ON_REQUEST = {"Amis", "IamAlerts", "Messages"}


def test_the_suite_deploys_with_no_setting_at_all():
    assert Deployed(load(SUITE)).refusals() == []
    assert Deployed(load(SUITE), DeployAmis="Yes").refusals() == [
        "DeployAmis needs AmisTargetAccountIds, the accounts that receive an approved image."
    ]


def test_the_suite_has_few_parameters():
    assert len(load(SUITE)["Parameters"]) <= 20


def test_the_suite_nests_every_capability_with_a_switch_of_its_own():
    suite = load(SUITE)
    assert sorted(nested(suite).values()) == sorted(CAPABILITIES.values())
    for stack in nested(suite):
        assert suite["Parameters"][f"Deploy{stack}"]["AllowedValues"] == ["Yes", "No"]
        assert stack in everything().resources
        assert (stack in Deployed(suite).resources) is (stack not in ON_REQUEST)
        assert stack not in Deployed(suite, **{f"Deploy{stack}": "No"}).resources
    no_capability = {f"Deploy{stack}": "No" for stack in nested(suite)}
    assert not Deployed(suite, **no_capability).resources
    assert not Deployed(suite, **no_capability).outputs


def test_what_the_suite_passes_is_a_parameter_there_and_takes_the_same_values():
    suite = load(SUITE)
    checks = ("Type", "AllowedValues", "AllowedPattern", "MinValue", "MaxValue", "MaxLength")
    for stack, template in nested(suite).items():
        parameters = load(template)["Parameters"]
        passed = suite["Resources"][stack]["Properties"]["Parameters"]
        assert passed.keys() <= parameters.keys(), stack
        for name, value in passed.items():
            if value.keys() == {"Ref"} and value["Ref"] in suite["Parameters"]:
                own = suite["Parameters"][value["Ref"]]
                assert [own.get(check) for check in checks] == [parameters[name].get(check) for check in checks], name


EMAIL = {"NotifyEmail": "on-call@example.com"}
ALARMS = {"AlarmTopicArn": "arn:aws:sns:eu-west-1:111122223333:alarms"}


@pytest.mark.parametrize("given", [{}, EMAIL, ALARMS, EMAIL | ALARMS])
def test_a_capability_gets_values_that_it_accepts(given):
    deployed = everything(**given)
    for stack, template in nested(load(SUITE)).items():
        for name, value in passed_values(deployed, stack).items():
            refuse(load(template)["Parameters"][name], name, value)
        assert Deployed(load(template), region="us-east-1", **passed_values(deployed, stack)).refusals() == [], stack


def passed_values(deployed: Deployed, stack: str) -> dict[str, str]:
    topic = "arn:aws:sns:eu-west-1:111122223333:notifications"
    parameters = deployed.properties(stack)["Parameters"]
    return {name: str(value).replace("<NotificationTopic>", topic) for name, value in parameters.items()}


@pytest.mark.parametrize(
    ("given", "alarms"),
    [
        ({}, ""),
        (EMAIL, "<NotificationTopic>"),
        (ALARMS, ALARMS["AlarmTopicArn"]),
        (EMAIL | ALARMS, ALARMS["AlarmTopicArn"]),
    ],
)
def test_alarms_go_to_their_topic_or_else_to_the_address(given, alarms):
    deployed = everything(**given)
    for stack in nested(load(SUITE)):
        assert deployed.properties(stack)["Parameters"]["AlarmTopicArn"] == alarms, stack


def test_the_address_gets_the_notifications_of_every_capability():
    suite = load(SUITE)
    deployed = everything(**EMAIL)
    topic = deployed.properties("NotificationTopic")
    mail = deployed.properties("NotificationMail")
    assert topic["SignatureVersion"] == "2"
    # alias/aws/sns would shut CloudWatch out.
    assert "KmsMasterKeyId" not in topic
    assert mail == {"TopicArn": "<NotificationTopic>", "Protocol": "email", "Endpoint": EMAIL["NotifyEmail"]}
    for stack in nested(suite):
        passed = deployed.properties(stack)["Parameters"]
        to = {passed.get(name) for name in ("NotifyEmail", "NotifyTopicArn", "ApproverEmail")}
        assert to & {EMAIL["NotifyEmail"], "<NotificationTopic>"}, stack
    assert everything().resources.keys() == nested(suite).keys()


def test_the_topic_of_the_suite_accepts_the_alarms_of_this_account_and_nothing_without_tls():
    policy = Deployed(load(SUITE), **EMAIL).properties("NotificationTopicPolicy")["PolicyDocument"]
    allowed, denied = policy["Statement"]
    assert (allowed["Effect"], allowed["Principal"]) == ("Allow", {"Service": "cloudwatch.amazonaws.com"})
    assert allowed["Condition"] == {
        "ArnLike": {"aws:SourceArn": "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:*"},
        "StringEquals": {"aws:SourceAccount": "111122223333"},
    }
    assert (denied["Effect"], denied["Principal"]) == ("Deny", "*")
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_what_the_suite_shows_is_an_output_of_a_capability():
    suite = load(SUITE)
    shown = outputs_passed_through(suite)
    assert shown
    for name, (stack, output) in shown.items():
        assert output in load(nested(suite)[stack])["Outputs"], name
        assert suite["Outputs"][name]["Condition"] == suite["Resources"][stack]["Condition"], name


def test_samconfig_knows_the_suite_and_every_capability_and_nothing_else():
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert config.pop("version") == 0.1
    assert config.keys() == {"default", *capabilities()}
    assert "CAPABILITY_AUTO_EXPAND" in config["default"]["deploy"]["parameters"]["capabilities"]
    stacks = [config[name]["global"]["parameters"]["stack_name"] for name in config]
    assert len(set(stacks)) == len(config)
    for name in config:
        # With lint = true, `sam validate` runs cfn-lint instead of the transform, which is what can refuse a template.
        assert "lint" not in config[name].get("validate", {}).get("parameters", {})
        assert "CAPABILITY_IAM" in config[name]["deploy"]["parameters"]["capabilities"]
    for name in capabilities():
        assert config[name]["build"]["parameters"]["build_dir"] == f".aws-sam/{name}"


def test_a_deployment_asks_no_questions():
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    for name in ["default", *CAPABILITIES]:
        deploy = config[name]["deploy"]["parameters"]
        assert not deploy.get("confirm_changeset"), name
        assert deploy["resolve_s3"] is True
        template = load(SUITE if name == "default" else CAPABILITIES[name])
        # sam asks for no value: it fails where a parameter has neither a value nor a default.
        assert all("Default" in spec for spec in template["Parameters"].values()), name


# ip-ranges: what it leaves, and what a person runs ---------------------------------------------


def test_the_command_of_a_plan_waits_for_a_whole_run():
    stack = Deployed(load(IP_RANGES))
    timeout = stack.properties("IpRangesUpdaterFunction")["Timeout"]
    [waits] = re.findall(r"--cli-read-timeout (\d+) ", stack.outputs["DryRunCommand"]["Value"])
    assert int(waits) > timeout, "else the CLI invokes the function once more"


@pytest.mark.parametrize(
    ("given", "lists"),
    [
        ({}, "ec2 describe-security-groups --filters 'Name=tag:gatehouse:prefix-name,Values=EDGE'"),
        (
            {"Target": "prefix-lists"},
            "ec2 describe-managed-prefix-lists --filters 'Name=tag:gatehouse:prefix-name,Values=EDGE'",
        ),
        (
            {"Target": "waf-ip-sets"},
            """wafv2 list-ip-sets --scope REGIONAL --query "IPSets[?starts_with(Name, 'EDGE_')]\"""",
        ),
    ],
)
def test_an_output_lists_what_stays_of_the_target(given, lists):
    assert Deployed(load(IP_RANGES), PrefixName="EDGE", **given).outputs["LeftAfterDeletion"]["Value"] == f"aws {lists}"


@pytest.mark.parametrize("setting", ["Service", "Ports", "VpcId", "Target", "WafScope", "Region", "PrefixName"])
def test_the_description_of_a_setting_says_what_a_change_leaves(setting):
    assert re.search(r"not updated|neither updated", load(IP_RANGES)["Parameters"][setting]["Description"])


def test_groups_that_another_account_shares_can_be_attached():
    policies = Deployed(load(IP_RANGES)).of_type("AWS::IAM::Policy").values()
    statements = [it for policy in policies for it in policy["Properties"]["PolicyDocument"]["Statement"]]
    [attach] = [it for it in statements if it["Sid"] == "AttachGroups"]
    assert "arn:aws:ec2:*:*:security-group/*" in attach["Resource"]
    assert "arn:aws:ec2:*:111122223333:network-interface/*" in attach["Resource"]


# What parameters take -------------------------------------------------------------------------

TOPIC = "arn:aws:sns:eu-west-1:111122223333:changes"
ROLE = "arn:aws:iam::111122223333:role/deploy"
VALUES = [
    (
        IP_RANGES,
        "Service",
        ["CLOUDFRONT", "S3,EC2", "S3@eu-west-1,CLOUDFRONT", "S3@eu-west-1@GLOBAL"],
        ["", "cloudfront", "S3, EC2", "S3,", "S3@", "@eu-west-1", "S3@eu-west-1@", "S3 @eu-west-1"],
    ),
    (
        IP_RANGES,
        "ParameterPrefix",
        ["", "/gatehouse", "/gatehouse/ip-ranges", "/a.b/c_d/443"],
        ["gatehouse", "/gatehouse/", "/", "/a b", "/aws/x", "/AWS", "/ssm/x", "/a//b", "/a" * 13],
    ),
    (IP_RANGES, "Create", ["always", "never"], ["", "Always"]),
    (IP_RANGES, "WafScope", ["REGIONAL", "CLOUDFRONT"], ["", "regional"]),
    (
        IAM_ALERTS,
        "ExcludePrincipalArns",
        ["", f"{ROLE},{ROLE}/*"],
        ["deploy", f"{ROLE}/*/a", f"{ROLE}**", f"{ROLE}, {ROLE}"],
    ),
    (IAM_ALERTS, "ExcludeEventNames", ["", "TagRole,UntagRole"], ["tagRole", "Tag*", "TagRole, UntagRole"]),
    (IAM_ALERTS, "HubOrganizationId", ["", "o-abcdefghij"], ["abcdefghij", "o-a"]),
    (IAM_ALERTS, "HubAccountIds", ["", "111122223333,444455556666"], ["1111", "111122223333,"]),
    (IP_RANGES, "RangeRegions", ["", "GLOBAL", "GLOBAL,us-east-1"], ["GLOBAL, us-east-1", ","]),
    (IP_RANGES, "Ports", ["80", "80,443,8000-8010"], ["", "80 ,443", "http", "80-", "123456"]),
    (IP_RANGES, "Region", ["", "eu-west-1", "us-gov-west-1,us-east-1"], ["eu-west", "eu-west-1,", "EU-WEST-1"]),
    (
        IP_RANGES,
        "VpcId",
        ["", "vpc-0123456789abcdef0", "vpc-1a2b3c4d,vpc-5e6f7a8b", "us-east-1/vpc-1a2b3c4d,eu-west-1/vpc-5e6f7a8b"],
        ["vpc-", "subnet-1a2b3c4d", "vpc-1a2b3c4d,us-east-1/vpc-5e6f7a8b", "vpc-1a2b3c4d, vpc-5e6f7a8b"],
    ),
    (IP_RANGES, "PrefixName", ["AUTOUPDATE", "team-a_1.x"], ["", "sg-mine", "two words", "x" * 65]),
    (IP_RANGES, "MaxRulesPerGroup", ["1", "1000"], ["0", "1001"]),
    (
        IP_RANGES,
        "Adopt",
        ["", "tagged", "sg-0a1b2c3d,pl-0123456789abcdef0"],
        ["sg-1", "tagged,sg-0a1b2c3d", "eni-0a1b2c3d"],
    ),
    (IP_RANGES, "Tags", ["", "team=edge", "team=edge,cost-center="], ["team", "a=b=c", "a=1,", "=x"]),
    (IP_RANGES, "PermissionsBoundary", ["", "arn:aws:iam::111122223333:policy/a/b"], ["b", "arn:aws:iam::1:role/b"]),
    (IP_RANGES, "IpRangesUrl", ["https://example.com/a.json"], ["http://example.com", "https://a@b/", "https://a/?b"]),
    (IP_RANGES, "TopicArns", ["", TOPIC, f"{TOPIC},{TOPIC}"], ["topic", f"{TOPIC}, {TOPIC}", TOPIC[:-8]]),
    (IP_RANGES, "SnsMaxAgeSeconds", ["", "3600"], ["0", "-1", "1h"]),
    (IP_RANGES, "NotifyTopicArn", ["", TOPIC], [f"{TOPIC},{TOPIC}", f"{TOPIC}.fifo"]),
    (IP_RANGES, "ScheduleExpression", ["rate(1 day)", "cron(0 6 * * ? *)"], ["", "daily", "at(2030-01-01T00:00:00)"]),
    (PIPELINES, "Regions", ["", "us-east-1,-global", "global"], ["us-east-1, global", "US-EAST-1"]),
    (PIPELINES, "Services", ["", "EC2,LAMBDA", "EC2,-MULTIPLE_SERVICES"], ["ec2", "EC2,"]),
    (PIPELINES, "Categories", ["issue", "issue,scheduledChange"], ["", "issues"]),
    (PIPELINES, "Scopes", ["", "PUBLIC", "PUBLIC,ACCOUNT_SPECIFIC"], ["NONE", "public"]),
    (
        PIPELINES,
        "IgnoreEventArns",
        ["", "arn:aws:health:us-east-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/AWS_EC2_OPERATIONAL_ISSUE_1"],
        ["AWS_EC2_OPERATIONAL_ISSUE", "arn:aws:sns:us-east-1::x"],
    ),
    (PIPELINES, "WaitMinutes", ["0", "1400"], ["-1", "1401"]),
    (PIPELINES, "Pipelines", ["", "web", "web,api.v2@x"], ["web, api", "arn:aws:codepipeline:a:1:web", ","]),
    (PIPELINES, "RetryDelaySeconds", ["60", "900"], ["0", "901"]),
    (PIPELINES, "NotifyEmail", ["", "people@example.com"], ["people", "a b@example.com"]),
    (
        PIPELINES,
        "NotificationKeyArn",
        ["", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
        ["alias/aws/sns", "arn:aws:kms:eu-west-1:111122223333:alias/mine"],
    ),
    (
        AMIS,
        "TargetAccountIds",
        ["", "111122223333", "111122223333,444455556666"],
        ["1111", "111122223333, 444455556666"],
    ),
    (
        AMIS,
        "TargetOrganizationArns",
        ["", "arn:aws:organizations::111122223333:organization/o-abcdefghij"],
        [
            "o-abcdefghij",
            "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-cdefghij",
            "arn:aws:organizations:us-east-1:111122223333:organization/o-abcdefghij",
        ],
    ),
    (
        AMIS,
        "TargetOuArns",
        ["", "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-cdefghij"],
        [
            "ou-ab12-cdefghij",
            "arn:aws:organizations::111122223333:organization/o-abcdefghij",
            "arn:aws:organizations:us-east-1:111122223333:ou/o-abcdefghij/ou-ab12-cdefghij",
        ],
    ),
    (AMIS, "ApprovalTimeout", ["300", "2592000"], ["0", "2592001"]),
    (AMIS, "LinkTtlHours", ["1", "720"], ["0", "721"]),
    (AMIS, "MinimumApprovals", ["1", "3"], ["0", "4"]),
    (
        AMIS,
        "LatestParameter",
        ["", "/golden-ami/{name}/latest", "/golden"],
        ["golden", "/golden/{region}", "/a b", "/aws/golden", "/SSMx", "/golden//latest", "/golden/", "/a" * 16],
    ),
    (
        AMIS,
        "ApprovedWatermark",
        ["", "approved", "golden (2026)"],
        ["ab", "approved!", " approved", "approved ", "x" * 129],
    ),
    (AMIS, "DeprecatePreviousAfterDays", ["", "0", "30", "3650"], ["-1", "30 days", "3651", "5000"]),
    (
        AMIS,
        "ApproverPrincipalArn",
        ["", "arn:aws:iam::111122223333:role/team/approvers", "arn:aws:iam::111122223333:root"],
        ["approvers", "*", "arn:aws:sts::111122223333:assumed-role/a/b"],
    ),
]


@pytest.mark.parametrize(
    ("template", "name", "taken", "refused"), VALUES, ids=[f"{it[0].split('/')[1]} {it[1]}" for it in VALUES]
)
def test_a_parameter_takes_what_the_code_takes(template, name, taken, refused):
    spec = load(template)["Parameters"][name]
    for value in taken:
        refuse(spec, name, value)
    for value in refused:
        with pytest.raises(ValueError, match=name):
            refuse(spec, name, value)


# One Region of each partition, as AWS names them.
PARTITIONS = {
    "aws": "ap-southeast-2",
    "aws-cn": "cn-northwest-1",
    "aws-us-gov": "us-gov-east-1",
    "aws-iso": "us-iso-west-1",
    "aws-iso-b": "us-isob-east-1",
    "aws-iso-e": "eu-isoe-west-1",
    "aws-iso-f": "us-isof-south-1",
    "aws-eusc": "eusc-de-east-1",
}
# What follows the Region in an ARN of each service that a parameter takes.
ARNS = {
    "codeconnections": "111122223333:connection/0f1e2d3c-0000-4000-8000-000000000000",
    "events": "111122223333:event-bus/hub",
    "health": ":event/EC2/AWS_EC2_OPERATIONAL_ISSUE/AWS_EC2_OPERATIONAL_ISSUE_1",
    "lambda": "111122223333:function:reporting",
    "kms": "111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "sns": "111122223333:changes",
    "sqs": "111122223333:failures",
}
# Likewise for services without a Region in their ARNs.
GLOBAL_ARNS = {
    "iam": "iam::111122223333:role/approvers",
    "organization": "organizations::111122223333:organization/o-abcdefghij",
    "ou": "organizations::111122223333:ou/o-abcdefghij/ou-ab12-cdefghij",
}
PLACES = [
    (str(path.relative_to(ROOT)), name)
    for path in [ROOT / SUITE, *sorted(ROOT.glob("functions/*/*.yaml"))]
    for name, spec in load(str(path.relative_to(ROOT))).get("Parameters", {}).items()
    if "AllowedPattern" in spec and re.search(r"(Region|Arn)s?$", name)
]


@pytest.mark.parametrize(("template", "name"), PLACES)
@pytest.mark.parametrize(("partition", "region"), PARTITIONS.items())
def test_a_region_or_arn_of_every_partition_is_taken(template, name, partition, region):
    spec = load(template)["Parameters"][name]
    value = region
    if name.rstrip("s").endswith("Arn"):
        # Reading the service from the pattern: a parameter for another service needs a line in one of the tables.
        service = re.search(r"arn:\S*?:\(?([a-z]+)", spec["AllowedPattern"])[1]
        service = {"TargetOrganizationArns": "organization", "TargetOuArns": "ou"}.get(name, service)
        value = f"arn:{partition}:" + (GLOBAL_ARNS.get(service) or f"{service}:{region}:{ARNS[service]}")
    refuse(spec, name, value)
    if name.endswith("s"):
        refuse(spec, name, f"{value},{value}")


def test_parameters_for_regions_and_arns_are_found():
    assert (IP_RANGES, "Region") in PLACES
    assert (PIPELINES, "IgnoreEventArns") in PLACES
    assert ("functions/pipelines/example-pipeline.yaml", "ConnectionArn") in PLACES


# The checks themselves ------------------------------------------------------------------------


def crate_of(source: str) -> Crate:
    return Crate("example", {"main.rs": f"fn main() {{}}\n{source}"}, {"aws-sdk-ec2": {}})


def test_settings_are_found_in_every_form_the_code_uses():
    crate = crate_of("""
        env.list("PORTS"); env.within::<u32>("MAX_RETRIES", 0..=9); within(env, "MAX_RULES_PER_GROUP", 60);
        flag(&env, "DRY_RUN"); list(env, &format_name("REGIONS"), "a Region"); env
            .parsed::<NonZeroU32>("SNS_MAX_AGE_SECONDS");
        // env.text("IN_A_COMMENT")
        env.text("AWS_REGION"); println!("NOT_A_SETTING");
    """)
    assert crate.settings() == {
        "PORTS", "MAX_RETRIES", "MAX_RULES_PER_GROUP", "DRY_RUN", "REGIONS", "SNS_MAX_AGE_SECONDS"
    }  # fmt: skip


def test_calls_are_found_and_tests_are_not_looked_at():
    source = """
        ec2.describe_vpcs().send(); client
            .revoke_security_group_ingress()
            .group_id(id);
        // ec2.delete_vpc()
        let name = create_security_group(ec2);
#[cfg(test)]
mod tests {
    fn clean_up() {
        ec2.delete_security_group();
    }
}
"""
    assert crate_of(source).calls() == {"ec2:DescribeVpcs", "ec2:RevokeSecurityGroupIngress"}
    assert "clean_up" not in production(source)
    assert len(operations("ec2")) > 500


def test_a_crate_without_sources_or_calls_or_with_an_unknown_service_is_an_error():
    with pytest.raises(ValueError, match="no fn main"):
        Crate("example", {}, {"aws-sdk-ec2": {}})
    with pytest.raises(ValueError, match="no call was found in example"):
        crate_of("ec2.describe();").calls()
    with pytest.raises(ValueError, match="aws-sdk-weather"):
        Crate("example", {"main.rs": "fn main() {}"}, {"aws-sdk-weather": {}})
    assert Crate("example", {"main.rs": "fn main() {}"}, {"serde": {}}).calls() == set()


@pytest.mark.parametrize(
    ("crate", "called"),
    [
        ("aws-sdk-elasticloadbalancingv2", "elasticloadbalancing:SetSecurityGroups"),
        ("aws-sdk-eventbridge", "events:PutEvents"),
        ("aws-sdk-ssm", "ssm:StartAutomationExecution"),
        ("aws-sdk-sesv2", "ses:SendEmail"),
    ],
)
def test_a_service_is_known_by_its_crate(crate, called):
    source = "fn main() { client.set_security_groups(); client.put_events(); client.start_automation_execution(); "
    assert Crate("example", {"main.rs": source + "client.send_email(); }"}, {crate: {}}).calls() == {called}


def test_an_operation_that_several_services_have_is_that_of_the_crate_that_the_file_names():
    crates = {"aws-sdk-wafv2": {}, "aws-sdk-ssm": {}, "aws-sdk-sns": {}}
    call = "client.list_tags_for_resource();"
    files = {"main.rs": "fn main() {}", "ip_set.rs": f"use aws_sdk_wafv2::Client; {call}"}
    assert Crate("example", files, crates).calls() == {"wafv2:ListTagsForResource"}
    assert Crate("example", files | {"other.rs": call}, crates).calls() == {
        f"{service}:ListTagsForResource" for service in ("wafv2", "ssm", "sns")
    }


def test_names_in_constants_and_tables_are_found():
    source = """
fn target(env: &Env<'_>) { const NAME: &str = "TARGET"; env.text(NAME); }
fn other() { const TITLE: &str = "OTHER"; }
const METRICS: [&str; 2] =
    ["Relayed", "Refused"];
"""
    assert crate_of(source).settings() == {"TARGET"}
    assert crate_of(source).metrics() == {"Relayed", "Refused"}


def test_names_of_errors_are_found_where_error_type_has_them():
    source = """
impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Refused(_) => "Refused",
            Self::Incomplete { kind, .. } => kind.name(),
        }
    }
}
impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Partial => "Partial",
        }
    }
}
impl ErrorType for SettingsError {
    fn error_type(&self) -> &'static str {
        "InvalidSettings"
    }
}
impl Answer {
    fn label(&self) -> &'static str {
        match self {
            Self::Pass => "Pass",
        }
    }
}
"""
    assert crate_of(source).errors() == {"Refused", "Partial", "InvalidSettings"}
