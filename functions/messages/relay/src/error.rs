//! Why an invocation failed, and why a request was not accepted.

use std::str::Utf8Error;

use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use gatehouse_shared::aws_error::{ErrorKind, next_of_publish};
use gatehouse_shared::failure::{BoxError, ErrorType};
use gatehouse_shared::sns::{ParseError, TopicArn, VerifyError};

use crate::route::RouteError;

/// Why an invocation failed. Each request of a function URL gets an answer; only another event fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The event is not a request of a function URL.
    #[error(
        "the field requestContext.http.method is missing: expected a request of a function URL, payload version 2.0"
    )]
    Event,
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Event => "InvalidEvent",
        }
    }
}

/// Why a request was not accepted. The log has it; the sender gets the status and one text for that status.
///
/// SNS tries again after a 5xx or a 429, and takes any other answer as final. So a message that SNS sent, and that was not
/// published, is always answered 503: in the end SNS moves it to the redrive queue of the subscription.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Declined {
    /// The request is not one that SNS sends.
    #[error("the request is not one that SNS sends")]
    Malformed(#[from] Malformed),
    /// Raw message delivery leaves out the signature.
    #[error(
        "the header x-amz-sns-rawdelivery is true: expected a delivery with its signature; \
         turn off raw message delivery of the subscription"
    )]
    RawDelivery,
    /// SNS did not send this message, or not for an accepted topic, or too long ago.
    #[error("refusing the message")]
    Refused(#[source] VerifyError),
    /// It goes round in a circle of relays.
    #[error("refusing a message that goes round in a circle")]
    Loop(#[from] RouteError),
    /// The URL that confirms the subscription is not the topic's.
    #[error("refusing the subscription confirmation")]
    SubscribeUrl(#[from] SubscribeUrlError),
    /// SNS will never confirm this subscription with this token.
    #[error("the subscription to {topic} is not confirmed; {next}; then subscribe the URL again")]
    NotConfirmed {
        topic: TopicArn,
        next: &'static str,
        /// What SNS answered.
        source: BoxError,
    },
    /// The subscription could not be confirmed yet.
    #[error("calling ConfirmSubscription for {topic}; it is tried again when SNS sends the confirmation again")]
    Confirm {
        topic: TopicArn,
        /// What SNS answered.
        source: BoxError,
    },
    /// The signing certificate could not be fetched yet.
    #[error("the message cannot be verified for now; it is tried again when SNS delivers it again")]
    Certificate(#[source] VerifyError),
    /// The message was not published.
    #[error("publishing to {topic}; {next}; it is tried again when SNS delivers the message again")]
    Publish {
        /// `TARGET_TOPIC_ARN`.
        topic: TopicArn,
        next: &'static str,
        /// What SNS answered.
        source: BoxError,
    },
    /// The time for an answer is over.
    #[error("out of time; it is tried again when SNS delivers the message again")]
    OutOfTime,
}

/// Why a request is not one that SNS sends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A header or a parameter of the query has a form that HTTP does not allow.
    #[error("a header or a parameter of the query has a form that HTTP does not allow")]
    Request,
    /// SNS sends with POST.
    #[error("the method is {seen:?}: expected POST")]
    Method { seen: String },
    /// SNS sends text, or JSON where the delivery policy says so.
    #[error("the header content-type is {seen:?}: expected text/plain or application/json")]
    ContentType {
        /// The content type, shortened.
        seen: String,
    },
    /// SNS sends no messages of this size to HTTPS endpoints.
    #[error("the {part} has {bytes} bytes: expected at most {limit}")]
    TooLarge {
        /// The body, or the message in it.
        part: &'static str,
        bytes: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// The body is said to be base64, and is not.
    #[error("the body is not base64")]
    Base64(#[from] base64::DecodeError),
    /// The body is not text.
    #[error("the body is not UTF-8")]
    NotUtf8(#[from] Utf8Error),
    /// The body is not an SNS message.
    #[error("the body is not an SNS message")]
    Body(#[from] ParseError),
    /// The header and the body do not say the same.
    #[error("the header x-amz-sns-message-type is {seen}: expected {expected:?}, the Type of the body")]
    MessageType {
        /// The header, shortened.
        seen: String,
        /// The type in the body.
        expected: &'static str,
    },
}

/// The URL that confirms a subscription is not that of the topic. It was not visited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the field SubscribeURL has another {part}: expected https://sns.<region of the topic>.<dns suffix>/ with the Action \
     ConfirmSubscription and with TopicArn and Token of the message"
)]
pub struct SubscribeUrlError {
    /// The part that was refused. The URL itself holds a secret.
    pub part: &'static str,
}

impl Declined {
    /// The HTTP status that SNS gets.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(Malformed::Method { .. }) => 405,
            Self::Malformed(Malformed::TooLarge { .. }) => 413,
            Self::Malformed(Malformed::ContentType { .. }) => 415,
            Self::Malformed(_) => 400,
            Self::RawDelivery
            | Self::Refused(_)
            | Self::Loop(_)
            | Self::SubscribeUrl(_)
            | Self::NotConfirmed { .. } => 403,
            Self::Confirm { .. } | Self::Certificate(_) | Self::Publish { .. } | Self::OutOfTime => 503,
        }
    }
}

impl ErrorType for Declined {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "Malformed",
            Self::RawDelivery => "RawDelivery",
            Self::Refused(_) | Self::SubscribeUrl(_) => "Refused",
            Self::Loop(_) => "Loop",
            Self::NotConfirmed { .. } => "NotConfirmed",
            Self::Confirm { .. } => "Confirm",
            Self::Certificate(_) => "Certificate",
            Self::Publish { .. } => "Publish",
            Self::OutOfTime => "OutOfTime",
        }
    }
}

/// What is transient is not refused.
impl From<VerifyError> for Declined {
    fn from(error: VerifyError) -> Self {
        if error.is_transient() { Self::Certificate(error) } else { Self::Refused(error) }
    }
}

/// A publication that failed, with what to do about it.
pub(crate) fn publish<E>(topic: &TopicArn, error: SdkError<E>) -> Declined
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let next = next_of_publish(error.code()).unwrap_or("it may be transient: SNS tries again");
    Declined::Publish { topic: topic.clone(), next, source: Box::new(error) }
}

/// A confirmation that failed: permanently, with what to do about it, or for a transient reason.
///
/// Source: SNS API Reference, `ConfirmSubscription`, "Errors".
pub(crate) fn confirm<E>(topic: &TopicArn, error: SdkError<E>) -> Declined
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let next = match error.code() {
        Some(code) if is_denied(code) => "allow sns:ConfirmSubscription on the topic in the function's role",
        // Its answer for a Region that the account has not enabled.
        Some("InvalidClientTokenId") => "enable the Region of the topic in this account",
        Some("InvalidParameter") => "its token is not valid, or older than two days",
        Some("NotFound") => "the topic does not exist any more",
        Some("SubscriptionLimitExceeded" | "FilterPolicyLimitExceeded") => {
            "ask for a higher quota in the account of the topic"
        }
        _ => return Declined::Confirm { topic: topic.clone(), source: Box::new(error) },
    };
    Declined::NotConfirmed { topic: topic.clone(), next, source: Box::new(error) }
}

/// Whether SNS did not let this role, or this account, make the call.
pub(crate) fn is_denied(code: &str) -> bool {
    ErrorKind::from_code(code) == Some(ErrorKind::Denied)
}
