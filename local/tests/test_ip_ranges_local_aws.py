"""The local AWS WAF and Parameter Store themselves: what they admit and what they refuse."""

import botocore.config
import botocore.exceptions
import pytest


def refused(call, **arguments):
    """The code with which a call is refused."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


# IP sets -----------------------------------------------------------------------------------------------------------

FOUR = {"Scope": "REGIONAL", "IPAddressVersion": "IPV4"}


def identity(summary, scope="REGIONAL"):
    return {"Name": summary["Name"], "Id": summary["Id"], "Scope": scope}


def test_a_lock_token_is_good_for_one_change(client):
    waf = client("wafv2")
    made = waf.create_ip_set(Name="a", **FOUR, Addresses=["192.0.2.0/24"], Description="set a")["Summary"]
    it = identity(made)
    token = waf.update_ip_set(**it, Addresses=["198.51.100.0/24"], LockToken=made["LockToken"])["NextLockToken"]
    assert refused(waf.update_ip_set, **it, Addresses=[], LockToken=made["LockToken"]) == "WAFOptimisticLockException"
    read = waf.get_ip_set(**it)
    assert read["LockToken"] == token != made["LockToken"]
    assert read["IPSet"]["Addresses"] == ["198.51.100.0/24"]
    assert "Description" not in read["IPSet"], "an update replaces the description too"
    assert refused(waf.delete_ip_set, **it, LockToken=made["LockToken"]) == "WAFOptimisticLockException"
    waf.delete_ip_set(**it, LockToken=token)
    assert refused(waf.get_ip_set, **it) == "WAFNonexistentItemException"


def test_a_name_is_taken_once_in_a_region_and_scope(client):
    waf, elsewhere = client("wafv2"), client("wafv2", "eu-west-1")
    waf.create_ip_set(Name="a", **FOUR, Addresses=[])
    assert refused(waf.create_ip_set, Name="a", **FOUR, Addresses=[]) == "WAFDuplicateItemException"
    waf.create_ip_set(Name="a", Scope="CLOUDFRONT", IPAddressVersion="IPV4", Addresses=[])
    elsewhere.create_ip_set(Name="a", **FOUR, Addresses=[])
    arns = [it["ARN"] for scope in ("REGIONAL", "CLOUDFRONT") for it in waf.list_ip_sets(Scope=scope)["IPSets"]]
    assert [arn.split(":")[5].split("/")[0] for arn in arns] == ["regional", "global"]
    assert {arn.split(":")[3] for arn in arns} == {"us-east-1"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"Name": "a.b"},
        {"Name": "a" * 129},
        {"Description": "ranges; of AWS"},
        {"Description": "a" * 257},
        {"Tags": [{"Key": "k" * 129, "Value": "v"}]},
        {"Tags": [{"Key": "k", "Value": "v" * 257}]},
    ],
)
def test_names_descriptions_and_tags_have_the_form_that_aws_takes(client, wrong):
    call = client("wafv2", "us-east-1").create_ip_set
    assert refused(call, **{"Name": "a", **FOUR, "Addresses": []} | wrong) == "ValidationException"
    fine = "CLOUDFRONT ipv4 ranges of document 1786607225, kept by Gatehouse"
    call(Name="a" * 128, **FOUR, Addresses=[], Description=fine, Tags=[{"Key": "gatehouse:family", "Value": "ipv4"}])


def test_the_scope_cloudfront_exists_in_one_region(client):
    for call in (client("wafv2", "eu-west-1").list_ip_sets, client("wafv2", "us-west-2").list_ip_sets):
        assert refused(call, Scope="CLOUDFRONT") == "WAFInvalidParameterException"


@pytest.mark.parametrize("address", ["192.0.2.1/24", "0.0.0.0/0", "192.0.2.1", "2001:db8::/32", "example.com"])
def test_only_a_block_of_the_sets_own_version_is_taken(client, address):
    waf = client("wafv2")
    assert refused(waf.create_ip_set, Name="a", **FOUR, Addresses=[address]) == "WAFInvalidParameterException"
    made = waf.create_ip_set(Name="a", **FOUR, Addresses=[])["Summary"]
    code = refused(waf.update_ip_set, **identity(made), Addresses=[address], LockToken=made["LockToken"])
    assert code == "WAFInvalidParameterException"


def test_ipv6_comes_back_in_full_form(aws, client):
    waf = client("wafv2")
    made = waf.create_ip_set(Name="a", Scope="REGIONAL", IPAddressVersion="IPV6", Addresses=["2001:db8::/32"])
    read = waf.get_ip_set(**identity(made["Summary"]))["IPSet"]
    assert read["Addresses"] == ["2001:0db8:0000:0000:0000:0000:0000:0000/32"]
    assert aws.waf.named("a").networks == {"2001:db8::/32"}


def test_the_quotas_of_sets_and_addresses_hold(aws, client):
    waf = client("wafv2")
    many = [f"10.{index // 256}.{index % 256}.0/24" for index in range(10_001)]
    assert refused(waf.create_ip_set, Name="a", **FOUR, Addresses=many) == "WAFLimitsExceededException"
    waf.create_ip_set(Name="a", **FOUR, Addresses=many[1:])
    aws.waf.sets_per_region = 1
    assert refused(waf.create_ip_set, Name="b", **FOUR, Addresses=[]) == "WAFLimitsExceededException"
    waf.create_ip_set(Name="b", Scope="CLOUDFRONT", IPAddressVersion="IPV4", Addresses=[])


def test_calls_of_a_kind_are_limited_in_their_rate_where_asked(aws, client):
    waf = client("wafv2")
    aws.waf.writes_a_second, aws.waf.reads_a_second = 0.01, 0.01
    made = waf.create_ip_set(Name="a", **FOUR, Addresses=[])["Summary"]
    assert refused(waf.create_ip_set, Name="b", **FOUR, Addresses=[]) == "ThrottlingException"
    client("wafv2", "eu-west-1").create_ip_set(Name="b", **FOUR, Addresses=[])
    for call, arguments in (
        (waf.list_ip_sets, {"Scope": "REGIONAL"}),
        (waf.get_ip_set, identity(made)),
        (waf.list_tags_for_resource, {"ResourceARN": made["ARN"]}),
    ):
        call(**arguments)
        assert refused(call, **arguments) == "ThrottlingException"


def test_what_was_just_created_is_listed_later_where_asked(aws, client):
    waf = client("wafv2")
    for name in "ab":
        waf.create_ip_set(Name=name, **FOUR, Addresses=[])
    aws.waf.unlisted = 1
    listed = [[it["Name"] for it in waf.list_ip_sets(Scope="REGIONAL")["IPSets"]] for _ in range(2)]
    assert listed == [["a"], ["a", "b"]]


def test_sets_and_tags_come_in_pages(aws, client):
    waf = client("wafv2")
    tags = [{"Key": f"gatehouse:sync-token/{number}", "Value": "followed"} for number in range(3)]
    made = [waf.create_ip_set(Name=name, **FOUR, Addresses=[], Tags=tags)["Summary"] for name in "abc"]
    aws.waf.page_size = 2
    first = waf.list_ip_sets(Scope="REGIONAL")
    second = waf.list_ip_sets(Scope="REGIONAL", NextMarker=first["NextMarker"])
    assert [it["Name"] for it in first["IPSets"] + second["IPSets"]] == ["a", "b", "c"]
    last = waf.list_ip_sets(Scope="REGIONAL", NextMarker=second["NextMarker"])
    assert last["IPSets"] == [] and "NextMarker" not in last, "a marker follows every page but an empty one"
    page = waf.list_tags_for_resource(ResourceARN=made[0]["ARN"])
    rest = waf.list_tags_for_resource(ResourceARN=made[0]["ARN"], NextMarker=page["NextMarker"])
    assert page["TagInfoForResource"]["TagList"] + rest["TagInfoForResource"]["TagList"] == tags


def test_tags_are_added_replaced_and_removed(aws, client):
    waf = client("wafv2")
    arn = waf.create_ip_set(Name="a", **FOUR, Addresses=[])["Summary"]["ARN"]
    waf.tag_resource(ResourceARN=arn, Tags=[{"Key": "k", "Value": "1"}, {"Key": "l", "Value": "1"}])
    waf.tag_resource(ResourceARN=arn, Tags=[{"Key": "k", "Value": "2"}])
    waf.untag_resource(ResourceARN=arn, TagKeys=["l", "unknown"])
    assert aws.waf.named("a").tags == {"k": "2"}
    for call in (waf.tag_resource, waf.untag_resource):
        arguments = {"Tags": [{"Key": "k", "Value": "2"}]} if call == waf.tag_resource else {"TagKeys": ["k"]}
        assert refused(call, ResourceARN=arn.replace("/a/", "/b/"), **arguments) == "WAFNonexistentItemException"


# Parameters --------------------------------------------------------------------------------------------------------

LIST = {"Type": "StringList", "Value": "sg-1,sg-2"}


def test_a_parameter_is_overwritten_only_where_asked_and_keeps_its_type(aws, client):
    ssm = client("ssm")
    ssm.put_parameter(Name="/a/b", **LIST)
    assert refused(ssm.put_parameter, Name="/a/b", **LIST) == "ParameterAlreadyExists"
    string = {"Name": "/a/b", "Type": "String", "Value": "sg-3"}
    assert refused(ssm.put_parameter, **string, Overwrite=True) == "HierarchyTypeMismatchException"
    tags = [{"Key": "k", "Value": "v"}]
    assert refused(ssm.put_parameter, Name="/a/b", **LIST, Overwrite=True, Tags=tags) == "ValidationException"
    assert ssm.put_parameter(Name="/a/b", Value="sg-3", Overwrite=True)["Version"] == 2
    assert aws.parameters.under("/a") == {"/a/b": ["sg-3"]}
    assert aws.parameters.under("/a", "eu-west-1") == {}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("/a b", "ValidationException"),
        ("a/b", "ValidationException"),
        ("/a//b", "ValidationException"),
        ("/a/", "ValidationException"),
        ("/a/443@b", "ValidationException"),
        ("/ssm/a", "ValidationException"),
        ("/aws/a", "AccessDeniedException"),
        ("/a" * 16, "HierarchyLevelLimitExceededException"),
    ],
)
def test_a_parameter_has_a_name_that_aws_takes(client, name, code):
    assert refused(client("ssm").put_parameter, Name=name, **LIST) == code


def test_a_parameter_has_a_limited_length(client):
    ssm = client("ssm")
    ssm.put_parameter(Name="/a", Type="StringList", Value="x" * 4096)
    too_long = {"Type": "StringList", "Value": "x" * 4097}
    assert refused(ssm.put_parameter, Name="/b", **too_long) == "ValidationException"
    ssm.put_parameter(Name="/b", **too_long, Tier="Advanced")


def test_ten_parameters_are_read_at_once_and_unknown_ones_are_named(client):
    ssm = client("ssm")
    ssm.put_parameter(Name="/a", **LIST)
    read = ssm.get_parameters(Names=["/a", "/b"])
    assert [(it["Name"], it["Type"], it["Value"]) for it in read["Parameters"]] == [("/a", "StringList", "sg-1,sg-2")]
    assert read["InvalidParameters"] == ["/b"]
    assert refused(ssm.get_parameters, Names=[f"/{number}" for number in range(11)]) == "ValidationException"


def test_a_reset_forgets_sets_parameters_and_quotas(aws, client):
    client("wafv2").create_ip_set(Name="a", **FOUR, Addresses=[])
    client("ssm").put_parameter(Name="/a", **LIST)
    aws.waf.sets_per_region, aws.waf.reads_a_second, aws.waf.writes_a_second, aws.waf.unlisted = 1, 1, 1, 1
    aws.reset()
    assert aws.waf.sets == [] and aws.parameters.under("/") == {}
    assert (aws.waf.sets_per_region, aws.waf.reads_a_second, aws.waf.writes_a_second) == (100, None, None)
    assert aws.waf.unlisted == 0
