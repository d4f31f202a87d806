//! The name of a Region, its partition and the DNS suffix of that partition.

use std::fmt;
use std::str::FromStr;

use SigningName::{GovWest, Shared, Signing, WithRegion};

/// The name of an AWS Region, such as `eu-west-1`, in lower case.
///
/// Checked for its form, not against a list: new Regions appear more often than functions are deployed.
///
/// ```
/// use gatehouse_sns::Region;
///
/// let region: Region = "us-gov-west-1".parse().unwrap();
/// assert_eq!(region.to_string(), "us-gov-west-1");
///
/// // Under `amazonaws.com` this is S3: `sns.s3-us-west-2.amazonaws.com` is a bucket that anyone may own.
/// let error = "s3-us-west-2".parse::<Region>().unwrap_err();
/// assert_eq!(error.to_string(), "expected the name of a Region such as eu-west-1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(String);

/// The text is not the name of a Region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of a Region such as eu-west-1")]
pub struct RegionError;

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

/// The forms of the name in the certificate that SNS signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SigningName {
    /// `sns.amazonaws.com`: the Regions that were there before 2019.
    Shared,
    /// `sns-signing.eu-south-1.amazonaws.com`: all that AWS opened since.
    Signing,
    /// `sns-cn-north-1.amazonaws.com.cn`.
    WithRegion,
    /// `sns-us-gov-west-1.amazonaws.com`.
    GovWest,
}

/// All Regions, with the form of the name in SNS's certificates; `None` where no source has it. The one list: what else
/// depends on a Region is a column of it.
///
/// Sources: `endpoints.json` of botocore 1.43, the Regions of EC2 in all partitions; `SnsHostProvider` of the AWS SDK for
/// Java 2.
const REGIONS: [(&str, Option<SigningName>); 46] = [
    ("af-south-1", Some(Signing)),
    ("ap-east-1", Some(Signing)),
    ("ap-east-2", Some(Signing)),
    ("ap-northeast-1", Some(Shared)),
    ("ap-northeast-2", Some(Shared)),
    ("ap-northeast-3", Some(Shared)),
    ("ap-south-1", Some(Shared)),
    ("ap-south-2", Some(Signing)),
    ("ap-southeast-1", Some(Shared)),
    ("ap-southeast-2", Some(Shared)),
    ("ap-southeast-3", Some(Signing)),
    ("ap-southeast-4", Some(Signing)),
    ("ap-southeast-5", Some(Signing)),
    ("ap-southeast-6", Some(Signing)),
    ("ap-southeast-7", Some(Signing)),
    ("ca-central-1", Some(Shared)),
    ("ca-west-1", Some(Signing)),
    ("eu-central-1", Some(Shared)),
    ("eu-central-2", Some(Signing)),
    ("eu-north-1", Some(Shared)),
    ("eu-south-1", Some(Signing)),
    ("eu-south-2", Some(Signing)),
    ("eu-west-1", Some(Shared)),
    ("eu-west-2", Some(Shared)),
    ("eu-west-3", Some(Shared)),
    ("il-central-1", Some(Signing)),
    ("me-central-1", Some(Signing)),
    ("me-south-1", Some(Signing)),
    ("mx-central-1", Some(Signing)),
    ("sa-east-1", Some(Shared)),
    ("us-east-1", Some(Shared)),
    ("us-east-2", Some(Shared)),
    ("us-west-1", Some(Shared)),
    ("us-west-2", Some(Shared)),
    ("cn-north-1", Some(WithRegion)),
    ("cn-northwest-1", Some(WithRegion)),
    ("us-gov-east-1", Some(GovWest)),
    ("us-gov-west-1", Some(GovWest)),
    ("us-iso-east-1", Some(WithRegion)),
    ("us-iso-west-1", None),
    ("us-isob-east-1", Some(WithRegion)),
    ("us-isob-west-1", None),
    ("eu-isoe-west-1", Some(Signing)),
    ("us-isof-east-1", Some(Signing)),
    ("us-isof-south-1", Some(Signing)),
    ("eusc-de-east-1", Some(Signing)),
];

impl Region {
    /// Whether this version knows a Region of that name. AWS opens new ones, so a function accepts others where it can.
    ///
    /// ```
    /// # use gatehouse_sns::Region;
    /// let is_known = |name: &str| name.parse::<Region>().unwrap().is_known();
    /// assert!(is_known("eu-west-1") && !is_known("eu-west-9"));
    /// ```
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.row().is_some()
    }

    pub(crate) fn signing_name(&self) -> Option<SigningName> {
        self.row()?.1
    }

    fn row(&self) -> Option<&'static (&'static str, Option<SigningName>)> {
        REGIONS.iter().find(|(name, _)| *name == self.0)
    }

    /// The name as text.
    ///
    /// ```
    /// # use gatehouse_sns::Region;
    /// let region: Region = "eu-west-1".parse().unwrap();
    /// assert_eq!(region.as_str(), "eu-west-1");
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition.
    ///
    /// ```
    /// # use gatehouse_sns::Region;
    /// let partition_of = |name: &str| name.parse::<Region>().unwrap().partition();
    /// assert_eq!(partition_of("eu-west-1"), "aws");
    /// assert_eq!(partition_of("cn-north-1"), "aws-cn");
    /// ```
    #[must_use]
    pub fn partition(&self) -> &'static str {
        self.partition_and_dns_suffix().0
    }

    /// The DNS suffix of the partition.
    ///
    /// ```
    /// # use gatehouse_sns::Region;
    /// let dns_suffix_of = |name: &str| name.parse::<Region>().unwrap().dns_suffix();
    /// assert_eq!(dns_suffix_of("eu-west-1"), "amazonaws.com");
    /// assert_eq!(dns_suffix_of("cn-north-1"), "amazonaws.com.cn");
    /// ```
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
}

impl FromStr for Region {
    type Err = RegionError;

    /// Two to five letters, one or more words of letters, a number; hyphens between them.
    fn from_str(name: &str) -> Result<Self, RegionError> {
        let (words, number) = name.rsplit_once('-').ok_or(RegionError)?;
        let (area, places) = words.split_once('-').ok_or(RegionError)?;
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let is_region = is_number && is_word(area) && (2..=5).contains(&area.len()) && places.split('-').all(is_word);
        if is_region { Ok(Self(name.to_owned())) } else { Err(RegionError) }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_the_form_of_a_region_are_accepted() {
        for name in ["eu-west-1", "us-gov-east-1", "eusc-de-east-1", "us-isof-south-1", "ap-southeast-12", "ab-c-1"] {
            assert_eq!(name.parse::<Region>().map(|region| region.to_string()).as_deref(), Ok(name));
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "-",
            "--",
            "global",
            "eu-west",
            "eu-1",
            "eu--1",
            "-west-1",
            "eu-west-",
            "eu-west-1 ",
            " eu-west-1",
            "eu-west-1a",
            "eu-west1-1",
            "eu-West-1",
            "EU-WEST-1",
            "e-west-1",
            "europe-west-1",
            "eu--west-1",
            "eu-west--1",
            "s3-us-west-2",
            "eu_west_1",
            "eu-wést-1",
            "eu-west-1.amazonaws.com",
        ] {
            assert_eq!(name.parse::<Region>(), Err(RegionError), "{name:?}");
        }
    }

    #[test]
    fn each_partition_has_its_regions_and_its_suffix() {
        for (name, partition, dns_suffix) in [
            ("us-east-1", "aws", "amazonaws.com"),
            ("cn-northwest-1", "aws-cn", "amazonaws.com.cn"),
            ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
            ("us-iso-west-1", "aws-iso", "c2s.ic.gov"),
            ("us-isob-east-1", "aws-iso-b", "sc2s.sgov.gov"),
            ("eu-isoe-west-1", "aws-iso-e", "cloud.adc-e.uk"),
            ("us-isof-south-1", "aws-iso-f", "csp.hci.ic.gov"),
            ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
        ] {
            let region: Region = name.parse().unwrap();
            assert_eq!((region.partition(), region.dns_suffix()), (partition, dns_suffix), "{name}");
        }
    }
}
