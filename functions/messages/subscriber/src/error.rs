//! Why a message could not be received.

use gatehouse_shared::failure::ErrorType;
use gatehouse_shared::sns::{ParseError, VerifyError};

/// Why a message could not be received. Lambda invokes the function again, and the event goes to the on-failure
/// destination in the end, where the function has one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SNS did not invoke the function with this.
    #[error("reading the event")]
    Event(#[from] ParseError),
    /// SNS did not send this message, or not for an accepted topic.
    #[error("refusing the SNS message")]
    Refused(#[from] VerifyError),
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Event(_) => "InvalidEvent",
            Self::Refused(_) => "Refused",
        }
    }
}
