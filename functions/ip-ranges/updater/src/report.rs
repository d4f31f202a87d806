//! What a run did and what it did not, for the caller, the log and the people who asked to be told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;

use ip_ranges_planner::document;
use ip_ranges_planner::plan::Brake;
use ipnet::IpNet;
use serde::Serialize;

use crate::aws::caller::CallError;
use crate::targets::security_groups::group::{Group, PORT_TAG, SERVICE_TAG, SYNC_TOKEN_TAG};

/// The answer of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// `notice`, `schedule` or `direct`.
    pub trigger: &'static str,
    /// Nothing was written; what is listed as added, removed, created and attached is what would be.
    pub dry_run: bool,
    /// The document's `syncToken`, seconds since 1970-01-01.
    pub sync_token: u64,
    /// Whether the document is newer than the notice.
    pub superseded: bool,
    /// How many ranges each service has, after the filters and joined.
    pub ranges: BTreeMap<String, usize>,
    /// What happened in each Region.
    pub regions: Vec<RegionReport>,
    /// What failed outside any Region.
    pub failures: Vec<Failure>,
}

/// What happened in one Region.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RegionReport {
    /// Its name.
    pub region: String,
    /// Calls to EC2, ELB, AWS WAF and SSM, retries and pages included.
    pub ec2_calls: usize,
    /// The same by operation.
    pub calls: BTreeMap<String, usize>,
    /// The groups, prefix lists or IP sets, changed or not.
    pub groups: Vec<GroupReport>,
    /// The SSM parameters that were written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<ParameterReport>,
    /// Wanted ranges for which there is no room.
    pub left_out: Vec<RangesWithoutRule>,
    /// Wanted ranges whose call failed, or was not made.
    pub not_added: Vec<RangesWithoutRule>,
    /// Whether what is there could be read and planned. Without that, `left_out` says nothing.
    pub is_planned: bool,
    /// What a person should look at, though nothing failed.
    pub notes: Vec<String>,
    /// What could not be done.
    pub failures: Vec<Failure>,
}

/// A parameter that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParameterReport {
    /// Its name.
    pub name: String,
    /// Its value now: ids, or ARNs, separated by commas.
    pub value: String,
    /// Made by this run.
    pub created: bool,
}

/// What happened to one group, prefix list or IP set.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GroupReport {
    /// The VPC of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// `sg-…`, `pl-…` or the ARN of an IP set; `(new)` where a dry run would create it.
    pub group_id: String,
    /// Its name.
    pub name: String,
    /// Whose ranges it holds.
    pub service: String,
    /// The port of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The address family of a prefix list or an IP set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Whether interfaces, or rules, need it: not an empty group, nor one that lets out more than it may.
    #[serde(skip)]
    pub is_in_use: bool,
    /// Made by this run.
    pub created: bool,
    /// Its outbound rules that allow all traffic were removed.
    pub egress_closed: bool,
    /// Ranges that it did not hold when the run began and holds now.
    pub added: BTreeSet<IpNet>,
    /// Ranges that were taken out.
    pub removed: BTreeSet<IpNet>,
    /// Stale ranges that stay, since what replaces them is not in place, or the brake holds them.
    pub kept: BTreeSet<IpNet>,
    /// Interfaces and load balancers that got the group.
    pub attached: Vec<String>,
}

/// Ranges of one service and port, or family, without a rule.
#[derive(Debug, Clone, Serialize)]
pub struct RangesWithoutRule {
    /// The VPC of groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// The service.
    pub service: String,
    /// The port of groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The address family of prefix lists and IP sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// The ranges.
    pub ranges: BTreeSet<IpNet>,
}

/// One thing that could not be done.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// What kind of thing.
    pub kind: Kind,
    /// What was being done, and to what.
    pub what: String,
    /// Why it failed, and what to do next where that is known.
    pub reason: String,
}

/// Kinds of failure; where a run met only one kind, its name is the run's `errorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// An API call failed.
    Partial,
    /// Lambda's deadline was near.
    OutOfTime,
    /// Ranges have no room.
    NoCapacity,
    /// Too much would have been removed.
    ShrinkRefused,
    /// An interface has no room for another group.
    InterfaceGroupLimit,
    /// An interface carries some groups of a pool, and not all.
    PartlyAttached,
    /// An interface carries a group that no setting keeps any more.
    Abandoned,
    /// The groups follow a newer document.
    StaleDocument,
    /// A service, or a family of it, without a range.
    NoRanges,
    /// A service that does not exist.
    UnknownService,
    /// A `region` that no range has.
    UnknownRegion,
}

impl Kind {
    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Partial => "Partial",
            Self::OutOfTime => "OutOfTime",
            Self::NoCapacity => "NoCapacity",
            Self::ShrinkRefused => "ShrinkRefused",
            Self::InterfaceGroupLimit => "InterfaceGroupLimit",
            Self::PartlyAttached => "PartlyAttached",
            Self::Abandoned => "Abandoned",
            Self::StaleDocument => "StaleDocument",
            Self::NoRanges => "NoRanges",
            Self::UnknownService => "UnknownService",
            Self::UnknownRegion => "UnknownRegion",
        }
    }
}

impl Failure {
    /// A call that failed.
    #[must_use]
    pub fn of(what: impl Into<String>, error: &CallError) -> Self {
        Self { kind: error.kind(), what: what.into(), reason: error.to_string() }
    }

    /// Nothing was removed from the pool.
    #[must_use]
    pub fn braked(pool: &str, brake: &Brake) -> Self {
        let kind = match brake {
            Brake::FamilyGone { .. } => Kind::NoRanges,
            Brake::Shrink { .. } => Kind::ShrinkRefused,
        };
        Self { kind, what: pool.to_owned(), reason: brake.to_string() }
    }

    /// Ranges of the pool have no room.
    #[must_use]
    pub fn no_capacity(pool: String, ranges: usize, advice: &str) -> Self {
        Self { kind: Kind::NoCapacity, what: pool, reason: format!("{ranges} ranges have no room: {advice}") }
    }

    /// An interface lacks a group.
    #[must_use]
    pub fn partly_attached(what: impl Into<String>, reason: &str) -> Self {
        Self { kind: Kind::PartlyAttached, what: what.into(), reason: reason.to_owned() }
    }

    /// A group that interfaces carry, and that no setting keeps any more.
    #[must_use]
    pub fn abandoned(group: &str, interfaces: &BTreeSet<String>, why: &str) -> Self {
        Self {
            kind: Kind::Abandoned,
            what: format!("updating {group}"),
            reason: format!(
                "it {why}, and {} it: its rules stay as they are, and new ranges are not let in there. Attach the groups of the present settings to these interfaces and detach it; or hand it over: set its tags {SERVICE_TAG} and {PORT_TAG} to the present settings, and add its id to ADOPT; or set SERVICE, PORTS and VPC_ID back",
                carry(interfaces)
            ),
        }
    }

    /// A run with another document may be removing ranges.
    #[must_use]
    pub fn run_at_once(sync_token: u64) -> Self {
        let reason =
            format!("a run with the document {sync_token} may be removing some at this time; Lambda runs it again");
        Self { kind: Kind::Partial, what: "removing ranges".to_owned(), reason }
    }

    /// What is there follows the document `newest`, and this run has the older one of `sync_token`.
    #[must_use]
    pub fn stale_document(newest: u64, sync_token: u64, mark: Mark) -> Self {
        let says = mark.name(newest);
        Self {
            kind: Kind::StaleDocument,
            what: format!("following the document {sync_token}"),
            reason: format!(
                "the newer document {newest} was used here before, as {says} says; an edge still serves the old one, and Lambda tries again. To go back to this document on purpose, invoke the function with {{\"force\": true}}"
            ),
        }
    }

    /// Another run, or a person, removed ranges that are wanted, or added some.
    #[must_use]
    pub fn changed_meanwhile(pool: String, differences: &Differences) -> Self {
        let list = |ranges: &BTreeSet<IpNet>| ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let did =
            |what: &str, ranges: &BTreeSet<IpNet>| (!ranges.is_empty()).then(|| format!("{what} {}", list(ranges)));
        let Differences { removed, added } = differences;
        let did: Vec<String> = did("removed", removed).into_iter().chain(did("added", added)).collect();
        let reason = format!("something else {} during this run; Lambda runs it again", did.join(" and "));
        Self { kind: Kind::Partial, what: pool, reason }
    }
}

/// How many interfaces a text names.
const MAX_NAMED: usize = 10;

/// The interfaces, as many as fit a text, with the verb.
pub(crate) fn carry(interfaces: &BTreeSet<String>) -> String {
    let named = interfaces.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match (interfaces.len(), interfaces.len().saturating_sub(MAX_NAMED)) {
        (1, _) => format!("{named} carries"),
        (_, 0) => format!("{named} carry"),
        (_, more) => format!("{named} and {more} more interfaces carry"),
    }
}

/// What says which document something follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A tag of the groups or prefix lists.
    Tag,
    /// The description of an IP set.
    Description,
}

impl Mark {
    fn name(self, sync_token: u64) -> String {
        match self {
            Self::Tag => format!("the tag {SYNC_TOKEN_TAG}{sync_token}"),
            Self::Description => "the description of the IP set".to_owned(),
        }
    }
}

/// The tokens of documents that do not hold a run up although they are newer than its document: those of a time to come,
/// and with `force` all.
#[derive(Debug, Clone, Default)]
pub struct Ignored(BTreeSet<u64>);

impl Ignored {
    /// Of these `tokens`, those that a run with the document of `sync_token` passes by. `now` is in seconds since
    /// 1970-01-01.
    #[must_use]
    pub fn new(tokens: impl IntoIterator<Item = u64>, sync_token: u64, force: bool, now: u64) -> Self {
        let is_ignored = |token: &u64| *token > sync_token && (force || document::is_from_future(*token, now));
        Self(tokens.into_iter().filter(is_ignored).collect())
    }

    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> &BTreeSet<u64> {
        &self.0
    }

    /// What a person should know about them. `now` is in seconds since 1970-01-01.
    pub fn notes(&self, mark: Mark, now: u64) -> impl Iterator<Item = String> {
        let from_future = self.0.iter().filter(move |token| document::is_from_future(**token, now));
        from_future.map(move |token| {
            format!(
                "{} names the document {token}, which is of a time to come: it does not count, and is replaced. See who wrote it",
                mark.name(*token)
            )
        })
    }
}

/// What something else did to the groups during a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Ranges that it removed.
    pub removed: BTreeSet<IpNet>,
    /// Ranges that it added.
    pub added: BTreeSet<IpNet>,
}

impl RegionReport {
    /// Whether anything was changed, or would be in a dry run.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.parameters.is_empty() || self.groups.iter().any(GroupReport::is_changed)
    }

    /// Whether the groups, lists or sets follow a newer document than this one, by the `tokens` that they carry; then that
    /// is a failure.
    pub fn refuses_older(
        &mut self,
        tokens: impl IntoIterator<Item = u64>,
        sync_token: u64,
        mark: Mark,
        ignored: &Ignored,
    ) -> bool {
        let newer = tokens.into_iter().filter(|token| *token > sync_token && !ignored.0.contains(token));
        let Some(newest) = newer.max() else { return false };
        let failure = Failure::stale_document(newest, sync_token, mark);
        if !self.failures.iter().any(|known| known.kind == Kind::StaleDocument) {
            self.failures.push(failure);
        }
        true
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason)
    }
}

impl Report {
    /// How many rules were added, removed, and how many ranges left out.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let groups = || self.regions.iter().flat_map(|region| &region.groups);
        Totals {
            added: groups().map(|group| group.added.len()).sum(),
            removed: groups().map(|group| group.removed.len()).sum(),
            left_out: self.regions.iter().flat_map(|region| &region.left_out).map(|left| left.ranges.len()).sum(),
            calls: self.regions.iter().map(|region| region.ec2_calls).sum(),
        }
    }

    /// Every failure with the Region it happened in.
    pub fn all_failures(&self) -> impl Iterator<Item = (Option<&str>, &Failure)> {
        let in_regions = self
            .regions
            .iter()
            .flat_map(|region| region.failures.iter().map(|failure| (Some(region.region.as_str()), failure)));
        self.failures.iter().map(|failure| (None, failure)).chain(in_regions)
    }

    /// The failures in few words: to see whether a later attempt met the same.
    #[must_use]
    pub fn failure_texts(&self) -> Vec<String> {
        self.all_failures().map(|(region, failure)| format!("{} {failure}", region.unwrap_or_default())).collect()
    }

    /// Whether it is known that `left_out` is complete.
    #[must_use]
    pub fn is_planned(&self) -> bool {
        self.regions.iter().all(|region| region.is_planned)
    }

    /// Whether anything was changed, or would be in a dry run.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.regions.iter().any(RegionReport::has_changes)
    }
}

impl GroupReport {
    /// Nothing happened to the group yet, but that it was perhaps created.
    #[must_use]
    pub fn of_group(group: &Group, created: bool) -> Self {
        Self {
            vpc_id: Some(group.key.vpc_id.clone()),
            group_id: group.id.clone(),
            name: group.name.clone(),
            service: group.key.service.clone(),
            port: Some(group.key.port.to_string()),
            created,
            ..Self::default()
        }
    }

    /// Whether anything happened to it.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        let Self {
            vpc_id: _,
            group_id: _,
            name: _,
            service: _,
            port: _,
            family: _,
            is_in_use: _,
            created,
            egress_closed,
            added,
            removed,
            kept: _,
            attached,
        } = self;
        *created || *egress_closed || !added.is_empty() || !removed.is_empty() || !attached.is_empty()
    }
}

/// A report in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Rules added.
    pub added: usize,
    /// Rules removed.
    pub removed: usize,
    /// Wanted ranges for which there is no room.
    pub left_out: usize,
    /// API calls.
    pub calls: usize,
}

/// The mail: what changed in which group, range by range, and what failed.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let ranges: Vec<String> =
            self.ranges.iter().map(|(service, count)| format!("{service} ({count} ranges)")).collect();
        writeln!(text, "Document {} for {}.", self.sync_token, ranges.join(", "))?;
        if self.dry_run {
            text.push_str("Dry run: nothing was changed.\n");
        }
        // A long text is cut at its end: what a person has to act on comes first, lists of ranges last.
        for (region, failure) in self.all_failures() {
            writeln!(text, "\nFAILED {}{failure}", region.map(|region| format!("{region} ")).unwrap_or_default())?;
        }
        let Totals { added, removed, left_out, calls: _ } = self.totals();
        writeln!(text, "\n{added} ranges added, {removed} removed, {left_out} without room.")?;
        for region in &self.regions {
            region.notes.iter().try_for_each(|note| writeln!(text, "\n{}: {note}", region.region))?;
        }
        for region in &self.regions {
            for group in region.groups.iter().filter(|group| group.is_changed()) {
                let created = if group.created { ", created" } else { "" };
                writeln!(text, "\n{} {} ({}){created}", region.region, group.name, group.group_id)?;
                if group.egress_closed {
                    text.push_str("  outbound rules that allow all traffic removed, as in the earlier groups\n");
                }
                group.added.iter().try_for_each(|range| writeln!(text, "  + {range}"))?;
                group.removed.iter().try_for_each(|range| writeln!(text, "  - {range}"))?;
                group.attached.iter().try_for_each(|interface| writeln!(text, "  attached to {interface}"))?;
            }
            for ParameterReport { name, value, created } in &region.parameters {
                let created = if *created { ", created" } else { "" };
                writeln!(text, "\n{} parameter {name}{created}\n  = {value}", region.region)?;
            }
            for (ranges, why) in [(&region.left_out, "no room for"), (&region.not_added, "not added")] {
                for without in ranges {
                    let RangesWithoutRule { service, port, family, .. } = without;
                    let port = port.as_ref().map(|port| format!(" port {port}"));
                    let family = family.as_ref().map(|family| format!(" {family}"));
                    let which = port.or(family).unwrap_or_default();
                    writeln!(text, "\n{} {service}{which}: {why}", region.region)?;
                    without.ranges.iter().try_for_each(|range| writeln!(text, "  ! {range}"))?;
                }
            }
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text that SNS cuts loses its end: ranges, and nothing that a person has to act on.
    #[test]
    fn failures_come_first_then_totals_then_ranges() {
        let added: BTreeSet<IpNet> = ["3.0.2.0/24".parse().unwrap()].into();
        let failure = |what: &str| Failure { kind: Kind::Partial, what: what.to_owned(), reason: "denied".to_owned() };
        let group =
            GroupReport { name: "AUTOUPDATE_S3_80_1".to_owned(), added: added.clone(), ..GroupReport::default() };
        let left_out =
            RangesWithoutRule { vpc_id: None, service: "S3".into(), port: None, family: None, ranges: added };
        let region = RegionReport {
            region: "eu-west-1".to_owned(),
            groups: vec![group],
            left_out: vec![left_out],
            notes: vec!["a note".to_owned()],
            failures: vec![failure("removing")],
            ..RegionReport::default()
        };
        let report = Report { regions: vec![region], failures: vec![failure("SERVICE")], ..Report::default() };
        let text = report.to_string();
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part} in {text}"));
        let order = [
            "FAILED SERVICE: denied",
            "FAILED eu-west-1 removing: denied",
            "1 ranges added, 0 removed, 1 without room.",
            "eu-west-1: a note",
            "  + 3.0.2.0/24",
            "  ! 3.0.2.0/24",
        ];
        assert!(order.windows(2).all(|two| place(two[0]) < place(two[1])), "{text}");
    }
}
