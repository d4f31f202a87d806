//! Settings of the function.

use gatehouse_shared::env::Reader;
use gatehouse_shared::sns::TopicArn;

/// Settings, read once at cold start. `TOPIC_ARNS`, which must be set, and those that begin with `SNS_` belong to
/// [`gatehouse_shared::verifier`].
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `TARGET_TOPIC_ARN`: the topic that gets the messages. It is a standard topic, in any Region, and none of
    /// `TOPIC_ARNS`: the relay would publish each message again and again.
    pub target_topic_arn: TopicArn,
    /// `DRY_RUN`: verify and log what would be done; confirm and publish nothing. SNS is answered 200 all the same, and
    /// takes the messages as delivered.
    pub dry_run: bool,
}

impl Config {
    /// Reads the settings.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Option<Self> {
        let (target_topic_arn, dry_run) = (target_topic_arn(env), env.flag("DRY_RUN", false));
        Some(Self { target_topic_arn: target_topic_arn?, dry_run })
    }
}

fn target_topic_arn(env: &Reader<'_>) -> Option<TopicArn> {
    const NAME: &str = "TARGET_TOPIC_ARN";
    let topic: TopicArn = env.required(NAME, "expected the ARN of the topic that gets the messages")?;
    let fault = |value: &str, reason: &str| env.fault(NAME, value, reason);
    if topic.is_fifo() {
        fault(topic.as_str(), "expected a standard topic: messages that came over HTTPS have no order to keep");
    }
    // As text, because whatever is wrong with TOPIC_ARNS itself is reported by the verifier.
    let origins = env.text("TOPIC_ARNS").unwrap_or_default();
    if origins.split(',').any(|origin| origin.trim() == topic.as_str()) {
        fault(topic.as_str(), "expected none of TOPIC_ARNS: each message would be relayed again and again");
    }
    Some(topic)
}

#[cfg(test)]
mod tests {
    use gatehouse_shared::env::Env;
    use gatehouse_shared::verifier;

    use super::*;

    const ORIGIN: &str = "arn:aws:sns:eu-west-1:123456789012:origin";
    const TARGET: &str = "arn:aws:sns:eu-central-1:111122223333:target";

    fn settings(table: &[(&str, &str)]) -> Result<Config, String> {
        Env::of_table(table)
            .read(|env| Config::from_env(env).zip(verifier::from_env_for_https(env)))
            .map(|(config, _)| config)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_setting_is_read() {
        let config = settings(&[("TOPIC_ARNS", ORIGIN), ("TARGET_TOPIC_ARN", TARGET), ("DRY_RUN", "true")]).unwrap();
        assert_eq!(config, Config { target_topic_arn: TARGET.parse().unwrap(), dry_run: true });
        assert!(!settings(&[("TOPIC_ARNS", ORIGIN), ("TARGET_TOPIC_ARN", TARGET)]).unwrap().dry_run);
    }

    #[test]
    fn settings_that_would_lose_messages_or_let_anybody_in_are_faults() {
        let both = format!("{TARGET} ,{ORIGIN}");
        for (table, expected) in [
            (vec![], "TARGET_TOPIC_ARN is \"\": expected the ARN"),
            (vec![], "TOPIC_ARNS is \"\": expected the ARNs"),
            (vec![("TARGET_TOPIC_ARN", "target")], "TARGET_TOPIC_ARN is \"target\": expected arn:"),
            (vec![("TARGET_TOPIC_ARN", "arn:aws:sns:eu-west-1:111122223333:t.fifo")], "expected a standard topic"),
            (vec![("TARGET_TOPIC_ARN", TARGET), ("TOPIC_ARNS", &both)], "expected none of TOPIC_ARNS"),
            (
                vec![("TOPIC_ARNS", "arn:aws:sns:eu-west-1:111122223333:t.fifo")],
                "FIFO topics do not deliver over HTTPS",
            ),
            (vec![("SNS_VERIFY", "off")], "SNS_VERIFY is \"off\": expected enforce"),
            (vec![("SNS_VERIFY", "off"), ("AWS_SAM_LOCAL", "false")], "SNS_VERIFY is \"off\": expected enforce"),
        ] {
            let mut whole = table.clone();
            for (name, value) in [("TOPIC_ARNS", ORIGIN), ("TARGET_TOPIC_ARN", TARGET)] {
                if !table.is_empty() && !table.iter().any(|(given, _)| *given == name) {
                    whole.push((name, value));
                }
            }
            let error = settings(&whole).unwrap_err();
            assert!(error.contains(expected), "{table:?}: {error}");
        }
    }

    #[test]
    fn signatures_may_be_left_unchecked_under_sam_local_alone() {
        let local =
            [("TOPIC_ARNS", ORIGIN), ("TARGET_TOPIC_ARN", TARGET), ("SNS_VERIFY", "off"), ("AWS_SAM_LOCAL", "true")];
        assert!(settings(&local).is_ok());
    }
}
