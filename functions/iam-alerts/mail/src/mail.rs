//! What people read.

use std::fmt::Write as _;

use gatehouse_shared::notify::{LONGEST_MESSAGE, LONGEST_SUBJECT};
use gatehouse_shared::region::Region;
use gatehouse_shared::text::{one_line, shorten, visible};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::content::readable;
use crate::event::Event;
use crate::principal::Principal;
use crate::record::{Record, is_true};

/// Characters of one value, such as a user agent, on its line.
const LONGEST_VALUE: usize = 1_000;
/// Characters of the name of a call in the subject. The longest of IAM today has 44.
const LONGEST_EVENT_NAME: usize = 50;

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// One line of printable ASCII, as SNS takes it.
    pub subject: String,
    /// Plain text, no longer than SNS takes.
    pub text: String,
}

/// The mail about one call.
#[must_use]
pub fn about(event: &Event, record: &Record) -> Mail {
    let principal = Principal::of(record.user_identity.as_ref());
    let account = account(event, record);
    Mail {
        subject: subject(&record.event_name, record.has_failed(), &principal.short, account),
        text: limited(text(event, record, &principal, account)),
    }
}

/// The mail about a record that is not as documented: the event as it is, without secrets.
#[must_use]
pub fn as_it_is(event: &Event, reason: &str) -> Mail {
    let account = event.account.as_deref().unwrap_or("an unknown account");
    let mut text = format!(
        "EventBridge delivered an event of {} that Gatehouse does not understand ({}). Here it is as it is.\n\n",
        value(&event.source),
        value(reason)
    );
    line(&mut text, "Account", event.account.as_deref());
    line(&mut text, "Type", Some(&event.detail_type));
    line(&mut text, "EventBridge event id", event.id.as_deref());
    text.push('\n');
    text.push_str(&block(&event.detail));
    Mail {
        subject: ascii(&format!("Gatehouse iam-alerts: an event that is not understood in {}", one_line(account))),
        text: limited(text),
    }
}

/// What, who and where. The name of the call and the account are kept whole; who called is cut where it is too long.
fn subject(event_name: &str, has_failed: bool, who: &str, account: &str) -> String {
    let event_name = shortened(event_name, LONGEST_EVENT_NAME);
    let failed = if has_failed { " FAILED" } else { "" };
    let before = format!("Gatehouse iam-alerts: {event_name}{failed} by ");
    let after = format!(" in {}", shortened(account, 20));
    let room = LONGEST_SUBJECT.saturating_sub(before.len() + after.len());
    ascii(&format!("{before}{}{after}", shortened(who, room)))
}

/// As [`shorten`], in the ASCII of a subject.
fn shortened(text: &str, most: usize) -> String {
    let text = ascii(&one_line(text));
    if text.len() <= most {
        return text;
    }
    format!("{}...", &text[..most.saturating_sub(3)])
}

/// SNS API Reference, `Publish`: a subject is ASCII text without control characters, of less than 100 characters.
fn ascii(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().map(printable).take(LONGEST_SUBJECT).collect()
}

fn account<'a>(event: &'a Event, record: &'a Record) -> &'a str {
    let caller = record.user_identity.as_ref().and_then(|identity| identity.account_id.as_deref());
    record.recipient_account_id.as_deref().or(event.account.as_deref()).or(caller).unwrap_or("an unknown account")
}

/// First what a person must know to decide whether to get up; then all that the record says of it.
fn text(event: &Event, record: &Record, principal: &Principal, account: &str) -> String {
    let mut text = String::new();
    let who = capitalized(&value(&principal.long));
    let (call, in_account) = (value(&record.event_name), value(account));
    let ended = match record.error_code.as_deref() {
        Some(code) => format!(". The call FAILED: {}.", value(code)),
        None if record.has_failed() => ". The call FAILED.".to_owned(),
        None => ".".to_owned(),
    };
    let _ = writeln!(text, "{who} called {call} in the account {in_account}{ended}\n");
    if principal.is_root {
        text.push_str("Nobody needs the root user for daily work. If nobody planned this, act now.\n\n");
    }

    line(&mut text, "What", Some(&what(record)));
    line(&mut text, "On what", on_what(record).as_deref().or(Some("not in the record")));
    if record.has_failed() {
        line(&mut text, "Error", Some(&error(record)));
    }
    line(&mut text, "When", Some(&when(event, record)));
    line(&mut text, "Account", Some(account));
    who_lines(&mut text, record, principal);
    line(&mut text, "From", record.source_ip_address.as_deref());
    line(&mut text, "With", record.user_agent.as_deref());

    text.push('\n');
    match console_link(event, record) {
        Some(link) => {
            let _ = writeln!(
                text,
                "The record in CloudTrail, in the console of this account (it can take some minutes to be there):\n{link}\n"
            );
        }
        None => text.push_str("Look for the record in the event history of CloudTrail, in this account.\n\n"),
    }
    line(&mut text, "CloudTrail event id", record.event_id.as_deref());
    line(&mut text, "EventBridge event id", event.id.as_deref());
    text.push_str("A second mail with the same ids is about the same call: an event can be delivered twice.\n");

    let contents = [
        ("Request", &record.request_parameters),
        ("Answer", &record.response_elements),
        ("More", &record.additional_event_data),
        ("Details", &record.service_event_details),
    ];
    for (title, content) in contents {
        if let Some(content) = content.as_ref().filter(|content| !content.is_null()) {
            let _ = write!(text, "\n{title}:\n{}", block(content));
        }
    }
    text
}

fn what(record: &Record) -> String {
    match record.event_source.as_deref() {
        Some(source) => format!("{} ({source})", record.event_name),
        None => record.event_name.clone(),
    }
}

/// The names in the request: what is text or a number and no document. Where the request has none, those in the answer.
fn on_what(record: &Record) -> Option<String> {
    let names = |content: Option<&Value>| {
        let fields = content?.as_object()?;
        let named: Vec<String> = fields
            .iter()
            .filter_map(|(name, value)| match value {
                Value::String(text) => Some(format!("{name} {text}")),
                Value::Number(number) => Some(format!("{name} {number}")),
                Value::Bool(flag) => Some(format!("{name} {flag}")),
                _ => None,
            })
            .collect();
        (!named.is_empty()).then(|| named.join(", "))
    };
    let request = record.request_parameters.as_ref().map(readable);
    let answer = record.response_elements.as_ref().map(readable);
    let of_answer = || {
        let made = answer.as_ref()?.as_object()?.values().next();
        names(made)
    };
    names(request.as_ref()).or_else(of_answer)
}

fn error(record: &Record) -> String {
    let parts = [record.error_code.as_deref(), record.error_message.as_deref()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// To the second, in UTC; as it is where it is no time.
fn when(event: &Event, record: &Record) -> String {
    let Some(time) = record.event_time.as_deref() else { return "not in the record".to_owned() };
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    let parsed = OffsetDateTime::parse(time, &Rfc3339).ok();
    let written = parsed.and_then(|time| time.to_utc().format(&format).ok()).unwrap_or_else(|| time.to_owned());
    match &record.aws_region.as_ref().or(event.region.as_ref()) {
        Some(region) => format!("{written}, recorded in {region}"),
        None => written,
    }
}

fn who_lines(text: &mut String, record: &Record, principal: &Principal) {
    line(text, "Who", Some(&principal.long));
    let Some(identity) = &record.user_identity else { return };
    let session = identity.session_context.as_ref();
    let issuer = session.and_then(|session| session.session_issuer.as_ref());
    line(text, "ARN", identity.arn.as_deref());
    line(text, "Role or user behind it", issuer.and_then(|issuer| issuer.arn.as_deref()));
    line(text, "Source identity", session.and_then(|session| session.source_identity.as_deref()));
    if identity.account_id != record.recipient_account_id && record.recipient_account_id.is_some() {
        line(text, "Account of the caller", identity.account_id.as_deref());
    }
    line(text, "Through the AWS service", identity.invoked_by.as_deref());
    line(text, "Access key", identity.access_key_id.as_deref());
    let attributes = session.and_then(|session| session.attributes.as_ref());
    if let Some(mfa) = attributes.and_then(|attributes| attributes.mfa_authenticated.as_ref()) {
        line(text, "Signed in with MFA", Some(if is_true(Some(mfa)) { "yes" } else { "no" }));
    }
}

/// The page of the record in the console of CloudTrail; `None` for partitions whose console is not known here, and for an
/// id that does not belong into a URL.
fn console_link(event: &Event, record: &Record) -> Option<String> {
    let id = record.event_id.as_deref()?;
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return None;
    }
    let region: Region = record.aws_region.as_deref().or(event.region.as_deref())?.parse().ok()?;
    let host = match region.partition() {
        "aws" => format!("{region}.console.aws.amazon.com"),
        "aws-cn" => format!("{region}.console.amazonaws.cn"),
        "aws-us-gov" => format!("{region}.console.amazonaws-us-gov.com"),
        "aws-eusc" => format!("{region}.console.amazonaws-eusc.eu"),
        _ => return None,
    };
    Some(format!("https://{host}/cloudtrailv2/home?region={region}#/events/{id}"))
}

/// `<name>: <value>`, where there is a value.
fn line(text: &mut String, name: &str, content: Option<&str>) {
    if let Some(content) = content.filter(|content| !content.is_empty()) {
        let _ = writeln!(text, "{name}: {}", value(content));
    }
}

/// A value on one line, with what cannot be seen written out.
fn value(text: &str) -> String {
    shorten(&visible(text), LONGEST_VALUE)
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    // The name of a person or a role keeps its letters: only an article is written with a capital.
    match chars.next() {
        Some(first) if ["the ", "a ", "an "].iter().any(|article| text.starts_with(article)) => {
            format!("{}{}", first.to_ascii_uppercase(), chars.as_str())
        }
        _ => text.to_owned(),
    }
}

/// A value as JSON that people can read.
fn block(content: &Value) -> String {
    let json = serde_json::to_string_pretty(&readable(content)).unwrap_or_else(|_| content.to_string());
    json.lines().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{}", visible(line));
        text
    })
}

/// The text, cut where SNS would not take it, with a note that says so.
fn limited(mut text: String) -> String {
    const ROOM_FOR_NOTE: usize = 200;
    if text.len() > LONGEST_MESSAGE {
        let whole = text.len();
        text.truncate(text.floor_char_boundary(LONGEST_MESSAGE - ROOM_FOR_NOTE));
        let _ = write!(
            text,
            "\n\nCUT HERE: this mail would have {whole} bytes, and SNS takes {LONGEST_MESSAGE}. The whole record is in \
             CloudTrail.\n"
        );
    }
    text
}
