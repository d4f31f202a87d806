"""What the Rust sources say: the AWS operations a function calls, the settings it reads, its metrics."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from botocore import xform_name
from botocore.session import Session

from .template import ROOT

# SDK crate → name of the service in botocore's models, prefix of its actions in IAM.
SERVICES = {
    "aws-sdk-codepipeline": ("codepipeline", "codepipeline"),
    "aws-sdk-ec2": ("ec2", "ec2"),
    "aws-sdk-elasticloadbalancingv2": ("elbv2", "elasticloadbalancing"),
    "aws-sdk-health": ("health", "health"),
    "aws-sdk-sns": ("sns", "sns"),
}


class Crate:
    """The sources of a function that reach its binary, those it shares with others included."""

    def __init__(self, folder: str, files: Mapping[str, str], dependencies: Mapping[str, object]) -> None:
        self.folder = folder
        self.sdks = {name for name in dependencies if name.startswith("aws-sdk-")}
        if unknown := self.sdks - SERVICES.keys():
            raise ValueError(f"{folder} uses {sorted(unknown)}: add them to SERVICES")
        self.code = "\n".join(map(production, files.values()))
        if not re.search(r"\bfn main\b", self.code):
            raise ValueError(f"{folder} has no fn main: its sources were not found")

    @classmethod
    @cache
    def at(cls, folder: str) -> "Crate":
        """The crate in `folder`, relative to the repository."""
        manifest = tomllib.loads((ROOT / folder / "Cargo.toml").read_text())
        dependencies = manifest["dependencies"]
        files = {path.name: path.read_text() for path in rust_files(ROOT / folder / "src")}
        shared = dependencies["gatehouse-shared"]
        if "notify" in shared.get("features", []):
            files["shared notify.rs"] = (ROOT / "shared/src/notify.rs").read_text()
            dependencies |= {"aws-sdk-sns": {}}
        if any("Verifier::from_env" in text for text in files.values()):
            files["shared sns/mod.rs"] = (ROOT / "shared/src/sns/mod.rs").read_text()
        return cls(folder, files, dependencies)

    def calls(self) -> set[str]:
        """The operations of AWS that the code calls, as IAM actions."""
        return {
            f"{prefix}:{operation}"
            for sdk in self.sdks
            for service, prefix in [SERVICES[sdk]]
            for operation in operations(service)
            # A fluent builder starts with a call without arguments: `client.describe_vpcs()`.
            if re.search(rf"\.\s*{xform_name(operation)}\(\)", self.code)
        }

    def settings(self) -> set[str]:
        """The environment variables that the code reads, without those that Lambda sets."""
        of_env = r"\benv\s*\.\s*\w+(?:::<[^(]*>)?\(\s*"  # env.list("PORTS")
        to_function = r"\(\s*&?env\s*,\s*(?:&?spell\(\s*)?"  # within(env, "MAX_RULES_PER_GROUP", …)
        names = re.findall(rf'(?:{of_env}|{to_function})"([A-Z][A-Z0-9_]*)"', self.code)
        return {name for name in names if not name.startswith("AWS_")}

    def metrics(self) -> set[str]:
        """The metrics that the code emits."""
        return set(re.findall(r'\.(?:count|metric)\(\s*"([A-Za-z0-9]+)"', self.code))


@cache
def operations(service: str) -> frozenset[str]:
    """The names of the operations of a service, such as `DescribeVpcs`."""
    return frozenset(Session().get_service_model(service).operation_names)


def rust_files(folder: Path) -> list[Path]:
    """The source files below `folder` that are not tests of their own."""
    return [path for path in sorted(folder.rglob("*.rs")) if "tests" not in path.with_suffix("").parts]


def production(text: str) -> str:
    """The source without comments and without its test module, which stands in column 0 and is last."""
    text = re.sub(r"^#\[cfg\(test\)\]\nmod \w+ \{\n.*?^\}\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^\s*//.*\n", "", text, flags=re.MULTILINE)
