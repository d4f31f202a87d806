//! Attaching new groups wherever the earlier groups of the same service and port are.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, NetworkInterface};
use aws_sdk_elasticloadbalancingv2 as elb;
use futures::stream::{self, StreamExt as _};

use crate::ec2::CallError;
use crate::report::{Failure, Kind};

/// EC2 takes at most this many values in one filter.
const FILTER_VALUES: usize = 200;
/// How many interfaces are changed at a time: enough to be quick, too few to be throttled.
const AT_A_TIME: usize = 4;

/// Groups to attach, and where: wherever one of `earlier` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Groups that are attached.
    pub earlier: BTreeSet<String>,
    /// Groups that are to be.
    pub pending: BTreeSet<String>,
}

/// An interface, or a load balancer that owns some.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Carrier {
    /// By its id; changed by EC2.
    Interface(String),
    /// An Application or Network Load Balancer, by its name: EC2 refuses to change its interfaces.
    LoadBalancer(String),
    /// An interface that another service manages, by its id, with the name of that service.
    Managed(String, String),
}

/// What came of the wishes.
#[derive(Debug, Default)]
pub struct Attached {
    /// The interfaces and load balancers that got each group.
    pub done: BTreeMap<String, BTreeSet<String>>,
    /// What could not be done.
    pub failures: Vec<Failure>,
    /// Groups that are not everywhere they should be.
    pub incomplete: BTreeSet<String>,
}

/// Fulfils the wishes. With `dry_run`, only says where the groups would go.
///
/// An interface carries groups of several pools, so all wishes of a Region are fulfilled together, in one call an interface.
pub async fn attach(
    ec2: &aws_sdk_ec2::Client,
    elb: &elb::Client,
    wishes: &[Wish],
    groups_per_interface: usize,
    dry_run: bool,
) -> Attached {
    let mut attached = Attached::default();
    let interfaces = match carrying(ec2, wishes.iter().flat_map(|wish| wish.earlier.iter().cloned()).collect()).await {
        Ok(interfaces) => interfaces,
        Err(error) => {
            attached.failures.push(Failure::of("finding the interfaces of the earlier groups", error.to_string()));
            attached.incomplete = wishes.iter().flat_map(|wish| wish.pending.iter().cloned()).collect();
            return attached;
        }
    };
    let changes = changes(&interfaces, wishes);
    let results = stream::iter(&changes)
        .map(async |(carrier, change)| {
            (carrier, change, change_groups(ec2, elb, carrier, change, groups_per_interface, dry_run).await)
        })
        .buffer_unordered(AT_A_TIME)
        .collect::<Vec<_>>()
        .await;
    for (carrier, change, result) in results {
        match result {
            Ok(()) => {
                for group in &change.add {
                    attached.done.entry(group.clone()).or_default().insert(carrier.to_string());
                }
            }
            Err(failure) => {
                attached.incomplete.extend(change.add.iter().cloned());
                attached.failures.push(failure);
            }
        }
    }
    attached
}

/// All interfaces that carry one of the groups.
async fn carrying(ec2: &aws_sdk_ec2::Client, group_ids: BTreeSet<String>) -> Result<Vec<NetworkInterface>, CallError> {
    let mut interfaces = BTreeMap::new();
    let group_ids: Vec<String> = group_ids.into_iter().collect();
    for group_ids in group_ids.chunks(FILTER_VALUES) {
        let filter = Filter::builder().name("group-id").set_values(Some(group_ids.to_vec())).build();
        let mut pages =
            ec2.describe_network_interfaces().filters(filter).into_paginator().page_size(1_000).items().send();
        while let Some(interface) = pages.next().await {
            let interface = interface?;
            interfaces.insert(interface.network_interface_id().unwrap_or_default().to_owned(), interface);
        }
    }
    Ok(interfaces.into_values().collect())
}

/// What one interface or load balancer carries, and what it is to carry besides.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Change {
    present: BTreeSet<String>,
    add: BTreeSet<String>,
}

/// What is to change where. Pure.
fn changes(interfaces: &[NetworkInterface], wishes: &[Wish]) -> BTreeMap<Carrier, Change> {
    let mut changes: BTreeMap<Carrier, Change> = BTreeMap::new();
    for interface in interfaces {
        let present: BTreeSet<String> =
            interface.groups().iter().filter_map(|group| group.group_id()).map(str::to_owned).collect();
        let wanted = wishes.iter().filter(|wish| !wish.earlier.is_disjoint(&present)).flat_map(|wish| &wish.pending);
        let add: BTreeSet<String> = wanted.filter(|group| !present.contains(*group)).cloned().collect();
        if !add.is_empty() {
            let change = changes.entry(carrier(interface)).or_default();
            change.present.extend(present);
            change.add.extend(add);
        }
    }
    changes
}

/// Who may change the interface's groups.
fn carrier(interface: &NetworkInterface) -> Carrier {
    let id = interface.network_interface_id().unwrap_or_default().to_owned();
    if interface.requester_managed() != Some(true) {
        return Carrier::Interface(id);
    }
    // The interfaces of load balancers are described as `ELB app/<name>/<id>` and `ELB net/<name>/<id>`.
    let description = interface.description().unwrap_or_default();
    let parts: Vec<&str> = description.strip_prefix("ELB ").unwrap_or_default().split('/').collect();
    match parts[..] {
        ["app" | "net", name, _] => Carrier::LoadBalancer(name.to_owned()),
        _ => Carrier::Managed(id, interface.requester_id().unwrap_or("another service").to_owned()),
    }
}

async fn change_groups(
    ec2: &aws_sdk_ec2::Client,
    elb: &elb::Client,
    carrier: &Carrier,
    change: &Change,
    groups_per_interface: usize,
    dry_run: bool,
) -> Result<(), Failure> {
    let what = format!("attaching {} to {carrier}", list(&change.add));
    let failed = |error: CallError| Failure::of(what.clone(), error.to_string());
    match carrier {
        Carrier::Interface(id) => {
            let groups = with_room(change, groups_per_interface, &what)?;
            if !dry_run {
                ec2.modify_network_interface_attribute()
                    .network_interface_id(id)
                    .set_groups(Some(groups))
                    .send()
                    .await
                    .map_err(|error| failed(error.into()))?;
            }
        }
        Carrier::LoadBalancer(name) => {
            let found = elb.describe_load_balancers().names(name).send().await.map_err(|error| failed(error.into()))?;
            let found = found.load_balancers().first().ok_or_else(|| failed(CallError::Incomplete("load balancer")))?;
            let arn = found.load_balancer_arn().ok_or_else(|| failed(CallError::Incomplete("LoadBalancerArn")))?;
            // The load balancer's own list is the truth; an interface may not have caught up with it.
            let present = found.security_groups().iter().cloned().collect();
            let add = change.add.difference(&present).cloned().collect();
            let groups = with_room(&Change { present, add }, groups_per_interface, &what)?;
            if !dry_run {
                elb.set_security_groups()
                    .load_balancer_arn(arn)
                    .set_security_groups(Some(groups))
                    .send()
                    .await
                    .map_err(|error| failed(error.into()))?;
            }
        }
        Carrier::Managed(_, requester) => {
            let reason = format!("its groups can be changed through {requester} only: attach the group there");
            return Err(Failure::of(what, reason));
        }
    }
    Ok(())
}

/// All groups the carrier is to have, unless they are more than it can take.
fn with_room(change: &Change, limit: usize, what: &str) -> Result<Vec<String>, Failure> {
    let Change { present, add } = change;
    if present.len() + add.len() > limit {
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
    Ok(present.union(add).cloned().collect())
}

fn list(ids: &BTreeSet<String>) -> String {
    ids.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

impl std::fmt::Display for Carrier {
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

    fn interface(id: &str, groups: &[&str]) -> aws_sdk_ec2::types::builders::NetworkInterfaceBuilder {
        let groups = groups.iter().map(|id| GroupIdentifier::builder().group_id(*id).build()).collect();
        NetworkInterface::builder().network_interface_id(id).set_groups(Some(groups))
    }

    fn set(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_interface_that_carries_an_earlier_group_gets_the_new_ones() {
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
        ];
        let wishes = [
            Wish { earlier: set(&["sg-1"]), pending: set(&["sg-2", "sg-3"]) },
            Wish { earlier: set(&["sg-8"]), pending: set(&["sg-9"]) },
        ];
        let changes: Vec<String> = changes(&interfaces, &wishes)
            .iter()
            .map(|(carrier, change)| format!("{carrier:?} {} + {}", list(&change.present), list(&change.add)))
            .collect();
        assert_eq!(
            changes,
            [
                "Interface(\"eni-1\") sg-1, sg-foreign + sg-2, sg-3",
                "Interface(\"eni-3\") sg-8 + sg-9",
                "LoadBalancer(\"front\") sg-1 + sg-2, sg-3",
                "LoadBalancer(\"web\") sg-1 + sg-2, sg-3",
                "Managed(\"eni-7\", \"amazon-elb\") sg-1 + sg-2, sg-3",
            ]
        );
    }
}
