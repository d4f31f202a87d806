"""Writes `locked*.txt`: each package that `requirements*.txt` brings along, with one version and the sums of its files.

They hold for every processor and system, and for every Python that is supported; pip takes what fits the machine. What
is locked keeps its version, unless a requirement asks for another one or `--upgrade` is given: `make locks`.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LOCAL = Path(__file__).parent
UV = "uv==0.13.9"
# Which set of requirements runs on which Python: the oldest one, and what else limits it.
PYTHONS = {
    "-demo": ("3.11", "python_version >= '3.11'"),
    "": ("3.11", "python_version >= '3.11'"),
    "-checkov": ("3.11.5", "python_version >= '3.11'"),  # its soupsieve needs that
    "-cdk": ("3.11", "python_version >= '3.11'"),
    "-rehearse": ("3.13", "python_version == '3.13'"),  # LocalStack runs on no other
}
# What is not beside this file: the CDK app is copied whole.
ELSEWHERE = {"-cdk": "../functions/pipelines/cdk/requirements.txt"}
HEADER = """# Made by `make locks` from {requirements}: do not edit. pip refuses a file with another sum.
"""


def requirements(suffix: str) -> str:
    """The file of a set, as seen from here."""
    return ELSEWHERE.get(suffix, f"requirements{suffix}.txt")


def lock(uv: Path, suffix: str, folder: Path, options: list[str]) -> str:
    """The text of one lock."""
    oldest, environment = PYTHONS[suffix]
    (folder / "pyproject.toml").write_text(f'[tool.uv]\nenvironments = ["{environment}"]\n')
    made = folder / f"locked{suffix}.txt"
    if (before := LOCAL / made.name).exists():
        shutil.copy(before, made)
    command = [
        uv,
        "pip",
        "compile",
        LOCAL / requirements(suffix),
        "--output-file",
        made,
        "--python-version",
        oldest,
    ]
    more = [
        "--quiet",
        "--universal",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--no-emit-index-url",
        *options,
    ]
    if suffix == "":
        # The demos' packages are installed first, and then the rest beside them: one version for both.
        more += ["--constraints", pins(folder / "locked-demo.txt")]
    subprocess.run([*command, *more], cwd=folder, check=True, env=environment_of_pip())
    return HEADER.format(requirements=requirements(suffix)) + made.read_text()


def pins(locked: Path) -> Path:
    """The versions of a lock, without the sums."""
    versions = locked.with_name("versions.txt")
    versions.write_text("\n".join(re.findall(r"^[\w.-]+==\S+", locked.read_text(), re.MULTILINE)))
    return versions


def environment_of_pip() -> dict[str, str]:
    """uv asks the index that pip is told to ask."""
    index = os.environ.get("PIP_INDEX_URL")
    return os.environ | ({"UV_DEFAULT_INDEX": index} if index else {})


def main() -> None:
    """All locks, or none."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        programs = folder / "venv" / "bin"
        subprocess.run([programs / "pip", "install", "--quiet", "--disable-pip-version-check", UV], check=True)
        made = {suffix: lock(programs / "uv", suffix, folder, sys.argv[1:]) for suffix in PYTHONS}
    for suffix, text in made.items():
        (LOCAL / f"locked{suffix}.txt").write_text(text)
        print(f"local/locked{suffix}.txt: {len(re.findall('==', text))} packages")


if __name__ == "__main__":
    main()
