//! A record whose certificate was not read is neither refused nor done: the queue delivers it again.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use aws_sdk_codepipeline::Client;
use gatehouse_shared::clock;
use gatehouse_shared::env::Env;
use gatehouse_shared::sns::Verifier;
use gatehouse_shared::verifier;
use gatehouse_testkit::{Aws, Signer, StaticCertificates, invocation, notification};
use pipeline_retry::PipelineRetry;
use pipeline_retry::config::Config;
use pipeline_retry::report::RetryResponse;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:example";

#[tokio::test]
async fn a_record_is_delivered_again_until_its_certificate_was_read() {
    let now = clock::now();
    // A text for people, which is ignored once it is known to be SNS's.
    let message = Signer::new().sign(notification(TOPIC, "hello", &now.format(&Rfc3339).unwrap())).to_string();
    let event = json!({"Records": [{"messageId": "m", "eventSource": "aws:sqs", "body": message}]});
    for status in (300..=599).chain([0, 200]) {
        let table = [("TOPIC_ARNS", TOPIC)];
        let env = Env::of_table(&table);
        let (config, settings) = env.read(|env| Config::from_env(env).zip(verifier::settings(env))).unwrap();
        let certificates = StaticCertificates::new();
        certificates.answer(status);
        let unused = Client::new(&Aws::unused().sdk());
        let function = PipelineRetry::new(config, Verifier::with_source(settings, certificates), unused, None);
        let answer = function.handle(invocation(event.clone())).await.unwrap();
        let RetryResponse::Batch(response) = answer else { panic!("{answer:?}") };
        let failed: Vec<_> = response.batch_item_failures.into_iter().map(|failed| failed.item_identifier).collect();
        assert_eq!(failed.is_empty(), status == 200, "{status}: {failed:?}");
    }
}
