//! What a run did and what it did not, for the caller, the log and the people who asked to be told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;

use ipnet::IpNet;
use serde::Serialize;

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
    /// Calls to EC2 and ELB, retries and pages included.
    pub ec2_calls: usize,
    /// The same by operation.
    pub calls: BTreeMap<String, usize>,
    /// The groups or prefix lists, changed or not.
    pub groups: Vec<GroupReport>,
    /// Wanted ranges that have no rule.
    pub left_out: Vec<LeftOut>,
    /// What a person should look at, though nothing failed.
    pub notes: Vec<String>,
    /// What could not be done.
    pub failures: Vec<Failure>,
}

/// What happened to one group or prefix list.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GroupReport {
    /// The VPC; absent for a prefix list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// `sg-…` or `pl-…`; `(new)` where a dry run would create it.
    pub group_id: String,
    /// Its name.
    pub name: String,
    /// Whose ranges it holds.
    pub service: String,
    /// The port of a group, the address family of a prefix list.
    pub port: String,
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

/// Ranges of one service and port without a rule.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    /// The VPC; absent for a prefix list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// The service.
    pub service: String,
    /// The port, or the address family of a prefix list.
    pub port: String,
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
    /// Ranges have no slot.
    NoCapacity,
    /// Too much would have been removed.
    ShrinkRefused,
    /// An interface has no room for another group.
    InterfaceGroupLimit,
    /// A service without a range.
    NoRanges,
    /// A service that does not exist.
    UnknownService,
}

impl Kind {
    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Partial => "Partial",
            Self::NoCapacity => "NoCapacity",
            Self::ShrinkRefused => "ShrinkRefused",
            Self::InterfaceGroupLimit => "InterfaceGroupLimit",
            Self::NoRanges => "NoRanges",
            Self::UnknownService => "UnknownService",
        }
    }
}

impl Failure {
    /// A failure of an API call, or of what builds on it.
    pub fn of(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { kind: Kind::Partial, what: what.into(), reason: reason.into() }
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

    /// Whether anything was changed, or would be in a dry run.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.regions.iter().flat_map(|region| &region.groups).any(GroupReport::is_changed)
    }
}

impl GroupReport {
    /// Whether anything happened to it.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        let Self {
            vpc_id: _,
            group_id: _,
            name: _,
            service: _,
            port: _,
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
    /// Wanted ranges without a rule.
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
            for left in &region.left_out {
                writeln!(text, "\n{} {} port {}: no room for", region.region, left.service, left.port)?;
                left.ranges.iter().try_for_each(|range| writeln!(text, "  ! {range}"))?;
            }
            region.notes.iter().try_for_each(|note| writeln!(text, "\n{}: {note}", region.region))?;
        }
        for (region, failure) in self.all_failures() {
            writeln!(text, "\nFAILED {}{failure}", region.map(|region| format!("{region} ")).unwrap_or_default())?;
        }
        f.write_str(&text)
    }
}
