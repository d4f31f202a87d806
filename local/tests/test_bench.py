"""The bench of the health gate: it measures what it says, and its twin does the same work."""

import sys

import pytest

from gatehouse_local import runtime_api
from gatehouse_local.aws import operations
from gatehouse_local.bench_pipelines import TWIN, measure
from gatehouse_local.codepipeline import Action, gate
from gatehouse_local.figures import zipped
from gatehouse_local.runtime_api import RuntimeApi

REGIONS = ",".join(f"eu-west-{number}" for number in range(1, 13))


@pytest.mark.parametrize("program", ["gate", "twin"])
def test_gate_and_twin_do_the_same(aws, binary, program):
    command = [str(binary("pipeline-health-gate"))] if program == "gate" else [sys.executable, str(TWIN)]
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


def test_what_is_measured(binary):
    for program in measure(binary("pipeline-health-gate"), None, runs=1):
        (cold,), (warm,) = program.cold, program.warm
        assert cold > warm > 0


def test_the_zip_holds_the_binary_compressed(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"gatehouse " * 10_000)
    assert 100 < zipped(binary) < 1_000
