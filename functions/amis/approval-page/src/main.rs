//! Entry point: read the settings, build the clients, hand over.

use std::time::Duration;

use ami_approval_page::ApprovalPage;
use ami_approval_page::config::Config;
use gatehouse_shared::env::Env;
use gatehouse_shared::sdk::{self, TimeoutConfig};
use gatehouse_shared::{lambda, log};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::of_process();
    log::init(&env, env!("CARGO_CRATE_NAME"));
    let config = match env.read(Config::from_env) {
        Ok(config) => config,
        Err(error) => return lambda::answer_always(error).await,
    };
    // A person waits, and an HTTP API waits 30 s at most.
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(8))
        .build();
    let sdk = sdk::config(&env).timeout_config(timeouts).build();
    let ec2 = aws_sdk_ec2::Client::new(&sdk);
    let kms = aws_sdk_kms::Client::new(&sdk);
    let function = ApprovalPage::new(config, aws_sdk_ssm::Client::new(&sdk), kms, ec2);
    lambda::run(|event| function.handle(event)).await
}
