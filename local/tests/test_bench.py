"""The bench: each function and its twin do the work that is measured, and no function is left out."""

import io
import sys

import pytest
from rich.console import Console

from gatehouse_local import bench, functions
from gatehouse_local.bench_case import ZIP, Bench
from gatehouse_local.figures import zipped

BENCHES = {path.stem.replace("_", "-") for path in (bench.ROOT / "local" / "bench").glob("*.py")}
FUNCTIONS = {function.binary: function for function in functions.functions()}


def _bench(binary: str) -> Bench:
    found = bench.registered(binary)
    assert found is not None
    return found


@pytest.fixture
def printed():
    """A console, and what was printed on it."""
    out = Console(file=io.StringIO(), width=120, highlight=False)
    return out, lambda: out.file.getvalue()


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name in BENCHES])
def test_a_function_is_measured_beside_its_twin(binary, name):
    """Its first case; `make bench` measures every one, and ends where a program does not do its work."""
    commands = {"function": [str(binary(name))], "boto3 twin": [sys.executable, str(_bench(name).twin)]}
    with _bench(name).cases(binary(name)) as cases:
        for figures in bench.measure(cases[0], commands, runs=1):
            (cold,), (warm,) = figures.cold, figures.warm
            if sys.platform == "linux":
                # On the processor: a busy machine can slow down any one run.
                (cold,), (warm,) = figures.cold_cpu, figures.warm_cpu
            assert cold > warm > 0


def test_there_is_no_bench_of_a_function_that_is_gone():
    assert {name for name in BENCHES if not name.endswith(("-twin", "python-runtime"))} <= FUNCTIONS.keys()


def test_a_function_without_a_bench_is_weighed(printed, tmp_path, monkeypatch):
    out, text = printed
    monkeypatch.setattr(bench, "registered", lambda binary: None)
    function = tmp_path / "bootstrap"
    function.write_bytes(b"gatehouse " * 10_000)
    bench.bench(out, next(iter(FUNCTIONS.values())), function, None, runs=1)
    assert "only its zip is weighed" in text()
    assert f"met    zip: 0.00 MB (goal: at most {ZIP / 1e6:.1f} MB)" in text()


def test_a_program_that_does_not_do_its_work_is_not_measured(binary):
    name = "pipeline-health-gate"
    with _bench(name).cases(binary(name)) as cases, pytest.raises(SystemExit, match="did not do its work"):
        bench.measure(cases[0], {"function": [str(binary("bench-empty"))]}, runs=1)


def test_the_zip_holds_the_binary_compressed(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"gatehouse " * 10_000)
    assert 100 < zipped(binary) < 1_000
