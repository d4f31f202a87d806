//! A security group as this function keeps it: its name, its tags, the rules in it that are ours.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, SecurityGroup};
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::ResourceState;
use ipnet::IpNet;

use crate::config::Adopt;
use crate::ports::PortRange;
use crate::tags::{self, ATTACH_TAG, PORT_TAG, PREFIX_NAME_TAG, Removing, SERVICE_TAG};
use crate::targets::{Label, NotKept, not_adopted, number};

/// What the groups of one service and port in one VPC have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolKey {
    /// The VPC.
    pub(crate) vpc_id: String,
    pub(crate) service: String,
    pub(crate) port: PortRange,
}

impl From<&PoolKey> for Label {
    fn from(key: &PoolKey) -> Self {
        let PoolKey { vpc_id, service, port } = key;
        Self { vpc_id: Some(vpc_id.clone()), service: service.clone(), port: Some(port.to_string()), family: None }
    }
}

/// A group that carries our tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// `sg-…`
    pub(crate) id: String,
    /// `<prefix name>_<service>_<port>_<number>`, unless somebody made it otherwise.
    pub(crate) name: String,
    /// The number at the end of its name; 0 where there is none.
    pub(crate) number: usize,
    /// The account that owns it; `None` for a group that this run created.
    pub(crate) owner_id: Option<String>,
    /// Where it belongs.
    pub(crate) key: PoolKey,
    /// Whether it is this function's own, or `ADOPT` includes it. One of which neither is true was adopted before: it is
    /// tagged with a document.
    pub(crate) is_kept: bool,
    /// What is in it.
    pub(crate) state: ResourceState,
    /// What it lets out.
    pub(crate) egress: Egress,
    /// The `syncToken` of each document that it is tagged with.
    pub(crate) sync_tokens: BTreeSet<u64>,
    /// The runs that tagged it to remove ranges, and did not take that back yet.
    pub(crate) removing: Vec<Removing>,
    /// Created by this run: EC2 may not know it everywhere yet.
    pub(crate) just_created: bool,
}

/// The outbound rules of a group. Groups on an interface add up: what one of them lets out, the interface lets out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Egress(BTreeSet<EgressRule>);

/// Protocol, ports and destination of an outbound rule, as EC2 describes them.
type EgressRule = (String, Option<i32>, Option<i32>, String);

/// EC2's word for every protocol and port.
const ALL_TRAFFIC: &str = "-1";

impl Egress {
    /// Reads the outbound rules that EC2 described.
    pub(crate) fn of(permissions: &[IpPermission]) -> Self {
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
    pub(crate) fn lets_all_out(&self, family: Family) -> bool {
        self.0.iter().any(|(protocol, _, _, to)| protocol == ALL_TRAFFIC && to == everywhere(family))
    }

    /// What EC2 lets out of a new group, at most.
    pub(crate) fn of_new_group() -> Self {
        Self(Family::BOTH.map(|family| (ALL_TRAFFIC.to_owned(), None, None, everywhere(family).to_owned())).into())
    }

    /// Without the rules that let everything of these families out.
    pub(crate) fn without(self, families: &[Family]) -> Self {
        let all: Vec<&str> = families.iter().map(|family| everywhere(*family)).collect();
        Self(
            self.0
                .into_iter()
                .filter(|(protocol, _, _, to)| protocol != ALL_TRAFFIC || !all.contains(&to.as_str()))
                .collect(),
        )
    }

    /// Whether every rule lets out only what `others`, taken together, let out as well.
    pub(crate) fn is_within<'a>(&self, others: impl Iterator<Item = &'a Self> + Clone) -> bool {
        let all_out = |family| others.clone().any(|other| other.lets_all_out(family));
        self.0.iter().all(|rule| {
            let is_covered = match (rule.3.contains('/'), rule.3.contains(':')) {
                (true, false) => all_out(Family::Ipv4),
                (true, true) => all_out(Family::Ipv6),
                // A group or a prefix list as the destination may stand for either family.
                (false, _) => all_out(Family::Ipv4) && all_out(Family::Ipv6),
            };
            is_covered || others.clone().any(|other| other.0.contains(rule))
        })
    }

    /// The rule that EC2 gives a new group, for this family; to revoke it.
    pub(crate) fn default_rule(family: Family) -> IpPermission {
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

/// The description of the groups of the pool. EC2 never changes it, nor the name, after a group is created.
pub(crate) fn description(key: &PoolKey) -> String {
    format!("{} ranges on port {}, kept by Gatehouse", key.service, key.port)
}

/// The name of a group of the pool.
pub(crate) fn name(prefix_name: &str, key: &PoolKey, number: usize) -> String {
    format!("{prefix_name}_{}_{}_{number}", key.service, key.port)
}

impl Group {
    /// An empty group, just created; `pending` where it is not ready.
    pub(crate) fn new(id: String, name: String, number: usize, key: PoolKey, pending: bool) -> Self {
        let state = ResourceState { pending, ..ResourceState::default() };
        Self {
            id,
            name,
            number,
            owner_id: None,
            key,
            is_kept: true,
            state,
            egress: Egress::of_new_group(),
            sync_tokens: BTreeSet::new(),
            removing: Vec::new(),
            just_created: true,
        }
    }

    /// Reads a group that EC2 described.
    ///
    /// Tags alone do not make a group this function's: whoever may tag a group could then have its rules removed, and the
    /// function's own groups attached to its interfaces. Name and description do, which EC2 never changes; any other group
    /// has to be named in `ADOPT`.
    ///
    /// # Errors
    ///
    /// Why the group is not kept.
    pub(crate) fn of(described: &SecurityGroup, prefix_name: &str, adopt: &Adopt) -> Result<Self, NotKept> {
        let id = described.group_id().ok_or(NotKept::Incomplete("GroupId"))?;
        let name = described.group_name().ok_or(NotKept::Incomplete("GroupName"))?;
        let vpc_id = described.vpc_id().ok_or(NotKept::Incomplete("VpcId"))?;
        let owner_id = described.owner_id().ok_or(NotKept::Incomplete("OwnerId"))?;
        let tag = |key| tags::tag(described.tags(), key);
        if tag(PREFIX_NAME_TAG) != Some(prefix_name) {
            return Err(
                format!("{id} does not have the tag {PREFIX_NAME_TAG}={prefix_name}; it was left as it is").into()
            );
        }
        let required = |key| {
            tag(key).ok_or_else(|| format!("{id} has the tag {PREFIX_NAME_TAG} and no tag {key}; it was left as it is"))
        };
        let service = required(SERVICE_TAG)?.to_owned();
        let port: PortRange = required(PORT_TAG)?.parse().map_err(|expected| {
            format!("{id} has a tag {PORT_TAG} that is not understood, {expected}; it was left as it is")
        })?;
        let key = PoolKey { vpc_id: vpc_id.to_owned(), service, port };
        let is_own = number(name) > 0
            && name == self::name(prefix_name, &key, number(name))
            && described.description() == Some(description(&key).as_str());
        let is_kept = is_own || adopt.includes(id);
        let sync_tokens = tags::sync_tokens(described.tags());
        if !is_kept && sync_tokens.is_empty() {
            let (expected, description) = (self::name(prefix_name, &key, 1), description(&key));
            let expected = format!("the name {expected} and the description {description:?}");
            return Err(not_adopted(id, name, &expected).into());
        }
        let state = ResourceState { pending: tag(ATTACH_TAG).is_some(), ..state(described.ip_permissions(), port) };
        Ok(Self {
            id: id.to_owned(),
            number: number(name),
            name: name.to_owned(),
            owner_id: Some(owner_id.to_owned()),
            key,
            is_kept,
            state,
            egress: Egress::of(described.ip_permissions_egress()),
            sync_tokens,
            removing: Removing::all(described.tags()).collect(),
            just_created: false,
        })
    }
}

/// Tells our rules from those of others: ours let a CIDR in by TCP on exactly the ports of the group.
///
/// Source of the counts: VPC User Guide, "Amazon VPC quotas": IPv4 and IPv6 rules are counted apart, and a rule that names
/// a group or prefix list counts in both. How much a prefix list weighs is not said here; EC2 says so when it is too much.
pub(crate) fn state(permissions: &[IpPermission], port: PortRange) -> ResourceState {
    let mut state = ResourceState::default();
    for permission in permissions {
        let ours = permission.ip_protocol() == Some("tcp")
            && permission.from_port() == Some(port.from.into())
            && permission.to_port() == Some(port.to.into());
        let cidrs = permission.ip_ranges().iter().map(IpRange::cidr_ip);
        let cidrs = cidrs.chain(permission.ipv6_ranges().iter().map(Ipv6Range::cidr_ipv6));
        for (index, cidr) in cidrs.enumerate() {
            match cidr.and_then(|cidr| cidr.parse().ok()) {
                Some(range) if ours => drop(state.ranges.insert(range)),
                _ if index < permission.ip_ranges().len() => state.foreign.ipv4 += 1,
                _ => state.foreign.ipv6 += 1,
            }
        }
        let both = permission.user_id_group_pairs().len() + permission.prefix_list_ids().len();
        state.foreign.ipv4 += both;
        state.foreign.ipv6 += both;
    }
    state
}

/// One permission that holds all the ranges, so that one call does.
///
/// To revoke rules, leave the description out: EC2 then removes the rules whatever their descriptions are. With one, it
/// removes only rules that have exactly this one, which rules of a person, or of another release, do not have.
///
/// Source: EC2 API reference, RevokeSecurityGroupIngress: "if the security group rule has a description, you do not need to
/// specify the description to revoke the rule".
pub(crate) fn permission(key: &PoolKey, ranges: &BTreeSet<IpNet>, description: Option<&str>) -> IpPermission {
    let description = description.map(str::to_owned);
    let permission =
        IpPermission::builder().ip_protocol("tcp").from_port(key.port.from.into()).to_port(key.port.to.into());
    ranges
        .iter()
        .fold(permission, |permission, range| match range {
            IpNet::V4(range) => permission
                .ip_ranges(IpRange::builder().cidr_ip(range.to_string()).set_description(description.clone()).build()),
            IpNet::V6(range) => permission.ipv6_ranges(
                Ipv6Range::builder().cidr_ipv6(range.to_string()).set_description(description.clone()).build(),
            ),
        })
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{PrefixListId, ResourceType, Tag, UserIdGroupPair};
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
        let state = state(&permissions, WEB);
        assert_eq!(state.ranges.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.0/24", "2001:db8::/32"]);
        assert_eq!(state.foreign, Foreign { ipv4: 4, ipv6: 3 });
    }

    fn note(kept: Result<Group, NotKept>) -> Result<Group, String> {
        kept.map_err(|why| match why {
            NotKept::Note(note) => note,
            NotKept::Incomplete(what) => panic!("no {what}"),
        })
    }

    #[test]
    fn a_group_is_read_from_its_tags() {
        let more = [(SERVICE_TAG, "S3"), (PORT_TAG, "8000-8010"), (ATTACH_TAG, "pending")];
        let group = SecurityGroup::builder()
            .group_id("sg-1")
            .group_name("AUTOUPDATE_S3_8000-8010_2")
            .description("S3 ranges on port 8000-8010, kept by Gatehouse")
            .vpc_id("vpc-1")
            .owner_id("123456789012")
            .set_tags(tags::of_new(ResourceType::SecurityGroup, "n", "AUTOUPDATE", &[], 7, more).tags)
            .build();
        let adopt = Adopt::Named(BTreeSet::new());
        let group = Group::of(&group, "AUTOUPDATE", &adopt).unwrap();
        assert_eq!((group.number, group.state.pending, group.sync_tokens), (2, true, BTreeSet::from([7])));
        let port = PortRange { from: 8000, to: 8010 };
        assert_eq!(group.key, PoolKey { vpc_id: "vpc-1".into(), service: "S3".into(), port });
    }

    #[test]
    fn a_group_without_our_tags_is_left_alone_with_a_reason() {
        let tagged = |tags: &[(&str, &str)]| {
            let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect();
            let group =
                SecurityGroup::builder().group_id("sg-1").group_name("web").vpc_id("vpc-1").owner_id("123456789012");
            note(Group::of(&group.set_tags(Some(tags)).build(), "A", &Adopt::Tagged)).unwrap_err()
        };
        assert!(tagged(&[]).contains("does not have the tag gatehouse:prefix-name=A"));
        assert!(tagged(&[(PREFIX_NAME_TAG, "B")]).contains("does not have the tag gatehouse:prefix-name=A"));
        assert!(tagged(&[(PREFIX_NAME_TAG, "A")]).contains("no tag gatehouse:service"));
        assert!(tagged(&[(PREFIX_NAME_TAG, "A"), (SERVICE_TAG, "S3"), (PORT_TAG, "web")]).contains("expected a port"));
    }

    #[test]
    fn a_description_without_what_every_group_has_is_incomplete() {
        let whole = || {
            let group = SecurityGroup::builder().group_id("sg-1").group_name("web").vpc_id("vpc-1");
            group.owner_id("123456789012")
        };
        for (group, expected) in [
            (whole().set_group_id(None), "GroupId"),
            (whole().set_group_name(None), "GroupName"),
            (whole().set_vpc_id(None), "VpcId"),
            (whole().set_owner_id(None), "OwnerId"),
        ] {
            let why = Group::of(&group.build(), "A", &Adopt::Tagged).unwrap_err();
            assert!(matches!(why, NotKept::Incomplete(what) if what == expected), "{why:?}");
        }
    }

    #[test]
    fn a_group_is_this_functions_by_what_ec2_never_changes_or_is_named_in_adopt() {
        let described = |name: &str, description: &str, has_followed: bool| {
            let more = [(SERVICE_TAG, "S3"), (PORT_TAG, "80")];
            let mut tags = tags::of_new(ResourceType::SecurityGroup, name, "A", &[], 7, more).tags.unwrap();
            tags.retain(|tag| has_followed || tags::sync_tokens(std::slice::from_ref(tag)).is_empty());
            let group = SecurityGroup::builder().group_id("sg-1").group_name(name).description(description);
            group.vpc_id("vpc-1").owner_id("123456789012").set_tags(Some(tags)).build()
        };
        let adopted = |name: &str, description: &str, adopt: &Adopt| {
            note(Group::of(&described(name, description, false), "A", adopt)).map(drop)
        };
        let none = Adopt::Named(BTreeSet::new());
        let description = "S3 ranges on port 80, kept by Gatehouse";
        assert!(adopted("A_S3_80_1", description, &none).is_ok());
        for (name, description) in [
            ("payroll-db", "database"),
            ("payroll-db", description),
            ("A_S3_80_1", "database"),
            ("A_S3_80_", description),
            ("A_S3_80_x", description),
            ("A_S3_80_01", description),
            ("A_EC2_80_1", description),
            ("B_S3_80_1", description),
            ("A_S3_443_1", "S3 ranges on port 443, kept by Gatehouse"),
        ] {
            let note = adopted(name, description, &none).unwrap_err();
            assert!(note.contains(name) && note.contains("add sg-1 to ADOPT"), "{note}");
            assert!(adopted(name, description, &Adopt::Named(["sg-2".to_owned()].into())).is_err());
            assert!(adopted(name, description, &Adopt::Named(["sg-1".to_owned()].into())).is_ok());
            assert!(adopted(name, description, &Adopt::Tagged).is_ok());
            // It was kept before: what carries it relied on that.
            assert!(!Group::of(&described(name, description, true), "A", &none).unwrap().is_kept);
        }
    }

    #[test]
    fn what_one_group_lets_out_is_compared_with_what_others_do() {
        let egress = |rules: &[(&str, &str)]| {
            Egress(rules.iter().map(|(protocol, to)| ((*protocol).to_owned(), None, None, (*to).to_owned())).collect())
        };
        let (ipv4, ipv6) = (("-1", "0.0.0.0/0"), ("-1", "::/0"));
        let cases: [(&[_], &[_], bool); 10] = [
            (&[], &[], true),
            (&[ipv4], &[], false),
            (&[ipv4], &[ipv4], true),
            (&[ipv4, ipv6], &[ipv4], false),
            (&[("tcp", "10.0.0.0/8")], &[ipv4], true),
            (&[("tcp", "10.0.0.0/8")], &[ipv6], false),
            (&[("tcp", "10.0.0.0/8")], &[("tcp", "10.0.0.0/8")], true),
            (&[("tcp", "2001:db8::/32")], &[ipv6], true),
            (&[("tcp", "pl-1")], &[ipv4], false),
            (&[("tcp", "pl-1")], &[ipv4, ipv6], true),
        ];
        for (one, others, expected) in cases {
            let others = [egress(others)];
            assert_eq!(egress(one).is_within(others.iter()), expected, "{one:?} {others:?}");
        }
        assert!(Egress::of_new_group().without(&Family::BOTH).is_within([].iter()));
    }
}
