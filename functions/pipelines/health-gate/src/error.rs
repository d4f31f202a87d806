//! Why an invocation failed.

use gatehouse_shared::failure::{BoxError, ErrorType};

/// Why an invocation failed. All else is an answer to the job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no job to answer, and the event is not that of a rule either.
    #[error(
        "the event is not one of CodePipeline: expected CodePipeline.job with an id, as a Lambda action sends it, or \
         only UserParameters, as a rule of a condition sends them; got the keys {keys}"
    )]
    InvalidEvent {
        /// The keys of the event; not its values, which are secret.
        keys: String,
    },
    /// There is no job to answer, as where the gate is a rule of a condition, and the stage must not go on: the failure of
    /// the invocation says so.
    #[error("{message}")]
    Blocked {
        /// The message of the gate.
        message: String,
    },
    /// CodePipeline did not accept an answer. Lambda runs the event again.
    #[error(
        "job {job_id} could not be answered: {reason}; check that the function's role allows \
         codepipeline:PutJobSuccessResult and codepipeline:PutJobFailureResult"
    )]
    Unanswered {
        /// Which job.
        job_id: String,
        /// What CodePipeline said last.
        reason: String,
    },
    /// The job is answered and its stage waits, but nobody is notified. Lambda runs the event again, and what has run it
    /// before sends the notification then.
    #[error(
        "job {job_id} is answered, but publishing to NOTIFY_TOPIC_ARN that its stage waits failed; check the policy and \
         the key of the topic"
    )]
    Notify {
        /// Which job.
        job_id: String,
        /// What SNS answered.
        source: BoxError,
    },
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::InvalidEvent { .. } => "InvalidEvent",
            Self::Blocked { .. } => "Blocked",
            Self::Unanswered { .. } => "Unanswered",
            Self::Notify { .. } => "Notify",
        }
    }
}
