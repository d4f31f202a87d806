//! Why a message could not be handled.

use gatehouse_shared::failure::ErrorType;
use gatehouse_shared::sns::{ParseError, VerifyError};

use crate::policy::Faults;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a message could not be handled. Lambda invokes the function again, and the event goes to the on-failure
/// destination in the end, where the function has one. No error holds a part of a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SNS did not invoke the function with this.
    #[error("reading the event")]
    Event(#[from] ParseError),
    /// A message attribute has another form than SNS gives it.
    #[error("the field Records[{record}].Sns.MessageAttributes is not as SNS writes it: expected {expected}")]
    Attributes {
        /// Which record.
        record: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// The message is none that was published to a topic.
    #[error("the field Type is {seen}: expected Notification")]
    MessageType {
        /// What it is.
        seen: &'static str,
    },
    /// SNS did not send this message, or not for an accepted topic.
    #[error("refusing the SNS message")]
    Refused(#[from] VerifyError),
    /// The message comes from the topic it would go to.
    #[error(
        "refusing a message of {topic_arn}: it is published to by this function, which would invoke itself; subscribe it to another topic"
    )]
    Loop {
        /// The topic.
        topic_arn: String,
    },
    /// The policy in the parameter has faults. Nothing is delivered until it is right.
    #[error("the policy in the parameter {parameter} is not valid; nothing is delivered until it is")]
    InvalidPolicy {
        /// The parameter.
        parameter: String,
        /// What is wrong.
        source: Faults,
    },
    /// The policy cannot be read.
    #[error("reading the policy in the parameter {parameter}; {next}")]
    Policy {
        /// The parameter.
        parameter: String,
        /// What to do.
        next: &'static str,
        /// What Systems Manager answered.
        source: BoxError,
    },
    /// The message was not published.
    #[error("publishing to TARGET_TOPIC_ARN; {next}")]
    Publish {
        /// What to do.
        next: &'static str,
        /// What SNS answered.
        source: BoxError,
    },
    /// Nobody was notified that a message was not delivered.
    #[error("publishing to DENIED_TOPIC_ARN; it is tried again when the message is delivered again")]
    Notify(#[source] BoxError),
    /// Lambda's deadline came near.
    #[error("out of time; it is tried again when the message is delivered again")]
    OutOfTime,
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Event(_) | Self::Attributes { .. } | Self::MessageType { .. } => "InvalidEvent",
            Self::Refused(_) | Self::Loop { .. } => "Refused",
            Self::InvalidPolicy { .. } => "InvalidSettings",
            Self::Policy { .. } => "Policy",
            Self::Publish { .. } => "Publish",
            Self::Notify(_) => "Notify",
            Self::OutOfTime => "OutOfTime",
        }
    }
}

/// What to do about an error of AWS with this code.
pub(crate) fn next_of(code: Option<&str>) -> &'static str {
    match code {
        Some("AccessDeniedException" | "AuthorizationError" | "AuthorizationErrorException") => {
            "allow this in the function's role"
        }
        Some("ParameterNotFound") => "create it, or correct DATA_PROTECTION_POLICY",
        Some("InvalidParameter" | "InvalidParameterValue" | "ParameterValueInvalid") => {
            "SNS refuses the message: is it larger than the topic allows?"
        }
        Some("NotFound" | "NotFoundException") => "the topic does not exist: correct TARGET_TOPIC_ARN",
        _ => "it is tried again when the message is delivered again",
    }
}
