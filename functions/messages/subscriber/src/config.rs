//! Settings of the function.

use gatehouse_shared::env::Reader;

/// Settings, read once at cold start. Those that begin with `SNS_`, and `TOPIC_ARNS`, belong to
/// [`gatehouse_shared::verifier`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `SUBSCRIBER`: who this function is in its log lines, such as `payment` or `reporting`.
    pub subscriber: String,
}

impl Config {
    /// Reads the settings.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Option<Self> {
        let subscriber = env.text("SUBSCRIBER").unwrap_or_default();
        let is_name = (1..=64).contains(&subscriber.len())
            && subscriber.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if !is_name {
            env.fault(
                "SUBSCRIBER",
                &subscriber,
                "expected a name such as payment: 1 to 64 letters, digits, underscores or hyphens",
            );
        }
        is_name.then_some(Self { subscriber })
    }
}
