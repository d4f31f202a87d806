"""The local AWS itself: what it adds to moto is what AWS does, and its faults are what they say."""

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from gatehouse_local import wire
from gatehouse_local.aws import operations


@pytest.fixture
def group(aws):
    return aws.client("ec2").create_security_group(GroupName="web", Description="web", VpcId=aws.ec2.default_vpc())[
        "GroupId"
    ]


def web(*cidrs):
    return [
        {
            "IpProtocol": "tcp",
            "FromPort": 80,
            "ToPort": 80,
            "IpRanges": [{"CidrIp": cidr} for cidr in cidrs if ":" not in cidr],
            "Ipv6Ranges": [{"CidrIpv6": cidr} for cidr in cidrs if ":" in cidr],
        }
    ]


def rules(aws, group):
    (found,) = aws.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return {
        entry.get("CidrIp") or entry["CidrIpv6"]
        for permission in found["IpPermissions"]
        for entry in permission["IpRanges"] + permission["Ipv6Ranges"]
    }


def code(raised):
    return raised.value.response["Error"]["Code"]


def test_an_authorize_does_all_or_nothing(aws, client, group):
    client().authorize_security_group_ingress(GroupId=group, IpPermissions=web("240.0.0.0/24"))
    with pytest.raises(ClientError) as raised:
        client().authorize_security_group_ingress(
            GroupId=group, IpPermissions=web("240.0.2.0/24", "240.0.0.0/24", "240.0.4.0/24")
        )
    assert code(raised) == "InvalidPermission.Duplicate"
    assert rules(aws, group) == {"240.0.0.0/24"}


def in_own_vpc(aws):
    """A group in a VPC that is not the default one."""
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    return ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]


def described(description, *permissions):
    """The permissions with this description on each range."""
    return [
        permission
        | {
            kind: [{**entry, "Description": description} for entry in permission[kind]]
            for kind in ("IpRanges", "Ipv6Ranges")
        }
        for permission in permissions
    ]


def test_a_revoke_does_all_or_nothing(aws, client):
    group = in_own_vpc(aws)
    client().authorize_security_group_ingress(GroupId=group, IpPermissions=web("240.0.0.0/24"))
    unknown = {**web("240.0.2.0/24")[0], "FromPort": 81, "ToPort": 81}
    with pytest.raises(ClientError) as raised:
        client().revoke_security_group_ingress(GroupId=group, IpPermissions=[*web("240.0.0.0/24"), unknown])
    assert code(raised) == "InvalidPermission.NotFound"
    assert rules(aws, group) == {"240.0.0.0/24"}
    client().revoke_security_group_ingress(GroupId=group, IpPermissions=web("240.0.0.0/24"))
    assert rules(aws, group) == set()


def test_in_the_default_vpc_a_revoke_names_the_rules_it_does_not_know(aws, client, group):
    client().authorize_security_group_ingress(GroupId=group, IpPermissions=web("240.0.0.0/24"))
    answer = client().revoke_security_group_ingress(
        GroupId=group, IpPermissions=web("240.0.0.0/24", "240.0.2.0/24", "3fff::/32")
    )
    unknown = answer["UnknownIpPermissions"]
    assert [entry["CidrIp"] for permission in unknown for entry in permission.get("IpRanges", [])] == ["240.0.2.0/24"]
    assert [entry["CidrIpv6"] for permission in unknown for entry in permission.get("Ipv6Ranges", [])] == ["3fff::/32"]
    assert rules(aws, group) == set()


@pytest.mark.parametrize("in_default_vpc", [True, False])
@pytest.mark.parametrize("sent, is_removed", [(None, True), ("ours", True), ("", False), ("theirs", False)])
def test_a_revoke_compares_a_description_that_is_sent(aws, client, group, in_default_vpc, sent, is_removed):
    group = group if in_default_vpc else in_own_vpc(aws)
    client().authorize_security_group_ingress(GroupId=group, IpPermissions=described("ours", *web("240.0.0.0/24")))
    permissions = web("240.0.0.0/24") if sent is None else described(sent, *web("240.0.0.0/24"))
    if is_removed or in_default_vpc:
        answer = client().revoke_security_group_ingress(GroupId=group, IpPermissions=permissions)
        assert len(answer.get("UnknownIpPermissions", [])) == (0 if is_removed else 1)
    else:
        with pytest.raises(ClientError) as raised:
            client().revoke_security_group_ingress(GroupId=group, IpPermissions=permissions)
        assert code(raised) == "InvalidPermission.NotFound"
    assert rules(aws, group) == (set() if is_removed else {"240.0.0.0/24"})


def test_the_quota_of_a_group_counts_each_family_apart(aws, client, group):
    full = [f"240.0.{index}.0/24" for index in range(60)] + [f"3fff:{index + 1:x}::/32" for index in range(60)]
    client().authorize_security_group_ingress(GroupId=group, IpPermissions=web(*full))
    for one_more in ("241.0.0.0/24", "3fff:fff::/32"):
        with pytest.raises(ClientError) as raised:
            client().authorize_security_group_ingress(GroupId=group, IpPermissions=web(one_more))
        assert code(raised) == "RulesPerSecurityGroupLimitExceeded"
    assert len(rules(aws, group)) == 120


def test_descriptions_come_in_pages(aws, client, group):
    aws.ec2.page_size = 1
    pages = list(client().get_paginator("describe_security_groups").paginate())
    assert len(pages) == 2 and {len(page["SecurityGroups"]) for page in pages} == {1}
    assert operations(aws.calls) == {"DescribeSecurityGroups": 2}


def test_an_interface_of_an_operator_is_shown_on_request_and_changed_by_nobody(aws, client, group):
    interface = aws.ec2.create_interface([group])
    aws.ec2.give_to_operator(interface, "eks.amazonaws.com")
    by_group = {"Filters": [{"Name": "group-id", "Values": [group]}]}
    assert client().describe_network_interfaces(**by_group)["NetworkInterfaces"] == []
    (found,) = client().describe_network_interfaces(**by_group, IncludeManagedResources=True)["NetworkInterfaces"]
    assert found["Operator"] == {"Managed": True, "Principal": "eks.amazonaws.com"}
    with pytest.raises(ClientError) as raised:
        client().modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[group])
    assert code(raised) == "UnauthorizedOperation"


def test_an_interface_takes_no_group_of_another_vpc(aws, client, group):
    interface = aws.ec2.create_interface([group])
    with pytest.raises(ClientError) as raised:
        client().modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[group, in_own_vpc(aws)])
    assert code(raised) == "InvalidGroup.NotFound" and "different networks" in str(raised.value)


def test_an_interface_carries_a_limited_number_of_groups(aws, client, group):
    interface = aws.ec2.create_interface([group])
    others = [
        aws.client("ec2").create_security_group(GroupName=f"g{index}", Description="g", VpcId=aws.ec2.default_vpc())[
            "GroupId"
        ]
        for index in range(5)
    ]
    client().modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[group, *others[:4]])
    with pytest.raises(ClientError) as raised:
        client().modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[group, *others])
    assert code(raised) == "SecurityGroupsPerInterfaceLimitExceeded"
    assert len(aws.ec2.groups_of(interface)) == 5


def test_the_interfaces_of_a_load_balancer_follow_the_balancer_only(aws, client, group):
    arn, interface = aws.ec2.create_load_balancer("web", [group])
    other = aws.client("ec2").create_security_group(
        GroupName="other", Description="other", VpcId=aws.ec2.default_vpc()
    )["GroupId"]
    with pytest.raises(ClientError):
        client().modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=[group, other])
    client("elbv2").set_security_groups(LoadBalancerArn=arn, SecurityGroups=[group, other])
    assert aws.ec2.groups_of(interface) == [group, other]
    (described,) = client().describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
    assert described["RequesterManaged"] and described["Description"].startswith("ELB app/web/")


def test_a_prefix_list_has_versions_states_and_limits(client):
    ec2 = client()
    created = ec2.create_managed_prefix_list(
        PrefixListName="p", MaxEntries=3, AddressFamily="IPv4", Entries=[{"Cidr": "240.0.0.0/24"}]
    )["PrefixList"]
    name = created["PrefixListId"]

    def modify(**changes):
        return ec2.modify_managed_prefix_list(PrefixListId=name, **changes)

    def refused(**changes):
        with pytest.raises(ClientError) as raised:
            modify(**changes)
        return code(raised)

    def version():
        (described,) = ec2.describe_managed_prefix_lists(PrefixListIds=[name])["PrefixLists"]
        return described["Version"], described["State"]

    assert version() == (1, "create-complete")
    assert refused(CurrentVersion=7, AddEntries=[{"Cidr": "240.0.2.0/24"}]) == "PrefixListVersionMismatch"
    modify(CurrentVersion=1, AddEntries=[{"Cidr": "240.0.2.0/24"}])
    assert refused(CurrentVersion=2, AddEntries=[{"Cidr": "240.0.4.0/24"}]) == "IncorrectState"
    assert version() == (2, "modify-in-progress")
    assert version() == (2, "modify-complete")
    two_more = [{"Cidr": "240.0.4.0/24"}, {"Cidr": "240.0.6.0/24"}]
    assert refused(CurrentVersion=2, AddEntries=two_more) == "PrefixListMaxEntriesExceeded"
    assert refused(CurrentVersion=2, AddEntries=two_more, MaxEntries=9) == "InvalidParameterCombination"
    many = [{"Cidr": f"241.0.{index}.0/24"} for index in range(101)]
    assert refused(CurrentVersion=2, AddEntries=many).startswith("InvalidParameterValue")
    assert refused(CurrentVersion=2, AddEntries=[{"Cidr": "3fff::/32"}]) == "InvalidParameterValue"
    entries = ec2.get_managed_prefix_list_entries(PrefixListId=name)["Entries"]
    assert [entry["Cidr"] for entry in entries] == ["240.0.0.0/24", "240.0.2.0/24"]


@pytest.mark.parametrize(("kind", "seen"), [("throttle", "RequestLimitExceeded"), ("server-error", "InternalError")])
def test_a_fault_refuses_the_call_as_often_as_asked(aws, client, kind, seen):
    aws.disturb(kind, operation="DescribeVpcs", times=2)
    for _ in range(2):
        with pytest.raises(ClientError) as raised:
            client().describe_vpcs()
        assert code(raised) == seen
    assert client().describe_vpcs()["Vpcs"]
    assert [call.error for call in aws.calls] == [kind, kind, None]


@pytest.mark.parametrize(
    ("service", "call", "throttled", "failed"),
    [
        ("ec2", lambda it: it.describe_vpcs(), "RequestLimitExceeded", "InternalError"),
        ("sns", lambda it: it.list_topics(), "Throttling", "InternalFailure"),
        ("codepipeline", lambda it: it.list_pipelines(), "ThrottlingException", "InternalFailure"),
        ("ssm", lambda it: it.describe_parameters(), "ThrottlingException", "InternalFailure"),
    ],
)
def test_a_fault_is_worded_as_the_protocol_of_the_service_does(aws, client, service, call, throttled, failed):
    for kind, expected in (("throttle", throttled), ("server-error", failed)):
        aws.disturb(kind, service=service)
        with pytest.raises(ClientError) as raised:
            call(client(service))
        assert code(raised) == expected


def test_services_that_share_a_signing_name_are_told_apart(aws, client):
    assert client("elbv2").describe_load_balancers()["LoadBalancers"] == []
    assert client("elb").describe_load_balancers()["LoadBalancerDescriptions"] == []
    assert [(call.service, call.operation, call.error) for call in aws.calls] == [
        ("elbv2", "DescribeLoadBalancers", None),
        ("elb", "DescribeLoadBalancers", None),
    ]


def test_a_reset_forgets_the_resources_of_every_service(aws, group):
    ssm, sqs = aws.client("ssm", "eu-west-1"), aws.client("sqs")
    ssm.put_parameter(Name="/a", Value="b", Type="String")
    sqs.create_queue(QueueName="q")
    aws.codepipeline.create("web", {})
    aws.health.open()
    aws.ec2.page_size = 1
    aws.disturb("cut")
    aws.reset()
    assert ssm.describe_parameters()["Parameters"] == []
    assert "QueueUrls" not in sqs.list_queues()
    assert [it["GroupName"] for it in aws.client("ec2").describe_security_groups()["SecurityGroups"]] == ["default"]
    assert aws.health.events == {} and aws.ec2.page_size == 1000 and aws.calls == []
    with pytest.raises(ClientError) as raised:
        aws.client("codepipeline").get_pipeline_state(name="web")
    assert code(raised) == "PipelineNotFoundException"


def test_a_lost_reply_takes_effect_and_a_cut_does_not(aws, client, group):
    for kind, expected in (("cut", set()), ("lost-reply", {"240.0.0.0/24"})):
        aws.disturb(kind, operation="AuthorizeSecurityGroupIngress")
        with pytest.raises(ConnectionClosedError):
            client().authorize_security_group_ingress(GroupId=group, IpPermissions=web("240.0.0.0/24"))
        assert rules(aws, group) == expected


def test_a_fault_stays_in_its_region(aws, client):
    aws.disturb("cut", region="eu-west-1", times=None)
    assert client(region="us-east-1").describe_vpcs()["Vpcs"]
    with pytest.raises(ConnectionClosedError):
        client(region="eu-west-1").describe_vpcs()
    aws.calm()
    assert client(region="eu-west-1").describe_vpcs()["Vpcs"]


def test_calls_behind_the_scenes_are_neither_recorded_nor_disturbed(aws):
    aws.disturb("cut", times=None)
    assert aws.client("ec2").describe_vpcs()["Vpcs"]
    assert aws.calls == []


def test_requests_are_held_to_the_limits_of_the_model(client):
    with pytest.raises(ClientError) as raised:
        client().describe_security_groups(MaxResults=1001)
    assert code(raised) == "InvalidParameterValue" and "1000" in str(raised.value)


def test_a_handler_cannot_answer_what_the_model_does_not_have(aws, client):
    aws.handlers["ec2", "DescribeVpcs"] = lambda call: {"Vpc": []}
    try:
        with pytest.raises(ClientError) as raised:
            client().describe_vpcs()
    finally:
        del aws.handlers["ec2", "DescribeVpcs"]
    assert code(raised) == "LocalAwsFault" and 'Unknown parameter in input: "Vpc"' in str(raised.value)
    (call,) = aws.calls
    assert "ValueError" in call.error and call.status == 400


@pytest.mark.parametrize("service", ["health", "codepipeline", "sns"])
def test_handlers_answer_and_refuse_in_the_protocol_of_the_client(aws, client, service):
    operation, method, asked, answered, refusal = {
        "health": (
            "DescribeEvents",
            "describe_events",
            {"filter": {"regions": ["us-east-1"]}, "maxResults": 10},
            {"events": [{"arn": "arn:aws:health:us-east-1::event/EC2/X/1", "service": "EC2"}]},
            "InvalidPaginationToken",
        ),
        "codepipeline": (
            "GetPipelineState",
            "get_pipeline_state",
            {"name": "web"},
            {"pipelineName": "web", "pipelineVersion": 1},
            "PipelineNotFoundException",
        ),
        "sns": ("Publish", "publish", {"TopicArn": "arn:t", "Message": "m"}, {"MessageId": "1"}, "NotFound"),
    }[service]
    seen = []

    def handler(call):
        seen.append(call.params)
        if len(seen) > 1:
            raise wire.AwsError(refusal, "no")
        return answered

    usual = dict(aws.handlers)
    aws.handlers[service, operation] = handler
    try:
        answer = getattr(client(service), method)(**asked)
        with pytest.raises(ClientError) as raised:
            getattr(client(service), method)(**asked)
    finally:
        aws.handlers.clear()
        aws.handlers.update(usual)
    assert {key: answer[key] for key in answered} == answered
    assert seen == [asked, asked]
    assert code(raised) == refusal
    assert [call.error for call in aws.calls] == [None, refusal]
