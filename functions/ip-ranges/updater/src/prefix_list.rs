//! The other target: customer-managed prefix lists, one for each service and address family.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    AddPrefixListEntry, Filter, ManagedPrefixList, PrefixListState, RemovePrefixListEntry, ResourceType,
};
use futures::future::join_all;
use ip_ranges_planner::document::Published;
use ip_ranges_planner::family::Family;
use ip_ranges_planner::plan::{self, Bounds, Limits, Plan, Pool, Slot};
use ipnet::IpNet;
use tracing::{debug, info};

use crate::config::Config;
use crate::ec2::CallError;
use crate::group::{self, PORT_TAG, PREFIX_NAME_TAG, SERVICE_TAG};
use crate::region::Run;
use crate::report::{Failure, GroupReport, Kind, LeftOut, RegionReport};

/// EC2 takes at most this many entries in one call.
const BATCH: usize = 100;
/// VPC quota "Entries per prefix list".
const MOST_ENTRIES: usize = 1_000;
/// How often, and after what pauses, a list is asked whether it is ready.
const POLLS: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A prefix list as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixList {
    id: String,
    name: String,
    service: String,
    family: String,
    version: i64,
    max_entries: usize,
    entries: BTreeSet<IpNet>,
}

/// All prefix lists with our tag, and what is in them.
///
/// # Errors
///
/// [`CallError`].
pub async fn read(ec2: &Client, prefix_name: &str) -> Result<Vec<PrefixList>, CallError> {
    let filter = Filter::builder().name(format!("tag:{PREFIX_NAME_TAG}")).values(prefix_name).build();
    let mut pages = ec2.describe_managed_prefix_lists().filters(filter).into_paginator().items().send();
    let mut described = Vec::new();
    while let Some(list) = pages.next().await {
        described.push(list?);
    }
    join_all(described.iter().map(|list| read_entries(ec2, list))).await.into_iter().collect()
}

async fn read_entries(ec2: &Client, list: &ManagedPrefixList) -> Result<PrefixList, CallError> {
    let id = list.prefix_list_id().ok_or(CallError::Incomplete("PrefixListId"))?.to_owned();
    let tag = |key| group::tag(list.tags(), key).unwrap_or_default().to_owned();
    let mut pages = ec2.get_managed_prefix_list_entries().prefix_list_id(&id).into_paginator().items().send();
    let mut entries = BTreeSet::new();
    while let Some(entry) = pages.next().await {
        entries.extend(entry?.cidr().and_then(|cidr| cidr.parse::<IpNet>().ok()));
    }
    Ok(PrefixList {
        id,
        name: list.prefix_list_name().unwrap_or_default().to_owned(),
        service: tag(SERVICE_TAG),
        family: tag(PORT_TAG),
        version: list.version().unwrap_or_default(),
        max_entries: list.max_entries().and_then(|most| usize::try_from(most).ok()).unwrap_or_default(),
        entries,
    })
}

/// Brings the lists in line with what is published.
pub async fn reconcile(
    ec2: &Client,
    mut lists: Vec<PrefixList>,
    published: &Published,
    config: &Config,
    run: Run,
    report: &mut RegionReport,
) {
    lists.sort_by(|a, b| a.id.cmp(&b.id));
    let mut work = Vec::new();
    for (service, ranges) in &published.services {
        for family in &config.families {
            let wanted: BTreeSet<IpNet> = ranges.iter().filter(|range| Family::of(range) == *family).copied().collect();
            let found = lists.iter().position(|list| list.service == *service && list.family == family.to_string());
            let list = found.map(|index| lists.remove(index));
            if list.is_some() || !wanted.is_empty() {
                work.push((service, *family, list, wanted));
            }
        }
    }
    report.notes.extend(lists.iter().map(|list| {
        format!(
            "{} ({}) is not one of the lists that SERVICE and ADDRESS_FAMILIES name, or a second one for the same; its entries stay: delete it when nothing uses it",
            list.id, list.name
        )
    }));
    let done = work.into_iter().map(|(service, family, list, wanted)| {
        let bounds = Bounds {
            limits: Limits { rules_per_group: MOST_ENTRIES, groups_per_interface: 1 },
            max_shrink_percent: config.max_shrink_percent,
            force: run.force,
        };
        reconcile_one(ec2, &config.prefix_name, service, family, list, wanted, bounds, run.dry_run)
    });
    for (done, left_out, failures) in join_all(done).await {
        report.groups.push(done);
        report.left_out.extend(left_out);
        report.failures.extend(failures);
    }
}

/// One change of a list: at most [`BATCH`] entries. EC2 makes it in one go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Batch {
    add: Vec<IpNet>,
    remove: Vec<IpNet>,
}

/// The calls for a plan, and the most entries that the list has on the way. Pure.
fn batches(plan: &Plan, present: usize) -> (Vec<Batch>, usize) {
    let mut batches = Vec::new();
    let (mut entries, mut peak) = (present, present);
    for round in &plan.rounds {
        let add: Vec<IpNet> = round.add.values().flatten().copied().collect();
        let remove: Vec<IpNet> = round.remove.values().flatten().copied().collect();
        if add.len() + remove.len() <= BATCH {
            // One call swaps them: at no time is one there without the other gone, nor the other way round.
            entries = entries + add.len() - remove.len();
            peak = peak.max(entries);
            batches.push(Batch { add, remove });
        } else {
            peak = peak.max(entries + add.len());
            entries = entries + add.len() - remove.len();
            batches.extend(add.chunks(BATCH).map(|add| Batch { add: add.to_vec(), remove: Vec::new() }));
            batches.extend(remove.chunks(BATCH).map(|remove| Batch { add: Vec::new(), remove: remove.to_vec() }));
        }
    }
    (batches, peak)
}

#[expect(clippy::too_many_arguments, reason = "one list, and what a run knows of it")]
async fn reconcile_one(
    ec2: &Client,
    prefix_name: &str,
    service: &str,
    family: Family,
    list: Option<PrefixList>,
    wanted: BTreeSet<IpNet>,
    bounds: Bounds,
    dry_run: bool,
) -> (GroupReport, Option<LeftOut>, Vec<Failure>) {
    let name = list.as_ref().map_or_else(|| format!("{prefix_name}_{service}_{family}"), |list| list.name.clone());
    let created = list.is_none();
    let present = list.as_ref().map(|list| list.entries.clone()).unwrap_or_default();
    let pool = Pool { slots: vec![Slot { ranges: present.clone(), ..Slot::default() }] };
    let plan = plan::plan(&pool, &wanted, bounds);
    debug!(name, service, %family, wanted = wanted.len(), ?plan, "planned");
    let mut report = GroupReport {
        group_id: list.as_ref().map_or_else(|| "(new)".to_owned(), |list| list.id.clone()),
        name: name.clone(),
        service: service.to_owned(),
        port: family.to_string(),
        ..GroupReport::default()
    };
    let mut failures = Vec::new();
    if let Some(shrink) = plan.shrink {
        failures.push(Failure { kind: Kind::ShrinkRefused, what: name.clone(), reason: shrink.to_string() });
    }
    if !plan.left_out.is_empty() {
        let reason = format!("{} ranges are more than the {MOST_ENTRIES} entries a list takes", plan.left_out.len());
        failures.push(Failure { kind: Kind::NoCapacity, what: name.clone(), reason });
    }
    let (batches, peak) = batches(&plan, present.len());
    if dry_run {
        report.created = created;
        for batch in &batches {
            report.added.extend(&batch.add);
            report.removed.extend(&batch.remove);
        }
    } else if let Err(error) = apply(ec2, prefix_name, list, &batches, peak, &mut report).await {
        failures.push(Failure::of(format!("changing {name}"), error.to_string()));
    }
    report.kept = present.difference(&wanted).filter(|range| !report.removed.contains(range)).copied().collect();
    let missing = wanted.iter().filter(|range| !present.contains(range) && !report.added.contains(range));
    let ranges: BTreeSet<IpNet> = missing.copied().collect();
    let left_out = (!ranges.is_empty()).then(|| LeftOut {
        vpc_id: None,
        service: service.to_owned(),
        port: family.to_string(),
        ranges,
    });
    (report, left_out, failures)
}

/// Creates the list where there is none, makes room, then changes it batch by batch. `report` says how far it came.
async fn apply(
    ec2: &Client,
    prefix_name: &str,
    list: Option<PrefixList>,
    batches: &[Batch],
    peak: usize,
    report: &mut GroupReport,
) -> Result<(), CallError> {
    if batches.is_empty() {
        return Ok(());
    }
    let mut list = match list {
        Some(list) => list,
        None => create(ec2, prefix_name, peak, report).await?,
    };
    if peak > list.max_entries {
        let most = i32::try_from(peak).unwrap_or(i32::MAX);
        // EC2 refuses to change the size and the entries in one call, and keeps the version for the size alone.
        ec2.modify_managed_prefix_list().prefix_list_id(&list.id).max_entries(most).send().await?;
        list.version = ready(ec2, &list.id).await?;
    }
    for batch in batches {
        let add = batch.add.iter().map(|range| {
            let description = format!("{} range published by AWS, kept by Gatehouse", report.service);
            AddPrefixListEntry::builder().cidr(range.to_string()).description(description).build()
        });
        let remove = batch.remove.iter().map(|range| RemovePrefixListEntry::builder().cidr(range.to_string()).build());
        ec2.modify_managed_prefix_list()
            .prefix_list_id(&list.id)
            .current_version(list.version)
            .set_add_entries(Some(add.collect()).filter(|add: &Vec<_>| !add.is_empty()))
            .set_remove_entries(Some(remove.collect()).filter(|remove: &Vec<_>| !remove.is_empty()))
            .send()
            .await?;
        report.added.extend(&batch.add);
        report.removed.extend(&batch.remove);
        list.version = ready(ec2, &list.id).await?;
    }
    Ok(())
}

async fn create(
    ec2: &Client,
    prefix_name: &str,
    max_entries: usize,
    report: &mut GroupReport,
) -> Result<PrefixList, CallError> {
    let family = if report.port == Family::Ipv4.to_string() { "IPv4" } else { "IPv6" };
    let tags = group::tags(ResourceType::PrefixList, &report.name, prefix_name, &report.service, &report.port, false);
    let created = ec2
        .create_managed_prefix_list()
        .prefix_list_name(&report.name)
        .address_family(family)
        .max_entries(i32::try_from(max_entries).unwrap_or(i32::MAX))
        .tag_specifications(tags)
        .send()
        .await?;
    let id =
        created.prefix_list().and_then(|list| list.prefix_list_id()).ok_or(CallError::Incomplete("PrefixListId"))?;
    info!(group_id = id, name = report.name, "prefix list created");
    report.group_id = id.to_owned();
    report.created = true;
    let version = ready(ec2, id).await?;
    Ok(PrefixList {
        id: id.to_owned(),
        name: report.name.clone(),
        service: report.service.clone(),
        family: report.port.clone(),
        version,
        max_entries,
        entries: BTreeSet::new(),
    })
}

/// Waits until EC2 is done with the last change; the version that the next one has to name.
async fn ready(ec2: &Client, id: &str) -> Result<i64, CallError> {
    let mut pause = FIRST_PAUSE;
    for _ in 0..POLLS {
        let described = ec2.describe_managed_prefix_lists().prefix_list_ids(id).send().await?;
        let list = described.prefix_lists().first().ok_or(CallError::Incomplete("prefix list"))?;
        match list.state() {
            Some(
                PrefixListState::CreateInProgress
                | PrefixListState::ModifyInProgress
                | PrefixListState::RestoreInProgress,
            ) => {}
            Some(PrefixListState::CreateFailed | PrefixListState::ModifyFailed | PrefixListState::RestoreFailed) => {
                let message = list.state_message().unwrap_or("EC2 gives no reason");
                return Err(CallError::Unanswered(format!("{id} could not be changed: {message}")));
            }
            _ => return list.version().ok_or(CallError::Incomplete("Version")),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Err(CallError::Unanswered(format!("{id} is still being changed; the next run goes on from here")))
}
