//! Why a message could not be handled.

use gatehouse_shared::aws_error::{self, ErrorKind};
use gatehouse_shared::failure::{BoxError, ErrorType};
use gatehouse_shared::sns::{ParseError, VerifyError};

use data_protection::{Faults, NothingApplies};

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
    Loop { topic_arn: String },
    /// The policy in the parameter has faults. Nothing is delivered until it is right.
    #[error("the policy in the parameter {parameter} is not valid; nothing is delivered until it is")]
    InvalidPolicy {
        parameter: String,
        /// What is wrong.
        source: Faults,
    },
    /// No statement of the policy in the parameter applies to the subscriber. Nothing is delivered until one does.
    #[error("the policy in the parameter {parameter} protects nothing; nothing is delivered: {next}")]
    Unprotected {
        parameter: String,
        next: &'static str,
        /// The principal, and the statements.
        source: NothingApplies,
    },
    /// The policy cannot be read.
    #[error("reading the policy in the parameter {parameter}; {next}")]
    Policy {
        parameter: String,
        next: &'static str,
        /// What Systems Manager answered.
        source: BoxError,
    },
    /// The message was not published.
    #[error("publishing the message {message_id} to TARGET_TOPIC_ARN; {next}")]
    Publish {
        /// SNS's identifier of the message that arrived.
        message_id: String,
        next: &'static str,
        /// What SNS answered.
        source: BoxError,
    },
    /// Nobody was notified that a message was not delivered.
    #[error("publishing to DENIED_TOPIC_ARN that the message {message_id} was not delivered; {next}")]
    Notify {
        /// SNS's identifier of the message that arrived.
        message_id: String,
        next: &'static str,
        /// What SNS answered.
        source: BoxError,
    },
    /// Lambda's deadline came near.
    #[error("out of time for the message {message_id}; it is tried again when it is delivered again")]
    OutOfTime {
        /// The message, as it names itself.
        message_id: String,
    },
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Event(_) | Self::Attributes { .. } | Self::MessageType { .. } => "InvalidEvent",
            Self::Refused(_) | Self::Loop { .. } => "Refused",
            Self::InvalidPolicy { .. } | Self::Unprotected { .. } => "InvalidSettings",
            Self::Policy { .. } => "Policy",
            Self::Publish { .. } => "Publish",
            Self::Notify { .. } => "Notify",
            Self::OutOfTime { .. } => "OutOfTime",
        }
    }
}

const TRIED_AGAIN: &str = "it is tried again when the message is delivered again";

/// What to do about an error of SNS with this code.
pub(crate) fn next_of_publish(code: Option<&str>) -> &'static str {
    aws_error::next_of_publish(code).unwrap_or(TRIED_AGAIN)
}

/// What to do about an error of Systems Manager with this code.
///
/// Source: Systems Manager API Reference, `GetParameter`, "Errors".
pub(crate) fn next_of_parameter(code: Option<&str>) -> &'static str {
    match code {
        Some(code) if ErrorKind::from_code(code) == Some(ErrorKind::Denied) => {
            "allow ssm:GetParameter on it in the function's role"
        }
        Some("ParameterNotFound" | "ParameterVersionNotFound") => "create it, or correct DATA_PROTECTION_POLICY",
        Some("InvalidKeyId") => "the key that encrypts it cannot be used: check its state and the function's role",
        _ => TRIED_AGAIN,
    }
}
