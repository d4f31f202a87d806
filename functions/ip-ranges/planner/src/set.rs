//! What to change in a resource whose ranges one call replaces as a whole, such as an IP set of AWS WAF. Pure.
//!
//! One call replaces everything, so nothing has to be added before something else is removed, and whatever is wanted fits
//! where it is no more than the set takes. So the plan has one round at most, of the one resource.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::plan::{self, Bounds, Plan, Pool, ResourceState, Round};

/// Compares what the set holds with what is wanted; `None`: there is no set. `bounds.quotas` has one resource.
///
/// Where the brake holds, or where there is more than fits, the set gets what [`plan::plan`] makes of a resource of that
/// size: a range stays as long as a wanted range that shares an address with it has no place.
#[must_use]
pub fn plan(present: Option<&BTreeSet<IpNet>>, wanted: &BTreeSet<IpNet>, bounds: Bounds<'_>) -> Plan {
    let state = |ranges: &BTreeSet<IpNet>| ResourceState { ranges: ranges.clone(), ..ResourceState::default() };
    let pool = Pool { resources: present.map(state).into_iter().collect() };
    let plan = plan::plan(&pool, wanted, bounds);
    let before = present.cloned().unwrap_or_default();
    let is_whole = plan.brake.is_none()
        && wanted.len() <= bounds.quotas.ranges_per_resource
        && (present.is_some() || bounds.may_create);
    let after = if is_whole { wanted.clone() } else { end(&before, &plan) };
    let left_out = if is_whole { BTreeSet::new() } else { plan.left_out };
    let one = |ranges: BTreeSet<IpNet>| BTreeMap::from_iter((!ranges.is_empty()).then_some((0, ranges)));
    let round = Round { add: one(&after - &before), remove: one(&before - &after) };
    let rounds = if round == Round::default() { Vec::new() } else { vec![round] };
    Plan { rounds, left_out, ..plan }
}

/// What the set holds once the plan is carried out.
#[must_use]
pub fn end(before: &BTreeSet<IpNet>, plan: &Plan) -> BTreeSet<IpNet> {
    let mut ranges = before.clone();
    for round in &plan.rounds {
        ranges.extend(round.add.values().flatten());
        ranges.retain(|range| !round.remove.values().any(|removed| removed.contains(range)));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Family;
    use crate::plan::{Brake, Quotas};
    use proptest::prelude::*;

    fn ranges(text: &str) -> BTreeSet<IpNet> {
        text.split_whitespace().map(|range| range.parse().unwrap()).collect()
    }

    fn bounds(most: usize, force: bool) -> Bounds<'static> {
        let quotas = Quotas { ranges_per_resource: most, max_resources: 1 };
        Bounds { quotas, may_create: false, max_shrink_percent: 50, families: &Family::BOTH, force }
    }

    #[test]
    fn a_set_gets_what_is_wanted_in_one_step() {
        let cases = [
            ("first run", "", "10.0.0.0/24 10.0.2.0/24", 2, "10.0.0.0/24 10.0.2.0/24", ""),
            ("nothing to do", "10.0.0.0/24", "10.0.0.0/24", 2, "10.0.0.0/24", ""),
            (
                "full, and all is other",
                "10.0.0.0/24 10.0.2.0/24",
                "10.0.4.0/24 10.0.6.0/24",
                2,
                "10.0.4.0/24 10.0.6.0/24",
                "",
            ),
            ("full, and narrowed", "10.0.0.0/23", "10.0.0.0/24", 1, "10.0.0.0/24", ""),
            (
                "more than fits",
                "10.0.0.0/24",
                "10.0.0.0/24 10.0.2.0/24 10.0.4.0/24",
                2,
                "10.0.0.0/24 10.0.2.0/24",
                "10.0.4.0/24",
            ),
            // 10.0.0.0/23 lets in those of 10.0.1.0/24, which has no place.
            (
                "more than fits, and narrowed",
                "10.0.0.0/23",
                "10.0.0.0/24 10.0.1.0/24",
                1,
                "10.0.0.0/23",
                "10.0.0.0/24 10.0.1.0/24",
            ),
        ];
        for (name, present, wanted, most, expected, left_out) in cases {
            let present = ranges(present);
            let plan = plan(Some(&present), &ranges(wanted), bounds(most, false));
            let expected = (ranges(expected), ranges(left_out), None, 0);
            assert_eq!((end(&present, &plan), plan.left_out, plan.brake, plan.create), expected, "{name}");
            assert!(plan.rounds.len() <= 1, "{name}");
        }
    }

    #[test]
    fn the_brake_keeps_what_would_go_and_lets_in_what_is_new() {
        let present: String = (0..20).map(|n| format!("10.{n}.0.0/24 ")).collect();
        let present = ranges(&present);
        let wanted = ranges("10.0.0.0/24 192.0.2.0/24");
        let braked = plan(Some(&present), &wanted, bounds(100, false));
        assert_eq!(braked.brake, Some(Brake::Shrink { family: Family::Ipv4, going: 19, present: 20, percent: 50 }));
        assert_eq!(end(&present, &braked), present.union(&wanted).copied().collect());
        assert_eq!(end(&present, &plan(Some(&present), &wanted, bounds(100, true))), wanted);
        let gone = plan(Some(&ranges("10.0.0.0/24")), &BTreeSet::new(), bounds(100, false));
        assert!(matches!(gone.brake, Some(Brake::FamilyGone { .. })) && gone.rounds.is_empty());
    }

    #[test]
    fn a_set_that_is_missing_is_created_or_named_as_lacking() {
        let wanted = ranges("10.0.0.0/24 10.0.2.0/24");
        let created = plan(None, &wanted, Bounds { may_create: true, ..bounds(10, false) });
        assert_eq!((created.create, end(&BTreeSet::new(), &created)), (1, wanted.clone()));
        let lacking = plan(None, &wanted, bounds(10, false));
        assert_eq!((lacking.create, lacking.would_create, lacking.left_out), (0, 1, wanted));
        assert!(lacking.rounds.is_empty());
        assert!(plan(None, &BTreeSet::new(), Bounds { may_create: true, ..bounds(10, false) }).is_empty());
    }

    fn network() -> impl Strategy<Value = IpNet> {
        (0u32..64, 26u8..=32).prop_map(|(bits, length)| {
            IpNet::new(std::net::Ipv4Addr::from(0x0a00_0000 + bits).into(), length).unwrap().trunc()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn nobody_who_is_wanted_loses_access_and_no_set_is_over_its_size(
            present in prop::collection::btree_set(network(), 0..12),
            wanted in prop::collection::btree_set(network(), 1..24),
            spare in 0..12usize,
            force in any::<bool>(),
        ) {
            let most = (present.len() + spare).max(1);
            let plan = plan(Some(&present), &wanted, bounds(most, force));
            let after = end(&present, &plan);
            prop_assert!(after.len() <= most, "{plan:?}");
            prop_assert!(wanted.iter().all(|range| after.contains(range) != plan.left_out.contains(range)));
            let lets_in = |ranges: &BTreeSet<IpNet>, address: std::net::IpAddr| ranges.iter().any(|range| range.contains(&address));
            for address in (0..64u32).map(|bits| std::net::IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + bits))) {
                if lets_in(&present, address) && lets_in(&wanted, address) {
                    prop_assert!(lets_in(&after, address), "{address} is cut off");
                }
            }
            if plan.brake.is_none() && wanted.len() <= most {
                prop_assert_eq!(&after, &wanted);
            }
            if plan.brake.is_some() {
                prop_assert!(after.is_superset(&present));
            }
            // A second run finds nothing to do.
            if plan.brake.is_none() {
                prop_assert!(super::plan(Some(&after), &wanted, bounds(most, force)).is_empty());
            }
        }
    }
}
