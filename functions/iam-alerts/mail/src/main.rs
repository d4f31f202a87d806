//! Entry point: read the settings, build the clients, hand over.

use std::time::Duration;

use gatehouse_shared::env::Env;
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::sdk::{self, TimeoutConfig};
use gatehouse_shared::{lambda, log};
use iam_alert_mail::IamAlertMail;
use iam_alert_mail::config::Config;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::of_process();
    log::init(&env, env!("CARGO_CRATE_NAME"));
    let config = match env.read(Config::from_env) {
        Ok(config) => config,
        Err(error) => return lambda::answer_always(error).await,
    };
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(5)).build();
    let sdk = sdk::config(&env).timeout_config(timeouts).build();
    let notifier = Notifier::new(&sdk, &config.notify_topic_arn).with_chat(&sdk, config.chat_topic.as_ref());
    let function = IamAlertMail::new(config, notifier);
    lambda::run(|event| function.handle(event)).await
}
