//! One table of cases for all three targets: what differs between them is only how the world is built and read.

use super::*;
use crate::config::Target;
use crate::fake::FakeList;
use crate::fake::json::FakeSet;

const TARGETS: [Target; 3] = [Target::SecurityGroups, Target::PrefixLists, Target::WafIpSets];

/// Calls that change something.
const WRITES: [&str; 11] = [
    "CreateSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "RevokeSecurityGroupIngress",
    "RevokeSecurityGroupEgress",
    "ModifyNetworkInterfaceAttribute",
    "CreateManagedPrefixList",
    "ModifyManagedPrefixList",
    "CreateTags",
    "DeleteTags",
    "CreateIPSet",
    "UpdateIPSet",
];

fn config(target: Target) -> Config {
    Config { target, families: vec![ip_ranges_planner::family::Family::Ipv4], ..super::config(limits(60, 5)) }
}

/// The name that the target gives its first resource.
fn name(target: Target) -> &'static str {
    match target {
        Target::SecurityGroups => "AUTOUPDATE_CLOUDFRONT_80_1",
        Target::PrefixLists => "AUTOUPDATE_CLOUDFRONT_ipv4_1",
        Target::WafIpSets => "AUTOUPDATE_CLOUDFRONT_ipv4",
    }
}

/// A world with this resource, if it holds something; `is_ours`: with the tags of this function.
fn world(target: Target, held: Option<&str>, is_ours: bool) -> FakeEc2 {
    let ec2 = FakeEc2::new();
    let Some(held) = held else { return ec2 };
    let last = if target == Target::SecurityGroups { (PORT_TAG, "80") } else { (FAMILY_TAG, "ipv4") };
    let tags = [(PREFIX_NAME_TAG, "AUTOUPDATE"), (SERVICE_TAG, "CLOUDFRONT"), last];
    let tags = tags.into_iter().filter(|_| is_ours).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let name = name(target).to_owned();
    let mut state = ec2.state();
    match target {
        Target::SecurityGroups => drop(state.groups.insert("sg-1".to_owned(), FakeGroup { tags, ..group(1, held) })),
        Target::PrefixLists => {
            let list =
                FakeList { name, tags, version: 1, max_entries: 60, entries: ranges(held), ..FakeList::default() };
            state.lists.insert("pl-1".to_owned(), list);
        }
        Target::WafIpSets => {
            let set = FakeSet {
                scope: "REGIONAL".to_owned(),
                version: "IPV4".to_owned(),
                description: "CLOUDFRONT ipv4 ranges of document 1, kept by Gatehouse".to_owned(),
                addresses: ranges(held),
                tags,
                ..FakeSet::default()
            };
            state.waf.sets.insert(name, set);
        }
    }
    drop(state);
    ec2
}

/// The ranges in everything that the world holds.
fn all(ec2: &FakeEc2) -> BTreeSet<IpNet> {
    let state = ec2.state();
    let rules = state.groups.values().flat_map(|group| group.rules.iter().map(|(_, range)| *range));
    let entries = state.lists.values().flat_map(|list| list.entries.iter().copied());
    rules.chain(entries).chain(state.waf.sets.values().flat_map(|set| set.addresses.iter().copied())).collect()
}

fn writes(ec2: &FakeEc2) -> Vec<String> {
    ec2.calls().iter().filter(|call| WRITES.contains(&call.as_str())).cloned().collect()
}

struct Case {
    name: &'static str,
    /// What is there, if anything is; whether it has our tags.
    present: Option<(&'static str, bool)>,
    wanted: &'static str,
    never_create: bool,
    dry_run: bool,
    /// For every write call of the target's ranges.
    fault: Fault,
    /// What everything holds afterwards.
    held: &'static str,
    /// Ranges that the report adds, removes, leaves out and did not add.
    added: &'static str,
    removed: &'static str,
    left_out: &'static str,
    not_added: &'static str,
    /// By target.
    failures: [&'static [FailureKind]; 3],
}

const NONE: [&[FailureKind]; 3] = [&[], &[], &[]];
const QUIET: Case = Case {
    name: "nothing to do",
    present: Some(("10.0.0.0/24", true)),
    wanted: "10.0.0.0/24",
    never_create: false,
    dry_run: false,
    fault: Fault::None,
    held: "10.0.0.0/24",
    added: "",
    removed: "",
    left_out: "",
    not_added: "",
    failures: NONE,
};

#[tokio::test(start_paused = true)]
async fn the_three_targets_do_the_same() {
    const NO_CAPACITY: [&[FailureKind]; 3] = [&[FailureKind::NoCapacity]; 3];
    const PARTIAL: [&[FailureKind]; 3] = [&[FailureKind::Partial]; 3];
    let cases = [
        QUIET,
        Case {
            name: "nothing there",
            present: None,
            wanted: "10.0.0.0/24 10.0.2.0/24",
            held: "10.0.0.0/24 10.0.2.0/24",
            added: "10.0.0.0/24 10.0.2.0/24",
            ..QUIET
        },
        Case {
            name: "one range changed",
            wanted: "10.0.2.0/24",
            held: "10.0.2.0/24",
            added: "10.0.2.0/24",
            removed: "10.0.0.0/24",
            ..QUIET
        },
        Case {
            name: "CREATE=never, nothing there",
            present: None,
            never_create: true,
            held: "",
            left_out: "10.0.0.0/24",
            failures: NO_CAPACITY,
            ..QUIET
        },
        Case {
            name: "CREATE=never, one there",
            never_create: true,
            wanted: "10.0.2.0/24",
            held: "10.0.2.0/24",
            added: "10.0.2.0/24",
            removed: "10.0.0.0/24",
            ..QUIET
        },
        Case { name: "dry run, nothing there", present: None, dry_run: true, held: "", added: "10.0.0.0/24", ..QUIET },
        Case {
            name: "dry run, one range changed",
            dry_run: true,
            wanted: "10.0.2.0/24",
            added: "10.0.2.0/24",
            removed: "10.0.0.0/24",
            ..QUIET
        },
        Case {
            name: "a call fails half-way",
            wanted: "10.0.0.0/25",
            fault: Fault::Denied,
            not_added: "10.0.0.0/25",
            failures: PARTIAL,
            ..QUIET
        },
    ];
    for case in &cases {
        for (target, kinds) in TARGETS.into_iter().zip(case.failures) {
            let name = format!("{}, {target:?}", case.name);
            let ec2 = world(target, case.present.map(|(held, _)| held), case.present.is_none_or(|(_, ours)| ours));
            for call in ["AuthorizeSecurityGroupIngress", "ModifyManagedPrefixList", "UpdateIPSet"] {
                ec2.state().broken.insert(call, case.fault);
            }
            let create = if case.never_create { CreatePolicy::Never } else { CreatePolicy::Always };
            let config = Config { create, ..config(target) };
            let run = Run { dry_run: case.dry_run, ..go() };
            let report = run_with(&ec2, case.wanted, &config, run).await;
            assert_eq!(all(&ec2), ranges(case.held), "{name}: {report:?}");
            let of = |ranges: fn(&ResourceReport) -> &BTreeSet<IpNet>| -> BTreeSet<IpNet> {
                report.groups.iter().flat_map(|group| ranges(group).iter().copied()).collect()
            };
            let without = |ranges: &[crate::report::RangesWithoutRule]| -> BTreeSet<IpNet> {
                ranges.iter().flat_map(|without| without.ranges.iter().copied()).collect()
            };
            assert_eq!(of(|group| &group.added), ranges(case.added), "{name}: {report:?}");
            assert_eq!(of(|group| &group.removed), ranges(case.removed), "{name}: {report:?}");
            assert_eq!(without(&report.left_out), ranges(case.left_out), "{name}: {report:?}");
            assert_eq!(without(&report.not_added), ranges(case.not_added), "{name}: {report:?}");
            let found: Vec<_> = report.failures.iter().map(|failure| failure.kind).collect();
            assert_eq!(found, kinds, "{name}: {report:?}");
            if case.dry_run {
                assert_eq!(writes(&ec2), [""; 0], "{name}");
                assert!(report.groups.iter().all(|group| (group.resource_id == "(new)") == group.created), "{name}");
            }
            if case.never_create && case.present.is_none() {
                assert!(report.failures[0].reason.contains("CREATE=never"), "{name}: {report:?}");
                assert_eq!(writes(&ec2), [""; 0], "{name}");
            }
            // One run more, without faults and with the right to create, ends where all others do; the one after it is quiet.
            ec2.state().broken.clear();
            let config = self::config(target);
            assert_whole(&run_with(&ec2, case.wanted, &config, go()).await);
            assert_eq!(all(&ec2), ranges(case.wanted), "{name}");
            ec2.aws.forget();
            assert!(!run_with(&ec2, case.wanted, &config, go()).await.has_changes(), "{name}");
            assert_eq!(writes(&ec2), [""; 0], "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_left_out_by_every_target() {
    let many = |count: usize| (0..count).map(|n| format!("10.{}.{}.0/24 ", n / 256, n % 256)).collect::<String>();
    // A group of one rule, 100 lists of one entry, a set of 10,000 addresses.
    for (target, fits) in TARGETS.into_iter().zip([1, 100, 10_000]) {
        let config = Config { limits: limits(1, 1), max_entries_per_list: 1, ..config(target) };
        let ec2 = world(target, None, true);
        let report = run_with(&ec2, &many(fits + 1), &config, go()).await;
        assert_eq!(all(&ec2).len(), fits, "{target:?}");
        assert_eq!(report.left_out.iter().map(|left| left.ranges.len()).sum::<usize>(), 1, "{target:?}");
        let kinds: Vec<_> = report.failures.iter().map(|failure| failure.kind).collect();
        assert_eq!((kinds, report.not_added.len()), (vec![FailureKind::NoCapacity], 0), "{target:?}");
    }
}

/// Groups and lists get another number or have no unique names; the name of a set is taken.
#[tokio::test(start_paused = true)]
async fn something_else_that_has_our_name_is_not_touched() {
    for target in TARGETS {
        let ec2 = world(target, Some(B), false);
        let report = run_with(&ec2, A, &config(target), go()).await;
        let is_taken = target == Target::WafIpSets;
        let expected = if is_taken { ranges(B) } else { ranges(&format!("{A} {B}")) };
        let kinds: &[FailureKind] = if is_taken { &[FailureKind::Partial] } else { &[] };
        assert_eq!(all(&ec2), expected, "{target:?}: {report:?}");
        let found: Vec<_> = report.failures.iter().map(|failure| failure.kind).collect();
        assert_eq!(found, kinds, "{target:?}: {report:?}");
        assert!(report.groups.iter().all(|group| group.created), "{target:?}: {report:?}");
    }
}

/// AWS answers without something that every such answer has.
#[tokio::test(start_paused = true)]
async fn from_an_incomplete_answer_nothing_is_concluded() {
    for (target, lacks, expected) in [
        (Target::SecurityGroups, "groupId", "the answer has no GroupId"),
        (Target::SecurityGroups, "groupName", "the answer has no GroupName"),
        (Target::SecurityGroups, "vpcId", "the answer has no VpcId"),
        (Target::SecurityGroups, "ownerId", "the answer has no OwnerId"),
        (Target::PrefixLists, "prefixListId", "the answer has no PrefixListId"),
        (Target::PrefixLists, "prefixListName", "the answer has no PrefixListName"),
        (Target::PrefixLists, "version", "the answer has no Version"),
        (Target::PrefixLists, "maxEntries", "the answer has no MaxEntries"),
        (Target::PrefixLists, "cidr", "the answer has no Cidr"),
        (Target::WafIpSets, "Id", "the answer has no Id"),
        (Target::WafIpSets, "ARN", "the answer has no ARN"),
        (Target::WafIpSets, "LockToken", "the answer has no LockToken"),
    ] {
        let ec2 = world(target, Some(A), true);
        ec2.state().lacks = Some(lacks);
        let report = run_with(&ec2, B, &config(target), go()).await;
        let found = failures(&report);
        assert!(found.len() == 1 && found[0].ends_with(expected), "{target:?} {lacks}: {report:?}");
        assert_eq!((writes(&ec2), all(&ec2)), (Vec::new(), ranges(A)), "{target:?} {lacks}");
        assert!(!report.is_planned, "{target:?} {lacks}: {report:?}");
        ec2.state().lacks = None;
        assert_whole(&run_with(&ec2, B, &config(target), go()).await);
    }
}

/// Every edition of the document that was recorded, one after the other: each target ends with exactly its ranges.
#[tokio::test(start_paused = true)]
async fn each_recorded_edition_is_followed_exactly() {
    use ip_ranges_planner::document::{self, Selection};
    use ip_ranges_planner::family::Family;

    let Some(folder) = gatehouse_testkit::real("ip-ranges") else { return };
    let mut editions: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    editions.sort();
    assert!(editions.len() > 3, "{editions:?}");
    let services = ["CLOUDFRONT", "CLOUDFRONT_ORIGIN_FACING", "ROUTE53_HEALTHCHECKS"].map(|name| name.parse().unwrap());
    let worlds = TARGETS.map(|target| (target, FakeEc2::new()));
    for (target, ec2) in &worlds {
        ec2.state().rules_per_group = 1_000;
        let config = Config {
            families: Family::BOTH.to_vec(),
            services: services.to_vec(),
            limits: limits(60, 16),
            ..config(*target)
        };
        let region = Region::connect(&config.regions[0], &ec2.sdk());
        for edition in &editions {
            let unpacked = std::process::Command::new("gzip").arg("-dc").arg(edition).output().unwrap();
            assert!(unpacked.status.success(), "{edition:?}");
            let published = document::read(&unpacked.stdout, Selection::from(&config)).unwrap();
            let name = format!("{target:?} {}", edition.display());
            // Four years between two of them: more goes than the brake allows.
            let run = Run { force: true, ..go() };
            let report = region.reconcile(region.read(&config, run).await, &published, &config, run).await;
            assert!(report.left_out.is_empty() && report.not_added.is_empty(), "{name}: {:?}", report.failures);
            assert_eq!(failures(&report), [""; 0], "{name}");
            let wanted: BTreeSet<IpNet> = published.services.iter().flat_map(|(_, ranges)| ranges).copied().collect();
            assert!(
                Family::BOTH.iter().all(|family| wanted.iter().any(|range| Family::of(range) == *family)),
                "{name}"
            );
            assert_eq!(all(ec2), wanted, "{name}");
            ec2.aws.forget();
            let quiet = region.reconcile(region.read(&config, go()).await, &published, &config, go()).await;
            assert!(quiet.failures.is_empty() && !quiet.has_changes(), "{name}: {quiet:?}");
            assert_eq!(writes(ec2), [""; 0], "{name}");
        }
    }
}
