//! A gate in front of a deployment: an action of CodePipeline that lets its stage go on only while AWS Health knows of
//! no open issue where the stage deploys.
//!
//! Put it as a Lambda action into the stage, before the action that deploys:
//!
//! ```yaml
//! - Name: HealthGate
//!   ActionTypeId: { Category: Invoke, Owner: AWS, Provider: Lambda, Version: "1" }
//!   Configuration:
//!     FunctionName: !Ref HealthGateFunction
//!     UserParameters: '{"regions": ["eu-west-1", "us-east-1"], "wait_minutes": 30}'
//!   Namespace: gate # #{gate.message}, #{gate.openEvents}, #{gate.checkedRegions} in later actions
//! ```
//!
//! Every job is answered, whatever happens, and in time: asking stops [`ANSWER_RESERVE`] before Lambda's deadline. The
//! invocation fails only where the event names no job, or CodePipeline takes no answer.
//!
//! Limitations: AWS Health is behind a support plan that is not free; see [`health::Unknown::Subscription`]. An issue
//! takes AWS some minutes to publish, so the gate sees it late.

pub mod answer;
pub mod config;
pub mod endpoint;
pub mod health;
pub mod job;
pub mod token;
pub mod verdict;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_codepipeline::types::FailureType;
use futures::FutureExt;
use gatehouse_shared::clock;
use gatehouse_shared::env::{Env, EnvError};
use gatehouse_shared::failure::{ErrorType, diagnostic};
use gatehouse_shared::metrics::Metrics;
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::answer::{Outcome, Reply};
use crate::config::Config;
use crate::endpoint::{Endpoint, Resolver};
use crate::health::{Findings, Health, Unknown};
use crate::job::Job;
use crate::token::Token;
use crate::verdict::{Answer, Verdict};

/// Asking stops this long before Lambda's deadline, or half-way where the function has less than twice as much, so that
/// the answer can be given, and given again. With a time-out of 10 seconds or more CodePipeline has its answer 3 seconds
/// before the deadline even where the first attempt is lost.
pub const ANSWER_RESERVE: Duration = Duration::from_secs(5);

/// Answering stops this long before Lambda's deadline, so that a failure to answer is still logged.
const LAST_CALL: Duration = Duration::from_millis(300);

/// The gate: settings and clients of one function.
pub struct Gate {
    config: Result<Config, EnvError>,
    health: Health,
    codepipeline: aws_sdk_codepipeline::Client,
}

/// What one run did; the answer of the function, for whoever invokes it by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which job.
    pub job_id: String,
    /// `pass`, `wait` or `fail`.
    pub verdict: &'static str,
    /// What CodePipeline was told.
    pub message: String,
    /// How many events stand against the stage.
    pub open_events: usize,
    /// The Regions that were asked about.
    pub checked_regions: Vec<String>,
    /// How CodePipeline took it.
    pub outcome: Outcome,
}

/// Why an invocation failed. All else is told to CodePipeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no job, and so nobody to answer.
    #[error(
        "the event has no CodePipeline.job.id, so there is no job to answer: expected the event of a CodePipeline Lambda \
         action, got one with the keys {keys}"
    )]
    NoJob {
        /// The keys of the event; not its values, which are secret.
        keys: String,
    },
    /// CodePipeline did not take an answer. Lambda runs the event again.
    #[error(
        "job {job_id} could not be answered: {reason}; see that the function's role allows \
         codepipeline:PutJobSuccessResult and codepipeline:PutJobFailureResult"
    )]
    Unanswered {
        /// Which job.
        job_id: String,
        /// What CodePipeline said last.
        reason: String,
    },
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::NoJob { .. } => "NoJob",
            Self::Unanswered { .. } => "Unanswered",
        }
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        diagnostic(&error)
    }
}

impl Gate {
    /// Reads the settings and makes the clients. Faulty settings do not stop the function: they answer each job, which
    /// would otherwise keep its action running until CodePipeline gives up.
    #[must_use]
    pub fn new(env: &Env<'_>, sdk: &SdkConfig, resolver: impl Resolver + 'static) -> Self {
        let config = Config::from_env(env);
        if let Err(error) = &config {
            tracing::error!(%error, "every job will be answered with a failure");
        }
        let timeouts = |attempt| {
            let connect = Duration::from_secs(2);
            TimeoutConfig::builder().connect_timeout(connect).operation_attempt_timeout(attempt).build()
        };
        let health = aws_sdk_health::config::Builder::from(sdk).timeout_config(timeouts(Duration::from_secs(5)));
        let codepipeline =
            aws_sdk_codepipeline::config::Builder::from(sdk).timeout_config(timeouts(Duration::from_secs(2)));
        let endpoint = Endpoint::new(env, sdk.region().map_or("", |region| region.as_ref()), resolver);
        Self {
            config,
            health: Health::new(aws_sdk_health::Client::from_conf(health.build()), endpoint),
            codepipeline: aws_sdk_codepipeline::Client::from_conf(codepipeline.build()),
        }
    }

    /// Answers one job.
    ///
    /// # Errors
    ///
    /// [`Error`] when there is no job to answer or CodePipeline did not take an answer. A stage that is held or failed
    /// is no error.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Report, Error> {
        let (stop_asking, stop_answering) = limits(&event.context);
        let job = Job::parse(&event.payload)?;
        let findings = Findings::default();
        let work = AssertUnwindSafe(self.verdict(&job, &findings, stop_asking)).catch_unwind();
        let verdict = work.await.unwrap_or_else(|panic| internal_error(&*panic));
        let reply = Reply { job_id: &job.id, request_id: &event.context.request_id, verdict: &verdict };
        let outcome = reply.put(&self.codepipeline, stop_answering).await;
        record(&job.id, &event.context, &verdict, findings.calls(), &outcome);
        Ok(Report {
            job_id: job.id,
            verdict: verdict.answer.name(),
            message: verdict.answer.message().to_owned(),
            open_events: verdict.open_events,
            checked_regions: verdict.regions,
            outcome: outcome?,
        })
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
                return Verdict::fail(FailureType::ConfigurationError, &reason);
            }
        };
        let asked = timeout_at(stop_asking, self.health.ask(&config, findings)).await;
        let unknown = asked.unwrap_or(Err(Unknown::OutOfTime)).err();
        let now = clock::now();
        let token = job.continuation_token.as_deref().map(|text| Token::parse(text, now));
        verdict::decide(&config, &findings.events(), unknown.as_ref(), token, now)
    }
}

/// Whether AWS says: not so fast. Its services spell it in many ways.
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
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let reason = format!(
        "the gate has a fault of its own: {}. Retry the stage; if this stays, report it with the function's log",
        text.unwrap_or("no details")
    );
    Verdict::fail(FailureType::SystemUnavailable, &reason)
}

fn record(job_id: &str, context: &Context, verdict: &Verdict, calls: usize, outcome: &Result<Outcome, Error>) {
    tracing::info!(
        job_id,
        verdict = verdict.answer.name(),
        open_events = verdict.open_events,
        regions = verdict.regions.join(","),
        health_calls = calls,
        unknown_health = verdict.unknown,
        outcome = ?outcome,
        message = verdict.answer.message(),
    );
    Metrics::of(&context.env_config.function_name, clock::now())
        .property("job_id", job_id)
        .count("OpenEvents", verdict.open_events)
        .count("Blocked", usize::from(!matches!(verdict.answer, Answer::Pass { .. })))
        .count("HealthCalls", calls)
        .count("UnknownHealth", usize::from(verdict.unknown))
        .emit();
}
