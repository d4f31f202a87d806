//! The Region in which a message was signed: its partition, its host names, the names on its certificates.

use std::fmt;

/// The name of an AWS Region, such as `eu-west-1`, in lower case.
///
/// Checked for its form, not against a list: new Regions appear more often than functions are deployed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Region(String);

/// Partition, start of its Regions' names, DNS suffix. All other Regions are in `aws`.
///
/// Source: `partitions.json` of botocore.
const PARTITIONS: [(&str, &str, &str); 7] = [
    ("aws-cn", "cn-", "amazonaws.com.cn"),
    ("aws-us-gov", "us-gov-", "amazonaws.com"),
    ("aws-iso", "us-iso-", "c2s.ic.gov"),
    ("aws-iso-b", "us-isob-", "sc2s.sgov.gov"),
    ("aws-iso-e", "eu-isoe-", "cloud.adc-e.uk"),
    ("aws-iso-f", "us-isof-", "csp.hci.ic.gov"),
    ("aws-eusc", "eusc-", "amazonaws.eu"),
];

impl Region {
    /// Takes a name that has the form of a Region: two to five letters, one or more words of letters, a number.
    ///
    /// ```
    /// use gatehouse_shared::sns::Region;
    ///
    /// assert!(Region::parse("us-gov-west-1").is_some());
    /// // Under `amazonaws.com` this is S3: `sns.s3-us-west-2.amazonaws.com` is a bucket that anyone may own.
    /// assert!(Region::parse("s3-us-west-2").is_none());
    /// ```
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (words, number) = name.rsplit_once('-')?;
        let (area, places) = words.split_once('-')?;
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let is_region = is_number && is_word(area) && (2..=5).contains(&area.len()) && places.split('-').all(is_word);
        is_region.then(|| Self(name.to_owned()))
    }

    /// The name, such as `eu-west-1`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition, such as `aws-cn`.
    #[must_use]
    pub fn partition(&self) -> &'static str {
        self.partition_and_dns_suffix().0
    }

    /// The DNS suffix of the partition, such as `amazonaws.com`.
    #[must_use]
    pub fn dns_suffix(&self) -> &'static str {
        self.partition_and_dns_suffix().1
    }

    fn partition_and_dns_suffix(&self) -> (&'static str, &'static str) {
        PARTITIONS
            .iter()
            .find(|(_, start, _)| self.0.starts_with(start))
            .map_or(("aws", "amazonaws.com"), |(partition, _, suffix)| (*partition, *suffix))
    }

    /// The common names that a certificate of SNS may have in this Region: one, or two where the Region is newer
    /// than this table.
    ///
    /// AWS publishes no rule. Regions that were there before 2019 share one certificate, later ones have their own.
    /// For a Region it does not know, AWS's SDK guesses the old form; all that AWS opened since 2019 have the new
    /// form, so both are accepted there.
    ///
    /// Source: `SnsHostProvider` of the AWS SDK for Java 2.
    #[must_use]
    pub fn signing_common_names(&self) -> Vec<String> {
        let (region, suffix) = (self.as_str(), self.dns_suffix());
        let shared = || format!("sns.{suffix}");
        let with_region = || format!("sns-{region}.{suffix}");
        let signing = || format!("sns-signing.{region}.{suffix}");
        match region {
            "us-east-1" | "us-east-2" | "us-west-1" | "us-west-2" | "ca-central-1" | "sa-east-1" | "eu-west-1"
            | "eu-west-2" | "eu-west-3" | "eu-central-1" | "eu-north-1" | "ap-northeast-1" | "ap-northeast-2"
            | "ap-northeast-3" | "ap-southeast-1" | "ap-southeast-2" | "ap-south-1" => vec![shared()],
            "us-gov-west-1" | "us-gov-east-1" => vec!["sns-us-gov-west-1.amazonaws.com".to_owned()],
            "cn-north-1" | "cn-northwest-1" | "us-iso-east-1" | "us-isob-east-1" => vec![with_region()],
            "af-south-1" | "ap-east-1" | "ap-east-2" | "ap-south-2" | "ap-southeast-3" | "ap-southeast-4"
            | "ap-southeast-5" | "ap-southeast-6" | "ap-southeast-7" | "ca-west-1" | "eu-central-2"
            | "eu-isoe-west-1" | "eu-south-1" | "eu-south-2" | "eusc-de-east-1" | "il-central-1" | "me-central-1"
            | "me-south-1" | "mx-central-1" | "us-isof-east-1" | "us-isof-south-1" => vec![signing()],
            _ => vec![shared(), signing()],
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
