//! What was received.

use gatehouse_shared::sns::Verified;
use serde::Serialize;
use serde_json::Value;

/// One message, as it is logged: whole. That is what this example is for; no other function logs what a message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Received {
    /// `SUBSCRIBER`.
    pub subscriber: String,
    pub topic_arn: String,
    /// SNS's identifier of the message.
    pub message_id: String,
    /// When it was published.
    pub timestamp: String,
    /// Its subject, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What was published.
    pub message: String,
    /// The message attributes as SNS delivered them. Its signature does not cover them.
    pub attributes: Value,
}

impl Received {
    /// The message, and the attributes that came with it.
    #[must_use]
    pub fn new(subscriber: &str, message: &Verified, attributes: Value) -> Self {
        Self {
            subscriber: subscriber.to_owned(),
            topic_arn: message.topic_arn().to_owned(),
            message_id: message.message_id().to_owned(),
            timestamp: message.timestamp().to_owned(),
            subject: message.subject().map(ToOwned::to_owned),
            message: message.message().to_owned(),
            attributes,
        }
    }
}
