//! Entry point: read settings, build clients, hand over.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use gatehouse_shared::env::Env;
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sns::Verifier;
use gatehouse_shared::{failure, log};
use lambda_runtime::{LambdaEvent, run, service_fn};
use pipeline_retry::PipelineRetry;
use pipeline_retry::config::Config;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::of_process();
    log::init(&env, false);
    let (config, verifier) = match env.finish((Config::from_env(&env), Verifier::from_env(&env))) {
        Ok(settings) => settings,
        Err(error) => return failure::answer_always(error).await,
    };
    // A call that hangs must not use up the time of the records after it.
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(5)).build();
    let sdk = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await;
    let notifier = config.notify_topic_arn.as_ref().map(|topic| Notifier::new(&sdk, topic.to_string()));
    let function = PipelineRetry::new(config, verifier, aws_sdk_codepipeline::Client::new(&sdk), notifier);
    run(service_fn(|event: LambdaEvent<Value>| function.handle(event))).await
}
