//! ARNs in their parts, and ids of accounts.

use std::fmt;
use std::str::FromStr;

/// An ARN in its parts: `arn:<partition>:<service>:<region>:<account>:<resource>`. No part is checked.
///
/// ```
/// use gatehouse_sns::Arn;
///
/// let arn = Arn::parse("arn:aws:lambda:eu-west-1:111122223333:function:share:live").unwrap();
/// assert_eq!((arn.service, arn.region, arn.resource), ("lambda", "eu-west-1", "function:share:live"));
/// assert_eq!(Arn::parse("urn:aws:s3:::bucket"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arn<'a> {
    /// Such as `aws` or `aws-cn`.
    pub partition: &'a str,
    /// Such as `sns`.
    pub service: &'a str,
    /// Empty in ARNs of services without Regions, such as IAM.
    pub region: &'a str,
    /// Empty in some ARNs, such as those of S3.
    pub account: &'a str,
    /// What follows; its form is the service's own.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// The parts of an ARN; `None` where the text has not as many, or begins otherwise.
    ///
    /// Source: IAM User Guide, "Amazon Resource Names (ARNs)".
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, region, account, resource] = parts[..] else { return None };
        Some(Self { partition, service, region, account, resource })
    }
}

/// The id of an account: 12 digits.
///
/// ```
/// use gatehouse_sns::AccountId;
///
/// assert!("111122223333".parse::<AccountId>().is_ok());
/// assert_eq!("1111-2222-3333".parse::<AccountId>().unwrap_err(), "expected the 12 digits of an account id");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(String);

impl AccountId {
    /// The account that an ARN names, such as that of a function.
    ///
    /// ```
    /// use gatehouse_sns::AccountId;
    ///
    /// let arn = "arn:aws:lambda:eu-west-1:111122223333:function:example";
    /// assert_eq!(AccountId::of_arn(arn).unwrap().as_str(), "111122223333");
    /// assert_eq!(AccountId::of_arn("arn:aws:s3:::bucket"), None);
    /// ```
    #[must_use]
    pub fn of_arn(arn: &str) -> Option<Self> {
        Arn::parse(arn)?.account.parse().ok()
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AccountId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_id = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_id { Ok(Self(text.to_owned())) } else { Err("expected the 12 digits of an account id") }
    }
}
