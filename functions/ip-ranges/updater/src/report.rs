//! What a run did and what it did not, for the caller, the log and subscribers of the topic.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;

use ipnet::IpNet;
use serde::Serialize;

use crate::failure::Failure;

/// The answer of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UpdateReport {
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
    pub region: String,
    /// Calls to EC2, ELB, AWS WAF and SSM, retries and pages included.
    pub aws_calls: usize,
    /// The same by operation.
    pub calls: BTreeMap<String, usize>,
    /// The groups, prefix lists or IP sets, changed or not.
    pub groups: Vec<ResourceReport>,
    /// The SSM parameters that were written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<ParameterReport>,
    /// Wanted ranges for which there is no capacity.
    pub left_out: Vec<RangesWithoutRule>,
    /// Wanted ranges whose call failed, or was not made.
    pub not_added: Vec<RangesWithoutRule>,
    /// Whether what is there could be read and planned. Without that, `left_out` is not known.
    pub is_planned: bool,
    /// What a person should look at, though nothing failed.
    pub notes: Vec<String>,
    /// What could not be done.
    pub failures: Vec<Failure>,
}

/// What was done to the groups, prefix lists or IP sets of a Region, and what was not. Each step of a target returns one.
#[derive(Debug, Default)]
pub struct TargetReport {
    /// The groups, prefix lists or IP sets, changed or not.
    pub groups: Vec<ResourceReport>,
    /// Wanted ranges for which there is no capacity.
    pub left_out: Vec<RangesWithoutRule>,
    /// Wanted ranges whose call failed, or was not made.
    pub not_added: Vec<RangesWithoutRule>,
    /// Some of what is there could not be read or planned, so `left_out` is not complete.
    pub is_unplanned: bool,
    /// What a person should look at, though nothing failed.
    pub notes: Vec<String>,
    /// What could not be done.
    pub failures: Vec<Failure>,
}

impl TargetReport {
    /// Nothing could be planned.
    #[must_use]
    pub fn unplanned(notes: Vec<String>, failure: Failure) -> Self {
        Self { is_unplanned: true, notes, failures: vec![failure], ..Self::default() }
    }

    /// Adds what a further step did.
    pub fn add(&mut self, further: Self) {
        let Self { groups, left_out, not_added, is_unplanned, notes, failures } = further;
        self.groups.extend(groups);
        self.left_out.extend(left_out);
        self.not_added.extend(not_added);
        self.is_unplanned |= is_unplanned;
        self.notes.extend(notes);
        self.failures.extend(failures);
    }
}

/// What was done to the parameters of a Region, and what was not.
#[derive(Debug, Default)]
pub struct ParametersReport {
    /// Those that were written.
    pub parameters: Vec<ParameterReport>,
    /// What a person should look at, though nothing failed.
    pub notes: Vec<String>,
    /// What could not be done.
    pub failures: Vec<Failure>,
}

/// A parameter that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParameterReport {
    pub name: String,
    /// Its value now: ids, or ARNs, separated by commas.
    pub value: String,
    /// Made by this run.
    pub created: bool,
}

/// What happened to one group, prefix list or IP set.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ResourceReport {
    /// The VPC of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// `sg-…`, `pl-…` or the ARN of an IP set; `(new)` where a dry run would create it.
    pub resource_id: String,
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
    pub service: String,
    /// The port of groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The address family of prefix lists and IP sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    pub ranges: BTreeSet<IpNet>,
}

impl RegionReport {
    /// What was done to the target in the Region of this name.
    #[must_use]
    pub fn new(region: &str, target: TargetReport) -> Self {
        let TargetReport { groups, left_out, not_added, is_unplanned, notes, failures } = target;
        let is_planned = !is_unplanned;
        Self { region: region.to_owned(), groups, left_out, not_added, is_planned, notes, failures, ..Self::default() }
    }

    /// Adds what was done to the parameters.
    pub fn add_parameters(&mut self, further: ParametersReport) {
        let ParametersReport { parameters, notes, failures } = further;
        self.parameters.extend(parameters);
        self.notes.extend(notes);
        self.failures.extend(failures);
    }

    /// Whether anything was changed, or would be in a dry run.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.parameters.is_empty() || self.groups.iter().any(ResourceReport::is_changed)
    }
}

impl UpdateReport {
    /// How many rules were added, removed, and how many ranges left out.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let groups = || self.regions.iter().flat_map(|region| &region.groups);
        Totals {
            added: groups().map(|group| group.added.len()).sum(),
            removed: groups().map(|group| group.removed.len()).sum(),
            left_out: self.regions.iter().flat_map(|region| &region.left_out).map(|left| left.ranges.len()).sum(),
            calls: self.regions.iter().map(|region| region.aws_calls).sum(),
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

impl ResourceReport {
    /// Whether anything happened to it.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        let Self {
            vpc_id: _,
            resource_id: _,
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
    /// Wanted ranges for which there is no capacity.
    pub left_out: usize,
    /// API calls.
    pub calls: usize,
}

/// The mail: what changed in which group, range by range, and what failed.
impl fmt::Display for UpdateReport {
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
                writeln!(text, "\n{} {} ({}){created}", region.region, group.name, group.resource_id)?;
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
    use crate::failure::FailureKind;

    /// A text that SNS cuts loses its end: ranges, and nothing that a person has to act on.
    #[test]
    fn failures_come_first_then_totals_then_ranges() {
        let added: BTreeSet<IpNet> = ["3.0.2.0/24".parse().unwrap()].into();
        let failure =
            |what: &str| Failure { kind: FailureKind::Partial, what: what.to_owned(), reason: "denied".to_owned() };
        let group =
            ResourceReport { name: "AUTOUPDATE_S3_80_1".to_owned(), added: added.clone(), ..ResourceReport::default() };
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
        let report =
            UpdateReport { regions: vec![region], failures: vec![failure("SERVICE")], ..UpdateReport::default() };
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
