"""What every test here may use: the local AWS, pages, and the built binaries."""

import os
from pathlib import Path

import pytest

from gatehouse_local.aws import LocalAws
from gatehouse_local.sns import ROOT
from gatehouse_local.web import Web

REAL = ROOT.parent / "shared" / "real"


def pytest_addoption(parser):
    parser.addoption("--bin-dir", default=None, help="folder of the built binaries; target/debug unless given")
    parser.addoption(
        "--binary",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="a binary elsewhere, such as ip-ranges-updater=.aws-sam/build/.../bootstrap",
    )


def pytest_report_header(config):
    if not REAL.is_dir():
        return "real inputs: none here, tests of them are skipped"
    return f"real inputs: {os.path.relpath(REAL)}"


@pytest.fixture(scope="session")
def binary(pytestconfig):
    """Gives the path of a built binary by its name; fails, and says how to build it, where there is none."""
    elsewhere = dict(option.split("=", 1) for option in pytestconfig.getoption("binary"))
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    folder = Path(pytestconfig.getoption("bin_dir") or target / "debug")

    def find(name: str) -> Path:
        path = Path(elsewhere.get(name, folder / name)).absolute()
        if not path.is_file():
            pytest.fail(f"{path} does not exist: run `cargo build --bin {name}`")
        return path

    return find


@pytest.fixture(scope="session")
def _running_aws():
    with LocalAws() as aws:
        yield aws


@pytest.fixture
def aws(_running_aws):
    """A local AWS as if just started."""
    _running_aws.reset()
    return _running_aws


@pytest.fixture
def web():
    """A web without pages."""
    with Web() as web:
        yield web


@pytest.fixture(scope="session")
def real():
    """The folder of real AWS inputs. Without it the test is skipped, or fails where GATEHOUSE_REQUIRE_REAL=1."""
    if not REAL.is_dir():
        if os.environ.get("GATEHOUSE_REQUIRE_REAL") == "1":
            pytest.fail(f"{REAL} does not exist, and GATEHOUSE_REQUIRE_REAL=1 asks for it")
        pytest.skip("no real inputs here")
    return REAL
