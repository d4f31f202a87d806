//! Carrying out a plan. Each write is logged when it is done, and leaves things as asked when it is done twice.

use std::time::Duration;

use aws_sdk_ec2::types::{
    CreateVolumePermission, CreateVolumePermissionModifications, LaunchPermission, LaunchPermissionModifications,
    SnapshotAttributeName,
};

use ami_approval::image::ImageRef;

use crate::clients::Clients;
use crate::error::call;
use crate::plan::{Permissions, Plan};
use crate::read;
use crate::report::ImageReport;
use crate::time_left::TimeLeft;

/// The most permissions that are added in one call.
const BATCH: usize = 100;
/// How often a change is looked for: EC2 is eventually consistent.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(400);

/// Attaches the watermark, adds what is missing and reads it back. Stops at the first failure, which is in the report with
/// all that was done.
pub(crate) async fn apply(clients: &Clients, image: &ImageRef, plan: &Plan, time: TimeLeft, report: &mut ImageReport) {
    if let Err(reason) = steps(clients, image, plan, time, report).await {
        report.fail(reason);
    }
}

async fn steps(
    clients: &Clients,
    image: &ImageRef,
    plan: &Plan,
    time: TimeLeft,
    report: &mut ImageReport,
) -> Result<(), String> {
    let ami_id = image.ami_id.as_str();
    if let Some(name) = &plan.watermark {
        time.check()?;
        attach(clients, ami_id, name).await?;
        tracing::info!(%image, watermark = name, "attached the watermark");
        report.watermark = Some(name.clone());
    }
    for batch in batches(&plan.permissions) {
        time.check()?;
        add(clients, ami_id, &batch).await?;
        tracing::info!(%image, added = batch.len(), "added launch permissions");
        let Permissions { accounts, organizations, units } = batch;
        report.added.accounts.extend(accounts);
        report.added.organizations.extend(organizations);
        report.added.units.extend(units);
    }
    for (snapshot_id, accounts) in &plan.snapshots {
        time.check()?;
        let accounts: Vec<String> = accounts.iter().cloned().collect();
        for batch in accounts.chunks(BATCH) {
            add_to_snapshot(clients, snapshot_id, batch).await?;
        }
        tracing::info!(%image, snapshot_id, added = accounts.len(), "shared the snapshot");
        report.snapshots.push(snapshot_id.clone());
    }
    read_back(clients, ami_id, plan, time).await
}

/// Attaches a watermark. Where the reply to an earlier attempt was lost, EC2 may refuse the second one: then what the image
/// has is what counts.
async fn attach(clients: &Clients, ami_id: &str, name: &str) -> Result<(), String> {
    let attached = clients.ec2.attach_image_watermark().image_id(ami_id).watermark_name(name).send().await;
    let Err(error) = attached else { return Ok(()) };
    let reason = call("AttachImageWatermark", &error);
    let image = read::image(clients, ami_id).await.ok().flatten().ok_or_else(|| reason.clone())?;
    let owner = image.owner_id().unwrap_or_default();
    let key = format!("{owner}:{name}");
    let is_there = image.image_watermarks().iter().any(|mark| mark.watermark_key() == Some(&key));
    if is_there { Ok(()) } else { Err(reason) }
}

/// Adding a permission that is there already changes nothing.
async fn add(clients: &Clients, ami_id: &str, batch: &Permissions) -> Result<(), String> {
    let Permissions { accounts, organizations, units } = batch;
    let permission = LaunchPermission::builder;
    let accounts = accounts.iter().map(|id| permission().user_id(id).build());
    let organizations = organizations.iter().map(|arn| permission().organization_arn(arn).build());
    let units = units.iter().map(|arn| permission().organizational_unit_arn(arn).build());
    let added = accounts.chain(organizations).chain(units).collect();
    let change = LaunchPermissionModifications::builder().set_add(Some(added)).build();
    let request = clients.ec2.modify_image_attribute().image_id(ami_id).launch_permission(change);
    request.send().await.map(drop).map_err(|error| call("ModifyImageAttribute", &error))
}

async fn add_to_snapshot(clients: &Clients, snapshot_id: &str, accounts: &[String]) -> Result<(), String> {
    let added = accounts.iter().map(|id| CreateVolumePermission::builder().user_id(id).build()).collect();
    let change = CreateVolumePermissionModifications::builder().set_add(Some(added)).build();
    let request = clients
        .ec2
        .modify_snapshot_attribute()
        .snapshot_id(snapshot_id)
        .attribute(SnapshotAttributeName::CreateVolumePermission)
        .create_volume_permission(change);
    request.send().await.map(drop).map_err(|error| call("ModifySnapshotAttribute", &error))
}

/// Looks whether EC2 has what was added.
async fn read_back(clients: &Clients, ami_id: &str, plan: &Plan, time: TimeLeft) -> Result<(), String> {
    if plan.permissions.is_empty() && plan.snapshots.is_empty() {
        return Ok(());
    }
    let mut missing = String::new();
    for look in 0..LOOKS {
        if look > 0 {
            time.check()?;
            tokio::time::sleep(PAUSE * look).await;
        }
        missing = missing_now(clients, ami_id, plan).await?;
        if missing.is_empty() {
            return Ok(());
        }
    }
    Err(format!("EC2 took the change and does not show it: {missing}. Run it again"))
}

async fn missing_now(clients: &Clients, ami_id: &str, plan: &Plan) -> Result<String, String> {
    let missing = plan.permissions.without(&read::permissions(clients, ami_id).await?);
    if !missing.is_empty() {
        return Ok(format!("{} launch permissions are missing", missing.len()));
    }
    for (snapshot_id, accounts) in &plan.snapshots {
        if !accounts.is_subset(&read::snapshot_accounts(clients, snapshot_id).await?) {
            return Ok(format!("the snapshot {snapshot_id} is not shared with all accounts"));
        }
    }
    Ok(String::new())
}

/// The permissions in parts of at most [`BATCH`].
fn batches(permissions: &Permissions) -> Vec<Permissions> {
    let Permissions { accounts, organizations, units } = permissions;
    let accounts = accounts.iter().map(|id| (0, id));
    let organizations = organizations.iter().map(|arn| (1, arn));
    let units = units.iter().map(|arn| (2, arn));
    let all: Vec<(u8, &String)> = accounts.chain(organizations).chain(units).collect();
    let part = |part: &[(u8, &String)]| {
        let of = |kind: u8| part.iter().filter(|(its, _)| *its == kind).map(|(_, text)| (*text).clone()).collect();
        Permissions { accounts: of(0), organizations: of(1), units: of(2) }
    };
    all.chunks(BATCH).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_batch_is_too_large_and_nothing_is_forgotten() {
        let permissions = Permissions {
            accounts: (0..250).map(|number| format!("{number:012}")).collect(),
            organizations: ["o".to_owned()].into(),
            units: ["u".to_owned()].into(),
        };
        let batches = batches(&permissions);
        assert_eq!(batches.iter().map(Permissions::len).collect::<Vec<_>>(), [100, 100, 52]);
        let mut all = Permissions::default();
        for batch in batches {
            all.accounts.extend(batch.accounts);
            all.organizations.extend(batch.organizations);
            all.units.extend(batch.units);
        }
        assert_eq!(all, permissions);
        assert_eq!(super::batches(&Permissions::default()), []);
    }
}
