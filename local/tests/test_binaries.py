"""What is compiled into the functions."""

import pytest

from gatehouse_local.functions import functions


@pytest.mark.parametrize("name", [function.binary for function in functions()])
def test_no_function_collects_jitter_entropy(binary, name):
    """`.cargo/config.toml` reached the build of AWS-LC: see SECURITY.md, "Random numbers"."""
    content = binary(name).read_bytes()
    if b"CRYPTO_sysrand" not in content:
        pytest.skip("the names of its functions are stripped")
    collects = b"jent_entropy_init" in content
    assert not collects, f"{name} was built before, or without, .cargo/config.toml: build it again"
