//! IP sets and the parameters with their ARNs: one fault, or two, at every call.
//!
//! The run that meets them reports what it did and what it did not. Whatever it was, one run more ends with exactly what is
//! wanted, and the run after that one writes nothing.

use super::*;
use crate::config::Target;
use crate::fake::json::FakeSet;

const IPV4: &str = "AUTOUPDATE_CLOUDFRONT_ipv4";
const IPV6: &str = "AUTOUPDATE_CLOUDFRONT_ipv6";
const WANTED: &str = "10.0.0.0/24 10.0.2.0/24 2001:db8::/32";
const OLD: &str = "10.0.0.0/24 10.0.4.0/24 2001:db8:1::/48";
/// As often as the SDK tries a call.
const FOR_GOOD: usize = 5;

fn config() -> Config {
    Config {
        target: Target::WafIpSets,
        parameter_prefix: Some("/gatehouse".parse().unwrap()),
        ..super::config(limits(60, 5))
    }
}

/// The ranges of one set.
fn of(name: &str, text: &str) -> BTreeSet<IpNet> {
    ranges(text).into_iter().filter(|range| matches!(range, IpNet::V4(_)) == (name == IPV4)).collect()
}

/// What is there when the run begins.
#[derive(Debug, Clone, Copy)]
enum Start {
    Nothing,
    /// Both sets and their parameters, all of an older document.
    Old,
    /// One set, whose parameter is wrong.
    OneIsMissing,
    /// Both sets as they are to be, and no parameter.
    NoParameters,
}

impl Start {
    const ALL: [Self; 4] = [Self::Nothing, Self::Old, Self::OneIsMissing, Self::NoParameters];

    fn world(self) -> FakeEc2 {
        let (sets, held): (&[&str], _) = match self {
            Self::Nothing => (&[], ""),
            Self::Old => (&[IPV4, IPV6], OLD),
            Self::OneIsMissing => (&[IPV4], OLD),
            Self::NoParameters => (&[IPV4, IPV6], WANTED),
        };
        let ec2 = FakeEc2::new();
        let mut state = ec2.state();
        for name in sets {
            let family = &name[name.len() - 4..];
            let tags = [(PREFIX_NAME_TAG, "AUTOUPDATE"), (SERVICE_TAG, "CLOUDFRONT"), (FAMILY_TAG, family)];
            let set = FakeSet {
                scope: "REGIONAL".to_owned(),
                version: family.to_uppercase(),
                description: format!("CLOUDFRONT {family} ranges of document 1, kept by Gatehouse"),
                addresses: of(name, held),
                tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
                ..FakeSet::default()
            };
            let value = match self {
                Self::Old => Some(set.arn(name)),
                Self::OneIsMissing => Some("arn:of-another".to_owned()),
                Self::Nothing | Self::NoParameters => None,
            };
            let parameter = value.map(|value| (format!("/gatehouse/CLOUDFRONT/{family}"), value));
            state.ssm.parameters.extend(parameter.map(|(name, value)| (name, ("StringList".to_owned(), value))));
            state.waf.sets.insert((*name).to_owned(), set);
        }
        drop(state);
        ec2
    }
}

/// A fault of the call `at`, and of those after it.
#[derive(Debug, Clone, Copy)]
struct At {
    at: usize,
    fault: Fault,
    times: usize,
}

/// Every fault: of those that the SDK tries again one for a moment, the others for good.
const FAULTS: [(Fault, usize); 10] = [
    (Fault::Throttled, 1),
    (Fault::ServerError, FOR_GOOD),
    (Fault::LostReply, 1),
    (Fault::LostReply, FOR_GOOD),
    (Fault::Denied, 1),
    (Fault::Unavailable, 1),
    (Fault::Changed, 1),
    (Fault::Changed, 2 * FOR_GOOD),
    (Fault::Deleted, 1),
    (Fault::Created, 1),
];

fn in_order(faults: &[At]) -> VecDeque<Fault> {
    let mut queue = VecDeque::new();
    for At { at, fault, times } in faults {
        for index in *at..at + times {
            if queue.len() <= index {
                queue.resize(index + 1, Fault::None);
            }
            queue[index] = *fault;
        }
    }
    queue
}

fn held(ec2: &FakeEc2) -> BTreeMap<String, BTreeSet<IpNet>> {
    ec2.state().waf.sets.iter().map(|(name, set)| (name.clone(), set.addresses.clone())).collect()
}

fn is_right(ec2: &FakeEc2) -> bool {
    let state = ec2.state();
    let sets: BTreeMap<_, _> = state.waf.sets.iter().map(|(name, set)| (name.as_str(), &set.addresses)).collect();
    let parameters: Vec<_> = state.ssm.parameters.iter().map(|(name, (_, value))| (name.clone(), value)).collect();
    let arns: Vec<String> = state.waf.sets.iter().map(|(name, set)| set.arn(name)).collect();
    let expected: Vec<_> = arns.iter().map(|arn| (format!("/gatehouse/CLOUDFRONT/{}", &arn[26..30]), arn)).collect();
    sets == BTreeMap::from([(IPV4, &of(IPV4, WANTED)), (IPV6, &of(IPV6, WANTED))]) && parameters == expected
}

async fn notice(region: &Region, config: &Config) -> RegionReport {
    let held = region.read(config, go()).await;
    region.reconcile(held, &publish(WANTED), config, go()).await
}

/// What the run that met the faults may say, by what is there before and after it.
fn assert_true(report: &RegionReport, before: &BTreeMap<String, BTreeSet<IpNet>>, ec2: &FakeEc2, faults: &[At]) {
    let after = held(ec2);
    let by_hand = ranges("203.0.113.77/32 2001:db8:ffff::/48");
    let (none, writes) = (BTreeSet::new(), ec2.state().waf.writes.clone());
    for name in [IPV4, IPV6] {
        let (wanted, then) = (of(name, WANTED), before.get(name).unwrap_or(&none));
        let now = after.get(name).unwrap_or(&none);
        let group = report.groups.iter().find(|group| group.name == name).cloned().unwrap_or_default();
        assert!(group.added.is_subset(now) && group.removed.is_disjoint(now), "{faults:?}: {report:?}");
        let was_there: BTreeSet<IpNet> = then.union(&by_hand).copied().collect();
        assert!(group.removed.is_subset(&was_there), "{faults:?}: {report:?}");
        // Where somebody changes a set that this run or another has just made, nobody can tell any more who made it.
        let met = |fault| faults.iter().any(|it| it.fault == fault);
        let is_known = !(met(Fault::Changed) && (met(Fault::Created) || met(Fault::LostReply)));
        if report.failures.is_empty() && is_known {
            let (added, removed) =
                if group.created { (&wanted, &none) } else { (&(&wanted - then), &(then - &wanted)) };
            assert!(group.added == *added && group.removed.is_superset(removed), "{faults:?}: {report:?}");
        }
        let not_added: BTreeSet<IpNet> = report.not_added.iter().flat_map(|it| &it.ranges).copied().collect();
        if report.is_planned {
            assert!((&wanted - now).is_subset(&not_added), "{faults:?}: {report:?}");
        }
        // One call replaces everything, so nothing but what is wanted is ever written, and no set is made twice.
        let writes: Vec<_> = writes.iter().filter(|write| write.name == name).collect();
        assert!(writes.iter().all(|write| write.addresses == wanted), "{faults:?}: {writes:?}");
        let created = writes.iter().filter(|write| write.created).count();
        let deleted: usize = faults.iter().filter(|it| it.fault == Fault::Deleted).map(|it| it.times).sum();
        assert!(created <= usize::from(then.is_empty()) + deleted, "{faults:?}: {writes:?}");
    }
    if report.failures.is_empty() {
        assert!(is_right(ec2), "{faults:?}: nothing failed, says {report:?}");
    }
}

/// Whether the next run is in a new process.
async fn meet(start: Start, faults: &[At], in_new_process: bool) {
    let (ec2, config) = (start.world(), config());
    let region = Region::connect(&config.regions[0], &ec2.sdk());
    let before = held(&ec2);
    ec2.state().faults = in_order(faults);
    let report = notice(&region, &config).await;
    assert_true(&report, &before, &ec2, faults);

    ec2.state().faults.clear();
    let region = if in_new_process { Region::connect(&config.regions[0], &ec2.sdk()) } else { region };
    let next = notice(&region, &config).await;
    assert!(next.failures.is_empty() && is_right(&ec2), "{start:?} {faults:?}: {report:?}, then {next:?}");
    let writes = ec2.state().waf.writes.len();
    let quiet = notice(&region, &config).await;
    assert!(!quiet.has_changes() && ec2.state().waf.writes.len() == writes, "{start:?} {faults:?}: {quiet:?}");
}

#[tokio::test(start_paused = true)]
async fn after_any_single_fault_one_run_more_puts_everything_right() {
    for start in Start::ALL {
        let (ec2, config) = (start.world(), config());
        notice(&Region::connect(&config.regions[0], &ec2.sdk()), &config).await;
        let calls = ec2.calls().len();
        for at in 0..calls {
            for (index, (fault, times)) in FAULTS.into_iter().enumerate() {
                meet(start, &[At { at, fault, times }], (at + index) % 2 == 0).await;
            }
        }
    }
}

fn at() -> impl Strategy<Value = At> {
    (0..16usize, prop::sample::select(FAULTS.to_vec())).prop_map(|(at, (fault, times))| At { at, fault, times })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn after_any_two_faults_one_run_more_puts_everything_right(
        start in prop::sample::select(Start::ALL.to_vec()),
        faults in [at(), at()],
        in_new_process in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(meet(start, &faults, in_new_process));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// However the calls of two runs meet, the sets end with the newer document, and the run that had the older one either
    /// ended before or says so.
    #[test]
    fn of_two_runs_at_once_the_newer_document_stays(
        start in prop::sample::select(vec![Start::Nothing, Start::Old, Start::OneIsMissing]),
        latencies in prop::collection::vec(0..50u64, 40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (ec2, config) = (start.world(), config());
            ec2.state().latencies = latencies.into();
            let run = async |document: Published| {
                let region = Region::connect(&config.regions[0], &ec2.sdk());
                region.reconcile(region.read(&config, go()).await, &document, &config, go()).await
            };
            let older = "10.0.0.0/24 10.0.6.0/24 10.0.8.0/24 2001:db8:2::/48";
            let (older, newer) =
                futures::future::join(run(publish_as(2, older)), run(publish_as(3, WANTED))).await;
            prop_assert!(newer.failures.is_empty() && is_right(&ec2), "{older:?} and {newer:?}");
            prop_assert!(older.failures.iter().all(|failure| failure.kind == FailureKind::StaleDocument), "{older:?}");
            Ok(())
        })?;
    }
}
