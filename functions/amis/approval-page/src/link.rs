//! The token of a link, checked by AWS KMS. No key is here, and nothing is kept: a key that is disabled voids every link at
//! once.

use ami_approval::link::{LinkKeyArn, Token, UnverifiedToken};
use aws_sdk_kms::Client;
use aws_sdk_kms::error::ProvideErrorMetadata as _;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::MacAlgorithmSpec;
use gatehouse_shared::failure::chain;

use crate::error::{Unavailable, next_of};

/// Reads a token; `None` where it was not made with the key, was changed since, or the key is disabled or deleted. Its expiry
/// is still to be compared.
pub(crate) async fn verify(kms: &Client, key: &LinkKeyArn, text: &str) -> Result<Option<Token>, Unavailable> {
    let Some(unverified) = UnverifiedToken::parse(text) else { return Ok(None) };
    let verified = kms
        .verify_mac()
        .key_id(key.as_str())
        .mac_algorithm(MacAlgorithmSpec::HmacSha256)
        .message(Blob::new(unverified.message()))
        .mac(Blob::new(unverified.mac()))
        .send()
        .await;
    match verified {
        Ok(answer) => Ok(answer.mac_valid().then(|| unverified.after_verification())),
        Err(error) => match error.code() {
            Some("KMSInvalidMacException") => Ok(None),
            Some("DisabledException" | "KMSInvalidStateException" | "NotFoundException") => {
                tracing::warn!(%key, error = chain(&error), "the key of the links cannot be used: no link is valid");
                Ok(None)
            }
            code => {
                let next = next_of(code);
                Err(Unavailable::Key { key: key.to_string(), next, source: error.into() })
            }
        },
    }
}
