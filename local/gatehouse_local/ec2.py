"""Where EC2 and its load balancers behave otherwise than moto.

- AuthorizeSecurityGroupIngress does all of a call or nothing of it.
- RevokeSecurityGroupIngress and RevokeSecurityGroupEgress likewise; in the default VPC they remove the rules that exist
  and name the others. A description that is sent has to be that of the rule.
- A group's quota counts IPv4 and IPv6 rules separately.
- DescribeSecurityGroups and DescribeNetworkInterfaces answer in pages; a filter by groups finds the interfaces that
  carry any of them.
- An interface carries a limited number of groups, of its own VPC or associated with it; one that a service or an
  operator manages cannot be changed by its owner. Those of an operator are described where the call includes them.
- The interfaces of a load balancer carry the balancer's groups. SetSecurityGroups turns the enforcement of inbound
  rules on PrivateLink traffic on, where it does not name it.
- Managed prefix lists have versions, states, a maximum of entries and at most 100 changes a call.
"""

import base64
import ipaddress
from dataclasses import dataclass, field
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.ec2.models import ec2_backends, elastic_network_interfaces
from moto.ec2.models.security_groups import SecurityGroup, SecurityGroupBackend
from moto.ec2.utils import generic_filter
from moto.moto_api._internal import mock_random

from gatehouse_local.parts import Front, Invocation
from gatehouse_local.wire import AwsError

ENTRIES_A_CALL = 100


class Ec2:
    """EC2's own rules, registered in front of moto. Tests may change the quotas.

    `page_size` caps the pages of the two Describe calls: small pages show that a client reads them all.
    """

    rules_per_group = 60
    groups_per_interface = 5
    page_size = 1000

    def __init__(self, aws: Front):
        self._aws = aws
        self._prefix_lists: dict[str, dict[str, PrefixList]] = {}
        self._operators: dict[str, str] = {}
        self._private_link: dict[str, str] = {}
        # moto adds IPv4 and IPv6 together; the check here takes its place.
        SecurityGroupBackend._verify_group_will_respect_rule_count_limit = lambda *_, **__: None
        elastic_network_interfaces.generic_filter = _matching_interfaces
        aws.handlers |= {
            ("ec2", "AuthorizeSecurityGroupIngress"): self._authorize_ingress,
            ("ec2", "RevokeSecurityGroupIngress"): self._revoke_ingress,
            ("ec2", "RevokeSecurityGroupEgress"): self._revoke_egress,
            ("ec2", "DescribeSecurityGroups"): lambda call: self._page(call, "SecurityGroups"),
            ("ec2", "DescribeNetworkInterfaces"): self._describe_interfaces,
            ("ec2", "ModifyNetworkInterfaceAttribute"): self._modify_interface,
            ("elbv2", "DescribeLoadBalancers"): self._describe_balancers,
            ("elbv2", "SetSecurityGroups"): self._set_balancer_groups,
            ("ec2", "CreateTags"): self._tag_prefix_lists,
            ("ec2", "DeleteTags"): self._tag_prefix_lists,
            ("ec2", "CreateManagedPrefixList"): self._create_prefix_list,
            ("ec2", "DescribeManagedPrefixLists"): self._describe_prefix_lists,
            ("ec2", "GetManagedPrefixListEntries"): self._prefix_list_entries,
            ("ec2", "ModifyManagedPrefixList"): self._modify_prefix_list,
        }

    def reset(self) -> None:
        """Back to EC2's defaults, without prefix lists."""
        self._prefix_lists.clear()
        self._operators.clear()
        self._private_link.clear()
        for name in ("rules_per_group", "groups_per_interface", "page_size"):
            self.__dict__.pop(name, None)

    # Arranging ---------------------------------------------------------------------------------

    def default_vpc(self, region: str = "us-east-1") -> str:
        """The id of the Region's default VPC."""
        vpcs = self._aws.client("ec2", region).describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])
        return vpcs["Vpcs"][0]["VpcId"]

    def create_interface(self, groups: list[str], description: str = "web server", region: str = "us-east-1") -> str:
        """A network interface in the default VPC that carries `groups`; its id."""
        client = self._aws.client("ec2", region)
        subnets = client.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [self.default_vpc(region)]}])["Subnets"]
        interface = client.create_network_interface(
            SubnetId=subnets[0]["SubnetId"], Groups=groups, Description=description
        )
        return interface["NetworkInterface"]["NetworkInterfaceId"]

    def create_load_balancer(self, name: str, groups: list[str], region: str = "us-east-1") -> tuple[str, str]:
        """An Application Load Balancer with one interface, as EC2 shows it; their ARN and id."""
        client = self._aws.client("ec2", region)
        subnets = client.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [self.default_vpc(region)]}])["Subnets"]
        balancer = self._aws.client("elbv2", region).create_load_balancer(
            Name=name, Subnets=[subnet["SubnetId"] for subnet in subnets[:2]], SecurityGroups=groups
        )["LoadBalancers"][0]
        arn = balancer["LoadBalancerArn"]
        interface = self.create_interface(groups, description=_elb_description(arn), region=region)
        self.give_to_service(interface, "amazon-elb", region)
        return arn, interface

    def give_to_service(self, interface: str, requester: str, region: str = "us-east-1") -> None:
        """Makes an interface one that a service manages for its owner."""
        moto_interface = ec2_backends[ACCOUNT_ID][region].enis[interface]
        moto_interface.requester_managed = True
        moto_interface.requester_id = requester

    def give_to_operator(self, interface: str, principal: str) -> None:
        """Makes an interface that of a managed instance, such as those of EKS Auto Mode."""
        self._operators[interface] = principal

    def vanish(self, group: str, region: str = "us-east-1") -> None:
        """Deletes a group without a call, so that a handler can do it while it answers one."""
        ec2_backends[ACCOUNT_ID][region].delete_security_group(group_id=group)

    def groups_of(self, interface: str, region: str = "us-east-1") -> list[str]:
        """The ids of the groups that an interface carries."""
        found = self._aws.client("ec2", region).describe_network_interfaces(NetworkInterfaceIds=[interface])
        return [group["GroupId"] for group in found["NetworkInterfaces"][0]["Groups"]]

    def gatehouse_groups(self, region: str = "us-east-1", prefix: str = "AUTOUPDATE") -> dict[str, dict[str, Any]]:
        """The groups that Gatehouse made, by name, as DescribeSecurityGroups gives them."""
        pages = (
            self._aws.client("ec2", region)
            .get_paginator("describe_security_groups")
            .paginate(Filters=[{"Name": "tag:gatehouse:prefix-name", "Values": [prefix]}])
        )
        groups = [group for page in pages for group in page["SecurityGroups"]]
        return {group["GroupName"]: group for group in sorted(groups, key=_by_number)}

    # Security groups -----------------------------------------------------------------------------

    def _authorize_ingress(self, call: "Invocation") -> dict[str, Any]:
        group = self._group(call)
        before = list(group.ingress_rules)
        try:
            answer = call.forward()
            self._check_quota(group)
        except AwsError:
            group.ingress_rules = before
            raise
        return answer

    def _revoke_ingress(self, call: "Invocation") -> dict[str, Any]:
        group = self._group(call)
        known, unknown = _known_and_unknown(group.ingress_rules, call.params["IpPermissions"])
        if unknown and not ec2_backends[ACCOUNT_ID][call.region].vpcs[group.vpc_id].is_default:
            raise AwsError("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
        group.ingress_rules = [rule for rule in group.ingress_rules if not any(rule is it for it in known)]
        return {"Return": True} | ({"UnknownIpPermissions": unknown} if unknown else {})

    def _revoke_egress(self, call: "Invocation") -> dict[str, Any]:
        group = self._group(call)
        before = list(group.egress_rules)
        vpc = ec2_backends[ACCOUNT_ID][call.region].vpcs[group.vpc_id]
        try:
            # moto passes over IPv6 ranges where the VPC has no IPv6 block; EC2 does not know such a rule.
            if vpc.get_cidr_block_association_set(ipv6=True) == [] and _has_ipv6(call.params["IpPermissions"]):
                raise AwsError(
                    "InvalidPermission.NotFound", "The specified rule does not exist in this security group."
                )
            return call.forward()
        except AwsError as error:
            group.egress_rules = before
            if error.code == "InvalidPermission.NotFound" and vpc.is_default:
                return {"Return": True, "UnknownIpPermissions": call.params["IpPermissions"]}
            raise

    def _group(self, call: "Invocation") -> SecurityGroup:
        group_id = call.params.get("GroupId", "")
        group = ec2_backends[ACCOUNT_ID][call.region].get_security_group_from_id(group_id)
        if group is None:
            raise AwsError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
        return group

    def _check_quota(self, group: SecurityGroup) -> None:
        families = {"CidrIp": 0, "CidrIpv6": 0}
        others = 0
        for rule in group.ingress_rules:
            family = next((key for key in families if key in (rule.ip_range or {})), None)
            if family:
                families[family] += 1
            else:
                others += 1
        if any(count + others > self.rules_per_group for count in families.values()):
            raise AwsError(
                "RulesPerSecurityGroupLimitExceeded",
                "The maximum number of rules per security group has been reached.",
            )

    def _page(self, call: "Invocation", key: str) -> dict[str, Any]:
        answer = call.forward()
        items = answer[key]
        start = _read_token(call.params.get("NextToken"))
        size = min(call.params.get("MaxResults", 1000), self.page_size)
        page: dict[str, Any] = {key: items[start : start + size]}
        if start + size < len(items):
            page["NextToken"] = _token(start + size)
        return page

    # Interfaces ----------------------------------------------------------------------------------

    def _describe_interfaces(self, call: "Invocation") -> dict[str, Any]:
        page = self._page(call, "NetworkInterfaces")
        shown = []
        for interface in page["NetworkInterfaces"]:
            if principal := self._operators.get(interface["NetworkInterfaceId"]):
                if "Filters" in call.params and not call.params.get("IncludeManagedResources"):
                    continue
                interface["Operator"] = {"Managed": True, "Principal": principal}
            shown.append(interface)
        return page | {"NetworkInterfaces": shown}

    def _modify_interface(self, call: "Invocation") -> dict[str, Any]:
        interface_id = call.params["NetworkInterfaceId"]
        backend = ec2_backends[ACCOUNT_ID][call.region]
        interface = backend.enis.get(interface_id)
        if interface_id in self._operators:
            raise AwsError("UnauthorizedOperation", "You are not authorized: a service provider manages this.", 403)
        if interface is not None:
            carried = {group.id for group in interface._group_set}
            added = [
                backend.get_security_group_from_id(it) for it in call.params.get("Groups", []) if it not in carried
            ]
            if any(group is not None and group.vpc_id != interface.subnet.vpc_id for group in added):
                raise AwsError(
                    "InvalidGroup.NotFound", "You have specified two resources that belong to different networks."
                )
        if interface is not None and interface.requester_managed:
            raise AwsError("AuthFailure", "You do not have permission to access the specified resource.", 400)
        if len(call.params.get("Groups", [])) > self.groups_per_interface:
            raise AwsError(
                "SecurityGroupsPerInterfaceLimitExceeded",
                "The maximum number of security groups per interface has been reached.",
            )
        return call.forward()

    def _describe_balancers(self, call: "Invocation") -> dict[str, Any]:
        answer = call.forward()
        for balancer in answer["LoadBalancers"]:
            if balancer["Type"] == "network":
                enforced = self._private_link.get(balancer["LoadBalancerArn"], "on")
                balancer["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] = enforced
        return answer

    def _set_balancer_groups(self, call: "Invocation") -> dict[str, Any]:
        answer = call.forward()
        enforced = call.params.get("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic", "on")
        self._private_link[call.params["LoadBalancerArn"]] = enforced
        backend = ec2_backends[ACCOUNT_ID][call.region]
        groups = [backend.get_security_group_from_id(group) for group in call.params["SecurityGroups"]]
        for interface in backend.enis.values():
            if interface.description == _elb_description(call.params["LoadBalancerArn"]):
                interface._group_set = groups
        return answer

    # Managed prefix lists ------------------------------------------------------------------------

    def _create_prefix_list(self, call: "Invocation") -> dict[str, Any]:
        tags = [
            tag
            for specification in call.params.get("TagSpecifications", [])
            if specification["ResourceType"] == "prefix-list"
            for tag in specification["Tags"]
        ]
        prefix_list = PrefixList(
            id=f"pl-{mock_random.get_random_hex(17)}",
            name=call.params["PrefixListName"],
            family=call.params["AddressFamily"],
            max_entries=call.params["MaxEntries"],
            region=call.region,
            tags=tags,
            state="create-complete",
        )
        prefix_list.change(call.params.get("Entries", []), [])
        self._prefix_lists.setdefault(call.region, {})[prefix_list.id] = prefix_list
        return {"PrefixList": prefix_list.described()}

    def _describe_prefix_lists(self, call: "Invocation") -> dict[str, Any]:
        found = list(self._prefix_lists.get(call.region, {}).values())
        if ids := call.params.get("PrefixListIds"):
            found = [prefix_list for prefix_list in found if prefix_list.id in ids]
        for condition in call.params.get("Filters", []):
            found = [prefix_list for prefix_list in found if prefix_list.matches(condition)]
        return {"PrefixLists": [prefix_list.observed() for prefix_list in found]}

    def _prefix_list_entries(self, call: "Invocation") -> dict[str, Any]:
        entries = [
            {"Cidr": cidr, "Description": description} for cidr, description in self._prefix_list(call).entries.items()
        ]
        start = _read_token(call.params.get("NextToken"))
        size = call.params.get("MaxResults", 100)
        page: dict[str, Any] = {"Entries": entries[start : start + size]}
        if start + size < len(entries):
            page["NextToken"] = _token(start + size)
        return page

    def _tag_prefix_lists(self, call: "Invocation") -> dict[str, Any]:
        """CreateTags and DeleteTags; moto has its own answer for everything but these lists."""
        ids = call.params["Resources"]
        if not all(resource.startswith("pl-") for resource in ids):
            return call.forward()
        keys = {tag["Key"] for tag in call.params["Tags"]}
        for resource in ids:
            prefix_list = self._prefix_lists[call.region][resource]
            others = [tag for tag in prefix_list.tags if tag["Key"] not in keys]
            prefix_list.tags = others + (call.params["Tags"] if call.name == "CreateTags" else [])
        return {}

    def _modify_prefix_list(self, call: "Invocation") -> dict[str, Any]:
        prefix_list = self._prefix_list(call)
        added, removed = call.params.get("AddEntries", []), call.params.get("RemoveEntries", [])
        if prefix_list.state.endswith("-in-progress"):
            raise AwsError("IncorrectState", f"The prefix list {prefix_list.id} is in state {prefix_list.state}")
        if "MaxEntries" in call.params:
            if added or removed:
                raise AwsError(
                    "InvalidParameterCombination",
                    "You cannot modify the entries and the maximum entries in the same request.",
                )
            if call.params["MaxEntries"] < len(prefix_list.entries):
                raise AwsError("InvalidParameterValue", "MaxEntries is less than the number of entries")
            prefix_list.max_entries = call.params["MaxEntries"]
        if added or removed:
            if (seen := call.params.get("CurrentVersion")) != prefix_list.version:
                raise AwsError(
                    "PrefixListVersionMismatch",
                    f"The prefix list has the version {prefix_list.version}, not {seen}",
                )
            prefix_list.change(added, removed)
            prefix_list.version += 1
        prefix_list.state = "modify-in-progress"
        return {"PrefixList": prefix_list.described()}

    def _prefix_list(self, call: "Invocation") -> "PrefixList":
        wanted = call.params["PrefixListId"]
        try:
            return self._prefix_lists[call.region][wanted]
        except KeyError:
            raise AwsError("InvalidPrefixListID.NotFound", f"The prefix list ID '{wanted}' does not exist") from None


@dataclass
class PrefixList:
    """A customer-managed prefix list. `entries` maps a CIDR to its description."""

    id: str
    name: str
    family: str
    max_entries: int
    region: str
    tags: list[dict[str, str]]
    state: str
    version: int = 1
    entries: dict[str, str] = field(default_factory=dict)

    def change(self, added: list[dict[str, str]], removed: list[dict[str, str]]) -> None:
        """Adds and removes entries: all of them, or none and an AwsError."""
        if max(len(added), len(removed)) > ENTRIES_A_CALL:
            raise AwsError("InvalidParameterValue", f"at most {ENTRIES_A_CALL} entries can be changed in a call")
        entries = dict(self.entries)
        for entry in removed:
            if entries.pop(entry["Cidr"], None) is None:
                raise AwsError("InvalidParameterValue", f"{entry['Cidr']} is not an entry of {self.id}")
        for entry in added:
            if f"IPv{ipaddress.ip_network(entry['Cidr']).version}" != self.family:
                raise AwsError("InvalidParameterValue", f"{entry['Cidr']} is not {self.family}")
            entries[entry["Cidr"]] = entry.get("Description", "")
        if len(entries) > self.max_entries:
            raise AwsError(
                "PrefixListMaxEntriesExceeded",
                f"{self.id} would have {len(entries)} entries; it can have {self.max_entries}",
            )
        self.entries = entries

    def matches(self, condition: dict[str, Any]) -> bool:
        """Whether the list passes one filter of DescribeManagedPrefixLists."""
        name = condition["Name"]
        if name.startswith("tag:"):
            values = [tag["Value"] for tag in self.tags if tag["Key"] == name.removeprefix("tag:")]
        else:
            values = [{"owner-id": ACCOUNT_ID, "prefix-list-id": self.id, "prefix-list-name": self.name}[name]]
        return any(value in condition["Values"] for value in values)

    def observed(self) -> dict[str, Any]:
        """As described now; a change in progress is complete at the next look."""
        seen = self.described()
        self.state = self.state.replace("-in-progress", "-complete")
        return seen

    def described(self) -> dict[str, Any]:
        """As DescribeManagedPrefixLists gives it."""
        return {
            "PrefixListId": self.id,
            "PrefixListName": self.name,
            "PrefixListArn": f"arn:aws:ec2:{self.region}:{ACCOUNT_ID}:prefix-list/{self.id}",
            "AddressFamily": self.family,
            "MaxEntries": self.max_entries,
            "Version": self.version,
            "State": self.state,
            "OwnerId": ACCOUNT_ID,
            "Tags": self.tags,
        }


def _matching_interfaces(filters: dict[str, Any] | None, interfaces: list[Any]) -> list[Any]:
    """An interface matches when it carries any of the groups of a filter; moto asks for all of them."""
    filters = dict(filters or {})
    groups = filters.pop("group-id", None)
    found = generic_filter(filters, interfaces)
    if groups is None:
        return found
    return [interface for interface in found if {group.id for group in interface._group_set} & set(groups)]


def _known_and_unknown(rules: list[Any], permissions: list[dict[str, Any]]) -> tuple[list[Any], list[dict[str, Any]]]:
    """The rules that `permissions` name by their CIDRs, and the permissions of CIDRs without a rule.

    EC2 compares protocol, ports and CIDR, and the description where one is sent.
    """
    known, unknown = [], []
    for permission in permissions:
        ports = {key: permission[key] for key in ("IpProtocol", "FromPort", "ToPort") if key in permission}
        for ranges in ("IpRanges", "Ipv6Ranges"):
            for sent in permission.get(ranges, []):
                same = [
                    rule
                    for rule in rules
                    if {"IpProtocol": rule.ip_protocol, "FromPort": rule.from_port, "ToPort": rule.to_port} == ports
                    and sent.items() <= (rule.ip_range or {}).items()
                ]
                known += same
                unknown += [] if same else [ports | {ranges: [sent]}]
    return known, unknown


def _has_ipv6(permissions: list[dict[str, Any]]) -> bool:
    return any(permission.get("Ipv6Ranges") for permission in permissions)


def _elb_description(load_balancer_arn: str) -> str:
    """What EC2 writes on a load balancer's interfaces: `ELB app/<name>/<id>`."""
    return f"ELB {load_balancer_arn.partition(':loadbalancer/')[2]}"


def _by_number(group: dict[str, Any]) -> tuple[str, int]:
    """`…_2` before `…_10`."""
    stem, _, number = group["GroupName"].rpartition("_")
    return (stem, int(number)) if number.isdigit() else (group["GroupName"], 0)


def _token(start: int) -> str:
    return base64.b64encode(str(start).encode()).decode()


def _read_token(token: str | None) -> int:
    return int(base64.b64decode(token)) if token else 0
