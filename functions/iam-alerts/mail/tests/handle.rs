//! Whole invocations against a topic, and mails about records that nobody foresaw.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::time::Duration;

use gatehouse_shared::env::Env;
use gatehouse_shared::notify::{MAX_MESSAGE_LENGTH, Notifier};
use gatehouse_testkit::{Aws, Call, Reply, chat_message, invocation};
use iam_alert_mail::config::Config;
use iam_alert_mail::event::events;
use iam_alert_mail::mail::{about, as_it_is};
use iam_alert_mail::record::Record;
use iam_alert_mail::report::AlertOutcome;
use iam_alert_mail::{AlertResponse, IamAlertMail};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::Instant;

const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:iam-alerts";
const CHAT: &str = "arn:aws:sns:eu-west-1:444455556666:chat";

fn event(detail: Value) -> Value {
    json!({ "id": "e-1", "source": "aws.iam", "detail-type": "AWS API Call via CloudTrail",
            "account": "111122223333", "region": "us-east-1", "detail": detail })
}

/// The function with this topic.
fn function(aws: &Aws) -> IamAlertMail {
    function_with(&[("NOTIFY_TOPIC_ARN", TOPIC)], aws)
}

fn function_with(table: &[(&str, &str)], aws: &Aws) -> IamAlertMail {
    let env = Env::of_table(table);
    let config = env.read(Config::from_env).unwrap();
    let sdk = aws.sdk();
    let notifier = Notifier::new(&sdk, &config.notify_topic_arn).with_chat(&sdk, config.chat_topic.as_ref());
    IamAlertMail::new(config, notifier)
}

#[tokio::test]
async fn a_call_is_published_once_to_the_topic_with_its_subject() {
    let aws = Aws::new(|_| Reply::Empty);
    let detail = json!({ "eventName": "CreateUser", "userIdentity": { "type": "IAMUser", "userName": "Ana" } });
    let AlertResponse::Reports(reports) = function(&aws).handle(invocation(event(detail))).await.unwrap() else {
        panic!()
    };
    assert_eq!((reports.len(), reports[0].outcome), (1, AlertOutcome::Mailed));
    let [call] = &aws.calls()[..] else { panic!("{aws:?}") };
    assert_eq!((call.operation.as_str(), call.text("TopicArn")), ("Publish", TOPIC));
    assert_eq!(call.text("Subject"), "Gatehouse iam-alerts: CreateUser by Ana in 111122223333");
}

/// SNS suspends the subscription of an address that gets more than 10 mails a second; two instances run at once.
#[tokio::test(start_paused = true)]
async fn mails_of_a_burst_go_out_two_a_second_and_a_single_one_at_once() {
    let aws = Aws::new(|_| Reply::Empty);
    let function = function(&aws);
    let one = event(json!({ "eventName": "CreateUser" }));
    let waited = async |events: Value| {
        let started = Instant::now();
        function.handle(invocation(events)).await.unwrap();
        started.elapsed().as_millis() / 500
    };
    assert_eq!(waited(one.clone()).await, 0, "the first mail waits for nothing");
    assert_eq!(waited(one.clone()).await, 1, "the pause holds across invocations");
    assert_eq!(waited(json!([one, one, one])).await, 3, "and within one");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(waited(one.clone()).await, 0, "a quiet time is not made up for");
    assert_eq!(waited(batch(&[one.clone(), one])).await, 2);
    assert_eq!(aws.calls_of("Publish").len(), 8);
}

/// What Lambda hands over for messages of the queue; their ids are `m-0`, `m-1`, …
fn batch(events: &[Value]) -> Value {
    let record =
        |(number, event): (usize, &Value)| json!({ "messageId": format!("m-{number}"), "body": event.to_string() });
    json!({ "Records": events.iter().enumerate().map(record).collect::<Vec<_>>() })
}

fn failures(answer: &AlertResponse) -> Vec<String> {
    let AlertResponse::Batch(response) = answer else { panic!("{answer:?}") };
    response.batch_item_failures.iter().map(|failure| failure.item_identifier.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_mail_that_is_not_taken_returns_the_messages_of_that_mail_alone() {
    let is_refused = |call: &Call| call.text("Subject").contains("2 x DeleteUser");
    let aws = Aws::new(move |call| if is_refused(call) { Reply::Error("AuthorizationError") } else { Reply::Empty });
    let failed = event(json!({ "eventName": "DeleteUser", "errorCode": "AccessDenied" }));
    let changed = event(json!({ "eventName": "CreateUser" }));
    let mut given = batch(&[failed.clone(), changed, failed]);
    given["Records"].as_array_mut().unwrap().push(json!({ "messageId": "m-3", "body": "no event" }));
    let answer = function(&aws).handle(invocation(given)).await.unwrap();
    assert_eq!(failures(&answer), ["m-3", "m-0", "m-2"]);
    assert_eq!(aws.calls().iter().map(is_refused).collect::<Vec<_>>(), [false, true]);
    let answered = serde_json::to_value(&answer).unwrap();
    assert_eq!(answered["batchItemFailures"][0], json!({ "itemIdentifier": "m-3" }));
}

#[test]
fn root_and_failed_and_the_account_stay_in_the_subject_whatever_its_length() {
    let root = json!({ "type": "Root" });
    let long = json!({ "type": "IAMUser", "userName": "u".repeat(200) });
    for (identity, who) in [(root, "ROOT"), (long, "uuu")] {
        for length in 1..150 {
            for error in [json!(null), json!("AccessDenied")] {
                let detail = json!({ "eventName": "N".repeat(length), "errorCode": error, "userIdentity": identity });
                let event = events(event(detail)).unwrap().remove(0);
                let subject = about(&event, &Record::of(&event.detail).unwrap()).subject;
                assert!(subject.len() < 100 && subject.ends_with(" in 111122223333"), "{subject}");
                assert!(subject.contains(&format!(" by {who}")), "{subject}");
                assert_eq!(subject.contains(" FAILED by "), error.is_string(), "{subject}");
                assert!(length > 44 || subject.contains(&format!(" {}", "N".repeat(length))), "{subject}");
            }
        }
    }
}

fn mail_about(detail: Value) -> String {
    let event = events(event(detail)).unwrap().remove(0);
    about(&event, &Record::of(&event.detail).unwrap()).text
}

#[test]
fn no_mfa_is_said_of_those_alone_who_sign_in_to_aws() {
    let assumed_root = json!({ "type": "Root", "sessionContext": { "assumedRoot": "true" } });
    let cases = [
        (json!({ "type": "Root" }), true),
        (json!({ "type": "IAMUser" }), true),
        (assumed_root, false),
        (json!({ "type": "AssumedRole" }), false),
        (json!({ "type": "FederatedUser" }), false),
        (json!({ "type": "SAMLUser" }), false),
        (json!({ "type": "IdentityCenterUser" }), false),
        (json!({}), false),
    ];
    for (identity, knows) in cases {
        for (flag, line) in
            [("true", Some("Signed in with MFA: yes")), ("false", Some("Signed in with MFA: no")), ("", None)]
        {
            let mut identity = identity.clone();
            if line.is_some() {
                identity["sessionContext"]["attributes"] = json!({ "mfaAuthenticated": flag });
            }
            let text = mail_about(json!({ "eventName": "CreateUser", "userIdentity": identity }));
            let line = line.filter(|_| knows || flag == "true");
            assert_eq!(text.lines().find(|line| line.contains("MFA")), line, "{identity}");
        }
    }
}

#[test]
fn what_was_changed_is_not_lost_behind_a_long_document() {
    let arn = format!("arn:aws:iam::111122223333:saml-provider/{}Okta", "path/".repeat(300));
    let request = json!({
        "sAMLMetadataDocument": "<md:EntityDescriptor>".repeat(200), "sAMLProviderArn": arn,
        "roleName": "{\"a\":1}", "permissions": { "policyTemplateArn": "arn:template" }, "maxSessionDuration": 7,
    });
    let text = mail_about(json!({ "eventName": "UpdateSAMLProvider", "requestParameters": request }));
    let line = text.lines().find(|line| line.starts_with("On what: ")).unwrap();
    assert!(
        line.contains(&format!("sAMLProviderArn {arn}, roleName {{\"a\":1}}, policyTemplateArn arn:template")),
        "{line}"
    );
    assert!(line.contains("sAMLMetadataDocument <md:") && line.ends_with("maxSessionDuration 7"), "{line}");
}

#[test]
fn every_field_of_a_record_is_in_its_mail() {
    let detail = json!({
        "eventName": "CreateUser", "eventVersion": "v-version", "vpcEndpointId": "vpce-1", "vpcEndpointAccountId": "444455556666",
        "sessionCredentialFromConsole": "true", "requestID": "v-request", "sharedEventID": "v-shared",
        "tlsDetails": { "tlsVersion": "v-tls" }, "resources": [{ "ARN": "v-resource" }],
        "userIdentity": {
            "type": "AssumedRole", "principalId": "AROA:v-session", "arn": "v-arn", "accountId": "v-account",
            "onBehalfOf": { "userId": "v-user", "identityStoreArn": "v-store" },
            "inScopeOf": { "issuerType": "v-issuer", "credentialsIssuedTo": "v-function" },
            "sessionContext": {
                "sessionIssuer": { "type": "Role", "principalId": "v-role-id", "arn": "v-role-arn", "userName": "v-role" },
                "attributes": { "creationDate": "v-date", "mfaAuthenticated": "false" },
                "webIdFederationData": {
                    "federatedProvider": "arn:aws:iam::1:oidc-provider/token.actions.githubusercontent.com",
                    "attributes": { "token.actions.githubusercontent.com:sub": "repo:octo/app:ref:refs/heads/main" },
                },
                "ec2RoleDelivery": "v-delivery",
            },
        },
    });
    let text = mail_about(detail);
    for shown in [
        "v-version",
        "VPC endpoint: vpce-1",
        "444455556666",
        "Console: yes",
        "v-request",
        "v-shared",
        "v-tls",
        "v-resource",
        "v-session",
        "v-arn",
        "v-account",
        "On behalf of: userId v-user, identityStoreArn v-store",
        "In scope of: issuerType v-issuer, credentialsIssuedTo v-function",
        "v-role-id",
        "v-role-arn",
        "v-date",
        "v-delivery",
        "Federated by: federatedProvider arn:aws:iam::1:oidc-provider/token.actions.githubusercontent.com",
        "repo:octo/app:ref:refs/heads/main",
    ] {
        assert!(text.contains(shown), "{shown} is missing in {text}");
    }
    assert!(!text.contains("mfaAuthenticated"));
}

#[test]
fn the_only_link_of_a_mail_is_our_own() {
    let lure = "FALSE ALARM. Acknowledge at https://alerts.example/ack or www.evil.example";
    let detail = json!({
        "eventName": "CreateUser", "awsRegion": "us-east-1", "eventID": "1111", "userAgent": lure, "errorMessage": lure,
        "sourceIPAddress": lure, "requestParameters": { "userName": lure, "policyDocument": { lure: lure } },
        "userIdentity": { "type": "IAMUser", "userName": lure, "arn": lure }, "sharedEventID": lure,
    });
    let text = mail_about(detail);
    assert_eq!((text.matches("https://").count(), text.matches("www.").count()), (1, 0), "{text}");
    assert!(text.contains("hxxps://alerts[.]example/ack") && text.contains("no mail program makes links of them"));
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
        prop_assert!(mail.text.len() <= MAX_MESSAGE_LENGTH && !mail.text.contains('\r'));
    }
}

/// What chat gets of calls whose caller wrote links and mentions, and what becomes of the batch where chat refuses it.
#[tokio::test(start_paused = true)]
async fn an_alert_is_shown_in_chat_harmless_and_a_refusal_there_loses_no_mail() {
    for refuses in [false, true] {
        let aws = Aws::new(move |call| match call.text("TopicArn") {
            CHAT if refuses => Reply::Error("AuthorizationError"),
            _ => Reply::Empty,
        });
        let function = function_with(&[("NOTIFY_TOPIC_ARN", TOPIC), ("CHAT_TOPIC_ARN", CHAT)], &aws);
        let detail = json!({
            "eventName": "CreateUser", "eventID": "6b1e6a4c-0000", "awsRegion": "us-east-1",
            "userAgent": "<!channel> @here https://evil.example/ack `x`",
            "userIdentity": { "type": "IAMUser", "userName": "<https://evil.com|Ana>", "arn": "arn:aws:iam::111122223333:user/Ana" },
            "requestParameters": { "policyDocument": "a".repeat(300_000) },
        });
        let failed = json!({ "eventName": "DeleteUser", "eventID": "f-1", "errorCode": "AccessDenied" });
        let odd = json!({ "eventName": 7 });
        let events = [event(detail), event(failed.clone()), event(failed), event(odd)];
        let answer = function.handle(invocation(batch(&events))).await.unwrap();
        assert_eq!(failures(&answer), [""; 0], "chat refuses: {refuses}");
        let (shown, mailed): (Vec<_>, Vec<_>) = aws.calls().into_iter().partition(|call| call.text("TopicArn") == CHAT);
        assert_eq!((mailed.len(), shown.len()), (3, 3));
        let shown: Vec<_> = shown.iter().map(|call| call.text("Message")).collect();
        let messages: Vec<Value> = shown.iter().map(|message| chat_message(message).unwrap()).collect();
        let threads: Vec<_> =
            messages.iter().map(|message| message["metadata"]["threadId"].as_str().unwrap()).collect();
        assert_eq!(threads, ["6b1e6a4c-0000", "e-1", "f-1"], "an alert is no reply to another one");
        let link = "<https://us-east-1.console.aws.amazon.com/cloudtrailv2/home?region=us-east-1#/events/6b1e6a4c-0000|\
                    Open the record in CloudTrail>";
        assert_eq!(messages[0]["content"]["nextSteps"], json!([link]));
        assert!(shown[0].contains("(cut; the mail or the log has the rest)"), "{}", shown[0]);
    }
}
