"""The SAM CLI, as a person uses it."""

import os
import subprocess
import sys
from pathlib import Path

SAM = Path(sys.executable).parent / "sam"
WITHIN = 300  # seconds for one command


class SamFailed(Exception):
    """sam ended with an error; the text has the end of what it said."""


def run(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    """`sam ARGUMENTS` in `folder`; what it said. Raises SamFailed where it fails or takes too long."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    env = {"PATH": os.pathsep.join((str(SAM.parent), os.defpath)), "HOME": str(home)} | environment
    try:
        done = subprocess.run(
            [str(SAM), *arguments],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WITHIN,
        )
    except subprocess.TimeoutExpired as late:
        raise SamFailed(f"sam {' '.join(arguments)} took more than {WITHIN} s:\n{_end(late.stdout or '')}") from None
    if done.returncode != 0:
        raise SamFailed(f"sam {' '.join(arguments)} ended with {done.returncode}:\n{_end(done.stdout)}")
    return done.stdout


def _end(said: str | bytes) -> str:
    text = said if isinstance(said, str) else said.decode(errors="replace")
    return "\n".join(line for line in text.splitlines() if line.strip())[-3000:]
