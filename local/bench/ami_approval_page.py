"""The bench of the approval page: the page is opened, and a decision is sent.

The answers of AWS are recorded, and come from memory from then on (`Tape`): in them, the approval always waits.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gatehouse_local import amis, events, runtime_api
from gatehouse_local.aws import LocalAws
from gatehouse_local.bench_case import Bench, Case, Goals
from gatehouse_local.figures import roots
from gatehouse_local.runtime_api import Outcome
from gatehouse_local.tape import Tape

REGION = "eu-west-1"  # of the samples


def settings() -> dict[str, str]:
    """The settings of the function."""
    return {
        "LINK_KEY_ARN": events.LINK_KEY_ARN,
        "PAGE_ROLE_ARN": amis.role("ApprovalPageRole"),
    }


@contextlib.contextmanager
def cases(_page: Path) -> Iterator[list[Case]]:
    """The approval of two images in two Regions."""
    with LocalAws() as aws, Tape(aws.url) as tape:
        amis.sample_approval(aws, REGION)
        env = runtime_api.environment(settings() | {"AWS_ENDPOINT_URL": tape.url} | roots(), REGION)

        def decision() -> Any:
            # Whoever is asked first must find the approval waiting.
            amis.wait_for_sample_approval(aws, REGION)
            return events.load("amis/page-approve.json")

        def shown(outcome: Outcome) -> bool:
            page = outcome.payload
            return page["statusCode"] == 200 and all(image in page["body"] for image in events.AMIS_IMAGES.values())

        def decided(outcome: Outcome) -> bool:
            page = outcome.payload
            return page["statusCode"] == 200 and "<h1>Approved</h1>" in page["body"]

        yield [
            Case(
                title="The page is opened: token, approval, scan results of two Regions",
                env=env,
                event=lambda: events.load("amis/page-get.json"),
                done=shown,
                goals=Goals(ratio=20),
            ),
            Case(
                title="A decision is sent: token, approval, signal, approval",
                env=env,
                event=decision,
                done=decided,
                goals=Goals(ratio=20),
            ),
        ]


BENCH = Bench(twin=Path(__file__).with_name("ami_approval_page_twin.py"), cases=cases, zip=3_500_000)
