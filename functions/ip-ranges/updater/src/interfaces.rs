//! Attaching groups: an interface that carries one group of a pool needs all of them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, NetworkInterface};
use futures::stream::{self, StreamExt as _};

use crate::caller::{AT_A_TIME, CallError};
use crate::config::{AttachPolicy, Config};
use crate::ec2::Ec2;
use crate::group::Egress;
use crate::report::{Failure, Kind};

/// EC2 takes at most this many values in one filter.
const FILTER_VALUES: usize = 200;

/// The groups of one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolGroups {
    /// All of them, with what they let out. An interface that carries one belongs to the pool.
    pub groups: BTreeMap<String, Egress>,
    /// Those that such an interface needs.
    pub needed: BTreeSet<String>,
    /// Whether EC2 may not know one of them yet.
    pub just_created: bool,
}

/// An interface, or a load balancer that owns some.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum InterfaceOrLoadBalancer {
    /// An interface of the account, by its id; changed by EC2.
    Interface(String),
    /// An Application or Network Load Balancer, by its name: EC2 refuses to change its interfaces.
    LoadBalancer(String),
    /// An interface that another service manages, by its id, with the name of that service.
    Managed(String, String),
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Attached {
    /// The interfaces and load balancers that got each group.
    pub done: BTreeMap<String, BTreeSet<String>>,
    /// What could not be done.
    pub failures: Vec<Failure>,
    /// Groups that are not everywhere they should be.
    pub incomplete: BTreeSet<String>,
}

/// Attaches what is missing, or reports it (`ATTACH`). With `dry_run`, only says where the groups would go.
///
/// An interface carries groups of several pools, so the pools of a Region are handled together, in one call an interface.
pub async fn attach(ec2: &Ec2, pools: &[PoolGroups], config: &Config, dry_run: bool) -> Attached {
    let mut attached = Attached::default();
    let interfaces = match carrying(ec2, pools.iter().flat_map(|pool| pool.groups.keys().cloned()).collect()).await {
        Ok(interfaces) => interfaces,
        Err(error) => {
            attached.failures.push(Failure::of("finding the interfaces that carry the groups", &error));
            attached.incomplete = pools.iter().flat_map(|pool| pool.needed.iter().cloned()).collect();
            return attached;
        }
    };
    let results = stream::iter(partly_attached(&interfaces, pools))
        .map(async |(place, missing)| {
            let outcome = mend(ec2, pools, &place, &missing, config, dry_run).await;
            (place, missing, outcome)
        })
        // Each is read just before it is written: not all are read first.
        .buffer_unordered(AT_A_TIME)
        .collect::<Vec<_>>()
        .await;
    for (place, missing, outcome) in results {
        match outcome {
            Ok(Mended { added, too_open }) => {
                for group in added {
                    attached.done.entry(group).or_default().insert(place.to_string());
                }
                if !too_open.is_empty() {
                    attached.failures.push(too_open_failure(&place, &too_open));
                    attached.incomplete.extend(too_open);
                }
            }
            Err(failure) => {
                attached.incomplete.extend(missing);
                attached.failures.push(failure);
            }
        }
    }
    attached
}

/// All interfaces that carry one of the groups.
async fn carrying(ec2: &Ec2, group_ids: BTreeSet<String>) -> Result<Vec<NetworkInterface>, CallError> {
    let mut interfaces = BTreeMap::new();
    let group_ids: Vec<String> = group_ids.into_iter().collect();
    for group_ids in group_ids.chunks(FILTER_VALUES) {
        let found: Vec<NetworkInterface> = ec2
            .call(false, async || {
                let filter = Filter::builder().name("group-id").set_values(Some(group_ids.to_vec())).build();
                let pages = ec2.client.describe_network_interfaces().filters(filter).into_paginator().page_size(1_000);
                pages.items().send().try_collect().await
            })
            .await?;
        for interface in found {
            interfaces.insert(interface.network_interface_id().unwrap_or_default().to_owned(), interface);
        }
    }
    Ok(interfaces.into_values().collect())
}

/// The interfaces and load balancers that lack a group they need, and which. Pure.
fn partly_attached(
    interfaces: &[NetworkInterface],
    pools: &[PoolGroups],
) -> BTreeMap<InterfaceOrLoadBalancer, BTreeSet<String>> {
    let mut partly: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for interface in interfaces {
        let missing = missing(&groups_of(interface), pools);
        if !missing.is_empty() {
            partly.entry(place(interface)).or_default().extend(missing.into_keys());
        }
    }
    partly
}

fn groups_of(interface: &NetworkInterface) -> BTreeSet<String> {
    interface.groups().iter().filter_map(|group| group.group_id()).map(str::to_owned).collect()
}

/// The groups that are needed beside those that are present, and whether each may be attached: only where it lets out no
/// more than the present groups of its pool. Pure.
fn missing(present: &BTreeSet<String>, pools: &[PoolGroups]) -> BTreeMap<String, bool> {
    let mut missing = BTreeMap::new();
    for pool in pools {
        let here = pool.groups.iter().filter(|(id, _)| present.contains(*id)).map(|(_, egress)| egress);
        if here.clone().next().is_none() {
            continue;
        }
        for id in pool.needed.difference(present) {
            let may = pool.groups.get(id).is_some_and(|egress| egress.is_within(here.clone()));
            missing.insert(id.clone(), may);
        }
    }
    missing
}

/// Who may change the interface's groups.
fn place(interface: &NetworkInterface) -> InterfaceOrLoadBalancer {
    let id = interface.network_interface_id().unwrap_or_default().to_owned();
    if interface.requester_managed() != Some(true) {
        return InterfaceOrLoadBalancer::Interface(id);
    }
    // The interfaces of load balancers are described as `ELB app/<name>/<id>` and `ELB net/<name>/<id>`.
    let description = interface.description().unwrap_or_default();
    let parts: Vec<&str> = description.strip_prefix("ELB ").unwrap_or_default().split('/').collect();
    match parts[..] {
        ["app" | "net", name, _] => InterfaceOrLoadBalancer::LoadBalancer(name.to_owned()),
        _ => InterfaceOrLoadBalancer::Managed(id, interface.requester_id().unwrap_or("another service").to_owned()),
    }
}

/// What one interface or load balancer got.
#[derive(Debug, Default)]
struct Mended {
    added: BTreeSet<String>,
    /// Groups that were not attached, since they let out more than those that are there.
    too_open: BTreeSet<String>,
}

/// Reads the list of groups again, since the call replaces it as a whole, and adds what is missing then.
async fn mend(
    ec2: &Ec2,
    pools: &[PoolGroups],
    place: &InterfaceOrLoadBalancer,
    missing_before: &BTreeSet<String>,
    config: &Config,
    dry_run: bool,
) -> Result<Mended, Failure> {
    let what = format!("attaching {} to {place}", list(missing_before));
    if config.attach == AttachPolicy::Report {
        let reason =
            "it carries other groups of the same service and port and lacks these: attach them, or set ATTACH=follow";
        return Err(Failure::partly_attached(what, reason));
    }
    let failed = |error: CallError| Failure::of(what.clone(), &error);
    let just_created = pools.iter().any(|pool| pool.just_created);
    match place {
        InterfaceOrLoadBalancer::Interface(id) => {
            let Some(present) = groups_now(ec2, id).await.map_err(failed)? else { return Ok(Mended::default()) };
            let (groups, mended) = with_missing(&present, pools, config, &what)?;
            if !dry_run && !mended.added.is_empty() {
                ec2.call(just_created, async || {
                    let call = ec2.client.modify_network_interface_attribute().network_interface_id(id);
                    call.set_groups(Some(groups.clone())).send().await
                })
                .await
                .map_err(failed)?;
                tracing::info!(interface = id, groups = ?mended.added, "groups attached");
            }
            Ok(mended)
        }
        InterfaceOrLoadBalancer::LoadBalancer(name) => {
            let found = ec2
                .call(false, async || ec2.elb.describe_load_balancers().names(name).send().await)
                .await
                .map_err(failed)?;
            let found = found.load_balancers().first().ok_or_else(|| failed(CallError::Incomplete("load balancer")))?;
            let arn = found.load_balancer_arn().ok_or_else(|| failed(CallError::Incomplete("LoadBalancerArn")))?;
            // The load balancer's own list is the truth; an interface may not have caught up with it.
            let (groups, mended) =
                with_missing(&found.security_groups().iter().cloned().collect(), pools, config, &what)?;
            if !dry_run && !mended.added.is_empty() {
                ec2.call(just_created, async || {
                    let call = ec2.elb.set_security_groups().load_balancer_arn(arn);
                    call.set_security_groups(Some(groups.clone())).send().await
                })
                .await
                .map_err(failed)?;
                tracing::info!(load_balancer = name, groups = ?mended.added, "groups attached");
            }
            Ok(mended)
        }
        InterfaceOrLoadBalancer::Managed(_, requester) => {
            let reason = format!("only {requester} can change its groups: attach them there");
            Err(Failure::partly_attached(what, &reason))
        }
    }
}

/// The groups that the interface carries now; `None` where it is gone.
async fn groups_now(ec2: &Ec2, id: &str) -> Result<Option<BTreeSet<String>>, CallError> {
    let found =
        ec2.call(false, async || ec2.client.describe_network_interfaces().network_interface_ids(id).send().await).await;
    match found {
        Ok(found) => Ok(found.network_interfaces().first().map(groups_of)),
        Err(error) if error.code() == Some("InvalidNetworkInterfaceID.NotFound") => Ok(None),
        Err(error) => Err(error),
    }
}

/// All groups it is to carry, unless they are more than it can take, and which of them are new. Pure.
fn with_missing(
    present: &BTreeSet<String>,
    pools: &[PoolGroups],
    config: &Config,
    what: &str,
) -> Result<(Vec<String>, Mended), Failure> {
    let (added, too_open): (Vec<_>, Vec<_>) = missing(present, pools).into_iter().partition(|(_, may)| *may);
    let ids = |groups: Vec<(String, bool)>| groups.into_iter().map(|(id, _)| id).collect();
    let mended = Mended { added: ids(added), too_open: ids(too_open) };
    let limit = config.limits.groups_per_interface;
    if !mended.added.is_empty() && present.len() + mended.added.len() > limit {
        return Err(Failure {
            kind: Kind::InterfaceGroupLimit,
            what: what.to_owned(),
            reason: format!(
                "it carries {} ({}) and takes {limit}, as MAX_GROUPS_PER_INTERFACE says: detach one, or raise quota and setting; it was left as it is",
                present.len(),
                list(present)
            ),
        });
    }
    Ok((present.union(&mended.added).cloned().collect(), mended))
}

fn too_open_failure(place: &InterfaceOrLoadBalancer, groups: &BTreeSet<String>) -> Failure {
    Failure::partly_attached(
        format!("attaching {} to {place}", list(groups)),
        "it would let more traffic out than the groups of that service and port that are there: remove its outbound rules, or attach it yourself",
    )
}

fn list(ids: &BTreeSet<String>) -> String {
    ids.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

impl std::fmt::Display for InterfaceOrLoadBalancer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Interface(id) | Self::Managed(id, _) => f.write_str(id),
            Self::LoadBalancer(name) => write!(f, "load balancer {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::GroupIdentifier;
    use ip_ranges_planner::family::Family;

    fn interface(id: &str, groups: &[&str]) -> aws_sdk_ec2::types::builders::NetworkInterfaceBuilder {
        let groups = groups.iter().map(|id| GroupIdentifier::builder().group_id(*id).build()).collect();
        NetworkInterface::builder().network_interface_id(id).set_groups(Some(groups))
    }

    /// A pool of these groups; those in `open` let everything out. All but those in `empty` are needed.
    fn pool(groups: &[&str], open: &[&str], empty: &[&str]) -> PoolGroups {
        let all = Egress::of_new_group;
        let egress = |id: &&str| if open.contains(id) { all() } else { all().without(&Family::BOTH) };
        PoolGroups {
            groups: groups.iter().map(|id| ((*id).to_owned(), egress(id))).collect(),
            needed: groups.iter().filter(|id| !empty.contains(*id)).map(ToString::to_string).collect(),
            just_created: false,
        }
    }

    #[test]
    fn every_interface_that_carries_a_group_of_a_pool_needs_the_others() {
        let managed = |builder: aws_sdk_ec2::types::builders::NetworkInterfaceBuilder, description: &str| {
            builder.requester_managed(true).requester_id("amazon-elb").description(description).build()
        };
        let interfaces = [
            interface("eni-1", &["sg-1", "sg-foreign"]).build(),
            interface("eni-2", &["sg-1", "sg-2", "sg-3"]).build(),
            interface("eni-3", &["sg-8"]).build(),
            managed(interface("eni-4", &["sg-1"]), "ELB app/web/50dc6c495c0c9188"),
            managed(interface("eni-5", &["sg-1"]), "ELB app/web/50dc6c495c0c9188"),
            managed(interface("eni-6", &["sg-1"]), "ELB net/front/50dc6c495c0c9188"),
            managed(interface("eni-7", &["sg-1"]), "ELB classic"),
            interface("eni-8", &["sg-empty"]).build(),
        ];
        let pools =
            [pool(&["sg-1", "sg-2", "sg-3", "sg-empty"], &[], &["sg-empty"]), pool(&["sg-8", "sg-9"], &[], &[])];
        let partly: Vec<String> = partly_attached(&interfaces, &pools)
            .iter()
            .map(|(place, missing)| format!("{place:?} + {}", list(missing)))
            .collect();
        assert_eq!(
            partly,
            [
                "Interface(\"eni-1\") + sg-2, sg-3",
                "Interface(\"eni-3\") + sg-9",
                "Interface(\"eni-8\") + sg-1, sg-2, sg-3",
                "LoadBalancer(\"front\") + sg-2, sg-3",
                "LoadBalancer(\"web\") + sg-2, sg-3",
                "Managed(\"eni-7\", \"amazon-elb\") + sg-2, sg-3",
            ]
        );
    }

    #[test]
    fn a_group_that_lets_everything_out_joins_only_groups_that_do_too() {
        let pools = [pool(&["sg-1", "sg-2", "sg-3"], &["sg-2", "sg-3"], &[])];
        let may_join = |present: &[&str]| {
            let present = present.iter().map(ToString::to_string).collect();
            missing(&present, &pools).into_iter().map(|(id, may)| format!("{id} {may}")).collect::<Vec<_>>()
        };
        assert_eq!(may_join(&["sg-1"]), ["sg-2 false", "sg-3 false"]);
        assert_eq!(may_join(&["sg-2"]), ["sg-1 true", "sg-3 true"]);
        assert_eq!(may_join(&["sg-1", "sg-2"]), ["sg-3 true"]);
        assert!(may_join(&["sg-other"]).is_empty());
    }
}
