"""Gatehouse on a laptop: a local AWS, the Lambda runtime around the real binaries, the demos and the benches."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
