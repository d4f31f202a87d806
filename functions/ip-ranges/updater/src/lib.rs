//! Keeps security groups, or prefix lists, on the IP ranges that AWS publishes.
//!
//! A run reads as [`Updater::handle`] does: accept what started it, fetch the document while the groups are read, bring
//! each Region in line, report. What is wanted and what is to change the crate [`ip_ranges_planner`] decides, which knows
//! no client, clock or environment; [`region`], [`interfaces`] and [`prefix_list`] act; [`ec2`] has the calls.

pub mod calls;
pub mod config;
pub mod download;
pub mod ec2;
#[cfg(test)]
mod fake;
pub mod group;
pub mod interfaces;
pub mod prefix_list;
pub mod region;
pub mod report;
pub mod trigger;

use std::sync::atomic::{AtomicU64, Ordering};

use aws_config::SdkConfig;
use futures::future::{join, join_all};
use gatehouse_shared::clock;
use gatehouse_shared::failure::{self, ErrorType, chain};
use gatehouse_shared::metrics::{Metrics, Unit};
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sns::{Channel, MessageType, Verifier, VerifyError};
use ip_ranges_planner::document::{Selection, ServiceError};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use tracing::{error, info};

use crate::config::Config;
use crate::download::{Download, DownloadError, Fetched};
use crate::region::{Region, Run};
use crate::report::{Failure, Kind, Report};
use crate::trigger::{Direct, Notice, NoticeError, Trigger, TriggerError};

/// Why an invocation failed. What was done all the same is in the report, which is logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The event starts nothing.
    #[error("the event is not understood")]
    Event(#[from] TriggerError),
    /// The notice cannot be trusted; nothing was fetched or changed.
    #[error("refusing the notice")]
    Refused(#[from] VerifyError),
    /// The notice is AWS's and does not say what a notice says.
    #[error(transparent)]
    Notice(#[from] NoticeError),
    /// There is no document to work with; nothing was changed.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// Something was not done. Everything else was.
    #[error("{summary}")]
    Incomplete {
        /// What kind of thing, where there is only one.
        kind: Kind,
        /// Each failure in a few words.
        summary: String,
    },
}

impl ErrorType for Error {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Event(_) => "BadEvent",
            Self::Refused(_) => "Refused",
            Self::Notice(_) => "BadNotice",
            Self::Download(DownloadError::StaleDocument { .. }) => "StaleDocument",
            Self::Download(DownloadError::Md5Mismatch { .. }) => "Md5Mismatch",
            Self::Download(DownloadError::Document { .. }) => "BadDocument",
            Self::Download(_) => "Download",
            Self::Incomplete { kind, .. } => kind.name(),
        }
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        failure::diagnostic(&error)
    }
}

/// The function: its settings, its clients, and the newest document it has seen.
pub struct Updater {
    config: Config,
    verifier: Verifier,
    download: Download,
    regions: Vec<Region>,
    notifier: Option<Notifier>,
    newest: AtomicU64,
}

impl Updater {
    /// AWS's clients are made from `sdk`, so endpoints and credentials are those of the SDK's own configuration;
    /// `client` fetches the document ([`download::client`]).
    #[must_use]
    pub fn new(config: Config, verifier: Verifier, sdk: &SdkConfig, client: reqwest::Client) -> Self {
        Self {
            verifier,
            download: Download::new(config.ip_ranges_url.clone(), client),
            regions: config.regions.iter().map(|region| Region::new(region, sdk)).collect(),
            notifier: config.notify_topic_arn.clone().map(|topic_arn| Notifier::new(sdk, topic_arn)),
            newest: AtomicU64::new(0),
            config,
        }
    }

    /// One run, from the event that started it to the report.
    ///
    /// # Errors
    ///
    /// [`Error`], so that Lambda tries again and alarms see it. What was done all the same is in the log.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Report, Error> {
        match self.run(&event.payload).await {
            Ok(mut report) => {
                self.tell(&mut report).await;
                for (region, failure) in report.all_failures() {
                    let Failure { kind, what, reason } = failure;
                    error!(region, kind = kind.name(), what, reason, "not done");
                }
                info!(report = serde_json::to_string(&report).unwrap_or_default(), "report");
                measure(&report, &event.context.env_config.function_name);
                verdict(&report).map(|()| report)
            }
            Err(error) => {
                self.publish("FAILED, nothing was changed", &chain(&error)).await.unwrap_or_else(|unpublished| {
                    error!(what = unpublished.what, reason = unpublished.reason, "not done");
                });
                Err(error)
            }
        }
    }

    async fn run(&self, event: &Value) -> Result<Report, Error> {
        let (trigger, notice, asked) = self.accept(event).await?;
        let run = Run { dry_run: self.config.dry_run || asked.dry_run, force: asked.force };
        // The groups are read while the document is on its way.
        let newest = self.newest.load(Ordering::Relaxed);
        let document = self.download.fetch(notice.as_ref(), newest, Selection::from(&self.config));
        let held = join_all(self.regions.iter().map(|region| region.read(&self.config)));
        let (document, held) = join(document, held).await;
        let Fetched { published, faults, superseded } = document?;
        self.newest.fetch_max(published.sync_token, Ordering::Relaxed);
        info!(trigger, sync_token = published.sync_token, superseded, run.dry_run, run.force, "document read");
        let regions = self.regions.iter().zip(held);
        let regions = regions.map(|(region, held)| region.reconcile(held, &published, &self.config, run));
        Ok(Report {
            trigger,
            dry_run: run.dry_run,
            sync_token: published.sync_token,
            superseded,
            regions: join_all(regions).await,
            ranges: published.services.into_iter().map(|(service, ranges)| (service, ranges.len())).collect(),
            failures: faults.into_iter().map(Failure::from).collect(),
        })
    }

    /// What started the run, once it may be trusted: its name, the notice if it is one, and what a person asked for.
    async fn accept(&self, event: &Value) -> Result<(&'static str, Option<Notice>, Direct), Error> {
        let trigger = Trigger::parse(event)?;
        let name = trigger.name();
        match trigger {
            Trigger::Notice(envelope) => {
                let verified = self.verifier.verify(*envelope, Channel::Lambda, clock::now()).await?;
                if verified.message_type() != MessageType::Notification {
                    return Err(NoticeError::Type(verified.message_type().as_str()).into());
                }
                let notice = Notice::parse(verified.message(), self.config.ip_ranges_url.as_str())?;
                info!(
                    message_id = verified.message_id(),
                    md5 = notice.md5,
                    sync_token = notice.synctoken,
                    "notice accepted"
                );
                Ok((name, Some(notice), Direct::default()))
            }
            Trigger::Schedule => Ok((name, None, Direct::default())),
            Trigger::Direct(asked) => Ok((name, None, asked)),
        }
    }

    /// Tells the people who asked to be told of a change or a failure. That they could not be told is a failure too.
    async fn tell(&self, report: &mut Report) {
        let failed = report.all_failures().count();
        if report.dry_run || (failed == 0 && !report.has_changes()) {
            return;
        }
        let totals = report.totals();
        let mut subject = format!("{} added, {} removed", totals.added, totals.removed);
        if failed > 0 {
            subject = format!("FAILED in part: {subject}, {failed} not done");
        }
        if let Err(failure) = self.publish(&subject, &report.to_string()).await {
            report.failures.push(failure);
        }
    }

    async fn publish(&self, subject: &str, message: &str) -> Result<(), Failure> {
        let Some(notifier) = &self.notifier else { return Ok(()) };
        notifier
            .publish(&format!("Gatehouse ip-ranges: {subject}"), message)
            .await
            .map_err(|error| Failure::of("publishing to NOTIFY_TOPIC_ARN", chain(&error)))
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let (kind, service) = match &error {
            ServiceError::UnknownService { service, .. } => (Kind::UnknownService, service),
            ServiceError::NoRanges { service } => (Kind::NoRanges, service),
        };
        Self { kind, what: service.clone(), reason: error.to_string() }
    }
}

/// Writes the run's metrics.
fn measure(report: &Report, function_name: &str) {
    let totals = report.totals();
    let now = clock::now();
    let age = now.unix_timestamp().saturating_sub_unsigned(report.sync_token);
    #[expect(clippy::cast_precision_loss, reason = "an age in seconds stays far below 2^52")]
    Metrics::of(function_name, now)
        .property("trigger", report.trigger)
        .count("RulesAdded", if report.dry_run { 0 } else { totals.added })
        .count("RulesRemoved", if report.dry_run { 0 } else { totals.removed })
        .count("RangesLeftOut", totals.left_out)
        .metric("DocumentAgeSeconds", Unit::Seconds, age.max(0) as f64)
        .count("EC2Calls", totals.calls)
        .emit();
}

/// How many failures an error's text spells out; the log has all.
const SPELT_OUT: usize = 3;

/// A run that could not do its whole job fails, so that Lambda tries again and alarms see it.
fn verdict(report: &Report) -> Result<(), Error> {
    let failures: Vec<_> = report.all_failures().collect();
    let Some((_, first)) = failures.first() else { return Ok(()) };
    let kind = if failures.iter().all(|(_, failure)| failure.kind == first.kind) { first.kind } else { Kind::Partial };
    let mut summary = failures
        .iter()
        .take(SPELT_OUT)
        .map(|(region, failure)| format!("{}{failure}", region.map(|region| format!("{region}: ")).unwrap_or_default()))
        .collect::<Vec<_>>()
        .join("; ");
    if failures.len() > SPELT_OUT {
        summary.push_str(&format!("; and {} more, see the report in the log", failures.len() - SPELT_OUT));
    }
    Err(Error::Incomplete { kind, summary })
}

#[cfg(test)]
mod tests;
