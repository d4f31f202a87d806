//! Whole reconciliations against [`FakeEc2`], fault by fault, and all faults mixed.

use super::*;
use crate::config::{AttachPolicy, CreatePolicy, EgressPolicy, Limits};
use crate::failure::FailureKind;
use crate::fake::{FakeEc2, FakeGroup, FakeInterface, Fault, default_egress};
use crate::tags::{ATTACH_TAG, FAMILY_TAG, PORT_TAG, PREFIX_NAME_TAG, SERVICE_TAG, SYNC_TOKEN_TAG};
use crate::targets::security_groups::group::{self as security_group, PoolKey};
use gatehouse_shared::env::Env;
use gatehouse_testkit::Call;
use ipnet::IpNet;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

fn config(limits: Limits) -> Config {
    let table = [("AWS_REGION", "eu-west-1"), ("VPC_ID", "vpc-1")];
    let env = Env::of_table(&table);
    Config { limits, ..env.read(Config::from_env).unwrap() }
}

/// A run of a notice, with plenty of time.
fn go() -> Run {
    let stop = tokio::time::Instant::now() + std::time::Duration::from_secs(3_600);
    Run { dry_run: false, force: false, looks_for_drift: false, stop, number: crate::run::number() }
}

/// A scheduled run.
fn scheduled() -> Run {
    Run { looks_for_drift: true, ..go() }
}

fn limits(rules_per_group: usize, groups_per_interface: usize) -> Limits {
    Limits { rules_per_group, groups_per_interface }
}

fn ranges(text: &str) -> BTreeSet<IpNet> {
    text.split_whitespace().map(|range| range.parse().unwrap()).collect()
}

fn publish(wanted: &str) -> Published {
    publish_as(1, wanted)
}

fn publish_as(sync_token: u64, wanted: &str) -> Published {
    let services = vec![("CLOUDFRONT".to_owned(), ranges(wanted))];
    Published { sync_token, services, regions_not_seen: Vec::new() }
}

/// A group of the pool that every test keeps: CLOUDFRONT on port 80 in vpc-1.
fn group(number: usize, held: &str) -> FakeGroup {
    let tags = [(PREFIX_NAME_TAG, "AUTOUPDATE"), (SERVICE_TAG, "CLOUDFRONT"), (PORT_TAG, "80")];
    FakeGroup {
        name: format!("AUTOUPDATE_CLOUDFRONT_80_{number}"),
        description: "CLOUDFRONT ranges on port 80, kept by Gatehouse".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        rules: ranges(held).into_iter().map(|range| (80, range)).collect(),
        egress: default_egress(false),
        ..FakeGroup::default()
    }
}

/// EC2 with these groups, `sg-1`, `sg-2` and so on, all of them on the interface `eni-1`.
fn ec2(groups: &[&str]) -> FakeEc2 {
    let ec2 = FakeEc2::new();
    let mut state = ec2.state();
    for (index, held) in groups.iter().enumerate() {
        state.groups.insert(format!("sg-{}", index + 1), group(index + 1, held));
    }
    let ids = state.groups.keys().cloned().collect();
    state.interfaces.insert("eni-1".to_owned(), FakeInterface { groups: ids, ..FakeInterface::default() });
    drop(state);
    ec2
}

/// An interface that carries this group.
fn carrying(group: &str) -> FakeInterface {
    FakeInterface { groups: [group.to_owned()].into(), ..FakeInterface::default() }
}

async fn run_with(ec2: &FakeEc2, wanted: &str, config: &Config, run: Run) -> RegionReport {
    let region = Region::connect(&config.regions[0], &ec2.sdk());
    let held = region.read(config, run).await;
    region.reconcile(held, &publish(wanted), config, run).await
}

async fn run(ec2: &FakeEc2, wanted: &str, limits: Limits) -> RegionReport {
    run_with(ec2, wanted, &config(limits), go()).await
}

/// What is in the groups of the pool, and which are on `eni-1`.
fn held(ec2: &FakeEc2) -> Vec<(String, String, bool)> {
    let state = ec2.state();
    let attached = &state.interfaces["eni-1"].groups;
    state
        .groups
        .iter()
        .map(|(id, group)| {
            let ranges: Vec<String> = group.rules.iter().map(|(_, range)| range.to_string()).collect();
            (group.name.replace("AUTOUPDATE_CLOUDFRONT_80_", ""), ranges.join(" "), attached.contains(id))
        })
        .collect()
}

fn rows<'a>(rows: &[(&'a str, &'a str, bool)]) -> Vec<(String, String, bool)> {
    rows.iter().map(|(name, ranges, attached)| ((*name).to_owned(), (*ranges).to_owned(), *attached)).collect()
}

fn failures(report: &RegionReport) -> Vec<String> {
    report.failures.iter().map(|failure| format!("{} {failure}", failure.kind.name())).collect()
}

#[track_caller]
fn assert_whole(report: &RegionReport) {
    assert!(report.failures.is_empty() && report.left_out.is_empty() && report.not_added.is_empty(), "{report:?}");
}

const A: &str = "10.0.0.0/24";
const B: &str = "10.0.2.0/24";
const C: &str = "10.0.4.0/24";

#[tokio::test(start_paused = true)]
async fn a_first_run_creates_and_fills_and_the_next_one_makes_one_call() {
    let ec2 = ec2(&[]);
    let report = run(&ec2, &format!("{A} {B} {C}"), limits(2, 5)).await;
    assert_whole(&report);
    assert_eq!(held(&ec2), rows(&[("1", "10.0.0.0/24 10.0.2.0/24", false), ("2", "10.0.4.0/24", false)]));
    assert!(ec2.state().groups.values().all(|group| !group.tags.contains_key(ATTACH_TAG)));
    assert!(report.groups.iter().all(|group| group.created));

    ec2.aws.forget();
    let report = run(&ec2, &format!("{A} {B} {C}"), limits(2, 5)).await;
    assert_eq!(ec2.calls(), ["DescribeSecurityGroups"]);
    assert_eq!((report.aws_calls, report.calls), (1, BTreeMap::from([("DescribeSecurityGroups".to_owned(), 1)])));
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_read() {
    let ec2 = ec2(&[A, B, C]);
    ec2.state().page = 1;
    let report = run(&ec2, &format!("{A} {B} {C}"), limits(1, 5)).await;
    assert_whole(&report);
    assert_eq!(ec2.calls(), ["DescribeSecurityGroups"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_change_to_one_group_is_one_authorize_and_one_revoke() {
    let ec2 = ec2(&[&format!("{A} {B}")]);
    let report = run(&ec2, &format!("{B} {C}"), limits(60, 5)).await;
    assert_whole(&report);
    assert_eq!(
        ec2.calls(),
        [
            "DescribeSecurityGroups",
            "CreateTags",
            "AuthorizeSecurityGroupIngress",
            "DescribeNetworkInterfaces",
            // Has a newer run begun?
            "DescribeSecurityGroups",
            "RevokeSecurityGroupIngress",
            // Is everything there?
            "DescribeSecurityGroups",
            // Nothing is removed any more.
            "DeleteTags",
        ]
    );
    assert_eq!((&report.groups[0].added, &report.groups[0].removed), (&ranges(C), &ranges(A)));
}

#[tokio::test(start_paused = true)]
async fn a_new_group_is_attached_before_anything_is_removed() {
    let ec2 = ec2(&["10.0.0.0/23"]);
    let report = run(&ec2, A, limits(1, 5)).await;
    assert_whole(&report);
    assert_eq!(
        ec2.calls(),
        [
            "DescribeSecurityGroups",
            "CreateTags",
            "CreateSecurityGroup",
            // Its outbound rules: the pool has none for IPv6.
            "DescribeSecurityGroups",
            "AuthorizeSecurityGroupIngress",
            "DescribeNetworkInterfaces",
            // The interface again, just before it is written.
            "DescribeNetworkInterfaces",
            "ModifyNetworkInterfaceAttribute",
            "DeleteTags",
            "DescribeSecurityGroups",
            "RevokeSecurityGroupIngress",
            "DescribeSecurityGroups",
            "DeleteTags",
        ]
    );
    assert_eq!(held(&ec2), rows(&[("1", "", true), ("2", A, true)]));
    assert_eq!(report.groups[1].attached, ["eni-1"]);
}

#[tokio::test(start_paused = true)]
async fn groups_of_a_load_balancer_are_set_through_it() {
    let ec2 = ec2(&[A]);
    for (id, name) in [("eni-2", "ELB app/web/50dc6c495c0c9188"), ("eni-3", "ELB app/web/50dc6c495c0c9188")] {
        let interface = FakeInterface {
            groups: ["sg-1".to_owned(), "sg-other".to_owned()].into(),
            load_balancer: Some(name.to_owned()),
            ..FakeInterface::default()
        };
        ec2.state().interfaces.insert(id.to_owned(), interface);
    }
    let report = run(&ec2, &format!("{A} {B}"), limits(1, 5)).await;
    assert_whole(&report);
    assert_eq!(ec2.state().interfaces["eni-3"].groups, ["sg-1", "sg-new1", "sg-other"].map(str::to_owned).into());
    assert_eq!(
        ec2.calls().iter().filter(|call| *call == "SetSecurityGroups").count(),
        1,
        "one call for all its interfaces"
    );
    assert_eq!(report.groups[1].attached, ["eni-1", "load balancer web"]);
}

#[tokio::test(start_paused = true)]
async fn an_interface_of_another_service_is_reported() {
    let ec2 = ec2(&[A]);
    let interface = FakeInterface { load_balancer: Some("ELB classic".to_owned()), ..carrying("sg-1") };
    ec2.state().interfaces.insert("eni-2".to_owned(), interface);
    let report = run(&ec2, &format!("{A} {B}"), limits(1, 5)).await;
    assert_eq!(
        failures(&report),
        ["PartlyAttached attaching sg-new1 to eni-2: only amazon-elb can change its groups: attach them there"]
    );
    assert_eq!(held(&ec2), rows(&[("1", A, true), ("2", B, true)]), "the others are attached");
}

#[tokio::test(start_paused = true)]
async fn throttling_and_server_errors_are_waited_out() {
    for fault in [Fault::Throttled, Fault::ServerError] {
        let ec2 = ec2(&[A]);
        ec2.state().faults = VecDeque::from([fault, fault, Fault::None, fault, Fault::None, fault]);
        let report = run(&ec2, B, limits(60, 5)).await;
        assert_whole(&report);
        assert_eq!(held(&ec2), rows(&[("1", B, true)]), "{fault:?}");
        assert_eq!(report.aws_calls, 12, "attempts are counted");
    }
}

#[tokio::test(start_paused = true)]
async fn throttled_to_the_end_is_a_failure_that_the_next_run_heals() {
    let ec2 = ec2(&["10.0.0.0/23"]);
    ec2.state().broken.insert("AuthorizeSecurityGroupIngress", Fault::Throttled);
    let report = run(&ec2, A, limits(60, 5)).await;
    assert_eq!(failures(&report), ["Partial adding 1 ranges to sg-1: RequestLimitExceeded: Request limit exceeded."]);
    assert_eq!(report.not_added[0].ranges, ranges(A));
    assert_eq!(report.groups[0].kept, ranges("10.0.0.0/23"), "what was not replaced is not removed");
    assert_eq!(held(&ec2), rows(&[("1", "10.0.0.0/23", true)]));
    ec2.state().broken.clear();
    assert_whole(&run(&ec2, A, limits(60, 5)).await);
    assert_eq!(held(&ec2), rows(&[("1", A, true)]));
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_does_no_harm() {
    for lost in 0..8 {
        let ec2 = ec2(&["10.0.0.0/23"]);
        let mut faults = VecDeque::from(vec![Fault::None; lost]);
        faults.push_back(Fault::LostReply);
        ec2.state().faults = faults;
        let report = run(&ec2, A, limits(1, 5)).await;
        assert_whole(&report);
        assert_eq!(held(&ec2), rows(&[("1", "", true), ("2", A, true)]), "call {lost}");
        assert_eq!(
            (&report.groups[1].added, &report.groups[0].removed),
            (&ranges(A), &ranges("10.0.0.0/23")),
            "call {lost}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_is_there_already_does_not_keep_the_others_out() {
    let ec2 = ec2(&[A]);
    let config = config(limits(60, 5));
    let region = Region::connect(&config.regions[0], &ec2.sdk());
    let before = region.read(&config, go()).await;
    // Another run was quicker with one of them.
    ec2.state().groups.get_mut("sg-1").unwrap().rules.insert((80, B.parse().unwrap()));
    let report = region.reconcile(before, &publish(&format!("{B} {C}")), &config, go()).await;
    assert_whole(&report);
    assert_eq!(held(&ec2), rows(&[("1", "10.0.2.0/24 10.0.4.0/24", true)]));
}

/// The description that this function writes for CLOUDFRONT.
const OURS: &str = "CLOUDFRONT range published by AWS, kept by Gatehouse";

#[tokio::test(start_paused = true)]
async fn a_rule_is_removed_whatever_its_description_says() {
    for default_vpc in [false, true] {
        // Of the CloudFront sample, of this function, of another service or release of it, and of a person.
        for description in [None, Some(OURS), Some("S3 range published by AWS, kept by Gatehouse"), Some("by hand")] {
            let ec2 = ec2(&["10.0.0.0/24 10.0.2.0/24 2001:db8::/32"]);
            ec2.state().default_vpc = default_vpc;
            let descriptions = ranges("10.0.0.0/24 2001:db8::/32").into_iter();
            let descriptions = descriptions.filter_map(|range| Some(((80, range), description?.to_owned())));
            ec2.state().groups.get_mut("sg-1").unwrap().rule_descriptions = descriptions.collect();
            let report = run(&ec2, &format!("{B} {C} 2001:db8:1::/48"), limits(60, 5)).await;
            assert_whole(&report);
            assert_eq!(
                held(&ec2),
                rows(&[("1", "10.0.2.0/24 10.0.4.0/24 2001:db8:1::/48", true)]),
                "{default_vpc} {description:?}"
            );
            assert_eq!(report.groups[0].removed, ranges("10.0.0.0/24 2001:db8::/32"));
            assert!(report.groups[0].kept.is_empty());
            ec2.aws.forget();
            run(&ec2, &format!("{B} {C} 2001:db8:1::/48"), limits(60, 5)).await;
            assert_eq!(ec2.calls(), ["DescribeSecurityGroups"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_full_group_rules_of_others_make_room_for_new_ranges() {
    for default_vpc in [false, true] {
        let ec2 = ec2(&[&format!("{A} {B}")]);
        ec2.state().default_vpc = default_vpc;
        ec2.state().rules_per_group = 2;
        let config = Config { create: CreatePolicy::Never, ..config(limits(2, 5)) };
        let report = run_with(&ec2, &format!("{C} 10.0.6.0/24"), &config, Run { force: true, ..go() }).await;
        assert_whole(&report);
        assert_eq!(held(&ec2), rows(&[("1", "10.0.4.0/24 10.0.6.0/24", true)]));
    }
}

#[tokio::test(start_paused = true)]
async fn ranges_written_for_another_service_go_once_the_shrink_is_forced() {
    for default_vpc in [false, true] {
        let of_cloudfront: Vec<String> = (0..55).map(|index| format!("10.0.{}.0/24", 2 * index)).collect();
        let ec2 = ec2(&[&of_cloudfront.join(" ")]);
        ec2.state().default_vpc = default_vpc;
        let group = ec2.state().groups["sg-1"].clone();
        ec2.state().groups.get_mut("sg-1").unwrap().rule_descriptions =
            group.rules.iter().map(|rule| (*rule, OURS.to_owned())).collect();
        let wanted = of_cloudfront[..15].join(" ");
        let report = run(&ec2, &wanted, limits(60, 5)).await;
        assert_eq!(report.failures[0].kind, FailureKind::ShrinkRefused);
        let report = run_with(&ec2, &wanted, &config(limits(60, 5)), Run { force: true, ..go() }).await;
        assert_whole(&report);
        assert_eq!((report.groups[0].removed.len(), report.groups[0].kept.len()), (40, 0));
        assert_eq!(ec2.state().groups["sg-1"].rules.len(), 15);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_ec2_names_as_unknown_and_keeps_is_not_reported_as_removed() {
    let ec2 = ec2(&[&format!("{A} {B}")]);
    ec2.state().default_vpc = true;
    ec2.state().not_removed = ranges(B);
    let report = run(&ec2, C, limits(60, 5)).await;
    assert_eq!(
        failures(&report),
        [
            "Partial removing 2 ranges from sg-1: EC2 accepted the call and did not remove 10.0.2.0/24; the next run tries again"
        ]
    );
    assert_eq!((&report.groups[0].removed, &report.groups[0].kept), (&ranges(A), &ranges(B)));
    ec2.state().not_removed.clear();
    assert_whole(&run(&ec2, C, limits(60, 5)).await);
    assert_eq!(held(&ec2), rows(&[("1", C, true)]));
}

/// What the fake has to do as EC2 does: of a rule, every value that is sent is compared.
#[tokio::test]
async fn a_revoke_with_another_description_removes_nothing() {
    for default_vpc in [false, true] {
        let ec2 = ec2(&[&format!("{A} {B}")]);
        ec2.state().default_vpc = default_vpc;
        ec2.state().groups.get_mut("sg-1").unwrap().rule_descriptions.insert((80, B.parse().unwrap()), OURS.to_owned());
        let client = aws_sdk_ec2::Client::new(&ec2.sdk());
        let key = PoolKey { vpc_id: "vpc-1".into(), service: "CLOUDFRONT".into(), port: "80".parse().unwrap() };
        let permission = security_group::permission(&key, &ranges(&format!("{A} {B}")), Some(OURS));
        let answer = client.revoke_security_group_ingress().group_id("sg-1").ip_permissions(permission).send().await;
        if default_vpc {
            let unknown = answer.unwrap().unknown_ip_permissions().to_vec();
            assert_eq!((unknown.len(), unknown[0].ip_ranges()[0].cidr_ip()), (1, Some(A)));
            assert_eq!(held(&ec2), rows(&[("1", A, true)]));
        } else {
            assert_eq!(CallError::from(answer.unwrap_err()).code(), Some("InvalidPermission.NotFound"));
            assert_eq!(held(&ec2), rows(&[("1", "10.0.0.0/24 10.0.2.0/24", true)]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_runs_at_once_end_where_one_does() {
    let ec2 = ec2(&[&format!("{A} 10.0.8.0/24")]);
    let wanted = format!("{A} {B} {C} 10.0.6.0/24 2001:db8::/32");
    let config = config(limits(2, 5));
    let region = || Region::connect(&config.regions[0], &ec2.sdk());
    let (first, second) = (region(), region());
    let (one, two) = (first.read(&config, go()).await, second.read(&config, go()).await);
    let published = publish(&wanted);
    let go = go();
    futures::future::join(
        first.reconcile(one, &published, &config, go),
        second.reconcile(two, &published, &config, go),
    )
    .await;
    assert_whole(&run(&ec2, &wanted, limits(2, 5)).await);
    let state = ec2.state();
    let held: BTreeSet<IpNet> = state.groups.values().flat_map(|group| &group.rules).map(|(_, range)| *range).collect();
    assert_eq!(held, ranges(&wanted));
    assert!(state.interfaces["eni-1"].groups.iter().eq(state.groups.keys()), "all are attached");
}

#[tokio::test(start_paused = true)]
async fn a_group_deleted_meanwhile_is_reported_and_made_again() {
    let ec2 = ec2(&[A, B]);
    let config = config(limits(1, 5));
    let region = Region::connect(&config.regions[0], &ec2.sdk());
    let before = region.read(&config, go()).await;
    ec2.state().groups.remove("sg-2");
    ec2.state().interfaces.get_mut("eni-1").unwrap().groups.remove("sg-2");
    let report = region.reconcile(before, &publish(&format!("{A} {C}")), &config, go()).await;
    assert!(failures(&report)[0].contains("InvalidGroup.NotFound"), "{report:?}");
    let report = run(&ec2, &format!("{A} {C}"), limits(1, 5)).await;
    assert_whole(&report);
    assert_eq!(held(&ec2), rows(&[("1", A, true), ("2", C, true)]));
}

#[tokio::test(start_paused = true)]
async fn a_quota_lower_than_configured_is_named_and_nothing_is_cut_off() {
    let ec2 = ec2(&["10.0.0.0/23"]);
    ec2.state().rules_per_group = 1;
    let wanted = "10.0.0.0/24 10.0.1.0/25";
    let report = run(&ec2, wanted, limits(60, 5)).await;
    assert_eq!(
        failures(&report),
        [
            "Partial adding 2 ranges to sg-1: RulesPerSecurityGroupLimitExceeded: The maximum number of rules per security group has been reached.; \
          the quota of rules in a group is lower than MAX_RULES_PER_GROUP says, or prefix lists in the group use it up: lower the setting or raise the quota"
        ]
    );
    assert_eq!(held(&ec2), rows(&[("1", "10.0.0.0/23", true)]));
    assert_whole(&run(&ec2, wanted, limits(1, 5)).await);
}

#[tokio::test(start_paused = true)]
async fn an_interface_at_its_limit_is_left_as_it_is_until_there_is_room() {
    let ec2 = ec2(&["10.0.0.0/23"]);
    ec2.state().interfaces.get_mut("eni-1").unwrap().groups.insert("sg-other".to_owned());
    ec2.state().groups.insert("sg-other".to_owned(), FakeGroup { vpc_id: "vpc-1".to_owned(), ..FakeGroup::default() });
    let report = run(&ec2, A, limits(1, 2)).await;
    assert_eq!(
        failures(&report),
        [
            "InterfaceGroupLimit attaching sg-new1 to eni-1: it carries 2 (sg-1, sg-other) and takes 2, as MAX_GROUPS_PER_INTERFACE says: \
          detach one, or raise quota and setting; it was left as it is"
        ]
    );
    assert_eq!(held(&ec2), rows(&[("1", "10.0.0.0/23", true), ("2", A, false), ("", "", true)]), "the old range stays");
    // Every further run tries again, and the one after there is room succeeds.
    assert_eq!(failures(&run(&ec2, A, limits(1, 2)).await).len(), 1);
    ec2.state().interfaces.get_mut("eni-1").unwrap().groups.remove("sg-other");
    assert_whole(&run(&ec2, A, limits(1, 2)).await);
    assert_eq!(held(&ec2), rows(&[("1", "", true), ("2", A, true), ("", "", false)]));
}

#[tokio::test(start_paused = true)]
async fn a_region_that_cannot_be_read_is_reported_and_nothing_is_written() {
    let ec2 = ec2(&[A]);
    ec2.state().broken.insert("DescribeSecurityGroups", Fault::Denied);
    let report = run(&ec2, B, limits(60, 5)).await;
    assert_eq!(
        failures(&report),
        [
            "Partial reading what is there: UnauthorizedOperation: You are not authorized.; the function's role does not allow it: compare with the policy in the template"
        ]
    );
    assert_eq!(ec2.calls(), ["DescribeSecurityGroups"]);
}

#[tokio::test(start_paused = true)]
async fn foreign_rules_and_foreign_groups_are_not_touched() {
    let ec2 = ec2(&[A]);
    ec2.state().groups.get_mut("sg-1").unwrap().rules.insert((22, "192.0.2.0/24".parse().unwrap()));
    let mut old_port = group(1, A);
    old_port.name = "AUTOUPDATE_CLOUDFRONT_8080_1".to_owned();
    old_port.description = "CLOUDFRONT ranges on port 8080, kept by Gatehouse".to_owned();
    old_port.tags.insert(PORT_TAG.to_owned(), "8080".to_owned());
    ec2.state().groups.insert("sg-old".to_owned(), old_port.clone());
    let report = run(&ec2, B, limits(60, 5)).await;
    assert_whole(&report);
    assert!(ec2.state().groups["sg-1"].rules.contains(&(22, "192.0.2.0/24".parse().unwrap())));
    assert_eq!(ec2.state().groups["sg-old"], old_port);
    assert!(
        report.notes.iter().any(|note| note.contains("sg-old") && note.contains("no longer name")),
        "{:?}",
        report.notes
    );
    assert!(
        report.notes.iter().any(|note| note.contains("sg-1") && note.contains("1 count for IPv4")),
        "{:?}",
        report.notes
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_is_not_taken_over() {
    // Neither without our tag nor with that of another stack.
    for tags in [BTreeMap::new(), BTreeMap::from([(PREFIX_NAME_TAG.to_owned(), "OTHER".to_owned())])] {
        let ec2 = ec2(&[]);
        let stranger = FakeGroup { tags, ..group(1, "") };
        ec2.state().groups.insert("sg-x".to_owned(), stranger.clone());
        assert_whole(&run(&ec2, A, limits(60, 5)).await);
        assert_eq!(ec2.state().groups["sg-x"], stranger);
        assert_eq!(ec2.state().groups["sg-new1"].name, "AUTOUPDATE_CLOUDFRONT_80_2", "the next number is free");
    }
}

#[tokio::test(start_paused = true)]
async fn what_ec2_does_not_know_yet_is_waited_for() {
    let ec2 = ec2(&[A]);
    // The group itself, the tag that its rights are bound to, then the group again when it is attached.
    ec2.state().not_known = VecDeque::from([
        "InvalidGroup.NotFound",
        "UnauthorizedOperation",
        "InvalidGroup.NotFound",
        "InvalidGroup.NotFound",
        "InvalidID",
    ]);
    assert_whole(&run(&ec2, &format!("{A} {B}"), limits(1, 5)).await);
    assert_eq!(held(&ec2), rows(&[("1", A, true), ("2", B, true)]));
    assert!(ec2.state().not_known.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_not_waited_for_in_groups_that_are_known() {
    let ec2 = ec2(&[A]);
    ec2.state().broken.insert("AuthorizeSecurityGroupIngress", Fault::Denied);
    let before = tokio::time::Instant::now();
    assert_eq!(failures(&run(&ec2, &format!("{A} {B}"), limits(60, 5)).await).len(), 1);
    assert_eq!(before.elapsed(), std::time::Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn groups_of_a_vpc_that_is_not_named_are_reported() {
    let ec2 = ec2(&[A]);
    let elsewhere = FakeGroup { vpc_id: "vpc-2".to_owned(), ..group(1, B) };
    ec2.state().groups.insert("sg-9".to_owned(), elsewhere.clone());
    let report = run(&ec2, A, limits(60, 5)).await;
    assert_whole(&report);
    assert_eq!(ec2.state().groups["sg-9"], elsewhere);
    assert!(
        report.notes[0].contains("sg-9") && report.notes[0].contains("belongs to vpc-2, which VPC_ID does not name")
    );
    // Whether an interface depends on it.
    assert_eq!(ec2.calls(), ["DescribeSecurityGroups", "DescribeNetworkInterfaces"]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_group_is_named_and_not_attached() {
    let ec2 = ec2(&[A, ""]);
    ec2.state().interfaces.get_mut("eni-1").unwrap().groups.remove("sg-2");
    let report = run_with(&ec2, A, &config(limits(60, 5)), scheduled()).await;
    assert_whole(&report);
    assert!(report.notes[0].contains("sg-2 (AUTOUPDATE_CLOUDFRONT_80_2) is empty"), "{:?}", report.notes);
    assert_eq!(held(&ec2), rows(&[("1", A, true), ("2", "", false)]));
}

#[tokio::test(start_paused = true)]
async fn a_failed_creation_does_not_move_the_attachments_of_others() {
    let ec2 = ec2(&[A]);
    // The first of the two new groups cannot be created.
    ec2.state().faults = VecDeque::from([Fault::None, Fault::None, Fault::Denied]);
    let report = run(&ec2, &format!("{A} {B} {C}"), limits(1, 5)).await;
    assert_eq!(report.failures.len(), 1, "{report:?}");
    let attached: Vec<_> =
        report.groups.iter().map(|group| (group.resource_id.as_str(), group.attached.join(" "))).collect();
    assert_eq!(attached, [("sg-1", String::new()), ("sg-new1", "eni-1".to_owned())]);
    assert_eq!((report.left_out.len(), report.not_added.len()), (0, 1), "a failed call is not a lack of room");
}

/// Interfaces that carry some groups of a pool, and not all.
mod attachment {
    use super::*;

    /// Two groups, of which a new interface carries only the first.
    fn partly() -> FakeEc2 {
        let ec2 = ec2(&[A, B]);
        ec2.state().interfaces.insert("eni-2".to_owned(), carrying("sg-1"));
        ec2
    }

    fn on_eni_2(ec2: &FakeEc2) -> Vec<String> {
        ec2.state().interfaces["eni-2"].groups.iter().cloned().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_interface_gets_the_groups_that_it_lacks() {
        let ec2 = partly();
        let wanted = format!("{A} {B}");
        // A notice that changes nothing is one call, and looks at no interface.
        assert_whole(&run(&ec2, &wanted, limits(1, 5)).await);
        assert_eq!(ec2.calls(), ["DescribeSecurityGroups"]);
        assert_eq!(on_eni_2(&ec2), ["sg-1"]);
        let report = run_with(&ec2, &wanted, &config(limits(1, 5)), scheduled()).await;
        assert_whole(&report);
        assert_eq!(on_eni_2(&ec2), ["sg-1", "sg-2"]);
        assert_eq!(report.groups[1].attached, ["eni-2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_that_changes_something_mends_interfaces_too() {
        let ec2 = partly();
        assert_whole(&run(&ec2, &format!("{A} {C}"), limits(1, 5)).await);
        assert_eq!(on_eni_2(&ec2), ["sg-1", "sg-2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn with_attach_report_it_is_reported_and_not_changed() {
        let ec2 = partly();
        let config = Config { attach: AttachPolicy::Report, ..config(limits(1, 5)) };
        let report = run_with(&ec2, &format!("{A} {B}"), &config, scheduled()).await;
        assert_eq!(
            failures(&report),
            [
                "PartlyAttached attaching sg-2 to eni-2: it carries other groups of the same service and port and lacks these: attach them, or set ATTACH=follow"
            ]
        );
        assert_eq!(on_eni_2(&ec2), ["sg-1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn with_attach_off_it_is_a_note_and_nothing_goes_before_others_attached_the_group() {
        let off = Config { attach: AttachPolicy::Off, ..config(limits(1, 5)) };
        let ec2 = partly();
        let report = run_with(&ec2, &format!("{A} {B}"), &off, scheduled()).await;
        assert_whole(&report);
        assert!(report.notes.iter().any(|note| note.contains("eni-2") && note.contains("lacks sg-2")), "{report:?}");
        assert_eq!(on_eni_2(&ec2), ["sg-1"]);

        // The narrower range goes into a new group, which no interface carries yet.
        let ec2 = super::ec2(&["10.0.0.0/23"]);
        let report = run_with(&ec2, A, &off, go()).await;
        assert_whole(&report);
        assert_eq!(held(&ec2), rows(&[("1", "10.0.0.0/23", true), ("2", A, false)]));
        assert_eq!(report.groups[0].kept, ranges("10.0.0.0/23"));
        // A deployment attaches it.
        ec2.state().interfaces.get_mut("eni-1").unwrap().groups.insert("sg-new1".to_owned());
        let report = run_with(&ec2, A, &off, scheduled()).await;
        assert_whole(&report);
        assert_eq!(held(&ec2), rows(&[("1", "", true), ("2", A, true)]));
        assert!(!ec2.calls().contains(&"ModifyNetworkInterfaceAttribute".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_lets_out_more_than_those_that_are_there_is_not_attached() {
        let ec2 = partly();
        ec2.state().groups.get_mut("sg-1").unwrap().egress.clear();
        let report = run_with(&ec2, &format!("{A} {B}"), &config(limits(1, 5)), scheduled()).await;
        assert_eq!(report.failures[0].kind, FailureKind::PartlyAttached);
        assert!(report.failures[0].reason.contains("would let more traffic out"), "{report:?}");
        assert_eq!(on_eni_2(&ec2), ["sg-1"]);
        // Once its rule is removed, it follows.
        ec2.state().groups.get_mut("sg-2").unwrap().egress.clear();
        assert_whole(&run_with(&ec2, &format!("{A} {B}"), &config(limits(1, 5)), scheduled()).await);
        assert_eq!(on_eni_2(&ec2), ["sg-1", "sg-2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_list_is_read_again_just_before_it_is_written() {
        let ec2 = partly();
        ec2.state()
            .groups
            .insert("sg-own".to_owned(), FakeGroup { vpc_id: "vpc-1".to_owned(), ..FakeGroup::default() });
        // Between the read of all interfaces and the write, somebody attaches a group.
        ec2.state().latencies = VecDeque::from([0, 0, 1_000]);
        let config = config(limits(1, 5));
        let wanted = format!("{A} {B}");
        let (report, ()) = futures::future::join(run_with(&ec2, &wanted, &config, scheduled()), async {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            ec2.state().interfaces.get_mut("eni-2").unwrap().groups.insert("sg-own".to_owned());
        })
        .await;
        assert_whole(&report);
        assert_eq!(on_eni_2(&ec2), ["sg-1", "sg-2", "sg-own"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interface_that_is_gone_is_no_failure() {
        let ec2 = partly();
        ec2.state().latencies = VecDeque::from([0, 0, 1_000]);
        let config = config(limits(1, 5));
        let wanted = format!("{A} {B}");
        let (report, ()) = futures::future::join(run_with(&ec2, &wanted, &config, scheduled()), async {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            ec2.state().interfaces.remove("eni-2");
        })
        .await;
        assert_whole(&report);
    }

    /// At each call of which an interface, or a load balancer, is the object.
    #[tokio::test(start_paused = true)]
    async fn what_is_deleted_between_two_calls_is_no_failure() {
        let cases = [
            (None, "DescribeNetworkInterfaces"),
            (None, "ModifyNetworkInterfaceAttribute"),
            (Some("ELB app/web/50dc6c495c0c9188"), "DescribeLoadBalancers"),
            (Some("ELB app/web/50dc6c495c0c9188"), "SetSecurityGroups"),
            (Some("ELB net/front/50dc6c495c0c9188"), "SetSecurityGroups"),
        ];
        for (load_balancer, call) in cases {
            let ec2 = partly();
            ec2.state().interfaces.get_mut("eni-2").unwrap().load_balancer = load_balancer.map(str::to_owned);
            ec2.state().broken.insert(call, Fault::Deleted);
            let report = run_with(&ec2, &format!("{A} {B}"), &config(limits(1, 5)), scheduled()).await;
            assert_whole(&report);
            assert!(!ec2.state().interfaces.contains_key("eni-2"), "{load_balancer:?} {call}");
            assert!(report.groups.iter().all(|group| group.attached.is_empty()), "{report:?}");
        }
    }

    /// EC2 refuses these to every principal, or to this account: to wait does not help, and the others must not wait.
    #[tokio::test(start_paused = true)]
    async fn an_interface_that_cannot_take_a_group_is_reported_at_once() {
        let operator = FakeInterface { operator: Some("eks.amazonaws.com".to_owned()), ..carrying("sg-1") };
        let other_vpc = FakeInterface { vpc_id: Some("vpc-2".to_owned()), ..carrying("sg-1") };
        let other_owner = FakeInterface { owner_id: Some("210987654321".to_owned()), ..carrying("sg-1") };
        let cases = [
            (operator, "only eks.amazonaws.com can change its groups: attach them there"),
            (
                other_vpc,
                "it is in vpc-2, and these groups are those of another VPC: associate them with vpc-2 (aws ec2 associate-security-group-vpc), then attach them yourself",
            ),
            (
                other_owner,
                "it belongs to the account 210987654321, which alone can change its groups: attach them there",
            ),
        ];
        for (interface, reason) in cases {
            let ec2 = ec2(&["10.0.0.0/23"]);
            for number in 2..20 {
                ec2.state().interfaces.insert(format!("eni-0{number}"), interface.clone());
            }
            let start = tokio::time::Instant::now();
            let report = run(&ec2, &format!("{A} {B}"), limits(1, 5)).await;
            assert!(start.elapsed() < std::time::Duration::from_secs(30), "{:?}", start.elapsed());
            assert_eq!(report.failures.len(), 18, "{report:?}");
            assert!(
                report
                    .failures
                    .iter()
                    .all(|failure| failure.kind == FailureKind::PartlyAttached && failure.reason == reason),
                "{report:?}"
            );
            assert!(ec2.state().interfaces["eni-1"].groups.contains("sg-new1"));
            let calls = ec2.calls();
            let modified = calls.iter().filter(|call| *call == "ModifyNetworkInterfaceAttribute").count();
            assert_eq!(modified, 1, "{calls:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_group_of_this_run_is_waited_for() {
        // The eighth call attaches the new group, which EC2 does not know everywhere yet.
        let ec2 = ec2(&["10.0.0.0/23"]);
        ec2.state().faults = [vec![Fault::None; 7], vec![Fault::NotKnown; 3]].concat().into();
        assert_whole(&run(&ec2, A, limits(1, 5)).await);
        assert_eq!(ec2.calls()[7..11], ["ModifyNetworkInterfaceAttribute"; 4]);
        // A refusal is one, also where this run created a group.
        let ec2 = partly();
        ec2.state().broken.insert("ModifyNetworkInterfaceAttribute", Fault::Denied);
        let start = tokio::time::Instant::now();
        let report = run(&ec2, &format!("{A} {B} {C}"), limits(1, 5)).await;
        assert!(report.failures.iter().all(|failure| failure.reason.contains("UnauthorizedOperation")), "{report:?}");
        assert!(!report.failures.is_empty() && start.elapsed() < std::time::Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_load_balancer_keeps_what_it_does_with_private_link() {
        for private_link in [None, Some("off".to_owned())] {
            let ec2 = partly();
            {
                let mut state = ec2.state();
                let interface = state.interfaces.get_mut("eni-2").unwrap();
                interface.load_balancer = Some("ELB net/front/50dc6c495c0c9188".to_owned());
                interface.private_link.clone_from(&private_link);
            }
            assert_whole(&run_with(&ec2, &format!("{A} {B}"), &config(limits(1, 5)), scheduled()).await);
            assert_eq!(on_eni_2(&ec2), ["sg-1", "sg-2"]);
            let now = ec2.state().interfaces["eni-2"].private_link.clone();
            assert_eq!(now.as_deref().unwrap_or("on"), private_link.as_deref().unwrap_or("on"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_interface_lacks_is_not_removed_elsewhere() {
        let ec2 = ec2(&["10.0.0.0/23"]);
        // No room for the group that gets the narrower range.
        let own: BTreeSet<String> = (1..=4).map(|n| format!("sg-own{n}")).collect();
        for id in &own {
            ec2.state().groups.insert(id.clone(), FakeGroup::default());
        }
        ec2.state().interfaces.get_mut("eni-1").unwrap().groups.extend(own);
        let report = run(&ec2, A, limits(1, 5)).await;
        assert_eq!(report.failures[0].kind, FailureKind::InterfaceGroupLimit);
        assert_eq!(report.groups[0].kept, ranges("10.0.0.0/23"));
    }
}

/// Several runs, some of them with an older document.
mod documents {
    use super::*;

    async fn run_as(ec2: &FakeEc2, sync_token: u64, wanted: &str) -> RegionReport {
        let config = config(limits(60, 5));
        let region = Region::connect(&config.regions[0], &ec2.sdk());
        let held = region.read(&config, go()).await;
        region.reconcile(held, &publish_as(sync_token, wanted), &config, go()).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_document_than_the_groups_followed_is_stale() {
        let ec2 = ec2(&[A]);
        assert_whole(&run_as(&ec2, 7, &format!("{A} {B}")).await);
        let tagged = |ec2: &FakeEc2| {
            let state = ec2.state();
            let keys = state.groups["sg-1"].tags.keys();
            keys.filter(|key| key.starts_with(SYNC_TOKEN_TAG)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(tagged(&ec2), ["gatehouse:sync-token/7"]);
        ec2.aws.forget();
        let report = run_as(&ec2, 6, A).await;
        assert_eq!(report.failures[0].kind, FailureKind::StaleDocument);
        assert_eq!(ec2.calls(), ["DescribeSecurityGroups"]);
        // The same document, and a newer one that changes nothing, write nothing.
        ec2.aws.forget();
        assert_whole(&run_as(&ec2, 7, &format!("{A} {B}")).await);
        assert_whole(&run_as(&ec2, 8, &format!("{A} {B}")).await);
        assert_eq!(ec2.calls(), ["DescribeSecurityGroups"; 2]);
        // The tokens of older documents are removed.
        assert_whole(&run_as(&ec2, 9, A).await);
        assert_eq!(tagged(&ec2), ["gatehouse:sync-token/9"]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_token_nothing_is_removed() {
        let ec2 = ec2(&[A]);
        ec2.state().broken.insert("CreateTags", Fault::Denied);
        let report = run_as(&ec2, 7, B).await;
        assert!(failures(&report)[0].starts_with("Partial noting the sync token on the groups"), "{report:?}");
        assert_eq!(held(&ec2), rows(&[("1", &format!("{A} {B}"), true)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_range_that_another_run_removes_meanwhile_fails_the_run() {
        let ec2 = ec2(&[&format!("{A} {B}")]);
        ec2.state().latencies = VecDeque::from([0, 0, 0, 1_000]);
        let (report, ()) = futures::future::join(run_as(&ec2, 7, &format!("{A} {C}")), async {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            ec2.state().groups.get_mut("sg-1").unwrap().rules.remove(&(80, A.parse().unwrap()));
        })
        .await;
        assert!(failures(&report)[0].contains("something else removed 10.0.0.0/24 during this run"), "{report:?}");
        assert_whole(&run_as(&ec2, 7, &format!("{A} {C}")).await);
        assert_eq!(held(&ec2), rows(&[("1", &format!("{A} {C}"), true)]));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_removed_while_a_run_with_another_document_may_remove() {
        let ec2 = ec2(&[&format!("{A} {B}")]);
        let mark = |seconds: i64| {
            let until = gatehouse_shared::clock::now().unix_timestamp() + seconds;
            let tag = (format!("{SYNC_TOKEN_TAG}6/1"), format!("until {until}"));
            ec2.state().groups.get_mut("sg-1").unwrap().tags.extend([tag]);
        };
        mark(60);
        let report = run_as(&ec2, 7, &format!("{A} {C}")).await;
        let expected = "Partial removing ranges: a run with the document 6 may be removing some at this time";
        assert!(failures(&report)[0].starts_with(expected), "{report:?}");
        assert_eq!(held(&ec2), rows(&[("1", &format!("{A} {B} {C}"), true)]));
        // It ended without saying so, and its time is over.
        mark(-1);
        assert_whole(&run_as(&ec2, 7, &format!("{A} {C}")).await);
        assert_eq!(held(&ec2), rows(&[("1", &format!("{A} {C}"), true)]));
        assert_eq!(ec2.state().groups["sg-1"].tags[&format!("{SYNC_TOKEN_TAG}7")], "followed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_range_that_another_run_adds_meanwhile_fails_the_run() {
        let ec2 = ec2(&[A]);
        ec2.state().latencies = VecDeque::from([0, 0, 0, 1_000]);
        let (report, ()) = futures::future::join(run_as(&ec2, 7, &format!("{A} {B}")), async {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            ec2.state().groups.get_mut("sg-1").unwrap().rules.insert((80, C.parse().unwrap()));
        })
        .await;
        assert!(failures(&report)[0].contains(&format!("something else added {C} during this run")), "{report:?}");
        assert_whole(&run_as(&ec2, 7, &format!("{A} {B}")).await);
        assert_eq!(held(&ec2), rows(&[("1", &format!("{A} {B}"), true)]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Two runs that meet at any point, the second with an older document: whoever both documents let in stays let in;
        /// either all is as the newer document says, or one of the runs fails, so that Lambda runs it again; and then it is.
        ///
        /// Groups that hold what the newer document says without ever having followed one are left out: its run has nothing to
        /// write, so it leaves no token that would stop an older one.
        #[test]
        fn two_runs_at_once_do_no_lasting_harm(
            present in prop::collection::btree_set(network(), 0..6),
            newer in prop::collection::btree_set(network(), 1..8),
            older in prop::collection::btree_set(network(), 1..8),
            latencies in prop::collection::vec(0..50u64, 40),
            same_token in any::<bool>(),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let ec2 = ec2(&[&text(&present)]);
                let (newer, older) = (IpNet::aggregate(&newer.into_iter().collect()), IpNet::aggregate(&older.into_iter().collect()));
                let older = if same_token { newer.clone() } else { older };
                let (newer, older): (BTreeSet<_>, BTreeSet<_>) = (newer.into_iter().collect(), older.into_iter().collect());
                prop_assume!(present != newer);
                ec2.state().latencies = latencies.into();
                {
                    let mut state = ec2.state();
                    let both = |address| [&newer, &older].iter().all(|ranges| ranges.iter().any(|range| range.contains(&address)));
                    let watched: BTreeSet<_> = (0..32u32)
                        .map(|bits| std::net::IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + bits)))
                        .filter(|address| state.lets_in("eni-1", *address) && both(*address))
                        .map(|address| ("eni-1".to_owned(), address))
                        .collect();
                    state.watched = watched;
                }
                let old_token = if same_token { 7 } else { 6 };
                let (newer_text, older_text) = (text(&newer), text(&older));
                let (one, two) = futures::future::join(run_as(&ec2, 7, &newer_text), run_as(&ec2, old_token, &older_text)).await;
                prop_assert!(ec2.state().cut_off.is_empty(), "cut off: {:?}", ec2.state().cut_off);
                let held = |ec2: &FakeEc2| ec2.state().groups.values().flat_map(|group| &group.rules).map(|(_, range)| *range).collect::<BTreeSet<_>>();
                prop_assert!(held(&ec2) == newer || !one.failures.is_empty() || !two.failures.is_empty(), "{one:?} {two:?}");
                ec2.state().latencies.clear();
                let report = run_as(&ec2, 7, &newer_text).await;
                prop_assert!(report.failures.is_empty(), "{report:?}");
                prop_assert_eq!(held(&ec2), newer);
                Ok(())
            })?;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_reports_the_plan_and_writes_nothing() {
    let ec2 = ec2(&["10.0.0.0/23"]);
    let before = ec2.state().groups.clone();
    let report = run_with(&ec2, A, &config(limits(1, 5)), Run { dry_run: true, ..go() }).await;
    assert_whole(&report);
    assert_eq!(ec2.state().groups, before);
    let calls = ["DescribeSecurityGroups", "DescribeNetworkInterfaces", "DescribeNetworkInterfaces"];
    assert_eq!(ec2.calls(), calls);
    assert_eq!(report.groups[0].removed, ranges("10.0.0.0/23"));
    let new = &report.groups[1];
    assert_eq!(
        (new.resource_id.as_str(), new.name.as_str(), new.created),
        ("(new)", "AUTOUPDATE_CLOUDFRONT_80_2", true)
    );
    assert_eq!((&new.added, &new.attached), (&ranges(A), &vec!["eni-1".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn the_default_vpc_is_looked_up_once() {
    let ec2 = ec2(&[A]);
    let config = Env::of_table(&[("AWS_REGION", "eu-west-1")]).read(Config::from_env).unwrap();
    let region = Region::connect(&config.regions[0], &ec2.sdk());
    for _ in 0..2 {
        let held = region.read(&config, go()).await;
        assert_whole(&region.reconcile(held, &publish(A), &config, go()).await);
    }
    assert_eq!(ec2.calls(), ["DescribeVpcs", "DescribeSecurityGroups", "DescribeSecurityGroups"]);
}

/// What this function did not make, or keeps no more.
mod others {
    use super::*;
    use crate::config::Adopt;

    /// Forty ranges in the group of this function, and a group `payroll-db` with its tags on `eni-2`.
    fn tagged_by_somebody() -> (FakeEc2, String) {
        let published: Vec<String> = (0..40).map(|index| format!("10.1.{}.0/24", 2 * index)).collect();
        let ec2 = ec2(&[&published.join(" ")]);
        let payroll =
            FakeGroup { name: "payroll-db".into(), description: "database".into(), ..group(1, "10.9.0.0/24") };
        ec2.state().groups.insert("sg-payroll".to_owned(), payroll);
        ec2.state().interfaces.insert("eni-2".to_owned(), carrying("sg-payroll"));
        (ec2, published.join(" "))
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_somebody_only_tagged_is_named_and_left_alone() {
        for run in [go(), scheduled(), Run { force: true, ..scheduled() }] {
            let (ec2, published) = tagged_by_somebody();
            let before = ec2.state().groups.clone();
            // One range more, so that rules change.
            let report = run_with(&ec2, &format!("{published} {A}"), &config(limits(60, 5)), run).await;
            assert_whole(&report);
            assert_eq!(ec2.state().groups["sg-payroll"], before["sg-payroll"]);
            assert_eq!(ec2.state().interfaces["eni-2"].groups, BTreeSet::from(["sg-payroll".to_owned()]));
            let note = report.notes.iter().find(|note| note.contains("payroll-db")).unwrap();
            assert!(note.contains("add sg-payroll to ADOPT"), "{note}");
            assert!(report.groups.iter().all(|group| group.resource_id == "sg-1"), "{report:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_adopt_names_is_kept() {
        for adopt in [Adopt::Named(["sg-payroll".to_owned()].into()), Adopt::Tagged] {
            let (ec2, published) = tagged_by_somebody();
            let config = Config { adopt, ..config(limits(60, 5)) };
            assert_whole(&run_with(&ec2, &published, &config, scheduled()).await);
            assert!(ec2.state().groups["sg-payroll"].rules.is_empty());
            assert_eq!(ec2.state().interfaces["eni-2"].groups.len(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_adopt_named_before_is_a_failure_while_an_interface_carries_it() {
        let (ec2, published) = tagged_by_somebody();
        let adopting = Config { adopt: Adopt::Tagged, ..config(limits(60, 5)) };
        assert_whole(&run_with(&ec2, &published, &adopting, go()).await);
        let kept = ec2.state().groups.clone();
        for run in [go(), scheduled(), Run { dry_run: true, ..go() }] {
            let report = run_with(&ec2, &format!("{published} {A}"), &config(limits(60, 5)), run).await;
            let [failure] = &report.failures[..] else { panic!("{report:?}") };
            assert_eq!(
                (failure.kind, failure.what.as_str()),
                (FailureKind::Abandoned, "updating sg-payroll (payroll-db)")
            );
            assert!(failure.reason.contains("ADOPT named it") && failure.reason.contains("eni-2"), "{failure}");
            assert_eq!(ec2.state().groups["sg-payroll"].rules, kept["sg-payroll"].rules);
        }
        ec2.state().interfaces.clear();
        let report = run_with(&ec2, &published, &config(limits(60, 5)), go()).await;
        assert_whole(&report);
        assert!(report.notes.iter().any(|note| note.contains("sg-payroll")), "{report:?}");
    }

    /// A group of a service that `SERVICE` does not name any more.
    fn of_another_service() -> FakeEc2 {
        let ec2 = ec2(&[A]);
        let mut left = group(1, B);
        left.name = "AUTOUPDATE_S3_80_1".into();
        left.description = "S3 ranges on port 80, kept by Gatehouse".into();
        left.tags.insert(SERVICE_TAG.to_owned(), "S3".to_owned());
        ec2.state().groups.insert("sg-9".to_owned(), left);
        ec2
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_nothing_keeps_is_a_failure_while_an_interface_carries_it() {
        for (vpc_id, why) in [
            ("vpc-1", "holds S3 ranges for port 80, which SERVICE and PORTS no longer name"),
            ("vpc-2", "belongs to vpc-2, which VPC_ID does not name"),
        ] {
            let ec2 = of_another_service();
            ec2.state().groups.get_mut("sg-9").unwrap().vpc_id = vpc_id.to_owned();
            let report = run(&ec2, A, limits(60, 5)).await;
            assert_whole(&report);
            assert!(report.notes.iter().any(|note| note.contains(why)), "{report:?}");
            for number in 10..30 {
                ec2.state().interfaces.insert(format!("eni-{number}"), carrying("sg-9"));
            }
            // By a notice, by a schedule, and in the plan.
            for run in [go(), scheduled(), Run { dry_run: true, ..go() }] {
                let report = run_with(&ec2, A, &config(limits(60, 5)), run).await;
                let [failure] = &report.failures[..] else { panic!("{report:?}") };
                assert_eq!(
                    (failure.kind, failure.what.as_str()),
                    (FailureKind::Abandoned, "updating sg-9 (AUTOUPDATE_S3_80_1)")
                );
                assert!(failure.reason.contains(why), "{failure}");
                assert!(failure.reason.contains("eni-19 and 10 more interfaces carry it"), "{failure}");
                assert!(failure.reason.contains("add its id to ADOPT"), "{failure}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_of_another_prefix_name_is_named_where_an_interface_carries_it() {
        let ec2 = ec2(&[A]);
        let mut other = group(1, B);
        other.tags.insert(PREFIX_NAME_TAG.to_owned(), "ORIGIN".to_owned());
        ec2.state().groups.insert("sg-9".to_owned(), other);
        let config = config(limits(60, 5));
        let report = run_with(&ec2, A, &config, scheduled()).await;
        assert_whole(&report);
        assert!(report.notes.is_empty(), "{report:?}");
        ec2.state().interfaces.insert("eni-9".to_owned(), carrying("sg-9"));
        let report = run_with(&ec2, A, &config, scheduled()).await;
        assert_whole(&report);
        let [note] = &report.notes[..] else { panic!("{report:?}") };
        assert!(note.contains("sg-9") && note.contains("=ORIGIN") && note.contains("eni-9 carries it"), "{note}");
        // Not with each notice.
        assert!(run_with(&ec2, A, &config, go()).await.notes.is_empty());
    }
}

/// Tokens of newer documents on the groups.
mod tokens {
    use super::*;

    const FUTURE: u64 = 9_999_999_999;

    fn tagged(token: u64, value: &str) -> FakeEc2 {
        let ec2 = ec2(&[&format!("{A} {B}")]);
        let mut state = ec2.state();
        let tags = &mut state.groups.get_mut("sg-1").unwrap().tags;
        tags.insert(format!("{SYNC_TOKEN_TAG}{token}"), value.to_owned());
        drop(state);
        ec2
    }

    fn tokens_of(ec2: &FakeEc2) -> Vec<String> {
        let state = ec2.state();
        let keys = state.groups["sg-1"].tags.keys();
        keys.filter_map(|key| key.strip_prefix(SYNC_TOKEN_TAG)).map(str::to_owned).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_of_a_time_to_come_does_not_count() {
        for value in ["followed", "until 99999999999"] {
            // Whether or not anything changes.
            for wanted in [format!("{A} {B}"), format!("{B} {C}")] {
                let ec2 = tagged(FUTURE, value);
                let report = run(&ec2, &wanted, limits(60, 5)).await;
                assert_whole(&report);
                assert_eq!(held(&ec2), rows(&[("1", &wanted, true)]));
                assert!(report.notes.iter().any(|note| note.contains("is of a time to come")), "{report:?}");
                assert!(!tokens_of(&ec2).contains(&FUTURE.to_string()), "{:?}", tokens_of(&ec2));
                assert!(run(&ec2, &wanted, limits(60, 5)).await.notes.is_empty());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn with_force_a_run_goes_back_to_an_older_document() {
        for wanted in [format!("{A} {B}"), format!("{B} {C}")] {
            let ec2 = tagged(2, "followed");
            assert_eq!(run(&ec2, &wanted, limits(60, 5)).await.failures[0].kind, FailureKind::StaleDocument);
            let config = config(limits(60, 5));
            assert_whole(&run_with(&ec2, &wanted, &config, Run { dry_run: true, force: true, ..go() }).await);
            assert_eq!(tokens_of(&ec2), ["2"], "a plan writes nothing");
            let report = run_with(&ec2, &wanted, &config, Run { force: true, ..go() }).await;
            assert_whole(&report);
            assert!(report.notes.is_empty(), "{report:?}");
            assert_eq!(held(&ec2), rows(&[("1", &wanted, true)]));
            assert!(!tokens_of(&ec2).contains(&"2".to_owned()));
            assert_whole(&run(&ec2, &wanted, limits(60, 5)).await);
        }
    }
}

/// The parameters of a call, each as `name=value`.
fn fields(call: &Call) -> Vec<String> {
    let fields = call.parameters.as_object().unwrap().keys();
    fields.map(|name| format!("{name}={}", call.text(name))).collect()
}

/// The form in which each write call leaves, field by field.
#[tokio::test(start_paused = true)]
async fn write_calls_say_what_they_should() {
    let ec2 = ec2(&["10.0.0.0/23"]);
    let load_balancer = FakeInterface { load_balancer: Some("ELB net/front/50dc6c".to_owned()), ..carrying("sg-1") };
    ec2.state().interfaces.insert("eni-2".to_owned(), load_balancer);
    assert_whole(&run(&ec2, &format!("{A} 2001:db8::/32"), limits(1, 5)).await);
    let said = |action: &str| -> Vec<Vec<String>> { ec2.aws.calls_of(action).iter().map(fields).collect() };
    assert_eq!(
        said("CreateSecurityGroup"),
        [[
            "GroupDescription=CLOUDFRONT ranges on port 80, kept by Gatehouse",
            "GroupName=AUTOUPDATE_CLOUDFRONT_80_2",
            "TagSpecification.1.ResourceType=security-group",
            "TagSpecification.1.Tag.1.Key=Name",
            "TagSpecification.1.Tag.1.Value=AUTOUPDATE_CLOUDFRONT_80_2",
            "TagSpecification.1.Tag.2.Key=gatehouse:prefix-name",
            "TagSpecification.1.Tag.2.Value=AUTOUPDATE",
            "TagSpecification.1.Tag.3.Key=gatehouse:service",
            "TagSpecification.1.Tag.3.Value=CLOUDFRONT",
            "TagSpecification.1.Tag.4.Key=gatehouse:port",
            "TagSpecification.1.Tag.4.Value=80",
            "TagSpecification.1.Tag.5.Key=gatehouse:attach",
            "TagSpecification.1.Tag.5.Value=pending",
            "TagSpecification.1.Tag.6.Key=gatehouse:sync-token/1",
            "TagSpecification.1.Tag.6.Value=followed",
            "VpcId=vpc-1",
        ]]
    );
    let described = "CLOUDFRONT range published by AWS, kept by Gatehouse";
    assert_eq!(
        said("AuthorizeSecurityGroupIngress"),
        [
            vec![
                "GroupId=sg-1".to_owned(),
                "IpPermissions.1.FromPort=80".to_owned(),
                "IpPermissions.1.IpProtocol=tcp".to_owned(),
                "IpPermissions.1.Ipv6Ranges.1.CidrIpv6=2001:db8::/32".to_owned(),
                format!("IpPermissions.1.Ipv6Ranges.1.Description={described}"),
                "IpPermissions.1.ToPort=80".to_owned(),
            ],
            vec![
                "GroupId=sg-new1".to_owned(),
                "IpPermissions.1.FromPort=80".to_owned(),
                "IpPermissions.1.IpProtocol=tcp".to_owned(),
                "IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/24".to_owned(),
                format!("IpPermissions.1.IpRanges.1.Description={described}"),
                "IpPermissions.1.ToPort=80".to_owned(),
            ],
        ]
    );
    assert_eq!(
        said("RevokeSecurityGroupIngress"),
        [[
            "GroupId=sg-1".to_owned(),
            "IpPermissions.1.FromPort=80".to_owned(),
            "IpPermissions.1.IpProtocol=tcp".to_owned(),
            "IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/23".to_owned(),
            "IpPermissions.1.ToPort=80".to_owned(),
        ]]
    );
    assert_eq!(
        said("ModifyNetworkInterfaceAttribute"),
        [["NetworkInterfaceId=eni-1", "SecurityGroupId.1=sg-1", "SecurityGroupId.2=sg-new1"]]
    );
    assert_eq!(
        said("SetSecurityGroups"),
        [[
            "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic=on",
            "LoadBalancerArn=arn:front",
            "SecurityGroups.member.1=sg-1",
            "SecurityGroups.member.2=sg-new1",
        ]]
    );
    let [tags] = &said("CreateTags")[..] else { panic!("{:?}", said("CreateTags")) };
    let run = tags[3].strip_prefix("Tag.2.Key=gatehouse:sync-token/1/").unwrap();
    assert!(run.parse::<u64>().is_ok(), "{run}");
    let seconds: i64 = tags[4].strip_prefix("Tag.2.Value=until ").unwrap().parse().unwrap();
    // The run may take an hour here, and its last call half a minute more.
    let left = seconds - gatehouse_shared::clock::now().unix_timestamp();
    assert!((3_600..=3_630).contains(&left), "{left}");
    assert_eq!(tags[..3], ["ResourceId.1=sg-1", "Tag.1.Key=gatehouse:sync-token/1", "Tag.1.Value=followed"]);
    assert_eq!(
        said("DeleteTags"),
        [
            vec!["ResourceId.1=sg-new1".to_owned(), "Tag.1.Key=gatehouse:attach".to_owned()],
            vec!["ResourceId.1=sg-1".to_owned(), format!("Tag.1.Key=gatehouse:sync-token/1/{run}")],
        ]
    );
}

/// Outbound rules of a new group that joins a pool.
mod egress {
    use super::*;

    /// Where the groups let traffic out to, by number.
    fn outbound(ec2: &FakeEc2) -> Vec<(String, String)> {
        let text = |(port, range): &(Option<u16>, IpNet)| match port {
            Some(port) => format!("{range}:{port}"),
            None => range.to_string(),
        };
        let of = |group: &FakeGroup| group.egress.iter().map(text).collect::<Vec<_>>().join(" ");
        let state = ec2.state();
        state.groups.values().map(|group| (group.name.replace("AUTOUPDATE_CLOUDFRONT_80_", ""), of(group))).collect()
    }

    /// A pool of one full group on `eni-1`, whose outbound rules are these.
    fn pool(egress: &[(Option<u16>, &str)]) -> FakeEc2 {
        let ec2 = ec2(&[A]);
        ec2.state().groups.get_mut("sg-1").unwrap().egress =
            egress.iter().map(|(port, range)| (*port, range.parse().unwrap())).collect();
        ec2
    }

    fn expected(groups: &[(&str, &str)]) -> Vec<(String, String)> {
        groups.iter().map(|(number, egress)| ((*number).to_owned(), (*egress).to_owned())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_group_lets_out_no_more_than_every_earlier_group_of_its_pool() {
        type Rules = &'static [(Option<u16>, &'static str)];
        let cases: [(&str, Rules, bool, &str); 6] = [
            ("open", &[(None, "0.0.0.0/0")], false, "0.0.0.0/0"),
            ("closed", &[], false, ""),
            ("closed, with IPv6", &[], true, ""),
            ("open for both families", &[(None, "0.0.0.0/0"), (None, "::/0")], true, "0.0.0.0/0 ::/0"),
            ("open for IPv4 alone", &[(None, "0.0.0.0/0")], true, "0.0.0.0/0"),
            // Its rule is not copied: to let out less than the earlier group is safe, since groups add up.
            ("a rule of its own", &[(Some(443), "10.0.0.0/8")], false, ""),
        ];
        for (name, rules, ipv6, new) in cases {
            for default_vpc in [false, true] {
                let ec2 = pool(rules);
                ec2.state().ipv6 = ipv6;
                ec2.state().default_vpc = default_vpc;
                let before = outbound(&ec2)[0].1.clone();
                assert_whole(&run(&ec2, &format!("{A} {B}"), limits(1, 5)).await);
                assert_eq!(outbound(&ec2), expected(&[("1", &before), ("2", new)]), "{name}");
                assert_eq!(held(&ec2), rows(&[("1", A, true), ("2", B, true)]), "{name}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_closed_group_is_enough_to_close_a_new_one() {
        let ec2 = ec2(&[A, B]);
        ec2.state().groups.get_mut("sg-1").unwrap().egress.clear();
        assert_whole(&run(&ec2, &format!("{A} {B} {C}"), limits(1, 5)).await);
        assert_eq!(outbound(&ec2), expected(&[("1", ""), ("2", "0.0.0.0/0"), ("3", "")]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_setting_decides_for_the_first_groups_alone() {
        for (policy, first) in [(EgressPolicy::All, "0.0.0.0/0"), (EgressPolicy::None, "")] {
            let ec2 = ec2(&[]);
            let config = Config { egress: policy, ..config(limits(1, 5)) };
            let go = go();
            let report = run_with(&ec2, &format!("{A} {B}"), &config, go).await;
            assert_whole(&report);
            assert_eq!(outbound(&ec2), expected(&[("1", first), ("2", first)]));
            assert!(report.groups.iter().all(|group| group.egress_closed == (policy == EgressPolicy::None)));
            assert!(ec2.state().groups.values().all(|group| !group.tags.contains_key(ATTACH_TAG)));
            // From here on the earlier groups decide, whatever the setting says.
            let other = if policy == EgressPolicy::All { EgressPolicy::None } else { EgressPolicy::All };
            let config = Config { egress: other, ..config };
            assert_whole(&run_with(&ec2, &format!("{A} {B} {C}"), &config, go).await);
            assert_eq!(outbound(&ec2), expected(&[("1", first), ("2", first), ("3", first)]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_cannot_be_closed_is_not_attached_until_it_is() {
        let ec2 = pool(&[]);
        ec2.state().broken.insert("RevokeSecurityGroupEgress", Fault::Denied);
        let report = run(&ec2, &format!("{A} {B}"), limits(1, 5)).await;
        assert_eq!(
            failures(&report),
            [
                "Partial removing the outbound rules of sg-new1, which is not attached before that is done: UnauthorizedOperation: You are not authorized.; \
              the function's role does not allow it: compare with the policy in the template"
            ]
        );
        assert_eq!(held(&ec2), rows(&[("1", A, true), ("2", B, false)]));
        assert!(!report.groups[1].egress_closed);
        ec2.state().broken.clear();
        let report = run(&ec2, &format!("{A} {B}"), limits(1, 5)).await;
        assert_whole(&report);
        assert_eq!(held(&ec2), rows(&[("1", A, true), ("2", B, true)]));
        assert_eq!(outbound(&ec2), expected(&[("1", ""), ("2", "")]));
        assert!(report.groups[1].egress_closed && report.groups[1].is_changed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_broke_after_creating_a_group_is_finished_by_the_next_one() {
        let ec2 = pool(&[]);
        let mut left_open = group(2, B);
        left_open.tags.insert(ATTACH_TAG.to_owned(), "pending".to_owned());
        ec2.state().groups.insert("sg-2".to_owned(), left_open);
        assert_whole(&run(&ec2, &format!("{A} {B}"), limits(1, 5)).await);
        assert_eq!(outbound(&ec2), expected(&[("1", ""), ("2", "")]));
        assert_eq!(held(&ec2), rows(&[("1", A, true), ("2", B, true)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_that_ec2_still_shows_is_waited_out_before_the_group_is_attached() {
        let ec2 = pool(&[]);
        ec2.state().stale_egress = 2;
        assert_whole(&run(&ec2, &format!("{A} {B}"), limits(1, 5)).await);
        let calls = ec2.calls();
        let position = |name: &str| calls.iter().position(|call| call == name).unwrap();
        let last_revoke = calls.iter().rposition(|call| call == "RevokeSecurityGroupEgress").unwrap();
        assert!(last_revoke < position("ModifyNetworkInterfaceAttribute"), "{calls:?}");
        assert_eq!(calls.iter().filter(|call| *call == "RevokeSecurityGroupEgress").count(), 3, "{calls:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dry_run_says_that_it_would_close_the_group() {
        let ec2 = pool(&[]);
        let report = run_with(&ec2, &format!("{A} {B}"), &config(limits(1, 5)), Run { dry_run: true, ..go() }).await;
        assert!(report.groups[1].egress_closed && !report.groups[0].egress_closed);
        let calls = ["DescribeSecurityGroups", "DescribeNetworkInterfaces", "DescribeNetworkInterfaces"];
        assert_eq!(ec2.calls(), calls);
    }

    #[tokio::test(start_paused = true)]
    async fn the_call_names_the_rule_that_ec2_makes() {
        let ec2 = pool(&[]);
        ec2.state().ipv6 = true;
        assert_whole(&run(&ec2, &format!("{A} {B}"), limits(1, 5)).await);
        let fields: Vec<_> = ec2.aws.calls_of("RevokeSecurityGroupEgress").iter().flat_map(fields).collect();
        assert_eq!(
            fields,
            [
                "GroupId=sg-new1",
                "IpPermissions.1.IpProtocol=-1",
                "IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0",
                "GroupId=sg-new1",
                "IpPermissions.1.IpProtocol=-1",
                "IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0",
            ]
        );
    }
}

mod prefix_lists {
    use super::*;
    use crate::config::Target;
    use crate::fake::FakeList;

    fn config() -> Config {
        Config { target: Target::PrefixLists, ..super::config(limits(60, 5)) }
    }

    fn list(max_entries: usize, held: &str) -> FakeList {
        let tags = [(PREFIX_NAME_TAG, "AUTOUPDATE"), (SERVICE_TAG, "CLOUDFRONT"), (FAMILY_TAG, "ipv4")];
        FakeList {
            name: "AUTOUPDATE_CLOUDFRONT_ipv4_1".to_owned(),
            tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            version: 7,
            max_entries,
            entries: ranges(held),
            ..FakeList::default()
        }
    }

    fn many(count: usize, third: usize) -> String {
        (0..count).map(|n| format!("10.{third}.{}.{}/32 ", n / 128, n % 128 * 2)).collect()
    }

    async fn run(ec2: &FakeEc2, wanted: &str) -> RegionReport {
        run_with(ec2, wanted, &config(), go()).await
    }

    fn modifications(ec2: &FakeEc2) -> Vec<(usize, usize, Option<String>)> {
        let modify = ec2.aws.calls_of("ModifyManagedPrefixList").into_iter();
        let count = |call: &Call, list: &str| {
            call.parameters
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| key.starts_with(list) && key.ends_with("Cidr"))
                .count()
        };
        modify
            .map(|call| {
                let size = call.parameters["MaxEntries"].as_str().map(str::to_owned);
                (count(&call, "AddEntry"), count(&call, "RemoveEntry"), size)
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn lists_are_created_for_each_family_and_left_alone_afterwards() {
        let ec2 = FakeEc2::new();
        let wanted = format!("{} 2001:db8::/32", many(250, 0));
        let report = run(&ec2, &wanted).await;
        assert_whole(&report);
        let held: BTreeSet<IpNet> = ec2.state().lists.values().flat_map(|list| &list.entries).copied().collect();
        assert_eq!(held, ranges(&wanted));
        let mut names: Vec<_> =
            ec2.state().lists.values().map(|list| format!("{} {}", list.name, list.max_entries)).collect();
        names.sort();
        // A list counts with its size against the rules of a group: none is larger than MAX_ENTRIES_PER_LIST.
        assert_eq!(
            names,
            [
                "AUTOUPDATE_CLOUDFRONT_ipv4_1 60",
                "AUTOUPDATE_CLOUDFRONT_ipv4_2 60",
                "AUTOUPDATE_CLOUDFRONT_ipv4_3 60",
                "AUTOUPDATE_CLOUDFRONT_ipv4_4 60",
                "AUTOUPDATE_CLOUDFRONT_ipv4_5 10",
                "AUTOUPDATE_CLOUDFRONT_ipv6_1 1",
            ]
        );
        let mut sizes = modifications(&ec2);
        sizes.sort();
        assert_eq!(sizes, [(1, 0, None), (10, 0, None), (60, 0, None), (60, 0, None), (60, 0, None), (60, 0, None)]);

        ec2.aws.forget();
        ec2.state().page = 100;
        assert_whole(&run(&ec2, &wanted).await);
        let calls: BTreeSet<String> = ec2.calls().iter().cloned().collect();
        assert_eq!(calls, ["DescribeManagedPrefixLists", "GetManagedPrefixListEntries"].map(str::to_owned).into());
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_change_is_one_call_that_swaps() {
        let ec2 = FakeEc2::new();
        ec2.state().lists.insert("pl-1".to_owned(), list(2, &format!("{A} {B}")));
        let report = run(&ec2, &format!("{B} {C}")).await;
        assert_whole(&report);
        assert_eq!(modifications(&ec2), [(1, 1, None)]);
        assert_eq!((&report.groups[0].added, &report.groups[0].removed), (&ranges(C), &ranges(A)));
        let fields = fields(&ec2.aws.calls_of("ModifyManagedPrefixList")[0]);
        assert_eq!(
            fields,
            [
                "AddEntry.1.Cidr=10.0.4.0/24",
                "AddEntry.1.Description=CLOUDFRONT range published by AWS, kept by Gatehouse",
                "CurrentVersion=7",
                "PrefixListId=pl-1",
                "RemoveEntry.1.Cidr=10.0.0.0/24",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_change_adds_before_it_removes_and_makes_room_first() {
        let ec2 = FakeEc2::new();
        ec2.state().lists.insert("pl-1".to_owned(), list(60, &many(60, 0)));
        let config = Config { max_entries_per_list: 200, ..config() };
        let report = run_with(&ec2, &many(120, 1), &config, Run { force: true, ..go() }).await;
        assert_whole(&report);
        let size = |size: &str| (0, 0, Some(size.to_owned()));
        assert_eq!(
            modifications(&ec2),
            // The size follows the entries down again.
            [size("180"), (100, 0, None), (20, 0, None), (0, 60, None), size("120")]
        );
        assert_eq!(ec2.state().lists["pl-1"].entries, ranges(&many(120, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_additions_and_a_hundred_removals_are_one_call() {
        let ec2 = FakeEc2::new();
        ec2.state().lists.insert("pl-1".to_owned(), list(100, &many(100, 0)));
        let config = Config { max_entries_per_list: 200, ..config() };
        let report = run_with(&ec2, &many(100, 1), &config, Run { force: true, ..go() }).await;
        assert_whole(&report);
        assert_eq!(modifications(&ec2), [(100, 100, None)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_is_larger_than_its_entries_is_made_smaller() {
        let ec2 = FakeEc2::new();
        ec2.state().lists.insert("pl-1".to_owned(), list(476, &format!("{A} {B}")));
        assert_whole(&run(&ec2, &format!("{A} {B}")).await);
        assert_eq!(ec2.state().lists["pl-1"].max_entries, 2);
        ec2.aws.forget();
        assert_whole(&run(&ec2, &format!("{A} {B}")).await);
        assert_eq!(modifications(&ec2), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_further_list_is_named_since_no_group_refers_to_it_yet() {
        let ec2 = FakeEc2::new();
        ec2.state().lists.insert("pl-1".to_owned(), list(60, &many(60, 0)));
        let report = run(&ec2, &many(61, 0)).await;
        assert_whole(&report);
        assert!(report.notes[0].contains("AUTOUPDATE_CLOUDFRONT_ipv4_2 (pl-new1) is new"), "{:?}", report.notes);
        // What only the new list holds does not take the place of what the other one holds.
        let ec2 = FakeEc2::new();
        ec2.state().lists.insert("pl-1".to_owned(), list(1, "10.0.0.0/23"));
        let config = Config { max_entries_per_list: 1, ..config() };
        let report = run_with(&ec2, A, &config, go()).await;
        assert_eq!((report.groups[0].kept.len(), report.groups[1].added.len()), (1, 1), "{report:?}");
        let report = run_with(&ec2, A, &config, go()).await;
        assert_whole(&report);
        assert_eq!(ec2.state().lists["pl-1"].entries, BTreeSet::new());
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_version_is_waited_for_and_not_any_calm_answer() {
        let ec2 = FakeEc2::new();
        ec2.state().lists.insert("pl-1".to_owned(), list(250, &many(250, 0)));
        ec2.state().stale_lists = 3;
        let config = Config { max_entries_per_list: 1_000, ..config() };
        let report = run_with(&ec2, &format!("{} {}", many(250, 0), many(150, 1)), &config, go()).await;
        assert_whole(&report);
        assert_eq!(modifications(&ec2), [(0, 0, Some("400".to_owned())), (100, 0, None), (50, 0, None)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_reported_was_seen_in_the_list() {
        let ec2 = FakeEc2::new();
        ec2.state().lists.insert("pl-1".to_owned(), list(2, A));
        ec2.state().lists.get_mut("pl-1").unwrap().refuses = true;
        let report = run(&ec2, &format!("{A} {B}")).await;
        assert_eq!(report.failures.len(), 1, "{report:?}");
        assert_eq!((report.groups[0].added.len(), &report.not_added[0].ranges), (0, &ranges(B)));
    }

    #[tokio::test(start_paused = true)]
    async fn lists_that_followed_a_newer_document_are_left_alone() {
        let ec2 = FakeEc2::new();
        let mut newer = list(2, A);
        newer.tags.insert(format!("{SYNC_TOKEN_TAG}7"), "followed".to_owned());
        ec2.state().lists.insert("pl-1".to_owned(), newer);
        let report = run(&ec2, B).await;
        assert_eq!(report.failures[0].kind, FailureKind::StaleDocument);
        assert_eq!(modifications(&ec2), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_has_spare_entries_up_to_its_largest_size() {
        let config = Config { list_headroom: 10, max_entries_per_list: 30, ..config() };
        for (entries, size) in [(5, 15), (25, 30)] {
            let ec2 = FakeEc2::new();
            assert_whole(&run_with(&ec2, &many(entries, 0), &config, go()).await);
            assert_eq!(ec2.state().lists["pl-new1"].max_entries, size);
            // Three more ranges are one call, and no larger list.
            ec2.aws.forget();
            assert_whole(&run_with(&ec2, &many(entries + 3, 0), &config, go()).await);
            let calls = ec2.calls();
            assert_eq!(calls.iter().filter(|call| *call == "ModifyManagedPrefixList").count(), 1, "{calls:?}");
            // Fewer ranges make it smaller again.
            assert_whole(&run_with(&ec2, &many(entries - 2, 0), &config, go()).await);
            assert_eq!(ec2.state().lists["pl-new1"].max_entries, (entries - 2 + 10).min(30));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_of_a_time_to_come_does_not_count_and_force_goes_back() {
        for (token, run) in [(9_999_999_999_u64, go()), (2, Run { force: true, ..go() })] {
            for wanted in [A, B] {
                let ec2 = FakeEc2::new();
                let mut tagged = list(1, A);
                tagged.tags.insert(format!("{SYNC_TOKEN_TAG}{token}"), "followed".to_owned());
                ec2.state().lists.insert("pl-1".to_owned(), tagged);
                assert_whole(&run_with(&ec2, wanted, &config(), run).await);
                assert_eq!(ec2.state().lists["pl-1"].entries, ranges(wanted));
                let report = run_with(&ec2, wanted, &config(), go()).await;
                assert!(report.failures.is_empty() && report.notes.is_empty(), "{report:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_somebody_only_tagged_is_left_alone_until_adopt_names_it() {
        let ec2 = FakeEc2::new();
        let office = FakeList { name: "office".to_owned(), ..list(5, C) };
        ec2.state().lists.insert("pl-office".to_owned(), office);
        let report = run(&ec2, A).await;
        assert_whole(&report);
        assert!(report.notes.iter().any(|note| note.contains("add pl-office to ADOPT")), "{report:?}");
        assert_eq!(ec2.state().lists["pl-office"].entries, ranges(C));
        assert_eq!(ec2.state().lists["pl-new1"].entries, ranges(A));
        let adopt = crate::config::Adopt::Named(["pl-office".to_owned()].into());
        assert_whole(&run_with(&ec2, A, &Config { adopt, ..config() }, go()).await);
        assert_eq!(ec2.state().lists["pl-office"].entries, BTreeSet::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_that_vanishes_is_kept_unless_forced() {
        let ec2 = FakeEc2::new();
        ec2.state().lists.insert("pl-1".to_owned(), list(1, A));
        let report = run(&ec2, "2001:db8::/32").await;
        assert_eq!(report.failures[0].kind, FailureKind::NoRanges);
        assert_eq!(ec2.state().lists["pl-1"].entries, ranges(A));
        assert_whole(&run_with(&ec2, "2001:db8::/32", &config(), Run { force: true, ..go() }).await);
        assert_eq!(ec2.state().lists["pl-1"].entries, BTreeSet::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_fails_on_the_way_is_reported_with_what_was_done() {
        let ec2 = FakeEc2::new();
        ec2.state().lists.insert("pl-1".to_owned(), list(250, A));
        ec2.state().broken.insert("ModifyManagedPrefixList", Fault::Denied);
        let report = run(&ec2, &format!("{A} {B}")).await;
        assert!(
            failures(&report)[0].starts_with("Partial changing AUTOUPDATE_CLOUDFRONT_ipv4_1: UnauthorizedOperation"),
            "{report:?}"
        );
        assert_eq!((report.groups[0].added.len(), &report.not_added[0].ranges), (0, &ranges(B)));

        ec2.state().broken.clear();
        ec2.state().lists.get_mut("pl-1").unwrap().failed = Some("internal error".to_owned());
        let report = run(&ec2, &format!("{A} {B}")).await;
        assert_eq!(
            failures(&report),
            ["Partial changing AUTOUPDATE_CLOUDFRONT_ipv4_1: pl-1 could not be changed: internal error"]
        );
        ec2.state().lists.get_mut("pl-1").unwrap().failed = None;
        assert_whole(&run(&ec2, &format!("{A} {B}")).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_brake_and_the_limit_of_a_list_hold() {
        let ec2 = FakeEc2::new();
        ec2.state().lists.insert("pl-1".to_owned(), list(100, &many(30, 0)));
        let report = run(&ec2, &many(10, 0)).await;
        assert_eq!(report.failures[0].kind, FailureKind::ShrinkRefused);
        assert_eq!(report.groups[0].kept.len(), 20);
        assert_eq!(ec2.state().lists["pl-1"].entries.len(), 30);

        let config = Config { max_entries_per_list: 1, ..config() };
        let report = run_with(&FakeEc2::new(), &many(101, 0), &config, go()).await;
        assert_eq!((report.failures[0].kind, report.left_out[0].ranges.len()), (FailureKind::NoCapacity, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dry_run_writes_nothing() {
        let ec2 = FakeEc2::new();
        let report = run_with(&ec2, A, &config(), Run { dry_run: true, ..go() }).await;
        assert_eq!((report.groups[0].created, &report.groups[0].added), (true, &ranges(A)));
        assert_eq!(ec2.calls(), ["DescribeManagedPrefixLists"]);
    }
}

mod faults;
mod ip_sets;
mod parameters;
mod runs;
mod shape;

fn network() -> impl Strategy<Value = IpNet> {
    (0u32..32, 27u8..=32).prop_map(|(bits, length)| {
        IpNet::new(std::net::Ipv4Addr::from(0x0a00_0000 + bits).into(), length).unwrap().trunc()
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::LostReply),
        1 => Just(Fault::Throttled),
        1 => Just(Fault::Denied),
    ]
}

fn text(ranges: &BTreeSet<IpNet>) -> String {
    ranges.iter().map(|range| format!("{range} ")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever fails in whatever order: nobody who was let in and still is to be let in is cut off for a moment; the
    /// report says exactly what changed; and once nothing fails any more, a run brings everything in line, the parameter with
    /// the groups' ids too.
    #[test]
    fn no_mixture_of_faults_cuts_anybody_off(
        groups in prop::collection::vec(prop::collection::btree_set(network(), 0..4), 0..3),
        documents in prop::collection::vec(prop::collection::btree_set(network(), 1..10), 1..4),
        faults in prop::collection::vec(fault(), 0..40),
        quota in 4..6usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let groups: Vec<String> = groups.iter().map(text).collect();
            let ec2 = ec2(&groups.iter().map(String::as_str).collect::<Vec<_>>());
            ec2.state().faults = faults.into();
            ec2.state().rules_per_group = quota;
            // Room for the groups that a broken run leaves behind.
            ec2.state().groups_per_interface = 16;
            let prefix = Some("/gatehouse".parse().unwrap());
            let config = Config { parameter_prefix: prefix, ..config(limits(quota, 16)) };
            for wanted in &documents {
                let watched: BTreeSet<_> = {
                    let state = ec2.state();
                    (0..32u32).map(|bits| std::net::IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + bits)))
                        .filter(|address| state.lets_in("eni-1", *address) && wanted.iter().any(|range| range.contains(address)))
                        .map(|address| ("eni-1".to_owned(), address))
                        .collect()
                };
                let before = ec2.state().groups.clone();
                ec2.state().watched = watched;
                let report = run_with(&ec2, &text(wanted), &config, go()).await;
                prop_assert!(ec2.state().cut_off.is_empty(), "cut off: {:?}", ec2.state().cut_off);
                for group in &report.groups {
                    let now = ec2.state().groups[&group.resource_id].rules.clone();
                    let then = before.get(&group.resource_id).map(|group| group.rules.clone()).unwrap_or_default();
                    let gained: BTreeSet<IpNet> = now.difference(&then).map(|(_, range)| *range).collect();
                    let lost: BTreeSet<IpNet> = then.difference(&now).map(|(_, range)| *range).collect();
                    // A call whose every reply is lost may have taken effect: then it is reported as failed.
                    prop_assert!(group.added.is_subset(&gained) && group.removed.is_subset(&lost), "{:?}", group);
                    if report.failures.is_empty() {
                        prop_assert_eq!((&group.added, &group.removed), (&gained, &lost));
                    }
                }
            }
            let wanted = documents.last().unwrap();
            ec2.state().faults.clear();
            let report = run_with(&ec2, &text(wanted), &config, go()).await;
            prop_assert!(report.failures.is_empty() && report.left_out.is_empty(), "{:?}", report);
            let held: Vec<IpNet> = ec2.state().groups.values().flat_map(|group| &group.rules).map(|(_, range)| *range).collect();
            prop_assert_eq!(held.len(), wanted.len());
            prop_assert_eq!(&held.into_iter().collect::<BTreeSet<_>>(), wanted);
            let (kind, value) = ec2.state().ssm.parameters["/gatehouse/CLOUDFRONT/80"].clone();
            let published: BTreeSet<String> = value.split(',').map(str::to_owned).collect();
            let needed: BTreeSet<String> =
                ec2.state().groups.iter().filter(|(_, group)| !group.rules.is_empty()).map(|(id, _)| id.clone()).collect();
            prop_assert_eq!((kind.as_str(), &published), ("StringList", &needed));
            if !groups.is_empty() {
                let state = ec2.state();
                let attached = &state.interfaces["eni-1"].groups;
                prop_assert!(needed.is_subset(attached), "every group that holds ranges is attached: {:?}", attached);
            }
            Ok(())
        })?;
    }
}
