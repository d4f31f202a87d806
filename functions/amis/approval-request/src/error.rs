//! Why a notice could not be handled.

use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use gatehouse_shared::failure::ErrorType;
use gatehouse_shared::sns::{ParseError, VerifyError};

use crate::notice::NoticeError;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a notice could not be handled. SNS invokes the function again, and the event goes to the on-failure destination
/// in the end, where the function has one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SNS did not invoke the function with this.
    #[error("reading the event")]
    Event(#[from] ParseError),
    /// SNS did not send this message, or not for an accepted topic.
    #[error("refusing the SNS message")]
    Refused(#[from] VerifyError),
    /// The message is no notice of Image Builder.
    #[error("reading the notice of Image Builder")]
    Notice(#[from] NoticeError),
    /// Lambda did not say which function this is.
    #[error("the ARN of the function is {seen:?}: expected one with the account")]
    Account {
        /// What Lambda said.
        seen: String,
    },
    /// Systems Manager did not answer as hoped.
    #[error("calling {operation}; {next}")]
    Automation {
        /// The API operation.
        operation: &'static str,
        /// What to do.
        next: &'static str,
        /// What Systems Manager answered.
        source: BoxError,
    },
    /// The key that signs links can neither be read nor made.
    #[error("the key in the parameter {parameter} cannot be used; {next}")]
    Key {
        /// `LINK_KEY_PARAMETER`.
        parameter: String,
        /// What to do.
        next: &'static str,
        /// Why not.
        source: BoxError,
    },
    /// The approvers were not notified.
    #[error("publishing to APPROVER_TOPIC_ARN; it is tried again when the notice is delivered again")]
    Notify(#[source] BoxError),
    /// Lambda's deadline came near.
    #[error("out of time; it is tried again when the notice is delivered again")]
    OutOfTime,
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Event(_) | Self::Notice(_) | Self::Account { .. } => "InvalidEvent",
            Self::Refused(_) => "Refused",
            Self::Automation { .. } => "Automation",
            Self::Key { .. } => "Key",
            Self::Notify(_) => "Notify",
            Self::OutOfTime => "OutOfTime",
        }
    }
}

/// A call to Automation that failed, with what to do about it.
pub(crate) fn automation<E>(operation: &'static str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let next = match error.code() {
        Some("AutomationDefinitionNotFoundException" | "AutomationDefinitionVersionNotFoundException") => {
            "set AUTOMATION_DOCUMENT to a document of this account and Region"
        }
        Some("InvalidAutomationExecutionParametersException") => {
            "the document must have the parameters images, imageName, buildArn and summary"
        }
        _ => next_of(error.code()),
    };
    Error::Automation { operation, next, source: Box::new(error) }
}

/// A call to Parameter Store that failed, with what to do about it.
pub(crate) fn key<E>(parameter: &str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let next = next_of(error.code());
    Error::Key { parameter: parameter.to_owned(), next, source: Box::new(error) }
}

fn next_of(code: Option<&str>) -> &'static str {
    match code {
        Some("AccessDeniedException") => "allow this in the function's role",
        Some("AutomationExecutionLimitExceededException") => {
            "too many executions run; it is tried again when the notice is delivered again"
        }
        _ => "it is tried again when the notice is delivered again",
    }
}
