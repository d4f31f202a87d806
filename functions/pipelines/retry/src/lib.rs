//! Retries a pipeline stage that the health gate held back, so that a deployment goes on by itself when the issue of
//! AWS is over.
//!
//! A failed stage, told by CodeStar Notifications or EventBridge, or an AWS Health event that closed, starts a look at
//! the pipeline. The stage is retried when it is still failed, in the execution that was told of, when every action that
//! failed in it failed at the health gate, and when it was retried fewer than `MAX_RETRIES` times.
//!
//! Doing it twice is the same as doing it once: a stage that was retried is not failed any more, and CodePipeline itself
//! refuses the second of two retries at a time. The budget is counted from CodePipeline's own history, so there is no
//! table to keep. Waiting is the queue's part: notices should come through one with a delay.
//!
//! # Limitations
//!
//! - The function acts in its own account and Region. A notice from elsewhere finds no such execution and is left.
//! - `MAX_RETRIES` binds a closed AWS Health event as well. An issue that lasts longer than delay × `MAX_RETRIES` ends
//!   in "gave up", and a person retries; raise `MAX_RETRIES`, or let the gate wait, where issues last longer.
//! - Only the notice of a stage's failure tells people that the retries are spent, so that should be among those
//!   delivered. Without a delay, that of an action may arrive before its stage is failed, and is left.
//! - In execution mode `PARALLEL`, the state of a stage shows its latest execution only, so only that one is retried.
//! - A notice that is delivered again after its stage was retried and failed once more cannot be told from the notice of
//!   that failure: the stage is retried without the delay, within the budget.
//! - When the reply to `RetryStageExecution` is lost, the SDK asks again and the decision reads "left", though the stage
//!   was retried.

pub mod config;
pub mod delivery;
pub mod error;
pub mod event;
pub mod report;
mod retry;
pub mod verdict;

use aws_sdk_codepipeline::Client;
use gatehouse_shared::clock;
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sns::{Channel, Envelope, MessageType, Verified, Verifier};
use lambda_runtime::LambdaEvent;
use serde_json::Value;

use crate::config::Config;
use crate::delivery::{Body, Delivery};
use crate::error::Error;
use crate::event::{Event, EventError};
use crate::report::{Answer, BatchItemFailure, Decision, Outcome};
use crate::retry::Retrier;

/// The function.
pub struct PipelineRetry {
    verifier: Verifier,
    retrier: Retrier,
}

impl PipelineRetry {
    /// The function with its clients. `notifier` publishes to `NOTIFY_TOPIC_ARN`.
    #[must_use]
    pub fn new(config: Config, verifier: Verifier, codepipeline: Client, notifier: Option<Notifier>) -> Self {
        Self { verifier, retrier: Retrier::new(config, codepipeline, notifier) }
    }

    /// Answers one invocation: every message on its own, one after the other, because several of them often tell of one
    /// and the same failure.
    ///
    /// # Errors
    ///
    /// What failed, after everything else was done. Records of a queue are reported in the answer instead.
    pub async fn handle(&self, invocation: LambdaEvent<Value>) -> Result<Answer, Error> {
        let LambdaEvent { payload, context } = invocation;
        let mut decisions = Vec::new();
        let mut note = |message_id: Option<&str>, made: Vec<Decision>| {
            made.iter().for_each(|decision| decision.log(message_id));
            let failed = made.iter().any(|decision| decision.outcome == Outcome::Failed);
            decisions.extend(made);
            failed
        };
        let mut batch = None;
        match Delivery::of(payload) {
            Err(error) => drop(note(None, vec![Error::from(error).into()])),
            Ok(Delivery::Direct(events)) => {
                for event in events {
                    note(None, self.event(Event::parse(&event)).await);
                }
            }
            Ok(Delivery::Sns(envelopes)) => {
                for envelope in envelopes {
                    let message_id = envelope.unverified_message_id().to_owned();
                    note(Some(&message_id), self.envelope(envelope, Channel::Lambda).await);
                }
            }
            Ok(Delivery::Sqs(records)) => {
                let failures = batch.insert(Vec::new());
                for record in records {
                    if note(Some(&record.message_id), self.body(&record.body).await) {
                        failures.push(BatchItemFailure { item_identifier: record.message_id });
                    }
                }
            }
        }
        report::metrics(&context.env_config.function_name, clock::now(), &decisions).emit();
        match batch {
            Some(failures) => Ok(Answer::Batch { failures }),
            None => answer(decisions),
        }
    }

    async fn body(&self, body: &str) -> Vec<Decision> {
        match Body::parse(body) {
            Ok(Body::Sns(envelope)) => self.envelope(envelope, Channel::Sqs).await,
            Ok(Body::EventBridge(event)) => self.event(Event::parse(&event)).await,
            Err(error) => vec![Error::from(error).into()],
        }
    }

    async fn envelope(&self, envelope: Envelope, channel: Channel) -> Vec<Decision> {
        match self.verifier.verify(envelope, channel, clock::now()).await {
            Ok(message) => self.event(event_of(&message)).await,
            Err(error) => vec![Error::from(error).into()],
        }
    }

    async fn event(&self, event: Result<Event, EventError>) -> Vec<Decision> {
        match event {
            Ok(Event::Failed(notice)) => self.retrier.failed(&notice).await,
            Ok(Event::HealthClosed { event }) => self.retrier.health_closed(&event).await,
            Ok(Event::Ignored { reason }) => vec![Decision::new(Outcome::Ignored, reason)],
            Err(error) => vec![Error::from(error).into()],
        }
    }
}

/// The event in a message of a topic. The topic may be one for people: requests for approval, alarms and plain text,
/// such as this function's own "gave up", are ignored there and fail nowhere.
fn event_of(message: &Verified) -> Result<Event, EventError> {
    let ignored = |reason: String| Ok(Event::Ignored { reason });
    if message.message_type() != MessageType::Notification {
        return ignored(format!("a {} is for a person", message.message_type().as_str()));
    }
    match serde_json::from_str(message.message()).map(|event| Event::parse(&event)) {
        Ok(Err(foreign @ EventError::Foreign { .. })) => ignored(foreign.to_string()),
        Ok(event) => event,
        Err(_) => ignored("the message is not JSON, so it is for people".to_owned()),
    }
}

/// The report, or the error that makes Lambda deliver the event again.
fn answer(mut decisions: Vec<Decision>) -> Result<Answer, Error> {
    let total = decisions.len();
    let mut errors: Vec<Error> = decisions.iter_mut().filter_map(|decision| decision.error.take()).collect();
    match errors.len() {
        0 => Ok(Answer::Report { decisions }),
        1 if total == 1 => Err(errors.remove(0)),
        failed => Err(Error::Partial { failed, total, source: Box::new(errors.swap_remove(0)) }),
    }
}
