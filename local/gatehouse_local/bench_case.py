"""What a file of `local/bench` says of its function: its events, its twin, its goals. `bench` measures it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatehouse_local.runtime_api import Outcome

ZIP = 3_100_000  # bytes: at most, where a function's bench names no other goal


@dataclass(frozen=True, kw_only=True)
class Goals:
    """What a function should reach. None where there is no goal."""

    ratio: float | None = None  # the twin's cold start over the function's: at least
    over_empty: float | None = None  # seconds of a cold start above the empty function's: at most
    warm: float | None = None  # seconds: at most
    memory: int | None = None  # bytes: at most


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of event that is measured, in the world that was made for it."""

    title: str
    env: dict[str, str]  # of the process; what Lambda itself sets included
    event: Callable[[], Any]  # makes the next event, and whatever it needs
    done: Callable[[Outcome], bool]  # whether the last event was answered as it should be
    goals: Goals
    warm_runs: int = 5


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a file of `local/bench` offers as `BENCH`.

    `cases` is given the function's binary and makes the world for as long as it is measured. `crate` has benchmarks of
    its own for `cargo bench`; `crate_settings` is the environment that they need.
    """

    twin: Path
    cases: Callable[[Path], AbstractContextManager[list[Case]]]
    zip: int = ZIP
    crate: str | None = None
    crate_settings: Callable[[], dict[str, str]] = dict
