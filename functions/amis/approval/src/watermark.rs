//! The AMI watermark that means "approved".
//!
//! EC2 hands a watermark on to every image that is made from an instance or a copy of the image. So only a watermark that
//! was attached to the image itself says something about it; an inherited one is removed before and attached anew.

use std::fmt;
use std::str::FromStr;

use crate::target::AccountId;

/// `APPROVED_WATERMARK`: the name of an AMI watermark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark(String);

impl Watermark {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of this watermark where this account attaches it: `<account>:<name>`.
    #[must_use]
    pub fn key(&self, account: &AccountId) -> String {
        format!("{account}:{self}")
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Watermark {
    type Err = &'static str;

    /// Source: EC2 API Reference, `AttachImageWatermark`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"()[] ./-'@_".contains(&byte);
        if (3..=128).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected 3 to 128 letters, digits, spaces and ()[]./-'@_")
        }
    }
}

/// A watermark as `DescribeImages` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedWatermark {
    /// `WatermarkKey`.
    pub key: String,
    /// `SourceImageId`: the image that it was attached to.
    pub source_image_id: Option<String>,
}

impl AttachedWatermark {
    /// Whether it was attached to another image, and this one only inherited it.
    #[must_use]
    pub fn is_inherited(&self, image_id: &str) -> bool {
        self.source_image_id.as_deref() != Some(image_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_ec2_accepts() {
        assert_eq!("approved [2026]".parse::<Watermark>().unwrap().as_str(), "approved [2026]");
        for text in ["", "ab", "a:b", "grün", &"x".repeat(129)] {
            assert!(text.parse::<Watermark>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_image_itself_is_a_source_that_counts() {
        let attached = |source: Option<&str>| AttachedWatermark {
            key: "111122223333:approved".to_owned(),
            source_image_id: source.map(str::to_owned),
        };
        assert!(!attached(Some("ami-11111111")).is_inherited("ami-11111111"));
        assert!(attached(Some("ami-22222222")).is_inherited("ami-11111111"));
        assert!(attached(None).is_inherited("ami-11111111"));
    }
}
