"""`make release` without the compiler: what is packed, that its bytes follow from its content, and what is refused."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from samcli.commands.build.command import cli as sam_build
from samcli.commands.deploy.command import cli as sam_deploy
from test_site import broken, links

from gatehouse_local import ROOT, cloudformation
from gatehouse_local.functions import capabilities, functions
from rehearse import built
from rehearse.deployments import DEPLOYMENTS
from rehearse.expected import expect
from release import archive, build, notes, pack, sbom, templates, verify
from template_checks.expansion import expand

VERSION = build.version_of(ROOT)
EPOCH = 1_780_000_001
TOOLS = {"rustc": "1.95.0", "cargo-lambda": "1.9.2", "ziglang": "0.17.1"}
RELEASE = pack.Release(ROOT, VERSION, "0" * 40, EPOCH, TOOLS)
PROCESSORS = list(build.TARGETS)
TEMPLATES = [
    "template.yaml",
    *sorted(
        str(path.relative_to(ROOT))
        for path in ROOT.glob("functions/*/*.yaml")
        if any(
            it["Type"] == templates.FUNCTION and "Metadata" in it
            for it in cloudformation.load(path)["Resources"].values()
        )
    ),
]


def program(processor: str, says: str) -> bytes:
    """A small program of this machine that says it is for a processor, with a path that a panic would have."""
    code = bytearray(Path(shutil.which("true")).read_bytes())
    code[18:20] = verify.MACHINES[processor].to_bytes(2, "little")
    return bytes(code) + f"/crates/serde_json-{serde_json()}/src/de.rs {says}".encode()


def static(processor: str) -> bytes:
    """The header of a program without program headers, so without a dynamic linker."""
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    header[18:20] = verify.MACHINES[processor].to_bytes(2, "little")
    return bytes(header) + f"/crates/serde_json-{serde_json()}/src/de.rs".encode()


def serde_json() -> str:
    [version] = [it.version for it in sbom.checksums(ROOT / "Cargo.lock") if it.name == "serde_json"]
    return version


@pytest.fixture(scope="session")
def graphs():
    targets = {**build.TARGETS, **{f"{name}, static": target for name, target in build.STATIC.items()}}
    return {name: sbom.read_graph(ROOT, target) for name, target in targets.items()}


@pytest.fixture(scope="session")
def make_dist(graphs, tmp_path_factory):
    """Packs programs that stand for the functions, for both processors."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("release")
        for processor in PROCESSORS:
            programs = {it.binary: folder / f"{it.binary}-{processor}" for it in functions()}
            for binary, path in programs.items():
                path.write_bytes(program(processor, binary))
            pack.pack(RELEASE, folder / "dist", processor, programs, graphs[processor])
            command = folder / processor / "policy-check"
            command.parent.mkdir()
            command.write_bytes(static(processor))
            graph = graphs[f"{processor}, static"]
            pack.pack_command(RELEASE, folder / "dist", processor, command, "data-protection", graph)
        pack.finish(RELEASE, folder / "dist")
        return folder / "dist"

    return make


@pytest.fixture(scope="session")
def dist(make_dist):
    return make_dist()


@pytest.fixture
def copied(dist, tmp_path):
    return Path(shutil.copytree(dist, tmp_path / "dist"))


# The bytes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [archive.write_zip, archive.write_tar])
def test_the_bytes_of_an_archive_follow_from_its_content_alone(write, tmp_path):
    (tmp_path / "other").mkdir()
    one, other = tmp_path / "it.tar.gz", tmp_path / "other" / "it.tar.gz"
    write(one, {"b": b"two", "a": b"one"}, EPOCH, frozenset({"a"}))
    umask = os.umask(0o077)
    try:
        write(other, {"a": b"one", "b": b"two"}, EPOCH, frozenset({"a"}))
    finally:
        os.umask(umask)
    assert one.read_bytes() == other.read_bytes()
    write(other, {"a": b"one", "b": b"two"}, EPOCH + 2, frozenset({"a"}))
    assert one.read_bytes() != other.read_bytes(), "the time is in it"


def test_a_zip_has_a_bootstrap_that_lambda_can_execute(dist):
    with zipfile.ZipFile(dist / f"ip-ranges-updater-{VERSION}-arm64.zip") as opened:
        [entry] = opened.infolist()
        assert (entry.filename, entry.external_attr >> 16, entry.create_system) == ("bootstrap", 0o100755, 3)
        assert opened.read("bootstrap") == program("arm64", "ip-ranges-updater")


def test_two_releases_of_one_commit_have_the_same_bytes(dist, make_dist):
    one, other = pack.sums(dist), pack.sums(make_dist())
    assert one == other and len(one) == len(PROCESSORS) * (2 * len({it.binary for it in functions()}) + 6 + 2) + 1


def test_the_checksums_are_those_that_sha256sum_checks(dist):
    done = subprocess.run(["sha256sum", "--check", "--quiet", pack.SUMS], cwd=dist, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "name",
    ["CARGO_PROFILE_RELEASE_LTO", "AWS_LC_SYS_NO_JITTER_ENTROPY", "CFLAGS_x86_64_unknown_linux_gnu", "RUSTFLAGS"],
)
def test_no_variable_of_the_shell_changes_what_is_compiled(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "off")
    rust = build.Toolchain("rustc 1.95.0", "5980", Path("/rust"), tmp_path / "cargo")
    assert name not in build.environment(tmp_path, tmp_path / "target", EPOCH, rust)


@pytest.mark.skipif(shutil.which("cargo") is None, reason="Rust is not installed")
def test_what_is_built_twice_has_the_crypto_library_that_is_written_in_c():
    [binary] = re.findall(r"twice --processor \$\(HERE\) (\S+)", (ROOT / "Makefile").read_text())
    command = ["cargo", "tree", "--locked", "--package", binary, "--edges", "normal", "--prefix", "none"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    linked = {line.split()[0] for line in done.stdout.splitlines() if line}
    assert "aws-lc-sys" in linked, done.stderr
    assert not any(name.startswith("aws-sdk-") for name in linked), "it takes minutes, twice"


def test_the_compiler_is_told_a_name_for_each_folder_of_this_machine(tmp_path):
    crates = tmp_path / "cargo" / "registry" / "src" / "index.crates.io-0123"
    crates.mkdir(parents=True)
    rust = build.Toolchain("rustc 1.95.0", "5980", Path("/rust"), tmp_path / "cargo")
    env = build.environment(Path("/a b/checkout"), Path("/a b/checkout/target"), EPOCH, rust)
    flags = env["CARGO_ENCODED_RUSTFLAGS"].split("\x1f")
    assert flags == [
        f"--remap-path-prefix={tmp_path}/cargo=/cargo",
        "--remap-path-prefix=/rust/lib/rustlib/src/rust=/rustc/5980",
        "--remap-path-prefix=/a b/checkout=/gatehouse",
        "--remap-path-prefix=/a b/checkout/target=/target",
        f"--remap-path-prefix={crates}=/crates",
    ]
    assert "'-ffile-prefix-map=/a b/checkout=/gatehouse'" in env["CFLAGS"]
    assert env["SOURCE_DATE_EPOCH"] == str(EPOCH) and "RUSTFLAGS" not in env


# The templates --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def unpacked(dist, tmp_path_factory):
    """The archive of the suite for arm64."""
    folder = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(dist / f"gatehouse-{VERSION}-arm64.tar.gz", folder, filter="data")
    return folder / f"gatehouse-{VERSION}-arm64"


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_packaged_template_differs_in_code_and_processor_alone(unpacked, template):
    source, made = cloudformation.load(ROOT / template), yaml.safe_load((unpacked / template).read_text())
    for name, resource in made["Resources"].items():
        if resource["Type"] == templates.FUNCTION:
            binary = source["Resources"][name]["Metadata"]["BuildProperties"]["Binary"]
            assert resource["Metadata"] == {"SkipBuild": True}
            assert (unpacked / template).parent.joinpath(resource["Properties"]["CodeUri"]).name == f"{binary}.zip"
            assert ((unpacked / template).parent / resource["Properties"]["CodeUri"]).is_file()
            resource["Metadata"] = source["Resources"][name]["Metadata"]
            resource["Properties"]["CodeUri"] = source["Resources"][name]["Properties"]["CodeUri"]
    assert made["Parameters"]["Architecture"]["AllowedValues"] == ["arm64"], "else it could run on the other one"
    made["Parameters"]["Architecture"] = source["Parameters"]["Architecture"]
    assert made == source


@pytest.mark.lint
@pytest.mark.parametrize("template", TEMPLATES)
def test_sam_takes_a_packaged_template(unpacked, template):
    expand(yaml.safe_load((unpacked / template).read_text()))
    env = os.environ | {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    command = [Path(sys.executable).parent / "sam", "validate", "--template", unpacked / template]
    if not command[0].exists():
        pytest.skip("the SAM CLI is not installed here: make packages")
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_archive_for_one_processor_takes_no_other(dist, tmp_path):
    shutil.unpack_archive(dist / f"gatehouse-amis-{VERSION}-x86_64.tar.gz", tmp_path, filter="data")
    folder = tmp_path / f"gatehouse-amis-{VERSION}-x86_64" / "functions" / "amis"
    made = yaml.safe_load((folder / "template.yaml").read_text())
    assert made["Parameters"]["Architecture"]["Default"] == "x86_64"
    assert made["Parameters"]["Architecture"]["AllowedValues"] == ["x86_64"]


def unpack(dist: Path, what: str, folder: Path) -> Path:
    shutil.unpack_archive(dist / f"{what}-{VERSION}-arm64.tar.gz", folder, filter="data")
    return folder / f"{what}-{VERSION}-arm64"


def commands_of_sam(page: Path) -> list[list[str]]:
    """What its blocks run to build and to deploy, as words."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in re.sub(r"\\\n *", "", block).splitlines()]
    commands = [it.strip() for line in lines for it in re.split(r" (?:&&|;) ", line)]
    return [shlex.split(it, comments=True) for it in commands if it.startswith(("sam build", "sam deploy"))]


def settled(words: list[str], folder: Path, monkeypatch) -> dict:
    """What the SAM CLI makes of a command in this folder, with the samconfig.toml that is there."""
    monkeypatch.chdir(folder)
    made = {"build": sam_build, "deploy": sam_deploy}[words[1]]
    return made.make_context(words[1], words[2:]).params


def test_the_suite_is_deployed_with_each_config_env(unpacked):
    own, made = (tomllib.loads((folder / "samconfig.toml").read_text()) for folder in (ROOT, unpacked))
    assert made.keys() == own.keys()
    for name in made.keys() - {"version"}:
        deploy = made[name]["deploy"]["parameters"]
        assert (unpacked / deploy.pop("template_file")).is_file()
        wanted = own[name]["deploy"]["parameters"]
        assert deploy == {key: value for key, value in wanted.items() if key != "template_file"}
        assert made[name]["global"] == own[name]["global"]


@pytest.mark.parametrize("capability", capabilities())
def test_the_archive_of_a_capability_is_deployed_with_and_without_its_config_env(
    dist, tmp_path, capability, monkeypatch
):
    folder = unpack(dist, f"gatehouse-{capability}", tmp_path)
    assert tomllib.loads((folder / "samconfig.toml").read_text()).keys() == {"version", "default", capability}
    for given in ([], ["--config-env", capability]):
        params = settled(["sam", "deploy", *given, "--parameter-overrides", "DryRun=false"], folder, monkeypatch)
        assert params["stack_name"] == f"gatehouse-{capability}" and params["resolve_s3"] is True
        assert Path(params["template_file"]) == folder / "functions" / capability / "template.yaml"
    there = {path.name for path in (folder / "functions" / capability).iterdir()}
    sources = {path.name for path in (ROOT / "functions" / capability).glob("*.yaml")}
    assert sources | {"README.md", "dashboard.svg"} <= there
    assert {f"{it.binary}.zip" for it in functions() if it.capability == capability} <= there


ARCHIVES = {"gatehouse": capabilities()} | {f"gatehouse-{it}": [it] for it in capabilities()}


@pytest.mark.parametrize("what", ARCHIVES)
def test_each_command_of_a_page_of_an_archive_finds_its_template_there(dist, tmp_path, what, monkeypatch):
    folder = unpack(dist, what, tmp_path)
    tried = 0
    for page in [folder / "README.md", *sorted(folder.glob("functions/*/*.md"))]:
        for words in commands_of_sam(page):
            if "--config-env" in words and words[words.index("--config-env") + 1] not in ARCHIVES[what]:
                continue  # the first page names the other capabilities, too
            params = settled(words, folder, monkeypatch)
            template = Path(params["template_file"])
            assert (folder / template).is_file(), words
            assert words[1] == "build" or params["stack_name"], words
            if words[1] == "build":
                made = folder / params["build_dir"] / "template.yaml"
                made.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / template, made)
            tried += 1
    assert tried >= 3


@pytest.mark.parametrize("what", [*ARCHIVES, "policy-check-linux"])
def test_no_link_of_a_page_of_an_archive_leads_nowhere(dist, tmp_path, what):
    name = {"policy-check-linux": f"policy-check-{VERSION}-linux-arm64"}.get(what, f"{what}-{VERSION}-arm64")
    shutil.unpack_archive(dist / f"{name}.tar.gz", tmp_path, filter="data")
    pages = sorted((tmp_path / name).rglob("*.md"))
    assert {
        str(page.relative_to(tmp_path / name)): it for page in pages if (it := broken(page, page.read_text()))
    } == {}
    if what in ARCHIVES:
        assert {"SECURITY.md", "send-again.md", "upgrading.md"} <= {page.name for page in pages}


def test_the_archive_of_pipelines_has_its_app_for_cdk(dist, tmp_path):
    folder = unpack(dist, "gatehouse-pipelines", tmp_path) / "functions" / "pipelines"
    assert {"app.py", "cdk.json", "gatehouse_gate.py", "requirements.txt"} <= {
        it.name for it in (folder / "cdk").iterdir()
    }
    assert not list(folder.rglob("*.rs"))


def test_the_notes_of_a_release_have_no_link_to_a_file(dist):
    assert links((dist / pack.NOTES).read_text()) == []


@pytest.mark.parametrize("deployment", [it for it in DEPLOYMENTS if it.which == "default"], ids=lambda it: it.stack)
def test_a_rehearsal_of_a_release_expects_what_that_of_the_repository_does(dist, tmp_path, deployment):
    folder = tmp_path / "repository"
    built.unpack(folder, dist / f"gatehouse-{VERSION}-arm64.tar.gz")
    given = (deployment.stack, deployment.given({}), deployment.account)
    own = expect(deployment.template, *given)
    unpacked = expect(folder / deployment.template.relative_to(ROOT), *given)
    assert unpacked.count == own.count and unpacked.resources.keys() == own.resources.keys()


# The command and the crates for others --------------------------------------------------------


def test_the_command_is_unpacked_ready_to_run(dist, tmp_path):
    shutil.unpack_archive(dist / f"policy-check-{VERSION}-linux-x86_64.tar.gz", tmp_path, filter="data")
    folder = tmp_path / f"policy-check-{VERSION}-linux-x86_64"
    assert {path.name for path in folder.iterdir()} == {"LICENSE", "README.md", "policy-check"}
    assert os.access(folder / "policy-check", os.X_OK) and not os.access(folder / "LICENSE", os.X_OK)


def test_the_exit_codes_are_those_of_the_help():
    crate = ROOT / "functions" / "messages" / "data-protection"
    [said] = re.findall(r"^Exits 0; (2) .*; (1) .*$", (crate / "src/bin/policy-check.rs").read_text(), re.MULTILINE)
    listed = re.findall(r"^\| (\d) \| ", (crate / "README.md").read_text(), re.MULTILINE)
    assert listed == ["0", *said]


@pytest.mark.parametrize("name", build.PUBLISHED)
def test_a_crate_for_others_has_what_cargo_publish_asks_for(name):
    manifests = [*ROOT.glob("shared/*/Cargo.toml"), *ROOT.glob("functions/*/*/Cargo.toml")]
    packages = [tomllib.loads(manifest.read_text())["package"] for manifest in manifests]
    [package] = [it for it in packages if it["name"] == name]
    assert package["publish"] is True and package["readme"] == "README.md"
    assert len(package["keywords"]) <= 5 and len(package["categories"]) <= 5
    command = ["cargo", "package", "--list", "--allow-dirty", "--offline", "--package", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    files = set(done.stdout.splitlines())
    assert {"Cargo.toml", "README.md", "LICENSE", "src/lib.rs"} <= files
    assert not any(it.startswith(("fuzz/", "tests/", "benches/")) for it in files)


# The list of crates ---------------------------------------------------------------------------

TREE = """\
0door v0.1.0 (/src/door)
1serde v1.0.229
2serde_core v1.0.229
1tokio v1.54.1
2serde v1.0.229 (*)

0hinge v0.1.0 (/src/hinge)
1serde v1.0.229 (*)
"""


def test_what_cargo_tree_prints_is_read():
    door, hinge, serde, core, tokio = (
        sbom.Crate(*it.split())
        for it in ("door 0.1.0", "hinge 0.1.0", "serde 1.0.229", "serde_core 1.0.229", "tokio 1.54.1")
    )
    edges = sbom.read_tree(TREE)
    assert edges == {door: {serde, tokio}, hinge: {serde}, serde: {core}, core: set(), tokio: {serde}}
    assert sbom.Graph(edges).linked(hinge) == {hinge, serde, core}
    with pytest.raises(build.BuildFailed, match="unknown form: error: no tree"):
        sbom.read_tree("error: no tree")


def test_a_list_has_what_the_binary_links_and_nothing_else(dist):
    def crates(binary):
        made = json.loads((dist / f"{binary}-{VERSION}-arm64.cdx.json").read_text())
        assert {it["ref"] for it in made["dependencies"]} >= {it["purl"] for it in made["components"]}
        return {it["name"] for it in made["components"]}

    assert {"aws-sdk-ec2", "ip-ranges-planner", "aws-lc-sys", "tokio"} <= crates("ip-ranges-updater")
    assert "aws-sdk-ec2" not in crates("message-redactor") and "data-protection" in crates("message-redactor")
    built_with = {"serde_derive", "syn", "cc", "proptest", "criterion"}
    assert all(crates(it.binary) & built_with == set() for it in functions())


def test_a_list_is_what_the_schema_of_cyclonedx_admits(dist):
    schema = pytest.importorskip(
        "cyclonedx.validation.json", reason="cyclonedx-python-lib is not installed here: make packages"
    )
    from cyclonedx.schema import SchemaVersion

    validator = schema.JsonStrictValidator(SchemaVersion.V1_6)
    for path in dist.glob("*.cdx.json"):
        assert validator.validate_str(path.read_text()) is None, path
    broken = json.loads(path.read_text()) | {"serialNumber": "7"}
    assert validator.validate_str(json.dumps(broken)) is not None, "it judges"


# The check of a release -----------------------------------------------------------------------


def test_a_release_has_no_faults(dist):
    assert verify.faults(dist, ROOT) == []


def _zip_with(path: Path, name: str, code: bytes) -> None:
    archive.write_zip(path, {name: code}, EPOCH, frozenset({name}))


def _of_another_processor(dist: Path) -> None:
    path = dist / f"ami-share-{VERSION}-arm64.zip"
    _zip_with(path, "bootstrap", program("x86_64", "ami-share"))


def _without_permission(dist: Path) -> None:
    archive.write_zip(dist / f"ami-share-{VERSION}-arm64.zip", {"bootstrap": program("arm64", "ami-share")}, EPOCH)


def _with_a_crate_that_is_not_listed(dist: Path) -> None:
    code = program("arm64", "ami-share") + b"/crates/left-pad-0.0.1/src/lib.rs"
    _zip_with(dist / f"ami-share-{VERSION}-arm64.zip", "bootstrap", code)


def _edit_list(dist: Path, change) -> None:
    path = dist / f"ami-share-{VERSION}-arm64.cdx.json"
    made = json.loads(path.read_text())
    change(made)
    path.write_text(json.dumps(made))


def _listing_another_version(dist: Path) -> None:
    _edit_list(dist, lambda it: it["components"][0].update(version="99.0.0"))


def _listing_another_checksum(dist: Path) -> None:
    def change(made):
        next(it for it in made["components"] if "hashes" in it)["hashes"][0]["content"] = "ab" * 32

    _edit_list(dist, change)


def _archive_with(dist: Path, name: str, content: bytes | None) -> None:
    path = dist / f"gatehouse-amis-{VERSION}-arm64.tar.gz"
    files = archive.read_tar(path)
    if content is None:
        del files[name]
    else:
        files[name] = content
    archive.write_tar(path, files, EPOCH)


def _edit_archive(dist: Path, name: str, old: str, new: str) -> None:
    content = archive.read_tar(dist / f"gatehouse-amis-{VERSION}-arm64.tar.gz")[name].decode()
    _archive_with(dist, name, content.replace(old, new).encode())


def _but(made: dict, name: str) -> list[dict]:
    return [it for it in made["components"] if it["name"] != name]


def _crate_of_the_tests() -> dict:
    [(crate, digest)] = [it for it in sbom.checksums(ROOT / "Cargo.lock").items() if it[0].name == "proptest"]
    hashes = [{"alg": "SHA-256", "content": digest}]
    return {"name": crate.name, "version": crate.version, "purl": crate.purl, "hashes": hashes}


def _command_with(dist: Path, code: bytes) -> None:
    path = dist / f"policy-check-{VERSION}-linux-arm64.tar.gz"
    archive.write_tar(path, archive.read_tar(path) | {"policy-check": code}, EPOCH, frozenset({"policy-check"}))


def _cut(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


FAULTS = {
    "an altered file": (
        lambda dist: (dist / "release-notes.md").write_text("other"),
        "release-notes.md has SHA-256 ",
        False,
    ),
    "a missing file": (lambda dist: (dist / "release-notes.md").unlink(), "release-notes.md is in SHA256SUMS", False),
    "a strange file": (lambda dist: (dist / "more").write_text(""), "more is not in SHA256SUMS: remove it", False),
    "no checksums": (lambda dist: (dist / "SHA256SUMS").unlink(), "SHA256SUMS does not exist", False),
    "another processor": (_of_another_processor, "the binary has e_machine 62, expected 183 for arm64", True),
    "no program": (
        lambda dist: _zip_with(dist / f"ami-share-{VERSION}-arm64.zip", "bootstrap", b"#!/bin/sh"),
        "the binary is no 64-bit ELF file",
        True,
    ),
    "another entry": (
        lambda dist: _zip_with(dist / f"ami-share-{VERSION}-arm64.zip", "main", b""),
        "has the entries main, expected bootstrap alone",
        True,
    ),
    "no permission": (_without_permission, "bootstrap has the permissions 644, expected 755", True),
    "an unlisted crate": (
        _with_a_crate_that_is_not_listed,
        "the binary has code of pkg:cargo/left-pad@0.0.1, which the SBOM does not list",
        True,
    ),
    "the list of another binary": (_with_a_crate_that_is_not_listed, "the SBOM is of another binary", True),
    "another version": (_listing_another_version, "@99.0.0, which is not in Cargo.lock", True),
    "another checksum": (_listing_another_checksum, "the checksum ['abab", True),
    "no list": (lambda dist: (dist / f"ami-share-{VERSION}-arm64.cdx.json").unlink(), "cdx.json does not exist", True),
    "an archive with another zip": (
        lambda dist: _archive_with(
            dist, "functions/amis/ami-share.zip", (dist / f"ami-share-{VERSION}-x86_64.zip").read_bytes()
        ),
        f"functions/amis/ami-share.zip is not ami-share-{VERSION}-arm64.zip of the release",
        True,
    ),
    "an archive without a zip": (
        lambda dist: _archive_with(dist, "functions/amis/ami-share.zip", None),
        "template.yaml needs ami-share.zip, which is not in the archive",
        True,
    ),
    "an archive with a strange zip": (
        lambda dist: _archive_with(dist, "functions/amis/ami-share.zip", (dist / "strange.zip").read_bytes()),
        f"functions/amis/ami-share.zip is not ami-share-{VERSION}-arm64.zip of the release",
        True,
    ),
    "an archive with the zip of another function": (
        lambda dist: _archive_with(
            dist, "functions/amis/ami-share.zip", (dist / f"expense-subscriber-{VERSION}-arm64.zip").read_bytes()
        ),
        f"functions/amis/ami-share.zip is not ami-share-{VERSION}-arm64.zip of the release",
        True,
    ),
    "an archive with an empty list": (
        lambda dist: _archive_with(dist, "functions/amis/ami-share.cdx.json", b"{}"),
        f"functions/amis/ami-share.cdx.json is not ami-share-{VERSION}-arm64.cdx.json of the release",
        True,
    ),
    "an archive without a list": (
        lambda dist: _archive_with(dist, "functions/amis/ami-share.cdx.json", None),
        "functions/amis/ami-share.zip has no list of crates beside it",
        True,
    ),
    "an archive with templates for the other processor": (
        lambda dist: _edit_archive(dist, "functions/amis/template.yaml", "arm64", "x86_64"),
        "functions/amis/template.yaml admits ['x86_64'] as Architecture, expected arm64 alone",
        True,
    ),
    "settings that name no template": (
        lambda dist: _edit_archive(dist, "samconfig.toml", "functions/amis/template.yaml", "nothere.yaml"),
        "samconfig.toml: amis deploy takes nothere.yaml, which is not in the archive",
        True,
    ),
    "a list without a crate that is linked": (
        lambda dist: _edit_list(dist, lambda it: it.update(components=_but(it, "aws-lc-sys"))),
        "the SBOM does not list pkg:cargo/aws-lc-sys@",
        True,
    ),
    "a list with a crate that is not linked": (
        lambda dist: _edit_list(dist, lambda it: it["components"].append(_crate_of_the_tests())),
        "the SBOM lists pkg:cargo/proptest@",
        True,
    ),
    "a command that needs a glibc": (
        lambda dist: _command_with(dist, program("arm64", "policy-check")),
        f"policy-check-{VERSION}-linux-arm64.tar.gz: policy-check needs a dynamic linker, expected a static program",
        True,
    ),
    "a command for another processor": (
        lambda dist: _command_with(dist, static("x86_64")),
        f"policy-check-{VERSION}-linux-arm64.tar.gz: the binary has e_machine 62, expected 183 for arm64",
        True,
    ),
    "a command without its list": (
        lambda dist: (dist / f"policy-check-{VERSION}-linux-arm64.cdx.json").unlink(),
        f"policy-check-{VERSION}-linux-arm64.cdx.json does not exist",
        True,
    ),
    "half a zip": (
        lambda dist: _cut(dist / f"ami-share-{VERSION}-arm64.zip"),
        f"ami-share-{VERSION}-arm64.zip: it, or its SBOM, cannot be read: BadZipFile",
        True,
    ),
    "half an archive": (
        lambda dist: _cut(dist / f"gatehouse-amis-{VERSION}-arm64.tar.gz"),
        f"gatehouse-amis-{VERSION}-arm64.tar.gz: it, or its SBOM, cannot be read: ",
        True,
    ),
    "half a list": (
        lambda dist: _cut(dist / f"ami-share-{VERSION}-arm64.cdx.json"),
        f"ami-share-{VERSION}-arm64.zip: it, or its SBOM, cannot be read: JSONDecodeError",
        True,
    ),
    "a list of nothing": (
        lambda dist: (dist / f"ami-share-{VERSION}-arm64.cdx.json").write_text("{}"),
        f"ami-share-{VERSION}-arm64.zip: it, or its SBOM, cannot be read: KeyError",
        True,
    ),
    "an archive without settings": (
        lambda dist: _archive_with(dist, "samconfig.toml", None),
        f"gatehouse-amis-{VERSION}-arm64.tar.gz: samconfig.toml is missing",
        True,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_release_is_refused(copied, tmp_path, name):
    """With `summed`, whoever altered it also wrote the checksums anew."""
    alter, said, summed = FAULTS[name]
    if "strange zip" in name:
        _zip_with(copied / "strange.zip", "bootstrap", program("arm64", "strange"))
    alter(copied)
    (copied / "strange.zip").unlink(missing_ok=True)
    if summed:
        pack.write_sums(copied)
    found = verify.faults(copied, ROOT)
    assert any(said in fault for fault in found), found


def test_a_newer_glibc_than_that_of_lambda_is_refused(dist, monkeypatch):
    monkeypatch.setattr(verify, "GLIBC", "2.1")
    found = verify.faults(dist, ROOT)
    assert any("Lambda has glibc 2.1: glibc 2." in fault and "TOO NEW" in fault for fault in found), found


def test_lambdas_glibc_is_one_number():
    assert f"readonly LAMBDA_GLIBC={verify.GLIBC} " in (ROOT / ".ci" / "run").read_text()


def test_a_folder_that_is_no_release_is_refused(tmp_path):
    assert any("is it the folder of a release?" in fault for fault in verify.faults(tmp_path, ROOT))


# The notes, the version -----------------------------------------------------------------------

CHANGELOG = """# Changelog

## [Unreleased]

- to come

## [0.2.0] - 2027-01-31

### Added

- a door

## [0.1.0] - 2026-12-01

- a wall

[Unreleased]: https://example.com
"""


@pytest.mark.parametrize(
    ("version", "expected"),
    [("0.2.0", "### Added\n\n- a door\n"), ("0.1.0", "- a wall\n"), ("0.3.0", "- to come\n")],
)
def test_the_notes_are_the_section_of_the_version_or_what_is_unreleased(version, expected):
    assert notes.section(CHANGELOG, version) == expected


def test_a_release_without_notes_is_refused():
    with pytest.raises(notes.NoNotes, match=re.escape("add a section '## [0.3.0]'")):
        notes.section(CHANGELOG.replace("- to come\n", ""), "0.3.0")


def test_a_release_of_another_version_than_the_repository_has_is_refused():
    with pytest.raises(build.BuildFailed, match=re.escape(f"VERSION=9.9.9, but Cargo.toml has version {VERSION}")):
        pack.Release(ROOT, "9.9.9", "0" * 40, EPOCH, TOOLS).check()
    RELEASE.check()


@pytest.mark.skipif(shutil.which("cargo") is None, reason="Rust is not installed")
def test_the_next_version_is_set_by_one_command(tmp_path):
    build.copy(ROOT, tmp_path / "it")
    command = ["make", "-C", tmp_path / "it", "version", "VERSION=9.8.7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert build.version_of(tmp_path / "it") == "9.8.7"
    for lock in (tmp_path / "it").rglob("Cargo.lock"):
        own = {it["name"]: it["version"] for it in tomllib.loads(lock.read_text())["package"] if "source" not in it}
        assert {version for name, version in own.items() if not name.endswith("-fuzz")} == {"9.8.7"}, lock
        command = ["cargo", "metadata", "--locked", "--offline", "--format-version", "1"]
        read = subprocess.run(command, cwd=lock.parent, capture_output=True, text=True, timeout=120)
        assert read.returncode == 0, read.stderr


def test_the_tools_that_make_the_bytes_are_named():
    assert pack.tools_of(ROOT, "rustc 1.95.0 (59807616e 2026-04-14)").keys() == TOOLS.keys()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_release_of_a_changed_checkout_is_refused(tmp_path):
    def git(*arguments):
        name = ["-c", "user.name=it", "-c", "user.email=it@example.com"]
        subprocess.run(["git", "-C", tmp_path, *name, *arguments], check=True, capture_output=True, timeout=60)

    (tmp_path / "file").write_text("one")
    for arguments in (["init"], ["add", "file"], ["commit", "-m", "one"]):
        git(*arguments)
    assert re.fullmatch("[0-9a-f]{40}", build.commit_of(tmp_path))
    (tmp_path / "page.md").write_text("not in the commit, and packed")
    with pytest.raises(build.BuildFailed, match="commit or stash them"):
        build.commit_of(tmp_path)
    (tmp_path / "page.md").unlink()
    (tmp_path / "file").write_text("two")
    with pytest.raises(build.BuildFailed, match="commit or stash them"):
        build.commit_of(tmp_path)
    assert build.commit_of(tmp_path, allow_changes=True).endswith("-changed")
