//! The state of EC2, ELB, AWS WAF and SSM as far as this function calls them, with quotas, pages and faults, behind
//! [`gatehouse_testkit::Aws`]. After every change it looks at who is let in where, and records who was cut off.
//!
//! It is for what no other AWS can do: a fault at any one of a run's calls, two runs whose calls meet in any order, answers
//! that are stale. The rules of EC2 that whole flows and the demo need are in `local/gatehouse_local/ec2.py`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use gatehouse_shared::sdk::{RetryConfig, SdkConfig};
use gatehouse_testkit::{Aws, Call, Reply};
use ip_ranges_planner::family::Family;
use ipnet::IpNet;

pub(crate) mod json;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// `RequestLimitExceeded`, which the SDK tries again.
    Throttled,
    /// A 500, which the SDK tries again.
    ServerError,
    /// The call takes effect and its reply is lost; the SDK tries again.
    LostReply,
    /// `UnauthorizedOperation`, which it does not.
    Denied,
    /// `InvalidGroup.NotFound`.
    NotKnown,
    /// AWS WAF cannot find what it has, or SSM is busy with the parameter; the SDK does not try again.
    Unavailable,
    /// Just before the call somebody writes to what it names, an IP set or a parameter.
    Changed,
    /// Just before the call somebody deletes what it names.
    Deleted,
    /// Just before the call that creates an IP set another run of this function creates it.
    Created,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FakeGroup {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) vpc_id: String,
    pub(crate) tags: BTreeMap<String, String>,
    /// TCP rules by port.
    pub(crate) rules: BTreeSet<(u16, IpNet)>,
    /// The descriptions of those rules that have one.
    pub(crate) rule_descriptions: BTreeMap<(u16, IpNet), String>,
    /// Outbound rules: a TCP port, or all traffic, and where to.
    pub(crate) egress: BTreeSet<(Option<u16>, IpNet)>,
}

/// The outbound rules that EC2 gives a new group.
///
/// Source: VPC User Guide, "Security group rules": "When you first create a security group, it has an outbound rule that
/// allows all outbound traffic"; where the VPC has an IPv6 block, it has one for IPv6 too.
pub(crate) fn default_egress(ipv6: bool) -> BTreeSet<(Option<u16>, IpNet)> {
    let all = ["0.0.0.0/0", "::/0"].map(|range| (None, range.parse().unwrap()));
    all.into_iter().take(if ipv6 { 2 } else { 1 }).collect()
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FakeInterface {
    pub(crate) groups: BTreeSet<String>,
    /// The description of a load balancer's interface.
    pub(crate) load_balancer: Option<String>,
    /// The principal that manages the instance of the interface.
    pub(crate) operator: Option<String>,
    /// Its VPC, where that is not the one of its groups.
    pub(crate) vpc_id: Option<String>,
    /// Its owner, where that is not the one of its groups.
    pub(crate) owner_id: Option<String>,
    /// What a Network Load Balancer does with its inbound rules on traffic from PrivateLink, where that is not "on".
    pub(crate) private_link: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FakeList {
    pub(crate) name: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) version: i64,
    pub(crate) max_entries: usize,
    pub(crate) entries: BTreeSet<IpNet>,
    /// How many times it will still say that it is being changed.
    pub(crate) busy: usize,
    /// What it says instead, once, when it is ready.
    pub(crate) failed: Option<String>,
    /// A change of its entries is accepted and then not made.
    pub(crate) refuses: bool,
    /// Version and size before the last change.
    pub(crate) before: (i64, usize),
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) groups: BTreeMap<String, FakeGroup>,
    pub(crate) lists: BTreeMap<String, FakeList>,
    pub(crate) interfaces: BTreeMap<String, FakeInterface>,
    pub(crate) waf: json::FakeWaf,
    pub(crate) ssm: json::FakeSsm,
    pub(crate) rules_per_group: usize,
    pub(crate) groups_per_interface: usize,
    pub(crate) page: usize,
    /// How many times a group that is described by its id still shows the outbound rules of a new group: EC2's answers are
    /// eventually consistent.
    pub(crate) stale_egress: usize,
    /// Whether the VPCs have an IPv6 block.
    pub(crate) ipv6: bool,
    /// Whether the VPC is the default one: there EC2 passes over outbound rules it does not know.
    pub(crate) default_vpc: bool,
    /// Rules that EC2 says it does not know when they are to be removed, and keeps.
    pub(crate) not_removed: BTreeSet<IpNet>,
    /// How long the calls to come take, in milliseconds, in their order: two runs at once then meet at any point.
    pub(crate) latencies: VecDeque<u64>,
    /// Which run makes the next call, and the one after it, and so on: [`FakeEc2::who`]. Then, who comes first.
    pub(crate) turns: VecDeque<usize>,
    /// What the next calls that name a group or list just created are answered: EC2 does not know it everywhere yet.
    pub(crate) not_known: VecDeque<&'static str>,
    /// How many times a list that is described by its id still shows the version before, as if it were calm.
    pub(crate) stale_lists: usize,
    /// For the calls to come, in their order.
    pub(crate) faults: VecDeque<Fault>,
    /// For every call of that name.
    pub(crate) broken: BTreeMap<&'static str, Fault>,
    /// Addresses that have to be let in at an interface all the while.
    pub(crate) watched: BTreeSet<(String, IpAddr)>,
    /// Those that were not.
    pub(crate) cut_off: BTreeSet<(String, IpAddr)>,
    /// An element that every answer lacks, though AWS always gives it.
    pub(crate) lacks: Option<&'static str>,
    created: usize,
}

/// A handle on the fake; clones share its state and the calls.
#[derive(Debug, Clone)]
pub(crate) struct FakeEc2 {
    /// What records the calls.
    pub(crate) aws: Aws,
    state: Arc<Mutex<State>>,
    /// Which of the runs that take turns makes the calls.
    who: Option<usize>,
}

pub(crate) type Parameters = BTreeMap<String, String>;
type Answer = Result<String, (u16, &'static str, String)>;

impl FakeEc2 {
    pub(crate) fn new() -> Self {
        let state = State { rules_per_group: 60, groups_per_interface: 5, page: 1_000, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        Self { aws: Aws::new(move |call| shared.lock().unwrap().reply(call)), state, who: None }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A handle for one of the runs that take turns.
    pub(crate) fn as_run(&self, who: usize) -> Self {
        Self { who: Some(who), ..self.clone() }
    }

    /// Waits until it is this run's turn, where runs take turns.
    async fn take_turn(&self) {
        loop {
            {
                let mut state = self.state();
                let Some((next, who)) = state.turns.front().copied().zip(self.who) else { return };
                if next == who {
                    state.turns.pop_front();
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The names of all calls so far, in the order of their arrival.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.aws.operations()
    }

    /// What `Region::connect` makes its clients from.
    pub(crate) fn sdk(&self) -> SdkConfig {
        let fake = self.clone();
        let on_its_way = move || {
            let fake = fake.clone();
            let latency = fake.state().latencies.pop_front();
            async move {
                fake.take_turn().await;
                if let Some(latency) = latency {
                    tokio::time::sleep(Duration::from_millis(latency)).await;
                }
            }
        };
        let sdk = self.aws.delayed(on_its_way).sdk().into_builder();
        sdk.retry_config(RetryConfig::standard().with_max_attempts(5)).build()
    }
}

impl State {
    fn reply(&mut self, call: &Call) -> Reply {
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        let fault = self.broken.get(call.operation.as_str()).copied().unwrap_or(fault);
        let reply = match call.service.as_str() {
            "ssm" | "wafv2" => self.reply_in_json(call, fault),
            _ => self.reply_in_xml(call, fault),
        };
        if fault == Fault::LostReply { Reply::Lost } else { reply }
    }

    fn reply_in_xml(&mut self, call: &Call, fault: Fault) -> Reply {
        let parameters: Parameters = serde_json::from_value(call.parameters.clone()).unwrap();
        if fault == Fault::Deleted {
            self.delete_interfaces(&parameters);
        }
        let answer = match fault {
            Fault::Throttled => return Reply::Throttled,
            Fault::ServerError => return Reply::Unavailable,
            Fault::Denied => Err((403, "UnauthorizedOperation", "You are not authorized.".to_owned())),
            Fault::NotKnown => Err((400, "InvalidGroup.NotFound", "The security group does not exist".to_owned())),
            _ => match self.not_known_yet(&parameters) {
                Some(code) => Err((400, code, "EC2 does not know it yet.".to_owned())),
                None => self.act(&call.operation, &parameters),
            },
        };
        self.look();
        match answer {
            Ok(content) => Reply::Xml(self.without_lacking(&content)),
            Err((status, code, message)) => Reply::ErrorWith(status, code, message),
        }
    }

    fn reply_in_json(&mut self, call: &Call, fault: Fault) -> Reply {
        let (action, request) = (call.operation.as_str(), &call.parameters);
        let is_ssm = call.service == "ssm";
        if is_ssm {
            self.ssm.interfere(fault, request)
        } else {
            self.waf.interfere(fault, action, request)
        }
        let answer = match fault {
            Fault::Throttled => return Reply::Throttled,
            Fault::ServerError => return Reply::Unavailable,
            Fault::Denied => return Reply::Error("AccessDeniedException"),
            Fault::Unavailable => {
                return Reply::Error(if is_ssm { "TooManyUpdates" } else { "WAFUnavailableEntityException" });
            }
            _ if is_ssm => self.ssm.act(action, request),
            _ => self.waf.act(action, request),
        };
        match answer {
            Ok(mut content) => {
                self.lacks.iter().for_each(|key| json::remove(&mut content, key));
                Reply::Json(content)
            }
            Err((status, code, message)) => Reply::ErrorWith(status, code, message),
        }
    }

    fn without_lacking(&self, xml: &str) -> String {
        let Some(element) = self.lacks else { return xml.to_owned() };
        let (start, end) = (format!("<{element}>"), format!("</{element}>"));
        let parts = xml.split(&start).enumerate();
        parts.map(|(n, part)| if n == 0 { part } else { part.split_once(&end).unwrap().1 }).collect()
    }

    fn not_known_yet(&mut self, parameters: &Parameters) -> Option<&'static str> {
        let names_new = parameters.values().any(|value| value.starts_with("sg-new") || value.starts_with("pl-new"));
        names_new.then(|| self.not_known.pop_front()).flatten()
    }

    fn act(&mut self, action: &str, parameters: &Parameters) -> Answer {
        match action {
            "DescribeSecurityGroups" => Ok(self.describe_groups(parameters)),
            "DescribeNetworkInterfaces" => self.describe_interfaces(parameters),
            "DescribeVpcs" => Ok("<vpcSet><item><vpcId>vpc-1</vpcId></item></vpcSet>".to_owned()),
            "CreateSecurityGroup" => self.create_group(parameters),
            "AuthorizeSecurityGroupIngress" => self.authorize(parameters),
            "RevokeSecurityGroupIngress" => self.revoke(parameters),
            "RevokeSecurityGroupEgress" => self.revoke_egress(parameters),
            "ModifyNetworkInterfaceAttribute" => self.modify_interface(parameters),
            "CreateTags" => self.create_tags(parameters),
            "DeleteTags" => self.delete_tags(parameters),
            "DescribeLoadBalancers" => self.describe_load_balancer(parameters),
            "SetSecurityGroups" => self.set_security_groups(parameters),
            "Publish" => Ok("<MessageId>1</MessageId>".to_owned()),
            "DescribeManagedPrefixLists" => Ok(self.describe_lists(parameters)),
            "GetManagedPrefixListEntries" => Ok(self.entries(parameters)),
            "CreateManagedPrefixList" => Ok(self.create_list(parameters)),
            "ModifyManagedPrefixList" => self.modify_list(parameters),
            _ => Err((400, "InvalidAction", action.to_owned())),
        }
    }

    /// Whether the interface lets the address in, by any group, on any port.
    pub(crate) fn lets_in(&self, interface: &str, address: IpAddr) -> bool {
        let groups = &self.interfaces[interface].groups;
        groups
            .iter()
            .filter_map(|id| self.groups.get(id))
            .any(|group| group.rules.iter().any(|(_, range)| range.contains(&address)))
    }

    fn look(&mut self) {
        let cut_off = self.watched.iter().filter(|(interface, address)| !self.lets_in(interface, *address));
        let cut_off: Vec<_> = cut_off.cloned().collect();
        self.cut_off.extend(cut_off);
    }

    fn describe_groups(&mut self, parameters: &Parameters) -> String {
        let ids = values(parameters, "GroupId");
        let filters = filters(parameters);
        let stale_egress = !ids.is_empty() && self.stale_egress > 0;
        if stale_egress {
            self.stale_egress -= 1;
        }
        let stale = default_egress(self.ipv6);
        let matches = |id: &str, group: &FakeGroup| {
            (ids.is_empty() || ids.iter().any(|wanted| wanted == id))
                && filters.iter().all(|(name, values)| match name.strip_prefix("tag:") {
                    Some(key) => group.tags.get(key).is_some_and(|value| values.contains(value)),
                    None if name == "vpc-id" => values.contains(&group.vpc_id),
                    None if name == "group-name" => values.contains(&group.name),
                    None if name == "tag-key" => group.tags.keys().any(|key| values.contains(key)),
                    None => panic!("unknown filter {name}"),
                })
        };
        let found: Vec<_> = self.groups.iter().filter(|(id, group)| matches(id, group)).collect();
        let start: usize = parameters.get("NextToken").map_or(0, |token| token.parse().unwrap());
        let page = &found[start..found.len().min(start + self.page)];
        let mut text = "<securityGroupInfo>".to_owned();
        for (id, group) in page {
            write!(
                text,
                "<item><ownerId>{OWNER}</ownerId><groupId>{id}</groupId><groupName>{}</groupName><groupDescription>{}</groupDescription><vpcId>{}</vpcId><tagSet>",
                group.name, group.description, group.vpc_id
            )
            .unwrap();
            for (key, value) in &group.tags {
                write!(text, "<item><key>{key}</key><value>{value}</value></item>").unwrap();
            }
            text.push_str("</tagSet><ipPermissions>");
            for (port, range) in &group.rules {
                write!(text, "<item><ipProtocol>tcp</ipProtocol><fromPort>{port}</fromPort><toPort>{port}</toPort>")
                    .unwrap();
                match Family::of(range) {
                    Family::Ipv4 => {
                        write!(text, "<ipRanges><item><cidrIp>{range}</cidrIp></item></ipRanges></item>").unwrap()
                    }
                    Family::Ipv6 => {
                        write!(text, "<ipv6Ranges><item><cidrIpv6>{range}</cidrIpv6></item></ipv6Ranges></item>")
                            .unwrap()
                    }
                }
            }
            text.push_str("</ipPermissions><ipPermissionsEgress>");
            for (port, range) in if stale_egress { &stale } else { &group.egress } {
                let ports = port.map(|port| format!("<fromPort>{port}</fromPort><toPort>{port}</toPort>"));
                let protocol = if port.is_some() { "tcp" } else { "-1" };
                let (list, field) = match Family::of(range) {
                    Family::Ipv4 => ("ipRanges", "cidrIp"),
                    Family::Ipv6 => ("ipv6Ranges", "cidrIpv6"),
                };
                write!(text, "<item><ipProtocol>{protocol}</ipProtocol>{}<{list}><item><{field}>{range}</{field}></item></{list}></item>", ports.unwrap_or_default()).unwrap();
            }
            text.push_str("</ipPermissionsEgress></item>");
        }
        text.push_str("</securityGroupInfo>");
        if start + self.page < found.len() {
            write!(text, "<nextToken>{}</nextToken>", start + self.page).unwrap();
        }
        text
    }

    fn describe_interfaces(&self, parameters: &Parameters) -> Answer {
        let ids = values(parameters, "NetworkInterfaceId");
        if let Some(unknown) = ids.iter().find(|id| !self.interfaces.contains_key(*id)) {
            let message = format!("The networkInterface ID '{unknown}' does not exist");
            return Err((400, "InvalidNetworkInterfaceID.NotFound", message));
        }
        let filters = filters(parameters);
        // Source: API reference, DescribeNetworkInterfaces, IncludeManagedResources.
        let shows_managed = parameters.get("IncludeManagedResources").is_some_and(|value| value == "true");
        let found: Vec<_> = self
            .interfaces
            .iter()
            .filter(|(id, interface)| match filters.get("group-id") {
                Some(wanted) => {
                    let is_shown = shows_managed || interface.operator.is_none();
                    is_shown && interface.groups.iter().any(|group| wanted.contains(group))
                }
                None => ids.contains(id),
            })
            .collect();
        let start: usize = parameters.get("NextToken").map_or(0, |token| token.parse().unwrap());
        let mut text = "<networkInterfaceSet>".to_owned();
        for (id, interface) in &found[start..found.len().min(start + self.page)] {
            write!(text, "<item><networkInterfaceId>{id}</networkInterfaceId><groupSet>").unwrap();
            for group in &interface.groups {
                write!(text, "<item><groupId>{group}</groupId></item>").unwrap();
            }
            let (vpc_id, owner_id) = (self.vpc_of(interface), interface.owner_id.as_deref().unwrap_or(OWNER));
            write!(text, "</groupSet><vpcId>{vpc_id}</vpcId><ownerId>{owner_id}</ownerId>").unwrap();
            if let Some(principal) = &interface.operator {
                write!(text, "<operator><managed>true</managed><principal>{principal}</principal></operator>").unwrap();
            }
            if let Some(description) = &interface.load_balancer {
                write!(text, "<requesterManaged>true</requesterManaged><requesterId>amazon-elb</requesterId><description>{description}</description>").unwrap();
            }
            text.push_str("</item>");
        }
        text.push_str("</networkInterfaceSet>");
        if start + self.page < found.len() {
            write!(text, "<nextToken>{}</nextToken>", start + self.page).unwrap();
        }
        Ok(text)
    }

    fn create_group(&mut self, parameters: &Parameters) -> Answer {
        let name = &parameters["GroupName"];
        if self.groups.values().any(|group| group.name == *name && group.vpc_id == parameters["VpcId"]) {
            return Err((400, "InvalidGroup.Duplicate", format!("The security group '{name}' already exists")));
        }
        self.created += 1;
        let id = format!("sg-new{}", self.created);
        let tags = tags(parameters);
        let (name, vpc_id) = (name.clone(), parameters["VpcId"].clone());
        let egress = default_egress(self.ipv6);
        let description = parameters["GroupDescription"].clone();
        let group = FakeGroup { name, description, vpc_id, tags, egress, ..FakeGroup::default() };
        self.groups.insert(id.clone(), group);
        Ok(format!("<return>true</return><groupId>{id}</groupId>"))
    }

    fn authorize(&mut self, parameters: &Parameters) -> Answer {
        let rules = rules(parameters);
        let group = group_mut(&mut self.groups, &parameters["GroupId"])?;
        if let Some((_, range)) = rules.iter().find(|rule| group.rules.contains(rule)) {
            return Err((
                400,
                "InvalidPermission.Duplicate",
                format!("the specified rule \"peer: {range}\" already exists"),
            ));
        }
        for family in Family::BOTH {
            let all = group.rules.iter().chain(&rules).filter(|(_, range)| Family::of(range) == family);
            if all.count() > self.rules_per_group {
                return Err((
                    400,
                    "RulesPerSecurityGroupLimitExceeded",
                    "The maximum number of rules per security group has been reached.".to_owned(),
                ));
            }
        }
        for (rule, description) in rules.iter().zip(descriptions(parameters)) {
            group.rules.insert(*rule);
            group.rule_descriptions.extend(description.map(|description| (*rule, description)));
        }
        Ok("<return>true</return>".to_owned())
    }

    /// Source: API reference, RevokeSecurityGroupIngress: the values have to match those of the rule exactly; a description
    /// may be left out. "For a default VPC, if the values you specify do not match the existing rule's values, no error is
    /// returned, and the output describes the security group rules that were not revoked."
    fn revoke(&mut self, parameters: &Parameters) -> Answer {
        let (default_vpc, not_removed) = (self.default_vpc, &self.not_removed);
        let group = group_mut(&mut self.groups, &parameters["GroupId"])?;
        let is_known = |rule: &(u16, IpNet), description: &Option<String>| {
            let is_same = |sent: &String| group.rule_descriptions.get(rule) == Some(sent);
            !not_removed.contains(&rule.1) && group.rules.contains(rule) && description.as_ref().is_none_or(is_same)
        };
        let sent = rules(parameters).into_iter().zip(descriptions(parameters));
        let (known, unknown): (Vec<_>, Vec<_>) = sent.partition(|(rule, description)| is_known(rule, description));
        if !unknown.is_empty() && !default_vpc {
            return Err((
                400,
                "InvalidPermission.NotFound",
                "The specified rule does not exist in this security group.".to_owned(),
            ));
        }
        for (rule, _) in known {
            group.rules.remove(&rule);
            group.rule_descriptions.remove(&rule);
        }
        let mut answer = "<return>true</return><unknownIpPermissionSet>".to_owned();
        for ((port, range), _) in unknown {
            let (list, field) = match Family::of(&range) {
                Family::Ipv4 => ("ipRanges", "cidrIp"),
                Family::Ipv6 => ("ipv6Ranges", "cidrIpv6"),
            };
            write!(answer, "<item><ipProtocol>tcp</ipProtocol><fromPort>{port}</fromPort><toPort>{port}</toPort><{list}><item><{field}>{range}</{field}></item></{list}></item>").unwrap();
        }
        Ok(answer + "</unknownIpPermissionSet>")
    }

    /// Source: API reference, RevokeSecurityGroupEgress: the rule has to match exactly; "for a default VPC, if the values
    /// you specify do not match the existing rule's values, no error is returned".
    fn revoke_egress(&mut self, parameters: &Parameters) -> Answer {
        let rules: BTreeSet<_> = ranges(parameters).into_iter().map(|range| (None, range)).collect();
        assert_eq!(parameters["IpPermissions.1.IpProtocol"], "-1");
        let default_vpc = self.default_vpc;
        let group = group_mut(&mut self.groups, &parameters["GroupId"])?;
        if !default_vpc && !rules.is_subset(&group.egress) {
            return Err((
                400,
                "InvalidPermission.NotFound",
                "The specified rule does not exist in this security group.".to_owned(),
            ));
        }
        group.egress.retain(|rule| !rules.contains(rule));
        Ok("<return>true</return>".to_owned())
    }

    fn modify_interface(&mut self, parameters: &Parameters) -> Answer {
        let groups: BTreeSet<String> = values(parameters, "SecurityGroupId").into_iter().collect();
        if groups.len() > self.groups_per_interface {
            return Err((
                400,
                "SecurityGroupsPerInterfaceLimitExceeded",
                "The maximum number of security groups per interface has been reached.".to_owned(),
            ));
        }
        for group in &groups {
            group_mut(&mut self.groups, group)?;
        }
        let id = &parameters["NetworkInterfaceId"];
        let Some(interface) = self.interfaces.get(id) else {
            let message = format!("The networkInterface ID '{id}' does not exist");
            return Err((400, "InvalidNetworkInterfaceID.NotFound", message));
        };
        if interface.operator.is_some() {
            let message =
                "You are not authorized to perform this operation: the resource is managed by a service provider.";
            return Err((403, "UnauthorizedOperation", message.to_owned()));
        }
        // A group that is associated with the interface's VPC is one that it carries already, here.
        let vpc_id = self.vpc_of(interface);
        let is_of_vpc = |group: &&String| self.groups[*group].vpc_id == vpc_id || interface.groups.contains(*group);
        if !groups.iter().all(|group| is_of_vpc(&group)) {
            let message = "You have specified two resources that belong to different networks.".to_owned();
            return Err((400, "InvalidGroup.NotFound", message));
        }
        let is_foreign = interface.owner_id.is_some();
        let interface = self.interfaces.get_mut(id).unwrap();
        if interface.load_balancer.is_some() || is_foreign {
            return Err((
                400,
                "AuthFailure",
                "You do not have permission to access the specified resource.".to_owned(),
            ));
        }
        interface.groups = groups;
        Ok("<return>true</return>".to_owned())
    }

    fn create_tags(&mut self, parameters: &Parameters) -> Answer {
        let tag = |n| Some((parameters.get(&format!("Tag.{n}.Key"))?, &parameters[&format!("Tag.{n}.Value")]));
        for id in values(parameters, "ResourceId") {
            let tags = match self.lists.get_mut(&id) {
                Some(list) => &mut list.tags,
                None => &mut group_mut(&mut self.groups, &id)?.tags,
            };
            tags.extend((1..).map_while(tag).map(|(key, value)| (key.clone(), value.clone())));
        }
        Ok("<return>true</return>".to_owned())
    }

    fn delete_tags(&mut self, parameters: &Parameters) -> Answer {
        for id in values(parameters, "ResourceId") {
            let tags = match self.lists.get_mut(&id) {
                Some(list) => &mut list.tags,
                None => &mut group_mut(&mut self.groups, &id)?.tags,
            };
            for key in (1..).map_while(|n| parameters.get(&format!("Tag.{n}.Key"))) {
                tags.remove(key);
            }
        }
        Ok("<return>true</return>".to_owned())
    }

    fn describe_lists(&mut self, parameters: &Parameters) -> String {
        let ids = values(parameters, "PrefixListId");
        let filters = filters(parameters);
        let mut text = "<prefixListSet>".to_owned();
        for (id, list) in &mut self.lists {
            let tagged = filters.iter().all(|(name, values)| {
                list.tags.get(name.strip_prefix("tag:").unwrap()).is_some_and(|value| values.contains(value))
            });
            if !tagged || !(ids.is_empty() || ids.contains(id)) {
                continue;
            }
            let state = match (list.busy, &list.failed) {
                (0, None) => "modify-complete",
                (0, Some(_)) => "modify-failed",
                _ => "modify-in-progress",
            };
            list.busy = list.busy.saturating_sub(1);
            let is_stale = !ids.is_empty() && self.stale_lists > 0;
            let (mut version, mut max_entries) = (list.version, list.max_entries);
            let mut state = state;
            if is_stale {
                self.stale_lists -= 1;
                (version, max_entries) = list.before;
                state = "modify-complete";
            }
            let message = list.failed.as_deref().unwrap_or_default();
            write!(text, "<item><prefixListId>{id}</prefixListId><prefixListName>{}</prefixListName><state>{state}</state><stateMessage>{message}</stateMessage><version>{}</version><maxEntries>{}</maxEntries><tagSet>", list.name, version, max_entries).unwrap();
            for (key, value) in &list.tags {
                write!(text, "<item><key>{key}</key><value>{value}</value></item>").unwrap();
            }
            text.push_str("</tagSet></item>");
        }
        text.push_str("</prefixListSet>");
        text
    }

    fn entries(&self, parameters: &Parameters) -> String {
        let entries: Vec<_> = self.lists[&parameters["PrefixListId"]].entries.iter().collect();
        let start: usize = parameters.get("NextToken").map_or(0, |token| token.parse().unwrap());
        let page = &entries[start..entries.len().min(start + self.page)];
        let items: String = page.iter().map(|entry| format!("<item><cidr>{entry}</cidr></item>")).collect();
        let next = start + self.page;
        let token = if next < entries.len() { format!("<nextToken>{next}</nextToken>") } else { String::new() };
        format!("<entrySet>{items}</entrySet>{token}")
    }

    fn create_list(&mut self, parameters: &Parameters) -> String {
        self.created += 1;
        let id = format!("pl-new{}", self.created);
        let list = FakeList {
            name: parameters["PrefixListName"].clone(),
            tags: tags(parameters),
            version: 1,
            max_entries: parameters["MaxEntries"].parse().unwrap(),
            before: (1, parameters["MaxEntries"].parse().unwrap()),
            busy: 2,
            ..FakeList::default()
        };
        self.lists.insert(id.clone(), list);
        format!("<prefixList><prefixListId>{id}</prefixListId></prefixList>")
    }

    /// The rules of "Work with customer-managed prefix lists": one change at a time, against the current version, 100
    /// additions and 100 removals at most, the size in a call of its own.
    fn modify_list(&mut self, parameters: &Parameters) -> Answer {
        let list = self.lists.get_mut(&parameters["PrefixListId"]).unwrap();
        let refuse = |code, message: &str| Err((400, code, message.to_owned()));
        if list.busy > 0 {
            return refuse("IncorrectState", "The prefix list is in modify-in-progress.");
        }
        let cidrs = |list: &str| -> Vec<IpNet> {
            let numbered = (1..).map_while(|n| parameters.get(&format!("{list}.{n}.Cidr")));
            numbered.map(|cidr| cidr.parse().unwrap()).collect()
        };
        let (add, remove) = (cidrs("AddEntry"), cidrs("RemoveEntry"));
        if let Some(most) = parameters.get("MaxEntries") {
            if !(add.is_empty() && remove.is_empty()) {
                return refuse(
                    "InvalidParameterCombination",
                    "You cannot modify the entries and the size in one call.",
                );
            }
            let most: usize = most.parse().unwrap();
            if most < list.entries.len() {
                return refuse("InvalidParameterValue", "MaxEntries is less than the number of entries.");
            }
            list.before = (list.version, list.max_entries);
            list.max_entries = most;
            list.busy = 1;
            return Ok(String::new());
        }
        if parameters["CurrentVersion"] != list.version.to_string() {
            return refuse("PrefixListVersionMismatch", "The prefix list has the incorrect version number.");
        }
        if add.len() > 100 || remove.len() > 100 {
            return refuse("InvalidParameterValue", "You can add and remove at most 100 entries each.");
        }
        let mut entries = list.entries.clone();
        entries.retain(|entry| !remove.contains(entry));
        entries.extend(add);
        if entries.len() > list.max_entries {
            return refuse(
                "PrefixListMaxEntriesExceeded",
                "You've reached the maximum number of entries for the prefix list.",
            );
        }
        list.before = (list.version, list.max_entries);
        if list.refuses {
            list.failed = Some("internal error".to_owned());
            list.busy = 1;
            return Ok(String::new());
        }
        list.entries = entries;
        list.version += 1;
        list.busy = 1;
        Ok(String::new())
    }

    /// Somebody deletes the interface, or the load balancer, that a call names.
    fn delete_interfaces(&mut self, parameters: &Parameters) {
        let names = ["Names.member.1", "LoadBalancerArn"].into_iter().filter_map(|name| parameters.get(name));
        let balanced: Vec<String> =
            names.flat_map(|name| self.of_load_balancer(name.trim_start_matches("arn:"))).collect();
        let ids = parameters.get("NetworkInterfaceId").cloned().into_iter();
        let ids = ids.chain(values(parameters, "NetworkInterfaceId")).chain(balanced);
        for id in ids.collect::<Vec<_>>() {
            self.interfaces.remove(&id);
            self.watched.retain(|(interface, _)| *interface != id);
        }
    }

    /// The VPC of the interface: that of its groups, unless it says another.
    fn vpc_of(&self, interface: &FakeInterface) -> String {
        let of_group = interface.groups.iter().find_map(|id| self.groups.get(id)).map(|group| group.vpc_id.clone());
        let of_group = of_group.filter(|vpc_id| !vpc_id.is_empty());
        interface.vpc_id.clone().or(of_group).unwrap_or_else(|| "vpc-1".to_owned())
    }

    fn describe_load_balancer(&self, parameters: &Parameters) -> Answer {
        let name = &parameters["Names.member.1"];
        let interface = self.of_load_balancer(name).next().ok_or_else(no_load_balancer)?;
        let interface = &self.interfaces[&interface];
        let groups: String = interface.groups.iter().map(|group| format!("<member>{group}</member>")).collect();
        let is_network = interface.load_balancer.as_ref().is_some_and(|description| description.contains("net/"));
        let private_link = interface.private_link.as_deref().unwrap_or("on");
        let private_link = format!(
            "<EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic>{private_link}</EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic>"
        );
        let private_link = if is_network { private_link } else { String::new() };
        Ok(format!(
            "<LoadBalancers><member><LoadBalancerArn>arn:{name}</LoadBalancerArn>{private_link}<SecurityGroups>{groups}</SecurityGroups></member></LoadBalancers>"
        ))
    }

    /// What a call leaves out gets its default. Source: API reference, SetSecurityGroups: "The default is on".
    fn set_security_groups(&mut self, parameters: &Parameters) -> Answer {
        let name = parameters["LoadBalancerArn"].strip_prefix("arn:").unwrap();
        let groups: BTreeSet<String> = values(parameters, "SecurityGroups.member").into_iter().collect();
        let private_link = parameters.get("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic");
        let ids: Vec<_> = self.of_load_balancer(name).collect();
        if ids.is_empty() {
            return Err(no_load_balancer());
        }
        for id in ids {
            let interface = self.interfaces.get_mut(&id).unwrap();
            interface.groups.clone_from(&groups);
            interface.private_link = private_link.cloned();
        }
        Ok(String::new())
    }

    fn of_load_balancer(&self, name: &str) -> impl Iterator<Item = String> {
        let part = format!("/{name}/");
        let owned = self.interfaces.iter().filter(move |(_, interface)| {
            interface.load_balancer.as_ref().is_some_and(|description| description.contains(&part))
        });
        owned.map(|(id, _)| id.clone()).collect::<Vec<_>>().into_iter()
    }
}

/// The account that owns the groups, and all interfaces but those that say otherwise.
const OWNER: &str = "123456789012";

fn no_load_balancer() -> (u16, &'static str, String) {
    (400, "LoadBalancerNotFound", "Load balancer not found".to_owned())
}

fn group_mut<'a>(
    groups: &'a mut BTreeMap<String, FakeGroup>,
    id: &str,
) -> Result<&'a mut FakeGroup, (u16, &'static str, String)> {
    groups
        .get_mut(id)
        .ok_or_else(|| (400, "InvalidGroup.NotFound", format!("The security group '{id}' does not exist")))
}

/// The tags that something is created with.
fn tags(parameters: &Parameters) -> BTreeMap<String, String> {
    let tag = |n: usize, part: &str| parameters.get(&format!("TagSpecification.1.Tag.{n}.{part}")).cloned();
    (1..).map_while(|n| Some((tag(n, "Key")?, tag(n, "Value")?))).collect()
}

/// `<prefix>.1`, `<prefix>.2` and so on.
fn values(parameters: &Parameters, prefix: &str) -> Vec<String> {
    (1..).map_while(|n| parameters.get(&format!("{prefix}.{n}")).cloned()).collect()
}

fn filters(parameters: &Parameters) -> BTreeMap<String, Vec<String>> {
    (1..)
        .map_while(|n| {
            let name = parameters.get(&format!("Filter.{n}.Name"))?;
            Some((name.clone(), values(parameters, &format!("Filter.{n}.Value"))))
        })
        .collect()
}

/// The rules of one permission, each with its port.
fn rules(parameters: &Parameters) -> Vec<(u16, IpNet)> {
    let port = parameters["IpPermissions.1.FromPort"].parse().unwrap();
    ranges(parameters).into_iter().map(|range| (port, range)).collect()
}

/// The description of each range of one permission, in the order of [`ranges`].
fn descriptions(parameters: &Parameters) -> Vec<Option<String>> {
    let descriptions = |list: &str, field: &str| -> Vec<Option<String>> {
        let item = |n: usize, field: &str| parameters.get(&format!("IpPermissions.1.{list}.{n}.{field}"));
        (1..).map_while(|n| item(n, field).map(|_| item(n, "Description").cloned())).collect()
    };
    descriptions("IpRanges", "CidrIp").into_iter().chain(descriptions("Ipv6Ranges", "CidrIpv6")).collect()
}

/// The ranges of one permission.
fn ranges(parameters: &Parameters) -> Vec<IpNet> {
    let ranges = |list: &str, field: &str| -> Vec<IpNet> {
        (1..)
            .map_while(|n| parameters.get(&format!("IpPermissions.1.{list}.{n}.{field}")))
            .map(|range| range.parse().unwrap())
            .collect()
    };
    ranges("IpRanges", "CidrIp").into_iter().chain(ranges("Ipv6Ranges", "CidrIpv6")).collect()
}
