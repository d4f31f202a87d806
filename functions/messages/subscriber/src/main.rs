//! Entry point: read the settings, hand over.

use expense_subscriber::ExpenseSubscriber;
use expense_subscriber::config::Config;
use gatehouse_shared::env::Env;
use gatehouse_shared::{lambda, log, verifier};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::of_process();
    log::init(&env, env!("CARGO_CRATE_NAME"));
    let (config, verifier) = match env.read(|env| Config::from_env(env).zip(verifier::from_env(env))) {
        Ok(settings) => settings,
        Err(error) => return lambda::answer_always(error).await,
    };
    let function = ExpenseSubscriber::new(config, verifier);
    lambda::run(|event| function.handle(event)).await
}
