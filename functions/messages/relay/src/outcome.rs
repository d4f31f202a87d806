//! What became of a request: the answer, the log line, the metrics.

use gatehouse_shared::failure::{ErrorType as _, chain};
use gatehouse_shared::metrics::Metrics;
use gatehouse_shared::sns::Envelope;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::error::Declined;
use crate::request::shortened;

/// What became of a request.
pub type RelayOutcome = Result<Done, Declined>;

/// What was done with a message that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It was published.
    Relayed {
        /// The identifier that SNS gave it in the target topic.
        target_message_id: String,
    },
    /// The subscription was confirmed, now or before.
    Confirmed {
        /// Its ARN.
        subscription_arn: String,
    },
    /// The subscription was confirmed by its URL, because SNS denied the call: anybody with a link can end it.
    ConfirmedByUrl,
    /// The subscription has ended: no more messages will come.
    Unsubscribed,
    /// `DRY_RUN` is set: nothing was done.
    Planned,
}

/// Who sent what, for the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) request_id: Option<String>,
    pub(crate) source_ip: Option<String>,
    pub(crate) message_type: Option<&'static str>,
    pub(crate) topic_arn: Option<String>,
    pub(crate) message_id: Option<String>,
}

impl Subject {
    /// The message as it names itself.
    pub(crate) fn of(request_id: Option<String>, source_ip: Option<String>, message: &Envelope) -> Self {
        Self {
            request_id,
            source_ip,
            message_type: Some(message.unverified_message_type().as_str()),
            topic_arn: Some(shortened(message.unverified_topic_arn())),
            message_id: Some(shortened(message.unverified_message_id())),
        }
    }
}

/// The response of a function URL.
pub(crate) fn response(outcome: &RelayOutcome) -> Value {
    let status = status_of(outcome);
    let mut headers = json!({
        "content-type": "text/plain; charset=utf-8",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    });
    if status == 405 {
        headers["allow"] = "POST".into();
    }
    json!({ "statusCode": status, "headers": headers, "body": text_of(status), "isBase64Encoded": false })
}

fn status_of(outcome: &RelayOutcome) -> u16 {
    outcome.as_ref().map_or_else(Declined::status, |_| 200)
}

/// One text for each status: a sender who is refused does not learn why.
fn text_of(status: u16) -> &'static str {
    match status {
        200 => "accepted\n",
        403 => "refused\n",
        405 => "expected POST\n",
        413 => "too large\n",
        415 => "expected text/plain or application/json\n",
        503 => "not available for now: try again\n",
        _ => "expected an SNS message\n",
    }
}

/// One line for each request. Bodies and tokens are in none.
pub(crate) fn log(outcome: &RelayOutcome, subject: &Subject) {
    let Subject { request_id, source_ip, message_type, topic_arn, message_id } = subject;
    let (request_id, source_ip) = (request_id.as_deref(), source_ip.as_deref());
    let (topic_arn, message_id) = (topic_arn.as_deref(), message_id.as_deref());
    match outcome {
        Ok(Done::Relayed { target_message_id }) => {
            tracing::info!(request_id, source_ip, topic_arn, message_id, target_message_id, "relayed");
        }
        Ok(Done::Confirmed { subscription_arn }) => {
            tracing::info!(
                request_id,
                source_ip,
                topic_arn,
                message_id,
                subscription_arn,
                "confirmed the subscription"
            );
        }
        Ok(Done::ConfirmedByUrl) => tracing::warn!(
            request_id,
            source_ip,
            topic_arn,
            message_id,
            "confirmed the subscription by its URL, because SNS denied ConfirmSubscription: anybody who gets the \
             UnsubscribeURL of a message can end it; allow sns:ConfirmSubscription on the topic in the function's role, \
             and subscribe again"
        ),
        Ok(Done::Unsubscribed) => tracing::warn!(
            request_id,
            source_ip,
            topic_arn,
            message_id,
            "the subscription has ended: no more messages of this topic will come; subscribe again if they should"
        ),
        Ok(Done::Planned) => {
            tracing::info!(
                request_id,
                source_ip,
                message_type,
                topic_arn,
                message_id,
                "DRY_RUN is set: nothing was done"
            );
        }
        Err(declined) => {
            let (status, error) = (declined.status(), chain(declined));
            let error_type = declined.error_type();
            // Whether these are of SNS is not known where the message was refused.
            let (seen_type, seen_topic, seen_id) = (message_type, topic_arn, message_id);
            if status == 503 || matches!(declined, Declined::NotConfirmed { .. }) {
                tracing::error!(
                    errorType = error_type,
                    error,
                    status,
                    request_id,
                    source_ip,
                    seen_type,
                    seen_topic,
                    seen_id,
                    "not accepted"
                );
            } else {
                tracing::warn!(
                    errorType = error_type,
                    error,
                    status,
                    request_id,
                    source_ip,
                    seen_type,
                    seen_topic,
                    seen_id,
                    "not accepted"
                );
            }
        }
    }
}

/// The metrics of one request: all at each, so that a missing one means a missing request.
pub(crate) fn metrics(function_name: &str, now: OffsetDateTime, outcome: &RelayOutcome) -> Metrics {
    let counted = match outcome {
        Ok(Done::Relayed { .. }) => Some("Relayed"),
        Ok(Done::Confirmed { .. }) => Some("Confirmed"),
        Ok(Done::ConfirmedByUrl) => Some("ConfirmedByUrl"),
        Ok(Done::Unsubscribed) => Some("Unsubscribed"),
        Ok(Done::Planned) => None,
        Err(Declined::NotConfirmed { .. }) => Some("NotConfirmed"),
        Err(declined) => Some(match declined.status() {
            403 => "Refused",
            503 => "RetryLater",
            _ => "Malformed",
        }),
    };
    METRICS
        .iter()
        .fold(Metrics::of(function_name, now), |metrics, name| metrics.count(name, usize::from(counted == Some(*name))))
}

const METRICS: [&str; 8] =
    ["Relayed", "Confirmed", "ConfirmedByUrl", "NotConfirmed", "Unsubscribed", "Refused", "Malformed", "RetryLater"];
