//! What follows the ranges: security groups, prefix lists, IP sets of AWS WAF.
//!
//! Each target is a module with the same three steps. `read` gives its `State`. `plan` compares that with what is [`Wanted`]
//! and gives `Changes`, which are data: it makes no call. `apply` makes the changes, or in a dry run none, and returns a
//! [`TargetReport`]. The resources of one service and port, or family, form a pool, which [`ip_ranges_planner`] plans as a
//! whole; what is the same for the pools of all targets is here.

pub(crate) mod ip_sets;
pub(crate) mod prefix_lists;
pub(crate) mod security_groups;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use ip_ranges_planner::document::Published;
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::{Bounds, Plan, Quotas};
use ipnet::IpNet;

use crate::aws::caller::CallError;
use crate::config::{Config, CreatePolicy};
use crate::failure::Failure;
use crate::order::Order;
use crate::report::{RangesWithoutRule, ResourceReport, TargetReport};
use crate::run::Run;
use crate::tags::PREFIX_NAME_TAG;

/// The id of what a dry run would create.
const NEW: &str = "(new)";

/// What a Region is to be brought in line with, and how far a run may go for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) region: &'a str,
    pub(crate) published: &'a Published,
    pub(crate) config: &'a Config,
    pub(crate) run: Run,
    pub(crate) order: &'a Order,
}

impl<'a> Wanted<'a> {
    /// What the planner may not exceed in a pool with these quotas.
    fn bounds(&self, quotas: Quotas) -> Bounds<'a> {
        Bounds {
            quotas,
            may_create: self.config.create == CreatePolicy::Always,
            max_shrink_percent: self.config.max_shrink_percent,
            families: &self.config.families,
            force: self.run.force,
        }
    }

    /// The ranges of each service and family.
    fn by_family(&self) -> impl Iterator<Item = (FamilyKey, BTreeSet<IpNet>)> {
        self.published.services.iter().flat_map(move |(service, ranges)| {
            self.config.families.iter().map(move |family| {
                let ranges = ranges.iter().filter(|range| Family::of(range) == *family).copied().collect();
                (FamilyKey { service: service.clone(), family: *family }, ranges)
            })
        })
    }

    /// Whether the settings name the service and family. The document may have no range of it all the same.
    fn is_configured(&self, key: &FamilyKey) -> bool {
        self.config.has_service(&key.service) && self.config.families.contains(&key.family)
    }
}

/// What the prefix lists of one service and family have in common, or whose addresses an IP set holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FamilyKey {
    pub(crate) service: String,
    pub(crate) family: Family,
}

impl fmt::Display for FamilyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.service, self.family)
    }
}

/// Whose ranges a pool holds, and where: for the report.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Label {
    vpc_id: Option<String>,
    service: String,
    port: Option<String>,
    family: Option<String>,
}

impl From<&FamilyKey> for Label {
    fn from(key: &FamilyKey) -> Self {
        Self { vpc_id: None, service: key.service.clone(), port: None, family: Some(key.family.to_string()) }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vpc_id, service, port, family } = self;
        f.write_str(service)?;
        port.iter().try_for_each(|port| write!(f, " port {port}"))?;
        family.iter().try_for_each(|family| write!(f, " {family}"))?;
        vpc_id.iter().try_for_each(|vpc_id| write!(f, " in {vpc_id}"))
    }
}

impl Label {
    fn without_rule(&self, ranges: BTreeSet<IpNet>) -> RangesWithoutRule {
        let Self { vpc_id, service, port, family } = self.clone();
        RangesWithoutRule { vpc_id, service, port, family, ranges }
    }
}

/// A group, prefix list or IP set, and what happened to its ranges.
#[derive(Debug, Clone)]
struct Outcome {
    report: ResourceReport,
    /// What it held when the run began.
    before: BTreeSet<IpNet>,
}

impl Outcome {
    /// Nothing happened to it yet.
    fn of_existing(label: Label, id: String, name: String, before: BTreeSet<IpNet>) -> Self {
        let Label { vpc_id, service, port, family } = label;
        let report =
            ResourceReport { vpc_id, resource_id: id, name, service, port, family, ..ResourceReport::default() };
        Self { report, before }
    }

    /// It was just created.
    fn of_created(label: Label, id: String, name: String) -> Self {
        let mut outcome = Self::of_existing(label, id, name, BTreeSet::new());
        outcome.report.created = true;
        outcome
    }

    /// What it holds now.
    fn ranges(&self) -> BTreeSet<IpNet> {
        let present = self.before.union(&self.report.added);
        present.filter(|range| !self.report.removed.contains(range)).copied().collect()
    }

    /// What it holds was read.
    fn holds(&mut self, now: &BTreeSet<IpNet>) {
        self.report.added = now - &self.before;
        self.report.removed = &self.before - now;
    }
}

/// The number at the end of a name; 0 where there is none.
fn number(name: &str) -> usize {
    name.rsplit('_').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The numbers that new resources of a pool get: the lowest that are free, one each time it is asked.
fn free_numbers(taken: impl IntoIterator<Item = usize>) -> impl Fn() -> usize {
    let taken: BTreeSet<usize> = taken.into_iter().collect();
    let free = RefCell::new((1..).filter(move |number| !taken.contains(number)));
    move || free.borrow_mut().next().unwrap_or_default()
}

/// For a dry run: everything the plan would do, as if it had been done. `outcomes`: by the plan's indices.
fn pretend<'a>(plan: &Plan, outcomes: impl IntoIterator<Item = &'a mut Outcome>) {
    for (index, outcome) in outcomes.into_iter().enumerate() {
        for round in &plan.rounds {
            outcome.report.added.extend(round.add.get(&index).into_iter().flatten());
            outcome.report.removed.extend(round.remove.get(&index).into_iter().flatten());
        }
    }
}

/// What to do where there is no capacity for ranges.
struct Advice {
    /// With `CREATE=never`: what to create.
    create: String,
    /// Where nothing more may be created.
    narrow: &'static str,
}

/// What became of one pool.
struct PoolOutcome<'a> {
    label: Label,
    wanted: &'a BTreeSet<IpNet>,
    plan: Plan,
    advice: Advice,
    outcomes: Vec<Outcome>,
    failures: Vec<Failure>,
}

impl PoolOutcome<'_> {
    /// The report: failures, ranges without a place, and each resource with the stale ranges that it kept.
    fn finish(self) -> TargetReport {
        let Self { label, wanted, plan: Plan { would_create, left_out, brake, .. }, advice, outcomes, failures } = self;
        let mut report = TargetReport { failures, ..TargetReport::default() };
        report.failures.extend(brake.map(|brake| Failure::braked(&label.to_string(), &brake)));
        let present: BTreeSet<IpNet> = outcomes.iter().flat_map(Outcome::ranges).collect();
        let not_added: BTreeSet<IpNet> =
            wanted.iter().filter(|range| !present.contains(range) && !left_out.contains(range)).copied().collect();
        if !not_added.is_empty() {
            report.not_added.push(label.without_rule(not_added));
        }
        if !left_out.is_empty() {
            let advice = if would_create > 0 { advice.create.as_str() } else { advice.narrow };
            report.failures.push(Failure::no_capacity(label.to_string(), left_out.len(), advice));
            report.left_out.push(label.without_rule(left_out));
        }
        report.groups = outcomes
            .into_iter()
            .map(|outcome| {
                let kept = outcome.before.iter().filter(|range| !wanted.contains(range));
                let kept = kept.filter(|range| !outcome.report.removed.contains(range)).copied().collect();
                ResourceReport { kept, ..outcome.report }
            })
            .collect();
        report
    }
}

/// Why something that was described is not kept.
#[derive(Debug)]
pub(crate) enum NotKept {
    /// It lacks what every such description has: nothing can be concluded from the answer, so nothing is written.
    Incomplete(&'static str),
    /// It is not this function's: a note for the report.
    Note(String),
}

impl From<String> for NotKept {
    fn from(note: String) -> Self {
        Self::Note(note)
    }
}

/// Those that are kept, and notes about the others.
///
/// # Errors
///
/// [`CallError::Incomplete`].
fn kept<T>(described: impl Iterator<Item = Result<T, NotKept>>) -> Result<(Vec<T>, Vec<String>), CallError> {
    let (mut kept, mut notes) = (Vec::new(), Vec::new());
    for described in described {
        match described {
            Ok(one) => kept.push(one),
            Err(NotKept::Note(note)) => notes.push(note),
            Err(NotKept::Incomplete(what)) => return Err(CallError::Incomplete(what)),
        }
    }
    Ok((kept, notes))
}

/// Why something with the tags of this function is left alone. `expected`: by what it would be known.
fn not_adopted(id: &str, name: &str, expected: &str) -> String {
    format!(
        "{id} ({name}) has the tags of this function and is not its own, which would have, say, {expected}; it was left as it is. If the function is to keep it, add {id} to ADOPT; if not, remove the tag {PREFIX_NAME_TAG}"
    )
}

/// The description of each rule or entry that this function writes.
fn rule_description(service: &str) -> String {
    format!("{service} range published by AWS, kept by Gatehouse")
}
