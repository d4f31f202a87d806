//! Data protection policies: AWS's JSON, checked as a whole, then compiled.
//!
//! Source: SNS Developer Guide, "Understanding data protection policies", "Data protection policy operations" and
//! "Using custom data identifiers". What AWS refuses is refused here. What the guide does not say is in [`crate::rules`].

use std::fmt;

use regex::{Regex, RegexBuilder};

use crate::identifiers::Managed;
use crate::json::{Json, shown};
use crate::principal::PrincipalPattern;

/// SNS API Reference, `PutDataProtectionPolicy`: at most 30,720 characters.
const LONGEST_POLICY: usize = 30_720;
const VERSION: &str = "2021-06-01";
const MOST_CUSTOM: usize = 10;
const LONGEST_NAME: usize = 128;
const LONGEST_REGEX: usize = 200;
/// Memory of one compiled regex.
const LARGEST_REGEX: usize = 2 << 20;
/// The characters of a regex besides letters and digits.
const REGEX_CHARACTERS: &str = "_#=@/;,- ^$?[]{}|\\*+.";
/// The characters to mask with besides letters and digits.
const MASK_CHARACTERS: &str = " !$%&()+,-./\\:;<=>@[]^_`|~#*";
const LOG_GROUP: &str = "/aws/vendedlogs/";

/// Names of AWS's managed identifiers that are not supported, without the country.
const UNSUPPORTED: [&str; 42] = [
    "Address",
    "BankAccountNumber",
    "CepCode",
    "Cnpj",
    "CpfCode",
    "CreditCardExpiration",
    "CreditCardMagneticStripe",
    "CreditCardSecurityCode",
    "DateOfBirth",
    "DriversLicense",
    "DrugEnforcementAgencyNumber",
    "ElectoralRollNumber",
    "HealthcareProcedureCode",
    "HealthInsuranceCardNumber",
    "HealthInsuranceClaimNumber",
    "HealthInsuranceNumber",
    "IndividualTaxIdentificationNumber",
    "IndividualTaxIdenticationNumber",
    "InseeCode",
    "LatLong",
    "MacAddress",
    "MedicareBeneficiaryNumber",
    "Name",
    "NationalDrugCode",
    "NationalIdentificationNumber",
    "NationalInsuranceNumber",
    "NationalProviderId",
    "NhsNumber",
    "NieNumber",
    "NifNumber",
    "PassportNumber",
    "PermanentResidenceNumber",
    "PersonalHealthNumber",
    "PhoneNumber",
    "PostalCode",
    "RgNumber",
    "SocialInsuranceNumber",
    "Ssn",
    "TaxId",
    "VehicleIdentificationNumber",
    "ZipCode",
    "IpAddress",
];

/// A policy without faults.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) name: String,
    pub(crate) statements: Vec<Statement>,
}

#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) direction: Direction,
    pub(crate) principals: Vec<PrincipalPattern>,
    pub(crate) identifiers: Vec<Identifier>,
    pub(crate) operation: Operation,
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
        let characters = text.chars().count();
        if characters > LONGEST_POLICY {
            check.fault("$", format!("{characters} characters long"), format!("at most {LONGEST_POLICY}"));
        }
        let policy = match serde_json::from_str::<Json>(text) {
            Ok(json) => check.policy(&json),
            Err(error) => {
                check.fault("$", format!("no JSON ({error})"), "a data protection policy");
                None
            }
        };
        match policy {
            Some(policy) if check.faults.is_empty() => Ok(policy),
            _ => Err(Faults(check.faults)),
        }
    }

    /// The paths of the statements of this direction, such as `$.Statement[0]`.
    pub fn statements_of(&self, direction: Direction) -> impl Iterator<Item = String> {
        let indexed = self.statements.iter().enumerate();
        indexed
            .filter(move |(_, statement)| statement.direction == direction)
            .map(|(index, _)| format!("$.Statement[{index}]"))
    }
}

#[derive(Default)]
struct Check {
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

    fn policy(&mut self, json: &Json) -> Option<Policy> {
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
        let statements = statements.iter().enumerate();
        let statements: Vec<_> =
            statements.filter_map(|(index, json)| self.statement(&format!("$.Statement[{index}]"), json)).collect();
        Some(Policy { name: name?.to_owned(), statements })
    }

    fn configuration(&mut self, json: &Json) {
        let path = "$.Configuration";
        let what = "an object with CustomDataIdentifier";
        let Some(fields) = self.object(path, json, &["CustomDataIdentifier"], what) else { return };
        let Some(list) = field(fields, "CustomDataIdentifier") else { return };
        let path = "$.Configuration.CustomDataIdentifier";
        let list = self.list(path, list, "an array of custom data identifiers");
        if list.len() > MOST_CUSTOM {
            self.fault(
                path,
                format!("an array of {}", list.len()),
                format!("at most {MOST_CUSTOM} custom data identifiers"),
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
        let expected = if name.len() > LONGEST_NAME || !name.bytes().all(allowed) {
            format!("1 to {LONGEST_NAME} letters, digits, hyphens and underscores")
        } else if is_managed_name(name) {
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
        if characters > LONGEST_REGEX {
            self.fault(path, format!("{characters} characters long"), format!("at most {LONGEST_REGEX}"));
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
        match RegexBuilder::new(text).size_limit(LARGEST_REGEX).dfa_size_limit(LARGEST_REGEX).build() {
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
        if let Some(sid) = field(fields, "Sid")
            && !matches!(sid, Json::Text(_))
        {
            self.fault(&child(path, "Sid"), sid.described(), "text");
        }
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
        let what = "an array of data identifiers";
        let identifiers = self.required(path, fields, "DataIdentifier", what);
        let identifiers = identifiers.map_or(&[][..], |list| self.list(&child(path, "DataIdentifier"), list, what));
        let identifiers = identifiers.iter().enumerate();
        let identifiers: Vec<_> = identifiers
            .filter_map(|(index, json)| {
                let path = format!("{path}.DataIdentifier[{index}]");
                let text =
                    self.text(&path, json, "the ARN of a managed data identifier, or the name of a custom one")?;
                self.identifier(&path, text)
            })
            .collect();
        let operation = self.required(path, fields, "Operation", "one of Audit, Deny, Deidentify");
        let operation = operation.and_then(|json| self.operation(&child(path, "Operation"), json));
        Some(Statement { direction: direction?, principals, identifiers, operation: operation? })
    }

    fn identifier(&mut self, path: &str, text: &str) -> Option<Identifier> {
        if let Some(name) = managed_name(text) {
            let managed = Managed::named(name);
            if managed.is_none() {
                let supported = Managed::ALL.map(Managed::name).join(", ");
                let seen = if is_managed_name(name) { format!("{name}, which is not supported") } else { shown(name) };
                self.fault(path, seen, format!("one of {supported}"));
            }
            return managed.map(Identifier::Managed);
        }
        if let Some(custom) = self.custom.iter().find(|custom| custom.name() == text) {
            return Some(custom.clone());
        }
        if !self.faulty.iter().any(|faulty| faulty == text) {
            let custom: Vec<_> = self.custom.iter().map(|custom| format!(" {},", custom.name())).collect();
            let expected = if is_managed_name(text) {
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
        let known = ["SampleRate", "FindingsDestination", "NoFindingsDestination"];
        let fields = self.object(path, json, &known, "an object with SampleRate")?;
        for key in &known[1..] {
            if let Some(destination) = field(fields, key) {
                self.destination(&child(path, key), destination);
            }
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
        let Some(fields) = self.object(path, json, &known, "an object with CloudWatchLogs, Firehose or S3") else {
            return;
        };
        for (service, key) in [("CloudWatchLogs", "LogGroup"), ("Firehose", "DeliveryStream"), ("S3", "Bucket")] {
            let Some(json) = field(fields, service) else { continue };
            let path = child(path, service);
            let what = format!("an object with {key}");
            let Some(fields) = self.object(&path, json, &[key], &what) else { continue };
            let Some(name) = self.required(&path, fields, key, "a name") else { continue };
            let path = child(&path, key);
            if let Some(name) = self.text(&path, name, "a name")
                && key == "LogGroup"
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

/// Whether AWS has a managed data identifier of this name, supported here or not.
fn is_managed_name(name: &str) -> bool {
    let stem = match name.rsplit_once('-') {
        Some((stem, country)) if country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase()) => stem,
        _ => name,
    };
    Managed::named(name).is_some() || UNSUPPORTED.contains(&stem)
}
