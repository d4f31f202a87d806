//! What the function can be invoked with.

use ami_approval::image::BuildArn;
use ami_approval::link::is_execution_id;
use ami_approval::text::line;
use gatehouse_shared::field::{self, FieldError};
use gatehouse_shared::sns::{Envelope, ParseError, envelopes_of_lambda_event};
use gatehouse_shared::text::quoted;
use serde_json::Value;

const BUILD_ENDED: &str = "EC2 Image Builder Image State Change";
const APPROVAL_ENDED: &str = "EC2 Automation Execution Status-change Notification";

/// An event, read.
#[derive(Debug)]
pub(crate) enum Event {
    /// SNS delivers notices of Image Builder.
    Messages(Vec<Envelope>),
    /// EventBridge reports that a build ended. It says which one, and nothing else that is used here.
    BuildEnded(BuildArn),
    /// EventBridge reports that an execution of the runbook ended.
    ApprovalEnded { execution_id: String, status: String },
    /// A person asks again, after this execution.
    Again {
        /// The execution that ended without a shared image.
        execution_id: String,
    },
}

/// Why an event is not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// SNS did not invoke the function with this, and it has none of the other forms.
    #[error(
        "expected a delivery of SNS, an event of EventBridge ({BUILD_ENDED}, {APPROVAL_ENDED}), \
         {{\"again\": \"<execution id>\"}}, or one of these from the failure queue"
    )]
    Form(#[from] ParseError),
    /// A field does not have its form.
    #[error(transparent)]
    Field(#[from] FieldError),
}

impl Event {
    /// Reads an event. What the failure queue keeps was turned into one of these by [`gatehouse_shared::lambda::run`].
    pub(crate) fn parse(payload: &Value) -> Result<Self, EventError> {
        let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if let Some(again) = payload.get("again") {
            let seen = again.as_str().unwrap_or_default();
            return Ok(Self::Again { execution_id: execution_id("again", seen)? });
        }
        match text("/detail-type") {
            BUILD_ENDED => Ok(Self::BuildEnded(field::parse("resources[0]", text("/resources/0"))?)),
            APPROVAL_ENDED => Ok(Self::ApprovalEnded {
                execution_id: execution_id("detail.ExecutionId", text("/detail/ExecutionId"))?,
                status: line(text("/detail/Status"), 64),
            }),
            _ => Ok(Self::Messages(envelopes_of_lambda_event(payload)?)),
        }
    }
}

fn execution_id(name: &str, text: &str) -> Result<String, FieldError> {
    if is_execution_id(text) {
        Ok(text.to_owned())
    } else {
        Err(FieldError::new(name, quoted(text), "expected the id of an Automation execution, a UUID in lower case"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use gatehouse_testkit::real;
    use serde_json::json;

    use super::*;

    const EXECUTION: &str = "333ba70b-2333-48db-b17e-a5e69c6f4d1c";

    fn envelope() -> Value {
        json!({
            "Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:us-east-1:123456789012:builds",
            "Message": "{}", "Timestamp": "2026-01-02T12:45:07.000Z", "SignatureVersion": "1", "Signature": "x",
            "SigningCertURL": "https://sns.us-east-1.amazonaws.com/x.pem",
        })
    }

    fn parse(payload: &Value) -> Result<Event, String> {
        Event::parse(payload).map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_is_read() {
        let ended =
            json!({ "detail-type": APPROVAL_ENDED, "detail": { "ExecutionId": EXECUTION, "Status": "TimedOut" } });
        assert!(matches!(parse(&ended), Ok(Event::ApprovalEnded { status, .. }) if status == "TimedOut"));
        let sns = parse(&json!({ "Records": [{ "Sns": envelope() }] }));
        assert!(matches!(sns, Ok(Event::Messages(messages)) if messages.len() == 1));
        let again = parse(&json!({ "again": EXECUTION }));
        assert!(matches!(again, Ok(Event::Again { execution_id }) if execution_id == EXECUTION));
    }

    #[test]
    fn the_documented_events_are_read() {
        let read = |name: &str| {
            real(&format!("lambda-events/{name}.json"))
                // The documentation writes EXAMPLE into ids, where Image Builder has lower case alone.
                .map(|file| fs::read_to_string(file).unwrap().replace("EXAMPLE", "example"))
                .map(|text| serde_json::from_str::<Value>(&text).unwrap())
        };
        let Some(build) = read("eventbridge-imagebuilder-image-state-change") else { return };
        assert!(matches!(parse(&build), Ok(Event::BuildEnded(build)) if build.as_str().ends_with("/1.0.0/1")));
        let ended = read("eventbridge-ssm-automation-execution").unwrap();
        assert!(matches!(parse(&ended), Ok(Event::ApprovalEnded { execution_id, status })
                if execution_id == EXECUTION && status == "Success"));
    }

    #[test]
    fn anything_else_says_what_is_expected() {
        for (event, part) in [
            (json!({ "again": "x" }), "the field again is \"x\": expected the id of an Automation execution"),
            (json!({ "again": 7 }), "the field again is \"\""),
            (json!({ "detail-type": APPROVAL_ENDED }), "the field detail.ExecutionId is \"\""),
            (json!({ "detail-type": BUILD_ENDED, "resources": ["x"] }), "the field resources[0] is \"x\""),
            (json!({}), "expected a delivery of SNS"),
            (json!({ "detail-type": "Scheduled Event" }), "expected a delivery of SNS"),
            (json!({ "requestPayload": { "again": EXECUTION } }), "expected a delivery of SNS"),
        ] {
            let error = parse(&event).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
