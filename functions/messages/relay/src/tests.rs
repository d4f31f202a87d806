//! Requests and what becomes of them.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gatehouse_shared::env::Env;
use gatehouse_shared::failure::{ErrorType as _, chain};
use gatehouse_shared::fetch::FetchError;
use gatehouse_shared::sns::{CertificateSource, CertificateUrl, Fetching};
use gatehouse_shared::verifier;
use gatehouse_testkit::{
    Aws, Call, Reply, SIGNING_CERTIFICATE_PATH, SIGNING_CERTIFICATE_PEM, Signer, StaticCertificates, context, real,
};
use proptest::prelude::*;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:example";
const TARGET: &str = "arn:aws:sns:eu-central-1:111122223333:target";
const TIMESTAMP: &str = "2026-03-06T19:31:32.895Z";
const NOW: OffsetDateTime = datetime!(2026-03-06 19:32 UTC);
const TOKEN: &str = "2336412f37fb687f5d51e6e2425929f52e8e353134fe72d55ef8b330217d82da";

fn relay_with(settings: &[(&str, &str)], source: impl CertificateSource + 'static, aws: &Aws) -> MessageRelay {
    relay_over(settings, source, Client::new(&aws.sdk_without_retries()))
}

fn relay_over(settings: &[(&str, &str)], source: impl CertificateSource + 'static, sns: Client) -> MessageRelay {
    let mut table = vec![("TOPIC_ARNS", TOPIC), ("TARGET_TOPIC_ARN", TARGET)];
    table.retain(|(name, _)| !settings.iter().any(|(given, _)| given == name));
    table.extend(settings);
    let env = Env::of_table(&table);
    let (config, settings) = env.read(|env| Config::from_env(env).zip(verifier::settings(env))).unwrap();
    MessageRelay::new(config, Verifier::with_source(settings, source), sns).with_urls(Urls::default())
}

/// The URLs that were opened, and the status that each gets; none without one.
#[derive(Clone, Default)]
struct Urls {
    opened: Arc<Mutex<Vec<String>>>,
    status: u16,
}

impl OpenUrl for Urls {
    fn open<'a>(&'a self, url: &'a str) -> Fetching<'a> {
        assert_ne!(self.status, 0, "no URL must be opened: {url}");
        self.opened.lock().unwrap().push(url.to_owned());
        let status = self.status;
        Box::pin(async move { if status == 200 { Ok(b"<xml/>".to_vec()) } else { Err(FetchError::Status { status }) } })
    }
}

/// When this message was sent.
fn time_of(message: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(message["Timestamp"].as_str().unwrap(), &Rfc3339).unwrap()
}

fn relay(aws: &Aws) -> MessageRelay {
    relay_with(&[], StaticCertificates::new(), aws)
}

/// An SNS that publishes, and confirms.
fn working() -> Aws {
    Aws::new(done)
}

fn done(call: &Call) -> Reply {
    match call.operation.as_str() {
        "Publish" => Reply::Xml("<MessageId>published-1</MessageId>".to_owned()),
        "ConfirmSubscription" => Reply::Xml(format!("<SubscriptionArn>{TOPIC}:1</SubscriptionArn>")),
        other => panic!("{other} is not expected"),
    }
}

/// Name, type and value of each attribute of a message, sorted.
fn attributes(call: &Call) -> Vec<(String, String, String)> {
    let part = |entry: usize, part: &str| {
        call.parameters[format!("MessageAttributes.entry.{entry}.{part}")].as_str().map(str::to_owned)
    };
    let entries =
        (1..).map_while(|n| Some((part(n, "Name")?, part(n, "Value.DataType")?, part(n, "Value.StringValue")?)));
    let mut attributes: Vec<_> = entries.collect();
    attributes.sort_unstable();
    attributes
}

fn notification(id: &str, text: &str) -> Value {
    json!({
        "Type": "Notification", "MessageId": id, "TopicArn": TOPIC, "Subject": "expense", "Message": text,
        "Timestamp": TIMESTAMP,
        "MessageAttributes": { "role": { "Type": "String", "Value": "forged" } },
    })
}

fn confirmation(of_type: &str) -> Value {
    json!({
        "Type": of_type, "MessageId": "c-1", "TopicArn": TOPIC, "Message": "You have chosen …", "Timestamp": TIMESTAMP,
        "Token": TOKEN,
        "SubscribeURL":
            format!("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token={TOKEN}"),
    })
}

fn signed(message: Value) -> Value {
    Signer::new().sign(message)
}

fn version_1(name: &str) -> Value {
    let file = format!("{}/../../../shared/sns/testing/messages/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// The event of a function URL.
fn event(message_type: &str, body: impl Into<String>) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "",
        "headers": { "content-type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": message_type },
        "requestContext": {
            "requestId": "r-1", "timeEpoch": 1, "http": { "method": "POST", "path": "/", "sourceIp": "192.0.2.1" },
        },
        "body": body.into(), "isBase64Encoded": false,
    })
}

fn delivery(message: &Value) -> Value {
    event(message["Type"].as_str().unwrap(), message.to_string())
}

async fn outcome(relay: &MessageRelay, event: Value, now: OffsetDateTime) -> RelayOutcome {
    relay.outcome(RelayRequest::parse(event).unwrap(), Instant::now() + ANSWER_WITHIN, now).await.1
}

/// The status, and the name of what was done or of the error.
fn seen(outcome: &RelayOutcome) -> (u64, String) {
    let name = match outcome {
        Ok(done) => format!("{done:?}").split([' ', '{']).next().unwrap_or_default().to_owned(),
        Err(declined) => declined.error_type().to_owned(),
    };
    (outcome::response(outcome)["statusCode"].as_u64().unwrap(), name)
}

#[tokio::test]
async fn a_notification_is_published_with_its_origin_and_without_what_nobody_signed() {
    for message in [version_1("notification-v1"), signed(notification("n-1", "a message"))] {
        let aws = working();
        assert_eq!(
            seen(&outcome(&relay(&aws), delivery(&message), time_of(&message)).await),
            (200, "Relayed".to_owned())
        );
        let [call] = &aws.calls_of("Publish")[..] else { panic!("{aws:?}") };
        assert_eq!(call.text("TopicArn"), TARGET);
        assert_eq!(call.parameters["Message"], message["Message"]);
        assert_eq!(call.parameters.get("Subject"), message.get("Subject"));
        let expected = [
            ("gatehouse.origin-message-id", message["MessageId"].as_str().unwrap()),
            ("gatehouse.origin-timestamp", message["Timestamp"].as_str().unwrap()),
            ("gatehouse.origin-topic-arn", TOPIC),
            ("gatehouse.relayed-through", TOPIC),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), "String".to_owned(), value.to_owned()));
        assert_eq!(attributes(call), expected);
    }
}

#[tokio::test]
async fn a_subscription_is_confirmed_as_often_as_sns_asks() {
    for message in [version_1("subscription-confirmation-v1"), signed(confirmation("SubscriptionConfirmation"))] {
        let aws = working();
        let relay = relay(&aws);
        for _ in 0..2 {
            assert_eq!(
                seen(&outcome(&relay, delivery(&message), time_of(&message)).await),
                (200, "Confirmed".to_owned())
            );
        }
        assert_eq!(aws.operations(), ["ConfirmSubscription"; 2]);
    }
}

#[tokio::test]
async fn a_message_that_was_in_the_target_before_is_not_relayed_again() {
    for (through, expected) in [
        (TARGET, (403, "Loop")),
        (format!("arn:aws:sns:eu-west-1:123456789012:other,{TARGET}").as_str(), (403, "Loop")),
        ([TOPIC; 8].join(",").as_str(), (403, "Loop")),
        ("arn:aws:sns:eu-west-1:123456789012:other", (200, "Relayed")),
        ("", (200, "Relayed")),
    ] {
        let aws = working();
        let mut message = signed(notification("n-1", "a message"));
        // SNS does not sign attributes.
        message["MessageAttributes"][route::ATTRIBUTE] = json!({ "Type": "String", "Value": through });
        let (status, name) = seen(&outcome(&relay(&aws), delivery(&message), NOW).await);
        assert_eq!((status, name.as_str()), expected, "{through}");
        assert_eq!(aws.calls().len(), usize::from(status == 200));
        for call in aws.calls() {
            let (_, _, attribute) = attributes(&call).pop().unwrap();
            let expected = if through.is_empty() { TOPIC.to_owned() } else { format!("{through},{TOPIC}") };
            assert_eq!(attribute, expected);
        }
    }
}

#[tokio::test]
async fn where_sns_denies_the_call_the_checked_url_is_opened_once() {
    for (code, status, expected, opened) in [
        ("AuthorizationError", 200, (200, "ConfirmedByUrl"), 1),
        ("AccessDenied", 200, (200, "ConfirmedByUrl"), 1),
        ("AuthorizationError", 302, (403, "NotConfirmed"), 1),
        ("AuthorizationError", 403, (403, "NotConfirmed"), 1),
        ("AuthorizationError", 503, (503, "Confirm"), 1),
        ("InvalidClientTokenId", 200, (403, "NotConfirmed"), 0),
        ("InvalidParameter", 200, (403, "NotConfirmed"), 0),
        ("NotFound", 200, (403, "NotConfirmed"), 0),
        ("InternalError", 200, (503, "Confirm"), 0),
    ] {
        let urls = Urls { status, ..Urls::default() };
        let relay = relay(&Aws::new(move |_| Reply::Error(code))).with_urls(urls.clone());
        let message = signed(confirmation("SubscriptionConfirmation"));
        let result = outcome(&relay, delivery(&message), NOW).await;
        let (answer, name) = seen(&result);
        assert_eq!((answer, name.as_str()), expected, "{code} {status}");
        let url =
            format!("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token={TOKEN}");
        assert_eq!(*urls.opened.lock().unwrap(), vec![url; opened], "{code}");
        let line = outcome::metrics("message-relay", NOW, &result).line();
        assert_eq!(line.contains("\"ConfirmedByUrl\":1.0"), name == "ConfirmedByUrl", "{line}");
        if let Err(declined) = result {
            assert!(!chain(&declined).contains(TOKEN), "{declined:?}");
        }
    }
}

#[tokio::test]
async fn the_end_of_a_subscription_is_reported_and_nothing_is_called() {
    for message in [version_1("unsubscribe-confirmation-v1"), signed(confirmation("UnsubscribeConfirmation"))] {
        let result = outcome(&relay(&Aws::unused()), delivery(&message), time_of(&message)).await;
        assert_eq!(seen(&result), (200, "Unsubscribed".to_owned()));
        let line = outcome::metrics("message-relay", NOW, &result).line();
        assert!(line.contains("\"Unsubscribed\":1.0") && line.contains("\"Refused\":0.0"), "{line}");
    }
}

#[tokio::test]
async fn a_dry_run_calls_nothing() {
    let relay = relay_with(&[("DRY_RUN", "true")], StaticCertificates::new(), &Aws::unused());
    let messages = [signed(notification("n-1", "a")), signed(confirmation("SubscriptionConfirmation"))];
    // Twice: what was not published is not remembered as published.
    for message in messages.iter().chain(&messages) {
        assert_eq!(seen(&outcome(&relay, delivery(message), NOW).await), (200, "Planned".to_owned()));
    }
}

#[tokio::test]
async fn requests_that_sns_does_not_send_are_answered_before_anything_is_fetched() {
    let certificates = StaticCertificates::new();
    let relay = relay_with(&[], certificates.clone(), &Aws::unused());
    let message = signed(notification("n-1", "a"));
    let with = |change: fn(&mut Value)| {
        let mut event = delivery(&message);
        change(&mut event);
        event
    };
    let huge = |bytes| event("Notification", "a".repeat(bytes));
    let long = |bytes: usize| delivery(&signed(notification("n-1", &"a".repeat(bytes))));
    for (event, status) in [
        (with(|event| event["requestContext"]["http"]["method"] = "GET".into()), 405),
        (with(|event| event["requestContext"]["http"]["method"] = "post".into()), 405),
        (with(|event| event["headers"]["content-type"] = "text/html".into()), 415),
        (with(|event| event["headers"]["content-type"] = "application/jsonp".into()), 415),
        (with(|event| event["headers"] = json!({ "x-amz-sns-message-type": "Notification" })), 415),
        (with(|event| event["headers"]["x-amz-sns-rawdelivery"] = "true".into()), 403),
        (with(|event| event["headers"]["x-amz-sns-message-type"] = "SubscriptionConfirmation".into()), 400),
        (with(|event| event["headers"] = json!({ "content-type": "text/plain" })), 400),
        // What aws_lambda_events refuses as a whole.
        (with(|event| event["headers"]["x-note"] = "a\u{7}b".into()), 400),
        (with(|event| event["queryStringParameters"] = json!({ "a": null })), 400),
        (with(|event| event["isBase64Encoded"] = true.into()), 400),
        (with(|event| (event["isBase64Encoded"], event["body"]) = (true.into(), "/w==".into())), 400),
        (with(|event| event["body"] = Value::Null), 400),
        (with(|event| event["body"] = "[]".into()), 400),
        (with(|event| event["body"] = "{".into()), 400),
        (huge(256 * 1_024), 400),
        (huge(256 * 1_024 + 1), 413),
        (huge(5 << 20), 413),
        (long(256 * 1_024 + 1), 413),
    ] {
        let result = outcome(&relay, event.clone(), NOW).await;
        assert_eq!(seen(&result).0, status, "{result:?} {:.300}", event.to_string());
        assert_eq!(outcome::response(&result)["headers"]["allow"].is_string(), status == 405);
    }
    assert_eq!(certificates.fetches(), 0);
    let mut encoded = huge(1);
    (encoded["isBase64Encoded"], encoded["body"]) = (true.into(), "YWFh".repeat(1 << 20).into());
    assert_eq!(seen(&outcome(&relay, encoded, NOW).await).0, 413);
}

#[tokio::test]
async fn what_sns_may_send_is_accepted_in_each_of_its_forms() {
    // Every character escaped: the body is twice as large as the message that SNS accepts at most.
    let message = signed(notification("n-1", &"\"".repeat(256 * 1_024)));
    assert!(message.to_string().len() > 512 * 1_024);
    let plain = delivery(&message);
    let mut encoded = plain.clone();
    {
        use base64::Engine as _;
        let body = base64::prelude::BASE64_STANDARD.encode(message.to_string());
        (encoded["isBase64Encoded"], encoded["body"]) = (true.into(), body.into());
    }
    let mut json = plain.clone();
    json["headers"]["content-type"] = "Application/JSON;charset=utf-8".into();
    for event in [plain, encoded, json] {
        let aws = working();
        assert_eq!(seen(&outcome(&relay(&aws), event, NOW).await).0, 200);
        assert_eq!(aws.operations(), ["Publish"]);
    }
}

#[tokio::test]
async fn every_refusal_has_the_same_answer_and_its_reason_in_the_log_alone() {
    let message = signed(notification("n-1", "a"));
    let with = |field: &str, value: &str| {
        let mut message = message.clone();
        message[field] = value.into();
        message
    };
    let other_url = {
        let mut message = confirmation("SubscriptionConfirmation");
        message["SubscribeURL"] = "https://example.com/".into();
        signed(message)
    };
    let mut raw = delivery(&message);
    raw["headers"]["x-amz-sns-rawdelivery"] = "TRUE".into();
    let cases = [
        (delivery(&with("Message", "b")), NOW, "does not fit the message"),
        (delivery(&with("MessageId", "n-2")), NOW, "does not fit the message"),
        (delivery(&with("TopicArn", "arn:aws:sns:eu-west-1:123456789012:other")), NOW, "expected one of TOPIC_ARNS"),
        (delivery(&with("SigningCertURL", "https://example.com/a.pem")), NOW, "SigningCertURL"),
        (delivery(&with("SignatureVersion", "3")), NOW, "expected \"1\" or \"2\""),
        (delivery(&with("Signature", "EXAMPLE")), NOW, "expected base64"),
        (delivery(&message), NOW + time::Duration::minutes(75), "SNS_MAX_AGE_SECONDS"),
        (delivery(&message), NOW - time::Duration::minutes(16), "check this machine's clock"),
        (delivery(&other_url), NOW, "SubscribeURL"),
        (raw, NOW, "turn off raw message delivery"),
    ];
    let relay = relay(&Aws::unused());
    let mut answers = Vec::new();
    for (event, now, reason) in cases {
        let result = outcome(&relay, event, now).await;
        let text = chain(result.as_ref().unwrap_err());
        assert!(text.contains(reason), "{text}: {reason}");
        assert!(!text.contains(TOKEN), "{text}");
        answers.push(outcome::response(&result));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!((answers[0]["statusCode"].as_u64(), answers[0]["body"].as_str()), (Some(403), Some("refused\n")));
}

/// Codes of `Publish`, final ones and passing ones, and what the error says to do.
const PUBLISH_ERRORS: [(&str, &str); 9] = [
    ("AuthorizationError", "allow sns:Publish on the topic in the function's role and in the topic's policy"),
    ("NotFound", "the topic does not exist: correct the setting"),
    ("InvalidParameter", "raise the topic's MaximumMessageSize"),
    ("ParameterValueInvalid", "raise the topic's MaximumMessageSize"),
    ("KMSDisabled", "the key that encrypts the topic cannot be used: check its state"),
    ("KMSThrottling", "it may be transient: SNS tries again"),
    ("Throttled", "it may be transient: SNS tries again"),
    ("InternalError", "it may be transient: SNS tries again"),
    ("ExpiredToken", "it may be transient: SNS tries again"),
];

#[tokio::test]
async fn a_message_that_sns_sent_is_never_lost_by_an_answer_below_500() {
    for (code, next) in PUBLISH_ERRORS {
        let aws = Aws::new(move |call| if call.earlier < 5 { Reply::Error(code) } else { done(call) });
        let relay = relay(&aws);
        let event = delivery(&signed(notification("n-1", "a secret")));
        for _ in 0..5 {
            let result = outcome(&relay, event.clone(), NOW).await;
            assert_eq!(seen(&result), (503, "Publish".to_owned()), "{code}");
            let text = chain(result.as_ref().unwrap_err());
            assert!(text.starts_with(&format!("publishing to {TARGET}; ")) && text.contains(next), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        assert_eq!(seen(&outcome(&relay, event, NOW).await).1, "Relayed", "a failure is not remembered: {code}");
    }
}

#[tokio::test]
async fn a_confirmation_fails_for_good_or_for_now() {
    let again = "is tried again when SNS sends the confirmation again";
    for (code, status, error_type, next) in [
        ("InvalidParameter", 403, "NotConfirmed", "not valid, or older than two days; then subscribe the URL again"),
        ("NotFound", 403, "NotConfirmed", "the topic does not exist any more"),
        (
            "AuthorizationError",
            403,
            "NotConfirmed",
            "allow sns:ConfirmSubscription on the topic in the function's role",
        ),
        ("SubscriptionLimitExceeded", 403, "NotConfirmed", "ask for a higher quota"),
        ("FilterPolicyLimitExceeded", 403, "NotConfirmed", "ask for a higher quota"),
        ("ReplayLimitExceeded", 503, "Confirm", again),
        ("Throttling", 503, "Confirm", again),
        ("InternalError", 503, "Confirm", again),
        ("ExpiredToken", 503, "Confirm", again),
    ] {
        let event = delivery(&signed(confirmation("SubscriptionConfirmation")));
        let relay = relay(&Aws::new(move |_| Reply::Error(code))).with_urls(Urls { status: 403, ..Urls::default() });
        let result = outcome(&relay, event, NOW).await;
        assert_eq!(seen(&result), (status, error_type.to_owned()), "{code}");
        let text = chain(result.as_ref().unwrap_err());
        assert!(text.contains(next) && !text.contains(TOKEN), "{text}");
        let metric = if status == 403 { "\"NotConfirmed\":1.0" } else { "\"RetryLater\":1.0" };
        assert!(outcome::metrics("message-relay", NOW, &result).line().contains(metric), "{code}");
    }
}

/// A server that has the test certificate, and answers as told for every other URL.
#[derive(Clone, Default)]
struct Server {
    requests: Arc<Mutex<usize>>,
    hangs: bool,
}

impl CertificateSource for Server {
    fn fetch<'a>(&'a self, url: &'a CertificateUrl) -> Fetching<'a> {
        Box::pin(async move {
            *self.requests.lock().unwrap() += 1;
            if self.hangs {
                return pending().await;
            }
            if url.as_str().ends_with(SIGNING_CERTIFICATE_PATH) {
                return Ok(SIGNING_CERTIFICATE_PEM.into());
            }
            Err(FetchError::Status { status: 404 })
        })
    }
}

async fn flood(relay: &MessageRelay, ids: std::ops::Range<usize>, now: OffsetDateTime) {
    let message = signed(notification("forged", "a"));
    for id in ids {
        let mut message = message.clone();
        message["SigningCertURL"] =
            format!("https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{id:08}.pem").into();
        let (status, name) = seen(&outcome(relay, delivery(&message), now).await);
        assert_eq!((status, name.as_str()), (503, "Certificate"));
    }
}

#[tokio::test]
async fn a_flood_of_invented_certificates_costs_few_fetches_and_keeps_no_message_out() {
    let real_message = delivery(&signed(notification("n-1", "a")));
    // The certificate is known.
    let server = Server::default();
    let relay = relay_with(&[], server.clone(), &working());
    assert_eq!(seen(&outcome(&relay, delivery(&signed(notification("n-0", "a"))), NOW).await).0, 200);
    flood(&relay, 0..200, NOW).await;
    assert_eq!(*server.requests.lock().unwrap(), 2, "the true one and one of the flood");
    assert_eq!(seen(&outcome(&relay, real_message.clone(), NOW).await), (200, "Relayed".to_owned()));
    // It is not: the message is to be tried again, and the next attempt of SNS passes in the midst of the flood.
    let server = Server::default();
    let relay = relay_with(&[], server.clone(), &working());
    flood(&relay, 0..200, NOW).await;
    assert_eq!(seen(&outcome(&relay, real_message.clone(), NOW).await), (503, "Certificate".to_owned()));
    let later = NOW + time::Duration::seconds(20);
    flood(&relay, 200..400, later).await;
    assert_eq!(seen(&outcome(&relay, real_message, later).await), (200, "Relayed".to_owned()));
    assert!(*server.requests.lock().unwrap() <= 4, "{:?}", server.requests);
}

#[tokio::test]
async fn a_message_whose_certificate_was_not_read_is_503_and_relayed_when_the_host_is_well() {
    let event = delivery(&signed(notification("n-1", "a")));
    for status in (300..=599).chain([0]) {
        let certificates = StaticCertificates::new();
        let relay = relay_with(&[], certificates.clone(), &working());
        certificates.answer(status);
        assert_eq!(seen(&outcome(&relay, event.clone(), NOW).await), (503, "Certificate".to_owned()), "{status}");
        certificates.answer(200);
        let later = NOW + time::Duration::seconds(20);
        assert_eq!(seen(&outcome(&relay, event.clone(), later).await), (200, "Relayed".to_owned()), "{status}");
    }
    for (file, expected) in [
        ("<html>", (503, "Certificate")),
        ("", (503, "Certificate")),
        (include_str!("../../../../shared/sns/testing/refused/other-name.pem"), (403, "Refused")),
    ] {
        let relay = relay_with(&[], StaticCertificates::of(file), &Aws::unused());
        let (status, name) = seen(&outcome(&relay, event.clone(), NOW).await);
        assert_eq!((status, name.as_str()), expected, "{file}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_within_ten_seconds_whatever_hangs() {
    let never = Aws::new(|_| Reply::Hang);
    let hanging = Server { hangs: true, ..Server::default() };
    for (relay, message) in [
        (relay_with(&[], hanging, &Aws::unused()), signed(notification("n-1", "a"))),
        (relay(&never), signed(notification("n-1", "a"))),
        (relay(&never), signed(confirmation("SubscriptionConfirmation"))),
    ] {
        let start = tokio::time::Instant::now();
        let result = outcome(&relay, delivery(&message), NOW).await;
        assert_eq!(seen(&result), (503, "OutOfTime".to_owned()));
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_deadline_that_is_near_or_over_is_answered_503() {
    // This message is too old by the real clock, and that is a 403 where there is time for the checks.
    let old = delivery(&signed(notification("n-1", "a")));
    let response = relay(&Aws::unused()).handle(LambdaEvent::new(old, context(Duration::ZERO))).await.unwrap();
    assert_eq!(response["statusCode"], 503, "nothing is begun after the deadline");
    let hanging = Server { hangs: true, ..Server::default() };
    let mut message = notification("n-1", "a");
    message["Timestamp"] = clock::now().format(&Rfc3339).unwrap().into();
    let relay = relay_with(&[], hanging, &Aws::unused());
    let event = LambdaEvent::new(delivery(&signed(message)), context(Duration::ZERO));
    assert_eq!(relay.handle(event).await.unwrap()["statusCode"], 503);
}

#[tokio::test]
async fn both_calls_have_this_form_on_the_wire_in_the_region_of_their_topic() {
    let cases = [
        (
            signed(notification("n-1", "a message")),
            "eu-central-1",
            "Publish",
            json!({ "TopicArn": TARGET, "Message": "a message", "Subject": "expense" }),
        ),
        (
            signed(confirmation("SubscriptionConfirmation")),
            "eu-west-1",
            "ConfirmSubscription",
            json!({ "TopicArn": TOPIC, "Token": TOKEN, "AuthenticateOnUnsubscribe": "true" }),
        ),
    ];
    for (message, region, operation, expected) in cases {
        let aws = working();
        // The function's own Region is another one than that of either topic.
        let sdk = aws.sdk_without_retries().into_builder().region(Region::new("us-east-1")).build();
        let relay = relay_over(&[], StaticCertificates::new(), Client::new(&sdk));
        assert_eq!(seen(&outcome(&relay, delivery(&message), NOW).await).0, 200);
        let [call] = &aws.calls()[..] else { panic!("{aws:?}") };
        assert_eq!(call.host, format!("sns.{region}.amazonaws.com"));
        assert_eq!((call.region.as_str(), call.operation.as_str()), (region, operation));
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(call.parameters.get(name), Some(value), "{name} in {call:?}");
        }
    }
}

/// An SNS on this machine that publishes whatever it gets, and how many connections were made to it.
async fn server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut request = Vec::new();
                while stream.read_buf(&mut request).await.is_ok_and(|bytes| bytes > 0) {
                    // The last attribute is the end of the form.
                    let text = String::from_utf8_lossy(&request).into_owned();
                    if !text.contains("MessageAttributes.entry.4.Value.StringValue=") {
                        continue;
                    }
                    request.clear();
                    let body =
                        "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>";
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
                }
            });
        }
    });
    (url, connections)
}

#[tokio::test]
async fn all_messages_are_published_over_one_connection() {
    let (url, connections) = server().await;
    let sdk = Aws::unused().sdk();
    let sns = aws_sdk_sns::Config::builder()
        .behavior_version(aws_sdk_sns::config::BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(sdk.credentials_provider().unwrap())
        .endpoint_url(url);
    let relay = relay_over(&[], StaticCertificates::new(), Client::from_conf(sns.build()));
    for id in 0..3 {
        let event = delivery(&signed(notification(&format!("n-{id}"), "a message")));
        assert_eq!(seen(&outcome(&relay, event, NOW).await), (200, "Relayed".to_owned()));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_real_requests_of_function_urls_and_http_apis_get_an_answer() {
    for (name, status) in [
        ("function-url-get", 405),
        ("function-url-post-text", 400),
        ("httpapi-get-account-null", 405),
        ("httpapi-get-query-repeated", 405),
        ("httpapi-get-query", 405),
        ("httpapi-post-form-base64", 415),
        ("httpapi-post-form", 415),
    ] {
        let Some(file) = real(&format!("lambda-events/{name}.json")) else { return };
        let event: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let result = outcome(&relay(&Aws::unused()), event, NOW).await;
        // The crate refuses a number as Content-Length, which AWS never sends.
        let expected = if name == "httpapi-post-form" { [400, 415].as_slice() } else { &[status] };
        assert!(expected.contains(&seen(&result).0), "{name}: {result:?}");
    }
}

#[tokio::test]
async fn the_real_messages_of_sns_pass_at_their_time() {
    let mut passed = 0;
    for (folder, certificate) in [
        ("java-v2", "SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem"),
        ("php", "SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem"),
    ] {
        let Some(folder) = real(&format!("sns-signed/{folder}")) else { return };
        let certificate = std::fs::read_to_string(folder.join(certificate)).unwrap();
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            // Lambda's spelling never comes over HTTPS.
            if !name.ends_with(".json") || name.starts_with("lambda") {
                continue;
            }
            let message: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let now = time_of(&message);
            let settings = [("TOPIC_ARNS", message["TopicArn"].as_str().unwrap())];
            let relay = relay_with(&settings, StaticCertificates::of(certificate.clone()), &working());
            let result = outcome(&relay, delivery(&message), now).await;
            assert_eq!(seen(&result).0, 200, "{name}: {result:?}");
            passed += 1;
        }
    }
    assert!(passed >= 9, "{passed}");
}

#[test]
fn an_event_from_elsewhere_is_an_error() {
    for event in [
        json!(null),
        json!([]),
        json!({ "Records": [] }),
        json!({ "httpMethod": "POST", "body": "{}" }),
        json!({ "requestContext": { "http": { "method": 1 } } }),
    ] {
        let error = RelayRequest::parse(event.clone()).unwrap_err();
        assert_eq!(error.error_type(), "InvalidEvent", "{event}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just("true".into()),
        Just("SubscriptionConfirmation".into()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Puts the value in the place of one of those in `tree`, counted from its root.
fn put_at(tree: &mut Value, place: usize, value: Value) {
    fn paths(tree: &Value, path: &str, found: &mut Vec<String>) {
        found.push(path.to_owned());
        let Value::Object(fields) = tree else { return };
        fields.iter().for_each(|(name, inner)| paths(inner, &format!("{path}/{name}"), found));
    }
    let mut found = Vec::new();
    paths(tree, "", &mut found);
    *tree.pointer_mut(&found[place % found.len()]).unwrap() = value;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a stranger sends gets an answer, and never one that says it was accepted.
    #[test]
    fn no_request_of_a_stranger_panics_or_is_accepted(
        body in ".{0,200}", method in "[A-Z]{0,7}", content_type in ".{0,40}", header in ".{0,20}", base64: bool,
    ) {
        let mut event = event(&header, body);
        event["requestContext"]["http"]["method"] = method.into();
        event["headers"]["content-type"] = content_type.into();
        event["isBase64Encoded"] = base64.into();
        let request = RelayRequest::parse(event).unwrap();
        let declined = request.delivery.unwrap_err();
        prop_assert!([400, 403, 405, 413, 415].contains(&declined.status()));
    }

    /// Any event is an error or gets one of the documented answers; what differs from a delivery of SNS is not published.
    #[test]
    fn any_change_of_a_delivery_has_a_documented_answer(place in 0usize..64, in_body: bool, value in any_json()) {
        let message = signed(notification("n-1", "a message"));
        let mut event = delivery(&message);
        if in_body {
            let mut body = message.clone();
            put_at(&mut body, place, value);
            event["body"] = body.to_string().into();
        } else {
            put_at(&mut event, place, value);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let aws = working();
        let relay = relay(&aws);
        let response = runtime.block_on(async {
            let Ok(request) = RelayRequest::parse(event.clone()) else { return None };
            Some(outcome::response(&relay.outcome(request, Instant::now() + ANSWER_WITHIN, NOW).await.1))
        });
        let Some(response) = response else {
            prop_assert!(!event["requestContext"]["http"]["method"].is_string());
            return Ok(());
        };
        let status = response["statusCode"].as_u64().unwrap();
        prop_assert!([200, 400, 403, 405, 413, 415, 503].contains(&status), "{}", status);
        prop_assert!(response["body"].is_string() && response["headers"]["content-type"].is_string());
        prop_assert_eq!(aws.calls().len(), usize::from(status == 200));
        let is_same = serde_json::from_str::<Value>(event["body"].as_str().unwrap_or_default()).is_ok_and(|body| {
            ["Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp"]
                .iter()
                .all(|field| body[field] == message[field])
        });
        prop_assert!(is_same || status != 200, "{}", event);
    }

    /// No byte of what SNS signed can be changed.
    #[test]
    fn a_changed_message_is_never_published(position in 0usize..2_000, byte in 0x20u8..0x7f) {
        const SIGNED: [&str; 6] = ["Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp"];
        let message = signed(notification("n-1", "a message"));
        let mut bytes = message.to_string().into_bytes();
        let position = position % bytes.len();
        bytes[position] = byte;
        let body = String::from_utf8(bytes).unwrap();
        let changed: Value = serde_json::from_str(&body).unwrap_or_default();
        let is_same = SIGNED.iter().all(|field| changed[field] == message[field]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let aws = working();
        let relay = relay(&aws);
        let status = runtime.block_on(async { seen(&outcome(&relay, event("Notification", body), NOW).await).0 });
        prop_assert!(status == 200 || aws.calls().is_empty());
        prop_assert!(is_same || status != 200, "{}", status);
    }
}
