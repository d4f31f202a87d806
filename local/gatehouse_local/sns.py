"""SNS messages as Lambda and HTTPS endpoints get them, signed with the repository's test key.

`shared/sns/testing` has the key and its certificate. `certificate_url` is the certificate's URL in a signed message of
a Region; `web` serves it there.
"""

import base64
import functools
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from gatehouse_local import ROOT

TESTING = ROOT / "shared" / "sns" / "testing"
CERTIFICATE_PATH = "/SimpleNotificationService-00000000000000000000000000000000.pem"

# The fields of a notification that SNS signs, in this order; an absent Subject is omitted.
SIGNED_FIELDS = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
# The same of a subscription's confirmation, and of its end.
CONFIRMATION_FIELDS = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
# Lambda's names of fields, and those in the body of an HTTPS delivery.
HTTP_NAMES = {"SigningCertUrl": "SigningCertURL", "UnsubscribeUrl": "UnsubscribeURL"}
HASHES = {"1": hashes.SHA1, "2": hashes.SHA256}


def certificate() -> bytes:
    """The certificate of the test key, in PEM."""
    return (TESTING / "test-signing-cert.pem").read_bytes()


def certificate_url(region: str) -> str:
    """Where SNS has the certificate of its signatures in a Region."""
    return f"https://sns.{region}.amazonaws.com{CERTIFICATE_PATH}"


CERTIFICATE_URL = certificate_url("us-east-1")


@functools.cache
def _key() -> Any:
    return serialization.load_pem_private_key((TESTING / "test-signing-key.pem").read_bytes(), password=None)


def sign(message: dict[str, Any], version: str = "1") -> dict[str, Any]:
    """`message`, as Lambda spells its fields, with signature, signature version and certificate URL."""
    fields = SIGNED_FIELDS if message["Type"] == "Notification" else CONFIRMATION_FIELDS
    text = "".join(f"{name}\n{message[name]}\n" for name in fields if message.get(name) is not None)
    signature = _key().sign(text.encode(), padding.PKCS1v15(), HASHES[version]())
    return {
        **message,
        "SignatureVersion": version,
        "Signature": base64.b64encode(signature).decode(),
        "SigningCertUrl": certificate_url(message["TopicArn"].split(":")[3]),
    }


def http_body(message: dict[str, Any]) -> str:
    """The body of a delivery over HTTPS: a missing subject and missing attributes are left out."""
    left_out = {name for name in ("Subject", "MessageAttributes") if not message.get(name)}
    kept = {HTTP_NAMES.get(name, name): value for name, value in message.items() if name not in left_out}
    return json.dumps(kept, indent=2)


def lambda_event(message: dict[str, Any], subscription_arn: str | None = None) -> dict[str, Any]:
    """The event with which SNS invokes a function subscribed to the topic."""
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": subscription_arn
                or f"{message['TopicArn']}:00000000-0000-0000-0000-000000000000",
                "Sns": message,
            }
        ]
    }
