//! The order of documents: nothing goes back to an older one than it followed.

use std::collections::BTreeSet;

use ip_ranges_planner::document;

use crate::failure::{Failure, FailureKind};
use crate::tags;

/// Where it says which document something follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenLocation {
    /// A tag of the groups or prefix lists.
    Tag,
    /// The description of an IP set.
    Description,
}

impl TokenLocation {
    fn name(self, sync_token: u64) -> String {
        match self {
            Self::Tag => format!("the tag {}", tags::sync_token_key(sync_token)),
            Self::Description => "the description of the IP set".to_owned(),
        }
    }
}

/// The document of a run among those that are named where it is to be followed.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    sync_token: u64,
    location: TokenLocation,
    /// The tokens of documents that do not hold the run up although they are newer: those of a time to come, and with
    /// `force` all.
    ignored: BTreeSet<u64>,
}

impl Order {
    /// The document of `sync_token` among those of `tokens`. `now` is in seconds since 1970-01-01.
    pub(crate) fn new(
        sync_token: u64,
        location: TokenLocation,
        tokens: impl IntoIterator<Item = u64>,
        force: bool,
        now: u64,
    ) -> Self {
        let is_ignored = |token: &u64| *token > sync_token && (force || document::is_from_future(*token, now));
        Self { sync_token, location, ignored: tokens.into_iter().filter(is_ignored).collect() }
    }

    /// The tokens of newer documents that do not count.
    pub(crate) fn ignored(&self) -> &BTreeSet<u64> {
        &self.ignored
    }

    /// What a person should know about them. `now` is in seconds since 1970-01-01.
    pub(crate) fn notes(&self, now: u64) -> impl Iterator<Item = String> {
        let from_future = self.ignored.iter().filter(move |token| document::is_from_future(**token, now));
        from_future.map(move |token| {
            format!(
                "{} names the document {token}, which is of a time to come: it does not count, and is replaced. See who wrote it",
                self.location.name(*token)
            )
        })
    }

    /// Why the run may not go on, where one of the `tokens` is that of a newer document.
    ///
    /// # Errors
    ///
    /// [`FailureKind::StaleDocument`].
    pub(crate) fn check(&self, tokens: impl IntoIterator<Item = u64>) -> Result<(), Failure> {
        let newer = tokens.into_iter().filter(|token| *token > self.sync_token && !self.ignored.contains(token));
        newer.max().map_or(Ok(()), |newest| Err(self.stale(newest)))
    }

    fn stale(&self, newest: u64) -> Failure {
        Failure {
            kind: FailureKind::StaleDocument,
            what: format!("following the document {}", self.sync_token),
            reason: format!(
                "the newer document {newest} was used here before, as {} says; an edge still serves the old one, and Lambda tries again. To go back to this document on purpose, invoke the function with {{\"force\": true}}",
                self.location.name(newest)
            ),
        }
    }
}
