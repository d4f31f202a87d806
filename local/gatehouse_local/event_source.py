"""A queue of SQS as the event source of a function: what Lambda's poller does with it."""

import hashlib
import time
from collections.abc import Callable
from typing import Any

from gatehouse_local.runtime_api import Outcome

REGION = "us-east-1"


class EventSource:
    """The poller of one queue. It hands over at most `batch_size` messages, and waits `window` seconds for more."""

    def __init__(self, sqs: Any, queue_url: str, queue_arn: str, batch_size: int = 10, window: float = 0):
        self._sqs, self._url, self._arn = sqs, queue_url, queue_arn
        self._batch_size, self._window = batch_size, window

    def receive(self) -> dict[str, Any] | None:
        """The event with which Lambda invokes the function for the messages that are due; None without any."""
        messages: dict[str, dict[str, Any]] = {}
        closes = time.monotonic() + self._window
        while len(messages) < self._batch_size:
            received = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(10, self._batch_size - len(messages)),
                AttributeNames=["All"],
                WaitTimeSeconds=0,
            ).get("Messages", [])
            messages |= {message["MessageId"]: message for message in received}
            is_over = not received and (not messages or time.monotonic() >= closes)
            if is_over or not self._window:  # without a window, a batch is what one call gives
                break
        records = [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "messageAttributes": {},
                "md5OfBody": hashlib.md5(message["Body"].encode(), usedforsecurity=False).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": self._arn,
                "awsRegion": REGION,
            }
            for message in messages.values()
        ]
        return {"Records": records} if records else None

    def deliver(self, invoke: Callable[[Any], Outcome], wait: float = 0) -> Outcome | None:
        """Plays the poller once: what the function does not report as failed is deleted from the queue.

        None where no message becomes due within `wait` seconds.
        """
        deadline = time.monotonic() + wait
        while (event := self.receive()) is None:
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.05)
        outcome = invoke(event)
        if not outcome.failed:
            kept = {failure["itemIdentifier"] for failure in outcome.payload["batchItemFailures"]}
            done = [it["receiptHandle"] for it in event["Records"] if it["messageId"] not in kept]
            for start in range(0, len(done), 10):
                entries = [{"Id": str(at), "ReceiptHandle": it} for at, it in enumerate(done[start : start + 10])]
                self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)
        return outcome
