"""Runs the rehearsal: `python -m rehearse --bin-dir target/debug [stack or config-env …]`."""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import time
import warnings
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatehouse_local import ROOT, functions, ranges
from gatehouse_local.aws import LocalAws
from gatehouse_local.web import Web
from rehearse import built, deployments, faults
from rehearse.expected import REGION
from rehearse.flows import ip_ranges
from rehearse.server import Server, ServerFailed
from rehearse.story import Row, Story
from rehearse.world import World

WIDTH = 150  # columns, where the output is a file

WORK = ROOT / "local" / ".work" / "rehearse"


def environment(aws: LocalAws, web: Web) -> dict[str, str]:
    """What every function gets besides its settings: where it finds what LocalStack lacks, and the pages of AWS."""
    lacking = ("HEALTH", "CODEPIPELINE", "SSM")
    return {"NO_PROXY": "127.0.0.1", **web.environment} | {f"AWS_ENDPOINT_URL_{name}": aws.url for name in lacking}


def beforehand(world: World) -> dict[str, str]:
    """What a person has before the first deployment: AWS's topic, a topic for alarms and a key."""
    ip_ranges.make_topic(world)
    return {
        "@topic": world.client("sns").create_topic(Name="rehearsal-alarms")["TopicArn"],
        "@key": world.client("kms").create_key(Description="rehearsal")["KeyMetadata"]["Arn"],
    }


def table(rows: list[Row]) -> Table:
    """The end of it."""
    made = Table(box=box.ROUNDED)
    for heading in ("stack", "parameters"):
        made.add_column(heading, no_wrap=True)
    made.add_column("resources", justify="right")
    made.add_column("what was tried", overflow="fold")
    made.add_column("time", justify="right", no_wrap=True)
    made.add_column("", no_wrap=True)
    for row in rows:
        counted = f"{row.made}/{row.expected}" if row.expected else ""
        made.add_row(row.stack, row.parameters, counted, "\n".join(row.flows), f"{row.seconds:.0f} s", row.verdict)
    return made


def report(out: Console, rows: list[Row], seconds: float) -> int:
    """Prints what was seen; 1 where anything is wrong."""
    out.print(table(rows))
    met = sorted(set().union(*(row.excused for row in rows)))
    if met:
        out.print("What LocalStack does otherwise than AWS, and what was therefore not compared:")
        for kind, what in met:
            reason = faults.FAULTS.get((kind, what)) or faults.PLACEHOLDERS[kind]
            out.print(f"- {kind}{f', {what}' if what else ''}: {reason}", soft_wrap=True)
    out.print("What no rehearsal here can show:")
    for what in faults.NOT_SHOWN:
        out.print(f"- {what}", soft_wrap=True)
    wrong = [text for row in rows for text in row.wrong]
    for text in wrong:
        out.print(Text(f"FAILED {text}", style="bold red"), soft_wrap=True)
    if wrong:
        out.print(f"What LocalStack and the functions wrote is in {WORK.relative_to(ROOT)}.", soft_wrap=True)
    failed = sum(row.verdict == "FAILED" for row in rows)
    out.print(f"make rehearse: {len(rows) - failed} passed, {failed} failed, in {seconds / 60:.1f} minutes")
    return 1 if failed else 0


def _terminated(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Plays the story; 0 where every stack passed."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(prog="make rehearse", description=__doc__)
    parser.add_argument("--bin-dir", type=Path, default=target / "debug", help="folder of the built binaries")
    parser.add_argument("--archive", type=Path, help="the suite of a release, deployed as it is unpacked")
    parser.add_argument("--python", type=Path, default=ROOT / ".venv-rehearse" / "bin" / "python", help="of LocalStack")
    parser.add_argument("stacks", nargs="*", help="stacks or config-envs; all without")
    given = parser.parse_args()
    out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    try:
        chosen = deployments.chosen(given.stacks)
    except ValueError as error:
        out.print(str(error), soft_wrap=True)
        return 2
    bin_dir = given.bin_dir.absolute()
    for name in () if given.archive else dict.fromkeys(it.binary for it in functions.functions()):
        if not (bin_dir / name).is_file():
            out.print(f"{bin_dir / name} does not exist: run `cargo build --bins`.", soft_wrap=True)
            return 2
    signal.signal(signal.SIGTERM, _terminated)
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    warnings.filterwarnings("ignore", message=".*does not match an error shape")
    shutil.rmtree(WORK, ignore_errors=True)
    folder = WORK / "repository"
    if given.archive:
        built.unpack(folder, given.archive)
    else:
        built.write(folder, bin_dir)
    began = time.monotonic()
    try:
        with contextlib.ExitStack() as stop:
            aws, web = stop.enter_context(LocalAws()), stop.enter_context(Web())
            web.serve(ranges.URL, ranges.second().body)
            out.print("LocalStack starts …")
            server = stop.enter_context(Server(given.python, WORK, environment(aws, web)))
            world = World(server, aws)
            story = Story(
                world,
                folder,
                beforehand(world),
                lambda text: out.print(f"{_clock(began)} {text}", soft_wrap=True),
                folder if given.archive else ROOT,
            )
            rows = story.play(chosen)
    except ServerFailed as failed:
        out.print(Text(str(failed), style="bold red"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        out.print("\nInterrupted. Everything is stopped.")
        return 130
    return report(out, rows, time.monotonic() - began)


def _clock(began: float) -> str:
    return f"{time.monotonic() - began:5.0f} s "


if __name__ == "__main__":
    sys.exit(main())
