"""The list of crates in a binary, as CycloneDX 1.6 in JSON: https://cyclonedx.org/docs/1.6/json/.

Cargo says which crates a binary links, for its target and with the features of the whole workspace, as it is built.
Procedural macros and what only builds or tests is not in the binary, and not in the list.
"""

import json
import os
import re
import subprocess
import tomllib
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from release.build import BuildFailed

NAMESPACE = uuid.UUID("6f0b6a4e-3f0e-5d0b-9a53-3f1c7f7d7a10")
REPOSITORY = "gatehouse:"


@dataclass(frozen=True, order=True)
class Crate:
    """A crate in one version."""

    name: str
    version: str

    @property
    def purl(self) -> str:
        """Its package URL, by which advisories are found."""
        return f"pkg:cargo/{self.name}@{self.version}"


@dataclass
class Graph:
    """Which crate links which, and what is known of each: `licenses` as SPDX expressions, `checksums` of Cargo.lock."""

    edges: dict[Crate, set[Crate]] = field(default_factory=dict)
    licenses: dict[Crate, str] = field(default_factory=dict)
    checksums: dict[Crate, str] = field(default_factory=dict)

    def linked(self, root: Crate) -> set[Crate]:
        """All that `root` links, itself included."""
        found, asked = set(), [root]
        while asked:
            if (crate := asked.pop()) not in found:
                found.add(crate)
                asked += self.edges[crate]
        return found


def read_graph(root: Path, target: str) -> Graph:
    """The crates of the workspace in `root` on `target`. Raises BuildFailed."""
    tree = ["tree", "--workspace", "--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", "{p}"]
    graph = Graph(read_tree(_cargo(root, *tree, "--target", target)), checksums=checksums(root / "Cargo.lock"))
    for package in json.loads(_cargo(root, "metadata", "--format-version", "1", "--filter-platform", target))[
        "packages"
    ]:
        # Before SPDX, Cargo's manual said "MIT/Apache-2.0".
        license = (package["license"] or "").replace("/", " OR ")
        graph.licenses[Crate(package["name"], package["version"])] = license
    return graph


def read_tree(text: str) -> dict[Crate, set[Crate]]:
    """The edges in what `cargo tree --prefix depth` prints: lines such as `2serde v1.0.229`, `(*)` for one above."""
    edges: dict[Crate, set[Crate]] = {}
    above: list[Crate] = []
    for line in text.splitlines():
        if not line.strip():
            continue
        found = re.match(r"(\d+)(\S+) v(\S+)", line)
        if not found:
            raise BuildFailed(f"cargo tree printed a line of an unknown form: {line}")
        depth, crate = int(found[1]), Crate(found[2], found[3])
        edges.setdefault(crate, set())
        del above[depth:]
        if above:
            edges[above[-1]].add(crate)
        above.append(crate)
    return edges


def checksums(lock: Path) -> dict[Crate, str]:
    """The crates of a Cargo.lock, with the checksum of each; empty for those of the workspace."""
    packages = tomllib.loads(lock.read_text())["package"]
    return {Crate(it["name"], it["version"]): it.get("checksum", "") for it in packages}


def document(
    graph: Graph, package: Crate, binary: str, sha256: str, epoch: int, tools: dict[str, str], about: dict[str, str]
) -> dict[str, Any]:
    """The SBOM of one binary of `package`. `about` are properties, such as its processor and its commit."""
    linked = sorted(graph.linked(package) - {package})
    reference = f"{binary}@{package.version}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, sha256)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).isoformat().replace("+00:00", "Z"),
            "tools": {
                "components": [
                    {"type": "application", "name": name, "version": version} for name, version in sorted(tools.items())
                ]
            },
            "component": {
                "type": "application",
                "bom-ref": reference,
                "name": binary,
                "version": package.version,
                "licenses": [{"expression": graph.licenses[package]}],
                "hashes": [{"alg": "SHA-256", "content": sha256}],
                "properties": [{"name": REPOSITORY + name, "value": value} for name, value in sorted(about.items())],
            },
        },
        "components": [_component(graph, crate) for crate in linked],
        "dependencies": [
            {"ref": reference, "dependsOn": sorted(it.purl for it in graph.edges[package])},
            *({"ref": it.purl, "dependsOn": sorted(needed.purl for needed in graph.edges[it])} for it in linked),
        ],
    }


def _component(graph: Graph, crate: Crate) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": crate.purl,
        "name": crate.name,
        "version": crate.version,
        "purl": crate.purl,
    }
    if license := graph.licenses.get(crate):
        made["licenses"] = [{"expression": license}]
    if checksum := graph.checksums.get(crate):
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return made


def to_json(made: dict[str, Any]) -> bytes:
    """As it is written into a file."""
    return (json.dumps(made, indent=1, ensure_ascii=False) + "\n").encode()


def _cargo(root: Path, *arguments: str) -> str:
    command = [os.environ.get("CARGO", "cargo"), *arguments, "--locked"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise BuildFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout
