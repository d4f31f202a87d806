//! Why an invocation failed.

use gatehouse_shared::failure::ErrorType;
use gatehouse_shared::sns::VerifyError;

use crate::download::DownloadError;
use crate::failure::FailureKind;
use crate::trigger::{NoticeError, TriggerError};

/// Why an invocation failed. What was done before that is in the report, which is logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The event is not one that starts a run.
    #[error("the event is not one that starts a run")]
    Event(#[from] TriggerError),
    /// The notice cannot be trusted; nothing was downloaded or changed.
    #[error("refusing the notice")]
    Refused(#[from] VerifyError),
    /// The notice is AWS's, and its content is not that of a notice.
    #[error(transparent)]
    Notice(#[from] NoticeError),
    /// The document cannot be used; nothing was changed.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The document did not arrive in time; nothing was changed.
    #[error(
        "the document did not arrive in time before Lambda's deadline; nothing was changed, and Lambda tries again"
    )]
    OutOfTime,
    /// Something was not done. Everything else was.
    #[error("{summary}")]
    Incomplete {
        /// What kind of thing, where there is only one.
        kind: FailureKind,
        /// Each failure in a few words.
        summary: String,
    },
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Event(_) | Self::Notice(_) => "InvalidEvent",
            Self::Refused(_) => "Refused",
            Self::Download(DownloadError::StaleDocument { .. }) => FailureKind::StaleDocument.name(),
            Self::Download(DownloadError::Md5Mismatch { .. }) => "Md5Mismatch",
            Self::Download(DownloadError::Document { .. }) => "BadDocument",
            Self::Download(_) => "Download",
            Self::OutOfTime => FailureKind::OutOfTime.name(),
            Self::Incomplete { kind, .. } => kind.name(),
        }
    }
}
