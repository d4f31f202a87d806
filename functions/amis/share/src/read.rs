//! Reading what EC2 and KMS know of an image.

use std::collections::BTreeSet;

use ami_approval::image::{AmiId, BuildArn};
use ami_approval::target::AccountId;
use ami_approval::watermark::AttachedWatermark;
use aws_sdk_ec2::error::ProvideErrorMetadata as _;
use aws_sdk_ec2::types::{Image, ImageAttributeName, ImageWatermark, LaunchPermission, SnapshotAttributeName};
use aws_sdk_kms::types::KeyManagerType;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clients::Clients;
use crate::error::call;
use crate::plan::{Facts, Key, KeyManager, Permissions, Snapshot};

/// The tag of Image Builder on each AMI that it makes.
const BUILD_TAG: &str = "Ec2ImageBuilderArn";

/// All that the plan needs. `with_snapshots` also reads with whom the snapshots are shared.
pub(crate) async fn facts(
    clients: &Clients,
    ami_id: &AmiId,
    account: &AccountId,
    with_snapshots: bool,
) -> Result<Facts, String> {
    let image = image(clients, ami_id.as_str()).await?.ok_or("there is no such image in this Region")?;
    let mut facts = Facts {
        id: ami_id.to_string(),
        name: image.name().map(str::to_owned),
        state: image.state().map_or("unknown", |state| state.as_str()).to_owned(),
        owner: image.owner_id().unwrap_or_default().to_owned(),
        public: image.public().unwrap_or(false),
        created: image.creation_date().unwrap_or_default().to_owned(),
        deprecated_at: deprecated_at(&image)?,
        build: build(&image),
        watermarks: watermarks(&image),
        ..Facts::default()
    };
    if facts.owner != account.as_str() {
        // Permissions and keys of another account's image cannot be read, and it is refused without them.
        return Ok(facts);
    }
    facts.permissions = permissions(clients, ami_id.as_str()).await?;
    facts.snapshots = snapshots(clients, &image, account, with_snapshots).await?;
    Ok(facts)
}

/// The build that an image comes from.
pub(crate) fn build(image: &Image) -> Option<BuildArn> {
    image.tags().iter().find(|tag| tag.key() == Some(BUILD_TAG))?.value()?.parse().ok()
}

/// The watermarks of an image, with where they come from.
pub(crate) fn watermarks(image: &Image) -> Vec<AttachedWatermark> {
    let attached = |mark: &ImageWatermark| {
        let source_image_id = mark.source_image_id().map(str::to_owned);
        mark.watermark_key().map(|key| AttachedWatermark { key: key.to_owned(), source_image_id })
    };
    image.image_watermarks().iter().filter_map(attached).collect()
}

/// An image; `None` where there is none. Those that are disabled or deprecated are found as well, so that the reason is
/// named.
pub(crate) async fn image(clients: &Clients, ami_id: &str) -> Result<Option<Image>, String> {
    let request = clients.ec2.describe_images().image_ids(ami_id).include_deprecated(true).include_disabled(true);
    match request.send().await {
        Ok(answer) => Ok(answer.images.unwrap_or_default().into_iter().next()),
        // The second one is that of an image that was deregistered.
        Err(error) if matches!(error.code(), Some("InvalidAMIID.NotFound" | "InvalidAMIID.Unavailable")) => Ok(None),
        Err(error) => Err(call("DescribeImages", &error)),
    }
}

/// When the image is deprecated. A time that cannot be read must not pass for none.
pub(crate) fn deprecated_at(image: &Image) -> Result<Option<OffsetDateTime>, String> {
    let Some(text) = image.deprecation_time() else { return Ok(None) };
    let time = OffsetDateTime::parse(text, &Rfc3339);
    time.map(Some).map_err(|error| format!("its DeprecationTime is {text:?}: {error}"))
}

/// The launch permissions.
pub(crate) async fn permissions(clients: &Clients, ami_id: &str) -> Result<Permissions, String> {
    let request =
        clients.ec2.describe_image_attribute().image_id(ami_id).attribute(ImageAttributeName::LaunchPermission);
    let answer = request.send().await.map_err(|error| call("DescribeImageAttribute", &error))?;
    let of = |field: fn(&LaunchPermission) -> Option<&str>| {
        answer.launch_permissions().iter().filter_map(field).map(str::to_owned).collect()
    };
    Ok(Permissions {
        accounts: of(LaunchPermission::user_id),
        organizations: of(LaunchPermission::organization_arn),
        units: of(LaunchPermission::organizational_unit_arn),
    })
}

/// The snapshots with their keys.
async fn snapshots(
    clients: &Clients,
    image: &Image,
    account: &AccountId,
    with_accounts: bool,
) -> Result<Vec<Snapshot>, String> {
    let ids: BTreeSet<&str> = image
        .block_device_mappings()
        .iter()
        .filter_map(|mapping| mapping.ebs())
        .filter_map(|ebs| ebs.snapshot_id())
        .collect();
    // Only a clear no saves the question: what does not say whether it is encrypted must not pass for unencrypted.
    let may_be_encrypted = image
        .block_device_mappings()
        .iter()
        .filter_map(|mapping| mapping.ebs())
        .any(|ebs| ebs.encrypted() != Some(false));
    let mut snapshots = Vec::new();
    let mut keys: Vec<Key> = Vec::new();
    for id in ids {
        let arn = if may_be_encrypted { key_arn(clients, id).await? } else { None };
        let key = match arn {
            None => None,
            Some(arn) => match keys.iter().find(|key| key.arn == arn) {
                Some(key) => Some(key.clone()),
                None => {
                    let key = key(clients, arn, account).await?;
                    keys.push(key.clone());
                    Some(key)
                }
            },
        };
        let accounts = if with_accounts { snapshot_accounts(clients, id).await? } else { BTreeSet::new() };
        snapshots.push(Snapshot { id: id.to_owned(), key, accounts });
    }
    Ok(snapshots)
}

/// The key of a snapshot; `DescribeImages` does not give it.
async fn key_arn(clients: &Clients, snapshot_id: &str) -> Result<Option<String>, String> {
    let answer = clients.ec2.describe_snapshots().snapshot_ids(snapshot_id).send().await;
    let answer = answer.map_err(|error| call("DescribeSnapshots", &error))?;
    let snapshot = answer.snapshots().first().ok_or_else(|| format!("there is no snapshot {snapshot_id}"))?;
    match (snapshot.encrypted(), snapshot.kms_key_id()) {
        (_, Some(arn)) => Ok(Some(arn.to_owned())),
        (Some(false), None) => Ok(None),
        (Some(true), None) => Err(format!("the snapshot {snapshot_id} is encrypted and names no key")),
        (None, None) => Err(format!("DescribeSnapshots does not say whether {snapshot_id} is encrypted")),
    }
}

async fn key(clients: &Clients, arn: String, account: &AccountId) -> Result<Key, String> {
    // A key that AWS manages is always one of this account. That of another need not be described, and may not be.
    if AccountId::of_arn(&arn).is_some_and(|owner| owner != *account) {
        return Ok(Key { arn, manager: KeyManager::Customer, enabled: None });
    }
    let answer = clients.kms.describe_key().key_id(&arn).send().await;
    let answer = answer.map_err(|error| format!("{} (the key {arn})", call("DescribeKey", &error)))?;
    let described = answer.key_metadata().ok_or_else(|| format!("DescribeKey says nothing of the key {arn}"))?;
    let manager = match described.key_manager() {
        Some(KeyManagerType::Customer) => KeyManager::Customer,
        Some(KeyManagerType::Aws) => KeyManager::Aws,
        other => return Err(format!("the key {arn} has the manager {other:?}: expected AWS or CUSTOMER")),
    };
    Ok(Key { enabled: Some(described.enabled()), arn, manager })
}

/// The accounts that may make volumes from a snapshot.
pub(crate) async fn snapshot_accounts(clients: &Clients, snapshot_id: &str) -> Result<BTreeSet<String>, String> {
    let request = clients
        .ec2
        .describe_snapshot_attribute()
        .snapshot_id(snapshot_id)
        .attribute(SnapshotAttributeName::CreateVolumePermission);
    let answer = request.send().await.map_err(|error| call("DescribeSnapshotAttribute", &error))?;
    Ok(answer
        .create_volume_permissions()
        .iter()
        .filter_map(|permission| permission.user_id())
        .map(str::to_owned)
        .collect())
}
