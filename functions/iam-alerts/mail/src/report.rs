//! What was decided and done.

use gatehouse_shared::metrics::Metrics;
use serde::Serialize;
use time::OffsetDateTime;

use crate::event::Event;
use crate::record::Record;

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertReport {
    /// What was done.
    pub outcome: AlertOutcome,
    /// The id of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The account where it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The name of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// The id of the record in CloudTrail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_id: Option<String>,
    /// The ARN of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_arn: Option<String>,
    /// Why the call failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Why the record is not understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The subject of the mail. It is sent after this was logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
}

/// What was done. The names are those in the log and, but for `Planned`, of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum AlertOutcome {
    /// A mail about the call was sent.
    Mailed,
    /// The record is not as documented: a mail with the event as it is was sent.
    NotUnderstood,
    /// `EXCLUDE_EVENT_NAMES` names the call: no mail.
    Excluded,
    /// `DRY_RUN` is set: a mail would have been sent.
    Planned,
}

impl AlertReport {
    pub(crate) fn new(outcome: AlertOutcome, event: &Event) -> Self {
        Self {
            outcome,
            event_id: event.id.clone(),
            account: event.account.clone(),
            event_name: None,
            record_id: None,
            principal_arn: None,
            error_code: None,
            reason: None,
            mail: None,
        }
    }

    pub(crate) fn of(outcome: AlertOutcome, event: &Event, record: &Record) -> Self {
        Self {
            event_name: Some(record.event_name.clone()),
            record_id: record.event_id.clone(),
            principal_arn: record.user_identity.as_ref().and_then(|identity| identity.arn.clone()),
            error_code: record.error_code.clone(),
            ..Self::new(outcome, event)
        }
    }
}

/// The metrics of one invocation: all at each, so that a missing one means a missing invocation.
pub(crate) fn metrics(function_name: &str, now: OffsetDateTime, reports: &[AlertReport], failed: usize) -> Metrics {
    let count = |outcome| reports.iter().filter(|report| report.outcome == outcome).count();
    Metrics::of(function_name, now)
        .count("Mailed", count(AlertOutcome::Mailed))
        .count("NotUnderstood", count(AlertOutcome::NotUnderstood))
        .count("Excluded", count(AlertOutcome::Excluded))
        .count("Failed", failed)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;

    #[test]
    fn every_invocation_gives_four_metrics() {
        let event = json!({ "source": "aws.iam", "detail-type": "x", "detail": {} });
        let event: Event = serde_json::from_value(event).unwrap();
        let reports = [AlertOutcome::Mailed, AlertOutcome::Mailed, AlertOutcome::NotUnderstood, AlertOutcome::Planned]
            .map(|outcome| AlertReport::new(outcome, &event));
        let line = metrics("iam-alert-mail", datetime!(2026-08-13 07:47:05 UTC), &reports, 3).line();
        let line: Value = serde_json::from_str(&line).unwrap();
        let values = ["Mailed", "NotUnderstood", "Excluded", "Failed"].map(|name| line[name].as_f64());
        assert_eq!(values, [Some(2.0), Some(1.0), Some(0.0), Some(3.0)]);
    }
}
