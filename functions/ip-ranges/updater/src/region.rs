//! One Region: what is there, and bringing it in line with what is published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_config::SdkConfig;
use aws_sdk_ec2::types::SecurityGroup;
use aws_sdk_elasticloadbalancingv2 as elb;
use futures::future::join_all;
use gatehouse_shared::clock;
use ip_ranges_planner::document::Published;
use ip_ranges_planner::plan::Bounds;
use tokio::sync::OnceCell;
use tracing::{debug, info, warn};

use crate::aws::caller::{CallError, FIRST_PAUSE, LONGEST_PAUSE};
use crate::aws::calls::Calls;
use crate::aws::ec2::Ec2;
use crate::config::{Config, CreatePolicy, RegionConfig, Target};
use crate::parameters::{self, ParameterPrefix, Ssm};
use crate::report::{self, Differences, Failure, GroupReport, Ignored, Mark, RegionReport};
use crate::run::Run;
use crate::targets::ip_sets::{self, Waf};
use crate::targets::prefix_lists::{self, PrefixList};
use crate::targets::security_groups::aws_lists;
use crate::targets::security_groups::group::{self, Follows, Group, PREFIX_NAME_TAG, PoolKey};
use crate::targets::security_groups::interfaces::{self, PoolGroups};
use crate::targets::security_groups::pool::PoolRun;

/// The clients of one Region, and the VPCs whose groups are kept.
pub struct Region {
    name: String,
    vpc_ids: Vec<String>,
    default_vpc: OnceCell<String>,
    client: aws_sdk_ec2::Client,
    elb: elb::Client,
    /// For the clients that few settings need.
    sdk: SdkConfig,
    waf: OnceLock<aws_sdk_wafv2::Client>,
    ssm: OnceLock<aws_sdk_ssm::Client>,
    /// The last run in this process did its whole job, so that the parameters are as it left them.
    parameters_are_right: AtomicBool,
    calls: Calls,
}

/// What a Region holds when a run begins.
#[derive(Debug)]
pub enum Held {
    /// The VPCs and all groups with our tag.
    Groups {
        /// The VPCs.
        vpc_ids: Vec<String>,
        /// Groups that can be kept.
        groups: Vec<Group>,
        /// Why others cannot.
        notes: Vec<String>,
        /// Groups with another value of the tag `gatehouse:prefix-name`, if they were looked for: another stack's, or what
        /// this one kept before `PREFIX_NAME` was changed.
        others: Vec<OtherPrefix>,
    },
    /// All prefix lists with our tag that can be kept, and why others cannot.
    PrefixLists(Vec<PrefixList>, Vec<String>),
    /// The IP sets with our names.
    IpSets(ip_sets::Found),
}

/// A group of another prefix name.
#[derive(Debug)]
pub struct OtherPrefix {
    id: String,
    name: String,
    prefix_name: String,
}

impl OtherPrefix {
    fn of(described: &SecurityGroup) -> Self {
        let prefix_name = group::tag(described.tags(), PREFIX_NAME_TAG);
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let (id, name) = (text(described.group_id()), text(described.group_name()));
        Self { id, name, prefix_name: text(prefix_name) }
    }
}

/// A group that no setting keeps any more.
struct LeftOver {
    group: Group,
    why: String,
}

impl Region {
    /// The clients of the Region, made from the SDK's own configuration.
    #[must_use]
    pub fn connect(region: &RegionConfig, sdk: &SdkConfig) -> Self {
        let sdk = sdk.to_builder().region(aws_config::Region::new(region.name.to_string())).build();
        let calls = Calls::default();
        let ec2 = aws_sdk_ec2::config::Builder::from(&sdk).interceptor(calls.clone());
        let elb = elb::config::Builder::from(&sdk).interceptor(calls.clone());
        Self {
            name: region.name.to_string(),
            vpc_ids: region.vpc_ids.clone(),
            default_vpc: OnceCell::new(),
            client: aws_sdk_ec2::Client::from_conf(ec2.build()),
            elb: elb::Client::from_conf(elb.build()),
            sdk,
            waf: OnceLock::new(),
            ssm: OnceLock::new(),
            parameters_are_right: AtomicBool::new(false),
            calls,
        }
    }

    fn waf(&self, config: &Config, run: Run) -> Waf {
        let client = self.waf.get_or_init(|| {
            let waf = aws_sdk_wafv2::config::Builder::from(&self.sdk).interceptor(self.calls.clone());
            aws_sdk_wafv2::Client::from_conf(waf.build())
        });
        Waf::new(client, config, run.stop)
    }

    fn ssm(&self, config: &Config, run: Run) -> Ssm {
        let client = self.ssm.get_or_init(|| {
            let ssm = aws_sdk_ssm::config::Builder::from(&self.sdk).interceptor(self.calls.clone());
            aws_sdk_ssm::Client::from_conf(ssm.build())
        });
        Ssm::new(client, &config.tags, run.stop)
    }

    /// Reads what is there. One call for groups where the VPCs are known, pages aside.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn read(&self, config: &Config, run: Run) -> Result<Held, CallError> {
        let ec2 = Ec2::new(&self.client, &self.elb, &config.tags, run.stop);
        if config.target == Target::PrefixLists {
            let (lists, notes) = prefix_lists::read(&ec2, config).await?;
            return Ok(Held::PrefixLists(lists, notes));
        }
        if config.target == Target::WafIpSets {
            return Ok(Held::IpSets(self.waf(config, run).read(&config.prefix_name).await?));
        }
        let vpc_ids = if self.vpc_ids.is_empty() {
            vec![self.default_vpc.get_or_try_init(|| ec2.default_vpc()).await?.clone()]
        } else {
            self.vpc_ids.clone()
        };
        let described = if run.looks_for_drift {
            ec2.groups_of_every_prefix().await?
        } else {
            ec2.tagged_groups(&config.prefix_name).await?
        };
        let is_ours =
            |group: &&SecurityGroup| group::tag(group.tags(), PREFIX_NAME_TAG) == Some(config.prefix_name.as_str());
        let (described, others): (Vec<_>, Vec<_>) = described.iter().partition(is_ours);
        let others = others.into_iter().map(OtherPrefix::of).collect();
        let mut groups = Vec::new();
        let mut notes = Vec::new();
        for group in described {
            match Group::of(group, &config.prefix_name, &config.adopt) {
                Ok(group) => groups.push(group),
                Err(note) => notes.push(note),
            }
        }
        Ok(Held::Groups { vpc_ids, groups, notes, others })
    }

    /// Brings the Region in line with what is published, as far as that is safe, and says what was done and what was not.
    pub async fn reconcile(
        &self,
        held: Result<Held, CallError>,
        published: &Published,
        config: &Config,
        run: Run,
    ) -> RegionReport {
        let mut report = RegionReport { region: self.name.clone(), ..RegionReport::default() };
        let now = clock::now().unix_timestamp().unsigned_abs();
        let ec2 = Ec2::new(&self.client, &self.elb, &config.tags, run.stop);
        let vpc_ids = match held {
            Ok(Held::Groups { vpc_ids, groups, notes, others }) => {
                debug!(region = self.name, ?vpc_ids, groups = groups.len(), "groups read");
                report.notes = notes;
                let tokens = || groups.iter().flat_map(|group| group.sync_tokens.iter().copied());
                let ignored = Ignored::new(tokens(), published.sync_token, run.force, now);
                report.notes.extend(ignored.notes(Mark::Tag, now));
                if !report.refuses_older(tokens(), published.sync_token, Mark::Tag, &ignored) {
                    let (pools, left_over) = pools(&vpc_ids, groups, published, config, run, &mut report);
                    report.is_planned = true;
                    // Not with each notice: a person reads it once.
                    if run.looks_for_drift {
                        report.notes.extend(aws_lists::notes(config, &self.name));
                    }
                    reconcile_groups(&ec2, pools, published.sync_token, config, run, &ignored, &mut report).await;
                    report_left_over(&ec2, &left_over, &others, config, &mut report).await;
                }
                vpc_ids
            }
            Ok(Held::PrefixLists(lists, notes)) => {
                debug!(region = self.name, lists = lists.len(), "prefix lists read");
                report.notes = notes;
                let tokens = || lists.iter().flat_map(PrefixList::sync_tokens);
                let ignored = Ignored::new(tokens(), published.sync_token, run.force, now);
                report.notes.extend(ignored.notes(Mark::Tag, now));
                if !report.refuses_older(tokens(), published.sync_token, Mark::Tag, &ignored) {
                    report.is_planned = true;
                    prefix_lists::reconcile(&ec2, lists, published, config, run, &ignored, &mut report).await;
                }
                Vec::new()
            }
            Ok(Held::IpSets(found)) => {
                debug!(region = self.name, sets = found.len(), "IP sets read");
                let ignored = Ignored::new(found.sync_tokens(), published.sync_token, run.force, now);
                report.notes.extend(ignored.notes(Mark::Description, now));
                if !report.refuses_older(found.sync_tokens(), published.sync_token, Mark::Description, &ignored) {
                    report.is_planned = true;
                    let waf = self.waf(config, run);
                    ip_sets::reconcile(&waf, found, published, config, run, &ignored, &mut report).await;
                }
                Vec::new()
            }
            Err(error) => {
                report.failures.push(Failure::of("reading what is there", &error));
                Vec::new()
            }
        };
        if let Some(prefix) = &config.parameter_prefix {
            self.publish_ids(prefix, &vpc_ids, config, run, &mut report).await;
        }
        for note in &report.notes {
            warn!(region = self.name, note, "note");
        }
        for group in report.groups.iter().filter(|group| group.is_changed() || !group.kept.is_empty()) {
            let GroupReport { group_id, name, added, removed, kept, attached, .. } = group;
            let (added, removed, kept) = (added.len(), removed.len(), kept.len());
            info!(region = self.name, group_id, name, added, removed, kept, ?attached, run.dry_run, "reconciled");
        }
        report.calls = self.calls.take();
        report.ec2_calls = report.calls.values().sum();
        report
    }
}

impl Region {
    /// Writes the ids of what the run kept to their parameters. A notice that changes nothing does not look at them, if the
    /// run before it in this process did its whole job. It looks in a new process: Lambda may run there again what failed in
    /// another, and the groups do not show what became of the parameters.
    async fn publish_ids(
        &self,
        prefix: &ParameterPrefix,
        vpc_ids: &[String],
        config: &Config,
        run: Run,
        report: &mut RegionReport,
    ) {
        let are_right = self.parameters_are_right.load(Ordering::Relaxed);
        if report.is_planned && (run.looks_for_drift || report.has_changes() || !are_right) {
            let names = parameters::names(prefix, vpc_ids, config);
            self.ssm(config, run).publish(prefix, &names, vpc_ids, run, report).await;
        }
        // A call that failed may have taken effect, and made something of which this run knows no id.
        self.parameters_are_right.store(!run.dry_run && report.failures.is_empty(), Ordering::Relaxed);
    }
}

/// Create, close, add, attach, remove; then, in the room that became free, the same again without creating.
///
/// Two runs at once do no harm, also where one of them has an older document. Before its first rule a run tags the groups
/// with the document's token and, if it is to remove ranges, with the time until which it may. Then it reads the groups
/// again before it removes anything. Where a newer token is there, another run may be removing, or a range is gone that it
/// relies on, it removes nothing and fails, so that Lambda runs it again. Of two runs that both remove, each tags before it
/// reads, so at least one of them sees the other. After its last rule a run looks once more.
///
/// Limitation: of two runs with one document, the first to end marks the groups as done for both. A third run at that
/// moment, with a newer document, does not see the other.
async fn reconcile_groups(
    ec2: &Ec2,
    mut pools: Vec<PoolRun<'_>>,
    sync_token: u64,
    config: &Config,
    run: Run,
    ignored: &Ignored,
    report: &mut RegionReport,
) {
    let obsolete: Vec<String> = pools.iter().flat_map(|pool| pool.tagged_with(ignored.tokens())).collect();
    let changes = pools.iter().any(PoolRun::changes);
    let is_unfinished = pools.iter().any(PoolRun::is_unfinished);
    let removes = pools.iter().any(PoolRun::removes);
    let to_tag = pools.iter().flat_map(PoolRun::to_tag);
    let (tagged, tokens): (Vec<String>, Vec<_>) =
        to_tag.filter(|(_, tokens)| removes || !tokens.contains(&sync_token)).unzip();
    let older: BTreeSet<u64> = tokens.into_iter().flatten().copied().filter(|token| *token < sync_token).collect();
    let mut may_remove = true;
    if run.dry_run {
        pools.iter_mut().for_each(|pool| pool.pretend(&config.prefix_name));
    } else {
        let follows = if removes { Follows::Until(run.over_at()) } else { Follows::Done };
        if let Err(error) = ec2.tag_with_token(tagged.clone(), sync_token, follows).await {
            // Without the token an older run could undo the additions; without removals this one undoes nothing.
            may_remove = false;
            report
                .failures
                .push(Failure::of("noting the sync token on the groups; nothing is removed before that", &error));
        }
        join_all(pools.iter_mut().map(|pool| pool.create_and_fill(ec2, &config.prefix_name, sync_token))).await;
    }
    if changes || is_unfinished || run.looks_for_drift {
        let groups: Vec<PoolGroups> = pools.iter().filter_map(PoolRun::groups_to_attach).collect();
        let attached = interfaces::attach(ec2, &groups, config, run.dry_run).await;
        pools.iter_mut().for_each(|pool| pool.note_attached(&attached));
        report.failures.extend(attached.failures);
        report.notes.extend(attached.notes);
    }
    if !run.dry_run {
        join_all(pools.iter_mut().map(|pool| pool.unmark(ec2))).await;
        if may_remove && removes {
            may_remove = is_undisturbed(ec2, &pools, sync_token, config, ignored, report).await;
        }
        join_all(pools.iter_mut().map(|pool| pool.settle(ec2, may_remove))).await;
        if pools.iter().any(PoolRun::has_written) {
            look_again(ec2, &pools, sync_token, config, ignored, report).await;
        }
        if removes {
            ec2.end_of_removals(tagged.clone(), sync_token).await;
        }
        ec2.forget_tokens(tagged, older).await;
        // Another run that is disturbed by this one may have written them just now.
        if may_remove {
            ec2.forget_tokens(obsolete, ignored.tokens().clone()).await;
        }
    }
    for pool in pools {
        pool.finish(&config.prefix_name, report);
    }
}

fn tokens(groups: &[SecurityGroup]) -> impl Iterator<Item = u64> {
    groups.iter().flat_map(|group| group::sync_tokens(group.tags()))
}

/// Reads the groups before anything is removed: whether no other run has begun that this one could disturb, and all that it
/// relies on is there.
async fn is_undisturbed(
    ec2: &Ec2,
    pools: &[PoolRun<'_>],
    sync_token: u64,
    config: &Config,
    ignored: &Ignored,
    report: &mut RegionReport,
) -> bool {
    let described = match ec2.tagged_groups(&config.prefix_name).await {
        Ok(described) => described,
        Err(error) => {
            let what = "reading the groups again before removing ranges; none was removed";
            report.failures.push(Failure::of(what, &error));
            return false;
        }
    };
    if report.refuses_older(tokens(&described), sync_token, Mark::Tag, ignored) {
        return false;
    }
    let now = clock::now().unix_timestamp();
    let others = described.iter().flat_map(|group| group::in_progress(group.tags(), now));
    if let Some(other) = others.filter(|other| *other != sync_token).max() {
        report.failures.push(Failure::run_at_once(other));
        return false;
    }
    let gone = pools
        .iter()
        .map(|pool| (pool.name(), Differences { removed: pool.gone(&described), ..Differences::default() }));
    let gone: Vec<_> = gone.filter(|(_, differences)| !differences.removed.is_empty()).collect();
    report
        .failures
        .extend(gone.iter().map(|(pool, differences)| Failure::changed_meanwhile(pool.clone(), differences)));
    gone.is_empty()
}

/// Reads the groups after the last rule: whether they hold what this run believes, and no newer run has begun.
///
/// A range that it has not seen before is that of a run with an older document, which read the groups before this one
/// tagged them.
async fn look_again(
    ec2: &Ec2,
    pools: &[PoolRun<'_>],
    sync_token: u64,
    config: &Config,
    ignored: &Ignored,
    report: &mut RegionReport,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let described = match ec2.tagged_groups(&config.prefix_name).await {
            Ok(described) => described,
            Err(error) => {
                report.failures.push(Failure::of("reading the groups again after the changes", &error));
                return;
            }
        };
        if report.refuses_older(tokens(&described), sync_token, Mark::Tag, ignored) {
            return;
        }
        let differences = pools.iter().map(|pool| (pool, pool.differences(&described)));
        let differences: Vec<_> = differences.filter(|(_, found)| *found != Differences::default()).collect();
        if differences.is_empty() {
            return;
        }
        // EC2 may not show the changes of this run at once.
        if pause > LONGEST_PAUSE / 4 {
            let failures = differences.iter().map(|(pool, found)| Failure::changed_meanwhile(pool.name(), found));
            report.failures.extend(failures);
            return;
        }
        ec2.pause(pause).await;
        pause *= 2;
    }
}

/// Puts the groups into pools, one for each VPC, service and port, and plans each.
fn pools<'a>(
    vpc_ids: &[String],
    mut groups: Vec<Group>,
    published: &'a Published,
    config: &Config,
    run: Run,
    report: &mut RegionReport,
) -> (Vec<PoolRun<'a>>, Vec<LeftOver>) {
    groups.sort_by(|a, b| (&a.key, a.number, &a.id).cmp(&(&b.key, b.number, &b.id)));
    let mut by_key: BTreeMap<PoolKey, Vec<Group>> = BTreeMap::new();
    for group in groups {
        by_key.entry(group.key.clone()).or_default().push(group);
    }
    let bounds = Bounds {
        limits: config.limits,
        may_create: config.create == CreatePolicy::Always,
        max_shrink_percent: config.max_shrink_percent,
        families: &config.families,
        force: run.force,
    };
    let mut pools = Vec::new();
    for vpc_id in vpc_ids {
        for (service, wanted) in &published.services {
            for port in &config.ports {
                let key = PoolKey { vpc_id: vpc_id.clone(), service: service.clone(), port: *port };
                let groups = by_key.remove(&key).unwrap_or_default();
                pools.push(PoolRun::new(key, groups, wanted, bounds, config.egress));
            }
        }
    }
    report.notes.extend(notes(&pools, config));
    (pools, left_over(vpc_ids, by_key, config))
}

/// The groups that no pool has, and why.
fn left_over(vpc_ids: &[String], by_key: BTreeMap<PoolKey, Vec<Group>>, config: &Config) -> Vec<LeftOver> {
    let mut left_over = Vec::new();
    for group in by_key.into_values().flatten() {
        let key = &group.key;
        let is_configured = config.has_service(&key.service) && config.ports.contains(&key.port);
        let why = if !vpc_ids.contains(&key.vpc_id) {
            format!("belongs to {}, which VPC_ID does not name", key.vpc_id)
        } else if !is_configured {
            format!("holds {} ranges for port {}, which SERVICE and PORTS no longer name", key.service, key.port)
        } else {
            // The document has no range of the service: that is reported, and the group is left as it is.
            continue;
        };
        left_over.push(LeftOver { group, why });
    }
    left_over
}

/// Reports the groups that nothing updates any more, by whether an interface depends on them: once AWS's ranges change, it is
/// cut off.
async fn report_left_over(
    ec2: &Ec2,
    left_over: &[LeftOver],
    others: &[OtherPrefix],
    config: &Config,
    report: &mut RegionReport,
) {
    let ids = left_over.iter().map(|left| &left.group.id).chain(others.iter().map(|other| &other.id));
    let ids: BTreeSet<String> = ids.cloned().collect();
    if ids.is_empty() {
        return;
    }
    let carriers = match interfaces::carriers(ec2, ids).await {
        Ok(carriers) => carriers,
        Err(error) => {
            report
                .failures
                .push(Failure::of("finding the interfaces that carry groups which no setting keeps", &error));
            return;
        }
    };
    for LeftOver { group, why } in left_over {
        let name = format!("{} ({})", group.id, group.name);
        match carriers.get(&group.id) {
            Some(interfaces) => report.failures.push(Failure::abandoned(&name, interfaces, why)),
            None => report.notes.push(format!(
                "{name} {why}; nothing updates its rules, and they still let traffic in: delete it when nothing uses it"
            )),
        }
    }
    for OtherPrefix { id, name, prefix_name } in others {
        if let Some(interfaces) = carriers.get(id) {
            report.notes.push(format!(
                "{id} ({name}) has the tag {PREFIX_NAME_TAG}={prefix_name}, and this function keeps those of {}; {} it. If no other stack keeps it, nothing updates its rules any more: set PREFIX_NAME back, or attach the groups of {} instead of it",
                config.prefix_name,
                report::carry(interfaces),
                config.prefix_name
            ));
        }
    }
}

/// What a person should know though nothing failed: rules of others, and more groups than an interface takes.
fn notes(pools: &[PoolRun<'_>], config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(pools.iter().flat_map(PoolRun::notes));
    let most = config.limits.groups_per_interface;
    let mut by_vpc: BTreeMap<&str, usize> = BTreeMap::new();
    for (vpc_id, size) in pools.iter().map(PoolRun::size) {
        *by_vpc.entry(vpc_id).or_default() += size;
    }
    notes.extend(by_vpc.into_iter().filter(|(_, count)| *count > most).map(|(vpc_id, count)| {
        format!("{vpc_id} has {count} groups for all services and ports together, and an interface takes {most}: attach to each only those of the ports it listens on")
    }));
    let notes: BTreeSet<String> = notes.into_iter().collect();
    notes.into_iter().collect()
}

#[cfg(test)]
mod tests;
