//! Entry point: read settings, build clients, hand over.

use gatehouse_shared::env::Env;
use gatehouse_shared::notify::Notifier;
use gatehouse_shared::{lambda, log, sdk};
use pipeline_health_gate::config::Config;
use pipeline_health_gate::endpoint::{Dns, Endpoint};
use pipeline_health_gate::health::Health;
use pipeline_health_gate::{Gate, answer, health};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let env = Env::of_process();
    log::init(&env, env!("CARGO_CRATE_NAME"));
    // Faulty settings do not end the function: each job is answered with them.
    let config = env.read(Config::from_env);
    let sdk = sdk::config(&env).build();
    let topics = config.as_ref().map_or((None, None), |it| (it.notify_topic_arn.as_ref(), it.chat_topic.as_ref()));
    let notifier = Notifier::for_topics(&sdk, topics.0, topics.1);
    let health = Health::new(health::client(&sdk), Endpoint::new(&env, Dns));
    let gate = Gate::new(config, health, answer::client(&sdk), notifier);
    lambda::run(|event| gate.handle(event)).await
}
