//! Whole invocations against a topic, and mails about records that nobody foresaw.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::time::Duration;

use aws_sdk_sns::operation::publish::PublishOutput;
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use gatehouse_shared::clock;
use gatehouse_shared::env::Env;
use gatehouse_shared::notify::{LONGEST_MESSAGE, Notifier};
use iam_alert_mail::IamAlertMail;
use iam_alert_mail::config::Config;
use iam_alert_mail::event::events;
use iam_alert_mail::mail::{about, as_it_is};
use iam_alert_mail::record::Record;
use iam_alert_mail::report::Outcome;
use lambda_runtime::{Context, LambdaEvent};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;

const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:iam-alerts";

fn event(detail: Value) -> Value {
    json!({ "id": "e-1", "source": "aws.iam", "detail-type": "AWS API Call via CloudTrail",
            "account": "111122223333", "region": "us-east-1", "detail": detail })
}

/// The function with a client of the topic, which answers as `publish` says.
fn function(sns: &aws_sdk_sns::Client) -> IamAlertMail {
    let table = [("NOTIFY_TOPIC_ARN", TOPIC)];
    let env = Env::of_table(&table);
    let config = env.read(Config::from_env).unwrap();
    let notifier = Notifier::new(sns.config().to_builder(), &config.notify_topic_arn);
    IamAlertMail::new(config, notifier)
}

fn invocation(payload: Value) -> LambdaEvent<Value> {
    let mut context = Context::default();
    context.deadline = u64::try_from(clock::now().unix_timestamp() + 30).unwrap() * 1_000;
    LambdaEvent::new(payload, context)
}

#[tokio::test]
async fn a_call_is_published_once_to_the_topic_with_its_subject() {
    let publish = mock!(aws_sdk_sns::Client::publish)
        .match_requests(|request| {
            request.topic_arn() == Some(TOPIC)
                && request.subject() == Some("Gatehouse iam-alerts: CreateUser by Ana in 111122223333")
        })
        .then_output(|| PublishOutput::builder().build());
    let sns = mock_client!(aws_sdk_sns, RuleMode::MatchAny, [&publish]);
    let detail = json!({ "eventName": "CreateUser", "userIdentity": { "type": "IAMUser", "userName": "Ana" } });
    let reports = function(&sns).handle(invocation(event(detail))).await.unwrap();
    assert_eq!((reports.len(), reports[0].outcome, publish.num_calls()), (1, Outcome::Mailed, 1));
}

/// SNS suspends the subscription of an address that gets more than 10 mails a second.
#[tokio::test(start_paused = true)]
async fn mails_of_a_burst_go_out_eight_a_second_and_a_single_one_at_once() {
    let publish = mock!(aws_sdk_sns::Client::publish).then_output(|| PublishOutput::builder().build());
    let sns = mock_client!(aws_sdk_sns, RuleMode::MatchAny, [&publish]);
    let function = function(&sns);
    let one = event(json!({ "eventName": "CreateUser" }));
    let waited = async |events: Value| {
        let started = Instant::now();
        function.handle(invocation(events)).await.unwrap();
        started.elapsed().as_millis() / 125
    };
    assert_eq!(waited(one.clone()).await, 0, "the first mail waits for nothing");
    assert_eq!(waited(one.clone()).await, 1, "the pause holds across invocations");
    assert_eq!(waited(json!([one, one, one])).await, 3, "and within one");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(waited(one.clone()).await, 0, "a quiet time is not made up for");
    assert_eq!(waited(json!([one, one])).await, 2);
    assert_eq!(publish.num_calls(), 8);
}

#[test]
fn a_sentence_begins_with_a_capital_letter_and_a_name_keeps_its_letters() {
    let person = json!({ "type": "AssumedRole", "principalId": "AROA:anna",
        "sessionContext": { "sessionIssuer": { "userName": "AWSReservedSSO_Admins_0123456789abcdef" } } });
    let cases = [
        (person, "anna (IAM Identity Center, permission set Admins) called CreateUser"),
        (json!({ "type": "IAMUser", "userName": "ana" }), "The IAM user ana called CreateUser"),
        (json!({ "type": "AWSAccount", "accountId": "1" }), "A principal of the account 1 called CreateUser"),
        (json!({}), "An identity that the record does not name called CreateUser"),
    ];
    for (identity, begin) in cases {
        let detail = json!({ "eventName": "CreateUser", "userIdentity": identity });
        let event = events(event(detail)).unwrap().remove(0);
        let mail = about(&event, &Record::of(&event.detail).unwrap());
        assert!(mail.text.starts_with(begin), "{}", mail.text);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{1,12}", inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_record_gives_a_mail_that_sns_takes(
        name in any::<String>(), user in any::<String>(), request in any_json(), answer in any_json(),
    ) {
        let detail = json!({ "eventName": name, "requestParameters": request, "responseElements": answer,
                             "userIdentity": { "type": "IAMUser", "userName": user } });
        let event = events(event(detail)).unwrap().remove(0);
        let mail = match Record::of(&event.detail) {
            Ok(record) => about(&event, &record),
            Err(reason) => as_it_is(&event, &reason),
        };
        prop_assert!(mail.subject.len() < 100);
        prop_assert!(mail.subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        prop_assert!(mail.subject.starts_with("Gatehouse iam-alerts: "));
        prop_assert!(mail.text.len() <= LONGEST_MESSAGE && !mail.text.contains('\r'));
    }
}
