//! A record whose certificate was not read is neither refused nor done: the queue delivers it again.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

use aws_smithy_mocks::{Rule, RuleMode, mock_client};
use gatehouse_shared::clock;
use gatehouse_shared::env::Env;
use gatehouse_shared::sns::Verifier;
use gatehouse_shared::testing::{Signer, StaticCertificates, notification};
use gatehouse_shared::verifier;
use lambda_runtime::{Context, LambdaEvent};
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
    let mut context = Context::default();
    context.deadline = u64::try_from((now + time::Duration::HOUR).unix_timestamp_nanos() / 1_000_000).unwrap();
    for status in (300..=599).chain([0, 200]) {
        let table = [("TOPIC_ARNS", TOPIC)];
        let env = Env::of_table(&table);
        let (config, settings) = env.read(|env| Config::from_env(env).zip(verifier::settings(env))).unwrap();
        let certificates = StaticCertificates::new();
        certificates.answer(status);
        let unused = mock_client!(aws_sdk_codepipeline, RuleMode::MatchAny, Vec::<&Rule>::new());
        let function = PipelineRetry::new(config, Verifier::with_source(settings, certificates), unused, None);
        let answer = function.handle(LambdaEvent::new(event.clone(), context.clone())).await.unwrap();
        let RetryResponse::Batch(response) = answer else { panic!("{answer:?}") };
        let failed: Vec<_> = response.batch_item_failures.into_iter().map(|failed| failed.item_identifier).collect();
        assert_eq!(failed.is_empty(), status == 200, "{status}: {failed:?}");
    }
}
