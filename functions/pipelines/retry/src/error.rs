//! Why something could not be done.

use aws_sdk_codepipeline::error::{ProvideErrorMetadata, SdkError};
use gatehouse_shared::aws_error::ErrorKind;
use gatehouse_shared::failure::{BoxError, ErrorType};
use gatehouse_shared::sns::VerifyError;

use crate::delivery::DeliveryError;
use crate::event::EventError;

/// Why something could not be done. A record of a queue that meets one is delivered again, and goes to the
/// dead-letter queue in the end; so does an event that invoked the function, if it has an on-failure destination.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The invocation, or the body of a record, has an unknown form.
    #[error("reading the delivery")]
    InvalidDelivery(#[from] DeliveryError),
    /// The event is not one of CodePipeline or AWS Health, or lacks a field that they always have.
    #[error("reading the event")]
    InvalidEvent(#[from] EventError),
    /// SNS did not send this message, or not for an accepted topic.
    #[error("refusing the SNS message")]
    Refused(#[from] VerifyError),
    /// It cannot be decided yet.
    #[error("{reason}; it is decided when the event is delivered again")]
    NotYet {
        /// What is missing.
        reason: String,
    },
    /// The function's time ended before this was done.
    #[error(
        "the time-out of the function is near, and this was not done; it is done when the event is delivered again"
    )]
    OutOfTime,
    /// CodePipeline refused or did not answer, in a way that is transient or can be corrected.
    #[error("calling {operation} for the pipeline {pipeline}; {next}")]
    CodePipeline {
        /// The API operation.
        operation: &'static str,
        /// Name of the pipeline.
        pipeline: String,
        next: &'static str,
        /// What CodePipeline answered.
        source: BoxError,
    },
    /// What was decided, and done, could not be published.
    #[error(
        "publishing \"{subject}\" to NOTIFY_TOPIC_ARN; the log has what was done; check the policy and the key of the topic"
    )]
    Notify {
        /// The subject of the message.
        subject: String,
        /// What SNS answered.
        source: BoxError,
    },
    /// Several decisions of an invocation failed.
    #[error("{failed} of {total} decisions failed; each is in the log")]
    Partial {
        /// How many failed.
        failed: usize,
        /// How many there were.
        total: usize,
    },
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::InvalidDelivery(_) | Self::InvalidEvent(_) => "InvalidEvent",
            Self::Refused(_) => "Refused",
            Self::NotYet { .. } => "NotYet",
            Self::OutOfTime => "OutOfTime",
            Self::CodePipeline { .. } => "CodePipeline",
            Self::Notify { .. } => "Notify",
            Self::Partial { .. } => "Partial",
        }
    }
}

/// What follows from an error of CodePipeline.
pub(crate) enum Refusal {
    /// There is nothing more to do about this stage.
    Final(&'static str),
    /// Another execution is in the stage by now, and CodePipeline retries no other.
    Superseded,
    /// The event must be delivered again.
    Again(Error),
}

/// Sorts what CodePipeline answered.
///
/// | answer | outcome |
/// |---|---|
/// | `StageNotRetryableException` | final: the stage runs again already, or the pipeline was changed |
/// | `NotLatestPipelineExecutionException` | superseded: final, and people are notified |
/// | `PipelineNotFoundException`, `StageNotFoundException`, `PipelineExecutionNotFoundException` | final: gone |
/// | `ConflictException` | again: CodePipeline is busy with the pipeline; the next look at the state tells with what |
/// | `ConcurrentPipelineExecutionsLimitExceededException` | again: an execution must end first |
/// | throttled, 5xx, time-out, no connection (after the SDK's own attempts) | again |
/// | `AccessDeniedException` | again, so that nothing is lost: the role must be corrected, then the dead-letter queue redriven |
/// | `ValidationException`, anything unknown | again, so that it ends in the dead-letter queue, where a person sees it |
///
/// Source: CodePipeline API Reference, "Errors" of `GetPipelineState`, `ListActionExecutions`, `ListPipelineExecutions`,
/// `RetryStageExecution`.
pub(crate) fn refusal<E>(operation: &'static str, pipeline: &str, error: SdkError<E>) -> Refusal
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let next = match error.code() {
        Some("StageNotRetryableException") => {
            return Refusal::Final(
                "not retryable any more: the stage was retried already, or the pipeline was changed",
            );
        }
        Some("NotLatestPipelineExecutionException") => return Refusal::Superseded,
        Some("PipelineNotFoundException") => {
            return Refusal::Final(
                "there is no such pipeline in this account and Region; correct PIPELINES if it is listed there",
            );
        }
        Some("StageNotFoundException") => return Refusal::Final("the pipeline has no such stage any more"),
        Some("PipelineExecutionNotFoundException") => {
            return Refusal::Final("there is no such pipeline execution any more");
        }
        _ if ErrorKind::from(&error) == ErrorKind::Denied => {
            "allow this operation on the pipeline in the function's role"
        }
        Some("ConcurrentPipelineExecutionsLimitExceededException") => {
            "an execution must end first; it is tried again when the event is delivered again"
        }
        Some("ValidationException") => "see what CodePipeline says about the request",
        _ => "it is tried again when the event is delivered again",
    };
    Refusal::Again(Error::CodePipeline { operation, pipeline: pipeline.to_owned(), next, source: Box::new(error) })
}
