"""The functions of the suite, read from the templates that deploy them: `functions/<capability>/template.yaml`.

This is the one list of functions. CI, make, the benches and the tests ask here, so that a function is added by
writing it:

    python -m gatehouse_local.functions capabilities | binaries | crates | bootstraps

prints one a line: `ip-ranges`; `ip-ranges-updater`; `functions/ip-ranges/updater`; and for each function
`ip-ranges-updater=.aws-sam/ip-ranges/IpRangesUpdaterFunction/bootstrap`, where `sam build --config-env ip-ranges`
puts it. A binary that two functions run is built once and printed once; each of them has a bootstrap.
"""

import argparse
import re
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gatehouse_local import ROOT, cloudformation

TYPE = "AWS::Serverless::Function"


class BadTemplate(ValueError):
    """A template lacks what a function needs; the text says where and what to write."""


@dataclass(frozen=True)
class Function:
    """One function of the suite. Paths are relative to the repository and have forward slashes.

    `settings` are the names of its environment variables. `properties` are those of its resource, short forms such as
    `!Ref` written out; it is read once, so copy it before changing it. `is_alone` is false where another function of
    the capability runs the same binary.
    """

    capability: str
    template: str
    logical_id: str
    crate: str
    binary: str
    settings: tuple[str, ...]
    properties: dict[str, Any] = field(compare=False, repr=False)
    is_alone: bool = True

    @property
    def bootstrap(self) -> str:
        """What `sam build --config-env <capability>` makes of it."""
        return f".aws-sam/{self.capability}/{self.logical_id}/bootstrap"

    @property
    def names(self) -> tuple[str, str, str]:
        """What it is called: by its binary, by the folder of its crate, and by the last word of that."""
        folder = self.crate.rpartition("/")[2]
        return self.binary, folder, folder.rpartition("-")[2]

    @property
    def short_name(self) -> str:
        """The shortest of its names, such as `gate`: within its capability it means no other crate."""
        return self.names[-1]

    @property
    def event_names(self) -> tuple[str, ...]:
        """What the names of its events start with. Functions of one binary are told apart by their logical ids:
        `payment-subscriber` or `payment` for `PaymentSubscriberFunction`."""
        if self.is_alone:
            return self.names
        words = re.findall(r"[A-Z][a-z0-9]*", self.logical_id.removesuffix("Function"))
        return "-".join(words).lower(), words[0].lower()

    def events(self, root: Path = ROOT) -> list[Path]:
        """Its sample events: those of its capability whose names start with one of its `event_names` and `-`.

        Where a capability has one function, all events are its own, whatever their names.
        """
        found = sorted((root / "events" / self.capability).glob("*.json"))
        if [it.logical_id for it in functions(root) if it.capability == self.capability] == [self.logical_id]:
            return found
        return [path for path in found if path.name.startswith(tuple(f"{name}-" for name in self.event_names))]

    def __str__(self) -> str:
        return self.binary if self.is_alone else self.event_names[0]


def capabilities(root: Path = ROOT) -> list[str]:
    """The folders of `functions/` that have a template."""
    found = sorted(path.parent.name for path in root.glob("functions/*/template.yaml"))
    if not found:
        raise BadTemplate(f"no functions/*/template.yaml in {root}")
    return found


def functions(root: Path = ROOT) -> list[Function]:
    """Every function, by capability, in the order of the templates.

    Raises BadTemplate where a template lacks something.
    """
    return [function for capability in capabilities(root) for function in _of_capability(root, capability)]


def _of_capability(root: Path, capability: str) -> list[Function]:
    template = f"functions/{capability}/template.yaml"
    document = cloudformation.load(root / template)
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise BadTemplate(f"{template} has no Resources")
    found = [
        _function(root, capability, template, name, resource)
        for name, resource in document["Resources"].items()
        if resource.get("Type") == TYPE
    ]
    if not found:
        raise BadTemplate(f"{template} has no {TYPE}")
    counted = Counter(function.binary for function in found)
    return [replace(function, is_alone=counted[function.binary] == 1) for function in found]


def _function(root: Path, capability: str, template: str, name: str, resource: dict[str, Any]) -> Function:
    def need(*path: str) -> Any:
        value: Any = resource
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if not value:
            raise BadTemplate(f"{template}: {name} has no {'.'.join(path)}")
        return value

    crate = f"functions/{capability}/{need('Properties', 'CodeUri')}"
    binary = need("Metadata", "BuildProperties", "Binary")
    manifest = root / crate / "Cargo.toml"
    if not manifest.is_file():
        raise BadTemplate(f"{template}: {name} has CodeUri {crate}, but {crate}/Cargo.toml does not exist")
    if binary not in (built := binaries_of(manifest)):
        raise BadTemplate(f"{template}: {name} has Binary {binary}, but the crate {crate} builds {', '.join(built)}")
    settings = need("Properties", "Environment", "Variables")
    return Function(capability, template, name, crate, binary, tuple(settings), resource["Properties"])


def binaries_of(manifest: Path) -> list[str]:
    """The binaries that a crate builds, by Cargo's rules."""
    parsed = tomllib.loads(manifest.read_text())
    sources = manifest.parent / "src"
    found = [table["name"] for table in parsed.get("bin", [])]
    found += [path.stem for path in sorted(sources.glob("bin/*.rs"))]
    if (sources / "main.rs").is_file() and not any(it.get("path") == "src/main.rs" for it in parsed.get("bin", [])):
        found.append(parsed["package"]["name"])
    return sorted(set(found))


def main() -> int:
    """Prints one of the lists."""
    lists = {
        "capabilities": capabilities,
        "binaries": lambda: [function.binary for function in functions()],
        "crates": lambda: [function.crate for function in functions()],
        "bootstraps": lambda: [f"{function.binary}={function.bootstrap}" for function in functions()],
    }
    parser = argparse.ArgumentParser(prog="python -m gatehouse_local.functions", description="Lists the suite.")
    parser.add_argument("what", choices=lists)
    try:
        lines = lists[parser.parse_args().what]()
    except BadTemplate as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(dict.fromkeys(lines)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
