//! Retries a pipeline stage that the health gate held back, so that a deployment goes on by itself when the issue of
//! AWS is over.
//!
//! The notice of a failed stage, from CodeStar Notifications or EventBridge, or an AWS Health event that closed, starts
//! a look at the pipeline. The stage is retried when it still has status Failed, in the execution that the notice names,
//! when every failed action failed at the health gate for a reason that may pass, and when it was retried fewer than
//! `MAX_RETRIES` times. A closed AWS Health event retries the stages whose failure message names it, whatever
//! `MAX_RETRIES` says, and comes a second time through the queue, for a gate that was still told "open". What a person has
//! stopped stays: a disabled transition, an approval that was rejected, a rollback.
//!
//! Doing it twice is the same as doing it once: a stage that was retried is not failed any more, CodePipeline itself
//! refuses the second of two retries at a time, and a notice answers only the failure it was sent for. The delayed retries are
//! counted in CodePipeline's own history, so there is no table to keep. The delay is the queue's: notices should come
//! through one with a delay.
//!
//! # Limitations
//!
//! - The function acts in its own account and Region. A notice from elsewhere finds no such execution and is skipped.
//! - The state of a stage shows only its latest execution, and CodePipeline retries no other. Once another one is in the
//!   stage, what the gate stopped is not retried, and people are notified: in execution mode `SUPERSEDED` the later one
//!   has its changes, in `QUEUED` it may not. In `PARALLEL` executions do not follow each other: the history of the
//!   execution shows whether it failed, CodePipeline is asked to retry it, and where it refuses, people are notified. AWS
//!   does not document whether it does. The latest 100 executions of a pipeline are known.
//! - A stage that failed on a condition is not retried: CodePipeline retries only actions. Where the gate is the rule that
//!   failed, people get the command that overrides the condition.
//! - Only the notice of a stage's failure leads to the notification that the retries are used up, so that one should be
//!   among those delivered. Without a delay, the notice of an action may arrive before its stage is failed, and is
//!   skipped.
//! - A notice that is delivered twice after the retries are used up is mailed twice. CodePipeline's history does not say
//!   who started an attempt: what began more than two minutes before `RETRY_DELAY_SECONDS` was over (with less than four
//!   minutes: before half of it) counts as somebody else's.
//! - When the reply to `RetryStageExecution` is lost, the SDK asks again and the decision reads "skipped", though the
//!   stage was retried.

pub mod config;
pub mod delivery;
pub mod error;
pub mod event;
pub mod report;
mod retry;
pub mod verdict;

use std::time::Duration;

use aws_sdk_codepipeline::Client;
use gatehouse_shared::clock;
use gatehouse_shared::deadline::{Deadline, within};
use gatehouse_shared::notify::{Notification, Notifier};
use gatehouse_shared::sns::{Channel, Envelope, MessageType, Verified, Verifier};
use gatehouse_shared::sqs::{Message, SqsBatchResponse};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::config::Config;
use crate::delivery::{Body, Delivery};
use crate::error::Error;
use crate::event::{Event, EventError};
use crate::report::{RetryResponse, StageDecision, StageOutcome, Work};
use crate::retry::{Retrier, work_within};

/// No work is started, and none goes on, this long before Lambda's deadline, or half-way where the function has less
/// than twice as much: what is done by then is logged, mailed and reported.
pub const REPORT_RESERVE: Duration = Duration::from_secs(10);

/// Mailing stops this long before Lambda's deadline.
const LAST_CALL: Duration = Duration::from_secs(1);

pub struct PipelineRetry {
    verifier: Verifier,
    retrier: Retrier,
    notifier: Option<Notifier>,
}

/// When an invocation stops working, and when it stops mailing.
#[derive(Clone, Copy)]
struct Limits {
    work: Instant,
    mail: Instant,
}

impl PipelineRetry {
    /// The function with its clients. `notifier` publishes to `NOTIFY_TOPIC_ARN` and `CHAT_TOPIC_ARN`.
    #[must_use]
    pub fn new(config: Config, verifier: Verifier, codepipeline: Client, notifier: Option<Notifier>) -> Self {
        Self { verifier, retrier: Retrier::new(config, codepipeline), notifier }
    }

    /// Answers one invocation: every message on its own, one after the other, because several of them are often about
    /// one and the same failure.
    ///
    /// # Errors
    ///
    /// What failed, after everything else was done. Records of a queue are reported in the answer instead.
    pub async fn handle(&self, invocation: LambdaEvent<Value>) -> Result<RetryResponse, Error> {
        let LambdaEvent { payload, context } = invocation;
        let deadline = Deadline::new(&context);
        let limits = Limits { work: deadline.stop_for_answer(REPORT_RESERVE), mail: deadline.stop_for_log(LAST_CALL) };
        match Delivery::parse(payload)? {
            Delivery::Sqs(records) => Ok(RetryResponse::Batch(self.batch(records, limits, &context).await)),
            Delivery::Sns(envelopes) => {
                let mut decisions = Vec::new();
                for envelope in envelopes {
                    let message_id = envelope.unverified_message_id().to_owned();
                    let work = self.envelope(envelope, Channel::Lambda, limits).await;
                    decisions.extend(self.finish(work, Some(&message_id), limits).await);
                }
                answer(decisions, &context)
            }
            Delivery::Direct(event) => {
                let work = self.event(Event::parse(&event), limits).await;
                answer(self.finish(work, None, limits).await, &context)
            }
        }
    }

    /// Gives the records that must be delivered again.
    async fn batch(&self, records: Vec<Message>, limits: Limits, context: &Context) -> SqsBatchResponse {
        let mut decisions = Vec::new();
        let mut response = SqsBatchResponse::default();
        for Message { message_id, body } in records {
            let work = self.body(&body, limits).await;
            let made = self.finish(work, Some(&message_id), limits).await;
            let failed: Vec<_> = made.iter().filter(|decision| decision.error.is_some()).collect();
            failed.iter().for_each(|decision| decision.log(Some(&message_id)));
            if !failed.is_empty() {
                response.add_failure(message_id);
            }
            decisions.extend(made);
        }
        report::metrics(&context.env_config.function_name, clock::now(), &decisions).emit();
        response
    }

    async fn body(&self, body: &str, limits: Limits) -> Work {
        match Body::parse(body) {
            Ok(Body::Sns(envelope)) => self.envelope(envelope, Channel::Sqs, limits).await,
            Ok(Body::EventBridge(event)) => self.event(Event::parse(&event), limits).await,
            Err(error) => Error::from(error).into(),
        }
    }

    async fn envelope(&self, envelope: Envelope, channel: Channel, limits: Limits) -> Work {
        match within(limits.work, self.verifier.verify(envelope, channel, clock::now())).await {
            Some(Ok(message)) => self.event(event_of(&message), limits).await,
            Some(Err(error)) => Error::from(error).into(),
            None => Error::OutOfTime.into(),
        }
    }

    async fn event(&self, event: Result<Event, EventError>, limits: Limits) -> Work {
        match event {
            Ok(Event::Failed(notice)) => work_within(limits.work, self.retrier.failed(&notice)).await,
            Ok(Event::HealthClosed(event)) => self.retrier.health_closed(&event, clock::now(), limits.work).await,
            Ok(Event::Ignored { reason }) => StageDecision::new(StageOutcome::Ignored, reason).into(),
            Err(error) => Error::from(error).into(),
        }
    }

    /// Logs what was decided, then mails it. A failure is left to be logged by whoever reports it.
    async fn finish(&self, work: Work, message_id: Option<&str>, limits: Limits) -> Vec<StageDecision> {
        let Work { mut decisions, mail } = work;
        decisions.iter().filter(|decision| decision.error.is_none()).for_each(|decision| decision.log(message_id));
        if let (Some(mail), Some(notifier)) = (mail, &self.notifier)
            && let Err(error) = publish(notifier, &mail, limits.mail).await
        {
            decisions.push(error.into());
        }
        decisions
    }
}

async fn publish(notifier: &Notifier, mail: &Notification, until: Instant) -> Result<(), Error> {
    let subject = mail.subject.clone();
    let source = match timeout_at(until, notifier.publish(mail, until)).await {
        Ok(Ok(())) => {
            tracing::debug!(subject, "a notification was sent to the topic");
            return Ok(());
        }
        Ok(Err(error)) => Box::from(error),
        Err(_) => "no reply before the time-out of the function".into(),
    };
    Err(Error::Notify { subject, source })
}

/// The event in a message of a topic. The topic may be one for people: requests for approval, alarms and plain text,
/// such as this function's own notifications, are ignored there.
fn event_of(message: &Verified) -> Result<Event, EventError> {
    let ignored = |reason: String| Ok(Event::Ignored { reason });
    if message.message_type() != MessageType::Notification {
        return ignored(format!("a {} is for a person", message.message_type().as_str()));
    }
    match serde_json::from_str(message.message()).map(|event| Event::parse(&event)) {
        Ok(Err(foreign @ EventError::Foreign(_))) => ignored(foreign.to_string()),
        Ok(event) => event,
        Err(_) => ignored("the message is not JSON, so it is for people".to_owned()),
    }
}

/// The report, or the error that makes Lambda deliver the event again. A single failure is the error, which is logged
/// where the function ends; of several, each is logged here.
fn answer(mut decisions: Vec<StageDecision>, context: &Context) -> Result<RetryResponse, Error> {
    report::metrics(&context.env_config.function_name, clock::now(), &decisions).emit();
    let total = decisions.len();
    let mut failed: Vec<_> = decisions.iter_mut().filter(|decision| decision.error.is_some()).collect();
    match failed.as_mut_slice() {
        [] => Ok(RetryResponse::Report { decisions }),
        [only] => Err(only.error.take().unwrap_or(Error::OutOfTime)),
        several => {
            several.iter().for_each(|decision| decision.log(None));
            Err(Error::Partial { failed: several.len(), total })
        }
    }
}
