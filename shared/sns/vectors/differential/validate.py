"""The verdicts of the PyPI package aws-sns-message-validator on the vectors: {name: "accept" or its error}.

It fetches certificates by a session of requests, so that is replaced: it answers with the certificate of the case. It
accepts one version of signatures, given by its caller, and computes SHA1 for both. It has no clock, no topics and no
Regions.
"""

import json
from pathlib import Path
from types import SimpleNamespace

from sns_message_validator import SNSMessageValidator

VECTORS = json.loads((Path(__file__).parent.parent / "messages.json").read_text())


def judge(case):
    """The verdict on one case, by a validator for the version that the message names."""

    def get(_url):
        if case["certificate"] is None:
            raise OSError("no answer")
        return SimpleNamespace(
            content=VECTORS["certificates"][case["certificate"]].encode()
        )

    try:
        message = json.loads(case["body"])
        validator = SNSMessageValidator(
            signature_version="2" if message.get("SignatureVersion") == "2" else "1"
        )
        validator._cert_session = SimpleNamespace(get=get)
        validator.validate_message(message)
    except Exception as error:  # noqa: BLE001 - all that it raises is its verdict
        return f"{type(error).__name__}: {error}"
    return "accept"


print(json.dumps({case["name"]: judge(case) for case in VECTORS["cases"]}))
