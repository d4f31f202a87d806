//! Settings.

use std::fmt;
use std::str::FromStr;

use gatehouse_shared::env::{Env, EnvError};
use ip_ranges_planner::document::Selection;
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::Limits;
use url::{Host, Url};

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
    /// Quotas of EC2, as they are in these accounts.
    pub limits: Limits,
    /// The share, in percent, of the present ranges of a family that one run may remove.
    pub max_shrink_percent: usize,
    /// The only URL that is fetched.
    pub ip_ranges_url: Url,
    /// Where a summary of each change or failure goes.
    pub notify_topic_arn: Option<String>,
    /// Log and answer the plan, change nothing.
    pub dry_run: bool,
}

/// A Region and the VPCs in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionConfig {
    /// Such as `eu-west-1`.
    pub name: String,
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

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, in one error.
    pub fn from_env(env: &Env<'_>) -> Result<Self, EnvError> {
        env.finish(Self {
            services: or_default(env.list("SERVICE"), "CLOUDFRONT"),
            regions: regions(env),
            ports: or_default(env.list("PORTS"), PortRange { from: 80, to: 80 }),
            prefix_name: prefix_name(env),
            families: match env.list("ADDRESS_FAMILIES") {
                families if families.is_empty() => vec![Family::Ipv4, Family::Ipv6],
                families => families,
            },
            range_regions: env.list("RANGE_REGIONS"),
            aggregate: env.flag("AGGREGATE", true),
            target: env.parsed("TARGET").unwrap_or(Target::SecurityGroups),
            egress: env.parsed("EGRESS").unwrap_or(EgressPolicy::All),
            limits: Limits {
                rules_per_group: within(env, "MAX_RULES_PER_GROUP", 60, 1, 1_000),
                groups_per_interface: within(env, "MAX_GROUPS_PER_INTERFACE", 5, 1, 16),
            },
            max_shrink_percent: within(env, "MAX_SHRINK_PERCENT", 50, 0, 100),
            ip_ranges_url: ip_ranges_url(env),
            notify_topic_arn: notify_topic_arn(env),
            dry_run: env.flag("DRY_RUN", false),
        })
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

fn or_default<T>(items: Vec<T>, default: impl Into<T>) -> Vec<T> {
    if items.is_empty() { vec![default.into()] } else { items }
}

/// A whole number within bounds, both included.
fn within(env: &Env<'_>, name: &str, default: usize, least: usize, most: usize) -> usize {
    match env.parsed(name) {
        Some(number) if (least..=most).contains(&number) => number,
        Some(number) => {
            env.fault(name, &number.to_string(), &format!("expected a whole number from {least} to {most}"));
            default
        }
        None => default,
    }
}

/// Joins `REGION` and `VPC_ID`. With one Region the items of `VPC_ID` are VPC ids; with several each
/// names its Region, `eu-west-1/vpc-0a1b2c3d`, since a VPC exists in one of them only.
fn regions(env: &Env<'_>) -> Vec<RegionConfig> {
    let mut names: Vec<String> = env.list("REGION");
    if names.is_empty() {
        names.extend(env.text("AWS_REGION"));
    }
    if names.is_empty() {
        env.fault("REGION", "", "expected a Region such as eu-west-1, since AWS_REGION is unset too");
    }
    let mut regions: Vec<RegionConfig> = Vec::new();
    for name in names {
        if !is_region(&name) {
            env.fault("REGION", &name, "expected the name of a Region such as eu-west-1");
        } else if !regions.iter().any(|region| region.name == name) {
            regions.push(RegionConfig { name, vpc_ids: Vec::new() });
        }
    }
    for item in env.list::<String>("VPC_ID") {
        let (region, vpc_id) = match item.split_once('/') {
            Some((region, vpc_id)) => (regions.iter_mut().find(|known| known.name == region), vpc_id),
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

/// The form of a Region's name: `eu-west-1`, `us-gov-west-1`.
fn is_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    parts.len() >= 3
        && parts.iter().all(|part| !part.is_empty())
        && parts[..parts.len() - 1].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_lowercase()))
        && parts[parts.len() - 1].bytes().all(|byte| byte.is_ascii_digit())
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

fn ip_ranges_url(env: &Env<'_>) -> Url {
    const PUBLISHED: &str = "https://ip-ranges.amazonaws.com/ip-ranges.json";
    let text = env.text("IP_RANGES_URL").unwrap_or_else(|| PUBLISHED.to_owned());
    let fault = |reason: &str| env.fault("IP_RANGES_URL", &text, reason);
    match Url::parse(&text) {
        Ok(url) if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)) => return url,
        Ok(_) => fault("expected https, or http on a loopback address"),
        Err(reason) => fault(&format!("expected a URL such as {PUBLISHED}: {reason}")),
    }
    // Never used: the fault above makes `finish` refuse the settings.
    Url::parse("https://invalid.invalid").expect("a constant URL parses")
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn notify_topic_arn(env: &Env<'_>) -> Option<String> {
    let arn = env.text("NOTIFY_TOPIC_ARN")?;
    let parts: Vec<&str> = arn.split(':').collect();
    if parts.len() != 6 || parts[0] != "arn" || parts[2] != "sns" || parts[3..].iter().any(|part| part.is_empty()) {
        env.fault(
            "NOTIFY_TOPIC_ARN",
            &arn,
            "expected the ARN of a topic such as arn:aws:sns:eu-west-1:123456789012:changes",
        );
    }
    Some(arn)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config(table: &[(&str, &str)]) -> Result<Config, EnvError> {
        let mut table = table.to_vec();
        table.push(("AWS_REGION", "eu-west-1"));
        Config::from_env(&Env::of_table(&table))
    }

    #[test]
    fn defaults_are_those_of_the_reference() {
        let config = config(&[]).unwrap();
        assert_eq!(config.services, ["CLOUDFRONT"]);
        assert_eq!(config.regions, [RegionConfig { name: "eu-west-1".into(), vpc_ids: vec![] }]);
        assert_eq!(config.ports, [PortRange { from: 80, to: 80 }]);
        assert_eq!(config.prefix_name, "AUTOUPDATE");
        assert_eq!(config.families, Family::BOTH);
        assert!(config.range_regions.is_empty() && config.aggregate && !config.dry_run);
        assert_eq!((config.target, config.egress), (Target::SecurityGroups, EgressPolicy::All));
        assert_eq!(config.limits, Limits { rules_per_group: 60, groups_per_interface: 5 });
        assert_eq!(config.max_shrink_percent, 50);
        assert_eq!(config.ip_ranges_url.as_str(), "https://ip-ranges.amazonaws.com/ip-ranges.json");
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
            ("AGGREGATE", "yes", "expected true or false"),
            ("MAX_RULES_PER_GROUP", "0", "from 1 to 1000"),
            ("MAX_GROUPS_PER_INTERFACE", "17", "from 1 to 16"),
            ("MAX_SHRINK_PERCENT", "101", "from 0 to 100"),
            ("PREFIX_NAME", "sg-mine", "expected at most 64"),
            ("PREFIX_NAME", "a b", "expected at most 64"),
            ("IP_RANGES_URL", "http://example.com/x", "expected https"),
            ("IP_RANGES_URL", "ip-ranges.json", "expected a URL"),
            ("REGION", "Europe", "expected the name of a Region"),
            ("VPC_ID", "subnet-1", "expected a VPC id"),
            ("VPC_ID", "us-east-1/vpc-1", "expected a VPC id"),
            ("NOTIFY_TOPIC_ARN", "changes", "expected the ARN"),
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
    fn loopback_may_do_without_tls() {
        for url in ["http://127.0.0.1:8080/ip-ranges.json", "http://localhost/x", "http://[::1]/x"] {
            assert!(config(&[("IP_RANGES_URL", url)]).is_ok(), "{url}");
        }
    }
}
