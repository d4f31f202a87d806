"""What `sam build` would leave in `.aws-sam/`, made in seconds: each function is a script that starts the debug binary.

`sam deploy` packages and uploads it as it does what was built for Lambda.
"""

import copy
import shutil
from pathlib import Path
from typing import Any

import yaml

from gatehouse_local import ROOT, cloudformation
from rehearse.expected import APPLICATION
from release.archive import read_tar

FUNCTION = "AWS::Serverless::Function"


def write(folder: Path, bin_dir: Path) -> None:
    """A folder for `sam deploy`: the repository's samconfig.toml, the templates without code, and `.aws-sam/`."""
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "samconfig.toml", folder)
    for template in sorted(ROOT.glob("functions/*/*.yaml")):
        copied = folder / template.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(template, copied)
    _build(ROOT / "template.yaml", folder / ".aws-sam" / "build", bin_dir)
    for template in sorted(ROOT.glob("functions/*/*.yaml")):
        name = template.parent.name if template.name == "template.yaml" else template.stem
        if has_code(template):
            _build(template, folder / ".aws-sam" / name, bin_dir)


def unpack(folder: Path, archive: Path) -> None:
    """A folder for `sam deploy` from the suite of a release: what is in the archive and nothing else."""
    files = read_tar(archive)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def has_code(template: Path) -> bool:
    """Whether a template has functions, which `sam build` builds."""
    return any(it["Type"] == FUNCTION for it in cloudformation.load(template)["Resources"].values())


def _build(template: Path, folder: Path, bin_dir: Path) -> None:
    folder.mkdir(parents=True)
    document: dict[str, Any] = copy.deepcopy(cloudformation.load(template))
    for name, resource in document["Resources"].items():
        if resource["Type"] == FUNCTION:
            _bootstrap(folder / name, bin_dir / resource["Metadata"]["BuildProperties"]["Binary"])
            resource["Properties"]["CodeUri"] = name
        elif resource["Type"] == APPLICATION:
            _build(template.parent / resource["Properties"]["Location"], folder / name, bin_dir)
            resource["Properties"]["Location"] = f"{name}/template.yaml"
    (folder / "template.yaml").write_text(yaml.safe_dump(document, sort_keys=False, width=10_000))


def _bootstrap(folder: Path, binary: Path) -> None:
    folder.mkdir()
    script = folder / "bootstrap"
    script.write_text(f"#!/bin/sh\nexec '{binary.absolute()}'\n")
    script.chmod(0o755)
