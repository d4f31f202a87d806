"""The pipelines capability and its example: the way of a failure to the retry, notifications, what is deployed."""

import copy
import json
import os
import re
import subprocess
import threading
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import NO_REAL

from gatehouse_local import ROOT
from gatehouse_local.cloudformation import parse
from template_checks.expansion import partition
from template_checks.pipeline_mails import change, mails, matches
from template_checks.policy import as_list, statements
from template_checks.template import ACCOUNT, Deployed, load

TOPIC = "arn:aws:sns:eu-west-1:111122223333:people"
NEEDED = {"HealthGateFunctionName": "gate", "NotificationTopicArn": TOPIC}

PIPELINES = "functions/pipelines/template.yaml"
EXAMPLE = "functions/pipelines/example-pipeline.yaml"
APP = "functions/pipelines/example-app/app.yaml"
FORWARDER = "functions/pipelines/health-forwarder.yaml"
REAL = ROOT.parent / "shared" / "real" / "codepipeline"


def real(name: str) -> dict:
    path = REAL / name
    if not path.exists():
        if os.environ.get("GATEHOUSE_REQUIRE_REAL") == "1":
            pytest.fail(f"{path} is missing")
        pytest.skip(NO_REAL)
    return json.loads(path.read_text())


# The README's snippets -------------------------------------------------------------------------


def snippets(language: str) -> list[str]:
    readme = (ROOT / "functions/pipelines/README.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)


@pytest.mark.lint
@pytest.mark.parametrize("is_rule", [False, True])
def test_what_the_readme_adds_to_a_pipeline_is_valid(is_rule):
    """In place of what the example has: an action of the gate, or a condition of a stage with the gate as its rule."""
    [snippet] = [parse(it) for it in snippets("yaml") if ("BeforeEntry" in it) == is_rule]
    example = copy.deepcopy(load(EXAMPLE))
    pipeline = next(it for it in example["Resources"].values() if it["Type"] == "AWS::CodePipeline::Pipeline")
    stages = {stage["Name"]: stage for stage in pipeline["Properties"]["Stages"]}
    if is_rule:
        [added] = snippet
        configuration = added["BeforeEntry"]["Conditions"][0]["Rules"][0]["Configuration"]
        stages[added["Name"]] |= added
    else:
        [added] = snippet
        configuration = added["Configuration"]
        stages["HealthGate"]["Actions"] = [added | {"Namespace": "HealthGate"}]
    assert json.loads(configuration["UserParameters"])["regions"]
    configuration["FunctionName"] = {"Ref": "HealthGateFunctionName"}
    import cfnlint.api  # takes seconds, which each process of a run side by side would spend
    from cfnlint.config import ManualArgs

    found = cfnlint.api.lint(json.dumps(example), config=ManualArgs(regions=["eu-west-1"]))
    assert [str(it) for it in found] == []


def test_the_terraform_of_the_readme_invokes_the_gate_with_the_rights_for_it():
    hcl2 = pytest.importorskip("hcl2", reason="python-hcl2 is not installed here: make packages")
    [snippet] = snippets("hcl")
    document = hcl2.loads(snippet)

    def plain(value: object) -> object:
        """Without what the parser adds: quotes around texts, comments."""
        if isinstance(value, dict):
            return {plain(key): plain(it) for key, it in value.items() if not key.startswith("__")}
        if isinstance(value, list):
            return [plain(it) for it in value]
        return value.strip('"') if isinstance(value, str) else value

    blocks = plain(document)
    [pipeline] = [it["aws_codepipeline"]["web"] for it in blocks["resource"] if "aws_codepipeline" in it]
    [[action]] = [stage["action"] for stage in pipeline["stage"]]
    assert [action[key] for key in ("category", "owner", "provider", "version")] == ["Invoke", "AWS", "Lambda", "1"]
    assert "data.aws_lambda_function.health_gate.function_name" in action["configuration"]["FunctionName"]
    asked = re.fullmatch(r"\$\{jsonencode\(\{(.*)\}\)\}", action["configuration"]["UserParameters"], re.DOTALL)[1]
    keys = set(re.findall(r"(\w+)\s*[=:]", re.sub(r'"[^"]*"', "", asked)))
    settings = {"".join(word.capitalize() for word in key.split("_")) for key in keys - {"label"}}
    assert {"Regions", "WaitMinutes"} <= settings <= load(PIPELINES)["Parameters"].keys()
    [output] = re.findall(r"# the output (\w+)", snippet)
    assert output in load(PIPELINES)["Outputs"]
    [policy] = [it["aws_iam_policy_document"] for it in blocks["data"] if "aws_iam_policy_document" in it]
    rights = [action for it in policy["ask_health_gate"]["statement"] for action in it["actions"]]
    assert rights == ["lambda:InvokeFunction", "lambda:ListFunctions"]


@pytest.mark.skipif(
    os.environ.get("GATEHOUSE_TERRAFORM") != "1",
    reason="terraform validate downloads the provider of AWS: install terraform, then set GATEHOUSE_TERRAFORM=1",
)
def test_terraform_takes_the_block_of_the_readme(tmp_path):
    [snippet] = snippets("hcl")
    comment = "  # name, role_arn, artifact_store and your stages; this one comes before the stage that deploys\n"
    assert comment in snippet
    (tmp_path / "main.tf").write_text(snippet.replace(comment, TERRAFORM_AROUND))
    for arguments in (("init", "-backend=false", "-input=false"), ("validate",)):
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=os.environ | {"CHECKPOINT_DISABLE": "1"},
        )
        assert done.returncode == 0, done.stdout + done.stderr


TERRAFORM_AROUND = """
  name     = "web"
  role_arn = "arn:aws:iam::111122223333:role/web-pipeline"

  artifact_store {
    location = "artifacts"
    type     = "S3"
  }

  stage {
    name = "Source"

    action {
      name             = "Source"
      category         = "Source"
      owner            = "AWS"
      provider         = "S3"
      version          = "1"
      output_artifacts = ["Source"]
      configuration    = { S3Bucket = "source", S3ObjectKey = "source.zip" }
    }
  }
"""


# From a failure to its retry ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "principal", "source"),
    [
        ("events", "events.amazonaws.com", "<StageFailedRule.Arn>"),
        ("notifications", "sns.amazonaws.com", "<NotificationTopic>"),
    ],
)
def test_one_source_feeds_the_retry_queue_and_only_it_is_admitted(trigger, principal, source):
    deployed = Deployed(load(PIPELINES), RetryTrigger=trigger)
    sources = {"StageFailedRule", "RetryQueueSubscription"} & deployed.resources.keys()
    assert sources == {"StageFailedRule" if trigger == "events" else "RetryQueueSubscription"}
    [admitted, tls, _] = deployed.properties("RetryQueuePolicy")["PolicyDocument"]["Statement"]
    assert admitted["Principal"] == {"Service": principal}
    assert admitted["Condition"] == {"ArnEquals": {"aws:SourceArn": source}}
    assert tls["Effect"] == "Deny"


def test_the_topic_hands_the_queue_failed_stages_and_nothing_else():
    subscription = Deployed(load(PIPELINES), RetryTrigger="notifications").properties("RetryQueueSubscription")
    assert subscription["RawMessageDelivery"] is False
    assert subscription["FilterPolicyScope"] == "MessageBody"
    wanted = subscription["FilterPolicy"]
    assert matches(wanted, real("body-codestar-stage-failed-4-actions.json"))
    for other in (
        "body-codestar-pipeline-failed-4-actions.json",
        "body-codestar-action-failed-codedeploy.json",
        "approvals-json-01-approval.json",
    ):
        assert not matches(wanted, real(other)), other
    succeeded = real("body-codestar-stage-failed-4-actions.json")
    succeeded["detail"]["state"] = "SUCCEEDED"
    assert not matches(wanted, succeeded)


def test_eventbridge_hands_the_queue_failed_stages_of_the_pipelines_given():
    def event(**changed: str) -> dict:
        detail = {"pipeline": "web", "execution-id": "1", "stage": "Production", "state": "FAILED", "version": 3.0}
        return {
            "source": "aws.codepipeline",
            "detail-type": "CodePipeline Stage Execution State Change",
            "detail": detail | changed,
        }

    of_any = Deployed(load(PIPELINES)).properties("StageFailedRule")
    of_two = Deployed(load(PIPELINES), Pipelines="web,api").properties("StageFailedRule")
    for rule in (of_any, of_two):
        assert [it["Arn"] for it in rule["Targets"]] == ["<RetryQueue.Arn>"]
        assert matches(rule["EventPattern"], event())
        assert not matches(rule["EventPattern"], event(state="SUCCEEDED"))
        action = event() | {"detail-type": "CodePipeline Action Execution State Change"}
        assert not matches(rule["EventPattern"], action)
    assert matches(of_any["EventPattern"], event(pipeline="other"))
    assert not matches(of_two["EventPattern"], event(pipeline="other"))


def test_a_failure_waits_and_is_handed_in_again_until_it_is_a_dead_letter():
    deployed = Deployed(load(PIPELINES), RetryDelaySeconds="300")
    queue, function = deployed.properties("RetryQueue"), deployed.properties("PipelineRetryFunction")
    assert queue["DelaySeconds"] == "300"
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == "<RetryDeadLetterQueue.Arn>"
    # The longest a message can be under way: its delay, and every attempt. Then it must still be there to be moved.
    longest = 900 + queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"]
    assert longest < queue["MessageRetentionPeriod"]
    [event] = function["Events"].values()
    assert event["Type"] == "SQS"
    assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    dead_letters = deployed.properties("RetryDeadLettersAlarm")["Dimensions"]
    assert dead_letters == [{"Name": "QueueName", "Value": "<RetryDeadLetterQueue.QueueName>"}]


def closed(**changed: str) -> dict:
    detail = {"statusCode": "closed", "eventTypeCategory": "issue", "service": "EC2", "eventRegion": "eu-west-1"}
    return {"source": "aws.health", "detail-type": "AWS Health Event", "detail": detail | changed}


def test_a_closed_issue_starts_the_retry_which_alone_notifies():
    assert "HealthClosedRule" not in Deployed(load(PIPELINES)).resources
    rule = Deployed(load(PIPELINES), Pipelines="web").properties("HealthClosedRule")
    # At once, and once more after the delay: AWS Health may tell the gate for minutes that the event is still open.
    assert [it["Arn"] for it in rule["Targets"]] == ["<PipelineRetryFunction.Arn>", "<RetryQueue.Arn>"]
    queue = Deployed(load(PIPELINES), Pipelines="web").properties("RetryQueuePolicy")["PolicyDocument"]
    assert "<HealthClosedRule.Arn>" in [
        it["Condition"].get("ArnEquals", {}).get("aws:SourceArn") for it in queue["Statement"]
    ]
    for kind in ("AWS Health Event", "AWS Health Abuse Event"):
        assert matches(rule["EventPattern"], closed() | {"detail-type": kind})
    assert not matches(rule["EventPattern"], closed(statusCode="open"))
    assert not matches(rule["EventPattern"], closed(eventTypeCategory="scheduledChange"))
    wide = Deployed(load(PIPELINES), Pipelines="web", Categories="issue,scheduledChange")
    assert matches(wide.properties("HealthClosedRule")["EventPattern"], closed(eventTypeCategory="scheduledChange"))


def test_the_rule_leaves_the_regions_to_the_gate():
    """us-west-2 gets the events of every Region, any Region those that the forwarder sends."""
    for region in ("eu-west-1", "us-west-2"):
        rule = Deployed(load(PIPELINES), region=region, Pipelines="web").properties("HealthClosedRule")
        for happened in ("eu-west-1", "us-west-2", "global"):
            assert matches(rule["EventPattern"], closed(eventRegion=happened)), (region, happened)


def forwarder(region: str = "us-west-2", **given: str) -> Deployed:
    return Deployed(load(FORWARDER), region=region, TargetRegion="eu-west-1", **given)


def test_the_forwarder_sends_the_closed_events_of_other_regions_to_the_bus_of_the_stack():
    rule = forwarder().properties("HealthClosedRule")
    for happened, passes in (("us-east-1", True), ("global", True), ("us-west-2", True), ("eu-west-1", False)):
        for kind in ("AWS Health Event", "AWS Health Abuse Event"):
            event = closed(eventRegion=happened) | {"detail-type": kind}
            assert matches(rule["EventPattern"], event) == passes, (happened, kind)
    assert not matches(rule["EventPattern"], closed(eventRegion="us-east-1", statusCode="open"))
    # What the stack's rule admits, of whatever categories, reaches it.
    stack = Deployed(load(PIPELINES), region="eu-west-1", Pipelines="web").properties("HealthClosedRule")
    assert matches(stack["EventPattern"], closed(eventRegion="global"))
    assert stack["EventPattern"]["detail-type"] == rule["EventPattern"]["detail-type"]

    bus = f"arn:aws:events:eu-west-1:{ACCOUNT}:event-bus/default"
    [target] = rule["Targets"]
    assert (target["Arn"], target["RoleArn"]) == (bus, "<ForwardRole.Arn>")
    assert target["DeadLetterConfig"] == {"Arn": "<FailureQueue.Arn>"}
    [right] = statements(forwarder().properties("ForwardRole")["Policies"][0]["PolicyDocument"])
    assert (right["Action"], right["Resource"]) == ("events:PutEvents", bus)
    topic = "arn:aws:sns:us-west-2:111122223333:alarms"
    assert forwarder(AlarmTopicArn=topic).properties("FailureQueueAlarm")["AlarmActions"] == [topic]


@pytest.mark.parametrize(
    ("region", "target", "admitted"),
    [
        ("us-west-2", "eu-west-1", True),
        ("us-west-2", "us-west-2", False),
        ("eu-west-1", "us-east-1", False),
        ("cn-north-1", "cn-northwest-1", True),
    ],
)
def test_the_forwarder_is_refused_where_no_events_of_other_regions_arrive(region, target, admitted):
    partition = "aws-cn" if region.startswith("cn-") else "aws"
    deployed = Deployed(load(FORWARDER), region=region, partition=partition, TargetRegion=target)
    assert (deployed.refusals() == []) == admitted


@pytest.mark.parametrize("services", ["", "LAMBDA,S3", "EC2,-MULTIPLE_SERVICES", "-MULTIPLE_SERVICES"])
def test_the_rule_leaves_the_services_to_the_gate(services):
    """The retry acts only on the events that the gate's message names."""
    rule = Deployed(load(PIPELINES), Pipelines="web", Services=services).properties("HealthClosedRule")
    for service in ("EC2", "MULTIPLE_SERVICES"):
        assert matches(rule["EventPattern"], closed(service=service))


@pytest.mark.parametrize(
    ("parameter", "admitted", "refused"),
    [
        ("Services", ["-ABUSE", "EC2,-MULTIPLE_SERVICES", "-EC2,-RDS"], ["--EC2", "EC2,", "ec2"]),
        ("IgnoreEventTypeCodes", ["AWS_ABUSE_*", "AWS_EC2_OPERATIONAL_ISSUE,AWS_RDS_*"], ["*", "AWS_*_ISSUE"]),
        ("Actionabilities", ["ACTION_REQUIRED,INFORMATIONAL"], ["URGENT"]),
        ("Personas", ["OPERATIONS,SECURITY"], ["operations", "OPERATIONS, BILLING"]),
        ("OnUnfamiliar", ["fail", "warn"], ["ignore"]),
    ],
)
def test_the_patterns_admit_what_the_gate_accepts(parameter, admitted, refused):
    for value in admitted:
        Deployed(load(PIPELINES), **{parameter: value})
    for value in refused:
        with pytest.raises(ValueError, match=parameter):
            Deployed(load(PIPELINES), **{parameter: value})


def test_a_category_that_aws_does_not_support_is_not_offered():
    with pytest.raises(ValueError, match="Categories is 'investigation'"):
        Deployed(load(PIPELINES), Categories="investigation")


@pytest.mark.parametrize(
    ("partition", "pipelines", "allowed", "refused"),
    [
        ("aws", "web,api", ["web", "api"], ["other", "webs", "apis"]),
        ("aws", "", ["web", "other"], []),
        ("aws-us-gov", "web", ["web", "other"], []),
    ],
)
def test_the_retry_may_touch_the_pipelines_given(partition, pipelines, allowed, refused):
    deployed = Deployed(load(PIPELINES), partition=partition, Pipelines=pipelines)
    policies = deployed.properties("RetryRole")["Policies"]
    granted = {it["Sid"]: as_list(it["Resource"]) for it in statements(policies)}

    def admitted(sid: str, name: str) -> bool:
        arn = f"arn:{partition}:codepipeline:eu-west-1:{ACCOUNT}:{name}"
        return any(fnmatchcase(arn, pattern) for pattern in granted[sid])

    for name in allowed:
        assert admitted("ReadPipelines", name) and admitted("RetryStages", f"{name}/Production")
    for name in refused:
        assert not admitted("ReadPipelines", name) and not admitted("RetryStages", f"{name}/Production")
    assert not admitted("RetryStages", "web")
    regions = {
        it["Sid"]: it["Condition"]["StringEquals"]["aws:RequestedRegion"]
        for it in statements(policies)
        if any(action.startswith("codepipeline:") for action in as_list(it["Action"]))
    }
    assert regions == {"ReadPipelines": "eu-west-1", "RetryStages": "eu-west-1"}


# Notifications ---------------------------------------------------------------------------------------

# What README promises to tell of a pipeline, as the event and the start of its mail.
EVENT_TYPES = {
    "started": ("Pipeline", "STARTED", "Pipeline web in eu-west-1: STARTED"),
    "succeeded": ("Pipeline", "SUCCEEDED", "Pipeline web in eu-west-1: SUCCEEDED"),
    "resumed": ("Pipeline", "RESUMED", "Pipeline web in eu-west-1: RESUMED"),
    "failed": ("Invoke", "FAILED", "Pipeline web in eu-west-1: FAILED in stage Production, action Act: why"),
    "approval needed": (
        "Approval",
        "STARTED",
        "Pipeline web in eu-west-1: APPROVAL NEEDED in stage Production, action Act",
    ),
    "approved": (
        "Approval",
        "SUCCEEDED",
        "Pipeline web in eu-west-1: APPROVED in stage Production, action Act: why",
    ),
    "refused": (
        "Approval",
        "FAILED",
        "Pipeline web in eu-west-1: APPROVAL REFUSED OR TIMED OUT in stage Production, action Act: why",
    ),
}


def test_the_topic_signs_with_sha256_and_takes_messages_of_this_accounts_rules_only():
    deployed = Deployed(load(PIPELINES))
    topic = deployed.properties("NotificationTopic")
    assert topic["SignatureVersion"] == "2"
    assert "KmsMasterKeyId" not in topic
    [admitted, alarms, tls] = deployed.properties("NotificationTopicPolicy")["PolicyDocument"]["Statement"]
    assert admitted["Principal"] == {"Service": "events.amazonaws.com"}
    assert admitted["Condition"] == {"ArnLike": {"aws:SourceArn": f"arn:aws:events:eu-west-1:{ACCOUNT}:rule/*"}}
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert tls["Effect"] == "Deny"
    # Notification rules of one's own feed the retry only where they are asked to.
    [_, codestar, _, _] = Deployed(load(PIPELINES), RetryTrigger="notifications").properties("NotificationTopicPolicy")[
        "PolicyDocument"
    ]["Statement"]
    assert codestar["Principal"] == {"Service": "codestar-notifications.amazonaws.com"}
    assert codestar["Condition"] == {"StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT}}


def test_a_key_encrypts_the_topic_and_everybody_who_publishes_may_use_it():
    key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    deployed = Deployed(load(PIPELINES), NotificationKeyArn=key, Pipelines="web")
    assert deployed.properties("NotificationTopic")["KmsMasterKeyId"] == key
    users = set()
    for policy in deployed.of_type("AWS::IAM::Policy").values():
        for statement in statements(policy):
            if "kms:GenerateDataKey" in statement["Action"]:
                assert statement["Resource"] == key
                users |= set(policy["Properties"]["Roles"])
    assert users == {"<HealthGateRole>", "<RetryRole>"}


@pytest.mark.parametrize("topic", ["", TOPIC])
def test_the_pipeline_given_notifies_of_what_people_want_to_know(topic):
    assert not mails(Deployed(load(PIPELINES)), change("Pipeline", "STARTED"))
    deployed = Deployed(load(PIPELINES), NotifiedPipeline="web", NotifyTopicArn=topic)
    for name, (level, state, start) in EVENT_TYPES.items():
        [(to, text)] = mails(deployed, change(level, state))
        assert to == (topic or "<NotificationTopic>"), name
        assert text.startswith(start), name
        assert "e-1" in text and "https://eu-west-1.console.aws.amazon.com/codesuite/codepipeline/" in text, name
        assert not mails(deployed, change(level, state, pipeline="other")), name


@pytest.mark.parametrize("path", [PIPELINES, EXAMPLE])
def test_one_failure_is_one_mail(path):
    needed = {"NotifiedPipeline": "web"} if path == PIPELINES else NEEDED | {"AppName": "web"}
    deployed = Deployed(load(path), **needed)
    for category in ("Invoke", "Deploy", "Approval"):
        told = [mails(deployed, change(level, "FAILED")) for level in (category, "Stage", "Pipeline")]
        assert [len(it) for it in told] == [1, 0, 0], category


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "eu-west-1.console.aws.amazon.com"),
        ("cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
        ("eusc-de-east-1", "eusc-de-east-1.console.amazonaws-eusc.eu"),
    ],
)
@pytest.mark.parametrize("path", [PIPELINES, EXAMPLE])
def test_a_mail_links_to_the_console_of_its_partition(path, region, host):
    """As `shared/src/console.rs` does in the mails of the functions."""
    needed = {"NotifiedPipeline": "web"} if path == PIPELINES else NEEDED | {"AppName": "web"}
    deployed = Deployed(load(path), region=region, partition=partition(region), **needed)
    page = f"https://{host}/codesuite/codepipeline/pipelines/web/view?region={region}"
    found = [
        text.rsplit(" ", 1)[1]
        for level, state, _ in EVENT_TYPES.values()
        for _, text in mails(deployed, change(level, state) | {"region": region})
    ]
    assert found == [page] * (len(EVENT_TYPES) - (path == EXAMPLE))  # there the action itself asks for the approval


@pytest.mark.parametrize("path", [PIPELINES, EXAMPLE])
def test_no_template_needs_codestar_notifications(path):
    """The type is missing in 20 Regions, and its first rule in an account fails."""
    assert "CodeStarNotifications::" not in (ROOT / path).read_text()


def test_a_mail_that_cannot_be_delivered_is_kept():
    deployed = Deployed(load(PIPELINES), NotifiedPipeline="web")
    rules = {f"<{name}.Arn>" for name in deployed.of_type("AWS::Events::Rule")}
    admitted = set()
    for statement in deployed.properties("FailureQueuePolicy")["PolicyDocument"]["Statement"]:
        admitted |= set(as_list(statement["Condition"].get("ArnEquals", {}).get("aws:SourceArn", [])))
    assert rules <= admitted


@pytest.mark.parametrize("topic", ["", "arn:aws:sns:eu-west-1:111122223333:people"])
def test_both_functions_notify_one_topic_and_may(topic):
    deployed = Deployed(load(PIPELINES), NotifyTopicArn=topic)
    expected = topic or "<NotificationTopic>"
    for function, role in (("PipelineHealthGateFunction", "HealthGateRole"), ("PipelineRetryFunction", "RetryRole")):
        assert deployed.properties(function)["Environment"]["Variables"]["NOTIFY_TOPIC_ARN"] == expected
        granted = [
            it for it in statements(deployed.properties(role)["Policies"]) if "sns:Publish" in as_list(it["Action"])
        ]
        assert [it["Resource"] for it in granted] == [expected]


def test_the_retry_accepts_the_topic_that_can_reach_its_queue():
    assert "TopicArns" not in load(PIPELINES)["Parameters"]
    variables = Deployed(load(PIPELINES)).properties("PipelineRetryFunction")["Environment"]["Variables"]
    assert variables["TOPIC_ARNS"] == "<NotificationTopic>"


def test_failed_records_raise_an_alarm():
    """With partial batch responses the function succeeds, and AWS/Lambda Errors stays 0."""
    alarm = Deployed(load(PIPELINES)).properties("RetryFailedAlarm")
    assert (alarm["Namespace"], alarm["MetricName"]) == ("Gatehouse", "Failed")
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": "<PipelineRetryFunction>"}]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")


# Services that AWS documents to send aws:SourceAccount when they assume a role or publish.
SEND_SOURCE_ACCOUNT = {"cloudwatch.amazonaws.com", "codebuild.amazonaws.com", "events.amazonaws.com"}


@pytest.mark.parametrize("path", [PIPELINES, EXAMPLE])
def test_a_condition_on_the_source_account_does_not_lock_out_a_service_that_does_not_send_it(path):
    deployed = Deployed(load(path), **(NEEDED if path == EXAMPLE else {}))
    seen = set()
    for statement in statements(list(deployed.resources.values())):
        conditions = statement.get("Condition", {})
        service = (
            statement.get("Principal", {}).get("Service") if isinstance(statement.get("Principal"), dict) else None
        )
        for operator, keys in conditions.items():
            if "aws:SourceAccount" in keys:
                expected = "StringEquals" if service in SEND_SOURCE_ACCOUNT else "StringEqualsIfExists"
                assert operator == expected, service
                seen.add(service)
    assert seen == (
        {"cloudwatch.amazonaws.com"}
        if path == PIPELINES
        else {
            "cloudformation.amazonaws.com",
            "codebuild.amazonaws.com",
            "codepipeline.amazonaws.com",
            "events.amazonaws.com",
        }
    )


def test_a_mail_address_is_subscribed():
    assert "NotificationMail" not in Deployed(load(PIPELINES)).resources
    mail = Deployed(load(PIPELINES), NotifyEmail="people@example.com").properties("NotificationMail")
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", "people@example.com")


# The example pipeline -------------------------------------------------------------------------


def example(**parameters: str) -> Deployed:
    return Deployed(load(EXAMPLE), **NEEDED, **parameters)


def story(deployed: Deployed) -> list[str]:
    """Each action as `Stage: Provider Action`, in the order in which they run."""
    return [
        f"{stage['Name']}: {action['ActionTypeId']['Provider']} {action['Name']}"
        for stage in deployed.properties("Pipeline")["Stages"]
        for action in sorted(stage["Actions"], key=lambda action: action.get("RunOrder", 1))
    ]


def test_the_example_runs_in_the_order_it_promises():
    assert story(example()) == [
        "Source: S3 Source",
        "Build: CodeBuild Build",
        "PreProduction: CloudFormation Deploy",
        "PreProduction: CodeBuild Test",
        "HealthGate: Lambda HealthGate",
        "Approval: Manual Approve",
        "Production: Lambda HealthGate",
        "Production: CloudFormation Deploy",
        "Production: CodeBuild Test",
    ]
    assert example().properties("Pipeline")["PipelineType"] == "V2"


def test_the_example_takes_its_source_from_a_connection():
    connection = "arn:aws:codeconnections:eu-west-1:111122223333:connection/0a1b2c3d-0000-1111-2222-333344445555"
    deployed = example(ConnectionArn=connection, FullRepositoryId="owner/name")
    assert story(deployed)[0] == "Source: CodeStarSourceConnection Source"
    assert not {"SourceBucket", "SourceBucketPolicy", "SourceUploadedRule"} & deployed.resources.keys()
    assert [it["Resource"] for it in statements(deployed.resources["SourcePolicy"])] == [connection]


def actions_of(deployed: Deployed, provider: str) -> list[dict]:
    return [
        action
        for stage in deployed.properties("Pipeline")["Stages"]
        for action in stage["Actions"]
        if action["ActionTypeId"]["Provider"] == provider
    ]


def test_the_example_asks_the_gate_and_people_as_its_parameters_say():
    parameters = json.dumps({"regions": ["eu-west-1"], "wait_minutes": 5})
    deployed = example(HealthGateUserParameters=parameters, ApprovalTimeoutMinutes="60")
    for gate in actions_of(deployed, "Lambda"):
        assert gate["Configuration"] == {"FunctionName": "gate", "UserParameters": parameters}
    [approval] = actions_of(deployed, "Manual")
    assert approval["TimeoutInMinutes"] == "60"
    assert approval["Configuration"]["NotificationArn"] == TOPIC
    default = json.loads(load(EXAMPLE)["Parameters"]["HealthGateUserParameters"]["Default"])
    assert default == {"wait_minutes": 10, "label": "#{codepipeline.PipelineExecutionId}"}


def test_the_example_notifies_as_the_stack_does_but_for_the_request_that_the_approval_mails_itself():
    deployed = example(AppName="web")
    for name, (level, state, start) in EVENT_TYPES.items():
        made = mails(deployed, change(level, state))
        if name == "approval needed":
            assert not made
        else:
            [(to, text)] = made
            assert to == TOPIC and text.startswith(start), name


def test_the_parameters_of_the_gate_may_be_on_several_lines():
    example(HealthGateUserParameters='{\n  "wait_minutes": 5\n}\n')


def test_the_example_uses_only_variables_and_artifacts_that_an_earlier_action_makes():
    deployed = example()
    outputs = {
        "Build": set(parse(buildspec(deployed, "BuildProject"))["env"]["exported-variables"]),
        "PreProduction": load(APP)["Outputs"].keys(),
        "Production": load(APP)["Outputs"].keys(),
        "HealthGate": {"message", "openEvents", "checked", "checkedRegions"},
    }
    known = {"codepipeline.PipelineExecutionId"}
    artifacts: set[str] = set()
    used = 0
    for stage in deployed.properties("Pipeline")["Stages"]:
        for action in sorted(stage["Actions"], key=lambda action: action.get("RunOrder", 1)):
            text = json.dumps(action["Configuration"])
            for variable in [part.split("}")[0] for part in text.split("#{")[1:]]:
                assert variable in known, f"{action['Name']} uses {variable}"
                used += 1
            assert {it["Name"] for it in action.get("InputArtifacts", [])} <= artifacts
            artifacts |= {it["Name"] for it in action.get("OutputArtifacts", [])}
            namespace = action.get("Namespace")
            known |= {f"{namespace}.{name}" for name in outputs.get(namespace, ())}
    assert used >= 8


def test_the_example_deploys_a_template_with_the_parameters_it_has():
    app = load(APP)
    deploys = actions_of(example(), "CloudFormation")
    assert [it["Configuration"]["StackName"] for it in deploys] == [
        "gatehouse-example-preproduction",
        "gatehouse-example-production",
    ]
    for deploy in deploys:
        assert deploy["Configuration"]["TemplatePath"] == "Built::app.yaml"
        assert json.loads(deploy["Configuration"]["ParameterOverrides"]).keys() == app["Parameters"].keys()


def buildspec(deployed: Deployed, project: str) -> str:
    return deployed.properties(project)["Source"]["BuildSpec"]


def run(commands: list[str], folder: str, **variables: str) -> subprocess.CompletedProcess:
    """Runs the commands of a buildspec as CodeBuild does: one after the other, up to the first that fails."""
    script = "set -e\n" + "\n".join(commands)
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(
        ["/bin/sh", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


def test_the_build_names_the_version_after_the_content(tmp_path):
    phases = parse(buildspec(example(), "BuildProject"))["phases"]
    commands = [it for it in phases["build"]["commands"] if not it.startswith("cfn-lint")]
    (tmp_path / "app.yaml").write_bytes((ROOT / APP).read_bytes())
    done = run([*commands, 'printf %s "$VERSION"'], str(tmp_path))
    assert done.returncode == 0, done.stderr
    Deployed(load(APP), Version=done.stdout, RoleArn="arn:aws:iam::111122223333:role/app")
    assert len(done.stdout) == 12


@pytest.fixture
def application():
    """The example application behind HTTP on the loopback interface; yields its URL."""
    code: dict = {}
    source = load(APP)["Resources"]["Function"]["Properties"]["Code"]["ZipFile"]
    exec(compile(source, APP, "exec"), code)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = code["handler"]({"rawPath": self.path}, None)
            self.send_response(answer["statusCode"])
            self.end_headers()
            self.wfile.write(answer["body"].encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


@pytest.mark.parametrize(("expected", "passes"), [("0a1b2c3d4e5f", True), ("ffffffffffff", False)])
def test_the_tests_of_the_example_tell_the_right_version_from_a_wrong_one(
    application, monkeypatch, tmp_path, expected, passes
):
    monkeypatch.setenv("VERSION", "0a1b2c3d4e5f")
    commands = parse(buildspec(example(), "TestProject"))["phases"]["build"]["commands"]
    done = run(commands, str(tmp_path), URL=application, EXPECTED_VERSION=expected, PAUSE_SECONDS="0")
    assert (done.returncode == 0) is passes, done.stdout + done.stderr
    assert "attempt 1" in done.stdout


def test_the_tests_of_the_example_fail_where_nothing_answers(tmp_path):
    commands = parse(buildspec(example(), "TestProject"))["phases"]["build"]["commands"]
    nobody = {"URL": "http://127.0.0.1:9/", "EXPECTED_VERSION": "0a1b2c3d4e5f", "PAUSE_SECONDS": "0"}
    assert run(commands, str(tmp_path), **nobody).returncode != 0


def test_cloudformation_may_deploy_the_two_functions_of_the_example_and_no_other():
    [functions, role] = statements(example().properties("DeployRole")["Policies"])
    names = [f"gatehouse-example-{stage}" for stage in ("preproduction", "production")]
    assert functions["Resource"] == [f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{name}" for name in names]
    assert role["Action"] == "iam:PassRole"
    assert role["Resource"] == "<AppRole.Arn>"
    assert role["Condition"] == {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}


def test_every_role_of_the_example_is_narrowed():
    for parameters in ({}, {"ConnectionArn": "arn:aws:codeconnections:eu-west-1:111122223333:connection/0a"}):
        deployed = example(**parameters)
        for statement in statements(list(deployed.resources.values())):
            if statement["Effect"] != "Allow" or "Principal" in statement:
                continue
            if "*" in as_list(statement["Resource"]):
                assert statement["Action"] == "lambda:ListFunctions"
            assert not any(it.endswith("*") for it in as_list(statement["Action"])), statement["Sid"]
