"""What `sam local invoke` gives a function, found out by the SAM CLI's own code.

SAM resolves parameters and conditions only in part: a reference to a resource becomes the resource's logical id, and
what it cannot resolve becomes an empty text. Of an `--env-vars` file it passes on only variables that the template
declares.

`Emulator` runs a binary in AWS's runtime interface emulator, as SAM's container does. Only tests need it: the demos and
`make local-aws` run without the SAM CLI.
"""

import contextlib
import functools
import http.client
import json
import os
import platform
import random
import socket
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Self
from unittest import mock

import samcli
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.provider import Function, Stack
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

from gatehouse_local import runtime_api

# Lines of the emulator, not the function's.
LIFECYCLE = ("START RequestId", "END RequestId", "REPORT RequestId")
# An empty machine: no variables and no AWS credentials of whoever runs this.
NOBODY = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "PATH": os.defpath,
}


def function(template: Path, logical_id: str, **parameters: str) -> Function:
    """The function as SAM reads it from the template, with `parameters` as `--parameter-overrides`."""
    with mock.patch.dict(os.environ, NOBODY, clear=True):
        return _provider(template, parameters).functions[logical_id]


def environment(
    template: Path,
    logical_id: str,
    env_vars: dict[str, Any],
    shell: dict[str, str] | None = None,
    region: str | None = None,
    **parameters: str,
) -> dict[str, str]:
    """The environment of the function in its container.

    `env_vars` is what the `--env-vars` file holds, `shell` are variables of the shell that runs `sam`, `parameters` are
    `--parameter-overrides`, and `region` is `--region`.
    """
    with mock.patch.dict(os.environ, NOBODY | (shell or {}), clear=True):
        folder = str(template.parent)
        runner = LocalLambdaRunner(
            None, _provider(template, parameters), folder, folder, aws_region=region, env_vars_values=env_vars
        )
        return runner.get_invoke_config(runner.get_function(logical_id)).env_vars.resolve()


def routes(template: Path, **parameters: str) -> list[tuple[str, str, str]]:
    """What `sam local start-api` serves: method, path and the function behind them."""
    with (
        mock.patch.dict(os.environ, NOBODY, clear=True),
        warnings.catch_warnings(action="ignore", category=DeprecationWarning),
    ):
        found = ApiProvider(_stacks(template, parameters)).api.routes
    return sorted({(method, route.path, route.function_name) for route in found for method in route.methods})


def _provider(template: Path, parameters: dict[str, str]) -> SamFunctionProvider:
    return _read(template, template.read_text(), tuple(parameters.items()))


@functools.cache
def _read(template: Path, text: str, parameters: tuple[tuple[str, str], ...]) -> SamFunctionProvider:
    """Reads a template once, as long as its `text` is the same."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return SamFunctionProvider(_stacks(template, dict(parameters)))


def _stacks(template: Path, parameters: dict[str, str]) -> list[Stack]:
    # The SAM CLI calls parts of its own libraries that these have deprecated.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return SamLocalStackProvider.get_stacks(str(template), parameter_overrides=parameters)[0]


class Emulator:
    """A binary behind AWS's runtime interface emulator. Use as a context manager.

    The emulator answers HTTP 200 for a failed invocation too: only the body shows the failure.
    """

    def __init__(self, binary: Path, env: dict[str, str]):
        self._invoke_port = free_ports(2)
        self._process = runtime_api.Process(
            [
                str(_emulator()),
                "--runtime-interface-emulator-address",
                f"127.0.0.1:{self._invoke_port}",
                "--runtime-api-address",
                f"127.0.0.1:{self._invoke_port + 1}",
                "--log-level",
                "error",
                str(binary.absolute()),
            ],
            env,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 10
        while self._process.running and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._invoke_port), 1):
                return self
            time.sleep(0.01)
        log = self._process.new_log()
        self._process.end()
        raise runtime_api.FunctionDied("the runtime interface emulator did not start: " + "\n".join(log))

    def __exit__(self, *_: object) -> None:
        self._process.end()

    def invoke(self, event: Any) -> runtime_api.Outcome:
        """Sends one event and waits for the answer."""
        started = time.perf_counter()
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._invoke_port, timeout=runtime_api.FUNCTION_TIMEOUT + 5
        )
        with contextlib.closing(connection):
            connection.request(
                "POST",
                "/2015-03-31/functions/function/invocations",
                runtime_api.as_bytes(event),
                {"Content-Type": "application/json"},
            )
            body = connection.getresponse().read()
        seconds = time.perf_counter() - started
        log = [line for line in self._process.new_log() if not line.startswith(LIFECYCLE)]
        try:
            payload = json.loads(body)
        except json.JSONDecodeError:
            raise runtime_api.FunctionDied("\n".join([body.decode(errors="replace"), *log[-20:]])) from None
        failed = isinstance(payload, dict) and "errorType" in payload
        return runtime_api.Outcome(payload, failed, seconds, log)


def _emulator() -> Path:
    """The emulator that the SAM CLI contains, for this machine's processor."""
    if sys.platform != "linux":
        raise runtime_api.FunctionDied("the runtime interface emulator runs on Linux only")
    processor = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    return Path(samcli.__file__).parent / "local" / "rapid" / f"aws-lambda-rie-{processor}"


def free_ports(count: int = 1) -> int:
    """The first of `count` ports of loopback that follow each other and are free.

    Below those that systems hand out by themselves, so that no connection of another test takes one meanwhile.
    """
    for port in random.sample(range(10_000, 30_000), 100):
        with contextlib.ExitStack() as opened, contextlib.suppress(OSError):
            for number in range(port, port + count):
                opened.enter_context(socket.socket()).bind(("127.0.0.1", number))
            return port
    raise OSError("no free port between 10000 and 30000")
