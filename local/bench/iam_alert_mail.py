"""The bench of iam-alert-mail: a call of IAM, written as a mail and published; then one with the longest policy."""

import contextlib
import copy
import functools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gatehouse_local import events, runtime_api
from gatehouse_local.aws import LocalAws
from gatehouse_local.bench_case import Bench, Case, Goals
from gatehouse_local.figures import roots
from gatehouse_local.runtime_api import Outcome

PAUSE = 0.5  # seconds between two mails of one process, which are not to be measured
REGION = "us-east-1"  # of the samples: IAM has its events there
LONGEST_POLICY = 10_240  # characters of a role's inline policies, as IAM takes them
CALL = events.load("iam-alerts/put-role-policy.json")


def with_policy(characters: int) -> dict[str, Any]:
    """The call with a policy document of about so many characters."""
    event = copy.deepcopy(CALL)
    statement = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "arn:aws:s3:::shop/*"}
    statements = [statement] * (characters // len(json.dumps(statement)))
    event["detail"]["requestParameters"]["policyDocument"] = json.dumps({"Statement": statements})
    return event


def after_the_pause(event: dict[str, Any]) -> dict[str, Any]:
    """The event, once the mail about the one before is so long ago that the function need not wait."""
    time.sleep(PAUSE)
    return event


@contextlib.contextmanager
def cases(_mail: Path) -> Iterator[list[Case]]:
    """A topic, and calls to tell of. EventBridge delivers at least once, so each may be the same."""
    with LocalAws() as aws:
        topic = aws.client("sns", REGION).create_topic(Name="iam-alerts")["TopicArn"]
        here = {"AWS_ENDPOINT_URL": aws.url, "NOTIFY_TOPIC_ARN": topic}

        def done(_: Outcome) -> bool:
            mail = aws.sns.published[topic].pop()
            return mail.subject == "Gatehouse iam-alerts: PutRolePolicy by deploy/ci-4711 in 123456789012"

        yield [
            Case(
                title=title,
                env=runtime_api.environment(here | roots(), REGION),
                event=functools.partial(after_the_pause, event),
                done=done,
                goals=goals,
            )
            for title, event, goals in (
                ("A call of IAM: a mail is written and published", CALL, Goals(ratio=15)),
                (f"The same with a policy of {LONGEST_POLICY:,} characters", with_policy(LONGEST_POLICY), Goals()),
            )
        ]


BENCH = Bench(twin=Path(__file__).with_name("iam_alert_mail_twin.py"), cases=cases)
