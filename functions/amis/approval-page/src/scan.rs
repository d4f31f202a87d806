//! What Amazon Inspector found in the images, as EC2 shows it.

use std::collections::{BTreeMap, BTreeSet};

use ami_approval::image::ImageRef;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::{Builder, Region};
use aws_sdk_ec2::types::ScanResults;
use gatehouse_shared::failure::chain;
use time::OffsetDateTime;

use crate::page::minute;

/// The scan result of each image, one call a Region. An image that EC2 does not answer for is left out: people decide
/// without it, and see that it is not available.
pub(crate) async fn scans(ec2: &Client, images: &[ImageRef]) -> BTreeMap<ImageRef, String> {
    let regions: BTreeSet<_> = images.iter().map(|image| &image.region).collect();
    let mut found = BTreeMap::new();
    for region in regions {
        let ids = images.iter().filter(|image| image.region == *region).map(|image| image.ami_id.to_string());
        let request = ec2.describe_images().set_image_ids(Some(ids.collect())).customize();
        let there = Builder::new().region(Region::new(region.to_string()));
        match request.config_override(there).send().await {
            Ok(answer) => {
                for image in images.iter().filter(|image| image.region == *region) {
                    let id = Some(image.ami_id.as_str());
                    if let Some(described) = answer.images().iter().find(|described| described.image_id() == id) {
                        found.insert(image.clone(), text(described.scan_results()));
                    }
                }
            }
            Err(error) => tracing::warn!(%region, error = chain(&error), "the scan results are not available"),
        }
    }
    found
}

/// A scan result in words.
///
/// Source: EC2 API Reference, `ScanResults`: the severity is present only if there is at least one finding.
fn text(results: Option<&ScanResults>) -> String {
    let Some(results) = results else { return "not scanned".to_owned() };
    let findings = match results.highest_finding_severity_label() {
        Some(severity) => format!("highest severity: {}", severity.as_str()),
        None => "no findings".to_owned(),
    };
    let date = results.finding_scan_date().and_then(|date| OffsetDateTime::from_unix_timestamp(date.secs()).ok());
    match date {
        Some(date) => format!("{findings} (scan of {})", minute(date)),
        None => findings,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::primitives::DateTime;

    use super::*;

    #[test]
    fn a_result_says_the_severity_and_when() {
        let date = DateTime::from_secs(1_790_000_000);
        let high = ScanResults::builder().highest_finding_severity_label("high".into()).finding_scan_date(date);
        assert_eq!(text(Some(&high.build())), "highest severity: high (scan of 2026-09-21 14:13 UTC)");
        assert_eq!(text(Some(&ScanResults::builder().build())), "no findings");
        assert_eq!(text(None), "not scanned");
    }
}
