"""What the benches note, how they print it, and how they weigh a binary."""

import statistics
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def roots() -> dict[str, str]:
    """Lambda's image has the root certificates in one file. This machine may have them in hundreds, and reading those
    takes milliseconds of a cold start; where it has one file too, that one is read."""
    return {"SSL_CERT_FILE": str(BUNDLE)} if BUNDLE.exists() else {}


def roots_with(authority: Path, folder: Path) -> dict[str, str]:
    """The root certificates of this machine and one more, in a file in `folder`: as many as Lambda's image has."""
    bundle = folder / "roots.pem"
    bundle.write_bytes((BUNDLE.read_bytes() if BUNDLE.exists() else b"") + authority.read_bytes())
    return {"SSL_CERT_FILE": str(bundle)}


@dataclass(kw_only=True)
class Figures:
    """What was measured of one program: seconds and, on Linux only, seconds on a processor and bytes of memory."""

    name: str
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    cold_cpu: list[float] = field(default_factory=list)
    warm_cpu: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def forget(self) -> None:
        """Drops what was measured."""
        for figures in (self.cold, self.warm, self.cold_cpu, self.warm_cpu, self.memory):
            figures.clear()


def show(out: Console, measured: Sequence[Figures]) -> None:
    """Prints a row for each program: medians, and the range of the cold starts.

    Whatever else runs on the machine lengthens the times, and hardly the time on a processor.
    """
    table = Table(box=box.ROUNDED)
    table.add_column(f"Runs: {len(measured[0].cold)}", no_wrap=True)
    for heading in ("cold", "least to most", "on CPU", "warm", "on CPU", "memory"):
        table.add_column(f"{heading}\n[dim]{'MiB' if heading == 'memory' else 'ms'}", justify="right", no_wrap=True)
    for program in measured:
        table.add_row(
            program.name,
            _median(program.cold, 1000),
            f"{min(program.cold) * 1000:,.0f} to {max(program.cold) * 1000:,.0f}",
            _median(program.cold_cpu, 1000),
            _median(program.warm, 1000),
            _median(program.warm_cpu, 1000),
            _median(program.memory, 1 / 1024**2),
        )
    out.print(table)


def _median(figures: Sequence[float], scale: float) -> str:
    return f"{statistics.median(figures) * scale:,.1f}" if figures else ""


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
