//! Why an invocation failed.

use gatehouse_shared::failure::ErrorType;

/// Why an invocation failed. All else is an answer to the job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no job, and so nobody to answer.
    #[error(
        "the event has no CodePipeline.job.id, so there is no job to answer: expected the event of a CodePipeline Lambda \
         action, got one with the keys {keys}"
    )]
    InvalidEvent {
        /// The keys of the event; not its values, which are secret.
        keys: String,
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
    /// The job is answered and its stage waits, but nobody is notified. Lambda runs the event again.
    #[error(
        "job {job_id} is answered, but publishing to NOTIFY_TOPIC_ARN that its stage waits failed; check the policy and \
         the key of the topic"
    )]
    Notify {
        /// Which job.
        job_id: String,
        /// What SNS answered.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::InvalidEvent { .. } => "InvalidEvent",
            Self::Unanswered { .. } => "Unanswered",
            Self::Notify { .. } => "Notify",
        }
    }
}
