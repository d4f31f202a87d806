//! The calls to EC2 for groups. Each write leaves the group as requested even when its reply was lost, or when another run was
//! quicker.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, ResourceType, SecurityGroup, Tag};
use gatehouse_shared::deadline::backoff;
use ip_ranges_planner::family::Family;
use ipnet::IpNet;
use tracing::info;

use super::group::{self, Egress, Group, PoolKey};
use crate::aws::caller::{CallError, INITIAL_BACKOFF, MAX_BACKOFF};
use crate::aws::ec2::Ec2;
use crate::config::Adopt;
use crate::tags::{self, ATTACH_TAG, PORT_TAG, PREFIX_NAME_TAG, SERVICE_TAG};
use crate::targets::rule_description;

/// How often a rule change is repeated without the rules that another run changed meanwhile.
const ATTEMPTS: usize = 3;

/// How many names are tried for one new group.
const MAX_NAMES: usize = 20;

fn filter(name: impl Into<String>, values: impl IntoIterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}

impl Ec2 {
    /// All groups that carry our tag, in every VPC.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub(crate) async fn tagged_groups(&self, prefix_name: &str) -> Result<Vec<SecurityGroup>, CallError> {
        self.call(false, async || {
            let ours = filter(format!("tag:{PREFIX_NAME_TAG}"), [prefix_name.to_owned()]);
            let pages = self.client.describe_security_groups().filters(ours).into_paginator().page_size(1_000);
            pages.items().send().try_collect().await
        })
        .await
    }

    /// All groups that carry the tag with any value, in every VPC: also those of other prefix names.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub(crate) async fn groups_of_every_prefix(&self) -> Result<Vec<SecurityGroup>, CallError> {
        self.call(false, async || {
            let tagged = filter("tag-key", [PREFIX_NAME_TAG.to_owned()]);
            let pages = self.client.describe_security_groups().filters(tagged).into_paginator().page_size(1_000);
            pages.items().send().try_collect().await
        })
        .await
    }

    /// The id of the Region's default VPC.
    ///
    /// # Errors
    ///
    /// [`CallError`]; also where there is none.
    pub(crate) async fn default_vpc(&self) -> Result<String, CallError> {
        let vpcs = self
            .call(false, async || {
                self.client.describe_vpcs().filters(filter("is-default", ["true".to_owned()])).send().await
            })
            .await?;
        let id = vpcs.vpcs().iter().find_map(|vpc| vpc.vpc_id()).map(str::to_owned);
        id.ok_or_else(|| CallError::NotDone("there is no default VPC: set VPC_ID".to_owned()))
    }

    /// Creates a group of the pool with the next number whose name is free; `pending` marks it as still to be attached
    /// or closed. `next_number` is asked for each number.
    ///
    /// # Errors
    ///
    /// [`CallError`]. A group of that name is taken over where it carries our tags: the reply of its creation was lost, or
    /// another run created it.
    pub(crate) async fn create_group(
        &self,
        prefix_name: &str,
        key: &PoolKey,
        next_number: impl Fn() -> usize,
        pending: bool,
        sync_token: u64,
    ) -> Result<Group, CallError> {
        let mut name = String::new();
        for _ in 0..MAX_NAMES {
            let number = next_number();
            name = group::name(prefix_name, key, number);
            match self.create_named(prefix_name, &name, key, pending, sync_token).await {
                Ok(id) => {
                    info!(group_id = id, name, vpc_id = key.vpc_id, "group created");
                    return Ok(Group::new(id, name, number, key.clone(), pending));
                }
                Err(error) if error.code() == Some("InvalidGroup.Duplicate") => {
                    let found = self.group_named(&name, &key.vpc_id).await?;
                    let none = Adopt::Named(BTreeSet::new());
                    match found.map(|found| Group::of(&found, prefix_name, &none)) {
                        Some(Ok(group)) if group.key == *key => {
                            info!(group_id = group.id, name, vpc_id = key.vpc_id, "group of that name taken over");
                            return Ok(group);
                        }
                        _ => info!(name, vpc_id = key.vpc_id, "the name belongs to another group"),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(CallError::NotDone(format!(
            "the names up to {name} belong to groups without the tag {PREFIX_NAME_TAG} of this function: choose another PREFIX_NAME"
        )))
    }

    async fn create_named(
        &self,
        prefix_name: &str,
        name: &str,
        key: &PoolKey,
        pending: bool,
        sync_token: u64,
    ) -> Result<String, CallError> {
        let port = key.port.to_string();
        let created = self
            .call(false, async || {
                self.client
                    .create_security_group()
                    .group_name(name)
                    .description(group::description(key))
                    .vpc_id(&key.vpc_id)
                    .tag_specifications(tags::of_new(
                        ResourceType::SecurityGroup,
                        name,
                        prefix_name,
                        &self.tags,
                        sync_token,
                        [(SERVICE_TAG, key.service.as_str()), (PORT_TAG, &port)]
                            .into_iter()
                            .chain(pending.then_some((ATTACH_TAG, "pending"))),
                    ))
                    .send()
                    .await
            })
            .await?;
        created.group_id.ok_or(CallError::Incomplete("GroupId"))
    }

    async fn group_named(&self, name: &str, vpc_id: &str) -> Result<Option<SecurityGroup>, CallError> {
        let found = self
            .call(false, async || {
                let name = filter("group-name", [name.to_owned()]);
                let vpc_id = filter("vpc-id", [vpc_id.to_owned()]);
                self.client.describe_security_groups().filters(name).filters(vpc_id).send().await
            })
            .await?;
        Ok(found.security_groups.unwrap_or_default().into_iter().next())
    }

    async fn group(&self, group_id: &str, just_created: bool) -> Result<SecurityGroup, CallError> {
        let found =
            self.call(just_created, async || self.client.describe_security_groups().group_ids(group_id).send().await);
        found.await?.security_groups.unwrap_or_default().into_iter().next().ok_or(CallError::Incomplete("group"))
    }

    /// Adds the ranges to the group in one call.
    ///
    /// EC2 refuses the whole call when one of the rules is there: the reply of an earlier attempt was lost, or another
    /// run was quicker. Then what is still missing is added.
    ///
    /// # Errors
    ///
    /// [`CallError`]; none of the ranges was added then, unless another run did.
    pub(crate) async fn authorize(&self, group: &Group, ranges: &BTreeSet<IpNet>) -> Result<(), CallError> {
        let mut missing = ranges.clone();
        let mut attempt = 1;
        while !missing.is_empty() {
            let added = self
                .call(group.just_created, async || {
                    let description = rule_description(&group.key.service);
                    let permission = group::permission(&group.key, &missing, Some(&description));
                    let call = self.client.authorize_security_group_ingress().group_id(&group.id);
                    call.ip_permissions(permission).send().await
                })
                .await;
            match added {
                Ok(_) => break,
                Err(error) if error.code() == Some("InvalidPermission.Duplicate") && attempt < ATTEMPTS => {
                    let present = self.rules(group).await?;
                    missing.retain(|range| !present.contains(range));
                }
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
        info!(group_id = group.id, name = group.name, ranges = ranges.len(), "ranges added");
        Ok(())
    }

    /// Removes the ranges from the group in one call. One that is not there any more is what was wanted.
    ///
    /// EC2 does not remove rules that it does not know. In a default VPC it removes the others and names these in
    /// `UnknownIpPermissionSet`; in any other VPC it refuses the whole call. In both cases the group is read again, and
    /// what is still there is removed by a further call.
    ///
    /// # Errors
    ///
    /// [`CallError`]; none of the ranges is known to be removed then. [`CallError::NotRemoved`] names those that EC2 did
    /// not remove.
    pub(crate) async fn revoke(&self, group: &Group, ranges: &BTreeSet<IpNet>) -> Result<(), CallError> {
        let mut present = ranges.clone();
        let mut attempt = 1;
        loop {
            let removed = self
                .call(group.just_created, async || {
                    let permission = group::permission(&group.key, &present, None);
                    let call = self.client.revoke_security_group_ingress().group_id(&group.id);
                    call.ip_permissions(permission).send().await
                })
                .await;
            match removed {
                Ok(answer) if answer.unknown_ip_permissions().is_empty() => break,
                Ok(_) => {}
                Err(error) if error.code() == Some("InvalidPermission.NotFound") && attempt < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
            let now = self.rules(group).await?;
            present.retain(|range| now.contains(range));
            if present.is_empty() {
                break;
            }
            if attempt == ATTEMPTS {
                return Err(CallError::NotRemoved(present));
            }
            attempt += 1;
        }
        info!(group_id = group.id, name = group.name, ranges = ranges.len(), "ranges removed");
        Ok(())
    }

    /// What the group holds now.
    async fn rules(&self, group: &Group) -> Result<BTreeSet<IpNet>, CallError> {
        let described = self.group(&group.id, group.just_created).await?;
        Ok(group::state(described.ip_permissions(), group.key.port).ranges)
    }

    /// Takes the outbound rule that EC2 gives a new group from it, for each of the families, and returns what is left once
    /// it has been seen that the rule is gone.
    ///
    /// # Errors
    ///
    /// [`CallError`]; the group may still let everything out then.
    pub(crate) async fn close_egress(&self, group: &Group, families: &[Family]) -> Result<Egress, CallError> {
        // Every new group has the rule for IPv4, whatever EC2 shows at first. The one for IPv6 it has where the VPC has an
        // IPv6 block: revoked once it is seen.
        let mut open: Vec<Family> = families.iter().copied().filter(|family| *family == Family::Ipv4).collect();
        let mut pauses = backoff(INITIAL_BACKOFF, MAX_BACKOFF);
        loop {
            for family in &open {
                self.revoke_egress(group, *family).await?;
            }
            let egress = Egress::of(self.group(&group.id, true).await?.ip_permissions_egress());
            open = families.iter().copied().filter(|family| egress.lets_all_out(*family)).collect();
            // An answer that does not show the rule for IPv4 as it must be by now is from before: it may lack the rule for
            // IPv6 as well.
            let is_current = egress.lets_all_out(Family::Ipv4) != families.contains(&Family::Ipv4);
            let next_pause = pauses.next().filter(|_| !(open.is_empty() && is_current));
            match (next_pause, open.first()) {
                (Some(pause), _) => self.pause(pause).await,
                (None, Some(family)) => {
                    let left = format!("the group still has its outbound rule for all {family} traffic");
                    return Err(CallError::NotDone(left));
                }
                (None, None) => {
                    info!(group_id = group.id, name = group.name, "outbound rules removed");
                    return Ok(egress);
                }
            }
        }
    }

    /// A rule that is not there is skipped by the default VPC, and answered with `InvalidPermission.NotFound` by
    /// others.
    ///
    /// Source: EC2 API reference, RevokeSecurityGroupEgress.
    async fn revoke_egress(&self, group: &Group, family: Family) -> Result<(), CallError> {
        let revoked = self
            .call(true, async || {
                let call = self.client.revoke_security_group_egress().group_id(&group.id);
                call.ip_permissions(Egress::default_rule(family)).send().await
            })
            .await;
        match revoked {
            Err(error) if error.code() != Some("InvalidPermission.NotFound") => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes off the mark of groups that are attached now.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub(crate) async fn unmark(&self, group_ids: Vec<String>) -> Result<(), CallError> {
        let tag = Tag::builder().key(ATTACH_TAG).build();
        self.call(true, async || {
            self.client.delete_tags().set_resources(Some(group_ids.clone())).tags(tag.clone()).send().await
        })
        .await?;
        info!(?group_ids, "marks removed");
        Ok(())
    }
}
