//! Which messages were handled before.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use time::{Duration, OffsetDateTime};

use crate::{Channel, Verified, Verifier};

/// How many messages are remembered: some 3 MB. Only messages that passed every check are added.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// The messages that this process handled, as long as they may be delivered again: SNS and Lambda deliver at least once.
///
/// It is a bounded memory of one process. A message is handled again where another process gets it, after a restart, or
/// when more than 10,000 others were handled since. So it saves most effects from being done twice; whoever must act
/// exactly once compares the message id.
///
/// ```
/// use gatehouse_sns::{Channel, Envelope, HandledMessages, Settings, Verifier};
/// use gatehouse_sns::testing::{self, Signer, StaticCertificates};
/// use time::macros::datetime;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:example";
/// let sent = Signer::new().sign(testing::notification(TOPIC, "hello", "2026-03-06T20:00:26.893Z"));
/// let verifier = Verifier::with_source(Settings::default(), StaticCertificates::new());
/// let now = datetime!(2026-03-06 20:01 UTC);
/// let message = verifier.verify(Envelope::from_value(&sent)?, Channel::Lambda, now).await?;
///
/// let handled = HandledMessages::new(&verifier, Channel::Lambda);
/// assert!(!handled.contains(&message, now));
/// handled.insert(&message, now);
/// assert!(handled.contains(&message, now));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HandledMessages {
    time_to_live: Duration,
    messages: Mutex<LruCache<Key, OffsetDateTime>>,
}

/// Topic and message id, both of which SNS signs.
type Key = (String, String);

impl HandledMessages {
    /// No messages yet. Each is remembered for as long as the verifier accepts it over this channel.
    #[must_use]
    pub fn new(verifier: &Verifier, channel: Channel) -> Self {
        Self::with(verifier.accepted_again_within(channel), REMEMBERED)
    }

    fn with(time_to_live: Duration, most: NonZeroUsize) -> Self {
        Self { time_to_live, messages: Mutex::new(LruCache::new(most)) }
    }

    /// Whether this message was handled, not longer ago than it may be delivered again.
    #[must_use]
    pub fn contains(&self, message: &Verified, now: OffsetDateTime) -> bool {
        self.messages().peek(&key_of(message)).is_some_and(|at| now - *at < self.time_to_live)
    }

    /// Remembers that this message was handled. Where there are too many, the oldest is forgotten.
    pub fn insert(&self, message: &Verified, now: OffsetDateTime) {
        self.messages().put(key_of(message), now);
    }

    fn messages(&self) -> MutexGuard<'_, LruCache<Key, OffsetDateTime>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(message: &Verified) -> Key {
    (message.topic_arn().to_owned(), message.message_id().to_owned())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::testing::{StaticCertificates, notification};
    use crate::{Envelope, Mode, Settings};

    const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:example";
    const OTHER: &str = "arn:aws:sns:us-east-1:123456789012:other";
    const NOW: OffsetDateTime = datetime!(2026-03-06 20:01 UTC);

    fn verifier() -> Verifier {
        Verifier::with_source(Settings { mode: Mode::Off, ..Settings::default() }, StaticCertificates::new())
    }

    async fn message(topic_arn: &str, id: usize) -> Verified {
        let mut message = notification(topic_arn, "hello", "2026-03-06T20:00:26.893Z");
        message["MessageId"] = id.to_string().into();
        verifier().verify(Envelope::from_value(&message).unwrap(), Channel::Lambda, NOW).await.unwrap()
    }

    #[tokio::test]
    async fn a_message_is_known_by_topic_and_id() {
        let handled = HandledMessages::new(&verifier(), Channel::Lambda);
        handled.insert(&message(TOPIC, 1).await, NOW);
        for (topic, id, expected) in [(TOPIC, 1, true), (TOPIC, 2, false), (OTHER, 1, false)] {
            assert_eq!(handled.contains(&message(topic, id).await, NOW), expected, "{topic} {id}");
        }
    }

    #[tokio::test]
    async fn a_message_is_remembered_as_long_as_it_may_be_delivered_again() {
        for (channel, time_to_live) in [
            (Channel::Lambda, Duration::days(40) + Duration::minutes(15)),
            (Channel::Https, Duration::minutes(75) + Duration::minutes(15)),
        ] {
            let handled = HandledMessages::new(&verifier(), channel);
            let message = message(TOPIC, 1).await;
            handled.insert(&message, NOW);
            for (since, expected) in [
                (-Duration::HOUR, true), // the clock was put back
                (Duration::ZERO, true),
                (time_to_live - Duration::SECOND, true),
                (time_to_live, false),
            ] {
                assert_eq!(handled.contains(&message, NOW + since), expected, "{channel:?} {since}");
            }
        }
    }

    #[tokio::test]
    async fn the_oldest_message_is_forgotten_where_there_are_too_many() {
        for (handled, most) in [
            (HandledMessages::with(Duration::HOUR, NonZeroUsize::MIN.saturating_add(2)), 3),
            (HandledMessages::new(&verifier(), Channel::Lambda), 10_000),
        ] {
            for id in 0..most {
                handled.insert(&message(TOPIC, id).await, NOW);
            }
            let oldest = message(TOPIC, 0).await;
            // Asking for a message does not make it younger.
            assert!(handled.contains(&oldest, NOW), "{most}");
            handled.insert(&message(TOPIC, most).await, NOW);
            assert!(!handled.contains(&oldest, NOW), "{most}");
            assert!(handled.contains(&message(TOPIC, 1).await, NOW), "{most}");
            assert!(handled.contains(&message(TOPIC, most).await, NOW), "{most}");
        }
    }
}
