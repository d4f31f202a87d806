//! Writes a mail about an IAM call that CloudTrail recorded.
//!
//! An EventBridge rule hands each event to this function, which turns it into a mail that says who did what, on what,
//! from where and when, and whether it failed. Which calls matter is decided by the pattern of the rule.
//!
//! Nothing is lost: a record that is not as documented is mailed as it is; a mail that would be too long for SNS is cut,
//! and says so; an event that could not be mailed is tried again and is then in the failure queue.
//!
//! Mails go out at most 8 a second from one instance of the function: SNS suspends the subscription of an address that gets
//! more than 10, and nobody is mailed any more.
//!
//! # Limitations
//!
//! - Instances do not know of each other. Only with a reserved concurrency of one are mails slow enough in a burst.
//! - EventBridge delivers at least once, so a mail may come twice. Both have the same ids. Nothing is merged: two calls
//!   that are alike in everything but their ids are two mails.
//! - When one event of a list could not be mailed, the invocation fails after the others, and Lambda tries the whole list
//!   again.

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

use gatehouse_shared::failure::{ErrorType as _, chain};
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::{clock, log};
use lambda_runtime::LambdaEvent;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::Config;
use crate::error::Error;
use crate::event::{Event, events};
use crate::mail::Mail;
use crate::record::Record;
use crate::report::{Outcome, Report};

/// Kept back from Lambda's deadline, to log what happened.
const RESERVE: Duration = Duration::from_secs(2);

/// Between two mails.
///
/// Source: SNS Developer Guide, "Email subscription setup and management": above 10 messages a second the subscription of an
/// email address is suspended, and deleted after 48 hours.
const PAUSE: Duration = Duration::from_millis(125);

/// The function.
pub struct IamAlertMail {
    config: Config,
    notifier: Notifier,
    /// When the next mail may be sent; `None` before the first.
    next_mail: Cell<Option<Instant>>,
}

impl IamAlertMail {
    /// The function with its client. `notifier` publishes to `NOTIFY_TOPIC_ARN`.
    #[must_use]
    pub fn new(config: Config, notifier: Notifier) -> Self {
        Self { config, notifier, next_mail: Cell::new(None) }
    }

    /// Answers one invocation. EventBridge puts one event into each; more are handled one after the other.
    ///
    /// # Errors
    ///
    /// The first failure, after everything else was done.
    pub async fn handle(&self, invocation: LambdaEvent<Value>) -> Result<Vec<Report>, Error> {
        let LambdaEvent { payload, context } = invocation;
        let mut reports = Vec::new();
        let mut failures = Vec::new();
        match events(payload) {
            Err(error) => failures.push(error.into()),
            Ok(events) => {
                for event in events {
                    let time = clock::until(context.deadline, clock::now()).saturating_sub(RESERVE);
                    match timeout(time, self.alert(&event)).await {
                        Ok(Ok(report)) => reports.push(report),
                        Ok(Err(error)) => failures.push(error),
                        Err(_) => failures.push(Error::OutOfTime),
                    }
                }
            }
        }
        report::metrics(&context.env_config.function_name, clock::now(), &reports, failures.len()).emit();
        let mut failures = failures.into_iter();
        let Some(first) = failures.next() else { return Ok(reports) };
        for error in failures {
            tracing::error!(errorType = error.error_type(), error = chain(&error), "one more event failed");
        }
        Err(first)
    }

    /// One event: decide, log, mail.
    async fn alert(&self, event: &Event) -> Result<Report, Error> {
        let (report, mail) = self.decide(event);
        log::report(&report);
        if let Some(Mail { subject, text }) = mail.filter(|_| !self.config.dry_run) {
            self.pause().await;
            self.notifier.publish(&subject, &text).await.map_err(|error| Error::Notify(Box::new(error)))?;
        }
        Ok(report)
    }

    /// Waits until the next mail may be sent. The first, and one after a quiet time, need not wait.
    async fn pause(&self) {
        let now = Instant::now();
        let turn = self.next_mail.get().map_or(now, |turn| turn.max(now));
        self.next_mail.set(Some(turn + PAUSE));
        sleep_until(turn).await;
    }

    fn decide(&self, event: &Event) -> (Report, Option<Mail>) {
        let would_be = |outcome| if self.config.dry_run { Outcome::Planned } else { outcome };
        match Record::of(&event.detail) {
            Ok(record) if self.is_excluded(&record) => (Report::of(Outcome::Excluded, event, &record), None),
            Ok(record) => {
                let mail = mail::about(event, &record);
                let report = Report::of(would_be(Outcome::Mailed), event, &record);
                (Report { mail: Some(mail.subject.clone()), ..report }, Some(mail))
            }
            Err(reason) => {
                let mail = mail::as_it_is(event, &reason);
                let report = Report::new(would_be(Outcome::NotUnderstood), event);
                (Report { reason: Some(reason), mail: Some(mail.subject.clone()), ..report }, Some(mail))
            }
        }
    }

    fn is_excluded(&self, record: &Record) -> bool {
        self.config.exclude_event_names.iter().any(|name| name.as_str() == record.event_name)
    }
}
