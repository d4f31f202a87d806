"""The bench of the ip-ranges updater: its main event, a signed notice, and a scheduled run; neither changes anything.

moto would take most of the time, for the updater and for its twin. So each answer of EC2 is recorded the first time it
is asked for, and answered from memory from then on.
"""

import contextlib
import http.client
import http.server
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from gatehouse_local import ROOT, events, ranges, runtime_api, sns
from gatehouse_local.aws import LocalAws
from gatehouse_local.bench_case import Bench, Case, Goals
from gatehouse_local.figures import BUNDLE, roots
from gatehouse_local.runtime_api import Outcome
from gatehouse_local.web import Page, Web

DOCUMENT_PATH = "/ip-ranges.json"
PORTS = "80,443"


class Tape:
    """Answers the document from memory, and EC2's calls as `upstream` answered the same call before.

    Use as a context manager. A call is the same as another where their bodies are.
    """

    def __init__(self, upstream: str, document: bytes):
        self._answers: dict[bytes, bytes] = {}
        self._document = _http(200, "application/json", document)
        self._upstream = urlsplit(upstream).netloc
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(timeout=5)
        self._server.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        tape = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                known = self.path == DOCUMENT_PATH
                self.wfile.write(tape._document if known else _http(404, "text/plain", b""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                key = self.path.encode() + b"\n" + body
                answer = tape._answers.get(key)
                if answer is None:
                    answer = tape._ask(self.path, body, dict(self.headers))
                    tape._answers[key] = answer
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """What is asked is in the calls of the local AWS."""

        return Handler

    def _ask(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        connection = http.client.HTTPConnection(self._upstream, timeout=30)
        with contextlib.closing(connection):
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return _http(response.status, response.headers.get_content_type(), response.read())


def _http(status: int, content_type: str, body: bytes) -> bytes:
    reason = http.client.responses[status]
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextlib.contextmanager
def cases(updater: Path) -> Iterator[list[Case]]:
    """A VPC whose groups hold what the document says: nothing is to change."""
    document = ranges.first()
    with LocalAws() as aws, Web() as web, Tape(aws.url, document.body) as tape, tempfile.TemporaryDirectory() as folder:
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
        trusted = _bundle(Path(folder), Path(web.environment["SSL_CERT_FILE"]))
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


def _bundle(folder: Path, authority: Path) -> dict[str, str]:
    """The root certificates of this machine and the one of `web`: as many as Lambda's image has."""
    bundle = folder / "roots.pem"
    bundle.write_bytes((BUNDLE.read_bytes() if BUNDLE.exists() else b"") + authority.read_bytes())
    return {"SSL_CERT_FILE": str(bundle)}


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
