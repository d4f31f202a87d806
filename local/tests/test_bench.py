"""The bench: it measures what it says, each twin does the same work as its function, and no function is left out."""

import io
import sys

import pytest
from rich.console import Console

from gatehouse_local import bench, events, functions, ranges, runtime_api, sns
from gatehouse_local.aws import operations
from gatehouse_local.bench_case import ZIP, Bench
from gatehouse_local.codepipeline import Action, gate
from gatehouse_local.figures import zipped
from gatehouse_local.runtime_api import RuntimeApi
from gatehouse_local.web import Page

REGIONS = ",".join(f"eu-west-{number}" for number in range(1, 13))
BENCHES = {path.stem.replace("_", "-") for path in (bench.ROOT / "local" / "bench").glob("*.py")}
FUNCTIONS = {function.binary: function for function in functions.functions()}


def _bench(binary: str) -> Bench:
    found = bench.registered(binary)
    assert found is not None
    return found


@pytest.fixture
def printed():
    """A console, and what was printed on it."""
    out = Console(file=io.StringIO(), width=120, highlight=False)
    return out, lambda: out.file.getvalue()


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name in BENCHES])
def test_every_case_of_a_function_is_measured(binary, name):
    commands = {"function": [str(binary(name))], "boto3 twin": [sys.executable, str(_bench(name).twin)]}
    with _bench(name).cases(binary(name)) as cases:
        assert cases
        for case in cases:
            for figures in bench.measure(case, commands, runs=1):
                (cold,), (warm,) = figures.cold, figures.warm
                assert cold > warm > 0, case.title


def test_there_is_no_bench_of_a_function_that_is_gone():
    assert {name for name in BENCHES if not name.endswith(("-twin", "python-runtime"))} <= FUNCTIONS.keys()


def test_a_function_without_a_bench_is_weighed(printed, tmp_path, monkeypatch):
    out, text = printed
    monkeypatch.setattr(bench, "registered", lambda binary: None)
    function = tmp_path / "bootstrap"
    function.write_bytes(b"gatehouse " * 10_000)
    bench.bench(out, next(iter(FUNCTIONS.values())), function, None, runs=1)
    assert "only its zip is weighed" in text()
    assert f"met    zip: 0.00 MB (goal: at most {ZIP / 1e6:.1f} MB)" in text()


def test_a_program_that_does_not_do_its_work_is_not_measured(binary):
    name = "pipeline-health-gate"
    with _bench(name).cases(binary(name)) as cases, pytest.raises(SystemExit, match="did not do its work"):
        bench.measure(cases[0], {"function": [str(binary("bench-empty"))]}, runs=1)


def test_what_a_notice_that_changes_nothing_asks_of_ec2(binary):
    """The bench answers from memory only what was asked before: the second invocation must ask for nothing else."""
    name = "ip-ranges-updater"
    with _bench(name).cases(binary(name)) as cases:
        notice = next(case for case in cases if "signed" in case.title)
        with RuntimeApi([str(binary(name))], notice.env) as function:
            for _ in range(2):
                outcome = function.invoke(notice.event())
                assert not outcome.failed and notice.done(outcome), outcome.payload


@pytest.mark.parametrize("change", ["signature", "document"])
def test_the_updaters_twin_refuses_what_the_updater_refuses(aws, web, binary, change):
    web.serve(sns.CERTIFICATE_URL, Page(sns.certificate(), content_type="application/x-pem-file"))
    url = f"{web.url}/ip-ranges.json"
    web.serve(url, (ranges.second() if change == "document" else ranges.first()).body)
    event = events.signed_notice(ranges.first(), url=url)
    if change == "signature":
        event["Records"][0]["Sns"]["Message"] += " "
    settings = {"AWS_ENDPOINT_URL": aws.url, "IP_RANGES_URL": url, "VPC_ID": aws.ec2.default_vpc()}
    env = runtime_api.environment(settings | events.SAMPLE_AGE | web.environment)
    twin = [sys.executable, str(_bench("ip-ranges-updater").twin)]
    with RuntimeApi(twin, env) as function:
        assert function.invoke(event).failed
    assert not [call for call in aws.calls if call.writes]


@pytest.mark.parametrize("program", ["gate", "twin"])
def test_gate_and_twin_do_the_same(aws, binary, program):
    name = "pipeline-health-gate"
    command = [str(binary(name))] if program == "gate" else [sys.executable, str(_bench(name).twin)]
    with RuntimeApi(command, runtime_api.environment({"AWS_ENDPOINT_URL": aws.url})) as function:
        for opened, verdict, status in (([], "pass", "Succeeded"), (["eu-west-1", "eu-west-12"], "fail", "Failed")):
            issues = [aws.health.open("EC2", region) for region in opened]
            pipeline = aws.codepipeline.create("web", {"Production": [gate(REGIONS), Action("Deploy")]})
            aws.codepipeline.start(pipeline)
            assert function.invoke(aws.codepipeline.next_job()).payload["verdict"] == verdict
            assert pipeline.stage("Production").status == status
            error = (pipeline.latest("Production", "HealthGate").error or {}).get("message", "")
            assert all(issue in error for issue in issues)
    assert operations(aws.calls) == {"DescribeEvents": 4, "PutJobSuccessResult": 1, "PutJobFailureResult": 1}


def test_the_zip_holds_the_binary_compressed(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"gatehouse " * 10_000)
    assert 100 < zipped(binary) < 1_000
