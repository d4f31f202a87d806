//! The clients of one Region.

use gatehouse_shared::sdk::{Region, SdkConfig};

/// The clients of one Region.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) ssm: aws_sdk_ssm::Client,
}

impl Clients {
    pub(crate) fn new(sdk: &SdkConfig, region: &str) -> Self {
        let sdk = sdk.to_builder().region(Region::new(region.to_owned())).build();
        Self {
            ec2: aws_sdk_ec2::Client::new(&sdk),
            kms: aws_sdk_kms::Client::new(&sdk),
            ssm: aws_sdk_ssm::Client::new(&sdk),
        }
    }
}
