//! The messages of a queue that one invocation brings, and which of them are delivered again.

use serde::Deserialize;
use serde_json::Value;

/// The answer to Lambda: the messages that are named go back to the queue, and the others are deleted from it. The event
/// source mapping must have `ReportBatchItemFailures`.
///
/// Source: Lambda Developer Guide, "Implementing partial batch responses".
pub use aws_lambda_events::sqs::SqsBatchResponse;

/// A message of SQS. Its attributes are not read: one that cannot be decoded would fail the whole batch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// SQS's id of the message.
    pub message_id: String,
    /// The body. A message without one is read, so that it alone fails.
    #[serde(default)]
    pub body: String,
}

/// An invocation has `Records` that are not messages of SQS. Nothing of it is handled: all messages are delivered again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// There is no record.
    #[error("the field Records is empty: expected messages of SQS")]
    Empty,
    /// A record has not the fields of a message.
    #[error("the field Records: expected messages of SQS")]
    NotMessages(#[source] serde_json::Error),
}

/// The messages of an invocation by SQS; `None` where the event has no `Records`.
///
/// Source: Lambda Developer Guide, "Using Lambda with Amazon SQS", "Example standard queue message event".
///
/// # Errors
///
/// [`RecordsError`]
///
/// ```
/// use gatehouse_shared::sqs::messages;
/// use serde_json::json;
///
/// let event = json!({ "Records": [{ "messageId": "m-1", "body": "{}", "eventSource": "aws:sqs" }] });
/// assert_eq!(messages(&event).unwrap().unwrap()[0].message_id, "m-1");
/// assert!(messages(&json!({ "source": "aws.health" })).is_none());
/// ```
#[must_use]
pub fn messages(event: &Value) -> Option<Result<Vec<Message>, RecordsError>> {
    let records = event.get("Records")?;
    Some(match Vec::deserialize(records) {
        Ok(messages) if messages.is_empty() => Err(RecordsError::Empty),
        Ok(messages) => Ok(messages),
        Err(error) => Err(RecordsError::NotMessages(error)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_needs_its_id_alone() {
        let read =
            |records: Value| messages(&json!({ "Records": records })).unwrap().map_err(|error| error.to_string());
        let odd = json!({ "messageId": "2", "messageAttributes": { "a": { "binaryValue": "?" } } });
        let read_ids = read(json!([{ "messageId": "1", "body": "{}" }, odd])).unwrap();
        assert_eq!(
            read_ids.iter().map(|message| (&*message.message_id, &*message.body)).collect::<Vec<_>>(),
            [("1", "{}"), ("2", "")]
        );
        assert_eq!(read(json!([])), Err("the field Records is empty: expected messages of SQS".to_owned()));
        for records in
            [json!({}), json!("x"), json!(null), json!([1]), json!([{ "body": "{}" }]), json!([{ "s3": {} }])]
        {
            assert_eq!(read(records), Err("the field Records: expected messages of SQS".to_owned()));
        }
    }
}
