"""`make bench`: cold start, warm run, memory and size of each function, as `sam build` made it.

A cold start runs from the start of the process to its first answer to the runtime API. The function, a twin of it in
Python and boto3, and a Rust function that does nothing take turns, so that a machine that is busy for a while slows all
of them down. Everything is plain HTTP on loopback, except where a function insists on https.

What is special about a function is in `local/bench/<binary>.py`, with underscores for hyphens: a `BENCH` with its
events, its twin and its goals. The twin lies beside it. Of a function without such a file only the zip is weighed.
"""

import argparse
import importlib
import importlib.util
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from gatehouse_local import ROOT, functions
from gatehouse_local.bench_case import ZIP, Bench, Case
from gatehouse_local.figures import Figures, goal, ms, show, zipped
from gatehouse_local.runtime_api import RuntimeApi


def registered(binary: str) -> Bench | None:
    """The bench of a function; None where it has none."""
    name = f"bench.{binary.replace('-', '_')}"
    return importlib.import_module(name).BENCH if importlib.util.find_spec(name) else None


def measure(case: Case, commands: dict[str, list[str]], runs: int) -> list[Figures]:
    """Runs the programs in turns; the first round only fills the caches of the disk.

    The first program is the function. `empty` need not do what the case asks for.
    """
    measured = [Figures(name=name) for name in commands]
    for number in range(runs + 1):
        for figures in measured:
            _run(case, commands[figures.name], figures)
            if number == 0:
                figures.forget()
    return measured


def _run(case: Case, command: list[str], figures: Figures) -> None:
    """One cold start, and warm runs after it."""
    with RuntimeApi(command, case.env) as function:
        warm = []
        for number in range(1 + case.warm_runs):
            outcome = function.invoke(case.event())
            if outcome.failed or (figures.name != "empty" and not case.done(outcome)):
                raise SystemExit(f"{case.title}: {figures.name} did not do its work: {outcome.payload}")
            if number == 0:
                figures.cold.append(outcome.seconds)
                if sys.platform == "linux":
                    figures.cold_cpu.append(function.cpu_seconds())
            else:
                warm.append(outcome.seconds)
        figures.warm.append(statistics.median(warm))
        if sys.platform == "linux":
            figures.warm_cpu.append((function.cpu_seconds() - figures.cold_cpu[-1]) / case.warm_runs)
            figures.memory.append(function.peak_memory())


def report(out: Console, case: Case, measured: Sequence[Figures]) -> None:
    """Prints what was measured, and the goals."""
    out.print(f"\n{case.title}")
    show(out, measured)
    by_name = {figures.name: figures for figures in measured}
    function, twin, empty = measured[0], by_name["boto3 twin"], by_name.get("empty")
    goals = case.goals
    cold, warm = statistics.median(function.cold), statistics.median(function.warm)
    ratio = statistics.median(twin.cold) / cold
    if goals.ratio is not None:
        goal(out, f"cold start: 1/{ratio:.1f} of the twin's", f"at most 1/{goals.ratio:.0f}", ratio >= goals.ratio)
    else:
        out.print(f"         cold start: 1/{ratio:.1f} of the twin's")
    if goals.over_empty is not None and empty is not None:
        over = cold - statistics.median(empty.cold)
        aim = f"at most {ms(goals.over_empty)}"
        goal(out, f"cold start: {ms(over)} over the empty function", aim, over <= goals.over_empty)
    if goals.warm is not None:
        goal(out, f"warm run: {ms(warm)}", f"at most {ms(goals.warm)}", warm <= goals.warm)
    if goals.memory is not None and function.memory:
        used = statistics.median(function.memory)
        aim = f"at most {goals.memory // 1024**2} MiB"
        goal(out, f"peak memory: {used / 1024**2:.1f} MiB", aim, used <= goals.memory)


def weigh(out: Console, binary: Path, limit: int) -> None:
    """Prints the size of the zip, and its goal."""
    size = zipped(binary)
    goal(out, f"zip: {size / 1e6:.2f} MB", f"at most {limit / 1e6:.1f} MB", size <= limit)


def bench(out: Console, function: functions.Function, binary: Path, empty: Path | None, runs: int) -> None:
    """Measures one function."""
    out.print()
    out.rule(f"[bold]{function.binary}", align="left")
    found = registered(function.binary)
    if found is None:
        out.print(f"No local/bench/{function.binary.replace('-', '_')}.py, so only its zip is weighed.")
        weigh(out, binary, ZIP)
        return
    commands = {"function": [str(binary)], "boto3 twin": [sys.executable, str(found.twin)]}
    if empty is not None:
        commands["empty"] = [str(empty)]
    with found.cases(binary) as cases:
        for case in cases:
            report(out, case, measure(case, commands, runs))
    out.print()
    weigh(out, binary, found.zip)
    if found.crate:
        out.print(f"\nThe crate {found.crate} alone:")
        command = ["cargo", "bench", "--quiet", "--package", found.crate]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **found.crate_settings()}, check=True)


def main() -> int:
    """Measures and prints; the goals are for reading, since a busy machine misses them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--empty", type=Path, help="a Rust function that does nothing, to compare with")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("binaries", nargs="*", help="the functions to measure, by their binaries; all unless given")
    given = parser.parse_args()
    out = Console(highlight=False)
    every = functions.functions()
    unknown = set(given.binaries) - {function.binary for function in every}
    if unknown:
        parser.error(f"no function has the binary {', '.join(sorted(unknown))}")
    asked = [function for function in every if not given.binaries or function.binary in given.binaries]
    chosen = list({function.binary: function for function in asked}.values())
    missing = [function.bootstrap for function in chosen if not (ROOT / function.bootstrap).is_file()]
    if missing:
        out.print(f"{missing[0]} does not exist: run `make bootstraps`, which calls sam build.")
        return 1
    for function in chosen:
        bench(out, function, ROOT / function.bootstrap, given.empty and given.empty.absolute(), given.runs)
    out.print(f"\nMeasured {len(chosen)} functions, {given.runs} runs each.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
