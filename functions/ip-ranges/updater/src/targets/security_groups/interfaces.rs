//! Attaching groups: an interface that carries one group of a pool needs all of them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, NetworkInterface};
use aws_sdk_elasticloadbalancingv2::types::EnforceSecurityGroupInboundRulesOnPrivateLinkTrafficEnum as PrivateLinkEnforcement;
use futures::stream::{self, StreamExt as _};

use super::group::Egress;
use crate::aws::caller::{AT_A_TIME, CallError};
use crate::aws::ec2::Ec2;
use crate::config::{AttachPolicy, Config};
use crate::failure::{Failure, FailureKind};

/// EC2 takes at most this many values in one filter.
const FILTER_VALUES: usize = 200;

/// The groups of one pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PoolGroups {
    /// The VPC of the groups.
    pub(crate) vpc_id: String,
    /// The account that owns the groups; `None` where no group was there before this run.
    pub(crate) owner_id: Option<String>,
    /// All of them, with what they let out. An interface that carries one belongs to the pool.
    pub(crate) groups: BTreeMap<String, Egress>,
    /// Those that such an interface needs.
    pub(crate) needed: BTreeSet<String>,
    /// Those that this run created: EC2 may not know them yet.
    pub(crate) just_created: BTreeSet<String>,
}

/// An interface that carries groups.
#[derive(Debug)]
struct Interface {
    id: String,
    /// All of them: a call that changes them names them all.
    groups: BTreeSet<String>,
    described: NetworkInterface,
}

impl TryFrom<NetworkInterface> for Interface {
    type Error = CallError;

    fn try_from(described: NetworkInterface) -> Result<Self, CallError> {
        let id = described.network_interface_id().ok_or(CallError::Incomplete("NetworkInterfaceId"))?.to_owned();
        let groups = described.groups().iter().map(|group| group.group_id().map(str::to_owned));
        let groups = groups.collect::<Option<_>>().ok_or(CallError::Incomplete("GroupId of an interface"))?;
        Ok(Self { id, groups, described })
    }
}

/// An interface, or a load balancer that owns some.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum InterfaceOrLoadBalancer {
    /// An interface of the account, by its id; changed by EC2.
    Interface(String),
    /// An Application or Network Load Balancer, by its name: EC2 refuses to change its interfaces.
    LoadBalancer(String),
    /// An interface, by its id, whose groups this function cannot change, and why.
    Unchangeable(String, Reason),
}

/// Why this function cannot change the groups of an interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// An AWS service manages it for this account: its name, or the principal of the operator. EC2 refuses every other
    /// principal, the root user of the account too.
    Managed(String),
    /// It belongs to another account, which shares the VPC: the account's id.
    OtherOwner(String),
    /// It is in a VPC with which some groups are associated (AssociateSecurityGroupVpc), and the missing ones may not be:
    /// the VPC's id.
    OtherVpc(String),
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    /// The interfaces and load balancers that got each group.
    pub(crate) done: BTreeMap<String, BTreeSet<String>>,
    /// What could not be done.
    pub(crate) failures: Vec<Failure>,
    /// With `ATTACH=off`: what is still to be attached, by those who do it.
    pub(crate) notes: Vec<String>,
    /// Groups that are not everywhere they should be.
    pub(crate) incomplete: BTreeSet<String>,
}

/// Attaches what is missing, or reports it (`ATTACH`). With `dry_run`, only says where the groups would go.
///
/// An interface carries groups of several pools, so the pools of a Region are handled together, in one call an interface.
pub(crate) async fn attach(ec2: &Ec2, pools: &[PoolGroups], config: &Config, dry_run: bool) -> Attached {
    let mut attached = Attached::default();
    let interfaces = match carrying(ec2, pools.iter().flat_map(|pool| pool.groups.keys().cloned()).collect()).await {
        Ok(interfaces) => interfaces,
        Err(error) => {
            attached.failures.push(Failure::of("finding the interfaces that carry the groups", &error));
            attached.incomplete = pools.iter().flat_map(|pool| pool.needed.iter().cloned()).collect();
            return attached;
        }
    };
    let partly = partly_attached(&interfaces, pools);
    if config.attach == AttachPolicy::Off {
        for (place, missing) in partly {
            let missing_ids = list(&missing);
            attached.notes.push(format!(
                "{place} carries other groups of the same service and port and lacks {missing_ids}, which ATTACH=off leaves to you; until then, no range that these replace is removed"
            ));
            attached.incomplete.extend(missing);
        }
        return attached;
    }
    let results = stream::iter(partly)
        .map(async |(place, missing)| {
            let outcome = attach_missing(ec2, pools, &place, &missing, config, dry_run).await;
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

/// The ids of the interfaces that carry each of the groups; none for a group that no interface carries.
///
/// # Errors
///
/// [`CallError`].
pub(crate) async fn carriers(
    ec2: &Ec2,
    group_ids: BTreeSet<String>,
) -> Result<BTreeMap<String, BTreeSet<String>>, CallError> {
    let mut carriers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for interface in carrying(ec2, group_ids).await? {
        for group_id in interface.groups {
            carriers.entry(group_id).or_default().insert(interface.id.clone());
        }
    }
    Ok(carriers)
}

/// All interfaces that carry one of the groups.
async fn carrying(ec2: &Ec2, group_ids: BTreeSet<String>) -> Result<Vec<Interface>, CallError> {
    let mut interfaces = BTreeMap::new();
    let group_ids: Vec<String> = group_ids.into_iter().collect();
    for group_ids in group_ids.chunks(FILTER_VALUES) {
        let found: Vec<NetworkInterface> = ec2
            .call(false, async || {
                let filter = Filter::builder().name("group-id").set_values(Some(group_ids.to_vec())).build();
                // Without it, EC2 may leave out interfaces of managed instances, where the account hides them.
                let call = ec2.client.describe_network_interfaces().filters(filter).include_managed_resources(true);
                call.into_paginator().page_size(1_000).items().send().try_collect().await
            })
            .await?;
        for interface in found {
            let interface = Interface::try_from(interface)?;
            interfaces.insert(interface.id.clone(), interface);
        }
    }
    Ok(interfaces.into_values().collect())
}

/// The interfaces and load balancers that lack a group they need, and which. Pure.
fn partly_attached(
    interfaces: &[Interface],
    pools: &[PoolGroups],
) -> BTreeMap<InterfaceOrLoadBalancer, BTreeSet<String>> {
    let mut partly: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for interface in interfaces {
        for pool in pools {
            let missing = missing(&interface.groups, [pool]);
            if !missing.is_empty() {
                partly.entry(owner(interface, pool)).or_default().extend(missing.into_keys());
            }
        }
    }
    partly
}

/// The groups that are needed beside those that are present, and whether each may be attached: only where it lets out no
/// more than the present groups of its pool. Pure.
fn missing<'a>(present: &BTreeSet<String>, pools: impl IntoIterator<Item = &'a PoolGroups>) -> BTreeMap<String, bool> {
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

/// Who may change the interface's groups to those of the pool.
fn owner(interface: &Interface, pool: &PoolGroups) -> InterfaceOrLoadBalancer {
    let Interface { id, described: interface, .. } = interface;
    let is_other = |value: Option<&str>, own: Option<&str>| value.zip(own).is_some_and(|(value, own)| value != own);
    let reason = |reason: fn(String) -> Reason, value: Option<&str>| {
        InterfaceOrLoadBalancer::Unchangeable(id.clone(), reason(value.unwrap_or("another service").to_owned()))
    };
    if let Some(operator) = interface.operator().filter(|operator| operator.managed() == Some(true)) {
        return reason(Reason::Managed, operator.principal());
    }
    if is_other(interface.owner_id(), pool.owner_id.as_deref()) {
        return reason(Reason::OtherOwner, interface.owner_id());
    }
    if is_other(interface.vpc_id(), Some(&pool.vpc_id)) {
        return reason(Reason::OtherVpc, interface.vpc_id());
    }
    if interface.requester_managed() != Some(true) {
        return InterfaceOrLoadBalancer::Interface(id.clone());
    }
    // The interfaces of load balancers are described as `ELB app/<name>/<id>` and `ELB net/<name>/<id>`.
    let description = interface.description().unwrap_or_default();
    let parts: Vec<&str> = description.strip_prefix("ELB ").unwrap_or_default().split('/').collect();
    match parts[..] {
        ["app" | "net", name, _] => InterfaceOrLoadBalancer::LoadBalancer(name.to_owned()),
        _ => reason(Reason::Managed, interface.requester_id()),
    }
}

/// What one interface or load balancer got.
#[derive(Debug, Default)]
struct Mended {
    added: BTreeSet<String>,
    /// Groups that were not attached, since they let out more than those that are there.
    too_open: BTreeSet<String>,
}

/// Reads the list of groups again, since the call replaces it as a whole, and adds what is missing then. Nothing is to be
/// done for an interface or load balancer that does not exist any more, at whichever call that is seen.
async fn attach_missing(
    ec2: &Ec2,
    pools: &[PoolGroups],
    place: &InterfaceOrLoadBalancer,
    missing_before: &BTreeSet<String>,
    config: &Config,
    dry_run: bool,
) -> Result<Mended, Failure> {
    let what = format!("attaching {} to {place}", list(missing_before));
    // Another pool may be of another VPC: who may change the interface's groups is then another question.
    let pools: Vec<&PoolGroups> = pools.iter().filter(|pool| !pool.needed.is_disjoint(missing_before)).collect();
    match attach_to(ec2, &pools, place, &what, config, dry_run).await {
        Err(AttachError::Call(error)) if error.is_gone() => {
            tracing::info!(%place, error = error.to_string(), "deleted during the run");
            Ok(Mended::default())
        }
        Err(AttachError::Call(error)) => Err(Failure::of(what, &error)),
        Err(AttachError::Other(failure)) => Err(failure),
        Ok(mended) => Ok(mended),
    }
}

/// Why a group could not be attached.
enum AttachError {
    Call(CallError),
    Other(Failure),
}

impl From<CallError> for AttachError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<Failure> for AttachError {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

async fn attach_to(
    ec2: &Ec2,
    pools: &[&PoolGroups],
    place: &InterfaceOrLoadBalancer,
    what: &str,
    config: &Config,
    dry_run: bool,
) -> Result<Mended, AttachError> {
    if let InterfaceOrLoadBalancer::Unchangeable(_, reason) = place {
        return Err(Failure::partly_attached(what, &reason.to_string()).into());
    }
    if config.attach == AttachPolicy::Report {
        let reason =
            "it carries other groups of the same service and port and lacks these: attach them, or set ATTACH=follow";
        return Err(Failure::partly_attached(what, reason).into());
    }
    // Only what this run created may be unknown for a while. Rights to attach are bound to no tag, so a refusal is one.
    let is_transient = |added: &BTreeSet<String>| {
        let is_new = pools.iter().any(|pool| !pool.just_created.is_disjoint(added));
        move |error: &CallError| is_new && error.is_unknown_group()
    };
    match place {
        InterfaceOrLoadBalancer::Interface(id) => {
            let Some(present) = groups_now(ec2, id).await? else { return Ok(Mended::default()) };
            let (groups, mended) = with_missing(&present, pools, config, what)?;
            if !dry_run && !mended.added.is_empty() {
                ec2.call_while(is_transient(&mended.added), async || {
                    let call = ec2.client.modify_network_interface_attribute().network_interface_id(id);
                    call.set_groups(Some(groups.clone())).send().await
                })
                .await?;
                tracing::info!(interface = id, groups = ?mended.added, "groups attached");
            }
            Ok(mended)
        }
        InterfaceOrLoadBalancer::LoadBalancer(name) => {
            let found = ec2.call(false, async || ec2.elb.describe_load_balancers().names(name).send().await).await?;
            let found = found.load_balancers().first().ok_or(CallError::Incomplete("load balancer"))?;
            let arn = found.load_balancer_arn().ok_or(CallError::Incomplete("LoadBalancerArn"))?;
            // Only Network Load Balancers have it, and "the default is on": to leave it out may turn it on.
            // Source: Elastic Load Balancing API reference, SetSecurityGroups.
            let private_link = found
                .enforce_security_group_inbound_rules_on_private_link_traffic()
                .filter(|value| !value.is_empty())
                .map(PrivateLinkEnforcement::from);
            // The load balancer's own list is the truth; an interface may not have caught up with it.
            let (groups, mended) =
                with_missing(&found.security_groups().iter().cloned().collect(), pools, config, what)?;
            if !dry_run && !mended.added.is_empty() {
                ec2.call_while(is_transient(&mended.added), async || {
                    let call = ec2.elb.set_security_groups().load_balancer_arn(arn);
                    let call =
                        call.set_enforce_security_group_inbound_rules_on_private_link_traffic(private_link.clone());
                    call.set_security_groups(Some(groups.clone())).send().await
                })
                .await?;
                tracing::info!(load_balancer = name, groups = ?mended.added, "groups attached");
            }
            Ok(mended)
        }
        InterfaceOrLoadBalancer::Unchangeable(..) => Ok(Mended::default()),
    }
}

/// The groups that the interface carries now; `None` where it is gone.
async fn groups_now(ec2: &Ec2, id: &str) -> Result<Option<BTreeSet<String>>, CallError> {
    let found = ec2
        .call(false, async || ec2.client.describe_network_interfaces().network_interface_ids(id).send().await)
        .await?;
    let interface = found.network_interfaces.unwrap_or_default().into_iter().next();
    Ok(interface.map(Interface::try_from).transpose()?.map(|interface| interface.groups))
}

/// All groups it is to carry, unless they are more than it can take, and which of them are new. Pure.
fn with_missing(
    present: &BTreeSet<String>,
    pools: &[&PoolGroups],
    config: &Config,
    what: &str,
) -> Result<(Vec<String>, Mended), Failure> {
    let (added, too_open): (Vec<_>, Vec<_>) =
        missing(present, pools.iter().copied()).into_iter().partition(|(_, may)| *may);
    let ids = |groups: Vec<(String, bool)>| groups.into_iter().map(|(id, _)| id).collect();
    let mended = Mended { added: ids(added), too_open: ids(too_open) };
    let limit = config.limits.groups_per_interface;
    if !mended.added.is_empty() && present.len() + mended.added.len() > limit {
        return Err(Failure {
            kind: FailureKind::InterfaceGroupLimit,
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

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Managed(service) => write!(f, "only {service} can change its groups: attach them there"),
            Self::OtherOwner(account) => {
                write!(f, "it belongs to the account {account}, which alone can change its groups: attach them there")
            }
            Self::OtherVpc(vpc_id) => write!(
                f,
                "it is in {vpc_id}, and these groups are those of another VPC: associate them with {vpc_id} (aws ec2 associate-security-group-vpc), then attach them yourself"
            ),
        }
    }
}

impl std::fmt::Display for InterfaceOrLoadBalancer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Interface(id) | Self::Unchangeable(id, _) => f.write_str(id),
            Self::LoadBalancer(name) => write!(f, "load balancer {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{GroupIdentifier, OperatorResponse};
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
            ..PoolGroups::default()
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
        let partly: Vec<String> =
            partly_attached(&interfaces.map(|interface| Interface::try_from(interface).unwrap()), &pools)
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
                "Unchangeable(\"eni-7\", Managed(\"amazon-elb\")) + sg-2, sg-3",
            ]
        );
    }

    /// A call that sets the groups of an interface would take away the one whose id is not known.
    #[test]
    fn an_interface_without_its_id_or_that_of_a_group_is_an_error() {
        let error =
            |interface: NetworkInterface| Interface::try_from(interface).map(drop).map_err(|error| error.to_string());
        assert_eq!(error(interface("eni-1", &["sg-1"]).build()), Ok(()));
        let nameless = NetworkInterface::builder().build();
        assert_eq!(error(nameless), Err("the answer has no NetworkInterfaceId".to_owned()));
        let of_nothing = interface("eni-1", &["sg-1"]).groups(GroupIdentifier::builder().group_name("web").build());
        assert_eq!(error(of_nothing.build()), Err("the answer has no GroupId of an interface".to_owned()));
    }

    #[test]
    fn an_interface_that_cannot_take_a_group_is_known_by_its_description() {
        let pool =
            PoolGroups { vpc_id: "vpc-1".into(), owner_id: Some("123456789012".into()), ..pool(&["sg-1"], &[], &[]) };
        let own = || interface("eni-1", &[]).vpc_id("vpc-1").owner_id("123456789012");
        let operator = |managed| OperatorResponse::builder().managed(managed).principal("eks.amazonaws.com").build();
        let balanced =
            |description: &str| own().requester_managed(true).requester_id("amazon-elb").description(description);
        let cases = [
            (own(), "Interface(\"eni-1\")"),
            (own().operator(operator(false)), "Interface(\"eni-1\")"),
            (balanced("ELB net/front/50dc6c495c0c9188"), "LoadBalancer(\"front\")"),
            (balanced("VPC endpoint"), "Unchangeable(\"eni-1\", Managed(\"amazon-elb\"))"),
            (own().operator(operator(true)), "Unchangeable(\"eni-1\", Managed(\"eks.amazonaws.com\"))"),
            (own().vpc_id("vpc-2"), "Unchangeable(\"eni-1\", OtherVpc(\"vpc-2\"))"),
            (own().owner_id("210987654321"), "Unchangeable(\"eni-1\", OtherOwner(\"210987654321\"))"),
        ];
        for (interface, expected) in cases {
            assert_eq!(format!("{:?}", owner(&Interface::try_from(interface.build()).unwrap(), &pool)), expected);
        }
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
