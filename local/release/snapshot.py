"""What a release promises to those who use it: parameters, outputs, settings, errors and metrics, by their names.

`interface.json` has those of the last release. What is there and is gone now breaks somebody's upgrade: it must be in
CHANGELOG.md, in the section Removed of Unreleased, with what to do instead. `make snapshot` writes the file anew.
"""

import json
import re
from pathlib import Path
from typing import Any

from gatehouse_local import ROOT, cloudformation
from gatehouse_local.functions import functions
from template_checks.sources import Crate

SNAPSHOT = ROOT / "local" / "release" / "interface.json"

Interface = dict[str, dict[str, Any]]
"""By template and by binary: kinds of names, such as `parameters`, and the names of each, sorted."""


def of(root: Path) -> Interface:
    """The interface of the repository in `root`."""
    found: Interface = {}
    for path in sorted([root / "template.yaml", *root.glob("functions/*/*.yaml")]):
        document = cloudformation.load(path)
        parameters, outputs = document.get("Parameters", {}), document.get("Outputs", {})
        found[path.relative_to(root).as_posix()] = {
            "parameters": sorted(parameters),
            "values": sorted(
                f"{name}={_text(value)}" for name, it in parameters.items() for value in it.get("AllowedValues", ())
            ),
            "outputs": sorted(outputs),
            "exports": sorted(
                json.dumps(it["Export"]["Name"], sort_keys=True) for it in outputs.values() if "Export" in it
            ),
        }
    for function in functions(root):
        crate = Crate.at(function.crate, root)
        found[function.binary] = {
            "settings": sorted(crate.settings() | set(function.settings)),
            "errorTypes": sorted(crate.errors()),
            "metrics": sorted(crate.metrics()),
        }
    return dict(sorted(found.items()))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def write(root: Path = ROOT, path: Path = SNAPSHOT) -> None:
    """Writes the interface of now as that of the last release."""
    path.write_text(json.dumps(of(root), indent=1, sort_keys=True) + "\n")


def read(path: Path = SNAPSHOT) -> Interface:
    """The interface of the last release."""
    return json.loads(path.read_text())


def breaks(last: Interface, now: Interface, changelog: str) -> list[str]:
    """What an upgrade from `last` to `now` takes away and CHANGELOG.md does not name, in words."""
    explained = removed_lines(changelog)
    gone = []
    for place, kinds in last.items():
        if place not in now:
            gone.append((place, "it", place))
            continue
        for kind, names in kinds.items():
            lost = sorted(set(names) - set(now[place].get(kind, ())))
            # The values of a parameter that is gone are gone with it.
            kept = set(now[place].get("parameters", ()))
            gone += [(place, kind, it) for it in lost if kind != "values" or it.partition("=")[0] in kept]
    return [
        f"{place}: {name} ({kind}) was in the last release and is gone: bring it back, or write in CHANGELOG.md, "
        f"[Unreleased], ### Removed, a line that names `{owner}` and `{name}` and says what to do instead: "
        f"- `{owner}`: `{name}` is gone: …"
        for place, kind, name in gone
        for owner in [owner_of(place)]
        if not any(explains(line, owner, name) for line in explained)
    ]


def owner_of(place: str) -> str:
    """The capability of a template, or the function, as CHANGELOG.md names it; `suite` for the first template."""
    return "suite" if place == "template.yaml" else place.split("/")[1] if place.startswith("functions/") else place


def explains(line: str, owner: str, name: str) -> bool:
    """Does this line name the capability (or the function) and the name, and say something after it?"""
    capability = next((it.capability for it in functions(ROOT) if it.binary == owner), owner)
    before, found, after = line.partition(f"`{name}`")
    named = {f"`{owner}`", f"`{capability}`"}
    return (
        bool(found)
        and (name == owner or any(it in before + after for it in named))
        and len(re.findall(r"\w+", after)) >= 2
    )


def without_default(last: Interface, root: Path) -> list[str]:
    """Parameters that are new in a template of the last release and have no default: an upgrade would fail on each."""
    return [
        f"{place}: the parameter {name} is new and has no Default, so an existing stack cannot be updated: give it one"
        for place, kinds in last.items()
        if (root / place).is_file() and place.endswith(".yaml")
        for name, it in cloudformation.load(root / place).get("Parameters", {}).items()
        if name not in kinds["parameters"] and "Default" not in it
    ]


def removed_lines(changelog: str) -> list[str]:
    """The lines of the list that CHANGELOG.md has under Removed in Unreleased."""
    unreleased = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    removed = re.findall(r"^### Removed\n(.*?)(?=^### |\Z)", unreleased[1] if unreleased else "", re.M | re.S)
    return re.split(r"^- ", "\n".join(removed), flags=re.M)[1:]
