//! Customer-managed prefix lists, for each service and address family as many as needed.
//!
//! A list counts with its `MaxEntries`, not with its entries, against the rules of every group that refers to it. So a
//! list is no larger than `MAX_ENTRIES_PER_LIST`, and its size follows its entries, up and down.
//!
//! EC2 gives order to two runs at once: each change names the version of the list that it is made to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::types::{
    AddPrefixListEntry, Filter, ManagedPrefixList, PrefixListState, RemovePrefixListEntry, ResourceType,
};
use futures::future::join_all;
use gatehouse_shared::deadline::backoff;
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::{self, Changes as RangeChanges, Plan, Pool, Quotas, ResourceState};
use ipnet::IpNet;
use tracing::{debug, info};

use super::{
    Advice, FamilyKey, Label, NEW, NotKept, Outcome, PoolOutcome, Wanted, free_numbers, kept, not_adopted, number,
    pretend,
};
use crate::aws::caller::{CallError, INITIAL_BACKOFF, MAX_BACKOFF};
use crate::aws::ec2::Ec2;
use crate::config::{Adopt, Config};
use crate::failure::Failure;
use crate::report::TargetReport;
use crate::tags::{self, FAMILY_TAG, PREFIX_NAME_TAG, SERVICE_TAG};

/// The most additions, and the most removals, of one call.
///
/// Source: EC2 API reference, ModifyManagedPrefixList: AddEntry.N and RemoveEntry.N, "Maximum number of 100 items" each.
const BATCH: usize = 100;
/// VPC quota "Prefix lists per Region": 100. More lists for one service and family are never planned.
const MAX_LISTS: usize = 100;
/// The first pause before a list is asked whether it is ready.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// A prefix list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PrefixList {
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
    /// Reads a list that EC2 described, without its entries. One that does not have the name of this function's lists has
    /// to be named in `ADOPT`, as a group has; only who may write the entries of a list can rename it.
    ///
    /// # Errors
    ///
    /// Why the list is not kept.
    fn new(described: &ManagedPrefixList, prefix_name: &str, adopt: &Adopt) -> Result<Self, NotKept> {
        let id = described.prefix_list_id().ok_or(NotKept::Incomplete("PrefixListId"))?;
        let name = described.prefix_list_name().ok_or(NotKept::Incomplete("PrefixListName"))?;
        let version = described.version().ok_or(NotKept::Incomplete("Version"))?;
        let max_entries = max_entries(described).ok_or(NotKept::Incomplete("MaxEntries"))?;
        let tag = |key| {
            tags::tag(described.tags(), key)
                .ok_or_else(|| format!("{id} has the tag {PREFIX_NAME_TAG} and no tag {key}; it was left as it is"))
        };
        let key = FamilyKey {
            service: tag(SERVICE_TAG)?.to_owned(),
            family: tag(FAMILY_TAG)?.parse().map_err(|expected| {
                format!("{id} has a tag {FAMILY_TAG} that is not understood, {expected}; it was left as it is")
            })?,
        };
        let is_own = number(name) > 0 && name == self::name(prefix_name, &key, number(name));
        if !is_own && !adopt.includes(id) {
            return Err(not_adopted(id, name, &format!("the name {}", self::name(prefix_name, &key, 1))).into());
        }
        Ok(Self {
            id: id.to_owned(),
            name: name.to_owned(),
            key,
            version,
            max_entries,
            entries: BTreeSet::new(),
            sync_tokens: tags::sync_tokens(described.tags()),
            just_created: false,
        })
    }
}

/// The name of a list.
fn name(prefix_name: &str, key: &FamilyKey, number: usize) -> String {
    format!("{prefix_name}_{}_{}_{number}", key.service, key.family)
}

fn max_entries(described: &ManagedPrefixList) -> Option<usize> {
    described.max_entries().and_then(|most| usize::try_from(most).ok())
}

/// All prefix lists with our tag that can be kept, with what is in them, and why others cannot be kept.
#[derive(Debug)]
pub(crate) struct State {
    lists: Vec<PrefixList>,
    notes: Vec<String>,
}

impl State {
    /// The ids of the lists that are kept.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.lists.iter().map(|list| list.id.as_str())
    }

    /// The `syncToken` of each document that a list is tagged with.
    pub(crate) fn sync_tokens(&self) -> impl Iterator<Item = u64> {
        self.lists.iter().flat_map(|list| list.sync_tokens.iter().copied())
    }

    /// Why lists are not kept.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Reads the lists.
///
/// # Errors
///
/// [`CallError`].
pub(crate) async fn read(ec2: &Ec2, config: &Config) -> Result<State, CallError> {
    let described: Vec<ManagedPrefixList> = ec2
        .call(false, async || {
            // `tag:` is not among the filters that the API reference lists for this call; EC2 takes it as for others. Were
            // it skipped, lists without the tag would be left alone below.
            let ours = Filter::builder().name(format!("tag:{PREFIX_NAME_TAG}")).values(&config.prefix_name).build();
            ec2.client.describe_managed_prefix_lists().filters(ours).into_paginator().items().send().try_collect().await
        })
        .await?;
    let is_tagged = |list: &&ManagedPrefixList| tags::tag(list.tags(), PREFIX_NAME_TAG) == Some(&config.prefix_name);
    let described = described.iter().filter(is_tagged);
    let described = described.map(|list| PrefixList::new(list, &config.prefix_name, &config.adopt));
    let (mut lists, notes) = kept(described)?;
    let entries = join_all(lists.iter().map(|list| entries(ec2, &list.id, false))).await;
    for (list, entries) in lists.iter_mut().zip(entries) {
        list.entries = entries?;
    }
    Ok(State { lists, notes })
}

async fn entries(ec2: &Ec2, id: &str, just_created: bool) -> Result<BTreeSet<IpNet>, CallError> {
    let entries: Vec<_> = ec2
        .call(just_created, async || {
            let pages = ec2.client.get_managed_prefix_list_entries().prefix_list_id(id).into_paginator();
            pages.items().send().try_collect().await
        })
        .await?;
    let entries = entries.iter().map(|entry| {
        let cidr = entry.cidr().ok_or(CallError::Incomplete("Cidr"))?;
        cidr.parse().map_err(|_| CallError::Unanswered(format!("{id} holds {cidr:?}, expected CIDR notation")))
    });
    entries.collect()
}

/// What to change in the lists.
#[derive(Debug)]
pub(crate) struct Changes {
    pools: Vec<PoolChanges>,
    /// Lists with the tags of newer documents that do not count.
    obsolete: Vec<String>,
    notes: Vec<String>,
}

/// What to change in the lists of one service and family.
#[derive(Debug)]
struct PoolChanges {
    key: FamilyKey,
    /// By the plan's indices.
    lists: Vec<PrefixList>,
    wanted: BTreeSet<IpNet>,
    plan: Plan,
}

/// Compares the lists with what is wanted.
pub(crate) fn plan(state: &State, wanted: &Wanted<'_>) -> Changes {
    let obsolete = state.lists.iter().filter(|list| !list.sync_tokens.is_disjoint(wanted.order.ignored()));
    let obsolete = obsolete.map(|list| list.id.clone()).collect();
    let mut lists: Vec<&PrefixList> = state.lists.iter().collect();
    lists.sort_by(|a, b| (number(&a.name), &a.id).cmp(&(number(&b.name), &b.id)));
    let mut by_key: BTreeMap<&FamilyKey, Vec<PrefixList>> = BTreeMap::new();
    for list in lists {
        by_key.entry(&list.key).or_default().push(list.clone());
    }
    let quotas = Quotas { ranges_per_resource: wanted.config.max_entries_per_list, max_resources: MAX_LISTS };
    let mut pools = Vec::new();
    for (key, ranges) in wanted.by_family() {
        let lists = by_key.remove(&key).unwrap_or_default();
        if lists.is_empty() && ranges.is_empty() {
            continue;
        }
        let state = |list: &PrefixList| ResourceState { ranges: list.entries.clone(), ..ResourceState::default() };
        let pool = Pool { resources: lists.iter().map(state).collect() };
        let plan = plan::plan(&pool, &ranges, wanted.bounds(quotas));
        debug!(service = key.service, family = %key.family, wanted = ranges.len(), ?plan, "planned");
        pools.push(PoolChanges { key, lists, wanted: ranges, plan });
    }
    let left_over = by_key.into_iter().filter(|(key, _)| !wanted.is_configured(key)).flat_map(|(_, lists)| lists);
    let notes = left_over.map(|list| {
        format!(
            "{} ({}) holds {} ranges for {}, which SERVICE and ADDRESS_FAMILIES no longer name; its entries stay: delete it when nothing uses it",
            list.id, list.name, list.key.service, list.key.family
        )
    });
    Changes { pools, obsolete, notes: notes.collect() }
}

/// Changes the lists. In a dry run, only says how.
pub(crate) async fn apply(ec2: &Ec2, changes: Changes, wanted: &Wanted<'_>) -> TargetReport {
    let Changes { pools, obsolete, notes } = changes;
    let mut report = TargetReport { notes, ..TargetReport::default() };
    let mut pools: Vec<PoolRun<'_>> = pools.into_iter().map(|pool| PoolRun::new(pool, wanted)).collect();
    if wanted.run.dry_run {
        pools.iter_mut().for_each(PoolRun::pretend);
    } else {
        join_all(pools.iter_mut().map(|pool| pool.apply(ec2))).await;
        ec2.remove_sync_tokens(obsolete, wanted.order.ignored().clone()).await;
    }
    pools.into_iter().for_each(|pool| report.add(pool.finish()));
    report
}

/// The lists of one service and family in one run.
struct PoolRun<'a> {
    key: FamilyKey,
    wanted: BTreeSet<IpNet>,
    plan: Plan,
    /// By the plan's indices. `None`: it was to be created and could not be.
    members: Vec<Option<Member>>,
    had_lists: bool,
    sizes: Sizes,
    prefix_name: &'a str,
    sync_token: u64,
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

/// A list as it is now, and what happened to it.
struct Member {
    list: PrefixList,
    outcome: Outcome,
    /// It was written to, so it is read again for the report.
    is_written: bool,
    /// A call failed: no further one is made.
    has_failed: bool,
}

impl Member {
    fn of_existing(list: PrefixList) -> Self {
        let (id, name, entries) = (list.id.clone(), list.name.clone(), list.entries.clone());
        let outcome = Outcome::of_existing(Label::from(&list.key), id, name, entries);
        Self { list, outcome, is_written: false, has_failed: false }
    }

    fn of_created(list: PrefixList) -> Self {
        let outcome = Outcome::of_created(Label::from(&list.key), list.id.clone(), list.name.clone());
        Self { list, outcome, is_written: true, has_failed: false }
    }
}

impl<'a> PoolRun<'a> {
    fn new(changes: PoolChanges, wanted: &Wanted<'a>) -> Self {
        let PoolChanges { key, lists, wanted: ranges, plan } = changes;
        let config = wanted.config;
        Self {
            had_lists: !lists.is_empty(),
            sizes: Sizes { headroom: config.list_headroom, most: config.max_entries_per_list },
            members: lists.into_iter().map(|list| Some(Member::of_existing(list))).collect(),
            key,
            wanted: ranges,
            plan,
            prefix_name: &config.prefix_name,
            sync_token: wanted.published.sync_token,
            failures: Vec::new(),
        }
    }

    /// The lists to create, in the order of the plan.
    fn new_lists(&self) -> Vec<PrefixList> {
        let next_number = free_numbers(self.members.iter().flatten().map(|member| number(&member.list.name)));
        let new_list = |_| PrefixList {
            id: NEW.to_owned(),
            name: name(self.prefix_name, &self.key, next_number()),
            key: self.key.clone(),
            version: 0,
            max_entries: 0,
            entries: BTreeSet::new(),
            sync_tokens: BTreeSet::new(),
            just_created: true,
        };
        (0..self.plan.create).map(new_list).collect()
    }

    /// For a dry run.
    fn pretend(&mut self) {
        let new = self.new_lists().into_iter().map(|list| Some(Member::of_created(list)));
        self.members.extend(new);
        pretend(&self.plan, self.members.iter_mut().flatten().map(|member| &mut member.outcome));
    }

    async fn apply(&mut self, ec2: &Ec2) {
        let lists = self.members.iter().flatten().map(|member| &member.list).filter(|_| !self.plan.is_empty());
        let untagged: Vec<&PrefixList> = lists.filter(|list| !list.sync_tokens.contains(&self.sync_token)).collect();
        let tokens = untagged.iter().flat_map(|list| &list.sync_tokens).copied();
        let older: BTreeSet<u64> = tokens.filter(|token| *token < self.sync_token).collect();
        let tagged: Vec<String> = untagged.iter().map(|list| list.id.clone()).collect();
        if let Err(error) = ec2.tag(tagged.clone(), vec![tags::sync_token_tag(self.sync_token)]).await {
            self.failures
                .push(Failure::of("noting the sync token on the lists; nothing is changed before that", &error));
            return;
        }
        self.create(ec2).await;
        for round in std::mem::take(&mut self.plan.rounds) {
            let mut lists: BTreeSet<usize> = round.add.keys().copied().collect();
            lists.extend(round.remove.keys());
            if lists.len() == 1 {
                // One call swaps them: at no time is one there without the other gone, nor the other way round.
                self.change(ec2, &round.add, &round.remove).await;
            } else {
                self.change(ec2, &round.add, &RangeChanges::new()).await;
                self.change(ec2, &RangeChanges::new(), &round.remove).await;
            }
        }
        self.fit(ec2).await;
        self.read_again(ec2).await;
        ec2.remove_sync_tokens(tagged, older).await;
    }

    /// Creates the missing lists, each as large as what is added to it first.
    async fn create(&mut self, ec2: &Ec2) {
        let first = self.members.len();
        let size = |index| {
            let add = self.plan.rounds.iter().filter_map(|round| round.add.get(&index));
            self.sizes.wanted(add.map(BTreeSet::len).sum())
        };
        let lists: Vec<_> = self.new_lists().into_iter().zip((first..).map(size)).collect();
        let created = lists.into_iter().map(|(list, size)| create(ec2, self.prefix_name, list, size, self.sync_token));
        for created in join_all(created).await {
            match created {
                Ok(list) => self.members.push(Some(Member::of_created(list))),
                Err(error) => {
                    self.failures.push(Failure::of(format!("creating a list for {}", self.key), &error));
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
    async fn change(&mut self, ec2: &Ec2, add: &RangeChanges, remove: &RangeChanges) {
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
                    member.outcome.holds(&entries);
                    list.entries = entries;
                    None
                }
                Err(error) => Some(Failure::of(format!("reading {} after the change", list.name), &error)),
            }
        });
        let failures = join_all(failures).await;
        self.failures.extend(failures.into_iter().flatten());
    }

    fn finish(self) -> TargetReport {
        let Self { key, wanted, plan, members, had_lists, prefix_name, failures, .. } = self;
        let advice = Advice {
            create: format!(
                "CREATE=never, so no prefix list is created. Create {} list(s) of {} with the tags {PREFIX_NAME_TAG}={prefix_name}, {SERVICE_TAG}={} and {FAMILY_TAG}={}, and add the ids to ADOPT",
                plan.would_create, key.family, key.service, key.family
            ),
            narrow: "raise MAX_ENTRIES_PER_LIST, where the quota of rules in your groups has room for it, or narrow SERVICE or RANGE_REGIONS",
        };
        let mut notes = Vec::new();
        let mut outcomes = Vec::new();
        for Member { list, mut outcome, .. } in members.into_iter().flatten() {
            let PrefixList { id, name, .. } = &list;
            if outcome.report.created && had_lists {
                notes.push(format!(
                    "{name} ({id}) is new: no group refers to it yet. Add a rule for it to every group that refers to the other lists of {key}"
                ));
            } else if list.entries.is_empty() && !outcome.report.created {
                notes.push(format!("{name} ({id}) is empty: the ranges fit in the other lists"));
            }
            outcome.report.is_in_use = !outcome.ranges().is_empty();
            outcomes.push(outcome);
        }
        let label = Label::from(&key);
        let mut report = PoolOutcome { label, wanted: &wanted, plan, advice, outcomes, failures }.finish();
        report.notes = notes;
        report
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
    let description = super::rule_description(&list.key.service);
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
    member.outcome.holds(&list.entries);
    info!(prefix_list_id = list.id, name = list.name, added = add.len(), removed = remove.len(), "list changed");
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
    list.version =
        ready(ec2, list, |described| described.version().filter(|_| max_entries(described) == Some(size))).await?;
    list.max_entries = size;
    info!(prefix_list_id = list.id, name = list.name, max_entries = size, "size of the list changed");
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
            let tags = tags::of_new(ResourceType::PrefixList, &list.name, prefix_name, &ec2.tags, sync_token, more);
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
    info!(prefix_list_id = id, name = list.name, "prefix list created");
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
    for pause in std::iter::once(FIRST_LOOK).chain(backoff(INITIAL_BACKOFF, 2 * MAX_BACKOFF)) {
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
    }
    Err(CallError::Unanswered(format!("{id} is still being changed; the next run continues")))
}
