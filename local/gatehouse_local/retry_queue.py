"""The way from CodePipeline to the retry function: a topic, a queue that waits, and Lambda's poller.

Topic and queue are moto's. moto signs as SNS does, with a key and a certificate of its own, so the function's checks
meet a signer that is not Gatehouse's. The certificate is served where the message says it is.
"""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.sns.models import sns_backends

from gatehouse_local.aws import LocalAws
from gatehouse_local.event_source import EventSource
from gatehouse_local.runtime_api import Outcome
from gatehouse_local.web import Page, Web

REGION = "us-east-1"

# What the queue takes from the topic, as in the template; other notifications are for people.
STAGE_FAILED = {"detailType": ["CodePipeline Stage Execution State Change"], "detail": {"state": ["FAILED"]}}


class RetryQueue:
    """A topic with a queue behind it, as the template of the pipelines capability makes them.

    `delay` is `RetryDelaySeconds`: how long the queue holds each message back.
    """

    def __init__(self, aws: LocalAws, web: Web, delay: int = 0):
        self._web = web
        self._sns, self._sqs = aws.client("sns", REGION), aws.client("sqs", REGION)
        self.topic_arn = self._sns.create_topic(Name="pipeline-notifications")["TopicArn"]
        self._queue_url = self._sqs.create_queue(
            QueueName="pipeline-retry", Attributes={"DelaySeconds": str(delay), "VisibilityTimeout": "0"}
        )["QueueUrl"]
        self._queue_arn = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:pipeline-retry"
        self._source = EventSource(self._sqs, self._queue_url, self._queue_arn)
        self._sns.subscribe(
            TopicArn=self.topic_arn,
            Protocol="sqs",
            Endpoint=self._queue_arn,
            Attributes={"FilterPolicyScope": "MessageBody", "FilterPolicy": json.dumps(STAGE_FAILED)},
        )

    def publish(self, *notifications: dict[str, Any]) -> None:
        """Publishes what CodeStar Notifications would, one message for each."""
        for notification in notifications:
            self._sns.publish(TopicArn=self.topic_arn, Message=json.dumps(notification))

    def send(self, body: str) -> None:
        """Puts a message straight into the queue, past the topic, as an EventBridge rule or a stranger would."""
        self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=body)

    def receive(self) -> dict[str, Any] | None:
        """The event with which Lambda invokes the function for the messages that are due; None without any."""
        event = self._source.receive()
        return self._with_certificates(event) if event else None

    def deliver(self, invoke: Callable[[Any], Outcome], wait: float = 0) -> Outcome | None:
        """Plays Lambda's poller once, as `EventSource.deliver` does."""
        return self._source.deliver(lambda event: invoke(self._with_certificates(event)), wait)

    @property
    def queued(self) -> int:
        """How many messages the queue holds, due or not."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed")
        found = self._sqs.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=list(names))["Attributes"]
        return sum(int(found[name]) for name in names)

    def _with_certificates(self, event: dict[str, Any]) -> dict[str, Any]:
        for record in event["Records"]:
            self._serve_certificate(record["body"])
        return event

    def _serve_certificate(self, body: str) -> None:
        try:
            url = json.loads(body)["SigningCertURL"]
        except (ValueError, KeyError):
            return
        name = urlsplit(url).path.strip("/")
        certificate = sns_backends[ACCOUNT_ID][REGION]._message_public_keys.get(name)
        if certificate:
            self._web.serve(url, Page(certificate, content_type="application/x-pem-file"))
