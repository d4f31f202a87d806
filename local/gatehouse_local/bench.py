"""The part of `make bench` about the ip-ranges updater as a whole process: cold start, warm run, memory, size.

A cold start runs from the start of the process to its first answer to the runtime API. Each run is one as by schedule
that changes nothing: it fetches the document and reads the groups. A run by notice takes the document's MD5 too, which
`cargo bench -p ip-ranges-planner` times. moto would take most of that time, for the updater and for whatever it is
compared with, so its reply is recorded once and replayed from memory. Document and replies come over plain HTTP on
loopback.

The updater, a boto3 twin (`local/bench/ip_ranges_twin.py`) and an empty Rust function (`local/bench/empty`) take turns,
so that a machine that is busy for a while slows all of them down.
"""

import socketserver
import statistics
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.console import Console

from gatehouse_local import ranges, runtime_api, sns
from gatehouse_local.aws import LocalAws
from gatehouse_local.figures import Figures, command_line, goal, ms, roots, show, zipped
from gatehouse_local.runtime_api import Outcome, RuntimeApi
from gatehouse_local.web import Web

TWIN = sns.ROOT / "local" / "bench" / "ip_ranges_twin.py"
DOCUMENT_PATH = "/ip-ranges.json"
WARM_RUNS = 5

COLD_RATIO = 15  # the twin's cold start over the updater's: at least
COLD_OVER_EMPTY = 0.014  # seconds above the empty function: at most
WARM = 0.010  # seconds: at most
MEMORY = 24 * 1024**2  # bytes: at most
ZIP = 3_500_000  # bytes: at most


class Replay:
    """Answers DescribeSecurityGroups and the document from memory. Use as a context manager."""

    def __init__(self, described: bytes, document: bytes):
        answers = {
            b"describe": _http(described, b"text/xml"),
            b"document": _http(document, b"application/json"),
        }

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self) -> None:
                while line := self.rfile.readline():
                    length = 0
                    while (header := self.rfile.readline().strip()) != b"":
                        name, _, value = header.partition(b":")
                        if name.lower() == b"content-length":
                            length = int(value)
                    body = self.rfile.read(length)
                    if line.startswith(b"GET " + DOCUMENT_PATH.encode()):
                        self.connection.sendall(answers[b"document"])
                    elif b"Action=DescribeSecurityGroups&" in body:
                        self.connection.sendall(answers[b"describe"])
                    else:
                        self.connection.sendall(b"HTTP/1.1 400 Not in the replay\r\nContent-Length: 0\r\n\r\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(timeout=5)
        self._server.server_close()


def _http(body: bytes, content_type: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (content_type, len(body), body)


@dataclass(kw_only=True)
class Program(Figures):
    """What is measured, and its figures."""

    command: list[str]
    check: Callable[[Outcome], bool]

    def run(self, env: dict[str, str]) -> None:
        """One cold start, and warm runs after it."""
        with RuntimeApi(self.command, env) as function:
            outcomes = [function.invoke({})]
            if sys.platform == "linux":
                self.cold_cpu.append(function.cpu_seconds())
            outcomes += [function.invoke({}) for _ in range(WARM_RUNS)]
            for outcome in outcomes:
                if outcome.failed or not self.check(outcome):
                    raise SystemExit(f"{self.name} did not do its work: {outcome.payload}")
            self.cold.append(outcomes[0].seconds)
            self.warm.append(statistics.median(outcome.seconds for outcome in outcomes[1:]))
            if sys.platform == "linux":
                self.warm_cpu.append((function.cpu_seconds() - self.cold_cpu[-1]) / WARM_RUNS)
                self.memory.append(function.peak_memory())


def programs(updater: Path, empty: Path | None) -> list[Program]:
    """The updater, its twin and, if there is one, the empty function."""
    token = ranges.FIRST_EDITION

    def unchanged(outcome: Outcome) -> bool:
        (region,) = outcome.payload["regions"]
        return outcome.payload["sync_token"] == token and region["calls"] == {"DescribeSecurityGroups": 1}

    found = [
        Program(name="updater", command=[str(updater)], check=unchanged),
        Program(
            name="boto3 twin",
            command=[sys.executable, str(TWIN)],
            check=lambda outcome: outcome.payload["sync_token"] == token,
        ),
    ]
    if empty is not None:
        found.append(Program(name="empty", command=[str(empty)], check=lambda outcome: True))
    return found


def settled_groups(updater: Path, ports: str) -> tuple[str, bytes]:
    """Lets the updater fill groups in the local AWS: the VPC's id, and how EC2 describes the groups then."""
    bodies: list[bytes] = []
    with LocalAws() as aws, Web() as web:
        url = f"{web.url}{DOCUMENT_PATH}"
        web.serve(url, ranges.first().body)
        env = {"AWS_ENDPOINT_URL": aws.url, "IP_RANGES_URL": url, "PORTS": ports}
        outcome = runtime_api.invoke_once(updater, runtime_api.environment(env), {})
        if outcome.failed:
            raise SystemExit(f"the updater could not fill the groups: {outcome.payload}")
        client = aws.client("ec2")
        client.meta.events.register(
            "before-parse.ec2.DescribeSecurityGroups", lambda response_dict, **_: bodies.append(response_dict["body"])
        )
        filters = [{"Name": "tag:gatehouse:prefix-name", "Values": ["AUTOUPDATE"]}]
        client.describe_security_groups(Filters=filters)
        return aws.ec2.default_vpc(), bodies[0]


def measure(updater: Path, empty: Path | None, rounds: int) -> list[Program]:
    """Runs all programs in turns; the first round only fills the caches of the disk."""
    ports = "80,443"
    vpc, described = settled_groups(updater, ports)
    measured = programs(updater, empty)
    with Replay(described, ranges.first().body) as replay:
        env = runtime_api.environment(
            {
                "AWS_ENDPOINT_URL": replay.url,
                "IP_RANGES_URL": f"{replay.url}{DOCUMENT_PATH}",
                "PORTS": ports,
                "VPC_ID": vpc,
                **roots(),
            }
        )
        for number in range(rounds + 1):
            for program in measured:
                program.run(env)
                if number == 0:
                    program.forget()
    return measured


def report(out: Console, measured: list[Program], size: int) -> None:
    """Prints what was measured beside the goals."""
    show(out, measured)

    updater, twin = measured[0], measured[1]
    cold = statistics.median(updater.cold)
    ratio = statistics.median(twin.cold) / cold
    goal(out, f"cold start: 1/{ratio:.1f} of the twin's", f"at most 1/{COLD_RATIO}", ratio >= COLD_RATIO)
    if len(measured) > 2:
        over = cold - statistics.median(measured[2].cold)
        goal(
            out,
            f"cold start: {ms(over)} over the empty function",
            f"at most {ms(COLD_OVER_EMPTY)}",
            over <= COLD_OVER_EMPTY,
        )
    warm = statistics.median(updater.warm)
    goal(out, f"warm run: {ms(warm)}", f"at most {ms(WARM)}", warm <= WARM)
    if updater.memory:
        memory = statistics.median(updater.memory)
        goal(out, f"peak memory: {memory / 1024**2:.1f} MiB", f"at most {MEMORY // 1024**2} MiB", memory <= MEMORY)
    goal(out, f"zip: {size / 1e6:.2f} MB", f"at most {ZIP / 1e6:.1f} MB", size <= ZIP)


def main() -> int:
    """Measures and prints; the goals are for reading, since a busy machine misses them."""
    given = command_line(__doc__.splitlines()[0], "ip-ranges-updater")
    out = Console(highlight=False)
    out.rule("[bold]ip-ranges: the updater, whole processes", align="left")
    out.print(
        "A scheduled run that changes nothing. EC2's reply is moto's, replayed from memory; plain HTTP on loopback."
    )
    report(out, measure(given.binary, given.empty, given.runs), zipped(given.binary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
