//! Settings: the function's environment, overridden by the action's UserParameters.

use aws_sdk_health::types::{EventActionability, EventPersona, EventScopeCode, EventStatusCode, EventTypeCategory};
use gatehouse_shared::chat::ChatTopic;
use gatehouse_shared::env::{Env, Reader, SettingsError};
use gatehouse_shared::one_of;
use gatehouse_shared::region::Region;
use gatehouse_shared::sns::TopicArn;
use serde_json::{Map, Value};

/// The Region that AWS Health reports for events of global services, such as IAM or Route 53.
pub(crate) const GLOBAL: &str = "global";

/// The service that AWS Health reports for an event that hits many: the large outages have this one and no other.
pub(crate) const MULTIPLE_SERVICES: &str = "MULTIPLE_SERVICES";

/// Services that speak of the account's own troubles: abuse reports, leaked keys, a bill that is not paid. Their events
/// have the category `issue` and stay open for weeks, and none of them says that AWS is unwell, so they count only where
/// the settings name the service.
pub(crate) const SERVICES_OF_THE_ACCOUNT: [&str; 6] = ["ABUSE", "RISK", "ACCOUNT", "BILLING", "SUPPORT", "SECURITY"];

/// CodePipeline ends a Lambda action after 24 hours, with a message of its own. A wait must be over before.
///
/// Source: CodePipeline User Guide, "Quotas in AWS CodePipeline".
const MAX_WAIT_MINUTES: u32 = 1_400;

/// The keys of UserParameters; in capitals, the environment variables.
pub(crate) const KEYS: [&str; 13] = [
    "regions",
    "services",
    "categories",
    "statuses",
    "scopes",
    "actionabilities",
    "personas",
    "ignore_event_type_codes",
    "ignore_event_arns",
    "wait_minutes",
    "on_unknown",
    "on_unfamiliar",
    LABEL,
];

/// The key of UserParameters that is no setting of the function.
const LABEL: &str = "label";

/// A label is for a mail and a line of a log.
const MAX_LABEL_CHARS: usize = 200;

/// Settings, read from the environment at cold start. Each field is the variable of the same name in capitals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Regions whose events count, such as `eu-west-1`. `global` is one of them unless the list names `-global`;
    /// the function's own Region where the list names no other.
    pub regions: Vec<String>,
    /// Services in the spelling of AWS Health, such as `EC2`; empty means all but those left out. `MULTIPLE_SERVICES` is
    /// one of them unless the list names `-MULTIPLE_SERVICES`.
    pub services: Vec<String>,
    /// Services whose events do not count: those that the list names with a minus, such as `-EC2`, and those of the
    /// account's own troubles that it does not name.
    pub excluded_services: Vec<String>,
    /// Kinds of event that count. An `accountNotification` stays open for ever.
    pub categories: Vec<EventTypeCategory>,
    /// States of an event that count.
    pub statuses: Vec<EventStatusCode>,
    /// Who an event concerns, to count; empty means all.
    pub scopes: Vec<EventScopeCode>,
    /// Whether an event must call for action, to count; empty means any.
    pub actionabilities: Vec<EventActionability>,
    /// For whom an event must be, to count; empty means anyone.
    pub personas: Vec<EventPersona>,
    /// Event types that are known and accepted, such as `AWS_EC2_INSTANCE_STOP_SCHEDULED`, or `AWS_EC2_*` for all that
    /// begin like this.
    pub ignore_event_type_codes: Vec<String>,
    /// Events that are known and accepted.
    pub ignore_event_arns: Vec<String>,
    /// How long a stage is held before it fails, counted from the first answer; 0 fails at once.
    pub wait_minutes: u32,
    /// What to answer when AWS Health cannot be asked.
    pub on_unknown: OnUnknown,
    /// What to do about a Region or a service that is not known.
    pub on_unfamiliar: OnUnfamiliar,
    /// What the action says of itself, such as the id of its pipeline execution; for the log and the notification.
    pub label: Option<String>,
    /// The topic that gets a message when a stage begins to wait. Not for UserParameters.
    pub notify_topic_arn: Option<TopicArn>,
    /// The same for Amazon Q Developer in chat applications. Not for UserParameters.
    pub chat_topic: Option<ChatTopic>,
    /// The Region of this function.
    own_region: String,
}

/// What to answer when AWS Health cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// Hold the stage, then fail it.
    Block,
    /// Let the stage pass.
    Allow,
}

one_of!(OnUnknown: "block" => Block, "allow" => Allow);

/// What to do about a Region or a service that is not known, for which no event is ever found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnfamiliar {
    /// Fail the stage.
    Fail,
    /// Name it in the message.
    Warn,
}

one_of!(OnUnfamiliar: "fail" => Fail, "warn" => Warn);

impl Config {
    /// Reads the settings.
    #[must_use]
    pub fn from_env(env: &Reader<'_>) -> Option<Self> {
        let own_region = env.text("AWS_REGION").unwrap_or_default();
        if own_region.parse::<Region>().is_err() {
            env.fault("AWS_REGION", &own_region, "expected the Region of this function, which Lambda sets");
        }
        let defaults = Self {
            regions: with_catch_all(vec![own_region.clone()], GLOBAL),
            services: Vec::new(),
            excluded_services: SERVICES_OF_THE_ACCOUNT.map(str::to_owned).to_vec(),
            categories: vec![EventTypeCategory::Issue],
            statuses: vec![EventStatusCode::Open],
            scopes: Vec::new(),
            actionabilities: Vec::new(),
            personas: Vec::new(),
            ignore_event_type_codes: Vec::new(),
            ignore_event_arns: Vec::new(),
            wait_minutes: 0,
            on_unknown: OnUnknown::Block,
            on_unfamiliar: OnUnfamiliar::Fail,
            label: None,
            notify_topic_arn: env.parsed("NOTIFY_TOPIC_ARN"),
            chat_topic: ChatTopic::from_env(env),
            own_region,
        };
        Some(defaults.overridden(env, str::to_owned))
    }

    /// The settings of one action: these, but where its UserParameters say otherwise.
    ///
    /// UserParameters are a JSON object with the names of the settings in lower case, or a list of Regions. A list is
    /// a JSON list or text with commas. The key `label` is no setting of the function. A null, an empty text and an empty list are the same as none.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the UserParameters, in one error; an unknown key is wrong too.
    pub fn for_action(&self, user_parameters: Option<&str>) -> Result<Self, SettingsError> {
        let text = user_parameters.unwrap_or_default().trim();
        let (parameters, fault) = match parse(text) {
            Ok(parameters) => (parameters, None),
            Err(error) => (Map::new(), Some(format!("expected a JSON object, or a list of Regions: {error}"))),
        };
        let check = |env: &Reader<'_>| {
            if let Some(reason) = fault {
                env.fault("UserParameters", text, &reason);
            }
            for (key, value) in &parameters {
                let text = plain(value);
                let shown = text.clone().unwrap_or_else(|| value.to_string());
                if !KEYS.contains(&key.as_str()) {
                    env.fault(key, &shown, &unknown_key(key));
                } else if text.is_none() && !value.is_null() {
                    env.fault(key, &shown, "expected a text, a number, or a list of texts");
                }
            }
            let label = env.text(LABEL).map(|label| label.chars().take(MAX_LABEL_CHARS).collect());
            Some(Self { label, ..self.clone().overridden(env, str::to_ascii_lowercase) })
        };
        Env::of(|key| plain(parameters.get(key)?)).read(check)
    }

    /// The Regions that do not exist in the partition of this function, as far as this version knows. The function's own
    /// one does exist.
    pub(crate) fn unfamiliar_regions(&self) -> Vec<String> {
        let own = self.own_region.parse::<Region>().map(|own| own.partition());
        let is_of_partition = |region: Region| region.is_known() && Ok(region.partition()) == own;
        let exists =
            |name: &str| name == GLOBAL || name == self.own_region || name.parse::<Region>().is_ok_and(is_of_partition);
        self.regions.iter().filter(|name| !exists(name)).cloned().collect()
    }

    /// `format_name` turns the name of a variable into the one that `env` knows.
    fn overridden(self, env: &Reader<'_>, format_name: fn(&str) -> String) -> Self {
        let regions = list(
            env,
            &format_name("REGIONS"),
            "a Region such as eu-west-1; -global leaves out global services",
            region,
        );
        let services = list(
            env,
            &format_name("SERVICES"),
            "a service in the spelling of AWS Health, such as EC2, or -EC2 to leave it out",
            service,
        );
        let (services, excluded_services) = match services {
            None => (self.services, self.excluded_services),
            Some(services) => {
                for both in services.iter().filter(|service| services.contains(&format!("-{service}"))) {
                    env.fault(&format_name("SERVICES"), both, "expected the service or -service, not both");
                }
                chosen_services(services)
            }
        };
        Self {
            regions: regions.map_or(self.regions, |mut regions| {
                if regions.iter().all(|region| region.starts_with('-')) {
                    regions.insert(0, self.own_region.clone());
                }
                with_catch_all(regions, GLOBAL)
            }),
            services,
            excluded_services,
            categories: list(
                env,
                &format_name("CATEGORIES"),
                "issue, accountNotification or scheduledChange",
                // AWS's documentation: "the investigation value isn't supported at this time".
                |text| {
                    let category = EventTypeCategory::try_parse(text).ok();
                    category.filter(|category| *category != EventTypeCategory::Investigation)
                },
            )
            .unwrap_or(self.categories),
            statuses: list(env, &format_name("STATUSES"), "open, closed or upcoming", |text| {
                EventStatusCode::try_parse(text).ok()
            })
            .unwrap_or(self.statuses),
            scopes: list(env, &format_name("SCOPES"), "PUBLIC or ACCOUNT_SPECIFIC", |text| {
                EventScopeCode::try_parse(text).ok().filter(|scope| *scope != EventScopeCode::None)
            })
            .unwrap_or(self.scopes),
            actionabilities: list(
                env,
                &format_name("ACTIONABILITIES"),
                "ACTION_REQUIRED, ACTION_MAY_BE_REQUIRED or INFORMATIONAL",
                |text| EventActionability::try_parse(text).ok(),
            )
            .unwrap_or(self.actionabilities),
            personas: list(env, &format_name("PERSONAS"), "OPERATIONS, SECURITY or BILLING", |text| {
                EventPersona::try_parse(text).ok()
            })
            .unwrap_or(self.personas),
            ignore_event_type_codes: list(
                env,
                &format_name("IGNORE_EVENT_TYPE_CODES"),
                "an event type code such as AWS_EC2_OPERATIONAL_ISSUE, or the start of several such as AWS_EC2_*",
                |text| is_name(text.strip_suffix('*').unwrap_or(text)).then(|| text.to_owned()),
            )
            .unwrap_or(self.ignore_event_type_codes),
            ignore_event_arns: list(
                env,
                &format_name("IGNORE_EVENT_ARNS"),
                "an ARN such as arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/AWS_EC2_OPERATIONAL_ISSUE_VKTXI",
                |text| (text.starts_with("arn:") && text.contains(":health:")).then(|| text.to_owned()),
            )
            .unwrap_or(self.ignore_event_arns),
            wait_minutes: env.within(&format_name("WAIT_MINUTES"), 0..=MAX_WAIT_MINUTES).unwrap_or(self.wait_minutes),
            on_unknown: env.parsed(&format_name("ON_UNKNOWN")).unwrap_or(self.on_unknown),
            on_unfamiliar: env.parsed(&format_name("ON_UNFAMILIAR")).unwrap_or(self.on_unfamiliar),
            label: self.label,
            notify_topic_arn: self.notify_topic_arn,
            chat_topic: self.chat_topic,
            own_region: self.own_region,
        }
    }
}

/// A list, item by item; none where it is unset, so that what was set before stays.
fn list<T>(env: &Reader<'_>, name: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let items = env.list::<String>(name)?;
    let checked = items.iter().filter_map(|item| {
        let value = parse(item);
        if value.is_none() {
            env.fault(name, item, &format!("expected {expected}"));
        }
        value
    });
    Some(checked.collect())
}

fn region(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    (text.strip_prefix('-').unwrap_or(&text) == GLOBAL || text.parse::<Region>().is_ok()).then_some(text)
}

// AWS Health compares with its own names, which are in capitals: `ec2` would find nothing, and the gate would pass.
fn service(text: &str) -> Option<String> {
    let text = text.to_ascii_uppercase();
    let named = text.strip_prefix('-').unwrap_or(&text);
    ((2..=30).contains(&named.len()) && is_name(named)).then_some(text)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn parse(user_parameters: &str) -> Result<Map<String, Value>, serde_json::Error> {
    if user_parameters.starts_with('{') {
        return serde_json::from_str(user_parameters);
    }
    if user_parameters.starts_with(['[', '"']) {
        return Ok(Map::from_iter([("regions".to_owned(), serde_json::from_str(user_parameters)?)]));
    }
    let regions = user_parameters.split(|c: char| c == ',' || c.is_whitespace()).collect::<Vec<_>>().join(",");
    Ok(Map::from_iter([("regions".to_owned(), regions.into())]))
}

/// A JSON value as a setting is written in the environment.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        // 30.0 is how some templates write 30.
        Value::Number(number) => {
            let whole = number.as_f64().filter(|value| number.is_f64() && value.fract() == 0.0);
            Some(whole.map_or_else(|| number.to_string(), |value| format!("{value:.0}")))
        }
        Value::Array(items) => items.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(|texts| texts.join(",")),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

fn unknown_key(key: &str) -> String {
    let near = KEYS
        .iter()
        .map(|known| (strsim::jaro_winkler(known, &key.to_ascii_lowercase()), known))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .filter(|(likeness, _)| *likeness > 0.8)
        .map(|(_, known)| format!("did you mean {known}? "))
        .unwrap_or_default();
    format!("unknown key; {near}expected one of {}", KEYS.join(", "))
}

/// The services that count, empty for all, and those that do not.
fn chosen_services(list: Vec<String>) -> (Vec<String>, Vec<String>) {
    let of_the_account =
        SERVICES_OF_THE_ACCOUNT.into_iter().filter(|service| !list.iter().any(|named| named == service));
    let mut excluded: Vec<_> = list.iter().filter_map(|service| service.strip_prefix('-')).map(str::to_owned).collect();
    for service in of_the_account {
        if !excluded.iter().any(|known| known == service) {
            excluded.push(service.to_owned());
        }
    }
    let names_none = list.iter().all(|service| service.starts_with('-'));
    let services = if names_none { Vec::new() } else { with_catch_all(list, MULTIPLE_SERVICES) };
    (services, excluded)
}

/// The list without repetitions and with the value that stands for events that name no single one, unless the list
/// names it with a minus.
fn with_catch_all(list: Vec<String>, catch_all: &str) -> Vec<String> {
    let excluded = list.iter().any(|item| item.strip_prefix('-') == Some(catch_all));
    let catch_all = (!excluded).then(|| catch_all.to_owned());
    let mut unique = Vec::new();
    for item in list.into_iter().filter(|item| !item.starts_with('-')).chain(catch_all) {
        if !unique.contains(&item) {
            unique.push(item);
        }
    }
    unique
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment(table: &[(&str, &str)]) -> Result<Config, SettingsError> {
        let table: Vec<_> = table.iter().copied().chain([("AWS_REGION", "eu-west-1")]).collect();
        let env = Env::of_table(&table);
        env.read(Config::from_env)
    }

    #[test]
    fn the_defaults_are_those_of_the_readme() {
        let expected = Config {
            regions: vec!["eu-west-1".to_owned(), "global".to_owned()],
            services: vec![],
            excluded_services: ["ABUSE", "RISK", "ACCOUNT", "BILLING", "SUPPORT", "SECURITY"]
                .map(str::to_owned)
                .to_vec(),
            categories: vec![EventTypeCategory::Issue],
            statuses: vec![EventStatusCode::Open],
            scopes: vec![],
            actionabilities: vec![],
            personas: vec![],
            ignore_event_type_codes: vec![],
            ignore_event_arns: vec![],
            wait_minutes: 0,
            on_unknown: OnUnknown::Block,
            on_unfamiliar: OnUnfamiliar::Fail,
            label: None,
            notify_topic_arn: None,
            chat_topic: None,
            own_region: "eu-west-1".to_owned(),
        };
        assert_eq!(environment(&[]), Ok(expected.clone()));
        for none in [None, Some(""), Some("  "), Some("{}"), Some(r#"{"regions": null, "services": [], "scopes": ""}"#)]
        {
            assert_eq!(expected.for_action(none), Ok(expected.clone()), "{none:?}");
        }
    }

    #[test]
    fn lists_of_regions_and_services() {
        for (regions, expected) in [
            ("us-east-1", "us-east-1 global"),
            ("us-east-1, eu-central-1,us-east-1", "us-east-1 eu-central-1 global"),
            ("us-east-1,-global", "us-east-1"),
            ("-global", "eu-west-1"),
            ("global", "global"),
            ("global,us-east-1", "global us-east-1"),
            ("US-EAST-1,Global", "us-east-1 global"),
            ("us-gov-west-1,cn-north-1,eusc-de-east-1", "us-gov-west-1 cn-north-1 eusc-de-east-1 global"),
        ] {
            let in_environment = environment(&[("REGIONS", regions)]).unwrap();
            assert_eq!(in_environment.regions.join(" "), expected, "{regions}");
            let config = environment(&[("REGIONS", "ap-south-1,-global")]).unwrap();
            for parameters in [regions.to_owned(), regions.replace(',', " "), format!("{{\"regions\":\"{regions}\"}}")]
            {
                assert_eq!(config.for_action(Some(&parameters)).unwrap().regions.join(" "), expected, "{parameters}");
            }
        }
        let account = "ABUSE RISK ACCOUNT BILLING SUPPORT SECURITY";
        for (services, expected, excluded) in [
            ("EC2", "EC2 MULTIPLE_SERVICES", account.to_owned()),
            ("ec2,lambda", "EC2 LAMBDA MULTIPLE_SERVICES", account.to_owned()),
            ("EC2,-MULTIPLE_SERVICES", "EC2", format!("MULTIPLE_SERVICES {account}")),
            ("MULTIPLE_SERVICES", "MULTIPLE_SERVICES", account.to_owned()),
            // No filter means all services; those events are left out afterwards.
            ("-MULTIPLE_SERVICES", "", format!("MULTIPLE_SERVICES {account}")),
            ("-ec2,-RDS", "", format!("EC2 RDS {account}")),
            ("-ABUSE", "", "ABUSE RISK ACCOUNT BILLING SUPPORT SECURITY".to_owned()),
            ("EC2,ABUSE", "EC2 ABUSE MULTIPLE_SERVICES", "RISK ACCOUNT BILLING SUPPORT SECURITY".to_owned()),
        ] {
            let config = environment(&[("SERVICES", services)]).unwrap();
            let seen = (config.services.join(" "), config.excluded_services.join(" "));
            assert_eq!(seen, (expected.to_owned(), excluded), "{services}");
            let again = config.for_action(Some(r#"{"services": "EC2"}"#)).unwrap();
            let seen = (again.services.join(" "), again.excluded_services.join(" "));
            assert_eq!(seen, ("EC2 MULTIPLE_SERVICES".to_owned(), account.to_owned()));
            assert_eq!(config.for_action(None), Ok(config));
        }
        let both = environment(&[("SERVICES", "EC2,-EC2")]).unwrap_err().to_string();
        assert_eq!(both, "invalid settings: SERVICES is \"EC2\": expected the service or -service, not both");
    }

    #[test]
    fn every_json_form_of_regions_and_numbers_is_understood() {
        let config = environment(&[]).unwrap();
        for parameters in [
            r#"["us-east-1", "ap-south-1"]"#,
            r#"  ["us-east-1,ap-south-1"] "#,
            r#""us-east-1, ap-south-1""#,
            r#"{"regions": ["us-east-1", "ap-south-1"]}"#,
        ] {
            let regions = config.for_action(Some(parameters)).unwrap().regions.join(" ");
            assert_eq!(regions, "us-east-1 ap-south-1 global", "{parameters}");
        }
        for (minutes, expected) in [("30", 30), ("30.0", 30), ("3e1", 30), (r#""30""#, 30), ("0.0", 0)] {
            let parameters = format!(r#"{{"wait_minutes": {minutes}}}"#);
            assert_eq!(config.for_action(Some(&parameters)).unwrap().wait_minutes, expected, "{minutes}");
        }
        for refused in [r#"[1]"#, r#"["us-east-1""#, r#"{"wait_minutes": 1.5}"#, r#"{"wait_minutes": 1e300}"#] {
            assert!(config.for_action(Some(refused)).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_label_is_of_the_action_alone() {
        let config = environment(&[("LABEL", "of the function"), ("label", "of the function")]).unwrap();
        assert_eq!(config.label, None);
        let label = |parameters: &str| config.for_action(Some(parameters)).unwrap().label;
        assert_eq!(label(r#"{"label": "8bdcdf4b-2dd1"}"#).as_deref(), Some("8bdcdf4b-2dd1"));
        assert_eq!(label(&format!(r#"{{"label": "{}"}}"#, "ü".repeat(900))).map(|it| it.chars().count()), Some(200));
    }

    #[test]
    fn a_region_that_does_not_exist_in_the_partition_is_unfamiliar() {
        for (own, regions, expected) in [
            ("eu-west-1", "eu-west-1,global,us-east-1", ""),
            ("eu-west-1", "eu-wset-1,us-east-1", "eu-wset-1"),
            ("eu-west-1", "eu-isoe-west-1,cn-north-1,us-gov-west-1", "eu-isoe-west-1 cn-north-1 us-gov-west-1"),
            ("cn-north-1", "cn-northwest-1,us-east-1", "us-east-1"),
            // Newer than the list, and it runs there.
            ("eu-south-9", "eu-south-9,eu-south-8", "eu-south-8"),
        ] {
            let env = [("AWS_REGION", own), ("REGIONS", regions)];
            let env = Env::of_table(&env);
            let config = env.read(Config::from_env).unwrap();
            assert_eq!(config.unfamiliar_regions().join(" "), expected, "{own} {regions}");
        }
    }

    #[test]
    fn user_parameters_override_the_environment_name_by_name() {
        let config = environment(&[("SERVICES", "EC2"), ("WAIT_MINUTES", "30"), ("ON_UNKNOWN", "allow")]).unwrap();
        let action = config.for_action(Some(
            r#"{
                "regions": ["us-east-1", "-global"], "categories": "issue,scheduledChange", "statuses": ["open", "upcoming"],
                "scopes": ["ACCOUNT_SPECIFIC"], "actionabilities": "ACTION_REQUIRED", "personas": ["OPERATIONS"], "on_unfamiliar": "warn", "ignore_event_type_codes": "AWS_EC2_OPERATIONAL_ISSUE",
                "ignore_event_arns": ["arn:aws:health:us-east-1::event/EC2/A/A_1"], "wait_minutes": 45, "on_unknown": "block"
            }"#,
        ));
        let expected = Config {
            regions: vec!["us-east-1".to_owned()],
            categories: vec![EventTypeCategory::Issue, EventTypeCategory::ScheduledChange],
            statuses: vec![EventStatusCode::Open, EventStatusCode::Upcoming],
            scopes: vec![EventScopeCode::AccountSpecific],
            actionabilities: vec![EventActionability::ActionRequired],
            personas: vec![EventPersona::Operations],
            on_unfamiliar: OnUnfamiliar::Warn,
            ignore_event_type_codes: vec!["AWS_EC2_OPERATIONAL_ISSUE".to_owned()],
            ignore_event_arns: vec!["arn:aws:health:us-east-1::event/EC2/A/A_1".to_owned()],
            wait_minutes: 45,
            on_unknown: OnUnknown::Block,
            ..config.clone()
        };
        assert_eq!(action, Ok(expected));
        assert_eq!(config.for_action(Some(r#"{"wait_minutes": "7"}"#)).unwrap().wait_minutes, 7);
    }

    #[test]
    fn a_fault_names_the_setting_the_value_and_what_was_expected() {
        for (name, value, expected) in [
            ("REGIONS", "eu-west", "a Region such as eu-west-1"),
            ("REGIONS", "us-east-1,-eu-west-1", "a Region such as eu-west-1"),
            ("SERVICES", "Amazon EC2", "a service in the spelling of AWS Health"),
            ("SERVICES", "--EC2", "a service in the spelling of AWS Health"),
            ("ACTIONABILITIES", "URGENT", "ACTION_REQUIRED, ACTION_MAY_BE_REQUIRED or INFORMATIONAL"),
            ("PERSONAS", "OPERATIONS,MANAGERS", "OPERATIONS, SECURITY or BILLING"),
            ("CATEGORIES", "issues", "issue, accountNotification or scheduledChange"),
            ("CATEGORIES", "issue,investigation", "issue, accountNotification or scheduledChange"),
            ("STATUSES", "Open", "open, closed or upcoming"),
            ("SCOPES", "NONE", "PUBLIC or ACCOUNT_SPECIFIC"),
            ("IGNORE_EVENT_TYPE_CODES", "AWS_*_ISSUE", "an event type code"),
            ("IGNORE_EVENT_TYPE_CODES", "*", "an event type code"),
            ("IGNORE_EVENT_ARNS", "AWS_EC2_OPERATIONAL_ISSUE", "an ARN such as"),
            ("WAIT_MINUTES", "1441", "a whole number from 0 to 1400"),
            ("WAIT_MINUTES", "-1", "a whole number"),
            ("WAIT_MINUTES", "1.5", "a whole number"),
            ("ON_UNKNOWN", "ignore", "block or allow"),
            ("ON_UNFAMILIAR", "ignore", "fail or warn"),
        ] {
            let wrong = value.rsplit(',').next().unwrap();
            let error = environment(&[(name, value)]).unwrap_err().to_string();
            let start = format!("invalid settings: {name} is {wrong:?}: expected {expected}");
            assert!(error.starts_with(&start), "{error}");

            let key = name.to_ascii_lowercase();
            let parameters = format!(r#"{{"{key}": "{value}"}}"#);
            let error = environment(&[]).unwrap().for_action(Some(&parameters)).unwrap_err().to_string();
            assert!(error.starts_with(&start.replace(name, &key)), "{error}");
        }
        let env = Env::of_table(&[("NOTIFY_TOPIC_ARN", "people")]);
        let missing = env.read(Config::from_env).unwrap_err().to_string();
        assert!(missing.contains(r#"NOTIFY_TOPIC_ARN is "people": expected arn:"#), "{missing}");
        assert!(missing.contains(r#"AWS_REGION is """#), "{missing}");
    }

    #[test]
    fn every_fault_of_user_parameters_is_reported_at_once() {
        let config = environment(&[]).unwrap();
        let error = |parameters| config.for_action(Some(parameters)).unwrap_err().to_string();
        let all =
            error(r#"{"region": "eu-west-1", "wait_minutes": true, "statuses": {"open": 1}, "services": ["EC2", 5]}"#);
        for part in [
            "invalid settings: ",
            "region is \"eu-west-1\": unknown key; did you mean regions? expected one of regions, services, categories, \
             statuses, scopes, actionabilities, personas, ignore_event_type_codes, ignore_event_arns, wait_minutes, \
             on_unknown, on_unfamiliar, label",
            "services is \"[\\\"EC2\\\",5]\": expected a text, a number, or a list of texts",
            "statuses is \"{\\\"open\\\":1}\": expected a text, a number, or a list of texts",
            "wait_minutes is \"true\": expected a text, a number, or a list of texts",
        ] {
            assert!(all.contains(part), "{all}\nlacks\n{part}");
        }
        assert!(error(r#"{"REGIONS": "eu-west-1"}"#).contains("did you mean regions?"));
        assert!(error(r#"{"notify_topic_arn": "arn"}"#).contains("unknown key"));
        assert!(error(r#"{"x": 1}"#).contains("unknown key; expected one of"));
        assert!(error("input_parameter").contains(r#"regions is "input_parameter": expected a Region"#));
        assert!(error(r#"{"regions": "#).contains("UserParameters is "));
    }

    proptest! {
        #[test]
        fn any_user_parameters_are_read_or_refused_without_a_panic(
            text in "\\PC{0,60}", key in proptest::sample::select(KEYS.to_vec()), value in "\\PC{0,30}",
        ) {
            let config = environment(&[]).unwrap();
            let parameters = serde_json::json!({ key: value }).to_string();
            for parameters in [text.as_str(), value.as_str(), parameters.as_str()] {
                if let Ok(config) = config.for_action(Some(parameters)) {
                    prop_assert!(!config.regions.is_empty() && config.wait_minutes <= MAX_WAIT_MINUTES);
                }
            }
        }
    }
}
