"""What a flow of the ip-ranges updater happens in: the account, the web, and the real binary."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gatehouse_local import events, ranges, runtime_api, sns
from gatehouse_local.aws import Call, LocalAws, operations
from gatehouse_local.ranges import Document, Range
from gatehouse_local.runtime_api import Outcome
from gatehouse_local.web import Page, Web

REGION = "us-east-1"
NOON = 1_768_478_400  # 2026-01-15 12:00:00


def networks(count: int, start: int = 0) -> list[str]:
    """IPv4 ranges none of which can be joined with another."""
    return [f"16.{(start + index) // 128}.{(start + index) % 128 * 2}.0/24" for index in range(count)]


def networks6(count: int) -> list[str]:
    """IPv6 ranges none of which can be joined with another."""
    return [f"2600:f{index * 2:03x}::/32" for index in range(1, count + 1)]


def edition(
    prefixes: Iterable[str], token: int = NOON, service: str = "CLOUDFRONT", more: Iterable[Range] = ()
) -> Document:
    """A document in which `service` has `prefixes`; a few other services have some too."""
    others = [Range("26.0.0.0/24", "S3", "eu-west-1"), Range("26.0.2.0/24", "EC2", "us-east-1")]
    return Document(token, [*(Range(prefix, service) for prefix in prefixes), *more, *others])


class Estate:
    """The account, the web and the function of one test. `calls` are those of the last invocation."""

    def __init__(self, aws: LocalAws, web: Web, binary: Path):
        self.aws, self.web = aws, web
        self.path = binary
        self.settings = {"PORTS": "443"}
        self.calls: list[Call] = []

    def publish(self, *documents: Document) -> None:
        """Serves documents, the last of them for good."""
        self.web.serve(ranges.URL, *(document.body for document in documents))
        self.web.serve(sns.CERTIFICATE_URL, Page(sns.certificate()))

    def environment(self, **settings: str) -> dict[str, str]:
        """The variables of the function."""
        return runtime_api.environment(
            self.settings | {"AWS_ENDPOINT_URL": self.aws.url} | events.SAMPLE_AGE | self.web.environment | settings
        )

    def invoke(self, event: Any = None, **settings: str) -> Outcome:
        """One cold start and one event. `calls` holds what it asked of AWS."""
        with self.aws.recording() as self.calls:
            return runtime_api.invoke_once(self.path, self.environment(**settings), {} if event is None else event)

    def run(self, event: Any = None, **settings: str) -> dict[str, Any]:
        """An invocation that must succeed; its report."""
        outcome = self.invoke(event, **settings)
        assert not outcome.failed, outcome.payload
        return outcome.payload

    @property
    def counts(self) -> dict[str, int]:
        """How often the last invocation called each operation."""
        return operations(self.calls)

    @property
    def writes(self) -> list[str]:
        """The operations of the last invocation that change something."""
        return [call.operation for call in self.calls if call.writes]

    def groups(
        self, service: str = "CLOUDFRONT", port: int | str = 443, region: str = REGION, prefix: str = "AUTOUPDATE"
    ) -> dict[str, dict[str, Any]]:
        """The groups of one service and port, by name."""
        wanted = {"gatehouse:service": service, "gatehouse:port": str(port)}
        found = self.aws.ec2.gatehouse_groups(region, prefix)
        return {name: group for name, group in found.items() if wanted.items() <= tags(group).items()}

    def held(self, service: str = "CLOUDFRONT", port: int = 443, region: str = REGION) -> set[str]:
        """The CIDRs that TCP rules of the groups of a service and port let in."""
        return let_in(self.groups(service, port, region).values(), port)


def let_in(groups: Iterable[dict[str, Any]], port: int = 443) -> set[str]:
    """The CIDRs that TCP rules of these groups let in to a port."""
    return {
        cidr
        for group in groups
        for permission in group["IpPermissions"]
        if (permission["IpProtocol"], permission.get("FromPort")) == ("tcp", port)
        for cidr in cidrs(permission)
    }


def tags(described: dict[str, Any]) -> dict[str, str]:
    """The tags of something that EC2 described."""
    return {tag["Key"]: tag["Value"] for tag in described["Tags"]}


def cidrs(permission: dict[str, Any]) -> list[str]:
    """The CIDRs of a rule, of both families."""
    return [entry.get("CidrIp") or entry["CidrIpv6"] for entry in permission["IpRanges"] + permission["Ipv6Ranges"]]


def report_of(outcome: Outcome) -> dict[str, Any]:
    """The report, which a failed run has in its log only."""
    if not outcome.failed:
        return outcome.payload
    logged = [record for record in outcome.records if record.get("message") == "report"]
    assert len(logged) == 1, outcome.log
    return logged[0]["report"]
