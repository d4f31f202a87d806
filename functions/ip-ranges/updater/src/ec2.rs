//! The calls to EC2 that read and write groups. Each write leaves the group as asked even when its
//! reply was lost, or when somebody else was there first.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{Filter, ResourceType, SecurityGroup, Tag};
use ip_ranges_planner::family::Family;
use ipnet::IpNet;

use crate::group::{self, ATTACH_TAG, Egress, Group, PREFIX_NAME_TAG, PoolKey};

/// A call that failed, as EC2 put it.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// EC2 answered with an error.
    #[error("{code}: {message}{hint}")]
    Refused {
        /// EC2's error code.
        code: String,
        /// EC2's text.
        message: String,
        /// What to do next, where it is known.
        hint: &'static str,
    },
    /// There was no answer that could be understood, after the SDK's retries.
    #[error("{0}")]
    Unanswered(String),
    /// The answer lacks what every such answer has.
    #[error("the answer has no {0}")]
    Incomplete(&'static str),
    /// The name is taken by a group that is not ours.
    #[error(
        "a group named {0} is there and lacks the tag {PREFIX_NAME_TAG}: rename or delete it, or choose another PREFIX_NAME"
    )]
    NameTaken(String),
    /// The rules that were to go are still there.
    #[error("the group still has its outbound rule for all {0} traffic")]
    StillOpen(Family),
    /// There is no default VPC.
    #[error("there is no default VPC: set VPC_ID")]
    NoDefaultVpc,
}

impl<E> From<SdkError<E>> for CallError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        match (error.code(), error.message()) {
            (Some(code), message) => Self::Refused {
                code: code.to_owned(),
                message: message.unwrap_or("no message").to_owned(),
                hint: hint(code),
            },
            _ => Self::Unanswered(gatehouse_shared::failure::chain(&error)),
        }
    }
}

impl CallError {
    /// EC2's error code.
    fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

/// What a person can do about the errors that are met in practice.
fn hint(code: &str) -> &'static str {
    match code {
        "RulesPerSecurityGroupLimitExceeded" => {
            "; the quota of rules in a group is lower than MAX_RULES_PER_GROUP says, or prefix lists in the group use it up: lower the setting or raise the quota"
        }
        "SecurityGroupsPerInterfaceLimitExceeded" => {
            "; the quota of groups on an interface is lower than MAX_GROUPS_PER_INTERFACE says: lower the setting or raise the quota"
        }
        "SecurityGroupLimitExceeded" => "; raise the quota of groups in a VPC, or delete groups nobody uses",
        "UnauthorizedOperation" | "AccessDenied" => {
            "; the function's role does not allow it: compare with the policy in the template"
        }
        _ => "",
    }
}

/// How often a rule change is brought in line with what somebody else changed meanwhile.
const ATTEMPTS: usize = 3;
/// How often the outbound rules of a new group are revoked: half a minute in all.
const EGRESS_ATTEMPTS: usize = 7;
/// EC2 may not know a new group everywhere at once.
const NEW_GROUP_PAUSE: Duration = Duration::from_millis(500);

fn filter(name: impl Into<String>, values: impl IntoIterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}

/// All groups in the VPCs that carry our tag.
///
/// # Errors
///
/// [`CallError`].
pub async fn tagged_groups(
    ec2: &Client,
    prefix_name: &str,
    vpc_ids: &[String],
) -> Result<Vec<SecurityGroup>, CallError> {
    let mut pages = ec2
        .describe_security_groups()
        .filters(filter(format!("tag:{PREFIX_NAME_TAG}"), [prefix_name.to_owned()]))
        .filters(filter("vpc-id", vpc_ids.iter().cloned()))
        .into_paginator()
        .page_size(1_000)
        .items()
        .send();
    let mut groups = Vec::new();
    while let Some(group) = pages.next().await {
        groups.push(group?);
    }
    Ok(groups)
}

/// The id of the Region's default VPC.
///
/// # Errors
///
/// [`CallError::NoDefaultVpc`] where there is none.
pub async fn default_vpc(ec2: &Client) -> Result<String, CallError> {
    let vpcs = ec2.describe_vpcs().filters(filter("is-default", ["true".to_owned()])).send().await?;
    vpcs.vpcs().iter().find_map(|vpc| vpc.vpc_id()).map(str::to_owned).ok_or(CallError::NoDefaultVpc)
}

/// Creates a group of the pool; `pending` marks it as still to be attached.
///
/// # Errors
///
/// [`CallError`]. A group that is there already is taken when it carries our tag: its creation's reply was lost.
pub async fn create_group(
    ec2: &Client,
    prefix_name: &str,
    key: &PoolKey,
    number: usize,
    pending: bool,
) -> Result<Group, CallError> {
    let name = group::name(prefix_name, key, number);
    let port = key.port.to_string();
    let created = ec2
        .create_security_group()
        .group_name(&name)
        .description(format!("{} ranges on port {port}, kept by Gatehouse", key.service))
        .vpc_id(&key.vpc_id)
        .tag_specifications(group::tags(ResourceType::SecurityGroup, &name, prefix_name, &key.service, &port, pending))
        .send()
        .await
        .map_err(CallError::from);
    let id = match created {
        Ok(created) => created.group_id.ok_or(CallError::Incomplete("GroupId"))?,
        Err(error) if error.code() == Some("InvalidGroup.Duplicate") => {
            let taken = ec2
                .describe_security_groups()
                .filters(filter("group-name", [name.clone()]))
                .filters(filter("vpc-id", [key.vpc_id.clone()]))
                .send()
                .await?;
            let group = taken.security_groups().first().map(Group::of);
            return match group {
                Some(Ok(group)) if group.key == *key => Ok(group),
                _ => Err(CallError::NameTaken(name)),
            };
        }
        Err(error) => return Err(error),
    };
    Ok(Group::new(id, name, number, key.clone(), pending))
}

/// Adds the ranges to the group in one call.
///
/// EC2 refuses the whole call when one of the rules is there: the reply of an earlier attempt was lost, or another run
/// was quicker. Then what is still missing is added.
///
/// # Errors
///
/// [`CallError`]; none of the ranges was added then, unless somebody else did.
pub async fn authorize(ec2: &Client, group: &Group, ranges: &BTreeSet<IpNet>) -> Result<(), CallError> {
    let mut missing = ranges.clone();
    for attempt in 1.. {
        let error = match ec2
            .authorize_security_group_ingress()
            .group_id(&group.id)
            .ip_permissions(group::permission(&group.key, &missing))
            .send()
            .await
        {
            Ok(_) => return Ok(()),
            Err(error) => CallError::from(error),
        };
        match error.code() {
            _ if attempt == ATTEMPTS => return Err(error),
            Some("InvalidPermission.Duplicate") => {
                let present = rules(ec2, group).await?;
                missing.retain(|range| !present.contains(range));
                if missing.is_empty() {
                    return Ok(());
                }
            }
            Some("InvalidGroup.NotFound") if group.slot.ranges.is_empty() => {
                tokio::time::sleep(NEW_GROUP_PAUSE).await;
            }
            _ => return Err(error),
        }
    }
    Ok(())
}

/// Takes the ranges out of the group in one call. One that is not there any more is what was wanted.
///
/// # Errors
///
/// [`CallError`].
pub async fn revoke(ec2: &Client, group: &Group, ranges: &BTreeSet<IpNet>) -> Result<(), CallError> {
    let mut present = ranges.clone();
    for attempt in 1.. {
        let error = match ec2
            .revoke_security_group_ingress()
            .group_id(&group.id)
            .ip_permissions(group::permission(&group.key, &present))
            .send()
            .await
        {
            // EC2 passes over rules it does not know (`UnknownIpPermissionSet`): they are gone, as wanted.
            Ok(_) => return Ok(()),
            Err(error) => CallError::from(error),
        };
        if error.code() != Some("InvalidPermission.NotFound") || attempt == ATTEMPTS {
            return Err(error);
        }
        let now = rules(ec2, group).await?;
        present.retain(|range| now.contains(range));
        if present.is_empty() {
            return Ok(());
        }
    }
    Ok(())
}

/// Takes the outbound rule that EC2 gives a new group from it, for each of the families, and returns what is left once it
/// has been seen that the rule is gone.
///
/// # Errors
///
/// [`CallError`]; the group may still let everything out then.
pub async fn close_egress(ec2: &Client, group_id: &str, families: &[Family]) -> Result<Egress, CallError> {
    // Every new group has the rule for IPv4, whatever EC2 shows at first. The one for IPv6 it has where the VPC has an
    // IPv6 block: revoked once it is seen.
    let mut open: Vec<Family> = families.iter().copied().filter(|family| *family == Family::Ipv4).collect();
    let mut pause = NEW_GROUP_PAUSE;
    let mut attempt = 1;
    loop {
        let error = match revoke_egress(ec2, group_id, &open).await {
            Ok(egress) => {
                open = families.iter().copied().filter(|family| egress.lets_all_out(*family)).collect();
                // An answer that does not show the rule for IPv4 as it must be by now is from before: it may lack the rule
                // for IPv6 as well.
                let is_current = egress.lets_all_out(Family::Ipv4) != families.contains(&Family::Ipv4);
                match open.first() {
                    None if is_current || attempt == EGRESS_ATTEMPTS => return Ok(egress),
                    None => CallError::Incomplete("outbound rule of a new group"),
                    Some(family) => CallError::StillOpen(*family),
                }
            }
            Err(error) => error,
        };
        let may_pass = matches!(error, CallError::StillOpen(_) | CallError::Incomplete(_))
            || matches!(error.code(), Some("InvalidGroup.NotFound" | "UnauthorizedOperation"));
        if !may_pass || attempt == EGRESS_ATTEMPTS {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        (pause, attempt) = (pause * 2, attempt + 1);
    }
}

/// Revokes the rules and reads what is left. A rule that is not there is passed over by the default VPC, and answered
/// with `InvalidPermission.NotFound` by others.
async fn revoke_egress(ec2: &Client, group_id: &str, families: &[Family]) -> Result<Egress, CallError> {
    for family in families {
        let revoked = ec2
            .revoke_security_group_egress()
            .group_id(group_id)
            .ip_permissions(Egress::default_rule(*family))
            .send()
            .await
            .map_err(CallError::from);
        match revoked {
            Err(error) if error.code() != Some("InvalidPermission.NotFound") => return Err(error),
            _ => {}
        }
    }
    let described = ec2.describe_security_groups().group_ids(group_id).send().await?;
    let described = described.security_groups().first().ok_or(CallError::Incomplete("group"))?;
    Ok(Egress::of(described.ip_permissions_egress()))
}

/// What the group holds now.
async fn rules(ec2: &Client, group: &Group) -> Result<BTreeSet<IpNet>, CallError> {
    let described = ec2.describe_security_groups().group_ids(&group.id).send().await?;
    let described = described.security_groups().first().ok_or(CallError::Incomplete("group"))?;
    Ok(group::slot(described.ip_permissions(), group.key.port).ranges)
}

/// Takes off the mark of groups that are attached now.
///
/// # Errors
///
/// [`CallError`].
pub async fn unmark(ec2: &Client, group_ids: Vec<String>) -> Result<(), CallError> {
    ec2.delete_tags().set_resources(Some(group_ids)).tags(Tag::builder().key(ATTACH_TAG).build()).send().await?;
    Ok(())
}
