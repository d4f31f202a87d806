//! Why an event could not be mailed.

use gatehouse_shared::failure::{BoxError, ErrorType};
use gatehouse_shared::sqs::RecordsError;

use crate::event::EventError;

/// Why an event could not be mailed. Its message goes back to the queue, and after five times to the failure queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// EventBridge did not send this.
    #[error("reading the event")]
    Event(#[from] EventError),
    /// SQS did not send these records.
    #[error("reading the messages of the queue; find out who invokes the function")]
    Records(#[source] RecordsError),
    /// The topic did not accept the mail.
    #[error("publishing to NOTIFY_TOPIC_ARN; it is tried again, then the event is in the failure queue")]
    Notify(#[source] BoxError),
    /// Lambda's deadline came near.
    #[error("out of time; it is tried again, then the event is in the failure queue")]
    OutOfTime,
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Event(_) | Self::Records(_) => "InvalidEvent",
            Self::Notify(_) => "Notify",
            Self::OutOfTime => "OutOfTime",
        }
    }
}
