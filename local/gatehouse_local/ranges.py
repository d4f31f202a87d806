"""An ip-ranges.json of the form and size that AWS publishes, with other addresses.

IPv4 ranges are in 16.0.0.0/4, IPv6 ranges in 2600:f000::/20. They are not AWS's; the updater refuses documents with
addresses that are reserved, or for documentation.
Service names, numbers of ranges, prefix lengths, field order and indentation are like those of the real document.
Nothing is random, so the MD5 in the sample events always matches.

`first()` and `second()` are the two editions that the demo serves: in the second, a few ranges of each service are
removed and a few are added.
"""

import functools
import hashlib
import ipaddress
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

URL = "https://ip-ranges.amazonaws.com/ip-ranges.json"


@dataclass(frozen=True)
class Range:
    """One entry of the document; `prefix` is a CIDR of either family."""

    prefix: str
    service: str
    region: str = "GLOBAL"
    border_group: str | None = None

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.prefix else 4

    def as_json(self) -> dict[str, str]:
        """The entry with AWS's fields in AWS's order."""
        return {
            "ip_prefix" if self.version == 4 else "ipv6_prefix": self.prefix,
            "region": self.region,
            "service": self.service,
            "network_border_group": self.border_group or self.region,
        }


@dataclass(frozen=True)
class Document:
    """An edition of ip-ranges.json; `sync_token` is its time of publication in seconds since 1970."""

    sync_token: int
    ranges: list[Range] = field(hash=False)

    @property
    def create_date(self) -> str:
        """The time of publication as the document writes it."""
        return datetime.fromtimestamp(self.sync_token, UTC).strftime("%Y-%m-%d-%H-%M-%S")

    @functools.cached_property
    def body(self) -> bytes:
        """The document's bytes."""
        document = {
            "syncToken": str(self.sync_token),
            "createDate": self.create_date,
            "prefixes": [entry.as_json() for entry in self.ranges if entry.version == 4],
            "ipv6_prefixes": [entry.as_json() for entry in self.ranges if entry.version == 6],
        }
        return json.dumps(document, indent=2).encode()

    @property
    def md5(self) -> str:
        """The MD5 of the body in hexadecimal, as in AWS's notice of this edition."""
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()

    def prefixes(self, service: str, version: int | None = None) -> list[str]:
        """The CIDRs of a service, of one family or of both."""
        return [entry.prefix for entry in self.ranges if entry.service == service and version in (None, entry.version)]

    def rules(self, service: str) -> set[str]:
        """The CIDRs that rules for `service` need, adjacent and contained ranges joined."""
        return joined(self.prefixes(service))


def joined(prefixes: Iterable[str]) -> set[str]:
    """The fewest CIDRs with exactly the same addresses."""
    networks = [ipaddress.ip_network(prefix) for prefix in prefixes]
    return {
        str(network)
        for version in (4, 6)
        for network in ipaddress.collapse_addresses(n for n in networks if n.version == version)
    }


# Service: number of IPv4 ranges, of IPv6 ranges, and of IPv4 ranges that can be joined with an adjacent one.
SERVICES = {
    "EC2": (1921, 2227, 120),
    "ROUTE53_RESOLVER": (638, 0, 0),
    "S3": (441, 513, 22),
    "API_GATEWAY": (214, 0, 0),
    "CLOUDFRONT": (211, 32, 62),
    "GLOBALACCELERATOR": (131, 45, 8),
    "KINESIS_VIDEO_STREAMS": (105, 0, 0),
    "IVS_REALTIME": (104, 149, 0),
    "EBS": (102, 0, 0),
    "DYNAMODB": (94, 0, 4),
    "EFS": (87, 84, 0),
    "WORKSPACES_GATEWAYS": (73, 43, 0),
    "CODEBUILD": (60, 0, 0),
    "MEDIA_PACKAGE_V2": (52, 0, 0),
    "AMAZON_APPFLOW": (48, 0, 0),
    "CLOUDFRONT_ORIGIN_FACING": (46, 3, 0),
    "CLOUD9": (44, 0, 0),
    "ROUTE53_HEALTHCHECKS_PUBLISHING": (39, 0, 0),
    "EC2_INSTANCE_CONNECT": (37, 37, 0),
    "ROUTE53_HEALTHCHECKS": (31, 26, 0),
    "ROUTE53": (26, 14, 0),
    "CHIME_VOICECONNECTOR": (24, 0, 0),
    "AMAZON_CONNECT": (21, 15, 0),
    "AURORA_DSQL": (20, 20, 0),
    "CHIME_MEETINGS": (1, 1, 0),
    "IVS_LOW_LATENCY": (1, 1, 0),
}
# Ranges that only AMAZON has. AMAZON also lists most ranges of the other services.
AMAZON_ALONE = (3300, 1150, 0)
AMAZON_LISTS_TOO = (2800, 1800)
GLOBAL_SERVICES = {
    "CLOUDFRONT",
    "CLOUDFRONT_ORIGIN_FACING",
    "GLOBALACCELERATOR",
    "ROUTE53",
    "ROUTE53_HEALTHCHECKS_PUBLISHING",
}
REGIONS = """
    us-east-1 us-west-2 eu-central-1 us-east-2 us-west-1 eu-west-1 ap-northeast-1 ap-southeast-1 eu-west-2
    ap-southeast-2 ap-south-1 sa-east-1 ap-northeast-2 eu-south-1 eu-west-3 eu-north-1 ca-central-1 me-south-1
    ap-northeast-3 ap-east-1 eu-south-2 af-south-1 ap-southeast-3 ap-south-2 il-central-1 mx-central-1
""".split()
LENGTHS = {
    4: (
        24,
        22,
        24,
        32,
        23,
        24,
        28,
        24,
        21,
        31,
        24,
        26,
        16,
        24,
        29,
        20,
        24,
        32,
        27,
        18,
        24,
        25,
        30,
        24,
        22,
        32,
        15,
    ),
    6: (40, 48, 40, 56, 40, 48, 40, 36, 40, 60, 48, 40, 44, 48, 64, 40, 39, 56, 47, 128),
}
SPACE = {4: ipaddress.ip_network("16.0.0.0/4"), 6: ipaddress.ip_network("2600:f000::/20")}

FIRST_EDITION = 1768471200  # 2026-01-15 10:00:00
SECOND_EDITION = 1768557600  # a day later


class _Space:
    """Allocates ranges of one family. Only the two ranges of a pair are adjacent."""

    def __init__(self, version: int):
        self._space = SPACE[version]
        self._bits = self._space.max_prefixlen
        self._next = int(self._space.network_address)
        self._lengths = itertools.cycle(LENGTHS[version])

    def start_after(self, prefix: str) -> None:
        """Allocates only ranges after the end of `prefix` from now on."""
        self._next = max(self._next, int(ipaddress.ip_network(prefix).broadcast_address) + 1)

    def single(self) -> str:
        """A range that is adjacent to no other: the second half stays unused."""
        return self._halves()[0]

    def pair(self) -> tuple[str, str]:
        """Two adjacent ranges that join into one."""
        return self._halves()

    def _halves(self) -> tuple[str, str]:
        length = next(self._lengths)
        size = 1 << (self._bits - length)
        start = -(-self._next // (2 * size)) * 2 * size
        self._next = start + 2 * size
        if self._next > int(self._space.broadcast_address) + 1:
            raise ValueError(f"{self._space} is used up")
        address = type(self._space.network_address)
        return f"{address(start)}/{length}", f"{address(start + size)}/{length}"


@functools.cache
def first() -> Document:
    """The edition that the demo serves first."""
    return Document(FIRST_EDITION, _ranges(_by_service()))


@functools.cache
def second() -> Document:
    """The edition a day later.

    For each service with 20 or more IPv4 ranges, one range for every 40, and one more, were added; one range was
    removed, and one of a pair that could be joined. A service with IPv6 ranges has one more.
    """
    services = _by_service()
    spaces = {version: _Space(version) for version in (4, 6)}
    for entry in first().ranges:
        spaces[entry.version].start_after(entry.prefix)
    for service, (count4, count6, in_pairs) in SERVICES.items():
        ranges = services[service]
        if count4 >= 20:
            del ranges[4][-1]
            if in_pairs:
                del ranges[4][0]
            ranges[4].extend(spaces[4].single() for _ in range(count4 // 40 + 1))
        if count6:
            ranges[6].append(spaces[6].single())
    return Document(SECOND_EDITION, _ranges(services))


def _by_service() -> dict[str, dict[int, list[str]]]:
    spaces = {version: _Space(version) for version in (4, 6)}
    services: dict[str, dict[int, list[str]]] = {}
    for service, (count4, count6, in_pairs) in {"AMAZON": AMAZON_ALONE, **SERVICES}.items():
        pairs = [spaces[4].pair() for _ in range(in_pairs // 2)]
        alone = [spaces[4].single() for _ in range(count4 - in_pairs)]
        services[service] = {
            4: [*itertools.chain.from_iterable(pairs), *alone],
            6: [spaces[6].single() for _ in range(count6)],
        }
    return services


def _ranges(services: dict[str, dict[int, list[str]]]) -> list[Range]:
    """AMAZON first, as in the real document, then each service; shuffled within a service."""
    lists = {
        service: {version: list(_placed(service, prefixes)) for version, prefixes in families.items()}
        for service, families in services.items()
    }
    ranges = []
    for version, listed_too in zip((4, 6), AMAZON_LISTS_TOO, strict=True):
        others = [entry for service in SERVICES for entry in lists[service][version]]
        also = [
            Range(entry.prefix, "AMAZON", entry.region, entry.border_group) for entry in _shuffled(others)[:listed_too]
        ]
        ranges += _shuffled(lists["AMAZON"][version] + also) + [
            entry for service in SERVICES for entry in _shuffled(lists[service][version])
        ]
    return ranges


def _placed(service: str, prefixes: list[str]) -> Iterator[Range]:
    for index, prefix in enumerate(prefixes):
        if service in GLOBAL_SERVICES:
            yield Range(prefix, service)
        else:
            region = REGIONS[index % len(REGIONS)]
            # About one range in thirty belongs to a Local Zone, whose network border group is not the Region.
            yield Range(prefix, service, region, f"{region}-lax-1" if index % 30 == 29 else None)


def _shuffled(ranges: list[Range]) -> list[Range]:
    def key(entry: Range) -> bytes:
        return hashlib.md5(entry.prefix.encode(), usedforsecurity=False).digest()

    return sorted(ranges, key=key)
