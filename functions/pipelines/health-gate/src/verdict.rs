//! Decides what a stage may do. Pure: knows no AWS client, no clock, no environment.

use std::cmp::Reverse;
use std::fmt::{self, Write as _};

use aws_sdk_codepipeline::types::FailureType;
use aws_sdk_health::primitives::{DateTime, DateTimeFormat};
use aws_sdk_health::types::Event;
use time::{Duration, OffsetDateTime};

use crate::config::{Config, MULTIPLE_SERVICES, OnUnknown};
use crate::health::Unknown;
use crate::token::{Token, TokenError};

/// How each message begins, but those with [`SETUP_MARK`]. People see by it who failed a stage, and the retry function
/// that another attempt may pass.
pub const MARK: &str = "[health-gate] ";

/// How a message begins where waiting does not help and a person must act: settings, support plan, rights, a fault of
/// the gate. The retry function never retries such a stage.
pub const SETUP_MARK: &str = "[health-gate:setup] ";

/// CodePipeline accepts this many characters in `FailureDetails.message`. Counted in bytes here, which is never fewer.
///
/// Source: CodePipeline API Reference, FailureDetails.
pub const MESSAGE_LIMIT: usize = 5_000;

/// CodePipeline accepts this many in `ExecutionDetails.summary`.
///
/// Source: CodePipeline API Reference, ExecutionDetails.
pub const SUMMARY_LIMIT: usize = 2_048;

/// What a stage may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What CodePipeline gets.
    pub answer: Answer,
    /// How many events affect the stage.
    pub open_events: usize,
    /// Whether AWS Health was asked and did not answer in full.
    pub unknown: bool,
    /// Whether AWS Health answered in full.
    pub checked: bool,
    /// The Regions that it answered for; empty where it did not answer in full.
    pub checked_regions: Vec<String>,
}

/// What AWS Health answered.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The events that were found.
    pub events: &'a [Event],
    /// Why AWS Health did not answer, or not in full.
    pub unknown: Option<&'a Unknown>,
    /// The Regions and services of the settings that nobody knows, in words.
    pub unfamiliar: &'a [String],
}

impl Verdict {
    /// A failure before AWS Health was asked, which a person must mend.
    #[must_use]
    pub fn setup(kind: FailureType, reason: &str) -> Self {
        let answer = Answer::fail(SETUP_MARK, kind, reason);
        Self { answer, open_events: 0, unknown: false, checked: false, checked_regions: Vec::new() }
    }
}

/// What CodePipeline gets. Messages are for people: they start with [`MARK`] or [`SETUP_MARK`] and have at most
/// [`MESSAGE_LIMIT`] bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The stage goes on.
    Pass {
        /// Why.
        message: String,
    },
    /// The stage is held: CodePipeline asks again with the token.
    Wait {
        /// Comes back with the next job.
        token: Token,
        /// The share of the wait that is over, 0 to 99.
        percent: i32,
        /// For what.
        message: String,
    },
    /// The stage fails.
    Fail {
        /// The class of the failure, as CodePipeline has it.
        kind: FailureType,
        /// Why, and what to do next.
        message: String,
    },
}

impl Answer {
    /// A failure with that reason, after [`MARK`] or [`SETUP_MARK`].
    #[must_use]
    pub fn fail(mark: &str, kind: FailureType, reason: &str) -> Self {
        Self::Fail { kind, message: cut(&format!("{mark}{reason}"), MESSAGE_LIMIT) }
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
    pub fn message(&self) -> &str {
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
/// - A token that cannot be used means that the wait is over: the stage passes or fails, and says so.
#[must_use]
pub fn decide(
    config: &Config,
    asked: &Asked<'_>,
    token: Option<Result<Token, TokenError>>,
    now: OffsetDateTime,
) -> Verdict {
    let counting = asked.events.iter().filter(|event| counts(config, event));
    let (ignored, open): (Vec<_>, Vec<_>) = counting.partition(|event| is_ignored(config, event));
    let wait = Wait::of(config, token, now);
    let answer = match asked.unknown {
        _ if !open.is_empty() => blocked(config, &open, asked, &wait),
        None => pass(config, ignored.len(), asked, &wait),
        Some(unknown) => without_health(config, unknown, &wait),
    };
    let checked = asked.unknown.is_none();
    let checked_regions = if checked { config.regions.clone() } else { Vec::new() };
    Verdict { answer, open_events: open.len(), unknown: !checked, checked, checked_regions }
}

fn blocked(config: &Config, open: &[&Event], asked: &Asked<'_>, wait: &Wait) -> Answer {
    let mut newest_first = open.to_vec();
    newest_first.sort_by_key(|&event| (Reverse(event.start_time), event.arn.as_deref()));
    let lines: Vec<_> = newest_first.into_iter().map(line).collect();
    let mut head = format!("{MARK}{} in {}", count(open.len()), config.regions.join(", "));
    if let Some(unknown) = asked.unknown {
        let _ = write!(head, " (perhaps more: {unknown})");
    }
    let unfamiliar = unfamiliar(asked);
    if let Some((token, percent)) = wait.left(open.len()) {
        let _ = write!(head, ": the stage waits{wait}{unfamiliar}");
        return Answer::Wait { token, percent, message: listing(&head, &lines, SUMMARY_LIMIT) };
    }
    let _ = write!(
        head,
        ": the stage fails{wait}. Retry it when they are closed, or add those you accept to IGNORE_EVENT_ARNS or \
         IGNORE_EVENT_TYPE_CODES{unfamiliar}"
    );
    Answer::Fail { kind: FailureType::JobFailed, message: listing(&head, &lines, MESSAGE_LIMIT) }
}

fn pass(config: &Config, ignored: usize, asked: &Asked<'_>, wait: &Wait) -> Answer {
    let regions = config.regions.join(", ");
    let ignored = if ignored == 0 { String::new() } else { format!(" ({ignored} ignored as the settings say)") };
    let unfamiliar = unfamiliar(asked);
    let message = format!("{MARK}no open event affects this stage in {regions}{ignored}{wait}{unfamiliar}");
    Answer::Pass { message: cut(&message, MESSAGE_LIMIT) }
}

/// A spelling mistake must not look like a healthy Region.
fn unfamiliar(asked: &Asked<'_>) -> String {
    match asked.unfamiliar {
        [] => String::new(),
        names => format!(". Unknown, so nothing is found for it: {}; check the spelling", names.join(", ")),
    }
}

fn without_health(config: &Config, unknown: &Unknown, wait: &Wait) -> Answer {
    let last_open = wait.token.map_or(0, |token| token.open);
    if config.on_unknown == OnUnknown::Allow && last_open == 0 {
        let message = format!("{MARK}the stage passes unchecked, because ON_UNKNOWN is allow: {unknown}");
        return Answer::Pass { message: cut(&message, MESSAGE_LIMIT) };
    }
    if let Some((token, percent)) = wait.left(last_open).filter(|_| unknown.may_pass()) {
        let message = format!("{MARK}the stage waits{wait}: {unknown}");
        return Answer::Wait { token, percent, message: cut(&message, SUMMARY_LIMIT) };
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
    let mark = if unknown.may_pass() { MARK } else { SETUP_MARK };
    Answer::fail(mark, kind, &format!("the stage fails{wait}: {unknown}. {advice}"))
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
/// stage for ever. The scope, and all services but MULTIPLE_SERVICES, are checked here alone.
fn counts(config: &Config, event: &Event) -> bool {
    event.event_type_category.as_ref().is_none_or(|category| config.categories.contains(category))
        && event.status_code.as_ref().is_none_or(|status| config.statuses.contains(status))
        && (config.multiple_services || event.service() != Some(MULTIPLE_SERVICES))
        && (config.scopes.is_empty()
            || event.event_scope_code.as_ref().is_none_or(|scope| config.scopes.contains(scope)))
}

fn is_ignored(config: &Config, event: &Event) -> bool {
    event.arn.as_ref().is_some_and(|arn| config.ignore_event_arns.contains(arn))
        || event.event_type_code.as_ref().is_some_and(|code| config.ignore_event_type_codes.contains(code))
}

fn count(events: usize) -> String {
    let plural = if events == 1 { "event" } else { "events" };
    format!("{events} AWS Health {plural}")
}

fn line(event: &Event) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "(unnamed)".to_owned());
    let start = event.start_time.and_then(|time| DateTime::from_secs(time.secs()).fmt(DateTimeFormat::DateTime).ok());
    format!(
        "{} in {}: {}, {} since {}, {}",
        text(&event.service),
        text(&event.region),
        text(&event.event_type_code),
        event.status_code.as_ref().map_or("open", |status| status.as_str()),
        start.as_deref().unwrap_or("(unknown)"),
        text(&event.arn),
    )
}

/// The head and as many whole lines as fit into `limit` bytes; what is left out is counted.
fn listing(head: &str, lines: &[String], limit: usize) -> String {
    let more = |left: usize| if left == 0 { String::new() } else { format!("\n- and {left} more") };
    let mut text = cut(head, limit - more(lines.len()).len());
    for (index, line) in lines.iter().enumerate() {
        let left = lines.len() - index;
        if text.len() + "\n- ".len() + line.len() + more(left - 1).len() > limit {
            text.push_str(&more(left));
            break;
        }
        let _ = write!(text, "\n- {line}");
    }
    text
}

/// At most `limit` bytes of a text; what was cut off is an ellipsis.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(limit - '…'.len_utf8())])
}

#[cfg(test)]
mod tests {
    use aws_sdk_health::types::{EventScopeCode, EventStatusCode, EventTypeCategory};
    use gatehouse_shared::env::Env;
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-08-13 08:00:00 UTC);

    fn config(table: &[(&str, &str)]) -> Config {
        let table: Vec<_> = table.iter().copied().chain([("AWS_REGION", "eu-west-1")]).collect();
        let env = Env::of_table(&table);
        env.finish(Config::from_env(&env)).unwrap()
    }

    fn decide(
        config: &Config,
        events: &[Event],
        unknown: Option<&Unknown>,
        token: Option<Result<Token, TokenError>>,
        now: OffsetDateTime,
    ) -> Verdict {
        super::decide(config, &Asked { events, unknown, unfamiliar: &[] }, token, now)
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
            answer: Answer::Fail { kind: FailureType::JobFailed, message: message.to_owned() },
            open_events: 2,
            unknown: false,
            checked: true,
            checked_regions: vec!["eu-west-1".to_owned(), "global".to_owned()],
        };
        assert_eq!(verdict, expected);
    }

    #[test]
    fn a_wait_from_beginning_to_end() {
        let config = config(&[("WAIT_MINUTES", "60")]);
        let first = decide(&config, &[event(1)], None, None, NOW);
        let Answer::Wait { token: begun, percent: 0, message } = first.answer else { panic!("{first:?}") };
        assert_eq!(begun, Token::new(NOW, 1));
        assert!(message.starts_with(
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
                Answer::Pass { .. } => "pass".to_owned(),
                Answer::Wait { percent, token, .. } => {
                    assert_eq!(*token, Token::new(NOW - Duration::minutes(waited), events.len()));
                    format!("wait {percent} %")
                }
                Answer::Fail { kind, .. } => format!("fail {kind}"),
            };
            assert_eq!(seen, kind, "{expected}");
            assert!(verdict.answer.message().contains(rest), "{expected}: {}", verdict.answer.message());
        }
    }

    #[test]
    fn a_token_that_cannot_be_used_ends_the_wait_and_is_stated() {
        let config = config(&[("WAIT_MINUTES", "60")]);
        for (events, expected) in [(vec![event(1)], "fail"), (vec![], "pass")] {
            let verdict = decide(&config, &events, None, Some(Token::parse("token_ID", NOW)), NOW);
            assert_eq!(verdict.answer.name(), expected);
            assert!(
                verdict.answer.message().contains("the continuation token cannot be used, it is not one of this gate")
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
    fn ignored_events_are_mentioned() {
        let config = config(&[("IGNORE_EVENT_TYPE_CODES", "AWS_EC2_OPERATIONAL_ISSUE")]);
        let verdict = decide(&config, &[event(1), event(2)], None, None, NOW);
        assert_eq!(
            verdict.answer.message(),
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
            // Nobody mends these by waiting.
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
                Answer::Pass { .. } => "pass".to_owned(),
                Answer::Wait { token, .. } => format!("wait {}", token.open),
                Answer::Fail { kind, .. } => format!("fail {kind}"),
            };
            assert_eq!(seen, expected, "{case}");
            assert!(verdict.unknown && !verdict.checked && verdict.checked_regions.is_empty(), "{case}");
            let is_setup = verdict.answer.message().starts_with(SETUP_MARK);
            assert_eq!(is_setup, seen == "fail PermissionError", "{case}");
            let message = verdict.answer.message();
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
        let message = decide(&config(&[]), &[], Some(&Unknown::Subscription), None, NOW).answer.message().to_owned();
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
        assert_eq!((verdict.answer.name(), verdict.open_events, verdict.unknown), ("fail", 1, true));
        assert!(verdict.answer.message().contains("(perhaps more: AWS Health cannot be reached"));
        assert!(!verdict.checked && verdict.checked_regions.is_empty());
        assert!(verdict.answer.message().starts_with(MARK));
    }

    #[test]
    fn what_nobody_knows_is_named_in_each_answer() {
        let names = ["Region eu-west-9".to_owned(), "service EC22".to_owned()];
        let named = ". Unknown, so nothing is found for it: Region eu-west-9, service EC22; check the spelling";
        for (wait, events, answer) in
            [("0", vec![], "pass"), ("0", vec![event(1)], "fail"), ("9", vec![event(1)], "wait")]
        {
            let asked = Asked { events: &events, unknown: None, unfamiliar: &names };
            let verdict = super::decide(&config(&[("WAIT_MINUTES", wait)]), &asked, None, NOW);
            assert_eq!(verdict.answer.name(), answer);
            let first = verdict.answer.message().lines().next().unwrap_or_default();
            assert!(first.ends_with(named), "{first}");
        }
    }

    #[test]
    fn who_must_act_is_in_the_mark() {
        let refused = Unknown::Refused("no".to_owned());
        for (unknown, mark) in [
            (unreachable(), MARK),
            (Unknown::Throttled(String::new()), MARK),
            (Unknown::Malformed(String::new()), MARK),
            (Unknown::OutOfTime, MARK),
            (refused, SETUP_MARK),
            (Unknown::Denied(String::new()), SETUP_MARK),
            (Unknown::Subscription, SETUP_MARK),
        ] {
            let message = decide(&config(&[]), &[], Some(&unknown), None, NOW).answer.message().to_owned();
            assert!(message.starts_with(mark), "{message}");
        }
        let setup = Verdict::setup(FailureType::ConfigurationError, "why");
        assert_eq!(setup.answer.message(), "[health-gate:setup] why");
        assert!(!setup.checked && !setup.unknown && setup.checked_regions.is_empty());
    }

    #[test]
    fn a_listing_has_every_line_that_fits() {
        let lines = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (limit, items, expected) in [
            (28, lines(&["a line of 22 letters.."]), "head\n- and 1 more"),
            (29, lines(&["a line of 22 letters.."]), "head\n- a line of 22 letters.."),
            // The number of those left out must fit as well.
            (33, lines(&["first of three", "a long second one", "third"]), "head\n- and 3 more"),
            (34, lines(&["first of three", "a long second one", "third"]), "head\n- first of three\n- and 2 more"),
        ] {
            let text = listing("head", &items, limit);
            assert_eq!(text, expected, "{limit}");
            assert!(text.len() <= limit, "{}", text.len());
        }
    }

    proptest! {
        // Long texts are slow to make up.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_listing_is_never_too_long_and_counts_what_it_leaves_out(
            head in "\\PC{0,3000}",
            lines in proptest::collection::vec("\\PC{0,800}", 0..12),
            many in 0_usize..400,
            limit in proptest::sample::select(vec![SUMMARY_LIMIT, MESSAGE_LIMIT]),
        ) {
            let lines: Vec<_> = lines.into_iter().chain(std::iter::repeat_n("EC2 in eu-west-1".to_owned(), many)).collect();
            let text = listing(&format!("{MARK}{head}"), &lines, limit);
            prop_assert!(text.len() <= limit);
            prop_assert!(text.starts_with(MARK));
            let mut items = text.split("\n- ").skip(1).collect::<Vec<_>>();
            let left_out = match items.last().and_then(|item| item.strip_prefix("and ")?.strip_suffix(" more")) {
                Some(count) => { items.pop(); count.parse::<usize>().unwrap() }
                None => 0,
            };
            prop_assert_eq!(items.len() + left_out, lines.len());
            prop_assert!(items.iter().zip(&lines).all(|(item, line)| item == line));
        }

        #[test]
        fn every_answer_fits_whatever_aws_health_says(
            texts in proptest::collection::vec("\\PC{0,1200}", 0..8), reason in "\\PC{0,6000}", wait in 0_i64..90,
        ) {
            let events: Vec<_> = texts.iter().map(|text| Event::builder().arn(text).service(text).build()).collect();
            let config = config(&[("WAIT_MINUTES", "60")]);
            for unknown in [None, Some(&Unknown::Malformed(reason))] {
                for events in [events.as_slice(), &[]] {
                    let answer = decide(&config, events, unknown, token(wait, 1), NOW).answer;
                    let limit = if matches!(answer, Answer::Wait { .. }) { SUMMARY_LIMIT } else { MESSAGE_LIMIT };
                    prop_assert!(answer.message().starts_with(MARK) && answer.message().len() <= limit);
                }
            }
        }
    }
}
