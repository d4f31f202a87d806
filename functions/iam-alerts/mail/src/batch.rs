//! The records of the queue: which of them make one mail, and in which order the mails are sent.

use std::collections::HashMap;

use gatehouse_shared::sqs::Message;

use crate::event::{Event, EventError};
use crate::principal::Principal;
use crate::record::Record;

/// An event, and the message it came in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) message_id: String,
    pub(crate) event: Event,
}

/// The call in a message of the queue.
pub(crate) fn call(message: &Message) -> Result<Call, EventError> {
    let event = serde_json::from_str(&message.body).map_err(|error| EventError::new(format!("body: {error}")))?;
    Ok(Call { message_id: message.message_id.clone(), event })
}

/// In which order mails are sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Root,
    /// The call changed something, or nobody knows whether it did.
    Changed,
    /// Nothing was changed. Whoever has any credentials can make as many of these as they like.
    Failed,
}

/// The calls of each mail: the root user's first, then those that changed something, each alone; then those that failed,
/// where the same principal, call and error in one account are one mail.
pub(crate) fn by_mail(calls: Vec<Call>) -> Vec<Vec<Call>> {
    let mut mails: Vec<(Urgency, Vec<Call>)> = Vec::new();
    let mut repeated = HashMap::new();
    for call in calls {
        match alike(&call.event) {
            Ok(urgency) => mails.push((urgency, vec![call])),
            Err(key) => {
                let at = *repeated.entry(key).or_insert(mails.len());
                match mails.get_mut(at) {
                    Some((_, calls)) => calls.push(call),
                    None => mails.push((Urgency::Failed, vec![call])),
                }
            }
        }
    }
    mails.sort_by_key(|(urgency, _)| *urgency);
    mails.into_iter().map(|(_, calls)| calls).collect()
}

/// How urgent a call is that has a mail of its own; else what calls of one mail have in common.
fn alike(event: &Event) -> Result<Urgency, [String; 4]> {
    let Ok(record) = Record::of(&event.detail) else { return Ok(Urgency::Changed) };
    let identity = record.user_identity.as_ref();
    let principal = Principal::of(identity);
    if principal.is_root {
        return Ok(Urgency::Root);
    }
    if !record.has_failed() {
        return Ok(Urgency::Changed);
    }
    let account = record.recipient_account_id.as_ref().or(event.account.as_ref()).cloned().unwrap_or_default();
    let who = identity.and_then(|identity| identity.arn.clone()).unwrap_or(principal.long);
    let error = record.error_code.or(record.error_message).unwrap_or_default();
    Err([account, who, record.event_name, error])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(id: &str, kind: &str, name: &str, error: Option<&str>) -> Call {
        let identity = json!({ "type": kind, "arn": format!("arn:aws:iam::1:{kind}") });
        let detail = json!({ "eventName": name, "errorCode": error, "userIdentity": identity });
        let event = json!({ "source": "aws.iam", "detail-type": "x", "account": "1", "detail": detail });
        Call { message_id: id.to_owned(), event: serde_json::from_value(event).unwrap() }
    }

    #[test]
    fn the_root_user_comes_first_then_changes_and_what_failed_again_is_one_mail() {
        let mut odd = call("5", "IAMUser", "x", None);
        odd.event.detail = json!("text");
        let calls = vec![
            call("1", "IAMUser", "CreateUser", Some("AccessDenied")),
            call("2", "IAMUser", "CreateUser", None),
            call("3", "IAMUser", "CreateUser", Some("AccessDenied")),
            call("4", "IAMUser", "CreateUser", Some("EntityAlreadyExists")),
            odd,
            call("6", "IAMUser", "CreateUser", None),
            call("7", "Root", "CreateUser", Some("AccessDenied")),
            call("8", "Root", "CreateUser", Some("AccessDenied")),
            call("9", "AWSAccount", "CreateUser", Some("AccessDenied")),
            call("10", "IAMUser", "DeleteUser", Some("AccessDenied")),
        ];
        let mails: Vec<Vec<String>> =
            by_mail(calls).into_iter().map(|mail| mail.into_iter().map(|call| call.message_id).collect()).collect();
        let expected: [&[&str]; 9] = [&["7"], &["8"], &["2"], &["5"], &["6"], &["1", "3"], &["4"], &["9"], &["10"]];
        assert_eq!(mails, expected);
    }
}
