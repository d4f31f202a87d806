//! Signed messages verify; with one byte of what is signed changed they do not.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect should stop there")]

mod common;

use std::fs;
use std::sync::LazyLock;

use common::real;
use gatehouse_sns::testing::{self, SIGNING_CERTIFICATE_PEM, Signer, StaticCertificates};
use gatehouse_sns::{
    Channel, Envelope, Mode, ParseError, Settings, Verified, Verifier, VerifyError, envelopes_of_lambda_event,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A message, with the certificate it names.
struct Case {
    name: String,
    message: Value,
    certificate: String,
}

/// Every real message, the repository's own of version 1, and one of each type signed here with version 2.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let mut cases = Vec::new();
    let mut add = |name: String, message: Value, certificate: &str| {
        cases.push(Case { name, message, certificate: certificate.to_owned() });
    };
    for version_1 in ["notification-v1", "subscription-confirmation-v1", "unsubscribe-confirmation-v1"] {
        let file = format!("{}/testing/messages/{version_1}.json", env!("CARGO_MANIFEST_DIR"));
        let message: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let version_2 = Signer::new().sign(message.clone());
        add(version_1.to_owned(), message, SIGNING_CERTIFICATE_PEM);
        add(format!("{version_1} signed again"), version_2, SIGNING_CERTIFICATE_PEM);
    }
    for folder in real("sns-signed").iter().flat_map(|folder| fs::read_dir(folder).unwrap()) {
        let paths = fs::read_dir(folder.unwrap().path()).unwrap().map(|entry| entry.unwrap().path());
        let (messages, certificates): (Vec<_>, Vec<_>) = paths.partition(|path| path.extension().unwrap() == "json");
        let [certificate] = &certificates[..] else { panic!("one certificate for {messages:?}: {certificates:?}") };
        let certificate = fs::read_to_string(certificate).unwrap();
        assert!(!messages.is_empty());
        for path in messages {
            add(path.display().to_string(), serde_json::from_slice(&fs::read(&path).unwrap()).unwrap(), &certificate);
        }
    }
    cases
});

#[derive(Debug)]
enum Refusal {
    Parse(ParseError),
    Verify(VerifyError),
}

impl Case {
    /// Verifies `message` with the clock at the Timestamp of this case.
    fn verify(&self, message: &Value) -> Result<Verified, Refusal> {
        let envelope = Envelope::from_value(message).map_err(Refusal::Parse)?;
        self.verify_envelope(envelope)
    }

    fn verify_envelope(&self, envelope: Envelope) -> Result<Verified, Refusal> {
        let verifier = Verifier::with_source(Settings::default(), StaticCertificates::of(&self.certificate));
        let now = OffsetDateTime::parse(self.message["Timestamp"].as_str().unwrap(), &Rfc3339).unwrap();
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(verifier.verify(envelope, Channel::Lambda, now))
            .map_err(Refusal::Verify)
    }

    fn is_notification(&self) -> bool {
        self.message["Type"] == "Notification"
    }

    /// The fields that SNS signed in this message, by its documentation.
    fn signed_fields(&self) -> Vec<&'static str> {
        let names = if self.is_notification() {
            &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"][..]
        } else {
            &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
        };
        names.iter().copied().filter(|name| self.message[name].is_string()).collect()
    }

    /// The message with another text in one field.
    fn with(&self, field: &str, text: impl Into<Value>) -> Value {
        let mut message = self.message.clone();
        message[field] = text.into();
        message
    }
}

#[test]
fn every_signed_message_verifies() {
    for case in CASES.iter() {
        let verified = case.verify(&case.message).unwrap_or_else(|refusal| panic!("{}: {refusal:?}", case.name));
        assert!(verified.signature_checked());
        assert_eq!(verified.message_type().as_str(), case.message["Type"]);
        assert_eq!(verified.message(), case.message["Message"]);
        assert_eq!(verified.subject(), case.message["Subject"].as_str());
        assert_eq!(verified.topic_arn(), case.message["TopicArn"]);
        assert_eq!(verified.message_id(), case.message["MessageId"]);
        assert_eq!(verified.timestamp(), case.message["Timestamp"]);
        assert_eq!(verified.token(), case.message["Token"].as_str());
        assert_eq!(verified.subscribe_url(), case.message["SubscribeURL"].as_str());
    }
}

#[test]
fn every_signed_message_verifies_from_its_text_and_from_a_lambda_event() {
    for case in CASES.iter() {
        let text = serde_json::to_string_pretty(&case.message).unwrap();
        case.verify_envelope(Envelope::from_json(text).unwrap()).unwrap();
        let event = testing::lambda_event([case.message.clone()]);
        let [envelope] = &envelopes_of_lambda_event(&event).unwrap()[..] else { panic!("{event}") };
        case.verify_envelope(envelope.clone()).unwrap();
    }
}

#[test]
fn no_signed_byte_can_be_changed() {
    for case in CASES.iter() {
        for field in case.signed_fields() {
            let text = case.message[field].as_str().unwrap();
            for (position, character) in text.char_indices() {
                let mut changed = text.to_owned();
                let other = if character == 'x' { "y" } else { "x" };
                changed.replace_range(position..position + character.len_utf8(), other);
                let outcome = case.verify(&case.with(field, changed));
                assert!(outcome.is_err(), "{}: byte {position} of {field} was changed", case.name);
            }
        }
    }
}

#[test]
fn no_signed_field_can_be_dropped_or_emptied() {
    for case in CASES.iter() {
        for field in case.signed_fields() {
            assert!(case.verify(&case.with(field, Value::Null)).is_err(), "{}: {field} is null", case.name);
            assert!(case.verify(&case.with(field, "")).is_err(), "{}: {field} is empty", case.name);
        }
    }
}

#[test]
fn no_subject_can_be_added() {
    let mut tried = 0;
    for case in CASES.iter().filter(|case| case.is_notification() && !case.message["Subject"].is_string()) {
        for subject in ["", "a subject"] {
            let outcome = case.verify(&case.with("Subject", subject));
            assert!(
                matches!(outcome, Err(Refusal::Verify(VerifyError::Signature { .. }))),
                "{}: {outcome:?}",
                case.name
            );
        }
        tried += 1;
    }
    assert!(tried > 0 || real("sns-signed").is_none());
}

#[test]
fn what_a_type_does_not_sign_is_not_given_out() {
    for case in CASES.iter() {
        let mut message = case.message.clone();
        if case.is_notification() {
            message["Token"] = "forged".into();
            message["SubscribeURL"] = "https://example.com/".into();
        } else {
            message["Subject"] = "forged".into();
        }
        let verified = case.verify(&message).unwrap();
        assert_eq!(verified.token(), case.message["Token"].as_str());
        assert_eq!(verified.subscribe_url(), case.message["SubscribeURL"].as_str());
        assert_eq!(verified.subject(), case.message["Subject"].as_str());
    }
}

/// The string to sign has a line for each name and value. Where a value other than Message could hold line breaks, one
/// signature would fit several messages, among them some that the publisher never sent.
#[test]
fn lines_cannot_be_moved_from_one_field_to_another() {
    for case in CASES.iter().filter(|case| case.message["Subject"].is_string()) {
        let (id, subject) = (case.message["MessageId"].as_str().unwrap(), case.message["Subject"].as_str().unwrap());
        let mut message = case.with("MessageId", format!("{id}\nSubject\n{subject}"));
        message["Subject"] = Value::Null;
        let outcome = case.verify(&message);
        let Err(Refusal::Parse(error)) = outcome else { panic!("{}: {outcome:?}", case.name) };
        assert_eq!(
            error.to_string(),
            "the field MessageId is text with a line break: expected one line of text",
            "{}",
            case.name
        );
    }
}

#[test]
fn a_signature_of_one_version_does_not_pass_as_the_other() {
    for case in CASES.iter() {
        let other = if case.message["SignatureVersion"] == "1" { "2" } else { "1" };
        let outcome = case.verify(&case.with("SignatureVersion", other));
        assert!(matches!(outcome, Err(Refusal::Verify(VerifyError::Signature { .. }))), "{}: {outcome:?}", case.name);
    }
}

#[test]
fn a_signature_of_another_key_does_not_pass() {
    for case in CASES.iter().filter(|case| case.name.contains("sns-signed/")) {
        let forged = Signer::new().sign(case.message.clone());
        let forged = case.with("Signature", forged["Signature"].clone());
        assert!(case.verify(&forged).is_err(), "{}", case.name);
    }
}

#[test]
fn off_admits_what_nobody_signed_and_says_so() {
    let settings = Settings { mode: Mode::Off, ..Settings::default() };
    let source = StaticCertificates::new();
    let verifier = Verifier::with_source(settings, source.clone());
    let mut message = testing::notification("arn:aws:sns:EXAMPLE", "hello", "1970-01-01T00:00:00.000Z");
    message["Signature"] = "EXAMPLE".into();
    let envelope = Envelope::from_value(&message).unwrap();
    let verified = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(verifier.verify(envelope, Channel::Lambda, OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000)))
        .unwrap();
    assert!(!verified.signature_checked());
    assert_eq!(verified.message(), "hello");
    assert_eq!(source.fetches(), 0);
}

#[test]
fn debug_output_hides_what_may_be_secret() {
    let mut message = testing::notification("arn:aws:sns:us-east-1:123456789012:example", "a password", "now");
    message["Type"] = "SubscriptionConfirmation".into();
    message["Token"] = "a token".into();
    message["SubscribeURL"] = "https://a-token".into();
    let text = format!("{:?}", Envelope::from_value(&message).unwrap());
    assert!(text.contains("da41e39f-ea4d-435a-b922-c6aae3915ebe"), "{text}");
    assert!(!text.contains("password") && !text.contains("token"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_edit_of_a_signed_field_verifies(
        case in 0..CASES.len(),
        field in any::<prop::sample::Index>(),
        position in any::<prop::sample::Index>(),
        removed in 0_usize..3,
        inserted in "(?s).{0,3}",
    ) {
        let case = &CASES[case];
        let fields = case.signed_fields();
        let field = fields[field.index(fields.len())];
        let text: Vec<char> = case.message[field].as_str().unwrap().chars().collect();
        let start = position.index(text.len() + 1);
        let end = (start + removed).min(text.len());
        let changed: String = text[..start].iter().copied().chain(inserted.chars()).chain(text[end..].iter().copied()).collect();
        prop_assume!(changed != case.message[field]);
        prop_assert!(case.verify(&case.with(field, changed.clone())).is_err(), "{}: {field} is {changed:?}", case.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_signed_verifies(
        subject in prop::option::of("[^\n]{0,99}"),
        text in "(?s).{0,400}",
        id in "[^\n]{1,36}",
    ) {
        let mut message = testing::notification("arn:aws:sns:eu-west-1:123456789012:example", &text, "2026-03-06T20:00:26.893Z");
        message["Subject"] = json!(subject);
        message["MessageId"] = id.into();
        let message = Signer::new().sign(message);
        let case = Case { name: String::new(), message: message.clone(), certificate: SIGNING_CERTIFICATE_PEM.to_owned() };
        prop_assert!(case.verify(&message).is_ok());
    }
}

#[test]
fn the_mode_is_read_by_its_exact_name() {
    for (text, expected) in [
        ("enforce", Ok(Mode::Enforce)),
        ("off", Ok(Mode::Off)),
        ("Enforce", Err("expected enforce or off")),
        ("", Err("expected enforce or off")),
    ] {
        assert_eq!(text.parse::<Mode>(), expected, "{text:?}");
    }
}
