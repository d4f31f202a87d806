//! A security group as this function keeps it: its name, its tags, the rules in it that are ours.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, ResourceType, SecurityGroup, Tag, TagSpecification};
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::Slot;
use ipnet::IpNet;

use crate::config::PortRange;

/// The tag by which groups and prefix lists are found; its value is `PREFIX_NAME`. The function's policy lets it write to
/// nothing that does not carry it.
pub const PREFIX_NAME_TAG: &str = "gatehouse:prefix-name";
/// The tag that names the service.
pub const SERVICE_TAG: &str = "gatehouse:service";
/// The tag that names the port, or the address family of a prefix list.
pub const PORT_TAG: &str = "gatehouse:port";
/// The tag of a group that is still to be attached wherever the earlier groups of its pool are. It is there from the
/// group's first moment and is taken off when that is done, so a run that breaks in between is finished by the next one.
pub const ATTACH_TAG: &str = "gatehouse:attach";

/// What the groups of one service and port in one VPC have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolKey {
    /// The VPC.
    pub vpc_id: String,
    /// The service.
    pub service: String,
    /// The ports.
    pub port: PortRange,
}

/// A group that carries our tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `sg-…`
    pub id: String,
    /// `<prefix name>_<service>_<port>_<number>`, unless somebody made it otherwise.
    pub name: String,
    /// The number at the end of its name; 0 where there is none.
    pub number: usize,
    /// Where it belongs.
    pub key: PoolKey,
    /// What is in it.
    pub slot: Slot,
    /// What it lets out.
    pub egress: Egress,
}

/// The outbound rules of a group. Groups on an interface add up: what one of them lets out, the interface lets out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Egress(BTreeSet<EgressRule>);

/// Protocol, ports and destination of an outbound rule, as EC2 describes them.
type EgressRule = (String, Option<i32>, Option<i32>, String);

/// EC2's word for every protocol and port.
const ALL_TRAFFIC: &str = "-1";

impl Egress {
    /// Reads the outbound rules that EC2 described.
    #[must_use]
    pub fn of(permissions: &[IpPermission]) -> Self {
        let rules = permissions.iter().flat_map(|permission| {
            let protocol = permission.ip_protocol().unwrap_or_default();
            let cidrs = permission.ip_ranges().iter().filter_map(IpRange::cidr_ip);
            let cidrs = cidrs.chain(permission.ipv6_ranges().iter().filter_map(Ipv6Range::cidr_ipv6));
            let lists = permission.prefix_list_ids().iter().filter_map(|list| list.prefix_list_id());
            let groups = permission.user_id_group_pairs().iter().filter_map(|pair| pair.group_id());
            cidrs
                .chain(lists)
                .chain(groups)
                .map(move |to| (protocol.to_owned(), permission.from_port(), permission.to_port(), to.to_owned()))
        });
        Self(rules.collect())
    }

    /// Whether everything of the family may go out.
    #[must_use]
    pub fn lets_all_out(&self, family: Family) -> bool {
        self.0.iter().any(|(protocol, _, _, to)| protocol == ALL_TRAFFIC && to == everywhere(family))
    }

    /// The rule that EC2 gives a new group, for these families; to revoke it.
    #[must_use]
    pub fn default_rule(family: Family) -> IpPermission {
        let permission = IpPermission::builder().ip_protocol(ALL_TRAFFIC);
        let everywhere = everywhere(family);
        match family {
            Family::Ipv4 => permission.ip_ranges(IpRange::builder().cidr_ip(everywhere).build()),
            Family::Ipv6 => permission.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(everywhere).build()),
        }
        .build()
    }
}

fn everywhere(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "0.0.0.0/0",
        Family::Ipv6 => "::/0",
    }
}

/// The name of a group of the pool.
#[must_use]
pub fn name(prefix_name: &str, key: &PoolKey, number: usize) -> String {
    format!("{prefix_name}_{}_{}_{number}", key.service, key.port)
}

impl Group {
    /// An empty group, just created; `pending` where it is still to be attached.
    #[must_use]
    pub fn new(id: String, name: String, number: usize, key: PoolKey, pending: bool) -> Self {
        Self { id, name, number, key, slot: Slot { pending, ..Slot::default() }, egress: Egress::default() }
    }

    /// Reads a group that EC2 described.
    ///
    /// # Errors
    ///
    /// In words, why a group with our first tag cannot be kept: its other tags are missing or not understood.
    pub fn of(described: &SecurityGroup) -> Result<Self, String> {
        let id = described.group_id().unwrap_or_default().to_owned();
        let tag = |key| {
            tag(described.tags(), key)
                .ok_or_else(|| format!("{id} has the tag {PREFIX_NAME_TAG} and no tag {key}; it is left as it is"))
        };
        let service = tag(SERVICE_TAG)?.to_owned();
        let port: PortRange = tag(PORT_TAG)?.parse().map_err(|expected| {
            format!("{id} has a tag {PORT_TAG} that is not understood, {expected}; it is left as it is")
        })?;
        let name = described.group_name().unwrap_or_default().to_owned();
        let number = name.rsplit('_').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let key = PoolKey { vpc_id: described.vpc_id().unwrap_or_default().to_owned(), service, port };
        let slot = Slot {
            pending: self::tag(described.tags(), ATTACH_TAG).is_some(),
            ..slot(described.ip_permissions(), port)
        };
        let egress = Egress::of(described.ip_permissions_egress());
        Ok(Self { id, name, number, key, slot, egress })
    }
}

/// The value of a tag.
pub(crate) fn tag<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}

/// Tells our rules from those of others: ours let a CIDR in by TCP on exactly the ports of the group.
///
/// Source of the counts: VPC User Guide, "Amazon VPC quotas": IPv4 and IPv6 rules are counted apart, and a rule that names
/// a group or prefix list counts in both. How much a prefix list weighs is not said here; EC2 says so when it is too much.
pub(crate) fn slot(permissions: &[IpPermission], port: PortRange) -> Slot {
    let mut slot = Slot::default();
    for permission in permissions {
        let ours = permission.ip_protocol() == Some("tcp")
            && permission.from_port() == Some(port.from.into())
            && permission.to_port() == Some(port.to.into());
        let cidrs = permission.ip_ranges().iter().map(IpRange::cidr_ip);
        let cidrs = cidrs.chain(permission.ipv6_ranges().iter().map(Ipv6Range::cidr_ipv6));
        for (index, cidr) in cidrs.enumerate() {
            match cidr.and_then(|cidr| cidr.parse().ok()) {
                Some(range) if ours => drop(slot.ranges.insert(range)),
                _ if index < permission.ip_ranges().len() => slot.foreign.ipv4 += 1,
                _ => slot.foreign.ipv6 += 1,
            }
        }
        let both = permission.user_id_group_pairs().len() + permission.prefix_list_ids().len();
        slot.foreign.ipv4 += both;
        slot.foreign.ipv6 += both;
    }
    slot
}

/// One permission that holds all the ranges, so that one call does.
#[must_use]
pub fn permission(key: &PoolKey, ranges: &BTreeSet<IpNet>) -> IpPermission {
    let description = format!("{} range published by AWS, kept by Gatehouse", key.service);
    let permission =
        IpPermission::builder().ip_protocol("tcp").from_port(key.port.from.into()).to_port(key.port.to.into());
    ranges
        .iter()
        .fold(permission, |permission, range| match range {
            IpNet::V4(range) => {
                permission.ip_ranges(IpRange::builder().cidr_ip(range.to_string()).description(&description).build())
            }
            IpNet::V6(range) => permission
                .ipv6_ranges(Ipv6Range::builder().cidr_ipv6(range.to_string()).description(&description).build()),
        })
        .build()
}

/// The tags of something this function creates. `pending` marks a group that is still to be attached.
#[must_use]
pub fn tags(
    kind: ResourceType,
    name: &str,
    prefix_name: &str,
    service: &str,
    port: &str,
    pending: bool,
) -> TagSpecification {
    let attach = pending.then_some((ATTACH_TAG, "pending"));
    let pairs = [("Name", name), (PREFIX_NAME_TAG, prefix_name), (SERVICE_TAG, service), (PORT_TAG, port)];
    let tags = pairs.into_iter().chain(attach).map(|(key, value)| Tag::builder().key(key).value(value).build());
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags.collect())).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{PrefixListId, UserIdGroupPair};
    use ip_ranges_planner::plan::Foreign;

    const WEB: PortRange = PortRange { from: 80, to: 80 };

    fn cidrs(protocol: &str, port: i32, ipv4: &[&str], ipv6: &[&str]) -> IpPermission {
        IpPermission::builder()
            .ip_protocol(protocol)
            .from_port(port)
            .to_port(port)
            .set_ip_ranges(Some(ipv4.iter().map(|cidr| IpRange::builder().cidr_ip(*cidr).build()).collect()))
            .set_ipv6_ranges(Some(ipv6.iter().map(|cidr| Ipv6Range::builder().cidr_ipv6(*cidr).build()).collect()))
            .build()
    }

    #[test]
    fn only_tcp_cidr_rules_of_the_groups_port_are_ours() {
        let permissions = [
            cidrs("tcp", 80, &["192.0.2.0/24"], &["2001:db8::/32"]),
            cidrs("tcp", 443, &["198.51.100.0/24"], &[]),
            cidrs("udp", 80, &[], &["2001:db8:1::/48"]),
            IpPermission::builder()
                .ip_protocol("-1")
                .ip_ranges(IpRange::builder().cidr_ip("10.0.0.0/8").build())
                .build(),
            IpPermission::builder()
                .ip_protocol("tcp")
                .from_port(80)
                .to_port(80)
                .user_id_group_pairs(UserIdGroupPair::builder().group_id("sg-1").build())
                .prefix_list_ids(PrefixListId::builder().prefix_list_id("pl-1").build())
                .build(),
        ];
        let slot = slot(&permissions, WEB);
        assert_eq!(slot.ranges.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.0/24", "2001:db8::/32"]);
        assert_eq!(slot.foreign, Foreign { ipv4: 4, ipv6: 3 });
    }

    #[test]
    fn a_group_is_read_from_its_tags() {
        let group = SecurityGroup::builder()
            .group_id("sg-1")
            .group_name("AUTOUPDATE_S3_8000-8010_2")
            .vpc_id("vpc-1")
            .set_tags(tags(ResourceType::SecurityGroup, "n", "AUTOUPDATE", "S3", "8000-8010", true).tags)
            .build();
        let group = Group::of(&group).unwrap();
        assert_eq!((group.number, group.slot.pending), (2, true));
        let port = PortRange { from: 8000, to: 8010 };
        assert_eq!(group.key, PoolKey { vpc_id: "vpc-1".into(), service: "S3".into(), port });
    }

    #[test]
    fn a_group_without_our_tags_is_left_alone_with_a_reason() {
        let tagged = |tags: &[(&str, &str)]| {
            let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect();
            Group::of(&SecurityGroup::builder().group_id("sg-1").set_tags(Some(tags)).build()).unwrap_err()
        };
        assert!(tagged(&[(PREFIX_NAME_TAG, "A")]).contains("no tag gatehouse:service"));
        assert!(tagged(&[(SERVICE_TAG, "S3"), (PORT_TAG, "web")]).contains("expected a port"));
    }
}
