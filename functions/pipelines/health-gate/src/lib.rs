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
//! invocation fails only where the event is not one of CodePipeline, CodePipeline accepts no answer, or the notification
//! that a stage waits cannot be published.
//!
//! As a `LambdaInvoke` rule of a stage's condition the gate may be invoked without a job: AWS does not document that. Then
//! the invocation is the answer. It succeeds where the stage may go on, and fails where not, at once: there is no wait.
//!
//! Limitations: AWS Health is behind a support plan that is not free; see [`health::Unknown::Subscription`]. An issue
//! takes AWS some minutes to publish, so the gate sees it late.

pub mod answer;
pub mod config;
pub mod endpoint;
pub mod error;
pub mod health;
pub mod job;
pub mod token;
pub mod verdict;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aws_sdk_codepipeline::types::{FailureType, PipelineContext};
use futures::FutureExt;
use gatehouse_shared::arn::Arn;
use gatehouse_shared::deadline::{Deadline, within};
use gatehouse_shared::env::SettingsError;
use gatehouse_shared::failure::chain;
use gatehouse_shared::metrics::Metrics;
use gatehouse_shared::notify::{Notification, Notifier};
use gatehouse_shared::{clock, console, lambda, log};
use lambda_runtime::{Context, LambdaEvent};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::answer::{JobOutcome, Reply};
use crate::config::{Config, OnUnfamiliar};
use crate::error::Error;
use crate::health::{Findings, Health, Unknown};
use crate::job::Job;
use crate::token::Token;
use crate::verdict::{Asked, HealthCheck, JobResult, Unfamiliar, Verdict};

/// Asking stops this long before Lambda's deadline, or half-way where the function has less than twice as much, so that
/// the answer can be given, and given again. With a time-out of 10 seconds or more CodePipeline has its answer 3 seconds
/// before the deadline even where the first attempt is lost.
pub const ANSWER_RESERVE: Duration = Duration::from_secs(5);

/// What asking for the pipeline may delay an answer by.
const PIPELINE_TIME: Duration = Duration::from_millis(800);

/// Answering and notifying stop this long before Lambda's deadline, so that a failure is still logged.
const LAST_CALL: Duration = Duration::from_millis(300);

/// The open issues of an account in the console of AWS Health.
const HEALTH_DASHBOARD: &str = "https://health.aws.amazon.com/health/home#/account/dashboard/open-issues";

/// The gate: settings and clients of one function.
pub struct Gate {
    config: Result<Config, SettingsError>,
    health: Health,
    codepipeline: aws_sdk_codepipeline::Client,
    notifier: Option<Notifier>,
    /// The job whose notification could not be published: Lambda runs its event again.
    unsent: RefCell<Option<String>>,
}

/// What one run did; the answer of the function, for whoever invokes it by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GateReport {
    /// Which job; `None` where the invocation is the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// What the action says of itself in its UserParameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
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
    /// How many pages of AWS Health were requested.
    pub health_calls: usize,
    /// What became of the answer.
    pub outcome: JobOutcome,
}

impl Gate {
    /// The gate with its clients. Faulty settings do not stop the function: they are the answer to each job, which would
    /// otherwise keep its action running until CodePipeline gives up. `notifier` publishes to `NOTIFY_TOPIC_ARN` and
    /// `CHAT_TOPIC_ARN`.
    #[must_use]
    pub fn new(
        config: Result<Config, SettingsError>,
        health: Health,
        codepipeline: aws_sdk_codepipeline::Client,
        notifier: Option<Notifier>,
    ) -> Self {
        Self { config, health, codepipeline, notifier, unsent: RefCell::default() }
    }

    /// Answers one job.
    ///
    /// # Errors
    ///
    /// [`Error`] when the event is not one of CodePipeline, CodePipeline did not accept an answer, or nobody could be
    /// notified that a stage begins to wait. A stage that waits or fails is no error, unless there is no job that could be
    /// answered with it.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<GateReport, Error> {
        let LambdaEvent { payload, context } = event;
        let deadline = Deadline::new(&context);
        let (stop_asking, last_call) = (deadline.stop_for_answer(ANSWER_RESERVE), deadline.stop_for_log(LAST_CALL));
        let job = Job::parse(&payload)?;
        let findings = Findings::default();
        let mut config = self.settings(&job);
        if let (Ok(config), None) = (&mut config, &job.id) {
            config.wait_minutes = 0; // An invocation that ended is not continued.
        }
        let work = AssertUnwindSafe(self.verdict(&job, &config, &findings, stop_asking)).catch_unwind();
        let verdict = work.await.unwrap_or_else(|panic| internal_error(&*panic));
        let pipeline = match (&verdict.answer, &job) {
            (JobResult::Wait { .. }, Job { id: Some(job_id), continuation_token: None, .. }) => {
                self.pipeline(job_id, stop_asking).await
            }
            _ => None,
        };
        let outcome = match &job.id {
            Some(job_id) => {
                let reply = Reply { job_id, request_id: &context.request_id, verdict: &verdict };
                reply.put(&self.codepipeline, last_call).await
            }
            None => Ok(JobOutcome::NoJob),
        };
        let report = GateReport {
            job_id: job.id.clone(),
            label: config.ok().and_then(|config| config.label),
            verdict: verdict.answer.name(),
            message: verdict.answer.message().to_string(),
            open_events: verdict.open_events,
            checked: matches!(verdict.check, HealthCheck::Complete(_)),
            checked_regions: verdict.check.regions().to_vec(),
            health_calls: findings.calls(),
            outcome: outcome.as_ref().copied().unwrap_or(JobOutcome::Unanswered),
        };
        log::report(&report);
        metrics(&context, &verdict, &report).emit();
        outcome?;
        match (&verdict.answer, &job) {
            (JobResult::Pass { .. }, _) => Ok(report),
            (_, Job { id: None, .. }) => Err(Error::Blocked { message: report.message }),
            (JobResult::Wait { .. }, Job { id: Some(job_id), continuation_token: None, .. }) => {
                self.notify(&context, &report, job_id, pipeline.as_ref(), last_call).await?;
                Ok(report)
            }
            _ => Ok(report),
        }
    }

    /// The settings of the action, or why there are none.
    fn settings(&self, job: &Job) -> Result<Config, String> {
        let fault = |error: &SettingsError, place| format!("{error} ({place}). Correct this, and retry the stage");
        let config = self.config.as_ref().map_err(|error| fault(error, "environment of the function"))?;
        config.for_action(job.user_parameters.as_deref()).map_err(|error| fault(&error, "UserParameters"))
    }

    async fn verdict(
        &self,
        job: &Job,
        config: &Result<Config, String>,
        findings: &Findings,
        stop_asking: Instant,
    ) -> Verdict {
        let config = match config {
            Ok(config) => config,
            Err(reason) => return Verdict::setup(FailureType::ConfigurationError, reason),
        };
        let mut unfamiliar = Unfamiliar { regions: config.unfamiliar_regions(), services: Vec::new() };
        if config.on_unfamiliar == OnUnfamiliar::Fail && !unfamiliar.is_empty() {
            return Verdict::unfamiliar(&unfamiliar);
        }
        tracing::debug!(job_id = job.id.as_deref(), ?config, token = job.continuation_token, "asking AWS Health");
        let asked = within(stop_asking, self.health.ask(config, findings)).await;
        let unknown = asked.unwrap_or(Err(Unknown::OutOfTime)).err();
        if unknown.is_none() {
            let names = within(stop_asking, self.health.unfamiliar_services(config)).await;
            unfamiliar.services = names.unwrap_or_default();
        }
        let now = clock::now();
        let token = job.continuation_token.as_deref().map(|text| Token::parse(text, now));
        let asked = Asked { events: &findings.events(), unknown: unknown.as_ref(), unfamiliar: &unfamiliar };
        verdict::decide(config, &asked, token, now)
    }

    /// Which execution of which pipeline a job belongs to, for its thread in chat. The job does not say it, and only now
    /// is it known to CodePipeline for certain: it has no answer yet.
    async fn pipeline(&self, job_id: &str, stop: Instant) -> Option<PipelineContext> {
        self.notifier.as_ref().filter(|notifier| notifier.has_chat())?;
        let call = self.codepipeline.get_job_details().job_id(job_id).send();
        let reason = match timeout_at(stop.min(Instant::now() + PIPELINE_TIME), call).await {
            Ok(Ok(answer)) => return answer.job_details?.data?.pipeline_context,
            Ok(Err(error)) => chain(&error),
            Err(_) => "no reply in time".to_owned(),
        };
        tracing::warn!(job_id, reason, "the pipeline of the job is not known: its thread in chat is its own");
        None
    }

    /// Notifies people that a stage begins to wait: once for each wait, by the run whose answer to its first job took
    /// effect. CodePipeline takes one answer, so of two runs of one job, at the same time or not, one notifies.
    ///
    /// Where that fails, Lambda runs the event again. This process knows then that the notification is unsent; another one
    /// cannot tell the event from one that was delivered twice, and the alarm of failed invocations stays.
    async fn notify(
        &self,
        context: &Context,
        report: &GateReport,
        job_id: &str,
        pipeline: Option<&PipelineContext>,
        until: Instant,
    ) -> Result<(), Error> {
        let is_unsent = self.unsent.borrow().as_deref() == Some(job_id);
        let Some(notifier) = self.notifier.as_ref().filter(|_| report.outcome == JobOutcome::Answered || is_unsent)
        else {
            return Ok(());
        };
        let label = report.label.as_ref().map(|label| format!("Label of the action: {label}\n")).unwrap_or_default();
        let text = format!(
            "A stage of a pipeline begins to wait. It goes on by itself when no open event affects it.\n\n\
             {}\n\n\
             The action in the CodePipeline console has the external execution id {}.\n\
             {label}Function: {}, job: {job_id}\n",
            report.message, context.request_id, context.env_config.function_name
        );
        let subject = "Gatehouse pipelines: a stage waits at the health gate";
        let notification = in_chat(Notification::new(subject, text), context, job_id, pipeline);
        let source = match timeout_at(until, notifier.publish(&notification, until)).await {
            Ok(Ok(())) => {
                self.unsent.borrow_mut().take_if(|_| is_unsent);
                tracing::debug!(job_id, "a notification was sent to the topic");
                return Ok(());
            }
            Ok(Err(error)) => error.into(),
            Err(_) => "no reply before the time-out of the function".into(),
        };
        self.unsent.replace(Some(job_id.to_owned()));
        Err(Error::Notify { job_id: job_id.to_owned(), source })
    }
}

/// The notification in the thread of the pipeline execution, or of the job where that is not known.
fn in_chat(
    notification: Notification,
    context: &Context,
    job_id: &str,
    pipeline: Option<&PipelineContext>,
) -> Notification {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let name = text(pipeline.and_then(PipelineContext::pipeline_name));
    let execution_id = text(pipeline.and_then(PipelineContext::pipeline_execution_id));
    let region = Arn::parse(&context.invoked_function_arn).and_then(|arn| arn.region.parse().ok());
    let page = region.filter(|_| !name.is_empty() && !execution_id.is_empty());
    let page = page.and_then(|region| console::pipeline_execution(&region, &name, &execution_id));
    let notification = notification
        .in_thread(if execution_id.is_empty() { job_id } else { &execution_id })
        .with_link("Open the pipeline execution", page)
        .with_link("Look at AWS Health", Some(HEALTH_DASHBOARD.to_owned()))
        .about(pipeline.and_then(PipelineContext::pipeline_arn).unwrap_or_default());
    let stage = text(pipeline.and_then(|pipeline| pipeline.stage()?.name()));
    let values = [("pipeline", name), ("stage", stage), ("executionId", execution_id)];
    values.into_iter().fold(notification, |notification, (name, value)| notification.with_context(name, &value))
}

fn internal_error(panic: &(dyn Any + Send)) -> Verdict {
    Verdict::setup(FailureType::SystemUnavailable, &lambda::panic_text(panic))
}

fn metrics(context: &Context, verdict: &Verdict, report: &GateReport) -> Metrics {
    Metrics::of(&context.env_config.function_name, clock::now())
        .property("job_id", report.job_id.as_deref().unwrap_or_default())
        .count("OpenEvents", report.open_events)
        .count("Blocked", usize::from(!matches!(verdict.answer, JobResult::Pass { .. })))
        .count("HealthCalls", report.health_calls)
        .count("UnknownHealth", usize::from(verdict.check == HealthCheck::Incomplete))
}
