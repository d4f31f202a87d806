//! What tests need to speak SNS: a labelled test key and certificate, a signer, messages, certificates without a network.
//!
//! The key is public, see `testing/README.md`: nothing here belongs into a program that trusts what it verifies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::{CertificateSource, CertificateUrl, Envelope, FetchError, Fetching, TopicArn, string_to_sign};

/// The test key: RSA, 2,048 bits, PKCS#8.
pub const SIGNING_KEY_PEM: &str = include_str!("../testing/test-signing-key.pem");

/// Its certificate, signed by itself: common name `sns.amazonaws.com`, valid from 2020 to 2120.
pub const SIGNING_CERTIFICATE_PEM: &str = include_str!("../testing/test-signing-cert.pem");

/// The path that signed messages name for that certificate.
pub const SIGNING_CERTIFICATE_PATH: &str = "/SimpleNotificationService-00000000000000000000000000000000.pem";

/// Signs messages as SNS does, with the test key and version 2.
///
/// The crypto library makes no version 1 signatures, for good reasons: `testing/messages` has some.
pub struct Signer {
    key: RsaKeyPair,
}

impl Default for Signer {
    fn default() -> Self {
        Self::new()
    }
}

impl Signer {
    /// Reads the test key.
    ///
    /// # Panics
    ///
    /// When `testing/test-signing-key.pem` is damaged.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "the key is a constant")]
    pub fn new() -> Self {
        let base64: String = SIGNING_KEY_PEM.lines().filter(|line| !line.starts_with("-----")).collect();
        Self { key: RsaKeyPair::from_pkcs8(&BASE64_STANDARD.decode(base64).unwrap()).unwrap() }
    }

    /// Adds `SignatureVersion`, `Signature` and `SigningCertURL` to a message of any type, in the spelling of HTTP and
    /// SQS deliveries; [`lambda_event`] changes it into Lambda's.
    ///
    /// # Panics
    ///
    /// When this is not an SNS message, or its topic is none: a test wants to know.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a test that signs nonsense should fail right here")]
    pub fn sign(&self, mut message: Value) -> Value {
        let envelope = Envelope::from_value(&message).unwrap();
        let topic: TopicArn = envelope.unverified_topic_arn().parse().unwrap();
        let (region, dns_suffix) = (topic.region(), topic.region().dns_suffix());
        let mut signature = vec![0; self.key.public_modulus_len()];
        let text = string_to_sign(&envelope);
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
        message["SignatureVersion"] = "2".into();
        message["Signature"] = BASE64_STANDARD.encode(signature).into();
        message["SigningCertURL"] = format!("https://sns.{region}.{dns_suffix}{SIGNING_CERTIFICATE_PATH}").into();
        message
    }
}

/// A notification that nobody has signed yet; `timestamp` such as `2026-03-06T20:00:26.893Z`.
#[must_use]
pub fn notification(topic_arn: &str, message: &str, timestamp: &str) -> Value {
    json!({
        "Type": "Notification",
        "MessageId": "da41e39f-ea4d-435a-b922-c6aae3915ebe",
        "TopicArn": topic_arn,
        "Message": message,
        "Timestamp": timestamp,
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
    })
}

/// The event that SNS invokes a Lambda function with: names spelled Lambda's way, `Subject` null where there is none.
///
/// # Panics
///
/// When a message is not a JSON object.
#[must_use]
pub fn lambda_event(messages: impl IntoIterator<Item = Value>) -> Value {
    let record_of = |mut message: Value| {
        #[expect(clippy::expect_used, reason = "a test that delivers nonsense should fail right here")]
        let fields = message.as_object_mut().expect("an SNS message is a JSON object");
        for (http, lambda) in [("SigningCertURL", "SigningCertUrl"), ("UnsubscribeURL", "UnsubscribeUrl")] {
            if let Some(url) = fields.remove(http) {
                fields.insert(lambda.to_owned(), url);
            }
        }
        fields.entry("Subject").or_insert(Value::Null);
        fields.insert("MessageAttributes".to_owned(), json!({}));
        json!({
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": format!("{}:21be56ed-a058-49f5-8c98-aedd2564c486", message["TopicArn"].as_str().unwrap_or_default()),
            "Sns": message,
        })
    };
    json!({ "Records": messages.into_iter().map(record_of).collect::<Vec<_>>() })
}

/// The same file for every URL; counts how often it was requested. Clones share the count.
#[derive(Debug, Clone)]
pub struct StaticCertificates(Arc<State>);

#[derive(Debug)]
struct State {
    file: String,
    status: AtomicU16,
    fetches: AtomicUsize,
}

impl Default for StaticCertificates {
    fn default() -> Self {
        Self::new()
    }
}

impl StaticCertificates {
    /// The test certificate.
    #[must_use]
    pub fn new() -> Self {
        Self::of(SIGNING_CERTIFICATE_PEM)
    }

    /// Another file.
    #[must_use]
    pub fn of(file: impl Into<String>) -> Self {
        Self(Arc::new(State { file: file.into(), status: 200.into(), fetches: 0.into() }))
    }

    /// From now on, answers with status 503, or with the file.
    pub fn fail(&self, failing: bool) {
        self.answer(if failing { 503 } else { 200 });
    }

    /// From now on, answers with this HTTP status: 200 with the file, 0 with none, as after a time-out.
    pub fn answer(&self, status: u16) {
        self.0.status.store(status, Ordering::Relaxed);
    }

    /// How often a certificate was requested.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.0.fetches.load(Ordering::Relaxed)
    }
}

impl CertificateSource for StaticCertificates {
    fn fetch<'a>(&'a self, _: &'a CertificateUrl) -> Fetching<'a> {
        Box::pin(async {
            self.0.fetches.fetch_add(1, Ordering::Relaxed);
            match self.0.status.load(Ordering::Relaxed) {
                200 => Ok(self.0.file.clone().into_bytes()),
                0 => Err(FetchError::Http("timed out".into())),
                status => Err(FetchError::Status { status }),
            }
        })
    }
}
