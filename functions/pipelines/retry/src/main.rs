//! Entry point: read settings, build clients, hand over.

use std::time::Duration;

use gatehouse_shared::env::Env;
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sdk::{self, TimeoutConfig};
use gatehouse_shared::{lambda, log, verifier};
use pipeline_retry::PipelineRetry;
use pipeline_retry::config::Config;

/// A call that hangs must not use up the time of the records after it: one attempt, and the whole call with all the
/// attempts of the SDK.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::of_process();
    log::init(&env, env!("CARGO_CRATE_NAME"));
    let (config, verifier) = match env.read(|env| Config::from_env(env).zip(verifier::from_env(env))) {
        Ok(settings) => settings,
        Err(error) => return lambda::answer_always(error).await,
    };
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).operation_timeout(CALL_TIMEOUT).build();
    let sdk = sdk::config(&env).timeout_config(timeouts).build();
    let notifier = Notifier::for_topics(&sdk, config.notify_topic_arn.as_ref(), config.chat_topic.as_ref());
    let function = PipelineRetry::new(config, verifier, aws_sdk_codepipeline::Client::new(&sdk), notifier);
    lambda::run(|event| function.handle(event)).await
}
