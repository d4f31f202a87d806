"""Notifications in chat: what a channel of Amazon Q Developer in chat applications shows, with the real binaries."""

import json
from functools import partial

import pytest

from gatehouse_local import chat, image_builder, runtime_api
from gatehouse_local.codepipeline import Action, gate
from gatehouse_local.retry_queue import RetryQueue

REGION, CHAT_REGION = "us-east-1", "eu-west-1"
IMAGES = {"us-east-1": "ami-0123456789abcdef0"}

# moto writes error codes that all services share, but warns that no model lists them.
pytestmark = pytest.mark.filterwarnings("ignore:.*does not match an error shape")


@pytest.fixture
def topic(aws):
    """The topic of chat, in another Region than the functions."""
    return aws.client("sns", CHAT_REGION).create_topic(Name="gatehouse-chat")["TopicArn"]


def channel(aws, topic) -> dict[str | None, list[chat.Shown]]:
    return chat.threads(it.message for it in aws.sns.published.get(topic, []))


def failures(outcome) -> list[dict]:
    """The lines of the log, and the metrics, that say that chat failed."""
    return [
        record for record in outcome.records if record.get("errorType") == "ChatFailed" or record.get("ChatFailed") == 1
    ]


# amis -----------------------------------------------------------------------------------------


@pytest.fixture
def make(amis_stack):
    return partial(amis_stack, IMAGES, TargetAccountIds="111122223333")


@pytest.mark.parametrize("link", ["true", "false"])
def test_an_image_has_one_thread_from_its_build_to_the_accounts_that_have_it(aws, make, topic, link):
    stack = make(ChatTopicArn=topic, ApprovalLink=link)
    notice = image_builder.notice(IMAGES)
    outcome = stack.publish(notice)
    assert not outcome.failed, outcome.error_message
    [asked] = channel(aws, topic)[notice["arn"]]
    assert asked.title == "Gatehouse amis: approve golden-al2023"
    assert all(image in asked.text for image in IMAGES.values())
    [execution] = stack.executions
    page = (
        f"https://us-east-1.console.aws.amazon.com/systems-manager/automation/execution/{execution.id}?region=us-east-1"
    )
    assert asked.links["Approve or reject"] == page
    assert asked.context == {"executionId": execution.id}

    stack.signal(execution.id)
    [(thread, told)] = channel(aws, topic).items()
    assert thread == notice["arn"]
    assert [it.title for it in told[1:]] == ["Gatehouse amis: golden-al2023 is shared with you"]
    # Whoever reads the channel cannot decide by it. The mails have the link, and go to nobody else.
    assert "token=" not in json.dumps([it.message for it in aws.sns.published[topic]])
    assert any(mail.link for mail in stack.mails) is (link == "true")


def test_where_chat_refuses_everybody_has_the_mail_and_the_image_is_shared(aws, make, topic):
    stack = make(ChatTopicArn=topic, ApprovalLink="true")
    aws.disturb("refuse", operation="Publish", region=CHAT_REGION, code="AuthorizationError", times=99)
    outcome = stack.publish(image_builder.notice(IMAGES))
    assert not outcome.failed and len(failures(outcome)) == 2, outcome.records
    stack.signal(stack.executions[0].id)
    assert [outcome.failed for _, outcome in stack.outcomes] == [False, False]
    assert {mail.subject for mail in stack.mails} >= {
        "Gatehouse amis: approve golden-al2023",
        "Gatehouse amis: golden-al2023 is shared with you",
    }
    assert channel(aws, topic) == {}


# pipelines ------------------------------------------------------------------------------------


class Account:
    """A pipeline with a gate, and both functions."""

    def __init__(self, aws, web, binary, topic):
        self.aws, self.web, self.topic = aws, web, topic
        self.gate_path, self.retry_path = binary("pipeline-health-gate"), binary("pipeline-retry")
        self.queue = RetryQueue(aws, web)
        self.people = aws.client("sns").create_topic(Name="people")["TopicArn"]
        self.pipeline = aws.codepipeline.create("web", {"Production": [gate('{"wait_minutes": 1}'), Action("Deploy")]})
        self.execution_id = aws.codepipeline.start(self.pipeline)

    def settings(self, **more: str) -> dict[str, str]:
        topics = {"NOTIFY_TOPIC_ARN": self.people, "CHAT_TOPIC_ARN": self.topic}
        return {"AWS_ENDPOINT_URL": self.aws.url} | topics | more

    def answer(self) -> runtime_api.Outcome:
        """The gate answers the next job."""
        event = self.aws.codepipeline.next_job()
        return runtime_api.invoke_once(self.gate_path, runtime_api.environment(self.settings()), event)

    def fail(self) -> None:
        """The gate gives up waiting."""
        job = self.aws.codepipeline.next_job()["CodePipeline.job"]["id"]
        details = {"type": "JobFailed", "message": "[health-gate] 1 AWS Health event in us-east-1: the stage fails"}
        self.aws.client("codepipeline").put_job_failure_result(jobId=job, failureDetails=details)

    def retry(self) -> runtime_api.Outcome:
        """The retry hears of it."""
        failure = [
            it for it in self.aws.codepipeline.events if it["detail"]["state"] == "FAILED" and "stage" in it["detail"]
        ]
        stage = [it for it in failure if it["detail-type"] == "CodePipeline Stage Execution State Change"][-1]
        self.queue.publish(self.aws.codepipeline.notification(stage))
        env = self.settings(TOPIC_ARNS=self.queue.topic_arn, MAX_RETRIES="0") | self.web.environment
        return self.queue.deliver(
            lambda event: runtime_api.invoke_once(self.retry_path, runtime_api.environment(env), event)
        )

    @property
    def mails(self) -> list[str | None]:
        return [it.subject for it in self.aws.sns.published.get(self.people, [])]


SUBJECTS = [
    "Gatehouse pipelines: a stage waits at the health gate",
    "Gatehouse pipelines: stage Production of pipeline web is not retried any more",
]


def test_gate_and_retry_speak_in_the_thread_of_the_execution(aws, web, binary, topic):
    account = Account(aws, web, binary, topic)
    issue = aws.health.open()
    assert account.answer().payload["verdict"] == "wait"
    account.fail()
    assert account.retry().payload == {"batchItemFailures": []}
    [(thread, told)] = channel(aws, topic).items()
    assert thread == account.execution_id
    assert [it.title for it in told] == account.mails == SUBJECTS
    page = f"/codesuite/codepipeline/pipelines/web/executions/{account.execution_id}/timeline"
    for it in told:
        assert any(page in url for url in it.links.values())
        assert it.context == {"pipeline": "web", "stage": "Production", "executionId": account.execution_id}
    assert issue in told[0].text


@pytest.mark.parametrize(
    "fault", [{"kind": "refuse", "code": "AuthorizationError"}, {"kind": "refuse", "code": "NotFound"}]
)
def test_where_chat_refuses_each_mail_is_sent_once_and_nothing_fails(aws, web, binary, topic, fault):
    account = Account(aws, web, binary, topic)
    aws.health.open()
    aws.disturb(operation="Publish", region=CHAT_REGION, times=99, **fault)
    gated = account.answer()
    account.fail()
    retried = account.retry()
    assert not gated.failed and retried.payload == {"batchItemFailures": []}
    assert account.mails == SUBJECTS
    for outcome in (gated, retried):
        line, metric = failures(outcome)
        assert "CHAT_TOPIC_ARN" in line["error"] and fault["code"] in line["error"]
        assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Gatehouse"
    assert channel(aws, topic) == {}


# the channel ----------------------------------------------------------------------------------


def test_the_channel_drops_the_text_of_a_mail_and_refuses_what_is_not_as_documented():
    assert chat.shown("A stage waits.") is None and chat.shown('{"AlarmName": "x"}') is None
    content = {"textType": "client-markdown", "title": "t", "description": "d"}
    message = {"version": "1.0", "source": "custom", "content": content}
    assert chat.shown(json.dumps(message)) == chat.Shown("t", "d", None, {}, {})
    for wrong in (
        {"version": "2"},
        {"more": 1},
        {"content": content | {"description": ""}},
        {"content": content | {"description": "x" * 3_001}},
        {"content": content | {"description": "<!channel>"}},
        {"content": content | {"title": "ask @oncall"}},
        {"content": content | {"title": "https://evil.example"}},
        {"content": content | {"nextSteps": ["x"] * 6}},
        {"metadata": {"additionalContext": {"count": 1}}},
    ):
        with pytest.raises(ValueError, match="not as documented"):
            chat.shown(json.dumps(message | wrong))
