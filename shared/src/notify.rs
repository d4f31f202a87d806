//! Notifications for people, published to a topic.

use std::borrow::Cow;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::{Builder, Region};
use aws_sdk_sns::error::SdkError;
use aws_sdk_sns::operation::publish::PublishError;

use crate::sns::TopicArn;

/// The longest message in bytes: SNS accepts 256 KiB, attributes included.
pub const LONGEST_MESSAGE: usize = 250 * 1024;
/// The longest subject. SNS: "Subjects must be ASCII text … must be less than 100 characters long".
pub const LONGEST_SUBJECT: usize = 99;

/// Publishes to one topic, in the topic's own Region.
#[derive(Debug, Clone)]
pub struct Notifier {
    client: Client,
    topic_arn: String,
}

impl Notifier {
    /// A notifier for the topic. `config` is the SDK's; its Region is replaced by that of the topic.
    #[must_use]
    pub fn new(config: impl Into<Builder>, topic_arn: &TopicArn) -> Self {
        let region = Region::new(topic_arn.region().to_string());
        let config = config.into().region(region).build();
        Self { client: Client::from_conf(config), topic_arn: topic_arn.to_string() }
    }

    /// Publishes one message. Subject and message are cut to the lengths that SNS accepts; a message that was cut says so.
    ///
    /// # Errors
    ///
    /// What SNS answered; the caller reports it beside what it did.
    pub async fn publish(&self, subject: &str, message: &str) -> Result<(), SdkError<PublishError>> {
        self.client
            .publish()
            .topic_arn(&self.topic_arn)
            .subject(subject_line(subject))
            .message(fitting(message, LONGEST_MESSAGE))
            .send()
            .await
            .map(drop)
    }
}

/// A subject that SNS accepts: printable ASCII that begins with a letter, digit or punctuation mark, below 100
/// characters.
fn subject_line(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.trim().chars().map(printable).take(LONGEST_SUBJECT).collect()
}

/// What stands at the end of a message that was cut.
const CUT: &str = "\n\n(cut; the whole report is in the log)\n";

/// The text, or as much of it as fits into `limit` bytes with [`CUT`] behind it.
fn fitting(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let start = &text[..text.floor_char_boundary(limit.saturating_sub(CUT.len()))];
    Cow::Owned(format!("{start}{CUT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_printable_ascii_and_short() {
        assert_eq!(subject_line(" güne\nx "), "g?ne?x");
        assert_eq!(subject_line(&"a".repeat(200)).len(), 99);
    }

    #[test]
    fn a_message_that_is_too_long_says_that_it_was_cut() {
        let limit = CUT.len() + 2;
        assert_eq!(fitting("aä", 3), "aä");
        let long = format!("aä{}", "x".repeat(limit));
        assert_eq!(fitting(&long, limit), format!("a{CUT}"), "not within a character");
        assert_eq!(fitting(&long, limit + 1), format!("aä{CUT}"));
        for limit in [limit, limit + 1, LONGEST_MESSAGE] {
            assert!(fitting(&"ä".repeat(LONGEST_MESSAGE), limit).len() <= limit);
        }
    }
}
