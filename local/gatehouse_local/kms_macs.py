"""Keys of AWS KMS that make and check MACs (`KeySpec` HMAC_256). All else of KMS is moto's.

moto computes a MAC over the text of the request instead of its bytes, takes no notice of a key that is disabled, and
enables one that waits for its deletion. What AWS documents:

- `GenerateMac` and `VerifyMac` need a key with `KeyUsage` GENERATE_VERIFY_MAC: `InvalidKeyUsageException`.
- A disabled key is `DisabledException`, one that waits for its deletion `KMSInvalidStateException`.
- A MAC that is not right is `KMSInvalidMacException`, not an answer with `MacValid` false.
- A key that waits for its deletion is neither enabled nor disabled nor scheduled once more, and only such a one can be
  kept: `KMSInvalidStateException`. One that was kept is disabled. (Developer Guide, "Key states of AWS KMS keys".)
- These calls take a key's id or ARN, and one of another Region is `NotFoundException`.
- A key waits 7 to 30 days, 30 unless it is said: `ValidationException`.
"""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gatehouse_local.parts import Front, Invocation
from gatehouse_local.runtime_api import ACCOUNT_ID
from gatehouse_local.wire import AwsError

ALGORITHM = "HMAC_SHA_256"
ENABLED, DISABLED, PENDING = "Enabled", "Disabled", "PendingDeletion"
SAID = {ENABLED: "enabled", DISABLED: "disabled", PENDING: "pending deletion"}
WINDOW = range(7, 31)  # days
# What a call that changes the state of a key answers, where it answers anything.
ANSWERS = {"ScheduleKeyDeletion": ("KeyId", "KeyState", "DeletionDate"), "CancelKeyDeletion": ("KeyId",)}


@dataclass
class Key:
    """A key. `state` is ENABLED, DISABLED or PENDING."""

    arn: str
    material: bytes
    state: str = ENABLED

    def mac(self, message: bytes) -> bytes:
        """The MAC of a message."""
        return hmac.digest(self.material, message, hashlib.sha256)


class KmsMacs:
    """The HMAC keys of all Regions, by their ARNs."""

    def __init__(self, aws: Front):
        self.keys: dict[str, Key] = {}
        aws.handlers |= {
            ("kms", "GenerateMac"): self._generate,
            ("kms", "VerifyMac"): self._verify,
            ("kms", "EnableKey"): self._moves({ENABLED, DISABLED}, ENABLED),
            ("kms", "DisableKey"): self._moves({ENABLED, DISABLED}, DISABLED),
            ("kms", "ScheduleKeyDeletion"): self._moves({ENABLED, DISABLED}, PENDING),
            ("kms", "CancelKeyDeletion"): self._moves({PENDING}, DISABLED),
        }

    def reset(self) -> None:
        """No keys."""
        self.keys.clear()

    def create(self, region: str, key_id: str | None = None, material: bytes | None = None) -> Key:
        """A key with random material, unless it is given."""
        arn = f"arn:aws:kms:{region}:{ACCOUNT_ID}:key/{key_id or uuid.uuid4()}"
        self.keys[arn] = Key(arn, material or secrets.token_bytes(32))
        return self.keys[arn]

    def _find(self, call: Invocation) -> Key | None:
        """The key of its id or ARN in the Region that is called."""
        wanted = call.params["KeyId"]
        arn = wanted if wanted.startswith("arn:") else f"arn:aws:kms:{call.region}:{ACCOUNT_ID}:key/{wanted}"
        return self.keys.get(arn) if f":{call.region}:" in arn else None

    def _moves(self, states: set[str], state: str) -> Callable[[Invocation], dict[str, Any]]:
        """A call that brings a key from one of these states into another; keys of other kinds are moto's."""

        def move(call: Invocation) -> dict[str, Any]:
            key = self._find(call)
            if key is None:
                return call.forward()
            days = call.params.get("PendingWindowInDays", max(WINDOW))
            if days not in WINDOW:
                raise AwsError("ValidationException", f"PendingWindowInDays is {days}: 7 to 30 are accepted")
            if key.state not in states:
                raise AwsError("KMSInvalidStateException", f"{key.arn} is {SAID[key.state]}.")
            key.state = state
            answer = {"KeyId": key.arn, "KeyState": state, "DeletionDate": datetime.now(UTC) + timedelta(days=days)}
            return {name: answer[name] for name in ANSWERS.get(call.name, ())}

        return move

    def _key(self, call: Invocation) -> Key:
        key = self._find(call)
        if key is None:
            raise AwsError("NotFoundException", f"Key '{call.params['KeyId']}' does not exist")
        if key.state == DISABLED:
            raise AwsError("DisabledException", f"{key.arn} is {SAID[key.state]}.")
        if key.state == PENDING:
            raise AwsError("KMSInvalidStateException", f"{key.arn} is {SAID[key.state]}.")
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
