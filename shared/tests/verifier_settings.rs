//! The settings that decide which messages are accepted.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect should stop there")]

use gatehouse_shared::env::Env;
use gatehouse_shared::sns::{Mode, SignatureVersion, Topics};
use gatehouse_shared::verifier;
use time::Duration;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:example";

#[test]
fn settings_have_safe_defaults() {
    let env = Env::of_table(&[]);
    let settings = env.read(verifier::settings).unwrap();
    assert_eq!(settings.mode, Mode::Enforce);
    assert_eq!(settings.topics, Topics::any());
    assert_eq!(settings.max_age, None);
    assert_eq!(settings.min_signature_version, SignatureVersion::V1);
}

#[test]
fn settings_are_read() {
    let table = [("SNS_VERIFY", "off"), ("TOPIC_ARNS", TOPIC), ("SNS_MAX_AGE_SECONDS", "90")];
    let env = Env::of_table(&table);
    let settings = env.read(verifier::settings).unwrap();
    assert_eq!(settings.mode, Mode::Off);
    assert_eq!(settings.topics, Topics::only([TOPIC.parse().unwrap()]).unwrap());
    assert_eq!(settings.max_age, Some(Duration::seconds(90)));
}

#[test]
fn every_fault_of_the_settings_is_named() {
    let table = [
        ("SNS_VERIFY", "no"),
        ("TOPIC_ARNS", "arn:aws:sns:us-east-1:123456789012:*, arn:aws:sns:cn-north-1:123456789012:example"),
        ("SNS_MAX_AGE_SECONDS", "0"),
        ("SNS_SIGNATURE_VERSIONS", "2,3"),
    ];
    assert_eq!(
        Env::of_table(&table).read(verifier::from_env).err().unwrap().to_string(),
        "invalid settings: \
         SNS_SIGNATURE_VERSIONS is \"3\": expected 1 or 2; \
         SNS_VERIFY is \"no\": expected enforce or off; \
         TOPIC_ARNS is \"arn:aws:sns:us-east-1:123456789012:*\": \
         expected arn:<partition>:sns:<region>:<12 digits>:<topic name>; \
         TOPIC_ARNS is \"arn:aws:sns:cn-north-1:123456789012:example\": \
         expected the partition aws-cn, in which cn-north-1 is; \
         SNS_MAX_AGE_SECONDS is \"0\": expected a whole number from 1 to 4294967295"
    );
}

#[test]
fn a_list_of_no_topics_is_a_fault_rather_than_any_topic() {
    let error = Env::of_table(&[("TOPIC_ARNS", " , ")]).read(verifier::from_env).err().unwrap().to_string();
    assert!(error.starts_with("invalid settings: TOPIC_ARNS is \",\": expected one or more values"), "{error}");
}

#[test]
fn a_verifier_for_https_names_standard_topics_and_verifies() {
    type Table<'a> = &'a [(&'a str, &'a str)];
    const FIFO: &str = "arn:aws:sns:us-east-1:123456789012:example.fifo";
    let off = "SNS_VERIFY is \"off\": expected enforce: over HTTPS anybody can send messages";
    let unnamed = "TOPIC_ARNS is \"\": \
                   expected the ARNs of the topics to accept, separated by commas: over HTTPS anybody can send messages";
    let fifo = format!("TOPIC_ARNS is \"{FIFO}\": expected a standard topic: FIFO topics do not deliver over HTTPS");
    let both = format!("{TOPIC},{FIFO}");
    let cases: [(Table<'_>, &[&str]); 7] = [
        (&[], &[unnamed]),
        (&[("TOPIC_ARNS", TOPIC)], &[]),
        (&[("TOPIC_ARNS", TOPIC), ("SNS_VERIFY", "enforce"), ("AWS_SAM_LOCAL", "true")], &[]),
        (&[("TOPIC_ARNS", &both)], &[&fifo]),
        (&[("TOPIC_ARNS", TOPIC), ("SNS_VERIFY", "off")], &[off]),
        (&[("TOPIC_ARNS", TOPIC), ("SNS_VERIFY", "off"), ("AWS_SAM_LOCAL", "true")], &[]),
        (&[("SNS_VERIFY", "off")], &[unnamed, off]),
    ];
    for (settings, faults) in cases {
        let env = Env::of_table(settings);
        let error = env.read(verifier::from_env_for_https).err().map(|error| error.to_string());
        let expected = (!faults.is_empty()).then(|| format!("invalid settings: {}", faults.join("; ")));
        assert_eq!(error, expected, "{settings:?}");
    }
}

#[test]
fn signature_versions_are_both_or_the_newer_one() {
    for (text, expected) in [
        ("", Ok(SignatureVersion::V1)),
        ("1,2", Ok(SignatureVersion::V1)),
        ("2, 1", Ok(SignatureVersion::V1)),
        ("2", Ok(SignatureVersion::V2)),
        ("1", Err("1\": expected 1,2 or 2: version 2 is the safer one")),
        ("sha256", Err("sha256\": expected 1 or 2")),
        (",", Err(",\": expected one or more values, separated by commas")),
    ] {
        let table = [("SNS_SIGNATURE_VERSIONS", text)];
        let env = Env::of_table(&table);
        let read = env.read(verifier::settings).map(|settings| settings.min_signature_version);
        let expected = expected.map_err(|fault| format!("invalid settings: SNS_SIGNATURE_VERSIONS is \"{fault}"));
        assert_eq!(read.map_err(|error| error.to_string()), expected, "{text:?}");
    }
}
