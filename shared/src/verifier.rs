//! The verifier of SNS messages, with its settings from the environment.

use time::Duration;

use crate::env::Env;
use crate::sns::{HttpsCertificates, Mode, Settings, SignatureVersion, Topics, Verifier};

/// Reads `SNS_VERIFY`, `TOPIC_ARNS`, `SNS_MAX_AGE_SECONDS` and `SNS_SIGNATURE_VERSIONS`. [`Env::finish`] reports all
/// invalid values.
#[must_use]
pub fn settings(env: &Env<'_>) -> Settings {
    let versions: Vec<SignatureVersion> = env.list("SNS_SIGNATURE_VERSIONS").unwrap_or_default();
    if versions == [SignatureVersion::V1] {
        env.fault("SNS_SIGNATURE_VERSIONS", "1", "expected 1,2 or 2: version 2 is the safer one");
    }
    Settings {
        mode: env.parsed("SNS_VERIFY").unwrap_or_default(),
        // A list of wrong items alone is a fault already, so what stands here then is never used.
        topics: env.list("TOPIC_ARNS").and_then(|topics| Topics::only(topics).ok()).unwrap_or_else(Topics::any),
        max_age: env.within("SNS_MAX_AGE_SECONDS", 1..=i64::from(u32::MAX)).map(Duration::seconds),
        min_signature_version: versions.into_iter().min().unwrap_or(SignatureVersion::V1),
    }
}

/// The verifier of a function that SNS or SQS invokes: [`settings`], and certificates from SNS.
///
/// [`Env::finish`], which must be asked before this is used, reports all invalid settings.
#[must_use]
pub fn from_env(env: &Env<'_>) -> Verifier {
    Verifier::with_source(settings(env), HttpsCertificates::default())
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
/// let error = env.finish(verifier::from_env_for_https(&env)).err().unwrap();
/// assert_eq!(
///     error.to_string(),
///     "invalid settings: TOPIC_ARNS is \"\": \
///      expected the ARNs of the topics to accept, separated by commas: over HTTPS anybody can send messages"
/// );
/// ```
#[must_use]
pub fn from_env_for_https(env: &Env<'_>) -> Verifier {
    let settings = settings(env);
    if env.text("TOPIC_ARNS").is_none() {
        env.fault(
            "TOPIC_ARNS",
            "",
            "expected the ARNs of the topics to accept, separated by commas: over HTTPS anybody can send messages",
        );
    }
    for topic in settings.topics.iter().filter(|topic| topic.is_fifo()) {
        env.fault("TOPIC_ARNS", topic.as_str(), "expected a standard topic: FIFO topics do not deliver over HTTPS");
    }
    if settings.mode == Mode::Off && !env.flag("AWS_SAM_LOCAL", false) {
        env.fault("SNS_VERIFY", "off", "expected enforce: over HTTPS anybody can send messages");
    }
    Verifier::with_source(settings, HttpsCertificates::default())
}
