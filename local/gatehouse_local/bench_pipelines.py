"""The part of `make bench` about the pipelines capability: cold start of the health gate, and its size.

A cold start runs from the start of the process to its answer to the runtime API; by then the job is answered too, which
is checked. The same job goes to a boto3 twin (`local/bench/gate_twin.py`) and, if there is one, an empty Rust function
gets an event, in turns, so that a machine that is busy for a while slows all of them down.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from gatehouse_local import runtime_api, sns
from gatehouse_local.aws import LocalAws
from gatehouse_local.codepipeline import Action, gate
from gatehouse_local.figures import goal, roots, show, zipped
from gatehouse_local.runtime_api import RuntimeApi

TWIN = sns.ROOT / "local" / "bench" / "gate_twin.py"
RATIO = 15  # the twin's cold start over the gate's: at least
ZIP_LIMIT = 3_000_000  # bytes


@dataclass
class Measured:
    """What is measured, and its figures: seconds and, on Linux only, seconds on a processor and bytes of memory."""

    name: str
    start: Callable[[LocalAws], RuntimeApi]
    answers_job: bool = True
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    cold_cpu: list[float] = field(default_factory=list)
    warm_cpu: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

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
        Measured("health gate", of([str(binary)])),
        Measured("boto3 twin", of([sys.executable, str(TWIN)])),
    ]
    if empty is not None:
        measured.append(Measured("empty", of([str(empty)]), answers_job=False))
    with LocalAws() as aws:
        for number in range(runs + 1):
            for program in measured:
                program.run(aws)
            if number == 0:  # the first round fills the caches of the disk, and of the local AWS
                for program in measured:
                    for figures in (program.cold, program.warm, program.cold_cpu, program.warm_cpu, program.memory):
                        figures.clear()
    return measured


def report(out: Console, measured: list[Measured], size: int) -> None:
    """Prints what was measured beside the goals."""
    show(out, measured)
    ours, twin = (statistics.median(program.cold) for program in measured[:2])
    goal(out, f"cold start: 1/{twin / ours:.1f} of the twin's", f"at most 1/{RATIO}", twin / ours >= RATIO)
    goal(out, f"zip: {size / 1e6:.2f} MB", f"at most {ZIP_LIMIT / 1e6:.0f} MB", size <= ZIP_LIMIT)


def main() -> int:
    """Measures and prints; the goals are for reading, since a busy machine misses them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin-dir", type=Path, required=True, help="folder of the release binaries")
    parser.add_argument("--empty", type=Path, help="a Rust function that does nothing, to compare with")
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()

    binary = (arguments.bin_dir / "pipeline-health-gate").absolute()
    empty = arguments.empty.absolute() if arguments.empty else None
    out = Console(highlight=False)
    out.rule("[bold]pipelines: the health gate, whole processes", align="left")
    out.print("A job where no event is open: AWS Health is asked, the job answered, both over plain HTTP on loopback.")
    report(out, measure(binary, empty, arguments.runs), zipped(binary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
