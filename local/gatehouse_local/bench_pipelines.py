"""The part of `make bench` about the pipelines capability: cold start of the health gate, and its size.

A cold start runs from the start of the process to its answer to the runtime API; by then the job is answered too, which
is checked. The same job goes to a boto3 twin (`local/bench/gate_twin.py`) and, if there is one, an empty Rust function
gets an event, in turns, so that a machine that is busy for a while slows all of them down.
"""

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from gatehouse_local import runtime_api, sns
from gatehouse_local.aws import LocalAws
from gatehouse_local.codepipeline import Action, gate
from gatehouse_local.figures import Figures, command_line, goal, roots, show, zipped
from gatehouse_local.runtime_api import RuntimeApi

TWIN = sns.ROOT / "local" / "bench" / "gate_twin.py"
RATIO = 15  # the twin's cold start over the gate's: at least
ZIP_LIMIT = 3_000_000  # bytes


@dataclass(kw_only=True)
class Measured(Figures):
    """What is measured, and its figures."""

    start: Callable[[LocalAws], RuntimeApi]
    answers_job: bool = True

    def run(self, aws: LocalAws) -> None:
        """One cold start and one warm run, each with a job of its own."""
        with self.start(aws) as function:
            used = 0.0
            for seconds, cpu in ((self.cold, self.cold_cpu), (self.warm, self.warm_cpu)):
                aws.reset()
                stages = {"Production": [gate(), Action("Deploy")]}
                pipeline = aws.codepipeline.create("web", stages)
                aws.codepipeline.start(pipeline)
                outcome = function.invoke(aws.codepipeline.next_job())
                seconds.append(outcome.seconds)
                if sys.platform == "linux":
                    before, used = used, function.cpu_seconds()
                    cpu.append(used - before)
                status = pipeline.stage("Production").status
                if outcome.failed or (self.answers_job and status != "Succeeded"):
                    raise SystemExit(f"{self.name} did not answer the job: {outcome.payload}")
            if sys.platform == "linux":
                self.memory.append(function.peak_memory())


def measure(binary: Path, empty: Path | None, runs: int) -> list[Measured]:
    """Runs the gate, its twin and the empty function in turns."""

    def of(command: list[str]) -> Callable[[LocalAws], RuntimeApi]:
        return lambda aws: RuntimeApi(command, runtime_api.environment({"AWS_ENDPOINT_URL": aws.url, **roots()}))

    measured = [
        Measured(name="health gate", start=of([str(binary)])),
        Measured(name="boto3 twin", start=of([sys.executable, str(TWIN)])),
    ]
    if empty is not None:
        measured.append(Measured(name="empty", start=of([str(empty)]), answers_job=False))
    with LocalAws() as aws:
        for number in range(runs + 1):
            for program in measured:
                program.run(aws)
            if number == 0:  # the first round fills the caches of the disk, and of the local AWS
                for program in measured:
                    program.forget()
    return measured


def report(out: Console, measured: list[Measured], size: int) -> None:
    """Prints what was measured beside the goals."""
    show(out, measured)
    ours, twin = (statistics.median(program.cold) for program in measured[:2])
    goal(out, f"cold start: 1/{twin / ours:.1f} of the twin's", f"at most 1/{RATIO}", twin / ours >= RATIO)
    goal(out, f"zip: {size / 1e6:.2f} MB", f"at most {ZIP_LIMIT / 1e6:.0f} MB", size <= ZIP_LIMIT)


def main() -> int:
    """Measures and prints; the goals are for reading, since a busy machine misses them."""
    given = command_line(__doc__.splitlines()[0], "pipeline-health-gate")
    out = Console(highlight=False)
    out.rule("[bold]pipelines: the health gate, whole processes", align="left")
    out.print("A job where no event is open: AWS Health is asked, the job answered, both over plain HTTP on loopback.")
    report(out, measure(given.binary, given.empty, given.runs), zipped(given.binary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
