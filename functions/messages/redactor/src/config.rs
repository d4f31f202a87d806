//! Settings of the function.

use gatehouse_shared::chat::ChatTopic;
use gatehouse_shared::env::Reader;
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
    /// `CHAT_TOPIC_ARN`: the topic of Amazon Q Developer in chat applications, for the same.
    pub chat_topic: Option<ChatTopic>,
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
    /// Reads the settings. Each fault of the policy is named with its JSON path.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Option<Self> {
        let policy = policy(env);
        let subscriber_principal: Option<Principal> =
            env.required("SUBSCRIBER_PRINCIPAL", "expected the ARN of the subscriber's principal");
        let target_topic_arn: Option<TopicArn> =
            env.required("TARGET_TOPIC_ARN", "expected the ARN of the subscriber's topic");
        let denied_topic_arn: Option<TopicArn> = env.parsed("DENIED_TOPIC_ARN");
        let chat_topic = ChatTopic::from_env(env);
        let dry_run = env.flag("DRY_RUN", false);
        let allow_unprotected = env.flag("ALLOW_UNPROTECTED", false);
        let options = Options { require_keywords: env.flag("REQUIRE_KEYWORDS", true) };
        if let (Some(PolicySetting::Inline(policy)), Some(principal)) = (&policy, &subscriber_principal)
            && !allow_unprotected
            && let Err(nothing) = policy.applies_to(Direction::Outbound, principal)
        {
            env.fault("SUBSCRIBER_PRINCIPAL", principal.as_str(), &format!("{nothing}; {PROTECT}"));
        }
        let source = env.text("TOPIC_ARNS").unwrap_or_default();
        for (name, topic) in [("TARGET_TOPIC_ARN", &target_topic_arn), ("DENIED_TOPIC_ARN", &denied_topic_arn)] {
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
        if let Some(denied) = denied_topic_arn.as_ref().filter(|denied| target_topic_arn.as_ref() == Some(denied)) {
            env.fault("DENIED_TOPIC_ARN", denied.as_str(), "expected another topic than TARGET_TOPIC_ARN");
        }
        Some(Self {
            policy: policy?,
            subscriber_principal: subscriber_principal?,
            target_topic_arn: target_topic_arn?,
            denied_topic_arn,
            chat_topic,
            dry_run,
            allow_unprotected,
            options,
        })
    }
}

/// What to do where nothing applies.
pub(crate) const PROTECT: &str =
    "name the principal in an Outbound statement, or set ALLOW_UNPROTECTED=true to publish messages as they are";

fn policy(env: &Reader<'_>) -> Option<PolicySetting> {
    const NAME: &str = "DATA_PROTECTION_POLICY";
    let text = env.text(NAME).unwrap_or_default();
    if let Some(parameter) = text.strip_prefix("ssm:") {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/:".contains(&byte);
        if parameter.is_empty() || !parameter.bytes().all(allowed) {
            env.fault(NAME, &text, "expected ssm: and the name of a parameter, such as ssm:/gatehouse/messages/policy");
        }
        return Some(PolicySetting::Parameter(parameter.to_owned()));
    }
    if text.is_empty() {
        env.fault(NAME, "", "expected a data protection policy, or ssm: and the name of the parameter that holds it");
    } else {
        match Policy::parse(&text) {
            Ok(policy) => return Some(PolicySetting::Inline(Box::new(policy))),
            Err(faults) => {
                for fault in faults.0 {
                    env.fault(&format!("{NAME} {}", fault.path), &fault.seen, &format!("expected {}", fault.expected));
                }
            }
        }
    }
    None
}
