"""Keys of AWS KMS that make and check MACs (`KeySpec` HMAC_256). All else of KMS is moto's.

moto computes a MAC over the text of the request instead of its bytes, and takes no notice of a key that is disabled.
What AWS documents:

- `GenerateMac` and `VerifyMac` need a key with `KeyUsage` GENERATE_VERIFY_MAC: `InvalidKeyUsageException`.
- A disabled key is `DisabledException`, one that waits for its deletion `KMSInvalidStateException`.
- A MAC that is not right is `KMSInvalidMacException`, not an answer with `MacValid` false.
"""

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass
from typing import Any

from gatehouse_local.parts import Front, Invocation
from gatehouse_local.runtime_api import ACCOUNT_ID
from gatehouse_local.wire import AwsError

ALGORITHM = "HMAC_SHA_256"


@dataclass
class Key:
    """A key. `state` is `Enabled`, `Disabled` or `PendingDeletion`."""

    arn: str
    material: bytes
    state: str = "Enabled"

    def mac(self, message: bytes) -> bytes:
        """The MAC of a message."""
        return hmac.digest(self.material, message, hashlib.sha256)


class KmsMacs:
    """The HMAC keys of all Regions, by their ARNs."""

    def __init__(self, aws: Front):
        self.keys: dict[str, Key] = {}
        aws.handlers |= {("kms", "GenerateMac"): self._generate, ("kms", "VerifyMac"): self._verify}

    def reset(self) -> None:
        """No keys."""
        self.keys.clear()

    def create(self, region: str, key_id: str | None = None, material: bytes | None = None) -> Key:
        """A key with random material, unless it is given."""
        arn = f"arn:aws:kms:{region}:{ACCOUNT_ID}:key/{key_id or uuid.uuid4()}"
        self.keys[arn] = Key(arn, material or secrets.token_bytes(32))
        return self.keys[arn]

    def _key(self, call: Invocation) -> Key:
        key = self.keys.get(call.params["KeyId"])
        if key is None or f":{call.region}:" not in key.arn:
            raise AwsError("NotFoundException", f"Key '{call.params['KeyId']}' does not exist")
        if key.state == "Disabled":
            raise AwsError("DisabledException", f"{key.arn} is disabled.")
        if key.state == "PendingDeletion":
            raise AwsError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
        if call.params["MacAlgorithm"] != ALGORITHM:
            raise AwsError("InvalidKeyUsageException", f"{key.arn} supports {ALGORITHM}")
        return key

    def _generate(self, call: Invocation) -> dict[str, Any]:
        key = self._key(call)
        return {"Mac": key.mac(call.params["Message"]), "MacAlgorithm": ALGORITHM, "KeyId": key.arn}

    def _verify(self, call: Invocation) -> dict[str, Any]:
        key = self._key(call)
        if not hmac.compare_digest(key.mac(call.params["Message"]), call.params["Mac"]):
            raise AwsError("KMSInvalidMacException", "")
        return {"KeyId": key.arn, "MacValid": True, "MacAlgorithm": ALGORITHM}
