"""Whole flows of the health gate: the real binary, the Lambda runtime API, AWS Health and CodePipeline."""

import json
import shlex
import sys

import pytest
from botocore.session import Session
from samcli.cli.types import CfnParameterOverridesType

from gatehouse_local import ROOT, runtime_api
from gatehouse_local.aws import operations
from gatehouse_local.codepipeline import Action, gate
from gatehouse_local.sam import Emulator
from template_checks.template import Deployed, load

README = (ROOT / "functions" / "pipelines" / "README.md").read_text()

# moto writes error codes that all services share, but warns that no model lists them.
pytestmark = pytest.mark.filterwarnings("ignore:.*does not match an error shape")


class Deployment:
    """A pipeline with a gate, and the function behind it."""

    def __init__(self, aws, binary):
        self.aws = aws
        self.path = binary("pipeline-health-gate")
        self.pipeline = None

    def start(self, user_parameters=None):
        """A deployment that has come to the gate."""
        stages = {"Production": [gate(user_parameters), Action("Deploy")]}
        self.pipeline = self.aws.codepipeline.create("web", stages)
        self.aws.codepipeline.start(self.pipeline)

    def answer(self, **settings):
        """Invokes the function with the next job; what it answered, logged and did."""
        event = self.aws.codepipeline.next_job()
        assert event is not None, "there is no job"
        return self.invoke(event, **settings)

    def invoke(self, event, **settings):
        env = runtime_api.environment({"AWS_ENDPOINT_URL": self.aws.url} | settings)
        return runtime_api.invoke_once(self.path, env, event)

    @property
    def run(self):
        """The gate's latest run."""
        return self.pipeline.latest("Production", "HealthGate")

    @property
    def status(self):
        """Of the gate and of its stage."""
        return self.run.status, self.pipeline.stage("Production").status

    @property
    def asked(self):
        """The Regions of each filter that AWS Health was asked with."""
        return [call.params["filter"]["regions"] for call in self.aws.calls if call.operation == "DescribeEvents"]


@pytest.fixture
def deployment(aws, binary):
    return Deployment(aws, binary)


def metrics(outcome):
    """The embedded metrics of an invocation, by name."""
    (record,) = [record for record in outcome.records if "_aws" in record]
    names = [metric["Name"] for metric in record["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
    return {name: record[name] for name in names}


def test_a_healthy_region_passes(deployment):
    deployment.aws.health.open("EC2", "eu-west-1")  # elsewhere
    deployment.start()
    outcome = deployment.answer()
    assert outcome.payload["verdict"] == "pass"
    assert deployment.status == ("Succeeded", "Succeeded")
    message = "[health-gate] no open event affects this stage in us-east-1, global"
    expected = {"message": message, "openEvents": "0", "checked": "true", "checkedRegions": "us-east-1,global"}
    assert deployment.run.variables == expected
    assert deployment.run.summary == message
    assert metrics(outcome) == {"OpenEvents": 0, "Blocked": 0, "HealthCalls": 1, "UnknownHealth": 0}
    assert operations(deployment.aws.calls) == {"DescribeEvents": 1, "PutJobSuccessResult": 1}


def test_what_the_console_shows_of_many_issues(deployment):
    """CodePipeline takes 5,000 characters: whole lines, newest first, and how many are left out."""
    arns = [deployment.aws.health.open("EC2") for _ in range(230)]
    deployment.start()
    outcome = deployment.answer()
    assert deployment.status == ("Failed", "Failed")
    assert metrics(outcome) == {"OpenEvents": 230, "Blocked": 1, "HealthCalls": 3, "UnknownHealth": 0}
    first, *lines, last = deployment.run.error["message"].splitlines()
    assert first.startswith("[health-gate] 230 AWS Health events in us-east-1, global: the stage fails.")
    assert all(line.startswith("- EC2 in us-east-1: AWS_EC2_OPERATIONAL_ISSUE, open since ") for line in lines)
    assert {line.rpartition(", ")[2] for line in lines} <= set(arns)
    assert last == f"- and {230 - len(lines)} more"
    assert 4_500 < len(deployment.run.error["message"]) <= 5_000


def test_a_stage_waits_with_a_token_until_the_issue_is_over(deployment):
    issue = deployment.aws.health.open()
    deployment.start('{"wait_minutes": 60}')
    outcome = deployment.answer()
    assert (outcome.payload["verdict"], metrics(outcome)["Blocked"]) == ("wait", 1)
    assert deployment.status == ("InProgress", "InProgress")
    assert deployment.run.percent == 0
    assert "the stage waits (0 of 60 minutes waited)" in deployment.run.summary
    assert issue in deployment.run.summary

    event = later(deployment.aws.codepipeline.next_job(), minutes=12)
    assert deployment.invoke(event).payload["verdict"] == "wait"
    assert deployment.run.percent == 20
    assert "(12 of 60 minutes waited)" in deployment.run.summary

    deployment.aws.health.close(issue)
    outcome = deployment.answer()
    assert outcome.payload["verdict"] == "pass"
    assert deployment.status == ("Succeeded", "Succeeded")
    assert "(12 of 60 minutes waited)" in deployment.run.variables["message"]
    assert [run.action for run in deployment.pipeline.runs] == ["HealthGate", "Deploy"]


def test_people_are_notified_once_when_a_stage_begins_to_wait(deployment):
    topic = deployment.aws.client("sns").create_topic(Name="people")["TopicArn"]
    issue = deployment.aws.health.open()
    deployment.start('{"wait_minutes": 60}')
    deployment.answer(NOTIFY_TOPIC_ARN=topic)
    (published,) = [call.params for call in deployment.aws.calls if call.operation == "Publish"]
    assert published["Subject"] == "Gatehouse pipelines: a stage waits at the health gate"
    assert issue in published["Message"]
    assert deployment.run.external_id in published["Message"], "the console shows it"
    # The report is in the log before anything is mailed, and the job is answered.
    assert [call.operation for call in deployment.aws.calls][-2:] == ["PutJobSuccessResult", "Publish"]

    event = later(deployment.aws.codepipeline.next_job(), minutes=12)
    assert deployment.invoke(event, NOTIFY_TOPIC_ARN=topic).payload["verdict"] == "wait"
    assert operations(deployment.aws.calls)["Publish"] == 1


def test_a_notification_that_fails_is_sent_when_lambda_runs_the_event_again(deployment):
    topic = deployment.aws.client("sns").create_topic(Name="people")["TopicArn"]
    deployment.aws.health.open()
    deployment.aws.disturb("refuse", operation="Publish", code="AuthorizationError")
    deployment.start('{"wait_minutes": 60}')
    event = deployment.aws.codepipeline.next_job()
    env = runtime_api.environment({"AWS_ENDPOINT_URL": deployment.aws.url, "NOTIFY_TOPIC_ARN": topic})
    with runtime_api.RuntimeApi([str(deployment.path)], env) as function:
        outcome = function.invoke(event)
        again = [function.invoke(event) for _ in range(2)]
    assert outcome.error_type == "Notify"
    (failure,) = [record for record in outcome.records if "errorType" in record]
    assert failure["errorType"] == "Notify" and "AuthorizationError" in failure["error"]
    assert deployment.status == ("InProgress", "InProgress"), "the job is answered"
    assert [it.payload["outcome"] for it in again] == ["answered_before"] * 2
    published = [call.error for call in deployment.aws.calls if call.operation == "Publish"]
    assert published[-1] is None and published.count(None) == 1


def test_a_job_that_is_delivered_to_two_processes_notifies_once(deployment):
    topic = deployment.aws.client("sns").create_topic(Name="people")["TopicArn"]
    deployment.aws.health.open()
    deployment.start('{"wait_minutes": 60}')
    event = deployment.aws.codepipeline.next_job()
    outcomes = [deployment.invoke(event, NOTIFY_TOPIC_ARN=topic).payload["outcome"] for _ in range(2)]
    assert outcomes == ["answered", "answered_before"]
    assert operations(deployment.aws.calls)["Publish"] == 1


def test_a_region_and_a_service_that_nobody_knows_are_named(deployment):
    deployment.aws.health.page_size = 1
    deployment.start('{"regions": "us-east-1,eu-west-9", "services": "EC2,LAMBDA,EC22", "on_unfamiliar": "warn"}')
    outcome = deployment.answer()
    message = outcome.payload["message"]
    assert outcome.payload["verdict"] == "pass"
    assert message.endswith("nothing is found for it: Region eu-west-9, service EC22; check the spelling")
    assert outcome.payload["checked_regions"] == ["us-east-1", "global"]
    assert operations(deployment.aws.calls)["DescribeEventTypes"] == 2


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ('{"regions": ["eu-wset-1", "-global"]}', "Region eu-wset-1"),
        ('{"services": ["ECC2", "-MULTIPLE_SERVICES"]}', "service ECC2"),
    ],
)
def test_a_name_that_does_not_exist_is_a_fault_of_the_settings(deployment, parameters, named):
    deployment.aws.health.open("EC2")
    deployment.start(parameters)
    outcome = deployment.answer()
    assert deployment.run.error["code"] == "ConfigurationError"
    start = f"[health-gate:setup] not known in this partition: {named}. "
    assert deployment.run.error["message"].startswith(start)
    assert (outcome.payload["checked"], outcome.payload["checked_regions"]) == (False, [])


def test_the_commands_of_the_readme_let_one_execution_pass_and_take_it_back(deployment):
    readme = (ROOT / "functions/pipelines/README.md").read_text()
    commands = [
        shlex.split(line) for line in readme.splitlines() if "IgnoreEventArns=" in line and "sam deploy" in line
    ]
    issue = deployment.aws.health.open()
    verdicts = []
    for command in (None, *commands):
        overrides = tuple(it.replace("<ARN>", issue) for it in command or [] if it.startswith("IgnoreEventArns="))
        parameters = CfnParameterOverridesType().convert(overrides, None, None)
        function = Deployed(load("functions/pipelines/template.yaml"), **parameters).properties(
            "PipelineHealthGateFunction"
        )
        variables = function["Environment"]["Variables"]
        deployment.start()
        outcome = deployment.answer(**{key: it for key, it in variables.items() if key == "IGNORE_EVENT_ARNS"})
        verdicts.append(outcome.payload["verdict"])
    assert verdicts == ["fail", "pass", "fail"]


def test_all_services_but_those_of_large_outages(deployment):
    deployment.aws.health.open("MULTIPLE_SERVICES")
    deployment.start('{"services": "-MULTIPLE_SERVICES"}')
    assert deployment.answer().payload["verdict"] == "pass"
    deployment.start()
    assert deployment.answer().payload["verdict"] == "fail"


def test_the_report_is_logged_as_fields_and_debug_lines_when_asked_for(deployment):
    deployment.start()
    outcome = deployment.answer()
    (record,) = [record for record in outcome.records if record.get("message") == "report"]
    assert record["report"] == outcome.payload
    debug = "asking AWS Health"
    assert debug not in [record.get("message") for record in outcome.records]
    deployment.start()
    assert debug in [record.get("message") for record in deployment.answer(DEBUG="true").records]


def test_a_wait_that_is_over_fails_the_stage(deployment):
    deployment.aws.health.open()
    deployment.start()
    deployment.answer(WAIT_MINUTES="60")
    event = later(deployment.aws.codepipeline.next_job(), minutes=60)
    assert deployment.invoke(event, WAIT_MINUTES="60").payload["verdict"] == "fail"
    assert deployment.status == ("Failed", "Failed")
    assert "the stage fails (60 of 60 minutes waited)" in deployment.run.error["message"]


def later(event, minutes):
    """The event as if the gate had given its continuation token so many minutes before."""
    data = event["CodePipeline.job"]["data"]
    token = json.loads(data["continuationToken"])
    data["continuationToken"] = json.dumps(token | {"started": token["started"] - minutes * 60})
    return event


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("cut", "AWS Health cannot be reached"),
        ("server-error", "AWS Health cannot be reached"),
        ("throttle", "AWS Health throttled every attempt"),
    ],
)
def test_health_that_does_not_answer_blocks(deployment, kind, reason):
    deployment.aws.disturb(kind, service="health", times=None)
    deployment.start()
    outcome = deployment.answer()
    assert deployment.run.error["code"] == "SystemUnavailable"
    assert deployment.run.error["message"].startswith("[health-gate] the stage fails")
    assert reason in deployment.run.error["message"]
    assert "ON_UNKNOWN=allow" in deployment.run.error["message"]
    assert metrics(outcome)["UnknownHealth"] == 1


def test_health_that_does_not_answer_lets_pass_where_that_is_set(deployment):
    deployment.aws.disturb("cut", service="health", times=None)
    deployment.start('{"on_unknown": "allow"}')
    outcome = deployment.answer()
    assert outcome.payload["verdict"] == "pass"
    assert deployment.status == ("Succeeded", "Succeeded")
    variables = deployment.run.variables
    assert "the stage passes unchecked, because ON_UNKNOWN is allow" in variables["message"]
    assert (variables["checked"], variables["checkedRegions"]) == ("false", "")
    assert metrics(outcome)["UnknownHealth"] == 1


def test_an_account_without_a_support_plan(deployment):
    deployment.aws.health.subscribed = False
    deployment.start()
    deployment.answer()
    assert deployment.run.error["code"] == "PermissionError"
    assert deployment.run.error["message"].startswith("[health-gate:setup] ")
    for part in ("SubscriptionRequiredException", "Enterprise On-Ramp", "Business Support+", "ON_UNKNOWN=allow"):
        assert part in deployment.run.error["message"]


@pytest.mark.parametrize(
    ("user_parameters", "named"),
    [
        ('{"regoins": ["eu-west-1"]}', 'regoins is "eu-west-1": unknown key; did you mean regions?'),
        ("eu-west-1, somewhere", 'regions is "somewhere": expected a Region such as eu-west-1'),
        ('{"regions": ', "expected a JSON object, or a list of Regions"),
    ],
)
def test_bad_user_parameters_are_named(deployment, user_parameters, named):
    deployment.start(user_parameters)
    outcome = deployment.answer()
    assert not outcome.failed
    assert deployment.run.error["code"] == "ConfigurationError"
    assert named in deployment.run.error["message"]
    assert deployment.asked == []


def test_bad_settings_of_the_function_answer_the_job_too(deployment):
    deployment.start()
    outcome = deployment.answer(CATEGORIES="issues")
    assert not outcome.failed
    assert deployment.run.error["code"] == "ConfigurationError"
    assert deployment.run.error["message"].startswith("[health-gate:setup] invalid settings: ")
    assert 'CATEGORIES is "issues": expected issue, ' in deployment.run.error["message"]
    assert "environment of the function" in deployment.run.error["message"]


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, {"operations", "billing"}),
        ({"PERSONAS": "OPERATIONS"}, {"operations"}),
        ({"PERSONAS": "SECURITY"}, set()),
        ({"PERSONAS": "BILLING,OPERATIONS", "ACTIONABILITIES": "ACTION_REQUIRED"}, {"billing"}),
    ],
)
def test_events_for_other_people_or_for_information_can_be_left_out(deployment, settings, found):
    open_one = deployment.aws.health.open
    arns = {
        "operations": open_one(personas=["OPERATIONS"], actionability="INFORMATIONAL"),
        "billing": open_one(personas=["BILLING"], actionability="ACTION_REQUIRED"),
    }
    deployment.start()
    assert deployment.answer(**settings).payload["open_events"] == len(found)
    message = deployment.run.error["message"] if found else ""
    assert {name for name, arn in arns.items() if arn in message} == found


@pytest.mark.parametrize("kind", ["cut", "lost-reply", "server-error", "throttle"])
def test_health_that_stumbles_once_is_asked_again(deployment, kind):
    deployment.aws.health.open()
    deployment.aws.disturb(kind, service="health", times=1)
    deployment.start()
    assert deployment.answer().payload["open_events"] == 1
    assert deployment.run.error["code"] == "JobFailed"
    assert operations(deployment.aws.calls) == {"DescribeEvents": 2, "PutJobFailureResult": 1}


@pytest.mark.parametrize(
    ("operation", "kind"),
    [("PutJobSuccessResult", "lost-reply"), ("PutJobFailureResult", "lost-reply"), ("PutJobFailureResult", "cut")],
)
def test_an_answer_that_does_not_arrive_is_given_again(deployment, operation, kind):
    """The job has exactly one answer, and the function does not fail: CodePipeline would invoke it again."""
    if operation == "PutJobFailureResult":
        deployment.aws.health.open()
    deployment.aws.disturb(kind, operation=operation, times=1)
    deployment.start()
    outcome = deployment.answer()
    assert not outcome.failed, outcome.payload
    expected = "Succeeded" if operation == "PutJobSuccessResult" else "Failed"
    assert deployment.status == (expected, expected)
    assert outcome.payload["outcome"] == "answered"
    assert operations(deployment.aws.calls)[operation] == 2


def test_a_job_that_was_answered_before_is_no_error(deployment):
    deployment.start()
    event = deployment.aws.codepipeline.next_job()
    assert deployment.invoke(event).payload["outcome"] == "answered"
    outcome = deployment.invoke(event)
    assert (outcome.failed, outcome.payload["outcome"]) == (False, "answered_before")
    assert deployment.status == ("Succeeded", "Succeeded")


def test_health_that_hangs_is_answered_before_the_deadline(deployment, monkeypatch):
    monkeypatch.setattr(runtime_api, "FUNCTION_TIMEOUT", 8)
    deployment.aws.disturb("hang", service="health", times=None)
    deployment.start()
    outcome = deployment.answer()
    assert not outcome.failed
    assert deployment.run.error["code"] == "SystemUnavailable"
    assert "had not answered in full when the function's time was up" in deployment.run.error["message"]
    assert outcome.seconds < 8 - 3


def test_an_open_issue_counts_though_another_call_hangs(deployment, monkeypatch):
    monkeypatch.setattr(runtime_api, "FUNCTION_TIMEOUT", 8)
    regions = Session().get_available_regions("ec2")[:11]
    issues = [deployment.aws.health.open("EC2", region) for region in (regions[0], regions[-1])]
    deployment.aws.disturb("hang", service="health", times=1)
    deployment.start(json.dumps({"regions": regions, "on_unknown": "allow"}))
    deployment.answer()
    assert deployment.run.error["code"] == "JobFailed"
    assert "(perhaps more: " in deployment.run.error["message"]
    assert sum(issue in deployment.run.error["message"] for issue in issues) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="AWS's runtime interface emulator runs on Linux")
def test_the_gate_behind_the_emulator_of_aws(deployment):
    issue = deployment.aws.health.open()
    deployment.start()
    env = runtime_api.environment({"AWS_ENDPOINT_URL": deployment.aws.url})
    with Emulator(deployment.path, env) as function:
        assert function.invoke(deployment.aws.codepipeline.next_job()).payload["outcome"] == "answered"
        outcome = function.invoke({"Records": []})
    assert issue in deployment.run.error["message"]
    assert (outcome.failed, outcome.error_type) == (True, "InvalidEvent")


@pytest.mark.parametrize("has_job", [True, False])
def test_the_gate_as_a_rule_of_an_entry_condition(deployment, has_job):
    """AWS does not document whether a rule has a job: either way the stage is held, and a person overrides that."""
    codepipeline = deployment.aws.codepipeline

    def check():
        if has_job:
            return deployment.answer()
        outcome = deployment.invoke(codepipeline.next_rule())
        codepipeline.finish_rule(deployment.pipeline, "Production", outcome.error_message if outcome.failed else None)
        return outcome

    rules = {"Production": gate('{"regions": "us-east-1"}')}
    deployment.pipeline = codepipeline.create("web", {"Production": [Action("Deploy")]}, entry_rules=rules)
    issue = deployment.aws.health.open()
    execution_id = codepipeline.start(deployment.pipeline)
    outcome = check()
    assert (outcome.failed, outcome.error_type) == ((False, None) if has_job else (True, "Blocked"))
    stage = deployment.pipeline.stage("Production")
    assert (stage.status, stage.entry_condition) == ("Failed", "Failed")
    assert issue in stage.latest.entry_run.error["message"]
    assert deployment.pipeline.runs == []

    (command,) = [line for line in README.splitlines() if line.startswith("aws codepipeline override-stage-condition ")]
    words = shlex.split(command.replace("<pipeline>", "web").replace("<stage>", "Production"))
    assert words[:3] == ["aws", "codepipeline", "override-stage-condition"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options.pop("--pipeline-execution-id") == "<execution-id>"
    members = {"--pipeline-name": "pipelineName", "--stage-name": "stageName", "--condition-type": "conditionType"}
    parameters = {members[option]: value for option, value in options.items()}
    client = deployment.aws.client("codepipeline")
    client.override_stage_condition(pipelineExecutionId=execution_id, **parameters)
    assert (stage.status, stage.entry_condition) == ("Succeeded", "Overridden")
    assert [run.status for run in deployment.pipeline.runs] == ["Succeeded"]

    deployment.aws.health.reset()
    codepipeline.start(deployment.pipeline)
    assert not check().failed
    assert (stage.status, stage.entry_condition) == ("Succeeded", "Succeeded")
