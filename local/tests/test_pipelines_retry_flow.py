"""Whole flows of the retry: the real binary, SNS and SQS with real signatures, HTTPS, and CodePipeline."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from gatehouse_local import runtime_api, sns
from gatehouse_local.aws import operations
from gatehouse_local.codepipeline import FUNCTION_NAME, Action, gate
from gatehouse_local.retry_queue import RetryQueue
from gatehouse_local.runtime_api import RuntimeApi
from gatehouse_local.web import Page

# moto writes error codes that all services share, but warns that no model lists them.
pytestmark = pytest.mark.filterwarnings("ignore:.*does not match an error shape")

GATE_FAILED = "[health-gate] 1 AWS Health event in us-east-1, global: the stage fails"


def names(arn):
    """The gate's message where this event is open."""
    return f"{GATE_FAILED}\n- EC2 in us-east-1: AWS_EC2_OPERATIONAL_ISSUE, open since 2026-08-13T05:46:42Z, {arn}"


class Account:
    """Pipelines, the way of their notices, and the function at its end."""

    def __init__(self, aws, web, binary):
        self.aws, self.web = aws, web
        self.path = binary("pipeline-retry")
        self.retry_queue = RetryQueue(aws, web)
        self.people = aws.client("sns").create_topic(Name="people")["TopicArn"]
        self.client = aws.client("codepipeline")

    def pipeline(self, name="web", message=GATE_FAILED):
        """A pipeline whose execution has failed at the gate."""
        pipeline = self.aws.codepipeline.create(name, {"Production": [gate(), Action("Deploy")]})
        self.aws.codepipeline.start(pipeline)
        self.fail_gate(message)
        return pipeline

    def executions(self, mode, number):
        """A pipeline of this mode with so many executions, of which the first one is at the gate; and their ids."""
        pipeline = self.aws.codepipeline.create("web", {"Production": [gate(), Action("Deploy")]}, mode=mode)
        return pipeline, [self.aws.codepipeline.start(pipeline) for _ in range(number)]

    def pass_gate(self):
        """The gate answers the job that waits with success."""
        job = self.aws.codepipeline.next_job()["CodePipeline.job"]["id"]
        self.client.put_job_success_result(jobId=job)

    def fail_gate(self, message=GATE_FAILED):
        """The gate answers the job that waits with a failure."""
        job = self.aws.codepipeline.next_job()["CodePipeline.job"]["id"]
        self.client.put_job_failure_result(jobId=job, failureDetails={"type": "JobFailed", "message": message})

    def failure(self, level="Stage", pipeline="web"):
        """The latest event that tells of a failure."""
        wanted = f"CodePipeline {level} Execution State Change"
        return next(
            event
            for event in reversed(self.aws.codepipeline.events)
            if (event["detail-type"], event["detail"]["pipeline"]) == (wanted, pipeline)
            and event["detail"]["state"] == "FAILED"
        )

    def publish(self, *failures):
        """CodeStar Notifications publishes these failures."""
        self.retry_queue.publish(*(self.aws.codepipeline.notification(event) for event in failures))

    def process(self, **settings):
        defaults = {
            "AWS_ENDPOINT_URL": self.aws.url,
            "TOPIC_ARNS": self.retry_queue.topic_arn,
            "NOTIFY_TOPIC_ARN": self.people,
        }
        env = runtime_api.environment(defaults | self.web.environment | settings)
        return RuntimeApi([str(self.path)], env)

    def invoke(self, event, **settings):
        """One cold start and one event."""
        with self.process(**settings) as function:
            return function.invoke(event)

    def deliver(self, **settings):
        """One cold start for what is due in the queue."""
        outcome = self.retry_queue.deliver(lambda event: self.invoke(event, **settings))
        assert outcome is not None, "the queue is empty"
        return outcome

    @property
    def mails(self):
        """What was published."""
        return [call.params for call in self.aws.calls if call.operation == "Publish"]

    @property
    def retries(self):
        """The pipelines that the function asked to retry."""
        return [call.params["pipelineName"] for call in self.aws.calls if call.operation == "RetryStageExecution"]


@pytest.fixture
def account(aws, web, binary):
    return Account(aws, web, binary)


def status(pipeline):
    return pipeline.stage("Production").status


def decided(outcome):
    """What was decided, and why."""
    return [
        (record["outcome"], record.get("reason") or record["error"])
        for record in outcome.records
        if record.get("message") == "decided"
    ]


def failed_records(outcome):
    return [failure["itemIdentifier"] for failure in outcome.payload["batchItemFailures"]]


def test_a_notice_from_topic_and_queue_retries_the_stage(account):
    pipeline = account.pipeline()
    account.publish(account.failure("Action"), account.failure("Stage"), account.failure("Pipeline"))
    assert account.retry_queue.queued == 1, "the subscription takes the stage's failure alone"
    outcome = account.deliver()
    assert outcome.payload == {"batchItemFailures": []}
    assert decided(outcome) == [("Retried", "retry 1 of 5, FAILED_ACTIONS")]
    assert (status(pipeline), account.retry_queue.queued) == ("InProgress", 0)
    (fetched,) = account.web.requests
    assert fetched.startswith("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-")
    assert operations(account.aws.calls) == {
        "GetPipelineState": 1,
        "ListActionExecutions": 1,
        "RetryStageExecution": 1,
    }


def test_a_tampered_message_fails_alone(account):
    web, api = account.pipeline("web"), account.pipeline("api")
    account.publish(account.failure(pipeline="web"), account.failure(pipeline="api"))
    event = account.retry_queue.receive()
    body = json.loads(event["Records"][0]["body"])
    assert '"pipeline": "web"' in body["Message"]
    body["Message"] = body["Message"].replace('"state": "FAILED"', '"state": "FAILED" ')
    event["Records"][0]["body"] = json.dumps(body)
    outcome = account.invoke(event)
    assert failed_records(outcome) == [event["Records"][0]["messageId"]]
    (refused, _), retried = decided(outcome)
    assert (refused, retried[0]) == ("Failed", "Retried")
    (error,) = [record for record in outcome.records if "errorType" in record]
    assert (error["errorType"], error["level"]) == ("Refused", "ERROR")
    assert "the field Signature does not fit the message" in error["error"]
    assert (status(web), status(api), account.retries) == ("Failed", "InProgress", ["api"])


def test_a_topic_that_is_not_accepted_is_refused_before_anything_is_fetched(account):
    pipeline = account.pipeline()
    account.publish(account.failure())
    outcome = account.deliver(TOPIC_ARNS="arn:aws:sns:us-east-1:123456789012:another")
    assert len(failed_records(outcome)) == 1
    assert "TOPIC_ARNS" in decided(outcome)[0][1]
    assert (status(pipeline), account.aws.calls, account.web.requests) == ("Failed", [], [])


def test_the_same_message_twice_retries_once(account):
    pipeline = account.pipeline()
    account.publish(account.failure())
    event = account.retry_queue.receive()
    twice = {"Records": event["Records"] * 2}
    for delivery in (twice, event):
        assert failed_records(account.invoke(delivery)) == []
    assert account.retries == ["web"]
    assert [run.status for run in pipeline.runs] == ["Failed", "InProgress"]


def test_all_notices_of_one_failure_retry_once(account):
    """Wired to EventBridge and to CodeStar Notifications at once, action, stage and pipeline all arrive."""
    pipeline = account.pipeline()
    for level in ("Action", "Stage", "Pipeline"):
        account.retry_queue.send(json.dumps(account.failure(level)))
    account.publish(account.failure())
    outcome = account.deliver()
    assert failed_records(outcome) == []
    assert [kind for kind, _ in decided(outcome)] == ["Retried", "Skipped", "Skipped", "Skipped"]
    assert (status(pipeline), account.retries) == ("InProgress", ["web"])


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_topic_invokes_the_function_itself(account, version):
    pipeline = account.pipeline()
    account.web.serve(sns.CERTIFICATE_URL, Page(sns.certificate()))
    message = {
        "Type": "Notification",
        "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb01",
        "TopicArn": account.retry_queue.topic_arn,
        "Subject": None,
        "Message": json.dumps(account.aws.codepipeline.notification(account.failure())),
        "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    }
    signed = sns.sign(message, version)
    outcome = account.invoke(sns.lambda_event(signed | {"Subject": "forged"}))
    assert (outcome.error_type, status(pipeline)) == ("Refused", "Failed")
    outcome = account.invoke(sns.lambda_event(signed))
    assert [decision["outcome"] for decision in outcome.payload["decisions"]] == ["Retried"]
    assert (status(pipeline), account.web.requests) == ("InProgress", [sns.CERTIFICATE_URL] * 2)


@pytest.mark.parametrize("level", ["Action", "Stage", "Pipeline"])
def test_eventbridge_invokes_the_function_itself(account, level):
    pipeline = account.pipeline()
    outcome = account.invoke(account.failure(level))
    (decision,) = outcome.payload["decisions"]
    assert (decision["outcome"], decision["pipeline"], decision["stage"]) == ("Retried", "web", "Production")
    assert status(pipeline) == "InProgress"


def test_a_notification_without_its_envelope_is_refused_in_a_queue(account):
    """Raw message delivery would take the signature away."""
    pipeline = account.pipeline()
    account.retry_queue.send(json.dumps(account.aws.codepipeline.notification(account.failure())))
    outcome = account.deliver()
    assert len(failed_records(outcome)) == 1
    assert (status(pipeline), account.retry_queue.queued) == ("Failed", 1)


def test_the_budget_is_counted_over_all_pages_of_the_history(account):
    pipeline = account.pipeline()
    account.aws.codepipeline.page_size = 1
    for attempt in (1, 2):
        account.publish(account.failure())
        found = decided(account.deliver(MAX_RETRIES="2", RETRY_DELAY_SECONDS="0"))
        assert found == [("Retried", f"retry {attempt} of 2, FAILED_ACTIONS")]
        account.fail_gate()
    account.publish(account.failure())
    ((kind, reason),) = decided(account.deliver(MAX_RETRIES="2"))
    assert (kind, reason) == ("GaveUp", "failed 3 times, and MAX_RETRIES is 2")
    assert (status(pipeline), len(account.retries), account.retry_queue.queued) == ("Failed", 2, 0)


def test_the_end_of_the_retries_is_mailed_for_the_notice_of_the_stage(account):
    account.pipeline()
    account.publish(account.failure())
    event = account.retry_queue.receive()
    with account.process(MAX_RETRIES="0") as function:
        outcomes = [
            function.invoke(event),
            function.invoke(account.failure("Action")),
            function.invoke(account.failure("Pipeline")),
        ]
    assert [kind for outcome in outcomes for kind, _ in decided(outcome)] == ["GaveUp"] * 3
    (published,) = account.mails
    assert published["TopicArn"] == account.people
    assert published["Subject"] == "Gatehouse pipelines: stage Production of pipeline web is not retried any more"
    assert GATE_FAILED in published["Message"]
    assert "aws codepipeline retry-stage-execution --pipeline-name web" in published["Message"]
    assert account.retries == []


def test_chains_of_retries_do_not_multiply(account):
    """A notice that comes again, after its retry failed, is not the notice of that later failure."""
    pipeline = account.pipeline()
    account.publish(account.failure())
    first = account.retry_queue.receive()
    assert decided(account.invoke(first))[0][0] == "Retried"
    account.fail_gate()
    pipeline.runs[-1].updated += timedelta(minutes=15)  # as long as the queue holds a notice back
    later = "the action HealthGate failed again after this notice, and that failure has a notice of its own"
    for settings in ({}, {"MAX_RETRIES": "0"}):
        assert decided(account.invoke(first, **settings)) == [("Skipped", later)]
    assert (account.retries, account.mails) == (["web"], [])


def test_a_frozen_stage_is_not_retried_and_people_are_notified(account):
    """Not for the notice, and not for the closed issue, which may come at three in the morning."""
    issue = account.aws.health.open()
    pipeline = account.pipeline(message=names(issue))
    account.aws.codepipeline.disable_transition(pipeline, "Production", "incident 4711 - do not deploy")
    account.publish(account.failure())
    reason = "the transition into the stage is disabled: incident 4711 - do not deploy"
    assert decided(account.deliver(RETRY_ANY_FAILURE="true")) == [("Skipped", reason)]
    account.aws.health.close(issue)
    outcome = account.invoke(account.aws.health.eventbridge(issue), PIPELINES="web")
    assert [(it["outcome"], it["reason"]) for it in outcome.payload["decisions"]] == [("Skipped", reason)]
    assert [reason in mail["Message"] for mail in account.mails] == [True, True]
    assert (status(pipeline), account.retries) == ("Failed", [])


@pytest.mark.parametrize("message", ["Rejected by arn:aws:iam::123456789012:user/ann: no", "The approval timed out."])
def test_an_approval_is_never_asked_for_again(account, message):
    approval = Action("Approve", "Manual", fails=message)
    pipeline = account.aws.codepipeline.create("web", {"Production": [approval, Action("Deploy")]})
    account.aws.codepipeline.start(pipeline)
    account.publish(account.failure())
    ((kind, reason),) = decided(account.deliver(RETRY_ANY_FAILURE="true"))
    assert (kind, reason) == ("Skipped", "the action Approve is an approval, which was rejected or timed out")
    assert (status(pipeline), account.retries) == ("Failed", [])


def test_a_gate_that_gave_no_answer_is_retried(account):
    pipeline = account.aws.codepipeline.create("web", {"Production": [gate(), Action("Deploy")]})
    account.aws.codepipeline.start(pipeline)
    account.aws.codepipeline.time_out_job()
    account.publish(account.failure())
    event = account.retry_queue.receive()
    assert decided(account.invoke(event, HEALTH_GATE_FUNCTION_NAME="another"))[0][0] == "Skipped"
    assert decided(account.invoke(event, HEALTH_GATE_FUNCTION_NAME=FUNCTION_NAME))[0][0] == "Retried"
    assert status(pipeline) == "InProgress"


def test_a_stage_that_failed_on_its_entry_condition_is_skipped_at_once(account):
    pipeline = account.pipeline()
    account.aws.codepipeline.fail_entry_condition(pipeline, "Production")
    account.retry_queue.send(json.dumps(account.failure()))
    outcome = account.deliver()
    ((kind, reason),) = decided(outcome)
    assert (kind, reason) == ("Skipped", "the stage failed on its entry condition; CodePipeline retries only actions")
    assert (failed_records(outcome), account.retry_queue.queued) == ([], 0)


def test_a_closed_issue_that_the_gate_still_met_is_tried_once_more_through_the_queue(account):
    issue = account.aws.health.open()
    pipeline = account.pipeline(message=names(issue))
    account.aws.health.close(issue)
    closed = account.aws.health.eventbridge(issue)
    settings = {"PIPELINES": "web", "MAX_RETRIES": "0"}
    assert [it["outcome"] for it in account.invoke(closed, **settings).payload["decisions"]] == ["Retried"]
    account.fail_gate(names(issue))  # DescribeEvents still said "open"
    account.retry_queue.send(json.dumps(closed))
    assert decided(account.deliver(**settings))[0][0] == "Retried"
    job = account.aws.codepipeline.next_job()["CodePipeline.job"]["id"]
    account.client.put_job_success_result(jobId=job)
    assert status(pipeline) == "Succeeded"
    assert [it["outcome"] for it in account.invoke(closed, **settings).payload["decisions"]] == ["Ignored"]


# Execution modes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "others"), [("SUPERSEDED", ["Superseded", "InProgress"]), ("QUEUED", ["InProgress", "InProgress"])]
)
def test_people_are_notified_of_an_execution_that_another_one_replaced(account, mode, others):
    """The failure unlocks the stage, and the next one enters: CodePipeline retries only the latest of a stage."""
    pipeline, (first, *waiting) = account.executions(mode, 3)
    account.fail_gate()
    assert [pipeline.executions[it] for it in waiting] == others
    entered = waiting[others.index("InProgress")]
    account.retry_queue.send(json.dumps(account.failure()))
    ((kind, reason),) = decided(account.deliver(HEALTH_GATE_FUNCTION_NAME=FUNCTION_NAME))
    assert (kind, reason) == ("Skipped", f"superseded: the latest execution of the stage is {entered}")
    (mail,) = account.mails
    assert first in mail["Message"] and "aws codepipeline start-pipeline-execution --name web" in mail["Message"]
    assert account.retries == []


@pytest.mark.parametrize(("fails", "ended"), [(None, "Succeeded"), ("Deployment d-KH37TM9SF failed", "Failed")])
def test_an_execution_that_passed_the_gate_after_all_is_not_mailed_as_stopped_by_it(account, fails, ended):
    """A closed event retried it while the notice of its failure waited; then the next execution entered the stage."""
    issue = account.aws.health.open()
    pipeline = account.aws.codepipeline.create("web", {"Production": [gate(), Action("Deploy", fails=fails)]})
    first = account.aws.codepipeline.start(pipeline)
    account.fail_gate(names(issue))
    notice = account.failure()
    account.aws.health.close(issue)
    account.invoke(account.aws.health.eventbridge(issue), PIPELINES="web")
    account.pass_gate()
    assert pipeline.executions[first] == ended
    second = account.aws.codepipeline.start(pipeline)
    mailed = len(account.mails)
    account.retry_queue.send(json.dumps(notice))
    outcome = account.deliver(HEALTH_GATE_FUNCTION_NAME=FUNCTION_NAME)
    assert decided(outcome) == [("Skipped", f"superseded: the latest execution of the stage is {second}")]
    assert len(account.mails) == mailed


@pytest.mark.parametrize("mode", ["SUPERSEDED", "QUEUED"])
def test_what_comes_while_the_stage_is_retried_waits_and_nothing_is_lost(account, mode):
    pipeline, (first,) = account.executions(mode, 1)
    account.fail_gate()
    account.publish(account.failure())
    assert decided(account.deliver())[0][0] == "Retried"
    second = account.aws.codepipeline.start(pipeline)
    assert pipeline.stage("Production").inbound == [second]
    for _ in (first, second):
        account.pass_gate()
    assert pipeline.executions == {first: "Succeeded", second: "Succeeded"}


def test_a_gate_that_waits_keeps_the_order_of_queued_executions(account):
    """The advice of the README: while the job is in progress, the stage is its execution's."""
    pipeline, started = account.executions("QUEUED", 3)
    job = account.aws.codepipeline.next_job()["CodePipeline.job"]["id"]
    account.client.put_job_success_result(jobId=job, continuationToken="wait")
    assert pipeline.stage("Production").inbound == started[1:]
    for _ in started:
        account.pass_gate()
    assert list(pipeline.executions.items()) == [(it, "Succeeded") for it in started]
    assert [run.execution_id for run in pipeline.runs if run.action == "Deploy"] == started


def test_each_parallel_execution_is_retried_by_its_own_history(account):
    """Whichever is the latest, whether it failed, and however often the others did."""
    pipeline, (first, second, third) = account.executions("PARALLEL", 3)
    account.fail_gate()
    notices = [account.failure()]
    account.fail_gate("[health-gate:setup] the stage fails: AWS Health does not answer")
    notices.append(account.failure())
    assert [it["detail"]["execution-id"] for it in notices] == [first, second]
    assert pipeline.stage("Production").latest.id == third
    account.publish(*notices)
    (first_kind, first_reason), (second_kind, second_reason) = decided(account.deliver())
    assert (first_kind, first_reason) == ("Retried", "retry 1 of 5, FAILED_ACTIONS")
    assert (second_kind, "only a person can fix" in second_reason) == ("Skipped", True)
    # A notice that comes again finds the stage running, and then the later failure.
    account.retry_queue.send(json.dumps(notices[0]))
    assert decided(account.deliver()) == [("Skipped", "the stage is not failed any more in this execution")]
    account.pass_gate()  # of the third, whose job waits longer
    account.fail_gate()
    assert pipeline.executions == {first: "Failed", second: "Failed", third: "Succeeded"}
    account.publish(account.failure())
    assert decided(account.deliver(MAX_RETRIES="2", RETRY_DELAY_SECONDS="0"))[0] == (
        "Retried",
        "retry 2 of 2, FAILED_ACTIONS",
    )
    account.pass_gate()
    assert pipeline.executions[first] == "Succeeded"
    assert (account.retries, account.mails) == (["web", "web"], [])


def test_a_closed_issue_retries_every_parallel_execution_that_names_it(account):
    issue, other = account.aws.health.open(), account.aws.health.open()
    pipeline, (first, second, third, fourth) = account.executions("PARALLEL", 4)
    for message in (names(issue), names(other), names(issue)):
        account.fail_gate(message)
    account.pass_gate()
    assert pipeline.stage("Production").latest.id == fourth
    account.aws.health.close(issue)
    outcome = account.invoke(account.aws.health.eventbridge(issue), PIPELINES="web", MAX_RETRIES="0")
    found = {it["execution_id"]: it["outcome"] for it in outcome.payload["decisions"]}
    assert found == {first: "Retried", second: "Ignored", third: "Retried"}
    (mail,) = account.mails
    assert mail["Subject"] == "Gatehouse pipelines: an AWS issue closed, 2 stages retried"
    assert first in mail["Message"] and third in mail["Message"]
    for _ in (first, third):
        account.pass_gate()
    assert pipeline.executions == {first: "Succeeded", second: "Failed", third: "Succeeded", fourth: "Succeeded"}


def test_people_are_notified_of_a_parallel_execution_that_codepipeline_does_not_retry(account):
    """AWS does not document whether it does."""
    _, (first, _) = account.executions("PARALLEL", 2)
    account.fail_gate()
    account.publish(account.failure())
    account.aws.disturb("refuse", operation="RetryStageExecution", code="NotLatestPipelineExecutionException")
    assert decided(account.deliver()) == [("Skipped", "superseded by a later execution")]
    (mail,) = account.mails
    assert first in mail["Message"] and account.retry_queue.queued == 0


def test_a_frozen_stage_holds_a_parallel_execution_too(account):
    pipeline, _ = account.executions("PARALLEL", 2)
    account.fail_gate()
    account.aws.codepipeline.disable_transition(pipeline, "Production", "freeze")
    account.publish(account.failure())
    assert decided(account.deliver()) == [("Skipped", "the transition into the stage is disabled: freeze")]
    assert (account.retries, len(account.mails)) == ([], 1)


def test_a_gate_in_an_entry_condition_is_left_to_a_person_who_gets_the_command(account):
    """CodePipeline retries a stage only where an action failed; the mail has the command for the condition."""
    pipeline = account.aws.codepipeline.create(
        "web", {"Production": [Action("Deploy")]}, entry_rules={"Production": gate()}
    )
    execution_id = account.aws.codepipeline.start(pipeline)
    account.fail_gate()
    with pytest.raises(account.client.exceptions.StageNotRetryableException):
        account.client.retry_stage_execution(
            pipelineName="web", stageName="Production", pipelineExecutionId=execution_id, retryMode="FAILED_ACTIONS"
        )
    account.retry_queue.send(json.dumps(account.failure()))
    ((kind, reason),) = decided(account.deliver())
    assert (kind, reason.startswith("the entry condition failed at the health gate")) == ("Skipped", True)
    assert account.retry_queue.queued == 0
    (mail,) = account.mails
    command = (
        f"override-stage-condition --pipeline-name web --stage-name Production --pipeline-execution-id {execution_id}"
    )
    assert command in mail["Message"]


def test_the_failed_records_are_counted_and_logged_once(account):
    account.pipeline()
    account.publish(account.failure())
    account.retry_queue.send("no JSON")
    account.aws.disturb("refuse", operation="RetryStageExecution", code="AccessDeniedException", times=None)
    outcome = account.deliver()
    assert len(failed_records(outcome)) == 2
    (metrics,) = [record for record in outcome.records if "_aws" in record]
    assert (metrics["Failed"], metrics["Retried"]) == (2, 0)
    assert sorted(record["errorType"] for record in outcome.records if "errorType" in record) == [
        "CodePipeline",
        "InvalidEvent",
    ]
    assert not outcome.failed, "Lambda's own metric Errors stays 0"


def test_a_failure_of_the_function_is_logged_once(account):
    outcome = account.invoke({"source": "aws.s3"})
    (failure,) = [record for record in outcome.records if "errorType" in record]
    assert (outcome.error_type, failure["errorType"]) == ("InvalidEvent", "InvalidEvent")
    assert failure["error"].startswith("reading the event: the field source is")
    assert decided(outcome) == []


def test_debug_lines_are_logged_when_asked_for(account):
    account.pipeline()
    account.publish(account.failure())
    event = account.retry_queue.receive()
    looked = "looked at the stage"
    assert looked not in [record.get("message") for record in account.invoke(event, DRY_RUN="true").records]
    assert looked in [record.get("message") for record in account.invoke(event, DRY_RUN="true", DEBUG="true").records]


def test_a_notice_that_cannot_be_published_comes_again(account):
    account.pipeline()
    account.publish(account.failure())
    account.aws.disturb("refuse", operation="Publish", code="AuthorizationError", times=1)
    assert len(failed_records(account.deliver(MAX_RETRIES="0"))) == 1
    assert account.retry_queue.queued == 1
    assert failed_records(account.deliver(MAX_RETRIES="0")) == []
    assert [call.error for call in account.aws.calls if call.operation == "Publish"][-1] is None


def test_a_closed_issue_retries_the_stages_that_name_it_in_the_listed_pipelines(account):
    issue, other = account.aws.health.open(), account.aws.health.open()
    web, unlisted = account.pipeline("web", names(issue)), account.pipeline("unlisted", names(issue))
    api = account.pipeline("api", names(other))
    outcome = account.invoke(account.aws.health.eventbridge(issue), PIPELINES="web,api")
    assert [decision["outcome"] for decision in outcome.payload["decisions"]] == ["Ignored"]
    assert account.aws.calls == []

    account.aws.health.close(issue)
    closed = account.aws.health.eventbridge(issue)
    # The delayed retries are used up long before AWS closes a long outage.
    settings = {"PIPELINES": "web,api,gone", "MAX_RETRIES": "0"}
    outcome = account.invoke(closed, **settings)
    assert [decision["outcome"] for decision in outcome.payload["decisions"]] == ["Retried", "Ignored", "Skipped"]
    assert [status(pipeline) for pipeline in (web, api, unlisted)] == ["InProgress", "Failed", "Failed"]
    (mail,) = account.mails
    assert mail["Subject"] == "Gatehouse pipelines: an AWS issue closed, 1 stage retried"
    assert f"EC2 in us-east-1.\nEvent: {issue}\n\nRetried:\n- stage Production of pipeline web" in mail["Message"]
    assert "api" not in mail["Message"] and "Not retried" not in mail["Message"]

    # The mail comes after the decision is in the log, and AWS's second delivery, to a backup Region, changes nothing.
    operations_made = [call.operation for call in account.aws.calls]
    assert operations_made.index("Publish") > operations_made.index("RetryStageExecution")
    again = account.invoke(account.aws.health.eventbridge(issue, delivered_in="us-west-2"), **settings)
    assert {decision["outcome"] for decision in again.payload["decisions"]} == {"Ignored", "Skipped"}
    assert (account.retries, len(account.mails)) == (["web"], 1)


def test_an_issue_of_another_region_is_named_by_where_it_happened(account):
    issue = account.aws.health.open("EC2", "eu-west-1")
    account.pipeline("web", names(issue))
    account.aws.health.close(issue)
    account.invoke(account.aws.health.eventbridge(issue, delivered_in="us-west-2"), PIPELINES="web")
    (mail,) = account.mails
    assert "of EC2 in eu-west-1." in mail["Message"]


def test_a_closed_issue_does_not_retry_a_failure_of_more_than_a_day_ago(account):
    issue = account.aws.health.open()
    pipeline = account.pipeline("web", names(issue))
    pipeline.runs[-1].updated -= timedelta(days=1, minutes=1)
    account.aws.health.close(issue)
    outcome = account.invoke(account.aws.health.eventbridge(issue), PIPELINES="web")
    (decision,) = outcome.payload["decisions"]
    assert (decision["outcome"], decision["reason"]) == ("Skipped", "the failure is more than a day old")
    assert account.mails[0]["Subject"] == "Gatehouse pipelines: an AWS issue closed, 0 stages retried"
    assert account.retries == []


def test_a_call_that_hangs_is_cut_and_the_records_are_handed_back_in_time(account, monkeypatch):
    monkeypatch.setattr(runtime_api, "FUNCTION_TIMEOUT", 6)
    pipeline = account.pipeline()
    account.publish(account.failure())
    account.retry_queue.send(json.dumps(account.failure()))
    account.aws.disturb("hang", operation="GetPipelineState", times=None)
    outcome = account.deliver()
    assert not outcome.failed
    assert len(failed_records(outcome)) == 2
    assert {record["errorType"] for record in outcome.records if "errorType" in record} == {"OutOfTime"}
    assert outcome.seconds < 5
    account.aws.calm()
    assert {kind for kind, _ in decided(account.deliver())} == {"Retried", "Skipped"}
    assert status(pipeline) == "InProgress"


def test_a_stage_that_failed_for_another_reason_is_skipped(account):
    pipeline = account.aws.codepipeline.create("web", {"Production": [Action("Deploy", fails="disk full")]})
    account.aws.codepipeline.start(pipeline)
    account.publish(account.failure())
    ((kind, reason),) = decided(account.deliver())
    assert (kind, reason.startswith("the action Deploy did not fail at the health gate")) == ("Skipped", True)
    assert account.retries == []
    account.publish(account.failure())
    assert decided(account.deliver(RETRY_ANY_FAILURE="true"))[0][0] == "Retried"


def test_all_actions_are_run_again_where_that_is_set(account):
    pipeline = account.pipeline()
    pipeline.stages[0].actions.insert(0, Action("Prepare"))
    account.publish(account.failure())
    assert decided(account.deliver(RETRY_MODE="ALL_ACTIONS")) == [("Retried", "retry 1 of 5, ALL_ACTIONS")]
    assert [run.action for run in pipeline.runs] == ["HealthGate", "Prepare", "HealthGate"]


def test_a_superseded_execution_is_skipped(account):
    pipeline = account.pipeline()
    account.publish(account.failure())
    second = account.aws.codepipeline.start(pipeline)
    assert decided(account.deliver()) == [("Skipped", f"superseded: the latest execution of the stage is {second}")]
    assert account.retries == []


def test_a_reply_that_is_lost_does_not_retry_twice(account):
    pipeline = account.pipeline()
    account.publish(account.failure())
    account.aws.disturb("lost-reply", operation="RetryStageExecution")
    assert failed_records(account.deliver()) == []
    assert [run.status for run in pipeline.runs] == ["Failed", "InProgress"]
