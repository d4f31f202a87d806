"""The bench of the share function: a second run for images that are shared already. All is read, nothing is changed.

Each answer of EC2 is recorded the first time it is asked for, and answered from memory from then on (`Tape`).
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gatehouse_local import amis, events, runtime_api
from gatehouse_local.aws import LocalAws
from gatehouse_local.bench_case import Bench, Case, Goals
from gatehouse_local.figures import roots
from gatehouse_local.runtime_api import Outcome
from gatehouse_local.tape import Tape

REGION = "eu-west-1"  # of the samples


def settings(topics: dict[str, str]) -> dict[str, str]:
    """The settings of the function; `topics` are those of `amis.sample_approval`."""
    return {
        "AUTOMATION_DOCUMENT": events.environment()["AmiShareFunction"]["AUTOMATION_DOCUMENT"],
        "TARGET_ACCOUNT_IDS": events.AMIS_TARGET,
        "TARGET_TOPIC_ARN": topics["TargetTopic"],
        "APPROVER_TOPIC_ARN": topics["ApproverTopic"],
    }


def share_samples(aws: LocalAws) -> dict[str, str]:
    """The images of the samples, approved, and shared as the settings say; the topics."""
    topics = amis.sample_approval(aws, REGION)
    approver = aws.client("ssm", REGION)
    approver._request_signer._credentials.access_key = "test"
    approver.send_automation_signal(AutomationExecutionId=events.AMIS_EXECUTION, SignalType="Approve")
    aws.ssm_automation.wait()
    for image in aws.images.images.values():
        image.permissions.append({"UserId": events.AMIS_TARGET})
    return topics


@contextlib.contextmanager
def cases(_share: Path) -> Iterator[list[Case]]:
    """Two images in two Regions that are shared already."""
    with LocalAws() as aws, Tape(aws.url) as tape:
        topics = share_samples(aws)

        def done(outcome: Outcome) -> bool:
            wrote = [call.operation for call in aws.calls if call.writes]
            return [image["outcome"] for image in outcome.payload["images"]] == ["unchanged"] * 2 and not wrote

        yield [
            Case(
                title="Two images in two Regions that are shared already; nothing changes",
                env=runtime_api.environment(settings(topics) | {"AWS_ENDPOINT_URL": tape.url} | roots(), REGION),
                event=lambda: events.load("amis/share-images.json"),
                done=done,
                goals=Goals(ratio=15),
            )
        ]


BENCH = Bench(twin=Path(__file__).with_name("ami_share_twin.py"), cases=cases, zip=3_500_000)
