//! Shares approved images with other accounts, organizations and organizational units.
//!
//! It is the step after the approval, and it believes no caller: it reads the Automation execution that the input names.
//! Its document, the status of its approval, its images, their build, the receivers and all that is done besides must be
//! those of the settings and of the input; otherwise nothing is changed (`NotApproved`). `REQUIRE_APPROVAL=false` leaves all that to the caller.
//!
//! Every image is looked at before the first one is changed. One that must not be shared is refused with every reason, and
//! the others go on. Then, for each image:
//!
//! 1. the watermark is attached (`APPROVED_WATERMARK`), in the place of one that the image inherited;
//! 2. the launch permissions that are missing are added, and read back;
//! 3. the snapshots are shared with the accounts (`SHARE_SNAPSHOTS`);
//! 4. the parameter names it (`LATEST_PARAMETER`), and the image that it named before is deprecated
//!    (`DEPRECATE_PREVIOUS_AFTER_DAYS`).
//!
//! Doing it twice is the same as doing it once: what is there is not added again, and no second mail says that it was shared.
//!
//! # Limitations
//!
//! - Nothing is taken back: a target that is removed from the settings keeps what it has.
//! - The mail to the targets is sent after the images were shared. Where SNS refuses it, the function fails as `Notify`, and
//!   no later run repeats it, as nothing is new then.
//! - The tag of Image Builder can be set by each principal that may tag images in the account. The approval names the
//!   images by their ids, so it holds for these images alone.
//! - A principal that may change the Automation document decides who approves.
//! - Block public access for AMIs concerns public sharing only, so it is not looked at.

mod apply;
mod approval;
mod clients;
pub mod config;
pub mod error;
pub mod input;
mod latest;
pub mod mail;
pub mod plan;
mod read;
pub mod report;
mod time_left;

use std::time::Duration;

use ami_approval::image::{BuildArn, ImageRef};
use futures::StreamExt as _;
use futures::stream;
use gatehouse_shared::arn::{AccountId, Arn};
use gatehouse_shared::deadline::Deadline;
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::region::Region;
use gatehouse_shared::sdk::SdkConfig;
use gatehouse_shared::sns::TopicArn;
use gatehouse_shared::{clock, log};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;

use crate::approval::{Approved, Trusted};
use crate::clients::Clients;
use crate::config::Config;
use crate::error::Error;
use crate::input::Input;
use crate::mail::Mail;
use crate::plan::{Facts, Permissions, Plan, Unshareable, image_name, key_statement, plan};
use crate::report::{ImageReport, LatestOutcome, ShareOutcome, ShareReport};
use crate::time_left::TimeLeft;

/// How many images are worked on at a time.
const AT_A_TIME: usize = 8;

/// Kept back from Lambda's deadline, to answer.
const RESERVE: Duration = Duration::from_secs(1);

pub struct Share {
    config: Config,
    sdk: SdkConfig,
}

/// An image on its way.
struct Work {
    image: ImageRef,
    clients: Clients,
    facts: Facts,
    plan: Option<Plan>,
    report: ImageReport,
}

impl Share {
    /// The function. The clients of each Region are made from `sdk`.
    #[must_use]
    pub fn new(config: Config, sdk: SdkConfig) -> Self {
        Self { config, sdk }
    }

    /// Shares the images of the input.
    ///
    /// # Errors
    ///
    /// [`Error::NotApproved`] before anything is changed. [`Error::NotShared`] when anything failed, after everything else was
    /// done and reported.
    pub async fn handle(&self, invocation: LambdaEvent<Value>) -> Result<ShareReport, Error> {
        let LambdaEvent { payload, context } = invocation;
        let time = TimeLeft::new(Deadline::new(&context));
        let (account, region) = account_and_region(&context.invoked_function_arn)?;
        let mut input = Input::parse(payload, &region)?;
        let approved = match self.approval(&input, &account, &region).await? {
            Ok(approved) => approved,
            Err(reasons) => return self.not_approved(input, reasons, &context, &account).await,
        };
        if let Some(Approved { images, image_name, build }) = approved.clone() {
            input = Input { images, image_name: Some(image_name), build: Some(build), ..input };
        }
        if input.images.is_empty() {
            return Err(Error::NoImages);
        }

        let mut works = self.look_at_all(&input, &account, time).await;
        if let Some(Approved { build, .. }) = &approved {
            let reasons = of_another_build(&works, build);
            if !reasons.is_empty() {
                return self.not_approved(input, reasons, &context, &account).await;
            }
        }
        if !self.config.dry_run {
            works = stream::iter(works).map(|work| share(work, time)).buffered(AT_A_TIME).collect().await;
        }
        for index in oldest_first(&works) {
            self.latest(&mut works[index], &input, time).await;
        }

        let images: Vec<ImageReport> = works.into_iter().map(|work| work.report).collect();
        let report = self.report(input, images, approved.is_some(), &account);
        self.tell(&report, &context).await?;
        self.outcome(report)
    }

    /// What was approved: `Ok(Ok(None))` where no approval is required, `Ok(Err(reasons))` where there is none.
    async fn approval(
        &self,
        input: &Input,
        account: &AccountId,
        region: &Region,
    ) -> Result<Result<Option<Approved>, Vec<String>>, Error> {
        let Some(document) = &self.config.approval_document else { return Ok(Ok(None)) };
        let Some(execution_id) = &input.execution_id else {
            return Ok(Err(vec!["the input names no execution: pass executionId".to_owned()]));
        };
        let ssm = aws_sdk_ssm::Client::new(&self.sdk);
        let execution = match approval::read(&ssm, execution_id).await {
            Ok(Ok(execution)) => execution,
            Ok(Err(reason)) => return Ok(Err(vec![reason])),
            Err(error) => return Err(Error::Automation(error)),
        };
        let Config { targets: receivers, effects, .. } = &self.config;
        let trusted = Trusted { account, region, document, receivers, effects };
        Ok(approval::verify(&execution, input, &trusted).map(Some))
    }

    /// Nothing is changed, and the approvers are notified.
    async fn not_approved(
        &self,
        input: Input,
        reasons: Vec<String>,
        context: &Context,
        account: &AccountId,
    ) -> Result<ShareReport, Error> {
        let reason = reasons.join("; ");
        let refused = |image: &ImageRef| ImageReport {
            reasons: reasons.clone(),
            ..ImageReport::new(image, ShareOutcome::Refused)
        };
        let images = input.images.iter().map(refused).collect();
        let report = self.report(input, images, false, account);
        log::report(&report);
        report.metrics(&context.env_config.function_name, clock::now()).emit();
        if !self.config.dry_run {
            let mail = mail::not_approved(&report, &reasons);
            let approvers = self.config.approver_topic_arn.as_ref();
            self.publish("APPROVER_TOPIC_ARN", approvers, Some(mail), &report, context).await?;
        }
        Err(Error::NotApproved { reason })
    }

    fn report(&self, input: Input, images: Vec<ImageReport>, approved: bool, account: &AccountId) -> ShareReport {
        let failed = images.iter().filter(|image| image.has_failed()).count();
        let receivers = Permissions::of(&self.config.targets, account);
        let has_key = images.iter().any(|image| !image.keys.is_empty());
        ShareReport {
            execution_id: input.execution_id,
            build_arn: input.build.map(|build| build.to_string()),
            approved,
            image_name: input.image_name,
            key_policy_statement: has_key.then(|| key_statement(&receivers)),
            receivers,
            images,
            failed,
        }
    }

    async fn tell(&self, report: &ShareReport, context: &Context) -> Result<(), Error> {
        log::report(report);
        report.metrics(&context.env_config.function_name, clock::now()).emit();
        self.notify(report, context).await
    }

    /// Reads every image and decides for it, before anything is changed.
    async fn look_at_all(&self, input: &Input, account: &AccountId, time: TimeLeft) -> Vec<Work> {
        let look = |image: ImageRef| async move {
            let clients = Clients::new(&self.sdk, image.region.as_str());
            let facts = match time.check() {
                Ok(()) => read::facts(&clients, &image.ami_id, account, self.config.effects.share_snapshots).await,
                Err(reason) => Err(reason),
            };
            self.look(image, clients, facts, account)
        };
        stream::iter(input.images.clone()).map(look).buffered(AT_A_TIME).collect().await
    }

    fn look(&self, image: ImageRef, clients: Clients, facts: Result<Facts, String>, account: &AccountId) -> Work {
        let mut report = ImageReport::new(&image, ShareOutcome::Unchanged);
        let facts = match facts {
            Ok(facts) => facts,
            Err(reason) => {
                report.fail(reason);
                return Work { image, clients, facts: Facts::default(), plan: None, report };
            }
        };
        report.name.clone_from(&facts.name);
        match plan(&facts, account, &self.config, clock::now()) {
            Err(Unshareable { reasons, inherited_watermark }) => {
                tracing::warn!(%image, ?reasons, "refused");
                let report = ImageReport { outcome: ShareOutcome::Refused, reasons, ..report };
                let plan = Plan { inherited_watermark, ..Plan::default() };
                Work { image, clients, facts, plan: Some(plan), report }
            }
            Ok(plan) => {
                report.notes.clone_from(&plan.notes);
                report.keys.clone_from(&plan.keys);
                if self.config.dry_run && !plan.is_empty() {
                    report.outcome = ShareOutcome::Planned;
                    report.added = plan.permissions.clone();
                    report.watermark.clone_from(&plan.watermark);
                    report.snapshots = plan.snapshots.iter().map(|(id, _)| id.clone()).collect();
                }
                Work { image, clients, facts, plan: Some(plan), report }
            }
        }
    }

    /// Writes the parameter for an image that is shared.
    async fn latest(&self, work: &mut Work, input: &Input, time: TimeLeft) {
        let Some(template) = &self.config.effects.latest_parameter else { return };
        if work.report.has_failed() {
            return;
        }
        let name = image_name(&work.facts, input.build.as_ref(), input.image_name.as_deref());
        let parameter = match name {
            Some(name) => template.of(&name),
            None if !template.needs_name() => template.of(""),
            None => {
                return work
                    .report
                    .fail("LATEST_PARAMETER has {name}, and the image has none: pass image_name".to_owned());
            }
        };
        let request = latest::LatestRequest {
            image: &work.image,
            facts: &work.facts,
            build: input.build.as_ref().or(work.facts.build.as_ref()),
            parameter,
            shared: &input.images,
            deprecate_after_days: self.config.effects.deprecate_previous_after_days,
            now: clock::now(),
            time,
            dry_run: self.config.dry_run,
        };
        match latest::write(&work.clients, &request).await {
            Ok(latest) => {
                match (work.report.outcome, latest.outcome) {
                    (ShareOutcome::Unchanged, LatestOutcome::Written) => work.report.outcome = ShareOutcome::Shared,
                    (ShareOutcome::Unchanged, LatestOutcome::Planned) => work.report.outcome = ShareOutcome::Planned,
                    _ => {}
                }
                work.report.latest = Some(latest);
            }
            Err(reason) => work.report.fail(reason),
        }
    }

    /// Sends the mails; each even where the one before was refused.
    async fn notify(&self, report: &ShareReport, context: &Context) -> Result<(), Error> {
        if self.config.dry_run {
            return Ok(());
        }
        let targets = self.config.target_topic_arn.as_ref();
        let targets = self.publish("TARGET_TOPIC_ARN", targets, mail::shared(report), report, context).await;
        let approvers = self.config.approver_topic_arn.as_ref();
        let failed = self.publish("APPROVER_TOPIC_ARN", approvers, mail::failed(report), report, context).await;
        let key = self.publish("APPROVER_TOPIC_ARN", approvers, mail::key_policy(report), report, context).await;
        targets.and(failed).and(key)
    }

    async fn publish(
        &self,
        setting: &'static str,
        topic: Option<&TopicArn>,
        mail: Option<Mail>,
        report: &ShareReport,
        context: &Context,
    ) -> Result<(), Error> {
        let notifier = Notifier::for_topics(&self.sdk, topic, self.config.chat_topic.as_ref());
        let (Some(notifier), Some(mail)) = (notifier, mail) else { return Ok(()) };
        let (_, region) = account_and_region(&context.invoked_function_arn)?;
        let stop = Deadline::new(context).stop_for_log(RESERVE);
        let published = notifier.publish(&mail::notification(mail, report, &region), stop).await;
        published.map_err(|error| Error::Notify { setting, source: Box::new(error) })
    }

    fn outcome(&self, report: ShareReport) -> Result<ShareReport, Error> {
        let Some(first) = report.images.iter().find(|image| image.has_failed()) else { return Ok(report) };
        let reason = first.reasons.first().map_or("no reason", String::as_str);
        let first = format!("{}:{}: {reason}", first.region, first.ami_id);
        Err(Error::NotShared { failed: report.failed, total: report.images.len(), first })
    }
}

/// The images that the tag of Image Builder does not name as made by this build. What could not be read, or is refused,
/// fails by itself.
fn of_another_build(works: &[Work], build: &BuildArn) -> Vec<String> {
    let is_other = |work: &&Work| !work.report.has_failed() && work.facts.build.as_ref() != Some(build);
    let reason = |work: &Work| {
        let tag = work.facts.build.as_ref().map_or("another value, or none", BuildArn::as_str);
        format!("the tag Ec2ImageBuilderArn of {} has {tag}: the approval is about the build {build}", work.image)
    };
    works.iter().filter(is_other).map(reason).collect()
}

/// Carries out the plan of one image, if it has one.
async fn share(mut work: Work, time: TimeLeft) -> Work {
    if let Some(plan) = work.plan.as_ref().filter(|plan| !plan.is_empty()) {
        if !work.report.has_failed() {
            work.report.outcome = ShareOutcome::Shared;
        }
        apply::apply(&work.clients, &work.image, plan, time, &mut work.report).await;
    }
    work
}

/// The newest image of a Region comes last, so that the parameter names it in the end.
fn oldest_first(works: &[Work]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..works.len()).collect();
    order.sort_by(|one, other| works[*one].facts.created.cmp(&works[*other].facts.created));
    order
}

fn account_and_region(function_arn: &str) -> Result<(AccountId, Region), Error> {
    let region = Arn::parse(function_arn).and_then(|arn| arn.region.parse().ok());
    AccountId::of_arn(function_arn).zip(region).ok_or_else(|| Error::Function { seen: function_arn.to_owned() })
}
