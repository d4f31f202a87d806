//! The records of the queue: which of them make one mail, and in which order the mails are sent.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Event, EventError};
use crate::principal::Principal;
use crate::record::Record;

/// A message of SQS with an event of EventBridge as its body.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    pub(crate) message_id: String,
    pub(crate) body: String,
}

/// What Lambda is told: these messages go back to the queue, and the others are deleted from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// The messages that were not mailed.
    pub batch_item_failures: Vec<ItemFailure>,
}

/// A message that was not mailed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFailure {
    /// Its `messageId`.
    pub item_identifier: String,
}

/// The messages of an invocation by SQS; `None` where it is another one.
pub(crate) fn messages(payload: &Value) -> Option<Result<Vec<Message>, EventError>> {
    let records = payload.get("Records")?;
    Some(match Vec::deserialize(records) {
        Ok(messages) if messages.is_empty() => Err(EventError::new("the list Records is empty")),
        Ok(messages) => Ok(messages),
        Err(error) => Err(EventError::new(format!("Records: {error}"))),
    })
}

/// An event, and the message it came in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) message_id: String,
    pub(crate) event: Event,
}

impl Message {
    pub(crate) fn call(&self) -> Result<Call, EventError> {
        let event = serde_json::from_str(&self.body).map_err(|error| EventError::new(format!("body: {error}")))?;
        Ok(Call { message_id: self.message_id.clone(), event })
    }
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

    #[test]
    fn only_an_invocation_by_sqs_has_messages() {
        assert!(messages(&json!({ "source": "aws.iam" })).is_none());
        let two = json!({ "Records": [{ "messageId": "1", "body": "{}", "attributes": {} }, { "messageId": "2", "body": "x" }] });
        assert_eq!(messages(&two).unwrap().unwrap().len(), 2);
        for records in [json!([]), json!({}), json!([{ "body": "{}" }]), json!([1])] {
            assert!(messages(&json!({ "Records": records })).unwrap().is_err());
        }
    }
}
