//! `TARGET=waf-ip-sets`.

use super::*;
use crate::config::{CreatePolicy, Target};
use crate::fake::json::{FakeSet, uuid};

const NAME: &str = "AUTOUPDATE_CLOUDFRONT_ipv4";

fn config() -> Config {
    Config { target: Target::WafIpSets, ..super::config(limits(60, 5)) }
}

/// A set as the function leaves it, which follows this document.
fn set(document: u64, held: &str) -> FakeSet {
    let tags = [(PREFIX_NAME_TAG, "AUTOUPDATE"), (SERVICE_TAG, "CLOUDFRONT"), (FAMILY_TAG, "ipv4")];
    FakeSet {
        scope: "REGIONAL".to_owned(),
        version: "IPV4".to_owned(),
        description: format!("CLOUDFRONT ipv4 ranges of document {document}, kept by Gatehouse"),
        addresses: ranges(held),
        tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        lock: 3,
        number: 0,
    }
}

fn with(held: FakeSet) -> FakeEc2 {
    let ec2 = FakeEc2::new();
    ec2.state().waf.sets.insert(NAME.to_owned(), held);
    ec2
}

async fn run(ec2: &FakeEc2, wanted: &str) -> RegionReport {
    run_with(ec2, wanted, &config(), go()).await
}

fn held(ec2: &FakeEc2) -> BTreeSet<IpNet> {
    ec2.state().waf.sets.values().flat_map(|set| &set.addresses).copied().collect()
}

fn count(ec2: &FakeEc2, action: &str) -> usize {
    ec2.calls().iter().filter(|call| *call == action).count()
}

#[tokio::test(start_paused = true)]
async fn a_set_is_created_for_each_family_and_left_alone_afterwards() {
    let ec2 = FakeEc2::new();
    let wanted = format!("{A} {B} 2001:db8::/32");
    let report = run(&ec2, &wanted).await;
    assert_whole(&report);
    assert_eq!(held(&ec2), ranges(&wanted));
    let groups: Vec<_> =
        report.groups.iter().map(|group| (group.name.as_str(), group.created, group.added.len())).collect();
    assert_eq!(groups, [(NAME, true, 2), ("AUTOUPDATE_CLOUDFRONT_ipv6", true, 1)]);
    ec2.aws.forget();
    ec2.state().waf.page = 1;
    assert_whole(&run(&ec2, &wanted).await);
    // Two sets, a page each, and the empty page after them.
    let reads = ["ListIPSets", "ListTagsForResource", "GetIPSet"].map(|call| count(&ec2, call));
    assert_eq!((reads, ec2.calls().len()), ([3, 2, 2], 7));
}

#[tokio::test(start_paused = true)]
async fn write_calls_say_what_they_should() {
    let ec2 = FakeEc2::new();
    assert_whole(&run(&ec2, A).await);
    assert_whole(&run(&ec2, B).await);
    let said = |action: &str| ec2.aws.calls_of(action).remove(0).parameters;
    let description = "CLOUDFRONT ipv4 ranges of document 1, kept by Gatehouse";
    assert_eq!(
        said("CreateIPSet"),
        serde_json::json!({
            "Name": NAME, "Scope": "REGIONAL", "Description": description, "IPAddressVersion": "IPV4", "Addresses": [A],
            "Tags": [
                {"Key": "Name", "Value": NAME}, {"Key": "gatehouse:prefix-name", "Value": "AUTOUPDATE"},
                {"Key": "gatehouse:service", "Value": "CLOUDFRONT"}, {"Key": "gatehouse:family", "Value": "ipv4"},
            ],
        })
    );
    assert_eq!(
        said("UpdateIPSet"),
        serde_json::json!({
            "Name": NAME, "Scope": "REGIONAL", "Id": uuid(1), "Description": description, "Addresses": [B],
            "LockToken": uuid(0),
        })
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_person_added_is_removed_and_reported() {
    let ec2 = with(set(1, &format!("{A} 203.0.113.9/32")));
    let report = run(&ec2, &format!("{A} {B}")).await;
    assert_whole(&report);
    assert_eq!((&report.groups[0].added, &report.groups[0].removed), (&ranges(B), &ranges("203.0.113.9/32")));
    assert_eq!((count(&ec2, "UpdateIPSet"), held(&ec2)), (1, ranges(&format!("{A} {B}"))));
}

#[tokio::test(start_paused = true)]
async fn a_set_that_something_else_writes_to_is_read_and_planned_again() {
    let ec2 = with(set(1, A));
    ec2.state().waf.others = VecDeque::from([(ranges(C), "by hand".to_owned()), (ranges(A), "by hand".to_owned())]);
    assert_whole(&run(&ec2, B).await);
    assert_eq!((count(&ec2, "UpdateIPSet"), held(&ec2)), (3, ranges(B)));
    // One that never rests is reported, and the run ends.
    ec2.state().waf.others = std::iter::repeat_n((ranges(C), "by hand".to_owned()), 50).collect();
    let report = run(&ec2, A).await;
    let expected = format!("Partial updating the IP set {NAME}: WAFOptimisticLockException");
    assert!(failures(&report)[0].starts_with(&expected), "{report:?}");
    assert_eq!(report.not_added[0].ranges, ranges(A));
}

#[tokio::test(start_paused = true)]
async fn what_something_else_did_meanwhile_is_not_reported_as_done_by_this_run() {
    let by_hand = "203.0.113.9/32";
    // The set held A and C and is to hold A and B. Somebody adds an address, or takes A out, just before the write; then
    // the next write is refused, or not.
    for (others, then, added, removed) in [
        (format!("{A} {C} {by_hand}"), Fault::Denied, "".to_owned(), "".to_owned()),
        (format!("{A} {C} {by_hand}"), Fault::None, B.to_owned(), format!("{C} {by_hand}")),
        (C.to_owned(), Fault::Denied, "".to_owned(), "".to_owned()),
        (C.to_owned(), Fault::None, format!("{A} {B}"), C.to_owned()),
    ] {
        let ec2 = with(set(1, &format!("{A} {C}")));
        ec2.state().waf.others = [(ranges(&others), "by hand".to_owned())].into();
        // List twice, tags, get, a write that meets the other one, and get again.
        ec2.state().faults = std::iter::repeat_n(Fault::None, 6).chain([then]).collect();
        let report = run(&ec2, &format!("{A} {B}")).await;
        let group = &report.groups[0];
        assert_eq!((&group.added, &group.removed), (&ranges(&added), &ranges(&removed)), "{others} {then:?}");
        assert_eq!(report.failures.is_empty(), then == Fault::None, "{report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_run_goes_back_to_an_older_document() {
    let ec2 = with(set(7, A));
    let report = run(&ec2, B).await;
    assert_eq!(report.failures[0].kind, FailureKind::StaleDocument);
    assert!(report.failures[0].reason.contains("the description of the IP set"), "{report:?}");
    assert_eq!((count(&ec2, "UpdateIPSet"), held(&ec2)), (0, ranges(A)));
    // The newer document arrives between the read and the write.
    let ec2 = with(set(1, A));
    ec2.state().waf.others = VecDeque::from([(ranges(C), set(7, "").description)]);
    let report = run(&ec2, B).await;
    assert_eq!((report.failures[0].kind, held(&ec2)), (FailureKind::StaleDocument, ranges(C)));
}

#[tokio::test(start_paused = true)]
async fn a_description_of_a_time_to_come_does_not_count_and_force_goes_back() {
    // Whether or not the addresses change, the description does.
    for wanted in [A, B] {
        let ec2 = with(set(9_999_999_999, A));
        let report = run(&ec2, wanted).await;
        assert_whole(&report);
        assert!(report.notes[0].contains("is of a time to come"), "{report:?}");
        assert_eq!((count(&ec2, "UpdateIPSet"), held(&ec2)), (1, ranges(wanted)));
        assert!(run(&ec2, wanted).await.notes.is_empty());

        let ec2 = with(set(7, A));
        assert_whole(&run_with(&ec2, wanted, &config(), Run { force: true, ..go() }).await);
        assert_eq!((count(&ec2, "UpdateIPSet"), held(&ec2)), (1, ranges(wanted)));
        assert_whole(&run(&ec2, wanted).await);
        assert_eq!(count(&ec2, "UpdateIPSet"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_that_cannot_be_read_does_not_hold_up_the_others() {
    let ec2 = FakeEc2::new();
    let old = format!("{A} 2001:db8::/32");
    assert_whole(&run(&ec2, &old).await);
    let other = FakeSet { scope: "REGIONAL".to_owned(), ..FakeSet::default() };
    ec2.state().waf.sets.insert("AUTOUPDATE_OTHER_ipv4".to_owned(), other);
    // ListIPSets twice, then of each set first its tags: ours of IPv4, ours of IPv6, the other.
    let wanted = format!("{B} 2001:db8:1::/48");
    for at in [2, 3] {
        ec2.state().faults = std::iter::repeat_n(Fault::None, at).chain([Fault::Denied]).collect();
        let report = run(&ec2, &wanted).await;
        let expected = "Partial reading the IP set AUTOUPDATE_CLOUDFRONT_ipv4: AccessDeniedException";
        assert!(report.failures.len() == 1 && failures(&report)[0].starts_with(expected), "{report:?}");
        assert!(!report.is_planned, "nobody knows what has no room in that one");
        assert_eq!(held(&ec2), ranges(&format!("{A} 2001:db8:1::/48")));
    }
    assert_whole(&run(&ec2, &wanted).await);
    assert_eq!(held(&ec2), ranges(&wanted));
    // One that is none of ours is a note.
    ec2.state().faults = std::iter::repeat_n(Fault::None, 6).chain([Fault::Denied]).collect();
    let report = run(&ec2, &wanted).await;
    assert_whole(&report);
    assert!(
        report.notes[0].starts_with("the IP set AUTOUPDATE_OTHER_ipv4 could not be read: AccessDenied"),
        "{report:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_set_without_our_tags_is_reported_and_not_written() {
    let other = (PREFIX_NAME_TAG.to_owned(), "OTHER".to_owned());
    for (tags, version) in [
        (BTreeMap::new(), "IPV4"),
        (set(1, "").tags.into_iter().chain([other]).collect(), "IPV4"),
        (set(1, "").tags, "IPV6"),
    ] {
        let stranger = FakeSet { tags, version: version.to_owned(), ..set(1, "") };
        let ec2 = with(stranger.clone());
        let report = run(&ec2, A).await;
        let expected = format!("Partial creating the IP set {NAME}: a set of this name is there, but it");
        assert!(failures(&report)[0].starts_with(&expected), "{report:?}");
        assert_eq!((ec2.state().waf.sets[NAME].clone(), &report.not_added[0].ranges), (stranger, &ranges(A)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_that_somebody_deletes_after_it_was_read_is_made_anew() {
    // Before the write, between a refused write and the read after it, and so late that no attempt is left but to make it.
    let late = [[Fault::Changed, Fault::None]; 3].concat().into_iter().chain([Fault::Deleted]).collect::<Vec<_>>();
    for (faults, updates) in [(&[Fault::Deleted][..], 1), (&[Fault::Changed, Fault::Deleted], 1), (&late, 4)] {
        let ec2 = with(set(1, C));
        ec2.state().faults = std::iter::repeat_n(Fault::None, 4).chain(faults.iter().copied()).collect();
        let report = run(&ec2, A).await;
        assert_whole(&report);
        assert_eq!((count(&ec2, "UpdateIPSet"), count(&ec2, "CreateIPSet"), held(&ec2)), (updates, 1, ranges(A)));
        let made = &report.groups[0];
        assert!(made.created && made.resource_id.ends_with(&uuid(1)), "{made:?}");
        assert_eq!((&made.added, &made.removed), (&ranges(A), &BTreeSet::new()));
    }
    let ec2 = with(set(1, C));
    ec2.state().faults = vec![Fault::None, Fault::None, Fault::None, Fault::None, Fault::Deleted].into();
    let report = run_with(&ec2, A, &Config { create: CreatePolicy::Never, ..config() }, go()).await;
    assert_eq!((report.failures[0].kind, count(&ec2, "CreateIPSet")), (FailureKind::NoCapacity, 0));
    assert!(report.groups.is_empty(), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_set_that_another_run_made_first_is_updated_and_not_reported_as_created() {
    let ec2 = with(set(1, C));
    // Not there when it is listed, and there when it is to be created.
    ec2.state().waf.sets.get_mut(NAME).unwrap().number = 1;
    ec2.state().waf.unlisted = 1;
    let report = run(&ec2, A).await;
    assert_whole(&report);
    assert_eq!((count(&ec2, "CreateIPSet"), count(&ec2, "UpdateIPSet"), held(&ec2)), (1, 1, ranges(A)));
    let kept = &report.groups[0];
    assert_eq!((kept.created, &kept.added, &kept.removed), (false, &ranges(A), &ranges(C)));
    // It follows a newer document.
    let ec2 = with(FakeSet { number: 1, ..set(7, C) });
    ec2.state().waf.unlisted = 1;
    let report = run(&ec2, A).await;
    assert_eq!((report.failures[0].kind, held(&ec2)), (FailureKind::StaleDocument, ranges(C)));
}

#[tokio::test(start_paused = true)]
async fn a_set_whose_creation_was_answered_by_nobody_is_waited_for_until_it_is_listed() {
    for (unlisted, expected) in [
        (1, ""),
        (4, ""),
        (20, "WAFDuplicateItemException; AWS WAF does not list it yet, and the next run looks again"),
    ] {
        let ec2 = FakeEc2::new();
        ec2.state().faults = [Fault::None, Fault::LostReply].into();
        ec2.state().waf.unlisted = unlisted;
        let report = run(&ec2, A).await;
        let failures = failures(&report);
        assert!(failures.concat().contains(expected) && failures.is_empty() == expected.is_empty(), "{report:?}");
        assert_eq!((count(&ec2, "CreateIPSet"), held(&ec2)), (2, ranges(A)));
        ec2.state().waf.unlisted = 0;
        assert_whole(&run(&ec2, A).await);
        assert_eq!(count(&ec2, "CreateIPSet"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn near_the_deadline_no_set_is_begun_and_the_next_run_goes_on() {
    let wanted = format!("{A} 2001:db8::/32");
    let in_a_second = || Run { stop: tokio::time::Instant::now() + std::time::Duration::from_secs(1), ..go() };
    // The first creation takes longer than there is time, and the second is not begun. (A call that is given up never
    // arrives at the fake.)
    let ec2 = FakeEc2::new();
    ec2.state().latencies = [0, 5_000].into();
    let report = run_with(&ec2, &wanted, &config(), in_a_second()).await;
    assert_eq!(
        failures(&report),
        [
            "OutOfTime creating the IP set AUTOUPDATE_CLOUDFRONT_ipv4: Lambda's deadline is near, and a call that was under way may have taken effect; the next run continues",
            "OutOfTime creating the IP set AUTOUPDATE_CLOUDFRONT_ipv6: Lambda's deadline is near; the next run continues",
        ]
    );
    let not_added: BTreeSet<IpNet> = report.not_added.iter().flat_map(|it| &it.ranges).copied().collect();
    assert_eq!((not_added, count(&ec2, "CreateIPSet"), report.groups.len()), (ranges(&wanted), 0, 0));
    assert_whole(&run(&ec2, &wanted).await);
    assert_eq!(held(&ec2), ranges(&wanted));
    // One is done in time, and the report has it.
    ec2.state().latencies = [0, 0, 0, 0, 0, 0, 0, 5_000].into();
    ec2.aws.forget();
    let report = run_with(&ec2, &format!("{B} 2001:db8:1::/48"), &config(), in_a_second()).await;
    assert_eq!((report.groups[0].added.clone(), report.groups[1].added.clone()), (ranges(B), BTreeSet::new()));
    assert_eq!((failures(&report).len(), count(&ec2, "UpdateIPSet")), (1, 1));
    assert_whole(&run(&ec2, &format!("{B} 2001:db8:1::/48")).await);
    assert_eq!(held(&ec2), ranges(&format!("{B} 2001:db8:1::/48")));
    // Without time to read, nothing is begun.
    ec2.aws.forget();
    let report = run_with(&ec2, &wanted, &config(), Run { stop: tokio::time::Instant::now(), ..go() }).await;
    assert_eq!((report.failures[0].kind, report.is_planned, ec2.calls().len()), (FailureKind::OutOfTime, false, 0));
}

#[tokio::test(start_paused = true)]
async fn lost_replies_and_throttling_do_no_harm() {
    for fault in [Fault::LostReply, Fault::Throttled, Fault::ServerError] {
        for at in 0..5 {
            let ec2 = FakeEc2::new();
            let faults: VecDeque<Fault> = std::iter::repeat_n(Fault::None, at).chain([fault]).collect();
            ec2.state().faults = faults.clone();
            let report = run(&ec2, A).await;
            assert_whole(&report);
            assert_eq!((held(&ec2), &report.groups[0].added), (ranges(A), &ranges(A)), "{fault:?} {at}");
            ec2.state().faults = faults;
            let report = run(&ec2, B).await;
            assert_whole(&report);
            assert_eq!((held(&ec2), &report.groups[0].removed), (ranges(B), &ranges(A)), "{fault:?} {at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_brakes_and_the_size_of_a_set_hold() {
    let many = |count: usize| (0..count).map(|n| format!("10.{}.{}.0/24 ", n / 256, n % 256)).collect::<String>();
    let ec2 = with(set(1, &many(30)));
    let report = run(&ec2, &format!("{} {}", many(10), "192.0.2.0/24")).await;
    assert_eq!((report.failures[0].kind, report.groups[0].kept.len()), (FailureKind::ShrinkRefused, 20));
    assert_eq!(held(&ec2).len(), 31, "what is new is let in all the same");
    let report = run(&ec2, "2001:db8::/32").await;
    assert_eq!(report.failures[0].kind, FailureKind::NoRanges);
    assert_whole(&run_with(&ec2, &many(10), &config(), Run { force: true, ..go() }).await);
    let report = run(&FakeEc2::new(), &many(10_001)).await;
    assert_eq!((report.failures[0].kind, report.left_out[0].ranges.len()), (FailureKind::NoCapacity, 1));
    assert_eq!(report.groups[0].added.len(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn with_create_never_a_missing_set_is_named_with_its_tags() {
    let config = Config { create: CreatePolicy::Never, ..config() };
    let ec2 = FakeEc2::new();
    let report = run_with(&ec2, A, &config, go()).await;
    assert_eq!(
        failures(&report),
        [
            "NoCapacity CLOUDFRONT ipv4: 1 ranges have no room: CREATE=never, so no IP set is created. Create one with the name \
             AUTOUPDATE_CLOUDFRONT_ipv4, the IP address version IPV4 and the tags gatehouse:prefix-name=AUTOUPDATE, \
             gatehouse:service=CLOUDFRONT, gatehouse:family=ipv4"
        ]
    );
    assert_eq!((count(&ec2, "CreateIPSet"), &report.left_out[0].ranges), (0, &ranges(A)));
    // A set that code made is kept.
    let made = FakeSet { description: String::new(), ..set(1, "") };
    let ec2 = with(made);
    assert_whole(&run_with(&ec2, A, &config, go()).await);
    assert_eq!(held(&ec2), ranges(A));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_reports_the_plan_and_writes_nothing() {
    let dry = Run { dry_run: true, ..go() };
    let report = run_with(&FakeEc2::new(), A, &config(), dry).await;
    assert_eq!((report.groups[0].resource_id.as_str(), &report.groups[0].added), ("(new)", &ranges(A)));
    let ec2 = with(set(1, A));
    let report = run_with(&ec2, B, &config(), dry).await;
    assert_eq!((&report.groups[0].added, &report.groups[0].removed), (&ranges(B), &ranges(A)));
    assert_eq!((count(&ec2, "UpdateIPSet"), held(&ec2)), (0, ranges(A)));
}
