//! Why an invocation failed, and why the page is not available.

use gatehouse_shared::aws_error::ErrorKind;
use gatehouse_shared::failure::{BoxError, ErrorType};

/// Why an invocation failed. Whatever a person can meet gets a page instead; only an event that is no HTTP request fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The event is no request of an HTTP API with payload version 2.0.
    #[error("reading the event: expected a request of an HTTP API, payload version 2.0")]
    Event(#[from] serde_json::Error),
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Event(_) => "InvalidEvent",
        }
    }
}

/// Why the page answers 503. It is logged, and a person sees only that the page is not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// AWS KMS did not say whether a link is valid.
    #[error("calling VerifyMac with the key {key} of the links (LINK_KEY_ARN); {next}")]
    Key {
        /// `LINK_KEY_ARN`.
        key: String,
        next: &'static str,
        /// Why not.
        source: BoxError,
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
    /// The time for an answer is over.
    #[error("out of time; Systems Manager was too slow")]
    OutOfTime,
}

impl ErrorType for Unavailable {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Key { .. } => "Key",
            Self::Automation { .. } => "Automation",
            Self::OutOfTime => "OutOfTime",
        }
    }
}

pub(crate) fn next_of(code: Option<&str>) -> &'static str {
    match code.and_then(ErrorKind::from_code) {
        Some(ErrorKind::Denied) => "allow this in the function's role",
        _ => "it may pass: open the link again",
    }
}
