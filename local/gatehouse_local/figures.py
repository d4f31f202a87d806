"""How the benches print their figures, and weigh a binary."""

import statistics
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from rich import box
from rich.console import Console
from rich.table import Table


class Figures(Protocol):
    """What was measured of one program: seconds, and bytes of memory (Linux only)."""

    name: str
    cold: list[float]
    warm: list[float]
    memory: list[int]


def show(out: Console, measured: Sequence[Figures]) -> None:
    """Prints a row for each program."""
    table = Table(box=box.ROUNDED)
    table.add_column(f"{len(measured[0].cold)} runs each")
    for heading in (
        "cold start\n[dim]median",
        "\n[dim]least to most",
        "warm run\n[dim]median",
        "peak memory\n[dim]median",
    ):
        table.add_column(heading, justify="right")
    for program in measured:
        table.add_row(
            program.name,
            ms(statistics.median(program.cold)),
            f"{ms(min(program.cold))} to {ms(max(program.cold))}",
            ms(statistics.median(program.warm)),
            f"{statistics.median(program.memory) / 1024**2:.1f} MiB" if program.memory else "",
        )
    out.print(table)


def goal(out: Console, seen: str, aim: str, met: bool) -> None:
    """Prints a figure beside its goal."""
    out.print(f"  {'[green]met   ' if met else '[red]missed'}[/] {seen} (goal: {aim})")


def ms(seconds: float) -> str:
    """Seconds as milliseconds."""
    return f"{seconds * 1000:,.1f} ms"


def zipped(binary: Path) -> int:
    """The size of the deployment package, in bytes."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as package:
            package.write(binary, "bootstrap")
        return file.tell()
