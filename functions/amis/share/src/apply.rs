//! Carrying out a plan. Each write is logged when it is done, and leaves things as asked when it is done twice.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::error::ProvideErrorMetadata as _;
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
    if let Some(key) = &plan.inherited_watermark {
        time.check()?;
        let detached = clients.ec2.detach_image_watermark().image_id(ami_id).watermark_key(key).send().await;
        detached.map_err(|error| call("DetachImageWatermark", &error))?;
        tracing::info!(%image, watermark = key, "detached the inherited watermark");
        if report.has_failed() {
            report.notes.push(format!("The inherited watermark {key} was detached from {image}."));
        }
    }
    if let Some(name) = &plan.watermark {
        time.check()?;
        attach(clients, ami_id, name).await?;
        tracing::info!(%image, watermark = name, "attached the watermark");
        report.watermark = Some(name.clone());
    }
    let mut refused = Refused::default();
    let mut added = Vec::new();
    for batch in all(&plan.permissions).chunks(BATCH) {
        let add = |part: Vec<Receiver>| async move { add(clients, ami_id, &part).await };
        added.extend(refused.split(batch, time, add).await?);
    }
    if !added.is_empty() {
        tracing::info!(%image, added = added.len(), "added launch permissions");
    }
    let added: Permissions = added.into_iter().collect();
    report.added = added.clone();
    let mut snapshots = Vec::new();
    for (snapshot_id, accounts) in &plan.snapshots {
        let wanted: Vec<Receiver> =
            accounts.iter().cloned().map(Receiver::Account).filter(|account| !refused.has(account)).collect();
        let mut shared = BTreeSet::new();
        for batch in wanted.chunks(BATCH) {
            let add = |part: Vec<Receiver>| async move { add_to_snapshot(clients, snapshot_id, &part).await };
            shared.extend(refused.split(batch, time, add).await?.into_iter().map(|account| account.text().to_owned()));
        }
        if !shared.is_empty() {
            tracing::info!(%image, snapshot_id, added = shared.len(), "shared the snapshot");
            report.snapshots.push(snapshot_id.clone());
            snapshots.push((snapshot_id.clone(), shared));
        }
    }
    read_back(clients, ami_id, &added, &snapshots, time).await?;
    report.refused_receivers = refused.names();
    refused.reason.map_or(Ok(()), Err)
}

/// One receiver of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Receiver {
    Account(String),
    Organization(String),
    Unit(String),
}

impl Receiver {
    fn text(&self) -> &str {
        let (Self::Account(text) | Self::Organization(text) | Self::Unit(text)) = self;
        text
    }
}

impl FromIterator<Receiver> for Permissions {
    fn from_iter<I: IntoIterator<Item = Receiver>>(receivers: I) -> Self {
        let mut permissions = Self::default();
        for receiver in receivers {
            match receiver {
                Receiver::Account(id) => permissions.accounts.insert(id),
                Receiver::Organization(arn) => permissions.organizations.insert(arn),
                Receiver::Unit(arn) => permissions.units.insert(arn),
            };
        }
        permissions
    }
}

/// Receivers that EC2 refused.
#[derive(Debug, Default)]
struct Refused {
    receivers: BTreeSet<Receiver>,
    reason: Option<String>,
}

impl Refused {
    fn has(&self, receiver: &Receiver) -> bool {
        self.receivers.contains(receiver)
    }

    fn names(&self) -> Vec<String> {
        self.receivers.iter().map(|receiver| receiver.text().to_owned()).collect()
    }

    /// Adds a batch; where EC2 refuses it because of a receiver, each half of it, until the refused ones are alone. Gives
    /// those that were added.
    ///
    /// # Errors
    ///
    /// A refusal that is not about a receiver.
    async fn split<F>(
        &mut self,
        batch: &[Receiver],
        time: TimeLeft,
        add: impl Fn(Vec<Receiver>) -> F,
    ) -> Result<Vec<Receiver>, String>
    where
        F: Future<Output = Result<(), Refusal>>,
    {
        let mut added = Vec::new();
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            time.check()?;
            match (add(part.to_vec()).await, part) {
                (Ok(()), part) => added.extend(part.iter().cloned()),
                (Err(Refusal::Other(reason)), _) => return Err(reason),
                (Err(Refusal::Receiver(reason)), [one]) => {
                    self.receivers.insert(one.clone());
                    self.reason.get_or_insert_with(|| format!("EC2 refuses the receiver {}: {reason}", one.text()));
                }
                (Err(Refusal::Receiver(_)), part) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
        }
        Ok(added)
    }
}

/// Why EC2 did not add a batch.
enum Refusal {
    /// One of the receivers may be the reason.
    Receiver(String),
    /// It has another reason.
    Other(String),
}

impl Refusal {
    /// AWS does not document which code a closed or mistyped account gives, so every refusal of the request's values may be
    /// about a receiver. One of the rights, the image or the pace is not.
    fn new(code: Option<&str>, reason: String) -> Self {
        let is_about_receivers = code.is_some_and(|code| {
            code.starts_with("InvalidAMIAttributeItemValue")
                || code.starts_with("InvalidUserID")
                || code.starts_with("InvalidParameter")
                || code.starts_with("InvalidAttribute")
                || code.starts_with("InvalidOrganization")
        });
        if is_about_receivers { Self::Receiver(reason) } else { Self::Other(reason) }
    }
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
async fn add(clients: &Clients, ami_id: &str, batch: &[Receiver]) -> Result<(), Refusal> {
    let permission = |receiver: &Receiver| match receiver {
        Receiver::Account(id) => LaunchPermission::builder().user_id(id).build(),
        Receiver::Organization(arn) => LaunchPermission::builder().organization_arn(arn).build(),
        Receiver::Unit(arn) => LaunchPermission::builder().organizational_unit_arn(arn).build(),
    };
    let added = batch.iter().map(permission).collect();
    let change = LaunchPermissionModifications::builder().set_add(Some(added)).build();
    let request = clients.ec2.modify_image_attribute().image_id(ami_id).launch_permission(change);
    let sent = request.send().await.map(drop);
    sent.map_err(|error| Refusal::new(error.code(), call("ModifyImageAttribute", &error)))
}

async fn add_to_snapshot(clients: &Clients, snapshot_id: &str, accounts: &[Receiver]) -> Result<(), Refusal> {
    let added = accounts.iter().map(|id| CreateVolumePermission::builder().user_id(id.text()).build()).collect();
    let change = CreateVolumePermissionModifications::builder().set_add(Some(added)).build();
    let request = clients
        .ec2
        .modify_snapshot_attribute()
        .snapshot_id(snapshot_id)
        .attribute(SnapshotAttributeName::CreateVolumePermission)
        .create_volume_permission(change);
    let sent = request.send().await.map(drop);
    sent.map_err(|error| Refusal::new(error.code(), call("ModifySnapshotAttribute", &error)))
}

/// The snapshots that were shared, and the accounts that they were shared with.
type Snapshots = [(String, BTreeSet<String>)];

/// Looks whether EC2 has what was added.
async fn read_back(
    clients: &Clients,
    ami_id: &str,
    added: &Permissions,
    snapshots: &Snapshots,
    time: TimeLeft,
) -> Result<(), String> {
    if added.is_empty() && snapshots.is_empty() {
        return Ok(());
    }
    let mut missing = String::new();
    for look in 0..LOOKS {
        if look > 0 {
            time.check()?;
            tokio::time::sleep(PAUSE * look).await;
        }
        missing = missing_now(clients, ami_id, added, snapshots).await?;
        if missing.is_empty() {
            return Ok(());
        }
    }
    Err(format!("EC2 took the change and does not show it: {missing}. Run it again"))
}

async fn missing_now(
    clients: &Clients,
    ami_id: &str,
    added: &Permissions,
    snapshots: &Snapshots,
) -> Result<String, String> {
    let missing = added.without(&read::permissions(clients, ami_id).await?);
    if !missing.is_empty() {
        return Ok(format!("{} launch permissions are missing", missing.len()));
    }
    for (snapshot_id, accounts) in snapshots {
        if !accounts.is_subset(&read::snapshot_accounts(clients, snapshot_id).await?) {
            return Ok(format!("the snapshot {snapshot_id} is not shared with all accounts"));
        }
    }
    Ok(String::new())
}

/// Each receiver, accounts first.
fn all(permissions: &Permissions) -> Vec<Receiver> {
    let Permissions { accounts, organizations, units } = permissions;
    let accounts = accounts.iter().cloned().map(Receiver::Account);
    let organizations = organizations.iter().cloned().map(Receiver::Organization);
    let units = units.iter().cloned().map(Receiver::Unit);
    accounts.chain(organizations).chain(units).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use gatehouse_shared::deadline::Deadline;

    use super::*;

    #[test]
    fn nothing_is_forgotten() {
        let permissions = Permissions {
            accounts: (0..250).map(|number| format!("{number:012}")).collect(),
            organizations: ["o".to_owned()].into(),
            units: ["u".to_owned()].into(),
        };
        let receivers = all(&permissions);
        assert_eq!(receivers.chunks(BATCH).map(<[_]>::len).collect::<Vec<_>>(), [100, 100, 52]);
        assert_eq!(receivers.into_iter().collect::<Permissions>(), permissions);
        assert_eq!(all(&Permissions::default()), []);
    }

    #[tokio::test]
    async fn a_receiver_that_is_refused_keeps_none_of_the_others_out() {
        let receivers: Vec<Receiver> = (0..250).map(|number| Receiver::Account(format!("{number:012}"))).collect();
        let time = TimeLeft::new(Deadline::after(Duration::from_secs(100)));
        for (bad, most_calls) in
            [(vec![], 3), (vec![7], 3 + 14), (vec![7, 120, 249], 3 + 3 * 14), ((0..250).collect(), 500)]
        {
            let calls = RefCell::new(0);
            let is_bad = |receiver: &Receiver| bad.contains(&receiver.text().parse::<usize>().unwrap());
            let mut refused = Refused::default();
            let mut added = Vec::new();
            for batch in receivers.chunks(BATCH) {
                let add = |part: Vec<Receiver>| {
                    *calls.borrow_mut() += 1;
                    let result = if part.iter().any(is_bad) {
                        Err(Refusal::new(Some("InvalidAMIAttributeItemValue"), "as tested".to_owned()))
                    } else {
                        Ok(())
                    };
                    std::future::ready(result)
                };
                added.extend(refused.split(batch, time, add).await.unwrap());
            }
            assert_eq!((added.len(), refused.names().len()), (250 - bad.len(), bad.len()));
            assert_eq!(refused.reason.is_some(), !bad.is_empty());
            assert!(*calls.borrow() <= most_calls, "{} calls for {} refused", calls.borrow(), bad.len());
        }
    }

    #[tokio::test]
    async fn a_refusal_of_another_kind_is_not_split() {
        for code in [
            "UnauthorizedOperation",
            "RequestLimitExceeded",
            "OperationNotPermitted",
            "AMILaunchPermissionLimitExceeded",
        ] {
            let calls = RefCell::new(0);
            let add = |_: Vec<Receiver>| {
                *calls.borrow_mut() += 1;
                std::future::ready(Err(Refusal::new(Some(code), code.to_owned())))
            };
            let receivers = [Receiver::Account("1".to_owned()), Receiver::Unit("2".to_owned())];
            let time = TimeLeft::new(Deadline::after(Duration::from_secs(100)));
            assert_eq!(Refused::default().split(&receivers, time, add).await, Err(code.to_owned()));
            assert_eq!(*calls.borrow(), 1, "{code}");
        }
    }
}
