"""The bench of the approval request: a signed notice that an image is available, with and without the link.

Each invocation is one more delivery of the same notice. Systems Manager answers all of them with the same execution, so
the answers of AWS are recorded, and come from memory from then on (`Tape`).
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gatehouse_local import amis, events, runtime_api, sns
from gatehouse_local.aws import LocalAws
from gatehouse_local.bench_case import Bench, Case, Goals
from gatehouse_local.figures import roots_with
from gatehouse_local.runtime_api import Outcome
from gatehouse_local.tape import Tape
from gatehouse_local.web import Page, Web

REGION = "eu-west-1"  # of the samples
PAGE_URL = "https://example.execute-api.eu-west-1.amazonaws.com/approval"


def settings(topics: dict[str, str], link: bool) -> dict[str, str]:
    """The settings of the function; `topics` are those of `amis.sample_approval`."""
    found = events.SAMPLE_AGE | {
        "APPROVER_TOPIC_ARN": topics["ApproverTopic"],
        "AUTOMATION_DOCUMENT": events.environment()["AmiApprovalRequestFunction"]["AUTOMATION_DOCUMENT"],
        "TARGET_ACCOUNT_IDS": events.AMIS_TARGET,
        "TOPIC_ARNS": events.AMIS_TOPIC_ARN.format("gatehouse-amis-builds"),
    }
    if link:
        found |= {
            "APPROVAL_LINK": "true",
            "APPROVAL_PAGE_URL": PAGE_URL,
            "LINK_KEY_ARN": events.LINK_KEY_ARN,
        }
    return found


def signed(sample: str) -> dict:
    """A sample of the capability, signed with the test key."""
    [record] = events.load(f"amis/{sample}")["Records"]
    return sns.lambda_event(sns.sign(record["Sns"], "2"))


@contextlib.contextmanager
def cases(_request: Path) -> Iterator[list[Case]]:
    """A build whose approval waits, and its notice."""
    with LocalAws() as aws, Web() as web, Tape(aws.url) as tape, tempfile.TemporaryDirectory() as folder:
        topics = amis.sample_approval(aws, REGION)
        notice = signed("request-available.json")
        certificate = Page(sns.certificate(), content_type="application/x-pem-file")
        web.serve(notice["Records"][0]["Sns"]["SigningCertUrl"], certificate)
        here = {"AWS_ENDPOINT_URL": tape.url} | web.environment | roots_with(web.authority_file, Path(folder))

        def done(outcome: Outcome) -> bool:
            [report] = outcome.payload
            return report["outcome"] == "Requested" and len(aws.ssm_automation.executions) == 2

        def done_with_link(outcome: Outcome) -> bool:
            return done(outcome) and outcome.payload[0]["mail"] == "Gatehouse amis: approve golden-al2023"

        yield [
            Case(
                title="A signed notice with the link: certificate, signature, execution, token, mail",
                env=runtime_api.environment(settings(topics, link=True) | here, REGION),
                event=lambda: notice,
                done=done_with_link,
                goals=Goals(ratio=20),
            ),
            Case(
                title="A signed notice without the link: certificate, signature, execution",
                env=runtime_api.environment(settings(topics, link=False) | here, REGION),
                event=lambda: notice,
                done=done,
                goals=Goals(ratio=20),
            ),
        ]


BENCH = Bench(twin=Path(__file__).with_name("ami_approval_request_twin.py"), cases=cases, zip=3_500_000)
