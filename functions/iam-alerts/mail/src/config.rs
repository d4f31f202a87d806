//! Settings of the function.

use std::str::FromStr;

use gatehouse_shared::chat::ChatTopic;
use gatehouse_shared::env::Reader;
use gatehouse_shared::sns::TopicArn;

/// Settings, read once at cold start.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `NOTIFY_TOPIC_ARN`: the topic that gets the mails.
    pub notify_topic_arn: TopicArn,
    /// `CHAT_TOPIC_ARN`: the topic of Amazon Q Developer in chat applications.
    pub chat_topic: Option<ChatTopic>,
    /// `EXCLUDE_EVENT_NAMES`: calls about which no mail is written, comma-separated; none where it is unset.
    pub exclude_event_names: Vec<EventName>,
    /// `DRY_RUN`: log what would be mailed and stop.
    pub dry_run: bool,
}

impl Config {
    /// Reads the settings.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Option<Self> {
        let notify_topic_arn = env.required("NOTIFY_TOPIC_ARN", "expected the ARN of the topic that gets the mails");
        let chat_topic = ChatTopic::from_env(env);
        let exclude_event_names = env.list("EXCLUDE_EVENT_NAMES").unwrap_or_default();
        let dry_run = env.flag("DRY_RUN", false);
        Some(Self { notify_topic_arn: notify_topic_arn?, chat_topic, exclude_event_names, dry_run })
    }
}

/// The name of a call, such as `CreateUser`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventName(String);

impl EventName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_name = text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.chars().all(|c| c.is_ascii_alphanumeric())
            && text.len() <= 64;
        if is_name { Ok(Self(text.to_owned())) } else { Err("expected the name of a call such as CreateUser") }
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_shared::env::Env;

    use super::*;

    const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:iam-alerts";

    #[test]
    fn only_the_topic_is_required() {
        let env = Env::of_table(&[("NOTIFY_TOPIC_ARN", TOPIC)]);
        let config = env.read(Config::from_env).unwrap();
        assert_eq!(config.notify_topic_arn.as_str(), TOPIC);
        assert_eq!((config.exclude_event_names, config.dry_run), (vec![], false));
    }

    #[test]
    fn every_setting_is_read() {
        let env = Env::of_table(&[
            ("NOTIFY_TOPIC_ARN", TOPIC),
            ("EXCLUDE_EVENT_NAMES", "TagRole, CreateServiceLinkedRole"),
            ("DRY_RUN", "true"),
        ]);
        let config = env.read(Config::from_env).unwrap();
        let names: Vec<&str> = config.exclude_event_names.iter().map(EventName::as_str).collect();
        assert_eq!((names, config.dry_run), (vec!["TagRole", "CreateServiceLinkedRole"], true));
    }

    #[test]
    fn all_faults_are_reported_together() {
        let env = Env::of_table(&[("EXCLUDE_EVENT_NAMES", "TagRole,Put*"), ("DRY_RUN", "perhaps")]);
        assert_eq!(
            env.read(Config::from_env).unwrap_err().to_string(),
            "invalid settings: \
             NOTIFY_TOPIC_ARN is \"\": expected the ARN of the topic that gets the mails; \
             EXCLUDE_EVENT_NAMES is \"Put*\": expected the name of a call such as CreateUser; \
             DRY_RUN is \"perhaps\": expected true or false"
        );
    }
}
