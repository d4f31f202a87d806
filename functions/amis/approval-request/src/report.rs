//! What was decided and done.

use ami_approval::execution::Execution;
use ami_approval::text::line;
use gatehouse_shared::metrics::Metrics;
use serde::Serialize;
use time::OffsetDateTime;

use crate::mail::Mail;
use crate::notice::Notice;

/// The result for one notice, one execution that ended, or one question asked again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApprovalReport {
    /// What was done: that of the `Concluded` with which it is finished.
    pub outcome: ApprovalOutcome,
    /// The build; empty where it is not known.
    pub build_arn: String,
    /// The name of the image; empty where it is not known.
    pub image_name: String,
    /// The status of the build, or of the execution that ended.
    pub status: String,
    /// The images that wait for approval.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// The Automation execution that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// The Automation execution that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_execution_id: Option<String>,
    /// More on the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where an inherited watermark could not be detached, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub watermark_kept: Vec<String>,
    /// The subject of the mail to the approvers. It is sent after this was logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
}

/// What was done. The names are those in the log and of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ApprovalOutcome {
    /// The approval waits: this delivery of the notice requested it, or an earlier one did.
    Requested,
    /// There is nothing to approve: the build failed, or made no AMI of this account.
    NothingToApprove,
    /// The approval cannot be requested, and trying again would not help.
    NotRequested,
    /// An execution has ended.
    Ended,
    /// `DRY_RUN` is set.
    Planned,
}

/// An outcome with the mail to the approvers that it needs: one row for each, so that none of which a person must hear can be
/// reported without its mail.
#[derive(Debug)]
pub(crate) enum Concluded {
    /// Systems Manager asks the approvers in a mail of its own. Ours has the link, where there is one.
    Requested(Option<Mail>),
    /// They hear that nothing waits for them, and why.
    NothingToApprove(Mail),
    /// They hear why it does not wait, and what to do.
    NotRequested(Mail),
    /// They hear how it ended, and how to ask again; nothing where the image is shared, which the share function reports.
    Ended(Option<Mail>),
    /// Nothing was done, and nobody is notified.
    Planned,
}

impl Concluded {
    pub(crate) fn outcome(&self) -> ApprovalOutcome {
        match self {
            Self::Requested(_) => ApprovalOutcome::Requested,
            Self::NothingToApprove(_) => ApprovalOutcome::NothingToApprove,
            Self::NotRequested(_) => ApprovalOutcome::NotRequested,
            Self::Ended(_) => ApprovalOutcome::Ended,
            Self::Planned => ApprovalOutcome::Planned,
        }
    }

    pub(crate) fn into_mail(self) -> Option<Mail> {
        match self {
            Self::NothingToApprove(mail) | Self::NotRequested(mail) => Some(mail),
            Self::Requested(mail) | Self::Ended(mail) => mail,
            Self::Planned => None,
        }
    }
}

impl ApprovalReport {
    pub(crate) fn new(notice: &Notice) -> Self {
        Self {
            outcome: ApprovalOutcome::Requested,
            build_arn: notice.build.to_string(),
            image_name: notice.name.clone(),
            status: notice.status.clone(),
            images: Vec::new(),
            execution_id: None,
            after_execution_id: None,
            reason: None,
            watermark_kept: Vec::new(),
            mail: None,
        }
    }

    /// For an execution that was read.
    pub(crate) fn of(execution: &Execution) -> Self {
        Self {
            build_arn: execution.build_arn.clone().unwrap_or_default(),
            image_name: line(&execution.image_name, 256),
            images: execution.images.iter().map(ToString::to_string).collect(),
            ..Self::of_execution(&execution.id, &execution.status)
        }
    }

    /// For an execution of which the id is all that is known.
    pub(crate) fn of_execution(execution_id: &str, status: &str) -> Self {
        Self {
            outcome: ApprovalOutcome::Requested,
            build_arn: String::new(),
            image_name: String::new(),
            status: status.to_owned(),
            images: Vec::new(),
            execution_id: None,
            after_execution_id: Some(execution_id.to_owned()),
            reason: None,
            watermark_kept: Vec::new(),
            mail: None,
        }
    }
}

/// The metrics of one invocation: all at each, so that a missing one means a missing invocation.
pub(crate) fn metrics(function_name: &str, now: OffsetDateTime, reports: &[ApprovalReport], failed: usize) -> Metrics {
    let count = |outcome| reports.iter().filter(|report| report.outcome == outcome).count();
    Metrics::of(function_name, now)
        .count("Requested", count(ApprovalOutcome::Requested))
        .count("NothingToApprove", count(ApprovalOutcome::NothingToApprove))
        .count("NotRequested", count(ApprovalOutcome::NotRequested))
        .count("Ended", count(ApprovalOutcome::Ended))
        .count("Failed", failed)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn every_invocation_gives_all_metrics() {
        let notice = Notice::parse(
            r#"{"arn": "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/3", "state": {"status": "FAILED"}}"#,
        )
        .unwrap();
        let reports = [ApprovalOutcome::Requested, ApprovalOutcome::NothingToApprove, ApprovalOutcome::Planned]
            .map(|outcome| ApprovalReport { outcome, ..ApprovalReport::new(&notice) });
        let line = metrics("ami-approval-request", datetime!(2026-08-13 07:47:05 UTC), &reports, 2).line();
        let line: Value = serde_json::from_str(&line).unwrap();
        let values =
            ["Requested", "NothingToApprove", "NotRequested", "Ended", "Failed"].map(|name| line[name].as_f64());
        assert_eq!(values, [Some(1.0), Some(1.0), Some(0.0), Some(0.0), Some(2.0)]);
    }
}
