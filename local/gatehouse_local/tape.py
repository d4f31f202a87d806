"""Answers calls of AWS from memory, for the bench: moto would take most of the time, for function and twin alike."""

import contextlib
import http.client
import http.server
import threading
from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit


class Tape:
    """Answers each call as `upstream`, a local AWS, answered the same call before. `pages` are documents by path.

    Use as a context manager. Two calls are the same if they have the same body, operation, service and Region.
    """

    def __init__(self, upstream: str, pages: Mapping[str, bytes] | None = None):
        self._answers: dict[tuple[str, ...], bytes] = {}
        self._pages = {path: _http(200, "application/json", body) for path, body in (pages or {}).items()}
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
                self.wfile.write(tape._pages.get(self.path) or _http(404, "text/plain", b""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                # Service and Region are in the credential scope of the signature.
                scope = self.headers.get("Authorization", "").partition(",")[0]
                key = (self.path, self.headers.get("X-Amz-Target", ""), scope, body.decode())
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
