//! A security group as this function keeps it: its name, its tags, the rules in it that are ours.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, ResourceType, SecurityGroup, Tag, TagSpecification};
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::GroupState;
use ipnet::IpNet;

use crate::config::{Adopt, CustomTag, PortRange};

/// The tag by which groups and prefix lists are found, and which an IP set has to carry; its value is `PREFIX_NAME`. The function's policy lets it write to
/// nothing that does not carry it.
pub const PREFIX_NAME_TAG: &str = "gatehouse:prefix-name";
/// The tag that names the service.
pub const SERVICE_TAG: &str = "gatehouse:service";
/// The tag that names the port of a group.
pub const PORT_TAG: &str = "gatehouse:port";
/// The tag that names the address family of a prefix list or an IP set.
pub const FAMILY_TAG: &str = "gatehouse:family";
/// How the keys of the tags begin that name the `syncToken` of a document that a group or list followed. The key holds the
/// token, so a run with an older document never overwrites what a newer one wrote. It is written before the first rule of
/// that document, and those of older documents are removed afterwards.
pub const SYNC_TOKEN_TAG: &str = "gatehouse:sync-token/";
/// The tag of a group that is not ready: its outbound rules are still to be removed, or it is still to be attached wherever
/// the earlier groups of its pool are. It is there from the group's creation and is removed when both are done, so the next
/// run finishes what a run that broke began.
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

/// What the prefix lists of one service and family have in common, or whose addresses an IP set holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FamilyKey {
    /// The service.
    pub service: String,
    /// The address family.
    pub family: Family,
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
    /// The account that owns it; empty for a group that this run created.
    pub owner_id: String,
    /// Where it belongs.
    pub key: PoolKey,
    /// What is in it.
    pub state: GroupState,
    /// What it lets out.
    pub egress: Egress,
    /// The `syncToken` of each document that it is tagged with.
    pub sync_tokens: BTreeSet<u64>,
    /// Created by this run: EC2 may not know it everywhere yet.
    pub just_created: bool,
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

    /// What EC2 lets out of a new group, at most.
    #[must_use]
    pub fn of_new_group() -> Self {
        Self(Family::BOTH.map(|family| (ALL_TRAFFIC.to_owned(), None, None, everywhere(family).to_owned())).into())
    }

    /// Without the rules that let everything of these families out.
    #[must_use]
    pub fn without(self, families: &[Family]) -> Self {
        let all: Vec<&str> = families.iter().map(|family| everywhere(*family)).collect();
        Self(
            self.0
                .into_iter()
                .filter(|(protocol, _, _, to)| protocol != ALL_TRAFFIC || !all.contains(&to.as_str()))
                .collect(),
        )
    }

    /// Whether every rule lets out only what `others`, taken together, let out as well.
    #[must_use]
    pub fn is_within<'a>(&self, others: impl Iterator<Item = &'a Self> + Clone) -> bool {
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

/// The description of the groups of the pool. EC2 never changes it, nor the name, after a group is created.
#[must_use]
pub fn description(key: &PoolKey) -> String {
    format!("{} ranges on port {}, kept by Gatehouse", key.service, key.port)
}

/// The name of a group of the pool.
#[must_use]
pub fn name(prefix_name: &str, key: &PoolKey, number: usize) -> String {
    format!("{prefix_name}_{}_{}_{number}", key.service, key.port)
}

impl Group {
    /// An empty group, just created; `pending` where it is not ready.
    #[must_use]
    pub fn new(id: String, name: String, number: usize, key: PoolKey, pending: bool) -> Self {
        let state = GroupState { pending, ..GroupState::default() };
        Self {
            id,
            name,
            number,
            owner_id: String::new(),
            key,
            state,
            egress: Egress::of_new_group(),
            sync_tokens: BTreeSet::new(),
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
    /// In words, why the group is not kept.
    pub fn of(described: &SecurityGroup, prefix_name: &str, adopt: &Adopt) -> Result<Self, String> {
        let id = described.group_id().unwrap_or_default().to_owned();
        let tag = |key| tag(described.tags(), key);
        if tag(PREFIX_NAME_TAG) != Some(prefix_name) {
            return Err(format!("{id} does not have the tag {PREFIX_NAME_TAG}={prefix_name}; it was left as it is"));
        }
        let required = |key| {
            tag(key).ok_or_else(|| format!("{id} has the tag {PREFIX_NAME_TAG} and no tag {key}; it was left as it is"))
        };
        let service = required(SERVICE_TAG)?.to_owned();
        let port: PortRange = required(PORT_TAG)?.parse().map_err(|expected| {
            format!("{id} has a tag {PORT_TAG} that is not understood, {expected}; it was left as it is")
        })?;
        let name = described.group_name().unwrap_or_default().to_owned();
        let key = PoolKey { vpc_id: described.vpc_id().unwrap_or_default().to_owned(), service, port };
        let is_own = number(&name) > 0
            && name == self::name(prefix_name, &key, number(&name))
            && described.description() == Some(description(&key).as_str());
        if !is_own && !adopt.includes(&id) {
            let (expected, description) = (self::name(prefix_name, &key, 1), description(&key));
            return Err(not_adopted(&id, &name, &format!("the name {expected} and the description {description:?}")));
        }
        let state = GroupState { pending: tag(ATTACH_TAG).is_some(), ..state(described.ip_permissions(), port) };
        Ok(Self {
            id,
            number: number(&name),
            name,
            owner_id: described.owner_id().unwrap_or_default().to_owned(),
            key,
            state,
            egress: Egress::of(described.ip_permissions_egress()),
            sync_tokens: sync_tokens(described.tags()),
            just_created: false,
        })
    }
}

/// Why something with the tags of this function is left alone. `expected`: by what it would be known.
pub(crate) fn not_adopted(id: &str, name: &str, expected: &str) -> String {
    format!(
        "{id} ({name}) has the tags of this function and is not its own, which would have, say, {expected}; it was left as it is. If the function is to keep it, add {id} to ADOPT; if not, remove the tag {PREFIX_NAME_TAG}"
    )
}

/// The number at the end of a name; 0 where there is none.
pub(crate) fn number(name: &str) -> usize {
    name.rsplit('_').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The tokens of the documents that something is tagged with.
pub(crate) fn sync_tokens(tags: &[Tag]) -> BTreeSet<u64> {
    tags.iter().filter_map(|tag| tag.key()?.strip_prefix(SYNC_TOKEN_TAG)?.parse().ok()).collect()
}

/// What a run with the document of a sync token does to what is tagged with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// It may remove ranges until this time, in seconds since 1970-01-01, unless it says before that it is done.
    Until(i64),
    /// It removes nothing, or it is done.
    Done,
}

/// How the value of the tag begins while a run may remove ranges.
const UNTIL: &str = "until ";

/// The tag that says that something follows the document.
#[must_use]
pub fn sync_token_tag(sync_token: u64, follows: Follows) -> Tag {
    let value = match follows {
        Follows::Until(seconds) => format!("{UNTIL}{seconds}"),
        Follows::Done => "followed".to_owned(),
    };
    Tag::builder().key(sync_token_key(sync_token)).value(value).build()
}

/// The key of that tag.
pub(crate) fn sync_token_key(sync_token: u64) -> String {
    format!("{SYNC_TOKEN_TAG}{sync_token}")
}

/// No run lasts longer, in seconds: Lambda's longest time-out is 15 minutes.
const MAX_RUN: i64 = 2 * 3_600;

/// The tokens of the documents by which runs may be removing ranges at this time, in seconds since 1970-01-01. A time that
/// is further ahead than a run can last does not count.
pub(crate) fn in_progress(tags: &[Tag], now: i64) -> impl Iterator<Item = u64> {
    tags.iter().filter_map(move |tag| {
        let until: i64 = tag.value()?.strip_prefix(UNTIL)?.parse().ok()?;
        tag.key()?.strip_prefix(SYNC_TOKEN_TAG)?.parse().ok().filter(|_| (now + 1..=now + MAX_RUN).contains(&until))
    })
}

/// The value of a tag.
pub(crate) fn tag<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}

/// Tells our rules from those of others: ours let a CIDR in by TCP on exactly the ports of the group.
///
/// Source of the counts: VPC User Guide, "Amazon VPC quotas": IPv4 and IPv6 rules are counted apart, and a rule that names
/// a group or prefix list counts in both. How much a prefix list weighs is not said here; EC2 says so when it is too much.
pub(crate) fn state(permissions: &[IpPermission], port: PortRange) -> GroupState {
    let mut state = GroupState::default();
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

/// The description of each rule that this function writes.
#[must_use]
pub fn rule_description(service: &str) -> String {
    format!("{service} range published by AWS, kept by Gatehouse")
}

/// One permission that holds all the ranges, so that one call does.
///
/// To revoke rules, leave the description out: EC2 then removes the rules whatever their descriptions are. With one, it
/// removes only rules that have exactly this one, which rules of a person, or of another release, do not have.
///
/// Source: EC2 API reference, RevokeSecurityGroupIngress: "if the security group rule has a description, you do not need to
/// specify the description to revoke the rule".
#[must_use]
pub fn permission(key: &PoolKey, ranges: &BTreeSet<IpNet>, description: Option<&str>) -> IpPermission {
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

/// The tags of something this function creates; `more` are those of its kind, `custom` those of `TAGS`.
#[must_use]
pub fn tags<'a>(
    kind: ResourceType,
    name: &'a str,
    prefix_name: &'a str,
    custom: &'a [CustomTag],
    sync_token: u64,
    more: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> TagSpecification {
    let tag = |(key, value): (&str, &str)| Tag::builder().key(key).value(value).build();
    let custom = custom.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
    let pairs = [("Name", name), (PREFIX_NAME_TAG, prefix_name)].into_iter().chain(more).chain(custom);
    TagSpecification::builder()
        .resource_type(kind)
        .set_tags(Some(pairs.map(tag).collect()))
        .tags(sync_token_tag(sync_token, Follows::Done))
        .build()
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
        let state = state(&permissions, WEB);
        assert_eq!(state.ranges.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.0/24", "2001:db8::/32"]);
        assert_eq!(state.foreign, Foreign { ipv4: 4, ipv6: 3 });
    }

    #[test]
    fn a_group_is_read_from_its_tags() {
        let more = [(SERVICE_TAG, "S3"), (PORT_TAG, "8000-8010"), (ATTACH_TAG, "pending")];
        let group = SecurityGroup::builder()
            .group_id("sg-1")
            .group_name("AUTOUPDATE_S3_8000-8010_2")
            .description("S3 ranges on port 8000-8010, kept by Gatehouse")
            .vpc_id("vpc-1")
            .set_tags(tags(ResourceType::SecurityGroup, "n", "AUTOUPDATE", &[], 7, more).tags)
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
            let group = SecurityGroup::builder().group_id("sg-1").set_tags(Some(tags)).build();
            Group::of(&group, "A", &Adopt::Tagged).unwrap_err()
        };
        assert!(tagged(&[]).contains("does not have the tag gatehouse:prefix-name=A"));
        assert!(tagged(&[(PREFIX_NAME_TAG, "B")]).contains("does not have the tag gatehouse:prefix-name=A"));
        assert!(tagged(&[(PREFIX_NAME_TAG, "A")]).contains("no tag gatehouse:service"));
        assert!(tagged(&[(PREFIX_NAME_TAG, "A"), (SERVICE_TAG, "S3"), (PORT_TAG, "web")]).contains("expected a port"));
    }

    #[test]
    fn a_group_is_this_functions_by_what_ec2_never_changes_or_is_named_in_adopt() {
        let adopted = |name: &str, description: &str, adopt: &Adopt| {
            let more = [(SERVICE_TAG, "S3"), (PORT_TAG, "80")];
            let group = SecurityGroup::builder()
                .group_id("sg-1")
                .group_name(name)
                .description(description)
                .set_tags(tags(ResourceType::SecurityGroup, name, "A", &[], 7, more).tags)
                .build();
            Group::of(&group, "A", adopt).map(drop)
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
