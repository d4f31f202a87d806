"""`make release` and `make verify-release`: makes the files of a version in a folder, and checks them.

python -m release make --version 0.1.0 dist
python -m release sums dist
python -m release verify dist
python -m release twice expense-subscriber
"""

import argparse
import hashlib
import shutil
import sys
from pathlib import Path

from gatehouse_local import ROOT
from gatehouse_local.functions import functions
from release import build, pack, sbom, snapshot, verify

TARGET_DIR = ROOT / "target" / "release-lambda"
COMMAND = ("data-protection", "policy-check")  # the crate and its command


def make(version: str, dist: Path, processors: list[str], bin_dir: Path | None) -> None:
    """Builds and packs; with `bin_dir` it packs the binaries that are there, for a rehearsal."""
    if dist.exists() and any(dist.iterdir()):
        raise build.BuildFailed(f"{dist} is not empty: remove it, or choose another one with DIST=")
    rust = build.Toolchain.find()
    commit = build.commit_of(ROOT, allow_changes=bin_dir is not None)
    tools = pack.tools_of(ROOT, rust.version)
    release = pack.Release(ROOT, version, commit, build.epoch_of(ROOT), tools)
    release.check()
    binaries = list(dict.fromkeys(it.binary for it in functions(ROOT)))
    for processor in processors:
        if bin_dir:
            built = {name: bin_dir / name for name in binaries}
        else:
            built = build.functions(ROOT, TARGET_DIR, release.epoch, processor, binaries)
        pack.pack(release, dist, processor, built, sbom.read_graph(ROOT, build.TARGETS[processor]))
        if not bin_dir:
            command = build.command(ROOT, TARGET_DIR, release.epoch, processor, *COMMAND)
            pack.pack_command(
                release, dist, processor, command, COMMAND[0], sbom.read_graph(ROOT, build.STATIC[processor])
            )
    if not bin_dir:
        for crate in build.crates(ROOT, TARGET_DIR):
            shutil.copyfile(crate, dist / crate.name)
    pack.finish(release, dist)


def twice(binary: str, processor: str) -> None:
    """Builds the binary of a crate of its name in two folders. Raises BuildFailed where their bytes differ.

    Needs no git: CI may have none. Features of other crates are left out, which would bring the AWS SDK.
    """
    work = TARGET_DIR.parent / "release-twice"
    shutil.rmtree(work, ignore_errors=True)
    digests = {}
    for folder in (work / "one", work / "another" / "folder"):
        build.copy(ROOT, folder)
        [built] = build.functions(folder, folder / "target", 0, processor, [binary], package=binary).values()
        digests[folder] = hashlib.sha256(built.read_bytes()).hexdigest()
        print(f"{digests[folder]}  {built.relative_to(ROOT)}", flush=True)
    if len(set(digests.values())) > 1:
        raise build.BuildFailed(f"{binary} has other bytes in another folder: compare the two (strings, diffoscope)")
    shutil.rmtree(work)
    print(f"{binary} for {processor} has the same bytes in two folders")


def main() -> int:
    """0 where all went well."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("make", help="build a version and pack it")
    made.add_argument(
        "--version", default=build.version_of(ROOT), help="must be that of Cargo.toml, which is the default"
    )
    made.add_argument("--processor", action="append", choices=build.TARGETS, help="both, unless given")
    made.add_argument("--bin-dir", type=Path, help="pack these binaries, as they are, for a rehearsal")
    summed = commands.add_parser("sums", help="write SHA256SUMS anew, after the files of both processors were joined")
    verified = commands.add_parser("verify", help="check a release")
    commands.add_parser("snapshot", help="note the interface of now as that of the last release")
    doubled = commands.add_parser("twice", help="build a binary in two folders and compare")
    doubled.add_argument("--processor", choices=build.TARGETS, required=True)
    doubled.add_argument("binary")
    for command in (made, summed, verified):
        command.add_argument("dist", type=Path)
    given = parser.parse_args()
    try:
        match given.command:
            case "make":
                make(given.version, given.dist, given.processor or list(build.TARGETS), given.bin_dir)
                # Stand-ins for a rehearsal are no release.
                return 0 if given.bin_dir else check(given.dist)
            case "sums":
                pack.write_sums(given.dist)
            case "verify":
                return check(given.dist)
            case "snapshot":
                snapshot.write()
            case "twice":
                twice(given.binary, given.processor)
    except build.BuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def check(dist: Path) -> int:
    """Prints what is wrong with the release; 0 where nothing is."""
    found = verify.faults(dist, ROOT)
    for fault in found:
        print(f"FAILED {fault}", file=sys.stderr)
    if not found:
        print(f"{dist}: {len(pack.sums(dist))} files: sums, crates, processors and glibc are right")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
