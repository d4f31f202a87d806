//! The signed link in the approvers' mail.
//!
//! The token names an Automation execution and the time until which it may be used, and nothing else: what is approved
//! is read from the execution. It is text for a URL of 94 characters: `v2.<execution id>.<expiry>.<mac>`, where `expiry`
//! is in seconds since 1970-01-01 and `mac` is HMAC-SHA256 over all that comes before it, as base64url.
//!
//! AWS KMS makes and checks the MAC, with a key that never leaves it: `GenerateMac` in `ami-approval-request`, `VerifyMac`
//! in `ami-approval-page`. No role has the permission for both.
//!
//! ```
//! use ami_approval::link::{Token, UnverifiedToken};
//! use time::macros::datetime;
//!
//! let token = Token::new("333ba70b-2333-48db-b17e-a5e69c6f4d1c", datetime!(2026-11-28 12:00 UTC)).unwrap();
//! assert!(token.message().starts_with(b"gatehouse/amis/approval-link\nv2.333ba70b-"));
//! let text = token.with_mac(&[7; 32]);
//! assert_eq!(text.len(), 94);
//!
//! let unverified = UnverifiedToken::parse(&text).unwrap();
//! assert_eq!((unverified.message(), unverified.mac()), (token.message(), &[7; 32][..]));
//! assert_eq!(unverified.after_verification(), token);
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gatehouse_shared::arn::{AccountId, Arn};
use time::OffsetDateTime;

/// What the MAC covers begins with this, so that the key signs nothing that another use of it could accept.
const DOMAIN: &str = "gatehouse/amis/approval-link\n";
/// The form of a token.
const VERSION: &str = "v2";
/// The length of HMAC-SHA256.
const MAC_BYTES: usize = 32;

/// `LINK_KEY_ARN`: the ARN of the KMS key that signs the links, with `KeySpec` `HMAC_256`.
///
/// ```
/// use ami_approval::link::LinkKeyArn;
///
/// assert!("arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".parse::<LinkKeyArn>().is_ok());
/// assert!("alias/links".parse::<LinkKeyArn>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkKeyArn(String);

impl LinkKeyArn {
    /// What is expected, for a setting that is missing.
    pub const EXPECTED: &str = "expected the ARN of a KMS key, arn:<partition>:kms:<region>:<12 digits>:key/<id>";

    /// The ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LinkKeyArn {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_key = |arn: &Arn<'_>| {
            let id = arn.resource.strip_prefix("key/").filter(|id| !id.is_empty() && !id.contains(':'));
            arn.service == "kms" && !arn.region.is_empty() && arn.account.parse::<AccountId>().is_ok() && id.is_some()
        };
        Arn::parse(text).filter(is_key).map(|_| Self(text.to_owned())).ok_or(Self::EXPECTED)
    }
}

impl fmt::Display for LinkKeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a link stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    execution_id: String,
    expires_at: OffsetDateTime,
}

/// A token as it arrived: it has the form of one, and nothing in it has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedToken {
    token: Token,
    mac: Vec<u8>,
}

impl Token {
    /// A token for an execution. `None` where the id is not that of an execution, or the time is before 1970.
    #[must_use]
    pub fn new(execution_id: &str, expires_at: OffsetDateTime) -> Option<Self> {
        let expires_at = expires_at.replace_nanosecond(0).ok()?;
        let is_valid = is_execution_id(execution_id) && expires_at.unix_timestamp() > 0;
        is_valid.then(|| Self { execution_id: execution_id.to_owned(), expires_at })
    }

    #[must_use]
    pub fn execution_id(&self) -> &str {
        &self.execution_id
    }

    /// Until when the token may be used.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        self.expires_at
    }

    /// What the MAC covers.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        format!("{DOMAIN}{}", self.claims()).into_bytes()
    }

    /// The token as text, with the MAC of [`Token::message`].
    #[must_use]
    pub fn with_mac(&self, mac: &[u8]) -> String {
        format!("{}.{}", self.claims(), BASE64_URL_SAFE_NO_PAD.encode(mac))
    }

    fn claims(&self) -> String {
        format!("{VERSION}.{}.{}", self.execution_id, self.expires_at.unix_timestamp())
    }
}

impl UnverifiedToken {
    /// Reads a token; `None` where the text has another form. Each token has one spelling: no padding, no leading zeros,
    /// and the unused bits of the last character are zero.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (claims, mac) = text.rsplit_once('.')?;
        let (execution_id, expiry) = claims.strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')?;
        let token = Token::new(execution_id, OffsetDateTime::from_unix_timestamp(expiry.parse().ok()?).ok()?)?;
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).ok()?;
        (mac.len() == MAC_BYTES && token.claims() == claims).then_some(Self { token, mac })
    }

    /// What the MAC covers.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        self.token.message()
    }

    /// The MAC to be verified.
    #[must_use]
    pub fn mac(&self) -> &[u8] {
        &self.mac
    }

    /// The token, once AWS KMS has verified the MAC. Its expiry is still to be compared with the clock.
    #[must_use]
    pub fn after_verification(self) -> Token {
        self.token
    }
}

/// Source: Systems Manager API Reference, `GetAutomationExecution`: the id is a UUID of 36 characters.
#[must_use]
pub fn is_execution_id(text: &str) -> bool {
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
    const EXPIRY: OffsetDateTime = datetime!(2026-11-28 12:00 UTC);

    fn token() -> Token {
        Token::new(EXECUTION, EXPIRY).unwrap()
    }

    #[test]
    fn the_text_of_a_token_stays_the_same_from_release_to_release() {
        assert_eq!(
            token().with_mac(&[7; 32]),
            "v2.333ba70b-2333-48db-b17e-a5e69c6f4d1c.1795867200.BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"
        );
        assert_eq!(
            String::from_utf8(token().message()).unwrap(),
            "gatehouse/amis/approval-link\nv2.333ba70b-2333-48db-b17e-a5e69c6f4d1c.1795867200"
        );
    }

    #[test]
    fn a_token_has_one_spelling() {
        let text = token().with_mac(&[7; 32]);
        let (claims, mac) = text.rsplit_once('.').unwrap();
        for other in [
            format!("{text}="),
            format!(" {text}"),
            format!("{claims}.{}", &mac[..42]),
            format!("{claims}.{}d", &mac[..42]),
            text.replace(".1795867200.", ".01795867200."),
            text.replace(".1795867200.", ".+1795867200."),
            text.replace("v2.", "v1."),
            text.replace("333ba70b", "333BA70B"),
            text.replace(".1795867200.", ".-1."),
            text.replace(".1795867200.", ".99999999999999999999."),
            String::new(),
            "..".to_owned(),
        ] {
            assert_eq!(UnverifiedToken::parse(&other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_execution_gets_no_token() {
        for id in ["", "333ba70b", "333ba70b-2333-48db-b17e-a5e69c6f4d1", "333ba70b-2333-48db-b17e-a5e69c6f4d1g"] {
            assert_eq!(Token::new(id, EXPIRY), None, "{id}");
        }
        assert_eq!(Token::new(EXECUTION, OffsetDateTime::UNIX_EPOCH), None);
    }

    proptest! {
        /// A changed token is no token, or AWS KMS is asked about another message or another MAC.
        #[test]
        fn no_other_text_is_the_same_token(index in any::<Index>(), byte in any::<u8>(), mac in any::<[u8; 32]>()) {
            let text = token().with_mac(&mac);
            let mut changed = text.into_bytes();
            let index = index.index(changed.len());
            prop_assume!(changed[index] != byte);
            changed[index] = byte;
            if let Some(parsed) = std::str::from_utf8(&changed).ok().and_then(UnverifiedToken::parse) {
                prop_assert!(parsed.message() != token().message() || parsed.mac() != mac);
            }
        }

        #[test]
        fn every_token_is_read_back(seconds in 1_i64..4_000_000_000, mac in any::<[u8; 32]>()) {
            let token = Token::new(EXECUTION, OffsetDateTime::from_unix_timestamp(seconds).unwrap()).unwrap();
            let parsed = UnverifiedToken::parse(&token.with_mac(&mac)).unwrap();
            prop_assert_eq!(parsed.mac(), &mac[..]);
            prop_assert_eq!(parsed.after_verification(), token);
        }
    }
}
