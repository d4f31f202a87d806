"""Builds binaries for a release: the same bytes from the same commit, wherever the folder is.

What a compiler writes into a binary besides the code are paths. Those of the checkout, of Cargo's crates and of the
standard library are replaced by names that are the same everywhere. The rest is pinned: Cargo.lock, the linker (ziglang
in requirements.txt), and the version of Rust, which the SBOM names.
"""

import os
import shlex
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

TARGETS = {"arm64": "aarch64-unknown-linux-gnu", "x86_64": "x86_64-unknown-linux-gnu"}
"""Each processor of Lambda, as SAM names it, and as Rust does."""

STATIC = {"arm64": "aarch64-unknown-linux-musl", "x86_64": "x86_64-unknown-linux-musl"}
"""Linux without a glibc: for a command that runs anywhere."""

PUBLISHED = ("data-protection", "gatehouse-sns")
"""The crates that others may use without the suite."""

CRATES = "/crates"
"""Where the crates of the registry are, as a binary of a release names it: `/crates/serde-1.0.229/src/lib.rs`."""


CHANGES_BYTES = (
    *("RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_PROFILE_"),
    *("AWS_LC_SYS_", "CFLAGS", "TARGET_CFLAGS", "HOST_CFLAGS"),
)
"""How variables begin that change what is compiled. `.cargo/config.toml` sets those that a release is made with."""


class BuildFailed(Exception):
    """A command that builds failed, or something that it needs is missing; the text says what to do."""


@dataclass(frozen=True)
class Toolchain:
    """The compiler and the folders whose paths it would write into a binary."""

    version: str  # as `rustc --version` prints it
    commit: str
    sysroot: Path
    cargo_home: Path

    @classmethod
    def find(cls) -> "Toolchain":
        """That of this machine, as Cargo finds it."""
        rustc = os.environ.get("RUSTC", "rustc")
        said = _said(rustc, "-vV")
        listed = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
        home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
        return cls(said.splitlines()[0], listed["commit-hash"], Path(_said(rustc, "--print", "sysroot")), home)


def remapped(root: Path, target_dir: Path, rust: Toolchain) -> list[tuple[str, str]]:
    """Each folder and the name that takes its place. Of two that fit, Rust takes the later one."""
    crates = sorted(rust.cargo_home.glob("registry/src/*"))
    return [
        (str(rust.cargo_home), "/cargo"),
        (str(rust.sysroot / "lib" / "rustlib" / "src" / "rust"), f"/rustc/{rust.commit}"),
        (str(root), "/gatehouse"),
        (str(target_dir), "/target"),
        *((str(folder), CRATES) for folder in crates),
    ]


def environment(root: Path, target_dir: Path, epoch: int, rust: Toolchain) -> dict[str, str]:
    """The variables that a build of a release runs with: those of this process that change no bytes, and the flags."""
    pairs = remapped(root, target_dir, rust)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(CHANGES_BYTES)}
    return kept | {
        "CARGO_TARGET_DIR": str(target_dir),
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(f"--remap-path-prefix={a}={b}" for a, b in pairs),
        # AWS-LC, which is written in C. The crate `cc` reads the flags as a shell would.
        "CC_SHELL_ESCAPED_FLAGS": "1",
        "CFLAGS": shlex.join(f"-ffile-prefix-map={a}={b}" for a, b in pairs),
        "CARGO_INCREMENTAL": "0",
        "SOURCE_DATE_EPOCH": str(epoch),
    }


def functions(
    root: Path, target_dir: Path, epoch: int, processor: str, binaries: list[str], package: str | None = None
) -> dict[str, Path]:
    """Builds these binaries for Lambda, and says where each is. Raises BuildFailed.

    With `package` it builds that crate with its own features alone, and not with those of the whole workspace.
    """
    _fetch(root)
    lambda_dir = target_dir / "lambda" / processor
    bins = [option for name in binaries for option in ("--bin", name)]
    bins += ["--package", package] if package else []
    command = ["lambda", "build", "--release", "--locked", "--target", TARGETS[processor], "--lambda-dir", lambda_dir]
    rust = Toolchain.find()
    _cargo(root, environment(root, target_dir, epoch, rust), *command, *bins)
    built = {name: lambda_dir / name / "bootstrap" for name in binaries}
    for path in built.values():
        _refuse_paths(path, remapped(root, target_dir, rust))
    return built


def command(root: Path, target_dir: Path, epoch: int, processor: str, package: str, name: str) -> Path:
    """Builds a command that needs no library of its machine, and says where it is. Raises BuildFailed."""
    target = STATIC[processor]
    rust = Toolchain.find()
    if not (rust.sysroot / "lib" / "rustlib" / target).is_dir():
        raise BuildFailed(f"Rust cannot build {name} for {processor} yet: run 'rustup target add {target}'")
    _fetch(root)
    # Rust brings a linker and musl itself, so that no compiler for the other processor is needed.
    linker = {f"CARGO_TARGET_{target.upper().replace('-', '_')}_LINKER": "rust-lld"}
    arguments = ["build", "--release", "--locked", "--target", target, "--package", package, "--bin", name]
    env = environment(root, target_dir, epoch, rust) | linker
    # Cargo forgets the profile's `strip` for a package that has an override of its own in it, as data-protection does.
    env["CARGO_ENCODED_RUSTFLAGS"] += "\x1f-Cstrip=symbols"
    _cargo(root, env, *arguments)
    built = target_dir / target / "release" / name
    _refuse_paths(built, remapped(root, target_dir, rust))
    return built


def crates(root: Path, target_dir: Path) -> list[Path]:
    """The source of each crate of `PUBLISHED`, as `cargo publish` uploads it. Raises BuildFailed."""
    packages = [option for name in PUBLISHED for option in ("--package", name)]
    env = dict(os.environ) | {"CARGO_TARGET_DIR": str(target_dir)}
    _cargo(root, env, "package", "--no-verify", "--locked", *packages)
    version = version_of(root)
    return [target_dir / "package" / f"{name}-{version}.crate" for name in PUBLISHED]


def _refuse_paths(binary: Path, places: list[tuple[str, str]]) -> None:
    """Raises BuildFailed where a binary names a folder of this machine."""
    code = binary.read_bytes()
    if left := [folder for folder, _ in places if folder.encode() in code]:
        raise BuildFailed(f"{binary} names {left[0]}: another machine would make other bytes of the same commit")


def version_of(root: Path) -> str:
    """The version of the repository."""
    return tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def epoch_of(root: Path) -> int:
    """The time that files of a release have: SOURCE_DATE_EPOCH, or when the commit was made. Raises BuildFailed."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    try:
        return int(_said("git", "-C", str(root), "log", "-1", "--format=%ct"))
    except BuildFailed as error:
        raise BuildFailed(f"{root} is no checkout of git: set SOURCE_DATE_EPOCH to the time of the release") from error


def commit_of(root: Path, allow_changes: bool = False) -> str:
    """The commit that is built. Raises BuildFailed where files differ from it: nobody could build the same again."""
    git = ("git", "-C", str(root))
    commit = _said(*git, "rev-parse", "HEAD")
    if not _said(*git, "status", "--porcelain"):
        return commit
    if not allow_changes:
        raise BuildFailed("files differ from the last commit: a release is made of a commit, so commit or stash them")
    return f"{commit}-changed"


def copy(root: Path, folder: Path) -> None:
    """Copies the repository as it is, without what was built and installed in it."""
    made = shutil.ignore_patterns(".git", ".venv*", ".aws-sam", "target", "dist", "__pycache__")
    shutil.copytree(root, folder, symlinks=True, ignore=made)


def _fetch(root: Path) -> None:
    """Downloads what is missing, so that the folders of the crates are known before their paths are replaced."""
    _cargo(root, dict(os.environ), "fetch", "--locked")


def _cargo(root: Path, env: dict[str, str], *arguments: object) -> None:
    command = [os.environ.get("CARGO", "cargo"), *map(str, arguments)]
    try:
        done = subprocess.run(command, cwd=root, env=env, check=False)
    except FileNotFoundError as error:
        raise BuildFailed(f"{command[0]} is not installed: see CONTRIBUTING.md, Building and testing") from error
    if done.returncode != 0:
        raise BuildFailed(f"{shlex.join(command)} ended with {done.returncode}")


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildFailed(f"{shlex.join(command)} failed: {getattr(error, 'stderr', None) or error}") from error
