"""What the functions were asked and answered, kept by the executor inside LocalStack and read by the story."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "gatehouse"  # of the executor, in LAMBDA_RUNTIME_EXECUTOR
# Variables of LocalStack's process: what every function gets besides its settings, as JSON; the file of this record.
ENVIRONMENT = "GATEHOUSE_REHEARSE_ENVIRONMENT"
INVOCATIONS = "GATEHOUSE_REHEARSE_INVOCATIONS"


@dataclass(frozen=True)
class Invocation:
    """One invocation: who was asked, with which event, and what came back."""

    account: str
    function: str
    event: Any
    answer: Any
    failed: bool
    log: list[str]

    def line(self) -> str:
        """It as one line of the file."""
        return json.dumps(dataclasses.asdict(self)) + "\n"


def read(path: Path, since: int = 0) -> list[Invocation]:
    """The invocations in the file, oldest first, without the first `since` of them."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Invocation(**json.loads(line)) for line in lines[since:]]
