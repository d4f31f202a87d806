//! What the log says of settings that admit more than they should.
//!
//! The only test of its process: `tracing` decides once for all threads whether a line is of interest.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect should stop there")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use gatehouse_shared::env::Env;
use gatehouse_shared::sns::{Channel, Envelope, Mode, Settings, Topics, Verifier};
use gatehouse_shared::testing::{Signer, StaticCertificates, notification};
use lambda_runtime::tracing::subscriber;
use lambda_runtime::tracing::subscriber::fmt::MakeWriter;
use lambda_runtime::tracing::subscriber::prelude::*;
use time::macros::datetime;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:example";

#[tokio::test]
async fn a_warning_is_written_once_at_the_first_message_and_not_for_faulty_settings() {
    let log = Log::default();
    let signed = Signer::new().sign(notification(TOPIC, "hello", "2026-03-06T20:00:26.893Z"));
    let now = datetime!(2026-03-06 20:01 UTC);
    let _guard = subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish().set_default();
    let faulty = [("TOPIC_ARNS", "bad"), ("SNS_VERIFY", "off")];
    let env = Env::of_table(&faulty);
    let _ = Verifier::from_env(&env);
    env.finish(()).unwrap_err();
    assert_eq!(log.text(), "");

    let named = Topics::only([TOPIC.parse().unwrap()]).unwrap();
    for (mode, topics, of_mode, of_topics) in [
        (Mode::Enforce, named.clone(), 0, 0),
        (Mode::Off, named, 1, 0),
        (Mode::Enforce, Topics::any(), 0, 1),
        (Mode::Off, Topics::any(), 1, 1),
    ] {
        log.clear();
        let settings = Settings { mode, topics, max_age: None };
        let verifier = Verifier::with_source(settings.clone(), StaticCertificates::new());
        assert_eq!(log.text(), "", "{settings:?}");
        for _ in 0..2 {
            verifier.verify(Envelope::from_value(&signed).unwrap(), Channel::Lambda, now).await.unwrap();
        }
        let warnings =
            |text: &str| log.text().lines().filter(|line| line.contains("WARN") && line.contains(text)).count();
        assert_eq!(warnings("SNS_VERIFY is off: anybody who can invoke this function"), of_mode, "{settings:?}");
        assert_eq!(warnings("TOPIC_ARNS is unset: messages of any topic"), of_topics, "{settings:?}");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
