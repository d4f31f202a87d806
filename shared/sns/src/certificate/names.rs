//! The names that SNS's certificates have.

use crate::Region;

/// The names that a certificate of SNS may have in this Region: one, or all three known forms where the Region is
/// newer than this table.
///
/// AWS publishes no rule. Regions that were there before 2019 share one certificate, later ones have their own. AWS's
/// SDK guesses the oldest form for a Region that it does not know; all that AWS opened since 2019 have the newest form,
/// and those of the isolated partitions (`us-iso-`, `us-isob-`) a third one.
///
/// Source: `SnsHostProvider` of the AWS SDK for Java 2.
///
/// ```
/// use gatehouse_sns::signing_common_names;
///
/// let names = signing_common_names(&"eu-west-1".parse().unwrap());
/// assert_eq!(names, ["sns.amazonaws.com"]);
/// ```
#[must_use]
pub fn signing_common_names(region: &Region) -> Vec<String> {
    let (name, suffix) = (region.as_str(), region.dns_suffix());
    let shared = || format!("sns.{suffix}");
    let with_region = || format!("sns-{name}.{suffix}");
    let signing = || format!("sns-signing.{name}.{suffix}");
    match name {
        "us-east-1" | "us-east-2" | "us-west-1" | "us-west-2" | "ca-central-1" | "sa-east-1" | "eu-west-1"
        | "eu-west-2" | "eu-west-3" | "eu-central-1" | "eu-north-1" | "ap-northeast-1" | "ap-northeast-2"
        | "ap-northeast-3" | "ap-southeast-1" | "ap-southeast-2" | "ap-south-1" => vec![shared()],
        "us-gov-west-1" | "us-gov-east-1" => vec!["sns-us-gov-west-1.amazonaws.com".to_owned()],
        "cn-north-1" | "cn-northwest-1" | "us-iso-east-1" | "us-isob-east-1" => vec![with_region()],
        "af-south-1" | "ap-east-1" | "ap-east-2" | "ap-south-2" | "ap-southeast-3" | "ap-southeast-4"
        | "ap-southeast-5" | "ap-southeast-6" | "ap-southeast-7" | "ca-west-1" | "eu-central-2" | "eu-isoe-west-1"
        | "eu-south-1" | "eu-south-2" | "eusc-de-east-1" | "il-central-1" | "me-central-1" | "me-south-1"
        | "mx-central-1" | "us-isof-east-1" | "us-isof-south-1" => vec![signing()],
        _ => vec![shared(), signing(), with_region()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_region_has_its_names() {
        for (region, expected) in [
            ("eu-west-1", &["sns.amazonaws.com"][..]),
            ("us-gov-east-1", &["sns-us-gov-west-1.amazonaws.com"]),
            ("cn-northwest-1", &["sns-cn-northwest-1.amazonaws.com.cn"]),
            ("me-south-1", &["sns-signing.me-south-1.amazonaws.com"]),
            ("eusc-de-east-1", &["sns-signing.eusc-de-east-1.amazonaws.eu"]),
            (
                "us-iso-west-1",
                &["sns.c2s.ic.gov", "sns-signing.us-iso-west-1.c2s.ic.gov", "sns-us-iso-west-1.c2s.ic.gov"],
            ),
        ] {
            assert_eq!(signing_common_names(&region.parse().unwrap()), expected, "{region}");
        }
    }
}
