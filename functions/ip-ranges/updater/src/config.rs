//! Settings.

use std::fmt;
use std::str::FromStr;

use gatehouse_shared::env::Env;
use gatehouse_shared::fetch::PlainHttp;
use gatehouse_shared::region::Region;
use gatehouse_shared::sns::TopicArn;
use ip_ranges_planner::document::Selection;
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::Limits;

/// Settings, read once at cold start. Each field is the environment variable of the same name in
/// capitals, but where its comment names another.
#[derive(Debug, Clone)]
pub struct Config {
    /// `SERVICE`: service names as ip-ranges.json spells them.
    pub services: Vec<String>,
    /// `REGION` and `VPC_ID`: where the groups are kept.
    pub regions: Vec<RegionConfig>,
    /// `PORTS`: what the origin listens on.
    pub ports: Vec<PortRange>,
    /// Start of each group's name, and the value of the tag by which groups are found.
    pub prefix_name: String,
    /// `ADDRESS_FAMILIES`: which of the published ranges count.
    pub families: Vec<Family>,
    /// Keep only prefixes of these `region` values; empty keeps all.
    pub range_regions: Vec<String>,
    /// Join adjacent and contained prefixes.
    pub aggregate: bool,
    /// What follows the ranges.
    pub target: Target,
    /// What the first group of a pool lets out. Later groups take the posture of the earlier ones.
    pub egress: EgressPolicy,
    /// What happens to an interface that carries some groups of a pool, and not all.
    pub attach: AttachPolicy,
    /// Quotas of EC2, as they are in these accounts.
    pub limits: Limits,
    /// How large a prefix list may be. It counts with its size against the rules of every group that refers to it.
    pub max_entries_per_list: usize,
    /// The share, in percent, of the present ranges of a family that one run may remove.
    pub max_shrink_percent: usize,
    /// The only URL that is fetched.
    pub ip_ranges_url: String,
    /// Where that may be over plain HTTP: on loopback, and with `AWS_SAM_LOCAL=true`, as `sam local invoke` sets it,
    /// anywhere, since a container reaches its host under another name.
    pub plain_http: PlainHttp,
    /// Where a summary of each change or failure goes.
    pub notify_topic_arn: Option<TopicArn>,
    /// Log and answer the plan, change nothing.
    pub dry_run: bool,
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
    /// It is reported.
    Report,
}

impl Config {
    /// Reads the settings. `env` remembers everything that is wrong with them.
    #[must_use]
    pub fn from_env(env: &Env<'_>) -> Self {
        let plain_http = plain_http(env);
        Self {
            services: env.list("SERVICE").unwrap_or_else(|| vec!["CLOUDFRONT".to_owned()]),
            regions: regions(env),
            ports: env.list("PORTS").unwrap_or_else(|| vec![PortRange { from: 80, to: 80 }]),
            prefix_name: prefix_name(env),
            families: env.list("ADDRESS_FAMILIES").unwrap_or_else(|| Family::BOTH.to_vec()),
            range_regions: env.list("RANGE_REGIONS").unwrap_or_default(),
            aggregate: env.flag("AGGREGATE", true),
            target: env.parsed("TARGET").unwrap_or(Target::SecurityGroups),
            egress: env.parsed("EGRESS").unwrap_or(EgressPolicy::All),
            attach: env.parsed("ATTACH").unwrap_or(AttachPolicy::Follow),
            limits: Limits {
                rules_per_group: env.within("MAX_RULES_PER_GROUP", 1..=1_000).unwrap_or(60),
                groups_per_interface: env.within("MAX_GROUPS_PER_INTERFACE", 1..=16).unwrap_or(5),
            },
            max_entries_per_list: env.within("MAX_ENTRIES_PER_LIST", 1..=1_000).unwrap_or(60),
            max_shrink_percent: env.within("MAX_SHRINK_PERCENT", 0..=100).unwrap_or(50),
            ip_ranges_url: ip_ranges_url(env, plain_http),
            plain_http,
            notify_topic_arn: env.parsed("NOTIFY_TOPIC_ARN"),
            dry_run: env.flag("DRY_RUN", false),
        }
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

/// Joins `REGION` and `VPC_ID`. With one Region the items of `VPC_ID` are VPC ids; with several each
/// names its Region, `eu-west-1/vpc-0a1b2c3d`, since a VPC exists in one of them only.
fn regions(env: &Env<'_>) -> Vec<RegionConfig> {
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
fn prefix_name(env: &Env<'_>) -> String {
    let name = env.text("PREFIX_NAME").unwrap_or_else(|| "AUTOUPDATE".to_owned());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() > 64 || !name.bytes().all(allowed) || name.starts_with("sg-") {
        env.fault(
            "PREFIX_NAME",
            &name,
            "expected at most 64 letters, digits, dots, dashes or underscores, not beginning with sg-",
        );
    }
    name
}

fn plain_http(env: &Env<'_>) -> PlainHttp {
    if env.flag("AWS_SAM_LOCAL", false) { PlainHttp::Anywhere } else { PlainHttp::OnLoopback }
}

fn ip_ranges_url(env: &Env<'_>, plain_http: PlainHttp) -> String {
    const PUBLISHED: &str = "https://ip-ranges.amazonaws.com/ip-ranges.json";
    let url = env.text("IP_RANGES_URL").unwrap_or_else(|| PUBLISHED.to_owned());
    if !plain_http.admits(&url) {
        let reason = format!("expected an https URL such as {PUBLISHED}, or http on a loopback address");
        env.fault("IP_RANGES_URL", &url, &reason);
    }
    url
}

/// Ports from `from` to `to`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The lowest port.
    pub from: u16,
    /// The highest port.
    pub to: u16,
}

impl FromStr for PortRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (port(from), port(to)) {
            (Some(from), Some(to)) if from <= to => Ok(Self { from, to }),
            _ => Err("expected a port from 1 to 65535 or a range such as 8000-8010"),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to { write!(f, "{}", self.from) } else { write!(f, "{}-{}", self.from, self.to) }
    }
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "security-groups" => Ok(Self::SecurityGroups),
            "prefix-lists" => Ok(Self::PrefixLists),
            _ => Err("expected security-groups or prefix-lists"),
        }
    }
}

impl FromStr for EgressPolicy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            _ => Err("expected all or none"),
        }
    }
}

impl FromStr for AttachPolicy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "follow" => Ok(Self::Follow),
            "report" => Ok(Self::Report),
            _ => Err("expected follow or report"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_shared::env::EnvError;

    fn config(table: &[(&str, &str)]) -> Result<Config, EnvError> {
        let mut table = table.to_vec();
        table.push(("AWS_REGION", "eu-west-1"));
        let env = Env::of_table(&table);
        env.finish(Config::from_env(&env))
    }

    #[test]
    fn defaults_are_those_of_the_reference() {
        let config = config(&[]).unwrap();
        assert_eq!(config.services, ["CLOUDFRONT"]);
        assert_eq!(config.regions, [RegionConfig { name: "eu-west-1".parse().unwrap(), vpc_ids: vec![] }]);
        assert_eq!(config.ports, [PortRange { from: 80, to: 80 }]);
        assert_eq!(config.prefix_name, "AUTOUPDATE");
        assert_eq!(config.families, Family::BOTH);
        assert!(config.range_regions.is_empty() && config.aggregate && !config.dry_run);
        assert_eq!((config.target, config.egress), (Target::SecurityGroups, EgressPolicy::All));
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
            ("TARGET", "acl", "expected security-groups or prefix-lists"),
            ("EGRESS", "some", "expected all or none"),
            ("ATTACH", "maybe", "expected follow or report"),
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
