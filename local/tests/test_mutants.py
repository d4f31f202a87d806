"""What `make mutants` examines is there: a file that moves would not be examined any more, and nothing would say so."""

import tomllib

import pytest

from gatehouse_local import ROOT

GLOBS = tomllib.loads((ROOT / ".cargo/mutants.toml").read_text())["examine_globs"]


@pytest.mark.parametrize("pattern", GLOBS)
def test_each_glob_matches_a_file(pattern):
    assert any(ROOT.glob(pattern)), f"{pattern} in .cargo/mutants.toml matches no file: where did it move?"
