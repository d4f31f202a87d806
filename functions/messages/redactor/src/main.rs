//! Entry point: read the settings, build the clients, hand over.

use std::time::Duration;

use gatehouse_shared::env::Env;
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sdk::{self, TimeoutConfig};
use gatehouse_shared::{lambda, log, verifier};
use message_redactor::Redactor;
use message_redactor::config::Config;
use message_redactor::publish::Publisher;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::of_process();
    log::init(&env, env!("CARGO_CRATE_NAME"));
    let (config, verifier) = match env.read(|env| Config::from_env(env).zip(verifier::from_env(env))) {
        Ok(settings) => settings,
        Err(error) => return lambda::answer_always(error).await,
    };
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(5)).build();
    let sdk = sdk::config(&env).timeout_config(timeouts).build();
    let publisher = Publisher::new(&sdk, &config.target_topic_arn);
    let denied = Notifier::for_topics(&sdk, config.denied_topic_arn.as_ref(), config.chat_topic.as_ref());
    let function = Redactor::new(config, verifier, aws_sdk_ssm::Client::new(&sdk), publisher, denied);
    lambda::run(|event| function.handle(event)).await
}
