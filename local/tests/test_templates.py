"""Every template: its parameters, how they reach the code, how the whole suite passes them on."""

import re
import tomllib

import pytest

from templates import EXAMPLE, FUNCTIONS, IP_RANGES, PIPELINES, SUITE
from templates.sources import Crate, operations, production
from templates.template import ROOT, Deployed, load, references, refuse

each_function = pytest.mark.parametrize(
    ("template", "function", "crate"), FUNCTIONS, ids=[crate for _, _, crate in FUNCTIONS]
)
each_template = pytest.mark.parametrize("template", [SUITE, IP_RANGES, PIPELINES, EXAMPLE])


def parameter_of(setting: str) -> str:
    """MAX_RULES_PER_GROUP → MaxRulesPerGroup."""
    return "".join(word.capitalize() for word in setting.split("_"))


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
def test_every_setting_of_the_code_is_a_parameter_and_the_other_way_round(template, function, crate):
    document = load(template)
    variables = document["Resources"][function]["Properties"]["Environment"]["Variables"]
    settings = Crate.at(crate).settings()
    assert len(settings) >= 9
    assert settings == variables.keys()
    for setting, value in variables.items():
        assert parameter_of(setting) in references(value), setting
        assert parameter_of(setting) in document["Parameters"], setting


@each_function
def test_an_empty_parameter_sets_no_variable(template, function, crate):
    variables = Deployed(load(template)).properties(function)["Environment"]["Variables"]
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
        "EGRESS": "all",
        "MAX_RULES_PER_GROUP": "60",
        "MAX_GROUPS_PER_INTERFACE": "5",
        "MAX_SHRINK_PERCENT": "50",
        "IP_RANGES_URL": "https://ip-ranges.amazonaws.com/ip-ranges.json",
        "DRY_RUN": "false",
        "SNS_VERIFY": "enforce",
        "TOPIC_ARNS": "arn:aws:sns:us-east-1:806199016981:AmazonIpSpaceChanged",
    }


def test_the_settings_of_the_pipelines_capability_have_the_documented_defaults():
    deployed = Deployed(load(PIPELINES))
    gate = deployed.properties("PipelineHealthGateFunction")["Environment"]["Variables"]
    retry = deployed.properties("PipelineRetryFunction")["Environment"]["Variables"]
    assert gate == {"CATEGORIES": "issue", "STATUSES": "open", "WAIT_MINUTES": "0", "ON_UNKNOWN": "block"}
    assert retry == {
        "MAX_RETRIES": "5",
        "RETRY_MODE": "FAILED_ACTIONS",
        "RETRY_ANY_FAILURE": "false",
        "NOTIFY_TOPIC_ARN": "<NotificationTopic>",
        "DRY_RUN": "false",
        "SNS_VERIFY": "enforce",
        "TOPIC_ARNS": "<NotificationTopic>",
    }


@each_function
def test_a_function_is_built_from_its_crate_for_the_chosen_processor(template, function, crate):
    document = load(template)
    resource = document["Resources"][function]
    binary = tomllib.loads((ROOT / crate / "Cargo.toml").read_text())["package"]["name"]
    folder = template.rpartition("/")[0]
    assert f"{folder}/{resource['Properties']['CodeUri']}" == crate
    assert resource["Metadata"]["BuildMethod"] == "rust-cargolambda"
    assert resource["Metadata"]["BuildProperties"] == {"Binary": binary}
    for architecture in ("arm64", "x86_64"):
        properties = Deployed(document, Architecture=architecture).properties(function)
        assert properties["Architectures"] == [architecture]
        assert (properties["Runtime"], properties["Handler"]) == ("provided.al2023", "bootstrap")


@each_function
def test_a_function_logs_json_to_its_own_group_and_is_traced_on_demand(template, function, crate):
    document = load(template)
    properties = Deployed(document).properties(function)
    assert properties["LoggingConfig"]["LogFormat"] == "JSON"
    assert properties["Tracing"] == "PassThrough"
    assert Deployed(document, Tracing="on").properties(function)["Tracing"] == "Active"
    group = properties["LoggingConfig"]["LogGroup"].strip("<>")
    assert Deployed(document, LogRetentionDays="7").properties(group)["RetentionInDays"] == "7"


KEEPS_FAILED_EVENTS = [case for case in FUNCTIONS if not case[2].endswith("health-gate")]


def test_a_failed_job_is_not_kept_since_its_event_holds_credentials():
    config = Deployed(load(PIPELINES)).properties("PipelineHealthGateFunction")["EventInvokeConfig"]
    # CodePipeline gives an action up when it was not answered for 20 minutes.
    assert config == {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 20 * 60}


@pytest.mark.parametrize(
    ("template", "function", "crate"), KEEPS_FAILED_EVENTS, ids=[crate for _, _, crate in KEEPS_FAILED_EVENTS]
)
def test_a_failed_event_is_kept_for_two_weeks_and_raises_an_alarm(template, function, crate):
    deployed = Deployed(load(template))
    target = deployed.properties(function)["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
    queue = re.fullmatch(r"<(\w+)\.Arn>", target["Destination"])[1]
    assert target["Type"] == "SQS"
    assert deployed.properties(queue)["SqsManagedSseEnabled"] is True
    assert deployed.properties(queue)["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert ("ApproximateNumberOfMessagesVisible", f"<{queue}.QueueName>") in watched(deployed)


@each_function
def test_a_functions_errors_raise_an_alarm(template, function, crate):
    assert ("Errors", f"<{function}>") in watched(Deployed(load(template)))


def watched(deployed):
    return {
        (alarm["Properties"].get("MetricName"), dimension["Value"])
        for alarm in deployed.of_type("AWS::CloudWatch::Alarm").values()
        for dimension in alarm["Properties"].get("Dimensions", [])
    }


@pytest.mark.parametrize("template", [IP_RANGES, PIPELINES])
def test_every_alarm_tells_what_to_do_and_goes_to_the_topic(template):
    topic = "arn:aws:sns:eu-west-1:111122223333:alarms"
    document = load(template)
    silent = Deployed(document).of_type("AWS::CloudWatch::Alarm")
    loud = Deployed(document, AlarmTopicArn=topic).of_type("AWS::CloudWatch::Alarm")
    assert len(loud) >= 4
    for name, alarm in loud.items():
        assert alarm["Properties"]["AlarmActions"] == alarm["Properties"]["OKActions"] == [topic], name
        assert len(alarm["Properties"]["AlarmDescription"].split()) >= 12, name
        assert "AlarmActions" not in silent[name]["Properties"], name


def test_every_alarm_on_a_metric_of_ours_names_one_that_the_code_emits():
    checked = 0
    for template, function, crate in FUNCTIONS:
        for alarm in Deployed(load(template)).of_type("AWS::CloudWatch::Alarm").values():
            properties = alarm["Properties"]
            if properties.get("Namespace") == "Gatehouse" and f"<{function}>" in str(properties["Dimensions"]):
                assert properties["MetricName"] in Crate.at(crate).metrics()
                assert [it["Name"] for it in properties["Dimensions"]] == ["FunctionName"]
                checked += 1
    assert checked >= 2


# The whole suite ------------------------------------------------------------------------------

SHARED_PARAMETERS = {"AlarmTopicArn", "Architecture", "LogRetentionDays", "Tracing"}
NESTED = [("IpRanges", IP_RANGES), ("Pipelines", PIPELINES)]


@pytest.mark.parametrize(("capability", "template"), NESTED)
def test_the_suite_passes_every_parameter_of_a_capability_on(capability, template):
    suite, nested = load(SUITE), load(template)
    properties = suite["Resources"][capability]["Properties"]
    assert properties["Location"] == template
    assert properties["Parameters"].keys() == nested["Parameters"].keys()
    for name, spec in nested["Parameters"].items():
        own = name if name in SHARED_PARAMETERS else capability + name
        assert properties["Parameters"][name] == {"Ref": own}
        described = suite["Parameters"][own]
        if name in SHARED_PARAMETERS:
            spec, described = ({**it, "Description": ""} for it in (spec, described))
        assert described == spec, own


@pytest.mark.parametrize(("capability", "template"), NESTED)
def test_the_suite_shows_every_output_of_a_capability(capability, template):
    suite = load(SUITE)
    for name in load(template)["Outputs"]:
        output = suite["Outputs"][capability + name]
        assert output["Value"] == {"Fn::GetAtt": [capability, f"Outputs.{name}"]}
        assert output["Condition"] == suite["Resources"][capability]["Condition"]


def test_the_suite_deploys_what_is_asked_for():
    suite = load(SUITE)
    assert Deployed(suite).resources.keys() == {"IpRanges", "Pipelines"}
    assert Deployed(suite, DeployIpRanges="No").resources.keys() == {"Pipelines"}
    alone = Deployed(suite, DeployPipelines="No")
    assert alone.resources.keys() == {"IpRanges"}
    assert alone.outputs and all(name.startswith("IpRanges") for name in alone.outputs)


def test_the_suite_nests_every_capability():
    nested = {it["Properties"]["Location"] for it in load(SUITE)["Resources"].values()}
    found = {str(path.relative_to(ROOT)) for path in ROOT.glob("functions/*/template.yaml")}
    assert nested == found


def test_samconfig_knows_the_suite_and_every_capability():
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert config.pop("version") == 0.1
    folders = {path.parent.name for path in ROOT.glob("functions/*/template.yaml")}
    assert config.keys() == {"default", *folders}
    assert "CAPABILITY_AUTO_EXPAND" in config["default"]["deploy"]["parameters"]["capabilities"]
    stacks = [config[name]["global"]["parameters"]["stack_name"] for name in config]
    assert len(set(stacks)) == len(config)
    for name in config:
        assert config[name]["validate"]["parameters"]["lint"] is True
        assert "CAPABILITY_IAM" in config[name]["deploy"]["parameters"]["capabilities"]
    for name in folders:
        build = config[name]["build"]["parameters"]
        assert build["template_file"] == f"functions/{name}/template.yaml"
        assert config[name]["validate"]["parameters"]["template_file"] == build["template_file"]
        built = f"{build['build_dir']}/template.yaml"
        assert config[name]["deploy"]["parameters"]["template_file"] == built
        assert config[name]["local_invoke"]["parameters"]["template_file"] == built


# What parameters take -------------------------------------------------------------------------

TOPIC = "arn:aws:sns:eu-west-1:111122223333:changes"
VALUES = [
    (IP_RANGES, "Service", ["CLOUDFRONT", "S3,EC2"], ["", "cloudfront", "S3, EC2", "S3,"]),
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


# The checks themselves ------------------------------------------------------------------------


def crate_of(source: str) -> Crate:
    return Crate("example", {"main.rs": f"fn main() {{}}\n{source}"}, {"aws-sdk-ec2": {}})


def test_settings_are_found_in_every_form_the_code_uses():
    crate = crate_of("""
        env.list("PORTS"); env.parsed::<u32>("MAX_RETRIES"); within(env, "MAX_RULES_PER_GROUP", 60);
        flag(&env, "DRY_RUN"); list(env, &spell("REGIONS"), "a Region"); env
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


def test_a_crate_without_sources_or_with_an_unknown_service_is_an_error():
    with pytest.raises(ValueError, match="no fn main"):
        Crate("example", {}, {"aws-sdk-ec2": {}})
    with pytest.raises(ValueError, match="aws-sdk-ssm"):
        Crate("example", {"main.rs": "fn main() {}"}, {"aws-sdk-ssm": {}})
