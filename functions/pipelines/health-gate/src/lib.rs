//! A gate in front of a deployment: an action of CodePipeline that lets its stage go on only while no open event of AWS
//! Health affects it.
//!
//! Put it as a Lambda action into the stage, before the action that deploys:
//!
//! ```yaml
//! - Name: HealthGate
//!   ActionTypeId: { Category: Invoke, Owner: AWS, Provider: Lambda, Version: "1" }
//!   Configuration:
//!     FunctionName: !Ref HealthGateFunction
//!     UserParameters: '{"regions": ["eu-west-1", "us-east-1"], "wait_minutes": 30}'
//!   Namespace: gate # #{gate.message}, #{gate.openEvents}, #{gate.checked}, #{gate.checkedRegions} in later actions
//! ```
//!
//! Every job is answered, whatever happens, and in time: asking stops [`ANSWER_RESERVE`] before Lambda's deadline. The
//! invocation fails only where the event names no job, CodePipeline accepts no answer, or the notification that a stage
//! waits cannot be published.
//!
//! Limitations: AWS Health is behind a support plan that is not free; see [`health::Unknown::Subscription`]. An issue
//! takes AWS some minutes to publish, so the gate sees it late.

pub mod answer;
pub mod config;
pub mod endpoint;
pub mod error;
pub mod health;
pub mod job;
mod regions;
pub mod token;
pub mod verdict;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aws_sdk_codepipeline::types::FailureType;
use futures::FutureExt;
use gatehouse_shared::env::EnvError;
use gatehouse_shared::metrics::Metrics;
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::{clock, lambda, log};
use lambda_runtime::{Context, LambdaEvent};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::answer::{Outcome, Reply};
use crate::config::Config;
use crate::error::Error;
use crate::health::{Findings, Health, Unknown};
use crate::job::Job;
use crate::token::Token;
use crate::verdict::{Answer, Asked, Verdict};

/// Asking stops this long before Lambda's deadline, or half-way where the function has less than twice as much, so that
/// the answer can be given, and given again. With a time-out of 10 seconds or more CodePipeline has its answer 3 seconds
/// before the deadline even where the first attempt is lost.
pub const ANSWER_RESERVE: Duration = Duration::from_secs(5);

/// Answering and notifying stop this long before Lambda's deadline, so that a failure is still logged.
const LAST_CALL: Duration = Duration::from_millis(300);

/// The gate: settings and clients of one function.
pub struct Gate {
    config: Result<Config, EnvError>,
    health: Health,
    codepipeline: aws_sdk_codepipeline::Client,
    notifier: Option<Notifier>,
}

/// What one run did; the answer of the function, for whoever invokes it by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which job.
    pub job_id: String,
    /// `pass`, `wait` or `fail`.
    pub verdict: &'static str,
    /// The message of the answer.
    pub message: String,
    /// How many events affect the stage.
    pub open_events: usize,
    /// Whether AWS Health answered in full.
    pub checked: bool,
    /// The Regions that AWS Health answered for; empty where it did not answer in full.
    pub checked_regions: Vec<String>,
    /// How many pages AWS Health was asked for.
    pub health_calls: usize,
    /// What became of the answer.
    pub outcome: Outcome,
}

impl Gate {
    /// The gate with its clients. Faulty settings do not stop the function: they are the answer to each job, which would
    /// otherwise keep its action running until CodePipeline gives up. `notifier` publishes to `NOTIFY_TOPIC_ARN`.
    #[must_use]
    pub fn new(
        config: Result<Config, EnvError>,
        health: Health,
        codepipeline: aws_sdk_codepipeline::Client,
        notifier: Option<Notifier>,
    ) -> Self {
        Self { config, health, codepipeline, notifier }
    }

    /// Answers one job.
    ///
    /// # Errors
    ///
    /// [`Error`] when there is no job to answer, CodePipeline did not accept an answer, or nobody could be notified that
    /// a stage begins to wait. A stage that waits or fails is no error.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Report, Error> {
        let LambdaEvent { payload, context } = event;
        let (stop_asking, last_call) = limits(&context);
        let job = Job::parse(&payload)?;
        let findings = Findings::default();
        let work = AssertUnwindSafe(self.verdict(&job, &findings, stop_asking)).catch_unwind();
        let verdict = work.await.unwrap_or_else(|panic| internal_error(&*panic));
        let reply = Reply { job_id: &job.id, request_id: &context.request_id, verdict: &verdict };
        let outcome = reply.put(&self.codepipeline, last_call).await;
        let report = Report {
            job_id: job.id.clone(),
            verdict: verdict.answer.name(),
            message: verdict.answer.message().to_owned(),
            open_events: verdict.open_events,
            checked: verdict.checked,
            checked_regions: verdict.checked_regions.clone(),
            health_calls: findings.calls(),
            outcome: outcome.as_ref().copied().unwrap_or(Outcome::Unanswered),
        };
        log::report(&report);
        metrics(&context, &verdict, &report).emit();
        outcome?;
        self.notify(&job, &context, &report, last_call).await?;
        Ok(report)
    }

    async fn verdict(&self, job: &Job, findings: &Findings, stop_asking: Instant) -> Verdict {
        let config = match &self.config {
            Ok(config) => config.for_action(job.user_parameters.as_deref()).map_err(|error| ("UserParameters", error)),
            Err(error) => Err(("environment of the function", error.clone())),
        };
        let config = match config {
            Ok(config) => config,
            Err((place, error)) => {
                let reason = format!("{error} ({place}). Correct this, and retry the stage");
                return Verdict::setup(FailureType::ConfigurationError, &reason);
            }
        };
        tracing::debug!(job_id = job.id, ?config, token = job.continuation_token, "asking AWS Health");
        let asked = timeout_at(stop_asking, self.health.ask(&config, findings)).await;
        let unknown = asked.unwrap_or(Err(Unknown::OutOfTime)).err();
        let unfamiliar = match unknown {
            None => timeout_at(stop_asking, self.health.unfamiliar(&config)).await.unwrap_or_default(),
            Some(_) => Vec::new(),
        };
        let now = clock::now();
        let token = job.continuation_token.as_deref().map(|text| Token::parse(text, now));
        let asked = Asked { events: &findings.events(), unknown: unknown.as_ref(), unfamiliar: &unfamiliar };
        verdict::decide(&config, &asked, token, now)
    }

    /// Notifies people that a stage begins to wait: once for each wait, when its first job is answered.
    ///
    /// Where that fails, Lambda runs the event again: CodePipeline has its answer, and the notification is sent then.
    async fn notify(&self, job: &Job, context: &Context, report: &Report, until: Instant) -> Result<(), Error> {
        let begins = report.verdict == "wait" && job.continuation_token.is_none();
        let is_answered = matches!(report.outcome, Outcome::Answered | Outcome::AnsweredBefore);
        let Some(notifier) = self.notifier.as_ref().filter(|_| begins && is_answered) else { return Ok(()) };
        let text = format!(
            "A stage of a pipeline begins to wait. It goes on by itself when no open event affects it.\n\n\
             {}\n\n\
             The action in the CodePipeline console has the external execution id {}.\n\
             Function: {}, job: {}\n",
            report.message, context.request_id, context.env_config.function_name, job.id
        );
        let subject = "Gatehouse pipelines: a stage waits at the health gate";
        let source = match timeout_at(until, notifier.publish(subject, &text)).await {
            Ok(Ok(())) => {
                tracing::debug!(job_id = job.id, "a notification was sent to the topic");
                return Ok(());
            }
            Ok(Err(error)) => error.into(),
            Err(_) => "no reply before the time-out of the function".into(),
        };
        Err(Error::Notify { job_id: job.id.clone(), source })
    }
}

/// Whether AWS asks to slow down. Its services spell it in many ways.
fn is_throttled(code: &str, status: u16) -> bool {
    let spellings = ["Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown"];
    status == 429 || spellings.iter().any(|spelling| code.contains(spelling))
}

/// When to stop asking, and when to stop answering.
fn limits(context: &Context) -> (Instant, Instant) {
    let left = clock::until(context.deadline, clock::now());
    let deadline = Instant::now() + left;
    (deadline - ANSWER_RESERVE.min(left / 2), deadline - LAST_CALL.min(left / 10))
}

fn internal_error(panic: &(dyn Any + Send)) -> Verdict {
    Verdict::setup(FailureType::SystemUnavailable, &lambda::panic_text(panic))
}

fn metrics(context: &Context, verdict: &Verdict, report: &Report) -> Metrics {
    Metrics::of(&context.env_config.function_name, clock::now())
        .property("job_id", report.job_id.as_str())
        .count("OpenEvents", report.open_events)
        .count("Blocked", usize::from(!matches!(verdict.answer, Answer::Pass { .. })))
        .count("HealthCalls", report.health_calls)
        .count("UnknownHealth", usize::from(verdict.unknown))
}
