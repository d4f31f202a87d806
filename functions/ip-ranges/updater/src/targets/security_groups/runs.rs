//! Two runs at once on the same groups, perhaps with two documents, do no lasting harm.
//!
//! EC2 gives no order to calls that change rules, so a run that removes ranges shows it by tags:
//!
//! 1. Before its first rule it tags the groups with its document, and with itself: until when it may remove ranges.
//! 2. It adds, and attaches.
//! 3. It reads the groups again. Where the tag of a newer document is there, or that of a run with another document whose time is
//!    not over, or a range is missing that it relies on, it removes nothing and fails, so that Lambda runs it again.
//! 4. It removes.
//! 5. It reads the groups once more: whether they hold what it believes, and no newer document was followed meanwhile.
//! 6. It takes its own tag off, and the tags of older documents.
//!
//! Of two runs with two documents that both remove, each tags (1) before it reads (3), so at least one of them sees the
//! other. Runs with one document remove the same ranges, and each has a tag of its own, so a third run with another document sees
//! every one of them. A run that ends half-way leaves its tag: it counts until its time is over, and a later run takes it off.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::SecurityGroup;
use gatehouse_shared::clock;
use gatehouse_shared::deadline::backoff;

use super::group::Group;
use super::pool::PoolRun;
use crate::aws::caller::{CallError, INITIAL_BACKOFF, MAX_BACKOFF};
use crate::aws::ec2::Ec2;
use crate::failure::Failure;
use crate::tags::{self, Removing};
use crate::targets::Wanted;

/// What a run shows other runs by tags on the groups whose rules it changes.
pub(super) struct Announcement<'a> {
    ec2: &'a Ec2,
    wanted: &'a Wanted<'a>,
    ids: Vec<String>,
    /// Where the run removes ranges.
    removing: Option<Removing>,
    /// Keys of tags that say nothing any more once this run is done.
    obsolete: BTreeSet<String>,
}

impl<'a> Announcement<'a> {
    pub(super) fn new(ec2: &'a Ec2, pools: &[PoolRun<'_>], wanted: &'a Wanted<'a>) -> Self {
        let sync_token = wanted.published.sync_token;
        let removes = pools.iter().any(PoolRun::removes);
        let removing =
            removes.then(|| Removing { sync_token, run: wanted.run.number, until: wanted.run.last_effect_at() });
        let groups = pools.iter().flat_map(PoolRun::to_change);
        let groups: Vec<&Group> = groups.filter(|group| removes || !group.sync_tokens.contains(&sync_token)).collect();
        let now = clock::now().unix_timestamp();
        let older = groups.iter().flat_map(|group| &group.sync_tokens).filter(|token| **token < sync_token);
        let over = groups.iter().flat_map(|group| &group.removing).filter(|run| !run.is_under_way(now));
        let obsolete = older.map(|token| tags::sync_token_key(*token)).chain(over.map(Removing::key));
        let obsolete = obsolete.collect();
        Self { ec2, wanted, ids: groups.iter().map(|group| group.id.clone()).collect(), removing, obsolete }
    }

    /// Tags the groups.
    ///
    /// # Errors
    ///
    /// [`Failure`]: without the token an older run could undo the additions. Without removals, this one undoes nothing.
    pub(super) async fn make(&self) -> Result<(), Failure> {
        let tags = [tags::sync_token_tag(self.wanted.published.sync_token)];
        let tags = tags.into_iter().chain(self.removing.as_ref().map(Removing::tag)).collect();
        let tagged = self.ec2.tag(self.ids.clone(), tags).await;
        let what = "noting the sync token on the groups; nothing is removed before that";
        tagged.map_err(|error| Failure::of(what, &error))
    }

    /// Reads the groups before anything is removed: whether no other run has begun that this one could disturb, and all that it
    /// relies on is there.
    ///
    /// # Errors
    ///
    /// Why nothing may be removed.
    pub(super) async fn no_other_run(&self, pools: &[PoolRun<'_>]) -> Result<(), Vec<Failure>> {
        let what = "reading the groups again before removing ranges; none was removed";
        let described = self.read().await.map_err(|error| vec![Failure::of(what, &error)])?;
        self.check_order(&described).map_err(|failure| vec![failure])?;
        let now = clock::now().unix_timestamp();
        let others = described.iter().flat_map(|group| Removing::all(group.tags()));
        let others = others.filter(|run| run.is_under_way(now)).map(|run| run.sync_token);
        if let Some(other) = others.filter(|other| *other != self.wanted.published.sync_token).max() {
            return Err(vec![Failure::run_at_once(other)]);
        }
        let none = BTreeSet::new();
        let removed = pools.iter().map(|pool| (pool.label(), pool.removed_by_others(&described)));
        let removed = removed.filter(|(_, removed)| !removed.is_empty());
        let failures: Vec<_> =
            removed.map(|(pool, removed)| Failure::changed_meanwhile(pool.to_string(), &removed, &none)).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }

    /// Reads the groups after the last rule: whether they hold what this run believes, and no newer run has begun.
    ///
    /// A range that it has not seen before is that of a run with an older document, which read the groups before this one
    /// tagged them.
    pub(super) async fn verify_changes(&self, pools: &[PoolRun<'_>]) -> Vec<Failure> {
        // EC2 may not show the changes of this run at once.
        let mut pauses = backoff(INITIAL_BACKOFF, MAX_BACKOFF / 4);
        loop {
            let described = match self.read().await {
                Ok(described) => described,
                Err(error) => return vec![Failure::of("reading the groups again after the changes", &error)],
            };
            if let Err(failure) = self.check_order(&described) {
                return vec![failure];
            }
            let differences = pools.iter().map(|pool| (pool.label(), pool.differences(&described)));
            let differences: Vec<_> =
                differences.filter(|(_, (removed, added))| !(removed.is_empty() && added.is_empty())).collect();
            if differences.is_empty() {
                return Vec::new();
            }
            let Some(pause) = pauses.next() else {
                let failure = |(pool, (removed, added)): &(crate::targets::Label, (_, _))| {
                    Failure::changed_meanwhile(pool.to_string(), removed, added)
                };
                return differences.iter().map(failure).collect();
            };
            self.ec2.pause(pause).await;
        }
    }

    /// Takes the tag of this run off the groups; and, where they have the token of its document, the tags that say nothing any
    /// more. A failure does no harm: the time in the tag passes.
    pub(super) async fn withdraw(self, is_made: bool) {
        let obsolete = if is_made { self.obsolete } else { BTreeSet::new() };
        let keys = obsolete.into_iter().chain(self.removing.as_ref().map(Removing::key)).collect();
        self.ec2.remove_tags(self.ids, keys).await;
    }

    async fn read(&self) -> Result<Vec<SecurityGroup>, CallError> {
        self.ec2.tagged_groups(&self.wanted.config.prefix_name).await
    }

    fn check_order(&self, described: &[SecurityGroup]) -> Result<(), Failure> {
        self.wanted.order.check(described.iter().flat_map(|group| tags::sync_tokens(group.tags())))
    }
}
