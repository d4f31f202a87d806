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
use aws_sdk_ssm::Client;
use gatehouse_shared::arn::{AccountId, Arn};
use gatehouse_shared::deadline::{Deadline, within};
use gatehouse_shared::failure::all_or_first;
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sdk::SdkConfig;
use gatehouse_shared::sns::{Channel, Envelope, Verifier};
use gatehouse_shared::{clock, log};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;
use tokio::time::Instant;

use crate::automation::Started;
use crate::config::Config;
use crate::error::Error;
use crate::event::Event;
use crate::mail::Approval;
use crate::notice::{Notice, NoticeDecision, decide};
use crate::report::{ApprovalReport, Concluded};
use crate::request::StartRequest;

/// Kept back from Lambda's deadline, to log what happened.
const RESERVE: Duration = Duration::from_secs(2);

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
        let (region, resource) = Arn::parse(arn).map_or(("", ""), |arn| (arn.region, arn.resource));
        let name = resource.split(':').nth(1).unwrap_or_default();
        Ok(Self { account, region: region.to_owned(), function_name: name.to_owned() })
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
    pub async fn handle(&self, invocation: LambdaEvent<Value>) -> Result<Vec<ApprovalReport>, Error> {
        let LambdaEvent { payload, context } = invocation;
        let stop = Deadline::new(&context).stop_for_log(RESERVE);
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
                    match within(stop, self.work(work, &place, stop)).await {
                        Some(Ok(report)) => reports.push(report),
                        Some(Err(error)) => failures.push(error),
                        None => failures.push(Error::OutOfTime),
                    }
                }
            }
        }
        report::metrics(&context.env_config.function_name, clock::now(), &reports, failures.len()).emit();
        all_or_first(reports, failures)
    }

    async fn work(&self, work: Work, place: &Place, stop: Instant) -> Result<ApprovalReport, Error> {
        let (report, concluded) = match work {
            Work::Message(envelope) => {
                let message = self.verifier.verify(envelope, Channel::Lambda, clock::now()).await?;
                self.notice(&Notice::parse(message.message())?, place).await?
            }
            Work::Build(build) => self.notice(&self.build(&build, place).await?, place).await?,
            Work::Ended { execution_id, status } => self.ended(&execution_id, &status, place).await?,
            Work::Again(execution_id) => self.again(&execution_id, place).await?,
        };
        self.finish(report, concluded, place, stop).await
    }

    /// Logs what was decided and sends the mails, and what chat shows of them.
    async fn finish(
        &self,
        report: ApprovalReport,
        concluded: Concluded,
        place: &Place,
        stop: Instant,
    ) -> Result<ApprovalReport, Error> {
        let outcome = concluded.outcome();
        let mail = concluded.into_mail();
        let report = ApprovalReport { outcome, mail: mail.as_ref().map(|mail| mail.subject.clone()), ..report };
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

    async fn notice(&self, notice: &Notice, place: &Place) -> Result<(ApprovalReport, Concluded), Error> {
        Ok(match decide(notice, &place.account) {
            NoticeDecision::Request { images, elsewhere } => {
                let request = StartRequest::new(notice, images, elsewhere, &self.config);
                self.request(ApprovalReport::new(notice), &request, mail::details(notice), place).await?
            }
            NoticeDecision::NotAvailable => {
                (ApprovalReport::new(notice), Concluded::NothingToApprove(mail::not_available(notice)))
            }
            NoticeDecision::NoAmi => (ApprovalReport::new(notice), Concluded::NothingToApprove(mail::no_ami(notice))),
            NoticeDecision::AllElsewhere => {
                (ApprovalReport::new(notice), Concluded::NothingToApprove(mail::all_elsewhere(notice)))
            }
            NoticeDecision::TooMany { over } => {
                (ApprovalReport::new(notice), Concluded::NotRequested(mail::too_many(notice, &over)))
            }
        })
    }

    /// Starts the execution and asks. Without the link, Systems Manager itself sends the mail.
    async fn request(
        &self,
        report: ApprovalReport,
        request: &StartRequest,
        details: String,
        place: &Place,
    ) -> Result<(ApprovalReport, Concluded), Error> {
        let images = request.images.iter().map(ToString::to_string).collect();
        let mut report = ApprovalReport { images, ..report };
        if self.config.dry_run {
            return Ok((report, Concluded::Planned));
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
                report.reason = Some(reason.to_owned());
                return Ok((report, Concluded::NotRequested(mail::mismatch(request, &details))));
            }
        };
        report.execution_id = Some(execution_id.clone());
        let execution = automation::started(&self.ssm, &execution_id).await?;
        if execution.sharing == Sharing::Done {
            report.reason = Some("it was approved before, and shared".to_owned());
            return Ok((report, Concluded::Requested(None)));
        }
        if !matches!(execution.state, State::NotYet | State::Waiting) {
            report.reason = Some(format!("the execution has ended with status {}", execution.status));
            let mail = mail::ended(&execution, &place.again(&execution_id));
            return Ok((report, Concluded::NotRequested(mail)));
        }
        let Some(config) = &self.config.link else { return Ok((report, Concluded::Requested(None))) };
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
        Ok((report, Concluded::Requested(Some(mail::approve(&approval)))))
    }

    async fn detach_inherited(&self, images: &[ImageRef], place: &Place) -> Vec<String> {
        let Some(watermark) = &self.config.effects.watermark else { return Vec::new() };
        watermark::detach_inherited(&self.sdk, watermark, &place.account, images).await
    }

    /// An execution ended without a shared image: the approvers read how, and how to ask again.
    async fn ended(
        &self,
        execution_id: &str,
        status: &str,
        place: &Place,
    ) -> Result<(ApprovalReport, Concluded), Error> {
        let Some(execution) = automation::find(&self.ssm, execution_id).await? else {
            let mail = mail::ended_elsewhere(execution_id, status);
            return Ok((ApprovalReport::of_execution(execution_id, status), Concluded::Ended(Some(mail))));
        };
        let mut report = ApprovalReport::of(&execution);
        if execution.sharing == Sharing::Done {
            return Ok((report, Concluded::Ended(None)));
        }
        if !execution.is_approved && !self.config.dry_run {
            report.watermark_kept = self.detach_inherited(&execution.images, place).await;
        }
        let mail = mail::ended(&execution, &place.again(execution_id));
        Ok((report, Concluded::Ended(Some(mail))))
    }

    /// Starts a fresh execution for what another one was about.
    async fn again(&self, execution_id: &str, place: &Place) -> Result<(ApprovalReport, Concluded), Error> {
        let refused = |report: ApprovalReport, reason: &str| {
            let mail = mail::not_again(&report, reason);
            (ApprovalReport { reason: Some(reason.to_owned()), ..report }, Concluded::NotRequested(mail))
        };
        let Some(execution) = automation::find(&self.ssm, execution_id).await? else {
            let report = ApprovalReport::of_execution(execution_id, "unknown");
            return Ok(refused(report, "this capability has no execution with that id, or its role may not read it"));
        };
        let report = ApprovalReport::of(&execution);
        if let Some(reason) = self.why_not_again(&execution) {
            return Ok(refused(report, &reason));
        }
        let Some(Ok(build)) = execution.build_arn.as_deref().map(str::parse::<BuildArn>) else {
            return Ok(refused(report, "its parameter buildArn is not the ARN of a build"));
        };
        let tags = automation::tags(&self.ssm, execution_id).await?;
        let request = StartRequest::again(&execution, build, tags, &self.config);
        let details = mail::details_again(&execution);
        self.request(report, &request, details, place).await
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
