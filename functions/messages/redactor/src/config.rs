//! Settings of the function.

use gatehouse_shared::env::Env;
use gatehouse_shared::sns::TopicArn;

use data_protection::{Direction, Options, Policy, Principal};

/// Settings, read once at cold start. Those that begin with `SNS_`, and `TOPIC_ARNS`, belong to
/// [`gatehouse_shared::verifier`].
#[derive(Debug, Clone)]
pub struct Config {
    /// `DATA_PROTECTION_POLICY`: AWS's JSON, or `ssm:` and the name of the parameter that holds it.
    pub policy: PolicySetting,
    /// `SUBSCRIBER_PRINCIPAL`: the ARN of the principal that the messages are for. Statements choose by it.
    pub subscriber_principal: Principal,
    /// `TARGET_TOPIC_ARN`: the subscriber's topic. A standard topic.
    pub target_topic_arn: TopicArn,
    /// `DENIED_TOPIC_ARN`: who is notified of a message that is not delivered. Unset: nobody, it is only logged.
    pub denied_topic_arn: Option<TopicArn>,
    /// `DRY_RUN`: log what would be done and publish nothing.
    pub dry_run: bool,
    /// `ALLOW_UNPROTECTED`: publish messages as they are where no statement applies to `SUBSCRIBER_PRINCIPAL`.
    pub allow_unprotected: bool,
    /// `REQUIRE_KEYWORDS`: off finds every value of the form of an identifier, also without one of its keywords near it.
    pub options: Options,
}

/// Where the policy is.
#[derive(Debug, Clone)]
pub enum PolicySetting {
    /// In the setting itself.
    Inline(Box<Policy>),
    /// In a parameter of Systems Manager, which is read again every five minutes.
    Parameter(String),
}

impl Config {
    /// Reads the settings. Whatever is wrong with them is reported by [`Env::finish`], each fault of the policy with its
    /// JSON path.
    #[must_use]
    pub fn from_env(env: &Env<'_>) -> Self {
        let config = Self {
            policy: policy(env),
            subscriber_principal: required(
                env,
                "SUBSCRIBER_PRINCIPAL",
                "the ARN of the subscriber's principal",
                PRINCIPAL,
            ),
            target_topic_arn: required(env, "TARGET_TOPIC_ARN", "the ARN of the subscriber's topic", TOPIC),
            denied_topic_arn: env.parsed("DENIED_TOPIC_ARN"),
            dry_run: env.flag("DRY_RUN", false),
            allow_unprotected: env.flag("ALLOW_UNPROTECTED", false),
            options: Options { require_keywords: env.flag("REQUIRE_KEYWORDS", true) },
        };
        if let PolicySetting::Inline(policy) = &config.policy
            && !config.allow_unprotected
            && config.subscriber_principal.as_str() != PRINCIPAL
            && let Err(nothing) = policy.applies_to(Direction::Outbound, &config.subscriber_principal)
        {
            env.fault("SUBSCRIBER_PRINCIPAL", config.subscriber_principal.as_str(), &format!("{nothing}; {PROTECT}"));
        }
        let source = env.text("TOPIC_ARNS").unwrap_or_default();
        for (name, topic) in [
            ("TARGET_TOPIC_ARN", Some(&config.target_topic_arn)),
            ("DENIED_TOPIC_ARN", config.denied_topic_arn.as_ref()),
        ] {
            let Some(topic) = topic else { continue };
            if topic.is_fifo() {
                env.fault(name, topic.as_str(), "expected a standard topic: messages are published without a group");
            }
            if source.split(',').any(|source| source.trim() == topic.as_str()) {
                env.fault(
                    name,
                    topic.as_str(),
                    "expected another topic than those of TOPIC_ARNS: the function would invoke itself",
                );
            }
        }
        if config.denied_topic_arn.as_ref() == Some(&config.target_topic_arn) {
            env.fault(
                "DENIED_TOPIC_ARN",
                config.target_topic_arn.as_str(),
                "expected another topic than TARGET_TOPIC_ARN",
            );
        }
        config
    }
}

/// What to do where nothing applies.
pub(crate) const PROTECT: &str =
    "name the principal in an Outbound statement, or set ALLOW_UNPROTECTED=true to publish messages as they are";

const PRINCIPAL: &str = "arn:aws:iam::000000000000:role/unset";
const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:unset";

fn policy(env: &Env<'_>) -> PolicySetting {
    const NAME: &str = "DATA_PROTECTION_POLICY";
    let text = env.text(NAME).unwrap_or_default();
    if let Some(parameter) = text.strip_prefix("ssm:") {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/:".contains(&byte);
        if parameter.is_empty() || !parameter.bytes().all(allowed) {
            env.fault(NAME, &text, "expected ssm: and the name of a parameter, such as ssm:/gatehouse/messages/policy");
        }
        return PolicySetting::Parameter(parameter.to_owned());
    }
    if text.is_empty() {
        env.fault(NAME, "", "expected a data protection policy, or ssm: and the name of the parameter that holds it");
    } else {
        match Policy::parse(&text) {
            Ok(policy) => return PolicySetting::Inline(Box::new(policy)),
            Err(faults) => {
                for fault in faults.0 {
                    env.fault(&format!("{NAME} {}", fault.path), &fault.seen, &format!("expected {}", fault.expected));
                }
            }
        }
    }
    PolicySetting::Parameter(String::new())
}

/// A setting that must be set. Where it is not, that is a fault, and the placeholder is never used: [`Env::finish`]
/// gives no settings then.
fn required<T>(env: &Env<'_>, name: &str, what: &str, placeholder: &str) -> T
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display + std::fmt::Debug,
{
    if env.text(name).is_none() {
        env.fault(name, "", &format!("expected {what}"));
    }
    #[expect(clippy::expect_used, reason = "constants")]
    env.parsed(name).unwrap_or_else(|| placeholder.parse().expect("a value of its type"))
}
