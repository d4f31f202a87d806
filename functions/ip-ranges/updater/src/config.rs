//! Settings.

use std::collections::BTreeSet;
use std::str::FromStr;

use gatehouse_shared::chat::ChatTopic;
use gatehouse_shared::env::Reader;
use gatehouse_shared::fetch::PlainHttp;
use gatehouse_shared::one_of;
use gatehouse_shared::region::Region;
use gatehouse_shared::sns::TopicArn;
use ip_ranges_planner::document::Selection;
use ip_ranges_planner::family::Family;
use ip_ranges_planner::service::Service;

use crate::ports::PortRange;

/// Settings, read once at cold start. Each field is the environment variable of the same name in
/// capitals, but where its comment names another.
#[derive(Debug, Clone)]
pub struct Config {
    /// `SERVICE`: service names as ip-ranges.json spells them, each alone or with the Regions of its ranges:
    /// `S3@eu-west-1@eu-central-1`. These take the place of `RANGE_REGIONS` for that service.
    pub services: Vec<Service>,
    /// `REGION` and `VPC_ID`: where the groups are kept.
    pub regions: Vec<RegionConfig>,
    /// `PORTS`: what the origin listens on. Prefix lists and IP sets have no ports: it has no effect on them.
    pub ports: Vec<PortRange>,
    /// Start of each group's name, and the value of the tag by which groups are found. In the names of IP sets AWS WAF
    /// takes no dots.
    pub prefix_name: String,
    /// `ADDRESS_FAMILIES`: which of the published ranges count.
    pub families: Vec<Family>,
    /// Keep only prefixes of these `region` values; empty keeps all.
    pub range_regions: Vec<String>,
    /// Join adjacent and contained prefixes.
    pub aggregate: bool,
    /// What follows the ranges.
    pub target: Target,
    /// Which resources the IP sets are for; has no effect on other targets.
    pub waf_scope: WafScope,
    /// Whether missing groups, prefix lists or IP sets are created.
    pub create: CreatePolicy,
    /// Which groups and prefix lists are kept that this function did not make.
    pub adopt: Adopt,
    /// `TAGS`: what groups, lists, IP sets and parameters are tagged with besides the function's own tags, when it creates
    /// them.
    pub tags: Vec<CustomTag>,
    /// What the first group of a pool lets out. Later groups take the posture of the earlier ones.
    pub egress: EgressPolicy,
    /// What happens to an interface that carries some groups of a pool, and not all.
    pub attach: AttachPolicy,
    /// Quotas of EC2, as they are in these accounts.
    pub limits: Limits,
    /// How large a prefix list may be. It counts with its size against the rules of every group that refers to it.
    pub max_entries_per_list: usize,
    /// How many entries more than it has a prefix list may have, so that a new range needs no larger list. They count
    /// against the rules of every group that refers to it, and `max_entries_per_list` bounds them too.
    pub list_headroom: usize,
    /// The share, in percent, of the present ranges of a family that one run may remove.
    pub max_shrink_percent: usize,
    /// The only URL that is fetched.
    pub ip_ranges_url: String,
    /// Where that may be over plain HTTP: on loopback, and with `AWS_SAM_LOCAL=true`, as `sam local invoke` sets it,
    /// anywhere, since a container reaches its host under another name.
    pub plain_http: PlainHttp,
    /// How the names of the SSM parameters begin that hold the ids of the groups, prefix lists or IP sets; none: no
    /// parameter is written. All parameters below it belong to this function.
    pub parameter_prefix: Option<ParameterPrefix>,
    /// Where a summary of each change or failure goes.
    pub notify_topic_arn: Option<TopicArn>,
    /// The same for Amazon Q Developer in chat applications.
    pub chat_topic: Option<ChatTopic>,
    /// Log and answer the plan, change nothing.
    pub dry_run: bool,
}

/// Quotas of EC2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rules in a group; counted for IPv4 and IPv6 separately.
    pub rules_per_group: usize,
    /// Groups on an interface, and so the most groups that make sense for one service and port.
    pub groups_per_interface: usize,
}

/// A Region and the VPCs in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionConfig {
    /// Such as `eu-west-1`.
    pub name: Region,
    /// Empty: the default VPC.
    pub vpc_ids: Vec<String>,
}

/// What follows the ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Rules of security groups.
    SecurityGroups,
    /// Customer-managed prefix lists.
    PrefixLists,
    /// IP sets of AWS WAF.
    WafIpSets,
}

/// Which resources an IP set of AWS WAF is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WafScope {
    /// Load balancers, APIs and the like of its Region.
    Regional,
    /// CloudFront distributions. Such sets exist in us-east-1 alone.
    CloudFront,
}

/// What happens where a group, prefix list or IP set is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreatePolicy {
    /// It is created.
    Always,
    /// It is reported with the tags that it needs: only infrastructure as code creates any.
    Never,
}

/// A tag of `TAGS`, such as `team=edge`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomTag {
    pub key: String,
    /// Its value; may be empty.
    pub value: String,
}

impl FromStr for CustomTag {
    type Err = &'static str;

    /// Source: AWS WAF and SSM API references, Tag: the letters, digits and signs that every service takes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_taken = |c: char| c.is_alphanumeric() || " _.:/+-@".contains(c);
        let (key, value) = text.split_once('=').ok_or("expected a key and a value, such as team=edge")?;
        let (key, value) = (key.trim(), value.trim());
        let is_own = key == "Name" || key.starts_with("gatehouse:") || key.to_ascii_lowercase().starts_with("aws:");
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err("expected a key of 1 to 128 characters, and a value of at most 256");
        }
        if !key.chars().chain(value.chars()).all(is_taken) {
            return Err("expected letters, digits, spaces and the signs _.:/+-@");
        }
        if is_own {
            return Err("expected another key: Name, gatehouse:… and aws:… are not yours to set");
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

/// Which groups and prefix lists are kept that carry the tags of this function, and that it did not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopt {
    /// Those with these ids.
    Named(BTreeSet<String>),
    /// All: whoever may tag a group may then have this function open and close it.
    Tagged,
}

impl Adopt {
    /// Whether the group or list of this id is kept.
    #[must_use]
    pub fn includes(&self, id: &str) -> bool {
        match self {
            Self::Named(ids) => ids.contains(id),
            Self::Tagged => true,
        }
    }
}

/// What the first group of a pool lets out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EgressPolicy {
    /// What EC2 gives a new group: everything.
    All,
    /// Nothing.
    None,
}

/// What happens to an interface that carries some groups of a pool, and not all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachPolicy {
    /// It gets the others.
    Follow,
    /// It is reported, as a failure.
    Report,
    /// It is reported, as a note: others attach the groups, such as a deployment.
    Off,
}

impl Config {
    /// Reads the settings.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Option<Self> {
        let plain_http = plain_http(env);
        let target = env.parsed("TARGET").unwrap_or(Target::SecurityGroups);
        let waf_scope = env.parsed("WAF_SCOPE").unwrap_or(WafScope::Regional);
        let regions = regions(env);
        if (target, waf_scope) == (Target::WafIpSets, WafScope::CloudFront) {
            only_in_us_east_1(env, &regions);
        }
        Some(Self {
            services: services(env),
            regions,
            ports: env.list("PORTS").unwrap_or_else(|| vec![PortRange { from: 80, to: 80 }]),
            prefix_name: prefix_name(env, target),
            families: env.list("ADDRESS_FAMILIES").unwrap_or_else(|| Family::BOTH.to_vec()),
            range_regions: env.list("RANGE_REGIONS").unwrap_or_default(),
            aggregate: env.flag("AGGREGATE", true),
            target,
            waf_scope,
            create: env.parsed("CREATE").unwrap_or(CreatePolicy::Always),
            adopt: adopt(env),
            tags: tags(env),
            egress: env.parsed("EGRESS").unwrap_or(EgressPolicy::All),
            attach: env.parsed("ATTACH").unwrap_or(AttachPolicy::Follow),
            limits: limits(env),
            list_headroom: env.within("LIST_HEADROOM", 0..=1_000).unwrap_or(0),
            max_entries_per_list: env.within("MAX_ENTRIES_PER_LIST", 1..=1_000).unwrap_or(60),
            max_shrink_percent: env.within("MAX_SHRINK_PERCENT", 0..=100).unwrap_or(50),
            ip_ranges_url: ip_ranges_url(env, plain_http),
            plain_http,
            parameter_prefix: env.parsed("PARAMETER_PREFIX"),
            notify_topic_arn: env.parsed("NOTIFY_TOPIC_ARN"),
            chat_topic: ChatTopic::from_env(env),
            dry_run: env.flag("DRY_RUN", false),
        })
    }
}

impl Config {
    /// Whether `SERVICE` names this one.
    #[must_use]
    pub fn has_service(&self, name: &str) -> bool {
        self.services.iter().any(|service| service.name == name)
    }
}

impl<'a> From<&'a Config> for Selection<'a> {
    fn from(config: &'a Config) -> Self {
        Self {
            services: &config.services,
            families: &config.families,
            range_regions: &config.range_regions,
            aggregate: config.aggregate,
        }
    }
}

/// Each service once: two lists of Regions for one service would be two answers to one question.
fn services(env: &Reader<'_>) -> Vec<Service> {
    let cloudfront = || vec![Service { name: "CLOUDFRONT".to_owned(), regions: BTreeSet::new() }];
    let services: Vec<Service> = env.list("SERVICE").unwrap_or_else(cloudfront);
    for (index, service) in services.iter().enumerate() {
        if services[..index].iter().any(|earlier| earlier.name == service.name) {
            env.fault(
                "SERVICE",
                &service.name,
                "expected each service once, with all its Regions, such as S3@eu-west-1@eu-central-1",
            );
        }
    }
    services
}

/// AWS takes 50 tags on a resource; the function needs up to ten of them.
fn tags(env: &Reader<'_>) -> Vec<CustomTag> {
    const MAX_TAGS: usize = 40;
    let tags: Vec<CustomTag> = env.list("TAGS").unwrap_or_default();
    let keys: BTreeSet<&str> = tags.iter().map(|tag| tag.key.as_str()).collect();
    if keys.len() < tags.len() || tags.len() > MAX_TAGS {
        env.fault("TAGS", &tags.len().to_string(), "expected each key once, and at most 40 tags");
    }
    tags
}

/// Source: VPC User Guide, "Amazon VPC quotas", security groups: the quota of groups on an interface "multiplied by the quota
/// for rules per security group cannot exceed 1,000".
fn limits(env: &Reader<'_>) -> Limits {
    const MAX_RULES_PER_INTERFACE: usize = 1_000;
    let rules_per_group: usize = env.within("MAX_RULES_PER_GROUP", 1..=1_000).unwrap_or(60);
    let groups_per_interface: usize = env.within("MAX_GROUPS_PER_INTERFACE", 1..=16).unwrap_or(5);
    let product = rules_per_group * groups_per_interface;
    if product > MAX_RULES_PER_INTERFACE {
        let reason = format!(
            "with MAX_GROUPS_PER_INTERFACE={groups_per_interface} these are {product} rules on an interface, and EC2 allows {MAX_RULES_PER_INTERFACE}: expected at most MAX_RULES_PER_GROUP={}, or fewer groups",
            MAX_RULES_PER_INTERFACE / groups_per_interface
        );
        env.fault("MAX_RULES_PER_GROUP", &rules_per_group.to_string(), &reason);
    }
    Limits { rules_per_group, groups_per_interface }
}

/// `tagged`, or ids of groups and prefix lists.
fn adopt(env: &Reader<'_>) -> Adopt {
    let items: Vec<String> = env.list("ADOPT").unwrap_or_default();
    if items == ["tagged"] {
        return Adopt::Tagged;
    }
    let is_id = |item: &str| {
        let id = ["sg-", "pl-"].iter().find_map(|start| item.strip_prefix(start)).unwrap_or_default();
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    for item in items.iter().filter(|item| !is_id(item)) {
        env.fault(
            "ADOPT",
            item,
            "expected ids of groups or prefix lists, such as sg-0a1b2c3d,pl-0a1b2c3d, or the word tagged alone",
        );
    }
    Adopt::Named(items.into_iter().collect())
}

/// Source: AWS WAF API reference, CreateIPSet, Scope: "To work with CloudFront, you must also specify the Region US East (N.
/// Virginia)".
fn only_in_us_east_1(env: &Reader<'_>, regions: &[RegionConfig]) {
    for region in regions.iter().filter(|region| region.name.as_str() != "us-east-1") {
        let reason = format!(
            "expected REGIONAL, or us-east-1 as the only REGION, which has {} now: IP sets for CloudFront exist there alone",
            region.name
        );
        env.fault("WAF_SCOPE", "CLOUDFRONT", &reason);
    }
}

/// Joins `REGION` and `VPC_ID`. With one Region the items of `VPC_ID` are VPC ids; with several each
/// names its Region, `eu-west-1/vpc-0a1b2c3d`, since a VPC exists in one of them only.
fn regions(env: &Reader<'_>) -> Vec<RegionConfig> {
    let names = env.list("REGION").or_else(|| env.parsed("AWS_REGION").map(|name| vec![name]));
    let names: Vec<Region> = names.unwrap_or_else(|| {
        env.fault("REGION", "", "expected a Region such as eu-west-1, since AWS_REGION is unset too");
        Vec::new()
    });
    let mut regions: Vec<RegionConfig> =
        names.into_iter().map(|name| RegionConfig { name, vpc_ids: Vec::new() }).collect();
    for item in env.list::<String>("VPC_ID").unwrap_or_default() {
        let (region, vpc_id) = match item.split_once('/') {
            Some((region, vpc_id)) => (regions.iter_mut().find(|known| known.name.as_str() == region), vpc_id),
            None if regions.len() == 1 => (regions.first_mut(), item.as_str()),
            None => (None, item.as_str()),
        };
        let well_formed = vpc_id
            .strip_prefix("vpc-")
            .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        match region {
            Some(region) if well_formed => {
                if !region.vpc_ids.iter().any(|known| known == vpc_id) {
                    region.vpc_ids.push(vpc_id.to_owned());
                }
            }
            _ => env.fault(
                "VPC_ID",
                &item,
                "expected a VPC id such as vpc-0a1b2c3d, and with several Regions each with one of them in front, such as eu-west-1/vpc-0a1b2c3d",
            ),
        }
    }
    regions
}

/// EC2 takes more characters in a name; these need no escaping anywhere and leave room for the rest.
///
/// Source for IP sets: AWS WAF API reference, CreateIPSet, Name: at most 128 characters of `[\w\-]`.
fn prefix_name(env: &Reader<'_>, target: Target) -> String {
    let name = env.text("PREFIX_NAME").unwrap_or_else(|| "AUTOUPDATE".to_owned());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() > 64 || !name.bytes().all(allowed) || name.starts_with("sg-") {
        env.fault(
            "PREFIX_NAME",
            &name,
            "expected at most 64 letters, digits, dots, dashes or underscores, not beginning with sg-",
        );
    }
    if target == Target::WafIpSets && name.contains('.') {
        env.fault(
            "PREFIX_NAME",
            &name,
            "expected letters, digits, dashes or underscores: AWS WAF takes no dots in names",
        );
    }
    name
}

fn plain_http(env: &Reader<'_>) -> PlainHttp {
    if env.flag("AWS_SAM_LOCAL", false) { PlainHttp::Anywhere } else { PlainHttp::OnLoopback }
}

fn ip_ranges_url(env: &Reader<'_>, plain_http: PlainHttp) -> String {
    const PUBLISHED: &str = "https://ip-ranges.amazonaws.com/ip-ranges.json";
    let url = env.text("IP_RANGES_URL").unwrap_or_else(|| PUBLISHED.to_owned());
    if !plain_http.admits(&url) {
        let reason = format!("expected an https URL such as {PUBLISHED}, or http on a loopback address");
        env.fault("IP_RANGES_URL", &url, &reason);
    }
    url
}

/// Levels below the prefix: the VPC where there are several, the service, the port or family.
const LEVELS_BELOW: usize = 3;
/// SSM's limit of levels in a name.
///
/// Source: Systems Manager API reference, PutParameter: "Parameter hierarchies are limited to a maximum depth of fifteen
/// levels", "A parameter name can't be prefixed with "aws" or "ssm" (case-insensitive)".
const MAX_LEVELS: usize = 15;
/// SSM takes 1,011 characters with the ARN in front; this leaves room for both ends.
const MAX_LENGTH: usize = 500;

/// `PARAMETER_PREFIX`: how the names of the parameters begin, such as `/gatehouse/ip-ranges`. No slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterPrefix(String);

impl ParameterPrefix {
    /// As it is set.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ParameterPrefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let levels: Vec<&str> = text.strip_prefix('/').map(|levels| levels.split('/').collect()).unwrap_or_default();
        let is_level = |level: &&str| !level.is_empty() && level.bytes().all(allowed);
        let first = levels.first().map(|level| level.to_ascii_lowercase()).unwrap_or_default();
        let is_reserved = first.starts_with("aws") || first.starts_with("ssm");
        let is_long = levels.len() + LEVELS_BELOW > MAX_LEVELS || text.len() > MAX_LENGTH;
        if levels.is_empty() || !levels.iter().all(is_level) || is_reserved || is_long {
            return Err(
                "expected a path such as /gatehouse/ip-ranges: at most 12 levels of letters, digits, dots, dashes or underscores, no slash at the end, not beginning with /aws or /ssm",
            );
        }
        Ok(Self(text.to_owned()))
    }
}

one_of!(Target: "security-groups" => SecurityGroups, "prefix-lists" => PrefixLists, "waf-ip-sets" => WafIpSets);
one_of!(WafScope: "REGIONAL" => Regional, "CLOUDFRONT" => CloudFront);
one_of!(CreatePolicy: "always" => Always, "never" => Never);
one_of!(EgressPolicy: "all" => All, "none" => None);
one_of!(AttachPolicy: "follow" => Follow, "report" => Report, "off" => Off);

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_shared::env::{Env, SettingsError};

    fn config(table: &[(&str, &str)]) -> Result<Config, SettingsError> {
        let mut table = table.to_vec();
        table.push(("AWS_REGION", "eu-west-1"));
        let env = Env::of_table(&table);
        env.read(Config::from_env)
    }

    #[test]
    fn what_is_adopted_is_named_by_id_or_all_that_is_tagged() {
        let adopt = |text: &str| config(&[("ADOPT", text)]).map(|config| config.adopt);
        assert_eq!(adopt("tagged").unwrap(), Adopt::Tagged);
        let named = adopt("sg-0a1b2c3d, pl-0a1b2c3d").unwrap();
        assert!(named.includes("sg-0a1b2c3d") && named.includes("pl-0a1b2c3d") && !named.includes("sg-1"));
        for wrong in ["tagged,sg-1", "sg-", "eni-1", "sg-1/2", "Tagged", "all"] {
            assert!(adopt(wrong).unwrap_err().to_string().contains("ADOPT"), "{wrong}");
        }
    }

    #[test]
    fn tags_of_the_estate_are_pairs_that_every_service_takes() {
        let tags = |text: &str| config(&[("TAGS", text)]).map(|config| config.tags);
        let pair = |key: &str, value: &str| CustomTag { key: key.to_owned(), value: value.to_owned() };
        assert_eq!(tags("team=edge, cost-center=").unwrap(), [pair("team", "edge"), pair("cost-center", "")]);
        let long = format!("{}=x", "k".repeat(129));
        let many = (0..41).map(|index| format!("k{index}=v")).collect::<Vec<_>>().join(",");
        for wrong in ["team", "=edge", "a=1,a=2", "Name=x", "gatehouse:port=80", "AWS:x=1", "a=<b>", &long, &many] {
            assert!(tags(wrong).unwrap_err().to_string().contains("TAGS"), "{wrong}");
        }
    }

    #[test]
    fn rules_times_groups_are_no_more_than_an_interface_takes() {
        let limits =
            |rules: &str, groups: &str| config(&[("MAX_RULES_PER_GROUP", rules), ("MAX_GROUPS_PER_INTERFACE", groups)]);
        for (rules, groups) in [("1000", "1"), ("200", "5"), ("62", "16"), ("60", "16")] {
            assert!(limits(rules, groups).is_ok(), "{rules} {groups}");
        }
        for (rules, groups) in [("1000", "16"), ("220", "5"), ("63", "16"), ("1000", "2")] {
            let error = limits(rules, groups).unwrap_err().to_string();
            assert!(error.contains("EC2 allows 1000"), "{error}");
        }
    }

    #[test]
    fn defaults_are_those_of_the_reference() {
        let config = config(&[]).unwrap();
        assert_eq!(config.services, ["CLOUDFRONT".parse().unwrap()]);
        assert_eq!(config.regions, [RegionConfig { name: "eu-west-1".parse().unwrap(), vpc_ids: vec![] }]);
        assert_eq!(config.ports, [PortRange { from: 80, to: 80 }]);
        assert_eq!(config.prefix_name, "AUTOUPDATE");
        assert_eq!(config.families, Family::BOTH);
        assert!(config.range_regions.is_empty() && config.aggregate && !config.dry_run);
        assert_eq!((config.target, config.egress), (Target::SecurityGroups, EgressPolicy::All));
        assert_eq!((config.waf_scope, config.create), (WafScope::Regional, CreatePolicy::Always));
        assert_eq!((&config.adopt, config.list_headroom), (&Adopt::Named(BTreeSet::new()), 0));
        assert!(config.tags.is_empty());
        assert_eq!(config.parameter_prefix, None);
        assert_eq!((config.attach, config.max_entries_per_list), (AttachPolicy::Follow, 60));
        assert_eq!(config.limits, Limits { rules_per_group: 60, groups_per_interface: 5 });
        assert_eq!(config.max_shrink_percent, 50);
        assert_eq!(config.ip_ranges_url, "https://ip-ranges.amazonaws.com/ip-ranges.json");
        assert_eq!(config.notify_topic_arn, None);
    }

    #[test]
    fn vpcs_go_to_their_regions() {
        let one = config(&[("VPC_ID", "vpc-1, vpc-2,vpc-1")]).unwrap();
        assert_eq!(one.regions[0].vpc_ids, ["vpc-1", "vpc-2"]);
        let two = config(&[("REGION", "eu-west-1,us-east-1"), ("VPC_ID", "us-east-1/vpc-9")]).unwrap();
        assert_eq!(two.regions[0].vpc_ids, Vec::<String>::new());
        assert_eq!(two.regions[1].vpc_ids, ["vpc-9"]);
    }

    #[test]
    fn each_fault_is_named_with_its_value_and_what_was_expected() {
        let cases = [
            ("PORTS", "0", "expected a port"),
            ("PORTS", "80-79", "expected a port"),
            ("PORTS", "70000", "expected a port"),
            ("PORTS", "http", "expected a port"),
            ("ADDRESS_FAMILIES", "ipv5", "expected ipv4 or ipv6"),
            ("SERVICE", "S3@", "expected a service such as S3"),
            ("SERVICE", "@eu-west-1", "expected a service such as S3"),
            ("TARGET", "acl", "expected security-groups, prefix-lists or waf-ip-sets"),
            ("WAF_SCOPE", "regional", "expected REGIONAL or CLOUDFRONT"),
            ("CREATE", "no", "expected always or never"),
            ("PARAMETER_PREFIX", "gatehouse", "expected a path such as /gatehouse/ip-ranges"),
            ("PARAMETER_PREFIX", "/gatehouse/", "no slash at the end"),
            ("PARAMETER_PREFIX", "/aws/gatehouse", "not beginning with /aws or /ssm"),
            ("EGRESS", "some", "expected all or none"),
            ("ATTACH", "maybe", "expected follow, report or off"),
            ("MAX_ENTRIES_PER_LIST", "1001", "expected a whole number from 1 to 1000"),
            ("PORTS", ",", "expected one or more values"),
            ("AGGREGATE", "yes", "expected true or false"),
            ("MAX_RULES_PER_GROUP", "0", "from 1 to 1000"),
            ("MAX_GROUPS_PER_INTERFACE", "17", "from 1 to 16"),
            ("MAX_SHRINK_PERCENT", "101", "from 0 to 100"),
            ("PREFIX_NAME", "sg-mine", "expected at most 64"),
            ("PREFIX_NAME", "a b", "expected at most 64"),
            ("IP_RANGES_URL", "http://example.com/x", "expected an https URL"),
            ("IP_RANGES_URL", "ip-ranges.json", "expected an https URL"),
            ("REGION", "Europe", "expected the name of a Region"),
            ("VPC_ID", "subnet-1", "expected a VPC id"),
            ("VPC_ID", "us-east-1/vpc-1", "expected a VPC id"),
            ("NOTIFY_TOPIC_ARN", "changes", "expected"),
        ];
        for (name, value, expected) in cases {
            let error = config(&[(name, value)]).unwrap_err().to_string();
            let start = format!("invalid settings: {name} is {value:?}: ");
            assert!(error.starts_with(&start) && error.contains(expected), "{name}={value}: {error}");
        }
    }

    #[test]
    fn a_service_is_named_once_with_all_its_regions() {
        let services = |text: &str| config(&[("SERVICE", text)]).map(|config| config.services);
        let read = services("S3@eu-west-1@eu-central-1,CLOUDFRONT").unwrap();
        assert_eq!(read, ["S3@eu-west-1@eu-central-1", "CLOUDFRONT"].map(|service| service.parse().unwrap()));
        // The same twice counts once.
        assert_eq!(services("S3@a@b,S3@b@a").unwrap().len(), 1);
        for text in ["S3@a,S3@b", "S3,S3@b", "S3@a,CLOUDFRONT,S3"] {
            let error = services(text).unwrap_err().to_string();
            assert_eq!(
                error,
                "invalid settings: SERVICE is \"S3\": expected each service once, with all its Regions, such as S3@eu-west-1@eu-central-1"
            );
        }
    }

    #[test]
    fn ip_sets_for_cloudfront_are_kept_in_us_east_1_alone() {
        let sets = ("TARGET", "waf-ip-sets");
        let cloudfront = ("WAF_SCOPE", "CLOUDFRONT");
        assert!(config(&[sets, ("WAF_SCOPE", "REGIONAL"), ("REGION", "eu-west-1,us-east-1")]).is_ok());
        assert!(config(&[sets, cloudfront, ("REGION", "us-east-1")]).is_ok());
        // The scope has no effect on other targets.
        assert!(config(&[cloudfront]).is_ok());
        for (region, wrong) in [("", "eu-west-1"), ("us-east-1,eu-central-1", "eu-central-1")] {
            let error = config(&[sets, cloudfront, ("REGION", region)]).unwrap_err().to_string();
            let expected =
                "invalid settings: WAF_SCOPE is \"CLOUDFRONT\": expected REGIONAL, or us-east-1 as the only REGION";
            assert!(error.starts_with(expected) && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn names_of_ip_sets_have_no_dots() {
        assert!(config(&[("PREFIX_NAME", "my.origin")]).is_ok());
        let error = config(&[("PREFIX_NAME", "my.origin"), ("TARGET", "waf-ip-sets")]).unwrap_err().to_string();
        assert!(error.contains("AWS WAF takes no dots in names"), "{error}");
        assert!(config(&[("PREFIX_NAME", "my-origin_1"), ("TARGET", "waf-ip-sets")]).is_ok());
    }

    #[test]
    fn a_plain_vpc_is_ambiguous_with_several_regions() {
        let error = config(&[("REGION", "eu-west-1,us-east-1"), ("VPC_ID", "vpc-1")]).unwrap_err();
        assert!(error.to_string().contains("eu-west-1/vpc-0a1b2c3d"), "{error}");
    }

    #[test]
    fn all_faults_are_reported_together() {
        let error = config(&[("PORTS", "x"), ("DRY_RUN", "maybe"), ("TARGET", "y")]).unwrap_err().to_string();
        for name in ["PORTS", "DRY_RUN", "TARGET"] {
            assert!(error.contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn what_is_given_twice_counts_once() {
        let config = config(&[
            ("SERVICE", "S3,S3"),
            ("PORTS", "80,80,443"),
            ("ADDRESS_FAMILIES", "ipv4,ipv4"),
            ("REGION", "eu-west-1,eu-west-1"),
        ])
        .unwrap();
        assert_eq!((config.services.len(), config.ports.len()), (1, 2));
        assert_eq!((config.families.len(), config.regions.len()), (1, 1));
    }

    #[test]
    fn the_document_may_come_over_plain_http_from_loopback_and_under_sam_from_anywhere() {
        for url in ["http://127.0.0.1:8080/ip-ranges.json", "http://localhost/x", "http://[::1]/x"] {
            assert!(config(&[("IP_RANGES_URL", url)]).is_ok(), "{url}");
        }
        let host = ("IP_RANGES_URL", "http://host.docker.internal:8080/ip-ranges.json");
        assert!(config(&[host]).is_err());
        assert!(config(&[host, ("AWS_SAM_LOCAL", "false")]).is_err());
        assert_eq!(config(&[host, ("AWS_SAM_LOCAL", "true")]).unwrap().plain_http, PlainHttp::Anywhere);
    }
}
