//! Why a message is not trusted, and why a file was not fetched.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::signature::SIGNATURE_BYTES;
use crate::{CertificateError, CertificateUrl, CertificateUrlError, Region, TopicArn, TopicArnError};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

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
    /// The message is signed with SHA1, which the settings do not accept.
    #[error(
        "the field SignatureVersion is \"1\", which is SHA1: expected \"2\", as SNS_SIGNATURE_VERSIONS says; let the \
         topic sign with SHA256: aws sns set-topic-attributes --topic-arn {topic} --attribute-name SignatureVersion \
         --attribute-value 2"
    )]
    Sha1 {
        /// The topic.
        topic: TopicArn,
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
    /// No certificate was read from the URL, so it is not known whether the message is genuine. See
    /// [`VerifyError::is_transient`].
    #[error("no signing certificate from {url}; the message must be delivered again")]
    CertificateUnavailable {
        /// The URL.
        url: CertificateUrl,
        /// Why not.
        source: Arc<CertificateUnavailable>,
    },
    /// A certificate was read from the URL, and it is not a signing certificate of SNS in that Region.
    #[error("the certificate at {url} is not one that SNS signs with")]
    CertificateInvalid {
        /// The URL.
        url: CertificateUrl,
        /// What is wrong with it.
        source: Arc<CertificateError>,
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
    /// Whether the same message may be accepted later, because its certificate was not read: not known is not refused.
    ///
    /// Such a message must be delivered again: fail the record, or answer 503 over HTTPS. Any other is refused
    /// permanently: over HTTPS, answer 403.
    ///
    /// Source: SNS Developer Guide, "Amazon SNS message delivery retries": SNS tries again after 5xx and 429, and takes
    /// other answers of 4xx as permanent.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::CertificateUnavailable { .. })
    }
}

/// Why no certificate was read. Whatever the reason, it says nothing about the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateUnavailable {
    /// The file was not fetched: no answer, or another status than 200.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The file holds no certificate that can be read.
    #[error(transparent)]
    Unreadable(CertificateError),
    /// It was not fetched, because too many messages name URLs that never gave a certificate. The limit does not concern
    /// a certificate in use.
    #[error(
        "not fetched: too many messages name URLs in the Region {region} that never gave a certificate; \
         the sender must try again"
    )]
    Limited {
        /// The Region of the URL.
        region: Region,
    },
}

/// Why a file could not be fetched. The caller knows the URL, so the texts do not repeat it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// There is no client to fetch with.
    #[error("setting up the HTTPS client; SSL_CERT_FILE or the system must have root certificates")]
    Client(#[source] BoxError),
    /// The URL is not fetched.
    #[error("the URL is {url:?}: expected https://, or http:// on loopback")]
    Url {
        /// The URL.
        url: String,
    },
    /// No connection, a time-out, or an answer that broke off.
    #[error("the request failed (a function in a VPC needs a route to this host)")]
    Http(#[source] BoxError),
    /// The server did not answer with the file.
    #[error("the server answered {status}, expected 200; redirects are not followed")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The file is larger than the caller allows.
    #[error("the file has more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

impl FetchError {
    /// Whether a later attempt may succeed: the fault is not that of the URL, or of what is there.
    ///
    /// ```
    /// use gatehouse_sns::FetchError;
    ///
    /// assert!(FetchError::Status { status: 503 }.is_transient());
    /// assert!(!FetchError::Status { status: 404 }.is_transient());
    /// ```
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Client(_) | Self::Http(_) => true,
            Self::Status { status } => matches!(status, 408 | 429) || (500..600).contains(status),
            Self::Url { .. } | Self::TooLarge { .. } => false,
        }
    }
}
