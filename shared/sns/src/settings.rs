//! Which messages are accepted.

use std::str::FromStr;

use time::Duration;

use crate::{Channel, SignatureVersion, Topics};

/// How old a message may be over Lambda and SQS: SNS tries for 23 days, and a queue keeps a message for 14.
const MAX_AGE: Duration = Duration::days(40);

/// How old a message may be over HTTPS: SNS tries for an hour, at most.
const MAX_AGE_OVER_HTTPS: Duration = Duration::minutes(75);

/// Which messages are accepted. The names in capitals are those of the settings that errors name.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `SNS_VERIFY`: whether signatures are checked.
    pub mode: Mode,
    /// `TOPIC_ARNS`: the topics whose messages are accepted, comma-separated. Unset means any topic, which is refused
    /// over HTTPS.
    pub topics: Topics,
    /// `SNS_MAX_AGE_SECONDS`: how old a message may be by its Timestamp. Unset means 40 days for Lambda and SQS, where
    /// SNS tries for 23 days and a queue keeps a message for 14, and 75 minutes for HTTPS, where SNS tries for an hour.
    pub max_age: Option<Duration>,
    /// `SNS_SIGNATURE_VERSIONS`: the oldest version of signatures that is accepted. Version 1, the default of SNS's topics
    /// and of this setting, rests on SHA1.
    pub min_signature_version: SignatureVersion,
}

/// Signatures of both versions are checked, of messages of any topic, with the usual age.
impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            topics: Topics::any(),
            max_age: None,
            min_signature_version: SignatureVersion::V1,
        }
    }
}

/// Whether signatures are checked: the values of `SNS_VERIFY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// `enforce`: a message is accepted when SNS signed it.
    #[default]
    Enforce,
    /// `off`: for samples whose signature is the word EXAMPLE. Neither signature nor age is checked, the topic is.
    Off,
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "off" => Ok(Self::Off),
            _ => Err("expected enforce or off"),
        }
    }
}

impl Settings {
    /// Warns in the log where the settings admit more than they should. Written at the first message, because only
    /// then the settings are known to be good.
    pub(crate) fn warn(&self) {
        if self.mode == Mode::Off {
            tracing::warn!(
                "SNS_VERIFY is off: anybody who can invoke this function can forge messages; set it to enforce"
            );
        }
        if self.topics.are_any() {
            tracing::warn!("TOPIC_ARNS is unset: messages of any topic, of any account, are accepted; name the topics");
        }
    }

    pub(crate) fn max_age(&self, channel: Channel) -> Duration {
        self.max_age.unwrap_or(match channel {
            Channel::Lambda | Channel::Sqs => MAX_AGE,
            Channel::Https => MAX_AGE_OVER_HTTPS,
        })
    }
}
