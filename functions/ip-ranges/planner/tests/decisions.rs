//! What callers rely on: when there is nothing to do, what a mistyped name is answered, what a broken document is.

#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect should stop there")]

use gatehouse_shared::failure::chain;
use ip_ranges_planner::document::{self, Selection};
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::{Plan, Round};

#[test]
fn a_plan_is_empty_where_nothing_is_created_or_changed() {
    assert!(Plan::default().is_empty());
    assert!(Plan { left_out: ["192.0.2.0/24".parse().unwrap()].into(), ..Plan::default() }.is_empty());
    assert!(!Plan { create: 1, ..Plan::default() }.is_empty());
    assert!(!Plan { rounds: vec![Round::default()], ..Plan::default() }.is_empty());
}

#[test]
fn families_are_read_as_they_are_written() {
    for family in Family::BOTH {
        assert_eq!(family.to_string().parse(), Ok(family));
    }
    assert_eq!("IPv4".parse::<Family>(), Err("expected ipv4 or ipv6"));
}

#[test]
fn a_mistyped_service_is_answered_with_the_nearest_names_first() {
    let document = br#"{"syncToken": "1", "ipv6_prefixes": [], "prefixes": [
        {"ip_prefix": "3.0.2.0/25", "region": "GLOBAL", "service": "ROUTE53"},
        {"ip_prefix": "3.0.2.128/25", "region": "GLOBAL", "service": "ROUTE53_HEALTHCHECKS"},
        {"ip_prefix": "3.51.100.0/24", "region": "GLOBAL", "service": "S3"}
    ]}"#;
    let services = ["route53_healthcheck".parse().unwrap()];
    let selection = Selection { services: &services, families: &Family::BOTH, range_regions: &[], aggregate: true };
    let mut published = document::read(document, selection).unwrap();
    let faults = document::faults(&mut published, document).unwrap();
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "SERVICE names \"route53_healthcheck\", which AWS does not publish; did you mean ROUTE53_HEALTHCHECKS, ROUTE53? \
             The known services are ROUTE53, ROUTE53_HEALTHCHECKS, S3"
        ]
    );
}

#[test]
fn a_document_of_another_shape_is_told_what_is_expected() {
    let services = ["S3".parse().unwrap()];
    let selection = Selection { services: &services, families: &Family::BOTH, range_regions: &[], aggregate: true };
    for (document, expected) in [
        ("[]", "expected an object with syncToken, prefixes and ipv6_prefixes"),
        (r#"{"prefixes": 1}"#, "expected a sequence"),
        (r#"{"ipv6_prefixes": 1}"#, "expected a sequence"),
    ] {
        let error = chain(&document::read(document.as_bytes(), selection).unwrap_err());
        assert!(error.contains(expected), "{document}: {error}");
    }
}
