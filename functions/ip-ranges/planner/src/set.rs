//! What to change in a set whose ranges one call replaces as a whole, such as an IP set of AWS WAF. Pure.
//!
//! One call replaces everything, so nothing has to be added before something else is removed, and whatever is wanted fits
//! where it is no more than the set takes.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::plan::{self, Bounds, Brake, GroupState, Limits, Pool};

/// What a set is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SetPlan {
    /// All ranges that it is to hold.
    pub ranges: BTreeSet<IpNet>,
    /// Wanted ranges for which there is no room.
    pub left_out: BTreeSet<IpNet>,
    /// Why nothing is removed although something is stale.
    pub brake: Option<Brake>,
}

/// Compares what the set holds with what is wanted. `bounds.limits` says nothing here: the set takes `most` ranges.
///
/// Where the brake holds, or where there is more than fits, the set gets what [`plan::plan`] makes of a group of that size:
/// a range stays as long as a wanted range that shares an address with it has no room.
#[must_use]
pub fn plan(present: &BTreeSet<IpNet>, wanted: &BTreeSet<IpNet>, most: usize, bounds: Bounds<'_>) -> SetPlan {
    let limits = Limits { rules_per_group: most, groups_per_interface: 1 };
    let pool = Pool { groups: vec![GroupState { ranges: present.clone(), ..GroupState::default() }] };
    let plan = plan::plan(&pool, wanted, Bounds { limits, ..bounds });
    if plan.brake.is_none() && wanted.len() <= most {
        return SetPlan { ranges: wanted.clone(), ..SetPlan::default() };
    }
    let mut ranges = present.clone();
    for round in &plan.rounds {
        ranges.extend(round.add.values().flatten());
        ranges.retain(|range| !round.remove.values().any(|removed| removed.contains(range)));
    }
    SetPlan { ranges, left_out: plan.left_out, brake: plan.brake }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Family;
    use proptest::prelude::*;

    fn ranges(text: &str) -> BTreeSet<IpNet> {
        text.split_whitespace().map(|range| range.parse().unwrap()).collect()
    }

    fn bounds(force: bool) -> Bounds<'static> {
        let limits = Limits { rules_per_group: 1, groups_per_interface: 1 };
        Bounds { limits, may_create: false, max_shrink_percent: 50, families: &Family::BOTH, force }
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
            // 10.0.0.0/23 lets in those of 10.0.1.0/24, which has no room.
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
            let plan = plan(&ranges(present), &ranges(wanted), most, bounds(false));
            assert_eq!(plan, SetPlan { ranges: ranges(expected), left_out: ranges(left_out), brake: None }, "{name}");
        }
    }

    #[test]
    fn the_brake_keeps_what_would_go_and_lets_in_what_is_new() {
        let present: String = (0..20).map(|n| format!("10.{n}.0.0/24 ")).collect();
        let present = ranges(&present);
        let wanted = ranges("10.0.0.0/24 192.0.2.0/24");
        let plan = plan(&present, &wanted, 100, bounds(false));
        assert_eq!(plan.brake, Some(Brake::Shrink { family: Family::Ipv4, going: 19, present: 20, percent: 50 }));
        assert_eq!(plan.ranges, present.union(&wanted).copied().collect());
        assert_eq!(super::plan(&present, &wanted, 100, bounds(true)).ranges, wanted);
        let gone = super::plan(&ranges("10.0.0.0/24"), &BTreeSet::new(), 100, bounds(false));
        assert!(matches!(gone.brake, Some(Brake::FamilyGone { .. })) && gone.ranges == ranges("10.0.0.0/24"));
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
            let plan = plan(&present, &wanted, most, bounds(force));
            prop_assert!(plan.ranges.len() <= most, "{plan:?}");
            prop_assert!(wanted.iter().all(|range| plan.ranges.contains(range) != plan.left_out.contains(range)));
            let lets_in = |ranges: &BTreeSet<IpNet>, address: std::net::IpAddr| ranges.iter().any(|range| range.contains(&address));
            for address in (0..64u32).map(|bits| std::net::IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + bits))) {
                if lets_in(&present, address) && lets_in(&wanted, address) {
                    prop_assert!(lets_in(&plan.ranges, address), "{address} is cut off");
                }
            }
            if plan.brake.is_none() && wanted.len() <= most {
                prop_assert_eq!(&plan.ranges, &wanted);
            }
            if plan.brake.is_some() {
                prop_assert!(plan.ranges.is_superset(&present));
            }
            // A second run finds nothing to do.
            if plan.brake.is_none() {
                prop_assert_eq!(super::plan(&plan.ranges, &wanted, most, bounds(force)).ranges, plan.ranges);
            }
        }
    }
}
