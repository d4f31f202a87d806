"""Whole flows of the ip-ranges updater: the real binary, the Lambda runtime API, HTTPS, and the local AWS."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gatehouse_local import events, ranges, runtime_api, sns
from gatehouse_local.estate import NOON, Estate, cidrs, edition, networks, networks6, report_of, tags
from gatehouse_local.ranges import Document, Range
from gatehouse_local.sam import Emulator
from gatehouse_local.web import Page


@pytest.fixture
def estate(aws, web, binary):
    return Estate(aws, web, binary("ip-ranges-updater"))


# From notice to groups ---------------------------------------------------------------------------------------------


def test_first_run_creates_as_many_groups_as_needed_and_fills_them(estate):
    estate.publish(ranges.first())
    report = estate.run(events.load("ip-ranges/sns-notice-signed.json"), PORTS="80,443")

    wanted = ranges.first().rules("CLOUDFRONT")
    assert len(wanted) == 180 + 32
    vpc = estate.aws.ec2.default_vpc()
    for port in (80, 443):
        groups = estate.groups(port=port)
        assert list(groups) == [f"AUTOUPDATE_CLOUDFRONT_{port}_{number}" for number in (1, 2, 3)]
        assert estate.held(port=port) == wanted
        for name, group in groups.items():
            assert group["VpcId"] == vpc
            assert tags(group) == {
                "Name": name,
                "gatehouse:prefix-name": "AUTOUPDATE",
                "gatehouse:service": "CLOUDFRONT",
                "gatehouse:port": str(port),
                f"gatehouse:sync-token/{ranges.FIRST_EDITION}": "followed",
            }
            (permission,) = group["IpPermissions"]
            assert (permission["IpProtocol"], permission["FromPort"], permission["ToPort"]) == ("tcp", port, port)
            assert max(len(permission["IpRanges"]), len(permission["Ipv6Ranges"])) <= 60
            assert all(entry["Description"] for entry in permission["IpRanges"] + permission["Ipv6Ranges"])

    assert estate.counts == {
        "DescribeVpcs": 1,
        # To plan, and to see that everything is there.
        "DescribeSecurityGroups": 2,
        "CreateSecurityGroup": 6,
        "AuthorizeSecurityGroupIngress": 6,
    }
    (region,) = report["regions"]
    assert region["aws_calls"] == len(estate.calls)
    assert sum(len(group["added"]) for group in region["groups"]) == 2 * len(wanted)
    assert all(group["created"] for group in region["groups"])
    assert report["sync_token"] == ranges.FIRST_EDITION and report["trigger"] == "notice"


def test_changed_document_changes_only_the_difference(estate):
    first, second = ranges.first().rules("CLOUDFRONT"), ranges.second().rules("CLOUDFRONT")
    estate.publish(ranges.first())
    estate.run(events.load("ip-ranges/sns-notice-signed.json"))
    before = estate.groups()

    estate.publish(ranges.second())
    report = estate.run(events.load("ip-ranges/sns-notice-signed-second.json"))

    assert estate.held() == second
    written = [call for call in estate.calls if call.operation.endswith("Ingress")]
    authorized = [call for call in written if call.operation.startswith("Authorize")]
    revoked = [call for call in written if call.operation.startswith("Revoke")]
    changed = {cidr for call in authorized for permission in call.params["IpPermissions"] for cidr in _sent(permission)}
    assert changed == second - first
    changed = {cidr for call in revoked for permission in call.params["IpPermissions"] for cidr in _sent(permission)}
    assert changed == first - second
    for calls in (authorized, revoked):
        touched = [call.params["GroupId"] for call in calls]
        assert len(touched) == len(set(touched)), "more than one call for a group"
    names = [call.operation for call in written]
    assert names == sorted(names), "something was revoked before everything was authorized"
    untouched = before.keys() - {group["name"] for group in report["regions"][0]["groups"] if _changes(group)}
    rules = "IpPermissions"
    assert untouched and all(estate.groups()[name][rules] == before[name][rules] for name in untouched)


def _sent(permission):
    entries = permission.get("IpRanges", []) + permission.get("Ipv6Ranges", [])
    return [entry.get("CidrIp") or entry["CidrIpv6"] for entry in entries]


def _changes(group):
    return group["added"] or group["removed"]


def test_a_run_that_changes_nothing_is_one_call_and_no_write(estate):
    estate.publish(ranges.first())
    estate.run()
    vpc = estate.aws.ec2.default_vpc()
    report = estate.run(events.load("ip-ranges/sns-notice-signed.json"), VPC_ID=vpc)
    assert estate.counts == {"DescribeSecurityGroups": 1}
    assert report["regions"][0]["aws_calls"] == 1
    assert report["trigger"] == "notice"
    # A scheduled run also looks whether the groups are attached.
    report = estate.run(events.load("ip-ranges/schedule.json"), VPC_ID=vpc)
    assert estate.counts == {"DescribeSecurityGroups": 1, "DescribeNetworkInterfaces": 1}
    assert report["trigger"] == "schedule"


def test_all_pages_are_read(estate):
    estate.publish(ranges.first())
    estate.run(PORTS="80,443")
    estate.aws.ec2.page_size = 2
    estate.run(PORTS="80,443", VPC_ID=estate.aws.ec2.default_vpc())
    assert estate.counts == {"DescribeSecurityGroups": 3, "DescribeNetworkInterfaces": 1}


def test_the_same_answer_through_the_runtime_interface_emulator(estate):
    estate.publish(ranges.first())
    with Emulator(estate.path, estate.environment()) as function:
        outcome = function.invoke(events.load("ip-ranges/sns-notice-signed.json"))
        assert not outcome.failed, outcome.payload
        assert estate.held() == ranges.first().rules("CLOUDFRONT")
        # The emulator answers HTTP 200 for a failure too.
        assert function.invoke({"nonsense": 1}).error_type == "InvalidEvent"


def test_several_services_and_port_ranges(estate):
    more = [Range("17.0.0.0/24", "ROUTE53_HEALTHCHECKS"), Range("2600:f100::/32", "ROUTE53_HEALTHCHECKS")]
    estate.publish(edition(networks(3), more=more))
    estate.run(SERVICE="CLOUDFRONT,ROUTE53_HEALTHCHECKS", PORTS="443,8000-8010", PREFIX_NAME="EDGE")
    found = estate.aws.ec2.gatehouse_groups(prefix="EDGE")
    assert set(found) == {
        "EDGE_CLOUDFRONT_443_1",
        "EDGE_CLOUDFRONT_8000-8010_1",
        "EDGE_ROUTE53_HEALTHCHECKS_443_1",
        "EDGE_ROUTE53_HEALTHCHECKS_8000-8010_1",
    }
    (permission,) = found["EDGE_ROUTE53_HEALTHCHECKS_8000-8010_1"]["IpPermissions"]
    assert (permission["FromPort"], permission["ToPort"]) == (8000, 8010)
    assert set(cidrs(permission)) == {"17.0.0.0/24", "2600:f100::/32"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"ADDRESS_FAMILIES": "ipv6"}, {"2600:f000::/32"}),
        ({"RANGE_REGIONS": "eu-west-1"}, {"16.9.0.0/24"}),
        ({"AGGREGATE": "false"}, {"16.0.0.0/24", "16.0.1.0/24", "2600:f000::/32", "16.9.0.0/24"}),
        ({}, {"16.0.0.0/23", "2600:f000::/32", "16.9.0.0/24"}),
    ],
)
def test_which_ranges_count(estate, settings, expected):
    regional = [Range("16.9.0.0/24", "CLOUDFRONT", "eu-west-1")]
    estate.publish(edition(["16.0.0.0/24", "16.0.1.0/24", "2600:f000::/32"], more=regional))
    estate.run(**settings)
    assert estate.held() == expected


# The notice and the document ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_signed_notice_is_verified_with_the_certificate_that_it_names(estate, version):
    document = edition(networks(3))
    estate.publish(document)
    estate.run(events.signed_notice(document, version))
    assert estate.held() == document.rules("CLOUDFRONT")
    assert sorted(estate.web.requests) == sorted([sns.CERTIFICATE_URL, ranges.URL])


def test_a_tampered_notice_is_refused(estate):
    document = edition(networks(3))
    estate.publish(document)
    event = events.signed_notice(document)
    event["Records"][0]["Sns"]["Message"] += " "
    outcome = estate.invoke(event)
    assert outcome.error_type == "Refused"
    assert estate.web.requests == [sns.CERTIFICATE_URL]
    assert estate.calls == []


@pytest.mark.parametrize(
    "url",
    [
        "https://sns.us-east-1.amazonaws.com.example.com" + sns.CERTIFICATE_PATH,
        "http://sns.us-east-1.amazonaws.com" + sns.CERTIFICATE_PATH,
        "https://sns.eu-west-1.amazonaws.com" + sns.CERTIFICATE_PATH,
        "https://sns.us-east-1.amazonaws.com/other.pem",
    ],
)
def test_nothing_is_fetched_for_a_certificate_url_that_is_not_the_topics(estate, url):
    document = edition(networks(3))
    estate.publish(document)
    event = events.signed_notice(document)
    event["Records"][0]["Sns"]["SigningCertUrl"] = url
    outcome = estate.invoke(event)
    assert outcome.error_type == "Refused"
    assert estate.web.requests == []
    assert estate.calls == []


def test_a_topic_that_is_not_listed_is_refused(estate):
    document = edition(networks(3))
    estate.publish(document)
    event = events.signed_notice(document)
    outcome = estate.invoke(event, TOPIC_ARNS="arn:aws:sns:us-east-1:123456789012:other")
    assert outcome.error_type == "Refused"
    assert events.TOPIC_ARN in outcome.error_message
    assert estate.calls == []


def test_an_old_notice_is_refused(estate):
    document = edition(networks(3))
    estate.publish(document)
    outcome = estate.invoke(events.signed_notice(document), SNS_MAX_AGE_SECONDS="3600")
    assert outcome.error_type == "Refused"
    assert estate.calls == []


def test_the_sample_with_signature_example_needs_verification_switched_off(estate):
    estate.publish(ranges.first())
    event = events.load("ip-ranges/sns-notice.json")
    assert estate.invoke(event).error_type == "Refused"
    settings = events.environment()["IpRangesUpdaterFunction"]
    outcome = estate.invoke(event, **settings)
    assert not outcome.failed, outcome.payload
    assert outcome.payload["dry_run"] is True
    assert any(record.get("level") == "WARN" and "SNS_VERIFY" in json.dumps(record) for record in outcome.records)


def test_a_wrong_md5_is_an_error_in_the_words_people_know(estate):
    document = edition(networks(3))
    estate.publish(document)
    outcome = estate.invoke(events.signed_notice(document, md5="0" * 32))
    assert f"MD5 Mismatch: got {document.md5} expected {'0' * 32}" in outcome.error_message
    assert estate.writes == []


def test_a_notice_that_names_another_url_is_refused(estate):
    document = edition(networks(3))
    estate.publish(document)
    outcome = estate.invoke(events.signed_notice(document, url="https://example.com/ip-ranges.json"))
    assert outcome.failed
    assert "https://example.com/ip-ranges.json" in outcome.error_message and ranges.URL in outcome.error_message
    assert estate.web.requests == [sns.CERTIFICATE_URL]


def test_an_edge_that_still_serves_the_old_document_is_asked_again(estate):
    old, new = edition(networks(3)), edition(networks(4), token=NOON + 60)
    estate.publish(old, new)
    estate.run(events.signed_notice(new))
    assert estate.held() == new.rules("CLOUDFRONT")
    assert estate.web.requests.count(ranges.URL) == 2


@pytest.mark.parametrize(
    "page",
    [
        Page(b"<html>busy</html>", 503),
        Page(b"<html>not json</html>"),
    ],
)
def test_a_document_that_is_none_changes_nothing(estate, page):
    estate.publish(edition(networks(3)))
    estate.run()
    before = estate.held()
    estate.web.serve(ranges.URL, page)
    outcome = estate.invoke()
    assert outcome.failed and ranges.URL in outcome.error_message
    assert estate.writes == []
    assert estate.held() == before


# What a person asks for --------------------------------------------------------------------------------------------


def test_a_dry_run_reports_what_it_would_do_and_writes_nothing(estate):
    document = edition(networks(70))
    estate.publish(document)
    for event, settings in (
        (events.load("ip-ranges/direct-dry-run.json"), {}),
        (events.load("ip-ranges/schedule.json"), {"DRY_RUN": "true"}),
    ):
        report = estate.run(event, **settings)
        assert report["dry_run"] is True
        (region,) = report["regions"]
        assert {cidr for group in region["groups"] for cidr in group["added"]} == document.rules("CLOUDFRONT")
        assert [group["created"] for group in region["groups"]] == [True, True]
        assert estate.writes == [] and estate.groups() == {}


def test_a_run_that_would_remove_too_much_adds_but_does_not_remove_until_forced(estate):
    estate.publish(edition(networks(40)))
    estate.run()
    estate.publish(edition([*networks(10), "17.0.0.0/24"], token=NOON + 60))

    outcome = estate.invoke()
    assert outcome.error_type == "ShrinkRefused"
    assert estate.held() == {*networks(40), "17.0.0.0/24"}

    estate.run(events.load("ip-ranges/direct-force.json"))
    assert estate.held() == {*networks(10), "17.0.0.0/24"}


def test_an_unknown_service_is_an_error_that_lists_near_names(estate):
    estate.publish(edition(networks(3)))
    outcome = estate.invoke(SERVICE="CLOUDFORNT")
    assert outcome.error_type == "UnknownService"
    assert "CLOUDFORNT" in outcome.error_message and "CLOUDFRONT" in outcome.error_message
    assert estate.writes == []


def test_a_service_without_ranges_never_empties_a_group(estate):
    estate.publish(edition(networks(3)))
    estate.run()
    elsewhere = Document(
        NOON + 60, [Range("16.0.0.0/24", "CLOUDFRONT", "eu-west-1"), Range("26.0.2.0/24", "EC2", "us-east-1")]
    )
    estate.publish(elsewhere)
    outcome = estate.invoke(RANGE_REGIONS="us-east-1")
    assert outcome.error_type == "NoRanges"
    outcome = estate.invoke(RANGE_REGIONS="us-esat-1")
    assert outcome.error_type == "UnknownRegion" and "us-east-1" in outcome.error_message
    assert estate.held() == set(networks(3))


def test_an_event_that_is_not_json_is_an_error(estate):
    outcome = estate.invoke(b"not json")
    assert outcome.failed
    assert estate.calls == [] and estate.web.requests == []


# Other people's rules, interfaces, quotas --------------------------------------------------------------------------


def test_foreign_rules_stay_and_count_against_the_quota(estate):
    estate.publish(edition(networks(3)))
    estate.run(MAX_RULES_PER_GROUP="10")
    (group,) = estate.groups().values()
    foreign = [
        {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
        {"IpProtocol": "udp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.1.0.0/16"}]},
        {
            "IpProtocol": "tcp",
            "FromPort": 443,
            "ToPort": 443,
            "UserIdGroupPairs": [{"GroupId": group["GroupId"]}],
        },
    ]
    estate.aws.client("ec2").authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=foreign)

    estate.publish(edition(networks(9, start=1), token=NOON + 60))
    estate.run(MAX_RULES_PER_GROUP="10")

    assert estate.held() == set(networks(9, start=1))
    assert len(estate.groups()) == 2, "three foreign rules and nine ranges do not fit into ten"
    kept = next(iter(estate.groups().values()))["IpPermissions"]
    assert {"10.0.0.0/8", "10.1.0.0/16"} <= {cidr for permission in kept for cidr in cidrs(permission)}
    assert [pair["GroupId"] for permission in kept for pair in permission["UserIdGroupPairs"]] == [group["GroupId"]]
    assert not {"10.0.0.0/8", "10.1.0.0/16"} & _revoked(estate.calls)


def _revoked(calls):
    return {
        cidr
        for call in calls
        if call.operation == "RevokeSecurityGroupIngress"
        for permission in call.params["IpPermissions"]
        for cidr in _sent(permission)
    }


def test_groups_of_other_vpcs_and_other_stacks_are_not_touched(estate):
    client = estate.aws.client("ec2")
    other_vpc = client.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    estate.publish(edition(networks(3)))
    estate.run(VPC_ID=other_vpc)
    estate.run(PREFIX_NAME="OTHER")
    before = client.describe_security_groups()["SecurityGroups"]

    estate.publish(edition(networks(4), token=NOON + 60))
    estate.run()

    after = {group["GroupId"]: group for group in client.describe_security_groups()["SecurityGroups"]}
    assert all(after[group["GroupId"]] == group for group in before)
    assert len(after) == len(before) + 1


def test_a_new_group_is_attached_wherever_the_earlier_ones_are(estate):
    estate.publish(edition(networks(60)))
    estate.run()
    ec2 = estate.aws.ec2
    (group,) = [group["GroupId"] for group in estate.groups().values()]
    own = estate.aws.client("ec2").create_security_group(
        GroupName="own", Description="of the server", VpcId=ec2.default_vpc()
    )["GroupId"]
    server, other = ec2.create_interface([own, group]), ec2.create_interface([own])
    balancer, balancer_interface = ec2.create_load_balancer("web", [group])

    estate.publish(edition(networks(61), token=NOON + 60))
    report = estate.run()

    (new,) = [found["GroupId"] for name, found in estate.groups().items() if name.endswith("_2")]
    assert set(ec2.groups_of(server)) == {own, group, new}
    assert ec2.groups_of(other) == [own]
    assert set(ec2.groups_of(balancer_interface)) == {group, new}
    assert estate.counts["ModifyNetworkInterfaceAttribute"] == 1
    assert estate.counts["SetSecurityGroups"] == 1
    described = estate.aws.client("elbv2").describe_load_balancers(LoadBalancerArns=[balancer])["LoadBalancers"]
    assert set(described[0]["SecurityGroups"]) == {group, new}
    attached = {carrier for entry in report["regions"][0]["groups"] for carrier in entry["attached"]}
    assert server in attached and len(attached) == 2
    assert estate.held() == set(networks(61))

    estate.run(VPC_ID=ec2.default_vpc())
    assert estate.counts == {"DescribeSecurityGroups": 1, "DescribeNetworkInterfaces": 1}


def _outbound(estate):
    """Where the groups let traffic out to, by name."""
    return {
        name: [cidr for permission in group["IpPermissionsEgress"] for cidr in cidrs(permission)]
        for name, group in estate.groups().items()
    }


def _close(estate, group):
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    estate.aws.client("ec2").revoke_security_group_egress(GroupId=group, IpPermissions=everything)


def test_a_new_group_of_an_open_pool_keeps_the_outbound_rule_that_ec2_made(estate):
    estate.publish(edition(networks(60)))
    estate.run()
    estate.publish(edition(networks(61), token=NOON + 60))
    estate.run()
    everything = ["0.0.0.0/0"]
    assert _outbound(estate) == {f"AUTOUPDATE_CLOUDFRONT_443_{number}": everything for number in (1, 2)}
    assert "RevokeSecurityGroupEgress" not in estate.counts


def test_a_new_group_of_a_closed_pool_lets_nothing_out_before_it_is_attached(estate):
    estate.publish(edition(networks(60)))
    estate.run()
    (group,) = [group["GroupId"] for group in estate.groups().values()]
    _close(estate, group)
    interface = estate.aws.ec2.create_interface([group])
    estate.publish(edition(networks(61), token=NOON + 60))

    report = estate.run()
    assert _outbound(estate) == {f"AUTOUPDATE_CLOUDFRONT_443_{number}": [] for number in (1, 2)}
    assert len(estate.aws.ec2.groups_of(interface)) == 2
    names = [call.operation for call in estate.calls]
    assert names.index("RevokeSecurityGroupEgress") < names.index("ModifyNetworkInterfaceAttribute")
    assert [entry["egress_closed"] for entry in report["regions"][0]["groups"]] == [False, True]


def test_a_new_group_that_cannot_be_closed_is_not_attached(estate):
    estate.publish(edition(networks(60)))
    estate.run()
    (group,) = [group["GroupId"] for group in estate.groups().values()]
    _close(estate, group)
    interface = estate.aws.ec2.create_interface([group])
    estate.publish(edition(networks(61), token=NOON + 60))
    fault = estate.aws.disturb(
        "refuse", operation="RevokeSecurityGroupEgress", code="OperationNotPermitted", times=None
    )

    outcome = estate.invoke()
    assert outcome.error_type == "Partial" and "outbound rules" in outcome.error_message
    assert estate.aws.ec2.groups_of(interface) == [group]
    fault.times = 0
    estate.run()
    assert len(estate.aws.ec2.groups_of(interface)) == 2
    assert _outbound(estate) == {f"AUTOUPDATE_CLOUDFRONT_443_{number}": [] for number in (1, 2)}


def test_the_first_groups_let_nothing_out_where_the_setting_says_so(estate):
    estate.publish(edition(networks(61)))
    report = estate.run(EGRESS="none")
    assert _outbound(estate) == {f"AUTOUPDATE_CLOUDFRONT_443_{number}": [] for number in (1, 2)}
    assert all(entry["egress_closed"] for entry in report["regions"][0]["groups"])
    assert all("gatehouse:attach" not in tags(group) for group in estate.groups().values())


def test_a_new_group_is_filled_and_attached_before_anything_is_revoked(estate):
    estate.publish(edition(networks(60)))
    estate.run()
    (group,) = [group["GroupId"] for group in estate.groups().values()]
    estate.aws.ec2.create_interface([group])
    estate.publish(edition(networks(61, start=1), token=NOON + 60))
    estate.run()
    order = [
        operation
        for operation in estate.writes
        if operation.endswith("Ingress") or operation == "ModifyNetworkInterfaceAttribute"
    ]
    assert order == [
        "AuthorizeSecurityGroupIngress",
        "ModifyNetworkInterfaceAttribute",
        "RevokeSecurityGroupIngress",
    ]
    assert estate.held() == set(networks(61, start=1))


def test_an_interface_at_its_limit_is_reported_and_healed_when_it_has_room(estate):
    estate.publish(edition(networks(60)))
    estate.run()
    ec2 = estate.aws.ec2
    client = estate.aws.client("ec2")
    (group,) = [group["GroupId"] for group in estate.groups().values()]
    own = [
        client.create_security_group(GroupName=f"own-{index}", Description="own", VpcId=ec2.default_vpc())["GroupId"]
        for index in range(4)
    ]
    full, free = ec2.create_interface([*own, group]), ec2.create_interface([group])
    estate.publish(edition(networks(61, start=1), token=NOON + 60))

    outcome = estate.invoke()
    assert outcome.error_type == "InterfaceGroupLimit"
    assert full in outcome.error_message
    assert set(ec2.groups_of(full)) == {*own, group}
    assert len(ec2.groups_of(free)) == 2
    assert set(networks(61, start=1)) <= estate.held()

    client.modify_network_interface_attribute(NetworkInterfaceId=full, Groups=[own[0], group])
    estate.run()
    assert len(ec2.groups_of(full)) == 3
    assert estate.held() == set(networks(61, start=1))


@pytest.mark.parametrize("attach", ["follow", "report"])
def test_an_interface_that_starts_with_some_groups_gets_the_others_or_is_reported(estate, attach):
    estate.publish(edition(networks(61)))
    estate.run()
    first, second = [group["GroupId"] for group in estate.groups().values()]
    interface = estate.aws.ec2.create_interface([first])
    outcome = estate.invoke(events.load("ip-ranges/schedule.json"), ATTACH=attach)
    if attach == "follow":
        assert not outcome.failed
        assert set(estate.aws.ec2.groups_of(interface)) == {first, second}
    else:
        assert outcome.error_type == "PartlyAttached"
        assert interface in outcome.error_message and second in outcome.error_message
        assert estate.aws.ec2.groups_of(interface) == [first]


def test_a_run_that_meets_lambdas_deadline_reports_what_it_did_and_the_next_one_goes_on(estate, monkeypatch):
    monkeypatch.setattr(runtime_api, "FUNCTION_TIMEOUT", 13)
    estate.publish(edition(networks(7)))
    estate.aws.disturb("hang", operation="AuthorizeSecurityGroupIngress")
    outcome = estate.invoke(MAX_RULES_PER_GROUP="5")
    assert outcome.error_type == "OutOfTime", outcome.payload
    assert outcome.seconds < 10
    (region,) = report_of(outcome)["regions"]
    assert {cidr for group in region["groups"] for cidr in group["added"]} == estate.held()
    assert {cidr for entry in region["not_added"] for cidr in entry["ranges"]} == set(networks(7)) - estate.held()
    written = [record for record in outcome.records if record.get("message") == "group created"]
    assert len(written) == 2, "each completed write is in the log"

    estate.run(MAX_RULES_PER_GROUP="5")
    assert estate.held() == set(networks(7))


def test_an_interface_of_another_service_is_reported(estate):
    estate.publish(edition(networks(60)))
    estate.run()
    ec2 = estate.aws.ec2
    (group,) = [group["GroupId"] for group in estate.groups().values()]
    managed = ec2.create_interface([group], description="VPC Endpoint Interface vpce-0123456789abcdef0")
    ec2.give_to_service(managed, "amazon-vpce")
    estate.publish(edition(networks(61), token=NOON + 60))
    outcome = estate.invoke()
    assert outcome.error_type == "PartlyAttached" and managed in outcome.error_message
    assert set(networks(61)) <= estate.held()


def test_ranges_without_a_slot_are_listed_and_fail_the_run(estate):
    document = edition(networks(13))
    estate.publish(document)
    outcome = estate.invoke(MAX_RULES_PER_GROUP="5", MAX_GROUPS_PER_INTERFACE="2")
    assert outcome.error_type == "NoCapacity"
    left_out = {cidr for entry in report_of(outcome)["regions"][0]["left_out"] for cidr in entry["ranges"]}
    assert len(left_out) == 3
    assert estate.held() | left_out == document.rules("CLOUDFRONT")
    assert not estate.held() & left_out


def test_ipv6_has_slots_of_its_own(estate):
    document = edition(networks(60) + networks6(60))
    estate.publish(document)
    estate.run()
    assert len(estate.groups()) == 1
    assert estate.held() == document.rules("CLOUDFRONT")


# Faults ------------------------------------------------------------------------------------------------------------


# Each kind, and each call. `no_mixture_of_faults_cuts_anybody_off` of the crate has every mixture.
@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("DescribeSecurityGroups", "lost-reply"),
        ("CreateSecurityGroup", "lost-reply"),
        ("AuthorizeSecurityGroupIngress", "lost-reply"),
        ("RevokeSecurityGroupIngress", "lost-reply"),
        ("AuthorizeSecurityGroupIngress", "throttle"),
        ("AuthorizeSecurityGroupIngress", "server-error"),
        ("AuthorizeSecurityGroupIngress", "cut"),
    ],
)
def test_a_passing_fault_loses_nothing(estate, operation, kind):
    old, new = edition(networks(4)), edition(networks(7, start=1), token=NOON + 60)
    settings = {"MAX_RULES_PER_GROUP": "5"}
    estate.publish(old)
    estate.run(**settings)
    estate.publish(new)
    fault = estate.aws.disturb(kind, operation=operation)

    outcome = estate.invoke(**settings)
    assert fault.times == 0, "the fault met no call"
    if outcome.failed:
        # A group whose reply was lost exists already, and the name of a group is taken but once.
        assert (operation, kind) == ("CreateSecurityGroup", "lost-reply"), outcome.payload
        assert old.rules("CLOUDFRONT") & new.rules("CLOUDFRONT") <= estate.held()
        estate.run(**settings)
    assert estate.held() == new.rules("CLOUDFRONT")
    estate.run(**settings, VPC_ID=estate.aws.ec2.default_vpc())
    assert estate.counts == {"DescribeSecurityGroups": 1, "DescribeNetworkInterfaces": 1}


@pytest.mark.parametrize("operation", ["AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"])
def test_the_report_is_true_when_a_reply_is_lost(estate, operation):
    estate.publish(edition(networks(4)))
    estate.run()
    estate.publish(edition(networks(4, start=1), token=NOON + 60))
    estate.aws.disturb("lost-reply", operation=operation)
    report = estate.run()
    (group,) = report["regions"][0]["groups"]
    assert set(group["added"]) == set(networks(4, start=1)) - set(networks(4))
    assert set(group["removed"]) == set(networks(4)) - set(networks(4, start=1))
    assert report["regions"][0]["aws_calls"] == len(estate.calls)


@pytest.mark.parametrize("operation", ["AuthorizeSecurityGroupIngress", "DescribeSecurityGroups"])
def test_a_lasting_fault_fails_the_run_and_the_next_one_heals(estate, operation):
    old, new = edition(networks(4)), edition(networks(7, start=1), token=NOON + 60)
    settings = {"MAX_RULES_PER_GROUP": "5"}
    estate.publish(old)
    estate.run(**settings)
    estate.publish(new)
    estate.aws.disturb("server-error", operation=operation, times=None)

    outcome = estate.invoke(**settings)
    assert outcome.error_type == "Partial", outcome.payload
    report = report_of(outcome)
    (region,) = report["regions"]
    assert region["failures"]
    added = {cidr for group in region["groups"] for cidr in group["added"]}
    removed = {cidr for group in region["groups"] for cidr in group["removed"]}
    assert (old.rules("CLOUDFRONT") | added) - removed == estate.held(), "the report is not true"
    assert old.rules("CLOUDFRONT") & new.rules("CLOUDFRONT") <= estate.held(), "something published was lost"

    estate.aws.calm()
    estate.run(**settings)
    assert estate.held() == new.rules("CLOUDFRONT")


def test_one_region_down_does_not_stop_the_others(estate):
    old, new = edition(networks(4)), edition(networks(5), token=NOON + 60)
    settings = {"REGION": "us-east-1,eu-west-1,ap-southeast-2"}
    estate.publish(old)
    estate.run(**settings)
    estate.publish(new)
    estate.aws.disturb("cut", region="eu-west-1", times=None)

    outcome = estate.invoke(**settings)
    assert outcome.failed and "eu-west-1" in outcome.error_message
    for region in ("us-east-1", "ap-southeast-2"):
        assert estate.held(region=region) == new.rules("CLOUDFRONT")
    assert estate.held(region="eu-west-1") == old.rules("CLOUDFRONT")

    estate.aws.calm()
    estate.run(**settings)
    assert estate.held(region="eu-west-1") == new.rules("CLOUDFRONT")


def test_a_group_deleted_meanwhile_is_reported_and_made_again_by_the_next_run(estate):
    estate.publish(edition(networks(4)))
    estate.run()
    (group,) = [group["GroupId"] for group in estate.groups().values()]
    describe = estate.aws.handlers["ec2", "DescribeSecurityGroups"]

    def describe_then_delete(call):
        answer = describe(call)
        estate.aws.ec2.vanish(group)
        return answer

    estate.publish(edition(networks(5), token=NOON + 60))
    estate.aws.handlers["ec2", "DescribeSecurityGroups"] = describe_then_delete
    try:
        outcome = estate.invoke()
    finally:
        estate.aws.handlers["ec2", "DescribeSecurityGroups"] = describe
    assert outcome.error_type == "Partial"
    assert group in outcome.error_message and "InvalidGroup.NotFound" in json.dumps(report_of(outcome))

    estate.run()
    assert estate.held() == set(networks(5))


def test_a_quota_lower_than_configured_fails_the_run_and_loses_nothing(estate):
    estate.aws.ec2.rules_per_group = 10
    estate.publish(edition(networks(10)))
    estate.run()
    estate.publish(edition(networks(20), token=NOON + 60))
    outcome = estate.invoke()
    assert outcome.failed
    assert "RulesPerSecurityGroupLimitExceeded" in json.dumps(report_of(outcome))
    assert set(networks(10)) <= estate.held()

    estate.run(MAX_RULES_PER_GROUP="10")
    assert estate.held() == set(networks(20))


def test_two_runs_at_once_end_in_the_same_state_as_one(estate):
    document = edition(networks(130))
    estate.publish(document)
    start = threading.Barrier(2)

    def run(_):
        start.wait(timeout=10)
        return runtime_api.invoke_once(estate.path, estate.environment(), {})

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(run, range(2)))
    assert {outcome.error_type for outcome in outcomes} <= {None, "Partial"}, [outcome.payload for outcome in outcomes]
    # One of them may have lost a race for a group's name; it says so, and whoever comes next finishes.
    estate.run()
    assert estate.held() == document.rules("CLOUDFRONT")
    assert len(estate.groups()) == 3


# People are told ---------------------------------------------------------------------------------------------------


def test_a_summary_of_each_change_and_failure_goes_to_the_topic(estate):
    sns_client, sqs = estate.aws.client("sns"), estate.aws.client("sqs")
    topic = sns_client.create_topic(Name="changes")["TopicArn"]
    queue = sqs.create_queue(QueueName="changes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns_client.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def told():
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]

    estate.publish(edition(networks(3)))
    estate.run(NOTIFY_TOPIC_ARN=topic)
    (summary,) = told()
    assert "3 added" in summary["Subject"]
    assert all(cidr in summary["Message"] for cidr in networks(3))

    estate.run(NOTIFY_TOPIC_ARN=topic)
    assert told() == [], "a run that changes nothing tells nobody"

    assert estate.invoke(NOTIFY_TOPIC_ARN=topic, SERVICE="NOSUCH").failed
    (summary,) = told()
    assert "FAILED" in summary["Subject"] and "NOSUCH" in summary["Message"]


def test_metrics_are_written_as_embedded_metric_format(estate):
    estate.publish(edition(networks(3)))
    outcome = estate.invoke()
    (metrics,) = [record for record in outcome.records if "_aws" in record]
    assert metrics["RulesAdded"] == 3 and metrics["RulesRemoved"] == 0 and metrics["RangesLeftOut"] == 0
    assert metrics["EC2Calls"] == len(estate.calls)
    assert metrics["DocumentAgeSeconds"] > 0
    named = {metric["Name"] for metric in metrics["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert named == {"RulesAdded", "RulesRemoved", "RangesLeftOut", "DocumentAgeSeconds", "EC2Calls"}


# Prefix lists ------------------------------------------------------------------------------------------------------


def prefix_lists(estate):
    client = estate.aws.client("ec2")
    found = {}
    for prefix_list in client.describe_managed_prefix_lists()["PrefixLists"]:
        pages = client.get_paginator("get_managed_prefix_list_entries").paginate(
            PrefixListId=prefix_list["PrefixListId"]
        )
        entries = {entry["Cidr"] for page in pages for entry in page["Entries"]}
        found[prefix_list["AddressFamily"]] = prefix_list | {"entries": entries}
    return found


@pytest.mark.parametrize(
    ("settings", "shown"),
    [({}, False), ({"DEBUG": "true"}, True), ({"AWS_LAMBDA_LOG_LEVEL": "DEBUG"}, True)],
    ids=["default", "DEBUG", "level"],
)
def test_debug_lines_are_the_functions_own(estate, settings, shown):
    estate.publish(edition(networks(3)))
    lines = [record for record in estate.invoke(**settings).records if record.get("level") == "DEBUG"]
    messages = ["document arrived", "groups read", "planned"] if shown else []
    assert [line["message"] for line in lines if line["message"] in messages] == messages
    # The HTTP stack's own lines may hold headers.
    assert len(lines) == len(messages)


def test_prefix_lists_follow_the_ranges_in_batches(estate):
    settings = {"TARGET": "prefix-lists", "MAX_ENTRIES_PER_LIST": "1000"}
    estate.publish(edition(networks(150) + networks6(5)))
    estate.run(**settings)
    lists = prefix_lists(estate)
    assert lists["IPv4"]["entries"] == set(networks(150))
    assert lists["IPv6"]["entries"] == set(networks6(5))
    assert {"Key": "gatehouse:service", "Value": "CLOUDFRONT"} in lists["IPv4"]["Tags"]
    assert estate.groups() == {}

    estate.publish(edition(networks(400, start=20) + networks6(5), token=NOON + 60))
    estate.run(**settings)
    changed = prefix_lists(estate)
    assert changed["IPv4"]["entries"] == set(networks(400, start=20))
    assert changed["IPv4"]["PrefixListId"] == lists["IPv4"]["PrefixListId"]
    # A list counts with its size against the rules of a group: the size follows the entries.
    assert changed["IPv4"]["MaxEntries"] == 400
    assert changed["IPv6"] == lists["IPv6"]

    estate.run(**settings)
    assert estate.writes == []


def test_more_ranges_than_fit_one_list_make_more_lists(estate):
    estate.publish(edition(networks(130)))
    estate.run(TARGET="prefix-lists")
    found = estate.aws.client("ec2").describe_managed_prefix_lists()["PrefixLists"]
    sizes = sorted((prefix_list["PrefixListName"], prefix_list["MaxEntries"]) for prefix_list in found)
    assert sizes == [(f"AUTOUPDATE_CLOUDFRONT_ipv4_{number}", size) for number, size in ((1, 60), (2, 60), (3, 10))]


def test_a_lost_reply_of_a_prefix_list_change_heals(estate):
    settings = {"TARGET": "prefix-lists"}
    estate.publish(edition(networks(5)))
    estate.run(**settings)
    estate.publish(edition(networks(6, start=1), token=NOON + 60))
    fault = estate.aws.disturb("lost-reply", operation="ModifyManagedPrefixList")
    estate.invoke(**settings)
    assert fault.times == 0
    estate.run(**settings)
    assert prefix_lists(estate)["IPv4"]["entries"] == set(networks(6, start=1))


# What is left over --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", [{"SERVICE": "CLOUDFRONT_ORIGIN_FACING"}, {"PORTS": "8443"}])
def test_a_group_that_no_setting_keeps_fails_the_run_while_an_interface_carries_it(estate, changed):
    estate.publish(edition(networks(3), more=[Range(it, "CLOUDFRONT_ORIGIN_FACING") for it in networks(2)]))
    estate.run()
    [group] = estate.groups().values()
    interface = estate.aws.ec2.create_interface([group["GroupId"]])
    # The plan shows it before.
    plan = estate.run(events.load("ip-ranges/direct-dry-run.json"), **changed)
    [failure] = plan["regions"][0]["failures"]
    assert failure["kind"] == "Abandoned" and estate.writes == []
    outcome = estate.invoke(**changed)
    assert outcome.error_type == "Abandoned"
    for part in (interface, group["GroupName"], "ADOPT", "gatehouse:service"):
        assert part in outcome.error_message
    assert estate.held() == {*networks(3)}
    # Nothing depends on it any more: a note.
    own = estate.aws.client("ec2").create_security_group(
        GroupName="own", Description="own", VpcId=estate.aws.ec2.default_vpc()
    )["GroupId"]
    estate.aws.client("ec2").modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[own])
    report = estate.run(**changed)
    assert any(group["GroupName"] in note for note in report["regions"][0]["notes"])


def test_a_group_of_another_prefix_name_is_named_where_an_interface_carries_it(estate):
    estate.publish(edition(networks(3)))
    estate.run()
    [group] = estate.groups().values()
    assert not any(group["GroupName"] in note for note in estate.run(PREFIX_NAME="ORIGIN")["regions"][0]["notes"])
    interface = estate.aws.ec2.create_interface([group["GroupId"]])
    [note] = [it for it in estate.run(PREFIX_NAME="ORIGIN")["regions"][0]["notes"] if group["GroupName"] in it]
    assert interface in note and "PREFIX_NAME" in note


def test_an_interface_that_cannot_take_a_group_is_reported_with_the_reason(estate):
    estate.publish(edition(networks(3)))
    estate.run(MAX_RULES_PER_GROUP="3")
    [group] = estate.groups().values()
    mine, managed = (estate.aws.ec2.create_interface([group["GroupId"]]) for _ in range(2))
    estate.aws.ec2.give_to_operator(managed, "eks.amazonaws.com")
    estate.publish(edition(networks(6), token=NOON + 60))
    outcome = estate.invoke(MAX_RULES_PER_GROUP="3")
    assert outcome.error_type == "PartlyAttached"
    assert managed in outcome.error_message and "eks.amazonaws.com" in outcome.error_message
    assert len(estate.aws.ec2.groups_of(mine)) == 2 and len(estate.aws.ec2.groups_of(managed)) == 1


def test_where_others_attach_groups_a_missing_one_is_a_note(estate):
    settings = {"MAX_RULES_PER_GROUP": "3", "ATTACH": "off"}
    estate.publish(edition(networks(3)))
    estate.run(**settings)
    [group] = estate.groups().values()
    interface = estate.aws.ec2.create_interface([group["GroupId"]])
    estate.publish(edition(networks(6), token=NOON + 60))
    report = estate.run(**settings)
    assert any(interface in note and "ATTACH=off" in note for note in report["regions"][0]["notes"])
    assert estate.aws.ec2.groups_of(interface) == [group["GroupId"]]


# What a wrong document can do -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefixes", "token"),
    [
        ([f"{first}.0.0.0/8" for first in range(16, 32)], NOON + 60),
        (networks(4), 9_999_999_999),
    ],
    ids=["joined", "time to come"],
)
def test_a_document_that_aws_cannot_have_published_changes_nothing(estate, prefixes, token):
    estate.publish(edition(networks(3)))
    estate.run()
    estate.publish(edition(prefixes, token=token))
    outcome = estate.invoke()
    assert outcome.error_type == "BadDocument", outcome.error_message
    assert estate.writes == [] and estate.held() == {*networks(3)}


@pytest.mark.parametrize("target", ["security-groups", "prefix-lists", "waf-ip-sets"])
def test_with_force_a_run_goes_back_to_an_older_document(estate, target):
    settings = {"TARGET": target}
    estate.publish(edition(networks(4), token=NOON + 60))
    estate.run(**settings)
    estate.publish(edition(networks(4), token=NOON))
    assert estate.invoke(**settings).error_type == "StaleDocument"
    estate.run(events.load("ip-ranges/direct-force.json"), **settings)
    report = estate.run(**settings)
    assert report["sync_token"] == NOON and estate.writes == []


# Smaller settings -----------------------------------------------------------------------------------------------------


def test_what_is_created_carries_the_tags_of_the_estate(estate):
    settings = {"TAGS": "team=edge,cost-center=42", "PARAMETER_PREFIX": "/gatehouse/tagged"}
    wanted = {"team": "edge", "cost-center": "42"}
    estate.publish(edition(networks(3)))
    estate.run(**settings)
    [group] = estate.groups().values()
    assert wanted.items() <= tags(group).items()
    [put] = [call for call in estate.calls if call.operation == "PutParameter"]
    assert {tag["Key"]: tag["Value"] for tag in put.params["Tags"]} == wanted
    estate.run(**settings)
    assert estate.writes == []
    estate.run(TARGET="prefix-lists", **settings)
    [made] = estate.aws.client("ec2").describe_managed_prefix_lists()["PrefixLists"]
    assert wanted.items() <= tags(made).items()
    estate.run(TARGET="waf-ip-sets", **settings)
    assert wanted.items() <= estate.aws.waf.named("AUTOUPDATE_CLOUDFRONT_ipv4", scope="REGIONAL").tags.items()


def test_with_spare_entries_a_new_range_needs_no_larger_list(estate):
    settings = {"TARGET": "prefix-lists", "LIST_HEADROOM": "3"}
    size = lambda: estate.aws.client("ec2").describe_managed_prefix_lists()["PrefixLists"][0]["MaxEntries"]  # noqa: E731
    estate.publish(edition(networks(5)))
    estate.run(**settings)
    assert size() == 8
    estate.publish(edition(networks(7), token=NOON + 60))
    estate.run(**settings)
    assert size() == 8 and estate.counts["ModifyManagedPrefixList"] == 1
    estate.run(**settings)
    assert estate.writes == []
