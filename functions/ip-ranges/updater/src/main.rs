//! Entry point: read the settings, build the clients, hand over.

use aws_config::{BehaviorVersion, retry::RetryConfig, timeout::TimeoutConfig};
use gatehouse_shared::env::Env;
use gatehouse_shared::failure::answer_always;
use gatehouse_shared::log;
use gatehouse_shared::sns::Verifier;
use ip_ranges_updater::{Error, Updater, config::Config, download};
use lambda_runtime::{run, service_fn};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::of_process();
    log::init(&env, env.flag("DEBUG", false));
    let verifier = Verifier::from_env(&env);
    let config = match Config::from_env(&env) {
        Ok(config) => config,
        Err(error) => return answer_always(error).await,
    };
    // The SDK and the other client both read the root certificates, for milliseconds of a cold start: at the same time.
    let client = tokio::task::spawn_blocking(download::client);
    let sdk = aws_config::defaults(BehaviorVersion::latest())
        // EC2 throttles by account: a few more attempts than usual, none of which may hang.
        .retry_config(RetryConfig::standard().with_max_attempts(5))
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(10)).build())
        .load()
        .await;
    let client = match client.await? {
        Ok(client) => client,
        Err(error) => return answer_always(Error::from(error)).await,
    };
    let updater = Updater::new(config, verifier, &sdk, client);
    run(service_fn(|event| updater.handle(event))).await
}
