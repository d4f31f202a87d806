//! What SNS signs, and whether it did.
//!
//! Pure: no clock, no network, no environment.

use std::ops::RangeInclusive;
use std::str::FromStr;

use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256};

use crate::Envelope;

/// The size of a signature with a key of 2,048 to 8,192 bits, in bytes.
pub(crate) const SIGNATURE_BYTES: RangeInclusive<usize> = 256..=1_024;

/// How a message is signed; a topic has the attribute `SignatureVersion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignatureVersion {
    /// `"1"`: RSA with SHA1, which is SNS's default.
    V1,
    /// `"2"`: RSA with SHA256.
    V2,
}

impl FromStr for SignatureVersion {
    type Err = &'static str;

    /// The field `SignatureVersion`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "1" => Ok(Self::V1),
            "2" => Ok(Self::V2),
            _ => Err("expected 1 or 2"),
        }
    }
}

/// The text that SNS signed: name and value of each field, one a line, names in byte order; an absent or null
/// `Subject` is left out.
///
/// ```
/// use gatehouse_sns::{Envelope, string_to_sign};
///
/// let envelope = Envelope::from_json(r#"{
///     "Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:us-east-1:123456789012:example",
///     "Subject": "greeting", "Message": "hello", "Timestamp": "2019-01-02T12:45:07.000Z"
/// }"#).unwrap();
/// assert_eq!(
///     string_to_sign(&envelope),
///     "Message\nhello\nMessageId\n1\nSubject\ngreeting\nTimestamp\n2019-01-02T12:45:07.000Z\n\
///      TopicArn\narn:aws:sns:us-east-1:123456789012:example\nType\nNotification\n"
/// );
/// ```
///
/// Source: SNS Developer Guide, "Verifying the signatures of Amazon SNS messages".
#[must_use]
pub fn string_to_sign(envelope: &Envelope) -> String {
    // Notifications have no SubscribeURL and no Token, confirmations have no Subject: the envelope ensures that.
    let fields = [
        ("Message", Some(envelope.message.as_str())),
        ("MessageId", Some(&envelope.message_id)),
        ("Subject", envelope.subject.as_deref()),
        ("SubscribeURL", envelope.subscribe_url.as_deref()),
        ("Timestamp", Some(&envelope.timestamp)),
        ("Token", envelope.token.as_deref()),
        ("TopicArn", Some(&envelope.topic_arn)),
        ("Type", Some(envelope.message_type.as_str())),
    ];
    let mut text = String::with_capacity(envelope.message.len() + 1_024);
    for (name, value) in fields {
        let Some(value) = value else { continue };
        for part in [name, "\n", value, "\n"] {
            text.push_str(part);
        }
    }
    text
}

/// The public key of a signing certificate: RSA, 2,048 to 8,192 bits.
#[derive(Debug, Clone)]
pub struct SigningKey {
    sha1: ParsedPublicKey,
    sha256: ParsedPublicKey,
}

impl SigningKey {
    /// Reads a key from its DER form, as a certificate holds it (`SubjectPublicKeyInfo`).
    ///
    /// # Errors
    ///
    /// [`KeyRejected`] for anything but an RSA key. A key of another size than named above verifies nothing.
    pub fn from_der(public_key: &[u8]) -> Result<Self, KeyRejected> {
        Ok(Self {
            sha1: ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, public_key)?,
            sha256: ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key)?,
        })
    }

    /// Checks that `signature` was made over `text` with this key.
    ///
    /// # Errors
    ///
    /// [`Unspecified`]: it was not. There is nothing more to know.
    pub fn verify(&self, version: SignatureVersion, text: &str, signature: &[u8]) -> Result<(), Unspecified> {
        match version {
            SignatureVersion::V1 => &self.sha1,
            SignatureVersion::V2 => &self.sha256,
        }
        .verify_sig(text.as_bytes(), signature)
    }
}
