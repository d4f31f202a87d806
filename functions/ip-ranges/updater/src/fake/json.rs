//! AWS WAF and SSM, whose requests are JSON, as far as this function calls them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ipnet::IpNet;
use serde_json::{Value, json};

pub(crate) type Answer = Result<Value, (u16, &'static str, String)>;

fn refuse(code: &'static str) -> Answer {
    Err((400, code, code.to_owned()))
}

fn text(request: &Value, field: &str) -> String {
    request[field].as_str().unwrap_or_default().to_owned()
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FakeSet {
    pub(crate) scope: String,
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) addresses: BTreeSet<IpNet>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) lock: usize,
}

/// The sets by name; a set's id is `id-<name>`, its ARN `arn:<name>`.
#[derive(Debug)]
pub(crate) struct FakeWaf {
    pub(crate) sets: BTreeMap<String, FakeSet>,
    pub(crate) page: usize,
    /// What somebody else writes just before each of the next updates: addresses and description.
    pub(crate) others: VecDeque<(BTreeSet<IpNet>, String)>,
}

impl Default for FakeWaf {
    fn default() -> Self {
        Self { sets: BTreeMap::new(), page: 100, others: VecDeque::new() }
    }
}

/// How AWS WAF writes an address: an IPv6 one in full.
fn written(range: &IpNet) -> String {
    match range {
        IpNet::V4(range) => range.to_string(),
        IpNet::V6(range) => {
            let parts = range.addr().segments().map(|part| format!("{part:04x}"));
            format!("{}/{}", parts.join(":"), range.prefix_len())
        }
    }
}

fn addresses(request: &Value, version: &str) -> Option<BTreeSet<IpNet>> {
    let addresses = request["Addresses"].as_array().unwrap().iter();
    let addresses = addresses.map(|address| address.as_str().unwrap().parse::<IpNet>().unwrap());
    let addresses: BTreeSet<IpNet> = addresses.collect();
    let fits = |range: &IpNet| range.prefix_len() > 0 && matches!(range, IpNet::V4(_)) == (version == "IPV4");
    (addresses.len() <= 10_000 && addresses.iter().all(fits)).then_some(addresses)
}

impl FakeWaf {
    pub(crate) fn act(&mut self, action: &str, request: &Value) -> Answer {
        let name = text(request, "Name");
        match action {
            "ListIPSets" => {
                let scope = text(request, "Scope");
                let names: Vec<_> =
                    self.sets.iter().filter(|(_, set)| set.scope == scope).map(|(name, _)| name).collect();
                let start: usize = text(request, "NextMarker").parse().unwrap_or(0);
                let most = self.page.min(usize::try_from(request["Limit"].as_u64().unwrap()).unwrap());
                let page = &names[start.min(names.len())..names.len().min(start + most)];
                let sets: Vec<_> = page
                    .iter()
                    .map(|name| json!({"Name": name, "Id": format!("id-{name}"), "ARN": format!("arn:{name}"), "LockToken": "l"}))
                    .collect();
                // A marker follows every page that has something, the last one too.
                if sets.is_empty() {
                    return Ok(json!({"IPSets": []}));
                }
                Ok(json!({"IPSets": sets, "NextMarker": (start + most).to_string()}))
            }
            "ListTagsForResource" => {
                let arn = text(request, "ResourceARN");
                let Some(set) = self.sets.get(arn.trim_start_matches("arn:")) else {
                    return refuse("WAFNonexistentItemException");
                };
                let tags: Vec<_> = set.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
                Ok(json!({"TagInfoForResource": {"ResourceARN": arn, "TagList": tags}}))
            }
            "GetIPSet" => {
                let Some(set) = self.sets.get(&name) else { return refuse("WAFNonexistentItemException") };
                let addresses: Vec<String> = set.addresses.iter().map(written).collect();
                Ok(json!({"LockToken": set.lock.to_string(), "IPSet": {
                    "Name": name, "Id": format!("id-{name}"), "ARN": format!("arn:{name}"), "Description": set.description,
                    "IPAddressVersion": set.version, "Addresses": addresses,
                }}))
            }
            "CreateIPSet" => {
                if self.sets.contains_key(&name) {
                    return refuse("WAFDuplicateItemException");
                }
                let version = text(request, "IPAddressVersion");
                let Some(addresses) = addresses(request, &version) else {
                    return refuse("WAFInvalidParameterException");
                };
                let tags = request["Tags"].as_array().unwrap().iter();
                let tags = tags.map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect();
                let (scope, description) = (text(request, "Scope"), text(request, "Description"));
                let set = FakeSet { scope, version, description, addresses, tags, lock: 0 };
                self.sets.insert(name.clone(), set);
                Ok(
                    json!({"Summary": {"Name": name, "Id": format!("id-{name}"), "ARN": format!("arn:{name}"), "LockToken": "0"}}),
                )
            }
            "UpdateIPSet" => {
                let other = self.others.pop_front();
                let Some(set) = self.sets.get_mut(&name) else { return refuse("WAFNonexistentItemException") };
                if let Some((addresses, description)) = other {
                    (set.addresses, set.description) = (addresses, description);
                    set.lock += 1;
                }
                if text(request, "LockToken") != set.lock.to_string() {
                    return refuse("WAFOptimisticLockException");
                }
                let Some(addresses) = addresses(request, &set.version) else {
                    return refuse("WAFInvalidParameterException");
                };
                set.addresses = addresses;
                set.description = text(request, "Description");
                set.lock += 1;
                Ok(json!({"NextLockToken": set.lock.to_string()}))
            }
            _ => refuse("WAFInvalidOperationException"),
        }
    }
}

/// Type and value by name.
#[derive(Debug, Default)]
pub(crate) struct FakeSsm {
    pub(crate) parameters: BTreeMap<String, (String, String)>,
}

impl FakeSsm {
    pub(crate) fn act(&mut self, action: &str, request: &Value) -> Answer {
        match action {
            "GetParametersByPath" => {
                let start = format!("{}/", text(request, "Path"));
                let below: Vec<_> = self.parameters.iter().filter(|(name, _)| name.starts_with(&start)).collect();
                let from: usize = text(request, "NextToken").parse().unwrap_or(0);
                let to = below.len().min(from + 10);
                let page: Vec<_> = below[from..to]
                    .iter()
                    .map(|(name, (kind, value))| json!({"Name": name, "Type": kind, "Value": value}))
                    .collect();
                let token = (to < below.len()).then(|| to.to_string());
                Ok(json!({"Parameters": page, "NextToken": token}))
            }
            "PutParameter" => {
                let (name, kind) = (text(request, "Name"), text(request, "Type"));
                match self.parameters.get(&name) {
                    Some(_) if request["Overwrite"] != true => return refuse("ParameterAlreadyExists"),
                    Some((before, _)) if *before != kind => return refuse("HierarchyTypeMismatchException"),
                    _ => {}
                }
                self.parameters.insert(name, (kind, text(request, "Value")));
                Ok(json!({"Version": 1}))
            }
            _ => refuse("InvalidAction"),
        }
    }
}
