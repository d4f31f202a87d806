//! Entry point: read the settings, build the clients, hand over.

use std::time::Duration;

use ami_share::Share;
use ami_share::config::Config;
use gatehouse_shared::env::Env;
use gatehouse_shared::sdk::{self, RetryConfig, TimeoutConfig};
use gatehouse_shared::{lambda, log};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::of_process();
    log::init(&env, env!("CARGO_CRATE_NAME"));
    let config = match env.read(Config::from_env) {
        Ok(config) => config,
        Err(error) => return lambda::answer_always(error).await,
    };
    // EC2 throttles by account: a few more attempts than usual, none of which may hang.
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(8))
        .operation_timeout(Duration::from_secs(20))
        .build();
    let retries = RetryConfig::standard().with_max_attempts(5);
    let sdk = sdk::config(&env).retry_config(retries).timeout_config(timeouts).build();
    let function = Share::new(config, sdk);
    lambda::run(|event| function.handle(event)).await
}
