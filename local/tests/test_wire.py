"""The requests of the Rust tests, as the scripted AWS of `shared/testkit` recorded them: does each fit its service?"""

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gatehouse_local import ROOT, functions, wire
from template_checks.sources import Crate

RECORDED = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "requests.jsonl"

# A GET of the protocol REST, which the scripted AWS does not speak: `test_amis_flow.py` has it against the local AWS.
BY_FLOWS_ALONE = {"imagebuilder:GetImage"}


def test_every_request_of_the_rust_tests_fits_the_model_of_its_service():
    if not RECORDED.exists():
        pytest.skip("no requests of the Rust tests are recorded: make test-rust, which is a part of make test")
    faults, recorded_calls = set(), set()
    for line in RECORDED.read_text().splitlines():
        recorded = json.loads(line)
        request = wire.Request("POST", urlsplit(recorded["uri"]).path, recorded["headers"], bytes(recorded["body"]))
        operation = wire.identify(request)
        assert operation is not None, recorded
        recorded_calls.add(f"{operation.model.service_model.signing_name}:{operation.name}")
        try:
            wire.check_request(operation)
        except wire.AwsError as error:
            faults.add(f"{operation.service}: {error}")
    assert not faults, "\n".join(sorted(faults))
    called = {call for function in functions.functions() for call in Crate.at(function.crate).calls()}
    assert called - recorded_calls == BY_FLOWS_ALONE, "no Rust test makes these requests"
