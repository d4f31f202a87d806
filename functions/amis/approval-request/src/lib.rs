//! Starts the approval of an image that EC2 Image Builder built.
//!
//! Image Builder reports each build on a topic, or to EventBridge. When a build made AMIs of this account, one Automation
//! execution is started for it, which waits for the approvers and then shares the images. In every other case the approvers
//! are notified: the build failed, it made no AMI, there are more than one execution accepts, it was requested before with
//! other parameters.
//!
//! With `APPROVAL_LINK=true` the approvers also get a signed link to a page where they can decide without access to AWS.
//!
//! An execution that ended without a shared image is reported to the approvers, with the command that asks again.
//!
//! Doing it twice is the same as doing it once: a second delivery of a notice finds the execution of the first by its
//! client token, and can only repeat the same link, as its expiry counts from the start of the execution.
//!
//! # Limitations
//!
//! - A mail may come twice when a notice is delivered twice while the approval waits. None is lost.

mod automation;
mod chat;
pub mod config;
pub mod error;
pub mod event;
pub mod mail;
pub mod notice;
pub mod report;
pub mod request;
mod watermark;

use std::time::Duration;

use ami_approval::execution::{Execution, Sharing, State};
use ami_approval::image::{BuildArn, ImageRef};
use ami_approval::target::AccountId;
use aws_config::SdkConfig;
use aws_sdk_ssm::Client;
use gatehouse_shared::failure::{ErrorType as _, chain};
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sns::{Channel, Envelope, Verifier};
use gatehouse_shared::{clock, log};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::automation::Started;
use crate::config::Config;
use crate::error::Error;
use crate::event::Event;
use crate::mail::{Approval, Mail};
use crate::notice::{Decision, Notice, decide};
use crate::report::{Outcome, Report};
use crate::request::Request;

/// Kept back from Lambda's deadline, to log what happened.
const RESERVE: Duration = Duration::from_secs(2);

/// The function.
pub struct ApprovalRequest {
    config: Config,
    verifier: Verifier,
    sdk: SdkConfig,
    ssm: Client,
    notifier: Notifier,
}

/// Where the function runs.
struct Place {
    account: AccountId,
    region: String,
    function_name: String,
}

impl Place {
    fn of(context: &Context) -> Result<Self, Error> {
        let arn = &context.invoked_function_arn;
        let account = AccountId::of_arn(arn).ok_or_else(|| Error::Account { seen: arn.clone() })?;
        let region = arn.split(':').nth(3).unwrap_or_default().to_owned();
        let name = arn.split(':').nth(6).unwrap_or_default().to_owned();
        Ok(Self { account, region, function_name: name })
    }

    /// The command by which a person asks again.
    fn again(&self, execution_id: &str) -> String {
        format!(
            "aws lambda invoke --function-name {} --region {} --cli-binary-format raw-in-base64-out \
             --payload '{{\"again\": \"{execution_id}\"}}' /dev/stdout",
            self.function_name, self.region
        )
    }
}

impl ApprovalRequest {
    /// The function. `notifier` publishes to `APPROVER_TOPIC_ARN` and `CHAT_TOPIC_ARN`.
    #[must_use]
    pub fn new(config: Config, verifier: Verifier, sdk: SdkConfig, notifier: Notifier) -> Self {
        let ssm = Client::new(&sdk);
        Self { config, verifier, sdk, ssm, notifier }
    }

    /// Answers one invocation. SNS puts one message into each; more are handled one after the other.
    ///
    /// # Errors
    ///
    /// The first failure, after everything else was done.
    pub async fn handle(&self, invocation: LambdaEvent<Value>) -> Result<Vec<Report>, Error> {
        let LambdaEvent { payload, context } = invocation;
        let deadline = context.deadline;
        let mut reports = Vec::new();
        let mut failures = Vec::new();
        let works = match (Place::of(&context), Event::parse(&payload)) {
            (Err(error), _) => Err(error),
            (_, Err(error)) => Err(error.into()),
            (Ok(place), Ok(Event::Messages(envelopes))) => {
                Ok((place, envelopes.into_iter().map(Work::Message).collect()))
            }
            (Ok(place), Ok(Event::BuildEnded(build))) => Ok((place, vec![Work::Build(build)])),
            (Ok(place), Ok(Event::ApprovalEnded { execution_id, status })) => {
                Ok((place, vec![Work::Ended { execution_id, status }]))
            }
            (Ok(place), Ok(Event::Again { execution_id })) => Ok((place, vec![Work::Again(execution_id)])),
        };
        match works {
            Err(error) => failures.push(error),
            Ok((place, works)) => {
                for work in works {
                    let time = clock::until(deadline, clock::now()).saturating_sub(RESERVE);
                    if time.is_zero() {
                        failures.push(Error::OutOfTime);
                        continue;
                    }
                    let stop = Instant::now() + time;
                    // On the heap: nested futures of this depth are more than the compiler lays out.
                    match timeout_at(stop, Box::pin(self.work(work, &place, stop))).await {
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

    async fn work(&self, work: Work, place: &Place, stop: Instant) -> Result<Report, Error> {
        let (report, mail) = match work {
            Work::Message(envelope) => {
                let message = self.verifier.verify(envelope, Channel::Lambda, clock::now()).await?;
                self.notice(&Notice::parse(message.message())?, place).await?
            }
            Work::Build(build) => self.notice(&self.build(&build, place).await?, place).await?,
            Work::Ended { execution_id, status } => self.ended(&execution_id, &status, place).await?,
            Work::Again(execution_id) => self.again(&execution_id, place).await?,
        };
        self.finish(report, mail, place, stop).await
    }

    /// Logs what was decided and sends the mails, and what chat shows of them.
    async fn finish(&self, report: Report, mail: Option<Mail>, place: &Place, stop: Instant) -> Result<Report, Error> {
        let report = Report { mail: mail.as_ref().map(|mail| mail.subject.clone()), ..report };
        log::report(&report);
        let kept = mail::watermark_kept(&report);
        let notifications = chat::notifications(&report, mail, kept, &place.region);
        for notification in notifications.iter().filter(|_| !self.config.dry_run) {
            self.notifier.publish(notification, stop).await.map_err(|error| Error::Notify(Box::new(error)))?;
        }
        match report.watermark_kept.first() {
            Some(first) => Err(Error::Watermark { first: first.clone() }),
            None => Ok(report),
        }
    }

    /// What Image Builder knows of a build that EventBridge names.
    async fn build(&self, build: &BuildArn, place: &Place) -> Result<Notice, Error> {
        if *build.account() != place.account || build.region().as_str() != place.region {
            return Err(Error::Elsewhere { build: build.to_string() });
        }
        let client = aws_sdk_imagebuilder::Client::new(&self.sdk);
        let answer = client.get_image().image_build_version_arn(build.as_str()).send().await;
        let answer = answer.map_err(error::image_builder)?;
        let image = answer.image().ok_or(Error::ImageBuilder {
            next: "it is tried again when the event is delivered again",
            source: "the answer has no image".into(),
        })?;
        Ok(Notice::of_image(build, image)?)
    }

    async fn notice(&self, notice: &Notice, place: &Place) -> Result<(Report, Option<Mail>), Error> {
        Ok(match decide(notice, &place.account) {
            Decision::Request { images, elsewhere } => {
                let request = Request::new(notice, images, elsewhere, &self.config);
                self.request(Report::new(notice), &request, mail::details(notice), place).await?
            }
            Decision::NotAvailable => told(notice, Outcome::NothingToApprove, mail::not_available(notice)),
            Decision::NoAmi => told(notice, Outcome::NothingToApprove, mail::no_ami(notice)),
            Decision::AllElsewhere => told(notice, Outcome::NothingToApprove, mail::all_elsewhere(notice)),
            Decision::TooMany { over } => told(notice, Outcome::NotRequested, mail::too_many(notice, &over)),
        })
    }

    /// Starts the execution and asks. Without the link, Systems Manager itself sends the mail.
    async fn request(
        &self,
        report: Report,
        request: &Request,
        details: String,
        place: &Place,
    ) -> Result<(Report, Option<Mail>), Error> {
        let images = request.images.iter().map(ToString::to_string).collect();
        let mut report = Report { outcome: Outcome::Requested, images, ..report };
        if self.config.dry_run {
            return Ok((Report { outcome: Outcome::Planned, ..report }, None));
        }
        report.watermark_kept = self.detach_inherited(&request.images, place).await;
        let execution_id = match automation::start(&self.ssm, &self.config.automation_document, request).await? {
            Started::Execution(execution_id) => execution_id,
            Started::Mismatch => {
                let reason = "an execution was started for this build before, with other parameters \
                              (IdempotentParameterMismatch); see it in the console of Systems Manager";
                tracing::warn!(
                    build_arn = report.build_arn,
                    client_token = request.client_token,
                    reason,
                    "not requested"
                );
                let mail = mail::mismatch(request, &details);
                return Ok((
                    Report { outcome: Outcome::NotRequested, reason: Some(reason.to_owned()), ..report },
                    Some(mail),
                ));
            }
        };
        report.execution_id = Some(execution_id.clone());
        let execution = automation::started(&self.ssm, &execution_id).await?;
        if execution.sharing == Sharing::Done {
            let reason = Some("it was approved before, and shared".to_owned());
            return Ok((Report { reason, ..report }, None));
        }
        if !matches!(execution.state, State::NotYet | State::Waiting) {
            let reason = Some(format!("the execution has ended with status {}", execution.status));
            let mail = Some(mail::ended(&execution, &place.again(&execution_id)));
            return Ok((Report { outcome: Outcome::NotRequested, reason, ..report }, mail));
        }
        let Some(config) = &self.config.link else { return Ok((report, None)) };
        let expires_at = execution.link_expiry(config.ttl).filter(|at| *at > clock::now());
        let link = match expires_at {
            Some(at) => {
                let kms = aws_sdk_kms::Client::new(&self.sdk);
                Some((automation::link(&kms, config, &execution_id, at).await?, at))
            }
            None => None,
        };
        if link.is_none() {
            report.reason = Some("the link has expired (LINK_TTL_HOURS): the mail has none".to_owned());
        }
        let approval = Approval { request, execution: &execution, details: &details, link };
        Ok((report, Some(mail::approve(&approval))))
    }

    async fn detach_inherited(&self, images: &[ImageRef], place: &Place) -> Vec<String> {
        let Some(watermark) = &self.config.watermark else { return Vec::new() };
        watermark::detach_inherited(&self.sdk, watermark, &place.account, images).await
    }

    /// An execution ended without a shared image: the approvers read how, and how to ask again.
    async fn ended(&self, execution_id: &str, status: &str, place: &Place) -> Result<(Report, Option<Mail>), Error> {
        let Some(execution) = automation::find(&self.ssm, execution_id).await? else {
            let report = Report::of_execution(execution_id, Outcome::Ended, status);
            return Ok((report, Some(mail::ended_elsewhere(execution_id, status))));
        };
        let mut report = Report::of(&execution, Outcome::Ended);
        if execution.sharing == Sharing::Done {
            return Ok((report, None));
        }
        if !execution.is_approved && !self.config.dry_run {
            report.watermark_kept = self.detach_inherited(&execution.images, place).await;
        }
        let mail = mail::ended(&execution, &place.again(execution_id));
        Ok((report, Some(mail)))
    }

    /// Starts a fresh execution for what another one was about.
    async fn again(&self, execution_id: &str, place: &Place) -> Result<(Report, Option<Mail>), Error> {
        let refused = |report: Report, reason: &str| {
            let report = Report { outcome: Outcome::NotRequested, reason: Some(reason.to_owned()), ..report };
            let mail = mail::not_again(&report, reason);
            (report, Some(mail))
        };
        let Some(execution) = automation::find(&self.ssm, execution_id).await? else {
            let report = Report::of_execution(execution_id, Outcome::NotRequested, "unknown");
            return Ok(refused(report, "this capability has no execution with that id, or its role may not read it"));
        };
        let report = Report::of(&execution, Outcome::Requested);
        if let Some(reason) = self.why_not_again(&execution) {
            return Ok(refused(report, &reason));
        }
        let Some(Ok(build)) = execution.build_arn.as_deref().map(str::parse::<BuildArn>) else {
            return Ok(refused(report, "its parameter buildArn is not the ARN of a build"));
        };
        let tags = automation::tags(&self.ssm, execution_id).await?;
        let request = Request::again(&execution, build, tags, &self.config);
        let details = mail::details_again(&execution);
        let (report, mail) = self.request(report, &request, details, place).await?;
        Ok((report, mail))
    }

    fn why_not_again(&self, execution: &Execution) -> Option<String> {
        let document = self.config.automation_document.rsplit('/').next().unwrap_or_default();
        if execution.document.rsplit('/').next() != Some(document) {
            return Some(format!("it is an execution of the document {}", execution.document));
        }
        match (execution.state, execution.sharing) {
            (State::NotYet | State::Waiting, _) => Some("it still waits: approve or reject it".to_owned()),
            (_, Sharing::Running) => Some("it was approved, and sharing goes on".to_owned()),
            (_, Sharing::Done) => Some("it was approved, and the image is shared".to_owned()),
            _ => None,
        }
    }
}

/// One thing to do.
enum Work {
    Message(Envelope),
    Build(BuildArn),
    Ended { execution_id: String, status: String },
    Again(String),
}

fn told(notice: &Notice, outcome: Outcome, mail: Mail) -> (Report, Option<Mail>) {
    (Report { outcome, ..Report::new(notice) }, Some(mail))
}
