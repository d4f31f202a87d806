//! What is logged for each outcome of a request.
//!
//! The only test of its process: `tracing` decides once for all threads whether a line is of interest.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use aws_sdk_sns::Client;
use gatehouse_shared::clock;
use gatehouse_shared::env::Env;
use gatehouse_shared::fetch::FetchError;
use gatehouse_shared::sns::{Fetching, Verifier};
use gatehouse_shared::verifier;
use gatehouse_testkit::{Aws, LogLines, Reply, Signer, StaticCertificates, invocation};
use message_relay::config::Config;
use message_relay::{MessageRelay, OpenUrl};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:example";
const TARGET: &str = "arn:aws:sns:eu-central-1:111122223333:target";
const TOKEN: &str = "2336412f37fb687f5d51e6e2425929f52e8e353134fe72d55ef8b330217d82da";
const BODY: &str = "what nobody should read in a log";

/// A relay whose SNS does what it is asked to, or answers with this code.
fn relay(dry_run: &str, fault: Option<&'static str>, certificates: StaticCertificates) -> MessageRelay {
    let aws = Aws::new(move |call| match (fault, call.operation.as_str()) {
        (Some(code), _) => Reply::Error(code),
        (None, "Publish") => Reply::Xml("<MessageId>t-1</MessageId>".to_owned()),
        (None, _) => Reply::Xml(format!("<SubscriptionArn>{TOPIC}:1</SubscriptionArn>")),
    });
    let sns = Client::new(&aws.sdk_without_retries());
    let table = [("TOPIC_ARNS", TOPIC), ("TARGET_TOPIC_ARN", TARGET), ("DRY_RUN", dry_run)];
    let env = Env::of_table(&table);
    let (config, settings) = env.read(|env| Config::from_env(env).zip(verifier::settings(env))).unwrap();
    MessageRelay::new(config, Verifier::with_source(settings, certificates), sns).with_urls(Opens(Some(403)))
}

/// The URL of a confirmation: it answers with this status.
struct Opens(Option<u16>);

impl OpenUrl for Opens {
    fn open<'a>(&'a self, _: &'a str) -> Fetching<'a> {
        let answer = self.0.map_or_else(|| Ok(Vec::new()), |status| Err(FetchError::Status { status }));
        Box::pin(async move { answer })
    }
}

/// A message that SNS signed now.
fn message(of_type: &str) -> Value {
    let mut message = json!({
        "Type": of_type, "MessageId": "m-1", "TopicArn": TOPIC, "Subject": BODY, "Message": BODY,
        "Timestamp": clock::now().format(&Rfc3339).unwrap(),
    });
    if of_type != "Notification" {
        message["Token"] = TOKEN.into();
        message["SubscribeURL"] =
            format!("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token={TOKEN}")
                .into();
    }
    Signer::new().sign(message)
}

fn delivery(message: &Value) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "",
        "headers": { "content-type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": message["Type"] },
        "requestContext": {
            "requestId": "r-1", "timeEpoch": 1, "http": { "method": "POST", "path": "/", "sourceIp": "192.0.2.1" },
        },
        "body": message.to_string(), "isBase64Encoded": false,
    })
}

fn with(mut event: Value, pointer: &str, value: &str) -> Value {
    *event.pointer_mut(pointer).unwrap() = value.into();
    event
}

async fn answer(relay: &MessageRelay, event: Value) {
    relay.handle(invocation(event)).await.unwrap();
}

#[tokio::test]
async fn each_request_has_one_line_with_its_identifiers_and_without_token_or_body() {
    let log = LogLines::capture();
    let certificates = StaticCertificates::new();
    let down = StaticCertificates::new();
    down.fail(true);
    let working = relay("false", None, certificates.clone());
    let dry = relay("true", None, certificates.clone());
    let refused = relay("false", Some("AuthorizationError"), certificates.clone());
    let denied = relay("false", Some("AuthorizationError"), certificates.clone()).with_urls(Opens(None));
    let throttled = relay("false", Some("Throttled"), certificates);
    let blind = relay("false", None, down);

    let notification = delivery(&message("Notification"));
    let confirmation = delivery(&message("SubscriptionConfirmation"));
    let end = delivery(&message("UnsubscribeConfirmation"));
    let mut forged = message("Notification");
    forged["Message"] = "forged".into();
    let mut raw = notification.clone();
    raw["headers"]["x-amz-sns-rawdelivery"] = "true".into();
    let get = with(notification.clone(), "/requestContext/http/method", "GET");

    let known = json!({ "request_id": "r-1", "source_ip": "192.0.2.1", "topic_arn": TOPIC, "message_id": "m-1" });
    let seen = |of_type: &str, status: u64, error_type: &str| {
        json!({
            "errorType": error_type, "status": status, "request_id": "r-1", "source_ip": "192.0.2.1",
            "seen_type": of_type, "seen_topic": TOPIC, "seen_id": "m-1",
        })
    };
    let unknown = |status: u64, error_type: &str| json!({ "errorType": error_type, "status": status, "request_id": "r-1", "source_ip": "192.0.2.1" });
    let of = |start: &Value, name: &str, value: &str| {
        let mut fields = start.clone();
        fields[name] = value.into();
        fields
    };
    let (notified, confirmed) = ("Notification", "SubscriptionConfirmation");
    for (relay, event, level, message, fields, error) in [
        (&working, &notification, "INFO", "relayed", of(&known, "target_message_id", "t-1"), ""),
        (
            &working,
            &confirmation,
            "INFO",
            "confirmed the subscription",
            of(&known, "subscription_arn", &format!("{TOPIC}:1")),
            "",
        ),
        (
            &working,
            &end,
            "WARN",
            "the subscription has ended: no more messages of this topic will come; subscribe again if they should",
            known.clone(),
            "",
        ),
        (
            &denied,
            &confirmation,
            "WARN",
            "confirmed the subscription by its URL, because SNS denied ConfirmSubscription: anybody who gets the \
             UnsubscribeURL of a message can end it; allow sns:ConfirmSubscription on the topic in the function's role, \
             and subscribe again",
            known.clone(),
            "",
        ),
        (&dry, &notification, "INFO", "DRY_RUN is set: nothing was done", of(&known, "message_type", notified), ""),
        (&dry, &confirmation, "INFO", "DRY_RUN is set: nothing was done", of(&known, "message_type", confirmed), ""),
        (&working, &get, "WARN", "not accepted", unknown(405, "Malformed"), "the method is \"GET\": expected POST"),
        (&working, &raw, "WARN", "not accepted", unknown(403, "RawDelivery"), "turn off raw message delivery"),
        (
            &working,
            &delivery(&forged),
            "WARN",
            "not accepted",
            seen(notified, 403, "Refused"),
            "refusing the message: the field Signature does not fit the message",
        ),
        (&refused, &confirmation, "ERROR", "not accepted", seen(confirmed, 403, "NotConfirmed"), "allow sns:Confirm"),
        (&refused, &notification, "ERROR", "not accepted", seen(notified, 503, "Publish"), "allow sns:Publish"),
        (&throttled, &confirmation, "ERROR", "not accepted", seen(confirmed, 503, "Confirm"), "it is tried again"),
        (&blind, &notification, "ERROR", "not accepted", seen(notified, 503, "Certificate"), "tried again when SNS"),
    ] {
        answer(relay, event.clone()).await;
        let lines = log.take();
        let errors = lines.iter().filter(|line| line["errorType"].is_string()).count();
        assert_eq!(errors, usize::from(!error.is_empty()), "{lines:?}");
        // The fetch of a certificate has a line of its own.
        let [line] = &lines.iter().filter(|line| line["request_id"].is_string()).collect::<Vec<_>>()[..] else {
            panic!("{lines:?}")
        };
        let mut rest = (*line).clone();
        let rest = rest.as_object_mut().unwrap();
        assert_eq!((rest.remove("level").unwrap(), rest.remove("message").unwrap()), (level.into(), message.into()));
        let text = rest.remove("error").unwrap_or_default();
        let text = text.as_str().unwrap_or_default();
        assert!(text.contains(error) && text.is_empty() == error.is_empty(), "{text}: {error}");
        assert_eq!(Value::Object(rest.clone()), fields, "{message}");
        let lines = format!("{lines:?}");
        assert!(!lines.contains(TOKEN) && !lines.contains(BODY), "{lines}");
    }
}
