//! The checks, cheap ones first: nothing is fetched before the certificate's URL has passed.

use std::cell::Cell;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::certificate::{CertificateStore, Failure};
use crate::envelope::shortened;
use crate::signature::{SIGNATURE_BYTES, SignatureVersion, string_to_sign};
use crate::{CertificateSource, CertificateUrl, Channel, Envelope, Mode, Settings, TopicArn, Verified, VerifyError};

/// How far a Timestamp may be ahead of this machine's clock.
const MAX_AHEAD: Duration = Duration::minutes(15);

/// Checks messages; one for each process, or for each thread where several verify, because it keeps certificates.
pub struct Verifier {
    settings: Settings,
    certificates: CertificateStore,
    warned: Cell<bool>,
}

impl Verifier {
    /// A verifier with certificates from elsewhere.
    #[must_use]
    pub fn with_source(settings: Settings, source: impl CertificateSource + 'static) -> Self {
        Self { settings, certificates: CertificateStore::new(source), warned: Cell::default() }
    }

    /// Checks that SNS sent this message, for an accepted topic, not long before `now`.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] names the field, the value seen, the value expected, and what to do. [`VerifyError::is_transient`]
    /// says whether the message should be delivered again.
    pub async fn verify(
        &self,
        envelope: Envelope,
        channel: Channel,
        now: OffsetDateTime,
    ) -> Result<Verified, VerifyError> {
        if !self.warned.replace(true) {
            self.settings.warn();
        }
        self.check_topic(&envelope, channel)?;
        if self.settings.mode == Mode::Off {
            return Ok(Verified { envelope, signature_checked: false });
        }
        let version = version_of(&envelope)?;
        let signature = signature_of(&envelope)?;
        let topic: TopicArn = envelope
            .topic_arn
            .parse()
            .map_err(|source| VerifyError::TopicArn { seen: shortened(&envelope.topic_arn), source })?;
        if version < self.settings.min_signature_version {
            return Err(VerifyError::Sha1 { topic });
        }
        let url = certificate_url_of(&envelope, &topic)?;
        let timestamp = recent_timestamp_of(&envelope, self.settings.max_age(channel), now)?;
        let certificate = match self.certificates.get(&url, now).await {
            Ok(certificate) => certificate,
            Err(Failure::Unavailable(source)) => return Err(VerifyError::CertificateUnavailable { url, source }),
            Err(Failure::Invalid(source)) => return Err(VerifyError::CertificateInvalid { url, source }),
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
    version.parse().map_err(|_| VerifyError::SignatureVersion { seen: shortened(version) })
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
fn certificate_url_of(envelope: &Envelope, topic: &TopicArn) -> Result<CertificateUrl, VerifyError> {
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
