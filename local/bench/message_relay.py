"""The bench of the relay: a signed delivery over HTTPS, published to a topic of this account.

Each invocation is a message of its own.
"""

import contextlib
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from gatehouse_local import events, runtime_api, sns
from gatehouse_local.aws import LocalAws
from gatehouse_local.bench_case import Bench, Case, Goals
from gatehouse_local.figures import roots_with
from gatehouse_local.messages import certificate
from gatehouse_local.runtime_api import Outcome
from gatehouse_local.web import Web

REGION = "eu-west-1"  # of the samples
ORIGIN = events.MESSAGES_TOPIC_ARN.format("orders")


@contextlib.contextmanager
def cases(_relay: Path) -> Iterator[list[Case]]:
    """A topic, and deliveries of another one."""
    with LocalAws() as aws, Web() as web, tempfile.TemporaryDirectory() as folder:
        target = aws.client("sns", REGION).create_topic(Name="approval")["TopicArn"]
        web.serve(sns.certificate_url(REGION), certificate())
        settings = events.SAMPLE_AGE | {"TOPIC_ARNS": ORIGIN, "TARGET_TOPIC_ARN": target}
        here = {"AWS_ENDPOINT_URL": aws.url} | web.environment | roots_with(web.authority_file, Path(folder))

        def event() -> dict:
            return events.delivery_over_https(
                sns.sign(events.notification(ORIGIN, "hello") | {"MessageId": str(uuid.uuid4())}, "2")
            )

        def done(outcome: Outcome) -> bool:
            return outcome.payload["statusCode"] == 200 and aws.calls[-1].operation == "Publish"

        yield [
            Case(
                title="A signed delivery: certificate, signature, publication",
                env=runtime_api.environment(settings | here, REGION),
                event=event,
                done=done,
                goals=Goals(ratio=20),
            )
        ]


BENCH = Bench(twin=Path(__file__).with_name("message_relay_twin.py"), cases=cases)
