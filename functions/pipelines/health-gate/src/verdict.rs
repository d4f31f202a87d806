//! Decides what a stage may do. Pure: knows no AWS client, no clock, no environment.

use std::cmp::Reverse;
use std::fmt;

use aws_sdk_codepipeline::types::FailureType;
use aws_sdk_health::primitives::{DateTime, DateTimeFormat};
use aws_sdk_health::types::Event;
use gate_message::{Cause, GateMessage, ListedEvent, MESSAGE_LIMIT, SUMMARY_LIMIT};
use time::{Duration, OffsetDateTime};

use crate::config::{Config, OnUnfamiliar, OnUnknown};
use crate::health::Unknown;
use crate::token::{Token, TokenError};

/// What a stage may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What CodePipeline gets.
    pub answer: JobResult,
    /// How many events affect the stage.
    pub open_events: usize,
    /// Whether AWS Health answered.
    pub check: HealthCheck,
}

/// Whether AWS Health answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheck {
    /// It answered in full, for these Regions.
    Complete(Vec<String>),
    /// It was asked, and did not answer in full.
    Incomplete,
    /// It was not asked, or the answer does not count, because a person must correct something first.
    Skipped,
}

impl HealthCheck {
    /// The Regions that AWS Health answered for; none where it did not answer in full.
    #[must_use]
    pub fn regions(&self) -> &[String] {
        match self {
            Self::Complete(regions) => regions,
            Self::Incomplete | Self::Skipped => &[],
        }
    }
}

/// What AWS Health answered.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The events that were found.
    pub events: &'a [Event],
    /// Why AWS Health did not answer, or not in full.
    pub unknown: Option<&'a Unknown>,
    /// The Regions and services of the settings that are not known.
    pub unfamiliar: &'a Unfamiliar,
}

/// The Regions and services of the settings that are not known. No event is ever found for them, so a stage would pass
/// for a spelling mistake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unfamiliar {
    /// Not in the list of the Regions of this partition.
    pub regions: Vec<String>,
    /// AWS Health has no type of event for them.
    pub services: Vec<String>,
}

impl Unfamiliar {
    /// Whether all names are known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { regions, services } = self;
        regions.is_empty() && services.is_empty()
    }
}

impl fmt::Display for Unfamiliar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let regions = self.regions.iter().map(|region| format!("Region {region}"));
        let services = self.services.iter().map(|service| format!("service {service}"));
        f.write_str(&regions.chain(services).collect::<Vec<_>>().join(", "))
    }
}

impl Verdict {
    /// A failure before AWS Health was asked, which a person must fix.
    #[must_use]
    pub fn setup(kind: FailureType, reason: &str) -> Self {
        let answer = JobResult::fail(Cause::Setup, kind, reason);
        Self { answer, open_events: 0, check: HealthCheck::Skipped }
    }

    /// A failure because of names that are not known.
    #[must_use]
    pub fn unfamiliar(names: &Unfamiliar) -> Self {
        let reason = format!(
            "not known in this partition: {names}. No event is ever found for such a name. Correct it in UserParameters, \
             or in the settings of the function, and retry the stage; ON_UNFAMILIAR=warn is for a Region that is newer than \
             this version"
        );
        Self::setup(FailureType::ConfigurationError, &reason)
    }
}

/// What CodePipeline gets. Messages fit into the field that they are for.
#[derive(Debug, Clone, PartialEq)]
pub enum JobResult {
    /// The stage goes on.
    Pass {
        /// Why.
        message: GateMessage,
    },
    /// The stage is held: CodePipeline asks again with the token.
    Wait {
        /// Comes back with the next job.
        token: Token,
        /// The share of the wait that is over, 0 to 99.
        percent: i32,
        /// For what.
        message: GateMessage,
    },
    /// The stage fails.
    Fail {
        /// The class of the failure, as CodePipeline has it.
        kind: FailureType,
        /// Why, and what to do next.
        message: GateMessage,
    },
}

impl JobResult {
    /// A failure with that reason.
    #[must_use]
    pub fn fail(cause: Cause, kind: FailureType, reason: &str) -> Self {
        Self::Fail { kind, message: GateMessage::new(cause, reason).cut(MESSAGE_LIMIT) }
    }

    /// `pass`, `wait` or `fail`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "pass",
            Self::Wait { .. } => "wait",
            Self::Fail { .. } => "fail",
        }
    }

    /// The text for people.
    #[must_use]
    pub fn message(&self) -> &GateMessage {
        match self {
            Self::Pass { message } | Self::Wait { message, .. } | Self::Fail { message, .. } => message,
        }
    }
}

/// Decides.
///
/// - An event affects the stage unless its category, status, scope or service is one that the settings leave out, or it
///   is ignored by name. One that lacks such a field counts.
/// - While events affect it, the stage waits until `wait_minutes` are over since the first answer, then fails.
/// - Where none does but AWS Health did not answer in full (`unknown`), its last answer counts. If that had open events,
///   the stage waits, then fails, whatever `on_unknown` says. Otherwise `allow` lets it pass; `block` waits too, or fails
///   at once where waiting does not help (no support plan, no permission).
/// - A Region or service that is not known fails the stage, unless the settings say `ON_UNFAMILIAR=warn`.
/// - A token that cannot be used means that the wait is over: the stage passes or fails, and says so.
#[must_use]
pub fn decide(
    config: &Config,
    asked: &Asked<'_>,
    token: Option<Result<Token, TokenError>>,
    now: OffsetDateTime,
) -> Verdict {
    if config.on_unfamiliar == OnUnfamiliar::Fail && !asked.unfamiliar.is_empty() {
        return Verdict::unfamiliar(asked.unfamiliar);
    }
    let counting = asked.events.iter().filter(|event| counts(config, event));
    let (ignored, open): (Vec<_>, Vec<_>) = counting.partition(|event| is_ignored(config, event));
    let wait = Wait::of(config, token, now);
    let answer = match asked.unknown {
        _ if !open.is_empty() => blocked(config, &open, asked, &wait),
        None => pass(config, ignored.len(), asked, &wait),
        Some(unknown) => without_health(config, unknown, &wait),
    };
    let is_known = |region: &&String| !asked.unfamiliar.regions.contains(region);
    let check = match asked.unknown {
        None => HealthCheck::Complete(config.regions.iter().filter(is_known).cloned().collect()),
        Some(_) => HealthCheck::Incomplete,
    };
    Verdict { answer, open_events: open.len(), check }
}

fn blocked(config: &Config, open: &[&Event], asked: &Asked<'_>, wait: &Wait) -> JobResult {
    let mut newest_first = open.to_vec();
    newest_first.sort_by_key(|&event| (Reverse(event.start_time), event.arn.as_deref()));
    let events: Vec<_> = newest_first.into_iter().map(listed).collect();
    let perhaps_more = asked.unknown.map(|unknown| format!(" (perhaps more: {unknown})")).unwrap_or_default();
    let head = format!("{} in {}{perhaps_more}", count(open.len()), config.regions.join(", "));
    let unfamiliar = unfamiliar(asked);
    let message = |rest: &str| GateMessage::new(Cause::Transient, &format!("{head}{rest}{unfamiliar}"));
    if let Some((token, percent)) = wait.left(open.len()) {
        let message = message(&format!(": the stage waits{wait}")).with_events(events).cut(SUMMARY_LIMIT);
        return JobResult::Wait { token, percent, message };
    }
    let message = message(&format!(
        ": the stage fails{wait}. Retry it when they are closed, or add those you accept to IGNORE_EVENT_ARNS or \
         IGNORE_EVENT_TYPE_CODES"
    ));
    JobResult::Fail { kind: FailureType::JobFailed, message: message.with_events(events).cut(MESSAGE_LIMIT) }
}

fn pass(config: &Config, ignored: usize, asked: &Asked<'_>, wait: &Wait) -> JobResult {
    let regions = config.regions.join(", ");
    let ignored = if ignored == 0 { String::new() } else { format!(" ({ignored} ignored as the settings say)") };
    let unfamiliar = unfamiliar(asked);
    let reason = format!("no open event affects this stage in {regions}{ignored}{wait}{unfamiliar}");
    JobResult::Pass { message: GateMessage::new(Cause::Transient, &reason).cut(MESSAGE_LIMIT) }
}

/// A spelling mistake must not look like a healthy Region.
fn unfamiliar(asked: &Asked<'_>) -> String {
    if asked.unfamiliar.is_empty() {
        return String::new();
    }
    format!(". Unknown, so nothing is found for it: {}; check the spelling", asked.unfamiliar)
}

fn without_health(config: &Config, unknown: &Unknown, wait: &Wait) -> JobResult {
    let last_open = wait.token.map_or(0, |token| token.open);
    if config.on_unknown == OnUnknown::Allow && last_open == 0 {
        let reason = format!("the stage passes unchecked, because ON_UNKNOWN is allow: {unknown}");
        return JobResult::Pass { message: GateMessage::new(Cause::Transient, &reason).cut(MESSAGE_LIMIT) };
    }
    if let Some((token, percent)) = wait.left(last_open).filter(|_| unknown.is_transient()) {
        let reason = format!("the stage waits{wait}: {unknown}");
        let message = GateMessage::new(Cause::Transient, &reason).cut(SUMMARY_LIMIT);
        return JobResult::Wait { token, percent, message };
    }
    let kind = match unknown {
        Unknown::Subscription | Unknown::Denied(_) => FailureType::PermissionError,
        _ => FailureType::SystemUnavailable,
    };
    let advice = if last_open > 0 {
        format!("{} affected it when AWS Health last answered. Retry the stage later", count(last_open))
    } else {
        "With ON_UNKNOWN=allow a stage passes when AWS Health cannot be asked; otherwise correct this, and retry the stage"
            .to_owned()
    };
    let cause = if unknown.is_transient() { Cause::Transient } else { Cause::Setup };
    JobResult::fail(cause, kind, &format!("the stage fails{wait}: {unknown}. {advice}"))
}

/// Progress of the wait.
struct Wait {
    /// The state to go on from; none where there was no wait, or its token cannot be used.
    token: Option<Token>,
    refused: Option<TokenError>,
    now: OffsetDateTime,
    waited: Duration,
    limit: Duration,
}

impl Wait {
    fn of(config: &Config, token: Option<Result<Token, TokenError>>, now: OffsetDateTime) -> Self {
        let limit = Duration::minutes(config.wait_minutes.into());
        let (token, refused) = match token {
            None => (None, None),
            Some(Ok(token)) => (Some(token), None),
            Some(Err(refused)) => (None, Some(refused)),
        };
        Self { token, refused, now, waited: token.map_or(Duration::ZERO, |token| token.waited(now)), limit }
    }

    /// The next token and the share that is over, while there is something left to wait.
    fn left(&self, open: usize) -> Option<(Token, i32)> {
        let token = self.token.unwrap_or_else(|| Token::new(self.now, open)).seen(open);
        let percent = self.waited.whole_seconds() * 100 / self.limit.whole_seconds().max(1);
        let is_left = self.refused.is_none() && self.waited < self.limit;
        is_left.then(|| (token, i32::try_from(percent.clamp(0, 99)).unwrap_or(99)))
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.waited.is_zero() || !self.limit.is_zero() {
            write!(f, " ({} of {} minutes waited)", self.waited.whole_minutes(), self.limit.whole_minutes())?;
        }
        self.refused.iter().try_for_each(|refused| write!(f, " ({refused})"))
    }
}

/// The filter of DescribeEvents again, on our side: an account notification stays open for ever, and would hold the
/// stage for ever. The scope, and the services that are left out, are checked here alone.
fn counts(config: &Config, event: &Event) -> bool {
    event.event_type_category.as_ref().is_none_or(|category| config.categories.contains(category))
        && event.status_code.as_ref().is_none_or(|status| config.statuses.contains(status))
        && event.service.as_ref().is_none_or(|service| !config.excluded_services.contains(service))
        && (config.actionabilities.is_empty()
            || event.actionability.as_ref().is_none_or(|actionability| config.actionabilities.contains(actionability)))
        && (config.personas.is_empty()
            || event.personas().is_empty()
            || event.personas().iter().any(|persona| config.personas.contains(persona)))
        && (config.scopes.is_empty()
            || event.event_scope_code.as_ref().is_none_or(|scope| config.scopes.contains(scope)))
}

fn is_ignored(config: &Config, event: &Event) -> bool {
    event.arn.as_ref().is_some_and(|arn| config.ignore_event_arns.contains(arn))
        || event.event_type_code.as_ref().is_some_and(|code| {
            config.ignore_event_type_codes.iter().any(|ignored| match ignored.strip_suffix('*') {
                Some(start) => code.starts_with(start),
                None => code == ignored,
            })
        })
}

fn count(events: usize) -> String {
    let plural = if events == 1 { "event" } else { "events" };
    format!("{events} AWS Health {plural}")
}

fn listed(event: &Event) -> ListedEvent {
    let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "(unnamed)".to_owned());
    let start = event.start_time.and_then(|time| DateTime::from_secs(time.secs()).fmt(DateTimeFormat::DateTime).ok());
    let description = format!(
        "{} in {}: {}, {} since {}",
        text(&event.service),
        text(&event.region),
        text(&event.event_type_code),
        event.status_code.as_ref().map_or("open", |status| status.as_str()),
        start.as_deref().unwrap_or("(unknown)"),
    );
    ListedEvent::new(&description, event.arn.as_deref())
}

#[cfg(test)]
mod tests {
    use aws_sdk_health::types::{EventActionability, EventPersona, EventScopeCode, EventStatusCode, EventTypeCategory};
    use gatehouse_shared::env::Env;
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-08-13 08:00:00 UTC);

    fn config(table: &[(&str, &str)]) -> Config {
        let table: Vec<_> = table.iter().copied().chain([("AWS_REGION", "eu-west-1")]).collect();
        let env = Env::of_table(&table);
        env.read(Config::from_env).unwrap()
    }

    fn decide(
        config: &Config,
        events: &[Event],
        unknown: Option<&Unknown>,
        token: Option<Result<Token, TokenError>>,
        now: OffsetDateTime,
    ) -> Verdict {
        super::decide(config, &Asked { events, unknown, unfamiliar: &Unfamiliar::default() }, token, now)
    }

    fn event(id: i64) -> Event {
        Event::builder()
            .arn(format!("arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/ID_{id}"))
            .service("EC2")
            .region("eu-west-1")
            .event_type_code("AWS_EC2_OPERATIONAL_ISSUE")
            .event_type_category(EventTypeCategory::Issue)
            .status_code(EventStatusCode::Open)
            .event_scope_code(EventScopeCode::Public)
            .start_time(DateTime::from_secs(1_786_600_000 + id))
            .build()
    }

    /// `waited` in minutes.
    fn token(waited: i64, open: usize) -> Option<Result<Token, TokenError>> {
        Some(Ok(Token::new(NOW - Duration::minutes(waited), open)))
    }

    fn unreachable() -> Unknown {
        Unknown::Unreachable("connection refused".to_owned())
    }

    #[test]
    fn the_message_of_a_failed_stage() {
        let verdict = decide(&config(&[]), &[event(1), event(2)], None, None, NOW);
        let message = "[health-gate] 2 AWS Health events in eu-west-1, global: the stage fails. Retry it when they are closed, \
                       or add those you accept to IGNORE_EVENT_ARNS or IGNORE_EVENT_TYPE_CODES\n\
                       - EC2 in eu-west-1: AWS_EC2_OPERATIONAL_ISSUE, open since 2026-08-13T05:46:42Z, \
                       arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/ID_2\n\
                       - EC2 in eu-west-1: AWS_EC2_OPERATIONAL_ISSUE, open since 2026-08-13T05:46:41Z, \
                       arn:aws:health:eu-west-1::event/EC2/AWS_EC2_OPERATIONAL_ISSUE/ID_1";
        let expected = Verdict {
            answer: JobResult::Fail { kind: FailureType::JobFailed, message: message.parse().unwrap() },
            open_events: 2,
            check: HealthCheck::Complete(vec!["eu-west-1".to_owned(), "global".to_owned()]),
        };
        assert_eq!(verdict.answer.message().to_string(), message);
        assert_eq!(verdict, expected);
    }

    #[test]
    fn a_wait_from_beginning_to_end() {
        let config = config(&[("WAIT_MINUTES", "60")]);
        let first = decide(&config, &[event(1)], None, None, NOW);
        let JobResult::Wait { token: begun, percent: 0, message } = first.answer else { panic!("{first:?}") };
        assert_eq!(begun, Token::new(NOW, 1));
        assert!(message.to_string().starts_with(
            "[health-gate] 1 AWS Health event in eu-west-1, global: the stage waits (0 of 60 minutes waited)\n- EC2 in "
        ));

        for (waited, events, expected) in [
            (12, 2, "wait 20 % (12 of 60 minutes waited)"),
            (59, 1, "wait 98 % (59 of 60 minutes waited)"),
            (60, 1, "fail JobFailed (60 of 60 minutes waited)"),
            (61, 3, "fail JobFailed (61 of 60 minutes waited)"),
            (12, 0, "pass (12 of 60 minutes waited)"),
            (90, 0, "pass (90 of 60 minutes waited)"),
        ] {
            let events: Vec<_> = (0..events).map(event).collect();
            let verdict = decide(&config, &events, None, token(waited, 1), NOW);
            let (kind, rest) = expected.split_once(" (").unwrap();
            let seen = match &verdict.answer {
                JobResult::Pass { .. } => "pass".to_owned(),
                JobResult::Wait { percent, token, .. } => {
                    assert_eq!(*token, Token::new(NOW - Duration::minutes(waited), events.len()));
                    format!("wait {percent} %")
                }
                JobResult::Fail { kind, .. } => format!("fail {kind}"),
            };
            assert_eq!(seen, kind, "{expected}");
            assert!(verdict.answer.message().to_string().contains(rest), "{expected}: {}", verdict.answer.message());
        }
    }

    #[test]
    fn a_token_that_cannot_be_used_ends_the_wait_and_is_stated() {
        let config = config(&[("WAIT_MINUTES", "60")]);
        for (events, expected) in [(vec![event(1)], "fail"), (vec![], "pass")] {
            let verdict = decide(&config, &events, None, Some(Token::parse("token_ID", NOW)), NOW);
            assert_eq!(verdict.answer.name(), expected);
            assert!(
                verdict
                    .answer
                    .message()
                    .to_string()
                    .contains("the continuation token cannot be used, it is not one of this gate")
            );
        }
        let unknown = decide(&config, &[], Some(&unreachable()), Some(Token::parse("token_ID", NOW)), NOW);
        assert_eq!(unknown.answer.name(), "fail");
    }

    #[test]
    fn what_counts() {
        let with = |change: fn(&mut Event)| {
            let mut event = event(1);
            change(&mut event);
            event
        };
        let closed = with(|event| event.status_code = Some(EventStatusCode::Closed));
        let notification = with(|event| event.event_type_category = Some(EventTypeCategory::AccountNotification));
        let multiple = with(|event| event.service = Some("MULTIPLE_SERVICES".to_owned()));
        let informational = with(|event| event.actionability = Some(EventActionability::Informational));
        let for_two = with(|event| event.personas = Some(vec![EventPersona::Operations, EventPersona::Security]));
        let bare = Event::builder().build();
        for (settings, event, counts) in [
            (vec![], &event(1), 1),
            (vec![], &closed, 0),
            (vec![], &notification, 0),
            (vec![("CATEGORIES", "issue,accountNotification")], &notification, 1),
            (vec![], &multiple, 1),
            (vec![("SERVICES", "EC2")], &multiple, 1),
            (vec![("SERVICES", "EC2,-MULTIPLE_SERVICES")], &multiple, 0),
            (vec![("SERVICES", "-MULTIPLE_SERVICES")], &multiple, 0),
            (vec![("SERVICES", "-MULTIPLE_SERVICES")], &event(1), 1),
            (vec![("SCOPES", "PUBLIC")], &event(1), 1),
            (vec![("SCOPES", "ACCOUNT_SPECIFIC")], &event(1), 0),
            (vec![("IGNORE_EVENT_TYPE_CODES", "AWS_RDS_ISSUE,AWS_EC2_OPERATIONAL_ISSUE")], &event(1), 0),
            (vec![("IGNORE_EVENT_TYPE_CODES", "AWS_EC2")], &event(1), 1),
            (vec![("IGNORE_EVENT_TYPE_CODES", "AWS_EC2_*")], &event(1), 0),
            (vec![("IGNORE_EVENT_TYPE_CODES", "AWS_RDS_*")], &event(1), 1),
            (vec![("SERVICES", "-EC2")], &event(1), 0),
            (vec![("SERVICES", "-RDS")], &event(1), 1),
            (vec![("ACTIONABILITIES", "ACTION_REQUIRED")], &informational, 0),
            (vec![("ACTIONABILITIES", "ACTION_REQUIRED,INFORMATIONAL")], &informational, 1),
            (vec![("ACTIONABILITIES", "ACTION_REQUIRED")], &event(1), 1),
            (vec![("PERSONAS", "BILLING")], &for_two, 0),
            (vec![("PERSONAS", "BILLING,SECURITY")], &for_two, 1),
            (vec![("PERSONAS", "OPERATIONS"), ("ACTIONABILITIES", "ACTION_REQUIRED")], &informational, 0),
            (vec![("PERSONAS", "OPERATIONS")], &event(1), 1),
            (vec![("IGNORE_EVENT_ARNS", event(1).arn().unwrap())], &event(1), 0),
            (vec![("IGNORE_EVENT_ARNS", event(1).arn().unwrap())], &event(2), 1),
            // An event that lacks a field counts.
            (vec![("SCOPES", "PUBLIC"), ("IGNORE_EVENT_ARNS", event(1).arn().unwrap())], &bare, 1),
        ] {
            let verdict = decide(&config(&settings), std::slice::from_ref(event), None, None, NOW);
            assert_eq!(verdict.open_events, counts, "{settings:?} {event:?}");
            assert_eq!(verdict.answer.name(), if counts == 0 { "pass" } else { "fail" });
        }
    }

    #[test]
    fn the_troubles_of_the_account_stop_no_stage_unless_their_service_is_named() {
        for service in ["ABUSE", "RISK", "ACCOUNT", "BILLING", "SUPPORT", "SECURITY"] {
            let mut event = event(1);
            event.service = Some(service.to_owned());
            event.event_scope_code = Some(EventScopeCode::AccountSpecific);
            let named = format!("EC2,{service}");
            for (settings, answer) in [
                (vec![], "pass"),
                (vec![("SERVICES", "-EC2")], "pass"),
                (vec![("SERVICES", service)], "fail"),
                (vec![("SERVICES", named.as_str())], "fail"),
            ] {
                let verdict = decide(&config(&settings), std::slice::from_ref(&event), None, None, NOW);
                assert_eq!(verdict.answer.name(), answer, "{service} {settings:?}");
            }
        }
    }

    #[test]
    fn ignored_events_are_mentioned() {
        let config = config(&[("IGNORE_EVENT_TYPE_CODES", "AWS_EC2_OPERATIONAL_ISSUE")]);
        let verdict = decide(&config, &[event(1), event(2)], None, None, NOW);
        assert_eq!(
            verdict.answer.message().to_string(),
            "[health-gate] no open event affects this stage in eu-west-1, global (2 ignored as the settings say)"
        );
    }

    #[test]
    fn without_aws_health() {
        let denied = Unknown::Denied("no".to_owned());
        for (on_unknown, wait, unknown, token, expected) in [
            ("block", "0", &unreachable(), None, "fail SystemUnavailable"),
            ("block", "0", &Unknown::OutOfTime, None, "fail SystemUnavailable"),
            ("block", "0", &Unknown::Subscription, None, "fail PermissionError"),
            ("block", "60", &unreachable(), None, "wait 0"),
            ("block", "60", &Unknown::OutOfTime, token(30, 2), "wait 2"),
            ("block", "60", &unreachable(), token(60, 0), "fail SystemUnavailable"),
            // Waiting does not fix these.
            ("block", "60", &Unknown::Subscription, None, "fail PermissionError"),
            ("block", "60", &denied, token(30, 2), "fail PermissionError"),
            ("allow", "0", &unreachable(), None, "pass"),
            ("allow", "0", &Unknown::Subscription, None, "pass"),
            ("allow", "60", &unreachable(), token(30, 0), "pass"),
            // Open when it was last heard: one call that fails does not open the gate.
            ("allow", "60", &unreachable(), token(30, 2), "wait 2"),
            ("allow", "60", &unreachable(), token(60, 2), "fail SystemUnavailable"),
        ] {
            let config = config(&[("ON_UNKNOWN", on_unknown), ("WAIT_MINUTES", wait)]);
            let case = format!("{on_unknown} {wait} {unknown:?} {token:?}");
            let was_open = matches!(token, Some(Ok(token)) if token.open > 0);
            let verdict = decide(&config, &[], Some(unknown), token, NOW);
            let seen = match &verdict.answer {
                JobResult::Pass { .. } => "pass".to_owned(),
                JobResult::Wait { token, .. } => format!("wait {}", token.open),
                JobResult::Fail { kind, .. } => format!("fail {kind}"),
            };
            assert_eq!(seen, expected, "{case}");
            assert_eq!(verdict.check, HealthCheck::Incomplete, "{case}");
            let is_setup = verdict.answer.message().cause() == Cause::Setup;
            assert_eq!(is_setup, seen == "fail PermissionError", "{case}");
            let message = verdict.answer.message().to_string();
            assert!(message.contains(&unknown.to_string()), "{case}");
            if seen.starts_with("fail") {
                let advice = if was_open {
                    "2 AWS Health events affected it when AWS Health last answered"
                } else {
                    "With ON_UNKNOWN=allow"
                };
                assert!(message.contains(advice), "{case}: {message}");
            }
        }
    }

    #[test]
    fn the_lack_of_a_support_plan_says_what_to_buy_or_to_set() {
        let message = decide(&config(&[]), &[], Some(&Unknown::Subscription), None, NOW).answer.message().to_string();
        for part in
            ["SubscriptionRequiredException", "Business, Enterprise On-Ramp or Enterprise Support", "ON_UNKNOWN=allow"]
        {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn open_events_that_were_found_count_though_other_calls_failed() {
        let config = config(&[("ON_UNKNOWN", "allow")]);
        let verdict = decide(&config, &[event(1)], Some(&unreachable()), None, NOW);
        assert_eq!((verdict.answer.name(), verdict.open_events), ("fail", 1));
        assert!(verdict.answer.message().to_string().contains("(perhaps more: AWS Health cannot be reached"));
        assert_eq!(verdict.check, HealthCheck::Incomplete);
        assert_eq!(verdict.answer.message().cause(), Cause::Transient);
    }

    #[test]
    fn what_nobody_knows_is_named_in_each_answer() {
        let names = Unfamiliar { regions: vec!["eu-west-9".to_owned()], services: vec!["EC22".to_owned()] };
        let regions = "eu-west-1,eu-west-9";
        let named = ". Unknown, so nothing is found for it: Region eu-west-9, service EC22; check the spelling";
        for (wait, events, answer) in
            [("0", vec![], "pass"), ("0", vec![event(1)], "fail"), ("9", vec![event(1)], "wait")]
        {
            let asked = Asked { events: &events, unknown: None, unfamiliar: &names };
            let with = |on_unfamiliar| {
                let settings = [("WAIT_MINUTES", wait), ("ON_UNFAMILIAR", on_unfamiliar), ("REGIONS", regions)];
                super::decide(&config(&settings), &asked, None, NOW)
            };
            let verdict = with("warn");
            assert_eq!(verdict.answer.name(), answer);
            let message = verdict.answer.message().to_string();
            let first = message.lines().next().unwrap_or_default();
            assert!(first.ends_with(named), "{first}");
            assert_eq!(verdict.check.regions(), ["eu-west-1", "global"]);

            let verdict = with("fail");
            let message = verdict.answer.message().to_string();
            assert!(
                message
                    .starts_with("[health-gate:setup] not known in this partition: Region eu-west-9, service EC22. "),
                "{message}"
            );
            assert_eq!((verdict.answer.name(), verdict.check), ("fail", HealthCheck::Skipped));
        }
    }

    #[test]
    fn who_must_act_is_in_the_mark() {
        let refused = Unknown::Refused("no".to_owned());
        for (unknown, cause) in [
            (unreachable(), Cause::Transient),
            (Unknown::Throttled(String::new()), Cause::Transient),
            (Unknown::Interrupted(String::new()), Cause::Transient),
            (Unknown::Malformed(String::new()), Cause::Transient),
            (Unknown::OutOfTime, Cause::Transient),
            (refused, Cause::Setup),
            (Unknown::Denied(String::new()), Cause::Setup),
            (Unknown::Subscription, Cause::Setup),
        ] {
            let message = decide(&config(&[]), &[], Some(&unknown), None, NOW).answer.message().clone();
            assert_eq!(message.cause(), cause, "{message}");
        }
        let setup = Verdict::setup(FailureType::ConfigurationError, "why");
        assert_eq!(setup.answer.message().to_string(), "[health-gate:setup] why");
        assert_eq!((setup.check.regions(), &setup.check), (&[][..], &HealthCheck::Skipped));
    }

    proptest! {
        // Long texts are slow to make up.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_answer_fits_whatever_aws_health_says(
            texts in proptest::collection::vec("\\PC{0,1200}", 0..8), reason in "\\PC{0,6000}", wait in 0_i64..90,
        ) {
            let events: Vec<_> = texts.iter().map(|text| Event::builder().arn(text).service(text).build()).collect();
            let config = config(&[("WAIT_MINUTES", "60")]);
            for unknown in [None, Some(&Unknown::Malformed(reason))] {
                for events in [events.as_slice(), &[]] {
                    let answer = decide(&config, events, unknown, token(wait, 1), NOW).answer;
                    let limit = if matches!(answer, JobResult::Wait { .. }) { SUMMARY_LIMIT } else { MESSAGE_LIMIT };
                    prop_assert_eq!(answer.message().cause(), Cause::Transient);
                    prop_assert!(answer.message().to_string().len() <= limit);
                }
            }
        }
    }
}
