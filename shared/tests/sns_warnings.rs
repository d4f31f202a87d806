//! What the log says of settings that admit more than they should.
//!
//! The only test of its process: `tracing` decides once for all threads whether a line is of interest.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect should stop there")]

use gatehouse_shared::env::Env;
use gatehouse_shared::sns::{Channel, Envelope, Mode, Settings, Topics, Verifier};
use gatehouse_shared::verifier;
use gatehouse_testkit::{LogLines, Signer, StaticCertificates, notification};
use serde_json::Value;
use time::macros::datetime;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:example";

#[tokio::test]
async fn a_warning_is_written_once_at_the_first_message_and_not_for_faulty_settings() {
    let log = LogLines::capture();
    let signed = Signer::new().sign(notification(TOPIC, "hello", "2026-03-06T20:00:26.893Z"));
    let now = datetime!(2026-03-06 20:01 UTC);
    let faulty = [("TOPIC_ARNS", "bad"), ("SNS_VERIFY", "off")];
    let fault = Env::of_table(&faulty).read(verifier::from_env).err().unwrap().to_string();
    assert!(fault.contains("TOPIC_ARNS") && !fault.contains("SNS_VERIFY"), "{fault}");
    assert_eq!(log.take(), [Value::Null; 0]);

    let named = Topics::only([TOPIC.parse().unwrap()]).unwrap();
    for (mode, topics, of_mode, of_topics) in [
        (Mode::Enforce, named.clone(), 0, 0),
        (Mode::Off, named, 1, 0),
        (Mode::Enforce, Topics::any(), 0, 1),
        (Mode::Off, Topics::any(), 1, 1),
    ] {
        let settings = Settings { mode, topics, ..Settings::default() };
        let verifier = Verifier::with_source(settings.clone(), StaticCertificates::new());
        assert_eq!(log.take(), [Value::Null; 0], "{settings:?}");
        for _ in 0..2 {
            verifier.verify(Envelope::from_value(&signed).unwrap(), Channel::Lambda, now).await.unwrap();
        }
        let lines = log.take();
        let is = |line: &Value, start: &str| {
            line["level"] == "WARN" && line["message"].as_str().is_some_and(|message| message.starts_with(start))
        };
        let warnings = |start: &str| lines.iter().filter(|line| is(line, start)).count();
        assert_eq!(warnings("SNS_VERIFY is off: anybody who can invoke this function"), of_mode, "{settings:?}");
        assert_eq!(warnings("TOPIC_ARNS is unset: messages of any topic"), of_topics, "{settings:?}");
    }
}
