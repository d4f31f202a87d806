"""The IP sets of AWS WAF. moto has them too, but without what a client must get right:

- A lock token is a UUID, new after each change; an old one is refused.
- A name is taken once in a Region and scope; an account has a limited number of sets, and a set of addresses.
- Only CIDR blocks of the set's own version are taken, without host bits, and not `/0`. IPv6 comes back in full form.
- The scope CLOUDFRONT exists in us-east-1 only.
- An update without a description removes the description.
- A marker follows every page of sets that is not empty, the last one too.
- What was just created is not listed at once, where `unlisted` says so.
- Calls are limited in their rate, where `reads_a_second` and `writes_a_second` say so.
"""

import base64
import ipaddress
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID

from gatehouse_local.parts import Front, Invocation
from gatehouse_local.wire import AwsError

GLOBAL_REGION = "us-east-1"


@dataclass
class IpSet:
    """An IP set. `addresses` are in the form in which GetIPSet gives them."""

    name: str
    region: str
    scope: str
    version: str
    tags: dict[str, str]
    description: str | None = None
    addresses: list[str] = field(default_factory=list)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    lock_token: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def arn(self) -> str:
        """Such as arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/name/id."""
        scope = {"REGIONAL": "regional", "CLOUDFRONT": "global"}[self.scope]
        return f"arn:aws:wafv2:{self.region}:{ACCOUNT_ID}:{scope}/ipset/{self.name}/{self.id}"

    @property
    def networks(self) -> set[str]:
        """The addresses in the form of ip-ranges.json."""
        return {str(ipaddress.ip_network(address)) for address in self.addresses}

    def summary(self) -> dict[str, Any]:
        """As ListIPSets gives it."""
        found = {"Name": self.name, "Id": self.id, "ARN": self.arn, "LockToken": self.lock_token}
        return found | ({"Description": self.description} if self.description else {})

    def described(self) -> dict[str, Any]:
        """As GetIPSet gives it."""
        found = {key: value for key, value in self.summary().items() if key != "LockToken"}
        return found | {"IPAddressVersion": self.version, "Addresses": self.addresses}


class Wafv2:
    """The IP sets of all Regions. Tests may change the quotas and the size of a page.

    `writes_a_second` is AWS's rate for calls of one kind, 1, and `reads_a_second` that for Get and List calls, 5; None
    leaves them without a limit. `unlisted` is how many times ListIPSets leaves out what was created last.
    """

    sets_per_region = 100
    addresses_per_set = 10_000
    page_size = 100
    reads_a_second: float | None = None
    writes_a_second: float | None = None
    unlisted = 0

    def __init__(self, aws: Front):
        self.sets: list[IpSet] = []
        self._answered: dict[tuple[str, str], float] = {}
        aws.handlers |= {
            ("wafv2", "ListIPSets"): self._list,
            ("wafv2", "GetIPSet"): self._get,
            ("wafv2", "CreateIPSet"): self._create,
            ("wafv2", "UpdateIPSet"): self._update,
            ("wafv2", "DeleteIPSet"): self._delete,
            ("wafv2", "ListTagsForResource"): self._list_tags,
            ("wafv2", "TagResource"): self._tag,
            ("wafv2", "UntagResource"): self._untag,
        }

    def reset(self) -> None:
        """No sets, and AWS's quotas."""
        self.sets.clear()
        self._answered.clear()
        # What a test has set hides the default, which is of the class.
        for name in set(vars(Wafv2)) & set(vars(self)):
            delattr(self, name)

    # Arranging ---------------------------------------------------------------------------------

    def named(self, name: str, region: str = "us-east-1", scope: str = "REGIONAL") -> IpSet:
        """The set of that name."""
        [found] = [it for it in self._of(region, scope) if it.name == name]
        return found

    # Sets --------------------------------------------------------------------------------------

    def _of(self, region: str, scope: str) -> list[IpSet]:
        return [it for it in self.sets if (it.region, it.scope) == (region, scope)]

    def _list(self, call: Invocation) -> dict[str, Any]:
        self._limit_rate(call, self.reads_a_second)
        found = [it.summary() for it in self._of(call.region, _scope(call))]
        if self.unlisted and found:
            self.unlisted -= 1
            found.pop()
        start, size = _read_marker(call.params.get("NextMarker")), self._size(call)
        page = found[start : start + size]
        return {"IPSets": page} | ({"NextMarker": _marker(start + size)} if page else {})

    def _get(self, call: Invocation) -> dict[str, Any]:
        self._limit_rate(call, self.reads_a_second)
        found = self._identified(call)
        return {"IPSet": found.described(), "LockToken": found.lock_token}

    def _create(self, call: Invocation) -> dict[str, Any]:
        scope, name = _scope(call), call.params["Name"]
        self._limit_rate(call, self.writes_a_second)
        if any(it.name == name for it in self._of(call.region, scope)):
            raise AwsError(
                "WAFDuplicateItemException",
                "AWS WAF couldn't perform the operation because some resource in your request is a duplicate of an "
                "existing one.",
            )
        if len(self._of(call.region, scope)) >= self.sets_per_region:
            raise _limit_exceeded("IP sets")
        made = IpSet(
            name=name,
            region=call.region,
            scope=scope,
            version=call.params["IPAddressVersion"],
            tags={tag["Key"]: tag["Value"] for tag in call.params.get("Tags", [])},
            description=call.params.get("Description"),
        )
        made.addresses = self._checked(call, made.version)
        self.sets.append(made)
        return {"Summary": made.summary()}

    def _update(self, call: Invocation) -> dict[str, Any]:
        found = self._identified(call)
        self._limit_rate(call, self.writes_a_second)
        self._check_token(call, found)
        found.addresses = self._checked(call, found.version)
        found.description = call.params.get("Description")
        found.lock_token = str(uuid.uuid4())
        return {"NextLockToken": found.lock_token}

    def _delete(self, call: Invocation) -> dict[str, Any]:
        found = self._identified(call)
        self._check_token(call, found)
        self.sets.remove(found)
        return {}

    def _identified(self, call: Invocation) -> IpSet:
        wanted = (call.params["Name"], call.params["Id"])
        for it in self._of(call.region, _scope(call)):
            if (it.name, it.id) == wanted:
                return it
        raise _unknown()

    def _check_token(self, call: Invocation, found: IpSet) -> None:
        if call.params["LockToken"] != found.lock_token:
            raise AwsError(
                "WAFOptimisticLockException",
                "AWS WAF couldn't save your changes because someone changed the resource after you started to edit it. "
                "Reapply your changes.",
            )

    def _checked(self, call: Invocation, version: str) -> list[str]:
        addresses = call.params["Addresses"]
        if len(addresses) > self.addresses_per_set:
            raise _limit_exceeded("addresses of an IP set")
        return [_in_full(address, version) for address in addresses]

    def _limit_rate(self, call: Invocation, calls_a_second: float | None) -> None:
        if calls_a_second is None:
            return
        now, last = time.monotonic(), self._answered.get((call.region, call.name))
        if last is not None and now - last < 1 / calls_a_second:
            raise AwsError("ThrottlingException", "Rate exceeded", 400)
        self._answered[call.region, call.name] = now

    # Tags --------------------------------------------------------------------------------------

    def _list_tags(self, call: Invocation) -> dict[str, Any]:
        self._limit_rate(call, self.reads_a_second)
        found = self._by_arn(call)
        tags = [{"Key": key, "Value": value} for key, value in found.tags.items()]
        start, size = _read_marker(call.params.get("NextMarker")), self._size(call)
        listed: dict[str, Any] = {"ResourceARN": found.arn}
        if tags[start : start + size]:
            listed["TagList"] = tags[start : start + size]
        page = {"TagInfoForResource": listed}
        return page | ({"NextMarker": _marker(start + size)} if start + size < len(tags) else {})

    def _tag(self, call: Invocation) -> dict[str, Any]:
        self._by_arn(call).tags |= {tag["Key"]: tag["Value"] for tag in call.params["Tags"]}
        return {}

    def _untag(self, call: Invocation) -> dict[str, Any]:
        tags = self._by_arn(call).tags
        for key in call.params["TagKeys"]:
            tags.pop(key, None)
        return {}

    def _by_arn(self, call: Invocation) -> IpSet:
        for it in self.sets:
            if (it.arn, it.region) == (call.params["ResourceARN"], call.region):
                return it
        raise _unknown()

    def _size(self, call: Invocation) -> int:
        return min(call.params.get("Limit", 100), self.page_size)


def _scope(call: Invocation) -> str:
    scope = call.params["Scope"]
    if scope == "CLOUDFRONT" and call.region != GLOBAL_REGION:
        raise _invalid("The scope is not valid.", "SCOPE_VALUE", scope)
    return scope


def _in_full(address: str, version: str) -> str:
    """An address as WAF keeps it: IPv6 with all its digits."""
    try:
        network = ipaddress.ip_network(address)  # refuses host bits
    except ValueError:
        raise _invalid("The parameter contains formatting that is not valid.", "IP_ADDRESS", address) from None
    if "/" not in address or f"IPV{network.version}" != version or network.prefixlen == 0:
        raise _invalid("The parameter contains formatting that is not valid.", "IP_ADDRESS", address)
    return network.exploded


def _invalid(reason: str, member: str, value: str) -> AwsError:
    return AwsError("WAFInvalidParameterException", f"Error reason: {reason}, field: {member}, parameter: {value}")


def _limit_exceeded(what: str) -> AwsError:
    return AwsError(
        "WAFLimitsExceededException",
        f"AWS WAF couldn't perform the operation because you exceeded your resource limit: {what}.",
    )


def _unknown() -> AwsError:
    return AwsError(
        "WAFNonexistentItemException",
        "AWS WAF couldn't perform the operation because your resource doesn't exist.",
    )


def _marker(start: int) -> str:
    return base64.b64encode(str(start).encode()).decode()


def _read_marker(marker: str | None) -> int:
    return int(base64.b64decode(marker)) if marker else 0
