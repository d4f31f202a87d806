//! SNS messages: from unchecked text to a message that SNS signed.
//!
//! An [`Envelope`] is a message as it arrived, by whatever way. [`Verifier::verify`] turns it into a [`Verified`], the
//! only type that gives the message out. Cheap checks come first, and nothing is fetched before the certificate's URL
//! has passed:
//!
//! 1. the topic is one of `TOPIC_ARNS`;
//! 2. the message has a signature of version 1 or 2, of a possible length;
//! 3. the URL of the certificate is SNS's, in the Region of the topic;
//! 4. the message is neither too old nor from the future;
//! 5. the certificate is SNS's, and was valid at the message's `Timestamp`;
//! 6. the signature fits.
//!
//! ```
//! use gatehouse_shared::env::Env;
//! use gatehouse_shared::sns::{Channel, Settings, Verifier, envelopes_of_lambda_event};
//! use gatehouse_shared::testing::{self, Signer, StaticCertificates};
//! use time::macros::datetime;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:example";
//! let sent = testing::notification(TOPIC, "hello", "2026-03-06T20:00:26.893Z");
//! let event = testing::lambda_event([Signer::new().sign(sent)]);
//!
//! let settings = [("TOPIC_ARNS", TOPIC)];
//! let env = Env::of_table(&settings);
//! // A function uses `Verifier::from_env(&env)`, which fetches certificates from SNS.
//! let verifier = Verifier::with_source(env.finish(Settings::from_env(&env))?, StaticCertificates::new());
//!
//! for envelope in envelopes_of_lambda_event(&event)? {
//!     let message = verifier.verify(envelope, Channel::Lambda, datetime!(2026-03-06 20:01 UTC)).await?;
//!     assert_eq!(message.message(), "hello");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Limitations
//!
//! - A signature says that SNS sent the message for this topic, not who published it: that is the topic policy's part.
//! - Messages may arrive twice; whoever handles them must be idempotent. [`HandledMessages`] remembers those of one process.
//! - Version 1 signatures rest on SHA1. A topic of one's own should have `SignatureVersion` 2.
//! - FIFO topics do not sign: their messages can be read but not verified.

pub mod certificate;
mod envelope;
mod handled;
pub mod signature;
mod topic;
mod topics;

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::{Arc, Once};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use self::certificate::{
    CertificateCache, CertificateSource, CertificateUrl, CertificateUrlError, HttpsCertificates, Unusable,
};
use self::envelope::shortened;
use self::signature::{SignatureVersion, string_to_sign};
use crate::env::Env;
use crate::region::Region;

pub use self::envelope::{Envelope, MessageType, ParseError, envelopes_of_lambda_event};
pub use self::handled::HandledMessages;
pub use self::topic::{TopicArn, TopicArnError};
pub use self::topics::{NoTopics, Topics};

/// How far a Timestamp may be ahead of this machine's clock.
const MAX_AHEAD: Duration = Duration::minutes(15);

/// How old a message may be over Lambda and SQS: SNS tries for 23 days, and a queue keeps a message for 14.
const MAX_AGE: Duration = Duration::days(40);

/// How old a message may be over HTTPS: SNS tries for an hour, at most.
const MAX_AGE_OVER_HTTPS: Duration = Duration::minutes(75);

/// The size of a signature with a key of 2,048 to 8,192 bits, in bytes.
const SIGNATURE_BYTES: RangeInclusive<usize> = 256..=1_024;

/// Which messages a function accepts.
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
}

/// Signatures are checked, of messages of any topic, with the usual age.
impl Default for Settings {
    fn default() -> Self {
        Self { mode: Mode::default(), topics: Topics::any(), max_age: None }
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
    /// Reads `SNS_VERIFY`, `TOPIC_ARNS` and `SNS_MAX_AGE_SECONDS`. Whatever is wrong with them is told by
    /// [`Env::finish`].
    #[must_use]
    pub fn from_env(env: &Env<'_>) -> Self {
        Self {
            mode: env.parsed("SNS_VERIFY").unwrap_or_default(),
            // A list of wrong items alone is a fault already, so what stands here then is never used.
            topics: env.list("TOPIC_ARNS").and_then(|topics| Topics::only(topics).ok()).unwrap_or_else(Topics::any),
            max_age: env.within("SNS_MAX_AGE_SECONDS", 1..=i64::from(u32::MAX)).map(Duration::seconds),
        }
    }

    /// Warns in the log where the settings admit more than they should. Written at the first message, because only
    /// then the settings are known to be good.
    fn warn(&self) {
        if self.mode == Mode::Off {
            tracing::warn!(
                "SNS_VERIFY is off: anybody who can invoke this function can forge messages; set it to enforce"
            );
        }
        if self.topics.are_any() {
            tracing::warn!("TOPIC_ARNS is unset: messages of any topic, of any account, are accepted; name the topics");
        }
    }

    fn max_age(&self, channel: Channel) -> Duration {
        self.max_age.unwrap_or(match channel {
            Channel::Lambda | Channel::Sqs => MAX_AGE,
            Channel::Https => MAX_AGE_OVER_HTTPS,
        })
    }
}

/// The way on which a message arrived, which decides how old it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// SNS invoked the function.
    Lambda,
    /// SNS sent the message to a queue.
    Sqs,
    /// SNS posted the message to a URL, which anybody else can do as well.
    Https,
}

/// A message that passed every check; only [`Verifier::verify`] makes one.
#[derive(Clone)]
pub struct Verified {
    envelope: Envelope,
    signature_checked: bool,
}

impl Verified {
    /// What SNS says the message is.
    #[must_use]
    pub fn message_type(&self) -> MessageType {
        self.envelope.message_type
    }

    /// What was published.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.envelope.message
    }

    /// The subject, if it was published with one.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.envelope.subject.as_deref()
    }

    /// The ARN of the topic.
    #[must_use]
    pub fn topic_arn(&self) -> &str {
        &self.envelope.topic_arn
    }

    /// SNS's identifier of the message: the same at each delivery and retry.
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.envelope.message_id
    }

    /// When it was published, as SNS wrote it: `2026-03-06T20:00:26.893Z`.
    #[must_use]
    pub fn timestamp(&self) -> &str {
        &self.envelope.timestamp
    }

    /// The token that confirms the subscription. Confirmations alone have one; it is a secret.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.envelope.token.as_deref()
    }

    /// The URL that confirms the subscription when it is visited. Confirmations alone have one; it holds the token.
    #[must_use]
    pub fn subscribe_url(&self) -> Option<&str> {
        self.envelope.subscribe_url.as_deref()
    }

    /// `false` only where `SNS_VERIFY=off`.
    #[must_use]
    pub fn signature_checked(&self) -> bool {
        self.signature_checked
    }
}

/// Shows what identifies the message and hides what may be secret.
impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("envelope", &self.envelope)
            .field("signature_checked", &self.signature_checked)
            .finish()
    }
}

/// Why a message is not trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The topic is not one that this function accepts.
    #[error("the field TopicArn is {seen}: expected one of TOPIC_ARNS, which has {expected}; add it if it is wanted")]
    TopicNotAllowed {
        /// The topic of the message, shortened.
        seen: String,
        /// The topics that are accepted.
        expected: String,
    },
    /// The message came over HTTPS, where anybody can send one, and no topic is named in the settings.
    #[error("a message over HTTPS is refused while TOPIC_ARNS is unset: expected the ARNs of the topics to accept")]
    NoTopicsOverHttps,
    /// The topic is not a topic of SNS.
    #[error("the field TopicArn is {seen}")]
    TopicArn {
        /// The topic of the message, shortened.
        seen: String,
        /// What is wrong with it.
        source: TopicArnError,
    },
    /// The message carries no signature.
    #[error(
        "the field {field} is missing: expected a signed message; FIFO topics do not sign, so use a standard topic"
    )]
    Unsigned {
        /// The field that is missing.
        field: &'static str,
    },
    /// The message is signed in a way that is not known.
    #[error("the field SignatureVersion is {seen}: expected \"1\" or \"2\"")]
    SignatureVersion {
        /// The version of the message, shortened.
        seen: String,
    },
    /// The URL of the certificate is not SNS's. Nothing was fetched.
    #[error("refusing to fetch the signing certificate")]
    CertificateUrl(#[from] CertificateUrlError),
    /// The certificate is that of another Region. Nothing was fetched.
    #[error("the field SigningCertURL names the Region {seen}: expected {expected}, that of the TopicArn")]
    CertificateRegion {
        /// The Region of the URL.
        seen: Region,
        /// The Region of the topic.
        expected: Region,
    },
    /// The time of the message cannot be read.
    #[error("the field Timestamp is {seen}: expected a time such as 2026-03-06T20:00:26.893Z")]
    Timestamp {
        /// The text, shortened.
        seen: String,
        /// What is wrong with it.
        source: time::error::Parse,
    },
    /// The message is older than allowed: perhaps somebody sent it again.
    #[error(
        "the field Timestamp is {timestamp}, {age_seconds} s ago: expected at most {limit_seconds} s; \
         SNS_MAX_AGE_SECONDS raises the limit"
    )]
    TooOld {
        /// The time of the message.
        timestamp: OffsetDateTime,
        /// How old it is.
        age_seconds: i64,
        /// How old it may be.
        limit_seconds: i64,
    },
    /// The message is from the future.
    #[error("the field Timestamp is {timestamp}: expected at most 15 minutes after {now}; check this machine's clock")]
    InFuture {
        /// The time of the message.
        timestamp: OffsetDateTime,
        /// The time of this machine.
        now: OffsetDateTime,
    },
    /// There is no usable certificate at the URL, now or at all.
    #[error("no signing certificate from {url}")]
    Certificate {
        /// The URL.
        url: CertificateUrl,
        /// Why not.
        source: Arc<Unusable>,
    },
    /// The certificate was not valid when the message was sent.
    #[error(
        "the field Timestamp is {timestamp}: expected {not_before} to {not_after}, when the certificate at {url} is valid"
    )]
    CertificateNotValid {
        /// The URL.
        url: CertificateUrl,
        /// The time of the message.
        timestamp: OffsetDateTime,
        /// The first moment of the certificate.
        not_before: OffsetDateTime,
        /// The last moment of the certificate.
        not_after: OffsetDateTime,
    },
    /// The signature is not base64.
    #[error("the field Signature is {seen}: expected base64; samples with the word EXAMPLE need SNS_VERIFY=off")]
    SignatureEncoding {
        /// The signature, shortened.
        seen: String,
        /// What is wrong with it.
        source: base64::DecodeError,
    },
    /// The signature has a length that no RSA key of SNS makes. Nothing was fetched.
    #[error(
        "the field Signature has {bytes} bytes: expected {} to {}, as RSA keys of 2048 to 8192 bits make",
        SIGNATURE_BYTES.start(),
        SIGNATURE_BYTES.end()
    )]
    SignatureLength {
        /// Its length, decoded.
        bytes: usize,
    },
    /// The message was not signed by SNS, or was changed since.
    #[error("the field Signature does not fit the message {message_id}: it was changed, or SNS did not sign it")]
    Signature {
        /// The message, as it names itself.
        message_id: String,
    },
}

impl VerifyError {
    /// Whether the same message may be accepted later: its certificate could not be fetched for now.
    ///
    /// Such a message must be delivered again: fail the record, or answer 503 over HTTPS. Any other is refused for good:
    /// over HTTPS, answer 403.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Certificate { source, .. } if source.may_pass())
    }
}

/// Checks messages; one for each process, because it keeps certificates.
pub struct Verifier {
    settings: Settings,
    certificates: CertificateCache,
    warned: Once,
}

impl Verifier {
    /// The verifier of a function that SNS or SQS invokes: [`Settings::from_env`], and certificates from SNS.
    ///
    /// Whatever is wrong with the settings is reported by [`Env::finish`], which must be asked before this is used.
    #[must_use]
    pub fn from_env(env: &Env<'_>) -> Self {
        Self::with_source(Settings::from_env(env), HttpsCertificates::default())
    }

    /// The verifier of a function that takes messages over HTTPS, where anybody can send one.
    ///
    /// The topics must be named, none of them may be a FIFO topic, which does not deliver over HTTPS, and
    /// `SNS_VERIFY=off` is a fault unless `AWS_SAM_LOCAL` is `true`, as `sam local` sets it.
    ///
    /// ```
    /// use gatehouse_shared::env::Env;
    /// use gatehouse_shared::sns::Verifier;
    ///
    /// let env = Env::of_table(&[]);
    /// let error = env.finish(Verifier::from_env_for_https(&env)).err().unwrap();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "invalid settings: TOPIC_ARNS is \"\": \
    ///      expected the ARNs of the topics to accept, separated by commas: over HTTPS anybody can send messages"
    /// );
    /// ```
    #[must_use]
    pub fn from_env_for_https(env: &Env<'_>) -> Self {
        let settings = Settings::from_env(env);
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
        Self::with_source(settings, HttpsCertificates::default())
    }

    /// A verifier with certificates from elsewhere.
    #[must_use]
    pub fn with_source(settings: Settings, source: impl CertificateSource + 'static) -> Self {
        Self { settings, certificates: CertificateCache::new(source), warned: Once::new() }
    }

    /// For how long a message can be accepted again, counted from the first time: as long as its age allows, and a little
    /// longer where SNS's clock is ahead.
    fn accepted_again_within(&self, channel: Channel) -> Duration {
        self.settings.max_age(channel) + MAX_AHEAD
    }

    /// Checks that SNS sent this message, for an accepted topic, not long before `now`.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] names the field, the value seen, the value expected, and what to do. [`VerifyError::may_pass`]
    /// says whether the message should be delivered again.
    pub async fn verify(
        &self,
        envelope: Envelope,
        channel: Channel,
        now: OffsetDateTime,
    ) -> Result<Verified, VerifyError> {
        self.warned.call_once(|| self.settings.warn());
        self.check_topic(&envelope, channel)?;
        if self.settings.mode == Mode::Off {
            return Ok(Verified { envelope, signature_checked: false });
        }
        let version = version_of(&envelope)?;
        let signature = signature_of(&envelope)?;
        let url = certificate_url_of(&envelope)?;
        let timestamp = recent_timestamp_of(&envelope, self.settings.max_age(channel), now)?;
        let certificate = match self.certificates.get(&url, now).await {
            Ok(certificate) => certificate,
            Err(source) => return Err(VerifyError::Certificate { url, source }),
        };
        let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
        if timestamp < not_before || not_after < timestamp {
            return Err(VerifyError::CertificateNotValid { url, timestamp, not_before, not_after });
        }
        match certificate.key().verify(version, &string_to_sign(&envelope), &signature) {
            Ok(()) => Ok(Verified { envelope, signature_checked: true }),
            Err(_) => Err(VerifyError::Signature { message_id: shortened(&envelope.message_id) }),
        }
    }

    fn check_topic(&self, envelope: &Envelope, channel: Channel) -> Result<(), VerifyError> {
        let topics = &self.settings.topics;
        if channel == Channel::Https && topics.are_any() {
            return Err(VerifyError::NoTopicsOverHttps);
        }
        if topics.admit(&envelope.topic_arn) {
            return Ok(());
        }
        Err(VerifyError::TopicNotAllowed { seen: shortened(&envelope.topic_arn), expected: topics.to_string() })
    }
}

fn version_of(envelope: &Envelope) -> Result<SignatureVersion, VerifyError> {
    let version = envelope.signature_version.as_deref().ok_or(VerifyError::Unsigned { field: "SignatureVersion" })?;
    SignatureVersion::parse(version).ok_or_else(|| VerifyError::SignatureVersion { seen: shortened(version) })
}

fn signature_of(envelope: &Envelope) -> Result<Vec<u8>, VerifyError> {
    let signature = envelope.signature.as_deref().ok_or(VerifyError::Unsigned { field: "Signature" })?;
    let signature = BASE64_STANDARD
        .decode(signature)
        .map_err(|source| VerifyError::SignatureEncoding { seen: shortened(signature), source })?;
    if !SIGNATURE_BYTES.contains(&signature.len()) {
        return Err(VerifyError::SignatureLength { bytes: signature.len() });
    }
    Ok(signature)
}

/// The URL of the certificate, which must be in the Region of the topic.
fn certificate_url_of(envelope: &Envelope) -> Result<CertificateUrl, VerifyError> {
    let topic: TopicArn = envelope
        .topic_arn
        .parse()
        .map_err(|source| VerifyError::TopicArn { seen: shortened(&envelope.topic_arn), source })?;
    let url = envelope.signing_cert_url.as_deref().ok_or(VerifyError::Unsigned { field: "SigningCertURL" })?;
    let url = CertificateUrl::parse(url)?;
    if url.region() != topic.region() {
        return Err(VerifyError::CertificateRegion { seen: url.region().clone(), expected: topic.region().clone() });
    }
    Ok(url)
}

fn recent_timestamp_of(
    envelope: &Envelope,
    max_age: Duration,
    now: OffsetDateTime,
) -> Result<OffsetDateTime, VerifyError> {
    let timestamp = OffsetDateTime::parse(&envelope.timestamp, &Rfc3339)
        .map_err(|source| VerifyError::Timestamp { seen: shortened(&envelope.timestamp), source })?;
    let age = now - timestamp;
    if age < -MAX_AHEAD {
        return Err(VerifyError::InFuture { timestamp, now });
    }
    if age > max_age {
        let (age_seconds, limit_seconds) = (age.whole_seconds(), max_age.whole_seconds());
        return Err(VerifyError::TooOld { timestamp, age_seconds, limit_seconds });
    }
    Ok(timestamp)
}
