//! What was decided and done: never a value.

use gatehouse_shared::metrics::Metrics;
use serde::Serialize;
use time::OffsetDateTime;

use crate::content::Finding;

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was done.
    pub outcome: Outcome,
    /// SNS's identifier of the message that arrived.
    pub message_id: String,
    /// The topic it arrived from.
    pub topic_arn: String,
    /// SNS's identifier of what was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_message_id: Option<String>,
    /// What was found, by place, identifier and operation.
    pub findings: Vec<Finding>,
    /// How many findings are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_findings: usize,
    /// How many message attributes were left out, because nothing is left of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub attributes_dropped: usize,
    /// Whether this message is one that the Audit statement counts.
    pub audited: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What was done. The names are those in the log and of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// It was published to `TARGET_TOPIC_ARN`.
    Published,
    /// It was not published, because of a statement with Deny.
    Denied,
    /// It was not published, because nothing is left of it.
    NothingLeft,
    /// It would be published; `DRY_RUN` is set.
    Planned,
}

/// What an Audit statement counted in one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Audit(pub(crate) Vec<(String, usize)>);

/// The metrics of one invocation: all at each, so that a missing one means a missing invocation. The names of Audit are
/// AWS's, and `Found<identifier>`.
pub(crate) fn metrics(
    function_name: &str,
    now: OffsetDateTime,
    reports: &[Report],
    audits: &[Audit],
    failed: usize,
) -> Metrics {
    let count = |outcome| reports.iter().filter(|report| report.outcome == outcome).count();
    let mut metrics = Metrics::of(function_name, now)
        .count("Published", count(Outcome::Published))
        .count("Denied", count(Outcome::Denied))
        .count("NothingLeft", count(Outcome::NothingLeft))
        .count("Failed", failed);
    if audits.is_empty() {
        return metrics;
    }
    let with_findings = audits.iter().filter(|Audit(counts)| counts.iter().any(|(_, count)| *count > 0)).count();
    metrics = metrics
        .count("MessagesWithFindings", with_findings)
        .count("MessagesWithNoFindings", audits.len() - with_findings);
    let mut totals: Vec<(&str, usize)> = Vec::new();
    for (name, count) in audits.iter().flat_map(|Audit(counts)| counts) {
        match totals.iter_mut().find(|(known, _)| known == name) {
            Some((_, total)) => *total += count,
            None => totals.push((name, *count)),
        }
    }
    totals.into_iter().fold(metrics, |metrics, (name, total)| metrics.count(&format!("Found{name}"), total))
}
