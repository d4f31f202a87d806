//! The tags of this function: their keys, and how they are read and written on what EC2 keeps.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};

use crate::config::CustomTag;

/// The tag by which groups and prefix lists are found, and which an IP set has to carry; its value is `PREFIX_NAME`. The
/// function's policy lets it write to nothing that does not carry it.
pub(crate) const PREFIX_NAME_TAG: &str = "gatehouse:prefix-name";
/// The tag that names the service.
pub(crate) const SERVICE_TAG: &str = "gatehouse:service";
/// The tag that names the port of a group.
pub(crate) const PORT_TAG: &str = "gatehouse:port";
/// The tag that names the address family of a prefix list or an IP set.
pub(crate) const FAMILY_TAG: &str = "gatehouse:family";
/// How the keys of the tags begin that name the `syncToken` of a document that a group or list followed. The key holds the
/// token, so a run with an older document never overwrites what a newer one wrote. It is written before the first rule of
/// that document, and those of older documents are removed afterwards.
///
/// On groups, a run that removes ranges adds one with its own number behind the token: [`removing_key`].
pub(crate) const SYNC_TOKEN_TAG: &str = "gatehouse:sync-token/";
/// The tag of a group that is not ready: its outbound rules are still to be removed, or it is still to be attached wherever
/// the earlier groups of its pool are. It is there from the group's creation and is removed when both are done, so the next
/// run finishes what a run that broke began.
pub(crate) const ATTACH_TAG: &str = "gatehouse:attach";

/// The value of a tag.
pub(crate) fn tag<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}

/// The tokens of the documents that something is tagged with.
pub(crate) fn sync_tokens(tags: &[Tag]) -> BTreeSet<u64> {
    tags.iter().filter_map(|tag| tag.key()?.strip_prefix(SYNC_TOKEN_TAG)?.parse().ok()).collect()
}

/// The key of the tag that says that something follows the document.
pub(crate) fn sync_token_key(sync_token: u64) -> String {
    format!("{SYNC_TOKEN_TAG}{sync_token}")
}

/// The tag that says that something follows the document.
pub(crate) fn sync_token_tag(sync_token: u64) -> Tag {
    Tag::builder().key(sync_token_key(sync_token)).value("followed").build()
}

/// The tags of something this function creates in EC2; `more` are those of its kind, `custom` those of `TAGS`.
pub(crate) fn of_new<'a>(
    kind: ResourceType,
    name: &'a str,
    prefix_name: &'a str,
    custom: &'a [CustomTag],
    sync_token: u64,
    more: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> TagSpecification {
    let tag = |(key, value): (&str, &str)| Tag::builder().key(key).value(value).build();
    let custom = custom.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
    let pairs = [("Name", name), (PREFIX_NAME_TAG, prefix_name)].into_iter().chain(more).chain(custom);
    TagSpecification::builder()
        .resource_type(kind)
        .set_tags(Some(pairs.map(tag).collect()))
        .tags(sync_token_tag(sync_token))
        .build()
}

/// How the value of the tag of a run that removes ranges begins.
const UNTIL: &str = "until ";

/// No run lasts longer, in seconds: Lambda's longest time-out is 15 minutes.
const MAX_RUN: i64 = 2 * 3_600;

/// A run that may remove ranges from groups, by the tag that it puts on them for that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Removing {
    pub(crate) sync_token: u64,
    /// Its number: no two runs share a tag, so none ends the time of another.
    pub(crate) run: u64,
    /// When no call of it can take effect any more, in seconds since 1970-01-01.
    pub(crate) until: i64,
}

impl Removing {
    /// The runs whose tags these are, also those that ended without removing theirs.
    pub(crate) fn all(tags: &[Tag]) -> impl Iterator<Item = Self> {
        tags.iter().filter_map(|tag| {
            let (sync_token, run) = tag.key()?.strip_prefix(SYNC_TOKEN_TAG)?.split_once('/')?;
            let until = tag.value()?.strip_prefix(UNTIL)?.parse().ok()?;
            Some(Self { sync_token: sync_token.parse().ok()?, run: run.parse().ok()?, until })
        })
    }

    /// Whether it may still remove something. A time that is further ahead than a run can last does not count.
    pub(crate) fn is_under_way(&self, now: i64) -> bool {
        (now + 1..=now + MAX_RUN).contains(&self.until)
    }

    /// The key of its tag.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", sync_token_key(self.sync_token), self.run)
    }

    pub(crate) fn tag(&self) -> Tag {
        Tag::builder().key(self.key()).value(format!("{UNTIL}{}", self.until)).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_documents_and_of_runs_are_told_apart() {
        let removing = Removing { sync_token: 7, run: 99, until: 1_000 };
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let tags = [
            sync_token_tag(6),
            removing.tag(),
            tag("gatehouse:sync-token/8/x", "until 1000"),
            tag("gatehouse:sync-token/8/1", "followed"),
            tag("gatehouse:sync-token/", "until 1000"),
            tag("other/9/1", "until 1000"),
        ];
        assert_eq!(sync_tokens(&tags), BTreeSet::from([6]));
        assert_eq!(Removing::all(&tags).collect::<Vec<_>>(), [removing]);
        let is_under_way = |now| removing.is_under_way(now);
        assert_eq!([999, 1_000, 1_000 - MAX_RUN, 999 - MAX_RUN].map(is_under_way), [true, false, true, false]);
    }
}
