//! The ways in which SNS delivers.
//!
//! | delivery | where the envelope is | read by |
//! |---|---|---|
//! | Lambda | `Records[].Sns` of the event | [`envelopes_of_lambda_event`] |
//! | SQS | `Records[].body` of the event, as text | [`Envelope::from_json`](crate::Envelope::from_json) of each body |
//! | HTTPS | the body of the request | [`Envelope::from_json`](crate::Envelope::from_json) |
//! | raw (`RawMessageDelivery`, to SQS and HTTPS) | nowhere: the body is the message alone, without a signature | nothing; turn it off |
//!
//! Over HTTPS a raw delivery has the header `x-amz-sns-rawdelivery: true`.
//!
//! Source: SNS Developer Guide, "Parsing Amazon SNS message formats" and "Amazon SNS raw message delivery".

use serde_json::Value;

use crate::envelope::{missing, unexpected};
use crate::{Envelope, ParseError};

/// The way on which a message arrived, which decides how old it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// SNS invoked the function.
    Lambda,
    /// SNS sent the message to a queue.
    Sqs,
    /// SNS posted the message to a URL, which anybody else can do as well.
    Https,
}

/// The messages of the event that SNS invokes a Lambda function with: `Records[].Sns`.
///
/// ```
/// use gatehouse_sns::envelopes_of_lambda_event;
/// use serde_json::json;
///
/// let event = json!({"Records": [{"EventSource": "aws:sns", "Sns": {
///     "Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:us-east-1:123456789012:example",
///     "Subject": null, "Message": "hello", "Timestamp": "2019-01-02T12:45:07.000Z",
/// }}]});
/// assert_eq!(envelopes_of_lambda_event(&event).unwrap().len(), 1);
///
/// let error = envelopes_of_lambda_event(&json!({"Records": [{"body": "{}"}]})).unwrap_err();
/// assert_eq!(error.to_string(), "the field Records[0].Sns is missing: expected an SNS message");
/// ```
///
/// # Errors
///
/// [`ParseError`] for the first record that is not an SNS message, or when there is no record.
pub fn envelopes_of_lambda_event(event: &Value) -> Result<Vec<Envelope>, ParseError> {
    const RECORDS: &str = "an array of records, as SNS sends to a Lambda function";
    let records = match event.get("Records") {
        Some(Value::Array(records)) if !records.is_empty() => records,
        Some(Value::Array(_)) => return Err(unexpected("Records".into(), "empty".into(), RECORDS)),
        None | Some(Value::Null) => return Err(missing("Records".into(), RECORDS)),
        Some(_) => return Err(unexpected("Records".into(), "not an array".into(), RECORDS)),
    };
    let envelope_of = |(index, record): (usize, &Value)| {
        let path = format!("Records[{index}].Sns");
        match record.get("Sns") {
            None | Some(Value::Null) => Err(missing(path, "an SNS message")),
            Some(message) => Envelope::at(&path, message),
        }
    };
    records.iter().enumerate().map(envelope_of).collect()
}
