//! Which messages were published already.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gatehouse_shared::sns::Verified;
use lru::LruCache;
use time::{Duration, OffsetDateTime};

/// How many messages are remembered: some 3 MB. Nobody but the accepted topics can add any.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// The messages that were published by this process, as long as SNS may deliver them again.
#[derive(Debug)]
pub(crate) struct Published {
    time_to_live: Duration,
    messages: Mutex<LruCache<Key, OffsetDateTime>>,
}

/// Topic and message id, both of which SNS signs.
type Key = (String, String);

impl Published {
    pub(crate) fn new(time_to_live: Duration) -> Self {
        Self { time_to_live, messages: Mutex::new(LruCache::new(REMEMBERED)) }
    }

    /// Whether this message was published lately.
    pub(crate) fn has(&self, message: &Verified, now: OffsetDateTime) -> bool {
        self.messages().peek(&key_of(message)).is_some_and(|at| now - *at < self.time_to_live)
    }

    /// Remembers that this message was published. The oldest is forgotten where there are too many.
    pub(crate) fn add(&self, message: &Verified, now: OffsetDateTime) {
        self.messages().put(key_of(message), now);
    }

    fn messages(&self) -> MutexGuard<'_, LruCache<Key, OffsetDateTime>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(message: &Verified) -> Key {
    (message.topic_arn().to_owned(), message.message_id().to_owned())
}
