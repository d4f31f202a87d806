"""How each demo begins and ends: its options, its binaries, Ctrl-C, a failure, and where the log is."""

import argparse
import json
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from gatehouse_local import ROOT
from gatehouse_local.runtime_api import FunctionDied, Outcome

Binary = Callable[[str], Path]


class StoryFailed(Exception):
    """A step did not end as it should; the text says what was seen, or what a person needs to know."""


def options(description: str) -> argparse.ArgumentParser:
    """The options that every demo has."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--bin-dir", type=Path, default=target / "debug", help="folder of the built binaries")
    return parser


def perform(
    bin_dir: Path, names: Iterable[str], play: Callable[[Console, Binary], None], log: Path | None = None
) -> int:
    """Plays with the binaries of these names; the exit code: 0 where every step ended as it should."""
    signal.signal(signal.SIGTERM, _terminated)
    out, folder = Console(highlight=False), bin_dir.absolute()
    for name in names:
        if not (folder / name).is_file():
            out.print(f"{folder / name} does not exist: run `cargo build -p {name}`.", soft_wrap=True)
            return 1
    try:
        play(out, lambda name: folder / name)
    except KeyboardInterrupt:
        out.print("\nInterrupted. Everything is stopped.")
        return 130
    except (StoryFailed, FunctionDied) as failure:
        if isinstance(failure, FunctionDied):
            out.print("[bold red]The function ended without an answer.[/] Its last lines:")
        out.print(Text(str(failure), style="bold red"), soft_wrap=True)
        kept = f" The functions' log is in {log.relative_to(ROOT)}." if log else ""
        out.print(f"Everything is stopped.{kept}")
        return 1
    return 0


def keep_log(log: Path, outcomes: Iterable[tuple[str, Outcome]]) -> None:
    """Writes the log of each invocation below the name of its function."""
    log.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"function": name}) + "\n" + "".join(f"{it}\n" for it in one.log) for name, one in outcomes]
    log.write_text("".join(lines))


def _terminated(*_: object) -> None:
    raise KeyboardInterrupt
