//! The groups of one VPC, service and port: what is to change in them, and the run that changes it.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::SecurityGroup;
use futures::future::join_all;
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::{self, Changes as RangeChanges, Foreign, Plan, Pool, Quotas};
use ipnet::IpNet;
use tracing::debug;

use super::group::{self, Group, PoolKey};
use super::interfaces::{Attached, PoolGroups};
use crate::aws::caller::CallError;
use crate::aws::ec2::Ec2;
use crate::config::EgressPolicy;
use crate::failure::Failure;
use crate::report::TargetReport;
use crate::tags::{PORT_TAG, PREFIX_NAME_TAG, SERVICE_TAG};
use crate::targets::{Advice, Label, NEW, Outcome, PoolOutcome, Wanted, free_numbers, pretend};

/// What to change in the groups of one VPC, service and port.
#[derive(Debug)]
pub(super) struct PoolChanges<'a> {
    key: PoolKey,
    /// By the plan's indices.
    groups: Vec<Group>,
    wanted: &'a BTreeSet<IpNet>,
    plan: Plan,
    /// The families in which new groups may not let everything out.
    closed: Vec<Family>,
}

impl<'a> PoolChanges<'a> {
    /// Compares the groups with what is wanted.
    pub(super) fn new(key: PoolKey, groups: Vec<Group>, ranges: &'a BTreeSet<IpNet>, wanted: &Wanted<'_>) -> Self {
        let limits = wanted.config.limits;
        let quotas = Quotas { ranges_per_resource: limits.rules_per_group, max_resources: limits.groups_per_interface };
        let pool = Pool { resources: groups.iter().map(|group| group.state.clone()).collect() };
        let plan = plan::plan(&pool, ranges, wanted.bounds(quotas));
        debug!(vpc_id = key.vpc_id, service = key.service, port = %key.port, wanted = ranges.len(), ?plan, "planned");
        Self { closed: closed(&groups, wanted.config.egress), key, groups, wanted: ranges, plan }
    }

    /// The VPC, and how many groups the pool will have.
    pub(super) fn size(&self) -> (&str, usize) {
        (&self.key.vpc_id, self.groups.len() + self.plan.create)
    }

    /// What a person should know about the groups though nothing failed.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.groups.iter().filter_map(|group| {
            let Foreign { ipv4, ipv6 } = group.state.foreign;
            (ipv4 + ipv6 > 0).then(|| {
                format!(
                    "{} ({}) holds rules that are not kept by this function ({ipv4} count for IPv4, {ipv6} for IPv6)",
                    group.id, group.name
                )
            })
        })
    }
}

/// One pool in one run.
pub(super) struct PoolRun<'a> {
    key: PoolKey,
    wanted: &'a BTreeSet<IpNet>,
    plan: Plan,
    /// By the plan's indices. `None`: it was to be created and could not be.
    members: Vec<Option<Member>>,
    /// Whether there were groups before this run. The first groups of all are attached by a person.
    had_groups: bool,
    closed: Vec<Family>,
    prefix_name: &'a str,
    sync_token: u64,
    /// Wanted ranges whose call failed, or that wait for a removal that is not made.
    not_added: BTreeSet<IpNet>,
    failures: Vec<Failure>,
}

/// A group, and what happened to it.
struct Member {
    group: Group,
    outcome: Outcome,
    /// It lets out more than the earlier groups, so it is not attached.
    is_open: bool,
    /// An interface that should carry it does not.
    is_missing_somewhere: bool,
}

impl Member {
    fn of_existing(group: Group) -> Self {
        let (id, name, ranges) = (group.id.clone(), group.name.clone(), group.state.ranges.clone());
        let outcome = Outcome::of_existing(Label::from(&group.key), id, name, ranges);
        Self::new(group, outcome)
    }

    /// One of that name may have been there already, from a run that broke.
    fn of_created(group: Group) -> Self {
        let mut member = Self::of_existing(group);
        member.outcome.report.created = true;
        member
    }

    fn new(group: Group, outcome: Outcome) -> Self {
        let is_missing_somewhere = group.state.pending;
        Self { group, outcome, is_open: false, is_missing_somewhere }
    }

    /// Whether an interface that carries other groups of the pool needs it. An empty group lets nobody in and takes one of
    /// an interface's few places; one that lets out too much would lift the restrictions of the others.
    fn is_needed(&self) -> bool {
        !self.is_open && !self.outcome.ranges().is_empty()
    }
}

/// The families in which a new group of the pool may not let everything out.
///
/// Groups on an interface add up, so a new group that lets everything out would lift the restrictions of the earlier
/// ones. It keeps EC2's rule only where every earlier group has it too. Other outbound rules of the earlier groups are
/// not copied: to let out less is always safe. Without earlier groups the setting decides.
fn closed(groups: &[Group], policy: EgressPolicy) -> Vec<Family> {
    let earlier: Vec<&Group> = groups.iter().filter(|group| !group.state.pending).collect();
    let is_closed = |family: &Family| match earlier[..] {
        [] => policy == EgressPolicy::None,
        _ => !earlier.iter().all(|group| group.egress.lets_all_out(*family)),
    };
    Family::BOTH.into_iter().filter(is_closed).collect()
}

impl<'a> PoolRun<'a> {
    pub(super) fn new(changes: PoolChanges<'a>, wanted: &Wanted<'a>) -> Self {
        let PoolChanges { key, groups, wanted: ranges, plan, closed } = changes;
        Self {
            had_groups: !groups.is_empty(),
            members: groups.into_iter().map(|group| Some(Member::of_existing(group))).collect(),
            key,
            wanted: ranges,
            plan,
            closed,
            prefix_name: &wanted.config.prefix_name,
            sync_token: wanted.published.sync_token,
            not_added: BTreeSet::new(),
            failures: Vec::new(),
        }
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().flatten()
    }

    /// Whether rules are to change.
    pub(super) fn changes(&self) -> bool {
        !self.plan.is_empty()
    }

    /// Whether a group is not ready: a run broke, or could not finish it.
    pub(super) fn is_unfinished(&self) -> bool {
        self.members().any(|member| member.group.state.pending)
    }

    /// Whether ranges are to be removed.
    pub(super) fn removes(&self) -> bool {
        self.plan.removes()
    }

    /// The groups whose rules are about to change.
    pub(super) fn to_change(&self) -> impl Iterator<Item = &Group> {
        self.members().map(|member| &member.group).filter(|_| self.changes())
    }

    /// Wanted ranges that were there when the run began, and that a later look does not show: something else removed
    /// them. `described`: all groups of the Region.
    pub(super) fn removed_by_others(&self, described: &[SecurityGroup]) -> BTreeSet<IpNet> {
        let held = self.held(described);
        let before = self.members().flat_map(|member| &member.group.state.ranges);
        before.filter(|range| self.wanted.contains(range) && !held.contains(range)).copied().collect()
    }

    /// What the groups of the pool hold. `described`: all groups of the Region.
    fn held(&self, described: &[SecurityGroup]) -> BTreeSet<IpNet> {
        let ids: BTreeSet<&str> = self.members().map(|member| member.group.id.as_str()).collect();
        let ours = described.iter().filter(|group| group.group_id().is_some_and(|id| ids.contains(id)));
        ours.flat_map(|group| group::state(group.ip_permissions(), self.key.port).ranges).collect()
    }

    /// Whether something is to be done to new groups besides filling them, which the mark reminds later runs of.
    fn marks_new_groups(&self) -> bool {
        self.had_groups || !self.closed.is_empty()
    }

    /// The numbers that new groups get.
    fn free_numbers(&self) -> impl Fn() -> usize + use<> {
        free_numbers(self.members().map(|member| member.group.number).collect::<Vec<_>>())
    }

    /// For a dry run.
    pub(super) fn pretend(&mut self) {
        let (next_number, is_pending) = (self.free_numbers(), self.marks_new_groups());
        for _ in 0..self.plan.create {
            let number = next_number();
            let name = group::name(self.prefix_name, &self.key, number);
            let group = Group::new(NEW.to_owned(), name, number, self.key.clone(), is_pending);
            self.members.push(Some(Member::of_created(group)));
        }
        let closed = &self.closed;
        for member in self.members.iter_mut().flatten().filter(|member| member.group.needs_closing(closed)) {
            member.outcome.report.egress_closed = true;
            member.group.egress = std::mem::take(&mut member.group.egress).without(closed);
        }
        pretend(&self.plan, self.members.iter_mut().flatten().map(|member| &mut member.outcome));
    }

    /// Creates the missing groups, closes those that have to be, then does the first round of adding.
    pub(super) async fn create_and_fill(&mut self, ec2: &Ec2) {
        let (next_number, is_pending) = (self.free_numbers(), self.marks_new_groups());
        let created = (0..self.plan.create)
            .map(|_| ec2.create_group(self.prefix_name, &self.key, &next_number, is_pending, self.sync_token));
        for created in join_all(created).await {
            match created {
                Ok(group) => self.members.push(Some(Member::of_created(group))),
                Err(error) => {
                    let what = format!("creating a group for {}", self.label());
                    self.failures.push(Failure::of(what, &error));
                    self.members.push(None);
                }
            }
        }
        self.close_egress(ec2).await;
        if let Some(first) = self.plan.rounds.first_mut() {
            let add = std::mem::take(&mut first.add);
            self.add(ec2, &add).await;
        }
    }

    /// Takes the outbound rules that are too much from the groups that are not ready: those just created, and those of a
    /// run that broke.
    async fn close_egress(&mut self, ec2: &Ec2) {
        let closed = &self.closed;
        let members = self.members.iter_mut().flatten().filter(|member| member.group.needs_closing(closed));
        let failures = members.map(async |member| match ec2.close_egress(&member.group, closed).await {
            Ok(egress) => {
                member.group.egress = egress;
                member.outcome.report.egress_closed = true;
                None
            }
            Err(error) => {
                member.is_open = true;
                let id = &member.group.id;
                let what = format!("removing the outbound rules of {id}, which is not attached before that is done");
                Some(Failure::of(what, &error))
            }
        });
        let failures = join_all(failures).await;
        self.failures.extend(failures.into_iter().flatten());
    }

    /// The groups that belong together on an interface. `None` for the first groups of all, which no interface carries.
    pub(super) fn groups_to_attach(&self) -> Option<PoolGroups> {
        let needed = self.members().filter(|member| member.is_needed());
        let groups = self.members().map(|member| (member.group.id.clone(), member.group.egress.clone()));
        let created = self.members().filter(|member| member.group.just_created);
        self.had_groups.then(|| PoolGroups {
            vpc_id: self.key.vpc_id.clone(),
            owner_id: self.members().find_map(|member| member.group.owner_id.clone()),
            needed: needed.map(|member| member.group.id.clone()).collect(),
            groups: groups.collect(),
            just_created: created.map(|member| member.group.id.clone()).collect(),
        })
    }

    /// Notes where the groups are now, and where not.
    pub(super) fn note_attached(&mut self, attached: &Attached) {
        for member in self.members.iter_mut().flatten() {
            let id = &member.group.id;
            member.outcome.report.attached.extend(attached.done.get(id).into_iter().flatten().cloned());
            member.is_missing_somewhere = member.is_open || attached.incomplete.contains(id);
        }
    }

    /// Takes the marks off the groups that are ready.
    pub(super) async fn unmark(&mut self, ec2: &Ec2) {
        let is_ready = |member: &&mut Member| {
            member.group.state.pending && !member.is_missing_somewhere && !member.outcome.ranges().is_empty()
        };
        let ready: Vec<_> = self.members.iter_mut().flatten().filter(is_ready).collect();
        let ids: Vec<_> = ready.iter().map(|member| member.group.id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        let what = format!("taking the mark off {}", ids.join(", "));
        match ec2.unmark(ids).await {
            Ok(()) => ready.into_iter().for_each(|member| member.group.state.pending = false),
            Err(error) => self.failures.push(Failure::of(what, &error)),
        }
    }

    /// Removes what is stale, then does the further rounds. Without `may_remove`, only what can be added is.
    pub(super) async fn remove_stale(&mut self, ec2: &Ec2, may_remove: bool) {
        for round in std::mem::take(&mut self.plan.rounds) {
            if may_remove {
                self.add(ec2, &round.add).await;
                self.remove(ec2, &round.remove).await;
            } else {
                self.not_added.extend(round.add.values().flatten());
            }
        }
    }

    async fn add(&mut self, ec2: &Ec2, changes: &RangeChanges) {
        let calls = changes.iter().map(async |(index, ranges)| match &self.members[*index] {
            Some(member) => Some(ec2.authorize(&member.group, ranges).await),
            // That it could not be created is reported already.
            None => None,
        });
        let results = join_all(calls).await;
        for ((index, ranges), result) in changes.iter().zip(results) {
            match (&mut self.members[*index], result) {
                (Some(member), Some(Ok(()))) => member.outcome.report.added.extend(ranges),
                (member, result) => {
                    self.not_added.extend(ranges);
                    if let (Some(member), Some(Err(error))) = (member, result) {
                        let what = format!("adding {} ranges to {}", ranges.len(), member.group.id);
                        self.failures.push(Failure::of(what, &error));
                    }
                }
            }
        }
    }

    async fn remove(&mut self, ec2: &Ec2, changes: &RangeChanges) {
        let missing = self.missing();
        let calls = changes.iter().map(async |(index, ranges)| {
            let member = self.members[*index].as_ref()?;
            let is_free = |range: &&IpNet| !plan::overlaps(range, &missing);
            let to_remove: BTreeSet<IpNet> = ranges.iter().filter(is_free).copied().collect();
            if to_remove.is_empty() {
                return None;
            }
            let result = ec2.revoke(&member.group, &to_remove).await;
            Some((*index, to_remove, result))
        });
        for (index, to_remove, result) in join_all(calls).await.into_iter().flatten() {
            let Some(member) = &mut self.members[index] else { continue };
            match result {
                Ok(()) => member.outcome.report.removed.extend(to_remove),
                Err(error) => {
                    if let CallError::NotRemoved(present) = &error {
                        member.outcome.report.removed.extend(to_remove.difference(present));
                    }
                    let what = format!("removing {} ranges from {}", to_remove.len(), member.group.id);
                    self.failures.push(Failure::of(what, &error));
                }
            }
        }
    }

    /// Wanted ranges that do not let in everybody they should: not added, or in a group that is not attached everywhere.
    /// Nothing that shares an address with them may be removed.
    fn missing(&self) -> BTreeSet<IpNet> {
        let mut missing = self.not_added.clone();
        for member in self.members().filter(|member| member.is_missing_somewhere) {
            missing.extend(member.outcome.ranges());
        }
        missing
    }

    /// How a later look at the groups differs from what this run believes to be in them: wanted ranges that were removed, and
    /// ranges that it has not seen before. `described`: all groups of the Region.
    pub(super) fn differences(&self, described: &[SecurityGroup]) -> (BTreeSet<IpNet>, BTreeSet<IpNet>) {
        let held = self.held(described);
        let believed: BTreeSet<IpNet> = self.members().flat_map(|member| member.outcome.ranges()).collect();
        let removed = believed.intersection(self.wanted).filter(|range| !held.contains(range)).copied().collect();
        (removed, &held - &believed)
    }

    /// Whether this run wrote rules.
    pub(super) fn has_written(&self) -> bool {
        self.members()
            .any(|Member { outcome, .. }| !outcome.report.added.is_empty() || !outcome.report.removed.is_empty())
    }

    /// The pool in the report.
    pub(super) fn label(&self) -> Label {
        Label::from(&self.key)
    }

    /// What became of the pool.
    pub(super) fn finish(self) -> TargetReport {
        let Self { key, wanted, plan, members, prefix_name, failures, .. } = self;
        let advice = Advice {
            create: format!(
                "CREATE=never, so no group is created. Create {} security group(s) in {} with the tags {PREFIX_NAME_TAG}={prefix_name}, {SERVICE_TAG}={} and {PORT_TAG}={}, and add the ids to ADOPT",
                plan.would_create, key.vpc_id, key.service, key.port
            ),
            narrow: "raise the quotas and MAX_RULES_PER_GROUP or MAX_GROUPS_PER_INTERFACE, or narrow SERVICE or RANGE_REGIONS",
        };
        let mut notes = Vec::new();
        let mut outcomes = Vec::new();
        for mut member in members.into_iter().flatten() {
            let is_empty = member.outcome.ranges().is_empty();
            if is_empty && !member.outcome.report.created {
                notes.push(format!(
                    "{} ({}) is empty: the pool does not need it now. Detach it to free its place on the interfaces; it is attached again when it is needed",
                    member.group.id, member.group.name
                ));
            }
            member.outcome.report.is_in_use = member.is_needed();
            outcomes.push(member.outcome);
        }
        let label = Label::from(&key);
        let mut report = PoolOutcome { label, wanted, plan, advice, outcomes, failures }.finish();
        report.notes = notes;
        report
    }
}

impl Group {
    /// Whether it is not ready and lets out more than it may.
    fn needs_closing(&self, closed: &[Family]) -> bool {
        self.state.pending && closed.iter().any(|family| self.egress.lets_all_out(*family))
    }
}
