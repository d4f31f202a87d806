//! Writes a mail about an IAM call that CloudTrail recorded.
//!
//! An EventBridge rule puts each event on a queue, and Lambda hands a batch of them to this function, which turns each into
//! a mail that says who did what, on what, from where and when, and whether it failed. Which calls matter is decided by the
//! pattern of the rule. A person may also invoke the function with an event, or a list of them.
//!
//! Nothing is lost: a record that is not as documented is mailed as it is; a mail that would be too long for SNS is cut,
//! and says so; the message of an event that could not be mailed goes back to the queue, and is in the failure queue at last.
//!
//! Nobody can silence an address by noise: SNS suspends the subscription of an address that gets more than 10 mails a
//! second. Calls of a batch that failed in the same way are one mail, those of the root user and those that changed
//! something come first and alone, and one instance sends a mail each half second. The queue runs two at a time.
//!
//! # Limitations
//!
//! - EventBridge and SQS deliver at least once, so a mail may come twice. Both have the same ids.
//! - The order holds within a batch. What is in the next one waits for the mails of this one.
//! - A person who invokes the function while the queue does adds a third instance.

pub mod batch;
pub mod config;
pub mod content;
pub mod error;
pub mod event;
pub mod mail;
pub mod principal;
pub mod record;
pub mod report;

use std::cell::Cell;
use std::time::Duration;

use gatehouse_shared::deadline::{Deadline, within};
use gatehouse_shared::failure::{ErrorType as _, all_or_first, chain};
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sqs::{Message, SqsBatchResponse, messages};
use gatehouse_shared::{clock, log};
use lambda_runtime::{Context, LambdaEvent};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::batch::{by_mail, call};
use crate::config::Config;
use crate::error::Error;
use crate::event::{Event, events};
use crate::mail::Mail;
use crate::record::Record;
use crate::report::{AlertOutcome, AlertReport};

pub use gatehouse_shared::harmless;

/// Kept back from Lambda's deadline, to log what happened.
const RESERVE: Duration = Duration::from_secs(2);

/// Between two mails.
///
/// Source: SNS Developer Guide, "Email subscription setup and management": above 10 messages a second the subscription of an
/// email address is suspended, and deleted after 48 hours.
///
/// In any second an instance begins at most two mails, so two instances begin four, and five where one of them is replaced
/// by another, which knows nothing of the mails before.
const PAUSE: Duration = Duration::from_millis(500);

/// What Lambda is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AlertResponse {
    /// What became of each event that a person sent.
    Reports(Vec<AlertReport>),
    /// The messages of the queue that must be delivered again.
    Batch(SqsBatchResponse),
}

pub struct IamAlertMail {
    config: Config,
    notifier: Notifier,
    /// When the next mail may be sent; `None` before the first.
    next_mail: Cell<Option<Instant>>,
}

impl IamAlertMail {
    /// The function with its client. `notifier` publishes to `NOTIFY_TOPIC_ARN` and `CHAT_TOPIC_ARN`.
    #[must_use]
    pub fn new(config: Config, notifier: Notifier) -> Self {
        Self { config, notifier, next_mail: Cell::new(None) }
    }

    /// Answers one invocation: a batch of the queue; or events by hand, one after the other.
    ///
    /// # Errors
    ///
    /// Of events by hand the first failure, after everything else was done. Messages of the queue are in the answer instead.
    pub async fn handle(&self, invocation: LambdaEvent<Value>) -> Result<AlertResponse, Error> {
        let LambdaEvent { payload, context } = invocation;
        let stop = Deadline::new(&context).stop_for_log(RESERVE);
        match messages(&payload) {
            Some(messages) => {
                Ok(AlertResponse::Batch(self.batch(messages.map_err(Error::Records)?, stop, &context).await))
            }
            None => Ok(AlertResponse::Reports(self.by_hand(payload, stop, &context).await?)),
        }
    }

    /// A batch of the queue. Gives the messages that must be delivered again.
    async fn batch(&self, messages: Vec<Message>, stop: Instant, context: &Context) -> SqsBatchResponse {
        let (mut reports, mut response, mut calls) = (Vec::new(), SqsBatchResponse::default(), Vec::new());
        let mut fail = |message_ids: Vec<String>, error: &Error| {
            tracing::error!(errorType = error.error_type(), error = chain(error), ?message_ids, "messages go back");
            message_ids.into_iter().for_each(|message_id| response.add_failure(message_id));
        };
        for message in messages {
            match call(&message) {
                Ok(call) => calls.push(call),
                Err(error) => fail(vec![message.message_id], &error.into()),
            }
        }
        for calls in by_mail(calls) {
            let (message_ids, events): (Vec<_>, Vec<_>) =
                calls.into_iter().map(|call| (call.message_id, call.event)).unzip();
            match self.in_time(&events, stop).await {
                Ok(made) => reports.extend(made),
                Err(error) => fail(message_ids, &error),
            }
        }
        let failed = response.batch_item_failures.len();
        report::metrics(&context.env_config.function_name, clock::now(), &reports, failed).emit();
        response
    }

    /// Events that a person sent, such as those of the failure queue.
    async fn by_hand(&self, payload: Value, stop: Instant, context: &Context) -> Result<Vec<AlertReport>, Error> {
        let mut reports = Vec::new();
        let mut failures = Vec::new();
        match events(payload) {
            Err(error) => failures.push(error.into()),
            Ok(events) => {
                for event in events {
                    match self.in_time(&[event], stop).await {
                        Ok(made) => reports.extend(made),
                        Err(error) => failures.push(error),
                    }
                }
            }
        }
        report::metrics(&context.env_config.function_name, clock::now(), &reports, failures.len()).emit();
        all_or_first(reports, failures)
    }

    async fn in_time(&self, events: &[Event], stop: Instant) -> Result<Vec<AlertReport>, Error> {
        within(stop, self.alert(events, stop)).await.unwrap_or(Err(Error::OutOfTime))
    }

    /// The events of one mail: decide, log, mail.
    async fn alert(&self, events: &[Event], stop: Instant) -> Result<Vec<AlertReport>, Error> {
        let (mut reports, mut mails): (Vec<_>, Vec<_>) = events.iter().map(|event| self.decide(event)).unzip();
        let mut mail = mails.pop().flatten();
        if events.len() > 1 && mail.is_some() {
            let of_all = mail::about_all(events);
            reports.iter_mut().for_each(|report| report.mail = Some(of_all.subject.clone()));
            mail = Some(of_all);
        }
        reports.iter().for_each(log::report);
        if let Some(mail) = mail.filter(|_| !self.config.dry_run) {
            self.pause().await;
            let published = self.notifier.publish(&mail::notification(mail, events, &reports), stop).await;
            published.map_err(|error| Error::Notify(Box::new(error)))?;
        }
        Ok(reports)
    }

    /// Waits until the next mail may be sent. The first, and one after a quiet time, need not wait.
    async fn pause(&self) {
        if let Some(turn) = self.next_mail.get() {
            sleep_until(turn).await;
        }
        // Only now: who gave up waiting sent nothing.
        self.next_mail.set(Some(Instant::now() + PAUSE));
    }

    fn decide(&self, event: &Event) -> (AlertReport, Option<Mail>) {
        let would_be = |outcome| if self.config.dry_run { AlertOutcome::Planned } else { outcome };
        match Record::of(&event.detail) {
            Ok(record) if self.is_excluded(&record) => (AlertReport::of(AlertOutcome::Excluded, event, &record), None),
            Ok(record) => {
                let mail = mail::about(event, &record);
                let report = AlertReport::of(would_be(AlertOutcome::Mailed), event, &record);
                (AlertReport { mail: Some(mail.subject.clone()), ..report }, Some(mail))
            }
            Err(reason) => {
                let mail = mail::as_it_is(event, &reason);
                let report = AlertReport::new(would_be(AlertOutcome::NotUnderstood), event);
                (AlertReport { reason: Some(reason), mail: Some(mail.subject.clone()), ..report }, Some(mail))
            }
        }
    }

    fn is_excluded(&self, record: &Record) -> bool {
        self.config.exclude_event_names.iter().any(|name| name.as_str() == record.event_name)
    }
}
