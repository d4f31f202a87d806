"""`make demo`: watch security groups follow AWS's published ranges, on this machine alone.

The real binary is invoked through the Lambda runtime API with the events of `events/`. EC2 is the local AWS, the
document and the signing certificate come over HTTPS from `web`.
"""

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gatehouse_local import ROOT, demo, events, ranges, runtime_api, sns
from gatehouse_local.aws import LocalAws, operations
from gatehouse_local.demo import StoryFailed
from gatehouse_local.ranges import Document
from gatehouse_local.runtime_api import Outcome
from gatehouse_local.web import Page, Web

UPDATER = "ip-ranges-updater"
LOG = ROOT / "local" / ".work" / "demo-ip-ranges.log"
RAISED_GROUPS_PER_INTERFACE = 16  # EC2's quota is 5, and can be raised up to this
SHOWN_CHANGES = 8

# Group name: its CIDRs.
Groups = dict[str, set[str]]


@dataclass
class Stage:
    """What the demo plays on."""

    out: Console
    aws: LocalAws
    web: Web
    invoke: Callable[[Any], Outcome]
    interfaces: dict[str, str]  # what it serves, such as `CLOUDFRONT port 443`: interface id
    runs: list[tuple[str, float, int, int]]  # title, seconds, calls, of them writes

    def groups(self) -> Groups:
        """What the groups hold now."""
        return {
            name: {
                entry.get("CidrIp") or entry["CidrIpv6"]
                for permission in group["IpPermissions"]
                for entry in permission["IpRanges"] + permission["Ipv6Ranges"]
            }
            for name, group in self.aws.ec2.gatehouse_groups().items()
        }

    def run(self, title: str, story: str, event: str) -> Outcome:
        """Invokes the function with a sample event, and shows what changed, which calls it took, how long."""
        self.out.rule(f"[bold]{title}", align="left")
        self.out.print(story)
        before = self.groups()
        with self.aws.recording() as calls:
            outcome = self.invoke(events.load(event))
        _keep_log(title, outcome)
        after = self.groups()
        self.runs.append((title, outcome.seconds, len(calls), sum(call.writes for call in calls)))

        self.out.print()
        if outcome.failed:
            self.out.print(f"[red]{outcome.error_type}[/]: {escape(outcome.error_message)}", soft_wrap=True)
        if before == after:
            self.out.print(f"No group changed: {_count(after)}.")
        else:
            self.out.print(_table(before, after))
            self._changes(before, after)
        counted = ", ".join(f"{name} {count}" for name, count in operations(calls).items()) or "none"
        self.out.print(f"AWS calls: {counted}. Took {outcome.seconds * 1000:,.0f} ms.")
        self.out.print()
        return outcome

    def _changes(self, before: Groups, after: Groups) -> None:
        """Single ranges, where they are few enough to read."""
        old, new = set().union(*before.values()), set().union(*after.values())
        for sign, colour, changed in (("+", "green", new - old), ("-", "red", old - new)):
            if old and changed:
                shown = sorted(changed)[:SHOWN_CHANGES]
                more = f" and {len(changed) - len(shown)} more" if len(changed) > len(shown) else ""
                self.out.print(f"[{colour}]{sign} {', '.join(shown)}{more}", soft_wrap=True)


def play(out: Console, binary: demo.Binary, service: str, ports: str) -> None:
    """The whole demo. Raises StoryFailed, or FunctionDied, where it cannot go on."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.unlink(missing_ok=True)
    started = time.monotonic()
    quota = 5 if _groups_needed(service) < 5 else RAISED_GROUPS_PER_INTERFACE

    out.print("Starting the local AWS ...")
    with LocalAws() as aws, Web() as web:
        aws.ec2.groups_per_interface = quota
        aws.ec2.default_vpc()
        web.serve(sns.CERTIFICATE_URL, Page(sns.certificate(), content_type="application/x-pem-file"))
        env = runtime_api.environment(
            {"SERVICE": service, "PORTS": ports, "MAX_GROUPS_PER_INTERFACE": str(quota), "SNS_VERIFY": "enforce"}
            | {"AWS_ENDPOINT_URL": aws.url}
            | events.SAMPLE_AGE
            | web.environment
        )
        with runtime_api.RuntimeApi([str(binary(UPDATER))], env) as function:
            stage = Stage(out, aws, web, function.invoke, {}, [])
            out.print(f"EC2 answers at {aws.url}.")
            out.print(f"{ranges.URL} is served from here.\n")
            _steps(stage, service, ports)
            _summary(stage)
    out.print(f"Done in {time.monotonic() - started:.0f} s. All of it was on this machine, and is stopped now.")
    out.print("The binary is a debug build: make bench measures the release build.")
    out.print(f"The function's log is in {LOG.relative_to(ROOT)}; make demo-clean removes what the demo made.")


def _steps(stage: Stage, service: str, ports: str) -> None:
    first, second = ranges.first(), ranges.second()
    stage.web.serve(ranges.URL, first.body)
    outcome = stage.run(
        "1. AWS announces its ranges",
        f"{_described(first)} The notice is signed; the function verifies it.\n"
        f"Settings: SERVICE={service} PORTS={ports}. The VPC has no group of Gatehouse yet.",
        "ip-ranges/sns-notice-signed.json",
    )
    if outcome.failed:
        raise StoryFailed("The first run failed: the function's error above says why and what to do.")
    if not stage.groups():
        raise StoryFailed("The first run made no group.")

    _attach(stage)
    stage.web.serve(ranges.URL, second.body)
    outcome = stage.run(
        "2. A day later: another edition",
        f"{_described(second)} Only the difference is written; new ranges are let in before stale ones go.",
        "ip-ranges/sns-notice-signed-second.json",
    )
    if outcome.failed:
        raise StoryFailed("The second run failed: the function's error above says why and what to do.")
    for name, interface in stage.interfaces.items():
        carried = stage.aws.ec2.groups_of(interface)
        stage.out.print(f"Interface {interface} ({name}) carries {len(carried)} now.\n", soft_wrap=True)

    stage.run(
        "3. The daily schedule: nothing to do",
        "It looks for drift and missed notices. A run that changes nothing reads the groups and writes nothing.",
        "ip-ranges/schedule.json",
    )

    stage.out.rule("[bold]4. Somebody forges a notice", align="left")
    forged = events.load("ip-ranges/sns-notice-signed-second.json")
    message = forged["Records"][0]["Sns"]
    message["Message"] = message["Message"].replace(second.md5, "0" * 32)
    with stage.aws.recording() as calls:
        outcome = stage.invoke(forged)
    _keep_log("forged", outcome)
    if not outcome.failed:
        raise StoryFailed("A forged notice was accepted.")
    stage.out.print("The MD5 in a signed notice is changed by hand. The function answers:\n")
    stage.out.print(f"[red]{outcome.error_type}[/]: {escape(outcome.error_message)}", soft_wrap=True)
    stage.out.print(f"AWS calls that changed anything: {sum(call.writes for call in calls)}.\n")


def _attach(stage: Stage) -> None:
    """Plays the person who gives the new groups to their servers: one for each service and port."""
    for group in stage.aws.ec2.gatehouse_groups().values():
        tags = {tag["Key"]: tag["Value"] for tag in group["Tags"]}
        served = f"{tags['gatehouse:service']} port {tags['gatehouse:port']}"
        if served in stage.interfaces:
            interface = stage.interfaces[served]
            carried = stage.aws.ec2.groups_of(interface)
            stage.aws.client("ec2").modify_network_interface_attribute(
                NetworkInterfaceId=interface, Groups=[*carried, group["GroupId"]]
            )
        else:
            stage.interfaces[served] = stage.aws.ec2.create_interface([group["GroupId"]])
    for served, interface in stage.interfaces.items():
        carried = stage.aws.ec2.groups_of(interface)
        stage.out.print(
            f"You attach the groups to a server: interface {interface} ({served}) carries {len(carried)}.",
            soft_wrap=True,
        )
    stage.out.print()


def _table(before: Groups, after: Groups) -> Table:
    table = Table(box=box.ROUNDED)
    table.add_column("Security group", no_wrap=True)
    for heading in ("before\n[dim]IPv4 + IPv6", "after\n[dim]IPv4 + IPv6", "added", "removed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in [*after, *(before.keys() - after.keys())]:
        old, new = before.get(name), after.get(name, set())
        added, removed = len(new - (old or set())), len((old or set()) - new)
        table.add_row(
            name,
            "[dim]none" if old is None else _sum(old),
            _sum(new),
            f"[green]+{added}" if added else "",
            f"[red]-{removed}" if removed else "",
        )
    return table


def _summary(stage: Stage) -> None:
    stage.out.rule("[bold]Summary", align="left")
    table = Table(box=box.ROUNDED)
    table.add_column("Run")
    for heading in ("time", "AWS calls", "of them writes"):
        table.add_column(heading, justify="right")
    for title, seconds, calls, writes in stage.runs:
        table.add_row(title, f"{seconds * 1000:,.0f} ms", str(calls), str(writes))
    stage.out.print(table)
    stage.out.print(f"{_count(stage.groups())}.")


def _described(document: Document) -> str:
    families = {version: sum(entry.version == version for entry in document.ranges) for version in (4, 6)}
    return (
        f"ip-ranges.json of {document.create_date}: {families[4]:,} IPv4 and {families[6]:,} IPv6 prefixes, "
        f"{len(document.body) / 1e6:.1f} MB."
    )


def _families(cidrs: set[str]) -> tuple[int, int]:
    """How many are IPv4 and how many IPv6."""
    ipv6 = sum(":" in cidr for cidr in cidrs)
    return len(cidrs) - ipv6, ipv6


def _sum(cidrs: set[str]) -> str:
    return " + ".join(f"{count:2}" for count in _families(cidrs))


def _count(groups: Groups) -> str:
    ipv4, ipv6 = _families(set().union(*groups.values()))
    return f"{len(groups)} groups hold {ipv4} IPv4 and {ipv6} IPv6 ranges"


def _groups_needed(services: str) -> int:
    """The most groups that one service needs for one port, in either edition, and one that is being filled."""
    most = 0
    for document in (ranges.first(), ranges.second()):
        for service in services.split(","):
            most = max(most, -(-max(_families(document.rules(service.strip()))) // 60))
    return most


def _keep_log(title: str, outcome: Outcome) -> None:
    with LOG.open("a") as log:
        log.writelines([f"# {title}\n", *(f"{line}\n" for line in outcome.log)])


def main() -> int:
    """Runs the demo; 0 where every step ended as it should."""
    options = demo.options(__doc__)
    options.add_argument("--service", default="CLOUDFRONT", help="services of ip-ranges.json, comma-separated")
    options.add_argument("--ports", default="443", help="ports, comma-separated")
    given = options.parse_args()
    tell = functools.partial(play, service=given.service, ports=given.ports)
    return demo.perform(given.bin_dir, [UPDATER], tell, LOG)


if __name__ == "__main__":
    sys.exit(main())
