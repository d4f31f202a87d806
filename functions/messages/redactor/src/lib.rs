//! Applies an SNS data protection policy to the messages of one subscriber, and publishes them to the subscriber's topic.
//!
//! The policy is AWS's JSON. Statements with the direction `Outbound` that name `SUBSCRIBER_PRINCIPAL` apply; where none
//! does, nothing is published, unless `ALLOW_UNPROTECTED` says so. What is searched and what becomes of it is in the crate
//! `data_protection`.
//!
//! # Limitations
//!
//! - SNS and Lambda deliver at least once. A message that is delivered twice is published twice, and of one that is refused
//!   the owners are notified twice. Subscribers must be idempotent.
//! - Masking can make a message longer than SNS accepts: each JSON number by two quotation marks.
//! - Message attributes are not signed by SNS: whoever may invoke the function can set them.
//! - A search of a custom regex that finds nothing takes linear time. One with an alternative that runs ahead and fails, such
//!   as `.*x|a`, runs ahead again for each finding: the time is quadratic in the length of a line, or of the text where the
//!   regex matches line breaks. A message for which it takes too long ends in the failure queue, unpublished.

mod attributes;
pub mod config;
pub mod error;
pub mod publish;
pub mod report;
mod source;

use std::fmt::Write as _;
use std::time::Duration;

use aws_sdk_sns::error::ProvideErrorMetadata as _;
use aws_sdk_ssm::Client;
use gatehouse_shared::deadline::{Deadline, within};
use gatehouse_shared::failure::all_or_first;
use gatehouse_shared::notify::{Notification, Notifier};
use gatehouse_shared::sns::{Channel, Envelope, MessageType, TopicArn, Verifier, envelopes_of_lambda_event};
use gatehouse_shared::{clock, log};
use lambda_runtime::LambdaEvent;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::attributes::attributes_of;
use crate::config::Config;
use crate::error::{Error, next_of_publish};
use crate::publish::Publisher;
use crate::report::{Audit, DeliveryOutcome, DeliveryReport};
use crate::source::{Source, Subscriber};
use data_protection::{Content, Decision, Done};

/// Kept back from Lambda's deadline, to log what happened.
const RESERVE: Duration = Duration::from_secs(2);

pub struct Redactor {
    source: Source,
    principal: String,
    own_topics: Vec<TopicArn>,
    dry_run: bool,
    verifier: Verifier,
    ssm: Client,
    publisher: Publisher,
    denied: Option<Notifier>,
}

impl Redactor {
    /// The function with its clients. `publisher` is for `TARGET_TOPIC_ARN`, `denied` for `DENIED_TOPIC_ARN` and
    /// `CHAT_TOPIC_ARN`.
    #[must_use]
    pub fn new(
        config: Config,
        verifier: Verifier,
        ssm: Client,
        publisher: Publisher,
        denied: Option<Notifier>,
    ) -> Self {
        let principal = config.subscriber_principal.as_str().to_owned();
        let own_topics = std::iter::once(config.target_topic_arn).chain(config.denied_topic_arn).collect();
        let subscriber = Subscriber {
            principal: config.subscriber_principal,
            allow_unprotected: config.allow_unprotected,
            options: config.options,
        };
        let source = Source::new(config.policy, subscriber);
        let dry_run = config.dry_run;
        Self { source, principal, own_topics, dry_run, verifier, ssm, publisher, denied }
    }

    /// Answers one invocation. SNS puts one message into each; more are handled one after the other.
    ///
    /// # Errors
    ///
    /// The first failure, after everything else was done.
    pub async fn handle(&self, invocation: LambdaEvent<Value>) -> Result<Vec<DeliveryReport>, Error> {
        let LambdaEvent { payload, context } = invocation;
        let stop = Deadline::new(&context).stop_for_log(RESERVE);
        let mut reports = Vec::new();
        let mut audits = Vec::new();
        let mut failures = Vec::new();
        match envelopes_of_lambda_event(&payload) {
            Err(error) => failures.push(error.into()),
            Ok(envelopes) => {
                for (record, envelope) in envelopes.into_iter().enumerate() {
                    let message_id = envelope.unverified_message_id().to_owned();
                    match within(stop, self.message(envelope, &payload, record, clock::now(), stop)).await {
                        Some(Ok((report, audit))) => {
                            reports.push(report);
                            audits.extend(audit);
                        }
                        Some(Err(error)) => failures.push(error),
                        None => failures.push(Error::OutOfTime { message_id }),
                    }
                }
            }
        }
        report::metrics(&context.env_config.function_name, clock::now(), &reports, &audits, failures.len()).emit();
        all_or_first(reports, failures)
    }

    async fn message(
        &self,
        envelope: Envelope,
        event: &Value,
        record: usize,
        now: OffsetDateTime,
        stop: Instant,
    ) -> Result<(DeliveryReport, Option<Audit>), Error> {
        let message = self.verifier.verify(envelope, Channel::Lambda, now).await?;
        if message.message_type() != MessageType::Notification {
            return Err(Error::MessageType { seen: message.message_type().as_str() });
        }
        if self.own_topics.iter().any(|topic| topic.as_str() == message.topic_arn()) {
            return Err(Error::Loop { topic_arn: message.topic_arn().to_owned() });
        }
        let rules = self.source.rules(&self.ssm, now).await?;
        let content = Content {
            message: message.message().to_owned(),
            subject: message.subject().map(str::to_owned),
            attributes: attributes_of(event, record)?,
        };
        let data_protection::Outcome { decision, findings, more_findings, audited, attributes_dropped } =
            rules.apply(&content);
        let audit = rules.audits(message.message_id()).then_some(Audit(audited));
        let mut report = DeliveryReport {
            findings,
            more_findings,
            attributes_dropped,
            audited: audit.is_some(),
            unprotected: rules.is_empty(),
            ..DeliveryReport::of(&message)
        };
        match decision {
            Decision::Deliver(_) if self.dry_run => {}
            Decision::Deliver(content) => {
                report.published_message_id = Some(self.publisher.publish(message.message_id(), content).await?);
                report.outcome = DeliveryOutcome::Published;
            }
            Decision::Denied => report.outcome = DeliveryOutcome::Denied,
            Decision::NothingLeft => report.outcome = DeliveryOutcome::NothingLeft,
        }
        log::report(&report);
        if matches!(report.outcome, DeliveryOutcome::Denied | DeliveryOutcome::NothingLeft) && !self.dry_run {
            self.notify(&report, stop).await?;
        }
        Ok((report, audit))
    }

    /// Notifies the owners, where there are any, of a message that was not delivered.
    async fn notify(&self, report: &DeliveryReport, stop: Instant) -> Result<(), Error> {
        let Some(notifier) = &self.denied else { return Ok(()) };
        let notification = Notification::new("Gatehouse messages: not delivered", notice(report, &self.principal))
            .in_thread(&report.message_id)
            .about(&report.topic_arn);
        notifier.publish(&notification, stop).await.map_err(|error| Error::Notify {
            message_id: report.message_id.clone(),
            next: next_of_publish(error.code()),
            source: error.into(),
        })
    }
}

/// What the owners learn of a message that was not delivered: reason and identifiers, no value.
fn notice(report: &DeliveryReport, principal: &str) -> String {
    let (reason, wanted) = match report.outcome {
        DeliveryOutcome::Denied => ("the data protection policy denies it", Done::Deny),
        _ => ("nothing is left of it after redaction", Done::Redact),
    };
    let mut text = format!(
        "A message was not delivered: {reason}.\n\nSubscriber: {principal}\nTopic: {}\nMessage id: {}\n\nFound:\n",
        report.topic_arn, report.message_id
    );
    for finding in report.findings.iter().filter(|finding| finding.operation == wanted) {
        let _ = writeln!(text, "- {} ({}) in {}", finding.identifier, finding.count, finding.path);
    }
    if report.more_findings > 0 {
        let _ = writeln!(text, "- and {} more", report.more_findings);
    }
    text
}

#[cfg(test)]
mod tests {
    use gatehouse_shared::env::Env;
    use gatehouse_shared::verifier;
    use gatehouse_testkit::{Signer, StaticCertificates, lambda_event, notification};
    use time::Duration;
    use time::macros::datetime;

    use super::*;
    use crate::source::tests::{aws, policy};

    #[tokio::test]
    async fn a_message_that_was_refused_is_published_when_the_policy_allows_it() {
        const ORIGIN: &str = "arn:aws:sns:eu-west-1:111122223333:expenses";
        let start = datetime!(2026-03-06 20:00:00 UTC);
        let table = [
            ("DATA_PROTECTION_POLICY", "ssm:/policy"),
            ("SUBSCRIBER_PRINCIPAL", "arn:aws:iam::111122223333:role/Reporting"),
            ("TARGET_TOPIC_ARN", "arn:aws:sns:eu-west-1:111122223333:reporting"),
            ("DENIED_TOPIC_ARN", "arn:aws:sns:eu-west-1:111122223333:owners"),
            ("TOPIC_ARNS", ORIGIN),
            ("ALLOW_UNPROTECTED", "true"),
        ];
        let env = Env::of_table(&table);
        let (config, settings) = env.read(|env| Config::from_env(env).zip(verifier::settings(env))).unwrap();
        // A policy that denies, and then one for another principal.
        let aws = aws(vec![Ok(policy("*")), Ok(policy("210987654321"))]);
        let sdk = aws.sdk();
        let ssm = aws_sdk_ssm::Client::new(&sdk);
        let publisher = Publisher::new(&sdk, &config.target_topic_arn);
        let denied = config.denied_topic_arn.as_ref().map(|topic| Notifier::new(&sdk, topic));
        let verifier = Verifier::with_source(settings, StaticCertificates::new());
        let function = Redactor::new(config, verifier, ssm, publisher, denied);

        let message = notification(ORIGIN, "4539894458086459", "2026-03-06T20:00:00.000Z");
        let event = lambda_event([Signer::new().sign(message)]);
        for (minutes, outcome, publications) in [(0, DeliveryOutcome::Denied, 1), (5, DeliveryOutcome::Published, 2)] {
            let envelope = envelopes_of_lambda_event(&event).unwrap().remove(0);
            let stop = Instant::now() + std::time::Duration::from_secs(60);
            let now = start + Duration::minutes(minutes);
            let (report, _) = function.message(envelope, &event, 0, now, stop).await.unwrap();
            assert_eq!(
                (report.outcome, aws.calls_of("Publish").len()),
                (outcome, publications),
                "after {minutes} minutes"
            );
        }
    }
}
