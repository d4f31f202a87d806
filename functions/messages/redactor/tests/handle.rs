//! Whole invocations with a real client: what is published, who is notified, what fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gatehouse_shared::clock;
use gatehouse_shared::env::Env;
use gatehouse_shared::failure::{ErrorType as _, chain};
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sdk::SdkConfig;
use gatehouse_shared::sns::{CertificateSource, CertificateUrl, Fetching, Verifier};
use gatehouse_shared::verifier;
use gatehouse_testkit::{
    Aws, Reply, SIGNING_CERTIFICATE_PEM, Signer, StaticCertificates, chat_message, context, invocation, lambda_event,
    notification,
};
use lambda_runtime::LambdaEvent;
use message_redactor::Redactor;
use message_redactor::config::Config;
use message_redactor::error::Error;
use message_redactor::publish::Publisher;
use message_redactor::report::{DeliveryOutcome, DeliveryReport};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

const ORIGIN: &str = "arn:aws:sns:eu-west-1:111122223333:approved-expenses";
const TARGET: &str = "arn:aws:sns:eu-west-1:111122223333:reporting";
const DENIED: &str = "arn:aws:sns:eu-west-1:111122223333:owners";
const CARD: &str = "4539894458086459";
const MASKED: &str = "################";

fn policy(operation: &Value) -> String {
    json!({
        "Name": "expenses", "Version": "2021-06-01",
        "Statement": [{
            "DataDirection": "Outbound", "Principal": ["arn:aws:iam::111122223333:role/Reporting"],
            "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/CreditCardNumber"], "Operation": operation,
        }],
    })
    .to_string()
}

fn mask() -> Value {
    json!({ "Deidentify": { "MaskConfig": { "MaskWithCharacter": "#" } } })
}

fn redact() -> Value {
    json!({ "Deidentify": { "RedactConfig": {} } })
}

fn deny() -> Value {
    json!({ "Deny": {} })
}

/// A redactor with settings besides the usual ones, or in their place.
fn redactor_with(
    settings: &[(&str, &str)],
    sdk: &SdkConfig,
    certificates: impl CertificateSource + 'static,
) -> Redactor {
    let mut table = vec![
        ("SUBSCRIBER_PRINCIPAL", "arn:aws:iam::111122223333:role/Reporting"),
        ("TARGET_TOPIC_ARN", TARGET),
        ("DENIED_TOPIC_ARN", DENIED),
        ("TOPIC_ARNS", ORIGIN),
    ];
    table.retain(|(name, _)| !settings.iter().any(|(given, _)| given == name));
    table.extend(settings.iter().filter(|(_, value)| !value.is_empty()));
    let env = Env::of_table(&table);
    let (config, settings) = env.read(|env| Config::from_env(env).zip(verifier::settings(env))).unwrap();
    let verifier = Verifier::with_source(settings, certificates);
    let publisher = Publisher::new(sdk, &config.target_topic_arn);
    let denied = Notifier::for_topics(sdk, config.denied_topic_arn.as_ref(), config.chat_topic.as_ref());
    Redactor::new(config, verifier, aws_sdk_ssm::Client::new(sdk), publisher, denied)
}

/// A redactor with this policy.
fn redactor(policy: &str, aws: &Aws) -> Redactor {
    let settings = [("DATA_PROTECTION_POLICY", policy)];
    redactor_with(&settings, &aws.sdk_without_retries(), StaticCertificates::new())
}

/// The messages that were published to this topic, the oldest first.
fn published(aws: &Aws, topic_arn: &str) -> Vec<String> {
    let calls = aws.calls_of("Publish").into_iter().filter(|call| call.text("TopicArn") == topic_arn);
    calls.map(|call| call.text("Message").to_owned()).collect()
}

fn working() -> Aws {
    Aws::new(|_| success())
}

fn success() -> Reply {
    Reply::Xml("<MessageId>m-2</MessageId>".to_owned())
}

/// A message of this id, as SNS signs it now.
fn signed(id: &str, text: &str) -> Value {
    let now = clock::now().replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap();
    let mut message = notification(ORIGIN, text, &now);
    message["MessageId"] = id.into();
    Signer::new().sign(message)
}

/// The delivery of a message with these attributes.
fn delivery(message: &str, attributes: Value) -> LambdaEvent<Value> {
    let mut event = lambda_event([signed("m-1", message)]);
    event["Records"][0]["Sns"]["MessageAttributes"] = attributes;
    invocation(event)
}

fn outcomes(reports: &[DeliveryReport]) -> Vec<DeliveryOutcome> {
    reports.iter().map(|report| report.outcome).collect()
}

#[tokio::test]
async fn a_message_is_published_masked_with_its_attributes() {
    let aws = working();
    let function = redactor(&policy(&mask()), &aws);
    let attributes = json!({ "card": { "Type": "Number", "Value": CARD } });
    let reports = function.handle(delivery(&format!("{{\"card\":{CARD}}}"), attributes)).await.unwrap();
    assert_eq!(published(&aws, TARGET), [format!("{{\"card\":\"{MASKED}\"}}")]);
    assert_eq!(aws.calls().len(), 1);
    assert_eq!(
        (reports[0].outcome, reports[0].published_message_id.as_deref()),
        (DeliveryOutcome::Published, Some("m-2"))
    );
    let report = serde_json::to_value(&reports).unwrap();
    assert_eq!(
        report[0]["findings"],
        json!([
            { "path": "$.card", "identifier": "CreditCardNumber", "operation": "Mask", "count": 1 },
            { "path": "attributes.card", "identifier": "CreditCardNumber", "operation": "Mask", "count": 1 },
        ])
    );
    assert!(!report.to_string().contains(CARD) && !format!("{reports:?}").contains(CARD));
}

#[tokio::test]
async fn the_publish_call_has_this_form_on_the_wire() {
    let aws = working();
    let target = "arn:aws:sns:eu-central-1:111122223333:reporting";
    let policy = policy(&mask());
    let settings = [("DATA_PROTECTION_POLICY", policy.as_str()), ("TARGET_TOPIC_ARN", target)];
    let function = redactor_with(&settings, &aws.sdk(), StaticCertificates::new());
    let mut message = signed("m-1", CARD);
    message["Subject"] = format!("card {CARD}").into();
    let mut event = lambda_event([Signer::new().sign(message)]);
    event["Records"][0]["Sns"]["MessageAttributes"] = json!({
        "office": { "Type": "String", "Value": "Sydney & Perth" },
        "tags": { "Type": "String.Array", "Value": format!("[\"a\",{CARD},true]") },
        "card": { "Type": "Number", "Value": CARD },
        "amount": { "Type": "Number", "Value": "12.50" },
        "text": { "Type": "Binary", "Value": "Y2FyZCA0NTM5ODk0NDU4MDg2NDU5" }, // card 4539…
        "bytes": { "Type": "Binary", "Value": "/wA=" },
    });
    let reports = function.handle(invocation(event)).await.unwrap();
    assert_eq!(outcomes(&reports), [DeliveryOutcome::Published]);

    let [call] = &aws.calls()[..] else { panic!("{aws:?}") };
    assert_eq!(call.host, "sns.eu-central-1.amazonaws.com", "the Region is that of the topic");
    let mut form: BTreeMap<String, String> = serde_json::from_value(call.parameters.clone()).unwrap();
    let mut attributes = BTreeMap::new();
    for entry in 1..=6 {
        let mut take = |name: &str| form.remove(&format!("MessageAttributes.entry.{entry}.{name}"));
        let (name, data_type) = (take("Name").unwrap(), take("Value.DataType").unwrap());
        attributes.insert(name, (data_type, take("Value.StringValue"), take("Value.BinaryValue")));
    }
    let text = |data_type: &str, value: &str| (data_type.to_owned(), Some(value.to_owned()), None);
    let binary = |value: &str| ("Binary".to_owned(), None, Some(value.to_owned()));
    let expected = [
        ("office", text("String", "Sydney & Perth")),
        ("tags", text("String.Array", &format!("[\"a\",\"{MASKED}\",true]"))),
        ("card", text("String", MASKED)),
        ("amount", text("Number", "12.50")),
        ("text", binary("Y2FyZCAjIyMjIyMjIyMjIyMjIyMj")),
        ("bytes", binary("/wA=")),
    ];
    assert_eq!(attributes, expected.map(|(name, value)| (name.to_owned(), value)).into());
    let rest = [("TopicArn", target), ("Message", MASKED), ("Subject", &format!("card {MASKED}"))];
    assert_eq!(form, rest.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[tokio::test]
async fn a_subject_of_which_nothing_is_left_is_not_sent() {
    let aws = working();
    let function = redactor(&policy(&redact()), &aws);
    let mut message = signed("m-1", "hello");
    message["Subject"] = format!(" {CARD} ").into();
    function.handle(invocation(lambda_event([Signer::new().sign(message)]))).await.unwrap();
    let call = &aws.calls()[0];
    assert_eq!((call.text("Message"), call.parameters.get("Subject")), ("hello", None));
}

#[tokio::test]
async fn of_a_message_that_is_not_delivered_the_owners_learn_the_identifier_and_no_value() {
    for (operation, outcome, reason) in [
        (deny(), DeliveryOutcome::Denied, "the data protection policy denies it"),
        (redact(), DeliveryOutcome::NothingLeft, "nothing is left of it after redaction"),
    ] {
        let aws = working();
        let function = redactor(&policy(&operation), &aws);
        let reports = function.handle(delivery(CARD, json!({}))).await.unwrap();
        assert_eq!(outcomes(&reports), [outcome]);
        assert_eq!(published(&aws, TARGET), [""; 0]);
        let [text] = &published(&aws, DENIED)[..] else { panic!("{outcome:?}") };
        for part in [reason, "- CreditCardNumber (1) in message", "Message id: m-1", ORIGIN, "role/Reporting"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains(CARD) && !text.contains("more"), "{text}");
    }
}

#[tokio::test]
async fn what_is_not_listed_is_counted_in_the_report_and_in_the_notice() {
    let aws = working();
    let cards: Vec<_> = (0..60).map(|number| format!("\"card{number}\":{CARD}")).collect();
    let message = format!("{{{}}}", cards.join(","));
    let reports = redactor(&policy(&deny()), &aws).handle(delivery(&message, json!({}))).await.unwrap();
    assert_eq!((reports[0].findings.len(), reports[0].more_findings), (50, 10));
    let [text] = &published(&aws, DENIED)[..] else { panic!("{reports:?}") };
    assert_eq!(text.matches("\n- CreditCardNumber (1) in $.card").count(), 50);
    assert!(text.ends_with("\n- and 10 more\n"), "{text}");

    let attributes = json!({ "card": { "Type": "Number", "Value": CARD }, "a": { "Type": "String", "Value": "x" } });
    let reports = redactor(&policy(&redact()), &aws).handle(delivery("hello", attributes)).await.unwrap();
    assert_eq!((reports[0].more_findings, reports[0].attributes_dropped), (0, 1));

    for (sample_rate, expected) in [("0", false), ("99", true)] {
        let audit = json!({
            "Audit": { "SampleRate": sample_rate, "FindingsDestination": { "S3": { "Bucket": "b" } } },
        });
        let function = redactor(&policy(&audit), &aws);
        let reports = function.handle(delivery(CARD, json!({}))).await.unwrap();
        assert_eq!(reports[0].audited, expected, "{sample_rate}");
    }
}

#[tokio::test]
async fn a_dry_run_publishes_nothing_and_remembers_nothing() {
    for (operation, outcome) in [
        (mask(), DeliveryOutcome::Planned),
        (deny(), DeliveryOutcome::Denied),
        (redact(), DeliveryOutcome::NothingLeft),
    ] {
        let policy = policy(&operation);
        let settings = [("DATA_PROTECTION_POLICY", policy.as_str()), ("DRY_RUN", "true")];
        let function = redactor_with(&settings, &Aws::unused().sdk(), StaticCertificates::new());
        for _ in 0..2 {
            let reports = function.handle(delivery(CARD, json!({}))).await.unwrap();
            assert_eq!(outcomes(&reports), [outcome]);
        }
    }
}

/// What SNS answers, and what the error says to do.
const PUBLISH_ERRORS: [(&str, &str); 9] = [
    ("AuthorizationError", "; allow sns:Publish on the topic in the function's role and in the topic's policy: "),
    ("NotFound", "; the topic does not exist: correct the setting: "),
    ("InvalidParameter", "raise the topic's MaximumMessageSize: "),
    ("ParameterValueInvalid", "raise the topic's MaximumMessageSize: "),
    ("KMSAccessDenied", "; allow kms:GenerateDataKey and kms:Decrypt for the topic's key"),
    ("KMSDisabled", "; the key that encrypts the topic cannot be used: check its state: "),
    ("KMSThrottling", "; it is tried again when the message is delivered again: "),
    ("Throttled", "; it is tried again when the message is delivered again: "),
    ("InternalError", "; it is tried again when the message is delivered again: "),
];

#[tokio::test]
async fn a_publication_that_fails_says_what_to_do_and_is_not_taken_for_done() {
    for (operation, error_type, start) in [
        (mask(), "Publish", "publishing the message m-1 to TARGET_TOPIC_ARN; "),
        (deny(), "Notify", "publishing to DENIED_TOPIC_ARN that the message m-1 was not delivered; "),
    ] {
        for (code, next) in PUBLISH_ERRORS {
            let fails = Arc::new(AtomicBool::new(true));
            let still = Arc::clone(&fails);
            let aws = Aws::new(move |_| if still.load(Ordering::Relaxed) { Reply::Error(code) } else { success() });
            let function = redactor(&policy(&operation), &aws);
            for _ in 0..2 {
                let error = function.handle(delivery(CARD, json!({}))).await.unwrap_err();
                let text = chain(&error);
                assert_eq!(error.error_type(), error_type, "{code}");
                assert!(text.starts_with(start) && text.contains(next), "{code}: {text}");
                assert!(text.contains("as tested") && !text.contains(CARD), "{code}: {text}");
            }
            fails.store(false, Ordering::Relaxed);
            let reports = function.handle(delivery(CARD, json!({}))).await.unwrap();
            let expected = if error_type == "Publish" { DeliveryOutcome::Published } else { DeliveryOutcome::Denied };
            assert_eq!(outcomes(&reports), [expected], "{code}");
            assert_eq!(aws.calls().len(), 3, "{code}");
        }
    }
}

#[tokio::test]
async fn an_sns_that_cannot_be_reached_is_an_error_that_is_tried_again() {
    let function = redactor(&policy(&mask()), &Aws::new(|_| Reply::Lost));
    let error = function.handle(delivery(CARD, json!({}))).await.unwrap_err();
    let text = chain(&error);
    assert_eq!(error.error_type(), "Publish", "{text}");
    assert!(text.contains("; it is tried again when the message is delivered again: dispatch failure"), "{text}");
}

#[tokio::test]
async fn a_message_that_fails_holds_up_no_other_one_and_the_first_error_is_returned() {
    let aws = Aws::new(|call| match call.text("Message") {
        "two" => Reply::Error("AuthorizationError"),
        "four" => Reply::Error("InternalError"),
        _ => success(),
    });
    let function = redactor(&policy(&mask()), &aws);
    let mut forged = signed("m-3", "three");
    forged["Message"] = "forged".into();
    let event = lambda_event([
        signed("m-1", "one"),
        signed("m-2", "two"),
        forged,
        signed("m-4", "four"),
        signed("m-5", "five"),
    ]);
    let error = function.handle(invocation(event.clone())).await.unwrap_err();
    assert!(matches!(&error, Error::Publish { message_id, .. } if message_id == "m-2"), "{error}");
    assert_eq!(published(&aws, TARGET), ["one", "two", "four", "five"]);
    // Lambda invokes again with the whole event, and all of it is published again: subscribers are idempotent.
    function.handle(invocation(event)).await.unwrap_err();
    assert_eq!(published(&aws, TARGET), ["one", "two", "four", "five"].repeat(2));
}

/// Certificates that do not come for now.
#[derive(Clone, Default)]
struct Hanging(Arc<AtomicBool>);

impl CertificateSource for Hanging {
    fn fetch<'a>(&'a self, _: &'a CertificateUrl) -> Fetching<'a> {
        Box::pin(async {
            if self.0.load(Ordering::Relaxed) {
                return pending().await;
            }
            Ok(SIGNING_CERTIFICATE_PEM.into())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn no_work_goes_on_until_lambdas_deadline_and_nothing_is_lost() {
    let aws = working();
    let policy = policy(&mask());
    let settings = [("DATA_PROTECTION_POLICY", policy.as_str())];
    let certificates = Hanging::default();
    let function = redactor_with(&settings, &aws.sdk(), certificates.clone());
    let within = |seconds: i64| {
        let mut context = context(Duration::ZERO);
        context.deadline = context.deadline.saturating_add_signed(seconds * 1_000);
        LambdaEvent::new(lambda_event([signed("m-1", "one"), signed("m-2", "two")]), context)
    };
    for (hangs, seconds) in [(true, 10), (false, 0), (false, -1)] {
        certificates.0.store(hangs, Ordering::Relaxed);
        let start = tokio::time::Instant::now();
        let error = function.handle(within(seconds)).await.unwrap_err();
        assert_eq!(error.error_type(), "OutOfTime", "{seconds}");
        assert_eq!(error.to_string(), "out of time for the message m-1; it is tried again when it is delivered again");
        // A tenth of the time is kept back.
        assert!(start.elapsed() <= Duration::from_secs(9), "{seconds}");
        assert_eq!(published(&aws, TARGET), [""; 0], "{seconds}");
    }
    // A process remembers for 10 s that the certificate did not come, and the wall clock stands.
    let function = redactor_with(&settings, &aws.sdk(), certificates.clone());
    let reports = function.handle(within(10)).await.unwrap();
    assert_eq!(outcomes(&reports), [DeliveryOutcome::Published; 2]);
}

#[tokio::test]
async fn a_policy_in_a_parameter_is_read_once_and_one_with_faults_delivers_nothing() {
    let with = |policy: String| {
        let aws = Aws::new(move |call| match call.operation.as_str() {
            "GetParameter" => Reply::Json(json!({ "Parameter": { "Value": policy } })),
            _ => success(),
        });
        let settings = [("DATA_PROTECTION_POLICY", "ssm:/policy")];
        (redactor_with(&settings, &aws.sdk_without_retries(), StaticCertificates::new()), aws)
    };
    let (function, aws) = with(policy(&mask()));
    for id in ["m-1", "m-2"] {
        function.handle(invocation(lambda_event([signed(id, "hello")]))).await.unwrap();
    }
    let read = aws.calls_of("GetParameter");
    assert_eq!((read.len(), read[0].text("Name"), published(&aws, TARGET).len()), (1, "/policy", 2));

    let (function, aws) = with(policy(&json!({})));
    let error = function.handle(delivery("hello", json!({}))).await.unwrap_err();
    assert_eq!(error.error_type(), "InvalidSettings");
    assert!(chain(&error).contains("$.Statement[0].Operation is an empty object"), "{}", chain(&error));
    assert!(aws.calls_of("Publish").is_empty(), "{aws:?}");
}

#[tokio::test]
async fn a_message_that_sns_did_not_send_like_this_is_refused() {
    let changed = |change: fn(&mut Value)| {
        let mut event = lambda_event([signed("m-1", "hello")]);
        change(&mut event["Records"][0]["Sns"]);
        event
    };
    let attributes = |value: Value| {
        let mut event = changed(|_| {});
        event["Records"][0]["Sns"]["MessageAttributes"] = value;
        event
    };
    let from = |topic: &str, of_type: &str| {
        let mut message = signed("m-1", "hello");
        (message["TopicArn"], message["Type"]) = (topic.into(), of_type.into());
        (message["Token"], message["SubscribeURL"]) = ("t".into(), "https://sns.eu-west-1.amazonaws.com/".into());
        lambda_event([Signer::new().sign(message)])
    };
    let cases = [
        (changed(|message| message["Message"] = "other".into()), "Refused", "the field Signature does not fit"),
        (from("arn:aws:sns:eu-west-1:111122223333:other", "Notification"), "Refused", "expected one of TOPIC_ARNS"),
        (from(ORIGIN, "SubscriptionConfirmation"), "InvalidEvent", "the field Type is SubscriptionConfirmation"),
        (json!({ "Records": [{ "body": "{}" }] }), "InvalidEvent", "Records[0].Sns is missing"),
        (attributes(json!([])), "InvalidEvent", "Records[0].Sns.MessageAttributes is not as SNS writes it"),
        (attributes(json!({ "a": { "Value": "x" } })), "InvalidEvent", "expected a Type for each attribute"),
        (attributes(json!({ "a": { "Type": "String" } })), "InvalidEvent", "expected a Value for each attribute"),
        (attributes(json!({ "a": { "Type": "Binary", "Value": "!" } })), "InvalidEvent", "expected base64"),
    ];
    let function = redactor(&policy(&mask()), &Aws::unused());
    for (event, error_type, text) in cases {
        let error = function.handle(invocation(event)).await.unwrap_err();
        assert_eq!(error.error_type(), error_type, "{error}");
        assert!(chain(&error).contains(text), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_message_of_a_topic_that_it_publishes_to_is_refused() {
    let policy = policy(&mask());
    for own in [TARGET, DENIED] {
        // Without TOPIC_ARNS the settings cannot show the loop.
        let settings = [("DATA_PROTECTION_POLICY", policy.as_str()), ("TOPIC_ARNS", "")];
        let function = redactor_with(&settings, &Aws::unused().sdk(), StaticCertificates::new());
        let mut message = signed("m-1", "hello");
        message["TopicArn"] = own.into();
        let event = lambda_event([Signer::new().sign(message)]);
        let error = function.handle(invocation(event)).await.unwrap_err();
        assert_eq!(error.error_type(), "Refused");
        assert!(error.to_string().contains("which would invoke itself"), "{error}");
    }
}

#[test]
fn faults_of_the_settings_are_reported_together() {
    let fifo = "arn:aws:sns:eu-west-1:111122223333:reporting.fifo";
    let inline = policy(&mask());
    let other = "arn:aws:iam::111122223333:role/Other";
    let named = inline.replace("\"*\"", "\"arn:aws:iam::111122223333:role/Reporting\"");
    let inbound = inline.replace("Outbound", "Inbound");
    for (table, parts) in [
        (
            vec![("DATA_PROTECTION_POLICY", "{}"), ("TARGET_TOPIC_ARN", ORIGIN), ("TOPIC_ARNS", ORIGIN)],
            vec!["DATA_PROTECTION_POLICY $.Name", "$.Version", "$.Statement", "SUBSCRIBER_PRINCIPAL", "invoke itself"],
        ),
        (vec![], vec!["DATA_PROTECTION_POLICY is \"\"", "SUBSCRIBER_PRINCIPAL is \"\"", "TARGET_TOPIC_ARN is \"\""]),
        (vec![("DATA_PROTECTION_POLICY", "ssm:")], vec!["expected ssm: and the name of a parameter"]),
        (vec![("DATA_PROTECTION_POLICY", "ssm:a b")], vec!["expected ssm: and the name of a parameter"]),
        (vec![("SUBSCRIBER_PRINCIPAL", "*")], vec!["SUBSCRIBER_PRINCIPAL is \"*\": expected the ARN of a principal"]),
        // A policy that lets everything through.
        (
            vec![("DATA_PROTECTION_POLICY", &named), ("SUBSCRIBER_PRINCIPAL", other)],
            vec![
                "SUBSCRIBER_PRINCIPAL is \"arn:aws:iam::111122223333:role/Other\": no Outbound statement of the policy applies",
                "$.Statement[0].Principal is arn:aws:iam::111122223333:role/Reporting",
                "or set ALLOW_UNPROTECTED=true",
            ],
        ),
        (
            vec![("DATA_PROTECTION_POLICY", &inbound), ("SUBSCRIBER_PRINCIPAL", other)],
            vec!["$.Statement[0].DataDirection is Inbound"],
        ),
        (
            vec![("DATA_PROTECTION_POLICY", &inline), ("TARGET_TOPIC_ARN", fifo), ("DENIED_TOPIC_ARN", fifo)],
            vec!["TARGET_TOPIC_ARN is", "expected a standard topic", "expected another topic than TARGET_TOPIC_ARN"],
        ),
    ] {
        let env = Env::of_table(&table);
        let error = env.read(Config::from_env).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

#[tokio::test]
async fn chat_hears_of_a_message_that_is_not_delivered_and_its_refusal_is_no_failure() {
    const CHAT: &str = "arn:aws:sns:us-east-1:444455556666:chat";
    for (denied, refuses) in [(DENIED, false), (DENIED, true), ("", false)] {
        let aws = Aws::new(move |call| match call.text("TopicArn") {
            CHAT if refuses => Reply::Error("AuthorizationError"),
            _ => success(),
        });
        let policy = policy(&deny());
        let settings =
            [("DATA_PROTECTION_POLICY", policy.as_str()), ("CHAT_TOPIC_ARN", CHAT), ("DENIED_TOPIC_ARN", denied)];
        let function = redactor_with(&settings, &aws.sdk_without_retries(), StaticCertificates::new());
        let reports = function.handle(delivery(CARD, json!({}))).await.unwrap();
        assert_eq!(outcomes(&reports), [DeliveryOutcome::Denied]);
        assert_eq!(published(&aws, DENIED).len(), usize::from(!denied.is_empty()));
        let message = chat_message(&published(&aws, CHAT)[0]).unwrap();
        assert_eq!(message["metadata"]["threadId"], "m-1");
        assert!(!message.to_string().contains(CARD), "{message}");
    }
}
