//! What is logged besides the report and the failure that is returned.
//!
//! The only test of its process: `tracing` decides once for all threads whether a line is of interest.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use gatehouse_shared::clock;
use gatehouse_shared::env::Env;
use gatehouse_shared::failure::ErrorType as _;
use gatehouse_shared::sns::Verifier;
use gatehouse_shared::verifier;
use gatehouse_testkit::{Aws, LogLines, Reply, Signer, StaticCertificates, invocation, lambda_event, notification};
use message_redactor::Redactor;
use message_redactor::config::Config;
use message_redactor::publish::Publisher;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

const ORIGIN: &str = "arn:aws:sns:eu-west-1:111122223333:approved-expenses";
const TARGET: &str = "arn:aws:sns:eu-west-1:111122223333:reporting";
const PRINCIPAL: &str = "arn:aws:iam::111122223333:role/Reporting";
const CARD: &str = "4539894458086459";

/// A redactor with a policy for this side, whose SNS cannot be reached.
fn redactor(direction: &str) -> Redactor {
    let policy = json!({
        "Name": "expenses", "Version": "2021-06-01",
        "Statement": [{
            "DataDirection": direction, "Principal": [PRINCIPAL],
            "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/CreditCardNumber"],
            "Operation": { "Deidentify": { "MaskConfig": {} } },
        }],
    })
    .to_string();
    let table = [
        ("DATA_PROTECTION_POLICY", policy.as_str()),
        ("SUBSCRIBER_PRINCIPAL", PRINCIPAL),
        ("TARGET_TOPIC_ARN", TARGET),
        ("TOPIC_ARNS", ORIGIN),
        ("ALLOW_UNPROTECTED", "true"),
    ];
    let env = Env::of_table(&table);
    let (config, settings) = env.read(|env| Config::from_env(env).zip(verifier::settings(env))).unwrap();
    let sdk = Aws::new(|_| Reply::Lost).sdk_without_retries();
    let publisher = Publisher::new(&sdk, &config.target_topic_arn);
    let ssm = aws_sdk_ssm::Client::new(&sdk);
    let verifier = Verifier::with_source(settings, StaticCertificates::new());
    Redactor::new(config, verifier, ssm, publisher, None)
}

fn of_level(lines: Vec<Value>, level: &str) -> Vec<Value> {
    lines.into_iter().filter(|line| line["level"] == level).collect()
}

#[tokio::test]
async fn failures_after_the_first_are_logged_and_so_is_a_policy_that_does_nothing() {
    let log = LogLines::capture();
    let function = redactor("Outbound");
    assert_eq!(of_level(log.take(), "WARN"), [Value::Null; 0]);

    let now = clock::now().format(&Rfc3339).unwrap();
    let event = lambda_event(["m-1", "m-2", "m-3"].map(|id| {
        let mut message = notification(ORIGIN, CARD, &now);
        message["MessageId"] = id.into();
        Signer::new().sign(message)
    }));
    let error = function.handle(invocation(event)).await.unwrap_err();
    assert_eq!(error.error_type(), "Publish");
    assert!(error.to_string().contains(" m-1 "), "the first is logged by the loop of the function: {error}");
    let lines = log.take();
    assert!(!format!("{lines:?}").contains(CARD), "{lines:?}");
    let lines = of_level(lines, "ERROR");
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, id) in lines.iter().zip(["m-2", "m-3"]) {
        assert_eq!((&line["message"], &line["errorType"]), (&json!("one more message failed"), &json!("Publish")));
        let text = line["error"].as_str().unwrap();
        assert!(text.starts_with(&format!("publishing the message {id} to TARGET_TOPIC_ARN; ")), "{text}");
    }

    redactor("Inbound");
    let lines = of_level(log.take(), "WARN");
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(
        messages,
        [
            "statements with DataDirection Inbound do nothing here: set Outbound for what subscribers receive",
            "no Outbound statement applies to SUBSCRIBER_PRINCIPAL: with ALLOW_UNPROTECTED messages pass unchanged",
        ]
    );
    assert_eq!((&lines[0]["statements"], &lines[1]["principal"]), (&json!("$.Statement[0]"), &json!(PRINCIPAL)));
}
