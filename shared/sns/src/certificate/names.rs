//! The names that SNS's certificates have.

use crate::Region;
use crate::region::SigningName;

/// The names that a certificate of SNS may have in this Region: one, or all three known forms where the Region is
/// newer than our list.
///
/// AWS publishes no rule. Regions that were there before 2019 share one certificate, later ones have their own. AWS's
/// SDK guesses the oldest form for a Region that it does not know; all that AWS opened since 2019 have the newest form,
/// and those of the isolated partitions (`us-iso-`, `us-isob-`) a third one. The form of each stands in the list of
/// Regions.
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
    match region.signing_name() {
        Some(SigningName::Shared) => vec![shared()],
        Some(SigningName::Signing) => vec![signing()],
        Some(SigningName::WithRegion) => vec![with_region()],
        Some(SigningName::GovWest) => vec!["sns-us-gov-west-1.amazonaws.com".to_owned()],
        None => vec![shared(), signing(), with_region()],
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
