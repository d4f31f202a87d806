//! What was decided and done.

use gatehouse_shared::failure::{ErrorType as _, chain};
use gatehouse_shared::metrics::Metrics;
use gatehouse_shared::notify::Notification;
use gatehouse_shared::sqs::SqsBatchResponse;
use serde::Serialize;
use time::OffsetDateTime;

use crate::error::Error;

/// What was decided about one stage, or about an event that concerns none.
#[derive(Debug, Serialize)]
pub struct StageDecision {
    /// What was done.
    pub outcome: StageOutcome,
    /// Name of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Name of the stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Id of the pipeline execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// Why.
    pub reason: String,
    /// Why it could not be decided or done.
    #[serde(skip)]
    pub error: Option<Error>,
}

/// What was done. The names are those in the log and, but for `Planned`, `Ignored` and `NotYet`, of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum StageOutcome {
    /// The stage was retried.
    Retried,
    /// `DRY_RUN` is set: the stage would have been retried, or a notification sent that the retries are used up.
    Planned,
    /// The retries are used up.
    GaveUp,
    /// The stage was not retried, and is not going to be for this event.
    Skipped,
    /// The event is not about a failure that a retry answers.
    Ignored,
    /// It cannot be decided yet; the event must be delivered again.
    NotYet,
    /// It could not be decided or done; the event must be delivered again.
    Failed,
}

/// What became of one event.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) decisions: Vec<StageDecision>,
    pub(crate) mail: Option<Notification>,
}

impl StageDecision {
    /// A decision without pipeline, stage and execution.
    #[must_use]
    pub fn new(outcome: StageOutcome, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { outcome, pipeline: None, stage: None, execution_id: None, reason, error: None }
    }

    /// One line in the log. `message_id` is that of SQS or SNS, by which a person finds the message again.
    pub(crate) fn log(&self, message_id: Option<&str>) {
        let Self { outcome, pipeline, stage, execution_id, reason, error } = self;
        match (outcome, error) {
            (_, Some(error)) => tracing::error!(
                ?outcome,
                errorType = error.error_type(),
                error = reason,
                pipeline,
                stage,
                execution_id,
                message_id,
                "decided"
            ),
            (StageOutcome::GaveUp, None) => {
                tracing::warn!(?outcome, pipeline, stage, execution_id, message_id, reason, "decided");
            }
            (_, None) => tracing::info!(?outcome, pipeline, stage, execution_id, message_id, reason, "decided"),
        }
    }
}

impl From<Error> for StageDecision {
    fn from(error: Error) -> Self {
        let outcome = if matches!(error, Error::NotYet { .. }) { StageOutcome::NotYet } else { StageOutcome::Failed };
        let reason = chain(&error);
        Self { error: Some(error), ..Self::new(outcome, reason) }
    }
}

impl Work {
    /// Adds what was decided about another stage. People get the first notification.
    pub(crate) fn extend(&mut self, other: Self) {
        self.decisions.extend(other.decisions);
        self.mail = self.mail.take().or(other.mail);
    }
}

impl From<StageDecision> for Work {
    fn from(decision: StageDecision) -> Self {
        Self { decisions: vec![decision], mail: None }
    }
}

impl From<Error> for Work {
    fn from(error: Error) -> Self {
        StageDecision::from(error).into()
    }
}

/// The metrics of one invocation: all four at each, so that a missing one means a missing invocation.
pub(crate) fn metrics(function_name: &str, now: OffsetDateTime, decisions: &[StageDecision]) -> Metrics {
    let count = |outcome| decisions.iter().filter(|decision| decision.outcome == outcome).count();
    Metrics::of(function_name, now)
        .count("Retried", count(StageOutcome::Retried))
        .count("GaveUp", count(StageOutcome::GaveUp))
        .count("Skipped", count(StageOutcome::Skipped))
        .count("Failed", count(StageOutcome::Failed))
}

/// What the function answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum RetryResponse {
    /// To EventBridge, SNS or a person.
    Report {
        /// Every decision, in the order they were made.
        decisions: Vec<StageDecision>,
    },
    /// To SQS: only the records named here are delivered again.
    Batch(SqsBatchResponse),
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;
    use crate::event::Event;

    #[test]
    fn every_invocation_gives_four_metrics() {
        let outcomes = [
            StageOutcome::Retried,
            StageOutcome::Skipped,
            StageOutcome::Skipped,
            StageOutcome::Ignored,
            StageOutcome::Planned,
            StageOutcome::NotYet,
        ];
        let decisions = outcomes.map(|outcome| StageDecision::new(outcome, ""));
        let line = metrics("pipeline-retry", datetime!(2026-08-13 07:47:05 UTC), &decisions).line();
        let line: Value = serde_json::from_str(&line).unwrap();
        let values = ["Retried", "GaveUp", "Skipped", "Failed"].map(|name| line[name].as_f64());
        assert_eq!(values, [Some(1.0), Some(0.0), Some(2.0), Some(0.0)]);
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().map(Vec::len), Some(4));
        assert_eq!(line["FunctionName"], "pipeline-retry");
    }

    #[test]
    fn answers_have_the_shapes_that_callers_know() {
        let decision =
            StageDecision { pipeline: Some("web".to_owned()), ..StageDecision::new(StageOutcome::GaveUp, "used up") };
        let report = serde_json::to_value(RetryResponse::Report { decisions: vec![decision] }).unwrap();
        assert_eq!(report, json!({"decisions": [{"outcome": "GaveUp", "pipeline": "web", "reason": "used up"}]}));

        let mut batch = SqsBatchResponse::default();
        batch.add_failure("m-1");
        let batch = serde_json::to_value(RetryResponse::Batch(batch)).unwrap();
        assert_eq!(batch, json!({"batchItemFailures": [{"itemIdentifier": "m-1"}]}));
        let none = serde_json::to_value(RetryResponse::Batch(SqsBatchResponse::default())).unwrap();
        assert_eq!(none, json!({"batchItemFailures": []}));
    }

    #[test]
    fn a_failure_gives_its_whole_chain_as_the_reason() {
        let error = Error::from(Event::parse(&json!({"source": "aws.s3"})).unwrap_err());
        let decision = StageDecision::from(error);
        assert_eq!(decision.outcome, StageOutcome::Failed);
        assert_eq!(
            decision.reason,
            "reading the event: the field source is \"aws.s3\": expected aws.codepipeline or aws.health"
        );
    }
}
