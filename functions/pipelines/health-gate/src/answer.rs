//! Gives CodePipeline the verdict, once.

use std::time::Duration;

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_codepipeline::types::{ExecutionDetails, FailureDetails, FailureType};
use gate_message::{Cause, GateMessage, SUMMARY_LIMIT};
use gatehouse_shared::aws_error::ErrorKind;
use gatehouse_shared::failure::chain;
use gatehouse_shared::sdk::{RetryConfig, SdkConfig, TimeoutConfig};
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::Error;
use crate::verdict::{HealthCheck, JobResult, Verdict};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// The client for answers. An attempt that hangs leaves time for another one. [`Reply::put`] makes all attempts, none is the
/// SDK's, so that it knows which answer may have arrived.
#[must_use]
pub fn client(sdk: &SdkConfig) -> Client {
    let seconds = Duration::from_secs;
    let timeouts = TimeoutConfig::builder().connect_timeout(seconds(2)).operation_attempt_timeout(seconds(2)).build();
    let config = aws_sdk_codepipeline::config::Builder::from(sdk).timeout_config(timeouts);
    Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
}

/// What became of the answer to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobOutcome {
    /// CodePipeline accepted the verdict.
    Answered,
    /// CodePipeline refused the verdict, and accepted a failure that says so.
    AnsweredAsFailure,
    /// CodePipeline has an answer already, or waits for none any more.
    AnsweredBefore,
    /// CodePipeline knows no such job, so nothing waits for it.
    NoSuchJob,
    /// There is no job: the invocation is the answer.
    NoJob,
    /// CodePipeline accepted no answer.
    Unanswered,
}

/// The answer to one job.
pub struct Reply<'a> {
    /// Which job.
    pub job_id: &'a str,
    /// Lambda's request id: leads from CodePipeline's console to the log of this run.
    pub request_id: &'a str,
    /// What to answer.
    pub verdict: &'a Verdict,
}

/// Why one attempt failed.
enum Problem {
    AnsweredBefore,
    NoSuchJob,
    /// CodePipeline never accepts this answer.
    Refused {
        code: String,
        text: String,
    },
    /// It may accept it the next time, or has accepted it, and the reply was lost.
    Transient {
        text: String,
        may_have_arrived: bool,
    },
}

impl Reply<'_> {
    /// Answers, and gives up at `until`.
    ///
    /// Throttling, errors of the server and lost replies are tried again with the same answer: if the lost one did
    /// arrive, the next gets InvalidJobStateException, and the answer is ours. An answer that is refused permanently gives
    /// way to one that says less: without output variables where the pipeline has no place for them, else a failure. So
    /// one answer takes effect, and never two.
    ///
    /// # Errors
    ///
    /// [`Error::Unanswered`] when CodePipeline refused the failure too, or `until` has passed. Lambda then runs the event
    /// again.
    pub async fn put(&self, client: &Client, until: Instant) -> Result<JobOutcome, Error> {
        let unanswered = |reason| Error::Unanswered { job_id: self.job_id.to_owned(), reason };
        let mut answer = self.verdict.answer.clone();
        let mut variables = true;
        let mut last = "no reply in time".to_owned();
        let mut is_ours = false;
        while Instant::now() < until {
            let answered =
                if answer == self.verdict.answer { JobOutcome::Answered } else { JobOutcome::AnsweredAsFailure };
            let problem = match timeout_at(until, self.send(client, &answer, variables)).await {
                Ok(Ok(())) => return Ok(answered),
                Ok(Err(problem)) => problem,
                Err(_) => break,
            };
            match problem {
                Problem::AnsweredBefore if is_ours => return Ok(answered),
                Problem::AnsweredBefore => return Ok(JobOutcome::AnsweredBefore),
                Problem::NoSuchJob => return Ok(JobOutcome::NoSuchJob),
                Problem::Transient { text, may_have_arrived } => {
                    last = text;
                    is_ours |= may_have_arrived;
                    sleep_until(until.min(Instant::now() + PAUSE)).await;
                }
                Problem::Refused { code, .. } if code == "OutputVariablesSizeExceededException" && variables => {
                    tracing::warn!(job_id = self.job_id, "the pipeline has no room for the output variables: left out");
                    variables = false;
                }
                Problem::Refused { text, .. } if matches!(answer, JobResult::Fail { .. }) => {
                    return Err(unanswered(text));
                }
                Problem::Refused { code, text } => {
                    tracing::error!(job_id = self.job_id, error = text, "CodePipeline refused the verdict");
                    let denied = code.contains("AccessDenied");
                    let kind = if denied { FailureType::PermissionError } else { FailureType::SystemUnavailable };
                    let verdict = answer.message();
                    answer = JobResult::fail(
                        Cause::Setup,
                        kind,
                        &format!("CodePipeline refused the verdict: {text}. It was: {verdict}"),
                    );
                }
            }
        }
        Err(unanswered(last))
    }

    async fn send(&self, client: &Client, answer: &JobResult, variables: bool) -> Result<(), Problem> {
        match answer {
            JobResult::Pass { message } => {
                let mut request =
                    client.put_job_success_result().job_id(self.job_id).execution_details(self.details(message, 100));
                if variables {
                    request = request
                        .output_variables("message", message.to_string())
                        .output_variables("openEvents", self.verdict.open_events.to_string())
                        .output_variables("checked", matches!(self.verdict.check, HealthCheck::Complete(_)).to_string())
                        .output_variables("checkedRegions", self.verdict.check.regions().join(","));
                }
                request.send().await.map(drop).map_err(problem)
            }
            JobResult::Wait { token, percent, message } => client
                .put_job_success_result()
                .job_id(self.job_id)
                .continuation_token(token.to_string())
                .execution_details(self.details(message, *percent))
                .send()
                .await
                .map(drop)
                .map_err(problem),
            JobResult::Fail { kind, message } => {
                let details = FailureDetails::builder()
                    .r#type(kind.clone())
                    .message(message.to_string())
                    .external_execution_id(self.request_id)
                    .build()
                    .map_err(|error| Problem::Refused { code: String::new(), text: chain(&error) })?;
                let request = client.put_job_failure_result().job_id(self.job_id).failure_details(details);
                request.send().await.map(drop).map_err(problem)
            }
        }
    }

    fn details(&self, message: &GateMessage, percent: i32) -> ExecutionDetails {
        ExecutionDetails::builder()
            .summary(message.cut(SUMMARY_LIMIT).to_string())
            .external_execution_id(self.request_id)
            .percent_complete(percent)
            .build()
    }
}

fn problem<E>(error: SdkError<E>) -> Problem
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let text = chain(&error);
    match (error.code(), ErrorKind::from(&error)) {
        (Some("InvalidJobStateException"), _) => Problem::AnsweredBefore,
        (Some("JobNotFoundException"), _) => Problem::NoSuchJob,
        (code, ErrorKind::Denied | ErrorKind::Refused) => {
            Problem::Refused { code: code.unwrap_or_default().to_owned(), text }
        }
        (_, ErrorKind::Throttled | ErrorKind::Interrupted) => Problem::Transient { text, may_have_arrived: false },
        (_, ErrorKind::Unreachable | ErrorKind::Unreadable) => Problem::Transient { text, may_have_arrived: true },
    }
}
