//! Data protection policies: AWS's JSON, checked as a whole, then compiled.
//!
//! Source: SNS Developer Guide, "Understanding data protection policies", "Data protection policy operations" and
//! "Using custom data identifiers". What AWS refuses is refused here. What the guide does not say is in [`crate::engine`].

use std::fmt;

use regex::{Regex, RegexBuilder};

use crate::identifiers::Managed;
use crate::json::{Json, shown};
use crate::principal::{Principal, PrincipalPattern};

/// SNS API Reference, `PutDataProtectionPolicy`: at most 30,720 characters.
const MAX_POLICY_LENGTH: usize = 30_720;
const VERSION: &str = "2021-06-01";
const MAX_CUSTOM: usize = 10;
const MAX_NAME_LENGTH: usize = 128;
const MAX_REGEX_LENGTH: usize = 200;
/// Memory of one compiled regex.
const MAX_REGEX_SIZE: usize = 2 << 20;
/// The characters of a regex besides letters and digits.
const REGEX_CHARACTERS: &str = "_#=@/;,- ^$?[]{}|\\*+.";
/// The characters to mask with besides letters and digits.
const MASK_CHARACTERS: &str = " !$%&()+,-./\\:;<=>@[]^_`|~#*";
const LOG_GROUP: &str = "/aws/vendedlogs/";

/// A policy without faults.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) name: String,
    pub(crate) statements: Vec<Statement>,
    notes: Vec<Fault>,
}

/// A policy of CloudWatch Logs without faults: the same language, without principals and directions.
///
/// Source: CloudWatch Logs User Guide, "Understanding data protection policies".
#[derive(Debug, Clone)]
pub struct LogsPolicy {
    pub(crate) identifiers: Vec<Identifier>,
}

/// No statement of a policy applies to a principal: its messages would be delivered as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no {direction:?} statement of the policy applies to {principal}, so messages would be delivered unprotected: {}",
    .statements.join("; ")
)]
pub struct NothingApplies {
    /// The side that was asked about.
    pub direction: Direction,
    /// The principal.
    pub principal: String,
    /// Each statement, with why it does not apply and what was nearly the same.
    pub statements: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) direction: Direction,
    pub(crate) principals: Vec<PrincipalPattern>,
    pub(crate) identifiers: Vec<Identifier>,
    pub(crate) operation: Operation,
}

impl Statement {
    pub(crate) fn applies_to(&self, direction: Direction, principal: &Principal) -> bool {
        self.direction == direction && self.principals.iter().any(|pattern| pattern.matches(principal))
    }
}

/// The side of the topic: to it, or from it to a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What is published to the topic.
    Inbound,
    /// What a subscriber receives.
    Outbound,
}

/// What is looked for.
#[derive(Debug, Clone)]
pub(crate) enum Identifier {
    Managed(Managed),
    Custom { name: String, regex: Regex },
}

impl Identifier {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Managed(managed) => managed.name(),
            Self::Custom { name, .. } => name,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// In percent of the messages.
    Audit {
        sample_rate: u8,
    },
    Deny,
    Mask(char),
    Redact,
}

/// What is wrong with a policy, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The JSON path, such as `$.Statement[0].Operation`.
    pub path: String,
    /// What was there.
    pub seen: String,
    /// What should be there.
    pub expected: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: expected {}", self.path, self.seen, self.expected)
    }
}

/// Everything that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Faults(pub Vec<Fault>);

impl Policy {
    /// Checks and compiles a policy.
    ///
    /// ```
    /// use data_protection::Policy;
    ///
    /// let faults = Policy::parse(r#"{"Name": "n", "Version": "2012-10-17", "Statement": []}"#).unwrap_err();
    /// assert_eq!(
    ///     faults.to_string(),
    ///     "$.Version is \"2012-10-17\": expected \"2021-06-01\"; \
    ///      $.Statement is an empty array: expected one or more statements"
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// [`Faults`] with each fault, its JSON path, what was there and what was expected.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let mut check = Check::default();
        let policy = check.json(text).and_then(|json| check.policy(&json));
        match policy {
            Some(mut policy) if check.faults.is_empty() => {
                policy.notes = check.notes;
                Ok(policy)
            }
            _ => Err(Faults(check.faults)),
        }
    }

    /// What of the policy has no effect and is no fault: identifiers that are not supported, in Inbound statements.
    #[must_use]
    pub fn notes(&self) -> &[Fault] {
        &self.notes
    }

    /// The name of the policy.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a statement of this direction applies to the principal.
    ///
    /// # Errors
    ///
    /// [`NothingApplies`], with each statement and why it does not.
    pub fn applies_to(&self, direction: Direction, principal: &Principal) -> Result<(), NothingApplies> {
        if self.statements.iter().any(|statement| statement.applies_to(direction, principal)) {
            return Ok(());
        }
        let described = |(index, statement): (usize, &Statement)| {
            let path = format!("$.Statement[{index}]");
            if statement.direction != direction {
                return format!("{path}.DataDirection is {:?}", statement.direction);
            }
            let principals: Vec<_> = statement
                .principals
                .iter()
                .map(|pattern| match pattern.difference(principal) {
                    Some(difference) => format!("{pattern} ({difference})"),
                    None => pattern.to_string(),
                })
                .collect();
            format!("{path}.Principal is {}", principals.join(", "))
        };
        Err(NothingApplies {
            direction,
            principal: principal.as_str().to_owned(),
            statements: self.statements.iter().enumerate().map(described).collect(),
        })
    }

    /// The paths of the statements of this direction, such as `$.Statement[0]`.
    pub fn statements_of(&self, direction: Direction) -> impl Iterator<Item = String> {
        let indexed = self.statements.iter().enumerate();
        indexed
            .filter(move |(_, statement)| statement.direction == direction)
            .map(|(index, _)| format!("$.Statement[{index}]"))
    }
}

impl LogsPolicy {
    /// Whether a text looks like a policy of CloudWatch Logs: statements, and none has a principal or a direction.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        let Ok(Json::Object(fields)) = serde_json::from_str(text) else { return false };
        let Some(Json::List(statements)) = field(&fields, "Statement") else { return false };
        let of_sns = |statement: &Json| match statement {
            Json::Object(fields) => field(fields, "DataDirection").is_some() || field(fields, "Principal").is_some(),
            _ => true,
        };
        !statements.is_empty() && !statements.iter().any(of_sns)
    }

    /// Checks a policy.
    ///
    /// # Errors
    ///
    /// [`Faults`] with each fault, its JSON path, what was there and what was expected.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let mut check = Check { logs: true, ..Check::default() };
        let policy = check.json(text).and_then(|json| check.logs_policy(&json));
        match policy {
            Some(policy) if check.faults.is_empty() => Ok(policy),
            _ => Err(Faults(check.faults)),
        }
    }
}

#[derive(Default)]
struct Check {
    /// The policy is one of CloudWatch Logs.
    logs: bool,
    notes: Vec<Fault>,
    faults: Vec<Fault>,
    custom: Vec<Identifier>,
    /// Names of custom identifiers that have a fault: whoever refers to them is not told again.
    faulty: Vec<String>,
    audits: usize,
}

type Fields<'a> = &'a [(String, Json)];

impl Check {
    fn fault(&mut self, path: &str, seen: impl Into<String>, expected: impl Into<String>) {
        self.faults.push(Fault { path: path.to_owned(), seen: seen.into(), expected: expected.into() });
    }

    /// The fields of an object, which has no other keys than `known`, and none twice.
    fn object<'a>(&mut self, path: &str, json: &'a Json, known: &[&str], what: &str) -> Option<Fields<'a>> {
        let Json::Object(fields) = json else {
            self.fault(path, json.described(), what);
            return None;
        };
        for (index, (key, _)) in fields.iter().enumerate() {
            if fields[..index].iter().any(|(earlier, _)| earlier == key) {
                self.fault(&child(path, key), "given twice", "each key once");
            } else if !known.contains(&key.as_str()) {
                let expected =
                    if known.is_empty() { "no keys".to_owned() } else { format!("only {}", known.join(", ")) };
                self.fault(&child(path, key), "an unknown key", expected);
            }
        }
        Some(fields)
    }

    /// A field that must be there.
    fn required<'a>(&mut self, path: &str, fields: Fields<'a>, key: &str, what: &str) -> Option<&'a Json> {
        let found = field(fields, key);
        if found.is_none() {
            self.fault(&child(path, key), "missing", what);
        }
        found
    }

    fn text<'a>(&mut self, path: &str, json: &'a Json, what: &str) -> Option<&'a str> {
        match json {
            Json::Text(text) if !text.is_empty() => Some(text),
            _ => {
                self.fault(path, json.described(), what);
                None
            }
        }
    }

    fn list<'a>(&mut self, path: &str, json: &'a Json, what: &str) -> &'a [Json] {
        match json {
            Json::List(items) if !items.is_empty() => items,
            _ => {
                self.fault(path, json.described(), what);
                &[]
            }
        }
    }

    fn json(&mut self, text: &str) -> Option<Json> {
        let characters = text.chars().count();
        if characters > MAX_POLICY_LENGTH {
            self.fault("$", format!("{characters} characters long"), format!("at most {MAX_POLICY_LENGTH}"));
        }
        match serde_json::from_str::<Json>(text) {
            Ok(json) => Some(json),
            Err(error) => {
                let reason = error.to_string();
                // AWS's own announcement prints a regular expression like that.
                let expected = if reason.starts_with("invalid escape") {
                    "a data protection policy; in JSON a backslash of a regular expression is written twice, as in \"\\\\d{9}\""
                } else {
                    "a data protection policy"
                };
                self.fault("$", format!("no JSON ({reason})"), expected);
                None
            }
        }
    }

    /// Two statements: one that audits, and one that masks the same identifiers.
    fn logs_policy(&mut self, json: &Json) -> Option<LogsPolicy> {
        let (_, statements) = self.head(json)?;
        if statements.len() != 2 {
            self.fault(
                "$.Statement",
                format!("an array of {}", statements.len()),
                "two statements: one with Audit, then one with Deidentify",
            );
        }
        let mut all: Vec<(Vec<Identifier>, Vec<String>, &str)> = Vec::new();
        for (index, json) in statements.iter().enumerate() {
            let path = format!("$.Statement[{index}]");
            let known = ["Sid", "DataIdentifier", "Operation"];
            let Some(fields) = self.object(&path, json, &known, "a statement, which is an object") else { continue };
            self.sid(&path, fields);
            let identifiers = self.identifiers(&path, fields, true);
            let names = match field(fields, "DataIdentifier") {
                Some(Json::List(list)) => list.iter().map(Json::described).collect(),
                _ => Vec::new(),
            };
            let operation = self.required(&path, fields, "Operation", "Audit or Deidentify");
            let operation = operation.and_then(|json| self.operation(&child(&path, "Operation"), json));
            let expected = if index == 0 { "Audit" } else { "Deidentify" };
            let seen = match operation {
                Some(Operation::Audit { .. }) => "Audit",
                Some(Operation::Mask('*')) => "Deidentify",
                Some(Operation::Mask(_)) => {
                    let path = format!("{path}.Operation.Deidentify.MaskConfig");
                    self.fault(
                        &path,
                        "an object with MaskWithCharacter",
                        "an empty object: CloudWatch Logs masks with *",
                    );
                    continue;
                }
                Some(_) => "another operation",
                None => continue,
            };
            if seen != expected {
                self.fault(&child(&path, "Operation"), seen, format!("{expected} in this statement"));
            }
            all.push((identifiers, names, seen));
        }
        if let [(_, first, _), (_, second, _)] = &all[..]
            && {
                let sorted = |names: &[String]| {
                    let mut names = names.to_vec();
                    names.sort_unstable();
                    names
                };
                sorted(first) != sorted(second)
            }
        {
            self.fault(
                "$.Statement[1].DataIdentifier",
                "another list",
                "the same data identifiers as in $.Statement[0]",
            );
        }
        let (identifiers, ..) = all.into_iter().next()?;
        Some(LogsPolicy { identifiers })
    }

    /// Name and statements, after everything that both dialects have besides was checked.
    fn head<'a>(&mut self, json: &'a Json) -> Option<(Option<&'a str>, &'a [Json])> {
        let known = ["Name", "Description", "Version", "Statement", "Configuration"];
        let fields = self.object("$", json, &known, "a data protection policy, which is a JSON object")?;
        let name = self.required("$", fields, "Name", "the name of the policy");
        let name = name.and_then(|name| self.text("$.Name", name, "the name of the policy"));
        if let Some(description) = field(fields, "Description")
            && !matches!(description, Json::Text(_))
        {
            self.fault("$.Description", description.described(), "text");
        }
        if let Some(version) = self.required("$", fields, "Version", "\"2021-06-01\"")
            && *version != Json::Text(VERSION.to_owned())
        {
            self.fault("$.Version", version.described(), format!("{VERSION:?}"));
        }
        if let Some(configuration) = field(fields, "Configuration") {
            self.configuration(configuration);
        }
        let statements = self.required("$", fields, "Statement", "one or more statements");
        let statements = statements.map_or(&[][..], |list| self.list("$.Statement", list, "one or more statements"));
        Some((name, statements))
    }

    fn policy(&mut self, json: &Json) -> Option<Policy> {
        let (name, statements) = self.head(json)?;
        let statements = statements.iter().enumerate();
        let statements: Vec<_> =
            statements.filter_map(|(index, json)| self.statement(&format!("$.Statement[{index}]"), json)).collect();
        Some(Policy { name: name?.to_owned(), statements, notes: Vec::new() })
    }

    fn sid(&mut self, path: &str, fields: Fields<'_>) {
        if let Some(sid) = field(fields, "Sid")
            && !matches!(sid, Json::Text(_))
        {
            self.fault(&child(path, "Sid"), sid.described(), "text");
        }
    }

    /// The data identifiers of a statement; `in_effect` says whether one that is not supported is a fault.
    fn identifiers(&mut self, path: &str, fields: Fields<'_>, in_effect: bool) -> Vec<Identifier> {
        let what = "an array of data identifiers";
        let identifiers = self.required(path, fields, "DataIdentifier", what);
        let identifiers = identifiers.map_or(&[][..], |list| self.list(&child(path, "DataIdentifier"), list, what));
        let identifiers = identifiers.iter().enumerate();
        identifiers
            .filter_map(|(index, json)| {
                let path = format!("{path}.DataIdentifier[{index}]");
                let text =
                    self.text(&path, json, "the ARN of a managed data identifier, or the name of a custom one")?;
                self.identifier(&path, text, in_effect)
            })
            .collect()
    }

    fn configuration(&mut self, json: &Json) {
        let path = "$.Configuration";
        let what = "an object with CustomDataIdentifier";
        let Some(fields) = self.object(path, json, &["CustomDataIdentifier"], what) else { return };
        let Some(list) = field(fields, "CustomDataIdentifier") else { return };
        let path = "$.Configuration.CustomDataIdentifier";
        let list = self.list(path, list, "an array of custom data identifiers");
        if list.len() > MAX_CUSTOM {
            self.fault(
                path,
                format!("an array of {}", list.len()),
                format!("at most {MAX_CUSTOM} custom data identifiers"),
            );
        }
        for (index, json) in list.iter().enumerate() {
            self.custom(&format!("{path}[{index}]"), json);
        }
    }

    fn custom(&mut self, path: &str, json: &Json) {
        let Some(fields) = self.object(path, json, &["Name", "Regex"], "an object with Name and Regex") else { return };
        let name = self.required(path, fields, "Name", "the name of the identifier");
        let name = name.and_then(|name| self.text(&child(path, "Name"), name, "the name of the identifier"));
        let name = name.and_then(|name| self.custom_name(&child(path, "Name"), name));
        let regex = self.required(path, fields, "Regex", "a regular expression");
        let regex = regex.and_then(|regex| self.text(&child(path, "Regex"), regex, "a regular expression"));
        let regex = regex.and_then(|regex| self.regex(&child(path, "Regex"), regex));
        match (name, regex) {
            (Some(name), Some(regex)) => self.custom.push(Identifier::Custom { name: name.to_owned(), regex }),
            _ => {
                if let Some(Json::Text(name)) = field(fields, "Name") {
                    self.faulty.push(name.clone());
                }
            }
        }
    }

    fn custom_name<'a>(&mut self, path: &str, name: &'a str) -> Option<&'a str> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let expected = if name.len() > MAX_NAME_LENGTH || !name.bytes().all(allowed) {
            format!("1 to {MAX_NAME_LENGTH} letters, digits, hyphens and underscores")
        } else if Managed::is_name(name) {
            "a name that no managed data identifier has".to_owned()
        } else if self.custom.iter().any(|custom| custom.name() == name)
            || self.faulty.iter().any(|faulty| faulty == name)
        {
            "a name that no other custom data identifier has".to_owned()
        } else {
            return Some(name);
        };
        self.fault(path, shown(name), expected);
        None
    }

    fn regex(&mut self, path: &str, text: &str) -> Option<Regex> {
        let characters = text.chars().count();
        if characters > MAX_REGEX_LENGTH {
            self.fault(path, format!("{characters} characters long"), format!("at most {MAX_REGEX_LENGTH}"));
            return None;
        }
        let mut strange: Vec<char> = text
            .chars()
            .filter(|character| !character.is_ascii_alphanumeric() && !REGEX_CHARACTERS.contains(*character))
            .collect();
        strange.sort_unstable();
        strange.dedup();
        if !strange.is_empty() {
            let expected =
                format!("no {strange:?}: SNS takes letters, digits, spaces and {}", REGEX_CHARACTERS.replace(' ', ""));
            self.fault(path, shown(text), expected);
            return None;
        }
        match RegexBuilder::new(text).size_limit(MAX_REGEX_SIZE).dfa_size_limit(MAX_REGEX_SIZE).build() {
            Ok(regex) => Some(regex),
            Err(regex::Error::CompiledTooBig(_)) => {
                self.fault(path, shown(text), "a simpler regular expression, with fewer repetitions");
                None
            }
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.fault(path, shown(text), format!("a regular expression ({reason})"));
                None
            }
        }
    }

    fn statement(&mut self, path: &str, json: &Json) -> Option<Statement> {
        let known = ["Sid", "DataDirection", "Principal", "DataIdentifier", "Operation"];
        let fields = self.object(path, json, &known, "a statement, which is an object")?;
        self.sid(path, fields);
        let direction = self.required(path, fields, "DataDirection", "Inbound or Outbound");
        let direction = direction.and_then(|json| match json {
            Json::Text(text) if text == "Inbound" => Some(Direction::Inbound),
            Json::Text(text) if text == "Outbound" => Some(Direction::Outbound),
            other => {
                self.fault(&child(path, "DataDirection"), other.described(), "Inbound or Outbound");
                None
            }
        });
        let what = "an array of principals, such as [\"*\"]";
        let principals = self.required(path, fields, "Principal", what);
        let principals = principals.map_or(&[][..], |list| self.list(&child(path, "Principal"), list, what));
        let principals = principals.iter().enumerate();
        let principals: Vec<_> = principals
            .filter_map(|(index, json)| {
                let path = format!("{path}.Principal[{index}]");
                let text = self.text(&path, json, PrincipalPattern::EXPECTED)?;
                let pattern = PrincipalPattern::parse(text);
                if pattern.is_none() {
                    self.fault(&path, shown(text), PrincipalPattern::EXPECTED);
                }
                pattern
            })
            .collect();
        let identifiers = self.identifiers(path, fields, direction != Some(Direction::Inbound));
        let operation = self.required(path, fields, "Operation", "one of Audit, Deny, Deidentify");
        let operation = operation.and_then(|json| self.operation(&child(path, "Operation"), json));
        Some(Statement { direction: direction?, principals, identifiers, operation: operation? })
    }

    fn identifier(&mut self, path: &str, text: &str, in_effect: bool) -> Option<Identifier> {
        if let Some(name) = managed_name(text) {
            let managed = Managed::named(name);
            if managed.is_none() && Managed::is_name(name) {
                let (seen, expected) = (
                    format!("{name}, which no pattern finds"),
                    "another identifier: names and addresses are found by machine learning, as by Amazon Bedrock \
                     Guardrails or Amazon Comprehend",
                );
                if in_effect {
                    self.fault(path, seen, expected);
                } else {
                    let fault = Fault { path: path.to_owned(), seen, expected: expected.to_owned() };
                    self.notes.push(fault);
                }
            } else if managed.is_none() {
                let near = nearest(name);
                let near = near.map_or_else(String::new, |near| format!(", such as {near}"));
                self.fault(path, shown(name), format!("the name of one of AWS's managed data identifiers{near}"));
            }
            return managed.map(Identifier::Managed);
        }
        if let Some(custom) = self.custom.iter().find(|custom| custom.name() == text) {
            return Some(custom.clone());
        }
        if !self.faulty.iter().any(|faulty| faulty == text) {
            let custom: Vec<_> = self.custom.iter().map(|custom| format!(" {},", custom.name())).collect();
            let expected = if Managed::is_name(text) {
                format!("arn:aws:dataprotection::aws:data-identifier/{text}")
            } else {
                format!(
                    "a name of Configuration.CustomDataIdentifier,{} or an ARN \
                     arn:aws:dataprotection::aws:data-identifier/…",
                    custom.concat()
                )
            };
            self.fault(path, shown(text), expected);
        }
        None
    }

    fn operation(&mut self, path: &str, json: &Json) -> Option<Operation> {
        let what = "exactly one of Audit, Deny, Deidentify";
        let fields = self.object(path, json, &["Audit", "Deny", "Deidentify"], what)?;
        let [(key, json)] = fields else {
            let seen = if fields.is_empty() { "an empty object" } else { "an object with several keys" };
            self.fault(path, seen, what);
            return None;
        };
        let path = child(path, key);
        match key.as_str() {
            "Audit" => self.audit(&path, json),
            "Deny" => self.object(&path, json, &[], "an empty object").map(|_| Operation::Deny),
            "Deidentify" => self.deidentify(&path, json),
            _ => None,
        }
    }

    fn audit(&mut self, path: &str, json: &Json) -> Option<Operation> {
        self.audits += 1;
        if self.audits == 2 {
            self.fault(path, "a second Audit", "at most one statement with Audit");
        }
        if self.logs {
            let what = "an object with FindingsDestination";
            let fields = self.object(path, json, &["FindingsDestination"], what)?;
            let destination = self.required(path, fields, "FindingsDestination", "an object, which may be empty");
            if let Some(destination) = destination {
                self.destination(&child(path, "FindingsDestination"), destination);
            }
            return Some(Operation::Audit { sample_rate: 99 });
        }
        let known = ["SampleRate", "FindingsDestination", "NoFindingsDestination"];
        let fields = self.object(path, json, &known, "an object with SampleRate")?;
        for key in &known[1..] {
            if let Some(destination) = field(fields, key) {
                self.destination(&child(path, key), destination);
            }
        }
        // SNS Developer Guide, "Data protection policy operations": this operation requires a destination.
        if known[1..].iter().all(|key| field(fields, key).is_none()) {
            self.fault(
                &child(path, "FindingsDestination"),
                "missing",
                "FindingsDestination or NoFindingsDestination, with CloudWatchLogs, Firehose or S3: SNS refuses Audit without",
            );
        }
        let what = "a whole number from 0 to 99";
        let rate = self.required(path, fields, "SampleRate", what)?;
        let number = match rate {
            Json::Text(text) | Json::Number(text)
                if text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                text.parse().ok()
            }
            _ => None,
        };
        if number.is_none() {
            self.fault(&child(path, "SampleRate"), rate.described(), what);
        }
        number.map(|sample_rate| Operation::Audit { sample_rate })
    }

    /// Nothing is written there, but a policy that AWS refuses is refused.
    fn destination(&mut self, path: &str, json: &Json) {
        let known = ["CloudWatchLogs", "Firehose", "S3"];
        let what = "an object with CloudWatchLogs, Firehose or S3";
        let Some(fields) = self.object(path, json, &known, what) else { return };
        if fields.is_empty() && !self.logs {
            self.fault(path, "an empty object", what);
        }
        for (service, key) in [("CloudWatchLogs", "LogGroup"), ("Firehose", "DeliveryStream"), ("S3", "Bucket")] {
            let Some(json) = field(fields, service) else { continue };
            let path = child(path, service);
            let what = format!("an object with {key}");
            let Some(fields) = self.object(&path, json, &[key], &what) else { continue };
            let Some(name) = self.required(&path, fields, key, "a name") else { continue };
            let path = child(&path, key);
            if let Some(name) = self.text(&path, name, "a name")
                && key == "LogGroup"
                && !self.logs
                && !name.starts_with(LOG_GROUP)
            {
                self.fault(&path, shown(name), format!("a name that starts with {LOG_GROUP}"));
            }
        }
    }

    fn deidentify(&mut self, path: &str, json: &Json) -> Option<Operation> {
        let what = "exactly one of MaskConfig, RedactConfig";
        let fields = self.object(path, json, &["MaskConfig", "RedactConfig"], what)?;
        let [(key, json)] = fields else {
            let seen = if fields.is_empty() { "an empty object" } else { "an object with several keys" };
            self.fault(path, seen, what);
            return None;
        };
        let path = child(path, key);
        match key.as_str() {
            "RedactConfig" => self.object(&path, json, &[], "an empty object").map(|_| Operation::Redact),
            "MaskConfig" => {
                let fields = self.object(&path, json, &["MaskWithCharacter"], "an object with MaskWithCharacter")?;
                let Some(json) = field(fields, "MaskWithCharacter") else { return Some(Operation::Mask('*')) };
                let mut characters = match json {
                    Json::Text(text) => text.chars(),
                    _ => "".chars(),
                };
                match (characters.next(), characters.next()) {
                    (Some(mask), None) if mask.is_ascii_alphanumeric() || MASK_CHARACTERS.contains(mask) => {
                        Some(Operation::Mask(mask))
                    }
                    _ => {
                        let expected =
                            format!("one letter, digit, space or one of {}", MASK_CHARACTERS.replace(' ', ""));
                        self.fault(&child(&path, "MaskWithCharacter"), json.described(), expected);
                        None
                    }
                }
            }
            _ => None,
        }
    }
}

/// The first field of this name.
fn field<'a>(fields: Fields<'a>, key: &str) -> Option<&'a Json> {
    fields.iter().find(|(name, _)| name == key).map(|(_, json)| json)
}

fn child(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { format!("{path}.{key}") } else { format!("{path}[{}]", shown(key)) }
}

/// The name in the ARN of a managed data identifier, of any partition.
fn managed_name(text: &str) -> Option<&str> {
    let (partition, name) = text.strip_prefix("arn:")?.split_once(":dataprotection::aws:data-identifier/")?;
    (partition == "aws" || partition.starts_with("aws-")).then_some(name)
}

/// The managed data identifier whose name begins most like this one.
fn nearest(name: &str) -> Option<&'static str> {
    let alike = |known: &str| {
        known.bytes().zip(name.bytes()).take_while(|(known, given)| known.eq_ignore_ascii_case(given)).count()
    };
    let nearest = Managed::all().map(Managed::name).max_by_key(|known| alike(known))?;
    (alike(nearest) > 3).then_some(nearest)
}
