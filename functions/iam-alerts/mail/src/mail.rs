//! What people read.

use std::fmt::Write as _;

use gatehouse_shared::console;
use gatehouse_shared::harmless::harmless;
use gatehouse_shared::notify::{MAX_MESSAGE_LENGTH, MAX_SUBJECT_LENGTH, Notification};
use gatehouse_shared::region::Region;
use gatehouse_shared::text::{one_line, shorten, visible};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::content::{LEFT_OUT, document, is_secret, readable};
use crate::event::Event;
use crate::principal::Principal;
use crate::record::{Record, SessionContext, UserIdentity, is_true};
use crate::report::AlertReport;

/// Characters of one value, such as a user agent, on its line.
const MAX_VALUE_LENGTH: usize = 1_000;
/// Characters of a name, an ARN or an id of what was changed. IAM's longest ARNs have 2,048.
const MAX_NAME_LENGTH: usize = 2_048;
/// Characters of another value of the request, such as a certificate, on the line of what was changed.
const MAX_OTHER_LENGTH: usize = 255;
/// Characters of the line of what was changed. Names come first.
const MAX_ON_WHAT_LENGTH: usize = 8_192;
/// Characters that are left for who called, in a subject. The longest name of a call, with `FAILED`, leaves 6.
const ROOM_FOR_WHO: usize = 6;

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
        text: limited(explained(text(event, record, &principal, account))),
    }
}

/// Characters of what was changed, on the line of one call of many.
const MAX_OF_MANY_LENGTH: usize = 60;

/// The mail about calls that failed in the same way: who, what and why as in a mail about the first of them, and the time,
/// the target and the ids of each.
#[must_use]
pub fn about_all(events: &[Event]) -> Mail {
    let calls: Vec<(&Event, Record)> =
        events.iter().filter_map(|event| Some((event, Record::of(&event.detail).ok()?))).collect();
    let Some((first, record)) = calls.first() else { return as_it_is(&events[0], "a batch without a record") };
    let principal = Principal::of(record.user_identity.as_ref());
    let account = account(first, record);
    let name = format!("{} x {}", calls.len(), record.event_name);
    let mut all = format!("{} calls failed in the same way. Each, in the order in which they came:\n", calls.len());
    let short = |text: Option<&str>, most| shorten(&value(text.unwrap_or("-")), most);
    for (event, record) in &calls {
        let _ = writeln!(
            all,
            "- {}: {} from {}, CloudTrail event id {}, EventBridge event id {}",
            short(record.event_time.as_deref(), 40),
            short(on_what(record).as_deref(), MAX_OF_MANY_LENGTH),
            short(record.source_ip_address.as_deref(), 45),
            short(record.event_id.as_deref(), 64),
            short(event.id.as_deref(), 64),
        );
    }
    all.push_str("\nThe first of them:\n\n");
    all.push_str(&text(first, record, &principal, account));
    Mail { subject: subject(&name, true, &principal.short, account), text: limited(explained(all)) }
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
        text: limited(explained(text)),
    }
}

/// The mail with what chat shows of it. Each has a thread of its own: an alert that is a reply to another one is easily
/// overlooked. One that comes twice is a reply to itself.
#[must_use]
pub fn notification(mail: Mail, events: &[Event], reports: &[AlertReport]) -> Notification {
    let first = events.first().zip(reports.first());
    let id = first.and_then(|(event, report)| report.record_id.as_deref().or(event.id.as_deref()));
    let link = events.first().and_then(|event| console_link(event, &Record::of(&event.detail).ok()?));
    let principals = reports.iter().filter_map(|report| report.principal_arn.as_deref()).take(1);
    let notification = Notification::new(mail.subject, mail.text)
        .in_thread(id.unwrap_or_default())
        .with_link("Open the record in CloudTrail", link);
    principals.fold(notification, |notification, arn| notification.about(arn))
}

/// What, who and where. `FAILED`, `ROOT` and the account are kept whole; the name of the call is cut before they are, and
/// who called before that.
fn subject(event_name: &str, has_failed: bool, who: &str, account: &str) -> String {
    let failed = if has_failed { " FAILED" } else { "" };
    let (start, by, after) =
        ("Gatehouse iam-alerts: ", format!("{failed} by "), format!(" in {}", shortened(account, 20)));
    let room = MAX_SUBJECT_LENGTH - start.len() - by.len() - after.len();
    let event_name = shortened(event_name, room - ROOM_FOR_WHO);
    let who = shortened(&harmless(who), room - event_name.len());
    ascii(&format!("{start}{event_name}{by}{who}{after}"))
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
    text.chars().map(printable).take(MAX_SUBJECT_LENGTH).collect()
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
    let on_what = on_what(record);
    let on_what = on_what.as_deref().unwrap_or("not in the record");
    let _ = writeln!(text, "On what: {}", shorten(&harmless(&visible(on_what)), MAX_ON_WHAT_LENGTH));
    if record.has_failed() {
        line(&mut text, "Error", Some(&error(record)));
    }
    line(&mut text, "When", Some(&when(event, record)));
    line(&mut text, "Account", Some(account));
    who_lines(&mut text, record, principal, account);
    line(&mut text, "From", record.source_ip_address.as_deref());
    line(&mut text, "With", record.user_agent.as_deref());
    if is_true(record.session_credential_from_console.as_ref()) {
        line(&mut text, "Console", Some("yes, with the credentials of a session in the console"));
    }
    line(&mut text, "VPC endpoint", record.vpc_endpoint_id.as_ref().and_then(leaves).as_deref());
    line(&mut text, "Account of the VPC endpoint", record.vpc_endpoint_account_id.as_ref().and_then(leaves).as_deref());

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
    if let Some(more) = more_of_the_record(&event.detail) {
        let _ = write!(text, "\nMore of the record:\n{}", block(&more));
    }
    text
}

/// What stands above, by its place in the record, and `mfaAuthenticated`, which is not always to be shown.
const SHOWN: [&str; 34] = [
    "/eventName",
    "/eventSource",
    "/eventTime",
    "/awsRegion",
    "/sourceIPAddress",
    "/userAgent",
    "/errorCode",
    "/errorMessage",
    "/eventID",
    "/recipientAccountId",
    "/requestParameters",
    "/responseElements",
    "/additionalEventData",
    "/serviceEventDetails",
    "/vpcEndpointId",
    "/vpcEndpointAccountId",
    "/userIdentity/type",
    "/userIdentity/arn",
    "/userIdentity/accountId",
    "/userIdentity/accessKeyId",
    "/userIdentity/invokedBy",
    "/userIdentity/identityProvider",
    "/userIdentity/onBehalfOf",
    "/userIdentity/inScopeOf",
    "/userIdentity/sessionContext/sourceIdentity",
    "/userIdentity/sessionContext/assumedRoot",
    "/userIdentity/sessionContext/webIdFederationData",
    "/userIdentity/sessionContext/sessionIssuer/arn",
    "/userIdentity/sessionContext/sessionIssuer/userName",
    "/userIdentity/sessionContext/attributes/mfaAuthenticated",
    "/userIdentity/sessionContext/sessionIssuer",
    "/userIdentity/sessionContext/attributes",
    "/userIdentity/sessionContext",
    "/userIdentity",
];

/// The fields of the record that are not shown above.
fn more_of_the_record(detail: &Value) -> Option<Value> {
    let mut more = detail.clone();
    for place in SHOWN {
        let (parent, name) = place.rsplit_once('/')?;
        let Some(parent) = more.pointer_mut(parent).and_then(Value::as_object_mut) else { continue };
        // An object goes once everything in it was shown.
        let holds_more = |value: &Value| value.as_object().is_some_and(|fields| !fields.is_empty());
        let is_holder = ["sessionIssuer", "attributes", "sessionContext", "userIdentity"].contains(&name);
        if !is_holder || !parent.get(name).is_some_and(holds_more) {
            parent.shift_remove(name);
        }
    }
    more.as_object().is_some_and(|fields| !fields.is_empty()).then_some(more)
}

fn what(record: &Record) -> String {
    match record.event_source.as_deref() {
        Some(source) => format!("{} ({source})", record.event_name),
        None => record.event_name.clone(),
    }
}

/// What was changed: names, ARNs and ids in the request, wherever they are in it, then its other values but documents.
/// Where the request has none, those in the answer.
fn on_what(record: &Record) -> Option<String> {
    let named = |content: Option<&Value>| {
        let (mut names, mut others) = (Vec::new(), Vec::new());
        for (name, value) in content?.as_object()? {
            match value {
                Value::String(text) if is_secret(name) => others.push(format!("{name} {LEFT_OUT}")),
                Value::String(text) if is_name(name) => {
                    names.push(format!("{name} {}", shorten(text, MAX_NAME_LENGTH)))
                }
                Value::String(text) if document(text).is_some() => {}
                Value::String(text) => others.push(format!("{name} {}", shorten(text, MAX_OTHER_LENGTH))),
                Value::Number(_) | Value::Bool(_) => others.push(format!("{name} {value}")),
                _ => names_within(value, &mut names),
            }
        }
        names.append(&mut others);
        (!names.is_empty()).then(|| names.join(", "))
    };
    let of_answer = || named(record.response_elements.as_ref()?.as_object()?.values().next());
    named(record.request_parameters.as_ref()).or_else(of_answer)
}

fn names_within(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if is_name(name) && !is_secret(name) => {
                        names.push(format!("{name} {}", shorten(text, MAX_NAME_LENGTH)));
                    }
                    _ => names_within(value, names),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names_within(item, names)),
        _ => {}
    }
}

/// Whether a member of a request names something, as `roleName`, `policyArn`, `accessKeyId` and `serialNumber` do.
fn is_name(member: &str) -> bool {
    let member = member.to_ascii_lowercase();
    ["name", "arn", "id", "serialnumber"].iter().any(|end| member.ends_with(end))
}

/// All that a value has, on one line: `userId 9067-e, identityStoreArn arn:…`.
fn leaves(value: &Value) -> Option<String> {
    let found = match value {
        Value::Null => return None,
        Value::Object(fields) => {
            let each = |(name, value): (&String, &Value)| match value {
                _ if is_secret(name) => Some(format!("{name} {LEFT_OUT}")),
                Value::Object(_) | Value::Array(_) => leaves(value),
                _ => leaves(value).map(|value| format!("{name} {value}")),
            };
            fields.iter().filter_map(each).collect::<Vec<_>>().join(", ")
        }
        Value::Array(items) => items.iter().filter_map(leaves).collect::<Vec<_>>().join(", "),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (!found.is_empty()).then_some(found)
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

fn who_lines(text: &mut String, record: &Record, principal: &Principal, account: &str) {
    line(text, "Who", Some(&principal.long));
    let Some(identity) = &record.user_identity else { return };
    let session = identity.session_context.as_ref();
    let issuer = session.and_then(|session| session.session_issuer.as_ref());
    line(text, "ARN", identity.arn.as_deref());
    line(text, "Role or user behind it", issuer.and_then(|issuer| issuer.arn.as_deref()));
    line(text, "Source identity", session.and_then(|session| session.source_identity.as_deref()));
    if identity.account_id.as_deref() != Some(account) {
        line(text, "Account of the caller", identity.account_id.as_deref());
    }
    line(text, "Through the AWS service", identity.invoked_by.as_deref());
    line(text, "Access key", identity.access_key_id.as_deref());
    line(text, "Identity provider", identity.identity_provider.as_deref());
    let federation = session.and_then(|session| session.web_id_federation_data.as_ref());
    line(text, "Federated by", federation.and_then(leaves).as_deref());
    line(text, "On behalf of", identity.on_behalf_of.as_ref().and_then(leaves).as_deref());
    line(text, "In scope of", identity.in_scope_of.as_ref().and_then(leaves).as_deref());
    line(text, "Signed in with MFA", mfa(identity, session));
}

/// `no` only of those who sign in to AWS itself: of people whose identity provider signs them in, and of machines,
/// CloudTrail writes `false` whatever they did.
fn mfa(identity: &UserIdentity, session: Option<&SessionContext>) -> Option<&'static str> {
    let session = session?;
    let flag = session.attributes.as_ref()?.mfa_authenticated.as_ref()?;
    let is_role = match identity.r#type.as_deref() {
        Some("Root") => is_true(session.assumed_root.as_ref()),
        kind => kind != Some("IAMUser"),
    };
    if is_true(Some(flag)) { Some("yes") } else { (!is_role).then_some("no") }
}

/// The page of the record in the console of CloudTrail; `None` for partitions whose console is not known here, and for an
/// id that does not belong into a URL.
fn console_link(event: &Event, record: &Record) -> Option<String> {
    let id = record.event_id.as_deref()?;
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return None;
    }
    let region: Region = record.aws_region.as_deref().or(event.region.as_deref())?.parse().ok()?;
    console::url(&region, &format!("/cloudtrailv2/home?region={region}#/events/{id}"))
}

/// `<name>: <value>`, where there is a value.
fn line(text: &mut String, name: &str, content: Option<&str>) {
    if let Some(content) = content.filter(|content| !content.is_empty()) {
        let _ = writeln!(text, "{name}: {}", value(content));
    }
}

/// A value on one line, with what cannot be seen written out, and without links.
fn value(text: &str) -> String {
    shorten(&harmless(&visible(text)), MAX_VALUE_LENGTH)
}

/// Says how addresses are written, where there are some.
fn explained(mut text: String) -> String {
    if ["hxxp", "[.]", "[:]"].iter().any(|mark| text.contains(mark)) {
        text.push_str("\nAddresses are written with hxxp, [.] and [:], so that no mail program makes links of them.\n");
    }
    text
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
        let _ = writeln!(text, "{}", harmless(&visible(line)));
        text
    })
}

/// The text, cut where SNS would not take it, with a note that says so.
fn limited(mut text: String) -> String {
    const ROOM_FOR_NOTE: usize = 200;
    if text.len() > MAX_MESSAGE_LENGTH {
        let whole = text.len();
        text.truncate(text.floor_char_boundary(MAX_MESSAGE_LENGTH - ROOM_FOR_NOTE));
        let _ = write!(
            text,
            "\n\nCUT HERE: this mail would have {whole} bytes, and SNS takes {MAX_MESSAGE_LENGTH}. The whole record is in \
             CloudTrail.\n"
        );
    }
    text
}
