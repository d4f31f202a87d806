//! One Region: what is there, and bringing it in line with what is published.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::SdkConfig;
use aws_sdk_elasticloadbalancingv2 as elb;
use futures::future::join_all;
use ip_ranges_planner::document::Published;
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::{self, Bounds, Changes, Plan, Pool};
use ipnet::IpNet;
use tokio::sync::OnceCell;
use tracing::{debug, info, warn};

use crate::calls::Calls;
use crate::config::{Config, EgressPolicy, RegionConfig, Target};
use crate::ec2::{self, CallError};
use crate::group::{self, Group, PoolKey};
use crate::interfaces::{self, Attached, Wish};
use crate::prefix_list::{self, PrefixList};
use crate::report::{Failure, GroupReport, Kind, LeftOut, RegionReport};

/// The clients of one Region, and the VPCs to look after.
pub struct Region {
    name: String,
    vpc_ids: Vec<String>,
    default_vpc: OnceCell<String>,
    ec2: aws_sdk_ec2::Client,
    elb: elb::Client,
    calls: Calls,
}

/// What a Region holds when a run begins.
#[derive(Debug)]
pub enum Held {
    /// The VPCs and all groups with our tag.
    Groups {
        /// The VPCs.
        vpc_ids: Vec<String>,
        /// Groups that can be kept.
        groups: Vec<Group>,
        /// Why others cannot.
        notes: Vec<String>,
    },
    /// All prefix lists with our tag.
    PrefixLists(Vec<PrefixList>),
}

/// What holds for one run.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Change nothing.
    pub dry_run: bool,
    /// Let more go than `MAX_SHRINK_PERCENT` allows.
    pub force: bool,
}

impl Region {
    /// Clients for the Region, from the SDK's own configuration.
    #[must_use]
    pub fn new(region: &RegionConfig, sdk: &SdkConfig) -> Self {
        let name = aws_config::Region::new(region.name.clone());
        let calls = Calls::default();
        let ec2 = aws_sdk_ec2::config::Builder::from(sdk).region(name.clone()).interceptor(calls.clone());
        let elb = elb::config::Builder::from(sdk).region(name).interceptor(calls.clone());
        Self {
            name: region.name.clone(),
            vpc_ids: region.vpc_ids.clone(),
            default_vpc: OnceCell::new(),
            ec2: aws_sdk_ec2::Client::from_conf(ec2.build()),
            elb: elb::Client::from_conf(elb.build()),
            calls,
        }
    }

    /// Reads what is there. One call where the VPCs are known, pages aside.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn read(&self, config: &Config) -> Result<Held, CallError> {
        if config.target == Target::PrefixLists {
            return prefix_list::read(&self.ec2, &config.prefix_name).await.map(Held::PrefixLists);
        }
        let vpc_ids = if self.vpc_ids.is_empty() {
            vec![self.default_vpc.get_or_try_init(|| ec2::default_vpc(&self.ec2)).await?.clone()]
        } else {
            self.vpc_ids.clone()
        };
        let described = ec2::tagged_groups(&self.ec2, &config.prefix_name, &vpc_ids).await?;
        let mut groups = Vec::new();
        let mut notes = Vec::new();
        for group in &described {
            match Group::of(group) {
                Ok(group) => groups.push(group),
                Err(note) => notes.push(note),
            }
        }
        Ok(Held::Groups { vpc_ids, groups, notes })
    }

    /// Brings the Region in line with what is published, as far as that is safe, and says what was done and what was not.
    pub async fn reconcile(
        &self,
        held: Result<Held, CallError>,
        published: &Published,
        config: &Config,
        run: Run,
    ) -> RegionReport {
        let mut report = RegionReport { region: self.name.clone(), ..RegionReport::default() };
        match held {
            Ok(Held::Groups { vpc_ids, groups, notes }) => {
                debug!(region = self.name, ?vpc_ids, groups = groups.len(), "groups read");
                report.notes = notes;
                let pools = pools(&vpc_ids, groups, published, config, run, &mut report);
                self.reconcile_groups(pools, config, run, &mut report).await;
            }
            Ok(Held::PrefixLists(lists)) => {
                prefix_list::reconcile(&self.ec2, lists, published, config, run, &mut report).await;
            }
            Err(error) => report.failures.push(Failure::of("reading what is there", error.to_string())),
        }
        for note in &report.notes {
            warn!(region = self.name, note, "left as it is");
        }
        for group in report.groups.iter().filter(|group| group.is_changed() || !group.kept.is_empty()) {
            let GroupReport { group_id, name, added, removed, kept, attached, .. } = group;
            let (added, removed, kept) = (added.len(), removed.len(), kept.len());
            info!(region = self.name, group_id, name, added, removed, kept, ?attached, run.dry_run, "reconciled");
        }
        report.calls = self.calls.take();
        report.ec2_calls = report.calls.values().sum();
        report
    }

    /// Create, add, attach, remove; then, in the room that became free, the same again without creating.
    async fn reconcile_groups(
        &self,
        mut pools: Vec<PoolRun<'_>>,
        config: &Config,
        run: Run,
        report: &mut RegionReport,
    ) {
        if run.dry_run {
            pools.iter_mut().for_each(|pool| pool.pretend(&config.prefix_name));
        } else {
            join_all(pools.iter_mut().map(|pool| pool.create_and_fill(&self.ec2, &config.prefix_name))).await;
        }
        let wishes: Vec<Wish> = pools.iter().filter_map(PoolRun::wish).collect();
        let most = config.limits.groups_per_interface;
        let attached = interfaces::attach(&self.ec2, &self.elb, &wishes, most, run.dry_run).await;
        pools.iter_mut().for_each(|pool| pool.note_attached(&attached));
        report.failures.extend(attached.failures);
        if !run.dry_run {
            join_all(pools.iter_mut().map(|pool| pool.settle(&self.ec2, &attached.incomplete))).await;
        }
        for pool in pools {
            pool.finish(report);
        }
    }
}

/// Puts the groups into pools, one for each VPC, service and port, and plans each.
fn pools<'a>(
    vpc_ids: &[String],
    mut groups: Vec<Group>,
    published: &'a Published,
    config: &Config,
    run: Run,
    report: &mut RegionReport,
) -> Vec<PoolRun<'a>> {
    groups.sort_by(|a, b| (&a.key, a.number, &a.id).cmp(&(&b.key, b.number, &b.id)));
    let mut by_key: BTreeMap<PoolKey, Vec<Group>> = BTreeMap::new();
    for group in groups {
        by_key.entry(group.key.clone()).or_default().push(group);
    }
    let bounds = Bounds { limits: config.limits, max_shrink_percent: config.max_shrink_percent, force: run.force };
    let mut pools = Vec::new();
    for vpc_id in vpc_ids {
        for (service, wanted) in &published.services {
            for port in &config.ports {
                let key = PoolKey { vpc_id: vpc_id.clone(), service: service.clone(), port: *port };
                let groups = by_key.remove(&key).unwrap_or_default();
                pools.push(PoolRun::new(key, groups, wanted, bounds, config.egress));
            }
        }
    }
    report.notes.extend(notes(&by_key, &pools, config));
    pools
}

/// What a person should know though nothing fails: groups nobody keeps any more, and more groups than fit one interface.
fn notes(left_over: &BTreeMap<PoolKey, Vec<Group>>, pools: &[PoolRun<'_>], config: &Config) -> Vec<String> {
    let is_configured = |key: &PoolKey| config.services.contains(&key.service) && config.ports.contains(&key.port);
    let mut notes: Vec<String> = left_over
        .iter()
        .filter(|(key, _)| !is_configured(key))
        .flat_map(|(key, groups)| groups.iter().map(move |group| (key, group)))
        .map(|(key, group)| {
            format!(
                "{} ({}) holds {} ranges for port {}, which SERVICE and PORTS no longer name; its rules still let traffic in: delete it when nothing uses it",
                group.id, group.name, key.service, key.port
            )
        })
        .collect();
    let foreign = pools.iter().flat_map(|pool| &pool.groups).flatten().filter_map(|group| {
        let plan::Foreign { ipv4, ipv6 } = group.slot.foreign;
        (ipv4 + ipv6 > 0).then(|| {
            format!(
                "{} ({}) holds rules that are not kept by this function ({ipv4} count for IPv4, {ipv6} for IPv6)",
                group.id, group.name
            )
        })
    });
    notes.extend(foreign);
    let most = config.limits.groups_per_interface;
    let mut by_vpc: BTreeMap<&str, usize> = BTreeMap::new();
    for pool in pools {
        *by_vpc.entry(&pool.key.vpc_id).or_default() += pool.groups.len() + pool.plan.create;
    }
    notes.extend(by_vpc.into_iter().filter(|(_, count)| *count > most).map(|(vpc_id, count)| {
        format!("{vpc_id} has {count} groups for all services and ports together, and an interface takes {most}: attach to each only those of the ports it listens on")
    }));
    notes
}

/// The groups of one service and port, on their way from what they hold to what is wanted.
struct PoolRun<'a> {
    key: PoolKey,
    wanted: &'a BTreeSet<IpNet>,
    plan: Plan,
    /// By the plan's indices. `None`: it was to be created and could not be.
    groups: Vec<Option<Group>>,
    /// One for each of `groups`.
    reports: Vec<GroupReport>,
    /// Wanted ranges that could not be added.
    failed: BTreeSet<IpNet>,
    failures: Vec<Failure>,
    /// The families in which new groups may not let everything out.
    closed: Vec<Family>,
    /// Marked groups that let out more than they may.
    open: BTreeSet<String>,
}

/// The families in which a new group of the pool may not let everything out.
///
/// Groups on an interface add up, so a new group that lets everything out would lift the restrictions of the earlier
/// ones. It keeps EC2's rule only where every earlier group has it too. Other outbound rules of the earlier groups are
/// not copied: to let out less is always safe. Without earlier groups the setting decides.
fn closed(groups: &[Group], policy: EgressPolicy) -> Vec<Family> {
    let earlier: Vec<&Group> = groups.iter().filter(|group| !group.slot.pending).collect();
    let is_closed = |family: &Family| match earlier[..] {
        [] => policy == EgressPolicy::None,
        _ => !earlier.iter().all(|group| group.egress.lets_all_out(*family)),
    };
    Family::BOTH.into_iter().filter(is_closed).collect()
}

impl<'a> PoolRun<'a> {
    fn new(
        key: PoolKey,
        groups: Vec<Group>,
        wanted: &'a BTreeSet<IpNet>,
        bounds: Bounds,
        policy: EgressPolicy,
    ) -> Self {
        let closed = closed(&groups, policy);
        let pool = Pool { slots: groups.iter().map(|group| group.slot.clone()).collect() };
        let plan = plan::plan(&pool, wanted, bounds);
        debug!(vpc_id = key.vpc_id, service = key.service, port = %key.port, wanted = wanted.len(), ?plan, "planned");
        let reports = groups.iter().map(|group| report_of(group, false)).collect();
        let groups = groups.into_iter().map(Some).collect();
        Self {
            key,
            wanted,
            plan,
            groups,
            reports,
            failed: BTreeSet::new(),
            failures: Vec::new(),
            closed,
            open: BTreeSet::new(),
        }
    }

    /// The numbers that new groups get: the lowest that are free.
    fn new_numbers(&self) -> Vec<usize> {
        let taken: BTreeSet<usize> = self.groups.iter().flatten().map(|group| group.number).collect();
        (1..).filter(|number| !taken.contains(number)).take(self.plan.create).collect()
    }

    /// Whether something is to be done to new groups besides filling them, which the mark reminds later runs of: attaching
    /// them wherever the earlier ones are (the first of all are attached by a person), or taking outbound rules away.
    fn marks_new_groups(&self) -> bool {
        !self.groups.is_empty() || !self.closed.is_empty()
    }

    /// For a dry run: everything the plan would do, as if it had been done.
    fn pretend(&mut self, prefix_name: &str) {
        let pending = self.marks_new_groups();
        for number in self.new_numbers() {
            let name = group::name(prefix_name, &self.key, number);
            let group = Group::new(name.clone(), name, number, self.key.clone(), pending);
            self.reports.push(GroupReport { group_id: "(new)".to_owned(), ..report_of(&group, true) });
            self.groups.push(Some(group));
        }
        for (group, report) in self.groups.iter().zip(&mut self.reports) {
            report.egress_closed =
                group.as_ref().is_some_and(|group| group.slot.pending && needs_closing(group, report, &self.closed));
        }
        for round in &self.plan.rounds {
            for (index, ranges) in &round.add {
                self.reports[*index].added.extend(ranges);
            }
            for (index, ranges) in &round.remove {
                self.reports[*index].removed.extend(ranges);
            }
        }
    }

    /// Creates the missing groups, then does the first round of adding.
    async fn create_and_fill(&mut self, ec2: &aws_sdk_ec2::Client, prefix_name: &str) {
        let pending = self.marks_new_groups();
        let numbers = self.new_numbers();
        let created = numbers.iter().map(|number| ec2::create_group(ec2, prefix_name, &self.key, *number, pending));
        for (number, created) in numbers.iter().zip(join_all(created).await) {
            match created {
                Ok(group) => {
                    info!(group_id = group.id, name = group.name, vpc_id = self.key.vpc_id, "group created");
                    self.reports.push(report_of(&group, true));
                    self.groups.push(Some(group));
                }
                Err(error) => {
                    let what = format!("creating {}", group::name(prefix_name, &self.key, *number));
                    self.failures.push(Failure::of(what, error.to_string()));
                    self.reports.push(GroupReport::default());
                    self.groups.push(None);
                }
            }
        }
        self.close_egress(ec2).await;
        if let Some(first) = self.plan.rounds.first_mut() {
            let add = std::mem::take(&mut first.add);
            self.add(ec2, &add).await;
        }
    }

    /// Takes the outbound rules that are too much from the marked groups: those just made, and those of a run that broke.
    async fn close_egress(&mut self, ec2: &aws_sdk_ec2::Client) {
        let closed = &self.closed;
        let groups = self.groups.iter_mut().zip(&mut self.reports).filter_map(|(group, report)| {
            let group = group.as_mut().filter(|group| group.slot.pending)?;
            needs_closing(group, report, closed).then_some((group, report))
        });
        let results = join_all(groups.map(async |(group, report)| {
            match ec2::close_egress(ec2, &group.id, closed).await {
                Ok(egress) => {
                    info!(group_id = group.id, "outbound rules removed");
                    report.egress_closed = true;
                    group.egress = egress;
                    Ok(())
                }
                Err(error) => Err((group.id.clone(), error)),
            }
        }))
        .await;
        for (id, error) in results.into_iter().filter_map(Result::err) {
            let what = format!("removing the outbound rules of {id}, which is not attached before that is done");
            self.failures.push(Failure::of(what, error.to_string()));
            self.open.insert(id);
        }
    }

    /// What is to be attached where: the groups that are marked, wherever the others are.
    fn wish(&self) -> Option<Wish> {
        let ids = |pending: bool| {
            let groups = self.groups.iter().flatten().filter(move |group| group.slot.pending == pending);
            groups.map(|group| group.id.clone()).collect::<BTreeSet<_>>()
        };
        let (earlier, pending) = (ids(false), &ids(true) - &self.open);
        (!pending.is_empty()).then_some(Wish { earlier, pending })
    }

    fn note_attached(&mut self, attached: &Attached) {
        for (group, report) in self.groups.iter().flatten().zip(&mut self.reports) {
            if let Some(carriers) = attached.done.get(&group.id) {
                info!(group_id = group.id, ?carriers, "group attached");
                report.attached.extend(carriers.iter().cloned());
            }
        }
    }

    /// Takes the marks off, does the first round of removing, then the further rounds.
    async fn settle(&mut self, ec2: &aws_sdk_ec2::Client, unattached: &BTreeSet<String>) {
        let marked = self.groups.iter_mut().flatten().filter(|group| group.slot.pending);
        let mut attached = Vec::new();
        for group in marked.filter(|group| !unattached.contains(&group.id) && !self.open.contains(&group.id)) {
            group.slot.pending = false;
            attached.push(group.id.clone());
        }
        if !attached.is_empty() {
            let what = format!("taking the mark off {}", attached.join(", "));
            if let Err(error) = ec2::unmark(ec2, attached).await {
                self.failures.push(Failure::of(what, error.to_string()));
            }
        }
        for round in std::mem::take(&mut self.plan.rounds) {
            self.add(ec2, &round.add).await;
            self.remove(ec2, &round.remove).await;
        }
    }

    async fn add(&mut self, ec2: &aws_sdk_ec2::Client, changes: &Changes) {
        let calls = changes.iter().map(async |(index, ranges)| match &self.groups[*index] {
            Some(group) => Some(ec2::authorize(ec2, group, ranges).await),
            // That it could not be created is reported already.
            None => None,
        });
        let results = join_all(calls).await;
        for ((index, ranges), result) in changes.iter().zip(results) {
            if let Some(Ok(())) = result {
                self.reports[*index].added.extend(ranges);
                continue;
            }
            self.failed.extend(ranges);
            if let Some(Err(error)) = result {
                let what = format!("adding {} ranges to {}", ranges.len(), self.reports[*index].group_id);
                self.failures.push(Failure::of(what, error.to_string()));
            }
        }
    }

    async fn remove(&mut self, ec2: &aws_sdk_ec2::Client, changes: &Changes) {
        let missing = self.missing();
        for (index, ranges) in changes {
            let Some(group) = &self.groups[*index] else { continue };
            let going: BTreeSet<IpNet> =
                ranges.iter().filter(|range| !plan::overlaps(range, &missing)).copied().collect();
            if going.is_empty() {
                continue;
            }
            match ec2::revoke(ec2, group, &going).await {
                Ok(()) => self.reports[*index].removed.extend(going),
                Err(error) => {
                    let what = format!("removing {} ranges from {}", going.len(), group.id);
                    self.failures.push(Failure::of(what, error.to_string()));
                }
            }
        }
    }

    /// Wanted ranges that do not let in everybody they should: not added, or in a group that is not attached everywhere.
    /// Nothing that shares an address with them may be removed.
    fn missing(&self) -> BTreeSet<IpNet> {
        let mut missing = self.failed.clone();
        for (group, report) in self.groups.iter().zip(&self.reports) {
            if let Some(group) = group.as_ref().filter(|group| group.slot.pending) {
                missing.extend(&group.slot.ranges);
                missing.extend(&report.added);
            }
        }
        missing
    }

    /// Writes everything into the Region's report.
    fn finish(self, report: &mut RegionReport) {
        let Self { key, wanted, plan, groups, reports, failed, failures, closed: _, open: _ } = self;
        report.failures.extend(failures);
        let pool = format!("{} port {} in {}", key.service, key.port, key.vpc_id);
        if let Some(shrink) = plan.shrink {
            report.failures.push(Failure { kind: Kind::ShrinkRefused, what: pool.clone(), reason: shrink.to_string() });
        }
        if !plan.left_out.is_empty() {
            let reason = format!(
                "{} ranges have no room: raise the quotas and MAX_RULES_PER_GROUP or MAX_GROUPS_PER_INTERFACE, narrow SERVICE or RANGE_REGIONS, or use prefix lists",
                plan.left_out.len()
            );
            report.failures.push(Failure { kind: Kind::NoCapacity, what: pool, reason });
        }
        let ranges: BTreeSet<IpNet> = plan.left_out.union(&failed).copied().collect();
        if !ranges.is_empty() {
            let (service, port) = (key.service, key.port.to_string());
            report.left_out.push(LeftOut { vpc_id: Some(key.vpc_id), service, port, ranges });
        }
        for (group, mut done) in groups.into_iter().zip(reports) {
            let Some(group) = group else { continue };
            let stale = group.slot.ranges.difference(wanted).filter(|range| !done.removed.contains(range));
            done.kept = stale.copied().collect();
            report.groups.push(done);
        }
    }
}

/// Whether a marked group lets out more than it may. What a group just made lets out has not been read.
fn needs_closing(group: &Group, report: &GroupReport, closed: &[Family]) -> bool {
    !closed.is_empty() && (report.created || closed.iter().any(|family| group.egress.lets_all_out(*family)))
}

fn report_of(group: &Group, created: bool) -> GroupReport {
    GroupReport {
        vpc_id: Some(group.key.vpc_id.clone()),
        group_id: group.id.clone(),
        name: group.name.clone(),
        service: group.key.service.clone(),
        port: group.key.port.to_string(),
        created,
        ..GroupReport::default()
    }
}

#[cfg(test)]
mod tests;
