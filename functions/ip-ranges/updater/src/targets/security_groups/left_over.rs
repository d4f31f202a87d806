//! Groups that no setting keeps any more. They are judged by who depends on them: once AWS's ranges change, an interface that
//! carries one is cut off.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::SecurityGroup;

use super::group::Group;
use super::interfaces;
use crate::aws::caller::CallError;
use crate::aws::ec2::Ec2;
use crate::config::Config;
use crate::failure::{self, Failure};
use crate::report::TargetReport;
use crate::tags::{self, PREFIX_NAME_TAG};

/// A group that no setting keeps any more.
#[derive(Debug)]
pub(super) struct LeftOver {
    group: Group,
    why: String,
}

impl LeftOver {
    /// A group that was adopted before.
    pub(super) fn not_adopted(group: Group) -> Self {
        Self { group, why: "was kept because ADOPT named it, which it does no longer".to_owned() }
    }

    /// Why no pool has the group; `None` where the document has no range of its service: that is reported, and the group is
    /// left unchanged.
    pub(super) fn new(group: Group, vpc_ids: &[String], config: &Config) -> Option<Self> {
        let key = &group.key;
        let why = if !vpc_ids.contains(&key.vpc_id) {
            format!("belongs to {}, which VPC_ID does not name", key.vpc_id)
        } else if !(config.has_service(&key.service) && config.ports.contains(&key.port)) {
            format!("holds {} ranges for port {}, which SERVICE and PORTS no longer name", key.service, key.port)
        } else {
            return None;
        };
        Some(Self { group, why })
    }
}

/// A group of another prefix name.
#[derive(Debug)]
pub(super) struct OtherPrefix {
    id: String,
    name: String,
    prefix_name: String,
}

impl OtherPrefix {
    /// # Errors
    ///
    /// [`CallError::Incomplete`].
    pub(super) fn new(described: &SecurityGroup) -> Result<Self, CallError> {
        let prefix_name = tags::tag(described.tags(), PREFIX_NAME_TAG).ok_or(CallError::Incomplete(PREFIX_NAME_TAG))?;
        Ok(Self {
            id: described.group_id().ok_or(CallError::Incomplete("GroupId"))?.to_owned(),
            name: described.group_name().ok_or(CallError::Incomplete("GroupName"))?.to_owned(),
            prefix_name: prefix_name.to_owned(),
        })
    }
}

/// Reports the groups that nothing updates any more, by whether an interface depends on them.
pub(super) async fn report(ec2: &Ec2, left_over: &[LeftOver], others: &[OtherPrefix], config: &Config) -> TargetReport {
    let mut report = TargetReport::default();
    let ids = left_over.iter().map(|left| &left.group.id).chain(others.iter().map(|other| &other.id));
    let ids: BTreeSet<String> = ids.cloned().collect();
    if ids.is_empty() {
        return report;
    }
    let carriers = match interfaces::carriers(ec2, ids).await {
        Ok(carriers) => carriers,
        Err(error) => {
            let what = "finding the interfaces that carry groups which no setting keeps";
            report.failures.push(Failure::of(what, &error));
            return report;
        }
    };
    for LeftOver { group, why } in left_over {
        let name = format!("{} ({})", group.id, group.name);
        match carriers.get(&group.id) {
            Some(interfaces) => report.failures.push(Failure::abandoned(&name, interfaces, why)),
            None => report.notes.push(format!(
                "{name} {why}; nothing updates its rules, and they still let traffic in: delete it when nothing uses it"
            )),
        }
    }
    for OtherPrefix { id, name, prefix_name } in others {
        if let Some(interfaces) = carriers.get(id) {
            report.notes.push(format!(
                "{id} ({name}) has the tag {PREFIX_NAME_TAG}={prefix_name}, and this function keeps those of {}; {} it. If no other stack keeps it, nothing updates its rules any more: set PREFIX_NAME back, or attach the groups of {} instead of it",
                config.prefix_name,
                failure::carry(interfaces),
                config.prefix_name
            ));
        }
    }
    report
}
