//! A message as it arrived.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

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
        let mut deserializer = serde_json::Deserializer::from_slice(json.as_ref());
        let message = Expected::Message.deserialize(&mut deserializer)?;
        deserializer.end()?;
        // Its buffer can be as large as the message.
        drop(deserializer);
        Fields::of(message, String::new())?.into_envelope()
    }

    /// Reads a message from JSON that was parsed already. Where there is a body, [`Envelope::from_json`] is better: it
    /// stores less, and sees fields that are given twice.
    ///
    /// # Errors
    ///
    /// [`ParseError`] names the field, what was in it and what was expected.
    pub fn from_value(message: &Value) -> Result<Self, ParseError> {
        Self::at(String::new(), message)
    }

    pub(crate) fn at(path: String, message: &Value) -> Result<Self, ParseError> {
        Fields::of(Expected::Message.deserialize(message)?, path)?.into_envelope()
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

/// The fields that are read, each with the name that errors give it. Two of them have two spellings: HTTP and SQS
/// deliveries say `URL`, Lambda says `Url`.
const FIELDS: [(&str, &str); 13] = [
    ("Type", "Type"),
    ("MessageId", "MessageId"),
    ("TopicArn", "TopicArn"),
    ("Subject", "Subject"),
    ("Message", "Message"),
    ("Timestamp", "Timestamp"),
    ("Token", "Token"),
    ("SubscribeURL", "SubscribeURL"),
    ("SubscribeUrl", "SubscribeURL"),
    ("SignatureVersion", "SignatureVersion"),
    ("Signature", "Signature"),
    ("SigningCertURL", "SigningCertURL"),
    ("SigningCertUrl", "SigningCertURL"),
];

/// What a delivery holds.
#[derive(Debug, Default)]
enum Content<'a> {
    #[default]
    Absent,
    Null,
    Text(Cow<'a, str>),
    /// The message itself: what is in each of [`FIELDS`], in their order. The rest was skipped, not stored.
    Message(Box<[Self; FIELDS.len()]>),
    /// Anything else, described for an error. Arrays and objects may hold a message body, which is not for the log.
    Other(String),
    /// The field is there more than once: nobody can tell which one was meant.
    Twice,
}

/// Reads any JSON value, and stores no more of it than a text or the texts of a message: over HTTPS anybody can send
/// anything.
#[derive(Clone, Copy)]
enum Expected {
    Message,
    Text,
}

impl<'de> DeserializeSeed<'de> for Expected {
    type Value = Content<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Expected {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Content<'de>, E> {
        Ok(Content::Null)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Content<'de>, E> {
        Ok(Content::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Content<'de>, E> {
        Ok(Content::Text(text.to_owned().into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content<'de>, E> {
        Ok(Content::Other(value.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Content<'de>, E> {
        Ok(Content::Other(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Content<'de>, E> {
        Ok(Content::Other(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Content<'de>, E> {
        Ok(Content::Other(number.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Content<'de>, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Content::Other("an array".to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Content<'de>, A::Error> {
        if matches!(self, Self::Text) {
            while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Content::Other("an object".to_owned()));
        }
        let mut fields: Box<[Content<'de>; FIELDS.len()]> = Box::default();
        while let Some(position) = object.next_key_seed(FieldPosition)? {
            match position.map(|position| &mut fields[position]) {
                Some(field @ Content::Absent) => *field = object.next_value_seed(Self::Text)?,
                known => {
                    object.next_value::<IgnoredAny>()?;
                    if let Some(field) = known {
                        *field = Content::Twice;
                    }
                }
            }
        }
        Ok(Content::Message(fields))
    }
}

/// The position in [`FIELDS`] of an object's key; `None` for a key that is not read.
struct FieldPosition;

impl<'de> DeserializeSeed<'de> for FieldPosition {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldPosition {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(FIELDS.iter().position(|(spelling, _)| *spelling == key))
    }
}

/// Takes the fields out of a message, and knows where in the delivery it is.
struct Fields<'a> {
    fields: Box<[Content<'a>; FIELDS.len()]>,
    path: String,
}

impl<'a> Fields<'a> {
    fn of(message: Content<'a>, path: String) -> Result<Self, ParseError> {
        let seen = match message {
            Content::Message(fields) => return Ok(Self { fields, path }),
            Content::Text(_) => "a text".to_owned(),
            Content::Other(seen) => seen,
            Content::Null | Content::Absent | Content::Twice => "null".to_owned(),
        };
        let field = if path.is_empty() { "(the whole message)".to_owned() } else { path };
        Err(unexpected(field, seen, "an SNS message, which is a JSON object"))
    }

    fn into_envelope(mut self) -> Result<Envelope, ParseError> {
        let message_type = self.message_type()?;
        let is_notification = message_type == MessageType::Notification;
        Ok(Envelope {
            message_type,
            message_id: self.required_line("MessageId")?,
            topic_arn: self.required_line("TopicArn")?,
            subject: if is_notification { self.line("Subject")? } else { None },
            message: self.text("Message")?.ok_or_else(|| missing(self.path_of("Message"), "text"))?.into_owned(),
            timestamp: self.required_line("Timestamp")?,
            token: if is_notification { None } else { Some(self.required_line("Token")?) },
            subscribe_url: if is_notification { None } else { Some(self.required_line("SubscribeURL")?) },
            signature_version: self.line("SignatureVersion")?,
            signature: self.line("Signature")?,
            signing_cert_url: self.line("SigningCertURL")?,
        })
    }

    fn message_type(&mut self) -> Result<MessageType, ParseError> {
        const TYPES: [MessageType; 3] =
            [MessageType::Notification, MessageType::SubscriptionConfirmation, MessageType::UnsubscribeConfirmation];
        const EXPECTED: &str = "Notification, SubscriptionConfirmation or UnsubscribeConfirmation";
        let name = self.text("Type")?.ok_or_else(|| missing(self.path_of("Type"), EXPECTED))?;
        TYPES
            .into_iter()
            .find(|message_type| message_type.as_str() == name)
            .ok_or_else(|| unexpected(self.path_of("Type"), shortened(&name), EXPECTED))
    }

    fn required_line(&mut self, name: &'static str) -> Result<String, ParseError> {
        self.line(name)?.ok_or_else(|| missing(self.path_of(name), "one line of text"))
    }

    /// One line of text; `None` where there is none, or null.
    ///
    /// A line break is refused because the string to sign has a line for each name and value. Where only `Message`,
    /// which comes first in it, may hold line breaks, no two messages have the same string to sign. Without this, a
    /// publisher could put lines into a field so that the signed bytes read as another message.
    ///
    /// SNS sends no line breaks in these fields: of `Subject`, the only one that a publisher chooses, the API
    /// Reference (`Publish`) says "no line breaks or control characters".
    fn line(&mut self, name: &'static str) -> Result<Option<String>, ParseError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        if text.len() > MAX_FIELD_BYTES {
            let seen = format!("{} bytes long", text.len());
            return Err(unexpected(self.path_of(name), seen, "at most 4096 bytes"));
        }
        if text.contains('\n') {
            return Err(unexpected(self.path_of(name), "text with a line break".into(), "one line of text"));
        }
        Ok(Some(text.into_owned()))
    }

    /// The text of a field, in any spelling of its name; `None` where there is none, or null.
    fn text(&mut self, name: &'static str) -> Result<Option<Cow<'a, str>>, ParseError> {
        let mut found = None;
        for ((spelling, _), content) in FIELDS.iter().zip(&mut *self.fields).filter(|((_, field), _)| *field == name) {
            let (seen, expected) = match std::mem::take(content) {
                Content::Absent | Content::Null => continue,
                Content::Text(text) if found.as_ref().is_none_or(|earlier| *earlier == text) => {
                    found = Some(text);
                    continue;
                }
                Content::Text(_) => (format!("not the same as {name}"), "one of the two"),
                Content::Other(seen) => (seen, "text"),
                Content::Message(_) => ("an object".to_owned(), "text"),
                Content::Twice => ("given twice".to_owned(), "each field once"),
            };
            return Err(unexpected(self.path_of(spelling), seen, expected));
        }
        Ok(found)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

pub(crate) fn missing(field: String, expected: &'static str) -> ParseError {
    ParseError::Missing { field, expected }
}

pub(crate) fn unexpected(field: String, seen: String, expected: &'static str) -> ParseError {
    ParseError::Unexpected { field, seen, expected }
}

/// What stands where the records should be.
pub(crate) fn described(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
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
