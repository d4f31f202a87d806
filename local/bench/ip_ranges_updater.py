"""The bench of the ip-ranges updater: its main event, a signed notice, and a scheduled run; neither changes anything.

Each answer of EC2 is recorded the first time it is asked for, and answered from memory from then on (`Tape`).
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gatehouse_local import ROOT, events, ranges, runtime_api, sns
from gatehouse_local.aws import LocalAws
from gatehouse_local.bench_case import Bench, Case, Goals
from gatehouse_local.figures import roots, roots_with
from gatehouse_local.runtime_api import Outcome
from gatehouse_local.tape import Tape
from gatehouse_local.web import Page, Web

DOCUMENT_PATH = "/ip-ranges.json"
PORTS = "80,443"


@contextlib.contextmanager
def cases(updater: Path) -> Iterator[list[Case]]:
    """A VPC whose groups hold what the document says: nothing is to change."""
    document = ranges.first()
    with (
        LocalAws() as aws,
        Web() as web,
        Tape(aws.url, {DOCUMENT_PATH: document.body}) as tape,
        tempfile.TemporaryDirectory() as folder,
    ):
        web.serve(sns.CERTIFICATE_URL, Page(sns.certificate(), content_type="application/x-pem-file"))
        settings = {
            "AWS_ENDPOINT_URL": tape.url,
            "IP_RANGES_URL": f"{tape.url}{DOCUMENT_PATH}",
            "PORTS": PORTS,
            "VPC_ID": aws.ec2.default_vpc(),
        }
        filling = runtime_api.environment({**settings, "AWS_ENDPOINT_URL": aws.url})
        outcome = runtime_api.invoke_once(updater, filling, {})
        if outcome.failed:
            raise SystemExit(f"the updater could not fill the groups: {outcome.payload}")

        def done(outcome: Outcome) -> bool:
            wrote = [call.operation for call in aws.calls[filled:] if call.writes]
            return outcome.payload["sync_token"] == document.sync_token and not wrote

        filled = len(aws.calls)
        notice = events.signed_notice(document, url=settings["IP_RANGES_URL"])
        trusted = roots_with(web.authority_file, Path(folder))
        yield [
            Case(
                title="A signed notice: certificate, signature, MD5, document, groups; nothing changes",
                env=runtime_api.environment(settings | events.SAMPLE_AGE | web.environment | trusted),
                event=lambda: notice,
                done=done,
                goals=Goals(ratio=8, warm=0.020, memory=24 * 1024**2),
            ),
            Case(
                title="A scheduled run: document and groups; nothing changes",
                env=runtime_api.environment(settings | roots()),
                event=events.schedule,
                done=done,
                goals=Goals(ratio=15, over_empty=0.014, warm=0.010, memory=24 * 1024**2),
            ),
        ]


def document_file() -> dict[str, str]:
    """The document as a file, for the benchmarks of the crate that reads it."""
    path = ROOT / "local" / ".work" / "ip-ranges.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ranges.first().body)
    return {"IP_RANGES_DOCUMENT": str(path)}


BENCH = Bench(
    twin=Path(__file__).with_name("ip_ranges_updater_twin.py"),
    cases=cases,
    zip=3_500_000,
    crate="ip-ranges-planner",
    crate_settings=document_file,
)
