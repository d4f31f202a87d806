"""Where the parameters of Systems Manager behave otherwise than moto.

- A value has at most 4,096 characters, in the advanced tier 8,192.
- A name has the characters that AWS takes, a slash in front where it is a path, and at most 15 levels.
- The type of a parameter cannot be changed.
"""

import re
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.ssm.models import ssm_backends

from gatehouse_local.parts import Front, Invocation
from gatehouse_local.wire import AwsError

LEVELS = 15
STANDARD, ADVANCED = 4096, 8192


class SsmParameters:
    """Registered in front of moto, which keeps the parameters."""

    def __init__(self, aws: Front):
        self._aws = aws
        aws.handlers["ssm", "PutParameter"] = self._put

    def reset(self) -> None:
        """Nothing to forget: moto keeps the parameters."""

    # Arranging ---------------------------------------------------------------------------------

    def under(self, prefix: str, region: str = "us-east-1") -> dict[str, list[str]]:
        """The lists that parameters below a path hold, by name."""
        pages = self._aws.client("ssm", region).get_paginator("get_parameters_by_path")
        found = [it for page in pages.paginate(Path=prefix, Recursive=True) for it in page["Parameters"]]
        assert {it["Type"] for it in found} <= {"StringList"}, found
        return {it["Name"]: it["Value"].split(",") for it in found}

    # Calls -------------------------------------------------------------------------------------

    def _put(self, call: Invocation) -> dict[str, Any]:
        name, value, kind = call.params["Name"], call.params["Value"], call.params.get("Type")
        if not re.fullmatch(r"[A-Za-z0-9_.-]+|(?:/[A-Za-z0-9_.-]+)+", name):
            raise AwsError(
                "ValidationException",
                "Parameter name must be a fully qualified name: a path, if it has more than one level, starts with a "
                "slash; each sub-path is a mix of letters, numbers and the symbols .-_",
            )
        if name.count("/") > LEVELS:
            raise AwsError(
                "HierarchyLevelLimitExceededException",
                f"A parameter hierarchy can have a maximum of {LEVELS} levels.",
            )
        advanced = call.params.get("Tier") in ("Advanced", "Intelligent-Tiering")
        if len(value) > (ADVANCED if advanced else STANDARD):
            raise AwsError(
                "ValidationException",
                f"Standard tier parameters support a maximum parameter value of {STANDARD} characters.",
            )
        if call.params.get("Overwrite") and call.params.get("Tags"):
            raise AwsError(
                "ValidationException",
                "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please "
                "remove overwrite flag.",
            )
        present = ssm_backends[ACCOUNT_ID][call.region].get_parameters([name]).get(name)
        if present is not None and call.params.get("Overwrite") and kind not in (None, present.parameter_type):
            raise AwsError(
                "HierarchyTypeMismatchException",
                f"The type of the parameter {name} cannot be changed from {present.parameter_type} to {kind}.",
            )
        return call.forward()
