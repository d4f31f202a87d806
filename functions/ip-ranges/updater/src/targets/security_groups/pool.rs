//! The groups of one VPC, service and port, on their way from what they hold to what is wanted.

use std::cell::RefCell;
use std::collections::BTreeSet;

use aws_sdk_ec2::types::SecurityGroup;
use futures::future::join_all;
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::{self, Bounds, Changes, Plan, Pool};
use ipnet::IpNet;
use tracing::debug;

use crate::aws::caller::CallError;
use crate::aws::ec2::Ec2;
use crate::config::EgressPolicy;
use crate::report::{Differences, Failure, GroupReport, RangesWithoutRule, RegionReport};
use crate::targets::security_groups::group::{self, Group, PoolKey};
use crate::targets::security_groups::interfaces::{Attached, PoolGroups};

/// One pool in one run.
pub struct PoolRun<'a> {
    key: PoolKey,
    wanted: &'a BTreeSet<IpNet>,
    plan: Plan,
    /// With `CREATE=never`: how many groups the plan lacks.
    would_create: usize,
    /// By the plan's indices. `None`: it was to be created and could not be.
    members: Vec<Option<Member>>,
    /// Whether there were groups before this run. The first groups of all are attached by a person.
    had_groups: bool,
    /// The families in which new groups may not let everything out.
    closed: Vec<Family>,
    /// Wanted ranges whose call failed.
    not_added: BTreeSet<IpNet>,
    failures: Vec<Failure>,
}

/// A group, and what happened to it.
struct Member {
    group: Group,
    report: GroupReport,
    /// It lets out more than the earlier groups, so it is not attached.
    is_open: bool,
    /// An interface that should carry it does not.
    is_missing_somewhere: bool,
}

impl Member {
    fn of(group: Group, report: GroupReport) -> Self {
        let is_missing_somewhere = group.state.pending;
        Self { group, report, is_open: false, is_missing_somewhere }
    }

    /// Whether an interface that carries other groups of the pool needs it. An empty group lets nobody in and takes one of
    /// an interface's few places; one that lets out too much would lift the restrictions of the others.
    fn is_needed(&self) -> bool {
        !self.is_open && !self.ranges().is_empty()
    }

    /// What it holds now.
    fn ranges(&self) -> BTreeSet<IpNet> {
        let held = self.group.state.ranges.union(&self.report.added);
        held.filter(|range| !self.report.removed.contains(range)).copied().collect()
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
    /// Plans what to change in these groups.
    #[must_use]
    pub fn new(
        key: PoolKey,
        groups: Vec<Group>,
        wanted: &'a BTreeSet<IpNet>,
        bounds: Bounds<'_>,
        policy: EgressPolicy,
    ) -> Self {
        let pool = Pool { groups: groups.iter().map(|group| group.state.clone()).collect() };
        let plan = plan::plan(&pool, wanted, bounds);
        let would_create = if bounds.may_create || plan.left_out.is_empty() {
            0
        } else {
            plan::plan(&pool, wanted, Bounds { may_create: true, ..bounds }).create
        };
        debug!(vpc_id = key.vpc_id, service = key.service, port = %key.port, wanted = wanted.len(), ?plan, "planned");
        Self {
            closed: closed(&groups, policy),
            had_groups: !groups.is_empty(),
            members: groups.into_iter().map(|group| Some(Member::of_existing(group))).collect(),
            key,
            wanted,
            plan,
            would_create,
            not_added: BTreeSet::new(),
            failures: Vec::new(),
        }
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().flatten()
    }

    /// The VPC, and how many groups the pool will have.
    #[must_use]
    pub fn size(&self) -> (&str, usize) {
        (&self.key.vpc_id, self.members.len() + self.plan.create)
    }

    /// Whether rules are to change.
    #[must_use]
    pub fn changes(&self) -> bool {
        !self.plan.is_empty()
    }

    /// Whether a group is not ready: a run broke, or could not finish it.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.members().any(|member| member.group.state.pending)
    }

    /// Whether ranges are to be removed.
    #[must_use]
    pub fn removes(&self) -> bool {
        self.plan.rounds.iter().any(|round| !round.remove.is_empty())
    }

    /// The groups whose rules are about to change, with the tokens they are tagged with.
    pub fn to_tag(&self) -> impl Iterator<Item = (String, &BTreeSet<u64>)> {
        let groups = self.members().map(|member| &member.group).filter(|_| self.changes());
        groups.map(|group| (group.id.clone(), &group.sync_tokens))
    }

    /// The groups that are tagged with one of these tokens.
    pub fn tagged_with(&self, tokens: &BTreeSet<u64>) -> impl Iterator<Item = String> {
        let groups = self.members().map(|member| &member.group);
        groups.filter(|group| !group.sync_tokens.is_disjoint(tokens)).map(|group| group.id.clone())
    }

    /// Wanted ranges that were there when the run began, and that a later look does not show: something else removed
    /// them. `described`: all groups of the Region.
    #[must_use]
    pub fn gone(&self, described: &[SecurityGroup]) -> BTreeSet<IpNet> {
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

    /// What a person should know about the groups though nothing failed.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.members().filter_map(|Member { group, .. }| {
            let plan::Foreign { ipv4, ipv6 } = group.state.foreign;
            (ipv4 + ipv6 > 0).then(|| {
                format!(
                    "{} ({}) holds rules that are not kept by this function ({ipv4} count for IPv4, {ipv6} for IPv6)",
                    group.id, group.name
                )
            })
        })
    }

    /// The numbers that new groups get: the lowest that are free, one each time it is asked.
    fn numbers(&self) -> impl Fn() -> usize + use<> {
        let taken: BTreeSet<usize> = self.members().map(|member| member.group.number).collect();
        let free = RefCell::new((1..).filter(move |number| !taken.contains(number)));
        move || free.borrow_mut().next().unwrap_or_default()
    }

    /// Whether something is to be done to new groups besides filling them, which the mark reminds later runs of.
    fn marks_new_groups(&self) -> bool {
        self.had_groups || !self.closed.is_empty()
    }

    /// For a dry run: everything the plan would do, as if it had been done.
    pub fn pretend(&mut self, prefix_name: &str) {
        let number = self.numbers();
        let is_pending = self.marks_new_groups();
        for number in (0..self.plan.create).map(|_| number()) {
            let name = group::name(prefix_name, &self.key, number);
            let group = Group::new(name.clone(), name, number, self.key.clone(), is_pending);
            let mut member = Member::of_created(group);
            member.report.group_id = "(new)".to_owned();
            self.members.push(Some(member));
        }
        let closed = &self.closed;
        for member in self.members.iter_mut().flatten().filter(|member| member.group.needs_closing(closed)) {
            member.report.egress_closed = true;
            member.group.egress = std::mem::take(&mut member.group.egress).without(closed);
        }
        for round in &self.plan.rounds {
            for (index, ranges) in &round.add {
                if let Some(member) = &mut self.members[*index] {
                    member.report.added.extend(ranges);
                }
            }
            for (index, ranges) in &round.remove {
                if let Some(member) = &mut self.members[*index] {
                    member.report.removed.extend(ranges);
                }
            }
        }
    }

    /// Creates the missing groups, closes those that have to be, then does the first round of adding.
    pub async fn create_and_fill(&mut self, ec2: &Ec2, prefix_name: &str, sync_token: u64) {
        let next_number = self.numbers();
        let is_pending = self.marks_new_groups();
        let created = (0..self.plan.create)
            .map(|_| ec2.create_group(prefix_name, &self.key, &next_number, is_pending, sync_token));
        for created in join_all(created).await {
            match created {
                Ok(group) => self.members.push(Some(Member::of_created(group))),
                Err(error) => {
                    let what = format!("creating a group for {}", self.name());
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
                member.report.egress_closed = true;
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
    #[must_use]
    pub fn groups_to_attach(&self) -> Option<PoolGroups> {
        let needed = self.members().filter(|member| member.is_needed());
        let groups = self.members().map(|member| (member.group.id.clone(), member.group.egress.clone()));
        let created = self.members().filter(|member| member.group.just_created);
        self.had_groups.then(|| PoolGroups {
            vpc_id: self.key.vpc_id.clone(),
            owner_id: self.members().map(|member| member.group.owner_id.clone()).max().unwrap_or_default(),
            needed: needed.map(|member| member.group.id.clone()).collect(),
            groups: groups.collect(),
            just_created: created.map(|member| member.group.id.clone()).collect(),
        })
    }

    /// Notes where the groups are now, and where not.
    pub fn note_attached(&mut self, attached: &Attached) {
        for member in self.members.iter_mut().flatten() {
            let id = &member.group.id;
            member.report.attached.extend(attached.done.get(id).into_iter().flatten().cloned());
            member.is_missing_somewhere = member.is_open || attached.incomplete.contains(id);
        }
    }

    /// Takes the marks off the groups that are ready.
    pub async fn unmark(&mut self, ec2: &Ec2) {
        let is_ready = |member: &&mut Member| {
            member.group.state.pending && !member.is_missing_somewhere && !member.ranges().is_empty()
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
    pub async fn settle(&mut self, ec2: &Ec2, may_remove: bool) {
        for round in std::mem::take(&mut self.plan.rounds) {
            if may_remove {
                self.add(ec2, &round.add).await;
                self.remove(ec2, &round.remove).await;
            } else {
                self.not_added.extend(round.add.values().flatten());
            }
        }
    }

    async fn add(&mut self, ec2: &Ec2, changes: &Changes) {
        let calls = changes.iter().map(async |(index, ranges)| match &self.members[*index] {
            Some(member) => Some(ec2.authorize(&member.group, ranges).await),
            // That it could not be created is reported already.
            None => None,
        });
        let results = join_all(calls).await;
        for ((index, ranges), result) in changes.iter().zip(results) {
            match (&mut self.members[*index], result) {
                (Some(member), Some(Ok(()))) => member.report.added.extend(ranges),
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

    async fn remove(&mut self, ec2: &Ec2, changes: &Changes) {
        let missing = self.missing();
        let calls = changes.iter().map(async |(index, ranges)| {
            let member = self.members[*index].as_ref()?;
            let is_free = |range: &&IpNet| !plan::overlaps(range, &missing);
            let going: BTreeSet<IpNet> = ranges.iter().filter(is_free).copied().collect();
            if going.is_empty() {
                return None;
            }
            let result = ec2.revoke(&member.group, &going).await;
            Some((*index, going, result))
        });
        for (index, going, result) in join_all(calls).await.into_iter().flatten() {
            let Some(member) = &mut self.members[index] else { continue };
            match result {
                Ok(()) => member.report.removed.extend(going),
                Err(error) => {
                    if let CallError::NotRemoved(present) = &error {
                        member.report.removed.extend(going.difference(present));
                    }
                    let what = format!("removing {} ranges from {}", going.len(), member.group.id);
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
            missing.extend(member.ranges());
        }
        missing
    }

    /// How a later look at the groups differs from what this run believes to be in them: wanted ranges that are gone, and
    /// ranges that it has not seen before. `described`: all groups of the Region.
    #[must_use]
    pub fn differences(&self, described: &[SecurityGroup]) -> Differences {
        let held = self.held(described);
        let believed: BTreeSet<IpNet> = self.members().flat_map(Member::ranges).collect();
        Differences {
            removed: self
                .wanted
                .iter()
                .filter(|range| believed.contains(range) && !held.contains(range))
                .copied()
                .collect(),
            added: held.difference(&believed).copied().collect(),
        }
    }

    /// Whether this run wrote rules.
    #[must_use]
    pub fn has_written(&self) -> bool {
        self.members().any(|member| !member.report.added.is_empty() || !member.report.removed.is_empty())
    }

    /// The pool in words.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} port {} in {}", self.key.service, self.key.port, self.key.vpc_id)
    }

    /// Writes everything into the Region's report.
    pub fn finish(self, prefix_name: &str, report: &mut RegionReport) {
        let pool = self.name();
        let empty =
            self.members().filter(|member| member.group.id == member.report.group_id && member.ranges().is_empty());
        let empty = empty.filter(|member| !member.report.created);
        report.notes.extend(empty.map(|Member { group, .. }| {
            format!(
                "{} ({}) is empty: the pool does not need it now. Detach it to free its place on the interfaces; it is attached again when it is needed",
                group.id, group.name
            )
        }));
        report.failures.extend(self.failures);
        report.failures.extend(self.plan.brake.map(|brake| Failure::braked(&pool, &brake)));
        let without_rule = |ranges| RangesWithoutRule {
            vpc_id: Some(self.key.vpc_id.clone()),
            service: self.key.service.clone(),
            port: Some(self.key.port.to_string()),
            family: None,
            ranges,
        };
        if !self.plan.left_out.is_empty() {
            let advice = if self.would_create > 0 {
                format!(
                    "CREATE=never, so no group is created. Create {} security group(s) in {} with the tags {}={prefix_name}, {}={} and {}={}, and add the ids to ADOPT",
                    self.would_create,
                    self.key.vpc_id,
                    group::PREFIX_NAME_TAG,
                    group::SERVICE_TAG,
                    self.key.service,
                    group::PORT_TAG,
                    self.key.port
                )
            } else {
                "raise the quotas and MAX_RULES_PER_GROUP or MAX_GROUPS_PER_INTERFACE, or narrow SERVICE or RANGE_REGIONS"
                    .to_owned()
            };
            report.failures.push(Failure::no_capacity(pool, self.plan.left_out.len(), &advice));
            report.left_out.push(without_rule(self.plan.left_out));
        }
        if !self.not_added.is_empty() {
            report.not_added.push(without_rule(self.not_added));
        }
        for member in self.members.into_iter().flatten() {
            let is_in_use = member.is_needed();
            let Member { group, report: mut done, .. } = member;
            let stale = group.state.ranges.difference(self.wanted).filter(|range| !done.removed.contains(range));
            done.kept = stale.copied().collect();
            done.is_in_use = is_in_use;
            report.groups.push(done);
        }
    }
}

impl Group {
    /// Whether it is not ready and lets out more than it may.
    fn needs_closing(&self, closed: &[Family]) -> bool {
        self.state.pending && closed.iter().any(|family| self.egress.lets_all_out(*family))
    }
}

impl Member {
    fn of_existing(group: Group) -> Self {
        let report = GroupReport::of_group(&group, false);
        Self::of(group, report)
    }

    fn of_created(group: Group) -> Self {
        let report = GroupReport::of_group(&group, true);
        Self::of(group, report)
    }
}
