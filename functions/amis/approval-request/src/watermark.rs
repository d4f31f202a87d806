//! The watermark of approved images, taken away from an image that only inherited it.

use std::collections::BTreeSet;

use ami_approval::image::ImageRef;
use ami_approval::target::AccountId;
use ami_approval::watermark::{AttachedWatermark, Watermark};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Image};
use gatehouse_shared::failure::chain;
use gatehouse_shared::sdk::{Region, SdkConfig};

/// Detaches the watermark from each image that inherited it. What failed is given, in words.
pub(crate) async fn detach_inherited(
    sdk: &SdkConfig,
    watermark: &Watermark,
    account: &AccountId,
    images: &[ImageRef],
) -> Vec<String> {
    let key = watermark.key(account);
    let regions: BTreeSet<_> = images.iter().map(|image| &image.region).collect();
    let mut failures = Vec::new();
    for region in regions {
        let there = sdk.to_builder().region(Region::new(region.to_string())).build();
        let ec2 = Client::new(&there);
        let ids = images.iter().filter(|image| image.region == *region).map(|image| image.ami_id.to_string()).collect();
        // By a filter: an id that EC2 does not know any more would refuse the whole call, and keep the marks of the others.
        match ec2
            .describe_images()
            .owners("self")
            .filters(Filter::builder().name("image-id").set_values(Some(ids)).build())
            .include_disabled(true)
            .include_deprecated(true)
            .send()
            .await
        {
            Ok(answer) => {
                for image in answer.images().iter().filter(|image| has_inherited(image, &key)) {
                    let id = image.image_id().unwrap_or_default();
                    match ec2.detach_image_watermark().image_id(id).watermark_key(&key).send().await {
                        Ok(_) => {
                            tracing::info!(%region, image = id, watermark = key, "detached the inherited watermark")
                        }
                        Err(error) => failures.push(format!("{region} {id}: DetachImageWatermark: {}", chain(&error))),
                    }
                }
            }
            Err(error) => failures.push(format!("{region}: DescribeImages: {}", chain(&error))),
        }
    }
    failures
}

fn has_inherited(image: &Image, key: &str) -> bool {
    image.image_watermarks().iter().any(|mark| {
        let attached = AttachedWatermark {
            key: mark.watermark_key().unwrap_or_default().to_owned(),
            source_image_id: mark.source_image_id().map(str::to_owned),
        };
        attached.key == key && attached.is_inherited(image.image_id().unwrap_or_default())
    })
}
