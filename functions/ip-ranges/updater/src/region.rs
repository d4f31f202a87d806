//! One Region: what is there, and bringing it in line with what is published.

use std::cell::{Cell, OnceCell};

use aws_sdk_elasticloadbalancingv2 as elb;
use gatehouse_shared::clock;
use gatehouse_shared::sdk::SdkConfig;
use ip_ranges_planner::document::Published;
use tracing::{info, warn};

use crate::aws::caller::CallError;
use crate::aws::calls::Calls;
use crate::aws::ec2::Ec2;
use crate::config::{Config, ParameterPrefix, RegionConfig, Target};
use crate::failure::Failure;
use crate::order::{Order, TokenLocation};
use crate::parameters::{self, Ssm};
use crate::report::{ParametersReport, RegionReport, ResourceReport, TargetReport};
use crate::run::Run;
use crate::targets::ip_sets::Waf;
use crate::targets::{Wanted, ip_sets, prefix_lists, security_groups};

/// The clients of one Region, and the VPCs whose groups are kept.
pub struct Region {
    name: String,
    vpc_ids: Vec<String>,
    default_vpc: tokio::sync::OnceCell<String>,
    client: aws_sdk_ec2::Client,
    elb: elb::Client,
    /// For the clients that few settings need.
    sdk: SdkConfig,
    waf: OnceCell<aws_sdk_wafv2::Client>,
    ssm: OnceCell<aws_sdk_ssm::Client>,
    /// The last run in this process did its whole job, so that the parameters are as it left them.
    parameters_are_right: Cell<bool>,
    calls: Calls,
}

/// What a Region holds when a run begins, of the one target that the settings name.
#[derive(Debug)]
pub(crate) enum State {
    /// Security groups.
    SecurityGroups(security_groups::State),
    /// Customer-managed prefix lists.
    PrefixLists(prefix_lists::State),
    /// IP sets of AWS WAF.
    IpSets(ip_sets::State),
}

impl Region {
    /// Reads what is there.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub(crate) async fn read(&self, config: &Config, run: Run) -> Result<State, CallError> {
        let ec2 = self.ec2(config, run);
        Ok(match config.target {
            Target::SecurityGroups => {
                let vpc_ids = self.vpc_ids(&ec2).await?;
                State::SecurityGroups(security_groups::read(&ec2, vpc_ids, config, run).await?)
            }
            Target::PrefixLists => State::PrefixLists(prefix_lists::read(&ec2, config).await?),
            Target::WafIpSets => State::IpSets(ip_sets::read(&self.waf(config, run), &config.prefix_name).await?),
        })
    }

    /// Brings the Region in line with what is published, as far as that is safe, and says what was done and what was not.
    pub(crate) async fn reconcile(
        &self,
        state: Result<State, CallError>,
        published: &Published,
        config: &Config,
        run: Run,
    ) -> RegionReport {
        let vpc_ids = state.as_ref().map(|state| state.vpc_ids().to_vec()).unwrap_or_default();
        let target = match state {
            Ok(state) => self.follow(&state, published, config, run).await,
            Err(error) => TargetReport::unplanned(Vec::new(), Failure::of("reading what is there", &error)),
        };
        let mut report = RegionReport::new(&self.name, target);
        if let Some(prefix) = &config.parameter_prefix {
            let parameters = self.publish_ids(prefix, &vpc_ids, config, run, &report).await;
            report.add_parameters(parameters);
            // A call that failed may have taken effect, and made something of which this run knows no id.
            self.parameters_are_right.set(!run.dry_run && report.failures.is_empty());
        }
        report.calls = self.calls.take();
        report.aws_calls = report.calls.values().sum();
        self.log(&report, run);
        report
    }

    /// Plans and applies, unless what is there follows a newer document.
    async fn follow(&self, state: &State, published: &Published, config: &Config, run: Run) -> TargetReport {
        if let State::SecurityGroups(state) = state {
            state.log(&self.name);
        }
        let now = clock::now().unix_timestamp().unsigned_abs();
        let order = Order::new(published.sync_token, state.token_location(), state.sync_tokens(), run.force, now);
        let notes = state.notes().iter().cloned().chain(order.notes(now)).collect();
        if let Err(failure) = order.check(state.sync_tokens()) {
            return TargetReport::unplanned(notes, failure);
        }
        let wanted = Wanted { region: &self.name, published, config, run, order: &order };
        let ec2 = self.ec2(config, run);
        let mut report = TargetReport { notes, ..TargetReport::default() };
        report.add(match state {
            State::SecurityGroups(state) => {
                let changes = security_groups::plan(state, &wanted);
                security_groups::apply(&ec2, changes, &wanted).await
            }
            State::PrefixLists(state) => {
                let changes = prefix_lists::plan(state, &wanted);
                prefix_lists::apply(&ec2, changes, &wanted).await
            }
            State::IpSets(state) => {
                let changes = ip_sets::plan(state, &wanted);
                ip_sets::apply(&self.waf(config, run), changes, &wanted).await
            }
        });
        report
    }

    /// Writes the ids of what the run kept to their parameters. A notice that changes nothing does not look at them, if the
    /// run before it in this process did its whole job. It looks in a new process: Lambda may run there again what failed in
    /// another, and the groups do not show whether the parameters were written.
    async fn publish_ids(
        &self,
        prefix: &ParameterPrefix,
        vpc_ids: &[String],
        config: &Config,
        run: Run,
        report: &RegionReport,
    ) -> ParametersReport {
        let are_right = self.parameters_are_right.get();
        if !(report.is_planned && (run.looks_for_drift || report.has_changes() || !are_right)) {
            return ParametersReport::default();
        }
        let names = parameters::names(prefix, vpc_ids, config);
        let values = parameters::values(prefix, vpc_ids, &report.groups);
        self.ssm(config, run).publish(prefix, &names, values, run).await
    }

    fn log(&self, report: &RegionReport, run: Run) {
        for note in &report.notes {
            warn!(region = self.name, note, "note");
        }
        for group in report.groups.iter().filter(|group| group.is_changed() || !group.kept.is_empty()) {
            let ResourceReport { resource_id, name, added, removed, kept, attached, .. } = group;
            let (added, removed, kept) = (added.len(), removed.len(), kept.len());
            info!(region = self.name, resource_id, name, added, removed, kept, ?attached, run.dry_run, "reconciled");
        }
    }
}

impl State {
    /// The VPCs whose groups are kept.
    fn vpc_ids(&self) -> &[String] {
        match self {
            Self::SecurityGroups(state) => state.vpc_ids(),
            Self::PrefixLists(_) | Self::IpSets(_) => &[],
        }
    }

    /// The `syncToken` of each document that something follows.
    fn sync_tokens(&self) -> impl Iterator<Item = u64> {
        let tokens: Vec<u64> = match self {
            Self::SecurityGroups(state) => state.sync_tokens().collect(),
            Self::PrefixLists(state) => state.sync_tokens().collect(),
            Self::IpSets(state) => state.sync_tokens().collect(),
        };
        tokens.into_iter()
    }

    /// Whether the group or prefix list of this id is kept.
    pub(crate) fn keeps(&self, id: &str) -> bool {
        match self {
            Self::SecurityGroups(state) => state.ids().any(|kept| kept == id),
            Self::PrefixLists(state) => state.ids().any(|kept| kept == id),
            Self::IpSets(_) => false,
        }
    }

    fn token_location(&self) -> TokenLocation {
        match self {
            Self::SecurityGroups(_) | Self::PrefixLists(_) => TokenLocation::Tag,
            Self::IpSets(_) => TokenLocation::Description,
        }
    }

    /// Why something is not kept.
    fn notes(&self) -> &[String] {
        match self {
            Self::SecurityGroups(state) => state.notes(),
            Self::PrefixLists(state) => state.notes(),
            Self::IpSets(_) => &[],
        }
    }
}

impl Region {
    /// The clients of the Region, made from the SDK's own configuration.
    #[must_use]
    pub fn connect(region: &RegionConfig, sdk: &SdkConfig) -> Self {
        let sdk = sdk.to_builder().region(gatehouse_shared::sdk::Region::new(region.name.to_string())).build();
        let calls = Calls::default();
        let ec2 = aws_sdk_ec2::config::Builder::from(&sdk).interceptor(calls.clone());
        let elb = elb::config::Builder::from(&sdk).interceptor(calls.clone());
        Self {
            name: region.name.to_string(),
            vpc_ids: region.vpc_ids.clone(),
            default_vpc: tokio::sync::OnceCell::new(),
            client: aws_sdk_ec2::Client::from_conf(ec2.build()),
            elb: elb::Client::from_conf(elb.build()),
            sdk,
            waf: OnceCell::new(),
            ssm: OnceCell::new(),
            parameters_are_right: Cell::new(false),
            calls,
        }
    }

    fn ec2(&self, config: &Config, run: Run) -> Ec2 {
        Ec2::new(&self.client, &self.elb, &config.tags, run.stop)
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

    /// `VPC_ID`, or the default VPC, which is looked up once.
    async fn vpc_ids(&self, ec2: &Ec2) -> Result<Vec<String>, CallError> {
        if !self.vpc_ids.is_empty() {
            return Ok(self.vpc_ids.clone());
        }
        Ok(vec![self.default_vpc.get_or_try_init(|| ec2.default_vpc()).await?.clone()])
    }
}

#[cfg(test)]
mod tests;
