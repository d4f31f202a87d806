//! Why a notice could not be handled.

use ami_approval::link::LinkKeyArn;
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use gatehouse_shared::aws_error::ErrorKind;
use gatehouse_shared::failure::{BoxError, ErrorType};
use gatehouse_shared::sns::VerifyError;

use crate::event::EventError;
use crate::notice::NoticeError;

/// Why a notice could not be handled. SNS invokes the function again, and the event goes to the on-failure destination
/// in the end, where the function has one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The event has no form that is known.
    #[error("reading the event")]
    Event(#[from] EventError),
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
        next: &'static str,
        /// What Systems Manager answered.
        source: BoxError,
    },
    /// The key that signs links cannot be used.
    #[error("the key {key} of the links (LINK_KEY_ARN) cannot be used; {next}")]
    Key {
        /// `LINK_KEY_ARN`.
        key: String,
        next: &'static str,
        /// Why not.
        source: BoxError,
    },
    /// EventBridge named a build of another account or Region.
    #[error("the build {build} is not of this account and Region; let the rule forward events of this account alone")]
    Elsewhere { build: String },
    /// Image Builder did not say what the build made.
    #[error("calling GetImage; {next}")]
    ImageBuilder {
        next: &'static str,
        /// What Image Builder answered.
        source: BoxError,
    },
    /// An image has an inherited watermark. All else was done.
    #[error("the inherited watermark APPROVED_WATERMARK could not be detached: {first}; it is tried again")]
    Watermark {
        /// The first failure; the report has all.
        first: String,
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
            Self::Event(_) | Self::Notice(_) | Self::Account { .. } | Self::Elsewhere { .. } => "InvalidEvent",
            Self::Refused(_) => "Refused",
            Self::Automation { .. } => "Automation",
            Self::Key { .. } => "Key",
            Self::ImageBuilder { .. } => "ImageBuilder",
            Self::Watermark { .. } => "Watermark",
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
            "the document must have the parameters that the README lists"
        }
        _ => next_of(error.code()),
    };
    Error::Automation { operation, next, source: Box::new(error) }
}

/// A call to AWS KMS that failed, with what to do about it.
pub(crate) fn key<E>(key: &LinkKeyArn, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let next = match error.code() {
        Some("DisabledException" | "KMSInvalidStateException" | "NotFoundException") => {
            "enable it, or deploy the stack with a new one; until then approve in the console of Systems Manager"
        }
        _ => next_of(error.code()),
    };
    Error::Key { key: key.to_string(), next, source: Box::new(error) }
}

/// A call to Image Builder that failed, with what to do about it.
pub(crate) fn image_builder<E>(error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    Error::ImageBuilder { next: next_of(error.code()), source: Box::new(error) }
}

fn next_of(code: Option<&str>) -> &'static str {
    match code {
        Some(code) if ErrorKind::from_code(code) == Some(ErrorKind::Denied) => "allow this in the function's role",
        Some("AutomationExecutionLimitExceededException") => {
            "too many executions run; it is tried again when the notice is delivered again"
        }
        _ => "it is tried again when the notice is delivered again",
    }
}
