"""LocalStack on this machine: started and ended by its process id, one port on loopback, no Docker."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import boto3
import botocore.config

from gatehouse_local import ROOT
from rehearse.expected import REGION
from rehearse.recording import ENVIRONMENT, INVOCATIONS, NAME

READY = "Ready."
STARTS_WITHIN, ENDS_WITHIN = 180, 30  # seconds; it takes 10 to 20 on a quiet machine


class ServerFailed(Exception):
    """LocalStack did not start; the text has the end of its log."""


class Server:
    """LocalStack. Use as a context manager.

    `python` is that of `.venv-rehearse`, `folder` is emptied for it, `environment` is what every function gets besides
    its settings.
    """

    def __init__(self, python: Path, folder: Path, environment: dict[str, str]):
        self._python, self._folder, self._environment = python, folder, environment
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.log = folder / "localstack.log"
        self.invocations = folder / "invocations.jsonl"

    @property
    def url(self) -> str:
        """The endpoint of every service, account and Region."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        plugin = self._folder / "plugin" / f"{NAME}_rehearse-1.dist-info"
        folders = {name: self._folder / name for name in ("filesystem", "volume", "tmp", "home")}
        for made in (plugin, *folders.values()):
            made.mkdir(parents=True)
        (plugin / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}_rehearse\nVersion: 1\n")
        entry = f"[localstack.lambda.runtime_executor]\n{NAME} = rehearse.executor:Plugin\n"
        (plugin / "entry_points.txt").write_text(entry)
        env = {
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "local", plugin.parent))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "LOCALSTACK_HOST": f"localhost:{self.port}",  # in the addresses that it makes up
            "DNS_ADDRESS": "0",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DISABLE_EVENTS": "1",
            "EAGER_SERVICE_LOADING": "0",
            "DEBUG": "0",
            "FILESYSTEM_ROOT": str(folders["filesystem"]),
            "LOCALSTACK_VOLUME_DIR": str(folders["volume"]),
            "TMPDIR": str(folders["tmp"]),
            "HOME": str(folders["home"]),
            "LAMBDA_RUNTIME_EXECUTOR": NAME,
            "LAMBDA_IGNORE_ARCHITECTURE": "1",
            "LAMBDA_SYNCHRONOUS_CREATE": "1",
            "LAMBDA_EVENTS_INTERNAL_SQS": "1",
            ENVIRONMENT: json.dumps(self._environment),
            INVOCATIONS: str(self.invocations),
        }
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(self._python), "-m", "localstack.runtime.main"],
                env=env,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait(self._process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while READY not in (said := self.log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                why = (
                    f"ended with {process.returncode}" if process.returncode else f"said nothing for {STARTS_WITHIN} s"
                )
                raise ServerFailed(f"LocalStack {why}:\n" + "\n".join(said.splitlines()[-20:]))
            time.sleep(0.2)

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            # Its process group is its own; the functions have theirs and end with the server's runtime API.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(ENDS_WITHIN)

    def client(self, service: str, account: str, region: str = REGION) -> Any:
        """A boto3 client of an account: LocalStack takes an access key of 12 digits for the account."""
        config = botocore.config.Config(proxies={}, retries={"max_attempts": 1}, read_timeout=90)
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=account,
            aws_secret_access_key="test",
            config=config,
        )

    def environment(self, account: str) -> dict[str, str]:
        """What a shell needs for sam and the AWS CLI to reach this server as `account`."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "SAM_CLI_TELEMETRY": "0",
            "NO_PROXY": "127.0.0.1",
        }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
