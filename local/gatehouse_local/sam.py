"""What `sam local invoke` gives a function, found out by the SAM CLI's own code.

SAM resolves parameters and conditions only in part: a reference to a resource becomes the resource's logical id, and
what it cannot resolve becomes an empty text. Of an `--env-vars` file it passes on only variables that the template
declares.
"""

import functools
import os
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.provider import Function, Stack
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

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
