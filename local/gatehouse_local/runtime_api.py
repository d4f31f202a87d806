"""Runs a function's real binary the way Lambda does: as a client of the Lambda runtime API.

`RuntimeApi` is a small runtime API of our own: it measures the time from the start of the process to each answer, and
its peak memory. It gives the process a new environment: what Lambda sets, and what the caller gives. It tells the
process the ARN that AWS's runtime interface emulator tells (`sam.Emulator`), which knows neither account nor Region.
"""

import contextlib
import http.client
import http.server
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

FUNCTION_TIMEOUT = 60  # seconds
ACCOUNT_ID = "012345678912"  # in the ARN that the emulator tells every function; moto has another one


@dataclass
class Outcome:
    """How an invocation ended.

    `payload` is the function's answer, or, if `failed`, its error: a dict with `errorType` and `errorMessage`.
    `log` has the lines that it wrote meanwhile.
    """

    payload: Any
    failed: bool
    seconds: float
    log: list[str] = field(default_factory=list)

    @property
    def error_type(self) -> str | None:
        """The stable name of the error; None if the invocation succeeded."""
        return self.payload.get("errorType") if self.failed else None

    @property
    def error_message(self) -> str:
        """The error message; empty if the invocation succeeded."""
        return self.payload.get("errorMessage", "") if self.failed else ""

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of the log that are JSON objects."""
        found = []
        for line in self.log:
            with contextlib.suppress(json.JSONDecodeError):
                record = json.loads(line)
                if isinstance(record, dict):
                    found.append(record)
        return found


class FunctionDied(Exception):
    """The process ended, or did not start, before it answered; the text has the last lines of its log."""


def environment(settings: dict[str, str], region: str = "us-east-1") -> dict[str, str]:
    """The environment of a function: what Lambda sets, dummy credentials, and `settings`."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_FUNCTION_NAME": "gatehouse-local",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(FUNCTION_TIMEOUT),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "NO_PROXY": "127.0.0.1",
        "PATH": os.defpath,
        "TZ": ":UTC",
        **settings,
    }


class Process:
    """A process with its log, in a process group of its own, so that its children end with it."""

    def __init__(self, command: list[str], env: dict[str, str]):
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 closed in `end`
        self._read = 0
        self.started = time.perf_counter()
        self.popen = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def new_log(self) -> list[str]:
        """The lines since the last call."""
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), size - self._read, self._read).decode(errors="replace")
        self._read = size
        return text.splitlines()

    def end(self) -> None:
        """Ends it and its children."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGTERM)
            try:
                self.popen.wait(timeout=2)
            except subprocess.TimeoutExpired:
                os.killpg(self.popen.pid, signal.SIGKILL)
                self.popen.wait(timeout=5)
        self._log.close()


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores the closed connection of a process that was ended; shows any other error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class RuntimeApi:
    """A binary behind a runtime API of our own. Use as a context manager.

    `limit` is the function's time-out, from which it is told its deadline. `function_arn` is what it is told of itself;
    without one it is what the emulator says. `trace_id` goes with the next events, if it is set.
    """

    trace_id = ""

    def __init__(self, command: list[str], env: dict[str, str], function_arn: str = "", limit: float | None = None):
        self._arn, self._limit = function_arn, FUNCTION_TIMEOUT if limit is None else limit
        self._events: queue.Queue[tuple[str, bytes] | None] = queue.Queue()
        self._answers: queue.Queue[tuple[str, str, bytes, float]] = queue.Queue()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="runtime-api", daemon=True
        )
        self._command = command
        self._env = {**env, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}"}
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.end()
        self._events.put(None)  # ends a request that still waits for an event
        self._server.shutdown()
        self._thread.join(timeout=5)
        self._server.server_close()

    def invoke(self, event: Any, timeout: float = FUNCTION_TIMEOUT) -> Outcome:
        """Sends one event and waits for the answer; the first one also starts the process.

        `seconds` of the first outcome is the cold start: from the start of the process to its answer.
        """
        request_id = str(uuid.uuid4())
        self._events.put((request_id, as_bytes(event)))
        started = time.perf_counter()
        if self._process is None:
            self._process = Process(self._command, self._env)
            started = self._process.started
        process, deadline = self._process, time.monotonic() + timeout
        while True:
            with contextlib.suppress(queue.Empty):
                kind, answered, body, when = self._answers.get(timeout=0.05)
                break
            if not process.running and self._answers.empty():
                raise FunctionDied(f"exit code {process.popen.returncode}\n" + "\n".join(process.new_log()[-20:]))
            if time.monotonic() > deadline:
                raise FunctionDied(f"no answer within {timeout} s\n" + "\n".join(process.new_log()[-20:]))
        if kind == "response" and answered != request_id:
            raise FunctionDied(f"the function answered {answered}, but was asked {request_id}")
        return Outcome(json.loads(body or b"null"), kind != "response", when - started, process.new_log())

    @property
    def function_arn(self) -> str:
        """What the function is told of itself."""
        if self._arn:
            return self._arn
        name = self._env.get("AWS_LAMBDA_FUNCTION_NAME", "test_function")
        return f"arn:aws:lambda:us-east-1:{ACCOUNT_ID}:function:{name}"

    def peak_memory(self) -> int:
        """The peak memory of the process so far, in bytes (Linux only)."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.popen.pid}/status").read_text()
        high_water = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(high_water.split()[1]) * 1024

    def cpu_seconds(self) -> float:
        """The processor time of the process so far (Linux only); other load on the machine changes it little."""
        assert self._process is not None
        tasks = Path(f"/proc/{self._process.popen.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # One packet for each answer: with two, Nagle's algorithm and delayed ACKs would add 40 ms.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                if not self.path.endswith("/runtime/invocation/next"):
                    return self._send(404, b"")
                waiting = api._events.get()
                if waiting is None:
                    self.close_connection = True
                    return None
                request_id, event = waiting
                headers = {
                    "Lambda-Runtime-Aws-Request-Id": request_id,
                    "Lambda-Runtime-Deadline-Ms": str(int((time.time() + api._limit) * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": api.function_arn,
                }
                if api.trace_id:
                    headers["Lambda-Runtime-Trace-Id"] = api.trace_id
                return self._send(200, event, headers)

            def do_POST(self) -> None:
                body = self._body()
                when = time.perf_counter()
                parts = self.path.strip("/").split("/")
                if parts[-2:] == ["init", "error"]:
                    api._answers.put(("init-error", "", body, when))
                else:
                    api._answers.put((parts[-1], parts[-2], body, when))
                self._send(202, b"{}")

            def _body(self) -> bytes:
                """The body: of a length that is given, or in chunks."""
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = b""
                while size := int(self.rfile.readline().partition(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                while self.rfile.readline().strip():  # trailers, up to the empty line
                    pass
                return body

            def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response_only(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

        return Handler


def invoke_once(binary: Path, env: dict[str, str], event: Any) -> Outcome:
    """Starts a binary, sends it one event, and ends it."""
    with RuntimeApi([str(binary)], env) as function:
        return function.invoke(event)


def as_bytes(event: Any) -> bytes:
    """The event as it is sent."""
    return event if isinstance(event, bytes) else json.dumps(event).encode()
