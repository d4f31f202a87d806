//! IP sets of AWS WAF, one for each service and address family.
//!
//! One call replaces all addresses of a set, so nothing has to be added before something else is removed. It names the lock
//! token of what was read: where something else wrote meanwhile, AWS WAF refuses it, and the set is read and planned again.
//! The description of a set says which document it follows, and the same call writes it: a run with an older document
//! cannot undo a newer one.
//!
//! A set is found by its name, since AWS WAF lists no tags, and kept only where it carries our tags too. Every address in it
//! is managed: one that a person added is removed, and the report says so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_wafv2::types::{IpAddressVersion, IpSetSummary, Scope, Tag};
use gatehouse_shared::deadline::backoff;
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::{Plan, Quotas};
use ip_ranges_planner::set;
use ipnet::IpNet;
use tokio::time::Instant;
use tracing::{debug, info};

use super::{Advice, FamilyKey, Label, NEW, Outcome, PoolOutcome, Wanted};
use crate::aws::caller::{CallError, Caller, INITIAL_BACKOFF, MAX_BACKOFF};
use crate::config::{Config, CustomTag, WafScope};
use crate::failure::{Failure, FailureKind};
use crate::report::TargetReport;
use crate::tags::{FAMILY_TAG, PREFIX_NAME_TAG, SERVICE_TAG};

/// The most addresses of one set, and one set for each service and family.
///
/// Source: AWS WAF Developer Guide, "AWS WAF quotas": 10,000 addresses in CIDR notation; it cannot be raised.
const QUOTAS: Quotas = Quotas { ranges_per_resource: 10_000, max_resources: 1 };
/// The most sets, or tags, of one page.
///
/// Source: AWS WAF API reference, ListIPSets and ListTagsForResource: Limit.
const PAGE: i32 = 100;
/// How many sets are read without a pause, and the pause before each further one.
///
/// Source: AWS WAF Developer Guide, "AWS WAF quotas": five requests a second to any individual Get or List action.
const WITHOUT_PAUSE: usize = 5;
const BETWEEN_READS: Duration = Duration::from_millis(200);
/// How often a set that something else writes to is read and planned again.
const ATTEMPTS: u32 = 5;
/// There is no such set.
const GONE: &str = "WAFNonexistentItemException";
/// Something else wrote to the set after it was read.
const LOCK: &str = "WAFOptimisticLockException";
/// There is a set of this name.
const DUPLICATE: &str = "WAFDuplicateItemException";
/// How the description of a set names the document that it follows.
const DOCUMENT: &str = "ranges of document ";

/// The calls to AWS WAF of one run in one Region.
///
/// Each waits where AWS WAF cannot find what it has.
///
/// Source: AWS WAF API reference, `WAFUnavailableEntityException`: "you might just need to wait a few minutes. It can take
/// from a few seconds to a number of minutes for changes to propagate".
#[derive(Debug)]
pub(crate) struct Waf {
    client: aws_sdk_wafv2::Client,
    scope: Scope,
    /// `TAGS`: for what is created.
    tags: Vec<CustomTag>,
    caller: Caller,
}

/// A set that carries our name and our tags.
#[derive(Debug, Clone, PartialEq, Eq)]
struct IpSet {
    id: String,
    arn: String,
    name: String,
    key: FamilyKey,
    lock_token: String,
    addresses: BTreeSet<IpNet>,
    sync_token: Option<u64>,
}

/// What is there under our names.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The sets that can be kept.
    sets: Vec<IpSet>,
    /// The others, by name.
    foreign: BTreeMap<String, Foreign>,
    /// Why others could not be read, by name.
    unread: BTreeMap<String, Failure>,
}

impl State {
    /// The `syncToken` of the document that each set follows.
    pub(crate) fn sync_tokens(&self) -> impl Iterator<Item = u64> {
        self.sets.iter().filter_map(|set| set.sync_token)
    }
}

/// A set that is not kept.
#[derive(Debug, Clone)]
struct Foreign {
    reason: String,
    /// It carries the tag of this function all the same.
    is_tagged: bool,
}

/// The name of a set.
fn name(prefix_name: &str, key: &FamilyKey) -> String {
    format!("{prefix_name}_{}_{}", key.service, key.family)
}

/// The three tags of a set.
fn tags<'a>(prefix_name: &'a str, key: &'a FamilyKey) -> [(&'static str, &'a str); 3] {
    let family = match key.family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    };
    [(PREFIX_NAME_TAG, prefix_name), (SERVICE_TAG, &key.service), (FAMILY_TAG, family)]
}

fn version(family: Family) -> IpAddressVersion {
    match family {
        Family::Ipv4 => IpAddressVersion::Ipv4,
        Family::Ipv6 => IpAddressVersion::Ipv6,
    }
}

fn description(key: &FamilyKey, sync_token: u64) -> String {
    format!("{} {} {DOCUMENT}{sync_token}, kept by Gatehouse", key.service, key.family)
}

/// The document that the description of a set names.
fn sync_token(description: &str) -> Option<u64> {
    let (_, rest) = description.split_once(DOCUMENT)?;
    rest.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
}

impl Waf {
    /// Makes no call after `stop`.
    pub(crate) fn new(client: &aws_sdk_wafv2::Client, config: &Config, stop: Instant) -> Self {
        let scope = match config.waf_scope {
            WafScope::Regional => Scope::Regional,
            WafScope::CloudFront => Scope::Cloudfront,
        };
        Self { client: client.clone(), scope, tags: config.tags.clone(), caller: Caller::new(stop) }
    }

    async fn list(&self, is_ours: impl Fn(&str) -> bool) -> Result<Vec<IpSetSummary>, CallError> {
        let mut sets = Vec::new();
        let mut marker = None;
        loop {
            let call = self.caller.call(true, async || {
                let call = self.client.list_ip_sets().scope(self.scope.clone()).limit(PAGE);
                call.set_next_marker(marker.clone()).send().await
            });
            let page = call.await?;
            let next = page.next_marker.filter(|marker| !marker.is_empty());
            let summaries = page.ip_sets.unwrap_or_default();
            // A marker may follow the last page; the one after it is empty.
            let is_last = next.is_none() || summaries.is_empty();
            sets.extend(summaries.into_iter().filter(|set| set.name().is_some_and(&is_ours)));
            if is_last {
                return Ok(sets);
            }
            marker = next;
        }
    }

    /// The set of this name, which AWS WAF has and may not list yet; `None` if it does not in some seconds.
    async fn find(&self, prefix_name: &str, name: &str) -> Result<Option<Result<IpSet, Foreign>>, CallError> {
        let mut pauses = backoff(INITIAL_BACKOFF, MAX_BACKOFF / 4);
        loop {
            let listed = self.list(|listed| listed == name).await?;
            let found = match listed.first() {
                Some(summary) => self.read_one(prefix_name, summary).await?,
                None => None,
            };
            let Some(pause) = pauses.next().filter(|_| found.is_none()) else { return Ok(found) };
            self.caller.pause(pause).await;
        }
    }

    /// The set with its tags and addresses; `None` where it is gone.
    async fn read_one(
        &self,
        prefix_name: &str,
        summary: &IpSetSummary,
    ) -> Result<Option<Result<IpSet, Foreign>>, CallError> {
        let name = summary.name().ok_or(CallError::Incomplete("Name"))?;
        let id = summary.id().ok_or(CallError::Incomplete("Id"))?;
        let arn = summary.arn().ok_or(CallError::Incomplete("ARN"))?;
        let tagged = self
            .caller
            .call(true, async || self.client.list_tags_for_resource().resource_arn(arn).limit(PAGE).send().await);
        let tags = match tagged.await {
            Ok(tagged) => tagged.tag_info_for_resource.and_then(|info| info.tag_list).unwrap_or_default(),
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let key = match key_of(prefix_name, name, &tags) {
            Ok(key) => key,
            Err(foreign) => return Ok(Some(Err(foreign))),
        };
        match self.get(name, id, arn, key).await {
            Ok(set) => Ok(Some(set)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, name: &str, id: &str, arn: &str, key: FamilyKey) -> Result<Result<IpSet, Foreign>, CallError> {
        let call = self
            .caller
            .call(true, async || self.client.get_ip_set().name(name).scope(self.scope.clone()).id(id).send().await);
        let got = call.await?;
        let lock_token = got.lock_token.ok_or(CallError::Incomplete("LockToken"))?;
        let set = got.ip_set.ok_or(CallError::Incomplete("IPSet"))?;
        if set.ip_address_version != version(key.family) {
            let reason =
                format!("it is of version {}, and its tag {FAMILY_TAG} is {}", set.ip_address_version, key.family);
            return Ok(Err(Foreign { reason, is_tagged: true }));
        }
        // IPv6 comes in full form; parsed, it equals the short one.
        let address = |text: &String| {
            text.parse().map_err(|_| CallError::Unanswered(format!("{name} holds {text:?}, expected CIDR notation")))
        };
        let addresses = set.addresses.iter().map(address).collect::<Result<BTreeSet<IpNet>, _>>()?;
        Ok(Ok(IpSet {
            id: id.to_owned(),
            arn: arn.to_owned(),
            name: name.to_owned(),
            key,
            lock_token,
            addresses,
            sync_token: set.description().and_then(sync_token),
        }))
    }

    /// Creates the set with its first addresses.
    async fn create(
        &self,
        prefix_name: &str,
        key: &FamilyKey,
        ranges: &BTreeSet<IpNet>,
        token: u64,
    ) -> Result<IpSet, CallError> {
        let name = name(prefix_name, key);
        let custom = self.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
        let tags = [("Name", name.as_str())].into_iter().chain(tags(prefix_name, key)).chain(custom);
        let tags =
            tags.map(|(key, value)| Tag::builder().key(key).value(value).build()).collect::<Result<Vec<Tag>, _>>();
        let tags = tags.map_err(|error| CallError::Unanswered(error.to_string()))?;
        let addresses: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        let call = self.caller.call(true, async || {
            self.client
                .create_ip_set()
                .name(&name)
                .scope(self.scope.clone())
                .description(description(key, token))
                .ip_address_version(version(key.family))
                .set_addresses(Some(addresses.clone()))
                .set_tags(Some(tags.clone()))
                .send()
                .await
        });
        let summary = call.await?.summary.ok_or(CallError::Incomplete("Summary"))?;
        let arn = summary.arn.ok_or(CallError::Incomplete("ARN"))?;
        info!(arn, name, ranges = ranges.len(), "IP set created");
        Ok(IpSet {
            id: summary.id.ok_or(CallError::Incomplete("Id"))?,
            arn,
            name,
            key: key.clone(),
            lock_token: summary.lock_token.ok_or(CallError::Incomplete("LockToken"))?,
            addresses: ranges.clone(),
            sync_token: Some(token),
        })
    }

    /// Replaces all addresses of the set, if nothing else wrote to it since it was read.
    async fn update(&self, set: &mut IpSet, ranges: &BTreeSet<IpNet>, token: u64) -> Result<(), CallError> {
        let addresses: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        let call = self.caller.call(true, async || {
            self.client
                .update_ip_set()
                .name(&set.name)
                .scope(self.scope.clone())
                .id(&set.id)
                .description(description(&set.key, token))
                .set_addresses(Some(addresses.clone()))
                .lock_token(&set.lock_token)
                .send()
                .await
        });
        call.await?;
        info!(arn = set.arn, name = set.name, ranges = ranges.len(), "IP set updated");
        set.addresses.clone_from(ranges);
        set.sync_token = Some(token);
        Ok(())
    }
}

fn is_gone(error: &CallError) -> bool {
    error.code() == Some(GONE)
}

/// What the set is for, if it is ours.
fn key_of(prefix_name: &str, set_name: &str, tags: &[Tag]) -> Result<FamilyKey, Foreign> {
    let tag = |key| tags.iter().find(|tag| tag.key() == key).map(Tag::value);
    let is_tagged = tag(PREFIX_NAME_TAG) == Some(prefix_name);
    let foreign = |reason: String| Foreign { reason, is_tagged };
    if !is_tagged {
        return Err(foreign(format!("it does not have the tag {PREFIX_NAME_TAG}={prefix_name}")));
    }
    let required = |key| tag(key).ok_or_else(|| foreign(format!("it has no tag {key}")));
    let key = FamilyKey {
        service: required(SERVICE_TAG)?.to_owned(),
        family: required(FAMILY_TAG)?
            .parse()
            .map_err(|expected| foreign(format!("its tag {FAMILY_TAG} is not understood, {expected}")))?,
    };
    let expected = name(prefix_name, &key);
    if set_name == expected { Ok(key) } else { Err(foreign(format!("with these tags its name has to be {expected}"))) }
}

/// All sets with our names, with what is in them. One that cannot be read does not hold up the others.
///
/// # Errors
///
/// [`CallError`] where they cannot be listed.
pub(crate) async fn read(waf: &Waf, prefix_name: &str) -> Result<State, CallError> {
    let start = format!("{prefix_name}_");
    let summaries = waf.list(|name| name.starts_with(&start)).await?;
    let mut state = State::default();
    // One after the other: several at a time would meet each other's throttling again and again.
    for (index, summary) in summaries.iter().enumerate() {
        if index >= WITHOUT_PAUSE {
            waf.caller.pause(BETWEEN_READS).await;
        }
        let name = summary.name().unwrap_or_default().to_owned();
        match waf.read_one(prefix_name, summary).await {
            Ok(Some(Ok(set))) => state.sets.push(set),
            Ok(Some(Err(foreign))) => drop(state.foreign.insert(name, foreign)),
            Ok(None) => {}
            Err(error) => {
                let failure = Failure::of(format!("reading the IP set {name}"), &error);
                state.unread.insert(name, failure);
            }
        }
    }
    Ok(state)
}

/// What to change in the sets.
#[derive(Debug)]
pub(crate) struct Changes {
    pools: Vec<PoolChanges>,
    /// Sets that the settings name, and that could not be read.
    unread: Vec<Failure>,
    notes: Vec<String>,
}

/// What to change in the set of one service and family.
#[derive(Debug)]
struct PoolChanges {
    key: FamilyKey,
    wanted: BTreeSet<IpNet>,
    set: Option<IpSet>,
    plan: Plan,
    /// Why its name cannot be used.
    conflict: Option<Failure>,
}

/// Compares the sets with what is wanted.
pub(crate) fn plan(state: &State, wanted: &Wanted<'_>) -> Changes {
    let prefix_name = &wanted.config.prefix_name;
    let mut sets: BTreeMap<&FamilyKey, &IpSet> = state.sets.iter().map(|set| (&set.key, set)).collect();
    let (mut foreign, mut unread) = (state.foreign.clone(), state.unread.clone());
    let mut changes = Changes { pools: Vec::new(), unread: Vec::new(), notes: Vec::new() };
    for (key, ranges) in wanted.by_family() {
        let name = name(prefix_name, &key);
        if let Some(failure) = unread.remove(&name) {
            changes.unread.push(failure);
            continue;
        }
        let set = sets.remove(&key).cloned();
        if set.is_none() && ranges.is_empty() {
            continue;
        }
        let conflict = foreign.remove(&name).map(|foreign| name_conflict(prefix_name, &key, &foreign.reason));
        let plan = if conflict.is_some() { Plan::default() } else { plan_set(set.as_ref(), &ranges, wanted) };
        changes.pools.push(PoolChanges { key, wanted: ranges, set, plan, conflict });
    }
    let left_over = sets.into_values().filter(|set| !wanted.is_configured(&set.key));
    changes.notes.extend(left_over.map(|set| {
        format!(
            "{} ({}) holds {} addresses for {}, which SERVICE and ADDRESS_FAMILIES no longer name; they stay: delete the set when nothing uses it",
            set.name, set.arn, set.key.service, set.key.family
        )
    }));
    changes.notes.extend(
        unread.into_iter().map(|(name, failure)| format!("the IP set {name} could not be read: {}", failure.reason)),
    );
    let tagged = foreign.into_iter().filter(|(_, foreign)| foreign.is_tagged);
    changes.notes.extend(tagged.map(|(name, foreign)| {
        format!("the IP set {name} has the tag {PREFIX_NAME_TAG}, but {}; it was left as it is", foreign.reason)
    }));
    changes
}

fn plan_set(set: Option<&IpSet>, ranges: &BTreeSet<IpNet>, wanted: &Wanted<'_>) -> Plan {
    let present = set.map(|set| &set.addresses);
    let plan = set::plan(present, ranges, wanted.bounds(QUOTAS));
    debug!(name = set.map(|set| &set.name), wanted = ranges.len(), ?plan, "planned");
    plan
}

/// Something else has the name of the set.
fn name_conflict(prefix_name: &str, key: &FamilyKey, reason: &str) -> Failure {
    Failure {
        kind: FailureKind::Partial,
        what: format!("creating the IP set {}", name(prefix_name, key)),
        reason: format!(
            "a set of this name is there, but {reason}; it was left as it is. Give it the tags {}, delete it, or choose another PREFIX_NAME",
            tags_as_text(prefix_name, key)
        ),
    }
}

fn tags_as_text(prefix_name: &str, key: &FamilyKey) -> String {
    tags(prefix_name, key).map(|(key, value)| format!("{key}={value}")).join(", ")
}

/// Changes the sets. In a dry run, only says how.
pub(crate) async fn apply(waf: &Waf, changes: Changes, wanted: &Wanted<'_>) -> TargetReport {
    let Changes { pools, unread, notes } = changes;
    let is_unplanned = !unread.is_empty();
    let mut report = TargetReport { is_unplanned, notes, failures: unread, ..TargetReport::default() };
    // One set after the other: AWS WAF takes one call of each writing operation in a second.
    for pool in pools {
        let mut pool = PoolRun::new(pool, wanted);
        let failure = pool.apply(waf).await.err();
        report.add(pool.finish(failure));
    }
    report
}

/// The set of one service and family in one run.
struct PoolRun<'a> {
    wanted: &'a Wanted<'a>,
    key: FamilyKey,
    name: String,
    ranges: BTreeSet<IpNet>,
    /// The set as it is now.
    set: Option<IpSet>,
    /// What it held when the run began, or what something else made of it since.
    before: BTreeSet<IpNet>,
    plan: Plan,
    conflict: Option<Failure>,
    created: bool,
}

impl<'a> PoolRun<'a> {
    fn new(changes: PoolChanges, wanted: &'a Wanted<'a>) -> Self {
        let PoolChanges { key, wanted: ranges, set, plan, conflict } = changes;
        let before = set.as_ref().map(|set| set.addresses.clone()).unwrap_or_default();
        let name = name(&wanted.config.prefix_name, &key);
        Self { wanted, key, name, ranges, set, before, plan, conflict, created: false }
    }

    /// Compares what the set holds now with what is wanted.
    fn plan_again(&mut self) {
        self.plan = plan_set(self.set.as_ref(), &self.ranges, self.wanted);
    }

    /// What the set is to hold.
    fn goal(&self) -> BTreeSet<IpNet> {
        let none = BTreeSet::new();
        set::end(self.set.as_ref().map_or(&none, |set| &set.addresses), &self.plan)
    }

    /// Creates the set, or updates it, until it holds what is planned; in a dry run, neither.
    async fn apply(&mut self, waf: &Waf) -> Result<(), Failure> {
        if let Some(conflict) = self.conflict.take() {
            return Err(conflict);
        }
        if self.wanted.run.dry_run {
            self.created = self.plan.create > 0;
            return Ok(());
        }
        let token = self.wanted.published.sync_token;
        let mut pauses = backoff(INITIAL_BACKOFF, MAX_BACKOFF);
        for attempt in 1..=ATTEMPTS {
            if self.plan.create > 0 {
                self.create(waf, token).await?;
                self.plan_again();
            }
            let goal = self.goal();
            let ignored = self.wanted.order.ignored();
            // One that was just made holds the plan, unless another run made it. With the description of a document that
            // does not count, it would hold up the next run.
            let is_due = |set: &&mut IpSet| {
                set.addresses != goal || set.sync_token.is_some_and(|token| ignored.contains(&token))
            };
            let Some(set) = self.set.as_mut().filter(is_due) else { return Ok(()) };
            self.wanted.order.check(set.sync_token)?;
            match waf.update(set, &goal, token).await {
                Ok(()) => return Ok(()),
                Err(error) if is_gone(&error) => self.clear(),
                Err(error) if attempt < ATTEMPTS && error.code() == Some(LOCK) => {
                    debug!(name = self.name, attempt, "something else wrote to the IP set; reading it again");
                    waf.caller.pause(pauses.next().unwrap_or(MAX_BACKOFF)).await;
                    self.read_again(waf, &goal).await?;
                }
                Err(error) => return Err(Failure::of(self.updating(), &error)),
            }
            self.plan_again();
        }
        let reason = "something else keeps writing to it, or deletes it; the next run tries again".to_owned();
        Err(Failure { kind: FailureKind::Partial, what: self.updating(), reason })
    }

    /// Reads the set as something else left it. `planned`: what this run wanted it to hold.
    async fn read_again(&mut self, waf: &Waf, planned: &BTreeSet<IpNet>) -> Result<(), Failure> {
        let Some(set) = &self.set else { return Ok(()) };
        match waf.get(&set.name, &set.id, &set.arn, set.key.clone()).await {
            Ok(Ok(now)) => {
                // What something else added meanwhile, or took out of the plan, is not this run's doing. What the plan
                // changes may have been: the reply of the write was lost.
                self.before.retain(|range| now.addresses.contains(range) || !planned.contains(range));
                self.before.extend(now.addresses.difference(planned));
                self.set = Some(now);
            }
            Ok(Err(foreign)) => return Err(self.name_conflict(&foreign)),
            Err(error) if is_gone(&error) => self.clear(),
            Err(error) => return Err(Failure::of(self.updating(), &error)),
        }
        Ok(())
    }

    /// The set was deleted after it was read. A new one holds nothing of what was there.
    fn clear(&mut self) {
        self.set = None;
        self.before.clear();
    }

    /// Creates the set with what is planned, or goes on with the one that is there already.
    async fn create(&mut self, waf: &Waf, token: u64) -> Result<(), Failure> {
        let prefix_name = &self.wanted.config.prefix_name;
        let (what, goal) = (format!("creating the IP set {}", self.name), self.goal());
        let duplicate = match waf.create(prefix_name, &self.key, &goal, token).await {
            Ok(set) => {
                (self.set, self.created) = (Some(set), true);
                return Ok(());
            }
            Err(error) if error.code() == Some(DUPLICATE) => error,
            Err(error) => return Err(Failure::of(what, &error)),
        };
        // The reply of its creation was lost, or another run created it, or something else has the name.
        match waf.find(prefix_name, &self.name).await {
            Ok(Some(Ok(set))) => {
                info!(name = self.name, "IP set of that name taken over");
                self.created = set.addresses == goal && set.sync_token == Some(token);
                if !self.created {
                    self.before.clone_from(&set.addresses);
                }
                self.set = Some(set);
                Ok(())
            }
            Ok(Some(Err(foreign))) => Err(self.name_conflict(&foreign)),
            Ok(None) => {
                let reason = format!("{duplicate}; AWS WAF does not list it yet, and the next run looks again");
                Err(Failure { kind: FailureKind::Partial, what, reason })
            }
            Err(error) => Err(Failure::of(what, &error)),
        }
    }

    fn updating(&self) -> String {
        format!("updating the IP set {}", self.name)
    }

    fn name_conflict(&self, foreign: &Foreign) -> Failure {
        name_conflict(&self.wanted.config.prefix_name, &self.key, &foreign.reason)
    }

    fn finish(self, failure: Option<Failure>) -> TargetReport {
        let is_pretended = self.wanted.run.dry_run && failure.is_none();
        let now = if is_pretended {
            self.goal()
        } else {
            self.set.as_ref().map(|set| set.addresses.clone()).unwrap_or_default()
        };
        let Self { wanted, key, name, ranges, set, before, plan, created, .. } = self;
        let advice = Advice {
            create: format!(
                "CREATE=never, so no IP set is created. Create one with the name {name}, the IP address version {} and the tags {}",
                version(key.family),
                tags_as_text(&wanted.config.prefix_name, &key)
            ),
            narrow: "an IP set takes 10,000 addresses: narrow SERVICE or RANGE_REGIONS",
        };
        let outcome = (set.is_some() || created).then(|| {
            let arn = set.map_or_else(|| NEW.to_owned(), |set| set.arn);
            let mut outcome = Outcome::of_existing(Label::from(&key), arn, name, before);
            outcome.report.created = created;
            outcome.report.is_in_use = true;
            outcome.holds(&now);
            outcome
        });
        let (outcomes, failures) = (outcome.into_iter().collect(), failure.into_iter().collect());
        PoolOutcome { label: Label::from(&key), wanted: &ranges, plan, advice, outcomes, failures }.finish()
    }
}
