//! AWS WAF and SSM, whose requests are JSON, as far as this function calls them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ipnet::IpNet;
use serde_json::{Value, json};

use super::Fault;

pub(crate) type Answer = Result<Value, (u16, &'static str, String)>;

fn refuse(code: &'static str) -> Answer {
    Err((400, code, code.to_owned()))
}

/// Removes the key wherever it is.
pub(crate) fn remove(value: &mut Value, key: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(key);
            fields.values_mut().for_each(|value| remove(value, key));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| remove(value, key)),
        _ => {}
    }
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
    /// Which of all sets that were ever created it is; 0 where a test made it.
    pub(crate) number: usize,
}

impl FakeSet {
    fn id(&self) -> String {
        uuid(self.number)
    }

    pub(crate) fn arn(&self, name: &str) -> String {
        format!("arn:{name}/{}", self.id())
    }
}

/// An id or a lock token in the form that AWS WAF demands.
pub(crate) fn uuid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// A call that wrote to a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) name: String,
    pub(crate) created: bool,
    pub(crate) addresses: BTreeSet<IpNet>,
}

/// The sets by name; the n-th one's id is `id-n`, its ARN `arn:<name>/id-n`.
#[derive(Debug)]
pub(crate) struct FakeWaf {
    pub(crate) sets: BTreeMap<String, FakeSet>,
    pub(crate) page: usize,
    /// What somebody else writes just before each of the next updates: addresses and description.
    pub(crate) others: VecDeque<(BTreeSet<IpNet>, String)>,
    /// How many times ListIPSets still leaves out the sets that were created: AWS WAF's answers are eventually consistent.
    pub(crate) unlisted: usize,
    /// Every call of the function that wrote, in their order.
    pub(crate) writes: Vec<Write>,
    created: usize,
}

impl Default for FakeWaf {
    fn default() -> Self {
        Self { sets: BTreeMap::new(), page: 100, others: VecDeque::new(), unlisted: 0, writes: Vec::new(), created: 0 }
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
    /// What somebody else does just before a call.
    pub(crate) fn interfere(&mut self, fault: Fault, action: &str, request: &Value) {
        let (name, arn) = (text(request, "Name"), text(request, "ResourceARN"));
        let named = |(known, set): &(&String, &mut FakeSet)| **known == name || set.arn(known) == arn;
        let found = self.sets.iter_mut().find(named);
        match (fault, found) {
            (Fault::Changed, Some((_, set))) => {
                let address = if set.version == "IPV4" { "203.0.113.77/32" } else { "2001:db8:ffff::/48" };
                set.addresses.insert(address.parse().unwrap());
                set.description = "by hand".to_owned();
                set.lock += 1;
            }
            (Fault::Deleted, Some((name, _))) => {
                let name = name.clone();
                self.sets.remove(&name);
            }
            (Fault::Created, None) if action == "CreateIPSet" => {
                self.act(action, request).unwrap();
                self.writes.pop();
            }
            _ => {}
        }
    }

    pub(crate) fn act(&mut self, action: &str, request: &Value) -> Answer {
        let name = text(request, "Name");
        match action {
            "ListIPSets" => {
                let scope = text(request, "Scope");
                let newest = if self.unlisted > 0 { 0 } else { usize::MAX };
                self.unlisted = self.unlisted.saturating_sub(1);
                let sets = self.sets.iter().filter(|(_, set)| set.scope == scope && set.number <= newest);
                let sets: Vec<_> = sets.collect();
                let start: usize = text(request, "NextMarker").parse().unwrap_or(0);
                let most = self.page.min(usize::try_from(request["Limit"].as_u64().unwrap()).unwrap());
                let page = &sets[start.min(sets.len())..sets.len().min(start + most)];
                let sets: Vec<_> = page
                    .iter()
                    .map(|(name, set)| json!({"Name": name, "Id": set.id(), "ARN": set.arn(name), "LockToken": uuid(set.lock)}))
                    .collect();
                // A marker follows every page that has something, the last one too.
                if sets.is_empty() {
                    return Ok(json!({"IPSets": []}));
                }
                Ok(json!({"IPSets": sets, "NextMarker": (start + most).to_string()}))
            }
            "ListTagsForResource" => {
                let arn = text(request, "ResourceARN");
                let Some((_, set)) = self.sets.iter().find(|(name, set)| set.arn(name) == arn) else {
                    return refuse("WAFNonexistentItemException");
                };
                let tags: Vec<_> = set.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
                Ok(json!({"TagInfoForResource": {"ResourceARN": arn, "TagList": tags}}))
            }
            "GetIPSet" => {
                let Some(set) = self.identified(request) else { return refuse("WAFNonexistentItemException") };
                let addresses: Vec<String> = set.addresses.iter().map(written).collect();
                Ok(json!({"LockToken": uuid(set.lock), "IPSet": {
                    "Name": name, "Id": set.id(), "ARN": set.arn(&name), "Description": set.description,
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
                self.created += 1;
                let number = self.created;
                let set = FakeSet { scope, version, description, addresses: addresses.clone(), tags, lock: 0, number };
                let summary = json!({"Name": name, "Id": set.id(), "ARN": set.arn(&name), "LockToken": uuid(0)});
                self.writes.push(Write { name: name.clone(), created: true, addresses });
                self.sets.insert(name, set);
                Ok(json!({ "Summary": summary }))
            }
            "UpdateIPSet" => {
                let other = self.others.pop_front();
                let Some(set) = self.identified(request) else { return refuse("WAFNonexistentItemException") };
                if let Some((addresses, description)) = other {
                    (set.addresses, set.description) = (addresses, description);
                    set.lock += 1;
                }
                if text(request, "LockToken") != uuid(set.lock) {
                    return refuse("WAFOptimisticLockException");
                }
                let Some(addresses) = addresses(request, &set.version) else {
                    return refuse("WAFInvalidParameterException");
                };
                set.addresses.clone_from(&addresses);
                set.description = text(request, "Description");
                set.lock += 1;
                let next = uuid(set.lock);
                self.writes.push(Write { name, created: false, addresses });
                Ok(json!({ "NextLockToken": next }))
            }
            _ => refuse("WAFInvalidOperationException"),
        }
    }

    /// The set of this name and id.
    fn identified(&mut self, request: &Value) -> Option<&mut FakeSet> {
        let id = text(request, "Id");
        self.sets.get_mut(&text(request, "Name")).filter(|set| set.id() == id)
    }
}

/// Type and value by name.
#[derive(Debug, Default)]
pub(crate) struct FakeSsm {
    pub(crate) parameters: BTreeMap<String, (String, String)>,
}

impl FakeSsm {
    /// What somebody else does just before a call.
    pub(crate) fn interfere(&mut self, fault: Fault, request: &Value) {
        let name = text(request, "Name");
        match (fault, self.parameters.get_mut(&name)) {
            (Fault::Changed, Some((_, value))) => "sg-by-hand".clone_into(value),
            (Fault::Deleted, Some(_)) => {
                self.parameters.remove(&name);
            }
            _ => {}
        }
    }

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
                if request["Overwrite"] == true && request["Tags"].is_array() {
                    return refuse("ValidationException");
                }
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
