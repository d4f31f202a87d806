"""The templates and the samconfig.toml of an archive, with which `sam deploy` needs neither `sam build` nor a compiler.

An archive is for one processor. Its templates admit no other, so that a stack cannot get code that its processor does
not run.
"""

import copy
import json
import tomllib
from pathlib import Path
from typing import Any

import yaml

from gatehouse_local import cloudformation
from gatehouse_local.functions import TYPE as FUNCTION

APPLICATION = "AWS::Serverless::Application"
SUITE = "default"
"""The config-env of the suite in samconfig.toml."""


def packaged(template: Path, processor: str) -> tuple[bytes, set[str]]:
    """The template, with the zip of each function as its code, and the binaries in those zips.

    One without functions, such as an example, stays as it is.
    """
    source = cloudformation.load(template)
    if not any(resource["Type"] in (FUNCTION, APPLICATION) for resource in source["Resources"].values()):
        return template.read_bytes(), set()
    document, binaries = copy.deepcopy(source), set()
    for resource in document["Resources"].values():
        if binary := resource.get("Metadata", {}).get("BuildProperties", {}).get("Binary"):
            binaries.add(binary)
            resource["Properties"]["CodeUri"] = f"{binary}.zip"
            resource["Metadata"] = {"SkipBuild": True}
    if "Architecture" in document.get("Parameters", {}):
        document["Parameters"]["Architecture"] |= {
            "Default": processor,
            "AllowedValues": [processor],
            "ConstraintDescription": f"{processor}: the archive is for this processor. The other one has its own.",
            "Description": "Processor that this archive was built for.",
        }
    return yaml.safe_dump(document, sort_keys=False, width=10_000, allow_unicode=True).encode(), binaries


def samconfig(source: Path, config_env: str | None = None) -> bytes:
    """The samconfig.toml of an archive: each config-env, or the one of a capability, which is the default as well.

    `sam build` is not needed there, and does no harm: every command takes the template that is in the archive.
    """
    settings = tomllib.loads(source.read_text())
    lines = ["version = 0.1"]
    for name in (SUITE, config_env) if config_env else [it for it in settings if it != "version"]:
        own = config_env or name
        commands = {command: dict(table["parameters"]) for command, table in settings[own].items()}
        for command, parameters in commands.items():
            if command == "deploy" or "template_file" in parameters:
                parameters["template_file"] = "template.yaml" if own == SUITE else f"functions/{own}/template.yaml"
            lines += ["", f"[{name}.{command}.parameters]"]
            lines += [f"{key} = {_toml(value)}" for key, value in parameters.items()]
    return ("\n".join(lines) + "\n").encode()


def _toml(value: Any) -> str:
    """Text, truth and lists of text are written in TOML as in JSON."""
    return json.dumps(value)
