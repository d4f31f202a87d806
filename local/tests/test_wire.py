"""The requests of the Rust tests, as the scripted AWS of `shared/testkit` recorded them: would AWS take them?"""

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gatehouse_local import ROOT, wire

RECORDED = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "requests.jsonl"


def test_every_request_of_the_rust_tests_fits_the_model_of_its_service():
    if not RECORDED.exists():
        pytest.skip("no requests of the Rust tests are recorded: make test-rust, which is a part of make test")
    faults = set()
    for line in RECORDED.read_text().splitlines():
        recorded = json.loads(line)
        request = wire.Request("POST", urlsplit(recorded["uri"]).path, recorded["headers"], bytes(recorded["body"]))
        operation = wire.identify(request)
        assert operation is not None, recorded
        try:
            wire.check_request(operation)
        except wire.AwsError as error:
            faults.add(f"{operation.service}: {error}")
    assert not faults, "\n".join(sorted(faults))
