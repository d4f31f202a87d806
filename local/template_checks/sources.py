"""What the Rust sources say: the AWS operations a function calls, the settings it reads, its metrics and errors."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from botocore import xform_name
from botocore.session import Session

from gatehouse_local import ROOT, models

# What of `shared` reads settings, names errors or calls AWS, by what a function writes to use it.
SHARED = {
    "chat.rs": r"\bChatTopic\b",
    "failure.rs": r"\banswer_always\b",
    "log.rs": r"\blog::init\b",
    "notify.rs": r"\bNotifier\b",
    "verifier.rs": r"\bverifier::from_env",
}


class Crate:
    """The sources of a function that reach its binary, those it shares with others included."""

    def __init__(self, folder: str, files: Mapping[str, str], dependencies: Mapping[str, object]) -> None:
        self.folder = folder
        self.services = [models.of_crate(name) for name in sorted(dependencies) if name.startswith("aws-sdk-")]
        self.files = [production(text) for text in files.values()]
        self.code = "\n".join(self.files)
        if not re.search(r"\bfn main\b", self.code):
            raise ValueError(f"{folder} has no fn main: its sources were not found")

    @classmethod
    def at(cls, folder: str, root: Path = ROOT) -> "Crate":
        """The crate in `folder`, relative to the root of a repository."""
        dependencies = tomllib.loads((root / folder / "Cargo.toml").read_text())["dependencies"]
        files = {str(path): path.read_text() for path in rust_files(root / folder / "src")}
        own = "\n".join(map(production, files.values()))
        if shared := dependencies.get("gatehouse-shared"):
            used = [pattern for pattern, sign in SHARED.items() if re.search(sign, own)]
            files |= {str(path): path.read_text() for part in used for path in (root / "shared/src").glob(part)}
            features = tomllib.loads((root / "shared/Cargo.toml").read_text())["features"]
            brought = [needed for feature in shared.get("features", []) for needed in features[feature]]
            dependencies |= {needed.removeprefix("dep:"): {} for needed in brought}
        return cls(folder, files | used_modules(root, dependencies, own), dependencies)

    def calls(self) -> set[str]:
        """The operations of AWS that the code calls, as IAM actions.

        Raises ValueError where the crate depends on an SDK and calls nothing: this check looks past the calls then.
        """
        called: set[str] = set()
        for text in self.files:
            # A fluent builder starts with a call without arguments: `client.describe_vpcs()`.
            methods = set(re.findall(r"\.\s*(\w+)\(\)", text))
            found = {
                (service, operation)
                for service in self.services
                for operation in operations(service.name)
                if xform_name(operation) in methods
            }
            # Several services may have an operation of one name, such as ListTagsForResource. It is then that of the
            # crate that the file names; where it names none of them, all count.
            named = {it for it in found if it[0].sdk_crate.replace("-", "_") in text}
            known = {operation for _, operation in named}
            called |= {
                f"{service.signing_name}:{operation}"
                for service, operation in found
                if operation not in known or (service, operation) in named
            }
        if self.services and not called:
            raise ValueError(f"no call was found in {self.folder}: either it calls nothing or this check looks past it")
        return called

    def settings(self) -> set[str]:
        """The environment variables that the code reads, without those that Lambda sets."""
        of_env = r"\benv\s*\.\s*\w+(?:::<[^(]*>)?\(\s*"  # env.list("PORTS")
        to_function = r"\(\s*&?env\s*,\s*"  # within(env, "MAX_RULES_PER_GROUP", …)
        spelled = r"(?:&?\w+\(\s*)?"  # list(env, &format_name("REGIONS"), …)
        names = re.findall(rf'(?:{of_env}|{to_function}){spelled}"([A-Z][A-Z0-9_]*)"', self.code)
        # A name that a function needs several times is a constant there: const NAME: &str = "PORTS"; env.text(NAME)
        by_constant = set(re.findall(rf"(?:{of_env}|{to_function}){spelled}([A-Z][A-Z0-9_]*)\b", self.code))
        constants = re.findall(r'\bconst (\w+): &(?:\'static )?str = "([A-Z][A-Z0-9_]*)"', self.code)
        names += [value for constant, value in constants if constant in by_constant]
        return {name for name in names if not name.startswith("AWS_")}

    def metrics(self) -> set[str]:
        """The metrics that the code emits."""
        found = set(re.findall(r'\.(?:count|metric)\(\s*"([A-Za-z0-9]+)"', self.code))
        # Or all of them in a table: const METRICS: [&str; 2] = ["Published", "Failed"];
        for table in re.findall(r"\bconst METRICS: \[&str; \d+\] =\s*\[(.*?)\];", self.code, re.DOTALL):
            found |= set(re.findall(r'"([A-Za-z0-9]+)"', table))
        return found

    def errors(self) -> set[str]:
        """The names that the code gives its errors: in `fn error_type`, and in the functions that this one asks."""
        found: set[str] = set()
        for body in self._bodies("error_type"):
            found |= set(re.findall(r'\A\s*"(\w+)"\s*\Z', body))
        asked, known = ["error_type"], set()
        while asked:
            known.add(function := asked.pop())
            for body in self._bodies(function):
                found |= set(re.findall(r'=> (?:\{\s*)?"([A-Z]\w+)"', body))
                asked += set(re.findall(r"=> \w+\.(\w+)\(\)", body)) - known
        return found

    def _bodies(self, method: str) -> list[str]:
        """The bodies of the methods of that name."""
        form = rf"^( *)(?:pub(?:\(crate\))? )?(?:const )?fn {method}\((?:&?self)?\)[^\n]*\{{\n(.*?)^\1\}}"
        return [body for _, body in re.findall(form, self.code, re.MULTILINE | re.DOTALL)]


def used_modules(root: Path, dependencies: Mapping[str, object], code: str) -> dict[str, str]:
    """The modules of the libraries of its capability that the code uses: `use ami_approval::target::Targets`.

    A module that reads settings counts only for code that lets it: `Targets::from_env`.
    """
    known = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["dependencies"]
    found = {}
    for name in dependencies:
        spec = known.get(name)
        if isinstance(spec, dict) and spec.get("path", "").startswith("functions/"):
            for path in rust_files(root / spec["path"] / "src"):
                text, crate = path.read_text(), name.replace("-", "_")
                types = re.findall(r"^impl (\w+)", text, re.MULTILINE)
                asked = "fn from_env" not in text or any(f"{kind}::from_env" in code for kind in types)
                # A small library has one module; what is used of it is named after the crate: `gate_message::Cause`.
                named = rf"\b{crate}::(?:\{{[^}}]*\b)?{path.stem}\b" if path.stem != "lib" else rf"\b{crate}::"
                if asked and re.search(named, code):
                    found[str(path)] = text
    return found


@cache
def operations(service: str) -> frozenset[str]:
    """The names of the operations of a service, such as `DescribeVpcs`."""
    return frozenset(Session().get_service_model(service).operation_names)


def rust_files(folder: Path) -> list[Path]:
    """The source files below `folder` that are not tests of their own."""
    return [
        path for path in sorted(folder.rglob("*.rs")) if "tests" not in path.relative_to(folder).with_suffix("").parts
    ]


def production(text: str) -> str:
    """The source without comments and without its test module, which stands in column 0 and is last."""
    text = re.sub(r"^#\[cfg\(test\)\]\nmod \w+ \{\n.*?^\}\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^\s*//.*\n", "", text, flags=re.MULTILINE)
