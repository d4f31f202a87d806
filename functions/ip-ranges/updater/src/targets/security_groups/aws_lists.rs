//! Prefix lists that AWS keeps itself: where one of them does all that is requested for a service, the report says so.

use ip_ranges_planner::family::Family;
use ip_ranges_planner::service::Service;

use crate::config::{Config, Target};

/// A list that AWS keeps.
struct AwsList {
    service: &'static str,
    family: Family,
    /// Its name; `{region}` stands for the Region.
    name: &'static str,
    /// How many rules of a group it takes.
    weight: usize,
    /// Whether it holds only the ranges of its own Region.
    is_regional: bool,
}

const fn list(service: &'static str, family: Family, name: &'static str, weight: usize, is_regional: bool) -> AwsList {
    AwsList { service, family, name, weight, is_regional }
}

/// Source: VPC User Guide, "AWS-managed prefix lists": names and weights. Lists of services that ip-ranges.json does not
/// name are left out. Those of CloudFront hold what connects to an origin, which is all that an origin's group has to admit.
///
/// The documentation does not say what a list holds. That of Route 53 holds the checkers of all Regions: Route 53 Developer
/// Guide, "Configuring router and firewall rules for Amazon Route 53 health checks", asks for that of the endpoint's own
/// Region alone, and an endpoint is checked from at least three.
const LISTS: [AwsList; 10] = [
    list("CLOUDFRONT", Family::Ipv4, "com.amazonaws.global.cloudfront.origin-facing", 55, false),
    list("CLOUDFRONT", Family::Ipv6, "com.amazonaws.global.ipv6.cloudfront.origin-facing", 55, false),
    list("CLOUDFRONT_ORIGIN_FACING", Family::Ipv4, "com.amazonaws.global.cloudfront.origin-facing", 55, false),
    list("CLOUDFRONT_ORIGIN_FACING", Family::Ipv6, "com.amazonaws.global.ipv6.cloudfront.origin-facing", 55, false),
    list("DYNAMODB", Family::Ipv4, "com.amazonaws.{region}.dynamodb", 1, true),
    list("EC2_INSTANCE_CONNECT", Family::Ipv4, "com.amazonaws.{region}.ec2-instance-connect", 2, true),
    list("EC2_INSTANCE_CONNECT", Family::Ipv6, "com.amazonaws.{region}.ipv6.ec2-instance-connect", 2, true),
    list("ROUTE53_HEALTHCHECKS", Family::Ipv4, "com.amazonaws.{region}.route53-healthchecks", 25, false),
    list("ROUTE53_HEALTHCHECKS", Family::Ipv6, "com.amazonaws.{region}.ipv6.route53-healthchecks", 25, false),
    list("S3", Family::Ipv4, "com.amazonaws.{region}.s3", 1, true),
];

/// One note for each service for which rules that refer to AWS's own lists do the same and fit in the group of one port.
pub(crate) fn notes(config: &Config, region: &str) -> Vec<String> {
    if config.target != Target::SecurityGroups {
        return Vec::new();
    }
    config.services.iter().filter_map(|service| note(config, region, service)).collect()
}

fn note(config: &Config, region: &str, service: &Service) -> Option<String> {
    let regions = if service.regions.is_empty() {
        config.range_regions.iter().collect::<Vec<_>>()
    } else {
        service.regions.iter().collect()
    };
    let has_the_same = |list: &AwsList| if list.is_regional { regions == [region] } else { regions.is_empty() };
    let list_of = |family: &Family| LISTS.iter().find(|list| list.service == service.name && list.family == *family);
    let lists = config.families.iter().map(list_of).collect::<Option<Vec<_>>>()?;
    // A group has one port, here and with these lists: more ports make more groups, not more rules in one.
    let weight = lists.iter().map(|list| list.weight).sum::<usize>();
    if !lists.iter().all(|list| has_the_same(list)) || weight > config.limits.rules_per_group {
        return None;
    }
    let names: Vec<String> = lists.iter().map(|list| list.name.replace("{region}", region)).collect();
    let group = if config.ports.len() == 1 { "a group" } else { "for each port a group" };
    let them = if names.len() == 1 { "it" } else { "them" };
    Some(format!(
        "AWS keeps {} itself: {group} whose rules refer to {them} needs no update for {}, and takes {weight} of {} rules",
        names.join(" and "),
        service.name,
        config.limits.rules_per_group
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_shared::env::Env;

    fn notes(table: &[(&str, &str)]) -> Vec<String> {
        let table: Vec<_> = table.iter().copied().chain([("AWS_REGION", "eu-west-1")]).collect();
        let env = Env::of_table(&table);
        super::notes(&env.read(Config::from_env).unwrap(), "eu-west-1")
    }

    #[test]
    fn a_list_that_does_all_that_is_asked_for_is_named() {
        let ipv4 = ("ADDRESS_FAMILIES", "ipv4");
        assert_eq!(
            notes(&[ipv4]),
            [
                "AWS keeps com.amazonaws.global.cloudfront.origin-facing itself: a group whose rules refer to it needs no update for CLOUDFRONT, and takes 55 of 60 rules"
            ]
        );
        let s3 = notes(&[ipv4, ("SERVICE", "S3@eu-west-1")]);
        assert!(s3.len() == 1 && s3[0].contains("com.amazonaws.eu-west-1.s3 itself"), "{s3:?}");
        assert_eq!(
            notes(&[("SERVICE", "ROUTE53_HEALTHCHECKS")]),
            [
                "AWS keeps com.amazonaws.eu-west-1.route53-healthchecks and com.amazonaws.eu-west-1.ipv6.route53-healthchecks itself: a group whose rules refer to them needs no update for ROUTE53_HEALTHCHECKS, and takes 50 of 60 rules"
            ]
        );
        for table in [
            // The lists of both families take more rules than one group has.
            &[][..],
            &[("PORTS", "80,443")],
            // The list holds other ranges than are requested.
            &[ipv4, ("SERVICE", "S3")],
            &[ipv4, ("SERVICE", "S3@us-east-1")],
            &[ipv4, ("RANGE_REGIONS", "GLOBAL")],
            &[ipv4, ("SERVICE", "API_GATEWAY")],
            &[ipv4, ("TARGET", "waf-ip-sets")],
        ] {
            assert_eq!(notes(table), Vec::<String>::new(), "{table:?}");
        }
    }

    #[test]
    fn the_weight_counts_in_the_group_of_each_port_by_itself() {
        let origin = ("SERVICE", "CLOUDFRONT_ORIGIN_FACING");
        for family in ["ipv4", "ipv6"] {
            let families = ("ADDRESS_FAMILIES", family);
            assert_eq!(notes(&[origin, families, ("PORTS", "443")]).len(), 1, "{family}");
            for ports in ["80,443", "80,443,8000-8010"] {
                let notes = notes(&[origin, families, ("PORTS", ports)]);
                assert!(
                    notes.len() == 1
                        && notes[0].contains(": for each port a group whose rules refer to it needs no update"),
                    "{family} {ports}: {notes:?}"
                );
                assert!(notes[0].ends_with("takes 55 of 60 rules"), "{family} {ports}: {notes:?}");
            }
        }
        // Both families, however many ports: what counts is the quota of one group.
        for (quota, expected) in [("109", 0), ("110", 1)] {
            for ports in ["443", "80,443"] {
                let notes = notes(&[origin, ("PORTS", ports), ("MAX_RULES_PER_GROUP", quota)]);
                assert_eq!(notes.len(), expected, "{quota} {ports}: {notes:?}");
            }
        }
    }
}
