"""What every test here may use: the local AWS, pages, and the built binaries."""

import collections
import os
import venv
from importlib.metadata import distribution
from pathlib import Path

import boto3
import botocore.config
import pytest
from packaging.requirements import Requirement

from gatehouse_local.amis import Stack
from gatehouse_local.aws import LocalAws
from gatehouse_local.sns import ROOT
from gatehouse_local.web import Web

REAL = ROOT.parent / "shared" / "real"
NO_REAL = (
    "no inputs recorded from AWS in ../shared/real: they are not published, and nothing can be installed; the same "
    "code is tested with the samples of events/"
)


def pytest_addoption(parser):
    parser.addoption("--bin-dir", default=None, help="folder of the built binaries; target/debug unless given")
    parser.addoption(
        "--binary",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="a binary elsewhere, such as ip-ranges-updater=.aws-sam/build/.../bootstrap",
    )
    parser.addoption("--every", type=int, default=1, metavar="N", help="run one test of N, spread over all of them")


def pytest_collection_modifyitems(config, items):
    every = config.getoption("every")
    if every > 1:
        left_out = [item for number, item in enumerate(items) if number % every]
        config.hook.pytest_deselected(items=left_out)
        items[:] = items[::every]


def pytest_report_header(config):
    if not REAL.is_dir():
        return "real inputs: none here, tests of them are skipped"
    return f"real inputs: {os.path.relpath(REAL)}"


def pytest_terminal_summary(terminalreporter):
    """What was skipped, and what to do so that it runs: each reason says both."""
    reasons = collections.Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        terminalreporter.section("skipped here, and what to install")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count} {'test' if count == 1 else 'tests'}: {reason}")


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
def demo_python(tmp_path_factory):
    """The Python of an environment that has the packages of requirements-demo.txt, and nothing else.

    They are not downloaded once more, but linked from the environment that the tests run in.
    """
    folder = tmp_path_factory.mktemp("demo")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in _with_all_that_they_need((ROOT / "local" / "requirements-demo.txt").read_text().splitlines()):
        found = distribution(name)
        tops = {Path(file).parts[0] for file in found.files} - {"..", "__pycache__"}
        for top in tops:
            link = packages / top
            if not link.exists():
                link.symlink_to(Path(found.locate_file(top)).resolve())
    return python


def _with_all_that_they_need(requirements):
    """The names of the packages, and of those that they require on this machine."""
    waiting = [Requirement(line.split("#")[0]) for line in requirements if line.split("#")[0].strip()]
    seen = set()
    while waiting:
        wanted = waiting.pop()
        for extra in ("", *wanted.extras):
            if (wanted.name, extra) not in seen:
                seen.add((wanted.name, extra))
                needed = map(Requirement, distribution(wanted.name).requires or [])
                waiting += [it for it in needed if it.marker is None or it.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


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
def client(aws):
    """Gives clients that stand on stage: their calls are recorded and disturbed, and not tried again."""

    def make(service="ec2", region="us-east-1"):
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=aws.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=botocore.config.Config(retries={"total_max_attempts": 1}, proxies={}),
        )

    return make


@pytest.fixture
def amis_stack(aws, web, binary, request):
    """Makes a stack of amis with these parameters and images by their Regions; it is stopped after the test."""

    def stack(images: dict[str, str], name: str = "gatehouse", **parameters: str) -> Stack:
        made = Stack(aws, web, binary, name, **parameters)
        made.__enter__()
        request.addfinalizer(lambda: made.__exit__())
        for region, image in images.items():
            aws.images.create(image, region)
        return made

    return stack


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
        pytest.skip(NO_REAL)
    return REAL
