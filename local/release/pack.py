"""Makes the files of a release from built binaries."""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from gatehouse_local.functions import capabilities, functions
from release import build, notes, pages, sbom, templates
from release.archive import write_tar, write_zip
from release.build import STATIC, TARGETS, BuildFailed

SUMS, NOTES = "SHA256SUMS", "release-notes.md"


@dataclass(frozen=True)
class Release:
    """One version, made of one commit of the repository in `root`. `tools` are those that built it, with versions."""

    root: Path
    version: str
    commit: str
    epoch: int
    tools: dict[str, str]

    def check(self) -> None:
        """Raises BuildFailed where the version is not that of the repository, or nothing says what is new."""
        own = build.version_of(self.root)
        if self.version != own:
            raise BuildFailed(
                f"VERSION={self.version}, but Cargo.toml has version {own}: set version there, and commit"
            )
        self.notes()

    def notes(self) -> bytes:
        """The notes of the release."""
        try:
            text = notes.section((self.root / "CHANGELOG.md").read_text(), self.version)
        except notes.NoNotes as error:
            raise BuildFailed(str(error)) from error
        return pages.with_links("CHANGELOG.md", text, ()).encode()

    def name(self, what: str, processor: str) -> str:
        """What a file for a processor is called, without its ending."""
        return f"{what}-{self.version}-{processor}"


def pack(release: Release, dist: Path, processor: str, built: dict[str, Path], graph: sbom.Graph) -> None:
    """Writes into `dist` what is for one processor: zips, their SBOMs, and the archives. `built` are the binaries."""
    dist.mkdir(parents=True, exist_ok=True)
    zips: dict[str, bytes] = {}
    boms: dict[str, bytes] = {}
    crates = {it.binary: it.crate for it in functions(release.root)}
    for binary, path in built.items():
        code = path.read_bytes()
        zipped = dist / f"{release.name(binary, processor)}.zip"
        write_zip(zipped, {"bootstrap": code}, release.epoch, programs=frozenset({"bootstrap"}))
        package = sbom.Crate(package_of(release.root / crates[binary] / "Cargo.toml"), release.version)
        about = {"commit": release.commit, "processor": processor, "target": TARGETS[processor]}
        digest = hashlib.sha256(code).hexdigest()
        made = sbom.document(graph, package, binary, digest, release.epoch, release.tools, about)
        zips[binary], boms[binary] = zipped.read_bytes(), sbom.to_json(made)
        (dist / f"{release.name(binary, processor)}.cdx.json").write_bytes(boms[binary])

    root, chosen = release.root, capabilities(release.root)
    whole = {
        "template.yaml": templates.packaged(root / "template.yaml", processor)[0],
        "samconfig.toml": templates.samconfig(root / "samconfig.toml"),
    }
    for capability in chosen:
        content = _capability(root / "functions" / capability, processor, zips, boms)
        files = {f"functions/{capability}/{name}": it for name, it in content.items()}
        whole |= files
        files["samconfig.toml"] = templates.samconfig(root / "samconfig.toml", capability)
        path = dist / f"{release.name(f'gatehouse-{capability}', processor)}.tar.gz"
        write_tar(path, pages.linked(pages.of(root, [capability]) | files), release.epoch)
    path = dist / f"{release.name('gatehouse', processor)}.tar.gz"
    write_tar(path, pages.linked(pages.of(root, chosen) | whole), release.epoch)


def pack_command(release: Release, dist: Path, processor: str, built: Path, package: str, graph: sbom.Graph) -> None:
    """Writes the archive of a command for Linux, with its README, and its SBOM."""
    code, name = built.read_bytes(), f"{built.name}-{release.version}-linux-{processor}"
    about = {"commit": release.commit, "processor": processor, "target": STATIC[processor]}
    digest, crate = hashlib.sha256(code).hexdigest(), sbom.Crate(package, release.version)
    made = sbom.document(graph, crate, built.name, digest, release.epoch, release.tools, about)
    source = next(release.root.glob(f"functions/*/{package}"))
    files = {built.name: code, "LICENSE": (release.root / "LICENSE").read_bytes()}
    files["README.md"] = (source / "README.md").read_bytes()
    write_tar(dist / f"{name}.tar.gz", pages.linked(files), release.epoch, programs=frozenset({built.name}))
    (dist / f"{name}.cdx.json").write_bytes(sbom.to_json(made))


def finish(release: Release, dist: Path) -> None:
    """Writes what is for all processors: the notes, and last the checksum of each file."""
    (dist / NOTES).write_bytes(release.notes())
    write_sums(dist)


def write_sums(dist: Path) -> None:
    """Writes SHA256SUMS for the files that are there, in the form of `sha256sum --check`."""
    (dist / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(sums(dist).items())))


def sums(dist: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder."""
    files = [path for path in dist.iterdir() if path.is_file() and path.name != SUMS]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _capability(folder: Path, processor: str, zips: dict[str, bytes], boms: dict[str, bytes]) -> dict[str, bytes]:
    """The templates and zips of a capability."""
    files = {}
    for path in folder.glob("*.yaml"):
        files[path.name], binaries = templates.packaged(path, processor)
        for binary in binaries:
            if binary not in zips:
                raise BuildFailed(f"{path} has Binary {binary}, which no template.yaml has: it was not built")
            files |= {f"{binary}.zip": zips[binary], f"{binary}.cdx.json": boms[binary]}
    return files


def package_of(manifest: Path) -> str:
    """The name of the crate of a manifest. It takes its version from the workspace."""
    return tomllib.loads(manifest.read_text())["package"]["name"]


def tools_of(root: Path, rustc: str) -> dict[str, str]:
    """What makes the bytes besides Cargo.lock: the compiler, and the pinned programs that call and link for it."""
    pinned = (root / "local" / "requirements.txt").read_text()
    found = dict(line.split("#")[0].strip().split("==") for line in pinned.splitlines() if "==" in line.split("#")[0])
    return {"rustc": rustc.removeprefix("rustc ")} | {name: found[name] for name in ("cargo-lambda", "ziglang")}
