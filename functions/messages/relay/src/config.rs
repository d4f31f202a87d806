//! Settings of the function.

use gatehouse_shared::env::Env;
use gatehouse_shared::sns::TopicArn;

/// Settings, read once at cold start. `TOPIC_ARNS`, which must be set, `SNS_VERIFY` and `SNS_MAX_AGE_SECONDS` belong to
/// [`gatehouse_shared::sns`].
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
    /// Reads the settings. Whatever is wrong with them is reported by [`Env::finish`].
    #[must_use]
    pub fn from_env(env: &Env<'_>) -> Self {
        Self { target_topic_arn: target_topic_arn(env), dry_run: env.flag("DRY_RUN", false) }
    }
}

fn target_topic_arn(env: &Env<'_>) -> TopicArn {
    const NAME: &str = "TARGET_TOPIC_ARN";
    let fault = |value: &str, reason: &str| env.fault(NAME, value, reason);
    if env.text(NAME).is_none() {
        fault("", "expected the ARN of the topic that gets the messages");
    }
    let Some(topic) = env.parsed::<TopicArn>(NAME) else { return placeholder() };
    if topic.is_fifo() {
        fault(topic.as_str(), "expected a standard topic: messages that came over HTTPS have no order to keep");
    }
    // As text, because whatever is wrong with TOPIC_ARNS itself is told by the verifier.
    let origins = env.text("TOPIC_ARNS").unwrap_or_default();
    if origins.split(',').any(|origin| origin.trim() == topic.as_str()) {
        fault(topic.as_str(), "expected none of TOPIC_ARNS: each message would be relayed again and again");
    }
    topic
}

/// Stands where the setting is missing or wrong. It is never used: [`Env::finish`] gives no settings then.
#[expect(clippy::expect_used, reason = "a constant")]
fn placeholder() -> TopicArn {
    "arn:aws:sns:us-east-1:000000000000:unset".parse().expect("the ARN of a topic")
}
