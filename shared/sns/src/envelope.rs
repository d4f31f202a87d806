//! A message as it arrived.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The longest text accepted in any field but `Message`, in bytes.
///
/// SNS's longest is a `SubscribeURL` of about 500; 8,192-bit signatures have 1,368. The length of `Message` is left to
/// the service that delivers it.
const MAX_FIELD_BYTES: usize = 4_096;

/// A message as it arrived: nothing in it has been checked but its form.
///
/// Fields stay text because the signature covers their exact bytes: a timestamp that went through a date type comes
/// out as another text. [`Verifier::verify`](crate::Verifier::verify) turns an envelope into a
/// [`Verified`](crate::Verified), which gives the fields out.
///
/// ```
/// use gatehouse_sns::Envelope;
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
/// assert_eq!(envelope.unverified_message_id(), "95df01b4-ee98-5cb9-9903-4c221d41eb5e");
/// assert_eq!(envelope.unverified_message_bytes(), "hello".len());
///
/// let error = Envelope::from_json(r#"{"Type": "Notification"}"#).unwrap_err();
/// assert_eq!(error.to_string(), "the field MessageId is missing: expected one line of text");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    pub(crate) message_type: MessageType,
    pub(crate) message_id: String,
    pub(crate) topic_arn: String,
    /// Only notifications have one.
    pub(crate) subject: Option<String>,
    pub(crate) message: String,
    pub(crate) timestamp: String,
    /// Only confirmations have a token and a URL, and they always have both.
    pub(crate) token: Option<String>,
    pub(crate) subscribe_url: Option<String>,
    /// SNS leaves these three out of what FIFO topics deliver.
    pub(crate) signature_version: Option<String>,
    pub(crate) signature: Option<String>,
    pub(crate) signing_cert_url: Option<String>,
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

impl Envelope {
    /// Reads a message from its JSON: the body of an HTTP(S) delivery, or of an SQS message that SNS sent.
    ///
    /// Whatever else is in the body is skipped, not stored. A field of the message that is given twice is an error,
    /// because another reader of the same body could take the other value.
    ///
    /// ```
    /// use gatehouse_sns::Envelope;
    ///
    /// let error = Envelope::from_json(r#"{"Type": "Notification", "Type": "Notification"}"#).unwrap_err();
    /// assert_eq!(error.to_string(), "the field Type is given twice: expected each field once");
    /// ```
    ///
    /// # Errors
    ///
    /// [`ParseError`] names the field, what was in it and what was expected.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, ParseError> {
        Fields::read(json.as_ref(), "")?.into_envelope("")
    }

    /// Reads a message from JSON that was parsed already. Where there is a body, [`Envelope::from_json`] is better: it
    /// copies less, and sees fields that are given twice.
    ///
    /// # Errors
    ///
    /// [`ParseError`] names the field, what was in it and what was expected.
    pub fn from_value(message: &Value) -> Result<Self, ParseError> {
        Self::at("", message)
    }

    /// The message at this path of a delivery.
    pub(crate) fn at(path: &str, message: &Value) -> Result<Self, ParseError> {
        Fields::read(message.to_string().as_bytes(), path)?.into_envelope(path)
    }

    /// `Type`, to compare it with what else the delivery says. Anybody can have written it.
    #[must_use]
    pub fn unverified_message_type(&self) -> MessageType {
        self.message_type
    }

    /// The size of `Message`, to compare it with what a delivery may hold. Anybody can have written it.
    #[must_use]
    pub fn unverified_message_bytes(&self) -> usize {
        self.message.len()
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

/// The fields of a message, each as the JSON that is there: no text is copied before its field is needed, and what is not
/// named is skipped. HTTP and SQS deliveries write `URL`, Lambda writes `Url`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fields<'a> {
    #[serde(borrow, rename = "Type")]
    message_type: Option<&'a RawValue>,
    #[serde(borrow)]
    message_id: Option<&'a RawValue>,
    #[serde(borrow)]
    topic_arn: Option<&'a RawValue>,
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    token: Option<&'a RawValue>,
    #[serde(borrow, rename = "SubscribeURL", alias = "SubscribeUrl")]
    subscribe_url: Option<&'a RawValue>,
    #[serde(borrow)]
    signature_version: Option<&'a RawValue>,
    #[serde(borrow)]
    signature: Option<&'a RawValue>,
    #[serde(borrow, rename = "SigningCertURL", alias = "SigningCertUrl")]
    signing_cert_url: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn read(json: &'a [u8], path: &str) -> Result<Self, ParseError> {
        if json.trim_ascii_start().first() == Some(&b'{') {
            return serde_json::from_slice(json).map_err(|error| {
                // Of an object whose fields may hold anything, this is the only error but those of the JSON.
                let text = error.to_string();
                match text.strip_prefix("duplicate field `").and_then(|text| text.split_once('`')) {
                    Some((name, _)) => unexpected(path_of(path, name), "given twice".into(), "each field once"),
                    None => error.into(),
                }
            });
        }
        let seen = described(serde_json::from_slice(json)?);
        let field = if path.is_empty() { "(the whole message)" } else { path };
        Err(unexpected(field.to_owned(), seen, "an SNS message, which is a JSON object"))
    }

    fn into_envelope(self, path: &str) -> Result<Envelope, ParseError> {
        let line = |name, value| line(path, name, value);
        let required = |name, value| line(name, value)?.ok_or_else(|| missing(path_of(path, name), "one line of text"));
        let message_type = message_type(path, self.message_type)?;
        let is_notification = message_type == MessageType::Notification;
        Ok(Envelope {
            message_type,
            message_id: required("MessageId", self.message_id)?,
            topic_arn: required("TopicArn", self.topic_arn)?,
            subject: if is_notification { line("Subject", self.subject)? } else { None },
            message: text(path, "Message", self.message)?.ok_or_else(|| missing(path_of(path, "Message"), "text"))?,
            timestamp: required("Timestamp", self.timestamp)?,
            token: if is_notification { None } else { Some(required("Token", self.token)?) },
            subscribe_url: if is_notification { None } else { Some(required("SubscribeURL", self.subscribe_url)?) },
            signature_version: line("SignatureVersion", self.signature_version)?,
            signature: line("Signature", self.signature)?,
            signing_cert_url: line("SigningCertURL", self.signing_cert_url)?,
        })
    }
}

fn message_type(path: &str, value: Option<&RawValue>) -> Result<MessageType, ParseError> {
    const TYPES: [MessageType; 3] =
        [MessageType::Notification, MessageType::SubscriptionConfirmation, MessageType::UnsubscribeConfirmation];
    const EXPECTED: &str = "Notification, SubscriptionConfirmation or UnsubscribeConfirmation";
    let name = text(path, "Type", value)?.ok_or_else(|| missing(path_of(path, "Type"), EXPECTED))?;
    TYPES
        .into_iter()
        .find(|message_type| message_type.as_str() == name)
        .ok_or_else(|| unexpected(path_of(path, "Type"), shortened(&name), EXPECTED))
}

/// One line of text; `None` where there is none, or null.
///
/// A line break is refused because the string to sign has a line for each name and value. Where only `Message`,
/// which comes first in it, may hold line breaks, no two messages have the same string to sign. Without this, a
/// publisher could put lines into a field so that the signed bytes read as another message.
///
/// SNS sends no line breaks in these fields: of `Subject`, the only one that a publisher chooses, the API
/// Reference (`Publish`) says "no line breaks or control characters".
fn line(path: &str, name: &str, value: Option<&RawValue>) -> Result<Option<String>, ParseError> {
    let Some(text) = text(path, name, value)? else { return Ok(None) };
    if text.len() > MAX_FIELD_BYTES {
        return Err(unexpected(path_of(path, name), format!("{} bytes long", text.len()), "at most 4096 bytes"));
    }
    if text.contains('\n') {
        return Err(unexpected(path_of(path, name), "text with a line break".into(), "one line of text"));
    }
    Ok(Some(text))
}

/// The text of a field; `None` where there is none, or null.
fn text(path: &str, name: &str, value: Option<&RawValue>) -> Result<Option<String>, ParseError> {
    let Some(value) = value else { return Ok(None) };
    if !value.get().starts_with('"') {
        return Err(unexpected(path_of(path, name), described(value), "text"));
    }
    Ok(Some(serde_json::from_str(value.get())?))
}

fn path_of(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

pub(crate) fn missing(field: String, expected: &'static str) -> ParseError {
    ParseError::Missing { field, expected }
}

pub(crate) fn unexpected(field: String, seen: String, expected: &'static str) -> ParseError {
    ParseError::Unexpected { field, seen, expected }
}

/// A value for an error. Texts, arrays and objects may hold a message, which is not for the log.
pub(crate) fn described(value: &RawValue) -> String {
    match value.get().as_bytes().first() {
        Some(b'"') => "a text".to_owned(),
        Some(b'[') => "an array".to_owned(),
        Some(b'{') => "an object".to_owned(),
        _ => value.get().chars().take(40).collect(),
    }
}

/// The start of a text in quotes, control characters escaped: a value that anybody can have written, fit for a log.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}
