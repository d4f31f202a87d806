//! Notifications for people, published to a topic.

use std::borrow::Cow;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::{Builder, Region};
use aws_sdk_sns::error::SdkError;
use aws_sdk_sns::operation::publish::PublishError;

use crate::sns::TopicArn;

/// The longest message in bytes: SNS accepts 256 KiB, attributes included.
pub const LONGEST_MESSAGE: usize = 250 * 1024;
/// The end of a message that was longer.
const CUT: &str =
    "\n[The message was longer than SNS accepts and is cut here. The log of the function has all of it.]\n";
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

    /// Publishes one message. Subject and message are cut to the lengths that SNS accepts.
    ///
    /// # Errors
    ///
    /// What SNS answered; the caller reports it beside what it did.
    pub async fn publish(&self, subject: &str, message: &str) -> Result<(), SdkError<PublishError>> {
        self.client
            .publish()
            .topic_arn(&self.topic_arn)
            .subject(subject_line(subject))
            .message(shortened(message))
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

/// A message that SNS accepts. One that was cut says so.
fn shortened(message: &str) -> Cow<'_, str> {
    if message.len() <= LONGEST_MESSAGE {
        return message.into();
    }
    format!("{}{CUT}", cut(message, LONGEST_MESSAGE - CUT.len())).into()
}

/// The longest start of `text` that has at most `limit` bytes and does not split a character.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
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
    fn a_message_that_was_cut_says_so() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"ä".repeat(LONGEST_MESSAGE)).into_owned();
        assert!(long.len() <= LONGEST_MESSAGE && long.ends_with(CUT));
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        assert_eq!(cut("aä", 2), "a");
        assert_eq!(cut("aä", 3), "aä");
    }
}
