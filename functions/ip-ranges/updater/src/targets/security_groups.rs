//! Security groups, for each VPC, service and port as many as needed.

mod aws_lists;
mod calls;
pub(crate) mod group;
mod interfaces;
mod left_over;
mod pool;
mod runs;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::SecurityGroup;
use futures::future::join_all;
use tracing::debug;

use self::group::{Group, PoolKey};
use self::interfaces::PoolGroups;
use self::left_over::{LeftOver, OtherPrefix};
use self::pool::{PoolChanges, PoolRun};
use self::runs::Announcement;
use super::{Wanted, kept};
use crate::aws::caller::CallError;
use crate::aws::ec2::Ec2;
use crate::config::Config;
use crate::failure::FailureKind;
use crate::report::TargetReport;
use crate::run::Run;
use crate::tags::{self, PREFIX_NAME_TAG};

/// The VPCs and all groups with our tag.
#[derive(Debug)]
pub(crate) struct State {
    vpc_ids: Vec<String>,
    /// Groups that can be kept.
    groups: Vec<Group>,
    /// Groups that were kept while `ADOPT` named them.
    not_adopted: Vec<Group>,
    /// Why others cannot.
    notes: Vec<String>,
    /// Groups with another value of the tag `gatehouse:prefix-name`, if they were looked for: another stack's, or what this
    /// one kept before `PREFIX_NAME` was changed.
    others: Vec<OtherPrefix>,
}

impl State {
    /// The VPCs whose groups are kept.
    pub(crate) fn vpc_ids(&self) -> &[String] {
        &self.vpc_ids
    }

    /// The ids of the groups that are kept.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| group.id.as_str())
    }

    /// The `syncToken` of each document that a group is tagged with.
    pub(crate) fn sync_tokens(&self) -> impl Iterator<Item = u64> {
        self.groups.iter().flat_map(|group| group.sync_tokens.iter().copied())
    }

    /// Says in the log what was read.
    pub(crate) fn log(&self, region: &str) {
        debug!(region, vpc_ids = ?self.vpc_ids, groups = self.groups.len(), "groups read");
    }

    /// Why groups are not kept.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Reads the groups: one call, pages aside.
///
/// # Errors
///
/// [`CallError`].
pub(crate) async fn read(ec2: &Ec2, vpc_ids: Vec<String>, config: &Config, run: Run) -> Result<State, CallError> {
    let described = if run.looks_for_drift {
        ec2.groups_of_every_prefix().await?
    } else {
        ec2.tagged_groups(&config.prefix_name).await?
    };
    let is_ours =
        |group: &&SecurityGroup| tags::tag(group.tags(), PREFIX_NAME_TAG) == Some(config.prefix_name.as_str());
    let (described, others): (Vec<_>, Vec<_>) = described.iter().partition(is_ours);
    let (groups, notes) =
        kept(described.into_iter().map(|group| Group::of(group, &config.prefix_name, &config.adopt)))?;
    let (groups, not_adopted) = groups.into_iter().partition(|group| group.is_kept);
    let others = others.into_iter().map(OtherPrefix::new).collect::<Result<_, _>>()?;
    Ok(State { vpc_ids, groups, not_adopted, notes, others })
}

/// What to change in the groups, and what is left over.
#[derive(Debug)]
pub(crate) struct Changes<'a> {
    pools: Vec<PoolChanges<'a>>,
    left_over: Vec<LeftOver>,
    others: &'a [OtherPrefix],
    /// Groups with the tags of newer documents that do not count.
    obsolete: Vec<String>,
    notes: Vec<String>,
}

/// Puts the groups into pools, one for each VPC, service and port, and compares each with what is wanted.
pub(crate) fn plan<'a>(state: &'a State, wanted: &Wanted<'a>) -> Changes<'a> {
    let mut groups: Vec<&Group> = state.groups.iter().collect();
    groups.sort_by(|a, b| (a.number, &a.id).cmp(&(b.number, &b.id)));
    let mut by_key: BTreeMap<&PoolKey, Vec<Group>> = BTreeMap::new();
    for group in groups {
        by_key.entry(&group.key).or_default().push(group.clone());
    }
    let mut pools = Vec::new();
    for vpc_id in &state.vpc_ids {
        for (service, ranges) in &wanted.published.services {
            for port in &wanted.config.ports {
                let key = PoolKey { vpc_id: vpc_id.clone(), service: service.clone(), port: *port };
                let groups = by_key.remove(&key).unwrap_or_default();
                pools.push(PoolChanges::new(key, groups, ranges, wanted));
            }
        }
    }
    let mut notes = notes(&pools, wanted.config);
    // Not with each notice: a person reads it once.
    if wanted.run.looks_for_drift {
        notes.extend(aws_lists::notes(wanted.config, wanted.region));
    }
    let left_over = by_key.into_values().flatten();
    let left_over = left_over.filter_map(|group| LeftOver::new(group, &state.vpc_ids, wanted.config));
    let left_over = left_over.chain(state.not_adopted.iter().cloned().map(LeftOver::not_adopted)).collect();
    let is_obsolete = |group: &&Group| !group.sync_tokens.is_disjoint(wanted.order.ignored());
    let obsolete = state.groups.iter().filter(is_obsolete).map(|group| group.id.clone()).collect();
    Changes { pools, left_over, others: &state.others, obsolete, notes }
}

/// What a person should know though nothing failed: rules of others, and more groups than an interface takes.
fn notes(pools: &[PoolChanges<'_>], config: &Config) -> Vec<String> {
    let most = config.limits.groups_per_interface;
    let mut by_vpc: BTreeMap<&str, usize> = BTreeMap::new();
    for (vpc_id, size) in pools.iter().map(PoolChanges::size) {
        *by_vpc.entry(vpc_id).or_default() += size;
    }
    let too_many = by_vpc.into_iter().filter(|(_, count)| *count > most).map(|(vpc_id, count)| {
        format!("{vpc_id} has {count} groups for all services and ports together, and an interface takes {most}: attach to each only those of the ports it listens on")
    });
    let notes: BTreeSet<String> = pools.iter().flat_map(PoolChanges::notes).chain(too_many).collect();
    notes.into_iter().collect()
}

/// Creates, adds, attaches, removes; then, in the room that became free, the same again without creating. In a dry run, only
/// says what it would do. What other runs may do meanwhile: [`runs`].
pub(crate) async fn apply(ec2: &Ec2, changes: Changes<'_>, wanted: &Wanted<'_>) -> TargetReport {
    let Changes { pools, left_over, others, obsolete, notes } = changes;
    let mut report = TargetReport { notes, ..TargetReport::default() };
    let mut pools: Vec<PoolRun<'_>> = pools.into_iter().map(|pool| PoolRun::new(pool, wanted)).collect();
    if wanted.run.dry_run {
        pools.iter_mut().for_each(PoolRun::pretend);
        report.add(attach(ec2, &mut pools, wanted).await);
    } else {
        report.add(write(ec2, &mut pools, obsolete, wanted).await);
    }
    pools.into_iter().for_each(|pool| report.add(pool.finish()));
    report.add(left_over::report(ec2, &left_over, others, wanted.config).await);
    report
}

/// What a run that is not dry does, up to the reports of the pools.
async fn write(ec2: &Ec2, pools: &mut [PoolRun<'_>], obsolete: Vec<String>, wanted: &Wanted<'_>) -> TargetReport {
    let mut report = TargetReport::default();
    let announcement = Announcement::new(ec2, pools, wanted);
    let announced = announcement.make().await;
    let is_announced = announced.is_ok();
    let mut may_remove = is_announced;
    report.failures.extend(announced.err());
    join_all(pools.iter_mut().map(|pool| pool.create_and_fill(ec2))).await;
    report.add(attach(ec2, pools, wanted).await);
    join_all(pools.iter_mut().map(|pool| pool.unmark(ec2))).await;
    if may_remove && pools.iter().any(PoolRun::removes) {
        let no_other_run = announcement.no_other_run(pools).await;
        may_remove = no_other_run.is_ok();
        report.failures.extend(no_other_run.err().into_iter().flatten());
    }
    join_all(pools.iter_mut().map(|pool| pool.remove_stale(ec2, may_remove))).await;
    if pools.iter().any(PoolRun::has_written) {
        let is_stale = report.failures.iter().any(|failure| failure.kind == FailureKind::StaleDocument);
        let failures = announcement.verify_changes(pools).await;
        let is_new = |failure: &crate::failure::Failure| !(is_stale && failure.kind == FailureKind::StaleDocument);
        report.failures.extend(failures.into_iter().filter(is_new));
    }
    announcement.withdraw(is_announced).await;
    // Another run that is disturbed by this one may have written them just now.
    if may_remove {
        ec2.remove_sync_tokens(obsolete, wanted.order.ignored().clone()).await;
    }
    report
}

/// Attaches the groups where something is to be attached, or this run looks whether it is.
async fn attach(ec2: &Ec2, pools: &mut [PoolRun<'_>], wanted: &Wanted<'_>) -> TargetReport {
    let is_due = |pool: &PoolRun<'_>| pool.changes() || pool.is_unfinished();
    if !(wanted.run.looks_for_drift || pools.iter().any(is_due)) {
        return TargetReport::default();
    }
    let groups: Vec<PoolGroups> = pools.iter().filter_map(PoolRun::groups_to_attach).collect();
    let attached = interfaces::attach(ec2, &groups, wanted.config, wanted.run.dry_run).await;
    pools.iter_mut().for_each(|pool| pool.note_attached(&attached));
    TargetReport { failures: attached.failures, notes: attached.notes, ..TargetReport::default() }
}
