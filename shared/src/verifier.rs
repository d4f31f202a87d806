//! The verifier of SNS messages, with its settings from the environment.

use time::Duration;

use crate::env::Reader;
use crate::sns::{HttpsCertificates, Mode, Settings, SignatureVersion, Topics, Verifier};

/// Reads `SNS_VERIFY`, `TOPIC_ARNS`, `SNS_MAX_AGE_SECONDS` and `SNS_SIGNATURE_VERSIONS`. Messages of any topic are accepted
/// only where `TOPIC_ARNS` is unset: a list in which an item is wrong gives no settings.
#[must_use]
pub fn settings(env: &Reader<'_>) -> Option<Settings> {
    let versions: Vec<SignatureVersion> = env.list("SNS_SIGNATURE_VERSIONS").unwrap_or_default();
    if versions == [SignatureVersion::V1] {
        env.fault("SNS_SIGNATURE_VERSIONS", "1", "expected 1,2 or 2: version 2 is the safer one");
    }
    let mode = env.parsed("SNS_VERIFY").unwrap_or_default();
    let topics = match env.list("TOPIC_ARNS") {
        None => Some(Topics::any()),
        Some(topics) => Topics::only(topics).ok(),
    };
    let max_age = env.within("SNS_MAX_AGE_SECONDS", 1..=i64::from(u32::MAX)).map(Duration::seconds);
    let min_signature_version = versions.into_iter().min().unwrap_or(SignatureVersion::V1);
    Some(Settings { mode, topics: topics?, max_age, min_signature_version })
}

/// The verifier of a function that SNS or SQS invokes: [`settings`], and certificates from SNS.
#[must_use]
pub fn from_env(env: &Reader<'_>) -> Option<Verifier> {
    settings(env).map(|settings| Verifier::with_source(settings, HttpsCertificates::default()))
}

/// The verifier of a function that takes messages over HTTPS, where anybody can send one.
///
/// The topics must be named, none of them may be a FIFO topic, which does not deliver over HTTPS, and
/// `SNS_VERIFY=off` is a fault unless `AWS_SAM_LOCAL` is `true`, as `sam local` sets it.
///
/// ```
/// use gatehouse_shared::env::Env;
/// use gatehouse_shared::verifier;
///
/// let env = Env::of_table(&[]);
/// let error = env.read(verifier::from_env_for_https).err().unwrap();
/// assert_eq!(
///     error.to_string(),
///     "invalid settings: TOPIC_ARNS is \"\": \
///      expected the ARNs of the topics to accept, separated by commas: over HTTPS anybody can send messages"
/// );
/// ```
#[must_use]
pub fn from_env_for_https(env: &Reader<'_>) -> Option<Verifier> {
    let settings = settings(env);
    if env.text("TOPIC_ARNS").is_none() {
        env.fault(
            "TOPIC_ARNS",
            "",
            "expected the ARNs of the topics to accept, separated by commas: over HTTPS anybody can send messages",
        );
    }
    let settings = settings?;
    for topic in settings.topics.iter().filter(|topic| topic.is_fifo()) {
        env.fault("TOPIC_ARNS", topic.as_str(), "expected a standard topic: FIFO topics do not deliver over HTTPS");
    }
    if settings.mode == Mode::Off && !env.flag("AWS_SAM_LOCAL", false) {
        env.fault("SNS_VERIFY", "off", "expected enforce: over HTTPS anybody can send messages");
    }
    Some(Verifier::with_source(settings, HttpsCertificates::default()))
}
