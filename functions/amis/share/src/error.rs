//! Why images were not shared.

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use gatehouse_shared::aws_error::ErrorKind;
use gatehouse_shared::failure::{self, BoxError, ErrorType};

use crate::input::InputError;

/// Why an invocation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input is not understood; nothing was changed.
    #[error("reading the input")]
    Input(#[from] InputError),
    /// The input names no image, and no approval that does.
    #[error("the input names no image: expected images or ami_id, as REQUIRE_APPROVAL is false")]
    NoImages,
    /// Lambda did not say which function this is.
    #[error("the ARN of the function is {seen:?}: expected one with account and Region")]
    Function {
        /// What Lambda said.
        seen: String,
    },
    /// The images were not approved; nothing was changed.
    #[error("refusing to share: {reason}")]
    NotApproved {
        /// Every reason.
        reason: String,
    },
    /// Systems Manager did not say whether the images were approved; nothing was changed.
    #[error("calling GetAutomationExecution for the approval; run it again")]
    Automation(#[source] BoxError),
    /// Some images were not shared, or not wholly; the report has all.
    #[error("{failed} of {total} images failed: see the report in the log. The first one: {first}")]
    NotShared {
        /// How many failed.
        failed: usize,
        /// How many there were.
        total: usize,
        /// The first, and why.
        first: String,
    },
    /// The images were shared, and a topic did not get to know.
    #[error("publishing to {setting}; the report in the log has what was done")]
    Notify {
        /// The setting with the topic.
        setting: &'static str,
        /// What SNS answered.
        source: BoxError,
    },
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Input(_) | Self::NoImages | Self::Function { .. } => "InvalidEvent",
            Self::NotApproved { .. } => "NotApproved",
            Self::Automation(_) => "Automation",
            Self::NotShared { .. } => "NotShared",
            Self::Notify { .. } => "Notify",
        }
    }
}

/// A call that failed, in words.
pub(crate) fn call<E>(operation: &str, error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let what = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => failure::chain(error),
    };
    format!("{operation}: {what}{}", hint(error.code(), ErrorKind::from(error)))
}

fn hint(code: Option<&str>, kind: ErrorKind) -> &'static str {
    match (code, kind) {
        (Some("InvalidAMIID.NotFound" | "InvalidAMIID.Unavailable" | "InvalidAMIID.Malformed"), _) => {
            "; there is no such image in this Region"
        }
        (_, ErrorKind::Denied) => "; allow this in the function's role",
        _ if kind.is_transient() => "; run it again",
        _ => "",
    }
}
