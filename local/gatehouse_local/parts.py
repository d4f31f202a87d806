"""What a part of the local AWS, such as `ec2`, is written against: the calls it handles and the front it is added to.

`aws` knows its parts. A part knows nothing of `aws`, so that neither has to be read to understand the other.
"""

from collections.abc import Callable
from typing import Any, Protocol

from gatehouse_local import wire
from gatehouse_local.wire import Operation, Response


class Invocation:
    """What a handler is given: the call's parameters, and moto to fall back on."""

    def __init__(self, operation: Operation, forward: Callable[[], Response]):
        self.service = operation.service
        self.name = operation.name
        self.region = operation.region
        self.params = operation.params
        self.access_key = operation.access_key
        self._operation = operation
        self._forward = forward

    def forward(self) -> dict[str, Any]:
        """moto's answer as a botocore client would see it; raises AwsError where moto refuses."""
        return wire.read_answer(self._operation, self._forward())


Handler = Callable[[Invocation], dict[str, Any]]


class Front(Protocol):
    """What a part may use of the local AWS. It registers its `handlers` by (service, operation)."""

    handlers: dict[tuple[str, str], Handler]

    def client(self, service: str, region: str = "us-east-1", key: str = "test") -> Any:
        """A boto3 client behind the scenes: its calls are neither recorded nor disturbed."""


class Part(Protocol):
    """A part of the local AWS. Its constructor takes the front."""

    def reset(self) -> None:
        """Forgets everything, as if just started."""
