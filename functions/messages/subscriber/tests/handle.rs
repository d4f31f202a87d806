//! Whole invocations.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use expense_subscriber::ExpenseSubscriber;
use expense_subscriber::config::Config;
use expense_subscriber::error::Error;
use gatehouse_shared::env::Env;
use gatehouse_shared::failure::ErrorType as _;
use gatehouse_shared::sns::Verifier;
use gatehouse_shared::verifier;
use gatehouse_testkit::{Signer, StaticCertificates, invocation, lambda_event, notification};
use serde_json::{Value, json};

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:reporting";

fn function() -> ExpenseSubscriber {
    function_with(StaticCertificates::new())
}

fn function_with(certificates: StaticCertificates) -> ExpenseSubscriber {
    // The samples are older than any limit by default.
    let env =
        Env::of_table(&[("SUBSCRIBER", "reporting"), ("TOPIC_ARNS", TOPIC), ("SNS_MAX_AGE_SECONDS", "4294967295")]);
    let (config, settings) = env.read(|env| Config::from_env(env).zip(verifier::settings(env))).unwrap();
    ExpenseSubscriber::new(config, Verifier::with_source(settings, certificates))
}

fn message(text: &str) -> Value {
    Signer::new().sign(notification(TOPIC, text, "2026-03-06T20:00:26.893Z"))
}

#[tokio::test]
async fn a_message_is_received_whole_with_its_attributes() {
    let mut event = lambda_event([message("{\"card\": \"****\"}")]);
    let attributes = json!({ "gatehouse.origin-message-id": { "Type": "String", "Value": "n-1" } });
    event["Records"][0]["Sns"]["MessageAttributes"] = attributes.clone();
    let received = function().handle(invocation(event)).await.unwrap();
    assert_eq!(
        serde_json::to_value(received).unwrap(),
        json!([{
            "subscriber": "reporting",
            "topic_arn": TOPIC,
            "message_id": "da41e39f-ea4d-435a-b922-c6aae3915ebe",
            "timestamp": "2026-03-06T20:00:26.893Z",
            "message": "{\"card\": \"****\"}",
            "attributes": attributes,
        }])
    );
}

/// Lambda invokes the function again after an error, and keeps the event in the end.
#[tokio::test]
async fn a_message_whose_certificate_was_not_read_fails_so_that_it_comes_again() {
    let event = lambda_event([message("a")]);
    for status in (300..=599).chain([0]) {
        let certificates = StaticCertificates::new();
        certificates.answer(status);
        let function = function_with(certificates);
        let error = function.handle(invocation(event.clone())).await.unwrap_err();
        assert!(matches!(&error, Error::Refused(error) if error.is_transient()), "{status}: {error:?}");
    }
}

#[tokio::test]
async fn what_sns_did_not_send_is_refused() {
    let mut event = lambda_event([message("a")]);
    event["Records"][0]["Sns"]["Message"] = "b".into();
    let error = function().handle(invocation(event)).await.unwrap_err();
    assert_eq!(error.error_type(), "Refused");
    for event in [json!({}), json!({ "Records": [] }), json!({ "Records": [{ "body": "{}" }] })] {
        let error = function().handle(invocation(event)).await.unwrap_err();
        assert_eq!(error.error_type(), "InvalidEvent");
    }
}

#[test]
fn the_name_of_the_subscriber_must_be_set() {
    for (name, accepted) in [("payment", true), ("report_ing-2", true), ("", false), ("a b", false)] {
        let table = [("SUBSCRIBER", name)];
        let env = Env::of_table(&table);
        assert_eq!(env.read(Config::from_env).is_ok(), accepted, "{name:?}");
    }
}
