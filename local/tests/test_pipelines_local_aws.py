"""The local AWS Health and CodePipeline themselves: what they admit, what they refuse, and what follows from what."""

import json
import urllib.error
import urllib.request
import uuid
from datetime import timedelta

import boto3
import botocore.config
import botocore.exceptions
import botocore.parsers
import botocore.serialize
import pytest

from gatehouse_local.codepipeline import Action, gate
from gatehouse_local.wire import service_model

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def health(aws):
    return aws.client("health")


@pytest.fixture
def codepipeline(aws):
    return aws.client("codepipeline")


@pytest.fixture
def pipeline(aws):
    stages = {"Source": [Action("Fetch", "S3")], "Production": [gate(), Action("Deploy")]}
    return aws.codepipeline.create("web", stages)


def refused(call, *args, **kwargs):
    """The code and the message with which a call is refused."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(*args, **kwargs)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def job_id(event):
    return event["CodePipeline.job"]["id"]


def fail(codepipeline, job, message="no"):
    details = {"type": "JobFailed", "message": message}
    codepipeline.put_job_failure_result(jobId=job_id(job), failureDetails=details)


def statuses(codepipeline):
    """The status of each stage and of each action in it, as GetPipelineState has them."""
    state = codepipeline.get_pipeline_state(name="web")
    return {
        stage["stageName"]: (
            stage.get("latestExecution", {}).get("status"),
            {action["actionName"]: action.get("latestExecution", {}).get("status") for action in stage["actionStates"]},
        )
        for stage in state["stageStates"]
    }


def retry(codepipeline, execution_id, mode="FAILED_ACTIONS", stage="Production", pipeline="web"):
    return codepipeline.retry_stage_execution(
        pipelineName=pipeline, stageName=stage, pipelineExecutionId=execution_id, retryMode=mode
    )


# AWS Health --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({}, "ec2 rds note old"),
        ({"regions": ["us-east-1"]}, "ec2 note old"),
        ({"regions": ["us-east-1", "eu-west-1"], "services": ["RDS"]}, "rds"),
        ({"eventTypeCategories": ["issue"], "eventStatusCodes": ["open"]}, "ec2 rds"),
        ({"eventStatusCodes": ["closed"]}, "old"),
        ({"eventTypeCodes": ["AWS_EC2_NOTICE"]}, "note"),
        ({"personas": ["BILLING"]}, ""),
        ({"personas": ["BILLING", "SECURITY"]}, "ec2"),
    ],
)
def test_events_are_found_by_the_filter(aws, health, condition, expected):
    names = {
        aws.health.open("EC2", "us-east-1", personas=["OPERATIONS", "SECURITY"]): "ec2",
        aws.health.open("RDS", "eu-west-1"): "rds",
        aws.health.open("EC2", eventTypeCategory="accountNotification", eventTypeCode="AWS_EC2_NOTICE"): "note",
        (old := aws.health.open("IAM")): "old",
    }
    aws.health.close(old)
    found = health.describe_events(filter=condition)["events"]
    assert " ".join(names[event["arn"]] for event in found) == expected


def test_pages_of_events_and_a_token_that_was_never_given_out(aws, health):
    arns = [aws.health.open() for _ in range(5)]
    aws.health.page_size = 2
    pages = list(health.get_paginator("describe_events").paginate())
    assert [len(page["events"]) for page in pages] == [2, 2, 1]
    assert [event["arn"] for page in pages for event in page["events"]] == arns
    assert refused(health.describe_events, nextToken="nonsense")[0] == "InvalidPaginationToken"


def test_the_services_that_are_known(aws, health):
    def services(**arguments):
        pages = health.get_paginator("describe_event_types").paginate(**arguments)
        return [kind["service"] for page in pages for kind in page["eventTypes"]]

    assert services(filter={"services": ["EC22", "LAMBDA", "EC2"]}) == ["EC2", "LAMBDA"]
    aws.health.page_size = 3
    assert len(services()) == 7


def test_a_public_event_is_delivered_to_a_backup_region_too(aws):
    arn = aws.health.open("EC2", "eu-west-1")
    here, backup = aws.health.eventbridge(arn), aws.health.eventbridge(arn, delivered_in="us-west-2")
    assert (here["region"], backup["region"]) == ("eu-west-1", "us-west-2")
    assert {event["detail"]["eventRegion"] for event in (here, backup)} == {"eu-west-1"}
    assert aws.health.eventbridge(aws.health.open("IAM", "global"))["region"] == "us-east-1"


@pytest.mark.parametrize("member", ["regions", "services"])
def test_a_filter_takes_ten_of_a_kind(health, member):
    values = [f"value-{number}" for number in range(11)]
    assert health.describe_events(filter={member: values[:10]})["events"] == []
    code, message = refused(health.describe_events, filter={member: values})
    assert code == "ValidationException"
    assert f"filter.{member}: 11 is more than the 10 that are allowed" in message


@pytest.mark.filterwarnings("ignore:.*does not match an error shape")
def test_without_a_support_plan(aws, health):
    aws.health.subscribed = False
    assert refused(health.describe_events)[0] == "SubscriptionRequiredException"


@pytest.mark.parametrize("protocol", ["smithy-rpc-v2-cbor", "json"])
def test_both_protocols_of_aws_health_are_spoken(aws, protocol):
    """The Rust SDK sends CBOR, boto3 JSON; both are written and read here by botocore."""
    arn = aws.health.open()
    operation = service_model("health").operation_model("DescribeEvents")
    serializer = botocore.serialize.create_serializer(protocol)

    def ask(condition):
        written = serializer.serialize_to_request({"filter": condition}, operation)
        scope = "AWS4-HMAC-SHA256 Credential=test/20260813/us-east-1/health/aws4_request"
        request = urllib.request.Request(
            aws.url + written["url_path"], written["body"], written["headers"] | {"Authorization": scope}
        )
        try:
            answer = urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            parts = {"status_code": answer.status, "headers": dict(answer.headers), "body": answer.read()}
        return botocore.parsers.create_parser(protocol).parse(parts, operation.output_shape)

    found = ask({"regions": ["us-east-1"]})["events"]
    assert [event["arn"] for event in found] == [arn]
    assert found[0]["startTime"] == pytest.approx(aws.health.events[arn]["startTime"], abs=timedelta(seconds=1))
    assert ask({"regions": ["eu-west-1"]})["events"] == []
    error = ask({"regions": [f"region-{number}" for number in range(11)]})["Error"]
    assert error["Code"] == "ValidationException"
    assert "filter.regions: 11 is more than the 10 that are allowed" in error["Message"]


# Jobs --------------------------------------------------------------------------------------------


def test_a_failed_job_fails_action_stage_and_execution(aws, codepipeline, pipeline):
    execution_id = aws.codepipeline.start(pipeline)
    assert statuses(codepipeline) == {
        "Source": ("Succeeded", {"Fetch": "Succeeded"}),
        "Production": ("InProgress", {"HealthGate": "InProgress", "Deploy": None}),
    }
    fail(codepipeline, aws.codepipeline.next_job(), "[health-gate] no")
    assert statuses(codepipeline)["Production"] == ("Failed", {"HealthGate": "Failed", "Deploy": None})
    assert pipeline.executions == {execution_id: "Failed"}

    state = codepipeline.get_pipeline_state(name="web")["stageStates"][1]["actionStates"][0]["latestExecution"]
    assert state["errorDetails"] == {"code": "JobFailed", "message": "[health-gate] no"}
    levels = [event["detail-type"].split()[1] for event in aws.codepipeline.events[-3:]]
    assert levels == ["Action", "Stage", "Pipeline"]
    assert {event["detail"]["state"] for event in aws.codepipeline.events[-3:]} == {"FAILED"}


def test_a_job_that_succeeds_lets_the_stage_go_on(aws, codepipeline, pipeline):
    execution_id = aws.codepipeline.start(pipeline)
    job = aws.codepipeline.next_job()
    codepipeline.put_job_success_result(jobId=job_id(job), outputVariables={"openEvents": "0"})
    assert statuses(codepipeline)["Production"] == ("Succeeded", {"HealthGate": "Succeeded", "Deploy": "Succeeded"})
    assert pipeline.executions == {execution_id: "Succeeded"}
    details = codepipeline.list_action_executions(pipelineName="web")["actionExecutionDetails"]
    assert [detail["actionName"] for detail in details] == ["Deploy", "HealthGate", "Fetch"]
    assert details[1]["output"]["outputVariables"] == {"openEvents": "0"}


def test_a_continuation_token_brings_another_job_of_the_same_action_execution(aws, codepipeline, pipeline):
    aws.codepipeline.start(pipeline)
    first = aws.codepipeline.next_job()
    assert "continuationToken" not in first["CodePipeline.job"]["data"]
    codepipeline.put_job_success_result(
        jobId=job_id(first), continuationToken="t-1", executionDetails={"summary": "waits", "percentComplete": 20}
    )
    second = aws.codepipeline.next_job()
    assert second["CodePipeline.job"]["data"]["continuationToken"] == "t-1"
    assert job_id(second) != job_id(first)
    state = codepipeline.get_pipeline_state(name="web")["stageStates"][1]["actionStates"][0]["latestExecution"]
    assert (state["status"], state["summary"], state["percentComplete"]) == ("InProgress", "waits", 20)
    assert len(codepipeline.list_action_executions(pipelineName="web")["actionExecutionDetails"]) == 2
    assert refused(fail, codepipeline, first)[0] == "InvalidJobStateException"
    fail(codepipeline, second)


def test_what_cannot_be_answered(aws, codepipeline, pipeline):
    aws.codepipeline.start(pipeline)
    job = aws.codepipeline.next_job()
    unknown = {"CodePipeline.job": {"id": NOBODY}}
    assert refused(fail, codepipeline, unknown)[0] == "JobNotFoundException"
    code, message = refused(fail, codepipeline, job, "x" * 5001)
    assert (code, "5001 is more than the 5000" in message) == ("ValidationException", True)
    code, _ = refused(codepipeline.put_job_success_result, jobId=job_id(job), outputVariables={"open events": "0"})
    assert code == "ValidationException"
    large = {"message": "x" * 122_880}
    code, _ = refused(codepipeline.put_job_success_result, jobId=job_id(job), outputVariables=large)
    assert code == "OutputVariablesSizeExceededException"
    fail(codepipeline, job)
    assert refused(fail, codepipeline, job)[0] == "InvalidJobStateException"
    assert refused(codepipeline.put_job_success_result, jobId=job_id(job))[0] == "InvalidJobStateException"


# Retries -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "again"), [("FAILED_ACTIONS", ["Deploy"]), ("ALL_ACTIONS", ["HealthGate"])])
def test_a_retry_runs_what_its_mode_says(aws, codepipeline, pipeline, mode, again):
    pipeline.stages[1].actions[1].fails = "disk full"
    execution_id = aws.codepipeline.start(pipeline)
    codepipeline.put_job_success_result(jobId=job_id(aws.codepipeline.next_job()))
    assert statuses(codepipeline)["Production"] == ("Failed", {"HealthGate": "Succeeded", "Deploy": "Failed"})
    before = len(pipeline.runs)
    assert retry(codepipeline, execution_id, mode)["pipelineExecutionId"] == execution_id
    assert [run.action for run in pipeline.runs[before:]] == again
    assert (aws.codepipeline.next_job() is None) == (mode == "FAILED_ACTIONS")


def test_a_retry_puts_the_stage_in_progress_again_with_a_new_job(aws, codepipeline, pipeline):
    execution_id = aws.codepipeline.start(pipeline)
    first = aws.codepipeline.next_job()
    fail(codepipeline, first)
    retry(codepipeline, execution_id)
    assert statuses(codepipeline)["Production"][0] == "InProgress"
    second = aws.codepipeline.next_job()
    assert job_id(second) != job_id(first)
    history = codepipeline.list_action_executions(pipelineName="web", filter={"pipelineExecutionId": execution_id})[
        "actionExecutionDetails"
    ]
    assert [(past["actionName"], past["status"]) for past in history] == [
        ("HealthGate", "InProgress"),
        ("HealthGate", "Failed"),
        ("Fetch", "Succeeded"),
    ]


def test_refused_retries(aws, codepipeline, pipeline):
    first = aws.codepipeline.start(pipeline)
    assert refused(retry, codepipeline, first)[0] == "StageNotRetryableException"
    fail(codepipeline, aws.codepipeline.next_job())
    assert refused(retry, codepipeline, first, pipeline="api")[0] == "PipelineNotFoundException"
    assert refused(retry, codepipeline, first, stage="Test")[0] == "StageNotFoundException"
    assert refused(retry, codepipeline, first, mode="SOME")[0] == "ValidationException"
    for code in ("ConflictException", "ConcurrentPipelineExecutionsLimitExceededException"):
        aws.disturb("refuse", operation="RetryStageExecution", code=code)
        loud = boto3.client(
            "codepipeline",
            region_name="us-east-1",
            endpoint_url=aws.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=botocore.config.Config(proxies={}),
        )
        assert refused(retry, loud, first)[0] == code
    second = aws.codepipeline.start(pipeline)
    assert refused(retry, codepipeline, first)[0] == "NotLatestPipelineExecutionException"
    fail(codepipeline, aws.codepipeline.next_job())
    retry(codepipeline, second)


# Execution modes ---------------------------------------------------------------------------------


def three(aws, mode):
    """Three executions of one pipeline, of which the first is at the gate."""
    stages = {"Source": [Action("Fetch", "S3")], "Production": [gate(), Action("Deploy")]}
    pipeline = aws.codepipeline.create("web", stages, mode=mode)
    return pipeline, [aws.codepipeline.start(pipeline) for _ in range(3)]


def at_the_gate(codepipeline):
    """The latest execution of the stage with its status, and those that wait in front of it."""
    stage = codepipeline.get_pipeline_state(name="web")["stageStates"][1]
    waiting = [it["pipelineExecutionId"] for it in stage.get("inboundExecutions", [])]
    assert (
        [stage["inboundExecution"]["pipelineExecutionId"]] == waiting[:1]
        if waiting
        else "inboundExecution" not in stage
    )
    return stage["latestExecution"]["pipelineExecutionId"], stage["latestExecution"]["status"], waiting


def listed(codepipeline):
    found = codepipeline.list_pipeline_executions(pipelineName="web")["pipelineExecutionSummaries"]
    return [(it["pipelineExecutionId"], it["status"], it["executionMode"]) for it in found]


def test_a_more_recent_execution_supersedes_the_one_that_waits(aws, codepipeline):
    _, (first, second, third) = three(aws, "SUPERSEDED")
    assert at_the_gate(codepipeline) == (first, "InProgress", [third])
    assert listed(codepipeline)[1] == (second, "Superseded", "SUPERSEDED")
    superseded = [it["detail"] for it in aws.codepipeline.events if it["detail"]["state"] == "SUPERSEDED"]
    assert [it["execution-id"] for it in superseded] == [second]
    fail(codepipeline, aws.codepipeline.next_job())
    assert at_the_gate(codepipeline) == (third, "InProgress", [])
    assert refused(retry, codepipeline, first)[0] == "NotLatestPipelineExecutionException"


def test_queued_executions_go_on_one_by_one_in_their_order(aws, codepipeline):
    _, (first, second, third) = three(aws, "QUEUED")
    assert at_the_gate(codepipeline) == (first, "InProgress", [second, third])
    fail(codepipeline, aws.codepipeline.next_job())  # which unlocks the stage
    assert at_the_gate(codepipeline) == (second, "InProgress", [third])
    assert refused(retry, codepipeline, first)[0] == "NotLatestPipelineExecutionException"
    for execution_id in (second, third):
        codepipeline.put_job_success_result(jobId=job_id(aws.codepipeline.next_job()))
        assert (execution_id, "Succeeded", "QUEUED") in listed(codepipeline)
    assert at_the_gate(codepipeline) == (third, "Succeeded", [])
    assert listed(codepipeline)[2] == (first, "Failed", "QUEUED")


def test_parallel_executions_do_not_wait_and_each_has_a_state_of_its_own(aws, codepipeline):
    pipeline, (first, second, third) = three(aws, "PARALLEL")
    assert at_the_gate(codepipeline) == (third, "InProgress", [])
    jobs = [aws.codepipeline.next_job() for _ in range(3)]
    fail(codepipeline, jobs[0], "[health-gate] no")
    codepipeline.put_job_success_result(jobId=job_id(jobs[1]))
    assert [it[:2] for it in listed(codepipeline)] == [(third, "InProgress"), (second, "Succeeded"), (first, "Failed")]
    assert at_the_gate(codepipeline) == (third, "InProgress", []), "one latest execution, as documented"
    retry(codepipeline, first)
    assert refused(retry, codepipeline, first)[0] == "StageNotRetryableException"
    assert refused(retry, codepipeline, third)[0] == "StageNotRetryableException"
    codepipeline.put_job_success_result(jobId=job_id(aws.codepipeline.next_job()))
    assert (first, "Succeeded", "PARALLEL") in listed(codepipeline)
    with pytest.raises(ValueError, match="no rollback"):
        aws.codepipeline.roll_back(pipeline, "Production")


@pytest.mark.parametrize(("mode", "enter"), [("SUPERSEDED", 1), ("QUEUED", 2), ("PARALLEL", 2)])
def test_a_disabled_transition_holds_executions_until_it_is_enabled(aws, codepipeline, pipeline, mode, enter):
    pipeline.mode = mode
    aws.codepipeline.disable_transition(pipeline, "Production", "freeze")
    started = [aws.codepipeline.start(pipeline) for _ in range(2)]
    assert aws.codepipeline.next_job() is None
    aws.codepipeline.enable_transition(pipeline, "Production")
    entered = list(pipeline.stage("Production").entered)
    waiting = pipeline.stage("Production").inbound
    assert entered + waiting == started[-enter:]
    assert bool(waiting) == (mode == "QUEUED")


def test_pages_of_the_executions(aws, codepipeline):
    _, started = three(aws, "QUEUED")
    aws.codepipeline.page_size = 2
    pages = list(codepipeline.get_paginator("list_pipeline_executions").paginate(pipelineName="web"))
    assert [len(page["pipelineExecutionSummaries"]) for page in pages] == [2, 1]
    ids = [it["pipelineExecutionId"] for page in pages for it in page["pipelineExecutionSummaries"]]
    assert ids == started[::-1]
    assert refused(codepipeline.list_pipeline_executions, pipelineName="api")[0] == "PipelineNotFoundException"


def test_pages_of_the_history(aws, codepipeline, pipeline):
    first = aws.codepipeline.start(pipeline)
    fail(codepipeline, aws.codepipeline.next_job())
    aws.codepipeline.start(pipeline)
    aws.codepipeline.page_size = 1
    pages = list(
        codepipeline.get_paginator("list_action_executions").paginate(
            pipelineName="web", filter={"pipelineExecutionId": first}
        )
    )
    assert [page["actionExecutionDetails"][0]["actionName"] for page in pages] == ["HealthGate", "Fetch"]
    listed = codepipeline.list_action_executions
    assert refused(listed, pipelineName="web", nextToken="x")[0] == "InvalidNextTokenException"
    unknown = {"pipelineExecutionId": str(uuid.uuid4())}
    assert refused(listed, pipelineName="web", filter=unknown)[0] == "PipelineExecutionNotFoundException"
    assert refused(codepipeline.get_pipeline_state, name="api")[0] == "PipelineNotFoundException"


def test_notifications_have_the_form_of_real_ones(aws, codepipeline, pipeline, real):
    """Names and types as in the messages that CodeStar Notifications sent; values are ours."""
    aws.codepipeline.start(pipeline)
    fail(codepipeline, aws.codepipeline.next_job(), "[health-gate] no")
    made = [aws.codepipeline.notification(event) for event in aws.codepipeline.events[-3:]]
    for notification, name in zip(
        made, ("action-failed-codedeploy", "stage-failed-4-actions", "pipeline-failed-4-actions"), strict=True
    ):
        sample = json.loads((real / "codepipeline" / f"body-codestar-{name}.json").read_text())
        assert notification["detailType"] == sample["detailType"]
        assert notification.keys() <= sample.keys()
        assert notification["detail"].keys() - {"start-time"} <= sample["detail"].keys()
        assert notification["additionalAttributes"].keys() == sample["additionalAttributes"].keys()


def test_a_rollback_is_an_execution_of_its_own_that_meets_the_gate_too(aws, codepipeline, pipeline):
    aws.codepipeline.start(pipeline)
    fail(codepipeline, aws.codepipeline.next_job())
    failed = codepipeline.get_pipeline_state(name="web")["stageStates"][1]["latestExecution"]
    rollback = aws.codepipeline.roll_back(pipeline, "Production")
    state = codepipeline.get_pipeline_state(name="web")["stageStates"][1]["latestExecution"]
    assert (failed["type"], state["type"]) == ("STANDARD", "ROLLBACK")
    assert (state["pipelineExecutionId"], state["status"]) == (rollback, "InProgress")
    codepipeline.put_job_success_result(jobId=job_id(aws.codepipeline.next_job()))
    assert pipeline.executions[rollback] == "Succeeded"


def test_a_job_says_which_execution_it_belongs_to_until_it_has_its_answer(aws, codepipeline, pipeline):
    execution_id = aws.codepipeline.start(pipeline)
    job = aws.codepipeline.next_job()
    context = codepipeline.get_job_details(jobId=job_id(job))["jobDetails"]["data"]["pipelineContext"]
    assert (context["pipelineName"], context["stage"]["name"]) == ("web", "Production")
    assert context["pipelineExecutionId"] == execution_id
    assert refused(codepipeline.get_job_details, jobId=NOBODY)[0] == "JobNotFoundException"
    fail(codepipeline, job)
    assert refused(codepipeline.get_job_details, jobId=job_id(job))[0] == "InvalidJobStateException"
