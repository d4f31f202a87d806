"""The sample events of `events/`: input for `sam local invoke -e`, for the demo and for tests.

`python -m gatehouse_local.events` writes them. They are in the repository because people read them there; a test
compares them with what is made here.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from gatehouse_local import ROOT, ranges, sns
from gatehouse_local.functions import Function
from gatehouse_local.ranges import Document

EVENTS = ROOT / "events"
TOPIC_ARN = "arn:aws:sns:us-east-1:806199016981:AmazonIpSpaceChanged"
PIPELINES_TOPIC_ARN = "arn:aws:sns:eu-west-1:111122223333:pipeline-notifications"

# Ten years: the samples keep their dates, and a function refuses messages older than 40 days otherwise.
SAMPLE_AGE = {"SNS_MAX_AGE_SECONDS": "315360000"}


def notice(document: Document, **changes: str) -> dict[str, Any]:
    """The message with which AWS announces `document`, unsigned; `changes` replace fields of its body."""
    published = datetime.fromtimestamp(document.sync_token, UTC)
    body = {
        "create-time": published.isoformat(),
        "synctoken": str(document.sync_token),
        "md5": document.md5,
        "url": ranges.URL,
    }
    return {
        "Type": "Notification",
        "MessageId": f"95df01b4-ee98-5cb9-9903-{document.sync_token:012d}",
        "TopicArn": TOPIC_ARN,
        "Subject": "IP Space Changed",
        "Message": json.dumps(body | changes),
        "Timestamp": (published + timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "UnsubscribeUrl": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=EXAMPLE",
        "MessageAttributes": {},
    }


def signed_notice(document: Document, version: str = "1", **changes: str) -> dict[str, Any]:
    """The Lambda event for `document`, properly signed by the test key."""
    return sns.lambda_event(sns.sign(notice(document, **changes), version))


def schedule() -> dict[str, Any]:
    """What an EventBridge rule with a schedule sends."""
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-01-17T06:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/ip-ranges-UpdaterSchedule"],
        "detail": {},
    }


def ip_ranges() -> dict[str, Any]:
    """The files of `events/ip-ranges`, by name."""
    example = {"SignatureVersion": "1", "Signature": "EXAMPLE", "SigningCertUrl": "EXAMPLE"}
    return {
        "sns-notice.json": sns.lambda_event(notice(ranges.first()) | example),
        "sns-notice-signed.json": signed_notice(ranges.first(), version="1"),
        "sns-notice-signed-second.json": signed_notice(ranges.second(), version="2"),
        "schedule.json": schedule(),
        "direct.json": {},
        "direct-dry-run.json": {"dry_run": True},
        "direct-force.json": {"force": True},
    }


def environment() -> dict[str, dict[str, str]]:
    """`events/env.json`: settings for `sam local invoke --env-vars`, which uses the caller's own AWS account.

    So the functions change nothing there, and accept samples whose signature is the word EXAMPLE. SAM resolves a
    reference to a topic of the stack to its logical id, which is no ARN: those settings are replaced here. An empty
    text means the same as no setting.
    """
    return {
        "IpRangesUpdaterFunction": {"SNS_VERIFY": "off", "DRY_RUN": "true", "DEBUG": "true"},
        "PipelineHealthGateFunction": {"WAIT_MINUTES": "0"},
        "PipelineRetryFunction": {
            "SNS_VERIFY": "off",
            "DRY_RUN": "true",
            "TOPIC_ARNS": PIPELINES_TOPIC_ARN,
            "NOTIFY_TOPIC_ARN": "",
        },
    }


def of(function: Function) -> list[str]:
    """The samples that are meant for a function, by their paths within `events/`."""
    return [path.relative_to(EVENTS).as_posix() for path in function.events()]


def written(value: Any) -> str:
    """How a sample is written to its file."""
    return json.dumps(value, indent=2) + "\n"


def load(name: str) -> Any:
    """A sample by its path within `events/`."""
    return json.loads((EVENTS / name).read_text())


def main() -> None:
    """Writes every sample."""
    files = {f"ip-ranges/{name}": event for name, event in ip_ranges().items()} | {"env.json": environment()}
    for name, value in files.items():
        path = EVENTS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(written(value))
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
