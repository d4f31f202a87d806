//! A message as it arrived.

use std::fmt;

use serde_json::{Map, Value};

/// The longest text accepted in any field but `Message`, in bytes.
///
/// SNS's longest is a `SubscribeURL` of about 500; 8,192-bit signatures have 1,368. The length of `Message` is left to
/// the service that delivers it.
const MAX_FIELD_BYTES: usize = 4_096;

/// A message as it arrived: nothing in it has been checked but its form.
///
/// Fields stay text because the signature covers their exact bytes: a timestamp that went through a date type comes
/// out as another text. [`Verifier::verify`](super::Verifier::verify) turns an envelope into a
/// [`Verified`](super::Verified), which gives the fields out.
///
/// ```
/// use gatehouse_shared::sns::Envelope;
///
/// let body = r#"{
///     "Type": "Notification",
///     "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
///     "TopicArn": "arn:aws:sns:us-east-1:123456789012:example",
///     "Message": "hello",
///     "Timestamp": "2019-01-02T12:45:07.000Z"
/// }"#;
/// let envelope = Envelope::from_json(body).unwrap();
/// assert_eq!(envelope.unverified_topic_arn(), "arn:aws:sns:us-east-1:123456789012:example");
///
/// let error = Envelope::from_json(r#"{"Type": "Notification"}"#).unwrap_err();
/// assert_eq!(error.to_string(), "the field MessageId is missing: expected one line of text");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    pub(super) message_type: MessageType,
    pub(super) message_id: String,
    pub(super) topic_arn: String,
    /// Only notifications have one.
    pub(super) subject: Option<String>,
    pub(super) message: String,
    pub(super) timestamp: String,
    /// Only confirmations have a token and a URL, and they always have both.
    pub(super) token: Option<String>,
    pub(super) subscribe_url: Option<String>,
    /// SNS leaves these three out of what FIFO topics deliver.
    pub(super) signature_version: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) signing_cert_url: Option<String>,
}

/// What SNS says a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// A message that was published to the topic.
    Notification,
    /// SNS asks whether this endpoint wants the topic's messages.
    SubscriptionConfirmation,
    /// SNS tells that the subscription ended, and how to restore it.
    UnsubscribeConfirmation,
}

impl MessageType {
    /// The name as SNS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notification => "Notification",
            Self::SubscriptionConfirmation => "SubscriptionConfirmation",
            Self::UnsubscribeConfirmation => "UnsubscribeConfirmation",
        }
    }
}

/// Why a delivery is not an SNS message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The text is not JSON.
    #[error("reading an SNS message, which is a JSON object (is raw message delivery on? turn it off)")]
    Json(#[from] serde_json::Error),
    /// A field that every message of its type has is not there, or null.
    #[error("the field {field} is missing: expected {expected}")]
    Missing {
        /// The path of the field, such as `Records[0].Sns.TopicArn`.
        field: String,
        /// What should be there.
        expected: &'static str,
    },
    /// A field holds something else than SNS puts there.
    #[error("the field {field} is {seen}: expected {expected}")]
    Unexpected {
        /// The path of the field, such as `Records[0].Sns.TopicArn`.
        field: String,
        /// What was there, shortened.
        seen: String,
        /// What should be there.
        expected: &'static str,
    },
}

/// The messages of the event that SNS invokes a Lambda function with: `Records[].Sns`.
///
/// ```
/// use gatehouse_shared::sns::envelopes_of_lambda_event;
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
        Some(other) => return Err(unexpected("Records".into(), described(other), RECORDS)),
    };
    let envelope_of = |(index, record): (usize, &Value)| {
        let path = format!("Records[{index}].Sns");
        match record.get("Sns") {
            None | Some(Value::Null) => Err(missing(path, "an SNS message")),
            Some(message) => Fields::of(message, path)?.into_envelope(),
        }
    };
    records.iter().enumerate().map(envelope_of).collect()
}

impl Envelope {
    /// Reads a message from its JSON: the body of an HTTP(S) delivery, or of an SQS message that SNS sent.
    ///
    /// # Errors
    ///
    /// [`ParseError`] names the field, what was in it and what was expected.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, ParseError> {
        Self::from_value(&serde_json::from_slice(json.as_ref())?)
    }

    /// Reads a message from JSON that was parsed already.
    ///
    /// # Errors
    ///
    /// [`ParseError`] names the field, what was in it and what was expected.
    pub fn from_value(message: &Value) -> Result<Self, ParseError> {
        Fields::of(message, String::new())?.into_envelope()
    }

    /// `MessageId`, to name the message in a log line. Anybody can have written it.
    #[must_use]
    pub fn unverified_message_id(&self) -> &str {
        &self.message_id
    }

    /// `TopicArn`, to name the topic in a log line. Anybody can have written it.
    #[must_use]
    pub fn unverified_topic_arn(&self) -> &str {
        &self.topic_arn
    }
}

/// Shows what identifies the message and hides what may be secret: message, subject, token.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("message_type", &self.message_type)
            .field("message_id", &self.message_id)
            .field("topic_arn", &self.topic_arn)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}

/// The fields of a message, and where in the delivery they are.
struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    fn of(message: &'a Value, path: String) -> Result<Self, ParseError> {
        match message {
            Value::Object(object) => Ok(Self { object, path }),
            other => {
                let field = if path.is_empty() { "(the whole message)".to_owned() } else { path };
                Err(unexpected(field, described(other), "an SNS message, which is a JSON object"))
            }
        }
    }

    fn into_envelope(self) -> Result<Envelope, ParseError> {
        let message_type = self.message_type()?;
        let is_notification = message_type == MessageType::Notification;
        let of_confirmation = |names: &[&'static str]| {
            if is_notification { Ok(None) } else { self.required_line(names).map(Some) }
        };
        Ok(Envelope {
            message_type,
            message_id: self.required_line(&["MessageId"])?,
            topic_arn: self.required_line(&["TopicArn"])?,
            subject: if is_notification { self.line(&["Subject"])? } else { None },
            message: self.text(&["Message"])?.ok_or_else(|| missing(self.path_of("Message"), "text"))?.to_owned(),
            timestamp: self.required_line(&["Timestamp"])?,
            token: of_confirmation(&["Token"])?,
            subscribe_url: of_confirmation(&["SubscribeURL", "SubscribeUrl"])?,
            signature_version: self.line(&["SignatureVersion"])?,
            signature: self.line(&["Signature"])?,
            // HTTP and SQS deliveries spell it `URL`, Lambda spells it `Url`.
            signing_cert_url: self.line(&["SigningCertURL", "SigningCertUrl"])?,
        })
    }

    fn message_type(&self) -> Result<MessageType, ParseError> {
        const TYPES: [MessageType; 3] =
            [MessageType::Notification, MessageType::SubscriptionConfirmation, MessageType::UnsubscribeConfirmation];
        const EXPECTED: &str = "Notification, SubscriptionConfirmation or UnsubscribeConfirmation";
        let name = self.text(&["Type"])?.ok_or_else(|| missing(self.path_of("Type"), EXPECTED))?;
        TYPES
            .into_iter()
            .find(|message_type| message_type.as_str() == name)
            .ok_or_else(|| unexpected(self.path_of("Type"), shortened(name), EXPECTED))
    }

    fn required_line(&self, names: &[&'static str]) -> Result<String, ParseError> {
        self.line(names)?.ok_or_else(|| missing(self.path_of(names[0]), "one line of text"))
    }

    /// One line of text under any of these names; `None` where there is none, or null.
    ///
    /// A line break is refused because the string to sign has a line for each name and value. Where only `Message`,
    /// which comes first in it, may hold line breaks, no two messages have the same string to sign. Without this, a
    /// publisher could put lines into a field so that the signed bytes read as another message.
    ///
    /// SNS sends no line breaks in these fields: of `Subject`, the only one that a publisher chooses, the API
    /// Reference (`Publish`) says "no line breaks or control characters".
    fn line(&self, names: &[&'static str]) -> Result<Option<String>, ParseError> {
        let Some(text) = self.text(names)? else { return Ok(None) };
        if text.len() > MAX_FIELD_BYTES {
            let seen = format!("{} bytes long", text.len());
            return Err(unexpected(self.path_of(names[0]), seen, "at most 4096 bytes"));
        }
        if text.contains('\n') {
            return Err(unexpected(self.path_of(names[0]), "text with a line break".into(), "one line of text"));
        }
        Ok(Some(text.to_owned()))
    }

    /// The text under any of these names; `None` where there is none, or null.
    fn text(&self, names: &[&'static str]) -> Result<Option<&'a str>, ParseError> {
        let mut found = None;
        for &name in names {
            match self.object.get(name) {
                None | Some(Value::Null) => {}
                // Of two spellings with two values, nobody can tell which one was meant.
                Some(Value::String(text)) if found.is_some_and(|earlier| earlier != text) => {
                    let seen = format!("not the same as {}", names[0]);
                    return Err(unexpected(self.path_of(name), seen, "one of the two"));
                }
                Some(Value::String(text)) => found = Some(text.as_str()),
                Some(other) => return Err(unexpected(self.path_of(name), described(other), "text")),
            }
        }
        Ok(found)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

fn missing(field: String, expected: &'static str) -> ParseError {
    ParseError::Missing { field, expected }
}

fn unexpected(field: String, seen: String, expected: &'static str) -> ParseError {
    ParseError::Unexpected { field, seen, expected }
}

/// What a value is. Texts, arrays and objects may hold a message body, which is not for the log.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The start of a text in quotes, control characters escaped: a value that anybody can have written, fit for a log.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}
