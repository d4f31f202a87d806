//! Starts the approval of an image that EC2 Image Builder built.
//!
//! Image Builder reports each build on a topic. When a build made AMIs of this account, one Automation execution is
//! started for it, which waits for the approvers and then shares the images. Whatever else the notice says, the approvers
//! get to know: that the build failed, that it made no AMI, that there are more than one execution takes.
//!
//! With `APPROVAL_LINK=true` the approvers also get a signed link to a page where they can decide without access to AWS.
//!
//! Doing it twice is the same as doing it once: a second delivery of a notice finds the execution of the first by its
//! client token, and can only repeat the same link, as its expiry counts from the start of the execution.
//!
//! # Limitations
//!
//! - A mail may come twice when a notice is delivered twice while the approval waits. None is lost.
//! - A build has one approval. When it ended (rejected, timed out), the execution can be started again by hand, in the
//!   console of Systems Manager; a notice that is delivered again does not.

mod automation;
pub mod config;
pub mod error;
pub mod mail;
pub mod notice;
pub mod report;
pub mod request;

use std::time::Duration;

use ami_approval::target::AccountId;
use aws_sdk_ssm::Client;
use gatehouse_shared::failure::{ErrorType as _, chain};
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sns::{Channel, Envelope, Verifier, envelopes_of_lambda_event};
use gatehouse_shared::{clock, log};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;

use crate::automation::Started;
use crate::config::Config;
use crate::error::Error;
use crate::mail::Mail;
use crate::notice::{Decision, Notice, decide};
use crate::report::{Outcome, Report};
use crate::request::Request;

/// Kept back from Lambda's deadline, to log what happened.
const RESERVE: Duration = Duration::from_secs(2);

/// The function.
pub struct ApprovalRequest {
    config: Config,
    verifier: Verifier,
    ssm: Client,
    notifier: Notifier,
}

impl ApprovalRequest {
    /// The function with its clients. `notifier` publishes to `APPROVER_TOPIC_ARN`.
    #[must_use]
    pub fn new(config: Config, verifier: Verifier, ssm: Client, notifier: Notifier) -> Self {
        Self { config, verifier, ssm, notifier }
    }

    /// Answers one invocation. SNS puts one message into each; more are handled one after the other.
    ///
    /// # Errors
    ///
    /// The first failure, after everything else was done.
    pub async fn handle(&self, invocation: LambdaEvent<Value>) -> Result<Vec<Report>, Error> {
        let LambdaEvent { payload, context } = invocation;
        let mut reports = Vec::new();
        let mut failures = Vec::new();
        match envelopes_of_lambda_event(&payload) {
            Err(error) => failures.push(error.into()),
            Ok(envelopes) => {
                for envelope in envelopes {
                    let time = clock::until(context.deadline, clock::now()).saturating_sub(RESERVE);
                    if time.is_zero() {
                        failures.push(Error::OutOfTime);
                        continue;
                    }
                    match tokio::time::timeout(time, self.message(envelope, &context)).await {
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
            tracing::error!(errorType = error.error_type(), error = chain(&error), "one more message failed");
        }
        Err(first)
    }

    async fn message(&self, envelope: Envelope, context: &Context) -> Result<Report, Error> {
        let account = AccountId::of_arn(&context.invoked_function_arn)
            .ok_or_else(|| Error::Account { seen: context.invoked_function_arn.clone() })?;
        let message = self.verifier.verify(envelope, Channel::Lambda, clock::now()).await?;
        let notice = Notice::parse(message.message())?;
        let (report, mail) = match decide(&notice, &account) {
            Decision::Request(request) => self.request(&notice, &request).await?,
            Decision::NotAvailable => told(&notice, Outcome::NothingToApprove, mail::not_available(&notice)),
            Decision::NoAmi => told(&notice, Outcome::NothingToApprove, mail::no_ami(&notice)),
            Decision::AllElsewhere => told(&notice, Outcome::NothingToApprove, mail::all_elsewhere(&notice)),
            Decision::TooMany { over } => told(&notice, Outcome::NotRequested, mail::too_many(&notice, &over)),
        };
        let report = Report { mail: mail.as_ref().map(|mail| mail.subject.clone()), ..report };
        log::report(&report);
        if let Some(Mail { subject, text }) = mail.filter(|_| !self.config.dry_run) {
            self.notifier.publish(&subject, &text).await.map_err(|error| Error::Notify(Box::new(error)))?;
        }
        Ok(report)
    }

    /// Starts the execution. Without the link, Systems Manager itself sends the mail.
    async fn request(&self, notice: &Notice, request: &Request) -> Result<(Report, Option<Mail>), Error> {
        let images = request.images.iter().map(ToString::to_string).collect();
        let report = Report { images, ..Report::new(notice, Outcome::Requested) };
        if self.config.dry_run {
            return Ok((Report { outcome: Outcome::Planned, ..report }, None));
        }
        let execution_id = match automation::start(&self.ssm, &self.config.automation_document, request).await? {
            Started::Execution(execution_id) => execution_id,
            Started::Mismatch => {
                let reason = "an execution was started for this build before, with other parameters \
                              (IdempotentParameterMismatch); see it in the console of Systems Manager";
                tracing::warn!(build_arn = %request.build, client_token = request.client_token, reason, "not requested");
                let reason = Some(reason.to_owned());
                return Ok((Report { outcome: Outcome::NotRequested, reason, ..report }, None));
            }
        };
        let report = Report { execution_id: Some(execution_id.clone()), ..report };
        let Some(link) = &self.config.link else { return Ok((report, None)) };
        let Some(began) = automation::began(&self.ssm, &execution_id).await? else {
            let reason = Some("the execution has ended: no link is sent".to_owned());
            return Ok((Report { reason, ..report }, None));
        };
        if began + link.ttl <= clock::now() {
            let reason = Some("the link has expired (LINK_TTL_HOURS): none is sent".to_owned());
            return Ok((Report { reason, ..report }, None));
        }
        let (link, expires_at) = automation::link(&self.ssm, link, &execution_id, began).await?;
        let mail = mail::approve(notice, request, &execution_id, &link, expires_at);
        Ok((report, Some(mail)))
    }
}

fn told(notice: &Notice, outcome: Outcome, mail: Mail) -> (Report, Option<Mail>) {
    (Report::new(notice, outcome), Some(mail))
}
