//! Entry point: read the settings, build the client, hand over.

use std::time::Duration;

use gatehouse_shared::env::Env;
use gatehouse_shared::sdk::{self, TimeoutConfig};
use gatehouse_shared::{lambda, log, verifier};
use message_relay::MessageRelay;
use message_relay::config::Config;

/// SNS waits for the answer: after a certificate that took its 5 seconds there is time for two attempts.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
const CALL_TIMEOUT: Duration = Duration::from_secs(7);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::of_process();
    log::init(&env, env!("CARGO_CRATE_NAME"));
    let (config, verifier) = match env.read(|env| Config::from_env(env).zip(verifier::from_env_for_https(env))) {
        Ok(settings) => settings,
        Err(error) => return lambda::answer_always(error).await,
    };
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).operation_timeout(CALL_TIMEOUT).build();
    let sdk = sdk::config(&env).timeout_config(timeouts).build();
    let function = MessageRelay::new(config, verifier, aws_sdk_sns::Client::new(&sdk));
    lambda::run(|event| function.handle(event)).await
}
