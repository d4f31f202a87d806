//! What could not be done: of which kind, and what to do next.

use std::collections::BTreeSet;
use std::fmt;

use ip_ranges_planner::plan::Brake;
use ipnet::IpNet;
use serde::Serialize;

use crate::aws::caller::CallError;
use crate::tags::{PORT_TAG, SERVICE_TAG};

/// One thing that could not be done.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// What kind of thing.
    pub kind: FailureKind,
    /// What was being done, and to what.
    pub what: String,
    /// Why it failed, and what to do next where that is known.
    pub reason: String,
}

/// Kinds of failure; where a run met only one kind, its name is the run's `errorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum FailureKind {
    /// An API call failed.
    Partial,
    /// Lambda's deadline was near.
    OutOfTime,
    /// There is no capacity for ranges.
    NoCapacity,
    /// Too much would have been removed.
    ShrinkRefused,
    /// An interface has as many groups as it may have.
    InterfaceGroupLimit,
    /// An interface carries some groups of a pool, and not all.
    PartlyAttached,
    /// An interface carries a group that no setting keeps any more, or `ADOPT` names one that cannot be kept.
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

impl FailureKind {
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

impl From<&CallError> for FailureKind {
    fn from(error: &CallError) -> Self {
        if matches!(error, CallError::OutOfTime { .. }) { Self::OutOfTime } else { Self::Partial }
    }
}

impl Failure {
    /// A call that failed.
    #[must_use]
    pub(crate) fn of(what: impl Into<String>, error: &CallError) -> Self {
        Self { kind: error.into(), what: what.into(), reason: error.to_string() }
    }

    /// Nothing was removed from the pool.
    #[must_use]
    pub fn braked(pool: &str, brake: &Brake) -> Self {
        let kind = match brake {
            Brake::FamilyGone { .. } => FailureKind::NoRanges,
            Brake::Shrink { .. } => FailureKind::ShrinkRefused,
        };
        Self { kind, what: pool.to_owned(), reason: brake.to_string() }
    }

    /// There is no capacity for ranges of the pool.
    #[must_use]
    pub fn no_capacity(pool: String, ranges: usize, advice: &str) -> Self {
        Self { kind: FailureKind::NoCapacity, what: pool, reason: format!("{ranges} ranges have no room: {advice}") }
    }

    /// An interface lacks a group.
    #[must_use]
    pub fn partly_attached(what: impl Into<String>, reason: &str) -> Self {
        Self { kind: FailureKind::PartlyAttached, what: what.into(), reason: reason.to_owned() }
    }

    /// A group that interfaces carry, and that no setting keeps any more.
    #[must_use]
    pub fn abandoned(group: &str, interfaces: &BTreeSet<String>, why: &str) -> Self {
        Self {
            kind: FailureKind::Abandoned,
            what: format!("updating {group}"),
            reason: format!(
                "it {why}, and {} it: its rules stay as they are, and new ranges are not let in there. Attach the groups of the present settings to these interfaces and detach it; or hand it over: set its tags {SERVICE_TAG} and {PORT_TAG} to the present settings, and add its id to ADOPT; or set SERVICE, PORTS and VPC_ID back",
                carry(interfaces)
            ),
        }
    }

    /// A group or prefix list that `ADOPT` names and that cannot be kept.
    #[must_use]
    pub fn not_kept(id: &str, tags: &str) -> Self {
        Self {
            kind: FailureKind::Abandoned,
            what: format!("keeping {id}"),
            reason: format!(
                "ADOPT names it, and none of the Regions has it with the tags {tags}: nothing updates it. Give it these tags, or take its id out of ADOPT"
            ),
        }
    }

    /// A run with another document may be removing ranges.
    #[must_use]
    pub fn run_at_once(sync_token: u64) -> Self {
        let reason =
            format!("a run with the document {sync_token} may be removing some at this time; Lambda runs it again");
        Self { kind: FailureKind::Partial, what: "removing ranges".to_owned(), reason }
    }

    /// Another run, or a person, removed ranges that are wanted, or added some.
    #[must_use]
    pub fn changed_meanwhile(pool: String, removed: &BTreeSet<IpNet>, added: &BTreeSet<IpNet>) -> Self {
        let list = |ranges: &BTreeSet<IpNet>| ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let did =
            |what: &str, ranges: &BTreeSet<IpNet>| (!ranges.is_empty()).then(|| format!("{what} {}", list(ranges)));
        let did: Vec<String> = did("removed", removed).into_iter().chain(did("added", added)).collect();
        let reason = format!("something else {} during this run; Lambda runs it again", did.join(" and "));
        Self { kind: FailureKind::Partial, what: pool, reason }
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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason)
    }
}
