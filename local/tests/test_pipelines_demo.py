"""The story of `make demo-pipelines`, step by step: an issue opens, a deployment waits it out and goes on by itself."""

import pytest

from gatehouse_local.aws import operations
from gatehouse_local.demo_pipelines import MAX_RETRIES, STAGE, Story

GATE = "HealthGate"


def runs(story):
    return [run.status for run in story.pipeline.runs if run.action == GATE]


def test_a_deployment_waits_an_issue_out(aws, web, binary):
    story = Story(aws, web, binary("pipeline-health-gate"), binary("pipeline-retry"))
    steps = story.play()

    assert next(steps) == "issue opens"
    (issue,) = aws.health.events
    assert aws.calls == []

    assert next(steps) == "deployment starts"
    assert [stage.status for stage in story.pipeline.stages] == ["Succeeded", "Succeeded", "InProgress"]
    (execution_id,) = story.pipeline.executions

    assert next(steps) == "gate fails"
    assert (story.stage_status, story.pipeline.executions[execution_id]) == ("Failed", "Failed")
    failed = story.pipeline.latest(STAGE, GATE)
    assert failed.error["code"] == "JobFailed"
    message = failed.error["message"]
    assert message.startswith("[health-gate] 1 AWS Health event in us-east-1, global: the stage fails")
    assert "EC2 in us-east-1: AWS_EC2_OPERATIONAL_ISSUE, open since 20" in message
    assert issue in message
    assert story.pipeline.latest(STAGE, "Deploy") is None

    assert next(steps) == "notice waits"
    assert story.retry_queue.queued == 1
    assert story.retry_queue.receive() is None, "the queue holds it back"

    assert next(steps) == "first retry"
    assert story.retry_queue.queued == 0
    assert [decision["reason"] for decision in story.decisions()] == [f"retry 1 of {MAX_RETRIES}, FAILED_ACTIONS"]
    assert (story.stage_status, runs(story)) == ("InProgress", ["Failed", "InProgress"])

    assert next(steps) == "gate fails again"
    assert (story.stage_status, runs(story)) == ("Failed", ["Failed", "Failed"])

    assert next(steps) == "issue closes"
    assert aws.health.events[issue]["statusCode"] == "closed"
    assert story.retry_queue.queued == 1

    assert next(steps) == "second retry"
    assert story.decisions()[-1]["outcome"] == "Retried"
    assert story.decisions()[-1]["reason"] == "the message of the failure names the closed event, FAILED_ACTIONS"
    assert story.retry_queue.queued == 1, "the notice of the second failure is not due yet"

    assert next(steps) == "gate passes"
    assert runs(story) == ["Failed", "Failed", "Succeeded"]
    assert story.pipeline.latest(STAGE, "Deploy").status == "Succeeded"
    assert (story.stage_status, story.pipeline.executions) == ("Succeeded", {execution_id: "Succeeded"})
    variables = story.pipeline.latest(STAGE, GATE).variables
    assert (variables["openEvents"], variables["checkedRegions"]) == ("0", "us-east-1,global")

    assert next(steps) == "late notice is skipped"
    assert story.decisions()[-1]["outcome"] == "Skipped"
    assert story.retry_queue.queued == 0
    with pytest.raises(StopIteration):
        next(steps)

    assert operations([call for call in aws.calls if call.writes]) == {
        "PutJobFailureResult": 2,
        "RetryStageExecution": 2,
        "Publish": 1,
        "PutJobSuccessResult": 1,
    }
    assert [call.error for call in aws.calls if call.error] == []
    seconds = [moment.seconds for moment in story.moments]
    assert seconds == sorted(seconds)
