//! What was done.

use std::collections::BTreeSet;

use ami_approval::image::ImageRef;
use gatehouse_shared::metrics::Metrics;
use serde::Serialize;
use time::OffsetDateTime;

use crate::plan::Permissions;

/// The whole report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShareReport {
    /// The Automation execution, where the input names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// The build that the images are of, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_arn: Option<String>,
    /// Whether the execution says that the images were approved; `false` where `REQUIRE_APPROVAL` is.
    pub approved: bool,
    /// The name of the images, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_name: Option<String>,
    /// All receivers in the settings.
    pub receivers: Permissions,
    /// The statement that the policy of each customer-managed key must have, which the images name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_policy_statement: Option<String>,
    /// Each image, in the order of the input.
    pub images: Vec<ImageReport>,
    /// How many of them failed or were refused.
    pub failed: usize,
}

/// What became of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageReport {
    /// Its Region.
    pub region: String,
    pub ami_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What became of it.
    pub outcome: ShareOutcome,
    /// Launch permissions that were added, or with `DRY_RUN` would be. Their number is reported.
    #[serde(skip_serializing_if = "Permissions::is_empty", serialize_with = "number")]
    pub added: Permissions,
    /// Receivers that EC2 refused; the others have the image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_receivers: Vec<String>,
    /// Customer-managed keys that it is encrypted with.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub keys: BTreeSet<String>,
    /// Snapshots that were shared with more accounts, or would be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<String>,
    /// The watermark that was attached, or would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<String>,
    /// What became of the parameter that names the newest image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<Latest>,
    /// What failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What people should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn number<S: serde::Serializer>(permissions: &Permissions, serializer: S) -> Result<S::Ok, S::Error> {
    permissions.len().serialize(serializer)
}

/// What became of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareOutcome {
    /// It was shared now, or more of it.
    Shared,
    /// All was done before.
    Unchanged,
    /// `DRY_RUN` is set.
    Planned,
    /// It must not be shared. Nothing was changed, but that an inherited watermark was detached.
    Refused,
    /// Something failed. What was done is listed.
    Failed,
}

/// What became of the parameter that names the newest image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Latest {
    pub parameter: String,
    /// What became of it.
    pub outcome: LatestOutcome,
    /// The image that it named before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// When the previous image is deprecated, if that was set now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_deprecated_at: Option<String>,
}

/// What became of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LatestOutcome {
    /// It names this image now.
    Written,
    /// It named this image before.
    Unchanged,
    /// It names a newer image, and keeps it.
    Newer,
    /// `DRY_RUN` is set.
    Planned,
}

/// Who is notified by mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    /// The subscribers of `TARGET_TOPIC_ARN`: what was shared with them now.
    Targets,
    /// The subscribers of `APPROVER_TOPIC_ARN`: what failed, and why.
    Approvers,
}

impl ShareOutcome {
    /// Who is notified of it: one row for each outcome. The approvers also get the statement for the key of an image that was
    /// shared.
    #[must_use]
    pub fn recipients(self) -> &'static [Recipient] {
        match self {
            Self::Shared => &[Recipient::Targets],
            // The receivers have it already; and a dry run changes nothing.
            Self::Unchanged | Self::Planned => &[],
            Self::Refused => &[Recipient::Approvers],
            // Some of it may be shared.
            Self::Failed => &[Recipient::Approvers, Recipient::Targets],
        }
    }
}

impl ImageReport {
    /// A report without anything done.
    #[must_use]
    pub fn new(image: &ImageRef, outcome: ShareOutcome) -> Self {
        Self {
            region: image.region.to_string(),
            ami_id: image.ami_id.to_string(),
            name: None,
            outcome,
            added: Permissions::default(),
            refused_receivers: Vec::new(),
            keys: BTreeSet::new(),
            snapshots: Vec::new(),
            watermark: None,
            latest: None,
            reasons: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Whether something must be looked at.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.outcome.recipients().contains(&Recipient::Approvers)
    }

    /// Whether targets got permissions that they did not have.
    #[must_use]
    pub fn is_newly_shared(&self) -> bool {
        let notifies_targets = self.outcome.recipients().contains(&Recipient::Targets);
        notifies_targets && !(self.added.is_empty() && self.snapshots.is_empty())
    }

    pub(crate) fn fail(&mut self, reason: String) {
        self.outcome = ShareOutcome::Failed;
        self.reasons.push(reason);
    }
}

impl ShareReport {
    /// The metrics of one invocation: all at each.
    pub(crate) fn metrics(&self, function_name: &str, now: OffsetDateTime) -> Metrics {
        let count = |outcome| self.images.iter().filter(|image| image.outcome == outcome).count();
        Metrics::of(function_name, now)
            .count("Shared", self.images.iter().filter(|image| image.is_newly_shared()).count())
            .count("Unchanged", count(ShareOutcome::Unchanged))
            .count("Refused", count(ShareOutcome::Refused))
            .count("Failed", count(ShareOutcome::Failed))
    }
}
