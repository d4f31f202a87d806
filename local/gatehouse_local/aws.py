"""A local AWS on loopback: moto behind a front that records, checks and disturbs.

The front answers on one address for every service and Region, as `AWS_ENDPOINT_URL` expects. Each call is
identified and checked against the service's model (`wire`), recorded, perhaps disturbed by a `Fault`, and
then answered by a handler registered here or, where there is none, by moto. A handler covers what moto
lacks or does differently from AWS; see the parts, such as `ec2` and `ssm_automation`.
"""

import collections
import contextlib
import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import boto3
import botocore.config
from moto.core.base_backend import BackendDict
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import run_wsgi_app

from gatehouse_local import (
    codepipeline,
    ec2,
    health,
    image_builder,
    images,
    kms_macs,
    sns_delivery,
    ssm_automation,
    ssm_parameters,
    wafv2,
    wire,
)
from gatehouse_local.parts import Front, Handler, Invocation, Part
from gatehouse_local.wire import AwsError, Operation, Request, Response

AnyPart = TypeVar("AnyPart", bound=Part)

# moto would make hundreds of images for each Region, each time that everything is forgotten. Who needs one makes it.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

# A client that carries this in its User-Agent stands behind the scenes: it arranges and inspects the local
# AWS, so its calls are neither recorded nor disturbed.
BACKSTAGE = "gatehouse-backstage"

# Longer than any function here waits for one answer.
HANG_SECONDS = 12


@dataclass
class Call:
    """One recorded call. `error` is the AWS error code, or what a fault did; None for success."""

    service: str
    operation: str
    region: str
    params: dict[str, Any]
    status: int = 0
    error: str | None = None
    seconds: float = 0.0

    @property
    def writes(self) -> bool:
        """Whether the call changes anything, by the verb of its name."""
        return not self.operation.startswith(("Describe", "GenerateMac", "Get", "List", "Verify"))


@dataclass
class Fault:
    """Something that goes wrong with the next `times` calls that match.

    `kind` is one of
    - `throttle`: refused as too many requests, as each protocol words it;
    - `refuse`: refused with the error `code`, nothing done;
    - `server-error`: HTTP 500, nothing done;
    - `lost-reply`: the call takes effect, then the connection is cut without an answer;
    - `cut`: the connection is cut before anything is done, as if the endpoint were down;
    - `hang`: nothing is done or answered for HANG_SECONDS, then the connection is cut.
    """

    kind: str
    service: str | None = None
    operation: str | None = None
    region: str | None = None
    times: int | None = 1
    code: str = ""

    def matches(self, operation: Operation) -> bool:
        """Whether this fault is meant for `operation` and not used up."""
        return self.times != 0 and all(
            wanted in (None, seen)
            for wanted, seen in (
                (self.service, operation.service),
                (self.operation, operation.name),
                (self.region, operation.region),
            )
        )


@dataclass
class _State:
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


class LocalAws:
    """The local AWS. Use as a context manager, or call `start` and `stop`.

    `url` is what belongs into `AWS_ENDPOINT_URL`. `handlers` maps (service, operation) to a handler. `before` sees
    each request of a function before it is answered, `after` each recorded call once it has been answered.
    """

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.before: Callable[[Request], None] = lambda _: None
        self.after: Callable[[Call], None] = lambda _: None
        self.handlers: dict[tuple[str, str], Handler] = {}
        self._parts: list[Part] = []
        self.ec2 = self._add(ec2.Ec2)
        self.codepipeline = self._add(codepipeline.CodePipeline)
        self.health = self._add(health.Health)
        self.images = self._add(images.Images)
        self.image_builder = self._add(image_builder.ImageBuilder)
        self.kms_macs = self._add(kms_macs.KmsMacs)
        self.ssm_automation = self._add(ssm_automation.SsmAutomation)
        self.parameters = self._add(ssm_parameters.SsmParameters)
        self.waf = self._add(wafv2.Wafv2)
        self.sns = self._add(sns_delivery.SnsDelivery)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._state = _State()
        # moto's backends expect one caller at a time.
        self._moto_lock = threading.RLock()
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._server = make_server(address, port, self._serve, threaded=True, request_handler=_QuietHandler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="local-aws", daemon=True)

    def _add(self, part: Callable[[Front], AnyPart]) -> AnyPart:
        """Makes a part of the local AWS, which registers its handlers; `reset` reaches it from now on."""
        made = part(self)
        self._parts.append(made)
        return made

    def start(self) -> Self:
        """Starts answering."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stops answering and forgets everything."""
        self._server.shutdown()
        self._thread.join(timeout=5)
        self._server.server_close()
        self.reset()
        for client in self._clients.values():
            client.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The endpoint of every service and Region."""
        return f"http://{self._server.host}:{self._server.server_port}"

    def reset(self) -> None:
        """Forgets resources, calls and faults, as if just started."""
        # Before the lock: a part may wait for something that calls this local AWS.
        for part in self._parts:
            part.reset()
        with self._moto_lock:
            BackendDict.reset()
        with self._lock:
            self._state = _State()

    def client(self, service: str, region: str = "us-east-1", key: str = "test") -> Any:
        """A boto3 client behind the scenes: its calls are neither recorded nor disturbed.

        There is one for each service, Region and access key `key`: a new one would read the service's model again.
        """
        with self._lock:
            wanted = (service, region, key)
            if wanted not in self._clients:
                self._clients[wanted] = boto3.client(
                    service,
                    region_name=region,
                    endpoint_url=self.url,
                    aws_access_key_id=key,
                    aws_secret_access_key="test",
                    config=botocore.config.Config(user_agent_extra=BACKSTAGE, proxies={}),
                )
            return self._clients[wanted]

    def disturb(self, kind: str, **where: Any) -> Fault:
        """Lets something go wrong; see `Fault`. Later faults wait until earlier ones are used up."""
        fault = Fault(kind, **where)
        with self._lock:
            self._state.faults.append(fault)
        return fault

    def calm(self) -> None:
        """Lifts every fault."""
        with self._lock:
            self._state.faults.clear()

    @property
    def calls(self) -> list[Call]:
        """Every call so far, in the order in which they were answered."""
        with self._lock:
            return list(self._state.calls)

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[Call]]:
        """Gives a list that holds, after the block, the calls made within it."""
        start, seen = len(self.calls), []
        try:
            yield seen
        finally:
            seen.extend(self.calls[start:])

    def _serve(self, environ: dict[str, Any], start_response: Callable) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        headers = {
            key.removeprefix("HTTP_").replace("_", "-").lower(): value
            for key, value in environ.items()
            if key.startswith("HTTP_")
        }
        request = Request(
            environ["REQUEST_METHOD"], environ["PATH_INFO"], headers, body, environ.get("QUERY_STRING", "")
        )
        response = self._respond(request, environ)
        if response is None:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        start_response(f"{response.status} -", list(response.headers.items()))
        return [response.body]

    def _respond(self, request: Request, environ: dict[str, Any]) -> Response | None:
        """The answer, or None where the connection is to be cut."""
        operation = wire.identify(request)
        if operation is None:
            return Response(404, {"Content-Type": "text/plain"}, b"not a call of an AWS service that is known here\n")
        if BACKSTAGE in request.headers.get("user-agent", ""):
            return self._perform(operation, environ)
        self.before(request)

        # A call that hangs may end after a reset; it belongs to the time before.
        state, started = self._state, time.perf_counter()
        call = Call(operation.service, operation.name, operation.region, operation.params)
        fault = self._next_fault(operation)
        try:
            if fault is None:
                response = self._perform(operation, environ)
            else:
                call.error = fault.kind
                response = self._go_wrong(fault, operation, environ)
        except Exception as error:  # a handler's own fault: the client is told at once, and does not try again
            call.error = f"{type(error).__name__}: {error}"
            response = wire.refuse(operation, AwsError("LocalAwsFault", call.error, 400))
        finally:
            call.seconds = time.perf_counter() - started
            with self._lock:
                state.calls.append(call)
        if response is not None:
            call.status = response.status
            if response.status >= 300 and call.error is None:
                call.error = _error_code(operation, response)
        self.after(call)
        return response

    def _next_fault(self, operation: Operation) -> Fault | None:
        with self._lock:
            for fault in self._state.faults:
                if fault.matches(operation):
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def _go_wrong(self, fault: Fault, operation: Operation, environ: dict[str, Any]) -> Response | None:
        match fault.kind:
            case "throttle":
                return wire.refuse(operation, wire.throttled(operation))
            case "refuse":
                return wire.refuse(operation, AwsError(fault.code, "refused for the sake of a test"))
            case "server-error":
                return wire.refuse(operation, wire.failed(operation))
            case "lost-reply":
                self._perform(operation, environ)
                return None
            case "cut":
                return None
            case "hang":
                time.sleep(HANG_SECONDS)
                return None
            case other:
                raise ValueError(f"no such fault: {other}")

    def _perform(self, operation: Operation, environ: dict[str, Any]) -> Response:
        handler = self.handlers.get((operation.service, operation.name))
        try:
            wire.check_request(operation)
            with self._moto_lock:
                if handler is None:
                    return self._forward(environ)
                invocation = Invocation(operation, lambda: self._forward(environ))
                return wire.answer(operation, handler(invocation))
        except AwsError as error:
            return wire.refuse(operation, error)

    def _forward(self, environ: dict[str, Any]) -> Response:
        environ["wsgi.input"].seek(0)
        with self._moto_lock:
            body, status, headers = run_wsgi_app(self._moto, environ, buffered=True)
            return Response(int(status.split()[0]), dict(headers.items()), b"".join(body))


class _QuietHandler(MotoRequestHandler):
    def log(self, *_: Any, **__: Any) -> None:
        """The front records calls; an access log on stderr would only disturb."""


def _error_code(operation: Operation, response: Response) -> str:
    try:
        wire.read_answer(operation, response)
    except AwsError as error:
        return error.code
    return str(response.status)


def operations(calls: list[Call]) -> dict[str, int]:
    """How often each operation was called, in the order of first use."""
    return dict(collections.Counter(call.operation for call in calls))
