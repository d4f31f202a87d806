//! Verifies messages of Amazon SNS: from untrusted text to a message that SNS signed.
//!
//! An [`Envelope`] is a message as it arrived, by any delivery. [`Verifier::verify`] makes a [`Verified`] of it, the only
//! type that exposes the message.
//!
//! ```
//! use gatehouse_sns::testing::{self, Signer, StaticCertificates};
//! use gatehouse_sns::{Channel, Settings, Topics, Verifier, envelopes_of_lambda_event};
//! use time::macros::datetime;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:example";
//! let sent = testing::notification(TOPIC, "hello", "2026-03-06T20:00:26.893Z");
//! let event = testing::lambda_event([Signer::new().sign(sent)]);
//!
//! let settings = Settings { topics: Topics::only([TOPIC.parse()?])?, ..Settings::default() };
//! // Outside tests: `HttpsCertificates::default()` (feature `fetch`) reads certificates from SNS.
//! let verifier = Verifier::with_source(settings, StaticCertificates::new());
//!
//! for envelope in envelopes_of_lambda_event(&event)? {
//!     let message = verifier.verify(envelope, Channel::Lambda, datetime!(2026-03-06 20:01 UTC)).await?;
//!     assert_eq!(message.message(), "hello");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What a signature proves
//!
//! That SNS sent the message for this topic, with this text, at this time. Checks, in this order, cheap ones first:
//!
//! 1. the topic is one of the accepted ones;
//! 2. the message has a signature of an accepted version, of a possible length;
//! 3. the URL of the certificate is SNS's, in the Region of the topic;
//! 4. the message is neither too old nor from the future;
//! 5. the certificate is SNS's, and was valid at the message's `Timestamp`;
//! 6. the signature fits.
//!
//! # What it does not prove
//!
//! - Who published: that is the topic policy's part.
//! - That it is new: SNS delivers at least once, and a message that was recorded verifies again until it is too old.
//!   Whoever acts on a message must be idempotent.
//! - That another endpoint did not get it, or that none is missing.
//! - Anything of a FIFO topic or a raw delivery: those are not signed, and refused.
//! - Version 1 rests on SHA1. Topics of one's own should have `SignatureVersion` 2.
//! - The chain of the certificate to a root is not checked, because SNS serves the leaf alone. Trust rests on TLS to a
//!   host of SNS, and on the name in the certificate.
//!
//! # Limits
//!
//! | what | limit | source |
//! |---|---|---|
//! | age over Lambda and SQS | 40 days | SNS tries for 23 days, a queue keeps a message for 14 (SNS Developer Guide, "Message delivery retries"; SQS Developer Guide, "Message quotas") |
//! | age over HTTPS | 75 minutes | a delivery policy ends after 3,600 s (SNS Developer Guide, "Creating an HTTP/S delivery policy") |
//! | ahead of the clock | 15 minutes | as AWS allows for signed requests |
//! | a field but `Message` | 4,096 bytes, one line | SNS's longest, `SubscribeURL`, has about 500 |
//! | a signature | 256 to 1,024 bytes | RSA keys of 2,048 to 8,192 bits, as the crypto library accepts |
//! | a certificate's file | 64 KiB within 5 seconds | SNS's have about 2 KiB |
//! | a certificate | is fetched again after a day, and stays while that fails | SNS renews certificates under new URLs |
//! | a URL that gave no certificate | is fetched once in 10 seconds | SNS tries again after 20 (SNS Developer Guide, "Creating an HTTP/S delivery policy") |
//! | URLs that never gave a certificate | 2 fetches in 20 seconds for a Region, 10 for all; 4,096 are remembered | a Region has one certificate in use |
//!
//! Who names new URLs all the time, or the same ones again and again, delays the first certificate of a Region in a new
//! process; SNS keeps trying meanwhile. A certificate that was read is out of their reach.

#![warn(missing_docs)]

mod arn;
mod certificate;
mod delivery;
mod envelope;
mod error;
#[cfg(feature = "fetch")]
mod fetch;
mod region;
mod settings;
mod signature;
#[cfg(feature = "testing")]
pub mod testing;
mod topic;
mod verified;
mod verifier;

pub use arn::{AccountId, Arn};
#[cfg(feature = "fetch")]
pub use certificate::HttpsCertificates;
pub use certificate::{
    Certificate, CertificateError, CertificateSource, CertificateUrl, CertificateUrlError, Fetching,
    signing_common_names,
};
pub use delivery::{Channel, envelopes_of_lambda_event};
pub use envelope::{Envelope, MessageType, ParseError};
pub use error::{CertificateUnavailable, FetchError, VerifyError};
#[cfg(feature = "fetch")]
pub use fetch::{Fetcher, PlainHttp};
pub use region::{Region, RegionError};
pub use settings::{Mode, Settings};
pub use signature::{SignatureVersion, SigningKey, string_to_sign};
pub use topic::{NoTopics, TopicArn, TopicArnError, Topics};
pub use verified::Verified;
pub use verifier::Verifier;
