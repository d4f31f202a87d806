//! The other target: customer-managed prefix lists, for each service and address family as many as needed.
//!
//! A list counts with its `MaxEntries`, not with its entries, against the rules of every group that refers to it. So a
//! list is no larger than `MAX_ENTRIES_PER_LIST`, and its size follows its entries, up and down.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::types::{
    AddPrefixListEntry, Filter, ManagedPrefixList, PrefixListState, RemovePrefixListEntry, ResourceType,
};
use futures::future::join_all;
use ip_ranges_planner::document::Published;
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::{self, Bounds, Changes, GroupState, Limits, Plan, Pool};
use ipnet::IpNet;
use tracing::{debug, info};

use crate::aws::caller::{CallError, FIRST_PAUSE, LONGEST_PAUSE};
use crate::aws::ec2::Ec2;
use crate::config::{Adopt, Config, CreatePolicy};
use crate::report::{Failure, GroupReport, Ignored, RangesWithoutRule, RegionReport};
use crate::run::Run;
use crate::targets::security_groups::group::{self, FAMILY_TAG, FamilyKey, Follows, PREFIX_NAME_TAG, SERVICE_TAG};

/// The most additions, and the most removals, of one call.
///
/// Source: EC2 API reference, ModifyManagedPrefixList: AddEntry.N and RemoveEntry.N, "Maximum number of 100 items" each.
const BATCH: usize = 100;
/// VPC quota "Prefix lists per Region": 100. More lists for one service and family are never planned.
const MOST_LISTS: usize = 100;
/// The first pause before a list is asked whether it is ready.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// A prefix list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixList {
    id: String,
    name: String,
    key: FamilyKey,
    version: i64,
    max_entries: usize,
    entries: BTreeSet<IpNet>,
    sync_tokens: BTreeSet<u64>,
    just_created: bool,
}

impl PrefixList {
    /// The `syncToken` of each document that it is tagged with.
    pub fn sync_tokens(&self) -> impl Iterator<Item = u64> {
        self.sync_tokens.iter().copied()
    }

    /// Reads a list that EC2 described, without its entries. One that does not have the name of this function's lists has
    /// to be named in `ADOPT`, as a group has; only who may write the entries of a list can rename it.
    fn of(described: &ManagedPrefixList, prefix_name: &str, adopt: &Adopt) -> Result<Self, String> {
        let id = described.prefix_list_id().unwrap_or_default().to_owned();
        let tag = |key| {
            group::tag(described.tags(), key)
                .ok_or_else(|| format!("{id} has the tag {PREFIX_NAME_TAG} and no tag {key}; it was left as it is"))
        };
        let key = FamilyKey {
            service: tag(SERVICE_TAG)?.to_owned(),
            family: tag(FAMILY_TAG)?.parse().map_err(|expected| {
                format!("{id} has a tag {FAMILY_TAG} that is not understood, {expected}; it was left as it is")
            })?,
        };
        let name = described.prefix_list_name().unwrap_or_default().to_owned();
        let is_own = group::number(&name) > 0 && name == self::name(prefix_name, &key, group::number(&name));
        if !is_own && !adopt.includes(&id) {
            return Err(group::not_adopted(&id, &name, &format!("the name {}", self::name(prefix_name, &key, 1))));
        }
        Ok(Self {
            name,
            key,
            version: described.version().unwrap_or_default(),
            max_entries: max_entries(described),
            entries: BTreeSet::new(),
            sync_tokens: group::sync_tokens(described.tags()),
            just_created: false,
            id,
        })
    }
}

/// The name of a list.
fn name(prefix_name: &str, key: &FamilyKey, number: usize) -> String {
    format!("{prefix_name}_{}_{}_{number}", key.service, key.family)
}

fn max_entries(described: &ManagedPrefixList) -> usize {
    described.max_entries().and_then(|most| usize::try_from(most).ok()).unwrap_or_default()
}

/// All prefix lists with our tag that can be kept, with what is in them, and why others cannot be kept.
///
/// # Errors
///
/// [`CallError`].
pub async fn read(ec2: &Ec2, config: &Config) -> Result<(Vec<PrefixList>, Vec<String>), CallError> {
    let described: Vec<ManagedPrefixList> = ec2
        .call(false, async || {
            // `tag:` is not among the filters that the API reference lists for this call; EC2 takes it as for others. Were
            // it passed over, lists without the tag would be left alone below.
            let ours = Filter::builder().name(format!("tag:{PREFIX_NAME_TAG}")).values(&config.prefix_name).build();
            ec2.client.describe_managed_prefix_lists().filters(ours).into_paginator().items().send().try_collect().await
        })
        .await?;
    let (mut lists, mut notes) = (Vec::new(), Vec::new());
    let is_tagged = |list: &&ManagedPrefixList| group::tag(list.tags(), PREFIX_NAME_TAG) == Some(&config.prefix_name);
    for list in described.iter().filter(is_tagged) {
        match PrefixList::of(list, &config.prefix_name, &config.adopt) {
            Ok(list) => lists.push(list),
            Err(note) => notes.push(note),
        }
    }
    let entries = join_all(lists.iter().map(|list| entries(ec2, &list.id, false))).await;
    for (list, entries) in lists.iter_mut().zip(entries) {
        list.entries = entries?;
    }
    Ok((lists, notes))
}

async fn entries(ec2: &Ec2, id: &str, just_created: bool) -> Result<BTreeSet<IpNet>, CallError> {
    let entries: Vec<_> = ec2
        .call(just_created, async || {
            let pages = ec2.client.get_managed_prefix_list_entries().prefix_list_id(id).into_paginator();
            pages.items().send().try_collect().await
        })
        .await?;
    Ok(entries.iter().filter_map(|entry| entry.cidr()?.parse().ok()).collect())
}

/// Brings the lists in line with what is published.
pub async fn reconcile(
    ec2: &Ec2,
    mut lists: Vec<PrefixList>,
    published: &Published,
    config: &Config,
    run: Run,
    ignored: &Ignored,
    report: &mut RegionReport,
) {
    let obsolete = lists.iter().filter(|list| !list.sync_tokens.is_disjoint(ignored.tokens()));
    let obsolete: Vec<String> = obsolete.map(|list| list.id.clone()).collect();
    lists.sort_by(|a, b| (group::number(&a.name), &a.id).cmp(&(group::number(&b.name), &b.id)));
    let mut by_key: BTreeMap<FamilyKey, Vec<PrefixList>> = BTreeMap::new();
    for list in lists {
        by_key.entry(list.key.clone()).or_default().push(list);
    }
    let mut runs = Vec::new();
    for (service, ranges) in &published.services {
        for family in &config.families {
            let wanted: BTreeSet<IpNet> = ranges.iter().filter(|range| Family::of(range) == *family).copied().collect();
            let key = FamilyKey { service: service.clone(), family: *family };
            let lists = by_key.remove(&key).unwrap_or_default();
            if !(lists.is_empty() && wanted.is_empty()) {
                runs.push(ListsRun::new(key, lists, wanted, config, run));
            }
        }
    }
    let is_configured = |key: &FamilyKey| config.has_service(&key.service) && config.families.contains(&key.family);
    let left_over = by_key.into_iter().filter(|(key, _)| !is_configured(key)).flat_map(|(_, lists)| lists);
    report.notes.extend(left_over.map(|list| {
        format!(
            "{} ({}) holds {} ranges for {}, which SERVICE and ADDRESS_FAMILIES no longer name; its entries stay: delete it when nothing uses it",
            list.id, list.name, list.key.service, list.key.family
        )
    }));
    if run.dry_run {
        runs.iter_mut().for_each(|run| run.pretend(&config.prefix_name));
    } else {
        join_all(runs.iter_mut().map(|run| run.apply(ec2, &config.prefix_name, published.sync_token))).await;
        ec2.forget_tokens(obsolete, ignored.tokens().clone()).await;
    }
    for run in runs {
        run.finish(&config.prefix_name, report);
    }
}

/// The lists of one service and family in one run.
struct ListsRun {
    key: FamilyKey,
    wanted: BTreeSet<IpNet>,
    plan: Plan,
    /// With `CREATE=never`: how many lists the plan lacks.
    would_create: usize,
    /// By the plan's indices. `None`: it was to be created and could not be.
    members: Vec<Option<Member>>,
    had_lists: bool,
    sizes: Sizes,
    failures: Vec<Failure>,
}

/// How large lists are made.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// `LIST_HEADROOM`.
    headroom: usize,
    /// `MAX_ENTRIES_PER_LIST`.
    most: usize,
}

impl Sizes {
    /// The size of a list with so many entries: with room for more, up to the bound.
    fn wanted(self, entries: usize) -> usize {
        (entries + self.headroom).min(self.most).max(entries).max(1)
    }
}

/// A list, and what happened to it.
struct Member {
    list: PrefixList,
    report: GroupReport,
    /// What it held when the run began.
    before: BTreeSet<IpNet>,
    /// It was written to, so it is read again for the report.
    is_written: bool,
    /// A call failed: no further one is made.
    has_failed: bool,
}

impl Member {
    fn of(list: PrefixList, created: bool) -> Self {
        let report = GroupReport {
            group_id: list.id.clone(),
            name: list.name.clone(),
            service: list.key.service.clone(),
            family: Some(list.key.family.to_string()),
            created,
            ..GroupReport::default()
        };
        let before = list.entries.clone();
        Self { list, report, before, is_written: created, has_failed: false }
    }
}

impl ListsRun {
    fn new(key: FamilyKey, lists: Vec<PrefixList>, wanted: BTreeSet<IpNet>, config: &Config, run: Run) -> Self {
        let bounds = Bounds {
            limits: Limits { rules_per_group: config.max_entries_per_list, groups_per_interface: MOST_LISTS },
            may_create: config.create == CreatePolicy::Always,
            max_shrink_percent: config.max_shrink_percent,
            families: &config.families,
            force: run.force,
        };
        let state = |list: &PrefixList| GroupState { ranges: list.entries.clone(), ..GroupState::default() };
        let pool = Pool { groups: lists.iter().map(state).collect() };
        let plan = plan::plan(&pool, &wanted, bounds);
        let would_create = if bounds.may_create || plan.left_out.is_empty() {
            0
        } else {
            plan::plan(&pool, &wanted, Bounds { may_create: true, ..bounds }).create
        };
        debug!(service = key.service, family = %key.family, wanted = wanted.len(), ?plan, "planned");
        Self {
            had_lists: !lists.is_empty(),
            sizes: Sizes { headroom: config.list_headroom, most: config.max_entries_per_list },
            members: lists.into_iter().map(|list| Some(Member::of(list, false))).collect(),
            key,
            wanted,
            plan,
            would_create,
            failures: Vec::new(),
        }
    }

    fn name(&self) -> String {
        format!("{} {}", self.key.service, self.key.family)
    }

    /// The numbers that new lists get: the lowest that are free, one each time it is asked.
    fn numbers(&self) -> impl Fn() -> usize + use<> {
        let taken: BTreeSet<usize> =
            self.members.iter().flatten().map(|member| group::number(&member.list.name)).collect();
        let last = Cell::new(0);
        move || {
            let next = (last.get() + 1..).find(|number| !taken.contains(number)).unwrap_or_default();
            last.replace(next);
            next
        }
    }

    fn new_list(&self, prefix_name: &str, number: usize) -> PrefixList {
        PrefixList {
            id: "(new)".to_owned(),
            name: name(prefix_name, &self.key, number),
            key: self.key.clone(),
            version: 0,
            max_entries: 0,
            entries: BTreeSet::new(),
            sync_tokens: BTreeSet::new(),
            just_created: true,
        }
    }

    /// For a dry run: everything the plan would do, as if it had been done.
    fn pretend(&mut self, prefix_name: &str) {
        let number = self.numbers();
        for _ in 0..self.plan.create {
            let list = self.new_list(prefix_name, number());
            self.members.push(Some(Member::of(list, true)));
        }
        for round in &self.plan.rounds {
            for (changes, is_addition) in [(&round.add, true), (&round.remove, false)] {
                for (index, ranges) in changes {
                    let Some(member) = &mut self.members[*index] else { continue };
                    if is_addition { &mut member.report.added } else { &mut member.report.removed }.extend(ranges);
                }
            }
        }
    }

    async fn apply(&mut self, ec2: &Ec2, prefix_name: &str, sync_token: u64) {
        let lists = self.members.iter().flatten().map(|member| &member.list).filter(|_| !self.plan.is_empty());
        let untagged: Vec<&PrefixList> = lists.filter(|list| !list.sync_tokens.contains(&sync_token)).collect();
        let tokens = untagged.iter().flat_map(|list| &list.sync_tokens).copied();
        let older: BTreeSet<u64> = tokens.filter(|token| *token < sync_token).collect();
        let tagged: Vec<String> = untagged.iter().map(|list| list.id.clone()).collect();
        if let Err(error) = ec2.tag_with_token(tagged.clone(), sync_token, Follows::Done).await {
            self.failures
                .push(Failure::of("noting the sync token on the lists; nothing is changed before that", &error));
            return;
        }
        self.create(ec2, prefix_name, sync_token).await;
        for round in std::mem::take(&mut self.plan.rounds) {
            let mut lists: BTreeSet<usize> = round.add.keys().copied().collect();
            lists.extend(round.remove.keys());
            if lists.len() == 1 {
                // One call swaps them: at no time is one there without the other gone, nor the other way round.
                self.change(ec2, &round.add, &round.remove).await;
            } else {
                self.change(ec2, &round.add, &Changes::new()).await;
                self.change(ec2, &Changes::new(), &round.remove).await;
            }
        }
        self.fit(ec2).await;
        self.read_again(ec2).await;
        ec2.forget_tokens(tagged, older).await;
    }

    /// Creates the missing lists, each as large as what is added to it first.
    async fn create(&mut self, ec2: &Ec2, prefix_name: &str, sync_token: u64) {
        let number = self.numbers();
        let first = self.members.len();
        let sizes = (first..first + self.plan.create).map(|index| {
            let add = self.plan.rounds.iter().filter_map(|round| round.add.get(&index));
            add.map(BTreeSet::len).sum::<usize>()
        });
        let size = |entries| self.sizes.wanted(entries);
        let lists: Vec<_> = sizes.map(|entries| (self.new_list(prefix_name, number()), size(entries))).collect();
        let created = lists.into_iter().map(|(list, size)| create(ec2, prefix_name, list, size, sync_token));
        for created in join_all(created).await {
            match created {
                Ok(list) => self.members.push(Some(Member::of(list, true))),
                Err(error) => {
                    self.failures.push(Failure::of(format!("creating a list for {}", self.name()), &error));
                    self.members.push(None);
                }
            }
        }
    }

    /// Wanted ranges of which it is not known that every group lets them in: not added, or in a new list, which no group
    /// refers to yet. Nothing that shares an address with them may be removed.
    fn missing(&self) -> BTreeSet<IpNet> {
        let held = self.members.iter().flatten().filter(|member| !(self.had_lists && member.list.just_created));
        let held: BTreeSet<IpNet> = held.flat_map(|member| &member.list.entries).copied().collect();
        self.wanted.difference(&held).copied().collect()
    }

    /// Changes the lists, at most [`BATCH`] additions and removals a call.
    async fn change(&mut self, ec2: &Ec2, add: &Changes, remove: &Changes) {
        let none = BTreeSet::new();
        // What is added by the same call counts as being there.
        let added: BTreeSet<IpNet> = add.values().flatten().copied().collect();
        let missing: BTreeSet<IpNet> = self.missing().difference(&added).copied().collect();
        let sizes = self.sizes;
        let works = self.members.iter_mut().enumerate().filter_map(|(index, member)| {
            let (add, remove) = (add.get(&index).unwrap_or(&none), remove.get(&index).unwrap_or(&none));
            let remove: Vec<IpNet> = remove.iter().filter(|range| !plan::overlaps(range, &missing)).copied().collect();
            let add: Vec<IpNet> = add.iter().copied().collect();
            let is_work = !(add.is_empty() && remove.is_empty());
            member.as_mut().filter(|member| is_work && !member.has_failed).map(|member| (member, add, remove))
        });
        let failures = works.map(async |(member, add, remove)| {
            let what = format!("changing {}", member.list.name);
            let outcome = change_list(ec2, member, &add, &remove, sizes).await;
            outcome.err().map(|error| {
                member.has_failed = true;
                Failure::of(what, &error)
            })
        });
        let failures = join_all(failures).await;
        self.failures.extend(failures.into_iter().flatten());
    }

    /// Makes each list no larger than its entries need: after a peak it must not keep taking rules of the groups.
    async fn fit(&mut self, ec2: &Ec2) {
        let sizes = self.sizes;
        let members = self.members.iter_mut().flatten().filter(|member| !member.has_failed);
        let larger = members.filter(|member| member.list.max_entries > sizes.wanted(member.list.entries.len()));
        let failures = larger.map(async |member| {
            let what = format!("lowering the size of {}", member.list.name);
            let size = sizes.wanted(member.list.entries.len());
            resize(ec2, &mut member.list, size).await.err().map(|error| Failure::of(what, &error))
        });
        let failures = join_all(failures).await;
        self.failures.extend(failures.into_iter().flatten());
    }

    /// Reads the lists that were written to: what is reported is what they hold.
    async fn read_again(&mut self, ec2: &Ec2) {
        let written = self.members.iter_mut().flatten().filter(|member| member.is_written);
        let failures = written.map(async |member| {
            let list = &mut member.list;
            match entries(ec2, &list.id, list.just_created).await {
                Ok(entries) => {
                    list.entries = entries;
                    member.report.added = list.entries.difference(&member.before).copied().collect();
                    member.report.removed = member.before.difference(&list.entries).copied().collect();
                    None
                }
                Err(error) => Some(Failure::of(format!("reading {} after the change", list.name), &error)),
            }
        });
        let failures = join_all(failures).await;
        self.failures.extend(failures.into_iter().flatten());
    }

    fn finish(mut self, prefix_name: &str, report: &mut RegionReport) {
        let name = self.name();
        report.failures.append(&mut self.failures);
        report.failures.extend(self.plan.brake.map(|brake| Failure::braked(&name, &brake)));
        let without_rule = |ranges| RangesWithoutRule {
            vpc_id: None,
            service: self.key.service.clone(),
            port: None,
            family: Some(self.key.family.to_string()),
            ranges,
        };
        let held: BTreeSet<IpNet> = self
            .members
            .iter()
            .flatten()
            .flat_map(|member| member.list.entries.iter().chain(&member.report.added))
            .copied()
            .collect();
        let not_added: BTreeSet<IpNet> = self
            .wanted
            .iter()
            .filter(|range| !held.contains(range) && !self.plan.left_out.contains(range))
            .copied()
            .collect();
        if !not_added.is_empty() {
            report.not_added.push(without_rule(not_added));
        }
        if !self.plan.left_out.is_empty() {
            let advice = if self.would_create > 0 {
                format!(
                    "CREATE=never, so no prefix list is created. Create {} list(s) of {} with the tags {PREFIX_NAME_TAG}={prefix_name}, {SERVICE_TAG}={} and {FAMILY_TAG}={}, and add the ids to ADOPT",
                    self.would_create, self.key.family, self.key.service, self.key.family
                )
            } else {
                "raise MAX_ENTRIES_PER_LIST, where the quota of rules in your groups has room for it, or narrow SERVICE or RANGE_REGIONS".to_owned()
            };
            report.failures.push(Failure::no_capacity(name, self.plan.left_out.len(), &advice));
            report.left_out.push(without_rule(std::mem::take(&mut self.plan.left_out)));
        }
        for mut member in self.members.into_iter().flatten() {
            let PrefixList { id, name, entries, .. } = &member.list;
            if member.report.created && self.had_lists {
                report.notes.push(format!(
                    "{name} ({id}) is new: no group refers to it yet. Add a rule for it to every group that refers to the other lists of {} {}",
                    self.key.service, self.key.family
                ));
            } else if entries.is_empty() && !member.report.created {
                report.notes.push(format!("{name} ({id}) is empty: the ranges fit in the other lists"));
            }
            let stale = member.before.difference(&self.wanted).filter(|range| !member.report.removed.contains(range));
            member.report.kept = stale.copied().collect();
            member.report.is_in_use = !member.list.entries.is_empty() || !member.report.added.is_empty();
            report.groups.push(member.report);
        }
    }
}

/// Makes room, then changes the list batch by batch.
async fn change_list(
    ec2: &Ec2,
    member: &mut Member,
    add: &[IpNet],
    remove: &[IpNet],
    sizes: Sizes,
) -> Result<(), CallError> {
    let is_one_call = add.len() <= BATCH && remove.len() <= BATCH;
    let most = member.list.entries.len() + add.len() - if is_one_call { remove.len() } else { 0 };
    if most > member.list.max_entries {
        resize(ec2, &mut member.list, sizes.wanted(most)).await?;
    }
    if is_one_call {
        return modify(ec2, member, add, remove).await;
    }
    for add in add.chunks(BATCH) {
        modify(ec2, member, add, &[]).await?;
    }
    for remove in remove.chunks(BATCH) {
        modify(ec2, member, &[], remove).await?;
    }
    Ok(())
}

/// One change, which EC2 makes as a whole, and the wait for the next version.
async fn modify(ec2: &Ec2, member: &mut Member, add: &[IpNet], remove: &[IpNet]) -> Result<(), CallError> {
    let list = &mut member.list;
    let description = format!("{} range published by AWS, kept by Gatehouse", list.key.service);
    let entry = |range: &IpNet| AddPrefixListEntry::builder().cidr(range.to_string()).description(&description).build();
    let gone = |range: &IpNet| RemovePrefixListEntry::builder().cidr(range.to_string()).build();
    let add_entries = (!add.is_empty()).then(|| add.iter().map(entry).collect::<Vec<_>>());
    let remove_entries = (!remove.is_empty()).then(|| remove.iter().map(gone).collect::<Vec<_>>());
    member.is_written = true;
    ec2.call(list.just_created, async || {
        let call = ec2.client.modify_managed_prefix_list().prefix_list_id(&list.id).current_version(list.version);
        call.set_add_entries(add_entries.clone()).set_remove_entries(remove_entries.clone()).send().await
    })
    .await?;
    list.version = ready(ec2, list, |described| described.version().filter(|version| *version > list.version)).await?;
    list.entries.retain(|entry| !remove.contains(entry));
    list.entries.extend(add);
    info!(group_id = list.id, name = list.name, added = add.len(), removed = remove.len(), "list changed");
    Ok(())
}

/// Changes how many entries the list may have. EC2 refuses to change size and entries in one call, and a new size is no
/// new version.
async fn resize(ec2: &Ec2, list: &mut PrefixList, size: usize) -> Result<(), CallError> {
    let most = i32::try_from(size).unwrap_or(i32::MAX);
    ec2.call(list.just_created, async || {
        ec2.client.modify_managed_prefix_list().prefix_list_id(&list.id).max_entries(most).send().await
    })
    .await?;
    list.version = ready(ec2, list, |described| described.version().filter(|_| max_entries(described) == size)).await?;
    list.max_entries = size;
    info!(group_id = list.id, name = list.name, max_entries = size, "size of the list changed");
    Ok(())
}

async fn create(
    ec2: &Ec2,
    prefix_name: &str,
    list: PrefixList,
    max_entries: usize,
    sync_token: u64,
) -> Result<PrefixList, CallError> {
    let family = list.key.family.to_string();
    let created = ec2
        .call(false, async || {
            let more = [(SERVICE_TAG, list.key.service.as_str()), (FAMILY_TAG, &family)];
            let tags = group::tags(ResourceType::PrefixList, &list.name, prefix_name, &ec2.tags, sync_token, more);
            ec2.client
                .create_managed_prefix_list()
                .prefix_list_name(&list.name)
                .address_family(match list.key.family {
                    Family::Ipv4 => "IPv4",
                    Family::Ipv6 => "IPv6",
                })
                .max_entries(i32::try_from(max_entries).unwrap_or(i32::MAX))
                .tag_specifications(tags)
                .send()
                .await
        })
        .await?;
    let id = created.prefix_list().and_then(|list| list.prefix_list_id());
    let id = id.ok_or(CallError::Incomplete("PrefixListId"))?.to_owned();
    info!(group_id = id, name = list.name, "prefix list created");
    let mut list = PrefixList { id, max_entries, ..list };
    list.version = ready(ec2, &list, ManagedPrefixList::version).await?;
    Ok(list)
}

/// Waits until EC2 has finished the last change, as `is_done` sees it; the version that the next change has to name.
async fn ready(
    ec2: &Ec2,
    list: &PrefixList,
    is_done: impl Fn(&ManagedPrefixList) -> Option<i64>,
) -> Result<i64, CallError> {
    let id = &list.id;
    let mut pause = FIRST_LOOK;
    while pause <= 2 * LONGEST_PAUSE {
        let described = ec2
            .call(list.just_created, async || {
                ec2.client.describe_managed_prefix_lists().prefix_list_ids(id).send().await
            })
            .await?;
        let described = described.prefix_lists().first().ok_or(CallError::Incomplete("prefix list"))?;
        match described.state() {
            Some(
                PrefixListState::CreateInProgress
                | PrefixListState::ModifyInProgress
                | PrefixListState::RestoreInProgress,
            ) => {}
            Some(PrefixListState::CreateFailed | PrefixListState::ModifyFailed | PrefixListState::RestoreFailed) => {
                let message = described.state_message().unwrap_or("EC2 gives no reason");
                return Err(CallError::Unanswered(format!("{id} could not be changed: {message}")));
            }
            // Calm, but perhaps an answer from before the change.
            _ => {
                if let Some(version) = is_done(described) {
                    return Ok(version);
                }
            }
        }
        ec2.pause(pause).await;
        pause = if pause < FIRST_PAUSE { FIRST_PAUSE } else { pause * 2 };
    }
    Err(CallError::Unanswered(format!("{id} is still being changed; the next run continues")))
}
