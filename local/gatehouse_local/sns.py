"""SNS messages as Lambda delivers them, signed with the repository's test key.

`shared/testing` has the key and its certificate. `CERTIFICATE_URL` is the certificate's URL in a signed message of
us-east-1; `web` serves it there.
"""

import base64
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from gatehouse_local import ROOT

TESTING = ROOT / "shared" / "testing"
CERTIFICATE_PATH = "/SimpleNotificationService-00000000000000000000000000000000.pem"
CERTIFICATE_URL = f"https://sns.us-east-1.amazonaws.com{CERTIFICATE_PATH}"

# The fields of a notification that SNS signs, in this order; an absent Subject is omitted.
SIGNED_FIELDS = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
HASHES = {"1": hashes.SHA1, "2": hashes.SHA256}


def certificate() -> bytes:
    """The certificate of the test key, in PEM."""
    return (TESTING / "test-signing-cert.pem").read_bytes()


def sign(message: dict[str, Any], version: str = "1") -> dict[str, Any]:
    """`message`, a notification as Lambda delivers it, with signature, signature version and certificate URL."""
    key = serialization.load_pem_private_key((TESTING / "test-signing-key.pem").read_bytes(), password=None)
    text = "".join(f"{name}\n{message[name]}\n" for name in SIGNED_FIELDS if message.get(name) is not None)
    signature = key.sign(text.encode(), padding.PKCS1v15(), HASHES[version]())
    region = message["TopicArn"].split(":")[3]
    return {
        **message,
        "SignatureVersion": version,
        "Signature": base64.b64encode(signature).decode(),
        "SigningCertUrl": f"https://sns.{region}.amazonaws.com{CERTIFICATE_PATH}",
    }


def lambda_event(message: dict[str, Any]) -> dict[str, Any]:
    """The event with which SNS invokes a function subscribed to the topic."""
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"{message['TopicArn']}:00000000-0000-0000-0000-000000000000",
                "Sns": message,
            }
        ]
    }
