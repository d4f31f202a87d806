//! The signed link in the approvers' mail.
//!
//! The token names an Automation execution and the time until which it may be used, and nothing else: what is approved
//! is read from the execution. It is text for a URL of 94 characters: `v1.<execution id>.<expiry>.<mac>`, where `expiry`
//! is in seconds since 1970-01-01 and `mac` is HMAC-SHA256 over all that comes before it, as base64url.
//!
//! ```
//! use ami_approval::link::{Key, Token, TokenError};
//! use time::macros::datetime;
//!
//! let key = Key::from_base64("c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA==").unwrap();
//! let token = Token::new("333ba70b-2333-48db-b17e-a5e69c6f4d1c", datetime!(2026-11-28 12:00 UTC)).unwrap();
//! let text = token.sign(&key);
//!
//! assert_eq!(text.len(), 94);
//! assert_eq!(Token::verify(&text, [&key], datetime!(2026-11-28 11:59 UTC)).unwrap(), token);
//! assert_eq!(Token::verify(&text, [&key], datetime!(2026-11-28 12:01 UTC)), Err(TokenError::Expired));
//! let text = text.replace("333ba70b", "333ba70c");
//! assert_eq!(Token::verify(&text, [&key], datetime!(2026-11-28 11:59 UTC)), Err(TokenError::Forged));
//! ```

use std::fmt;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use time::OffsetDateTime;

/// What the MAC covers begins with this, so that the key signs nothing that another use of it could accept.
const DOMAIN: &[u8] = b"gatehouse/amis/approval-link\n";
/// The form of a token.
const VERSION: &str = "v1";
/// RFC 2104 discourages keys shorter than the hash.
const LEAST_KEY_BYTES: usize = 32;

/// The key that signs links. Its value is never shown.
#[derive(Clone)]
pub struct Key(hmac::Key);

/// The text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected base64 of at least 32 random bytes; delete the parameter to have a new key made")]
pub struct KeyError;

impl Key {
    /// The key in its stored form.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when it is not base64 or too short.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let bytes = BASE64_STANDARD.decode(text.trim()).map_err(|_| KeyError)?;
        if bytes.len() < LEAST_KEY_BYTES {
            return Err(KeyError);
        }
        Ok(Self(hmac::Key::new(HMAC_SHA256, &bytes)))
    }

    /// A new key of 32 random bytes, in its stored form.
    ///
    /// # Panics
    ///
    /// Where the operating system gives no random bytes.
    #[must_use]
    #[expect(clippy::expect_used, reason = "there is nothing to go on with")]
    pub fn generate_base64() -> String {
        let mut bytes = [0; LEAST_KEY_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
        BASE64_STANDARD.encode(bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What a link stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    execution_id: String,
    expires_at: OffsetDateTime,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was not signed with one of the keys, or was changed since.
    #[error("the token was not signed with the present key")]
    Forged,
    /// It was signed, and its time is over.
    #[error("the token has expired")]
    Expired,
}

impl Token {
    /// A token for an execution. `None` where the id is not that of an execution, or the time is before 1970.
    #[must_use]
    pub fn new(execution_id: &str, expires_at: OffsetDateTime) -> Option<Self> {
        let expires_at = expires_at.replace_nanosecond(0).ok()?;
        let is_valid = is_execution_id(execution_id) && expires_at.unix_timestamp() > 0;
        is_valid.then(|| Self { execution_id: execution_id.to_owned(), expires_at })
    }

    /// The execution.
    #[must_use]
    pub fn execution_id(&self) -> &str {
        &self.execution_id
    }

    /// Until when the token may be used.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        self.expires_at
    }

    /// The token as text.
    #[must_use]
    pub fn sign(&self, key: &Key) -> String {
        let claims = format!("{VERSION}.{}.{}", self.execution_id, self.expires_at.unix_timestamp());
        let mac = hmac::sign(&key.0, &signed(&claims));
        format!("{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac))
    }

    /// Reads a token that one of `keys` signed. The comparison of the MAC takes the same time for each wrong one.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; nothing is said of a forged token but that it is forged.
    pub fn verify<'a>(
        text: &str,
        keys: impl IntoIterator<Item = &'a Key>,
        now: OffsetDateTime,
    ) -> Result<Self, TokenError> {
        let (claims, mac) = text.rsplit_once('.').ok_or(TokenError::Forged)?;
        // Only the one spelling of each MAC: no padding, and the unused bits of the last character are zero.
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).map_err(|_| TokenError::Forged)?;
        if !keys.into_iter().any(|key| hmac::verify(&key.0, &signed(claims), &mac).is_ok()) {
            return Err(TokenError::Forged);
        }
        let token = Self::of_claims(claims).ok_or(TokenError::Forged)?;
        if token.expires_at <= now { Err(TokenError::Expired) } else { Ok(token) }
    }

    fn of_claims(claims: &str) -> Option<Self> {
        let (execution_id, expiry) = claims.strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')?;
        Self::new(execution_id, OffsetDateTime::from_unix_timestamp(expiry.parse().ok()?).ok()?)
    }
}

fn signed(claims: &str) -> Vec<u8> {
    [DOMAIN, claims.as_bytes()].concat()
}

/// Source: Systems Manager API Reference, `GetAutomationExecution`: the id is a UUID of 36 characters.
fn is_execution_id(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;
    use time::macros::datetime;

    use super::*;

    const EXECUTION: &str = "333ba70b-2333-48db-b17e-a5e69c6f4d1c";
    const NOW: OffsetDateTime = datetime!(2026-11-25 12:00 UTC);

    fn key(byte: u8) -> Key {
        Key::from_base64(&BASE64_STANDARD.encode([byte; 32])).unwrap()
    }

    fn token() -> Token {
        Token::new(EXECUTION, NOW + time::Duration::hours(72)).unwrap()
    }

    #[test]
    fn the_text_of_a_token_stays_the_same_from_release_to_release() {
        assert_eq!(
            token().sign(&key(7)),
            "v1.333ba70b-2333-48db-b17e-a5e69c6f4d1c.1795867200.eMz2i8OuG90kIYBmY5yYpTexg1LnnNsP6CG_I51OgSo"
        );
    }

    #[test]
    fn a_link_of_the_previous_key_is_accepted_during_a_rotation() {
        let text = token().sign(&key(1));
        assert_eq!(Token::verify(&text, [&key(2), &key(1)], NOW), Ok(token()));
        assert_eq!(Token::verify(&text, [&key(2)], NOW), Err(TokenError::Forged));
        assert_eq!(Token::verify(&text, [], NOW), Err(TokenError::Forged));
    }

    #[test]
    fn a_token_expires_at_its_second() {
        let text = token().sign(&key(1));
        let expiry = token().expires_at();
        assert!(Token::verify(&text, [&key(1)], expiry - time::Duration::SECOND).is_ok());
        assert_eq!(Token::verify(&text, [&key(1)], expiry), Err(TokenError::Expired));
        // Whoever cannot sign does not learn that it expired.
        assert_eq!(Token::verify(&text, [&key(2)], expiry), Err(TokenError::Forged));
    }

    #[test]
    fn what_the_key_signed_for_another_use_is_no_token() {
        let claims = format!("v1.{EXECUTION}.{}", token().expires_at().unix_timestamp());
        let mac = hmac::sign(&key(1).0, claims.as_bytes());
        let text = format!("{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac));
        assert_eq!(Token::verify(&text, [&key(1)], NOW), Err(TokenError::Forged));
    }

    #[test]
    fn signed_claims_of_another_form_are_no_token() {
        for claims in [
            "",
            "v1",
            "v1.x.9999999999",
            "v2.333ba70b-2333-48db-b17e-a5e69c6f4d1c.9999999999",
            "v1.333BA70B-2333-48db-b17e-a5e69c6f4d1c.9999999999",
            "v1.333ba70b-2333-48db-b17e-a5e69c6f4d1c.-1",
            "v1.333ba70b-2333-48db-b17e-a5e69c6f4d1c.soon",
            "v1.333ba70b-2333-48db-b17e-a5e69c6f4d1c.99999999999999999999",
        ] {
            let text = format!("{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key(1).0, &signed(claims))));
            assert_eq!(Token::verify(&text, [&key(1)], NOW), Err(TokenError::Forged), "{claims}");
        }
    }

    #[test]
    fn no_token_is_made_for_what_is_no_execution() {
        for id in [
            "",
            "x",
            "333ba70b-2333-48db-b17e-a5e69c6f4d1",
            "333ba70b.2333-48db-b17e-a5e69c6f4d1c",
            "../..",
            "333BA70B-2333-48DB-B17E-A5E69C6F4D1C",
        ] {
            assert_eq!(Token::new(id, NOW), None, "{id}");
        }
        assert_eq!(Token::new(EXECUTION, OffsetDateTime::UNIX_EPOCH), None);
    }

    #[test]
    fn a_key_is_long_enough_and_never_shown() {
        assert_eq!(format!("{:?}", key(1)), "Key(…)");
        for text in
            ["", "short", &BASE64_STANDARD.encode([1; 31]), "not base64 at all, though it is long enough for a key"]
        {
            assert_eq!(Key::from_base64(text).err(), Some(KeyError), "{text}");
        }
        let (one, other) = (Key::generate_base64(), Key::generate_base64());
        assert_ne!(one, other);
        assert_eq!(BASE64_STANDARD.decode(&one).unwrap().len(), 32);
        assert!(Key::from_base64(&format!("{one}\n")).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// One character replaced, left out, put in or doubled; two parts swapped; cut; more appended; another case.
        #[test]
        fn a_mutated_token_never_verifies(kind in 0..8_u8, at: Index, other: Index, byte in 0x20..0x7f_u8) {
            let text = token().sign(&key(1));
            let (at, other) = (at.index(text.len()), other.index(text.len()));
            let mut bytes = text.clone().into_bytes();
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, byte),
                3 => bytes.swap(at, other),
                4 => bytes.truncate(at),
                5 => bytes.push(byte),
                6 => bytes[at] ^= 0x20,
                _ => bytes[at] ^= 1 << (byte % 7),
            }
            let Ok(mutated) = String::from_utf8(bytes) else { return Ok(()) };
            prop_assume!(mutated != text);
            prop_assert_eq!(Token::verify(&mutated, [&key(1)], NOW), Err(TokenError::Forged), "{}", mutated);
        }
    }
}
