"""The bench of the health gate: a job where no event is open. AWS Health is asked, and the job is answered."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gatehouse_local import runtime_api
from gatehouse_local.aws import LocalAws
from gatehouse_local.bench_case import Bench, Case, Goals
from gatehouse_local.codepipeline import Action, Pipeline, gate
from gatehouse_local.figures import roots
from gatehouse_local.runtime_api import Outcome


@contextlib.contextmanager
def cases(_gate: Path) -> Iterator[list[Case]]:
    """Each job is one of a pipeline of its own."""
    with LocalAws() as aws:
        pipelines: list[Pipeline] = []

        def job() -> Any:
            aws.reset()
            pipelines[:] = [aws.codepipeline.create("web", {"Production": [gate(), Action("Deploy")]})]
            aws.codepipeline.start(pipelines[0])
            return aws.codepipeline.next_job()

        def done(_outcome: Outcome) -> bool:
            return pipelines[0].stage("Production").status == "Succeeded"

        yield [
            Case(
                title="A job where no event is open",
                env=runtime_api.environment({"AWS_ENDPOINT_URL": aws.url, **roots()}),
                event=job,
                done=done,
                goals=Goals(ratio=15),
            )
        ]


BENCH = Bench(twin=Path(__file__).with_name("pipeline_health_gate_twin.py"), cases=cases)
