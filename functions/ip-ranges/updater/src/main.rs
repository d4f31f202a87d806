//! Entry point: read the settings, build the clients, hand over.

use std::time::Duration;

use gatehouse_shared::env::Env;
use gatehouse_shared::fetch::Fetcher;
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sdk::{self, RetryConfig, TimeoutConfig};
use gatehouse_shared::{lambda, log, verifier};
use ip_ranges_updater::config::Config;
use ip_ranges_updater::download::{self, DownloadError};
use ip_ranges_updater::region::Region;
use ip_ranges_updater::{Error, Updater};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::of_process();
    log::init(&env, env!("CARGO_CRATE_NAME"));
    let (config, verifier) = match env.read(|env| Config::from_env(env).zip(verifier::from_env(env))) {
        Ok(settings) => settings,
        Err(error) => return lambda::answer_always(error).await,
    };
    // The SDK and the fetcher both read the root certificates, for milliseconds of a cold start: at the same time.
    let plain_http = config.plain_http;
    let fetcher = tokio::task::spawn_blocking(move || Fetcher::new(download::TIME_OUT, plain_http));
    let sdk = sdk::config(&env)
        // EC2 throttles by account: a few more attempts than usual, none of which may hang.
        .retry_config(RetryConfig::standard().with_max_attempts(5))
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(10)).build())
        .build();
    let fetcher = match fetcher.await? {
        Ok(fetcher) => fetcher,
        Err(source) => {
            let url = config.ip_ranges_url.clone();
            return lambda::answer_always(Error::from(DownloadError::Fetch { url, source })).await;
        }
    };
    let regions = config.regions.iter().map(|region| Region::connect(region, &sdk)).collect();
    let notifier = Notifier::for_topics(&sdk, config.notify_topic_arn.as_ref(), config.chat_topic.as_ref());
    let updater = Updater::new(config, verifier, fetcher, regions, notifier);
    lambda::run(|event| updater.handle(event)).await
}
