//! What EventBridge hands to the function: an envelope, with the record of CloudTrail as its `detail`.

use serde::Deserialize;
use serde_json::Value;

/// An event of EventBridge. Its `detail` is not looked into here: it may be anything.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// The id of the event. It stays the same when EventBridge delivers the event again.
    #[serde(default)]
    pub id: Option<String>,
    /// Such as `aws.iam`.
    pub source: String,
    /// Such as `AWS API Call via CloudTrail`.
    #[serde(rename = "detail-type")]
    pub detail_type: String,
    /// The account where it happened. A bus of another account leaves it as it is.
    #[serde(default)]
    pub account: Option<String>,
    /// The Region where it was sent.
    #[serde(default)]
    pub region: Option<String>,
    /// The record of CloudTrail.
    pub detail: Value,
}

/// The invocation is no event of EventBridge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an event of EventBridge, with source, detail-type and detail, or a list of them ({reason}); find out who \
     invokes the function"
)]
pub struct EventError {
    reason: String,
}

impl EventError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// The events of one invocation. EventBridge sends one; whoever sends events of the failure queue again may send several
/// in a list.
///
/// # Errors
///
/// [`EventError`] where one is no event of EventBridge: nothing of the invocation is mailed then.
pub fn events(payload: Value) -> Result<Vec<Event>, EventError> {
    let events = match payload {
        Value::Array(events) if events.is_empty() => return Err(EventError { reason: "the list is empty".to_owned() }),
        Value::Array(events) => events,
        event => vec![event],
    };
    events
        .into_iter()
        .map(|event| serde_json::from_value(event).map_err(|error| EventError { reason: error.to_string() }))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_needs_its_source_its_type_and_its_detail() {
        let event = json!({ "source": "aws.iam", "detail-type": "AWS API Call via CloudTrail", "detail": {} });
        assert_eq!(events(event.clone()).unwrap().len(), 1);
        assert_eq!(events(json!([event, event])).unwrap().len(), 2);
        for name in ["source", "detail-type", "detail"] {
            let mut event = event.clone();
            event.as_object_mut().unwrap().remove(name);
            let error = events(json!([event])).unwrap_err().to_string();
            assert!(error.contains(&format!("missing field `{name}`")), "{error}");
        }
        for other in [json!([]), json!({}), json!("text"), json!(null), json!([1]), json!({ "Records": [] })] {
            assert!(events(other.clone()).is_err(), "{other}");
        }
    }

    #[test]
    fn a_detail_may_be_anything() {
        for detail in [json!({}), json!([1]), json!("text"), json!(null)] {
            let event = json!({ "source": "aws.iam", "detail-type": "x", "detail": detail });
            assert_eq!(events(event).unwrap()[0].detail, detail);
        }
    }
}
