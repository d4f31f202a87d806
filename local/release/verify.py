"""Checks a release that was made here or downloaded: `make verify-release`."""

import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import yaml

from gatehouse_local import ROOT, cloudformation
from gatehouse_local.functions import functions
from release import sbom
from release.archive import PROGRAM, read_tar
from release.build import CRATES, STATIC, TARGETS, version_of
from release.pack import SUMS, package_of, sums

GLIBC = "2.34"
"""That of Lambda's provided.al2023."""

MACHINES = {"arm64": 183, "x86_64": 62}
"""`e_machine` in the header of an ELF file: EM_AARCH64, EM_X86_64."""

COMMAND = "policy-check"


graph_of = cache(sbom.read_graph)
"""The crates of a checkout for a target: Cargo is asked once."""


def faults(dist: Path, root: Path) -> list[str]:
    """What is wrong with the release in `dist`, in words; `root` is a checkout of its commit. Raises BuildFailed."""
    found = _sums(dist)
    locked = _Locked(root)
    zips = sorted(dist.glob("*.zip"))
    archives = sorted(dist.glob("gatehouse-*.tar.gz"))
    if not zips or not archives:
        found.append(f"{dist} has no zips or no archives of functions: is it the folder of a release?")
    commands = sorted(dist.glob("policy-check-*.tar.gz"))
    checks = [
        *((path, partial(_zip, path, locked)) for path in zips),
        *((path, partial(_command, path, locked)) for path in commands),
        *((path, partial(_archive, path, dist)) for path in archives),
    ]
    return found + [f"{path.name}: {fault}" for path, check in checks for fault in _faults_of(check)]


class _Locked:
    """What the checkout says: the version, the checksum of each crate, and the crates that each binary links."""

    def __init__(self, root: Path) -> None:
        self.root, self.version = root, version_of(root)
        self.checksums = sbom.checksums(root / "Cargo.lock")
        self.packages = {it.binary: package_of(root / it.crate / "Cargo.toml") for it in functions(root)}
        self.packages[COMMAND] = "data-protection"

    def linked(self, binary: str, target: str) -> set[sbom.Crate]:
        """The crates that a binary links for a target, but for its own."""
        package = sbom.Crate(self.packages[binary], self.version)
        return graph_of(self.root, target).linked(package) - {package}


UNREADABLE = (
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    yaml.YAMLError,
)
"""What a file raises that is not of the form that its name says."""


def _faults_of(check: Callable[[], list[str]]) -> list[str]:
    try:
        return check()
    except UNREADABLE as error:
        return [f"it, or its SBOM, cannot be read: {type(error).__name__}: {error}: download both again"]


def _sums(dist: Path) -> list[str]:
    if not (dist / SUMS).is_file():
        return [f"{dist / SUMS} does not exist: download it, too"]
    lines = (dist / SUMS).read_text().splitlines()
    wanted = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    there = sums(dist)
    return [
        *(f"{name} is in {SUMS}, but not in {dist}: download it, too" for name in sorted(wanted.keys() - there)),
        *(f"{name} is not in {SUMS}: remove it" for name in sorted(there.keys() - wanted.keys())),
        *(
            f"{name} has SHA-256 {there[name]}, but {SUMS} says {wanted[name]}: download it again"
            for name in sorted(wanted.keys() & there)
            if wanted[name] != there[name]
        ),
    ]


def _zip(path: Path, locked: _Locked) -> list[str]:
    """One binary, for the processor that the name says, with its SBOM beside it."""
    with zipfile.ZipFile(path) as opened:
        names = opened.namelist()
        if names != ["bootstrap"]:
            return [f"has the entries {', '.join(names)}, expected bootstrap alone"]
        code = opened.read("bootstrap")
        mode = opened.getinfo("bootstrap").external_attr >> 16 & 0o777
    found = [] if mode == PROGRAM else [f"bootstrap has the permissions {mode:o}, expected {PROGRAM:o}"]
    processor = next((it for it in MACHINES if path.stem.endswith(f"-{it}")), None)
    if processor is None:
        return [*found, f"its name ends with no processor, expected one of {', '.join(MACHINES)}"]
    found += wrong_machine(code, processor) or _glibc(code)
    listed = path.with_suffix(".cdx.json")
    if not listed.is_file():
        return [*found, f"{listed.name} does not exist: download it, too"]
    binary = path.stem.removesuffix(f"-{locked.version}-{processor}")
    return found + _sbom(json.loads(listed.read_text()), code, binary, processor, TARGETS[processor], locked)


def _command(path: Path, locked: _Locked) -> list[str]:
    """A command that needs no library of its machine, with its SBOM beside the archive."""
    processor = next((it for it in MACHINES if path.name.endswith(f"-linux-{it}.tar.gz")), None)
    if processor is None:
        return [f"its name ends with no processor, expected -linux- and one of {', '.join(MACHINES)}"]
    try:
        code = read_tar(path).get(COMMAND, b"")
    except ValueError as error:
        return [str(error)]
    if found := wrong_machine(code, processor):
        return found
    found = ["policy-check needs a dynamic linker, expected a static program"] if needs_linker(code) else []
    listed = path.with_name(path.name.removesuffix(".tar.gz") + ".cdx.json")
    if not listed.is_file():
        return [*found, f"{listed.name} does not exist: download it, too"]
    return found + _sbom(json.loads(listed.read_text()), code, COMMAND, processor, STATIC[processor], locked)


def needs_linker(code: bytes) -> bool:
    """Does the ELF file have a program header PT_INTERP, which names the dynamic linker?"""
    start = int.from_bytes(code[32:40], "little")
    size, count = (int.from_bytes(code[at : at + 2], "little") for at in (54, 56))
    headers = (start + number * size for number in range(count))
    return any(int.from_bytes(code[at : at + 4], "little") == 3 for at in headers)


def wrong_machine(code: bytes, processor: str) -> list[str]:
    """Is it a program for this processor?"""
    if code[:6] != b"\x7fELF\x02\x01":
        return ["the binary is no 64-bit ELF file"]
    machine = int.from_bytes(code[18:20], "little")
    wanted = MACHINES[processor]
    return [] if machine == wanted else [f"the binary has e_machine {machine}, expected {wanted} for {processor}"]


def _glibc(code: bytes) -> list[str]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(code)
        file.flush()
        command = [ROOT / ".ci" / "glibc", GLIBC, file.name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).strip().replace(f"{file.name}: ", "")
    return [] if done.returncode == 0 else [f"Lambda has glibc {GLIBC}: {said or 'readelf found no glibc'}"]


def _sbom(bom: dict, code: bytes, binary: str, processor: str, target: str, locked: _Locked) -> list[str]:
    """Is it the list of this binary, and are its crates those that Cargo links, with the sums of Cargo.lock?"""
    if binary not in locked.packages:
        return [f"{binary} is no binary of version {locked.version}: is the checkout of another version?"]
    component = bom["metadata"]["component"]
    properties = {it["name"].removeprefix(sbom.REPOSITORY): it["value"] for it in component["properties"]}
    digest = hashlib.sha256(code).hexdigest()
    listed = {sbom.Crate(it["name"], it["version"]): it for it in bom["components"]}
    found = []
    if component["hashes"] != [{"alg": "SHA-256", "content": digest}]:
        found.append(f"the SBOM is of another binary: this one has SHA-256 {digest}")
    if properties.get("processor") != processor:
        found.append(f"the SBOM is for {properties.get('processor')}, expected {processor}")
    for crate, entry in sorted(listed.items()):
        checksums = [it["content"] for it in entry.get("hashes", [])]
        if crate not in locked.checksums:
            found.append(f"the SBOM lists {crate.purl}, which is not in Cargo.lock")
        elif checksums != [it for it in [locked.checksums[crate]] if it]:
            found.append(f"the SBOM gives {crate.purl} the checksum {checksums}, Cargo.lock {locked.checksums[crate]}")
    linked = locked.linked(binary, target)
    found += [f"the SBOM does not list {it.purl}, which Cargo links" for it in sorted(linked - listed.keys())]
    found += [f"the SBOM lists {it.purl}, which Cargo does not link" for it in sorted(listed.keys() - linked)]
    named = crates_named(code)
    if not named:
        found.append(f"the binary names no crate below {CRATES}: it was not built by make release")
    found += [f"the binary has code of {it.purl}, which the SBOM does not list" for it in sorted(named - listed.keys())]
    return found


def crates_named(code: bytes) -> set[sbom.Crate]:
    """The crates whose files a binary names, as each panic in it does: `/crates/serde_json-1.0.154/src/de.rs`."""
    form = rf"{CRATES}/([A-Za-z][A-Za-z0-9_-]*?)-(\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?)/".encode()
    return {sbom.Crate(name.decode(), version.decode()) for name, version in re.findall(form, code)}


def _archive(path: Path, dist: Path) -> list[str]:
    """Its templates lead to zips that are in it, and these are those of the release."""
    try:
        files = read_tar(path)
    except ValueError as error:
        return [str(error)]
    if "samconfig.toml" not in files:
        return ["samconfig.toml is missing"]
    found = [
        f"samconfig.toml: {name} {command} takes {template}, which is not in the archive"
        for name, command, template in _templates_of(files["samconfig.toml"])
        if template not in files
    ]
    form = re.fullmatch(rf"gatehouse(?:-[a-z-]+)?-(\d.*)-({'|'.join(MACHINES)})\.tar\.gz", path.name)
    if not form:
        return [*found, f"its name ends with no version and processor, expected one of {', '.join(MACHINES)}"]
    version, processor = form.groups()
    for name, content in files.items():
        folder, _, file = name.rpartition("/")
        if file.endswith((".zip", ".cdx.json")):
            binary, dot, ending = file.partition(".")
            same = dist / f"{binary}-{version}-{processor}{dot}{ending}"
            if not same.is_file() or same.read_bytes() != content:
                found.append(f"{name} is not {same.name} of the release")
            if ending == "zip" and f"{name.removesuffix('zip')}cdx.json" not in files:
                found.append(f"{name} has no list of crates beside it")
        elif file.endswith(".yaml"):
            needs = _needed(content)
            parameter = cloudformation.parse(content.decode()).get("Parameters", {}).get("Architecture")
            if needs and parameter and (parameter["Default"], parameter["AllowedValues"]) != (processor, [processor]):
                found.append(f"{name} admits {parameter['AllowedValues']} as Architecture, expected {processor} alone")
            for needed in needs:
                if (f"{folder}/{needed}" if folder else needed) not in files:
                    found.append(f"{name} needs {needed}, which is not in the archive")
    return found


def _templates_of(samconfig: bytes) -> list[tuple[str, str, str]]:
    """Each config-env and command of sam, and the template that it takes."""
    settings = tomllib.loads(samconfig.decode())
    return [
        (name, command, table["parameters"].get("template_file", "template.yaml"))
        for name, commands in settings.items()
        if name != "version"
        for command, table in commands.items()
        if command != "global"
    ]


def _needed(template: bytes) -> set[str]:
    """The files that a packaged template names."""
    resources = (cloudformation.parse(template.decode()) or {}).get("Resources", {}).values()
    values = (it.get("Properties", {}).get(key) for it in resources for key in ("CodeUri", "Location"))
    return {value for value in values if isinstance(value, str) and "://" not in value}
