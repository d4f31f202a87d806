"""The bench of the redactor: the signed expense report, and a message of almost 256 KiB, both masked and published.

Each invocation is a message of its own, so that none is a duplicate.
"""

import contextlib
import functools
import json
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gatehouse_local import events, runtime_api, sns
from gatehouse_local.aws import LocalAws
from gatehouse_local.bench_case import Bench, Case, Goals
from gatehouse_local.figures import roots_with
from gatehouse_local.messages import CARD, EMPLOYEE, certificate
from gatehouse_local.runtime_api import Outcome
from gatehouse_local.web import Web

REGION = "eu-west-1"  # of the samples
APPROVAL = events.MESSAGES_TOPIC_ARN.format("gatehouse-messages-approval")


def signed(text: str) -> dict[str, Any]:
    """The event of a message of the approval topic."""
    message = events.notification(APPROVAL, text) | {"MessageId": str(uuid.uuid4())}
    return sns.lambda_event(sns.sign(message, "2"))


@contextlib.contextmanager
def cases(_redactor: Path) -> Iterator[list[Case]]:
    """The topics, and messages for them."""
    with LocalAws() as aws, Web() as web, tempfile.TemporaryDirectory() as folder:
        client = aws.client("sns", REGION)
        reporting, denied = (client.create_topic(Name=name)["TopicArn"] for name in ("reporting", "denied"))
        web.serve(sns.certificate_url(REGION), certificate())
        settings = events.SAMPLE_AGE | {
            "DATA_PROTECTION_POLICY": json.dumps(events.MESSAGES_POLICY),
            "SUBSCRIBER_PRINCIPAL": events.REPORTING_ROLE,
            "TOPIC_ARNS": APPROVAL,
            "TARGET_TOPIC_ARN": reporting,
            "DENIED_TOPIC_ARN": denied,
        }
        here = {"AWS_ENDPOINT_URL": aws.url} | web.environment | roots_with(web.authority_file, Path(folder))
        report = json.dumps(events.EXPENSE_REPORT)
        large = json.dumps([events.EXPENSE_REPORT] * (250_000 // len(report)))

        def done(_: Outcome) -> bool:
            message = aws.sns.published[reporting].pop().message
            return CARD not in message and EMPLOYEE not in message and "CID-000012348-CA" in message

        yield [
            Case(
                title=title,
                env=runtime_api.environment(settings | here, REGION),
                event=functools.partial(signed, text),
                done=done,
                goals=goals,
            )
            for title, text, goals in (
                ("A signed expense report: certificate, signature, masking, publication", report, Goals(ratio=20)),
                (f"The same with {len(large):,} bytes", large, Goals()),
            )
        ]


BENCH = Bench(twin=Path(__file__).with_name("message_redactor_twin.py"), cases=cases)
