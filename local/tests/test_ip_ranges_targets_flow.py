"""Whole flows of what the ip-ranges updater took over from the known updaters: the groups and lists that they leave, IP
sets, ids as parameters, Regions for one service, groups that only code creates."""

import contextlib
import ipaddress

import pytest

from gatehouse_local import events
from gatehouse_local.estate import NOON, Estate, edition, let_in, networks, networks6, report_of, tags
from gatehouse_local.ranges import Range, joined

REGION = "us-east-1"


@pytest.fixture
def estate(aws, web, binary):
    return Estate(aws, web, binary("ip-ranges-updater"))


def as_tags(values):
    return [{"Key": key, "Value": value} for key, value in values.items()]


def notes(report):
    return "\n".join(note for region in report["regions"] for note in region["notes"])


def adopt(estate, *ids):
    """Names groups or lists in ADOPT, beside those that it names already."""
    estate.settings["ADOPT"] = ",".join([*estate.settings.get("ADOPT", "").split(","), *ids]).strip(",")


# Coming from a Python sample ---------------------------------------------------------------------------------------


class Sample:
    """The groups of the CloudFront sample, as it leaves them: its tags, rules without a description, IPv4 only."""

    def __init__(self, estate, vpc=None):
        self.estate, self.aws = estate, estate.aws
        self.ec2 = self.aws.client("ec2")
        self.vpc = vpc or self.aws.ec2.default_vpc()

    def group(self, name, protocol, cidrs, **more):
        """A group with the tags of the sample; its id."""
        vpc = self.vpc
        group = self.ec2.create_security_group(GroupName=f"{name}-{protocol}", Description="CloudFront", VpcId=vpc)
        port = {"http": 80, "https": 443}[protocol]
        self.let(group["GroupId"], port, cidrs)
        values = {"Name": name, "AutoUpdate": "true", "Protocol": protocol} | more
        self.ec2.create_tags(Resources=[group["GroupId"]], Tags=as_tags(values))
        return group["GroupId"]

    def let(self, group, port, cidrs):
        """Rules as the sample writes them."""
        rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": it} for it in cidrs]}
        self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])

    def own(self):
        """A group of the server itself; its id."""
        vpc = self.aws.ec2.default_vpc()
        group = self.ec2.create_security_group(GroupName="own", Description="own", VpcId=vpc)["GroupId"]
        self.let(group, 22, ["10.0.0.0/8"])
        return group

    def hand_over(self, group, port, service="CLOUDFRONT"):
        """What a person does to a group: one call with three tags, and its id in ADOPT."""
        values = {"gatehouse:prefix-name": "AUTOUPDATE", "gatehouse:service": service, "gatehouse:port": str(port)}
        self.ec2.create_tags(Resources=[group], Tags=as_tags(values))
        adopt(self.estate, group)

    def described(self, *groups):
        """The groups, as EC2 describes them, in the order given."""
        found = self.ec2.describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
        return sorted(found, key=lambda group: groups.index(group["GroupId"]))

    def lets_in(self, interface, port):
        """The CIDRs that an interface lets in to a port, by the groups that it carries now."""
        return let_in(self.described(*self.aws.ec2.groups_of(interface)), port)


def covers(cidrs, cidr):
    """Whether every address of `cidr` is in `cidrs`."""
    network = ipaddress.ip_network(cidr)
    others = [ipaddress.ip_network(other) for other in joined(cidrs)]
    return any(network.version == other.version and network.subnet_of(other) for other in others)


@contextlib.contextmanager
def watched(sample, interface, port, keep, admit):
    """Before any call within, and after each that writes: `keep` is let in, and nothing is but what is in `admit`.
    Gives what was seen."""
    seen, usual = [("", sample.lets_in(interface, port))], sample.aws.after

    def look(call):
        usual(call)
        if call.writes:
            seen.append((call.operation, sample.lets_in(interface, port)))

    sample.aws.after = look
    try:
        yield seen
    finally:
        sample.aws.after = usual
    for operation, cidrs in seen:
        assert [cidr for cidr in keep if not covers(cidrs, cidr)] == [], f"closed at {operation}"
        assert [cidr for cidr in cidrs if not covers(admit, cidr)] == [], f"opened at {operation}"


# As the sample fills them, and as nobody would: full to the last rule.
GLOBAL, REGIONAL = networks(60), networks(20, start=200)
PAIR = ["17.0.0.0/25", "17.0.0.128/25"]
AS_THE_SAMPLE = {"PORTS": "80,443", "ADDRESS_FAMILIES": "ipv4", "AGGREGATE": "false"}


def sample_document(global_, regional, token=NOON, more=()):
    return edition(global_, token, more=[*(Range(cidr, "CLOUDFRONT", "eu-west-1") for cidr in regional), *more])


@pytest.mark.parametrize("up_to_date", [True, False], ids=["up to date", "behind"])
def test_groups_of_the_cloudfront_sample_are_taken_over_and_no_range_in_use_is_closed(estate, up_to_date):
    sample = Sample(estate)
    groups = {
        (name, port): sample.group(name, protocol, cidrs)
        for name, cidrs in (("cloudfront_g", GLOBAL), ("cloudfront_r", REGIONAL))
        for protocol, port in (("http", 80), ("https", 443))
    }
    own = sample.own()
    interface = estate.aws.ec2.create_interface([own, *groups.values()])
    held = {*GLOBAL, *REGIONAL}
    published = held if up_to_date else {*networks(60, start=3), *REGIONAL, *PAIR}
    estate.publish(sample_document([it for it in published if it not in REGIONAL], REGIONAL, more=[]))

    # Tagged, step by step: nothing changes but the tags.
    with watched(sample, interface, 443, keep=held, admit=held):
        for (_, port), group in groups.items():
            sample.hand_over(group, port)
    before = sample.described(*groups.values())
    assert all(tags(group)["AutoUpdate"] == "true" for group in before)

    # A dry run shows the difference, and creates nothing.
    report = estate.run(events.load("ip-ranges/direct-dry-run.json"), **AS_THE_SAMPLE)
    planned = report["regions"][0]["groups"]
    assert not any(group["created"] for group in planned)
    assert {it for group in planned for it in group["added"]} == published - held
    assert {it for group in planned for it in group["removed"]} == held - published
    assert estate.writes == [] and sample.described(*groups.values()) == before

    # It is done, and at no call was anything closed that is in use, or opened that is not published.
    for port in (80, 443):
        with watched(sample, interface, port, keep=held & published, admit=held | published) as seen:
            estate.run(**AS_THE_SAMPLE)
        assert len(seen) == 1 + len(estate.writes)
        if up_to_date:
            assert estate.writes == []
        assert sample.lets_in(interface, port) == published
    assert set(estate.aws.ec2.groups_of(interface)) == {own, *groups.values()}
    assert let_in(sample.described(own), 22) == {"10.0.0.0/8"}
    estate.run(**AS_THE_SAMPLE)
    assert estate.writes == []

    # Then the settings that the sample does not have: joined ranges, and IPv6.
    with_ipv6 = sample_document(
        [it for it in published if it not in REGIONAL], REGIONAL, NOON + 60, [Range("2600:f000::/32", "CLOUDFRONT")]
    )
    estate.publish(with_ipv6)
    with watched(sample, interface, 443, keep=published, admit={*published, "2600:f000::/32"}):
        estate.run(**AS_THE_SAMPLE | {"AGGREGATE": "true"})
    assert sample.lets_in(interface, 443) == joined(published)
    with watched(sample, interface, 443, keep=published, admit={*published, "2600:f000::/32"}):
        estate.run(PORTS="80,443")
    assert sample.lets_in(interface, 443) == with_ipv6.rules("CLOUDFRONT")


@pytest.mark.parametrize("default_vpc", [True, False])
def test_stale_rules_go_whatever_their_descriptions_say(estate, default_vpc):
    """Those of the sample have none; those that the function wrote for another service have that service's."""
    ec2 = estate.aws.client("ec2")
    vpc = None if default_vpc else ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    sample = Sample(estate, vpc)
    settings = AS_THE_SAMPLE | {"PORTS": "443", "VPC_ID": sample.vpc}
    group = sample.group("cloudfront_g", "https", networks(60))
    sample.hand_over(group, 443)
    # A full group, without another beside it: new ranges need the places of the stale ones.
    estate.publish(edition(networks(60, start=2)))
    report = estate.run(**settings | {"CREATE": "never"})
    assert let_in(sample.described(group)) == {*networks(60, start=2)}
    [group_report] = report["regions"][0]["groups"]
    assert (set(group_report["removed"]), group_report["kept"]) == ({*networks(2)}, [])

    # To a service with fewer ranges, all of them written for the other one.
    sample.hand_over(group, 443, service="CLOUDFRONT_ORIGIN_FACING")
    settings["SERVICE"] = "CLOUDFRONT_ORIGIN_FACING"
    few = edition(networks(15, start=2), token=NOON + 60, service="CLOUDFRONT_ORIGIN_FACING")
    estate.publish(few)
    assert estate.invoke(**settings).error_type == "ShrinkRefused"
    plan = estate.run(events.load("ip-ranges/direct-dry-run.json"), **settings)
    [failure] = plan["regions"][0]["failures"]
    assert failure["kind"] == "ShrinkRefused" and len(plan["regions"][0]["groups"][0]["kept"]) == 45
    estate.run(events.load("ip-ranges/direct-force.json"), **settings)
    assert let_in(sample.described(group)) == {*networks(15, start=2)}


def test_a_full_group_of_the_sample_gets_a_second_one_that_is_attached_before_anything_is_closed(estate):
    sample = Sample(estate)
    group = sample.group("cloudfront_g", "https", GLOBAL)
    interface = estate.aws.ec2.create_interface([group])
    sample.hand_over(group, 443)
    published = networks(61, start=2)
    estate.publish(edition(published))
    settings = AS_THE_SAMPLE | {"PORTS": "443"}
    with watched(sample, interface, 443, keep={*GLOBAL} & {*published}, admit={*GLOBAL, *published}):
        report = estate.run(**settings)
    assert [entry["name"] for entry in report["regions"][0]["groups"] if entry["created"]] == [
        "AUTOUPDATE_CLOUDFRONT_443_1"
    ]
    assert len(estate.aws.ec2.groups_of(interface)) == 2
    assert sample.lets_in(interface, 443) == {*published}


def test_of_a_group_with_two_ports_the_one_in_its_tag_is_kept_and_the_other_stays(estate):
    sample = Sample(estate)
    group = sample.group("cloudfront", "http", networks(20))
    sample.let(group, 443, networks(20))
    sample.hand_over(group, 443)
    estate.publish(edition(networks(20, start=1)))
    estate.run(**AS_THE_SAMPLE | {"PORTS": "443"})
    assert let_in(sample.described(group), 443) == {*networks(20, start=1)}
    assert let_in(sample.described(group), 80) == {*networks(20)}


def test_the_function_and_the_sample_can_stand_side_by_side(estate):
    """Two groups that hold both ports, and new ones beside them: the old ones are not touched."""
    sample = Sample(estate)
    group = sample.group("cloudfront", "http", networks(20), PREFIX_NAME="AUTOUPDATE")
    sample.let(group, 443, networks(20))
    interface = estate.aws.ec2.create_interface([group])
    before = sample.described(group)
    estate.publish(edition(networks(20)))
    estate.run(**AS_THE_SAMPLE | {"PREFIX_NAME": "EDGE"})
    new = [it["GroupId"] for it in estate.aws.ec2.gatehouse_groups(prefix="EDGE").values()]
    sample.ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[group, *new])
    for port in (80, 443):
        assert sample.lets_in(interface, port) == {*networks(20)}
    sample.ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=new)
    for port in (80, 443):
        assert sample.lets_in(interface, port) == {*networks(20)}
    assert sample.described(group) == before
    estate.run(**AS_THE_SAMPLE | {"PREFIX_NAME": "EDGE"})
    assert estate.writes == []


def test_lists_of_update_aws_ip_ranges_are_taken_over_with_their_ids(estate):
    ec2 = estate.aws.client("ec2")
    name, cidrs = "aws-ip-ranges-cloudfront-ipv4", networks(80)
    made = ec2.create_managed_prefix_list(
        PrefixListName=name,
        AddressFamily="IPv4",
        MaxEntries=len(cidrs) + 10,
        Entries=[{"Cidr": cidr, "Description": "Managed by update IP ranges Lambda"} for cidr in cidrs],
        TagSpecifications=[
            {
                "ResourceType": "prefix-list",
                "Tags": as_tags({"Name": name, "ManagedBy": "update-aws-ip-ranges", "UpdatedAt": "Not yet"}),
            }
        ],
    )["PrefixList"]["PrefixListId"]
    values = {"gatehouse:prefix-name": "AUTOUPDATE", "gatehouse:service": "CLOUDFRONT", "gatehouse:family": "ipv4"}
    ec2.create_tags(Resources=[made], Tags=as_tags(values))
    adopt(estate, made)
    settings = {"TARGET": "prefix-lists", "ADDRESS_FAMILIES": "ipv4", "MAX_ENTRIES_PER_LIST": "90"}

    estate.publish(edition(networks(85, start=3)))
    estate.run(**settings)
    [found] = ec2.describe_managed_prefix_lists()["PrefixLists"]
    assert (found["PrefixListId"], found["PrefixListName"], found["MaxEntries"]) == (made, name, 85)
    pages = ec2.get_paginator("get_managed_prefix_list_entries").paginate(PrefixListId=made)
    assert {entry["Cidr"] for page in pages for entry in page["Entries"]} == {*networks(85, start=3)}
    assert tags(found).items() >= {"ManagedBy": "update-aws-ip-ranges"}.items()
    estate.run(**settings)
    assert estate.writes == []


# Regions for one service -------------------------------------------------------------------------------------------


def test_regions_narrow_the_one_service_that_names_them(estate):
    more = [
        Range("17.0.0.0/24", "S3", "eu-west-1"),
        Range("17.0.2.0/24", "S3", "us-east-1"),
        Range("17.0.4.0/24", "S3", "eu-central-1"),
        Range("18.0.0.0/24", "CLOUDFRONT", "us-west-2"),
    ]
    estate.publish(edition(networks(3), more=more))
    estate.run(SERVICE="S3@eu-west-1@eu-central-1,CLOUDFRONT")
    assert estate.held("S3") == {"17.0.0.0/24", "17.0.4.0/24", "26.0.0.0/24"}
    assert estate.held("CLOUDFRONT") == {*networks(3), "18.0.0.0/24"}
    # They take the place of RANGE_REGIONS for that service.
    estate.run(SERVICE="S3@eu-west-1@eu-central-1,CLOUDFRONT", RANGE_REGIONS="GLOBAL")
    assert estate.held("S3") == {"17.0.0.0/24", "17.0.4.0/24", "26.0.0.0/24"}
    assert estate.held("CLOUDFRONT") == {*networks(3)}


def test_a_mistyped_region_of_one_service_stops_that_service_alone(estate):
    estate.publish(edition(networks(3)))
    outcome = estate.invoke(SERVICE="S3@eu-wset-1,CLOUDFRONT")
    assert outcome.error_type == "UnknownRegion"
    assert "eu-wset-1" in outcome.error_message and "S3" in outcome.error_message
    assert estate.held("S3") == set() and estate.held("CLOUDFRONT") == {*networks(3)}


# Groups made elsewhere ---------------------------------------------------------------------------------------------

THREE = {"gatehouse:prefix-name": "AUTOUPDATE", "gatehouse:service": "CLOUDFRONT", "gatehouse:port": "443"}


def group_of_code(estate, values, name="origin-from-cloudfront"):
    """A group that infrastructure as code made; its id."""
    return estate.aws.client("ec2").create_security_group(
        GroupName=name,
        Description="CloudFront on port 443. Gatehouse keeps the rules.",
        VpcId=estate.aws.ec2.default_vpc(),
        TagSpecifications=[{"ResourceType": "security-group", "Tags": as_tags(values)}],
    )["GroupId"]


@pytest.mark.parametrize("create", ["always", "never"])
@pytest.mark.parametrize("by", ["its id", "tagged"])
def test_a_group_with_the_three_tags_is_kept_once_adopt_names_it(estate, create, by):
    group = group_of_code(estate, THREE)
    estate.settings["ADOPT"] = group if by == "its id" else "tagged"
    estate.publish(edition(networks(3) + networks6(1)))
    estate.run(CREATE=create)
    assert [it["GroupId"] for it in estate.groups().values()] == [group]
    assert estate.held() == {*networks(3), *networks6(1)}
    estate.publish(edition(networks(3, start=1), token=NOON + 60, more=[Range(*networks6(1), "CLOUDFRONT")]))
    estate.run(CREATE=create)
    assert estate.held() == {*networks(3, start=1), *networks6(1)}
    assert "CreateSecurityGroup" not in estate.counts


def test_a_group_that_somebody_only_tagged_is_left_as_it_is(estate):
    """Whoever may tag a group may not open it by that, nor close it."""
    estate.publish(edition(networks(40)))
    estate.run()
    ec2, sample = estate.aws.client("ec2"), Sample(estate)
    payroll = ec2.create_security_group(GroupName="payroll-db", Description="database", VpcId=sample.vpc)["GroupId"]
    sample.let(payroll, 443, ["198.51.100.7/32"])
    interface = estate.aws.ec2.create_interface([payroll])
    ec2.create_tags(Resources=[payroll], Tags=as_tags(THREE))
    report = estate.run()
    assert f"{payroll} (payroll-db) has the tags of this function" in notes(report) and "ADOPT" in notes(report)
    assert estate.writes == []
    assert estate.aws.ec2.groups_of(interface) == [payroll]
    assert let_in(sample.described(payroll)) == {"198.51.100.7/32"}


def test_a_list_that_somebody_only_tagged_is_left_as_it_is(estate):
    ec2 = estate.aws.client("ec2")
    values = {key: value for key, value in THREE.items() if key != "gatehouse:port"} | {"gatehouse:family": "ipv4"}
    ec2.create_managed_prefix_list(
        PrefixListName="office",
        MaxEntries=5,
        AddressFamily="IPv4",
        Entries=[{"Cidr": "198.51.100.0/24"}],
        TagSpecifications=[{"ResourceType": "prefix-list", "Tags": as_tags(values)}],
    )
    estate.publish(edition(networks(3)))
    report = estate.run(TARGET="prefix-lists")
    assert "(office) has the tags of this function" in notes(report)
    office, made = sorted(lists_made(estate), key=lambda it: it["PrefixListName"], reverse=True)
    entries = ec2.get_managed_prefix_list_entries(PrefixListId=office["PrefixListId"])["Entries"]
    assert [entry["Cidr"] for entry in entries] == ["198.51.100.0/24"]
    assert made["PrefixListName"] == "AUTOUPDATE_CLOUDFRONT_ipv4_1"
    # Named, it is kept.
    estate.run(TARGET="prefix-lists", ADOPT=office["PrefixListId"])
    entries = ec2.get_managed_prefix_list_entries(PrefixListId=office["PrefixListId"])["Entries"]
    assert "198.51.100.0/24" not in {entry["Cidr"] for entry in entries}


@pytest.mark.parametrize("missing", ["gatehouse:service", "gatehouse:port"])
def test_a_group_that_lacks_a_tag_is_left_as_it_is_and_named(estate, missing):
    group = group_of_code(estate, {key: value for key, value in THREE.items() if key != missing})
    estate.publish(edition(networks(3)))
    report = estate.run()
    assert group in notes(report) and missing in notes(report)
    [described] = Sample(estate).described(group)
    assert described["IpPermissions"] == [] and estate.held() == {*networks(3)}


def lists_made(estate):
    return estate.aws.client("ec2").describe_managed_prefix_lists()["PrefixLists"]


NEVER = {
    "security-groups": (THREE, lambda estate: estate.groups()),
    "prefix-lists": (
        {key: value for key, value in THREE.items() if key != "gatehouse:port"} | {"gatehouse:family": "ipv4"},
        lists_made,
    ),
    "waf-ip-sets": (
        {key: value for key, value in THREE.items() if key != "gatehouse:port"} | {"gatehouse:family": "ipv4"},
        lambda estate: estate.aws.waf.sets,
    ),
}


@pytest.mark.parametrize("target", NEVER)
def test_where_only_code_creates_a_missing_group_is_named_with_its_tags(estate, target):
    wanted, made = NEVER[target]
    estate.publish(edition(networks(3)))
    outcome = estate.invoke(CREATE="never", TARGET=target)
    assert outcome.error_type == "NoCapacity"
    for key, value in wanted.items():
        assert key in outcome.error_message and value in outcome.error_message
    left_out = {cidr for entry in report_of(outcome)["regions"][0]["left_out"] for cidr in entry["ranges"]}
    assert left_out == {*networks(3)}
    assert estate.writes == [] and not made(estate)


def test_where_only_code_creates_a_full_group_takes_what_fits_and_names_the_tags_of_another(estate):
    adopt(estate, group_of_code(estate, THREE))
    estate.publish(edition(networks(61)))
    outcome = estate.invoke(CREATE="never")
    assert outcome.error_type == "NoCapacity"
    assert all(key in outcome.error_message for key in THREE) and "ADOPT" in outcome.error_message
    assert len(estate.held()) == 60 and estate.held() < {*networks(61)}
    adopt(estate, group_of_code(estate, THREE, name="origin-from-cloudfront-2"))
    estate.run(CREATE="never")
    assert estate.held() == {*networks(61)}


# IP sets -----------------------------------------------------------------------------------------------------------

WAF = {"TARGET": "waf-ip-sets"}
IPV4, IPV6 = "AUTOUPDATE_CLOUDFRONT_ipv4", "AUTOUPDATE_CLOUDFRONT_ipv6"


def sets(estate, region=REGION, scope="REGIONAL"):
    """What each set holds, by name."""
    return {it.name: it.networks for it in estate.aws.waf.sets if (it.region, it.scope) == (region, scope)}


@pytest.mark.parametrize(("scope", "path"), [("REGIONAL", "regional"), ("CLOUDFRONT", "global")])
def test_sets_are_made_with_their_tags_and_follow_the_ranges(estate, scope, path):
    settings = WAF | {"WAF_SCOPE": scope}
    estate.publish(edition(networks(150) + networks6(5)))
    report = estate.run(**settings)
    assert sets(estate, scope=scope) == {IPV4: {*networks(150)}, IPV6: {*networks6(5)}}
    ipv4 = estate.aws.waf.named(IPV4, scope=scope)
    assert ipv4.version == "IPV4" and f":{path}/ipset/{IPV4}/" in ipv4.arn
    assert ipv4.tags == {
        "Name": IPV4,
        "gatehouse:prefix-name": "AUTOUPDATE",
        "gatehouse:service": "CLOUDFRONT",
        "gatehouse:family": "ipv4",
    }
    assert estate.aws.waf.named(IPV6, scope=scope).version == "IPV6"
    assert estate.writes == ["CreateIPSet", "CreateIPSet"]
    reported = {group["name"]: group for group in report["regions"][0]["groups"]}
    assert reported[IPV4]["resource_id"] == ipv4.arn and reported[IPV4]["created"]
    assert set(reported[IPV4]["added"]) == {*networks(150)}

    # An update is one call for a set that changes, and none for one that does not.
    estate.publish(edition(networks(150, start=20) + networks6(5), token=NOON + 60))
    report = estate.run(**settings)
    assert estate.writes == ["UpdateIPSet"]
    assert sets(estate, scope=scope) == {IPV4: {*networks(150, start=20)}, IPV6: {*networks6(5)}}
    [changed] = [group for group in report["regions"][0]["groups"] if group["added"]]
    assert (set(changed["added"]), set(changed["removed"])) == (
        {*networks(20, start=150)},
        {*networks(20)},
    )
    estate.run(**settings)
    assert estate.writes == []


def test_all_pages_of_sets_are_read(estate):
    for number in range(5):
        estate.aws.client("wafv2").create_ip_set(
            Name=f"other-{number}", Scope="REGIONAL", IPAddressVersion="IPV4", Addresses=[]
        )
    estate.publish(edition(networks(3)))
    estate.run(**WAF)
    estate.aws.waf.page_size = 4
    estate.run(**WAF)
    # Seven sets, four and three, and the page after the last marker.
    assert estate.writes == [] and estate.counts["ListIPSets"] == 3


def test_several_sets_meet_the_rate_that_waf_allows(estate):
    estate.aws.waf.reads_a_second, estate.aws.waf.writes_a_second = 5, 1
    more = [Range("17.0.0.0/24", "ROUTE53_HEALTHCHECKS"), Range("2600:f100::/32", "ROUTE53_HEALTHCHECKS")]
    estate.publish(edition(networks(3) + networks6(1), more=more))
    services = {"SERVICE": "CLOUDFRONT,ROUTE53_HEALTHCHECKS"}
    estate.run(**WAF, **services)
    assert len(sets(estate)) == 4
    estate.run(**WAF, **services)
    assert estate.writes == []


def test_many_sets_are_read_at_the_rate_that_waf_allows(estate):
    services = [f"SERVICE_{number}" for number in range(12)]
    more = [Range(cidr, service) for cidr, service in zip(networks(12), services, strict=True)]
    estate.publish(edition([], more=more))
    settings = WAF | {"SERVICE": ",".join(services), "ADDRESS_FAMILIES": "ipv4"}
    estate.run(**settings)
    estate.aws.waf.reads_a_second = 5
    estate.run(**settings)
    assert estate.writes == [] and len(sets(estate)) == 12
    # The first few are read without a pause, and may be refused; the others keep to the rate.
    refused = [call for call in estate.calls if call.error == "ThrottlingException"]
    assert len(refused) <= 12


def test_a_creation_without_a_reply_is_found_once_waf_lists_it(estate):
    estate.publish(edition(networks(3)))
    estate.aws.disturb("lost-reply", operation="CreateIPSet")
    estate.aws.waf.unlisted = 1
    report = estate.run(**WAF, ADDRESS_FAMILIES="ipv4")
    [made] = report["regions"][0]["groups"]
    assert made["created"] and sets(estate) == {IPV4: {*networks(3)}}
    assert estate.aws.waf.unlisted == 0 and estate.counts["ListIPSets"] >= 3


def test_what_waf_cannot_find_for_a_moment_is_waited_for(estate):
    estate.publish(edition(networks(3)))
    estate.run(**WAF)
    estate.publish(edition(networks(3, start=1), token=NOON + 60))
    fault = estate.aws.disturb("refuse", operation="UpdateIPSet", code="WAFUnavailableEntityException")
    estate.run(**WAF)
    assert fault.times == 0 and sets(estate)[IPV4] == {*networks(3, start=1)}


@contextlib.contextmanager
def disturbed_by_somebody(estate, changes):
    """Somebody else adds an address to the set just before each of the next `changes` updates."""
    update = estate.aws.handlers["wafv2", "UpdateIPSet"]
    left = list(range(changes))

    def change_first(call):
        if left:
            it = estate.aws.waf.named(call.params["Name"])
            it.addresses = [*it.addresses, f"192.0.2.{left.pop()}/32"]
            it.lock_token = "00000000-0000-4000-8000-" + f"{len(left):012d}"
        return update(call)

    estate.aws.handlers["wafv2", "UpdateIPSet"] = change_first
    try:
        yield
    finally:
        estate.aws.handlers["wafv2", "UpdateIPSet"] = update
    assert not left


def test_a_set_that_somebody_else_writes_to_is_read_again_and_no_change_is_lost(estate):
    estate.publish(edition(networks(30)))
    estate.run(**WAF)
    estate.publish(edition(networks(30, start=1), token=NOON + 60))
    with disturbed_by_somebody(estate, 2):
        report = estate.run(**WAF)
    refused = [call for call in estate.calls if call.error == "WAFOptimisticLockException"]
    assert len(refused) == 2 and estate.counts["UpdateIPSet"] == 3
    assert sets(estate)[IPV4] == {*networks(30, start=1)}
    # What the other one added is seen, and reported, before it goes.
    [changed] = report["regions"][0]["groups"]
    assert set(changed["removed"]) >= {*networks(1)}


def test_a_set_that_somebody_keeps_writing_to_fails_the_run_and_loses_nothing(estate):
    estate.publish(edition(networks(3)))
    estate.run(**WAF)
    estate.publish(edition(networks(4), token=NOON + 60))
    estate.aws.disturb("refuse", operation="UpdateIPSet", code="WAFOptimisticLockException", times=None)
    outcome = estate.invoke(**WAF)
    assert outcome.error_type == "Partial" and IPV4 in outcome.error_message
    assert sets(estate)[IPV4] == {*networks(3)}
    estate.aws.calm()
    estate.run(**WAF)
    assert sets(estate)[IPV4] == {*networks(4)}


def test_a_set_of_the_name_without_the_tags_is_left_as_it_is(estate):
    waf = estate.aws.client("wafv2")
    waf.create_ip_set(Name=IPV4, Scope="REGIONAL", IPAddressVersion="IPV4", Addresses=["192.0.2.0/24"])
    before = estate.aws.waf.named(IPV4).lock_token
    estate.publish(edition(networks(3) + networks6(1)))
    outcome = estate.invoke(**WAF)
    assert outcome.error_type == "Partial"
    assert IPV4 in outcome.error_message and "gatehouse:prefix-name" in outcome.error_message
    assert sets(estate) == {IPV4: {"192.0.2.0/24"}, IPV6: {*networks6(1)}}
    assert estate.aws.waf.named(IPV4).lock_token == before


def test_a_set_of_code_with_the_name_and_the_tags_is_kept(estate):
    values = {"gatehouse:prefix-name": "AUTOUPDATE", "gatehouse:service": "CLOUDFRONT", "gatehouse:family": "ipv4"}
    estate.aws.client("wafv2").create_ip_set(
        Name=IPV4, Scope="REGIONAL", IPAddressVersion="IPV4", Addresses=[], Tags=as_tags(values)
    )
    estate.publish(edition(networks(3)))
    estate.run(**WAF, CREATE="never")
    assert sets(estate) == {IPV4: {*networks(3)}}


def test_a_quota_of_sets_that_is_used_up_fails_the_run(estate):
    estate.aws.waf.sets_per_region = 1
    estate.publish(edition(networks(3) + networks6(1)))
    outcome = estate.invoke(**WAF)
    assert outcome.error_type == "Partial" and "WAFLimitsExceededException" in outcome.error_message
    assert len(sets(estate)) == 1
    estate.aws.waf.sets_per_region = 2
    estate.run(**WAF)
    assert sets(estate) == {IPV4: {*networks(3)}, IPV6: {*networks6(1)}}


# Each kind, and each call. `after_any_single_fault_one_run_more_puts_everything_right` of the crate has every pair.
@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        *((it, "lost-reply") for it in ("ListIPSets", "ListTagsForResource", "GetIPSet", "CreateIPSet", "UpdateIPSet")),
        *(("UpdateIPSet", kind) for kind in ("throttle", "server-error", "cut")),
    ],
)
def test_a_passing_fault_of_waf_loses_nothing(estate, operation, kind):
    estate.publish(edition(networks(4)))
    estate.run(**WAF)
    estate.publish(edition(networks(4, start=1) + networks6(1), token=NOON + 60))
    fault = estate.aws.disturb(kind, operation=operation)
    estate.run(**WAF)
    assert fault.times == 0, "the fault met no call"
    assert sets(estate) == {IPV4: {*networks(4, start=1)}, IPV6: {*networks6(1)}}
    estate.run(**WAF)
    assert estate.writes == []


# Ids as parameters -------------------------------------------------------------------------------------------------

PREFIX = "/gatehouse/ip-ranges"
PUBLISHED = {"PARAMETER_PREFIX": PREFIX}


def ids(estate, service="CLOUDFRONT", port=443):
    return [group["GroupId"] for group in estate.groups(service, port).values()]


def test_the_ids_of_all_groups_are_published_and_written_only_when_they_change(estate):
    estate.publish(edition(networks(60)))
    estate.run(**PUBLISHED, PORTS="80,443")
    assert estate.aws.parameters.under(PREFIX) == {
        f"{PREFIX}/CLOUDFRONT/{port}": ids(estate, port=port) for port in (80, 443)
    }
    estate.run(**PUBLISHED, PORTS="80,443")
    assert estate.writes == []

    # The ranges change and the groups do not.
    estate.publish(edition(networks(60, start=1), token=NOON + 60))
    estate.run(**PUBLISHED, PORTS="80,443")
    assert "PutParameter" not in estate.counts

    # A second group of one port.
    estate.publish(edition(networks(61, start=1), token=NOON + 120))
    estate.run(**PUBLISHED, PORTS="80,443")
    assert estate.counts["PutParameter"] == 2
    published = estate.aws.parameters.under(PREFIX)[f"{PREFIX}/CLOUDFRONT/443"]
    assert sorted(published) == sorted(ids(estate)) and len(published) == 2


def test_the_ids_of_lists_and_the_arns_of_sets_are_published(estate):
    estate.publish(edition(networks(61) + networks6(1)))
    estate.run(**PUBLISHED, TARGET="prefix-lists")
    by_family = {family: [] for family in ("ipv4", "ipv6")}
    for it in lists_made(estate):
        by_family[tags(it)["gatehouse:family"]].append(it["PrefixListId"])
    found = estate.aws.parameters.under(PREFIX)
    assert {name: sorted(value) for name, value in found.items()} == {
        f"{PREFIX}/CLOUDFRONT/{family}": sorted(made) for family, made in by_family.items()
    }
    assert len(by_family["ipv4"]) == 2

    estate.run(PARAMETER_PREFIX="/waf", TARGET="waf-ip-sets")
    assert estate.aws.parameters.under("/waf") == {
        f"/waf/CLOUDFRONT/{family}": [estate.aws.waf.named(f"AUTOUPDATE_CLOUDFRONT_{family}").arn]
        for family in ("ipv4", "ipv6")
    }


def test_each_region_has_parameters_of_its_own(estate):
    estate.publish(edition(networks(3)))
    estate.run(**PUBLISHED, REGION="us-east-1,eu-west-1")
    for region in ("us-east-1", "eu-west-1"):
        [group] = estate.groups(region=region).values()
        assert estate.aws.parameters.under(PREFIX, region) == {f"{PREFIX}/CLOUDFRONT/443": [group["GroupId"]]}


def test_without_the_setting_no_parameter_is_read_or_written(estate):
    estate.publish(edition(networks(3)))
    estate.run()
    assert {call.service for call in estate.calls} == {"ec2"}


# AWS's own lists ---------------------------------------------------------------------------------------------------


def test_a_run_that_an_aws_managed_list_could_replace_says_so(estate):
    estate.publish(edition(networks(3), service="CLOUDFRONT_ORIGIN_FACING"))
    settings = {"SERVICE": "CLOUDFRONT_ORIGIN_FACING", "ADDRESS_FAMILIES": "ipv4"}
    listed = "com.amazonaws.global.cloudfront.origin-facing"
    assert listed in notes(estate.run(**settings))
    # Each port has a group of its own, and in each the list fits. A rule of AWS WAF takes no list.
    assert listed in notes(estate.run(**settings, PORTS="80,443"))
    assert listed not in notes(estate.run(**settings | WAF))
