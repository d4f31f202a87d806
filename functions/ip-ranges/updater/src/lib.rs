//! Keeps security groups, prefix lists or IP sets of AWS WAF on the IP ranges that AWS publishes.
//!
//! A run reads as [`Updater::handle`] does: accept what started it, fetch the document while the groups are read, bring
//! each Region in line, report. What is wanted and what is to change the crate [`ip_ranges_planner`] decides, which knows
//! no client, clock or environment. [`region`] reads, plans and applies by one of the `targets`, and [`parameters`] publishes the
//! ids; `aws` makes the calls.

mod aws;
pub mod config;
pub mod download;
mod error;
pub mod failure;
#[cfg(test)]
mod fake;
mod notifications;
mod order;
pub mod parameters;
pub mod ports;
pub mod region;
pub mod report;
pub mod run;
mod tags;
mod targets;
pub mod trigger;

use std::cell::Cell;
use std::time::Duration;

use futures::future::{join, join_all};
use gatehouse_shared::deadline::{Deadline, within};
use gatehouse_shared::failure::chain;
use gatehouse_shared::fetch::Fetcher;
use gatehouse_shared::metrics::{Metrics, Unit};
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sns::{Channel, MessageType, Verifier};
use gatehouse_shared::{clock, log};
use ip_ranges_planner::document::{Selection, SelectionError};
use lambda_runtime::LambdaEvent;
use serde_json::Value;
use tokio::time::Instant;
use tracing::{error, info};

pub use crate::error::Error;

use crate::aws::caller::CallError;
use crate::config::{Adopt, Config, Target};
use crate::download::{Download, Fetched};
use crate::failure::{Failure, FailureKind};
use crate::notifications::Notifications;
use crate::region::{Region, State};
use crate::report::UpdateReport;
use crate::run::Run;
use crate::tags::{FAMILY_TAG, PORT_TAG, PREFIX_NAME_TAG, SERVICE_TAG};
use crate::trigger::{Direct, Notice, NoticeError, Trigger};

/// Publishing stops this long before Lambda's deadline, so that a failure is still logged.
const TIME_TO_LOG: Duration = Duration::from_secs(2);

/// The function: its settings, its clients, and the newest document it has seen.
pub struct Updater {
    config: Config,
    verifier: Verifier,
    download: Download,
    regions: Vec<Region>,
    notifications: Notifications,
    newest: Cell<u64>,
}

impl Updater {
    /// `regions` are those of the settings, with their clients; `notifier` publishes summaries.
    #[must_use]
    pub fn new(
        config: Config,
        verifier: Verifier,
        fetcher: Fetcher,
        regions: Vec<Region>,
        notifier: Option<Notifier>,
    ) -> Self {
        Self {
            verifier,
            download: Download::new(config.ip_ranges_url.clone(), fetcher),
            regions,
            notifications: Notifications::new(notifier),
            newest: Cell::new(0),
            config,
        }
    }

    /// One run, from the event that started it to the report.
    ///
    /// # Errors
    ///
    /// [`Error`], so that Lambda tries again and alarms see it. What was done before that is in the log.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<UpdateReport, Error> {
        let deadline = Deadline::new(&event.context);
        let stop = deadline.stop_for_answer(run::TIME_TO_REPORT);
        let stop_publishing = deadline.stop_for_log(TIME_TO_LOG);
        match self.run(&event.payload, stop).await {
            Ok(mut report) => {
                // Before anything is published: a deadline or a fault there does not take the record.
                log::report(&report);
                measure(&report, &event.context.env_config.function_name);
                let unpublished = self.notifications.of_report(&report, &event.context, stop_publishing).await;
                report.failures.extend(unpublished);
                for (region, failure) in report.all_failures() {
                    let Failure { kind, what, reason } = failure;
                    error!(region, kind = kind.name(), what, reason, "not done");
                }
                // Whoever asks for a plan gets it, whatever it meets: Lambda would answer an error without it.
                if report.dry_run && report.trigger == Trigger::DIRECT {
                    return Ok(report);
                }
                verdict(&report).map(|()| report)
            }
            Err(error) => {
                if let Some(Failure { what, reason, .. }) =
                    self.notifications.of_error(&chain(&error), &event.context, stop_publishing).await
                {
                    error!(what, reason, "not done");
                }
                Err(error)
            }
        }
    }

    async fn run(&self, event: &Value, stop: Instant) -> Result<UpdateReport, Error> {
        let (trigger, notice, asked) = self.accept(event).await?;
        let run = Run {
            dry_run: self.config.dry_run || asked.dry_run,
            force: asked.force,
            looks_for_drift: notice.is_none(),
            stop,
            number: run::number(),
        };
        // The groups are read while the document is downloaded.
        // Who goes back to an older document on purpose says so.
        let newest = if run.force { 0 } else { self.newest.get() };
        let document = within(stop, self.download.fetch(notice.as_ref(), newest, Selection::from(&self.config)));
        let held = join_all(self.regions.iter().map(|region| region.read(&self.config, run)));
        let (document, held) = join(document, held).await;
        let Fetched { published, faults, superseded } = document.ok_or(Error::OutOfTime)??;
        let goes_back = run.force && !run.dry_run;
        self.newest.set(if goes_back { published.sync_token } else { published.sync_token.max(self.newest.get()) });
        info!(trigger, sync_token = published.sync_token, superseded, run.dry_run, run.force, "document read");
        let not_kept = not_kept(&self.config, &held);
        let regions = self.regions.iter().zip(held);
        let regions = regions.map(|(region, held)| region.reconcile(held, &published, &self.config, run));
        Ok(UpdateReport {
            trigger,
            dry_run: run.dry_run,
            sync_token: published.sync_token,
            superseded,
            regions: join_all(regions).await,
            ranges: published.services.into_iter().map(|(service, ranges)| (service, ranges.len())).collect(),
            failures: faults.into_iter().map(Failure::from).chain(not_kept).collect(),
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
                let notice = Notice::parse(verified.message(), &self.config.ip_ranges_url)?;
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
}

/// What `ADOPT` names for the target and no Region keeps; not known where a Region could not be read.
fn not_kept(config: &Config, held: &[Result<State, CallError>]) -> Vec<Failure> {
    let (prefix, last_tag) = match config.target {
        Target::SecurityGroups => ("sg-", PORT_TAG),
        Target::PrefixLists => ("pl-", FAMILY_TAG),
        Target::WafIpSets => return Vec::new(),
    };
    let (Adopt::Named(ids), Ok(states)) =
        (&config.adopt, held.iter().map(Result::as_ref).collect::<Result<Vec<_>, _>>())
    else {
        return Vec::new();
    };
    let tags = format!("{PREFIX_NAME_TAG}={}, {SERVICE_TAG} and {last_tag}", config.prefix_name);
    let missing = ids.iter().filter(|id| id.starts_with(prefix) && !states.iter().any(|state| state.keeps(id)));
    missing.map(|id| Failure::not_kept(id, &tags)).collect()
}

impl From<SelectionError> for Failure {
    fn from(error: SelectionError) -> Self {
        let (kind, what) = match &error {
            SelectionError::UnknownService { service, .. } => (FailureKind::UnknownService, service),
            SelectionError::UnknownRegion { region, .. } | SelectionError::UnknownRegionOfService { region, .. } => {
                (FailureKind::UnknownRegion, region)
            }
            SelectionError::NoRanges { service } => (FailureKind::NoRanges, service),
        };
        Self { kind, what: what.clone(), reason: error.to_string() }
    }
}

/// Writes the run's metrics. `RangesLeftOut` is written only where it is known for every Region: a run that could not
/// read a Region must not end the alarm about it.
fn measure(report: &UpdateReport, function_name: &str) {
    let totals = report.totals();
    let now = clock::now();
    let age = now.unix_timestamp().saturating_sub_unsigned(report.sync_token);
    #[expect(clippy::cast_precision_loss, reason = "an age in seconds stays far below 2^52")]
    let metrics = Metrics::of(function_name, now)
        .property("trigger", report.trigger)
        .count("RulesAdded", if report.dry_run { 0 } else { totals.added })
        .count("RulesRemoved", if report.dry_run { 0 } else { totals.removed })
        .metric("DocumentAgeSeconds", Unit::Seconds, age.max(0) as f64)
        .count("EC2Calls", totals.calls);
    let is_known = report.is_planned() && report.failures.is_empty();
    if is_known { metrics.count("RangesLeftOut", totals.left_out) } else { metrics }.emit();
}

/// How many failures an error's text spells out; the log has all.
const SPELT_OUT: usize = 3;

/// A run that could not do its whole job fails, so that Lambda tries again and alarms see it.
fn verdict(report: &UpdateReport) -> Result<(), Error> {
    let failures: Vec<_> = report.all_failures().collect();
    let Some((_, first)) = failures.first() else { return Ok(()) };
    let kind =
        if failures.iter().all(|(_, failure)| failure.kind == first.kind) { first.kind } else { FailureKind::Partial };
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
