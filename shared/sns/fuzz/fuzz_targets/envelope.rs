//! Any bytes as a delivery of SNS: read, and checked as far as they go.
#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use gatehouse_sns::testing::StaticCertificates;
use gatehouse_sns::{Channel, Envelope, Settings, Verifier, envelopes_of_lambda_event, string_to_sign};
use libfuzzer_sys::fuzz_target;
use time::macros::datetime;

thread_local! {
    static VERIFIER: Verifier = Verifier::with_source(Settings::default(), StaticCertificates::new());
}

fuzz_target!(|data: &[u8]| {
    if let Ok(envelope) = Envelope::from_json(data) {
        check(envelope);
    }
    if let Ok(event) = serde_json::from_slice(data) {
        for envelope in envelopes_of_lambda_event(&event).unwrap_or_default() {
            check(envelope);
        }
    }
});

fn check(envelope: Envelope) {
    let _ = format!("{envelope:?}");
    // One reading only: the lines after the message are names and single-line values.
    let text = string_to_sign(&envelope);
    let end = format!("TopicArn\n{}\nType\n", envelope.unverified_topic_arn());
    assert!(text.starts_with("Message\n") && text.contains(&end));

    let verdict = VERIFIER.with(|verifier| {
        let verdict = pin!(verifier.verify(envelope, Channel::Sqs, datetime!(2026-03-06 20:05 UTC)));
        let Poll::Ready(verdict) = verdict.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("nothing here waits")
        };
        verdict
    });
    match verdict {
        Ok(verified) => assert!(verified.signature_checked()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
