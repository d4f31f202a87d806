//! A service whose ranges are requested.

use std::collections::BTreeSet;
use std::str::FromStr;

/// A service, and which of its ranges are requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name, as ip-ranges.json spells it.
    pub name: String,
    /// The `region` values of its ranges; empty means those that are requested for every service.
    pub regions: BTreeSet<String>,
}

impl FromStr for Service {
    type Err = &'static str;

    /// `S3`, or `S3@eu-west-1@eu-central-1` for its ranges in these Regions alone.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('@').map(|part| part.trim().to_owned());
        let name = parts.next().unwrap_or_default();
        let regions: Vec<String> = parts.collect();
        if name.is_empty() || regions.iter().any(String::is_empty) {
            return Err(
                "expected a service such as S3, or one with the Regions of its ranges such as S3@eu-west-1@eu-central-1",
            );
        }
        Ok(Self { name, regions: regions.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_read_with_the_regions_of_its_ranges() {
        let read = |text: &str| {
            let service: Service = text.parse().unwrap();
            (service.name, service.regions.into_iter().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(read("S3"), ("S3".to_owned(), String::new()));
        assert_eq!(read("S3@eu-west-1"), ("S3".to_owned(), "eu-west-1".to_owned()));
        assert_eq!(read("S3 @ eu-west-1 @GLOBAL@eu-west-1"), ("S3".to_owned(), "GLOBAL eu-west-1".to_owned()));
        // The order has no meaning.
        assert_eq!("S3@a@b".parse::<Service>(), "S3@b@a".parse());
    }

    #[test]
    fn a_name_or_a_region_that_is_missing_is_a_fault() {
        for text in ["", "@", "@eu-west-1", "S3@", "S3@@eu-west-1", "S3@eu-west-1@"] {
            assert!(text.parse::<Service>().unwrap_err().contains("S3@eu-west-1@eu-central-1"), "{text}");
        }
    }
}
