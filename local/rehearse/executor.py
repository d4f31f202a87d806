"""Runs the functions for LocalStack: as processes of this machine, where LocalStack itself would start containers.

LocalStack finds `Plugin` by its entry point; `server` writes that. This module alone runs in `.venv-rehearse`, inside
LocalStack. The runtime API is the one that the flow tests use.
"""

import json
import os
import threading
from pathlib import Path
from typing import Any

from localstack import config
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from gatehouse_local.runtime_api import FunctionDied, Outcome, RuntimeApi
from rehearse.recording import ENVIRONMENT, INVOCATIONS, NAME, Invocation

MORE = 5  # seconds beyond the function's time-out: it answers by itself before
_writing = threading.Lock()


class ProcessExecutor(RuntimeExecutor):
    """One instance of a function: its `bootstrap` behind a runtime API on loopback."""

    _api: RuntimeApi | None = None

    def start(self, env_vars: dict[str, Any]) -> None:
        """Opens the runtime API; the process starts with the first event."""
        given = {name: str(value) for name, value in env_vars.items()}
        self._env = {"PATH": os.defpath} | given | json.loads(os.environ[ENVIRONMENT])
        self._log: list[str] = []

    def stop(self) -> None:
        """Ends the process."""
        if self._api:
            self._api.__exit__()
        self._api = None

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        """Gives the function an event and waits for its answer."""
        settings = self.function_version.config
        if self._api is None:
            code = settings.code.get_unzipped_code_location()
            arn = payload["invoked-function-arn"]
            self._api = RuntimeApi([str(code / "bootstrap")], self._env, arn, settings.timeout).__enter__()
        request_id = payload["invoke-id"]
        event = payload["payload"].encode()
        try:
            self._api.trace_id = payload["trace-id"]
            outcome = self._api.invoke(event, settings.timeout + MORE)
        except FunctionDied as died:
            self.stop()  # a new process for the next event
            error = {"errorType": "Runtime.ExitError", "errorMessage": str(died)}
            outcome = Outcome(error, True, 0.0, str(died).splitlines())
        self._log += outcome.log
        self._record(event, outcome)
        body = json.dumps(outcome.payload).encode()
        return InvocationResult(request_id, body, outcome.failed, "\n".join(outcome.log))

    def get_logs(self) -> str:
        """All that this instance wrote."""
        return "\n".join(self._log)

    def get_address(self) -> str:
        """Where the instance is."""
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        """Where the instance finds LocalStack."""
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        """Where LocalStack's own program in the container would report; there is none."""
        return f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}/_localstack_lambda/{self.id}"

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        """Unpacks the code."""
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """Nothing: LocalStack deletes the code itself."""

    def _record(self, event: bytes, outcome: Outcome) -> None:
        version = self.function_version.id
        line = Invocation(
            version.account, version.function_name, json.loads(event), outcome.payload, outcome.failed, outcome.log
        ).line()
        with _writing, Path(os.environ[INVOCATIONS]).open("a") as file:
            file.write(line)


class Plugin(RuntimeExecutorPlugin):
    """What LocalStack loads for `LAMBDA_RUNTIME_EXECUTOR`."""

    name = NAME

    def load(self, *_: Any, **__: Any) -> type[RuntimeExecutor]:
        """The class of executors."""
        return ProcessExecutor
