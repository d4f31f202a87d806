//! What was decided and done.

use gatehouse_shared::metrics::Metrics;
use serde::Serialize;
use time::OffsetDateTime;

use crate::notice::Notice;

/// What became of one notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was done.
    pub outcome: Outcome,
    /// The build.
    pub build_arn: String,
    /// The name of the image.
    pub image_name: String,
    /// The status of the build.
    pub status: String,
    /// The images that wait for approval.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// The Automation execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// More on the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The subject of the mail to the approvers. It is sent after this was logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
}

/// What was done. The names are those in the log and of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// The approval waits: this delivery of the notice requested it, or an earlier one did.
    Requested,
    /// There is nothing to approve: the build failed, or made no AMI of this account.
    NothingToApprove,
    /// The approval cannot be requested, and trying again would not help.
    NotRequested,
    /// `DRY_RUN` is set.
    Planned,
}

impl Report {
    pub(crate) fn new(notice: &Notice, outcome: Outcome) -> Self {
        Self {
            outcome,
            build_arn: notice.build.to_string(),
            image_name: notice.name.clone(),
            status: notice.status.clone(),
            images: Vec::new(),
            execution_id: None,
            reason: None,
            mail: None,
        }
    }
}

/// The metrics of one invocation: all at each, so that a missing one means a missing invocation.
pub(crate) fn metrics(function_name: &str, now: OffsetDateTime, reports: &[Report], failed: usize) -> Metrics {
    let count = |outcome| reports.iter().filter(|report| report.outcome == outcome).count();
    Metrics::of(function_name, now)
        .count("Requested", count(Outcome::Requested))
        .count("NothingToApprove", count(Outcome::NothingToApprove))
        .count("NotRequested", count(Outcome::NotRequested))
        .count("Failed", failed)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn every_invocation_gives_four_metrics() {
        let notice = Notice::parse(
            r#"{"arn": "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3", "state": {"status": "FAILED"}}"#,
        )
        .unwrap();
        let reports = [Outcome::Requested, Outcome::NothingToApprove, Outcome::Planned]
            .map(|outcome| Report::new(&notice, outcome));
        let line = metrics("ami-approval-request", datetime!(2026-08-13 07:47:05 UTC), &reports, 2).line();
        let line: Value = serde_json::from_str(&line).unwrap();
        let values = ["Requested", "NothingToApprove", "NotRequested", "Failed"].map(|name| line[name].as_f64());
        assert_eq!(values, [Some(1.0), Some(1.0), Some(0.0), Some(2.0)]);
    }
}
